/* SPDX-License-Identifier: BSD-3-Clause */
/* Which address stands for which, and which worker owns what. Private functions, no context. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <errno.h>

#include <cmocka.h>

#include "l4x_priv.h"
#include "l4xkit.h"

static const uint8_t key[16] = "fedcba987654321";

static struct l4x_port
port(void)
{
	struct l4x_port p = { .conf = l4xkit_conf(), .present = true, .up = true };

	p.linklocal6 = l4xkit_addr("fe80::57:45ff:fe49:5201");
	return p;
}

static struct flowtab_tuple
tuple(const char *src, const char *dst, uint8_t proto, uint16_t dport)
{
	struct flowtab_tuple t = { .proto = proto, .pif = 1 };

	t.eaddr = l4xkit_addr(src);
	t.oaddr = l4xkit_addr(dst);
	t.eport = rte_cpu_to_be_16(1000);
	t.oport = rte_cpu_to_be_16(dport);
	return t;
}

static void
expect_out(
	const struct l4x_port *p, const char *dst, uint8_t proto, uint16_t dport, const char *peer)
{
	struct flowtab_tuple g =
		tuple(strchr(dst, ':') != NULL ? "fd00:2::15" : "10.0.2.15", dst, proto, dport);
	struct flowtab_tuple h;
	char buf[FLOWTAB_ADDR_STRLEN];
	int rc = l4x_outbound(p, &g, &h);

	if (peer == NULL) {
		assert_int_equal(rc, -EHOSTUNREACH);
		return;
	}
	assert_int_equal(rc, 0);
	assert_string_equal(flowtab_addr_format(&h.eaddr, buf), peer);
	assert_int_equal(h.eport, g.oport);
	assert_int_equal(h.proto, proto);
	assert_int_equal(h.oport, 0);
}

static void
the_world_is_reached_as_it_is(void **state)
{
	struct l4x_port p = port();

	expect_out(&p, "192.0.2.1", IPPROTO_TCP, 80, "192.0.2.1");
	expect_out(&p, "2001:db8::1", IPPROTO_UDP, 80, "2001:db8::1");
}

static void
what_is_nobodys_or_only_the_hosts_is_not_carried(void **state)
{
	static const char *const none[] = { "10.0.2.2", "10.0.2.77", "10.0.2.255", "127.0.0.1",
		"127.9.9.9", "0.0.0.0", "0.0.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
		"fd00:2::2", "fd00:2::77", "fe80::1", "fe80::57:45ff:fe49:5201", "::", "::1",
		"::127.0.0.1", "ff02::1", "169.254.169.254" };
	struct l4x_port p = port();

	for (unsigned int i = 0; i < RTE_DIM(none); i++)
		expect_out(&p, none[i], IPPROTO_TCP, 80, NULL);
}

static void
the_gateway_stands_for_loopback_only_when_told_so(void **state)
{
	struct l4x_port p = port();

	expect_out(&p, "10.0.2.2", IPPROTO_TCP, 80, NULL);
	p.conf.loopback = l4xkit_addr("10.0.2.2");
	p.conf.loopback6 = l4xkit_addr("fd00:9::1");
	expect_out(&p, "10.0.2.2", IPPROTO_TCP, 80, "127.0.0.1");
	expect_out(&p, "fd00:9::1", IPPROTO_TCP, 80, "::1");
	expect_out(&p, "fd00:2::2", IPPROTO_TCP, 80, NULL);
}

static void
port_53_of_the_gateway_goes_to_the_resolver(void **state)
{
	struct l4x_port p = port();

	p.conf.dns_forward = l4xkit_addr("127.0.0.53");
	p.conf.loopback = l4xkit_addr("10.0.2.2");
	expect_out(&p, "10.0.2.2", IPPROTO_UDP, 53, "127.0.0.53");
	expect_out(&p, "fd00:2::2", IPPROTO_TCP, 53, "127.0.0.53");
	expect_out(&p, "10.0.2.2", IPPROTO_UDP, 54, "127.0.0.1");
	expect_out(&p, "192.0.2.1", IPPROTO_UDP, 53, "192.0.2.1");
	/* An echo with that id is none. */
	expect_out(&p, "10.0.2.2", IPPROTO_ICMP, 53, "127.0.0.1");
}

static struct l4x_event
accepted(const char *peer)
{
	struct l4x_event ev = { .type = L4X_EV_ACCEPTED };

	ev.accepted.peer = l4xkit_addr(peer);
	ev.accepted.local = l4xkit_addr("203.0.113.1");
	ev.accepted.peer_port = rte_cpu_to_be_16(40000);
	ev.accepted.local_port = rte_cpu_to_be_16(8080);
	ev.accepted.guest_port = rte_cpu_to_be_16(80);
	ev.accepted.pif = 1;
	return ev;
}

static void
expect_in(const struct l4x_port *p, const char *peer, const char *as, const char *guest)
{
	struct l4x_event ev = accepted(peer);
	struct flowtab_tuple g, h;
	char buf[FLOWTAB_ADDR_STRLEN];
	int rc = l4x_inbound(p, &ev, IPPROTO_TCP, &g, &h);

	if (as == NULL) {
		assert_int_equal(rc, -EAFNOSUPPORT);
		return;
	}
	assert_int_equal(rc, 0);
	assert_string_equal(flowtab_addr_format(&g.oaddr, buf), as);
	assert_string_equal(flowtab_addr_format(&g.eaddr, buf), guest);
	assert_int_equal(g.eport, rte_cpu_to_be_16(80));
	assert_int_equal(g.oport, rte_cpu_to_be_16(40000));
	assert_int_equal(g.pif, 1);
	assert_string_equal(flowtab_addr_format(&h.eaddr, buf), peer);
	assert_int_equal(h.oport, rte_cpu_to_be_16(8080));
	assert_int_equal(h.pif, FLOWTAB_PIF_HOST);
}

static void
peers_appear_as_themselves_when_the_guest_can_answer(void **state)
{
	struct l4x_port p = port();

	expect_in(&p, "198.51.100.1", "198.51.100.1", "10.0.2.15");
	expect_in(&p, "2001:db8::1", "2001:db8::1", "fd00:2::15");
}

static void
peers_that_cannot_be_answered_appear_as_the_gateway(void **state)
{
	struct l4x_port p = port();

	expect_in(&p, "127.0.0.1", "10.0.2.2", "10.0.2.15");
	expect_in(&p, "169.254.1.1", "10.0.2.2", "10.0.2.15");
	expect_in(&p, "10.0.2.15", "10.0.2.2", "10.0.2.15");
	expect_in(&p, "::1", "fd00:2::2", "fd00:2::15");
	expect_in(&p, "fe80::9", "fd00:2::2", "fd00:2::15");
	expect_in(&p, "fd00:2::15", "fd00:2::2", "fd00:2::15");
	p.conf.loopback = l4xkit_addr("10.9.9.9");
	p.conf.loopback6 = l4xkit_addr("fd00:9::9");
	expect_in(&p, "127.0.0.1", "10.9.9.9", "10.0.2.15");
	expect_in(&p, "::1", "fd00:9::9", "fd00:2::15");
}

static void
a_family_that_the_guest_lacks_is_refused_but_for_local_peers(void **state)
{
	struct l4x_port p = port();

	p.conf.ipv6 = false;
	expect_in(&p, "2001:db8::1", NULL, NULL);
	expect_in(&p, "::1", "10.0.2.2", "10.0.2.15");
	p.conf.ipv6 = true;
	p.conf.ipv4 = false;
	expect_in(&p, "198.51.100.1", NULL, NULL);
	expect_in(&p, "127.0.0.1", "fd00:2::2", "fd00:2::15");
}

static void
uses(struct l4x_port *p, const char *text)
{
	const struct flowtab_addr a = l4xkit_addr(text);

	l4x_guest_uses(p, &a);
}

static void
connections_go_to_the_address_the_guest_uses(void **state)
{
	struct l4x_port p = port();

	uses(&p, "10.0.2.99");
	uses(&p, "fd00:2::99");
	expect_in(&p, "198.51.100.1", "198.51.100.1", "10.0.2.99");
	expect_in(&p, "2001:db8::1", "2001:db8::1", "fd00:2::99");
	uses(&p, "fe80::99");
	uses(&p, "169.254.9.9");
	expect_in(&p, "198.51.100.1", "198.51.100.1", "10.0.2.99");
	expect_in(&p, "2001:db8::1", "2001:db8::1", "fd00:2::99");
	/* Given to it and used: whatever other addresses it has besides. */
	uses(&p, "10.0.2.15");
	uses(&p, "fd00:2::15");
	uses(&p, "10.0.2.99");
	uses(&p, "fd00:2::99");
	expect_in(&p, "198.51.100.1", "198.51.100.1", "10.0.2.15");
	expect_in(&p, "2001:db8::1", "2001:db8::1", "fd00:2::15");
}

static void
both_directions_are_steered_to_one_worker(void **state)
{
	struct l4x_port p = port();
	struct flowtab_tuple g, h;
	unsigned int hits[4] = { 0 };

	p.conf.n_queues = 8;
	for (unsigned int i = 0; i < 8; i++)
		p.conf.queue_worker[i] = (uint8_t)(i % 4);
	for (unsigned int i = 0; i < 4000; i++) {
		struct l4x_event ev = accepted(i % 3 == 0 ? "127.0.0.1" : "198.51.100.1");
		uint8_t w;

		ev.accepted.peer_port = rte_cpu_to_be_16((uint16_t)(1 + i));
		w = l4x_steer_inbound(&p.conf, key, &ev, IPPROTO_TCP);
		/* Whatever address the worker thinks the guest has. */
		p.guest.seen4 = l4xkit_addr(i % 2 == 0 ? "10.0.2.50" : "10.0.2.51");
		assert_int_equal(l4x_inbound(&p, &ev, IPPROTO_TCP, &g, &h), 0);
		assert_int_equal(l4x_steer(&p.conf, key, &g), w);
		assert_true(w < 4);
		hits[w]++;
	}
	for (unsigned int i = 0; i < 4; i++)
		assert_in_range(hits[i], 800, 1200);
}

static void
steering_depends_on_the_key(void **state)
{
	static const uint8_t other[16] = "another key 123";
	struct l4x_port p = port();
	struct flowtab_tuple t = tuple("10.0.2.15", "192.0.2.1", IPPROTO_TCP, 80);
	unsigned int differ = 0;

	p.conf.n_queues = 64;
	for (unsigned int i = 0; i < 64; i++)
		p.conf.queue_worker[i] = (uint8_t)i;
	for (unsigned int i = 1; i < 1000; i++) {
		t.eport = rte_cpu_to_be_16((uint16_t)i);
		differ += l4x_steer(&p.conf, key, &t) != l4x_steer(&p.conf, other, &t);
	}
	assert_true(differ > 900);
}

static void
knows_broadcast_addresses_of_any_prefix(void **state)
{
	struct l4x_port_conf c = l4xkit_conf();
	struct flowtab_addr a = l4xkit_addr("10.0.2.255");

	assert_true(l4x_addr_is_broadcast(&c, &a));
	a = l4xkit_addr("10.0.2.0");
	assert_true(l4x_addr_is_broadcast(&c, &a));
	c.prefix_len = 16;
	assert_false(l4x_addr_is_broadcast(&c, &a));
	a = l4xkit_addr("10.0.255.255");
	assert_true(l4x_addr_is_broadcast(&c, &a));
	/* Of another network nothing is known. */
	a = l4xkit_addr("10.1.255.255");
	assert_false(l4x_addr_is_broadcast(&c, &a));
	c.prefix_len = 31;
	a = l4xkit_addr("10.0.2.3");
	assert_false(l4x_addr_is_broadcast(&c, &a));
	c.prefix_len = 32;
	assert_false(l4x_addr_is_broadcast(&c, &a));
	a = l4xkit_addr("255.255.255.255");
	assert_true(l4x_addr_is_broadcast(&c, &a));
	a = l4xkit_addr("ff02::1");
	assert_false(l4x_addr_is_broadcast(&c, &a));
}

static void
search_lists_become_dns_names(void **state)
{
	uint8_t out[L4X_NAMES_MAX];
	char label[80] = { 0 };

	assert_int_equal(l4x_names_encode("", out, sizeof(out)), 0);
	assert_int_equal(l4x_names_encode("a.b  c.", out, sizeof(out)), 8);
	assert_memory_equal(out, "\1a\1b\0\1c\0", 8);
	/* What is no name is left out. */
	assert_int_equal(l4x_names_encode("a..b .x c", out, sizeof(out)), 3);
	memset(label, 'x', 63);
	assert_int_equal(l4x_names_encode(label, out, sizeof(out)), 65);
	label[63] = 'x';
	assert_int_equal(l4x_names_encode(label, out, sizeof(out)), 0);
	/* Nor is what does not fit. */
	assert_int_equal(l4x_names_encode("abc de f", out, 9), 9);
	assert_int_equal(l4x_names_encode("abc de", out, 8), 5);
}

static void
every_counter_has_a_name_and_help(void **state)
{
	unsigned int drops = 0;

	for (unsigned int i = 0; i < L4X_COUNTERS; i++) {
		assert_non_null(l4x_counter_info[i].name);
		assert_non_null(l4x_counter_info[i].help);
		drops += l4x_counter_info[i].is_drop;
		for (unsigned int j = 0; j < i; j++)
			assert_string_not_equal(l4x_counter_info[i].name, l4x_counter_info[j].name);
	}
	assert_int_equal(drops, L4X_DROP_LAST);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_world_is_reached_as_it_is),
		cmocka_unit_test(what_is_nobodys_or_only_the_hosts_is_not_carried),
		cmocka_unit_test(the_gateway_stands_for_loopback_only_when_told_so),
		cmocka_unit_test(port_53_of_the_gateway_goes_to_the_resolver),
		cmocka_unit_test(peers_appear_as_themselves_when_the_guest_can_answer),
		cmocka_unit_test(peers_that_cannot_be_answered_appear_as_the_gateway),
		cmocka_unit_test(a_family_that_the_guest_lacks_is_refused_but_for_local_peers),
		cmocka_unit_test(connections_go_to_the_address_the_guest_uses),
		cmocka_unit_test(both_directions_are_steered_to_one_worker),
		cmocka_unit_test(steering_depends_on_the_key),
		cmocka_unit_test(knows_broadcast_addresses_of_any_prefix),
		cmocka_unit_test(search_lists_become_dns_names),
		cmocka_unit_test(every_counter_has_a_name_and_help),
	};

	return cmocka_run_group_tests_name("l4x_addr", tests, NULL, NULL);
}
