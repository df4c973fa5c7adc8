/* SPDX-License-Identifier: BSD-3-Clause */
/* UDP of the guest, both ways, and what becomes of ICMP errors. */
#include "smoke.h"

#define PEER "192.0.2.2"

static struct netns peer = { .fd = -1 };

/* A host socket and a port of the guest that have exchanged a datagram. */
struct pair {
	int fd;
	uint16_t port, gport;
	bool v6;
	struct pkt_addr from; /**< of the flow, as the host sees it */
	uint16_t from_port;
};

static const struct pkt_addr *
gateway(bool v6)
{
	return v6 ? &smoke.g->gw6 : &smoke.g->gw;
}

static void
up_one(struct pair *p, const void *data, size_t len)
{
	static uint8_t buf[66000];
	ssize_t n;

	assert_int_equal(guest_udp_send(smoke.g, p->gport, gateway(p->v6), p->port, data, len), 0);
	n = host_recv_from(smoke.g, p->fd, buf, sizeof(buf), &p->from, &p->from_port, SOON);
	assert_int_equal(n, len);
	assert_memory_equal(buf, data, len);
}

static void
down_one(struct pair *p, const void *data, size_t len)
{
	struct guest_frame *f;

	assert_int_equal(host_send_to(p->fd, p->v6 ? LO6 : LO, p->from_port, data, len), 0);
	f = guest_udp_recv(smoke.g, p->gport, SOON);
	if (f == NULL)
		fail_msg("no datagram of %zu bytes: %s", len,
			guest_error(smoke.g) != NULL ? guest_error(smoke.g) : "time out");
	assert_int_equal(f->view.sport, p->port);
	assert_true(pkt_addr_eq(&f->view.src, gateway(p->v6)));
	assert_int_equal(f->view.data_len, len);
	assert_memory_equal(f->view.data, data, len);
	free(f);
}

static struct pair
open_pair(bool v6)
{
	struct pair p = { .v6 = v6, .gport = guest_port(smoke.g) };

	p.fd = host_udp(v6 ? LO6 : LO, &p.port);
	assert_true(p.fd >= 0);
	return p;
}

static void
datagrams_go_both_ways_over_ipv4(void **state)
{
	struct pair p = open_pair(false);

	up_one(&p, "question", 8);
	down_one(&p, "answer", 6);
	assert_string_equal(pkt_addr_text(&p.from), LO);
	close(p.fd);
}

static void
datagrams_go_both_ways_over_ipv6(void **state)
{
	struct pair p = open_pair(true);

	up_one(&p, "question", 8);
	down_one(&p, "answer", 6);
	assert_string_equal(pkt_addr_text(&p.from), LO6);
	close(p.fd);
}

static void
sizes_from_nothing_to_the_mtu(void **state)
{
	static const size_t sizes[] = { 0, 1, 2, 17, 18, 19, 214, 215, 470, 471, 1000, 1451, 1452 };
	uint8_t data[1472];

	host_fill(1, 0, data, sizeof(data));
	for (int v6 = 0; v6 < 2; v6++) {
		struct pair p = open_pair(v6);

		for (unsigned int i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
			up_one(&p, data, sizes[i]);
			down_one(&p, data, sizes[i]);
		}
		if (!v6) {
			up_one(&p, data, 1472);
			down_one(&p, data, 1472);
		}
		close(p.fd);
	}
}

static void
checksum_left_to_the_device(void **state)
{
	struct pair p = open_pair(false), q = open_pair(true);

	smoke.g->partial = true;
	up_one(&p, "partial", 7);
	up_one(&q, "partial", 7);
	close(p.fd);
	close(q.fd);
}

static void
datagram_split_over_descriptors(void **state)
{
	static const size_t split[] = { 12, 25, 40, 47, 55, 56, 300 };
	struct vhu_shape shape = { split, 7, true };
	struct pair p = open_pair(false);
	uint8_t data[1400];

	host_fill(1, 0, data, sizeof(data));
	smoke.g->tx_shape = &shape;
	up_one(&p, data, sizeof(data));
	shape.indirect = false;
	up_one(&p, data, 31);
	close(p.fd);
}

static void
flow_keeps_its_host_port(void **state)
{
	struct pair p = open_pair(false);
	uint16_t first;

	up_one(&p, "a", 1);
	first = p.from_port;
	up_one(&p, "b", 1);
	assert_int_equal(p.from_port, first);
	close(p.fd);
}

static void
two_ports_of_the_guest_are_two_flows(void **state)
{
	struct pair p = open_pair(false), q = p;

	q.gport = guest_port(smoke.g);
	up_one(&p, "p", 1);
	up_one(&q, "q", 1);
	assert_true(p.from_port != q.from_port);
	down_one(&q, "to q", 4);
	down_one(&p, "to p", 4);
	close(p.fd);
}

static void
burst_keeps_order_and_boundaries(void **state)
{
	struct guest *g = smoke.g;
	struct pkt_ip ip = guest_ip(g, &g->gw);
	struct pair p = open_pair(false);
	uint8_t f[2000], data[1200], buf[2000];

	for (uint8_t i = 0; i < 48; i++) {
		/* Runs of one size, then another: what segmentation offload would join. */
		size_t len = i < 20 ? 1000 : i < 30 ? 1200 : 10u + i;

		memset(data, i, len);
		vhu_tx_queue(
			g->v, 0, NULL, f, pkt_build_udp(f, &ip, p.gport, p.port, data, len), NULL);
	}
	vhu_tx_flush(g->v, 0);
	for (uint8_t i = 0; i < 48; i++) {
		size_t len = i < 20 ? 1000 : i < 30 ? 1200 : 10u + i;

		assert_int_equal(
			host_recv_from(g, p.fd, buf, sizeof(buf), &p.from, &p.from_port, SOON),
			len);
		assert_int_equal(buf[0], i);
		assert_int_equal(buf[len - 1], i);
	}
	close(p.fd);
}

static void
burst_to_the_guest_keeps_order_and_boundaries(void **state)
{
	struct pair p = open_pair(false);
	uint8_t data[1200];

	up_one(&p, "hello", 5);
	for (uint8_t i = 0; i < 40; i++) {
		size_t len = i < 20 ? 1000 : 20u + i;

		memset(data, i, len);
		assert_int_equal(host_send_to(p.fd, LO, p.from_port, data, len), 0);
	}
	for (uint8_t i = 0; i < 40; i++) {
		struct guest_frame *f = guest_udp_recv(smoke.g, p.gport, SOON);

		assert_non_null(f);
		assert_int_equal(f->view.data_len, i < 20 ? 1000 : 20u + i);
		assert_int_equal(f->view.data[0], i);
		free(f);
	}
	close(p.fd);
}

static void
datagram_larger_than_the_mtu_does_no_harm(void **state)
{
	struct pair p = open_pair(false);
	uint8_t *big = calloc(1, 9000);

	up_one(&p, "hello", 5);
	assert_int_equal(host_send_to(p.fd, LO, p.from_port, big, 9000), 0);
	host_idle(smoke.g, NEVER);
	guest_flush(smoke.g);
	down_one(&p, "small", 5);
	free(big);
	close(p.fd);
}

static void
closed_port_is_told_by_icmp(void **state)
{
	struct guest *g = smoke.g;
	uint16_t gport = guest_port(g);
	struct guest_frame *f;

	guest_udp_send(g, gport, &g->gw, 9, "anyone?", 7);
	f = guest_icmp_error(g, 3, SOON);
	assert_non_null(f);
	assert_int_equal(f->view.icmp_code, 3);
	assert_int_equal(pkt_get16(f->view.data + 20), gport);
	assert_int_equal(pkt_get16(f->view.data + 22), 9);
	assert_memory_equal(f->view.data + 12, g->addr.b, 4);
	assert_memory_equal(f->view.data + 16, g->gw.b, 4);
	free(f);
}

static void
closed_port_is_told_by_icmpv6(void **state)
{
	struct guest *g = smoke.g;
	uint16_t gport = guest_port(g);
	struct guest_frame *f;

	guest_udp_send(g, gport, &g->gw6, 9, "anyone?", 7);
	f = guest_icmp_error(g, 1, SOON);
	assert_non_null(f);
	assert_int_equal(f->view.icmp_code, 4);
	assert_int_equal(pkt_get16(f->view.data + 40), gport);
	assert_memory_equal(f->view.data + 8, g->addr6.b, 16);
	free(f);
}

static void
error_quotes_the_datagram_byte_for_byte(void **state)
{
	struct guest *g = smoke.g;
	struct pkt_ip ip = guest_ip(g, &g->gw);
	struct guest_frame *r;
	uint8_t f[256];
	size_t len, quoted;

	ip.id = 0x1234;
	ip.ttl = 77;
	len = pkt_build_udp(f, &ip, guest_port(g), 9, "quote me exactly", 16);
	guest_send(g, f, len);
	r = guest_icmp_error(g, 3, SOON);
	assert_non_null(r);
	quoted = r->view.data_len < len - 14 ? r->view.data_len : len - 14;
	assert_in_range(quoted, 28, 44);
	assert_memory_equal(r->view.data, f + 14, quoted);
	free(r);
}

static void
flow_lives_on_after_an_error(void **state)
{
	struct guest *g = smoke.g;
	struct pair p = { .gport = guest_port(g) };

	p.fd = host_udp(LO, &p.port);
	close(p.fd);
	guest_udp_send(g, p.gport, &g->gw, p.port, "too early", 9);
	free(guest_icmp_error(g, 3, SOON));
	p.fd = host_udp(LO, &p.port);
	assert_true(p.fd >= 0);
	up_one(&p, "in time", 7);
	down_one(&p, "yes", 3);
	close(p.fd);
}

/* ---- another host ---- */

static void
need_peer(void)
{
	smoke_need_net();
	if (peer.fd < 0) {
		print_message("skipped: no peer network\n");
		skip();
	}
}

static void
datagrams_reach_another_host(void **state)
{
	struct pkt_addr far = pkt_addr(PEER), from;
	uint16_t port = 7000, gport = guest_port(smoke.g), from_port;
	struct sockaddr_storage ss;
	struct guest_frame *f;
	char buf[16];
	int fd;

	need_peer();
	fd = netns_socket(&peer, AF_INET, SOCK_DGRAM, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&ss, pkt_sockaddr(&far, port, &ss)), 0);
	guest_udp_send(smoke.g, gport, &far, port, "far", 3);
	assert_int_equal(host_recv_from(smoke.g, fd, buf, sizeof(buf), &from, &from_port, SOON), 3);
	assert_string_equal(pkt_addr_text(&from), "192.0.2.1");
	assert_int_equal(host_send_to(fd, "192.0.2.1", from_port, "near", 4), 0);
	f = guest_udp_recv(smoke.g, gport, SOON);
	assert_non_null(f);
	assert_true(pkt_addr_eq(&f->view.src, &far));
	free(f);
	close(fd);
}

static void
dead_router_hop_is_told_with_its_address(void **state)
{
	struct pkt_addr far = pkt_addr("198.51.100.9");
	struct guest_frame *f;

	need_peer();
	guest_udp_send(smoke.g, guest_port(smoke.g), &far, 33434, "hop", 3);
	f = guest_icmp_error(smoke.g, 3, SOON);
	assert_non_null(f);
	assert_int_equal(f->view.icmp_code, 1);
	assert_string_equal(pkt_addr_text(&f->view.src), PEER);
	assert_memory_equal(f->view.data + 16, far.b, 4);
	free(f);
}

static void
port_that_a_firewall_refuses_is_told_with_its_address(void **state)
{
	struct pkt_addr far = pkt_addr("198.51.100.1"), near = pkt_addr("192.0.2.1"), from;
	struct pkt_ip ip = { .src = near, .dst = far };
	uint16_t port = 7001, gport = guest_port(smoke.g), from_port;
	uint8_t f[128], icmp[8 + 28] = { 3, 3 };
	struct sockaddr_storage ss;
	struct guest_frame *r;
	char buf[16];
	int fd, raw;

	need_peer();
	assert_int_equal(netns_run(&peer, "ip addr add 198.51.100.1/32 dev lo"), 0);
	fd = netns_socket(&peer, AF_INET, SOCK_DGRAM, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&ss, pkt_sockaddr(&far, port, &ss)), 0);
	guest_udp_send(smoke.g, gport, &far, port, "open?", 5);
	assert_int_equal(host_recv_from(smoke.g, fd, buf, sizeof(buf), &from, &from_port, SOON), 5);
	/* The router answers in its stead, from its own address. */
	pkt_build_udp(f, &ip, from_port, port, "open?", 5);
	memcpy(icmp + 8, f + 14, 28);
	pkt_put16(icmp + 2, pkt_sum_fold(pkt_sum(icmp, sizeof(icmp), 0)));
	raw = netns_socket(&peer, AF_INET, SOCK_RAW, IPPROTO_ICMP);
	assert_true(raw >= 0);
	assert_int_equal(sendto(raw, icmp, sizeof(icmp), 0, (struct sockaddr *)&ss,
				 pkt_sockaddr(&near, 0, &ss)),
		sizeof(icmp));
	r = guest_icmp_error(smoke.g, 3, SOON);
	assert_non_null(r);
	assert_int_equal(r->view.icmp_code, 3);
	assert_string_equal(pkt_addr_text(&r->view.src), PEER);
	assert_memory_equal(r->view.data + 16, far.b, 4);
	free(r);
	close(raw);
	close(fd);
}

static void
ttl_that_runs_out_is_told_with_the_routers_address(void **state)
{
	struct guest *g = smoke.g;
	struct pkt_addr far = pkt_addr("198.18.0.9");
	struct pkt_ip ip = guest_ip(g, &far);
	struct guest_frame *r;
	uint8_t f[128];

	need_peer();
	ip.ttl = 1;
	guest_send(g, f, pkt_build_udp(f, &ip, guest_port(g), 33435, "trace", 5));
	r = guest_icmp_error(g, 11, SOON);
	assert_non_null(r);
	assert_string_equal(pkt_addr_text(&r->view.src), PEER);
	free(r);
}

static int
up(void **state)
{
	static const char *const args[] = { "--vm", "a,socket=%d/a.sock,loopback=gateway", NULL };
	int rc = smoke_up(args);

	if (rc == 0 && smoke.net &&
		netns_peer(&peer, 0, "192.0.2.1/24", PEER "/24", NULL, NULL) == 0) {
		netns_run(NULL,
			"ip route add 198.51.100.0/24 via " PEER
			"; ip route add 198.18.0.0/24 via " PEER);
		netns_run(&peer,
			"echo 1 > /proc/sys/net/ipv4/ip_forward;"
			"ip route add unreachable 198.51.100.0/24;"
			"ip route add 198.18.0.0/24 via 192.0.2.1");
	}
	return rc;
}

static int
down(void **state)
{
	netns_close(&peer);
	return smoke_down(state);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		SMOKE(datagrams_go_both_ways_over_ipv4),
		SMOKE(datagrams_go_both_ways_over_ipv6),
		SMOKE(sizes_from_nothing_to_the_mtu),
		SMOKE(checksum_left_to_the_device),
		SMOKE(datagram_split_over_descriptors),
		SMOKE(flow_keeps_its_host_port),
		SMOKE(two_ports_of_the_guest_are_two_flows),
		SMOKE(burst_keeps_order_and_boundaries),
		SMOKE(burst_to_the_guest_keeps_order_and_boundaries),
		SMOKE(datagram_larger_than_the_mtu_does_no_harm),
		SMOKE(closed_port_is_told_by_icmp),
		SMOKE(closed_port_is_told_by_icmpv6),
		SMOKE(error_quotes_the_datagram_byte_for_byte),
		SMOKE(flow_lives_on_after_an_error),
		SMOKE(datagrams_reach_another_host),
		SMOKE(dead_router_hop_is_told_with_its_address),
		SMOKE(port_that_a_firewall_refuses_is_told_with_its_address),
		SMOKE(ttl_that_runs_out_is_told_with_the_routers_address),
	};

	return cmocka_run_group_tests_name("conf_udp", tests, up, down);
}
