/* SPDX-License-Identifier: BSD-3-Clause */
#include "limit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static char said[1024];
static unsigned int n_said;

static void
say(void *arg, const char *line)
{
	n_said++;
	snprintf(said, sizeof(said), "%s", line);
}

static void
look(struct limits *l, enum limit which, uint64_t met, uint64_t now_ms)
{
	uint64_t all[LIMITS] = { 0 };

	all[which] = met;
	n_said = 0;
	limits_look(l, all, now_ms, say, NULL);
}

static void
a_limit_that_is_met_is_said_with_what_to_do(void **state)
{
	static const char *const advice[LIMITS] = { "raise max-flows of [weir]",
		"raise max-flows of that VM", "raise zone-limit", "raise new-flows-per-s",
		"ulimit -n", "raise memory" };
	struct limits l;
	enum limit i;

	for (i = 0; i < LIMITS; i++) {
		limits_init(&l, 1000000);
		look(&l, i, 0, 1001000);
		assert_int_equal(n_said, 0);
		look(&l, i, 7, 1002000);
		assert_int_equal(n_said, 1);
		assert_non_null(strstr(said, advice[i]));
		assert_non_null(strstr(said, "7 times in 1 s: "));
	}
}

static void
it_is_said_once_a_minute_with_what_was_not_said_meanwhile(void **state)
{
	struct limits l;
	uint64_t s;

	limits_init(&l, 0);
	look(&l, LIMIT_FLOW_TABLE, 1, 1000);
	assert_int_equal(n_said, 1);
	for (s = 2; s <= 60; s++) {
		look(&l, LIMIT_FLOW_TABLE, s * 100, s * 1000);
		assert_int_equal(n_said, 0);
	}
	look(&l, LIMIT_FLOW_TABLE, 6101, 61000);
	assert_int_equal(n_said, 1);
	assert_non_null(strstr(said, "6100 times in 60 s"));
}

static void
a_minute_of_one_limit_does_not_hold_another_back(void **state)
{
	uint64_t met[LIMITS] = { [LIMIT_FLOW_TABLE] = 1 };
	struct limits l;

	limits_init(&l, 0);
	look(&l, LIMIT_FLOW_TABLE, 1, 1000);
	met[LIMIT_FRAMES] = 1;
	n_said = 0;
	limits_look(&l, met, 2000, say, NULL);
	assert_int_equal(n_said, 1);
	assert_non_null(strstr(said, "frame buffer"));
}

static void
a_limit_that_is_met_no_more_is_said_no_more(void **state)
{
	struct limits l;

	limits_init(&l, 0);
	look(&l, LIMIT_FILES, 5, 1000);
	look(&l, LIMIT_FILES, 5, 100000);
	assert_int_equal(n_said, 0);
	/* What comes later has not taken since then. */
	look(&l, LIMIT_FILES, 6, 101000);
	assert_int_equal(n_said, 1);
	assert_non_null(strstr(said, "1 times in 1 s"));
}

static void
counters_that_went_with_their_vm_are_not_missed(void **state)
{
	struct limits l;

	limits_init(&l, 0);
	look(&l, LIMIT_FRAMES, 1000, 1000);
	look(&l, LIMIT_FRAMES, 10, 2000);
	assert_int_equal(n_said, 0);
	look(&l, LIMIT_FRAMES, 11, 100000);
	assert_int_equal(n_said, 1);
	assert_non_null(strstr(said, "1 times"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_limit_that_is_met_is_said_with_what_to_do),
		cmocka_unit_test(it_is_said_once_a_minute_with_what_was_not_said_meanwhile),
		cmocka_unit_test(a_minute_of_one_limit_does_not_hold_another_back),
		cmocka_unit_test(a_limit_that_is_met_no_more_is_said_no_more),
		cmocka_unit_test(counters_that_went_with_their_vm_are_not_missed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
