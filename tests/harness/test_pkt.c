/* SPDX-License-Identifier: BSD-3-Clause */
/* The oracle against published vectors, and against frames that are wrong in one thing each. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "dhcp.h"
#include "pkt.h"

static const uint8_t mac_a[6] = { 0x52, 0x54, 0, 0, 0, 1 }, mac_b[6] = { 0x52, 0x54, 0, 0, 0, 2 };

static struct pkt_ip
ip_of(const char *src, const char *dst)
{
	struct pkt_ip ip = { .src = pkt_addr(src), .dst = pkt_addr(dst) };

	memcpy(ip.src_mac, mac_a, 6);
	memcpy(ip.dst_mac, mac_b, 6);
	return ip;
}

static const char *
check(const uint8_t *f, size_t len, struct pkt_view *v)
{
	struct pkt_limits lim = { .mtu = 1500 };

	return pkt_check(f, len, NULL, &lim, v);
}

static void
sum_of_rfc_1071(void **state)
{
	static const uint8_t bytes[] = { 0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7 };
	static const uint8_t odd[] = { 0x00, 0x01, 0xf2 };

	assert_int_equal(pkt_sum_fold(pkt_sum(bytes, 8, 0)), 0xffff - 0xddf2);
	assert_int_equal(pkt_sum_fold(pkt_sum(odd, 3, 0)), 0xffff - 0xf201);
}

static void
header_sum_of_a_published_header(void **state)
{
	uint8_t h[] = { 0x45, 0, 0, 0x73, 0, 0, 0x40, 0, 0x40, 0x11, 0, 0, 0xc0, 0xa8, 0, 1, 0xc0,
		0xa8, 0, 0xc7 };

	assert_int_equal(pkt_sum_fold(pkt_sum(h, sizeof(h), 0)), 0xb861);
}

static void
accepts_what_it_builds(void **state)
{
	static const char *pairs[][2] = { { "10.0.2.15", "10.0.2.2" },
		{ "fd00:2::15", "fd00:2::2" } };
	uint8_t f[PKT_MAX];
	struct pkt_view v;

	for (int i = 0; i < 2; i++) {
		struct pkt_ip ip = ip_of(pairs[i][0], pairs[i][1]);
		struct pkt_tcp t = { .sport = 1,
			.dport = 2,
			.seq = 77,
			.flags = PKT_SYN,
			.win = 9,
			.mss = 1460,
			.wscale = 7,
			.sack_ok = true };
		size_t len = pkt_build_tcp(f, &ip, &t, NULL, 0);

		assert_null(check(f, len, &v));
		assert_int_equal(v.tcp.mss, 1460);
		assert_int_equal(v.tcp.wscale, 7);
		assert_int_equal(v.tcp.seq, 77);
		len = pkt_build_udp(f, &ip, 5, 6, "odd", 3);
		assert_null(check(f, len, &v));
		assert_int_equal(v.data_len, 3);
		len = pkt_build_icmp(f, &ip, i == 0 ? 8 : 128, 0, 0x10002, "ping", 4);
		assert_null(check(f, len, &v));
		assert_int_equal(v.icmp_rest, 0x10002);
	}
}

static void
every_single_bit_error_of_a_datagram_is_seen(void **state)
{
	static const char *pairs[][2] = { { "10.0.2.15", "10.0.2.2" },
		{ "fd00:2::15", "fd00:2::2" } };
	uint8_t f[PKT_MAX];
	struct pkt_view v;

	for (int i = 0; i < 2; i++) {
		struct pkt_ip ip = ip_of(pairs[i][0], pairs[i][1]);
		size_t len = pkt_build_udp(f, &ip, 5, 6, "some payload", 12);
		/* MACs carry no checksum; IPv6 covers neither class, flow label nor hop limit. */
		for (size_t bit = 14 * 8; bit < len * 8; bit++) {
			bool uncovered = i == 1 && (bit / 8 < 18 || bit / 8 == 21);

			f[bit / 8] ^= (uint8_t)(1 << bit % 8);
			if (!uncovered)
				assert_non_null(check(f, len, &v));
			f[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
		assert_null(check(f, len, &v));
		for (size_t cut = 0; cut < len; cut++)
			assert_non_null(check(f, cut, &v));
	}
}

static void
partial_checksums_need_the_pseudo_header_sum(void **state)
{
	struct pkt_limits lim = { .csum = true, .tso4 = true };
	struct pkt_ip ip = ip_of("10.0.2.2", "10.0.2.15");
	struct pkt_tcp t = { .sport = 80, .dport = 2, .flags = PKT_ACK, .wscale = -1 };
	static const uint8_t data[4000];
	struct virtio_net_hdr h;
	struct pkt_view v;
	uint8_t f[PKT_MAX];
	size_t len = pkt_build_tcp(f, &ip, &t, data, 1000);

	pkt_make_partial(f, len, &h);
	assert_null(pkt_check(f, len, &h, &lim, &v));
	h.csum_start++;
	assert_non_null(pkt_check(f, len, &h, &lim, &v));
	h.csum_start--;
	f[50] ^= 1;
	assert_non_null(pkt_check(f, len, &h, &lim, &v));
	f[50] ^= 1;
	lim.csum = false;
	assert_non_null(pkt_check(f, len, &h, &lim, &v));
	lim.csum = true;
	len = pkt_build_tcp(f, &ip, &t, data, sizeof(data));
	assert_string_equal(pkt_check(f, len, NULL, &lim, &v), "packet over the MTU");
	pkt_make_tso(f, len, 1448, &h);
	assert_null(pkt_check(f, len, &h, &lim, &v));
	assert_int_equal(v.gso_size, 1448);
	h.gso_size = 1461;
	assert_non_null(pkt_check(f, len, &h, &lim, &v));
	h.gso_size = 1460;
	lim.tso4 = false;
	assert_non_null(pkt_check(f, len, &h, &lim, &v));
}

static void
refuses_impossible_segments(void **state)
{
	static const uint8_t bad_opt[][4] = { { 2, 3, 0, 0 }, { 3, 3, 15, 0 }, { 5, 0, 0, 0 },
		{ 0, 1, 0, 0 }, { 8, 10, 0, 0 } };
	static const uint8_t flags[] = { 0, PKT_SYN | PKT_FIN, PKT_SYN | PKT_RST, PKT_FIN,
		PKT_PSH };
	struct pkt_ip ip = ip_of("10.0.2.2", "10.0.2.15");
	struct pkt_view v;
	uint8_t f[PKT_MAX];

	for (unsigned int i = 0; i < sizeof(flags); i++) {
		struct pkt_tcp t = { .sport = 80, .dport = 2, .flags = flags[i], .wscale = -1 };

		assert_non_null(check(f, pkt_build_tcp(f, &ip, &t, NULL, 0), &v));
	}
	for (unsigned int i = 0; i < 5; i++) {
		struct pkt_tcp t = { .sport = 80,
			.dport = 2,
			.flags = PKT_SYN,
			.wscale = -1,
			.options = bad_opt[i],
			.options_len = 4 };

		assert_non_null(check(f, pkt_build_tcp(f, &ip, &t, NULL, 0), &v));
	}
}

static void
padding_is_zero_and_only_up_to_60_bytes(void **state)
{
	struct pkt_ip ip = ip_of("10.0.2.2", "10.0.2.15");
	struct pkt_view v;
	uint8_t f[PKT_MAX] = { 0 };
	size_t len = pkt_build_udp(f, &ip, 5, 6, "a", 1);

	memset(f + len, 0, 30);
	assert_null(check(f, 60, &v));
	assert_non_null(check(f, 61, &v));
	f[59] = 1;
	assert_non_null(check(f, 60, &v));
}

static void
neighbour_discovery_needs_hop_limit_255(void **state)
{
	struct pkt_addr a = pkt_addr("fd00:2::15"), b = pkt_addr("fd00:2::2");
	struct pkt_view v;
	uint8_t f[PKT_MAX];
	size_t len = pkt_build_ns(f, mac_a, &a, &b);

	assert_null(check(f, len, &v));
	assert_int_equal(v.icmp_type, 135);
	f[21] = 64;
	assert_non_null(check(f, len, &v));
	len = pkt_build_na(f, mac_a, mac_b, &a, &b, &a);
	assert_null(check(f, len, &v));
	f[14 + 40 + 8 + 16 + 1] = 0;
	pkt_fix_sums(f, len);
	assert_non_null(check(f, len, &v));
	assert_string_equal(pkt_addr_text(&(struct pkt_addr){ .len = 0 }), "none");
}

static void
dhcp_options_are_taken_apart_strictly(void **state)
{
	struct dhcp_request r = {
		.type = DHCP_OFFER, .xid = 0x1234, .server = pkt_addr("10.0.2.2")
	};
	uint8_t m[1024] = { 0 };
	struct dhcp_reply reply;
	size_t len = dhcp_build(m, &r);

	m[0] = 2;
	memset(m + len, 0, sizeof(m) - len);
	assert_non_null(dhcp_parse(m, len, &reply));
	assert_null(dhcp_parse(m, 300, &reply));
	assert_int_equal(reply.type, DHCP_OFFER);
	assert_int_equal(reply.xid, 0x1234);
	assert_int_equal(dhcp_opt_u32(&reply, DHCP_OPT_SERVER), 0x0a000202);
	m[241] = 200;
	assert_non_null(dhcp_parse(m, 300, &reply));
	m[241] = 1;
	m[236] = 0;
	assert_non_null(dhcp_parse(m, 300, &reply));
}

static void
search_lists_in_wire_form_become_text(void **state)
{
	static const uint8_t wire[] = "\3lab\7example\0\1a\2bc";
	char out[64];

	assert_true(dhcp_search_text(wire, sizeof(wire), out, sizeof(out)));
	assert_string_equal(out, "lab.example a.bc");
	assert_false(dhcp_search_text(wire, 10, out, sizeof(out)));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sum_of_rfc_1071),
		cmocka_unit_test(header_sum_of_a_published_header),
		cmocka_unit_test(accepts_what_it_builds),
		cmocka_unit_test(every_single_bit_error_of_a_datagram_is_seen),
		cmocka_unit_test(partial_checksums_need_the_pseudo_header_sum),
		cmocka_unit_test(refuses_impossible_segments),
		cmocka_unit_test(padding_is_zero_and_only_up_to_60_bytes),
		cmocka_unit_test(neighbour_discovery_needs_hop_limit_255),
		cmocka_unit_test(dhcp_options_are_taken_apart_strictly),
		cmocka_unit_test(search_lists_in_wire_form_become_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
