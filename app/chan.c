/* SPDX-License-Identifier: BSD-3-Clause */
#include "chan.h"

#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <rte_errno.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>

/** Empty buffers of one queue pair that can be on their way: the largest split ring, halved often.
 */
#define LENDER_BUFS 1024

int
waker_init(struct waker *w)
{
	atomic_init(&w->sleeping, 0);
	w->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	return w->fd < 0 ? -errno : 0;
}

void
waker_fini(struct waker *w)
{
	if (w->fd >= 0)
		close(w->fd);
	w->fd = -1;
}

int
waker_watch(const struct waker *w, int epoll_fd)
{
	/* Edge-triggered: each write ends one wait, so the counter need not be read, and a write
	 * that comes late cannot leave it readable for ever. */
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET, .data.fd = w->fd };

	return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, w->fd, &ev) < 0 ? -errno : 0;
}

void
waker_sleepy(struct waker *w)
{
	/* Pairs with the fence in waker_ring(): either the ringer sees that we sleep, or we see its
	 * work when we look once more. */
	atomic_store_explicit(&w->sleeping, 1, memory_order_seq_cst);
	atomic_thread_fence(memory_order_seq_cst);
}

void
waker_awake(struct waker *w)
{
	atomic_store_explicit(&w->sleeping, 0, memory_order_relaxed);
}

void
waker_ring(struct waker *w)
{
	const uint64_t one = 1;

	atomic_thread_fence(memory_order_seq_cst);
	if (atomic_load_explicit(&w->sleeping, memory_order_relaxed) == 0)
		return;
	if (atomic_exchange_explicit(&w->sleeping, 0, memory_order_seq_cst) == 0)
		return;
	/* Only a counter at its maximum can refuse, after 2^64 rings. */
	if (write(w->fd, &one, sizeof(one)) < 0)
		return;
}

struct chan *
chan_create(uint8_t worker, uint8_t bridge, int socket_id, struct waker *worker_waker,
	struct waker *bridge_waker)
{
	struct chan *c = rte_zmalloc_socket("chan", sizeof(*c), RTE_CACHE_LINE_SIZE, socket_id);
	char name[RTE_RING_NAMESIZE];

	if (c == NULL) {
		rte_errno = ENOMEM;
		return NULL;
	}
	c->worker = worker;
	c->bridge = bridge;
	c->worker_waker = worker_waker;
	c->bridge_waker = bridge_waker;
	snprintf(name, sizeof(name), "ops_%u_%u", worker, bridge);
	c->ops = rte_ring_create_elem(
		name, sizeof(struct l4x_op), CHAN_OPS, socket_id, RING_F_SP_ENQ | RING_F_SC_DEQ);
	if (c->ops == NULL)
		goto fail;
	snprintf(name, sizeof(name), "events_%u_%u", worker, bridge);
	c->events = rte_ring_create_elem(name, sizeof(struct l4x_event), CHAN_EVENTS, socket_id,
		RING_F_SP_ENQ | RING_F_SC_DEQ);
	if (c->events == NULL)
		goto fail;
	return c;
fail:
	rte_ring_free(c->ops);
	rte_free(c);
	return NULL;
}

void
chan_destroy(struct chan *c)
{
	struct l4x_event ev;
	struct l4x_op op;

	if (c == NULL)
		return;
	while (rte_ring_sc_dequeue_elem(c->ops, &op, sizeof(op)) == 0)
		l4x_op_free(&op);
	while (rte_ring_sc_dequeue_elem(c->events, &ev, sizeof(ev)) == 0)
		l4x_event_free(&ev);
	rte_ring_free(c->ops);
	rte_ring_free(c->events);
	rte_free(c);
}

struct lender *
lender_create(uint16_t pif, uint8_t queue, uint8_t worker, uint8_t bridge, int socket_id)
{
	struct lender *l = rte_zmalloc_socket("lender", sizeof(*l), RTE_CACHE_LINE_SIZE, socket_id);
	char name[RTE_RING_NAMESIZE];

	if (l == NULL) {
		rte_errno = ENOMEM;
		return NULL;
	}
	l->pif = pif;
	l->queue = queue;
	l->worker = worker;
	snprintf(name, sizeof(name), "lend_%u_%u_%u", pif, queue, bridge);
	l->bufs = rte_ring_create(name, LENDER_BUFS, socket_id, RING_F_SP_ENQ | RING_F_SC_DEQ);
	if (l->bufs == NULL) {
		rte_free(l);
		return NULL;
	}
	return l;
}

/** A number of which the caller is the only writer. */
static uint32_t
own(const _Atomic uint32_t *n)
{
	return atomic_load_explicit(n, memory_order_relaxed);
}

void
lender_run(struct lender *l)
{
	/* Pairs with the acquire in lender_state(), in the bridge: mergeable is there. */
	atomic_store_explicit(&l->turn, own(&l->turn) | 1, memory_order_release);
}

void
lender_recall(struct lender *l, struct chan *c)
{
	if ((own(&l->turn) & 1) == 0)
		return;
	atomic_store_explicit(&l->turn, own(&l->turn) + 1, memory_order_release);
	/* Pairs with the acquire in bridge_lenders_poll(): it will see what is recalled. */
	atomic_store_explicit(&c->recalls, own(&c->recalls) + 1, memory_order_release);
}

void
lender_return(struct lender *l)
{
	atomic_store_explicit(&l->asked, atomic_load_explicit(&l->fed, memory_order_relaxed),
		memory_order_relaxed);
	/* Pairs with the acquire in lender_state(), in the worker: the buffers are back. */
	atomic_store_explicit(&l->returned, atomic_load_explicit(&l->turn, memory_order_relaxed),
		memory_order_release);
}

void
lender_ask(struct lender *l)
{
	if (!lender_hungry(l))
		atomic_store_explicit(&l->asked, own(&l->asked) + 1, memory_order_relaxed);
}

void
lender_feed(struct lender *l)
{
	atomic_store_explicit(&l->fed, atomic_load_explicit(&l->asked, memory_order_relaxed),
		memory_order_relaxed);
}

void
lender_lose(struct lender *l)
{
	atomic_store_explicit(&l->lost, own(&l->lost) + 1, memory_order_relaxed);
}

void
lender_found(struct lender *l)
{
	atomic_store_explicit(&l->known, atomic_load_explicit(&l->lost, memory_order_relaxed),
		memory_order_relaxed);
}

void
lender_clear(struct lender *l)
{
	void *m;

	while (rte_ring_sc_dequeue(l->bufs, &m) == 0)
		rte_pktmbuf_free(m);
}

void
lender_destroy(struct lender *l)
{
	if (l == NULL)
		return;
	lender_clear(l);
	rte_ring_free(l->bufs);
	rte_free(l);
}
