/* SPDX-License-Identifier: BSD-3-Clause */
/* Socket calls of several flows in one iteration, one by one and together: guest -> socket. */
#include "test_bridge_util.h"

#include <sys/mman.h>
#include <sys/resource.h>

#include <rte_errno.h>
#include <rte_malloc.h>

#define MANY 40
/** Flows of which not all calls fit into one round. */
#define MORE 150

/** The next SENT of FLOW(i). */
static struct l4x_event
wait_sent(struct rig *r, unsigned int i)
{
	return rig_wait(r, L4X_EV_SENT, FLOW(i));
}

static void
sends_of_many_flows_arrive_whole(void **state)
{
	static const uint32_t lens[] = { 1, 300, 1460, 5000, 20000 };
	struct rig *r = rig_of(state);
	uint64_t off[MANY] = { 0 };
	unsigned int i, k;
	int fd[MANY];

	connect_flows(r, fd, MANY);
	for (k = 0; k < RTE_DIM(lens); k++) {
		for (i = 0; i < MANY; i++)
			op_send_own(r, i, off[i], lens[k] + i);
		rig_poll(r);
		for (i = 0; i < MANY; i++) {
			host_expect(fd[i], STREAM(i) + off[i], lens[k] + i);
			off[i] += lens[k] + i;
			assert_int_equal(wait_sent(r, i).sent.taken, off[i]);
		}
	}
	assert_int_equal(rig_counter(r, BRIDGE_COUNT_SEND_CALLS), RTE_DIM(lens) * MANY);
	/* As many rounds as there were bursts. */
	assert_int_equal(rig_counter(r, BRIDGE_COUNT_TOGETHER), r->params.uring ? k : 0);
	host_close(fd, MANY);
}

static void
a_lone_send_needs_no_ring(void **state)
{
	struct rig *r = rig_of(state);
	const int fd = connect_flow(r, FLOW(0));

	op_send_own(r, 0, 0, 1000);
	op_send_own(r, 0, 1000, 500);
	rig_poll(r);
	host_expect(fd, STREAM(0), 1500);
	assert_int_equal(rig_counter(r, BRIDGE_COUNT_SEND_CALLS), 1);
	assert_int_equal(rig_counter(r, BRIDGE_COUNT_TOGETHER), 0);
	close(fd);
}

static void
a_flow_that_comes_again_in_a_burst_stays_in_order(void **state)
{
	struct rig *r = rig_of(state);
	int fd[3];

	connect_flows(r, fd, 3);
	op_send_own(r, 0, 0, 1000);
	op_send_own(r, 0, 1000, 500);
	op_send_own(r, 1, 0, 700);
	op_send_own(r, 0, 1500, 1500);
	op_send_own(r, 2, 0, 100);
	op_send_own(r, 0, 3000, 1);
	op_send_own(r, 1, 700, 200);
	rig_poll(r);
	host_expect(fd[0], STREAM(0), 3001);
	host_expect(fd[1], STREAM(1), 900);
	host_expect(fd[2], STREAM(2), 100);
	assert_int_equal(wait_sent(r, 0).sent.taken, 3001);
	assert_int_equal(wait_sent(r, 1).sent.taken, 900);
	assert_int_equal(r->n_events, 1);
	/* Those in a row leave with one call. */
	assert_int_equal(rig_counter(r, BRIDGE_COUNT_SEND_CALLS), 6);
	rig_check_together(r);
	host_close(fd, 3);
}

/** In one burst: SENDs of many flows, and amid them one of FLOW(0) with op behind it. All arrive.
 */
static void
send_and_then(struct rig *r, int *fd, const struct l4x_op *op)
{
	unsigned int i;

	connect_flows(r, fd, MANY);
	for (i = 1; i < MANY; i++) {
		if (i == MANY / 2) {
			op_send_own(r, 0, 0, 5000);
			rig_op(r, op);
		}
		op_send_own(r, i, 0, 1000 + i);
	}
	rig_poll(r);
	host_expect(fd[0], STREAM(0), 5000);
	for (i = 1; i < MANY; i++) {
		host_expect(fd[i], STREAM(i), 1000 + i);
		assert_int_equal(wait_sent(r, i).sent.taken, 1000 + i);
	}
	assert_int_equal(rig_count(r, L4X_EV_ERROR, FLOW(0)), 0);
	rig_check_together(r);
}

static void
data_comes_before_a_shut_of_the_same_burst(void **state)
{
	struct l4x_op op = { .type = L4X_OP_SHUT, .flow = FLOW(0), .send.off = 5000 };
	struct rig *r = rig_of(state);
	int fd[MANY];

	send_and_then(r, fd, &op);
	host_expect_end(fd[0], -1);
	assert_int_equal(wait_sent(r, 0).sent.taken, 5000);
	host_close(fd, MANY);
}

static void
data_comes_before_a_close_of_the_same_burst(void **state)
{
	struct l4x_op op = { .type = L4X_OP_CLOSE, .flow = FLOW(0) };
	struct rig *r = rig_of(state);
	int fd[MANY];

	send_and_then(r, fd, &op);
	host_expect_end(fd[0], -1);
	assert_int_equal(rig_counter(r, BRIDGE_COUNT_STALE), 0);
	host_close(fd, MANY);
}

static void
data_comes_before_a_reset_of_the_same_burst(void **state)
{
	struct l4x_op op = { .type = L4X_OP_CLOSE, .flow = FLOW(0), .close.reset = 1 };
	struct rig *r = rig_of(state);
	int fd[MANY];

	send_and_then(r, fd, &op);
	host_expect_end(fd[0], -ECONNRESET - 1);
	assert_int_equal(rig_counter(r, BRIDGE_COUNT_STALE), 0);
	host_close(fd, MANY);
}

static void
an_index_opened_again_in_a_burst_is_another_flow(void **state)
{
	const uint64_t newer = flowtab_handle_make(0, 8, 0);
	struct l4x_op op = { .type = L4X_OP_OPEN, .flow = newer };
	struct rig *r = rig_of(state);
	rte_be16_t port;
	const int listener = host_listen(AF_INET, SOCK_STREAM, &port);
	int fd[MANY], newest;

	op.open.peer = loopback_addr(AF_INET);
	op.open.peer_port = port;
	op.open.pif = PIF;
	op.open.proto = IPPROTO_TCP;
	op.open.head_len = HEAD_LEN;
	send_and_then(r, fd, &op);
	/* It was not closed before: that is not as it should be, and is counted. */
	host_expect_end(fd[0], -ECONNRESET - 1);
	assert_int_equal(rig_counter(r, BRIDGE_COUNT_STALE), 1);
	assert_int_equal(rig_count(r, L4X_EV_SENT, FLOW(0)), 0);
	rig_wait(r, L4X_EV_CONNECTED, newer);
	newest = host_accept(listener);
	op_send(r, newer, 0, 100);
	assert_int_equal(rig_wait(r, L4X_EV_SENT, newer).sent.taken, 100);
	host_expect(newest, 0, 100);
	close(newest);
	close(listener);
	host_close(fd, MANY);
}

static void
a_peer_that_has_reset_fails_alone(void **state)
{
	struct rig *r = rig_of(state);
	unsigned int i;
	int fd[MANY], other;

	connect_flows(r, fd, MANY);
	other = host_other_end(fd[7]);
	sock_reset(fd[7]);
	host_wait(other);
	/* The first to find out is its SEND; it has more, within the burst and after it. */
	for (i = 0; i < MANY; i++)
		op_send_own(r, i, 0, 1000);
	op_send_own(r, 7, 1000, 1000);
	op_shut(r, FLOW(7), 2000);
	rig_poll_at_once(r);
	assert_int_equal(rig_counter(r, BRIDGE_COUNT_SEND_CALLS), MANY);
	assert_int_equal(rig_wait(r, L4X_EV_ERROR, FLOW(7)).error.err, ECONNRESET);
	op_send_own(r, 7, 2000, 1000);
	for (i = 0; i < MANY; i++) {
		if (i == 7)
			continue;
		host_expect(fd[i], STREAM(i), 1000);
		assert_int_equal(wait_sent(r, i).sent.taken, 1000);
		close(fd[i]);
	}
	rig_run(r, 2);
	assert_int_equal(r->n_events, 0);
	op_close(r, FLOW(7), false);
	rig_poll(r);
	assert_int_equal(rig_counter(r, BRIDGE_COUNT_STALE), 0);
	rig_check_together(r);
}

/** Send until the socket takes no more, but for what it comes to afterwards. @return how much */
static uint64_t
fill_up(struct rig *r, unsigned int i)
{
	uint64_t sent = 0;
	struct l4x_event ev;

	do {
		assert_true(sent < UINT64_C(256) << 20);
		op_send_own(r, i, sent, 200000);
		sent += 200000;
		ev = wait_sent(r, i);
	} while (!(ev.sent.flags & L4X_SENT_SHORT));
	rig_run(r, 5);
	assert_int_equal(r->n_events, 0);
	return ev.sent.taken;
}

static void
a_full_socket_is_short_alone(void **state)
{
	const uint32_t much = 1u << 20;
	struct rig *r = rig_of(state);
	uint64_t taken, before;
	struct l4x_event ev;
	unsigned int i;
	int fd[MANY];

	connect_flows(r, fd, MANY);
	before = fill_up(r, 5);
	for (i = 0; i < MANY; i++)
		op_send_own(r, i, i == 5 ? before : 0, i == 5 ? much : 3000);
	/* Behind the edge: nothing of it is sent. */
	op_send_own(r, 5, before + much, 100);
	rig_poll(r);
	ev = wait_sent(r, 5);
	taken = ev.sent.taken;
	assert_true(ev.sent.flags & L4X_SENT_SHORT);
	assert_true(taken >= before && taken < before + much);
	for (i = 0; i < MANY; i++) {
		if (i == 5)
			continue;
		ev = wait_sent(r, i);
		assert_int_equal(ev.sent.flags & L4X_SENT_SHORT, 0);
		assert_int_equal(ev.sent.taken, 3000);
		host_expect(fd[i], STREAM(i), 3000);
	}
	host_expect(fd[5], STREAM(5), taken);
	ev = wait_sent(r, 5);
	assert_int_equal(ev.sent.flags & L4X_SENT_SHORT, 0);
	op_send_own(r, 5, taken, 3000);
	op_send_own(r, 6, 3000, 10);
	rig_poll(r);
	host_expect(fd[5], STREAM(5) + taken, 3000);
	host_expect(fd[6], STREAM(6) + 3000, 10);
	rig_check_together(r);
	host_close(fd, MANY);
}

static void
lost_memory_of_one_send_fails_that_flow_alone(void **state)
{
	struct l4x_op op = { .type = L4X_OP_SEND, .flow = FLOW(3), .len = 4096 };
	struct rig *r = rig_of(state);
	unsigned int i;
	int fd[MANY];
	void *gone;

	connect_flows(r, fd, MANY);
	for (i = 0; i < MANY; i++) {
		if (i != 3) {
			op_send_own(r, i, 0, 1000);
			continue;
		}
		op.send.m = make_lost(r->pool, &gone);
		rte_pktmbuf_append(op.send.m, 4096);
		rig_op(r, &op);
	}
	rig_poll(r);
	assert_int_equal(rig_wait(r, L4X_EV_ERROR, FLOW(3)).error.err, EFAULT);
	assert_int_equal(rig_counter(r, BRIDGE_COUNT_MEMORY_LOST), 1);
	host_expect_end(fd[3], -ECONNRESET - 1);
	for (i = 0; i < MANY; i++)
		if (i != 3)
			host_expect(fd[i], STREAM(i), 1000);
	rig_check_together(r);
	munmap(gone, 4096);
	host_close(fd, MANY);
}

static void
more_sends_than_fit_at_once_arrive(void **state)
{
	struct rig *r = rig_of(state);
	unsigned int i, k;
	int fd[MORE];

	connect_flows(r, fd, MORE);
	for (k = 0; k < 3; k++) {
		for (i = 0; i < MORE; i++)
			op_send_own(r, i, k * 100, 100);
		rig_poll(r);
		for (i = 0; i < MORE; i++)
			host_expect(fd[i], STREAM(i) + k * 100, 100);
	}
	for (i = 0; i < MORE; i++)
		assert_int_equal(wait_sent(r, i).sent.flags, 0);
	rig_check_together(r);
	host_close(fd, MORE);
}

/** SEND of FLOW(i)'s own stream in parts of so many bytes. */
static void
op_send_chain(struct rig *r, unsigned int i, uint64_t off, uint32_t len, uint32_t part)
{
	struct l4x_op op = { .type = L4X_OP_SEND, .flow = FLOW(i), .len = len };

	op.send.m = make_chain(r, STREAM(i) + off, len, part);
	op.send.off = off;
	rig_op(r, &op);
}

static void
more_segments_than_fit_at_once_arrive(void **state)
{
	struct rig *r = rig_of(state);
	unsigned int i;
	int fd[20];

	connect_flows(r, fd, 20);
	for (i = 0; i < 20; i++)
		op_send_chain(r, i, 0, 300 * 5, 5);
	rig_poll(r);
	for (i = 0; i < 20; i++) {
		host_expect(fd[i], STREAM(i), 300 * 5);
		assert_int_equal(wait_sent(r, i).sent.taken, 300 * 5);
	}
	assert_int_equal(rig_counter(r, BRIDGE_COUNT_SEND_CALLS), 20);
	rig_check_together(r);
	host_close(fd, 20);
}

static void
a_row_of_sends_with_more_segments_than_a_call_carries_is_whole(void **state)
{
	struct rig *r = rig_of(state);
	struct l4x_event ev;
	unsigned int i;
	int fd[3];

	connect_flows(r, fd, 3);
	op_send_own(r, 0, 0, 10);
	for (i = 0; i < 5; i++)
		op_send_chain(r, 1, i * 600, 600, 1);
	op_send_own(r, 2, 0, 10);
	rig_poll(r);
	host_expect(fd[0], STREAM(0), 10);
	host_expect(fd[1], STREAM(1), 5 * 600);
	host_expect(fd[2], STREAM(2), 10);
	ev = wait_sent(r, 1);
	assert_int_equal(ev.sent.taken, 5 * 600);
	assert_int_equal(ev.sent.flags, 0);
	rig_check_together(r);
	host_close(fd, 3);
}

static void
a_chain_longer_than_a_call_carries_is_short_alone(void **state)
{
	struct rig *r = rig_of(state);
	struct l4x_event ev;
	uint64_t taken;
	unsigned int i;
	int fd[3];

	connect_flows(r, fd, 3);
	op_send_own(r, 0, 0, 10);
	op_send_chain(r, 1, 0, 1500 * 2, 2);
	op_send_own(r, 2, 0, 10);
	rig_poll(r);
	ev = wait_sent(r, 1);
	taken = ev.sent.taken;
	assert_true(taken != 0 && taken < 1500 * 2);
	host_expect(fd[1], STREAM(1), taken);
	op_send_own(r, 1, taken, (uint32_t)(1500 * 2 - taken));
	rig_run(r, 1);
	host_expect(fd[1], STREAM(1) + taken, 1500 * 2 - taken);
	for (i = 0; i < 3; i += 2) {
		host_expect(fd[i], STREAM(i), 10);
		assert_int_equal(wait_sent(r, i).sent.flags, 0);
	}
	rig_check_together(r);
	host_close(fd, 3);
}

/* ---- the ring ---- */

/** What the process has of what a bridge takes. */
struct held {
	int lowest;         /**< file descriptor that is free */
	unsigned int rings; /**< mappings of rings */
	uint64_t allocs;    /**< of the EAL's heap */
};

static struct held
count_held(void)
{
	struct rte_malloc_socket_stats stats;
	struct held held = { .lowest = dup(0) };
	char line[4096];
	FILE *f;

	close(held.lowest);
	f = fopen("/proc/self/maps", "r");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f) != NULL)
		held.rings += strstr(line, "[io_uring]") != NULL;
	fclose(f);
	assert_int_equal(rte_malloc_get_socket_stats(0, &stats), 0);
	held.allocs = stats.alloc_count;
	return held;
}

static void
check_held(const struct held *before)
{
	const struct held now = count_held();

	assert_int_equal(now.lowest, before->lowest);
	assert_int_equal(now.rings, before->rings);
	assert_int_equal(now.allocs, before->allocs);
}

/** Let the process have so many descriptors; 0: as before. */
static void
limit_files(int files)
{
	static struct rlimit before;
	struct rlimit limit;

	if (files == 0) {
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
		return;
	}
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	limit = before;
	limit.rlim_cur = (rlim_t)files;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static void
a_probe_for_the_ring_leaves_nothing(void **state)
{
	const struct held before = count_held();
	int ret;

	rig_of(state);
	bridge_probe_uring();
	check_held(&before);
	limit_files(before.lowest);
	ret = bridge_probe_uring();
	limit_files(0);
	assert_int_equal(ret, -EMFILE);
	check_held(&before);
	assert_int_equal(bridge_probe_uring(), 0);
}

static void
a_bridge_that_gets_no_ring_is_none(void **state)
{
	struct rig *r = rig_of(state);
	const struct held before = count_held();
	struct bridge *b;
	int files, err;

	/* No descriptor at all; then one, which the ring takes: the epoll set finds none. */
	for (files = before.lowest; files < before.lowest + 2; files++) {
		limit_files(files);
		b = bridge_create(&r->params);
		err = rte_errno;
		limit_files(0);
		assert_null(b);
		assert_int_equal(err, EMFILE);
		check_held(&before);
	}
	b = bridge_create(&r->params);
	assert_non_null(b);
	bridge_destroy(b);
	check_held(&before);
}

#define T_TOGETHER(f) cmocka_unit_test_setup_teardown(f, rig_start_together, rig_stop)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T_CALLS(sends_of_many_flows_arrive_whole),
		T_CALLS(a_lone_send_needs_no_ring),
		T_CALLS(a_flow_that_comes_again_in_a_burst_stays_in_order),
		T_CALLS(data_comes_before_a_shut_of_the_same_burst),
		T_CALLS(data_comes_before_a_close_of_the_same_burst),
		T_CALLS(data_comes_before_a_reset_of_the_same_burst),
		T_CALLS(an_index_opened_again_in_a_burst_is_another_flow),
		T_CALLS(a_peer_that_has_reset_fails_alone),
		T_CALLS(a_full_socket_is_short_alone),
		T_CALLS(lost_memory_of_one_send_fails_that_flow_alone),
		T_CALLS(more_sends_than_fit_at_once_arrive),
		T_CALLS(more_segments_than_fit_at_once_arrive),
		T_CALLS(a_row_of_sends_with_more_segments_than_a_call_carries_is_whole),
		T_CALLS(a_chain_longer_than_a_call_carries_is_short_alone),
		T_TOGETHER(a_probe_for_the_ring_leaves_nothing),
		T_TOGETHER(a_bridge_that_gets_no_ring_is_none),
	};

	return cmocka_run_group_tests(tests, eal_group_start, eal_group_stop);
}
