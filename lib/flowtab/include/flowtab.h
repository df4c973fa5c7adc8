/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * The flow table: every flow of one core, found by either of its two sides.
 *
 * Theory of operation. A flow has two sides (struct flowtab_tuple): [FLOWTAB_SIDE_GUEST] as frames
 * of the guest show it, [FLOWTAB_SIDE_OTHER] as the host's sockets, or another guest, show it. Each
 * bound side is one key (of IPv4 16 bytes, of IPv6 48), so a flow is found from both directions
 * with one lookup. Flows live in a flat array; the position is the flow's index for life and the
 * users keep their own per-flow state in arrays parallel to it. A handle carries the owner, the
 * index and a generation: a late message for a flow that is gone finds nothing.
 *
 * Hashes are SipHash-1-3 under a random key, for guests choose their tuples.
 *
 * Expiry is lazy: whoever sees a packet writes flow->deadline_ms (flowtab_touch()), and the wheel
 * finds it later. A flow past its deadline is absent to lookups even before it is freed.
 *
 * Time is passed in (ms, any monotonic origin, 64 bit). No locks, no heap after creation, no system
 * calls, no logging.
 *
 * Ownership and threads: one table belongs to one thread. Nothing here may be called from another,
 * except flowtab_handle_*(), which are pure.
 */
#ifndef FLOWTAB_H
#define FLOWTAB_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rte_common.h>

#include "flowtab_addr.h"
#include "flowtab_wheel.h"
#include "flowtab_zone.h"

/** "No such flow". */
#define FLOWTAB_NONE UINT32_MAX
/** Longest name of a table, without the terminating zero. */
#define FLOWTAB_NAME_MAX 20
/** Largest burst that the _burst functions take. */
#define FLOWTAB_BURST 32
/** Expired flows that one flowtab_new() and the binding of both sides free, at most. */
#define FLOWTAB_GONE_MAX 35

/** Life of a flow, and what is allowed in each state. */
enum flowtab_state {
	/** Nothing; the index may be handed out by flowtab_new(). */
	FLOWTAB_FREE = 0,
	/**
	 * flowtab_bind(), flowtab_free(). Not found by anyone. Must be left before the call into
	 * the module that made the flow returns.
	 */
	FLOWTAB_NEW,
	/**
	 * At least one side is bound: found by lookups. flowtab_bind() of the other side,
	 * flowtab_touch(), flowtab_activate(), flowtab_close(), flowtab_free().
	 */
	FLOWTAB_TYPED,
	/** The flow carries data both ways. All of TYPED's but flowtab_activate(). */
	FLOWTAB_ACTIVE,
	/**
	 * Still found (late segments belong to it), first to be reclaimed when the table is full.
	 * flowtab_touch(), flowtab_free().
	 */
	FLOWTAB_CLOSING,
};

enum flowtab_side {
	FLOWTAB_SIDE_GUEST = 0, /**< the initiator's or the guest's own port */
	FLOWTAB_SIDE_OTHER = 1,
	FLOWTAB_SIDES = 2,
};

/** What a flow's memory beyond the table's own holds, hence who looks after it. */
enum flowtab_kind {
	FLOWTAB_KIND_SOCKET = 0, /**< ends in a socket of the host */
	FLOWTAB_KIND_TRACKED,    /**< ct.h: forwarded packet by packet */
};

/**
 * One flow. The first cache line holds what every packet touches, the second the rest.
 * Users may read all of it and write the fields marked (user). Counters are 64 and 48 bits wide,
 * their low halves in the first line: see flowtab_flow_count(), flowtab_flow_pkts(),
 * flowtab_flow_bytes().
 */
struct flowtab_flow {
	uint64_t deadline_ms; /**< (user, through flowtab_touch()) gone when now >= this */
	uint32_t pkts_lo[FLOWTAB_SIDES];  /**< frames that came in at this side */
	uint32_t bytes_lo[FLOWTAB_SIDES]; /**< bytes of L4 payload that came in at this side */
	uint32_t mark;                    /**< (user) */
	uint16_t zone;                    /**< whose limit it counts for; keys may be in another */
	uint16_t flags;                   /**< (user) */
	uint32_t generation : 24;         /**< never 0 */
	uint32_t proto : 8;
	uint32_t pif : 10;   /**< the guest side's port: limits are counted on it */
	uint32_t opif : 10;  /**< the other side's port, once it is bound */
	uint32_t state : 3;  /**< enum flowtab_state */
	uint32_t kind : 1;   /**< (user) enum flowtab_kind */
	uint32_t policy : 4; /**< (user) set of timeouts */
	uint32_t tclass : 4; /**< (user) timeout class */
	uint8_t track[24];   /**< zero; the connection tracker's */

	/* second cache line */
	uint64_t created_ms;
	uint32_t hash[FLOWTAB_SIDES];     /**< of each bound side's key */
	uint32_t bytes_hi[FLOWTAB_SIDES]; /**< high halves of the counters */
	uint16_t pkts_hi[FLOWTAB_SIDES];
	uint32_t next;   /**< free list; CLOSING: ring of the closing flows */
	uint32_t prev;   /**< CLOSING: ring of the closing flows */
	uint32_t parent; /**< (user) index of the flow this is related to, or FLOWTAB_NONE */
	uint32_t ext;    /**< (user) where more of this flow is kept, or FLOWTAB_NONE */
	uint16_t cookie; /**< (user) */
	uint8_t bound[FLOWTAB_SIDES]; /**< 0: not bound; 4, 6: by a key of this family */
	uint64_t label[2];            /**< (user) */
} __rte_cache_aligned;
static_assert(sizeof(struct flowtab_flow) == 128, "a flow is two cache lines");
static_assert(offsetof(struct flowtab_flow, created_ms) == 64, "hot fields fill the first line");
static_assert(FLOWTAB_MAX_PIFS == 1 << 10, "every pif fits the bits of a flow");

struct flowtab_params {
	const char *name;   /**< for people; 1 .. FLOWTAB_NAME_MAX characters */
	uint32_t max_flows; /**< 1 .. 16 M */
	uint16_t max_pifs;  /**< ports 0 .. max_pifs-1 are counted and can have a limit */
	uint8_t owner;      /**< number of the worker, part of every handle */
	int socket_id;      /**< NUMA node, or SOCKET_ID_ANY */
	uint64_t now_ms;
	uint8_t hash_key[16]; /**< random; equal keys give equal hashes (tests) */
	/** Of all tables; this one's slot is owner. NULL: zones of its own. Outlives the table. */
	struct flowtab_zones *zones;
	bool crc; /**< hash with CRC: to be compared with, a guest can make its keys collide */
	/** A full table frees flows that live, too: see flowtab_new(). */
	bool evict;
};

struct flowtab;

/** @return the table, or NULL with rte_errno set (EINVAL, ENOMEM) */
struct flowtab *flowtab_create(const struct flowtab_params *p);
void flowtab_destroy(struct flowtab *ft);

/** The array of flows; position = index, flowtab_max() long. Valid until flowtab_destroy(). */
struct flowtab_flow *flowtab_flows(struct flowtab *ft);
uint32_t flowtab_max(const struct flowtab *ft);
/** Number of flows that are not FREE. */
uint32_t flowtab_count(const struct flowtab *ft);
uint32_t flowtab_pif_count(const struct flowtab *ft, uint16_t pif);

/** Limit the flows whose guest side is on this port; 0: none. 0, or -EINVAL: no such port. */
int flowtab_pif_limit(struct flowtab *ft, uint16_t pif, uint32_t max);
/**
 * While less than an eighth of the table is free, no port gets more flows than this; 0: no such
 * limit. So what is left is for those who have least.
 */
void flowtab_share(struct flowtab *ft, uint32_t max);

/**
 * A keyed hash of a tuple, the same in all tables with the same key; steering uses it too.
 */
uint32_t flowtab_hash(const struct flowtab *ft, const struct flowtab_tuple *t);

/**
 * Find the flows of a burst of tuples.
 * @param tuples n pointers, n <= FLOWTAB_BURST
 * @param idx    receives the flow's index, or FLOWTAB_NONE
 * @param side   receives which side matched (only where idx is not FLOWTAB_NONE)
 * @return number of hits
 */
unsigned int flowtab_lookup_burst(struct flowtab *ft, const struct flowtab_tuple *const tuples[],
	unsigned int n, uint64_t now_ms, uint32_t idx[], uint8_t side[]);

/** One tuple. @return index or FLOWTAB_NONE; *side (may be NULL) tells which side matched. */
uint32_t flowtab_lookup(
	struct flowtab *ft, const struct flowtab_tuple *t, uint64_t now_ms, uint8_t *side);

/**
 * Take a free index for a flow whose guest side is on port pif, in a zone. When the table is full,
 * or the port's or the zone's limit is reached, expired flows are reclaimed first (closing ones
 * before others); the user hears of each by the function given to flowtab_on_gone(). The search for
 * them is bounded by call and by ms. With params.evict a full table then frees one that lives: of
 * those at hand, in this order, a closing one, a UDP flow that was never answered, an ICMP flow,
 * another.
 * @param idx receives the index; state NEW; counters and user fields zero, deadline FLOWTAB_NEVER,
 *            parent and ext FLOWTAB_NONE
 * @return 0; -ENFILE the table is full; -EDQUOT the port's limit or share is reached; -EUSERS the
 *         zone's; -EINVAL no such port number
 */
int flowtab_new(struct flowtab *ft, uint16_t pif, uint16_t zone, uint8_t proto, uint64_t now_ms,
	uint32_t *idx);

/**
 * Bind one side: from now on lookups of this tuple find the flow. NEW -> TYPED.
 * @return 0; -EEXIST the tuple is another flow's (an expired one is freed instead); -EINVAL side
 *         bound already, not in a state that allows it, or a tuple that is not valid (struct
 *         flowtab_tuple)
 */
int flowtab_bind(struct flowtab *ft, uint32_t idx, enum flowtab_side side,
	const struct flowtab_tuple *t, uint64_t now_ms);

/** TYPED -> ACTIVE. 0 or -EINVAL. */
int flowtab_activate(struct flowtab *ft, uint32_t idx);
/** TYPED, ACTIVE -> CLOSING. 0 or -EINVAL. */
int flowtab_close(struct flowtab *ft, uint32_t idx);
/** Any state but FREE -> FREE; keys removed, generation moved on. Never calls the gone function. */
void flowtab_free(struct flowtab *ft, uint32_t idx);

/** The tuple of a bound side. 0; -ENOENT not bound. */
int flowtab_tuple(
	const struct flowtab *ft, uint32_t idx, enum flowtab_side side, struct flowtab_tuple *t);

/**
 * Write a deadline. A later one costs a store; an earlier one re-links.
 * @param deadline_ms absolute; FLOWTAB_NEVER allowed
 */
void flowtab_touch(struct flowtab *ft, uint32_t idx, uint64_t deadline_ms);

static inline uint64_t
flowtab_flow_pkts(const struct flowtab_flow *f, unsigned int side)
{
	return (uint64_t)f->pkts_hi[side] << 32 | f->pkts_lo[side];
}

static inline uint64_t
flowtab_flow_bytes(const struct flowtab_flow *f, unsigned int side)
{
	return (uint64_t)f->bytes_hi[side] << 32 | f->bytes_lo[side];
}

/** Count packets and bytes that came in at a side. The second line is touched once in 2^32. */
static inline void
flowtab_flow_count(struct flowtab_flow *f, unsigned int side, uint32_t pkts, uint32_t bytes)
{
	if (__builtin_add_overflow(f->pkts_lo[side], pkts, &f->pkts_lo[side]))
		f->pkts_hi[side]++;
	if (__builtin_add_overflow(f->bytes_lo[side], bytes, &f->bytes_lo[side]))
		f->bytes_hi[side]++;
}

/** Take back what was counted. */
static inline void
flowtab_flow_uncount(struct flowtab_flow *f, unsigned int side, uint32_t pkts, uint32_t bytes)
{
	if (__builtin_sub_overflow(f->pkts_lo[side], pkts, &f->pkts_lo[side]))
		f->pkts_hi[side]--;
	if (__builtin_sub_overflow(f->bytes_lo[side], bytes, &f->bytes_lo[side]))
		f->bytes_hi[side]--;
}

/** Told of each flow that is about to be freed by expiry or reclaim; must not call into the table.
 */
typedef void (*flowtab_gone_fn)(void *arg, uint32_t idx);
void flowtab_on_gone(struct flowtab *ft, flowtab_gone_fn fn, void *arg);

/**
 * Free what has expired; to be called about once a second, or as flowtab_next() tells.
 * @param budget flows to look at, at most (doubled when behind)
 * @return flows freed
 */
uint32_t flowtab_expire(struct flowtab *ft, uint64_t now_ms, uint32_t budget);
uint64_t flowtab_next(const struct flowtab *ft);

/**
 * Handle of a flow: owner << 56 | generation << 32 | index. Never 0, for generations start at 1.
 */
static inline uint64_t
flowtab_handle_make(uint8_t owner, uint32_t generation, uint32_t idx)
{
	return (uint64_t)owner << 56 | (uint64_t)(generation & 0xffffff) << 32 | idx;
}

static inline uint8_t
flowtab_handle_owner(uint64_t handle)
{
	return (uint8_t)(handle >> 56);
}

static inline uint32_t
flowtab_handle_generation(uint64_t handle)
{
	return (uint32_t)(handle >> 32) & 0xffffff;
}

static inline uint32_t
flowtab_handle_index(uint64_t handle)
{
	return (uint32_t)handle;
}

uint64_t flowtab_handle(const struct flowtab *ft, uint32_t idx);
/** @return the index, or FLOWTAB_NONE when the handle is stale, foreign or out of range */
uint32_t flowtab_by_handle(const struct flowtab *ft, uint64_t handle);

/**
 * Walk over all flows that are not FREE or NEW: start with *cursor = 0, go on until 0 is returned.
 * Flows may come and go between calls; none that stays is missed.
 * @return how many indices were written to idx
 */
uint32_t flowtab_dump(const struct flowtab *ft, uint32_t *cursor, uint32_t *idx, uint32_t max);

#endif
