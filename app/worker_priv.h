/* SPDX-License-Identifier: BSD-3-Clause */
/** What worker.c (life, loop), worker_port.c (queues) and worker_sleep.c share. */
#ifndef WORKER_PRIV_H
#define WORKER_PRIV_H

#include <stdatomic.h>

#include <rte_timer.h>

#include "clock.h"
#include "worker.h"

/** Queue pairs that one worker can poll. */
#define WORKER_MAX_QUEUES 1024
/** Frames of one queue that are kept together on their way out. */
#define WORKER_TX_BURST VPORT_BURST
/** Bytes taken from guests in one iteration, about; and from one of them, however many there are.
 */
#define WORKER_ROUND_BYTES (2u << 20)
#define WORKER_TURN_BYTES (256u << 10)
/** Frames taken from one of them, at least. */
#define WORKER_TURN_FRAMES 4
/** Event bursts taken from one bridge in one iteration. */
#define WORKER_EVENT_BURSTS 8
/** Bursts of frames taken from other workers in one iteration. */
#define WORKER_HANDOVER_BURSTS 8
/** Buffers that wait in a lender's ring; fewer when each holds a whole large frame. */
#define WORKER_LEND_MERGEABLE 256
#define WORKER_LEND_WHOLE 32

/** A queue pair that this worker polls. */
struct worker_queue {
	struct vport_queue *vq;
	struct vport *vp;
	uint16_t pif;
	uint8_t queue;
	bool ready;     /**< between STARTED and STOP */
	bool stopping;  /**< STOP seen, not released yet */
	bool sharing;   /**< buffers are called back for a bridge that got none */
	bool dirty;     /**< used in this iteration: lend anew at its end */
	uint8_t turn;   /**< frames taken at a time: few, if they are large and others wait */
	bool armed;     /**< its guest was asked to kick: once it is used, not to do so */
	int kick_fd[2]; /**< in the epoll set, or -1 */
	struct lender *lenders[BRIDGE_MAX_WORKERS]; /**< by bridge number */
};

/** A request from another thread; freed by the caller, or by the worker when it was abandoned. */
struct worker_request {
	worker_fn fn;
	void *arg;
	_Atomic uint32_t state; /**< enum worker_request_state */
};

enum worker_request_state {
	REQUEST_WAITING,   /**< by the caller; the worker may take it */
	REQUEST_TAKEN,     /**< by the worker: running; the caller must wait */
	REQUEST_DONE,      /**< by the worker; the caller's memory is its own again */
	REQUEST_ABANDONED, /**< by the caller, who went away */
};

struct worker {
	struct worker_params p;
	struct l4x_out *out;
	uint32_t ops_sent; /**< of out->ops; the rest waits for room in the rings */
	struct clock_scale clock;
	uint64_t now_us;
	uint64_t busy_us;       /**< when the worker last had work */
	struct rte_timer timer; /**< l4x_timers() while awake */
	struct worker_queue *queues;
	uint32_t n_queues;
	uint32_t first_queue; /**< that is looked at next */
	uint32_t n_active;    /**< queue pairs that had frames in the iteration before */
	/** Queue by port and queue pair: index in queues + 1, 0 none. */
	uint16_t queue_index[L4X_MAX_PIFS][L4X_MAX_QUEUES];
	int epoll_fd;
	_Alignas(RTE_CACHE_LINE_SIZE) _Atomic uint32_t stop;
	struct rte_ring *requests; /**< struct worker_request * */
	uint64_t counters[WORKER_COUNTS];
};

static inline void
worker_count(struct worker *w, enum worker_counter c, uint64_t n)
{
	__atomic_store_n(&w->counters[c], w->counters[c] + n, __ATOMIC_RELAXED);
}

static inline struct worker_queue *
worker_queue_find(struct worker *w, uint16_t pif, uint8_t queue)
{
	const uint16_t at =
		pif < L4X_MAX_PIFS && queue < L4X_MAX_QUEUES ? w->queue_index[pif][queue] : 0;

	return at == 0 ? NULL : &w->queues[at - 1];
}

/* worker.c */

/**
 * Send the output of l4x on its way: operations to bridges, frames to guests and other workers.
 * @return true when all has gone; false: the rings to the bridges are full, feed l4x nothing more
 */
bool worker_drain(struct worker *w);

/** Frames that are all another worker's, to its ring. */
void worker_hand_over(struct worker *w, const struct l4x_frame *frames, uint32_t n);

/* worker_port.c */

/** One look at every queue pair: changes, frames from guests. @return frames */
unsigned int worker_ports_poll(struct worker *w);
/** Frames of the output to the guests, in order; each run of one queue as bursts. */
void worker_ports_tx(struct worker *w);
/** Lend buffers, publish and notify. */
void worker_ports_flush(struct worker *w);

/* worker_sleep.c */

/** Nothing to do since busy_us: block until there is. */
void worker_sleep(struct worker *w);
int worker_sleep_init(struct worker *w);
void worker_sleep_watch(struct worker *w, struct worker_queue *q);
void worker_sleep_unwatch(struct worker *w, struct worker_queue *q);

#endif
