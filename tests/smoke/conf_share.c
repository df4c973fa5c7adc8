/* SPDX-License-Identifier: BSD-3-Clause */
/* What guests have to share: flows, and the store of fragments. None can take all of it. */
#include "smoke2.h"

#define MAX_FLOWS 64

/** a is smoke.g: the greedy one. */
static struct guest *b;

static struct guest *
open_guest(const char *sock, uint8_t number)
{
	char addr[32], addr6[32];
	struct guest_conf conf = {
		.addr = addr, .addr6 = addr6, .mac = { 0x52, 0x54, 0, 0x12, 0x34, number }
	};

	snprintf(addr, sizeof(addr), "10.0.2.%u", number);
	snprintf(addr6, sizeof(addr6), "fd00:2::%u", number);
	return smoke_guest(sock, &conf);
}

/* Datagrams from n ports to a host socket. */
static void
udp_flows(struct guest *g, uint16_t to, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		assert_int_equal(guest_udp_send(g, guest_port(g), &g->gw, to, "x", 1), 0);
}

static void
guest_that_takes_many_flows_leaves_some_to_others(void **state)
{
	const int most = MAX_FLOWS - MAX_FLOWS / 8;
	uint16_t port = 0;
	int fd = host_udp(LO, &port);
	char buf[8];

	assert_true(fd >= 0);
	udp_flows(smoke.g, port, 3 * MAX_FLOWS);
	for (int i = 0; i < most; i++)
		assert_int_equal(host_recv(smoke.g, fd, buf, sizeof(buf), SOON), 1);
	assert_int_equal(host_recv(smoke.g, fd, buf, sizeof(buf), NEVER), -ETIMEDOUT);
	assert_true(smoke_count("flow-limit") > 0);
	assert_int_equal(smoke_flows(most), most);
	udp_flows(b, port, MAX_FLOWS / 8);
	for (int i = 0; i < MAX_FLOWS / 8; i++)
		assert_int_equal(host_recv(b, fd, buf, sizeof(buf), SOON), 1);
	assert_int_equal(smoke_flows(MAX_FLOWS), MAX_FLOWS);
	close(fd);
}

static int
up(void **state)
{
	static const char *const args[] = { "--memory", "64", "--hugepages", "off", "--control",
		"%d/control.sock", "--max-flows", "64", "--timeout-udp", "3600", "--vm",
		"a,socket=%d/a.sock,loopback=gateway", "--vm",
		"b,socket=%d/b.sock,loopback=gateway", NULL };

	smoke.net = netns_private();
	smoke.d = proc_spawn_plain(args);
	if (smoke.d == NULL || !proc_wait_ready(smoke.d, 4 * SOON))
		return -1;
	smoke.g = smoke_guest("a.sock", NULL);
	b = open_guest("b.sock", 16);
	return smoke.g != NULL && b != NULL ? 0 : -1;
}

static int
down(void **state)
{
	guest_close(b);
	return smoke_down(state);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		SMOKE(guest_that_takes_many_flows_leaves_some_to_others),
	};

	return cmocka_run_group_tests_name("conf_share", tests, up, down);
}
