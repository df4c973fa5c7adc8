/* SPDX-License-Identifier: BSD-3-Clause */
/** From the socket to the guest: data, credit, retransmission, windows. */
#include "rig.h"

#define MSS 1460
#define WND (512u << 7)

static void
data_becomes_one_tso_frame(void **state)
{
	struct rig *r = rig_create(NULL);

	rig_open(r);
	rig_data(r, 0, 20000);
	rig_expect_data(r, 0, 20000);
	assert_int_equal(r->view->gso_size, MSS);
	rig_quiet(r);
	rig_data(r, 20000, MSS);
	rig_expect_data(r, 20000, MSS);
	assert_int_equal(r->view->gso_size, 0);
	rig_destroy(r);
}

static void
pushes_the_last_frame_of_what_was_read(void **state)
{
	struct rig *r = rig_create(NULL);

	rig_open(r);
	rig_data_burst(r, 0, MSS, 4);
	for (unsigned int i = 0; i < 4; i++) {
		rig_expect_data(r, i * MSS, MSS);
		assert_int_equal(r->view->tcp.flags & PKT_PSH, i == 3 ? PKT_PSH : 0);
	}
	rig_quiet(r);
	rig_destroy(r);
}

static void
frame_size_fits_the_guest(void **state)
{
	struct rig *r = rig_create(NULL);

	rig_syn(r);
	r->flow = l4xkit_expect_op(r->k, L4X_OP_OPEN)->op.flow;
	rig_connected(r);
	r->wisn = rig_expect(r, PKT_SYN | PKT_ACK)->tcp.seq;
	rig_seg(r, PKT_ACK, 0, 0);
	assert_int_equal(rig_op(r, L4X_OP_ACK)->op.ack.frame_max, (65535 - 40) / MSS * MSS);
	/* The guest comes back without TSO: smaller frames are asked for, large ones not sent. */
	l4x_port_link(r->k->l, L4XKIT_PIF, true, L4X_OFFLOAD_CSUM);
	r->k->limits.tso4 = false;
	rig_data(r, 0, 20000);
	assert_int_equal(rig_op(r, L4X_OP_ACK)->op.ack.frame_max, MSS);
	assert_int_equal(rig_op(r, L4X_OP_REWIND)->op.ack.acked, 0);
	rig_quiet(r);
	rig_data(r, 0, MSS);
	rig_expect_data(r, 0, MSS);
	rig_destroy(r);
}

static void
acknowledgement_becomes_one_operation_with_credit(void **state)
{
	struct rig *r = rig_create(NULL);

	rig_open(r);
	rig_data(r, 0, 10000);
	rig_expect_data(r, 0, 10000);
	r->ack = 3000;
	rig_push(r, PKT_ACK, 0, 0);
	r->ack = 6000;
	rig_push(r, PKT_ACK, 0, 0);
	r->ack = 10000;
	r->gwin = 256;
	rig_push(r, PKT_ACK, 0, 0);
	rig_flush(r);
	rig_expect_credit(r, 10000, 10000 + (256u << 7));
	rig_quiet(r);
	/* Nothing has changed: nothing is said. */
	rig_seg(r, PKT_ACK, 0, 0);
	rig_quiet(r);
	rig_destroy(r);
}

static void
old_segments_do_not_tell_the_window(void **state)
{
	struct rig *r = rig_create(NULL);

	rig_open(r);
	rig_seg(r, PKT_ACK, 0, 100);
	rig_expect_send(r, 0, 100);
	rig_seg(r, PKT_ACK, 100, 0);
	r->gwin = 1;
	rig_seg(r, PKT_ACK, 0, 100);
	l4xkit_frame(r->k);
	rig_quiet(r);
	rig_destroy(r);
}

static void
data_of_another_offset_is_dropped_and_asked_for_once(void **state)
{
	struct rig *r = rig_create(NULL);

	rig_open(r);
	rig_data(r, 0, 1000);
	rig_expect_data(r, 0, 1000);
	rig_data(r, 0, 1000);
	rig_data(r, 500, 500);
	rig_quiet(r);
	rig_data_burst(r, 5000, 1000, 3);
	assert_int_equal(rig_op(r, L4X_OP_REWIND)->op.ack.acked, 1000);
	rig_quiet(r);
	rig_data(r, 9000, 1000);
	rig_quiet(r);
	assert_int_equal(l4xkit_counter(r->k, L4X_DROP_EV_OFFSET), 6);
	rig_data(r, 1000, 1000);
	rig_expect_data(r, 1000, 1000);
	rig_data(r, 5000, 1000);
	assert_int_equal(rig_op(r, L4X_OP_REWIND)->op.ack.acked, 2000);
	rig_destroy(r);
}

static void
fin_goes_out_after_all_data_and_is_retransmitted(void **state)
{
	struct rig *r = rig_create(NULL);

	rig_open(r);
	rig_data(r, 0, 1000);
	rig_expect_data(r, 0, 1000);
	rig_eof(r, 1500);
	rig_quiet(r);
	rig_data(r, 1000, 500);
	rig_expect_data(r, 1000, 500);
	assert_int_equal(rig_expect(r, PKT_FIN | PKT_ACK)->tcp.seq, r->wisn + 1 + 1500);
	rig_ack(r, 1500, 0);
	rig_expect_credit(r, 1500, 1500 + WND);
	l4xkit_run(r->k, 210 * RIG_MS);
	assert_int_equal(rig_expect(r, PKT_FIN | PKT_ACK)->tcp.seq, r->wisn + 1 + 1500);
	rig_quiet(r);
	r->ack_fin = true;
	rig_ack(r, 1500, 0);
	l4xkit_run(r->k, 10 * RIG_S);
	rig_quiet(r);
	rig_destroy(r);
}

static void
lost_data_before_a_fin_is_read_again_and_the_fin_follows(void **state)
{
	struct rig *r = rig_create(NULL);

	rig_open(r);
	rig_data(r, 0, 1000);
	rig_eof(r, 1000);
	rig_expect_data(r, 0, 1000);
	rig_expect(r, PKT_FIN | PKT_ACK);
	l4xkit_run(r->k, 210 * RIG_MS);
	assert_int_equal(rig_op(r, L4X_OP_REWIND)->op.ack.acked, 0);
	rig_quiet(r);
	rig_data(r, 0, 1000);
	rig_expect_data(r, 0, 1000);
	rig_expect(r, PKT_FIN | PKT_ACK);
	rig_quiet(r);
	rig_destroy(r);
}

static void
fin_waits_for_a_window(void **state)
{
	struct rig *r = rig_create(NULL);

	rig_open(r);
	rig_data(r, 0, 1000);
	rig_expect_data(r, 0, 1000);
	r->gwin = 0;
	rig_ack(r, 1000, 0);
	rig_eof(r, 1000);
	rig_expect_credit(r, 1000, 1000);
	rig_quiet(r);
	r->gwin = 1;
	rig_ack(r, 1000, 0);
	rig_expect(r, PKT_FIN | PKT_ACK);
	rig_destroy(r);
}

static void
data_past_the_end_of_the_stream_is_dropped(void **state)
{
	struct rig *r = rig_create(NULL);

	rig_open(r);
	rig_eof(r, 100);
	rig_data(r, 0, 200);
	l4xkit_discard(r->k);
	rig_data(r, 0, 100);
	rig_expect_data(r, 0, 100);
	rig_expect(r, PKT_FIN | PKT_ACK);
	rig_destroy(r);
}

static void
stream_that_ends_before_what_was_sent_is_reset(void **state)
{
	struct rig *r = rig_create(NULL);

	rig_open(r);
	rig_data(r, 0, 200);
	rig_expect_data(r, 0, 200);
	rig_eof(r, 100);
	rig_expect(r, PKT_RST | PKT_ACK);
	rig_expect_close(r, true);
	rig_destroy(r);
}

static void
our_numbers_wrap(void **state)
{
	struct rig *r = rig_create(NULL);
	uint64_t off = 0;

	rig_open(r);
	/* Our ISN cannot be chosen: go round the whole circle, in steps of the window. */
	r->gwin = 65535;
	r->gscale = 14;
	rig_raw(r, PKT_RST, r->gisn + 1, 0, 0);
	l4xkit_discard(r->k);
	rig_open(r);
	while (off < 5ull << 30) {
		rig_data(r, off, 64240);
		rig_expect_data(r, off, 64240);
		off += 64240;
		rig_ack(r, off, 0);
		rig_expect_credit(r, off, off + (65535ull << 14));
		/* A jump: the guest takes a lot, of which the test shows the ends only. */
		for (unsigned int i = 0; i < 200; i++) {
			struct l4x_event ev[L4X_BURST];

			for (unsigned int j = 0; j < L4X_BURST; j++) {
				ev[j] = (struct l4x_event){
					.type = L4X_EV_DATA, .flow = r->flow, .len = 1460
				};
				ev[j].data.off = off;
				ev[j].data.m[0] = rte_pktmbuf_alloc(r->k->pool);
				rte_pktmbuf_append(ev[j].data.m[0], 1460);
				off += 1460;
			}
			l4x_events(r->k->l, ev, L4X_BURST, r->k->now_us);
			for (unsigned int j = 0; j < l4x_out(r->k->l)->n_frames; j++)
				rte_pktmbuf_free(l4x_out(r->k->l)->frames[j].m);
			l4x_out_reset(r->k->l);
		}
		rig_ack(r, off, 0);
		l4xkit_discard(r->k);
	}
	rig_destroy(r);
}

static void
no_room_for_headers_is_survived(void **state)
{
	struct rig *r = rig_create(NULL);
	struct l4x_event ev = { .type = L4X_EV_DATA, .len = 100 };

	rig_open(r);
	ev.flow = r->flow;
	ev.data.m[0] = rte_pktmbuf_alloc(r->k->pool);
	ev.data.m[0]->data_off = 40;
	rte_pktmbuf_append(ev.data.m[0], 100);
	l4xkit_event(r->k, &ev);
	rig_op(r, L4X_OP_REWIND);
	rig_quiet(r);
	rig_destroy(r);
}

static void
frame_for_a_guest_that_is_away_is_sent_again_later(void **state)
{
	struct rig *r = rig_create(NULL);

	rig_open(r);
	l4x_port_link(r->k->l, L4XKIT_PIF, false, 0);
	rig_data(r, 0, 1000);
	l4xkit_expect_op(r->k, L4X_OP_ACK);
	/* No REWIND at once: the bridge would read, and we drop, in a circle. */
	l4xkit_run(r->k, 100 * RIG_MS);
	rig_quiet(r);
	l4x_port_link(r->k->l, L4XKIT_PIF, true, L4X_OFFLOAD_CSUM | L4X_OFFLOAD_TSO4);
	l4xkit_run(r->k, 150 * RIG_MS);
	l4xkit_expect_op(r->k, L4X_OP_ACK);
	assert_int_equal(rig_op(r, L4X_OP_REWIND)->op.ack.acked, 0);
	rig_data(r, 0, 1000);
	rig_expect_data(r, 0, 1000);
	rig_destroy(r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(data_becomes_one_tso_frame),
		cmocka_unit_test(pushes_the_last_frame_of_what_was_read),
		cmocka_unit_test(frame_size_fits_the_guest),
		cmocka_unit_test(acknowledgement_becomes_one_operation_with_credit),
		cmocka_unit_test(old_segments_do_not_tell_the_window),
		cmocka_unit_test(data_of_another_offset_is_dropped_and_asked_for_once),
		cmocka_unit_test(fin_goes_out_after_all_data_and_is_retransmitted),
		cmocka_unit_test(lost_data_before_a_fin_is_read_again_and_the_fin_follows),
		cmocka_unit_test(fin_waits_for_a_window),
		cmocka_unit_test(data_past_the_end_of_the_stream_is_dropped),
		cmocka_unit_test(stream_that_ends_before_what_was_sent_is_reset),
		cmocka_unit_test(our_numbers_wrap),
		cmocka_unit_test(no_room_for_headers_is_survived),
		cmocka_unit_test(frame_for_a_guest_that_is_away_is_sent_again_later),
	};

	l4xkit_eal("sim_out");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
