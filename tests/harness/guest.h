/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * A small guest: a vhost-user front-end with addresses, that a test scripts.
 *
 * Theory of operation. guest_pump() takes a frame from the rings, holds it against pkt_check(),
 * answers ARP and neighbour solicitations for the guest's own addresses, offers it to the guest's
 * TCP endpoints (gtcp.h), and keeps what nobody took. guest_wait() looks through what was kept,
 * then pumps until a frame fits. The first frame that breaks a rule is remembered as text
 * (guest_error()); the tests' tear-down asserts that there is none.
 *
 * Threads: an instance belongs to one thread.
 */
#ifndef GUEST_H
#define GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dhcp.h"
#include "pkt.h"
#include "vhu.h"

#define GUEST_TIMEOUT_MS 5000
/** A question of ARP or ND is asked again after so long (RFC 4861, 10: 1 s). */
#define GUEST_ASK_MS 1000
/** IEEE 802 local experimental 1: what buffers hold that come back unfilled; not for the test. */
#define GUEST_FILLER_TYPE 0x88b5

struct gtcp;

struct guest_conf {
	struct vhu_conf vhu;
	const char *addr, *gw, *addr6, *gw6; /**< NULL: 10.0.2.15, .2, fd00:2::15, ::2 */
	uint8_t mac[6];                      /**< zero: 52:54:00:12:34:56 */
	uint16_t mtu;                        /**< 0: 1500 */
	size_t rx_bytes;                     /**< size of receive buffers; 0: as Linux has them */
	unsigned int rx_count;               /**< 0: as many as the ring holds */
	const struct vhu_shape *rx_shape;
};

struct guest_frame {
	struct guest_frame *next;
	struct pkt_view view;
	struct virtio_net_hdr_mrg_rxbuf hdr;
	unsigned int pair;
	uint8_t bytes[];
};

struct guest {
	struct guest_conf conf;
	struct vhu *v;
	uint8_t mac[6], gw_mac[6];
	struct pkt_addr addr, gw, addr6, gw6, ll6;
	struct pkt_limits limits;
	const struct vhu_shape *tx_shape; /**< of every frame sent */
	bool partial;                     /**< leave transport checksums to the device */
	bool silent;                      /**< do not answer ARP and neighbour solicitations */
	bool hold;              /**< frames are kept for guest_wait(), TCP endpoints get none */
	unsigned int pair;      /**< queue pair to send on */
	unsigned int from_pair; /**< that the frame at hand came on */
	struct guest_frame *first, **last;
	unsigned int n_kept;
	struct gtcp *tcps;
	uint64_t frames, bytes;
	char error[400];
	uint16_t next_port;
};

/** NULL with errno set. */
struct guest *guest_open(const struct guest_conf *conf);
/** After a reset of the device or a reconnect: what the guest knows of offloads, and buffers. */
void guest_refresh(struct guest *g);
void guest_close(struct guest *g);
/** What went wrong first, in frames or rings, or NULL. */
const char *guest_error(const struct guest *g);

/** Send a frame (checksums left to the device if g->partial). 0 or -errno */
int guest_send(struct guest *g, uint8_t *frame, size_t len);
/** Send it as it is. */
int guest_send_raw(
	struct guest *g, const struct virtio_net_hdr *hdr, const uint8_t *frame, size_t len);
/** Take one frame, if one comes within the time. 1, 0, -EPROTO */
int guest_pump(struct guest *g, int timeout_ms);

typedef bool (*guest_match)(const struct pkt_view *v, void *arg);
/** A frame that fits, NULL: none in time. Free it. */
struct guest_frame *guest_wait(struct guest *g, guest_match match, void *arg, int timeout_ms);
/** True if no such frame comes within the time. */
bool guest_never(struct guest *g, guest_match match, void *arg, int timeout_ms);
/** Forget what was kept. */
void guest_flush(struct guest *g);

/** Header fields of a frame from this guest to addr, by way of the gateway. */
struct pkt_ip guest_ip(const struct guest *g, const struct pkt_addr *dst);
/** The guest's own address of the family of other. */
const struct pkt_addr *guest_addr_for(const struct guest *g, const struct pkt_addr *other);
uint16_t guest_port(struct guest *g);

/** Resolve the gateway by ARP (and learn its MAC). 0 or -ETIMEDOUT */
int guest_arp(struct guest *g);
/** The same by neighbour solicitation. */
int guest_nd(struct guest *g);
/** Both. */
int guest_resolve(struct guest *g);

/* Waiting for DHCP. */
int guest_dhcp_send(
	struct guest *g, const struct dhcp_request *r, const char *src, const char *dst);
/** The frame is returned for its headers and must be freed; reply points into it. NULL: none. */
struct guest_frame *guest_dhcp_wait(struct guest *g, struct dhcp_reply *reply, int timeout_ms);
/** DISCOVER and REQUEST; the address becomes the guest's. 0 or -errno */
int guest_dhcp(struct guest *g, struct dhcp_reply *ack, struct guest_frame **frame);
int guest_dhcp6_send(struct guest *g, const struct dhcp6_request *r);
struct guest_frame *guest_dhcp6_wait(struct guest *g, struct dhcp6_reply *reply, int timeout_ms);

int guest_udp_send(struct guest *g, uint16_t sport, const struct pkt_addr *dst, uint16_t dport,
	const void *data, size_t len);
/** A datagram to sport. @return a frame to be freed, NULL: none in time */
struct guest_frame *guest_udp_recv(struct guest *g, uint16_t sport, int timeout_ms);
/** An ICMP error (either family). */
struct guest_frame *guest_icmp_error(struct guest *g, uint8_t type, int timeout_ms);
/** Echo; 0, -ETIMEDOUT, -EPROTO: the answer differs */
int guest_ping(struct guest *g, const struct pkt_addr *dst, uint16_t id, uint16_t seq,
	const void *data, size_t len, int timeout_ms);

#endif
