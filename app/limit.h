/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Limits that flows run into: for each of them one line in the log that says what to do, once a
 * minute at most, however often it is met.
 *
 * Theory of operation. Whoever meets a limit counts it and says nothing. The control thread hands
 * the counts to limits_look() about once a second; what has risen since its last line is said when
 * that line is a minute old.
 *
 * Threads: none; the control thread's.
 */
#ifndef LIMIT_H
#define LIMIT_H

#include <stdint.h>

#define LIMITS_LOOK_MS 1000
#define LIMITS_SAY_MS 60000
#define LIMITS_LINE_MAX 256

enum limit {
	LIMIT_FLOW_TABLE,    /**< max-flows of [weir] */
	LIMIT_FLOWS_OF_VM,   /**< max-flows of a VM */
	LIMIT_FLOWS_OF_ZONE, /**< zone-limit */
	LIMIT_FLOW_RATE,     /**< new-flows-per-s of a VM */
	LIMIT_FILES,         /**< open files */
	LIMIT_FRAMES,        /**< frame buffers */
	LIMITS,
};

struct limits {
	struct {
		uint64_t said;     /**< how often it had been met when the last line was said */
		uint64_t since_ms; /**< the last time when there was nothing to say */
		uint64_t next_ms;  /**< no line before this */
	} of[LIMITS];
};

void limits_init(struct limits *l, uint64_t now_ms);
/**
 * @param met how often each limit has been met, of all threads together
 * @param now_ms monotonic
 * @param say receives a line, without newline
 */
void limits_look(struct limits *l, const uint64_t met[LIMITS], uint64_t now_ms,
	void (*say)(void *arg, const char *line), void *arg);

#endif
