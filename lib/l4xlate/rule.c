/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Rules about flows between a guest and the host, asked once for each. What a rule translates is
 * one more of the addresses that stand for others: the guest goes on seeing those that it knows.
 */
#include "tcp_priv.h"

#include <errno.h>

#include <flowtab_siphash.h>
#include <rte_ring_elem.h>

#define ICMP_UNREACH 3
#define ICMP_UNREACH_PROHIBITED 13
#define ICMP6_UNREACH 1
#define ICMP6_UNREACH_PROHIBITED 1

/** RFC 6335, 6: dynamic ports, 49152 to 65535. */
#define FIRST_DYNAMIC_PORT 0xc000

/** Flows that are logged: a log is read by people. */
#define LOG_PER_S 100
#define LOG_BURST 100

static void
log_flow(struct l4x *l, const struct rule *rule, enum rules_direction direction,
	const struct flowtab_tuple *t)
{
	struct l4x_log e = {
		.tuple = *t,
		.rule = rule->number,
		.direction = (uint8_t)direction,
		.action = rule->action,
	};

	if (l->params.log == NULL || !l4x_bucket_take(&l->log, LOG_PER_S, LOG_BURST, l->now_us) ||
		rte_ring_sp_enqueue_elem(l->params.log, &e, sizeof(e)) != 0)
		l4x_count(l, L4X_COUNT_LOG_LOST);
}

void
l4x_rule_decided(struct l4x *l, const struct rule *rule, enum rules_direction direction,
	const struct flowtab_tuple *t)
{
	if (l->ew.rules == NULL)
		return;
	rules_hit(l->ew.rules, l->params.worker, rule, direction);
	if (rule != NULL && unlikely(rule->log))
		log_flow(l, rule, direction, t);
}

void
l4x_rule_refuse(struct l4x *l, const struct l4x_pkt *p, enum rules_action action)
{
	if (action != RULES_REJECT) {
		l4x_count(l, L4X_DROP_RULE);
		return;
	}
	l4x_count(l, L4X_DROP_RULE_REJECT);
	if (p->kind == L4X_KIND_TCP)
		l4x_tcp_rst_for(l, p);
	else
		l4x_icmp_error_pkt(l, p, p->v4 ? ICMP_UNREACH : ICMP6_UNREACH,
			p->v4 ? ICMP_UNREACH_PROHIBITED : ICMP6_UNREACH_PROHIBITED, 0);
}

enum rules_action
l4x_rule_find(const struct l4x *l, const struct l4x_port *port, const struct flowtab_tuple *t,
	enum rules_direction direction, uint16_t to_pif, const struct rule **rule)
{
	const struct rules_query q = {
		.tuple = t,
		.direction = (uint8_t)direction,
		.pif = port->conf.pif,
		.to_pif = to_pif,
		.network = (uint16_t)(port->conf.network + 1),
	};

	*rule = NULL;
	if (l->ew.rules == NULL)
		return direction == RULES_EAST_WEST ? RULES_DROP : RULES_ACCEPT;
	*rule = rules_find(l->ew.rules, &q);
	return *rule != NULL ? (enum rules_action)(*rule)->action
			     : rules_policy(l->ew.rules, direction);
}

/* ---- ranges ---- */

static uint64_t
hash_of(struct l4x *l, uint8_t choice, const struct flowtab_tuple *t)
{
	const struct flowtab_sipkey sip = flowtab_sipkey_load(l->params.secret);
	uint64_t words[3] = { t->eaddr.q[0], t->eaddr.q[1], 0 };

	if (choice == CT_NAT_RANDOM)
		return l4x_random(l);
	if (choice == CT_NAT_HASH)
		words[2] = (uint64_t)t->eport << 16 | t->oport;
	return flowtab_siphash13(&sip, words, RTE_DIM(words));
}

/** A number below n; without a division. */
static uint64_t
draw_below(struct l4x *l, uint8_t choice, const struct flowtab_tuple *t, uint64_t n)
{
	return n > 1 ? (uint64_t)((unsigned __int128)hash_of(l, choice, t) * n >> 64) : 0;
}

struct flowtab_addr
l4x_rule_pick(struct l4x *l, const struct ct_nat_range *r, uint8_t choice,
	const struct flowtab_tuple *t, uint32_t nth)
{
	const uint64_t n = flowtab_addr_count(&r->min, &r->max);
	uint64_t at = draw_below(l, choice, t, n) + nth;

	return flowtab_addr_add(&r->min, at < n ? at : at - n);
}

/** A port of a range, or the packet's own. */
static rte_be16_t
pick_port(struct l4x *l, const struct ct_nat_range *r, uint8_t choice,
	const struct flowtab_tuple *t, rte_be16_t own)
{
	const uint32_t n = (uint32_t)(r->port_max - r->port_min) + 1;

	if (r->port_max == 0)
		return own;
	return rte_cpu_to_be_16((uint16_t)(r->port_min + draw_below(l, choice, t, n)));
}

/* ---- a guest begins ---- */

static const struct flowtab_addr loopback6 = { .b = { [15] = 1 } };

/** Where a rule leads a guest's flow, and from where. */
static void
lead_out(struct l4x *l, const struct rule *r, const struct flowtab_tuple *guest,
	struct flowtab_tuple *host)
{
	const struct ct_nat *nat = &r->nat;

	if ((nat->what & CT_NAT_DST) != 0) {
		if (!flowtab_addr_is_any(&nat->dst.min))
			host->eaddr = l4x_rule_pick(l, &nat->dst, nat->choice, guest, 0);
		else if (r->redirect)
			host->eaddr = flowtab_addr_is_v4(&guest->oaddr)
				? flowtab_addr_v4(RTE_BE32(0x7f000001))
				: loopback6;
		host->eport = pick_port(l, &nat->dst, nat->choice, guest, host->eport);
	}
	if ((nat->what & CT_NAT_SRC) != 0) {
		host->oaddr = nat->src.min;
		if (!flowtab_addr_is_any(&nat->src.min))
			host->oaddr = l4x_rule_pick(l, &nat->src, nat->choice, guest, 0);
		else if (flowtab_addr_is_v4(&host->eaddr))
			host->oaddr = flowtab_addr_v4(0);
		host->oport = pick_port(l, &nat->src, nat->choice, guest, 0);
	}
}

static void
terms_of(const struct l4x_port *port, const struct rule *r, struct l4x_terms *terms)
{
	*terms = (struct l4x_terms){
		.mark = port->conf.mark,
		.zone = port->conf.zone,
		.peer_port_min = FIRST_DYNAMIC_PORT,
		.peer_port_max = UINT16_MAX,
	};
	if (r == NULL)
		return;
	if ((r->nat.what & CT_NAT_SRC) != 0 && r->nat.src.port_max != 0) {
		terms->peer_port_min = r->nat.src.port_min;
		terms->peer_port_max = r->nat.src.port_max;
	}
	terms->cookie = (uint16_t)r->number;
	if (r->set_mark)
		terms->mark = r->mark;
	if (r->set_zone)
		terms->zone = r->to_zone;
}

int
l4x_rule_out(struct l4x *l, const struct l4x_port *port, const struct flowtab_tuple *guest,
	struct flowtab_tuple *host, struct l4x_terms *terms)
{
	const struct rule *r;
	enum rules_action action = l4x_rule_find(l, port, guest, RULES_OUT, 0, &r);
	int rc = l4x_outbound(port, guest, host);

	terms_of(port, r, terms);
	terms->guest_port = guest->eport;
	l4x_rule_decided(l, r, RULES_OUT, guest);
	if (action != RULES_ACCEPT)
		return action == RULES_REJECT ? -EACCES : -EPERM;
	if (likely(r == NULL || r->nat.what == 0))
		return rc;
	lead_out(l, r, guest, host);
	if ((r->nat.what & CT_NAT_DST) == 0)
		return rc;
	terms->translated = true;
	/* Only ports are changed of what leads nowhere. */
	return flowtab_addr_is_zero(&host->eaddr) ? -EHOSTUNREACH : 0;
}

/* ---- somebody outside begins ---- */

/** Can the guest have a peer of this address? */
static bool
may_be_peer(const struct l4x_port *port, const struct flowtab_addr *a)
{
	return !l4x_addr_is_nobody(a) && !l4x_addr_is_broadcast(&port->conf, a) &&
		!l4x_addr_is_guest(port, a);
}

/** What the guest sees. False: of these addresses, it cannot. */
static bool
lead_in(struct l4x *l, const struct l4x_port *port, const struct ct_nat *nat,
	const struct flowtab_tuple *seen, struct flowtab_tuple *guest)
{
	const bool v4 = flowtab_addr_is_v4(&guest->eaddr);

	if ((nat->what & CT_NAT_DST) != 0) {
		if (!flowtab_addr_is_any(&nat->dst.min)) {
			guest->eaddr = l4x_rule_pick(l, &nat->dst, nat->choice, seen, 0);
			if (!l4x_addr_is_guest(port, &guest->eaddr))
				return false;
		}
		guest->eport = pick_port(l, &nat->dst, nat->choice, seen, guest->eport);
	}
	if ((nat->what & CT_NAT_SRC) != 0) {
		if (!flowtab_addr_is_any(&nat->src.min)) {
			guest->oaddr = l4x_rule_pick(l, &nat->src, nat->choice, seen, 0);
			if (!may_be_peer(port, &guest->oaddr))
				return false;
		}
		guest->oport = pick_port(l, &nat->src, nat->choice, seen, guest->oport);
	}
	return flowtab_addr_is_v4(&guest->eaddr) == v4 && flowtab_addr_is_v4(&guest->oaddr) == v4;
}

struct flowtab_tuple
l4x_rule_seen_in(
	const struct flowtab_tuple *guest, const struct flowtab_addr *peer, rte_be16_t peer_port)
{
	struct flowtab_tuple t = *guest;
	const bool same = flowtab_addr_is_v4(peer) == flowtab_addr_is_v4(&guest->eaddr);

	t.eaddr = same ? *peer : guest->oaddr;
	t.eport = peer_port;
	t.oaddr = guest->eaddr;
	t.oport = guest->eport;
	return t;
}

int
l4x_rule_in(struct l4x *l, const struct l4x_port *port, struct flowtab_tuple *guest,
	const struct flowtab_tuple *host, struct l4x_terms *terms)
{
	const struct flowtab_tuple seen = l4x_rule_seen_in(guest, &host->eaddr, host->eport);
	const struct rule *r;
	enum rules_action action = l4x_rule_find(l, port, &seen, RULES_IN, 0, &r);

	terms_of(port, r, terms);
	terms->guest_port = guest->eport;
	l4x_rule_decided(l, r, RULES_IN, &seen);
	if (action != RULES_ACCEPT) {
		l4x_count(l, action == RULES_REJECT ? L4X_DROP_RULE_REJECT : L4X_DROP_RULE);
		return -EPERM;
	}
	if (r != NULL && unlikely(r->nat.what != 0)) {
		if (!lead_in(l, port, &r->nat, &seen, guest)) {
			l4x_count(l, L4X_DROP_RULE_NAT);
			return -EADDRNOTAVAIL;
		}
		terms->translated = true;
	}
	return 0;
}
