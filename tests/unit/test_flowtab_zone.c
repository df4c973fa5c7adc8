/* SPDX-License-Identifier: BSD-3-Clause */
/* Zones and their limits, counters of flows, what a full table gives up, the CRC option. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

#include "flowtab_priv.h"
#include "test_flowtab_util.h"

#define TABLES 3

/** Tables of several workers that share their zones. */
struct shared {
	struct flowtab_zones *zones;
	struct flowtab *ft[TABLES];
};

static void
shared_open(struct shared *s, uint32_t max_flows)
{
	struct flowtab_params p = table_params(max_flows);
	char name[8];

	s->zones = flowtab_zones_create(TABLES, SOCKET_ID_ANY);
	assert_non_null(s->zones);
	p.zones = s->zones;
	p.name = name;
	for (uint8_t i = 0; i < TABLES; i++) {
		snprintf(name, sizeof(name), "z%u", i);
		p.owner = i;
		s->ft[i] = flowtab_create(&p);
		assert_non_null(s->ft[i]);
	}
}

static void
shared_close(struct shared *s)
{
	for (unsigned int i = 0; i < TABLES; i++)
		flowtab_destroy(s->ft[i]);
	flowtab_zones_destroy(s->zones);
}

static int
new_in(struct flowtab *ft, uint16_t zone, uint32_t *idx)
{
	return flowtab_new(ft, 1, zone, IPPROTO_TCP, T0, idx);
}

static void
zones_refuse_bad_parameters(void **state)
{
	struct flowtab_params p = table_params(16);
	struct flowtab_zones *z;

	assert_null(flowtab_zones_create(0, SOCKET_ID_ANY));
	assert_int_equal(rte_errno, EINVAL);
	assert_null(flowtab_zones_create(257, SOCKET_ID_ANY));
	assert_int_equal(rte_errno, EINVAL);
	assert_null(flowtab_zones_create(256, SOCKET_ID_ANY)); /* 64 MiB, all there is */
	assert_int_equal(rte_errno, ENOMEM);
	flowtab_zones_destroy(NULL);

	z = flowtab_zones_create(3, SOCKET_ID_ANY);
	assert_non_null(z);
	assert_int_equal(flowtab_zone_limit_set(z, FLOWTAB_ZONES, 1), -EINVAL);
	assert_int_equal(flowtab_zone_limit(z, FLOWTAB_ZONES), FLOWTAB_LIMIT_UNSET);
	p.zones = z;
	p.owner = 3; /* slots are 0, 1, 2 */
	assert_null(flowtab_create(&p));
	assert_int_equal(rte_errno, EINVAL);
	flowtab_zones_destroy(z);
}

static void
zones_are_counted_over_all_tables(void **state)
{
	static const uint16_t zone[] = { 0, 1, 7, 65535 };
	uint32_t want[RTE_DIM(zone)] = { 0 }, idx, n = 0;
	struct {
		uint32_t idx;
		uint8_t table, zone;
	} held[300];
	struct shared s;
	uint64_t seed = 1;

	shared_open(&s, 1024);
	for (int step = 0; step < 20000; step++) {
		if (n < RTE_DIM(held) && (n == 0 || rnd_below(&seed, 2) == 0)) {
			uint8_t t = (uint8_t)rnd_below(&seed, TABLES);
			uint8_t z = (uint8_t)rnd_below(&seed, RTE_DIM(zone));

			assert_int_equal(new_in(s.ft[t], zone[z], &idx), 0);
			held[n].idx = idx;
			held[n].table = t;
			held[n++].zone = z;
			want[z]++;
		} else {
			uint32_t k = rnd_below(&seed, n);

			flowtab_free(s.ft[held[k].table], held[k].idx);
			want[held[k].zone]--;
			held[k] = held[--n];
		}
		for (unsigned int z = 0; z < RTE_DIM(zone); z++)
			assert_int_equal(flowtab_zone_count(s.zones, zone[z]), want[z]);
	}
	assert_int_equal(flowtab_zone_count(s.zones, 2), 0);
	shared_close(&s);
}

static void
table_that_is_destroyed_takes_its_flows_out_of_the_zones(void **state)
{
	struct shared s;
	uint32_t idx, kept;

	shared_open(&s, 16);
	assert_int_equal(new_in(s.ft[0], 4, &kept), 0);
	for (int i = 0; i < 5; i++)
		assert_int_equal(new_in(s.ft[1], (uint16_t)(4 + i % 2), &idx), 0);
	flowtab_free(s.ft[1], 2);
	flowtab_destroy(s.ft[1]);
	s.ft[1] = NULL;
	assert_int_equal(flowtab_zone_count(s.zones, 4), 1);
	assert_int_equal(flowtab_zone_count(s.zones, 5), 0);
	shared_close(&s);
}

static void
limit_holds_for_all_tables_together(void **state)
{
	struct shared s;
	uint32_t idx, one;

	shared_open(&s, 64);
	assert_int_equal(flowtab_zone_limit_set(s.zones, 5, 10), 0);
	assert_int_equal(flowtab_zone_limit(s.zones, 5), 10);
	for (unsigned int i = 0; i < 10; i++)
		assert_int_equal(new_in(s.ft[i % TABLES], 5, i == 4 ? &one : &idx), 0);
	for (unsigned int i = 0; i < TABLES; i++)
		assert_int_equal(new_in(s.ft[i], 5, &idx), -EUSERS);
	assert_int_equal(new_in(s.ft[0], 6, &idx), 0);
	flowtab_free(s.ft[1], one);
	assert_int_equal(new_in(s.ft[2], 5, &idx), 0);
	assert_int_equal(new_in(s.ft[1], 5, &idx), -EUSERS);
	assert_int_equal(flowtab_zone_count(s.zones, 5), 10);
	/* Lowered: those that are there stay. */
	assert_int_equal(flowtab_zone_limit_set(s.zones, 5, 3), 0);
	assert_int_equal(flowtab_zone_count(s.zones, 5), 10);
	assert_int_equal(new_in(s.ft[0], 5, &idx), -EUSERS);
	assert_int_equal(flowtab_zone_limit_set(s.zones, 5, 11), 0);
	assert_int_equal(new_in(s.ft[0], 5, &idx), 0);
	shared_close(&s);
}

static void
limit_of_zero_blocks_all(void **state)
{
	struct shared s;
	uint32_t idx;

	shared_open(&s, 64);
	assert_int_equal(flowtab_zone_limit_set(s.zones, 9, 0), 0);
	assert_int_equal(flowtab_zone_limit(s.zones, 9), 0);
	for (unsigned int i = 0; i < TABLES; i++)
		assert_int_equal(new_in(s.ft[i], 9, &idx), -EUSERS);
	assert_int_equal(flowtab_zone_count(s.zones, 9), 0);
	assert_int_equal(new_in(s.ft[0], 8, &idx), 0);
	shared_close(&s);
}

static void
default_limit_is_for_zones_without_one_of_their_own(void **state)
{
	struct shared s;
	uint32_t idx;

	shared_open(&s, 64);
	assert_int_equal(flowtab_zone_limit(s.zones, FLOWTAB_ZONE_DEFAULT), FLOWTAB_LIMIT_UNSET);
	assert_int_equal(flowtab_zone_limit(s.zones, 1), FLOWTAB_LIMIT_UNSET);
	assert_int_equal(flowtab_zone_limit_set(s.zones, FLOWTAB_ZONE_DEFAULT, 2), 0);
	assert_int_equal(flowtab_zone_limit(s.zones, FLOWTAB_ZONE_DEFAULT), 2);
	assert_int_equal(flowtab_zone_limit_set(s.zones, 1, 4), 0);
	assert_int_equal(flowtab_zone_limit_set(s.zones, 3, FLOWTAB_LIMIT_NONE), 0);
	/* Two zones by the default, each for itself; one by its own; one that is free of it. */
	for (unsigned int i = 0; i < 10; i++) {
		assert_int_equal(new_in(s.ft[i % TABLES], 0, &idx), i < 2 ? 0 : -EUSERS);
		assert_int_equal(new_in(s.ft[i % TABLES], 2, &idx), i < 2 ? 0 : -EUSERS);
		assert_int_equal(new_in(s.ft[i % TABLES], 1, &idx), i < 4 ? 0 : -EUSERS);
		assert_int_equal(new_in(s.ft[i % TABLES], 3, &idx), 0);
	}
	assert_int_equal(flowtab_zone_limit(s.zones, 2), FLOWTAB_LIMIT_UNSET);
	assert_int_equal(flowtab_zone_limit(s.zones, 3), FLOWTAB_LIMIT_NONE);
	/* A default of none at all. */
	assert_int_equal(flowtab_zone_limit_set(s.zones, FLOWTAB_ZONE_DEFAULT, 0), 0);
	assert_int_equal(new_in(s.ft[0], 100, &idx), -EUSERS);
	assert_int_equal(new_in(s.ft[0], 3, &idx), 0);
	shared_close(&s);
}

static void
unset_limit_reverts_to_the_default(void **state)
{
	struct shared s;
	uint32_t idx;

	shared_open(&s, 64);
	assert_int_equal(flowtab_zone_limit_set(s.zones, FLOWTAB_ZONE_DEFAULT, 2), 0);
	assert_int_equal(flowtab_zone_limit_set(s.zones, 1, 1), 0);
	assert_int_equal(new_in(s.ft[0], 1, &idx), 0);
	assert_int_equal(new_in(s.ft[1], 1, &idx), -EUSERS);
	assert_int_equal(flowtab_zone_limit_set(s.zones, 1, FLOWTAB_LIMIT_UNSET), 0);
	assert_int_equal(flowtab_zone_limit(s.zones, 1), FLOWTAB_LIMIT_UNSET);
	assert_int_equal(new_in(s.ft[1], 1, &idx), 0);
	assert_int_equal(new_in(s.ft[2], 1, &idx), -EUSERS);
	/* Without a default either there is no limit. */
	assert_int_equal(
		flowtab_zone_limit_set(s.zones, FLOWTAB_ZONE_DEFAULT, FLOWTAB_LIMIT_UNSET), 0);
	assert_int_equal(new_in(s.ft[2], 1, &idx), 0);
	/* The greatest number is a number. */
	assert_int_equal(flowtab_zone_limit_set(s.zones, 1, FLOWTAB_LIMIT_UNSET - 1), 0);
	assert_int_equal(flowtab_zone_limit(s.zones, 1), FLOWTAB_LIMIT_UNSET - 1);
	assert_int_equal(new_in(s.ft[2], 1, &idx), 0);
	shared_close(&s);
}

static void
table_without_zones_has_its_own(void **state)
{
	struct flowtab_params p = table_params(16);
	struct flowtab *ft;
	uint32_t idx;

	p.owner = 255;
	ft = flowtab_create(&p);
	assert_non_null(ft);
	assert_int_equal(flowtab_zone_limit_set(ft->zones, 2, 1), 0);
	assert_int_equal(new_in(ft, 2, &idx), 0);
	assert_int_equal(new_in(ft, 2, &idx), -EUSERS);
	assert_int_equal(new_in(ft, 3, &idx), 0);
	assert_int_equal(flowtab_zone_count(ft->zones, 2), 1);
	flowtab_destroy(ft);
}

static void
expired_flows_make_room_at_the_limit(void **state)
{
	struct shared s;
	struct flowtab_tuple t;
	uint32_t idx;

	shared_open(&s, 64);
	assert_int_equal(flowtab_zone_limit_set(s.zones, 7, 10), 0);
	for (uint32_t i = 0; i < 10; i++) {
		t = tuple4(1, i);
		t.zone = 7;
		flow_new(s.ft[0], &t, T0, T0 + 5000);
	}
	assert_int_equal(flowtab_new(s.ft[0], 1, 7, IPPROTO_TCP, T0 + 4999, &idx), -EUSERS);
	/* Those of another table cannot be touched: its own thread frees them. */
	assert_int_equal(flowtab_new(s.ft[1], 1, 7, IPPROTO_TCP, T0 + 5000, &idx), -EUSERS);
	for (uint32_t i = 0; i < 10; i++)
		assert_int_equal(flowtab_new(s.ft[0], 1, 7, IPPROTO_TCP, T0 + 5000, &idx), 0);
	assert_int_equal(flowtab_new(s.ft[0], 1, 7, IPPROTO_TCP, T0 + 5000, &idx), -EUSERS);
	assert_int_equal(flowtab_zone_count(s.zones, 7), 10);
	assert_int_equal(flowtab_count(s.ft[0]), 10);
	shared_close(&s);
}

static void
knocking_at_a_zones_limit_does_not_use_up_the_search_of_others(void **state)
{
	struct shared s;
	struct flowtab_tuple t;
	uint32_t idx;

	shared_open(&s, 64);
	assert_int_equal(flowtab_zone_limit_set(s.zones, FLOWTAB_ZONE_DEFAULT, 1), 0);
	for (uint16_t zone = 1; zone <= 2; zone++) {
		t = tuple4(zone, zone);
		t.zone = zone;
		idx = flow_new(s.ft[0], &t, T0, T0 + 90000);
	}
	/* Who knocks first finds nothing, and does not find what expires later in the same ms. */
	for (int i = 0; i < 1000; i++)
		assert_int_equal(flowtab_new(s.ft[0], 1, 1, IPPROTO_TCP, T0 + 100, &idx), -EUSERS);
	flowtab_touch(s.ft[0], 1, T0 + 100);
	assert_int_equal(flowtab_new(s.ft[0], 1, 1, IPPROTO_TCP, T0 + 100, &idx), -EUSERS);
	assert_int_equal(flowtab_new(s.ft[0], 2, 2, IPPROTO_TCP, T0 + 100, &idx), 0);
	assert_int_equal(idx, 1);
	/* Ports beyond those with a record of their own are held to it, too. */
	assert_int_equal(flowtab_new(s.ft[0], 100, 1, IPPROTO_TCP, T0 + 100, &idx), -EUSERS);
	flowtab_touch(s.ft[0], 0, T0 + 100);
	assert_int_equal(flowtab_new(s.ft[0], 100, 1, IPPROTO_TCP, T0 + 100, &idx), -EUSERS);
	assert_int_equal(flowtab_new(s.ft[0], 100, 1, IPPROTO_TCP, T0 + 101, &idx), 0);
	shared_close(&s);
}

static void
refused_flows_leave_all_counts_as_they_were(void **state)
{
	struct shared s;
	struct flowtab_tuple t;
	uint32_t idx;

	shared_open(&s, 8);
	assert_int_equal(flowtab_pif_limit(s.ft[0], 2, 1), 0);
	assert_int_equal(flowtab_zone_limit_set(s.zones, 6, 1), 0);
	for (uint32_t i = 0; i < 6; i++) {
		t = tuple4(1, i);
		t.zone = 5;
		flow_new(s.ft[0], &t, T0, T0 + 90000);
	}
	assert_int_equal(flowtab_new(s.ft[0], 2, 5, IPPROTO_TCP, T0, &idx), 0);
	assert_int_equal(flowtab_new(s.ft[0], 3, 6, IPPROTO_TCP, T0, &idx), 0);
	for (int i = 0; i < 20; i++) {
		idx = 77;
		assert_int_equal(flowtab_new(s.ft[0], 2, 5, IPPROTO_TCP, T0, &idx), -EDQUOT);
		assert_int_equal(flowtab_new(s.ft[0], 1, 6, IPPROTO_TCP, T0, &idx), -EUSERS);
		assert_int_equal(flowtab_new(s.ft[0], 1, 5, IPPROTO_TCP, T0, &idx), -ENFILE);
		assert_int_equal(flowtab_new(s.ft[0], 1, 9, IPPROTO_TCP, T0, &idx), -ENFILE);
		assert_int_equal(idx, 77);
	}
	assert_int_equal(flowtab_zone_count(s.zones, 5), 7);
	assert_int_equal(flowtab_zone_count(s.zones, 6), 1);
	assert_int_equal(flowtab_zone_count(s.zones, 9), 0);
	assert_int_equal(flowtab_pif_count(s.ft[0], 1), 6);
	assert_int_equal(flowtab_pif_count(s.ft[0], 2), 1);
	assert_int_equal(flowtab_pif_count(s.ft[0], 3), 1);
	assert_int_equal(flowtab_count(s.ft[0]), 8);
	shared_close(&s);
}

static void
refuses_port_numbers_that_fit_no_flow(void **state)
{
	struct shared s;
	uint32_t idx = 77;

	shared_open(&s, 16);
	assert_int_equal(flowtab_new(s.ft[0], FLOWTAB_MAX_PIFS, 0, IPPROTO_TCP, T0, &idx), -EINVAL);
	assert_int_equal(flowtab_new(s.ft[0], UINT16_MAX, 0, IPPROTO_TCP, T0, &idx), -EINVAL);
	assert_int_equal(idx, 77);
	assert_int_equal(flowtab_zone_count(s.zones, 0), 0);
	assert_int_equal(flowtab_count(s.ft[0]), 0);
	/* One beyond those that are counted is not counted. */
	assert_int_equal(flowtab_new(s.ft[0], FLOWTAB_MAX_PIFS - 1, 0, IPPROTO_TCP, T0, &idx), 0);
	assert_int_equal(flowtab_flows(s.ft[0])[idx].pif, FLOWTAB_MAX_PIFS - 1);
	assert_int_equal(flowtab_zone_count(s.zones, 0), 1);
	flowtab_free(s.ft[0], idx);
	assert_int_equal(flowtab_zone_count(s.zones, 0), 0);
	shared_close(&s);
}

/* ---- two threads ---- */

#define RACE_LIMIT 20
#define RACE_STEPS 200000

/** Where the process may run; the EAL binds the thread that starts it, and those that this makes.
 */
static cpu_set_t race_cpus;

struct race {
	pthread_barrier_t begin;
	_Atomic uint32_t held; /**< flows, raised after one was made, lowered before it is freed */
	_Atomic bool exceeded;
};

struct racer {
	struct race *race;
	struct flowtab *ft;
	uint64_t seed;
	uint32_t idx[RACE_LIMIT + 1], n, made, refused;
};

static void *
racer_run(void *arg)
{
	struct racer *r = arg;

	pthread_setaffinity_np(pthread_self(), sizeof(race_cpus), &race_cpus);
	pthread_barrier_wait(&r->race->begin);
	for (int step = 0; step < RACE_STEPS; step++) {
		if (r->n > RACE_LIMIT || (r->n > 0 && rnd_below(&r->seed, 3) == 0)) {
			atomic_fetch_sub(&r->race->held, 1);
			flowtab_free(r->ft, r->idx[--r->n]);
		} else if (new_in(r->ft, 3, &r->idx[r->n]) == 0) {
			r->n++;
			r->made++;
			if (atomic_fetch_add(&r->race->held, 1) >= RACE_LIMIT)
				atomic_store(&r->race->exceeded, true);
		} else {
			r->refused++;
		}
	}
	return NULL;
}

static void
limit_is_never_exceeded_by_two_tables_at_once(void **state)
{
	struct race race = { 0 };
	struct racer r[2];
	struct shared s;
	pthread_t id[2];

	shared_open(&s, 64);
	assert_int_equal(flowtab_zone_limit_set(s.zones, 3, RACE_LIMIT), 0);
	assert_int_equal(pthread_barrier_init(&race.begin, NULL, 2), 0);
	for (unsigned int i = 0; i < 2; i++) {
		r[i] = (struct racer){ .race = &race, .ft = s.ft[i], .seed = i };
		assert_int_equal(pthread_create(&id[i], NULL, racer_run, &r[i]), 0);
	}
	for (unsigned int i = 0; i < 2; i++)
		assert_int_equal(pthread_join(id[i], NULL), 0);
	pthread_barrier_destroy(&race.begin);
	assert_false(atomic_load(&race.exceeded));
	for (unsigned int i = 0; i < 2; i++)
		assert_int_equal(flowtab_count(s.ft[i]), r[i].n);
	/* One of them may have had the processor alone, and all of the places. */
	assert_true(r[0].made + r[1].made >= RACE_LIMIT);
	assert_true(r[0].refused + r[1].refused > 0);
	assert_int_equal(flowtab_zone_count(s.zones, 3), r[0].n + r[1].n);
	shared_close(&s);
}

/* ---- counters ---- */

static void
counters_carry_from_the_low_halves_into_the_high(void **state)
{
	struct flowtab_flow f = { 0 };

	flowtab_flow_count(&f, 0, UINT32_MAX, UINT32_MAX);
	assert_true(flowtab_flow_pkts(&f, 0) == UINT32_MAX);
	assert_true(flowtab_flow_bytes(&f, 0) == UINT32_MAX);
	flowtab_flow_count(&f, 0, 1, 0);
	assert_true(flowtab_flow_pkts(&f, 0) == UINT64_C(1) << 32);
	assert_true(flowtab_flow_bytes(&f, 0) == UINT32_MAX);
	flowtab_flow_count(&f, 0, 0, 1460);
	assert_true(flowtab_flow_bytes(&f, 0) == (UINT64_C(1) << 32) + 1459);
	for (int i = 0; i < 5; i++)
		flowtab_flow_count(&f, 0, 1, UINT32_MAX);
	assert_true(flowtab_flow_pkts(&f, 0) == (UINT64_C(1) << 32) + 5);
	assert_true(
		flowtab_flow_bytes(&f, 0) == (UINT64_C(1) << 32) + 1459 + 5 * (uint64_t)UINT32_MAX);
	/* The other side has its own. */
	assert_true(flowtab_flow_pkts(&f, 1) == 0);
	assert_true(flowtab_flow_bytes(&f, 1) == 0);
	flowtab_flow_count(&f, 1, 1, UINT32_MAX);
	flowtab_flow_count(&f, 1, UINT32_MAX, 2);
	assert_true(flowtab_flow_pkts(&f, 1) == UINT64_C(1) << 32);
	assert_true(flowtab_flow_bytes(&f, 1) == (UINT64_C(1) << 32) + 1);
	assert_true(flowtab_flow_pkts(&f, 0) == (UINT64_C(1) << 32) + 5);
}

static void
what_was_counted_can_be_taken_back(void **state)
{
	struct flowtab_flow f = { 0 };

	flowtab_flow_count(&f, 1, UINT32_MAX, UINT32_MAX);
	flowtab_flow_count(&f, 1, 3, 5);
	assert_true(flowtab_flow_pkts(&f, 1) == (UINT64_C(1) << 32) + 2);
	flowtab_flow_uncount(&f, 1, 2, 4);
	assert_true(flowtab_flow_pkts(&f, 1) == UINT64_C(1) << 32);
	assert_true(flowtab_flow_bytes(&f, 1) == UINT64_C(1) << 32);
	flowtab_flow_uncount(&f, 1, 1, 1);
	assert_true(flowtab_flow_pkts(&f, 1) == UINT32_MAX);
	assert_true(flowtab_flow_bytes(&f, 1) == UINT32_MAX);
	flowtab_flow_uncount(&f, 1, UINT32_MAX, UINT32_MAX);
	assert_true(flowtab_flow_pkts(&f, 1) == 0);
	assert_true(flowtab_flow_bytes(&f, 1) == 0);
}

/* ---- a full table ---- */

struct gone {
	uint32_t n, last;
};

static void
on_gone(void *arg, uint32_t idx)
{
	struct gone *g = arg;

	g->n++;
	g->last = idx;
}

/** A full table with four TCP flows, and one of each kind that is worth less. */
struct full {
	struct flowtab *ft;
	struct gone gone;
	uint32_t closing, udp, icmp, icmp6;
};

static uint32_t
full_add(struct full *f, uint8_t proto, uint64_t deadline_ms)
{
	struct flowtab_tuple t = tuple4(1, flowtab_count(f->ft));

	t.proto = proto;
	return flow_new(f->ft, &t, T0, deadline_ms);
}

static void
full_open(struct full *f, bool evict)
{
	struct flowtab_params p = table_params(10);
	uint32_t answered;

	memset(f, 0, sizeof(*f));
	p.evict = evict;
	f->ft = flowtab_create(&p);
	assert_non_null(f->ft);
	flowtab_on_gone(f->ft, on_gone, &f->gone);
	full_add(f, IPPROTO_TCP, T0 + 90000);
	f->icmp6 = full_add(f, IPPROTO_ICMPV6, T0 + 60001);
	f->icmp = full_add(f, IPPROTO_ICMP, T0 + 60000);
	f->udp = full_add(f, IPPROTO_UDP, T0 + 60000);
	flowtab_flow_count(&flowtab_flows(f->ft)[f->udp], 0, 5, 500);
	f->closing = full_add(f, IPPROTO_TCP, T0 + 90000);
	flowtab_close(f->ft, f->closing);
	answered = full_add(f, IPPROTO_UDP, T0 + 60000);
	/* Counters whose low halves have just become zero. */
	for (unsigned int side = 0; side < FLOWTAB_SIDES; side++) {
		flowtab_flow_count(&flowtab_flows(f->ft)[answered], side, UINT32_MAX, 0);
		flowtab_flow_count(&flowtab_flows(f->ft)[answered], side, 1, 0);
	}
	for (int i = 0; i < 4; i++)
		full_add(f, IPPROTO_TCP, T0 + 80000 - (uint64_t)i);
	assert_int_equal(flowtab_count(f->ft), 10);
}

/** A new flow takes the place of this one. */
static void
expect_evicted(struct full *f, uint32_t want, uint64_t now_ms)
{
	uint32_t idx = FLOWTAB_NONE, n = f->gone.n;
	struct flowtab_tuple t = tuple4(1, 1000 + n);

	assert_int_equal(flowtab_new(f->ft, 1, 0, IPPROTO_TCP, now_ms, &idx), 0);
	assert_int_equal(f->gone.n, n + 1);
	assert_int_equal(f->gone.last, want);
	assert_int_equal(idx, want);
	assert_int_equal(flowtab_bind(f->ft, idx, FLOWTAB_SIDE_GUEST, &t, now_ms), 0);
	flowtab_touch(f->ft, idx, T0 + 100000);
	assert_int_equal(flowtab_count(f->ft), 10);
}

static void
full_table_gives_up_closing_then_unanswered_udp_then_icmp_then_others(void **state)
{
	struct full f;

	full_open(&f, true);
	expect_evicted(&f, f.closing, T0);
	expect_evicted(&f, f.udp, T0);
	expect_evicted(&f, f.icmp, T0);
	expect_evicted(&f, f.icmp6, T0);
	expect_evicted(&f, 5, T0); /* UDP with an answer: the first to end of all others */
	expect_evicted(&f, 9, T0);
	expect_evicted(&f, 8, T0);
	flowtab_destroy(f.ft);
}

static void
full_table_gives_up_what_has_expired_before_anything_that_lives(void **state)
{
	struct full f;

	full_open(&f, true);
	flowtab_touch(f.ft, 7, T0 + 100);
	expect_evicted(&f, 7, T0 + 100);
	expect_evicted(&f, f.closing, T0 + 100);
	flowtab_destroy(f.ft);
}

static void
without_evict_only_expired_flows_are_reused(void **state)
{
	struct full f;
	uint32_t idx;

	full_open(&f, false);
	assert_int_equal(flowtab_new(f.ft, 1, 0, IPPROTO_TCP, T0 + 59999, &idx), -ENFILE);
	assert_int_equal(f.gone.n, 0);
	/* two UDP flows, one ICMP */
	for (int i = 0; i < 3; i++)
		assert_int_equal(flowtab_new(f.ft, 1, 0, IPPROTO_TCP, T0 + 60000, &idx), 0);
	assert_int_equal(flowtab_new(f.ft, 1, 0, IPPROTO_TCP, T0 + 60000, &idx), -ENFILE);
	assert_int_equal(f.gone.n, 3);
	flowtab_destroy(f.ft);
}

static void
flow_that_is_being_made_is_not_given_up(void **state)
{
	struct flowtab_params p = table_params(4);
	struct flowtab *ft;
	uint32_t idx;

	p.evict = true;
	ft = flowtab_create(&p);
	assert_non_null(ft);
	for (int i = 0; i < 4; i++)
		assert_int_equal(flowtab_new(ft, 1, 0, IPPROTO_TCP, T0, &idx), 0);
	assert_int_equal(flowtab_new(ft, 1, 0, IPPROTO_TCP, T0, &idx), -ENFILE);
	assert_int_equal(flowtab_count(ft), 4);
	assert_int_equal(flowtab_zone_count(ft->zones, 0), 4);
	flowtab_destroy(ft);
}

static void
crc_option_finds_what_it_binds(void **state)
{
	struct flowtab_params p = table_params(1000);
	struct flowtab *ft, *sip = table_new(16);
	struct flowtab_tuple t[1000];
	uint32_t idx[1000];
	uint8_t side;

	p.crc = true;
	p.name = "crc";
	ft = flowtab_create(&p);
	assert_non_null(ft);
	for (uint32_t i = 0; i < 1000; i++) {
		t[i] = i % 2 == 0 ? tuple4(1, i) : tuple6(1, i);
		idx[i] = flow_new(ft, &t[i], T0, FLOWTAB_NEVER);
		t[i].pif = 2;
		assert_int_equal(flowtab_bind(ft, idx[i], FLOWTAB_SIDE_OTHER, &t[i], T0), 0);
	}
	assert_int_not_equal(flowtab_hash(ft, &t[0]), flowtab_hash(sip, &t[0]));
	for (uint32_t i = 0; i < 1000; i++) {
		assert_int_equal(flowtab_lookup(ft, &t[i], T0, &side), idx[i]);
		assert_int_equal(side, FLOWTAB_SIDE_OTHER);
		t[i].pif = 1;
		assert_int_equal(flowtab_lookup(ft, &t[i], T0, &side), idx[i]);
		assert_int_equal(side, FLOWTAB_SIDE_GUEST);
	}
	for (uint32_t i = 0; i < 1000; i += 2)
		flowtab_free(ft, idx[i]);
	for (uint32_t i = 0; i < 1000; i++)
		assert_int_equal(
			flowtab_lookup(ft, &t[i], T0, NULL), i % 2 == 0 ? FLOWTAB_NONE : idx[i]);
	flowtab_destroy(ft);
	flowtab_destroy(sip);
}

static int
start(void **state)
{
	pthread_getaffinity_np(pthread_self(), sizeof(race_cpus), &race_cpus);
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
		cmocka_unit_test(zones_refuse_bad_parameters),
		cmocka_unit_test(zones_are_counted_over_all_tables),
		cmocka_unit_test(table_that_is_destroyed_takes_its_flows_out_of_the_zones),
		cmocka_unit_test(limit_holds_for_all_tables_together),
		cmocka_unit_test(limit_of_zero_blocks_all),
		cmocka_unit_test(default_limit_is_for_zones_without_one_of_their_own),
		cmocka_unit_test(unset_limit_reverts_to_the_default),
		cmocka_unit_test(table_without_zones_has_its_own),
		cmocka_unit_test(expired_flows_make_room_at_the_limit),
		cmocka_unit_test(knocking_at_a_zones_limit_does_not_use_up_the_search_of_others),
		cmocka_unit_test(refused_flows_leave_all_counts_as_they_were),
		cmocka_unit_test(refuses_port_numbers_that_fit_no_flow),
		cmocka_unit_test(limit_is_never_exceeded_by_two_tables_at_once),
		cmocka_unit_test(counters_carry_from_the_low_halves_into_the_high),
		cmocka_unit_test(what_was_counted_can_be_taken_back),
		cmocka_unit_test(
			full_table_gives_up_closing_then_unanswered_udp_then_icmp_then_others),
		cmocka_unit_test(full_table_gives_up_what_has_expired_before_anything_that_lives),
		cmocka_unit_test(without_evict_only_expired_flows_are_reused),
		cmocka_unit_test(flow_that_is_being_made_is_not_given_up),
		cmocka_unit_test(crc_option_finds_what_it_binds),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
