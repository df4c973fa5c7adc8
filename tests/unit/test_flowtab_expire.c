/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <string.h>

#include "flowtab_priv.h"
#include "test_flowtab_util.h"

/** Who was told of, in order. */
struct gone_log {
	struct flowtab *ft;
	uint32_t n, idx[512];
	uint64_t handle[512];
};

static void
on_gone(void *arg, uint32_t idx)
{
	struct gone_log *g = arg;

	/* the flow is whole while the user is told of it */
	assert_int_not_equal(flowtab_flows(g->ft)[idx].state, FLOWTAB_FREE);
	g->handle[g->n] = flowtab_handle(g->ft, idx);
	g->idx[g->n++] = idx;
}

static struct flowtab *
table_logged(uint32_t max, struct gone_log *g)
{
	struct flowtab *ft = table_new(max);

	memset(g, 0, sizeof(*g));
	g->ft = ft;
	flowtab_on_gone(ft, on_gone, g);
	return ft;
}

static uint32_t
fill(struct flowtab *ft, uint32_t n, uint64_t deadline)
{
	struct flowtab_tuple t;

	for (uint32_t i = flowtab_count(ft), end = i + n; i < end; i++) {
		t = tuple4(1, i);
		flow_new(ft, &t, T0, deadline);
	}
	return n;
}

static void
expired_flow_is_absent_before_it_is_freed(void **state)
{
	struct flowtab *ft = table_new(16);
	struct flowtab_tuple t = tuple4(1, 1);
	uint32_t idx = flow_new(ft, &t, T0, T0 + 5000);

	assert_int_equal(flowtab_lookup(ft, &t, T0 + 4999, NULL), idx);
	assert_int_equal(flowtab_lookup(ft, &t, T0 + 5000, NULL), FLOWTAB_NONE);
	assert_int_equal(flowtab_count(ft), 1);
	assert_int_equal(flowtab_flows(ft)[idx].state, FLOWTAB_TYPED);
	flowtab_destroy(ft);
}

static void
expired_flow_is_freed_and_the_user_told(void **state)
{
	struct gone_log g;
	struct flowtab *ft = table_logged(16, &g);
	struct flowtab_tuple a = tuple4(1, 1), b = tuple4(2, 2);
	uint32_t one = flow_new(ft, &a, T0, T0 + 5000), two = flow_new(ft, &b, T0, T0 + 7000);
	uint64_t h = flowtab_handle(ft, one);

	assert_true(flowtab_next(ft) == T0 + 5000);
	assert_int_equal(flowtab_expire(ft, T0 + 4999, 100), 0);
	assert_int_equal(flowtab_expire(ft, T0 + 5000, 100), 1);
	assert_int_equal(g.n, 1);
	assert_int_equal(g.idx[0], one);
	assert_true(g.handle[0] == h);
	assert_int_equal(flowtab_by_handle(ft, h), FLOWTAB_NONE);
	assert_int_equal(flowtab_count(ft), 1);
	assert_int_equal(flowtab_pif_count(ft, 1), 0);
	assert_int_equal(flowtab_pif_count(ft, 2), 1);
	assert_int_equal(flowtab_lookup(ft, &b, T0 + 5000, NULL), two);
	/* free by the user's own hand is no news to it */
	flowtab_free(ft, two);
	assert_int_equal(g.n, 1);
	assert_true(flowtab_next(ft) == FLOWTAB_NEVER);
	flowtab_destroy(ft);
}

static void
touched_flow_lives_on(void **state)
{
	struct flowtab *ft = table_new(16);
	struct flowtab_tuple t = tuple4(1, 1);
	uint32_t idx = flow_new(ft, &t, T0, T0 + 5000);

	for (uint64_t now = T0 + 1000; now < T0 + 4000000; now += 4000) {
		assert_int_equal(flowtab_lookup(ft, &t, now, NULL), idx);
		flowtab_touch(ft, idx, now + 5000);
		assert_int_equal(flowtab_expire(ft, now, 10), 0);
	}
	flowtab_touch(ft, idx, FLOWTAB_NEVER);
	assert_int_equal(flowtab_expire(ft, T0 + 400 * DAY_MS, 10), 0);
	assert_int_equal(flowtab_lookup(ft, &t, T0 + 400 * DAY_MS, NULL), idx);
	/* and back to an end */
	flowtab_touch(ft, idx, T0 + 401 * DAY_MS);
	assert_int_equal(flowtab_expire(ft, T0 + 401 * DAY_MS, 10), 1);
	flowtab_destroy(ft);
}

static void
deadline_can_be_moved_forward(void **state)
{
	struct flowtab *ft = table_new(16);
	struct flowtab_tuple t = tuple4(1, 1);
	uint32_t idx = flow_new(ft, &t, T0, T0 + 60 * DAY_MS);

	flowtab_touch(ft, idx, T0 + 2000);
	assert_int_equal(flowtab_lookup(ft, &t, T0 + 2000, NULL), FLOWTAB_NONE);
	assert_int_equal(flowtab_expire(ft, T0 + 2000, 10), 1);
	flowtab_destroy(ft);
}

static void
timeouts_past_49_days_work(void **state)
{
	static const uint64_t days[] = { 49, 50, 60, 1000 };
	struct flowtab_tuple t = tuple4(1, 1);
	uint64_t now, next;

	for (size_t i = 0; i < RTE_DIM(days); i++) {
		struct flowtab *ft = table_new(16);
		uint32_t idx = flow_new(ft, &t, T0, T0 + days[i] * DAY_MS);

		for (next = flowtab_next(ft); next < T0 + days[i] * DAY_MS;
			next = flowtab_next(ft)) {
			now = next;
			assert_int_equal(flowtab_expire(ft, now, 10), 0);
			assert_int_equal(flowtab_lookup(ft, &t, now, NULL), idx);
			assert_true(flowtab_next(ft) > now);
		}
		now = T0 + days[i] * DAY_MS;
		assert_int_equal(flowtab_lookup(ft, &t, now - 1, NULL), idx);
		assert_int_equal(flowtab_lookup(ft, &t, now, NULL), FLOWTAB_NONE);
		assert_int_equal(flowtab_expire(ft, now, 10), 1);
		flowtab_destroy(ft);
	}
}

static void
expiry_keeps_to_its_budget(void **state)
{
	struct gone_log g;
	struct flowtab *ft = table_logged(512, &g);

	fill(ft, 400, T0 + 5000);
	assert_int_equal(flowtab_expire(ft, T0 + 5000, 0), 0);
	assert_int_equal(flowtab_expire(ft, T0 + 5000, 50), 50);
	assert_int_equal(flowtab_expire(ft, T0 + 5000, 32), 32);
	/* far behind: double */
	assert_int_equal(flowtab_expire(ft, T0 + 50000, 100), 200);
	assert_int_equal(flowtab_expire(ft, T0 + 50000, 100), 118);
	assert_int_equal(flowtab_expire(ft, T0 + 50000, 100), 0);
	assert_int_equal(g.n, 400);
	flowtab_destroy(ft);
}

static void
flows_that_go_while_others_expire_do_not_hold_up_those(void **state)
{
	struct gone_log g;
	struct flowtab *ft = table_logged(1024, &g);
	uint64_t seed = 1;

	fill(ft, 500, T0 + 5000);
	while (flowtab_count(ft) > 0) {
		uint32_t before = flowtab_count(ft), idx = rnd_below(&seed, 500);

		/* Most likely ahead of those that are looked at now; some live on, some end. */
		flowtab_free(ft, idx);
		flowtab_touch(ft, (idx + 1) % 500, T0 + 10000 + rnd_below(&seed, 600000));
		flowtab_free(ft, (idx + 2) % 500);
		flowtab_expire(ft, T0 + 6000, 7);
		if (flowtab_count(ft) == before)
			break;
	}
	while (flowtab_expire(ft, T0 + 6000, 7) > 0)
		;
	for (uint32_t i = 0; i < 500; i++)
		assert_true(flowtab_flows(ft)[i].state == FLOWTAB_FREE ||
			flowtab_flows(ft)[i].deadline_ms >= T0 + 10000);
	for (uint64_t now = T0 + 6000; now <= T0 + 620000; now += 1000)
		flowtab_expire(ft, now, 128);
	assert_int_equal(flowtab_count(ft), 0);
	flowtab_destroy(ft);
}

static void
bind_takes_the_tuple_of_an_expired_flow(void **state)
{
	struct gone_log g;
	struct flowtab *ft = table_logged(16, &g);
	struct flowtab_tuple t = tuple4(1, 1), o = tuple4(0, 1);
	uint32_t old = flow_new(ft, &t, T0, T0 + 5000), idx;

	assert_int_equal(flowtab_bind(ft, old, FLOWTAB_SIDE_OTHER, &o, T0), 0);
	assert_int_equal(flowtab_new(ft, 1, 0, IPPROTO_TCP, T0, &idx), 0);
	assert_int_equal(flowtab_bind(ft, idx, FLOWTAB_SIDE_GUEST, &t, T0 + 4999), -EEXIST);
	assert_int_equal(g.n, 0);
	assert_int_equal(flowtab_bind(ft, idx, FLOWTAB_SIDE_GUEST, &t, T0 + 5000), 0);
	assert_int_equal(g.n, 1);
	assert_int_equal(g.idx[0], old);
	assert_int_equal(flowtab_lookup(ft, &t, T0 + 5000, NULL), idx);
	/* both sides of the old one are gone */
	assert_int_equal(flowtab_lookup(ft, &o, T0, NULL), FLOWTAB_NONE);
	assert_int_equal(flowtab_count(ft), 1);
	/* its own other side is never evicted, expired or not */
	flowtab_touch(ft, idx, T0 + 6000);
	assert_int_equal(flowtab_bind(ft, idx, FLOWTAB_SIDE_OTHER, &t, T0 + 7000), -EEXIST);
	assert_int_equal(flowtab_count(ft), 1);
	flowtab_destroy(ft);
}

static void
full_table_gives_up_no_living_flow(void **state)
{
	struct gone_log g;
	struct flowtab *ft = table_logged(64, &g);
	uint32_t idx = 77;

	fill(ft, 64, T0 + 5000);
	for (uint32_t i = 0; i < 32; i++)
		assert_int_equal(flowtab_close(ft, i), 0);
	for (uint64_t now = T0; now < T0 + 5000; now += 100)
		assert_int_equal(flowtab_new(ft, 1, 0, IPPROTO_TCP, now, &idx), -ENFILE);
	assert_int_equal(idx, 77);
	assert_int_equal(g.n, 0);
	assert_int_equal(flowtab_count(ft), 64);
	flowtab_destroy(ft);
}

static void
full_table_reclaims_expired_flows_closing_first(void **state)
{
	struct gone_log g;
	struct flowtab *ft = table_logged(64, &g);
	uint32_t idx;

	fill(ft, 64, T0 + 90000);
	flowtab_close(ft, 10); /* closing, lives on */
	flowtab_touch(ft, 20, T0 + 300);
	flowtab_touch(ft, 30, T0 + 400);
	flowtab_close(ft, 30);
	flowtab_touch(ft, 40, T0 + 200);
	flowtab_close(ft, 50);
	flowtab_touch(ft, 50, T0 + 500);
	/* within the tick: expiry has not come by yet */
	assert_int_equal(flowtab_expire(ft, T0 + 600, 1000), 0);
	for (uint32_t i = 0; i < 4; i++) {
		assert_int_equal(flowtab_new(ft, 1, 0, IPPROTO_TCP, T0 + 600, &idx), 0);
		assert_int_equal(g.n, i + 1);
		assert_int_equal(idx, g.idx[i]);
	}
	assert_true((g.idx[0] == 30 && g.idx[1] == 50) || (g.idx[0] == 50 && g.idx[1] == 30));
	assert_true((g.idx[2] == 20 && g.idx[3] == 40) || (g.idx[2] == 40 && g.idx[3] == 20));
	assert_int_equal(flowtab_new(ft, 1, 0, IPPROTO_TCP, T0 + 600, &idx), -ENFILE);
	flowtab_destroy(ft);
}

static void
search_in_a_full_table_is_bounded_but_gets_there(void **state)
{
	struct gone_log g;
	struct flowtab *ft = table_logged(4096, &g);
	uint64_t now = T0 + 90500;
	uint32_t idx, calls = 0;

	/* all end in the tick that is under way, one of them has, and half are closing */
	fill(ft, 4096, T0 + 90900);
	for (uint32_t i = 0; i < 4096; i += 2)
		flowtab_close(ft, i);
	flowtab_touch(ft, 2049, T0 + 90400);
	while (flowtab_new(ft, 1, 0, IPPROTO_TCP, now, &idx) != 0) {
		calls++;
		assert_true(calls < 4096);
		now += calls % 16 == 0; /* only the first of them search */
	}
	assert_int_equal(idx, 2049);
	assert_int_equal(g.n, 1);
	assert_true(calls >= 16);
	flowtab_destroy(ft);
}

static void
port_limit_is_exact(void **state)
{
	struct gone_log g;
	struct flowtab *ft = table_logged(64, &g);
	struct flowtab_tuple t;
	uint32_t idx;

	assert_int_equal(flowtab_pif_limit(ft, 8, 1), -EINVAL);
	assert_int_equal(flowtab_pif_limit(ft, UINT16_MAX, 1), -EINVAL);
	assert_int_equal(flowtab_pif_limit(ft, 1, 10), 0);
	for (uint32_t i = 0; i < 10; i++) {
		t = tuple4(1, i);
		flow_new(ft, &t, T0, T0 + 5000);
	}
	assert_int_equal(flowtab_pif_count(ft, 1), 10);
	assert_int_equal(flowtab_new(ft, 1, 0, IPPROTO_TCP, T0, &idx), -EDQUOT);
	assert_int_equal(flowtab_new(ft, 1, 0, IPPROTO_TCP, T0 + 4999, &idx), -EDQUOT);
	/* other ports are not touched by it, nor those that cannot have a limit */
	t = tuple4(7, 99);
	flow_new(ft, &t, T0, FLOWTAB_NEVER);
	t = tuple4(8, 99);
	flowtab_free(ft, flow_new(ft, &t, T0, FLOWTAB_NEVER));
	assert_int_equal(flowtab_pif_count(ft, 8), 0);
	/* one goes, one comes */
	flowtab_free(ft, 3);
	assert_int_equal(flowtab_pif_count(ft, 1), 9);
	assert_int_equal(flowtab_new(ft, 1, 0, IPPROTO_TCP, T0, &idx), 0);
	assert_int_equal(flowtab_new(ft, 1, 0, IPPROTO_TCP, T0, &idx), -EDQUOT);
	/* lowered below what is there: nobody is thrown out, nobody comes in */
	assert_int_equal(flowtab_pif_limit(ft, 1, 5), 0);
	assert_int_equal(flowtab_new(ft, 1, 0, IPPROTO_TCP, T0, &idx), -EDQUOT);
	assert_int_equal(flowtab_pif_count(ft, 1), 10);
	/* taken away */
	assert_int_equal(flowtab_pif_limit(ft, 1, 0), 0);
	assert_int_equal(flowtab_new(ft, 1, 0, IPPROTO_TCP, T0, &idx), 0);
	assert_int_equal(flowtab_pif_count(ft, 1), 11);
	assert_int_equal(g.n, 0);
	flowtab_destroy(ft);
}

static void
what_is_left_of_the_table_is_for_those_who_have_least(void **state)
{
	struct gone_log g;
	struct flowtab *ft = table_logged(64, &g);
	struct flowtab_tuple t;
	uint32_t idx;

	flowtab_share(ft, 20);
	assert_int_equal(flowtab_pif_limit(ft, 3, 2), 0);
	for (uint32_t i = 0; i < 56; i++) {
		t = tuple4(1, i);
		flow_new(ft, &t, T0, T0 + 5000);
	}
	assert_int_equal(flowtab_new(ft, 1, 0, IPPROTO_TCP, T0, &idx), -EDQUOT);
	for (uint32_t i = 0; i < 6; i++)
		assert_int_equal(flowtab_new(ft, 2, 0, IPPROTO_TCP, T0, &idx), 0);
	for (uint32_t i = 0; i < 2; i++)
		assert_int_equal(flowtab_new(ft, 3, 0, IPPROTO_TCP, T0, &idx), 0);
	assert_int_equal(flowtab_new(ft, 3, 0, IPPROTO_TCP, T0, &idx), -EDQUOT);
	assert_int_equal(flowtab_new(ft, 2, 0, IPPROTO_TCP, T0, &idx), -ENFILE);
	/* One goes, and not the greediest gets its place. */
	flowtab_free(ft, 0);
	assert_int_equal(flowtab_new(ft, 1, 0, IPPROTO_TCP, T0, &idx), -EDQUOT);
	assert_int_equal(flowtab_new(ft, 2, 0, IPPROTO_TCP, T0, &idx), 0);
	/* What has expired makes room for it again. */
	assert_int_equal(flowtab_new(ft, 1, 0, IPPROTO_TCP, T0 + 5000, &idx), 0);
	flowtab_destroy(ft);
}

static void
expired_flows_do_not_count_against_the_limit(void **state)
{
	struct gone_log g;
	struct flowtab *ft = table_logged(64, &g);
	uint32_t idx;

	assert_int_equal(flowtab_pif_limit(ft, 1, 10), 0);
	fill(ft, 10, T0 + 500);
	assert_int_equal(flowtab_new(ft, 1, 0, IPPROTO_TCP, T0 + 499, &idx), -EDQUOT);
	for (uint32_t i = 0; i < 10; i++)
		assert_int_equal(flowtab_new(ft, 1, 0, IPPROTO_TCP, T0 + 500, &idx), 0);
	assert_int_equal(flowtab_new(ft, 1, 0, IPPROTO_TCP, T0 + 500, &idx), -EDQUOT);
	assert_int_equal(flowtab_pif_count(ft, 1), 10);
	assert_int_equal(g.n, 10);
	flowtab_destroy(ft);
}

static void
knocking_at_a_limit_does_not_use_up_the_search_of_others(void **state)
{
	struct gone_log g;
	struct flowtab *ft = table_logged(64, &g);
	struct flowtab_tuple t;
	uint32_t idx;

	assert_int_equal(flowtab_pif_limit(ft, 2, 1), 0);
	t = tuple4(2, 0);
	flow_new(ft, &t, T0, FLOWTAB_NEVER);
	fill(ft, 63, T0 + 90000);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(flowtab_new(ft, 2, 0, IPPROTO_TCP, T0 + 100, &idx), -EDQUOT);
	flowtab_touch(ft, 40, T0 + 100);
	assert_int_equal(flowtab_new(ft, 1, 0, IPPROTO_TCP, T0 + 100, &idx), 0);
	assert_int_equal(idx, 40);
	flowtab_destroy(ft);
}

static void
closing_flows_leave_in_any_order(void **state)
{
	struct gone_log g;
	struct flowtab *ft = table_logged(64, &g);
	uint32_t idx;

	fill(ft, 64, T0 + 90000);
	for (uint32_t i = 0; i < 8; i++)
		flowtab_close(ft, i);
	flowtab_free(ft, 0); /* head, middle, tail */
	flowtab_free(ft, 4);
	flowtab_free(ft, 7);
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(flowtab_new(ft, 1, 0, IPPROTO_TCP, T0, &idx), 0);
	flowtab_touch(ft, 6, T0 + 1);
	assert_int_equal(flowtab_new(ft, 1, 0, IPPROTO_TCP, T0 + 1, &idx), 0);
	assert_int_equal(idx, 6);
	for (uint32_t i = 1; i < 6; i++) {
		if (i != 4)
			flowtab_free(ft, i);
	}
	/* the ring is empty, and begins anew */
	for (uint32_t i = 0; i < 4; i++)
		assert_int_equal(flowtab_new(ft, 1, 0, IPPROTO_TCP, T0, &idx), 0);
	flowtab_close(ft, 33);
	flowtab_touch(ft, 33, T0 + 2);
	assert_int_equal(flowtab_new(ft, 1, 0, IPPROTO_TCP, T0 + 2, &idx), 0);
	assert_int_equal(idx, 33);
	flowtab_destroy(ft);
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
		cmocka_unit_test(expired_flow_is_absent_before_it_is_freed),
		cmocka_unit_test(expired_flow_is_freed_and_the_user_told),
		cmocka_unit_test(touched_flow_lives_on),
		cmocka_unit_test(deadline_can_be_moved_forward),
		cmocka_unit_test(timeouts_past_49_days_work),
		cmocka_unit_test(expiry_keeps_to_its_budget),
		cmocka_unit_test(flows_that_go_while_others_expire_do_not_hold_up_those),
		cmocka_unit_test(bind_takes_the_tuple_of_an_expired_flow),
		cmocka_unit_test(full_table_gives_up_no_living_flow),
		cmocka_unit_test(full_table_reclaims_expired_flows_closing_first),
		cmocka_unit_test(search_in_a_full_table_is_bounded_but_gets_there),
		cmocka_unit_test(port_limit_is_exact),
		cmocka_unit_test(what_is_left_of_the_table_is_for_those_who_have_least),
		cmocka_unit_test(expired_flows_do_not_count_against_the_limit),
		cmocka_unit_test(knocking_at_a_limit_does_not_use_up_the_search_of_others),
		cmocka_unit_test(closing_flows_leave_in_any_order),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
