/* SPDX-License-Identifier: BSD-3-Clause */
/* What only shows with many flows: memory that stays out, and a great many ends at one time. */
#include <errno.h>
#include <string.h>

#include <rte_cycles.h>

#include "flowtab_priv.h"
#include "test_flowtab_util.h"

#define MANY (TEST_SANITIZED ? 200000U : 1000000U)

static size_t
resident_bytes(void)
{
	FILE *f = fopen("/proc/self/statm", "r");
	unsigned long size, resident;

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%lu %lu", &size, &resident), 2);
	fclose(f);
	return resident * (size_t)sysconf(_SC_PAGESIZE);
}

static void
table_of_the_default_size_starts_small(void **state)
{
	size_t before = resident_bytes(), grown;
	struct flowtab *ft = table_new(131072);
	struct flowtab_tuple t;

	grown = resident_bytes() - before;
	assert_in_range(grown, 0, 8 << 20);
	/* flows that come and go touch no more than were there at one time */
	for (uint32_t i = 0; i < 50000; i++) {
		t = tuple4(1, i);
		flowtab_free(ft, flow_new(ft, &t, T0, T0 + 5000));
	}
	assert_int_equal(ft->fresh, 1);
	flowtab_destroy(ft);
}

static void
count_gone(void *arg, uint32_t idx)
{
	(*(uint32_t *)arg)++;
}

static void
a_million_ends_in_one_second_keep_to_the_budget(void **state)
{
	struct flowtab *ft = table_new(MANY);
	uint32_t gone = 0, freed = 0, n, calls = 0;
	uint64_t now = T0 + 30000;
	struct flowtab_tuple t;

	flowtab_on_gone(ft, count_gone, &gone);
	for (uint32_t i = 0; i < MANY; i++) {
		t = tuple4((uint16_t)(i % 8), i);
		flow_new(ft, &t, T0, T0 + 29000 + i % 1000);
	}
	assert_int_equal(flowtab_expire(ft, T0 + 29000, 0), 0);
	/* none is found, though nearly all are still there */
	for (uint32_t i = 0; i < MANY; i += 1009) {
		t = tuple4((uint16_t)(i % 8), i);
		assert_int_equal(flowtab_lookup(ft, &t, now, NULL), FLOWTAB_NONE);
	}
	while (flowtab_count(ft) > 0) {
		n = flowtab_expire(ft, now, 4096);
		assert_in_range(n, 1, 4096);
		freed += n;
		calls++;
	}
	assert_int_equal(freed, MANY);
	assert_int_equal(gone, MANY);
	assert_in_range(calls, MANY / 4096, MANY / 4096 + 2);
	for (uint16_t pif = 0; pif < 8; pif++)
		assert_int_equal(flowtab_pif_count(ft, pif), 0);
	assert_true(flowtab_next(ft) == FLOWTAB_NEVER);
	/* and the table is as good as before */
	for (uint32_t i = 0; i < 1000; i++) {
		t = tuple4(1, i);
		n = flow_new(ft, &t, now, now + 1000);
		assert_int_equal(flowtab_lookup(ft, &t, now, NULL), n);
	}
	flowtab_destroy(ft);
}

struct looks {
	const struct flowtab_flow *flows;
	uint32_t n;
};

static uint64_t
counted_deadline(void *arg, uint32_t item)
{
	struct looks *l = arg;

	l->n++;
	return l->flows[item].deadline_ms;
}

static void
refreshed_flow_costs_one_look_per_timeout(void **state)
{
	const uint32_t flows = MANY / 10;
	struct flowtab *ft = table_new(flows);
	struct looks looks = { .flows = flowtab_flows(ft) };
	uint32_t due, total = 0;
	struct flowtab_tuple t;

	for (uint32_t i = 0; i < flows; i++) {
		t = tuple4(1, i);
		flow_new(ft, &t, T0, T0 + 10000 + i % 10000);
	}
	/* for a minute, a packet of each flow in each second, timeouts of 10 s and more */
	for (uint64_t now = T0; now < T0 + 60000; now += 1000) {
		for (uint32_t i = 0; i < flows; i++)
			flowtab_touch(ft, i, now + 10000 + i % 10000);
		looks.n = 0;
		assert_int_equal(flowtab_wheel_advance(ft->wheel, now, counted_deadline, &looks,
					 &due, 1, UINT32_MAX),
			0);
		assert_true(looks.n <= flows / 2);
		total += looks.n;
	}
	assert_true(total <= flows * 6);
	flowtab_destroy(ft);
}

static int
start(void **state)
{
	return eal_start("1024");
}

static int
stop(void **state)
{
	eal_stop();
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(table_of_the_default_size_starts_small),
		cmocka_unit_test(a_million_ends_in_one_second_keep_to_the_budget),
		cmocka_unit_test(refreshed_flow_costs_one_look_per_timeout),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
