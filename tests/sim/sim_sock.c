/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * A bridge with one socket. Towards the peer a buffer of a certain size that drains; from the peer
 * a stream that grows. Peeks at an offset, consumes what is acknowledged, and takes offence where
 * the contract of l4x_msg.h is broken.
 */
#include "sim_priv.h"

#define TOKEN 77
#define READS_PER_TICK 8
#define TICK_US 50

static uint32_t
space(const struct sim *s)
{
	return (uint32_t)(s->c.sndbuf - (s->s.taken - s->s.drained));
}

static void
tell_sent(struct sim *s, enum l4x_event_type type, uint8_t flags)
{
	struct l4x_event ev = { .type = type, .flow = s->s.flow };

	ev.sent.taken = s->s.taken;
	ev.sent.acked = s->s.taken;
	ev.sent.space = space(s);
	if (s->c.lies)
		ev.sent.space += ev.sent.space / 2 + 3000;
	s->s.edge = RTE_MAX(s->s.edge, s->s.taken + ev.sent.space);
	ev.sent.rtt_us = 50;
	ev.sent.flags = flags;
	if (s->c.remote_us != 0) {
		ev.sent.flags |= L4X_SENT_REMOTE;
		ev.sent.acked = s->s.peer_acked;
		ev.sent.rtt_us = s->c.remote_us;
	}
	s->s.low = space(s) < s->c.sndbuf / 3;
	sim_event(s, &ev);
}

void
sim_sock_accept(struct sim *s)
{
	struct l4x_event ev = { .type = L4X_EV_ACCEPTED };

	ev.accepted.token = TOKEN;
	ev.accepted.peer = l4xkit_addr(s->peer);
	ev.accepted.local = l4xkit_addr(s->c.v6 ? "2001:db8::1" : "198.51.100.1");
	ev.accepted.peer_port = htons(s->pport);
	ev.accepted.local_port = htons(8080);
	ev.accepted.guest_port = htons(s->gport);
	ev.accepted.pif = L4XKIT_PIF;
	sim_event(s, &ev);
}

static void
op_send(struct sim *s, const struct sim_msg *m)
{
	struct sim_sock *k = &s->s;
	uint64_t end = m->op.send.off + m->len;
	uint32_t take, room = space(s);

	assert_false(k->shut_done);
	assert_true(end <= s->c.up);
	for (uint32_t i = 0; i < m->len; i++)
		if (m->bytes[i] != sim_byte(m->op.send.off + i, true))
			fail_msg("wrong byte in SEND at %llu", (unsigned long long)m->op.send.off);
	if (m->op.send.off > k->taken) {
		tell_sent(s, L4X_EV_SENT, L4X_SENT_SHORT);
		return;
	}
	take = end > k->taken ? (uint32_t)(end - k->taken) : 0;
	if (sim_chance(s, s->c.stingy))
		room = sim_random(s, take + 1);
	take = RTE_MIN(take, room);
	k->taken += take;
	tell_sent(s, L4X_EV_SENT, k->taken < end ? L4X_SENT_SHORT : 0);
}

static void
op_ack(struct sim *s, const struct l4x_op *op)
{
	struct sim_sock *k = &s->s;

	assert_true(op->ack.acked <= k->top);
	assert_true(op->ack.acked >= k->acked);
	assert_true(op->ack.limit >= op->ack.acked);
	assert_true(op->ack.frame_max > 0);
	k->acked = op->ack.acked;
	k->consumed = k->acked;
	k->limit = op->ack.limit;
	k->frame_max = op->ack.frame_max;
	k->read_off = RTE_MAX(k->read_off, k->acked);
}

static void
op_close(struct sim *s, const struct l4x_op *op)
{
	struct sim_sock *k = &s->s;

	if (op->close.reset)
		fail_msg("the connection was reset");
	assert_true(k->shut_done);
	assert_int_equal(k->taken, s->c.up);
	/* Unread bytes would make it a reset. */
	assert_int_equal(k->consumed, s->c.down);
	k->closed = true;
}

void
sim_sock_op(struct sim *s, struct sim_msg *m)
{
	struct sim_sock *k = &s->s;

	assert_false(k->closed);
	switch (m->op.type) {
	case L4X_OP_OPEN:
	case L4X_OP_ADOPT:
		assert_false(k->opened);
		k->opened = true;
		k->flow = m->op.flow;
		k->source_us = s->k->now_us;
		k->drain_us = s->k->now_us;
		tell_sent(s, L4X_EV_CONNECTED, 0);
		break;
	case L4X_OP_SEND:
		op_send(s, m);
		break;
	case L4X_OP_ACK:
		op_ack(s, &m->op);
		break;
	case L4X_OP_REWIND:
		assert_true(m->op.ack.acked >= k->acked);
		k->read_off = RTE_MIN(k->read_off, m->op.ack.acked);
		break;
	case L4X_OP_SHUT:
		assert_int_equal(m->op.send.off, k->taken);
		assert_int_equal(k->taken, s->c.up);
		k->shut_done = true;
		break;
	case L4X_OP_QUERY:
		tell_sent(s, L4X_EV_SENT, 0);
		break;
	case L4X_OP_CLOSE:
		op_close(s, &m->op);
		break;
	default:
		fail_msg("operation %u", m->op.type);
	}
}

/** The peer takes what was sent, and acknowledges it after a while. */
static void
drain(struct sim *s)
{
	struct sim_sock *k = &s->s;
	uint64_t now = s->k->now_us, n;

	if (s->c.peer_rate == 0) {
		n = k->taken - k->drained;
		k->drain_us = now;
	} else {
		n = (now - k->drain_us) * s->c.peer_rate / 1000;
		k->drain_us += n * 1000 / s->c.peer_rate;
		if (n >= k->taken - k->drained) {
			n = k->taken - k->drained;
			k->drain_us = now;
		}
	}
	if (s->c.remote_us != 0) {
		/* What is drained is what the peer has acknowledged, a round trip later. */
		uint64_t off = k->drained + n;

		if (k->n_acks < 64 && n > 0 &&
			(k->n_acks == 0 || k->acks[k->n_acks - 1].off < off)) {
			k->acks[k->n_acks].off = off;
			k->acks[k->n_acks++].at_us = now + s->c.remote_us;
		}
		while (k->n_acks > 0 && k->acks[0].at_us <= now) {
			k->peer_acked = k->acks[0].off;
			k->drained = k->peer_acked;
			memmove(k->acks, k->acks + 1, --k->n_acks * sizeof(k->acks[0]));
		}
		return;
	}
	k->drained += n;
	if (n > 0 && k->low && space(s) >= s->c.sndbuf / 3)
		tell_sent(s, L4X_EV_SENT, 0);
}

/** @return bytes read into one frame */
static uint32_t
read_frame(struct sim *s, struct rte_mbuf **m)
{
	struct sim_sock *k = &s->s;
	const uint64_t end = RTE_MIN(k->limit, k->avail);
	const uint32_t len = (uint32_t)RTE_MIN(end - k->read_off, (uint64_t)k->frame_max);
	uint8_t *bytes = malloc(len);

	assert_non_null(bytes);
	for (uint32_t i = 0; i < len; i++)
		bytes[i] = sim_byte(k->read_off + i, false);
	*m = l4xkit_payload(s->k, bytes, len);
	free(bytes);
	k->read_off += len;
	k->top = RTE_MAX(k->top, k->read_off);
	return len;
}

/** What one event tells: as many frames as there are, but not always as many as there may be. */
static void
read_once(struct sim *s)
{
	struct sim_sock *k = &s->s;
	const uint32_t most = 1 + (uint32_t)(k->read_off / 1000 % L4X_DATA_FRAMES);
	struct l4x_event ev = { .type = L4X_EV_DATA, .flow = k->flow };

	ev.data.off = k->read_off;
	for (uint32_t i = 0; i < most && k->read_off < RTE_MIN(k->limit, k->avail); i++)
		ev.len += read_frame(s, &ev.data.m[i]);
	sim_event(s, &ev);
}

static void
source(struct sim *s)
{
	struct sim_sock *k = &s->s;
	uint64_t now = s->k->now_us, n = s->c.down - k->avail;

	if (s->c.source_rate != 0)
		n = RTE_MIN(n, (now - k->source_us) * s->c.source_rate / 1000);
	k->avail += n;
	if (n > 0)
		k->source_us = now;
}

void
sim_sock_tick(struct sim *s)
{
	struct sim_sock *k = &s->s;
	struct l4x_event ev = { .type = L4X_EV_EOF, .flow = k->flow };

	if (!k->opened || k->closed)
		return;
	drain(s);
	source(s);
	for (unsigned int i = 0; i < READS_PER_TICK; i++) {
		if (k->frame_max == 0 || k->read_off >= k->limit || k->read_off >= k->avail)
			break;
		s->busy = true;
		read_once(s);
	}
	if (k->eof_told || k->read_off < s->c.down || (s->c.peer_waits && !k->shut_done))
		return;
	ev.data.off = s->c.down;
	k->eof_told = true;
	sim_event(s, &ev);
}

uint64_t
sim_sock_next(const struct sim *s)
{
	const struct sim_sock *k = &s->s;
	bool reads = k->frame_max != 0 && k->read_off < RTE_MIN(k->limit, s->c.down);
	bool drains = k->drained < k->taken;

	if (!k->opened || k->closed)
		return UINT64_MAX;
	if (reads || drains || (!k->eof_told && k->shut_done))
		return s->k->now_us + TICK_US;
	return UINT64_MAX;
}
