/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <string.h>

#include <rte_malloc.h>

#include "flowtab_priv.h"
#include "test_flowtab_util.h"

/* SipHash-1-3 under the key 00 01 .. 0f, of the bytes 00 01 .. up to the length. */
static void
siphash_gives_the_reference_values(void **state)
{
	static const struct flowtab_sipkey key = { UINT64_C(0x0706050403020100),
		UINT64_C(0x0f0e0d0c0b0a0908) };
	static const struct flowtab_sipkey zero;
	uint64_t w[6];

	for (unsigned int i = 0; i < RTE_DIM(w); i++)
		w[i] = UINT64_C(0x0706050403020100) + i * UINT64_C(0x0808080808080808);
	assert_true(flowtab_siphash13(&key, w, 0) == UINT64_C(0xabac0158050fc4dc));
	assert_true(flowtab_siphash13(&key, w, 2) == UINT64_C(0xcc4fdd1a7d908b66));
	assert_true(flowtab_siphash13(&key, w, 6) == UINT64_C(0x9f3143f8df074c46));
	assert_true(flowtab_siphash13(&zero, w, 2) == UINT64_C(0x8972188433a5c5b7));
	assert_true(flowtab_siphash13(&zero, w, 6) == UINT64_C(0xfe1f2445ba50237f));
}

static void
ipv4_key_holds_every_field(void **state)
{
	static const uint8_t protos[] = { IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP, IPPROTO_ICMPV6,
		IPPROTO_SCTP, IPPROTO_UDPLITE, IPPROTO_DCCP, 0, IPPROTO_GRE, IPPROTO_ESP, 255 };
	struct flowtab_tuple t, back;
	struct flowtab_key4 k, other;

	for (size_t i = 0; i < RTE_DIM(protos); i++) {
		t = tuple4(1023, 7);
		t.zone = 0xfffe;
		t.proto = protos[i];
		if (i >= 7) {
			t.eport = 0;
			t.oport = 0;
		}
		assert_true(flowtab_tuple_is_valid(&t));
		flowtab_key4_pack(&k, &t);
		flowtab_key4_unpack(&k, &back);
		assert_memory_equal(&t, &back, sizeof(t));
		/* the next pif, zone and protocol make another key */
		back.zone ^= 1;
		flowtab_key4_pack(&other, &back);
		assert_memory_not_equal(&k, &other, sizeof(k));
		back = t;
		back.pif ^= 1;
		flowtab_key4_pack(&other, &back);
		assert_memory_not_equal(&k, &other, sizeof(k));
	}
	t = tuple4(1, 0);
	t.proto = IPPROTO_GRE;
	assert_false(flowtab_tuple_is_valid(&t));
	t = tuple4(FLOWTAB_MAX_PIFS, 0);
	assert_false(flowtab_tuple_is_valid(&t));
}

static void
refuses_bad_parameters(void **state)
{
	struct flowtab_params p = table_params(16);

	p.name = NULL;
	assert_null(flowtab_create(&p));
	assert_int_equal(rte_errno, EINVAL);
	p.name = "";
	assert_null(flowtab_create(&p));
	assert_int_equal(rte_errno, EINVAL);
	p.name = "a-name-of-21-letters-";
	assert_null(flowtab_create(&p));
	assert_int_equal(rte_errno, EINVAL);
	p = table_params(0);
	assert_null(flowtab_create(&p));
	assert_int_equal(rte_errno, EINVAL);
	p = table_params((1 << 24) + 1);
	assert_null(flowtab_create(&p));
	assert_int_equal(rte_errno, EINVAL);
	p = table_params(1 << 24);
	assert_null(flowtab_create(&p));
	assert_int_equal(rte_errno, ENOMEM);
	flowtab_destroy(NULL);
}

static void
takes_a_name_of_the_greatest_length(void **state)
{
	struct flowtab_params p = table_params(16);
	struct flowtab *ft;

	p.name = "a-name-of-20-letters";
	ft = flowtab_create(&p);
	assert_non_null(ft);
	flowtab_destroy(ft);
}

static size_t
heap_bytes(void)
{
	struct rte_malloc_socket_stats s;

	assert_int_equal(rte_malloc_get_socket_stats(0, &s), 0);
	return s.heap_allocsz_bytes;
}

static void
creation_gives_back_everything(void **state)
{
	struct flowtab_params p = table_params(1 << 24);
	size_t before = heap_bytes();

	flowtab_destroy(table_new(1000));
	assert_int_equal(heap_bytes(), before);
	/* each allocation in turn is the one that fails */
	for (uint32_t n = 1000; n <= 1 << 21; n += n / 2) {
		struct flowtab *ft;

		p.max_flows = n;
		ft = flowtab_create(&p);
		if (ft == NULL)
			assert_int_equal(rte_errno, ENOMEM);
		flowtab_destroy(ft);
		assert_int_equal(heap_bytes(), before);
	}
}

static void
fresh_flow_is_blank(void **state)
{
	struct flowtab *ft = table_new(16);
	struct flowtab_flow *f;
	uint32_t idx, again;

	assert_int_equal(flowtab_max(ft), 16);
	assert_int_equal(flowtab_new(ft, 2, 0, IPPROTO_UDP, T0 + 5, &idx), 0);
	f = &flowtab_flows(ft)[idx];
	assert_int_equal(f->state, FLOWTAB_NEW);
	assert_true(f->deadline_ms == FLOWTAB_NEVER);
	assert_true(f->created_ms == T0 + 5);
	assert_int_equal(f->pif, 2);
	assert_int_equal(f->proto, IPPROTO_UDP);
	assert_int_equal(f->parent, FLOWTAB_NONE);
	assert_int_equal(flowtab_count(ft), 1);

	f->cookie = 1;
	f->mark = 2;
	f->label[1] = 3;
	flowtab_flow_count(f, 1, 4, 0);
	flowtab_flow_count(f, 0, 0, 5);
	f->pkts_hi[1] = 1;
	f->bytes_hi[0] = 1;
	f->flags = 6;
	f->tclass = 7;
	f->track[7] = 8;
	f->parent = 9;
	flowtab_free(ft, idx);
	assert_int_equal(flowtab_count(ft), 0);
	assert_int_equal(flowtab_new(ft, 1, 0, IPPROTO_TCP, T0 + 6, &again), 0);
	assert_int_equal(again, idx);
	assert_true(f->cookie == 0 && f->mark == 0 && f->label[1] == 0);
	assert_true(flowtab_flow_pkts(f, 1) == 0);
	assert_true(flowtab_flow_bytes(f, 0) == 0 && f->flags == 0 && f->tclass == 0 &&
		f->track[7] == 0);
	assert_int_equal(f->parent, FLOWTAB_NONE);
	flowtab_destroy(ft);
}

static void
flow_is_found_by_either_side(void **state)
{
	struct flowtab *ft = table_new(16);
	struct flowtab_tuple g = tuple4(1, 1), o = tuple6(0, 1);
	uint8_t side = 9;
	uint32_t idx;

	assert_int_equal(flowtab_new(ft, 1, 0, IPPROTO_TCP, T0, &idx), 0);
	assert_int_equal(flowtab_lookup(ft, &g, T0, NULL), FLOWTAB_NONE);
	assert_int_equal(flowtab_bind(ft, idx, FLOWTAB_SIDE_GUEST, &g, T0), 0);
	assert_int_equal(flowtab_flows(ft)[idx].state, FLOWTAB_TYPED);
	assert_int_equal(flowtab_lookup(ft, &g, T0, &side), idx);
	assert_int_equal(side, FLOWTAB_SIDE_GUEST);
	assert_int_equal(flowtab_lookup(ft, &o, T0, &side), FLOWTAB_NONE);
	assert_int_equal(flowtab_bind(ft, idx, FLOWTAB_SIDE_OTHER, &o, T0), 0);
	assert_int_equal(flowtab_lookup(ft, &o, T0, &side), idx);
	assert_int_equal(side, FLOWTAB_SIDE_OTHER);
	assert_int_equal(flowtab_lookup(ft, &g, T0, NULL), idx);

	flowtab_free(ft, idx);
	assert_int_equal(flowtab_lookup(ft, &g, T0, NULL), FLOWTAB_NONE);
	assert_int_equal(flowtab_lookup(ft, &o, T0, NULL), FLOWTAB_NONE);
	flowtab_destroy(ft);
}

static void
tuple_of_a_bound_side_is_given_back(void **state)
{
	struct flowtab *ft = table_new(16);
	struct flowtab_tuple g = tuple4(1, 1), o = tuple6(0, 1), got, mixed;
	uint32_t idx;

	g.zone = 500;
	o.zone = 500;
	idx = flow_new(ft, &g, T0, FLOWTAB_NEVER);
	assert_int_equal(flowtab_flows(ft)[idx].zone, 500);
	assert_int_equal(flowtab_tuple(ft, idx, FLOWTAB_SIDE_OTHER, &got), -ENOENT);
	assert_int_equal(flowtab_bind(ft, idx, FLOWTAB_SIDE_OTHER, &o, T0), 0);
	assert_int_equal(flowtab_tuple(ft, idx, FLOWTAB_SIDE_GUEST, &got), 0);
	assert_memory_equal(&got, &g, sizeof(g));
	assert_int_equal(flowtab_tuple(ft, idx, FLOWTAB_SIDE_OTHER, &got), 0);
	assert_memory_equal(&got, &o, sizeof(o));
	assert_int_equal(flowtab_tuple(ft, idx, FLOWTAB_SIDES, &got), -ENOENT);
	flowtab_free(ft, idx);
	assert_int_equal(flowtab_tuple(ft, idx, FLOWTAB_SIDE_GUEST, &got), -ENOENT);

	/* addresses of two families, and dirt in the reserved bytes */
	mixed = g;
	assert_int_equal(flowtab_flows(ft)[idx].opif, 0);
	mixed.oaddr = o.oaddr;
	memset(mixed.reserved, 0xaa, sizeof(mixed.reserved));
	idx = flow_new(ft, &mixed, T0, FLOWTAB_NEVER);
	memset(mixed.reserved, 0, sizeof(mixed.reserved));
	assert_int_equal(flowtab_lookup(ft, &mixed, T0, NULL), idx);
	assert_int_equal(flowtab_tuple(ft, idx, FLOWTAB_SIDE_GUEST, &got), 0);
	assert_memory_equal(&got, &mixed, sizeof(got));
	flowtab_destroy(ft);
}

static void
zone_and_every_other_field_separate_flows(void **state)
{
	struct flowtab *ft = table_new(32);
	struct flowtab_tuple base[2] = { tuple4(1, 1), tuple6(1, 1) }, t[16];
	unsigned int n = 0;

	for (int i = 0; i < 2; i++) {
		t[n++] = base[i];
		t[n] = base[i];
		t[n++].zone = 1;
		t[n] = base[i];
		t[n++].zone = 0x8000;
		t[n] = base[i];
		t[n++].pif = 2;
		t[n] = base[i];
		t[n++].proto = IPPROTO_UDP;
		t[n] = base[i];
		t[n++].eport ^= 1;
		t[n] = base[i];
		t[n++].oport ^= 1;
		t[n] = base[i];
		t[n].eaddr = base[i].oaddr;
		t[n++].oaddr = base[i].eaddr;
	}
	for (unsigned int i = 0; i < n; i++)
		assert_int_equal(flow_new(ft, &t[i], T0, FLOWTAB_NEVER), i);
	for (unsigned int i = 0; i < n; i++)
		assert_int_equal(flowtab_lookup(ft, &t[i], T0, NULL), i);
	flowtab_destroy(ft);
}

static void
burst_finds_what_single_lookups_find(void **state)
{
	struct flowtab *ft = table_new(64);
	struct flowtab_tuple t[FLOWTAB_BURST];
	const struct flowtab_tuple *ptr[FLOWTAB_BURST];
	uint32_t idx[FLOWTAB_BURST];
	uint8_t side[FLOWTAB_BURST];

	for (uint32_t i = 0; i < FLOWTAB_BURST; i++) {
		t[i] = i % 3 == 0 ? tuple6(1, i) : tuple4(1, i);
		ptr[i] = &t[i];
		if (i % 4 == 0)
			continue; /* a miss */
		flow_new(ft, &t[i], T0, i % 4 == 1 ? T0 + 100 : T0 + 10000);
	}
	t[31].pif = FLOWTAB_MAX_PIFS; /* not valid: never found */
	assert_int_equal(flowtab_lookup_burst(ft, ptr, FLOWTAB_BURST, T0 + 99, idx, side), 23);
	for (uint32_t i = 0; i < FLOWTAB_BURST; i++) {
		assert_int_equal(idx[i], flowtab_lookup(ft, &t[i], T0 + 99, NULL));
		assert_int_equal(idx[i] == FLOWTAB_NONE, i % 4 == 0 || i == 31);
		if (idx[i] != FLOWTAB_NONE)
			assert_int_equal(side[i], FLOWTAB_SIDE_GUEST);
	}
	/* a quarter has expired */
	assert_int_equal(flowtab_lookup_burst(ft, ptr, FLOWTAB_BURST, T0 + 100, idx, side), 15);
	for (uint32_t i = 0; i < FLOWTAB_BURST; i++)
		assert_int_equal(idx[i] == FLOWTAB_NONE, i % 4 < 2 || i == 31);
	assert_int_equal(flowtab_lookup_burst(ft, ptr, 0, T0, idx, side), 0);
	assert_int_equal(flowtab_lookup_burst(ft, ptr + 1, 1, T0, idx, side), 1);
	flowtab_destroy(ft);
}

static void
bind_refuses_what_it_must(void **state)
{
	struct flowtab *ft = table_new(16);
	struct flowtab_tuple a = tuple4(1, 1), b = tuple4(1, 2), bad;
	uint32_t one = flow_new(ft, &a, T0, FLOWTAB_NEVER), two;

	assert_int_equal(flowtab_bind(ft, one, FLOWTAB_SIDE_GUEST, &b, T0), -EINVAL);
	assert_int_equal(flowtab_bind(ft, one, FLOWTAB_SIDE_OTHER, &a, T0), -EEXIST);
	assert_int_equal(flowtab_bind(ft, one, FLOWTAB_SIDES, &b, T0), -EINVAL);
	assert_int_equal(flowtab_new(ft, 1, 0, IPPROTO_TCP, T0, &two), 0);
	assert_int_equal(flowtab_bind(ft, two, FLOWTAB_SIDE_GUEST, &a, T0), -EEXIST);
	assert_int_equal(flowtab_flows(ft)[two].state, FLOWTAB_NEW);
	bad = b;
	bad.pif = FLOWTAB_MAX_PIFS;
	assert_int_equal(flowtab_bind(ft, two, FLOWTAB_SIDE_GUEST, &bad, T0), -EINVAL);
	bad = b;
	bad.proto = IPPROTO_GRE; /* with ports */
	assert_int_equal(flowtab_bind(ft, two, FLOWTAB_SIDE_GUEST, &bad, T0), -EINVAL);
	assert_int_equal(flowtab_lookup(ft, &bad, T0, NULL), FLOWTAB_NONE);
	assert_int_equal(flowtab_bind(ft, two, FLOWTAB_SIDE_GUEST, &b, T0), 0);
	assert_int_equal(flowtab_lookup(ft, &a, T0, NULL), one);
	assert_int_equal(flowtab_lookup(ft, &b, T0, NULL), two);
	flowtab_free(ft, two);
	assert_int_equal(flowtab_bind(ft, two, FLOWTAB_SIDE_GUEST, &b, T0), -EINVAL);
	flowtab_destroy(ft);
}

static void
states_allow_what_the_header_says(void **state)
{
	struct flowtab *ft = table_new(16);
	struct flowtab_tuple a = tuple4(1, 1), b = tuple4(1, 2);
	struct flowtab_flow *f;
	uint32_t i;

	assert_int_equal(flowtab_new(ft, 1, 0, IPPROTO_TCP, T0, &i), 0);
	f = &flowtab_flows(ft)[i];
	assert_int_equal(flowtab_activate(ft, i), -EINVAL);
	assert_int_equal(flowtab_close(ft, i), -EINVAL);
	assert_int_equal(flowtab_bind(ft, i, FLOWTAB_SIDE_GUEST, &a, T0), 0);
	assert_int_equal(flowtab_activate(ft, i), 0);
	assert_int_equal(f->state, FLOWTAB_ACTIVE);
	assert_int_equal(flowtab_activate(ft, i), -EINVAL);
	assert_int_equal(flowtab_close(ft, i), 0);
	assert_int_equal(f->state, FLOWTAB_CLOSING);
	assert_int_equal(flowtab_close(ft, i), -EINVAL);
	assert_int_equal(flowtab_activate(ft, i), -EINVAL);
	assert_int_equal(flowtab_bind(ft, i, FLOWTAB_SIDE_OTHER, &b, T0), -EINVAL);
	assert_int_equal(flowtab_lookup(ft, &a, T0, NULL), i); /* still found */
	flowtab_touch(ft, i, T0 + 5000);
	assert_true(f->deadline_ms == T0 + 5000);

	flowtab_free(ft, i);
	assert_int_equal(f->state, FLOWTAB_FREE);
	flowtab_free(ft, i); /* harmless */
	assert_int_equal(flowtab_count(ft), 0);
	assert_int_equal(flowtab_activate(ft, i), -EINVAL);
	assert_int_equal(flowtab_close(ft, i), -EINVAL);
	flowtab_touch(ft, i, T0 + 1000);
	assert_true(flowtab_next(ft) == FLOWTAB_NEVER);
	flowtab_destroy(ft);
}

static void
hash_depends_on_the_key_and_the_tuple_alone(void **state)
{
	struct flowtab_params p = table_params(16);
	struct flowtab *a, *b, *c;
	unsigned int same = 0;

	a = flowtab_create(&p);
	p.name = "u";
	p.max_flows = 5000;
	p.owner = 1;
	b = flowtab_create(&p);
	p.name = "v";
	p.hash_key[15] ^= 1;
	c = flowtab_create(&p);
	assert_true(a != NULL && b != NULL && c != NULL);
	for (uint32_t i = 0; i < 1000; i++) {
		struct flowtab_tuple t = i & 1 ? tuple4(1, i) : tuple6(1, i), dirty = t;

		memset(dirty.reserved, 0x55, sizeof(dirty.reserved));
		assert_int_equal(flowtab_hash(a, &t), flowtab_hash(b, &t));
		assert_int_equal(flowtab_hash(a, &t), flowtab_hash(a, &dirty));
		same += flowtab_hash(a, &t) == flowtab_hash(c, &t);
	}
	assert_int_equal(same, 0);
	flowtab_destroy(a);
	flowtab_destroy(b);
	flowtab_destroy(c);
}

/* A salt that is mixed into both directions by XOR cancels out; ours does not. */
static void
hash_of_a_turned_tuple_tells_nothing(void **state)
{
	struct flowtab_params p = table_params(16);
	struct flowtab *a = flowtab_create(&p), *b;
	unsigned int same = 0;

	p.name = "u";
	p.hash_key[0] ^= 1;
	b = flowtab_create(&p);
	assert_true(a != NULL && b != NULL);
	for (uint32_t i = 0; i < 1000; i++) {
		struct flowtab_tuple t = tuple4(1, i), turned = t;

		turned.eaddr = t.oaddr;
		turned.oaddr = t.eaddr;
		turned.eport = t.oport;
		turned.oport = t.eport;
		same += (flowtab_hash(a, &t) ^ flowtab_hash(a, &turned)) ==
			(flowtab_hash(b, &t) ^ flowtab_hash(b, &turned));
	}
	assert_int_equal(same, 0);
	flowtab_destroy(a);
	flowtab_destroy(b);
}

static void
check_collisions(struct flowtab *ft, bool v6)
{
	struct flowtab_tuple t[100];
	const struct flowtab_tuple *ptr[FLOWTAB_BURST];
	uint32_t idx[100], got[FLOWTAB_BURST];
	uint8_t side[FLOWTAB_BURST];

	for (uint32_t i = 0; i < 100; i++) {
		t[i] = v6 ? tuple6(1, i) : tuple4(1, i);
		assert_int_equal(flowtab_hash(ft, &t[i]), 0);
		idx[i] = flow_new(ft, &t[i], T0, FLOWTAB_NEVER);
	}
	for (uint32_t i = 0; i < 100; i++)
		assert_int_equal(flowtab_lookup(ft, &t[i], T0, NULL), idx[i]);
	for (uint32_t i = 0; i < FLOWTAB_BURST; i++)
		ptr[i] = &t[3 * i];
	assert_int_equal(
		flowtab_lookup_burst(ft, ptr, FLOWTAB_BURST, T0, got, side), FLOWTAB_BURST);
	for (uint32_t i = 0; i < FLOWTAB_BURST; i++)
		assert_int_equal(got[i], idx[3 * i]);
	/* out in another order than in, and some in again */
	for (uint32_t i = 0; i < 100; i++)
		flowtab_free(ft, idx[i * 37 % 100]);
	for (uint32_t i = 0; i < 100; i++)
		assert_int_equal(flowtab_lookup(ft, &t[i], T0, NULL), FLOWTAB_NONE);
	idx[50] = flow_new(ft, &t[50], T0, FLOWTAB_NEVER);
	assert_int_equal(flowtab_lookup(ft, &t[50], T0, NULL), idx[50]);
	flowtab_free(ft, idx[50]);
}

static void
a_hundred_keys_of_one_hash_live_side_by_side(void **state)
{
	struct flowtab *ft = table_new(128);

	ft->hash_mask = 0;
	check_collisions(ft, false);
	check_collisions(ft, true);
	flowtab_destroy(ft);
}

static void
stale_handle_finds_nothing(void **state)
{
	struct flowtab *ft = table_new(16);
	struct flowtab_tuple t = tuple4(1, 1);
	uint32_t idx = flow_new(ft, &t, T0, FLOWTAB_NEVER);
	uint64_t h = flowtab_handle(ft, idx), h2;

	assert_true(h != 0);
	assert_int_equal(flowtab_handle_owner(h), 3);
	assert_int_equal(flowtab_handle_index(h), idx);
	assert_int_equal(flowtab_handle_generation(h), 1);
	assert_int_equal(flowtab_by_handle(ft, h), idx);
	assert_int_equal(flowtab_by_handle(ft, 0), FLOWTAB_NONE);
	assert_int_equal(flowtab_by_handle(ft, h ^ UINT64_C(1) << 56), FLOWTAB_NONE);
	assert_int_equal(flowtab_by_handle(ft, h ^ UINT64_C(1) << 32), FLOWTAB_NONE);
	assert_int_equal(flowtab_by_handle(ft, flowtab_handle_make(3, 1, 16)), FLOWTAB_NONE);
	assert_int_equal(flowtab_by_handle(ft, flowtab_handle_make(3, 0, 15)), FLOWTAB_NONE);
	assert_int_equal(flowtab_by_handle(ft, UINT64_MAX), FLOWTAB_NONE);

	flowtab_free(ft, idx);
	assert_int_equal(flowtab_by_handle(ft, h), FLOWTAB_NONE);
	assert_int_equal(flowtab_by_handle(ft, flowtab_handle(ft, idx)), FLOWTAB_NONE);
	assert_int_equal(flow_new(ft, &t, T0, FLOWTAB_NEVER), idx);
	h2 = flowtab_handle(ft, idx);
	assert_int_equal(flowtab_by_handle(ft, h), FLOWTAB_NONE);
	assert_int_equal(flowtab_by_handle(ft, h2), idx);
	flowtab_destroy(ft);
}

static void
generation_wraps_past_zero(void **state)
{
	struct flowtab *ft = table_new(16);
	struct flowtab_tuple t = tuple4(1, 1);
	uint32_t idx = flow_new(ft, &t, T0, FLOWTAB_NEVER);

	flowtab_flows(ft)[idx].generation = 0xffffff;
	assert_int_equal(flowtab_by_handle(ft, flowtab_handle(ft, idx)), idx);
	flowtab_free(ft, idx);
	assert_int_equal(flow_new(ft, &t, T0, FLOWTAB_NEVER), idx);
	assert_int_equal(flowtab_handle_generation(flowtab_handle(ft, idx)), 1);
	assert_int_equal(flowtab_by_handle(ft, flowtab_handle(ft, idx)), idx);
	flowtab_destroy(ft);
}

static void
dump_misses_no_flow_that_stays(void **state)
{
	struct flowtab *ft = table_new(300);
	uint32_t idx[7], n, cursor = 0, got = 0, fresh;
	struct flowtab_tuple t;
	bool seen[300] = { false };

	assert_int_equal(flowtab_dump(ft, &cursor, idx, 7), 0);
	for (uint32_t i = 0; i < 300; i++) {
		t = tuple4(1, i);
		flow_new(ft, &t, T0, FLOWTAB_NEVER);
	}
	for (uint32_t i = 0; i < 300; i += 3)
		flowtab_free(ft, i);
	assert_int_equal(flowtab_new(ft, 1, 0, IPPROTO_TCP, T0, &fresh), 0); /* NEW: not shown */
	cursor = 0;
	while ((n = flowtab_dump(ft, &cursor, idx, 7)) != 0) {
		assert_true(n <= 7);
		for (uint32_t i = 0; i < n; i++) {
			assert_int_not_equal(idx[i] % 3, 0);
			assert_false(seen[idx[i]]);
			seen[idx[i]] = true;
			got++;
		}
		if (got < 50) /* one goes while the walk is under way */
			flowtab_free(ft, 299 - got);
	}
	for (uint32_t i = 0; i < 250; i++)
		assert_int_equal(seen[i], i % 3 != 0);
	assert_int_equal(flowtab_dump(ft, &cursor, idx, 7), 0);
	cursor = UINT32_MAX;
	assert_int_equal(flowtab_dump(ft, &cursor, idx, 7), 0);
	flowtab_destroy(ft);
}

static void
both_sides_of_every_flow_fit_a_full_table(void **state)
{
	static const uint32_t sizes[] = { 1, 2, 3, 5, 100, 4096 };

	for (size_t s = 0; s < RTE_DIM(sizes); s++) {
		struct flowtab *ft = table_new(sizes[s]);
		struct flowtab_tuple g, o;
		uint32_t idx;

		for (int round = 0; round < 2; round++) {
			for (uint32_t i = 0; i < sizes[s]; i++) {
				g = round == 0 ? tuple4(1, i) : tuple6(1, i);
				o = round == 0 ? tuple4(0, i) : tuple6(0, i);
				idx = flow_new(ft, &g, T0, FLOWTAB_NEVER);
				assert_int_equal(
					flowtab_bind(ft, idx, FLOWTAB_SIDE_OTHER, &o, T0), 0);
			}
			assert_int_equal(flowtab_new(ft, 1, 0, IPPROTO_TCP, T0, &idx), -ENFILE);
			assert_int_equal(flowtab_count(ft), sizes[s]);
			for (uint32_t i = 0; i < sizes[s]; i++)
				flowtab_free(ft, i);
			assert_int_equal(flowtab_count(ft), 0);
		}
		flowtab_destroy(ft);
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
		cmocka_unit_test(siphash_gives_the_reference_values),
		cmocka_unit_test(ipv4_key_holds_every_field),
		cmocka_unit_test(refuses_bad_parameters),
		cmocka_unit_test(takes_a_name_of_the_greatest_length),
		cmocka_unit_test(creation_gives_back_everything),
		cmocka_unit_test(fresh_flow_is_blank),
		cmocka_unit_test(flow_is_found_by_either_side),
		cmocka_unit_test(tuple_of_a_bound_side_is_given_back),
		cmocka_unit_test(zone_and_every_other_field_separate_flows),
		cmocka_unit_test(burst_finds_what_single_lookups_find),
		cmocka_unit_test(bind_refuses_what_it_must),
		cmocka_unit_test(states_allow_what_the_header_says),
		cmocka_unit_test(hash_depends_on_the_key_and_the_tuple_alone),
		cmocka_unit_test(hash_of_a_turned_tuple_tells_nothing),
		cmocka_unit_test(a_hundred_keys_of_one_hash_live_side_by_side),
		cmocka_unit_test(stale_handle_finds_nothing),
		cmocka_unit_test(generation_wraps_past_zero),
		cmocka_unit_test(dump_misses_no_flow_that_stays),
		cmocka_unit_test(both_sides_of_every_flow_fit_a_full_table),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
