/* SPDX-License-Identifier: BSD-3-Clause */
/* Flows of UDP datagrams, both ways. */
#include "test_l4x_udp_util.h"

static void
answer(struct l4xkit *k, uint64_t flow, uint32_t len)
{
	struct l4x_event ev = { .type = L4X_EV_DGRAM, .flow = flow };

	ev.dgram.m = l4xkit_payload(k, data, len);
	l4xkit_event(k, &ev);
}

static void
assert_peer(const struct l4x_op *op, const char *addr, uint16_t port)
{
	struct flowtab_addr a = l4xkit_addr(addr);

	assert_memory_equal(&op->open.peer, &a, sizeof(a));
	assert_int_equal(rte_be_to_cpu_16(op->open.peer_port), port);
}

static void
opens_one_connected_socket_per_flow(void **state)
{
	struct l4xkit *k = *state;
	const struct l4xkit_op *o;
	uint64_t flow;

	k->conf.mark = 77;
	assert_int_equal(l4x_port_set(k->l, &k->conf), 0);
	l4xkit_rx(k, frame, udp("192.0.2.1", 1000, 2000, 100));
	o = l4xkit_expect_op(k, L4X_OP_OPEN);
	flow = o->op.flow;
	assert_true(flow != 0);
	assert_peer(&o->op, "192.0.2.1", 2000);
	assert_int_equal(o->op.open.proto, IPPROTO_UDP);
	assert_int_equal(o->op.open.pif, L4XKIT_PIF);
	assert_int_equal(o->op.open.head_len, 42);
	assert_int_equal(o->op.open.mark, 77);
	assert_int_equal(o->op.open.flags, 0);
	o = l4xkit_expect_op(k, L4X_OP_DGRAM);
	assert_true(o->op.flow == flow);
	assert_int_equal(o->op.dgram.seg, 100);
	assert_memory_equal(o->data, data, 100);
	l4xkit_rx(k, frame, udp("192.0.2.1", 1000, 2000, 50));
	o = l4xkit_expect_op(k, L4X_OP_DGRAM);
	assert_true(o->op.flow == flow);
	l4xkit_expect_nothing(k);
	assert_int_equal(l4x_flow_count(k->l), 1);
}

static void
a_flow_of_the_first_packet_serves_the_rest_of_the_burst(void **state)
{
	struct l4xkit *k = *state;

	for (unsigned int i = 0; i < 3; i++)
		l4xkit_push(k, frame, udp("192.0.2.1", 1000, 2000, 100 + i));
	l4xkit_flush(k);
	l4xkit_expect_op(k, L4X_OP_OPEN);
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(l4xkit_expect_op(k, L4X_OP_DGRAM)->len, 100 + i);
	l4xkit_expect_nothing(k);
	assert_int_equal(l4x_flow_count(k->l), 1);
}

static void
joins_equal_datagrams_of_a_burst(void **state)
{
	struct l4xkit *k = *state;
	const struct l4xkit_op *o;

	for (unsigned int i = 0; i < 5; i++)
		l4xkit_push(k, frame, udp("192.0.2.1", 1000, 2000, 700));
	/* A shorter one may be the last. */
	l4xkit_push(k, frame, udp("192.0.2.1", 1000, 2000, 300));
	l4xkit_push(k, frame, udp("192.0.2.1", 1000, 2000, 700));
	l4xkit_flush(k);
	l4xkit_expect_op(k, L4X_OP_OPEN);
	o = l4xkit_expect_op(k, L4X_OP_DGRAM);
	assert_int_equal(o->len, 3800);
	assert_int_equal(o->op.dgram.seg, 700);
	for (unsigned int i = 0; i < 5; i++)
		assert_memory_equal(o->data + 700 * i, data, 700);
	assert_memory_equal(o->data + 3500, data, 300);
	o = l4xkit_expect_op(k, L4X_OP_DGRAM);
	assert_int_equal(o->len, 700);
	l4xkit_expect_nothing(k);
}

static void
begins_anew_for_a_larger_one_another_burst_tos_or_df(void **state)
{
	struct pkt_ip ip = l4xkit_ip("192.0.2.1");
	struct l4xkit *k = *state;
	const struct l4xkit_op *o;

	l4xkit_push(k, frame, udp("192.0.2.1", 1000, 2000, 100));
	l4xkit_push(k, frame, udp("192.0.2.1", 1000, 2000, 101));
	ip.tos = 0xb8;
	l4xkit_push(k, frame, pkt_build_udp(frame, &ip, 1000, 2000, data, 101));
	ip.frag = 0x4000;
	l4xkit_push(k, frame, pkt_build_udp(frame, &ip, 1000, 2000, data, 101));
	l4xkit_flush(k);
	l4xkit_push(k, frame, udp("192.0.2.1", 1000, 2000, 100));
	l4xkit_flush(k);
	l4xkit_expect_op(k, L4X_OP_OPEN);
	assert_int_equal(l4xkit_expect_op(k, L4X_OP_DGRAM)->len, 100);
	assert_int_equal(l4xkit_expect_op(k, L4X_OP_DGRAM)->len, 101);
	o = l4xkit_expect_op(k, L4X_OP_DGRAM);
	assert_int_equal(o->len, 101);
	assert_int_equal(o->op.tos, 0xb8);
	assert_int_equal(l4xkit_expect_op(k, L4X_OP_DGRAM)->len, 101);
	assert_int_equal(l4xkit_expect_op(k, L4X_OP_DGRAM)->len, 100);
	l4xkit_expect_nothing(k);
}

static void
joins_per_flow_and_keeps_flows_apart(void **state)
{
	struct l4xkit *k = *state;
	unsigned int dgrams = 0;
	const struct l4xkit_op *o;

	for (unsigned int i = 0; i < L4X_BURST; i++)
		l4xkit_push(k, frame, udp("192.0.2.1", (uint16_t)(1000 + i % 4), 2000, 100));
	l4xkit_flush(k);
	while ((o = l4xkit_op(k)) != NULL) {
		if (o->op.type != L4X_OP_DGRAM)
			continue;
		assert_int_equal(o->len, 100 * L4X_BURST / 4);
		dgrams++;
	}
	assert_int_equal(dgrams, 4);
}

static void
never_joins_more_than_a_send_takes(void **state)
{
	struct l4xkit *k = *state;
	const struct l4xkit_op *o;
	uint32_t total = 0;

	k->conf.mtu = 9000;
	assert_int_equal(l4x_port_set(k->l, &k->conf), 0);
	for (unsigned int i = 0; i < 20; i++)
		l4xkit_push(k, frame, udp("192.0.2.1", 1000, 2000, 8000));
	l4xkit_flush(k);
	l4xkit_expect_op(k, L4X_OP_OPEN);
	while ((o = l4xkit_op(k)) != NULL) {
		assert_true(o->len <= 65000);
		total += o->len;
	}
	assert_int_equal(total, 160000);
}

static void
sends_empty_datagrams_one_by_one(void **state)
{
	struct l4xkit *k = *state;

	l4xkit_push(k, frame, udp("192.0.2.1", 1000, 2000, 0));
	l4xkit_push(k, frame, udp("192.0.2.1", 1000, 2000, 0));
	l4xkit_push(k, frame, udp("192.0.2.1", 1000, 2000, 5));
	l4xkit_flush(k);
	l4xkit_expect_op(k, L4X_OP_OPEN);
	assert_int_equal(l4xkit_expect_op(k, L4X_OP_DGRAM)->len, 0);
	assert_int_equal(l4xkit_expect_op(k, L4X_OP_DGRAM)->len, 0);
	assert_int_equal(l4xkit_expect_op(k, L4X_OP_DGRAM)->len, 5);
}

/** A frame of many datagrams, as a guest with USO sends it. */
static void
push_uso(struct l4xkit *k, size_t len, uint16_t seg)
{
	struct rte_mbuf *m;

	len = udp("192.0.2.1", 1000, 2000, len);
	m = l4xkit_mbuf(k, frame, (uint32_t)len, 0, 0);
	m->ol_flags |= RTE_MBUF_F_RX_L4_CKSUM_NONE;
	m->tso_segsz = seg;
	l4xkit_push_mbuf(k, m);
}

static void
passes_segmented_frames_on_as_they_are(void **state)
{
	struct l4xkit *k = *state;
	const struct l4xkit_op *o;

	push_uso(k, 10000, 1400);
	l4xkit_flush(k);
	l4xkit_expect_op(k, L4X_OP_OPEN);
	o = l4xkit_expect_op(k, L4X_OP_DGRAM);
	assert_int_equal(o->len, 10000);
	assert_int_equal(o->op.dgram.seg, 1400);
	assert_memory_equal(o->data, data, 10000);
	push_uso(k, 2800, 1400);
	push_uso(k, 2800, 1400);
	push_uso(k, 1400, 1200);
	l4xkit_flush(k);
	o = l4xkit_expect_op(k, L4X_OP_DGRAM);
	assert_int_equal(o->len, 5600);
	o = l4xkit_expect_op(k, L4X_OP_DGRAM);
	assert_int_equal(o->op.dgram.seg, 1200);
	l4xkit_expect_nothing(k);
}

static void
cuts_segmented_frames_that_are_too_much_for_one_send(void **state)
{
	struct l4xkit *k = *state;
	const struct l4xkit_op *o;
	uint32_t total = 0;

	push_uso(k, 20000, 100);
	l4xkit_flush(k);
	l4xkit_expect_op(k, L4X_OP_OPEN);
	while ((o = l4xkit_op(k)) != NULL) {
		assert_true(o->len <= 6400);
		assert_memory_equal(o->data, data + total, o->len);
		total += o->len;
	}
	assert_int_equal(total, 20000);
	push_uso(k, 60000, 1);
	l4xkit_flush(k);
	assert_int_equal(l4xkit_counter(k, L4X_DROP_TOO_BIG), 1);
}

static void
passes_tos_and_unusual_ttl_on(void **state)
{
	struct pkt_ip ip = l4xkit_ip("192.0.2.1");
	struct l4xkit *k = *state;
	const struct l4xkit_op *o;

	ip.tos = 0x28;
	ip.ttl = 3;
	l4xkit_rx(k, frame, pkt_build_udp(frame, &ip, 1, 2, data, 10));
	o = l4xkit_expect_op(k, L4X_OP_OPEN);
	assert_int_equal(o->op.tos, 0x28);
	assert_int_equal(o->op.ttl, 3);
	o = l4xkit_expect_op(k, L4X_OP_DGRAM);
	assert_int_equal(o->op.ttl, 3);
	ip.ttl = 128;
	l4xkit_rx(k, frame, pkt_build_udp(frame, &ip, 1, 2, data, 10));
	assert_int_equal(l4xkit_expect_op(k, L4X_OP_DGRAM)->op.ttl, 0);
}

/** A datagram of 24 bytes; pieces: in two fragments. @return df of its operation */
static bool
df_of(struct l4xkit *k, struct pkt_ip *ip, bool pieces)
{
	uint8_t ext[8] = { IPPROTO_UDP, 0, 0, 1, 0, 0, 0, 9 }, l4[32];
	bool v6 = ip->dst.len == 16;
	const struct l4xkit_op *o;
	size_t len = pkt_build_udp(frame, ip, 1000, 2000, data, 24);

	memcpy(l4, frame + len - 32, 32);
	for (unsigned int off = 0; pieces && off < 32; off += 16) {
		if (v6) {
			ext[3] = off == 0 ? 1 : 16;
			ip->options = ext;
			ip->options_len = sizeof(ext);
			ip->first_ext = 44;
		} else {
			ip->frag = off == 0 ? 0x6000 : 2;
		}
		len = pkt_build_ip(frame, ip, IPPROTO_UDP, l4 + off, 16);
		if (off == 0)
			l4xkit_rx(k, frame, len);
	}
	l4xkit_rx(k, frame, len);
	while ((o = l4xkit_op(k)) != NULL && o->op.type != L4X_OP_DGRAM)
		;
	assert_non_null(o);
	assert_int_equal(o->len, 24);
	return o->op.dgram.df;
}

static void
only_what_no_router_may_fragment_is_sent_in_one_piece(void **state)
{
	struct pkt_ip ip = l4xkit_ip("192.0.2.1");
	struct l4xkit *k = *state;

	assert_false(df_of(k, &ip, false));
	ip.frag = 0x4000;
	assert_true(df_of(k, &ip, false));
	/* Even if its first piece says otherwise. */
	assert_false(df_of(k, &ip, true));
	ip = l4xkit_ip("2001:db8::1");
	assert_true(df_of(k, &ip, false));
	assert_false(df_of(k, &ip, true));
}

static void
ipv6_up_to_1280_bytes_may_be_fragmented_by_ipv4(void **state)
{
	struct l4xkit *k = *state;
	size_t fits = 1280 - 48;

	k->conf.dns_forward = l4xkit_addr("192.0.2.53");
	assert_int_equal(l4x_port_set(k->l, &k->conf), 0);
	open_flow(k, "fd00:2::2", 1000, 53);
	l4xkit_rx(k, frame, udp("fd00:2::2", 1000, 53, fits));
	assert_false(l4xkit_expect_op(k, L4X_OP_DGRAM)->op.dgram.df);
	l4xkit_rx(k, frame, udp("fd00:2::2", 1000, 53, fits + 1));
	assert_true(l4xkit_expect_op(k, L4X_OP_DGRAM)->op.dgram.df);
}

static void
answers_reach_the_guest_from_whom_it_asked(void **state)
{
	struct l4xkit *k = *state;
	uint64_t flow = open_flow(k, "192.0.2.1", 1000, 2000);

	answer(k, flow, 300);
	l4xkit_expect_frame(k);
	assert_string_equal(pkt_addr_text(&k->view.src), "192.0.2.1");
	assert_string_equal(pkt_addr_text(&k->view.dst), "10.0.2.15");
	assert_int_equal(k->view.sport, 2000);
	assert_int_equal(k->view.dport, 1000);
	assert_int_equal(k->view.data_len, 300);
	assert_memory_equal(k->view.data, data, 300);
	flow = open_flow(k, "2001:db8::1", 1000, 2000);
	answer(k, flow, 0);
	l4xkit_expect_frame(k);
	assert_int_equal(k->view.data_len, 0);
	answer(k, flow, 1452);
	l4xkit_expect_frame(k);
	assert_memory_equal(k->view.data, data, 1452);
}

static void
dscp_ecn_and_ttl_reach_the_guest(void **state)
{
	static const char *const names[] = { "192.0.2.1", "2001:db8::1" };
	struct l4xkit *k = *state;

	for (unsigned int i = 0; i < RTE_DIM(names); i++) {
		struct l4x_event ev = { .type = L4X_EV_DGRAM, .tos = 0xb9, .ttl = 57 };

		ev.flow = open_flow(k, names[i], 1000, 2000);
		ev.dgram.m = l4xkit_payload(k, data, 10);
		l4xkit_event(k, &ev);
		l4xkit_expect_frame(k);
		assert_int_equal(k->view.tos, 0xb9);
		assert_int_equal(k->view.ttl, 57);
		/* Where the host does not know. */
		answer(k, ev.flow, 10);
		l4xkit_expect_frame(k);
		assert_int_equal(k->view.tos, 0);
		assert_int_equal(k->view.ttl, 64);
	}
}

/** Put fragments to the guest together again. @return bytes of the whole L4 packet */
static size_t
defragment(struct l4xkit *k, uint8_t *whole, bool v6)
{
	const struct l4xkit_frame *f;
	size_t end = 0, have = 0;

	k->unchecked = true;
	while ((f = l4xkit_frame(k)) != NULL) {
		size_t head = v6 ? 62 : 34, n = f->len - head;
		const uint8_t *h = f->bytes;
		uint16_t field = pkt_get16(h + (v6 ? 56 : 20));
		size_t off = v6 ? field & 0xfff8u : (field & 0x1fffu) * 8u;
		bool more = v6 ? field & 1 : field & 0x2000;

		assert_true(f->len <= 14u + k->conf.mtu);
		assert_int_equal(f->hdr.flags, 0);
		memcpy(whole + off, h + head, n);
		have += n;
		if (more)
			assert_int_equal(n % 8, 0);
		else
			end = off + n;
	}
	assert_int_equal(have, end);
	return end;
}

static void
fragments_what_is_larger_than_the_mtu(void **state)
{
	static const uint32_t sizes[] = { 1473, 1480, 3000, 20001, 65507 };
	static uint8_t whole[PKT_MAX];
	struct pkt_addr src = pkt_addr("192.0.2.1"), dst = pkt_addr("10.0.2.15");
	struct l4xkit *k = *state;
	uint64_t flow = open_flow(k, "192.0.2.1", 1000, 2000);

	for (unsigned int i = 0; i < RTE_DIM(sizes); i++) {
		size_t n;

		answer(k, flow, sizes[i]);
		n = defragment(k, whole, false);
		assert_int_equal(n, sizes[i] + 8);
		assert_memory_equal(whole + 8, data, sizes[i]);
		assert_int_equal(pkt_sum_fold(pkt_sum(
					 whole, n, pkt_sum_pseudo(&src, &dst, 17, (uint32_t)n))),
			0);
	}
}

static void
fragments_ipv6_with_a_header_of_its_own(void **state)
{
	static uint8_t whole[PKT_MAX];
	struct pkt_addr src = pkt_addr("2001:db8::1"), dst = pkt_addr("fd00:2::15");
	struct l4xkit *k = *state;
	uint64_t flow = open_flow(k, "2001:db8::1", 1000, 2000);
	size_t n;

	answer(k, flow, 5000);
	n = defragment(k, whole, true);
	assert_int_equal(n, 5008);
	assert_memory_equal(whole + 8, data, 5000);
	assert_int_equal(
		pkt_sum_fold(pkt_sum(whole, n, pkt_sum_pseudo(&src, &dst, 17, (uint32_t)n))), 0);
}

static void
drops_what_no_ip_packet_holds(void **state)
{
	struct l4xkit *k = *state;
	uint64_t flow = open_flow(k, "192.0.2.1", 1000, 2000);

	answer(k, flow, 65508);
	assert_int_equal(l4xkit_counter(k, L4X_DROP_TOO_BIG), 1);
	l4xkit_expect_nothing(k);
}

static void
error(struct l4xkit *k, uint64_t flow, int err, uint8_t type, uint8_t code, const char *offender)
{
	struct l4x_event ev = { .type = L4X_EV_ERROR, .flow = flow };

	ev.error.err = err;
	ev.error.from_icmp = offender != NULL;
	ev.error.icmp_type = type;
	ev.error.icmp_code = code;
	if (offender != NULL)
		ev.error.offender = l4xkit_addr(offender);
	if (err == EMSGSIZE)
		ev.error.info = 1400;
	l4xkit_event(k, &ev);
}

static void
icmp_errors_quote_the_guests_packet_byte_for_byte(void **state)
{
	struct pkt_ip ip = l4xkit_ip("192.0.2.1");
	struct l4xkit *k = *state;
	uint64_t flow = open_flow(k, "192.0.2.1", 1000, 2000);
	size_t len;

	ip.id = 0x4711;
	ip.tos = 4;
	ip.ttl = 33;
	ip.frag = 0x4000;
	ip.options = (const uint8_t[]){ 148, 4, 0, 0 };
	ip.options_len = 4;
	len = pkt_build_udp(frame, &ip, 1000, 2000, data, 99);
	l4xkit_rx(k, frame, len);
	l4xkit_discard(k);
	error(k, flow, ECONNREFUSED, 3, 3, "192.0.2.1");
	l4xkit_expect_frame(k);
	assert_int_equal(k->view.icmp_type, 3);
	assert_int_equal(k->view.icmp_code, 3);
	assert_string_equal(pkt_addr_text(&k->view.src), "192.0.2.1");
	assert_int_equal(k->view.data_len, 32);
	assert_memory_equal(k->view.data, frame + 14, 32);
	/* The flow lives on. */
	l4xkit_rx(k, frame, len);
	l4xkit_expect_op(k, L4X_OP_DGRAM);
}

static void
routers_are_named_as_senders_of_their_errors(void **state)
{
	struct l4xkit *k = *state;
	uint64_t flow = open_flow(k, "192.0.2.1", 1000, 2000);

	error(k, flow, EHOSTUNREACH, 11, 0, "198.51.100.7");
	l4xkit_expect_frame(k);
	assert_int_equal(k->view.icmp_type, 11);
	assert_string_equal(pkt_addr_text(&k->view.src), "198.51.100.7");
	error(k, flow, EMSGSIZE, 3, 4, "198.51.100.7");
	l4xkit_expect_frame(k);
	assert_int_equal(k->view.icmp_code, 4);
	assert_int_equal(k->view.icmp_rest, 1400);
	/* A firewall that refuses in the peer's stead. */
	error(k, flow, ECONNREFUSED, 3, 3, "198.51.100.7");
	l4xkit_expect_frame(k);
	assert_int_equal(k->view.icmp_code, 3);
	assert_string_equal(pkt_addr_text(&k->view.src), "198.51.100.7");
	/* A type that routers do not send. */
	error(k, flow, EPROTO, 5, 1, "198.51.100.7");
	l4xkit_expect_nothing(k);
}

static void
icmpv6_errors_have_their_own_numbers(void **state)
{
	struct l4xkit *k = *state;
	uint64_t flow = open_flow(k, "2001:db8::1", 1000, 2000);

	error(k, flow, ECONNREFUSED, 1, 4, "2001:db8::1");
	l4xkit_expect_frame(k);
	assert_int_equal(k->view.icmp_type, 1);
	assert_int_equal(k->view.icmp_code, 4);
	assert_memory_equal(k->view.data, frame + 14, 48);
	error(k, flow, EMSGSIZE, 2, 0, "2001:db8::99");
	l4xkit_expect_frame(k);
	assert_int_equal(k->view.icmp_type, 2);
	assert_int_equal(k->view.icmp_rest, 1400);
}

static void
local_failures_end_the_flow_and_tell_the_guest(void **state)
{
	struct l4xkit *k = *state;
	uint64_t flow = open_flow(k, "192.0.2.1", 1000, 2000);

	error(k, flow, ENETUNREACH, 0, 0, NULL);
	l4xkit_expect_frame(k);
	assert_int_equal(k->view.icmp_type, 3);
	assert_int_equal(k->view.icmp_code, 0);
	assert_string_equal(pkt_addr_text(&k->view.src), "10.0.2.2");
	assert_true(l4xkit_expect_op(k, L4X_OP_CLOSE)->op.flow == flow);
	assert_int_equal(l4x_flow_count(k->l), 0);
	flow = open_flow(k, "192.0.2.1", 1000, 2000);
	error(k, flow, EMFILE, 0, 0, NULL);
	l4xkit_expect_op(k, L4X_OP_CLOSE);
	l4xkit_expect_nothing(k);
}

static void
errors_across_families_are_translated(void **state)
{
	struct l4xkit *k = *state;
	uint64_t flow;

	k->conf.dns_forward = l4xkit_addr("2001:db8::53");
	assert_int_equal(l4x_port_set(k->l, &k->conf), 0);
	flow = open_flow(k, "10.0.2.2", 1000, 53);
	error(k, flow, ECONNREFUSED, 1, 4, "2001:db8::53");
	l4xkit_expect_frame(k);
	assert_int_equal(k->view.icmp_type, 3);
	assert_int_equal(k->view.icmp_code, 3);
	assert_string_equal(pkt_addr_text(&k->view.src), "10.0.2.2");
}

static void
mtu_is_told(struct l4xkit *k, uint64_t flow, uint32_t info, uint32_t told)
{
	struct l4x_event ev = { .type = L4X_EV_ERROR, .flow = flow };

	ev.error.err = EMSGSIZE;
	ev.error.info = info;
	l4xkit_event(k, &ev);
	l4xkit_expect_frame(k);
	assert_int_equal(k->view.icmp_rest, told);
}

static void
an_mtu_across_families_counts_the_other_header(void **state)
{
	struct l4xkit *k = *state;
	uint64_t flow;

	k->conf.dns_forward = l4xkit_addr("2001:db8::53");
	assert_int_equal(l4x_port_set(k->l, &k->conf), 0);
	flow = open_flow(k, "10.0.2.2", 1000, 53);
	mtu_is_told(k, flow, 1400, 1380);
	mtu_is_told(k, flow, 0, 0);
	k->conf.dns_forward = l4xkit_addr("192.0.2.53");
	assert_int_equal(l4x_port_set(k->l, &k->conf), 0);
	flow = open_flow(k, "fd00:2::2", 1000, 53);
	mtu_is_told(k, flow, 1400, 1420);
	mtu_is_told(k, flow, 600, 1280);
}

static void
forwards_dns_of_the_gateway_in_both_families(void **state)
{
	struct l4xkit *k = *state;
	const struct l4xkit_op *o;
	uint64_t flow;

	k->conf.dns_forward = l4xkit_addr("127.0.0.53");
	assert_int_equal(l4x_port_set(k->l, &k->conf), 0);
	l4xkit_rx(k, frame, udp("10.0.2.2", 1000, 53, 30));
	o = l4xkit_expect_op(k, L4X_OP_OPEN);
	assert_peer(&o->op, "127.0.0.53", 53);
	flow = o->op.flow;
	l4xkit_expect_op(k, L4X_OP_DGRAM);
	answer(k, flow, 100);
	l4xkit_expect_frame(k);
	assert_string_equal(pkt_addr_text(&k->view.src), "10.0.2.2");
	assert_int_equal(k->view.sport, 53);
	l4xkit_rx(k, frame, udp("fd00:2::2", 1000, 53, 30));
	assert_peer(&l4xkit_expect_op(k, L4X_OP_OPEN)->op, "127.0.0.53", 53);
	l4xkit_expect_op(k, L4X_OP_DGRAM);
	l4xkit_rx(k, frame, udp("fe80::57:45ff:fe49:5201", 1000, 53, 30));
	assert_peer(&l4xkit_expect_op(k, L4X_OP_OPEN)->op, "127.0.0.53", 53);
}

static void
answers_closed_ports_of_the_gateway(void **state)
{
	struct l4xkit *k = *state;
	size_t len = udp("10.0.2.2", 1000, 53, 30);

	l4xkit_expect_drop(k, frame, len, L4X_DROP_IP_DEST);
	l4xkit_expect_frame(k);
	assert_int_equal(k->view.icmp_type, 3);
	assert_int_equal(k->view.icmp_code, 3);
	len = udp("10.0.2.99", 1000, 53, 30);
	l4xkit_expect_drop(k, frame, len, L4X_DROP_IP_DEST);
	l4xkit_expect_frame(k);
	assert_int_equal(k->view.icmp_code, 1);
	len = udp("fd00:2::99", 1000, 53, 30);
	l4xkit_expect_drop(k, frame, len, L4X_DROP_IP_DEST);
	l4xkit_expect_frame(k);
	assert_int_equal(k->view.icmp_type, 1);
	assert_int_equal(k->view.icmp_code, 3);
}

static void
silent_flows_expire_and_their_sockets_close(void **state)
{
	struct l4xkit *k = *state;
	uint64_t flow = open_flow(k, "192.0.2.1", 1000, 2000);

	l4xkit_run(k, 28000000);
	assert_int_equal(l4x_flow_count(k->l), 1);
	while (l4xkit_frame(k) != NULL)
		;
	assert_null(l4xkit_op(k));
	l4xkit_run(k, 6000000);
	assert_int_equal(l4x_flow_count(k->l), 0);
	assert_true(l4xkit_expect_op(k, L4X_OP_CLOSE)->op.flow == flow);
	assert_int_equal(l4xkit_counter(k, L4X_COUNT_FLOWS_EXPIRED), 1);
}

static void
flows_with_traffic_both_ways_live_longer(void **state)
{
	struct l4xkit *k = *state;
	uint64_t flow = open_flow(k, "192.0.2.1", 1000, 2000);

	answer(k, flow, 10);
	l4xkit_run(k, 170000000);
	assert_int_equal(l4x_flow_count(k->l), 1);
	answer(k, flow, 10);
	l4xkit_run(k, 170000000);
	assert_int_equal(l4x_flow_count(k->l), 1);
	l4xkit_run(k, 20000000);
	assert_int_equal(l4x_flow_count(k->l), 0);
}

static void
a_late_event_for_an_expired_flow_is_counted(void **state)
{
	struct l4xkit *k = *state;
	uint64_t flow = open_flow(k, "192.0.2.1", 1000, 2000);

	l4xkit_run(k, 40000000);
	l4xkit_discard(k);
	answer(k, flow, 10);
	assert_int_equal(l4xkit_counter(k, L4X_DROP_FLOW_STALE), 1);
	open_flow(k, "192.0.2.1", 1000, 2000);
	answer(k, flow, 10);
	assert_int_equal(l4xkit_counter(k, L4X_DROP_FLOW_STALE), 2);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(opens_one_connected_socket_per_flow),
		T(a_flow_of_the_first_packet_serves_the_rest_of_the_burst),
		T(joins_equal_datagrams_of_a_burst),
		T(begins_anew_for_a_larger_one_another_burst_tos_or_df),
		T(joins_per_flow_and_keeps_flows_apart),
		T(never_joins_more_than_a_send_takes),
		T(sends_empty_datagrams_one_by_one),
		T(passes_segmented_frames_on_as_they_are),
		T(cuts_segmented_frames_that_are_too_much_for_one_send),
		T(passes_tos_and_unusual_ttl_on),
		T(only_what_no_router_may_fragment_is_sent_in_one_piece),
		T(ipv6_up_to_1280_bytes_may_be_fragmented_by_ipv4),
		T(answers_reach_the_guest_from_whom_it_asked),
		T(dscp_ecn_and_ttl_reach_the_guest),
		T(fragments_what_is_larger_than_the_mtu),
		T(fragments_ipv6_with_a_header_of_its_own),
		T(drops_what_no_ip_packet_holds),
		T(icmp_errors_quote_the_guests_packet_byte_for_byte),
		T(routers_are_named_as_senders_of_their_errors),
		T(icmpv6_errors_have_their_own_numbers),
		T(local_failures_end_the_flow_and_tell_the_guest),
		T(errors_across_families_are_translated),
		T(an_mtu_across_families_counts_the_other_header),
		T(forwards_dns_of_the_gateway_in_both_families),
		T(answers_closed_ports_of_the_gateway),
		T(silent_flows_expire_and_their_sockets_close),
		T(flows_with_traffic_both_ways_live_longer),
		T(a_late_event_for_an_expired_flow_is_counted),
	};

	l4xkit_eal("l4x_udp");
	return cmocka_run_group_tests_name("l4x_udp", tests, NULL, NULL);
}
