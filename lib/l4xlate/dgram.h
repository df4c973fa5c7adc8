/* SPDX-License-Identifier: BSD-3-Clause */
/** What flows of datagrams have in common. Private to udp.c, icmp.c and dgram.c. */
#ifndef L4X_DGRAM_H
#define L4X_DGRAM_H

#include "l4x_priv.h"

/** Datagrams and bytes of one DGRAM operation: what UDP_SEGMENT takes in one call. */
#define L4X_DGRAM_MAX_SEGS 64
#define L4X_DGRAM_MAX_BYTES 65000
/** Segments of its chain: half of what one sendmsg() takes. */
#define L4X_DGRAM_MAX_MBUFS 512

/** How datagrams travel, as far as the guest's IP header has a say in it. */
struct l4x_dgram_how {
	uint8_t tos;
	uint8_t ttl; /**< 0: as the host's own */
	bool df;     /**< in one piece, or not at all */
};

/** The flow's packet is to travel as it came. */
struct l4x_dgram_how l4x_dgram_how(const struct l4x *l, uint32_t idx, const struct l4x_pkt *p);
/** A flow for the guest's packet, with its OPEN. FLOWTAB_NONE: the frame was dropped. */
uint32_t l4x_dgram_open(struct l4x *l, struct l4x_pkt *p);
/** An OPEN operation for the flow of the guest's packet. */
void l4x_dgram_op_open(struct l4x *l, uint32_t idx, const struct l4x_pkt *p);
/** Account for a datagram that came in at a side, move the deadline. */
void l4x_dgram_touch(struct l4x *l, uint32_t idx, enum flowtab_side side, uint32_t bytes);
/** Keep the headers of the guest's packet for a later ICMP error. */
void l4x_dgram_quote(struct l4x *l, uint32_t idx, const struct l4x_pkt *p);
/**
 * Payload towards the socket: joined to the burst's open operation of the flow where it fits.
 * @param seg bytes of each datagram in m
 */
void l4x_dgram_send(struct l4x *l, uint32_t idx, struct rte_mbuf *m, uint32_t seg,
	const struct l4x_dgram_how *how);
/** udp.c: the flow is answered, or about to be freed. */
void l4x_udp_unanswered_del(struct l4x *l, uint32_t idx);
/** ERROR: the ICMP error due, and the end of the flow when the socket is no more. */
void l4x_dgram_error(struct l4x *l, uint32_t idx, const struct l4x_event *ev);

#endif
