/* SPDX-License-Identifier: BSD-3-Clause */
#include "worker_priv.h"

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

/** Longest sleep, us: a bound on whatever was overlooked; nothing depends on it. */
#define SLEEP_MAX_US 1000000
/** Sleep between looks at a queue pair that would not tell of its work. */
#define SLEEP_POLL_US 1000

static int
watch(int epoll_fd, int fd, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.fd = fd };

	return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0 ? -errno : 0;
}

int
worker_sleep_init(struct worker *w)
{
	int ret;

	w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (w->epoll_fd < 0)
		return -errno;
	ret = waker_watch(w->p.waker, w->epoll_fd);
	if (ret == 0 && w->p.inline_bridge != NULL)
		ret = watch(w->epoll_fd, bridge_epoll_fd(w->p.inline_bridge), EPOLLIN);
	return ret;
}

void
worker_sleep_watch(struct worker *w, struct worker_queue *q)
{
	unsigned int dir;

	for (dir = 0; dir < 2; dir++) {
		const int fd = vport_queue_kick_fd(q->vq, dir == 0);

		/* Edge-triggered, so that a kick ends one sleep and its counter need not be read.
		 */
		if (fd >= 0 && watch(w->epoll_fd, fd, EPOLLIN | EPOLLET) == 0)
			q->kick_fd[dir] = fd;
	}
}

void
worker_sleep_unwatch(struct worker *w, struct worker_queue *q)
{
	unsigned int dir;

	for (dir = 0; dir < 2; dir++) {
		if (q->kick_fd[dir] >= 0)
			epoll_ctl(w->epoll_fd, EPOLL_CTL_DEL, q->kick_fd[dir], NULL);
		q->kick_fd[dir] = -1;
	}
}

/** Whatever the worker polls, once more, now that it has said that it sleeps. */
static bool
work_waits(struct worker *w)
{
	bool waits = !rte_ring_empty(w->p.handover) || !rte_ring_empty(w->requests) ||
		atomic_load_explicit(&w->stop, memory_order_relaxed) != 0 || w->out->n_ops != 0;
	unsigned int b;
	uint32_t i;

	for (b = 0; b < w->p.n_bridges; b++)
		waits |= !rte_ring_empty(w->p.chans[b]->events);
	if (w->p.inline_bridge != NULL)
		waits |= bridge_has_work(w->p.inline_bridge);
	for (i = 0; i < w->n_queues; i++) {
		struct worker_queue *q = &w->queues[i];

		if (q->ready) {
			waits |= vport_queue_arm(q->vq);
			q->armed = true;
		}
		waits |= q->stopping || q->sharing;
	}
	return waits;
}

static bool
must_poll(const struct worker *w)
{
	uint32_t i;

	for (i = 0; i < w->n_queues; i++)
		if (vport_queue_must_poll(w->queues[i].vq))
			return true;
	return false;
}

static int
sleep_ms(const struct worker *w)
{
	uint64_t next = l4x_next_us(w->p.l4x);
	uint64_t left = SLEEP_MAX_US;

	if (w->p.inline_bridge != NULL)
		next = RTE_MIN(next, bridge_next_us(w->p.inline_bridge));
	if (next <= w->now_us)
		return 0;
	left = RTE_MIN(left, next - w->now_us);
	if (must_poll(w))
		left = RTE_MIN(left, (uint64_t)SLEEP_POLL_US);
	return (int)((left + 999) / 1000);
}

void
worker_sleep(struct worker *w)
{
	struct epoll_event events[8];

	waker_sleepy(w->p.waker);
	if (!work_waits(w)) {
		const int ms = sleep_ms(w);

		if (ms > 0) {
			worker_count(w, WORKER_COUNT_SLEEPS, 1);
			/* What woke it is found by polling everything. */
			epoll_wait(w->epoll_fd, events, RTE_DIM(events), ms);
		}
	}
	waker_awake(w->p.waker);
	w->now_us = clock_us(w->clock);
	w->busy_us = w->now_us;
	l4x_timers(w->p.l4x, w->now_us);
	worker_drain(w);
}
