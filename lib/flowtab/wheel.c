/* SPDX-License-Identifier: BSD-3-Clause */
#include "flowtab_wheel.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>

#include <rte_common.h>
#include <rte_errno.h>
#include <rte_malloc.h>
#include <rte_prefetch.h>
#include <rte_reciprocal.h>

#include "wheel_priv.h"

/*
 * Ticks are counted from the start of time. w->tick is the last one that is done with; then
 *   near slot t % 512 holds what is to be looked at in tick t, for t in w->tick + (1 .. 512);
 *   far slot f % 256 holds what belongs to ticks f * 512 and later, to be spread over the near
 *   slots just before tick f * 512, for f in w->tick / 512 + (1 .. 256).
 * Both windows are exactly as long as their rings, so each slot stands for one tick, or one block.
 */
#define NEAR FLOWTAB_WHEEL_NEAR
#define FAR FLOWTAB_WHEEL_FAR
#define NEAR_SHIFT 9
static_assert(1 << NEAR_SHIFT == NEAR, "a far slot is one turn of the near ring");
static_assert(NEAR % 64 == 0 && FAR % 64 == 0, "bitmaps have whole words");
static_assert((FAR & (FAR - 1)) == 0, "ring of far slots");

#define NO_TICK UINT64_MAX
#define MAX_ITEMS (1U << 24)
/** More ticks behind than this doubles the budget. */
#define BEHIND_TICKS 8
/**
 * How far ahead of the item that is looked at others are fetched: more than a burst, for of a burst
 * all are looked at before the first is done with.
 */
#define AHEAD 40

/*
 * A link names the next and the previous item of its slot's ring as item + 1, so that zeroed memory
 * is an unlinked item, and its slot as slot + 1. It is a word, for a word that is stored in parts
 * (as one with bit fields) is slow to load.
 */
#define LINK_BITS 25
#define LINK_MASK ((UINT64_C(1) << LINK_BITS) - 1)
static_assert(MAX_ITEMS <= LINK_MASK, "items fit a link");
static_assert(NEAR + FAR < 1 << (64 - 2 * LINK_BITS), "slots fit a link");

static inline uint64_t
link_make(uint32_t next, uint32_t prev, unsigned int slot)
{
	return next | (uint64_t)prev << LINK_BITS | (uint64_t)(slot + 1) << 2 * LINK_BITS;
}

static inline uint32_t
link_next(uint64_t l)
{
	return (uint32_t)(l & LINK_MASK);
}

static inline uint32_t
link_prev(uint64_t l)
{
	return (uint32_t)(l >> LINK_BITS & LINK_MASK);
}

/** The slot + 1, or 0: not linked. */
static inline unsigned int
link_slot(uint64_t l)
{
	return (unsigned int)(l >> 2 * LINK_BITS);
}

static inline void
link_set_next(uint64_t *l, uint32_t next)
{
	*l = (*l & ~LINK_MASK) | next;
}

static inline void
link_set_prev(uint64_t *l, uint32_t prev)
{
	*l = (*l & ~(LINK_MASK << LINK_BITS)) | (uint64_t)prev << LINK_BITS;
}

struct flowtab_wheel {
	uint64_t base_ms;
	uint64_t tick;
	struct rte_reciprocal_u64 inv; /**< of tick_ms */
	uint32_t tick_ms;
	uint32_t n_items;
	uint64_t near_map[NEAR / 64]; /**< bit: the slot is not empty */
	uint64_t far_map[FAR / 64];
	uint32_t head[NEAR + FAR];
	uint32_t ahead[2]; /**< items + 1 that are to be fetched next, from the front and the end */
	uint32_t ahead_slot; /**< ... of this slot; NEAR + FAR: none */
	uint32_t n_ahead;    /**< steps */
	uint64_t link[];
};

struct flowtab_wheel *
flowtab_wheel_create(uint32_t n_items, uint32_t tick_ms, uint64_t now_ms, int socket_id)
{
	struct flowtab_wheel *w;

	if (n_items == 0 || n_items > MAX_ITEMS || tick_ms == 0) {
		rte_errno = EINVAL;
		return NULL;
	}
	w = rte_zmalloc_socket("flowtab_wheel", sizeof(*w) + (size_t)n_items * sizeof(w->link[0]),
		RTE_CACHE_LINE_SIZE, socket_id);
	if (w == NULL) {
		rte_errno = ENOMEM;
		return NULL;
	}
	w->base_ms = now_ms;
	w->tick_ms = tick_ms;
	w->n_items = n_items;
	w->ahead_slot = NEAR + FAR;
	w->inv = rte_reciprocal_value_u64(tick_ms);
	return w;
}

void
flowtab_wheel_destroy(struct flowtab_wheel *w)
{
	rte_free(w);
}

/** The tick that is complete at this time. */
static inline uint64_t
wheel_tick_floor(const struct flowtab_wheel *w, uint64_t ms)
{
	return ms <= w->base_ms ? 0 : rte_reciprocal_divide_u64(ms - w->base_ms, &w->inv);
}

/** The first tick that is not before this time. */
static inline uint64_t
wheel_tick_ceil(const struct flowtab_wheel *w, uint64_t ms)
{
	uint64_t tick = wheel_tick_floor(w, ms);

	return tick + (ms > w->base_ms && tick * w->tick_ms != ms - w->base_ms);
}

static inline uint64_t
wheel_tick_ms(const struct flowtab_wheel *w, uint64_t tick)
{
	return w->base_ms + tick * w->tick_ms;
}

static inline uint64_t *
wheel_map(struct flowtab_wheel *w, unsigned int slot)
{
	return slot < NEAR ? &w->near_map[slot / 64] : &w->far_map[(slot - NEAR) / 64];
}

/** How far from bit `from` of a ring of bits the next one that is set is, or NO_TICK. */
static uint64_t
bitmap_next(const uint64_t *map, unsigned int bits, unsigned int from)
{
	unsigned int words = bits / 64, word = from / 64, off = from % 64;
	uint64_t m = map[word] >> off, dist = 64 - off;

	if (m != 0)
		return (unsigned int)__builtin_ctzll(m);
	for (unsigned int i = 1; i <= words; i++, dist += 64) {
		m = map[(word + i) & (words - 1)];
		if (i == words)
			m &= (UINT64_C(1) << off) - 1;
		if (m != 0)
			return dist + (unsigned int)__builtin_ctzll(m);
	}
	return NO_TICK;
}

/** The next tick with something to look at, or NO_TICK. A far slot goes before the near one. */
static uint64_t
wheel_next_tick(const struct flowtab_wheel *w, unsigned int *slot)
{
	uint64_t block = w->tick >> NEAR_SHIFT, near, far;

	near = bitmap_next(w->near_map, NEAR, (w->tick + 1) & (NEAR - 1));
	if (near != NO_TICK)
		near += w->tick + 1;
	far = bitmap_next(w->far_map, FAR, (block + 1) & (FAR - 1));
	if (far != NO_TICK)
		far = (block + 1 + far) << NEAR_SHIFT;
	if (far <= near) {
		*slot = NEAR + ((far >> NEAR_SHIFT) & (FAR - 1));
		return far;
	}
	*slot = near & (NEAR - 1);
	return near;
}

/** The tick in which a slot that is not empty is looked at. */
static inline uint64_t
wheel_slot_tick(const struct flowtab_wheel *w, unsigned int slot)
{
	uint64_t block = w->tick >> NEAR_SHIFT;

	if (slot < NEAR)
		return w->tick + 1 + ((slot - (w->tick + 1)) & (NEAR - 1));
	return (block + 1 + ((slot - NEAR - (block + 1)) & (FAR - 1))) << NEAR_SHIFT;
}

static void
wheel_link(struct flowtab_wheel *w, uint32_t item, uint64_t tick)
{
	uint64_t end = (w->tick >> NEAR_SHIFT) + FAR;
	uint32_t id = item + 1, head, last;
	unsigned int slot;

	if (tick <= w->tick)
		tick = w->tick + 1;
	if (tick - w->tick <= NEAR)
		slot = tick & (NEAR - 1);
	else
		slot = NEAR + (RTE_MIN(tick >> NEAR_SHIFT, end) & (FAR - 1));

	head = w->head[slot];
	if (head == 0) {
		w->link[item] = link_make(id, id, slot);
		w->head[slot] = id;
		*wheel_map(w, slot) |= UINT64_C(1) << slot % 64;
		return;
	}
	last = link_prev(w->link[head - 1]);
	w->link[item] = link_make(head, last, slot);
	link_set_next(&w->link[last - 1], id);
	link_set_prev(&w->link[head - 1], id);
}

static void
wheel_unlink(struct flowtab_wheel *w, uint32_t item)
{
	uint64_t l = w->link[item];
	uint32_t next = link_next(l), prev = link_prev(l);
	unsigned int slot = link_slot(l) - 1;

	w->link[item] = 0;
	if (w->ahead[0] == item + 1)
		w->ahead[0] = next;
	if (w->ahead[1] == item + 1)
		w->ahead[1] = prev;
	if (next == item + 1) {
		w->head[slot] = 0;
		*wheel_map(w, slot) &= ~(UINT64_C(1) << slot % 64);
		return;
	}
	link_set_prev(&w->link[next - 1], prev);
	link_set_next(&w->link[prev - 1], next);
	if (w->head[slot] == item + 1)
		w->head[slot] = next;
}

void
flowtab_wheel_set(struct flowtab_wheel *w, uint32_t item, uint64_t deadline_ms)
{
	unsigned int slot;
	uint64_t tick;

	assert(item < w->n_items);
	if (deadline_ms == FLOWTAB_NEVER)
		return;
	slot = link_slot(w->link[item]);
	if (slot != 0) {
		tick = wheel_slot_tick(w, slot - 1);
		if (tick == w->tick + 1 || deadline_ms > wheel_tick_ms(w, tick - 1))
			return;
		wheel_unlink(w, item);
	}
	wheel_link(w, item, wheel_tick_ceil(w, deadline_ms));
}

void
flowtab_wheel_clear(struct flowtab_wheel *w, uint32_t item)
{
	assert(item < w->n_items);
	if (link_slot(w->link[item]) != 0)
		wheel_unlink(w, item);
}

void
flowtab_wheel_prefetch(const struct flowtab_wheel *w, uint32_t item)
{
	rte_prefetch0(&w->link[item]);
}

/*
 * The ring is known only item by item: each one's link is fetched before it is read, from both ends
 * in turn, so that two are on their way. What was moved to another slot meanwhile leads astray,
 * which costs time and nothing else.
 */
void
flowtab_wheel_ahead(struct flowtab_wheel *w, const struct flowtab_wheel_walk *walk)
{
	uint32_t *ahead = &w->ahead[w->n_ahead++ % 2], id = *ahead;

	if (id == 0 || walk->prefetch == NULL)
		return;
	walk->prefetch(walk->arg, id - 1);
	*ahead = ahead == &w->ahead[0] ? link_next(w->link[id - 1]) : link_prev(w->link[id - 1]);
	if (*ahead != 0)
		rte_prefetch0(&w->link[*ahead - 1]);
}

/** The items of a slot are looked at from both ends in turn. */
static inline uint32_t
wheel_first(const struct flowtab_wheel *w, unsigned int slot, bool last)
{
	uint32_t id = w->head[slot];

	return id != 0 && last ? link_prev(w->link[id - 1]) : id;
}

/**
 * Look at the items of a slot, that of tick `tick`.
 * @param complete the tick has passed, so that whatever stands in the slot goes elsewhere
 * @return true when all were looked at: a complete slot is empty
 */
static bool
wheel_walk_slot(struct flowtab_wheel *w, struct flowtab_wheel_walk *walk, unsigned int slot,
	uint64_t tick, bool complete)
{
	uint32_t id, first_kept = 0;
	uint64_t deadline, to;

	if (w->ahead_slot != slot) {
		w->ahead_slot = slot;
		w->ahead[0] = wheel_first(w, slot, false);
		w->ahead[1] = wheel_first(w, slot, true);
		for (unsigned int i = 0; i < AHEAD; i++)
			flowtab_wheel_ahead(w, walk);
	}
	while ((id = wheel_first(w, slot, complete && walk->budget % 2 != 0)) != 0 &&
		id != first_kept) {
		if (walk->n == walk->max || walk->budget == 0)
			return false;
		walk->budget--;
		deadline = walk->deadline(walk->arg, id - 1);
		if (deadline <= walk->now_ms) {
			wheel_unlink(w, id - 1);
			walk->due[walk->n++] = id - 1;
			continue;
		}
		flowtab_wheel_ahead(w, walk);
		if (deadline == FLOWTAB_NEVER) {
			wheel_unlink(w, id - 1);
			continue;
		}
		to = wheel_tick_ceil(w, deadline);
		if (!complete && to <= tick) {
			w->head[slot] = link_next(w->link[id - 1]);
			if (first_kept == 0)
				first_kept = id;
			continue;
		}
		wheel_unlink(w, id - 1);
		wheel_link(w, id - 1, to);
	}
	w->ahead_slot = NEAR + FAR;
	return true;
}

/** The tick after w->tick is under way: find what is due in it, leave the rest. */
static void
wheel_walk_early(struct flowtab_wheel *w, struct flowtab_wheel_walk *walk)
{
	unsigned int slot;

	while (wheel_next_tick(w, &slot) == w->tick + 1) {
		if (!wheel_walk_slot(w, walk, slot, w->tick + 1, slot >= NEAR) || slot < NEAR)
			return;
	}
}

void
flowtab_wheel_walk(struct flowtab_wheel *w, struct flowtab_wheel_walk *walk)
{
	uint64_t target, tick;
	unsigned int slot;

	walk->n = 0;
	if (walk->now_ms >= wheel_tick_ms(w, w->tick + 1)) {
		target = wheel_tick_floor(w, walk->now_ms);
		while ((tick = wheel_next_tick(w, &slot)) <= target) {
			w->tick = tick - 1;
			if (!wheel_walk_slot(w, walk, slot, tick, true))
				return;
			if (slot < NEAR)
				w->tick = tick;
		}
		w->tick = target;
	}
	if (walk->early)
		wheel_walk_early(w, walk);
}

uint32_t
flowtab_wheel_budget(const struct flowtab_wheel *w, uint64_t now_ms, uint32_t budget)
{
	unsigned int slot;
	uint64_t tick;

	if (now_ms < wheel_tick_ms(w, w->tick + 1 + BEHIND_TICKS))
		return budget;
	tick = wheel_next_tick(w, &slot);
	if (tick == NO_TICK || now_ms < wheel_tick_ms(w, tick + BEHIND_TICKS))
		return budget;
	return budget > UINT32_MAX / 2 ? UINT32_MAX : budget * 2;
}

uint32_t
flowtab_wheel_advance(struct flowtab_wheel *w, uint64_t now_ms, flowtab_wheel_deadline_fn deadline,
	void *arg, uint32_t *due, uint32_t max, uint32_t budget)
{
	struct flowtab_wheel_walk walk = {
		.now_ms = now_ms,
		.deadline = deadline,
		.arg = arg,
		.due = due,
		.max = max,
	};

	if (now_ms < wheel_tick_ms(w, w->tick + 1))
		return 0;
	walk.budget = flowtab_wheel_budget(w, now_ms, budget);
	flowtab_wheel_walk(w, &walk);
	return walk.n;
}

uint64_t
flowtab_wheel_next(const struct flowtab_wheel *w)
{
	unsigned int slot;
	uint64_t tick = wheel_next_tick(w, &slot);

	return tick == NO_TICK ? FLOWTAB_NEVER : wheel_tick_ms(w, tick);
}
