/* SPDX-License-Identifier: BSD-3-Clause */
/* How much is read from one socket and from all in one iteration, and whose turn is next. */
#include "test_bridge_util.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>

#define MANY 8
#define KIB 1024u
/** What one may read while others wait, and all together. */
#define TURN (256 * KIB)
#define ALL (1024 * KIB)
#define FRAME 14600
#define WINDOW (64u << 20)
/** Buffers for all that is read in one iteration. */
#define ENOUGH 800

/** Lend until a ring has so many. */
static void
lend_to(struct rig *r, struct lender *to, unsigned int n)
{
	struct lender *own = r->lender;

	r->lender = to;
	rig_lend(r, n - RTE_MIN(n, rte_ring_count(to->bufs)));
	r->lender = own;
}

/** A socket that has as much to read as a turn takes, whatever the host's settings are. */
static void
fill(int fd, unsigned int i, uint64_t *written)
{
	const int room = 4 << 20, other = host_other_end(fd);
	int queued = 0, ms;

	assert_int_equal(setsockopt(other, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room)), 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room)), 0);
	for (ms = 0; ms < 3000 && queued < (int)(2 * TURN); ms++) {
		*written += host_write(fd, STREAM(i) + *written, 4 * TURN - *written);
		usleep(1000);
		assert_int_equal(ioctl(other, SIOCINQ, &queued), 0);
	}
	assert_true(queued >= (int)(2 * TURN));
}

/** Take what FLOW(i) was told of its stream. @return bytes */
static uint32_t
take_all(struct rig *r, unsigned int i, uint64_t off)
{
	struct l4x_event ev;
	uint32_t bytes = 0;

	while (rig_take(r, L4X_EV_DATA, FLOW(i), &ev)) {
		assert_int_equal(ev.data.off, off + bytes);
		check_payload(ev.data.m[0], STREAM(i) + ev.data.off);
		rte_pktmbuf_free(ev.data.m[0]);
		bytes += ev.len;
	}
	return bytes;
}

/** FLOW(0) to FLOW(n - 1), whose next reads are laid out for all that there may be. */
static void
begin(struct rig *r, int *fd, unsigned int n, uint64_t *got)
{
	uint64_t written[MANY] = { 0 };
	unsigned int i, k;

	connect_flows(r, fd, n);
	for (i = 0; i < n; i++)
		written[i] = host_write(fd[i], STREAM(i), 20000);
	for (i = 0; i < n; i++)
		op_ack(r, FLOW(i), 0, FRAME, FRAME);
	for (k = 0; k < 3000 && got[n - 1] < FRAME; k++) {
		lend_to(r, r->lender, 256);
		rig_run(r, 1);
		for (i = 0; i < n; i++)
			got[i] += take_all(r, i, got[i]);
	}
	for (i = 0; i < n; i++) {
		assert_int_equal(got[i], FRAME);
		fill(fd[i], i, &written[i]);
	}
}

/** Let them read on. */
static void
let_read(struct rig *r, unsigned int n, const uint64_t *got)
{
	unsigned int i;

	for (i = 0; i < n; i++)
		op_ack(r, FLOW(i), got[i], got[i] + WINDOW, FRAME);
}

static void
one_alone_reads_more_than_a_turn(void **state)
{
	struct rig *r = rig_of(state);
	uint64_t got[1] = { 0 };
	int fd[1];

	begin(r, fd, 1, got);
	lend_to(r, r->lender, ENOUGH);
	let_read(r, 1, got);
	rig_poll(r);
	assert_true(take_all(r, 0, got[0]) > TURN);
	host_close(fd, 1);
}

static void
many_that_are_full_have_equal_turns(void **state)
{
	struct rig *r = rig_of(state);
	uint64_t got[MANY] = { 0 }, first[MANY], all;
	unsigned int i, k;
	int fd[MANY];

	begin(r, fd, MANY, got);
	memcpy(first, got, sizeof(first));
	lend_to(r, r->lender, ENOUGH);
	let_read(r, MANY, got);
	/* In two iterations there are turns for all, whole frames in each; some have a second. */
	for (k = 0; k < 2; k++) {
		rig_poll(r);
		for (i = 0, all = 0; i < MANY; i++) {
			const uint32_t bytes = take_all(r, i, got[i]);

			assert_true(bytes <= TURN);
			got[i] += bytes;
			all += bytes;
		}
		assert_true(all >= ALL && all < ALL + TURN);
		lend_to(r, r->lender, ENOUGH);
	}
	for (i = 0; i < MANY; i++)
		assert_true(got[i] - first[i] > TURN - FRAME);
	host_close(fd, MANY);
}

/** There are ever more buffers of one queue pair: who waits for another's is served all the same.
 */
static void
waiters_of_each_queue_pair_have_their_turn(void **state)
{
	struct rig *r = rig_of(state);
	struct lender *second = lender_create(PIF, 1, 0, 0, SOCKET_ID_ANY);
	struct l4x_op op = { .type = L4X_OP_ACK, .flow = FLOW(MANY - 1) };
	uint64_t got[MANY] = { 0 };
	unsigned int i, k;
	int fd[MANY];

	assert_non_null(second);
	r->conf.n_queues = 2;
	assert_int_equal(bridge_add_lender(r->b, second), 0);
	atomic_store(&second->mergeable, 1);
	lender_run(second);
	begin(r, fd, MANY, got);
	/* The last one follows its guest to the second pair, and none has a buffer left. */
	let_read(r, MANY - 1, got);
	op.ack.acked = got[MANY - 1];
	op.ack.limit = got[MANY - 1] + WINDOW;
	op.ack.frame_max = FRAME;
	op.ack.queue = 1;
	rig_op(r, &op);
	for (k = 0; k < 3000 && rig_counter(r, BRIDGE_COUNT_NO_BUFFER) < MANY; k++) {
		rig_run(r, 1);
		for (i = 0; i < MANY; i++)
			got[i] += take_all(r, i, got[i]);
	}
	assert_true(rig_counter(r, BRIDGE_COUNT_NO_BUFFER) >= MANY);
	for (k = 0; k < 2; k++) {
		lend_to(r, r->lender, ENOUGH);
		lend_to(r, second, 64);
		usleep(50);
		rig_poll(r);
	}
	assert_true(take_all(r, MANY - 1, got[MANY - 1]) != 0);
	host_close(fd, MANY);
	bridge_destroy(r->b);
	r->b = NULL;
	lender_destroy(second);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T_READS(one_alone_reads_more_than_a_turn),
		T_READS(many_that_are_full_have_equal_turns),
		T_READS(waiters_of_each_queue_pair_have_their_turn),
	};

	return cmocka_run_group_tests(tests, eal_group_start, eal_group_stop);
}
