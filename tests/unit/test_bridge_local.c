/* SPDX-License-Identifier: BSD-3-Clause */
/* Congestion control of flows: the host's own, but for peers on this host where it paces. */
#include "test_bridge_util.h"

#include <fcntl.h>
#include <netinet/tcp.h>

static const char setting[] = "/proc/sys/net/ipv4/tcp_congestion_control";

/** In a network whose default this is. *state stays NULL where that cannot be. */
static int
start_with(void **state, const char *name)
{
	const int before = net_enter(65536);
	int fd, rc;

	if (before < 0)
		return 0;
	fd = open(setting, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, name, strlen(name)) < 0) {
		print_message("this kernel has no %s\n", name);
		close(fd);
		net_leave(before);
		return 0;
	}
	close(fd);
	rc = rig_start(state);
	((struct rig *)*state)->net_before = before;
	return rc;
}

static int
start_bbr(void **state)
{
	return start_with(state, "bbr");
}

static int
start_cubic(void **state)
{
	return start_with(state, "cubic");
}

static int
stop(void **state)
{
	return *state == NULL ? 0 : rig_stop(state);
}

/** Congestion control of the bridge's socket at the other end of a connection. */
static const char *
control_of(int host)
{
	static char name[32];
	socklen_t len = sizeof(name);

	assert_int_equal(
		getsockopt(host_other_end(host), IPPROTO_TCP, TCP_CONGESTION, name, &len), 0);
	return name;
}

/** Of a flow from a guest to this address of the host. */
static const char *
control_to(struct rig *r, uint32_t addr)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(addr) };
	struct l4x_op op = { .type = L4X_OP_OPEN, .flow = FLOW(1) };
	const int listener = socket(AF_INET, SOCK_STREAM, 0);
	socklen_t len = sizeof(in);
	const char *name;
	int fd;

	assert_int_equal(bind(listener, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(listen(listener, 1), 0);
	getsockname(listener, (struct sockaddr *)&in, &len);
	op.open.peer = flowtab_addr_v4(in.sin_addr.s_addr);
	op.open.peer_port = in.sin_port;
	op.open.pif = PIF;
	op.open.proto = IPPROTO_TCP;
	rig_op(r, &op);
	rig_wait(r, L4X_EV_CONNECTED, FLOW(1));
	fd = host_accept(listener);
	name = control_of(fd);
	close(fd);
	close(listener);
	return name;
}

/** Of a connection that comes in by a forward at this address. */
static const char *
control_at(struct rig *r, uint32_t addr)
{
	struct bridge_listen spec = { .proto = IPPROTO_TCP,
		.local = flowtab_addr_v4(htonl(addr)),
		.port = 8080,
		.guest_port = 8080,
		.pif = PIF };
	struct sockaddr_in in = {
		.sin_family = AF_INET, .sin_port = htons(8080), .sin_addr.s_addr = htonl(addr)
	};
	const int fd = socket(AF_INET, SOCK_STREAM, 0);
	const char *name;
	char err[256];

	assert_true(bridge_listen(r->b, &spec, err, sizeof(err)) >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	rig_wait(r, L4X_EV_ACCEPTED, 0);
	name = control_of(fd);
	close(fd);
	return name;
}

static void
a_peer_on_this_host_is_not_paced(void **state)
{
	if (*state == NULL)
		skip();
	assert_string_equal(control_to(*state, INADDR_LOOPBACK), "reno");
}

static void
a_peer_elsewhere_has_the_hosts_own(void **state)
{
	if (*state == NULL)
		skip();
	assert_string_equal(control_to(*state, 0x0a090901), "bbr");
}

static void
who_connects_to_a_forward_on_loopback_is_not_paced(void **state)
{
	if (*state == NULL)
		skip();
	assert_string_equal(control_at(*state, INADDR_LOOPBACK), "reno");
}

static void
who_connects_to_a_forward_elsewhere_has_the_hosts_own(void **state)
{
	if (*state == NULL)
		skip();
	assert_string_equal(control_at(*state, 0x0a090901), "bbr");
}

static void
what_does_not_pace_is_left_alone(void **state)
{
	if (*state == NULL)
		skip();
	assert_string_equal(control_to(*state, INADDR_LOOPBACK), "cubic");
}

#define T(f, start) cmocka_unit_test_setup_teardown(f, start, stop)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_peer_on_this_host_is_not_paced, start_bbr),
		T(a_peer_elsewhere_has_the_hosts_own, start_bbr),
		T(who_connects_to_a_forward_on_loopback_is_not_paced, start_bbr),
		T(who_connects_to_a_forward_elsewhere_has_the_hosts_own, start_bbr),
		T(what_does_not_pace_is_left_alone, start_cubic),
	};

	return cmocka_run_group_tests_name("bridge_local", tests, eal_group_start, eal_group_stop);
}
