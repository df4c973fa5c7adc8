/* SPDX-License-Identifier: BSD-3-Clause */
/* Flows of both kinds, seen from outside: shown to people, ended by others than themselves. */
#include "l4x_priv.h"

#include <errno.h>
#include <stdio.h>

/** Flows looked at by one call that closes flows. */
#define CLOSE_SCAN 16384

static const char *
dgram_state_name(const struct flowtab_flow *ff)
{
	uint64_t out = flowtab_flow_pkts(ff, FLOWTAB_SIDE_GUEST);
	uint64_t in = flowtab_flow_pkts(ff, FLOWTAB_SIDE_OTHER);

	if (out > 0 && in > 0)
		return "both-ways";
	return out + in > 1 ? "one-way" : "new";
}

static void
tracked_info(const struct l4x *l, uint32_t idx, struct l4x_flow_info *info, uint64_t now_ms)
{
	struct ct_flow_info ct;

	if (!ct_flow_info(l->ew.ct, idx, &ct, now_ms))
		return;
	info->guest = ct.orig;
	info->host = ct.reply;
	info->translated = (ct.state & (CT_SNAT | CT_DNAT)) != 0;
	info->ct_state = ct.state;
	info->helper = ct.helper;
	info->label[0] = ct.label[0];
	info->label[1] = ct.label[1];
	info->parent = ct.parent;
	snprintf(info->state, sizeof(info->state), "%s", ct.proto_state);
}

static void
socket_info(const struct l4x *l, uint32_t idx, struct l4x_flow_info *info)
{
	const struct flowtab_flow *ff = &l->ftf[idx];
	const struct l4x_flow *f = &l->flows[idx];

	flowtab_tuple(l->ft, idx, FLOWTAB_SIDE_GUEST, &info->guest);
	info->host.proto = ff->proto;
	info->host.pif = FLOWTAB_PIF_HOST;
	info->host.zone = info->guest.zone;
	info->host.eaddr = f->peer;
	info->host.eport = f->peer_port;
	info->host.oaddr = f->local;
	info->host.oport = f->local_port;
	info->translated = f->translated;
	info->inbound = f->inbound;
	snprintf(info->state, sizeof(info->state), "%s",
		ff->proto == IPPROTO_TCP ? l4x_tcp_state_name(f) : dgram_state_name(ff));
}

static void
flow_info(const struct l4x *l, uint32_t idx, struct l4x_flow_info *info, uint64_t now_ms)
{
	const struct flowtab_flow *ff = &l->ftf[idx];

	memset(info, 0, sizeof(*info));
	info->handle = flowtab_handle(l->ft, idx);
	info->kind = ff->kind;
	info->rule = ff->cookie;
	for (unsigned int side = 0; side < FLOWTAB_SIDES; side++) {
		info->pkts[side] = flowtab_flow_pkts(ff, side);
		info->bytes[side] = flowtab_flow_bytes(ff, side);
	}
	info->age_ms = now_ms > ff->created_ms ? now_ms - ff->created_ms : 0;
	info->left_ms = UINT64_MAX;
	if (ff->deadline_ms != FLOWTAB_NEVER)
		info->left_ms = ff->deadline_ms > now_ms ? ff->deadline_ms - now_ms : 0;
	info->mark = ff->mark;
	info->zone = ff->zone;
	info->proto = ff->proto;
	if (ff->kind == FLOWTAB_KIND_TRACKED)
		tracked_info(l, idx, info, now_ms);
	else
		socket_info(l, idx, info);
}

uint32_t
l4x_flow_dump(const struct l4x *l, uint32_t *cursor, struct l4x_flow_info *info, uint32_t max,
	uint64_t now_us)
{
	uint32_t idx[64], done = 0, n;

	while (done < max) {
		n = flowtab_dump(l->ft, cursor, idx, RTE_MIN(max - done, (uint32_t)RTE_DIM(idx)));
		if (n == 0)
			break;
		for (uint32_t i = 0; i < n; i++)
			flow_info(l, idx[i], &info[done++], now_us / 1000);
	}
	return done;
}

bool
l4x_flow_named(const struct l4x *l, uint32_t *cursor, uint32_t max, uint8_t proto,
	const struct flowtab_addr *local, rte_be16_t local_port, struct l4x_flow_info *info,
	uint64_t now_us)
{
	uint32_t idx[64], n;

	for (uint32_t seen = 0; seen < max; seen += n) {
		n = flowtab_dump(l->ft, cursor, idx, RTE_MIN(max - seen, (uint32_t)RTE_DIM(idx)));
		if (n == 0) {
			*cursor = UINT32_MAX;
			return false;
		}
		for (uint32_t i = 0; i < n; i++) {
			const struct l4x_flow *f = &l->flows[idx[i]];

			if (l->ftf[idx[i]].kind == FLOWTAB_KIND_SOCKET && f->translated &&
				l->ftf[idx[i]].proto == proto && f->local_port == local_port &&
				flowtab_addr_eq(&f->local, local)) {
				flow_info(l, idx[i], info, now_us / 1000);
				return true;
			}
		}
	}
	return false;
}

void
l4x_flow_cut(struct l4x *l, uint32_t idx)
{
	if (l->ftf[idx].kind == FLOWTAB_KIND_TRACKED)
		ct_free(l->ew.ct, idx);
	else if (l->ftf[idx].proto == IPPROTO_TCP)
		l4x_tcp_kill(l, idx);
	else
		l4x_dgram_close(l, idx);
}

int
l4x_flows_close(struct l4x *l, uint16_t pif, uint32_t *cursor)
{
	uint32_t max = flowtab_max(l->ft);

	for (uint32_t seen = 0; *cursor < max && seen < CLOSE_SCAN; seen++, (*cursor)++) {
		const struct flowtab_flow *f = &l->ftf[*cursor];

		if (f->state == FLOWTAB_FREE || (pif != 0 && f->pif != pif && f->opif != pif))
			continue;
		if (!l4x_out_room(l, L4X_END_ROOM))
			return 1;
		l4x_flow_cut(l, *cursor);
	}
	return *cursor < max;
}

int
l4x_flow_end(struct l4x *l, uint64_t handle, uint64_t now_us)
{
	uint32_t idx = flowtab_by_handle(l->ft, handle);

	if (idx == FLOWTAB_NONE)
		return -ENOENT;
	if (!l4x_out_room(l, L4X_END_ROOM))
		return -EAGAIN;
	l->now_us = now_us;
	l4x_flow_cut(l, idx);
	return 0;
}
