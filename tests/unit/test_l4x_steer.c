/* SPDX-License-Identifier: BSD-3-Clause */
/* A flow's frames go back on the queue pair on which the guest has sent last (virtio 5.1.6.5.6). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "l4xkit.h"

/** Queue pairs of the guest; the last is polled by another worker in some tests. */
#define QUEUES 3
#define OTHER_WORKER 1

static uint8_t frame[PKT_MAX];
static const uint8_t data[1500];

static struct l4x_frame out;  /**< that was handed to the other worker */
static _Atomic uint32_t live; /**< queue pairs that the guest uses */

static void
three_queues(struct l4x_params *params, struct l4x_port_conf *conf)
{
	conf->n_queues = QUEUES;
	conf->live_queues = &live;
	memset(conf->queue_worker, 0, sizeof(conf->queue_worker));
}

/** Of two workers; this one has the flows, as the other has found. */
static void
two_workers(struct l4x_params *params, struct l4x_port_conf *conf)
{
	three_queues(params, conf);
	params->n_workers = 2;
	conf->queue_worker[QUEUES - 1] = OTHER_WORKER;
}

static void
hand_over(void *arg, const struct l4x_frame *f)
{
	assert_null(out.m);
	out = *f;
}

static int
setup(void **state)
{
	live = QUEUES;
	*state = l4xkit_create(three_queues);
	return 0;
}

static int
setup_workers(void **state)
{
	struct l4xkit *k;

	live = QUEUES;
	k = l4xkit_create(two_workers);
	k->hand_over = hand_over;
	*state = k;
	return 0;
}

static int
teardown(void **state)
{
	struct l4xkit *k = *state;

	rte_pktmbuf_free(out.m);
	out.m = NULL;
	/* What is said at the end is of no interest. */
	k->hand_over = NULL;
	l4xkit_destroy(k);
	return 0;
}

/** A frame on one of the guest's queue pairs. */
static void
rx(struct l4xkit *k, uint8_t queue, size_t len)
{
	struct rte_mbuf *m = l4xkit_mbuf(k, frame, (uint32_t)len, 0, 0);
	const struct l4x_frame handed = { .m = m, .pif = L4XKIT_PIF, .queue = queue };

	if (k->params.n_workers < 2)
		l4x_rx_burst(k->l, L4XKIT_PIF, queue, &m, 1, k->now_us);
	else
		l4x_rx_handover(k->l, &handed, 1, k->now_us);
	l4xkit_collect(k);
}

static void
expect_on(struct l4xkit *k, uint8_t queue)
{
	if (k->conf.queue_worker[queue] == 0) {
		assert_int_equal(l4xkit_expect_frame(k)->queue, queue);
		return;
	}
	assert_non_null(out.m);
	assert_int_equal(out.worker, k->conf.queue_worker[queue]);
	assert_int_equal(out.queue, queue);
	assert_int_equal(out.kind, L4X_FRAME_OUT);
	rte_pktmbuf_free(out.m);
	out.m = NULL;
}

static size_t
udp(uint16_t sport)
{
	const struct pkt_ip ip = l4xkit_ip("192.0.2.1");

	return pkt_build_udp(frame, &ip, sport, 53, data, 10);
}

static size_t
ping(void)
{
	const struct pkt_ip ip = l4xkit_ip("192.0.2.1");

	return pkt_build_icmp(frame, &ip, 8, 0, 7 << 16 | 1, data, 10);
}

static size_t
tcp(uint32_t seq, uint32_t ack, uint8_t flags)
{
	const struct pkt_ip ip = l4xkit_ip("192.0.2.1");
	const struct pkt_tcp t = { .sport = 1000,
		.dport = 80,
		.seq = seq,
		.ack = ack,
		.flags = flags,
		.win = 60000,
		.wscale = -1 };

	return pkt_build_tcp(frame, &ip, &t, NULL, 0);
}

static void
answer(struct l4xkit *k, uint64_t flow)
{
	struct l4x_event ev = { .type = L4X_EV_DGRAM, .flow = flow };

	ev.dgram.m = l4xkit_payload(k, data, 20);
	l4xkit_event(k, &ev);
}

static void
datagrams_follow(void **state)
{
	static const uint8_t way[] = { 1, 2, 2, 0, 1 };
	struct l4xkit *k = *state;
	uint64_t flow = 0;

	for (unsigned int i = 0; i < sizeof(way); i++) {
		rx(k, way[i], udp(1000));
		if (i == 0) {
			const struct l4xkit_op *o = l4xkit_expect_op(k, L4X_OP_OPEN);

			flow = o->op.flow;
			assert_int_equal(o->op.open.queue, way[i]);
		}
		assert_int_equal(l4xkit_expect_op(k, L4X_OP_DGRAM)->op.dgram.queue, way[i]);
		answer(k, flow);
		expect_on(k, way[i]);
	}
	assert_int_equal(l4x_flow_count(k->l), 1);
}

static void
echo_follows(void **state)
{
	static const uint8_t way[] = { 2, 0, 1 };
	struct l4xkit *k = *state;
	uint64_t flow = 0;

	for (unsigned int i = 0; i < sizeof(way); i++) {
		struct l4x_event ev = { .type = L4X_EV_DGRAM };

		rx(k, way[i], ping());
		if (i == 0)
			flow = l4xkit_expect_op(k, L4X_OP_OPEN)->op.flow;
		assert_int_equal(l4xkit_expect_op(k, L4X_OP_DGRAM)->op.dgram.queue, way[i]);
		ev.flow = flow;
		/* From the ICMP header on; an answer. */
		ev.dgram.m = l4xkit_payload(k, frame + 34, 18);
		*rte_pktmbuf_mtod(ev.dgram.m, uint8_t *) = 0;
		l4xkit_event(k, &ev);
		expect_on(k, way[i]);
	}
}

static void
segments_follow(void **state)
{
	static const uint8_t way[] = { 2, 0, 1, 2 };
	struct l4xkit *k = *state;
	struct l4x_event ev = { .type = L4X_EV_CONNECTED };
	const struct l4xkit_op *o;
	uint64_t off = 0;
	uint32_t iss;

	rx(k, 1, tcp(1, 0, PKT_SYN));
	o = l4xkit_expect_op(k, L4X_OP_OPEN);
	assert_int_equal(o->op.open.queue, 1);
	ev.flow = o->op.flow;
	ev.sent.space = 100000;
	l4xkit_event(k, &ev);
	expect_on(k, 1);
	iss = k->view.tcp.seq + 1;
	for (unsigned int i = 0; i < sizeof(way); i++) {
		rx(k, way[i], tcp(2, iss + (uint32_t)off, PKT_ACK));
		o = l4xkit_expect_op(k, L4X_OP_ACK);
		assert_int_equal(o->op.ack.queue, way[i]);
		ev = (struct l4x_event){ .type = L4X_EV_DATA, .flow = o->op.flow, .len = 100 };
		ev.data.off = off;
		ev.data.m[0] = l4xkit_payload(k, data, 100);
		l4xkit_event(k, &ev);
		expect_on(k, way[i]);
		off += 100;
	}
}

static void
flows_of_one_guest_have_queues_of_their_own(void **state)
{
	struct l4xkit *k = *state;
	uint64_t flow[QUEUES];

	for (uint8_t q = 0; q < QUEUES; q++) {
		rx(k, q, udp((uint16_t)(1000 + q)));
		flow[q] = l4xkit_expect_op(k, L4X_OP_OPEN)->op.flow;
		l4xkit_expect_op(k, L4X_OP_DGRAM);
	}
	for (uint8_t q = QUEUES; q-- > 0;) {
		answer(k, flow[q]);
		expect_on(k, q);
	}
}

static void
a_queue_pair_that_was_given_up_gets_nothing(void **state)
{
	struct l4xkit *k = *state;
	uint64_t flow;

	rx(k, 2, udp(1000));
	flow = l4xkit_expect_op(k, L4X_OP_OPEN)->op.flow;
	l4xkit_expect_op(k, L4X_OP_DGRAM);
	live = 2;
	answer(k, flow);
	expect_on(k, 0);
	live = QUEUES;
	answer(k, flow);
	expect_on(k, 2);
}

static void
what_goes_by_another_worker_is_counted(void **state)
{
	struct l4xkit *k = *state;
	uint64_t flow;

	rx(k, 0, udp(1000));
	flow = l4xkit_expect_op(k, L4X_OP_OPEN)->op.flow;
	answer(k, flow);
	expect_on(k, 0);
	assert_int_equal(l4xkit_counter(k, L4X_COUNT_HANDOVER_OUT), 0);
	rx(k, 2, udp(1000));
	answer(k, flow);
	expect_on(k, 2);
	assert_int_equal(l4xkit_counter(k, L4X_COUNT_HANDOVER_OUT), 1);
	l4xkit_discard(k);
}

/** Buffers that a guest lends may begin anywhere, and are filled by another worker than sends. */
static void
frames_at_odd_addresses_are_sent_for_another_worker(void **state)
{
	struct l4xkit *k = *state;
	size_t len = udp(1000);
	struct l4x_frame f = { .pif = L4XKIT_PIF, .queue = 1, .kind = L4X_FRAME_OUT };

	f.m = l4xkit_mbuf(k, frame, (uint32_t)len, 0, 0);
	memmove(rte_pktmbuf_mtod(f.m, uint8_t *) + 1, rte_pktmbuf_mtod(f.m, uint8_t *), len);
	f.m->data_off++;
	memcpy(rte_pktmbuf_mtod(f.m, uint8_t *) + 6, l4xkit_gateway_mac, 6);
	k->unchecked = true;
	l4x_rx_handover(k->l, &f, 1, k->now_us);
	l4xkit_collect(k);
	expect_on(k, 1);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
#define TW(f) cmocka_unit_test_setup_teardown(f, setup_workers, teardown)

int
main(void)
{
	const struct CMUnitTest one[] = {
		T(datagrams_follow),
		T(echo_follows),
		T(segments_follow),
		T(flows_of_one_guest_have_queues_of_their_own),
		T(a_queue_pair_that_was_given_up_gets_nothing),
	};
	const struct CMUnitTest two[] = {
		TW(datagrams_follow),
		TW(echo_follows),
		TW(segments_follow),
		TW(flows_of_one_guest_have_queues_of_their_own),
		TW(a_queue_pair_that_was_given_up_gets_nothing),
		TW(frames_at_odd_addresses_are_sent_for_another_worker),
		TW(what_goes_by_another_worker_is_counted),
	};
	int failed;

	l4xkit_eal("l4xsteer");
	failed = cmocka_run_group_tests_name("steer", one, NULL, NULL);
	return failed + cmocka_run_group_tests_name("steer: workers", two, NULL, NULL);
}
