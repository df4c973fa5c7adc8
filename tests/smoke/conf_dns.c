/* SPDX-License-Identifier: BSD-3-Clause */
/* Resolvers: told to the guest, and reached through the gateway's port 53. */
#include "smoke.h"

#define QUERY "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\4weir\4test\0\0\1\0\1"

static int udp53 = -1, tcp53 = -1;

static void
need_resolver(void)
{
	smoke_need_net();
	assert_true(udp53 >= 0 && tcp53 >= 0);
}

static void
asked_by_udp(bool v6)
{
	struct guest *g = smoke.g;
	uint16_t gport = guest_port(g), from_port;
	struct guest_frame *f;
	struct pkt_addr from;
	char buf[64];

	need_resolver();
	guest_udp_send(g, gport, v6 ? &g->gw6 : &g->gw, 53, QUERY, sizeof(QUERY) - 1);
	assert_int_equal(host_recv_from(g, udp53, buf, sizeof(buf), &from, &from_port, SOON),
		sizeof(QUERY) - 1);
	assert_memory_equal(buf, QUERY, sizeof(QUERY) - 1);
	buf[2] |= (char)0x80;
	assert_int_equal(
		host_send_to(udp53, pkt_addr_text(&from), from_port, buf, sizeof(QUERY) - 1), 0);
	f = guest_udp_recv(g, gport, SOON);
	assert_non_null(f);
	assert_int_equal(f->view.sport, 53);
	assert_true(pkt_addr_eq(&f->view.src, v6 ? &g->gw6 : &g->gw));
	assert_true(f->view.data[2] & 0x80);
	free(f);
}

static void
query_to_the_gateway_reaches_the_resolver(void **state)
{
	asked_by_udp(false);
}

static void
query_to_the_gateway_over_ipv6_reaches_the_resolver(void **state)
{
	asked_by_udp(true);
}

static void
query_over_tcp_reaches_the_resolver(void **state)
{
	struct smoke_conn k = { .listener = -1 };

	need_resolver();
	k.c = gtcp_open(smoke.g, GW, 53);
	assert_non_null(k.c);
	k.fd = host_accept(smoke.g, tcp53, SOON);
	assert_true(k.fd >= 0);
	smoke_echo(smoke.g, &k);
	smoke_drop(&k);
}

static void
many_queries_from_one_port_stay_in_order(void **state)
{
	struct guest *g = smoke.g;
	uint16_t gport = guest_port(g), port;
	struct pkt_addr from;
	char buf[64];

	need_resolver();
	for (char i = 0; i < 20; i++) {
		memcpy(buf, QUERY, sizeof(QUERY));
		buf[1] = i;
		guest_udp_send(g, gport, &g->gw, 53, buf, sizeof(QUERY) - 1);
	}
	for (char i = 0; i < 20; i++) {
		assert_int_equal(host_recv_from(g, udp53, buf, sizeof(buf), &from, &port, SOON),
			sizeof(QUERY) - 1);
		assert_int_equal(buf[1], i);
	}
}

static void
gateway_is_told_as_resolver_when_the_hosts_listens_on_loopback(void **state)
{
	struct guest_frame *f;
	struct dhcp_reply p;
	struct pkt_addr a;

	need_resolver();
	assert_int_equal(guest_dhcp(smoke.g, &p, &f), 0);
	a = dhcp_opt_addr(&p, DHCP_OPT_DNS, 0);
	assert_string_equal(pkt_addr_text(&a), GW);
	free(f);
}

static void
search_list_of_the_host_is_told(void **state)
{
	struct guest_frame *f;
	struct dhcp_reply p;
	char text[256];

	need_resolver();
	assert_int_equal(guest_dhcp(smoke.g, &p, &f), 0);
	assert_non_null(p.opt[DHCP_OPT_SEARCH]);
	assert_true(dhcp_search_text(
		p.opt[DHCP_OPT_SEARCH], p.opt_len[DHCP_OPT_SEARCH], text, sizeof(text)));
	assert_string_equal(text, "corp.example lab.example");
	free(f);
}

static void
other_ports_of_the_gateway_are_not_the_hosts(void **state)
{
	struct pkt_addr gw = smoke.g->gw;
	struct gtcp *c;
	uint16_t port = 0;
	int fd = host_tcp_listen(LO, &port);

	/* This VM has no loopback address: nothing but port 53 leads to the host. */
	c = gtcp_new(smoke.g, &gw, port, 0);
	assert_true(gtcp_connect(c, 1000) < 0);
	assert_int_equal(host_accept(smoke.g, fd, 0), -1);
	close(fd);
}

static int
up(void **state)
{
	static const char *const args[] = { "--vm", "a,socket=%d/a.sock", NULL };
	uint16_t port = 53;

	smoke.net = netns_private();
	if (!smoke.net)
		print_message("not root: the host's own network is used\n");
	if (smoke.net) {
		int rc;

		udp53 = host_udp(LO, &port);
		tcp53 = host_tcp_listen(LO, &port);
		rc = netns_resolv_conf("nameserver 127.0.0.1\nsearch corp.example lab.example\n");
		if (rc < 0) {
			print_error("no resolv.conf of its own: %s\n", strerror(-rc));
			return -1;
		}
	}
	smoke.d = proc_start(args);
	smoke.g = smoke.d != NULL ? smoke_guest("a.sock", NULL) : NULL;
	return smoke.g != NULL ? 0 : -1;
}

static int
down(void **state)
{
	close(udp53);
	close(tcp53);
	return smoke_down(state);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		SMOKE(query_to_the_gateway_reaches_the_resolver),
		SMOKE(query_to_the_gateway_over_ipv6_reaches_the_resolver),
		SMOKE(query_over_tcp_reaches_the_resolver),
		SMOKE(many_queries_from_one_port_stay_in_order),
		SMOKE(gateway_is_told_as_resolver_when_the_hosts_listens_on_loopback),
		SMOKE(search_list_of_the_host_is_told),
		SMOKE(other_ports_of_the_gateway_are_not_the_hosts),
	};

	return cmocka_run_group_tests_name("conf_dns", tests, up, down);
}
