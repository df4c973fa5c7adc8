/* SPDX-License-Identifier: BSD-3-Clause */
/* Windows, retransmission and segment sizes of established connections. */
#include "smoke.h"

#define MIB (1u << 20)

static void
lost_data_is_sent_again(void **state)
{
	struct smoke_conn k = smoke_out(smoke.g, false);

	k.c->drop = 1;
	smoke_say_down(&k, "lost once");
	assert_true(k.c->retransmitted > 0);
	smoke_drop(&k);
}

static void
data_lost_thrice_is_sent_again(void **state)
{
	struct smoke_conn k = smoke_out(smoke.g, false);

	k.c->drop = 3;
	smoke_say_down(&k, "lost three times");
	smoke_drop(&k);
}

/* A connection whose handshake took long: its retransmission timeout is beyond a second. */
static struct smoke_conn
patient(struct guest *g)
{
	struct smoke_conn k = { .fd = -1 };
	uint16_t port = 0;

	k.listener = host_tcp_listen(LO, &port);
	k.c = gtcp_new(g, &g->gw, port, 0);
	gtcp_segment(k.c, PKT_SYN, k.c->iss, NULL, 0);
	k.c->snd_nxt = k.c->iss + 1;
	vhu_sleep_ms(600);
	k.fd = host_accept(g, k.listener, SOON);
	for (int i = 0; i < SOON / 10 && !k.c->established; i++)
		host_idle(g, 10);
	assert_true(k.c->established);
	return k;
}

static void
lost_segment_among_others_is_sent_again_without_a_timeout(void **state)
{
	/* Where frames are no larger than segments, others come after the lost one. */
	const struct guest_conf conf = { .addr = "10.0.2.16",
		.addr6 = "fd00:2::16",
		.mac = { 0x52, 0x54, 0, 7, 7, 7 },
		.vhu.features = VHU_FEATURES_LINUX & ~VHU_F_GUEST_TSO };
	struct guest *g = smoke_guest("b.sock", &conf);
	long long timeouts = 1, fast = 0;
	uint8_t *out = malloc(MIB), *in = malloc(MIB);

	assert_non_null(g);
	host_fill(2, 0, out, MIB);
	/* Where nothing runs for a second there is a timeout all the same: try again. */
	for (int i = 0; i < 10 && timeouts != 0; i++) {
		struct smoke_conn k = patient(g);

		timeouts = smoke_stat("tcp-rto");
		fast = smoke_stat("tcp-fast-retransmit");
		k.c->drop = 1;
		assert_int_equal(host_send_all(g, k.fd, out, MIB, SOON), 0);
		assert_int_equal(gtcp_recv_all(k.c, in, MIB, 10 * SOON), 0);
		assert_memory_equal(in, out, MIB);
		timeouts = smoke_stat("tcp-rto") - timeouts;
		fast = smoke_stat("tcp-fast-retransmit") - fast;
		smoke_drop(&k);
	}
	free(in);
	free(out);
	assert_ok(guest_error(g));
	guest_close(g);
	assert_int_equal(timeouts, 0);
	assert_int_equal(fast, 1);
}

static void
third_duplicate_ack_brings_the_segment(void **state)
{
	struct smoke_conn k = smoke_by_hand(smoke.g);
	long long fast = smoke_stat("tcp-fast-retransmit");
	struct gtcp *c = k.c;
	struct guest_frame *f;
	uint8_t out[8000];
	uint32_t first = c->rcv_nxt;

	host_fill(2, 0, out, sizeof(out));
	assert_int_equal(host_send_all(smoke.g, k.fd, out, sizeof(out), SOON), 0);
	f = smoke_must(smoke_data(c, SOON));
	assert_int_equal(f->view.tcp.seq, first);
	free(f);
	for (int i = 0; i < 4; i++)
		gtcp_ack(c);
	do {
		f = smoke_must(smoke_data(c, SOON));
		if (f->view.tcp.seq == first)
			break;
		free(f);
	} while (true);
	assert_memory_equal(f->view.data, out, f->view.data_len);
	free(f);
	assert_int_equal(smoke_stat("tcp-fast-retransmit"), fast + 1);
	smoke_drop(&k);
}

static void
retransmissions_back_off(void **state)
{
	struct smoke_conn k = smoke_by_hand(smoke.g);
	uint64_t at[4];

	assert_int_equal(host_send_all(smoke.g, k.fd, "x", 1, SOON), 0);
	for (int i = 0; i < 4; i++) {
		free(smoke_must(smoke_data(k.c, SOON)));
		at[i] = vhu_now_ms();
	}
	assert_true(at[3] - at[2] > (at[2] - at[1]) * 3 / 2);
	smoke_drop(&k);
}

static void
data_stays_inside_the_window(void **state)
{
	struct smoke_conn k = smoke_out(smoke.g, false);

	k.c->rcv_wnd = 4096;
	gtcp_ack(k.c);
	k.c->rcv_edge = k.c->rcv_nxt + 4096;
	assert_ok(host_transfer(k.c, k.fd, 0, 200000, 20000));
	assert_true(k.c->max_payload <= 4096);
	smoke_drop(&k);
}

static void
closed_window_is_probed_and_opens_again(void **state)
{
	struct smoke_conn k = smoke_out(smoke.g, false);
	uint64_t before;
	char buf[8] = { 0 };

	k.c->rcv_wnd = 0;
	gtcp_ack(k.c);
	host_idle(smoke.g, 20);
	before = k.c->segs;
	k.c->no_ack = true;
	assert_int_equal(host_send_all(smoke.g, k.fd, "waiting", 7, SOON), 0);
	for (int i = 0; i < 40 && k.c->segs == before; i++)
		host_idle(smoke.g, 100);
	assert_true(k.c->segs > before);
	k.c->no_ack = false;
	k.c->rcv_wnd = 65536;
	gtcp_ack(k.c);
	assert_int_equal(gtcp_recv_all(k.c, buf, 7, SOON), 0);
	assert_string_equal(buf, "waiting");
	smoke_drop(&k);
}

static void
window_update_lets_data_go_on(void **state)
{
	struct smoke_conn k = smoke_by_hand(smoke.g);
	struct gtcp *c = k.c;
	struct guest_frame *f;
	uint8_t out[6000];
	uint32_t first = c->rcv_nxt;
	size_t got = 0;

	c->rcv_wnd = 1024;
	gtcp_ack(c);
	host_idle(smoke.g, 20);
	host_fill(2, 0, out, sizeof(out));
	assert_int_equal(host_send_all(smoke.g, k.fd, out, sizeof(out), SOON), 0);
	while (got < 1024) {
		f = smoke_must(smoke_data(c, SOON));
		assert_true(
			gtcp_diff(f->view.tcp.seq + (uint32_t)f->view.data_len, first + 1024) <= 0);
		got = f->view.tcp.seq + f->view.data_len - first;
		free(f);
	}
	c->rcv_nxt = first + 1024;
	c->rcv_wnd = 60000;
	gtcp_ack(c);
	f = smoke_must(smoke_data(c, SOON));
	assert_int_equal(f->view.tcp.seq, first + 1024);
	free(f);
	smoke_drop(&k);
}

/* Data that is with the guest already, and is taken back by it. */
static void
window_that_shrinks_takes_back_what_is_under_way(void **state)
{
	struct smoke_conn k = smoke_by_hand(smoke.g);
	struct gtcp *c = k.c;
	uint8_t out[20000];
	uint32_t first = c->rcv_nxt, got = 0;
	struct guest_frame *f;

	host_fill(2, 0, out, sizeof(out));
	assert_int_equal(host_send_all(smoke.g, k.fd, out, sizeof(out), SOON), 0);
	while (got < sizeof(out)) {
		f = smoke_must(smoke_data(c, SOON));
		got = f->view.tcp.seq + (uint32_t)f->view.data_len - first;
		free(f);
	}
	c->rcv_nxt = first + 1000;
	c->rcv_wnd = 2048;
	gtcp_ack(c);
	/* What is sent again keeps to it. */
	for (int i = 0; i < 3; i++) {
		f = smoke_must(smoke_data(c, 4 * SOON));
		got = f->view.tcp.seq - first;
		assert_in_range(got, 1000, 1000 + 2048);
		assert_in_range(got + f->view.data_len, 1000, 1000 + 2048);
		assert_memory_equal(f->view.data, out + got, f->view.data_len);
		free(f);
	}
	c->rcv_wnd = 60000;
	c->manual = false;
	gtcp_ack(c);
	assert_int_equal(gtcp_recv_all(c, out, 19000, SOON), 0);
	for (unsigned int i = 0; i < 19000; i++)
		assert_int_equal(out[i], host_pattern(2, 1000 + i));
	smoke_drop(&k);
}

static void
window_that_closes_on_data_under_way_is_probed(void **state)
{
	struct smoke_conn k = smoke_by_hand(smoke.g);
	long long probes = smoke_stat("tcp-probe");
	struct gtcp *c = k.c;
	uint8_t out[20000], in[20000];
	uint32_t first = c->rcv_nxt;
	struct guest_frame *f;

	host_fill(2, 0, out, sizeof(out));
	assert_int_equal(host_send_all(smoke.g, k.fd, out, sizeof(out), SOON), 0);
	free(smoke_must(smoke_data(c, SOON)));
	c->rcv_wnd = 0;
	gtcp_ack(c);
	do {
		f = smoke_must(gtcp_expect(c, PKT_ACK, SOON));
		assert_true(gtcp_diff(f->view.tcp.seq, first + sizeof(out)) <= 0);
		free(f);
	} while (smoke_stat("tcp-probe") == probes);
	/* Answers to probes are no duplicate ACKs. */
	for (int i = 0; i < 5; i++)
		gtcp_ack(c);
	c->rcv_wnd = 60000;
	c->manual = false;
	gtcp_ack(c);
	assert_int_equal(gtcp_recv_all(c, in, sizeof(in), SOON), 0);
	assert_memory_equal(in, out, sizeof(in));
	smoke_drop(&k);
}

static void
host_that_does_not_read_closes_the_window(void **state)
{
	struct smoke_conn k = smoke_out(smoke.g, false);
	long long sends = smoke_stat("bridge-send-short"), shorts = smoke_stat("tcp-short");

	k.c->tso = true;
	assert_ok(host_transfer_slowly(k.c, k.fd, 16 * MIB, 65536, 20 * SOON));
	/* Never more window than the socket takes. */
	assert_int_equal(smoke_stat("bridge-send-short"), sends);
	assert_int_equal(smoke_stat("tcp-short"), shorts);
	smoke_drop(&k);
}

static void
segments_keep_to_the_guests_mss(void **state)
{
	uint16_t port = 0;
	int fd = host_tcp_listen(LO, &port), peer;
	struct gtcp *c = gtcp_new(smoke.g, &smoke.g->gw, port, 0);

	c->mss = 600;
	assert_int_equal(gtcp_connect(c, SOON), 0);
	peer = host_accept(smoke.g, fd, SOON);
	assert_ok(host_transfer(c, peer, 100000, 100000, 20000));
	gtcp_reset(c);
	close(peer);
	close(fd);
}

static void
guest_without_mss_option_gets_536_bytes(void **state)
{
	uint16_t port = 0;
	int fd = host_tcp_listen(LO, &port), peer;
	struct gtcp *c = gtcp_new(smoke.g, &smoke.g->gw, port, 0);

	c->mss = 0;
	c->rcv_scale = -1;
	c->rcv_wnd = 65535;
	assert_int_equal(gtcp_connect(c, SOON), 0);
	peer = host_accept(smoke.g, fd, SOON);
	assert_ok(host_transfer(c, peer, 1000, 50000, 20000));
	assert_true(c->gso_frames > 0 || c->max_payload <= 536);
	gtcp_reset(c);
	close(peer);
	close(fd);
}

static void
guest_without_window_scale_is_served(void **state)
{
	uint16_t port = 0;
	int fd = host_tcp_listen(LO, &port), peer;
	struct gtcp *c = gtcp_new(smoke.g, &smoke.g->gw, port, 0);

	c->rcv_scale = -1;
	c->rcv_wnd = 65535;
	assert_int_equal(gtcp_connect(c, SOON), 0);
	assert_int_equal(c->syn.wscale, -1);
	peer = host_accept(smoke.g, fd, SOON);
	assert_ok(host_transfer(c, peer, MIB, MIB, 20000));
	gtcp_reset(c);
	close(peer);
	close(fd);
}

static void
every_acknowledgement_lost_is_made_good(void **state)
{
	struct smoke_conn k = smoke_out(smoke.g, false);
	char buf[16] = { 0 };

	k.c->no_ack = true;
	assert_int_equal(host_send_all(smoke.g, k.fd, "once more", 9, SOON), 0);
	for (int i = 0; i < 50 && k.c->retransmitted == 0; i++)
		host_idle(smoke.g, 100);
	assert_true(k.c->retransmitted > 0);
	k.c->no_ack = false;
	assert_int_equal(gtcp_recv_all(k.c, buf, 9, SOON), 0);
	assert_string_equal(buf, "once more");
	smoke_echo(smoke.g, &k);
	smoke_drop(&k);
}

static int
up(void **state)
{
	static const char *const args[] = { "--vm", "a,socket=%d/a.sock,loopback=gateway", "--vm",
		"b,socket=%d/b.sock,loopback=gateway", NULL };

	return smoke_up(args);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		SMOKE(lost_data_is_sent_again),
		SMOKE(data_lost_thrice_is_sent_again),
		SMOKE(lost_segment_among_others_is_sent_again_without_a_timeout),
		SMOKE(third_duplicate_ack_brings_the_segment),
		SMOKE(retransmissions_back_off),
		SMOKE(data_stays_inside_the_window),
		SMOKE(closed_window_is_probed_and_opens_again),
		SMOKE(window_update_lets_data_go_on),
		SMOKE(window_that_shrinks_takes_back_what_is_under_way),
		SMOKE(window_that_closes_on_data_under_way_is_probed),
		SMOKE(host_that_does_not_read_closes_the_window),
		SMOKE(segments_keep_to_the_guests_mss),
		SMOKE(guest_without_mss_option_gets_536_bytes),
		SMOKE(guest_without_window_scale_is_served),
		SMOKE(every_acknowledgement_lost_is_made_good),
	};

	return cmocka_run_group_tests_name("conf_tcp_window", tests, up, smoke_down);
}
