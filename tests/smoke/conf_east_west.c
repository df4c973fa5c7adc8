/* SPDX-License-Identifier: BSD-3-Clause */
/* Guests of one daemon reach each other where a policy or a rule lets them, in every lay-out. */
#include "smoke2.h"

#define BULK 1500000
#define PORT 80
#define IN_FLIGHT 120000

/** a: smoke.g, b: of its network and zone, c: of another zone. */
static struct guest *b, *c;

static struct guest *
open_guest(const char *sock, uint8_t number, uint64_t features, unsigned int pairs)
{
	char addr[32], addr6[32];
	struct guest_conf conf = { .vhu = { .features = features, .pairs = pairs },
		.addr = addr,
		.addr6 = addr6,
		.mac = { 0x52, 0x54, 0, 0x12, 0x34, number } };
	struct guest *g;

	snprintf(addr, sizeof(addr), "10.0.2.%u", number);
	snprintf(addr6, sizeof(addr6), "fd00:2::%u", number);
	g = smoke_guest(sock, &conf);
	assert_non_null(g);
	g->partial = g->v->features & VHU_F_CSUM;
	return g;
}

static const struct pkt_addr *
addr_of(const struct guest *g, bool v6)
{
	return v6 ? &g->addr6 : &g->addr;
}

static void
pump(struct guest *x, struct guest *y)
{
	while (guest_pump(x, 0) > 0 || guest_pump(y, 0) > 0)
		;
	vhu_sleep_ms(1);
}

/* ---- what works between two guests ---- */

static bool
is_echo_request(const struct pkt_view *v, void *arg)
{
	return v->icmp_type == (v->src.len == 4 ? 8 : 128) &&
		(v->proto == IPPROTO_ICMP || v->proto == IPPROTO_ICMPV6);
}

static bool
is_echo_reply(const struct pkt_view *v, void *arg)
{
	return v->icmp_type == (v->src.len == 4 ? 0 : 129) && v->icmp_rest == 7u << 16 &&
		(v->proto == IPPROTO_ICMP || v->proto == IPPROTO_ICMPV6);
}

static void
ping(struct guest *x, struct guest *y, bool v6)
{
	struct pkt_ip ip = guest_ip(x, addr_of(y, v6));
	struct guest_frame *f;
	uint8_t frame[256];
	size_t len;

	guest_send(x, frame, pkt_build_icmp(frame, &ip, v6 ? 128 : 8, 0, 7u << 16, "hello", 5));
	f = guest_wait(y, is_echo_request, NULL, SOON);
	assert_non_null(f);
	assert_int_equal(f->view.ttl, 63);
	assert_true(pkt_addr_eq(&f->view.src, addr_of(x, v6)));
	assert_memory_equal(f->view.src_mac, y->gw_mac, 6);
	free(f);
	ip = guest_ip(y, addr_of(x, v6));
	len = pkt_build_icmp(frame, &ip, v6 ? 129 : 0, 0, 7u << 16, "hello", 5);
	guest_send(y, frame, len);
	f = guest_wait(x, is_echo_reply, NULL, SOON);
	assert_non_null(f);
	free(f);
}

static void
datagrams(struct guest *x, struct guest *y, bool v6, size_t len)
{
	static uint8_t data[1452];
	const uint16_t port = guest_port(x);
	struct guest_frame *f;

	assert_int_equal(guest_udp_send(x, port, addr_of(y, v6), 53, data, len), 0);
	f = guest_udp_recv(y, 53, SOON);
	assert_non_null(f);
	assert_int_equal(f->view.sport, port);
	assert_int_equal(f->view.data_len, len);
	free(f);
	assert_int_equal(guest_udp_send(y, 53, addr_of(x, v6), port, data, len), 0);
	f = guest_udp_recv(x, port, SOON);
	assert_non_null(f);
	free(f);
}

struct link {
	struct gtcp *x, *y;
};

static struct link
connect_guests(struct guest *x, struct guest *y, bool v6)
{
	const uint64_t until = vhu_now_ms() + SOON;
	struct link l = { .x = gtcp_new(x, addr_of(y, v6), PORT, 0) };

	gtcp_segment(l.x, PKT_SYN, l.x->iss, NULL, 0);
	l.x->snd_nxt = l.x->iss + 1;
	l.y = gtcp_accept_syn(y, PORT, SOON);
	assert_non_null(l.y);
	gtcp_segment(l.y, PKT_SYN | PKT_ACK, l.y->iss, NULL, 0);
	l.y->snd_nxt = l.y->iss + 1;
	while (!l.x->established || !l.y->established) {
		assert_true(vhu_now_ms() < until);
		pump(x, y);
	}
	l.x->tso = x->v->features & VHU_F(VIRTIO_NET_F_HOST_TSO4);
	l.y->tso = y->v->features & VHU_F(VIRTIO_NET_F_HOST_TSO4);
	return l;
}

/** So many bytes from one end to the other, compared. */
static void
carry(struct gtcp *from, struct gtcp *to, size_t len)
{
	const uint64_t until = vhu_now_ms() + 6 * SOON;
	static uint8_t out[BULK], in[65536];
	size_t sent = 0, got = 0;

	assert_true(len <= sizeof(out));
	for (size_t i = 0; i < len; i++)
		out[i] = (uint8_t)(i * 31 + (i >> 11));
	while (got < len) {
		ssize_t n;

		assert_true(vhu_now_ms() < until);
		/* There is no congestion control: no more at a time than a ring of buffers holds.
		 */
		if (from->n_unacked < IN_FLIGHT)
			sent += gtcp_write(
				from, out + sent, len - sent < IN_FLIGHT ? len - sent : IN_FLIGHT);
		gtcp_tick(from);
		pump(from->g, to->g);
		while (to->n_in > 0) {
			n = gtcp_recv(to, in, sizeof(in), 0);
			assert_true(n > 0);
			assert_memory_equal(in, out + got, (size_t)n);
			got += (size_t)n;
		}
	}
	assert_ok(guest_error(from->g));
	assert_ok(guest_error(to->g));
}

static void
close_link(struct link *l)
{
	gtcp_reset(l->x);
	assert_true(gtcp_wait_reset(l->y, SOON));
	gtcp_free(l->x);
	gtcp_free(l->y);
}

static void
connection(struct guest *x, struct guest *y, bool v6, size_t bytes)
{
	struct link l = connect_guests(x, y, v6);

	carry(l.x, l.y, bytes);
	carry(l.y, l.x, bytes);
	close_link(&l);
}

static void
everything(size_t bytes)
{
	for (int v6 = 0; v6 < 2; v6++) {
		ping(smoke.g, b, v6);
		ping(b, smoke.g, v6);
		datagrams(smoke.g, b, v6, 10);
		datagrams(b, smoke.g, v6, 1452);
		connection(smoke.g, b, v6, bytes);
		connection(b, smoke.g, v6, bytes);
	}
}

/* ---- one worker ---- */

static void
guests_of_one_network_reach_each_other(void **state)
{
	const long long before = smoke_count("ew-pkts");

	everything(BULK);
	assert_true(smoke_count("ew-pkts") > before + 100);
}

static void
large_segments_stay_large(void **state)
{
	struct link l = connect_guests(smoke.g, b, false);

	carry(l.x, l.y, BULK);
	assert_true(l.y->gso_frames > 0);
	assert_true(l.y->max_payload > 20000);
	close_link(&l);
}

static void
guest_with(uint64_t declined)
{
	guest_close(b);
	b = open_guest("b.sock", 16, (VHU_FEATURES_LINUX & ~declined) | VHU_F(63), 1);
	assert_int_equal(b->v->features & declined, 0);
}

static void
who_takes_no_large_segments_gets_small_ones(void **state)
{
	guest_with(VHU_F_GUEST_TSO | VHU_F(VIRTIO_NET_F_GUEST_ECN));
	everything(BULK);
	guest_with(VHU_F_GUEST_TSO | VHU_F(VIRTIO_NET_F_GUEST_ECN) | VHU_F_MRG_RXBUF);
	everything(BULK);
	guest_with(0);
}

static void
who_takes_no_partial_checksums_gets_whole_ones(void **state)
{
	guest_with(VHU_F_GUEST_CSUM | VHU_F_GUEST_TSO | VHU_F(VIRTIO_NET_F_GUEST_ECN));
	everything(BULK);
	guest_with(VHU_F_CSUM | VHU_F_HOST_TSO | VHU_F(VIRTIO_NET_F_HOST_ECN));
	everything(BULK);
	guest_with(0);
}

static void
guest_of_another_zone_is_not_there(void **state)
{
	for (int v6 = 0; v6 < 2; v6++) {
		guest_udp_send(smoke.g, 1000, addr_of(c, v6), 53, "x", 1);
		guest_udp_send(c, 1000, addr_of(b, v6), 53, "x", 1);
	}
	assert_null(guest_udp_recv(c, 53, NEVER));
	assert_null(guest_udp_recv(b, 53, NEVER));
	guest_flush(c);
	guest_flush(smoke.g);
}

static void
host_is_reached_as_before(void **state)
{
	smoke_serves(smoke.g);
	smoke_serves(b);
}

static void
flow_between_guests_is_shown(void **state)
{
	struct link l = connect_guests(smoke.g, b, false);
	char *text = proc_ctl_text(smoke.d, NULL, (const char *[]){ "flow", "list", NULL });

	assert_non_null(text);
	assert_non_null(strstr(text, "10.0.2.16"));
	free(text);
	close_link(&l);
}

/* ---- lay-outs ---- */

static void
served(unsigned int pairs, const char *const *args)
{
	smoke.d = proc_start(args);
	if (smoke.d == NULL)
		fail_msg("the daemon does not start");
	smoke.g = open_guest("a.sock", 15, 0, pairs);
	b = open_guest("b.sock", 16, 0, 1);
	for (unsigned int i = 0; i < 2 * pairs; i++) {
		smoke.g->pair = i % pairs;
		everything(BULK / 10);
		smoke_serves(smoke.g);
	}
	assert_int_equal(smoke_check(NULL), 0);
	assert_ok(guest_error(b));
	guest_close(b);
	guest_close(smoke.g);
	b = NULL;
	smoke.g = NULL;
	assert_ok(proc_stop(smoke.d));
}

static int
after(void **state)
{
	guest_close(b);
	guest_close(smoke.g);
	proc_free(smoke.d);
	b = NULL;
	smoke.g = NULL;
	smoke.d = NULL;
	return 0;
}

#define LAYOUT(...)                                                             \
	((const char *[]){ __VA_ARGS__, "--policy-east-west", "accept", "--vm", \
		"a,socket=%d/a.sock,loopback=gateway,queues=2", "--vm",         \
		"b,socket=%d/b.sock,loopback=gateway", NULL })

static void
two_workers_with_bridges_inside(void **state)
{
	served(1, LAYOUT("--workers", "0,1", "--bridges", "inline"));
}

static void
two_workers_of_one_guest(void **state)
{
	served(2, LAYOUT("--workers", "0,1", "--bridges", "inline"));
}

static void
two_workers_that_sleep_at_once(void **state)
{
	served(2, LAYOUT("--workers", "0,1", "--bridges", "1", "--spin-us", "0"));
}

static void
one_worker_that_sleeps_at_once(void **state)
{
	served(2, LAYOUT("--spin-us", "0", "--bridges", "1"));
}

/* ---- the whole ---- */

static int
up(void **state)
{
	static const char *const args[] = { "--policy-east-west", "accept", "--vm",
		"a,socket=%d/a.sock,loopback=gateway", "--vm",
		"b,socket=%d/b.sock,loopback=gateway", "--vm", "c,socket=%d/c.sock,zone=1", NULL };

	if (smoke_up(args) < 0)
		return -1;
	smoke.g->partial = true;
	b = open_guest("b.sock", 16, 0, 1);
	c = open_guest("c.sock", 17, 0, 1);
	return 0;
}

static int
down(void **state)
{
	guest_close(b);
	guest_close(c);
	b = c = NULL;
	return smoke_down(state);
}

static int
up_net(void **state)
{
	smoke.net = netns_private();
	return 0;
}

int
main(void)
{
	const struct CMUnitTest one[] = {
		SMOKE(guests_of_one_network_reach_each_other),
		SMOKE(large_segments_stay_large),
		SMOKE(who_takes_no_large_segments_gets_small_ones),
		SMOKE(who_takes_no_partial_checksums_gets_whole_ones),
		SMOKE(guest_of_another_zone_is_not_there),
		SMOKE(host_is_reached_as_before),
		SMOKE(flow_between_guests_is_shown),
	};
	const struct CMUnitTest layouts[] = {
		cmocka_unit_test_teardown(two_workers_with_bridges_inside, after),
		cmocka_unit_test_teardown(two_workers_of_one_guest, after),
		cmocka_unit_test_teardown(two_workers_that_sleep_at_once, after),
		cmocka_unit_test_teardown(one_worker_that_sleeps_at_once, after),
	};
	int failed = cmocka_run_group_tests_name("conf_east_west", one, up, down);

	return failed + cmocka_run_group_tests_name("layouts", layouts, up_net, NULL);
}
