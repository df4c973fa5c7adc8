/* SPDX-License-Identifier: BSD-3-Clause */
/* UDP that comes from outside, through a forward. */
#include "test_l4x_udp_util.h"

static void
assert_peer(const struct l4x_op *op, const char *addr, uint16_t port)
{
	struct flowtab_addr a = l4xkit_addr(addr);

	assert_memory_equal(&op->open.peer, &a, sizeof(a));
	assert_int_equal(rte_be_to_cpu_16(op->open.peer_port), port);
}

static void
error(struct l4xkit *k, uint64_t flow, int err, uint8_t type, uint8_t code, const char *offender)
{
	struct l4x_event ev = { .type = L4X_EV_ERROR, .flow = flow };

	ev.error.err = err;
	ev.error.from_icmp = offender != NULL;
	ev.error.icmp_type = type;
	ev.error.icmp_code = code;
	if (offender != NULL)
		ev.error.offender = l4xkit_addr(offender);
	if (err == EMSGSIZE)
		ev.error.info = 1400;
	l4xkit_event(k, &ev);
}

/** A datagram at a listener on port 8053 for the guest's port 53. */
static struct l4x_event
listen_event(struct l4xkit *k, const char *peer, const char *local, uint32_t len)
{
	struct l4x_event ev = { .type = L4X_EV_LISTEN_DGRAM, .bridge = 3 };

	ev.accepted.m = l4xkit_payload(k, data, len);
	ev.accepted.peer = l4xkit_addr(peer);
	ev.accepted.local = l4xkit_addr(local);
	ev.accepted.peer_port = rte_cpu_to_be_16(5000);
	ev.accepted.local_port = rte_cpu_to_be_16(8053);
	ev.accepted.guest_port = rte_cpu_to_be_16(53);
	ev.accepted.pif = L4XKIT_PIF;
	return ev;
}

/** A datagram from this port of a peer reaches the guest. */
static void
from_outside(struct l4xkit *k, uint16_t peer_port)
{
	struct l4x_event ev = listen_event(k, "198.51.100.1", "203.0.113.1", 60);

	ev.accepted.peer_port = rte_cpu_to_be_16(peer_port);
	l4xkit_event(k, &ev);
	l4xkit_expect_frame(k);
	assert_int_equal(k->view.sport, peer_port);
	assert_int_equal(k->view.dport, 53);
}

/** The guest answers it for the first time. @return the flow */
static uint64_t
first_answer(struct l4xkit *k, uint16_t peer_port)
{
	uint64_t flow;

	l4xkit_rx(k, frame, udp("198.51.100.1", 53, peer_port, 20));
	flow = l4xkit_expect_op(k, L4X_OP_OPEN)->op.flow;
	assert_true(l4xkit_expect_op(k, L4X_OP_DGRAM)->op.flow == flow);
	l4xkit_expect_nothing(k);
	return flow;
}

static void
a_datagram_from_outside_takes_a_socket_when_it_is_answered(void **state)
{
	struct l4xkit *k = *state;
	struct flowtab_addr local = l4xkit_addr("203.0.113.1");
	const struct l4xkit_op *o;
	uint64_t flow;

	from_outside(k, 5000);
	assert_string_equal(pkt_addr_text(&k->view.src), "198.51.100.1");
	assert_string_equal(pkt_addr_text(&k->view.dst), "10.0.2.15");
	/* The next one is of the same flow. */
	from_outside(k, 5000);
	l4xkit_expect_nothing(k);
	assert_int_equal(l4x_flow_count(k->l), 1);
	l4xkit_rx(k, frame, udp("198.51.100.1", 53, 5000, 20));
	o = l4xkit_expect_op(k, L4X_OP_OPEN);
	assert_peer(&o->op, "198.51.100.1", 5000);
	assert_int_equal(o->op.open.flags, L4X_OPEN_REUSE);
	assert_int_equal(o->op.bridge, 3);
	assert_memory_equal(&o->op.open.local, &local, sizeof(local));
	assert_int_equal(o->op.open.local_port, rte_cpu_to_be_16(8053));
	assert_int_equal(o->op.open.guest_port, rte_cpu_to_be_16(53));
	flow = o->op.flow;
	o = l4xkit_expect_op(k, L4X_OP_DGRAM);
	assert_true(o->op.flow == flow);
	assert_int_equal(o->op.bridge, 3);
	/* What the listener still held comes into the same flow; the guest's next answer, too. */
	from_outside(k, 5000);
	l4xkit_rx(k, frame, udp("198.51.100.1", 53, 5000, 20));
	assert_true(l4xkit_expect_op(k, L4X_OP_DGRAM)->op.flow == flow);
	l4xkit_expect_nothing(k);
	assert_int_equal(l4x_flow_count(k->l), 1);
}

static void
dscp_ecn_and_ttl_from_outside_reach_the_guest(void **state)
{
	struct l4xkit *k = *state;
	struct l4x_event ev = listen_event(k, "198.51.100.1", "203.0.113.1", 60);

	ev.tos = 3;
	ev.ttl = 9;
	l4xkit_event(k, &ev);
	l4xkit_expect_frame(k);
	assert_int_equal(k->view.tos, 3);
	assert_int_equal(k->view.ttl, 9);
}

static void
unanswered_flows_end_without_a_socket_to_close(void **state)
{
	struct l4xkit *k = *state;

	for (uint16_t i = 1; i <= 5; i++)
		from_outside(k, i);
	/* By time, one of them answered and closed; then with the port. */
	first_answer(k, 3);
	l4xkit_run(k, 40000000);
	assert_int_equal(l4x_flow_count(k->l), 1);
	while (l4xkit_frame(k) != NULL)
		;
	assert_null(l4xkit_op(k));
	l4xkit_run(k, 180000000);
	while (l4xkit_frame(k) != NULL)
		;
	l4xkit_expect_op(k, L4X_OP_CLOSE);
	for (uint16_t i = 1; i <= 5; i++)
		from_outside(k, i);
	while (l4x_port_remove(k->l, L4XKIT_PIF) > 0)
		;
	l4xkit_collect(k);
	assert_int_equal(l4x_flow_count(k->l), 0);
	assert_null(l4xkit_op(k));
}

static void
datagrams_from_outside_leave_the_guest_its_rate(void **state)
{
	struct l4xkit *k = *state;

	k->conf.new_flows_per_s = 3;
	assert_int_equal(l4x_port_set(k->l, &k->conf), 0);
	for (uint16_t i = 1; i <= 50; i++)
		from_outside(k, i);
	for (uint16_t i = 1; i <= 3; i++)
		open_flow(k, "192.0.2.1", i, 2000);
	l4xkit_expect_drop(k, frame, udp("192.0.2.1", 4, 2000, 10), L4X_DROP_FLOW_RATE);
}

static void
the_oldest_unanswered_flow_makes_room_for_a_new_one(void **state)
{
	struct l4xkit *k = *state;
	uint64_t flow;

	k->conf.max_flows = 8;
	assert_int_equal(l4x_port_set(k->l, &k->conf), 0);
	for (uint16_t i = 1; i <= 4; i++)
		from_outside(k, i);
	assert_int_equal(l4xkit_counter(k, L4X_COUNT_UDP_UNANSWERED), 0);
	flow = first_answer(k, 2);
	from_outside(k, 5);
	assert_int_equal(l4xkit_counter(k, L4X_COUNT_UDP_UNANSWERED), 0);
	for (uint16_t i = 6; i <= 100; i++)
		from_outside(k, i);
	assert_int_equal(l4xkit_counter(k, L4X_COUNT_UDP_UNANSWERED), 95);
	/* The flow that was answered stays, and the guest has its half. */
	assert_int_equal(l4x_flow_count(k->l), 5);
	l4xkit_rx(k, frame, udp("198.51.100.1", 53, 2, 20));
	assert_true(l4xkit_expect_op(k, L4X_OP_DGRAM)->op.flow == flow);
	for (uint16_t i = 1; i <= 3; i++)
		open_flow(k, "192.0.2.1", i, 2000);
	for (uint16_t i = 97; i <= 100; i++)
		first_answer(k, i);
	assert_int_equal(l4x_flow_count(k->l), 8);
}

static void
a_forward_that_leads_elsewhere_now_begins_a_flow_anew(void **state)
{
	struct l4xkit *k = *state;
	struct l4x_event ev;
	uint64_t flow;

	for (unsigned int answered = 0; answered < 2; answered++) {
		from_outside(k, 5000);
		flow = answered ? first_answer(k, 5000) : 0;
		ev = listen_event(k, "198.51.100.1", "203.0.113.1", 60);
		ev.accepted.guest_port = rte_cpu_to_be_16(54);
		l4xkit_event(k, &ev);
		if (answered)
			assert_true(l4xkit_expect_op(k, L4X_OP_CLOSE)->op.flow == flow);
		l4xkit_expect_frame(k);
		assert_int_equal(k->view.dport, 54);
		l4xkit_expect_nothing(k);
		assert_int_equal(l4x_flow_count(k->l), 1);
	}
}

static void
a_flow_ends_with_its_forward_and_the_guest_is_not_told(void **state)
{
	struct l4xkit *k = *state;
	uint64_t flow;

	from_outside(k, 5000);
	flow = first_answer(k, 5000);
	error(k, flow, ECONNABORTED, 0, 0, NULL);
	l4xkit_expect_op(k, L4X_OP_CLOSE);
	l4xkit_expect_nothing(k);
	assert_int_equal(l4x_flow_count(k->l), 0);
}

static void
a_peer_on_the_host_itself_appears_as_the_gateway(void **state)
{
	struct l4xkit *k = *state;
	struct l4x_event ev = listen_event(k, "127.0.0.1", "127.0.0.1", 60);

	l4xkit_event(k, &ev);
	l4xkit_expect_frame(k);
	assert_string_equal(pkt_addr_text(&k->view.src), "10.0.2.2");
	l4xkit_discard(k);
	l4xkit_rx(k, frame, udp("10.0.2.2", 53, 5000, 20));
	assert_peer(&l4xkit_expect_op(k, L4X_OP_OPEN)->op, "127.0.0.1", 5000);
	l4xkit_expect_op(k, L4X_OP_DGRAM);
	l4xkit_expect_nothing(k);
}

/** A masked peer's datagram from port 5000. @return the port that the guest sees */
static uint16_t
from_masked(struct l4xkit *k, const char *peer, const char *as)
{
	struct l4x_event ev = listen_event(k, peer, peer, 60);

	l4xkit_event(k, &ev);
	l4xkit_expect_frame(k);
	assert_string_equal(pkt_addr_text(&k->view.src), as);
	assert_int_equal(k->view.dport, 53);
	return k->view.sport;
}

static void
peers_that_look_alike_to_the_guest_are_told_apart_by_port(void **state)
{
	static const char *const peers[][3] = { { "127.0.0.1", "127.0.0.2", "10.0.2.2" },
		{ "fe80::1", "fe80::2", "fd00:2::2" } };
	struct l4xkit *k = *state;

	for (unsigned int i = 0; i < RTE_DIM(peers); i++) {
		uint16_t a = from_masked(k, peers[i][0], peers[i][2]);
		uint16_t b = from_masked(k, peers[i][1], peers[i][2]);

		assert_int_equal(a, 5000);
		assert_true(b >= 49152);
		/* And it stays that. */
		assert_int_equal(from_masked(k, peers[i][1], peers[i][2]), b);
		assert_int_equal(from_masked(k, peers[i][0], peers[i][2]), a);
		l4xkit_rx(k, frame, udp(peers[i][2], 53, b, 20));
		assert_peer(&l4xkit_expect_op(k, L4X_OP_OPEN)->op, peers[i][1], 5000);
		l4xkit_expect_op(k, L4X_OP_DGRAM);
		l4xkit_rx(k, frame, udp(peers[i][2], 53, a, 20));
		assert_peer(&l4xkit_expect_op(k, L4X_OP_OPEN)->op, peers[i][0], 5000);
		l4xkit_expect_op(k, L4X_OP_DGRAM);
		assert_int_equal(from_masked(k, peers[i][1], peers[i][2]), b);
	}
	l4xkit_expect_nothing(k);
	assert_int_equal(l4x_flow_count(k->l), 4);
}

static void
with_loopback(struct l4x_params *params, struct l4x_port_conf *conf)
{
	conf->loopback = conf->gateway;
}

static void
a_peer_that_the_guest_speaks_to_is_not_taken_for_another(void **state)
{
	struct l4xkit *k = l4xkit_create(with_loopback);
	uint16_t port;

	/* From the guest's port 53 to 127.0.0.1:5000; then 127.0.0.2:5000 comes by the forward. */
	open_flow(k, "10.0.2.2", 53, 5000);
	port = from_masked(k, "127.0.0.2", "10.0.2.2");
	assert_true(port != 5000);
	/* 127.0.0.1:5000 itself is the one that the guest knows. */
	assert_int_equal(from_masked(k, "127.0.0.1", "10.0.2.2"), 5000);
	assert_int_equal(l4x_flow_count(k->l), 2);
	l4xkit_destroy(k);
}

static void
a_peer_gets_its_answer_from_the_forward_it_spoke_to(void **state)
{
	struct l4xkit *k = *state;
	struct l4x_event ev;
	const struct l4xkit_op *o;
	uint16_t port;

	/* Two forwards lead to the guest's port 53. */
	from_outside(k, 5000);
	ev = listen_event(k, "198.51.100.1", "203.0.113.1", 60);
	ev.accepted.local_port = rte_cpu_to_be_16(8054);
	l4xkit_event(k, &ev);
	l4xkit_expect_frame(k);
	port = k->view.sport;
	assert_true(port != 5000);
	l4xkit_rx(k, frame, udp("198.51.100.1", 53, port, 20));
	o = l4xkit_expect_op(k, L4X_OP_OPEN);
	assert_peer(&o->op, "198.51.100.1", 5000);
	assert_int_equal(o->op.open.local_port, rte_cpu_to_be_16(8054));
	l4xkit_discard(k);
}

static void
four_workers(struct l4x_params *params, struct l4x_port_conf *conf)
{
	conf->n_queues = 4;
	for (uint8_t q = 0; q < 4; q++)
		conf->queue_worker[q] = q;
}

static void
the_answer_to_a_port_that_was_found_comes_to_the_same_worker(void **state)
{
	struct l4xkit *k = l4xkit_create(four_workers);
	struct flowtab_tuple guest = { .pif = L4XKIT_PIF, .proto = IPPROTO_UDP };
	char peer[16];

	guest.eaddr = l4xkit_addr("10.0.2.15");
	guest.oaddr = l4xkit_addr("10.0.2.2");
	guest.eport = rte_cpu_to_be_16(53);
	from_masked(k, "127.0.0.1", "10.0.2.2");
	for (unsigned int i = 2; i < 12; i++) {
		snprintf(peer, sizeof(peer), "127.0.0.%u", i);
		guest.oport = rte_cpu_to_be_16(from_masked(k, peer, "10.0.2.2"));
		assert_int_equal(l4x_steer(&k->conf, k->params.secret, &guest), k->params.worker);
	}
	l4xkit_destroy(k);
}

/* ---- flows of the guest from a port that a forward leads to ---- */

static struct l4x_forward forwards[4];

static void
with_forwards(struct l4x_params *params, struct l4x_port_conf *conf)
{
	forwards[0] = (struct l4x_forward){ .first = 8053, .last = 8053, .guest_first = 53 };
	forwards[1] = (struct l4x_forward){ .first = 9000, .last = 9009, .guest_first = 100 };
	forwards[2] = (struct l4x_forward){
		.addr = l4xkit_addr("127.0.0.1"), .first = 7000, .last = 7000, .guest_first = 70
	};
	forwards[3] = (struct l4x_forward){
		.addr = l4xkit_addr("0.0.0.0"), .first = 6000, .last = 6000, .guest_first = 60
	};
	conf->loopback = conf->gateway;
	conf->udp = forwards;
	conf->n_udp = RTE_DIM(forwards);
	conf->udp_bridge = 3;
}

/** The guest speaks from sport. The flow leaves from this port, or any (0). */
static void
leaves_from(struct l4xkit *k, const char *dst, uint16_t sport, const char *local, uint16_t port)
{
	struct flowtab_addr addr = local != NULL ? l4xkit_addr(local) : l4xkit_addr("::");
	const struct l4xkit_op *o;

	l4xkit_rx(k, frame, udp(dst, sport, 2000, 20));
	o = l4xkit_expect_op(k, L4X_OP_OPEN);
	assert_int_equal(o->op.bridge, port != 0 ? 3 : 0);
	assert_int_equal(o->op.open.flags, port != 0 ? L4X_OPEN_REUSE : 0);
	assert_int_equal(o->op.open.local_port, rte_cpu_to_be_16(port));
	assert_memory_equal(&o->op.open.local, &addr, sizeof(addr));
	if (port != 0)
		assert_int_equal(o->op.open.guest_port, rte_cpu_to_be_16(sport));
	l4xkit_expect_op(k, L4X_OP_DGRAM);
	l4xkit_expect_nothing(k);
}

static void
what_leaves_from_a_forwarded_port_leaves_by_the_forward(void **state)
{
	struct l4xkit *k = l4xkit_create(with_forwards);

	leaves_from(k, "192.0.2.1", 53, "0.0.0.0", 8053);
	leaves_from(k, "2001:db8::1", 53, NULL, 8053);
	leaves_from(k, "192.0.2.1", 54, NULL, 0);
	leaves_from(k, "192.0.2.1", 100, "0.0.0.0", 9000);
	leaves_from(k, "192.0.2.1", 109, "0.0.0.0", 9009);
	leaves_from(k, "192.0.2.1", 110, NULL, 0);
	leaves_from(k, "192.0.2.1", 99, NULL, 0);
	l4xkit_destroy(k);
}

static void
a_forward_serves_only_peers_that_its_address_can_speak_to(void **state)
{
	struct l4xkit *k = l4xkit_create(with_forwards);

	leaves_from(k, "10.0.2.2", 70, "127.0.0.1", 7000);
	leaves_from(k, "192.0.2.1", 70, NULL, 0);
	leaves_from(k, "2001:db8::1", 70, NULL, 0);
	leaves_from(k, "192.0.2.1", 60, "0.0.0.0", 6000);
	leaves_from(k, "2001:db8::1", 60, NULL, 0);
	l4xkit_destroy(k);
}

static void
two_addresses_of_the_guest_do_not_share_a_peer_and_a_port(void **state)
{
	struct l4xkit *k = l4xkit_create(with_forwards);
	struct pkt_ip ip = l4xkit_ip("192.0.2.1");
	const struct l4xkit_op *o;

	leaves_from(k, "192.0.2.1", 53, "0.0.0.0", 8053);
	ip.src = pkt_addr("10.0.2.77");
	l4xkit_rx(k, frame, pkt_build_udp(frame, &ip, 53, 2000, data, 20));
	o = l4xkit_expect_op(k, L4X_OP_OPEN);
	assert_int_equal(o->op.open.flags, 0);
	assert_int_equal(o->op.open.local_port, 0);
	l4xkit_discard(k);
	l4xkit_destroy(k);
}

static void
a_peer_that_the_guest_spoke_to_first_is_in_its_flow(void **state)
{
	struct l4xkit *k = l4xkit_create(with_forwards);
	struct l4x_event ev;

	/* Its datagram reached the listener before the flow's socket was there. */
	l4xkit_rx(k, frame, udp("198.51.100.1", 53, 5000, 20));
	l4xkit_discard(k);
	ev = listen_event(k, "198.51.100.1", "203.0.113.1", 60);
	l4xkit_event(k, &ev);
	l4xkit_expect_frame(k);
	assert_int_equal(k->view.sport, 5000);
	assert_int_equal(l4x_flow_count(k->l), 1);
	l4xkit_destroy(k);
}

static void
datagrams_for_a_guest_that_is_gone_are_dropped(void **state)
{
	struct l4xkit *k = *state;
	struct l4x_event ev = listen_event(k, "198.51.100.1", "203.0.113.1", 60);

	ev.accepted.pif = 9;
	l4xkit_event(k, &ev);
	assert_int_equal(l4xkit_counter(k, L4X_DROP_NO_LINK), 1);
	l4x_port_link(k->l, L4XKIT_PIF, false, 0);
	ev = listen_event(k, "198.51.100.1", "203.0.113.1", 60);
	l4xkit_event(k, &ev);
	assert_int_equal(l4xkit_counter(k, L4X_DROP_NO_LINK), 2);
	l4x_port_link(k->l, L4XKIT_PIF, true, 0);
	k->conf.ipv6 = false;
	assert_int_equal(l4x_port_set(k->l, &k->conf), 0);
	ev = listen_event(k, "2001:db8::1", "2001:db8::2", 60);
	l4xkit_event(k, &ev);
	assert_int_equal(l4xkit_counter(k, L4X_DROP_UDP_NO_FLOW), 1);
	l4xkit_expect_nothing(k);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(a_datagram_from_outside_takes_a_socket_when_it_is_answered),
		T(dscp_ecn_and_ttl_from_outside_reach_the_guest),
		T(unanswered_flows_end_without_a_socket_to_close),
		T(datagrams_from_outside_leave_the_guest_its_rate),
		T(the_oldest_unanswered_flow_makes_room_for_a_new_one),
		T(a_forward_that_leads_elsewhere_now_begins_a_flow_anew),
		T(a_flow_ends_with_its_forward_and_the_guest_is_not_told),
		T(a_peer_on_the_host_itself_appears_as_the_gateway),
		T(peers_that_look_alike_to_the_guest_are_told_apart_by_port),
		cmocka_unit_test(a_peer_that_the_guest_speaks_to_is_not_taken_for_another),
		T(a_peer_gets_its_answer_from_the_forward_it_spoke_to),
		cmocka_unit_test(the_answer_to_a_port_that_was_found_comes_to_the_same_worker),
		cmocka_unit_test(what_leaves_from_a_forwarded_port_leaves_by_the_forward),
		cmocka_unit_test(a_forward_serves_only_peers_that_its_address_can_speak_to),
		cmocka_unit_test(two_addresses_of_the_guest_do_not_share_a_peer_and_a_port),
		cmocka_unit_test(a_peer_that_the_guest_spoke_to_first_is_in_its_flow),
		T(datagrams_for_a_guest_that_is_gone_are_dropped),
	};

	l4xkit_eal("l4x_udp_in");
	return cmocka_run_group_tests_name("l4x_udp_in", tests, NULL, NULL);
}
