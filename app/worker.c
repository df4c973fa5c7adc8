/* SPDX-License-Identifier: BSD-3-Clause */
#include "worker_priv.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include <rte_branch_prediction.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>

#include "waits.h"

/** How often l4x_timers() is called while the worker is awake. */
#define WORKER_TIMER_US 2000
#define WORKER_REQUESTS 64

const struct worker_counter_info worker_counter_info[WORKER_COUNTS] = {
#define X(e, name, help) { name, help, 0 },
#define D(e, name, help) { name, help, 1 },
	WORKER_COUNTERS(X, D)
#undef X
#undef D
};

/** Operations, as far as the rings have room. */
static bool
worker_drain_ops(struct worker *w)
{
	const struct l4x_out *out = w->out;

	while (w->ops_sent < out->n_ops) {
		const struct l4x_op *op = &out->ops[w->ops_sent];
		struct chan *c = w->p.chans[op->bridge];
		uint32_t run = 1;
		unsigned int sent;

		while (w->ops_sent + run < out->n_ops && op[run].bridge == op->bridge)
			run++;
		sent = rte_ring_sp_enqueue_burst_elem(c->ops, op, sizeof(*op), run, NULL);
		w->ops_sent += sent;
		/* A bridge inside of this worker sleeps when it does: no fence for that. */
		if (c->bridge_waker != w->p.waker)
			waker_ring(c->bridge_waker);
		if (unlikely(sent < run)) {
			/* Nobody but this thread empties the ring of an inline bridge. */
			if (w->p.inline_bridge == NULL)
				return false;
			bridge_poll(w->p.inline_bridge, w->now_us, true);
		}
	}
	return true;
}

void
worker_hand_over(struct worker *w, const struct l4x_frame *frames, uint32_t n)
{
	const uint8_t to = frames->worker;
	uint32_t sent = rte_ring_mp_enqueue_burst_elem(
		w->p.handover_to[to], frames, sizeof(*frames), n, NULL);

	waker_ring(w->p.wakers[to]);
	if (likely(sent == n))
		return;
	worker_count(w, WORKER_COUNT_HANDOVER_FULL, n - sent);
	for (; sent < n; sent++)
		rte_pktmbuf_free(frames[sent].m);
}

static void
worker_drain_handover(struct worker *w)
{
	const struct l4x_frame *f = w->out->handover;
	const uint32_t n = w->out->n_handover;
	uint32_t i, first = 0;

	for (i = 1; i <= n; i++) {
		if (i < n && f[i].worker == f[first].worker)
			continue;
		worker_hand_over(w, &f[first], i - first);
		first = i;
	}
}

bool
worker_drain(struct worker *w)
{
	struct l4x_out *out = w->out;

	if (out->n_frames != 0) {
		worker_ports_tx(w);
		out->n_frames = 0;
	}
	if (unlikely(out->n_handover != 0)) {
		worker_drain_handover(w);
		out->n_handover = 0;
	}
	if (out->n_ops == 0)
		return true;
	if (!worker_drain_ops(w))
		return false;
	w->ops_sent = 0;
	l4x_out_reset(w->p.l4x);
	return true;
}

static unsigned int
worker_poll_events(struct worker *w)
{
	struct l4x_event events[L4X_BURST];
	unsigned int b, burst, n, done = 0;

	if (unlikely(!worker_drain(w)))
		return 0;
	for (b = 0; b < w->p.n_bridges; b++) {
		for (burst = 0; burst < WORKER_EVENT_BURSTS; burst++) {
			n = rte_ring_sc_dequeue_burst_elem(
				w->p.chans[b]->events, events, sizeof(events[0]), L4X_BURST, NULL);
			if (n == 0)
				break;
			done += n;
			l4x_events(w->p.l4x, events, n, w->now_us);
			if (unlikely(!worker_drain(w)))
				return done;
			if (n < L4X_BURST)
				break;
		}
	}
	return done;
}

static unsigned int
worker_poll_handover(struct worker *w)
{
	struct l4x_frame frames[L4X_BURST];
	unsigned int burst, n, done = 0;

	for (burst = 0; burst < WORKER_HANDOVER_BURSTS; burst++) {
		if (unlikely(!worker_drain(w)))
			break;
		n = rte_ring_sc_dequeue_burst_elem(
			w->p.handover, frames, sizeof(frames[0]), L4X_BURST, NULL);
		if (n == 0)
			break;
		done += n;
		l4x_rx_handover(w->p.l4x, frames, n, w->now_us);
		if (n < L4X_BURST)
			break;
	}
	worker_drain(w);
	return done;
}

static unsigned int
worker_poll_requests(struct worker *w)
{
	struct worker_request *r;
	unsigned int done = 0;

	while (unlikely(rte_ring_sc_dequeue(w->requests, (void **)&r) == 0)) {
		uint32_t waiting = REQUEST_WAITING;

		if (atomic_compare_exchange_strong(&r->state, &waiting, REQUEST_TAKEN)) {
			r->fn(w, r->arg);
			worker_drain(w);
			/* Pairs with the acquire in worker_call(). */
			atomic_store_explicit(&r->state, REQUEST_DONE, memory_order_release);
		} else {
			rte_free(r); /* abandoned: its owner has left it to us */
		}
		done++;
	}
	return done;
}

static void
worker_timer(struct rte_timer *timer, void *arg)
{
	struct worker *w = arg;

	/* Not before the output is empty; it comes again soon. */
	if (unlikely(!worker_drain(w)))
		return;
	l4x_timers(w->p.l4x, w->now_us);
	worker_drain(w);
}

unsigned int
worker_iterate(struct worker *w, uint64_t now_us)
{
	unsigned int done;

	w->now_us = now_us;
	done = worker_poll_requests(w);
	/* What did not fit in the rings to the bridges goes first; meanwhile guests wait. */
	if (likely(worker_drain(w))) {
		done += worker_ports_poll(w);
		if (w->p.n_workers > 1)
			done += worker_poll_handover(w);
		if (w->p.inline_bridge != NULL)
			done += bridge_poll(w->p.inline_bridge, w->now_us, done != 0);
		done += worker_poll_events(w);
		rte_timer_manage();
	}
	worker_ports_flush(w);
	worker_count(w, done != 0 ? WORKER_COUNT_LOOPS : WORKER_COUNT_IDLE, 1);
	return done;
}

int
worker_run(void *worker)
{
	struct worker *w = worker;

	w->clock = clock_scale_get();
	w->now_us = clock_us(w->clock);
	w->busy_us = w->now_us;
	rte_timer_init(&w->timer);
	rte_timer_reset_sync(&w->timer, rte_get_timer_hz() / (1000000 / WORKER_TIMER_US),
		PERIODICAL, rte_lcore_id(), worker_timer, w);
	while (atomic_load_explicit(&w->stop, memory_order_relaxed) == 0) {
		if (worker_iterate(w, clock_us(w->clock)) != 0)
			w->busy_us = w->now_us;
		else if (!w->p.busy && w->now_us - w->busy_us >= w->p.spin_us)
			worker_sleep(w);
	}
	rte_timer_stop_sync(&w->timer);
	return 0;
}

void
worker_stop(struct worker *w)
{
	atomic_store_explicit(&w->stop, 1, memory_order_seq_cst);
	waker_ring(w->p.waker);
}

void
worker_wake(struct worker *w)
{
	waker_ring(w->p.waker);
}

int
worker_call(struct worker *w, worker_fn fn, void *arg)
{
	struct worker_request *r = rte_zmalloc("request", sizeof(*r), 0);
	const struct clock_scale clock = clock_scale_get();
	const uint64_t until_us = clock_us(clock) + WAIT_WORKER_MS * 1000;
	struct timespec pause = { .tv_nsec = 20000 };
	uint32_t waiting = REQUEST_WAITING;

	if (r == NULL)
		return -ENOMEM;
	r->fn = fn;
	r->arg = arg;
	atomic_init(&r->state, REQUEST_WAITING);
	if (rte_ring_mp_enqueue(w->requests, r) != 0) {
		rte_free(r);
		return -EAGAIN;
	}
	waker_ring(w->p.waker);
	while (atomic_load_explicit(&r->state, memory_order_acquire) != REQUEST_DONE) {
		nanosleep(&pause, NULL);
		if (pause.tv_nsec < 1000000)
			pause.tv_nsec *= 2;
		if (clock_us(clock) >= until_us &&
			atomic_compare_exchange_strong(&r->state, &waiting, REQUEST_ABANDONED))
			return -ETIMEDOUT;
		waiting = REQUEST_WAITING;
	}
	rte_free(r);
	return 0;
}

struct l4x *
worker_l4x(struct worker *w)
{
	return w->p.l4x;
}

uint64_t
worker_now_us(const struct worker *w)
{
	return w->now_us;
}

bool
worker_settle(struct worker *w)
{
	return worker_drain(w);
}

const uint64_t *
worker_counters(const struct worker *w)
{
	return w->counters;
}

struct worker *
worker_create(const struct worker_params *p)
{
	struct worker *w =
		rte_zmalloc_socket("worker", sizeof(*w), RTE_CACHE_LINE_SIZE, p->socket_id);
	char name[RTE_RING_NAMESIZE];
	int ret = ENOMEM;

	if (w == NULL)
		goto fail;
	w->epoll_fd = -1;
	w->p = *p;
	w->out = l4x_out(p->l4x);
	atomic_init(&w->stop, 0);
	w->queues = rte_zmalloc_socket(
		"worker_queues", WORKER_MAX_QUEUES * sizeof(*w->queues), 0, p->socket_id);
	snprintf(name, sizeof(name), "requests_%u", p->id);
	w->requests = rte_ring_create(name, WORKER_REQUESTS, p->socket_id, RING_F_SC_DEQ);
	if (w->queues == NULL || w->requests == NULL)
		goto fail;
	ret = -worker_sleep_init(w);
	if (ret != 0)
		goto fail;
	return w;
fail:
	worker_destroy(w);
	rte_errno = ret;
	return NULL;
}

void
worker_destroy(struct worker *w)
{
	struct worker_request *r;

	if (w == NULL)
		return;
	while (w->requests != NULL && rte_ring_sc_dequeue(w->requests, (void **)&r) == 0)
		rte_free(r);
	rte_ring_free(w->requests);
	if (w->epoll_fd >= 0)
		close(w->epoll_fd);
	rte_free(w->queues);
	rte_free(w);
}
