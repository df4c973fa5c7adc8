/* SPDX-License-Identifier: BSD-3-Clause */
/* Socket calls of several flows in one iteration, one by one and together: socket -> guest. */
#include "test_bridge_util.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#define MANY 40
/** Flows of which not all calls fit into one round. */
#define MORE 150
/** Payload of one frame: a first read is laid out for that, over seven lent buffers. */
#define FRAME 11680
#define WINDOW (1u << 20)

/** Bytes of FLOW(i)'s own stream written by the host. */
static void
write_own(int fd, unsigned int i, uint64_t off, size_t len)
{
	assert_int_equal(host_write(fd, STREAM(i) + off, len), len);
}

/** Take the next DATA of FLOW(i), check it, free it. @return its length */
static uint32_t
take_own(struct rig *r, unsigned int i, uint64_t off)
{
	const struct l4x_event ev = rig_wait(r, L4X_EV_DATA, FLOW(i));

	assert_int_equal(ev.data.off, off);
	assert_int_equal(ev.len, ev.data.m[0]->pkt_len);
	check_payload(ev.data.m[0], STREAM(i) + off);
	rte_pktmbuf_free(ev.data.m[0]);
	return ev.len;
}

/** FLOW(0) to FLOW(n - 1), which may be read. */
static void
connect_readers(struct rig *r, int *fd, unsigned int n)
{
	unsigned int i;

	connect_flows(r, fd, n);
	for (i = 0; i < n; i++)
		op_ack(r, FLOW(i), 0, WINDOW, FRAME);
	rig_run(r, 1);
}

/** One iteration in which the epoll set is asked for certain. */
static void
poll_all(struct rig *r)
{
	usleep(50);
	rig_poll(r);
}

/** Bytes that the socket at the other end of the host's holds, those peeked included. */
static int
queued(int fd)
{
	int n;

	assert_int_equal(ioctl(host_other_end(fd), SIOCINQ, &n), 0);
	return n;
}

/** What the host has written has come to the other ends. */
static void
wait_queued(const int *fd, unsigned int n, int bytes)
{
	unsigned int i, ms;

	for (i = 0; i < n; i++)
		for (ms = 0; ms < 3000 && queued(fd[i]) < bytes; ms++)
			usleep(1000);
}

static void
many_flows_with_a_little_are_told(void **state)
{
	struct rig *r = rig_of(state);
	uint64_t off[MANY] = { 0 };
	unsigned int i, k;
	int fd[MANY];

	connect_readers(r, fd, MANY);
	/* A buffer each in the end, so those that reads did not use serve others. */
	rig_lend(r, 5 * MANY);
	for (k = 0; k < 5; k++) {
		for (i = 0; i < MANY; i++)
			write_own(fd[i], i, off[i], 10 + i + k);
		poll_all(r);
		for (i = 0; i < MANY; i++) {
			assert_int_equal(take_own(r, i, off[i]), 10 + i + k);
			off[i] += 10 + i + k;
			op_ack(r, FLOW(i), off[i], off[i] + WINDOW, FRAME);
		}
		assert_int_equal(r->n_events, 0);
	}
	assert_int_equal(rig_counter(r, BRIDGE_COUNT_NO_BUFFER), 0);
	assert_int_equal(rte_mempool_in_use_count(r->guest), 0);
	rig_run(r, 2);
	assert_int_equal(rig_counter(r, BRIDGE_COUNT_DISCARD_CALLS), 5 * MANY);
	assert_int_equal(r->n_events, 0);
	rig_check_together(r);
	host_close(fd, MANY);
}

static void
fewer_buffers_than_flows_serve_all_in_turn(void **state)
{
	struct rig *r = rig_of(state);
	uint64_t off[MANY] = { 0 };
	unsigned int i, k, told;
	struct l4x_event ev;
	int fd[MANY];

	connect_readers(r, fd, MANY);
	for (i = 0; i < MANY; i++)
		write_own(fd[i], i, 0, 10);
	for (i = 0; i < 3000 && rig_counter(r, BRIDGE_COUNT_NO_BUFFER) < MANY; i++)
		rig_run(r, 1);
	assert_int_equal(rig_counter(r, BRIDGE_COUNT_NO_BUFFER), MANY);
	/* Who was served has more at once, and waits behind those that were not. */
	for (k = 1; k <= 3; k++)
		for (told = 0; told < MANY;) {
			rig_lend(r, 5);
			for (i = 0; i < 3000 && r->n_events < 5; i++)
				rig_run(r, 1);
			assert_int_equal(r->n_events, 5);
			while (r->n_events != 0) {
				ev = r->events[0];
				i = flowtab_handle_index(ev.flow);
				assert_int_equal(take_own(r, i, off[i]), 10);
				off[i] += 10;
				assert_int_equal(off[i], k * 10);
				write_own(fd[i], i, off[i], 10);
				op_ack(r, FLOW(i), off[i], off[i] + WINDOW, FRAME);
				told++;
			}
		}
	assert_int_equal(rte_mempool_in_use_count(r->guest), 0);
	host_close(fd, MANY);
}

static void
streams_and_datagrams_share_few_buffers(void **state)
{
	struct rig *r = rig_of(state);
	unsigned int i, told = 0;
	bool seen[MANY] = { 0 };
	struct l4x_event ev;
	int fd[MANY];

	for (i = 0; i < MANY; i++) {
		fd[i] = i % 2 == 0 ? connect_flow(r, FLOW(i)) : dgram_flow(r, FLOW(i), AF_INET);
		if (i % 2 == 0)
			op_ack(r, FLOW(i), 0, WINDOW, FRAME);
		assert_int_equal(host_write(fd[i], STREAM(i), 10 + i), 10 + i);
	}
	while (told < MANY) {
		rig_lend(r, 4);
		for (i = 0; i < 3000 && r->n_events < 4; i++)
			rig_run(r, 1);
		assert_int_equal(r->n_events, 4);
		for (; r->n_events != 0; told++) {
			ev = r->events[0];
			i = flowtab_handle_index(ev.flow);
			assert_false(seen[i]);
			seen[i] = true;
			assert_int_equal(ev.type, i % 2 == 0 ? L4X_EV_DATA : L4X_EV_DGRAM);
			assert_true(rig_take(r, ev.type, ev.flow, &ev));
			assert_int_equal(ev.len, 10 + i);
			check_payload(i % 2 == 0 ? ev.data.m[0] : ev.dgram.m, STREAM(i));
			l4x_event_free(&ev);
		}
	}
	rig_run(r, 2);
	assert_int_equal(r->n_events, 0);
	assert_int_equal(rte_mempool_in_use_count(r->guest), 0);
	host_close(fd, MANY);
}

static void
acknowledged_bytes_are_consumed_once_beside_the_next_read(void **state)
{
	struct rig *r = rig_of(state);
	uint64_t rounds, calls;
	unsigned int i;
	int fd[20];

	connect_readers(r, fd, 20);
	rig_lend(r, 200);
	for (i = 0; i < 20; i++)
		write_own(fd[i], i, 0, 1000);
	for (i = 0; i < 20; i++) {
		assert_int_equal(take_own(r, i, 0), 1000);
		assert_int_equal(queued(fd[i]), 1000);
	}
	rounds = rig_counter(r, BRIDGE_COUNT_TOGETHER);
	calls = rig_counter(r, BRIDGE_COUNT_RECV_CALLS);
	for (i = 0; i < 20; i++) {
		op_ack(r, FLOW(i), 1000, WINDOW, FRAME);
		write_own(fd[i], i, 1000, 500);
	}
	wait_queued(fd, 20, 1500);
	poll_all(r);
	assert_int_equal(rig_counter(r, BRIDGE_COUNT_DISCARD_CALLS), 20);
	assert_int_equal(rig_counter(r, BRIDGE_COUNT_RECV_CALLS), calls + 20);
	if (r->params.uring && r->params.peek_off)
		assert_int_equal(rig_counter(r, BRIDGE_COUNT_TOGETHER), rounds + 1);
	for (i = 0; i < 20; i++) {
		assert_int_equal(take_own(r, i, 1000), 500);
		assert_int_equal(queued(fd[i]), 500);
		op_ack(r, FLOW(i), 1500, WINDOW, FRAME);
	}
	rig_run(r, 2);
	assert_int_equal(rig_counter(r, BRIDGE_COUNT_DISCARD_CALLS), 40);
	for (i = 0; i < 20; i++) {
		assert_int_equal(queued(fd[i]), 0);
		write_own(fd[i], i, 1500, 10);
		assert_int_equal(take_own(r, i, 1500), 10);
	}
	assert_int_equal(r->n_events, 0);
	rig_check_together(r);
	host_close(fd, 20);
}

static void
a_rewind_among_readers_reads_again(void **state)
{
	struct rig *r = rig_of(state);
	unsigned int i;
	int fd[20];

	connect_readers(r, fd, 20);
	rig_lend(r, 200);
	for (i = 0; i < 20; i++)
		write_own(fd[i], i, 0, 1000);
	for (i = 0; i < 20; i++)
		assert_int_equal(take_own(r, i, 0), 1000);
	/* Part of it is acknowledged, and consumed with the call before the read. */
	for (i = 0; i < 20; i++) {
		op_ack(r, FLOW(i), 600, WINDOW, FRAME);
		if (i % 2 == 0)
			op_rewind(r, FLOW(i), 600);
		write_own(fd[i], i, 1000, 100);
	}
	wait_queued(fd, 20, 1100);
	poll_all(r);
	for (i = 0; i < 20; i++) {
		const uint32_t off = i % 2 == 0 ? 600 : 1000;

		assert_int_equal(take_own(r, i, off), 1100 - off);
		assert_int_equal(queued(fd[i]), 500);
	}
	rig_run(r, 2);
	assert_int_equal(r->n_events, 0);
	rig_check_together(r);
	host_close(fd, 20);
}

static void
peers_that_close_among_readers_end_once_after_their_data(void **state)
{
	struct rig *r = rig_of(state);
	struct l4x_event ev;
	unsigned int i;
	int fd[MANY];

	connect_readers(r, fd, MANY);
	rig_lend(r, 200);
	/* A third with data, a third that close after it, a third that just close. */
	for (i = 0; i < MANY; i++) {
		if (i % 3 != 2)
			write_own(fd[i], i, 0, 100 + i);
		if (i % 3 != 0)
			assert_int_equal(shutdown(fd[i], SHUT_WR), 0);
	}
	poll_all(r);
	for (i = 0; i < MANY; i++) {
		const uint32_t len = i % 3 != 2 ? 100 + i : 0;

		if (len != 0)
			assert_int_equal(take_own(r, i, 0), len);
		if (i % 3 == 0)
			continue;
		ev = rig_wait(r, L4X_EV_EOF, FLOW(i));
		assert_int_equal(ev.data.off, len);
		op_ack(r, FLOW(i), len, WINDOW, FRAME);
	}
	rig_run(r, 2);
	assert_int_equal(r->n_events, 0);
	assert_int_equal(rte_mempool_in_use_count(r->guest), 200 - 27);
	rig_check_together(r);
	host_close(fd, MANY);
}

/** So much of each stream has been told, with as much again in the socket and no leave to read. */
static void
read_half(struct rig *r, int *fd, unsigned int n, uint32_t half)
{
	unsigned int i;

	connect_flows(r, fd, n);
	rig_lend(r, 200);
	for (i = 0; i < n; i++) {
		write_own(fd[i], i, 0, 2 * half);
		op_ack(r, FLOW(i), 0, half, FRAME);
	}
	for (i = 0; i < n; i++)
		assert_int_equal(take_own(r, i, 0), half);
	poll_all(r);
}

static void
data_that_is_read_while_its_peer_resets_is_told_before_the_error(void **state)
{
	struct rig *r = rig_of(state);
	unsigned int i;
	int fd[20];

	read_half(r, fd, 20, 500);
	for (i = 0; i < 20; i += 2)
		sock_reset(fd[i]);
	for (i = 0; i < 20; i++)
		op_ack(r, FLOW(i), 500, WINDOW, FRAME);
	/* The epoll set has not told of it yet. */
	rig_poll_at_once(r);
	for (i = 0; i < 20; i++) {
		assert_int_equal(rig_count(r, L4X_EV_ERROR, FLOW(i)), 0);
		assert_int_equal(take_own(r, i, 500), 500);
	}
	for (i = 0; i < 20; i++) {
		if (i % 2 == 0)
			assert_int_equal(rig_wait(r, L4X_EV_ERROR, FLOW(i)).error.err, ECONNRESET);
		else
			close(fd[i]);
	}
	for (i = 1; i < 20; i += 2)
		assert_int_equal(rig_wait(r, L4X_EV_EOF, FLOW(i)).data.off, 1000);
	rig_run(r, 2);
	assert_int_equal(r->n_events, 0);
	rig_check_together(r);
}

static void
a_reset_that_a_read_finds_is_told_once(void **state)
{
	struct rig *r = rig_of(state);
	unsigned int i;
	int fd[20];

	connect_flows(r, fd, 20);
	rig_lend(r, 200);
	for (i = 0; i < 20; i++) {
		write_own(fd[i], i, 0, 500);
		op_ack(r, FLOW(i), 0, 500, FRAME);
	}
	/* A read that was filled: nothing says that there is no more. */
	for (i = 0; i < 20; i++)
		assert_int_equal(take_own(r, i, 0), 500);
	poll_all(r);
	for (i = 0; i < 20; i++) {
		if (i % 4 == 0)
			sock_reset(fd[i]);
		else
			write_own(fd[i], i, 500, 300);
		op_ack(r, FLOW(i), i % 8 == 0 ? 0 : 500, WINDOW, FRAME);
	}
	rig_poll_at_once(r);
	for (i = 0; i < 20; i++) {
		if (i % 4 == 0) {
			assert_int_equal(rig_wait(r, L4X_EV_ERROR, FLOW(i)).error.err, ECONNRESET);
			continue;
		}
		assert_int_equal(take_own(r, i, 500), 300);
		close(fd[i]);
		rig_wait(r, L4X_EV_EOF, FLOW(i));
	}
	rig_run(r, 2);
	assert_int_equal(r->n_events, 0);
	rig_check_together(r);
}

static void
reads_of_more_flows_than_fit_at_once_are_told(void **state)
{
	struct rig *r = rig_of(state);
	unsigned int i, k;
	int fd[MORE];

	connect_readers(r, fd, MORE);
	rig_lend(r, 1000);
	for (k = 0; k < 3; k++) {
		for (i = 0; i < MORE; i++)
			write_own(fd[i], i, k * 50, 50);
		for (i = 0; i < MORE; i++) {
			assert_int_equal(take_own(r, i, k * 50), 50);
			op_ack(r, FLOW(i), (k + 1) * 50, WINDOW, FRAME);
		}
		assert_int_equal(r->n_events, 0);
	}
	rig_run(r, 2);
	for (i = 0; i < MORE; i++)
		assert_int_equal(queued(fd[i]), 0);
	assert_int_equal(rig_counter(r, BRIDGE_COUNT_DISCARD_CALLS), 3 * MORE);
	rig_check_together(r);
	host_close(fd, MORE);
}

/** Lend one buffer of so many parts. */
static void
lend_chain(struct rig *r, unsigned int parts)
{
	struct rte_mbuf *head = rte_pktmbuf_alloc(r->guest), *m = head;

	assert_non_null(head);
	head->data_off = 12;
	for (; parts > 1; parts--) {
		m->next = rte_pktmbuf_alloc(r->guest);
		m = m->next;
		assert_non_null(m);
		m->data_off = 0;
		head->nb_segs++;
	}
	assert_int_equal(rte_ring_sp_enqueue(r->lender->bufs, head), 0);
}

static void
reads_over_more_segments_than_fit_at_once_are_told(void **state)
{
	struct rig *r = rig_of(state);
	unsigned int i;
	int fd[MANY];

	connect_flows(r, fd, MANY);
	/* A frame takes 35 segments; 40 such reads fill the room for them, and more. */
	for (i = 0; i < MANY; i++) {
		lend_chain(r, 40);
		op_ack(r, FLOW(i), 0, WINDOW, 60000);
		write_own(fd[i], i, 0, 3000 + i);
	}
	for (i = 0; i < MANY; i++)
		assert_int_equal(take_own(r, i, 0), 3000 + i);
	assert_int_equal(r->n_events, 0);
	rig_check_together(r);
	host_close(fd, MANY);
}

static void
a_lost_buffer_of_one_read_fails_that_flow_alone(void **state)
{
	struct rig *r = rig_of(state);
	struct rte_mbuf *m;
	unsigned int i;
	int fd[20];
	void *gone;

	connect_readers(r, fd, 20);
	m = make_lost(r->guest, &gone);
	m->data_off = 12;
	assert_int_equal(rte_ring_sp_enqueue(r->lender->bufs, m), 0);
	rig_lend(r, 199);
	for (i = 0; i < 20; i++)
		write_own(fd[i], i, 0, 1000);
	wait_queued(fd, 20, 1000);
	poll_all(r);
	assert_int_equal(rig_wait(r, L4X_EV_ERROR, FLOW(0)).error.err, EFAULT);
	assert_int_equal(rig_counter(r, BRIDGE_COUNT_MEMORY_LOST), 1);
	for (i = 1; i < 20; i++)
		assert_int_equal(take_own(r, i, 0), 1000);
	lender_recall(r->lender, r->chan);
	rig_run(r, 1);
	assert_int_equal(lender_state(r->lender), LENDER_STOPPED);
	munmap(gone, 4096);
	host_close(fd, 20);
}

/** ACK that moves FLOW(i) to another queue pair. */
static void
op_ack_queue(struct rig *r, unsigned int i, uint64_t limit, uint8_t queue)
{
	struct l4x_op op = { .type = L4X_OP_ACK, .flow = FLOW(i) };

	op.ack.limit = limit;
	op.ack.frame_max = FRAME;
	op.ack.queue = queue;
	rig_op(r, &op);
}

/** 10 bytes of each have been told, and seven frames of 100 bytes wait for leave to be read. */
static void
have_seven_frames(struct rig *r, const int *fd, unsigned int from, unsigned int to)
{
	unsigned int i;

	for (i = from; i < to; i++) {
		op_ack(r, FLOW(i), 0, 10, 100);
		write_own(fd[i], i, 0, 710);
	}
	for (i = from; i < to; i++)
		assert_int_equal(take_own(r, i, 0), 10);
}

/** Let them be read. */
static void
allow_seven_frames(struct rig *r, unsigned int from, unsigned int to)
{
	for (; from < to; from++)
		op_ack(r, FLOW(from), 0, 710, 100);
}

static void
take_seven_frames(struct rig *r, unsigned int from, unsigned int to)
{
	uint64_t off;

	for (; from < to; from++)
		for (off = 10; off < 710; off += 100)
			assert_int_equal(take_own(r, from, off), 100);
}

/** Lend by another queue pair's lender. */
static void
lend_by(struct rig *r, struct lender *l, unsigned int n)
{
	struct lender *own = r->lender;

	r->lender = l;
	rig_lend(r, n);
	r->lender = own;
}

static void
a_large_read_beside_those_of_another_queue_pair_is_whole(void **state)
{
	struct rig *r = rig_of(state);
	struct lender *second = lender_create(PIF, 1, 0, 0, SOCKET_ID_ANY);
	uint64_t off;
	unsigned int i;
	int fd[100];

	assert_non_null(second);
	r->conf.n_queues = 2;
	assert_int_equal(bridge_add_lender(r->b, second), 0);
	atomic_store(&second->mergeable, 1);
	lender_run(second);
	connect_flows(r, fd, 100);
	rig_lend(r, 500);
	lend_by(r, second, 700);
	/* Many leave the bridge with more buffers in hand than one read asks for. */
	for (i = 1; i < 40; i++) {
		op_ack_queue(r, i, WINDOW, 1);
		write_own(fd[i], i, 0, 500);
	}
	for (i = 1; i < 40; i++)
		assert_int_equal(take_own(r, i, 0), 500);
	/* One has filled its read, and is expected to have much. It comes behind some others. */
	write_own(fd[0], 0, 0, FRAME + 30000);
	op_ack_queue(r, 0, FRAME, 1);
	assert_int_equal(take_own(r, 0, 0), FRAME);
	have_seven_frames(r, fd, 40, 100);
	allow_seven_frames(r, 40, 100);
	op_ack_queue(r, 0, 2 * WINDOW, 1);
	rig_poll(r);
	take_seven_frames(r, 40, 100);
	for (off = FRAME; off < FRAME + 30000;)
		off += take_own(r, 0, off);
	assert_int_equal(r->n_events, 0);
	rig_check_together(r);
	host_close(fd, 100);
	bridge_destroy(r->b);
	r->b = NULL;
	lender_destroy(second);
}

/** Leave so many places in the event ring; the flows answer queries. */
static void
fill_event_ring(struct rig *r, unsigned int n_flows, unsigned int left)
{
	unsigned int i, n;

	for (;;) {
		n = rte_ring_free_count(r->chan->events) - left;
		if (n == 0)
			break;
		for (i = 0; i < RTE_MIN(n, n_flows); i++)
			op_query(r, FLOW(i));
		rig_poll(r);
	}
}

/** Reads that are gathered are told behind datagrams that came after them. */
static void
datagrams_leave_room_for_what_reads_are_to_tell(void **state)
{
	struct rig *r = rig_of(state);
	uint64_t off;
	unsigned int i;
	int fd[37], udp;

	connect_flows(r, fd, 37);
	udp = dgram_flow(r, FLOW(37), AF_INET);
	rig_lend(r, 1000);
	have_seven_frames(r, fd, 0, 37);
	rig_run(r, 2);
	assert_int_equal(r->n_events, 0);
	r->deaf = true;
	fill_event_ring(r, 37, 3 * 256);
	allow_seven_frames(r, 0, 37);
	for (i = 0; i < 12; i++)
		host_send(udp, i * 640, 640, 10);
	poll_all(r);
	r->deaf = false;
	for (off = 0; off < 12 * 640; off += 10) {
		const struct l4x_event ev = rig_wait(r, L4X_EV_DGRAM, FLOW(37));

		assert_int_equal(ev.len, 10);
		check_payload(ev.dgram.m, off);
		rte_pktmbuf_free(ev.dgram.m);
	}
	take_seven_frames(r, 0, 37);
	assert_int_equal(rig_counter(r, BRIDGE_COUNT_DGRAM_DROPPED), 0);
	host_close(fd, 37);
	close(udp);
}

/* ---- all at once ---- */

/** One flow, as the guest and the host see it. */
struct stream {
	int fd;
	uint64_t sent, taken, host_got; /**< guest -> host */
	uint64_t written, got, acked;   /**< host -> guest */
};

static uint32_t
next_random(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 8;
}

/** What both ends do of themselves: each now and then, and the guest loses some. */
static void
act(struct rig *r, struct stream *s, unsigned int i, uint32_t *seed)
{
	uint32_t what = next_random(seed), len = next_random(seed) % 4000 + 1;

	if (what & 1 && s->written - s->acked < 100000)
		s->written += host_write(s->fd, STREAM(i) + s->written, len);
	if (what & 2 && s->sent - s->host_got < 60000) {
		op_send_own(r, i, s->sent, len);
		s->sent += len;
	}
	if (what & 4 && s->got != s->acked) {
		s->acked = what & 8 ? s->got : (s->acked + s->got) / 2;
		op_ack(r, FLOW(i), s->acked, s->acked + 60000, 1460);
	}
	if ((what & 0x3f0) == 0) {
		op_rewind(r, FLOW(i), s->acked);
		s->got = s->acked;
	}
	if (what & 0x400) {
		const ssize_t n = host_read(s->fd, STREAM(i) + s->host_got, 65536);

		assert_true(n >= 0);
		s->host_got += (uint64_t)n;
	}
}

static void
take_all(struct rig *r, struct stream *s)
{
	uint32_t i;

	for (i = 0; i < r->n_events; i++) {
		struct l4x_event *ev = &r->events[i];
		const uint32_t f = flowtab_handle_index(ev->flow);

		if (ev->type == L4X_EV_SENT) {
			assert_true(ev->sent.taken >= s[f].taken);
			s[f].taken = ev->sent.taken;
			if (ev->sent.flags & L4X_SENT_SHORT)
				s[f].sent = s[f].taken;
			continue;
		}
		assert_int_equal(ev->type, L4X_EV_DATA);
		assert_int_equal(ev->data.off, s[f].got);
		check_payload(ev->data.m[0], STREAM(f) + s[f].got);
		s[f].got += ev->len;
		rte_pktmbuf_free(ev->data.m[0]);
	}
	r->n_events = 0;
}

static void
streams_both_ways_are_whole_whatever_comes_together(void **state)
{
	struct rig *r = rig_of(state);
	struct stream s[MANY] = { 0 };
	unsigned int i, k;
	uint32_t seed = 1;

	for (i = 0; i < MANY; i++) {
		s[i].fd = connect_flow(r, FLOW(i));
		op_ack(r, FLOW(i), 0, 60000, 1460);
	}
	for (k = 0; k < 400; k++) {
		/* Now and then there are too few. */
		rig_lend(r, next_random(&seed) % 64);
		for (i = 0; i < MANY; i++)
			act(r, &s[i], i, &seed);
		rig_poll(r);
		take_all(r, s);
	}
	for (i = 0; i < MANY; i++) {
		op_shut(r, FLOW(i), s[i].sent);
		assert_int_equal(shutdown(s[i].fd, SHUT_WR), 0);
	}
	rig_poll(r);
	for (i = 0; i < MANY; i++) {
		while (s[i].got < s[i].written) {
			rig_lend(r, 64 - RTE_MIN(64u, rte_ring_count(r->lender->bufs)));
			s[i].got += take_own(r, i, s[i].got);
			op_ack(r, FLOW(i), s[i].got, s[i].got + 60000, 1460);
		}
		host_expect(s[i].fd, STREAM(i) + s[i].host_got, s[i].sent - s[i].host_got);
		host_expect_end(s[i].fd, -1);
		/* To look for the end takes a buffer, too. */
		rig_lend(r, 64 - RTE_MIN(64u, rte_ring_count(r->lender->bufs)));
		assert_int_equal(rig_wait(r, L4X_EV_EOF, FLOW(i)).data.off, s[i].written);
		close(s[i].fd);
	}
	rig_check_together(r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T_READS(many_flows_with_a_little_are_told),
		T_READS(fewer_buffers_than_flows_serve_all_in_turn),
		T_READS(streams_and_datagrams_share_few_buffers),
		T_READS(acknowledged_bytes_are_consumed_once_beside_the_next_read),
		T_READS(a_rewind_among_readers_reads_again),
		T_READS(peers_that_close_among_readers_end_once_after_their_data),
		T_READS(data_that_is_read_while_its_peer_resets_is_told_before_the_error),
		T_READS(a_reset_that_a_read_finds_is_told_once),
		T_READS(reads_of_more_flows_than_fit_at_once_are_told),
		T_READS(reads_over_more_segments_than_fit_at_once_are_told),
		T_CALLS(a_lost_buffer_of_one_read_fails_that_flow_alone),
		T_CALLS(a_large_read_beside_those_of_another_queue_pair_is_whole),
		T_CALLS(datagrams_leave_room_for_what_reads_are_to_tell),
		T_READS(streams_both_ways_are_whole_whatever_comes_together),
	};

	return cmocka_run_group_tests(tests, eal_group_start, eal_group_stop);
}
