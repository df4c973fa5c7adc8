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

static void
three_duplicate_acks_bring_the_segment_at_once(void **state)
{
	struct smoke_conn k = smoke_by_hand(smoke.g);
	struct gtcp *c = k.c;
	struct guest_frame *f;
	uint8_t out[8000];
	uint32_t first = c->rcv_nxt;
	uint64_t start;

	host_fill(2, 0, out, sizeof(out));
	assert_int_equal(host_send_all(smoke.g, k.fd, out, sizeof(out), SOON), 0);
	f = smoke_must(smoke_data(c, SOON));
	assert_int_equal(f->view.tcp.seq, first);
	free(f);
	start = vhu_now_ms();
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
	/* An RTO is 200 ms at the least (RFC 6298 says a second). */
	assert_true(vhu_now_ms() - start < 190);
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

static void
host_that_does_not_read_closes_the_window(void **state)
{
	struct smoke_conn k = smoke_out(smoke.g, false);
	size_t len = 16 * MIB;
	uint8_t *out = malloc(len), *in = malloc(len);
	size_t sent = 0, got = 0;
	uint64_t end;

	host_fill(1, 0, out, len);
	k.c->tso = true;
	end = vhu_now_ms() + 1500;
	while (vhu_now_ms() < end && k.c->zero_windows == 0) {
		sent += gtcp_write(k.c, out + sent, len - sent);
		guest_pump(smoke.g, 5);
		gtcp_tick(k.c);
	}
	assert_true(k.c->zero_windows > 0 || sent < len);
	end = vhu_now_ms() + 20000;
	while (got < len && vhu_now_ms() < end) {
		ssize_t n = recv(k.fd, in + got, len - got, MSG_DONTWAIT);

		got += n > 0 ? (size_t)n : 0;
		if (sent < len)
			sent += gtcp_write(k.c, out + sent, len - sent);
		guest_pump(smoke.g, 1);
		gtcp_tick(k.c);
	}
	assert_int_equal(got, len);
	assert_memory_equal(in, out, len);
	free(out);
	free(in);
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
	static const char *const args[] = { "--vm", "a,socket=%d/a.sock,loopback=gateway", NULL };

	return smoke_up(args);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		SMOKE(lost_data_is_sent_again),
		SMOKE(data_lost_thrice_is_sent_again),
		SMOKE(three_duplicate_acks_bring_the_segment_at_once),
		SMOKE(retransmissions_back_off),
		SMOKE(data_stays_inside_the_window),
		SMOKE(closed_window_is_probed_and_opens_again),
		SMOKE(window_update_lets_data_go_on),
		SMOKE(host_that_does_not_read_closes_the_window),
		SMOKE(segments_keep_to_the_guests_mss),
		SMOKE(guest_without_mss_option_gets_536_bytes),
		SMOKE(guest_without_window_scale_is_served),
		SMOKE(every_acknowledgement_lost_is_made_good),
	};

	return cmocka_run_group_tests_name("conf_tcp_window", tests, up, smoke_down);
}
