/* SPDX-License-Identifier: BSD-3-Clause */
/** How the guests' frames lie in memory. */
#ifndef GEN_FRAME_H
#define GEN_FRAME_H

#include <netinet/if_ether.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>

#include "gen.h"

struct gen_frame {
	struct virtio_net_hdr_mrg_rxbuf vnet;
	struct ethhdr eth;
	struct iphdr ip;
	union {
		struct tcphdr tcp;
		struct udphdr udp;
	};
	uint8_t options[8];
} __attribute__((packed));

/** A segment to be sent. */
struct gen_seg {
	uint16_t port, host_port;
	uint32_t seq, ack;
	bool syn, fin;
	unsigned int payload;
};

/** Headers up to IPv4 of a frame with l4_bytes of transport header and payload. */
void gen_frame_head(struct gen_guest *u, struct gen_frame *f, uint8_t proto, unsigned int l4_bytes);
/** What the transport checksum field begins with. */
uint16_t gen_frame_pseudo_sum(const struct gen_frame *f, unsigned int l4_bytes);
/** @return false: no slot */
bool gen_seg_send(struct gen_guest *u, const struct gen_seg *s);
/** A segment for one of the case's connections. */
void gen_tcp_in(struct gen_conn *c, const struct tcphdr *t, uint32_t payload);

#endif
