/* SPDX-License-Identifier: BSD-3-Clause */
/* Neighbour and router discovery. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "l4xkit.h"

#define GATEWAY_LL "fe80::57:45ff:fe49:5201"
#define GUEST_LL "fe80::5054:ff:fe12:3456"

static uint8_t frame[PKT_MAX];

static int
setup(void **state)
{
	*state = l4xkit_create(NULL);
	return 0;
}

static int
teardown(void **state)
{
	l4xkit_destroy(*state);
	return 0;
}

static size_t
ns(const char *from, const char *target)
{
	struct pkt_addr src = pkt_addr(from), t = pkt_addr(target);

	return pkt_build_ns(frame, l4xkit_guest_mac, &src, &t);
}

static void
expect_na(struct l4xkit *k, const char *from, const char *target, uint32_t flags, const char *to)
{
	struct pkt_addr t = pkt_addr(target), d = pkt_addr(to);

	l4xkit_rx(k, frame, ns(from, target));
	l4xkit_expect_frame(k);
	assert_int_equal(k->view.icmp_type, 136);
	assert_int_equal(k->view.icmp_rest >> 24, flags);
	assert_memory_equal(k->view.data, t.b, 16);
	assert_true(pkt_addr_eq(&k->view.src, &t));
	assert_true(pkt_addr_eq(&k->view.dst, &d));
	assert_int_equal(k->view.data[16], 2);
	assert_memory_equal(k->view.data + 18, l4xkit_gateway_mac, 6);
	l4xkit_expect_nothing(k);
}

static void
expect_silence(struct l4xkit *k, const char *from, const char *target)
{
	l4xkit_rx(k, frame, ns(from, target));
	l4xkit_expect_nothing(k);
}

static void
answers_for_the_gateway_its_link_local_and_the_prefix(void **state)
{
	expect_na(*state, "fd00:2::15", "fd00:2::2", 0xe0, "fd00:2::15");
	expect_na(*state, GUEST_LL, GATEWAY_LL, 0xe0, GUEST_LL);
	expect_na(*state, "fd00:2::15", "fd00:2::77", 0x60, "fd00:2::15");
}

static void
does_not_answer_for_the_guest_or_off_link(void **state)
{
	expect_silence(*state, GUEST_LL, "fd00:2::15");
	expect_silence(*state, "fd00:2::15", "2001:db8::1");
	expect_silence(*state, "fd00:2::15", "fe80::1");
}

static void
leaves_duplicate_detection_alone_but_defends_its_own(void **state)
{
	expect_silence(*state, "::", "fd00:2::15");
	expect_silence(*state, "::", "fd00:2::99");
	expect_silence(*state, "::", GUEST_LL);
	expect_na(*state, "::", "fd00:2::2", 0xa0, "ff02::1");
	expect_na(*state, "::", GATEWAY_LL, 0xa0, "ff02::1");
}

static void
drops_malformed_solicitations(void **state)
{
	struct l4xkit *k = *state;
	size_t len = ns("fd00:2::15", "fd00:2::2");

	frame[21] = 254;
	l4xkit_expect_drop(k, frame, len, L4X_DROP_ND_BAD);
	ns("fd00:2::15", "fd00:2::2");
	frame[55] = 1;
	pkt_fix_sums(frame, len);
	l4xkit_expect_drop(k, frame, len, L4X_DROP_ND_BAD);
	ns("fd00:2::15", "fd00:2::2");
	frame[79] = 0; /* an option of length 0 */
	pkt_fix_sums(frame, len);
	l4xkit_expect_drop(k, frame, len, L4X_DROP_ND_BAD);
	ns("fd00:2::15", "fd00:2::2");
	frame[79] = 2; /* and one longer than the message */
	pkt_fix_sums(frame, len);
	l4xkit_expect_drop(k, frame, len, L4X_DROP_ND_BAD);
	ns("fd00:2::15", "ff02::1");
	l4xkit_expect_drop(k, frame, len, L4X_DROP_ND_BAD);
	ns("fd00:2::15", "fd00:2::2");
	frame[len - 1] ^= 1;
	l4xkit_expect_drop(k, frame, len, L4X_DROP_L4_CHECKSUM);
	l4xkit_expect_nothing(k);
}

static void
drops_duplicate_detection_that_breaks_the_rules(void **state)
{
	struct pkt_ip ip = { .src = pkt_addr("::"), .dst = pkt_addr("fd00:2::2"), .ttl = 255 };
	struct pkt_addr target = pkt_addr("fd00:2::2");
	struct l4xkit *k = *state;
	uint8_t body[24] = { 0 };
	size_t len;

	memcpy(ip.src_mac, l4xkit_guest_mac, 6);
	memcpy(ip.dst_mac, l4xkit_gateway_mac, 6);
	memcpy(body, target.b, 16);
	/* Not to the solicited-node group. */
	len = pkt_build_icmp(frame, &ip, 135, 0, 0, body, 16);
	l4xkit_expect_drop(k, frame, len, L4X_DROP_ND_BAD);
	/* With a source link-layer option. */
	ip.dst = pkt_solicited_node(&target);
	body[16] = body[17] = 1;
	len = pkt_build_icmp(frame, &ip, 135, 0, 0, body, 24);
	l4xkit_expect_drop(k, frame, len, L4X_DROP_ND_BAD);
	l4xkit_expect_nothing(k);
}

static void
drops_solicitations_cut_short(void **state)
{
	struct pkt_ip ip = l4xkit_ip("fd00:2::2");
	struct l4xkit *k = *state;
	uint8_t body[24] = { 0xfd };

	ip.ttl = 255;
	body[16] = body[17] = 1;
	for (size_t n = 0; n < sizeof(body); n++) {
		if (n == 16)
			continue;
		l4xkit_expect_drop(
			k, frame, pkt_build_icmp(frame, &ip, 135, 0, 0, body, n), L4X_DROP_ND_BAD);
	}
	l4xkit_expect_nothing(k);
}

/** The ICMPv6 message of the frame, from its byte off on, behind a fragment header. */
static void
rx_piece(struct l4xkit *k, const uint8_t *whole, size_t off, size_t len, bool more)
{
	struct pkt_ip ip = l4xkit_ip("fd00:2::2");
	uint8_t ext[8] = { 58, 0, 0, 0, 0, 0, 0, 9 };

	pkt_put16(ext + 2, (uint16_t)(off | more));
	ip.options = ext;
	ip.options_len = sizeof(ext);
	ip.first_ext = 44;
	ip.ttl = 255;
	l4xkit_rx(k, frame, pkt_build_ip(frame, &ip, 58, whole + 54 + off, len));
}

static void
ignores_what_was_in_fragments(void **state)
{
	struct pkt_addr src = pkt_addr("fd00:2::15"), target = pkt_addr("fd00:2::2");
	struct l4xkit *k = *state;
	uint8_t whole[128];
	size_t len = pkt_build_ns(whole, l4xkit_guest_mac, &src, &target);

	/* To the gateway alone, as the pieces are. */
	memcpy(whole, l4xkit_gateway_mac, 6);
	memcpy(whole + 14 + 24, target.b, 16);
	pkt_fix_sums(whole, len);
	rx_piece(k, whole, 0, 24, true);
	rx_piece(k, whole, 24, len - 54 - 24, false);
	assert_int_equal(l4xkit_counter(k, L4X_DROP_ND_BAD), 1);
	rx_piece(k, whole, 0, len - 54, false);
	assert_int_equal(l4xkit_counter(k, L4X_DROP_ND_BAD), 2);
	l4xkit_expect_nothing(k);
	l4xkit_rx(k, whole, len);
	l4xkit_expect_frame(k);
}

static void
a_rogue_router_or_redirect_is_dropped(void **state)
{
	struct pkt_ip ip = l4xkit_ip("fd00:2::2");
	struct l4xkit *k = *state;
	uint8_t body[40] = { 0 };
	size_t len;

	ip.ttl = 255;
	len = pkt_build_icmp(frame, &ip, 134, 0, 0, body, 8);
	l4xkit_expect_drop(k, frame, len, L4X_DROP_ND_BAD);
	len = pkt_build_icmp(frame, &ip, 137, 0, 0, body, 32);
	l4xkit_expect_drop(k, frame, len, L4X_DROP_ND_BAD);
	/* A neighbour advertisement is no offence. */
	len = pkt_build_icmp(frame, &ip, 136, 0, 0, body, 16);
	l4xkit_rx(k, frame, len);
	assert_int_equal(l4xkit_counter(k, L4X_DROP_ND_BAD), 2);
	l4xkit_expect_nothing(k);
}

/** The option of this type in the RA last seen; NULL: absent. */
static const uint8_t *
ra_option(const struct l4xkit *k, uint8_t type)
{
	const uint8_t *o = k->view.data + 8, *end = k->view.data + k->view.data_len;

	for (; o < end; o += 8 * o[1]) {
		if (o[0] == type)
			return o;
	}
	return NULL;
}

static void
expect_ra(struct l4xkit *k, const char *to)
{
	struct pkt_addr d = pkt_addr(to), s = pkt_addr(GATEWAY_LL);

	l4xkit_expect_frame(k);
	assert_int_equal(k->view.icmp_type, 134);
	assert_true(pkt_addr_eq(&k->view.src, &s));
	assert_true(pkt_addr_eq(&k->view.dst, &d));
}

static void
advertises_all_that_a_guest_needs(void **state)
{
	static const uint8_t search[] = { 7, 'e', 'x', 'a', 'm', 'p', 'l', 'e', 3, 'o', 'r', 'g',
		0 };
	struct pkt_addr prefix = pkt_addr("fd00:2::"), dns = pkt_addr("fd00:2::2");
	struct pkt_addr src = pkt_addr(GUEST_LL);
	struct l4xkit *k = *state;
	const uint8_t *o;

	l4xkit_rx(k, frame, pkt_build_rs(frame, l4xkit_guest_mac, &src));
	expect_ra(k, GUEST_LL);
	assert_int_equal(k->view.icmp_rest, 64u << 24 | 0xc0u << 16 | 1800);
	o = ra_option(k, 3);
	assert_non_null(o);
	assert_int_equal(o[2], 64);
	assert_int_equal(o[3], 0xc0);
	assert_memory_equal(o + 16, prefix.b, 16);
	o = ra_option(k, 5);
	assert_non_null(o);
	assert_int_equal(pkt_get32(o + 4), 1500);
	o = ra_option(k, 1);
	assert_non_null(o);
	assert_memory_equal(o + 2, l4xkit_gateway_mac, 6);
	o = ra_option(k, 25);
	assert_non_null(o);
	assert_int_equal(o[1], 3);
	assert_memory_equal(o + 8, dns.b, 16);
	o = ra_option(k, 31);
	assert_non_null(o);
	assert_memory_equal(o + 8, search, sizeof(search));
	l4xkit_expect_nothing(k);
}

static void
answers_an_anonymous_solicitation_to_all_nodes(void **state)
{
	struct pkt_addr any = pkt_addr("::");
	struct l4xkit *k = *state;

	l4xkit_rx(k, frame, pkt_build_rs(frame, l4xkit_guest_mac, &any));
	expect_ra(k, "ff02::1");
	assert_memory_equal(k->view.dst_mac, "\x33\x33\0\0\0\1", 6);
}

static void
leaves_out_what_is_not_configured(void **state)
{
	struct pkt_addr src = pkt_addr(GUEST_LL);
	struct l4xkit *k = *state;

	k->conf.n_dns = 1; /* the IPv4 one */
	k->conf.search[0] = 0;
	k->conf.prefix6_len = 112;
	assert_int_equal(l4x_port_set(k->l, &k->conf), 0);
	l4xkit_rx(k, frame, pkt_build_rs(frame, l4xkit_guest_mac, &src));
	expect_ra(k, GUEST_LL);
	assert_null(ra_option(k, 25));
	assert_null(ra_option(k, 31));
	/* No addresses form themselves out of 112 bits. */
	assert_int_equal(ra_option(k, 3)[3], 0x80);
}

static void
advertises_three_times_soon_and_then_at_random_intervals(void **state)
{
	struct l4xkit *k = *state;
	uint64_t last = 0, gap;

	for (unsigned int i = 0; i < 20; i++) {
		while (true) {
			const struct l4xkit_frame *f;

			l4xkit_run(k, 1000000);
			f = l4xkit_frame(k);
			if (f != NULL)
				break;
		}
		assert_int_equal(k->view.icmp_type, 134);
		gap = k->now_us - last;
		if (i >= 1 && i < 3)
			assert_in_range(gap, 15000000, 17000000);
		if (i > 3)
			assert_in_range(gap, 199000000, 601000000);
		last = k->now_us;
	}
}

/** The last advertisement: neither router nor resolvers from now on. */
static void
expect_farewell(struct l4x_out *out)
{
	const uint8_t *f, *o, *end;
	unsigned int lifetimes = 0;

	assert_int_equal(out->n_frames, 1);
	f = rte_pktmbuf_mtod(out->frames[0].m, const uint8_t *);
	end = f + rte_pktmbuf_data_len(out->frames[0].m);
	assert_int_equal(f[54], 134);
	assert_int_equal(pkt_get16(f + 60), 0);
	for (o = f + 70; o < end; o += 8 * o[1]) {
		if (o[0] != 25 && o[0] != 31)
			continue;
		assert_int_equal(pkt_get32(o + 4), 0);
		lifetimes++;
	}
	assert_int_equal(lifetimes, 2);
}

static void
says_that_the_router_goes_on_shutdown(void **state)
{
	struct l4xkit *k = *state;

	while (l4x_shutdown(k->l, k->now_us) > 0)
		l4xkit_collect(k);
	expect_farewell(l4x_out(k->l));
	l4xkit_collect(k);
	l4xkit_discard(k);
	/* Once is enough. */
	l4x_shutdown(k->l, k->now_us);
	l4xkit_run(k, 20000000);
	l4xkit_expect_nothing(k);
}

static void
says_that_the_router_goes_when_its_port_does(void **state)
{
	struct l4xkit *k = *state;

	l4x_port_link(k->l, L4XKIT_PIF, false, 0);
	l4x_port_link(k->l, L4XKIT_PIF, true, 0);
	while (l4x_port_remove(k->l, L4XKIT_PIF) > 0)
		l4xkit_collect(k);
	expect_farewell(l4x_out(k->l));
	/* Where nobody listens nothing is said. */
	l4xkit_collect(k);
	l4xkit_discard(k);
	assert_int_equal(l4x_port_set(k->l, &k->conf), 0);
	while (l4x_port_remove(k->l, L4XKIT_PIF) > 0)
		l4xkit_collect(k);
	assert_int_equal(l4x_out(k->l)->n_frames, 0);
}

static void
second_worker(struct l4x_params *params, struct l4x_port_conf *conf)
{
	params->worker = 1;
	conf->n_queues = 2;
	conf->queue_worker[1] = 1;
}

static void
of_several_workers_one_advertises(void **state)
{
	struct l4xkit *k = l4xkit_create(second_worker);
	struct pkt_addr src = pkt_addr(GUEST_LL);

	l4xkit_run(k, 700000000);
	l4xkit_expect_nothing(k);
	/* Who is asked answers. */
	l4xkit_rx(k, frame, pkt_build_rs(frame, l4xkit_guest_mac, &src));
	expect_ra(k, GUEST_LL);
	l4x_shutdown(k->l, k->now_us);
	assert_int_equal(l4x_out(k->l)->n_frames, 0);
	l4xkit_destroy(k);
}

static void
advertises_nothing_while_the_link_is_down(void **state)
{
	struct l4xkit *k = *state;

	l4x_port_link(k->l, L4XKIT_PIF, false, 0);
	l4xkit_run(k, 20000000);
	l4xkit_expect_nothing(k);
	l4x_port_link(k->l, L4XKIT_PIF, true, 0);
	l4xkit_run(k, 1000000);
	expect_ra(k, "ff02::1");
}

static void
drops_bad_router_solicitations(void **state)
{
	struct pkt_addr src = pkt_addr(GUEST_LL);
	struct pkt_ip ip = l4xkit_ip("ff02::2");
	struct l4xkit *k = *state;
	uint8_t option[8] = { 1, 1 };
	size_t len = pkt_build_rs(frame, l4xkit_guest_mac, &src);

	frame[21] = 1;
	l4xkit_expect_drop(k, frame, len, L4X_DROP_ND_BAD);
	/* The unspecified address has no link-layer address to tell of. */
	ip.ttl = 255;
	ip.src = pkt_addr("::");
	len = pkt_build_icmp(frame, &ip, 133, 0, 0, option, 8);
	l4xkit_expect_drop(k, frame, len, L4X_DROP_ND_BAD);
	for (size_t n = 1; n < 8; n++) {
		len = pkt_build_icmp(frame, &ip, 133, 0, 0, option, n);
		l4xkit_expect_drop(k, frame, len, L4X_DROP_ND_BAD);
	}
	l4xkit_expect_nothing(k);
}

static void
survives_mutated_messages(void **state)
{
	struct l4xkit *k = *state;
	unsigned int seed = 4861;

	for (unsigned int i = 0; i < 20000; i++) {
		size_t len = ns("fd00:2::15", "fd00:2::2");

		for (unsigned int n = 1 + (unsigned int)rand_r(&seed) % 3; n > 0; n--)
			frame[54 + (size_t)rand_r(&seed) % (len - 54)] = (uint8_t)rand_r(&seed);
		pkt_fix_sums(frame, len);
		l4xkit_rx(k, frame, len);
		l4xkit_discard(k);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(answers_for_the_gateway_its_link_local_and_the_prefix),
		T(does_not_answer_for_the_guest_or_off_link),
		T(leaves_duplicate_detection_alone_but_defends_its_own),
		T(drops_malformed_solicitations),
		T(drops_duplicate_detection_that_breaks_the_rules),
		T(drops_solicitations_cut_short),
		T(ignores_what_was_in_fragments),
		T(a_rogue_router_or_redirect_is_dropped),
		T(advertises_all_that_a_guest_needs),
		T(answers_an_anonymous_solicitation_to_all_nodes),
		T(leaves_out_what_is_not_configured),
		T(advertises_three_times_soon_and_then_at_random_intervals),
		T(advertises_nothing_while_the_link_is_down),
		T(says_that_the_router_goes_on_shutdown),
		T(says_that_the_router_goes_when_its_port_does),
		cmocka_unit_test(of_several_workers_one_advertises),
		T(drops_bad_router_solicitations),
		T(survives_mutated_messages),
	};

	l4xkit_eal("l4x_nd");
	return cmocka_run_group_tests_name("l4x_nd", tests, NULL, NULL);
}
