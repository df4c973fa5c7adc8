/* SPDX-License-Identifier: BSD-3-Clause */
/* Flows that are translated, from the first packet on: what leaves, and what comes back. */
#include "test_ct_nat_util.h"

#define L3 14
#define TO4 "10.9.9.9"
#define TO6 "fd00:9::9"

/** A packet, as its headers say. */
struct msg {
	struct pkt_addr src, dst;
	uint16_t sport, dport; /**< ICMP: sport is the id */
	uint8_t proto;
	uint8_t flags; /**< TCP */
	uint32_t seq, ack;
	bool answer; /**< ICMP */
};

static const uint8_t protos[2][8] = {
	{ IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMPV6, IPPROTO_SCTP, IPPROTO_UDPLITE, IPPROTO_DCCP,
		47 },
	{ IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP, IPPROTO_SCTP, IPPROTO_UDPLITE, IPPROTO_DCCP, 47 },
};
#define N_PROTOS 7

static bool
is_icmp(const struct msg *m)
{
	return m->proto == IPPROTO_ICMP || m->proto == IPPROTO_ICMPV6;
}

static bool
has_ports(const struct msg *m)
{
	return m->proto != 47 && !is_icmp(m);
}

static size_t
build(uint8_t *frame, const struct msg *m)
{
	const struct pkt_ip ip = { .src = m->src, .dst = m->dst };
	const struct pkt_tcp tcp = { .sport = m->sport,
		.dport = m->dport,
		.seq = m->seq,
		.ack = m->ack,
		.flags = m->flags,
		.win = 60000,
		.wscale = -1 };
	uint8_t l4[40] = { [8] = 'd', 'a', 't', 'a' }, type;

	switch (m->proto) {
	case IPPROTO_TCP:
		return pkt_build_tcp(frame, &ip, &tcp, NULL, 0);
	case IPPROTO_UDP:
		return pkt_build_udp(frame, &ip, m->sport, m->dport, "data", 4);
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		type = m->proto == IPPROTO_ICMP ? (m->answer ? 0 : 8) : (m->answer ? 129 : 128);
		return pkt_build_icmp(frame, &ip, type, 0, (uint32_t)m->sport << 16, "data", 4);
	case 47:
		return pkt_build_ip(frame, &ip, 47, l4, sizeof(l4));
	default:
		break;
	}
	pkt_put16(l4, m->sport);
	pkt_put16(l4 + 2, m->dport);
	if (m->proto == IPPROTO_DCCP)
		l4[4] = 3;
	if (m->proto != IPPROTO_SCTP)
		pkt_put16(l4 + 6,
			pkt_sum_fold(pkt_sum(l4, sizeof(l4),
				pkt_sum_pseudo(&ip.src, &ip.dst, m->proto, sizeof(l4)))));
	return pkt_build_ip(frame, &ip, m->proto, l4, sizeof(l4));
}

/** Addresses and ports that stand in a frame like m. */
static void
read_back(const uint8_t *frame, const struct msg *m, struct msg *out)
{
	const uint8_t *ip = frame + L3, *l4 = ip + (m->src.len == 4 ? 20 : 40);

	*out = *m;
	memcpy(out->src.b, ip + (m->src.len == 4 ? 12 : 8), m->src.len);
	memcpy(out->dst.b, ip + (m->src.len == 4 ? 16 : 24), m->src.len);
	if (is_icmp(m)) {
		out->sport = pkt_get16(l4 + 4);
	} else if (m->proto != 47) {
		out->sport = pkt_get16(l4);
		out->dport = pkt_get16(l4 + 2);
	}
}

/** What the tracker made of a packet; the frame is what it is now. */
static struct ct_pkt
send_raw(struct ctkit *k, uint8_t *frame, size_t len, uint16_t pif, const struct ct_commit *commit)
{
	struct ctkit_pkt c;
	struct ct_pkt p;

	ctkit_frame(k, &c, pif, frame, len);
	assert_int_equal(c.parsed, 0);
	ct_track(k->ct, &c.p, k->now_ms);
	if (commit != NULL)
		ct_commit(k->ct, &c.p, commit, k->now_ms);
	memcpy(frame, rte_pktmbuf_mtod(c.p.m, uint8_t *), len);
	p = c.p;
	ctkit_free(&c);
	return p;
}

/**
 * Send what must be accepted. What leaves is what would be built of its addresses and ports: all
 * checksums are right (SCTP's is compared where the ports stay: the CRC has a test of its own).
 * @return ct_state
 */
static uint8_t
send_msg(struct ctkit *k, const struct msg *m, uint16_t pif, const struct ct_commit *commit,
	struct msg *out)
{
	static uint8_t frame[PKT_MAX], want[PKT_MAX];
	size_t len = build(frame, m);
	struct ct_pkt p = send_raw(k, frame, len, pif, commit);

	assert_int_equal(p.verdict, CT_ACCEPT);
	read_back(frame, m, out);
	build(want, out);
	if (m->proto == IPPROTO_SCTP && (out->sport != m->sport || out->dport != m->dport))
		memcpy(want + L3 + (m->src.len == 4 ? 28 : 48),
			frame + L3 + (m->src.len == 4 ? 28 : 48), 4);
	assert_memory_equal(frame, want, len);
	return p.state;
}

static void
outside_free(void *addr, void *opaque)
{
	(void)addr;
	(void)opaque;
}

/** The frame in an mbuf that others refer to as well. @return what else has to be freed */
static struct rte_mbuf *
share(struct ctkit *k, struct ctkit_pkt *c, unsigned int how)
{
	static struct rte_mbuf_ext_shared_info shinfo;
	static uint8_t outside[256];
	struct rte_mbuf *other = NULL, *m = c->p.m;

	switch (how) {
	case 0: /* has a clone */
		other = rte_pktmbuf_clone(m, k->pool);
		break;
	case 1: /* is one */
		other = m;
		c->p.m = rte_pktmbuf_clone(m, k->pool);
		break;
	case 2: /* is held twice */
		rte_mbuf_refcnt_update(m, 1);
		other = m;
		break;
	default: /* memory of somebody else, held twice */
		other = m;
		c->p.m = rte_pktmbuf_alloc(k->pool);
		memcpy(outside, rte_pktmbuf_mtod(m, uint8_t *), m->data_len);
		rte_mbuf_ext_refcnt_set(&shinfo, how == 3 ? 2 : 1);
		shinfo.free_cb = outside_free;
		rte_pktmbuf_attach_extbuf(c->p.m, outside, RTE_BAD_IOVA, sizeof(outside), &shinfo);
		c->p.m->data_len = m->data_len;
		c->p.m->pkt_len = m->data_len;
		break;
	}
	assert_non_null(other);
	return other;
}

static struct msg
back(const struct msg *m)
{
	struct msg b = *m;

	b.src = m->dst;
	b.dst = m->src;
	if (!is_icmp(m)) {
		b.sport = m->dport;
		b.dport = m->sport;
	}
	b.answer = !m->answer;
	return b;
}

static void
assert_same(const struct msg *a, const struct msg *b)
{
	assert_true(pkt_addr_eq(&a->src, &b->src));
	assert_true(pkt_addr_eq(&a->dst, &b->dst));
	if (a->proto != 47)
		assert_int_equal(a->sport, b->sport);
	if (has_ports(a))
		assert_int_equal(a->dport, b->dport);
}

static struct msg
hello(unsigned int n, bool v4, uint8_t proto)
{
	return (struct msg){
		.src = pkt_addr(client(n, v4)),
		.dst = pkt_addr(v4 ? "192.0.2.9" : "2001:db8::9"),
		.sport = 40000,
		.dport = 443,
		.proto = proto,
		.flags = PKT_SYN,
		.seq = 1000,
	};
}

/** What the host at the port sees of a packet that comes (in) or goes there. */
static struct flowtab_tuple
seen_by(const struct msg *m, uint16_t pif)
{
	bool icmp = is_icmp(m), ports = has_ports(m);
	struct flowtab_tuple t = { .pif = pif, .proto = m->proto, .answer = icmp && m->answer };

	t.eaddr = addr(pkt_addr_text(&m->src));
	t.oaddr = addr(pkt_addr_text(&m->dst));
	t.eport = icmp || ports ? rte_cpu_to_be_16(m->sport) : 0;
	t.oport = icmp ? t.eport : ports ? rte_cpu_to_be_16(m->dport) : 0;
	return t;
}

/** Whoever accepts the flow learns where it was sent; so does who began it. */
static void
assert_original(struct ctkit *k, const struct msg *first, const struct msg *leaves)
{
	struct msg answer = back(leaves), end = back(first);
	struct flowtab_tuple t, want = seen_by(first, CTKIT_CLIENT_PIF), seen;

	seen = seen_by(&answer, CTKIT_SERVER_PIF);
	assert_int_equal(ct_original(k->ct, &seen, k->now_ms, &t), 0);
	assert_memory_equal(&t, &want, sizeof(t));
	seen = seen_by(leaves, CTKIT_SERVER_PIF);
	assert_int_equal(ct_original(k->ct, &seen, k->now_ms, &t), 0);
	assert_memory_equal(&t, &want, sizeof(t));
	assert_int_equal(ct_original(k->ct, &want, k->now_ms, &t), 0);
	assert_memory_equal(&t, &want, sizeof(t));
	seen = seen_by(&end, CTKIT_CLIENT_PIF);
	assert_int_equal(ct_original(k->ct, &seen, k->now_ms, &t), 0);
	assert_memory_equal(&t, &want, sizeof(t));
	seen.pif = 7;
	assert_int_equal(ct_original(k->ct, &seen, k->now_ms, &t), -ENOENT);
}

/** A question, its answer, and more: through the same translation, and back. */
static void
talk(struct ctkit *k, const struct msg *first, const struct ct_nat *nat, uint8_t state,
	struct msg *leaves)
{
	const struct ct_commit commit = { .nat = nat, .opif = CTKIT_SERVER_PIF };
	struct msg m = *first, answer, end = back(first), out;

	assert_int_equal(
		send_msg(k, &m, CTKIT_CLIENT_PIF, &commit, leaves), CT_TRK | CT_NEW | state);
	assert_original(k, first, leaves);
	answer = back(leaves);
	answer.flags = PKT_SYN | PKT_ACK;
	answer.seq = 5000;
	answer.ack = 1001;
	assert_int_equal(send_msg(k, &answer, CTKIT_SERVER_PIF, NULL, &out),
		CT_TRK | CT_EST | CT_RPL | state);
	assert_same(&out, &end);
	m.flags = PKT_ACK;
	m.seq = 1001;
	m.ack = 5001;
	assert_int_equal(send_msg(k, &m, CTKIT_CLIENT_PIF, NULL, &out), CT_TRK | CT_EST | state);
	assert_same(&out, leaves);
}

static void
sources_are_translated_out_and_back(void **state)
{
	for (unsigned int i = 0; i < 2 * N_PROTOS; i++) {
		bool v4 = i & 1;
		struct msg m = hello(0, v4, protos[v4][i / 2]), leaves;
		struct ct_nat nat = snat_one(v4, 5000, 5010);
		struct pkt_addr want = pkt_addr(outside(v4));
		struct ctkit k;

		ctkit_open(&k, NULL, 64);
		talk(&k, &m, &nat, CT_SNAT, &leaves);
		assert_true(pkt_addr_eq(&leaves.src, &want));
		assert_true(pkt_addr_eq(&leaves.dst, &m.dst));
		if (m.proto != 47)
			assert_in_range(leaves.sport, 5000, 5010);
		assert_int_equal(leaves.dport, m.dport);
		assert_int_equal(ctkit_count(&k, CT_COUNT_NATTED), 3);
		ctkit_close(&k);
	}
}

static void
destinations_are_translated_out_and_back(void **state)
{
	for (unsigned int i = 0; i < 2 * N_PROTOS; i++) {
		bool v4 = i & 1;
		struct msg m = hello(0, v4, protos[v4][i / 2]), leaves;
		const char *to = v4 ? TO4 : TO6;
		struct ct_nat nat = dnat(to, to, 8443, 8443);
		struct pkt_addr want = pkt_addr(to);
		struct ctkit k;

		ctkit_open(&k, NULL, 64);
		talk(&k, &m, &nat, CT_DNAT, &leaves);
		assert_true(pkt_addr_eq(&leaves.src, &m.src));
		assert_true(pkt_addr_eq(&leaves.dst, &want));
		assert_int_equal(leaves.sport, m.sport);
		if (has_ports(&m))
			assert_int_equal(leaves.dport, 8443);
		ctkit_close(&k);
	}
}

static void
both_are_translated_out_and_back(void **state)
{
	for (unsigned int i = 0; i < 2 * N_PROTOS; i++) {
		bool v4 = i & 1;
		struct msg m = hello(0, v4, protos[v4][i / 2]), leaves;
		const char *to = v4 ? TO4 : TO6;
		struct ct_nat nat = dnat(to, to, 8443, 8443);
		struct pkt_addr want_dst = pkt_addr(to), want_src = pkt_addr(outside(v4));
		struct ctkit k;

		ctkit_open(&k, NULL, 64);
		nat.what |= CT_NAT_SRC;
		nat.src = range(outside(v4), outside(v4), 0, 0);
		talk(&k, &m, &nat, CT_SNAT | CT_DNAT, &leaves);
		assert_true(pkt_addr_eq(&leaves.src, &want_src));
		assert_true(pkt_addr_eq(&leaves.dst, &want_dst));
		assert_int_equal(leaves.sport, m.sport);
		ctkit_close(&k);
	}
}

static void
a_port_is_redirected(void **state)
{
	for (unsigned int i = 0; i < 2 * N_PROTOS; i++) {
		bool v4 = i & 1;
		struct msg m = hello(0, v4, protos[v4][i / 2]), leaves;
		struct ct_nat nat = dnat("", "", 3128, 3128);
		struct ctkit k;

		ctkit_open(&k, NULL, 64);
		talk(&k, &m, &nat, has_ports(&m) ? CT_DNAT : 0, &leaves);
		assert_true(pkt_addr_eq(&leaves.src, &m.src));
		assert_true(pkt_addr_eq(&leaves.dst, &m.dst));
		if (has_ports(&m))
			assert_int_equal(leaves.dport, 3128);
		ctkit_close(&k);
	}
}

static void
the_same_translation_serves_a_connection_that_begins_again(void **state)
{
	struct ct_nat nat = snat_one(true, 5000, 5999);
	const struct ct_commit commit = { .nat = &nat, .opif = CTKIT_SERVER_PIF };
	struct msg m = hello(0, true, IPPROTO_TCP), leaves, again, rst;
	struct ctkit k;

	ctkit_open(&k, NULL, 64);
	talk(&k, &m, &nat, CT_SNAT, &leaves);
	rst = m;
	rst.flags = PKT_RST;
	rst.seq = 1001;
	send_msg(&k, &rst, CTKIT_CLIENT_PIF, NULL, &again);
	assert_same(&again, &leaves);
	m.seq = 777777;
	assert_int_equal(
		send_msg(&k, &m, CTKIT_CLIENT_PIF, &commit, &again), CT_TRK | CT_NEW | CT_SNAT);
	assert_same(&again, &leaves);
	assert_int_equal(flowtab_count(k.ft), 1);
	ctkit_close(&k);
}

static void
icmp_ids_of_one_client_stay_apart_under_one_address(void **state)
{
	for (unsigned int v4 = 0; v4 < 2; v4++) {
		struct ct_nat nat = snat_one(v4, 0, 0);
		struct msg m = hello(0, v4, protos[v4][2]), leaves;
		struct ctkit k;

		ctkit_open(&k, NULL, 64);
		for (uint16_t id = 500; id <= 502; id++) {
			m.sport = id;
			talk(&k, &m, &nat, CT_SNAT, &leaves);
			assert_int_equal(leaves.sport, id);
		}
		assert_int_equal(flowtab_count(k.ft), 3);
		ctkit_close(&k);
	}
}

static void
icmp_ids_of_many_clients_stay_apart_under_one_address(void **state)
{
	for (unsigned int v4 = 0; v4 < 2; v4++) {
		struct ct_nat nat = snat_one(v4, 0, 0);
		struct msg leaves[30];
		struct ctkit k;

		ctkit_open(&k, NULL, 64);
		for (unsigned int n = 0; n < 30; n++) {
			struct msg m = hello(n / 3, v4, protos[v4][2]);

			m.sport = (uint16_t)(500 + n % 3);
			talk(&k, &m, &nat, CT_SNAT, &leaves[n]);
			for (unsigned int i = 0; i < n; i++)
				assert_int_not_equal(leaves[i].sport, leaves[n].sport);
		}
		assert_int_equal(flowtab_count(k.ft), 30);
		ctkit_close(&k);
	}
}

/** Refused packets are not accepted, not changed, and nothing is kept of them. */
static void
assert_dropped(struct ctkit *k, const struct msg *m, const struct ct_nat *nat)
{
	const struct ct_commit commit = { .nat = nat, .opif = CTKIT_SERVER_PIF };
	static uint8_t frame[PKT_MAX], want[PKT_MAX];
	uint32_t flows = flowtab_count(k->ft);
	uint64_t natted = ctkit_count(k, CT_COUNT_NATTED);
	uint64_t dropped = ctkit_reason(k, CT_REASON_NAT_EXHAUSTED);
	size_t len = build(want, m);
	struct ct_pkt p;

	/* each time anew */
	for (unsigned int i = 1; i <= 2; i++) {
		memcpy(frame, want, len);
		p = send_raw(k, frame, len, CTKIT_CLIENT_PIF, &commit);
		assert_int_equal(p.verdict, CT_DROP);
		assert_int_equal(p.reason, CT_REASON_NAT_EXHAUSTED);
		assert_int_equal(p.flow, FLOWTAB_NONE);
		assert_memory_equal(frame, want, len);
		assert_int_equal(ctkit_reason(k, CT_REASON_NAT_EXHAUSTED), dropped + i);
	}
	assert_int_equal(flowtab_count(k->ft), flows);
	assert_int_equal(ctkit_count(k, CT_COUNT_NATTED), natted);
}

static void
an_exhausted_range_drops(void **state)
{
	for (unsigned int i = 0; i < 2 * N_PROTOS; i++) {
		bool v4 = i & 1;
		uint8_t proto = protos[v4][i / 2];
		struct ct_nat nat = snat_one(v4, 5000, 5000);
		struct msg m = hello(0, v4, proto), leaves;
		struct ctkit k;

		ctkit_open(&k, NULL, 64);
		talk(&k, &m, &nat, CT_SNAT, &leaves);
		m = hello(1, v4, proto);
		assert_dropped(&k, &m, &nat);
		/* until there is something to be had */
		ct_free(k.ct, 0);
		talk(&k, &m, &nat, CT_SNAT, &leaves);
		ctkit_close(&k);
	}
}

static void
what_cannot_be_translated_is_dropped(void **state)
{
	for (unsigned int v4 = 0; v4 < 2; v4++) {
		struct ct_nat nat = snat_one(!v4, 0, 0);
		struct msg m = hello(0, v4, IPPROTO_UDP);
		struct ctkit k;

		ctkit_open(&k, NULL, 64);
		assert_dropped(&k, &m, &nat);
		nat = snat_one(v4, 5001, 5000);
		assert_dropped(&k, &m, &nat);
		ctkit_close(&k);
	}
}

static void
a_full_table_lets_nothing_out_untranslated(void **state)
{
	struct ct_nat nat = snat_one(true, 0, 0);
	const struct ct_commit commit = { .nat = &nat, .opif = CTKIT_SERVER_PIF };
	uint8_t frame[256];
	struct msg m, leaves;
	struct ct_pkt p;
	struct ctkit k;

	ctkit_open(&k, NULL, 8);
	for (unsigned int n = 0; n < 8; n++) {
		m = hello(n, true, IPPROTO_UDP);
		talk(&k, &m, &nat, CT_SNAT, &leaves);
	}
	m = hello(8, true, IPPROTO_UDP);
	p = send_raw(&k, frame, build(frame, &m), CTKIT_CLIENT_PIF, &commit);
	assert_int_equal(p.verdict, CT_LIMIT);
	ctkit_close(&k);
}

/** Random clients, more than fit: of all that was accepted, nothing showed an inner address. */
static void
what_is_shared_is_not_written(void **state)
{
	static const struct ct_nat nat = { .what = CT_NAT_SRC,
		.src = { .min.b = { [10] = 0xff, 0xff, 10, 9, 9, 9 },
			.max.b = { [10] = 0xff, 0xff, 10, 9, 9, 9 } } };
	const struct ct_commit commit = { .nat = &nat, .opif = CTKIT_SERVER_PIF };
	static uint8_t frame[PKT_MAX], before[PKT_MAX];
	struct msg m = { .src = pkt_addr("10.0.2.15"),
		.dst = pkt_addr("10.0.2.16"),
		.sport = 40000,
		.dport = 53,
		.proto = IPPROTO_UDP };
	size_t len = build(frame, &m);
	struct rte_mbuf *other;
	struct ctkit_pkt c;
	struct ctkit k;

	ctkit_open(&k, NULL, 16);
	memcpy(before, frame, len);
	for (unsigned int how = 0; how < 8; how++) {
		/* The flow's first packet, and one of a flow; the last kind is nobody else's. */
		bool ok = how % 4 == 3 && how > 3;

		if (how == 4)
			send_raw(&k, frame, len, CTKIT_CLIENT_PIF, &commit);
		ctkit_frame(&k, &c, CTKIT_CLIENT_PIF, before, len);
		other = share(&k, &c, how % 4 + ok);
		ct_track(k.ct, &c.p, k.now_ms);
		ct_commit(k.ct, &c.p, &commit, k.now_ms);
		assert_int_equal(c.p.verdict, ok ? CT_ACCEPT : CT_DROP);
		assert_int_equal(c.p.reason, ok ? CT_REASON_NONE : CT_REASON_NAT_REWRITE);
		assert_int_equal(flowtab_count(k.ft), how >= 4);
		if (!ok)
			assert_memory_equal(rte_pktmbuf_mtod(c.p.m, uint8_t *), before, len);
		rte_pktmbuf_free(other);
		rte_pktmbuf_free(c.p.m);
	}
	ctkit_close(&k);
}

static void
nothing_ever_leaves_untranslated(void **state)
{
	uint64_t seed = 50;
	unsigned int accepted = 0, dropped = 0;
	struct ctkit k;

	ctkit_open(&k, NULL, 64);
	for (unsigned int n = 0; n < 20000; n++) {
		bool v4 = rnd(&seed) & 1;
		struct ct_nat nat = snat_one(v4, 5000, 5007);
		const struct ct_commit commit = { .nat = &nat, .opif = CTKIT_SERVER_PIF };
		struct msg m = hello(rnd_below(&seed, 40), v4,
				   protos[v4][rnd_below(&seed, N_PROTOS)]),
			   out;
		struct pkt_addr want = pkt_addr(outside(v4));
		uint8_t frame[256];
		struct ct_pkt p;

		p = send_raw(&k, frame, build(frame, &m), CTKIT_CLIENT_PIF, &commit);
		read_back(frame, &m, &out);
		if (p.verdict == CT_ACCEPT) {
			accepted++;
			assert_true(pkt_addr_eq(&out.src, &want));
			assert_int_not_equal(p.state & CT_SNAT, 0);
		} else {
			dropped++;
			assert_same(&out, &m);
		}
		k.now_ms += rnd_below(&seed, 2000);
	}
	assert_in_range(accepted, 5000, 19000);
	assert_in_range(dropped, 1000, 15000);
	ctkit_close(&k);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sources_are_translated_out_and_back),
		cmocka_unit_test(destinations_are_translated_out_and_back),
		cmocka_unit_test(both_are_translated_out_and_back),
		cmocka_unit_test(a_port_is_redirected),
		cmocka_unit_test(the_same_translation_serves_a_connection_that_begins_again),
		cmocka_unit_test(icmp_ids_of_one_client_stay_apart_under_one_address),
		cmocka_unit_test(icmp_ids_of_many_clients_stay_apart_under_one_address),
		cmocka_unit_test(an_exhausted_range_drops),
		cmocka_unit_test(what_cannot_be_translated_is_dropped),
		cmocka_unit_test(a_full_table_lets_nothing_out_untranslated),
		cmocka_unit_test(what_is_shared_is_not_written),
		cmocka_unit_test(nothing_ever_leaves_untranslated),
	};
	int rc;

	if (eal_start("128") < 0)
		return 1;
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	eal_stop();
	return rc;
}
