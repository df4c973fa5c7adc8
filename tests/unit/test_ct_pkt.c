/* SPDX-License-Identifier: BSD-3-Clause */
/* Packets that the tracker is handed: taken apart, refused, and their checksums. */
#include "test_flowtab_util.h"

#include <errno.h>

#include <ct_priv.h>
#include <pkt.h>

#define L3 14

static struct rte_mempool *pool;
static uint8_t frame[PKT_MAX];
static const uint8_t data[61] = "sixty bytes of data and one, so that halves lie at odd bytes";

/* The core is not under test. */
bool
ct_refuse(struct ct *ct, struct ct_pkt *p, enum ct_verdict verdict, enum ct_reason reason)
{
	(void)ct;
	p->verdict = verdict;
	p->reason = reason;
	return false;
}

static struct pkt_ip
ip4(void)
{
	return (struct pkt_ip){ .src = pkt_addr("10.0.2.15"), .dst = pkt_addr("10.0.2.16") };
}

static struct pkt_ip
ip6(void)
{
	return (struct pkt_ip){ .src = pkt_addr("fd00::15"), .dst = pkt_addr("fd00::16") };
}

/** The frame as a chain: first bytes, then segments of seg bytes (0: all in one). */
static struct rte_mbuf *
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
static int
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

static int
parse(size_t len, struct ct_pkt *p, struct flowtab_tuple *t)
{
	return parse_cut(len, 0, 0, p, t);
}

static int
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
static enum ct_reason
check_cut(size_t len, size_t first, size_t seg, uint8_t flags)
{
	struct flowtab_tuple t;
	struct ct_pkt p;
	bool ok;

	assert_int_equal(parse_cut(len, first, seg, &p, &t), 0);
	p.flags = flags;
	ok = ct_pkt_check(NULL, &p);
	assert_int_equal(ok, p.reason == CT_REASON_NONE);
	assert_int_equal(p.verdict, ok ? CT_ACCEPT : CT_INVALID);
	rte_pktmbuf_free(p.m);
	return p.reason;
}

static enum ct_reason
check(size_t len)
{
	return check_cut(len, 0, 0, 0);
}

static size_t
build_tcp(const struct pkt_ip *ip)
{
	const struct pkt_tcp tcp = {
		.sport = 1234, .dport = 80, .seq = 1, .flags = PKT_ACK, .mss = 1460, .wscale = 7
	};

	return pkt_build_tcp(frame, ip, &tcp, data, sizeof(data));
}

static size_t
build_udp(const struct pkt_ip *ip)
{
	return pkt_build_udp(frame, ip, 1234, 53, data, sizeof(data));
}

static size_t
build_icmp(const struct pkt_ip *ip, uint8_t type)
{
	return pkt_build_icmp(frame, ip, type, 0, 0x12345678, data, sizeof(data));
}

/** Another protocol: its header is hdr, and data. */
static size_t
build_other(const struct pkt_ip *ip, uint8_t proto, const uint8_t *hdr, size_t hdr_len)
{
	uint8_t l4[256];

	memcpy(l4, hdr, hdr_len);
	memcpy(l4 + hdr_len, data, sizeof(data));
	return pkt_build_ip(frame, ip, proto, l4, hdr_len + sizeof(data));
}

static void
expect_ports(const struct flowtab_tuple *t, uint8_t proto, uint16_t eport, uint16_t oport)
{
	assert_int_equal(t->proto, proto);
	assert_int_equal(rte_be_to_cpu_16(t->eport), eport);
	assert_int_equal(rte_be_to_cpu_16(t->oport), oport);
	assert_true(proto == IPPROTO_ICMP || proto == IPPROTO_ICMPV6 || t->answer == 0);
}

static void
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

static void
takes_tcp_and_udp_of_both_families_apart(void **state)
{
	const struct pkt_ip ips[] = { ip4(), ip6() };

	(void)state;
	for (unsigned int i = 0; i < RTE_DIM(ips); i++) {
		uint16_t l4 = i == 0 ? L3 + 20 : L3 + 40;
		struct flowtab_tuple t;
		struct ct_pkt p;

		assert_int_equal(parse(build_tcp(&ips[i]), &p, &t), 0);
		expect_addrs(&t, &ips[i]);
		expect_ports(&t, IPPROTO_TCP, 1234, 80);
		assert_int_equal(p.v4, i == 0);
		assert_int_equal(p.l4_off, l4);
		assert_int_equal(p.data_off, l4 + 28);
		assert_int_equal(p.l4_len, 28 + sizeof(data));
		assert_int_equal(ct_payload_len(&p), sizeof(data));
		rte_pktmbuf_free(p.m);
		assert_int_equal(parse(build_udp(&ips[i]), &p, &t), 0);
		expect_addrs(&t, &ips[i]);
		expect_ports(&t, IPPROTO_UDP, 1234, 53);
		assert_int_equal(p.data_off, l4 + 8);
		assert_int_equal(ct_payload_len(&p), sizeof(data));
		rte_pktmbuf_free(p.m);
	}
}

static void
takes_ports_of_other_protocols_that_have_them(void **state)
{
	static const uint8_t sctp[12] = { 4, 210, 0, 80 };
	static const uint8_t lite[8] = { 4, 210, 0, 80 };
	static const uint8_t dccp[16] = { 4, 210, 0, 80, 4 };
	const struct pkt_ip ips[] = { ip4(), ip6() };
	struct flowtab_tuple t;
	struct ct_pkt p;

	(void)state;
	for (unsigned int i = 0; i < RTE_DIM(ips); i++) {
		assert_int_equal(parse(build_other(&ips[i], 132, sctp, sizeof(sctp)), &p, &t), 0);
		expect_ports(&t, IPPROTO_SCTP, 1234, 80);
		assert_int_equal(p.data_off - p.l4_off, 12);
		rte_pktmbuf_free(p.m);
		assert_int_equal(parse(build_other(&ips[i], 136, lite, sizeof(lite)), &p, &t), 0);
		expect_ports(&t, IPPROTO_UDPLITE, 1234, 80);
		assert_int_equal(p.data_off - p.l4_off, 8);
		rte_pktmbuf_free(p.m);
		assert_int_equal(parse(build_other(&ips[i], 33, dccp, sizeof(dccp)), &p, &t), 0);
		expect_ports(&t, IPPROTO_DCCP, 1234, 80);
		assert_int_equal(p.data_off - p.l4_off, 16);
		rte_pktmbuf_free(p.m);
	}
}

static void
knows_other_protocols_by_addresses_alone(void **state)
{
	const struct pkt_ip ips[] = { ip4(), ip6() };
	struct flowtab_tuple t;
	struct ct_pkt p;

	(void)state;
	for (unsigned int i = 0; i < RTE_DIM(ips); i++) {
		assert_int_equal(parse(pkt_build_ip(frame, &ips[i], 47, data, 4), &p, &t), 0);
		expect_ports(&t, IPPROTO_GRE, 0, 0);
		expect_addrs(&t, &ips[i]);
		assert_int_equal(p.data_off, p.l4_off);
		assert_int_equal(p.l4_len, 4);
		assert_true(ct_pkt_check(NULL, &p));
		rte_pktmbuf_free(p.m);
		assert_int_equal(parse(pkt_build_ip(frame, &ips[i], 47, NULL, 0), &p, &t), 0);
		assert_int_equal(p.l4_len, 0);
		assert_true(ct_pkt_check(NULL, &p));
		rte_pktmbuf_free(p.m);
	}
}

/** @param role 'q' query, 'a' answer, 'e' error, 0 nothing of these */
static void
expect_icmp(const struct pkt_ip *ip, uint8_t type, char role)
{
	struct flowtab_tuple t;
	struct ct_pkt p;
	bool reply = true, id = role == 'q' || role == 'a';

	assert_int_equal(parse(build_icmp(ip, type), &p, &t), 0);
	expect_ports(&t, ip->dst.len == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6, id ? 0x1234 : 0,
		id ? 0x1234 : 0);
	assert_int_equal(t.answer, role == 'a');
	assert_int_equal(ct_pkt_is_icmp_query(&p, &reply), id);
	if (id)
		assert_int_equal(reply, role == 'a');
	assert_int_equal(ct_pkt_is_icmp_error(&p), role == 'e');
	assert_true(ct_pkt_check(NULL, &p));
	rte_pktmbuf_free(p.m);
}

static void
knows_icmp_queries_answers_and_errors(void **state)
{
	static const char of4[256] = { [0] = 'a',
		[3] = 'e',
		[4] = 'e',
		[5] = 'e',
		[8] = 'q',
		[11] = 'e',
		[12] = 'e',
		[13] = 'q',
		[14] = 'a',
		[15] = 'q',
		[16] = 'a',
		[17] = 'q',
		[18] = 'a' };
	static const char of6[256] = { [128] = 'q', [129] = 'a' };
	struct pkt_ip i4 = ip4(), i6 = ip6();

	(void)state;
	for (unsigned int type = 0; type < 256; type++) {
		expect_icmp(&i4, (uint8_t)type, of4[type]);
		if (type < 133 || type > 137)
			expect_icmp(&i6, (uint8_t)type, type < 128 ? 'e' : of6[type]);
	}
}

static void
nothing_but_icmp_is_an_icmp_message(void **state)
{
	struct pkt_ip ip = ip4();
	struct flowtab_tuple t;
	struct ct_pkt p;
	bool reply;

	(void)state;
	assert_int_equal(parse(build_udp(&ip), &p, &t), 0);
	assert_false(ct_pkt_is_icmp_error(&p));
	assert_false(ct_pkt_is_icmp_query(&p, &reply));
	rte_pktmbuf_free(p.m);
}

static void
neighbour_discovery_and_arp_cannot_be_tracked(void **state)
{
	static const uint8_t mac[6] = { 2, 0, 0, 0, 0, 1 };
	const struct pkt_addr a = pkt_addr("10.0.2.15");
	struct pkt_ip ip = ip6(), i4 = ip4();
	size_t len;

	(void)state;
	for (uint8_t type = 133; type <= 137; type++)
		assert_int_equal(parse_only(build_icmp(&ip, type)), -EPROTONOSUPPORT);
	len = pkt_build_arp(frame, mac, 1, mac, &a, mac, &a);
	assert_int_equal(parse_only(len), -EPROTONOSUPPORT);
	/* ICMP of the other family */
	len = build_icmp(&ip, 128);
	frame[L3 + 6] = IPPROTO_ICMP;
	assert_int_equal(parse_only(len), -EPROTONOSUPPORT);
	len = build_icmp(&i4, 8);
	frame[L3 + 9] = IPPROTO_ICMPV6;
	pkt_fix_sums(frame, len);
	assert_int_equal(parse_only(len), -EPROTONOSUPPORT);
}

static void
follows_ipv4_options(void **state)
{
	static const uint8_t options[40] = { 1, 1, 7, 35, 4 };
	struct pkt_ip ip = ip4();
	struct flowtab_tuple t;
	struct ct_pkt p;

	(void)state;
	ip.options = options;
	for (ip.options_len = 4; ip.options_len <= 40; ip.options_len += 4) {
		assert_int_equal(parse(build_tcp(&ip), &p, &t), 0);
		assert_int_equal(p.l4_off, L3 + 20 + ip.options_len);
		expect_ports(&t, IPPROTO_TCP, 1234, 80);
		assert_true(ct_pkt_check(NULL, &p));
		rte_pktmbuf_free(p.m);
	}
}

static void
refuses_bad_ipv4_headers(void **state)
{
	struct pkt_ip ip = ip4();
	size_t len = build_udp(&ip);

	(void)state;
	frame[L3 + 8]--; /* TTL, without the checksum */
	assert_int_equal(parse_only(len), -EINVAL);
	build_udp(&ip);
	frame[L3] = 0x44; /* a header of 16 bytes */
	pkt_fix_sums(frame, len);
	assert_int_equal(parse_only(len), -EINVAL);
	build_udp(&ip);
	frame[L3] = 0x54;
	assert_int_equal(parse_only(len), -EPROTONOSUPPORT);
	build_udp(&ip);
	pkt_put16(frame + L3 + 2, (uint16_t)(len - L3 + 1)); /* longer than the frame */
	pkt_fix_sums(frame, len);
	assert_int_equal(parse_only(len), -EINVAL);
	build_udp(&ip);
	pkt_put16(frame + L3 + 2, 19); /* shorter than its header */
	pkt_fix_sums(frame, len);
	assert_int_equal(parse_only(len), -EINVAL);
}

static void
fragments_are_for_others(void **state)
{
	static const uint8_t frag[8] = { IPPROTO_UDP, 0, 0, 1, 1, 2, 3, 4 };
	static const uint8_t later[8] = { IPPROTO_UDP, 0, 0, 8, 1, 2, 3, 4 };
	struct pkt_ip i4 = ip4(), i6 = ip6();

	(void)state;
	i4.frag = 0x2000;
	assert_int_equal(parse_only(build_udp(&i4)), -EAGAIN);
	i4.frag = 0x0001;
	assert_int_equal(parse_only(build_udp(&i4)), -EAGAIN);
	i4.frag = 0x4000;
	assert_int_equal(parse_only(build_udp(&i4)), 0);
	i6.options_len = 8;
	i6.first_ext = 44;
	i6.options = frag;
	assert_int_equal(parse_only(build_udp(&i6)), -EAGAIN);
	i6.options = later;
	assert_int_equal(parse_only(build_udp(&i6)), -EAGAIN);
}

static void
an_atomic_fragment_is_none(void **state)
{
	static const uint8_t frag[16] = { 60, 0, 0, 0, 1, 2, 3, 4, IPPROTO_UDP, 0, 1, 4 };
	struct pkt_ip ip = ip6();
	struct flowtab_tuple t;
	struct ct_pkt p;

	(void)state;
	ip.options_len = 16;
	ip.options = frag;
	ip.first_ext = 44;
	assert_int_equal(parse(build_udp(&ip), &p, &t), 0);
	expect_ports(&t, IPPROTO_UDP, 1234, 53);
	assert_int_equal(p.l4_off, L3 + 56);
	assert_true(ct_pkt_check(NULL, &p));
	rte_pktmbuf_free(p.m);
}

static void
follows_ipv6_extension_headers(void **state)
{
	static const uint8_t exts[] = {
		43, 0, 1, 4, 0, 0, 0, 0,                         /* hop-by-hop */
		60, 1, 4, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, /* routing, no segments left */
		51, 0, 1, 4, 0, 0, 0, 0,                         /* destination options */
		IPPROTO_TCP, 4, 0, 0, 1, 2, 3, 4, 0, 0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1,
		2, /* AH */
	};
	struct pkt_ip ip = ip6();
	struct flowtab_tuple t;
	struct ct_pkt p;

	(void)state;
	ip.options = exts;
	ip.options_len = sizeof(exts);
	assert_int_equal(parse(build_tcp(&ip), &p, &t), 0);
	expect_ports(&t, IPPROTO_TCP, 1234, 80);
	expect_addrs(&t, &ip);
	assert_int_equal(p.l4_off, L3 + 40 + sizeof(exts));
	assert_true(ct_pkt_check(NULL, &p));
	rte_pktmbuf_free(p.m);
}

/** n destination options of 8 * (more + 1) bytes each, and UDP. */
static int
parse_exts(unsigned int n, uint8_t more)
{
	size_t each = 8 + 8U * more;
	static uint8_t exts[1024];
	struct pkt_ip ip = ip6();

	for (unsigned int i = 0; i < n; i++) {
		memset(exts + i * each, 0, each);
		exts[i * each] = i + 1 < n ? 60 : IPPROTO_UDP;
		exts[i * each + 1] = more;
	}
	ip.first_ext = 60;
	ip.options = exts;
	ip.options_len = n * each;
	return parse_only(build_udp(&ip));
}

static void
extension_headers_are_bounded_in_number_and_bytes(void **state)
{
	(void)state;
	assert_int_equal(parse_exts(8, 0), 0);
	assert_int_equal(parse_exts(9, 0), -EINVAL);
	assert_int_equal(parse_exts(1, 63), 0);
	assert_int_equal(parse_exts(1, 64), -EINVAL);
	assert_int_equal(parse_exts(2, 31), 0);
	assert_int_equal(parse_exts(2, 32), -EINVAL);
}

static void
refuses_bad_ipv6_headers(void **state)
{
	static const uint8_t hop_late[16] = { 0, 0, 1, 4, 0, 0, 0, 0, IPPROTO_UDP, 0, 1, 4 };
	static const uint8_t route[8] = { IPPROTO_UDP, 0, 4, 1 };
	static const uint8_t too_long[8] = { IPPROTO_UDP, 30, 1, 4 };
	struct pkt_ip ip = ip6();
	size_t len = build_udp(&ip);

	(void)state;
	pkt_put16(frame + L3 + 4, (uint16_t)(len - L3 - 40 + 1));
	assert_int_equal(parse_only(len), -EINVAL);
	pkt_put16(frame + L3 + 4, 0); /* a jumbogram's */
	assert_int_equal(parse_only(len), -EINVAL);
	ip.first_ext = 60;
	ip.options = hop_late;
	ip.options_len = sizeof(hop_late);
	assert_int_equal(parse_only(build_udp(&ip)), -EINVAL);
	ip.first_ext = 43;
	ip.options = route;
	ip.options_len = sizeof(route);
	assert_int_equal(parse_only(build_udp(&ip)), -EPROTONOSUPPORT);
	ip.first_ext = 60;
	ip.options = too_long;
	assert_int_equal(parse_only(build_udp(&ip)), -EINVAL);
	ip = ip6();
	ip.src = pkt_addr("::ffff:10.0.2.15");
	assert_int_equal(parse_only(build_udp(&ip)), -EINVAL);
	ip = ip6();
	ip.dst = pkt_addr("::ffff:10.0.2.16");
	assert_int_equal(parse_only(build_udp(&ip)), -EINVAL);
}

/** A frame that is cut anywhere is refused, wherever its headers say that it ends. */
static void
expect_no_cut(size_t len, size_t headers)
{
	for (size_t cut = L3; cut < len; cut++)
		assert_int_equal(parse_only(cut), -EINVAL);
	/* Headers are in the first segment, or nowhere. */
	for (size_t first = L3; first < headers; first++) {
		struct flowtab_tuple t;
		struct ct_pkt p;

		assert_int_equal(parse_cut(len, first, 16, &p, &t), -EINVAL);
	}
	assert_int_equal(check_cut(len, headers, 16, 0), CT_REASON_NONE);
}

static void
refuses_packets_cut_at_any_byte(void **state)
{
	static const uint8_t sctp[12] = { 4, 210, 0, 80 };
	static const uint8_t exts[16] = { 60, 0, 1, 4, 0, 0, 0, 0, IPPROTO_UDP, 0, 1, 4 };
	struct pkt_ip i4 = ip4(), i6 = ip6();

	(void)state;
	expect_no_cut(build_tcp(&i4), L3 + 20 + 28);
	expect_no_cut(build_tcp(&i6), L3 + 40 + 28);
	expect_no_cut(build_udp(&i4), L3 + 20 + 8);
	expect_no_cut(build_icmp(&i4, 8), L3 + 20 + 8);
	expect_no_cut(build_other(&i4, 132, sctp, sizeof(sctp)), L3 + 20 + 12);
	i6.options = exts;
	i6.options_len = sizeof(exts);
	expect_no_cut(build_udp(&i6), L3 + 40 + 16 + 8);
}

static void
refuses_an_ip_packet_shorter_than_its_transport(void **state)
{
	struct pkt_ip ip = ip4();
	static const struct {
		uint8_t proto;
		size_t least;
	} of[] = { { IPPROTO_TCP, 20 }, { IPPROTO_UDP, 8 }, { IPPROTO_UDPLITE, 8 },
		{ IPPROTO_SCTP, 12 }, { IPPROTO_DCCP, 12 }, { IPPROTO_ICMP, 8 } };
	static const uint8_t l4[20] = { 8, 1, 0, 1, 3, 8, 0, 0, 0, 0, 0, 0, 0x50 };

	(void)state;
	for (unsigned int i = 0; i < RTE_DIM(of); i++) {
		uint8_t bytes[20];

		memcpy(bytes, l4, sizeof(bytes));
		if (of[i].proto == IPPROTO_UDP || of[i].proto == IPPROTO_UDPLITE)
			pkt_put16(bytes + 4, 8);
		for (size_t n = 0; n < of[i].least; n++) {
			size_t len = pkt_build_ip(frame, &ip, of[i].proto, bytes, n);

			memset(frame + len, 0x55, 60 - len % 60); /* padding is not part of it */
			assert_int_equal(parse_only(RTE_MAX(len, (size_t)60)), -EINVAL);
		}
		assert_int_equal(
			parse_only(pkt_build_ip(frame, &ip, of[i].proto, bytes, of[i].least)), 0);
	}
}

static void
padding_is_not_part_of_the_packet(void **state)
{
	struct pkt_ip ip = ip4();
	size_t len = build_tcp(&ip);

	(void)state;
	memset(frame + len, 0xa5, 7);
	assert_int_equal(check(len + 7), CT_REASON_NONE);
}

static void
refuses_wrong_tcp_data_offsets(void **state)
{
	struct pkt_ip ip = ip4();
	size_t len = build_tcp(&ip);
	uint8_t *off = frame + L3 + 20 + 12;

	(void)state;
	for (unsigned int words = 0; words < 5; words++) {
		*off = (uint8_t)(words << 4);
		assert_int_equal(parse_only(len), -EINVAL);
	}
	*off = 15 << 4;
	assert_int_equal(parse_only(L3 + 20 + 59), -EINVAL);
	pkt_put16(frame + L3 + 2, 20 + 59);
	pkt_fix_sums(frame, len);
	assert_int_equal(parse_only(len), -EINVAL);
}

static void
holds_the_udp_length_against_the_packet(void **state)
{
	struct pkt_ip ip = ip4();
	size_t len = build_udp(&ip);
	uint8_t *udp = frame + L3 + 20;
	struct flowtab_tuple t;
	struct ct_pkt p;

	(void)state;
	pkt_put16(udp + 4, 8 + sizeof(data) + 1);
	assert_int_equal(parse_only(len), -EINVAL);
	pkt_put16(udp + 4, 7);
	assert_int_equal(parse_only(len), -EINVAL);
	/* A datagram may be shorter than its packet: then the rest is not part of it. */
	len = pkt_build_udp(frame, &ip, 1234, 53, data, 11);
	pkt_put16(frame + L3 + 2, 20 + 8 + 11 + 5);
	pkt_put16(frame + L3 + 10, 0);
	pkt_put16(frame + L3 + 10, pkt_sum_fold(pkt_sum(frame + L3, 20, 0)));
	memset(frame + len, 0x5a, 5);
	assert_int_equal(parse(len + 5, &p, &t), 0);
	assert_int_equal(ct_payload_len(&p), 11);
	assert_true(ct_pkt_check(NULL, &p));
	rte_pktmbuf_free(p.m);
}

static void
refuses_port_zero(void **state)
{
	struct pkt_ip ip = ip4();

	(void)state;
	assert_int_equal(parse_only(pkt_build_udp(frame, &ip, 0, 53, NULL, 0)), -EINVAL);
	assert_int_equal(parse_only(pkt_build_udp(frame, &ip, 53, 0, NULL, 0)), -EINVAL);
}

/** Any wrong byte of the transport is found, unless the checksum is nobody's business. */
static void
expect_checked(size_t len, size_t l4_off, size_t from)
{
	for (size_t at = from; at < len; at++) {
		frame[at] ^= 0x40;
		assert_int_equal(check_cut(len, l4_off + 40, 7, 0), CT_REASON_CHECKSUM);
		assert_int_equal(check_cut(len, 0, 0, CT_PKT_CSUM_OK), CT_REASON_NONE);
		assert_int_equal(check_cut(len, 0, 0, CT_PKT_CSUM_PARTIAL), CT_REASON_NONE);
		frame[at] ^= 0x40;
	}
	for (size_t seg = 1; seg < 9; seg++)
		assert_int_equal(check_cut(len, l4_off + 40 + seg, seg, 0), CT_REASON_NONE);
}

static void
verifies_transport_checksums(void **state)
{
	struct pkt_ip i4 = ip4(), i6 = ip6();

	(void)state;
	expect_checked(build_tcp(&i4), L3 + 20, L3 + 20 + 20);
	expect_checked(build_tcp(&i6), L3 + 40, L3 + 40 + 20);
	expect_checked(build_udp(&i4), L3 + 20, L3 + 20 + 6);
	expect_checked(build_udp(&i6), L3 + 40, L3 + 40 + 6);
	expect_checked(build_icmp(&i4, 8), L3 + 20, L3 + 20 + 1);
	expect_checked(build_icmp(&i6, 128), L3 + 40, L3 + 40 + 1);
}

static void
checksums_cover_the_addresses(void **state)
{
	struct pkt_ip i6 = ip6();
	size_t len = build_icmp(&i6, 128);

	(void)state;
	frame[L3 + 8 + 15] ^= 1;
	assert_int_equal(check(len), CT_REASON_CHECKSUM);
	len = build_udp(&i6);
	frame[L3 + 24 + 7] ^= 1;
	assert_int_equal(check(len), CT_REASON_CHECKSUM);
}

static void
udp_without_a_checksum_is_for_ipv4_alone(void **state)
{
	struct pkt_ip i4 = ip4(), i6 = ip6();
	size_t len = build_udp(&i4);

	(void)state;
	pkt_put16(frame + L3 + 20 + 6, 0);
	assert_int_equal(check(len), CT_REASON_NONE);
	len = build_udp(&i6);
	pkt_put16(frame + L3 + 40 + 6, 0);
	assert_int_equal(check(len), CT_REASON_CHECKSUM);
}

/** Put the checksum over the first covers bytes and the pseudo-header of len bytes. */
static void
put_partial_sum(const struct pkt_ip *ip, uint8_t proto, size_t covers, size_t len, size_t at)
{
	uint8_t *l4 = frame + L3 + 20;

	pkt_put16(l4 + at, 0);
	pkt_put16(l4 + at,
		pkt_sum_fold(pkt_sum(
			l4, covers, pkt_sum_pseudo(&ip->src, &ip->dst, proto, (uint32_t)len))));
}

static void
udplite_is_verified_as_far_as_it_is_covered(void **state)
{
	static const uint8_t hdr[8] = { 4, 210, 0, 80, 0, 12 };
	struct pkt_ip ip = ip4();
	size_t len = build_other(&ip, IPPROTO_UDPLITE, hdr, 8), l4_len = 8 + sizeof(data);
	uint8_t *l4 = frame + L3 + 20;

	(void)state;
	put_partial_sum(&ip, IPPROTO_UDPLITE, 12, l4_len, 6);
	assert_int_equal(check(len), CT_REASON_NONE);
	l4[12] ^= 1;
	assert_int_equal(check(len), CT_REASON_NONE);
	l4[11] ^= 1;
	assert_int_equal(check(len), CT_REASON_CHECKSUM);
	pkt_put16(l4 + 4, 0);
	put_partial_sum(&ip, IPPROTO_UDPLITE, l4_len, l4_len, 6);
	assert_int_equal(check(len), CT_REASON_NONE);
	l4[l4_len - 1] ^= 1;
	assert_int_equal(check(len), CT_REASON_CHECKSUM);
	pkt_put16(l4 + 6, 0); /* RFC 3828, 3.1: must not be */
	assert_int_equal(check(len), CT_REASON_CHECKSUM);
	for (unsigned int covers = 1; covers < 8; covers++) {
		pkt_put16(l4 + 4, (uint16_t)covers);
		assert_int_equal(parse_only(len), -EINVAL);
	}
	pkt_put16(l4 + 4, (uint16_t)(l4_len + 1));
	assert_int_equal(parse_only(len), -EINVAL);
}

static void
dccp_is_verified_as_far_as_it_is_covered(void **state)
{
	static const uint8_t hdr[16] = { 4, 210, 0, 80, 4, 2 };
	struct pkt_ip ip = ip4();
	size_t len = build_other(&ip, IPPROTO_DCCP, hdr, 16), l4_len = 16 + sizeof(data);
	uint8_t *l4 = frame + L3 + 20;

	(void)state;
	put_partial_sum(&ip, IPPROTO_DCCP, 20, l4_len, 6);
	assert_int_equal(check(len), CT_REASON_NONE);
	l4[20] ^= 1;
	assert_int_equal(check(len), CT_REASON_NONE);
	l4[19] ^= 1;
	assert_int_equal(check(len), CT_REASON_CHECKSUM);
	l4[5] = 0;
	put_partial_sum(&ip, IPPROTO_DCCP, l4_len, l4_len, 6);
	assert_int_equal(check(len), CT_REASON_NONE);
	l4[4] = 2; /* the header shorter than it can be */
	assert_int_equal(parse_only(len), -EINVAL);
}

static void
a_packet_that_others_took_apart_is_measured_again(void **state)
{
	struct pkt_ip ip = ip4();
	struct flowtab_tuple t;
	struct ct_pkt p;

	(void)state;
	assert_int_equal(parse(build_tcp(&ip), &p, &t), 0);
	p.flags = CT_PKT_CSUM_OK;
	p.l4_len = 27;
	assert_false(ct_pkt_check(NULL, &p));
	assert_int_equal(p.reason, CT_REASON_SHORT);
	rte_pktmbuf_free(p.m);
	assert_int_equal(parse(build_udp(&ip), &p, &t), 0);
	p.l4_len--;
	assert_false(ct_pkt_check(NULL, &p));
	assert_int_equal(p.reason, CT_REASON_SHORT);
	rte_pktmbuf_free(p.m);
}

static void
sums_chains_cut_at_any_byte(void **state)
{
	uint64_t seed = 42;
	size_t len = 700;

	(void)state;
	for (size_t i = 0; i < len; i++)
		frame[i] = (uint8_t)rnd(&seed);
	for (size_t off = 0; off < 5; off++) {
		for (size_t seg = 1; seg < 40; seg++) {
			struct rte_mbuf *m = chain(len, off + seg % 3, seg);
			uint32_t n = (uint32_t)(len - off - seg % 5);
			uint16_t sum = (uint16_t)~pkt_sum_fold(pkt_sum(frame + off, n, 0));

			assert_int_equal(ct_cksum(m, (uint32_t)off, n), rte_cpu_to_be_16(sum));
			rte_pktmbuf_free(m);
		}
	}
}

/** An IP packet in memory, as an ICMP error quotes it, of len bytes. */
static int
quote(size_t len, struct flowtab_tuple *t)
{
	uint8_t bytes[512];
	uint32_t l4_len;
	uint16_t l4_off;

	/* At an odd address, and nothing behind it. */
	memset(bytes, 0, sizeof(bytes));
	memset(t, 0, sizeof(*t));
	memcpy(bytes + sizeof(bytes) - len, frame + L3, len);
	return ct_ip_parse(bytes + sizeof(bytes) - len, (uint32_t)len, true, t, &l4_off, &l4_len);
}

static void
a_quote_holds_eight_bytes_of_the_transport(void **state)
{
	const struct pkt_ip ips[] = { ip4(), ip6() };
	struct flowtab_tuple t;

	(void)state;
	for (unsigned int i = 0; i < RTE_DIM(ips); i++) {
		size_t hdr = i == 0 ? 20 : 40;

		build_tcp(&ips[i]);
		assert_int_equal(quote(hdr + 8, &t), 0);
		expect_ports(&t, IPPROTO_TCP, 1234, 80);
		expect_addrs(&t, &ips[i]);
		for (size_t len = 0; len < hdr + 8; len++)
			assert_int_equal(quote(len, &t), -EINVAL);
		pkt_build_ip(frame, &ips[i], 47, data, sizeof(data));
		assert_int_equal(quote(hdr + 8, &t), 0);
		assert_int_equal(quote(hdr + 7, &t), -EINVAL);
		/* No more than there ever was. */
		pkt_build_ip(frame, &ips[i], 47, data, 3);
		assert_int_equal(quote(hdr + 3, &t), 0);
		assert_int_equal(quote(hdr + 2, &t), -EINVAL);
	}
}

static void
a_quote_may_be_a_first_fragment(void **state)
{
	static const uint8_t first[8] = { IPPROTO_UDP, 0, 0, 1, 1, 2, 3, 4 };
	static const uint8_t later[8] = { IPPROTO_UDP, 0, 0, 8, 1, 2, 3, 4 };
	struct pkt_ip i4 = ip4(), i6 = ip6();
	struct flowtab_tuple t;

	(void)state;
	i4.frag = 0x2000;
	build_udp(&i4);
	assert_int_equal(quote(28, &t), 0);
	i4.frag = 0x2001;
	build_udp(&i4);
	assert_int_equal(quote(28, &t), -EAGAIN);
	i6.options_len = 8;
	i6.first_ext = 44;
	i6.options = first;
	build_udp(&i6);
	assert_int_equal(quote(56, &t), 0);
	i6.options = later;
	build_udp(&i6);
	assert_int_equal(quote(56, &t), -EAGAIN);
}

static void
a_quote_with_a_bad_header_is_refused(void **state)
{
	struct pkt_ip ip = ip4();
	struct flowtab_tuple t;

	(void)state;
	build_udp(&ip);
	frame[L3 + 8]--;
	assert_int_equal(quote(28, &t), -EINVAL);
	build_udp(&ip);
	frame[L3] = 0x43;
	assert_int_equal(quote(28, &t), -EINVAL);
	build_udp(&ip);
	frame[L3] = 0x65;
	assert_int_equal(quote(28, &t), -EINVAL);
	build_udp(&ip);
	frame[L3] = 0x15;
	assert_int_equal(quote(28, &t), -EPROTONOSUPPORT);
}

/** Random bytes over good frames: nothing is read that is not there, whatever comes of it. */
static void
survives_spoilt_packets(void **state)
{
	static const uint8_t exts[24] = { 43, 0, 1, 4, 0, 0, 0, 0, 51, 0, 4, 0, 0, 0, 0, 0,
		IPPROTO_UDP, 0, 1, 4 };
	struct pkt_ip ips[] = { ip4(), ip6(), ip6() };
	uint64_t seed = 7;

	(void)state;
	ips[2].options = exts;
	ips[2].options_len = sizeof(exts);
	for (unsigned int n = 0; n < 20000; n++) {
		const struct pkt_ip *ip = &ips[n % RTE_DIM(ips)];
		size_t len = n & 8 ? build_tcp(ip) : build_udp(ip);
		struct flowtab_tuple t;
		struct ct_pkt p;
		unsigned int wrong = rnd_below(&seed, 4);

		while (wrong-- > 0)
			frame[L3 + rnd_below(&seed, 90)] = (uint8_t)rnd(&seed);
		if (n % 3 != 0)
			pkt_put16(
				frame + L3 + 10, ip->dst.len == 4 ? 0 : pkt_get16(frame + L3 + 10));
		if (ip->dst.len == 4 && frame[L3] >= 0x45)
			pkt_put16(frame + L3 + 10,
				pkt_sum_fold(pkt_sum(frame + L3, (frame[L3] & 15) * 4U, 0)));
		if (n % 5 == 0)
			len = L3 + rnd_below(&seed, (uint32_t)(len - L3));
		if (parse_cut(len, rnd_below(&seed, 120) + L3 + 1, 33, &p, &t) != 0)
			continue;
		ct_pkt_check(NULL, &p);
		assert_in_range(p.data_off, p.l4_off, rte_pktmbuf_data_len(p.m));
		assert_in_range(p.l4_off + p.l4_len, p.data_off, rte_pktmbuf_pkt_len(p.m));
		rte_pktmbuf_free(p.m);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_tcp_and_udp_of_both_families_apart),
		cmocka_unit_test(takes_ports_of_other_protocols_that_have_them),
		cmocka_unit_test(knows_other_protocols_by_addresses_alone),
		cmocka_unit_test(knows_icmp_queries_answers_and_errors),
		cmocka_unit_test(nothing_but_icmp_is_an_icmp_message),
		cmocka_unit_test(neighbour_discovery_and_arp_cannot_be_tracked),
		cmocka_unit_test(follows_ipv4_options),
		cmocka_unit_test(refuses_bad_ipv4_headers),
		cmocka_unit_test(fragments_are_for_others),
		cmocka_unit_test(an_atomic_fragment_is_none),
		cmocka_unit_test(follows_ipv6_extension_headers),
		cmocka_unit_test(extension_headers_are_bounded_in_number_and_bytes),
		cmocka_unit_test(refuses_bad_ipv6_headers),
		cmocka_unit_test(refuses_packets_cut_at_any_byte),
		cmocka_unit_test(refuses_an_ip_packet_shorter_than_its_transport),
		cmocka_unit_test(padding_is_not_part_of_the_packet),
		cmocka_unit_test(refuses_wrong_tcp_data_offsets),
		cmocka_unit_test(holds_the_udp_length_against_the_packet),
		cmocka_unit_test(refuses_port_zero),
		cmocka_unit_test(verifies_transport_checksums),
		cmocka_unit_test(checksums_cover_the_addresses),
		cmocka_unit_test(udp_without_a_checksum_is_for_ipv4_alone),
		cmocka_unit_test(udplite_is_verified_as_far_as_it_is_covered),
		cmocka_unit_test(dccp_is_verified_as_far_as_it_is_covered),
		cmocka_unit_test(a_packet_that_others_took_apart_is_measured_again),
		cmocka_unit_test(sums_chains_cut_at_any_byte),
		cmocka_unit_test(a_quote_holds_eight_bytes_of_the_transport),
		cmocka_unit_test(a_quote_may_be_a_first_fragment),
		cmocka_unit_test(a_quote_with_a_bad_header_is_refused),
		cmocka_unit_test(survives_spoilt_packets),
	};
	int rc;

	if (eal_start("128") < 0)
		return 1;
	pool = rte_pktmbuf_pool_create(
		"pool", 4095, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	rc = pool != NULL ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
	eal_stop();
	return rc;
}
