/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * What the flow table asks of the wheel beyond its public functions.
 */
#ifndef FLOWTAB_WHEEL_PRIV_H
#define FLOWTAB_WHEEL_PRIV_H

#include <stdbool.h>
#include <stdint.h>

#include "flowtab_wheel.h"

/** One walk over what is due. */
struct flowtab_wheel_walk {
	uint64_t now_ms;
	flowtab_wheel_deadline_fn deadline;
	/** NULL, or told of items that will soon be asked for. */
	void (*prefetch)(void *arg, uint32_t item);
	void *arg;
	uint32_t *due;   /**< receives items */
	uint32_t max;    /**< room in due */
	uint32_t n;      /**< out: items in due */
	uint32_t budget; /**< in: items that may be looked at; out: what is left of it */
	bool early; /**< also look into the slot that is not complete yet, for what is due in it */
};

void flowtab_wheel_walk(struct flowtab_wheel *w, struct flowtab_wheel_walk *walk);

/** Fetch an item that will be set soon. */
void flowtab_wheel_prefetch(const struct flowtab_wheel *w, uint32_t item);

/** Fetch one item more of those that come next: to be called for each that was due. */
void flowtab_wheel_ahead(struct flowtab_wheel *w, const struct flowtab_wheel_walk *walk);

/** The budget, doubled when the wheel is far behind. */
uint32_t flowtab_wheel_budget(const struct flowtab_wheel *w, uint64_t now_ms, uint32_t budget);

#endif
