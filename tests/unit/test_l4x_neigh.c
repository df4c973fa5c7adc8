/* SPDX-License-Identifier: BSD-3-Clause */
/* Which port of a network has an address. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "l4x_priv.h"
#include "l4xkit.h"

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

/* Port 1 is the kit's: 10.0.2.15, network 0, zone 0. */
static struct l4x_port_conf
conf_of(uint16_t pif, const char *address, const char *address6)
{
	struct l4x_port_conf c = l4xkit_conf();

	c.pif = pif;
	c.address = l4xkit_addr(address);
	c.address6 = l4xkit_addr(address6);
	return c;
}

static uint16_t
neighbour(struct l4xkit *k, uint16_t pif, const char *address)
{
	const struct flowtab_addr a = l4xkit_addr(address);

	return l4x_neighbour(k->l, &k->l->ports[pif], &a);
}

static void
ports_of_one_network_and_zone_are_neighbours(void **state)
{
	struct l4xkit *k = *state;
	const struct l4x_port_conf c = conf_of(2, "10.0.2.16", "fd00:2::16");

	assert_int_equal(neighbour(k, 1, "10.0.2.16"), 0);
	assert_int_equal(l4x_port_set(k->l, &c), 0);
	assert_int_equal(neighbour(k, 1, "10.0.2.16"), 2);
	assert_int_equal(neighbour(k, 1, "fd00:2::16"), 2);
	assert_int_equal(neighbour(k, 2, "10.0.2.15"), 1);
	assert_int_equal(neighbour(k, 1, "10.0.2.17"), 0);
}

static void
a_port_is_no_neighbour_of_its_own(void **state)
{
	assert_int_equal(neighbour(*state, 1, "10.0.2.15"), 0);
	assert_int_equal(neighbour(*state, 1, "fd00:2::15"), 0);
}

static void
ports_of_other_networks_or_zones_are_none(void **state)
{
	struct l4xkit *k = *state;
	struct l4x_port_conf c = conf_of(2, "10.0.2.16", "fd00:2::16");

	c.zone = 1;
	assert_int_equal(l4x_port_set(k->l, &c), 0);
	c = conf_of(3, "10.0.2.17", "fd00:2::17");
	c.network = 1;
	assert_int_equal(l4x_port_set(k->l, &c), 0);
	assert_int_equal(neighbour(k, 1, "10.0.2.16"), 0);
	assert_int_equal(neighbour(k, 1, "10.0.2.17"), 0);
	assert_int_equal(neighbour(k, 2, "10.0.2.15"), 0);
	/* In another world they may have the same address. */
	c = conf_of(4, "10.0.2.15", "fd00:2::15");
	c.zone = 1;
	assert_int_equal(l4x_port_set(k->l, &c), 0);
	assert_int_equal(neighbour(k, 2, "10.0.2.15"), 4);
	assert_int_equal(neighbour(k, 4, "fd00:2::16"), 2);
}

static void
a_family_that_a_port_does_not_have_is_not_found(void **state)
{
	struct l4xkit *k = *state;
	struct l4x_port_conf c = conf_of(2, "10.0.2.16", "fd00:2::16");

	c.ipv6 = false;
	assert_int_equal(l4x_port_set(k->l, &c), 0);
	assert_int_equal(neighbour(k, 1, "10.0.2.16"), 2);
	assert_int_equal(neighbour(k, 1, "fd00:2::16"), 0);
	assert_int_equal(neighbour(k, 2, "fd00:2::15"), 0);
}

static void
ports_that_change_or_go_are_found_no_more(void **state)
{
	struct l4xkit *k = *state;
	struct l4x_port_conf c = conf_of(2, "10.0.2.16", "fd00:2::16");

	assert_int_equal(l4x_port_set(k->l, &c), 0);
	/* Two that swap their addresses, one after the other. */
	c = conf_of(1, "10.0.2.16", "fd00:2::16");
	assert_int_equal(l4x_port_set(k->l, &c), 0);
	c = conf_of(2, "10.0.2.15", "fd00:2::15");
	assert_int_equal(l4x_port_set(k->l, &c), 0);
	assert_int_equal(neighbour(k, 1, "10.0.2.15"), 2);
	assert_int_equal(neighbour(k, 2, "10.0.2.16"), 1);
	assert_int_equal(l4x_port_remove(k->l, 2), 0);
	assert_int_equal(neighbour(k, 1, "10.0.2.15"), 0);
}

static void
every_port_that_there_can_be_is_found(void **state)
{
	struct l4xkit *k = *state;
	struct l4x_port_conf c;
	char a4[32], a6[32];

	for (unsigned int i = 2; i < L4X_MAX_PIFS; i++) {
		snprintf(a4, sizeof(a4), "10.0.%u.%u", i >> 8, i & 255);
		snprintf(a6, sizeof(a6), "fd00:2::1:%x", i);
		c = conf_of((uint16_t)i, a4, a6);
		c.prefix_len = 16;
		assert_int_equal(l4x_port_set(k->l, &c), 0);
	}
	assert_int_equal(neighbour(k, 2, "10.0.3.255"), 1023);
	assert_int_equal(neighbour(k, 2, "fd00:2::1:3ff"), 1023);
	assert_int_equal(neighbour(k, 1023, "fd00:2::1:2"), 2);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(ports_of_one_network_and_zone_are_neighbours),
		T(a_port_is_no_neighbour_of_its_own),
		T(ports_of_other_networks_or_zones_are_none),
		T(a_family_that_a_port_does_not_have_is_not_found),
		T(ports_that_change_or_go_are_found_no_more),
		T(every_port_that_there_can_be_is_found),
	};

	l4xkit_eal("l4xneigh");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
