/* SPDX-License-Identifier: BSD-3-Clause */
/* The worker's side of a queue pair: begin, end, notifications. */
#include "vhost_priv.h"

bool
vhost_queue_begin(struct vport_queue *q, struct vport_session *base)
{
	struct vhost_session *s = (struct vhost_session *)base;

	if (s->unusable) {
		q->ready = true; /* vport_break() ends it again, and counts */
		vport_break(q, s->unusable);
		return false;
	}
	s->rx.owner = s->tx.owner = &q->owner;
	vring_disarm(&s->rx);
	vring_disarm(&s->tx);
	return true;
}

void
vhost_queue_refresh(struct vport_queue *q)
{
	struct vhost_session *s = vhost_session(q);

	vring_refresh_call(&s->rx);
	vring_refresh_call(&s->tx);
}

static void
notify(struct vport_queue *q, struct vhost_ring *r)
{
	if (!vring_publish(r) || r->call_fd == -1)
		return;
	if (vring_call(r) == 0)
		vport_count(q, VPORT_COUNT_CALLS, 1);
	else
		vport_count(q, VPORT_COUNT_CALL_FAILED, 1);
}

bool
vhost_queue_end(struct vport_queue *q)
{
	struct vhost_session *s = vhost_session(q);

	if (s->unusable)
		return true;
	vring_drain(&s->rx);
	vring_drain(&s->tx);
	if (s->rx.out || s->tx.out || vhost_pool_lent(s))
		return false;
	/* Given up by the other side: the rings may be somebody else's, or the guest's own memory.
	 */
	if (atomic_load_explicit(&s->base.fate, memory_order_acquire) == SESSION_ABANDONED)
		return true;
	vring_give_back(&s->rx);
	vhost_queue_refresh(q);
	notify(q, &s->rx);
	notify(q, &s->tx);
	return true;
}

bool
vhost_queue_mergeable(const struct vport_queue *q)
{
	return vhost_session(q)->mergeable;
}

void
vhost_queue_flush(struct vport_queue *q)
{
	struct vhost_session *s = vhost_session(q);

	vring_drain(&s->tx);
	notify(q, &s->tx);
	notify(q, &s->rx);
}

/** Heads on offer after the guest was asked to kick for the next. */
static int32_t
arm_ring(struct vport_queue *q, const struct vhost_session *s, struct vhost_ring *r)
{
	const int32_t before = vring_offered(r);
	int32_t after;

	if (before < 0) {
		vhost_break(q, s, before);
		return before;
	}
	vring_arm(r, r->avail_seen);
	after = vring_offered(r);
	if (after < 0)
		vhost_break(q, s, after);
	return after;
}

bool
vhost_queue_arm(struct vport_queue *q)
{
	struct vhost_session *s = vhost_session(q);
	const uint32_t held = s->rx.n_again;
	int32_t n;

	if (!vhost_memory_ok(q, s) || atomic_load_explicit(&s->tx.freed, memory_order_relaxed) != 0)
		return true;
	/* Frames that wait for mbufs are no work before there are some: it is looked in time. */
	if (!s->starved && arm_ring(q, s, &s->tx) != 0)
		return true;
	/* A refill is news only to who has run short. */
	n = vring_offered(&s->rx);
	if (n < 0 || vhost_may_lend(s, (uint32_t)n + held))
		return n < 0;
	n = arm_ring(q, s, &s->rx);
	return n < 0 || vhost_may_lend(s, (uint32_t)n + held);
}

void
vhost_queue_disarm(struct vport_queue *q)
{
	struct vhost_session *s = vhost_session(q);

	vring_disarm(&s->tx);
	vring_disarm(&s->rx);
}

int
vhost_queue_kick_fd(const struct vport_queue *q, bool guest_tx)
{
	const struct vhost_session *s = vhost_session(q);

	return guest_tx ? s->tx.kick_fd : s->rx.kick_fd;
}

void
vhost_queue_memory_lost(struct vport_queue *q)
{
	atomic_store_explicit(&vhost_session(q)->mem->lost, true, memory_order_relaxed);
}

bool
vhost_queue_must_poll(const struct vport_queue *q)
{
	const struct vhost_session *s = vhost_session(q);

	/* A front-end that gives no kick, or none that is an eventfd, asks to be polled. */
	return s->starved || s->tx.kick_fd < 0 || s->rx.kick_fd < 0;
}
