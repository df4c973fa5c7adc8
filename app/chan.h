/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Channels: how a worker and a bridge talk, and how threads sleep and wake each other.
 *
 * A *chan* joins one worker and one bridge: a ring of operations one way, a ring of events back,
 * both SPSC with 64-byte elements. A *lender* carries the empty receive buffers of one queue pair
 * of one guest from the worker that polls it to one bridge. A *waker* is a thread's bed: others
 * ring it only if the sleeper has said that it sleeps.
 *
 * Ownership: all are made by the control thread before the threads start, freed after they stopped.
 */
#ifndef CHAN_H
#define CHAN_H

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rte_ring.h>
#include <rte_ring_elem.h>

#include <l4x_msg.h>

/** Entries in each direction. */
#define CHAN_OPS 4096
#define CHAN_EVENTS 4096

/**
 * Sleep and wake. The sleeper: waker_sleepy() (publishes, seq_cst), looks once more at all that it
 * polls, then blocks on the epoll set that waker_watch() was told, then waker_awake(). Whoever gave
 * it work: waker_ring(), which costs a fence and a load unless the other sleeps.
 *
 * A ring ends one sleep. It may come late, when the sleeper has woken by itself between the two
 * steps of waker_ring(), and ends the next sleep early, which is harmless.
 */
struct waker {
	_Alignas(RTE_CACHE_LINE_SIZE) _Atomic uint32_t
		sleeping; /**< by the sleeper; cleared by the ringer */
	int fd;           /**< eventfd; written, never read */
};
static_assert(sizeof(struct waker) == RTE_CACHE_LINE_SIZE, "beside a waker nothing is written");

int waker_init(struct waker *w); /**< 0 or -errno */
void waker_fini(struct waker *w);
/** Have rings end a wait on this epoll set. 0 or -errno. */
int waker_watch(const struct waker *w, int epoll_fd);
void waker_sleepy(struct waker *w);
void waker_awake(struct waker *w);
void waker_ring(struct waker *w);

struct chan {
	uint8_t worker, bridge;
	struct rte_ring *ops;    /**< worker -> bridge, struct l4x_op */
	struct rte_ring *events; /**< bridge -> worker, struct l4x_event */
	struct waker *worker_waker;
	struct waker *bridge_waker;
	/** Lenders recalled so far; by the worker. While it stands, the bridge looks at none. */
	_Alignas(RTE_CACHE_LINE_SIZE) _Atomic uint32_t recalls;
};

/** @return the chan, or NULL with rte_errno set */
struct chan *chan_create(uint8_t worker, uint8_t bridge, int socket_id, struct waker *worker_waker,
	struct waker *bridge_waker);
/** Frees what still lies in the rings, mbufs included. Both threads have stopped. */
void chan_destroy(struct chan *c);

/** Whose turn it is with the empty buffers of one queue pair; see lender_state(). */
enum lender_state {
	LENDER_STOPPED,  /**< the bridge has said that it holds nothing of this queue pair */
	LENDER_RUNNING,  /**< the bridge may take and use buffers */
	LENDER_RECALLED, /**< the bridge is to free all that it holds, and say so */
};

/**
 * Lend: empty buffers on their way to one bridge. Each side writes a cache line of its own, and
 * only when something has happened; what the two agree on are numbers that one side moves on and
 * the other follows.
 */
struct lender {
	uint16_t pif;
	uint8_t queue;
	uint8_t worker;
	struct rte_ring *bufs; /**< struct rte_mbuf *, SPSC worker -> bridge */

	/* Written by the worker. */
	_Alignas(RTE_CACHE_LINE_SIZE) _Atomic uint32_t turn; /**< odd: running; even: recalled */
	_Atomic uint32_t fed;      /**< the `asked` that it has done something about */
	_Atomic uint32_t known;    /**< the `lost` that it knows of */
	_Atomic uint8_t mergeable; /**< vport_queue_mergeable(); written before running */

	/* Written by the bridge. */
	_Alignas(
		RTE_CACHE_LINE_SIZE) _Atomic uint32_t returned; /**< the `turn` that it gave back */
	_Atomic uint32_t asked; /**< moves on when it runs dry with data waiting */
	_Atomic uint32_t lost;  /**< ... when a socket call finds guest memory gone */
};
static_assert(offsetof(struct lender, turn) == RTE_CACHE_LINE_SIZE &&
		offsetof(struct lender, returned) == 2 * RTE_CACHE_LINE_SIZE &&
		sizeof(struct lender) == 3 * RTE_CACHE_LINE_SIZE,
	"no cache line has two writers");

/** Either side. What was written before the other side's step is there when it is seen. */
static inline enum lender_state
lender_state(const struct lender *l)
{
	const uint32_t turn = atomic_load_explicit(&l->turn, memory_order_acquire);

	if (turn == atomic_load_explicit(&l->returned, memory_order_acquire))
		return LENDER_STOPPED;
	return turn & 1 ? LENDER_RUNNING : LENDER_RECALLED;
}

/*
 * The worker: to RUNNING; from RUNNING to RECALLED, which is told by the bridge's chan. No-ops
 * where it is there already.
 */
void lender_run(struct lender *l);
void lender_recall(struct lender *l, struct chan *c);
/** The bridge: to STOPPED. It holds nothing, and asks for nothing. */
void lender_return(struct lender *l);

/** The bridge: no buffer, and data waits: refill and ring. */
void lender_ask(struct lender *l);
/** The worker: is it asked? */
static inline bool
lender_hungry(const struct lender *l)
{
	return atomic_load_explicit(&l->asked, memory_order_relaxed) !=
		atomic_load_explicit(&l->fed, memory_order_relaxed);
}
/** The worker: there are buffers now. */
void lender_feed(struct lender *l);

/** The bridge: guest memory is gone. The worker: has it been told, and did not know? */
void lender_lose(struct lender *l);
static inline bool
lender_lost(const struct lender *l)
{
	return atomic_load_explicit(&l->lost, memory_order_relaxed) !=
		atomic_load_explicit(&l->known, memory_order_relaxed);
}
/** The worker: it knows, and there is other memory. */
void lender_found(struct lender *l);

struct lender *lender_create(
	uint16_t pif, uint8_t queue, uint8_t worker, uint8_t bridge, int socket_id);
void lender_destroy(struct lender *l);
/** Free what lies in its ring: by the bridge, or of one that is STOPPED by its worker. */
void lender_clear(struct lender *l);

#endif
