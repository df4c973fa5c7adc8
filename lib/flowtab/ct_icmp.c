/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ICMP errors: found related by the packet that they quote, translated as RFC 5508, 4 asks for.
 *
 * An error comes in at the port that the quoted packet left by. So the inverse of the quoted
 * packet's tuple is that of a side of its flow, whoever on the way there sends the error: the side
 * that the error comes from. What an error tells is for the ends to judge: nothing of the flow is
 * changed by it.
 */
#include <rte_ip.h>
#include <rte_tcp.h>

#include "ct_priv.h"

/** Where TCP's sequence number and checksum are. */
#define TCP_SEQ 4
#define TCP_CKSUM 16
#define ICMP_CKSUM 2
#define ICMP_LEN 8

/** The quoted packet, as far as it lies in the first segment. */
struct quote {
	uint8_t *ip;
	uint32_t len;
	uint16_t l4_off;
	struct flowtab_tuple tuple;
};

static bool
quote_read(const struct ct_pkt *p, struct quote *q)
{
	uint32_t off = p->l4_off + ICMP_LEN, head = rte_pktmbuf_data_len(p->m), l4_len;
	bool answer;

	q->ip = ct_at(p, off);
	q->len = RTE_MIN(head - off, p->l4_len - ICMP_LEN);
	q->tuple.pif = p->tuple->pif;
	q->tuple.zone = p->tuple->zone;
	if (ct_ip_parse(q->ip, q->len, true, &q->tuple, &q->l4_off, &l4_len) != 0 ||
		flowtab_tuple_is_v4(&q->tuple) != p->v4)
		return false;
	/* No error is about an error (RFC 1122, 3.2.2; RFC 4443, 2.4 (e)), or any such message. */
	return q->tuple.proto != p->tuple->proto ||
		ct_icmp_has_id(q->tuple.proto, q->ip[q->l4_off], &answer);
}

static uint32_t
find_parent(struct ct *ct, const struct quote *q, uint64_t now_ms, uint8_t *side)
{
	struct flowtab_tuple t;
	uint32_t idx;

	ct_tuple_reverse(&q->tuple, q->tuple.pif, &t);
	idx = flowtab_lookup(ct->ft, &t, now_ms, side);
	if (idx != FLOWTAB_NONE && ct->flows[idx].kind != FLOWTAB_KIND_TRACKED)
		return FLOWTAB_NONE;
	return idx;
}

/**
 * Could the quoted packet have been sent, and is the error for its sender? Whoever sees nothing of
 * a connection has to guess its numbers (RFC 5927, 4.1).
 */
static bool
is_genuine(const struct ct *ct, const struct ct_pkt *p, const struct quote *q)
{
	uint32_t seq;

	if (!flowtab_addr_eq(&p->tuple->oaddr, &q->tuple.eaddr))
		return false;
	if (q->tuple.proto != IPPROTO_TCP || !ct->seq_check)
		return true;
	memcpy(&seq, q->ip + q->l4_off + TCP_SEQ, sizeof(seq));
	seq = ct_helper_sent(ct, p->flow, p->side ^ 1, rte_be_to_cpu_32(seq));
	return ct_tcp_has_sent(&ct->flows[p->flow], p->side ^ 1, seq);
}

/**
 * A helper may have changed the numbers of the stream: the quoted one as its sender knows it, and
 * the quoted checksum, if it is there. @return by how much the sum of the quoted bytes has changed
 */
static uint16_t
quote_renumber(struct ct *ct, const struct ct_pkt *p, const struct quote *q)
{
	uint8_t *l4 = q->ip + q->l4_off;
	uint32_t len = RTE_MIN(q->len - q->l4_off, (uint32_t)sizeof(struct rte_tcp_hdr)) & ~1U;
	uint16_t before = rte_raw_cksum(l4, len), cksum;
	rte_be32_t was, is;

	memcpy(&was, l4 + TCP_SEQ, sizeof(was));
	is = rte_cpu_to_be_32(ct_helper_sent(ct, p->flow, p->side ^ 1, rte_be_to_cpu_32(was)));
	if (is == was)
		return 0;
	memcpy(l4 + TCP_SEQ, &is, sizeof(is));
	if (len >= TCP_CKSUM + sizeof(cksum)) {
		memcpy(&cksum, l4 + TCP_CKSUM, sizeof(cksum));
		cksum = ct_cksum_delta(cksum, &was, &is, sizeof(was));
		memcpy(l4 + TCP_CKSUM, &cksum, sizeof(cksum));
	}
	return __rte_raw_cksum_reduce((uint32_t)rte_raw_cksum(l4, len) + (uint16_t)~before);
}

/**
 * The quote becomes what its sender sent; the error goes to it, from where it sent to. A router on
 * the way keeps its own address: it is no end of the flow.
 */
static void
translate(struct ct *ct, struct ct_pkt *p, const struct quote *q)
{
	struct ct_rewrite to, back;
	uint8_t *icmp = ct_at(p, p->l4_off);
	uint16_t cksum;
	uint32_t gain;

	ct_rewrite_of(ct, p->flow, p->side, &to);
	back = (struct ct_rewrite){
		.src = to.dst, .dst = to.src, .sport = to.dport, .dport = to.sport
	};
	gain = ct_rewrite_quote(q->ip, q->len, &back);
	if (q->tuple.proto == IPPROTO_TCP)
		gain += quote_renumber(ct, p, q);
	if ((p->flags & CT_PKT_CSUM_PARTIAL) == 0) {
		memcpy(&cksum, icmp + ICMP_CKSUM, sizeof(cksum));
		cksum = (uint16_t)~__rte_raw_cksum_reduce((uint16_t)~cksum + gain);
		memcpy(icmp + ICMP_CKSUM, &cksum, sizeof(cksum));
	}
	if (!flowtab_addr_eq(&p->tuple->eaddr, &q->tuple.oaddr))
		to.src = p->tuple->eaddr;
	ct_rewrite(p, &to);
}

void
ct_icmp_error(struct ct *ct, struct ct_pkt *p, uint64_t now_ms)
{
	const struct flowtab_flow *f;
	struct quote q;
	uint32_t idx;
	uint8_t side;

	p->flow = FLOWTAB_NONE;
	p->side = FLOWTAB_SIDE_GUEST;
	if (!ct_pkt_is_icmp_error(p)) {
		ct_invalid(ct, p, CT_REASON_ICMP_TYPE);
		return;
	}
	if (!quote_read(p, &q)) {
		ct_invalid(ct, p, CT_REASON_ICMP_QUOTE);
		return;
	}
	idx = find_parent(ct, &q, now_ms, &side);
	if (idx == FLOWTAB_NONE) {
		ct_invalid(ct, p, CT_REASON_ICMP_UNRELATED);
		return;
	}
	p->flow = idx;
	p->side = side;
	if (!is_genuine(ct, p, &q)) {
		ct_invalid(ct, p, CT_REASON_ICMP_FORGED);
		return;
	}
	f = &ct->flows[idx];
	p->state = CT_REL | (ct_state_of(f, side) & (CT_TRK | CT_RPL | CT_SNAT | CT_DNAT));
	ct_tell(ct, p);
	ct_count(ct, CT_COUNT_RELATED);
	if ((f->flags & (CT_F_SNAT | CT_F_DNAT)) == 0)
		return;
	/* The router that a redirect names is none where the quoted packet came from. */
	if (!ct_is_writable(p->m) ||
		(p->v4 && *(const uint8_t *)ct_at(p, p->l4_off) == CT_ICMP_REDIRECT)) {
		ct_refuse(ct, p, CT_DROP, CT_REASON_NAT_REWRITE);
		return;
	}
	translate(ct, p, &q);
	ct_count(ct, CT_COUNT_NATTED);
}
