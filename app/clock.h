/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * The daemon's clock: microseconds of the invariant TSC since the machine started, the same for all
 * threads. Read once per iteration by whoever runs a loop, and passed down.
 */
#ifndef CLOCK_H
#define CLOCK_H

#include <stdint.h>

#include <rte_cycles.h>

/** Converts TSC ticks to us without a division: us = tsc * scale / 2^64. */
struct clock_scale {
	uint64_t us_per_tsc_q64;
};

static inline struct clock_scale
clock_scale_get(void)
{
	const uint64_t hz = rte_get_tsc_hz();
	struct clock_scale s = { (uint64_t)(((unsigned __int128)1000000 << 64) / hz) };

	return s;
}

static inline uint64_t
clock_us(struct clock_scale s)
{
	return (uint64_t)(((unsigned __int128)rte_rdtsc() * s.us_per_tsc_q64) >> 64);
}

#endif
