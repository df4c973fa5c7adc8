/* SPDX-License-Identifier: BSD-3-Clause */
/* DATA of several frames: what an event tells together is a segment each to the guest. */
#include "rig.h"

#define WND (512u << 7)

/** A DATA from stream offset off on, of frames of these lengths. */
static struct l4x_event
data_of(struct rig *r, uint64_t off, const uint32_t *lens, unsigned int n)
{
	struct l4x_event ev = { .type = L4X_EV_DATA, .flow = r->flow };
	uint8_t bytes[4096];

	ev.data.off = off;
	for (unsigned int i = 0; i < n; i++) {
		assert_true(lens[i] <= sizeof(bytes));
		for (uint32_t j = 0; j < lens[i]; j++)
			bytes[j] = rig_byte(off + ev.len + j);
		ev.data.m[i] = l4xkit_payload(r->k, bytes, lens[i]);
		ev.len += lens[i];
	}
	return ev;
}

/** The frames of one event arrive as they were told. */
static void
arrive(struct rig *r, const uint32_t *lens, unsigned int n)
{
	const struct l4x_event ev = data_of(r, 0, lens, n);
	uint64_t off = 0;

	l4xkit_event(r->k, &ev);
	for (unsigned int i = 0; i < n; i++) {
		const struct pkt_view *v = rig_expect_data(r, off, lens[i]);

		assert_int_equal(v->gso_size, lens[i] > 1460 ? 1460 : 0);
		assert_int_equal((v->tcp.flags & PKT_PSH) != 0, i == n - 1);
		assert_int_equal(v->tcp.ack, r->gisn + 1);
		off += lens[i];
	}
	rig_quiet(r);
	rig_ack(r, off, 0);
	rig_expect_credit(r, off, off + WND);
	rig_destroy(r);
}

static void
frames_of_one_event_follow_one_another(void **state)
{
	static const uint32_t lens[] = { 1460, 1460, 1460, 1460, 700 };

	for (unsigned int n = 1; n <= L4X_DATA_FRAMES; n++) {
		struct rig *r = rig_create(NULL);

		rig_open(r);
		arrive(r, &lens[L4X_DATA_FRAMES - n], n);
	}
}

static void
frames_of_one_event_follow_one_another_over_ipv6(void **state)
{
	static const uint32_t lens[] = { 1440, 1440, 1440, 1440, 3 };
	struct rig *r = rig_create6(NULL);

	r->gmss = 1440;
	rig_open(r);
	arrive(r, lens, L4X_DATA_FRAMES);
}

static void
frames_of_one_event_may_differ_in_size(void **state)
{
	static const uint32_t lens[] = { 1, 1460, 4000, 17, 2000 };
	struct rig *r = rig_create(NULL);

	rig_open(r);
	arrive(r, lens, L4X_DATA_FRAMES);
}

static void
connection_from_outside_takes_several_frames(void **state)
{
	static const uint32_t lens[] = { 1460, 1460, 40 };
	struct rig *r = rig_create(NULL);

	rig_accept(r);
	arrive(r, lens, 3);
}

static void
frames_past_a_window_that_has_shrunk_are_read_again(void **state)
{
	static const uint32_t lens[] = { 1000, 1000, 1000, 1000 };
	struct rig *r = rig_create(NULL);
	struct l4x_event ev;

	rig_open(r);
	ev = data_of(r, 0, lens, 4);
	r->gwin = 2000 >> 7;
	rig_ack(r, 0, 0);
	rig_expect_credit(r, 0, 2000 >> 7 << 7);
	l4xkit_event(r->k, &ev);
	/* A window is told in steps of 128 bytes. */
	rig_expect_data(r, 0, 1000);
	rig_expect_data(r, 1000, 1000);
	assert_int_equal(rig_op(r, L4X_OP_REWIND)->op.ack.acked, 2000);
	rig_quiet(r);
	assert_int_equal(l4xkit_counter(r->k, L4X_DROP_EV_OFFSET), 2);
	rig_destroy(r);
}

static void
frames_past_the_end_of_the_stream_are_dropped(void **state)
{
	static const uint32_t lens[] = { 100, 100, 100 };
	struct rig *r = rig_create(NULL);
	struct l4x_event ev;

	rig_open(r);
	rig_eof(r, 200);
	ev = data_of(r, 0, lens, 3);
	l4xkit_event(r->k, &ev);
	rig_expect_data(r, 0, 100);
	rig_expect_data(r, 100, 100);
	rig_expect(r, PKT_FIN | PKT_ACK);
	rig_destroy(r);
}

static void
frame_that_is_larger_than_a_segment_is_dropped_alone(void **state)
{
	static const uint32_t lens[] = { 1460, 1461, 1460 };
	struct rig *r = rig_create(NULL);
	struct l4x_event ev;

	l4x_port_link(r->k->l, L4XKIT_PIF, true, L4X_OFFLOAD_CSUM);
	rig_open(r);
	ev = data_of(r, 0, lens, 3);
	l4xkit_event(r->k, &ev);
	rig_expect_data(r, 0, 1460);
	assert_int_equal(rig_op(r, L4X_OP_REWIND)->op.ack.acked, 1460);
	rig_quiet(r);
	rig_destroy(r);
}

static void
frame_without_room_for_headers_takes_those_behind_it_with_it(void **state)
{
	static const uint32_t lens[] = { 500, 500, 500 };
	struct rig *r = rig_create(NULL);
	struct l4x_event ev;

	rig_open(r);
	ev = data_of(r, 0, lens, 3);
	ev.data.m[1]->data_off = 40;
	l4xkit_event(r->k, &ev);
	rig_expect_data(r, 0, 500);
	assert_int_equal(rig_op(r, L4X_OP_REWIND)->op.ack.acked, 500);
	rig_quiet(r);
	assert_int_equal(l4xkit_counter(r->k, L4X_DROP_NO_MBUF), 2);
	ev = data_of(r, 500, lens, 2);
	l4xkit_event(r->k, &ev);
	rig_expect_data(r, 500, 500);
	rig_expect_data(r, 1000, 500);
	rig_quiet(r);
	rig_destroy(r);
}

static void
frames_that_do_not_add_up_are_dropped_together(void **state)
{
	static const uint32_t lens[] = { 500, 500 };
	struct rig *r = rig_create(NULL);
	struct l4x_event ev;

	rig_open(r);
	ev = data_of(r, 0, lens, 2);
	ev.len++;
	l4xkit_event(r->k, &ev);
	assert_int_equal(rig_op(r, L4X_OP_REWIND)->op.ack.acked, 0);
	rig_quiet(r);
	rig_destroy(r);
}

static void
frames_read_before_a_rewind_are_no_news(void **state)
{
	static const uint32_t lens[] = { 1000, 1000 };
	struct rig *r = rig_create(NULL);
	struct l4x_event late, again;

	rig_open(r);
	rig_data(r, 0, 1000);
	rig_expect_data(r, 0, 1000);
	l4xkit_run(r->k, 1100 * RIG_MS);
	assert_int_equal(rig_op(r, L4X_OP_REWIND)->op.ack.acked, 0);
	late = data_of(r, 1000, lens, 2);
	l4xkit_event(r->k, &late);
	rig_quiet(r);
	again = data_of(r, 0, lens, 2);
	l4xkit_event(r->k, &again);
	rig_expect_data(r, 0, 1000);
	rig_expect_data(r, 1000, 1000);
	rig_quiet(r);
	rig_destroy(r);
}

static void
frames_for_a_flow_that_is_gone_are_freed(void **state)
{
	static const uint32_t lens[] = { 1, 2, 3, 4, 5 };
	struct rig *r = rig_create(NULL);
	struct l4x_event ev;

	rig_open(r);
	ev = data_of(r, 0, lens, 5);
	rig_raw(r, PKT_RST, r->gisn + 1, 0, 0);
	rig_expect_close(r, true);
	l4xkit_event(r->k, &ev);
	rig_quiet(r);
	assert_int_equal(l4xkit_counter(r->k, L4X_DROP_FLOW_STALE), 1);
	rig_destroy(r);
}

static void
frames_that_the_guest_had_no_buffers_for_are_taken_back(void **state)
{
	static const uint32_t lens[] = { 1000, 1000, 1000, 1000 };
	struct rig *r = rig_create(NULL);
	struct l4x_event ev;
	struct l4x_out *out;

	rig_open(r);
	ev = data_of(r, 0, lens, 4);
	l4x_events(r->k->l, &ev, 1, r->k->now_us);
	out = (struct l4x_out *)(uintptr_t)l4x_out(r->k->l);
	assert_int_equal(out->n_frames, 4);
	rte_pktmbuf_free(out->frames[0].m);
	out->n_frames = 0;
	l4x_frames_unsent(r->k->l, &out->frames[1], 3, r->k->now_us);
	l4xkit_collect(r->k);
	rig_quiet(r);
	l4xkit_run(r->k, 10 * RIG_MS);
	assert_int_equal(rig_op(r, L4X_OP_REWIND)->op.ack.acked, 1000);
	rig_destroy(r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_of_one_event_follow_one_another),
		cmocka_unit_test(frames_of_one_event_follow_one_another_over_ipv6),
		cmocka_unit_test(frames_of_one_event_may_differ_in_size),
		cmocka_unit_test(connection_from_outside_takes_several_frames),
		cmocka_unit_test(frames_past_a_window_that_has_shrunk_are_read_again),
		cmocka_unit_test(frames_past_the_end_of_the_stream_are_dropped),
		cmocka_unit_test(frame_that_is_larger_than_a_segment_is_dropped_alone),
		cmocka_unit_test(frame_without_room_for_headers_takes_those_behind_it_with_it),
		cmocka_unit_test(frames_that_do_not_add_up_are_dropped_together),
		cmocka_unit_test(frames_read_before_a_rewind_are_no_news),
		cmocka_unit_test(frames_for_a_flow_that_is_gone_are_freed),
		cmocka_unit_test(frames_that_the_guest_had_no_buffers_for_are_taken_back),
	};

	l4xkit_eal("test_tcp_data");
	return cmocka_run_group_tests_name("tcp-data", tests, NULL, NULL);
}
