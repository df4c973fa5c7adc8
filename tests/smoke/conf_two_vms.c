/* SPDX-License-Identifier: BSD-3-Clause */
/* Several guests of one daemon: each has its own, and none is bothered by another. */
#include "smoke2.h"

#define FLOWS_A 8
#define RATE_C 10

/** a: smoke.g, limited in flows; b: no limits; c: limited in new flows per second. */
static struct guest *b, *c;

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

/* Anything but a router advertisement, which comes unasked. */
static bool
is_any(const struct pkt_view *v, void *arg)
{
	return v->proto != IPPROTO_ICMPV6 || v->icmp_type != 134;
}

static bool
is_from(const struct pkt_view *v, void *mac)
{
	return memcmp(v->src_mac, mac, 6) == 0 ||
		(v->eth_type == PKT_ETH_ARP && memcmp(v->arp_sha, mac, 6) == 0);
}

/* Nothing has reached the guest that it did not ask for. */
static void
hears_nothing(struct guest *g)
{
	assert_true(guest_never(g, is_any, NULL, NEVER));
	assert_ok(guest_error(g));
}

static void
each_has_its_own_address_and_name(void **state)
{
	struct guest *const guests[] = { smoke.g, b, c };
	static const char *const addr[] = { "10.0.2.15", "10.0.2.16", "10.0.2.17" };
	static const char names[] = "abc";
	struct guest_frame *f;
	struct dhcp_reply ack;

	for (unsigned int i = 0; i < 3; i++) {
		assert_int_equal(guest_dhcp(guests[i], &ack, &f), 0);
		assert_string_equal(pkt_addr_text(&ack.yiaddr), addr[i]);
		assert_int_equal(ack.opt_len[DHCP_OPT_HOSTNAME], 1);
		assert_int_equal(ack.opt[DHCP_OPT_HOSTNAME][0], names[i]);
		free(f);
	}
}

static void
each_tcp_forward_reaches_its_own_guest(void **state)
{
	for (int v6 = 0; v6 < 2; v6++) {
		struct smoke_conn ka = smoke_in(smoke.g, v6, 3001, 22);
		struct smoke_conn kb = smoke_in(b, v6, 3002, 22);

		smoke_say_up(&ka, "a");
		smoke_say_up(&kb, "b");
		smoke_say_down(&ka, "to a");
		smoke_say_down(&kb, "to b");
		smoke_drop(&ka);
		smoke_drop(&kb);
		host_idle(smoke.g, 10);
		host_idle(b, 10);
		guest_flush(smoke.g);
		guest_flush(b);
	}
	hears_nothing(c);
}

static void
each_udp_forward_reaches_its_own_guest(void **state)
{
	struct guest *const guests[] = { smoke.g, b };

	for (int v6 = 0; v6 < 2; v6++) {
		for (unsigned int i = 0; i < 2; i++) {
			uint16_t port = 0, from;
			int fd = host_udp(v6 ? LO6 : LO, &port);
			struct pkt_addr addr;
			struct guest_frame *f;
			char buf[8];

			assert_int_equal(
				host_send_to(fd, v6 ? LO6 : LO, (uint16_t)(4001 + i), "hello", 5),
				0);
			f = guest_udp_recv(guests[i], 53, SOON);
			assert_non_null(f);
			assert_int_equal(f->view.data_len, 5);
			assert_int_equal(guest_udp_send(guests[i], 53, &f->view.src, f->view.sport,
						 "reply", 5),
				0);
			free(f);
			assert_int_equal(
				host_recv_from(guests[i], fd, buf, sizeof(buf), &addr, &from, SOON),
				5);
			assert_int_equal(from, 4001 + i);
			hears_nothing(guests[1 - i]);
			close(fd);
		}
	}
}

static void
broadcast_and_multicast_reach_no_other_guest(void **state)
{
	static const uint8_t all[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff }, none[6];
	struct pkt_ip ip = guest_ip(smoke.g, &smoke.g->gw);
	uint8_t f[256];

	guest_send(
		smoke.g, f, pkt_build_arp(f, all, 1, smoke.g->mac, &smoke.g->addr, none, &b->addr));
	guest_send(smoke.g, f, pkt_build_ns(f, smoke.g->mac, &smoke.g->addr6, &b->addr6));
	memcpy(ip.dst_mac, all, 6);
	ip.dst = pkt_addr("255.255.255.255");
	guest_send(smoke.g, f, pkt_build_udp(f, &ip, 1000, 1000, "hello", 5));
	ip.dst = pkt_addr("10.0.2.255");
	guest_send(smoke.g, f, pkt_build_udp(f, &ip, 1000, 1000, "hello", 5));
	ip.dst = pkt_addr("224.0.0.251");
	guest_send(smoke.g, f, pkt_build_udp(f, &ip, 5353, 5353, "hello", 5));
	hears_nothing(b);
	/* The gateway may answer for the other address, but only with a MAC address of its own. */
	assert_true(guest_never(smoke.g, is_from, b->mac, 0));
	guest_flush(smoke.g);
}

static void
frame_to_the_mac_of_another_guest_does_not_reach_it(void **state)
{
	struct pkt_ip ip = guest_ip(smoke.g, &b->addr);
	uint8_t f[256];

	memcpy(ip.dst_mac, b->mac, 6);
	guest_send(smoke.g, f, pkt_build_udp(f, &ip, 1000, 53, "hello", 5));
	guest_send(smoke.g, f, pkt_build_icmp(f, &ip, 8, 0, 1, "hello", 5));
	hears_nothing(b);
	hears_nothing(smoke.g);
}

static void
address_of_another_guest_leads_nowhere_near_it(void **state)
{
	assert_int_not_equal(guest_ping(smoke.g, &b->addr, 1, 1, "x", 1, NEVER), 0);
	guest_udp_send(smoke.g, 1000, &b->addr, 53, "hello", 5);
	guest_udp_send(smoke.g, 1000, &b->addr6, 53, "hello", 5);
	hears_nothing(b);
	host_idle(smoke.g, 20);
	guest_flush(smoke.g);
}

static void
frame_with_the_address_of_another_guest_does_not_touch_its_connection(void **state)
{
	struct smoke_conn k = smoke_out(b, false);
	struct pkt_ip ip = guest_ip(smoke.g, &b->gw);
	struct pkt_tcp t = {
		.sport = k.c->lport, .dport = k.c->rport, .flags = PKT_RST, .wscale = -1
	};
	uint8_t f[256];

	smoke_echo(b, &k);
	ip.src = b->addr;
	t.seq = k.c->snd_nxt;
	guest_send(smoke.g, f, pkt_build_tcp(f, &ip, &t, NULL, 0));
	memcpy(ip.src_mac, b->mac, 6);
	guest_send(smoke.g, f, pkt_build_tcp(f, &ip, &t, NULL, 0));
	t.flags = PKT_ACK | PKT_PSH;
	t.ack = k.c->rcv_nxt;
	guest_send(smoke.g, f, pkt_build_tcp(f, &ip, &t, "evil", 4));
	host_idle(smoke.g, 50);
	smoke_echo(b, &k);
	smoke_drop(&k);
	assert_ok(guest_error(b));
	/* What is answered to a lie is the liar's. */
	guest_flush(smoke.g);
	smoke.g->error[0] = '\0';
}

static void
same_ports_of_two_guests_are_two_connections(void **state)
{
	struct guest *const guests[] = { smoke.g, b };
	struct gtcp *tcp[2];
	uint16_t port = 0;
	int listener = host_tcp_listen(LO, &port), fd[2];
	char buf[16] = "";

	for (unsigned int i = 0; i < 2; i++) {
		tcp[i] = gtcp_new(guests[i], &guests[i]->gw, port, 5000);
		assert_int_equal(gtcp_connect(tcp[i], SOON), 0);
		fd[i] = host_accept(guests[i], listener, SOON);
		assert_true(fd[i] >= 0);
	}
	for (unsigned int i = 0; i < 2; i++) {
		assert_int_equal(gtcp_send(tcp[i], i ? "bee" : "ant", 3, SOON), 0);
		assert_int_equal(host_recv_all(guests[i], fd[i], buf, 3, SOON), 0);
		assert_string_equal(buf, i ? "bee" : "ant");
	}
	assert_ok(host_transfer(tcp[0], fd[0], 300000, 300000, 2 * SOON));
	assert_ok(host_transfer(tcp[1], fd[1], 300000, 300000, 2 * SOON));
	for (unsigned int i = 0; i < 2; i++) {
		gtcp_reset(tcp[i]);
		gtcp_free(tcp[i]);
		close(fd[i]);
	}
	close(listener);
}

/* How many of n datagrams from as many ports reach the host. */
static unsigned int
udp_flows(struct guest *g, unsigned int n)
{
	uint16_t port = 0, from;
	int fd = host_udp(LO, &port);
	unsigned int got = 0;
	struct pkt_addr addr;
	char buf[8];

	for (unsigned int i = 0; i < n; i++)
		assert_int_equal(guest_udp_send(g, guest_port(g), &g->gw, port, "x", 1), 0);
	while (host_recv_from(g, fd, buf, sizeof(buf), &addr, &from, got < n ? NEVER : 0) == 1)
		got++;
	close(fd);
	return got;
}

static void
limit_of_flows_is_kept_and_is_nobody_elses(void **state)
{
	long long before = smoke_count("flow-limit");
	unsigned int got = udp_flows(smoke.g, 3 * FLOWS_A);
	struct gtcp *conn[FLOWS_A + 1] = { NULL };
	unsigned int n = 0;
	uint16_t port = 0;
	int fd;

	assert_true(got > 0 && got <= FLOWS_A);
	assert_true(smoke_count("flow-limit") > before);
	assert_int_equal(udp_flows(b, 100), 100);
	smoke_serves(b);
	/* A connection that cannot be had is refused at once, not left to time out. */
	fd = host_tcp_listen(LO, &port);
	errno = 0;
	while (n <= FLOWS_A && (conn[n] = gtcp_open(smoke.g, GW, port)) != NULL)
		n++;
	assert_true(n <= FLOWS_A);
	assert_int_equal(errno, ECONNREFUSED);
	conn[n] = gtcp_open(b, GW, port);
	assert_non_null(conn[n]);
	for (unsigned int i = 0; i <= n; i++) {
		gtcp_reset(conn[i]);
		gtcp_free(conn[i]);
	}
	close(fd);
}

static void
limit_of_new_flows_is_kept_and_is_nobody_elses(void **state)
{
	long long before = smoke_count("flow-rate");
	unsigned int got = udp_flows(c, 10 * RATE_C);

	/* What one second allows, and a part of the next. */
	assert_true(got > 0 && got <= 3 * RATE_C);
	assert_true(smoke_count("flow-rate") > before);
	assert_int_equal(udp_flows(b, 100), 100);
	vhu_sleep_ms(1100);
	assert_true(udp_flows(c, 1) == 1);
}

static void
flood_of_one_guest_does_not_starve_another(void **state)
{
	struct pkt_ip ip = guest_ip(smoke.g, &smoke.g->gw);
	uint8_t f[128];
	size_t len = pkt_build_icmp(f, &ip, 8, 0, 1, "flood", 5);
	uint64_t begun, longest = 0;

	for (unsigned int round = 0; round < 50; round++) {
		for (unsigned int i = 0; i < 200; i++)
			vhu_tx_queue(smoke.g->v, 0, NULL, f, len, NULL);
		vhu_tx_flush(smoke.g->v, 0);
		begun = vhu_now_ms();
		assert_int_equal(guest_ping(b, &b->gw, 1, (uint16_t)round, "x", 1, SOON), 0);
		if (vhu_now_ms() - begun > longest)
			longest = vhu_now_ms() - begun;
		vhu_tx_reap(smoke.g->v, 0);
		guest_pump(smoke.g, 0);
	}
	assert_true(longest < 500);
	assert_true(vhu_tx_drain(smoke.g->v, 0, SOON));
	host_idle(smoke.g, 20);
	guest_flush(smoke.g);
}

static void
guest_that_takes_no_frames_does_not_hold_up_another(void **state)
{
	struct smoke_conn k = smoke_out(b, false);
	static char data[200000];
	int fd;

	/* Many bytes wait for b, which does not look at its ring. */
	send(k.fd, data, sizeof(data), MSG_NOSIGNAL | MSG_DONTWAIT);
	fd = host_tcp_connect(LO, 3002);
	for (unsigned int i = 0; i < 20; i++)
		assert_int_equal(guest_ping(c, &c->gw, 1, (uint16_t)i, "x", 1, SOON), 0);
	smoke_bulk(c, false, 100000, 100000);
	assert_int_equal(gtcp_recv_all(k.c, data, sizeof(data), SOON), 0);
	close(fd);
	smoke_drop(&k);
	host_idle(b, 20);
	guest_flush(b);
}

static void
loopback_of_the_host_is_closed_to_those_who_were_not_given_it(void **state)
{
	struct guest *d = open_guest("d.sock", 18);
	uint16_t port = 0;
	int listener = host_tcp_listen(LO, &port);

	assert_non_null(d);
	errno = 0;
	assert_null(gtcp_open(d, GW, port));
	assert_true(errno == ECONNREFUSED || errno == EHOSTUNREACH);
	assert_null(gtcp_open(d, LO, port));
	assert_false(host_wait(d, listener, POLLIN, NEVER));
	close(listener);
	d->error[0] = '\0';
	guest_close(d);
}

static int
up(void **state)
{
	static const char *const args[] = { "--vm",
		"a,socket=%d/a.sock,loopback=gateway,max-flows=8,tcp=3001:22,udp=4001:53", "--vm",
		"b,socket=%d/b.sock,loopback=gateway,tcp=3002:22,udp=4002:53", "--vm",
		"c,socket=%d/c.sock,loopback=gateway,new-flows-per-s=10", "--vm",
		"d,socket=%d/d.sock", "--timeout-udp", "1", "--timeout-udp-stream", "1", NULL };

	if (smoke_up(args) < 0)
		return -1;
	b = open_guest("b.sock", 16);
	c = open_guest("c.sock", 17);
	return b != NULL && c != NULL ? 0 : -1;
}

static int
down(void **state)
{
	guest_close(b);
	guest_close(c);
	return smoke_down(state);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		SMOKE(each_has_its_own_address_and_name),
		SMOKE(each_tcp_forward_reaches_its_own_guest),
		SMOKE(each_udp_forward_reaches_its_own_guest),
		SMOKE(broadcast_and_multicast_reach_no_other_guest),
		SMOKE(frame_to_the_mac_of_another_guest_does_not_reach_it),
		SMOKE(address_of_another_guest_leads_nowhere_near_it),
		SMOKE(frame_with_the_address_of_another_guest_does_not_touch_its_connection),
		SMOKE(same_ports_of_two_guests_are_two_connections),
		SMOKE(limit_of_flows_is_kept_and_is_nobody_elses),
		SMOKE(limit_of_new_flows_is_kept_and_is_nobody_elses),
		SMOKE(flood_of_one_guest_does_not_starve_another),
		SMOKE(guest_that_takes_no_frames_does_not_hold_up_another),
		SMOKE(loopback_of_the_host_is_closed_to_those_who_were_not_given_it),
	};

	return cmocka_run_group_tests_name("conf_two_vms", tests, up, down);
}
