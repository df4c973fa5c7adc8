/* SPDX-License-Identifier: BSD-3-Clause */
/* The store of fragments: what it gathers, what it refuses, and who pays when it is full. */
#include "test_flowtab_util.h"

#include <errno.h>
#include <string.h>

#include <flowtab_frag.h>
#include <pkt.h>
#include <rte_mbuf.h>

#define L3 14
#define POOL 2047

/** A store, what is sent to it, and what comes out. */
static struct rte_mempool *pool;
static struct flowtab_frags *store;
static uint64_t now_ms;
static uint8_t packet[PKT_MAX]; /* UDP, in one piece */
static size_t packet_len;
static uint32_t evicted;

static const struct pkt_limits limits = { .mtu = 65535 };

/** One sender's datagrams. */
struct sender {
	bool v4;
	uint16_t pif, zone;
	uint8_t proto; /* 0: UDP */
	const uint8_t
		*options; /* IPv4 options; IPv6: extension headers, the fragment header last */
	size_t options_len;
	uint8_t first_ext;
	bool silent;
};

static const struct sender sender4 = { .v4 = true, .pif = 1 };
static const struct sender sender6 = { .pif = 1 };

static void
open_store(uint16_t max_mbufs, uint16_t max_zone_mbufs)
{
	const struct flowtab_frags_params p = {
		.pool = pool,
		.max_mbufs = max_mbufs,
		.max_zone_mbufs = max_zone_mbufs,
		.socket_id = SOCKET_ID_ANY,
	};

	flowtab_frags_destroy(store);
	store = flowtab_frags_create(&p);
	assert_non_null(store);
}

static struct pkt_ip
ip_of(const struct sender *s)
{
	return (struct pkt_ip){
		.src_mac = { 2, 0, 0, 0, 0, 1 },
		.dst_mac = { 2, 0, 0, 0, 0, 2 },
		.src = pkt_addr(s->v4 ? "10.0.2.15" : "fd00::15"),
		.dst = pkt_addr(s->v4 ? "10.0.2.16" : "fd00::16"),
	};
}

/** What is sent from now on: a UDP datagram of len bytes. */
static void
prepare(const struct sender *s, size_t len)
{
	static uint8_t data[PKT_MAX], frame[PKT_MAX];
	struct pkt_ip ip = ip_of(s);
	size_t head = s->v4 ? L3 + 20 : L3 + 40;

	for (size_t i = 0; i < len; i++)
		data[i] = (uint8_t)(i * 7 + i / 251);
	packet_len = pkt_build_udp(frame, &ip, 1000, 2000, data, len) - head;
	memcpy(packet, frame + head, packet_len);
}

static struct flowtab_addr
addr(const struct pkt_addr *a)
{
	struct flowtab_addr f;

	assert_int_equal(flowtab_addr_parse(&f, pkt_addr_text(a)), 0);
	return f;
}

static struct rte_mbuf *
mbuf_of(const uint8_t *frame, size_t len)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);

	assert_non_null(m);
	memcpy(rte_pktmbuf_append(m, (uint16_t)len), frame, len);
	return m;
}

/** Bytes off .. off + len of packet as a fragment. @return what was said; *whole may be NULL */
static enum flowtab_frag_reason
add(const struct sender *s, uint32_t id, size_t off, size_t len, bool more, struct rte_mbuf **whole)
{
	static uint8_t frame[PKT_MAX];
	uint8_t hdr[64] = { IPPROTO_UDP };
	struct pkt_ip ip = ip_of(s);
	struct flowtab_frag f = {
		.src = addr(&ip.src),
		.dst = addr(&ip.dst),
		.pif = s->pif,
		.zone = s->zone,
		.cookie = 77,
		.l3_off = L3,
		.l4_len = (uint32_t)len,
		.id = id,
		.off = (uint16_t)off,
		.more = more,
		.v4 = s->v4,
		.proto = s->proto != 0 ? s->proto : IPPROTO_UDP,
		.silent = s->silent,
	};
	enum flowtab_frag_reason why;
	struct rte_mbuf *m;

	if (s->v4) {
		ip.options = s->options;
		ip.options_len = s->options_len;
		ip.id = (uint16_t)id;
		ip.frag = (uint16_t)(off / 8 | (more ? 0x2000 : 0));
		f.l4_off = (uint16_t)(L3 + 20 + s->options_len);
	} else {
		memmove(hdr + s->options_len, hdr, 1);
		if (s->options_len != 0)
			memcpy(hdr, s->options, s->options_len);
		pkt_put16(hdr + s->options_len + 2, (uint16_t)(off | more));
		pkt_put32(hdr + s->options_len + 4, id);
		ip.options = hdr;
		ip.options_len = s->options_len + 8;
		ip.first_ext = s->options_len != 0 ? s->first_ext : 44;
		f.hdr_off = (uint16_t)(L3 + 40 + s->options_len);
		f.l4_off = f.hdr_off + 8;
	}
	m = mbuf_of(frame, pkt_build_ip(frame, &ip, f.proto, packet + off, len));
	f.m = m;
	why = flowtab_frags_add(store, &f, now_ms, whole, &evicted);
	assert_true(why == FLOWTAB_FRAG_OK || *whole == NULL);
	rte_pktmbuf_free(m);
	return why;
}

/** It is taken, and completes nothing. */
static void
keep(const struct sender *s, uint32_t id, size_t off, size_t len, bool more)
{
	struct rte_mbuf *whole;

	assert_int_equal(add(s, id, off, len, more, &whole), FLOWTAB_FRAG_OK);
	assert_null(whole);
}

static void
refuse(const struct sender *s, uint32_t id, size_t off, size_t len, bool more,
	enum flowtab_frag_reason why)
{
	struct rte_mbuf *whole;

	assert_int_equal(add(s, id, off, len, more, &whole), why);
}

/** It completes the packet: the sender's headers without a trace of fragments, and all bytes. */
static void
complete(const struct sender *s, uint32_t id, size_t off, size_t len, bool more)
{
	static uint8_t frame[PKT_MAX];
	size_t head = L3 + (s->v4 ? 20 : 40) + s->options_len;
	struct rte_mbuf *whole;
	const uint8_t *got;
	struct pkt_view v;

	assert_int_equal(add(s, id, off, len, more, &whole), FLOWTAB_FRAG_OK);
	assert_non_null(whole);
	assert_int_equal(rte_pktmbuf_pkt_len(whole), head + packet_len);
	assert_true(rte_pktmbuf_data_len(whole) >= RTE_MIN(head + packet_len, (size_t)256));
	got = rte_pktmbuf_read(whole, 0, rte_pktmbuf_pkt_len(whole), frame);
	assert_memory_equal(got + head, packet, packet_len);
	if (s->options_len == 0)
		assert_null(pkt_check(got, head + packet_len, NULL, &limits, &v));
	else if (!s->v4)
		assert_int_equal(pkt_get16(got + L3 + 4), s->options_len + packet_len);
	else
		assert_int_equal(pkt_sum_fold(pkt_sum(got + L3, head - L3, 0)), 0);
	rte_pktmbuf_free(whole);
}

static void
expect_empty(void)
{
	assert_int_equal(rte_mempool_in_use_count(pool), 0);
}

static int
setup(void **state)
{
	(void)state;
	now_ms = T0;
	open_store(0, 0);
	prepare(&sender4, 3992);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	flowtab_frags_destroy(store);
	store = NULL;
	expect_empty();
	return 0;
}

/* ---- gathering ---- */

static void
gathers_fragments_of_both_families_in_any_order(void **state)
{
	static const uint8_t orders[6][3] = { { 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 }, { 1, 2, 0 },
		{ 2, 0, 1 }, { 2, 1, 0 } };

	(void)state;
	for (unsigned int i = 0; i < 12; i++) {
		const struct sender *s = i < 6 ? &sender4 : &sender6;

		prepare(s, 3992);
		for (unsigned int j = 0; j < 3; j++) {
			size_t part = orders[i % 6][j], off = part * 1480;
			size_t len = part == 2 ? 4000 - off : 1480;

			if (j < 2)
				keep(s, i, off, len, part != 2);
			else
				complete(s, i, off, len, part != 2);
		}
		expect_empty();
	}
	assert_int_equal(flowtab_frags_next_ms(store), T0 + FLOWTAB_FRAG_MS);
}

static void
keeps_options_and_extension_headers(void **state)
{
	static const uint8_t options[12] = { 148, 4, 0, 0, 1, 1, 1, 1, 1, 1, 1, 0 };
	static const uint8_t exts[] = { 60, 0, 1, 4, 0, 0, 0, 0,    /* hop-by-hop */
		51, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,   /* destination options */
		44, 4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 1, 2, 3, 4, 5, /* AH */
		6, 7, 8, 9, 10, 11, 12 };
	struct sender s4 = sender4, s6 = sender6;

	(void)state;
	s4.options = options;
	s4.options_len = sizeof(options);
	keep(&s4, 1, 2000, 2000, false);
	complete(&s4, 1, 0, 2000, true);
	prepare(&s6, 3992);
	s6.options = exts;
	s6.options_len = sizeof(exts);
	s6.first_ext = 0;
	keep(&s6, 1, 2000, 2000, false);
	complete(&s6, 1, 0, 2000, true);
}

static void
mends_the_type_in_front_of_the_fragment_header(void **state)
{
	static const uint8_t options[8] = { 44, 0, 1, 4 };
	static const uint8_t ah[32] = { 60, 4, [24] = 44, [26] = 1, [27] = 4 };
	struct sender s = sender6;
	struct rte_mbuf *whole;

	(void)state;
	prepare(&s, 3992);
	for (unsigned int i = 0; i < 2; i++) {
		s.options = i == 0 ? options : ah;
		s.options_len = i == 0 ? sizeof(options) : sizeof(ah);
		s.first_ext = i == 0 ? 60 : 51;
		keep(&s, 1, 0, 2000, true);
		assert_int_equal(add(&s, 1, 2000, 2000, false, &whole), FLOWTAB_FRAG_OK);
		assert_int_equal(*rte_pktmbuf_mtod_offset(whole, uint8_t *, L3 + 6), s.first_ext);
		assert_int_equal(
			*rte_pktmbuf_mtod_offset(whole, uint8_t *, L3 + 40 + s.options_len - 8),
			IPPROTO_UDP);
		rte_pktmbuf_free(whole);
	}
}

static void
gathers_the_largest_packet_from_the_smallest_fragments(void **state)
{
	(void)state;
	prepare(&sender4, 7000);
	for (size_t off = 0; off < packet_len - 8; off += 8)
		keep(&sender4, 1, off, 8, true);
	complete(&sender4, 1, packet_len - 8, 8, false);
	prepare(&sender4, 65535 - 20 - 8);
	for (size_t off = 0; off < 64000; off += 1600)
		keep(&sender4, 2, off, 1600, true);
	complete(&sender4, 2, 64000, packet_len - 64000, false);
}

static void
keeps_what_differs_in_anything_apart(void **state)
{
	struct sender pif = sender4, zone = sender4, proto = sender4;

	(void)state;
	pif.pif = 2;
	zone.zone = 9;
	proto.proto = IPPROTO_UDPLITE;
	keep(&sender4, 1, 0, 2000, true);
	keep(&pif, 1, 2000, 2000, false);
	keep(&zone, 1, 2000, 2000, false);
	keep(&proto, 1, 2000, 2000, false);
	keep(&sender4, 2, 2000, 2000, false);
	complete(&sender4, 1, 2000, 2000, false);
	complete(&zone, 1, 0, 2000, true);
	complete(&pif, 1, 0, 2000, true);
}

static void
gathers_packets_cut_and_mixed_at_random(void **state)
{
	uint64_t seed = 3;

	(void)state;
	for (uint32_t id = 0; id < 300; id++) {
		const struct sender *s = id % 2 ? &sender4 : &sender6;
		struct {
			size_t off, len;
		} parts[128], part;
		uint32_t n = 0;

		prepare(s, 100 + rnd_below(&seed, 5000));
		for (size_t at = 0; at < packet_len; at += parts[n++].len) {
			parts[n].off = at;
			parts[n].len = RTE_MIN(48 + 8 * rnd_below(&seed, 40), packet_len - at);
		}
		for (; n > 0; n--) {
			uint32_t i = rnd_below(&seed, n);

			part = parts[i];
			parts[i] = parts[n - 1];
			if (n > 1)
				keep(s, id, part.off, part.len, part.off + part.len < packet_len);
			else
				complete(s, id, part.off, part.len,
					part.off + part.len < packet_len);
		}
	}
	expect_empty();
}

static void
fragments_are_copied(void **state)
{
	(void)state;
	keep(&sender4, 1, 0, 1000, true);
	/* The one that was given is free again. */
	assert_int_equal(rte_mempool_in_use_count(pool), 1);
}

/* ---- refusing ---- */

static void
an_overlap_by_one_byte_ends_the_datagram(void **state)
{
	(void)state;
	prepare(&sender4, 2993);
	keep(&sender4, 1, 2000, 1001, false);
	/* 3000 is the last byte of the last one. */
	refuse(&sender4, 1, 3000, 8, true, FLOWTAB_FRAG_BAD);
	expect_empty();
	refuse(&sender4, 1, 0, 2000, true, FLOWTAB_FRAG_BAD);
	refuse(&sender4, 1, 2000, 1001, false, FLOWTAB_FRAG_BAD);
	expect_empty();
	now_ms += FLOWTAB_FRAG_MS;
	assert_true(flowtab_frags_expire(store, now_ms, &(struct flowtab_frag_late){ 0 }));
	keep(&sender4, 1, 2000, 1001, false);
	complete(&sender4, 1, 0, 2000, true);
}

static void
any_overlap_ends_the_datagram(void **state)
{
	static const struct {
		size_t off, len;
		bool more;
	} second[] = {
		{ 800, 800, true },   /* the same again */
		{ 792, 16, true },    /* over its beginning */
		{ 1592, 16, true },   /* over its end */
		{ 1000, 8, true },    /* within */
		{ 0, 2000, true },    /* around it */
		{ 0, 808, true },     /* the first, over its beginning */
		{ 1592, 100, false }, /* the last, over its end */
		{ 800, 8, false },    /* the last is not behind all others */
		{ 0, 100, false },
	};

	(void)state;
	for (uint32_t i = 0; i < RTE_DIM(second); i++) {
		keep(&sender4, i, 800, 800, true);
		refuse(&sender4, i, second[i].off, second[i].len, second[i].more, FLOWTAB_FRAG_BAD);
		refuse(&sender4, i, 1600, 8, true, FLOWTAB_FRAG_BAD);
		expect_empty();
	}
}

static void
nothing_lies_behind_the_last(void **state)
{
	(void)state;
	keep(&sender4, 1, 800, 100, false);
	refuse(&sender4, 1, 904, 8, true, FLOWTAB_FRAG_BAD);
	keep(&sender4, 2, 800, 100, false);
	refuse(&sender4, 2, 1600, 100, false, FLOWTAB_FRAG_BAD);
	/* Up to the end, but said not to be it. */
	keep(&sender4, 3, 808, 80, false);
	refuse(&sender4, 3, 880, 8, true, FLOWTAB_FRAG_BAD);
}

static void
malformed_fragments_are_refused_and_leave_nothing(void **state)
{
	struct flowtab_frag_late late;

	(void)state;
	refuse(&sender4, 1, 0, 0, true, FLOWTAB_FRAG_BAD);
	refuse(&sender4, 1, 0, 9, true, FLOWTAB_FRAG_BAD);
	refuse(&sender4, 1, 65528, 16, false, FLOWTAB_FRAG_BAD);
	assert_int_equal(flowtab_frags_next_ms(store), UINT64_MAX);
	assert_false(flowtab_frags_expire(store, now_ms + FLOWTAB_FRAG_MS, &late));
}

static void
a_packet_longer_than_ip_allows_is_refused(void **state)
{
	(void)state;
	keep(&sender4, 1, 0, 1600, true);
	for (size_t off = 1600; off < 64000; off += 1600)
		keep(&sender4, 1, off, 1600, true);
	/* 65535 bytes and a header */
	refuse(&sender4, 1, 64000, 1535, false, FLOWTAB_FRAG_BAD);
	expect_empty();
}

static void
headers_longer_than_can_be_kept_are_refused(void **state)
{
	uint8_t frame[FLOWTAB_FRAG_HEAD + 8 + 8] = { 0 };
	struct flowtab_frag f = {
		.pif = 1,
		.l3_off = L3,
		.hdr_off = FLOWTAB_FRAG_HEAD,
		.l4_off = FLOWTAB_FRAG_HEAD + 8,
		.l4_len = 8,
		.more = true,
	};
	struct rte_mbuf *m = mbuf_of(frame, sizeof(frame)), *whole;

	(void)state;
	f.m = m;
	assert_int_equal(flowtab_frags_add(store, &f, now_ms, &whole, &evicted), FLOWTAB_FRAG_BAD);
	rte_pktmbuf_free(m);
}

/* ---- time ---- */

static void
incomplete_datagrams_expire_and_quote_their_first_fragment(void **state)
{
	const struct sender *senders[2] = { &sender4, &sender6 };
	struct flowtab_frag_late late;

	(void)state;
	for (unsigned int i = 0; i < 2; i++) {
		size_t head = i == 0 ? 20 : 48;

		prepare(senders[i], 3992);
		keep(senders[i], 5, 0, 1480, true);
		now_ms += 10000;
		/* Later ones make it no younger. */
		keep(senders[i], 5, 1480, 1480, true);
		assert_int_equal(flowtab_frags_next_ms(store), now_ms + 5000);
		assert_false(flowtab_frags_expire(store, now_ms + 4999, &late));
		assert_true(flowtab_frags_expire(store, now_ms + 5000, &late));
		assert_int_equal(late.pif, 1);
		assert_int_equal(late.cookie, 77);
		assert_int_equal(late.v4, senders[i]->v4);
		assert_int_equal(late.quote_len, head + 8);
		assert_int_equal(late.quote[0] >> 4, i == 0 ? 4 : 6);
		assert_int_equal(late.quote[6], i == 0 ? 0x20 : 44);
		assert_memory_equal(late.quote + head, packet, 8);
		assert_false(flowtab_frags_expire(store, now_ms + 5000, &late));
		assert_int_equal(flowtab_frags_next_ms(store), UINT64_MAX);
		expect_empty();
	}
}

static void
nobody_is_to_be_told_without_the_first_fragment_or_leave(void **state)
{
	struct sender silent = sender4;
	struct flowtab_frag_late late;

	(void)state;
	silent.silent = true;
	keep(&sender4, 1, 1480, 1480, true);
	keep(&silent, 2, 0, 1480, true);
	keep(&sender4, 3, 0, 1480, true);
	refuse(&sender4, 3, 0, 1480, true, FLOWTAB_FRAG_BAD);
	for (unsigned int i = 0; i < 3; i++) {
		assert_true(flowtab_frags_expire(store, now_ms + FLOWTAB_FRAG_MS, &late));
		assert_int_equal(late.quote_len, 0);
	}
	assert_false(flowtab_frags_expire(store, now_ms + FLOWTAB_FRAG_MS, &late));
}

static void
a_port_that_goes_takes_its_fragments_along(void **state)
{
	struct sender other = sender4;

	(void)state;
	other.pif = 2;
	for (uint32_t id = 0; id < 10; id++)
		keep(&sender4, id, 0, 800, true);
	keep(&other, 1, 0, 2000, true);
	flowtab_frags_flush(store, 1);
	assert_int_equal(rte_mempool_in_use_count(pool), 1);
	complete(&other, 1, 2000, 2000, false);
}

/* ---- limits ---- */

static void
the_port_that_sends_most_pays_when_the_store_is_full(void **state)
{
	struct sender other = sender4;
	uint32_t gone = 0;

	(void)state;
	open_store(100, 0);
	other.pif = 2;
	keep(&other, 1, 0, 2000, true);
	for (uint32_t i = 0; i < 500; i++, now_ms++) {
		keep(&sender4, i / 30, i % 30 * 8, 8, true);
		gone += evicted;
		assert_in_range(rte_mempool_in_use_count(pool), 0, 100);
	}
	assert_in_range(gone, 500 / 30 - 3, 500 / 30);
	complete(&other, 1, 2000, 2000, false);
}

static void
datagrams_are_limited_too_and_the_port_with_most_pays(void **state)
{
	struct sender other = sender4;

	(void)state;
	other.pif = 2;
	keep(&other, 1, 0, 2000, true);
	for (uint32_t id = 0; id < 200; id++, now_ms++) {
		keep(&sender4, id, 0, 8, true);
		assert_int_equal(evicted, id < 63 ? 0 : 1);
	}
	/* Its oldest have gone. */
	for (uint32_t id = 150; id < 200; id += 49) {
		keep(&sender4, id, 8, 1992, true);
		complete(&sender4, id, 2000, 2000, false);
	}
	/* Without mbufs, too. */
	for (uint32_t id = 0; id < 200; id++, now_ms++) {
		keep(&sender4, 1000 + id, 0, 8, true);
		refuse(&sender4, 1000 + id, 0, 8, true, FLOWTAB_FRAG_BAD);
	}
	complete(&other, 1, 2000, 2000, false);
}

static void
a_flood_of_one_zone_from_many_ports_leaves_other_zones_alone(void **state)
{
	struct sender flood = sender4, other = sender4;

	(void)state;
	/* The other zone has one port, which holds more than each of those that flood. */
	other.pif = 200;
	other.zone = 2;
	for (uint32_t id = 0; id < 5; id++)
		for (size_t off = 0; off < 80; off += 8)
			keep(&other, id, off, 8, true);
	for (uint32_t i = 0; i < 3000; i++, now_ms++) {
		flood.pif = (uint16_t)(1 + i % 150);
		keep(&flood, i / 150, i % 100 * 8, 8, true);
	}
	for (uint32_t id = 0; id < 5; id++)
		complete(&other, id, 80, packet_len - 80, false);
}

static void
a_zone_may_hold_no_more_than_its_limit(void **state)
{
	struct sender a = sender4, b = sender4, other = sender4;
	uint32_t gone = 0;

	(void)state;
	open_store(1000, 50);
	a.zone = b.zone = 7;
	b.pif = 2;
	other.zone = 8;
	keep(&other, 1, 0, 2000, true);
	keep(&b, 1, 0, 2000, true);
	for (uint32_t i = 0; i < 500; i++, now_ms++) {
		keep(&a, i / 20, i % 20 * 8, 8, true);
		gone += evicted;
		/* and the one of the other zone */
		assert_in_range(rte_mempool_in_use_count(pool), 0, 51);
	}
	assert_true(gone > 20);
	/* Within the zone, too, it is the port that holds most that pays. */
	complete(&b, 1, 2000, 2000, false);
	complete(&other, 1, 2000, 2000, false);
}

static void
a_datagram_larger_than_what_there_is_is_not_completed(void **state)
{
	struct sender other = sender4;

	(void)state;
	open_store(100, 0);
	other.pif = 2;
	keep(&other, 1, 0, 2000, true);
	for (unsigned int i = 0; i < 99; i++)
		keep(&sender4, 1, i * 8, 8, true);
	for (unsigned int i = 99; i < 200; i++) {
		refuse(&sender4, 1, i * 8, 8, true, FLOWTAB_FRAG_FULL);
		assert_int_equal(evicted, 0);
	}
	complete(&other, 1, 2000, 2000, false);
	open_store(1000, 10);
	for (unsigned int i = 0; i < 10; i++)
		keep(&sender4, 1, i * 8, 8, true);
	refuse(&sender4, 1, 80, 8, true, FLOWTAB_FRAG_FULL);
}

/* ---- memory ---- */

/** Take all mbufs but so many. */
static unsigned int
exhaust(struct rte_mbuf *taken[], unsigned int but)
{
	unsigned int n = 0;

	while (rte_mempool_avail_count(pool) > but)
		taken[n++] = rte_pktmbuf_alloc(pool);
	return n;
}

static void
an_empty_pool_loses_fragments_and_nothing_else(void **state)
{
	static struct rte_mbuf *taken[POOL];
	struct flowtab_frag_late late;
	struct rte_mbuf *whole;
	unsigned int n;

	(void)state;
	n = exhaust(taken, 1); /* the one that is given */
	refuse(&sender4, 1, 0, 8, true, FLOWTAB_FRAG_NO_MBUF);
	rte_pktmbuf_free_bulk(taken, n);
	expect_empty();
	assert_false(flowtab_frags_expire(store, now_ms + FLOWTAB_FRAG_MS, &late));
	keep(&sender4, 1, 0, 2000, true);
	n = exhaust(taken, 2); /* and its copy: none is left for the whole */
	assert_int_equal(add(&sender4, 1, 2000, 2000, false, &whole), FLOWTAB_FRAG_NO_MBUF);
	rte_pktmbuf_free_bulk(taken, n);
	expect_empty();
}

static void
a_store_needs_a_pool_and_may_be_none(void **state)
{
	struct flowtab_frags_params p = { .socket_id = SOCKET_ID_ANY };

	(void)state;
	assert_null(flowtab_frags_create(&p));
	assert_int_equal(rte_errno, EINVAL);
	p.pool = pool;
	p.max_mbufs = UINT16_MAX;
	assert_null(flowtab_frags_create(&p));
	assert_int_equal(rte_errno, EINVAL);
	flowtab_frags_destroy(NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(gathers_fragments_of_both_families_in_any_order),
		TEST(keeps_options_and_extension_headers),
		TEST(mends_the_type_in_front_of_the_fragment_header),
		TEST(gathers_the_largest_packet_from_the_smallest_fragments),
		TEST(keeps_what_differs_in_anything_apart),
		TEST(gathers_packets_cut_and_mixed_at_random),
		TEST(fragments_are_copied),
		TEST(an_overlap_by_one_byte_ends_the_datagram),
		TEST(any_overlap_ends_the_datagram),
		TEST(nothing_lies_behind_the_last),
		TEST(malformed_fragments_are_refused_and_leave_nothing),
		TEST(a_packet_longer_than_ip_allows_is_refused),
		TEST(headers_longer_than_can_be_kept_are_refused),
		TEST(incomplete_datagrams_expire_and_quote_their_first_fragment),
		TEST(nobody_is_to_be_told_without_the_first_fragment_or_leave),
		TEST(a_port_that_goes_takes_its_fragments_along),
		TEST(the_port_that_sends_most_pays_when_the_store_is_full),
		TEST(datagrams_are_limited_too_and_the_port_with_most_pays),
		TEST(a_flood_of_one_zone_from_many_ports_leaves_other_zones_alone),
		TEST(a_zone_may_hold_no_more_than_its_limit),
		TEST(a_datagram_larger_than_what_there_is_is_not_completed),
		TEST(an_empty_pool_loses_fragments_and_nothing_else),
		TEST(a_store_needs_a_pool_and_may_be_none),
	};
	int rc;

	if (eal_start("128") < 0)
		return 1;
	pool = rte_pktmbuf_pool_create("pool", POOL, 0, 0, 4096, SOCKET_ID_ANY);
	rc = pool != NULL ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
	eal_stop();
	return rc;
}
