/* SPDX-License-Identifier: BSD-3-Clause */
/* Guest to guest: what a guest sends to get past the rules, or to take what others need. */
#include "test_l4x_ew_util.h"

#define NEXT_HOPOPTS 0
#define NEXT_FRAGMENT 44
#define NEXT_DSTOPTS 60

static int
setup(void **state)
{
	*state = ew_create(NULL);
	ew_allow(*state);
	return 0;
}

static int
teardown(void **state)
{
	ew_destroy(*state);
	return 0;
}

static void
expect_drop(struct l4xkit *k, size_t len, enum l4x_counter why)
{
	const uint64_t before = l4xkit_counter(k, why);
	const uint64_t passed = l4xkit_counter(k, L4X_COUNT_EW_PKTS);

	ew_rx(k, 1, ew_frame, len);
	assert_int_equal(l4xkit_counter(k, why), before + 1);
	assert_int_equal(l4xkit_counter(k, L4X_COUNT_EW_PKTS), passed);
	l4xkit_discard(k);
}

/* ---- packets that one sees otherwise than another ---- */

/** A fragment header: the next one, where the piece is, a number. */
static void
frag_header(uint8_t h[8], uint8_t next, uint16_t off, bool more)
{
	memset(h, 0, 8);
	h[0] = next;
	pkt_put16(h + 2, (uint16_t)(off | more));
	h[7] = 9;
}

static void
fragment_in_a_fragment_does_not_pass(void **state)
{
	const struct rule r = { .directions = RULES_EAST_WEST,
		.proto = IPPROTO_UDP,
		.dport_min = 53,
		.dport_max = 53,
		.action = RULES_DROP };
	struct l4xkit *k = *state;
	struct pkt_ip ip = ew_ip(1, 2, true);
	uint8_t ext[16], inner[24] = { 0 };

	/* The first one says that there is nothing besides it; the next, that there is. */
	ew_rules(k, &r, 1, RULES_ACCEPT);
	frag_header(ext, NEXT_FRAGMENT, 0, false);
	frag_header(ext + 8, IPPROTO_UDP, 0, true);
	ip.options = ext;
	ip.options_len = sizeof(ext);
	ip.first_ext = NEXT_FRAGMENT;
	expect_drop(k, pkt_build_ip(ew_frame, &ip, IPPROTO_UDP, ew_data, 16), L4X_DROP_FRAG_BAD);
	/* A datagram in two pieces, and what they make is a piece. */
	frag_header(inner, IPPROTO_UDP, 8, true);
	frag_header(ext, NEXT_FRAGMENT, 0, true);
	ip.options_len = 8;
	ew_rx(k, 1, ew_frame, pkt_build_ip(ew_frame, &ip, NEXT_FRAGMENT, inner, 16));
	frag_header(ext, NEXT_FRAGMENT, 16, false);
	expect_drop(
		k, pkt_build_ip(ew_frame, &ip, NEXT_FRAGMENT, inner + 16, 8), L4X_DROP_FRAG_BAD);
	assert_int_equal(l4x_flow_count(k->l), 0);
}

/** What a guest leaves to its card: the sum of the pseudo-header stands for all. */
static void
leave_checksum(const struct pkt_ip *ip, size_t len, size_t l4_off, uint8_t proto)
{
	const uint32_t sum = pkt_sum_pseudo(&ip->src, &ip->dst, proto, (uint32_t)(len - l4_off));

	pkt_put16(
		ew_frame + l4_off + (proto == IPPROTO_TCP ? 16 : 6), (uint16_t)~pkt_sum_fold(sum));
}

static struct rte_mbuf *
offloaded(struct l4xkit *k, size_t len, uint16_t seg)
{
	/* All headers are in the first segment, whatever their length. */
	struct rte_mbuf *m = l4xkit_mbuf(k, ew_frame, (uint32_t)len, RTE_MIN(len, 1500u), 0);

	m->ol_flags |= RTE_MBUF_F_RX_L4_CKSUM_NONE;
	m->tso_segsz = seg;
	if (seg != 0)
		m->ol_flags |= RTE_MBUF_F_RX_LRO;
	return m;
}

static void
headers_longer_than_an_mbuf_can_tell_are_not_left_to_a_card(void **state)
{
	static uint8_t ext[1024];
	struct l4xkit *k = *state;
	const struct l4xkit_frame *f;
	struct pkt_ip ip = ew_ip(1, 2, true);
	const struct pkt_tcp t = {
		.sport = 1, .dport = 2, .seq = 9, .ack = 9, .flags = PKT_ACK, .wscale = -1
	};
	size_t len;

	k->unchecked = true;
	ip.first_ext = NEXT_DSTOPTS;
	ip.options = ext;
	memset(ext, 0, sizeof(ext));
	for (uint32_t n = 464; n <= 600; n += 8) {
		const uint64_t passed = l4xkit_counter(k, L4X_COUNT_EW_PKTS);
		const uint64_t dropped = l4xkit_counter(k, L4X_DROP_IP_EXTHDR);
		const bool fits = 40 + n < 512;
		uint32_t at = 2;

		ext[0] = IPPROTO_TCP;
		ext[1] = (uint8_t)(n / 8 - 1);
		while (at < n) {
			const uint32_t part = RTE_MIN(n - at - 2, 255u);

			ext[at] = 1;
			ext[at + 1] = (uint8_t)part;
			at += 2 + part;
			/* One byte cannot be padded by an option with a length. */
			if (at + 1 == n)
				ext[at++] = 0;
		}
		ip.options_len = n;
		len = pkt_build_tcp(ew_frame, &ip, &t, ew_data, 2000);
		leave_checksum(&ip, len, 14 + 40 + n, IPPROTO_TCP);
		ew_rx_mbuf(k, 1, offloaded(k, len, 700));
		assert_int_equal(l4xkit_counter(k, L4X_COUNT_EW_PKTS) - passed, fits);
		assert_int_equal(l4xkit_counter(k, L4X_DROP_IP_EXTHDR) - dropped, !fits);
		if (fits) {
			f = ew_expect(k, 2);
			assert_int_equal(f->hdr.gso_size, 700);
			assert_int_equal(f->hdr.csum_start, 14 + 40 + n);
		}
		l4xkit_expect_nothing(k);
	}
}

static void
checksum_behind_extension_headers_is_completed_where_it_is(void **state)
{
	static const uint8_t ext[16] = { IPPROTO_UDP, 1, 1, 12 };
	struct l4xkit *k = *state;
	struct pkt_ip ip = ew_ip(1, 2, true);
	struct l4x_port_conf c = ew_conf(2);
	const struct l4xkit_frame *f;
	size_t len;

	ip.options = ext;
	ip.options_len = sizeof(ext);
	k->unchecked = true;
	for (unsigned int i = 0; i < 2; i++) {
		ip.first_ext = i == 0 ? NEXT_DSTOPTS : NEXT_HOPOPTS;
		len = pkt_build_udp(ew_frame, &ip, 1, 2, ew_data, 11);
		leave_checksum(&ip, len, 14 + 40 + 16, IPPROTO_UDP);
		ew_rx_mbuf(k, 1, offloaded(k, len, 0));
		f = ew_expect(k, 2);
		assert_int_equal(f->hdr.csum_start, 14 + 40 + 16);
		assert_int_equal(f->hdr.csum_offset, 6);
	}
	/* In software, of an odd number of bytes, when the receiver's network is narrow. */
	c.mtu = 1280;
	ew_port(k, &c, EW_OFFLOADS);
	l4xkit_discard(k);
	ip = ew_ip(1, 2, false);
	len = pkt_build_udp(ew_frame, &ip, 1, 2, ew_data, 1301);
	leave_checksum(&ip, len, 14 + 20, IPPROTO_UDP);
	ew_rx_mbuf(k, 1, offloaded(k, len, 0));
	ew_expect(k, 2);
	assert_int_equal(pkt_get16(k->view.l4 + 6),
		pkt_sum_fold(pkt_sum(
			ew_data, 1301, pkt_sum_pseudo(&ip.src, &ip.dst, 17, 1309) + 1 + 2 + 1309)));
	ew_expect(k, 2);
	l4xkit_expect_nothing(k);
}

static void
nobody_is_reached_by_an_address_of_many(void **state)
{
	static const char *const to4[] = { "10.0.2.255", "10.0.2.0", "255.255.255.255",
		"224.0.0.251", "127.0.0.1", "0.0.0.0", "10.0.2.15", "10.0.2.99" };
	static const char *const to6[] = { "ff02::1", "ff05::2", "fe80::1", "::1", "fd00:2::15" };
	struct l4xkit *k = *state;

	for (unsigned int i = 0; i < RTE_DIM(to4) + RTE_DIM(to6); i++) {
		const bool v6 = i >= RTE_DIM(to4);
		struct pkt_ip ip = ew_ip(1, 2, v6);
		const uint64_t dropped = l4xkit_counter(k, L4X_DROP_IP_DEST);

		ip.dst = pkt_addr(v6 ? to6[i - RTE_DIM(to4)] : to4[i]);
		ew_rx(k, 1, ew_frame, pkt_build_udp(ew_frame, &ip, 1, 2, ew_data, 10));
		assert_int_equal(l4xkit_counter(k, L4X_DROP_IP_DEST), dropped + 1);
		l4xkit_discard(k);
	}
	assert_int_equal(l4xkit_counter(k, L4X_COUNT_EW_PKTS), 0);
	assert_int_equal(l4x_flow_count(k->l), 0);
}

static void
source_that_is_no_guests_does_not_pass(void **state)
{
	static const char *const from4[] = { "10.0.2.255", "10.0.2.0", "10.0.2.2", "224.0.0.1",
		"127.0.0.1", "0.0.0.0", "169.254.1.1", "10.0.2.17", "192.0.2.1" };
	static const char *const from6[] = { "ff02::1", "fe80::1", "::1", "::", "fd00:2::2",
		"fd00:2::17", "2001:db8::1" };
	struct l4xkit *k = *state;

	for (unsigned int i = 0; i < RTE_DIM(from4) + RTE_DIM(from6); i++) {
		const bool v6 = i >= RTE_DIM(from4);
		struct pkt_ip ip = ew_ip(1, 2, v6);

		ip.src = pkt_addr(v6 ? from6[i - RTE_DIM(from4)] : from4[i]);
		expect_drop(k, pkt_build_udp(ew_frame, &ip, 1, 2, ew_data, 10), L4X_DROP_IP_SOURCE);
	}
	assert_int_equal(l4x_flow_count(k->l), 0);
}

static void
no_error_is_sent_about_an_error(void **state)
{
	struct l4xkit *k = *state;
	uint8_t quote[128];
	size_t len;

	for (int v6 = 0; v6 < 2; v6++) {
		struct pkt_ip ip = ew_ip(1, 2, v6);

		ew_rx(k, 2, ew_frame, ew_udp(2, 1, v6, 1000, 53));
		ew_expect(k, 1);
		len = k->view.l3_len;
		memcpy(quote, k->view.l3, len);
		ip.ttl = 1;
		ew_rx(k, 1, ew_frame,
			pkt_build_icmp(ew_frame, &ip, v6 ? 1 : 3, v6 ? 4 : 3, 0, quote, len));
		l4xkit_expect_nothing(k);
	}
	assert_int_equal(l4xkit_counter(k, L4X_DROP_IP_TTL), 2);
}

/* ---- room ---- */

static void
segments_that_find_no_room_are_counted(void **state)
{
	struct l4xkit *k = *state;
	const struct l4x_port_conf c = ew_conf(2);
	struct virtio_net_hdr hdr;
	uint64_t sent, lost;
	size_t len;

	ew_port(k, &c, L4X_OFFLOAD_CSUM);
	ew_connect(k, 1, 2, false);
	sent = l4xkit_counter(k, L4X_COUNT_TX_PKTS);
	len = ew_segment(1, 2, false, false, 10000);
	pkt_make_tso(ew_frame, len, 100, &hdr);
	for (unsigned int i = 0; i < L4X_BURST; i++)
		l4xkit_push_mbuf(k, offloaded(k, len, 100));
	l4xkit_flush(k);
	sent = l4xkit_counter(k, L4X_COUNT_TX_PKTS) - sent;
	lost = l4xkit_counter(k, L4X_DROP_OUT_FULL);
	assert_int_equal(sent, L4X_OUT_FRAMES);
	assert_int_equal(sent + lost, L4X_BURST * 100);
	l4xkit_discard(k);
}

static void
frame_that_finds_no_mbufs_for_its_segments_is_counted_and_nothing_leaks(void **state)
{
	static struct rte_mbuf *taken[8192];
	struct l4xkit *k = *state;
	const struct l4x_port_conf c = ew_conf(2);
	struct virtio_net_hdr hdr;
	struct rte_mbuf *m;
	unsigned int n = 0;
	size_t len;

	ew_port(k, &c, L4X_OFFLOAD_CSUM);
	ew_connect(k, 1, 2, true);
	for (unsigned int spare = 0; spare < 12; spare++) {
		const uint64_t before = l4xkit_counter(k, L4X_DROP_NO_MBUF);

		len = ew_segment(1, 2, true, false, 5000);
		pkt_make_tso(ew_frame, len, 1000, &hdr);
		m = offloaded(k, len, 1000);
		for (n = 0; (taken[n] = rte_pktmbuf_alloc(k->pool)) != NULL; n++)
			;
		for (unsigned int i = 0; i < spare; i++)
			rte_pktmbuf_free(taken[--n]);
		l4x_rx_burst(k->l, 1, 0, &m, 1, k->now_us);
		while (n > 0)
			rte_pktmbuf_free(taken[--n]);
		l4xkit_collect(k);
		assert_int_equal(l4xkit_counter(k, L4X_DROP_NO_MBUF) - before, spare < 12);
		l4xkit_discard(k);
	}
	/* The pool is whole: see teardown. */
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(fragment_in_a_fragment_does_not_pass),
		T(headers_longer_than_an_mbuf_can_tell_are_not_left_to_a_card),
		T(checksum_behind_extension_headers_is_completed_where_it_is),
		T(nobody_is_reached_by_an_address_of_many),
		T(source_that_is_no_guests_does_not_pass),
		T(no_error_is_sent_about_an_error),
		T(segments_that_find_no_room_are_counted),
		T(frame_that_finds_no_mbufs_for_its_segments_is_counted_and_nothing_leaks),
	};

	l4xkit_eal("l4xewhost");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
