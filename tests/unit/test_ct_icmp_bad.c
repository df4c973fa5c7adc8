/* SPDX-License-Identifier: BSD-3-Clause */
/* ICMP errors that are forwarded to nobody. */
#include "test_ct_icmp_util.h"

static void
an_error_that_quotes_nothing_is_refused(void **state)
{
	struct pkt_addr src = pkt_addr(client[0]), dst = pkt_addr(server[0]);
	struct pkt_ip ip = ip_from_to(&src, &dst);

	(void)state;
	expect_refused(CTKIT_CLIENT_PIF, pkt_build_icmp(frame, &ip, 3, 1, 0, NULL, 0),
		CT_REASON_ICMP_QUOTE);
}

/** An error about dir 0 with the quote changed at a byte, its checksum mended if it is IPv4's. */
static size_t
spoilt_error(const struct flow_packets *fp, size_t at, uint8_t bits, bool mend)
{
	const struct error e = { .type = fp->left[0][L3] >> 4 == 4 ? 3 : 1 };
	size_t len = build_error(fp, &e);
	uint8_t *q = frame + l4_of(frame) + 8;

	q[at] ^= bits;
	if (mend) {
		pkt_put16(q + 10, 0);
		pkt_put16(q + 10, pkt_sum_fold(pkt_sum(q, 20, 0)));
	}
	pkt_fix_sums(frame, len);
	return len;
}

static void
bad_inner_headers(const struct flow_case *fc, const struct flow_packets *fp, uint32_t flow)
{
	(void)flow;
	if (!fc->v4) {
		expect_refused(
			CTKIT_SERVER_PIF, spoilt_error(fp, 0, 0x20, false), CT_REASON_ICMP_QUOTE);
		return;
	}
	/* version, header length, checksum, fragment offset, version again, total length */
	expect_refused(CTKIT_SERVER_PIF, spoilt_error(fp, 0, 0x10, true), CT_REASON_ICMP_QUOTE);
	expect_refused(CTKIT_SERVER_PIF, spoilt_error(fp, 0, 0x01, true), CT_REASON_ICMP_QUOTE);
	expect_refused(CTKIT_SERVER_PIF, spoilt_error(fp, 8, 0x01, false), CT_REASON_ICMP_QUOTE);
	expect_refused(CTKIT_SERVER_PIF, spoilt_error(fp, 7, 0x01, true), CT_REASON_ICMP_QUOTE);
	expect_refused(CTKIT_SERVER_PIF, spoilt_error(fp, 0, 0x20, true), CT_REASON_ICMP_QUOTE);
	expect_refused(CTKIT_SERVER_PIF, spoilt_error(fp, 3, fp->left[0][L3 + 3], true),
		CT_REASON_ICMP_QUOTE);
}

static void
a_quote_with_a_bad_header_is_refused(void **state)
{
	(void)state;
	each_case(bad_inner_headers);
}

static void
no_error_is_about_an_error(void **state)
{
	static const uint8_t errors4[] = { 3, 4, 5, 11, 12 }, errors6[] = { 1, 2, 3, 4, 127 };

	(void)state;
	for (unsigned int i = 0; i < 2 * RTE_DIM(errors4); i++) {
		struct flow_case fc = { .v4 = i % 2 == 0, .proto = IPPROTO_ICMP };
		struct flow_packets fp;
		struct error e = { .type = fc.v4 ? 3 : 1 };
		uint32_t flow = begin(&fc, &fp);
		uint8_t *type = fp.left[0] + l4_of(fp.left[0]);

		*type = fc.v4 ? errors4[i / 2] : errors6[i / 2];
		memset(type + 4, 0, 4); /* an id of 0, if it were one */
		expect_refused(CTKIT_SERVER_PIF, build_error(&fp, &e), CT_REASON_ICMP_QUOTE);
		ct_free(k.ct, flow);
	}
}

static void
a_quote_of_the_other_family_is_refused(void **state)
{
	struct flow_case fc = { .v4 = true, .proto = IPPROTO_UDP };
	struct pkt_addr src = pkt_addr(server[1]), dst = pkt_addr(client[1]);
	struct pkt_ip ip = ip_from_to(&src, &dst);
	struct flow_packets fp;

	(void)state;
	begin(&fc, &fp);
	expect_refused(CTKIT_SERVER_PIF,
		pkt_build_icmp(frame, &ip, 1, 0, 0, fp.left[0] + L3, fp.len[0] - L3),
		CT_REASON_ICMP_QUOTE);
}

static void
errors_about_no_flow(const struct flow_case *fc, const struct flow_packets *fp, uint32_t flow)
{
	struct error e = { .type = fc->v4 ? 3 : 1 };
	struct flow_packets other = *fp;
	size_t len = build_error(fp, &e);

	/* from a port where the flow is not, of another zone */
	expect_refused(CTKIT_CLIENT_PIF, len, CT_REASON_ICMP_UNRELATED);
	expect_refused(5, len, CT_REASON_ICMP_UNRELATED);
	k.zone = 9;
	expect_refused(CTKIT_SERVER_PIF, len, CT_REASON_ICMP_UNRELATED);
	k.zone = 0;
	/* of another port, or id; the quoted packet goes the wrong way */
	if (fc->proto != IPPROTO_GRE) {
		other.left[0][l4_of(fp->left[0]) + (fc->proto == IPPROTO_ICMP ? 5 : 1)] ^= 1;
		expect_refused(CTKIT_SERVER_PIF, build_error(&other, &e), CT_REASON_ICMP_UNRELATED);
		memcpy(other.left[0], fp->sent[1], fp->len[1]);
		other.len[0] = fp->len[1];
		expect_refused(CTKIT_SERVER_PIF, build_error(&other, &e), CT_REASON_ICMP_UNRELATED);
	}
	/* too late */
	k.now_ms = flowtab_flows(k.ft)[flow].deadline_ms;
	expect_refused(CTKIT_SERVER_PIF, build_error(fp, &e), CT_REASON_ICMP_UNRELATED);
}

static void
an_error_about_no_flow_is_refused(void **state)
{
	(void)state;
	each_case(errors_about_no_flow);
}

static void
an_error_about_a_flow_that_ends_in_a_socket_is_refused(void **state)
{
	struct flow_case fc = { .v4 = true, .proto = IPPROTO_UDP };
	struct error e = { .type = 3 };
	struct flow_packets fp;
	uint32_t flow = begin(&fc, &fp);

	(void)state;
	flowtab_flows(k.ft)[flow].kind = FLOWTAB_KIND_SOCKET;
	expect_refused(CTKIT_SERVER_PIF, build_error(&fp, &e), CT_REASON_ICMP_UNRELATED);
	flowtab_flows(k.ft)[flow].kind = FLOWTAB_KIND_TRACKED;
}

static void
sent_to_somebody_else(const struct flow_case *fc, const struct flow_packets *fp, uint32_t flow)
{
	struct error e = { .type = fc->v4 ? 3 : 1 };
	size_t len = build_error(fp, &e);

	(void)flow;
	frame[L3 + (fc->v4 ? 19 : 39)] ^= 1;
	pkt_fix_sums(frame, len);
	expect_refused(CTKIT_SERVER_PIF, len, CT_REASON_ICMP_FORGED);
}

static void
an_error_for_another_than_the_sender_of_the_quote_is_refused(void **state)
{
	(void)state;
	each_case(sent_to_somebody_else);
}

/** An error about a segment with this number. */
static size_t
error_of_seq(const struct flow_packets *fp, unsigned int dir, uint32_t seq)
{
	struct error e = { .dir = dir, .type = fp->left[0][L3] >> 4 == 4 ? 3 : 1, .router = true };
	struct flow_packets other = *fp;

	pkt_put32(other.left[dir] + l4_of(other.left[dir]) + 4, seq);
	return build_error(&other, &e);
}

static void
an_error_about_a_segment_that_was_not_sent_lately_is_refused(void **state)
{
	(void)state;
	for (unsigned int v4 = 0; v4 < 2; v4++) {
		struct flow_case fc = { .v4 = v4, .proto = IPPROTO_TCP };
		struct flow_packets fp;
		struct ctkit_pkt c;
		uint32_t flow = begin(&fc, &fp);
		uint64_t seed = 11;

		/* sent: 1000 and 5000, with a SYN */
		expect_refused(CTKIT_SERVER_PIF, error_of_seq(&fp, 0, 1002), CT_REASON_ICMP_FORGED);
		expect_refused(CTKIT_CLIENT_PIF, error_of_seq(&fp, 1, 5002), CT_REASON_ICMP_FORGED);
		expect_refused(CTKIT_SERVER_PIF, error_of_seq(&fp, 0, 1001 - 66000 - 1),
			CT_REASON_ICMP_FORGED);
		/* Of all guesses, one in tens of thousands would do. */
		for (unsigned int i = 0; i < 1000; i++)
			expect_refused(CTKIT_SERVER_PIF,
				error_of_seq(&fp, 0, (uint32_t)rnd(&seed) | 0x80000000),
				CT_REASON_ICMP_FORGED);
		ct_seq_check(k.ct, false);
		track(&c, CTKIT_SERVER_PIF, error_of_seq(&fp, 0, 1002), 0);
		assert_int_equal(c.p.verdict, CT_ACCEPT);
		ctkit_free(&c);
		ct_seq_check(k.ct, true);
		ct_free(k.ct, flow);
	}
}

static void
an_error_about_an_end_that_has_sent_nothing_is_refused(void **state)
{
	struct flow_case fc = { .v4 = true, .proto = IPPROTO_TCP };
	struct flow_packets fp;
	uint32_t flow = begin(&fc, &fp);

	(void)state;
	ct_free(k.ct, flow);
	assert_int_equal(
		pass(CTKIT_CLIENT_PIF, fp.sent[0], fp.len[0], &ctkit_plain, fp.left[0]), flow);
	expect_refused(CTKIT_CLIENT_PIF, error_of_seq(&fp, 1, 0), CT_REASON_ICMP_FORGED);
}

static void
an_error_is_no_packet_of_the_flow_whose_id_is_zero(void **state)
{
	(void)state;
	for (unsigned int v4 = 0; v4 < 2; v4++) {
		struct ctkit_way ping = v4 ? ctkit_out4 : ctkit_out6;
		struct flow_case fc = { .v4 = v4, .proto = IPPROTO_UDP };
		struct flow_packets fp;
		struct error e = { .dir = 1, .type = v4 ? 3 : 1, .quote = v4 ? 28 : 48 };
		struct ctkit_pkt c;
		uint32_t flow;

		ping.sport = 0;
		ctkit_echo(&k, &c, &ping, false);
		ctkit_track(&k, &c, &ctkit_plain);
		flow = begin(&fc, &fp);
		expect_related(&fc, &fp, flow, &e);
		e.quote--;
		expect_refused(CTKIT_CLIENT_PIF, build_error(&fp, &e), CT_REASON_ICMP_QUOTE);
	}
}

static void
icmp_that_is_neither_error_nor_query_is_refused(void **state)
{
	struct pkt_addr src = pkt_addr(client[0]), dst = pkt_addr(server[0]);
	struct pkt_ip ip = ip_from_to(&src, &dst);
	struct ctkit_way ping = ctkit_out4;
	struct ctkit_pkt c;

	(void)state;
	ping.sport = 0;
	ctkit_echo(&k, &c, &ping, false);
	ctkit_track(&k, &c, &ctkit_plain);
	expect_refused(CTKIT_CLIENT_PIF, pkt_build_icmp(frame, &ip, 9, 0, 0, data, sizeof(data)),
		CT_REASON_ICMP_TYPE);
	src = pkt_addr(client[1]);
	dst = pkt_addr(server[1]);
	ip = ip_from_to(&src, &dst);
	expect_refused(CTKIT_CLIENT_PIF, pkt_build_icmp(frame, &ip, 143, 0, 0, data, sizeof(data)),
		CT_REASON_ICMP_TYPE);
}

/** Whatever is wrong with it, an error is accepted with good checksums or refused as it came. */
static void
spoilt_at_random(const struct flow_case *fc, const struct flow_packets *fp, uint32_t flow)
{
	static const struct pkt_limits limits = { .mtu = 1500 };
	uint64_t seed = flow + fc->proto;

	for (unsigned int i = 0; i < 500; i++) {
		struct error e = { .dir = i % 2, .type = fc->v4 ? 3 : 1, .router = i % 3 == 0 };
		size_t len = build_error(fp, &e), l4 = l4_of(frame);
		struct ctkit_pkt c;
		struct pkt_view v;

		len -= rnd_below(&seed, 20);
		for (uint32_t n = rnd_below(&seed, 3); n > 0; n--)
			frame[l4 + 8 + rnd_below(&seed, (uint32_t)(len - l4 - 8))] =
				(uint8_t)rnd(&seed);
		pkt_put16(frame + L3 + (fc->v4 ? 2 : 4), (uint16_t)(len - L3 - (fc->v4 ? 0 : 40)));
		if (fc->v4 && i % 2 != 0) {
			pkt_put16(frame + l4 + 8 + 10, 0);
			pkt_put16(
				frame + l4 + 8 + 10, pkt_sum_fold(pkt_sum(frame + l4 + 8, 20, 0)));
		}
		pkt_fix_sums(frame, len);
		track(&c, pif_of(&e), len, 0);
		if (c.p.verdict == CT_ACCEPT)
			assert_null(pkt_check(
				rte_pktmbuf_mtod(c.p.m, const uint8_t *), len, NULL, &limits, &v));
		else
			assert_memory_equal(rte_pktmbuf_mtod(c.p.m, const void *), frame, len);
		ctkit_free(&c);
	}
}

static void
survives_spoilt_errors(void **state)
{
	(void)state;
	each_case(spoilt_at_random);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_error_that_quotes_nothing_is_refused),
		TEST(a_quote_with_a_bad_header_is_refused),
		TEST(no_error_is_about_an_error),
		TEST(a_quote_of_the_other_family_is_refused),
		TEST(an_error_about_no_flow_is_refused),
		TEST(an_error_about_a_flow_that_ends_in_a_socket_is_refused),
		TEST(an_error_for_another_than_the_sender_of_the_quote_is_refused),
		TEST(an_error_about_a_segment_that_was_not_sent_lately_is_refused),
		TEST(an_error_about_an_end_that_has_sent_nothing_is_refused),
		TEST(an_error_is_no_packet_of_the_flow_whose_id_is_zero),
		TEST(icmp_that_is_neither_error_nor_query_is_refused),
		TEST(survives_spoilt_errors),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
