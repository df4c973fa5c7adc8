/* SPDX-License-Identifier: BSD-3-Clause */
/* Packets that the tracker is handed: lengths and checksums of the transport. */
#include "test_ct_pkt_util.h"

/** A frame that is cut anywhere is refused, wherever its headers say that it ends. */
static void
expect_no_cut(size_t len, size_t headers)
{
	for (size_t cut = L3; cut < len; cut++)
		assert_int_equal(parse_only(cut), -EINVAL);
	/* Headers are in the first segment, or nowhere. */
	for (size_t first = L3; first < headers; first++) {
		struct flowtab_tuple t;
		struct ct_pkt p;

		assert_int_equal(parse_cut(len, first, 16, &p, &t), -EINVAL);
	}
	assert_int_equal(check_cut(len, headers, 16, 0), CT_REASON_NONE);
}

static void
refuses_packets_cut_at_any_byte(void **state)
{
	static const uint8_t sctp[12] = { 4, 210, 0, 80 };
	static const uint8_t exts[16] = { 60, 0, 1, 4, 0, 0, 0, 0, IPPROTO_UDP, 0, 1, 4 };
	struct pkt_ip i4 = ip4(), i6 = ip6();

	(void)state;
	expect_no_cut(build_tcp(&i4), L3 + 20 + 28);
	expect_no_cut(build_tcp(&i6), L3 + 40 + 28);
	expect_no_cut(build_udp(&i4), L3 + 20 + 8);
	expect_no_cut(build_icmp(&i4, 8), L3 + 20 + 8);
	expect_no_cut(build_other(&i4, 132, sctp, sizeof(sctp)), L3 + 20 + 12);
	i6.options = exts;
	i6.options_len = sizeof(exts);
	expect_no_cut(build_udp(&i6), L3 + 40 + 16 + 8);
}

static void
refuses_an_ip_packet_shorter_than_its_transport(void **state)
{
	struct pkt_ip ip = ip4();
	static const struct {
		uint8_t proto;
		size_t least;
	} of[] = { { IPPROTO_TCP, 20 }, { IPPROTO_UDP, 8 }, { IPPROTO_UDPLITE, 8 },
		{ IPPROTO_SCTP, 12 }, { IPPROTO_DCCP, 12 }, { IPPROTO_ICMP, 8 } };
	static const uint8_t l4[20] = { 8, 1, 0, 1, 3, 8, 0, 0, 0, 0, 0, 0, 0x50 };

	(void)state;
	for (unsigned int i = 0; i < RTE_DIM(of); i++) {
		uint8_t bytes[20];

		memcpy(bytes, l4, sizeof(bytes));
		if (of[i].proto == IPPROTO_UDP || of[i].proto == IPPROTO_UDPLITE)
			pkt_put16(bytes + 4, 8);
		for (size_t n = 0; n < of[i].least; n++) {
			size_t len = pkt_build_ip(frame, &ip, of[i].proto, bytes, n);

			memset(frame + len, 0x55, 60 - len % 60); /* padding is not part of it */
			assert_int_equal(parse_only(RTE_MAX(len, (size_t)60)), -EINVAL);
		}
		assert_int_equal(
			parse_only(pkt_build_ip(frame, &ip, of[i].proto, bytes, of[i].least)), 0);
	}
}

static void
padding_is_not_part_of_the_packet(void **state)
{
	struct pkt_ip ip = ip4();
	size_t len = build_tcp(&ip);

	(void)state;
	memset(frame + len, 0xa5, 7);
	assert_int_equal(check(len + 7), CT_REASON_NONE);
}

static void
refuses_wrong_tcp_data_offsets(void **state)
{
	struct pkt_ip ip = ip4();
	size_t len = build_tcp(&ip);
	uint8_t *off = frame + L3 + 20 + 12;

	(void)state;
	for (unsigned int words = 0; words < 5; words++) {
		*off = (uint8_t)(words << 4);
		assert_int_equal(parse_only(len), -EINVAL);
	}
	*off = 15 << 4;
	assert_int_equal(parse_only(L3 + 20 + 59), -EINVAL);
	pkt_put16(frame + L3 + 2, 20 + 59);
	pkt_fix_sums(frame, len);
	assert_int_equal(parse_only(len), -EINVAL);
}

static void
holds_the_udp_length_against_the_packet(void **state)
{
	struct pkt_ip ip = ip4();
	size_t len = build_udp(&ip);
	uint8_t *udp = frame + L3 + 20;
	struct flowtab_tuple t;
	struct ct_pkt p;

	(void)state;
	pkt_put16(udp + 4, 8 + sizeof(data) + 1);
	assert_int_equal(parse_only(len), -EINVAL);
	pkt_put16(udp + 4, 7);
	assert_int_equal(parse_only(len), -EINVAL);
	/* A datagram may be shorter than its packet: then the rest is not part of it. */
	len = pkt_build_udp(frame, &ip, 1234, 53, data, 11);
	pkt_put16(frame + L3 + 2, 20 + 8 + 11 + 5);
	pkt_put16(frame + L3 + 10, 0);
	pkt_put16(frame + L3 + 10, pkt_sum_fold(pkt_sum(frame + L3, 20, 0)));
	memset(frame + len, 0x5a, 5);
	assert_int_equal(parse(len + 5, &p, &t), 0);
	assert_int_equal(ct_payload_len(&p), 11);
	assert_true(ct_pkt_check(k.ct, &p));
	rte_pktmbuf_free(p.m);
}

static void
refuses_port_zero(void **state)
{
	struct pkt_ip ip = ip4();

	(void)state;
	assert_int_equal(parse_only(pkt_build_udp(frame, &ip, 0, 53, NULL, 0)), -EINVAL);
	assert_int_equal(parse_only(pkt_build_udp(frame, &ip, 53, 0, NULL, 0)), -EINVAL);
}

/** Any wrong byte of the transport is found, unless the checksum is nobody's business. */
static void
expect_checked(size_t len, size_t l4_off, size_t from)
{
	for (size_t at = from; at < len; at++) {
		frame[at] ^= 0x40;
		assert_int_equal(check_cut(len, l4_off + 40, 7, 0), CT_REASON_CHECKSUM);
		assert_int_equal(check_cut(len, 0, 0, CT_PKT_CSUM_OK), CT_REASON_NONE);
		assert_int_equal(check_cut(len, 0, 0, CT_PKT_CSUM_PARTIAL), CT_REASON_NONE);
		frame[at] ^= 0x40;
	}
	for (size_t seg = 1; seg < 9; seg++)
		assert_int_equal(check_cut(len, l4_off + 40 + seg, seg, 0), CT_REASON_NONE);
}

static void
verifies_transport_checksums(void **state)
{
	struct pkt_ip i4 = ip4(), i6 = ip6();

	(void)state;
	expect_checked(build_tcp(&i4), L3 + 20, L3 + 20 + 20);
	expect_checked(build_tcp(&i6), L3 + 40, L3 + 40 + 20);
	expect_checked(build_udp(&i4), L3 + 20, L3 + 20 + 6);
	expect_checked(build_udp(&i6), L3 + 40, L3 + 40 + 6);
	expect_checked(build_icmp(&i4, 8), L3 + 20, L3 + 20 + 1);
	expect_checked(build_icmp(&i6, 128), L3 + 40, L3 + 40 + 1);
}

static void
checksums_cover_the_addresses(void **state)
{
	struct pkt_ip i6 = ip6();
	size_t len = build_icmp(&i6, 128);

	(void)state;
	frame[L3 + 8 + 15] ^= 1;
	assert_int_equal(check(len), CT_REASON_CHECKSUM);
	len = build_udp(&i6);
	frame[L3 + 24 + 7] ^= 1;
	assert_int_equal(check(len), CT_REASON_CHECKSUM);
}

static void
udp_without_a_checksum_is_for_ipv4_alone(void **state)
{
	struct pkt_ip i4 = ip4(), i6 = ip6();
	size_t len = build_udp(&i4);

	(void)state;
	pkt_put16(frame + L3 + 20 + 6, 0);
	assert_int_equal(check(len), CT_REASON_NONE);
	len = build_udp(&i6);
	pkt_put16(frame + L3 + 40 + 6, 0);
	assert_int_equal(check(len), CT_REASON_CHECKSUM);
}

/** Put the checksum over the first covers bytes and the pseudo-header of len bytes. */
static void
put_partial_sum(const struct pkt_ip *ip, uint8_t proto, size_t covers, size_t len, size_t at)
{
	uint8_t *l4 = frame + L3 + 20;

	pkt_put16(l4 + at, 0);
	pkt_put16(l4 + at,
		pkt_sum_fold(pkt_sum(
			l4, covers, pkt_sum_pseudo(&ip->src, &ip->dst, proto, (uint32_t)len))));
}

static void
udplite_is_verified_as_far_as_it_is_covered(void **state)
{
	static const uint8_t hdr[8] = { 4, 210, 0, 80, 0, 12 };
	struct pkt_ip ip = ip4();
	size_t len = build_other(&ip, IPPROTO_UDPLITE, hdr, 8), l4_len = 8 + sizeof(data);
	uint8_t *l4 = frame + L3 + 20;

	(void)state;
	put_partial_sum(&ip, IPPROTO_UDPLITE, 12, l4_len, 6);
	assert_int_equal(check(len), CT_REASON_NONE);
	l4[12] ^= 1;
	assert_int_equal(check(len), CT_REASON_NONE);
	l4[11] ^= 1;
	assert_int_equal(check(len), CT_REASON_CHECKSUM);
	pkt_put16(l4 + 4, 0);
	put_partial_sum(&ip, IPPROTO_UDPLITE, l4_len, l4_len, 6);
	assert_int_equal(check(len), CT_REASON_NONE);
	l4[l4_len - 1] ^= 1;
	assert_int_equal(check(len), CT_REASON_CHECKSUM);
	pkt_put16(l4 + 6, 0); /* RFC 3828, 3.1: must not be */
	assert_int_equal(check(len), CT_REASON_CHECKSUM);
	for (unsigned int covers = 1; covers < 8; covers++) {
		pkt_put16(l4 + 4, (uint16_t)covers);
		assert_int_equal(parse_only(len), -EINVAL);
	}
	pkt_put16(l4 + 4, (uint16_t)(l4_len + 1));
	assert_int_equal(parse_only(len), -EINVAL);
}

static void
dccp_is_verified_as_far_as_it_is_covered(void **state)
{
	static const uint8_t hdr[16] = { 4, 210, 0, 80, 4, 2 };
	struct pkt_ip ip = ip4();
	size_t len = build_other(&ip, IPPROTO_DCCP, hdr, 16), l4_len = 16 + sizeof(data);
	uint8_t *l4 = frame + L3 + 20;

	(void)state;
	put_partial_sum(&ip, IPPROTO_DCCP, 20, l4_len, 6);
	assert_int_equal(check(len), CT_REASON_NONE);
	l4[20] ^= 1;
	assert_int_equal(check(len), CT_REASON_NONE);
	l4[19] ^= 1;
	assert_int_equal(check(len), CT_REASON_CHECKSUM);
	l4[5] = 0;
	put_partial_sum(&ip, IPPROTO_DCCP, l4_len, l4_len, 6);
	assert_int_equal(check(len), CT_REASON_NONE);
	l4[4] = 2; /* the header shorter than it can be */
	assert_int_equal(parse_only(len), -EINVAL);
}

static void
a_packet_that_others_took_apart_is_measured_again(void **state)
{
	struct pkt_ip ip = ip4();
	struct flowtab_tuple t;
	struct ct_pkt p;

	(void)state;
	assert_int_equal(parse(build_tcp(&ip), &p, &t), 0);
	p.flags = CT_PKT_CSUM_OK;
	p.l4_len = 27;
	assert_false(ct_pkt_check(k.ct, &p));
	assert_int_equal(p.reason, CT_REASON_SHORT);
	rte_pktmbuf_free(p.m);
	assert_int_equal(parse(build_udp(&ip), &p, &t), 0);
	p.l4_len--;
	assert_false(ct_pkt_check(k.ct, &p));
	assert_int_equal(p.reason, CT_REASON_SHORT);
	rte_pktmbuf_free(p.m);
}

static void
sums_chains_cut_at_any_byte(void **state)
{
	uint64_t seed = 42;
	size_t len = 700;

	(void)state;
	for (size_t i = 0; i < len; i++)
		frame[i] = (uint8_t)rnd(&seed);
	for (size_t off = 0; off < 5; off++) {
		for (size_t seg = 1; seg < 40; seg++) {
			struct rte_mbuf *m = chain(len, off + seg % 3, seg);
			uint32_t n = (uint32_t)(len - off - seg % 5);
			uint16_t sum = (uint16_t)~pkt_sum_fold(pkt_sum(frame + off, n, 0));

			assert_int_equal(flowtab_cksum(m, (uint32_t)off, n), rte_cpu_to_be_16(sum));
			rte_pktmbuf_free(m);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refuses_packets_cut_at_any_byte),
		cmocka_unit_test(refuses_an_ip_packet_shorter_than_its_transport),
		cmocka_unit_test(padding_is_not_part_of_the_packet),
		cmocka_unit_test(refuses_wrong_tcp_data_offsets),
		cmocka_unit_test(holds_the_udp_length_against_the_packet),
		cmocka_unit_test(refuses_port_zero),
		cmocka_unit_test(verifies_transport_checksums),
		cmocka_unit_test(checksums_cover_the_addresses),
		cmocka_unit_test(udp_without_a_checksum_is_for_ipv4_alone),
		cmocka_unit_test(udplite_is_verified_as_far_as_it_is_covered),
		cmocka_unit_test(dccp_is_verified_as_far_as_it_is_covered),
		cmocka_unit_test(a_packet_that_others_took_apart_is_measured_again),
		cmocka_unit_test(sums_chains_cut_at_any_byte),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
