/* SPDX-License-Identifier: BSD-3-Clause */
/* What a host far away sees of a guest's connections, and what the guest sees of such a host. */
#include "far.h"

#define KB 1024u
#define MIB (1u << 20)
/** Time for what the kernel does in its own time. */
#define LONG 60000
/** VM a's mark; and a network that only marked packets find the way to. */
#define MARK "77"
#define BEHIND "203.0.113.1"
#define BEHIND6 "2001:db8:9::1"

/* ---- options of the socket ---- */

/* A listener on the far side of the policy route. */
static int
listen_behind(bool v6, uint16_t *port)
{
	int fd = netns_socket(&far, v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	*port = 0;
	assert_int_equal(host_listen_on(fd, v6 ? BEHIND6 : BEHIND, port), 0);
	return fd;
}

static void
connection_takes_the_route_of_the_guests_mark(void **state)
{
	const struct guest_conf conf = {
		.addr = "10.0.2.16", .addr6 = "fd00:2::16", .mac = { 0x52, 0x54, 0, 7, 7, 7 }
	};
	struct guest *unmarked;

	far_need();
	unmarked = smoke_guest("b.sock", &conf);
	assert_non_null(unmarked);
	for (int v6 = 0; v6 < 2; v6++) {
		struct pkt_addr to = pkt_addr(v6 ? BEHIND6 : BEHIND);
		struct smoke_conn k = { .fd = -1 };
		uint16_t port;

		k.listener = listen_behind(v6, &port);
		k.c = gtcp_new(smoke.g, &to, port, 0);
		assert_int_equal(gtcp_connect(k.c, SOON), 0);
		k.fd = host_accept(smoke.g, k.listener, SOON);
		smoke_echo(smoke.g, &k);
		assert_int_equal(
			gtcp_connect(gtcp_new(unmarked, &to, port, 0), SOON), -EHOSTUNREACH);
		smoke_drop(&k);
	}
	guest_close(unmarked);
}

static void
accepted_connection_answers_by_the_route_of_the_mark(void **state)
{
	struct pkt_addr from = pkt_addr(BEHIND), here = pkt_addr(FAR_HERE);
	struct smoke_conn k = { .listener = -1 };
	struct sockaddr_storage ss;
	socklen_t len;

	far_need();
	k.fd = netns_socket(&far, AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	len = pkt_sockaddr(&from, 0, &ss);
	assert_int_equal(bind(k.fd, (struct sockaddr *)&ss, len), 0);
	len = pkt_sockaddr(&here, 8090, &ss);
	connect(k.fd, (struct sockaddr *)&ss, len);
	k.c = gtcp_accept(smoke.g, 90, SOON);
	assert_non_null(k.c);
	assert_string_equal(pkt_addr_text(&k.c->remote), BEHIND);
	smoke_echo(smoke.g, &k);
	smoke_drop(&k);
}

static void
segments_to_the_far_end_keep_to_the_guests_mss(void **state)
{
	uint8_t *frame = malloc(PKT_MAX);

	for (int v6 = 0; v6 < 2; v6++) {
		struct smoke_conn k = { .fd = -1 };
		int watch = far_watch();
		struct pkt_addr to = pkt_addr(v6 ? FAR_PEER6 : FAR_PEER);
		struct pkt_view v;
		size_t seen = 0;
		uint16_t port;

		k.listener = far_listen(v6, &port);
		k.c = gtcp_new(smoke.g, &to, port, 0);
		k.c->mss = 600;
		assert_int_equal(gtcp_connect(k.c, SOON), 0);
		k.fd = host_accept(smoke.g, k.listener, SOON);
		assert_ok(host_transfer(k.c, k.fd, 30 * KB, 0, LONG));
		assert_true(far_seen(watch, port, frame, &v, SOON));
		assert_int_equal(v.tcp.flags & PKT_SYN, PKT_SYN);
		assert_int_equal(v.tcp.mss, 600);
		while (seen < 30 * KB && far_seen(watch, port, frame, &v, SOON)) {
			assert_in_range(v.data_len, 0, 600);
			seen += v.data_len;
		}
		assert_true(seen >= 30 * KB);
		close(watch);
		smoke_drop(&k);
	}
	free(frame);
}

static void
dscp_and_ttl_of_the_syn_are_those_of_the_connection(void **state)
{
	uint8_t *frame = malloc(PKT_MAX);

	for (int v6 = 0; v6 < 2; v6++) {
		struct smoke_conn k = { .fd = -1 };
		int watch = far_watch();
		struct pkt_addr to = pkt_addr(v6 ? FAR_PEER6 : FAR_PEER);
		unsigned int with_data = 0;
		struct pkt_view v;
		uint16_t port;

		k.listener = far_listen(v6, &port);
		k.c = gtcp_new(smoke.g, &to, port, 0);
		k.c->tos = v6 ? 0x28 : 0xb8;
		k.c->ttl = v6 ? 44 : 33;
		assert_int_equal(gtcp_connect(k.c, SOON), 0);
		k.fd = host_accept(smoke.g, k.listener, SOON);
		smoke_echo(smoke.g, &k);
		while (with_data == 0 && far_seen(watch, port, frame, &v, SOON)) {
			assert_int_equal(v.tos & 0xfc, v6 ? 0x28 : 0xb8);
			/* A router counts one; a host none. */
			assert_in_range(v.ttl, v6 ? 43 : 32, v6 ? 44 : 33);
			with_data += v.data_len != 0;
		}
		assert_int_equal(with_data, 1);
		close(watch);
		smoke_drop(&k);
	}
	free(frame);
}

/* ---- connections that take their time ---- */

static void
connection_that_times_out_is_told_by_icmp(void **state)
{
	far_need();
	far_run(false, "echo 1 >/proc/sys/net/ipv4/tcp_syn_retries");
	for (int v6 = 0; v6 < 2; v6++) {
		struct pkt_addr nobody = pkt_addr(v6 ? FAR_NOBODY6 : FAR_NOBODY);
		struct gtcp *c = gtcp_new(smoke.g, &nobody, 80, 0);
		struct guest_frame *f;

		c->manual = true;
		gtcp_segment(c, PKT_SYN, c->iss, NULL, 0);
		f = smoke_must(guest_icmp_error(smoke.g, v6 ? 1 : 3, LONG));
		assert_int_equal(f->view.icmp_code, v6 ? 3 : 1);
		assert_int_equal(pkt_get16(f->view.data + (v6 ? 40 : 20)), c->lport);
		assert_int_equal(pkt_get32(f->view.data + (v6 ? 44 : 24)), c->iss);
		free(f);
		assert_true(gtcp_quiet(c, 0));
	}
	far_run(false, "echo 6 >/proc/sys/net/ipv4/tcp_syn_retries");
}

static void
syn_that_is_repeated_while_the_connect_is_pending_makes_one_connection(void **state)
{
	struct smoke_conn first = far_out(false), k = { .fd = -1 };
	long long opened = smoke_stat("bridge-sockets-opened"), seen = smoke_stat("rx-pkts");
	struct pkt_addr to = pkt_addr(FAR_PEER);
	uint16_t port;

	k.listener = far_listen(false, &port);
	/* The way is known, but nothing passes. */
	far_link(0, 1000);
	k.c = gtcp_new(smoke.g, &to, port, 0);
	for (int i = 0; i < 5; i++)
		gtcp_segment(k.c, PKT_SYN, k.c->iss, NULL, 0);
	k.c->snd_nxt = k.c->iss + 1;
	for (int i = 0; i < LONG / 10 && smoke_stat("rx-pkts") < seen + 5; i++)
		host_idle(smoke.g, 10);
	assert_false(k.c->established);
	far_link(0, 0);
	k.fd = host_accept(smoke.g, k.listener, LONG);
	assert_true(k.fd >= 0);
	for (int i = 0; i < LONG / 10 && !k.c->established; i++)
		host_idle(smoke.g, 10);
	smoke_echo(smoke.g, &k);
	assert_int_equal(smoke_stat("bridge-sockets-opened"), opened + 1);
	assert_int_equal(host_accept(smoke.g, k.listener, 0), -1);
	smoke_drop(&k);
	smoke_drop(&first);
}

/* ---- windows ---- */

static void
peer_that_does_not_read_closes_the_window_and_opens_it(void **state)
{
	for (int v6 = 0; v6 < 2; v6++) {
		struct smoke_conn k = far_out(v6);
		long long sends = smoke_stat("bridge-send-short"), shorts = smoke_stat("tcp-short");

		assert_ok(host_transfer_slowly(k.c, k.fd, 3 * MIB, 64 * KB, LONG));
		assert_true(k.c->zero_windows > 0);
		assert_int_equal(smoke_stat("bridge-send-short"), sends);
		assert_int_equal(smoke_stat("tcp-short"), shorts);
		smoke_drop(&k);
	}
}

/* A connection to a peer that has little room, and does not read. */
static struct smoke_conn
narrow(void)
{
	struct smoke_conn k = { .fd = -1 };
	struct pkt_addr to = pkt_addr(FAR_PEER);
	const int room = 4000;
	uint16_t port;

	k.listener = far_listen(false, &port);
	setsockopt(k.listener, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
	k.c = gtcp_new(smoke.g, &to, port, 0);
	assert_int_equal(gtcp_connect(k.c, SOON), 0);
	k.fd = host_accept(smoke.g, k.listener, SOON);
	return k;
}

static void
peer_with_little_room_gets_all(void **state)
{
	struct smoke_conn k = narrow();

	assert_ok(host_transfer_slowly(k.c, k.fd, 100 * KB, 700, LONG));
	assert_true(k.c->zero_windows > 0);
	smoke_drop(&k);
}

/* By hand: len bytes on from where the guest is. */
static void
send_on(struct gtcp *c, uint32_t len)
{
	uint8_t out[1460];

	host_fill(1, c->snd_nxt - c->iss - 1, out, len);
	gtcp_segment(c, PKT_ACK, c->snd_nxt, out, len);
	c->snd_nxt += len;
}

static void
window_under_one_mss_is_told_as_zero_while_bytes_are_queued(void **state)
{
	struct smoke_conn k = narrow();
	struct gtcp *c = k.c;
	uint32_t edge = c->snd_una + c->snd_wnd, acked, left;
	uint8_t in[10000], out[10000];
	struct guest_frame *f;

	c->manual = true;
	while ((left = edge - c->snd_nxt) >= c->snd_mss) {
		send_on(c, c->snd_mss);
		f = smoke_acked(c, c->snd_nxt);
		edge = c->snd_nxt + ((uint32_t)f->view.tcp.win << c->snd_scale);
		free(f);
	}
	/* All of it is with the peer: what is left is told as it is, for there may never be more.
	 */
	assert_in_range(left, 256, c->snd_mss - 1);
	acked = c->snd_nxt;
	far_link(0, 1000);
	send_on(c, 100);
	/* A probe asks how things stand. */
	gtcp_segment(c, PKT_ACK, acked - 1, NULL, 0);
	f = smoke_must(gtcp_expect(c, PKT_ACK, SOON));
	assert_int_equal(f->view.tcp.ack, acked);
	assert_int_equal(f->view.tcp.win, 0);
	free(f);
	far_link(0, 0);
	left = c->snd_nxt - c->iss - 1;
	host_fill(1, 0, out, left);
	assert_int_equal(host_recv_all(smoke.g, k.fd, in, left, LONG), 0);
	assert_memory_equal(in, out, left);
	smoke_drop(&k);
}

/* The guest sends len bytes, and the socket takes them, or does not. */
static void
one_piece(struct gtcp *c, const uint8_t *out, uint32_t len, long long shorts)
{
	const long long all = smoke_stat("bridge-send-bytes") + len;

	assert_int_equal(gtcp_write(c, out, len), len);
	for (int i = 0; i < SOON && smoke_stat("bridge-send-bytes") < all; i++) {
		host_idle(smoke.g, 1);
		assert_int_equal(smoke_stat("bridge-send-short"), shorts);
	}
	assert_int_equal(smoke_stat("bridge-send-bytes"), all);
}

/* The far end has room for much, and does not acknowledge a byte: all lies in the socket. */
static void
told_room_is_there(uint16_t mss)
{
	struct smoke_conn k = { .fd = -1 };
	struct pkt_addr to = pkt_addr(FAR_PEER);
	const int room = 4 * MIB;
	static uint8_t out[65536], in[65536];
	long long shorts = smoke_stat("bridge-send-short");
	uint32_t sent = 0;
	uint16_t port;

	k.listener = far_listen(false, &port);
	setsockopt(k.listener, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	k.c = gtcp_new(smoke.g, &to, port, 0);
	k.c->mss = mss;
	k.c->tso = true;
	assert_int_equal(gtcp_connect(k.c, SOON), 0);
	k.fd = host_accept(smoke.g, k.listener, SOON);
	far_link(0, 1000);
	host_fill(1, 0, out, sizeof(out));
	/* A few small ones, each of which costs the socket more than its bytes. */
	while (sent < 12)
		one_piece(k.c, out + sent++, 1, shorts);
	while (sent < k.c->snd_wnd) {
		const uint32_t left = k.c->snd_wnd - sent, len = left < 10000 ? left : 10000;

		one_piece(k.c, out + sent, len, shorts);
		sent += len;
	}
	assert_in_range(sent, 10000, sizeof(out));
	assert_int_equal(k.c->snd_una, k.c->iss + 1);
	far_link(0, 0);
	assert_int_equal(host_recv_all(smoke.g, k.fd, in, sent, LONG), 0);
	assert_memory_equal(in, out, sent);
	smoke_drop(&k);
}

static void
room_that_is_told_is_there(void **state)
{
	told_room_is_there(1460);
}

static void
room_that_is_told_is_there_for_small_segments(void **state)
{
	told_room_is_there(100);
}

/* ---- ends ---- */

static void
answer_before_a_reset_reaches_the_guest_whole(void **state)
{
	static uint8_t out[60000], in[60000];
	struct smoke_conn k = far_out(false);

	host_fill(2, 0, out, sizeof(out));
	assert_int_equal(gtcp_send(k.c, "request", 7, SOON), 0);
	assert_true(host_wait(smoke.g, k.fd, POLLIN, SOON));
	/* The guest takes little at a time: most of it is still in the socket when the reset comes.
	 */
	k.c->rcv_wnd = 3000;
	gtcp_ack(k.c);
	smoke_answer_and_reset(&k, out, sizeof(out));
	assert_int_equal(gtcp_recv_all(k.c, in, sizeof(in), LONG), 0);
	assert_memory_equal(in, out, sizeof(in));
	assert_true(gtcp_wait_reset(k.c, SOON));
	smoke_drop(&k);
}

static int
up(void **state)
{
	static const char *const args[] = { "--vm",
		"a,socket=%d/a.sock,loopback=gateway,mark=" MARK ",tcp=8090:90", "--vm",
		"b,socket=%d/b.sock,loopback=gateway", NULL };

	int rc = far_up(args);

	if (rc < 0 || far.fd < 0)
		return rc;
	rc = netns_run(&far,
		"ip addr add " BEHIND "/32 dev lo && ip addr add " BEHIND6 "/128 dev lo nodad");
	if (rc == 0)
		rc = netns_run(NULL,
			"echo 0 >/proc/sys/net/ipv4/conf/all/rp_filter && "
			"echo 0 >/proc/sys/net/ipv4/conf/weir0/rp_filter && "
			"ip rule add fwmark " MARK " lookup 100 && "
			"ip -6 rule add fwmark " MARK " lookup 100 && "
			"ip route add " BEHIND " via " FAR_PEER " table 100 && "
			"ip -6 route add " BEHIND6 " via " FAR_PEER6 " table 100");
	return rc == 0 ? 0 : -1;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		FAR(connection_takes_the_route_of_the_guests_mark),
		FAR(accepted_connection_answers_by_the_route_of_the_mark),
		FAR(segments_to_the_far_end_keep_to_the_guests_mss),
		FAR(dscp_and_ttl_of_the_syn_are_those_of_the_connection),
		FAR(connection_that_times_out_is_told_by_icmp),
		FAR(syn_that_is_repeated_while_the_connect_is_pending_makes_one_connection),
		FAR(peer_that_does_not_read_closes_the_window_and_opens_it),
		FAR(peer_with_little_room_gets_all),
		FAR(window_under_one_mss_is_told_as_zero_while_bytes_are_queued),
		FAR(room_that_is_told_is_there),
		FAR(room_that_is_told_is_there_for_small_segments),
		FAR(answer_before_a_reset_reaches_the_guest_whole),
	};

	return cmocka_run_group_tests_name("conf_tcp_far", tests, up, far_down);
}
