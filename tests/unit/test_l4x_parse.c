/* SPDX-License-Identifier: BSD-3-Clause */
/* Frames from a guest: what is dropped, under which name, and what is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "l4xkit.h"

static uint8_t frame[PKT_MAX];
static const uint8_t broadcast[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
static const uint8_t data[64] = "the quick brown fox jumps over the lazy dog";

static int
setup(void **state)
{
	*state = l4xkit_create(NULL);
	return 0;
}

static int
teardown(void **state)
{
	l4xkit_destroy(*state);
	return 0;
}

/** A good UDP datagram to far away. */
static size_t
udp4(struct pkt_ip *ip)
{
	*ip = l4xkit_ip("192.0.2.1");
	return pkt_build_udp(frame, ip, 1234, 4321, data, sizeof(data));
}

static size_t
udp6(struct pkt_ip *ip)
{
	*ip = l4xkit_ip("2001:db8::1");
	return pkt_build_udp(frame, ip, 1234, 4321, data, sizeof(data));
}

static void
takes_udp_of_both_families(void **state)
{
	struct l4xkit *k = *state;
	struct pkt_ip ip;
	size_t len = udp4(&ip);

	l4xkit_rx(k, frame, len);
	l4xkit_expect_op(k, L4X_OP_OPEN);
	assert_int_equal(l4xkit_expect_op(k, L4X_OP_DGRAM)->len, sizeof(data));
	len = udp6(&ip);
	l4xkit_rx(k, frame, len);
	l4xkit_expect_op(k, L4X_OP_OPEN);
	assert_int_equal(l4xkit_expect_op(k, L4X_OP_DGRAM)->len, sizeof(data));
	assert_int_equal(l4xkit_counter(k, L4X_COUNT_RX_PKTS), 2);
}

static void
drops_bad_ethernet(void **state)
{
	struct l4xkit *k = *state;
	struct pkt_ip ip;
	size_t len = udp4(&ip);

	l4xkit_expect_drop(k, frame, 13, L4X_DROP_ETH_SHORT);
	frame[6] |= 1;
	l4xkit_expect_drop(k, frame, len, L4X_DROP_ETH_SOURCE);
	memset(frame + 6, 0, 6);
	l4xkit_expect_drop(k, frame, len, L4X_DROP_ETH_SOURCE);
	memcpy(frame + 6, l4xkit_gateway_mac, 6);
	l4xkit_expect_drop(k, frame, len, L4X_DROP_ETH_SOURCE);
	len = udp4(&ip);
	frame[5] ^= 1;
	l4xkit_expect_drop(k, frame, len, L4X_DROP_ETH_NOT_US);
	len = udp4(&ip);
	pkt_put16(frame + 12, 0x88cc);
	l4xkit_expect_drop(k, frame, len, L4X_DROP_ETH_TYPE);
	pkt_put16(frame + 12, 0x8100);
	l4xkit_expect_drop(k, frame, len, L4X_DROP_ETH_TYPE);
	l4xkit_expect_nothing(k);
}

static void
drops_bad_ipv4_headers(void **state)
{
	struct l4xkit *k = *state;
	struct pkt_ip ip;
	size_t len = udp4(&ip);

	frame[14] = 0x65;
	l4xkit_expect_drop(k, frame, len, L4X_DROP_IP_VERSION);
	frame[14] = 0x44;
	l4xkit_expect_drop(k, frame, len, L4X_DROP_IP_SHORT);
	len = udp4(&ip);
	frame[24] ^= 1;
	l4xkit_expect_drop(k, frame, len, L4X_DROP_IP_CHECKSUM);
	len = udp4(&ip);
	pkt_put16(frame + 16, 19);
	l4xkit_expect_drop(k, frame, len, L4X_DROP_IP_SHORT);
	pkt_put16(frame + 16, (uint16_t)(len - 14 + 1));
	pkt_fix_sums(frame, len);
	l4xkit_expect_drop(k, frame, len, L4X_DROP_IP_SHORT);
	ip.ttl_zero = true;
	len = pkt_build_udp(frame, &ip, 1, 2, data, 10);
	l4xkit_expect_drop(k, frame, len, L4X_DROP_IP_TTL);
	ip.ttl_zero = false;
	len = pkt_build_ip(frame, &ip, 132, data, 20);
	l4xkit_expect_drop(k, frame, len, L4X_DROP_IP_PROTO);
	/* RFC 1122, 3.2.2.1: who asks for a protocol that is not there hears of it. */
	l4xkit_expect_frame(k);
	assert_int_equal(k->view.icmp_type, 3);
	assert_int_equal(k->view.icmp_code, 2);
	l4xkit_expect_nothing(k);
}

static void
takes_well_formed_ipv4_options(void **state)
{
	/* Record route, no-operation, router alert, end. */
	static const uint8_t options[] = { 7, 7, 4, 0, 0, 0, 0, 1, 148, 4, 0, 0, 0, 0, 0, 0 };
	struct l4xkit *k = *state;
	struct pkt_ip ip = l4xkit_ip("192.0.2.1");
	size_t len;

	ip.options = options;
	ip.options_len = sizeof(options);
	len = pkt_build_udp(frame, &ip, 1234, 4321, data, sizeof(data));
	l4xkit_rx(k, frame, len);
	l4xkit_expect_op(k, L4X_OP_OPEN);
	assert_memory_equal(l4xkit_expect_op(k, L4X_OP_DGRAM)->data, data, sizeof(data));
}

static void
option_case(struct l4xkit *k, const uint8_t *options, size_t n, uint8_t type, uint8_t code)
{
	struct pkt_ip ip = l4xkit_ip("192.0.2.1");
	size_t len;

	ip.options = options;
	ip.options_len = n;
	len = pkt_build_udp(frame, &ip, 1234, 4321, data, sizeof(data));
	l4xkit_expect_drop(k, frame, len, L4X_DROP_IP_OPTION);
	l4xkit_expect_frame(k);
	assert_int_equal(k->view.icmp_type, type);
	assert_int_equal(k->view.icmp_code, code);
	assert_memory_equal(k->view.data, frame + 14, k->view.data_len);
	l4xkit_expect_nothing(k);
}

static void
refuses_bad_ipv4_options_with_an_icmp_error(void **state)
{
	struct l4xkit *k = *state;

	option_case(k, (const uint8_t[]){ 7, 0, 0, 0 }, 4, 12, 0);
	option_case(k, (const uint8_t[]){ 7, 1, 0, 0 }, 4, 12, 0);
	option_case(k, (const uint8_t[]){ 7, 5, 0, 0 }, 4, 12, 0);
	option_case(k, (const uint8_t[]){ 1, 1, 1, 7 }, 4, 12, 0);
	option_case(k, (const uint8_t[]){ 131, 7, 4, 10, 0, 0, 1, 0 }, 8, 3, 5);
	option_case(k, (const uint8_t[]){ 1, 137, 7, 4, 10, 0, 0, 1 }, 8, 3, 5);
}

static void
points_at_the_bad_ipv4_option(void **state)
{
	static const uint8_t options[] = { 1, 1, 7, 99 };
	struct l4xkit *k = *state;

	option_case(k, options, sizeof(options), 12, 0);
	assert_int_equal(k->view.icmp_rest >> 24, 22);
}

static void
drops_sources_that_a_guest_may_not_use(void **state)
{
	static const char *const v4[] = { "10.0.2.2", "127.0.0.1", "127.255.0.1", "224.0.0.1",
		"239.1.2.3", "255.255.255.255", "0.0.0.0", "0.1.2.3", "10.0.2.255", "10.0.2.0",
		"240.0.0.1", "255.1.2.3", "169.254.7.7" };
	static const char *const v6[] = { "fd00:2::2", "::1", "::ffff:10.0.2.15", "ff02::1",
		"::", "ff0e::1", "fe80::57:45ff:fe49:5201", "fe80::1", "::10.0.2.15" };
	struct l4xkit *k = *state;
	struct pkt_ip ip;
	size_t len;

	for (unsigned int i = 0; i < RTE_DIM(v4); i++) {
		ip = l4xkit_ip("192.0.2.1");
		ip.src = pkt_addr(v4[i]);
		len = pkt_build_udp(frame, &ip, 1, 2, data, 10);
		l4xkit_expect_drop(k, frame, len, L4X_DROP_IP_SOURCE);
	}
	for (unsigned int i = 0; i < RTE_DIM(v6); i++) {
		ip = l4xkit_ip("2001:db8::1");
		ip.src = pkt_addr(v6[i]);
		len = pkt_build_udp(frame, &ip, 1, 2, data, 10);
		l4xkit_expect_drop(k, frame, len, L4X_DROP_IP_SOURCE);
	}
	l4xkit_expect_nothing(k);
}

static void
takes_sources_of_the_link_only_on_the_link(void **state)
{
	static const char *const src[] = { "169.254.7.7", "fe80::7" };
	static const char *const dst[] = { "10.0.2.2", "fd00:2::2" };
	struct l4xkit *k = *state;
	size_t len;

	for (unsigned int i = 0; i < 2; i++) {
		struct pkt_ip ip = l4xkit_ip(dst[i]);

		ip.src = pkt_addr(src[i]);
		len = pkt_build_icmp(frame, &ip, i == 0 ? 8 : 128, 0, 0x00010001, data, 10);
		l4xkit_rx(k, frame, len);
		l4xkit_expect_frame(k);
		assert_string_equal(pkt_addr_text(&k->view.dst), src[i]);
	}
	l4xkit_expect_nothing(k);
}

static void
drops_destinations_that_must_not_be_on_the_wire(void **state)
{
	struct l4xkit *k = *state;
	struct pkt_ip ip = l4xkit_ip("::ffff:192.0.2.1");
	size_t len = pkt_build_udp(frame, &ip, 1, 2, data, 10);

	l4xkit_expect_drop(k, frame, len, L4X_DROP_IP_DEST);
	ip = l4xkit_ip("::");
	len = pkt_build_udp(frame, &ip, 1, 2, data, 10);
	l4xkit_expect_drop(k, frame, len, L4X_DROP_IP_DEST);
	l4xkit_expect_nothing(k);
}

static void
drops_bad_ipv6_headers(void **state)
{
	struct l4xkit *k = *state;
	struct pkt_ip ip;
	size_t len = udp6(&ip);

	frame[14] = 0x45;
	l4xkit_expect_drop(k, frame, len, L4X_DROP_IP_VERSION);
	len = udp6(&ip);
	pkt_put16(frame + 18, (uint16_t)(len - 54 + 1));
	l4xkit_expect_drop(k, frame, len, L4X_DROP_IP_SHORT);
	ip.ttl_zero = true;
	len = pkt_build_udp(frame, &ip, 1, 2, data, 10);
	l4xkit_expect_drop(k, frame, len, L4X_DROP_IP_TTL);
	l4xkit_expect_nothing(k);
}

/** Feed a datagram behind these extension headers. */
static size_t
udp_behind(const char *dst, uint8_t first, const uint8_t *ext, size_t n)
{
	struct pkt_ip ip = l4xkit_ip(dst);

	ip.first_ext = first;
	ip.options = ext;
	ip.options_len = n;
	return pkt_build_udp(frame, &ip, 1234, 4321, data, sizeof(data));
}

static void
takes_datagrams_behind_extension_headers(void **state)
{
	/* Hop-by-hop with PadN; destination options; routing done (segments left 0); atomic
	 * fragment. */
	static const uint8_t ext[] = { 60, 0, 1, 4, 0, 0, 0, 0, 43, 0, 0, 0, 1, 2, 0, 0, 44, 0, 0,
		0, 0, 0, 0, 0, 17, 0, 0, 0, 1, 2, 3, 4 };
	struct l4xkit *k = *state;
	size_t len = udp_behind("2001:db8::1", 0, ext, sizeof(ext));

	l4xkit_rx(k, frame, len);
	l4xkit_expect_op(k, L4X_OP_OPEN);
	assert_memory_equal(l4xkit_expect_op(k, L4X_OP_DGRAM)->data, data, sizeof(data));
}

static void
drops_malformed_extension_headers(void **state)
{
	struct l4xkit *k = *state;
	uint8_t many[9 * 8] = { 0 };
	size_t len;

	/* Longer than the packet. */
	len = udp_behind("2001:db8::1", 60, (const uint8_t[]){ 17, 31, 1, 4, 0, 0, 0, 0 }, 8);
	l4xkit_expect_drop(k, frame, len, L4X_DROP_IP_EXTHDR);
	/* An option longer than its header. */
	len = udp_behind("2001:db8::1", 60, (const uint8_t[]){ 17, 0, 1, 5, 0, 0, 0, 0 }, 8);
	l4xkit_expect_drop(k, frame, len, L4X_DROP_IP_EXTHDR);
	/* An option without its length. */
	len = udp_behind("2001:db8::1", 60, (const uint8_t[]){ 17, 0, 1, 3, 0, 0, 0, 1 }, 8);
	l4xkit_expect_drop(k, frame, len, L4X_DROP_IP_EXTHDR);
	for (unsigned int i = 0; i < 9; i++) {
		many[8 * i] = i == 8 ? 17 : 60;
		many[8 * i + 2] = 1;
		many[8 * i + 3] = 4;
	}
	len = udp_behind("2001:db8::1", 60, many, sizeof(many));
	l4xkit_expect_drop(k, frame, len, L4X_DROP_IP_EXTHDR);
	/* More options than anybody needs. */
	memset(many, 0, sizeof(many));
	many[0] = 17;
	many[1] = 8;
	for (unsigned int i = 2; i + 1 < sizeof(many); i += 2)
		many[i] = 1;
	len = udp_behind("2001:db8::1", 60, many, sizeof(many));
	l4xkit_expect_drop(k, frame, len, L4X_DROP_IP_EXTHDR);
	l4xkit_expect_nothing(k);
}

static void
expect_param_problem(struct l4xkit *k, uint8_t code, uint32_t pointer)
{
	l4xkit_expect_frame(k);
	assert_int_equal(k->view.icmp_type, 4);
	assert_int_equal(k->view.icmp_code, code);
	assert_int_equal(k->view.icmp_rest, pointer);
	assert_memory_equal(k->view.data, frame + 14, k->view.data_len);
	l4xkit_expect_nothing(k);
}

static void
refuses_a_source_route_with_a_parameter_problem(void **state)
{
	static const uint8_t ext[] = { 17, 2, 0, 1, 0, 0, 0, 0, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0,
		0, 0, 0, 0, 0, 0, 9 };
	struct l4xkit *k = *state;
	size_t len = udp_behind("2001:db8::1", 43, ext, sizeof(ext));

	l4xkit_expect_drop(k, frame, len, L4X_DROP_IP_EXTHDR);
	expect_param_problem(k, 0, 42);
}

static void
obeys_the_action_of_unknown_options(void **state)
{
	struct l4xkit *k = *state;
	uint8_t ext[8] = { 17, 0, 0x1e, 4 };
	size_t len = udp_behind("2001:db8::1", 60, ext, 8);

	l4xkit_rx(k, frame, len);
	l4xkit_expect_op(k, L4X_OP_OPEN);
	l4xkit_expect_op(k, L4X_OP_DGRAM);
	ext[2] = 0x5e;
	len = udp_behind("2001:db8::1", 60, ext, 8);
	l4xkit_expect_drop(k, frame, len, L4X_DROP_IP_EXTHDR);
	l4xkit_expect_nothing(k);
	ext[2] = 0x9e;
	len = udp_behind("2001:db8::1", 60, ext, 8);
	l4xkit_expect_drop(k, frame, len, L4X_DROP_IP_EXTHDR);
	expect_param_problem(k, 2, 42);
	ext[2] = 0xde;
	len = udp_behind("ff0e::1", 60, ext, 8);
	l4xkit_expect_drop(k, frame, len, L4X_DROP_IP_EXTHDR);
	l4xkit_expect_nothing(k);
}

static void
answers_unknown_next_headers_but_not_the_empty_one(void **state)
{
	struct l4xkit *k = *state;
	struct pkt_ip ip = l4xkit_ip("2001:db8::1");
	size_t len = pkt_build_ip(frame, &ip, 132, data, 20);

	l4xkit_expect_drop(k, frame, len, L4X_DROP_IP_PROTO);
	expect_param_problem(k, 1, 6);
	len = pkt_build_ip(frame, &ip, 59, data, 20);
	l4xkit_expect_drop(k, frame, len, L4X_DROP_IP_PROTO);
	l4xkit_expect_nothing(k);
	/* Hop-by-hop options anywhere but first. */
	len = udp_behind("2001:db8::1", 60,
		(const uint8_t[]){ 0, 0, 1, 4, 0, 0, 0, 0, 17, 0, 1, 4, 0, 0, 0, 0 }, 16);
	l4xkit_expect_drop(k, frame, len, L4X_DROP_IP_EXTHDR);
	expect_param_problem(k, 1, 40);
}

static void
drops_bad_transport_headers(void **state)
{
	struct l4xkit *k = *state;
	struct pkt_ip ip;
	struct pkt_tcp tcp = { .sport = 1, .dport = 2, .flags = PKT_SYN, .wscale = -1 };
	size_t len = udp4(&ip);

	pkt_put16(frame + 38, 7);
	l4xkit_expect_drop(k, frame, len, L4X_DROP_L4_SHORT);
	pkt_put16(frame + 38, (uint16_t)(len - 34 + 1));
	l4xkit_expect_drop(k, frame, len, L4X_DROP_L4_SHORT);
	len = udp4(&ip);
	frame[len - 1] ^= 1;
	l4xkit_expect_drop(k, frame, len, L4X_DROP_L4_CHECKSUM);
	len = pkt_build_udp(frame, &ip, 0, 2, data, 10);
	l4xkit_expect_drop(k, frame, len, L4X_DROP_L4_PORT);
	len = pkt_build_udp(frame, &ip, 1, 0, data, 10);
	l4xkit_expect_drop(k, frame, len, L4X_DROP_L4_PORT);
	len = pkt_build_tcp(frame, &ip, &tcp, NULL, 0);
	frame[46] = 0x40;
	l4xkit_expect_drop(k, frame, len, L4X_DROP_L4_SHORT);
	frame[46] = 0x60;
	l4xkit_expect_drop(k, frame, len, L4X_DROP_L4_SHORT);
	tcp.sport = 0;
	len = pkt_build_tcp(frame, &ip, &tcp, NULL, 0);
	l4xkit_expect_drop(k, frame, len, L4X_DROP_L4_PORT);
	len = pkt_build_icmp(frame, &ip, 8, 0, 0x00010001, data, 10);
	frame[36] ^= 1;
	l4xkit_expect_drop(k, frame, len, L4X_DROP_L4_CHECKSUM);
	l4xkit_expect_nothing(k);
}

static void
udp_checksum_zero_is_legal_only_over_ipv4(void **state)
{
	struct l4xkit *k = *state;
	struct pkt_ip ip;
	size_t len = udp4(&ip);

	pkt_put16(frame + 40, 0);
	l4xkit_rx(k, frame, len);
	l4xkit_expect_op(k, L4X_OP_OPEN);
	l4xkit_expect_op(k, L4X_OP_DGRAM);
	len = udp6(&ip);
	pkt_put16(frame + 60, 0);
	l4xkit_expect_drop(k, frame, len, L4X_DROP_L4_CHECKSUM);
}

static void
trusts_the_checksum_that_the_guest_left_to_the_device(void **state)
{
	struct l4xkit *k = *state;
	struct pkt_ip ip;
	size_t len = udp4(&ip);
	struct rte_mbuf *m;

	frame[40] ^= 0x55;
	m = l4xkit_mbuf(k, frame, (uint32_t)len, 0, 0);
	m->ol_flags |= RTE_MBUF_F_RX_L4_CKSUM_NONE;
	l4xkit_push_mbuf(k, m);
	l4xkit_flush(k);
	l4xkit_expect_op(k, L4X_OP_OPEN);
	l4xkit_expect_op(k, L4X_OP_DGRAM);
}

static void
verifies_checksums_over_odd_segments(void **state)
{
	static uint8_t big[1401];
	struct l4xkit *k = *state;
	struct pkt_ip ip = l4xkit_ip("192.0.2.1");
	size_t len;

	for (size_t i = 0; i < sizeof(big); i++)
		big[i] = (uint8_t)(i * 7);
	len = pkt_build_udp(frame, &ip, 1234, 4321, big, sizeof(big));
	for (uint32_t seg = 1; seg < 100; seg += 13) {
		l4xkit_push_mbuf(k, l4xkit_mbuf(k, frame, (uint32_t)len, 257, seg));
		l4xkit_flush(k);
		if (seg == 1)
			l4xkit_expect_op(k, L4X_OP_OPEN);
		assert_memory_equal(l4xkit_expect_op(k, L4X_OP_DGRAM)->data, big, sizeof(big));
	}
	frame[len - 1] ^= 1;
	l4xkit_push_mbuf(k, l4xkit_mbuf(k, frame, (uint32_t)len, 257, 33));
	l4xkit_flush(k);
	assert_int_equal(l4xkit_counter(k, L4X_DROP_L4_CHECKSUM), 1);
}

static void
ignores_padding(void **state)
{
	struct l4xkit *k = *state;
	struct pkt_ip ip = l4xkit_ip("192.0.2.1");
	size_t len = pkt_build_udp(frame, &ip, 1234, 4321, data, 3);

	memset(frame + len, 0xaa, 60 - len);
	l4xkit_rx(k, frame, 60);
	l4xkit_expect_op(k, L4X_OP_OPEN);
	assert_int_equal(l4xkit_expect_op(k, L4X_OP_DGRAM)->len, 3);
	/* Also when it lies in segments of its own. */
	l4xkit_push_mbuf(k, l4xkit_mbuf(k, frame, 60, (uint32_t)len - 1, 4));
	l4xkit_flush(k);
	assert_memory_equal(l4xkit_expect_op(k, L4X_OP_DGRAM)->data, data, 3);
}

static void
drops_a_family_that_is_off(void **state)
{
	struct l4xkit *k = *state;
	struct pkt_ip ip;
	size_t len;

	k->conf.ipv4 = false;
	assert_int_equal(l4x_port_set(k->l, &k->conf), 0);
	len = udp4(&ip);
	l4xkit_expect_drop(k, frame, len, L4X_DROP_ETH_TYPE);
	k->conf.ipv4 = true;
	k->conf.ipv6 = false;
	assert_int_equal(l4x_port_set(k->l, &k->conf), 0);
	len = udp6(&ip);
	l4xkit_expect_drop(k, frame, len, L4X_DROP_ETH_TYPE);
}

static void
answers_to_the_mac_that_the_guest_shows(void **state)
{
	static const uint8_t other[6] = { 0x52, 0x54, 0, 1, 2, 3 };
	struct l4xkit *k = *state;
	struct pkt_ip ip = l4xkit_ip("10.0.2.2");
	size_t len;

	memcpy(ip.src_mac, other, 6);
	len = pkt_build_icmp(frame, &ip, 8, 0, 0x00010001, data, 10);
	l4xkit_rx(k, frame, len);
	l4xkit_expect_frame(k);
	assert_memory_equal(k->view.dst_mac, other, 6);
	assert_memory_equal(k->view.src_mac, l4xkit_gateway_mac, 6);
}

static void
sends_no_errors_to_who_cannot_have_sent_the_packet(void **state)
{
	static const char *const src[] = { "0.0.0.0", "0.1.2.3", "127.0.0.1", "224.0.0.1",
		"240.0.0.1", "255.255.255.255", "10.0.2.255", "10.0.2.0", "10.0.2.2", "::", "::1",
		"::10.0.2.15", "ff02::1", "fd00:2::2" };
	struct l4xkit *k = *state;

	for (unsigned int i = 0; i < RTE_DIM(src); i++) {
		struct pkt_ip ip = l4xkit_ip(strchr(src[i], ':') ? "2001:db8::1" : "192.0.2.1");

		ip.src = pkt_addr(src[i]);
		l4xkit_rx(k, frame, pkt_build_ip(frame, &ip, 200, data, 20));
		ip.options = (const uint8_t[]){ 17, 0, 0x9e, 4, 0, 0, 0, 0 };
		ip.options_len = 8;
		ip.first_ext = 60;
		l4xkit_rx(k, frame, pkt_build_udp(frame, &ip, 1, 2, data, 20));
		l4xkit_expect_nothing(k);
	}
	assert_int_equal(l4xkit_counter(k, L4X_COUNT_ICMP_ERRORS), 0);
}

static void
sends_no_errors_about_an_icmpv6_error_whatever_is_in_front_of_it(void **state)
{
	/* An unknown option with action 2, twice; then behind an atomic fragment header. */
	uint8_t ext[] = { 60, 0, 0x9e, 4, 0, 0, 0, 0, 58, 0, 0x9e, 4, 0, 0, 0, 0 };
	uint8_t atomic[] = { 60, 0, 0, 0, 0, 0, 0, 7, 58, 0, 0x9e, 4, 0, 0, 0, 0 };
	struct pkt_ip ip = l4xkit_ip("2001:db8::1");
	struct l4xkit *k = *state;
	size_t len;

	ip.options_len = sizeof(ext);
	for (unsigned int i = 0; i < 2; i++) {
		ip.options = i == 0 ? ext : atomic;
		ip.first_ext = i == 0 ? 60 : 44;
		len = pkt_build_icmp(frame, &ip, 1, 4, 0, data, 48);
		l4xkit_expect_drop(k, frame, len, L4X_DROP_IP_EXTHDR);
		l4xkit_expect_nothing(k);
		/* One whose type is cut off, and a query. */
		len = pkt_build_ip(frame, &ip, 58, data, 0);
		l4xkit_expect_drop(k, frame, len, L4X_DROP_IP_EXTHDR);
		l4xkit_expect_nothing(k);
		len = pkt_build_icmp(frame, &ip, 128, 0, 0, data, 48);
		l4xkit_expect_drop(k, frame, len, L4X_DROP_IP_EXTHDR);
		expect_param_problem(k, 2, i == 0 ? 42 : 50);
	}
}

static void
sends_no_errors_about_broadcasts_and_errors(void **state)
{
	struct l4xkit *k = *state;
	struct pkt_ip ip = l4xkit_ip("10.0.2.77");
	size_t len;

	memcpy(ip.dst_mac, broadcast, 6);
	len = pkt_build_udp(frame, &ip, 1, 2, data, 10);
	l4xkit_expect_drop(k, frame, len, L4X_DROP_IP_DEST);
	ip = l4xkit_ip("10.0.2.255");
	len = pkt_build_udp(frame, &ip, 1, 2, data, 10);
	l4xkit_expect_drop(k, frame, len, L4X_DROP_IP_DEST);
	ip = l4xkit_ip("224.0.0.251");
	len = pkt_build_udp(frame, &ip, 1, 2, data, 10);
	l4xkit_expect_drop(k, frame, len, L4X_DROP_IP_DEST);
	ip = l4xkit_ip("ff02::fb");
	len = pkt_build_udp(frame, &ip, 1, 2, data, 10);
	l4xkit_expect_drop(k, frame, len, L4X_DROP_IP_DEST);
	ip = l4xkit_ip("192.0.2.1");
	ip.options = (const uint8_t[]){ 131, 3, 4, 0 };
	ip.options_len = 4;
	len = pkt_build_icmp(frame, &ip, 3, 1, 0, data, 40);
	l4xkit_expect_drop(k, frame, len, L4X_DROP_IP_OPTION);
	l4xkit_expect_nothing(k);
}

/** Every sample frame that the loops below spoil. @return its length, 0: no more */
static size_t
sample(unsigned int i)
{
	static const uint8_t ext[] = { 60, 0, 1, 4, 0, 0, 0, 0, 17, 0, 1, 4, 0, 0, 0, 0 };
	static const uint8_t frag[] = { 17, 0, 0, 1, 1, 2, 3, 4 };
	static const uint8_t options[] = { 7, 7, 4, 0, 0, 0, 0, 0 };
	struct pkt_tcp tcp = { .sport = 1, .dport = 2, .flags = PKT_SYN, .wscale = 7, .mss = 1460 };
	struct pkt_addr a4 = pkt_addr("10.0.2.15"), g4 = pkt_addr("10.0.2.2");
	struct pkt_addr a6 = pkt_addr("fd00:2::15"), g6 = pkt_addr("fd00:2::2");
	struct pkt_ip ip = l4xkit_ip("192.0.2.1");

	switch (i) {
	case 0:
		return udp4(&ip);
	case 1:
		return udp6(&ip);
	case 2:
		return pkt_build_tcp(frame, &ip, &tcp, NULL, 0);
	case 3:
		return pkt_build_icmp(frame, &ip, 8, 0, 0x00010001, data, 40);
	case 4:
		return udp_behind("2001:db8::1", 0, ext, sizeof(ext));
	case 5:
		return udp_behind("2001:db8::1", 44, frag, sizeof(frag));
	case 6:
		ip.options = options;
		ip.options_len = sizeof(options);
		return pkt_build_udp(frame, &ip, 1, 2, data, 40);
	case 7:
		return pkt_build_arp(frame, broadcast, 1, l4xkit_guest_mac, &a4, broadcast, &g4);
	case 8:
		return pkt_build_ns(frame, l4xkit_guest_mac, &a6, &g6);
	case 9:
		return pkt_build_rs(frame, l4xkit_guest_mac, &a6);
	case 10:
		ip.frag = 0x2000;
		return pkt_build_udp(frame, &ip, 1, 2, data, 40);
	default:
		return 0;
	}
}

static void
survives_frames_cut_at_every_byte(void **state)
{
	struct l4xkit *k = *state;
	size_t len;

	for (unsigned int i = 0; (len = sample(i)) != 0; i++) {
		uint64_t before = l4x_flow_count(k->l);

		for (size_t cut = 1; cut < len; cut++)
			l4xkit_rx(k, frame, cut);
		/* Nothing but a whole frame makes a flow. */
		assert_int_equal(l4x_flow_count(k->l), before);
		l4xkit_discard(k);
		l4xkit_advance(k, 20000000);
		l4xkit_discard(k);
	}
}

static void
survives_headers_split_over_segments(void **state)
{
	struct l4xkit *k = *state;
	size_t len;

	for (unsigned int i = 0; (len = sample(i)) != 0; i++) {
		for (uint32_t head = 1; head < len; head++) {
			l4xkit_push_mbuf(k, l4xkit_mbuf(k, frame, (uint32_t)len, head, 7));
			l4xkit_flush(k);
		}
		l4xkit_discard(k);
	}
}

static void
survives_random_mutations(void **state)
{
	struct l4xkit *k = *state;
	unsigned int seed = 20;
	size_t len;

	k->unchecked = true;
	for (unsigned int round = 0; round < 3000; round++) {
		for (unsigned int i = 0; (len = sample(i)) != 0; i++) {
			unsigned int n = 1 + (unsigned int)rand_r(&seed) % 4;

			for (; n > 0; n--)
				frame[(size_t)rand_r(&seed) % len] = (uint8_t)rand_r(&seed);
			if (rand_r(&seed) % 2 == 0)
				pkt_put16(frame + 24, 0);
			/* Half of them with checksums that fit, to come further in. */
			if (rand_r(&seed) % 2 == 0 && i != 7 && frame[14] >> 4 == (i == 0 ? 4 : 6))
				pkt_fix_sums(frame, len);
			l4xkit_push_mbuf(k, l4xkit_mbuf(k, frame, (uint32_t)len, 0, 0));
			if (rand_r(&seed) % 3 == 0)
				k->burst[k->n_burst - 1]->ol_flags |= RTE_MBUF_F_RX_L4_CKSUM_NONE;
			if (k->n_burst == L4X_BURST)
				l4xkit_flush(k);
		}
		if (k->n_burst > 0)
			l4xkit_flush(k);
		l4xkit_discard(k);
		l4xkit_advance(k, 50000);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(takes_udp_of_both_families),
		T(drops_bad_ethernet),
		T(drops_bad_ipv4_headers),
		T(takes_well_formed_ipv4_options),
		T(refuses_bad_ipv4_options_with_an_icmp_error),
		T(points_at_the_bad_ipv4_option),
		T(drops_sources_that_a_guest_may_not_use),
		T(takes_sources_of_the_link_only_on_the_link),
		T(drops_destinations_that_must_not_be_on_the_wire),
		T(drops_bad_ipv6_headers),
		T(takes_datagrams_behind_extension_headers),
		T(drops_malformed_extension_headers),
		T(refuses_a_source_route_with_a_parameter_problem),
		T(obeys_the_action_of_unknown_options),
		T(answers_unknown_next_headers_but_not_the_empty_one),
		T(drops_bad_transport_headers),
		T(udp_checksum_zero_is_legal_only_over_ipv4),
		T(trusts_the_checksum_that_the_guest_left_to_the_device),
		T(verifies_checksums_over_odd_segments),
		T(ignores_padding),
		T(drops_a_family_that_is_off),
		T(answers_to_the_mac_that_the_guest_shows),
		T(sends_no_errors_to_who_cannot_have_sent_the_packet),
		T(sends_no_errors_about_an_icmpv6_error_whatever_is_in_front_of_it),
		T(sends_no_errors_about_broadcasts_and_errors),
		T(survives_frames_cut_at_every_byte),
		T(survives_headers_split_over_segments),
		T(survives_random_mutations),
	};

	l4xkit_eal("l4x_parse");
	return cmocka_run_group_tests_name("l4x_parse", tests, NULL, NULL);
}
