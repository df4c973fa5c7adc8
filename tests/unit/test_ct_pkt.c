/* SPDX-License-Identifier: BSD-3-Clause */
/* Packets that the tracker is handed: taken apart by their headers. */
#include "test_ct_pkt_util.h"

static void
takes_tcp_and_udp_of_both_families_apart(void **state)
{
	const struct pkt_ip ips[] = { ip4(), ip6() };

	(void)state;
	for (unsigned int i = 0; i < RTE_DIM(ips); i++) {
		uint16_t l4 = i == 0 ? L3 + 20 : L3 + 40;
		struct flowtab_tuple t;
		struct ct_pkt p;

		assert_int_equal(parse(build_tcp(&ips[i]), &p, &t), 0);
		expect_addrs(&t, &ips[i]);
		expect_ports(&t, IPPROTO_TCP, 1234, 80);
		assert_int_equal(p.v4, i == 0);
		assert_int_equal(p.l4_off, l4);
		assert_int_equal(p.data_off, l4 + 28);
		assert_int_equal(p.l4_len, 28 + sizeof(data));
		assert_int_equal(ct_payload_len(&p), sizeof(data));
		rte_pktmbuf_free(p.m);
		assert_int_equal(parse(build_udp(&ips[i]), &p, &t), 0);
		expect_addrs(&t, &ips[i]);
		expect_ports(&t, IPPROTO_UDP, 1234, 53);
		assert_int_equal(p.data_off, l4 + 8);
		assert_int_equal(ct_payload_len(&p), sizeof(data));
		rte_pktmbuf_free(p.m);
	}
}

static void
takes_ports_of_other_protocols_that_have_them(void **state)
{
	static const uint8_t sctp[12] = { 4, 210, 0, 80 };
	static const uint8_t lite[8] = { 4, 210, 0, 80 };
	static const uint8_t dccp[16] = { 4, 210, 0, 80, 4 };
	const struct pkt_ip ips[] = { ip4(), ip6() };
	struct flowtab_tuple t;
	struct ct_pkt p;

	(void)state;
	for (unsigned int i = 0; i < RTE_DIM(ips); i++) {
		assert_int_equal(parse(build_other(&ips[i], 132, sctp, sizeof(sctp)), &p, &t), 0);
		expect_ports(&t, IPPROTO_SCTP, 1234, 80);
		assert_int_equal(p.data_off - p.l4_off, 12);
		rte_pktmbuf_free(p.m);
		assert_int_equal(parse(build_other(&ips[i], 136, lite, sizeof(lite)), &p, &t), 0);
		expect_ports(&t, IPPROTO_UDPLITE, 1234, 80);
		assert_int_equal(p.data_off - p.l4_off, 8);
		rte_pktmbuf_free(p.m);
		assert_int_equal(parse(build_other(&ips[i], 33, dccp, sizeof(dccp)), &p, &t), 0);
		expect_ports(&t, IPPROTO_DCCP, 1234, 80);
		assert_int_equal(p.data_off - p.l4_off, 16);
		rte_pktmbuf_free(p.m);
	}
}

static void
knows_other_protocols_by_addresses_alone(void **state)
{
	const struct pkt_ip ips[] = { ip4(), ip6() };
	struct flowtab_tuple t;
	struct ct_pkt p;

	(void)state;
	for (unsigned int i = 0; i < RTE_DIM(ips); i++) {
		assert_int_equal(parse(pkt_build_ip(frame, &ips[i], 47, data, 4), &p, &t), 0);
		expect_ports(&t, IPPROTO_GRE, 0, 0);
		expect_addrs(&t, &ips[i]);
		assert_int_equal(p.data_off, p.l4_off);
		assert_int_equal(p.l4_len, 4);
		assert_true(ct_pkt_check(k.ct, &p));
		rte_pktmbuf_free(p.m);
		assert_int_equal(parse(pkt_build_ip(frame, &ips[i], 47, NULL, 0), &p, &t), 0);
		assert_int_equal(p.l4_len, 0);
		assert_true(ct_pkt_check(k.ct, &p));
		rte_pktmbuf_free(p.m);
	}
}

/** @param role 'q' query, 'a' answer, 'e' error, 0 nothing of these */
static void
expect_icmp(const struct pkt_ip *ip, uint8_t type, char role)
{
	struct flowtab_tuple t;
	struct ct_pkt p;
	bool reply = true, id = role == 'q' || role == 'a';

	assert_int_equal(parse(build_icmp(ip, type), &p, &t), 0);
	expect_ports(&t, ip->dst.len == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6, id ? 0x1234 : 0,
		id ? 0x1234 : 0);
	assert_int_equal(t.answer, role == 'a');
	assert_int_equal(ct_pkt_is_icmp_query(&p, &reply), id);
	if (id)
		assert_int_equal(reply, role == 'a');
	assert_int_equal(ct_pkt_is_icmp_error(&p), role == 'e');
	assert_true(ct_pkt_check(k.ct, &p));
	rte_pktmbuf_free(p.m);
}

static void
knows_icmp_queries_answers_and_errors(void **state)
{
	static const char of4[256] = { [0] = 'a',
		[3] = 'e',
		[4] = 'e',
		[5] = 'e',
		[8] = 'q',
		[11] = 'e',
		[12] = 'e',
		[13] = 'q',
		[14] = 'a',
		[15] = 'q',
		[16] = 'a',
		[17] = 'q',
		[18] = 'a' };
	static const char of6[256] = { [128] = 'q', [129] = 'a' };
	struct pkt_ip i4 = ip4(), i6 = ip6();

	(void)state;
	for (unsigned int type = 0; type < 256; type++) {
		expect_icmp(&i4, (uint8_t)type, of4[type]);
		if (type < 133 || type > 137)
			expect_icmp(&i6, (uint8_t)type, type < 128 ? 'e' : of6[type]);
	}
}

static void
nothing_but_icmp_is_an_icmp_message(void **state)
{
	struct pkt_ip ip = ip4();
	struct flowtab_tuple t;
	struct ct_pkt p;
	bool reply;

	(void)state;
	assert_int_equal(parse(build_udp(&ip), &p, &t), 0);
	assert_false(ct_pkt_is_icmp_error(&p));
	assert_false(ct_pkt_is_icmp_query(&p, &reply));
	rte_pktmbuf_free(p.m);
}

static void
neighbour_discovery_and_arp_cannot_be_tracked(void **state)
{
	static const uint8_t mac[6] = { 2, 0, 0, 0, 0, 1 };
	const struct pkt_addr a = pkt_addr("10.0.2.15");
	struct pkt_ip ip = ip6(), i4 = ip4();
	size_t len;

	(void)state;
	for (uint8_t type = 133; type <= 137; type++)
		assert_int_equal(parse_only(build_icmp(&ip, type)), -EPROTONOSUPPORT);
	len = pkt_build_arp(frame, mac, 1, mac, &a, mac, &a);
	assert_int_equal(parse_only(len), -EPROTONOSUPPORT);
	/* ICMP of the other family */
	len = build_icmp(&ip, 128);
	frame[L3 + 6] = IPPROTO_ICMP;
	assert_int_equal(parse_only(len), -EPROTONOSUPPORT);
	len = build_icmp(&i4, 8);
	frame[L3 + 9] = IPPROTO_ICMPV6;
	pkt_fix_sums(frame, len);
	assert_int_equal(parse_only(len), -EPROTONOSUPPORT);
}

static void
follows_ipv4_options(void **state)
{
	static const uint8_t options[40] = { 1, 1, 7, 35, 4 };
	struct pkt_ip ip = ip4();
	struct flowtab_tuple t;
	struct ct_pkt p;

	(void)state;
	ip.options = options;
	for (ip.options_len = 4; ip.options_len <= 40; ip.options_len += 4) {
		assert_int_equal(parse(build_tcp(&ip), &p, &t), 0);
		assert_int_equal(p.l4_off, L3 + 20 + ip.options_len);
		expect_ports(&t, IPPROTO_TCP, 1234, 80);
		assert_true(ct_pkt_check(k.ct, &p));
		rte_pktmbuf_free(p.m);
	}
}

static void
refuses_bad_ipv4_headers(void **state)
{
	struct pkt_ip ip = ip4();
	size_t len = build_udp(&ip);

	(void)state;
	frame[L3 + 8]--; /* TTL, without the checksum */
	assert_int_equal(parse_only(len), -EINVAL);
	build_udp(&ip);
	frame[L3] = 0x44; /* a header of 16 bytes */
	pkt_fix_sums(frame, len);
	assert_int_equal(parse_only(len), -EINVAL);
	build_udp(&ip);
	frame[L3] = 0x54;
	assert_int_equal(parse_only(len), -EPROTONOSUPPORT);
	build_udp(&ip);
	pkt_put16(frame + L3 + 2, (uint16_t)(len - L3 + 1)); /* longer than the frame */
	pkt_fix_sums(frame, len);
	assert_int_equal(parse_only(len), -EINVAL);
	build_udp(&ip);
	pkt_put16(frame + L3 + 2, 19); /* shorter than its header */
	pkt_fix_sums(frame, len);
	assert_int_equal(parse_only(len), -EINVAL);
}

static void
fragments_are_for_others(void **state)
{
	static const uint8_t frag[8] = { IPPROTO_UDP, 0, 0, 1, 1, 2, 3, 4 };
	static const uint8_t later[8] = { IPPROTO_UDP, 0, 0, 8, 1, 2, 3, 4 };
	struct pkt_ip i4 = ip4(), i6 = ip6();

	(void)state;
	i4.frag = 0x2000;
	assert_int_equal(parse_only(build_udp(&i4)), -EAGAIN);
	i4.frag = 0x0001;
	assert_int_equal(parse_only(build_udp(&i4)), -EAGAIN);
	i4.frag = 0x4000;
	assert_int_equal(parse_only(build_udp(&i4)), 0);
	i6.options_len = 8;
	i6.first_ext = 44;
	i6.options = frag;
	assert_int_equal(parse_only(build_udp(&i6)), -EAGAIN);
	i6.options = later;
	assert_int_equal(parse_only(build_udp(&i6)), -EAGAIN);
}

static void
an_atomic_fragment_is_none(void **state)
{
	static const uint8_t frag[16] = { 60, 0, 0, 0, 1, 2, 3, 4, IPPROTO_UDP, 0, 1, 4 };
	struct pkt_ip ip = ip6();
	struct flowtab_tuple t;
	struct ct_pkt p;

	(void)state;
	ip.options_len = 16;
	ip.options = frag;
	ip.first_ext = 44;
	assert_int_equal(parse(build_udp(&ip), &p, &t), 0);
	expect_ports(&t, IPPROTO_UDP, 1234, 53);
	assert_int_equal(p.l4_off, L3 + 56);
	assert_true(ct_pkt_check(k.ct, &p));
	rte_pktmbuf_free(p.m);
}

static void
follows_ipv6_extension_headers(void **state)
{
	static const uint8_t exts[] = {
		43, 0, 1, 4, 0, 0, 0, 0,                         /* hop-by-hop */
		60, 1, 4, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, /* routing, no segments left */
		51, 0, 1, 4, 0, 0, 0, 0,                         /* destination options */
		IPPROTO_TCP, 4, 0, 0, 1, 2, 3, 4, 0, 0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1,
		2, /* AH */
	};
	struct pkt_ip ip = ip6();
	struct flowtab_tuple t;
	struct ct_pkt p;

	(void)state;
	ip.options = exts;
	ip.options_len = sizeof(exts);
	assert_int_equal(parse(build_tcp(&ip), &p, &t), 0);
	expect_ports(&t, IPPROTO_TCP, 1234, 80);
	expect_addrs(&t, &ip);
	assert_int_equal(p.l4_off, L3 + 40 + sizeof(exts));
	assert_true(ct_pkt_check(k.ct, &p));
	rte_pktmbuf_free(p.m);
}

/** n destination options of 8 * (more + 1) bytes each, and UDP. */
static int
parse_exts(unsigned int n, uint8_t more)
{
	size_t each = 8 + 8U * more;
	static uint8_t exts[1024];
	struct pkt_ip ip = ip6();

	for (unsigned int i = 0; i < n; i++) {
		memset(exts + i * each, 0, each);
		exts[i * each] = i + 1 < n ? 60 : IPPROTO_UDP;
		exts[i * each + 1] = more;
	}
	ip.first_ext = 60;
	ip.options = exts;
	ip.options_len = n * each;
	return parse_only(build_udp(&ip));
}

static void
extension_headers_are_bounded_in_number_and_bytes(void **state)
{
	(void)state;
	assert_int_equal(parse_exts(8, 0), 0);
	assert_int_equal(parse_exts(9, 0), -EINVAL);
	assert_int_equal(parse_exts(1, 63), 0);
	assert_int_equal(parse_exts(1, 64), -EINVAL);
	assert_int_equal(parse_exts(2, 31), 0);
	assert_int_equal(parse_exts(2, 32), -EINVAL);
}

static void
refuses_bad_ipv6_headers(void **state)
{
	static const uint8_t hop_late[16] = { 0, 0, 1, 4, 0, 0, 0, 0, IPPROTO_UDP, 0, 1, 4 };
	static const uint8_t route[8] = { IPPROTO_UDP, 0, 4, 1 };
	static const uint8_t too_long[8] = { IPPROTO_UDP, 30, 1, 4 };
	struct pkt_ip ip = ip6();
	size_t len = build_udp(&ip);

	(void)state;
	pkt_put16(frame + L3 + 4, (uint16_t)(len - L3 - 40 + 1));
	assert_int_equal(parse_only(len), -EINVAL);
	pkt_put16(frame + L3 + 4, 0); /* a jumbogram's */
	assert_int_equal(parse_only(len), -EINVAL);
	ip.first_ext = 60;
	ip.options = hop_late;
	ip.options_len = sizeof(hop_late);
	assert_int_equal(parse_only(build_udp(&ip)), -EINVAL);
	ip.first_ext = 43;
	ip.options = route;
	ip.options_len = sizeof(route);
	assert_int_equal(parse_only(build_udp(&ip)), -EPROTONOSUPPORT);
	ip.first_ext = 60;
	ip.options = too_long;
	assert_int_equal(parse_only(build_udp(&ip)), -EINVAL);
	ip = ip6();
	ip.src = pkt_addr("::ffff:10.0.2.15");
	assert_int_equal(parse_only(build_udp(&ip)), -EINVAL);
	ip = ip6();
	ip.dst = pkt_addr("::ffff:10.0.2.16");
	assert_int_equal(parse_only(build_udp(&ip)), -EINVAL);
}

/** An IP packet in memory, as an ICMP error quotes it, of len bytes. */
static int
quote(size_t len, struct flowtab_tuple *t)
{
	uint8_t bytes[512];
	uint32_t l4_len;
	uint16_t l4_off;

	/* At an odd address, and nothing behind it. */
	memset(bytes, 0, sizeof(bytes));
	memset(t, 0, sizeof(*t));
	memcpy(bytes + sizeof(bytes) - len, frame + L3, len);
	return ct_ip_parse(bytes + sizeof(bytes) - len, (uint32_t)len, true, t, &l4_off, &l4_len);
}

static void
a_quote_holds_eight_bytes_of_the_transport(void **state)
{
	const struct pkt_ip ips[] = { ip4(), ip6() };
	struct flowtab_tuple t;

	(void)state;
	for (unsigned int i = 0; i < RTE_DIM(ips); i++) {
		size_t hdr = i == 0 ? 20 : 40;

		build_tcp(&ips[i]);
		assert_int_equal(quote(hdr + 8, &t), 0);
		expect_ports(&t, IPPROTO_TCP, 1234, 80);
		expect_addrs(&t, &ips[i]);
		for (size_t len = 0; len < hdr + 8; len++)
			assert_int_equal(quote(len, &t), -EINVAL);
		pkt_build_ip(frame, &ips[i], 47, data, sizeof(data));
		assert_int_equal(quote(hdr + 8, &t), 0);
		assert_int_equal(quote(hdr + 7, &t), -EINVAL);
		/* No more than there ever was. */
		pkt_build_ip(frame, &ips[i], 47, data, 3);
		assert_int_equal(quote(hdr + 3, &t), 0);
		assert_int_equal(quote(hdr + 2, &t), -EINVAL);
	}
}

static void
a_quote_may_be_a_first_fragment(void **state)
{
	static const uint8_t first[8] = { IPPROTO_UDP, 0, 0, 1, 1, 2, 3, 4 };
	static const uint8_t later[8] = { IPPROTO_UDP, 0, 0, 8, 1, 2, 3, 4 };
	struct pkt_ip i4 = ip4(), i6 = ip6();
	struct flowtab_tuple t;

	(void)state;
	i4.frag = 0x2000;
	build_udp(&i4);
	assert_int_equal(quote(28, &t), 0);
	i4.frag = 0x2001;
	build_udp(&i4);
	assert_int_equal(quote(28, &t), -EAGAIN);
	i6.options_len = 8;
	i6.first_ext = 44;
	i6.options = first;
	build_udp(&i6);
	assert_int_equal(quote(56, &t), 0);
	i6.options = later;
	build_udp(&i6);
	assert_int_equal(quote(56, &t), -EAGAIN);
}

static void
a_quote_with_a_bad_header_is_refused(void **state)
{
	struct pkt_ip ip = ip4();
	struct flowtab_tuple t;

	(void)state;
	build_udp(&ip);
	frame[L3 + 8]--;
	assert_int_equal(quote(28, &t), -EINVAL);
	build_udp(&ip);
	frame[L3] = 0x43;
	assert_int_equal(quote(28, &t), -EINVAL);
	build_udp(&ip);
	frame[L3] = 0x65;
	assert_int_equal(quote(28, &t), -EINVAL);
	build_udp(&ip);
	frame[L3] = 0x15;
	assert_int_equal(quote(28, &t), -EPROTONOSUPPORT);
}

/** Random bytes over good frames: nothing is read that is not there, whatever comes of it. */
static void
survives_spoilt_packets(void **state)
{
	static const uint8_t exts[24] = { 43, 0, 1, 4, 0, 0, 0, 0, 51, 0, 4, 0, 0, 0, 0, 0,
		IPPROTO_UDP, 0, 1, 4 };
	struct pkt_ip ips[] = { ip4(), ip6(), ip6() };
	uint64_t seed = 7;

	(void)state;
	ips[2].options = exts;
	ips[2].options_len = sizeof(exts);
	for (unsigned int n = 0; n < 20000; n++) {
		const struct pkt_ip *ip = &ips[n % RTE_DIM(ips)];
		size_t len = n & 8 ? build_tcp(ip) : build_udp(ip);
		struct flowtab_tuple t;
		struct ct_pkt p;
		unsigned int wrong = rnd_below(&seed, 4);

		while (wrong-- > 0)
			frame[L3 + rnd_below(&seed, 90)] = (uint8_t)rnd(&seed);
		if (n % 3 != 0)
			pkt_put16(
				frame + L3 + 10, ip->dst.len == 4 ? 0 : pkt_get16(frame + L3 + 10));
		if (ip->dst.len == 4 && frame[L3] >= 0x45)
			pkt_put16(frame + L3 + 10,
				pkt_sum_fold(pkt_sum(frame + L3, (frame[L3] & 15) * 4U, 0)));
		if (n % 5 == 0)
			len = L3 + rnd_below(&seed, (uint32_t)(len - L3));
		if (parse_cut(len, rnd_below(&seed, 120) + L3 + 1, 33, &p, &t) != 0)
			continue;
		ct_pkt_check(k.ct, &p);
		assert_in_range(p.data_off, p.l4_off, rte_pktmbuf_data_len(p.m));
		assert_in_range(p.l4_off + p.l4_len, p.data_off, rte_pktmbuf_pkt_len(p.m));
		rte_pktmbuf_free(p.m);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_tcp_and_udp_of_both_families_apart),
		cmocka_unit_test(takes_ports_of_other_protocols_that_have_them),
		cmocka_unit_test(knows_other_protocols_by_addresses_alone),
		cmocka_unit_test(knows_icmp_queries_answers_and_errors),
		cmocka_unit_test(nothing_but_icmp_is_an_icmp_message),
		cmocka_unit_test(neighbour_discovery_and_arp_cannot_be_tracked),
		cmocka_unit_test(follows_ipv4_options),
		cmocka_unit_test(refuses_bad_ipv4_headers),
		cmocka_unit_test(fragments_are_for_others),
		cmocka_unit_test(an_atomic_fragment_is_none),
		cmocka_unit_test(follows_ipv6_extension_headers),
		cmocka_unit_test(extension_headers_are_bounded_in_number_and_bytes),
		cmocka_unit_test(refuses_bad_ipv6_headers),
		cmocka_unit_test(a_quote_holds_eight_bytes_of_the_transport),
		cmocka_unit_test(a_quote_may_be_a_first_fragment),
		cmocka_unit_test(a_quote_with_a_bad_header_is_refused),
		cmocka_unit_test(survives_spoilt_packets),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
