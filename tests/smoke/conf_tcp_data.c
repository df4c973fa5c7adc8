/* SPDX-License-Identifier: BSD-3-Clause */
/* Data of established connections, as the guest and the host see it. */
#include "smoke.h"

#define MIB (1u << 20)

static struct guest_frame *
must(struct guest_frame *f)
{
	if (f == NULL)
		fail_msg("no such segment: %s",
			guest_error(smoke.g) != NULL ? guest_error(smoke.g) : "time out");
	return f;
}

/* An established connection whose further segments the test handles by hand. */
static struct smoke_conn
by_hand(void)
{
	struct smoke_conn k = smoke_out(smoke.g, false);

	host_idle(smoke.g, 5);
	k.c->manual = true;
	return k;
}

/* The next acknowledgement without data whose number is at least ack. */
static struct guest_frame *
acked(struct gtcp *c, uint32_t ack)
{
	for (;;) {
		struct guest_frame *f = must(gtcp_expect(c, PKT_ACK, SOON));

		if (gtcp_diff(f->view.tcp.ack, ack) >= 0)
			return f;
		free(f);
	}
}

/* The next segment with data. */
static struct guest_frame *
data_segment(struct gtcp *c, int timeout_ms)
{
	uint64_t deadline = vhu_now_ms() + (unsigned int)timeout_ms;

	while (vhu_now_ms() < deadline) {
		struct guest_frame *f = gtcp_next(c, (int)(deadline - vhu_now_ms()));

		if (f == NULL || f->view.data_len != 0)
			return f;
		free(f);
	}
	return NULL;
}

static void
transfer(bool v6, size_t up, size_t down)
{
	struct smoke_conn k = smoke_out(smoke.g, v6);

	assert_ok(host_transfer(k.c, k.fd, up, down, 20000));
	smoke_drop(&k);
}

static void
megabytes_from_the_guest_arrive_whole(void **state)
{
	transfer(false, 4 * MIB, 0);
}

static void
megabytes_to_the_guest_arrive_whole(void **state)
{
	transfer(false, 0, 4 * MIB);
}

static void
megabytes_both_ways_arrive_whole_over_ipv6(void **state)
{
	transfer(true, 2 * MIB, 2 * MIB);
}

static void
segmentation_is_left_to_the_device_both_ways(void **state)
{
	struct smoke_conn k = smoke_out(smoke.g, false);

	k.c->tso = true;
	assert_ok(host_transfer(k.c, k.fd, 4 * MIB, 4 * MIB, 20000));
	assert_true(k.c->gso_frames > 0);
	assert_true(k.c->max_payload > 10000);
	smoke_drop(&k);
}

static void
segmentation_is_left_to_the_device_over_ipv6(void **state)
{
	struct smoke_conn k = smoke_out(smoke.g, true);

	k.c->tso = true;
	assert_ok(host_transfer(k.c, k.fd, 2 * MIB, 2 * MIB, 20000));
	assert_true(k.c->gso_frames > 0);
	smoke_drop(&k);
}

static void
checksums_are_left_to_the_device(void **state)
{
	smoke.g->partial = true;
	transfer(false, MIB, 0);
	transfer(true, MIB, 0);
}

static void
headers_split_over_descriptors(void **state)
{
	static const size_t split[] = { 3, 12, 20, 26, 33, 46, 50, 66, 67, 400 };
	struct vhu_shape shape = { split, 10, false };

	smoke.g->tx_shape = &shape;
	transfer(false, 300000, 0);
	shape.indirect = true;
	transfer(true, 300000, 0);
}

static void
odd_sizes_arrive_whole(void **state)
{
	struct smoke_conn k = smoke_out(smoke.g, false);
	uint8_t out[1500], in[1500];

	for (size_t n = 1; n < 1460; n += 53) {
		host_fill(1, n, out, n);
		assert_int_equal(gtcp_send(k.c, out, n, SOON), 0);
		assert_int_equal(host_recv_all(smoke.g, k.fd, in, n, SOON), 0);
		assert_memory_equal(out, in, n);
		assert_int_equal(host_send_all(smoke.g, k.fd, out, n, SOON), 0);
		assert_int_equal(gtcp_recv_all(k.c, in, n, SOON), 0);
		assert_memory_equal(out, in, n);
	}
	smoke_drop(&k);
}

static void
duplicate_is_acknowledged_again(void **state)
{
	struct smoke_conn k = by_hand();
	struct gtcp *c = k.c;
	uint32_t seq = c->snd_nxt;
	char buf[16];

	gtcp_segment(c, PKT_ACK, seq, "abcd", 4);
	c->snd_nxt += 4;
	free(acked(c, seq + 4));
	gtcp_segment(c, PKT_ACK, seq, "abcd", 4);
	free(acked(c, seq + 4));
	assert_int_equal(host_recv_all(smoke.g, k.fd, buf, 4, SOON), 0);
	assert_int_equal(host_recv(smoke.g, k.fd, buf, 1, NEVER), -ETIMEDOUT);
	smoke_drop(&k);
}

static void
gap_is_answered_with_a_duplicate_ack(void **state)
{
	struct smoke_conn k = by_hand();
	struct gtcp *c = k.c;
	uint32_t seq = c->snd_nxt;
	struct guest_frame *f;
	char buf[16] = { 0 };

	c->snd_nxt += 8;
	gtcp_segment(c, PKT_ACK, seq + 4, "efgh", 4);
	f = must(gtcp_expect(c, PKT_ACK, SOON));
	assert_int_equal(f->view.tcp.ack, seq);
	free(f);
	assert_int_equal(host_recv(smoke.g, k.fd, buf, 1, NEVER), -ETIMEDOUT);
	gtcp_segment(c, PKT_ACK, seq, "abcd", 4);
	gtcp_segment(c, PKT_ACK, seq + 4, "efgh", 4);
	free(acked(c, seq + 8));
	assert_int_equal(host_recv_all(smoke.g, k.fd, buf, 8, SOON), 0);
	assert_string_equal(buf, "abcdefgh");
	smoke_drop(&k);
}

static void
new_part_of_an_overlap_is_taken(void **state)
{
	struct smoke_conn k = by_hand();
	struct gtcp *c = k.c;
	uint32_t seq = c->snd_nxt;
	char buf[16] = { 0 };

	gtcp_segment(c, PKT_ACK, seq, "abcd", 4);
	c->snd_nxt += 8;
	gtcp_segment(c, PKT_ACK, seq + 2, "cdefgh", 6);
	free(acked(c, seq + 8));
	assert_int_equal(host_recv_all(smoke.g, k.fd, buf, 8, SOON), 0);
	assert_string_equal(buf, "abcdefgh");
	smoke_drop(&k);
}

static void
data_beyond_the_window_is_not_taken(void **state)
{
	struct smoke_conn k = by_hand();
	struct gtcp *c = k.c;
	uint32_t seq = c->snd_nxt;
	struct guest_frame *f;
	char b;

	c->snd_nxt += 0x40000000;
	gtcp_segment(c, PKT_ACK, seq + 0x3ffffff0, "far", 3);
	f = must(gtcp_expect(c, PKT_ACK, SOON));
	assert_int_equal(f->view.tcp.ack, seq);
	free(f);
	assert_int_equal(host_recv(smoke.g, k.fd, &b, 1, NEVER), -ETIMEDOUT);
	c->snd_nxt = seq;
	smoke_drop(&k);
}

static void
acknowledgement_of_what_was_not_sent_is_answered_and_dropped(void **state)
{
	struct smoke_conn k = by_hand();
	struct gtcp *c = k.c;
	struct guest_frame *f;
	uint32_t rcv = c->rcv_nxt;

	c->rcv_nxt += 5000;
	gtcp_ack(c);
	f = must(gtcp_expect(c, PKT_ACK, SOON));
	assert_int_equal(f->view.tcp.ack, c->snd_nxt);
	free(f);
	c->rcv_nxt = rcv;
	c->manual = false;
	smoke_echo(smoke.g, &k);
	smoke_drop(&k);
}

static void
old_acknowledgement_does_no_harm(void **state)
{
	struct smoke_conn k = smoke_out(smoke.g, false);
	uint32_t rcv;

	smoke_echo(smoke.g, &k);
	rcv = k.c->rcv_nxt;
	k.c->rcv_nxt -= 8;
	gtcp_ack(k.c);
	k.c->rcv_nxt = rcv;
	host_idle(smoke.g, 20);
	smoke_echo(smoke.g, &k);
	smoke_drop(&k);
}

static void
segment_with_a_wrong_checksum_is_dropped(void **state)
{
	struct smoke_conn k = by_hand();
	struct guest *g = smoke.g;
	struct pkt_ip ip = guest_ip(g, &g->gw);
	struct pkt_tcp t = { .sport = k.c->lport,
		.dport = k.c->rport,
		.seq = k.c->snd_nxt,
		.ack = k.c->rcv_nxt,
		.flags = PKT_ACK,
		.win = 900,
		.wscale = -1 };
	uint8_t f[128];
	size_t len = pkt_build_tcp(f, &ip, &t, "bad!", 4);
	char b;

	f[len - 1] ^= 0x20;
	guest_send_raw(g, NULL, f, len);
	assert_int_equal(host_recv(g, k.fd, &b, 1, NEVER), -ETIMEDOUT);
	k.c->manual = false;
	smoke_echo(g, &k);
	smoke_drop(&k);
}

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
	struct smoke_conn k = by_hand();
	struct gtcp *c = k.c;
	struct guest_frame *f;
	uint8_t out[8000];
	uint32_t first = c->rcv_nxt;
	uint64_t start;

	host_fill(2, 0, out, sizeof(out));
	assert_int_equal(host_send_all(smoke.g, k.fd, out, sizeof(out), SOON), 0);
	f = must(data_segment(c, SOON));
	assert_int_equal(f->view.tcp.seq, first);
	free(f);
	start = vhu_now_ms();
	for (int i = 0; i < 4; i++)
		gtcp_ack(c);
	do {
		f = must(data_segment(c, SOON));
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
	struct smoke_conn k = by_hand();
	uint64_t at[4];

	assert_int_equal(host_send_all(smoke.g, k.fd, "x", 1, SOON), 0);
	for (int i = 0; i < 4; i++) {
		free(must(data_segment(k.c, SOON)));
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
	struct smoke_conn k = by_hand();
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
		f = must(data_segment(c, SOON));
		assert_true(
			gtcp_diff(f->view.tcp.seq + (uint32_t)f->view.data_len, first + 1024) <= 0);
		got = f->view.tcp.seq + f->view.data_len - first;
		free(f);
	}
	c->rcv_nxt = first + 1024;
	c->rcv_wnd = 60000;
	gtcp_ack(c);
	f = must(data_segment(c, SOON));
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
keepalive_probe_is_answered(void **state)
{
	struct smoke_conn k = by_hand();
	struct guest_frame *f;

	gtcp_segment(k.c, PKT_ACK, k.c->snd_nxt - 1, NULL, 0);
	f = must(gtcp_expect(k.c, PKT_ACK, SOON));
	assert_int_equal(f->view.tcp.ack, k.c->snd_nxt);
	assert_int_equal(f->view.tcp.seq, k.c->rcv_nxt);
	free(f);
	smoke_drop(&k);
}

static void
keepalive_probe_with_a_byte_is_answered(void **state)
{
	struct smoke_conn k = by_hand();
	char b;

	gtcp_segment(k.c, PKT_ACK, k.c->snd_nxt - 1, "z", 1);
	free(acked(k.c, k.c->snd_nxt));
	assert_int_equal(host_recv(smoke.g, k.fd, &b, 1, NEVER), -ETIMEDOUT);
	smoke_drop(&k);
}

static void
small_segments_of_one_burst_arrive_in_order(void **state)
{
	struct smoke_conn k = smoke_out(smoke.g, false);
	struct guest *g = smoke.g;
	struct pkt_ip ip = guest_ip(g, &g->gw);
	uint8_t f[256];
	char buf[64] = { 0 };
	uint32_t first = k.c->snd_nxt;

	k.c->manual = true;
	for (uint32_t i = 0; i < 26; i++) {
		struct pkt_tcp t = { .sport = k.c->lport,
			.dport = k.c->rport,
			.seq = first + i,
			.ack = k.c->rcv_nxt,
			.flags = PKT_ACK,
			.win = 9000,
			.wscale = -1 };
		char letter = (char)('a' + i);

		vhu_tx_queue(g->v, 0, NULL, f, pkt_build_tcp(f, &ip, &t, &letter, 1), NULL);
	}
	vhu_tx_flush(g->v, 0);
	k.c->snd_nxt += 26;
	assert_int_equal(host_recv_all(g, k.fd, buf, 26, SOON), 0);
	assert_string_equal(buf, "abcdefghijklmnopqrstuvwxyz");
	free(acked(k.c, first + 26));
	smoke_drop(&k);
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

static void
urgent_pointer_does_no_harm(void **state)
{
	struct smoke_conn k = by_hand();
	struct pkt_tcp t = { .sport = k.c->lport,
		.dport = k.c->rport,
		.seq = k.c->snd_nxt,
		.ack = k.c->rcv_nxt,
		.flags = PKT_ACK | PKT_URG,
		.urg = 2,
		.win = 900,
		.wscale = -1 };
	char buf[8] = { 0 };

	gtcp_segment_raw(k.c, &t, "urgent", 6);
	k.c->snd_nxt += 6;
	assert_int_equal(host_recv_all(smoke.g, k.fd, buf, 6, SOON), 0);
	assert_string_equal(buf, "urgent");
	smoke_drop(&k);
}

static void
syn_inside_a_connection_does_not_break_it(void **state)
{
	struct smoke_conn k = by_hand();
	struct guest_frame *f;

	gtcp_segment(k.c, PKT_SYN, k.c->snd_nxt, NULL, 0);
	f = must(gtcp_expect(k.c, PKT_ACK, SOON)); /* RFC 5961, 4 */
	assert_int_equal(f->view.tcp.ack, k.c->snd_nxt);
	free(f);
	k.c->manual = false;
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
		SMOKE(megabytes_from_the_guest_arrive_whole),
		SMOKE(megabytes_to_the_guest_arrive_whole),
		SMOKE(megabytes_both_ways_arrive_whole_over_ipv6),
		SMOKE(segmentation_is_left_to_the_device_both_ways),
		SMOKE(segmentation_is_left_to_the_device_over_ipv6),
		SMOKE(checksums_are_left_to_the_device),
		SMOKE(headers_split_over_descriptors),
		SMOKE(odd_sizes_arrive_whole),
		SMOKE(duplicate_is_acknowledged_again),
		SMOKE(gap_is_answered_with_a_duplicate_ack),
		SMOKE(new_part_of_an_overlap_is_taken),
		SMOKE(data_beyond_the_window_is_not_taken),
		SMOKE(acknowledgement_of_what_was_not_sent_is_answered_and_dropped),
		SMOKE(old_acknowledgement_does_no_harm),
		SMOKE(segment_with_a_wrong_checksum_is_dropped),
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
		SMOKE(keepalive_probe_is_answered),
		SMOKE(keepalive_probe_with_a_byte_is_answered),
		SMOKE(small_segments_of_one_burst_arrive_in_order),
		SMOKE(every_acknowledgement_lost_is_made_good),
		SMOKE(urgent_pointer_does_no_harm),
		SMOKE(syn_inside_a_connection_does_not_break_it),
	};

	return cmocka_run_group_tests_name("conf_tcp_data", tests, up, smoke_down);
}
