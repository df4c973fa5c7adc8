/* SPDX-License-Identifier: BSD-3-Clause */
/* Rules: flows to and from the host, what becomes of those that live when rules change, the log. */
#include "test_l4x_ew_util.h"

#include <errno.h>

#include <rte_errno.h>
#include <rte_ring.h>
#include <rte_ring_elem.h>

static struct rte_ring *ring;

static void
with_log(struct l4x_params *params, struct l4x_port_conf *conf)
{
	params->log = ring;
}

static int
setup(void **state)
{
	*state = ew_create(with_log);
	return 0;
}

static int
teardown(void **state)
{
	struct l4x_log e;

	ew_destroy(*state);
	while (rte_ring_sc_dequeue_elem(ring, &e, sizeof(e)) == 0)
		;
	return 0;
}

static struct ct_nat_range
range(const char *min, const char *max, uint16_t port_min, uint16_t port_max)
{
	return (struct ct_nat_range){ .min = l4xkit_addr(min),
		.max = l4xkit_addr(max),
		.port_min = port_min,
		.port_max = port_max };
}

static size_t
udp_out(const char *dst, uint16_t sport, uint16_t dport)
{
	const struct pkt_ip ip = l4xkit_ip(dst);

	return pkt_build_udp(ew_frame, &ip, sport, dport, ew_data, 10);
}

static size_t
syn_out(const char *dst, uint16_t sport, uint16_t dport)
{
	const struct pkt_ip ip = l4xkit_ip(dst);
	const struct pkt_tcp t = { .sport = sport,
		.dport = dport,
		.seq = 9,
		.flags = PKT_SYN,
		.win = 1000,
		.wscale = -1 };

	return pkt_build_tcp(ew_frame, &ip, &t, NULL, 0);
}

static void
assert_addr(const struct flowtab_addr *a, const char *text)
{
	char buf[FLOWTAB_ADDR_STRLEN];

	assert_string_equal(flowtab_addr_format(a, buf), text);
}

/* ---- a guest begins ---- */

static void
without_rules_everything_goes_out(void **state)
{
	l4xkit_rx(*state, ew_frame, udp_out("192.0.2.1", 1, 2));
	l4xkit_expect_op(*state, L4X_OP_OPEN);
	l4xkit_discard(*state);
}

static void
dropped_flow_is_not_made_and_nobody_is_told(void **state)
{
	const struct rule r = { .directions = RULES_OUT, .action = RULES_DROP };
	struct l4xkit *k = *state;
	struct pkt_ip ip = l4xkit_ip("192.0.2.1");

	ew_rules(k, &r, 1, RULES_DROP);
	l4xkit_expect_drop(k, ew_frame, udp_out("192.0.2.1", 1, 2), L4X_DROP_RULE);
	l4xkit_expect_drop(k, ew_frame, syn_out("192.0.2.1", 1, 2), L4X_DROP_RULE);
	l4xkit_expect_drop(
		k, ew_frame, pkt_build_icmp(ew_frame, &ip, 8, 0, 7, ew_data, 10), L4X_DROP_RULE);
	/* Of what leads nowhere as well, nobody is told. */
	l4xkit_expect_drop(k, ew_frame, udp_out("10.0.2.99", 1, 2), L4X_DROP_RULE);
	l4xkit_expect_nothing(k);
	assert_int_equal(l4x_flow_count(k->l), 0);
	assert_int_equal(rules_hits(k->l->ew.rules, 1), 4);
}

static void
rejected_flow_is_not_made_and_its_guest_is_told(void **state)
{
	const struct rule r = { .directions = RULES_OUT, .action = RULES_REJECT };
	struct l4xkit *k = *state;

	ew_rules(k, &r, 1, RULES_DROP);
	l4xkit_rx(k, ew_frame, syn_out("2001:db8::1", 1, 2));
	l4xkit_expect_frame(k);
	assert_int_equal(k->view.tcp.flags, PKT_RST | PKT_ACK);
	assert_int_equal(k->view.tcp.ack, 10);
	l4xkit_rx(k, ew_frame, udp_out("192.0.2.1", 1, 2));
	l4xkit_expect_frame(k);
	assert_int_equal(k->view.icmp_type, 3);
	assert_int_equal(k->view.icmp_code, 13);
	l4xkit_expect_nothing(k);
	assert_int_equal(l4xkit_counter(k, L4X_DROP_RULE_REJECT), 2);
}

static void
only_the_first_packet_asks(void **state)
{
	const struct rule r = { .directions = RULES_OUT };
	struct l4xkit *k = *state;

	ew_rules(k, &r, 1, RULES_DROP);
	for (unsigned int i = 0; i < 10; i++)
		l4xkit_rx(k, ew_frame, udp_out("192.0.2.1", 1, 2));
	assert_int_equal(rules_hits(k->l->ew.rules, 1), 1);
	l4xkit_discard(k);
}

static void
destination_is_translated_and_the_guest_does_not_know(void **state)
{
	const struct rule r = { .directions = RULES_OUT,
		.nat = { .what = CT_NAT_DST,
			.dst = range("198.51.100.7", "198.51.100.7", 8080, 8080) } };
	struct l4xkit *k = *state;
	struct l4x_event ev = { .type = L4X_EV_DGRAM, .len = 10 };
	const struct l4xkit_op *o;

	ew_rules(k, &r, 1, RULES_DROP);
	/* On-link, and nobody's: a rule can give it a meaning. */
	l4xkit_rx(k, ew_frame, udp_out("10.0.2.99", 1000, 53));
	o = l4xkit_expect_op(k, L4X_OP_OPEN);
	ev.flow = o->op.flow;
	assert_addr(&o->op.open.peer, "198.51.100.7");
	assert_int_equal(rte_be_to_cpu_16(o->op.open.peer_port), 8080);
	l4xkit_expect_op(k, L4X_OP_DGRAM);
	ev.dgram.m = l4xkit_payload(k, ew_data, 10);
	l4xkit_event(k, &ev);
	l4xkit_expect_frame(k);
	assert_string_equal(pkt_addr_text(&k->view.src), "10.0.2.99");
	assert_int_equal(k->view.sport, 53);
	l4xkit_rx(k, ew_frame, syn_out("192.0.2.1", 1000, 80));
	o = l4xkit_expect_op(k, L4X_OP_OPEN);
	assert_addr(&o->op.open.peer, "198.51.100.7");
	/* Who is led to can ask by the socket's name. */
	assert_int_equal(o->op.open.flags, L4X_OPEN_NAMED);
	l4xkit_expect_nothing(k);
}

static void
redirect_without_an_address_goes_to_the_loopback_of_its_family(void **state)
{
	const struct rule r = { .directions = RULES_OUT,
		.redirect = true,
		.nat = { .what = CT_NAT_DST, .dst = { .port_min = 3128, .port_max = 3128 } } };
	struct l4xkit *k = *state;
	const struct l4xkit_op *o;

	ew_rules(k, &r, 1, RULES_DROP);
	l4xkit_rx(k, ew_frame, syn_out("192.0.2.1", 1, 80));
	o = l4xkit_expect_op(k, L4X_OP_OPEN);
	assert_addr(&o->op.open.peer, "127.0.0.1");
	assert_int_equal(rte_be_to_cpu_16(o->op.open.peer_port), 3128);
	l4xkit_rx(k, ew_frame, syn_out("2001:db8::1", 1, 80));
	o = l4xkit_expect_op(k, L4X_OP_OPEN);
	assert_addr(&o->op.open.peer, "::1");
	l4xkit_expect_nothing(k);
}

static void
source_is_what_the_socket_is_bound_to(void **state)
{
	const struct rule r[] = {
		{ .directions = RULES_OUT,
			.proto = IPPROTO_UDP,
			.nat = { .what = CT_NAT_SRC,
				.src = range("203.0.113.5", "203.0.113.5", 5000, 5000) } },
		{ .directions = RULES_OUT,
			.proto = IPPROTO_TCP,
			.nat = { .what = CT_NAT_SRC,
				.src = range("203.0.113.5", "203.0.113.8", 0, 0) } },
	};
	struct l4xkit *k = *state;
	const struct l4xkit_op *o;
	unsigned int seen = 0;

	ew_rules(k, r, 2, RULES_DROP);
	l4xkit_rx(k, ew_frame, udp_out("192.0.2.1", 1, 2));
	o = l4xkit_expect_op(k, L4X_OP_OPEN);
	assert_addr(&o->op.open.local, "203.0.113.5");
	assert_int_equal(rte_be_to_cpu_16(o->op.open.local_port), 5000);
	l4xkit_discard(k);
	/* The port is another flow's to this peer. */
	l4xkit_expect_drop(k, ew_frame, udp_out("192.0.2.1", 2, 2), L4X_DROP_FLOW_TABLE);
	for (uint16_t i = 1; i <= 32; i++) {
		l4xkit_rx(k, ew_frame, syn_out("192.0.2.1", i, 80));
		o = l4xkit_expect_op(k, L4X_OP_OPEN);
		assert_int_equal(o->op.open.local_port, 0);
		assert_in_range(o->op.open.local.b[15], 5, 8);
		seen |= 1u << o->op.open.local.b[15];
	}
	assert_int_equal(seen, 0x1e0);
}

static void
source_is_of_its_range_whatever_words_that_spans(void **state)
{
	const struct rule r = { .directions = RULES_OUT,
		.nat = { .what = CT_NAT_SRC,
			.src = range("2001:db8::ffff:fffe", "2001:db8::1:0:1", 0, 0) } };
	struct l4xkit *k = *state;

	ew_rules(k, &r, 1, RULES_DROP);
	for (uint16_t i = 1; i <= 32; i++) {
		const struct l4xkit_op *o;

		l4xkit_rx(k, ew_frame, syn_out("2001:db8:1::1", i, 80));
		o = l4xkit_expect_op(k, L4X_OP_OPEN);
		assert_true(memcmp(&o->op.open.local, &r.nat.src.min, 16) >= 0);
		assert_true(memcmp(&o->op.open.local, &r.nat.src.max, 16) <= 0);
	}
}

static void
mark_and_zone_are_the_rules(void **state)
{
	const struct rule r = { .number = 77,
		.directions = RULES_OUT,
		.set_mark = true,
		.mark = 9,
		.set_zone = true,
		.to_zone = 12 };
	struct l4xkit *k = *state;
	struct l4x_flow_info info;
	uint32_t cursor = 0;

	ew_rules(k, &r, 1, RULES_DROP);
	l4xkit_rx(k, ew_frame, udp_out("192.0.2.1", 1, 2));
	assert_int_equal(l4xkit_expect_op(k, L4X_OP_OPEN)->op.open.mark, 9);
	assert_int_equal(l4x_flow_dump(k->l, &cursor, &info, 1, k->now_us), 1);
	assert_int_equal(info.mark, 9);
	assert_int_equal(info.zone, 12);
	assert_int_equal(info.rule, 77);
	assert_int_equal(info.guest.zone, 0);
	assert_false(info.translated);
	l4xkit_discard(k);
}

/* ---- somebody outside begins ---- */

static struct l4x_event
from_outside(uint8_t type, const char *peer)
{
	struct l4x_event ev = { .type = type };

	ev.accepted.peer = l4xkit_addr(peer);
	ev.accepted.local = l4xkit_addr("203.0.113.1");
	ev.accepted.peer_port = RTE_BE16(4000);
	ev.accepted.local_port = RTE_BE16(8080);
	ev.accepted.guest_port = RTE_BE16(80);
	ev.accepted.pif = 1;
	if (type == L4X_EV_ACCEPTED)
		ev.accepted.token = 5;
	return ev;
}

static void
datagram(struct l4xkit *k, const char *peer)
{
	struct l4x_event ev = from_outside(L4X_EV_LISTEN_DGRAM, peer);

	ev.len = 10;
	ev.accepted.m = l4xkit_payload(k, ew_data, 10);
	l4xkit_event(k, &ev);
}

static void
connection_that_is_not_allowed_in_is_refused(void **state)
{
	const struct rule r = {
		.directions = RULES_IN, .src = ew_net("198.51.100.0", 24), .action = RULES_DROP
	};
	struct l4xkit *k = *state;
	struct l4x_event ev = from_outside(L4X_EV_ACCEPTED, "198.51.100.7");

	ew_rules(k, &r, 1, RULES_DROP);
	l4xkit_event(k, &ev);
	assert_int_equal(l4xkit_expect_op(k, L4X_OP_REFUSE)->op.adopt.token, 5);
	ev = from_outside(L4X_EV_ACCEPTED, "192.0.2.7");
	l4xkit_event(k, &ev);
	l4xkit_expect_op(k, L4X_OP_ADOPT);
	datagram(k, "198.51.100.7");
	l4xkit_expect_nothing(k);
	datagram(k, "192.0.2.7");
	l4xkit_expect_frame(k);
	assert_int_equal(l4xkit_counter(k, L4X_DROP_RULE), 2);
}

static void
guest_port_and_peer_are_as_the_rule_has_them(void **state)
{
	const struct rule r = { .directions = RULES_IN,
		.dport_min = 80,
		.dport_max = 80,
		.nat = { .what = CT_NAT_DST | CT_NAT_SRC,
			.dst = { .port_min = 8000, .port_max = 8000 },
			.src = range("192.0.2.200", "192.0.2.200", 0, 0) } };
	struct l4xkit *k = *state;
	struct pkt_ip ip = l4xkit_ip("192.0.2.200");

	ew_rules(k, &r, 1, RULES_DROP);
	for (unsigned int i = 0; i < 3; i++) {
		datagram(k, "198.51.100.7");
		l4xkit_expect_frame(k);
		assert_int_equal(k->view.dport, 8000);
		assert_int_equal(k->view.sport, 4000);
		assert_string_equal(pkt_addr_text(&k->view.src), "192.0.2.200");
		assert_string_equal(pkt_addr_text(&k->view.dst), "10.0.2.15");
	}
	/* All of one flow; the listener is known by the port that it leads to. */
	assert_int_equal(l4x_flow_count(k->l), 1);
	l4xkit_rx(k, ew_frame, pkt_build_udp(ew_frame, &ip, 8000, 4000, ew_data, 10));
	{
		const struct l4xkit_op *o = l4xkit_expect_op(k, L4X_OP_OPEN);

		assert_int_equal(rte_be_to_cpu_16(o->op.open.guest_port), 80);
		assert_int_equal(rte_be_to_cpu_16(o->op.open.local_port), 8080);
		assert_addr(&o->op.open.peer, "198.51.100.7");
	}
	l4xkit_expect_op(k, L4X_OP_DGRAM);
	l4xkit_expect_nothing(k);
}

static void
what_the_guest_cannot_see_is_refused(void **state)
{
	static const struct {
		const char *src, *dst;
		bool passes;
	} cases[] = {
		{ NULL, "10.0.2.99", false },                              /* not the guest's */
		{ NULL, "10.0.2.15", true }, { "10.0.2.15", NULL, false }, /* the guest's */
		{ "10.0.2.255", NULL, false }, { "10.0.2.2", NULL, true }, /* the gateway's */
	};
	struct l4xkit *k = *state;
	uint64_t refused = 0;

	for (size_t i = 0; i < RTE_DIM(cases); i++) {
		struct l4x_event ev = from_outside(L4X_EV_ACCEPTED, "198.51.100.7");
		struct rule r = { .directions = RULES_IN };

		if (cases[i].src != NULL) {
			r.nat.what |= CT_NAT_SRC;
			r.nat.src = range(cases[i].src, cases[i].src, 0, 0);
		}
		if (cases[i].dst != NULL) {
			r.nat.what |= CT_NAT_DST;
			r.nat.dst = range(cases[i].dst, cases[i].dst, 0, 0);
		}
		ew_rules(k, &r, 1, RULES_DROP);
		ev.accepted.peer_port = rte_cpu_to_be_16((uint16_t)(4000 + i));
		l4xkit_event(k, &ev);
		if (cases[i].passes) {
			l4xkit_expect_op(k, L4X_OP_ADOPT);
		} else {
			l4xkit_expect_op(k, L4X_OP_REFUSE);
			datagram(k, "198.51.100.7");
			refused += 2;
		}
		l4xkit_expect_nothing(k);
	}
	assert_int_equal(l4xkit_counter(k, L4X_DROP_RULE_NAT), refused);
}

static void
four_workers(struct l4x_params *params, struct l4x_port_conf *conf)
{
	params->n_workers = 4;
	conf->n_queues = 4;
	for (unsigned int i = 0; i < 4; i++)
		conf->queue_worker[i] = (uint8_t)i;
}

static void
answers_to_what_a_rule_has_changed_come_to_the_same_worker(void **state)
{
	const struct rule r = { .directions = RULES_IN,
		.nat = { .what = CT_NAT_DST, .dst = { .port_min = 8000, .port_max = 8000 } } };
	struct l4xkit *k = l4xkit_create(four_workers);

	ew_rules(k, &r, 1, RULES_DROP);
	for (unsigned int i = 0; i < 20; i++) {
		struct l4x_event ev = from_outside(L4X_EV_LISTEN_DGRAM, "198.51.100.7");
		struct pkt_ip ip = l4xkit_ip("198.51.100.7");

		ev.accepted.peer_port = rte_cpu_to_be_16((uint16_t)(4000 + i));
		ev.accepted.m = l4xkit_payload(k, ew_data, 10);
		l4xkit_event(k, &ev);
		l4xkit_expect_frame(k);
		l4xkit_rx(k, ew_frame,
			pkt_build_udp(ew_frame, &ip, 8000, k->view.sport, ew_data, 10));
		assert_int_equal(k->n_handover, 0);
		assert_int_equal(
			l4xkit_expect_op(k, L4X_OP_OPEN)->op.open.peer_port, ev.accepted.peer_port);
		l4xkit_discard(k);
	}
	ew_destroy(k);
}

static void
peer_keeps_to_the_ports_of_its_rule(void **state)
{
	const struct rule r = { .directions = RULES_IN,
		.nat = { .what = CT_NAT_SRC, .src = { .port_min = 2000, .port_max = 2099 } } };
	struct l4xkit *k = l4xkit_create(four_workers);

	ew_rules(k, &r, 1, RULES_DROP);
	for (unsigned int i = 0; i < 20; i++) {
		struct l4x_event ev = from_outside(L4X_EV_LISTEN_DGRAM, "198.51.100.7");

		ev.accepted.peer_port = rte_cpu_to_be_16((uint16_t)(4000 + i));
		ev.accepted.m = l4xkit_payload(k, ew_data, 10);
		l4xkit_event(k, &ev);
		l4xkit_expect_frame(k);
		assert_in_range(k->view.sport, 2000, 2099);
	}
	ew_destroy(k);
}

/* ---- rules change ---- */

/** Timers run until all flows have been looked at. */
static void
settle(struct l4xkit *k)
{
	while (k->l->ew.rechecking)
		l4xkit_advance(k, 1000);
}

static void
flows_that_are_allowed_no_more_are_cut(void **state)
{
	const struct rule all = { .number = 3,
		.directions = RULES_OUT | RULES_IN | RULES_EAST_WEST };
	const struct rule less = { .number = 4,
		.directions = RULES_OUT | RULES_IN | RULES_EAST_WEST,
		.dport_min = 53,
		.dport_max = 53 };
	const struct rule none = { .number = 5,
		.directions = RULES_OUT | RULES_IN | RULES_EAST_WEST,
		.action = RULES_DROP };
	const struct rule both[] = { less, none };
	struct l4xkit *k = *state;
	struct l4x_flow_info info;
	uint32_t cursor = 0;

	ew_rules(k, &all, 1, RULES_DROP);
	l4xkit_rx(k, ew_frame, udp_out("192.0.2.1", 1, 53));
	l4xkit_rx(k, ew_frame, udp_out("192.0.2.1", 1, 54));
	l4xkit_rx(k, ew_frame, syn_out("192.0.2.1", 1, 54));
	ew_rx(k, 1, ew_frame, ew_udp(1, 2, false, 1000, 54));
	ew_rx(k, 2, ew_frame, ew_udp(2, 1, false, 54, 1000));
	ew_rx(k, 1, ew_frame, ew_udp(1, 2, false, 1000, 53));
	datagram(k, "198.51.100.7");
	assert_int_equal(l4x_flow_count(k->l), 6);
	l4xkit_discard(k);
	ew_rules(k, both, 2, RULES_DROP);
	assert_int_equal(l4x_next_us(k->l), k->now_us);
	settle(k);
	/* To who opened the connection, RST; sockets are closed. */
	l4xkit_expect_frame(k);
	assert_true((k->view.tcp.flags & PKT_RST) != 0);
	l4xkit_expect_op(k, L4X_OP_CLOSE);
	l4xkit_expect_op(k, L4X_OP_CLOSE);
	assert_null(l4xkit_op(k));
	assert_int_equal(l4x_flow_count(k->l), 2);
	assert_int_equal(l4xkit_counter(k, L4X_COUNT_RULE_CUT), 4);
	while (l4x_flow_dump(k->l, &cursor, &info, 1, k->now_us) > 0) {
		assert_int_equal(rte_be_to_cpu_16(info.guest.oport), 53);
		assert_int_equal(info.rule, 4);
	}
	/* What is cut is cut for the answers, too. */
	ew_rx(k, 2, ew_frame, ew_udp(2, 1, false, 54, 1000));
	l4xkit_expect_nothing(k);
	l4xkit_discard(k);
}

static void
without_rules_again_guests_are_apart(void **state)
{
	struct l4xkit *k = *state;
	struct rules *old;

	ew_allow(k);
	old = k->l->ew.rules;
	ew_rx(k, 1, ew_frame, ew_udp(1, 2, false, 1000, 53));
	ew_expect(k, 2);
	l4xkit_rx(k, ew_frame, udp_out("192.0.2.1", 1, 53));
	l4x_rules_set(k->l, NULL);
	rules_destroy(old);
	settle(k);
	assert_int_equal(l4x_flow_count(k->l), 1);
	ew_rx(k, 1, ew_frame, ew_udp(1, 2, false, 1000, 53));
	l4xkit_expect_frame(k);
	assert_int_equal(k->view.icmp_type, 3);
	l4xkit_discard(k);
}

static void
many_flows_are_looked_at_in_steps(void **state)
{
	struct l4xkit *k = *state;
	const struct rule none = { .directions = RULES_EAST_WEST, .action = RULES_DROP };

	ew_allow(k);
	for (uint16_t i = 0; i < 1000; i++)
		ew_rx(k, 1 + i % 3, ew_frame,
			ew_udp(1 + i % 3, 1 + (i + 1) % 3, false, 1000 + i, 53));
	l4xkit_discard(k);
	assert_int_equal(l4x_flow_count(k->l), 1000);
	ew_rules(k, &none, 1, RULES_DROP);
	l4x_timers(k->l, k->now_us);
	assert_in_range(l4x_flow_count(k->l), 1, 999);
	settle(k);
	assert_int_equal(l4x_flow_count(k->l), 0);
}

/* ---- log and dump ---- */

static void
flow_of_a_rule_that_logs_is_told(void **state)
{
	const struct rule r = {
		.number = 6, .directions = RULES_EAST_WEST, .action = RULES_DROP, .log = true
	};
	struct l4xkit *k = *state;
	unsigned int n = 0;
	struct l4x_log e;

	ew_rules(k, &r, 1, RULES_DROP);
	for (uint16_t i = 0; i < 300; i++)
		ew_rx(k, 1, ew_frame, ew_udp(1, 2, false, 1000 + i, 53));
	while (rte_ring_sc_dequeue_elem(ring, &e, sizeof(e)) == 0) {
		assert_int_equal(e.rule, 6);
		assert_int_equal(e.direction, RULES_EAST_WEST);
		assert_int_equal(e.action, RULES_DROP);
		assert_int_equal(rte_be_to_cpu_16(e.tuple.eport), 1000 + n);
		n++;
	}
	/* Of 300, the ring takes 63, and no more than 100 come in a second. */
	assert_int_equal(n, 63);
	assert_int_equal(l4xkit_counter(k, L4X_COUNT_LOG_LOST), 237);
}

static void
flows_of_both_kinds_are_shown(void **state)
{
	struct l4xkit *k = *state;
	struct l4x_flow_info info[4];
	uint32_t cursor = 0;

	ew_allow(k);
	ew_connect(k, 1, 2, false);
	l4xkit_rx(k, ew_frame, udp_out("192.0.2.1", 1, 2));
	assert_int_equal(l4x_flow_dump(k->l, &cursor, info, 4, k->now_us), 2);
	for (unsigned int i = 0; i < 2; i++) {
		if (info[i].kind == FLOWTAB_KIND_SOCKET) {
			assert_int_equal(info[i].host.pif, FLOWTAB_PIF_HOST);
			assert_int_equal(info[i].ct_state, 0);
			continue;
		}
		assert_addr(&info[i].guest.eaddr, "10.0.2.15");
		assert_addr(&info[i].host.eaddr, "10.0.2.16");
		assert_int_equal(info[i].host.pif, 2);
		assert_true((info[i].ct_state & CT_EST) != 0);
		assert_int_equal(info[i].pkts[0], 2);
		assert_int_equal(info[i].pkts[1], 1);
		assert_string_equal(info[i].state, "ESTABLISHED");
	}
	assert_int_equal(info[0].kind ^ info[1].kind, 1);
	l4xkit_discard(k);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(without_rules_everything_goes_out),
		T(dropped_flow_is_not_made_and_nobody_is_told),
		T(rejected_flow_is_not_made_and_its_guest_is_told),
		T(only_the_first_packet_asks),
		T(destination_is_translated_and_the_guest_does_not_know),
		T(redirect_without_an_address_goes_to_the_loopback_of_its_family),
		T(source_is_what_the_socket_is_bound_to),
		T(source_is_of_its_range_whatever_words_that_spans),
		T(mark_and_zone_are_the_rules),
		T(connection_that_is_not_allowed_in_is_refused),
		T(guest_port_and_peer_are_as_the_rule_has_them),
		T(what_the_guest_cannot_see_is_refused),
		T(answers_to_what_a_rule_has_changed_come_to_the_same_worker),
		T(peer_keeps_to_the_ports_of_its_rule),
		T(flows_that_are_allowed_no_more_are_cut),
		T(without_rules_again_guests_are_apart),
		T(many_flows_are_looked_at_in_steps),
		T(flow_of_a_rule_that_logs_is_told),
		T(flows_of_both_kinds_are_shown),
	};

	l4xkit_eal("l4xrules");
	ring = rte_ring_create_elem(
		"log", sizeof(struct l4x_log), 64, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
	if (ring == NULL)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
