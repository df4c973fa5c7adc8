/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Packets whose addresses and ports are written anew must be what the builder makes of the new ones
 * at once, byte for byte: it computes every checksum over the whole packet.
 */
#include "test_flowtab_util.h"

#include <ct_priv.h>
#include <pkt.h>

#define L3 14
#define ROUNDS 400

static struct rte_mempool *pool;

/* The core is not under test. */
bool
ct_refuse(struct ct *ct, struct ct_pkt *p, enum ct_verdict verdict, enum ct_reason reason)
{
	(void)ct;
	p->verdict = verdict;
	p->reason = reason;
	return false;
}

enum kind {
	TCP,
	UDP,
	UDPLITE,
	DCCP,
	SCTP,
	ECHO,
	OTHER,
	KINDS,
};

/** One packet; all that is to stand in it. */
struct spec {
	enum kind kind;
	struct pkt_ip ip;
	uint16_t sport, dport; /**< ECHO: sport is the id */
	uint8_t data[1600];
	size_t len;
	bool reply, partial, no_sum;
	uint8_t covered; /**< UDPLITE, DCCP: bytes of payload that are, plus 1; 0: all */
};

static uint32_t
crc32c(const uint8_t *p, size_t len)
{
	uint32_t crc = 0xffffffff;

	while (len-- > 0) {
		crc ^= *p++;
		for (unsigned int i = 0; i < 8; i++)
			crc = crc >> 1 ^ ((crc & 1) != 0 ? 0x82f63b78 : 0);
	}
	return ~crc;
}

static size_t
build_udplite(const struct spec *s, uint8_t *out)
{
	uint32_t pseudo =
		pkt_sum_pseudo(&s->ip.src, &s->ip.dst, IPPROTO_UDPLITE, (uint32_t)(8 + s->len));
	size_t covers = 8 + (s->covered != 0 ? RTE_MIN(s->covered - 1U, s->len) : s->len);
	uint8_t l4[2048] = { 0 };
	uint16_t sum;

	pkt_put16(l4, s->sport);
	pkt_put16(l4 + 2, s->dport);
	pkt_put16(l4 + 4, s->covered != 0 ? (uint16_t)covers : 0);
	memcpy(l4 + 8, s->data, s->len);
	sum = pkt_sum_fold(pkt_sum(l4, covers, pseudo));
	pkt_put16(l4 + 6, sum != 0 ? sum : 0xffff);
	return pkt_build_ip(out, &s->ip, IPPROTO_UDPLITE, l4, 8 + s->len);
}

static size_t
build_dccp(const struct spec *s, uint8_t *out)
{
	uint32_t pseudo =
		pkt_sum_pseudo(&s->ip.src, &s->ip.dst, IPPROTO_DCCP, (uint32_t)(12 + s->len));
	uint8_t l4[2048] = { 0 };

	pkt_put16(l4, s->sport);
	pkt_put16(l4 + 2, s->dport);
	l4[4] = 3;
	l4[5] = s->covered != 0 ? 1 : 0; /* CsCov 1: the header alone */
	memcpy(l4 + 12, s->data, s->len);
	pkt_put16(l4 + 6, pkt_sum_fold(pkt_sum(l4, s->covered != 0 ? 12 : 12 + s->len, pseudo)));
	return pkt_build_ip(out, &s->ip, IPPROTO_DCCP, l4, 12 + s->len);
}

static size_t
build_sctp(const struct spec *s, uint8_t *out)
{
	uint8_t l4[2048] = { [4] = 0xca, 0xfe, 0xba, 0xbe };
	rte_le32_t crc = 0;

	pkt_put16(l4, s->sport);
	pkt_put16(l4 + 2, s->dport);
	memcpy(l4 + 12, s->data, s->len);
	if (!s->partial)
		crc = rte_cpu_to_le_32(crc32c(l4, 12 + s->len));
	memcpy(l4 + 8, &crc, sizeof(crc));
	return pkt_build_ip(out, &s->ip, IPPROTO_SCTP, l4, 12 + s->len);
}

/** Where the transport begins. */
static size_t
l4_of(const struct spec *s)
{
	return L3 + (s->ip.dst.len == 4 ? 20 : 40) + s->ip.options_len;
}

static size_t
build(const struct spec *s, uint8_t *out)
{
	const struct pkt_tcp tcp = { .sport = s->sport,
		.dport = s->dport,
		.seq = 0x12345678,
		.flags = PKT_ACK,
		.win = 999,
		.mss = 1460,
		.wscale = -1 };
	bool v4 = s->ip.dst.len == 4;
	uint8_t echo = v4 ? CT_ICMP_ECHO : CT_ICMP6_ECHO, proto, *sum;
	size_t len;

	switch (s->kind) {
	case TCP:
		len = pkt_build_tcp(out, &s->ip, &tcp, s->data, s->len);
		proto = IPPROTO_TCP;
		sum = out + l4_of(s) + 16;
		break;
	case UDP:
		len = pkt_build_udp(out, &s->ip, s->sport, s->dport, s->data, s->len);
		proto = IPPROTO_UDP;
		sum = out + l4_of(s) + 6;
		break;
	case UDPLITE:
		return build_udplite(s, out);
	case DCCP:
		return build_dccp(s, out);
	case SCTP:
		return build_sctp(s, out);
	case ECHO:
		if (s->reply)
			echo = v4 ? CT_ICMP_ECHO_REPLY : CT_ICMP6_ECHO_REPLY;
		len = pkt_build_icmp(
			out, &s->ip, echo, 0, (uint32_t)s->sport << 16 | 77, s->data, s->len);
		proto = IPPROTO_ICMPV6;
		sum = out + l4_of(s) + 2;
		break;
	default:
		return pkt_build_ip(out, &s->ip, 47, s->data, s->len);
	}
	if (s->no_sum)
		pkt_put16(sum, 0);
	else if (s->partial)
		pkt_put16(sum,
			(uint16_t)~pkt_sum_fold(pkt_sum_pseudo(
				&s->ip.src, &s->ip.dst, proto, (uint32_t)(len - l4_of(s)))));
	return len;
}

static struct flowtab_addr
addr_of(const struct pkt_addr *a)
{
	rte_be32_t v4;

	memcpy(&v4, a->b, sizeof(v4));
	return a->len == 4 ? flowtab_addr_v4(v4) : flowtab_addr_v6(a->b);
}

static struct ct_rewrite
rewrite_to(const struct spec *s)
{
	return (struct ct_rewrite){
		.src = addr_of(&s->ip.src),
		.dst = addr_of(&s->ip.dst),
		.sport = rte_cpu_to_be_16(s->sport),
		.dport = rte_cpu_to_be_16(s->dport),
	};
}

/** In a chain, all headers in the first segment, which begins at an odd address if asked. */
static struct rte_mbuf *
chain(const uint8_t *frame, size_t len, size_t first, size_t seg, bool odd)
{
	struct rte_mbuf *head = NULL, *m;

	for (size_t at = 0, n = RTE_MIN(first, len); at < len;
		at += n, n = RTE_MIN(seg, len - at)) {
		m = rte_pktmbuf_alloc(pool);
		assert_non_null(m);
		if (odd)
			m->data_off++;
		memcpy(rte_pktmbuf_append(m, (uint16_t)n), frame + at, n);
		if (head == NULL)
			head = m;
		else
			assert_int_equal(rte_pktmbuf_chain(head, m), 0);
	}
	return head;
}

static void
parse(struct ct_pkt *p, struct flowtab_tuple *t)
{
	memset(t, 0, sizeof(*t));
	p->l3_off = L3;
	assert_int_equal(ct_pkt_parse(p, t), 0);
}

static void
assert_bytes(const uint8_t *is, const uint8_t *want, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (is[i] != want[i])
			fail_msg("byte %zu of %zu is %02x, not %02x", i, len, is[i], want[i]);
	}
}

/** Rewrite frame, cut at random, with to; it must be want then. */
static void
assert_becomes(uint64_t *seed, const uint8_t *frame, const uint8_t *want, size_t len,
	const struct ct_rewrite *to, uint8_t flags)
{
	static uint8_t is[PKT_MAX];
	struct ct_pkt p = { .flags = flags };
	struct flowtab_tuple t;
	size_t first = RTE_MIN(len, L3 + 110 + rnd_below(seed, 100));

	p.m = chain(frame, len, first, 1 + rnd_below(seed, 700), rnd(seed) & 1);
	parse(&p, &t);
	ct_rewrite(&p, to);
	assert_int_equal(rte_pktmbuf_pkt_len(p.m), len);
	memcpy(is, rte_pktmbuf_read(p.m, 0, (uint32_t)len, is), len);
	rte_pktmbuf_free(p.m);
	assert_bytes(is, want, len);
}

static void
random_addrs(uint64_t *seed, struct spec *s, bool v4)
{
	struct pkt_addr *both[] = { &s->ip.src, &s->ip.dst };

	for (unsigned int i = 0; i < RTE_DIM(both); i++) {
		both[i]->len = v4 ? 4 : 16;
		for (unsigned int n = 0; n < both[i]->len; n++)
			both[i]->b[n] = (uint8_t)rnd(seed);
		both[i]->b[0] = v4 ? 10 : 0xfd;
	}
	s->sport = (uint16_t)(1 + rnd_below(seed, 65535));
	s->dport = s->kind == ECHO ? s->sport : (uint16_t)(1 + rnd_below(seed, 65535));
}

/** A packet of the kind, one in two with IPv4 options or IPv6 extension headers. */
static struct spec
random_spec(uint64_t *seed, enum kind kind, bool v4)
{
	static const uint8_t options4[8] = { 1, 1, 1, 7, 4, 4, 0, 0 };
	uint8_t last = (uint8_t[]){ IPPROTO_TCP, IPPROTO_UDP, IPPROTO_UDPLITE, IPPROTO_DCCP,
		IPPROTO_SCTP, IPPROTO_ICMPV6, 47 }[kind];
	static uint8_t options6[KINDS][16];
	struct spec s = { .kind = kind, .len = rnd_below(seed, sizeof(s.data)) };

	random_addrs(seed, &s, v4);
	for (size_t i = 0; i < s.len; i++)
		s.data[i] = (uint8_t)rnd(seed);
	s.reply = rnd(seed) & 1;
	s.covered = (uint8_t)rnd_below(seed, 9);
	if (rnd(seed) & 1)
		return s;
	s.ip.options = options4;
	s.ip.options_len = sizeof(options4);
	if (!v4) {
		s.ip.first_ext = IPPROTO_HOPOPTS;
		memcpy(options6[kind],
			(uint8_t[16]){ IPPROTO_DSTOPTS, 0, 1, 4, [8] = last, 0, 1, 4 }, 16);
		s.ip.options = options6[kind];
		s.ip.options_len = 16;
	}
	return s;
}

static void
rewrites_as_if_built_anew(enum kind kind, uint8_t flags)
{
	static uint8_t frame[PKT_MAX], want[PKT_MAX];
	uint64_t seed = 1000 + kind;

	for (unsigned int n = 0; n < ROUNDS; n++) {
		struct spec s = random_spec(&seed, kind, n & 1);
		struct ct_rewrite to;
		size_t len;

		s.partial = (flags & CT_PKT_CSUM_PARTIAL) != 0;
		len = build(&s, frame);
		random_addrs(&seed, &s, n & 1);
		assert_int_equal(build(&s, want), len);
		if (s.partial && kind == ECHO && (n & 1) != 0)
			continue; /* has no pseudo-header */
		to = rewrite_to(&s);
		assert_becomes(&seed, frame, want, len, &to, flags);
		/* to what stands there already: nothing happens */
		assert_becomes(&seed, want, want, len, &to, flags);
	}
}

static void
tcp_is_rewritten_with_its_checksum(void **state)
{
	rewrites_as_if_built_anew(TCP, 0);
}

static void
udp_is_rewritten_with_its_checksum(void **state)
{
	rewrites_as_if_built_anew(UDP, 0);
}

static void
udplite_is_rewritten_whatever_its_checksum_covers(void **state)
{
	rewrites_as_if_built_anew(UDPLITE, 0);
}

static void
dccp_is_rewritten_whatever_its_checksum_covers(void **state)
{
	rewrites_as_if_built_anew(DCCP, 0);
}

static void
sctp_is_rewritten_with_its_crc_of_the_whole_packet(void **state)
{
	rewrites_as_if_built_anew(SCTP, 0);
}

static void
echo_ids_are_rewritten_in_both_families(void **state)
{
	rewrites_as_if_built_anew(ECHO, 0);
}

static void
of_other_protocols_only_addresses_are_rewritten(void **state)
{
	rewrites_as_if_built_anew(OTHER, 0);
}

static void
a_partial_checksum_follows_the_addresses_alone(void **state)
{
	rewrites_as_if_built_anew(TCP, CT_PKT_CSUM_PARTIAL);
	rewrites_as_if_built_anew(UDP, CT_PKT_CSUM_PARTIAL);
	rewrites_as_if_built_anew(ECHO, CT_PKT_CSUM_PARTIAL);
	rewrites_as_if_built_anew(SCTP, CT_PKT_CSUM_PARTIAL);
}

static void
udp_without_a_checksum_stays_without(void **state)
{
	static uint8_t frame[PKT_MAX], want[PKT_MAX];
	uint64_t seed = 7;

	for (unsigned int n = 0; n < ROUNDS; n++) {
		struct spec s = random_spec(&seed, UDP, true);
		struct ct_rewrite to;
		size_t len;

		s.no_sum = true;
		len = build(&s, frame);
		random_addrs(&seed, &s, true);
		build(&s, want);
		to = rewrite_to(&s);
		assert_becomes(&seed, frame, want, len, &to, 0);
	}
}

/** Data that makes the checksum come out as 0. */
static void
make_sum_zero(struct spec *s, uint8_t *frame, size_t sum_at)
{
	s->len = 40;
	pkt_put16(s->data + 2, 0);
	build(s, frame);
	/* the sum lacks as much as the checksum says */
	pkt_put16(s->data + 2, pkt_get16(frame + l4_of(s) + sum_at));
}

static void
a_udp_checksum_that_comes_out_as_0_is_written_as_ffff(void **state)
{
	static uint8_t frame[PKT_MAX], want[PKT_MAX];
	uint64_t seed = 8;

	for (unsigned int n = 0; n < ROUNDS; n++) {
		struct spec from = random_spec(&seed, n & 2 ? UDP : UDPLITE, n & 1), to = from;
		struct ct_rewrite way;
		size_t len;

		from.covered = 0;
		to.covered = 0;
		random_addrs(&seed, &to, n & 1);
		make_sum_zero(&to, want, 6);
		memcpy(from.data, to.data, sizeof(from.data));
		from.len = to.len;
		len = build(&from, frame);
		build(&to, want);
		assert_int_equal(pkt_get16(want + l4_of(&to) + 6), 0xffff);
		way = rewrite_to(&to);
		assert_becomes(&seed, frame, want, len, &way, 0);
		/* and from there on */
		way = rewrite_to(&from);
		assert_becomes(&seed, want, frame, len, &way, 0);
	}
}

static void
other_checksums_of_0_are_as_good_as_any(void **state)
{
	static uint8_t frame[PKT_MAX], want[PKT_MAX];
	uint64_t seed = 9;

	for (unsigned int n = 0; n < ROUNDS; n++) {
		struct spec from = random_spec(&seed, n & 2 ? TCP : DCCP, n & 1), to = from;
		size_t len, sum_at = n & 2 ? 16 : 6;
		struct ct_rewrite way;

		from.covered = 0;
		to.covered = 0;
		random_addrs(&seed, &to, n & 1);
		make_sum_zero(&to, want, sum_at);
		memcpy(from.data, to.data, sizeof(from.data));
		from.len = to.len;
		len = build(&from, frame);
		build(&to, want);
		assert_int_equal(pkt_get16(want + l4_of(&to) + sum_at), 0);
		way = rewrite_to(&to);
		assert_becomes(&seed, frame, want, len, &way, 0);
		way = rewrite_to(&from);
		assert_becomes(&seed, want, frame, len, &way, 0);
	}
}

/** Translation must not hide what happened to a packet before. */
static void
a_damaged_packet_stays_damaged(void **state)
{
	static uint8_t frame[PKT_MAX], want[PKT_MAX];
	uint64_t seed = 10;

	for (unsigned int n = 0; n < 7 * ROUNDS; n++) {
		enum kind kind = (enum kind)(n % KINDS);
		struct spec s = random_spec(&seed, kind, n & 1);
		struct ct_rewrite to;
		uint8_t bit;
		size_t len;

		s.len = RTE_MAX(s.len, 16U);
		len = build(&s, frame);
		random_addrs(&seed, &s, n & 1);
		build(&s, want);
		bit = (uint8_t)(1 << rnd_below(&seed, 8));
		frame[len - 1] ^= bit;
		want[len - 1] ^= bit;
		to = rewrite_to(&s);
		assert_becomes(&seed, frame, want, len, &to, 0);
	}
}

static void
icmp_errors_keep_what_stands_where_ids_would(void **state)
{
	static uint8_t frame[PKT_MAX], want[PKT_MAX];
	static const uint8_t types[2][5] = { { 1, 2, 3, 4, 127 },
		{ CT_ICMP_UNREACH, CT_ICMP_QUENCH, CT_ICMP_REDIRECT, CT_ICMP_TIME,
			CT_ICMP_PARAMPROB } };
	uint64_t seed = 11;

	for (unsigned int n = 0; n < ROUNDS; n++) {
		bool v4 = n & 1;
		struct spec s = random_spec(&seed, OTHER, v4);
		uint8_t type = types[v4][rnd_below(&seed, 5)];
		uint32_t rest = (uint32_t)rnd(&seed);
		struct ct_rewrite to;
		size_t len;

		s.ip.options_len = 0;
		len = pkt_build_icmp(frame, &s.ip, type, 1, rest, s.data, s.len);
		random_addrs(&seed, &s, v4);
		pkt_build_icmp(want, &s.ip, type, 1, rest, s.data, s.len);
		to = rewrite_to(&s);
		assert_becomes(&seed, frame, want, len, &to, 0);
	}
}

static void
all_icmp_queries_have_an_id(void **state)
{
	static uint8_t frame[PKT_MAX], want[PKT_MAX];
	static const uint8_t types[] = { 0, 8, 13, 14, 15, 16, 17, 18 };
	uint64_t seed = 12;

	for (unsigned int n = 0; n < RTE_DIM(types); n++) {
		struct spec s = random_spec(&seed, ECHO, true);
		struct ct_rewrite to;
		size_t len;

		s.ip.options_len = 0;
		len = pkt_build_icmp(
			frame, &s.ip, types[n], 0, (uint32_t)s.sport << 16, s.data, s.len);
		random_addrs(&seed, &s, true);
		pkt_build_icmp(want, &s.ip, types[n], 0, (uint32_t)s.sport << 16, s.data, s.len);
		to = rewrite_to(&s);
		assert_becomes(&seed, frame, want, len, &to, 0);
	}
}

/* ---- quotes ---- */

static uint16_t
sum_of(const uint8_t *bytes, size_t len)
{
	return (uint16_t)~pkt_sum_fold(pkt_sum(bytes, len, 0));
}

/** To the sum before, in the order of memory, comes what the function said. */
static void
assert_gain(uint16_t before, uint16_t gain, uint16_t after)
{
	uint8_t g[2];

	memcpy(g, &gain, sizeof(g));
	assert_int_equal((uint16_t)~pkt_sum_fold((uint32_t)before + pkt_get16(g)), after);
}

/** A quote of n bytes of the packet as it was translated becomes one of how it had been sent. */
static void
assert_quote(uint8_t *quote, const uint8_t *seen, const uint8_t *sent, size_t n,
	const struct ct_rewrite *to)
{
	uint16_t gain;

	memcpy(quote, seen, n);
	gain = ct_rewrite_quote(quote, (uint32_t)n, to);
	assert_bytes(quote, sent, n);
	assert_gain(sum_of(seen, n), gain, sum_of(sent, n));
}

/** A checksum of which the quote holds a part cannot be mended: it stays as it was seen. */
static void
leave_cut_checksum(const struct spec *s, uint8_t *want, const uint8_t *seen, size_t cut)
{
	size_t at = l4_of(s) - L3 + (s->kind == TCP ? 16 : 8), size = s->kind == TCP ? 2 : 4;

	if ((s->kind == TCP || s->kind == SCTP) && cut > at && cut < at + size)
		memcpy(want + at, seen + at, cut - at);
}

static void
assert_quotes(const struct spec *s, const uint8_t *seen, const uint8_t *sent, size_t len,
	const struct ct_rewrite *to)
{
	static uint8_t want[PKT_MAX];
	size_t head = l4_of(s) - L3;
	uint8_t *quote;

	for (size_t cut = head + 8; cut <= len; cut += 1 + (cut > head + 40) * 97) {
		memcpy(want, sent, cut);
		leave_cut_checksum(s, want, seen, cut);
		/* in memory of its own: nothing behind it may be touched */
		quote = malloc(cut);
		assert_quote(quote, seen, want, cut, to);
		free(quote);
	}
}

static void
quotes_are_mended_as_if_never_translated(void **state)
{
	static uint8_t sent[PKT_MAX], seen[PKT_MAX];
	uint64_t seed = 20;

	for (unsigned int n = 0; n < KINDS * 60; n++) {
		enum kind kind = (enum kind)(n % KINDS);
		struct spec s = random_spec(&seed, kind, n & 1);
		struct ct_rewrite to = rewrite_to(&s);
		size_t len;

		s.len = RTE_MAX(s.len, 16U);
		s.no_sum = kind == UDP && (n & 1) != 0 && n % 3 == 0;
		len = build(&s, sent);
		random_addrs(&seed, &s, n & 1);
		build(&s, seen);
		assert_quotes(&s, seen + L3, sent + L3, len - L3, &to);
	}
}

static void
a_quoted_udp_checksum_of_0_or_ffff_is_mended_exactly(void **state)
{
	static uint8_t sent[PKT_MAX], seen[PKT_MAX];
	uint64_t seed = 21;
	uint8_t quote[128];

	for (unsigned int n = 0; n < ROUNDS; n++) {
		struct spec from = random_spec(&seed, UDP, n & 1), to = from;
		struct ct_rewrite way = rewrite_to(&from);

		random_addrs(&seed, &to, n & 1);
		make_sum_zero(n & 2 ? &to : &from, seen, 6);
		memcpy(from.data, n & 2 ? to.data : from.data, 40);
		memcpy(to.data, from.data, 40);
		from.len = 40;
		to.len = 40;
		build(&from, sent);
		build(&to, seen);
		assert_quote(quote, seen + L3, sent + L3, l4_of(&to) - L3 + 8, &way);
	}
}

static void
the_error_around_a_quote_stays_valid(void **state)
{
	static uint8_t sent[PKT_MAX], seen[PKT_MAX], frame[PKT_MAX], want[PKT_MAX];
	uint64_t seed = 22;

	for (unsigned int n = 0; n < KINDS * 40; n++) {
		bool v4 = n & 1;
		struct spec s = random_spec(&seed, (enum kind)(n % KINDS), v4);
		struct ct_rewrite to = rewrite_to(&s);
		uint8_t type = v4 ? CT_ICMP_UNREACH : 1, *quote, *sum;
		size_t len, cut;
		uint16_t gain, cksum;

		s.len = RTE_MAX(s.len, 16U);
		len = build(&s, sent) - L3;
		random_addrs(&seed, &s, v4);
		build(&s, seen);
		cut = l4_of(&s) - L3 + 8;
		cut += rnd_below(&seed, (uint32_t)(len - cut + 1));
		leave_cut_checksum(&s, sent + L3, seen + L3, cut);
		s.ip.options_len = 0;
		pkt_build_icmp(frame, &s.ip, type, 1, 0, seen + L3, cut);
		pkt_build_icmp(want, &s.ip, type, 1, 0, sent + L3, cut);
		quote = frame + L3 + (v4 ? 28 : 48);
		sum = quote - 6;
		gain = ct_rewrite_quote(quote, (uint32_t)cut, &to);
		memcpy(&cksum, sum, sizeof(cksum));
		cksum = ct_cksum_delta(cksum, &(uint16_t){ 0 }, &gain, sizeof(gain));
		memcpy(sum, &cksum, sizeof(cksum));
		assert_bytes(quote, sent + L3, cut);
		assert_bytes(frame + L3, want + L3, (size_t)(quote - frame) - L3);
	}
}

static void
a_quote_that_cannot_be_read_is_left_alone(void **state)
{
	static uint8_t seen[PKT_MAX], quote[PKT_MAX];
	uint64_t seed = 23;

	for (unsigned int n = 0; n < 2 * KINDS; n++) {
		struct spec s = random_spec(&seed, (enum kind)(n / 2), n & 1);
		struct ct_rewrite to;
		size_t need;

		s.len = 64;
		build(&s, seen);
		need = l4_of(&s) - L3 + 8;
		random_addrs(&seed, &s, n & 1);
		to = rewrite_to(&s);
		for (size_t cut = 0; cut < need; cut++) {
			memcpy(quote, seen + L3, cut);
			assert_int_equal(ct_rewrite_quote(quote, (uint32_t)cut, &to), 0);
			assert_bytes(quote, seen + L3, cut);
		}
	}
}

static void
what_lies_behind_a_quoted_packet_is_none_of_it(void **state)
{
	/* padding and extensions (RFC 4884) behind one that was 8 bytes long in all */
	static uint8_t sent[PKT_MAX], seen[PKT_MAX];
	uint64_t seed = 24;

	for (unsigned int n = 0; n < 4; n++) {
		struct spec s = random_spec(&seed, n & 2 ? TCP : SCTP, n & 1);
		struct ct_rewrite to = rewrite_to(&s);
		uint8_t quote[128];

		s.ip.options_len = 0;
		s.len = 60;
		memset(s.data, 0xee, s.len);
		for (unsigned int i = 0; i < 2; i++) {
			uint8_t *frame = i == 0 ? sent : seen, l4[8];
			size_t len = build(&s, frame);

			memcpy(l4, frame + l4_of(&s), sizeof(l4));
			memset(frame, 0xee, len);
			pkt_build_ip(frame, &s.ip, n & 2 ? IPPROTO_TCP : IPPROTO_SCTP, l4, 8);
			random_addrs(&seed, &s, n & 1);
		}
		assert_quote(quote, seen + L3, sent + L3, 100, &to);
	}
}

/* ---- the difference ---- */

static void
the_difference_is_that_of_rfc_1624(void **state)
{
	/* RFC 1624, 4: where equation 2 would come out as ffff */
	const uint8_t old[2] = { 0x55, 0x55 }, new[2] = { 0x32, 0x85 }, before[2] = { 0xdd, 0x2f };
	uint16_t cksum;
	uint8_t after[2];

	memcpy(&cksum, before, sizeof(cksum));
	cksum = ct_cksum_delta(cksum, old, new, sizeof(old));
	memcpy(after, &cksum, sizeof(cksum));
	assert_int_equal(pkt_get16(after), 0);
}

static void
the_difference_of_random_bytes_is_that_of_sums_over_all(void **state)
{
	uint8_t bytes[64], new[32];
	uint64_t seed = 30;
	uint16_t sum, want;

	for (unsigned int n = 0; n < 20000; n++) {
		uint32_t len = 2 * (1 + rnd_below(&seed, 16)), at = 2 * rnd_below(&seed, 16);

		for (unsigned int i = 0; i < sizeof(bytes); i++)
			bytes[i] = (uint8_t)(n & 1 ? rnd(&seed) : 0xff * rnd_below(&seed, 2));
		for (unsigned int i = 0; i < len; i++)
			new[i] = (uint8_t)(n & 1 ? rnd(&seed) : 0xff * rnd_below(&seed, 2));
		bytes[62] = 1; /* a sum of nothing but zeros is no packet's */
		sum = rte_cpu_to_be_16(pkt_sum_fold(pkt_sum(bytes, sizeof(bytes), 0)));
		sum = ct_cksum_delta(sum, bytes + at, new, len);
		memcpy(bytes + at, new, len);
		want = rte_cpu_to_be_16(pkt_sum_fold(pkt_sum(bytes, sizeof(bytes), 0)));
		assert_int_equal(sum, want);
	}
}

/* ---- by a flow ---- */

static void
a_packet_leaves_as_the_inverse_of_the_other_side(void **state)
{
	static uint8_t frame[PKT_MAX], want[PKT_MAX];
	struct flowtab *ft = table_new(16);
	struct ct ct = { .ft = ft, .flows = flowtab_flows(ft) };
	uint64_t seed = 40;

	for (unsigned int n = 0; n < 4; n++) {
		struct spec client = random_spec(&seed, UDP, n & 1), server = client, s[2];
		struct flowtab_tuple t, tuples[2] = { 0 };
		uint32_t idx;
		size_t len;

		/* client: how it is sent; server: how it arrives */
		random_addrs(&seed, &server, n & 1);
		s[0] = client;
		s[1] = server;
		s[1].ip.src = server.ip.dst;
		s[1].ip.dst = server.ip.src;
		s[1].sport = server.dport;
		s[1].dport = server.sport;
		for (unsigned int side = 0; side < 2; side++) {
			tuples[side].eaddr = addr_of(&s[side].ip.src);
			tuples[side].oaddr = addr_of(&s[side].ip.dst);
			tuples[side].eport = rte_cpu_to_be_16(s[side].sport);
			tuples[side].oport = rte_cpu_to_be_16(s[side].dport);
			tuples[side].pif = (uint16_t)(1 + side);
			tuples[side].proto = IPPROTO_UDP;
		}
		idx = flow_new(ft, &tuples[0], T0, FLOWTAB_NEVER);
		assert_int_equal(flowtab_bind(ft, idx, FLOWTAB_SIDE_OTHER, &tuples[1], T0), 0);
		for (unsigned int side = 0; side < 2; side++) {
			struct ct_pkt p = { .flow = idx, .side = (uint8_t)side };
			struct spec out = s[side ^ 1];

			len = build(&s[side], frame);
			out.ip.src = s[side ^ 1].ip.dst;
			out.ip.dst = s[side ^ 1].ip.src;
			out.sport = s[side ^ 1].dport;
			out.dport = s[side ^ 1].sport;
			build(&out, want);
			p.m = chain(frame, len, len, len, false);
			parse(&p, &t);
			ct.flows[idx].flags = 0;
			ct_nat_packet(&ct, &p);
			assert_bytes(rte_pktmbuf_mtod(p.m, uint8_t *), frame, len);
			ct.flows[idx].flags = side != 0 ? CT_F_SNAT : CT_F_DNAT;
			ct_nat_packet(&ct, &p);
			assert_bytes(rte_pktmbuf_mtod(p.m, uint8_t *), want, len);
			rte_pktmbuf_free(p.m);
		}
		flowtab_free(ft, idx);
	}
	flowtab_destroy(ft);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tcp_is_rewritten_with_its_checksum),
		cmocka_unit_test(udp_is_rewritten_with_its_checksum),
		cmocka_unit_test(udplite_is_rewritten_whatever_its_checksum_covers),
		cmocka_unit_test(dccp_is_rewritten_whatever_its_checksum_covers),
		cmocka_unit_test(sctp_is_rewritten_with_its_crc_of_the_whole_packet),
		cmocka_unit_test(echo_ids_are_rewritten_in_both_families),
		cmocka_unit_test(of_other_protocols_only_addresses_are_rewritten),
		cmocka_unit_test(a_partial_checksum_follows_the_addresses_alone),
		cmocka_unit_test(udp_without_a_checksum_stays_without),
		cmocka_unit_test(a_udp_checksum_that_comes_out_as_0_is_written_as_ffff),
		cmocka_unit_test(other_checksums_of_0_are_as_good_as_any),
		cmocka_unit_test(a_damaged_packet_stays_damaged),
		cmocka_unit_test(icmp_errors_keep_what_stands_where_ids_would),
		cmocka_unit_test(all_icmp_queries_have_an_id),
		cmocka_unit_test(quotes_are_mended_as_if_never_translated),
		cmocka_unit_test(a_quoted_udp_checksum_of_0_or_ffff_is_mended_exactly),
		cmocka_unit_test(the_error_around_a_quote_stays_valid),
		cmocka_unit_test(a_quote_that_cannot_be_read_is_left_alone),
		cmocka_unit_test(what_lies_behind_a_quoted_packet_is_none_of_it),
		cmocka_unit_test(the_difference_is_that_of_rfc_1624),
		cmocka_unit_test(the_difference_of_random_bytes_is_that_of_sums_over_all),
		cmocka_unit_test(a_packet_leaves_as_the_inverse_of_the_other_side),
	};
	int rc;

	if (eal_start("128") < 0)
		return 1;
	pool = rte_pktmbuf_pool_create(
		"pool", 2047, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	rc = pool != NULL ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
	eal_stop();
	return rc;
}
