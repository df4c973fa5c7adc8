/* SPDX-License-Identifier: BSD-3-Clause */
/* Keys in and out of the hashes. What a hash stores of a key is the flow's index << 1 | side. */
#include "flowtab.h"

#include <errno.h>
#include <string.h>

#include <rte_branch_prediction.h>
#include <rte_hash_crc.h>
#include <rte_prefetch.h>

#include "flowtab_priv.h"

/** Both sides of each flow of a burst. */
#define KEYS_MAX (FLOWTAB_BURST * FLOWTAB_SIDES)
static_assert(KEYS_MAX <= RTE_HASH_LOOKUP_BULK_MAX, "one lookup for all");

union any_key {
	struct flowtab_key4 k4;
	struct flowtab_key6 k6;
};

static inline void *
data_make(uint32_t idx, unsigned int side)
{
	return (void *)((uintptr_t)idx << 1 | side);
}

static inline uint32_t
data_index(const void *data)
{
	return (uint32_t)((uintptr_t)data >> 1);
}

static inline uint8_t
data_side(const void *data)
{
	return (uintptr_t)data & 1;
}

/** @return FLOWTAB_BOUND_* */
static inline uint8_t
make_key(const struct flowtab *ft, const struct flowtab_tuple *t, union any_key *k, uint32_t *hash)
{
	if (flowtab_tuple_is_v4(t)) {
		flowtab_key4_pack(&k->k4, t);
		*hash = unlikely(ft->crc) ? rte_hash_crc(&k->k4, sizeof(k->k4), 0)
					  : flowtab_key4_hash(&ft->sipkey, &k->k4);
		*hash &= ft->hash_mask;
		return FLOWTAB_BOUND_V4;
	}
	flowtab_key6_pack(&k->k6, t);
	*hash = unlikely(ft->crc) ? rte_hash_crc(&k->k6, sizeof(k->k6), 0)
				  : flowtab_key6_hash(&ft->sipkey, &k->k6);
	*hash &= ft->hash_mask;
	return FLOWTAB_BOUND_V6;
}

static inline const struct rte_hash *
hash_of(const struct flowtab *ft, uint8_t family)
{
	return family == FLOWTAB_BOUND_V4 ? ft->hash4 : ft->hash6;
}

uint32_t
flowtab_hash(const struct flowtab *ft, const struct flowtab_tuple *t)
{
	union any_key k;
	uint32_t hash;

	make_key(ft, t, &k, &hash);
	return hash;
}

/** The keys of one family in a burst. */
struct key_group {
	const void *keys[KEYS_MAX];
	hash_sig_t hash[KEYS_MAX];
	uint8_t pos[KEYS_MAX]; /**< whose key this is */
	unsigned int n;
};

static inline void
group_add(struct key_group *g, const void *key, uint32_t hash, unsigned int pos)
{
	g->keys[g->n] = key;
	g->hash[g->n] = hash;
	g->pos[g->n++] = (uint8_t)pos;
}

/** Hits are written to idx and side, whether expired or not. */
static void
group_lookup(const struct flowtab *ft, const struct rte_hash *h, struct key_group *g,
	uint32_t idx[], uint8_t side[])
{
	void *data[FLOWTAB_BURST];
	uint64_t hits = 0;

	if (g->n == 0)
		return;
	rte_hash_lookup_with_hash_bulk_data(h, g->keys, g->hash, g->n, &hits, data);
	for (; hits != 0; hits &= hits - 1) {
		unsigned int i = (unsigned int)__builtin_ctzll(hits), pos = g->pos[i];

		idx[pos] = data_index(data[i]);
		side[pos] = data_side(data[i]);
		rte_prefetch0(&ft->flows[idx[pos]]);
	}
}

void
flowtab_prefetch_bind(
	struct flowtab *ft, const struct flowtab_tuple *const tuples[], unsigned int n)
{
	uint32_t idx[FLOWTAB_BURST];
	uint8_t side[FLOWTAB_BURST];

	flowtab_lookup_burst(ft, tuples, n, 0, idx, side);
}

static inline bool
tuple_eq(const struct flowtab_tuple *a, const struct flowtab_tuple *b)
{
	const uint64_t *x = (const uint64_t *)a, *y = (const uint64_t *)b;

	return ((x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2]) | (x[3] ^ y[3]) | (x[4] ^ y[4]) |
		       (x[5] ^ y[5])) == 0;
}

unsigned int
flowtab_lookup_burst(struct flowtab *ft, const struct flowtab_tuple *const tuples[], unsigned int n,
	uint64_t now_ms, uint32_t idx[], uint8_t side[])
{
	union any_key keys[FLOWTAB_BURST];
	struct key_group g4, g6;
	unsigned int hits = 0;
	uint32_t hash, same = 0;

	assert(n <= FLOWTAB_BURST);
	g4.n = 0;
	g6.n = 0;
	for (unsigned int i = 0; i < n; i++) {
		idx[i] = FLOWTAB_NONE;
		if (!flowtab_tuple_is_valid(tuples[i]))
			continue;
		/* Packets of one flow come one after the other. */
		if (i > 0 && tuple_eq(tuples[i], tuples[i - 1])) {
			same |= 1U << i;
			continue;
		}
		if (make_key(ft, tuples[i], &keys[i], &hash) == FLOWTAB_BOUND_V4)
			group_add(&g4, &keys[i].k4, hash, i);
		else
			group_add(&g6, &keys[i].k6, hash, i);
	}
	group_lookup(ft, ft->hash4, &g4, idx, side);
	group_lookup(ft, ft->hash6, &g6, idx, side);
	for (unsigned int i = 0; i < n; i++) {
		if ((same >> i & 1) != 0) {
			idx[i] = idx[i - 1];
			side[i] = side[i - 1];
			hits += idx[i] != FLOWTAB_NONE;
			continue;
		}
		if (idx[i] == FLOWTAB_NONE)
			continue;
		if (flowtab_expired(&ft->flows[idx[i]], now_ms))
			idx[i] = FLOWTAB_NONE;
		else
			hits++;
	}
	return hits;
}

uint32_t
flowtab_lookup(struct flowtab *ft, const struct flowtab_tuple *t, uint64_t now_ms, uint8_t *side)
{
	union any_key k;
	uint8_t family;
	uint32_t hash;
	void *data;

	if (!flowtab_tuple_is_valid(t))
		return FLOWTAB_NONE;
	family = make_key(ft, t, &k, &hash);
	if (rte_hash_lookup_with_hash_data(hash_of(ft, family), &k, hash, &data) < 0 ||
		flowtab_expired(&ft->flows[data_index(data)], now_ms))
		return FLOWTAB_NONE;
	if (side != NULL)
		*side = data_side(data);
	return data_index(data);
}

/** Make sure that no other flow has this key. 0 or -EEXIST. */
static int
evict_expired(struct flowtab *ft, const struct rte_hash *h, const union any_key *k, uint32_t hash,
	uint32_t idx, uint64_t now_ms)
{
	uint32_t other;
	void *data;

	if (rte_hash_lookup_with_hash_data(h, k, hash, &data) < 0)
		return 0;
	other = data_index(data);
	if (other == idx || !flowtab_expired(&ft->flows[other], now_ms))
		return -EEXIST;
	flowtab_drop(ft, other);
	return 0;
}

/** The next flow will be one of the same family, more likely than not. */
static inline void
prefetch_next_keys(const struct flowtab *ft, uint8_t family)
{
	uint32_t next = ft->free_head;

	if (next == FLOWTAB_NONE)
		return;
	if (family == FLOWTAB_BOUND_V4) {
		rte_prefetch0(ft->keys4[next]);
	} else {
		rte_prefetch0(ft->keys6[next]);
		rte_prefetch0(&ft->keys6[next][FLOWTAB_SIDE_OTHER].w[4]);
	}
}

int
flowtab_bind(struct flowtab *ft, uint32_t idx, enum flowtab_side side,
	const struct flowtab_tuple *t, uint64_t now_ms)
{
	struct flowtab_flow *f = &ft->flows[idx];
	union any_key k;
	uint8_t family;
	uint32_t hash;
	int err;

	assert(idx < ft->max);
	if (side >= FLOWTAB_SIDES || !flowtab_tuple_is_valid(t) || f->state == FLOWTAB_FREE ||
		f->state == FLOWTAB_CLOSING || f->bound[side] != 0)
		return -EINVAL;
	family = make_key(ft, t, &k, &hash);
	err = evict_expired(ft, hash_of(ft, family), &k, hash, idx, now_ms);
	if (err != 0)
		return err;
	if (rte_hash_add_key_with_hash_data(hash_of(ft, family), &k, hash, data_make(idx, side)) <
		0)
		return -ENOSPC;

	if (family == FLOWTAB_BOUND_V4)
		ft->keys4[idx][side] = k.k4;
	else
		ft->keys6[idx][side] = k.k6;
	if (side == FLOWTAB_SIDE_GUEST)
		prefetch_next_keys(ft, family);
	f->hash[side] = hash;
	f->bound[side] = family;
	if (side == FLOWTAB_SIDE_OTHER)
		f->opif = t->pif;
	if (f->state == FLOWTAB_NEW)
		f->state = FLOWTAB_TYPED;
	return 0;
}

/** The key of a side that is bound. */
static inline const void *
key_of(const struct flowtab *ft, uint32_t idx, unsigned int side)
{
	if (ft->flows[idx].bound[side] == FLOWTAB_BOUND_V4)
		return &ft->keys4[idx][side];
	return &ft->keys6[idx][side];
}

void
flowtab_unbind(struct flowtab *ft, uint32_t idx, enum flowtab_side side)
{
	struct flowtab_flow *f = &ft->flows[idx];

	if (f->bound[side] == 0)
		return;
	rte_hash_del_key_with_hash(
		hash_of(ft, f->bound[side]), key_of(ft, idx, side), f->hash[side]);
	f->bound[side] = 0;
}

/*
 * Only a lookup knows where rte_hash keeps a key. That of many fetches all of their buckets before
 * it reads the first, and likewise what it keeps of the keys; each removal would wait for one after
 * the other.
 */
void
flowtab_prefetch_keys(const struct flowtab *ft, const uint32_t idx[], unsigned int n)
{
	struct key_group g[2];
	void *data[KEYS_MAX];
	uint64_t hits;

	assert(n <= FLOWTAB_BURST);
	g[0].n = 0;
	g[1].n = 0;
	for (unsigned int i = 0; i < n; i++) {
		const struct flowtab_flow *f = &ft->flows[idx[i]];

		for (unsigned int side = 0; side < FLOWTAB_SIDES; side++) {
			const void *key = key_of(ft, idx[i], side);

			if (f->bound[side] == 0)
				continue;
			rte_prefetch0(key);
			group_add(&g[f->bound[side] == FLOWTAB_BOUND_V6], key, f->hash[side], i);
		}
	}
	if (g[0].n != 0)
		rte_hash_lookup_with_hash_bulk_data(
			ft->hash4, g[0].keys, g[0].hash, g[0].n, &hits, data);
	if (g[1].n != 0)
		rte_hash_lookup_with_hash_bulk_data(
			ft->hash6, g[1].keys, g[1].hash, g[1].n, &hits, data);
}

int
flowtab_tuple(
	const struct flowtab *ft, uint32_t idx, enum flowtab_side side, struct flowtab_tuple *t)
{
	assert(idx < ft->max);
	if (side >= FLOWTAB_SIDES)
		return -ENOENT;
	switch (ft->flows[idx].bound[side]) {
	case FLOWTAB_BOUND_V4:
		flowtab_key4_unpack(&ft->keys4[idx][side], t);
		return 0;
	case FLOWTAB_BOUND_V6:
		*t = ft->keys6[idx][side].t;
		return 0;
	default:
		return -ENOENT;
	}
}
