/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <string.h>

#include <rte_cycles.h>

#include "test_flowtab_util.h"
#include "wheel_priv.h"

#define N 256
#define TICK 1000

/** A wheel and the deadlines of its items, as their owner keeps them. */
struct clockwork {
	struct flowtab_wheel *w;
	uint64_t deadline[N];
	uint64_t set_ms[N]; /**< when it was told to the wheel (the model only) */
	uint32_t asked;     /**< calls of the deadline function */
	uint32_t due[N];
};

static uint64_t
deadline_of(void *arg, uint32_t item)
{
	struct clockwork *c = arg;

	assert_in_range(item, 0, N - 1);
	c->asked++;
	return c->deadline[item];
}

static void
clockwork_start(struct clockwork *c, uint32_t tick_ms)
{
	memset(c, 0, sizeof(*c));
	memset(c->deadline, 0xff, sizeof(c->deadline));
	c->w = flowtab_wheel_create(N, tick_ms, T0, SOCKET_ID_ANY);
	assert_non_null(c->w);
}

static void
set(struct clockwork *c, uint32_t item, uint64_t deadline)
{
	c->deadline[item] = deadline;
	flowtab_wheel_set(c->w, item, deadline);
}

static uint32_t
advance(struct clockwork *c, uint64_t now)
{
	return flowtab_wheel_advance(c->w, now, deadline_of, c, c->due, N, UINT32_MAX);
}

static void
refuses_to_be_created_without_sense(void **state)
{
	static const uint32_t bad[][2] = { { 0, 1 }, { 1, 0 }, { (1 << 24) + 1, 1 } };

	for (size_t i = 0; i < RTE_DIM(bad); i++) {
		rte_errno = 0;
		assert_null(flowtab_wheel_create(bad[i][0], bad[i][1], T0, SOCKET_ID_ANY));
		assert_int_equal(rte_errno, EINVAL);
	}
	rte_errno = 0;
	assert_null(flowtab_wheel_create(1 << 24, 1, T0, SOCKET_ID_ANY));
	assert_int_equal(rte_errno, ENOMEM);
	flowtab_wheel_destroy(NULL);
}

static void
empty_wheel_has_nothing_due_and_never_next(void **state)
{
	struct clockwork c;

	clockwork_start(&c, TICK);
	assert_int_equal(advance(&c, T0), 0);
	assert_int_equal(advance(&c, T0 + 400 * DAY_MS), 0);
	assert_true(flowtab_wheel_next(c.w) == FLOWTAB_NEVER);
	flowtab_wheel_set(c.w, 0, FLOWTAB_NEVER);
	assert_true(flowtab_wheel_next(c.w) == FLOWTAB_NEVER);
	flowtab_wheel_clear(c.w, 0);
	flowtab_wheel_destroy(c.w);
}

static void
item_comes_within_a_tick_of_its_deadline_and_never_before(void **state)
{
	static const uint64_t after[] = { 0, 1, 999, 1000, 1001, 5500, 511999, 512000, 512001,
		513000, 600000, 1023999, 1024000, 1024001, 131071000, 131072000, 131584000,
		131584001, 140000000, 60 * DAY_MS, 400 * DAY_MS };
	struct clockwork c;

	for (size_t i = 0; i < RTE_DIM(after); i++) {
		uint64_t deadline = T0 + after[i], now;

		clockwork_start(&c, TICK);
		set(&c, 7, deadline);
		/* Go as one who sleeps until next() says so. */
		for (;;) {
			now = flowtab_wheel_next(c.w);
			assert_true(now < deadline + TICK || now == T0 + TICK);
			if (advance(&c, now) != 0)
				break;
			assert_true(flowtab_wheel_next(c.w) > now);
		}
		assert_int_equal(c.due[0], 7);
		assert_true(now >= deadline);
		assert_true(now < deadline + TICK || now == T0 + TICK);
		assert_true(flowtab_wheel_next(c.w) == FLOWTAB_NEVER);
		flowtab_wheel_destroy(c.w);
	}
}

static void
deadline_in_the_past_comes_with_the_next_tick(void **state)
{
	struct clockwork c;

	clockwork_start(&c, TICK);
	assert_int_equal(advance(&c, T0 + 700000), 0);
	set(&c, 1, T0 - 5);
	set(&c, 2, T0 + 1);
	set(&c, 3, 0);
	assert_true(flowtab_wheel_next(c.w) == T0 + 701000);
	assert_int_equal(advance(&c, T0 + 700999), 0);
	assert_int_equal(advance(&c, T0 + 701000), 3);
	flowtab_wheel_destroy(c.w);
}

static void
later_deadline_costs_no_relink_and_is_found_lazily(void **state)
{
	struct clockwork c;

	clockwork_start(&c, TICK);
	set(&c, 0, T0 + 5000);
	c.deadline[0] = T0 + 9000; /* the wheel is not told */
	assert_true(flowtab_wheel_next(c.w) == T0 + 5000);
	assert_int_equal(advance(&c, T0 + 5000), 0);
	assert_int_equal(c.asked, 1);
	assert_true(flowtab_wheel_next(c.w) == T0 + 9000);
	/* telling it makes no difference */
	set(&c, 0, T0 + 11000);
	assert_true(flowtab_wheel_next(c.w) == T0 + 9000);
	assert_int_equal(advance(&c, T0 + 10999), 0);
	assert_int_equal(advance(&c, T0 + 11000), 1);
	flowtab_wheel_destroy(c.w);
}

static void
earlier_deadline_is_relinked(void **state)
{
	static const uint64_t from[] = { 5000, 500000, 600000, 100000000, 60 * DAY_MS };
	struct clockwork c;

	for (size_t i = 0; i < RTE_DIM(from); i++) {
		clockwork_start(&c, TICK);
		set(&c, 0, T0 + from[i]);
		set(&c, 0, T0 + 3000);
		assert_true(flowtab_wheel_next(c.w) == T0 + 3000);
		assert_int_equal(advance(&c, T0 + 3000), 1);
		assert_true(flowtab_wheel_next(c.w) == FLOWTAB_NEVER);
		flowtab_wheel_destroy(c.w);
	}
}

static void
never_leaves_the_item_and_unlinks_it_when_looked_at(void **state)
{
	struct clockwork c;

	clockwork_start(&c, TICK);
	set(&c, 0, T0 + 2000);
	set(&c, 0, FLOWTAB_NEVER);
	assert_true(flowtab_wheel_next(c.w) == T0 + 2000);
	assert_int_equal(advance(&c, T0 + 2000), 0);
	assert_true(flowtab_wheel_next(c.w) == FLOWTAB_NEVER);
	flowtab_wheel_destroy(c.w);
}

static void
cleared_item_never_comes(void **state)
{
	struct clockwork c;

	clockwork_start(&c, TICK);
	for (uint32_t i = 0; i < 9; i++)
		set(&c, i, T0 + 2000 + i / 3 * 600000);
	/* first, middle and last of a slot, near and far */
	flowtab_wheel_clear(c.w, 0);
	flowtab_wheel_clear(c.w, 4);
	flowtab_wheel_clear(c.w, 8);
	flowtab_wheel_clear(c.w, 8);
	assert_int_equal(advance(&c, T0 + DAY_MS), 6);
	for (uint32_t i = 0; i < 6; i++)
		assert_true(c.due[i] % 4 != 0);
	flowtab_wheel_destroy(c.w);
}

static void
due_items_stay_until_there_is_room_for_them(void **state)
{
	struct clockwork c;
	uint32_t due[10], seen = 0, n;

	clockwork_start(&c, TICK);
	for (uint32_t i = 0; i < 25; i++)
		set(&c, i, T0 + 1000);
	while ((n = flowtab_wheel_advance(c.w, T0 + 1000, deadline_of, &c, due, 10, 1000)) != 0) {
		seen += n;
		assert_true(n <= 10);
	}
	assert_int_equal(seen, 25);
	flowtab_wheel_destroy(c.w);
}

static void
budget_bounds_the_items_looked_at(void **state)
{
	struct clockwork c;
	uint32_t seen = 0;

	clockwork_start(&c, TICK);
	for (uint32_t i = 0; i < 100; i++) {
		set(&c, i, T0 + 2000);
		if (i < 50)
			c.deadline[i] = T0 + 700000; /* moved on */
	}
	for (int call = 0; call < 10; call++) {
		c.asked = 0;
		seen += flowtab_wheel_advance(c.w, T0 + 2000, deadline_of, &c, c.due, N, 10);
		assert_int_equal(c.asked, 10);
	}
	assert_int_equal(seen, 50);
	c.asked = 0;
	assert_int_equal(flowtab_wheel_advance(c.w, T0 + 2000, deadline_of, &c, c.due, N, 0), 0);
	assert_int_equal(c.asked, 0);
	flowtab_wheel_destroy(c.w);
}

static void
budget_doubles_when_far_behind(void **state)
{
	struct clockwork c;

	clockwork_start(&c, TICK);
	for (uint32_t i = 0; i < 100; i++)
		set(&c, i, T0 + 2000);
	assert_int_equal(flowtab_wheel_advance(c.w, T0 + 9000, deadline_of, &c, c.due, N, 10), 10);
	assert_int_equal(flowtab_wheel_advance(c.w, T0 + 11000, deadline_of, &c, c.due, N, 10), 20);
	/* a long sleep without anything due is not being behind */
	assert_int_equal(advance(&c, T0 + 12000), 70);
	set(&c, 0, T0 + 499000);
	set(&c, 1, T0 + 499000);
	assert_int_equal(flowtab_wheel_advance(c.w, T0 + 500000, deadline_of, &c, c.due, N, 1), 1);
	flowtab_wheel_destroy(c.w);
}

static void
far_slot_is_spread_within_the_budget(void **state)
{
	struct clockwork c;
	uint32_t seen = 0;

	clockwork_start(&c, TICK);
	for (uint32_t i = 0; i < N; i++)
		set(&c, i, T0 + 1024000 + i * 1000);
	for (uint64_t now = T0; now <= T0 + 1024000 + N * 1000; now += 1000) {
		c.asked = 0;
		seen += flowtab_wheel_advance(c.w, now, deadline_of, &c, c.due, N, 16);
		assert_true(c.asked <= 32);
	}
	seen += advance(&c, T0 + 1024000 + N * 1000);
	assert_int_equal(seen, N);
	flowtab_wheel_destroy(c.w);
}

static void
time_that_goes_back_changes_nothing(void **state)
{
	struct clockwork c;

	clockwork_start(&c, TICK);
	set(&c, 0, T0 + 5000);
	assert_int_equal(advance(&c, T0 + 4000), 0);
	assert_int_equal(advance(&c, T0 - 4000), 0);
	assert_int_equal(advance(&c, 0), 0);
	assert_int_equal(advance(&c, T0 + 5000), 1);
	flowtab_wheel_destroy(c.w);
}

static void
advance_is_cheap_when_nothing_is_due(void **state)
{
	struct clockwork c;
	uint64_t start;

	clockwork_start(&c, 1);
	set(&c, 0, T0 + 100 * DAY_MS);
	start = rte_get_tsc_cycles();
	/* 60 days of 1 ms ticks: without skipping this would not end */
	for (uint64_t day = 0; day < 60; day++)
		assert_int_equal(advance(&c, T0 + day * DAY_MS), 0);
	assert_true(rte_get_tsc_cycles() - start < rte_get_tsc_hz());
	flowtab_wheel_destroy(c.w);
}

/** Deadlines of all magnitudes. */
static uint64_t
random_deadline(uint64_t *seed, uint64_t now, uint32_t tick)
{
	switch (rnd_below(seed, 8)) {
	case 0:
		return FLOWTAB_NEVER;
	case 1:
		return now - rnd_below(seed, 5 * tick);
	case 2:
		return now + (uint64_t)tick * rnd_below(seed, 300000);
	case 3:
		return now + rnd(seed) % (100 * DAY_MS);
	case 4:
		return now + (uint64_t)tick * 512 * rnd_below(seed, 4);
	default:
		return now + rnd(seed) % (UINT64_C(600) * tick);
	}
}

static void
check_next(const struct clockwork *c, uint64_t now, uint32_t tick)
{
	uint64_t first = FLOWTAB_NEVER, next = flowtab_wheel_next(c->w);

	for (uint32_t i = 0; i < N; i++)
		first = RTE_MIN(first, c->deadline[i]);
	assert_true(next > now);
	if (first == FLOWTAB_NEVER)
		return;
	first = RTE_MAX(first, now);
	assert_true(next <= first + tick);
}

static void
advance_and_check(struct clockwork *c, uint64_t now, uint32_t tick, uint64_t *seed)
{
	bool bounded = rnd_below(seed, 4) == 0;
	uint32_t n = flowtab_wheel_advance(c->w, now, deadline_of, c, c->due,
		bounded ? 1 + rnd_below(seed, N) : N, bounded ? rnd_below(seed, 20) : UINT32_MAX);

	for (uint32_t i = 0; i < n; i++) {
		assert_true(c->deadline[c->due[i]] <= now);
		c->deadline[c->due[i]] = FLOWTAB_NEVER; /* handed out: once only */
	}
	if (bounded)
		return;
	/* What was in the past when it was set comes with the next tick. */
	for (uint32_t i = 0; i < N; i++)
		assert_true(RTE_MAX(c->deadline[i], c->set_ms[i] + 1) > now - (now - T0) % tick);
	check_next(c, now, tick);
}

/** An early walk without bounds leaves nothing that is due. */
static void
walk_early_and_check(struct clockwork *c, uint64_t now)
{
	struct flowtab_wheel_walk walk = {
		.now_ms = now,
		.deadline = deadline_of,
		.arg = c,
		.due = c->due,
		.max = N,
		.budget = UINT32_MAX,
		.early = true,
	};

	flowtab_wheel_walk(c->w, &walk);
	for (uint32_t i = 0; i < walk.n; i++) {
		assert_true(c->deadline[c->due[i]] <= now);
		c->deadline[c->due[i]] = FLOWTAB_NEVER;
	}
	for (uint32_t i = 0; i < N; i++)
		assert_true(c->deadline[i] > now);
}

static void
early_walk_finds_what_is_due_in_a_tick_under_way(void **state)
{
	struct clockwork c;
	uint32_t due;
	struct flowtab_wheel_walk walk = { .now_ms = T0 + 512500,
		.deadline = deadline_of,
		.arg = &c,
		.due = &due,
		.max = 1,
		.budget = 20,
		.early = true };

	clockwork_start(&c, TICK);
	assert_int_equal(advance(&c, T0 + 1000), 0);
	for (uint32_t i = 0; i < 10; i++)
		set(&c, i, T0 + 512600 + i);
	set(&c, 20, T0 + 512500);
	for (uint32_t i = 10; i < 20; i++)
		set(&c, i, T0 + 512600 + i);
	flowtab_wheel_walk(c.w, &walk);
	assert_int_equal(walk.n, 1);
	assert_int_equal(due, 20);
	c.deadline[20] = FLOWTAB_NEVER;
	/* what is left is looked at once, and stays */
	walk.budget = 1000;
	c.asked = 0;
	flowtab_wheel_walk(c.w, &walk);
	assert_int_equal(walk.n, 0);
	assert_int_equal(c.asked, 20);
	assert_int_equal(walk.budget, 980);
	assert_true(flowtab_wheel_next(c.w) == T0 + 513000);
	/* with less budget than items it goes on where it stopped */
	c.deadline[19] = T0 + 512500;
	for (int call = 0; call < 5 && walk.n == 0; call++) {
		walk.budget = 5;
		flowtab_wheel_walk(c.w, &walk);
	}
	assert_int_equal(walk.n, 1);
	assert_int_equal(due, 19);
	c.deadline[19] = FLOWTAB_NEVER;
	assert_int_equal(advance(&c, T0 + 513000), 19);
	flowtab_wheel_destroy(c.w);
}

static void
behaves_as_a_naive_model(void **state)
{
	static const uint32_t ticks[] = { 1, 4, 7, 1000, 65537 };
	uint64_t seed = 20240229, now, step;
	struct clockwork c;

	for (size_t t = 0; t < RTE_DIM(ticks); t++) {
		clockwork_start(&c, ticks[t]);
		now = T0;
		for (int round = 0; round < (TEST_SANITIZED ? 4000 : 20000); round++) {
			for (uint32_t k = rnd_below(&seed, 8); k > 0; k--) {
				uint32_t item = rnd_below(&seed, N);
				uint64_t to = random_deadline(&seed, now, ticks[t]);

				if (rnd_below(&seed, 6) == 0) {
					flowtab_wheel_clear(c.w, item);
					c.deadline[item] = FLOWTAB_NEVER;
				} else if (to < c.deadline[item]) {
					set(&c, item, to);
					c.set_ms[item] = now;
				} else {
					c.deadline[item] = to; /* later: lazily */
				}
			}
			step = rnd_below(&seed, 4) == 0 ? rnd(&seed) % (UINT64_C(2000) * ticks[t])
							: rnd_below(&seed, 3 * ticks[t] + 1);
			if (rnd_below(&seed, 500) == 0)
				step = rnd(&seed) % (UINT64_C(400000) * ticks[t]);
			now += step;
			if (rnd_below(&seed, 3) == 0)
				walk_early_and_check(&c, now);
			else
				advance_and_check(&c, now, ticks[t], &seed);
		}
		flowtab_wheel_destroy(c.w);
	}
}

static int
start(void **state)
{
	return eal_start("64");
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
		cmocka_unit_test(refuses_to_be_created_without_sense),
		cmocka_unit_test(empty_wheel_has_nothing_due_and_never_next),
		cmocka_unit_test(item_comes_within_a_tick_of_its_deadline_and_never_before),
		cmocka_unit_test(deadline_in_the_past_comes_with_the_next_tick),
		cmocka_unit_test(later_deadline_costs_no_relink_and_is_found_lazily),
		cmocka_unit_test(earlier_deadline_is_relinked),
		cmocka_unit_test(never_leaves_the_item_and_unlinks_it_when_looked_at),
		cmocka_unit_test(cleared_item_never_comes),
		cmocka_unit_test(due_items_stay_until_there_is_room_for_them),
		cmocka_unit_test(budget_bounds_the_items_looked_at),
		cmocka_unit_test(budget_doubles_when_far_behind),
		cmocka_unit_test(far_slot_is_spread_within_the_budget),
		cmocka_unit_test(time_that_goes_back_changes_nothing),
		cmocka_unit_test(advance_is_cheap_when_nothing_is_due),
		cmocka_unit_test(early_walk_finds_what_is_due_in_a_tick_under_way),
		cmocka_unit_test(behaves_as_a_naive_model),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
