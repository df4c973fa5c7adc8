/* SPDX-License-Identifier: BSD-3-Clause */
/* Guests whose queue pairs are polled by several workers: one of them owns a flow, all help. */
#include "test_l4x_ew_util.h"

#define WORKERS 3
#define PENDING 4096

static struct rig {
	struct l4xkit *k[WORKERS];
	struct rules *rules;
	struct l4x_frame pending[PENDING];
	unsigned int n;
	uint8_t number; /**< of the kit that is being made */
} rig;

/** Who polls the queue pairs of each guest: 1 and 2 have one, 3 has three. */
static const uint8_t pollers[][3] = { { 0 }, { 1 }, { 2, 0, 1 } };

static void
hand_over(void *arg, const struct l4x_frame *f)
{
	assert_true(rig.n < PENDING);
	rig.pending[rig.n++] = *f;
}

static struct l4x_port_conf
conf_of(uint16_t n)
{
	struct l4x_port_conf c = ew_conf(n);

	c.n_queues = n == 3 ? 3 : 1;
	memcpy(c.queue_worker, pollers[n - 1], 3);
	return c;
}

static void
tweak(struct l4x_params *params, struct l4x_port_conf *conf)
{
	params->worker = rig.number;
	params->n_workers = WORKERS;
	*conf = conf_of(1);
}

/** The link of a guest comes up where its queue pairs are. */
static void
link_up(uint16_t n, uint32_t offloads)
{
	const struct l4x_port_conf c = conf_of(n);

	for (unsigned int w = 0; w < WORKERS; w++)
		l4x_port_link(rig.k[w]->l, n, memchr(c.queue_worker, (int)w, c.n_queues) != NULL,
			offloads);
}

static int
setup(void **state)
{
	rig = (struct rig){ 0 };
	for (rig.number = 0; rig.number < WORKERS; rig.number++) {
		struct l4xkit *k = ew_create(tweak);

		rig.k[rig.number] = k;
		k->hand_over = hand_over;
		for (uint16_t n = 1; n <= 3; n++) {
			const struct l4x_port_conf c = conf_of(n);

			assert_int_equal(l4x_port_set(k->l, &c), 0);
		}
	}
	for (uint16_t n = 1; n <= 3; n++)
		link_up(n, EW_OFFLOADS);
	return 0;
}

static void
set_rules(const struct rule *list, uint32_t n, enum rules_action policy)
{
	rig.rules = ew_rules_make(list, n, policy);
	for (unsigned int w = 0; w < WORKERS; w++)
		l4x_rules_set(rig.k[w]->l, rig.rules);
}

static int
teardown(void **state)
{
	for (unsigned int w = 0; w < WORKERS; w++) {
		l4x_rules_set(rig.k[w]->l, NULL);
		while (l4x_shutdown(rig.k[w]->l, rig.k[w]->now_us) > 0)
			l4xkit_collect(rig.k[w]);
		l4xkit_collect(rig.k[w]);
	}
	for (unsigned int i = 0; i < rig.n; i++)
		rte_pktmbuf_free(rig.pending[i].m);
	rig.n = 0;
	for (unsigned int w = 0; w < WORKERS; w++)
		l4xkit_destroy(rig.k[w]);
	rules_destroy(rig.rules);
	return 0;
}

/** Hand over until there is nothing left. */
static void
pump(void)
{
	for (unsigned int i = 0; i < rig.n; i++) {
		const struct l4x_frame f = rig.pending[i];
		struct l4xkit *k = rig.k[f.worker];

		l4x_rx_handover(k->l, &f, 1, k->now_us);
		l4xkit_collect(k);
	}
	rig.n = 0;
}

/** A frame of guest n, on its queue pair q. */
static void
rx_mbuf(uint16_t n, uint8_t q, struct rte_mbuf *m)
{
	struct l4xkit *k = rig.k[pollers[n - 1][q]];

	l4x_rx_burst(k->l, n, q, &m, 1, k->now_us);
	l4xkit_collect(k);
	pump();
}

static void
rx(uint16_t n, uint8_t q, size_t len)
{
	rx_mbuf(n, q, l4xkit_mbuf(rig.k[pollers[n - 1][q]], ew_frame, (uint32_t)len, 0, 0));
}

/** The one frame that there is, in all the world: for guest n, where its queue pair is polled. */
static struct l4xkit *
expect(uint16_t n)
{
	struct l4xkit *got = NULL;

	for (unsigned int w = 0; w < WORKERS; w++) {
		const struct l4xkit_frame *f = l4xkit_frame(rig.k[w]);

		if (f == NULL)
			continue;
		assert_null(got);
		got = rig.k[w];
		assert_int_equal(f->pif, n);
		assert_int_equal(pollers[n - 1][f->queue], w);
		assert_null(l4xkit_frame(rig.k[w]));
	}
	assert_non_null(got);
	return got;
}

static void
expect_nothing(void)
{
	for (unsigned int w = 0; w < WORKERS; w++)
		l4xkit_expect_nothing(rig.k[w]);
}

static uint32_t
flows(void)
{
	uint32_t n = 0;

	for (unsigned int w = 0; w < WORKERS; w++)
		n += l4x_flow_count(rig.k[w]->l);
	return n;
}

static uint64_t
counted(enum l4x_counter c)
{
	uint64_t n = 0;

	for (unsigned int w = 0; w < WORKERS; w++)
		n += l4xkit_counter(rig.k[w], c);
	return n;
}

/* ---- */

static void
both_directions_meet_at_one_worker(void **state)
{
	set_rules(NULL, 0, RULES_ACCEPT);
	for (uint16_t i = 0; i < 60; i++) {
		const uint16_t a = 1 + i % 3, b = 1 + (i + 1 + i / 3 % 2) % 3;
		const bool v6 = i % 2;

		rx(a, a == 3 ? (uint8_t)(i / 7 % 3) : 0, ew_udp(a, b, v6, 1000 + i, 53));
		assert_int_equal(expect(b)->view.sport, 1000 + i);
		rx(b, b == 3 ? (uint8_t)(i / 5 % 3) : 0, ew_udp(b, a, v6, 53, 1000 + i));
		assert_int_equal(expect(a)->view.dport, 1000 + i);
		assert_int_equal(flows(), i + 1);
	}
	assert_int_equal(counted(L4X_COUNT_EW_PKTS), 120);
	assert_int_equal(counted(L4X_COUNT_TX_PKTS), 120);
}

/** Guest 3 uses one queue pair of three for a flow, and later another. */
static void
frames_follow_the_queue_pair_that_their_receiver_uses(void **state)
{
	static const uint8_t way[] = { 1, 2, 2, 0, 1 };

	set_rules(NULL, 0, RULES_ACCEPT);
	for (uint16_t i = 0; i < 20; i++) {
		const uint16_t other = 1 + i % 2;

		/* Either end may have begun. */
		if (i / 2 % 2) {
			rx(other, 0, ew_udp(other, 3, false, 1000 + i, 53));
			expect(3);
		}
		for (unsigned int j = 0; j < sizeof(way); j++) {
			rx(3, way[j], ew_udp(3, other, false, 53, 1000 + i));
			expect(other);
			rx(other, 0, ew_udp(other, 3, false, 1000 + i, 53));
			assert_ptr_equal(expect(3), rig.k[pollers[2][way[j]]]);
		}
	}
	assert_int_equal(flows(), 20);
}

static void
queues_that_are_not_used_have_no_flows(void **state)
{
	static _Atomic uint32_t one = 1;

	for (unsigned int w = 0; w < WORKERS; w++) {
		struct l4x_port_conf c = conf_of(3);

		c.live_queues = &one;
		assert_int_equal(l4x_port_set(rig.k[w]->l, &c), 0);
	}
	set_rules(NULL, 0, RULES_ACCEPT);
	for (uint16_t i = 0; i < 30; i++) {
		rx(1, 0, ew_udp(1, 3, false, 1000 + i, 53));
		expect(3);
		rx(3, 0, ew_udp(3, 1, false, 53, 1000 + i));
		expect(1);
	}
	/* Workers 0 and 2 poll what guests 1 and 3 use. */
	assert_int_equal(l4x_flow_count(rig.k[1]->l), 0);
	assert_int_equal(flows(), 30);
}

static void
errors_find_the_worker_of_their_flow(void **state)
{
	set_rules(NULL, 0, RULES_ACCEPT);
	for (uint16_t i = 0; i < 20; i++) {
		const struct pkt_ip back = ew_ip(3, 1, false);
		uint8_t quote[128];
		size_t len;
		struct l4xkit *k;

		rx(1, 0, ew_udp(1, 3, false, 1000 + i, 53));
		k = expect(3);
		len = k->view.l3_len;
		memcpy(quote, k->view.l3, len);
		rx(3, (uint8_t)(i % 3), pkt_build_icmp(ew_frame, &back, 3, 3, 0, quote, len));
		assert_int_equal(expect(1)->view.icmp_type, 3);
	}
}

static void
fragments_are_put_together_and_forwarded(void **state)
{
	static uint8_t udp[4000];

	set_rules(NULL, 0, RULES_ACCEPT);
	for (uint16_t i = 0; i < 20; i++) {
		struct pkt_ip ip = ew_ip(3, 1, false);

		memcpy(udp, ew_frame, pkt_build_udp(ew_frame, &ip, 1 + i, 2, ew_data, 1400));
		ip.id = i;
		ip.frag = 0x2000;
		rx(3, (uint8_t)(i % 3), pkt_build_ip(ew_frame, &ip, 17, udp + 34, 1000));
		ip.frag = 1000 / 8;
		rx(3, (uint8_t)(i / 3 % 3), pkt_build_ip(ew_frame, &ip, 17, udp + 34 + 1000, 408));
		assert_int_equal(expect(1)->view.data_len, 1400);
	}
	assert_int_equal(flows(), 20);
}

static void
what_a_sender_is_told_reaches_it_from_any_worker(void **state)
{
	const struct rule r = { .directions = RULES_EAST_WEST, .action = RULES_REJECT };

	set_rules(&r, 1, RULES_ACCEPT);
	for (uint16_t i = 0; i < 20; i++) {
		const struct pkt_tcp syn = {
			.sport = 1000 + i, .dport = 2, .seq = 9, .flags = PKT_SYN, .wscale = -1
		};

		rx(1, 0, ew_tcp(1, 3, false, &syn, 0));
		assert_int_equal(expect(1)->view.tcp.flags, PKT_RST | PKT_ACK);
		rx(3, (uint8_t)(i % 3), ew_udp(3, 2, true, 1000 + i, 53));
		assert_int_equal(expect(3)->view.icmp_code, 1);
	}
}

static void
offloads_are_those_that_the_receivers_worker_knows(void **state)
{
	struct virtio_net_hdr hdr;
	struct rte_mbuf *m;
	size_t len;

	set_rules(NULL, 0, RULES_ACCEPT);
	link_up(2, L4X_OFFLOAD_CSUM);
	/* Flows of 1 and 2 are owned by one of two workers, according to the addresses. */
	for (uint16_t from = 1; from <= 3; from += 2) {
		const struct pkt_ip ip = ew_ip(from, 2, false);
		const struct pkt_tcp t = {
			.sport = 1, .dport = 2, .seq = 9, .ack = 9, .flags = PKT_ACK, .wscale = -1
		};

		len = pkt_build_tcp(ew_frame, &ip, &t, ew_data, 5000);
		pkt_make_tso(ew_frame, len, 1000, &hdr);
		m = l4xkit_mbuf(rig.k[pollers[from - 1][0]], ew_frame, (uint32_t)len, 0, 0);
		m->ol_flags |= RTE_MBUF_F_RX_L4_CKSUM_NONE | RTE_MBUF_F_RX_LRO;
		m->tso_segsz = 1000;
		rx_mbuf(from, 0, m);
		for (unsigned int i = 0; i < 5; i++) {
			l4xkit_expect_frame(rig.k[1]);
			assert_int_equal(rig.k[1]->view.data_len, 1000);
			assert_int_equal(rig.k[1]->view.gso_size, 0);
		}
		expect_nothing();
	}
}

static void
frames_go_to_the_card_that_the_receivers_worker_has_heard(void **state)
{
	static const uint8_t mac[6] = { 0x52, 0x54, 0, 9, 9, 9 };

	set_rules(NULL, 0, RULES_ACCEPT);
	memcpy(rig.k[1]->l->ports[2].guest.mac.addr_bytes, mac, 6);
	for (uint16_t from = 1; from <= 3; from += 2) {
		rx(from, 0, ew_udp(from, 2, false, 1000, 53));
		assert_memory_equal(expect(2)->view.dst_mac, mac, 6);
	}
}

static void
address_that_was_not_assigned_is_answered(void **state)
{
	set_rules(NULL, 0, RULES_ACCEPT);
	for (uint16_t i = 0; i < 12; i++) {
		struct pkt_ip ip = ew_ip(3, 1 + i % 2, true);
		char text[32];

		snprintf(text, sizeof(text), "fd00:2::%x", 0x1000 + i);
		ip.src = pkt_addr(text);
		rx(3, (uint8_t)(i % 3), pkt_build_udp(ew_frame, &ip, 1000, 53, ew_data, 10));
		expect(1 + i % 2);
		ip = ew_ip(1 + i % 2, 3, true);
		ip.dst = pkt_addr(text);
		rx(1 + i % 2, 0, pkt_build_udp(ew_frame, &ip, 53, 1000, ew_data, 10));
		expect(3);
	}
	/* Of nobody, still nothing. */
	{
		struct pkt_ip ip = ew_ip(2, 3, true);

		ip.dst = pkt_addr("fd00:2::9999");
		rx(2, 0, pkt_build_udp(ew_frame, &ip, 53, 1000, ew_data, 10));
		assert_int_equal(expect(2)->view.icmp_type, 1);
	}
}

static void
one_worker_of_a_network_has_all_flows_that_are_translated(void **state)
{
	const struct rule r = { .directions = RULES_EAST_WEST,
		.dst = ew_net("10.0.2.200", 32),
		.nat = { .what = CT_NAT_DST,
			.dst = { .min = l4xkit_addr("10.0.2.17"),
				.max = l4xkit_addr("10.0.2.17") } } };

	set_rules(&r, 1, RULES_ACCEPT);
	for (uint16_t i = 0; i < 20; i++) {
		struct pkt_ip ip = ew_ip(1 + i % 2, 3, false);

		rx(1 + i % 2, 0, ew_udp(1 + i % 2, 3, false, 1000 + i, 53));
		expect(3);
		ip.dst = pkt_addr("10.0.2.200");
		rx(1 + i % 2, 0, pkt_build_udp(ew_frame, &ip, 5000 + i, 53, ew_data, 10));
		assert_string_equal(pkt_addr_text(&expect(3)->view.dst), "10.0.2.17");
		rx(3, (uint8_t)(i % 3), ew_udp(3, 1 + i % 2, false, 53, 5000 + i));
		assert_string_equal(pkt_addr_text(&expect(1 + i % 2)->view.src), "10.0.2.200");
	}
	assert_int_equal(l4x_flow_count(rig.k[0]->l), 40);
	assert_int_equal(flows(), 40);
}

static void
packet_that_no_rule_translates_goes_on_to_its_north_south_owner(void **state)
{
	const struct rule r = { .directions = RULES_EAST_WEST,
		.proto = IPPROTO_TCP,
		.dst = ew_net("192.0.2.0", 24),
		.nat = { .what = CT_NAT_DST,
			.dst = { .min = l4xkit_addr("10.0.2.17"),
				.max = l4xkit_addr("10.0.2.17") } } };
	struct pkt_ip ip = ew_ip(2, 3, false);
	unsigned int ops = 0;

	set_rules(&r, 1, RULES_DROP);
	ip.dst = pkt_addr("192.0.2.1");
	for (unsigned int i = 0; i < 3; i++)
		rx(2, 0, pkt_build_udp(ew_frame, &ip, 1000, 53, ew_data, 10));
	/* Guest 2 has worker 1. */
	while (l4xkit_op(rig.k[1]) != NULL)
		ops++;
	assert_int_equal(ops, 4);
	assert_int_equal(l4x_flow_count(rig.k[1]->l), 1);
	assert_int_equal(flows(), 1);
	expect_nothing();
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(both_directions_meet_at_one_worker),
		T(frames_follow_the_queue_pair_that_their_receiver_uses),
		T(queues_that_are_not_used_have_no_flows),
		T(errors_find_the_worker_of_their_flow),
		T(fragments_are_put_together_and_forwarded),
		T(what_a_sender_is_told_reaches_it_from_any_worker),
		T(offloads_are_those_that_the_receivers_worker_knows),
		T(frames_go_to_the_card_that_the_receivers_worker_has_heard),
		T(address_that_was_not_assigned_is_answered),
		T(one_worker_of_a_network_has_all_flows_that_are_translated),
		T(packet_that_no_rule_translates_goes_on_to_its_north_south_owner),
	};

	l4xkit_eal("l4xeww");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
