/* SPDX-License-Identifier: BSD-3-Clause */
/** What both programs about packets share: frames, as chains cut anywhere, parsed and checked. */
#ifndef TEST_CT_PKT_UTIL_H
#define TEST_CT_PKT_UTIL_H

#include <errno.h>
#include <string.h>

#include <ct_priv.h>

#include "test_ct_util.h"

#define L3 14

static struct ctkit k;
/** For chains of many segments. */
static struct rte_mempool *pool;
static uint8_t frame[PKT_MAX];
static const uint8_t data[61] = "sixty bytes of data and one, so that halves lie at odd bytes";

static inline struct pkt_ip
ip4(void)
{
	return (struct pkt_ip){ .src = pkt_addr("10.0.2.15"), .dst = pkt_addr("10.0.2.16") };
}

static inline struct pkt_ip
ip6(void)
{
	return (struct pkt_ip){ .src = pkt_addr("fd00::15"), .dst = pkt_addr("fd00::16") };
}

/** The frame as a chain: first bytes, then segments of seg bytes (0: all in one). */
static inline struct rte_mbuf *
chain(size_t len, size_t first, size_t seg)
{
	struct rte_mbuf *head = NULL, *m;
	size_t at = 0, n = seg != 0 ? RTE_MIN(first, len) : len;

	for (; at < len; at += n, n = RTE_MIN(seg, len - at)) {
		m = rte_pktmbuf_alloc(pool);
		assert_non_null(m);
		memcpy(rte_pktmbuf_append(m, (uint16_t)n), frame + at, n);
		if (head == NULL)
			head = m;
		else
			assert_int_equal(rte_pktmbuf_chain(head, m), 0);
	}
	return head;
}

/** Parse the frame; with 0, the mbuf stays in p. */
static inline int
parse_cut(size_t len, size_t first, size_t seg, struct ct_pkt *p, struct flowtab_tuple *t)
{
	int rc;

	*p = (struct ct_pkt){ .m = chain(len, first, seg), .l3_off = L3, .tuple = t };
	memset(t, 0xff, sizeof(*t));
	t->pif = 3;
	t->zone = 7;
	rc = ct_pkt_parse(p, t);
	assert_int_equal(t->pif, 3);
	assert_int_equal(t->zone, 7);
	assert_ptr_equal(p->tuple, rc == 0 ? t : NULL);
	if (rc != 0)
		rte_pktmbuf_free(p->m);
	return rc;
}

static inline int
parse(size_t len, struct ct_pkt *p, struct flowtab_tuple *t)
{
	return parse_cut(len, 0, 0, p, t);
}

static inline int
parse_only(size_t len)
{
	struct flowtab_tuple t;
	struct ct_pkt p;
	int rc = parse(len, &p, &t);

	if (rc == 0)
		rte_pktmbuf_free(p.m);
	return rc;
}

/** Parse, which must do, and check. @return the reason to refuse, CT_REASON_NONE */
static inline enum ct_reason
check_cut(size_t len, size_t first, size_t seg, uint8_t flags)
{
	uint64_t before[CT_REASON_COUNT];
	struct flowtab_tuple t;
	struct ct_pkt p;
	bool ok;

	assert_int_equal(parse_cut(len, first, seg, &p, &t), 0);
	p.flags = flags;
	memcpy(before, ct_reasons(k.ct), sizeof(before));
	ok = ct_pkt_check(k.ct, &p);
	assert_int_equal(ok, p.reason == CT_REASON_NONE);
	assert_int_equal(ct_reasons(k.ct)[p.reason], before[p.reason] + !ok);
	assert_int_equal(p.verdict, ok ? CT_ACCEPT : CT_INVALID);
	rte_pktmbuf_free(p.m);
	return p.reason;
}

static inline enum ct_reason
check(size_t len)
{
	return check_cut(len, 0, 0, 0);
}

static inline size_t
build_tcp(const struct pkt_ip *ip)
{
	const struct pkt_tcp tcp = {
		.sport = 1234, .dport = 80, .seq = 1, .flags = PKT_ACK, .mss = 1460, .wscale = 7
	};

	return pkt_build_tcp(frame, ip, &tcp, data, sizeof(data));
}

static inline size_t
build_udp(const struct pkt_ip *ip)
{
	return pkt_build_udp(frame, ip, 1234, 53, data, sizeof(data));
}

static inline size_t
build_icmp(const struct pkt_ip *ip, uint8_t type)
{
	return pkt_build_icmp(frame, ip, type, 0, 0x12345678, data, sizeof(data));
}

/** Another protocol: its header is hdr, and data. */
static inline size_t
build_other(const struct pkt_ip *ip, uint8_t proto, const uint8_t *hdr, size_t hdr_len)
{
	uint8_t l4[256];

	memcpy(l4, hdr, hdr_len);
	memcpy(l4 + hdr_len, data, sizeof(data));
	return pkt_build_ip(frame, ip, proto, l4, hdr_len + sizeof(data));
}

static inline void
expect_ports(const struct flowtab_tuple *t, uint8_t proto, uint16_t eport, uint16_t oport)
{
	assert_int_equal(t->proto, proto);
	assert_int_equal(rte_be_to_cpu_16(t->eport), eport);
	assert_int_equal(rte_be_to_cpu_16(t->oport), oport);
	assert_true(proto == IPPROTO_ICMP || proto == IPPROTO_ICMPV6 || t->answer == 0);
}

static inline void
expect_addrs(const struct flowtab_tuple *t, const struct pkt_ip *ip)
{
	if (ip->dst.len == 4) {
		assert_true(flowtab_tuple_is_v4(t));
		assert_memory_equal(&t->eaddr.v4, ip->src.b, 4);
		assert_memory_equal(&t->oaddr.v4, ip->dst.b, 4);
	} else {
		assert_memory_equal(t->eaddr.b, ip->src.b, 16);
		assert_memory_equal(t->oaddr.b, ip->dst.b, 16);
	}
	assert_true(flowtab_tuple_is_valid(t));
	for (unsigned int i = 0; i < sizeof(t->reserved); i++)
		assert_int_equal(t->reserved[i], 0);
}

static inline int
group_setup(void **state)
{
	(void)state;
	if (eal_start("128") < 0)
		return -1;
	pool = rte_pktmbuf_pool_create(
		"pool", 4095, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	assert_non_null(pool);
	ctkit_open(&k, NULL, 8);
	return 0;
}

static inline int
group_teardown(void **state)
{
	(void)state;
	assert_int_equal(rte_mempool_in_use_count(pool), 0);
	ctkit_close(&k);
	eal_stop();
	return 0;
}

#endif
