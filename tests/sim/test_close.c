/* SPDX-License-Identifier: BSD-3-Clause */
/** Ends: half-closes in every order, TIME-WAIT, resets, limits, keepalive. */
#include "rig.h"

#include <errno.h>

#define WND (512u << 7)

/** Bytes both ways, acknowledged both ways: streams stand at 1000 from the guest, 2000 to it. */
static struct rig *
used(void)
{
	struct rig *r = rig_create(NULL);

	rig_open(r);
	rig_seg(r, PKT_ACK, 0, 1000);
	rig_expect_send(r, 0, 1000);
	rig_sent(r, 1000);
	rig_expect_ack(r, 1000);
	rig_data(r, 0, 2000);
	rig_expect_data(r, 0, 2000);
	rig_ack(r, 2000, 1000);
	rig_expect_credit(r, 2000, 2000 + WND);
	return r;
}

static void
guest_fin(struct rig *r)
{
	rig_seg(r, PKT_ACK | PKT_FIN, 1000, 0);
	rig_op(r, L4X_OP_SHUT);
	rig_expect_ack(r, 1001);
}

static void
host_fin(struct rig *r)
{
	rig_eof(r, 2000);
	assert_int_equal(rig_expect(r, PKT_ACK | PKT_FIN)->tcp.seq, r->wisn + 1 + 2000);
}

static void
guest_closes_first(void **state)
{
	struct rig *r = used();

	guest_fin(r);
	/* Data still flows the other way. */
	rig_data(r, 2000, 500);
	rig_expect_data(r, 2000, 500);
	rig_ack(r, 2500, 1001);
	rig_expect_credit(r, 2500, 2500 + WND);
	rig_eof(r, 2500);
	assert_int_equal(rig_expect(r, PKT_ACK | PKT_FIN)->tcp.seq, r->wisn + 1 + 2500);
	assert_int_equal(rig_flows(r), 1);
	r->ack_fin = true;
	rig_ack(r, 2500, 1001);
	/* The guest knows that its FIN has come: nothing is left to do. */
	rig_expect_close(r, false);
	rig_quiet(r);
	assert_int_equal(rig_flows(r), 0);
	rig_destroy(r);
}

static void
host_closes_first(void **state)
{
	struct rig *r = used();

	host_fin(r);
	r->ack_fin = true;
	rig_ack(r, 2000, 1000);
	rig_quiet(r);
	/* Data still flows the other way. */
	rig_seg(r, PKT_ACK, 1000, 700);
	rig_expect_send(r, 1000, 700);
	rig_sent(r, 1700);
	assert_int_equal(rig_expect_ack(r, 1700)->tcp.seq, r->wisn + 1 + 2001);
	rig_seg(r, PKT_ACK | PKT_FIN, 1700, 0);
	assert_int_equal(rig_op(r, L4X_OP_SHUT)->op.send.off, 1700);
	rig_expect_close(r, false);
	rig_expect_ack(r, 1701);
	/* That ACK may be lost: its FIN again is answered, for a while. */
	assert_int_equal(rig_flows(r), 1);
	rig_seg(r, PKT_ACK | PKT_FIN, 1700, 0);
	rig_expect_ack(r, 1701);
	assert_int_equal(r->view->tcp.seq, r->wisn + 1 + 2001);
	rig_quiet(r);
	l4xkit_run(r->k, 3900 * RIG_MS);
	assert_int_equal(rig_flows(r), 1);
	l4xkit_run(r->k, 200 * RIG_MS);
	assert_int_equal(rig_flows(r), 0);
	rig_quiet(r);
	rig_destroy(r);
}

static void
both_close_at_once(void **state)
{
	struct rig *r = used();

	host_fin(r);
	rig_seg(r, PKT_ACK | PKT_FIN, 1000, 0);
	rig_op(r, L4X_OP_SHUT);
	rig_expect_ack(r, 1001);
	assert_int_equal(rig_flows(r), 1);
	r->ack_fin = true;
	rig_ack(r, 2000, 1001);
	rig_expect_close(r, false);
	/* The guest may not have seen that ACK. */
	assert_int_equal(rig_flows(r), 1);
	rig_seg(r, PKT_ACK | PKT_FIN, 1000, 0);
	rig_expect_ack(r, 1001);
	l4xkit_run(r->k, 5 * RIG_S);
	assert_int_equal(rig_flows(r), 0);
	rig_destroy(r);
}

static void
one_segment_that_acknowledges_and_closes_ends_it(void **state)
{
	struct rig *r = used();

	host_fin(r);
	r->ack_fin = true;
	rig_seg(r, PKT_ACK | PKT_FIN, 1000, 100);
	rig_expect_send(r, 1000, 100);
	rig_quiet(r);
	rig_sent(r, 1100);
	assert_int_equal(rig_op(r, L4X_OP_SHUT)->op.send.off, 1100);
	rig_expect_close(r, false);
	rig_expect_ack(r, 1101);
	rig_destroy(r);
}

static void
consumes_what_was_acknowledged_before_it_closes(void **state)
{
	struct rig *r = used();

	guest_fin(r);
	rig_data(r, 2000, 500);
	rig_eof(r, 2500);
	rig_expect_data(r, 2000, 500);
	rig_expect(r, PKT_ACK | PKT_FIN);
	r->ack_fin = true;
	rig_ack(r, 2500, 1001);
	/* Unread data would turn close() into a reset. */
	rig_expect_credit(r, 2500, 2500 + WND);
	rig_expect_close(r, false);
	rig_destroy(r);
}

/** Time passes, and the guest answers what asks whether it lives. */
static void
quiet_but_alive(struct rig *r, uint64_t us)
{
	for (uint64_t end = r->k->now_us + us; r->k->now_us < end;) {
		l4xkit_run(r->k, RTE_MIN(end - r->k->now_us, 10 * RIG_S));
		while (l4xkit_frame(r->k) != NULL)
			rig_seg(r, PKT_ACK, 1000, 0);
	}
	l4xkit_discard(r->k);
}

static void
host_may_close_after_a_silence_longer_than_a_half_closed_connection_lasts(void **state)
{
	struct rig *r = used();

	quiet_but_alive(r, 1000 * RIG_S);
	host_fin(r);
	r->ack_fin = true;
	rig_ack(r, 2000, 1000);
	rig_quiet(r);
	quiet_but_alive(r, 200 * RIG_S);
	rig_seg(r, PKT_ACK, 1000, 700);
	rig_expect_send(r, 1000, 700);
	assert_int_equal(rig_flows(r), 1);
	rig_destroy(r);
}

static void
lost_fin_is_sent_again_by_either_side(void **state)
{
	struct rig *r = used();

	guest_fin(r);
	rig_seg(r, PKT_ACK | PKT_FIN, 1000, 0);
	rig_expect_ack(r, 1001);
	rig_eof(r, 2000);
	rig_expect(r, PKT_ACK | PKT_FIN);
	l4xkit_run(r->k, 210 * RIG_MS);
	rig_expect(r, PKT_ACK | PKT_FIN);
	l4xkit_run(r->k, 410 * RIG_MS);
	rig_expect(r, PKT_ACK | PKT_FIN);
	r->ack_fin = true;
	rig_ack(r, 2000, 1001);
	rig_expect_close(r, false);
	assert_int_equal(rig_flows(r), 0);
	rig_destroy(r);
}

static void
fin_that_is_never_acknowledged_ends_in_reset(void **state)
{
	struct rig *r = used();

	guest_fin(r);
	host_fin(r);
	l4xkit_run(r->k, 260 * RIG_S);
	assert_int_equal(rig_flows(r), 0);
	while (l4xkit_frame(r->k) != NULL)
		if (r->k->view.tcp.flags != (PKT_ACK | PKT_FIN))
			assert_int_equal(r->k->view.tcp.flags, PKT_RST | PKT_ACK);
	rig_expect_close(r, true);
	rig_destroy(r);
}

static void
time_wait(struct rig *r)
{
	host_fin(r);
	r->ack_fin = true;
	rig_ack(r, 2000, 1000);
	rig_seg(r, PKT_ACK | PKT_FIN, 1000, 0);
	rig_op(r, L4X_OP_SHUT);
	rig_expect_close(r, false);
	rig_expect_ack(r, 1001);
	rig_quiet(r);
}

static void
syn_in_time_wait_begins_anew_if_it_is_a_later_one(void **state)
{
	struct rig *r = used();
	uint32_t old = r->wisn;

	time_wait(r);
	/* An old one does not. */
	rig_raw(r, PKT_SYN, r->gisn, 0, 0);
	rig_expect_ack(r, 1001);
	rig_quiet(r);
	r->gisn += 5000;
	r->ack = 0;
	r->ack_fin = false;
	rig_open(r);
	assert_true((int32_t)(r->wisn - old) >= 0);
	assert_int_equal(rig_flows(r), 1);
	rig_destroy(r);
}

static void
fin_then_syn_within_one_burst_begins_anew(void **state)
{
	struct rig *r = used();
	uint64_t old = r->flow;

	host_fin(r);
	r->ack_fin = true;
	rig_ack(r, 2000, 1000);
	rig_push(r, PKT_ACK | PKT_FIN, 1000, 0);
	rig_push_raw(r, PKT_SYN, r->gisn + 100000, 0, 0);
	rig_flush(r);
	/* A guest whose FIN was not acknowledged yet cannot mean that: it is asked, and may reset.
	 */
	rig_op(r, L4X_OP_SHUT);
	rig_expect_close(r, false);
	rig_expect_ack(r, 1001);
	rig_quiet(r);
	rig_raw(r, PKT_SYN, r->gisn + 100000, 0, 0);
	r->flow = l4xkit_expect_op(r->k, L4X_OP_OPEN)->op.flow;
	assert_true(r->flow != old);
	rig_quiet(r);
	assert_int_equal(rig_flows(r), 1);
	rig_destroy(r);
}

static void
accepted_connection_may_reuse_a_port_in_time_wait(void **state)
{
	struct rig *r = used();

	time_wait(r);
	rig_accepted(r);
	l4xkit_expect_op(r->k, L4X_OP_ADOPT);
	rig_quiet(r);
	assert_int_equal(rig_flows(r), 1);
	rig_destroy(r);
}

static void
syn_on_a_flow_that_waits_for_its_last_ack_begins_anew(void **state)
{
	struct rig *r = used();

	guest_fin(r);
	host_fin(r);
	rig_raw(r, PKT_SYN, r->gisn + 100000, 0, 0);
	rig_expect_close(r, false);
	r->flow = l4xkit_expect_op(r->k, L4X_OP_OPEN)->op.flow;
	assert_int_equal(rig_flows(r), 1);
	rig_destroy(r);
}

static void
time_wait_ends_by_an_exact_rst_only(void **state)
{
	struct rig *r = used();

	time_wait(r);
	rig_raw(r, PKT_RST, r->gisn + 1 + 900, 0, 0);
	rig_quiet(r);
	assert_int_equal(rig_flows(r), 1);
	rig_raw(r, PKT_RST, r->gisn + 1 + 1001, 0, 0);
	rig_quiet(r);
	assert_int_equal(rig_flows(r), 0);
	rig_destroy(r);
}

static void
events_after_the_end_are_nobodys(void **state)
{
	struct rig *r = used();

	time_wait(r);
	rig_data(r, 2000, 100);
	rig_sent(r, 1000);
	rig_eof(r, 2000);
	rig_error(r, EPIPE);
	rig_connected(r);
	rig_quiet(r);
	l4xkit_run(r->k, 2 * RIG_S);
	assert_int_equal(rig_flows(r), 0);
	rig_data(r, 2000, 100);
	rig_error(r, EPIPE);
	rig_quiet(r);
	assert_int_equal(l4xkit_counter(r->k, L4X_DROP_FLOW_STALE), 2);
	rig_destroy(r);
}

static void
socket_error_becomes_rst(void **state)
{
	struct rig *r = used();

	rig_error(r, ECONNRESET);
	rig_expect(r, PKT_RST | PKT_ACK);
	assert_int_equal(r->view->tcp.seq, r->wisn + 1 + 2000);
	assert_int_equal(r->view->tcp.ack, r->gisn + 1 + 1000);
	rig_expect_close(r, true);
	rig_quiet(r);
	assert_int_equal(rig_flows(r), 0);
	rig_destroy(r);
}

static void
keepalive_probes_a_silent_guest_and_gives_up_on_a_dead_one(void **state)
{
	struct rig *r = used();
	unsigned int n = 0;

	l4xkit_run(r->k, 29 * RIG_S);
	rig_quiet(r);
	l4xkit_run(r->k, 2 * RIG_S);
	rig_expect_ack(r, 1000);
	assert_int_equal(r->view->tcp.seq, r->wisn + 1 + 1999);
	rig_quiet(r);
	/* Any sign of life will do. */
	rig_ack(r, 2000, 1000);
	l4xkit_run(r->k, 29 * RIG_S);
	rig_quiet(r);
	l4xkit_run(r->k, 260 * RIG_S);
	while (l4xkit_frame(r->k) != NULL)
		n++;
	assert_int_equal(n, 9);
	rig_quiet(r);
	l4xkit_run(r->k, 32 * RIG_S);
	rig_expect(r, PKT_RST | PKT_ACK);
	rig_expect_close(r, true);
	assert_int_equal(rig_flows(r), 0);
	rig_destroy(r);
}

/** Answers whatever comes, for so long. */
static void
answer(struct rig *r, uint64_t us, uint64_t goff)
{
	for (uint64_t end = r->k->now_us + us; r->k->now_us < end;) {
		l4xkit_run(r->k, RTE_MIN(end - r->k->now_us, 10 * RIG_S));
		while (l4xkit_frame(r->k) != NULL)
			if (r->k->view.tcp.flags == PKT_ACK)
				rig_seg(r, PKT_ACK, (int64_t)goff, 0);
			else
				return;
	}
}

static void
silence_has_a_limit_though_the_guest_lives(void **state)
{
	struct rig *r = used();

	answer(r, 7190 * RIG_S, 1000);
	assert_int_equal(rig_flows(r), 1);
	answer(r, 40 * RIG_S, 1000);
	assert_int_equal(rig_flows(r), 0);
	rig_expect_close(r, true);
	rig_destroy(r);
}

static void
half_closed_and_silent_has_a_limit(void **state)
{
	for (unsigned int host = 0; host < 2; host++) {
		struct rig *r = used();

		if (host) {
			host_fin(r);
			r->ack_fin = true;
			rig_ack(r, 2000, 1000);
		} else {
			guest_fin(r);
		}
		answer(r, 235 * RIG_S, host ? 1000 : 1001);
		assert_int_equal(rig_flows(r), 1);
		answer(r, 40 * RIG_S, host ? 1000 : 1001);
		assert_int_equal(rig_flows(r), 0);
		rig_expect_close(r, true);
		rig_destroy(r);
	}
}

static void
shutdown_resets_both_ends_whatever_the_state(void **state)
{
	struct rig *r = used();

	while (l4x_shutdown(r->k->l, r->k->now_us) > 0)
		l4xkit_collect(r->k);
	l4xkit_collect(r->k);
	rig_expect(r, PKT_RST | PKT_ACK);
	rig_expect_close(r, true);
	rig_destroy(r);

	r = rig_create(NULL);
	rig_syn(r);
	r->flow = l4xkit_expect_op(r->k, L4X_OP_OPEN)->op.flow;
	l4x_shutdown(r->k->l, r->k->now_us);
	l4xkit_collect(r->k);
	rig_expect(r, PKT_RST | PKT_ACK);
	rig_expect_close(r, true);
	rig_destroy(r);

	r = used();
	time_wait(r);
	l4x_shutdown(r->k->l, r->k->now_us);
	l4xkit_collect(r->k);
	rig_quiet(r);
	rig_destroy(r);
}

static void
check_state(struct rig *r, const char *name)
{
	struct l4x_flow_info info;
	uint32_t cursor = 0;

	assert_int_equal(l4x_flow_dump(r->k->l, &cursor, &info, 1, r->k->now_us), 1);
	assert_string_equal(info.state, name);
}

static void
states_have_the_names_people_know(void **state)
{
	struct rig *r = rig_create(NULL);

	rig_syn(r);
	check_state(r, "opening");
	r->flow = l4xkit_expect_op(r->k, L4X_OP_OPEN)->op.flow;
	rig_connected(r);
	check_state(r, "syn-rcvd");
	rig_destroy(r);

	r = used();
	check_state(r, "established");
	guest_fin(r);
	check_state(r, "close-wait");
	host_fin(r);
	check_state(r, "last-ack");
	rig_destroy(r);

	r = used();
	host_fin(r);
	check_state(r, "fin-wait-1");
	r->ack_fin = true;
	rig_ack(r, 2000, 1000);
	check_state(r, "fin-wait-2");
	rig_seg(r, PKT_ACK | PKT_FIN, 1000, 0);
	check_state(r, "time-wait");
	rig_destroy(r);

	r = rig_create(NULL);
	rig_accepted(r);
	check_state(r, "adopting");
	r->flow = l4xkit_expect_op(r->k, L4X_OP_ADOPT)->op.flow;
	rig_connected(r);
	check_state(r, "syn-sent");
	rig_destroy(r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(guest_closes_first),
		cmocka_unit_test(host_closes_first),
		cmocka_unit_test(both_close_at_once),
		cmocka_unit_test(one_segment_that_acknowledges_and_closes_ends_it),
		cmocka_unit_test(consumes_what_was_acknowledged_before_it_closes),
		cmocka_unit_test(
			host_may_close_after_a_silence_longer_than_a_half_closed_connection_lasts),
		cmocka_unit_test(lost_fin_is_sent_again_by_either_side),
		cmocka_unit_test(fin_that_is_never_acknowledged_ends_in_reset),
		cmocka_unit_test(syn_in_time_wait_begins_anew_if_it_is_a_later_one),
		cmocka_unit_test(fin_then_syn_within_one_burst_begins_anew),
		cmocka_unit_test(accepted_connection_may_reuse_a_port_in_time_wait),
		cmocka_unit_test(syn_on_a_flow_that_waits_for_its_last_ack_begins_anew),
		cmocka_unit_test(time_wait_ends_by_an_exact_rst_only),
		cmocka_unit_test(events_after_the_end_are_nobodys),
		cmocka_unit_test(socket_error_becomes_rst),
		cmocka_unit_test(keepalive_probes_a_silent_guest_and_gives_up_on_a_dead_one),
		cmocka_unit_test(silence_has_a_limit_though_the_guest_lives),
		cmocka_unit_test(half_closed_and_silent_has_a_limit),
		cmocka_unit_test(shutdown_resets_both_ends_whatever_the_state),
		cmocka_unit_test(states_have_the_names_people_know),
	};

	l4xkit_eal("sim_close");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
