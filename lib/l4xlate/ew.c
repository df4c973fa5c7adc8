/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Packets between guests: tracked (ct.h), admitted by rules when they begin a flow (rules.h), and
 * passed on. What a sender is told of a packet quotes it as it was sent, so all that may be
 * answered is found out before the tracker translates it.
 */
#include "l4x_priv.h"

#define ICMP_UNREACH 3
#define ICMP_UNREACH_HOST 1
#define ICMP_TIME 11
#define ICMP6_UNREACH 1
#define ICMP6_UNREACH_ADDR 3
#define ICMP6_TIME 3

/** Addresses of a range that are tried for one that is a guest's. */
#define DNAT_TRIES 16

/** What has been found out about a packet that may begin a flow. */
struct admission {
	const struct rule *rule; /**< NULL: the policy decides */
	enum rules_action action;
	uint16_t to; /**< pif of the guest that it is for; 0: of none */
	struct ct_nat nat;
};

/** The input of the tracker; it writes all of the rest. */
static void
ct_pkt_of(const struct l4x_pkt *p, uint32_t idx, uint8_t side, struct ct_pkt *c)
{
	c->m = p->m;
	c->tuple = &p->tuple;
	c->l3_off = p->l3_off;
	c->l4_off = p->l4_off;
	c->data_off = p->data_off;
	c->flags = CT_PKT_LOOKED_UP;
	c->v4 = p->v4;
	c->l4_len = p->l4_len;
	c->flow = idx;
	c->side = side;
	if ((p->m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_NONE)
		c->flags |= CT_PKT_CSUM_PARTIAL;
	else if (p->kind != L4X_KIND_OTHER)
		c->flags |= CT_PKT_CSUM_OK;
}

/** What the sender leaves to its card must be what a card can do. L4X_PKT_OK, or why not. */
static int
offload_ok(struct l4x_pkt *p)
{
	const uint64_t csum = p->m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK;
	const bool partial = csum == RTE_MBUF_F_RX_L4_CKSUM_NONE;

	if (partial && p->kind != L4X_KIND_TCP && p->kind != L4X_KIND_UDP)
		return L4X_DROP_L4_CHECKSUM;
	/* An mbuf's lengths hold no more of headers. */
	if (partial && p->l4_off - p->l3_off >= 1 << RTE_MBUF_L3_LEN_BITS)
		return L4X_DROP_IP_EXTHDR;
	/* A checksum that is completed covers the whole packet. */
	if (partial && p->l4_off - p->l3_off + p->l4_len != p->ip_len)
		return L4X_DROP_L4_SHORT;
	if (p->m->tso_segsz >= p->data_len)
		p->m->tso_segsz = 0;
	if (p->m->tso_segsz != 0 && (p->kind != L4X_KIND_TCP || !partial))
		return L4X_DROP_GSO;
	return L4X_PKT_OK;
}

/** The packet is passed on as it is, and no further than it may go. False: it is no more. */
static bool
may_go_on(struct l4x *l, struct l4x_pkt *p)
{
	int why = offload_ok(p);

	/* RFC 1812, 5.3.4: what was sent to all of the link is for the link. */
	if (unlikely(p->l2_multicast))
		why = L4X_DROP_IP_DEST;
	if (unlikely(why != L4X_PKT_OK)) {
		l4x_drop(l, p->m, (enum l4x_counter)why);
		return false;
	}
	if (unlikely(p->ttl <= 1)) {
		l4x_icmp_error_pkt(l, p, p->v4 ? ICMP_TIME : ICMP6_TIME, 0, 0);
		l4x_drop(l, p->m, L4X_DROP_IP_TTL);
		return false;
	}
	if (unlikely(p->m->pkt_len != p->l3_off + p->ip_len))
		l4x_mbuf_cut(p->m, p->l3_off + p->ip_len);
	return true;
}

/** The port at the flow's other end. NULL: it goes, is gone, or is in another world now. */
static struct l4x_port *
other_end(struct l4x *l, const struct l4x_pkt *p, uint32_t idx)
{
	const struct flowtab_flow *f = &l->ftf[idx];
	struct l4x_port *to = l4x_port(l, f->pif == p->port->conf.pif ? f->opif : f->pif);

	return to != NULL && l4x_ew_may_meet(p->port, to) ? to : NULL;
}

/* ---- packets that begin a flow ---- */

bool
l4x_ew_is_own(const struct l4x *l, const struct l4x_port *port, const struct flowtab_addr *a)
{
	const struct l4x_port_conf *c = &port->conf;

	return flowtab_addr_eq(a, flowtab_addr_is_v4(a) ? &c->address : &c->address6) ||
		(l4x_addr_on_link(c, a) && l4x_neighbour(l, port, a) == 0);
}

/** Which guest a rule leads to: of a range of addresses, only such as are guests'. */
static void
choose_guest(struct l4x *l, const struct l4x_pkt *p, struct admission *a)
{
	struct ct_nat_range *r = &a->nat.dst;
	const uint32_t n = (uint32_t)RTE_MIN(flowtab_addr_count(&r->min, &r->max), DNAT_TRIES);
	struct flowtab_addr addr = r->min;

	a->to = 0;
	for (uint32_t i = 0; i < n && a->to == 0; i++) {
		addr = l4x_rule_pick(l, r, a->nat.choice, &p->tuple, i);
		a->to = l4x_neighbour(l, p->port, &addr);
	}
	r->min = addr;
	r->max = addr;
}

/** What the rules say. a->to tells whom the packet is addressed to. */
static void
ask_rules(const struct l4x *l, const struct l4x_pkt *p, struct admission *a)
{
	a->action = l4x_rule_find(l, p->port, &p->tuple, RULES_EAST_WEST, a->to, &a->rule);
	if (a->rule != NULL)
		a->nat = a->rule->nat;
}

static bool
translates_destination(const struct admission *a)
{
	return a->rule != NULL && a->action == RULES_ACCEPT &&
		(a->rule->nat.what & CT_NAT_DST) != 0;
}

/** The guest that the flow leads to. NULL: there is none, or the packet is too large for it. */
static struct l4x_port *
receiver(struct l4x *l, struct l4x_pkt *p, struct admission *a)
{
	struct l4x_port *to;

	if (translates_destination(a) && !flowtab_addr_is_any(&a->nat.dst.min))
		choose_guest(l, p, a);
	to = l4x_port(l, a->to);
	if (to == NULL) {
		l4x_icmp_error_pkt(l, p, p->v4 ? ICMP_UNREACH : ICMP6_UNREACH,
			p->v4 ? ICMP_UNREACH_HOST : ICMP6_UNREACH_ADDR, 0);
		l4x_drop(l, p->m, L4X_DROP_IP_DEST);
		return NULL;
	}
	if (l4x_ew_fits(l, p, to))
		return to;
	l4x_drop(l, p->m, L4X_DROP_TOO_BIG);
	return NULL;
}

/** Which queue pair the sender uses for the flow: that is where it is sent to (ew_out.c). */
static void
note_queue(struct l4x *l, const struct l4x_pkt *p, uint32_t idx, uint8_t side)
{
	struct l4x_flow *f = &l->flows[idx];
	uint8_t *queue = side == FLOWTAB_SIDE_GUEST ? &f->queue : &f->other_queue;

	if (unlikely(*queue != p->queue))
		*queue = p->queue;
}

static bool
commit(struct l4x *l, const struct l4x_pkt *p, struct ct_pkt *c, const struct admission *a,
	uint16_t opif)
{
	struct ct_commit how = { .opif = opif };
	const struct rule *r = a->rule;

	if (r != NULL) {
		how.nat = r->nat.what != 0 ? &a->nat : NULL;
		how.cookie = (uint16_t)r->number;
		how.helper = r->helper;
		how.set_zone = r->set_zone;
		how.zone = r->to_zone;
		how.mark = r->mark;
		how.mark_mask = r->set_mark ? UINT32_MAX : 0;
	}
	if (!ct_commit(l->ew.ct, c, &how, l4x_now_ms(l)))
		return false;
	l->flows[c->flow].queue = L4X_NO_QUEUE;
	l->flows[c->flow].other_queue = L4X_NO_QUEUE;
	note_queue(l, p, c->flow, c->side);
	l->flows_made++;
	l4x_count(l, L4X_COUNT_FLOWS_NEW);
	return true;
}

/** A flow that no helper has announced: the rules decide. The frame is the packet's. */
static void
admit(struct l4x *l, struct l4x_pkt *p, struct ct_pkt *c, struct admission *a)
{
	const uint32_t rate = p->port->conf.new_flows_per_s;
	struct l4x_port *to;

	if (a->to != 0)
		ask_rules(l, p, a);
	l4x_rule_decided(l, a->rule, RULES_EAST_WEST, &p->tuple);
	if (a->action != RULES_ACCEPT) {
		l4x_rule_refuse(l, p, a->action);
		rte_pktmbuf_free(p->m);
		return;
	}
	if (rate != 0 && !l4x_bucket_take(&p->port->new_flows, rate, rate, l->now_us)) {
		l4x_drop(l, p->m, L4X_DROP_FLOW_RATE);
		return;
	}
	to = receiver(l, p, a);
	if (to == NULL)
		return;
	if (commit(l, p, c, a, to->conf.pif))
		l4x_ew_send(l, p, to, c->flow, c->side);
	else
		rte_pktmbuf_free(p->m);
}

/** A flow that a helper has announced leads to its parent's other end, and needs no rule. */
static void
expected(struct l4x *l, struct l4x_pkt *p, struct ct_pkt *c)
{
	const struct admission none = { 0 };
	struct l4x_port *to = c->parent != FLOWTAB_NONE ? other_end(l, p, c->parent) : NULL;

	if (to == NULL) {
		l4x_drop(l, p->m, L4X_DROP_NO_LINK);
	} else if (!l4x_ew_fits(l, p, to)) {
		l4x_drop(l, p->m, L4X_DROP_TOO_BIG);
	} else if (commit(l, p, c, &none, to->conf.pif)) {
		l4x_ew_send(l, p, to, c->flow, c->side);
	} else {
		rte_pktmbuf_free(p->m);
	}
}

/** An ICMP error, translated by the flow that it is about. */
static void
related(struct l4x *l, struct l4x_pkt *p, const struct ct_pkt *c)
{
	struct l4x_port *to = other_end(l, p, c->flow);

	if (to != NULL)
		l4x_ew_send(l, p, to, c->flow, c->side);
	else
		l4x_drop(l, p->m, L4X_DROP_NO_LINK);
}

/** Is the packet, addressed to no guest, for one all the same? By a rule, or a flow of ours. */
static bool
leads_here(struct l4x *l, struct l4x_pkt *p, struct ct_pkt *c, struct admission *a)
{
	if (likely(!l4x_ew_stands_for_guest(l, p->port, &p->tuple.oaddr)))
		return false;
	ask_rules(l, p, a);
	ct_track(l->ew.ct, c, l4x_now_ms(l));
	return translates_destination(a) || (c->state & CT_REL) != 0;
}

/** Tracked, and accepted. The frame is the packet's. */
static void
begin(struct l4x *l, struct l4x_pkt *p, struct ct_pkt *c, struct admission *a)
{
	if (!l4x_ew_is_own(l, p->port, &p->tuple.eaddr)) {
		l4x_drop(l, p->m, L4X_DROP_IP_SOURCE);
		return;
	}
	if (!may_go_on(l, p))
		return;
	if (c->flow != FLOWTAB_NONE)
		related(l, p, c);
	else if (c->expect != FLOWTAB_NONE)
		expected(l, p, c);
	else
		admit(l, p, c, a);
}

bool
l4x_ew_begin(struct l4x *l, struct l4x_pkt *p)
{
	struct admission a = { .to = l4x_neighbour(l, p->port, &p->tuple.oaddr) };
	struct ct_pkt c;

	ct_pkt_of(p, FLOWTAB_NONE, FLOWTAB_SIDE_GUEST, &c);
	if (a.to != 0)
		ct_track(l->ew.ct, &c, l4x_now_ms(l));
	else if (!leads_here(l, p, &c, &a))
		return false;
	if (c.verdict != CT_ACCEPT)
		rte_pktmbuf_free(p->m);
	else
		begin(l, p, &c, &a);
	return true;
}

/* ---- packets of a flow ---- */

/** The flow was over, and the same ends begin another. */
static void
begin_again(struct l4x *l, struct l4x_pkt *p, struct ct_pkt *c)
{
	struct admission a = { .to = l4x_neighbour(l, p->port, &p->tuple.oaddr) };

	if (a.to == 0)
		ask_rules(l, p, &a);
	begin(l, p, c, &a);
}

void
l4x_ew_rx(struct l4x *l, struct l4x_pkt *p, uint32_t idx, uint8_t side)
{
	struct l4x_port *to = other_end(l, p, idx);
	struct ct_pkt c;

	if (!may_go_on(l, p))
		return;
	if (unlikely(to == NULL)) {
		l4x_drop(l, p->m, L4X_DROP_NO_LINK);
		return;
	}
	if (unlikely(!l4x_ew_fits(l, p, to))) {
		l4x_drop(l, p->m, L4X_DROP_TOO_BIG);
		return;
	}
	ct_pkt_of(p, idx, side, &c);
	ct_track(l->ew.ct, &c, l4x_now_ms(l));
	if (unlikely(c.verdict != CT_ACCEPT)) {
		rte_pktmbuf_free(p->m);
		return;
	}
	if (unlikely(c.flow == FLOWTAB_NONE)) {
		begin_again(l, p, &c);
		return;
	}
	/* Of a guest with one queue pair there is nothing to be known. */
	if (p->port->conf.n_queues > 1)
		note_queue(l, p, c.flow, c.side);
	l4x_ew_send(l, p, to, c.flow, c.side);
}
