/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * What the tests of the connection tracker share: a table with a tracker, and packets that are
 * built by tests/harness/pkt.h, which shares nothing with the code under test.
 */
#ifndef TEST_CT_UTIL_H
#define TEST_CT_UTIL_H

#include <ct.h>
#include <pkt.h>
#include <rte_mbuf.h>

#include "test_flowtab_util.h"

struct ctkit {
	struct flowtab *ft;
	struct ct *ct;
	struct rte_mempool *pool;
	uint64_t now_ms;
	uint16_t zone; /**< of the packets that are made */
};

/** Ports of the two ends in tests. */
#define CTKIT_CLIENT_PIF 1
#define CTKIT_SERVER_PIF 2

/** @param params NULL, or what differs: ft is set here */
void ctkit_open(struct ctkit *k, const struct ct_params *params, uint32_t max_flows);
void ctkit_close(struct ctkit *k);

/** A packet with its tuple. */
struct ctkit_pkt {
	struct ct_pkt p;
	struct flowtab_tuple tuple;
	int parsed; /**< what ct_pkt_parse() said */
};

/** An mbuf with a frame, parsed; comes in at pif. */
void ctkit_frame(
	struct ctkit *k, struct ctkit_pkt *c, uint16_t pif, const uint8_t *frame, size_t len);
void ctkit_free(struct ctkit_pkt *c);

/** One direction: who sends to whom. */
struct ctkit_way {
	const char *src, *dst;
	uint16_t sport, dport; /**< ICMP: sport is the id */
	uint16_t pif;
};
extern const struct ctkit_way ctkit_out4, ctkit_in4, ctkit_out6, ctkit_in6;
struct ctkit_way ctkit_back(const struct ctkit_way *w, uint16_t pif);

void ctkit_tcp(struct ctkit *k, struct ctkit_pkt *c, const struct ctkit_way *w,
	const struct pkt_tcp *tcp, size_t data_len);
void ctkit_udp(struct ctkit *k, struct ctkit_pkt *c, const struct ctkit_way *w, size_t data_len);
/** Echo request, or (reply) its answer. */
void ctkit_echo(struct ctkit *k, struct ctkit_pkt *c, const struct ctkit_way *w, bool reply);

/** Track, commit if asked (NULL: not), free. @return ct_state */
uint8_t ctkit_track(struct ctkit *k, struct ctkit_pkt *c, const struct ct_commit *commit);
/** The same of a TCP segment. wscale below 0: none */
uint8_t ctkit_seg(struct ctkit *k, const struct ctkit_way *w, uint8_t flags, uint32_t seq,
	uint32_t ack, size_t len, uint16_t win, int wscale, const struct ct_commit *commit);
/** A plain commit: answers come from CTKIT_SERVER_PIF. */
extern const struct ct_commit ctkit_plain;

/** The flow of the direction, or FLOWTAB_NONE. */
uint32_t ctkit_find(struct ctkit *k, const struct ctkit_way *w, uint8_t proto);
uint64_t ctkit_left_ms(struct ctkit *k, const struct ctkit_way *w, uint8_t proto);
uint64_t ctkit_reason(const struct ctkit *k, enum ct_reason r);
uint64_t ctkit_count(const struct ctkit *k, enum ct_count c);

#endif
