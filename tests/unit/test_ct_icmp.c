/* SPDX-License-Identifier: BSD-3-Clause */
/* ICMP errors: whose they are, and what becomes of what they quote. */
#include "test_ct_icmp_util.h"

static void
errors_about(const struct flow_case *fc, const struct flow_packets *fp, uint32_t flow)
{
	for (unsigned int i = 0; i < 4; i++) {
		struct error e = { .dir = i % 2, .router = i / 2 != 0, .type = fc->v4 ? 3 : 1 };

		e.code = fc->v4 ? 3 : 4; /* port unreachable */
		expect_related(fc, fp, flow, &e);
		e.type = fc->v4 ? 11 : 3; /* time exceeded */
		e.code = 0;
		expect_related(fc, fp, flow, &e);
		e.type = fc->v4 ? 12 : 4; /* parameter problem, at the 9th byte */
		e.rest = fc->v4 ? 9u << 24 : 9;
		expect_related(fc, fp, flow, &e);
		e.type = fc->v4 ? 3 : 2; /* too big */
		e.code = fc->v4 ? 4 : 0;
		e.rest = 1400;
		expect_related(fc, fp, flow, &e);
	}
}

static void
errors_of_either_end_and_of_routers_arrive_as_if_nothing_was_translated(void **state)
{
	(void)state;
	each_case(errors_about);
}

static void
quotes_of_any_length(const struct flow_case *fc, const struct flow_packets *fp, uint32_t flow)
{
	for (unsigned int dir = 0; dir < DIRS; dir++) {
		size_t least = l4_of(fp->sent[dir]) - L3 + 8;
		struct error e = { .dir = dir, .type = fc->v4 ? 3 : 1 };

		for (e.quote = least; e.quote <= fp->len[dir] - L3; e.quote++) {
			/* Half a checksum (TCP's) cannot be mended. */
			if (fc->proto != IPPROTO_TCP || e.quote != least - 8 + 17)
				expect_related(fc, fp, flow, &e);
		}
		for (e.quote = 1; e.quote < least; e.quote++)
			expect_refused(pif_of(&e), build_error(fp, &e), CT_REASON_ICMP_QUOTE);
		/* The frame itself, too. */
		e.quote = least;
		expect_refused(pif_of(&e), build_error(fp, &e) - 1, CT_REASON_UNTRACKABLE);
	}
}

static void
a_quote_is_taken_from_eight_bytes_of_transport_on_and_not_one_less(void **state)
{
	(void)state;
	each_case(quotes_of_any_length);
}

static void
checksums_left_to_others(const struct flow_case *fc, const struct flow_packets *fp, uint32_t flow)
{
	struct error e = { .type = fc->v4 ? 3 : 1 };
	size_t len = build_error(fp, &e), l4 = l4_of(frame);
	struct pkt_addr from = addr_of(fp->sent[0], true), to = addr_of(fp->sent[0], false);
	uint32_t pseudo =
		fc->v4 ? 0 : pkt_sum_pseudo(&from, &to, IPPROTO_ICMPV6, (uint32_t)(len - l4));
	struct virtio_net_hdr hdr;
	const uint8_t *got;
	struct ctkit_pkt c;

	/* partial: the sum of the pseudo-header, which ICMP over IPv4 has none of */
	pkt_make_partial(frame, len, &hdr);
	if (fc->v4)
		pkt_put16(frame + l4 + 2, 0);
	track(&c, CTKIT_SERVER_PIF, len, CT_PKT_CSUM_PARTIAL);
	assert_int_equal(c.p.verdict, CT_ACCEPT);
	got = rte_pktmbuf_mtod(c.p.m, const uint8_t *);
	assert_int_equal(pkt_get16(got + l4 + 2), (uint16_t)~pkt_sum_fold(pseudo));
	assert_memory_equal(got + l4 + 8, fp->sent[0] + L3, len - l4 - 8);
	ctkit_free(&c);
	/* not looked at: a wrong one stays as wrong as it was */
	len = build_error(fp, &e);
	pkt_put16(frame + l4 + 2, pkt_get16(frame + l4 + 2) ^ 0x0100);
	expect_refused(CTKIT_SERVER_PIF, len, CT_REASON_CHECKSUM);
	track(&c, CTKIT_SERVER_PIF, len, CT_PKT_CSUM_OK);
	assert_int_equal(c.p.verdict, CT_ACCEPT);
	got = rte_pktmbuf_mtod(c.p.m, const uint8_t *);
	assert_int_not_equal(pkt_sum_fold(pkt_sum(got + l4, len - l4, pseudo)), 0);
	assert_memory_equal(got + l4 + 8, fp->sent[0] + L3, len - l4 - 8);
	ctkit_free(&c);
	(void)flow;
}

static void
checksums_that_are_left_to_others_are_kept_so(void **state)
{
	(void)state;
	each_case(checksums_left_to_others);
}

static void
a_quoted_udp_datagram_without_checksum_gets_none(void **state)
{
	struct flow_case fc = { .v4 = true, .proto = IPPROTO_UDP, .nat = CT_NAT_SRC | CT_NAT_DST };
	struct error e = { .type = 3 };
	struct flow_packets fp;
	uint32_t flow = begin(&fc, &fp);

	(void)state;
	pkt_put16(fp.sent[0] + L3 + 26, 0);
	pkt_put16(fp.left[0] + L3 + 26, 0);
	expect_related(&fc, &fp, flow, &e);
}

static void
a_quote_may_have_options_and_be_a_first_fragment(void **state)
{
	static const uint8_t options[8] = { 148, 4, 0, 0, 1, 1, 1, 0 };
	static const uint8_t exts[16] = { 44, 0, 1, 4, 0, 0, 0, 0, IPPROTO_UDP, 0, 0, 1, 9, 9, 9,
		9 };

	(void)state;
	for (unsigned int v6 = 0; v6 < 2; v6++) {
		struct flow_case fc = { .v4 = !v6, .proto = IPPROTO_UDP, .nat = CT_NAT_SRC };
		struct flow_packets fp;
		struct pkt_addr src, dst;
		struct pkt_ip ip;
		struct ctkit_pkt c;
		uint8_t packet[256];
		size_t len, l4;

		begin(&fc, &fp);
		src = addr_of(fp.left[0], false);
		dst = addr_of(fp.left[0], true);
		ip = ip_from_to(&src, &dst);
		ip.options = v6 ? exts : options;
		ip.options_len = v6 ? sizeof(exts) : sizeof(options);
		ip.first_ext = 60;
		ip.frag = 0x2000;
		len = pkt_build_udp(packet, &ip, 50000, 80, data, sizeof(data));
		ip = ip_from_to(&dst, &src);
		len = pkt_build_icmp(frame, &ip, v6 ? 3 : 11, 1, 0, packet + L3, len - L3);
		track(&c, CTKIT_SERVER_PIF, len, 0);
		assert_int_equal(c.p.state, CT_TRK | CT_REL | CT_RPL | CT_SNAT);
		memcpy(frame, rte_pktmbuf_mtod(c.p.m, const void *), len);
		ctkit_free(&c);
		src = pkt_addr(client[v6]);
		ip = ip_from_to(&src, &dst);
		ip.options = v6 ? exts : options;
		ip.options_len = v6 ? sizeof(exts) : sizeof(options);
		ip.first_ext = 60;
		ip.frag = 0x2000;
		l4 = l4_of(frame);
		len = pkt_build_udp(packet, &ip, 40000, 80, data, sizeof(data));
		assert_memory_equal(frame + l4 + 8, packet + L3, len - L3);
	}
}

static void
only_what_the_first_segment_holds_is_looked_at(void **state)
{
	struct flow_case fc = { .v4 = true, .proto = IPPROTO_UDP, .nat = CT_NAT_SRC };
	struct error e = { .type = 3 };
	struct flow_packets fp;
	size_t len, headers = L3 + 28 + 28;

	(void)state;
	begin(&fc, &fp);
	len = build_error(&fp, &e);
	for (size_t cut = L3 + 28; cut < len; cut++) {
		struct ctkit_pkt c;
		struct rte_mbuf *rest = rte_pktmbuf_alloc(k.pool);

		ctkit_frame(&k, &c, CTKIT_SERVER_PIF, frame, len);
		memcpy(rte_pktmbuf_append(rest, (uint16_t)(len - cut)), frame + cut, len - cut);
		rte_pktmbuf_trim(c.p.m, (uint16_t)(len - cut));
		assert_int_equal(rte_pktmbuf_chain(c.p.m, rest), 0);
		ct_track(k.ct, &c.p, k.now_ms);
		assert_int_equal(c.p.verdict, cut < headers ? CT_INVALID : CT_ACCEPT);
		assert_int_equal(c.p.reason, cut < headers ? CT_REASON_ICMP_QUOTE : 0);
		if (cut >= headers)
			assert_int_equal(flowtab_cksum(c.p.m, c.p.l4_off, c.p.l4_len), 0xffff);
		ctkit_free(&c);
	}
}

static void
a_redirect_is_not_for_flows_that_are_translated(void **state)
{
	(void)state;
	for (uint8_t nat = 0; nat < 4; nat++) {
		struct flow_case fc = { .v4 = true, .proto = IPPROTO_UDP, .nat = nat };
		struct error e = { .type = 5, .code = 1, .rest = 0x0a000203 };
		struct flow_packets fp;
		struct ctkit_pkt c;
		uint32_t flow = begin(&fc, &fp);

		track(&c, CTKIT_SERVER_PIF, build_error(&fp, &e), 0);
		assert_int_equal(c.p.verdict, nat == 0 ? CT_ACCEPT : CT_DROP);
		assert_int_equal(c.p.reason, nat == 0 ? CT_REASON_NONE : CT_REASON_NAT_REWRITE);
		assert_true(c.p.state & CT_REL);
		ctkit_free(&c);
		ct_free(k.ct, flow);
	}
}

static void
errors_in_a_burst_see_the_flow_that_it_begins(void **state)
{
	struct flow_case fc = { .v4 = true, .proto = IPPROTO_UDP, .nat = CT_NAT_SRC };
	struct error e = { .type = 3, .code = 3 };
	struct flow_packets fp;
	uint32_t flow = begin(&fc, &fp);
	struct ctkit_pkt c[2];
	struct ct_pkt *pkts[2] = { &c[0].p, &c[1].p };
	const struct ct_nat nat = { .what = CT_NAT_SRC, .src = range_of(client_seen[0], 50000) };
	const struct ct_commit commit = { .nat = &nat, .opif = CTKIT_SERVER_PIF };

	(void)state;
	ct_free(k.ct, flow);
	ctkit_frame(&k, &c[0], CTKIT_CLIENT_PIF, fp.sent[0], fp.len[0]);
	ctkit_frame(&k, &c[1], CTKIT_SERVER_PIF, frame, build_error(&fp, &e));
	ct_track_burst(k.ct, pkts, 2, &commit, k.now_ms);
	assert_int_equal(c[0].p.state, CT_TRK | CT_NEW | CT_SNAT);
	assert_int_equal(c[1].p.state, CT_TRK | CT_REL | CT_RPL | CT_SNAT);
	assert_int_equal(c[1].p.flow, c[0].p.flow);
	ctkit_free(&c[0]);
	ctkit_free(&c[1]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(errors_of_either_end_and_of_routers_arrive_as_if_nothing_was_translated),
		TEST(a_quote_is_taken_from_eight_bytes_of_transport_on_and_not_one_less),
		TEST(checksums_that_are_left_to_others_are_kept_so),
		TEST(a_quoted_udp_datagram_without_checksum_gets_none),
		TEST(a_quote_may_have_options_and_be_a_first_fragment),
		TEST(only_what_the_first_segment_holds_is_looked_at),
		TEST(a_redirect_is_not_for_flows_that_are_translated),
		TEST(errors_in_a_burst_see_the_flow_that_it_begins),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
