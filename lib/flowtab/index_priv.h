/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * The flow table's index: from a key's hash to the flows and sides that may have that key.
 *
 * Theory of operation. A bucket is a cache line with ten entries: 16 bits of the hash each, and a
 * reference to where the flow table keeps the key. Both families share it. What does not fit goes
 * into further buckets, chained. Entries of a chain have no gaps: what is removed gives its place
 * to the last. A chain is as long as its keys make it, so the hash must be one that nobody can
 * foresee.
 *
 * The index knows no keys: whoever searches compares those that are offered. So a search touches
 * the bucket, and then at once the key and the flow; a removal touches the bucket alone.
 *
 * Ownership and threads: one index belongs to one thread. Memory is taken at creation, and used
 * when it is needed.
 */
#ifndef FLOWTAB_INDEX_PRIV_H
#define FLOWTAB_INDEX_PRIV_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include <rte_byteorder.h>
#include <rte_common.h>
#include <rte_prefetch.h>

#define FLOWTAB_BUCKET 10

struct flowtab_bucket {
	union {
		uint64_t tags[3]; /**< the hash's upper halves of ten entries, and next */
		uint16_t tag[12];
		struct {
			uint16_t tag_again[FLOWTAB_BUCKET];
			uint32_t next; /**< number + 1 of a further bucket, or 0 */
		};
	};
	uint32_t ref[FLOWTAB_BUCKET]; /**< reference + 1, or 0: from here on none is used */
} __rte_cache_aligned;
static_assert(sizeof(struct flowtab_bucket) == RTE_CACHE_LINE_SIZE, "a bucket is a cache line");
static_assert(offsetof(struct flowtab_bucket, next) == 20, "next stands behind the tags");

struct flowtab_index {
	struct flowtab_bucket *buckets;
	struct flowtab_bucket *more; /**< those that are chained */
	uint32_t mask;
	uint32_t n_more;
	uint32_t fresh_more; /**< no bucket from here on was ever used */
	uint32_t free_more;  /**< freed ones, number + 1, by next; or 0 */
};

/** @param n_keys at most so many will be in it at a time; 0; -ENOMEM */
int flowtab_index_create(struct flowtab_index *x, uint32_t n_keys, int socket_id);
void flowtab_index_destroy(struct flowtab_index *x);
void flowtab_index_add(struct flowtab_index *x, uint32_t hash, uint32_t ref);
/** @param ref what was added with this hash */
void flowtab_index_del(struct flowtab_index *x, uint32_t hash, uint32_t ref);

static inline const struct flowtab_bucket *
flowtab_index_bucket(const struct flowtab_index *x, uint32_t hash)
{
	return &x->buckets[hash & x->mask];
}

static inline void
flowtab_index_prefetch(const struct flowtab_index *x, uint32_t hash)
{
	rte_prefetch0(flowtab_index_bucket(x, hash));
}

/** A search under way. */
struct flowtab_index_walk {
	const struct flowtab_index *x;
	const struct flowtab_bucket *b;
	uint32_t hits; /**< bit i: entry i of the bucket is to be offered */
	uint16_t tag;
};

/** In each lane of 16 bits: the highest bit, if the lanes are equal (and rarely if they are not).
 */
static inline uint64_t
flowtab_index_equal(uint64_t tags, uint64_t want)
{
	const uint64_t one = UINT64_C(0x0001000100010001);
	uint64_t x = tags ^ want;

	return (x - one) & ~x & one << 15;
}

/** The entries of a bucket whose tags match. */
static inline uint32_t
flowtab_index_match(const struct flowtab_bucket *b, uint16_t tag)
{
	uint32_t hits = 0;

#if RTE_BYTE_ORDER == RTE_LITTLE_ENDIAN
	/* Highest bits of lanes, side by side. */
	const uint64_t gather = UINT64_C(0x0000200040008001);
	uint64_t want = tag * UINT64_C(0x0001000100010001);

	for (unsigned int i = 0; i < RTE_DIM(b->tags); i++) {
		uint64_t equal = flowtab_index_equal(b->tags[i], want) >> 15;

		hits |= (uint32_t)(equal * gather >> 45 & 15) << 4 * i;
	}
	return hits & ((1 << FLOWTAB_BUCKET) - 1);
#else
	for (unsigned int i = 0; i < FLOWTAB_BUCKET; i++)
		hits |= (uint32_t)(b->tag[i] == tag) << i;
	return hits;
#endif
}

static inline void
flowtab_index_walk(struct flowtab_index_walk *w, const struct flowtab_index *x, uint32_t hash)
{
	w->x = x;
	w->b = flowtab_index_bucket(x, hash);
	w->tag = (uint16_t)(hash >> 16);
	w->hits = flowtab_index_match(w->b, w->tag);
}

/** The next reference that may be it, or UINT32_MAX: there are no more. */
static inline uint32_t
flowtab_index_next(struct flowtab_index_walk *w)
{
	for (;;) {
		while (w->hits != 0) {
			unsigned int i = (unsigned int)__builtin_ctz(w->hits);

			w->hits &= w->hits - 1;
			if (w->b->ref[i] != 0)
				return w->b->ref[i] - 1;
		}
		if (w->b->next == 0)
			return UINT32_MAX;
		w->b = &w->x->more[w->b->next - 1];
		w->hits = flowtab_index_match(w->b, w->tag);
	}
}

#endif
