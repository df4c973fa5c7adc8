/* SPDX-License-Identifier: BSD-3-Clause */
/* Guest to guest: whatever a guest sends, nothing is lost, and nobody hears what is not for it. */
#include "test_l4x_ew_util.h"

#define ROUNDS 50000
#define MTU_TWO 1280

static uint64_t rng;

static uint32_t
any(uint32_t n)
{
	rng = rng * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)((rng >> 33) * (uint64_t)n >> 31);
}

/** Some packet of guest 1, 2 or 3, to another of them, to what stands for one, or to anybody. */
static size_t
some_packet(uint16_t from, bool *tcp)
{
	static const char *const to4[] = { "10.0.2.15", "10.0.2.16", "10.0.2.17", "10.0.2.200",
		"10.0.2.201", "192.0.2.1", "10.0.2.2" };
	static const char *const to6[] = { "fd00:2::15", "fd00:2::16", "fd00:2::17", "fd00:2::200",
		"fd00:2::201", "2001:db8::1", "fd00:2::2" };
	struct pkt_ip ip = ew_ip(from, 1, any(2));
	struct pkt_tcp t = { .sport = (uint16_t)(1000 + any(3)),
		.dport = (uint16_t)(80 + any(3)),
		.seq = any(4) * 1000,
		.ack = any(4) * 1000,
		.flags = (uint8_t)(any(2) ? any(64) : PKT_ACK),
		.win = 60000,
		.wscale = -1 };
	static uint8_t exts[8] = { 0, 0, 1, 4 };
	const size_t len = any(4) == 0 ? any(9000) : any(100);

	const uint32_t to = any(3) == 0 ? any(RTE_DIM(to4)) : from % 2;

	ip.dst = pkt_addr(ip.dst.len == 4 ? to4[to] : to6[to]);
	ip.ttl = (uint8_t)(1 + any(3) * 60);
	ip.id = (uint16_t)any(4);
	if (ip.dst.len == 4)
		ip.frag = any(4) == 0 ? (uint16_t)(any(2) * 0x2000 + any(4) * 3) : any(2) * 0x4000;
	*tcp = false;
	switch (any(6)) {
	case 0:
		*tcp = true;
		return pkt_build_tcp(ew_frame, &ip, &t, ew_data, len);
	case 1:
		return pkt_build_udp(ew_frame, &ip, t.sport, t.dport, ew_data, len);
	case 2:
		return pkt_build_icmp(ew_frame, &ip, (uint8_t)any(20), (uint8_t)any(5),
			any(3) << 16, ew_data, len);
	case 3:
		return pkt_build_icmp(ew_frame, &ip, (uint8_t)(any(2) ? 128 + any(2) : any(6)),
			(uint8_t)any(5), any(3) << 16, ew_data, len);
	case 4:
		exts[0] = 17;
		if (ip.dst.len == 16) {
			ip.options = exts;
			ip.options_len = 8;
			ip.first_ext = any(2) ? 0 : 60;
		}
		return pkt_build_udp(ew_frame, &ip, t.sport, t.dport, ew_data, len);
	default:
		return pkt_build_ip(
			ew_frame, &ip, (uint8_t)(any(2) ? 132 : any(256)), ew_data, len);
	}
}

static struct rte_mbuf *
some_frame(struct l4xkit *k, uint16_t from)
{
	bool tcp;
	size_t len = some_packet(from, &tcp);
	struct rte_mbuf *m;

	for (uint32_t i = any(8); i > 5; i--) {
		ew_frame[12 + any((uint32_t)RTE_MIN(len - 12, (size_t)80))] = (uint8_t)any(256);
		if (any(2))
			pkt_fix_sums(ew_frame, len);
	}
	if (any(8) == 0)
		len = RTE_MAX((size_t)14, len - any((uint32_t)len));
	m = l4xkit_mbuf(k, ew_frame, (uint32_t)len, 0, any(3) * 700);
	if (any(3) == 0)
		m->ol_flags |= any(2) ? RTE_MBUF_F_RX_L4_CKSUM_NONE : RTE_MBUF_F_RX_L4_CKSUM_GOOD;
	if (any(tcp ? 2 : 10) == 0) {
		m->tso_segsz = (uint16_t)(1 + any(any(2) ? 20 : 2000));
		m->ol_flags |= RTE_MBUF_F_RX_LRO;
	}
	return m;
}

/** What must be true of a frame to a guest, whatever was sent. */
static void
look_at(struct l4xkit *k, uint16_t from)
{
	const struct l4xkit_frame *f;

	while ((f = l4xkit_frame(k)) != NULL) {
		const uint8_t *l3 = f->bytes + 14;
		const uint16_t mtu = f->pif == 2 ? MTU_TWO : 1500;

		assert_true(f->len >= 34);
		assert_memory_equal(f->bytes + 6, l4xkit_gateway_mac, 6);
		/* Guest 3 is in a world of its own. */
		assert_true(f->pif == from || (f->pif != 3 && from != 3));
		if (f->hdr.gso_type == VIRTIO_NET_HDR_GSO_NONE)
			assert_true(f->len - 14 <= mtu);
		else
			assert_true(f->hdr.hdr_len - 14 + f->hdr.gso_size <= mtu);
		if (pkt_get16(f->bytes + 12) == PKT_ETH_IP4) {
			assert_int_equal(pkt_sum_fold(pkt_sum(l3, (l3[0] & 15u) * 4, 0)), 0);
			assert_int_equal(pkt_get16(l3 + 2), f->len - 14);
		} else {
			assert_int_equal(pkt_get16(f->bytes + 12), PKT_ETH_IP6);
			assert_int_equal(pkt_get16(l3 + 4) + 40u, f->len - 14);
		}
	}
	while (l4xkit_op(k) != NULL)
		;
}

static struct rule
dnat(const char *vip, const char *min, const char *max)
{
	return (struct rule){ .directions = RULES_EAST_WEST,
		.dst = ew_net(vip, vip[0] == 'f' ? 128 : 32),
		.nat = { .what = CT_NAT_DST,
			.choice = (uint8_t)any(3),
			.dst = { .min = l4xkit_addr(min), .max = l4xkit_addr(max) } } };
}

static struct rule
snat(const char *src, const char *vip)
{
	return (struct rule){ .directions = RULES_EAST_WEST,
		.proto = IPPROTO_UDP,
		.src = ew_net(src, vip[0] == 'f' ? 128 : 32),
		.nat = { .what = CT_NAT_SRC,
			.src = { .min = l4xkit_addr(vip), .max = l4xkit_addr(vip) } } };
}

static void
nothing_is_lost_and_zones_stay_apart(void **state)
{
	struct l4xkit *k = ew_create(NULL);
	const struct rule rules[] = {
		dnat("10.0.2.200", "10.0.2.10", "10.0.2.20"),
		dnat("fd00:2::200", "fd00:2::15", "fd00:2::16"),
		snat("10.0.2.16", "10.0.2.201"),
		snat("fd00:2::16", "fd00:2::201"),
		{ .directions = RULES_EAST_WEST,
			.action = RULES_REJECT,
			.dport_min = 82,
			.dport_max = 82 },
	};
	struct l4x_port_conf c = ew_conf(2);

	c.mtu = MTU_TWO;
	ew_port(k, &c, EW_OFFLOADS);
	c = ew_conf(3);
	c.zone = 9;
	ew_port(k, &c, EW_OFFLOADS);
	k->unchecked = true;
	rng = 1;
	ew_rules(k, rules, RTE_DIM(rules), RULES_ACCEPT);
	for (uint32_t i = 0; i < ROUNDS; i++) {
		const uint16_t from = (uint16_t)(1 + any(3));

		if (any(64) == 0)
			l4x_port_link(k->l, (uint16_t)(1 + any(2)), any(16) != 0, any(16));
		if (any(512) == 0)
			ew_rules(k, rules, any(RTE_DIM(rules) + 1),
				any(2) ? RULES_ACCEPT : RULES_DROP);
		ew_rx_mbuf(k, from, some_frame(k, from));
		look_at(k, from);
		if (any(32) == 0) {
			l4xkit_advance(k, any(3000000));
			while (l4xkit_frame(k) != NULL || l4xkit_op(k) != NULL)
				;
		}
	}
	assert_true(l4xkit_counter(k, L4X_COUNT_EW_PKTS) > ROUNDS / 20);
	ew_destroy(k);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_lost_and_zones_stay_apart),
	};

	l4xkit_eal("l4xewrnd");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
