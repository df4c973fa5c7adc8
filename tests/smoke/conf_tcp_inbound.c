/* SPDX-License-Identifier: BSD-3-Clause */
/* Connections from the host's side, through forwards. */
#include "smoke.h"

static bool
is_syn_to_80(const struct pkt_view *v, void *arg)
{
	return v->proto == IPPROTO_TCP && v->dport == 80 && (v->tcp.flags & PKT_SYN);
}

static int
knock(uint16_t port)
{
	int fd = host_tcp_connect(LO, port);

	assert_true(fd >= 0);
	return fd;
}

static void
host_is_told_of_a_reset(int fd)
{
	char b;

	assert_int_equal(host_recv(smoke.g, fd, &b, 1, SOON), -ECONNRESET);
	close(fd);
}

/* What was knocked for is refused. A flow left open would have its SYN repeated to a later case. */
static void
refuse(struct gtcp *c, int fd)
{
	gtcp_segment(c, PKT_RST | PKT_ACK, 0, NULL, 0);
	host_is_told_of_a_reset(fd);
	gtcp_free(c);
}

static void
connection_reaches_the_guest_over_ipv4(void **state)
{
	struct smoke_conn k = smoke_in(smoke.g, false, 8080, 80);

	smoke_echo(smoke.g, &k);
	smoke_drop(&k);
}

static void
connection_reaches_the_guest_over_ipv6(void **state)
{
	struct smoke_conn k = smoke_in(smoke.g, true, 8081, 81);

	smoke_echo(smoke.g, &k);
	smoke_drop(&k);
}

static void
forward_without_address_serves_both_families(void **state)
{
	struct smoke_conn a = smoke_in(smoke.g, false, 8090, 90);
	struct smoke_conn b = smoke_in(smoke.g, true, 8090, 90);

	smoke_echo(smoke.g, &a);
	smoke_echo(smoke.g, &b);
	smoke_drop(&a);
	smoke_drop(&b);
}

static void
forward_of_a_range_keeps_its_order(void **state)
{
	struct smoke_conn a = smoke_in(smoke.g, false, 9000, 100);
	struct smoke_conn b = smoke_in(smoke.g, false, 9003, 103);

	smoke_echo(smoke.g, &b);
	smoke_echo(smoke.g, &a);
	smoke_drop(&a);
	smoke_drop(&b);
}

static void
forward_without_guest_port_keeps_the_port(void **state)
{
	struct smoke_conn k = smoke_in(smoke.g, false, 9100, 9100);

	smoke_echo(smoke.g, &k);
	smoke_drop(&k);
}

static void
guest_sees_the_loopback_as_its_gateway(void **state)
{
	struct smoke_conn k = smoke_in(smoke.g, false, 8080, 80);

	assert_string_equal(pkt_addr_text(&k.c->remote), GW);
	assert_string_equal(pkt_addr_text(&k.c->local), "10.0.2.15");
	smoke_drop(&k);
}

static void
guest_sees_the_peers_port_where_it_is_free(void **state)
{
	struct smoke_conn k = smoke_in(smoke.g, false, 8080, 80);
	struct sockaddr_in sin;
	socklen_t len = sizeof(sin);

	getsockname(k.fd, (struct sockaddr *)&sin, &len);
	assert_int_equal(ntohs(sin.sin_port), k.c->rport);
	smoke_drop(&k);
}

static void
syn_carries_mss_and_scale(void **state)
{
	struct smoke_conn k = smoke_in(smoke.g, false, 8080, 80);

	assert_in_range(k.c->syn.mss, 536, 1460);
	assert_true(k.c->syn.wscale >= 0);
	assert_int_equal(k.c->syn.ack, 0);
	smoke_drop(&k);
}

static void
syn_is_repeated_with_the_same_sequence_number(void **state)
{
	int fd = knock(8080);
	struct guest_frame *first = smoke_must(guest_wait(smoke.g, is_syn_to_80, NULL, SOON));
	struct gtcp *c = gtcp_accept_syn(smoke.g, 80, SOON);

	assert_non_null(c);
	assert_int_equal(c->irs, first->view.tcp.seq);
	assert_int_equal(c->rport, first->view.sport);
	free(first);
	refuse(c, fd);
}

static void
guest_that_answers_the_second_syn_is_connected(void **state)
{
	struct smoke_conn k = { .fd = knock(8080), .listener = -1 };

	free(smoke_must(guest_wait(smoke.g, is_syn_to_80, NULL, SOON)));
	k.c = gtcp_accept(smoke.g, 80, SOON);
	assert_non_null(k.c);
	smoke_echo(smoke.g, &k);
	smoke_drop(&k);
}

static void
reset_answer_reaches_the_host(void **state)
{
	int fd = knock(8080);
	struct gtcp *c = gtcp_accept_syn(smoke.g, 80, SOON);

	assert_non_null(c);
	refuse(c, fd);
}

static void
silent_guest_makes_the_host_see_a_reset(void **state)
{
	int fd = knock(8080);
	uint64_t start = vhu_now_ms();
	char b;

	/* timeout-tcp-syn is 2 s here. */
	assert_int_equal(host_recv(smoke.g, fd, &b, 1, 8000), -ECONNRESET);
	assert_in_range(vhu_now_ms() - start, 1500, 7000);
	close(fd);
}

static void
no_data_before_the_handshake(void **state)
{
	int fd = knock(8080);
	struct gtcp *c;
	char buf[8] = { 0 };

	assert_int_equal(host_send_all(smoke.g, fd, "early", 5, SOON), 0);
	c = gtcp_accept_syn(smoke.g, 80, SOON);
	assert_non_null(c);
	host_idle(smoke.g, 50);
	assert_int_equal(c->data_segs, 0);
	gtcp_segment(c, PKT_SYN | PKT_ACK, c->iss, NULL, 0);
	c->snd_nxt = c->iss + 1;
	assert_int_equal(gtcp_recv_all(c, buf, 5, SOON), 0);
	assert_string_equal(buf, "early");
	gtcp_reset(c);
	close(fd);
}

static void
syn_ack_of_the_wrong_number_gets_a_reset(void **state)
{
	int fd = knock(8080);
	struct gtcp *c = gtcp_accept_syn(smoke.g, 80, SOON);
	struct guest_frame *f;

	assert_non_null(c);
	c->manual = true;
	c->rcv_nxt += 1000;
	gtcp_segment(c, PKT_SYN | PKT_ACK, c->iss, NULL, 0);
	f = smoke_must(gtcp_expect(c, PKT_RST, SOON));
	assert_int_equal(f->view.tcp.seq, c->rcv_nxt);
	free(f);
	c->rcv_nxt -= 1000;
	refuse(c, fd);
}

/* A connection to port 8080 whose SYN has come; the answer is still to be sent. */
static struct gtcp *
knocked(int *fd)
{
	struct gtcp *c;

	*fd = knock(8080);
	c = gtcp_accept_syn(smoke.g, 80, SOON);
	assert_non_null(c);
	c->manual = true;
	return c;
}

/* "early" has arrived, and is acknowledged, perhaps with a FIN behind it. */
static void
early_arrives(struct gtcp *c, int fd, bool fin)
{
	char buf[8] = { 0 };

	assert_int_equal(host_recv_all(smoke.g, fd, buf, 5, SOON), 0);
	assert_string_equal(buf, "early");
	if (fin)
		assert_int_equal(host_recv(smoke.g, fd, buf, 1, SOON), 0);
	free(smoke_acked(c, c->iss + 1 + 5 + fin));
	c->snd_nxt = c->iss + 1 + 5 + fin;
	gtcp_reset(c);
	close(fd);
}

static void
data_on_the_syn_ack_is_accepted(void **state)
{
	struct gtcp *c;
	int fd;

	c = knocked(&fd);
	/* RFC 9293, 3.10.7.3, fourth */
	gtcp_segment(c, PKT_SYN | PKT_ACK, c->iss, "early", 5);
	early_arrives(c, fd, false);
}

static void
data_and_fin_on_the_first_segment_of_the_guest_are_accepted(void **state)
{
	for (int fin = 0; fin < 2; fin++) {
		struct gtcp *c;
		int fd;

		c = knocked(&fd);
		gtcp_segment(c, PKT_SYN | PKT_ACK, c->iss, NULL, 0);
		c->snd_nxt = c->iss + 1;
		gtcp_segment(c, PKT_ACK | (fin ? PKT_FIN : PKT_PSH), c->snd_nxt, "early", 5);
		early_arrives(c, fd, fin);
	}
}

static void
data_of_the_guest_may_come_first(void **state)
{
	struct smoke_conn k = smoke_in(smoke.g, false, 8080, 80);

	smoke_say_up(&k, "220 hello");
	smoke_say_down(&k, "EHLO");
	smoke_drop(&k);
}

static void
guest_closes_first(void **state)
{
	struct smoke_conn k = smoke_in(smoke.g, false, 8080, 80);
	char b;

	gtcp_shutdown(k.c);
	assert_int_equal(host_recv(smoke.g, k.fd, &b, 1, SOON), 0);
	close(k.fd);
	k.fd = -1;
	assert_true(gtcp_wait_fin(k.c, SOON));
	smoke_drop(&k);
}

static void
host_that_half_closes_reads_all_that_follows(void **state)
{
	struct smoke_conn k = smoke_in(smoke.g, false, 8080, 80);
	char b;

	smoke_say_down(&k, "GET");
	assert_int_equal(shutdown(k.fd, SHUT_WR), 0);
	assert_true(gtcp_wait_fin(k.c, SOON));
	k.c->tso = true;
	assert_ok(host_transfer(k.c, k.fd, 20u << 20, 0, 120000));
	gtcp_shutdown(k.c);
	assert_int_equal(host_recv(smoke.g, k.fd, &b, 1, SOON), 0);
	assert_true(gtcp_wait_fin_acked(k.c, SOON));
	assert_false(k.c->reset_received);
	smoke_drop(&k);
}

static void
host_closes_first(void **state)
{
	struct smoke_conn k = smoke_in(smoke.g, true, 8081, 81);

	close(k.fd);
	k.fd = -1;
	assert_true(gtcp_wait_fin(k.c, SOON));
	gtcp_shutdown(k.c);
	assert_true(gtcp_wait_fin_acked(k.c, SOON));
	smoke_drop(&k);
}

static void
host_that_leaves_before_the_handshake_does_no_harm(void **state)
{
	int fd = knock(8080);
	struct gtcp *c;

	close(fd);
	c = gtcp_accept(smoke.g, 80, SOON);
	/* Either it is connected and sees FIN, or it was reset: both end. */
	if (c != NULL) {
		host_idle(smoke.g, 50);
		assert_true(gtcp_wait_fin(c, SOON) || c->reset_received);
		gtcp_reset(c);
		gtcp_free(c);
	}
	smoke_serves(smoke.g);
}

static void
twenty_connections_at_once(void **state)
{
	struct smoke_conn k[20];

	for (int i = 0; i < 20; i++)
		k[i] = smoke_in(smoke.g, false, 8080, 80);
	for (int i = 0; i < 20; i++)
		smoke_echo(smoke.g, &k[i]);
	for (int i = 0; i < 20; i++)
		smoke_drop(&k[i]);
}

static void
megabytes_both_ways(void **state)
{
	struct smoke_conn k = smoke_in(smoke.g, false, 8080, 80);

	k.c->tso = true;
	assert_ok(host_transfer(k.c, k.fd, 3u << 20, 3u << 20, 20000));
	smoke_drop(&k);
}

static void
simultaneous_syn_does_no_harm(void **state)
{
	int fd = knock(8080);
	struct gtcp *c = gtcp_accept_syn(smoke.g, 80, SOON);

	assert_non_null(c);
	gtcp_segment(c, PKT_SYN, c->iss, NULL, 0);
	host_idle(smoke.g, 50);
	gtcp_segment(c, PKT_RST | PKT_ACK, c->iss + 1, NULL, 0);
	gtcp_segment(c, PKT_RST, c->iss, NULL, 0);
	close(fd);
	gtcp_free(c);
	guest_flush(smoke.g);
	smoke_serves(smoke.g);
}

static void
port_that_is_not_forwarded_is_refused(void **state)
{
	int fd = host_tcp_connect(LO, 8083);

	if (fd >= 0)
		assert_int_equal(host_connected(smoke.g, fd, SOON), -ECONNREFUSED);
	close(fd);
}

static int
up(void **state)
{
	static const char *const args[] = { "--timeout-tcp-syn", "2", "--vm",
		"a,socket=%d/a.sock,loopback=gateway,"
		"tcp=127.0.0.1:8080:80/[::1]:8081:81/8090:90/127.0.0.1:9000-9003:100/9100",
		NULL };

	return smoke_up(args);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		SMOKE(connection_reaches_the_guest_over_ipv4),
		SMOKE(connection_reaches_the_guest_over_ipv6),
		SMOKE(forward_without_address_serves_both_families),
		SMOKE(forward_of_a_range_keeps_its_order),
		SMOKE(forward_without_guest_port_keeps_the_port),
		SMOKE(guest_sees_the_loopback_as_its_gateway),
		SMOKE(guest_sees_the_peers_port_where_it_is_free),
		SMOKE(syn_carries_mss_and_scale),
		SMOKE(syn_is_repeated_with_the_same_sequence_number),
		SMOKE(guest_that_answers_the_second_syn_is_connected),
		SMOKE(reset_answer_reaches_the_host),
		SMOKE(silent_guest_makes_the_host_see_a_reset),
		SMOKE(no_data_before_the_handshake),
		SMOKE(syn_ack_of_the_wrong_number_gets_a_reset),
		SMOKE(data_on_the_syn_ack_is_accepted),
		SMOKE(data_and_fin_on_the_first_segment_of_the_guest_are_accepted),
		SMOKE(data_of_the_guest_may_come_first),
		SMOKE(guest_closes_first),
		SMOKE(host_that_half_closes_reads_all_that_follows),
		SMOKE(host_closes_first),
		SMOKE(host_that_leaves_before_the_handshake_does_no_harm),
		SMOKE(twenty_connections_at_once),
		SMOKE(megabytes_both_ways),
		SMOKE(simultaneous_syn_does_no_harm),
		SMOKE(port_that_is_not_forwarded_is_refused),
	};

	return cmocka_run_group_tests_name("conf_tcp_inbound", tests, up, smoke_down);
}
