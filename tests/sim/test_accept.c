/* SPDX-License-Identifier: BSD-3-Clause */
/** A connection from outside. */
#include "rig.h"

#include <errno.h>

static void
adopt(struct rig *r)
{
	rig_accepted(r);
	r->flow = l4xkit_expect_op(r->k, L4X_OP_ADOPT)->op.flow;
}

static void
adopt_and_syn(struct rig *r)
{
	adopt(r);
	rig_connected(r);
	r->wisn = rig_expect(r, PKT_SYN)->tcp.seq;
}

static void
sends_syn_when_the_socket_is_adopted(void **state)
{
	struct rig *r = rig_create(NULL);

	adopt(r);
	rig_quiet(r);
	rig_connected(r);
	rig_expect(r, PKT_SYN);
	assert_int_equal(r->view->tcp.mss, 1460);
	assert_int_equal(r->view->tcp.wscale, 8);
	assert_int_equal(r->view->tcp.win, 65535);
	assert_string_equal(pkt_addr_text(&r->view->src), "192.0.2.7");
	rig_quiet(r);
	rig_destroy(r);
}

static void
gives_data_only_when_the_guest_has_answered(void **state)
{
	struct rig *r = rig_create(NULL);

	adopt_and_syn(r);
	l4xkit_run(r->k, 500 * RIG_MS);
	rig_quiet(r);
	rig_raw(r, PKT_SYN | PKT_ACK, r->gisn, r->wisn + 1, 0);
	rig_expect_ack(r, 0);
	rig_expect_credit(r, 0, 512);
	/* The windows from here on are scaled. */
	rig_seg(r, PKT_ACK, 0, 0);
	rig_expect_credit(r, 0, 512 << 7);
	rig_destroy(r);
}

static void
retransmits_syn_with_the_same_isn_and_gives_up_with_a_reset(void **state)
{
	struct rig *r = rig_create(NULL);
	unsigned int n = 0;

	adopt_and_syn(r);
	l4xkit_run(r->k, 239 * RIG_S);
	while (l4xkit_frame(r->k) != NULL) {
		n++;
		assert_int_equal(r->k->view.tcp.flags, PKT_SYN);
		assert_int_equal(r->k->view.tcp.seq, r->wisn);
	}
	assert_in_range(n, 5, 10);
	l4xkit_run(r->k, 2 * RIG_S);
	rig_expect_close(r, true);
	assert_int_equal(rig_flows(r), 0);
	rig_destroy(r);
}

static void
rst_of_the_guest_resets_the_peer(void **state)
{
	struct rig *r = rig_create(NULL);

	adopt_and_syn(r);
	/* Without an acknowledgement of our SYN it says nothing. */
	rig_raw(r, PKT_RST, 0, 0, 0);
	rig_raw(r, PKT_RST, r->gisn, 0, 0);
	l4xkit_discard(r->k);
	assert_int_equal(rig_flows(r), 1);
	rig_raw(r, PKT_RST | PKT_ACK, 0, r->wisn + 1, 0);
	rig_expect_close(r, true);
	rig_quiet(r);
	assert_int_equal(rig_flows(r), 0);
	rig_destroy(r);
}

static void
wrong_ack_gets_rst_and_the_syn_stays(void **state)
{
	struct rig *r = rig_create(NULL);

	adopt_and_syn(r);
	rig_raw(r, PKT_SYN | PKT_ACK, r->gisn, r->wisn + 9, 0);
	assert_int_equal(rig_expect(r, PKT_RST)->tcp.seq, r->wisn + 9);
	/* A reset with a wrong number is dropped. */
	rig_raw(r, PKT_RST | PKT_ACK, 0, r->wisn + 9, 0);
	rig_quiet(r);
	assert_int_equal(rig_flows(r), 1);
	rig_raw(r, PKT_SYN | PKT_ACK, r->gisn, r->wisn + 1, 0);
	rig_expect_ack(r, 0);
	rig_destroy(r);
}

static void
simultaneous_open_is_reset(void **state)
{
	struct rig *r = rig_create(NULL);

	adopt_and_syn(r);
	rig_syn(r);
	assert_int_equal(rig_expect(r, PKT_RST | PKT_ACK)->tcp.ack, r->gisn + 1);
	rig_expect_close(r, true);
	assert_int_equal(rig_flows(r), 0);
	rig_destroy(r);
}

static void
no_v4(struct l4x_params *p, struct l4x_port_conf *c)
{
	c->ipv6 = false;
}

static void
tiny_table(struct l4x_params *p, struct l4x_port_conf *c)
{
	c->max_flows = 1;
}

static void
refuses_what_it_cannot_serve(void **state)
{
	struct rig *r = rig_create6(no_v4);

	rig_accepted(r);
	assert_int_equal(l4xkit_expect_op(r->k, L4X_OP_REFUSE)->op.adopt.token, 77);
	rig_destroy(r);

	r = rig_create(tiny_table);
	adopt(r);
	r->pport = 81;
	rig_accepted(r);
	l4xkit_expect_op(r->k, L4X_OP_REFUSE);
	/* The very same connection twice. */
	rig_quiet(r);
	rig_destroy(r);

	r = rig_create(NULL);
	adopt(r);
	rig_accepted(r);
	l4xkit_expect_op(r->k, L4X_OP_REFUSE);
	rig_destroy(r);
}

static void
peer_that_gives_up_early_resets_the_guest(void **state)
{
	struct rig *r = rig_create(NULL);

	adopt_and_syn(r);
	rig_error(r, ECONNRESET);
	assert_int_equal(rig_expect(r, PKT_RST)->tcp.seq, r->wisn + 1);
	rig_expect_close(r, true);
	rig_destroy(r);

	/* Nothing was said to the guest yet. */
	r = rig_create(NULL);
	adopt(r);
	rig_error(r, ECONNRESET);
	rig_expect_close(r, true);
	rig_quiet(r);
	rig_destroy(r);
}

/** 100 bytes of the guest reach the socket, and its FIN if there is one. */
static void
text_is_taken(struct rig *r, bool fin)
{
	rig_expect_send(r, 0, 100);
	l4xkit_discard(r->k);
	rig_sent(r, 100);
	if (fin)
		assert_int_equal(rig_op(r, L4X_OP_SHUT)->op.send.off, 100);
	rig_expect_ack(r, 100 + fin);
	rig_quiet(r);
	rig_destroy(r);
}

static void
accepts_data_on_the_syn_ack(void **state)
{
	struct rig *r = rig_create(NULL);

	adopt_and_syn(r);
	rig_raw(r, PKT_SYN | PKT_ACK, r->gisn, r->wisn + 1, 100);
	text_is_taken(r, false);
}

static void
takes_of_the_data_on_a_syn_ack_what_the_syn_had_room_for(void **state)
{
	struct rig *r = rig_create(NULL);

	r->space = 60;
	adopt_and_syn(r);
	assert_int_equal(r->view->tcp.win, 60);
	rig_raw(r, PKT_SYN | PKT_ACK, r->gisn, r->wisn + 1, 100);
	rig_expect_send(r, 0, 60);
	rig_destroy(r);
}

static void
accepts_data_and_fin_on_the_first_segment_after_the_syn_ack(void **state)
{
	for (unsigned int fin = 0; fin < 2; fin++) {
		struct rig *r = rig_create(NULL);

		adopt_and_syn(r);
		rig_raw(r, PKT_SYN | PKT_ACK, r->gisn, r->wisn + 1, 0);
		rig_expect_ack(r, 0);
		rig_expect_credit(r, 0, 512);
		rig_seg(r, PKT_ACK | (fin ? PKT_FIN : 0), 0, 100);
		text_is_taken(r, fin);
	}
}

/** As to and from everybody: nobody has a use for it, and those who look for holes have. */
static void
syn_ack_with_fin_is_dropped_and_does_not_end_the_handshake(void **state)
{
	struct rig *r = rig_create(NULL);

	adopt_and_syn(r);
	rig_raw(r, PKT_SYN | PKT_ACK | PKT_FIN, r->gisn, r->wisn + 1, 0);
	rig_quiet(r);
	assert_int_equal(l4xkit_counter(r->k, L4X_DROP_TCP_FLAGS), 1);
	rig_raw(r, PKT_SYN | PKT_ACK, r->gisn, r->wisn + 1, 0);
	rig_expect_ack(r, 0);
	rig_destroy(r);
}

static void
guest_without_window_scaling_gets_none(void **state)
{
	struct rig *r = rig_create(NULL);

	r->gscale = -1;
	r->gmss = 0;
	adopt_and_syn(r);
	rig_raw(r, PKT_SYN | PKT_ACK, r->gisn, r->wisn + 1, 0);
	rig_expect_ack(r, 0);
	assert_int_equal(r->view->tcp.win, 65535);
	assert_int_equal(rig_op(r, L4X_OP_ACK)->op.ack.frame_max % 536, 0);
	rig_quiet(r);
	rig_destroy(r);
}

static void
end_of_stream_before_the_answer_is_kept(void **state)
{
	struct rig *r = rig_create(NULL);

	adopt_and_syn(r);
	rig_eof(r, 0);
	rig_quiet(r);
	rig_raw(r, PKT_SYN | PKT_ACK, r->gisn, r->wisn + 1, 0);
	rig_expect(r, PKT_FIN | PKT_ACK);
	assert_int_equal(r->view->tcp.seq, r->wisn + 1);
	rig_destroy(r);
}

static void
socket_without_room_says_so_in_the_syn_and_is_polled(void **state)
{
	struct rig *r = rig_create(NULL);

	r->space = 0;
	adopt_and_syn(r);
	assert_int_equal(r->view->tcp.win, 0);
	rig_raw(r, PKT_SYN | PKT_ACK, r->gisn, r->wisn + 1, 0);
	rig_expect_ack(r, 0);
	rig_expect_credit(r, 0, 512);
	l4xkit_run(r->k, 24 * RIG_MS);
	rig_op(r, L4X_OP_QUERY);
	r->space = 100000;
	rig_sent(r, 0);
	rig_expect_ack(r, 0);
	assert_true(rig_window(r) > 90000);
	rig_destroy(r);
}

/** Everything that a bridge can tell of a flow, in one burst. */
static void
tell_all(struct rig *r, uint64_t flow, uint8_t first)
{
	struct l4x_event ev[5] = { { .type = first },
		{ .type = L4X_EV_CONNECTED, .sent = { .taken = 5000, .acked = 5000 } },
		{ .type = L4X_EV_SENT, .sent = { .taken = 6000, .flags = L4X_SENT_SHORT } },
		{ .type = L4X_EV_DATA, .len = 100 }, { .type = L4X_EV_EOF, .data.off = 9000 } };
	uint8_t bytes[100] = { 0 };

	ev[3].data.m[0] = l4xkit_payload(r->k, bytes, sizeof(bytes));
	for (unsigned int i = 0; i < 5; i++)
		ev[i].flow = flow;
	ev[0].error.err = first == L4X_EV_ERROR ? ECONNRESET : 0;
	l4xkit_events(r->k, ev, 5);
}

static void
events_behind_the_error_that_ends_a_flow_are_nobodys(void **state)
{
	struct rig *r = rig_create(NULL);

	rig_accept(r);
	tell_all(r, r->flow, L4X_EV_ERROR);
	rig_expect(r, PKT_RST | PKT_ACK);
	rig_expect_close(r, true);
	rig_quiet(r);
	assert_int_equal(rig_flows(r), 0);
	assert_int_equal(l4xkit_counter(r->k, L4X_DROP_FLOW_STALE), 4);
	rig_destroy(r);
}

static void
events_of_a_flow_that_is_gone_do_not_reach_the_one_in_its_place(void **state)
{
	struct rig *r = rig_create(NULL);
	uint64_t old;

	rig_accept(r);
	old = r->flow;
	rig_raw(r, PKT_RST, r->gisn + 1, 0, 0);
	rig_expect_close(r, true);
	r->pport++;
	rig_accept(r);
	assert_int_equal(flowtab_handle_index(r->flow), flowtab_handle_index(old));
	assert_true(r->flow != old);
	tell_all(r, old, L4X_EV_ERROR);
	rig_quiet(r);
	assert_int_equal(l4xkit_counter(r->k, L4X_DROP_FLOW_STALE), 5);
	/* It has lost nothing of its own. */
	rig_seg(r, PKT_ACK, 0, 100);
	rig_expect_send(r, 0, 100);
	rig_sent(r, 100);
	rig_expect_ack(r, 100);
	rig_data(r, 0, 50);
	rig_expect_data(r, 0, 50);
	rig_eof(r, 50);
	rig_expect(r, PKT_FIN | PKT_ACK);
	rig_destroy(r);
}

static void
adopts_over_ipv6(void **state)
{
	struct rig *r = rig_create6(NULL);

	rig_accept(r);
	rig_data(r, 0, 100);
	rig_expect_data(r, 0, 100);
	rig_destroy(r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sends_syn_when_the_socket_is_adopted),
		cmocka_unit_test(gives_data_only_when_the_guest_has_answered),
		cmocka_unit_test(retransmits_syn_with_the_same_isn_and_gives_up_with_a_reset),
		cmocka_unit_test(rst_of_the_guest_resets_the_peer),
		cmocka_unit_test(wrong_ack_gets_rst_and_the_syn_stays),
		cmocka_unit_test(simultaneous_open_is_reset),
		cmocka_unit_test(refuses_what_it_cannot_serve),
		cmocka_unit_test(peer_that_gives_up_early_resets_the_guest),
		cmocka_unit_test(accepts_data_on_the_syn_ack),
		cmocka_unit_test(takes_of_the_data_on_a_syn_ack_what_the_syn_had_room_for),
		cmocka_unit_test(accepts_data_and_fin_on_the_first_segment_after_the_syn_ack),
		cmocka_unit_test(syn_ack_with_fin_is_dropped_and_does_not_end_the_handshake),
		cmocka_unit_test(guest_without_window_scaling_gets_none),
		cmocka_unit_test(end_of_stream_before_the_answer_is_kept),
		cmocka_unit_test(socket_without_room_says_so_in_the_syn_and_is_polled),
		cmocka_unit_test(events_behind_the_error_that_ends_a_flow_are_nobodys),
		cmocka_unit_test(events_of_a_flow_that_is_gone_do_not_reach_the_one_in_its_place),
		cmocka_unit_test(adopts_over_ipv6),
	};

	l4xkit_eal("sim_accept");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
