/* SPDX-License-Identifier: BSD-3-Clause */
/** What bench_flowtab measures in a process of its own. */
#ifndef BENCH_FLOWTAB_H
#define BENCH_FLOWTAB_H

#include <stdbool.h>
#include <stdint.h>

struct bench_case {
	uint32_t flows;
	unsigned int burst; /**< packets that one call is given */
	bool v6, crc, huge;
};

/* X(name of the figure, what it is) */
#define BENCH_FIGURES(X)                                                               \
	X(track_ns, "segment of an established connection")                            \
	X(insert_ns, "SYN, tracked and committed, where other flows were")             \
	X(insert_fresh_ns, "the same in memory that is used for the first time")       \
	X(delete_ns, "ct_free()")                                                      \
	X(expire_ns, "flowtab_expire() of all flows, due in one second")               \
	X(max_expire_call_us, "its longest call, in processor time")                   \
	X(miss_ns, "SYN of no flow, not committed")                                    \
	X(lookup_ns, "flowtab_lookup_burst() alone")                                   \
	X(touch_ns, "flowtab_touch()")                                                 \
	X(bytes_per_flow, "growth of resident memory, everything but the bench's own") \
	X(reserved_bytes_per_flow, "what the heap has given out, used or not")

struct bench_result {
#define X(name, help) double name;
	BENCH_FIGURES(X)
#undef X
};

/**
 * Measure one case; starts the EAL, so that a process can do it once.
 * @return 0, or -1 after saying why on standard error
 */
int bench_run(const struct bench_case *c, struct bench_result *r);

#endif
