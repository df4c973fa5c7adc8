/* SPDX-License-Identifier: BSD-3-Clause */
/* Data of established connections, as the guest and the host see it. */
#include "smoke.h"

#define MIB (1u << 20)

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
	struct smoke_conn k = smoke_by_hand(smoke.g);
	struct gtcp *c = k.c;
	uint32_t seq = c->snd_nxt;
	char buf[16];

	gtcp_segment(c, PKT_ACK, seq, "abcd", 4);
	c->snd_nxt += 4;
	free(smoke_acked(c, seq + 4));
	gtcp_segment(c, PKT_ACK, seq, "abcd", 4);
	free(smoke_acked(c, seq + 4));
	assert_int_equal(host_recv_all(smoke.g, k.fd, buf, 4, SOON), 0);
	assert_int_equal(host_recv(smoke.g, k.fd, buf, 1, NEVER), -ETIMEDOUT);
	smoke_drop(&k);
}

static void
gap_is_answered_with_a_duplicate_ack(void **state)
{
	struct smoke_conn k = smoke_by_hand(smoke.g);
	struct gtcp *c = k.c;
	uint32_t seq = c->snd_nxt;
	struct guest_frame *f;
	char buf[16] = { 0 };

	c->snd_nxt += 8;
	gtcp_segment(c, PKT_ACK, seq + 4, "efgh", 4);
	f = smoke_must(gtcp_expect(c, PKT_ACK, SOON));
	assert_int_equal(f->view.tcp.ack, seq);
	free(f);
	assert_int_equal(host_recv(smoke.g, k.fd, buf, 1, NEVER), -ETIMEDOUT);
	gtcp_segment(c, PKT_ACK, seq, "abcd", 4);
	gtcp_segment(c, PKT_ACK, seq + 4, "efgh", 4);
	free(smoke_acked(c, seq + 8));
	assert_int_equal(host_recv_all(smoke.g, k.fd, buf, 8, SOON), 0);
	assert_string_equal(buf, "abcdefgh");
	smoke_drop(&k);
}

static void
new_part_of_an_overlap_is_taken(void **state)
{
	struct smoke_conn k = smoke_by_hand(smoke.g);
	struct gtcp *c = k.c;
	uint32_t seq = c->snd_nxt;
	char buf[16] = { 0 };

	gtcp_segment(c, PKT_ACK, seq, "abcd", 4);
	c->snd_nxt += 8;
	gtcp_segment(c, PKT_ACK, seq + 2, "cdefgh", 6);
	free(smoke_acked(c, seq + 8));
	assert_int_equal(host_recv_all(smoke.g, k.fd, buf, 8, SOON), 0);
	assert_string_equal(buf, "abcdefgh");
	smoke_drop(&k);
}

static void
data_beyond_the_window_is_not_taken(void **state)
{
	struct smoke_conn k = smoke_by_hand(smoke.g);
	struct gtcp *c = k.c;
	uint32_t seq = c->snd_nxt;
	struct guest_frame *f;
	char b;

	c->snd_nxt += 0x40000000;
	gtcp_segment(c, PKT_ACK, seq + 0x3ffffff0, "far", 3);
	f = smoke_must(gtcp_expect(c, PKT_ACK, SOON));
	assert_int_equal(f->view.tcp.ack, seq);
	free(f);
	assert_int_equal(host_recv(smoke.g, k.fd, &b, 1, NEVER), -ETIMEDOUT);
	c->snd_nxt = seq;
	smoke_drop(&k);
}

static void
acknowledgement_of_what_was_not_sent_is_answered_and_dropped(void **state)
{
	struct smoke_conn k = smoke_by_hand(smoke.g);
	struct gtcp *c = k.c;
	struct guest_frame *f;
	uint32_t rcv = c->rcv_nxt;

	c->rcv_nxt += 5000;
	gtcp_ack(c);
	f = smoke_must(gtcp_expect(c, PKT_ACK, SOON));
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
	struct smoke_conn k = smoke_by_hand(smoke.g);
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
keepalive_probe_is_answered(void **state)
{
	struct smoke_conn k = smoke_by_hand(smoke.g);
	struct guest_frame *f;

	gtcp_segment(k.c, PKT_ACK, k.c->snd_nxt - 1, NULL, 0);
	f = smoke_must(gtcp_expect(k.c, PKT_ACK, SOON));
	assert_int_equal(f->view.tcp.ack, k.c->snd_nxt);
	assert_int_equal(f->view.tcp.seq, k.c->rcv_nxt);
	free(f);
	smoke_drop(&k);
}

static void
keepalive_probe_with_a_byte_is_answered(void **state)
{
	struct smoke_conn k = smoke_by_hand(smoke.g);
	char b;

	gtcp_segment(k.c, PKT_ACK, k.c->snd_nxt - 1, "z", 1);
	free(smoke_acked(k.c, k.c->snd_nxt));
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
	free(smoke_acked(k.c, first + 26));
	smoke_drop(&k);
}

static void
urgent_pointer_does_no_harm(void **state)
{
	struct smoke_conn k = smoke_by_hand(smoke.g);
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
	struct smoke_conn k = smoke_by_hand(smoke.g);
	struct guest_frame *f;

	gtcp_segment(k.c, PKT_SYN, k.c->snd_nxt, NULL, 0);
	f = smoke_must(gtcp_expect(k.c, PKT_ACK, SOON)); /* RFC 5961, 4 */
	assert_int_equal(f->view.tcp.ack, k.c->snd_nxt);
	free(f);
	k.c->manual = false;
	smoke_echo(smoke.g, &k);
	smoke_drop(&k);
}

static void
numbers_of_the_guest_wrap_in_mid_stream(void **state)
{
	struct smoke_conn k = { .fd = -1 };
	uint16_t port = 0;

	k.listener = host_tcp_listen(LO, &port);
	k.c = gtcp_new(smoke.g, &smoke.g->gw, port, 0);
	k.c->iss = k.c->snd_una = k.c->snd_nxt = 0xffff8000;
	assert_int_equal(gtcp_connect(k.c, SOON), 0);
	k.fd = host_accept(smoke.g, k.listener, SOON);
	assert_ok(host_transfer(k.c, k.fd, MIB, MIB, 20000));
	assert_int_equal(k.c->snd_nxt, 0xffff8000 + 1 + MIB);
	smoke_drop(&k);
}

/* What the daemon has done: iterations with and without work, receive calls. */
struct doings {
	long long loops, idle, calls;
};

static struct doings
doings(void)
{
	return (struct doings){ smoke_stat("worker-loops"), smoke_stat("worker-idle"),
		smoke_stat("bridge-recv-calls") };
}

static void
guest_without_buffers_is_waited_for_without_spinning(void **state)
{
	/* Sixteen are soon full. */
	const struct guest_conf conf = { .addr = "10.0.2.16",
		.addr6 = "fd00:2::16",
		.mac = { 0x52, 0x54, 0, 7, 7, 7 },
		.rx_count = 16 };
	static uint8_t out[200000], in[200000];
	struct guest *g = smoke_guest("b.sock", &conf);
	long long dry = smoke_stat("bridge-no-buffer");
	struct doings before, after;
	struct smoke_conn k;
	ssize_t sent;

	assert_non_null(g);
	k = smoke_out(g, false);
	host_fill(2, 0, out, sizeof(out));
	sent = send(k.fd, out, sizeof(out), MSG_DONTWAIT);
	assert_true(sent > 50000);
	for (int i = 0; i < SOON / 5 && smoke_stat("bridge-no-buffer") == dry; i++)
		vhu_sleep_ms(5);
	assert_true(smoke_stat("bridge-no-buffer") > dry);
	before = doings();
	vhu_sleep_ms(1000);
	after = doings();
	/* Timers only, and each wake-up is followed by a short while of looking round. */
	assert_in_range(after.loops - before.loops, 0, 200);
	assert_in_range(after.idle - before.idle, 0, 20000);
	assert_in_range(after.calls - before.calls, 0, 20);
	/* Nor was it taken for the end. */
	assert_int_equal(gtcp_recv_all(k.c, in, (size_t)sent, 4 * SOON), 0);
	assert_memory_equal(in, out, (size_t)sent);
	assert_false(k.c->fin_received);
	smoke_echo(g, &k);
	smoke_drop(&k);
	assert_ok(guest_error(g));
	guest_close(g);
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
		SMOKE(keepalive_probe_is_answered),
		SMOKE(keepalive_probe_with_a_byte_is_answered),
		SMOKE(small_segments_of_one_burst_arrive_in_order),
		SMOKE(urgent_pointer_does_no_harm),
		SMOKE(syn_inside_a_connection_does_not_break_it),
		SMOKE(numbers_of_the_guest_wrap_in_mid_stream),
		SMOKE(guest_without_buffers_is_waited_for_without_spinning),
	};

	return cmocka_run_group_tests_name("conf_tcp_data", tests, up, smoke_down);
}
