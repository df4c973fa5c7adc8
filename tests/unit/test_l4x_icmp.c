/* SPDX-License-Identifier: BSD-3-Clause */
/* Echo, for the gateway and for the world; ICMP errors and their rate. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <errno.h>

#include <cmocka.h>

#include "l4xkit.h"

static uint8_t frame[PKT_MAX], data[PKT_MAX];

static int
setup(void **state)
{
	*state = l4xkit_create(NULL);
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 13 + (i >> 8));
	return 0;
}

static int
teardown(void **state)
{
	l4xkit_destroy(*state);
	return 0;
}

static size_t
echo(const char *dst, uint16_t id, uint16_t seq, size_t len)
{
	struct pkt_ip ip = l4xkit_ip(dst);

	return pkt_build_icmp(
		frame, &ip, ip.dst.len == 4 ? 8 : 128, 0, (uint32_t)id << 16 | seq, data, len);
}

static void
answers_echo_for_the_gateway_itself(void **state)
{
	static const char *const names[] = { "10.0.2.2", "fd00:2::2", "fe80::57:45ff:fe49:5201" };
	struct l4xkit *k = *state;

	for (unsigned int i = 0; i < RTE_DIM(names); i++) {
		l4xkit_rx(k, frame, echo(names[i], 7, 9, 56 + i));
		l4xkit_expect_frame(k);
		assert_int_equal(k->view.icmp_type, i == 0 ? 0 : 129);
		assert_int_equal(k->view.icmp_rest, 7 << 16 | 9);
		assert_string_equal(pkt_addr_text(&k->view.src), names[i]);
		assert_int_equal(k->view.data_len, 56 + i);
		assert_memory_equal(k->view.data, data, 56 + i);
	}
	assert_int_equal(l4xkit_counter(k, L4X_COUNT_ECHO_LOCAL), 3);
	assert_int_equal(l4x_flow_count(k->l), 0);
	l4xkit_expect_nothing(k);
}

static void
answers_echo_whose_checksum_was_left_to_the_device(void **state)
{
	struct l4xkit *k = *state;
	size_t len = echo("10.0.2.2", 1, 1, 1000);
	struct rte_mbuf *m;

	m = l4xkit_mbuf(k, frame, (uint32_t)len, 0, 97);
	m->ol_flags |= RTE_MBUF_F_RX_L4_CKSUM_NONE;
	l4xkit_push_mbuf(k, m);
	l4xkit_flush(k);
	l4xkit_expect_frame(k);
	assert_memory_equal(k->view.data, data, 1000);
}

static uint64_t
open_flow(struct l4xkit *k, const char *dst, uint16_t id)
{
	const struct l4xkit_op *o;
	uint64_t flow;
	struct flowtab_addr peer = l4xkit_addr(dst);
	bool v4 = flowtab_addr_is_v4(&peer);

	l4xkit_rx(k, frame, echo(dst, id, 1, 56));
	o = l4xkit_expect_op(k, L4X_OP_OPEN);
	assert_int_equal(o->op.open.proto, v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6);
	assert_memory_equal(&o->op.open.peer, &peer, sizeof(peer));
	assert_int_equal(o->op.open.local_port, rte_cpu_to_be_16(id));
	assert_int_equal(o->op.open.head_len, v4 ? 34 : 54);
	flow = o->op.flow;
	o = l4xkit_expect_op(k, L4X_OP_DGRAM);
	assert_int_equal(o->len, 64);
	assert_memory_equal(o->data, frame + (v4 ? 34 : 54), 64);
	l4xkit_expect_nothing(k);
	return flow;
}

/** What a ping socket reads: the reply, with the kernel's idea of id. */
static void
answer(struct l4xkit *k, uint64_t flow, bool v4, uint16_t seq, uint32_t len)
{
	struct l4x_event ev = { .type = L4X_EV_DGRAM, .flow = flow };
	static uint8_t reply[PKT_MAX];

	reply[0] = v4 ? 0 : 129;
	pkt_put32(reply + 4, 0x77770000u | seq);
	memcpy(reply + 8, data, len);
	ev.dgram.m = l4xkit_payload(k, reply, 8 + len);
	l4xkit_event(k, &ev);
}

static void
carries_echo_through_a_ping_socket_with_id_and_sequence_kept(void **state)
{
	struct l4xkit *k = *state;
	uint64_t flow = open_flow(k, "192.0.2.1", 500);

	answer(k, flow, true, 1, 56);
	l4xkit_expect_frame(k);
	assert_int_equal(k->view.icmp_type, 0);
	assert_int_equal(k->view.icmp_rest, 500u << 16 | 1);
	assert_string_equal(pkt_addr_text(&k->view.src), "192.0.2.1");
	assert_memory_equal(k->view.data, data, 56);
	flow = open_flow(k, "2001:db8::1", 501);
	answer(k, flow, false, 7, 57);
	l4xkit_expect_frame(k);
	assert_int_equal(k->view.icmp_type, 129);
	assert_int_equal(k->view.icmp_rest, 501u << 16 | 7);
}

/** What the kernel tells of a request of ours: its own id, its own checksum. */
static void
as_sent(uint8_t *echo, const uint8_t *request, size_t len, bool v4)
{
	static uint8_t copy[PKT_MAX];

	memcpy(copy, request, len);
	pkt_put16(copy + 2, 0);
	pkt_put16(copy + 4, 0x7777);
	/* ICMPv6: without the addresses. */
	pkt_put16(copy + 2,
		pkt_sum_fold(pkt_sum(copy, len, v4 ? 0 : IPPROTO_ICMPV6 + (uint32_t)len)));
	memcpy(echo, copy, 8);
}

static void
errors_quote_the_request_that_failed(void **state)
{
	static const char *const names[] = { "192.0.2.1", "2001:db8::1" };
	struct l4xkit *k = *state;

	for (unsigned int v6 = 0; v6 < 2; v6++) {
		struct l4x_event ev = { .type = L4X_EV_ERROR };
		size_t l4 = v6 ? 54 : 34;
		uint8_t heads[4][8];

		ev.error.err = EHOSTUNREACH;
		ev.error.from_icmp = ev.error.has_echo = 1;
		ev.error.icmp_type = v6 ? 3 : 11;
		ev.error.offender = l4xkit_addr(v6 ? "2001:db8::99" : "198.51.100.7");
		/* Of different lengths, odd ones as well; the last is not the one in question. */
		for (uint16_t i = 0; i < 4; i++) {
			size_t len = echo(names[v6], 500, i, 30 + i);

			memcpy(heads[i], frame + l4, 8);
			l4xkit_rx(k, frame, len);
			ev.flow = l4xkit_op(k)->op.flow;
			l4xkit_discard(k);
			as_sent(ev.error.echo, frame + l4, len - l4, !v6);
			l4xkit_event(k, &ev);
			l4xkit_expect_frame(k);
			assert_memory_equal(k->view.data + l4 - 14, heads[i], 8);
		}
		/* The second one once more, after all. */
		echo(names[v6], 500, 1, 31);
		as_sent(ev.error.echo, frame + l4, 8 + 31, !v6);
		l4xkit_event(k, &ev);
		l4xkit_expect_frame(k);
		assert_memory_equal(k->view.data + l4 - 14, heads[1], 8);
	}
}

static void
keeps_one_flow_per_id(void **state)
{
	struct l4xkit *k = *state;
	uint64_t a = open_flow(k, "192.0.2.1", 500), b = open_flow(k, "192.0.2.1", 501);

	assert_true(a != b);
	l4xkit_rx(k, frame, echo("192.0.2.1", 500, 2, 56));
	assert_true(l4xkit_expect_op(k, L4X_OP_DGRAM)->op.flow == a);
	/* One message, one operation: ping sockets know no segments. */
	l4xkit_push(k, frame, echo("192.0.2.1", 501, 2, 56));
	l4xkit_push(k, frame, echo("192.0.2.1", 501, 3, 56));
	l4xkit_flush(k);
	assert_int_equal(l4xkit_expect_op(k, L4X_OP_DGRAM)->len, 64);
	assert_int_equal(l4xkit_expect_op(k, L4X_OP_DGRAM)->len, 64);
	l4xkit_expect_nothing(k);
}

static void
drops_replies_too_short_for_a_header(void **state)
{
	struct l4x_event ev = { .type = L4X_EV_DGRAM };
	struct l4xkit *k = *state;

	ev.flow = open_flow(k, "192.0.2.1", 500);
	ev.dgram.m = l4xkit_payload(k, data, 7);
	l4xkit_event(k, &ev);
	assert_int_equal(l4xkit_counter(k, L4X_DROP_TOO_BIG), 1);
	l4xkit_expect_nothing(k);
}

static void
echo_flows_expire(void **state)
{
	struct l4xkit *k = *state;
	uint64_t flow = open_flow(k, "192.0.2.1", 500);

	answer(k, flow, true, 1, 56);
	l4xkit_discard(k);
	l4xkit_run(k, 32000000);
	assert_int_equal(l4x_flow_count(k->l), 0);
	assert_true(l4xkit_expect_op(k, L4X_OP_CLOSE)->op.flow == flow);
}

static void
errors_of_routers_reach_who_pings(void **state)
{
	struct l4x_event ev = { .type = L4X_EV_ERROR };
	struct l4xkit *k = *state;

	ev.flow = open_flow(k, "192.0.2.1", 500);
	ev.error.err = EHOSTUNREACH;
	ev.error.from_icmp = 1;
	ev.error.icmp_type = 11;
	ev.error.offender = l4xkit_addr("198.51.100.1");
	l4xkit_event(k, &ev);
	l4xkit_expect_frame(k);
	assert_int_equal(k->view.icmp_type, 11);
	assert_string_equal(pkt_addr_text(&k->view.src), "198.51.100.1");
	assert_memory_equal(k->view.data, frame + 14, 28);
}

static void
drops_other_types(void **state)
{
	static const uint8_t v4[] = { 0, 3, 4, 5, 11, 12, 13, 17, 200 };
	static const uint8_t v6[] = { 1, 2, 3, 4, 129, 130, 131, 143, 200 };
	struct pkt_ip ip4 = l4xkit_ip("192.0.2.1"), ip6 = l4xkit_ip("2001:db8::1");
	struct l4xkit *k = *state;
	size_t len;

	for (unsigned int i = 0; i < sizeof(v4); i++) {
		len = pkt_build_icmp(frame, &ip4, v4[i], 0, 0, data, 40);
		l4xkit_expect_drop(k, frame, len, L4X_DROP_ICMP_TYPE);
		len = pkt_build_icmp(frame, &ip6, v6[i], 0, 0, data, 40);
		l4xkit_expect_drop(k, frame, len, L4X_DROP_ICMP_TYPE);
	}
	len = pkt_build_icmp(frame, &ip4, 8, 1, 0, data, 40);
	l4xkit_expect_drop(k, frame, len, L4X_DROP_ICMP_TYPE);
	l4xkit_expect_nothing(k);
}

static void
drops_messages_cut_short(void **state)
{
	struct pkt_ip ip = l4xkit_ip("192.0.2.1");
	struct l4xkit *k = *state;

	for (size_t n = 0; n < 8; n++) {
		size_t len = pkt_build_ip(frame, &ip, 1, data, n);

		l4xkit_expect_drop(k, frame, len, L4X_DROP_L4_SHORT);
	}
	l4xkit_expect_nothing(k);
}

static void
does_not_ping_multicast(void **state)
{
	struct l4xkit *k = *state;
	size_t len = echo("224.0.0.1", 1, 1, 56);

	l4xkit_expect_drop(k, frame, len, L4X_DROP_IP_DEST);
	len = echo("ff02::1", 1, 1, 56);
	l4xkit_expect_drop(k, frame, len, L4X_DROP_IP_DEST);
	l4xkit_expect_nothing(k);
}

static void
fragments_large_replies(void **state)
{
	struct l4xkit *k = *state;
	uint64_t flow = open_flow(k, "192.0.2.1", 500);
	const struct l4xkit_frame *f;
	uint32_t total = 0, n = 0;

	k->unchecked = true;
	answer(k, flow, true, 1, 4000);
	while ((f = l4xkit_frame(k)) != NULL) {
		total += f->len - 34;
		n++;
	}
	assert_int_equal(n, 3);
	assert_int_equal(total, 4008);
}

static void
limits_the_rate_of_errors_per_guest(void **state)
{
	struct l4xkit *k = *state;
	struct l4x_port_conf other = l4xkit_conf();
	struct rte_mbuf *m;
	struct pkt_ip ip = l4xkit_ip("10.0.2.99");
	size_t len = pkt_build_udp(frame, &ip, 1, 2, data, 10);

	other.pif = 2;
	assert_int_equal(l4x_port_set(k->l, &other), 0);
	l4x_port_link(k->l, 2, true, 0);
	for (unsigned int i = 0; i < 100; i++)
		l4xkit_rx(k, frame, len);
	assert_int_equal(l4xkit_counter(k, L4X_COUNT_ICMP_ERRORS), 64);
	assert_int_equal(l4xkit_counter(k, L4X_DROP_RATE), 36);
	/* Another guest is not made to suffer. */
	m = l4xkit_mbuf(k, frame, (uint32_t)len, 0, 0);
	l4x_rx_burst(k->l, 2, 0, &m, 1, k->now_us);
	l4xkit_collect(k);
	assert_int_equal(l4xkit_counter(k, L4X_COUNT_ICMP_ERRORS), 65);
	/* And they come back, one a millisecond. */
	l4xkit_advance(k, 10000);
	for (unsigned int i = 0; i < 100; i++)
		l4xkit_rx(k, frame, len);
	assert_int_equal(l4xkit_counter(k, L4X_COUNT_ICMP_ERRORS), 75);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(answers_echo_for_the_gateway_itself),
		T(answers_echo_whose_checksum_was_left_to_the_device),
		T(carries_echo_through_a_ping_socket_with_id_and_sequence_kept),
		T(errors_quote_the_request_that_failed),
		T(keeps_one_flow_per_id),
		T(drops_replies_too_short_for_a_header),
		T(echo_flows_expire),
		T(errors_of_routers_reach_who_pings),
		T(drops_other_types),
		T(drops_messages_cut_short),
		T(does_not_ping_multicast),
		T(fragments_large_replies),
		T(limits_the_rate_of_errors_per_guest),
	};

	l4xkit_eal("l4x_icmp");
	return cmocka_run_group_tests_name("l4x_icmp", tests, NULL, NULL);
}
