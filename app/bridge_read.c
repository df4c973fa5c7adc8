/* SPDX-License-Identifier: BSD-3-Clause */
#include "bridge_priv.h"

#include <errno.h>

/**
 * bytes have been read into the plan's frames: tell the worker.
 * @param used receives how many buffers that took
 * @return events
 */
static unsigned int
tell_data(struct bridge *b, struct bridge_rec *r, const struct bridge_plan *p, uint32_t bytes,
	uint32_t *used)
{
	struct bridge_worker *w = bridge_rec_worker(b, r);
	const struct bridge_frame *f = p->frames;
	unsigned int told;

	for (told = 0; bytes != 0; told++) {
		struct l4x_event *ev = bridge_event(b, w, L4X_EV_DATA);
		uint32_t i;

		ev->flow = r->handle;
		ev->data.off = r->read_off;
		for (i = 0; i < L4X_DATA_FRAMES && bytes != 0; i++, f++) {
			const uint32_t len = RTE_MIN(bytes, f->bytes);

			ev->data.m[i] = bridge_plan_frame(p, used, len);
			ev->len += len;
			bytes -= len;
		}
		r->read_off += ev->len;
	}
	r->top = RTE_MAX(r->top, r->read_off);
	return told;
}

static unsigned int
tell_eof(struct bridge *b, struct bridge_rec *r)
{
	struct l4x_event *ev;

	r->flags &= ~REC_READABLE;
	if (r->flags & REC_EOF_TOLD)
		return 0;
	r->flags |= REC_EOF_TOLD;
	ev = bridge_event(b, bridge_rec_worker(b, r), L4X_EV_EOF);
	ev->flow = r->handle;
	ev->data.off = r->read_off;
	return 1;
}

/**
 * How much a read is laid out for: at first a frame, then twice what came; one that was filled has
 * left something, and the next takes all that there may be. So a peer that answers by a few bytes
 * does not pay for a megabyte each time.
 */
static uint32_t
expected(const struct bridge_rec *r)
{
	return r->expect_kib == 0 ? r->frame_max : (uint32_t)r->expect_kib << 10;
}

static void
expect_next(struct bridge_rec *r, const struct bridge_plan *p, uint32_t bytes)
{
	const uint32_t twice =
		RTE_MIN(RTE_MAX(bytes * 2, BRIDGE_READ_LEAST), BRIDGE_READ_BYTES / 2);

	/* All that there may be is expected only where there is more: consume_due() goes by it. */
	r->expect_kib = (uint16_t)((bytes >= p->bytes ? BRIDGE_READ_BYTES : twice) >> 10);
}

/**
 * Is it time to consume what is acknowledged? Much at once is cheaper; but the last of what the
 * guest was sent may be acknowledged late, and the peer's window must not wait for that. A peer on
 * this host that is told of room sends at once, in our time: as long as there is more than was
 * read, it is told seldom.
 */
static bool
consume_due(const struct bridge_rec *r)
{
	const uint64_t due = r->acked - r->consumed;

	if (!(r->flags & REC_REMOTE) && expected(r) == BRIDGE_READ_BYTES)
		return due >= BRIDGE_CONSUME_LOCAL;
	return due >= BRIDGE_CONSUME_BYTES || (due != 0 && due * 2 >= r->top - r->consumed);
}

/** Not here and now: a SEND may follow, for which somebody waits. */
static void
consume_soon(struct bridge *b, struct bridge_rec *r)
{
	if (!consume_due(r))
		return;
	r->flags |= REC_CONSUME;
	bridge_ready(b, r);
}

/** There is nothing more: an edge will tell, which the peer's window must not be closed for. */
static void
read_dry(struct bridge *b, struct bridge_rec *r)
{
	r->flags &= ~REC_READABLE;
	r->expect_kib = BRIDGE_READ_LEAST >> 10;
	consume_soon(b, r);
}

/** What recvmsg() returned. @return bytes that are new */
static uint32_t
after_peek(struct bridge *b, struct bridge_rec *r, const struct bridge_call *c, unsigned int *told)
{
	const struct bridge_plan *p = &c->plan;
	uint32_t n, bytes;

	if (c->ret < 0) {
		if (c->ret == -EAGAIN || c->ret == -EINTR)
			read_dry(b, r);
		else
			bridge_rec_fail_io(b, r, -c->ret);
		return 0;
	}
	n = (uint32_t)c->ret;
	if (n <= p->skip) {
		/* With bytes in front of it, the end looks like "nothing yet", and so does an
		 * urgent mark, which lets nobody pass until it is consumed. */
		if (n == 0 ||
			((r->flags & (REC_PEER_CLOSED | REC_URGENT)) == REC_PEER_CLOSED &&
				n == p->skip))
			*told += tell_eof(b, r);
		else if (!(r->flags & REC_URGENT))
			read_dry(b, r);
		return 0;
	}
	bytes = n - p->skip;
	bridge_count(b, BRIDGE_COUNT_RECV_BYTES, bytes);
	b->read_left -= RTE_MIN(bytes, b->read_left);
	expect_next(r, p, bytes);
	/* The queue is empty, and new data makes a new edge; only an end or an urgent mark, which
	 * a read stops at, would make none. */
	if (bytes < p->bytes && !(r->flags & (REC_PEER_CLOSED | REC_URGENT | REC_DYING)))
		r->flags &= ~REC_READABLE;
	if (bytes < p->bytes)
		consume_soon(b, r);
	return bytes;
}

unsigned int
bridge_tcp_peeked(struct bridge *b, struct bridge_rec *r, const struct bridge_call *c, bool live)
{
	const struct bridge_plan *p = &c->plan;
	uint32_t bytes = 0, used = 0;
	unsigned int told = 0;

	b->workers[flowtab_handle_owner(c->handle)].kept -= p->n_heads;
	if (likely(live))
		bytes = after_peek(b, r, c, &told);
	if (bytes != 0)
		told += tell_data(b, r, p, bytes, &used);
	bridge_lender_put_back(p->bl, &p->heads[used], p->n_heads - used);
	if (told != 0 && r->flags & REC_READABLE &&
		(r->read_off < r->limit || r->flags & REC_DYING))
		bridge_ready(b, r);
	return told;
}

/**
 * Lay a read out, and gather it.
 * @return buffers it is laid over; 0: there is none; -EOVERFLOW: as bridge_plan_read()
 */
static int
gather_peek(struct bridge *b, struct bridge_rec *r, struct bridge_lender *bl)
{
	const bool alone = bridge_rec_worker(b, r)->ready.head == BRIDGE_NIL;
	const uint32_t turn = alone ? BRIDGE_READ_BYTES : BRIDGE_TURN_BYTES;
	struct bridge_calls *cs = b->calls;
	struct bridge_plan p = {
		.bl = bl,
		.heads = &cs->heads[cs->n_heads],
		.frames = &cs->frames[cs->n_heads],
		.head_len = r->head_len,
	};
	const int n_iov =
		bridge_plan_read(b, r, &p, bridge_calls_iov(b), RTE_MIN(expected(r), turn));

	if (n_iov <= 0)
		return n_iov;
	bridge_call_add(b, r, BRIDGE_CALL_PEEK, (uint32_t)n_iov)->plan = p;
	cs->n_heads += p.n_heads;
	/* A frame takes a buffer or more, and an end is told instead of one. */
	bridge_rec_worker(b, r)->kept += p.n_heads;
	return (int)p.n_heads;
}

/** Consume what is acknowledged, with the calls that are gathered. */
static void
gather_discard(struct bridge *b, struct bridge_rec *r)
{
	const uint64_t due = r->acked - r->consumed;

	if (due != 0)
		bridge_call_add(b, r, BRIDGE_CALL_DISCARD, 0)->bytes =
			(uint32_t)RTE_MIN(due, (uint64_t)BRIDGE_DISCARD_BYTES);
}

/** @return false: the socket turned out to be broken */
static bool
consume_first(struct bridge *b, struct bridge_rec *r)
{
	if (r->flags & REC_CONSUME) {
		r->flags &= ~REC_CONSUME;
		gather_discard(b, r);
		/* These look at what the socket holds: without SO_PEEK_OFF each peek does. */
		if (!b->p.peek_off || r->flags & REC_DYING)
			bridge_calls_flush(b);
	}
	return r->kind == BRIDGE_STREAM;
}

void
bridge_tcp_read(struct bridge *b, struct bridge_rec *r)
{
	struct bridge_lender *bl = bridge_rec_lender_in_use(b, r);
	const uint32_t served = r->flags & REC_SERVED;
	int heads;

	bridge_calls_reserve(b);
	if (!consume_first(b, r))
		return;
	if (unlikely(r->flags & REC_DYING) && bridge_tcp_drained(r)) {
		bridge_rec_fail(b, r, r->err);
		return;
	}
	if (!(r->flags & REC_READABLE) || r->read_off >= r->limit || r->frame_max == 0)
		return;
	heads = gather_peek(b, r, bl);
	if (unlikely(heads == 0) && b->calls->n != 0) {
		/* Reads that are gathered may put buffers back. */
		bridge_calls_flush(b);
		r->flags |= served;
		heads = r->kind == BRIDGE_STREAM ? gather_peek(b, r, bl) : -EPIPE;
	}
	if (unlikely(heads == 0))
		bridge_lender_wait(b, r, bl);
	else if (heads > BRIDGE_READ_FEW)
		bridge_calls_flush(b);
}

/** Bytes were taken out of the socket; ret: how many, or -errno. @return false: no more now */
static bool
after_discard(struct bridge *b, struct bridge_rec *r, int ret)
{
	if (unlikely(ret <= 0)) {
		/* What was peeked is there, so this is a broken socket. The record stands still
		 * where the socket does. */
		if (ret < 0 && ret != -EAGAIN && ret != -EINTR)
			bridge_rec_fail(b, r, -ret);
		return false;
	}
	r->consumed += (uint64_t)ret;
	return true;
}

void
bridge_tcp_consumed(struct bridge *b, struct bridge_rec *r, int ret)
{
	if (after_discard(b, r, ret))
		consume_soon(b, r);
}

/** All that is acknowledged, at once. */
static void
consume_all(struct bridge *b, struct bridge_rec *r)
{
	while (r->consumed < r->acked) {
		const size_t want =
			(size_t)RTE_MIN(r->acked - r->consumed, (uint64_t)BRIDGE_DISCARD_BYTES);
		/* MSG_TRUNC: nothing is written; the area is named so that checkers are content. */
		const ssize_t n = recv(r->fd, b->scratch, want, MSG_TRUNC | MSG_DONTWAIT);

		bridge_count(b, BRIDGE_COUNT_DISCARD_CALLS, 1);
		if (!after_discard(b, r, n < 0 ? -errno : (int)n))
			return;
	}
}

/** Bring the socket's peek offset to read_off. */
static void
set_peek_off(struct bridge *b, struct bridge_rec *r)
{
	int ret;

	if (!b->p.peek_off || r->kind != BRIDGE_STREAM)
		return;
	ret = sock_set(r->fd, SOL_SOCKET, SO_PEEK_OFF, (int)(r->read_off - r->consumed));
	if (ret != 0)
		bridge_rec_fail(b, r, -ret);
}

/** Read on, if there is something to read and leave to do so. */
static void
read_on(struct bridge *b, struct bridge_rec *r)
{
	if (r->flags & REC_READABLE && r->read_off < r->limit && r->kind == BRIDGE_STREAM)
		bridge_ready(b, r);
}

void
bridge_tcp_ack(struct bridge *b, struct bridge_rec *r, const struct l4x_op *op)
{
	uint64_t acked = op->ack.acked;
	bool jump;

	if (unlikely(acked > r->top)) {
		/* Data that the guest was never sent cannot be acknowledged. */
		bridge_count(b, BRIDGE_COUNT_STALE, 1);
		acked = r->acked;
	}
	r->acked = RTE_MAX(r->acked, acked);
	r->limit = op->ack.limit;
	r->frame_max = op->ack.frame_max;
	/* After a REWIND the guest may turn out to have had all along what is about to be sent. */
	jump = r->acked > r->read_off;
	if (jump)
		r->read_off = r->acked;
	if (unlikely(jump)) {
		bridge_rec_settle(b, r);
		consume_all(b, r);
		set_peek_off(b, r);
	}
	if (r->kind == BRIDGE_STREAM)
		consume_soon(b, r);
	read_on(b, r);
}

void
bridge_tcp_rewind(struct bridge *b, struct bridge_rec *r, uint64_t off)
{
	off = RTE_MAX(off, r->acked);
	if (off >= r->read_off)
		return;
	r->read_off = off;
	set_peek_off(b, r);
	r->flags |= REC_READABLE;
	read_on(b, r);
}
