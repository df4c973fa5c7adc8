/* SPDX-License-Identifier: BSD-3-Clause */
/** What was lost on the way to the guest, and windows that close. */
#include "rig.h"

#define MSS 1460
#define WND (512u << 7)

static void
goes_back_after_a_timeout_and_doubles_it(void **state)
{
	struct rig *r = rig_create(NULL);
	uint64_t at = 0;

	rig_open(r);
	rig_data(r, 0, 3000);
	rig_expect_data(r, 0, 3000);
	/* The handshake has taken no time at all: the floor of RTO. */
	for (unsigned int i = 0; i < 5; i++) {
		uint64_t began = r->k->now_us;

		l4xkit_run(r->k, (200ull << i) * RIG_MS - 10 * RIG_MS);
		rig_quiet(r);
		l4xkit_run(r->k, 20 * RIG_MS);
		assert_int_equal(rig_op(r, L4X_OP_REWIND)->op.ack.acked, 0);
		at = r->k->now_us - began;
		rig_quiet(r);
		rig_data(r, 0, 3000);
		rig_expect_data(r, 0, 3000);
	}
	assert_true(at > 3 * RIG_S);
	assert_int_equal(l4xkit_counter(r->k, L4X_COUNT_TCP_RTO), 5);
	/* Karn: the answer to something sent again times nothing; the backoff stays until one does.
	 */
	rig_ack(r, 3000, 0);
	rig_expect_credit(r, 3000, 3000 + WND);
	rig_data(r, 3000, 100);
	rig_expect_data(r, 3000, 100);
	l4xkit_run(r->k, 2 * RIG_S);
	rig_quiet(r);
	rig_ack(r, 3100, 0);
	rig_expect_credit(r, 3100, 3100 + WND);
	rig_data(r, 3100, 100);
	rig_expect_data(r, 3100, 100);
	l4xkit_run(r->k, 3 * RIG_S);
	rig_op(r, L4X_OP_REWIND);
	rig_destroy(r);
}

static void
gives_up_after_the_last_try_with_rst_both_ways(void **state)
{
	struct rig *r = rig_create(NULL);
	unsigned int n = 0;

	rig_open(r);
	rig_data(r, 0, 3000);
	while (rig_flows(r) > 0) {
		const struct l4xkit_op *o;

		l4xkit_run(r->k, RIG_S);
		while ((o = l4xkit_op(r->k)) != NULL) {
			if (o->op.type == L4X_OP_CLOSE) {
				assert_true(o->op.close.reset);
				continue;
			}
			assert_int_equal(o->op.type, L4X_OP_REWIND);
			n++;
			while (l4xkit_frame(r->k) != NULL)
				;
			rig_data(r, 0, 3000);
		}
	}
	assert_int_equal(n, 10);
	rig_expect_data(r, 0, 3000);
	assert_int_equal(rig_expect(r, PKT_RST | PKT_ACK)->tcp.seq, r->wisn + 1 + 3000);
	rig_destroy(r);
}

static void
timeout_follows_the_round_trip(void **state)
{
	struct rig *r = rig_create(NULL);
	uint64_t off = 0;

	rig_open(r);
	for (unsigned int i = 0; i < 40; i++) {
		rig_data(r, off, 100);
		rig_expect_data(r, off, 100);
		l4xkit_run(r->k, 500 * RIG_MS);
		/* The first ones come too late for a timeout that knows nothing. */
		l4xkit_discard(r->k);
		off += 100;
		rig_ack(r, off, 0);
		l4xkit_discard(r->k);
	}
	rig_data(r, off, 100);
	rig_expect_data(r, off, 100);
	l4xkit_run(r->k, 600 * RIG_MS);
	rig_quiet(r);
	l4xkit_run(r->k, 600 * RIG_MS);
	rig_op(r, L4X_OP_REWIND);
	rig_destroy(r);
}

static void
third_duplicate_ack_sends_again_once_per_window(void **state)
{
	struct rig *r = rig_create(NULL);

	rig_open(r);
	rig_data_burst(r, 0, MSS, 10);
	for (unsigned int i = 0; i < 10; i++)
		rig_expect_data(r, i * MSS, MSS);
	rig_ack(r, MSS, 0);
	rig_expect_credit(r, MSS, MSS + WND);
	rig_ack(r, MSS, 0);
	rig_ack(r, MSS, 0);
	rig_quiet(r);
	rig_ack(r, MSS, 0);
	assert_int_equal(rig_op(r, L4X_OP_REWIND)->op.ack.acked, MSS);
	assert_int_equal(l4xkit_counter(r->k, L4X_COUNT_TCP_FAST), 1);
	rig_data_burst(r, MSS, MSS, 9);
	for (unsigned int i = 1; i < 10; i++)
		rig_expect_data(r, i * MSS, MSS);
	/* Duplicates of what was outstanding then are no news (RFC 6582). */
	rig_ack(r, 2 * MSS, 0);
	l4xkit_discard(r->k);
	for (unsigned int i = 0; i < 5; i++)
		rig_ack(r, 2 * MSS, 0);
	rig_quiet(r);
	rig_ack(r, 10 * MSS, 0);
	l4xkit_discard(r->k);
	rig_data_burst(r, 10 * MSS, MSS, 5);
	rig_ack(r, 11 * MSS, 0);
	for (unsigned int i = 0; i < 3; i++)
		rig_ack(r, 11 * MSS, 0);
	assert_int_equal(l4xkit_counter(r->k, L4X_COUNT_TCP_FAST), 2);
	rig_destroy(r);
}

static void
third_duplicate_ack_counts_gigabytes_after_the_last_loss(void **state)
{
	struct rig *r = rig_create(NULL);
	uint64_t off = 0;

	rig_open(r);
	/* Sequence numbers are compared by their signed distance: more than half the circle. */
	while (off < 2500ull << 20) {
		rig_data(r, off, 60000);
		off += 60000;
		rig_ack(r, off, 0);
		l4xkit_discard(r->k);
	}
	rig_data_burst(r, off, MSS, 10);
	rig_ack(r, off + MSS, 0);
	l4xkit_discard(r->k);
	for (unsigned int i = 0; i < 3; i++)
		rig_ack(r, off + MSS, 0);
	assert_int_equal(l4xkit_counter(r->k, L4X_COUNT_TCP_FAST), 1);
	l4xkit_discard(r->k);
	rig_destroy(r);
}

static void
what_is_no_duplicate_ack_is_not_counted_as_one(void **state)
{
	struct rig *r = rig_create(NULL);

	rig_open(r);
	rig_data_burst(r, 0, MSS, 4);
	/* With data, with another window, with a sequence number before the window: a probe. */
	for (unsigned int i = 0; i < 4; i++)
		rig_seg(r, PKT_ACK, i * 10, 10);
	for (unsigned int i = 0; i < 4; i++) {
		r->gwin++;
		rig_seg(r, PKT_ACK, 40, 0);
	}
	rig_sent(r, 40);
	for (unsigned int i = 0; i < 4; i++)
		rig_seg(r, PKT_ACK, 39, 0);
	assert_int_equal(l4xkit_counter(r->k, L4X_COUNT_TCP_FAST), 0);
	/* Nothing outstanding. */
	rig_ack(r, 4 * MSS, 40);
	for (unsigned int i = 0; i < 5; i++)
		rig_ack(r, 4 * MSS, 40);
	assert_int_equal(l4xkit_counter(r->k, L4X_COUNT_TCP_FAST), 0);
	rig_destroy(r);
}

static void
acknowledgement_beyond_where_it_went_back_to_is_believed(void **state)
{
	struct rig *r = rig_create(NULL);

	rig_open(r);
	rig_data(r, 0, 10000);
	rig_expect_data(r, 0, 10000);
	l4xkit_run(r->k, 210 * RIG_MS);
	assert_int_equal(rig_op(r, L4X_OP_REWIND)->op.ack.acked, 0);
	rig_data(r, 0, 2000);
	rig_expect_data(r, 0, 2000);
	rig_ack(r, 8000, 0);
	rig_expect_credit(r, 8000, 8000 + WND);
	assert_int_equal(rig_op(r, L4X_OP_REWIND)->op.ack.acked, 8000);
	rig_data(r, 2000, 2000);
	rig_data(r, 7000, 2000);
	rig_quiet(r);
	rig_data(r, 8000, 2000);
	rig_expect_data(r, 8000, 2000);
	rig_destroy(r);
}

static void
zero_window_is_probed_and_a_probe_takes_no_byte(void **state)
{
	struct rig *r = rig_create(NULL);
	unsigned int n = 0;

	rig_open(r);
	rig_data(r, 0, 5000);
	rig_expect_data(r, 0, 5000);
	r->gwin = 0;
	rig_ack(r, 5000, 0);
	rig_expect_credit(r, 5000, 5000);
	/* For hours, as long as the guest answers. */
	for (unsigned int i = 0; i < 600; i++) {
		l4xkit_run(r->k, 12 * RIG_S);
		while (l4xkit_frame(r->k) != NULL) {
			n++;
			assert_int_equal(r->k->view.tcp.seq, r->wisn + 1 + 4999);
			assert_int_equal(r->k->view.data_len, 0);
			rig_seg(r, PKT_ACK, 0, 0);
		}
	}
	rig_quiet(r);
	assert_in_range(n, 110, 300);
	assert_int_equal(l4xkit_counter(r->k, L4X_COUNT_TCP_PROBE), n);
	r->gwin = 512;
	rig_seg(r, PKT_ACK, 0, 0);
	rig_expect_credit(r, 5000, 5000 + WND);
	rig_data(r, 5000, 100);
	rig_expect_data(r, 5000, 100);
	/* The backoff of the probes is not that of the data. */
	l4xkit_run(r->k, 250 * RIG_MS);
	rig_op(r, L4X_OP_REWIND);
	rig_destroy(r);
}

static void
zero_window_of_a_dead_guest_ends(void **state)
{
	struct rig *r = rig_create(NULL);

	rig_open(r);
	r->gwin = 0;
	rig_seg(r, PKT_ACK, 0, 0);
	l4xkit_run(r->k, 600 * RIG_S);
	assert_int_equal(rig_flows(r), 0);
	rig_destroy(r);
}

static void
shrunk_window_takes_back_what_lies_beyond(void **state)
{
	struct rig *r = rig_create(NULL);

	rig_open(r);
	rig_data(r, 0, 10000);
	rig_expect_data(r, 0, 10000);
	r->gwin = 2000 >> 7;
	rig_ack(r, 4000, 0);
	rig_expect_credit(r, 4000, 4000 + ((2000u >> 7) << 7));
	assert_int_equal(rig_op(r, L4X_OP_REWIND)->op.ack.acked, 4000 + ((2000u >> 7) << 7));
	/* What was read before the bridge knew. */
	rig_data(r, 10000, 1000);
	rig_quiet(r);
	/* It had arrived after all. */
	r->gwin = 512;
	rig_ack(r, 10000, 0);
	rig_expect_credit(r, 10000, 10000 + WND);
	assert_int_equal(rig_op(r, L4X_OP_REWIND)->op.ack.acked, 10000);
	rig_quiet(r);
	/* A guest that only rounds to its scale has taken nothing back. */
	rig_data(r, 10000, 10000);
	rig_expect_data(r, 10000, 10000);
	r->gwin = 19900 >> 7;
	rig_ack(r, 10001, 0);
	rig_op(r, L4X_OP_ACK);
	rig_quiet(r);
	rig_destroy(r);
}

static void
data_read_for_a_window_that_has_closed_is_read_again(void **state)
{
	struct rig *r = rig_create(NULL);

	rig_open(r);
	r->gwin = 0;
	rig_seg(r, PKT_ACK, 0, 0);
	rig_expect_credit(r, 0, 0);
	rig_data(r, 0, 1000);
	assert_int_equal(rig_op(r, L4X_OP_REWIND)->op.ack.acked, 0);
	rig_quiet(r);
	r->gwin = 512;
	rig_seg(r, PKT_ACK, 0, 0);
	rig_expect_credit(r, 0, WND);
	rig_data(r, 0, 1000);
	rig_expect_data(r, 0, 1000);
	rig_destroy(r);
}

static void
window_closing_on_data_under_way_stops_and_probes(void **state)
{
	struct rig *r = rig_create(NULL);

	rig_open(r);
	rig_data(r, 0, 10000);
	rig_expect_data(r, 0, 10000);
	r->gwin = 0;
	rig_ack(r, 4000, 0);
	rig_expect_credit(r, 4000, 4000);
	assert_int_equal(rig_op(r, L4X_OP_REWIND)->op.ack.acked, 4000);
	l4xkit_run(r->k, 250 * RIG_MS);
	rig_expect_ack(r, 0);
	assert_int_equal(r->view->tcp.seq, r->wisn + 1 + 3999);
	rig_quiet(r);
	assert_int_equal(l4xkit_counter(r->k, L4X_COUNT_TCP_RTO), 0);
	rig_destroy(r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(goes_back_after_a_timeout_and_doubles_it),
		cmocka_unit_test(gives_up_after_the_last_try_with_rst_both_ways),
		cmocka_unit_test(timeout_follows_the_round_trip),
		cmocka_unit_test(third_duplicate_ack_sends_again_once_per_window),
		cmocka_unit_test(third_duplicate_ack_counts_gigabytes_after_the_last_loss),
		cmocka_unit_test(what_is_no_duplicate_ack_is_not_counted_as_one),
		cmocka_unit_test(acknowledgement_beyond_where_it_went_back_to_is_believed),
		cmocka_unit_test(zero_window_is_probed_and_a_probe_takes_no_byte),
		cmocka_unit_test(zero_window_of_a_dead_guest_ends),
		cmocka_unit_test(shrunk_window_takes_back_what_lies_beyond),
		cmocka_unit_test(data_read_for_a_window_that_has_closed_is_read_again),
		cmocka_unit_test(window_closing_on_data_under_way_stops_and_probes),
	};

	l4xkit_eal("sim_resend");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
