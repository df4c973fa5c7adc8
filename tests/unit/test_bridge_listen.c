/* SPDX-License-Identifier: BSD-3-Clause */
/* Listeners of the bridge. */
#include "test_bridge_util.h"

#include <arpa/inet.h>
#include <netinet/ip.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define STRANGER_BYTES 77

/** Sends to a forward in the next connect() of a bound socket, before it is made; -1: it has. */
static int stranger = -1;

int
connect(int fd, const struct sockaddr *addr, socklen_t len)
{
	struct sockaddr_in6 self = { 0 };
	socklen_t self_len = sizeof(self);
	const int who = stranger;

	getsockname(fd, (struct sockaddr *)&self, &self_len);
	/* The port is at the same place in both families. */
	if (who >= 0 && self.sin6_port != 0) {
		stranger = -1;
		assert_int_equal(host_write(who, 0, STRANGER_BYTES), STRANGER_BYTES);
		close(who);
	}
	return (int)syscall(SYS_connect, fd, addr, len);
}

/** A port of the host that is free on all addresses. */
static uint16_t
free_port(int type)
{
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
	socklen_t len = sizeof(in6);
	const int fd = socket(AF_INET6, type, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&in6, sizeof(in6)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&in6, &len), 0);
	close(fd);
	return ntohs(in6.sin6_port);
}

static struct bridge_listen
forward(uint8_t proto)
{
	return (struct bridge_listen){
		.proto = proto,
		.port = free_port(proto == IPPROTO_TCP ? SOCK_STREAM : SOCK_DGRAM),
		.guest_port = 8080,
		.pif = PIF,
	};
}

static int
listen_ok(struct rig *r, const struct bridge_listen *spec)
{
	char err[256] = "";
	const int number = bridge_listen(r->b, spec, err, sizeof(err));

	if (number < 0)
		fail_msg("%s", err);
	return number;
}

static void
op_adopt(struct rig *r, uint64_t flow, uint32_t token)
{
	struct l4x_op op = { .type = L4X_OP_ADOPT, .flow = flow };

	op.adopt.token = token;
	op.adopt.pif = PIF;
	op.adopt.head_len = HEAD_LEN;
	rig_op(r, &op);
}

static void
op_refuse(struct rig *r, uint32_t token)
{
	struct l4x_op op = { .type = L4X_OP_REFUSE };

	op.adopt.token = token;
	rig_op(r, &op);
}

static void
adopted_connection_carries_data(struct rig *r, int family)
{
	const struct bridge_listen spec = forward(IPPROTO_TCP);
	const struct flowtab_addr lo = loopback_addr(family);
	struct sockaddr_storage self;
	socklen_t len = sizeof(self);
	struct flowtab_addr addr;
	struct l4x_event ev;
	rte_be16_t port;
	int fd;

	listen_ok(r, &spec);
	fd = host_connect(family, SOCK_STREAM, htons(spec.port));
	assert_int_equal(host_write(fd, 0, 100), 100);
	ev = rig_wait(r, L4X_EV_ACCEPTED, 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&self, &len), 0);
	assert_true(sock_addr_get(&self, &addr, &port));
	assert_true(flowtab_addr_eq(&ev.accepted.peer, &addr));
	assert_int_equal(ev.accepted.peer_port, port);
	assert_true(flowtab_addr_eq(&ev.accepted.local, &lo));
	assert_int_equal(ntohs(ev.accepted.local_port), spec.port);
	assert_int_equal(ntohs(ev.accepted.guest_port), 8080);
	assert_int_equal(ev.accepted.pif, PIF);
	op_adopt(r, FLOW(1), ev.accepted.token);
	ev = rig_wait(r, L4X_EV_CONNECTED, FLOW(1));
	assert_true(ev.sent.space >= 65536);
	assert_int_equal(ev.sent.flags, 0);
	rig_lend(r, 4);
	op_ack(r, FLOW(1), 0, 65536, 1460);
	ev = rig_wait(r, L4X_EV_DATA, FLOW(1));
	assert_int_equal(ev.len, 100);
	check_payload(ev.data.m[0], 0);
	rte_pktmbuf_free(ev.data.m[0]);
	op_send(r, FLOW(1), 0, 3000);
	rig_wait(r, L4X_EV_SENT, FLOW(1));
	assert_int_equal(host_read(fd, 0, 65536), 3000);
	close(fd);
}

static void
ipv4_peers_of_a_dual_listener_are_ipv4(void **state)
{
	adopted_connection_carries_data(*state, AF_INET);
}

static void
ipv6_peers_of_a_dual_listener_are_ipv6(void **state)
{
	adopted_connection_carries_data(*state, AF_INET6);
}

static void
one_address_is_listened_on_alone(void **state)
{
	struct rig *r = *state;
	struct bridge_listen spec = forward(IPPROTO_TCP), other = spec;
	int fd;

	spec.local = flowtab_addr_v4(htonl(0x7f000002));
	other.local = flowtab_addr_v4(htonl(0x7f000003));
	listen_ok(r, &spec);
	listen_ok(r, &other);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(fd,
				 (struct sockaddr *)&(struct sockaddr_in){ .sin_family = AF_INET,
					 .sin_port = htons(spec.port),
					 .sin_addr.s_addr = htonl(0x7f000001) },
				 sizeof(struct sockaddr_in)),
		-1);
	assert_int_equal(errno, ECONNREFUSED);
	close(fd);
}

static void
refused_connection_is_reset(void **state)
{
	struct rig *r = *state;
	const struct bridge_listen spec = forward(IPPROTO_TCP);
	struct l4x_event ev;
	int fd;

	listen_ok(r, &spec);
	fd = host_connect(AF_INET, SOCK_STREAM, htons(spec.port));
	ev = rig_wait(r, L4X_EV_ACCEPTED, 0);
	op_refuse(r, ev.accepted.token);
	rig_poll(r);
	assert_int_equal(host_read(fd, 0, 1), -ECONNRESET - 1);
	assert_int_equal(rig_counter(r, BRIDGE_COUNT_REFUSED), 1);
	close(fd);
}

static void
a_token_serves_once(void **state)
{
	struct rig *r = *state;
	const struct bridge_listen spec = forward(IPPROTO_TCP);
	struct l4x_event ev;
	int fd;

	listen_ok(r, &spec);
	fd = host_connect(AF_INET, SOCK_STREAM, htons(spec.port));
	ev = rig_wait(r, L4X_EV_ACCEPTED, 0);
	op_adopt(r, FLOW(1), ev.accepted.token);
	rig_wait(r, L4X_EV_CONNECTED, FLOW(1));
	op_adopt(r, FLOW(2), ev.accepted.token);
	assert_int_equal(rig_wait(r, L4X_EV_ERROR, FLOW(2)).error.err, EBADF);
	op_refuse(r, ev.accepted.token);
	op_refuse(r, 0);
	op_refuse(r, UINT32_MAX);
	rig_poll(r);
	assert_int_equal(rig_counter(r, BRIDGE_COUNT_STALE), 4);
	assert_int_equal(host_read(fd, 0, 1), 0);
	close(fd);
}

static void
many_connections_come_in_bursts(void **state)
{
	struct rig *r = *state;
	const struct bridge_listen spec = forward(IPPROTO_TCP);
	struct l4x_event ev;
	int fd[200];
	unsigned int i;

	listen_ok(r, &spec);
	for (i = 0; i < 200; i++)
		fd[i] = host_connect(AF_INET, SOCK_STREAM, htons(spec.port));
	for (i = 0; i < 200; i++) {
		ev = rig_wait(r, L4X_EV_ACCEPTED, 0);
		op_adopt(r, FLOW(i), ev.accepted.token);
	}
	for (i = 0; i < 200; i++)
		rig_wait(r, L4X_EV_CONNECTED, FLOW(i));
	for (i = 0; i < 200; i++)
		close(fd[i]);
}

static void
a_port_in_use_is_explained(void **state)
{
	struct rig *r = *state;
	struct bridge_listen spec = forward(IPPROTO_TCP);
	char err[256] = "", want[64];

	listen_ok(r, &spec);
	assert_int_equal(bridge_listen(r->b, &spec, err, sizeof(err)), -EADDRINUSE);
	snprintf(want, sizeof(want), "cannot listen on TCP [::]:%u: Address already in use",
		spec.port);
	assert_non_null(strstr(err, want));
	spec.proto = IPPROTO_UDP;
	spec.port = free_port(SOCK_DGRAM);
	spec.local = loopback_addr(AF_INET);
	listen_ok(r, &spec);
	assert_int_equal(bridge_listen(r->b, &spec, err, sizeof(err)), -EADDRINUSE);
	snprintf(want, sizeof(want), "cannot listen on UDP 127.0.0.1:%u: ", spec.port);
	assert_non_null(strstr(err, want));
}

static void
an_address_of_nobody_is_explained(void **state)
{
	struct rig *r = *state;
	struct bridge_listen spec = forward(IPPROTO_TCP);
	char err[256] = "";

	spec.local = flowtab_addr_v4(htonl(0xc0000201));
	assert_int_equal(bridge_listen(r->b, &spec, err, sizeof(err)), -EADDRNOTAVAIL);
	assert_non_null(strstr(err, "192.0.2.1"));
	assert_non_null(strstr(err, "no interface"));
	spec.proto = IPPROTO_SCTP;
	assert_int_equal(bridge_listen(r->b, &spec, err, sizeof(err)), -EINVAL);
	spec = forward(IPPROTO_TCP);
	spec.pif = 0;
	assert_int_equal(bridge_listen(r->b, &spec, err, sizeof(err)), -EINVAL);
}

static void
too_many_open_files_pauses_the_listener(void **state)
{
	struct rig *r = *state;
	const struct bridge_listen spec = forward(IPPROTO_TCP);
	struct rlimit old, low;
	struct l4x_event ev;
	uint64_t count;
	int fd;

	listen_ok(r, &spec);
	fd = host_connect(AF_INET, SOCK_STREAM, htons(spec.port));
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	low = old;
	low.rlim_cur = (rlim_t)fd + 1;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	rig_run(r, 10);
	count = rig_counter(r, BRIDGE_COUNT_SOCKET_LIMIT);
	assert_int_equal(count, 1);
	/* It sleeps till then. */
	assert_false(bridge_has_work(r->b));
	assert_true(bridge_next_us(r->b) != UINT64_MAX);
	assert_true(bridge_next_us(r->b) > r->now_us);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	ev = rig_wait(r, L4X_EV_ACCEPTED, 0);
	op_refuse(r, ev.accepted.token);
	rig_run(r, 1);
	assert_true(bridge_next_us(r->b) == UINT64_MAX);
	close(fd);
}

static void
a_busy_worker_is_not_given_more(void **state)
{
	struct rig *r = *state;
	const struct bridge_listen spec = forward(IPPROTO_TCP);
	struct l4x_event filler = { .type = L4X_EV_SENT, .flow = FLOW(9) };
	unsigned int n;
	int fd;

	listen_ok(r, &spec);
	r->deaf = true;
	for (n = 0; rte_ring_sp_enqueue_elem(r->chan->events, &filler, sizeof(filler)) == 0; n++)
		;
	fd = host_connect(AF_INET, SOCK_STREAM, htons(spec.port));
	rig_run(r, 2);
	assert_int_equal(rig_counter(r, BRIDGE_COUNT_ACCEPTED), 0);
	r->deaf = false;
	rig_wait(r, L4X_EV_ACCEPTED, 0);
	close(fd);
}

static void
unlisten_closes_the_port(void **state)
{
	struct rig *r = *state;
	const struct bridge_listen spec = forward(IPPROTO_TCP);
	const int number = listen_ok(r, &spec);
	int fd;

	fd = host_connect(AF_INET, SOCK_STREAM, htons(spec.port));
	bridge_unlisten(r->b, number);
	bridge_unlisten(r->b, number);
	bridge_unlisten(r->b, -1);
	bridge_unlisten(r->b, 100000);
	rig_run(r, 1);
	assert_int_equal(rig_counter(r, BRIDGE_COUNT_ACCEPTED), 0);
	/* The port may be had again, and the number is. */
	assert_int_equal(listen_ok(r, &spec), number);
	close(fd);
}

static void
listeners_come_and_go_beside_each_other(void **state)
{
	struct rig *r = *state;
	struct bridge_listen spec[6];
	int number[6], fd[6], i, k;

	for (i = 0; i < 6; i++) {
		spec[i] = forward(IPPROTO_TCP);
		number[i] = listen_ok(r, &spec[i]);
	}
	/* Two go while a connection waits at each, and others take their places. */
	for (i = 0; i < 6; i++)
		fd[i] = host_connect(AF_INET, SOCK_STREAM, htons(spec[i].port));
	for (i = 1; i < 4; i += 2) {
		bridge_unlisten(r->b, number[i]);
		close(fd[i]);
	}
	for (i = 1; i < 4; i += 2) {
		spec[i] = forward(IPPROTO_TCP);
		number[i] = listen_ok(r, &spec[i]);
		assert_true(number[i] == 1 || number[i] == 3);
		fd[i] = host_connect(AF_INET, SOCK_STREAM, htons(spec[i].port));
	}
	for (i = 0; i < 6; i++) {
		const struct l4x_event ev = rig_wait(r, L4X_EV_ACCEPTED, 0);

		for (k = 0; k < 6 && spec[k].port != ntohs(ev.accepted.local_port); k++)
			;
		assert_true(k < 6);
		op_refuse(r, ev.accepted.token);
		close(fd[k]);
		spec[k].port = 0;
	}
}

static void
removing_the_port_resets_what_nobody_adopted(void **state)
{
	struct rig *r = *state;
	const struct bridge_listen spec = forward(IPPROTO_TCP);
	const int number = listen_ok(r, &spec);
	struct l4x_event ev;
	int fd;

	fd = host_connect(AF_INET, SOCK_STREAM, htons(spec.port));
	ev = rig_wait(r, L4X_EV_ACCEPTED, 0);
	bridge_unlisten(r->b, number);
	bridge_remove_port(r->b, PIF);
	assert_int_equal(host_read(fd, 0, 1), -ECONNRESET - 1);
	op_adopt(r, FLOW(1), ev.accepted.token);
	assert_int_equal(rig_wait(r, L4X_EV_ERROR, FLOW(1)).error.err, EBADF);
	close(fd);
}

/** A flow for the peer of a LISTEN_DGRAM. */
static void
op_open_beside(struct rig *r, uint64_t flow, const struct l4x_event *ev)
{
	struct l4x_op op = { .type = L4X_OP_OPEN, .flow = flow };

	op.open.peer = ev->accepted.peer;
	op.open.peer_port = ev->accepted.peer_port;
	op.open.local = ev->accepted.local;
	op.open.local_port = ev->accepted.local_port;
	op.open.guest_port = ev->accepted.guest_port;
	op.open.pif = PIF;
	op.open.proto = IPPROTO_UDP;
	op.open.head_len = HEAD_LEN;
	op.open.flags = L4X_OPEN_REUSE;
	rig_op(r, &op);
}

static void
udp_peer_gets_its_answer_from_the_port_it_spoke_to(struct rig *r, int family)
{
	const struct bridge_listen spec = forward(IPPROTO_UDP);
	const struct flowtab_addr lo = loopback_addr(family);
	struct l4x_event ev;
	uint8_t buf[100] = { 0 };
	int fd, other;

	listen_ok(r, &spec);
	/* Connected: it hears only what comes from there. */
	fd = host_connect(family, SOCK_DGRAM, htons(spec.port));
	sock_set(fd, family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6,
		family == AF_INET ? IP_TOS : IPV6_TCLASS, 0xb9);
	assert_int_equal(host_write(fd, 0, 700), 700);
	ev = rig_wait(r, L4X_EV_LISTEN_DGRAM, 0);
	assert_int_equal(ev.len, 700);
	assert_int_equal(ev.tos, 0xb9);
	assert_int_equal(ev.ttl, 64);
	assert_true(ev.accepted.m->data_off >= HEAD_LEN);
	check_payload(ev.accepted.m, 0);
	rte_pktmbuf_free(ev.accepted.m);
	assert_true(flowtab_addr_eq(&ev.accepted.peer, &lo));
	assert_true(flowtab_addr_eq(&ev.accepted.local, &lo));
	assert_int_equal(ntohs(ev.accepted.local_port), spec.port);
	assert_int_equal(ntohs(ev.accepted.guest_port), 8080);
	op_open_beside(r, FLOW(1), &ev);
	op_dgram(r, FLOW(1), 40, 40);
	rig_poll(r);
	assert_int_equal(recv(fd, buf, sizeof(buf), 0), 40);
	/* From here on its datagrams are the flow's, another's are the listener's. */
	rig_lend(r, 4);
	assert_int_equal(host_write(fd, 0, 500), 500);
	ev = rig_wait(r, L4X_EV_DGRAM, FLOW(1));
	assert_int_equal(ev.len, 500);
	rte_pktmbuf_free(ev.dgram.m);
	other = host_connect(family, SOCK_DGRAM, htons(spec.port));
	assert_int_equal(host_write(other, 0, 300), 300);
	ev = rig_wait(r, L4X_EV_LISTEN_DGRAM, 0);
	assert_int_equal(ev.len, 300);
	rte_pktmbuf_free(ev.accepted.m);
	close(fd);
	close(other);
}

static void
udp_listener_serves_ipv4(void **state)
{
	udp_peer_gets_its_answer_from_the_port_it_spoke_to(*state, AF_INET);
}

static void
udp_listener_serves_ipv6(void **state)
{
	udp_peer_gets_its_answer_from_the_port_it_spoke_to(*state, AF_INET6);
}

/** As another user, bind to the port on loopback. @return 0 or errno */
static int
bind_as(uid_t uid, int type, uint16_t port, int option)
{
	const struct sockaddr_in in = { .sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	const pid_t pid = fork();
	int status, fd;

	assert_true(pid >= 0);
	if (pid == 0) {
		if (setuid(uid) < 0)
			_exit(255);
		fd = socket(AF_INET, type, 0);
		sock_set(fd, SOL_SOCKET, option, 1);
		_exit(bind(fd, (const struct sockaddr *)&in, sizeof(in)) < 0 ? errno : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/** A flow through a forward, beside its listener. @return the peer's socket */
static int
flow_through(struct rig *r, uint64_t flow, const struct bridge_listen *spec)
{
	struct l4x_event ev;
	uint8_t buf[100];
	int fd;

	fd = host_connect(AF_INET, SOCK_DGRAM, htons(spec->port));
	assert_int_equal(host_write(fd, 0, 10), 10);
	ev = rig_wait(r, L4X_EV_LISTEN_DGRAM, 0);
	rte_pktmbuf_free(ev.accepted.m);
	op_open_beside(r, flow, &ev);
	op_dgram(r, flow, 40, 40);
	rig_poll(r);
	assert_int_equal(recv(fd, buf, sizeof(buf), 0), 40);
	return fd;
}

static void
a_stranger_is_not_lost_while_a_flow_opens(struct rig *r, int family)
{
	const struct bridge_listen spec = forward(IPPROTO_UDP);
	const struct flowtab_addr lo = loopback_addr(family);
	struct l4x_event ev, got;
	uint8_t buf[100];
	int fd;

	listen_ok(r, &spec);
	fd = host_connect(family, SOCK_DGRAM, htons(spec.port));
	stranger = host_connect(family, SOCK_DGRAM, htons(spec.port));
	assert_int_equal(host_write(fd, 0, 10), 10);
	ev = rig_wait(r, L4X_EV_LISTEN_DGRAM, 0);
	rte_pktmbuf_free(ev.accepted.m);
	rig_lend(r, 8);
	op_open_beside(r, FLOW(1), &ev);
	op_dgram(r, FLOW(1), 40, 40);
	rig_poll(r);
	assert_int_equal(stranger, -1);
	got = rig_wait(r, L4X_EV_LISTEN_DGRAM, 0);
	assert_int_equal(got.len, STRANGER_BYTES);
	check_payload(got.accepted.m, 0);
	assert_true(got.accepted.m->data_off >= HEAD_LEN);
	rte_pktmbuf_free(got.accepted.m);
	assert_true(flowtab_addr_eq(&got.accepted.peer, &lo));
	assert_true(got.accepted.peer_port != ev.accepted.peer_port);
	assert_true(flowtab_addr_eq(&got.accepted.local, &lo));
	assert_int_equal(ntohs(got.accepted.local_port), spec.port);
	assert_int_equal(ntohs(got.accepted.guest_port), 8080);
	assert_int_equal(got.accepted.pif, PIF);
	/* And the flow has its own. */
	assert_int_equal(recv(fd, buf, sizeof(buf), 0), 40);
	assert_int_equal(host_write(fd, 0, 500), 500);
	got = rig_wait(r, L4X_EV_DGRAM, FLOW(1));
	assert_int_equal(got.len, 500);
	rte_pktmbuf_free(got.dgram.m);
	assert_int_equal(rig_counter(r, BRIDGE_COUNT_DGRAM_DROPPED), 0);
	close(fd);
}

static void
a_stranger_is_not_lost_while_an_ipv4_flow_opens(void **state)
{
	a_stranger_is_not_lost_while_a_flow_opens(*state, AF_INET);
}

static void
a_stranger_is_not_lost_while_an_ipv6_flow_opens(void **state)
{
	a_stranger_is_not_lost_while_a_flow_opens(*state, AF_INET6);
}

static void
another_user_cannot_take_a_udp_forward(void **state)
{
	static const int options[] = { SO_REUSEADDR, SO_REUSEPORT };
	const struct bridge_listen spec = forward(IPPROTO_UDP);
	struct rig *r = *state;
	unsigned int i;
	int fd;

	if (geteuid() != 0)
		skip();
	listen_ok(r, &spec);
	for (i = 0; i < RTE_DIM(options); i++)
		assert_int_equal(bind_as(65534, SOCK_DGRAM, spec.port, options[i]), EADDRINUSE);
	fd = flow_through(r, FLOW(1), &spec);
	for (i = 0; i < RTE_DIM(options); i++)
		assert_int_equal(bind_as(65534, SOCK_DGRAM, spec.port, options[i]), EADDRINUSE);
	close(fd);
}

/** Played by one: the kernel does not ask whose the epoll set is. */
static void
bridges_share_a_port_that_nobody_else_has(void **state)
{
	struct rig *r = *state;
	struct bridge_listen spec = forward(IPPROTO_TCP);
	int fd[32], first, second;
	char err[256] = "";
	unsigned int i;

	spec.share = BRIDGE_SHARE_FIRST;
	first = listen_ok(r, &spec);
	assert_int_equal(bridge_listen(r->b, &spec, err, sizeof(err)), -EADDRINUSE);
	spec.share = BRIDGE_SHARE_JOIN;
	second = listen_ok(r, &spec);
	spec.share = BRIDGE_SHARE_NONE;
	assert_int_equal(bridge_listen(r->b, &spec, err, sizeof(err)), -EADDRINUSE);
	if (geteuid() == 0)
		assert_int_equal(bind_as(65534, SOCK_STREAM, spec.port, SO_REUSEPORT), EADDRINUSE);
	for (i = 0; i < 32; i++)
		fd[i] = host_connect(AF_INET, SOCK_STREAM, htons(spec.port));
	for (i = 0; i < 32; i++)
		op_refuse(r, rig_wait(r, L4X_EV_ACCEPTED, 0).accepted.token);
	for (i = 0; i < 32; i++)
		close(fd[i]);
	/* Who stays has all of them. */
	bridge_unlisten(r->b, first);
	fd[0] = host_connect(AF_INET, SOCK_STREAM, htons(spec.port));
	rig_wait(r, L4X_EV_ACCEPTED, 0);
	close(fd[0]);
	bridge_unlisten(r->b, second);
	listen_ok(r, &spec);
}

/** A socket that would share the port was there before. */
static void
a_port_that_another_program_would_share_is_refused(void **state)
{
	struct rig *r = *state;
	struct bridge_listen spec = forward(IPPROTO_TCP);
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(spec.port) };
	const int fd = socket(AF_INET, SOCK_STREAM, 0);
	char err[256] = "";

	assert_int_equal(sock_set(fd, SOL_SOCKET, SO_REUSEPORT, 1), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(listen(fd, 1), 0);
	spec.share = BRIDGE_SHARE_FIRST;
	assert_int_equal(bridge_listen(r->b, &spec, err, sizeof(err)), -EADDRINUSE);
	close(fd);
	listen_ok(r, &spec);
}

static void
a_second_listener_is_refused_while_there_are_flows(void **state)
{
	const struct bridge_listen spec = forward(IPPROTO_UDP);
	struct rig *r = *state;
	char err[256] = "";
	int fd;

	listen_ok(r, &spec);
	fd = flow_through(r, FLOW(1), &spec);
	assert_int_equal(bridge_listen(r->b, &spec, err, sizeof(err)), -EADDRINUSE);
	close(fd);
}

static void
unlisten_ends_the_flows_of_a_udp_forward(void **state)
{
	const struct bridge_listen spec = forward(IPPROTO_UDP), other = forward(IPPROTO_UDP);
	struct rig *r = *state;
	const int number = listen_ok(r, &spec);
	uint8_t buf[100];
	int fd[3];

	listen_ok(r, &other);
	fd[0] = flow_through(r, FLOW(1), &spec);
	fd[1] = flow_through(r, FLOW(2), &spec);
	fd[2] = flow_through(r, FLOW(3), &other);
	bridge_unlisten(r->b, number);
	assert_int_equal(rig_wait(r, L4X_EV_ERROR, FLOW(1)).error.err, ECONNABORTED);
	assert_int_equal(rig_wait(r, L4X_EV_ERROR, FLOW(2)).error.err, ECONNABORTED);
	assert_int_equal(r->n_events, 0);
	/* Nobody has the port, so that another may. */
	assert_int_equal(send(fd[0], "x", 1, 0), 1);
	assert_int_equal(recv(fd[0], buf, sizeof(buf), 0), -1);
	assert_int_equal(errno, ECONNREFUSED);
	assert_int_equal(listen_ok(r, &spec), number);
	op_dgram(r, FLOW(3), 30, 30);
	rig_poll(r);
	assert_int_equal(recv(fd[2], buf, sizeof(buf), 0), 30);
	/* One that has ended is not counted again. */
	op_close(r, FLOW(1), false);
	op_close(r, FLOW(3), false);
	rig_poll(r);
	bridge_unlisten(r->b, number);
	assert_int_equal(r->n_events, 0);
	for (unsigned int i = 0; i < 3; i++)
		close(fd[i]);
}

static void
a_flow_is_not_opened_beside_a_listener_that_leads_elsewhere(void **state)
{
	struct bridge_listen spec = forward(IPPROTO_UDP);
	struct rig *r = *state;
	const int number = listen_ok(r, &spec);
	struct l4x_event ev;
	int fd;

	fd = host_connect(AF_INET, SOCK_DGRAM, htons(spec.port));
	assert_int_equal(host_write(fd, 0, 10), 10);
	ev = rig_wait(r, L4X_EV_LISTEN_DGRAM, 0);
	rte_pktmbuf_free(ev.accepted.m);
	bridge_unlisten(r->b, number);
	op_open_beside(r, FLOW(1), &ev);
	assert_int_equal(rig_wait(r, L4X_EV_ERROR, FLOW(1)).error.err, ECONNABORTED);
	spec.guest_port++;
	listen_ok(r, &spec);
	op_open_beside(r, FLOW(2), &ev);
	assert_int_equal(rig_wait(r, L4X_EV_ERROR, FLOW(2)).error.err, ECONNABORTED);
	close(fd);
}

static void
socket_addresses_keep_the_interface_of_a_link_local_peer(void **state)
{
	struct sockaddr_storage ss = { 0 };
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&ss, back;
	struct flowtab_addr a, b;
	rte_be16_t port;

	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(7);
	in6->sin6_scope_id = 5;
	inet_pton(AF_INET6, "fe80::1", &in6->sin6_addr);
	back = *in6;
	assert_true(sock_addr_get(&ss, &a, &port));
	in6->sin6_scope_id = 6;
	assert_true(sock_addr_get(&ss, &b, &port));
	assert_false(flowtab_addr_eq(&a, &b));
	assert_int_equal(sock_addr_set(&ss, &a, port), sizeof(back));
	assert_memory_equal(&ss, &back, sizeof(back));
}

static void
large_datagrams_reach_a_listener(void **state)
{
	struct rig *r = *state;
	const struct bridge_listen spec = forward(IPPROTO_UDP);
	struct l4x_event ev;
	int fd;

	listen_ok(r, &spec);
	fd = host_connect(AF_INET, SOCK_DGRAM, htons(spec.port));
	assert_int_equal(host_write(fd, 0, 16000), 16000);
	ev = rig_wait(r, L4X_EV_LISTEN_DGRAM, 0);
	assert_int_equal(ev.len, 16000);
	check_payload(ev.accepted.m, 0);
	rte_pktmbuf_free(ev.accepted.m);
	close(fd);
}

#define T(f) cmocka_unit_test_setup_teardown(f, rig_start, rig_stop)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(ipv4_peers_of_a_dual_listener_are_ipv4),
		T(ipv6_peers_of_a_dual_listener_are_ipv6),
		T(one_address_is_listened_on_alone),
		T(refused_connection_is_reset),
		T(a_token_serves_once),
		T(many_connections_come_in_bursts),
		T(a_port_in_use_is_explained),
		T(an_address_of_nobody_is_explained),
		T(too_many_open_files_pauses_the_listener),
		T(a_busy_worker_is_not_given_more),
		T(unlisten_closes_the_port),
		T(listeners_come_and_go_beside_each_other),
		T(removing_the_port_resets_what_nobody_adopted),
		T(udp_listener_serves_ipv4),
		T(udp_listener_serves_ipv6),
		T(a_stranger_is_not_lost_while_an_ipv4_flow_opens),
		T(a_stranger_is_not_lost_while_an_ipv6_flow_opens),
		T(another_user_cannot_take_a_udp_forward),
		T(bridges_share_a_port_that_nobody_else_has),
		T(a_port_that_another_program_would_share_is_refused),
		T(a_second_listener_is_refused_while_there_are_flows),
		T(unlisten_ends_the_flows_of_a_udp_forward),
		T(a_flow_is_not_opened_beside_a_listener_that_leads_elsewhere),
		T(socket_addresses_keep_the_interface_of_a_link_local_peer),
		T(large_datagrams_reach_a_listener),
	};

	return cmocka_run_group_tests(tests, eal_group_start, eal_group_stop);
}
