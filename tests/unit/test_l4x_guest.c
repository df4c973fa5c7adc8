/* SPDX-License-Identifier: BSD-3-Clause */
/* What is heard of a guest, and what the workers of one tell each other of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "l4xkit.h"

static uint8_t frame[PKT_MAX];
static const uint8_t data[1500];

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

static void
four_workers(struct l4x_params *params, struct l4x_port_conf *conf)
{
	conf->n_queues = 4;
	for (unsigned int i = 0; i < 4; i++)
		conf->queue_worker[i] = (uint8_t)i;
}

/* Some other card than that of the configuration. */
static const uint8_t other_mac[6] = { 0x52, 0x54, 0, 9, 9, 9 };

static size_t
arp_from(const uint8_t mac[6], const char *addr)
{
	struct pkt_addr a = pkt_addr(addr), g = pkt_addr("10.0.2.2");

	return pkt_build_arp(frame, l4xkit_gateway_mac, 1, mac, &a, l4xkit_guest_mac, &g);
}

static size_t
udp_from(const char *src, const char *dst)
{
	struct pkt_ip ip = l4xkit_ip(dst);

	ip.src = pkt_addr(src);
	memcpy(ip.src_mac, other_mac, 6);
	return pkt_build_udp(frame, &ip, 7, 7, data, 10);
}

/** One worker hears the frame; another takes what it is told. @return how many were told */
static unsigned int
hear(struct l4xkit *k, size_t len, struct l4xkit *other)
{
	struct rte_mbuf *m = l4xkit_mbuf(k, frame, (uint32_t)len, 0, 0);
	struct l4x_out *out = l4x_out(k->l);
	unsigned int told = 0;

	l4x_rx_burst(k->l, L4XKIT_PIF, 0, &m, 1, k->now_us);
	for (unsigned int i = 0; i < out->n_handover; i++) {
		struct l4x_frame copy = out->handover[i];

		if (copy.kind != L4X_FRAME_NEWS)
			continue;
		assert_int_equal(copy.worker, ++told);
		if (told != 1)
			continue;
		copy.m = rte_pktmbuf_copy(copy.m, other->pool, 0, UINT32_MAX);
		l4x_rx_handover(other->l, &copy, 1, other->now_us);
	}
	l4xkit_collect(k);
	l4xkit_discard(k);
	l4xkit_collect(other);
	assert_int_equal(other->n_handover, 0);
	l4xkit_expect_nothing(other);
	return told;
}

/** A datagram from outside goes to this address of the guest. */
static void
expect_inbound(struct l4xkit *k, const char *peer, const uint8_t mac[6], const char *addr)
{
	struct l4x_event ev = { .type = L4X_EV_LISTEN_DGRAM };
	static uint16_t port;

	ev.accepted.m = l4xkit_payload(k, data, 10);
	ev.accepted.peer = ev.accepted.local = l4xkit_addr(peer);
	ev.accepted.peer_port = ++port;
	ev.accepted.local_port = ev.accepted.guest_port = 7;
	ev.accepted.pif = L4XKIT_PIF;
	l4xkit_event(k, &ev);
	l4xkit_expect_frame(k);
	assert_memory_equal(k->view.dst_mac, mac, 6);
	assert_string_equal(pkt_addr_text(&k->view.dst), addr);
	l4xkit_discard(k);
}

/** A datagram of len bytes from outside to a guest. @return identification of its frames */
static uint16_t
number_of_inbound(struct l4xkit *k, uint16_t pif, uint32_t len)
{
	struct l4x_event ev = { .type = L4X_EV_LISTEN_DGRAM };
	static uint16_t port;
	uint16_t id;

	ev.accepted.m = l4xkit_payload(k, data, len);
	ev.accepted.peer = ev.accepted.local = l4xkit_addr("198.51.100.1");
	ev.accepted.peer_port = ++port;
	ev.accepted.local_port = ev.accepted.guest_port = 7;
	ev.accepted.pif = pif;
	l4xkit_event(k, &ev);
	id = pkt_get16(l4xkit_expect_frame(k)->bytes + 18);
	for (const struct l4xkit_frame *f; (f = l4xkit_frame(k)) != NULL;)
		assert_int_equal(pkt_get16(f->bytes + 18), id);
	l4xkit_discard(k);
	return id;
}

static void
numbers_what_it_fragments_for_each_guest_alone(void **state)
{
	struct l4xkit *k = *state;
	struct l4x_port_conf other = l4xkit_conf();
	uint16_t first, second;

	other.pif = 2;
	k->conf.mtu = other.mtu = 1280;
	assert_int_equal(l4x_port_set(k->l, &k->conf), 0);
	assert_int_equal(l4x_port_set(k->l, &other), 0);
	l4x_port_link(k->l, 2, true, 0);
	k->unchecked = true;
	first = number_of_inbound(k, L4XKIT_PIF, 1400);
	second = number_of_inbound(k, 2, 1400);
	for (uint16_t i = 1; i <= 3; i++) {
		/* What is sent whole needs none. */
		assert_int_equal(number_of_inbound(k, L4XKIT_PIF, 100), 0);
		assert_int_equal(number_of_inbound(k, L4XKIT_PIF, 1400), (uint16_t)(first + i));
	}
	assert_int_equal(number_of_inbound(k, 2, 1400), (uint16_t)(second + 1));
}

static void
a_heard_guest_keeps_its_card_when_the_configured_one_changes(void **state)
{
	struct l4xkit *k = *state;
	struct l4x_port_conf again = l4xkit_conf();

	again.guest_mac.addr_bytes[5] ^= 1;
	assert_int_equal(l4x_port_set(k->l, &again), 0);
	expect_inbound(k, "198.51.100.1", again.guest_mac.addr_bytes, "10.0.2.15");
	l4xkit_rx(k, frame, arp_from(other_mac, "10.0.2.15"));
	l4xkit_discard(k);
	again.guest_mac.addr_bytes[5] ^= 2;
	assert_int_equal(l4x_port_set(k->l, &again), 0);
	expect_inbound(k, "198.51.100.2", other_mac, "10.0.2.15");
}

static void
workers_are_told_of_a_card_that_is_the_configured_one_no_more(void **state)
{
	struct l4xkit *k = l4xkit_create(four_workers), *other = l4xkit_create(four_workers);

	assert_int_equal(hear(k, arp_from(l4xkit_guest_mac, "10.0.2.15"), other), 0);
	k->conf.guest_mac.addr_bytes[5] ^= 1;
	assert_int_equal(l4x_port_set(k->l, &k->conf), 0);
	assert_int_equal(l4x_port_set(other->l, &k->conf), 0);
	assert_int_equal(hear(k, arp_from(l4xkit_guest_mac, "10.0.2.15"), other), 3);
	expect_inbound(other, "198.51.100.1", l4xkit_guest_mac, "10.0.2.15");
	l4xkit_destroy(k);
	l4xkit_destroy(other);
}

static void
workers_that_hear_nothing_are_told_of_the_guests_addresses(void **state)
{
	struct l4xkit *k = l4xkit_create(four_workers), *other = l4xkit_create(four_workers);

	assert_int_equal(hear(k, arp_from(other_mac, "10.0.2.40"), other), 3);
	/* Once is enough, and what all know by configuration is not told. */
	assert_int_equal(hear(k, arp_from(other_mac, "10.0.2.40"), other), 0);
	expect_inbound(other, "198.51.100.1", other_mac, "10.0.2.40");
	expect_inbound(other, "2001:db8::1", other_mac, "fd00:2::15");
	l4xkit_destroy(k);
	k = l4xkit_create(four_workers);
	assert_int_equal(hear(k, arp_from(l4xkit_guest_mac, "0.0.0.0"), other), 0);
	assert_int_equal(hear(k, arp_from(l4xkit_guest_mac, "10.0.2.15"), other), 0);
	l4xkit_destroy(k);
	l4xkit_destroy(other);
}

static void
workers_are_told_of_an_ipv6_address_that_the_guest_made_itself(void **state)
{
	struct l4xkit *k = l4xkit_create(four_workers), *other = l4xkit_create(four_workers);
	const char *slaac = "fd00:2::5054:ff:fe09:909";

	hear(k, arp_from(other_mac, "0.0.0.0"), other);
	assert_int_equal(hear(k, udp_from(slaac, "2001:db8::9"), other), 3);
	expect_inbound(other, "2001:db8::7", other_mac, slaac);
	l4xkit_destroy(k);
	l4xkit_destroy(other);
}

static void
workers_are_told_nothing_of_an_address_that_nobody_has_heard(void **state)
{
	struct l4xkit *k = l4xkit_create(four_workers), *other = l4xkit_create(four_workers);
	struct pkt_addr none = pkt_addr("::"), own = pkt_addr("fd00:2::99");

	/* Only the card is news; then it shows that the address is not the one given to it. */
	assert_int_equal(hear(k, pkt_build_ns(frame, other_mac, &none, &own), other), 3);
	expect_inbound(other, "198.51.100.1", other_mac, "10.0.2.15");
	assert_int_equal(hear(k, arp_from(other_mac, "10.0.2.40"), other), 3);
	expect_inbound(other, "198.51.100.1", other_mac, "10.0.2.40");
	l4xkit_destroy(k);
	l4xkit_destroy(other);
}

static _Atomic uint32_t live = 1;

static void
one_live_queue(struct l4x_params *params, struct l4x_port_conf *conf)
{
	four_workers(params, conf);
	live = 1;
	conf->live_queues = &live;
}

static void
a_worker_whose_queues_come_into_use_later_is_told_again(void **state)
{
	struct l4xkit *k = l4xkit_create(one_live_queue), *other = l4xkit_create(one_live_queue);

	/* Its own link is not up yet: it remembers all the same. */
	l4x_port_link(other->l, L4XKIT_PIF, false, 0);
	assert_int_equal(hear(k, arp_from(other_mac, "10.0.2.40"), other), 3);
	l4x_port_link(other->l, L4XKIT_PIF, true, 0);
	expect_inbound(other, "198.51.100.1", other_mac, "10.0.2.40");
	/* The guest uses fewer queues for a while. */
	l4x_port_link(other->l, L4XKIT_PIF, false, 0);
	l4x_port_link(other->l, L4XKIT_PIF, true, 0);
	live = 4;
	assert_int_equal(hear(k, arp_from(other_mac, "10.0.2.40"), other), 3);
	expect_inbound(other, "198.51.100.1", other_mac, "10.0.2.40");
	l4xkit_destroy(k);
	l4xkit_destroy(other);
}

static void
a_guest_that_comes_back_with_other_addresses_is_reached_there(void **state)
{
	struct l4xkit *k = *state;

	l4xkit_rx(k, frame, arp_from(other_mac, "10.0.2.15"));
	l4xkit_rx(k, frame, udp_from("fd00:2::15", "2001:db8::9"));
	l4xkit_discard(k);
	expect_inbound(k, "198.51.100.1", other_mac, "10.0.2.15");
	l4x_port_link(k->l, L4XKIT_PIF, false, 0);
	l4x_port_link(k->l, L4XKIT_PIF, true, 0);
	l4xkit_rx(k, frame, arp_from(other_mac, "10.0.2.77"));
	l4xkit_rx(k, frame, udp_from("fd00:2::77", "2001:db8::9"));
	l4xkit_discard(k);
	expect_inbound(k, "198.51.100.1", other_mac, "10.0.2.77");
	expect_inbound(k, "2001:db8::1", other_mac, "fd00:2::77");
	/* And the other way round: what it had by itself is over. */
	l4x_port_link(k->l, L4XKIT_PIF, false, 0);
	l4x_port_link(k->l, L4XKIT_PIF, true, 0);
	expect_inbound(k, "198.51.100.1", other_mac, "10.0.2.15");
	expect_inbound(k, "2001:db8::1", other_mac, "fd00:2::15");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(a_heard_guest_keeps_its_card_when_the_configured_one_changes),
		cmocka_unit_test(workers_are_told_of_a_card_that_is_the_configured_one_no_more),
		cmocka_unit_test(workers_that_hear_nothing_are_told_of_the_guests_addresses),
		cmocka_unit_test(workers_are_told_of_an_ipv6_address_that_the_guest_made_itself),
		cmocka_unit_test(workers_are_told_nothing_of_an_address_that_nobody_has_heard),
		cmocka_unit_test(a_worker_whose_queues_come_into_use_later_is_told_again),
		T(a_guest_that_comes_back_with_other_addresses_is_reached_there),
		T(numbers_what_it_fragments_for_each_guest_alone),
	};

	l4xkit_eal("l4x_guest");
	return cmocka_run_group_tests_name("l4x_guest", tests, NULL, NULL);
}
