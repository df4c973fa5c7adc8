/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Choosing what a flow is translated to. The flow is known by the tuple of its answers: a choice is
 * free if no living flow has that tuple. So what must be told apart are flows to the same
 * destination only, and one port serves as many destinations as there are (RFC 4787, 4.1 calls it
 * address and port-dependent mapping).
 *
 * The choices are the product of four ranges. They are tried from what is closest to the packet as
 * it is: first its own port, then other ports at the same source address, then other source
 * addresses, and only then other destinations.
 */
#include "ct_priv.h"

#include <errno.h>

/**
 * Choices that one call looks at. All of them, where there are no more; else at each source address
 * (and each destination) an equal part of so many, but no less than NAT_TRIES_ADDR.
 */
#define NAT_TRIES 4096U
#define NAT_TRIES_ADDR 1024U
/**
 * Whoever asks for a range that is used up has us search in vain, and pays nothing for it: 4096
 * choices take 0.2 ms. After so many in vain within one ms, calls look at NAT_TRIES_FEW until it is
 * over.
 */
#define NAT_TRIES_MS NAT_TRIES
#define NAT_TRIES_FEW 64U

/** What is chosen; makes the choices of one packet independent of each other. */
enum nat_what {
	NAT_SRC_ADDR,
	NAT_SRC_PORT,
	NAT_DST_ADDR,
	NAT_DST_PORT,
};

/** Numbers below n, gone through once, from start on and round. */
struct nat_cycle {
	uint64_t n, start, at;
};

struct nat_search {
	struct ct *ct;
	const struct ct_pkt *p;
	enum ct_nat_choice choice;
	uint64_t now_ms;
	struct flowtab_tuple *reply;
	struct flowtab_addr src, dst; /**< the first of their ranges ... */
	struct nat_cycle src_addrs, dst_addrs, dst_ports;
	uint32_t src_port, dst_port; /**< ... and here, in host order */
	uint32_t n_src_ports;        /**< 0: none but the packet's own */
	uint32_t own_port;           /**< of the source, host order */
	bool keep;                   /**< it may stay */
	uint32_t left;               /**< choices to be looked at yet */
	uint32_t per_addr;           /**< at one source address */
	bool icmp, ports;            /**< the protocol's */
};

static inline void
cycle_set(struct nat_cycle *c, uint64_t n, uint64_t start)
{
	c->n = n;
	c->start = start;
	c->at = start;
}

/** @return false: once round */
static inline bool
cycle_next(struct nat_cycle *c)
{
	c->at = c->at + 1 < c->n ? c->at + 1 : 0;
	return c->at != c->start;
}

/** A number that decides what is chosen. */
static uint64_t
draw(const struct nat_search *s, enum nat_what what)
{
	const struct flowtab_tuple *t = s->p->tuple;
	uint64_t w[sizeof(*t) / sizeof(uint64_t) + 1];

	if (s->choice == CT_NAT_RANDOM)
		return ct_random(s->ct);
	if (s->choice == CT_NAT_PERSISTENT && (what == NAT_SRC_ADDR || what == NAT_DST_ADDR)) {
		w[0] = t->eaddr.q[0];
		w[1] = t->eaddr.q[1];
		w[2] = what;
		return flowtab_siphash13(&s->ct->sipkey, w, 3);
	}
	memcpy(w, t, sizeof(*t));
	w[RTE_DIM(w) - 1] = what;
	return flowtab_siphash13(&s->ct->sipkey, w, RTE_DIM(w));
}

/** The same below n; without a division. */
static uint64_t
draw_below(const struct nat_search *s, enum nat_what what, uint64_t n)
{
	return n > 1 ? (uint64_t)((unsigned __int128)draw(s, what) * n >> 64) : 0;
}

/* ---- ranges ---- */

/** The range says nothing of addresses: they stay. */
static inline bool
range_keeps_addr(const struct ct_nat_range *r)
{
	return flowtab_addr_is_any(&r->min);
}

static bool
range_fits(const struct ct_nat_range *r, bool v4)
{
	if (r->port_min > r->port_max)
		return false;
	return range_keeps_addr(r) ||
		(flowtab_addr_is_v4(&r->min) == v4 && flowtab_addr_is_v4(&r->max) == v4 &&
			memcmp(r->min.b, r->max.b, sizeof(r->min.b)) <= 0);
}

static void
set_addrs(const struct nat_search *s, const struct ct_nat_range *r, enum nat_what what,
	struct flowtab_addr *first, struct nat_cycle *c)
{
	uint64_t n;

	if (range_keeps_addr(r))
		return;
	n = flowtab_addr_count(&r->min, &r->max);
	*first = r->min;
	cycle_set(c, n, draw_below(s, what, n));
}

/** Ports that a source port may become, where nobody has said: those of its class. */
static void
open_ports(const struct nat_search *s, uint32_t *first, uint32_t *n)
{
	static const uint32_t bounds[] = { 1, 512, 1024, 65536 };
	unsigned int class = s->own_port >= 1024 ? 2 : s->own_port >= 512;

	/* Any id is as good as another. */
	*first = s->icmp ? 0 : bounds[class];
	*n = (s->icmp ? 65536 : bounds[class + 1]) - *first;
}

/** Port 0 is no port, but an id. */
static void
range_ports(const struct nat_search *s, const struct ct_nat_range *r, uint32_t *first, uint32_t *n)
{
	*first = s->icmp ? r->port_min : RTE_MAX(r->port_min, 1);
	*n = r->port_max + 1U - *first;
}

static void
set_src(struct nat_search *s, const struct ct_nat_range *r)
{
	bool open = r->port_max == 0, inside;
	uint32_t first, n;

	set_addrs(s, r, NAT_SRC_ADDR, &s->src, &s->src_addrs);
	if (!s->ports)
		return;
	if (open)
		open_ports(s, &first, &n);
	else
		range_ports(s, r, &first, &n);
	ct_slice_ports(s->ct, &first, &n);
	s->src_port = first;
	s->n_src_ports = n;
	inside = s->own_port >= first && s->own_port < first + n;
	if (!open)
		s->keep = inside && s->choice != CT_NAT_RANDOM;
	else if (!range_keeps_addr(r)) /* else all-zero: nothing changes if it need not */
		s->keep = inside;
}

static void
set_dst(struct nat_search *s, const struct ct_nat_range *r)
{
	uint32_t own = rte_be_to_cpu_16(s->reply->eport), first, n;
	bool inside;

	set_addrs(s, r, NAT_DST_ADDR, &s->dst, &s->dst_addrs);
	/* Which service is asked for is not for us to choose, nor is there one of an id. */
	if (!s->ports || s->icmp || r->port_max == 0)
		return;
	range_ports(s, r, &first, &n);
	inside = own >= first && own < first + n && s->choice != CT_NAT_RANDOM;
	s->dst_port = first;
	cycle_set(&s->dst_ports, n, inside ? own - first : draw_below(s, NAT_DST_PORT, n));
}

/* ---- search ---- */

static bool
is_free(struct nat_search *s, uint32_t src_port)
{
	s->left--;
	s->reply->oport = rte_cpu_to_be_16((uint16_t)src_port);
	if (s->icmp)
		s->reply->eport = s->reply->oport;
	/* The flow's own other side is not in the table yet. */
	return memcmp(s->reply, s->p->tuple, sizeof(*s->reply)) != 0 &&
		flowtab_lookup(s->ct->ft, s->reply, s->now_ms, NULL) == FLOWTAB_NONE;
}

/**
 * The ports in an order of the flow's own, so that flows do not queue for the same free one: a
 * bijection of the numbers below mask + 1, a power of two. Products with odd numbers and shifted
 * XORs are such.
 */
static uint32_t
shuffle(uint32_t i, uint64_t key, uint32_t mask)
{
	unsigned int half = ((unsigned int)__builtin_popcount(mask) + 1) / 2;
	uint32_t x = (i + (uint32_t)key) & mask;

	x = x * (uint32_t)(key >> 16 | 1) & mask;
	x ^= x >> half;
	x = x * (uint32_t)(key >> 32 | 1) & mask;
	return x ^ x >> half;
}

/** Ports at the addresses that reply has. */
static bool
search_ports(struct nat_search *s)
{
	uint32_t end, mask, port;
	uint64_t key;

	if (s->keep && is_free(s, s->own_port))
		return true;
	if (s->n_src_ports == 0)
		return false;
	key = draw(s, NAT_SRC_PORT);
	mask = rte_align32pow2(s->n_src_ports) - 1;
	end = s->left - RTE_MIN(s->left, s->per_addr);
	for (uint32_t i = 0; i <= mask && s->left > end; i++) {
		port = s->src_port + shuffle(i, key, mask);
		if (port >= s->src_port + s->n_src_ports || (s->keep && port == s->own_port))
			continue;
		if (is_free(s, port))
			return true;
	}
	return false;
}

static bool
search(struct nat_search *s)
{
	/* This slice has none of the ports, at no address. */
	if (!s->keep && s->n_src_ports == 0)
		return false;
	do {
		s->reply->oaddr = flowtab_addr_add(&s->src, s->src_addrs.at);
		s->reply->eaddr = flowtab_addr_add(&s->dst, s->dst_addrs.at);
		s->reply->eport = rte_cpu_to_be_16((uint16_t)(s->dst_port + s->dst_ports.at));
		if (search_ports(s))
			return true;
	} while (s->left > 0 &&
		(cycle_next(&s->src_addrs) || cycle_next(&s->dst_ports) ||
			cycle_next(&s->dst_addrs)));
	return false;
}

/** How many choices may be looked at. */
static void
set_tries(struct nat_search *s)
{
	struct ct *ct = s->ct;
	uint64_t addrs;

	if (ct->nat_vain_ms != s->now_ms) {
		ct->nat_vain_ms = s->now_ms;
		ct->nat_vain = 0;
	}
	s->left = ct->nat_vain < NAT_TRIES_MS ? NAT_TRIES : NAT_TRIES_FEW;
	addrs = RTE_MIN(s->src_addrs.n, NAT_TRIES) * RTE_MIN(s->dst_ports.n, NAT_TRIES);
	addrs = RTE_MIN(addrs, NAT_TRIES) * RTE_MIN(s->dst_addrs.n, NAT_TRIES);
	s->per_addr = RTE_MAX(NAT_TRIES / (uint32_t)RTE_MIN(addrs, NAT_TRIES), NAT_TRIES_ADDR);
}

int
ct_nat_choose(struct ct *ct, const struct ct_pkt *p, const struct ct_nat *nat, uint64_t now_ms,
	struct flowtab_tuple *reply, uint16_t *flags)
{
	const struct flowtab_tuple plain = *reply;
	struct nat_search s = {
		.ct = ct,
		.p = p,
		.choice = (enum ct_nat_choice)nat->choice,
		.now_ms = now_ms,
		.reply = reply,
		.src = plain.oaddr,
		.dst = plain.eaddr,
		.src_addrs = { .n = 1 },
		.dst_addrs = { .n = 1 },
		.dst_ports = { .n = 1 },
		.dst_port = rte_be_to_cpu_16(plain.eport),
		.own_port = rte_be_to_cpu_16(plain.oport),
		.keep = true,
		.icmp = plain.proto == IPPROTO_ICMP || plain.proto == IPPROTO_ICMPV6,
		.ports = flowtab_proto_code(plain.proto) != 0,
	};
	uint32_t tries;

	if (((nat->what & CT_NAT_SRC) != 0 && !range_fits(&nat->src, p->v4)) ||
		((nat->what & CT_NAT_DST) != 0 && !range_fits(&nat->dst, p->v4)))
		return -EINVAL;
	if ((nat->what & CT_NAT_SRC) != 0)
		set_src(&s, &nat->src);
	if ((nat->what & CT_NAT_DST) != 0)
		set_dst(&s, &nat->dst);
	set_tries(&s);
	tries = s.left;
	if (!search(&s)) {
		ct->nat_vain += tries - s.left;
		*reply = plain;
		return -ENOSPC;
	}
	*flags = 0;
	if (!flowtab_addr_eq(&reply->oaddr, &plain.oaddr) || reply->oport != plain.oport)
		*flags |= CT_F_SNAT;
	if (!flowtab_addr_eq(&reply->eaddr, &plain.eaddr) ||
		(!s.icmp && reply->eport != plain.eport))
		*flags |= CT_F_DNAT;
	return 0;
}
