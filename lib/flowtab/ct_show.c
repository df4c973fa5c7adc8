/* SPDX-License-Identifier: BSD-3-Clause */
/* Flows as people see them, and the removal of those that they choose. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ct_priv.h"

static bool
is_tracked(const struct ct *ct, uint32_t idx)
{
	const struct flowtab_flow *f;

	if (idx >= flowtab_max(ct->ft))
		return false;
	f = &ct->flows[idx];
	return f->kind == FLOWTAB_KIND_TRACKED && f->state != FLOWTAB_FREE &&
		f->state != FLOWTAB_NEW;
}

/** A flow that is younger than its child has taken the place of the parent. */
static uint64_t
parent_of(const struct ct *ct, const struct flowtab_flow *f)
{
	if (f->parent == FLOWTAB_NONE || ct->flows[f->parent].state == FLOWTAB_FREE ||
		ct->flows[f->parent].created_ms > f->created_ms)
		return 0;
	return flowtab_handle(ct->ft, f->parent);
}

bool
ct_flow_info(const struct ct *ct, uint32_t idx, struct ct_flow_info *info, uint64_t now_ms)
{
	const struct flowtab_flow *f;

	if (!is_tracked(ct, idx))
		return false;
	f = &ct->flows[idx];
	*info = (struct ct_flow_info){
		.handle = flowtab_handle(ct->ft, idx),
		.age_ms = now_ms > f->created_ms ? now_ms - f->created_ms : 0,
		.left_ms = f->deadline_ms > now_ms ? f->deadline_ms - now_ms : 0,
		.label = { f->label[0], f->label[1] },
		.mark = f->mark,
		.zone = f->zone,
		.cookie = f->cookie,
		.proto = f->proto,
		.state = ct_state_of(f, FLOWTAB_SIDE_GUEST),
		.policy = f->policy,
		.parent = parent_of(ct, f),
	};
	if (f->deadline_ms == FLOWTAB_NEVER)
		info->left_ms = UINT64_MAX;
	flowtab_tuple(ct->ft, idx, FLOWTAB_SIDE_GUEST, &info->orig);
	flowtab_tuple(ct->ft, idx, FLOWTAB_SIDE_OTHER, &info->reply);
	for (unsigned int side = 0; side < FLOWTAB_SIDES; side++) {
		info->pkts[side] = flowtab_flow_pkts(f, side);
		info->bytes[side] = flowtab_flow_bytes(f, side);
	}
	if ((f->flags & CT_F_HELPED) != 0)
		info->helper = ct->helped[f->ext].helper;
	if (f->proto == IPPROTO_TCP)
		ct_tcp_state_name(f, info->proto_state, sizeof(info->proto_state));
	else
		snprintf(
			info->proto_state, sizeof(info->proto_state), "%s", ct_dgram_state_name(f));
	return true;
}

/** The flow that shows this tuple: as it comes in at either side, or as it leaves. */
static uint32_t
find_seen(struct ct *ct, const struct flowtab_tuple *seen, uint64_t now_ms)
{
	struct flowtab_tuple r;
	uint32_t idx = flowtab_lookup(ct->ft, seen, now_ms, NULL);

	if (idx != FLOWTAB_NONE)
		return idx;
	ct_tuple_reverse(seen, seen->pif, &r);
	return flowtab_lookup(ct->ft, &r, now_ms, NULL);
}

int
ct_original(
	struct ct *ct, const struct flowtab_tuple *seen, uint64_t now_ms, struct flowtab_tuple *t)
{
	uint32_t idx = find_seen(ct, seen, now_ms);

	if (idx == FLOWTAB_NONE || !is_tracked(ct, idx))
		return -ENOENT;
	return flowtab_tuple(ct->ft, idx, FLOWTAB_SIDE_GUEST, t);
}

static bool
addr_matches(const struct flowtab_addr *a, const struct flowtab_addr *net, uint8_t len)
{
	return len == 0 || flowtab_addr_in_prefix(a, net, len);
}

/** Packets that come in by t: from src to dst. */
static bool
tuple_matches(const struct flowtab_tuple *t, const struct ct_match *m)
{
	return addr_matches(&t->eaddr, &m->src, m->src_len) &&
		addr_matches(&t->oaddr, &m->dst, m->dst_len) &&
		(m->sport == 0 || m->sport == t->eport) && (m->dport == 0 || m->dport == t->oport);
}

bool
ct_matches(const struct ct *ct, uint32_t idx, const struct ct_match *m)
{
	const struct flowtab_flow *f = &ct->flows[idx];
	struct flowtab_tuple t;

	if (!is_tracked(ct, idx) || (m->by_zone && f->zone != m->zone) ||
		(m->by_pif && f->pif != m->pif && f->opif != m->pif) ||
		(m->by_proto && f->proto != m->proto) ||
		(m->by_mark && ((f->mark ^ m->mark) & m->mark_mask) != 0))
		return false;
	if (m->by_label &&
		(((f->label[0] ^ m->label[0]) & m->label_mask[0]) != 0 ||
			((f->label[1] ^ m->label[1]) & m->label_mask[1]) != 0))
		return false;
	if (flowtab_tuple(ct->ft, idx, FLOWTAB_SIDE_GUEST, &t) == 0 && tuple_matches(&t, m))
		return true;
	return m->either_way && flowtab_tuple(ct->ft, idx, FLOWTAB_SIDE_OTHER, &t) == 0 &&
		tuple_matches(&t, m);
}

uint32_t
ct_flush(struct ct *ct, const struct ct_match *m, uint32_t *cursor, uint32_t max)
{
	uint32_t idx[FLOWTAB_BURST], gone = 0, seen = 0, n;

	if (*cursor == UINT32_MAX)
		return 0;
	while (seen < max) {
		n = flowtab_dump(ct->ft, cursor, idx, RTE_MIN(max - seen, FLOWTAB_BURST));
		if (n == 0) {
			*cursor = UINT32_MAX;
			break;
		}
		seen += n;
		for (uint32_t i = 0; i < n; i++) {
			if (!ct_matches(ct, idx[i], m))
				continue;
			ct_free(ct, idx[i]);
			gone++;
		}
	}
	return gone;
}

int
ct_flush_tuple(struct ct *ct, const struct flowtab_tuple *t, uint64_t now_ms)
{
	uint32_t idx = find_seen(ct, t, now_ms);

	if (idx == FLOWTAB_NONE || !is_tracked(ct, idx))
		return -ENOENT;
	ct_free(ct, idx);
	return 0;
}
