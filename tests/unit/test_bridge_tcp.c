/* SPDX-License-Identifier: BSD-3-Clause */
/* TCP over the bridge: opening, guest -> socket, ends. */
#include "test_bridge_util.h"

#include <sys/mman.h>
#include <sys/resource.h>

#define MIB (1u << 20)
/** Sockets of a family that the bridge has ready: BRIDGE_SPARES. */
#define SPARES 16u

static void
open_tells_a_first_window(void **state)
{
	struct rig *r = *state;
	rte_be16_t port;
	const int listener = host_listen(AF_INET, SOCK_STREAM, &port);
	struct l4x_event ev;

	op_open(r, FLOW(1), IPPROTO_TCP, AF_INET, port);
	ev = rig_wait(r, L4X_EV_CONNECTED, FLOW(1));
	assert_int_equal(ev.sent.taken, 0);
	assert_int_equal(ev.sent.acked, 0);
	assert_true(ev.sent.space >= 65536);
	assert_int_equal(ev.sent.flags, 0);
	close(listener);
}

static void
open_reaches_ipv6_peers(void **state)
{
	struct rig *r = *state;
	rte_be16_t port;
	const int listener = host_listen(AF_INET6, SOCK_STREAM, &port);

	op_open(r, FLOW(1), IPPROTO_TCP, AF_INET6, port);
	rig_wait(r, L4X_EV_CONNECTED, FLOW(1));
	close(listener);
}

static void
name_of_the_socket_is_told_when_asked_for(void **state)
{
	static const int families[] = { AF_INET, AF_INET6 };
	struct rig *r = *state;

	for (unsigned int i = 0; i < RTE_DIM(families); i++) {
		struct l4x_op op = { .type = L4X_OP_OPEN, .flow = FLOW(1 + i) };
		struct sockaddr_storage ss;
		socklen_t len = sizeof(ss);
		struct flowtab_addr seen;
		struct l4x_event ev;
		rte_be16_t port;
		const int listener = host_listen(families[i], SOCK_STREAM, &op.open.peer_port);
		int peer;

		op.open.peer = loopback_addr(families[i]);
		op.open.pif = PIF;
		op.open.proto = IPPROTO_TCP;
		op.open.head_len = HEAD_LEN;
		op.open.flags = L4X_OPEN_NAMED;
		rig_op(r, &op);
		ev = rig_wait(r, L4X_EV_CONNECTED, FLOW(1 + i));
		assert_int_equal(ev.sent.flags, L4X_SENT_NAMED);
		peer = accept(listener, (struct sockaddr *)&ss, &len);
		assert_true(sock_addr_get(&ss, &seen, &port));
		assert_true(flowtab_addr_eq(&seen, &ev.sent.local));
		assert_int_equal(port, ev.sent.local_port);
		close(peer);
		close(listener);
	}
}

static void
refused_connection_is_an_error_once(void **state)
{
	struct rig *r = *state;
	rte_be16_t port;
	const int listener = host_listen(AF_INET, SOCK_STREAM, &port);
	struct l4x_event ev;

	close(listener);
	op_open(r, FLOW(1), IPPROTO_TCP, AF_INET, port);
	ev = rig_wait(r, L4X_EV_ERROR, FLOW(1));
	assert_int_equal(ev.error.err, ECONNREFUSED);
	assert_int_equal(ev.error.from_icmp, 0);
	rig_run(r, 5);
	assert_int_equal(r->n_events, 0);
	op_close(r, FLOW(1), true);
	rig_poll(r);
	assert_int_equal(rig_counter(r, BRIDGE_COUNT_STALE), 0);
}

static void
unreachable_address_is_an_error(void **state)
{
	struct rig *r = *state;
	struct l4x_op op = { .type = L4X_OP_OPEN, .flow = FLOW(1) };

	op.open.peer = flowtab_addr_v4(htonl(0xffffffff));
	op.open.peer_port = htons(9);
	op.open.pif = PIF;
	op.open.proto = IPPROTO_TCP;
	rig_op(r, &op);
	assert_true(rig_wait(r, L4X_EV_ERROR, FLOW(1)).error.err > 0);
}

static void
open_binds_to_the_address_that_it_is_told(void **state)
{
	struct rig *r = *state;
	rte_be16_t port;
	const int listener = host_listen(AF_INET, SOCK_STREAM, &port);
	struct l4x_op op = { .type = L4X_OP_OPEN, .flow = FLOW(1) };
	struct sockaddr_in peer;
	socklen_t len = sizeof(peer);
	int fd;

	op.open.peer = loopback_addr(AF_INET);
	op.open.peer_port = port;
	op.open.local = flowtab_addr_v4(htonl(0x7f000005));
	op.open.pif = PIF;
	op.open.proto = IPPROTO_TCP;
	rig_op(r, &op);
	rig_wait(r, L4X_EV_CONNECTED, FLOW(1));
	fd = host_accept(listener);
	assert_int_equal(getpeername(fd, (struct sockaddr *)&peer, &len), 0);
	assert_int_equal(ntohl(peer.sin_addr.s_addr), 0x7f000005);
	close(fd);
	close(listener);
}

static void
guests_stream_arrives_whole(void **state)
{
	struct rig *r = *state;
	const int fd = connect_flow(r, FLOW(1));
	uint64_t sent = 0, got = 0, taken = 0;
	struct l4x_event ev;
	ssize_t n;

	while (got < 8 * MIB) {
		/* Some that follow each other within one burst, of odd sizes. */
		while (sent < 8 * MIB && sent - taken < 256 * 1024) {
			const uint32_t len = (uint32_t)RTE_MIN(8 * MIB - sent, 61001u);

			op_send(r, FLOW(1), sent, len);
			sent += len;
		}
		rig_poll(r);
		while (rig_take(r, L4X_EV_SENT, FLOW(1), &ev)) {
			assert_true(ev.sent.taken >= taken);
			taken = ev.sent.taken;
			assert_int_equal(ev.sent.acked, taken);
			if (ev.sent.flags & L4X_SENT_SHORT)
				sent = taken;
		}
		n = host_read(fd, got, 65536);
		assert_true(n >= 0);
		got += (uint64_t)n;
	}
	assert_int_equal(taken, 8 * MIB);
	close(fd);
}

static void
what_the_socket_does_not_take_is_told_and_so_is_new_room(void **state)
{
	struct rig *r = *state;
	const int fd = connect_flow(r, FLOW(1));
	uint64_t sent = 0, got = 0;
	struct l4x_event ev = { .sent.flags = 0 };
	ssize_t n;

	/* The host does not read: in the end the socket takes no more. */
	while (!(ev.sent.flags & L4X_SENT_SHORT)) {
		assert_true(sent < 256 * (uint64_t)MIB);
		op_send(r, FLOW(1), sent, 200000);
		sent += 200000;
		ev = rig_wait(r, L4X_EV_SENT, FLOW(1));
	}
	assert_true(ev.sent.taken < sent);
	assert_true(ev.sent.space < 65536);
	sent = ev.sent.taken;
	rig_run(r, 2);
	assert_int_equal(rig_count(r, L4X_EV_SENT, FLOW(1)), 0);
	while (got < sent) {
		n = host_read(fd, got, 65536);
		assert_true(n >= 0);
		got += (uint64_t)n;
		rig_poll(r);
	}
	ev = rig_wait(r, L4X_EV_SENT, FLOW(1));
	assert_int_equal(ev.sent.taken, sent);
	assert_true(ev.sent.space > 16384);
	assert_int_equal(ev.sent.flags & L4X_SENT_SHORT, 0);
	/* The stream goes on where it was cut. */
	op_send(r, FLOW(1), sent, 1000);
	rig_wait(r, L4X_EV_SENT, FLOW(1));
	rig_run(r, 1);
	assert_int_equal(host_read(fd, sent, 1000), 1000);
	close(fd);
}

static void
little_space_is_followed_by_news_without_a_short_send(void **state)
{
	struct rig *r = *state;
	const int fd = connect_flow(r, FLOW(1));
	struct l4x_event ev = { .sent.space = UINT32_MAX };
	uint64_t sent = 0, got = 0;
	ssize_t n;

	/* As a guest does that keeps to its window. */
	ev.sent.space = 65536;
	while (ev.sent.space >= 4096) {
		const uint32_t len = RTE_MIN(ev.sent.space, 65536u);

		assert_true(sent < 256 * (uint64_t)MIB);
		op_send(r, FLOW(1), sent, len);
		sent += len;
		ev = rig_wait(r, L4X_EV_SENT, FLOW(1));
		assert_int_equal(ev.sent.flags & L4X_SENT_SHORT, 0);
	}
	rig_run(r, 2);
	assert_int_equal(rig_count(r, L4X_EV_SENT, FLOW(1)), 0);
	while (got < sent) {
		n = host_read(fd, got, 65536);
		assert_true(n >= 0);
		got += (uint64_t)n;
		rig_poll(r);
	}
	assert_true(rig_wait(r, L4X_EV_SENT, FLOW(1)).sent.space >= 65536);
	close(fd);
}

static void
bytes_above_the_edge_are_dropped_below_it_trimmed(void **state)
{
	struct rig *r = *state;
	const int fd = connect_flow(r, FLOW(1));
	struct l4x_event ev;

	op_send(r, FLOW(1), 0, 1000);
	assert_int_equal(rig_wait(r, L4X_EV_SENT, FLOW(1)).sent.taken, 1000);
	op_send(r, FLOW(1), 1500, 1000);
	ev = rig_wait(r, L4X_EV_SENT, FLOW(1));
	assert_int_equal(ev.sent.taken, 1000);
	assert_true(ev.sent.flags & L4X_SENT_SHORT);
	/* Without another word from the worker, what room there is is told again. */
	ev = rig_wait(r, L4X_EV_SENT, FLOW(1));
	assert_int_equal(ev.sent.taken, 1000);
	assert_int_equal(ev.sent.flags & L4X_SENT_SHORT, 0);
	assert_true(ev.sent.space > 0);
	op_send(r, FLOW(1), 400, 3000);
	ev = rig_wait(r, L4X_EV_SENT, FLOW(1));
	assert_int_equal(ev.sent.taken, 3400);
	assert_int_equal(ev.sent.flags & L4X_SENT_SHORT, 0);
	op_send(r, FLOW(1), 10, 100);
	ev = rig_wait(r, L4X_EV_SENT, FLOW(1));
	assert_int_equal(ev.sent.taken, 3400);
	assert_int_equal(ev.sent.flags & L4X_SENT_SHORT, 0);
	assert_int_equal(host_read(fd, 0, 65536), 3400);
	close(fd);
}

static void
sent_is_told_once_per_poll(void **state)
{
	struct rig *r = *state;
	const int fd = connect_flow(r, FLOW(1));
	unsigned int i;

	for (i = 0; i < 20; i++)
		op_send(r, FLOW(1), i * 100, 100);
	rig_poll(r);
	assert_int_equal(rig_count(r, L4X_EV_SENT, FLOW(1)), 1);
	assert_int_equal(rig_wait(r, L4X_EV_SENT, FLOW(1)).sent.taken, 2000);
	/* In one call, too. */
	assert_int_equal(rig_counter(r, BRIDGE_COUNT_SEND_CALLS), 1);
	close(fd);
}

static void
query_is_answered(void **state)
{
	struct rig *r = *state;
	const int fd = connect_flow(r, FLOW(1));

	op_query(r, FLOW(1));
	assert_true(rig_wait(r, L4X_EV_SENT, FLOW(1)).sent.space > 16384);
	close(fd);
}

static void
shut_comes_after_the_last_byte(void **state)
{
	struct rig *r = *state;
	const int fd = connect_flow(r, FLOW(1));

	/* The last 500 bytes are still missing when SHUT is told. */
	op_send(r, FLOW(1), 0, 1000);
	op_shut(r, FLOW(1), 1500);
	rig_run(r, 2);
	assert_int_equal(host_read(fd, 0, 65536), 1000);
	assert_int_equal(host_read(fd, 1000, 65536), 0);
	op_send(r, FLOW(1), 1000, 500);
	rig_run(r, 2);
	assert_int_equal(host_read(fd, 1000, 65536), 500);
	assert_int_equal(host_read(fd, 1500, 65536), -1);
	close(fd);
}

static void
shut_leaves_the_other_direction_open(void **state)
{
	struct rig *r = *state;
	const int fd = connect_flow(r, FLOW(1));
	struct l4x_event ev;

	rig_lend(r, 16);
	op_shut(r, FLOW(1), 0);
	op_ack(r, FLOW(1), 0, 65536, 1460);
	rig_run(r, 2);
	assert_int_equal(host_read(fd, 0, 1), -1);
	assert_int_equal(host_write(fd, 0, 100), 100);
	ev = rig_wait(r, L4X_EV_DATA, FLOW(1));
	check_payload(ev.data.m[0], 0);
	rte_pktmbuf_free(ev.data.m[0]);
	close(fd);
	assert_int_equal(rig_wait(r, L4X_EV_EOF, FLOW(1)).data.off, 100);
}

static void
reset_of_the_peer_is_an_error(void **state)
{
	struct rig *r = *state;
	const int fd = connect_flow(r, FLOW(1));

	sock_reset(fd);
	assert_int_equal(rig_wait(r, L4X_EV_ERROR, FLOW(1)).error.err, ECONNRESET);
	/* What the worker has sent meanwhile finds nobody, and hurts nobody. */
	op_send(r, FLOW(1), 0, 1000);
	op_ack(r, FLOW(1), 0, 1000, 1000);
	op_rewind(r, FLOW(1), 0);
	op_shut(r, FLOW(1), 0);
	op_query(r, FLOW(1));
	op_close(r, FLOW(1), false);
	rig_run(r, 2);
	assert_int_equal(r->n_events, 0);
}

static void
close_with_reset_is_a_rst(void **state)
{
	struct rig *r = *state;
	const int fd = connect_flow(r, FLOW(1));

	op_close(r, FLOW(1), true);
	rig_run(r, 2);
	assert_int_equal(host_read(fd, 0, 1), -ECONNRESET - 1);
	close(fd);
}

static void
orderly_close_is_a_fin_even_with_data_unread(void **state)
{
	struct rig *r = *state;
	const int fd = connect_flow(r, FLOW(1));
	struct l4x_event ev;

	rig_lend(r, 16);
	assert_int_equal(host_write(fd, 0, 5000), 5000);
	op_ack(r, FLOW(1), 0, 1000, 1000);
	ev = rig_wait(r, L4X_EV_DATA, FLOW(1));
	assert_int_equal(ev.len, 1000);
	rte_pktmbuf_free(ev.data.m[0]);
	op_ack(r, FLOW(1), 1000, 1000, 1000);
	op_close(r, FLOW(1), false);
	rig_run(r, 2);
	assert_int_equal(host_read(fd, 0, 1), -1);
	close(fd);
}

static void
close_with_told_data_unacknowledged_is_a_rst(void **state)
{
	struct rig *r = *state;
	const int fd = connect_flow(r, FLOW(1));
	struct l4x_event ev;

	rig_lend(r, 16);
	assert_int_equal(host_write(fd, 0, 1000), 1000);
	op_ack(r, FLOW(1), 0, 1000, 1000);
	ev = rig_wait(r, L4X_EV_DATA, FLOW(1));
	rte_pktmbuf_free(ev.data.m[0]);
	op_close(r, FLOW(1), false);
	rig_run(r, 2);
	assert_int_equal(host_read(fd, 0, 1), -ECONNRESET - 1);
	close(fd);
}

static void
stale_handles_are_counted_and_their_payload_freed(void **state)
{
	struct rig *r = *state;
	const int fd = connect_flow(r, FLOW(1));

	op_close(r, FLOW(1), true);
	op_send(r, FLOW(1), 0, 1000);
	op_dgram(r, FLOW(1), 1000, 100);
	op_ack(r, FLOW(1), 0, 1000, 1000);
	op_close(r, FLOW(1), true);
	op_send(r, flowtab_handle_make(0, 8, 1), 0, 10);
	op_send(r, flowtab_handle_make(1, 1, 1), 0, 10);
	op_send(r, flowtab_handle_make(0, 1, 1 << 20), 0, 10);
	rig_run(r, 2);
	assert_int_equal(rig_counter(r, BRIDGE_COUNT_STALE), 7);
	assert_int_equal(r->n_events, 0);
	close(fd);
}

static void
an_index_used_again_is_another_flow(void **state)
{
	struct rig *r = *state;
	const uint64_t second = flowtab_handle_make(0, 8, 1);
	const int fd = connect_flow(r, FLOW(1));
	int fd2;

	/* The old socket has an event under way that must not reach the new flow. */
	close(fd);
	op_close(r, FLOW(1), false);
	fd2 = connect_flow(r, second);
	rig_run(r, 5);
	assert_int_equal(r->n_events, 0);
	op_send(r, second, 0, 10);
	rig_wait(r, L4X_EV_SENT, second);
	assert_int_equal(host_read(fd2, 0, 10), 10);
	close(fd2);
}

static void
too_many_open_files_is_an_error_and_passes(void **state)
{
	struct rig *r = *state;
	struct rlimit old, low;
	rte_be16_t port;
	const int listener = host_listen(AF_INET, SOCK_STREAM, &port);
	uint32_t i;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	low = old;
	low.rlim_cur = (rlim_t)listener + 1;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	/* As many as were made ready beforehand can be had. */
	for (i = 0; i < SPARES; i++)
		op_open(r, FLOW(i), IPPROTO_TCP, AF_INET, port);
	op_open(r, FLOW(i), IPPROTO_TCP, AF_INET, port);
	assert_int_equal(rig_wait(r, L4X_EV_ERROR, FLOW(i)).error.err, EMFILE);
	assert_int_equal(rig_counter(r, BRIDGE_COUNT_SOCKET_LIMIT), 1);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	op_close(r, FLOW(i), true);
	op_open(r, FLOW(i), IPPROTO_TCP, AF_INET, port);
	rig_wait(r, L4X_EV_CONNECTED, FLOW(i));
	close(listener);
}

static void
lost_guest_memory_ends_that_flow_alone(void **state)
{
	struct rig *r = *state;
	const int fd1 = connect_flow(r, FLOW(1)), fd2 = connect_flow(r, FLOW(2));
	struct l4x_op op = { .type = L4X_OP_SEND, .flow = FLOW(1), .len = 4096 };
	void *gone;

	op.send.m = make_lost(r->pool, &gone);
	rte_pktmbuf_append(op.send.m, 4096);
	rig_op(r, &op);
	assert_int_equal(rig_wait(r, L4X_EV_ERROR, FLOW(1)).error.err, EFAULT);
	assert_int_equal(rig_counter(r, BRIDGE_COUNT_MEMORY_LOST), 1);
	op_send(r, FLOW(2), 0, 1000);
	assert_int_equal(rig_wait(r, L4X_EV_SENT, FLOW(2)).sent.taken, 1000);
	munmap(gone, 4096);
	close(fd1);
	close(fd2);
}

static void
a_flow_of_a_port_without_buffers_is_refused(void **state)
{
	struct rig *r = *state;
	struct l4x_op op = { .type = L4X_OP_OPEN, .flow = FLOW(1) };

	op.open.peer = loopback_addr(AF_INET);
	op.open.pif = PIF + 1;
	op.open.proto = IPPROTO_TCP;
	rig_op(r, &op);
	assert_int_equal(rig_wait(r, L4X_EV_ERROR, FLOW(1)).error.err, ENODEV);
	op.flow = FLOW(2);
	op.open.pif = PIF;
	op.open.proto = IPPROTO_SCTP;
	rig_op(r, &op);
	assert_int_equal(rig_wait(r, L4X_EV_ERROR, FLOW(2)).error.err, EPROTONOSUPPORT);
}

static void
removing_a_port_resets_its_sockets(void **state)
{
	struct rig *r = *state;
	const int fd = connect_flow(r, FLOW(1));

	rig_lend(r, 8);
	rig_poll(r);
	lender_recall(r->lender, r->chan);
	rig_poll(r);
	assert_int_equal(lender_state(r->lender), LENDER_STOPPED);
	bridge_remove_port(r->b, PIF);
	assert_int_equal(host_read(fd, 0, 1), -ECONNRESET - 1);
	op_send(r, FLOW(1), 0, 10);
	rig_poll(r);
	assert_int_equal(rig_counter(r, BRIDGE_COUNT_STALE), 1);
	/* The port's number may be given to another VM. */
	assert_int_equal(bridge_add_lender(r->b, r->lender), 0);
	close(fd);
}

/* ---- peers on another machine ---- */

/** Query until the peer has acknowledged so much. */
static struct l4x_event
wait_acked(struct rig *r, uint64_t flow, uint64_t acked)
{
	struct l4x_event ev;
	unsigned int tries = 0;

	do {
		assert_true(tries++ < 3000);
		op_query(r, flow);
		ev = rig_wait(r, L4X_EV_SENT, flow);
		assert_true(ev.sent.flags & L4X_SENT_REMOTE);
		assert_true(ev.sent.acked <= ev.sent.taken);
		usleep(1000);
	} while (ev.sent.acked < acked);
	assert_int_equal(ev.sent.acked, acked);
	return ev;
}

static int
remote_listener(struct sockaddr_in *in)
{
	const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	socklen_t len = sizeof(*in);

	*in = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(0x0a090901) };
	assert_int_equal(bind(fd, (struct sockaddr *)in, sizeof(*in)), 0);
	assert_int_equal(listen(fd, 4), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)in, &len), 0);
	return fd;
}

/** The host writes so much and resets the connection. */
static void
write_and_reset(int fd, uint32_t len)
{
	assert_int_equal(host_write(fd, 0, len), len);
	sock_reset(fd);
}

static void
what_came_before_a_reset_is_told_before_it(void **state)
{
	struct rig *r = *state;
	const int fd = connect_flow(r, FLOW(1));
	struct l4x_event ev;
	uint64_t got = 0;

	/* Neither leave to read, nor a buffer, nor the right to send when the reset comes. */
	write_and_reset(fd, 5000);
	rig_run(r, 20);
	assert_int_equal(rig_count(r, L4X_EV_ERROR, FLOW(1)), 0);
	op_send(r, FLOW(1), 0, 100);
	op_ack(r, FLOW(1), 0, 3000, 1000);
	rig_run(r, 20);
	rig_lend(r, 16);
	while (got < 3000) {
		ev = rig_wait(r, L4X_EV_DATA, FLOW(1));
		assert_int_equal(ev.data.off, got);
		check_payload(ev.data.m[0], got);
		got += ev.len;
		rte_pktmbuf_free(ev.data.m[0]);
	}
	assert_int_equal(rig_count(r, L4X_EV_ERROR, FLOW(1)), 0);
	op_ack(r, FLOW(1), 3000, 60000, 1000);
	while (got < 5000) {
		ev = rig_wait(r, L4X_EV_DATA, FLOW(1));
		assert_int_equal(ev.data.off, got);
		got += ev.len;
		rte_pktmbuf_free(ev.data.m[0]);
	}
	assert_int_equal(rig_wait(r, L4X_EV_ERROR, FLOW(1)).error.err, ECONNRESET);
	assert_int_equal(rig_count(r, L4X_EV_EOF, FLOW(1)), 0);
	op_close(r, FLOW(1), true);
	rig_poll(r);
}

static void
reset_with_nothing_before_it_is_told_at_once(void **state)
{
	struct rig *r = *state;
	const int fd = connect_flow(r, FLOW(1));

	sock_reset(fd);
	assert_int_equal(rig_wait(r, L4X_EV_ERROR, FLOW(1)).error.err, ECONNRESET);
}

static void
nothing_is_read_behind_the_end(void **state)
{
	struct rig *r = *state;
	const int fd = connect_flow(r, FLOW(1));
	uint64_t sent = 0, got = 0, reads;
	struct l4x_event ev;

	rig_lend(r, 4);
	op_ack(r, FLOW(1), 0, 60000, 1000);
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	rig_wait(r, L4X_EV_EOF, FLOW(1));
	reads = rig_counter(r, BRIDGE_COUNT_RECV_CALLS);
	/* Edges of the other direction tell of the end, too. */
	do {
		op_send(r, FLOW(1), sent, 65536);
		ev = rig_wait(r, L4X_EV_SENT, FLOW(1));
		sent = ev.sent.taken;
	} while (!(ev.sent.flags & L4X_SENT_SHORT));
	while (got < sent) {
		const ssize_t n = host_read(fd, got, 65536);

		got += n > 0 ? (uint64_t)n : 0;
	}
	do {
		ev = rig_wait(r, L4X_EV_SENT, FLOW(1));
	} while (ev.sent.space == 0);
	rig_run(r, 5);
	assert_int_equal(rig_counter(r, BRIDGE_COUNT_RECV_CALLS), reads);
	close(fd);
}

static void
remote_peer_acknowledges_itself(void **state)
{
	struct l4x_op op = { .type = L4X_OP_OPEN, .flow = FLOW(1) };
	struct rig *r = *state;
	struct sockaddr_in in;
	struct l4x_event ev;
	uint64_t sent = 0, got = 0;
	int listener, fd;
	ssize_t n;

	if (r->net_before < 0)
		skip();
	listener = remote_listener(&in);
	op.open.peer = flowtab_addr_v4(in.sin_addr.s_addr);
	op.open.peer_port = in.sin_port;
	op.open.local = flowtab_addr_v4(htonl(0x0a090902));
	op.open.pif = PIF;
	op.open.proto = IPPROTO_TCP;
	op.open.mss = 1460;
	rig_op(r, &op);
	ev = rig_wait(r, L4X_EV_CONNECTED, FLOW(1));
	assert_true(ev.sent.flags & L4X_SENT_REMOTE);
	assert_int_equal(ev.sent.acked, 0);
	assert_true(ev.sent.rtt_us > 0);
	fd = host_accept(listener);
	op_send(r, FLOW(1), 0, 1000);
	wait_acked(r, FLOW(1), 1000);
	/* The peer does not read: its window is the limit, however large the send buffer. */
	sent = 1000;
	do {
		assert_true(sent < 64 * (uint64_t)MIB);
		op_send(r, FLOW(1), sent, 8192);
		sent += 8192;
		ev = rig_wait(r, L4X_EV_SENT, FLOW(1));
		op_query(r, FLOW(1));
		ev = rig_wait(r, L4X_EV_SENT, FLOW(1));
	} while (ev.sent.space >= 8192);
	while (got < sent) {
		n = host_read(fd, got, 65536);
		assert_true(n >= 0);
		got += (uint64_t)n;
	}
	assert_true(wait_acked(r, FLOW(1), sent).sent.space >= 8192);
	/* The FIN's acknowledgement is not a byte's. */
	op_shut(r, FLOW(1), sent);
	rig_run(r, 50);
	assert_int_equal(host_read(fd, sent, 1), -1);
	wait_acked(r, FLOW(1), sent);
	op_close(r, FLOW(1), false);
	rig_poll(r);
	close(fd);
	close(listener);
}

static void
remote_peer_of_an_adopted_connection_acknowledges_itself(void **state)
{
	struct bridge_listen spec = { .proto = IPPROTO_TCP, .guest_port = 80, .pif = PIF };
	struct l4x_op op = { .type = L4X_OP_ADOPT, .flow = FLOW(1) };
	struct rig *r = *state;
	struct sockaddr_in in;
	struct l4x_event ev;
	struct bridge *b;
	char err[256];
	int fd;

	if (r->net_before < 0)
		skip();
	b = r->b;
	spec.port = 8080;
	assert_true(bridge_listen(b, &spec, err, sizeof(err)) >= 0);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	in = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(0x0a090902) };
	assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	in.sin_addr.s_addr = htonl(0x0a090901);
	in.sin_port = htons(8080);
	assert_int_equal(connect(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	op.adopt.token = rig_wait(r, L4X_EV_ACCEPTED, 0).accepted.token;
	op.adopt.pif = PIF;
	rig_op(r, &op);
	ev = rig_wait(r, L4X_EV_CONNECTED, FLOW(1));
	assert_true(ev.sent.flags & L4X_SENT_REMOTE);
	assert_int_equal(ev.sent.acked, 0);
	op_send(r, FLOW(1), 0, 1000);
	wait_acked(r, FLOW(1), 1000);
	op_close(r, FLOW(1), true);
	rig_poll(r);
	close(fd);
}

#define T(f) cmocka_unit_test_setup_teardown(f, rig_start, rig_stop)
#define T_NET(f) cmocka_unit_test_setup_teardown(f, rig_start_net, rig_stop)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(open_tells_a_first_window),
		T(open_reaches_ipv6_peers),
		T(name_of_the_socket_is_told_when_asked_for),
		T(refused_connection_is_an_error_once),
		T(unreachable_address_is_an_error),
		T(open_binds_to_the_address_that_it_is_told),
		T(guests_stream_arrives_whole),
		T(what_the_socket_does_not_take_is_told_and_so_is_new_room),
		T(little_space_is_followed_by_news_without_a_short_send),
		T(bytes_above_the_edge_are_dropped_below_it_trimmed),
		T(sent_is_told_once_per_poll),
		T(query_is_answered),
		T(shut_comes_after_the_last_byte),
		T(shut_leaves_the_other_direction_open),
		T(reset_of_the_peer_is_an_error),
		T(close_with_reset_is_a_rst),
		T(orderly_close_is_a_fin_even_with_data_unread),
		T(close_with_told_data_unacknowledged_is_a_rst),
		T(stale_handles_are_counted_and_their_payload_freed),
		T(an_index_used_again_is_another_flow),
		T(too_many_open_files_is_an_error_and_passes),
		T(lost_guest_memory_ends_that_flow_alone),
		T(a_flow_of_a_port_without_buffers_is_refused),
		T(removing_a_port_resets_its_sockets),
		T(what_came_before_a_reset_is_told_before_it),
		T(reset_with_nothing_before_it_is_told_at_once),
		T(nothing_is_read_behind_the_end),
		T_NET(remote_peer_acknowledges_itself),
		T_NET(remote_peer_of_an_adopted_connection_acknowledges_itself),
	};

	return cmocka_run_group_tests(tests, eal_group_start, eal_group_stop);
}
