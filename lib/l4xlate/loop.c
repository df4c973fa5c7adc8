/* SPDX-License-Identifier: BSD-3-Clause */
#include "l4x_priv.h"

/** TCP flows whose timer is run by one round, and what one of them may put out. */
#define TIMER_ROUND 32
#define TIMER_ROOM 8
/** Entries of the wheels looked at by one call. */
#define TIMER_BUDGET 512
#define EXPIRE_BUDGET 64

/** A connection for a port that is gone: the peer is not left waiting. */
static void
refuse(struct l4x *l, const struct l4x_event *ev)
{
	struct l4x_op *op = l4x_op_add(l, L4X_OP_REFUSE, FLOWTAB_NONE);

	op->bridge = ev->bridge;
	op->adopt.token = ev->accepted.token;
	op->adopt.pif = ev->accepted.pif;
	l4x_count(l, L4X_DROP_NO_LINK);
}

static void
listener_event(struct l4x *l, const struct l4x_event *ev)
{
	const struct l4x_port *port = l4x_port(l, ev->accepted.pif);

	if (ev->type == L4X_EV_ACCEPTED) {
		if (port == NULL || !port->up)
			refuse(l, ev);
		else
			l4x_tcp_accepted(l, ev);
	} else if (port == NULL || !port->up) {
		l4x_drop(l, ev->accepted.m, L4X_DROP_NO_LINK);
	} else {
		l4x_udp_listen(l, ev);
	}
}

static void
flow_event(struct l4x *l, const struct l4x_event *ev)
{
	uint32_t idx = flowtab_by_handle(l->ft, ev->flow);
	struct l4x_event gone = *ev;

	if (idx == FLOWTAB_NONE || ev->type >= L4X_EV_TYPES) {
		l4x_count(l, L4X_DROP_FLOW_STALE);
		l4x_event_free(&gone);
		return;
	}
	switch (l->ftf[idx].proto) {
	case IPPROTO_TCP:
		l4x_tcp_event(l, idx, ev);
		break;
	case IPPROTO_UDP:
		l4x_udp_event(l, idx, ev);
		break;
	default:
		l4x_icmp_event(l, idx, ev);
		break;
	}
}

void
l4x_events(struct l4x *l, const struct l4x_event *events, unsigned int n, uint64_t now_us)
{
	l->now_us = now_us;
	for (unsigned int i = 0; i < n; i++) {
		if (events[i].type == L4X_EV_ACCEPTED || events[i].type == L4X_EV_LISTEN_DGRAM)
			listener_event(l, &events[i]);
		else
			flow_event(l, &events[i]);
	}
	l4x_tcp_burst_end(l);
}

/** The wheel counts ms; rounded up, for a timer must not come early. */
static uint64_t
timer_deadline_ms(void *arg, uint32_t idx)
{
	const struct l4x *l = arg;
	uint64_t us;

	if (l->ftf[idx].state == FLOWTAB_FREE || l->ftf[idx].proto != IPPROTO_TCP)
		return FLOWTAB_NEVER;
	us = l4x_tcp_deadline_us(l, idx);
	return us == UINT64_MAX ? FLOWTAB_NEVER : us / 1000 + (us % 1000 != 0);
}

static void
tcp_timer(struct l4x *l, uint32_t idx)
{
	uint32_t generation = l->ftf[idx].generation;

	if (l->ftf[idx].state == FLOWTAB_FREE || l->ftf[idx].proto != IPPROTO_TCP)
		return;
	l4x_tcp_timer(l, idx);
	if (l->ftf[idx].state != FLOWTAB_FREE && l->ftf[idx].generation == generation)
		l4x_timer_set(l, idx, l4x_tcp_deadline_us(l, idx));
}

static void
tcp_timers(struct l4x *l)
{
	uint32_t due[TIMER_ROUND], n;

	for (unsigned int round = 0; round < TIMER_BUDGET / TIMER_ROUND; round++) {
		if (!l4x_out_room(l, TIMER_ROUND * TIMER_ROOM))
			break;
		n = flowtab_wheel_advance(l->timers, l4x_now_ms(l), timer_deadline_ms, l, due,
			TIMER_ROUND, TIMER_BUDGET);
		for (uint32_t i = 0; i < n; i++)
			tcp_timer(l, due[i]);
		l4x_tcp_burst_end(l);
		if (n < TIMER_ROUND)
			break;
	}
}

void
l4x_timers(struct l4x *l, uint64_t now_us)
{
	l->now_us = now_us;
	tcp_timers(l);
	/* The table doubles its budget when it is behind. */
	if (l4x_out_room(l, 2 * EXPIRE_BUDGET) && flowtab_next(l->ft) <= l4x_now_ms(l))
		flowtab_expire(l->ft, l4x_now_ms(l), EXPIRE_BUDGET);
	if (unlikely(l->ew.rechecking))
		l4x_recheck(l);
	ct_expire(l->ew.ct, l4x_now_ms(l), EXPIRE_BUDGET);
	if (now_us >= l->next_ra_us)
		l4x_nd_timers(l);
	l4x_frags_expire(l);
}

static uint64_t
ms_to_us(uint64_t ms)
{
	return ms >= UINT64_MAX / 1000 ? UINT64_MAX : ms * 1000;
}

uint64_t
l4x_next_us(const struct l4x *l)
{
	uint64_t next = RTE_MIN(l->next_ra_us, ms_to_us(flowtab_frags_next_ms(l->frags)));

	if (l->ew.rechecking)
		return l->now_us;
	next = RTE_MIN(next, ms_to_us(flowtab_wheel_next(l->timers)));
	return RTE_MIN(next, ms_to_us(flowtab_next(l->ft)));
}
