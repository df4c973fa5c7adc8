/* SPDX-License-Identifier: BSD-3-Clause */
/* The worker's loop, with a bridge that the test plays. */
#include "worker_priv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <rte_timer.h>

#include "clock.h"
#include "waits.h"

#define LONG_MS 30000
#define WORKER_LCORE 1

static struct rig {
	struct rte_mempool *pool;
	struct waker worker_waker, bridge_waker;
	struct chan *chan;
	struct rte_ring *handover, *other; /**< to the worker, to another that the test plays */
	struct l4x *l4x;
	struct worker *w;
	bool running;
} rig;

static uint64_t
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static uint64_t
count(enum worker_counter c)
{
	return __atomic_load_n(&worker_counters(rig.w)[c], __ATOMIC_RELAXED);
}

/** Wait until a counter has come to n; a failed assertion if it does not. */
static void
wait_count(enum worker_counter c, uint64_t n)
{
	const uint64_t until = now_ms() + LONG_MS;

	while (count(c) < n)
		assert_true(now_ms() < until);
}

static void
run(void)
{
	assert_int_equal(rte_eal_remote_launch(worker_run, rig.w, WORKER_LCORE), 0);
	rig.running = true;
}

static void
note_call(struct worker *w, void *arg)
{
	++*(unsigned int *)arg;
}

static void
a_call_is_run_by_the_worker(void **state)
{
	unsigned int calls = 0, i;

	run();
	for (i = 0; i < 100; i++)
		assert_int_equal(worker_call(rig.w, note_call, &calls), 0);
	assert_int_equal(calls, 100);
}

static void
a_call_of_a_worker_that_does_not_come_round_ends_in_time_and_is_never_run(void **state)
{
	const uint64_t before = now_ms();
	unsigned int calls = 0, later = 0;
	uint64_t took;

	assert_int_equal(worker_call(rig.w, note_call, &calls), -ETIMEDOUT);
	took = now_ms() - before;
	assert_in_range(took, WAIT_WORKER_MS, 2 * WAIT_WORKER_MS - 1);
	run();
	assert_int_equal(worker_call(rig.w, note_call, &later), 0);
	assert_int_equal(later, 1);
	assert_int_equal(calls, 0);
}

static void
a_worker_with_nothing_to_do_sleeps(void **state)
{
	uint64_t idle;

	run();
	wait_count(WORKER_COUNT_SLEEPS, 2);
	idle = count(WORKER_COUNT_IDLE);
	/* It wakes by itself once a second; a few sleeps are a few looks. */
	wait_count(WORKER_COUNT_SLEEPS, count(WORKER_COUNT_SLEEPS) + 2);
	assert_in_range(count(WORKER_COUNT_IDLE) - idle, 1, 100);
}

static void
operations_that_did_not_fit_into_the_ring_are_not_slept_upon(void **state)
{
	struct l4x_op filler = { .type = L4X_OP_CLOSE };
	/* A connection for a port that is not there: the answer is one operation. */
	struct l4x_event ev = { .type = L4X_EV_ACCEPTED, .accepted.pif = 7 };
	const uint64_t until = now_ms() + LONG_MS;
	uint64_t sleeps;
	struct l4x_op op;

	while (rte_ring_sp_enqueue_elem(rig.chan->ops, &filler, sizeof(filler)) == 0)
		;
	run();
	assert_int_equal(rte_ring_sp_enqueue_elem(rig.chan->events, &ev, sizeof(ev)), 0);
	waker_ring(&rig.worker_waker);
	while (!rte_ring_empty(rig.chan->events))
		assert_true(now_ms() < until);
	sleeps = count(WORKER_COUNT_SLEEPS);
	wait_count(WORKER_COUNT_IDLE, count(WORKER_COUNT_IDLE) + 1000);
	assert_int_equal(count(WORKER_COUNT_SLEEPS), sleeps);
	/* Nobody rings: it finds the room by itself. */
	do {
		if (rte_ring_sc_dequeue_elem(rig.chan->ops, &op, sizeof(op)) != 0)
			op.type = L4X_OP_CLOSE;
		assert_true(now_ms() < until);
	} while (op.type != L4X_OP_REFUSE);
}

/** Ports 1 and 2, of which another worker polls the second. */
static void
two_guests(struct worker *w, void *arg)
{
	struct l4x_port_conf c = { .pif = 1,
		.mtu = 1500,
		.ipv4 = true,
		.prefix_len = 24,
		.n_queues = 1,
		.gateway_mac = { { 2, 0, 0, 0, 0, 9 } },
		.gateway = flowtab_addr_v4(RTE_BE32(0x0a000202)) };

	c.address = flowtab_addr_v4(RTE_BE32(0x0a00020f));
	assert_int_equal(l4x_port_set(worker_l4x(w), &c), 0);
	l4x_port_link(worker_l4x(w), 1, true, 0);
	c.pif = 2;
	c.address = flowtab_addr_v4(RTE_BE32(0x0a000210));
	c.queue_worker[0] = 1;
	assert_int_equal(l4x_port_set(worker_l4x(w), &c), 0);
	l4x_rules_set(worker_l4x(w), arg);
}

/** A datagram from guest 1 to guest 2, as it is handed over. */
static struct l4x_frame
from_one_to_two(void)
{
	static const uint8_t bytes[] = { 2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0, 0, 28,
		0, 0, 0, 0, 64, 17, 0x62, 0xb3, 10, 0, 2, 15, 10, 0, 2, 16, 0, 1, 0, 2, 0, 8, 0,
		0 };
	struct l4x_frame f = { .m = rte_pktmbuf_alloc(rig.pool), .pif = 1 };

	assert_non_null(f.m);
	memcpy(rte_pktmbuf_append(f.m, sizeof(bytes)), bytes, sizeof(bytes));
	return f;
}

static void
frames_for_another_workers_guest_go_to_it_as_far_as_its_ring_has_room(void **state)
{
	const struct rules_params p = { .name = "worker",
		.policy = { RULES_ACCEPT, RULES_ACCEPT, RULES_ACCEPT },
		.n_threads = 1,
		.socket_id = SOCKET_ID_ANY };
	struct rules *r = rules_create(&p);
	struct l4x_frame f;
	unsigned int i, n = 0;

	assert_non_null(r);
	run();
	assert_int_equal(worker_call(rig.w, two_guests, r), 0);
	for (i = 0; i < 80; i++) {
		f = from_one_to_two();
		while (rte_ring_mp_enqueue_elem(rig.handover, &f, sizeof(f)) != 0)
			;
		waker_ring(&rig.worker_waker);
	}
	wait_count(WORKER_COUNT_HANDOVER_FULL, 80 - 63);
	while (rte_ring_sc_dequeue_elem(rig.other, &f, sizeof(f)) == 0) {
		assert_int_equal(f.kind, L4X_FRAME_OUT);
		assert_int_equal(f.pif, 2);
		assert_int_equal(f.worker, 1);
		rte_pktmbuf_free(f.m);
		n++;
	}
	assert_int_equal(n, 63);
	assert_int_equal(count(WORKER_COUNT_HANDOVER_FULL), 80 - 63);
	worker_stop(rig.w);
	rte_eal_wait_lcore(WORKER_LCORE);
	rig.running = false;
	rules_destroy(r);
}

/* ---- guests on one worker ---- */

static const char *const devices[] = { "net_ring1", "net_ring2", "net_ring3", "net_ring4" };
static struct vport *vports[RTE_DIM(devices)];
static struct lender *lenders[RTE_DIM(devices)];

static void
nothing_to_wake(void *arg, uint16_t queue)
{
}

/** A port, on a device that has what is sent to it come back. */
static void
guest_of_device(uint16_t pif)
{
	const struct vport_conf conf = { .kind = VPORT_ETHDEV,
		.name = "vm",
		.path = devices[pif - 1],
		.n_queues = 1,
		.mtu = 1500,
		.socket_id = SOCKET_ID_ANY,
		.pool = rig.pool,
		.ext_pool = rig.pool,
		.wake = nothing_to_wake };
	struct l4x_port_conf c = { .pif = pif,
		.mtu = 1500,
		.ipv4 = true,
		.prefix_len = 24,
		.n_queues = 1,
		.gateway_mac = { { 2, 0, 0, 0, 0, 9 } },
		.gateway = flowtab_addr_v4(RTE_BE32(0x0a000202)),
		.address = flowtab_addr_v4(RTE_BE32(0x0a00020f)) };
	struct vport *vp;
	char err[256];

	vp = vport_create(&conf, err, sizeof(err));
	assert_non_null(vp);
	vports[pif - 1] = vp;
	lenders[pif - 1] = lender_create(pif, 0, 0, 0, SOCKET_ID_ANY);
	assert_non_null(lenders[pif - 1]);
	c.network = pif;
	assert_int_equal(l4x_port_set(rig.l4x, &c), 0);
	assert_int_equal(worker_add_queue(rig.w, pif, 0, vp, &lenders[pif - 1]), 0);
	assert_int_equal(vport_start(vp, err, sizeof(err)), 0);
}

static void
forget_port(struct worker *w, void *arg)
{
	assert_int_equal(worker_remove_port(w, *(const uint16_t *)arg), 0);
}

/** The worker runs, or it would not let go. There is no bridge: it has given back before asked. */
static void
guest_goes(uint16_t pif)
{
	atomic_store(&lenders[pif - 1]->returned, atomic_load(&lenders[pif - 1]->turn) + 1);
	vport_stop(vports[pif - 1]);
	assert_int_equal(worker_call(rig.w, forget_port, &pif), 0);
	vport_destroy(vports[pif - 1]);
	lender_destroy(lenders[pif - 1]);
}

/** The guest begins a flow to 192.0.2.1. */
static void
guest_sends(uint16_t pif, uint8_t port)
{
	const uint8_t bytes[] = { 2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0, 0, 28, 0, 0, 0,
		0, 64, 17, 0xac, 0xc1, 10, 0, 2, 15, 192, 0, 2, 1, 0, port, 0, 2, 0, 8, 0, 0 };
	struct rte_mbuf *m = rte_pktmbuf_alloc(rig.pool);
	uint16_t id;

	assert_non_null(m);
	memcpy(rte_pktmbuf_append(m, sizeof(bytes)), bytes, sizeof(bytes));
	assert_int_equal(rte_eth_dev_get_port_by_name(devices[pif - 1], &id), 0);
	assert_int_equal(rte_eth_tx_burst(id, 0, &m, 1), 1);
}

/** Who is the first of whom something comes from the ring to the bridge? It is empty then. */
static uint16_t
bridge_reads(void)
{
	uint16_t first = 0;
	struct l4x_op op;

	do {
		while (rte_ring_sc_dequeue_elem(rig.chan->ops, &op, sizeof(op)) == 0) {
			if (op.type == L4X_OP_OPEN && first == 0)
				first = op.open.pif;
			l4x_op_free(&op);
		}
	} while (!worker_drain(rig.w) || !rte_ring_empty(rig.chan->ops));
	return first;
}

static void
bridge_is_busy(void)
{
	struct l4x_op filler = { .type = L4X_OP_CLOSE };

	while (rte_ring_sp_enqueue_elem(rig.chan->ops, &filler, sizeof(filler)) == 0)
		;
}

static void
guests_take_turns_when_a_bridge_is_slow(void **state)
{
	rig.w->now_us = clock_us(clock_scale_get());
	guest_of_device(1);
	guest_of_device(2);
	worker_ports_poll(rig.w);
	for (uint8_t i = 0; i < 6; i++) {
		/* The first one always has something to say. */
		bridge_is_busy();
		guest_sends(1, 1 + i);
		if (i % 2 == 1)
			guest_sends(2, 1 + i);
		assert_int_not_equal(worker_ports_poll(rig.w), 0);
		assert_int_equal(bridge_reads(), 1 + i % 2);
	}
	run();
	guest_goes(1);
	guest_goes(2);
}

/** The guest sends frames of 64 KiB that are for nobody. */
static void
guest_sends_much(uint16_t pif, unsigned int n)
{
	static const uint8_t head[256] = { 2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 1, 0x88, 0xb5 };
	static struct rte_mbuf_ext_shared_info shared;
	static uint8_t body[65000];
	uint16_t id;

	rte_mbuf_ext_refcnt_set(&shared, 1000);
	assert_int_equal(rte_eth_dev_get_port_by_name(devices[pif - 1], &id), 0);
	while (n-- > 0) {
		struct rte_mbuf *m = rte_pktmbuf_alloc(rig.pool);
		struct rte_mbuf *more = rte_pktmbuf_alloc(rig.pool);

		assert_true(m != NULL && more != NULL);
		memcpy(rte_pktmbuf_append(m, sizeof(head)), head, sizeof(head));
		rte_pktmbuf_attach_extbuf(more, body, RTE_BAD_IOVA, sizeof(body), &shared);
		more->data_len = sizeof(body);
		more->pkt_len = sizeof(body);
		assert_int_equal(rte_pktmbuf_chain(m, more), 0);
		assert_int_equal(rte_eth_tx_burst(id, 0, &m, 1), 1);
	}
}

static void
guests_take_turns_by_bytes(void **state)
{
	unsigned int i;

	rig.w->now_us = clock_us(clock_scale_get());
	guest_of_device(3);
	guest_of_device(4);
	worker_ports_poll(rig.w);
	/* One alone has whole bursts. */
	for (i = 0; i < 3; i++) {
		guest_sends_much(3, VPORT_BURST);
		assert_int_equal(worker_ports_poll(rig.w), VPORT_BURST);
	}
	/* Beside another, it has less; that one has what it asks. */
	guest_sends_much(3, 2 * VPORT_BURST + VPORT_BURST / 2);
	for (i = 0; i < 3; i++) {
		guest_sends(4, 1);
		worker_ports_poll(rig.w);
	}
	assert_int_equal(rig.w->n_active, 2);
	guest_sends_much(3, VPORT_BURST);
	for (i = 0; i < VPORT_BURST; i++)
		guest_sends(4, 1);
	assert_int_equal(worker_ports_poll(rig.w), VPORT_BURST / 2 + VPORT_BURST);
	/* And is alone again. */
	guest_sends_much(3, VPORT_BURST);
	for (i = 0; i < 4; i++)
		worker_ports_poll(rig.w);
	guest_sends_much(3, VPORT_BURST);
	assert_int_equal(worker_ports_poll(rig.w), VPORT_BURST);
	run();
	guest_goes(3);
	guest_goes(4);
}

static int
start(void **state)
{
	struct l4x_params l = { .name = "test", .max_flows = 64, .socket_id = SOCKET_ID_ANY };
	struct worker_params p = { .n_workers = 2, .n_bridges = 1, .socket_id = SOCKET_ID_ANY };

	if (waker_init(&rig.worker_waker) != 0 || waker_init(&rig.bridge_waker) != 0)
		return -1;
	rig.chan = chan_create(0, 0, SOCKET_ID_ANY, &rig.worker_waker, &rig.bridge_waker);
	rig.handover = rte_ring_create_elem(
		"handover", sizeof(struct l4x_frame), 64, SOCKET_ID_ANY, RING_F_SC_DEQ);
	rig.other = rte_ring_create_elem(
		"other", sizeof(struct l4x_frame), 64, SOCKET_ID_ANY, RING_F_SC_DEQ);
	l.pool = rig.pool;
	l.now_us = clock_us(clock_scale_get());
	rig.l4x = l4x_create(&l);
	if (rig.chan == NULL || rig.handover == NULL || rig.other == NULL || rig.l4x == NULL)
		return -1;
	p.l4x = rig.l4x;
	p.waker = &rig.worker_waker;
	p.chans[0] = rig.chan;
	p.handover = rig.handover;
	p.handover_to[0] = rig.handover;
	p.wakers[0] = &rig.worker_waker;
	p.handover_to[1] = rig.other;
	p.wakers[1] = &rig.worker_waker;
	p.pool = rig.pool;
	rig.w = worker_create(&p);
	return rig.w != NULL ? 0 : -1;
}

static int
stop(void **state)
{
	if (rig.running) {
		worker_stop(rig.w);
		rte_eal_wait_lcore(WORKER_LCORE);
	}
	rig.running = false;
	worker_destroy(rig.w);
	l4x_destroy(rig.l4x);
	rte_ring_free(rig.handover);
	rte_ring_free(rig.other);
	chan_destroy(rig.chan);
	waker_fini(&rig.worker_waker);
	waker_fini(&rig.bridge_waker);
	return 0;
}

#define T(f) cmocka_unit_test_setup_teardown(f, start, stop)

int
main(void)
{
	char *argv[] = { "test", "--no-huge", "-m", "64", "--no-shconf", "--no-telemetry",
		"--no-pci", "--file-prefix", "test-worker", "--lcores", "0@0,1@0" };
	const struct CMUnitTest tests[] = {
		T(a_call_is_run_by_the_worker),
		T(a_call_of_a_worker_that_does_not_come_round_ends_in_time_and_is_never_run),
		T(a_worker_with_nothing_to_do_sleeps),
		T(frames_for_another_workers_guest_go_to_it_as_far_as_its_ring_has_room),
		T(operations_that_did_not_fit_into_the_ring_are_not_slept_upon),
		T(guests_take_turns_when_a_bridge_is_slow),
		T(guests_take_turns_by_bytes),
	};
	int failed;

	if (rte_eal_init(RTE_DIM(argv), argv) < 0 || rte_timer_subsystem_init() != 0)
		return 1;
	rig.pool = rte_pktmbuf_pool_create(
		"pool", 255, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	if (rig.pool == NULL)
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	rte_mempool_free(rig.pool);
	rte_eal_cleanup();
	return failed;
}
