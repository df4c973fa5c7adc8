/* SPDX-License-Identifier: BSD-3-Clause */
/* What silence does: keepalive, retransmissions that end, flows that expire. Limits of a second. */
#include "smoke2.h"

#define LONG 15000

static void
host_is_reset(struct smoke_conn *k)
{
	char b;

	assert_int_equal(host_recv(smoke.g, k->fd, &b, 1, LONG), -ECONNRESET);
}

/* The guest's endpoint falls silent: whatever comes is kept, not answered. */
static void
mute(struct smoke_conn *k)
{
	host_idle(smoke.g, 10);
	k->c->manual = true;
}

static void
silent_guest_is_probed_and_kept(void **state)
{
	struct smoke_conn k = smoke_out(smoke.g, false);
	uint64_t before = k.c->segs;

	host_idle(smoke.g, 3000);
	assert_true(k.c->segs > before);
	assert_true(k.c->segs < before + 12);
	smoke_echo(smoke.g, &k);
	smoke_drop(&k);
}

static void
probe_is_one_before_the_next_sequence_number(void **state)
{
	struct smoke_conn k = smoke_out(smoke.g, false);
	struct guest_frame *f;

	mute(&k);
	f = gtcp_next(k.c, LONG);
	assert_non_null(f);
	assert_int_equal(f->view.tcp.seq, k.c->rcv_nxt - 1);
	assert_int_equal(f->view.tcp.flags & ~PKT_PSH, PKT_ACK);
	free(f);
	smoke_drop(&k);
}

static void
guest_that_answers_no_probe_is_given_up(void **state)
{
	struct smoke_conn k = smoke_out(smoke.g, false);

	mute(&k);
	host_is_reset(&k);
	smoke_drop(&k);
}

static void
guest_that_acknowledges_no_data_is_given_up(void **state)
{
	struct smoke_conn k = smoke_out(smoke.g, true);

	mute(&k);
	assert_int_equal(host_send_all(smoke.g, k.fd, "hello?", 6, SOON), 0);
	host_is_reset(&k);
	smoke_drop(&k);
}

static void
guest_that_acknowledges_no_fin_is_given_up(void **state)
{
	struct smoke_conn k = smoke_out(smoke.g, false);
	long long opened = smoke_stat("bridge-sockets-opened");

	mute(&k);
	close(k.fd);
	k.fd = -1;
	for (int i = 0; i < LONG / 100 && smoke_stat("bridge-sockets-closed") < opened; i++)
		host_idle(smoke.g, 100);
	assert_int_equal(smoke_stat("bridge-sockets-closed"), opened);
	smoke_drop(&k);
}

static void
given_up_connection_resets_the_guest(void **state)
{
	struct smoke_conn k = smoke_out(smoke.g, false);
	struct guest_frame *f;

	mute(&k);
	assert_int_equal(host_send_all(smoke.g, k.fd, "hello?", 6, SOON), 0);
	host_is_reset(&k);
	/* Whoever finds its voice again is told. */
	gtcp_ack(k.c);
	do {
		f = gtcp_next(k.c, SOON);
		assert_non_null(f);
		if (f->view.tcp.flags & PKT_RST)
			break;
		free(f);
	} while (true);
	free(f);
	k.c->reset_received = true;
	smoke_drop(&k);
}

static void
half_closed_and_silent_connection_ends(void **state)
{
	struct smoke_conn k = smoke_out(smoke.g, false);
	char b;

	gtcp_shutdown(k.c);
	assert_int_equal(host_recv(smoke.g, k.fd, &b, 1, SOON), 0);
	assert_true(gtcp_wait_reset(k.c, LONG) || k.c->fin_received);
	smoke_drop(&k);
}

static void
half_closed_connection_with_data_lives(void **state)
{
	struct smoke_conn k = smoke_out(smoke.g, false);
	char b;

	gtcp_shutdown(k.c);
	assert_int_equal(host_recv(smoke.g, k.fd, &b, 1, SOON), 0);
	for (int i = 0; i < 10; i++) {
		smoke_say_down(&k, "still talking");
		host_idle(smoke.g, 500);
	}
	assert_false(k.c->reset_received);
	smoke_drop(&k);
}

static void
end_after_a_silence_longer_than_half_closed_may_last_closes_in_order(void **state)
{
	struct smoke_conn k = smoke_out(smoke.g, false);
	char b;

	host_idle(smoke.g, 4500);
	assert_int_equal(shutdown(k.fd, SHUT_WR), 0);
	assert_true(gtcp_wait_fin(k.c, SOON));
	/* The limit counts from here on. */
	host_idle(smoke.g, 500);
	smoke_say_up(&k, "and yet it moves");
	gtcp_shutdown(k.c);
	assert_int_equal(host_recv(smoke.g, k.fd, &b, 1, SOON), 0);
	assert_true(gtcp_wait_fin_acked(k.c, SOON));
	assert_false(k.c->reset_received);
	smoke_drop(&k);
}

static void
silent_connection_ends_though_the_guest_answers_probes(void **state)
{
	struct smoke_conn k = smoke_out(smoke.g, false);
	long long expired = smoke_stat("flows-expired");

	host_is_reset(&k);
	assert_true(gtcp_wait_reset(k.c, SOON));
	assert_int_equal(smoke_stat("flows-expired"), expired + 1);
	smoke_drop(&k);
}

static void
connection_with_data_outlives_the_limit_of_silent_ones(void **state)
{
	struct smoke_conn k = smoke_out(smoke.g, true);

	/* In either direction. */
	for (int i = 0; i < 14; i++) {
		if (i % 2 != 0)
			smoke_say_up(&k, "word");
		else
			smoke_say_down(&k, "word");
		host_idle(smoke.g, 500);
	}
	assert_false(k.c->reset_received);
	smoke_drop(&k);
}

static void
udp_flow_of_one_direction_expires(void **state)
{
	struct guest *g = smoke.g;
	uint16_t port = 0;
	int fd = host_udp(LO, &port), before = smoke_flows(0);

	assert_int_equal(before, 0);
	guest_udp_send(g, guest_port(g), &g->gw, port, "once", 4);
	assert_int_equal(smoke_flows(1), 1);
	assert_int_equal(smoke_flows(0), 0);
	close(fd);
}

static void
echo_flow_expires(void **state)
{
	struct guest *g = smoke.g;

	assert_int_equal(guest_ping(g, &g->gw, 4, 5, "x", 1, SOON), 0);
	assert_int_equal(smoke_flows(0), 0);
}

static void
all_descriptors_of_expired_flows_are_closed(void **state)
{
	struct guest *g = smoke.g;
	uint16_t port = 0;
	int fd = host_udp(LO, &port), before;

	assert_int_equal(smoke_flows(0), 0);
	before = proc_open_fds(smoke.d);
	for (int i = 0; i < 100; i++)
		guest_udp_send(g, guest_port(g), &g->gw, port, "many", 4);
	for (int i = 0; i < LONG / 100 && proc_open_fds(smoke.d) <= before + 50; i++)
		host_idle(g, 100);
	assert_int_equal(smoke_flows(0), 0);
	assert_true(smoke_fds(before) <= before + 2);
	close(fd);
}

static int
up(void **state)
{
	static const char *const args[] = { "--tcp-keepalive", "1", "--tcp-keepalive-probes", "2",
		"--tcp-retries", "3", "--timeout-tcp-established", "6", "--timeout-tcp-half-closed",
		"4", "--timeout-tcp-fin", "2", "--timeout-udp", "1", "--timeout-udp-stream", "2",
		"--timeout-icmp", "1", "--vm", "a,socket=%d/a.sock,loopback=gateway", NULL };

	return smoke_up(args);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		SMOKE(silent_guest_is_probed_and_kept),
		SMOKE(probe_is_one_before_the_next_sequence_number),
		SMOKE(guest_that_answers_no_probe_is_given_up),
		SMOKE(guest_that_acknowledges_no_data_is_given_up),
		SMOKE(guest_that_acknowledges_no_fin_is_given_up),
		SMOKE(given_up_connection_resets_the_guest),
		SMOKE(half_closed_and_silent_connection_ends),
		SMOKE(half_closed_connection_with_data_lives),
		SMOKE(end_after_a_silence_longer_than_half_closed_may_last_closes_in_order),
		SMOKE(silent_connection_ends_though_the_guest_answers_probes),
		SMOKE(connection_with_data_outlives_the_limit_of_silent_ones),
		SMOKE(udp_flow_of_one_direction_expires),
		SMOKE(echo_flow_expires),
		SMOKE(all_descriptors_of_expired_flows_are_closed),
	};

	return cmocka_run_group_tests_name("conf_timeouts", tests, up, smoke_down);
}
