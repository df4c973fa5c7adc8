/* SPDX-License-Identifier: BSD-3-Clause */
/* The context: ports, limits, handing over, output, dump, shutdown. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <errno.h>

#include <cmocka.h>

#include <rte_errno.h>

#include "l4xkit.h"

static uint8_t frame[PKT_MAX];
static const uint8_t data[1500];

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

static size_t
udp(const char *dst, uint16_t sport, uint16_t dport)
{
	struct pkt_ip ip = l4xkit_ip(dst);

	return pkt_build_udp(frame, &ip, sport, dport, data, 10);
}

static void
set(struct l4xkit *k)
{
	assert_int_equal(l4x_port_set(k->l, &k->conf), 0);
}

static void
refuses_impossible_parameters(void **state)
{
	struct l4xkit *k = *state;
	struct l4x_params p = k->params;

	p.max_flows = 0;
	assert_null(l4x_create(&p));
	assert_int_equal(rte_errno, EINVAL);
	p = k->params;
	p.pool = NULL;
	assert_null(l4x_create(&p));
	assert_null(l4x_create(NULL));
	p = k->params;
	p.max_flows = UINT32_MAX;
	assert_null(l4x_create(&p));
	l4x_destroy(NULL);
}

static void
refuses_impossible_ports(void **state)
{
	struct l4xkit *k = *state;
	struct l4x_port_conf c;

#define BAD(change)        \
	c = l4xkit_conf(); \
	change;            \
	assert_int_equal(l4x_port_set(k->l, &c), -EINVAL)

	BAD(c.pif = 0);
	BAD(c.pif = L4X_MAX_PIFS);
	BAD(c.mtu = 1279);
	BAD(c.mtu = 65521);
	BAD(c.ipv6 = false; c.mtu = 67);
	BAD(c.n_queues = 0);
	BAD(c.n_queues = L4X_MAX_QUEUES + 1);
	BAD(c.n_dns = L4X_MAX_DNS + 1);
	BAD(memset(&c.gateway_mac, 0, 6));
	BAD(c.prefix_len = 33);
	BAD(c.prefix_len = 0);
	BAD(c.prefix6_len = 129);
	BAD(c.address = c.address6);
	BAD(c.gateway6 = c.gateway);
	BAD(c.address = l4xkit_addr("0.0.0.0"));
	BAD(memset(c.search, 'x', sizeof(c.search)));
	BAD(memset(c.hostname, 'x', sizeof(c.hostname)));
	assert_int_equal(l4x_port_set(k->l, NULL), -EINVAL);
}

static void
drops_frames_of_unknown_ports_and_of_links_that_are_down(void **state)
{
	struct l4xkit *k = *state;
	size_t len = udp("192.0.2.1", 1, 2);
	struct rte_mbuf *m = l4xkit_mbuf(k, frame, (uint32_t)len, 0, 0);

	l4x_rx_burst(k->l, 9, 0, &m, 1, k->now_us);
	assert_int_equal(l4xkit_counter(k, L4X_DROP_NO_LINK), 1);
	l4x_port_link(k->l, L4XKIT_PIF, false, 0);
	l4xkit_expect_drop(k, frame, len, L4X_DROP_NO_LINK);
	l4xkit_expect_nothing(k);
}

static void
the_limit_of_a_port_holds(void **state)
{
	struct l4xkit *k = *state;

	k->conf.max_flows = 5;
	set(k);
	for (uint16_t i = 1; i <= 8; i++)
		l4xkit_rx(k, frame, udp("192.0.2.1", i, 2));
	assert_int_equal(l4x_flow_count(k->l), 5);
	assert_int_equal(l4xkit_counter(k, L4X_DROP_FLOW_LIMIT), 3);
	/* What there is goes on. */
	l4xkit_discard(k);
	l4xkit_rx(k, frame, udp("192.0.2.1", 1, 2));
	l4xkit_expect_op(k, L4X_OP_DGRAM);
}

static void
small_table(struct l4x_params *params, struct l4x_port_conf *conf)
{
	params->max_flows = 8;
}

static void
a_full_table_refuses_but_reuses_what_has_expired(void **state)
{
	struct l4xkit *k = l4xkit_create(small_table);
	unsigned int closes = 0;
	const struct l4xkit_op *o;

	for (uint16_t i = 1; i <= 10; i++)
		l4xkit_rx(k, frame, udp("192.0.2.1", i, 2));
	assert_int_equal(l4x_flow_count(k->l), 8);
	assert_int_equal(l4xkit_counter(k, L4X_DROP_FLOW_TABLE), 2);
	l4xkit_discard(k);
	/* No timers have run: the table itself finds room. */
	k->now_us += 31000000;
	l4xkit_rx(k, frame, udp("192.0.2.1", 100, 2));
	while ((o = l4xkit_op(k)) != NULL)
		closes += o->op.type == L4X_OP_CLOSE;
	assert_true(closes >= 1);
	assert_int_equal(l4xkit_counter(k, L4X_DROP_FLOW_TABLE), 2);
	l4xkit_destroy(k);
}

/** Datagrams of new flows of a port, one after the other, until one makes none. */
static unsigned int
fill_from(struct l4xkit *k, uint16_t pif)
{
	uint32_t before = l4x_flow_count(k->l), count = before - 1;
	static uint16_t sport;

	while (l4x_flow_count(k->l) != count) {
		size_t len = udp("192.0.2.1", ++sport, 2);
		struct rte_mbuf *m = l4xkit_mbuf(k, frame, (uint32_t)len, 0, 0);

		count = l4x_flow_count(k->l);
		l4x_rx_burst(k->l, pif, 0, &m, 1, k->now_us);
		l4xkit_collect(k);
		l4xkit_discard(k);
	}
	return count - before;
}

static void
one_guest_cannot_take_all_flows(void **state)
{
	struct l4xkit *k = *state;
	struct l4x_port_conf c = l4xkit_conf();

	/* And one whose queues another worker polls: it needs none here. */
	for (c.pif = 2; c.pif <= 5; c.pif++) {
		c.queue_worker[0] = c.pif == 5;
		assert_int_equal(l4x_port_set(k->l, &c), 0);
		l4x_port_link(k->l, c.pif, true, 0);
	}
	assert_int_equal(fill_from(k, L4XKIT_PIF), 1024 - 1024 / 8);
	assert_int_equal(l4xkit_counter(k, L4X_DROP_FLOW_LIMIT), 1);
	assert_int_equal(fill_from(k, 2), 1024 / 8);
	assert_int_equal(l4xkit_counter(k, L4X_DROP_FLOW_TABLE), 1);
	/* The greedy one goes, and another is no better: what is left is not for it. */
	while (l4x_port_remove(k->l, L4XKIT_PIF) > 0)
		l4xkit_collect(k);
	l4xkit_collect(k);
	assert_int_equal(fill_from(k, 3), 1024 - 1024 / 8 - 1024 / 8);
	assert_int_equal(fill_from(k, 2), 1024 / 8);
}

static void
new_flows_are_limited_in_rate(void **state)
{
	struct l4xkit *k = *state;

	k->conf.new_flows_per_s = 10;
	set(k);
	for (uint16_t i = 1; i <= 30; i++)
		l4xkit_rx(k, frame, udp("192.0.2.1", i, 2));
	assert_int_equal(l4x_flow_count(k->l), 10);
	assert_int_equal(l4xkit_counter(k, L4X_DROP_FLOW_RATE), 20);
	k->now_us += 500000;
	for (uint16_t i = 31; i <= 60; i++)
		l4xkit_rx(k, frame, udp("192.0.2.1", i, 2));
	assert_int_equal(l4x_flow_count(k->l), 15);
	/* Idle for a year, and still no more than a second's worth. */
	k->now_us += 31536000000000ULL;
	for (uint16_t i = 61; i <= 90; i++)
		l4xkit_rx(k, frame, udp("192.0.2.1", i, 2));
	assert_int_equal(l4xkit_counter(k, L4X_COUNT_FLOWS_NEW), 25);
}

static void
four_workers(struct l4x_params *params, struct l4x_port_conf *conf)
{
	conf->n_queues = 4;
	for (unsigned int i = 0; i < 4; i++)
		conf->queue_worker[i] = (uint8_t)i;
}

static void
flows_of_other_workers_are_handed_over(void **state)
{
	struct l4xkit *k = l4xkit_create(four_workers);

	for (uint16_t i = 1; i <= 400; i++) {
		unsigned int before = k->n_handover;

		l4xkit_rx(k, frame, udp("192.0.2.1", i, 2));
		if (k->n_handover > before)
			assert_in_range(k->handover_worker, 1, 3);
	}
	assert_in_range(k->n_handover, 250, 350);
	assert_int_equal(l4x_flow_count(k->l) + k->n_handover, 400);
	assert_int_equal(l4xkit_counter(k, L4X_COUNT_HANDOVER), k->n_handover);
	l4xkit_destroy(k);
}

static void
a_whole_burst_can_be_handed_over(void **state)
{
	struct l4xkit *k = l4xkit_create(four_workers);
	uint16_t port = 1;

	/* A flow of another worker, 32 times. */
	while (k->n_handover == 0)
		l4xkit_rx(k, frame, udp("192.0.2.1", port++, 2));
	for (unsigned int i = 0; i < L4X_BURST; i++)
		l4xkit_push(k, frame, udp("192.0.2.1", (uint16_t)(port - 1), 2));
	l4xkit_flush(k);
	assert_int_equal(k->n_handover, 1 + L4X_BURST);
	assert_int_equal(l4xkit_counter(k, L4X_DROP_OUT_FULL), 0);
	l4xkit_destroy(k);
}

static void
what_was_handed_over_stays_and_is_answered_where_it_came_in(void **state)
{
	struct l4xkit *k = l4xkit_create(four_workers);
	struct l4x_frame in[L4X_BURST];
	const struct l4xkit_op *o;

	for (uint16_t i = 0; i < L4X_BURST; i++) {
		size_t len = udp("192.0.2.1", (uint16_t)(i + 1), 2);

		in[i] = (struct l4x_frame){ .pif = L4XKIT_PIF, .queue = 3 };
		in[i].m = l4xkit_mbuf(k, frame, (uint32_t)len, 0, 0);
	}
	l4x_rx_handover(k->l, in, L4X_BURST, k->now_us);
	l4xkit_collect(k);
	assert_int_equal(k->n_handover, 0);
	assert_int_equal(l4x_flow_count(k->l), L4X_BURST);
	o = l4xkit_expect_op(k, L4X_OP_OPEN);
	assert_int_equal(o->op.open.queue, 3);
	in[0].m = l4xkit_mbuf(k, frame, 60, 0, 0);
	in[0].pif = 77;
	l4x_rx_handover(k->l, in, 1, k->now_us);
	assert_int_equal(l4xkit_counter(k, L4X_DROP_NO_LINK), 1);
	l4xkit_destroy(k);
}

/** Feed the context what it has handed over, as the other worker would: true when some was. */
static void
fragments_meet_at_one_worker_whatever_they_carry(void **state)
{
	struct l4xkit *k = l4xkit_create(four_workers);
	struct pkt_ip ip = l4xkit_ip("192.0.2.1");
	unsigned int local = 0;
	static uint8_t l4[2000];

	for (uint16_t id = 0; id < 100; id++) {
		unsigned int before = k->n_handover;

		ip.id = id;
		ip.frag = 0x2000;
		l4xkit_rx(k, frame, pkt_build_ip(frame, &ip, 17, l4, 800));
		ip.frag = 100;
		l4xkit_rx(k, frame, pkt_build_ip(frame, &ip, 17, l4, 800));
		/* Both, or none. */
		assert_true(k->n_handover == before || k->n_handover == before + 2);
		local += k->n_handover == before;
	}
	assert_in_range(local, 10, 40);
	l4xkit_destroy(k);
}

static void
configuration_is_answered_by_any_worker(void **state)
{
	struct l4xkit *k = l4xkit_create(four_workers);
	struct pkt_addr a = pkt_addr("10.0.2.15"), g = pkt_addr("10.0.2.2");

	l4xkit_rx(k, frame,
		pkt_build_arp(
			frame, l4xkit_gateway_mac, 1, l4xkit_guest_mac, &a, l4xkit_guest_mac, &g));
	l4xkit_expect_frame(k);
	assert_int_equal(k->n_handover, 0);
	l4xkit_destroy(k);
}

static void
a_burst_that_ends_a_flow_and_begins_it_anew_is_taken_in_order(void **state)
{
	struct l4xkit *k = *state;
	struct l4x_event ev = { .type = L4X_EV_ERROR };
	uint64_t first;

	l4xkit_rx(k, frame, udp("192.0.2.1", 1, 2));
	first = l4xkit_expect_op(k, L4X_OP_OPEN)->op.flow;
	l4xkit_expect_op(k, L4X_OP_DGRAM);
	ev.flow = first;
	ev.error.err = EMFILE;
	l4xkit_event(k, &ev);
	l4xkit_expect_op(k, L4X_OP_CLOSE);
	l4xkit_push(k, frame, udp("192.0.2.1", 1, 2));
	l4xkit_push(k, frame, udp("192.0.2.1", 1, 2));
	l4xkit_flush(k);
	assert_true(l4xkit_expect_op(k, L4X_OP_OPEN)->op.flow != first);
	assert_int_equal(l4xkit_expect_op(k, L4X_OP_DGRAM)->len, 20);
	l4xkit_expect_nothing(k);
}

static void
removing_a_port_closes_its_flows_and_no_others(void **state)
{
	struct l4xkit *k = *state;
	struct l4x_port_conf other = l4xkit_conf();
	const struct l4xkit_op *o;
	unsigned int closes = 0;
	struct rte_mbuf *m;

	other.pif = 2;
	assert_int_equal(l4x_port_set(k->l, &other), 0);
	l4x_port_link(k->l, 2, true, 0);
	for (uint16_t i = 1; i <= 20; i++)
		l4xkit_rx(k, frame, udp("192.0.2.1", i, 2));
	m = l4xkit_mbuf(k, frame, (uint32_t)udp("192.0.2.1", 1, 2), 0, 0);
	l4x_rx_burst(k->l, 2, 0, &m, 1, k->now_us);
	l4xkit_collect(k);
	l4xkit_discard(k);
	assert_int_equal(l4x_flow_count(k->l), 21);
	while (l4x_port_remove(k->l, L4XKIT_PIF) > 0)
		l4xkit_collect(k);
	l4xkit_collect(k);
	while ((o = l4xkit_op(k)) != NULL)
		closes += o->op.type == L4X_OP_CLOSE;
	assert_int_equal(closes, 20);
	assert_int_equal(l4x_flow_count(k->l), 1);
	assert_int_equal(l4x_port_remove(k->l, L4XKIT_PIF), 0);
	assert_int_equal(l4x_port_remove(k->l, 0), 0);
	assert_int_equal(l4x_port_remove(k->l, L4X_MAX_PIFS), 0);
	/* And it may come back. */
	set(k);
	l4x_port_link(k->l, L4XKIT_PIF, true, 0);
	l4xkit_rx(k, frame, udp("192.0.2.1", 1, 2));
	l4xkit_expect_op(k, L4X_OP_OPEN);
}

static void
many_flows(struct l4x_params *params, struct l4x_port_conf *conf)
{
	params->max_flows = 4096;
}

static void
shutdown_is_bounded_per_call(void **state)
{
	struct l4xkit *k = l4xkit_create(many_flows);
	unsigned int calls = 0;

	for (uint16_t i = 1; i <= 3000; i++) {
		l4xkit_push(k, frame, udp("192.0.2.1", i, 2));
		if (i % L4X_BURST == 0) {
			l4xkit_flush(k);
			l4xkit_discard(k);
		}
	}
	l4xkit_flush(k);
	l4xkit_discard(k);
	assert_int_equal(l4x_flow_count(k->l), 3000);
	while (l4x_shutdown(k->l, k->now_us) > 0) {
		assert_true(l4x_out(k->l)->n_ops <= L4X_OUT_OPS);
		l4x_out_reset(k->l);
		calls++;
	}
	assert_in_range(calls, 1, 2);
	assert_int_equal(l4x_flow_count(k->l), 0);
	assert_int_equal(l4xkit_counter(k, L4X_DROP_OUT_FULL), 0);
	l4xkit_destroy(k);
}

static void
expiry_is_bounded_per_call(void **state)
{
	struct l4xkit *k = l4xkit_create(many_flows);
	unsigned int calls = 0;

	for (uint16_t i = 1; i <= 3000; i++) {
		l4xkit_rx(k, frame, udp("192.0.2.1", i, 2));
		l4xkit_discard(k);
	}
	k->now_us += 40000000;
	for (; l4x_flow_count(k->l) > 0 && calls < 1000; calls++) {
		l4xkit_advance(k, 1000);
		l4xkit_discard(k);
	}
	assert_int_equal(l4x_flow_count(k->l), 0);
	assert_true(calls > 3);
	assert_int_equal(l4xkit_counter(k, L4X_DROP_OUT_FULL), 0);
	assert_int_equal(l4xkit_counter(k, L4X_COUNT_FLOWS_EXPIRED), 3000);
	l4xkit_destroy(k);
}

static void
the_dump_shows_flows_as_people_see_them(void **state)
{
	struct l4xkit *k = *state;
	struct l4x_flow_info info[4];
	struct l4x_event ev = { .type = L4X_EV_DGRAM };
	uint32_t cursor = 0;
	char buf[FLOWTAB_ADDR_STRLEN];

	k->conf.mark = 5;
	k->conf.zone = 0;
	set(k);
	l4xkit_rx(k, frame, udp("192.0.2.1", 1, 2));
	ev.flow = l4xkit_expect_op(k, L4X_OP_OPEN)->op.flow;
	assert_int_equal(l4x_flow_dump(k->l, &cursor, info, 4, k->now_us), 1);
	assert_string_equal(info[0].state, "new");
	l4xkit_rx(k, frame, udp("192.0.2.1", 1, 2));
	cursor = 0;
	l4x_flow_dump(k->l, &cursor, info, 4, k->now_us);
	assert_string_equal(info[0].state, "one-way");
	ev.dgram.m = l4xkit_payload(k, data, 100);
	l4xkit_event(k, &ev);
	cursor = 0;
	k->now_us += 3000000;
	assert_int_equal(l4x_flow_dump(k->l, &cursor, info, 4, k->now_us), 1);
	assert_string_equal(info[0].state, "both-ways");
	assert_true(info[0].handle == ev.flow);
	assert_string_equal(flowtab_addr_format(&info[0].guest.eaddr, buf), "10.0.2.15");
	assert_string_equal(flowtab_addr_format(&info[0].host.eaddr, buf), "192.0.2.1");
	assert_int_equal(info[0].host.eport, rte_cpu_to_be_16(2));
	assert_int_equal(info[0].pkts[0], 2);
	assert_int_equal(info[0].bytes[0], 20);
	assert_int_equal(info[0].pkts[1], 1);
	assert_int_equal(info[0].bytes[1], 100);
	assert_int_equal(info[0].age_ms, 3000);
	assert_int_equal(info[0].left_ms, 177000);
	assert_int_equal(info[0].mark, 5);
	assert_int_equal(info[0].proto, IPPROTO_UDP);
	assert_false(info[0].inbound);
	assert_int_equal(l4x_flow_dump(k->l, &cursor, info, 4, k->now_us), 0);
}

static void
the_dump_goes_on_where_it_stopped(void **state)
{
	struct l4xkit *k = *state;
	struct l4x_flow_info info[7];
	uint32_t cursor = 0, n, total = 0;

	for (uint16_t i = 1; i <= 100; i++)
		l4xkit_rx(k, frame, udp("192.0.2.1", i, 2));
	while ((n = l4x_flow_dump(k->l, &cursor, info, 7, k->now_us)) > 0)
		total += n;
	assert_int_equal(total, 100);
}

static void
refuses_connections_for_a_guest_that_is_gone(void **state)
{
	struct l4x_event ev = { .type = L4X_EV_ACCEPTED, .bridge = 2 };
	struct l4xkit *k = *state;
	const struct l4xkit_op *o;

	ev.accepted.token = 99;
	ev.accepted.pif = 500;
	l4xkit_event(k, &ev);
	o = l4xkit_expect_op(k, L4X_OP_REFUSE);
	assert_int_equal(o->op.adopt.token, 99);
	assert_int_equal(o->op.bridge, 2);
	assert_true(o->op.flow == 0);
}

static void
events_of_no_flow_lose_no_buffers(void **state)
{
	struct l4xkit *k = *state;
	struct l4x_event ev;

	for (unsigned int type = 0; type <= L4X_EV_TYPES + 1; type++) {
		if (type == L4X_EV_ACCEPTED || type == L4X_EV_LISTEN_DGRAM)
			continue;
		memset(&ev, 0, sizeof(ev));
		ev.type = (uint8_t)type;
		ev.flow = 0x00000099000000ffULL;
		if (type == L4X_EV_DATA)
			ev.data.m[0] = l4xkit_payload(k, data, 10);
		else if (type == L4X_EV_DGRAM)
			ev.dgram.m = l4xkit_payload(k, data, 10);
		l4xkit_event(k, &ev);
	}
	assert_int_equal(l4xkit_counter(k, L4X_DROP_FLOW_STALE), 8);
	l4xkit_expect_nothing(k);
}

static void
frames_to_a_guest_that_left_are_dropped(void **state)
{
	struct l4x_event ev = { .type = L4X_EV_DGRAM };
	struct l4xkit *k = *state;

	l4xkit_rx(k, frame, udp("192.0.2.1", 1, 2));
	ev.flow = l4xkit_expect_op(k, L4X_OP_OPEN)->op.flow;
	l4xkit_discard(k);
	l4x_port_link(k->l, L4XKIT_PIF, false, 0);
	ev.dgram.m = l4xkit_payload(k, data, 100);
	l4xkit_event(k, &ev);
	assert_int_equal(l4xkit_counter(k, L4X_DROP_NO_LINK), 1);
	l4xkit_expect_nothing(k);
	/* The flow itself is there when the guest comes back. */
	l4x_port_link(k->l, L4XKIT_PIF, true, 0);
	ev.dgram.m = l4xkit_payload(k, data, 100);
	l4xkit_event(k, &ev);
	l4xkit_expect_frame(k);
}

static void
an_empty_pool_is_counted_and_survived(void **state)
{
	static struct rte_mbuf *all[8192];
	struct l4xkit *k = *state;
	struct pkt_addr a = pkt_addr("10.0.2.15"), g = pkt_addr("10.0.2.2");
	struct rte_mbuf *m;
	unsigned int n = 0;

	m = l4xkit_mbuf(k, frame,
		(uint32_t)pkt_build_arp(
			frame, l4xkit_gateway_mac, 1, l4xkit_guest_mac, &a, l4xkit_guest_mac, &g),
		0, 0);
	/* Keep the frame's own mbuf from being used for the answer. */
	rte_mbuf_refcnt_update(m, 1);
	while (n < 8192 && (all[n] = rte_pktmbuf_alloc(k->pool)) != NULL)
		n++;
	l4x_rx_burst(k->l, L4XKIT_PIF, 0, &m, 1, k->now_us);
	assert_int_equal(l4xkit_counter(k, L4X_DROP_NO_MBUF), 1);
	l4xkit_expect_nothing(k);
	rte_pktmbuf_free(m);
	rte_pktmbuf_free_bulk(all, n);
}

static void
sleeps_until_the_next_thing_is_due(void **state)
{
	struct l4xkit *k = *state;

	k->conf.ipv6 = false;
	set(k);
	l4x_port_link(k->l, L4XKIT_PIF, false, 0);
	l4x_timers(k->l, k->now_us + 1000000);
	assert_true(l4x_next_us(k->l) == UINT64_MAX);
	l4x_port_link(k->l, L4XKIT_PIF, true, 0);
	l4xkit_rx(k, frame, udp("192.0.2.1", 1, 2));
	assert_true(l4x_next_us(k->l) <= k->now_us + 31000000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(refuses_impossible_parameters),
		T(refuses_impossible_ports),
		T(drops_frames_of_unknown_ports_and_of_links_that_are_down),
		T(the_limit_of_a_port_holds),
		cmocka_unit_test(a_full_table_refuses_but_reuses_what_has_expired),
		T(one_guest_cannot_take_all_flows),
		T(new_flows_are_limited_in_rate),
		cmocka_unit_test(flows_of_other_workers_are_handed_over),
		cmocka_unit_test(a_whole_burst_can_be_handed_over),
		cmocka_unit_test(what_was_handed_over_stays_and_is_answered_where_it_came_in),
		cmocka_unit_test(fragments_meet_at_one_worker_whatever_they_carry),
		cmocka_unit_test(configuration_is_answered_by_any_worker),
		T(a_burst_that_ends_a_flow_and_begins_it_anew_is_taken_in_order),
		T(removing_a_port_closes_its_flows_and_no_others),
		cmocka_unit_test(shutdown_is_bounded_per_call),
		cmocka_unit_test(expiry_is_bounded_per_call),
		T(the_dump_shows_flows_as_people_see_them),
		T(the_dump_goes_on_where_it_stopped),
		T(refuses_connections_for_a_guest_that_is_gone),
		T(events_of_no_flow_lose_no_buffers),
		T(frames_to_a_guest_that_left_are_dropped),
		T(an_empty_pool_is_counted_and_survived),
		T(sleeps_until_the_next_thing_is_due),
	};

	l4xkit_eal("l4x_context");
	return cmocka_run_group_tests_name("l4x_context", tests, NULL, NULL);
}
