/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Traffic between two sides, made at random from a seed: TCP ends that open (at times both at
 * once), send, retransmit, close and reset, as RFC 9293 has it; UDP; ICMP queries and errors; and
 * among them what no end sends: numbers far outside of any window, RSTs that are a little off,
 * impossible flags, spoilt checksums.
 *
 * Each step makes one frame; who asked for it says afterwards how it left, if it did. Then the
 * other end gets it, mostly.
 */
#ifndef CT_TRAFFIC_H
#define CT_TRAFFIC_H

#include <stdbool.h>
#include <stdint.h>

#include <pkt.h>

#define TRAFFIC_CONVS 96
#define TRAFFIC_FRAME 2048

/** Servers' ports, which say what is translated. */
#define TRAFFIC_PORT_PLAIN 80
#define TRAFFIC_PORT_SNAT 81
#define TRAFFIC_PORT_DNAT 82
#define TRAFFIC_PORT_BOTH 83

struct traffic_end {
	struct pkt_addr self, peer; /**< as this end sees it */
	uint16_t port, peer_port;
	uint32_t isn, una, nxt; /**< sent, and not acknowledged from una on */
	uint32_t rcv_nxt;
	uint32_t limit; /**< how far the peer lets it send */
	uint16_t win;
	int scale;         /**< offered; -1: not */
	bool opened, open; /**< a SYN was sent; it, and that of the peer, are acknowledged */
	bool heard;        /**< the peer's SYN */
	bool fin_sent, fin_heard;
};

struct traffic_conv {
	uint8_t proto;
	bool v6, reset, known; /**< known: the server's end has seen the client's address */
	uint16_t zone, nr;
	struct traffic_end end[2];
	unsigned int sent;
	uint8_t last[TRAFFIC_FRAME]; /**< the last that left for a side, to be quoted */
	size_t last_len;
	unsigned int last_to;
};

struct traffic {
	uint64_t seed;
	bool nat; /**< all of the servers' ports, not the plain one alone */
	bool forge;
	bool v6;
	struct traffic_conv conv[TRAFFIC_CONVS];
	/* of the frame that was made last */
	struct traffic_conv *c;
	unsigned int side;
	bool forged;
};

/** @param nat conversations whose policy translates; @param forge what no end sends, too */
void traffic_start(struct traffic *t, uint64_t seed, bool nat, bool forge, bool v6);
/**
 * Make one frame.
 * @param out  PKT_MAX bytes
 * @return its length; side, zone receive where it comes in
 */
size_t traffic_step(struct traffic *t, uint8_t *out, unsigned int *side, uint16_t *zone);
/** It left like this (NULL: it did not). */
void traffic_left(struct traffic *t, const uint8_t *frame, size_t len, const struct pkt_view *v);
uint64_t traffic_rnd(struct traffic *t);
uint32_t traffic_below(struct traffic *t, uint32_t n);

#endif
