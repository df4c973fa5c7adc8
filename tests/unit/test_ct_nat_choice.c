/* SPDX-License-Identifier: BSD-3-Clause */
/* How translations are chosen: by what, in which slice, and how long it may take. */
#include "test_ct_nat_util.h"

/* ---- how it is chosen ---- */

static void
a_flow_that_comes_again_gets_the_same(void **state)
{
	struct ct_nat nat = snat("198.51.100.0", "198.51.100.255", 5000, 5999);
	struct flowtab_tuple first, again;
	struct ctkit k;

	for (unsigned int i = 0; i < 2; i++) {
		nat.choice = i == 0 ? CT_NAT_HASH : CT_NAT_PERSISTENT;
		ctkit_open(&k, NULL, 64);
		for (unsigned int n = 0; n < 20; n++) {
			struct ask a = nth(n, true);

			assert_int_equal(choose(&k, &a, &nat, &first), 0);
			assert_int_equal(choose(&k, &a, &nat, &again), 0);
			assert_memory_equal(&first, &again, sizeof(first));
		}
		ctkit_close(&k);
	}
}

static void
random_choices_differ_and_do_not_keep_the_port(void **state)
{
	struct ct_nat nat = snat("198.51.100.0", "198.51.100.255", 30000, 49999);
	unsigned int kept = 0, same_addr = 0;
	struct ask a = nth(0, true);
	struct flowtab_tuple r, last = { 0 };
	struct ctkit k;

	ctkit_open(&k, NULL, 64);
	nat.choice = CT_NAT_RANDOM;
	for (unsigned int n = 0; n < 100; n++) {
		assert_int_equal(choose(&k, &a, &nat, &r), 0);
		kept += sport_of(&r) == 40000;
		same_addr += flowtab_addr_eq(&r.oaddr, &last.oaddr);
		last = r;
	}
	assert_in_range(kept, 0, 5);
	assert_in_range(same_addr, 0, 10);
	/* where nobody has said which ports: it is */
	nat.src.port_min = 0;
	nat.src.port_max = 0;
	assert_int_equal(choose(&k, &a, &nat, &r), 0);
	assert_int_equal(sport_of(&r), 40000);
	/* the same of destinations */
	kept = 0;
	nat = dnat("", "", 400, 499);
	nat.choice = CT_NAT_RANDOM;
	for (unsigned int n = 0; n < 100; n++) {
		assert_int_equal(choose(&k, &a, &nat, &r), 0);
		kept += dport_of(&r) == 443;
	}
	assert_in_range(kept, 0, 10);
	ctkit_close(&k);
}

static void
the_ends_are_chosen_independently(void **state)
{
	struct ct_nat nat = dnat("10.9.9.0", "10.9.9.7", 80, 87);
	unsigned int same_addr = 0, same_port = 0, same_both = 0;
	struct flowtab_tuple r;
	struct ctkit k;

	nat.what |= CT_NAT_SRC;
	nat.src = range("198.51.100.0", "198.51.100.7", 80, 87);
	ctkit_open(&k, NULL, 64);
	for (unsigned int n = 0; n < 200; n++) {
		struct ask a = nth(n, true);

		assert_int_equal(choose(&k, &a, &nat, &r), 0);
		same_addr += r.oaddr.b[15] == r.eaddr.b[15];
		same_port += r.oport == r.eport;
		same_both += r.eaddr.b[15] == dport_of(&r) - 80;
	}
	assert_in_range(same_addr, 10, 45); /* one in eight */
	assert_in_range(same_port, 10, 45);
	assert_in_range(same_both, 10, 45);
	ctkit_close(&k);
}

static void
a_persistent_choice_gives_a_client_one_address(void **state)
{
	struct ct_nat nat = snat("198.51.100.0", "198.51.100.7", 0, 0);
	unsigned int used[8] = { 0 }, hashed = 0;
	struct flowtab_tuple first, r;
	struct ctkit k;

	nat.choice = CT_NAT_PERSISTENT;
	ctkit_open(&k, NULL, 64);
	for (unsigned int n = 0; n < 64; n++) {
		struct ask a = nth(n, true);

		assert_int_equal(choose(&k, &a, &nat, &first), 0);
		used[first.oaddr.b[15]]++;
		for (unsigned int i = 1; i < 10; i++) {
			a.dport = (uint16_t)i;
			a.dst = client(1000 + i, true);
			a.sport = (uint16_t)(40000 + i);
			assert_int_equal(choose(&k, &a, &nat, &r), 0);
			assert_true(flowtab_addr_eq(&r.oaddr, &first.oaddr));
			nat.choice = CT_NAT_HASH;
			assert_int_equal(choose(&k, &a, &nat, &r), 0);
			hashed += flowtab_addr_eq(&r.oaddr, &first.oaddr);
			nat.choice = CT_NAT_PERSISTENT;
		}
	}
	for (unsigned int i = 0; i < 8; i++)
		assert_in_range(used[i], 1, 20);
	assert_in_range(hashed, 30, 120); /* one in eight of 576 */
	/* the same of destinations: a client gets one server */
	nat = dnat("10.9.9.0", "10.9.9.7", 0, 0);
	nat.choice = CT_NAT_PERSISTENT;
	assert_int_equal(
		choose(&k, &(struct ask){ client(5, true), "192.0.2.1", 1, 80, 6 }, &nat, &first),
		0);
	assert_int_equal(
		choose(&k, &(struct ask){ client(5, true), "192.0.2.2", 2, 81, 6 }, &nat, &r), 0);
	assert_true(flowtab_addr_eq(&r.eaddr, &first.eaddr));
	ctkit_close(&k);
}

/**
 * Of a hash that mixes its salt into both ends alike and then XORs them, the salt would be gone:
 * who knows the addresses would know the choice.
 */
static void
choices_depend_on_the_secret_in_every_way(void **state)
{
	struct ct_nat nat = snat_one(true, 1024, 65535);
	uint16_t port[2][200][2];
	unsigned int same = 0, same_xor = 0;
	struct flowtab_tuple r;
	struct ctkit k;

	for (unsigned int i = 0; i < 2; i++) {
		const struct ct_params p = { .secret = { (uint8_t)(1 + i) } };

		ctkit_open(&k, &p, 64);
		for (unsigned int n = 0; n < 200; n++) {
			struct ask out = { client(n, true), client(n + 500, true), 999, 999,
				IPPROTO_UDP };
			struct ask in = { out.dst, out.src, 999, 999, IPPROTO_UDP };

			assert_int_equal(choose(&k, &out, &nat, &r), 0);
			port[i][n][0] = sport_of(&r);
			assert_int_equal(choose(&k, &in, &nat, &r), 0);
			port[i][n][1] = sport_of(&r);
		}
		ctkit_close(&k);
	}
	for (unsigned int n = 0; n < 200; n++) {
		same += port[0][n][0] == port[1][n][0];
		same_xor += (port[0][n][0] ^ port[0][n][1]) == (port[1][n][0] ^ port[1][n][1]);
	}
	assert_in_range(same, 0, 2);
	assert_in_range(same_xor, 0, 2);
}

/* ---- slices ---- */

/** Use up what one slice has of the range, from a port; counts how often each was chosen. */
static unsigned int
use_slice(
	struct ct_nat *nat, uint16_t slice, uint16_t n_slices, uint16_t sport, uint8_t used[65536])
{
	const struct ct_params params = { .slice = slice, .n_slices = n_slices };
	struct flowtab_tuple r;
	unsigned int n = 0;
	struct ctkit k;

	ctkit_open(&k, &params, 1024);
	for (;; n++) {
		struct ask a = nth(n, true);

		a.sport = sport;
		if (begin(&k, &a, nat, &r) != 0)
			break;
		used[sport_of(&r)]++;
	}
	ctkit_close(&k);
	return n;
}

/** All slices together: each port from min to max once, no other. */
static void
assert_covered(struct ct_nat *nat, uint16_t n_slices, uint16_t sport, uint16_t min, uint16_t max)
{
	uint8_t *used = calloc(65536, 1);
	unsigned int n, size = 1U + max - min;

	assert_non_null(used);
	for (uint16_t slice = 0; slice < n_slices; slice++) {
		n = use_slice(nat, slice, n_slices, sport, used);
		assert_in_range(n, size / n_slices, size / n_slices + 1);
	}
	for (unsigned int port = 0; port < 65536; port++)
		assert_int_equal(used[port], port >= min && port <= max);
	free(used);
}

static void
slices_share_no_port_and_use_all_to_their_edges(void **state)
{
	struct ct_nat nat = snat_one(true, 1100, 1199);

	assert_covered(&nat, 1, 40000, 1100, 1199);
	assert_covered(&nat, 3, 40000, 1100, 1199);
	assert_covered(&nat, 3, 1133, 1100, 1199);
	assert_covered(&nat, 64, 1150, 1100, 1199);
	nat = snat_one(true, 65500, 65535);
	assert_covered(&nat, 5, 65535, 65500, 65535);
	/* the classes */
	nat = snat_one(true, 0, 0);
	assert_covered(&nat, 4, 300, 1, 511);
	assert_covered(&nat, 4, 1023, 512, 1023);
}

static void
a_port_is_kept_in_its_own_slice_alone(void **state)
{
	static const uint16_t edges[] = { 1024, 33279, 33280, 65535 };
	struct flowtab_tuple r;
	struct ctkit k;

	for (uint16_t slice = 0; slice < 2; slice++) {
		const struct ct_params params = { .slice = slice, .n_slices = 2 };

		ctkit_open(&k, &params, 64);
		for (unsigned int i = 0; i < 2 * RTE_DIM(edges); i++) {
			uint16_t sport = edges[i / 2];
			struct ct_nat nat = snat_one(true, i & 1 ? 1024 : 0, i & 1 ? 65535 : 0);
			struct ask a = nth(i, true);

			a.sport = sport;
			assert_int_equal(choose(&k, &a, &nat, &r), 0);
			if (sport / 33280 == slice)
				assert_int_equal(sport_of(&r), sport);
			else
				assert_int_equal(sport_of(&r) / 33280, slice);
		}
		ctkit_close(&k);
	}
}

static void
a_slice_may_have_no_port_at_all(void **state)
{
	struct ct_nat nat = snat_one(true, 5000, 5002);
	uint8_t *used = calloc(65536, 1);
	unsigned int sum = 0;

	assert_non_null(used);
	for (uint16_t slice = 0; slice < 8; slice++)
		sum += use_slice(&nat, slice, 8, 5001, used);
	assert_int_equal(sum, 3);
	assert_int_equal(used[5000] & used[5001] & used[5002], 1);
	free(used);
}

static void
a_slice_without_ports_searches_no_addresses(void **state)
{
	const struct ct_params params = { .slice = 0, .n_slices = 2 };
	/* Of one port the second slice has all, and there are 2^62 addresses. */
	struct ct_nat nat = snat("2001:db8::", "2001:db9::", 5000, 5000);
	struct ask a = nth(0, false);
	struct flowtab_tuple r;
	struct ctkit k;

	ctkit_open(&k, &params, 64);
	for (uint16_t port = 4999; port <= 5001; port++) {
		a.sport = port;
		assert_int_equal(choose(&k, &a, &nat, &r), -ENOSPC);
	}
	ctkit_close(&k);
}

static void
destinations_are_everybodys(void **state)
{
	const struct ct_params params = { .slice = 2, .n_slices = 4 };
	struct ct_nat nat = dnat("10.9.9.9", "10.9.9.9", 80, 80);
	struct ask a = nth(0, true);
	struct flowtab_tuple r;
	struct ctkit k;

	ctkit_open(&k, &params, 64);
	a.sport = 65000;
	assert_int_equal(choose(&k, &a, &nat, &r), 0);
	assert_int_equal(dport_of(&r), 80);
	assert_int_equal(sport_of(&r), 65000);
	ctkit_close(&k);
}

/* ---- bounds ---- */

/** Flows of others that have the ports from port on at an address. */
static void
occupy(struct ctkit *k, const char *at, uint16_t port, unsigned int n)
{
	struct flowtab_tuple t;
	uint32_t idx;

	for (unsigned int i = 0; i < n; i++) {
		struct ask a = { "192.0.2.9", at, 443, (uint16_t)(port + i), IPPROTO_TCP };

		t = tuple_of(&a);
		t.pif = CTKIT_SERVER_PIF;
		idx = flow_new(k->ft, &t, k->now_ms, FLOWTAB_NEVER);
		flowtab_flows(k->ft)[idx].kind = FLOWTAB_KIND_TRACKED;
	}
}

static void
one_search_looks_at_4096_choices_at_most(void **state)
{
	struct ct_nat nat = snat_one(true, 10000, 15999);
	struct ask a = nth(0, true);
	struct flowtab_tuple r;
	struct ctkit k;

	ctkit_open(&k, NULL, 8192);
	occupy(&k, OUTSIDE4, 10000, 6000);
	for (uint8_t choice = CT_NAT_HASH; choice <= CT_NAT_PERSISTENT; choice++) {
		nat.choice = choice;
		k.now_ms++;
		assert_int_equal(choose(&k, &a, &nat, &r), -ENOSPC);
		assert_int_equal(k.ct->nat_vain, 4096);
	}
	/* the packet's own port is looked at once */
	nat = snat_one(true, 10000, 10099);
	a.sport = 10050;
	k.now_ms++;
	assert_int_equal(choose(&k, &a, &nat, &r), -ENOSPC);
	assert_int_equal(k.ct->nat_vain, 100);
	/* and of addresses: 4 billion of them */
	nat = snat("0.0.0.1", "255.255.255.255", 10000, 10000);
	nat.choice = CT_NAT_HASH;
	assert_int_equal(choose(&k, &a, &nat, &r), 0);
	ctkit_close(&k);
}

static void
one_search_looks_at_4096_addresses_at_most(void **state)
{
	struct ct_nat nat = snat("198.51.0.0", "198.51.255.255", 0, 0);
	struct ask a = { client(0, true), "192.0.2.9", 0, 0, 47 };
	struct flowtab_tuple t, r;
	uint32_t idx;
	struct ctkit k;

	ctkit_open(&k, NULL, 70000);
	for (unsigned int i = 0; i < 65536; i++) {
		t = tuple_of(&a);
		t.pif = CTKIT_SERVER_PIF;
		t.eaddr = addr("192.0.2.9");
		t.oaddr = flowtab_addr_v4(rte_cpu_to_be_32(0xc6330000 + i));
		idx = flow_new(k.ft, &t, k.now_ms, FLOWTAB_NEVER);
		flowtab_flows(k.ft)[idx].kind = FLOWTAB_KIND_TRACKED;
	}
	assert_int_equal(choose(&k, &a, &nat, &r), -ENOSPC);
	assert_int_equal(k.ct->nat_vain, 4096);
	ctkit_close(&k);
}

static void
a_client_stays_at_its_address_while_that_has_ports(void **state)
{
	struct ct_nat nat = snat("198.51.100.0", "198.51.100.255", 10000, 14999);
	struct flowtab_tuple first, r;
	char at[FLOWTAB_ADDR_STRLEN];
	struct ask a = nth(0, true);
	struct ctkit k;

	ctkit_open(&k, NULL, 8192);
	nat.choice = CT_NAT_PERSISTENT;
	assert_int_equal(choose(&k, &a, &nat, &first), 0);
	occupy(&k, flowtab_addr_format(&first.oaddr, at), 10000, 4900);
	for (unsigned int n = 0; n < 50; n++) {
		a.sport = (uint16_t)(1024 + n);
		assert_int_equal(begin(&k, &a, &nat, &r), 0);
		assert_true(flowtab_addr_eq(&r.oaddr, &first.oaddr));
	}
	ctkit_close(&k);
}

static void
addresses_that_are_used_up_do_not_hide_the_others(void **state)
{
	struct ct_nat nat = snat("198.51.100.1", "198.51.100.4", 10000, 14999);
	struct flowtab_tuple r;
	struct ctkit k;

	ctkit_open(&k, NULL, 16384);
	occupy(&k, "198.51.100.1", 10000, 5000);
	occupy(&k, "198.51.100.2", 10000, 5000);
	occupy(&k, "198.51.100.4", 10000, 5000);
	for (unsigned int n = 0; n < 50; n++) {
		struct ask a = nth(n, true);

		assert_int_equal(begin(&k, &a, &nat, &r), 0);
		assert_addr(&r.oaddr, "198.51.100.3");
	}
	ctkit_close(&k);
}

static void
a_range_that_is_nearly_used_up_is_searched_in_full(void **state)
{
	struct ct_nat nat = snat_one(true, 10000, 14000);
	struct flowtab_tuple r;
	struct ctkit k;

	ctkit_open(&k, NULL, 8192);
	occupy(&k, OUTSIDE4, 10000, 3333);
	occupy(&k, OUTSIDE4, 13334, 667);
	for (unsigned int n = 0; n < 200; n++) {
		struct ask a = nth(n, true);

		assert_int_equal(choose(&k, &a, &nat, &r), 0);
		assert_int_equal(sport_of(&r), 13333);
	}
	ctkit_close(&k);
}

static void
searches_in_vain_become_short_until_the_next_ms(void **state)
{
	struct ct_nat nat = snat_one(true, 10000, 14095);
	struct ask a = nth(0, true);
	struct flowtab_tuple r;
	struct ctkit k;

	ctkit_open(&k, NULL, 8192);
	occupy(&k, OUTSIDE4, 10000, 4096);
	assert_int_equal(choose(&k, &a, &nat, &r), -ENOSPC);
	assert_int_equal(k.ct->nat_vain, 4096);
	for (unsigned int n = 1; n <= 100; n++) {
		assert_int_equal(choose(&k, &a, &nat, &r), -ENOSPC);
		assert_int_equal(k.ct->nat_vain, 4096 + n * 64);
	}
	/* who asks for what there is enough of is not disturbed */
	nat = snat_one(true, 10000, 15999);
	for (unsigned int n = 0; n < 50; n++) {
		a = nth(n, true);
		assert_int_equal(choose(&k, &a, &nat, &r), 0);
	}
	k.now_ms++;
	nat.src.port_max = 14095;
	assert_int_equal(choose(&k, &a, &nat, &r), -ENOSPC);
	assert_int_equal(k.ct->nat_vain, 4096);
	ctkit_close(&k);
}

/* ---- ranges that cannot be ---- */

static void
ranges_of_the_other_family_or_upside_down_are_refused(void **state)
{
	const struct ct_nat wrong[2][4] = {
		{ snat(OUTSIDE4, OUTSIDE4, 0, 0), dnat("10.9.9.9", "10.9.9.9", 0, 0),
			snat(OUTSIDE6, OUTSIDE4, 0, 0), snat("fd00::2", "fd00::1", 0, 0) },
		{ snat(OUTSIDE6, OUTSIDE6, 0, 0), dnat("fd00::1", "fd00::1", 0, 0),
			snat(OUTSIDE4, OUTSIDE6, 0, 0), snat("10.0.1.0", "10.0.0.255", 0, 0) },
	};
	struct ct_nat nat;
	struct flowtab_tuple r;
	struct ctkit k;

	ctkit_open(&k, NULL, 64);
	for (unsigned int v4 = 0; v4 < 2; v4++) {
		struct ask a = nth(0, v4);

		for (unsigned int i = 0; i < RTE_DIM(wrong[v4]); i++) {
			assert_int_equal(choose(&k, &a, &wrong[v4][i], &r), -EINVAL);
			assert_addr(&r.oaddr, a.src);
			assert_addr(&r.eaddr, a.dst);
		}
		nat = snat_one(v4, 5001, 5000);
		assert_int_equal(choose(&k, &a, &nat, &r), -EINVAL);
		/* what is not asked for is not looked at */
		nat = dnat("", "", 80, 80);
		nat.src = wrong[v4][0].src;
		assert_int_equal(choose(&k, &a, &nat, &r), 0);
		nat = snat("", "", 80, 80);
		nat.dst = wrong[v4][1].dst;
		assert_int_equal(choose(&k, &a, &nat, &r), 0);
	}
	ctkit_close(&k);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_flow_that_comes_again_gets_the_same),
		cmocka_unit_test(random_choices_differ_and_do_not_keep_the_port),
		cmocka_unit_test(the_ends_are_chosen_independently),
		cmocka_unit_test(a_persistent_choice_gives_a_client_one_address),
		cmocka_unit_test(choices_depend_on_the_secret_in_every_way),
		cmocka_unit_test(slices_share_no_port_and_use_all_to_their_edges),
		cmocka_unit_test(a_port_is_kept_in_its_own_slice_alone),
		cmocka_unit_test(a_slice_may_have_no_port_at_all),
		cmocka_unit_test(a_slice_without_ports_searches_no_addresses),
		cmocka_unit_test(destinations_are_everybodys),
		cmocka_unit_test(one_search_looks_at_4096_choices_at_most),
		cmocka_unit_test(one_search_looks_at_4096_addresses_at_most),
		cmocka_unit_test(a_client_stays_at_its_address_while_that_has_ports),
		cmocka_unit_test(addresses_that_are_used_up_do_not_hide_the_others),
		cmocka_unit_test(a_range_that_is_nearly_used_up_is_searched_in_full),
		cmocka_unit_test(searches_in_vain_become_short_until_the_next_ms),
		cmocka_unit_test(ranges_of_the_other_family_or_upside_down_are_refused),
	};
	int rc;

	if (eal_start("256") < 0)
		return 1;
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	eal_stop();
	return rc;
}
