/* SPDX-License-Identifier: BSD-3-Clause */
/** From the guest to the socket: sequence, acknowledgement, window. */
#include "rig.h"

#define MSS 1460

static void
hands_a_burst_on_as_one_send(void **state)
{
	struct rig *r = rig_create(NULL);

	rig_open(r);
	for (unsigned int i = 0; i < 10; i++)
		rig_push(r, PKT_ACK, i * MSS, MSS);
	rig_flush(r);
	rig_expect_send(r, 0, 10 * MSS);
	rig_quiet(r);
	rig_destroy(r);
}

static void
chain_of_too_many_pieces_for_one_send_becomes_several(void **state)
{
	struct rig *r = rig_create(NULL);
	uint64_t off = 0;

	rig_open(r);
	r->gseg = 20;
	for (unsigned int i = 0; i < L4X_BURST; i++)
		rig_push(r, PKT_ACK, i * MSS, MSS);
	rig_flush(r);
	for (unsigned int i = 0; i < 3; i++) {
		const struct l4xkit_op *o = rig_op(r, L4X_OP_SEND);

		assert_int_equal(o->op.send.off, off);
		for (uint32_t j = 0; j < o->len; j++)
			assert_int_equal(o->data[j], rig_byte(off + j));
		off += o->len;
	}
	assert_int_equal(off, L4X_BURST * MSS);
	rig_quiet(r);
	rig_destroy(r);
}

static void
acknowledges_what_the_socket_has_taken(void **state)
{
	struct rig *r = rig_create(NULL);

	rig_open(r);
	rig_seg(r, PKT_ACK, 0, 1000);
	rig_expect_send(r, 0, 1000);
	rig_quiet(r);
	rig_sent(r, 600);
	rig_expect_ack(r, 600);
	rig_sent(r, 1000);
	rig_expect_ack(r, 1000);
	rig_sent(r, 1000);
	rig_quiet(r);
	rig_destroy(r);
}

static void
acknowledges_for_a_remote_peer_what_that_has_acknowledged(void **state)
{
	struct rig *r = rig_create(NULL);

	rig_open(r);
	r->sent_flags = L4X_SENT_REMOTE;
	rig_seg(r, PKT_ACK, 0, 3000);
	rig_expect_send(r, 0, 3000);
	rig_sent(r, 3000);
	rig_quiet(r);
	r->acked = 1000;
	rig_sent(r, 3000);
	rig_expect_ack(r, 1000);
	r->acked = 3000;
	rig_sent(r, 3000);
	rig_expect_ack(r, 3000);
	rig_quiet(r);
	rig_destroy(r);
}

static void
acknowledgement_never_moves_back(void **state)
{
	struct rig *r = rig_create(NULL);

	rig_open(r);
	rig_seg(r, PKT_ACK, 0, 2000);
	rig_sent(r, 2000);
	rig_expect_send(r, 0, 2000);
	rig_expect_ack(r, 2000);
	/* The peer turns out to be remote, and has acknowledged less. */
	r->sent_flags = L4X_SENT_REMOTE;
	r->acked = 500;
	rig_sent(r, 2000);
	rig_quiet(r);
	rig_seg(r, PKT_ACK, 0, 100);
	rig_expect_ack(r, 2000);
	rig_destroy(r);
}

static void
one_ack_per_burst_of_events(void **state)
{
	struct rig *r = rig_create(NULL);
	struct l4x_event ev[5];

	rig_open(r);
	rig_seg(r, PKT_ACK, 0, 5000);
	rig_expect_send(r, 0, 5000);
	for (unsigned int i = 0; i < 5; i++) {
		ev[i] = (struct l4x_event){ .type = L4X_EV_SENT, .flow = r->flow };
		ev[i].sent.taken = 1000 * (i + 1);
		ev[i].sent.acked = ev[i].sent.taken;
		ev[i].sent.space = 1 << 20;
	}
	l4xkit_events(r->k, ev, 5);
	rig_expect_ack(r, 5000);
	rig_quiet(r);
	rig_destroy(r);
}

static void
acknowledgement_waits_for_the_answer_to_carry_it(void **state)
{
	struct rig *r = rig_create(NULL);
	uint64_t in = 0, out = 0;

	rig_open(r);
	for (unsigned int i = 0; i < 3; i++, in += 100, out += 200) {
		rig_seg(r, PKT_ACK, (int64_t)in, 100);
		rig_expect_send(r, in, 100);
		if (i > 0)
			rig_expect_credit(r, out, out + (512u << 7));
		rig_sent(r, in + 100);
		/* The first time nobody knows that there will be one. */
		if (i == 0)
			rig_expect_ack(r, 100);
		rig_quiet(r);
		rig_data(r, out, 200);
		assert_int_equal(rig_expect_data(r, out, 200)->tcp.ack, r->gisn + 1 + in + 100);
		rig_quiet(r);
		r->ack = out + 200;
	}
	/* No answer: not for long, and not again. */
	rig_seg(r, PKT_ACK, (int64_t)in, 100);
	rig_sent(r, in + 100);
	l4xkit_op(r->k);
	l4xkit_op(r->k);
	rig_quiet(r);
	l4xkit_run(r->k, 13 * RIG_MS);
	rig_expect_ack(r, in + 100);
	rig_quiet(r);
	rig_seg(r, PKT_ACK, (int64_t)in + 100, 100);
	rig_sent(r, in + 200);
	rig_expect_ack(r, in + 200);
	rig_destroy(r);
}

static void
full_segments_are_acknowledged_without_waiting(void **state)
{
	struct rig *r = rig_create(NULL);

	rig_open(r);
	rig_data(r, 0, 100);
	rig_expect_data(r, 0, 100);
	rig_seg(r, PKT_ACK, 0, MSS);
	rig_sent(r, MSS);
	rig_expect_ack(r, MSS);
	rig_destroy(r);
}

static void
acknowledges_duplicates_again(void **state)
{
	struct rig *r = rig_create(NULL);

	rig_open(r);
	rig_seg(r, PKT_ACK, 0, 1000);
	rig_sent(r, 1000);
	rig_expect_send(r, 0, 1000);
	rig_expect_ack(r, 1000);
	rig_seg(r, PKT_ACK, 0, 1000);
	rig_expect_ack(r, 1000);
	rig_seg(r, PKT_ACK, 200, 300);
	rig_expect_ack(r, 1000);
	rig_quiet(r);
	assert_int_equal(l4xkit_counter(r->k, L4X_DROP_TCP_DUP), 2);
	rig_destroy(r);
}

static void
takes_only_the_unseen_part_of_an_overlap(void **state)
{
	struct rig *r = rig_create(NULL);

	rig_open(r);
	rig_seg(r, PKT_ACK, 0, 1000);
	rig_expect_send(r, 0, 1000);
	rig_seg(r, PKT_ACK, 400, 1000);
	rig_expect_send(r, 1000, 400);
	/* The part to be cut spans the first segment of the frame's chain. */
	rig_seg(r, PKT_ACK, 100, 1400);
	rig_expect_send(r, 1400, 100);
	rig_quiet(r);
	rig_destroy(r);
}

static void
answers_gaps_with_duplicate_acks(void **state)
{
	struct rig *r = rig_create(NULL);

	rig_open(r);
	rig_seg(r, PKT_ACK, 1000, 1000);
	rig_expect_ack(r, 0);
	rig_quiet(r);
	/* A burst behind a gap: as many as the guest needs to send again, and no more. */
	for (unsigned int i = 2; i < 12; i++)
		rig_push(r, PKT_ACK, i * 1000, 1000);
	rig_flush(r);
	for (unsigned int i = 0; i < 3; i++)
		rig_expect_ack(r, 0);
	rig_quiet(r);
	assert_int_equal(l4xkit_counter(r->k, L4X_DROP_TCP_GAP), 11);
	rig_seg(r, PKT_ACK, 0, 1000);
	rig_expect_send(r, 0, 1000);
	rig_destroy(r);
}

static void
segment_far_outside_is_answered_and_dropped(void **state)
{
	struct rig *r = rig_create(NULL);

	rig_open(r);
	rig_seg(r, PKT_ACK, 0x60000000, 1000);
	rig_expect_ack(r, 0);
	rig_seg(r, PKT_ACK, -0x50000000ll, 1000);
	rig_expect_ack(r, 0);
	rig_quiet(r);
	assert_int_equal(l4xkit_counter(r->k, L4X_DROP_TCP_WINDOW), 2);
	rig_destroy(r);
}

static void
ack_of_data_never_sent_is_answered_and_consumes_nothing(void **state)
{
	struct rig *r = rig_create(NULL);

	rig_open(r);
	rig_data(r, 0, 100);
	rig_expect_data(r, 0, 100);
	r->ack = 101;
	rig_seg(r, PKT_ACK, 0, 50);
	rig_expect_ack(r, 0);
	rig_quiet(r);
	assert_int_equal(l4xkit_counter(r->k, L4X_DROP_TCP_ACK), 1);
	r->ack = 100;
	rig_seg(r, PKT_ACK, 0, 50);
	rig_expect_send(r, 0, 50);
	rig_expect_credit(r, 100, 100 + (512 << 7));
	rig_destroy(r);
}

static void
rst_counts_only_with_the_exact_number(void **state)
{
	struct rig *r = rig_create(NULL);

	rig_open(r);
	rig_seg(r, PKT_ACK, 0, 1000);
	rig_expect_send(r, 0, 1000);
	rig_sent(r, 1000);
	rig_expect_ack(r, 1000);
	/* Outside the window: nothing. */
	rig_raw(r, PKT_RST, r->gisn + 1000, 0, 0);
	rig_raw(r, PKT_RST, r->gisn + 1001 + (3 << 20), 0, 0);
	rig_quiet(r);
	/* Inside: a challenge ACK (RFC 5961). */
	rig_raw(r, PKT_RST, r->gisn + 1002, 0, 0);
	rig_expect_ack(r, 1000);
	rig_quiet(r);
	assert_int_equal(l4xkit_counter(r->k, L4X_DROP_TCP_WINDOW), 3);
	rig_raw(r, PKT_RST, r->gisn + 1001, 0, 0);
	rig_expect_close(r, true);
	rig_quiet(r);
	assert_int_equal(rig_flows(r), 0);
	rig_destroy(r);
}

static void
rst_behind_data_on_its_way_counts(void **state)
{
	struct rig *r = rig_create(NULL);

	rig_open(r);
	rig_push(r, PKT_ACK, 0, 1000);
	rig_push_raw(r, PKT_RST, r->gisn + 1001, 0, 0);
	rig_flush(r);
	rig_expect_send(r, 0, 1000);
	rig_expect_close(r, true);
	rig_destroy(r);
}

static void
challenge_acks_are_rate_limited(void **state)
{
	struct rig *r = rig_create(NULL);
	unsigned int n = 0;

	rig_open(r);
	for (unsigned int i = 0; i < 1000; i++) {
		rig_raw(r, PKT_SYN, r->gisn + 5000, 0, 0);
		n += l4xkit_frame(r->k) != NULL;
	}
	assert_in_range(n, 1, 100);
	assert_int_equal(rig_flows(r), 1);
	rig_destroy(r);
}

static void
syn_on_an_open_connection_gets_a_challenge_ack(void **state)
{
	struct rig *r = rig_create(NULL);

	rig_open(r);
	rig_raw(r, PKT_SYN, r->gisn + 77777, 0, 0);
	rig_expect_ack(r, 0);
	/* A guest that was rebooted answers that with a RST, and may begin anew. */
	rig_raw(r, PKT_RST, r->gisn + 1, 0, 0);
	rig_expect_close(r, true);
	rig_raw(r, PKT_SYN, r->gisn + 77777, 0, 0);
	l4xkit_expect_op(r->k, L4X_OP_OPEN);
	rig_destroy(r);
}

static void
rst_then_syn_within_one_burst_begins_anew(void **state)
{
	struct rig *r = rig_create(NULL);
	uint64_t old;

	rig_open(r);
	old = r->flow;
	rig_push(r, PKT_ACK, 0, 100);
	rig_push_raw(r, PKT_RST, r->gisn + 101, 0, 0);
	rig_push_raw(r, PKT_SYN, r->gisn + 5000, 0, 0);
	rig_flush(r);
	rig_expect_send(r, 0, 100);
	rig_expect_close(r, true);
	r->flow = l4xkit_expect_op(r->k, L4X_OP_OPEN)->op.flow;
	assert_true(r->flow != old);
	rig_quiet(r);
	/* What was on its way from the old socket finds nobody. */
	struct l4x_event ev = { .type = L4X_EV_EOF, .flow = old };
	l4xkit_event(r->k, &ev);
	rig_quiet(r);
	assert_int_equal(l4xkit_counter(r->k, L4X_DROP_FLOW_STALE), 1);
	rig_destroy(r);
}

static void
sequence_numbers_wrap(void **state)
{
	struct rig *r = rig_create(NULL);
	uint64_t off = 0;

	r->gisn = 0xffffff00;
	rig_open(r);
	for (unsigned int i = 0; i < 8; i++) {
		rig_seg(r, PKT_ACK, (int64_t)off, 100);
		rig_expect_send(r, off, 100);
		off += 100;
		rig_sent(r, off);
		rig_expect_ack(r, off);
		/* Before and after the wrap, duplicates are duplicates and gaps are gaps. */
		rig_seg(r, PKT_ACK, (int64_t)off - 50, 40);
		rig_expect_ack(r, off);
		rig_seg(r, PKT_ACK, (int64_t)off + 50, 40);
		rig_expect_ack(r, off);
		rig_quiet(r);
	}
	rig_destroy(r);
}

static void
fin_reaches_the_socket_when_all_before_it_is_taken(void **state)
{
	struct rig *r = rig_create(NULL);

	rig_open(r);
	rig_push(r, PKT_ACK, 0, 1000);
	rig_push(r, PKT_ACK | PKT_FIN, 1000, 500);
	rig_flush(r);
	rig_expect_send(r, 0, 1500);
	rig_quiet(r);
	rig_sent(r, 1000);
	rig_expect_ack(r, 1000);
	rig_quiet(r);
	rig_sent(r, 1500);
	assert_int_equal(rig_op(r, L4X_OP_SHUT)->op.send.off, 1500);
	rig_expect_ack(r, 1501);
	/* Sent again, it is acknowledged again; data behind it is nonsense. */
	rig_seg(r, PKT_ACK | PKT_FIN, 1500, 0);
	rig_expect_ack(r, 1501);
	rig_seg(r, PKT_ACK, 1501, 100);
	rig_expect_ack(r, 1501);
	rig_quiet(r);
	rig_destroy(r);
}

static void
fin_for_a_remote_peer_waits_for_its_acknowledgement(void **state)
{
	struct rig *r = rig_create(NULL);

	rig_open(r);
	r->sent_flags = L4X_SENT_REMOTE;
	rig_seg(r, PKT_ACK | PKT_FIN, 0, 500);
	rig_expect_send(r, 0, 500);
	rig_sent(r, 500);
	rig_op(r, L4X_OP_SHUT);
	rig_quiet(r);
	r->acked = 500;
	rig_sent(r, 500);
	rig_expect_ack(r, 501);
	rig_destroy(r);
}

static void
fin_without_data_is_acknowledged_at_once(void **state)
{
	struct rig *r = rig_create(NULL);

	rig_open(r);
	rig_seg(r, PKT_ACK | PKT_FIN, 0, 0);
	rig_op(r, L4X_OP_SHUT);
	rig_expect_ack(r, 1);
	rig_quiet(r);
	rig_destroy(r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hands_a_burst_on_as_one_send),
		cmocka_unit_test(chain_of_too_many_pieces_for_one_send_becomes_several),
		cmocka_unit_test(acknowledges_what_the_socket_has_taken),
		cmocka_unit_test(acknowledges_for_a_remote_peer_what_that_has_acknowledged),
		cmocka_unit_test(acknowledgement_never_moves_back),
		cmocka_unit_test(one_ack_per_burst_of_events),
		cmocka_unit_test(acknowledgement_waits_for_the_answer_to_carry_it),
		cmocka_unit_test(full_segments_are_acknowledged_without_waiting),
		cmocka_unit_test(acknowledges_duplicates_again),
		cmocka_unit_test(takes_only_the_unseen_part_of_an_overlap),
		cmocka_unit_test(answers_gaps_with_duplicate_acks),
		cmocka_unit_test(segment_far_outside_is_answered_and_dropped),
		cmocka_unit_test(ack_of_data_never_sent_is_answered_and_consumes_nothing),
		cmocka_unit_test(rst_counts_only_with_the_exact_number),
		cmocka_unit_test(rst_behind_data_on_its_way_counts),
		cmocka_unit_test(challenge_acks_are_rate_limited),
		cmocka_unit_test(syn_on_an_open_connection_gets_a_challenge_ack),
		cmocka_unit_test(rst_then_syn_within_one_burst_begins_anew),
		cmocka_unit_test(sequence_numbers_wrap),
		cmocka_unit_test(fin_reaches_the_socket_when_all_before_it_is_taken),
		cmocka_unit_test(fin_for_a_remote_peer_waits_for_its_acknowledgement),
		cmocka_unit_test(fin_without_data_is_acknowledged_at_once),
	};

	l4xkit_eal("sim_in");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
