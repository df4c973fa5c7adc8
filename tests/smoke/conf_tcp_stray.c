/* SPDX-License-Identifier: BSD-3-Clause */
/* Segments that belong to no connection, and such as nobody may send. */
#include "smoke.h"

/* A listener on the host's loopback that nobody has accepted from. */
static int
listener(uint16_t *port)
{
	int fd;

	*port = 0;
	fd = host_tcp_listen(LO, port);
	assert_true(fd >= 0);
	return fd;
}

/* An endpoint that is driven by hand. */
static struct gtcp *
by_hand(uint16_t port)
{
	struct gtcp *c = gtcp_new(smoke.g, &smoke.g->gw, port, 0);

	c->manual = true;
	return c;
}

/* A SYN that is wrong in something: nothing must come back. */
static void
syn_is_ignored(const struct pkt_tcp *t)
{
	struct gtcp *c = by_hand(t->dport);
	struct pkt_tcp own = *t;

	own.sport = c->lport;
	gtcp_segment_raw(c, &own, NULL, 0);
	assert_true(gtcp_quiet(c, NEVER));
}

static void
impossible_flags_are_ignored(void **state)
{
	static const uint8_t flags[] = { 0, PKT_SYN | PKT_FIN, PKT_SYN | PKT_RST, 0x3f,
		PKT_FIN | PKT_PSH | PKT_URG };
	uint16_t port;
	int fd = listener(&port);

	for (unsigned int i = 0; i < sizeof(flags); i++) {
		struct pkt_tcp t = { .dport = port, .flags = flags[i], .win = 1000, .wscale = -1 };

		syn_is_ignored(&t);
	}
	assert_int_equal(host_accept(smoke.g, fd, 0), -1);
	close(fd);
}

static void
port_0_is_ignored(void **state)
{
	struct pkt_tcp t = { .dport = 0, .flags = PKT_SYN, .win = 1000, .wscale = -1 };

	syn_is_ignored(&t);
}

static void
malformed_options_do_no_harm(void **state)
{
	static const uint8_t bad[][4] = { { 2, 0, 0, 0 }, { 2, 1, 0, 0 }, { 3, 200, 0, 0 },
		{ 1, 1, 1, 2 } };
	uint16_t port;
	int fd = listener(&port);

	for (int i = 0; i < 4; i++) {
		struct gtcp *c = by_hand(port);
		struct pkt_tcp t = { .sport = c->lport,
			.dport = port,
			.flags = PKT_SYN,
			.win = 999,
			.wscale = -1,
			.options = bad[i],
			.options_len = 4 };

		gtcp_segment_raw(c, &t, NULL, 0);
	}
	host_idle(smoke.g, NEVER);
	guest_flush(smoke.g);
	smoke_serves(smoke.g);
	close(fd);
}

static void
syn_with_a_wrong_checksum_is_ignored(void **state)
{
	struct guest *g = smoke.g;
	struct pkt_ip ip = guest_ip(g, &g->gw);
	struct pkt_tcp t = { .sport = guest_port(g), .flags = PKT_SYN, .win = 999, .wscale = -1 };
	uint8_t f[128];
	size_t len;
	int fd = listener(&t.dport);

	len = pkt_build_tcp(f, &ip, &t, NULL, 0);
	f[50] ^= 1;
	guest_send_raw(g, NULL, f, len);
	assert_int_equal(host_accept(g, fd, NEVER), -1);
	close(fd);
}

static void
ack_for_no_connection_gets_a_reset(void **state)
{
	struct gtcp *c = by_hand(9);
	struct guest_frame *f;

	c->rcv_nxt = 0x12345678;
	gtcp_segment(c, PKT_ACK, 77, "data", 4);
	f = smoke_must(gtcp_expect(c, PKT_RST, SOON));
	assert_int_equal(f->view.tcp.seq, 0x12345678); /* RFC 9293, 3.10.7.1 */
	free(f);
}

static void
syn_ack_for_no_connection_gets_a_reset(void **state)
{
	struct gtcp *c = by_hand(9);
	struct guest_frame *f;

	c->rcv_nxt = 0x1000;
	gtcp_segment(c, PKT_SYN | PKT_ACK, 77, NULL, 0);
	f = smoke_must(gtcp_expect(c, PKT_RST, SOON));
	assert_int_equal(f->view.tcp.seq, 0x1000);
	free(f);
}

static void
fin_without_ack_for_no_connection_gets_no_syn_ack(void **state)
{
	struct gtcp *c = by_hand(9);

	gtcp_segment(c, PKT_FIN, 77, NULL, 0);
	assert_null(gtcp_expect(c, PKT_SYN | PKT_ACK, NEVER));
}

static void
reset_for_no_connection_is_not_answered(void **state)
{
	struct gtcp *c = by_hand(9);

	gtcp_segment(c, PKT_RST, 77, NULL, 0);
	gtcp_segment(c, PKT_RST | PKT_ACK, 77, NULL, 0);
	assert_true(gtcp_quiet(c, NEVER));
}

/* Resets that weir has sent, or would have, and those of them that were too many. */
static long long
resets_due(void)
{
	return smoke_stat("tcp-rst-sent") + smoke_stat("rate");
}

static void
resets_for_no_connection_are_rate_limited(void **state)
{
	enum {
		ROUNDS = 8,
		SEGMENTS = 250,
		PER_MS = 1,
		BURST = 64
	};
	struct guest *g = smoke.g;
	struct pkt_ip ip = guest_ip(g, &g->gw);
	struct pkt_tcp t = { .sport = guest_port(g), .dport = 9, .flags = PKT_ACK, .wscale = -1 };
	const long long all = ROUNDS * SEGMENTS;
	long long due = resets_due(), sent = smoke_stat("tcp-rst-sent"), rate = smoke_stat("rate");
	uint64_t begun = vhu_now_ms(), took;
	uint8_t f[128];
	size_t len = pkt_build_tcp(f, &ip, &t, NULL, 0);

	for (int i = 0; i < ROUNDS; i++) {
		for (int j = 0; j < SEGMENTS; j++)
			assert_int_equal(vhu_tx_queue(g->v, 0, NULL, f, len, NULL), 0);
		vhu_tx_flush(g->v, 0);
		assert_true(vhu_tx_drain(g->v, 0, SOON));
		while (guest_pump(g, 0) > 0)
			;
	}
	took = vhu_now_ms() - begun;
	for (int i = 0; i < SOON && resets_due() < due + all; i++)
		guest_pump(g, 1);
	assert_int_equal(resets_due(), due + all);
	sent = smoke_stat("tcp-rst-sent") - sent;
	assert_in_range(sent, 1, BURST + PER_MS * (1 + took));
	assert_int_equal(smoke_stat("rate") - rate, all - sent);
	guest_flush(smoke.g);
	/* Connections do not suffer from it. */
	smoke_serves(smoke.g);
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
		SMOKE(impossible_flags_are_ignored),
		SMOKE(port_0_is_ignored),
		SMOKE(malformed_options_do_no_harm),
		SMOKE(syn_with_a_wrong_checksum_is_ignored),
		SMOKE(ack_for_no_connection_gets_a_reset),
		SMOKE(syn_ack_for_no_connection_gets_a_reset),
		SMOKE(fin_without_ack_for_no_connection_gets_no_syn_ack),
		SMOKE(reset_for_no_connection_is_not_answered),
		SMOKE(resets_for_no_connection_are_rate_limited),
	};

	return cmocka_run_group_tests_name("conf_tcp_stray", tests, up, smoke_down);
}
