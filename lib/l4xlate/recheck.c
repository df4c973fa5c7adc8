/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Rules or ports have changed: flows that live are held against them, in steps. What became of a
 * flow when it began (translation, mark, zone) stays; what is not allowed any more is cut, and so
 * is what leads to who is not there any more: a guest that has another zone, network or address.
 */
#include "l4x_priv.h"

/** Flows that the rules are asked about by one call, and places in the table looked at. */
#define RECHECK_FLOWS 256
#define RECHECK_SCAN 16384

/** Are both ends still who they were when it began? Reads both tuples. */
static bool
ends_are_there(const struct l4x *l, uint32_t idx, struct flowtab_tuple t[FLOWTAB_SIDES])
{
	const struct flowtab_flow *f = &l->ftf[idx];
	const struct l4x_port *a = &l->ports[f->pif], *b = &l->ports[f->opif];

	for (unsigned int side = 0; side < FLOWTAB_SIDES; side++)
		if (flowtab_tuple(l->ft, idx, (enum flowtab_side)side, &t[side]) < 0)
			return false;
	if (!a->present || !b->present || !l4x_ew_may_meet(a, b))
		return false;
	return t[FLOWTAB_SIDE_GUEST].zone == a->conf.zone &&
		l4x_ew_is_own(l, a, &t[FLOWTAB_SIDE_GUEST].eaddr) &&
		l4x_ew_is_own(l, b, &t[FLOWTAB_SIDE_OTHER].eaddr);
}

/** By its first packet. */
static bool
tracked_is_allowed(const struct l4x *l, uint32_t idx, const struct rule **rule)
{
	const struct flowtab_flow *f = &l->ftf[idx];
	const struct l4x_port *port = &l->ports[f->pif];
	struct flowtab_tuple t[FLOWTAB_SIDES];
	uint16_t to;

	if (!ends_are_there(l, idx, t) ||
		l4x_neighbour(l, port, &t[FLOWTAB_SIDE_OTHER].eaddr) != f->opif)
		return false;
	to = l4x_neighbour(l, port, &t[FLOWTAB_SIDE_GUEST].oaddr);
	if (l4x_rule_find(l, port, &t[FLOWTAB_SIDE_GUEST], RULES_EAST_WEST, to, rule) !=
		RULES_ACCEPT)
		return false;
	return to == f->opif || (*rule != NULL && ((*rule)->nat.what & CT_NAT_DST) != 0);
}

/** What a helper has announced is allowed if its parent is. */
static bool
expected_is_allowed(const struct l4x *l, uint32_t idx, const struct rule **rule)
{
	const struct flowtab_flow *f = &l->ftf[idx], *parent = &l->ftf[f->parent];
	struct flowtab_tuple t[FLOWTAB_SIDES];

	/* One that is younger has taken the place of the parent. */
	return parent->state != FLOWTAB_FREE && parent->kind == FLOWTAB_KIND_TRACKED &&
		parent->created_ms <= f->created_ms && ends_are_there(l, idx, t) &&
		tracked_is_allowed(l, f->parent, rule);
}

static bool
socket_is_allowed(const struct l4x *l, uint32_t idx, const struct rule **rule)
{
	const struct l4x_flow *f = &l->flows[idx];
	const struct l4x_port *port = &l->ports[f->pif];
	struct flowtab_tuple t;

	if (flowtab_tuple(l->ft, idx, FLOWTAB_SIDE_GUEST, &t) < 0)
		return false;
	/* What the guest sends now does not belong to it. */
	if (t.zone != port->conf.zone)
		return false;
	if (!f->inbound)
		return l4x_rule_find(l, port, &t, RULES_OUT, 0, rule) == RULES_ACCEPT;
	t = l4x_rule_seen_in(&t, &f->peer, f->peer_port);
	t.oport = f->guest_port;
	return l4x_rule_find(l, port, &t, RULES_IN, 0, rule) == RULES_ACCEPT;
}

static bool
is_allowed(struct l4x *l, uint32_t idx)
{
	const struct rule *rule = NULL;
	bool allowed;

	if (l->ftf[idx].kind == FLOWTAB_KIND_SOCKET) {
		allowed = socket_is_allowed(l, idx, &rule);
	} else if (l->ftf[idx].parent == FLOWTAB_NONE) {
		allowed = tracked_is_allowed(l, idx, &rule);
	} else {
		return expected_is_allowed(l, idx, &rule);
	}
	if (allowed)
		l->ftf[idx].cookie = rule != NULL ? (uint16_t)rule->number : RULES_NONE;
	return allowed;
}

static void
cut(struct l4x *l, uint32_t idx)
{
	l4x_count(l, L4X_COUNT_RULE_CUT);
	l4x_flow_cut(l, idx);
}

void
l4x_recheck_begin(struct l4x *l)
{
	l->ew.recheck = 0;
	l->ew.rechecking = flowtab_count(l->ft) > 0;
}

void
l4x_recheck(struct l4x *l)
{
	const uint32_t max = flowtab_max(l->ft);
	uint32_t *at = &l->ew.recheck, asked = 0;

	for (uint32_t seen = 0; *at < max && seen < RECHECK_SCAN; seen++, (*at)++) {
		if (l->ftf[*at].state == FLOWTAB_FREE)
			continue;
		if (asked++ == RECHECK_FLOWS || !l4x_out_room(l, L4X_END_ROOM))
			return;
		if (!is_allowed(l, *at))
			cut(l, *at);
	}
	l->ew.rechecking = *at < max;
}
