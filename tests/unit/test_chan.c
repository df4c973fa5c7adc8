/* SPDX-License-Identifier: BSD-3-Clause */
#include "chan.h"

#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <rte_eal.h>
#include <rte_mbuf.h>

static struct rte_mempool *pool;

static bool
rung(const struct waker *w)
{
	struct pollfd p = { .fd = w->fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

static void
a_thread_that_is_awake_is_not_rung(void **state)
{
	struct waker w;

	assert_int_equal(waker_init(&w), 0);
	waker_ring(&w);
	assert_false(rung(&w));
	waker_fini(&w);
}

static void
a_sleeper_is_rung_once_and_its_bell_is_silent_after_it_awoke(void **state)
{
	struct waker w;

	assert_int_equal(waker_init(&w), 0);
	waker_sleepy(&w);
	waker_ring(&w);
	waker_ring(&w);
	assert_true(rung(&w));
	waker_awake(&w);
	assert_false(rung(&w));
	waker_fini(&w);
}

static void
a_sleeper_that_wakes_by_itself_is_not_rung_later(void **state)
{
	struct waker w;

	assert_int_equal(waker_init(&w), 0);
	waker_sleepy(&w);
	waker_awake(&w);
	waker_ring(&w);
	assert_false(rung(&w));
	waker_fini(&w);
}

#define TURNS 20000

struct ping_pong {
	struct chan *chan;
	struct waker *own;
};

/** Echoes operations as events, and sleeps whenever there is none. */
static void *
sleepy_echo(void *arg)
{
	struct ping_pong *p = arg;
	unsigned int turns = 0;

	while (turns < TURNS) {
		struct l4x_op op;

		if (rte_ring_sc_dequeue_elem(p->chan->ops, &op, sizeof(op)) == 0) {
			struct l4x_event ev = { .flow = op.flow };

			rte_ring_sp_enqueue_elem(p->chan->events, &ev, sizeof(ev));
			waker_ring(p->chan->worker_waker);
			turns++;
			continue;
		}
		waker_sleepy(p->own);
		if (rte_ring_empty(p->chan->ops)) {
			struct pollfd fd = { .fd = p->own->fd, .events = POLLIN };

			/* A lost wake-up shows as a time-out. */
			if (poll(&fd, 1, 10000) != 1)
				return (void *)1;
		}
		waker_awake(p->own);
	}
	return NULL;
}

static void
no_wake_up_is_lost_between_two_threads_that_sleep(void **state)
{
	struct waker mine, other;
	struct ping_pong p = { .own = &other };
	pthread_t thread;
	void *failed;
	unsigned int i;

	assert_int_equal(waker_init(&mine), 0);
	assert_int_equal(waker_init(&other), 0);
	p.chan = chan_create(0, 0, SOCKET_ID_ANY, &mine, &other);
	assert_non_null(p.chan);
	assert_int_equal(pthread_create(&thread, NULL, sleepy_echo, &p), 0);
	for (i = 0; i < TURNS; i++) {
		struct l4x_op op = { .flow = i };
		struct l4x_event ev;

		assert_int_equal(rte_ring_sp_enqueue_elem(p.chan->ops, &op, sizeof(op)), 0);
		waker_ring(&other);
		while (rte_ring_sc_dequeue_elem(p.chan->events, &ev, sizeof(ev)) != 0) {
			waker_sleepy(&mine);
			if (rte_ring_empty(p.chan->events)) {
				struct pollfd fd = { .fd = mine.fd, .events = POLLIN };

				assert_int_equal(poll(&fd, 1, 10000), 1);
			}
			waker_awake(&mine);
		}
		assert_int_equal(ev.flow, i);
	}
	pthread_join(thread, &failed);
	assert_null(failed);
	chan_destroy(p.chan);
	waker_fini(&mine);
	waker_fini(&other);
}

static void
a_chan_that_is_destroyed_frees_the_mbufs_in_its_rings(void **state)
{
	struct l4x_event ev = { .type = L4X_EV_DATA };
	struct l4x_op op = { .type = L4X_OP_SEND };
	struct waker w;
	struct chan *c;

	assert_int_equal(waker_init(&w), 0);
	c = chan_create(1, 2, SOCKET_ID_ANY, &w, &w);
	assert_non_null(c);
	op.send.m = rte_pktmbuf_alloc(pool);
	ev.data.m = rte_pktmbuf_alloc(pool);
	rte_ring_sp_enqueue_elem(c->ops, &op, sizeof(op));
	rte_ring_sp_enqueue_elem(c->events, &ev, sizeof(ev));
	op.type = L4X_OP_DGRAM;
	op.dgram.m = rte_pktmbuf_alloc(pool);
	rte_ring_sp_enqueue_elem(c->ops, &op, sizeof(op));
	ev.type = L4X_EV_LISTEN_DGRAM;
	ev.accepted.m = rte_pktmbuf_alloc(pool);
	rte_ring_sp_enqueue_elem(c->events, &ev, sizeof(ev));
	assert_int_equal(rte_mempool_in_use_count(pool), 4);
	chan_destroy(c);
	assert_int_equal(rte_mempool_in_use_count(pool), 0);
	waker_fini(&w);
}

static void
two_chans_of_one_name_cannot_be(void **state)
{
	struct waker w;
	struct chan *c;

	assert_int_equal(waker_init(&w), 0);
	c = chan_create(3, 3, SOCKET_ID_ANY, &w, &w);
	assert_non_null(c);
	assert_null(chan_create(3, 3, SOCKET_ID_ANY, &w, &w));
	chan_destroy(c);
	waker_fini(&w);
}

static void
a_lender_that_is_destroyed_frees_the_buffers_in_its_ring(void **state)
{
	struct lender *l = lender_create(1, 0, 0, 0, SOCKET_ID_ANY);

	assert_non_null(l);
	assert_int_equal(l->state, LENDER_STOPPED);
	rte_ring_sp_enqueue(l->bufs, rte_pktmbuf_alloc(pool));
	rte_ring_sp_enqueue(l->bufs, rte_pktmbuf_alloc(pool));
	lender_destroy(l);
	assert_int_equal(rte_mempool_in_use_count(pool), 0);
}

int
main(void)
{
	char *argv[] = { "test", "--no-huge", "-m", "64", "--no-shconf", "--no-telemetry",
		"--no-pci", "--file-prefix", "test-chan", "-l", "0" };
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_thread_that_is_awake_is_not_rung),
		cmocka_unit_test(a_sleeper_is_rung_once_and_its_bell_is_silent_after_it_awoke),
		cmocka_unit_test(a_sleeper_that_wakes_by_itself_is_not_rung_later),
		cmocka_unit_test(no_wake_up_is_lost_between_two_threads_that_sleep),
		cmocka_unit_test(a_chan_that_is_destroyed_frees_the_mbufs_in_its_rings),
		cmocka_unit_test(two_chans_of_one_name_cannot_be),
		cmocka_unit_test(a_lender_that_is_destroyed_frees_the_buffers_in_its_ring),
	};
	int failed;

	if (rte_eal_init(RTE_DIM(argv), argv) < 0)
		return 1;
	pool = rte_pktmbuf_pool_create("pool", 63, 0, 0, 256, SOCKET_ID_ANY);
	if (pool == NULL)
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	rte_mempool_free(pool);
	rte_eal_cleanup();
	return failed;
}
