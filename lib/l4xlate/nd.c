/* SPDX-License-Identifier: BSD-3-Clause */
#include "l4x_priv.h"

#define ND_RS 133
#define ND_RA 134
#define ND_NS 135
#define ND_NA 136

#define OPT_SOURCE_LL 1
#define OPT_TARGET_LL 2
#define OPT_PREFIX 3
#define OPT_MTU 5
#define OPT_RDNSS 25
#define OPT_DNSSL 31

#define NA_ROUTER 0x80
#define NA_SOLICITED 0x40
#define NA_OVERRIDE 0x20
#define RA_MANAGED 0x80
#define RA_OTHER 0x40
#define PREFIX_ON_LINK 0x80
#define PREFIX_AUTO 0x40

#define HOP_LIMIT 255
/** RFC 4861, 6.2.1: MaxRtrAdvInterval, MinRtrAdvInterval, AdvDefaultLifetime and 10 of them. */
#define RA_MAX_US 600000000ULL
#define RA_MIN_US 200000000ULL
#define RA_LIFETIME_S 1800
#define RA_INITIAL 3
#define RA_INITIAL_US 16000000ULL
#define RA_FIRST_US 100000ULL
#define PREFIX_VALID_S 86400
#define PREFIX_PREFERRED_S 14400

static const struct flowtab_addr all_nodes = { .b = { 0xff, 2, [15] = 1 } };

struct nd_ns {
	uint8_t type, code;
	rte_be16_t cksum;
	uint8_t flags, reserved[3];
	uint8_t target[16];
} __rte_packed;

struct nd_ra {
	uint8_t type, code;
	rte_be16_t cksum;
	uint8_t hop_limit, flags;
	rte_be16_t lifetime;
	rte_be32_t reachable, retrans;
} __rte_packed;

struct nd_prefix {
	uint8_t type, len, prefix_len, flags;
	rte_be32_t valid, preferred, reserved;
	uint8_t prefix[16];
} __rte_packed;

struct nd_mtu {
	uint8_t type, len;
	rte_be16_t reserved;
	rte_be32_t mtu;
} __rte_packed;

struct nd_lladdr {
	uint8_t type, len;
	uint8_t mac[RTE_ETHER_ADDR_LEN];
} __rte_packed;

/** Head of RDNSS and DNSSL (RFC 8106). */
struct nd_dns {
	uint8_t type, len;
	rte_be16_t reserved;
	rte_be32_t lifetime;
} __rte_packed;

/** Room at the end of m, zeroed; NULL when there is none. */
static void *
add(struct rte_mbuf *m, uint32_t len)
{
	void *at = rte_pktmbuf_append(m, (uint16_t)len);

	if (at != NULL)
		memset(at, 0, len);
	return at;
}

/** Complete checksum and headers of an ND message and send it. */
static void
nd_send(struct l4x *l, struct l4x_port *port, uint8_t queue, struct rte_mbuf *m,
	const struct flowtab_addr *from, const struct flowtab_addr *to)
{
	struct flowtab_tuple t = { .eaddr = *to, .oaddr = *from, .proto = IPPROTO_ICMPV6 };
	uint32_t len = rte_pktmbuf_pkt_len(m);
	struct nd_ns *nd = rte_pktmbuf_mtod(m, struct nd_ns *);

	nd->cksum = l4x_cksum(m, 0, len, l4x_phdr_sum(&t, len));
	l4x_ip_prepend(port, m, &t, 0, HOP_LIMIT);
	if (flowtab_addr_is_multicast(to)) {
		/* RFC 2464, 7. */
		struct rte_ether_hdr *eth = rte_pktmbuf_mtod(m, struct rte_ether_hdr *);

		eth->dst_addr = (struct rte_ether_addr){
			.addr_bytes = { 0x33, 0x33, to->b[12], to->b[13], to->b[14], to->b[15] }
		};
	}
	l4x_count(l, L4X_COUNT_ND_ADVERTS);
	l4x_frame_add(l, port, queue, m);
}

static void
add_lladdr(struct rte_mbuf *m, uint8_t type, const struct l4x_port *port)
{
	struct nd_lladdr *o = add(m, sizeof(*o));

	if (o == NULL)
		return;
	o->type = type;
	o->len = 1;
	memcpy(o->mac, port->conf.gateway_mac.addr_bytes, sizeof(o->mac));
}

static void
add_prefix(struct rte_mbuf *m, const struct l4x_port_conf *c)
{
	struct nd_prefix *o = add(m, sizeof(*o));

	if (o == NULL)
		return;
	o->type = OPT_PREFIX;
	o->len = sizeof(*o) / 8;
	o->prefix_len = c->prefix6_len;
	/* Addresses form themselves only out of 64 bits and an interface identifier (RFC
	 * 4862, 5.5.3). */
	o->flags = c->prefix6_len == 64 ? PREFIX_ON_LINK | PREFIX_AUTO : PREFIX_ON_LINK;
	o->valid = RTE_BE32(PREFIX_VALID_S);
	o->preferred = RTE_BE32(PREFIX_PREFERRED_S);
	memcpy(o->prefix, c->gateway6.b, sizeof(o->prefix));
	for (unsigned int bit = c->prefix6_len; bit < 128; bit++)
		o->prefix[bit / 8] &= (uint8_t) ~(0x80 >> bit % 8);
}

static void
add_mtu(struct rte_mbuf *m, const struct l4x_port_conf *c)
{
	struct nd_mtu *o = add(m, sizeof(*o));

	if (o == NULL)
		return;
	o->type = OPT_MTU;
	o->len = 1;
	o->mtu = rte_cpu_to_be_32(c->mtu);
}

static void
add_rdnss(struct rte_mbuf *m, const struct l4x_port_conf *c, uint16_t lifetime_s)
{
	struct nd_dns *o;
	unsigned int n = 0;

	for (unsigned int i = 0; i < c->n_dns; i++)
		n += !flowtab_addr_is_v4(&c->dns[i]);
	if (n == 0)
		return;
	o = add(m, sizeof(*o) + n * 16);
	if (o == NULL)
		return;
	o->type = OPT_RDNSS;
	o->len = (uint8_t)(1 + 2 * n);
	o->lifetime = rte_cpu_to_be_32(lifetime_s);
	n = 0;
	for (unsigned int i = 0; i < c->n_dns; i++) {
		if (!flowtab_addr_is_v4(&c->dns[i]))
			memcpy((uint8_t *)(o + 1) + 16 * n++, c->dns[i].b, 16);
	}
}

static void
add_dnssl(struct rte_mbuf *m, const struct l4x_port_conf *c, uint16_t lifetime_s)
{
	uint8_t names[L4X_NAMES_MAX];
	uint32_t len = l4x_names_encode(c->search, names, sizeof(names)), padded;
	struct nd_dns *o;

	if (len == 0)
		return;
	padded = RTE_ALIGN_CEIL(len, 8u);
	o = add(m, sizeof(*o) + padded);
	if (o == NULL)
		return;
	o->type = OPT_DNSSL;
	o->len = (uint8_t)(1 + padded / 8);
	o->lifetime = rte_cpu_to_be_32(lifetime_s);
	memcpy(o + 1, names, len);
}

/** @param lifetime_s for how long weir is router and knows resolvers; 0: no more */
static void
ra_send(struct l4x *l, struct l4x_port *port, const struct flowtab_addr *to, uint16_t lifetime_s)
{
	struct rte_mbuf *m = l4x_mbuf(l);
	struct nd_ra *ra;

	if (m == NULL)
		return;
	ra = add(m, sizeof(*ra));
	if (ra == NULL) {
		l4x_drop(l, m, L4X_DROP_NO_MBUF);
		return;
	}
	ra->type = ND_RA;
	ra->hop_limit = 64;
	/* The address by DHCPv6; the rest there, too. */
	ra->flags = RA_MANAGED | RA_OTHER;
	ra->lifetime = rte_cpu_to_be_16(lifetime_s);
	add_prefix(m, &port->conf);
	add_mtu(m, &port->conf);
	add_lladdr(m, OPT_SOURCE_LL, port);
	add_rdnss(m, &port->conf, lifetime_s);
	add_dnssl(m, &port->conf, lifetime_s);
	nd_send(l, port, port->tx_queue, m, &port->linklocal6, to);
}

void
l4x_nd_link(struct l4x *l, struct l4x_port *port)
{
	/* One router advertises once, however many workers it has: every guest uses queue pair 0.
	 */
	if (!port->conf.ipv6 || port->conf.queue_worker[0] != l->params.worker)
		return;
	port->ra_sent = 0;
	port->next_ra_us = l->now_us + RA_FIRST_US;
	l->next_ra_us = RTE_MIN(l->next_ra_us, port->next_ra_us);
}

/* RFC 4861, 6.2.5; of resolvers, RFC 8106, 5.1. */
void
l4x_nd_leave(struct l4x *l, struct l4x_port *port)
{
	if (port->present && port->conf.ipv6 && port->next_ra_us != UINT64_MAX)
		ra_send(l, port, &all_nodes, 0);
	port->next_ra_us = UINT64_MAX;
}

/** RFC 4861, 6.2.4: at random between the bounds, the first few soon. */
static uint64_t
ra_interval_us(struct l4x *l, const struct l4x_port *port)
{
	if (port->ra_sent < RA_INITIAL)
		return RA_INITIAL_US;
	return RA_MIN_US + l4x_random(l) % (RA_MAX_US - RA_MIN_US);
}

void
l4x_nd_timers(struct l4x *l)
{
	uint64_t next = UINT64_MAX;

	for (unsigned int pif = 1; pif <= l->max_pif; pif++) {
		struct l4x_port *port = &l->ports[pif];

		if (!port->present || !port->up || port->removing || !port->conf.ipv6)
			continue;
		if (port->next_ra_us <= l->now_us && l4x_out_room(l, 1)) {
			ra_send(l, port, &all_nodes, RA_LIFETIME_S);
			port->ra_sent++;
			port->next_ra_us = l->now_us + ra_interval_us(l, port);
		}
		next = RTE_MIN(next, port->next_ra_us);
	}
	l->next_ra_us = next;
}

/** Options have a length, and none of 0 (RFC 4861, 4.6). *source_ll tells of that option. */
static bool
options_ok(const uint8_t *o, uint32_t len, bool *source_ll)
{
	*source_ll = false;
	while (len > 0) {
		uint32_t n;

		if (len < 8)
			return false;
		n = o[1] * 8u;
		if (n == 0 || n > len)
			return false;
		*source_ll |= o[0] == OPT_SOURCE_LL;
		o += n;
		len -= n;
	}
	return true;
}

/** ff02::1:ff00:0/104 (RFC 4291, 2.7.1). */
static bool
is_solicited_node(const struct flowtab_addr *a)
{
	static const struct flowtab_addr base = { .b = { 0xff, 2, [11] = 1, [12] = 0xff } };

	return flowtab_addr_in_prefix(a, &base, 104);
}

/**
 * Is this neighbour solicited here? All that is on-link lies behind the gateway, but what is the
 * guest's own. A detection of duplicates (RFC 4862, 5.4) is answered for weir's own addresses, and
 * those of guests that it may reach.
 */
static bool
ns_answers(const struct l4x *l, const struct l4x_port *port, const struct flowtab_addr *src,
	const struct flowtab_addr *target)
{
	if (l4x_addr_is_gateway(port, target) || l4x_ew_is_taken(l, port, target))
		return true;
	if (flowtab_addr_is_zero(src) || flowtab_addr_eq(src, target))
		return false;
	return l4x_addr_on_link(&port->conf, target) && !l4x_addr_is_guest(port, target);
}

static void
na_send(struct l4x *l, const struct l4x_pkt *p, const struct flowtab_addr *target)
{
	bool dad = flowtab_addr_is_zero(&p->tuple.eaddr);
	struct rte_mbuf *m = l4x_mbuf(l);
	struct nd_ns *na;

	if (m == NULL)
		return;
	na = add(m, sizeof(*na));
	if (na == NULL) {
		l4x_drop(l, m, L4X_DROP_NO_MBUF);
		return;
	}
	na->type = ND_NA;
	/* RFC 4861, 7.2.4: to who has no address yet, the answer is not "solicited". */
	na->flags = NA_OVERRIDE;
	if (!dad)
		na->flags |= NA_SOLICITED;
	if (l4x_addr_is_gateway(p->port, target))
		na->flags |= NA_ROUTER;
	memcpy(na->target, target->b, sizeof(na->target));
	add_lladdr(m, OPT_TARGET_LL, p->port);
	nd_send(l, p->port, p->queue, m, target, dad ? &all_nodes : &p->tuple.eaddr);
}

/** RFC 4861, 7.1.1. @return false: malformed */
static bool
ns_rx(struct l4x *l, const struct l4x_pkt *p)
{
	const struct nd_ns *ns = l4x_pkt_l4(p);
	bool dad = flowtab_addr_is_zero(&p->tuple.eaddr), source_ll;
	struct flowtab_addr target;

	if (p->l4_len < sizeof(*ns))
		return false;
	target = flowtab_addr_v6(ns->target);
	if (flowtab_addr_is_multicast(&target) || flowtab_addr_is_v4(&target) ||
		!options_ok((const uint8_t *)(ns + 1), p->l4_len - sizeof(*ns), &source_ll))
		return false;
	if (dad && (source_ll || !is_solicited_node(&p->tuple.oaddr)))
		return false;
	if (ns_answers(l, p->port, &p->tuple.eaddr, &target))
		na_send(l, p, &target);
	return true;
}

/** RFC 4861, 6.1.1. @return false: malformed */
static bool
rs_rx(struct l4x *l, const struct l4x_pkt *p)
{
	bool anonymous = flowtab_addr_is_zero(&p->tuple.eaddr), source_ll;
	const uint8_t *rs = l4x_pkt_l4(p);

	if (!options_ok(rs + 8, p->l4_len - 8, &source_ll) || (anonymous && source_ll))
		return false;
	ra_send(l, p->port, anonymous ? &all_nodes : &p->tuple.eaddr, RA_LIFETIME_S);
	return true;
}

void
l4x_nd(struct l4x *l, struct l4x_pkt *p)
{
	const struct nd_ns *nd = l4x_pkt_l4(p);
	bool ok = false;

	/* RFC 6980, 5: not in fragments. All of it in the first segment: options are looked at. */
	if (p->ttl == HOP_LIMIT && nd->code == 0 && !p->fragmented &&
		(uint32_t)p->l4_off + p->l4_len <= rte_pktmbuf_data_len(p->m)) {
		if (nd->type == ND_NS)
			ok = ns_rx(l, p);
		else if (nd->type == ND_RS)
			ok = rs_rx(l, p);
		else
			ok = nd->type == ND_NA && p->l4_len >= sizeof(*nd);
	}
	if (ok)
		rte_pktmbuf_free(p->m);
	else
		l4x_drop(l, p->m, L4X_DROP_ND_BAD);
}
