/* SPDX-License-Identifier: BSD-3-Clause */
/* A guest's fragments: the store is the flow table's (flowtab_frag.h); here is who hears of it. */
#include "l4x_priv.h"

#define ICMP_TIME 11
#define ICMP6_TIME 3
#define TIME_REASSEMBLY 1

/** Reasons of the store, by its own names. */
static enum l4x_counter
counter_of(enum flowtab_frag_reason why)
{
	switch (why) {
	case FLOWTAB_FRAG_FULL:
		return L4X_DROP_FRAG_FULL;
	case FLOWTAB_FRAG_NO_MBUF:
		return L4X_DROP_NO_MBUF;
	default:
		return L4X_DROP_FRAG_BAD;
	}
}

struct rte_mbuf *
l4x_frag_rx(struct l4x *l, struct l4x_pkt *p)
{
	const struct flowtab_frag frag = {
		.m = p->m,
		.src = p->tuple.eaddr,
		.dst = p->tuple.oaddr,
		.pif = p->port->conf.pif,
		.zone = p->port->conf.zone,
		.cookie = p->queue,
		.l3_off = p->l3_off,
		.hdr_off = p->frag_hdr,
		.l4_off = p->l4_off,
		.l4_len = p->l4_len,
		.id = p->frag_id,
		.off = p->frag_off,
		.more = p->frag_more,
		.v4 = p->v4,
		.proto = p->proto,
		.silent = p->frag_off == 0 &&
			l4x_icmp_error_forbidden(
				p, p->v4 ? ICMP_TIME : ICMP6_TIME, TIME_REASSEMBLY),
	};
	enum flowtab_frag_reason why;
	struct rte_mbuf *whole;
	uint32_t evicted;

	why = flowtab_frags_add(l->frags, &frag, l4x_now_ms(l), &whole, &evicted);
	l4x_count_add(l, L4X_DROP_FRAG_FULL, evicted);
	if (why != FLOWTAB_FRAG_OK)
		l4x_count(l, counter_of(why));
	rte_pktmbuf_free(p->m);
	/* The guest lets it travel in pieces: see l4x_dgram_how(). Survives a hand-over. */
	if (whole != NULL)
		whole->packet_type = RTE_PTYPE_L4_FRAG;
	return whole;
}

void
l4x_frags_expire(struct l4x *l)
{
	struct flowtab_frag_late late;

	while (flowtab_frags_expire(l->frags, l4x_now_ms(l), &late)) {
		struct l4x_port *port = l4x_port(l, late.pif);

		l4x_count(l, L4X_DROP_FRAG_TIMEOUT);
		if (port == NULL || !port->up || late.quote_len == 0)
			continue;
		l4x_icmp_error(l, port, (uint8_t)late.cookie, late.v4,
			late.v4 ? ICMP_TIME : ICMP6_TIME, TIME_REASSEMBLY, 0, NULL, late.quote,
			late.quote_len);
	}
}
