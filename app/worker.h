/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * The worker: one EAL lcore that polls guests' queues and owns their flows.
 *
 * worker_run() is its loop, run to completion: frames from each queue pair -> l4x -> operations to
 * the bridges, frames to guests; events from the bridges -> l4x -> the same; timers; and, when the
 * bridge is inline, bridge_poll(). With nothing to do for spin_us it arms the guests' kicks and
 * blocks in epoll_wait() until a kick, its waker, a socket (inline) or the next timer.
 *
 * Threads: worker_create(), worker_add_queue() and worker_destroy() by the control thread while the
 * worker does not run. Whatever else others want of it, they ask with worker_call().
 */
#ifndef WORKER_H
#define WORKER_H

#include <stdbool.h>
#include <stdint.h>

#include <l4x.h>
#include <vport.h>

#include "bridge.h"
#include "chan.h"

#define WORKER_MAX 64

struct worker_params {
	uint8_t id;
	uint8_t n_workers, n_bridges;
	int socket_id;
	bool busy;        /**< never sleep */
	uint32_t spin_us; /**< idle time before sleeping */
	struct l4x *l4x;
	struct waker *waker;
	struct vport_bell *bell;                /**< or NULL, see vport.h */
	struct chan *chans[BRIDGE_MAX_WORKERS]; /**< by bridge number */
	struct bridge *inline_bridge;           /**< or NULL */
	struct rte_ring *handover;              /**< to this worker: struct l4x_frame, MP/SC */
	struct rte_ring *handover_to[WORKER_MAX];
	struct waker *wakers[WORKER_MAX]; /**< of the other workers */
	struct rte_mempool *pool;
};

struct worker;

struct worker *worker_create(const struct worker_params *p);
void worker_destroy(struct worker *w);
/**
 * Have the worker poll a queue pair.
 * @param lenders by bridge number: where its buffers are lent to
 */
int worker_add_queue(
	struct worker *w, uint16_t pif, uint8_t queue, struct vport *vp, struct lender **lenders);

/**
 * Stop polling a port's queue pairs; from worker_call() after vport_destroy(). -EBUSY: some queue
 * pair has not been released yet.
 */
int worker_remove_port(struct worker *w, uint16_t pif);

/** The loop; returns 0 after worker_stop(). For rte_eal_remote_launch(). */
int worker_run(void *worker);
/**
 * One iteration of the loop; for a test that stands in the loop's place and lays down the time.
 * Without a sleep, and without l4x_timers(), which the loop has rte_timer call.
 * @return how much was done; 0: idle
 */
unsigned int worker_iterate(struct worker *w, uint64_t now_us);
/** Ask the loop to end. Any thread. */
void worker_stop(struct worker *w);
/** vport_conf.wake: a queue has news. Any thread. */
void worker_wake(struct worker *w);

/** Runs in the worker between two bursts; must be short (a dump: some 256 entries). */
typedef void (*worker_fn)(struct worker *w, void *arg);
/**
 * Have fn run by the worker, and wait until it has.
 * Any thread but the worker's, while worker_run() runs.
 * @return 0; -ETIMEDOUT after WAIT_WORKER_MS (fn will not run then); -EAGAIN too many requests;
 * -ENOMEM
 */
int worker_call(struct worker *w, worker_fn fn, void *arg);
/** For functions run by worker_call(): the worker's translation, its clock, and its output sent on
 * its way (false: the rings to the bridges are full; come again). */
struct l4x *worker_l4x(struct worker *w);
uint64_t worker_now_us(const struct worker *w);
bool worker_settle(struct worker *w);

/* X(enumerator, "name", "what happened"), D(...) the same of what was dropped */
#define WORKER_COUNTERS(X, D)                                                                      \
	X(LOOPS, "worker-loops", "iterations that found work")                                     \
	X(IDLE, "worker-idle", "iterations that found none")                                       \
	X(SLEEPS, "worker-sleeps", "times it slept")                                               \
	D(HANDOVER_FULL, "worker-handover-full", "frames dropped: another worker's ring was full") \
	D(TX_DROPPED, "worker-tx-dropped", "frames that the guest had no buffers for")

enum worker_counter {
#define X(e, name, help) WORKER_COUNT_##e,
	WORKER_COUNTERS(X, X)
#undef X
	WORKER_COUNTS,
};

struct worker_counter_info {
	const char *name;
	const char *help;
	uint8_t is_drop;
};
extern const struct worker_counter_info worker_counter_info[WORKER_COUNTS];
const uint64_t *worker_counters(const struct worker *w);

#endif
