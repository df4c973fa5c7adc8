/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Rules have changed: flows that live are held against them, in steps. What became of a flow when
 * it began (translation, mark, zone) stays; what is not allowed any more is cut.
 */
#include "l4x_priv.h"

/** Flows that the rules are asked about by one call, and places in the table looked at. */
#define RECHECK_FLOWS 256
#define RECHECK_SCAN 16384

/** By its first packet. */
static bool
tracked_is_allowed(const struct l4x *l, uint32_t idx, const struct rule **rule)
{
	const struct flowtab_flow *f = &l->ftf[idx];
	const struct l4x_port *port = &l->ports[f->pif];
	struct flowtab_tuple t;
	uint16_t to;

	if (!port->present || flowtab_tuple(l->ft, idx, FLOWTAB_SIDE_GUEST, &t) < 0)
		return false;
	to = l4x_neighbour(l, port, &t.oaddr);
	if (l4x_rule_find(l, port, &t, RULES_EAST_WEST, to, rule) != RULES_ACCEPT)
		return false;
	return to != 0 || (*rule != NULL && ((*rule)->nat.what & CT_NAT_DST) != 0);
}

static bool
socket_is_allowed(const struct l4x *l, uint32_t idx, const struct rule **rule)
{
	const struct l4x_flow *f = &l->flows[idx];
	const struct l4x_port *port = &l->ports[f->pif];
	struct flowtab_tuple t;

	if (flowtab_tuple(l->ft, idx, FLOWTAB_SIDE_GUEST, &t) < 0)
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
	const uint32_t parent = l->ftf[idx].parent;
	const struct rule *rule = NULL;
	bool allowed;

	if (l->ftf[idx].kind == FLOWTAB_KIND_SOCKET) {
		allowed = socket_is_allowed(l, idx, &rule);
	} else if (parent == FLOWTAB_NONE) {
		allowed = tracked_is_allowed(l, idx, &rule);
	} else {
		/* What a helper has announced is allowed if its parent is. */
		return l->ftf[parent].state != FLOWTAB_FREE &&
			l->ftf[parent].kind == FLOWTAB_KIND_TRACKED &&
			tracked_is_allowed(l, parent, &rule);
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
