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

#include <stdatomic.h>
#include <stdbool.h>
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
};

/** @return the chan, or NULL with rte_errno set */
struct chan *chan_create(uint8_t worker, uint8_t bridge, int socket_id, struct waker *worker_waker,
	struct waker *bridge_waker);
/** Frees what still lies in the rings, mbufs included. Both threads have stopped. */
void chan_destroy(struct chan *c);

/** Lend: empty buffers on their way to one bridge. */
enum lender_state {
	LENDER_STOPPED,  /**< written by the bridge: nothing of this queue is in its hands */
	LENDER_RUNNING,  /**< written by the worker: take and use buffers */
	LENDER_RECALLED, /**< written by the worker: free all you hold, then say STOPPED */
};

struct lender {
	uint16_t pif;
	uint8_t queue;
	uint8_t worker;
	_Atomic uint8_t state;     /**< enum lender_state */
	_Atomic uint8_t mergeable; /**< vport_queue_mergeable(); written before RUNNING */
	/** Set by the bridge when it ran dry with data waiting, cleared by the worker: refill and
	 * ring. */
	_Atomic uint8_t hungry;
	/** Set by the bridge when a socket call found guest memory gone, cleared by the worker. */
	_Atomic uint8_t lost;
	struct rte_ring *bufs; /**< struct rte_mbuf *, SPSC worker -> bridge */
};

struct lender *lender_create(
	uint16_t pif, uint8_t queue, uint8_t worker, uint8_t bridge, int socket_id);
void lender_destroy(struct lender *l);
/** Free what lies in its ring: by the bridge, or of one that is STOPPED by its worker. */
void lender_clear(struct lender *l);

#endif
