/* SPDX-License-Identifier: BSD-3-Clause */
#include "chan.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <cmocka.h>

#include <rte_eal.h>
#include <rte_mbuf.h>

static struct rte_mempool *pool;

/** A waker, and what its thread sleeps on. */
struct bed {
	struct waker w;
	int epoll_fd;
};

static void
bed_make(struct bed *b)
{
	assert_int_equal(waker_init(&b->w), 0);
	b->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	assert_true(b->epoll_fd >= 0);
	assert_int_equal(waker_watch(&b->w, b->epoll_fd), 0);
}

static void
bed_remove(struct bed *b)
{
	close(b->epoll_fd);
	waker_fini(&b->w);
}

/** Block. @return true: rung; false: the time is up */
static bool
sleep_until_rung(const struct bed *b, int timeout_ms)
{
	struct epoll_event ev;

	return epoll_wait(b->epoll_fd, &ev, 1, timeout_ms) == 1;
}

static void
a_thread_that_is_awake_is_not_rung(void **state)
{
	struct bed b;

	bed_make(&b);
	waker_ring(&b.w);
	assert_false(sleep_until_rung(&b, 0));
	bed_remove(&b);
}

static void
a_ring_ends_one_sleep(void **state)
{
	struct bed b;
	int i;

	bed_make(&b);
	for (i = 0; i < 3; i++) {
		waker_sleepy(&b.w);
		waker_ring(&b.w);
		waker_ring(&b.w);
		assert_true(sleep_until_rung(&b, 0));
		waker_awake(&b.w);
		waker_sleepy(&b.w);
		assert_false(sleep_until_rung(&b, 0));
		waker_awake(&b.w);
	}
	bed_remove(&b);
}

static void
a_sleeper_that_wakes_by_itself_is_not_rung_later(void **state)
{
	struct bed b;

	bed_make(&b);
	waker_sleepy(&b.w);
	waker_awake(&b.w);
	waker_ring(&b.w);
	assert_false(sleep_until_rung(&b, 0));
	bed_remove(&b);
}

static void
a_ring_that_comes_late_ends_one_sleep_and_no_more(void **state)
{
	const uint64_t one = 1;
	struct bed b;

	bed_make(&b);
	waker_sleepy(&b.w);
	/* waker_ring() in slow motion: it takes the flag, the sleeper wakes by itself, it writes.
	 */
	assert_int_equal(atomic_exchange(&b.w.sleeping, 0), 1);
	waker_awake(&b.w);
	assert_int_equal(write(b.w.fd, &one, sizeof(one)), sizeof(one));
	waker_sleepy(&b.w);
	assert_true(sleep_until_rung(&b, 0));
	waker_awake(&b.w);
	waker_sleepy(&b.w);
	assert_false(sleep_until_rung(&b, 0));
	/* And it can be rung as ever. */
	waker_ring(&b.w);
	assert_true(sleep_until_rung(&b, 0));
	bed_remove(&b);
}

#define TURNS 20000
#define LOST_MS 20000

struct ping_pong {
	struct chan *chan;
	struct bed *own;
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
		waker_sleepy(&p->own->w);
		/* A lost wake-up shows as a time-out. */
		if (rte_ring_empty(p->chan->ops) && !sleep_until_rung(p->own, LOST_MS))
			return (void *)1;
		waker_awake(&p->own->w);
	}
	return NULL;
}

static void
no_wake_up_is_lost_between_two_threads_that_sleep(void **state)
{
	struct bed mine, other;
	struct ping_pong p = { .own = &other };
	pthread_t thread;
	void *failed;
	unsigned int i;

	bed_make(&mine);
	bed_make(&other);
	p.chan = chan_create(0, 0, SOCKET_ID_ANY, &mine.w, &other.w);
	assert_non_null(p.chan);
	assert_int_equal(pthread_create(&thread, NULL, sleepy_echo, &p), 0);
	for (i = 0; i < TURNS; i++) {
		struct l4x_op op = { .flow = i };
		struct l4x_event ev;

		assert_int_equal(rte_ring_sp_enqueue_elem(p.chan->ops, &op, sizeof(op)), 0);
		waker_ring(&other.w);
		while (rte_ring_sc_dequeue_elem(p.chan->events, &ev, sizeof(ev)) != 0) {
			waker_sleepy(&mine.w);
			if (rte_ring_empty(p.chan->events))
				assert_true(sleep_until_rung(&mine, LOST_MS));
			waker_awake(&mine.w);
		}
		assert_int_equal(ev.flow, i);
	}
	pthread_join(thread, &failed);
	assert_null(failed);
	chan_destroy(p.chan);
	bed_remove(&mine);
	bed_remove(&other);
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
	ev.data.m[0] = rte_pktmbuf_alloc(pool);
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
	assert_int_equal(lender_state(l), LENDER_STOPPED);
	rte_ring_sp_enqueue(l->bufs, rte_pktmbuf_alloc(pool));
	rte_ring_sp_enqueue(l->bufs, rte_pktmbuf_alloc(pool));
	lender_destroy(l);
	assert_int_equal(rte_mempool_in_use_count(pool), 0);
}

static void
a_lender_goes_round_and_each_side_writes_its_own(void **state)
{
	struct lender *l = lender_create(1, 0, 0, 0, SOCKET_ID_ANY);
	struct lender before;
	struct chan c = { 0 };

	assert_int_equal((uintptr_t)l % RTE_CACHE_LINE_SIZE, 0);
	for (int i = 0; i < 3; i++) {
		before = *l;
		lender_run(l);
		assert_int_equal(lender_state(l), LENDER_RUNNING);
		lender_run(l);
		assert_int_equal(lender_state(l), LENDER_RUNNING);
		lender_recall(l, &c);
		assert_int_equal(lender_state(l), LENDER_RECALLED);
		lender_recall(l, &c);
		assert_int_equal(lender_state(l), LENDER_RECALLED);
		assert_int_equal(c.recalls, i + 1);
		assert_memory_equal(&before.returned, &l->returned, RTE_CACHE_LINE_SIZE);
		before = *l;
		lender_return(l);
		assert_int_equal(lender_state(l), LENDER_STOPPED);
		lender_recall(l, &c);
		assert_int_equal(lender_state(l), LENDER_STOPPED);
		assert_memory_equal(&before, l, 2 * RTE_CACHE_LINE_SIZE);
	}
	/* Recalled, and wanted again before the bridge has looked. */
	lender_run(l);
	lender_recall(l, &c);
	lender_run(l);
	assert_int_equal(lender_state(l), LENDER_RUNNING);
	lender_destroy(l);
}

static void
a_lender_is_hungry_until_it_is_fed(void **state)
{
	struct lender *l = lender_create(1, 0, 0, 0, SOCKET_ID_ANY);
	struct lender before;
	struct chan c = { 0 };

	lender_run(l);
	for (int i = 0; i < 3; i++) {
		assert_false(lender_hungry(l));
		assert_false(lender_lost(l));
		before = *l;
		lender_ask(l);
		lender_ask(l);
		lender_lose(l);
		assert_memory_equal(&before, l, 2 * RTE_CACHE_LINE_SIZE);
		assert_true(lender_hungry(l));
		assert_true(lender_lost(l));
		before = *l;
		lender_feed(l);
		lender_found(l);
		assert_memory_equal(&before.returned, &l->returned, RTE_CACHE_LINE_SIZE);
	}
	/* Who gives all back asks for nothing any more. */
	lender_ask(l);
	lender_recall(l, &c);
	lender_return(l);
	assert_false(lender_hungry(l));
	lender_destroy(l);
}

int
main(void)
{
	char *argv[] = { "test", "--no-huge", "-m", "64", "--no-shconf", "--no-telemetry",
		"--no-pci", "--file-prefix", "test-chan", "-l", "0" };
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_thread_that_is_awake_is_not_rung),
		cmocka_unit_test(a_ring_ends_one_sleep),
		cmocka_unit_test(a_sleeper_that_wakes_by_itself_is_not_rung_later),
		cmocka_unit_test(a_ring_that_comes_late_ends_one_sleep_and_no_more),
		cmocka_unit_test(no_wake_up_is_lost_between_two_threads_that_sleep),
		cmocka_unit_test(a_chan_that_is_destroyed_frees_the_mbufs_in_its_rings),
		cmocka_unit_test(two_chans_of_one_name_cannot_be),
		cmocka_unit_test(a_lender_that_is_destroyed_frees_the_buffers_in_its_ring),
		cmocka_unit_test(a_lender_goes_round_and_each_side_writes_its_own),
		cmocka_unit_test(a_lender_is_hungry_until_it_is_fed),
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
