/* SPDX-License-Identifier: BSD-3-Clause */
/* Peers on another host, behind a link with delay and loss. Needs root. */
#include "far.h"

static void
connects_to_another_host(void **state)
{
	struct smoke_conn a = far_out(false), b = far_out(true);

	smoke_echo(smoke.g, &a);
	smoke_echo(smoke.g, &b);
	smoke_drop(&a);
	smoke_drop(&b);
}

static void
refused_by_another_host(void **state)
{
	struct pkt_addr to = pkt_addr(FAR_PEER);
	struct gtcp *c;

	far_need();
	c = gtcp_new(smoke.g, &to, 9, 0);
	assert_int_equal(gtcp_connect(c, SOON), -ECONNREFUSED);
}

static void
host_that_does_not_exist_is_told_by_icmp(void **state)
{
	struct pkt_addr to = pkt_addr("192.0.2.77");
	struct gtcp *c;

	far_need();
	c = gtcp_new(smoke.g, &to, 80, 0);
	assert_int_equal(gtcp_connect(c, 8000), -EHOSTUNREACH);
}

static void
no_syn_ack_before_the_far_end_has_answered(void **state)
{
	struct smoke_conn k;
	uint64_t start;

	far_link(100, 0);
	start = vhu_now_ms();
	k = far_out(false);
	assert_true(vhu_now_ms() - start >= 190);
	smoke_drop(&k);
}

static void
megabytes_over_a_link_with_delay(void **state)
{
	struct smoke_conn k;

	far_link(5, 0);
	k = far_out(false);
	assert_ok(host_transfer(k.c, k.fd, 3u << 20, 3u << 20, 20000));
	smoke_drop(&k);
}

static void
data_over_a_link_with_loss(void **state)
{
	struct smoke_conn k;

	far_link(1, 30);
	k = far_out(true);
	assert_ok(host_transfer(k.c, k.fd, 1u << 20, 1u << 20, 40000));
	smoke_drop(&k);
}

static void
half_close_over_a_link_with_loss(void **state)
{
	struct smoke_conn k;
	char b;

	far_link(2, 100);
	k = far_out(false);
	gtcp_shutdown(k.c);
	assert_int_equal(host_recv(smoke.g, k.fd, &b, 1, 15000), 0);
	close(k.fd);
	k.fd = -1;
	assert_true(gtcp_wait_fin(k.c, 15000));
	smoke_drop(&k);
}

static void
reset_by_another_host(void **state)
{
	struct smoke_conn k = far_out(false);
	struct linger l = { 1, 0 };

	setsockopt(k.fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
	close(k.fd);
	k.fd = -1;
	assert_true(gtcp_wait_reset(k.c, SOON));
	smoke_drop(&k);
}

static void
guest_sees_the_true_address_of_a_remote_peer(void **state)
{
	struct smoke_conn k = far_in(false, 8090, 90);

	assert_string_equal(pkt_addr_text(&k.c->remote), FAR_PEER);
	smoke_echo(smoke.g, &k);
	smoke_drop(&k);
}

static void
guest_sees_the_true_address_of_a_remote_peer_over_ipv6(void **state)
{
	struct smoke_conn k = far_in(true, 8090, 90);

	assert_string_equal(pkt_addr_text(&k.c->remote), FAR_PEER6);
	smoke_echo(smoke.g, &k);
	smoke_drop(&k);
}

/* A datagram's TOS and TTL as the far end sees them. */
static void
seen_far(bool v6, uint8_t tos, uint8_t ttl, int *tos_seen, int *ttl_seen)
{
	struct pkt_addr to = pkt_addr(v6 ? FAR_PEER6 : FAR_PEER);
	union {
		char buf[256];
		struct cmsghdr align;
	} control;
	struct guest *g = smoke.g;
	struct pkt_ip ip = guest_ip(g, &to);
	struct sockaddr_storage ss;
	uint8_t f[128], buf[16];
	struct iovec iov = { buf, sizeof(buf) };
	struct msghdr msg = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf) };
	int fd = netns_socket(&far, v6 ? AF_INET6 : AF_INET, SOCK_DGRAM, 0), on = 1;

	setsockopt(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_RECVTCLASS : IP_RECVTOS, &on, 4);
	setsockopt(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_RECVHOPLIMIT : IP_RECVTTL, &on, 4);
	assert_int_equal(bind(fd, (struct sockaddr *)&ss, pkt_sockaddr(&to, 7777, &ss)), 0);
	ip.tos = tos;
	ip.ttl = ttl;
	guest_send(g, f, pkt_build_udp(f, &ip, guest_port(g), 7777, "marked", 6));
	assert_true(host_wait(g, fd, POLLIN, SOON));
	assert_int_equal(recvmsg(fd, &msg, 0), 6);
	*tos_seen = *ttl_seen = -1;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c != NULL; c = CMSG_NXTHDR(&msg, c)) {
		if (c->cmsg_type == IP_TOS && !v6)
			*tos_seen = *(uint8_t *)CMSG_DATA(c);
		else if (c->cmsg_type == (v6 ? IPV6_HOPLIMIT : IP_TTL))
			memcpy(ttl_seen, CMSG_DATA(c), 4);
		else if (c->cmsg_type == IPV6_TCLASS && v6)
			memcpy(tos_seen, CMSG_DATA(c), 4);
	}
	close(fd);
}

static void
dscp_and_ecn_of_a_datagram_pass(void **state)
{
	int tos, ttl;

	far_need();
	seen_far(false, 0xb8 | 2, 64, &tos, &ttl);
	assert_int_equal(tos, 0xb8 | 2);
	seen_far(true, 0x28 | 1, 64, &tos, &ttl);
	assert_int_equal(tos, 0x28 | 1);
}

static void
ttl_of_a_datagram_passes(void **state)
{
	int tos, ttl;

	far_need();
	seen_far(false, 0, 33, &tos, &ttl);
	assert_in_range(ttl, 32, 33);
	seen_far(true, 0, 44, &tos, &ttl);
	assert_in_range(ttl, 43, 44);
}

static void
guest_is_acknowledged_only_for_what_the_peer_has(void **state)
{
	static const uint8_t data[200000];
	struct smoke_conn k = far_out(false);
	uint32_t first = k.c->snd_una;

	far_link(0, 1000);
	gtcp_write(k.c, data, sizeof(data));
	host_idle(smoke.g, 300);
	assert_int_equal(k.c->snd_una, first);
	far_link(0, 0);
	assert_ok(host_transfer(k.c, k.fd, 0, 1000, 20000));
	smoke_drop(&k);
}

static void
peer_that_vanishes_does_not_hold_up_others(void **state)
{
	struct smoke_conn k, l;
	static const uint8_t data[100000];

	k = far_out(false);
	far_link(0, 1000);
	gtcp_write(k.c, data, sizeof(data));
	host_idle(smoke.g, 100);
	l = smoke_out(smoke.g, false);
	assert_ok(host_transfer(l.c, l.fd, 1u << 20, 1u << 20, 20000));
	smoke_drop(&l);
	far_link(0, 0);
	smoke_drop(&k);
}

static int
up(void **state)
{
	static const char *const args[] = { "--vm",
		"a,socket=%d/a.sock,loopback=gateway,tcp=8090:90", NULL };

	return far_up(args);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		FAR(connects_to_another_host),
		FAR(refused_by_another_host),
		FAR(host_that_does_not_exist_is_told_by_icmp),
		FAR(no_syn_ack_before_the_far_end_has_answered),
		FAR(megabytes_over_a_link_with_delay),
		FAR(data_over_a_link_with_loss),
		FAR(half_close_over_a_link_with_loss),
		FAR(reset_by_another_host),
		FAR(guest_sees_the_true_address_of_a_remote_peer),
		FAR(guest_sees_the_true_address_of_a_remote_peer_over_ipv6),
		FAR(dscp_and_ecn_of_a_datagram_pass),
		FAR(ttl_of_a_datagram_passes),
		FAR(guest_is_acknowledged_only_for_what_the_peer_has),
		FAR(peer_that_vanishes_does_not_hold_up_others),
	};

	return cmocka_run_group_tests_name("conf_remote", tests, up, far_down);
}
