/* SPDX-License-Identifier: BSD-3-Clause */
/* Keys in and out of the index. A reference is a flow's index, its key's family, and the side. */
#include "flowtab.h"

#include <errno.h>
#include <string.h>

#include <rte_branch_prediction.h>
#include <rte_hash_crc.h>
#include <rte_prefetch.h>

#include "flowtab_priv.h"

static_assert(FLOWTAB_SIDES == 2, "one bit of a reference");

union any_key {
	struct flowtab_key4 k4;
	struct flowtab_key6 k6;
};

static inline uint32_t
ref_make(uint32_t idx, uint8_t family, unsigned int side)
{
	return idx << 2 | (uint32_t)(family == FLOWTAB_BOUND_V6) << 1 | side;
}

static inline uint32_t
ref_index(uint32_t ref)
{
	return ref >> 2;
}

static inline uint8_t
ref_family(uint32_t ref)
{
	return (ref & 2) != 0 ? FLOWTAB_BOUND_V6 : FLOWTAB_BOUND_V4;
}

static inline uint8_t
ref_side(uint32_t ref)
{
	return ref & 1;
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

uint32_t
flowtab_hash(const struct flowtab *ft, const struct flowtab_tuple *t)
{
	union any_key k;
	uint32_t hash;

	make_key(ft, t, &k, &hash);
	return hash;
}

/** Has this side of this flow the key? */
static inline bool
ref_has_key(const struct flowtab *ft, uint32_t ref, uint8_t family, const union any_key *k)
{
	const struct flowtab_key4 *k4 = &ft->keys4[ref_index(ref)][ref_side(ref)];
	const struct flowtab_key6 *k6 = &ft->keys6[ref_index(ref)][ref_side(ref)];
	uint64_t differs = 0;

	if (ref_family(ref) != family)
		return false;
	if (family == FLOWTAB_BOUND_V4)
		return ((k4->w[0] ^ k->k4.w[0]) | (k4->w[1] ^ k->k4.w[1])) == 0;
	for (unsigned int i = 0; i < RTE_DIM(k6->w); i++)
		differs |= k6->w[i] ^ k->k6.w[i];
	return differs == 0;
}

/** @return the reference, whether the flow has expired or not, or UINT32_MAX */
static inline uint32_t
walk_find(const struct flowtab *ft, struct flowtab_index_walk *w, uint32_t ref, uint8_t family,
	const union any_key *k)
{
	while (ref != UINT32_MAX && !ref_has_key(ft, ref, family, k))
		ref = flowtab_index_next(w);
	return ref;
}

static inline uint32_t
find(const struct flowtab *ft, const union any_key *k, uint8_t family, uint32_t hash)
{
	struct flowtab_index_walk w;

	flowtab_index_walk(&w, &ft->index, hash);
	return walk_find(ft, &w, flowtab_index_next(&w), family, k);
}

/** One tuple of a burst, on its way. */
struct search {
	union any_key k;
	struct flowtab_index_walk w;
	uint32_t hash, ref;
	uint8_t family; /**< 0: no key stands for the tuple */
};

static inline void
prefetch_key(const struct flowtab *ft, uint32_t ref)
{
	const struct flowtab_key6 *k6 = &ft->keys6[ref_index(ref)][ref_side(ref)];

	if (ref_family(ref) == FLOWTAB_BOUND_V4) {
		rte_prefetch0(ft->keys4[ref_index(ref)]);
	} else {
		rte_prefetch0(k6);
		rte_prefetch0(&k6->w[RTE_DIM(k6->w) - 1]);
	}
}

static inline bool
tuple_eq(const struct flowtab_tuple *a, const struct flowtab_tuple *b)
{
	const uint64_t *x = (const uint64_t *)a, *y = (const uint64_t *)b;

	return ((x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2]) | (x[3] ^ y[3]) | (x[4] ^ y[4]) |
		       (x[5] ^ y[5])) == 0;
}

/*
 * Each step touches what the one before has fetched for the whole burst: buckets, then keys and
 * flows.
 */
unsigned int
flowtab_lookup_burst(struct flowtab *ft, const struct flowtab_tuple *const tuples[], unsigned int n,
	uint64_t now_ms, uint32_t idx[], uint8_t side[])
{
	struct search search[FLOWTAB_BURST];
	unsigned int hits = 0;
	uint32_t same = 0;

	assert(n <= FLOWTAB_BURST);
	for (unsigned int i = 0; i < n; i++) {
		struct search *s = &search[i];

		s->family = 0;
		if (!flowtab_tuple_is_valid(tuples[i]))
			continue;
		/* Packets of one flow come one after the other. */
		if (i > 0 && tuple_eq(tuples[i], tuples[i - 1])) {
			same |= 1U << i;
			continue;
		}
		s->family = make_key(ft, tuples[i], &s->k, &s->hash);
		flowtab_index_prefetch(&ft->index, s->hash);
	}
	for (unsigned int i = 0; i < n; i++) {
		struct search *s = &search[i];

		s->ref = UINT32_MAX;
		if (s->family == 0)
			continue;
		flowtab_index_walk(&s->w, &ft->index, s->hash);
		s->ref = flowtab_index_next(&s->w);
		if (s->ref == UINT32_MAX)
			continue;
		prefetch_key(ft, s->ref);
		rte_prefetch0(&ft->flows[ref_index(s->ref)]);
	}
	for (unsigned int i = 0; i < n; i++) {
		struct search *s = &search[i];

		if ((same >> i & 1) != 0) {
			idx[i] = idx[i - 1];
			side[i] = side[i - 1];
			hits += idx[i] != FLOWTAB_NONE;
			continue;
		}
		s->ref = walk_find(ft, &s->w, s->ref, s->family, &s->k);
		idx[i] = FLOWTAB_NONE;
		if (s->ref == UINT32_MAX || flowtab_expired(&ft->flows[ref_index(s->ref)], now_ms))
			continue;
		idx[i] = ref_index(s->ref);
		side[i] = ref_side(s->ref);
		hits++;
	}
	return hits;
}

void
flowtab_prefetch_bind(
	const struct flowtab *ft, const struct flowtab_tuple *const tuples[], unsigned int n)
{
	union any_key k;
	uint32_t hash;

	for (unsigned int i = 0; i < n; i++) {
		make_key(ft, tuples[i], &k, &hash);
		flowtab_index_prefetch(&ft->index, hash);
	}
}

uint32_t
flowtab_lookup(struct flowtab *ft, const struct flowtab_tuple *t, uint64_t now_ms, uint8_t *side)
{
	union any_key k;
	uint8_t family;
	uint32_t hash, ref;

	if (!flowtab_tuple_is_valid(t))
		return FLOWTAB_NONE;
	family = make_key(ft, t, &k, &hash);
	ref = find(ft, &k, family, hash);
	if (ref == UINT32_MAX || flowtab_expired(&ft->flows[ref_index(ref)], now_ms))
		return FLOWTAB_NONE;
	if (side != NULL)
		*side = ref_side(ref);
	return ref_index(ref);
}

/** Make sure that no other flow has this key. 0 or -EEXIST. */
static int
evict_expired(struct flowtab *ft, const union any_key *k, uint8_t family, uint32_t hash,
	uint32_t idx, uint64_t now_ms)
{
	uint32_t ref = find(ft, k, family, hash);

	if (ref == UINT32_MAX)
		return 0;
	if (ref_index(ref) == idx || !flowtab_expired(&ft->flows[ref_index(ref)], now_ms))
		return -EEXIST;
	flowtab_drop(ft, ref_index(ref));
	return 0;
}

/** The next flow will be one of the same family, more likely than not. */
static inline void
prefetch_next_keys(const struct flowtab *ft, uint8_t family)
{
	if (ft->free_head == FLOWTAB_NONE)
		return;
	prefetch_key(ft, ref_make(ft->free_head, family, FLOWTAB_SIDE_GUEST));
	prefetch_key(ft, ref_make(ft->free_head, family, FLOWTAB_SIDE_OTHER));
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
	err = evict_expired(ft, &k, family, hash, idx, now_ms);
	if (err != 0)
		return err;
	flowtab_index_add(&ft->index, hash, ref_make(idx, family, side));
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

void
flowtab_unbind(struct flowtab *ft, uint32_t idx, enum flowtab_side side)
{
	struct flowtab_flow *f = &ft->flows[idx];

	if (f->bound[side] == 0)
		return;
	flowtab_index_del(&ft->index, f->hash[side], ref_make(idx, f->bound[side], side));
	f->bound[side] = 0;
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
