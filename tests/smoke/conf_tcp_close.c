/* SPDX-License-Identifier: BSD-3-Clause */
/* How connections end: FIN and RST, either way, in any order. */
#include "smoke.h"

/* The host closes with a RST. */
static void
host_reset(struct smoke_conn *k)
{
	struct linger l = { 1, 0 };

	setsockopt(k->fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
	close(k->fd);
	k->fd = -1;
}

static void
host_sees_end(struct smoke_conn *k)
{
	char b;

	assert_int_equal(host_recv(smoke.g, k->fd, &b, 1, SOON), 0);
}

static void
host_sees_reset(struct smoke_conn *k)
{
	char b;

	assert_int_equal(host_recv(smoke.g, k->fd, &b, 1, SOON), -ECONNRESET);
}

static void
fin_of_the_guest_reaches_the_host(void **state)
{
	struct smoke_conn k = smoke_out(smoke.g, false);

	gtcp_shutdown(k.c);
	host_sees_end(&k);
	assert_true(gtcp_wait_fin_acked(k.c, SOON));
	smoke_drop(&k);
}

static void
close_of_the_host_reaches_the_guest_as_fin(void **state)
{
	struct smoke_conn k = smoke_out(smoke.g, false);

	shutdown(k.fd, SHUT_WR);
	assert_true(gtcp_wait_fin(k.c, SOON));
	smoke_drop(&k);
}

static void
both_directions_close_one_after_the_other(void **state)
{
	struct smoke_conn k = smoke_out(smoke.g, true);

	gtcp_shutdown(k.c);
	host_sees_end(&k);
	close(k.fd);
	k.fd = -1;
	assert_true(gtcp_wait_fin(k.c, SOON));
	assert_true(gtcp_wait_fin_acked(k.c, SOON));
	assert_false(k.c->reset_received);
	close(k.listener);
}

static void
data_flows_to_the_guest_after_its_fin(void **state)
{
	struct smoke_conn k = smoke_out(smoke.g, false);

	gtcp_shutdown(k.c);
	host_sees_end(&k);
	smoke_say_down(&k, "still here");
	assert_ok(host_transfer(k.c, k.fd, 0, 500000, 20000));
	shutdown(k.fd, SHUT_WR);
	assert_true(gtcp_wait_fin(k.c, SOON));
	smoke_drop(&k);
}

static void
data_flows_from_the_guest_after_the_hosts_fin(void **state)
{
	struct smoke_conn k = smoke_out(smoke.g, false);

	shutdown(k.fd, SHUT_WR);
	assert_true(gtcp_wait_fin(k.c, SOON));
	smoke_say_up(&k, "still here");
	assert_ok(host_transfer(k.c, k.fd, 500000, 0, 20000));
	gtcp_shutdown(k.c);
	host_sees_end(&k);
	assert_true(gtcp_wait_fin_acked(k.c, SOON));
	smoke_drop(&k);
}

static void
both_close_at_once(void **state)
{
	struct smoke_conn k = smoke_out(smoke.g, false);

	gtcp_shutdown(k.c);
	shutdown(k.fd, SHUT_WR);
	assert_true(gtcp_wait_fin(k.c, SOON));
	assert_true(gtcp_wait_fin_acked(k.c, SOON));
	host_sees_end(&k);
	assert_false(k.c->reset_received);
	smoke_drop(&k);
}

static void
fin_with_data_delivers_the_data(void **state)
{
	struct smoke_conn k = smoke_by_hand(smoke.g);
	char buf[8] = { 0 };

	gtcp_segment(k.c, PKT_ACK | PKT_FIN, k.c->snd_nxt, "last", 4);
	k.c->snd_nxt += 5;
	assert_int_equal(host_recv_all(smoke.g, k.fd, buf, 4, SOON), 0);
	assert_string_equal(buf, "last");
	host_sees_end(&k);
	smoke_drop(&k);
}

static void
fin_comes_after_all_data(void **state)
{
	struct smoke_conn k = smoke_out(smoke.g, false);
	uint8_t *out = malloc(300000), *in = malloc(300000);

	host_fill(2, 0, out, 300000);
	assert_int_equal(host_send_all(smoke.g, k.fd, out, 300000, SOON), 0);
	close(k.fd);
	k.fd = -1;
	assert_int_equal(gtcp_recv_all(k.c, in, 300000, SOON), 0);
	assert_memory_equal(in, out, 300000);
	assert_true(gtcp_wait_fin(k.c, SOON));
	free(in);
	free(out);
	smoke_drop(&k);
}

static void
fin_is_sent_again_when_it_is_lost(void **state)
{
	struct smoke_conn k = smoke_out(smoke.g, false);

	k.c->drop = 2;
	shutdown(k.fd, SHUT_WR);
	assert_true(gtcp_wait_fin(k.c, SOON));
	smoke_drop(&k);
}

static void
lost_data_before_a_fin_is_sent_again(void **state)
{
	struct smoke_conn k = smoke_out(smoke.g, false);
	char buf[8] = { 0 };

	k.c->drop = 1;
	assert_int_equal(host_send_all(smoke.g, k.fd, "before", 6, SOON), 0);
	shutdown(k.fd, SHUT_WR);
	assert_int_equal(gtcp_recv_all(k.c, buf, 6, SOON), 0);
	assert_string_equal(buf, "before");
	assert_true(gtcp_wait_fin(k.c, SOON));
	smoke_drop(&k);
}

static void
fin_after_a_gap_waits_for_the_gap(void **state)
{
	struct smoke_conn k = smoke_by_hand(smoke.g);
	uint32_t seq = k.c->snd_nxt;
	char buf[8] = { 0 };

	k.c->snd_nxt += 5;
	gtcp_segment(k.c, PKT_ACK | PKT_FIN, seq + 4, NULL, 0);
	assert_int_equal(host_recv(smoke.g, k.fd, buf, 1, NEVER), -ETIMEDOUT);
	gtcp_segment(k.c, PKT_ACK, seq, "fill", 4);
	gtcp_segment(k.c, PKT_ACK | PKT_FIN, seq + 4, NULL, 0);
	assert_int_equal(host_recv_all(smoke.g, k.fd, buf, 4, SOON), 0);
	host_sees_end(&k);
	smoke_drop(&k);
}

static void
repeated_fin_is_acknowledged_again(void **state)
{
	struct smoke_conn k = smoke_by_hand(smoke.g);
	uint32_t seq = k.c->snd_nxt;

	k.c->snd_nxt++;
	for (int i = 0; i < 3; i++) {
		struct guest_frame *f;

		gtcp_segment(k.c, PKT_ACK | PKT_FIN, seq, NULL, 0);
		do {
			bool right;

			f = smoke_must(gtcp_expect(k.c, PKT_ACK, SOON));
			right = f->view.tcp.ack == seq + 1;
			free(f);
			if (right)
				break;
		} while (true);
		guest_flush(smoke.g);
	}
	host_sees_end(&k);
	smoke_drop(&k);
}

static void
data_after_a_fin_is_not_taken(void **state)
{
	struct smoke_conn k = smoke_by_hand(smoke.g);

	gtcp_segment(k.c, PKT_ACK | PKT_FIN, k.c->snd_nxt, NULL, 0);
	k.c->snd_nxt++;
	host_sees_end(&k);
	gtcp_segment(k.c, PKT_ACK, k.c->snd_nxt, "zombie", 6);
	host_idle(smoke.g, 20);
	host_sees_end(&k);
	smoke_drop(&k);
}

static void
reset_of_the_guest_reaches_the_host_as_reset(void **state)
{
	struct smoke_conn k = smoke_out(smoke.g, false);

	gtcp_reset(k.c);
	host_sees_reset(&k);
	k.c->reset_received = true;
	smoke_drop(&k);
}

static void
reset_of_the_host_reaches_the_guest_as_reset(void **state)
{
	struct smoke_conn k = smoke_out(smoke.g, false);

	host_reset(&k);
	assert_true(gtcp_wait_reset(k.c, SOON));
	smoke_drop(&k);
}

static void
reset_of_the_host_reaches_the_guest_over_ipv6(void **state)
{
	struct smoke_conn k = smoke_out(smoke.g, true);

	smoke_echo(smoke.g, &k);
	host_reset(&k);
	assert_true(gtcp_wait_reset(k.c, SOON));
	smoke_drop(&k);
}

static void
host_that_closes_with_unread_data_resets_the_guest(void **state)
{
	struct smoke_conn k = smoke_out(smoke.g, false);

	assert_int_equal(gtcp_send(k.c, "unread", 6, SOON), 0);
	assert_true(host_wait(smoke.g, k.fd, POLLIN, SOON));
	close(k.fd);
	k.fd = -1;
	assert_true(gtcp_wait_reset(k.c, SOON));
	smoke_drop(&k);
}

/* A peer that has answered a request which it has not read to the end. */
static void
answer_and_reset(uint32_t window)
{
	static uint8_t out[60000], in[60000];
	struct smoke_conn k = smoke_out(smoke.g, false);

	host_fill(2, 0, out, sizeof(out));
	assert_int_equal(gtcp_send(k.c, "request", 7, SOON), 0);
	assert_true(host_wait(smoke.g, k.fd, POLLIN, SOON));
	k.c->rcv_wnd = window;
	gtcp_ack(k.c);
	smoke_answer_and_reset(&k, out, sizeof(out));
	assert_int_equal(gtcp_recv_all(k.c, in, sizeof(in), 4 * SOON), 0);
	assert_memory_equal(in, out, sizeof(in));
	assert_true(gtcp_wait_reset(k.c, SOON));
	smoke_drop(&k);
}

static void
answer_before_a_reset_reaches_the_guest_whole(void **state)
{
	answer_and_reset(1 << 20);
}

static void
answer_before_a_reset_reaches_a_guest_with_little_room(void **state)
{
	answer_and_reset(3000);
}

static void
reset_outside_the_window_is_ignored(void **state)
{
	struct smoke_conn k = smoke_out(smoke.g, false);
	uint32_t seq = k.c->snd_nxt;

	gtcp_segment(k.c, PKT_RST, seq - 10, NULL, 0);
	gtcp_segment(k.c, PKT_RST, seq + 0x30000000, NULL, 0);
	host_idle(smoke.g, 20);
	smoke_echo(smoke.g, &k);
	smoke_drop(&k);
}

static void
reset_inside_the_window_but_not_exact_is_challenged(void **state)
{
	struct smoke_conn k = smoke_by_hand(smoke.g);
	struct guest_frame *f;

	gtcp_segment(k.c, PKT_RST, k.c->snd_nxt + 100, NULL, 0);
	f = smoke_must(gtcp_expect(k.c, PKT_ACK, SOON)); /* RFC 5961, 3.2 */
	assert_int_equal(f->view.tcp.ack, k.c->snd_nxt);
	free(f);
	k.c->manual = false;
	smoke_echo(smoke.g, &k);
	smoke_drop(&k);
}

static void
segment_after_the_end_gets_a_reset(void **state)
{
	struct smoke_conn k = smoke_by_hand(smoke.g);

	gtcp_segment(k.c, PKT_RST, k.c->snd_nxt, NULL, 0);
	host_sees_reset(&k);
	gtcp_segment(k.c, PKT_ACK, k.c->snd_nxt, "late", 4);
	free(smoke_must(gtcp_expect(k.c, PKT_RST, SOON)));
	k.c->reset_received = true;
	smoke_drop(&k);
}

static void
reset_of_the_host_while_the_guest_sends(void **state)
{
	struct smoke_conn k = smoke_out(smoke.g, false);
	uint8_t *out = calloc(1, 400000);

	gtcp_write(k.c, out, 400000);
	host_idle(smoke.g, 10);
	host_reset(&k);
	assert_true(gtcp_wait_reset(k.c, SOON));
	free(out);
	smoke_drop(&k);
}

static void
reset_of_the_guest_while_the_host_sends(void **state)
{
	struct smoke_conn k = smoke_out(smoke.g, false);
	uint8_t *out = calloc(1, 1 << 20);
	char b;

	k.c->no_ack = true;
	assert_true(send(k.fd, out, 1 << 20, MSG_DONTWAIT) > 0);
	host_idle(smoke.g, 10);
	gtcp_reset(k.c);
	assert_true(host_wait(smoke.g, k.fd, POLLIN | POLLHUP, SOON));
	assert_int_equal(host_recv(smoke.g, k.fd, &b, 1, SOON), -ECONNRESET);
	free(out);
	k.c->reset_received = true;
	smoke_drop(&k);
}

static void
same_tuple_is_used_again_after_a_close(void **state)
{
	uint16_t port = 0;
	int listener = host_tcp_listen(LO, &port);
	uint16_t lport = guest_port(smoke.g);

	for (uint32_t i = 0; i < 3; i++) {
		struct gtcp *c = gtcp_new(smoke.g, &smoke.g->gw, port, lport);
		int fd;

		c->iss = c->snd_una = c->snd_nxt = 0x10000000 * (i + 1);
		assert_int_equal(gtcp_connect(c, SOON), 0);
		fd = host_accept(smoke.g, listener, SOON);
		assert_true(fd >= 0);
		close(fd);
		assert_true(gtcp_wait_fin(c, SOON));
		gtcp_shutdown(c);
		assert_true(gtcp_wait_fin_acked(c, SOON));
		gtcp_free(c);
	}
	close(listener);
}

static void
many_connections_open_and_close(void **state)
{
	for (int i = 0; i < 100; i++) {
		struct smoke_conn k = smoke_out(smoke.g, i & 1);

		smoke_say_up(&k, "x");
		gtcp_shutdown(k.c);
		host_sees_end(&k);
		close(k.fd);
		k.fd = -1;
		assert_true(gtcp_wait_fin(k.c, SOON));
		close(k.listener);
		gtcp_free(k.c);
	}
}

static void
no_file_descriptor_is_left_of_ended_connections(void **state)
{
	int before, after = 0;

	host_idle(smoke.g, 50);
	before = proc_open_fds(smoke.d);
	for (int i = 0; i < 20; i++) {
		struct smoke_conn k = smoke_out(smoke.g, false);

		if (i & 1) {
			gtcp_reset(k.c);
			host_sees_reset(&k);
			k.c->reset_received = true;
		} else {
			host_reset(&k);
			assert_true(gtcp_wait_reset(k.c, SOON));
		}
		smoke_drop(&k);
	}
	for (int i = 0; i < 20; i++) {
		host_idle(smoke.g, 50);
		after = proc_open_fds(smoke.d);
		if (after <= before + 2)
			break;
	}
	/* A small pool of ready sockets may have been filled meanwhile. */
	assert_true(after <= before + 8);
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
		SMOKE(fin_of_the_guest_reaches_the_host),
		SMOKE(close_of_the_host_reaches_the_guest_as_fin),
		SMOKE(both_directions_close_one_after_the_other),
		SMOKE(data_flows_to_the_guest_after_its_fin),
		SMOKE(data_flows_from_the_guest_after_the_hosts_fin),
		SMOKE(both_close_at_once),
		SMOKE(fin_with_data_delivers_the_data),
		SMOKE(fin_comes_after_all_data),
		SMOKE(fin_is_sent_again_when_it_is_lost),
		SMOKE(lost_data_before_a_fin_is_sent_again),
		SMOKE(fin_after_a_gap_waits_for_the_gap),
		SMOKE(repeated_fin_is_acknowledged_again),
		SMOKE(data_after_a_fin_is_not_taken),
		SMOKE(reset_of_the_guest_reaches_the_host_as_reset),
		SMOKE(reset_of_the_host_reaches_the_guest_as_reset),
		SMOKE(reset_of_the_host_reaches_the_guest_over_ipv6),
		SMOKE(host_that_closes_with_unread_data_resets_the_guest),
		SMOKE(answer_before_a_reset_reaches_the_guest_whole),
		SMOKE(answer_before_a_reset_reaches_a_guest_with_little_room),
		SMOKE(reset_outside_the_window_is_ignored),
		SMOKE(reset_inside_the_window_but_not_exact_is_challenged),
		SMOKE(segment_after_the_end_gets_a_reset),
		SMOKE(reset_of_the_host_while_the_guest_sends),
		SMOKE(reset_of_the_guest_while_the_host_sends),
		SMOKE(same_tuple_is_used_again_after_a_close),
		SMOKE(many_connections_open_and_close),
		SMOKE(no_file_descriptor_is_left_of_ended_connections),
	};

	return cmocka_run_group_tests_name("conf_tcp_close", tests, up, smoke_down);
}
