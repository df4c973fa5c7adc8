/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * A lazy timer wheel over an array of items named by index.
 *
 * Two levels: near slots of one tick, far slots of FLOWTAB_WHEEL_NEAR ticks; what lies further is
 * parked in the last far slot. An item stands in one slot at most. Laziness: whoever moves a
 * deadline *later* need not tell the wheel; when the slot fires, the owner is asked for the item's
 * deadline and the item is linked anew, or handed out as due. Only an *earlier* deadline needs
 * flowtab_wheel_set(). So a packet that refreshes a timeout writes one word and touches no list.
 *
 * The wheel never reads a clock: time is passed in, in ms, and must not go back.
 *
 * Ownership and threads: one wheel belongs to one thread. Memory: 8 bytes an item and a fixed head,
 * allocated once with rte_zmalloc_socket.
 */
#ifndef FLOWTAB_WHEEL_H
#define FLOWTAB_WHEEL_H

#include <stdint.h>

#define FLOWTAB_WHEEL_NEAR 512
#define FLOWTAB_WHEEL_FAR 256
/** A deadline that never comes. */
#define FLOWTAB_NEVER UINT64_MAX

struct flowtab_wheel;

/**
 * @param n_items indices 0 .. n_items-1 can be linked; 1 .. 16 M
 * @param tick_ms length of a near slot, >= 1
 * @param now_ms  start of time
 * @param socket_id NUMA node, or SOCKET_ID_ANY
 * @return the wheel, or NULL with rte_errno set (EINVAL, ENOMEM)
 */
struct flowtab_wheel *flowtab_wheel_create(
	uint32_t n_items, uint32_t tick_ms, uint64_t now_ms, int socket_id);
void flowtab_wheel_destroy(struct flowtab_wheel *w);

/**
 * See to it that the item is looked at when deadline_ms has come, at the latest one tick after.
 * Cheap when it is linked at that slot or an earlier one already.
 * FLOWTAB_NEVER leaves it where it is.
 */
void flowtab_wheel_set(struct flowtab_wheel *w, uint32_t item, uint64_t deadline_ms);

/** Unlink the item if it is linked. */
void flowtab_wheel_clear(struct flowtab_wheel *w, uint32_t item);

/** The item's real deadline in ms, or FLOWTAB_NEVER to unlink it. Must not call the wheel. */
typedef uint64_t (*flowtab_wheel_deadline_fn)(void *arg, uint32_t item);

/**
 * Collect items that are due; they are unlinked. Those whose deadline has moved are re-linked.
 * @param due    receives up to max items
 * @param budget how many linked items may be looked at in this call; doubled inside when the wheel
 *               is more than a turn of 8 ticks behind
 * @return how many were written to due; fewer than max does not mean that nothing is left (budget)
 */
uint32_t flowtab_wheel_advance(struct flowtab_wheel *w, uint64_t now_ms,
	flowtab_wheel_deadline_fn deadline, void *arg, uint32_t *due, uint32_t max,
	uint32_t budget);

/**
 * The earliest time at which flowtab_wheel_advance() may have something to do, for sleeping: less
 * than a tick after the first deadline, never more; may be earlier (lazy items, far slots).
 * @return ms, or FLOWTAB_NEVER when nothing is linked
 */
uint64_t flowtab_wheel_next(const struct flowtab_wheel *w);

#endif
