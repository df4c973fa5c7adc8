/* SPDX-License-Identifier: BSD-3-Clause */
/* UDP and ping sockets over the bridge. */
#include "test_bridge_util.h"

#include <fcntl.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <poll.h>

/** Wait for a datagram of the flow, compare and free it. @return its length */
static uint32_t
take_dgram(struct rig *r, uint64_t flow, uint64_t off)
{
	const struct l4x_event ev = rig_wait(r, L4X_EV_DGRAM, flow);

	assert_int_equal(ev.len, ev.dgram.m->pkt_len);
	assert_true(ev.dgram.m->data_off >= HEAD_LEN);
	check_payload(ev.dgram.m, off);
	rte_pktmbuf_free(ev.dgram.m);
	return ev.len;
}

static void
both_ways(struct rig *r, int family)
{
	const int fd = dgram_flow(r, FLOW(1), family);
	uint32_t len;

	rig_lend(r, 64);
	for (len = 0; len <= 1400; len += 350) {
		op_dgram(r, FLOW(1), len, (uint16_t)len);
		rig_poll(r);
		assert_int_equal(host_datagram(fd, 0), len);
		host_send(fd, len, len, 0);
		assert_int_equal(take_dgram(r, FLOW(1), len), len);
	}
	close(fd);
}

static void
datagrams_go_both_ways(void **state)
{
	both_ways(*state, AF_INET);
}

static void
datagrams_go_both_ways_over_ipv6(void **state)
{
	both_ways(*state, AF_INET6);
}

static void
a_lone_datagram_stays_in_its_lent_buffer(void **state)
{
	struct rig *r = *state;
	const int fd = dgram_flow(r, FLOW(1), AF_INET);
	struct l4x_event ev;

	rig_lend(r, 1);
	host_send(fd, 0, 1000, 0);
	ev = rig_wait(r, L4X_EV_DGRAM, FLOW(1));
	assert_ptr_equal(ev.dgram.m->pool, r->guest);
	assert_int_equal(ev.dgram.m->data_off, 12 + HEAD_LEN);
	rte_pktmbuf_free(ev.dgram.m);
	close(fd);
}

static void
equal_datagrams_leave_with_one_call(void **state)
{
	struct rig *r = *state;
	const int fd = dgram_flow(r, FLOW(1), AF_INET);
	const uint64_t calls = rig_counter(r, BRIDGE_COUNT_SEND_CALLS);
	uint64_t off;

	op_dgram(r, FLOW(1), 20 * 64 + 10, 64);
	rig_poll(r);
	assert_int_equal(rig_counter(r, BRIDGE_COUNT_SEND_CALLS), calls + 1);
	for (off = 0; off < 20 * 64; off += 64)
		assert_int_equal(host_datagram(fd, off), 64);
	assert_int_equal(host_datagram(fd, off), 10);
	close(fd);
}

static void
a_train_longer_than_the_kernel_takes_is_cut(void **state)
{
	struct rig *r = *state;
	const int fd = dgram_flow(r, FLOW(1), AF_INET);
	uint64_t off;

	op_dgram(r, FLOW(1), 200 * 100, 100);
	rig_poll(r);
	for (off = 0; off < 20000; off += 100)
		assert_int_equal(host_datagram(fd, off), 100);
	/* In bytes, too. */
	op_dgram(r, FLOW(1), 60 * 1400, 1400);
	rig_poll(r);
	for (off = 0; off < 60 * 1400; off += 1400)
		assert_int_equal(host_datagram(fd, off), 1400);
	assert_int_equal(rig_counter(r, BRIDGE_COUNT_DGRAM_DROPPED), 0);
	close(fd);
}

static void
different_datagrams_leave_with_one_call(void **state)
{
	struct rig *r = *state;
	const int fd = dgram_flow(r, FLOW(1), AF_INET);
	const uint64_t calls = rig_counter(r, BRIDGE_COUNT_SEND_CALLS);
	uint16_t i;

	for (i = 1; i <= 20; i++)
		op_dgram(r, FLOW(1), i * 7, i * 7);
	rig_poll(r);
	assert_int_equal(rig_counter(r, BRIDGE_COUNT_SEND_CALLS), calls + 1);
	for (i = 1; i <= 20; i++)
		assert_int_equal(host_datagram(fd, 0), i * 7);
	close(fd);
}

static void
a_large_datagram_is_not_cut(void **state)
{
	struct rig *r = *state;
	const int fd = dgram_flow(r, FLOW(1), AF_INET);
	struct l4x_event ev;

	op_dgram(r, FLOW(1), 65000, 65000);
	rig_poll(r);
	assert_int_equal(host_datagram(fd, 0), 65000);
	/* Larger than a lent buffer: mbufs of the pool. */
	rig_lend(r, 2);
	host_send(fd, 0, 60000, 0);
	ev = rig_wait(r, L4X_EV_DGRAM, FLOW(1));
	assert_ptr_equal(ev.dgram.m->pool, r->pool);
	assert_true(ev.dgram.m->data_off >= HEAD_LEN);
	assert_int_equal(ev.len, 60000);
	check_payload(ev.dgram.m, 0);
	rte_pktmbuf_free(ev.dgram.m);
	close(fd);
}

static void
a_train_from_the_host_is_taken_apart_in_order(void **state)
{
	struct rig *r = *state;
	const int fd = dgram_flow(r, FLOW(1), AF_INET);
	uint64_t off;

	rig_lend(r, 256);
	host_send(fd, 0, 44 * 1400 + 7, 1400);
	for (off = 0; off < 44 * 1400; off += 1400)
		assert_int_equal(take_dgram(r, FLOW(1), off), 1400);
	assert_int_equal(take_dgram(r, FLOW(1), off), 7);
	/* Short ones, that all lie in one buffer at first; and more trains than one at a time. */
	host_send(fd, 0, 16 * 64, 64);
	host_send(fd, 16 * 64, 16 * 64, 64);
	host_send(fd, 32 * 64, 100, 0);
	for (off = 0; off < 32 * 64; off += 64)
		assert_int_equal(take_dgram(r, FLOW(1), off), 64);
	assert_int_equal(take_dgram(r, FLOW(1), off), 100);
	assert_int_equal(rig_counter(r, BRIDGE_COUNT_DGRAM_DROPPED), 0);
	close(fd);
}

static void
a_train_with_few_buffers_goes_to_the_pool(void **state)
{
	struct rig *r = *state;
	const int fd = dgram_flow(r, FLOW(1), AF_INET);
	uint64_t off;

	rig_lend(r, 3);
	host_send(fd, 0, 40 * 1000, 1000);
	for (off = 0; off < 40 * 1000; off += 1000)
		assert_int_equal(take_dgram(r, FLOW(1), off), 1000);
	close(fd);
}

static void
a_port_without_lender_gets_pool_mbufs(void **state)
{
	struct rig *r = *state;
	struct l4x_op op = { .type = L4X_OP_OPEN, .flow = FLOW(1) };
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	rte_be16_t port;
	const int fd = host_listen(AF_INET, SOCK_DGRAM, &port);
	uint8_t buf[16];

	op.open.peer = loopback_addr(AF_INET);
	op.open.peer_port = port;
	op.open.pif = PIF + 1;
	op.open.proto = IPPROTO_UDP;
	op.open.head_len = HEAD_LEN;
	rig_op(r, &op);
	op_dgram(r, FLOW(1), 5, 5);
	rig_poll(r);
	assert_int_equal(recvfrom(fd, buf, sizeof(buf), 0, (struct sockaddr *)&ss, &len), 5);
	assert_int_equal(connect(fd, (struct sockaddr *)&ss, len), 0);
	host_send(fd, 0, 1000, 0);
	assert_int_equal(take_dgram(r, FLOW(1), 0), 1000);
	close(fd);
}

static void
without_buffers_datagrams_wait_in_the_socket(void **state)
{
	struct rig *r = *state;
	const int fd = dgram_flow(r, FLOW(1), AF_INET);

	host_send(fd, 0, 1000, 0);
	rig_run(r, 2);
	assert_int_equal(rig_count(r, L4X_EV_DGRAM, FLOW(1)), 0);
	assert_true(lender_hungry(r->lender));
	assert_false(bridge_has_work(r->b));
	rig_lend(r, 1);
	assert_int_equal(take_dgram(r, FLOW(1), 0), 1000);
	close(fd);
}

static void
closed_port(struct rig *r, int family, uint8_t type, uint8_t code)
{
	const int fd = dgram_flow(r, FLOW(1), family);
	const struct flowtab_addr lo = loopback_addr(family);
	struct l4x_event ev;
	unsigned int i;

	close(fd);
	for (i = 0; i < 3; i++) {
		op_dgram(r, FLOW(1), 100, 100);
		ev = rig_wait(r, L4X_EV_ERROR, FLOW(1));
		assert_int_equal(ev.error.err, ECONNREFUSED);
		assert_int_equal(ev.error.from_icmp, 1);
		assert_int_equal(ev.error.icmp_type, type);
		assert_int_equal(ev.error.icmp_code, code);
		assert_true(flowtab_addr_eq(&ev.error.offender, &lo));
	}
	rig_run(r, 2);
	assert_int_equal(r->n_events, 0);
	assert_false(bridge_has_work(r->b));
}

static void
a_closed_port_is_told_and_the_flow_lives(void **state)
{
	closed_port(*state, AF_INET, 3, 3);
}

static void
a_closed_port_is_told_over_ipv6(void **state)
{
	closed_port(*state, AF_INET6, 1, 4);
}

static void
an_error_does_not_hold_datagrams_up(void **state)
{
	struct rig *r = *state;
	const int fd = dgram_flow(r, FLOW(1), AF_INET);
	struct sockaddr_in self, peer;
	socklen_t len = sizeof(self);
	int again;

	rig_lend(r, 8);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&self, &len), 0);
	assert_int_equal(getpeername(fd, (struct sockaddr *)&peer, &len), 0);
	close(fd);
	/* Refused; then somebody is there, and sends; then the error is read. */
	op_dgram(r, FLOW(1), 10, 10);
	r->deaf = true;
	rig_poll(r);
	again = socket(AF_INET, SOCK_DGRAM, 0);
	assert_int_equal(bind(again, (struct sockaddr *)&self, sizeof(self)), 0);
	assert_int_equal(connect(again, (struct sockaddr *)&peer, sizeof(peer)), 0);
	host_send(again, 0, 500, 0);
	r->deaf = false;
	assert_int_equal(take_dgram(r, FLOW(1), 0), 500);
	rig_wait(r, L4X_EV_ERROR, FLOW(1));
	op_dgram(r, FLOW(1), 300, 300);
	rig_poll(r);
	assert_int_equal(host_datagram(again, 0), 300);
	close(again);
}

static void
dscp_ecn_and_ttl_pass_both_ways(void **state)
{
	struct rig *r = *state;
	const int fd = dgram_flow(r, FLOW(1), AF_INET);
	struct l4x_op op = { .type = L4X_OP_DGRAM, .flow = FLOW(1), .len = 10, .tos = 0xb9 };
	char control[64], byte[16];
	struct iovec iov = { byte, sizeof(byte) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control };
	struct l4x_event ev;

	msg.msg_controllen = sizeof(control);
	assert_int_equal(sock_set(fd, IPPROTO_IP, IP_RECVTOS, 1), 0);
	op.dgram.m = make_payload(r, 0, 10);
	op.ttl = 7;
	rig_op(r, &op);
	rig_poll(r);
	assert_int_equal(recvmsg(fd, &msg, 0), 10);
	assert_int_equal(*CMSG_DATA(CMSG_FIRSTHDR(&msg)), 0xb9);
	assert_int_equal(sock_set(fd, IPPROTO_IP, IP_TOS, 0x2e << 2 | 3), 0);
	assert_int_equal(sock_set(fd, IPPROTO_IP, IP_TTL, 44), 0);
	rig_lend(r, 1);
	host_send(fd, 0, 10, 0);
	ev = rig_wait(r, L4X_EV_DGRAM, FLOW(1));
	assert_int_equal(ev.tos, 0x2e << 2 | 3);
	assert_int_equal(ev.ttl, 44);
	rte_pktmbuf_free(ev.dgram.m);
	close(fd);
}

static void
unreachable_peer_is_an_error(void **state)
{
	struct rig *r = *state;
	struct l4x_op op = { .type = L4X_OP_OPEN, .flow = FLOW(1) };

	op.open.peer = flowtab_addr_v4(htonl(0xffffffff));
	op.open.peer_port = htons(9);
	op.open.pif = PIF;
	op.open.proto = IPPROTO_UDP;
	rig_op(r, &op);
	op_dgram(r, FLOW(1), 10, 10);
	assert_int_equal(rig_wait(r, L4X_EV_ERROR, FLOW(1)).error.err, EACCES);
}

/* ---- in a network of their own ---- */

static void
a_refused_train_is_sent_one_by_one(void **state)
{
	const int before = net_enter(1500);
	struct rig *r = *state;
	uint64_t off;
	int fd;

	if (before < 0)
		skip();
	fd = dgram_flow(r, FLOW(1), AF_INET);
	/* No segment of a train may be larger than the path takes; a datagram may. */
	op_dgram(r, FLOW(1), 10 * 2000 + 3, 2000);
	rig_poll(r);
	for (off = 0; off < 20000; off += 2000)
		assert_int_equal(host_datagram(fd, off), 2000);
	assert_int_equal(host_datagram(fd, off), 3);
	assert_int_equal(rig_counter(r, BRIDGE_COUNT_DGRAM_DROPPED), 0);
	op_close(r, FLOW(1), false);
	rig_poll(r);
	close(fd);
	net_leave(before);
}

static void
op_dgram_df(struct rig *r, uint64_t flow, uint32_t len, uint16_t seg)
{
	struct l4x_op op = { .type = L4X_OP_DGRAM, .flow = flow, .len = len };

	op.dgram.m = make_payload(r, 0, len);
	op.dgram.seg = seg;
	op.dgram.df = 1;
	rig_op(r, &op);
}

static void
too_large_is_told_only_of_what_may_not_be_fragmented(void **state)
{
	static const int families[] = { AF_INET, AF_INET6 };
	const int before = net_enter(1500);
	struct rig *r = *state;
	unsigned int i;

	if (before < 0)
		skip();
	for (i = 0; i < RTE_DIM(families); i++) {
		const uint64_t flow = FLOW(i + 1);
		const int fd = dgram_flow(r, flow, families[i]);
		struct l4x_event ev;

		op_dgram(r, flow, 3000, 3000);
		op_dgram_df(r, flow, 3000, 3000);
		op_dgram_df(r, flow, 1000, 1000);
		op_dgram(r, flow, 3001, 3001);
		ev = rig_wait(r, L4X_EV_ERROR, flow);
		assert_int_equal(ev.error.err, EMSGSIZE);
		assert_int_equal(ev.error.info, 1500);
		assert_int_equal(ev.error.from_icmp, 0);
		assert_int_equal(host_datagram(fd, 0), 3000);
		assert_int_equal(host_datagram(fd, 0), 1000);
		assert_int_equal(host_datagram(fd, 0), 3001);
		rig_run(r, 2);
		assert_int_equal(r->n_events, 0);
		op_close(r, flow, false);
		close(fd);
	}
	rig_poll(r);
	net_leave(before);
}

static void
a_train_too_large_is_told_once_and_the_next_leaves_with_one_call(void **state)
{
	const int before = net_enter(1500);
	struct rig *r = *state;
	uint64_t calls, off;
	int fd;

	if (before < 0)
		skip();
	fd = dgram_flow(r, FLOW(1), AF_INET);
	op_dgram_df(r, FLOW(1), 10 * 2000, 2000);
	assert_int_equal(rig_wait(r, L4X_EV_ERROR, FLOW(1)).error.info, 1500);
	rig_run(r, 2);
	assert_int_equal(r->n_events, 0);
	assert_int_equal(rig_counter(r, BRIDGE_COUNT_DGRAM_DROPPED), 10);
	calls = rig_counter(r, BRIDGE_COUNT_SEND_CALLS);
	op_dgram_df(r, FLOW(1), 10 * 1000, 1000);
	rig_poll(r);
	assert_int_equal(rig_counter(r, BRIDGE_COUNT_SEND_CALLS), calls + 1);
	for (off = 0; off < 10000; off += 1000)
		assert_int_equal(host_datagram(fd, off), 1000);
	op_close(r, FLOW(1), false);
	rig_poll(r);
	close(fd);
	net_leave(before);
}

static void
echoes_go_through_a_ping_socket(void **state)
{
	const uint8_t request[] = { 8, 0, 0, 0, 0x12, 0x34, 0, 1, 'w', 'e', 'i', 'r' };
	const char range[] = "0 2147483647";
	const int before = net_enter(65536);
	struct l4x_op op = { .type = L4X_OP_OPEN, .flow = FLOW(1) };
	struct rig *r = *state;
	struct l4x_event ev;
	uint8_t *p;
	int fd;

	if (before < 0)
		skip();
	fd = open("/proc/sys/net/ipv4/ping_group_range", O_WRONLY);
	if (fd < 0 || write(fd, range, strlen(range)) < 0) {
		net_leave(before);
		print_message("ping sockets cannot be allowed\n");
		skip();
	}
	close(fd);
	assert_int_equal(bridge_probe_ping(false), 0);
	op.open.peer = loopback_addr(AF_INET);
	op.open.pif = PIF;
	op.open.proto = IPPROTO_ICMP;
	op.open.local_port = htons(0x1234);
	op.open.head_len = HEAD_LEN;
	rig_op(r, &op);
	op = (struct l4x_op){ .type = L4X_OP_DGRAM, .flow = FLOW(1), .len = sizeof(request) };
	op.dgram.m = rte_pktmbuf_alloc(r->pool);
	memcpy(rte_pktmbuf_append(op.dgram.m, sizeof(request)), request, sizeof(request));
	op.dgram.seg = sizeof(request);
	rig_lend(r, 4);
	rig_op(r, &op);
	ev = rig_wait(r, L4X_EV_DGRAM, FLOW(1));
	p = rte_pktmbuf_mtod(ev.dgram.m, uint8_t *);
	assert_int_equal(ev.len, sizeof(request));
	assert_int_equal(p[0], 0);
	/* The id that was wished for. */
	assert_memory_equal(p + 4, request + 4, 8);
	rte_pktmbuf_free(ev.dgram.m);
	/* The same id again: taken, so another one, and no error. */
	op = (struct l4x_op){ .type = L4X_OP_OPEN, .flow = FLOW(2) };
	op.open.peer = loopback_addr(AF_INET);
	op.open.pif = PIF;
	op.open.proto = IPPROTO_ICMP;
	op.open.local_port = htons(0x1234);
	rig_op(r, &op);
	rig_run(r, 2);
	assert_int_equal(r->n_events, 0);
	op_close(r, FLOW(1), false);
	op_close(r, FLOW(2), false);
	rig_poll(r);
	net_leave(before);
}

#define T(f) cmocka_unit_test_setup_teardown(f, rig_start, rig_stop)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(datagrams_go_both_ways),
		T(datagrams_go_both_ways_over_ipv6),
		T(a_lone_datagram_stays_in_its_lent_buffer),
		T(equal_datagrams_leave_with_one_call),
		T(a_train_longer_than_the_kernel_takes_is_cut),
		T(different_datagrams_leave_with_one_call),
		T(a_large_datagram_is_not_cut),
		T(a_train_from_the_host_is_taken_apart_in_order),
		T(a_train_with_few_buffers_goes_to_the_pool),
		T(a_port_without_lender_gets_pool_mbufs),
		T(without_buffers_datagrams_wait_in_the_socket),
		T(a_closed_port_is_told_and_the_flow_lives),
		T(a_closed_port_is_told_over_ipv6),
		T(an_error_does_not_hold_datagrams_up),
		T(dscp_ecn_and_ttl_pass_both_ways),
		T(unreachable_peer_is_an_error),
		T(a_refused_train_is_sent_one_by_one),
		T(too_large_is_told_only_of_what_may_not_be_fragmented),
		T(a_train_too_large_is_told_once_and_the_next_leaves_with_one_call),
		T(echoes_go_through_a_ping_socket),
	};

	return cmocka_run_group_tests(tests, eal_group_start, eal_group_stop);
}
