/* SPDX-License-Identifier: BSD-3-Clause */
#include "tcp_priv.h"

/** Doublings of a timeout at most: enough to reach the longest. */
#define BACKOFF_MAX 16
/** QUERY without news: so many times before it comes less often, and how seldom at most. */
#define POLLS_EAGER 50
#define POLL_SHIFT_MAX 8
#define POLL_MAX_US 160000
/** ... but while bytes of the guest are not acknowledged, never less often than this. */
#define POLL_ACK_US 20000
/** How long an ACK waits for data to carry it. */
#define ACK_WAIT_US 8000
/** The flow table's own limit is behind ours: it frees without telling the guest. */
#define TABLE_GRACE_US 1000000

/* ---- retransmission timeout: RFC 6298 ---- */

uint64_t
l4x_tcp_rto_us(const struct l4x_tcp *t)
{
	uint64_t rto = TCP_RTO_INIT_US;

	if (t->srtt_us != 0)
		rto = (uint64_t)t->srtt_us + RTE_MAX(4ull * t->rttvar_us, TCP_RTO_MIN_US);
	rto <<= t->backoff;
	return RTE_MIN(rto, TCP_RTO_MAX_US);
}

void
l4x_tcp_rtt_sample(struct l4x_tcp *t, uint32_t rtt_us)
{
	uint32_t delta;

	t->backoff = 0;
	rtt_us = RTE_MAX(RTE_MIN(rtt_us, (uint32_t)TCP_RTO_MAX_US), 1u);
	if (t->srtt_us == 0) {
		t->srtt_us = rtt_us;
		t->rttvar_us = rtt_us / 2;
		return;
	}
	delta = t->srtt_us > rtt_us ? t->srtt_us - rtt_us : rtt_us - t->srtt_us;
	t->rttvar_us = (uint32_t)((3ull * t->rttvar_us + delta) / 4);
	t->srtt_us = RTE_MAX((uint32_t)((7ull * t->srtt_us + rtt_us) / 8), 1u);
}

/** The guest takes nothing, and only its own word can change that: it must be asked. */
static bool
must_probe(const struct l4x_tcp *t)
{
	return t->state == L4X_TCP_ESTABLISHED && t->snd_wnd == 0 &&
		(t->flags & L4X_TCP_FIN_ACKED) == 0;
}

static bool
is_outstanding(const struct l4x_tcp *t)
{
	if (t->state == L4X_TCP_SYN_RCVD || t->state == L4X_TCP_SYN_SENT)
		return true;
	return t->state == L4X_TCP_ESTABLISHED &&
		(t->nxt > t->una || (t->flags & L4X_TCP_FIN_OUT) != 0);
}

void
l4x_tcp_rto_arm(struct l4x *l, uint32_t idx, bool restart)
{
	struct l4x_tcp *t = l4x_tcp_of(l, idx);

	if (!is_outstanding(t) && !must_probe(t)) {
		t->rto_at = UINT64_MAX;
		return;
	}
	if (restart || t->rto_at == UINT64_MAX)
		t->rto_at = l->now_us + l4x_tcp_rto_us(t);
	l4x_tcp_dirty(l, idx);
}

/**
 * A window probe, and a keepalive likewise: an ACK with a sequence number before the window. The
 * guest must answer it (RFC 9293, 3.10.7.4, first) and will name its window. It takes no byte from
 * the socket that would have to be taken back; Linux probes in the same way.
 */
static void
probe_send(struct l4x *l, uint32_t idx)
{
	struct l4x_tcp *t = l4x_tcp_of(l, idx);
	uint32_t seq = tcp_seq_of(t->iss, t->una) + ((t->flags & L4X_TCP_FIN_ACKED) != 0);

	l4x_count(l, L4X_COUNT_TCP_PROBE);
	l4x_tcp_segment(l, idx, seq - 1, RTE_TCP_ACK_FLAG);
	t->probes += t->probes < UINT8_MAX;
}

/** @return false: the flow is no more */
static bool
rto_fired(struct l4x *l, uint32_t idx)
{
	struct l4x_tcp *t = l4x_tcp_of(l, idx);
	bool handshake = t->state == L4X_TCP_SYN_RCVD || t->state == L4X_TCP_SYN_SENT;
	uint32_t unanswered = must_probe(t) ? t->probes : t->retries;

	/* A handshake has a limit of its own, and so does a guest that answers and takes nothing.
	 */
	if (!handshake && unanswered >= l->params.timeouts.tcp_retries) {
		l4x_tcp_abort(l, idx);
		return false;
	}
	t->retries += t->retries < UINT8_MAX;
	t->backoff += t->backoff < BACKOFF_MAX;
	if (handshake) {
		l4x_count(l, L4X_COUNT_TCP_RTO);
		t->flags &= ~L4X_TCP_TIMING;
		l4x_tcp_syn(l, idx);
	} else if (must_probe(t)) {
		probe_send(l, idx);
	} else {
		l4x_count(l, L4X_COUNT_TCP_RTO);
		t->dupacks = 0;
		t->recover = (uint32_t)t->max;
		l4x_tcp_retransmit(l, idx);
	}
	/* Once gone back there is nothing outstanding until it has been read again. */
	t->rto_at = UINT64_MAX;
	l4x_tcp_rto_arm(l, idx, true);
	return true;
}

/* ---- acknowledgements and windows that are owed to the guest ---- */

static uint64_t
poll_interval(const struct l4x_tcp *t)
{
	uint32_t over = t->idle_polls > POLLS_EAGER ? t->idle_polls - POLLS_EAGER : 0;
	uint32_t us = 1000u * t->poll_ms << RTE_MIN(over / 8, POLL_SHIFT_MAX);

	return RTE_MIN(us, l4x_tcp_ack_off(t) < t->taken ? POLL_ACK_US : POLL_MAX_US);
}

void
l4x_tcp_poll_arm(struct l4x *l, uint32_t idx)
{
	struct l4x_tcp *t = l4x_tcp_of(l, idx);
	uint64_t at = UINT64_MAX;

	if (l4x_tcp_ack_waits(t))
		at = l->now_us + ACK_WAIT_US;
	if (l4x_tcp_poll_owed(t))
		at = RTE_MIN(at, l->now_us + poll_interval(t));
	if (at == UINT64_MAX && !t->unsent)
		t->poll_at = UINT64_MAX;
	else if (t->poll_at == UINT64_MAX || t->poll_at > at)
		t->poll_at = at;
}

static void
poll_fired(struct l4x *l, uint32_t idx)
{
	struct l4x_tcp *t = l4x_tcp_of(l, idx);

	t->poll_at = UINT64_MAX;
	l4x_tcp_unsent_due(l, idx);
	if (l4x_tcp_ack_waits(t)) {
		t->answering = false;
		t->flags |= L4X_TCP_ACK_NOW;
		l4x_tcp_dirty(l, idx);
	}
	if (!l4x_tcp_poll_owed(t))
		return;
	t->idle_polls += t->idle_polls < UINT8_MAX;
	l4x_op_add(l, L4X_OP_QUERY, idx);
	t->poll_at = l->now_us + poll_interval(t);
}

/* ---- limits and keepalive ---- */

/** The limit of the state the flow is in, us. */
static uint64_t
limit_us(const struct l4x *l, const struct l4x_tcp *t)
{
	const struct l4x_timeouts *o = &l->params.timeouts;
	bool in = (t->flags & L4X_TCP_FIN_IN) != 0, out = (t->flags & L4X_TCP_EOF) != 0;
	uint32_t ms = o->tcp_established_ms;

	if (t->state != L4X_TCP_ESTABLISHED)
		ms = o->tcp_syn_ms;
	else if (in && out)
		ms = o->tcp_fin_ms;
	else if (in || out)
		ms = o->tcp_half_closed_ms;
	return (uint64_t)ms * 1000;
}

static uint64_t
keepalive_us(const struct l4x *l)
{
	return (uint64_t)l->params.timeouts.tcp_keepalive_ms * 1000;
}

static uint64_t
time_wait_us(const struct l4x_tcp *t)
{
	return t->backoff == 0 ? TCP_TIME_WAIT_US : (uint64_t)TCP_TIME_WAIT_AGAIN_US << t->backoff;
}

void
l4x_tcp_life_arm(struct l4x *l, uint32_t idx)
{
	struct l4x_tcp *t = l4x_tcp_of(l, idx);
	uint64_t end;

	switch (t->state) {
	case L4X_TCP_TIME_WAIT:
		end = l->now_us + time_wait_us(t);
		t->life_at = end;
		break;
	case L4X_TCP_ESTABLISHED:
		end = t->active_us + limit_us(l, t);
		t->life_at = RTE_MIN(end, l->now_us + keepalive_us(l));
		break;
	default:
		end = l->now_us + limit_us(l, t);
		t->life_at = end;
		break;
	}
	flowtab_touch(l->ft, idx, (end + TABLE_GRACE_US) / 1000);
	l4x_tcp_dirty(l, idx);
}

static void
life_end(struct l4x *l, uint32_t idx)
{
	l4x_count(l, L4X_COUNT_FLOWS_EXPIRED);
	if (l4x_tcp_of(l, idx)->state == L4X_TCP_TIME_WAIT)
		l4x_flow_free(l, idx);
	else
		l4x_tcp_abort(l, idx);
}

static void
life_fired(struct l4x *l, uint32_t idx)
{
	struct l4x_tcp *t = l4x_tcp_of(l, idx);
	uint64_t quiet = l->now_us - t->heard_us;

	if (t->state != L4X_TCP_ESTABLISHED || l->now_us >= t->active_us + limit_us(l, t)) {
		life_end(l, idx);
		return;
	}
	if (quiet < keepalive_us(l)) {
		l4x_tcp_life_arm(l, idx);
		t->life_at = RTE_MIN(t->life_at, t->heard_us + keepalive_us(l));
		return;
	}
	/* Otherwise retransmissions, or window probes, find out whether the guest lives. */
	if (!is_outstanding(t) && !must_probe(t)) {
		if (t->probes >= l->params.timeouts.tcp_keepalive_probes) {
			life_end(l, idx);
			return;
		}
		probe_send(l, idx);
	}
	l4x_tcp_life_arm(l, idx);
}

/* ---- the wheel ---- */

uint64_t
l4x_tcp_deadline_us(const struct l4x *l, uint32_t idx)
{
	const struct l4x_tcp *t = &l->flows[idx].tcp;

	return RTE_MIN(RTE_MIN(t->rto_at, t->poll_at), t->life_at);
}

void
l4x_tcp_timer(struct l4x *l, uint32_t idx)
{
	struct l4x_tcp *t = l4x_tcp_of(l, idx);

	if (t->rto_at <= l->now_us && !rto_fired(l, idx))
		return;
	if (t->poll_at <= l->now_us)
		poll_fired(l, idx);
	if (t->life_at <= l->now_us)
		life_fired(l, idx);
}
