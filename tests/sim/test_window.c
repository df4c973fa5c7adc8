/* SPDX-License-Identifier: BSD-3-Clause */
/** What the guest is told: windows, what happens when a socket takes less, polling. */
#include "rig.h"

#define MSS 1460

static void
asks_for_an_owed_acknowledgement_at_half_the_round_trip(void **state)
{
	struct rig *r = rig_create(NULL);

	rig_open(r);
	r->sent_flags = L4X_SENT_REMOTE;
	r->rtt_us = 20 * RIG_MS;
	rig_seg(r, PKT_ACK, 0, 3000);
	rig_expect_send(r, 0, 3000);
	rig_sent(r, 3000);
	l4xkit_run(r->k, 9 * RIG_MS);
	rig_quiet(r);
	l4xkit_run(r->k, 6 * RIG_MS);
	rig_op(r, L4X_OP_QUERY);
	/* However long it takes, each 20 ms. */
	r->rtt_us = 3 * RIG_S;
	rig_sent(r, 3000);
	l4xkit_run(r->k, 10 * RIG_S);
	for (unsigned int i = 0; i < 10 * 1000 / 24; i++)
		rig_op(r, L4X_OP_QUERY);
	l4xkit_discard(r->k);
	r->acked = 3000;
	rig_sent(r, 3000);
	rig_expect_ack(r, 3000);
	l4xkit_run(r->k, 10 * RIG_S);
	rig_quiet(r);
	rig_destroy(r);
}

static void
cuts_what_reaches_beyond_the_window(void **state)
{
	struct rig *r = rig_create(NULL);

	r->space = 1500;
	rig_open(r);
	rig_push(r, PKT_ACK, 0, 1000);
	rig_push(r, PKT_ACK | PKT_FIN, 1000, 1000);
	rig_push(r, PKT_ACK, 2000, 1000);
	rig_flush(r);
	rig_expect_send(r, 0, 1500);
	rig_expect_ack(r, 0);
	l4xkit_discard(r->k);
	r->space = 100000;
	rig_sent(r, 1500);
	rig_expect_ack(r, 1500);
	rig_seg(r, PKT_ACK, 1500, 500);
	rig_expect_send(r, 1500, 500);
	rig_destroy(r);
}

static void
short_send_closes_the_window_and_asks_again_when_there_is_room(void **state)
{
	struct rig *r = rig_create(NULL);
	uint16_t win;

	rig_open(r);
	rig_seg(r, PKT_ACK, 0, 8000);
	rig_expect_send(r, 0, 8000);
	r->space = 0;
	r->sent_flags = L4X_SENT_SHORT;
	rig_sent(r, 3000);
	rig_expect_ack(r, 3000);
	assert_int_equal(rig_window(r), 0);
	assert_int_equal(l4xkit_counter(r->k, L4X_COUNT_TCP_SHORT), 1);
	/* Segments still on their way come after a gap that is of our making. */
	rig_seg(r, PKT_ACK, 8000, 1000);
	rig_quiet(r);
	l4xkit_run(r->k, 24 * RIG_MS);
	rig_op(r, L4X_OP_QUERY);
	l4xkit_discard(r->k);
	r->sent_flags = 0;
	r->space = 65536;
	rig_sent(r, 3000);
	win = rig_expect_ack(r, 3000)->tcp.win;
	assert_true(rig_window(r) >= 65000);
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(rig_expect_ack(r, 3000)->tcp.win, win);
	rig_quiet(r);
	rig_seg(r, PKT_ACK, 3000, 1460);
	rig_expect_send(r, 3000, 1460);
	rig_destroy(r);
}

/*
 * While its own window is shut, a guest tells so on segments that the socket then does not take.
 * The numbers that it speaks with afterwards lie before theirs (Linux: tcp_acceptable_seq()).
 */
static void
window_update_after_a_short_send_counts(void **state)
{
	struct rig *r = rig_create(NULL);

	rig_open(r);
	rig_data(r, 0, 5000);
	l4xkit_discard(r->k);
	r->gwin = 0;
	rig_ack(r, 5000, 0);
	for (unsigned int i = 0; i < 6; i++)
		rig_seg(r, PKT_ACK, i * MSS, MSS);
	l4xkit_discard(r->k);
	r->space = 0;
	r->sent_flags = L4X_SENT_SHORT;
	rig_sent(r, 2 * MSS);
	rig_expect_ack(r, 2 * MSS);
	assert_int_equal(rig_window(r), 0);
	r->gwin = 512;
	rig_seg(r, PKT_ACK, 2 * MSS, 0);
	rig_expect_credit(r, 5000, 5000 + (512u << 7));
	rig_destroy(r);
}

static void
late_short_neither_loses_nor_repeats_bytes(void **state)
{
	struct rig *r = rig_create(NULL);

	rig_open(r);
	rig_seg(r, PKT_ACK, 0, 1000);
	rig_seg(r, PKT_ACK, 1000, 1000);
	rig_expect_send(r, 0, 1000);
	rig_expect_send(r, 1000, 1000);
	r->sent_flags = L4X_SENT_SHORT;
	rig_sent(r, 500);
	rig_expect_ack(r, 500);
	assert_int_equal(rig_window(r), 0);
	rig_quiet(r);
	r->sent_flags = 0;
	rig_sent(r, 500);
	l4xkit_discard(r->k);
	rig_seg(r, PKT_ACK, 500, 1500);
	rig_expect_send(r, 500, 1500);
	/* About the second SEND, which the socket saw after the first one was short. */
	r->sent_flags = L4X_SENT_SHORT;
	rig_sent(r, 500);
	l4xkit_discard(r->k);
	r->sent_flags = 0;
	rig_sent(r, 2000);
	rig_expect_ack(r, 2000);
	rig_seg(r, PKT_ACK, 2000, 100);
	rig_expect_send(r, 2000, 100);
	rig_destroy(r);
}

static void
fin_behind_bytes_that_were_dropped_is_forgotten(void **state)
{
	struct rig *r = rig_create(NULL);

	rig_open(r);
	rig_seg(r, PKT_ACK | PKT_FIN, 0, 1000);
	rig_expect_send(r, 0, 1000);
	r->sent_flags = L4X_SENT_SHORT;
	rig_sent(r, 400);
	rig_expect_ack(r, 400);
	r->sent_flags = 0;
	rig_sent(r, 400);
	l4xkit_discard(r->k);
	rig_seg(r, PKT_ACK | PKT_FIN, 400, 600);
	rig_expect_send(r, 400, 600);
	rig_sent(r, 1000);
	assert_int_equal(rig_op(r, L4X_OP_SHUT)->op.send.off, 1000);
	rig_expect_ack(r, 1001);
	rig_destroy(r);
}

static void
tells_a_window_under_one_mss_as_zero_while_bytes_are_queued(void **state)
{
	struct rig *r = rig_create(NULL);

	r->space = 4000;
	rig_open(r);
	r->sent_flags = L4X_SENT_REMOTE;
	r->space = 1000;
	rig_seg(r, PKT_ACK, 0, 3000);
	rig_expect_send(r, 0, 3000);
	r->acked = 2999;
	rig_sent(r, 3000);
	rig_expect_ack(r, 2999);
	assert_int_equal(rig_window(r), 0);
	/* With nothing queued there will be no more room than that: it is told. */
	r->acked = 3000;
	rig_sent(r, 3000);
	rig_expect_ack(r, 3000);
	assert_in_range(rig_window(r), 512, 1024);
	rig_destroy(r);
}

static void
never_takes_back_a_window_while_the_socket_keeps_up(void **state)
{
	struct rig *r = rig_create(NULL);
	uint64_t edge;

	rig_open(r);
	rig_seg(r, PKT_ACK, 0, 1000);
	rig_sent(r, 1000);
	rig_expect_send(r, 0, 1000);
	rig_expect_ack(r, 1000);
	edge = 1000 + rig_window(r);
	r->space = 5000;
	rig_seg(r, PKT_ACK, 1000, 1000);
	rig_sent(r, 2000);
	rig_expect_send(r, 1000, 1000);
	rig_expect_ack(r, 2000);
	assert_in_range(2000 + rig_window(r), edge - 255, edge);
	rig_destroy(r);
}

static void
owes_an_update_after_a_zero_window(void **state)
{
	struct rig *r = rig_create(NULL);
	unsigned int n = 0;

	r->space = 3000;
	rig_open(r);
	r->space = 0;
	rig_seg(r, PKT_ACK, 0, 3000);
	rig_expect_send(r, 0, 3000);
	rig_sent(r, 3000);
	rig_expect_ack(r, 3000);
	assert_int_equal(rig_window(r), 0);
	/* For as long as it takes, but not at full rate forever. */
	l4xkit_run(r->k, 200 * RIG_S);
	for (; r->k->op_head != r->k->op_tail; n++)
		rig_op(r, L4X_OP_QUERY);
	assert_in_range(n, 500, 2500);
	while (l4xkit_frame(r->k) != NULL) {
		/* Keepalives. */
	}
	r->space = 100000;
	rig_sent(r, 3000);
	rig_expect_ack(r, 3000);
	assert_true(rig_window(r) > 90000);
	l4xkit_run(r->k, 1 * RIG_S);
	rig_quiet(r);
	rig_destroy(r);
}

static void
answers_probes_of_the_guest(void **state)
{
	struct rig *r = rig_create(NULL);

	r->space = 2000;
	rig_open(r);
	r->space = 0;
	rig_seg(r, PKT_ACK, 0, 2000);
	rig_expect_send(r, 0, 2000);
	rig_sent(r, 2000);
	rig_expect_ack(r, 2000);
	/* Window probes: one byte beyond the window, or nothing before it. */
	rig_seg(r, PKT_ACK, 2000, 1);
	rig_expect_ack(r, 2000);
	assert_int_equal(rig_window(r), 0);
	rig_seg(r, PKT_ACK, 1999, 0);
	rig_expect_ack(r, 2000);
	/* Keepalive with a byte of garbage. */
	rig_seg(r, PKT_ACK, 1999, 1);
	rig_expect_ack(r, 2000);
	rig_quiet(r);
	rig_destroy(r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(asks_for_an_owed_acknowledgement_at_half_the_round_trip),
		cmocka_unit_test(cuts_what_reaches_beyond_the_window),
		cmocka_unit_test(short_send_closes_the_window_and_asks_again_when_there_is_room),
		cmocka_unit_test(window_update_after_a_short_send_counts),
		cmocka_unit_test(late_short_neither_loses_nor_repeats_bytes),
		cmocka_unit_test(fin_behind_bytes_that_were_dropped_is_forgotten),
		cmocka_unit_test(tells_a_window_under_one_mss_as_zero_while_bytes_are_queued),
		cmocka_unit_test(never_takes_back_a_window_while_the_socket_keeps_up),
		cmocka_unit_test(owes_an_update_after_a_zero_window),
		cmocka_unit_test(answers_probes_of_the_guest),
	};

	l4xkit_eal("sim_window");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
