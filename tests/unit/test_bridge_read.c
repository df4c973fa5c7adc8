/* SPDX-License-Identifier: BSD-3-Clause */
/* TCP over the bridge: socket -> guest, with SO_PEEK_OFF and without. */
#include "test_bridge_util.h"

#include <sys/mman.h>

#define MIB (1u << 20)

/** Take the next DATA, check it, free it. @return its length */
static uint32_t
take_data(struct rig *r, uint64_t flow, uint64_t off, uint32_t frame_max)
{
	const struct l4x_event ev = rig_wait(r, L4X_EV_DATA, flow);

	assert_int_equal(ev.data.off, off);
	assert_true(ev.len != 0 && ev.len <= frame_max);
	assert_int_equal(ev.len, ev.data.m[0]->pkt_len);
	/* Headers are put in front where they are, behind the port's own. */
	assert_int_equal(ev.data.m[0]->data_off, 12 + HEAD_LEN);
	check_payload(ev.data.m[0], off);
	rte_pktmbuf_free(ev.data.m[0]);
	return ev.len;
}

/** Receive len bytes as a guest does that acknowledges them all, half a window behind. */
static void
receive(struct rig *r, uint64_t flow, int fd, uint64_t len, uint32_t window, uint32_t frame_max)
{
	uint64_t written = 0, got = 0;

	op_ack(r, flow, 0, window, frame_max);
	while (got < len) {
		struct l4x_event ev;

		written += host_write(fd, written, len - written);
		rig_lend(r, 256 - rte_ring_count(r->lender->bufs));
		rig_poll(r);
		while (rig_take(r, L4X_EV_DATA, flow, &ev)) {
			assert_int_equal(ev.data.off, got);
			assert_true(ev.len != 0 && ev.len <= frame_max);
			check_payload(ev.data.m[0], got);
			rte_pktmbuf_free(ev.data.m[0]);
			got += ev.len;
			if (got % 3 == 0 || rig_count(r, L4X_EV_DATA, flow) == 0)
				op_ack(r, flow, got, got + window, frame_max);
		}
	}
}

static void
frames_of_one_read_share_events(void **state)
{
	struct rig *r = *state;
	const int fd = connect_flow(r, FLOW(1));
	uint64_t before, off;

	rig_lend(r, 32);
	assert_int_equal(host_write(fd, 0, 12 * 1000 + 7), 12 * 1000 + 7);
	op_ack(r, FLOW(1), 0, 1 << 20, 1000);
	before = rig_counter(r, BRIDGE_COUNT_EVENTS);
	for (off = 0; off < 12 * 1000 + 7; off += 1000)
		assert_int_equal(take_data(r, FLOW(1), off, 1000), RTE_MIN(1000u, 12007 - off));
	/* The first read is laid out for one frame, the second for all there is. */
	assert_int_equal(rig_counter(r, BRIDGE_COUNT_EVENTS) - before,
		1 + (12 + L4X_DATA_FRAMES - 1) / L4X_DATA_FRAMES);
	close(fd);
}

static void
hosts_stream_arrives_whole_in_segments(void **state)
{
	struct rig *r = *state;
	const int fd = connect_flow(r, FLOW(1));

	receive(r, FLOW(1), fd, 4 * MIB, 65536, 1460);
	close(fd);
	assert_int_equal(rig_wait(r, L4X_EV_EOF, FLOW(1)).data.off, 4 * MIB);
	/* Nothing was left in the socket but what is due to the last ACK. */
	op_close(r, FLOW(1), false);
	rig_poll(r);
}

/** The guest has moved the flow to its second queue pair, which has buffers of its own. */
static void
buffers_are_those_of_the_queue_pair_that_the_guest_uses_now(void **state)
{
	struct rig *r = *state;
	struct l4x_op op = { .type = L4X_OP_ACK, .flow = FLOW(1) };
	struct lender *first = r->lender;
	struct lender *second = lender_create(r->conf.pif, 1, 0, 0, SOCKET_ID_ANY);
	const int fd = connect_flow(r, FLOW(1));

	assert_non_null(second);
	r->conf.n_queues = 2;
	assert_int_equal(bridge_add_lender(r->b, second), 0);
	atomic_store(&second->mergeable, 1);
	assert_int_equal(host_write(fd, 0, 3000), 3000);
	op.ack.limit = 65536;
	op.ack.frame_max = 1000;
	/* It is not running: what there is must do, and waits there. */
	op.ack.queue = 1;
	rig_op(r, &op);
	rig_run(r, 2);
	assert_true(lender_hungry(r->lender));
	/* It is: who waits for others' buffers need not any more. */
	lender_run(second);
	rig_op(r, &op);
	rig_run(r, 2);
	assert_true(lender_hungry(second));
	assert_int_equal(rig_count(r, L4X_EV_DATA, FLOW(1)), 0);
	r->lender = second;
	rig_lend(r, 2);
	r->lender = first;
	assert_int_equal(take_data(r, FLOW(1), 0, 1000), 1000);
	assert_int_equal(take_data(r, FLOW(1), 1000, 1000), 1000);
	/* And back. */
	rig_lend(r, 1);
	op.ack.queue = 0;
	rig_op(r, &op);
	assert_int_equal(take_data(r, FLOW(1), 2000, 1000), 1000);
	close(fd);
	bridge_destroy(r->b);
	r->b = NULL;
	lender_destroy(second);
}

static void
hosts_stream_arrives_whole_in_large_frames(void **state)
{
	struct rig *r = *state;
	const int fd = connect_flow(r, FLOW(1));

	receive(r, FLOW(1), fd, 8 * MIB, 262144, 44 * 1460);
	close(fd);
	assert_int_equal(rig_wait(r, L4X_EV_EOF, FLOW(1)).data.off, 8 * MIB);
}

static void
nothing_is_read_beyond_the_limit(void **state)
{
	struct rig *r = *state;
	const int fd = connect_flow(r, FLOW(1));

	rig_lend(r, 64);
	assert_int_equal(host_write(fd, 0, 10000), 10000);
	rig_run(r, 2);
	assert_int_equal(rig_count(r, L4X_EV_DATA, FLOW(1)), 0);
	op_ack(r, FLOW(1), 0, 2500, 1000);
	assert_int_equal(take_data(r, FLOW(1), 0, 1000), 1000);
	assert_int_equal(take_data(r, FLOW(1), 1000, 1000), 1000);
	assert_int_equal(take_data(r, FLOW(1), 2000, 1000), 500);
	rig_run(r, 2);
	assert_int_equal(rig_count(r, L4X_EV_DATA, FLOW(1)), 0);
	op_ack(r, FLOW(1), 1000, 3000, 1000);
	assert_int_equal(take_data(r, FLOW(1), 2500, 1000), 500);
	close(fd);
}

static void
rewind_reads_again(void **state)
{
	struct rig *r = *state;
	const int fd = connect_flow(r, FLOW(1));
	uint64_t off;

	rig_lend(r, 64);
	assert_int_equal(host_write(fd, 0, 10000), 10000);
	op_ack(r, FLOW(1), 0, 10000, 1000);
	for (off = 0; off < 10000; off += 1000)
		assert_int_equal(take_data(r, FLOW(1), off, 1000), 1000);
	op_ack(r, FLOW(1), 3000, 13000, 1000);
	op_rewind(r, FLOW(1), 3000);
	for (off = 3000; off < 10000; off += 1000)
		assert_int_equal(take_data(r, FLOW(1), off, 1000), 1000);
	/* Into the middle, with some of it acknowledged and consumed. */
	op_ack(r, FLOW(1), 6000, 16000, 1000);
	op_rewind(r, FLOW(1), 7500);
	for (off = 7500; off < 9500; off += 1000)
		assert_int_equal(take_data(r, FLOW(1), off, 1000), 1000);
	assert_int_equal(take_data(r, FLOW(1), 9500, 1000), 500);
	/* What comes later is read behind it. */
	op_ack(r, FLOW(1), 10000, 20000, 1000);
	assert_int_equal(host_write(fd, 10000, 500), 500);
	assert_int_equal(take_data(r, FLOW(1), 10000, 1000), 500);
	close(fd);
}

static void
acknowledgement_beyond_a_rewind_goes_on_from_there(void **state)
{
	struct rig *r = *state;
	const int fd = connect_flow(r, FLOW(1));
	uint64_t off;

	rig_lend(r, 64);
	assert_int_equal(host_write(fd, 0, 10000), 10000);
	op_ack(r, FLOW(1), 0, 8000, 1000);
	for (off = 0; off < 8000; off += 1000)
		take_data(r, FLOW(1), off, 1000);
	/* The guest had it all along: its ACK was late. */
	op_rewind(r, FLOW(1), 0);
	op_ack(r, FLOW(1), 8000, 16000, 1000);
	assert_int_equal(take_data(r, FLOW(1), 8000, 1000), 1000);
	assert_int_equal(take_data(r, FLOW(1), 9000, 1000), 1000);
	close(fd);
}

static void
acknowledgement_of_what_was_never_read_consumes_nothing(void **state)
{
	struct rig *r = *state;
	const int fd = connect_flow(r, FLOW(1));

	rig_lend(r, 64);
	assert_int_equal(host_write(fd, 0, 3000), 3000);
	op_ack(r, FLOW(1), 2000, 3000, 1000);
	assert_int_equal(take_data(r, FLOW(1), 0, 1000), 1000);
	assert_int_equal(rig_counter(r, BRIDGE_COUNT_STALE), 1);
	assert_int_equal(rig_counter(r, BRIDGE_COUNT_DISCARD_CALLS), 0);
	assert_int_equal(take_data(r, FLOW(1), 1000, 1000), 1000);
	assert_int_equal(take_data(r, FLOW(1), 2000, 1000), 1000);
	close(fd);
}

static void
acknowledged_bytes_leave_the_socket(void **state)
{
	struct rig *r = *state;
	const int fd = connect_flow(r, FLOW(1));
	const uint64_t discards = rig_counter(r, BRIDGE_COUNT_DISCARD_CALLS);

	rig_lend(r, 64);
	assert_int_equal(host_write(fd, 0, 3000), 3000);
	op_ack(r, FLOW(1), 0, 65536, 1000);
	take_data(r, FLOW(1), 0, 1000);
	take_data(r, FLOW(1), 1000, 1000);
	take_data(r, FLOW(1), 2000, 1000);
	/* A small part is left, to be consumed together with more. */
	op_ack(r, FLOW(1), 1000, 65536, 1000);
	rig_run(r, 1);
	assert_int_equal(rig_counter(r, BRIDGE_COUNT_DISCARD_CALLS), discards);
	op_ack(r, FLOW(1), 3000, 65536, 1000);
	rig_run(r, 1);
	assert_int_equal(rig_counter(r, BRIDGE_COUNT_DISCARD_CALLS), discards + 1);
	close(fd);
}

static void
end_is_told_once_after_the_last_byte(void **state)
{
	struct rig *r = *state;
	const int fd = connect_flow(r, FLOW(1));

	rig_lend(r, 64);
	assert_int_equal(host_write(fd, 0, 2000), 2000);
	close(fd);
	op_ack(r, FLOW(1), 0, 1000, 1000);
	take_data(r, FLOW(1), 0, 1000);
	rig_run(r, 2);
	assert_int_equal(rig_count(r, L4X_EV_EOF, FLOW(1)), 0);
	op_ack(r, FLOW(1), 0, 5000, 1000);
	take_data(r, FLOW(1), 1000, 1000);
	assert_int_equal(rig_wait(r, L4X_EV_EOF, FLOW(1)).data.off, 2000);
	op_rewind(r, FLOW(1), 0);
	take_data(r, FLOW(1), 0, 1000);
	take_data(r, FLOW(1), 1000, 1000);
	op_ack(r, FLOW(1), 2000, 9000, 1000);
	rig_run(r, 2);
	assert_int_equal(r->n_events, 0);
}

static void
end_without_data_is_told(void **state)
{
	struct rig *r = *state;
	const int fd = connect_flow(r, FLOW(1));

	rig_lend(r, 4);
	op_ack(r, FLOW(1), 0, 5000, 1000);
	rig_run(r, 1);
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	assert_int_equal(rig_wait(r, L4X_EV_EOF, FLOW(1)).data.off, 0);
	/* The other direction lives. */
	op_send(r, FLOW(1), 0, 100);
	rig_wait(r, L4X_EV_SENT, FLOW(1));
	assert_int_equal(host_read(fd, 0, 100), 100);
	close(fd);
}

static void
urgent_data_stays_in_the_stream(void **state)
{
	struct rig *r = *state;
	const int fd = connect_flow(r, FLOW(1));
	const uint8_t urgent = pattern(1000);
	uint64_t off = 0;

	rig_lend(r, 64);
	assert_int_equal(host_write(fd, 0, 1000), 1000);
	assert_int_equal(send(fd, &urgent, 1, MSG_OOB), 1);
	assert_int_equal(host_write(fd, 1001, 999), 999);
	op_ack(r, FLOW(1), 0, 65536, 1460);
	close(fd);
	while (off < 2000) {
		off += take_data(r, FLOW(1), off, 1460);
		op_ack(r, FLOW(1), off, 65536, 1460);
	}
	assert_int_equal(rig_wait(r, L4X_EV_EOF, FLOW(1)).data.off, 2000);
}

static void
frames_of_a_guest_without_mergeable_buffers_take_one_each(void **state)
{
	struct rig *r = *state;
	const int fd = connect_flow(r, FLOW(1));
	struct l4x_event ev;
	uint64_t off = 0;

	atomic_store(&r->lender->mergeable, 0);
	rig_lend(r, 64);
	assert_int_equal(host_write(fd, 0, 20000), 20000);
	op_ack(r, FLOW(1), 0, 65536, 60000);
	while (off < 20000) {
		ev = rig_wait(r, L4X_EV_DATA, FLOW(1));
		assert_int_equal(ev.data.off, off);
		assert_int_equal(ev.data.m[0]->nb_segs, 1);
		check_payload(ev.data.m[0], off);
		rte_pktmbuf_free(ev.data.m[0]);
		off += ev.len;
	}
	close(fd);
}

static void
chained_buffers_are_filled_from_their_start(void **state)
{
	struct rig *r = *state;
	const int fd = connect_flow(r, FLOW(1));
	struct l4x_event ev;
	const struct rte_mbuf *m;

	rig_lend(r, 64);
	assert_int_equal(host_write(fd, 0, 20000), 20000);
	op_ack(r, FLOW(1), 0, 65536, 60000);
	ev = rig_wait(r, L4X_EV_DATA, FLOW(1));
	assert_int_equal(ev.len, 20000);
	check_payload(ev.data.m[0], 0);
	for (m = ev.data.m[0]->next; m != NULL; m = m->next) {
		assert_int_equal(m->data_off, 0);
		assert_true(m->next == NULL || m->data_len == m->buf_len);
	}
	rte_pktmbuf_free(ev.data.m[0]);
	close(fd);
}

static void
segments_of_a_buffer_stay_together(void **state)
{
	struct rig *r = *state;
	const int fd = connect_flow(r, FLOW(1));
	struct l4x_event ev;
	struct rte_mbuf *head, *m;
	unsigned int i;

	/* A guest's buffer of three descriptors, of which a small frame fills but one. */
	head = rte_pktmbuf_alloc(r->guest);
	head->data_off = 12;
	for (m = head, i = 0; i < 2; i++, m = m->next) {
		m->next = rte_pktmbuf_alloc(r->guest);
		m->next->data_off = 0;
		head->nb_segs++;
	}
	assert_int_equal(rte_ring_sp_enqueue(r->lender->bufs, head), 0);
	assert_int_equal(host_write(fd, 0, 100), 100);
	op_ack(r, FLOW(1), 0, 65536, 60000);
	ev = rig_wait(r, L4X_EV_DATA, FLOW(1));
	assert_ptr_equal(ev.data.m[0], head);
	assert_int_equal(ev.data.m[0]->nb_segs, 3);
	assert_int_equal(ev.data.m[0]->data_len, 100);
	check_payload(ev.data.m[0], 0);
	rte_pktmbuf_free(ev.data.m[0]);
	close(fd);
}

static void
buffers_without_room_for_headers_go_back(void **state)
{
	struct rig *r = *state;
	const int fd = connect_flow(r, FLOW(1));
	struct rte_mbuf *m = rte_pktmbuf_alloc(r->guest);

	m->data_off = (uint16_t)(m->buf_len - HEAD_LEN + 1);
	assert_int_equal(rte_ring_sp_enqueue(r->lender->bufs, m), 0);
	rig_lend(r, 4);
	assert_int_equal(host_write(fd, 0, 100), 100);
	op_ack(r, FLOW(1), 0, 65536, 1460);
	assert_int_equal(take_data(r, FLOW(1), 0, 1460), 100);
	close(fd);
}

static void
without_buffers_it_waits_and_says_so(void **state)
{
	struct rig *r = *state;
	const int fd = connect_flow(r, FLOW(1));
	uint64_t off = 0;

	assert_int_equal(host_write(fd, 0, 10000), 10000);
	op_ack(r, FLOW(1), 0, 65536, 1000);
	rig_run(r, 2);
	assert_int_equal(rig_count(r, L4X_EV_DATA, FLOW(1)), 0);
	assert_true(lender_hungry(r->lender));
	assert_true(rig_counter(r, BRIDGE_COUNT_NO_BUFFER) >= 1);
	/* Waiting is not work: the thread may sleep. */
	assert_false(bridge_has_work(r->b));
	rig_lend(r, 5);
	assert_true(bridge_has_work(r->b));
	for (; off < 5000; off += 1000)
		assert_int_equal(take_data(r, FLOW(1), off, 1000), 1000);
	rig_run(r, 1);
	rig_lend(r, 5);
	for (; off < 10000; off += 1000)
		assert_int_equal(take_data(r, FLOW(1), off, 1000), 1000);
	/* Gone while it waits: nothing is left of it on the list. */
	assert_int_equal(host_write(fd, 10000, 1000), 1000);
	rig_run(r, 2);
	op_close(r, FLOW(1), true);
	rig_run(r, 1);
	rig_lend(r, 1);
	rig_run(r, 1);
	assert_false(bridge_has_work(r->b));
	close(fd);
}

static void
waiting_flows_are_served_in_turn(void **state)
{
	struct rig *r = *state;
	struct l4x_event ev;
	unsigned int got[12] = { 0 }, total = 0, i;
	int fd[12];

	for (i = 0; i < 12; i++) {
		fd[i] = connect_flow(r, FLOW(i));
		assert_int_equal(host_write(fd[i], 0, 10000), 10000);
		op_ack(r, FLOW(i), 0, 65536, 1000);
	}
	/* Fewer buffers than flows, again and again: each flow has its share. */
	while (total < 48) {
		/* All of them wait, and have done so once each time one was served. */
		for (i = 0; i < 3000 && rig_counter(r, BRIDGE_COUNT_NO_BUFFER) < 12 + total; i++)
			rig_run(r, 1);
		rig_lend(r, 1);
		for (i = 0; i < 3000 && r->n_events == 0; i++)
			rig_run(r, 1);
		while (r->n_events != 0) {
			ev = r->events[0];
			assert_true(rig_take(r, L4X_EV_DATA, ev.flow, &ev));
			rte_pktmbuf_free(ev.data.m[0]);
			got[flowtab_handle_index(ev.flow)]++;
			total++;
		}
	}
	for (i = 0; i < 12; i++) {
		assert_int_equal(got[i], 4);
		close(fd[i]);
	}
}

/* A guest acknowledges at once, which makes the flow ready while others wait. */
static void
who_was_served_waits_behind_those_that_wait(void **state)
{
	struct rig *r = *state;
	uint64_t got[4] = { 0 };
	struct l4x_event ev;
	int fd[4], i, step;

	for (i = 0; i < 4; i++) {
		fd[i] = connect_flow(r, FLOW(i));
		assert_true(host_write(fd[i], 0, 300000) >= 100000);
		op_ack(r, FLOW(i), 0, 262144, 16000);
	}
	rig_run(r, 2);
	for (step = 0; step < 40; step++) {
		/* As many as one of them takes alone, each time one was served. */
		rig_lend(r, 8);
		rig_poll(r);
		for (i = 0; i < 4; i++)
			while (rig_take(r, L4X_EV_DATA, FLOW(i), &ev)) {
				assert_int_equal(ev.data.off, got[i]);
				got[i] += ev.len;
				rte_pktmbuf_free(ev.data.m[0]);
				op_ack(r, FLOW(i), got[i], got[i] + 262144, 16000);
			}
	}
	for (i = 0; i < 4; i++) {
		assert_true(got[i] * 8 >= got[0] + got[1] + got[2] + got[3]);
		close(fd[i]);
	}
}

/* What is expected grows with what comes, and no byte is read out of turn. */
static void
a_peer_that_answers_shortly_and_then_at_length_is_read_whole(void **state)
{
	struct rig *r = *state;
	const int fd = connect_flow(r, FLOW(1));
	uint64_t off = 0, end;
	int i;

	op_ack(r, FLOW(1), 0, 1 << 20, 64000);
	for (i = 0; i < 20; i++) {
		rig_lend(r, 256 - rte_ring_count(r->lender->bufs));
		assert_int_equal(host_write(fd, off, 1), 1);
		assert_int_equal(take_data(r, FLOW(1), off, 64000), 1);
		off++;
		op_ack(r, FLOW(1), off, off + (1 << 20), 64000);
	}
	end = off + host_write(fd, off, 200000);
	while (off < end) {
		rig_lend(r, 256 - rte_ring_count(r->lender->bufs));
		off += take_data(r, FLOW(1), off, 64000);
		op_ack(r, FLOW(1), off, off + (1 << 20), 64000);
	}
	close(fd);
}

static void
recalled_buffers_are_given_back(void **state)
{
	struct rig *r = *state;
	const int fd = connect_flow(r, FLOW(1));

	rig_lend(r, 100);
	assert_int_equal(host_write(fd, 0, 1000), 1000);
	op_ack(r, FLOW(1), 0, 65536, 1000);
	take_data(r, FLOW(1), 0, 1000);
	rig_lend(r, 100);
	lender_recall(r->lender, r->chan);
	assert_true(bridge_has_work(r->b));
	rig_run(r, 1);
	assert_int_equal(lender_state(r->lender), LENDER_STOPPED);
	assert_int_equal(rte_mempool_in_use_count(r->guest), 0);
	/* The flow lives on, and goes on when the guest is back. */
	assert_int_equal(host_write(fd, 1000, 1000), 1000);
	rig_run(r, 2);
	assert_int_equal(rig_count(r, L4X_EV_DATA, FLOW(1)), 0);
	rig_lend(r, 10);
	rig_run(r, 1);
	assert_int_equal(rig_count(r, L4X_EV_DATA, FLOW(1)), 0);
	lender_run(r->lender);
	assert_int_equal(take_data(r, FLOW(1), 1000, 1000), 1000);
	close(fd);
}

static void
a_full_event_ring_loses_nothing(void **state)
{
	struct rig *r = *state;
	int fd[64];
	uint64_t off[64] = { 0 };
	struct l4x_event ev;
	unsigned int i;

	for (i = 0; i < 64; i++) {
		fd[i] = connect_flow(r, FLOW(i));
		op_ack(r, FLOW(i), 0, 1 << 20, 100);
	}
	r->deaf = true;
	for (i = 0; i < 64; i++)
		assert_int_equal(host_write(fd[i], 0, 10000), 10000);
	/* 64 x 100 frames of 100 bytes, more than the ring holds; buffers as wanted. */
	for (i = 0; i < 200; i++) {
		const unsigned int have = rte_ring_count(r->lender->bufs);
		const unsigned int left = rte_mempool_avail_count(r->guest);

		rig_lend(r, RTE_MIN(left, have < 64 ? 64 - have : 0));
		rig_poll(r);
	}
	for (i = 0; i < 64; i++)
		op_query(r, FLOW(i));
	rig_run(r, 2);
	r->deaf = false;
	for (i = 0; i < 64 * 100;) {
		const unsigned int have = rte_ring_count(r->lender->bufs);

		rig_lend(r, RTE_MIN(rte_mempool_avail_count(r->guest), have < 64 ? 64 - have : 0));
		rig_poll(r);
		while (r->n_events != 0) {
			ev = r->events[0];
			assert_true(rig_take(r, ev.type, ev.flow, &ev));
			if (ev.type == L4X_EV_SENT)
				continue;
			assert_int_equal(ev.type, L4X_EV_DATA);
			assert_int_equal(ev.data.off, off[flowtab_handle_index(ev.flow)]);
			off[flowtab_handle_index(ev.flow)] += ev.len;
			rte_pktmbuf_free(ev.data.m[0]);
			i++;
		}
	}
	for (i = 0; i < 64; i++) {
		assert_int_equal(off[i], 10000);
		close(fd[i]);
	}
}

static void
one_busy_flow_does_not_starve_another(void **state)
{
	struct rig *r = *state;
	const int busy = connect_flow(r, FLOW(1)), calm = connect_flow(r, FLOW(2));
	struct l4x_event ev;
	unsigned int polls;

	op_ack(r, FLOW(1), 0, 64 * MIB, 1460);
	op_ack(r, FLOW(2), 0, 65536, 1460);
	rig_lend(r, 1000);
	rig_run(r, 1);
	assert_true(host_write(busy, 0, 2 * MIB) > 300000);
	assert_int_equal(host_write(calm, 0, 100), 100);
	for (polls = 0; polls < 3 && rig_count(r, L4X_EV_DATA, FLOW(2)) == 0; polls++)
		rig_poll(r);
	assert_true(rig_take(r, L4X_EV_DATA, FLOW(2), &ev));
	rte_pktmbuf_free(ev.data.m[0]);
	close(busy);
	close(calm);
}

static void
lost_receive_buffers_end_that_flow_alone(void **state)
{
	struct rig *r = *state;
	const int fd = connect_flow(r, FLOW(1)), other = connect_flow(r, FLOW(2));
	struct rte_mbuf *m;
	void *gone;

	m = make_lost(r->guest, &gone);
	m->data_off = 12;
	assert_int_equal(rte_ring_sp_enqueue(r->lender->bufs, m), 0);
	op_ack(r, FLOW(1), 0, 65536, 1000);
	assert_int_equal(host_write(fd, 0, 1000), 1000);
	assert_int_equal(rig_wait(r, L4X_EV_ERROR, FLOW(1)).error.err, EFAULT);
	assert_int_equal(rig_counter(r, BRIDGE_COUNT_MEMORY_LOST), 1);
	/* The guest's queue is recalled then. */
	lender_recall(r->lender, r->chan);
	rig_run(r, 1);
	lender_run(r->lender);
	rig_lend(r, 4);
	op_ack(r, FLOW(2), 0, 65536, 1000);
	assert_int_equal(host_write(other, 0, 1000), 1000);
	take_data(r, FLOW(2), 0, 1000);
	munmap(gone, 4096);
	close(fd);
	close(other);
}

static void
an_idle_bridge_has_no_work(void **state)
{
	struct rig *r = *state;
	const int fd = connect_flow(r, FLOW(1));

	rig_lend(r, 4);
	op_ack(r, FLOW(1), 0, 65536, 1000);
	for (unsigned int i = 0; i < 100 && bridge_poll(r->b, r->now_us + 1000, false) != 0; i++)
		;
	assert_int_equal(bridge_poll(r->b, r->now_us + 1000, false), 0);
	assert_false(bridge_has_work(r->b));
	assert_true(bridge_next_us(r->b) == UINT64_MAX);
	close(fd);
}

#define T(f) cmocka_unit_test_setup_teardown(f, rig_start, rig_stop)
#define BOTH(f)                                                                 \
	T(f),                                                                   \
	{                                                                       \
#f "_without_peek_offset", f, rig_start_discard, rig_stop, NULL \
	}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(buffers_are_those_of_the_queue_pair_that_the_guest_uses_now),
		BOTH(frames_of_one_read_share_events),
		BOTH(hosts_stream_arrives_whole_in_segments),
		BOTH(hosts_stream_arrives_whole_in_large_frames),
		BOTH(nothing_is_read_beyond_the_limit),
		BOTH(rewind_reads_again),
		BOTH(acknowledgement_beyond_a_rewind_goes_on_from_there),
		BOTH(acknowledgement_of_what_was_never_read_consumes_nothing),
		BOTH(acknowledged_bytes_leave_the_socket),
		BOTH(end_is_told_once_after_the_last_byte),
		BOTH(end_without_data_is_told),
		BOTH(urgent_data_stays_in_the_stream),
		BOTH(frames_of_a_guest_without_mergeable_buffers_take_one_each),
		BOTH(chained_buffers_are_filled_from_their_start),
		T(segments_of_a_buffer_stay_together),
		T(buffers_without_room_for_headers_go_back),
		T(without_buffers_it_waits_and_says_so),
		T(waiting_flows_are_served_in_turn),
		T(who_was_served_waits_behind_those_that_wait),
		BOTH(a_peer_that_answers_shortly_and_then_at_length_is_read_whole),
		T(recalled_buffers_are_given_back),
		BOTH(a_full_event_ring_loses_nothing),
		T(one_busy_flow_does_not_starve_another),
		T(lost_receive_buffers_end_that_flow_alone),
		T(an_idle_bridge_has_no_work),
	};

	return cmocka_run_group_tests(tests, eal_group_start, eal_group_stop);
}
