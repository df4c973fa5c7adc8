/* SPDX-License-Identifier: BSD-3-Clause */
/* Guest to guest on one worker: who reaches whom, and what arrives. */
#include "test_l4x_ew_util.h"

static int
setup(void **state)
{
	*state = ew_create(NULL);
	return 0;
}

static int
teardown(void **state)
{
	ew_destroy(*state);
	return 0;
}

static uint32_t
tracked(const struct l4xkit *k)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < flowtab_max(k->l->ft); i++)
		n += k->l->ftf[i].state != FLOWTAB_FREE &&
			k->l->ftf[i].kind == FLOWTAB_KIND_TRACKED;
	return n;
}

/** Feed what is in ew_frame, from guest 1, and assert that it is dropped for this reason alone. */
static void
expect_drop(struct l4xkit *k, size_t len, enum l4x_counter why)
{
	const uint64_t before = l4xkit_counter(k, why);

	ew_rx(k, 1, ew_frame, len);
	assert_int_equal(l4xkit_counter(k, why), before + 1);
	assert_int_equal(l4xkit_counter(k, L4X_COUNT_EW_PKTS), 0);
}

/* ---- who reaches whom ---- */

static void
without_a_rule_no_frame_reaches_another_guest(void **state)
{
	struct l4xkit *k = *state;

	for (int v6 = 0; v6 < 2; v6++) {
		ew_rx(k, 1, ew_frame, ew_udp(1, 2, v6, 1000, 53));
		/* As for any address that nobody has. */
		l4xkit_expect_frame(k);
		assert_int_equal(k->view.icmp_type, v6 ? 1 : 3);
		assert_int_equal(k->view.icmp_code, v6 ? 3 : 1);
		ew_rx(k, 1, ew_frame, ew_echo(1, 2, v6, false, 7));
		l4xkit_expect_frame(k);
		assert_int_equal(k->view.icmp_type, v6 ? 1 : 3);
		l4xkit_expect_nothing(k);
	}
	assert_int_equal(tracked(k), 0);
	assert_int_equal(l4xkit_counter(k, L4X_DROP_IP_DEST), 4);
}

static void
policy_drop_is_silent(void **state)
{
	const struct rule other = { .directions = RULES_EAST_WEST, .proto = IPPROTO_TCP };
	struct l4xkit *k = *state;

	ew_rules(k, &other, 1, RULES_DROP);
	expect_drop(k, ew_udp(1, 2, false, 1000, 53), L4X_DROP_RULE);
	l4xkit_expect_nothing(k);
	assert_int_equal(tracked(k), 0);
}

static void
datagrams_go_both_ways(void **state)
{
	struct l4xkit *k = *state;

	ew_allow(k);
	for (int v6 = 0; v6 < 2; v6++) {
		ew_rx(k, 1, ew_frame, ew_udp(1, 2, v6, 1000, 53));
		ew_expect(k, 2);
		assert_int_equal(k->view.sport, 1000);
		assert_int_equal(k->view.dport, 53);
		assert_int_equal(k->view.data_len, 10);
		assert_memory_equal(k->view.data, ew_data, 10);
		ew_rx(k, 2, ew_frame, ew_udp(2, 1, v6, 53, 1000));
		ew_expect(k, 1);
		assert_int_equal(k->view.sport, 53);
		l4xkit_expect_nothing(k);
	}
	assert_int_equal(tracked(k), 2);
	assert_int_equal(l4xkit_counter(k, L4X_COUNT_EW_PKTS), 4);
	assert_int_equal(l4xkit_counter(k, L4X_COUNT_FLOWS_NEW), 2);
}

static void
echo_is_answered(void **state)
{
	struct l4xkit *k = *state;

	ew_allow(k);
	for (int v6 = 0; v6 < 2; v6++) {
		ew_rx(k, 1, ew_frame, ew_echo(1, 2, v6, false, 7));
		ew_expect(k, 2);
		assert_int_equal(k->view.icmp_type, v6 ? 128 : 8);
		ew_rx(k, 2, ew_frame, ew_echo(2, 1, v6, true, 7));
		ew_expect(k, 1);
		assert_int_equal(k->view.icmp_type, v6 ? 129 : 0);
		/* Nobody has asked for this one. */
		ew_rx(k, 2, ew_frame, ew_echo(2, 1, v6, true, 8));
		l4xkit_expect_nothing(k);
	}
	assert_int_equal(ct_reasons(k->l->ew.ct)[CT_REASON_ICMP_TYPE], 2);
}

static void
connection_is_made_and_carries_data(void **state)
{
	struct l4xkit *k = *state;

	ew_allow(k);
	for (int v6 = 0; v6 < 2; v6++) {
		ew_connect(k, 1, 2, v6);
		ew_rx(k, 1, ew_frame, ew_segment(1, 2, v6, false, 1000));
		ew_expect(k, 2);
		assert_int_equal(k->view.data_len, 1000);
		assert_memory_equal(k->view.data, ew_data, 1000);
		ew_rx(k, 2, ew_frame, ew_segment(1, 2, v6, true, 500));
		ew_expect(k, 1);
		assert_int_equal(k->view.data_len, 500);
		l4xkit_expect_nothing(k);
	}
}

static void
segments_that_do_not_fit_are_dropped_under_the_trackers_reason(void **state)
{
	struct l4xkit *k = *state;
	struct pkt_tcp t = { .sport = 1000,
		.dport = 80,
		.seq = 1u << 31,
		.ack = 500,
		.flags = PKT_ACK,
		.wscale = -1 };

	ew_allow(k);
	ew_connect(k, 1, 2, false);
	ew_rx(k, 1, ew_frame, ew_tcp(1, 2, false, &t, 10));
	t.flags = PKT_RST;
	ew_rx(k, 1, ew_frame, ew_tcp(1, 2, false, &t, 0));
	l4xkit_expect_nothing(k);
	assert_int_equal(ct_reasons(k->l->ew.ct)[CT_REASON_TCP_SEQ], 1);
	assert_int_equal(ct_reasons(k->l->ew.ct)[CT_REASON_TCP_RST], 1);
}

static void
only_who_a_rule_names_may_begin(void **state)
{
	const struct rule r = {
		.directions = RULES_EAST_WEST, .pif = 1, .to_pif = 2, .proto = IPPROTO_UDP
	};
	struct l4xkit *k = *state;

	ew_rules(k, &r, 1, RULES_DROP);
	ew_rx(k, 2, ew_frame, ew_udp(2, 1, false, 53, 1000));
	ew_rx(k, 1, ew_frame, ew_udp(1, 3, false, 1000, 53));
	ew_rx(k, 1, ew_frame, ew_echo(1, 2, false, false, 1));
	l4xkit_expect_nothing(k);
	assert_int_equal(l4xkit_counter(k, L4X_DROP_RULE), 3);
	ew_rx(k, 1, ew_frame, ew_udp(1, 2, false, 1000, 53));
	ew_expect(k, 2);
	/* The answer needs no rule. */
	ew_rx(k, 2, ew_frame, ew_udp(2, 1, false, 53, 1000));
	ew_expect(k, 1);
	assert_int_equal(rules_hits(k->l->ew.rules, 1), 1);
	assert_int_equal(rules_policy_hits(k->l->ew.rules, RULES_EAST_WEST), 3);
}

static void
guests_of_other_zones_are_not_there(void **state)
{
	struct l4xkit *k = *state;
	struct l4x_port_conf c = ew_conf(2);

	c.zone = 5;
	ew_port(k, &c, EW_OFFLOADS);
	ew_allow(k);
	expect_drop(k, ew_udp(1, 2, false, 1000, 53), L4X_DROP_IP_DEST);
	l4xkit_expect_frame(k);
	assert_int_equal(k->view.icmp_type, 3);
	assert_int_equal(tracked(k), 0);
	/* Two worlds, one address: each has its own. */
	c = ew_conf(4);
	c.address = l4xkit_addr("10.0.2.15");
	c.address6 = l4xkit_addr("fd00:2::15");
	c.zone = 5;
	ew_port(k, &c, EW_OFFLOADS);
	ew_rx(k, 2, ew_frame, ew_udp(2, 1, false, 1000, 53));
	ew_expect(k, 4);
	ew_rx(k, 3, ew_frame, ew_udp(3, 1, false, 1000, 53));
	ew_expect(k, 1);
	l4xkit_expect_nothing(k);
}

static void
rejected_tcp_gets_a_reset_and_others_an_icmp_error(void **state)
{
	const struct pkt_tcp syn = {
		.sport = 1, .dport = 2, .seq = 9, .flags = PKT_SYN, .wscale = -1
	};
	const struct rule r = { .directions = RULES_EAST_WEST, .action = RULES_REJECT };
	struct l4xkit *k = *state;

	ew_rules(k, &r, 1, RULES_ACCEPT);
	for (int v6 = 0; v6 < 2; v6++) {
		const struct pkt_ip ip = ew_ip(1, 2, v6);

		expect_drop(k, ew_tcp(1, 2, v6, &syn, 0), L4X_DROP_RULE_REJECT);
		l4xkit_expect_frame(k);
		assert_int_equal(k->view.tcp.flags, PKT_RST | PKT_ACK);
		assert_int_equal(k->view.tcp.ack, 10);
		assert_true(pkt_addr_eq(&k->view.src, &ip.dst));
		expect_drop(k, ew_udp(1, 2, v6, 1000, 53), L4X_DROP_RULE_REJECT);
		l4xkit_expect_frame(k);
		assert_int_equal(k->view.icmp_type, v6 ? 1 : 3);
		assert_int_equal(k->view.icmp_code, v6 ? 1 : 13);
		/* What was sent, byte for byte. */
		assert_memory_equal(k->view.data, ew_frame + 14, k->view.data_len);
		l4xkit_expect_nothing(k);
	}
	assert_int_equal(tracked(k), 0);
}

static void
address_of_another_guest_is_no_source(void **state)
{
	struct l4xkit *k = *state;
	struct pkt_ip ip = ew_ip(1, 2, false);

	ew_allow(k);
	ip.src = pkt_addr("10.0.2.17");
	expect_drop(k, pkt_build_udp(ew_frame, &ip, 1, 2, ew_data, 10), L4X_DROP_IP_SOURCE);
	ip.src = pkt_addr("192.0.2.1");
	expect_drop(k, pkt_build_udp(ew_frame, &ip, 1, 2, ew_data, 10), L4X_DROP_IP_SOURCE);
	l4xkit_expect_nothing(k);
	/* One of the network that is nobody's: a guest may have given it to itself. */
	ip.src = pkt_addr("10.0.2.99");
	ew_rx(k, 1, ew_frame, pkt_build_udp(ew_frame, &ip, 1, 2, ew_data, 10));
	ew_expect(k, 2);
	ip = ew_ip(2, 1, false);
	ip.dst = pkt_addr("10.0.2.99");
	ew_rx(k, 2, ew_frame, pkt_build_udp(ew_frame, &ip, 2, 1, ew_data, 10));
	ew_expect(k, 1);
}

static void
broadcast_of_the_link_goes_no_further(void **state)
{
	struct l4xkit *k = *state;
	struct pkt_ip ip = ew_ip(1, 2, false);

	ew_allow(k);
	memset(ip.dst_mac, 0xff, 6);
	expect_drop(k, pkt_build_udp(ew_frame, &ip, 1, 2, ew_data, 10), L4X_DROP_IP_DEST);
	l4xkit_expect_nothing(k);
	assert_int_equal(tracked(k), 0);
}

static void
connection_that_a_helper_expects_needs_no_rule(void **state)
{
	static const char port[] = "PORT 10,0,2,15,4,210\r\n";
	const struct rule r = { .directions = RULES_EAST_WEST,
		.proto = IPPROTO_TCP,
		.dport_min = 80,
		.dport_max = 80,
		.helper = CT_HELPER_FTP };
	const struct pkt_ip ip = ew_ip(1, 2, false);
	struct pkt_tcp t = { .sport = 1000,
		.dport = 80,
		.seq = 100,
		.ack = 500,
		.flags = PKT_ACK | PKT_PSH,
		.win = 60000,
		.wscale = -1 };
	struct l4xkit *k = *state;
	struct pkt_tcp syn = {
		.sport = 20, .dport = 1234, .seq = 7, .flags = PKT_SYN, .wscale = -1
	};
	struct l4x_flow_info info[2];
	uint32_t cursor = 0;

	ew_rules(k, &r, 1, RULES_DROP);
	ew_connect(k, 1, 2, false);
	ew_rx(k, 2, ew_frame, ew_tcp(2, 1, false, &syn, 0));
	l4xkit_expect_nothing(k);
	ew_rx(k, 1, ew_frame, pkt_build_tcp(ew_frame, &ip, &t, port, sizeof(port) - 1));
	ew_expect(k, 2);
	ew_rx(k, 2, ew_frame, ew_tcp(2, 1, false, &syn, 0));
	ew_expect(k, 1);
	assert_int_equal(k->view.dport, 1234);
	assert_int_equal(rules_hits(k->l->ew.rules, 1), 1);
	assert_int_equal(l4x_flow_dump(k->l, &cursor, info, 2, k->now_us), 2);
	assert_true((info[0].parent == info[1].handle) ^ (info[1].parent == info[0].handle));
	/* Both go when the rule does. */
	ew_rules(k, NULL, 0, RULES_DROP);
	while (k->l->ew.rechecking)
		l4xkit_advance(k, 1000);
	assert_int_equal(tracked(k), 0);
}

static void
icmp_of_the_other_family_is_no_packet(void **state)
{
	struct l4xkit *k = *state;
	uint8_t icmp[16] = { 0 };

	ew_allow(k);
	for (unsigned int v6 = 0; v6 < 2; v6++) {
		struct pkt_ip ip = ew_ip(1, 2, v6);
		uint8_t proto = v6 ? IPPROTO_ICMP : IPPROTO_ICMPV6;

		icmp[0] = v6 ? 8 : 128;
		pkt_put16(icmp + 2, 0);
		pkt_put16(icmp + 2,
			pkt_sum_fold(pkt_sum(icmp, sizeof(icmp),
				v6 ? 0 : pkt_sum_pseudo(&ip.src, &ip.dst, proto, sizeof(icmp)))));
		ew_rx(k, 1, ew_frame, pkt_build_ip(ew_frame, &ip, proto, icmp, sizeof(icmp)));
		l4xkit_expect_nothing(k);
		assert_int_equal(ct_reasons(k->l->ew.ct)[CT_REASON_UNTRACKABLE], v6 + 1);
	}
	assert_int_equal(tracked(k), 0);
}

static void
protocols_that_no_socket_carries_pass(void **state)
{
	struct l4xkit *k = *state;
	uint8_t sctp[32] = { 0x10, 0, 0, 80 };
	struct pkt_ip ip;

	ew_allow(k);
	k->unchecked = true;
	for (int v6 = 0; v6 < 2; v6++) {
		ip = ew_ip(1, 2, v6);
		ew_rx(k, 1, ew_frame, pkt_build_ip(ew_frame, &ip, IPPROTO_SCTP, sctp, 32));
		ew_expect(k, 2);
		assert_int_equal(k->view.proto, IPPROTO_SCTP);
		ew_rx(k, 1, ew_frame, pkt_build_ip(ew_frame, &ip, 47, sctp, 20));
		ew_expect(k, 2);
		assert_int_equal(k->view.proto, 47);
		/* To others nothing has changed. */
		ip.dst = pkt_addr(v6 ? "2001:db8::1" : "192.0.2.1");
		ew_rx(k, 1, ew_frame, pkt_build_ip(ew_frame, &ip, IPPROTO_SCTP, sctp, 32));
		l4xkit_expect_frame(k);
		assert_int_equal(k->view.icmp_type, v6 ? 4 : 3);
		assert_int_equal(k->view.icmp_code, v6 ? 1 : 2);
	}
	assert_int_equal(l4xkit_counter(k, L4X_DROP_IP_PROTO), 2);
	l4xkit_expect_nothing(k);
}

static void
icmp_errors_about_a_flow_reach_its_other_end(void **state)
{
	struct l4xkit *k = *state;

	ew_allow(k);
	for (int v6 = 0; v6 < 2; v6++) {
		const struct pkt_ip back = ew_ip(2, 1, v6);
		uint8_t quote[128];
		size_t len;

		ew_rx(k, 1, ew_frame, ew_udp(1, 2, v6, 1000, 53));
		ew_expect(k, 2);
		len = k->view.l3_len;
		memcpy(quote, k->view.l3, len);
		ew_rx(k, 2, ew_frame,
			pkt_build_icmp(ew_frame, &back, v6 ? 1 : 3, v6 ? 4 : 3, 0, quote, len));
		ew_expect(k, 1);
		assert_int_equal(k->view.icmp_type, v6 ? 1 : 3);
		/* About a flow that there is not. */
		quote[len - 18] ^= 1;
		if (!v6)
			pkt_put16(quote + 20, 1);
		else
			pkt_put16(quote + 40, 1);
		ew_rx(k, 2, ew_frame,
			pkt_build_icmp(ew_frame, &back, v6 ? 1 : 3, v6 ? 4 : 3, 0, quote, len));
		l4xkit_expect_nothing(k);
	}
}

/* ---- limits ---- */

static void
rate_of_new_flows_is_kept(void **state)
{
	struct l4xkit *k = *state;
	struct l4x_port_conf c = ew_conf(1);

	c.new_flows_per_s = 2;
	ew_port(k, &c, EW_OFFLOADS);
	ew_allow(k);
	for (uint16_t i = 0; i < 5; i++)
		ew_rx(k, 1, ew_frame, ew_udp(1, 2, false, 1000 + i, 53));
	assert_int_equal(tracked(k), 2);
	assert_int_equal(l4xkit_counter(k, L4X_DROP_FLOW_RATE), 3);
	l4xkit_discard(k);
}

static void
limit_of_flows_of_a_guest_is_kept(void **state)
{
	struct l4xkit *k = *state;
	struct l4x_port_conf c = ew_conf(1);

	c.max_flows = 2;
	ew_port(k, &c, EW_OFFLOADS);
	ew_allow(k);
	for (uint16_t i = 0; i < 5; i++)
		ew_rx(k, 1, ew_frame, ew_udp(1, 2, false, 1000 + i, 53));
	assert_int_equal(tracked(k), 2);
	assert_int_equal(ct_reasons(k->l->ew.ct)[CT_REASON_PIF_LIMIT], 3);
	l4xkit_discard(k);
}

/* ---- what becomes of flows ---- */

static void
flows_of_a_port_that_goes_are_gone(void **state)
{
	struct l4xkit *k = *state;

	ew_allow(k);
	ew_rx(k, 1, ew_frame, ew_udp(1, 2, false, 1000, 53));
	ew_rx(k, 3, ew_frame, ew_udp(3, 1, false, 1000, 53));
	l4xkit_discard(k);
	assert_int_equal(tracked(k), 2);
	assert_int_equal(l4x_port_remove(k->l, 2), 0);
	assert_int_equal(tracked(k), 1);
	ew_rx(k, 1, ew_frame, ew_udp(1, 2, false, 1000, 53));
	l4xkit_collect(k);
	assert_int_equal(tracked(k), 1);
	l4xkit_discard(k);
}

static void
expired_flow_ends_without_an_operation(void **state)
{
	struct l4xkit *k = *state;

	ew_allow(k);
	ew_rx(k, 1, ew_frame, ew_udp(1, 2, false, 1000, 53));
	ew_expect(k, 2);
	l4xkit_run(k, 70000000);
	assert_int_equal(tracked(k), 0);
	assert_null(l4xkit_op(k));
	l4xkit_discard(k);
}

static void
burst_sees_what_its_own_frames_have_begun(void **state)
{
	struct l4xkit *k = *state;
	const struct pkt_tcp syn = {
		.sport = 1000, .dport = 80, .seq = 99, .flags = PKT_SYN, .wscale = -1
	};

	ew_allow(k);
	l4xkit_push(k, ew_frame, ew_tcp(1, 2, false, &syn, 0));
	l4xkit_push(k, ew_frame, ew_tcp(1, 2, false, &syn, 0));
	l4xkit_push(k, ew_frame, ew_udp(1, 2, false, 1000, 53));
	l4xkit_push(k, ew_frame, ew_udp(1, 2, false, 1000, 53));
	l4xkit_flush(k);
	for (unsigned int i = 0; i < 4; i++)
		ew_expect(k, 2);
	assert_int_equal(tracked(k), 2);
}

static void
guest_that_is_not_connected_gets_nothing(void **state)
{
	struct l4xkit *k = *state;

	ew_allow(k);
	l4x_port_link(k->l, 2, false, 0);
	ew_rx(k, 1, ew_frame, ew_udp(1, 2, false, 1000, 53));
	l4xkit_expect_nothing(k);
	assert_int_equal(l4xkit_counter(k, L4X_DROP_NO_LINK), 1);
}

/* ---- names ---- */

static void
probe_for_the_address_of_a_neighbour_is_answered_where_it_can_be_reached(void **state)
{
	static const uint8_t all[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff }, none[6];
	const struct pkt_addr zero = pkt_addr("0.0.0.0"), two = pkt_addr("10.0.2.16");
	const struct pkt_addr zero6 = pkt_addr("::"), two6 = pkt_addr("fd00:2::16");
	struct l4xkit *k = *state;
	size_t len = pkt_build_arp(ew_frame, all, 1, l4xkit_guest_mac, &zero, none, &two);

	ew_rx(k, 1, ew_frame, len);
	l4xkit_expect_nothing(k);
	ew_rx(k, 1, ew_frame, pkt_build_ns(ew_frame, l4xkit_guest_mac, &zero6, &two6));
	l4xkit_expect_nothing(k);
	ew_allow(k);
	len = pkt_build_arp(ew_frame, all, 1, l4xkit_guest_mac, &zero, none, &two);
	ew_rx(k, 1, ew_frame, len);
	l4xkit_expect_frame(k);
	assert_memory_equal(k->view.arp_sha, l4xkit_gateway_mac, 6);
	ew_rx(k, 1, ew_frame, pkt_build_ns(ew_frame, l4xkit_guest_mac, &zero6, &two6));
	l4xkit_expect_frame(k);
	assert_int_equal(k->view.icmp_type, 136);
	l4xkit_expect_nothing(k);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(without_a_rule_no_frame_reaches_another_guest),
		T(policy_drop_is_silent),
		T(datagrams_go_both_ways),
		T(echo_is_answered),
		T(connection_is_made_and_carries_data),
		T(segments_that_do_not_fit_are_dropped_under_the_trackers_reason),
		T(only_who_a_rule_names_may_begin),
		T(guests_of_other_zones_are_not_there),
		T(rejected_tcp_gets_a_reset_and_others_an_icmp_error),
		T(address_of_another_guest_is_no_source),
		T(broadcast_of_the_link_goes_no_further),
		T(connection_that_a_helper_expects_needs_no_rule),
		T(icmp_of_the_other_family_is_no_packet),
		T(protocols_that_no_socket_carries_pass),
		T(icmp_errors_about_a_flow_reach_its_other_end),
		T(rate_of_new_flows_is_kept),
		T(limit_of_flows_of_a_guest_is_kept),
		T(flows_of_a_port_that_goes_are_gone),
		T(expired_flow_ends_without_an_operation),
		T(burst_sees_what_its_own_frames_have_begun),
		T(guest_that_is_not_connected_gets_nothing),
		T(probe_for_the_address_of_a_neighbour_is_answered_where_it_can_be_reached),
	};

	l4xkit_eal("l4xew");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
