/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * How long whom is waited for: in one place, for each must fit into those who wait for it.
 */
#ifndef WAITS_H
#define WAITS_H

#include <assert.h>

/** A worker that is asked to run a function. */
#define WAIT_WORKER_MS 5000
/** At the end: for connections to be closed cleanly. */
#define WAIT_CLOSE_MS 3000
/** A VM that goes: for its flows to be closed, and for its queues to be let go. */
#define WAIT_REMOVE_MS 3000
/** weirctl: for a reply, each of which asks one worker at most. */
#define WAIT_REPLY_MS 15000
/** After SIGTERM, before the service manager kills: TimeoutStopSec= in config/weir.service.in. */
#define WAIT_STOP_MS 20000

static_assert(WAIT_REPLY_MS > 2 * WAIT_WORKER_MS, "weirctl hears that a worker does not answer");
static_assert(WAIT_STOP_MS > 2 * (WAIT_CLOSE_MS + WAIT_WORKER_MS), "weir ends by itself");

#endif
