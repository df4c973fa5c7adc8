/* SPDX-License-Identifier: BSD-3-Clause */
/* What flows are translated to. */
#include "test_ct_nat_util.h"

/* ---- sources ---- */

static void
the_first_flow_keeps_its_port(void **state)
{
	for (unsigned int v4 = 0; v4 < 2; v4++) {
		struct ct_nat nat = snat_one(v4, 0, 0);
		struct flowtab_tuple r;
		struct ask a = nth(0, v4), b = nth(1, v4), c = nth(2, v4);
		struct ctkit k;

		ctkit_open(&k, NULL, 64);
		assert_int_equal(begin(&k, &a, &nat, &r), 0);
		assert_addr(&r.oaddr, outside(v4));
		assert_int_equal(sport_of(&r), 40000);
		assert_addr(&r.eaddr, a.dst);
		assert_int_equal(dport_of(&r), 443);
		/* the same port of another client to the same service */
		assert_int_equal(begin(&k, &b, &nat, &r), 0);
		assert_addr(&r.oaddr, outside(v4));
		assert_in_range(sport_of(&r), 1024, 65535);
		assert_int_not_equal(sport_of(&r), 40000);
		/* to another service it is free */
		c.dport = 80;
		assert_int_equal(begin(&k, &c, &nat, &r), 0);
		assert_int_equal(sport_of(&r), 40000);
		ctkit_close(&k);
	}
}

static void
a_port_in_the_range_is_kept_and_any_other_is_not(void **state)
{
	struct ct_nat nat = snat_one(true, 5000, 5009);
	struct flowtab_tuple r;
	struct ask a = nth(0, true), b = nth(1, true);
	struct ctkit k;

	ctkit_open(&k, NULL, 64);
	a.sport = 5009;
	assert_int_equal(begin(&k, &a, &nat, &r), 0);
	assert_int_equal(sport_of(&r), 5009);
	assert_int_equal(begin(&k, &b, &nat, &r), 0);
	assert_in_range(sport_of(&r), 5000, 5008);
	ctkit_close(&k);
}

static void
ports_stay_in_their_class(void **state)
{
	static const uint16_t class[][3] = { { 300, 1, 511 }, { 511, 1, 511 }, { 512, 512, 1023 },
		{ 1023, 512, 1023 } };
	struct ct_nat nat = snat_one(true, 0, 0);
	struct flowtab_tuple r;
	struct ask a;

	for (unsigned int i = 0; i < RTE_DIM(class); i++) {
		unsigned int n = 0, ports = 1U + class[i][2] - class[i][1];
		bool seen[1024] = { false };
		struct ctkit k;

		ctkit_open(&k, NULL, 1024);
		for (; n < ports; n++) {
			a = nth(n, true);
			a.sport = class[i][0];
			assert_int_equal(begin(&k, &a, &nat, &r), 0);
			assert_in_range(sport_of(&r), class[i][1], class[i][2]);
			assert_false(seen[sport_of(&r)]);
			seen[sport_of(&r)] = true;
		}
		a = nth(n, true);
		a.sport = class[i][0];
		assert_int_equal(begin(&k, &a, &nat, &r), -ENOSPC);
		ctkit_close(&k);
	}
}

/** Use the range up; no pair of address and port may come twice. */
static void
use_up(struct ctkit *k, const struct ct_nat *nat, bool v4, unsigned int size)
{
	struct flowtab_tuple *all = calloc(size, sizeof(*all)), r;
	struct ask a;

	assert_non_null(all);
	for (unsigned int n = 0; n < size; n++) {
		a = nth(n, v4);
		a.sport = (uint16_t)(1024 + n);
		assert_int_equal(begin(k, &a, nat, &all[n]), 0);
		assert_in_range(sport_of(&all[n]), nat->src.port_min, nat->src.port_max);
		assert_true(memcmp(&all[n].oaddr, &nat->src.min, 16) >= 0);
		assert_true(memcmp(&all[n].oaddr, &nat->src.max, 16) <= 0);
		/* each was new, or it could not have been bound */
	}
	/* for ever, and not only for the one that finds it out */
	for (unsigned int i = 0; i < 3; i++) {
		a = nth(size + i, v4);
		assert_int_equal(choose(k, &a, nat, &r), -ENOSPC);
		/* what was handed in is left alone */
		assert_addr(&r.oaddr, a.src);
		assert_int_equal(sport_of(&r), 40000);
	}
	/* one ends: its place is the only one, and found as soon as there is time to search */
	k->now_ms++;
	ct_free(k->ct, flowtab_lookup(k->ft, &all[size / 3], k->now_ms, NULL));
	assert_int_equal(begin(k, &a, nat, &r), 0);
	assert_memory_equal(&r, &all[size / 3], sizeof(r));
	assert_int_equal(
		choose(k, &(struct ask){ client(size + 9, v4), a.dst, 7, 443, IPPROTO_TCP }, nat,
			&r),
		-ENOSPC);
	free(all);
}

static void
an_exhausted_range_is_an_error_and_no_port_is_used_twice(void **state)
{
	static const uint8_t choices[] = { CT_NAT_HASH, CT_NAT_RANDOM, CT_NAT_PERSISTENT };

	for (unsigned int i = 0; i < 2 * RTE_DIM(choices); i++) {
		bool v4 = i & 1;
		struct ct_nat nat = snat_one(v4, 2000, 2999);
		struct ctkit k;

		nat.choice = choices[i / 2];
		ctkit_open(&k, NULL, 1024);
		use_up(&k, &nat, v4, 1000);
		ctkit_close(&k);
		/* of one port, of an odd number, and of the highest ones */
		ctkit_open(&k, NULL, 1024);
		nat.src.port_max = nat.src.port_min;
		use_up(&k, &nat, v4, 1);
		ctkit_close(&k);
		ctkit_open(&k, NULL, 1024);
		nat.src.port_min = 65535 - 96;
		nat.src.port_max = 65535;
		use_up(&k, &nat, v4, 97);
		ctkit_close(&k);
	}
}

static void
ranges_of_addresses_and_ports_are_used_up_together(void **state)
{
	static const uint8_t choices[] = { CT_NAT_HASH, CT_NAT_RANDOM, CT_NAT_PERSISTENT };

	for (unsigned int i = 0; i < 2 * RTE_DIM(choices); i++) {
		bool v4 = i & 1;
		struct ct_nat nat = v4
			? snat("198.51.100.250", "198.51.101.4", 7000, 7012)
			: snat("2001:db8::ffff:ffff:ffff:fffb", "2001:db8:0:1::5", 7000, 7012);
		struct ctkit k;

		nat.choice = choices[i / 2];
		ctkit_open(&k, NULL, 1024);
		use_up(&k, &nat, v4, 11 * 13);
		ctkit_close(&k);
	}
}

static void
the_last_free_of_4096_is_found(void **state)
{
	struct ct_nat nat = snat("198.51.100.0", "198.51.100.3", 10000, 11023);
	struct ctkit k;

	ctkit_open(&k, NULL, 8192);
	use_up(&k, &nat, true, 4096);
	ctkit_close(&k);
}

static void
an_expired_flow_gives_its_port_back(void **state)
{
	struct ct_nat nat = snat_one(true, 5000, 5000);
	struct ask a = nth(0, true), b = nth(1, true);
	struct flowtab_tuple r;
	struct ctkit k;

	ctkit_open(&k, NULL, 64);
	assert_int_equal(begin(&k, &a, &nat, &r), 0);
	k.now_ms += 59999;
	assert_int_equal(choose(&k, &b, &nat, &r), -ENOSPC);
	k.now_ms++;
	assert_int_equal(begin(&k, &b, &nat, &r), 0);
	assert_int_equal(sport_of(&r), 5000);
	ctkit_close(&k);
}

static void
zones_do_not_share_ports(void **state)
{
	struct ct_nat nat = snat_one(true, 5000, 5000);
	struct ask a = nth(0, true);
	struct flowtab_tuple t = tuple_of(&a), r;
	uint16_t flags;
	struct ctkit k;

	ctkit_open(&k, NULL, 64);
	assert_int_equal(begin(&k, &a, &nat, &r), 0);
	t.zone = 1;
	assert_int_equal(choose_for(&k, &t, &nat, &r, &flags), 0);
	assert_int_equal(r.zone, 1);
	ctkit_close(&k);
}

static void
ports_alone_are_changed_where_no_address_is_given(void **state)
{
	for (unsigned int i = 0; i < 4; i++) {
		bool v4 = i & 1;
		struct ct_nat nat = i & 2 ? snat("0.0.0.0", "0.0.0.0", 5000, 5001)
					  : snat("::", "::", 5000, 5001);
		struct ask a = nth(0, v4);
		struct flowtab_tuple t = tuple_of(&a), r;
		uint16_t flags;
		struct ctkit k;

		ctkit_open(&k, NULL, 64);
		assert_int_equal(choose_for(&k, &t, &nat, &r, &flags), 0);
		assert_addr(&r.oaddr, a.src);
		assert_in_range(sport_of(&r), 5000, 5001);
		assert_int_equal(flags, CT_F_SNAT);
		ctkit_close(&k);
	}
}

static void
of_protocols_without_ports_addresses_alone_are_changed(void **state)
{
	struct ct_nat nat = snat("198.51.100.1", "198.51.100.3", 5000, 5001);
	struct ask a = { client(0, true), "192.0.2.9", 0, 0, 47 };
	struct flowtab_tuple r;
	bool seen[3] = { false };
	struct ctkit k;

	ctkit_open(&k, NULL, 64);
	for (unsigned int n = 0; n < 3; n++) {
		a.src = client(n, true);
		assert_int_equal(begin(&k, &a, &nat, &r), 0);
		assert_int_equal(r.oport | r.eport, 0);
		assert_in_range(r.oaddr.b[15], 1, 3);
		assert_false(seen[r.oaddr.b[15] - 1]);
		seen[r.oaddr.b[15] - 1] = true;
	}
	a.src = client(3, true);
	assert_int_equal(choose(&k, &a, &nat, &r), -ENOSPC);
	ctkit_close(&k);
}

static void
scopes_of_link_local_addresses_stay(void **state)
{
	struct ct_nat nat = snat("fe80::1", "fe80::3", 5000, 5000);
	struct flowtab_tuple r;
	struct ctkit k;

	ctkit_open(&k, NULL, 64);
	flowtab_addr_set_scope(&nat.src.min, 7);
	flowtab_addr_set_scope(&nat.src.max, 7);
	for (unsigned int n = 0; n < 3; n++) {
		struct ask a = nth(n, false);

		assert_int_equal(begin(&k, &a, &nat, &r), 0);
		assert_int_equal(flowtab_addr_scope(&r.oaddr), 7);
	}
	ctkit_close(&k);
}

/* ---- ICMP ---- */

static void
icmp_ids_are_kept_while_they_are_free_and_remapped_then(void **state)
{
	for (unsigned int v4 = 0; v4 < 2; v4++) {
		struct ct_nat nat = snat_one(v4, 0, 0);
		struct ask a = nth(0, v4);
		struct flowtab_tuple r;
		struct ctkit k;

		ctkit_open(&k, NULL, 64);
		a.proto = v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6;
		a.sport = 500;
		assert_int_equal(begin(&k, &a, &nat, &r), 0);
		assert_int_equal(sport_of(&r), 500);
		assert_int_equal(dport_of(&r), 500);
		assert_int_equal(r.answer, 1);
		for (unsigned int n = 1; n < 20; n++) {
			a.src = client(n, v4);
			assert_int_equal(begin(&k, &a, &nat, &r), 0);
			assert_int_not_equal(sport_of(&r), 500);
			assert_int_equal(r.eport, r.oport);
		}
		ctkit_close(&k);
	}
}

static void
icmp_ids_have_no_classes(void **state)
{
	struct ct_nat nat = snat_one(true, 0, 0);
	struct ask a = nth(0, true);
	struct flowtab_tuple r;
	unsigned int high = 0;
	struct ctkit k;

	ctkit_open(&k, NULL, 64);
	a.proto = IPPROTO_ICMP;
	a.sport = 300;
	for (unsigned int n = 0; n < 20; n++) {
		a.src = client(n, true);
		assert_int_equal(begin(&k, &a, &nat, &r), 0);
		high += sport_of(&r) >= 1024;
	}
	assert_in_range(high, 15, 19);
	ctkit_close(&k);
}

static void
icmp_ids_have_ranges_too(void **state)
{
	for (unsigned int v4 = 0; v4 < 2; v4++) {
		struct ct_nat nat = snat_one(v4, 0, 7);
		struct ask a = nth(0, v4);
		bool seen[8] = { false };
		struct flowtab_tuple r;
		struct ctkit k;

		ctkit_open(&k, NULL, 64);
		a.proto = v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6;
		for (unsigned int n = 0; n < 8; n++) { /* 0 is an id as any other */
			a.src = client(n, v4);
			assert_int_equal(begin(&k, &a, &nat, &r), 0);
			assert_in_range(sport_of(&r), 0, 7);
			assert_int_equal(r.eport, r.oport);
			assert_false(seen[sport_of(&r)]);
			seen[sport_of(&r)] = true;
		}
		a.src = client(8, v4);
		assert_int_equal(choose(&k, &a, &nat, &r), -ENOSPC);
		/* but no port */
		a.proto = IPPROTO_UDP;
		for (unsigned int n = 0; n < 7; n++) {
			a.src = client(n, v4);
			assert_int_equal(begin(&k, &a, &nat, &r), 0);
			assert_in_range(sport_of(&r), 1, 7);
		}
		a.src = client(8, v4);
		assert_int_equal(choose(&k, &a, &nat, &r), -ENOSPC);
		ctkit_close(&k);
	}
}

static void
an_id_is_the_sources_and_not_changed_with_the_destination(void **state)
{
	struct ct_nat nat = dnat("10.9.9.9", "10.9.9.9", 80, 90);
	struct ask a = nth(0, true);
	struct flowtab_tuple t, r;
	uint16_t flags;
	struct ctkit k;

	ctkit_open(&k, NULL, 64);
	a.proto = IPPROTO_ICMP;
	a.sport = 500;
	t = tuple_of(&a);
	assert_int_equal(choose_for(&k, &t, &nat, &r, &flags), 0);
	assert_int_equal(flags, CT_F_DNAT);
	assert_int_equal(sport_of(&r), 500);
	assert_int_equal(dport_of(&r), 500);
	/* with both, the id changes once, and is the source's */
	nat.what |= CT_NAT_SRC;
	nat.src = range("", "", 7, 7);
	assert_int_equal(choose_for(&k, &t, &nat, &r, &flags), 0);
	assert_int_equal(flags, CT_F_DNAT | CT_F_SNAT);
	assert_int_equal(sport_of(&r), 7);
	assert_int_equal(dport_of(&r), 7);
	nat.dst = range("", "", 80, 90);
	assert_int_equal(choose_for(&k, &t, &nat, &r, &flags), 0);
	assert_int_equal(flags, CT_F_SNAT);
	/* once that is taken, there is nothing to be gained from eleven ports */
	assert_int_equal(begin(&k, &a, &nat, &r), 0);
	assert_int_equal(choose_for(&k, &t, &nat, &r, &flags), -ENOSPC);
	assert_int_equal(k.ct->nat_vain, 1);
	ctkit_close(&k);
}

/* ---- destinations ---- */

static void
destinations_become_what_is_given(void **state)
{
	for (unsigned int v4 = 0; v4 < 2; v4++) {
		const char *to = v4 ? "10.9.9.9" : "fd00:9::9";
		struct ct_nat nat = dnat(to, to, 0, 0);
		struct ask a = nth(0, v4);
		struct flowtab_tuple t = tuple_of(&a), r;
		uint16_t flags;
		struct ctkit k;

		ctkit_open(&k, NULL, 64);
		assert_int_equal(choose_for(&k, &t, &nat, &r, &flags), 0);
		assert_addr(&r.eaddr, to);
		assert_int_equal(dport_of(&r), 443);
		assert_addr(&r.oaddr, a.src);
		assert_int_equal(sport_of(&r), 40000);
		assert_int_equal(flags, CT_F_DNAT);
		nat = dnat(to, to, 8443, 8443);
		assert_int_equal(choose_for(&k, &t, &nat, &r, &flags), 0);
		assert_addr(&r.eaddr, to);
		assert_int_equal(dport_of(&r), 8443);
		/* redirect: the port alone */
		nat = dnat("", "", 3128, 3128);
		assert_int_equal(choose_for(&k, &t, &nat, &r, &flags), 0);
		assert_addr(&r.eaddr, a.dst);
		assert_int_equal(dport_of(&r), 3128);
		assert_int_equal(flags, CT_F_DNAT);
		/* to what it was already */
		nat = dnat(a.dst, a.dst, 443, 443);
		assert_int_equal(choose_for(&k, &t, &nat, &r, &flags), 0);
		assert_int_equal(flags, 0);
		ctkit_close(&k);
	}
}

static void
destinations_are_spread_over_their_range(void **state)
{
	struct ct_nat nat = dnat("10.9.9.0", "10.9.9.3", 80, 83);
	unsigned int addrs[4] = { 0 }, ports[4] = { 0 };
	struct flowtab_tuple r;
	struct ctkit k;

	ctkit_open(&k, NULL, 1024);
	for (unsigned int n = 0; n < 400; n++) {
		struct ask a = nth(n, true);

		assert_int_equal(begin(&k, &a, &nat, &r), 0);
		assert_in_range(r.eaddr.b[15], 0, 3);
		assert_in_range(dport_of(&r), 80, 83);
		addrs[r.eaddr.b[15]]++;
		ports[dport_of(&r) - 80]++;
		assert_int_equal(sport_of(&r), 40000);
	}
	for (unsigned int i = 0; i < 4; i++) {
		assert_in_range(addrs[i], 60, 140);
		assert_in_range(ports[i], 60, 140);
	}
	ctkit_close(&k);
}

static void
a_destination_port_in_the_range_is_kept(void **state)
{
	struct ct_nat nat = dnat("10.9.9.0", "10.9.9.3", 400, 500);
	struct flowtab_tuple r;
	struct ctkit k;

	ctkit_open(&k, NULL, 1024);
	for (unsigned int n = 0; n < 50; n++) {
		struct ask a = nth(n, true);

		assert_int_equal(begin(&k, &a, &nat, &r), 0);
		assert_int_equal(dport_of(&r), 443);
	}
	ctkit_close(&k);
}

static void
a_destination_range_can_be_used_up(void **state)
{
	struct ct_nat nat = dnat("10.9.9.0", "10.9.9.3", 80, 83);
	struct ask a = nth(0, true);
	struct flowtab_tuple r;
	char dst[FLOWTAB_ADDR_STRLEN];
	struct ctkit k;

	/* one port of one client, to ever more services that are all the same in truth */
	ctkit_open(&k, NULL, 64);
	a.dst = dst;
	for (unsigned int n = 0; n < 16; n++) {
		snprintf(dst, sizeof(dst), "192.0.2.%u", n);
		assert_int_equal(begin(&k, &a, &nat, &r), 0);
	}
	snprintf(dst, sizeof(dst), "192.0.2.16");
	assert_int_equal(choose(&k, &a, &nat, &r), -ENOSPC);
	ctkit_close(&k);
}

static void
both_ends_are_translated_together(void **state)
{
	for (unsigned int v4 = 0; v4 < 2; v4++) {
		const char *to = v4 ? "10.9.9.9" : "fd00:9::9";
		struct ct_nat nat = dnat(to, to, 8443, 8443);
		struct ask a = nth(0, v4);
		struct flowtab_tuple t = tuple_of(&a), r;
		uint16_t flags;
		struct ctkit k;

		ctkit_open(&k, NULL, 64);
		nat.what |= CT_NAT_SRC;
		nat.src = range(outside(v4), outside(v4), 5000, 5003);
		assert_int_equal(choose_for(&k, &t, &nat, &r, &flags), 0);
		assert_int_equal(flags, CT_F_SNAT | CT_F_DNAT);
		assert_addr(&r.eaddr, to);
		assert_int_equal(dport_of(&r), 8443);
		assert_addr(&r.oaddr, outside(v4));
		assert_in_range(sport_of(&r), 5000, 5003);
		assert_int_equal(r.pif, CTKIT_SERVER_PIF);
		ctkit_close(&k);
	}
}

static void
the_destination_changes_only_when_no_source_is_left(void **state)
{
	struct ct_nat nat = dnat("10.9.9.0", "10.9.9.1", 80, 81);
	struct flowtab_tuple r, last = { 0 };
	unsigned int changes = 0;
	struct ctkit k;

	ctkit_open(&k, NULL, 64);
	nat.what |= CT_NAT_SRC;
	nat.src = range("198.51.100.1", "198.51.100.2", 5000, 5003);
	/* all want to begin at the same destination */
	nat.choice = CT_NAT_PERSISTENT;
	for (unsigned int i = 0; i < 32; i++) {
		struct ask a = nth(0, true);

		a.sport = (uint16_t)(1024 + i);
		a.dport = 80;
		assert_int_equal(begin(&k, &a, &nat, &r), 0);
		if (i > 0 && (r.eport != last.eport || !flowtab_addr_eq(&r.eaddr, &last.eaddr))) {
			changes++;
			assert_int_equal(i % 8, 0);
		}
		last = r;
	}
	assert_int_equal(changes, 3);
	assert_int_equal(
		choose(&k, &(struct ask){ client(99, true), "192.0.2.9", 1, 443, IPPROTO_TCP },
			&nat, &r),
		-ENOSPC);
	ctkit_close(&k);
}

static void
a_flow_whose_answers_would_be_anothers_gets_no_translation(void **state)
{
	const struct ct_nat nat = dnat("10.9.9.9", "10.9.9.9", 0, 0), none = { 0 };
	struct ask direct = nth(0, true), by_nat = nth(0, true);
	struct flowtab_tuple r;
	struct ctkit k;

	ctkit_open(&k, NULL, 64);
	direct.dst = "10.9.9.9";
	assert_int_equal(begin(&k, &direct, &none, &r), 0);
	assert_int_equal(choose(&k, &by_nat, &nat, &r), -ENOSPC);
	ctkit_close(&k);
}

static void
a_flow_is_not_its_own_answer(void **state)
{
	/* Translated so, what leaves for port 1 would come in at port 1 just as it was sent. */
	struct flowtab_tuple t = { .eaddr = addr("10.0.0.1"),
		.oaddr = addr("10.0.0.2"),
		.eport = rte_cpu_to_be_16(5000),
		.oport = rte_cpu_to_be_16(5000),
		.pif = CTKIT_SERVER_PIF,
		.proto = IPPROTO_UDP };
	struct ct_nat nat = snat("10.0.0.2", "10.0.0.2", 5000, 5000);
	struct flowtab_tuple r;
	uint16_t flags;
	struct ctkit k;

	ctkit_open(&k, NULL, 64);
	nat.what |= CT_NAT_DST;
	nat.dst = range("10.0.0.1", "10.0.0.1", 0, 0);
	assert_int_equal(choose_for(&k, &t, &nat, &r, &flags), -ENOSPC);
	nat.src.port_max = 5001;
	assert_int_equal(choose_for(&k, &t, &nat, &r, &flags), 0);
	assert_int_equal(sport_of(&r), 5001);
	ctkit_close(&k);
}

/* ---- all-zero ---- */

static void
an_all_zero_range_changes_the_source_only_in_a_clash(void **state)
{
	for (unsigned int v4 = 0; v4 < 2; v4++) {
		const char *to = v4 ? "10.9.9.9" : "fd00:9::9";
		struct ct_nat nat = dnat(to, to, 0, 0);
		struct ask direct = nth(0, v4), by_nat = nth(0, v4);
		struct flowtab_tuple t = tuple_of(&by_nat), r;
		uint16_t flags;
		struct ctkit k;

		ctkit_open(&k, NULL, 64);
		nat.what |= CT_NAT_SRC;
		assert_int_equal(choose_for(&k, &t, &nat, &r, &flags), 0);
		assert_int_equal(flags, CT_F_DNAT);
		assert_int_equal(sport_of(&r), 40000);
		direct.dst = to;
		assert_int_equal(begin(&k, &direct, &(struct ct_nat){ 0 }, &r), 0);
		assert_int_equal(choose_for(&k, &t, &nat, &r, &flags), 0);
		assert_int_equal(flags, CT_F_DNAT | CT_F_SNAT);
		assert_addr(&r.oaddr, by_nat.src);
		assert_in_range(sport_of(&r), 1024, 65535);
		assert_int_not_equal(sport_of(&r), 40000);
		ctkit_close(&k);
	}
}

static void
an_all_zero_range_cannot_help_protocols_without_ports(void **state)
{
	struct ct_nat nat = dnat("10.9.9.9", "10.9.9.9", 0, 0);
	struct ask a = { client(0, true), "10.9.9.9", 0, 0, 47 };
	struct flowtab_tuple r;
	struct ctkit k;

	ctkit_open(&k, NULL, 64);
	nat.what |= CT_NAT_SRC;
	assert_int_equal(begin(&k, &a, &(struct ct_nat){ 0 }, &r), 0);
	a.dst = "192.0.2.9";
	assert_int_equal(choose(&k, &a, &nat, &r), -ENOSPC);
	ctkit_close(&k);
}

static void
an_all_zero_range_leaves_ports_of_other_slices_alone(void **state)
{
	struct ct_params params = { .n_slices = 4, .slice = 0 };
	struct ct_nat nat = snat("", "", 0, 0);
	struct ask a = nth(0, true);
	struct flowtab_tuple t = tuple_of(&a), r;
	struct ctkit k;
	uint16_t flags;

	ctkit_open(&k, &params, 64);
	a.sport = 60000; /* the last slice's */
	t = tuple_of(&a);
	assert_int_equal(choose_for(&k, &t, &nat, &r, &flags), 0);
	assert_int_equal(flags, 0);
	/* in a clash, the new one is of the own slice */
	flow_new(k.ft, &r, k.now_ms, FLOWTAB_NEVER);
	assert_int_equal(choose_for(&k, &t, &nat, &r, &flags), 0);
	assert_int_equal(flags, CT_F_SNAT);
	assert_in_range(sport_of(&r), 1024, 1024 + 64512 / 4 - 1);
	flowtab_free(k.ft, 0);
	ctkit_close(&k);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_flow_keeps_its_port),
		cmocka_unit_test(a_port_in_the_range_is_kept_and_any_other_is_not),
		cmocka_unit_test(ports_stay_in_their_class),
		cmocka_unit_test(an_exhausted_range_is_an_error_and_no_port_is_used_twice),
		cmocka_unit_test(ranges_of_addresses_and_ports_are_used_up_together),
		cmocka_unit_test(the_last_free_of_4096_is_found),
		cmocka_unit_test(an_expired_flow_gives_its_port_back),
		cmocka_unit_test(zones_do_not_share_ports),
		cmocka_unit_test(ports_alone_are_changed_where_no_address_is_given),
		cmocka_unit_test(of_protocols_without_ports_addresses_alone_are_changed),
		cmocka_unit_test(scopes_of_link_local_addresses_stay),
		cmocka_unit_test(icmp_ids_are_kept_while_they_are_free_and_remapped_then),
		cmocka_unit_test(icmp_ids_have_no_classes),
		cmocka_unit_test(icmp_ids_have_ranges_too),
		cmocka_unit_test(an_id_is_the_sources_and_not_changed_with_the_destination),
		cmocka_unit_test(destinations_become_what_is_given),
		cmocka_unit_test(destinations_are_spread_over_their_range),
		cmocka_unit_test(a_destination_port_in_the_range_is_kept),
		cmocka_unit_test(a_destination_range_can_be_used_up),
		cmocka_unit_test(both_ends_are_translated_together),
		cmocka_unit_test(the_destination_changes_only_when_no_source_is_left),
		cmocka_unit_test(a_flow_whose_answers_would_be_anothers_gets_no_translation),
		cmocka_unit_test(a_flow_is_not_its_own_answer),
		cmocka_unit_test(an_all_zero_range_changes_the_source_only_in_a_clash),
		cmocka_unit_test(an_all_zero_range_cannot_help_protocols_without_ports),
		cmocka_unit_test(an_all_zero_range_leaves_ports_of_other_slices_alone),
	};
	int rc;

	if (eal_start("256") < 0)
		return 1;
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	eal_stop();
	return rc;
}
