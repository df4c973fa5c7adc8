/* SPDX-License-Identifier: BSD-3-Clause */
/* Fragments from a guest: gathered, bounded, and never believed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "l4xkit.h"

#define DGRAM 4000 /* bytes of UDP payload in the datagrams below */

static uint8_t frame[PKT_MAX], whole[PKT_MAX], data[PKT_MAX];
static size_t whole_len; /* bytes of the L4 packet in whole */

/** Make the UDP packet whose pieces the tests send; headers of ip are those of the pieces. */
static void
prepare(const struct pkt_ip *ip, size_t payload)
{
	size_t head = ip->dst.len == 4 ? 34 : 54;
	struct pkt_ip bare = *ip;

	bare.options_len = 0;
	pkt_build_udp(frame, &bare, 1000, 2000, data, payload);
	whole_len = 8 + payload;
	memcpy(whole, frame + head, whole_len);
}

static int
setup(void **state)
{
	struct pkt_ip ip = l4xkit_ip("192.0.2.1");

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 11 + (i >> 8));
	*state = l4xkit_create(NULL);
	prepare(&ip, DGRAM);
	return 0;
}

static int
teardown(void **state)
{
	l4xkit_destroy(*state);
	return 0;
}

/** Feed whole[off, off + len) as an IPv4 fragment. */
static size_t
piece_of(uint16_t id, size_t off, size_t len, bool more)
{
	struct pkt_ip ip = l4xkit_ip("192.0.2.1");

	ip.id = id;
	ip.frag = (uint16_t)(off / 8 | (more ? 0x2000 : 0));
	return pkt_build_ip(frame, &ip, 17, whole + off, len);
}

static void
piece(struct l4xkit *k, uint16_t id, size_t off, size_t len)
{
	l4xkit_rx(k, frame, piece_of(id, off, len, off + len < whole_len));
}

/** The same for IPv6, behind an optional destination options header. */
static void
piece6(struct l4xkit *k, uint32_t id, size_t off, size_t len, bool more, bool options)
{
	uint8_t ext[16] = { 44, 0, 1, 4 }, *f = ext + (options ? 8 : 0);
	struct pkt_ip ip = l4xkit_ip("2001:db8::1");

	f[0] = 17;
	f[1] = 0;
	pkt_put16(f + 2, (uint16_t)(off | more));
	pkt_put32(f + 4, id);
	ip.options = ext;
	ip.options_len = options ? 16 : 8;
	ip.first_ext = options ? 60 : 44;
	l4xkit_rx(k, frame, pkt_build_ip(frame, &ip, 17, whole + off, len));
}

static void
expect_datagram(struct l4xkit *k)
{
	const struct l4xkit_op *o = l4xkit_op(k);

	assert_non_null(o);
	if (o->op.type == L4X_OP_OPEN)
		o = l4xkit_expect_op(k, L4X_OP_DGRAM);
	assert_int_equal(o->op.type, L4X_OP_DGRAM);
	assert_int_equal(o->len, whole_len - 8);
	assert_memory_equal(o->data, data, o->len);
	l4xkit_expect_nothing(k);
}

static void
gathers_fragments_in_order(void **state)
{
	piece(*state, 1, 0, 1480);
	piece(*state, 1, 1480, 1480);
	l4xkit_expect_nothing(*state);
	piece(*state, 1, 2960, whole_len - 2960);
	expect_datagram(*state);
}

static void
gathers_fragments_in_any_order(void **state)
{
	static const uint8_t orders[6][3] = { { 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 }, { 1, 2, 0 },
		{ 2, 0, 1 }, { 2, 1, 0 } };

	for (unsigned int i = 0; i < 6; i++) {
		for (unsigned int j = 0; j < 3; j++) {
			size_t off = orders[i][j] * 1480u;

			piece(*state, (uint16_t)i, off, RTE_MIN((size_t)1480, whole_len - off));
		}
		expect_datagram(*state);
	}
}

static void
gathers_datagrams_side_by_side(void **state)
{
	for (size_t off = 0; off < whole_len; off += 1480)
		for (uint16_t id = 10; id < 16; id++)
			piece(*state, id, off, RTE_MIN((size_t)1480, whole_len - off));
	for (unsigned int i = 0; i < 6; i++) {
		const struct l4xkit_op *o = l4xkit_op(*state);

		if (o->op.type == L4X_OP_OPEN)
			o = l4xkit_op(*state);
		assert_int_equal(o->len, DGRAM);
	}
}

static void
gathers_the_largest_datagram(void **state)
{
	struct pkt_ip ip = l4xkit_ip("192.0.2.1");

	prepare(&ip, 65507);
	for (size_t off = 0; off < whole_len; off += 1480)
		piece(*state, 3, off, RTE_MIN((size_t)1480, whole_len - off));
	expect_datagram(*state);
}

static void
gathers_a_datagram_of_tiny_fragments(void **state)
{
	struct pkt_ip ip = l4xkit_ip("192.0.2.1");

	prepare(&ip, 1000);
	for (size_t off = 0; off < whole_len; off += 8)
		piece(*state, 3, off, RTE_MIN((size_t)8, whole_len - off));
	expect_datagram(*state);
}

static void
gathers_ipv6_fragments(void **state)
{
	struct pkt_ip ip = l4xkit_ip("2001:db8::1");

	prepare(&ip, DGRAM);
	for (unsigned int options = 0; options < 2; options++) {
		piece6(*state, 9, 1448, 1448, true, options);
		piece6(*state, 9, 2896, whole_len - 2896, false, options);
		piece6(*state, 9, 0, 1448, true, options);
		expect_datagram(*state);
	}
}

static void
keeps_datagrams_of_different_keys_apart(void **state)
{
	struct l4xkit *k = *state;
	struct pkt_ip ip = l4xkit_ip("192.0.2.2");

	piece(k, 1, 0, 1480);
	piece(k, 2, 1480, 1480);
	ip.id = 1;
	ip.frag = 2960 / 8;
	l4xkit_rx(k, frame, pkt_build_ip(frame, &ip, 17, whole + 2960, whole_len - 2960));
	l4xkit_expect_nothing(k);
	assert_int_equal(l4x_flow_count(k->l), 0);
}

static void
verifies_the_checksum_of_the_whole(void **state)
{
	struct l4xkit *k = *state;

	whole[2000] ^= 1;
	piece(k, 1, 0, 1480);
	piece(k, 1, 1480, 1480);
	piece(k, 1, 2960, whole_len - 2960);
	assert_int_equal(l4xkit_counter(k, L4X_DROP_L4_CHECKSUM), 1);
	l4xkit_expect_nothing(k);
}

static void
an_overlap_by_one_unit_ends_the_datagram(void **state)
{
	struct l4xkit *k = *state;

	piece(k, 1, 0, 1480);
	piece(k, 1, 1472, 1480);
	assert_int_equal(l4xkit_counter(k, L4X_DROP_FRAG_BAD), 1);
	/* RFC 5722: also what has not come yet. */
	piece(k, 1, 1480, 1480);
	piece(k, 1, 2960, whole_len - 2960);
	assert_int_equal(l4xkit_counter(k, L4X_DROP_FRAG_BAD), 3);
	piece(k, 2, 1480, 1480);
	piece(k, 2, 0, 1488);
	assert_int_equal(l4xkit_counter(k, L4X_DROP_FRAG_BAD), 4);
	l4xkit_expect_nothing(k);
}

static void
fragments_behind_the_last_are_refused(void **state)
{
	struct l4xkit *k = *state;

	l4xkit_rx(k, frame, piece_of(1, 1480, 100, false));
	l4xkit_rx(k, frame, piece_of(1, 2960, 800, true));
	assert_int_equal(l4xkit_counter(k, L4X_DROP_FRAG_BAD), 1);
	l4xkit_rx(k, frame, piece_of(2, 1480, 800, false));
	l4xkit_rx(k, frame, piece_of(2, 8, 800, false));
	assert_int_equal(l4xkit_counter(k, L4X_DROP_FRAG_BAD), 2);
	l4xkit_rx(k, frame, piece_of(3, 1480, 800, true));
	l4xkit_rx(k, frame, piece_of(3, 8, 800, false));
	assert_int_equal(l4xkit_counter(k, L4X_DROP_FRAG_BAD), 3);
}

static void
malformed_fragments_are_dropped(void **state)
{
	struct l4xkit *k = *state;
	size_t len = piece_of(1, 0, 1477, true);

	l4xkit_expect_drop(k, frame, len, L4X_DROP_FRAG_BAD);
	len = piece_of(2, 0, 0, true);
	l4xkit_expect_drop(k, frame, len, L4X_DROP_FRAG_BAD);
	len = piece_of(3, 65528, 8, false);
	l4xkit_expect_drop(k, frame, len, L4X_DROP_FRAG_BAD);
	l4xkit_expect_nothing(k);
}

static void
a_datagram_longer_than_ip_allows_is_dropped(void **state)
{
	struct pkt_ip ip = l4xkit_ip("192.0.2.1");
	struct l4xkit *k = *state;

	prepare(&ip, 65507);
	/* Options make the header longer than the pieces' lengths leave room for. */
	for (size_t off = 0; off < whole_len; off += 1480) {
		ip.options = (const uint8_t[]){ 1, 1, 1, 0 };
		ip.options_len = off == 0 ? 4 : 0;
		ip.frag = (uint16_t)(off / 8 | (off + 1480 < whole_len ? 0x2000 : 0));
		l4xkit_rx(k, frame,
			pkt_build_ip(frame, &ip, 17, whole + off,
				RTE_MIN((size_t)1480, whole_len - off)));
	}
	assert_int_equal(l4xkit_counter(k, L4X_DROP_FRAG_BAD), 1);
	l4xkit_expect_nothing(k);
}

static void
bad_ipv6_fragments_are_answered_by_parameter_problems(void **state)
{
	struct l4xkit *k = *state;

	piece6(k, 1, 0, 1441, true, false);
	l4xkit_expect_frame(k);
	assert_int_equal(k->view.icmp_type, 4);
	assert_int_equal(k->view.icmp_rest, 4);
	piece6(k, 1, 65528, 16, false, false);
	l4xkit_expect_frame(k);
	assert_int_equal(k->view.icmp_rest, 42);
	/* RFC 7112: a first fragment without the transport header. */
	whole_len = 8;
	piece6(k, 1, 0, 0, true, false);
	l4xkit_expect_frame(k);
	assert_int_equal(k->view.icmp_code, 3);
	assert_int_equal(l4xkit_counter(k, L4X_DROP_FRAG_BAD), 3);
	l4xkit_expect_nothing(k);
}

static void
fragments_time_out_and_the_sender_is_told(void **state)
{
	struct l4xkit *k = *state;

	piece(k, 1, 0, 1480);
	l4xkit_run(k, 14900000);
	while (l4xkit_frame(k) != NULL)
		assert_int_equal(k->view.icmp_type, 134);
	l4xkit_run(k, 200000);
	l4xkit_expect_frame(k);
	assert_int_equal(k->view.icmp_type, 11);
	assert_int_equal(k->view.icmp_code, 1);
	assert_memory_equal(k->view.data, frame + 14, 28);
	assert_int_equal(l4xkit_counter(k, L4X_DROP_FRAG_TIMEOUT), 1);
	/* The rest comes too late. */
	piece(k, 1, 1480, 1480);
	piece(k, 1, 2960, whole_len - 2960);
	l4xkit_expect_nothing(k);
	for (int options = 0; options < 2; options++) {
		piece6(k, 1, 0, 1400, true, options);
		l4xkit_run(k, 15100000);
		do
			l4xkit_expect_frame(k);
		while (k->view.icmp_type == 134 || k->view.proto != 58);
		assert_int_equal(k->view.icmp_type, 3);
		assert_int_equal(k->view.icmp_code, 1);
		assert_int_equal(k->view.data_len, 40 + 8 * options + 8 + 8);
		assert_memory_equal(k->view.data, frame + 14, k->view.data_len);
	}
}

static void
nobody_is_told_without_the_first_fragment(void **state)
{
	struct l4xkit *k = *state;

	l4x_port_link(k->l, L4XKIT_PIF, true, 0);
	piece(k, 1, 1480, 1480);
	l4xkit_run(k, 15100000);
	while (l4xkit_frame(k) != NULL)
		assert_int_equal(k->view.icmp_type, 134);
	assert_int_equal(l4xkit_counter(k, L4X_DROP_FRAG_TIMEOUT), 1);
}

static void
nobody_is_told_of_what_no_error_may_be_sent_about(void **state)
{
	uint8_t ext[] = { 58, 0, 0, 1, 0, 0, 0, 9 };
	struct l4xkit *k = *state;
	struct pkt_ip ip = l4xkit_ip("192.0.2.1"), ip6 = l4xkit_ip("2001:db8::1");
	uint8_t error[64] = { 3, 3 }, error6[64] = { 1, 4 };

	/* An ICMP error of either family; a datagram to all on the link. */
	ip.id = 9;
	ip.frag = 0x2000;
	l4xkit_rx(k, frame, pkt_build_ip(frame, &ip, 1, error, sizeof(error)));
	ip6.options = ext;
	ip6.options_len = sizeof(ext);
	ip6.first_ext = 44;
	l4xkit_rx(k, frame, pkt_build_ip(frame, &ip6, 58, error6, sizeof(error6)));
	memset(ip.dst_mac, 0xff, 6);
	l4xkit_rx(k, frame, pkt_build_ip(frame, &ip, 17, data, 64));
	l4xkit_run(k, 15100000);
	while (l4xkit_frame(k) != NULL)
		assert_int_equal(k->view.icmp_type, 134);
	assert_int_equal(l4xkit_counter(k, L4X_DROP_FRAG_TIMEOUT), 3);
	assert_int_equal(l4xkit_counter(k, L4X_COUNT_ICMP_ERRORS), 0);
}

/** More guests, on ports 2 .. n. */
static void
more_guests(struct l4xkit *k, uint16_t n)
{
	struct l4x_port_conf c = l4xkit_conf();

	for (c.pif = 2; c.pif <= n; c.pif++) {
		assert_int_equal(l4x_port_set(k->l, &c), 0);
		l4x_port_link(k->l, c.pif, true, 0);
	}
}

static void
piece_from(struct l4xkit *k, uint16_t pif, uint16_t id, size_t off, size_t len)
{
	struct rte_mbuf *m = l4xkit_mbuf(
		k, frame, (uint32_t)piece_of(id, off, len, off + len < whole_len), 0, 0);

	l4x_rx_burst(k->l, pif, 0, &m, 1, k->now_us);
	l4xkit_collect(k);
	k->now_us += 1000;
}

static void
nobody_is_shut_out_of_a_full_store(void **state)
{
	struct l4xkit *k = *state;

	/* One begins, then four fill the store. */
	more_guests(k, 6);
	piece_from(k, 5, 1, 0, 2000);
	for (uint16_t id = 0; id < 80; id++)
		piece_from(k, 1 + id % 4, id, 0, 8);
	assert_int_equal(l4xkit_counter(k, L4X_DROP_FRAG_FULL), 80 + 1 - 64);
	piece_from(k, 6, 1, 0, 2000);
	piece_from(k, 6, 2, 0, 2000);
	assert_int_equal(l4xkit_counter(k, L4X_DROP_FRAG_FULL), 80 + 3 - 64);
	piece_from(k, 5, 1, 2000, whole_len - 2000);
	expect_datagram(k);
	piece_from(k, 6, 2, 2000, whole_len - 2000);
	expect_datagram(k);
	piece_from(k, 6, 1, 2000, whole_len - 2000);
	expect_datagram(k);
}

static void
the_oldest_datagram_makes_room_for_a_guests_next(void **state)
{
	struct l4xkit *k = *state;

	more_guests(k, 2);
	piece_from(k, 2, 1, 0, 2000);
	for (uint16_t id = 0; id < 64; id++)
		piece_from(k, 1, id, 0, 2000);
	assert_int_equal(l4xkit_counter(k, L4X_DROP_FRAG_FULL), 1);
	/* The second, not the first; and nobody else's. */
	piece_from(k, 1, 1, 2000, whole_len - 2000);
	expect_datagram(k);
	piece_from(k, 2, 1, 2000, whole_len - 2000);
	expect_datagram(k);
	piece_from(k, 1, 0, 2000, whole_len - 2000);
	l4xkit_expect_nothing(k);
}

static void
fragments_of_one_guest_take_no_room_from_another(void **state)
{
	struct l4xkit *k = *state;

	more_guests(k, 2);
	piece_from(k, 2, 1, 0, 2000);
	/* All mbufs that there are, and more, in two datagrams; the second ends the first. */
	for (unsigned int i = 0; i < 490; i++)
		piece_from(k, 1, 1, i * 8, 8);
	for (unsigned int i = 0; i < 490; i++)
		piece_from(k, 1, 2, i * 8, 8);
	assert_int_equal(l4xkit_counter(k, L4X_DROP_FRAG_FULL), 0);
	for (unsigned int i = 0; i < 20; i++)
		piece_from(k, 1, 3, i * 8, 8);
	assert_int_equal(l4xkit_counter(k, L4X_DROP_FRAG_FULL), 1);
	assert_true(rte_mempool_in_use_count(k->pool) <= 1000);
	piece_from(k, 2, 1, 2000, whole_len - 2000);
	expect_datagram(k);
	/* A guest that leaves takes its fragments along. */
	while (l4x_port_remove(k->l, L4XKIT_PIF) > 0)
		l4xkit_collect(k);
	l4xkit_collect(k);
	l4xkit_discard(k);
	assert_int_equal(rte_mempool_in_use_count(k->pool), 0);
}

static void
a_datagram_that_takes_the_whole_store_is_not_completed(void **state)
{
	struct pkt_ip ip = l4xkit_ip("192.0.2.1");
	struct l4xkit *k = *state;

	prepare(&ip, 60000);
	more_guests(k, 2);
	piece_from(k, 2, 1, 0, 2000);
	for (unsigned int i = 0; i < 1200; i++)
		piece_from(k, 1, 1, i * 8, 8);
	assert_int_equal(l4xkit_counter(k, L4X_DROP_FRAG_FULL), 1200 - 999);
	piece_from(k, 2, 1, 2000, whole_len - 2000);
	expect_datagram(k);
}

static void
fragments_are_copied_out_of_guest_memory(void **state)
{
	struct l4xkit *k = *state;
	size_t len = piece_of(1, 0, 1480, true);
	unsigned int before = rte_mempool_in_use_count(k->pool);

	l4xkit_push_mbuf(k, l4xkit_mbuf(k, frame, (uint32_t)len, 256, 100));
	l4xkit_flush(k);
	/* One mbuf of our own, however many the frame had. */
	assert_int_equal(rte_mempool_in_use_count(k->pool) - before, 1);
}

static void
survives_random_fragments(void **state)
{
	struct l4xkit *k = *state;
	unsigned int seed = 815;

	k->unchecked = true;
	for (unsigned int i = 0; i < 20000; i++) {
		size_t off = (size_t)rand_r(&seed) % 60 * 8, len = (size_t)rand_r(&seed) % 80;

		if (rand_r(&seed) % 2 == 0)
			l4xkit_rx(k, frame,
				piece_of((uint16_t)(rand_r(&seed) % 8), off, len,
					rand_r(&seed) % 4 != 0));
		else
			piece6(k, (uint32_t)rand_r(&seed) % 8, off, len, rand_r(&seed) % 4 != 0,
				rand_r(&seed) % 2);
		if (i % 64 == 0)
			l4xkit_advance(k, 1000000);
		l4xkit_discard(k);
	}
	l4xkit_advance(k, 60000000);
	l4xkit_advance(k, 60000000);
	assert_int_equal(l4x_next_us(k->l) > k->now_us, true);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(gathers_fragments_in_order),
		T(gathers_fragments_in_any_order),
		T(gathers_datagrams_side_by_side),
		T(gathers_the_largest_datagram),
		T(gathers_a_datagram_of_tiny_fragments),
		T(gathers_ipv6_fragments),
		T(keeps_datagrams_of_different_keys_apart),
		T(verifies_the_checksum_of_the_whole),
		T(an_overlap_by_one_unit_ends_the_datagram),
		T(fragments_behind_the_last_are_refused),
		T(malformed_fragments_are_dropped),
		T(a_datagram_longer_than_ip_allows_is_dropped),
		T(bad_ipv6_fragments_are_answered_by_parameter_problems),
		T(fragments_time_out_and_the_sender_is_told),
		T(nobody_is_told_without_the_first_fragment),
		T(nobody_is_told_of_what_no_error_may_be_sent_about),
		T(nobody_is_shut_out_of_a_full_store),
		T(the_oldest_datagram_makes_room_for_a_guests_next),
		T(fragments_of_one_guest_take_no_room_from_another),
		T(a_datagram_that_takes_the_whole_store_is_not_completed),
		T(fragments_are_copied_out_of_guest_memory),
		T(survives_random_fragments),
	};

	l4xkit_eal("l4x_frag");
	return cmocka_run_group_tests_name("l4x_frag", tests, NULL, NULL);
}
