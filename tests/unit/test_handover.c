/* SPDX-License-Identifier: BSD-3-Clause */
/* drivers/vhost: a queue pair goes from librte_vhost's thread to its worker and back. */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "vport_priv.h"

/** At least so many were taken by the worker, of this many at most. */
#define TAKEN 1000
#define ROUNDS 5000000

static bool
begin(struct vport_queue *q, struct vport_session *s)
{
	return true;
}

static void
refresh(struct vport_queue *q)
{
}

static bool
end(struct vport_queue *q)
{
	return true;
}

static const struct vport_ops ops = { .begin = begin, .refresh = refresh, .end = end };

struct pair {
	struct vport vp;
	struct vport_queue q;
	_Atomic bool over;
	_Atomic unsigned int started, stopped;
};

static struct pair *
pair_new(void)
{
	struct pair *p = aligned_alloc(
		RTE_CACHE_LINE_SIZE, RTE_ALIGN_CEIL(sizeof(*p), (size_t)RTE_CACHE_LINE_SIZE));

	assert_non_null(p);
	memset(p, 0, sizeof(*p));
	p->vp.ops = p->q.ops = &ops;
	p->q.vp = &p->vp;
	p->vp.queues[0] = &p->q;
	return p;
}

/* What a worker does in each iteration. */
static enum vport_sync
look(struct pair *p)
{
	const enum vport_sync sync = vport_queue_sync(&p->q);

	if (sync == VPORT_SYNC_STARTED)
		p->started++;
	if (sync == VPORT_SYNC_STOP) {
		p->stopped++;
		assert_true(vport_queue_release(&p->q));
	}
	return sync;
}

static void
taken_back_before_the_worker_has_looked(void **state)
{
	struct pair *p = pair_new();
	struct vport_session s = { 0 };

	vport_session_offer(&p->q, &s);
	assert_ptr_equal(vport_session_recall(&p->q, vport_session_deadline_ms()), &s);
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(look(p), VPORT_SYNC_NONE);
	assert_int_equal(p->started, 0);
	free(p);
}

static void
asked_back_before_the_worker_has_taken_it_it_is_let_go_of(void **state)
{
	struct pair *p = pair_new();
	struct vport_session s = { 0 };

	vport_session_offer(&p->q, &s);
	/* One piece of news tells of both. */
	vport_session_ask(&p->q);
	assert_int_equal(look(p), VPORT_SYNC_STARTED);
	assert_int_equal(look(p), VPORT_SYNC_STOP);
	assert_ptr_equal(vport_session_recall(&p->q, vport_session_deadline_ms()), &s);
	assert_int_equal(look(p), VPORT_SYNC_NONE);
	free(p);
}

static void *
worker(void *arg)
{
	struct pair *p = arg;

	while (!atomic_load_explicit(&p->over, memory_order_relaxed))
		look(p);
	return NULL;
}

/* At any moment, and each time in time. */
static void
is_had_back_whenever_it_is_asked_for(void **state)
{
	struct pair *p = pair_new();
	struct vport_session s = { 0 };
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, worker, p), 0);
	for (unsigned int i = 0; i < ROUNDS && atomic_load(&p->started) < TAKEN; i++) {
		vport_session_offer(&p->q, &s);
		for (volatile unsigned int pause = 0; pause < i % 2000; pause++)
			;
		if (i & 1)
			vport_session_ask(&p->q);
		/* Where others have the CPUs the worker must get one, too. */
		if (i % 16 == 0)
			sched_yield();
		assert_ptr_equal(vport_session_recall(&p->q, vport_session_deadline_ms()), &s);
	}
	atomic_store(&p->over, true);
	pthread_join(thread, NULL);
	assert_int_equal(p->started, TAKEN);
	assert_int_equal(p->started, p->stopped);
	free(p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(taken_back_before_the_worker_has_looked),
		cmocka_unit_test(asked_back_before_the_worker_has_taken_it_it_is_let_go_of),
		cmocka_unit_test(is_had_back_whenever_it_is_asked_for),
	};

	return cmocka_run_group_tests_name("handover", tests, NULL, NULL);
}
