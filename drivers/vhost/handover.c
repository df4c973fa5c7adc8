/* SPDX-License-Identifier: BSD-3-Clause */
#include "vport_priv.h"

#include <time.h>

void
vport_queue_tell(struct vport_queue *q)
{
	/* Pairs with the exchange in vport_queue_sync(): what was stored before is seen after it.
	 */
	atomic_fetch_or_explicit(&q->news, 1, memory_order_release);
	if (q->vp->conf.wake)
		q->vp->conf.wake(q->vp->conf.arg, q->index);
}

void
vport_queue_set_live(struct vport_queue *q, bool live)
{
	if (atomic_exchange_explicit(&q->live, live, memory_order_relaxed) == live)
		return;
	if (live)
		atomic_fetch_add_explicit(&q->vp->live, 1, memory_order_relaxed);
	else
		atomic_fetch_sub_explicit(&q->vp->live, 1, memory_order_relaxed);
}

void
vport_session_offer(struct vport_queue *q, struct vport_session *s)
{
	if (++q->last_gen == 0)
		q->last_gen = 1;
	s->gen = q->last_gen;
	atomic_init(&s->fate, SESSION_LIVE);
	q->mine = s;
	/* Before it, for the worker may find the session to be unusable. */
	vport_queue_set_live(q, true);
	atomic_store_explicit(&q->offer, s, memory_order_release);
	vport_queue_tell(q);
}

static uint64_t
now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

uint64_t
vport_session_deadline_ms(void)
{
	return now_ms() + VPORT_STOP_WAIT_MS;
}

static bool
wait_done(struct vport_session *s, uint64_t deadline_ms)
{
	struct timespec pause = { .tv_nsec = 20000 };

	/* Acquire pairs with the worker's exchange in vport_queue_release(). */
	while (atomic_load_explicit(&s->fate, memory_order_acquire) != SESSION_DONE) {
		if (now_ms() >= deadline_ms)
			return false;
		nanosleep(&pause, NULL);
		if (pause.tv_nsec < 1000000)
			pause.tv_nsec *= 2;
	}
	return true;
}

void
vport_session_ask(struct vport_queue *q)
{
	const struct vport_session *s = q->mine;

	if (s == NULL || atomic_load_explicit(&q->stop_gen, memory_order_relaxed) == s->gen)
		return;
	atomic_store_explicit(&q->stop_gen, s->gen, memory_order_release);
	vport_queue_tell(q);
}

struct vport_session *
vport_session_recall(struct vport_queue *q, uint64_t deadline_ms)
{
	struct vport_session *s = q->mine;
	int live = SESSION_LIVE;

	if (s == NULL)
		return NULL;
	vport_session_ask(q);
	q->mine = NULL;
	vport_queue_set_live(q, false);
	if (atomic_exchange_explicit(&q->offer, NULL, memory_order_acq_rel) == s)
		return s;
	if (wait_done(s, deadline_ms))
		return s;
	atomic_fetch_add_explicit(&q->vp->kept, 1, memory_order_relaxed);
	if (!atomic_compare_exchange_strong_explicit(&s->fate, &live, SESSION_ABANDONED,
		    memory_order_acq_rel, memory_order_acquire)) {
		/* In the very last moment. */
		atomic_fetch_sub_explicit(&q->vp->kept, 1, memory_order_relaxed);
		return s;
	}
	vport_note(q->vp, "queue %u: its worker has not let go of it in %u s", q->index,
		VPORT_STOP_WAIT_MS / 1000);
	return NULL;
}

static enum vport_sync
take_offer(struct vport_queue *q)
{
	struct vport_session *s = atomic_exchange_explicit(&q->offer, NULL, memory_order_acq_rel);

	if (s == NULL)
		return VPORT_SYNC_NONE;
	q->cur = s;
	q->stopping = false;
	/* Asked back before it was taken: that is the next news. */
	if (unlikely(atomic_load_explicit(&q->stop_gen, memory_order_acquire) == s->gen))
		atomic_fetch_or_explicit(&q->news, 1, memory_order_relaxed);
	q->ready = q->ops->begin(q, s);
	if (q->ready) {
		vport_count(q, VPORT_COUNT_QUEUE_STARTS, 1);
		return VPORT_SYNC_STARTED;
	}
	/* It was unusable from the start: the worker's user need not hear of it. */
	q->stopping = true;
	vport_queue_release(q);
	return VPORT_SYNC_NONE;
}

enum vport_sync
vport_queue_sync(struct vport_queue *q)
{
	if (likely(atomic_load_explicit(&q->news, memory_order_relaxed) == 0))
		return VPORT_SYNC_NONE;
	/* Pairs with the release in vport_queue_tell(). */
	atomic_exchange_explicit(&q->news, 0, memory_order_acq_rel);
	if (q->cur == NULL)
		return take_offer(q);
	if (q->stopping)
		return VPORT_SYNC_NONE;
	if (!q->ready || atomic_load_explicit(&q->stop_gen, memory_order_acquire) == q->cur->gen) {
		q->ready = false;
		q->stopping = true;
		return VPORT_SYNC_STOP;
	}
	q->ops->refresh(q);
	return VPORT_SYNC_NONE;
}

bool
vport_queue_release(struct vport_queue *q)
{
	struct vport_session *s = q->cur;

	if (s == NULL || !q->stopping)
		return true;
	if (!q->ops->end(q))
		return false;
	q->cur = NULL;
	q->stopping = false;
	/* An offer may have been waiting behind this session. */
	atomic_fetch_or_explicit(&q->news, 1, memory_order_relaxed);
	/* Release pairs with the acquire in wait_done(), or with the one that abandoned it. */
	if (atomic_exchange_explicit(&s->fate, SESSION_DONE, memory_order_acq_rel) ==
		SESSION_ABANDONED) {
		s->free(s);
		atomic_fetch_sub_explicit(&q->vp->kept, 1, memory_order_release);
	}
	return true;
}

void
vport_break(struct vport_queue *q, enum vport_counter why)
{
	if (!q->ready)
		return;
	q->ready = false;
	vport_count(q, why, 1);
	vport_count(q, VPORT_COUNT_QUEUE_BROKEN, 1);
	atomic_store_explicit(&q->broken, true, memory_order_release);
	vport_queue_set_live(q, false);
	vport_note(q->vp, "queue %u stopped: %s", q->index, vport_counter_info[why].help);
	/* So that the next vport_queue_sync() tells VPORT_SYNC_STOP. */
	atomic_fetch_or_explicit(&q->news, 1, memory_order_relaxed);
}
