/* SPDX-License-Identifier: BSD-3-Clause */
#include "worker_priv.h"

#include <errno.h>

#include <rte_branch_prediction.h>
#include <rte_mbuf.h>

static_assert(VPORT_BURST == L4X_BURST, "a burst of a queue is a burst for l4x");

/** The guest can be reached while any of its queue pairs that this worker polls is ready. */
static void
worker_port_link(struct worker *w, const struct worker_queue *changed)
{
	struct vport_info info;
	bool up = false;
	uint32_t i;

	for (i = 0; i < w->n_queues; i++)
		up |= w->queues[i].pif == changed->pif && w->queues[i].ready;
	vport_info(changed->vp, &info);
	l4x_port_link(w->p.l4x, changed->pif, up, up ? info.offloads : 0);
}

static void
worker_queue_started(struct worker *w, struct worker_queue *q)
{
	const bool mergeable = vport_queue_mergeable(q->vq);
	unsigned int b;

	q->ready = true;
	q->stopping = false;
	q->armed = false;
	q->dirty = true;
	for (b = 0; b < w->p.n_bridges; b++) {
		atomic_store_explicit(&q->lenders[b]->mergeable, mergeable, memory_order_relaxed);
		/* What was said of the memory of before: all mbufs there have been freed since. */
		lender_found(q->lenders[b]);
		lender_run(q->lenders[b]);
	}
	worker_sleep_watch(w, q);
	worker_port_link(w, q);
}

static void
worker_queue_stopping(struct worker *w, struct worker_queue *q)
{
	unsigned int b;

	worker_sleep_unwatch(w, q);
	q->ready = false;
	q->stopping = true;
	q->sharing = false;
	for (b = 0; b < w->p.n_bridges; b++) {
		lender_recall(q->lenders[b], w->p.chans[b]);
		waker_ring(w->p.chans[b]->bridge_waker);
	}
	worker_port_link(w, q);
}

/** Give the rings back once no bridge holds a buffer and no frame lies in guest memory. */
static void
worker_queue_release(struct worker *w, struct worker_queue *q)
{
	unsigned int b;

	for (b = 0; b < w->p.n_bridges; b++)
		if (lender_state(q->lenders[b]) != LENDER_STOPPED)
			return;
	for (b = 0; b < w->p.n_bridges; b++)
		lender_clear(q->lenders[b]);
	if (vport_queue_release(q->vq))
		q->stopping = false;
}

static void
worker_queue_sync(struct worker *w, struct worker_queue *q)
{
	switch (vport_queue_sync(q->vq)) {
	case VPORT_SYNC_NONE:
		break;
	case VPORT_SYNC_STARTED:
		worker_queue_started(w, q);
		break;
	case VPORT_SYNC_STOP:
		worker_queue_stopping(w, q);
		break;
	}
	if (unlikely(q->stopping))
		worker_queue_release(w, q);
}

/** A guest that is idle costs no more than a look at its rings: what follows is for others. */
static void
worker_queue_used(struct worker_queue *q)
{
	q->dirty = true;
	if (unlikely(q->armed)) {
		vport_queue_disarm(q->vq);
		q->armed = false;
	}
}

/**
 * A turn is a burst of frames, of 64 KiB each or of 64 bytes: beside many who send much, one who
 * asks for little would wait for long. So the more queue pairs have frames, the fewer bytes each
 * has taken at a time. One alone has whole bursts.
 */
static void
worker_queue_pace(
	const struct worker *w, struct worker_queue *q, struct rte_mbuf **frames, uint16_t n)
{
	uint32_t share = WORKER_ROUND_BYTES, bytes = 0;
	uint16_t i;

	if (likely(w->n_active <= 1 && q->turn == VPORT_BURST))
		return;
	if (w->n_active > 1)
		share = RTE_MAX(share >> rte_log2_u32(w->n_active), WORKER_TURN_BYTES);
	for (i = 0; i < n; i++)
		bytes += frames[i]->pkt_len;
	if (bytes > share)
		q->turn = RTE_MAX(q->turn / 2, WORKER_TURN_FRAMES);
	else if (n == q->turn && bytes <= share / 2)
		q->turn = RTE_MIN(q->turn * 2, VPORT_BURST);
}

unsigned int
worker_ports_poll(struct worker *w)
{
	struct rte_mbuf *frames[VPORT_BURST];
	unsigned int done = 0;
	uint32_t i, active = 0;

	for (i = 0; i < w->n_queues; i++) {
		struct worker_queue *q;
		uint16_t n;

		if (w->first_queue >= w->n_queues)
			w->first_queue = 0;
		q = &w->queues[w->first_queue++];
		worker_queue_sync(w, q);
		if (!q->ready)
			continue;
		n = vport_rx_burst(q->vq, frames, q->turn);
		if (n == 0)
			continue;
		done += n;
		active++;
		worker_queue_used(q);
		worker_queue_pace(w, q, frames, n);
		l4x_rx_burst(w->p.l4x, q->pif, q->queue, frames, n, w->now_us);
		/* The rings to the bridges are full: next time it is the turn of those behind. */
		if (unlikely(!worker_drain(w)))
			break;
	}
	w->n_active = active;
	return done;
}

/** A queue pair of the guest that it does use, in place of one that it does not. */
static struct worker_queue *
worker_queue_other(struct worker *w, uint16_t pif)
{
	uint32_t i;

	for (i = 0; i < w->n_queues; i++)
		if (w->queues[i].pif == pif && w->queues[i].ready)
			return &w->queues[i];
	return NULL;
}

/** One run of frames for one queue. */
static void
worker_tx_run(struct worker *w, const struct l4x_frame *run, uint16_t n)
{
	struct worker_queue *q = worker_queue_find(w, run->pif, run->queue);
	struct rte_mbuf *frames[WORKER_TX_BURST];
	uint16_t sent = 0, i;

	if (unlikely(run->worker != w->p.id)) {
		worker_hand_over(w, run, n);
		return;
	}
	if (unlikely(q == NULL || !q->ready))
		q = worker_queue_other(w, run->pif);
	if (likely(q != NULL)) {
		for (i = 0; i < n; i++)
			frames[i] = run[i].m;
		sent = vport_tx_burst(q->vq, frames, n);
		worker_queue_used(q);
	}
	if (unlikely(sent < n)) {
		worker_count(w, WORKER_COUNT_TX_DROPPED, n - sent);
		l4x_frames_unsent(w->p.l4x, &run[sent], n - sent, w->now_us);
	}
}

void
worker_ports_tx(struct worker *w)
{
	const struct l4x_frame *f = w->out->frames;
	const uint32_t n = w->out->n_frames;
	uint32_t i, first = 0;

	for (i = 1; i <= n; i++) {
		if (i < n && i - first < WORKER_TX_BURST && f[i].pif == f[first].pif &&
			f[i].queue == f[first].queue)
			continue;
		worker_tx_run(w, &f[first], (uint16_t)(i - first));
		first = i;
	}
}

/**
 * Fill a bridge's ring up to its share of what is lent ahead.
 * @return buffers lent
 */
static unsigned int
worker_lend_share(struct worker *w, struct worker_queue *q, struct lender *l)
{
	const unsigned int all = atomic_load_explicit(&l->mergeable, memory_order_relaxed)
		? WORKER_LEND_MERGEABLE
		: WORKER_LEND_WHOLE;
	const unsigned int want = RTE_MAX(all / w->p.n_bridges, 8u);
	unsigned int have = rte_ring_count(l->bufs), lent = 0;
	struct rte_mbuf *bufs[VPORT_BURST];

	while (have + lent < want) {
		const uint16_t n = vport_lend(
			q->vq, bufs, RTE_MIN(want - have - lent, (unsigned int)VPORT_BURST));

		if (n == 0)
			break;
		/* The ring holds more than is ever wanted. */
		rte_ring_sp_enqueue_bulk(l->bufs, (void *const *)bufs, n, NULL);
		lent += n;
		if (n < VPORT_BURST)
			break;
	}
	return lent;
}

/** A bridge waits for buffers. @return false: there were none for it */
static bool
worker_feed(struct worker *w, struct worker_queue *q, unsigned int bridge)
{
	struct lender *l = q->lenders[bridge];

	if (worker_lend_share(w, q, l) == 0 && rte_ring_empty(l->bufs))
		return false;
	lender_feed(l);
	waker_ring(w->p.chans[bridge]->bridge_waker);
	return true;
}

/** Other bridges hold all the guest's buffers: have back what they do not use. */
static void
worker_share_begin(struct worker *w, struct worker_queue *q, unsigned int hungry)
{
	unsigned int b;

	q->sharing = true;
	for (b = 0; b < w->p.n_bridges; b++) {
		if (b == hungry)
			continue;
		lender_recall(q->lenders[b], w->p.chans[b]);
		waker_ring(w->p.chans[b]->bridge_waker);
	}
}

/** Once all are back, those that wait are served first. */
static void
worker_share_end(struct worker *w, struct worker_queue *q)
{
	unsigned int b;

	for (b = 0; b < w->p.n_bridges; b++)
		if (lender_state(q->lenders[b]) == LENDER_RECALLED)
			return;
	q->sharing = false;
	for (b = 0; b < w->p.n_bridges; b++)
		if (lender_hungry(q->lenders[b]))
			worker_feed(w, q, b);
	for (b = 0; b < w->p.n_bridges; b++)
		lender_run(q->lenders[b]);
}

/**
 * Keep the bridges in empty buffers: that of the guest's own flows ahead, whenever the queue pair
 * was used, others on demand.
 */
static void
worker_lend(struct worker *w, struct worker_queue *q)
{
	unsigned int b;

	if (unlikely(q->sharing)) {
		worker_share_end(w, q);
		return;
	}
	for (b = 0; b < w->p.n_bridges; b++) {
		struct lender *l = q->lenders[b];

		if (unlikely(lender_lost(l))) {
			vport_queue_memory_lost(q->vq);
			return;
		}
		if (unlikely(lender_hungry(l))) {
			if (!worker_feed(w, q, b) && w->p.n_bridges > 1) {
				worker_share_begin(w, q, b);
				return;
			}
		} else if (q->dirty && b == w->p.id % w->p.n_bridges) {
			worker_lend_share(w, q, l);
		}
	}
}

void
worker_ports_flush(struct worker *w)
{
	uint32_t i;

	for (i = 0; i < w->n_queues; i++) {
		struct worker_queue *q = &w->queues[i];

		if (!q->ready)
			continue;
		worker_lend(w, q);
		/* Frames completed by a bridge on another core make work without a burst. */
		vport_queue_flush(q->vq);
		q->dirty = false;
	}
}

static void
wake_owner(void *arg)
{
	waker_ring(arg);
}

int
worker_add_queue(
	struct worker *w, uint16_t pif, uint8_t queue, struct vport *vp, struct lender **lenders)
{
	const struct vport_owner owner = {
		.wake = wake_owner, .arg = w->p.waker, .bell = w->p.bell
	};
	struct worker_queue *q;
	unsigned int b;

	if (pif >= L4X_MAX_PIFS || queue >= L4X_MAX_QUEUES || w->queue_index[pif][queue] != 0)
		return -EINVAL;
	if (w->n_queues == WORKER_MAX_QUEUES)
		return -ENOSPC;
	q = &w->queues[w->n_queues];
	*q = (struct worker_queue){
		.vq = vport_queue(vp, queue),
		.vp = vp,
		.pif = pif,
		.queue = queue,
		.turn = VPORT_BURST,
		.kick_fd = { -1, -1 },
	};
	for (b = 0; b < w->p.n_bridges; b++)
		q->lenders[b] = lenders[b];
	vport_queue_own(q->vq, &owner);
	w->queue_index[pif][queue] = (uint16_t)++w->n_queues;
	return 0;
}

int
worker_remove_port(struct worker *w, uint16_t pif)
{
	uint32_t i, kept = 0;

	for (i = 0; i < w->n_queues; i++)
		if (w->queues[i].pif == pif && (w->queues[i].ready || w->queues[i].stopping))
			return -EBUSY;
	for (i = 0; i < w->n_queues; i++) {
		struct worker_queue *q = &w->queues[i];

		w->queue_index[q->pif][q->queue] = 0;
		if (q->pif == pif)
			continue;
		w->queues[kept++] = *q;
		w->queue_index[q->pif][q->queue] = (uint16_t)kept;
	}
	w->n_queues = kept;
	return 0;
}
