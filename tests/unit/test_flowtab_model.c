/* SPDX-License-Identifier: BSD-3-Clause */
/* The table against a model that keeps everything in a flat array, driven by a fixed seed. */
#include <errno.h>
#include <string.h>

#include "flowtab_priv.h"
#include "test_flowtab_util.h"

#define FLOWS 24
#define PIFS 3
#define TUPLES 40
#define LIMIT 10

struct model_flow {
	uint8_t state;
	uint16_t pif;
	uint64_t deadline;
	uint64_t handle;
	int tuple[FLOWTAB_SIDES]; /**< number of the tuple, or -1 */
};

struct model {
	struct flowtab *ft;
	struct model_flow flow[FLOWS];
	uint64_t now, seed;
	uint32_t gone;  /**< flows the table dropped in this step */
	bool gone_open; /**< one of them was not closing */
};

static struct flowtab_tuple
tuple_nr(int nr)
{
	struct flowtab_tuple t = nr % 3 == 0 ? tuple6((uint16_t)(nr % PIFS), (uint32_t)nr / 6)
					     : tuple4((uint16_t)(nr % PIFS), (uint32_t)nr / 6);

	t.oport ^= (rte_be16_t)(nr % 2);
	return t;
}

static bool
model_expired(const struct model *m, uint32_t i)
{
	return m->flow[i].state != FLOWTAB_FREE && m->flow[i].deadline <= m->now;
}

static void
on_gone(void *arg, uint32_t idx)
{
	struct model *m = arg;

	assert_true(model_expired(m, idx));
	m->gone++;
	m->gone_open |= m->flow[idx].state != FLOWTAB_CLOSING;
	m->flow[idx].state = FLOWTAB_FREE;
}

static uint32_t
model_find(const struct model *m, int nr, int *side)
{
	for (uint32_t i = 0; i < FLOWS; i++) {
		for (int s = 0; m->flow[i].state != FLOWTAB_FREE && s < FLOWTAB_SIDES; s++) {
			if (m->flow[i].tuple[s] == nr) {
				*side = s;
				return i;
			}
		}
	}
	return FLOWTAB_NONE;
}

static uint32_t
model_count(const struct model *m, int pif)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < FLOWS; i++)
		n += m->flow[i].state != FLOWTAB_FREE && (pif < 0 || m->flow[i].pif == pif);
	return n;
}

static uint64_t
random_deadline(struct model *m)
{
	switch (rnd_below(&m->seed, 6)) {
	case 0:
		return FLOWTAB_NEVER;
	case 1:
		return m->now + rnd(&m->seed) % (60 * DAY_MS);
	default:
		return m->now + rnd_below(&m->seed, 20000);
	}
}

static void
step_new(struct model *m)
{
	uint16_t pif = (uint16_t)rnd_below(&m->seed, PIFS);
	uint32_t n = model_count(m, -1), pn = model_count(m, pif), own = 0, any = 0, closing = 0, i;
	int err;

	for (uint32_t k = 0; k < FLOWS; k++) {
		any += model_expired(m, k);
		own += model_expired(m, k) && m->flow[k].pif == pif;
		closing += model_expired(m, k) && m->flow[k].state == FLOWTAB_CLOSING;
	}
	m->gone = 0;
	m->gone_open = false;
	err = flowtab_new(m->ft, pif, 0, IPPROTO_TCP, m->now, &i);
	if (m->gone_open)
		assert_true(m->gone > closing); /* the closing ones went first */
	if (pif == 1 && pn == LIMIT && own == 0) {
		assert_int_equal(err, -EDQUOT);
		return;
	}
	if (n == FLOWS && any == 0) {
		assert_int_equal(err, -ENFILE);
		return;
	}
	assert_int_equal(err, 0);
	if (n < FLOWS && !(pif == 1 && pn == LIMIT))
		assert_int_equal(m->gone, 0);
	assert_int_equal(m->flow[i].state, FLOWTAB_FREE);
	m->flow[i] = (struct model_flow){ .state = FLOWTAB_NEW,
		.pif = pif,
		.deadline = FLOWTAB_NEVER,
		.handle = flowtab_handle(m->ft, i),
		.tuple = { -1, -1 } };
}

static void
step_bind(struct model *m, uint32_t i)
{
	struct model_flow *f = &m->flow[i];
	int nr = (int)rnd_below(&m->seed, TUPLES), side = (int)rnd_below(&m->seed, 2), s;
	struct flowtab_tuple t = tuple_nr(nr);
	bool allowed =
		f->state != FLOWTAB_FREE && f->state != FLOWTAB_CLOSING && f->tuple[side] < 0;
	uint32_t other = model_find(m, nr, &s);
	bool taken = other != FLOWTAB_NONE && (other == i || !model_expired(m, other));
	int err = flowtab_bind(m->ft, i, (enum flowtab_side)side, &t, m->now);

	assert_int_equal(err, !allowed ? -EINVAL : taken ? -EEXIST : 0);
	if (err != 0)
		return;
	if (other != FLOWTAB_NONE)
		assert_int_equal(m->flow[other].state, FLOWTAB_FREE);
	f->tuple[side] = nr;
	if (f->state == FLOWTAB_NEW)
		f->state = FLOWTAB_TYPED;
}

static void
step_change(struct model *m, uint32_t i)
{
	struct model_flow *f = &m->flow[i];
	int err;

	switch (rnd_below(&m->seed, 8)) {
	case 0:
		err = flowtab_activate(m->ft, i);
		assert_int_equal(err, f->state == FLOWTAB_TYPED ? 0 : -EINVAL);
		if (err == 0)
			f->state = FLOWTAB_ACTIVE;
		break;
	case 1:
		err = flowtab_close(m->ft, i);
		assert_int_equal(
			err, f->state == FLOWTAB_TYPED || f->state == FLOWTAB_ACTIVE ? 0 : -EINVAL);
		if (err == 0)
			f->state = FLOWTAB_CLOSING;
		break;
	case 2:
		flowtab_free(m->ft, i);
		f->state = FLOWTAB_FREE;
		break;
	default:
		f->deadline = random_deadline(m);
		flowtab_touch(m->ft, i, f->deadline);
	}
}

static void
step_expire(struct model *m)
{
	uint64_t tick = m->now - (m->now - T0) % FLOWTAB_TICK_MS, first = FLOWTAB_NEVER;
	bool bounded = rnd_below(&m->seed, 2);
	uint32_t freed;

	m->gone = 0;
	freed = flowtab_expire(m->ft, m->now, bounded ? rnd_below(&m->seed, 6) : 10000);
	assert_int_equal(freed, m->gone);
	if (bounded)
		return;
	for (uint32_t i = 0; i < FLOWS; i++) {
		if (m->flow[i].state == FLOWTAB_FREE)
			continue;
		/* deadlines are set from now on, so that none was in the past */
		assert_true(m->flow[i].deadline >= tick);
		first = RTE_MIN(first, m->flow[i].deadline);
	}
	if (first != FLOWTAB_NEVER)
		assert_true(flowtab_next(m->ft) <= RTE_MAX(first, m->now) + FLOWTAB_TICK_MS);
}

static void
check_lookups(struct model *m)
{
	struct flowtab_tuple t[FLOWTAB_BURST];
	const struct flowtab_tuple *ptr[FLOWTAB_BURST];
	uint32_t idx[FLOWTAB_BURST], hits = 0, want;
	uint8_t side[FLOWTAB_BURST];
	int nr[FLOWTAB_BURST], s = 0;

	for (unsigned int i = 0; i < FLOWTAB_BURST; i++) {
		nr[i] = (int)rnd_below(&m->seed, TUPLES);
		t[i] = tuple_nr(nr[i]);
		ptr[i] = &t[i];
	}
	hits = flowtab_lookup_burst(m->ft, ptr, FLOWTAB_BURST, m->now, idx, side);
	for (unsigned int i = 0; i < FLOWTAB_BURST; i++) {
		want = model_find(m, nr[i], &s);
		if (want != FLOWTAB_NONE && model_expired(m, want))
			want = FLOWTAB_NONE;
		assert_int_equal(idx[i], want);
		if (want == FLOWTAB_NONE)
			continue;
		hits--;
		assert_int_equal(side[i], s);
		assert_int_equal(flowtab_lookup(m->ft, &t[i], m->now, &side[i]), want);
		assert_int_equal(side[i], s);
	}
	assert_int_equal(hits, 0);
}

static void
check_all(struct model *m)
{
	uint32_t cursor = 0, idx[5], n, shown = 0;
	struct flowtab_tuple t, want;

	assert_int_equal(flowtab_count(m->ft), model_count(m, -1));
	for (int pif = 0; pif < PIFS; pif++)
		assert_int_equal(flowtab_pif_count(m->ft, (uint16_t)pif), model_count(m, pif));
	for (uint32_t i = 0; i < FLOWS; i++) {
		const struct model_flow *f = &m->flow[i];

		assert_int_equal(flowtab_flows(m->ft)[i].state, f->state);
		shown += f->state != FLOWTAB_FREE && f->state != FLOWTAB_NEW;
		assert_int_equal(flowtab_by_handle(m->ft, f->handle),
			f->state != FLOWTAB_FREE ? i : FLOWTAB_NONE);
		for (int s = 0; f->state != FLOWTAB_FREE && s < FLOWTAB_SIDES; s++) {
			assert_int_equal(flowtab_tuple(m->ft, i, (enum flowtab_side)s, &t),
				f->tuple[s] < 0 ? -ENOENT : 0);
			if (f->tuple[s] < 0)
				continue;
			want = tuple_nr(f->tuple[s]);
			assert_memory_equal(&t, &want, sizeof(t));
		}
	}
	while ((n = flowtab_dump(m->ft, &cursor, idx, RTE_DIM(idx))) != 0)
		shown -= n;
	assert_int_equal(shown, 0);
}

static void
run_model(uint32_t hash_mask)
{
	struct model m = { .ft = table_new(FLOWS), .now = T0, .seed = 4711 + hash_mask };

	m.ft->hash_mask = hash_mask;
	flowtab_on_gone(m.ft, on_gone, &m);
	assert_int_equal(flowtab_pif_limit(m.ft, 1, LIMIT), 0);
	for (int round = 0; round < (TEST_SANITIZED ? 10000 : 50000); round++) {
		for (int k = 0; k < 8; k++) {
			uint32_t i = rnd_below(&m.seed, FLOWS);

			if (rnd_below(&m.seed, 3) == 0)
				step_new(&m);
			if (rnd_below(&m.seed, 2) == 0)
				step_bind(&m, i);
			else
				step_change(&m, i);
		}
		/* one ms at least, for searches are rationed by ms */
		m.now += 1 + rnd_below(&m.seed, 4000);
		if (rnd_below(&m.seed, 300) == 0)
			m.now += rnd(&m.seed) % (70 * DAY_MS);
		if (rnd_below(&m.seed, 3) == 0)
			step_expire(&m);
		check_lookups(&m);
		check_all(&m);
	}
	flowtab_destroy(m.ft);
}

static void
behaves_as_a_naive_model(void **state)
{
	run_model(UINT32_MAX);
}

static void
behaves_as_a_naive_model_when_hashes_collide(void **state)
{
	run_model(0);
	run_model(0x00010001);
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
		cmocka_unit_test(behaves_as_a_naive_model),
		cmocka_unit_test(behaves_as_a_naive_model_when_hashes_collide),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
