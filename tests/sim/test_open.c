/* SPDX-License-Identifier: BSD-3-Clause */
/** A guest opens a connection. */
#include "rig.h"

#include <errno.h>

static void
answers_syn_only_when_socket_is_connected(void **state)
{
	struct rig *r = rig_create(NULL);

	rig_syn(r);
	assert_int_equal(l4xkit_expect_op(r->k, L4X_OP_OPEN)->op.open.proto, IPPROTO_TCP);
	l4xkit_run(r->k, 60 * RIG_S);
	rig_quiet(r);
	rig_destroy(r);
}

static void
tells_the_bridge_where_to_connect_and_how(void **state)
{
	struct rig *r = rig_create(NULL);
	struct pkt_ip ip = l4xkit_ip(r->peer);
	struct pkt_tcp tcp = { .sport = 1,
		.dport = 443,
		.seq = 5,
		.flags = PKT_SYN,
		.win = 1000,
		.mss = 1200,
		.wscale = -1 };
	uint8_t frame[256];
	const struct l4x_op *op;

	ip.tos = 0xb8 | 1;
	ip.ttl = 33;
	l4xkit_rx(r->k, frame, pkt_build_tcp(frame, &ip, &tcp, NULL, 0));
	op = &l4xkit_expect_op(r->k, L4X_OP_OPEN)->op;
	assert_int_equal(op->tos, 0xb8);
	assert_int_equal(op->ttl, 33);
	assert_int_equal(op->open.mss, 1200);
	assert_int_equal(op->open.peer_port, htons(443));
	assert_int_equal(op->open.head_len, 14 + 20 + 20);
	assert_int_equal(op->open.pif, L4XKIT_PIF);
	assert_memory_equal(op->open.peer.b, l4xkit_addr(r->peer).b, 16);
	assert_true(flowtab_addr_is_zero(&op->open.local));
	rig_destroy(r);
}

static void
ignores_repeated_syn_of_a_pending_flow(void **state)
{
	struct rig *r = rig_create(NULL);

	rig_syn(r);
	l4xkit_expect_op(r->k, L4X_OP_OPEN);
	rig_syn(r);
	rig_syn(r);
	rig_quiet(r);
	assert_int_equal(rig_flows(r), 1);
	rig_destroy(r);
}

static void
answers_repeated_syn_with_the_same_syn_ack(void **state)
{
	struct rig *r = rig_create(NULL);
	uint32_t isn;

	rig_syn(r);
	r->flow = l4xkit_expect_op(r->k, L4X_OP_OPEN)->op.flow;
	rig_connected(r);
	isn = rig_expect(r, PKT_SYN | PKT_ACK)->tcp.seq;
	rig_syn(r);
	assert_int_equal(rig_expect(r, PKT_SYN | PKT_ACK)->tcp.seq, isn);
	rig_quiet(r);
	rig_destroy(r);
}

static void
retransmits_syn_ack_with_backoff_until_the_limit(void **state)
{
	struct rig *r = rig_create(NULL);
	uint32_t isn, n = 0;

	rig_syn(r);
	r->flow = l4xkit_expect_op(r->k, L4X_OP_OPEN)->op.flow;
	rig_connected(r);
	isn = rig_expect(r, PKT_SYN | PKT_ACK)->tcp.seq;
	l4xkit_run(r->k, 990 * RIG_MS);
	rig_quiet(r);
	l4xkit_run(r->k, 20 * RIG_MS);
	assert_int_equal(rig_expect(r, PKT_SYN | PKT_ACK)->tcp.seq, isn);
	l4xkit_run(r->k, 1980 * RIG_MS);
	rig_quiet(r);
	l4xkit_run(r->k, 236 * RIG_S);
	while (l4xkit_frame(r->k) != NULL && r->k->view.tcp.flags == (PKT_SYN | PKT_ACK))
		n++;
	assert_in_range(n, 5, 10);
	assert_int_equal(rig_flows(r), 1);
	l4xkit_run(r->k, 5 * RIG_S);
	rig_expect_close(r, true);
	assert_int_equal(rig_flows(r), 0);
	rig_destroy(r);
}

static void
refused_becomes_rst_ack(void **state)
{
	struct rig *r = rig_create(NULL);

	rig_syn(r);
	r->flow = l4xkit_expect_op(r->k, L4X_OP_OPEN)->op.flow;
	rig_error(r, ECONNREFUSED);
	assert_int_equal(rig_expect(r, PKT_RST | PKT_ACK)->tcp.ack, r->gisn + 1);
	assert_int_equal(r->view->tcp.seq, 0);
	rig_op(r, L4X_OP_CLOSE);
	rig_quiet(r);
	assert_int_equal(rig_flows(r), 0);
	rig_destroy(r);
}

static void
check_unreachable(struct rig *r, int err, uint8_t type, uint8_t code)
{
	struct pkt_ip ip = l4xkit_ip(r->peer);
	struct pkt_tcp tcp = { .sport = r->gport,
		.dport = r->pport,
		.seq = r->gisn,
		.flags = PKT_SYN,
		.win = 1000,
		.mss = 1460,
		.wscale = 7 };
	uint8_t frame[256];
	size_t len;

	ip.id = 0x4711;
	ip.ttl = 7;
	len = pkt_build_tcp(frame, &ip, &tcp, NULL, 0);
	l4xkit_rx(r->k, frame, len);
	r->flow = l4xkit_expect_op(r->k, L4X_OP_OPEN)->op.flow;
	rig_error(r, err);
	l4xkit_expect_frame(r->k);
	assert_int_equal(r->k->view.icmp_type, type);
	assert_int_equal(r->k->view.icmp_code, code);
	assert_true(r->k->view.data_len >= (strchr(r->peer, ':') ? 48u : 28u));
	assert_memory_equal(r->k->view.data, frame + 14, r->k->view.data_len);
	rig_op(r, L4X_OP_CLOSE);
	assert_int_equal(rig_flows(r), 0);
}

static void
unreachable_becomes_icmp_that_quotes_the_syn(void **state)
{
	struct rig *r = rig_create(NULL);

	check_unreachable(r, EHOSTUNREACH, 3, 1);
	check_unreachable(r, ENETUNREACH, 3, 0);
	check_unreachable(r, ETIMEDOUT, 3, 1);
	rig_destroy(r);
	r = rig_create6(NULL);
	check_unreachable(r, EHOSTUNREACH, 1, 3);
	rig_destroy(r);
}

static void
quote_keeps_ip_options(void **state)
{
	static const uint8_t options[8] = { 1, 1, 1, 1, 7, 3, 4, 0 };
	struct rig *r = rig_create(NULL);
	struct pkt_ip ip = l4xkit_ip(r->peer);
	struct pkt_tcp tcp = { .sport = r->gport,
		.dport = r->pport,
		.seq = 9,
		.flags = PKT_SYN,
		.win = 1000,
		.wscale = -1 };
	uint8_t frame[256];

	ip.options = options;
	ip.options_len = sizeof(options);
	l4xkit_rx(r->k, frame, pkt_build_tcp(frame, &ip, &tcp, NULL, 0));
	r->flow = l4xkit_expect_op(r->k, L4X_OP_OPEN)->op.flow;
	rig_error(r, EHOSTUNREACH);
	l4xkit_expect_frame(r->k);
	assert_int_equal(r->k->view.data_len, 36);
	assert_memory_equal(r->k->view.data, frame + 14, 36);
	rig_destroy(r);
}

static void
failure_without_icmp_meaning_becomes_rst(void **state)
{
	struct rig *r = rig_create(NULL);

	rig_syn(r);
	r->flow = l4xkit_expect_op(r->k, L4X_OP_OPEN)->op.flow;
	rig_error(r, EMFILE);
	rig_expect(r, PKT_RST | PKT_ACK);
	assert_int_equal(rig_flows(r), 0);
	rig_destroy(r);
}

static void
failures_beyond_the_rate_of_icmp_become_rst(void **state)
{
	struct rig *r = rig_create(NULL);
	unsigned int errors = 0, resets = 0;

	for (unsigned int i = 0; i < 100; i++) {
		rig_syn(r);
		r->flow = l4xkit_expect_op(r->k, L4X_OP_OPEN)->op.flow;
		rig_error(r, EHOSTUNREACH);
		assert_non_null(l4xkit_frame(r->k));
		if (r->k->view.proto == IPPROTO_TCP)
			resets++;
		else
			errors++;
		l4xkit_discard(r->k);
		r->gport++;
	}
	/* Each is told in one way or the other. */
	assert_true(errors >= 64);
	assert_int_equal(errors + resets, 100);
	assert_true(resets > 0);
	rig_destroy(r);
}

static void
flow_whose_socket_is_not_heard_of_ends(void **state)
{
	struct rig *r = rig_create(NULL);

	rig_syn(r);
	r->flow = l4xkit_expect_op(r->k, L4X_OP_OPEN)->op.flow;
	l4xkit_run(r->k, 590 * RIG_S);
	assert_int_equal(rig_flows(r), 1);
	l4xkit_run(r->k, 20 * RIG_S);
	assert_int_equal(rig_flows(r), 0);
	rig_expect_close(r, true);
	rig_destroy(r);
}

static void
destination_not_carried_gets_icmp(void **state)
{
	struct rig *r = rig_create(NULL);

	r->peer = "10.0.2.77";
	rig_syn(r);
	l4xkit_expect_frame(r->k);
	assert_int_equal(r->k->view.icmp_type, 3);
	rig_quiet(r);
	assert_int_equal(rig_flows(r), 0);
	rig_destroy(r);
}

static void
two_flows(struct l4x_params *p, struct l4x_port_conf *c)
{
	c->max_flows = 2;
}

static void
syn_that_cannot_be_served_gets_rst(void **state)
{
	struct rig *r = rig_create(two_flows);

	for (unsigned int i = 0; i < 2; i++) {
		r->gport++;
		rig_syn(r);
		l4xkit_expect_op(r->k, L4X_OP_OPEN);
	}
	r->gport++;
	rig_syn(r);
	assert_int_equal(rig_expect(r, PKT_RST | PKT_ACK)->tcp.ack, r->gisn + 1);
	assert_int_equal(l4xkit_counter(r->k, L4X_DROP_FLOW_LIMIT), 1);
	rig_quiet(r);
	rig_destroy(r);
}

static void
offers_options_only_if_the_guest_did(void **state)
{
	struct rig *r = rig_create(NULL);

	r->gscale = -1;
	rig_open(r);
	rig_destroy(r);

	r = rig_create(NULL);
	rig_syn(r);
	r->flow = l4xkit_expect_op(r->k, L4X_OP_OPEN)->op.flow;
	rig_connected(r);
	rig_expect(r, PKT_SYN | PKT_ACK);
	assert_int_equal(r->view->tcp.mss, 1460);
	assert_int_equal(r->view->tcp.wscale, 8);
	assert_false(r->view->tcp.sack_ok);
	/* Never scaled in a SYN. */
	assert_int_equal(r->view->tcp.win, 65535);
	rig_destroy(r);

	r = rig_create6(NULL);
	r->gscale = -1;
	rig_syn(r);
	r->flow = l4xkit_expect_op(r->k, L4X_OP_OPEN)->op.flow;
	r->space = 5000;
	rig_connected(r);
	rig_expect(r, PKT_SYN | PKT_ACK);
	assert_int_equal(r->view->tcp.mss, 1440);
	assert_int_equal(r->view->tcp.wscale, -1);
	assert_int_equal(r->view->tcp.win, 5000);
	rig_destroy(r);
}

static void
does_not_negotiate_ecn(void **state)
{
	struct rig *r = rig_create(NULL);

	rig_raw(r, PKT_SYN | PKT_ECE | PKT_CWR, r->gisn, 0, 0);
	r->flow = l4xkit_expect_op(r->k, L4X_OP_OPEN)->op.flow;
	rig_connected(r);
	rig_expect(r, PKT_SYN | PKT_ACK);
	rig_destroy(r);
}

static void
accepts_data_on_the_ack_that_completes_the_handshake(void **state)
{
	struct rig *r = rig_create(NULL);

	rig_syn(r);
	r->flow = l4xkit_expect_op(r->k, L4X_OP_OPEN)->op.flow;
	rig_connected(r);
	r->wisn = rig_expect(r, PKT_SYN | PKT_ACK)->tcp.seq;
	rig_seg(r, PKT_ACK | PKT_PSH, 0, 100);
	rig_expect_send(r, 0, 100);
	rig_expect_credit(r, 0, 512 << 7);
	rig_quiet(r);
	rig_sent(r, 100);
	rig_expect_ack(r, 100);
	rig_destroy(r);
}

static void
accepts_fin_on_the_ack_that_completes_the_handshake(void **state)
{
	struct rig *r = rig_create(NULL);

	rig_syn(r);
	r->flow = l4xkit_expect_op(r->k, L4X_OP_OPEN)->op.flow;
	rig_connected(r);
	r->wisn = rig_expect(r, PKT_SYN | PKT_ACK)->tcp.seq;
	rig_seg(r, PKT_ACK | PKT_FIN, 0, 10);
	rig_expect_send(r, 0, 10);
	rig_expect_credit(r, 0, 512 << 7);
	rig_sent(r, 10);
	assert_int_equal(rig_op(r, L4X_OP_SHUT)->op.send.off, 10);
	rig_expect_ack(r, 11);
	rig_destroy(r);
}

static void
leaves_syn_data_to_retransmission(void **state)
{
	struct rig *r = rig_create(NULL);

	rig_raw(r, PKT_SYN, r->gisn, 0, 50);
	r->flow = l4xkit_expect_op(r->k, L4X_OP_OPEN)->op.flow;
	rig_connected(r);
	assert_int_equal(rig_expect(r, PKT_SYN | PKT_ACK)->tcp.ack, r->gisn + 1);
	rig_quiet(r);
	rig_destroy(r);
}

static void
wrong_ack_in_the_handshake_gets_rst(void **state)
{
	struct rig *r = rig_create(NULL);

	rig_syn(r);
	r->flow = l4xkit_expect_op(r->k, L4X_OP_OPEN)->op.flow;
	rig_connected(r);
	r->wisn = rig_expect(r, PKT_SYN | PKT_ACK)->tcp.seq;
	rig_raw(r, PKT_ACK, r->gisn + 1, r->wisn + 2, 0);
	assert_int_equal(rig_expect(r, PKT_RST)->tcp.seq, r->wisn + 2);
	rig_quiet(r);
	/* The right one still establishes. */
	rig_seg(r, PKT_ACK, 0, 0);
	rig_expect_credit(r, 0, 512 << 7);
	rig_destroy(r);
}

static void
rst_of_the_guest_ends_a_pending_flow(void **state)
{
	struct rig *r = rig_create(NULL);

	rig_syn(r);
	r->flow = l4xkit_expect_op(r->k, L4X_OP_OPEN)->op.flow;
	rig_raw(r, PKT_RST, r->gisn + 700, 0, 0);
	rig_quiet(r);
	rig_raw(r, PKT_RST, r->gisn + 1, 0, 0);
	rig_expect_close(r, true);
	assert_int_equal(rig_flows(r), 0);

	rig_syn(r);
	r->flow = l4xkit_expect_op(r->k, L4X_OP_OPEN)->op.flow;
	rig_connected(r);
	r->wisn = rig_expect(r, PKT_SYN | PKT_ACK)->tcp.seq;
	rig_raw(r, PKT_RST, r->gisn + 2, 0, 0);
	/* In the window, but not exact: RFC 5961. */
	rig_expect_ack(r, 0);
	rig_raw(r, PKT_RST, r->gisn + 1, 0, 0);
	rig_expect_close(r, true);
	assert_int_equal(rig_flows(r), 0);
	rig_destroy(r);
}

static void
syn_with_another_isn_replaces_a_pending_flow(void **state)
{
	struct rig *r = rig_create(NULL);

	rig_syn(r);
	r->flow = l4xkit_expect_op(r->k, L4X_OP_OPEN)->op.flow;
	rig_raw(r, PKT_SYN, r->gisn + 12345, 0, 0);
	rig_expect_close(r, true);
	assert_true(l4xkit_expect_op(r->k, L4X_OP_OPEN)->op.flow != r->flow);
	assert_int_equal(rig_flows(r), 1);
	rig_destroy(r);
}

static void
isn_depends_on_tuple_and_time(void **state)
{
	struct rig *r = rig_create(NULL);
	uint32_t isn[3];

	for (unsigned int i = 0; i < 3; i++) {
		r->gport = i == 1 ? 40001 : 40000;
		if (i == 2)
			l4xkit_advance(r->k, 4000);
		rig_syn(r);
		r->flow = l4xkit_expect_op(r->k, L4X_OP_OPEN)->op.flow;
		rig_connected(r);
		isn[i] = rig_expect(r, PKT_SYN | PKT_ACK)->tcp.seq;
		rig_raw(r, PKT_RST, r->gisn + 1, 0, 0);
		rig_expect_close(r, true);
	}
	assert_true(isn[0] != isn[1]);
	assert_int_equal(isn[2] - isn[0], 1000);
	rig_destroy(r);
}

static void
drops_impossible_flags_and_malformed_options(void **state)
{
	static const uint8_t bad[] = { PKT_SYN | PKT_FIN, PKT_SYN | PKT_RST, PKT_FIN, 0, PKT_PSH,
		PKT_URG | PKT_FIN | PKT_PSH };
	static const uint8_t options[][4] = { { 2, 0, 0, 0 }, { 2, 9, 0, 0 }, { 1, 1, 1, 3 } };
	struct rig *r = rig_create(NULL);
	struct pkt_ip ip = l4xkit_ip(r->peer);
	uint8_t frame[256];

	for (unsigned int i = 0; i < sizeof(bad); i++) {
		rig_raw(r, bad[i], 1, 1, 0);
		rig_quiet(r);
	}
	assert_int_equal(l4xkit_counter(r->k, L4X_DROP_TCP_FLAGS), sizeof(bad));
	for (unsigned int i = 0; i < 3; i++) {
		struct pkt_tcp tcp = { .sport = 1,
			.dport = 2,
			.flags = PKT_SYN,
			.win = 1000,
			.wscale = -1,
			.options = options[i],
			.options_len = 4 };

		l4xkit_rx(r->k, frame, pkt_build_tcp(frame, &ip, &tcp, NULL, 0));
		rig_quiet(r);
	}
	assert_int_equal(l4xkit_counter(r->k, L4X_DROP_TCP_OPTION), 3);
	assert_int_equal(rig_flows(r), 0);
	rig_destroy(r);
}

static void
segment_for_no_flow_gets_rst(void **state)
{
	struct rig *r = rig_create(NULL);

	rig_raw(r, PKT_ACK, 500, 900, 10);
	assert_int_equal(rig_expect(r, PKT_RST)->tcp.seq, 900);
	rig_raw(r, PKT_SYN | PKT_ACK, 500, 901, 0);
	assert_int_equal(rig_expect(r, PKT_RST)->tcp.seq, 901);
	rig_raw(r, PKT_FIN | PKT_ACK, 500, 902, 0);
	assert_int_equal(rig_expect(r, PKT_RST)->tcp.seq, 902);
	/* A RST is never answered. */
	rig_raw(r, PKT_RST, 500, 0, 0);
	rig_raw(r, PKT_RST | PKT_ACK, 500, 1, 0);
	rig_quiet(r);
	assert_int_equal(l4xkit_counter(r->k, L4X_DROP_TCP_NO_FLOW), 5);
	rig_destroy(r);
}

static void
rsts_for_no_flow_are_rate_limited(void **state)
{
	struct rig *r = rig_create(NULL);
	unsigned int n = 0;

	for (unsigned int i = 0; i < 1000; i++) {
		rig_raw(r, PKT_ACK, i, i, 0);
		n += l4xkit_frame(r->k) != NULL;
	}
	assert_in_range(n, 1, 100);
	assert_int_equal(l4xkit_counter(r->k, L4X_DROP_RATE), 1000 - n);
	rig_destroy(r);
}

static void
opens_over_ipv6(void **state)
{
	struct rig *r = rig_create6(NULL);

	rig_open(r);
	rig_seg(r, PKT_ACK, 0, 10);
	rig_expect_send(r, 0, 10);
	rig_sent(r, 10);
	rig_expect_ack(r, 10);
	rig_data(r, 0, 20);
	rig_expect_data(r, 0, 20);
	rig_destroy(r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_syn_only_when_socket_is_connected),
		cmocka_unit_test(tells_the_bridge_where_to_connect_and_how),
		cmocka_unit_test(ignores_repeated_syn_of_a_pending_flow),
		cmocka_unit_test(answers_repeated_syn_with_the_same_syn_ack),
		cmocka_unit_test(retransmits_syn_ack_with_backoff_until_the_limit),
		cmocka_unit_test(refused_becomes_rst_ack),
		cmocka_unit_test(unreachable_becomes_icmp_that_quotes_the_syn),
		cmocka_unit_test(quote_keeps_ip_options),
		cmocka_unit_test(failure_without_icmp_meaning_becomes_rst),
		cmocka_unit_test(failures_beyond_the_rate_of_icmp_become_rst),
		cmocka_unit_test(flow_whose_socket_is_not_heard_of_ends),
		cmocka_unit_test(destination_not_carried_gets_icmp),
		cmocka_unit_test(syn_that_cannot_be_served_gets_rst),
		cmocka_unit_test(offers_options_only_if_the_guest_did),
		cmocka_unit_test(does_not_negotiate_ecn),
		cmocka_unit_test(accepts_data_on_the_ack_that_completes_the_handshake),
		cmocka_unit_test(accepts_fin_on_the_ack_that_completes_the_handshake),
		cmocka_unit_test(leaves_syn_data_to_retransmission),
		cmocka_unit_test(wrong_ack_in_the_handshake_gets_rst),
		cmocka_unit_test(rst_of_the_guest_ends_a_pending_flow),
		cmocka_unit_test(syn_with_another_isn_replaces_a_pending_flow),
		cmocka_unit_test(isn_depends_on_tuple_and_time),
		cmocka_unit_test(drops_impossible_flags_and_malformed_options),
		cmocka_unit_test(segment_for_no_flow_gets_rst),
		cmocka_unit_test(rsts_for_no_flow_are_rate_limited),
		cmocka_unit_test(opens_over_ipv6),
	};

	l4xkit_eal("sim_open");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
