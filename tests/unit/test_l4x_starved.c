/* SPDX-License-Identifier: BSD-3-Clause */
/* No buffers, no room in the output: counted, survived, nothing lost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "dhcp.h"
#include "l4xkit.h"

#define POOL_MAX 8192

static uint8_t frame[PKT_MAX], msg[1500], data[PKT_MAX];
static struct rte_mbuf *hoard[POOL_MAX];
static unsigned int n_hoard;

static int
setup(void **state)
{
	*state = l4xkit_create(NULL);
	return 0;
}

static int
teardown(void **state)
{
	l4xkit_destroy(*state);
	return 0;
}

/** Take all buffers but a few. */
static void
starve(struct l4xkit *k, unsigned int leave)
{
	while (n_hoard < POOL_MAX && (hoard[n_hoard] = rte_pktmbuf_alloc(k->pool)) != NULL)
		n_hoard++;
	for (; leave > 0; leave--)
		rte_pktmbuf_free(hoard[--n_hoard]);
}

static void
feed(struct l4xkit *k)
{
	rte_pktmbuf_free_bulk(hoard, n_hoard);
	n_hoard = 0;
}

/** Each question that weir answers itself. @return length of the frame, 0: no more */
static size_t
question(unsigned int i)
{
	static const uint8_t duid[] = { 0, 3, 0, 1, 2, 3, 4, 5, 6, 7 };
	struct dhcp_request d = { .type = DHCP_DISCOVER };
	struct dhcp6_request d6 = {
		.type = DHCP6_SOLICIT, .client_id = duid, .client_id_len = sizeof(duid), .iaid = 1
	};
	struct pkt_addr a4 = pkt_addr("10.0.2.15"), g4 = pkt_addr("10.0.2.2");
	struct pkt_addr a6 = pkt_addr("fd00:2::15"), g6 = pkt_addr("fd00:2::2");
	struct pkt_ip ip;

	switch (i) {
	case 0:
		return pkt_build_arp(
			frame, l4xkit_gateway_mac, 1, l4xkit_guest_mac, &a4, l4xkit_guest_mac, &g4);
	case 1:
		return pkt_build_ns(frame, l4xkit_guest_mac, &a6, &g6);
	case 2:
		return pkt_build_rs(frame, l4xkit_guest_mac, &a6);
	case 3:
		ip = l4xkit_ip("255.255.255.255");
		return pkt_build_udp(frame, &ip, 68, 67, msg, dhcp_build(msg, &d));
	case 4:
		ip = l4xkit_ip("ff02::1:2");
		return pkt_build_udp(frame, &ip, 546, 547, msg, dhcp6_build(msg, &d6));
	case 5: /* an ICMP error */
		ip = l4xkit_ip("10.0.2.2");
		return pkt_build_udp(frame, &ip, 5, 5, data, 10);
	case 6: /* a fragment, to be copied */
		ip = l4xkit_ip("192.0.2.1");
		ip.frag = 0x2000;
		return pkt_build_udp(frame, &ip, 5, 5, data, 32);
	default:
		return 0;
	}
}

static void
questions_go_unanswered_when_there_are_no_buffers(void **state)
{
	struct l4xkit *k = *state;
	size_t len;

	for (unsigned int i = 0; (len = question(i)) != 0; i++) {
		struct rte_mbuf *m = l4xkit_mbuf(k, frame, (uint32_t)len, 1024, 0);
		uint64_t before = l4xkit_counter(k, L4X_DROP_NO_MBUF);

		/* Its own buffer must not come in handy. */
		rte_mbuf_refcnt_update(m, 1);
		starve(k, 0);
		l4x_rx_burst(k->l, L4XKIT_PIF, 0, &m, 1, k->now_us);
		assert_int_equal(l4xkit_counter(k, L4X_DROP_NO_MBUF), before + 1);
		l4xkit_expect_nothing(k);
		rte_pktmbuf_free(m);
		feed(k);
		/* And are answered when there are some again. */
		l4xkit_rx(k, frame, len);
		assert_int_equal(l4xkit_counter(k, L4X_DROP_NO_MBUF), before + 1);
		l4xkit_discard(k);
	}
}

static void
a_datagram_that_cannot_be_put_together_is_lost_alone(void **state)
{
	struct pkt_ip ip = l4xkit_ip("192.0.2.1");
	struct l4xkit *k = *state;
	struct rte_mbuf *m;
	size_t len;

	/* 32 KiB in pieces; the whole needs 17 buffers or so. */
	for (unsigned int leave = 1; leave < 17; leave += 5) {
		ip.id = (uint16_t)leave;
		for (unsigned int off = 0; off < 32000; off += 800) {
			bool last = off + 800 == 32000;

			ip.frag = (uint16_t)(off / 8 | (last ? 0 : 0x2000));
			len = pkt_build_ip(frame, &ip, 17, data, 800);
			m = l4xkit_mbuf(k, frame, (uint32_t)len, 1024, 0);
			if (last)
				starve(k, leave);
			l4x_rx_burst(k->l, L4XKIT_PIF, 0, &m, 1, k->now_us);
		}
		assert_true(l4xkit_counter(k, L4X_DROP_NO_MBUF) > 0);
		feed(k);
		assert_int_equal(rte_mempool_in_use_count(k->pool), 0);
	}
	l4xkit_expect_nothing(k);
}

static void
fragments_to_the_guest_stop_where_the_buffers_end(void **state)
{
	struct l4x_event ev = { .type = L4X_EV_DGRAM };
	struct pkt_ip ip = l4xkit_ip("192.0.2.1");
	struct l4xkit *k = *state;

	l4xkit_rx(k, frame, pkt_build_udp(frame, &ip, 5, 5, data, 10));
	ev.flow = l4xkit_expect_op(k, L4X_OP_OPEN)->op.flow;
	l4xkit_discard(k);
	ev.dgram.m = l4xkit_payload(k, data, 20000);
	starve(k, 5);
	l4x_events(k->l, &ev, 1, k->now_us);
	assert_int_equal(l4x_out(k->l)->n_frames, 5);
	assert_true(l4xkit_counter(k, L4X_DROP_NO_MBUF) > 0);
	l4xkit_collect(k);
	feed(k);
}

static void
tiny_mtu(struct l4x_params *params, struct l4x_port_conf *conf)
{
	conf->ipv6 = false;
	conf->mtu = 68;
}

static void
frames_past_the_room_of_the_output_are_dropped(void **state)
{
	struct l4xkit *k = l4xkit_create(tiny_mtu);
	struct l4x_event ev[2] = { { .type = L4X_EV_DGRAM }, { .type = L4X_EV_DGRAM } };
	struct pkt_ip ip = l4xkit_ip("192.0.2.1");

	l4xkit_rx(k, frame, pkt_build_udp(frame, &ip, 5, 5, data, 10));
	ev[0].flow = ev[1].flow = l4xkit_expect_op(k, L4X_OP_OPEN)->op.flow;
	l4xkit_discard(k);
	for (unsigned int i = 0; i < 2; i++)
		ev[i].dgram.m = l4xkit_payload(k, data, 65000);
	l4x_events(k->l, ev, 2, k->now_us);
	assert_int_equal(l4x_out(k->l)->n_frames, L4X_OUT_FRAMES);
	assert_true(l4xkit_counter(k, L4X_DROP_OUT_FULL) > 0);
	/* The context frees what it still holds. */
	l4x_destroy(k->l);
	assert_int_equal(rte_mempool_in_use_count(k->pool), 0);
	k->l = l4x_create(&k->params);
	assert_non_null(k->l);
	l4xkit_destroy(k);
}

/** A burst of frames that make an operation of each 1 KiB; source ports from sport on. */
static void
many_operations(struct l4xkit *k, uint16_t sport)
{
	struct pkt_ip ip = l4xkit_ip("192.0.2.1");

	for (uint16_t i = 0; i < L4X_BURST; i++) {
		size_t len = pkt_build_udp(frame, &ip, sport + i, 5, data, 32760);
		struct rte_mbuf *m = l4xkit_mbuf(k, frame, (uint32_t)len, 0, 0);

		m->ol_flags |= RTE_MBUF_F_RX_L4_CKSUM_NONE;
		m->tso_segsz = 16;
		l4xkit_push_mbuf(k, m);
	}
	l4xkit_flush(k);
}

/** @return operations of the type; all are forgotten */
static unsigned int
count_ops(struct l4xkit *k, enum l4x_op_type type)
{
	const struct l4xkit_op *o;
	unsigned int n = 0;

	while ((o = l4xkit_op(k)) != NULL)
		n += o->op.type == type;
	return n;
}

static void
operations_past_the_room_of_the_output_hold_no_buffers(void **state)
{
	struct l4xkit *k = *state;

	many_operations(k, 1);
	assert_true(l4xkit_counter(k, L4X_DROP_OUT_FULL) > 0);
	assert_int_equal(rte_mempool_in_use_count(k->pool), 0);
}

static void
no_flow_is_left_without_a_socket_for_lack_of_room(void **state)
{
	struct l4xkit *k = *state;

	many_operations(k, 1);
	assert_true(l4xkit_counter(k, L4X_DROP_OUT_FULL) > 0);
	assert_int_equal(count_ops(k, L4X_OP_OPEN), l4x_flow_count(k->l));
	assert_in_range(l4x_flow_count(k->l), 1, L4X_BURST - 1);
}

static void
few_flows(struct l4x_params *params, struct l4x_port_conf *conf)
{
	params->max_flows = 8;
}

static void
a_socket_is_closed_however_full_the_output_is(void **state)
{
	struct l4xkit *k = l4xkit_create(few_flows);
	unsigned int opened, closed;

	many_operations(k, 1);
	assert_int_equal(l4x_flow_count(k->l), 8);
	assert_int_equal(count_ops(k, L4X_OP_OPEN), 8);
	/* The table is full of expired flows, which make room one by one, and nobody looks. */
	k->now_us += 60000000;
	many_operations(k, 1001);
	opened = closed = 0;
	for (const struct l4xkit_op *o; (o = l4xkit_op(k)) != NULL;) {
		opened += o->op.type == L4X_OP_OPEN;
		closed += o->op.type == L4X_OP_CLOSE;
	}
	assert_int_equal(opened, 8);
	assert_int_equal(closed, 8);
	l4xkit_destroy(k);
}

static void
a_listeners_datagram_without_a_flow_is_freed(void **state)
{
	struct l4x_event ev = { .type = L4X_EV_LISTEN_DGRAM };
	struct pkt_ip ip = l4xkit_ip("192.0.2.1");
	struct l4xkit *k = *state;

	k->conf.max_flows = 1;
	assert_int_equal(l4x_port_set(k->l, &k->conf), 0);
	l4xkit_rx(k, frame, pkt_build_udp(frame, &ip, 5, 5, data, 10));
	for (unsigned int i = 0; i < 3; i++) {
		ev.accepted.m = l4xkit_payload(k, data, 10);
		ev.accepted.peer = ev.accepted.local = l4xkit_addr("198.51.100.1");
		ev.accepted.local_port = ev.accepted.guest_port = 7;
		ev.accepted.peer_port = (rte_be16_t)(i + 1);
		ev.accepted.pif = L4XKIT_PIF;
		l4xkit_event(k, &ev);
	}
	assert_int_equal(l4xkit_counter(k, L4X_DROP_FLOW_LIMIT), 3);
	l4xkit_discard(k);
}

static void
payload_without_headroom_is_dropped(void **state)
{
	struct l4x_event ev = { .type = L4X_EV_DGRAM };
	struct pkt_ip ip = l4xkit_ip("192.0.2.1");
	struct l4xkit *k = *state;

	l4xkit_rx(k, frame, pkt_build_udp(frame, &ip, 5, 5, data, 10));
	ev.flow = l4xkit_expect_op(k, L4X_OP_OPEN)->op.flow;
	l4xkit_discard(k);
	ev.dgram.m = l4xkit_payload(k, data, 100);
	rte_pktmbuf_prepend(ev.dgram.m, RTE_PKTMBUF_HEADROOM - 41);
	l4xkit_event(k, &ev);
	assert_int_equal(l4xkit_counter(k, L4X_DROP_TOO_BIG), 1);
	ev.dgram.m = l4xkit_payload(k, data, 100);
	rte_pktmbuf_prepend(ev.dgram.m, RTE_PKTMBUF_HEADROOM - 42);
	l4xkit_event(k, &ev);
	l4xkit_expect_frame(k);
	l4xkit_expect_nothing(k);
}

static void
events_that_do_not_fit_the_flow_lose_no_buffers(void **state)
{
	struct pkt_ip ip = l4xkit_ip("192.0.2.1");
	struct l4x_event ev = { .type = L4X_EV_DATA };
	struct l4xkit *k = *state;

	l4xkit_rx(k, frame, pkt_build_udp(frame, &ip, 5, 5, data, 10));
	ev.flow = l4xkit_expect_op(k, L4X_OP_OPEN)->op.flow;
	l4xkit_discard(k);
	ev.data.m[0] = l4xkit_payload(k, data, 100);
	l4xkit_event(k, &ev);
	l4xkit_rx(k, frame, pkt_build_icmp(frame, &ip, 8, 0, 1, data, 10));
	ev.flow = l4xkit_expect_op(k, L4X_OP_OPEN)->op.flow;
	l4xkit_discard(k);
	ev.data.m[0] = l4xkit_payload(k, data, 100);
	l4xkit_event(k, &ev);
	l4xkit_expect_nothing(k);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(questions_go_unanswered_when_there_are_no_buffers),
		T(a_datagram_that_cannot_be_put_together_is_lost_alone),
		T(fragments_to_the_guest_stop_where_the_buffers_end),
		cmocka_unit_test(frames_past_the_room_of_the_output_are_dropped),
		T(operations_past_the_room_of_the_output_hold_no_buffers),
		T(no_flow_is_left_without_a_socket_for_lack_of_room),
		cmocka_unit_test(a_socket_is_closed_however_full_the_output_is),
		T(a_listeners_datagram_without_a_flow_is_freed),
		T(payload_without_headroom_is_dropped),
		T(events_that_do_not_fit_the_flow_lose_no_buffers),
	};

	l4xkit_eal("l4x_starved");
	return cmocka_run_group_tests_name("l4x_starved", tests, NULL, NULL);
}
