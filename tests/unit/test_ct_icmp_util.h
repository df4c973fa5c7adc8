/* SPDX-License-Identifier: BSD-3-Clause */
/** What both programs about ICMP errors share: flows of all kinds, errors about their packets. */
#ifndef TEST_CT_ICMP_UTIL_H
#define TEST_CT_ICMP_UTIL_H

#include <string.h>

#include <ct_priv.h>

#include "test_ct_util.h"

#define L3 14
#define DIRS 2

/** A flow, and what of it is translated. */
struct flow_case {
	bool v4;
	uint8_t proto;
	uint8_t nat; /**< CT_NAT_SRC, CT_NAT_DST */
};

/** The first packet of each direction: as its sender sent it, and as it left. */
struct flow_packets {
	uint8_t sent[DIRS][256], left[DIRS][256];
	size_t len[DIRS];
};

/** What a test wants of an ICMP error. */
struct error {
	unsigned int dir; /**< of the packet that it is about */
	bool router;      /**< who sends it */
	uint8_t type, code;
	uint32_t rest;
	size_t quote; /**< bytes; 0: all */
	uint8_t flags;
};

static struct ctkit k;
static uint8_t frame[PKT_MAX];
static const uint8_t data[41] = "and forty bytes of data, to be quoted  .";

static const char *const client[] = { "10.0.2.15", "fd00:2::15" };
static const char *const client_seen[] = { "192.0.2.1", "2001:db8::1" };
static const char *const server[] = { "10.0.2.16", "fd00:2::16" };
static const char *const server_seen[] = { "198.51.100.1", "2001:db8:1::1" };
static const char *const router[] = { "203.0.113.7", "2001:db8:7::7" };

static inline struct pkt_ip
ip_from_to(const struct pkt_addr *src, const struct pkt_addr *dst)
{
	return (struct pkt_ip){
		.src_mac = { 2, 0, 0, 0, 0, 1 },
		.dst_mac = { 2, 0, 0, 0, 0, 2 },
		.src = *src,
		.dst = *dst,
	};
}

/** Source and destination of a frame. */
static inline struct pkt_addr
addr_of(const uint8_t *f, bool dst)
{
	struct pkt_addr a = { .len = f[L3] >> 4 == 4 ? 4 : 16 };

	memcpy(a.b, f + L3 + (a.len == 4 ? 12 : 8) + (dst ? a.len : 0), a.len);
	return a;
}

static inline size_t
l4_of(const uint8_t *f)
{
	return L3 + (f[L3] >> 4 == 4 ? 20 : 40);
}

/** The first packet of a direction. */
static inline size_t
build(uint8_t *out, const struct pkt_ip *ip, uint8_t proto, uint16_t sport, uint16_t dport,
	bool answer)
{
	struct pkt_tcp tcp = { .sport = sport,
		.dport = dport,
		.seq = answer ? 5000 : 1000,
		.ack = answer ? 1001 : 0,
		.flags = answer ? PKT_SYN | PKT_ACK : PKT_SYN,
		.win = 1000,
		.wscale = -1 };
	uint8_t l4[64] = { 0 };

	switch (proto) {
	case IPPROTO_TCP:
		return pkt_build_tcp(out, ip, &tcp, NULL, 0);
	case IPPROTO_UDP:
		return pkt_build_udp(out, ip, sport, dport, data, sizeof(data));
	case IPPROTO_ICMP:
		return pkt_build_icmp(out, ip,
			ip->src.len == 4 ? (answer ? 0 : 8) : (answer ? 129 : 128), 0,
			(uint32_t)sport << 16 | 1, data, sizeof(data));
	case IPPROTO_UDPLITE:
		pkt_put16(l4, sport);
		pkt_put16(l4 + 2, dport);
		pkt_put16(l4 + 6,
			pkt_sum_fold(pkt_sum(
				l4, 28, pkt_sum_pseudo(&ip->src, &ip->dst, IPPROTO_UDPLITE, 28))));
		return pkt_build_ip(out, ip, proto, l4, 28);
	default:
		return pkt_build_ip(out, ip, proto, data, sizeof(data));
	}
}

static inline struct ct_nat_range
range_of(const char *text, uint16_t port)
{
	struct ct_nat_range r = { .port_min = port, .port_max = port };

	assert_int_equal(flowtab_addr_parse(&r.min, text), 0);
	r.max = r.min;
	return r;
}

/** Track a frame, accepted; what it is then goes to left. @return its flow */
static inline uint32_t
pass(uint16_t pif, const uint8_t *f, size_t len, const struct ct_commit *commit, uint8_t *left)
{
	struct ctkit_pkt c;
	uint32_t flow;

	ctkit_frame(&k, &c, pif, f, len);
	ct_track(k.ct, &c.p, k.now_ms);
	if (commit != NULL)
		ct_commit(k.ct, &c.p, commit, k.now_ms);
	assert_int_equal(c.p.verdict, CT_ACCEPT);
	assert_int_equal(rte_pktmbuf_pkt_len(c.p.m), len);
	memcpy(left, rte_pktmbuf_mtod(c.p.m, const void *), len);
	flow = c.p.flow;
	ctkit_free(&c);
	return flow;
}

/** Begin a flow, and let it be answered. */
static inline uint32_t
begin(const struct flow_case *fc, struct flow_packets *fp)
{
	unsigned int v6 = !fc->v4;
	const struct ct_nat nat = {
		.what = fc->nat,
		.src = range_of(client_seen[v6], 50000),
		.dst = range_of(server[v6], fc->proto == IPPROTO_ICMP ? 0 : 8080),
	};
	const struct ct_commit commit = {
		.nat = fc->nat != 0 ? &nat : NULL,
		.opif = CTKIT_SERVER_PIF,
		.mark = 77,
		.mark_mask = UINT32_MAX,
		.label = { 5, 6 },
		.label_mask = { UINT64_MAX, UINT64_MAX },
	};
	struct pkt_addr src = pkt_addr(client[v6]);
	struct pkt_addr dst = pkt_addr(fc->nat & CT_NAT_DST ? server_seen[v6] : server[v6]);
	struct pkt_ip ip = ip_from_to(&src, &dst);
	bool echo = fc->proto == IPPROTO_ICMP;
	const uint8_t *l4;
	uint32_t flow;

	fp->len[0] = build(fp->sent[0], &ip, fc->proto, 40000, 80, false);
	flow = pass(CTKIT_CLIENT_PIF, fp->sent[0], fp->len[0], &commit, fp->left[0]);
	src = addr_of(fp->left[0], true);
	dst = addr_of(fp->left[0], false);
	ip = ip_from_to(&src, &dst);
	l4 = fp->left[0] + l4_of(fp->left[0]);
	fp->len[1] = build(
		fp->sent[1], &ip, fc->proto, pkt_get16(l4 + (echo ? 4 : 2)), pkt_get16(l4), true);
	assert_int_equal(pass(CTKIT_SERVER_PIF, fp->sent[1], fp->len[1], NULL, fp->left[1]), flow);
	return flow;
}

/** An error about a packet as it left. @return the length of frame */
static inline size_t
build_error(const struct flow_packets *fp, const struct error *e)
{
	const uint8_t *q = fp->left[e->dir];
	struct pkt_addr dst = addr_of(q, false), src = addr_of(q, true);
	struct pkt_ip ip;

	if (e->router)
		src = pkt_addr(router[src.len == 16]);
	ip = ip_from_to(&src, &dst);
	return pkt_build_icmp(frame, &ip, e->type, e->code, e->rest, q + L3,
		e->quote != 0 ? e->quote : fp->len[e->dir] - L3);
}

static inline uint16_t
pif_of(const struct error *e)
{
	return e->dir == 0 ? CTKIT_SERVER_PIF : CTKIT_CLIENT_PIF;
}

/** Track frame as it is. */
static inline void
track(struct ctkit_pkt *c, uint16_t pif, size_t len, uint8_t flags)
{
	ctkit_frame(&k, c, pif, frame, len);
	c->p.flags = flags;
	/* Whatever was there: all output is written. */
	c->p.mark = 1;
	c->p.label[0] = c->p.label[1] = 1;
	ct_track(k.ct, &c->p, k.now_ms);
}

/** Track frame, which is refused: counted, and nothing of any flow or of the frame is changed. */
static inline void
expect_refused(uint16_t pif, size_t len, enum ct_reason reason)
{
	uint64_t n = ctkit_reason(&k, reason), related = ctkit_count(&k, CT_COUNT_RELATED);
	struct flowtab_flow before[64];
	struct ctkit_pkt c;

	assert_in_range(flowtab_max(k.ft), 1, RTE_DIM(before));
	memcpy(before, flowtab_flows(k.ft), flowtab_max(k.ft) * sizeof(before[0]));
	track(&c, pif, len, 0);
	assert_int_equal(c.p.verdict, CT_INVALID);
	assert_int_equal(c.p.reason, reason);
	assert_int_equal(c.p.state, CT_TRK | CT_INV);
	assert_int_equal(c.p.mark, 0);
	assert_int_equal(ctkit_reason(&k, reason), n + 1);
	assert_int_equal(ctkit_count(&k, CT_COUNT_RELATED), related);
	assert_memory_equal(rte_pktmbuf_mtod(c.p.m, const void *), frame, len);
	assert_memory_equal(before, flowtab_flows(k.ft), flowtab_max(k.ft) * sizeof(before[0]));
	ctkit_free(&c);
}

/** What the sender of the quoted packet gets. */
static inline void
expect_error(
	const struct ctkit_pkt *c, const struct flow_packets *fp, const struct error *e, size_t len)
{
	static const struct pkt_limits limits = { .mtu = 1500 };
	const uint8_t *got = rte_pktmbuf_mtod(c->p.m, const uint8_t *), *sent = fp->sent[e->dir];
	struct pkt_addr to = addr_of(sent, false), from = addr_of(sent, true);
	struct pkt_view v;

	assert_null(pkt_check(got, len, NULL, &limits, &v));
	if (e->router)
		from = pkt_addr(router[from.len == 16]);
	assert_string_equal(pkt_addr_text(&v.dst), pkt_addr_text(&to));
	assert_string_equal(pkt_addr_text(&v.src), pkt_addr_text(&from));
	assert_int_equal(v.icmp_type, e->type);
	assert_int_equal(v.icmp_code, e->code);
	assert_int_equal(v.icmp_rest, e->rest);
	assert_int_equal(v.data_len, e->quote != 0 ? e->quote : fp->len[e->dir] - L3);
	assert_memory_equal(v.data, sent + L3, v.data_len);
}

/** The error is about the flow, arrives as it must, and changes nothing of the flow. */
static inline void
expect_related(
	const struct flow_case *fc, const struct flow_packets *fp, uint32_t flow, struct error *e)
{
	uint64_t related = ctkit_count(&k, CT_COUNT_RELATED);
	struct flowtab_flow before = flowtab_flows(k.ft)[flow];
	size_t len = build_error(fp, e);
	struct ctkit_pkt c;

	track(&c, pif_of(e), len, e->flags);
	assert_int_equal(c.p.verdict, CT_ACCEPT);
	assert_int_equal(c.p.reason, CT_REASON_NONE);
	assert_int_equal(c.p.flow, flow);
	assert_int_equal(c.p.side, e->dir == 0 ? FLOWTAB_SIDE_OTHER : FLOWTAB_SIDE_GUEST);
	assert_int_equal(c.p.state,
		CT_TRK | CT_REL | (e->dir == 0 ? CT_RPL : 0) |
			(fc->nat & CT_NAT_SRC ? CT_SNAT : 0) |
			(fc->nat & CT_NAT_DST ? CT_DNAT : 0));
	assert_int_equal(c.p.mark, 77);
	assert_int_equal(c.p.label[0], 5);
	assert_int_equal(c.p.label[1], 6);
	assert_int_equal(c.p.expect, FLOWTAB_NONE);
	expect_error(&c, fp, e, len);
	assert_memory_equal(&before, &flowtab_flows(k.ft)[flow], sizeof(before));
	assert_int_equal(ctkit_count(&k, CT_COUNT_RELATED), related + 1);
	ctkit_free(&c);
}

/* Protocols in tests; the last has no ports. */
static const uint8_t protos[] = { IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP, IPPROTO_UDPLITE,
	IPPROTO_GRE };

/** Call fn for a flow of each family, protocol and translation. */
static inline void
each_case(void (*fn)(const struct flow_case *fc, const struct flow_packets *fp, uint32_t flow))
{
	for (unsigned int i = 0; i < 2 * 4 * RTE_DIM(protos); i++) {
		const struct flow_case fc = {
			.v4 = i % 2 == 0, .nat = i / 2 % 4, .proto = protos[i / 8]
		};
		struct flow_packets fp;
		uint32_t flow = begin(&fc, &fp);

		fn(&fc, &fp, flow);
		ct_free(k.ct, flow);
	}
}

static inline int
setup(void **state)
{
	(void)state;
	ctkit_open(&k, NULL, 64);
	return 0;
}

static inline int
teardown(void **state)
{
	(void)state;
	ctkit_close(&k);
	return 0;
}

static inline int
group_setup(void **state)
{
	(void)state;
	return eal_start("128");
}

static inline int
group_teardown(void **state)
{
	(void)state;
	eal_stop();
	return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
