/* SPDX-License-Identifier: BSD-3-Clause */
/* Guest to guest while guests come, go and change: flows lead to who was there when they began. */
#include "test_l4x_ew_util.h"

static int
setup(void **state)
{
	*state = ew_create(NULL);
	ew_allow(*state);
	return 0;
}

static int
teardown(void **state)
{
	ew_destroy(*state);
	return 0;
}

static void
settle(struct l4xkit *k)
{
	while (k->l->ew.rechecking)
		l4xkit_advance(k, 1000);
}

/** A datagram of a new flow from a to b, and its answer. */
static void
begin(struct l4xkit *k, uint16_t a, uint16_t b, bool v6)
{
	ew_rx(k, a, ew_frame, ew_udp(a, b, v6, 1000, 53));
	ew_expect(k, b);
	ew_rx(k, b, ew_frame, ew_udp(b, a, v6, 53, 1000));
	ew_expect(k, a);
	l4xkit_expect_nothing(k);
}

/** No frame of the flow passes, in either direction, before or after it has been ended. */
static void
expect_ended(struct l4xkit *k, uint16_t a, uint16_t b, bool v6, uint32_t left)
{
	const uint64_t passed = l4xkit_counter(k, L4X_COUNT_EW_PKTS);

	for (int settled = 0; settled < 2; settled++) {
		/* The answer first: the other way round a flow may begin that is allowed. */
		ew_rx(k, b, ew_frame, ew_udp(b, a, v6, 53, 1000));
		ew_rx(k, a, ew_frame, ew_udp(a, b, v6, 1000, 53));
		assert_int_equal(l4xkit_counter(k, L4X_COUNT_EW_PKTS), passed);
		settle(k);
		assert_int_equal(l4x_flow_count(k->l), left);
	}
	l4xkit_discard(k);
}

static void
change(struct l4xkit *k, const struct l4x_port_conf *c)
{
	assert_int_equal(l4x_port_set(k->l, c), 0);
}

static void
flows_of_a_guest_that_changes_its_zone_end(void **state)
{
	struct l4xkit *k = *state;
	struct l4x_port_conf c;

	for (uint16_t n = 1; n <= 2; n++) {
		begin(k, 1, 2, n == 2);
		begin(k, 1, 3, n == 2);
		c = ew_conf(n);
		c.zone = 5;
		change(k, &c);
		expect_ended(k, 1, 2, n == 2, n == 1 ? 0 : 1);
		c.zone = 0;
		change(k, &c);
		settle(k);
	}
	assert_int_equal(l4xkit_counter(k, L4X_COUNT_RULE_CUT), 3);
}

static void
flows_of_a_guest_that_changes_its_network_end(void **state)
{
	struct l4xkit *k = *state;
	struct l4x_port_conf c;

	for (uint16_t n = 1; n <= 2; n++) {
		begin(k, 1, 2, n == 2);
		c = ew_conf(n);
		c.network = 5;
		change(k, &c);
		expect_ended(k, 1, 2, n == 2, 0);
		c.network = 0;
		change(k, &c);
	}
}

static void
flow_that_a_rule_leads_elsewhere_ends_with_who_it_leads_to(void **state)
{
	const struct rule r = { .directions = RULES_EAST_WEST,
		.dst = ew_net("10.0.2.200", 32),
		.nat = { .what = CT_NAT_DST,
			.dst = { .min = l4xkit_addr("10.0.2.16"),
				.max = l4xkit_addr("10.0.2.16") } } };
	struct l4xkit *k = *state;
	struct l4x_port_conf c = ew_conf(2);
	struct pkt_ip ip = ew_ip(1, 2, false);

	ip.dst = pkt_addr("10.0.2.200");
	ew_rules(k, &r, 1, RULES_ACCEPT);
	for (int how = 0; how < 2; how++) {
		ew_rx(k, 1, ew_frame, pkt_build_udp(ew_frame, &ip, 1000, 53, ew_data, 10));
		ew_expect(k, 2);
		if (how == 0)
			c.zone = 5;
		else
			c.address = l4xkit_addr("10.0.2.77");
		change(k, &c);
		settle(k);
		assert_int_equal(l4x_flow_count(k->l), 0);
		ew_rx(k, 1, ew_frame, pkt_build_udp(ew_frame, &ip, 1000, 53, ew_data, 10));
		l4xkit_expect_frame(k);
		assert_int_equal(k->view.icmp_type, 3);
		c = ew_conf(2);
		change(k, &c);
	}
	l4xkit_expect_nothing(k);
}

static void
flows_to_an_address_go_when_it_is_another_guests(void **state)
{
	struct l4xkit *k = *state;
	struct l4x_port_conf c2 = ew_conf(2), c3 = ew_conf(3);
	const struct flowtab_addr two = c2.address;

	begin(k, 1, 2, false);
	begin(k, 1, 2, true);
	c2.address = c3.address;
	c3.address = two;
	change(k, &c2);
	change(k, &c3);
	settle(k);
	/* That over IPv6 lives. */
	assert_int_equal(l4x_flow_count(k->l), 1);
	ew_rx(k, 1, ew_frame, ew_udp(1, 2, false, 1000, 53));
	ew_expect(k, 3);
	ew_rx(k, 1, ew_frame, ew_udp(1, 2, true, 1000, 53));
	ew_expect(k, 2);
}

static void
flows_from_an_address_go_when_it_is_another_guests(void **state)
{
	struct l4xkit *k = *state;
	struct l4x_port_conf c = ew_conf(4);
	struct pkt_ip ip = ew_ip(1, 2, false), back = ew_ip(2, 1, false);

	/* One that guest 1 has given to itself. */
	ip.src = pkt_addr("10.0.2.18");
	back.dst = ip.src;
	ew_rx(k, 1, ew_frame, pkt_build_udp(ew_frame, &ip, 1000, 53, ew_data, 10));
	ew_expect(k, 2);
	ew_rx(k, 2, ew_frame, pkt_build_udp(ew_frame, &back, 53, 1000, ew_data, 10));
	ew_expect(k, 1);
	ew_port(k, &c, EW_OFFLOADS);
	l4xkit_discard(k);
	settle(k);
	assert_int_equal(l4x_flow_count(k->l), 0);
	ew_rx(k, 2, ew_frame, pkt_build_udp(ew_frame, &back, 53, 1000, ew_data, 10));
	ew_expect(k, 4);
	ew_rx(k, 1, ew_frame, pkt_build_udp(ew_frame, &ip, 1001, 53, ew_data, 10));
	l4xkit_expect_nothing(k);
	assert_int_equal(l4xkit_counter(k, L4X_DROP_IP_SOURCE), 1);
}

static void
flows_to_the_host_end_with_the_zone_that_they_began_in(void **state)
{
	struct l4xkit *k = *state;
	struct l4x_port_conf c = ew_conf(1);
	const struct pkt_ip ip = l4xkit_ip("192.0.2.1");

	ew_rx(k, 1, ew_frame, pkt_build_udp(ew_frame, &ip, 1000, 53, ew_data, 10));
	l4xkit_expect_op(k, L4X_OP_OPEN);
	l4xkit_expect_op(k, L4X_OP_DGRAM);
	/* What has not changed is no reason. */
	change(k, &c);
	settle(k);
	assert_int_equal(l4x_flow_count(k->l), 1);
	c.zone = 5;
	change(k, &c);
	settle(k);
	assert_int_equal(l4x_flow_count(k->l), 0);
	l4xkit_expect_op(k, L4X_OP_CLOSE);
}

static void
stranger_in_the_place_of_a_parent_vouches_for_nothing(void **state)
{
	static const char port[] = "PORT 10,0,2,15,4,210\r\n";
	const struct rule ftp = { .directions = RULES_EAST_WEST,
		.proto = IPPROTO_TCP,
		.dport_min = 80,
		.dport_max = 80,
		.helper = CT_HELPER_FTP };
	const struct pkt_ip ip = ew_ip(1, 2, false);
	const struct pkt_tcp t = { .sport = 1000,
		.dport = 80,
		.seq = 100,
		.ack = 500,
		.flags = PKT_ACK | PKT_PSH,
		.win = 60000,
		.wscale = -1 };
	const struct pkt_tcp syn = {
		.sport = 20, .dport = 1234, .seq = 7, .flags = PKT_SYN, .wscale = -1
	};
	struct l4xkit *k = *state;
	struct l4x_flow_info info[2];
	uint32_t cursor = 0, parent;

	ew_rules(k, &ftp, 1, RULES_ACCEPT);
	ew_connect(k, 1, 2, false);
	ew_rx(k, 1, ew_frame, pkt_build_tcp(ew_frame, &ip, &t, port, sizeof(port) - 1));
	ew_rx(k, 2, ew_frame, ew_tcp(2, 1, false, &syn, 0));
	l4xkit_discard(k);
	assert_int_equal(l4x_flow_dump(k->l, &cursor, info, 2, k->now_us), 2);
	parent = flowtab_handle_index(info[0].parent != 0 ? info[0].parent : info[1].parent);
	l4xkit_advance(k, 5000);
	ct_free(k->l->ew.ct, parent);
	/* The place that was left last is taken first. */
	ew_rx(k, 1, ew_frame, ew_udp(1, 3, false, 1, 2));
	l4xkit_discard(k);
	assert_int_equal(k->l->ftf[parent].proto, IPPROTO_UDP);
	assert_int_equal(l4x_flow_count(k->l), 2);
	l4x_rules_set(k->l, k->l->ew.rules);
	settle(k);
	assert_int_equal(l4x_flow_count(k->l), 1);
	assert_int_equal(k->l->ftf[parent].state, FLOWTAB_TYPED);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(flows_of_a_guest_that_changes_its_zone_end),
		T(flows_of_a_guest_that_changes_its_network_end),
		T(flow_that_a_rule_leads_elsewhere_ends_with_who_it_leads_to),
		T(flows_to_an_address_go_when_it_is_another_guests),
		T(flows_from_an_address_go_when_it_is_another_guests),
		T(flows_to_the_host_end_with_the_zone_that_they_began_in),
		T(stranger_in_the_place_of_a_parent_vouches_for_nothing),
	};

	l4xkit_eal("l4xewchg");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
