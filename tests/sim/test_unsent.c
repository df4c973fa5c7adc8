/* SPDX-License-Identifier: BSD-3-Clause */
/** Frames for which the guest has no buffer: nothing counts as sent, all is sent soon after. */
#include "rig.h"

#define MSS 1460
#define WND (512u << 7)

/** Frames that the guest still has buffers for. */
static unsigned int room;

static bool
is_full(void *arg, const struct l4x_frame *f)
{
	if (room == 0)
		return true;
	room--;
	return false;
}

/** An open connection to a guest that has buffers for n more frames. */
static struct rig *
open_with_room(unsigned int n)
{
	struct rig *r = rig_create(NULL);

	rig_open(r);
	room = n;
	r->k->full = is_full;
	return r;
}

static uint64_t
count(const struct rig *r, enum l4x_counter c)
{
	return l4xkit_counter(r->k, c);
}

static void
never_timed_out(const struct rig *r)
{
	assert_int_equal(count(r, L4X_COUNT_TCP_RTO), 0);
	assert_int_equal(count(r, L4X_COUNT_TCP_RETRANSMIT), 0);
}

static void
data_is_read_again_after_a_few_ms(void **state)
{
	struct rig *r = open_with_room(0);

	rig_data(r, 0, 3000);
	rig_quiet(r);
	assert_int_equal(count(r, L4X_COUNT_TCP_UNSENT), 1);
	l4xkit_run(r->k, 3 * RIG_MS);
	rig_quiet(r);
	l4xkit_run(r->k, 10 * RIG_MS);
	assert_int_equal(rig_op(r, L4X_OP_REWIND)->op.ack.acked, 0);
	rig_quiet(r);
	room = 1;
	rig_data(r, 0, 3000);
	rig_expect_data(r, 0, 3000);
	never_timed_out(r);
	/* From then on it can be lost like any other. */
	l4xkit_run(r->k, 250 * RIG_MS);
	assert_int_equal(rig_op(r, L4X_OP_REWIND)->op.ack.acked, 0);
	assert_int_equal(count(r, L4X_COUNT_TCP_RTO), 1);
	rig_destroy(r);
}

static void
what_found_a_buffer_stays_sent(void **state)
{
	struct rig *r = open_with_room(2);

	rig_data_burst(r, 0, MSS, 5);
	rig_expect_data(r, 0, MSS);
	rig_expect_data(r, MSS, MSS);
	rig_quiet(r);
	assert_int_equal(count(r, L4X_COUNT_TCP_UNSENT), 3);
	l4xkit_run(r->k, 10 * RIG_MS);
	assert_int_equal(rig_op(r, L4X_OP_REWIND)->op.ack.acked, 2 * MSS);
	rig_quiet(r);
	never_timed_out(r);
	rig_destroy(r);
}

static void
what_was_read_after_it_is_no_reason_to_hurry(void **state)
{
	struct rig *r = open_with_room(0);

	rig_data(r, 0, MSS);
	for (uint64_t off = MSS; off < 20 * MSS; off += MSS)
		rig_data(r, off, MSS);
	rig_quiet(r);
	l4xkit_run(r->k, 10 * RIG_MS);
	assert_int_equal(rig_op(r, L4X_OP_REWIND)->op.ack.acked, 0);
	rig_quiet(r);
	rig_destroy(r);
}

static void
acknowledgement_of_what_was_sent_goes_on_at_once(void **state)
{
	struct rig *r = open_with_room(1);

	rig_data_burst(r, 0, MSS, 2);
	rig_expect_data(r, 0, MSS);
	rig_ack(r, MSS, 0);
	rig_expect_credit(r, MSS, MSS + WND);
	assert_int_equal(rig_op(r, L4X_OP_REWIND)->op.ack.acked, MSS);
	rig_quiet(r);
	/* And not once more later. */
	room = 1;
	rig_data(r, MSS, MSS);
	rig_expect_data(r, MSS, MSS);
	l4xkit_run(r->k, 20 * RIG_MS);
	rig_quiet(r);
	never_timed_out(r);
	rig_destroy(r);
}

static void
lone_ack_is_owed_again(void **state)
{
	struct rig *r = open_with_room(0);

	rig_seg(r, PKT_ACK, 0, 100);
	rig_expect_send(r, 0, 100);
	rig_sent(r, 100);
	rig_quiet(r);
	assert_int_equal(count(r, L4X_COUNT_TCP_UNSENT), 1);
	room = 1;
	l4xkit_run(r->k, 10 * RIG_MS);
	rig_expect_ack(r, 100);
	l4xkit_run(r->k, 100 * RIG_MS);
	rig_quiet(r);
	rig_destroy(r);
}

static void
fin_behind_data_without_buffer_waits_for_it(void **state)
{
	struct rig *r = open_with_room(0);

	rig_data(r, 0, MSS);
	rig_eof(r, MSS);
	l4xkit_run(r->k, 10 * RIG_MS);
	assert_int_equal(rig_op(r, L4X_OP_REWIND)->op.ack.acked, 0);
	rig_quiet(r);
	room = 2;
	rig_data(r, 0, MSS);
	rig_expect_data(r, 0, MSS);
	assert_int_equal(rig_expect(r, PKT_FIN | PKT_ACK)->tcp.seq, r->wisn + 1 + MSS);
	never_timed_out(r);
	rig_destroy(r);
}

static void
fin_is_left_to_the_retransmission_timer(void **state)
{
	struct rig *r = open_with_room(0);

	rig_eof(r, 0);
	rig_quiet(r);
	room = UINT32_MAX;
	l4xkit_run(r->k, 20 * RIG_MS);
	/* Its acknowledgement is not. */
	rig_expect_ack(r, 0);
	l4xkit_run(r->k, 250 * RIG_MS);
	rig_expect(r, PKT_FIN | PKT_ACK);
	assert_int_equal(count(r, L4X_COUNT_TCP_RTO), 1);
	rig_destroy(r);
}

static void
syn_is_left_to_the_retransmission_timer(void **state)
{
	struct rig *r = rig_create(NULL);

	room = 0;
	r->k->full = is_full;
	rig_syn(r);
	r->flow = l4xkit_expect_op(r->k, L4X_OP_OPEN)->op.flow;
	rig_connected(r);
	rig_quiet(r);
	room = 1;
	l4xkit_run(r->k, 900 * RIG_MS);
	rig_quiet(r);
	l4xkit_run(r->k, 200 * RIG_MS);
	rig_expect(r, PKT_SYN | PKT_ACK);
	assert_int_equal(count(r, L4X_COUNT_TCP_UNSENT), 0);
	rig_destroy(r);
}

/** Let time pass and read again whatever is asked for. @return how often */
static unsigned int
run_in_vain(struct rig *r, uint64_t us)
{
	const uint64_t end = r->k->now_us + us;
	const struct l4xkit_op *o;
	unsigned int n = 0;

	while (r->k->now_us < end && rig_flows(r) > 0) {
		l4xkit_run(r->k, RIG_MS);
		while ((o = l4xkit_op(r->k)) != NULL) {
			if (o->op.type != L4X_OP_REWIND)
				continue;
			n++;
			rig_data(r, o->op.ack.acked, MSS);
		}
	}
	return n;
}

static void
tries_less_and_less_often(void **state)
{
	struct rig *r = open_with_room(0);
	unsigned int n;

	rig_data(r, 0, MSS);
	n = run_in_vain(r, 10 * RIG_S);
	assert_in_range(n, 30, 45);
	never_timed_out(r);
	/* A guest that is heard is tried as at first. */
	room = 0;
	rig_ack(r, 0, 0);
	n = run_in_vain(r, 100 * RIG_MS);
	assert_in_range(n, 2, 4);
	rig_destroy(r);
}

static void
guest_that_never_has_a_buffer_is_given_up(void **state)
{
	struct rig *r = open_with_room(0);
	const struct l4x_timeouts *t = &r->k->params.timeouts;
	const uint64_t limit_ms = t->tcp_keepalive_ms ? t->tcp_keepalive_ms : 30000;

	rig_data(r, 0, MSS);
	run_in_vain(r, 12 * limit_ms * RIG_MS);
	assert_int_equal(rig_flows(r), 0);
	assert_int_equal(count(r, L4X_COUNT_FLOWS_EXPIRED), 1);
	assert_int_equal(count(r, L4X_COUNT_TCP_RTO), 0);
	rig_destroy(r);
}

static void
frames_of_no_flow_or_of_one_that_is_gone_are_lost(void **state)
{
	struct rig *r = open_with_room(0);

	/* A RST, for a segment of no flow. */
	r->gport++;
	rig_seg(r, PKT_ACK, 0, 0);
	r->gport--;
	/* And one that ends the flow. */
	rig_error(r, 104);
	assert_int_equal(rig_flows(r), 0);
	assert_int_equal(r->k->n_unsent, 2);
	assert_int_equal(count(r, L4X_COUNT_TCP_UNSENT), 0);
	rig_destroy(r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(data_is_read_again_after_a_few_ms),
		cmocka_unit_test(what_found_a_buffer_stays_sent),
		cmocka_unit_test(what_was_read_after_it_is_no_reason_to_hurry),
		cmocka_unit_test(acknowledgement_of_what_was_sent_goes_on_at_once),
		cmocka_unit_test(lone_ack_is_owed_again),
		cmocka_unit_test(fin_behind_data_without_buffer_waits_for_it),
		cmocka_unit_test(fin_is_left_to_the_retransmission_timer),
		cmocka_unit_test(syn_is_left_to_the_retransmission_timer),
		cmocka_unit_test(tries_less_and_less_often),
		cmocka_unit_test(guest_that_never_has_a_buffer_is_given_up),
		cmocka_unit_test(frames_of_no_flow_or_of_one_that_is_gone_are_lost),
	};

	l4xkit_eal("tcp_unsent");
	return cmocka_run_group_tests_name("tcp_unsent", tests, NULL, NULL);
}
