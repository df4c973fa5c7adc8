/* SPDX-License-Identifier: BSD-3-Clause */
/* ICMP and ICMPv6 echo, and what else a guest may send. */
#include "smoke.h"

#define PEER "192.0.2.2"
#define PEER6 "2001:db8:1::2"

static struct netns peer = { .fd = -1 };

static void
need_peer(void)
{
	smoke_need_net();
	if (peer.fd < 0) {
		print_message("skipped: no peer network\n");
		skip();
	}
}

static bool
is_icmp(const struct pkt_view *v, void *arg)
{
	return v->proto == IPPROTO_ICMP ||
		(v->proto == IPPROTO_ICMPV6 && (v->icmp_type < 133 || v->icmp_type > 137));
}

static void
pinged(const char *addr, uint16_t id, uint16_t seq, size_t len)
{
	struct pkt_addr to = pkt_addr(addr);
	uint8_t data[1472];
	int rc;

	host_fill(1, id, data, len);
	rc = guest_ping(smoke.g, &to, id, seq, data, len, SOON);
	if (rc != 0)
		fail_msg("ping %s id %u seq %u len %zu: %s %s", addr, id, seq, len, strerror(-rc),
			guest_error(smoke.g) != NULL ? guest_error(smoke.g) : "");
}

static void
gateway_answers_echo(void **state)
{
	pinged(GW, 1, 1, 56);
}

static void
gateway_answers_echo_over_ipv6(void **state)
{
	pinged(GW6, 1, 1, 56);
}

static void
link_local_gateway_answers_echo(void **state)
{
	struct guest *g = smoke.g;

	pinged(pkt_addr_text(&(struct pkt_addr){ 16,
		       { 0xfe, 0x80, 0, 0, 0, 0, 0, 0, g->gw_mac[0] ^ 2, g->gw_mac[1], g->gw_mac[2],
			       0xff, 0xfe, g->gw_mac[3], g->gw_mac[4], g->gw_mac[5] } }),
		3, 4, 20);
}

static void
echo_of_any_size_is_answered(void **state)
{
	static const size_t sizes[] = { 0, 1, 3, 8, 63, 64, 214, 215, 216, 500, 1000, 1451, 1452 };

	for (unsigned int i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		pinged(GW, 2, (uint16_t)i, sizes[i]);
		pinged(GW6, 2, (uint16_t)i, sizes[i]);
	}
	pinged(GW, 2, 99, 1472);
}

static void
another_host_answers_echo(void **state)
{
	need_peer();
	pinged(PEER, 77, 1, 56);
}

static void
another_host_answers_echo_over_ipv6(void **state)
{
	need_peer();
	pinged(PEER6, 77, 1, 56);
}

static void
id_and_sequence_are_kept(void **state)
{
	need_peer();
	for (uint16_t i = 0; i < 5; i++) {
		pinged(PEER, (uint16_t)(500 + i), (uint16_t)(65533 + i), 10);
		pinged(PEER6, (uint16_t)(500 + i), (uint16_t)(65533 + i), 10);
	}
	pinged(PEER, 0, 0, 10);
	pinged(PEER, 0xffff, 0xffff, 10);
}

static void
interleaved_ids_stay_apart(void **state)
{
	need_peer();
	for (uint16_t seq = 0; seq < 4; seq++)
		for (uint16_t id = 900; id < 904; id++)
			pinged(PEER, id, seq, 30);
}

static void
large_echo_to_another_host(void **state)
{
	need_peer();
	pinged(PEER, 5, 1, 1472);
	pinged(PEER6, 5, 1, 1452);
}

static void
host_loopback_answers_echo_where_it_is_given(void **state)
{
	pinged(GW, 8, 8, 32);
}

static void
unreachable_host_is_told(void **state)
{
	struct pkt_addr far = pkt_addr("203.0.113.5");
	struct guest *g = smoke.g;
	struct pkt_ip ip = guest_ip(g, &far);
	struct guest_frame *r;
	uint8_t f[128];

	smoke_need_net();
	guest_send(g, f, pkt_build_icmp(f, &ip, 8, 0, 0x00070001, "lost", 4));
	r = guest_icmp_error(g, 3, SOON);
	assert_non_null(r);
	assert_memory_equal(r->view.data + 16, far.b, 4);
	assert_int_equal(r->view.data[20], 8);
	assert_int_equal(pkt_get32(r->view.data + 24), 0x00070001);
	free(r);
}

static void
router_error_reaches_the_guest(void **state)
{
	struct pkt_addr far = pkt_addr("198.51.100.7");
	struct guest *g = smoke.g;
	struct pkt_ip ip = guest_ip(g, &far);
	struct guest_frame *r;
	uint8_t f[128];

	need_peer();
	guest_send(g, f, pkt_build_icmp(f, &ip, 8, 0, 0x00080001, "lost", 4));
	r = guest_icmp_error(g, 3, SOON);
	assert_non_null(r);
	assert_string_equal(pkt_addr_text(&r->view.src), PEER);
	assert_int_equal(pkt_get32(r->view.data + 24), 0x00080001);
	free(r);
}

static void
ttl_that_runs_out_is_told(void **state)
{
	struct pkt_addr far = pkt_addr("198.18.0.7");
	struct guest *g = smoke.g;
	struct pkt_ip ip = guest_ip(g, &far);
	struct guest_frame *r;
	uint8_t f[128];

	need_peer();
	ip.ttl = 1;
	guest_send(g, f, pkt_build_icmp(f, &ip, 8, 0, 0x00090001, "hop", 3));
	r = guest_icmp_error(g, 11, SOON);
	assert_non_null(r);
	assert_string_equal(pkt_addr_text(&r->view.src), PEER);
	free(r);
}

static void
quiet(const char *to, uint8_t type, uint8_t code, size_t spoil)
{
	struct pkt_addr dst = pkt_addr(to);
	struct guest *g = smoke.g;
	struct pkt_ip ip = guest_ip(g, &dst);
	uint8_t f[256], body[64] = { 0x45 };
	size_t len = pkt_build_icmp(f, &ip, type, code, 0x00010001, body, sizeof(body));

	if (spoil != 0)
		f[spoil] ^= 0x40;
	guest_send_raw(g, NULL, f, len);
	assert_true(guest_never(g, is_icmp, NULL, NEVER));
}

static void
wrong_checksum_is_not_answered(void **state)
{
	quiet(GW, 8, 0, 45);
	quiet(GW6, 128, 0, 65);
}

static void
reply_that_nobody_asked_for_is_dropped(void **state)
{
	quiet(GW, 0, 0, 0);
	quiet(GW6, 129, 0, 0);
}

static void
errors_of_a_guest_are_not_answered(void **state)
{
	quiet(GW, 3, 3, 0);
	quiet(GW, 11, 0, 0);
	quiet(GW6, 1, 4, 0);
}

static void
other_types_are_not_answered(void **state)
{
	static const uint8_t types[] = { 4, 5, 9, 10, 13, 15, 17, 40, 255 };

	for (unsigned int i = 0; i < sizeof(types); i++)
		quiet(GW, types[i], 0, 0);
	quiet(GW6, 130, 0, 0);
	quiet(GW6, 138, 0, 0);
}

static void
echo_to_a_group_is_not_answered(void **state)
{
	quiet("224.0.0.1", 8, 0, 0);
	quiet("255.255.255.255", 8, 0, 0);
	quiet("10.0.2.255", 8, 0, 0);
}

static void
echo_cut_short_is_not_answered(void **state)
{
	struct guest *g = smoke.g;
	struct pkt_ip ip = guest_ip(g, &g->gw);
	uint8_t f[128];

	for (size_t len = 0; len < 8; len++) {
		uint8_t body[8] = { 8, 0, 0xf7, 0xff };

		guest_send_raw(g, NULL, f, pkt_build_ip(f, &ip, IPPROTO_ICMP, body, len));
	}
	assert_true(guest_never(g, is_icmp, NULL, NEVER));
}

static int
up(void **state)
{
	static const char *const args[] = { "--vm", "a,socket=%d/a.sock,loopback=gateway", NULL };
	int rc = smoke_up(args);

	if (rc == 0 && smoke.net &&
		netns_peer(&peer, 0, "192.0.2.1/24", PEER "/24", "2001:db8:1::1/64", PEER6 "/64") ==
			0) {
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
		SMOKE(gateway_answers_echo),
		SMOKE(gateway_answers_echo_over_ipv6),
		SMOKE(link_local_gateway_answers_echo),
		SMOKE(echo_of_any_size_is_answered),
		SMOKE(another_host_answers_echo),
		SMOKE(another_host_answers_echo_over_ipv6),
		SMOKE(id_and_sequence_are_kept),
		SMOKE(interleaved_ids_stay_apart),
		SMOKE(large_echo_to_another_host),
		SMOKE(host_loopback_answers_echo_where_it_is_given),
		SMOKE(unreachable_host_is_told),
		SMOKE(router_error_reaches_the_guest),
		SMOKE(ttl_that_runs_out_is_told),
		SMOKE(wrong_checksum_is_not_answered),
		SMOKE(reply_that_nobody_asked_for_is_dropped),
		SMOKE(errors_of_a_guest_are_not_answered),
		SMOKE(other_types_are_not_answered),
		SMOKE(echo_to_a_group_is_not_answered),
		SMOKE(echo_cut_short_is_not_answered),
	};

	return cmocka_run_group_tests_name("conf_icmp", tests, up, down);
}
