/* SPDX-License-Identifier: BSD-3-Clause */
/** What the tests of translation share: flows that ask, and ranges. */
#ifndef TEST_CT_NAT_UTIL_H
#define TEST_CT_NAT_UTIL_H

#include <errno.h>
#include <stdlib.h>

#include <ct_priv.h>

#include "test_ct_util.h"

/** A flow that begins. */
struct ask {
	const char *src, *dst;
	uint16_t sport, dport; /**< ICMP: sport is the id */
	uint8_t proto;
};

static inline struct flowtab_addr
addr(const char *text)
{
	struct flowtab_addr a;

	assert_int_equal(flowtab_addr_parse(&a, text), 0);
	return a;
}

/** A range of addresses, "" for none, and of ports. */
static inline struct ct_nat_range
range(const char *min, const char *max, uint16_t port_min, uint16_t port_max)
{
	struct ct_nat_range r = { .port_min = port_min, .port_max = port_max };

	if (min[0] != '\0') {
		r.min = addr(min);
		r.max = addr(max);
	}
	return r;
}

static inline struct ct_nat
snat(const char *min, const char *max, uint16_t port_min, uint16_t port_max)
{
	return (struct ct_nat){ .what = CT_NAT_SRC, .src = range(min, max, port_min, port_max) };
}

static inline struct ct_nat
dnat(const char *min, const char *max, uint16_t port_min, uint16_t port_max)
{
	return (struct ct_nat){ .what = CT_NAT_DST, .dst = range(min, max, port_min, port_max) };
}

static inline struct flowtab_tuple
tuple_of(const struct ask *a)
{
	bool icmp = a->proto == IPPROTO_ICMP || a->proto == IPPROTO_ICMPV6;

	return (struct flowtab_tuple){
		.eaddr = addr(a->src),
		.oaddr = addr(a->dst),
		.eport = rte_cpu_to_be_16(a->sport),
		.oport = rte_cpu_to_be_16(icmp ? a->sport : a->dport),
		.pif = CTKIT_CLIENT_PIF,
		.proto = a->proto,
	};
}

static inline int
choose_for(struct ctkit *k, const struct flowtab_tuple *t, const struct ct_nat *nat,
	struct flowtab_tuple *reply, uint16_t *flags)
{
	const struct ct_pkt p = { .tuple = t, .v4 = flowtab_addr_is_v4(&t->eaddr) };

	ct_tuple_reverse(t, CTKIT_SERVER_PIF, reply);
	return ct_nat_choose(k->ct, &p, nat, k->now_ms, reply, flags);
}

static inline int
choose(struct ctkit *k, const struct ask *a, const struct ct_nat *nat, struct flowtab_tuple *reply)
{
	struct flowtab_tuple t = tuple_of(a);
	uint16_t flags;

	return choose_for(k, &t, nat, reply, &flags);
}

/** Choose, and keep the flow. */
static inline int
begin(struct ctkit *k, const struct ask *a, const struct ct_nat *nat, struct flowtab_tuple *reply)
{
	struct flowtab_tuple t = tuple_of(a);
	int rc = choose(k, a, nat, reply);
	uint32_t idx;

	if (rc != 0)
		return rc;
	idx = flow_new(k->ft, &t, k->now_ms, k->now_ms + 60000);
	flowtab_flows(k->ft)[idx].kind = FLOWTAB_KIND_TRACKED;
	assert_int_equal(flowtab_bind(k->ft, idx, FLOWTAB_SIDE_OTHER, reply, k->now_ms), 0);
	return 0;
}

static inline uint16_t
sport_of(const struct flowtab_tuple *reply)
{
	return rte_be_to_cpu_16(reply->oport);
}

static inline uint16_t
dport_of(const struct flowtab_tuple *reply)
{
	return rte_be_to_cpu_16(reply->eport);
}

static inline void
assert_addr(const struct flowtab_addr *is, const char *want)
{
	char text[FLOWTAB_ADDR_STRLEN];

	assert_string_equal(flowtab_addr_format(is, text), want);
}

/** The n-th client of a family; in one of 16 buffers used in turn. */
static inline const char *
client(unsigned int n, bool v4)
{
	static char text[16][FLOWTAB_ADDR_STRLEN];
	static unsigned int next;
	char *t = text[next++ % RTE_DIM(text)];

	if (v4)
		snprintf(t, FLOWTAB_ADDR_STRLEN, "10.1.%u.%u", n / 250, 1 + n % 250);
	else
		snprintf(t, FLOWTAB_ADDR_STRLEN, "fd00:1::%x", 1 + n);
	return t;
}

/** The n-th flow to a service from ports that are all the same. */
static inline struct ask
nth(unsigned int n, bool v4)
{
	return (struct ask){ client(n, v4), v4 ? "192.0.2.9" : "2001:db8::9", 40000, 443,
		IPPROTO_TCP };
}

/** What clients are translated to. */
#define OUTSIDE4 "198.51.100.1"
#define OUTSIDE6 "2001:db8:1::1"

static inline const char *
outside(bool v4)
{
	return v4 ? OUTSIDE4 : OUTSIDE6;
}

static inline struct ct_nat
snat_one(bool v4, uint16_t port_min, uint16_t port_max)
{
	return snat(outside(v4), outside(v4), port_min, port_max);
}

#endif
