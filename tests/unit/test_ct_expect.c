/* SPDX-License-Identifier: BSD-3-Clause */
/* Expectations: what meets them, their caps, their end. */
#include "test_flowtab_util.h"

#include <errno.h>
#include <string.h>

#include <rte_malloc.h>

#include "ct_priv.h"

#define MAX_FLOWS 4096

struct fix {
	struct ct ct;
	uint64_t parent;
	uint32_t idx;
};

/** A flow with a helper whose guest side is on a port; FLOWTAB_NONE: it cannot have one. */
static uint32_t
parent_at(struct ct *ct, uint16_t pif, uint32_t n)
{
	struct flowtab_tuple t = tuple4(pif, n);
	uint32_t idx = flow_new(ct->ft, &t, T0, T0 + DAY_MS);

	if (ct_helped_add(ct, idx, CT_HELPER_FTP) == 0)
		return idx;
	assert_int_equal(ct->flows[idx].ext, FLOWTAB_NONE);
	assert_false(ct->flows[idx].flags & CT_F_HELPED);
	flowtab_free(ct->ft, idx);
	return FLOWTAB_NONE;
}

static uint32_t
parent_new(struct ct *ct, uint32_t n)
{
	uint32_t idx = parent_at(ct, 1, n);

	assert_int_not_equal(idx, FLOWTAB_NONE);
	return idx;
}

static void
fix_make(struct fix *f, const struct ct_params *p)
{
	memset(f, 0, sizeof(*f));
	f->ct.ft = table_new(MAX_FLOWS);
	f->ct.flows = flowtab_flows(f->ct.ft);
	f->ct.expects = ct_expects_create(p);
	assert_non_null(f->ct.expects);
	assert_int_equal(ct_helped_create(&f->ct, p), 0);
	f->idx = parent_new(&f->ct, 0);
	f->parent = flowtab_handle(f->ct.ft, f->idx);
}

static void
fix_free(struct fix *f)
{
	ct_expects_destroy(f->ct.expects);
	rte_free(f->ct.helped);
	flowtab_destroy(f->ct.ft);
}

static int
setup(void **state)
{
	static struct fix f;
	struct ct_params p = { .socket_id = SOCKET_ID_ANY };

	fix_make(&f, &p);
	*state = &f;
	return 0;
}

static int
teardown(void **state)
{
	fix_free(*state);
	return 0;
}

/** From any port of a server to a port of 10.9.9.9. */
static struct ct_expect
expect(uint64_t parent, uint16_t port)
{
	struct ct_expect e = {
		.tuple = tuple4(2, 7),
		.parent = parent,
	};

	e.tuple.eport = 0;
	e.tuple.oaddr = flowtab_addr_v4(rte_cpu_to_be_32(0x0a090909));
	e.tuple.oport = rte_cpu_to_be_16(port);
	return e;
}

/** A packet that meets it. */
static struct flowtab_tuple
meets(const struct ct_expect *e)
{
	struct flowtab_tuple t = e->tuple;

	if (t.eport == 0)
		t.eport = rte_cpu_to_be_16(20);
	return t;
}

static uint64_t
counted(const struct fix *f, enum ct_count c)
{
	return f->ct.counts[c];
}

static void
found_by_a_packet_that_agrees_in_all_that_is_not_open(void **state)
{
	struct fix *f = *state;
	struct ct_expect e = expect(f->parent, 5000);
	struct flowtab_tuple t = meets(&e), other;
	uint32_t nr;

	assert_int_equal(ct_expect_find(&f->ct, &t, T0), FLOWTAB_NONE);
	assert_int_equal(ct_expect_add(&f->ct, &e, T0), 0);
	nr = ct_expect_find(&f->ct, &t, T0);
	assert_int_not_equal(nr, FLOWTAB_NONE);
	assert_int_equal(ct_expect_get(&f->ct, nr)->parent, f->parent);
	assert_int_equal(f->ct.helped[f->ct.flows[f->idx].ext].expects, 1);
	assert_int_equal(counted(f, CT_COUNT_EXPECT_NEW), 1);

	t.eport = rte_cpu_to_be_16(4711);
	assert_int_equal(ct_expect_find(&f->ct, &t, T0), nr);
	other = t, other.oport++;
	assert_int_equal(ct_expect_find(&f->ct, &other, T0), FLOWTAB_NONE);
	other = t, other.oaddr.b[15]++;
	assert_int_equal(ct_expect_find(&f->ct, &other, T0), FLOWTAB_NONE);
	other = t, other.eaddr.b[15]++;
	assert_int_equal(ct_expect_find(&f->ct, &other, T0), FLOWTAB_NONE);
	other = t, other.zone++;
	assert_int_equal(ct_expect_find(&f->ct, &other, T0), FLOWTAB_NONE);
	other = t, other.pif++;
	assert_int_equal(ct_expect_find(&f->ct, &other, T0), FLOWTAB_NONE);
	other = t, other.proto = IPPROTO_UDP;
	assert_int_equal(ct_expect_find(&f->ct, &other, T0), FLOWTAB_NONE);
}

static void
open_address_is_met_by_any_given_port_by_one(void **state)
{
	struct fix *f = *state;
	struct ct_expect e = expect(f->parent, 5000);
	struct flowtab_tuple t = meets(&e);

	e.tuple.eaddr = (struct flowtab_addr){ 0 };
	e.tuple.eport = rte_cpu_to_be_16(20);
	assert_int_equal(ct_expect_add(&f->ct, &e, T0), 0);
	assert_int_not_equal(ct_expect_find(&f->ct, &t, T0), FLOWTAB_NONE);
	t.eaddr.b[15]++;
	assert_int_not_equal(ct_expect_find(&f->ct, &t, T0), FLOWTAB_NONE);
	t.eport++;
	assert_int_equal(ct_expect_find(&f->ct, &t, T0), FLOWTAB_NONE);
}

static void
same_expectation_again_is_one_and_lives_longer(void **state)
{
	struct fix *f = *state;
	struct ct_expect e = expect(f->parent, 5000);
	struct flowtab_tuple t = meets(&e);

	assert_int_equal(ct_expect_add(&f->ct, &e, T0), 0);
	assert_int_equal(ct_expect_add(&f->ct, &e, T0 + 1000), 0);
	assert_int_equal(f->ct.helped[f->ct.flows[f->idx].ext].expects, 1);
	assert_int_equal(counted(f, CT_COUNT_EXPECT_NEW), 1);
	assert_int_not_equal(
		ct_expect_find(&f->ct, &t, T0 + 1000 + CT_EXPECT_MS - 1), FLOWTAB_NONE);
	ct_expect_del(&f->ct, ct_expect_find(&f->ct, &t, T0));
	assert_int_equal(ct_expect_find(&f->ct, &t, T0), FLOWTAB_NONE);
	assert_int_equal(counted(f, CT_COUNT_EXPECT_GONE), 0);
}

static void
oldest_of_the_parent_gives_way_at_its_cap(void **state)
{
	struct fix *f = *state;
	uint32_t idx2 = parent_new(&f->ct, 1);
	struct ct_expect e = expect(flowtab_handle(f->ct.ft, idx2), 4999), again;
	struct flowtab_tuple t;

	assert_int_equal(ct_expect_add(&f->ct, &e, T0), 0);
	for (unsigned int i = 0; i < 9; i++) {
		e = expect(f->parent, (uint16_t)(5000 + i));
		assert_int_equal(ct_expect_add(&f->ct, &e, T0), 0);
		again = expect(f->parent, 5000);
		if (i < 8)
			assert_int_equal(ct_expect_add(&f->ct, &again, T0), 0);
	}
	assert_int_equal(f->ct.helped[f->ct.flows[f->idx].ext].expects, 8);
	assert_int_equal(counted(f, CT_COUNT_EXPECT_GONE), 1);
	for (unsigned int i = 0; i < 10; i++) {
		bool there;

		e = expect(f->parent, (uint16_t)(4999 + i));
		t = meets(&e);
		there = ct_expect_find(&f->ct, &t, T0) != FLOWTAB_NONE;
		/* 4999 is another's, 5000 was announced again before the last. */
		assert_int_equal(there, i != 2);
	}
}

static void
expired_one_is_never_found_and_removed_under_a_budget(void **state)
{
	struct fix *f = *state;
	struct ct_expect e = expect(f->parent, 0);
	struct flowtab_tuple t;

	for (unsigned int i = 0; i < 6; i++) {
		e = expect(f->parent, (uint16_t)(5000 + i));
		assert_int_equal(ct_expect_add(&f->ct, &e, T0 + i), 0);
	}
	e = expect(f->parent, 5000);
	t = meets(&e);
	assert_int_not_equal(ct_expect_find(&f->ct, &t, T0 + CT_EXPECT_MS - 1), FLOWTAB_NONE);
	assert_int_equal(ct_expect_find(&f->ct, &t, T0 + CT_EXPECT_MS), FLOWTAB_NONE);
	assert_int_equal(ct_expects_expire(&f->ct, T0 + CT_EXPECT_MS - 1, 10), 0);
	assert_int_equal(ct_expects_expire(&f->ct, T0 + CT_EXPECT_MS + 4, 3), 3);
	assert_int_equal(ct_expects_expire(&f->ct, T0 + CT_EXPECT_MS + 4, 3), 2);
	assert_int_equal(ct_expects_expire(&f->ct, T0 + CT_EXPECT_MS + 4, 3), 0);
	assert_int_equal(f->ct.helped[f->ct.flows[f->idx].ext].expects, 1);
	assert_int_equal(counted(f, CT_COUNT_EXPECT_GONE), 5);
	t.oport = rte_cpu_to_be_16(5005);
	assert_int_not_equal(ct_expect_find(&f->ct, &t, T0 + CT_EXPECT_MS + 4), FLOWTAB_NONE);
}

static void
goes_with_its_parent(void **state)
{
	struct fix *f = *state;
	struct ct_expect e = expect(f->parent, 5000);
	struct flowtab_tuple t = meets(&e);
	uint32_t idx2 = parent_new(&f->ct, 1);

	assert_int_equal(ct_expect_add(&f->ct, &e, T0), 0);
	e = expect(flowtab_handle(f->ct.ft, idx2), 5001);
	assert_int_equal(ct_expect_add(&f->ct, &e, T0), 0);
	ct_helped_del(&f->ct, f->idx);
	assert_false(f->ct.flows[f->idx].flags & CT_F_HELPED);
	assert_int_equal(f->ct.flows[f->idx].ext, FLOWTAB_NONE);
	assert_int_equal(ct_expect_find(&f->ct, &t, T0), FLOWTAB_NONE);
	assert_int_equal(counted(f, CT_COUNT_EXPECT_GONE), 1);
	ct_helped_del(&f->ct, f->idx);
	t.oport = rte_cpu_to_be_16(5001);
	assert_int_not_equal(ct_expect_find(&f->ct, &t, T0), FLOWTAB_NONE);
	ct_expect_flush(&f->ct, f->parent);
	assert_int_not_equal(ct_expect_find(&f->ct, &t, T0), FLOWTAB_NONE);
	ct_expect_flush(&f->ct, flowtab_handle(f->ct.ft, idx2));
	assert_int_equal(ct_expect_find(&f->ct, &t, T0), FLOWTAB_NONE);
}

static void
that_of_a_stale_or_expired_parent_is_never_found(void **state)
{
	struct fix *f = *state;
	struct ct_expect e = expect(f->parent, 5000);
	struct flowtab_tuple t = meets(&e), u = tuple4(1, 0);
	uint32_t idx;

	assert_int_equal(ct_expect_add(&f->ct, &e, T0), 0);
	flowtab_touch(f->ct.ft, f->idx, T0 + 10);
	assert_int_not_equal(ct_expect_find(&f->ct, &t, T0 + 9), FLOWTAB_NONE);
	assert_int_equal(ct_expect_find(&f->ct, &t, T0 + 10), FLOWTAB_NONE);
	flowtab_touch(f->ct.ft, f->idx, T0 + DAY_MS);
	flowtab_free(f->ct.ft, f->idx);
	assert_int_equal(ct_expect_find(&f->ct, &t, T0 + 9), FLOWTAB_NONE);
	/* The index lives again, with another generation. */
	idx = flow_new(f->ct.ft, &u, T0, T0 + DAY_MS);
	assert_int_equal(idx, f->idx);
	assert_int_equal(ct_expect_find(&f->ct, &t, T0 + 9), FLOWTAB_NONE);
}

static void
full_table_takes_no_more_until_some_expire(void **state)
{
	struct fix f;
	struct ct_params p = { .max_expect = 100, .max_helped = 80, .socket_id = SOCKET_ID_ANY };
	unsigned int made = 0, refused = 0;
	struct ct_expect e;
	uint64_t left;

	(void)state;
	fix_make(&f, &p);
	/* Guests that announce thousands. */
	for (unsigned int i = 1; i < 60; i++) {
		uint64_t parent = flowtab_handle(f.ct.ft, parent_at(&f.ct, (uint16_t)(i % 8), i));

		for (unsigned int k = 0; k < 100; k++) {
			e = expect(parent, (uint16_t)(1024 + 100 * i + k));
			if (ct_expect_add(&f.ct, &e, T0) == 0)
				made++;
			else
				refused++;
		}
	}
	assert_int_equal(counted(&f, CT_COUNT_EXPECT_NEW), made);
	assert_int_equal(counted(&f, CT_COUNT_EXPECT_FULL), refused);
	left = made - counted(&f, CT_COUNT_EXPECT_GONE);
	assert_true(left > 75 && left <= 100);
	e = expect(f.parent, 999);
	assert_int_equal(ct_expect_add(&f.ct, &e, T0 + CT_EXPECT_MS - 1), -ENOSPC);
	assert_int_equal(ct_expect_add(&f.ct, &e, T0 + CT_EXPECT_MS), 0);
	assert_true(counted(&f, CT_COUNT_EXPECT_GONE) > made - left);
	left = made + 1 - counted(&f, CT_COUNT_EXPECT_GONE);
	assert_int_equal(ct_expects_expire(&f.ct, T0 + 2 * CT_EXPECT_MS, 1000), left);
	fix_free(&f);
}

static void
one_port_does_not_take_what_others_need(void **state)
{
	struct fix f;
	struct ct_params p = { .max_expect = 80, .max_helped = 40, .socket_id = SOCKET_ID_ANY };
	unsigned int helped = 1, made = 0;
	struct ct_expect e;
	uint32_t idx;

	(void)state;
	fix_make(&f, &p);
	/* A quarter is left of either. */
	for (unsigned int i = 1; i < 60; i++) {
		idx = parent_at(&f.ct, 1, i);
		if (idx == FLOWTAB_NONE)
			continue;
		helped++;
		for (unsigned int k = 0; k < 4; k++) {
			e = expect(flowtab_handle(f.ct.ft, idx), (uint16_t)(10 * i + k));
			made += ct_expect_add(&f.ct, &e, T0) == 0;
		}
	}
	assert_int_equal(helped, 31);
	assert_int_equal(made, 61);
	/* Others get of it up to an eighth of all. */
	helped = made = 0;
	for (unsigned int i = 0; i < 60; i++) {
		idx = parent_at(&f.ct, 2, i);
		if (idx == FLOWTAB_NONE)
			continue;
		helped++;
		for (unsigned int k = 0; k < 4; k++) {
			e = expect(flowtab_handle(f.ct.ft, idx), (uint16_t)(1000 + 10 * i + k));
			made += ct_expect_add(&f.ct, &e, T0) == 0;
		}
	}
	assert_int_equal(helped, 5);
	assert_int_equal(made, 10);
	assert_int_not_equal(parent_at(&f.ct, 3, 0), FLOWTAB_NONE);
	/* Who gives one back may have another. */
	ct_helped_del(&f.ct, f.idx);
	assert_int_equal(parent_at(&f.ct, 1, 100), FLOWTAB_NONE);
	assert_int_equal(parent_at(&f.ct, 2, 100), FLOWTAB_NONE);
	fix_free(&f);
}

static void
one_destination_of_many_parents_is_capped(void **state)
{
	struct fix *f = *state;
	unsigned int made = 0;

	for (unsigned int i = 1; i < 700; i++) {
		struct ct_expect e = expect(flowtab_handle(f->ct.ft, parent_new(&f->ct, i)), 5000);

		e.tuple.eaddr.b[15] = (uint8_t)i;
		e.tuple.eaddr.b[14] = (uint8_t)(i >> 8);
		made += ct_expect_add(&f->ct, &e, T0) == 0;
	}
	assert_int_equal(made, 16);
	assert_int_equal(counted(f, CT_COUNT_EXPECT_FULL), 699 - 16);
}

static void
flows_with_a_helper_are_capped(void **state)
{
	struct fix f;
	struct ct_params p = { .max_helped = 2, .socket_id = SOCKET_ID_ANY };
	struct flowtab_tuple t = tuple4(1, 9);
	uint32_t idx2, idx3;

	(void)state;
	fix_make(&f, &p);
	idx2 = parent_new(&f.ct, 1);
	idx3 = flow_new(f.ct.ft, &t, T0, T0 + DAY_MS);
	assert_int_equal(ct_helped_add(&f.ct, idx3, CT_HELPER_TFTP), -ENOSPC);
	assert_false(f.ct.flows[idx3].flags & CT_F_HELPED);
	ct_helped_del(&f.ct, idx2);
	assert_int_equal(ct_helped_add(&f.ct, idx3, CT_HELPER_TFTP), 0);
	assert_int_equal(f.ct.helped[f.ct.flows[idx3].ext].helper, CT_HELPER_TFTP);
	fix_free(&f);
}

static void
settings_out_of_range_are_refused(void **state)
{
	struct ct_params p = { .max_expect = UINT32_MAX, .socket_id = SOCKET_ID_ANY };

	(void)state;
	assert_null(ct_expects_create(&p));
	assert_int_equal(rte_errno, EINVAL);
	/* More memory than there is. */
	p.max_expect = 1U << 20;
	assert_null(ct_expects_create(&p));
	assert_int_equal(rte_errno, ENOMEM);
	ct_expects_destroy(NULL);
	p.ft = table_new(16);
	p.max_expect++;
	assert_null(ct_create(&p));
	assert_int_equal(rte_errno, EINVAL);
	flowtab_destroy(p.ft);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			found_by_a_packet_that_agrees_in_all_that_is_not_open, setup, teardown),
		cmocka_unit_test_setup_teardown(
			open_address_is_met_by_any_given_port_by_one, setup, teardown),
		cmocka_unit_test_setup_teardown(
			same_expectation_again_is_one_and_lives_longer, setup, teardown),
		cmocka_unit_test_setup_teardown(
			oldest_of_the_parent_gives_way_at_its_cap, setup, teardown),
		cmocka_unit_test_setup_teardown(
			expired_one_is_never_found_and_removed_under_a_budget, setup, teardown),
		cmocka_unit_test_setup_teardown(goes_with_its_parent, setup, teardown),
		cmocka_unit_test_setup_teardown(
			that_of_a_stale_or_expired_parent_is_never_found, setup, teardown),
		cmocka_unit_test(full_table_takes_no_more_until_some_expire),
		cmocka_unit_test(one_port_does_not_take_what_others_need),
		cmocka_unit_test_setup_teardown(
			one_destination_of_many_parents_is_capped, setup, teardown),
		cmocka_unit_test(flows_with_a_helper_are_capped),
		cmocka_unit_test(settings_out_of_range_are_refused),
	};
	int failed;

	if (eal_start("64") != 0)
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	eal_stop();
	return failed;
}
