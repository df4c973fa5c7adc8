/* SPDX-License-Identifier: BSD-3-Clause */
/* ARP: what the gateway answers, and what it must leave alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "l4xkit.h"

static uint8_t frame[PKT_MAX];
static const uint8_t broadcast[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
static const uint8_t none[6];

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
arp(uint16_t op, const char *sender, const char *target)
{
	struct pkt_addr spa = pkt_addr(sender), tpa = pkt_addr(target);

	return pkt_build_arp(frame, broadcast, op, l4xkit_guest_mac, &spa, none, &tpa);
}

static void
expect_reply(struct l4xkit *k, const char *sender, const char *target)
{
	struct pkt_addr spa = pkt_addr(sender), tpa = pkt_addr(target);

	l4xkit_rx(k, frame, arp(1, sender, target));
	l4xkit_expect_frame(k);
	assert_int_equal(k->view.arp_op, 2);
	assert_true(pkt_addr_eq(&k->view.src, &tpa));
	assert_true(pkt_addr_eq(&k->view.dst, &spa));
	assert_memory_equal(k->view.arp_sha, l4xkit_gateway_mac, 6);
	assert_memory_equal(k->view.arp_tha, l4xkit_guest_mac, 6);
	assert_memory_equal(k->view.dst_mac, l4xkit_guest_mac, 6);
	l4xkit_expect_nothing(k);
}

static void
expect_silence(struct l4xkit *k, uint16_t op, const char *sender, const char *target)
{
	l4xkit_rx(k, frame, arp(op, sender, target));
	l4xkit_expect_nothing(k);
}

static void
answers_for_the_gateway_and_all_of_the_subnet(void **state)
{
	expect_reply(*state, "10.0.2.15", "10.0.2.2");
	expect_reply(*state, "10.0.2.15", "10.0.2.1");
	expect_reply(*state, "10.0.2.15", "10.0.2.254");
	assert_int_equal(l4xkit_counter(*state, L4X_COUNT_ARP_REPLIES), 3);
}

static void
does_not_answer_for_the_guest_itself(void **state)
{
	expect_silence(*state, 1, "10.0.2.15", "10.0.2.15");
	expect_silence(*state, 1, "10.0.2.99", "10.0.2.15");
}

static void
does_not_answer_outside_of_the_subnet(void **state)
{
	expect_silence(*state, 1, "10.0.2.15", "192.0.2.1");
	expect_silence(*state, 1, "10.0.2.15", "10.0.2.255");
}

static void
leaves_probes_for_free_addresses_unanswered_and_defends_its_own(void **state)
{
	expect_silence(*state, 1, "0.0.0.0", "10.0.2.15");
	expect_silence(*state, 1, "0.0.0.0", "10.0.2.77");
	expect_reply(*state, "0.0.0.0", "10.0.2.2");
}

static void
ignores_gratuitous_arp_and_replies(void **state)
{
	expect_silence(*state, 1, "10.0.2.77", "10.0.2.77");
	expect_silence(*state, 2, "10.0.2.77", "10.0.2.2");
}

static void
answers_for_the_address_that_stands_for_loopback(void **state)
{
	struct l4xkit *k = *state;

	k->conf.loopback = l4xkit_addr("10.9.9.9");
	assert_int_equal(l4x_port_set(k->l, &k->conf), 0);
	expect_reply(k, "10.0.2.15", "10.9.9.9");
}

static void
does_not_answer_for_an_address_the_guest_really_uses(void **state)
{
	struct l4xkit *k = *state;
	struct pkt_ip ip = l4xkit_ip("192.0.2.1");

	ip.src = pkt_addr("10.0.2.44");
	l4xkit_rx(k, frame, pkt_build_udp(frame, &ip, 5, 6, "x", 1));
	l4xkit_discard(k);
	expect_silence(k, 1, "10.0.2.15", "10.0.2.44");
}

static void
drops_malformed_arp(void **state)
{
	static const uint8_t spoil[] = { 15, 16, 18, 19, 22 };
	struct l4xkit *k = *state;
	size_t len = arp(1, "10.0.2.15", "10.0.2.2");

	for (unsigned int i = 0; i < sizeof(spoil); i++) {
		arp(1, "10.0.2.15", "10.0.2.2");
		frame[spoil[i]] ^= 0x10;
		l4xkit_expect_drop(k, frame, len, L4X_DROP_ARP_BAD);
	}
	arp(1, "10.0.2.15", "10.0.2.2");
	for (size_t cut = 14; cut < len; cut++)
		l4xkit_expect_drop(k, frame, cut, L4X_DROP_ARP_BAD);
	l4xkit_expect_nothing(k);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(answers_for_the_gateway_and_all_of_the_subnet),
		T(does_not_answer_for_the_guest_itself),
		T(does_not_answer_outside_of_the_subnet),
		T(leaves_probes_for_free_addresses_unanswered_and_defends_its_own),
		T(ignores_gratuitous_arp_and_replies),
		T(answers_for_the_address_that_stands_for_loopback),
		T(does_not_answer_for_an_address_the_guest_really_uses),
		T(drops_malformed_arp),
	};

	l4xkit_eal("l4x_arp");
	return cmocka_run_group_tests_name("l4x_arp", tests, NULL, NULL);
}
