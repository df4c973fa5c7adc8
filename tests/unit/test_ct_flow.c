/* SPDX-License-Identifier: BSD-3-Clause */
/* Flows of datagrams, commit, zones, mark and label, timeouts, looking and flushing. */
#include "test_ct_util.h"

#include <errno.h>
#include <string.h>

#define NEW (CT_TRK | CT_NEW)
#define EST (CT_TRK | CT_EST)
#define RPL (CT_TRK | CT_EST | CT_RPL)
#define INV (CT_TRK | CT_INV)

static const struct ctkit_way *const out[2] = { &ctkit_out4, &ctkit_out6 };
static const struct ctkit_way *const in[2] = { &ctkit_in4, &ctkit_in6 };

static uint8_t
udp(struct ctkit *k, const struct ctkit_way *w, const struct ct_commit *commit)
{
	struct ctkit_pkt c;

	ctkit_udp(k, &c, w, 10);
	return ctkit_track(k, &c, commit);
}

static uint8_t
echo(struct ctkit *k, const struct ctkit_way *w, bool reply, const struct ct_commit *commit)
{
	struct ctkit_pkt c;

	ctkit_echo(k, &c, w, reply);
	return ctkit_track(k, &c, commit);
}

static struct flowtab_flow *
flow(struct ctkit *k, const struct ctkit_way *w, uint8_t proto)
{
	uint32_t idx = ctkit_find(k, w, proto);

	assert_int_not_equal(idx, FLOWTAB_NONE);
	return &flowtab_flows(k->ft)[idx];
}

static void
one_way_udp_stays_new_until_it_is_answered(void **state)
{
	struct ctkit k;

	ctkit_open(&k, NULL, 16);
	for (int f = 0; f < 2; f++) {
		assert_int_equal(udp(&k, out[f], NULL), NEW);
		assert_int_equal(ctkit_find(&k, out[f], IPPROTO_UDP), FLOWTAB_NONE);
		assert_int_equal(udp(&k, out[f], &ctkit_plain), NEW);
		assert_int_equal(ctkit_left_ms(&k, out[f], IPPROTO_UDP), 60000);
		for (int i = 0; i < 3; i++)
			assert_int_equal(udp(&k, out[f], NULL), NEW);
		assert_int_equal(ctkit_left_ms(&k, out[f], IPPROTO_UDP), 60000);
		assert_int_equal(udp(&k, in[f], NULL), RPL);
		assert_int_equal(udp(&k, out[f], NULL), EST);
		assert_int_equal(ctkit_left_ms(&k, out[f], IPPROTO_UDP), 30000);
		assert_int_equal(flowtab_flow_pkts(flow(&k, out[f], IPPROTO_UDP), 0), 5);
		assert_int_equal(flowtab_flow_bytes(flow(&k, out[f], IPPROTO_UDP), 1), 10);
	}
	ctkit_close(&k);
}

static void
expired_flow_is_absent_before_it_is_freed(void **state)
{
	struct ctkit k;

	ctkit_open(&k, NULL, 16);
	assert_int_equal(udp(&k, out[0], &ctkit_plain), NEW);
	assert_int_equal(udp(&k, in[0], NULL), RPL);
	k.now_ms += 29999;
	assert_int_equal(udp(&k, out[0], NULL), EST);
	k.now_ms += 30000;
	assert_int_equal(udp(&k, in[0], NULL), NEW);
	assert_int_equal(udp(&k, out[0], NULL), NEW);
	assert_int_equal(flowtab_count(k.ft), 1);
	assert_int_equal(udp(&k, out[0], &ctkit_plain), NEW);
	assert_int_equal(flowtab_count(k.ft), 1);
	k.now_ms += 61001;
	flowtab_expire(k.ft, k.now_ms, 64);
	assert_int_equal(flowtab_count(k.ft), 0);
	ctkit_close(&k);
}

static void
echo_goes_by_its_id(void **state)
{
	struct ctkit k;

	ctkit_open(&k, NULL, 16);
	for (int f = 0; f < 2; f++) {
		uint8_t proto = f == 0 ? IPPROTO_ICMP : IPPROTO_ICMPV6;
		struct ctkit_way o = *out[f], i = *in[f];

		o.sport = o.dport = i.sport = i.dport = 77;
		assert_int_equal(echo(&k, &o, true, &ctkit_plain), INV);
		assert_int_equal(echo(&k, &o, false, &ctkit_plain), NEW);
		assert_int_equal(ctkit_left_ms(&k, &o, proto), 60000);
		assert_int_equal(echo(&k, &i, true, NULL), RPL);
		assert_int_equal(ctkit_left_ms(&k, &o, proto), 30000);
		assert_int_equal(echo(&k, &o, false, NULL), EST);
		i.sport = i.dport = 78;
		assert_int_equal(echo(&k, &i, true, NULL), INV);
	}
	assert_int_equal(ctkit_reason(&k, CT_REASON_ICMP_TYPE), 4);
	ctkit_close(&k);
}

static void
two_that_ping_each_other_with_one_id_have_two_flows(void **state)
{
	struct ct_commit back = { .opif = CTKIT_CLIENT_PIF };
	struct ctkit k;

	ctkit_open(&k, NULL, 16);
	for (int f = 0; f < 2; f++) {
		struct ctkit_way o = *out[f], i = *in[f];

		o.sport = o.dport = i.sport = i.dport = 9;
		assert_int_equal(echo(&k, &o, false, &ctkit_plain), NEW);
		/* Allowed to answer is not allowed to ask. */
		assert_int_equal(echo(&k, &i, false, NULL), NEW);
		assert_int_equal(echo(&k, &i, false, &back), NEW);
		assert_int_equal(echo(&k, &i, true, NULL), RPL);
		assert_int_equal(echo(&k, &o, true, NULL), RPL);
		assert_int_equal(echo(&k, &o, false, NULL), EST);
	}
	assert_int_equal(flowtab_count(k.ft), 4);
	ctkit_close(&k);
}

static size_t
build_other(uint8_t *frame, const struct ctkit_way *w)
{
	struct pkt_ip ip = { .src = pkt_addr(w->src), .dst = pkt_addr(w->dst) };

	return pkt_build_ip(frame, &ip, 47, "GRE, perhaps", 12);
}

static void
other_protocols_go_by_addresses(void **state)
{
	static uint8_t frame[PKT_MAX];
	struct ctkit_pkt c;
	struct ctkit k;

	ctkit_open(&k, NULL, 16);
	for (int f = 0; f < 2; f++) {
		ctkit_frame(&k, &c, CTKIT_CLIENT_PIF, frame, build_other(frame, out[f]));
		assert_int_equal(ctkit_track(&k, &c, &ctkit_plain), NEW);
		assert_int_equal(flowtab_flows(k.ft)[c.p.flow].tclass, CT_TIMEOUT_OTHER_FIRST);
		ctkit_frame(&k, &c, CTKIT_CLIENT_PIF, frame, build_other(frame, out[f]));
		assert_int_equal(ctkit_track(&k, &c, NULL), NEW);
		ctkit_frame(&k, &c, CTKIT_SERVER_PIF, frame, build_other(frame, in[f]));
		assert_int_equal(ctkit_track(&k, &c, NULL), RPL);
		assert_int_equal(flowtab_flows(k.ft)[c.p.flow].tclass, CT_TIMEOUT_OTHER_MULTIPLE);
	}
	ctkit_close(&k);
}

static void
what_cannot_be_tracked_is_invalid(void **state)
{
	static const uint8_t mac[6] = { 2, 0, 0, 0, 0, 1 };
	static uint8_t frame[PKT_MAX];
	struct pkt_addr a4 = pkt_addr("10.0.2.15"), b4 = pkt_addr("10.0.2.16");
	struct pkt_addr a6 = pkt_addr("fd00:2::15"), b6 = pkt_addr("fd00:2::16");
	struct ctkit_pkt c;
	struct ctkit k;

	ctkit_open(&k, NULL, 16);
	ctkit_frame(&k, &c, 1, frame, pkt_build_arp(frame, mac, 1, mac, &a4, mac, &b4));
	assert_int_not_equal(c.parsed, 0);
	assert_int_equal(ctkit_track(&k, &c, &ctkit_plain), INV);
	assert_int_equal(c.p.verdict, CT_INVALID);
	ctkit_frame(&k, &c, 1, frame, pkt_build_ns(frame, mac, &a6, &b6));
	assert_int_equal(ctkit_track(&k, &c, &ctkit_plain), INV);
	assert_int_equal(c.p.flow, FLOWTAB_NONE);
	assert_int_equal(ctkit_reason(&k, CT_REASON_UNTRACKABLE), 2);
	ctkit_close(&k);
}

static void
same_tuple_in_two_zones_is_two_flows(void **state)
{
	struct ctkit k;

	ctkit_open(&k, NULL, 16);
	assert_int_equal(udp(&k, out[0], &ctkit_plain), NEW);
	assert_int_equal(udp(&k, in[0], NULL), RPL);
	k.zone = 1;
	assert_int_equal(udp(&k, in[0], NULL), NEW);
	assert_int_equal(udp(&k, out[0], NULL), NEW);
	assert_int_equal(udp(&k, out[0], &ctkit_plain), NEW);
	assert_int_equal(flowtab_count(k.ft), 2);
	assert_int_equal(udp(&k, in[0], NULL), RPL);
	ctkit_close(&k);
}

/** A tracker on a table with zones of ours. */
static struct flowtab_zones *
open_with_zones(struct ctkit *k, uint32_t max_flows)
{
	struct flowtab_zones *z = flowtab_zones_create(4, SOCKET_ID_ANY);
	struct flowtab_params fp = table_params(max_flows);
	struct ct_params p = { .socket_id = SOCKET_ID_ANY };

	ctkit_open(k, NULL, 16);
	ct_destroy(k->ct);
	flowtab_destroy(k->ft);
	fp.zones = z;
	k->ft = flowtab_create(&fp);
	assert_non_null(k->ft);
	p.ft = k->ft;
	k->ct = ct_create(&p);
	assert_non_null(k->ct);
	return z;
}

static uint8_t
udp_nr(struct ctkit *k, uint16_t port, const struct ct_commit *commit, uint8_t *verdict)
{
	struct ctkit_way w = ctkit_out4;
	struct ctkit_pkt c;

	w.sport = port;
	ctkit_udp(k, &c, &w, 1);
	ctkit_track(k, &c, commit);
	*verdict = c.p.verdict;
	return c.p.reason;
}

static void
zone_limit_is_exact_and_its_verdict_explicit(void **state)
{
	struct flowtab_zones *z;
	struct ctkit k;
	uint8_t verdict;

	z = open_with_zones(&k, 64);
	k.zone = 5;
	flowtab_zone_limit_set(z, 5, 3);
	for (uint16_t i = 0; i < 3; i++)
		assert_int_equal(udp_nr(&k, 1000 + i, &ctkit_plain, &verdict), CT_REASON_NONE);
	assert_int_equal(udp_nr(&k, 2000, &ctkit_plain, &verdict), CT_REASON_ZONE_LIMIT);
	assert_int_equal(verdict, CT_LIMIT);
	assert_int_equal(flowtab_zone_count(z, 5), 3);
	/* Those that are there go on. */
	assert_int_equal(udp_nr(&k, 1001, &ctkit_plain, &verdict), CT_REASON_NONE);
	assert_int_equal(verdict, CT_ACCEPT);
	k.zone = 6;
	assert_int_equal(udp_nr(&k, 2000, &ctkit_plain, &verdict), CT_REASON_NONE);
	flowtab_zone_limit_set(z, FLOWTAB_ZONE_DEFAULT, 0);
	assert_int_equal(udp_nr(&k, 2001, &ctkit_plain, &verdict), CT_REASON_ZONE_LIMIT);
	k.zone = 5;
	flowtab_zone_limit_set(z, 5, FLOWTAB_LIMIT_UNSET);
	flowtab_zone_limit_set(z, FLOWTAB_ZONE_DEFAULT, FLOWTAB_LIMIT_UNSET);
	assert_int_equal(udp_nr(&k, 2002, &ctkit_plain, &verdict), CT_REASON_NONE);
	assert_int_equal(ctkit_reason(&k, CT_REASON_ZONE_LIMIT), 2);
	ctkit_close(&k);
	flowtab_zones_destroy(z);
}

static void
flow_can_count_for_another_zone(void **state)
{
	struct ct_commit c = { .opif = CTKIT_SERVER_PIF, .set_zone = true, .zone = 9 };
	struct flowtab_zones *z;
	struct ctkit k;
	uint8_t verdict;

	z = open_with_zones(&k, 64);
	flowtab_zone_limit_set(z, 9, 1);
	assert_int_equal(ct_zone_policy(k.ct, 9, 2), 0);
	assert_int_equal(udp(&k, out[0], &c), NEW);
	assert_int_equal(udp(&k, in[0], NULL), RPL);
	assert_int_equal(flow(&k, out[0], IPPROTO_UDP)->zone, 9);
	assert_int_equal(flow(&k, out[0], IPPROTO_UDP)->policy, 2);
	assert_int_equal(udp_nr(&k, 1, &c, &verdict), CT_REASON_ZONE_LIMIT);
	ctkit_close(&k);
	assert_int_equal(flowtab_zone_count(z, 9), 0);
	flowtab_zones_destroy(z);
}

static void
full_table_reuses_only_what_has_expired(void **state)
{
	struct ctkit k;
	uint8_t verdict;

	ctkit_open(&k, NULL, 4);
	for (uint16_t i = 0; i < 4; i++)
		assert_int_equal(udp_nr(&k, 1000 + i, &ctkit_plain, &verdict), CT_REASON_NONE);
	assert_int_equal(udp_nr(&k, 2000, &ctkit_plain, &verdict), CT_REASON_TABLE);
	assert_int_equal(verdict, CT_LIMIT);
	k.now_ms += 59000;
	assert_int_equal(udp_nr(&k, 1000, NULL, &verdict), CT_REASON_NONE);
	k.now_ms += 1000;
	for (uint16_t i = 0; i < 3; i++)
		assert_int_equal(udp_nr(&k, 3000 + i, &ctkit_plain, &verdict), CT_REASON_NONE);
	assert_int_equal(udp_nr(&k, 3003, &ctkit_plain, &verdict), CT_REASON_TABLE);
	assert_int_equal(
		ctkit_find(&k, &(struct ctkit_way){ "10.0.2.15", "10.0.2.16", 1000, 80, 1 },
			IPPROTO_UDP) == FLOWTAB_NONE,
		false);
	ctkit_close(&k);
}

static void
mark_and_label_are_set_under_a_mask(void **state)
{
	struct ct_commit c = { .opif = CTKIT_SERVER_PIF, .mark = 5, .mark_mask = UINT32_MAX };
	struct ctkit_pkt p;
	struct ctkit k;

	ctkit_open(&k, NULL, 16);
	ctkit_udp(&k, &p, out[0], 1);
	ct_track(k.ct, &p.p, k.now_ms);
	assert_int_equal(p.p.mark, 0);
	assert_true(ct_commit(k.ct, &p.p, &c, k.now_ms));
	assert_int_equal(p.p.mark, 5);
	assert_true(p.p.label[0] == 0 && p.p.label[1] == 0);
	/* 5 with 2 under the mask 6 is 3. */
	c = (struct ct_commit){ .mark = 2,
		.mark_mask = 6,
		.label = { 0xff, 1ULL << 63 },
		.label_mask = { 0x0f, UINT64_MAX } };
	assert_true(ct_commit(k.ct, &p.p, &c, k.now_ms));
	assert_int_equal(p.p.mark, 3);
	assert_true(p.p.label[0] == 0x0f && p.p.label[1] == 1ULL << 63);
	ctkit_free(&p);
	ctkit_udp(&k, &p, in[0], 1);
	ctkit_track(&k, &p, NULL);
	assert_int_equal(p.p.mark, 3);
	assert_true(p.p.label[0] == 0x0f && p.p.label[1] == 1ULL << 63);
	assert_int_equal(flowtab_count(k.ft), 1);
	ctkit_close(&k);
}

static void
packet_that_was_refused_cannot_be_committed(void **state)
{
	struct ctkit_pkt p = { .p = { .flow = FLOWTAB_NONE } };
	struct ctkit k;

	ctkit_open(&k, NULL, 16);
	assert_false(ct_commit(k.ct, &p.p, &ctkit_plain, k.now_ms));
	ctkit_echo(&k, &p, out[0], true);
	ct_track(k.ct, &p.p, k.now_ms);
	assert_false(ct_commit(k.ct, &p.p, &ctkit_plain, k.now_ms));
	assert_int_equal(p.p.state, INV);
	ctkit_free(&p);
	assert_int_equal(flowtab_count(k.ft), 0);
	ctkit_close(&k);
}

static void
flow_that_would_answer_itself_is_refused(void **state)
{
	struct ctkit_way self = { "10.0.2.15", "10.0.2.15", 7, 7, CTKIT_CLIENT_PIF };
	struct ct_commit c = { .opif = CTKIT_CLIENT_PIF };
	struct ctkit_pkt p;
	struct ctkit k;

	ctkit_open(&k, NULL, 16);
	ctkit_udp(&k, &p, &self, 1);
	ctkit_track(&k, &p, &c);
	assert_int_equal(p.p.verdict, CT_DROP);
	assert_int_equal(p.p.reason, CT_REASON_CLASH);
	assert_int_equal(flowtab_count(k.ft), 0);
	ctkit_close(&k);
}

static void
timeouts_go_by_the_policy_of_the_zone(void **state)
{
	struct ct_policy p = {
		.ms = { [CT_TIMEOUT_UDP_FIRST] = 5000, [CT_TIMEOUT_TCP_ESTABLISHED] = 60 * DAY_MS }
	};
	struct ct_policy got;
	struct ctkit k;

	ctkit_open(&k, NULL, 16);
	assert_int_equal(ct_policy_set(k.ct, CT_POLICIES, &p), -EINVAL);
	assert_int_equal(ct_policy_set(k.ct, 3, &p), 0);
	assert_int_equal(ct_policy_get(k.ct, 3, &got), 0);
	assert_true(got.ms[CT_TIMEOUT_TCP_ESTABLISHED] == 60 * DAY_MS);
	assert_int_equal(got.ms[CT_TIMEOUT_UDP_SINGLE], 60000);
	assert_int_equal(ct_policy_get(k.ct, CT_POLICIES, &got), -EINVAL);
	assert_int_equal(ct_zone_policy(k.ct, 4, CT_POLICIES), -EINVAL);
	assert_int_equal(ct_zone_policy(k.ct, 4, 3), 0);
	assert_int_equal(udp(&k, out[0], &ctkit_plain), NEW);
	assert_int_equal(ctkit_left_ms(&k, out[0], IPPROTO_UDP), 60000);
	k.zone = 4;
	assert_int_equal(udp(&k, out[0], &ctkit_plain), NEW);
	assert_int_equal(ctkit_left_ms(&k, out[0], IPPROTO_UDP), 5000);
	ctkit_close(&k);
}

static void
sixty_days_are_no_overflow(void **state)
{
	struct ct_policy p = { .ms = { [CT_TIMEOUT_UDP_MULTIPLE] = 60 * DAY_MS } };
	struct ctkit k;

	ctkit_open(&k, NULL, 16);
	assert_int_equal(ct_policy_set(k.ct, 0, &p), 0);
	assert_int_equal(udp(&k, out[0], &ctkit_plain), NEW);
	assert_int_equal(udp(&k, in[0], NULL), RPL);
	assert_true(ctkit_left_ms(&k, out[0], IPPROTO_UDP) == 60 * DAY_MS);
	for (int day = 1; day < 60; day++) {
		k.now_ms += DAY_MS;
		flowtab_expire(k.ft, k.now_ms, 1024);
	}
	assert_int_equal(flowtab_count(k.ft), 1);
	k.now_ms += DAY_MS - 1;
	assert_int_not_equal(ctkit_find(&k, out[0], IPPROTO_UDP), FLOWTAB_NONE);
	k.now_ms += 1;
	assert_int_equal(ctkit_find(&k, out[0], IPPROTO_UDP), FLOWTAB_NONE);
	ctkit_close(&k);
}

static void
timeouts_of_any_length_are_no_overflow(void **state)
{
	static const uint64_t ms[] = { UINT64_MAX, UINT64_MAX - 1, UINT64_MAX - T0, UINT64_MAX / 2,
		INT64_MAX };
	struct ctkit k;

	for (size_t i = 0; i < RTE_DIM(ms); i++) {
		struct ct_policy p = { .ms = { [CT_TIMEOUT_UDP_FIRST] = ms[i] } };

		ctkit_open(&k, NULL, 16);
		assert_int_equal(ct_policy_set(k.ct, 0, &p), 0);
		assert_int_equal(udp(&k, out[0], &ctkit_plain), NEW);
		for (int year = 0; year < 3; year++) {
			k.now_ms += 365 * DAY_MS;
			flowtab_expire(k.ft, k.now_ms, 1024);
			assert_int_not_equal(ctkit_find(&k, out[0], IPPROTO_UDP), FLOWTAB_NONE);
		}
		ctkit_close(&k);
	}
}

static void
burst_sees_what_its_earlier_packets_have_done(void **state)
{
	struct ctkit_pkt c[6];
	struct ct_pkt *p[6];
	struct ctkit k;

	ctkit_open(&k, NULL, 16);
	for (int i = 0; i < 4; i++)
		ctkit_udp(&k, &c[i], i == 2 ? in[0] : out[0], 1);
	ctkit_echo(&k, &c[4], out[1], true);
	ctkit_udp(&k, &c[5], out[1], 1);
	for (int i = 0; i < 6; i++)
		p[i] = &c[i].p;
	ct_track_burst(k.ct, p, 6, &ctkit_plain, k.now_ms);
	assert_int_equal(c[0].p.state, NEW);
	assert_int_equal(c[1].p.state, NEW);
	assert_int_equal(c[2].p.state, RPL);
	assert_int_equal(c[3].p.state, EST);
	assert_int_equal(c[4].p.state, INV);
	assert_int_equal(c[5].p.state, NEW);
	assert_int_equal(flowtab_count(k.ft), 2);
	ct_track_burst(k.ct, p, 6, NULL, k.now_ms);
	assert_int_equal(c[0].p.state, EST);
	assert_int_equal(c[2].p.state, RPL);
	assert_int_equal(c[5].p.state, NEW);
	ct_track_burst(k.ct, p, 0, NULL, k.now_ms);
	for (int i = 0; i < 6; i++)
		ctkit_free(&c[i]);
	ctkit_close(&k);
}

static void
flow_can_be_looked_at(void **state)
{
	struct ct_flow_info info;
	struct ctkit k;
	uint32_t idx;

	ctkit_open(&k, NULL, 16);
	ctkit_seg(&k, out[0], PKT_SYN, 1, 0, 0, 100, -1, &ctkit_plain);
	idx = ctkit_find(&k, out[0], IPPROTO_TCP);
	k.now_ms += 1000;
	assert_true(ct_flow_info(k.ct, idx, &info, k.now_ms));
	assert_string_equal(info.proto_state, "SYN_SENT/UNSEEN");
	assert_int_equal(info.state, NEW);
	assert_int_equal(info.age_ms, 1000);
	assert_int_equal(info.left_ms, 29000);
	assert_int_equal(info.orig.pif, CTKIT_CLIENT_PIF);
	assert_int_equal(info.reply.pif, CTKIT_SERVER_PIF);
	assert_true(flowtab_addr_eq(&info.orig.eaddr, &info.reply.oaddr));
	assert_int_equal(info.pkts[0], 1);
	assert_int_equal(info.helper, CT_HELPER_NONE);
	assert_true(info.parent == 0);
	assert_true(flowtab_by_handle(k.ft, info.handle) == idx);
	k.now_ms += 30000;
	assert_true(ct_flow_info(k.ct, idx, &info, k.now_ms));
	assert_int_equal(info.left_ms, 0);
	ct_free(k.ct, idx);
	assert_false(ct_flow_info(k.ct, idx, &info, k.now_ms));
	assert_false(ct_flow_info(k.ct, 16, &info, k.now_ms));
	assert_true(flowtab_by_handle(k.ft, info.handle) == FLOWTAB_NONE);
	ctkit_close(&k);
}

static void
flow_of_a_socket_is_not_the_trackers(void **state)
{
	struct ct_match all = { 0 };
	struct ct_flow_info info;
	uint32_t idx, cursor = 0;
	struct ctkit_pkt c;
	struct ctkit k;

	ctkit_open(&k, NULL, 16);
	ctkit_udp(&k, &c, out[0], 1);
	idx = flow_new(k.ft, &c.tuple, k.now_ms, FLOWTAB_NEVER);
	assert_int_equal(ctkit_track(&k, &c, &ctkit_plain), INV);
	assert_false(ct_flow_info(k.ct, idx, &info, k.now_ms));
	assert_int_equal(ct_flush(k.ct, &all, &cursor, 100), 0);
	assert_int_equal(ct_flush_tuple(k.ct, &c.tuple, k.now_ms), -ENOENT);
	assert_int_equal(ct_original(k.ct, &c.tuple, k.now_ms, &c.tuple), -ENOENT);
	flowtab_free(k.ft, idx);
	ctkit_close(&k);
}

static uint32_t
flush(struct ctkit *k, const struct ct_match *m)
{
	uint32_t cursor = 0, gone = 0;

	for (int i = 0; cursor != UINT32_MAX; i++) {
		assert_true(i < 100);
		gone += ct_flush(k->ct, m, &cursor, 2);
	}
	assert_int_equal(ct_flush(k->ct, m, &cursor, 2), 0);
	return gone;
}

/** Eight flows: ports 1000 to 1003 in zone 0, mark by port; the same in zone 1. */
static void
eight_flows(struct ctkit *k)
{
	uint8_t verdict;

	for (k->zone = 0; k->zone < 2; k->zone++) {
		for (uint16_t i = 0; i < 4; i++) {
			struct ct_commit c = { .opif = (uint16_t)(2 + i),
				.mark = i,
				.mark_mask = UINT32_MAX,
				.label = { i },
				.label_mask = { 1 } };

			udp_nr(k, 1000 + i, &c, &verdict);
		}
	}
	k->zone = 0;
	assert_int_equal(flowtab_count(k->ft), 8);
}

static void
flows_are_flushed_by_zone_port_mask_and_address(void **state)
{
	struct flowtab_addr a = flowtab_addr_v4(RTE_BE32(0x0a00020f));
	struct flowtab_addr b = flowtab_addr_v4(RTE_BE32(0x0a000210));
	struct ct_match m;
	struct ctkit k;

	ctkit_open(&k, NULL, 16);
	eight_flows(&k);
	m = (struct ct_match){ .by_zone = true, .zone = 1 };
	assert_int_equal(flush(&k, &m), 4);
	m = (struct ct_match){ .by_zone = true, .zone = 2 };
	assert_int_equal(flush(&k, &m), 0);
	m = (struct ct_match){ .by_proto = true, .proto = IPPROTO_TCP };
	assert_int_equal(flush(&k, &m), 0);
	m = (struct ct_match){ .by_mark = true, .mark = 2, .mark_mask = 2 };
	assert_int_equal(flush(&k, &m), 2);
	m = (struct ct_match){ .by_label = true, .label = { 1 }, .label_mask = { 3 } };
	assert_int_equal(flush(&k, &m), 1);
	assert_int_equal(flowtab_count(k.ft), 1);
	ct_flush(k.ct, &(struct ct_match){ 0 }, &(uint32_t){ 0 }, 100);

	eight_flows(&k);
	m = (struct ct_match){ .by_pif = true, .pif = 3 };
	assert_int_equal(flush(&k, &m), 2);
	m = (struct ct_match){ .src = b, .src_len = 32 };
	assert_int_equal(flush(&k, &m), 0);
	m.either_way = true;
	m.dport = RTE_BE16(1000);
	assert_int_equal(flush(&k, &m), 2);
	m = (struct ct_match){ .src = a, .src_len = 24, .sport = RTE_BE16(1002) };
	assert_int_equal(flush(&k, &m), 2);
	m = (struct ct_match){ .by_pif = true, .pif = CTKIT_CLIENT_PIF };
	assert_int_equal(flush(&k, &m), 2);
	assert_int_equal(flowtab_count(k.ft), 0);
	ctkit_close(&k);
}

static void
flow_is_flushed_by_its_tuple_in_either_direction(void **state)
{
	struct ctkit_pkt c;
	struct ctkit k;

	ctkit_open(&k, NULL, 16);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(udp(&k, out[0], &ctkit_plain), NEW);
		ctkit_udp(&k, &c, i == 0 ? out[0] : in[0], 1);
		ctkit_free(&c);
		assert_int_equal(ct_flush_tuple(k.ct, &c.tuple, k.now_ms), 0);
		assert_int_equal(ct_flush_tuple(k.ct, &c.tuple, k.now_ms), -ENOENT);
	}
	assert_int_equal(flowtab_count(k.ft), 0);
	ctkit_close(&k);
}

static void
wrong_parameters_are_refused(void **state)
{
	struct ct_params p = { .socket_id = SOCKET_ID_ANY };
	struct flowtab *ft = table_new(16);

	assert_null(ct_create(&p));
	assert_int_equal(rte_errno, EINVAL);
	p.ft = ft;
	p.n_slices = 2;
	p.slice = 2;
	assert_null(ct_create(&p));
	ct_destroy(NULL);
	flowtab_destroy(ft);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_way_udp_stays_new_until_it_is_answered),
		cmocka_unit_test(expired_flow_is_absent_before_it_is_freed),
		cmocka_unit_test(echo_goes_by_its_id),
		cmocka_unit_test(two_that_ping_each_other_with_one_id_have_two_flows),
		cmocka_unit_test(other_protocols_go_by_addresses),
		cmocka_unit_test(what_cannot_be_tracked_is_invalid),
		cmocka_unit_test(same_tuple_in_two_zones_is_two_flows),
		cmocka_unit_test(zone_limit_is_exact_and_its_verdict_explicit),
		cmocka_unit_test(flow_can_count_for_another_zone),
		cmocka_unit_test(full_table_reuses_only_what_has_expired),
		cmocka_unit_test(mark_and_label_are_set_under_a_mask),
		cmocka_unit_test(packet_that_was_refused_cannot_be_committed),
		cmocka_unit_test(flow_that_would_answer_itself_is_refused),
		cmocka_unit_test(timeouts_go_by_the_policy_of_the_zone),
		cmocka_unit_test(sixty_days_are_no_overflow),
		cmocka_unit_test(timeouts_of_any_length_are_no_overflow),
		cmocka_unit_test(burst_sees_what_its_earlier_packets_have_done),
		cmocka_unit_test(flow_can_be_looked_at),
		cmocka_unit_test(flow_of_a_socket_is_not_the_trackers),
		cmocka_unit_test(flows_are_flushed_by_zone_port_mask_and_address),
		cmocka_unit_test(flow_is_flushed_by_its_tuple_in_either_direction),
		cmocka_unit_test(wrong_parameters_are_refused),
	};
	int failed;

	if (eal_start("512") != 0)
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	eal_stop();
	return failed;
}
