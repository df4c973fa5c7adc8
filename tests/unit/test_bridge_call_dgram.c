/* SPDX-License-Identifier: BSD-3-Clause */
/* Socket calls of several flows in one iteration, one by one and together: datagrams. */
#include "test_bridge_util.h"

#include <netinet/ip.h>
#include <sys/mman.h>

#define MANY 40

static void
open_flows(struct rig *r, int *fd, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++)
		fd[i] = dgram_flow(r, FLOW(i), i % 4 == 3 ? AF_INET6 : AF_INET);
}

static void
expect_none(int fd)
{
	char byte;

	assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), -1);
	assert_int_equal(errno, EAGAIN);
}

/** The datagrams of a train: so many bytes in parts of seg. */
static void
expect_train(int fd, uint32_t len, uint32_t seg)
{
	uint32_t off;

	for (off = 0; off < len; off += seg)
		assert_int_equal(host_datagram(fd, off), RTE_MIN(seg, len - off));
	expect_none(fd);
}

static void
datagrams_of_many_flows_arrive(void **state)
{
	struct rig *r = rig_of(state);
	unsigned int i, k;
	int fd[MANY];

	open_flows(r, fd, MANY);
	for (k = 0; k < 5; k++) {
		/* An empty one is a datagram, too. */
		for (i = 0; i < MANY; i++)
			op_dgram(r, FLOW(i), k * 100 + i, 0);
		rig_poll(r);
		for (i = 0; i < MANY; i++) {
			assert_int_equal(host_datagram(fd[i], 0), k * 100 + i);
			expect_none(fd[i]);
		}
	}
	/* As many rounds as there were bursts; the first ones came alone. */
	assert_int_equal(rig_counter(r, BRIDGE_COUNT_TOGETHER), r->params.uring ? k : 0);
	assert_int_equal(rig_counter(r, BRIDGE_COUNT_DGRAM_DROPPED), 0);
	host_close(fd, MANY);
}

static void
different_datagrams_of_a_flow_arrive_in_order_amid_others(void **state)
{
	struct rig *r = rig_of(state);
	unsigned int i, k;
	int fd[3];

	open_flows(r, fd, 3);
	/* Some in a row, some with others' between them. */
	for (i = 0; i < 20; i++) {
		op_dgram(r, FLOW(0), 500 - 7 * i, 0);
		if (i % 3 == 0)
			op_dgram(r, FLOW(1), 1 + i, 0);
		if (i % 5 == 0)
			op_dgram(r, FLOW(2), 600 + i, 0);
	}
	rig_poll(r);
	for (i = 0; i < 20; i++)
		assert_int_equal(host_datagram(fd[0], 0), 500 - 7 * i);
	for (i = 0; i < 20; i += 3)
		assert_int_equal(host_datagram(fd[1], 0), 1 + i);
	for (i = 0; i < 20; i += 5)
		assert_int_equal(host_datagram(fd[2], 0), 600 + i);
	for (k = 0; k < 3; k++)
		expect_none(fd[k]);
	rig_check_together(r);
	host_close(fd, 3);
}

/** A train whose chain is of parts that are not its datagrams. */
static void
op_train(struct rig *r, unsigned int i, uint32_t len, uint16_t seg, uint32_t part)
{
	struct l4x_op op = { .type = L4X_OP_DGRAM, .flow = FLOW(i), .len = len };

	op.dgram.m = make_chain(r, 0, len, part);
	op.dgram.seg = seg;
	rig_op(r, &op);
}

static void
trains_of_many_flows_arrive_with_a_call_each(void **state)
{
	struct rig *r = rig_of(state);
	uint64_t calls;
	unsigned int i;
	int fd[20];

	open_flows(r, fd, 20);
	calls = rig_counter(r, BRIDGE_COUNT_SEND_CALLS);
	for (i = 0; i < 20; i++)
		op_train(r, i, 20 * 64 + i, 64, 50);
	rig_poll(r);
	assert_int_equal(rig_counter(r, BRIDGE_COUNT_SEND_CALLS), calls + 20);
	for (i = 0; i < 20; i++)
		expect_train(fd[i], 20 * 64 + i, 64);
	rig_check_together(r);
	host_close(fd, 20);
}

static void
trains_and_lone_datagrams_of_a_flow_stay_apart(void **state)
{
	struct rig *r = rig_of(state);
	unsigned int i, k;
	int fd[10];

	open_flows(r, fd, 10);
	for (i = 0; i < 10; i++) {
		op_train(r, i, 300, 100, 1000);
		op_dgram(r, FLOW(i), 300, 0);
		op_train(r, i, 250, 90, 1000);
	}
	rig_poll(r);
	for (i = 0; i < 10; i++) {
		for (k = 0; k < 3; k++)
			assert_int_equal(host_datagram(fd[i], k * 100), 100);
		assert_int_equal(host_datagram(fd[i], 0), 300);
		expect_train(fd[i], 250, 90);
	}
	/* Nothing is left of them for those that come next. */
	for (i = 0; i < 10; i++)
		for (k = 1; k <= 3; k++)
			op_dgram(r, FLOW(i), k * 300, 0);
	rig_poll(r);
	for (i = 0; i < 10; i++)
		for (k = 1; k <= 3; k++)
			assert_int_equal(host_datagram(fd[i], 0), k * 300);
	rig_check_together(r);
	host_close(fd, 10);
}

static void
more_trains_than_fit_at_once_arrive(void **state)
{
	struct rig *r = rig_of(state);
	unsigned int i;
	int fd[30];

	open_flows(r, fd, 30);
	/* Four calls each. */
	for (i = 0; i < 30; i++)
		op_train(r, i, 200 * 20, 20, 1000);
	rig_poll(r);
	for (i = 0; i < 30; i++)
		expect_train(fd[i], 200 * 20, 20);
	assert_int_equal(rig_counter(r, BRIDGE_COUNT_DGRAM_DROPPED), 0);
	rig_check_together(r);
	host_close(fd, 30);
}

static void
datagrams_of_more_segments_than_fit_at_once_arrive(void **state)
{
	struct rig *r = rig_of(state);
	unsigned int i;
	int fd[10];

	open_flows(r, fd, 10);
	/* One has more than any call carries: that one is dropped. */
	for (i = 0; i < 10; i++)
		op_train(r, i, i == 4 ? 1100 : 600 + i, 0, 1);
	rig_poll(r);
	for (i = 0; i < 10; i++) {
		if (i != 4)
			assert_int_equal(host_datagram(fd[i], 0), 600 + i);
		expect_none(fd[i]);
	}
	assert_int_equal(rig_counter(r, BRIDGE_COUNT_DGRAM_DROPPED), 1);
	rig_check_together(r);
	host_close(fd, 10);
}

/** FLOW(i) has sent to a closed port, which its socket is to be told yet; then somebody is there.
 */
static int
refuse_one(struct rig *r, int fd, unsigned int i)
{
	const int other = host_other_end(fd);
	struct sockaddr_in self;
	socklen_t len = sizeof(self);
	int again;

	assert_int_equal(getsockname(fd, (struct sockaddr *)&self, &len), 0);
	close(fd);
	rig_poll(r);
	op_dgram(r, FLOW(i), 10, 0);
	rig_poll_at_once(r);
	host_wait(other);
	again = socket(AF_INET, SOCK_DGRAM, 0);
	assert_int_equal(bind(again, (struct sockaddr *)&self, sizeof(self)), 0);
	return again;
}

static void
an_error_of_an_earlier_datagram_costs_no_other(void **state)
{
	struct rig *r = rig_of(state);
	unsigned int i;
	int fd[20];

	open_flows(r, fd, 20);
	fd[4] = refuse_one(r, fd[4], 4);
	assert_int_equal(rig_count(r, L4X_EV_ERROR, FLOW(4)), 0);
	for (i = 0; i < 20; i++) {
		op_dgram(r, FLOW(i), 100 + i, 0);
		op_dgram(r, FLOW(i), 200 + i, 0);
	}
	rig_poll_at_once(r);
	for (i = 0; i < 20; i++) {
		/* The one that met the error may come behind the other. */
		assert_int_equal(host_datagram(fd[i], 0) + host_datagram(fd[i], 0), 300 + 2 * i);
		expect_none(fd[i]);
	}
	assert_int_equal(rig_wait(r, L4X_EV_ERROR, FLOW(4)).error.err, ECONNREFUSED);
	rig_run(r, 2);
	assert_int_equal(r->n_events, 0);
	assert_int_equal(rig_counter(r, BRIDGE_COUNT_DGRAM_DROPPED), 0);
	rig_check_together(r);
	host_close(fd, 20);
}

static void
an_error_of_an_earlier_datagram_costs_no_train(void **state)
{
	struct rig *r = rig_of(state);
	unsigned int i;
	int fd[5];

	open_flows(r, fd, 5);
	fd[2] = refuse_one(r, fd[2], 2);
	for (i = 0; i < 5; i++)
		op_train(r, i, 1000, 90, 77);
	rig_poll_at_once(r);
	for (i = 0; i < 5; i++)
		expect_train(fd[i], 1000, 90);
	assert_int_equal(rig_wait(r, L4X_EV_ERROR, FLOW(2)).error.err, ECONNREFUSED);
	rig_run(r, 2);
	assert_int_equal(r->n_events, 0);
	assert_int_equal(rig_counter(r, BRIDGE_COUNT_DGRAM_DROPPED), 0);
	rig_check_together(r);
	host_close(fd, 5);
}

static void
op_marked(struct rig *r, unsigned int i, uint32_t len, uint8_t tos, uint8_t ttl)
{
	struct l4x_op op = { .type = L4X_OP_DGRAM, .flow = FLOW(i), .len = len };

	op.tos = tos;
	op.ttl = ttl;
	op.dgram.m = make_payload(r, 0, len);
	rig_op(r, &op);
}

/** Receive a datagram of so many bytes with these in its header; ttl 0: whatever it is. */
static void
expect_marked(int fd, uint32_t len, uint8_t tos, uint8_t ttl)
{
	char control[128], buf[2048];
	struct iovec iov = { buf, sizeof(buf) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control };
	struct cmsghdr *c;
	int value;

	msg.msg_controllen = sizeof(control);
	assert_int_equal(recvmsg(fd, &msg, 0), len);
	for (c = CMSG_FIRSTHDR(&msg); c != NULL; c = CMSG_NXTHDR(&msg, c)) {
		if (c->cmsg_type == IP_TOS) {
			assert_int_equal(*CMSG_DATA(c), tos);
		} else if (c->cmsg_type == IP_TTL && ttl != 0) {
			memcpy(&value, CMSG_DATA(c), sizeof(value));
			assert_int_equal(value, ttl);
		}
	}
}

static void
changes_of_the_header_apply_from_their_datagram_on(void **state)
{
	static const struct {
		uint8_t tos, ttl;
	} header[] = { { 0x10, 0 }, { 0x10, 9 }, { 0x20, 9 }, { 0, 77 }, { 0, 77 }, { 0xb8, 0 } };
	struct rig *r = rig_of(state);
	unsigned int i, k;
	int fd[3];

	for (i = 0; i < 3; i++) {
		fd[i] = dgram_flow(r, FLOW(i), AF_INET);
		assert_int_equal(sock_set(fd[i], IPPROTO_IP, IP_RECVTOS, 1), 0);
		assert_int_equal(sock_set(fd[i], IPPROTO_IP, IP_RECVTTL, 1), 0);
	}
	/* One whose header changes, between those of others that stay as they are. */
	for (k = 0; k < RTE_DIM(header); k++) {
		op_marked(r, 0, 100 + k, 0x40, 5);
		op_marked(r, 1, 200 + k, header[k].tos, header[k].ttl);
		op_marked(r, 1, 300 + k, header[k].tos, header[k].ttl);
		op_marked(r, 2, 400 + k, 0, 0);
	}
	rig_poll(r);
	for (k = 0; k < RTE_DIM(header); k++) {
		expect_marked(fd[0], 100 + k, 0x40, 5);
		expect_marked(fd[1], 200 + k, header[k].tos, header[k].ttl);
		expect_marked(fd[1], 300 + k, header[k].tos, header[k].ttl);
		expect_marked(fd[2], 400 + k, 0, 0);
	}
	rig_check_together(r);
	host_close(fd, 3);
}

static void
a_close_of_the_same_burst_comes_after_the_datagrams(void **state)
{
	const uint64_t newer = flowtab_handle_make(0, 8, 1);
	struct rig *r = rig_of(state);
	rte_be16_t port;
	int fd[3], other;

	open_flows(r, fd, 3);
	other = host_listen(AF_INET, SOCK_DGRAM, &port);
	op_dgram(r, FLOW(0), 100, 0);
	op_dgram(r, FLOW(1), 200, 0);
	op_close(r, FLOW(1), false);
	op_open(r, newer, IPPROTO_UDP, AF_INET, port);
	op_dgram(r, newer, 250, 0);
	op_dgram(r, FLOW(1), 300, 0);
	op_dgram(r, FLOW(2), 400, 0);
	rig_poll(r);
	assert_int_equal(host_datagram(fd[0], 0), 100);
	assert_int_equal(host_datagram(fd[1], 0), 200);
	assert_int_equal(host_datagram(fd[2], 0), 400);
	assert_int_equal(host_datagram(other, 0), 250);
	/* One for a flow that is gone. */
	assert_int_equal(rig_counter(r, BRIDGE_COUNT_STALE), 1);
	expect_none(fd[1]);
	expect_none(other);
	rig_check_together(r);
	close(other);
	host_close(fd, 3);
}

static void
lost_memory_of_one_datagram_fails_that_flow_alone(void **state)
{
	struct l4x_op op = { .type = L4X_OP_DGRAM, .flow = FLOW(3), .len = 1000 };
	struct rig *r = rig_of(state);
	unsigned int i;
	void *gone;
	int fd[10];

	open_flows(r, fd, 10);
	for (i = 0; i < 10; i++) {
		if (i != 3) {
			op_dgram(r, FLOW(i), 100 + i, 0);
			continue;
		}
		/* Twice: who has failed does not fail again. */
		op.dgram.m = make_lost(r->pool, &gone);
		rte_pktmbuf_append(op.dgram.m, 1000);
		rte_mbuf_refcnt_update(op.dgram.m, 1);
		rig_op(r, &op);
		rig_op(r, &op);
	}
	rig_poll(r);
	assert_int_equal(rig_wait(r, L4X_EV_ERROR, FLOW(3)).error.err, EFAULT);
	for (i = 0; i < 10; i++)
		if (i != 3)
			assert_int_equal(host_datagram(fd[i], 0), 100 + i);
	assert_int_equal(rig_counter(r, BRIDGE_COUNT_MEMORY_LOST), 1);
	rig_run(r, 2);
	assert_int_equal(r->n_events, 0);
	rig_check_together(r);
	munmap(gone, 4096);
	host_close(fd, 10);
}

static void
streams_and_datagrams_of_one_burst_arrive(void **state)
{
	struct rig *r = rig_of(state);
	unsigned int i;
	int fd[MANY];

	for (i = 0; i < MANY; i++)
		fd[i] = i % 2 == 0 ? connect_flow(r, FLOW(i)) : dgram_flow(r, FLOW(i), AF_INET);
	for (i = 0; i < MANY; i++) {
		if (i % 2 == 0)
			op_send_own(r, i, 0, 1000);
		else
			op_train(r, i, 330, 100, 64);
	}
	rig_poll(r);
	for (i = 0; i < MANY; i++) {
		if (i % 2 == 0)
			host_expect(fd[i], STREAM(i), 1000);
		else
			expect_train(fd[i], 330, 100);
	}
	rig_check_together(r);
	host_close(fd, MANY);
}

/* ---- in a network of their own ---- */

static void
refused_trains_of_many_flows_are_sent_one_by_one(void **state)
{
	struct rig *r = rig_of(state);
	const int before = net_enter(1500);
	unsigned int i;
	int fd[10];

	if (before < 0)
		skip();
	for (i = 0; i < 10; i++)
		fd[i] = dgram_flow(r, FLOW(i), AF_INET);
	/* No segment of a train may be larger than the path takes; a datagram may. */
	for (i = 0; i < 10; i++)
		op_train(r, i, i % 2 == 0 ? 5 * 2000 + 3 : 5 * 200 + 3, i % 2 == 0 ? 2000 : 200,
			1111);
	rig_poll(r);
	for (i = 0; i < 10; i++)
		expect_train(
			fd[i], i % 2 == 0 ? 5 * 2000 + 3 : 5 * 200 + 3, i % 2 == 0 ? 2000 : 200);
	assert_int_equal(rig_counter(r, BRIDGE_COUNT_DGRAM_DROPPED), 0);
	for (i = 0; i < 10; i++)
		op_close(r, FLOW(i), false);
	rig_poll(r);
	rig_check_together(r);
	host_close(fd, 10);
	net_leave(before);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T_CALLS(datagrams_of_many_flows_arrive),
		T_CALLS(different_datagrams_of_a_flow_arrive_in_order_amid_others),
		T_CALLS(trains_of_many_flows_arrive_with_a_call_each),
		T_CALLS(trains_and_lone_datagrams_of_a_flow_stay_apart),
		T_CALLS(more_trains_than_fit_at_once_arrive),
		T_CALLS(datagrams_of_more_segments_than_fit_at_once_arrive),
		T_CALLS(an_error_of_an_earlier_datagram_costs_no_other),
		T_CALLS(an_error_of_an_earlier_datagram_costs_no_train),
		T_CALLS(changes_of_the_header_apply_from_their_datagram_on),
		T_CALLS(a_close_of_the_same_burst_comes_after_the_datagrams),
		T_CALLS(lost_memory_of_one_datagram_fails_that_flow_alone),
		T_CALLS(streams_and_datagrams_of_one_burst_arrive),
		T_CALLS(refused_trains_of_many_flows_are_sent_one_by_one),
	};

	return cmocka_run_group_tests(tests, eal_group_start, eal_group_stop);
}
