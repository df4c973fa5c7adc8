/* SPDX-License-Identifier: BSD-3-Clause */
/* How a guest's connections begin. */
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

static void
connects_to_the_host_over_ipv4(void **state)
{
	struct smoke_conn k = smoke_out(smoke.g, false);

	smoke_echo(smoke.g, &k);
	smoke_drop(&k);
}

static void
connects_to_the_host_over_ipv6(void **state)
{
	struct smoke_conn k = smoke_out(smoke.g, true);

	smoke_echo(smoke.g, &k);
	smoke_drop(&k);
}

static void
host_sees_the_connection_from_its_loopback(void **state)
{
	struct smoke_conn k = smoke_out(smoke.g, false);
	struct sockaddr_in sin;
	socklen_t len = sizeof(sin);

	assert_int_equal(getpeername(k.fd, (struct sockaddr *)&sin, &len), 0);
	assert_int_equal(ntohl(sin.sin_addr.s_addr), 0x7f000001);
	smoke_drop(&k);
}

static void
refused_connection_gets_a_reset(void **state)
{
	struct guest_frame *f;
	struct gtcp *c = by_hand(9);

	gtcp_segment(c, PKT_SYN, c->iss, NULL, 0);
	f = smoke_must(gtcp_expect(c, PKT_RST | PKT_ACK, SOON));
	assert_int_equal(f->view.tcp.seq, 0); /* RFC 9293, 3.10.7.1 */
	assert_int_equal(f->view.tcp.ack, c->iss + 1);
	free(f);
}

static void
refused_connection_gets_a_reset_over_ipv6(void **state)
{
	struct gtcp *c = gtcp_new(smoke.g, &smoke.g->gw6, 9, 0);

	assert_int_equal(gtcp_connect(c, SOON), -ECONNREFUSED);
}

static void
unreachable_network_is_told_by_icmp(void **state)
{
	struct pkt_addr far = pkt_addr("192.0.2.1");
	struct gtcp *c;

	smoke_need_net();
	c = gtcp_new(smoke.g, &far, 80, 0);
	assert_int_equal(gtcp_connect(c, SOON), -EHOSTUNREACH);
}

static void
unreachable_network_is_told_by_icmpv6(void **state)
{
	struct pkt_addr far = pkt_addr("2001:db8::1");
	struct gtcp *c;

	smoke_need_net();
	c = gtcp_new(smoke.g, &far, 80, 0);
	assert_int_equal(gtcp_connect(c, SOON), -EHOSTUNREACH);
}

static void
unreachable_error_quotes_the_syn(void **state)
{
	struct pkt_addr far = pkt_addr("192.0.2.1");
	struct guest_frame *f;
	struct gtcp *c;

	smoke_need_net();
	c = gtcp_new(smoke.g, &far, 80, 0);
	c->manual = true;
	gtcp_segment(c, PKT_SYN, c->iss, NULL, 0);
	f = guest_icmp_error(smoke.g, 3, SOON);
	assert_non_null(f);
	assert_memory_equal(f->view.data + 12, smoke.g->addr.b, 4);
	assert_memory_equal(f->view.data + 16, far.b, 4);
	assert_int_equal(pkt_get16(f->view.data + 20), c->lport);
	assert_int_equal(pkt_get32(f->view.data + 24), c->iss);
	free(f);
}

static void
syn_without_options_gets_none(void **state)
{
	uint16_t port;
	int fd = listener(&port);
	struct gtcp *c = by_hand(port);

	c->mss = 0;
	c->rcv_scale = -1;
	smoke_half_open(c);
	assert_int_equal(c->syn.mss, 0);
	assert_int_equal(c->syn.wscale, -1);
	assert_false(c->syn.sack_ok);
	gtcp_reset(c);
	close(fd);
}

static void
syn_with_mss_and_scale_gets_both(void **state)
{
	uint16_t port;
	int fd = listener(&port);
	struct gtcp *c = by_hand(port);

	smoke_half_open(c);
	assert_in_range(c->syn.mss, 536, 1460);
	assert_in_range(c->syn.wscale, 0, 14);
	gtcp_reset(c);
	close(fd);
}

static void
mss_over_ipv6_leaves_room_for_its_header(void **state)
{
	struct smoke_conn k = smoke_out(smoke.g, true);

	assert_in_range(k.c->syn.mss, 536, 1440);
	smoke_drop(&k);
}

static void
window_of_a_syn_ack_is_not_scaled(void **state)
{
	uint16_t port;
	int fd = listener(&port);
	struct gtcp *c = by_hand(port);

	smoke_half_open(c);
	assert_true(c->syn.win > 0);
	gtcp_reset(c);
	close(fd);
}

static void
repeated_syn_gets_the_same_syn_ack(void **state)
{
	uint16_t port;
	int fd = listener(&port);
	struct gtcp *c = by_hand(port);
	struct guest_frame *f;

	smoke_half_open(c);
	gtcp_segment(c, PKT_SYN, c->iss, NULL, 0);
	f = smoke_must(gtcp_expect(c, PKT_SYN | PKT_ACK, SOON));
	assert_int_equal(f->view.tcp.seq, c->irs);
	free(f);
	gtcp_reset(c);
	close(fd);
}

static void
repeated_syns_make_one_connection(void **state)
{
	uint16_t port;
	int fd = listener(&port), peer;
	struct gtcp *c = by_hand(port);
	struct guest_frame *f;

	for (int i = 0; i < 5; i++)
		gtcp_segment(c, PKT_SYN, c->iss, NULL, 0);
	f = smoke_must(gtcp_expect(c, PKT_SYN | PKT_ACK, SOON));
	c->rcv_nxt = f->view.tcp.seq + 1;
	free(f);
	c->snd_nxt = c->iss + 1;
	gtcp_ack(c);
	peer = host_accept(smoke.g, fd, SOON);
	assert_true(peer >= 0);
	assert_int_equal(host_accept(smoke.g, fd, NEVER), -1);
	gtcp_reset(c);
	close(peer);
	close(fd);
}

static void
data_on_the_handshakes_ack_is_accepted(void **state)
{
	uint16_t port;
	int fd = listener(&port), peer;
	struct gtcp *c = by_hand(port);
	struct guest_frame *f;
	char buf[8] = { 0 };

	smoke_half_open(c);
	gtcp_segment(c, PKT_ACK | PKT_PSH, c->snd_nxt, "early", 5);
	peer = host_accept(smoke.g, fd, SOON);
	assert_int_equal(host_recv_all(smoke.g, peer, buf, 5, SOON), 0);
	assert_string_equal(buf, "early");
	f = smoke_must(gtcp_expect(c, PKT_ACK, SOON));
	assert_int_equal(f->view.tcp.ack, c->iss + 6);
	free(f);
	gtcp_segment(c, PKT_RST, c->snd_nxt + 5, NULL, 0);
	close(peer);
	close(fd);
}

static void
fin_on_the_handshakes_ack_is_accepted(void **state)
{
	uint16_t port;
	int fd = listener(&port), peer;
	struct gtcp *c = by_hand(port);
	struct guest_frame *f;
	char buf[8];

	smoke_half_open(c);
	gtcp_segment(c, PKT_ACK | PKT_FIN, c->snd_nxt, "bye", 3);
	peer = host_accept(smoke.g, fd, SOON);
	assert_int_equal(host_recv_all(smoke.g, peer, buf, 3, SOON), 0);
	assert_int_equal(host_recv(smoke.g, peer, buf, 1, SOON), 0);
	do {
		uint32_t ack;

		f = smoke_must(gtcp_expect(c, PKT_ACK, SOON));
		ack = f->view.tcp.ack;
		free(f);
		if (ack == c->iss + 5)
			break;
	} while (true);
	close(peer);
	free(smoke_must(gtcp_expect(c, PKT_FIN | PKT_ACK, SOON)));
	c->snd_nxt = c->iss + 5;
	c->rcv_nxt++;
	gtcp_ack(c);
	close(fd);
}

static void
initial_sequence_numbers_differ(void **state)
{
	uint16_t port;
	int fd = listener(&port);
	struct gtcp *a = by_hand(port), *b = by_hand(port);

	smoke_half_open(a);
	smoke_half_open(b);
	assert_true(a->irs - b->irs + 1000 > 2000);
	gtcp_reset(a);
	gtcp_reset(b);
	close(fd);
}

static void
fifty_connections_at_once(void **state)
{
	struct smoke_conn k[50];

	for (int i = 0; i < 50; i++)
		k[i] = smoke_out(smoke.g, i & 1);
	for (int i = 0; i < 50; i++)
		smoke_echo(smoke.g, &k[i]);
	for (int i = 0; i < 50; i++)
		smoke_drop(&k[i]);
}

static void
reset_of_a_half_open_connection_reaches_the_host(void **state)
{
	uint16_t port;
	int fd = listener(&port), peer;
	struct gtcp *c = by_hand(port);
	char b;

	smoke_half_open(c);
	gtcp_segment(c, PKT_RST, c->snd_nxt, NULL, 0);
	peer = host_accept(smoke.g, fd, SOON);
	if (peer >= 0)
		assert_true(host_recv(smoke.g, peer, &b, 1, SOON) <= 0);
	close(peer);
	close(fd);
}

static void
reset_and_syn_of_one_tuple_in_one_burst(void **state)
{
	uint16_t port;
	int fd = listener(&port);
	struct gtcp *c = by_hand(port);
	struct guest *g = smoke.g;
	struct pkt_ip ip = guest_ip(g, &g->gw);
	struct pkt_tcp t = { .sport = c->lport, .dport = port, .win = 9999, .wscale = -1 };
	struct guest_frame *r;
	uint8_t f[128];
	uint32_t old;

	smoke_half_open(c);
	gtcp_ack(c);
	old = c->irs;
	t.flags = PKT_RST;
	t.seq = c->snd_nxt;
	vhu_tx_queue(g->v, 0, NULL, f, pkt_build_tcp(f, &ip, &t, NULL, 0), NULL);
	t.flags = PKT_SYN;
	t.seq = c->iss + 100000;
	vhu_tx_queue(g->v, 0, NULL, f, pkt_build_tcp(f, &ip, &t, NULL, 0), NULL);
	vhu_tx_flush(g->v, 0);
	c->iss = t.seq;
	r = smoke_must(gtcp_expect(c, PKT_SYN | PKT_ACK, SOON));
	assert_int_equal(r->view.tcp.ack, t.seq + 1);
	assert_true(r->view.tcp.seq != old);
	free(r);
	c->snd_nxt = t.seq + 1;
	gtcp_reset(c);
	close(fd);
}

static void
fin_and_syn_of_one_tuple_in_one_burst(void **state)
{
	struct smoke_conn k = smoke_out(smoke.g, false);
	struct guest *g = smoke.g;
	struct gtcp *c = k.c;
	struct pkt_ip ip = guest_ip(g, &g->gw);
	struct pkt_tcp t = { .sport = c->lport, .dport = c->rport, .win = 9999, .wscale = -1 };
	struct guest_frame *r = NULL;
	uint8_t f[128];

	close(k.fd);
	k.fd = -1;
	assert_true(gtcp_wait_fin(c, SOON));
	c->manual = true;
	t.flags = PKT_FIN | PKT_ACK;
	t.seq = c->snd_nxt;
	t.ack = c->rcv_nxt;
	vhu_tx_queue(g->v, 0, NULL, f, pkt_build_tcp(f, &ip, &t, NULL, 0), NULL);
	t.flags = PKT_SYN;
	t.seq = c->iss + 100000;
	t.ack = 0;
	vhu_tx_queue(g->v, 0, NULL, f, pkt_build_tcp(f, &ip, &t, NULL, 0), NULL);
	vhu_tx_flush(g->v, 0);
	/* The FIN's acknowledgement has not been seen when the SYN is sent: as it should, it comes
	 * again. */
	c->iss = c->snd_una = t.seq;
	c->snd_nxt = t.seq + 1;
	c->established = false;
	for (int i = 0; i < SOON / 100 && r == NULL; i++) {
		gtcp_segment(c, PKT_SYN, c->iss, NULL, 0);
		r = gtcp_expect(c, PKT_SYN | PKT_ACK, 100);
	}
	assert_int_equal(smoke_must(r)->view.tcp.ack, c->iss + 1);
	c->irs = r->view.tcp.seq;
	c->rcv_nxt = c->irs + 1;
	free(r);
	gtcp_segment(c, PKT_ACK | PKT_PSH, c->snd_nxt, "anew", 4);
	k.fd = host_accept(g, k.listener, SOON);
	assert_int_equal(host_recv_all(g, k.fd, f, 4, SOON), 0);
	assert_memory_equal(f, "anew", 4);
	c->snd_nxt += 4;
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
		SMOKE(connects_to_the_host_over_ipv4),
		SMOKE(connects_to_the_host_over_ipv6),
		SMOKE(host_sees_the_connection_from_its_loopback),
		SMOKE(refused_connection_gets_a_reset),
		SMOKE(refused_connection_gets_a_reset_over_ipv6),
		SMOKE(unreachable_network_is_told_by_icmp),
		SMOKE(unreachable_network_is_told_by_icmpv6),
		SMOKE(unreachable_error_quotes_the_syn),
		SMOKE(syn_without_options_gets_none),
		SMOKE(syn_with_mss_and_scale_gets_both),
		SMOKE(mss_over_ipv6_leaves_room_for_its_header),
		SMOKE(window_of_a_syn_ack_is_not_scaled),
		SMOKE(repeated_syn_gets_the_same_syn_ack),
		SMOKE(repeated_syns_make_one_connection),
		SMOKE(data_on_the_handshakes_ack_is_accepted),
		SMOKE(fin_on_the_handshakes_ack_is_accepted),
		SMOKE(initial_sequence_numbers_differ),
		SMOKE(fifty_connections_at_once),
		SMOKE(reset_of_a_half_open_connection_reaches_the_host),
		SMOKE(reset_and_syn_of_one_tuple_in_one_burst),
		SMOKE(fin_and_syn_of_one_tuple_in_one_burst),
	};

	return cmocka_run_group_tests_name("conf_tcp_open", tests, up, smoke_down);
}
