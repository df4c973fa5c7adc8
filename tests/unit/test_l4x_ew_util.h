/* SPDX-License-Identifier: BSD-3-Clause */
/* Guests 1, 2, 3 ... of one network and the rules between them. */
#ifndef TEST_L4X_EW_UTIL_H
#define TEST_L4X_EW_UTIL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "l4x_priv.h"
#include "l4xkit.h"

#define EW_OFFLOADS (L4X_OFFLOAD_CSUM | L4X_OFFLOAD_TSO4 | L4X_OFFLOAD_TSO6 | L4X_OFFLOAD_ECN)

extern uint8_t ew_frame[PKT_MAX];
extern uint8_t ew_data[PKT_MAX];

/** The kit with guests 1 to 3 on one worker, no rules. @param tweak may be NULL */
struct l4xkit *ew_create(l4xkit_tweak tweak);
/** Rules included. */
void ew_destroy(struct l4xkit *k);
/** 10.0.2.(14 + n), fd00:2::(14 + n): what guest n of the network has. */
struct l4x_port_conf ew_conf(uint16_t n);
/** Set it in the context, link up. */
void ew_port(struct l4xkit *k, const struct l4x_port_conf *c, uint32_t offloads);
/** A list of rules, numbered from 1 unless they have numbers, and the policy between guests. */
struct rules *ew_rules_make(const struct rule *list, uint32_t n, enum rules_action policy);
/** The same, given to the context; those of before are destroyed. */
void ew_rules(struct l4xkit *k, const struct rule *list, uint32_t n, enum rules_action policy);
/** Everything is allowed. */
void ew_allow(struct l4xkit *k);
struct rules_net ew_net(const char *addr, uint8_t len);

/** Headers of a packet from guest a to guest b. */
struct pkt_ip ew_ip(uint16_t a, uint16_t b, bool v6);
/** A frame from guest n. */
void ew_rx(struct l4xkit *k, uint16_t n, const void *bytes, size_t len);
void ew_rx_mbuf(struct l4xkit *k, uint16_t n, struct rte_mbuf *m);
/** Its next frame, from its gateway, with TTL 63; k->view shows it. */
const struct l4xkit_frame *ew_expect(struct l4xkit *k, uint16_t n);

/** UDP, 10 bytes of payload, in ew_frame. @return its length */
size_t ew_udp(uint16_t a, uint16_t b, bool v6, uint16_t sport, uint16_t dport);
size_t ew_echo(uint16_t a, uint16_t b, bool v6, bool reply, uint16_t id);
/** A segment with len bytes of payload. */
size_t ew_tcp(uint16_t a, uint16_t b, bool v6, const struct pkt_tcp *t, size_t len);
/** The handshake of a connection from a (port 1000) to b (port 80): 100, 500 are what comes next.
 */
void ew_connect(struct l4xkit *k, uint16_t a, uint16_t b, bool v6);
/** A segment of it with payload, from a or (back) from b. */
size_t ew_segment(uint16_t a, uint16_t b, bool v6, bool back, size_t len);

#endif
