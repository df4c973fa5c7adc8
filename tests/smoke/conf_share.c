/* SPDX-License-Identifier: BSD-3-Clause */
/* What guests have to share: flows, and the store of fragments. None can take all of it. */
#include "smoke2.h"

#define MAX_FLOWS 64
#define LEN 2000

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
	int fd, had = smoke_flows_now();
	uint16_t port = 0;
	char buf[8];

	fd = host_udp(LO, &port);
	assert_true(fd >= 0);
	udp_flows(smoke.g, port, 3 * MAX_FLOWS);
	for (int i = had; i < most; i++)
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

/* A datagram of LEN equal bytes from a guest, which is sent in two halves. */
struct halves {
	struct guest *g;
	struct pkt_ip ip;
	uint8_t l4[8 + LEN];
};

static struct halves
halves(struct guest *g, const struct pkt_addr *src, uint16_t id, uint16_t port, uint8_t byte)
{
	struct halves h = { .g = g, .ip = guest_ip(g, &g->gw) };
	uint8_t data[LEN], f[LEN + 100];

	memset(data, byte, LEN);
	h.ip.src = *src;
	h.ip.id = id;
	pkt_build_udp(f, &h.ip, 1000, port, data, LEN);
	memcpy(h.l4, f + 34, sizeof(h.l4));
	return h;
}

static void
half(struct halves *h, bool second)
{
	const size_t from = second ? LEN / 2 : 0, n = second ? LEN / 2 + 8 : LEN / 2;
	uint8_t f[LEN + 100];

	h->ip.frag = second ? LEN / 2 / 8 : 0x2000;
	guest_send_raw(h->g, NULL, f, pkt_build_ip(f, &h->ip, IPPROTO_UDP, h->l4 + from, n));
}

static void
assert_datagram(int fd, uint8_t byte)
{
	uint8_t buf[LEN + 1];

	assert_int_equal(host_recv(smoke.g, fd, buf, sizeof(buf), SOON), LEN);
	for (size_t i = 0; i < LEN; i++)
		assert_int_equal(buf[i], byte);
}

static void
fragments_of_two_guests_do_not_meet(void **state)
{
	uint16_t port = 0;
	int fd = host_udp(LO, &port);
	struct halves ours = halves(b, &b->addr, 7, port, 'b');
	/* The other uses the same source address, and the same number. */
	struct halves theirs = halves(smoke.g, &b->addr, 7, port, 'a');

	half(&ours, false);
	half(&theirs, true);
	host_idle(smoke.g, NEVER);
	half(&ours, true);
	assert_datagram(fd, 'b');
	half(&theirs, false);
	assert_datagram(fd, 'a');
	close(fd);
}

static void
flood_of_fragments_leaves_those_of_others_alone(void **state)
{
	uint16_t port = 0;
	int fd = host_udp(LO, &port);
	struct halves ours = halves(b, &b->addr, 9, port, 'b');
	long long before = smoke_count("frag-full");

	half(&ours, false);
	for (uint16_t id = 0; id < 200; id++) {
		struct halves lone = halves(smoke.g, &smoke.g->addr, id, port, 'a');

		half(&lone, false);
	}
	/* When that much has been refused, all of it has been looked at, but for a burst. */
	for (int waited = 0; smoke_count("frag-full") < before + 100; waited += 10) {
		assert_true(waited < SOON);
		host_idle(smoke.g, 10);
	}
	half(&ours, true);
	assert_datagram(fd, 'b');
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
		SMOKE(fragments_of_two_guests_do_not_meet),
		SMOKE(flood_of_fragments_leaves_those_of_others_alone),
		SMOKE(guest_that_takes_many_flows_leaves_some_to_others),
	};

	return cmocka_run_group_tests_name("conf_share", tests, up, down);
}
