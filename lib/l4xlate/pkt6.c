/* SPDX-License-Identifier: BSD-3-Clause */
#include "l4x_priv.h"

/** Extension headers in one packet; RFC 8504, 5.3 allows a limit. */
#define EXT_MAX 8
/** Options of one extension header. */
#define OPT_MAX 16

#define EXT_HOPOPTS 0
#define EXT_ROUTING 43
#define EXT_FRAGMENT 44
#define EXT_NONE 59
#define EXT_DSTOPTS 60

#define ICMP6_PARAMPROB 4
#define ICMP6_PARAMPROB_FIELD 0
#define ICMP6_PARAMPROB_NEXTHDR 1
#define ICMP6_PARAMPROB_OPTION 2
#define ICMP6_PARAMPROB_FIRST_FRAG 3

/** A walk along the chain of headers. Offsets are from the start of the IPv6 header. */
struct walk {
	const uint8_t *h; /**< the IPv6 header */
	uint32_t head;    /**< bytes that may be looked at, from h on */
	uint32_t end;     /**< bytes of the packet */
	uint32_t off;     /**< the header that comes next */
	uint32_t next_at; /**< where its type is written */
	uint8_t next;     /**< its type */
};

static void
param_problem(struct l4x *l, const struct l4x_pkt *p, uint8_t code, uint32_t at)
{
	l4x_icmp_error_pkt(l, p, ICMP6_PARAMPROB, code, at);
}

/** RFC 8200, 4.2: the two highest bits of an unknown option's type say what to do with it. */
static int
unknown_option(struct l4x *l, const struct l4x_pkt *p, uint8_t type, uint32_t at)
{
	uint8_t action = type >> 6;

	if (action == 0)
		return L4X_PKT_OK;
	if (action == 2 || (action == 3 && !flowtab_addr_is_multicast(&p->tuple.oaddr)))
		param_problem(l, p, ICMP6_PARAMPROB_OPTION, at);
	return L4X_DROP_IP_EXTHDR;
}

/** Hop-by-hop or destination options between off + 2 and off + len. */
static int
walk_options(struct l4x *l, const struct l4x_pkt *p, const struct walk *w, uint32_t len)
{
	uint32_t at = w->off + 2, end = w->off + len;
	int why;

	for (unsigned int n = 0; at < end; n++) {
		if (n == OPT_MAX)
			return L4X_DROP_IP_EXTHDR;
		if (w->h[at] == 0) { /* Pad1 */
			at++;
			continue;
		}
		if (at + 2 > end || at + 2 + w->h[at + 1] > end)
			return L4X_DROP_IP_EXTHDR;
		/* PadN and Router Alert (RFC 2711) ask for nothing that is done here. */
		if (w->h[at] != 1 && w->h[at] != 5) {
			why = unknown_option(l, p, w->h[at], at);
			if (why != L4X_PKT_OK)
				return why;
		}
		at += 2u + w->h[at + 1];
	}
	return L4X_PKT_OK;
}

/** RFC 8200, 4.4 and RFC 5095: a route that still has segments is not followed. */
static int
walk_routing(struct l4x *l, const struct l4x_pkt *p, const struct walk *w)
{
	if (w->h[w->off + 3] == 0)
		return L4X_PKT_OK;
	param_problem(l, p, ICMP6_PARAMPROB_FIELD, w->off + 2);
	return L4X_DROP_IP_EXTHDR;
}

/** One extension header. @return L4X_PKT_OK and w moved on, or the reason to drop */
static int
walk_one(struct l4x *l, const struct l4x_pkt *p, struct walk *w, bool first)
{
	uint32_t len;
	int why;

	if (w->off + 8 > w->head || w->off + 8 > w->end)
		return L4X_DROP_IP_EXTHDR;
	len = 8 + 8u * w->h[w->off + 1];
	if (w->off + len > w->head || w->off + len > w->end)
		return L4X_DROP_IP_EXTHDR;
	if (w->next == EXT_HOPOPTS && !first) {
		/* RFC 8200, 4.1: only right behind the IPv6 header. */
		param_problem(l, p, ICMP6_PARAMPROB_NEXTHDR, w->next_at);
		return L4X_DROP_IP_EXTHDR;
	}
	if (w->next == EXT_ROUTING)
		why = walk_routing(l, p, w);
	else
		why = walk_options(l, p, w, len);
	if (why != L4X_PKT_OK)
		return why;
	w->next = w->h[w->off];
	w->next_at = w->off;
	w->off += len;
	return L4X_PKT_OK;
}

static bool
is_extension(uint8_t next)
{
	return next == EXT_HOPOPTS || next == EXT_DSTOPTS || next == EXT_ROUTING;
}

static int
walk_chain(struct l4x *l, const struct l4x_pkt *p, struct walk *w)
{
	for (unsigned int n = 0; is_extension(w->next); n++) {
		int why;

		if (n == EXT_MAX)
			return L4X_DROP_IP_EXTHDR;
		why = walk_one(l, p, w, w->next_at == 6);
		if (why != L4X_PKT_OK)
			return why;
	}
	return L4X_PKT_OK;
}

static struct walk
walk_begin(const struct l4x_pkt *p)
{
	struct walk w = { .off = L4X_IP6_LEN, .next_at = 6, .end = p->ip_len };

	w.h = rte_pktmbuf_mtod_offset(p->m, const uint8_t *, p->l3_off);
	w.head = rte_pktmbuf_data_len(p->m) - p->l3_off;
	w.next = w.h[w.next_at];
	return w;
}

bool
l4x_pkt_is_error6(const struct l4x_pkt *p)
{
	struct walk w = walk_begin(p);
	uint32_t end = RTE_MIN(w.head, w.end), len;

	for (unsigned int n = 0; is_extension(w.next) || w.next == EXT_FRAGMENT; n++) {
		if (n > EXT_MAX || w.off + 8 > end)
			return false;
		/* Behind the header of a later fragment there is no other. */
		if (w.next == EXT_FRAGMENT &&
			((w.h[w.off + 2] << 8 | w.h[w.off + 3]) & 0xfff8) != 0)
			return false;
		len = w.next == EXT_FRAGMENT ? 8 : 8 + 8u * w.h[w.off + 1];
		w.next = w.h[w.off];
		w.off += len;
	}
	/* One whose type cannot be seen may be. */
	return w.next == IPPROTO_ICMPV6 && (w.off >= end || w.h[w.off] < 128);
}

/** RFC 7112: the first fragment holds all headers, the transport's included. */
static int
first_fragment_ok(struct l4x *l, const struct l4x_pkt *p, const struct walk *frag)
{
	struct walk w = *frag;
	uint32_t need = 8;

	w.next = frag->h[frag->off];
	w.next_at = frag->off;
	w.off += 8;
	if (walk_chain(l, p, &w) != L4X_PKT_OK)
		return L4X_DROP_IP_EXTHDR;
	if (w.next == IPPROTO_TCP)
		need = sizeof(struct rte_tcp_hdr);
	if (w.next != EXT_NONE && w.off + need > w.end) {
		param_problem(l, p, ICMP6_PARAMPROB_FIRST_FRAG, 0);
		return L4X_DROP_FRAG_BAD;
	}
	return L4X_PKT_OK;
}

/** RFC 8200, 4.5. An atomic fragment (RFC 6946) is no fragment: the walk goes on behind it. */
static int
walk_fragment(struct l4x *l, struct l4x_pkt *p, struct walk *w, bool *atomic)
{
	uint16_t off;
	uint32_t len;

	if (w->off + 8 > w->head || w->off + 8 > w->end)
		return L4X_DROP_IP_EXTHDR;
	off = (uint16_t)(w->h[w->off + 2] << 8 | w->h[w->off + 3]);
	*atomic = (off & 0xfff9) == 0;
	if (*atomic) {
		p->fragmented = true;
		w->next = w->h[w->off];
		w->next_at = w->off;
		w->off += 8;
		return L4X_PKT_OK;
	}
	len = w->end - w->off - 8;
	p->kind = L4X_KIND_FRAG;
	p->frag_hdr = (uint16_t)(p->l3_off + w->off);
	p->frag_off = off & 0xfff8;
	p->frag_more = off & 1;
	memcpy(&p->frag_id, &w->h[w->off + 4], sizeof(p->frag_id));
	p->l4_off = (uint16_t)(p->frag_hdr + 8);
	p->l4_len = len;
	if (p->frag_more && len % 8 != 0) {
		param_problem(l, p, ICMP6_PARAMPROB_FIELD, 4);
		return L4X_DROP_FRAG_BAD;
	}
	if (p->frag_off + len > UINT16_MAX) {
		param_problem(l, p, ICMP6_PARAMPROB_FIELD, w->off + 2);
		return L4X_DROP_FRAG_BAD;
	}
	return p->frag_off == 0 ? first_fragment_ok(l, p, w) : L4X_PKT_OK;
}

static int
walk_headers(struct l4x *l, struct l4x_pkt *p, struct walk *w)
{
	bool atomic;
	int why = walk_chain(l, p, w);

	if (why != L4X_PKT_OK)
		return why;
	if (w->next == EXT_FRAGMENT) {
		why = walk_fragment(l, p, w, &atomic);
		if (why != L4X_PKT_OK || !atomic)
			return why;
		why = walk_chain(l, p, w);
		if (why != L4X_PKT_OK)
			return why;
		/* A fragment of a fragment: whoever takes it sees another packet than we do. */
		if (w->next == EXT_FRAGMENT)
			return L4X_DROP_FRAG_BAD;
	}
	p->proto = w->next;
	p->l4_off = (uint16_t)(p->l3_off + w->off);
	p->l4_len = w->end - w->off;
	p->next_at = (uint16_t)w->next_at;
	/* RFC 8200, 4.7: nothing follows. */
	return w->next == EXT_NONE ? L4X_DROP_IP_PROTO : l4x_pkt_parse_l4(p);
}

int
l4x_pkt_parse_ip6(struct l4x *l, struct l4x_pkt *p)
{
	const struct rte_ipv6_hdr *ip;
	struct walk w;
	uint32_t vtc;

	if (rte_pktmbuf_data_len(p->m) - p->l3_off < L4X_IP6_LEN)
		return L4X_DROP_IP_SHORT;
	ip = rte_pktmbuf_mtod_offset(p->m, const struct rte_ipv6_hdr *, p->l3_off);
	vtc = rte_be_to_cpu_32(ip->vtc_flow);
	if (vtc >> 28 != 6)
		return L4X_DROP_IP_VERSION;
	p->ip_len = L4X_IP6_LEN + rte_be_to_cpu_16(ip->payload_len);
	if (p->ip_len > rte_pktmbuf_pkt_len(p->m) - p->l3_off)
		return L4X_DROP_IP_SHORT;
	p->v4 = false;
	p->tos = (uint8_t)(vtc >> 20);
	p->ttl = ip->hop_limits;
	p->proto = ip->proto;
	p->tuple = (struct flowtab_tuple){ 0 };
	p->tuple.eaddr = flowtab_addr_v6(ip->src_addr);
	p->tuple.oaddr = flowtab_addr_v6(ip->dst_addr);
	p->tuple.pif = p->port->conf.pif;
	p->tuple.zone = p->port->conf.zone;
	/* RFC 4291, 2.5.5.2: v4-mapped addresses never appear on the wire; here they mean IPv4. */
	if (flowtab_addr_is_v4(&p->tuple.eaddr))
		return L4X_DROP_IP_SOURCE;
	if (flowtab_addr_is_v4(&p->tuple.oaddr) || flowtab_addr_is_any(&p->tuple.oaddr))
		return L4X_DROP_IP_DEST;
	if (p->ttl == 0)
		return L4X_DROP_IP_TTL;
	w = walk_begin(p);
	return walk_headers(l, p, &w);
}
