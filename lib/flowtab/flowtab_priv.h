/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * The flow table's inside, shared by its files (and by its tests).
 *
 * Memory. Everything is rte_zmalloc'ed once and written only when used, so that pages of flows that
 * never existed stay out of memory: fresh indices are taken from a watermark, and only when no
 * freed one is at hand. Keys are kept per family, by index and side; the index (index_priv.h) says
 * whose may be the one that is sought.
 */
#ifndef FLOWTAB_PRIV_H
#define FLOWTAB_PRIV_H

#include "flowtab.h"
#include "index_priv.h"
#include "key.h"
#include "wheel_priv.h"
#include "zone_priv.h"

/** Length of a near slot of the expiry wheel: 512 s near, 36 h far. */
#define FLOWTAB_TICK_MS 1000
/** Flows that one search for an expired one looks at, at most. */
#define FLOWTAB_SEARCH_CALL 128
/** Searches in vain within one ms: who knocks at a full table, or at its limit, gains no more. */
#define FLOWTAB_SEARCH_MS_FULL 8
#define FLOWTAB_SEARCH_MS_PIF 1
/** Expired flows that one call of flowtab_new() drops to get below a limit, at most. */
#define FLOWTAB_SEARCH_DROPS 16
static_assert(2 * FLOWTAB_SEARCH_DROPS + 1 + FLOWTAB_SIDES <= FLOWTAB_GONE_MAX,
	"a port and a zone below their limits, one more for a full table, and one for each tuple");
/** Values of flowtab_flow.bound: unbound is 0. */
#define FLOWTAB_BOUND_V4 4
#define FLOWTAB_BOUND_V6 6

/** How often a search for expired flows was in vain within one ms. */
struct flowtab_search {
	uint64_t ms;
	uint32_t vain;
};

struct flowtab_pif {
	uint32_t count;
	uint32_t limit; /**< 0: none */
	struct flowtab_search search;
};

struct flowtab {
	struct flowtab_flow *flows;
	struct flowtab_index index;
	struct flowtab_key4 (*keys4)[FLOWTAB_SIDES];
	struct flowtab_key6 (*keys6)[FLOWTAB_SIDES];
	struct flowtab_sipkey sipkey;
	uint32_t hash_mask; /**< all ones; a test makes hashes collide with less */
	uint32_t max;
	uint32_t share; /**< of one port, when little is left; 0: no limit */
	struct flowtab_wheel *wheel;
	uint64_t *live; /**< bitmap of indices that are not FREE */
	struct flowtab_pif *pifs;
	struct flowtab_zones *zones;
	struct flowtab_zones *own_zones; /**< nobody gave any */
	uint8_t zone_slot;
	struct flowtab_search zone_search; /**< of ports without a record of their own */
	flowtab_gone_fn gone;
	void *gone_arg;
	uint32_t count;
	uint32_t fresh;        /**< watermark: no index from here on was ever used */
	uint32_t free_head;    /**< freed indices, or FLOWTAB_NONE */
	uint32_t closing_head; /**< ring of CLOSING flows, or FLOWTAB_NONE */
	struct flowtab_search search;
	uint32_t evict_at; /**< where the next search for one that lives begins */
	uint16_t max_pifs;
	uint8_t owner;
	bool crc, evict;
};

static inline bool
flowtab_expired(const struct flowtab_flow *f, uint64_t now_ms)
{
	return f->deadline_ms <= now_ms;
}

/** Tell the user, then free. */
void flowtab_drop(struct flowtab *ft, uint32_t idx);
/**
 * Find one expired flow, closing ones first, and drop it.
 * @param s    the record of whoever searches
 * @param vain how many searches may be in vain within one ms
 * @return false when none was found
 */
bool flowtab_reclaim(struct flowtab *ft, struct flowtab_search *s, uint32_t vain, uint64_t now_ms);
/** Drop a flow that lives, the least worth of some at hand; false: there are none but NEW ones. */
bool flowtab_evict(struct flowtab *ft);
/** Fetch what the index will touch when these tuples, which are no flow's, are bound. */
void flowtab_prefetch_bind(
	const struct flowtab *ft, const struct flowtab_tuple *const tuples[], unsigned int n);
/** Remove the key of a side from its hash, if bound. */
void flowtab_unbind(struct flowtab *ft, uint32_t idx, enum flowtab_side side);
void flowtab_closing_add(struct flowtab *ft, uint32_t idx);
void flowtab_closing_del(struct flowtab *ft, uint32_t idx);

#endif
