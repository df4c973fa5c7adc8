/* SPDX-License-Identifier: BSD-3-Clause */
/* Guest to guest: hop counts, sizes, segments, checksums that are left to others. */
#include "test_l4x_ew_util.h"

#define SMALL_MTU 1300

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
small_receiver(struct l4xkit *k)
{
	struct l4x_port_conf c = ew_conf(2);

	c.mtu = SMALL_MTU;
	ew_port(k, &c, EW_OFFLOADS);
}

/** A frame of guest 1 that leaves its checksum to its card; seg != 0: and its segments. */
static void
rx_offloaded(struct l4xkit *k, size_t len, uint16_t seg)
{
	struct virtio_net_hdr hdr;
	struct rte_mbuf *m;

	if (seg != 0)
		pkt_make_tso(ew_frame, len, seg, &hdr);
	else
		pkt_make_partial(ew_frame, len, &hdr);
	m = l4xkit_mbuf(k, ew_frame, (uint32_t)len, 0, 0);
	m->ol_flags |= RTE_MBUF_F_RX_L4_CKSUM_NONE;
	if (seg != 0) {
		m->ol_flags |= RTE_MBUF_F_RX_LRO;
		m->tso_segsz = seg;
	}
	ew_rx_mbuf(k, 1, m);
}

/* ---- hops ---- */

static void
packet_at_its_last_hop_is_answered(void **state)
{
	struct l4xkit *k = *state;

	for (int v6 = 0; v6 < 2; v6++) {
		struct pkt_ip ip = ew_ip(1, 2, v6);

		ip.ttl = 1;
		ew_rx(k, 1, ew_frame, pkt_build_udp(ew_frame, &ip, 1, 2, ew_data, 10));
		l4xkit_expect_frame(k);
		assert_int_equal(k->view.icmp_type, v6 ? 3 : 11);
		assert_int_equal(k->view.icmp_code, 0);
		assert_memory_equal(k->view.data, ew_frame + 14, k->view.data_len);
		l4xkit_expect_nothing(k);
		ip.ttl = 2;
		ew_rx(k, 1, ew_frame, pkt_build_udp(ew_frame, &ip, 1, 2, ew_data, 10));
		l4xkit_expect_frame(k);
		assert_int_equal(k->view.ttl, 1);
		/* Of a flow that there is, too. */
		ip.ttl = 1;
		ew_rx(k, 1, ew_frame, pkt_build_udp(ew_frame, &ip, 1, 2, ew_data, 10));
		l4xkit_expect_frame(k);
		assert_int_equal(k->view.icmp_type, v6 ? 3 : 11);
	}
	assert_int_equal(l4xkit_counter(k, L4X_DROP_IP_TTL), 4);
}

static void
ttl_of_any_value_keeps_the_checksum_right(void **state)
{
	struct l4xkit *k = *state;

	for (unsigned int i = 0; i < 65536; i += 7) {
		struct pkt_ip ip = ew_ip(1, 2, false);

		ip.ttl = (uint8_t)(2 + i % 254);
		ip.id = (uint16_t)i;
		ew_rx(k, 1, ew_frame, pkt_build_udp(ew_frame, &ip, 1, 2, ew_data, 10));
		l4xkit_expect_frame(k);
		assert_int_equal(k->view.ttl, ip.ttl - 1);
	}
}

static void
padding_does_not_go_on(void **state)
{
	struct l4xkit *k = *state;
	size_t len = ew_udp(1, 2, false, 1, 2);

	memset(ew_frame + len, 0xee, 20);
	ew_rx(k, 1, ew_frame, len + 20);
	assert_int_equal(ew_expect(k, 2)->len, len);
}

/* ---- packets larger than the receiver's MTU ---- */

static void
packet_not_to_be_fragmented_is_answered_with_the_mtu(void **state)
{
	struct l4xkit *k = *state;

	small_receiver(k);
	for (int v6 = 0; v6 < 2; v6++) {
		struct pkt_ip ip = ew_ip(1, 2, v6);

		ip.frag = 0x4000;
		for (int again = 0; again < 2; again++) {
			ew_rx(k, 1, ew_frame, pkt_build_udp(ew_frame, &ip, 1, 2, ew_data, 1400));
			l4xkit_expect_frame(k);
			assert_int_equal(k->view.icmp_type, v6 ? 2 : 3);
			assert_int_equal(k->view.icmp_code, v6 ? 0 : 4);
			assert_int_equal(k->view.icmp_rest, SMALL_MTU);
			assert_memory_equal(k->view.data, ew_frame + 14, k->view.data_len);
			l4xkit_expect_nothing(k);
			/* The second time it belongs to a flow. */
			ew_rx(k, 1, ew_frame, pkt_build_udp(ew_frame, &ip, 1, 2, ew_data, 10));
			ew_expect(k, 2);
		}
	}
	assert_int_equal(l4xkit_counter(k, L4X_DROP_TOO_BIG), 4);
}

/** Put the fragments to guest 2 together. @return bytes of the datagram, headers excluded */
static size_t
reassemble(struct l4xkit *k, uint8_t *out, unsigned int *n)
{
	size_t total = 0;
	bool more = true;

	k->unchecked = true;
	for (*n = 0; more; (*n)++) {
		const uint8_t *at;
		size_t len, off;

		ew_expect(k, 2);
		assert_true(k->view.l3_len <= SMALL_MTU);
		if (k->view.eth_type == PKT_ETH_IP4) {
			at = k->view.l4;
			len = k->view.l4_len;
			off = (size_t)(k->view.ip_frag & 0x1fff) * 8;
			more = (k->view.ip_frag & 0x2000) != 0;
			assert_int_equal(pkt_sum_fold(pkt_sum(
						 k->view.l3, (size_t)(k->view.l4 - k->view.l3), 0)),
				0);
		} else {
			assert_int_equal(k->view.proto, 44);
			at = k->view.l4 + 8;
			len = k->view.l4_len - 8;
			off = pkt_get16(k->view.l4 + 2) & 0xfff8;
			more = (pkt_get16(k->view.l4 + 2) & 1) != 0;
			assert_int_equal(k->view.l4[0], IPPROTO_UDP);
		}
		assert_int_equal(off, total);
		memcpy(out + off, at, len);
		total += len;
	}
	k->unchecked = false;
	return total;
}

static void
packet_that_may_be_fragmented_is(void **state)
{
	struct l4xkit *k = *state;
	struct pkt_ip ip = ew_ip(1, 2, false);
	static uint8_t whole[PKT_MAX];
	unsigned int n;
	size_t len;

	small_receiver(k);
	ip.id = 4711;
	for (int offload = 0; offload < 2; offload++) {
		len = pkt_build_udp(ew_frame, &ip, 1, 2, ew_data, 1400);
		if (offload)
			rx_offloaded(k, len, 0);
		else
			ew_rx(k, 1, ew_frame, len);
		assert_int_equal(reassemble(k, whole, &n), 1408);
		assert_int_equal(n, 2);
		assert_memory_equal(whole + 8, ew_data, 1400);
		assert_int_equal(k->view.ip_id, 4711);
		assert_int_equal(pkt_sum_fold(pkt_sum(
					 whole, 1408, pkt_sum_pseudo(&ip.src, &ip.dst, 17, 1408))),
			0);
	}
}

static void
options_that_are_not_copied_are_in_the_first_fragment_alone(void **state)
{
	/* Record route, and a stream id, which is copied. */
	static const uint8_t options[] = { 7, 7, 4, 0, 0, 0, 0, 0x88, 4, 1, 2, 0 };
	struct l4xkit *k = *state;
	struct pkt_ip ip = ew_ip(1, 2, false);

	small_receiver(k);
	ip.options = options;
	ip.options_len = sizeof(options);
	ew_rx(k, 1, ew_frame, pkt_build_udp(ew_frame, &ip, 1, 2, ew_data, 1400));
	k->unchecked = true;
	ew_expect(k, 2);
	assert_memory_equal(k->view.l3 + 20, options, sizeof(options));
	ew_expect(k, 2);
	assert_int_equal(k->view.l4 - k->view.l3, 32);
	for (unsigned int i = 0; i < 7; i++)
		assert_int_equal(k->view.l3[20 + i], 1);
	assert_memory_equal(k->view.l3 + 27, options + 7, 5);
	assert_int_equal(pkt_sum_fold(pkt_sum(k->view.l3, 32, 0)), 0);
	l4xkit_expect_nothing(k);
}

static void
what_came_in_fragments_leaves_in_fragments(void **state)
{
	struct l4xkit *k = *state;
	static uint8_t whole[PKT_MAX], udp[PKT_MAX], piece[PKT_MAX];
	unsigned int n;

	small_receiver(k);
	for (int v6 = 0; v6 < 2; v6++) {
		struct pkt_ip ip = ew_ip(1, 2, v6);
		const size_t head = v6 ? 54 : 34;
		uint8_t ext[8] = { IPPROTO_UDP, 0, 0, 1, 0, 0, 0, 9 };

		memcpy(udp, ew_frame, pkt_build_udp(ew_frame, &ip, 1, 2, ew_data, 2000));
		if (v6) {
			ip.options = ext;
			ip.options_len = 8;
			ip.first_ext = 44;
		}
		ip.id = 9;
		ip.frag = 0x2000;
		ew_rx(k, 1, piece, pkt_build_ip(piece, &ip, 17, udp + head, 1200));
		pkt_put16(ext + 2, 1200);
		ip.frag = 1200 / 8;
		ew_rx(k, 1, piece, pkt_build_ip(piece, &ip, 17, udp + head + 1200, 808));
		assert_int_equal(reassemble(k, whole, &n), 2008);
		assert_int_equal(n, 2);
		assert_memory_equal(whole, udp + head, 2008);
	}
}

/* ---- segments and checksums ---- */

static void
large_segments_go_as_they_are_to_who_takes_them(void **state)
{
	struct l4xkit *k = *state;

	for (int v6 = 0; v6 < 2; v6++) {
		ew_connect(k, 1, 2, v6);
		rx_offloaded(k, ew_segment(1, 2, v6, false, 30000), v6 ? 1400 : 1448);
		ew_expect(k, 2);
		assert_int_equal(k->view.gso_size, v6 ? 1400 : 1448);
		assert_int_equal(k->view.data_len, 30000);
		assert_memory_equal(k->view.data, ew_data, 30000);
	}
	l4xkit_expect_nothing(k);
}

static void
checksum_is_left_to_the_receiver(void **state)
{
	struct l4xkit *k = *state;
	const struct l4xkit_frame *f;

	for (int v6 = 0; v6 < 2; v6++) {
		rx_offloaded(k, ew_udp(1, 2, v6, 1, 2), 0);
		f = ew_expect(k, 2);
		assert_int_equal(f->hdr.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
	}
}

/** The segments of a frame of len bytes, cut for guest 2. */
static void
expect_segments(struct l4xkit *k, size_t len, uint16_t seg, uint8_t flags)
{
	const size_t n = (len + seg - 1) / seg;
	size_t off = 0;

	for (size_t i = 0; i < n; i++) {
		const size_t part = RTE_MIN((size_t)seg, len - off);
		uint8_t want = flags;

		if (i > 0)
			want &= (uint8_t)~PKT_CWR;
		if (i + 1 < n)
			want &= (uint8_t) ~(PKT_FIN | PKT_PSH);
		ew_expect(k, 2);
		assert_int_equal(k->view.gso_size, 0);
		assert_int_equal(k->view.tcp.seq, 100 + off);
		assert_int_equal(k->view.tcp.flags, want);
		assert_int_equal(k->view.data_len, part);
		assert_memory_equal(k->view.data, ew_data + off, part);
		if (k->view.eth_type == PKT_ETH_IP4)
			assert_int_equal(k->view.ip_id, (uint16_t)(65530 + i));
		off += part;
	}
	l4xkit_expect_nothing(k);
}

static size_t
flagged_segment(bool v6, uint8_t flags, size_t len)
{
	static const uint8_t options[] = { 1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8 };
	struct pkt_ip ip = ew_ip(1, 2, v6);
	const struct pkt_tcp t = { .sport = 1000,
		.dport = 80,
		.seq = 100,
		.ack = 500,
		.flags = flags,
		.win = 60000,
		.wscale = -1,
		.options = options,
		.options_len = sizeof(options) };

	ip.id = 65530;
	return pkt_build_tcp(ew_frame, &ip, &t, ew_data, len);
}

static void
large_segments_are_cut_for_who_takes_none(void **state)
{
	const uint8_t flags = PKT_ACK | PKT_PSH | PKT_FIN | PKT_CWR | PKT_ECE;
	struct l4xkit *k = *state;
	const struct l4x_port_conf c = ew_conf(2);

	for (int v6 = 0; v6 < 2; v6++) {
		ew_port(k, &c, L4X_OFFLOAD_CSUM);
		ew_connect(k, 1, 2, v6);
		rx_offloaded(k, flagged_segment(v6, flags, 20001), 1000);
		expect_segments(k, 20001, 1000, flags);
	}
	/* All that it was made of has been given back: see teardown. */
	assert_int_equal(l4xkit_counter(k, L4X_COUNT_EW_PKTS), 8);
}

static void
congestion_mark_is_for_the_first_segment_alone(void **state)
{
	struct l4xkit *k = *state;
	const struct l4x_port_conf c = ew_conf(2);

	ew_port(k, &c, EW_OFFLOADS & ~L4X_OFFLOAD_ECN);
	for (int v6 = 0; v6 < 2; v6++) {
		ew_connect(k, 1, 2, v6);
		rx_offloaded(k, flagged_segment(v6, PKT_ACK, 3000), 1000);
		ew_expect(k, 2);
		assert_int_equal(k->view.gso_size, 1000);
		rx_offloaded(k, flagged_segment(v6, PKT_ACK | PKT_CWR, 3000), 1000);
		expect_segments(k, 3000, 1000, PKT_ACK | PKT_CWR);
	}
}

static void
frame_of_too_many_segments_is_not_cut(void **state)
{
	struct l4xkit *k = *state;
	const struct l4x_port_conf c = ew_conf(2);

	ew_port(k, &c, L4X_OFFLOAD_CSUM);
	ew_connect(k, 1, 2, false);
	rx_offloaded(k, ew_segment(1, 2, false, false, 257), 1);
	l4xkit_expect_nothing(k);
	assert_int_equal(l4xkit_counter(k, L4X_DROP_GSO), 1);
	rx_offloaded(k, ew_segment(1, 2, false, false, 256), 1);
	for (unsigned int i = 0; i < 256; i++)
		ew_expect(k, 2);
	l4xkit_expect_nothing(k);
}

static void
segments_larger_than_the_receivers_mtu_are_answered_or_made_smaller(void **state)
{
	struct l4xkit *k = *state;
	struct pkt_ip ip = ew_ip(1, 2, false);
	struct pkt_tcp t = { .sport = 1000,
		.dport = 80,
		.seq = 100,
		.ack = 500,
		.flags = PKT_ACK,
		.win = 60000,
		.wscale = -1 };

	small_receiver(k);
	ew_connect(k, 1, 2, false);
	ip.frag = 0x4000;
	rx_offloaded(k, pkt_build_tcp(ew_frame, &ip, &t, ew_data, 10000), 1448);
	l4xkit_expect_frame(k);
	assert_int_equal(k->view.icmp_type, 3);
	assert_int_equal(k->view.icmp_code, 4);
	assert_int_equal(k->view.icmp_rest, SMALL_MTU);
	ip.frag = 0;
	rx_offloaded(k, pkt_build_tcp(ew_frame, &ip, &t, ew_data, 10000), 1448);
	ew_expect(k, 2);
	assert_int_equal(k->view.gso_size, SMALL_MTU - 40);
	ew_connect(k, 3, 2, true);
	ip = ew_ip(3, 2, true);
	rx_offloaded(k, pkt_build_tcp(ew_frame, &ip, &t, ew_data, 10000), 1400);
	l4xkit_discard(k);
}

static void
claims_that_no_card_could_meet_are_dropped(void **state)
{
	struct l4xkit *k = *state;
	struct rte_mbuf *m;
	size_t len;

	/* Segments of a datagram. */
	len = ew_udp(1, 2, false, 1, 2);
	m = l4xkit_mbuf(k, ew_frame, (uint32_t)len, 0, 0);
	m->ol_flags |= RTE_MBUF_F_RX_L4_CKSUM_NONE | RTE_MBUF_F_RX_LRO;
	m->tso_segsz = 5;
	ew_rx_mbuf(k, 1, m);
	assert_int_equal(l4xkit_counter(k, L4X_DROP_GSO), 1);
	/* The checksum of ICMP. */
	len = ew_echo(1, 2, false, false, 1);
	m = l4xkit_mbuf(k, ew_frame, (uint32_t)len, 0, 0);
	m->ol_flags |= RTE_MBUF_F_RX_L4_CKSUM_NONE;
	ew_rx_mbuf(k, 1, m);
	assert_int_equal(l4xkit_counter(k, L4X_DROP_L4_CHECKSUM), 1);
	l4xkit_expect_nothing(k);
	/* One segment is none. */
	len = ew_udp(1, 2, false, 1, 2);
	m = l4xkit_mbuf(k, ew_frame, (uint32_t)len, 0, 0);
	m->tso_segsz = 1000;
	ew_rx_mbuf(k, 1, m);
	ew_expect(k, 2);
	assert_int_equal(k->view.gso_size, 0);
}

static void
wrong_checksum_goes_no_further(void **state)
{
	struct l4xkit *k = *state;
	size_t len = ew_udp(1, 2, false, 1, 2);

	ew_frame[len - 1] ^= 1;
	ew_rx(k, 1, ew_frame, len);
	l4xkit_expect_nothing(k);
	assert_int_equal(l4xkit_counter(k, L4X_DROP_L4_CHECKSUM), 1);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(packet_at_its_last_hop_is_answered),
		T(ttl_of_any_value_keeps_the_checksum_right),
		T(padding_does_not_go_on),
		T(packet_not_to_be_fragmented_is_answered_with_the_mtu),
		T(packet_that_may_be_fragmented_is),
		T(options_that_are_not_copied_are_in_the_first_fragment_alone),
		T(what_came_in_fragments_leaves_in_fragments),
		T(large_segments_go_as_they_are_to_who_takes_them),
		T(checksum_is_left_to_the_receiver),
		T(large_segments_are_cut_for_who_takes_none),
		T(congestion_mark_is_for_the_first_segment_alone),
		T(frame_of_too_many_segments_is_not_cut),
		T(segments_larger_than_the_receivers_mtu_are_answered_or_made_smaller),
		T(claims_that_no_card_could_meet_are_dropped),
		T(wrong_checksum_goes_no_further),
	};

	l4xkit_eal("l4xewsize");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
