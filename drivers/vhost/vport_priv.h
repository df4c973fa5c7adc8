/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * What the kinds of port share: the port, its queue pairs, and how a queue pair changes hands.
 *
 * A *session* is one life of a queue pair: made by the side that sets it up (librte_vhost's thread,
 * or control), offered to the worker, used by the worker, given back. At any time exactly one side
 * owns it:
 *
 *   offered   -- vport_session_offer(): lies in queue->offer, whoever exchanges it out has it
 *   running   -- the worker took it in vport_queue_sync(); queue->cur
 *   stopping  -- asked back (stop_gen), or broken by the guest: the worker lets go of mbufs
 *   done      -- vport_queue_release() set fate; the other side reads the indices and frees it
 *   abandoned -- the other side has waited long enough: the worker frees it on release
 *
 * A session holds all that it refers to (mappings, file descriptors), so an abandoned one is safe.
 */
#ifndef VPORT_PRIV_H
#define VPORT_PRIV_H

#include <pthread.h>
#include <stdatomic.h>

#include <rte_branch_prediction.h>
#include <rte_common.h>
#include <rte_mbuf.h>

#include "vport_lines.h"
#include "vport.h"

/** How long workers may take to give queue pairs back. */
#define VPORT_STOP_WAIT_MS 5000
/** Longest frame that is taken from a guest: an IP packet of 65535 bytes, Ethernet, one VLAN tag.
 */
#define VPORT_FRAME_MAX (65535 + 18)

enum vport_fate {
	SESSION_LIVE,
	SESSION_DONE,      /**< set by the worker */
	SESSION_ABANDONED, /**< set by the other side */
};

struct vport_session {
	_Atomic int fate; /**< enum vport_fate */
	uint32_t gen;
	/** Called by whoever is last. */
	void (*free)(struct vport_session *s);
};

struct vport_ops {
	int (*start)(struct vport *vp, char *err, size_t err_size);
	/** Disconnect, and recall all queue pairs. Called once. */
	void (*stop)(struct vport *vp);
	/** After stop: free all but the common part. */
	void (*fini)(struct vport *vp);
	/** vport_run(), if there is a vport_fd(). */
	void (*run)(struct vport *vp);
	void (*info)(const struct vport *vp, struct vport_info *info);
	/* The worker's; all but begin with a session, that is q->cur != NULL. */
	bool (*begin)(struct vport_queue *q, struct vport_session *s);
	/** News that need no new session. */
	void (*refresh)(struct vport_queue *q);
	/** @return false while something is in other hands */
	bool (*end)(struct vport_queue *q);
	uint16_t (*rx_burst)(struct vport_queue *q, struct rte_mbuf **frames, uint16_t n);
	uint16_t (*tx_burst)(struct vport_queue *q, struct rte_mbuf **frames, uint16_t n);
	uint16_t (*lend)(struct vport_queue *q, struct rte_mbuf **bufs, uint16_t n);
	bool (*mergeable)(const struct vport_queue *q);
	void (*flush)(struct vport_queue *q);
	bool (*arm)(struct vport_queue *q);
	void (*disarm)(struct vport_queue *q);
	int (*kick_fd)(const struct vport_queue *q, bool guest_tx);
	/** All queue pairs with this memory are to end; NULL: there is no such memory. */
	void (*memory_lost)(struct vport_queue *q);
	bool (*must_poll)(const struct vport_queue *q);
};

struct vport_queue {
	/* The worker's own. */
	struct vport *vp;
	const struct vport_ops *ops;
	struct vport_session *cur;
	struct vport_owner owner;
	uint16_t index;
	bool ready;    /**< cur is there, and neither stopping nor broken */
	bool stopping; /**< VPORT_SYNC_STOP was told */
	uint64_t counters[VPORT_COUNTS];
	/* Shared. */
	_Alignas(RTE_CACHE_LINE_SIZE) _Atomic uint32_t news; /**< look at what follows */
	_Atomic uint32_t stop_gen;                           /**< session that is asked back */
	_Atomic(struct vport_session *) offer;
	/** Set by the worker when the guest broke it; cleared by the other side: set up anew. */
	_Atomic bool broken;
	_Atomic bool
		live; /**< it counts in vp->live: with the worker, or on the way, and not broken */
	/* The other side's, under vp->lock. */
	struct vport_session *mine; /**< last offered, not yet back */
	uint32_t last_gen;
};
static_assert(offsetof(struct vport_queue, news) % RTE_CACHE_LINE_SIZE == 0 &&
		offsetof(struct vport_queue, last_gen) <
			offsetof(struct vport_queue, news) + RTE_CACHE_LINE_SIZE,
	"counters, which its worker writes, do not share a line with what others write");

struct vport {
	struct vport_conf conf; /**< its strings are copies */
	const struct vport_ops *ops;
	/* From here on, control and librte_vhost write. */
	_Alignas(RTE_CACHE_LINE_SIZE) pthread_mutex_t lock; /**< all that is not the workers' */
	bool started, dying;
	int fd;                       /**< vport_fd() */
	_Atomic uint64_t note_window; /**< of time, for the limit on lines */
	_Atomic uint32_t n_notes;     /**< in that window */
	_Atomic uint32_t
		kept; /**< abandoned sessions: while there are any, the port is not freed */
	/** Queue pairs set up and not broken. Those who steer ask for each packet. */
	_Alignas(RTE_CACHE_LINE_SIZE) _Atomic uint32_t live;
	struct vport_queue *queues[VPORT_MAX_QUEUES];
};

/* vport.c */
/** Common part of a new, zeroed port. On failure call vport_fini(). @return 0 or -errno */
int vport_init(struct vport *vp, const struct vport_conf *conf, const struct vport_ops *ops);
/** Undo it, and free the port. */
void vport_fini(struct vport *vp);
__rte_format_printf(2, 3) void vport_note(struct vport *vp, const char *fmt, ...);
/** Write the line for the caller of vport_create() or vport_start(). @return error, negative */
__rte_format_printf(4, 5) int vport_err(
	char *err, size_t err_size, int error, const char *fmt, ...);
/** The worker: this queue pair is not used any more until it is set up anew. */
void vport_break(struct vport_queue *q, enum vport_counter why);

/* handover.c */
/** Under vp->lock; q->mine is NULL. */
void vport_session_offer(struct vport_queue *q, struct vport_session *s);
/** Under vp->lock: ask for the session back, and do not wait. */
void vport_session_ask(struct vport_queue *q);
/** Until when to wait for what is asked back now. */
uint64_t vport_session_deadline_ms(void);
/**
 * Under vp->lock: have the session back. To have several back within one bound, ask for all first.
 * @return it, now the caller's; NULL: there was none, or it was abandoned
 */
struct vport_session *vport_session_recall(struct vport_queue *q, uint64_t deadline_ms);
/** It is counted as live, or not any more. */
void vport_queue_set_live(struct vport_queue *q, bool live);
/** Any thread: have the worker look. */
void vport_queue_tell(struct vport_queue *q);

/* The kinds. */
struct vport *vhost_port_create(const struct vport_conf *conf, char *err, size_t err_size);
struct vport *eth_port_create(const struct vport_conf *conf, char *err, size_t err_size);

static inline void
vport_count(struct vport_queue *q, enum vport_counter c, uint64_t n)
{
	__atomic_store_n(&q->counters[c], q->counters[c] + n, __ATOMIC_RELAXED);
}

/** Any thread: count what is about the port, not about a queue pair. */
static inline void
vport_count_port(struct vport *vp, enum vport_counter c)
{
	__atomic_fetch_add(&vp->queues[0]->counters[c], 1, __ATOMIC_RELAXED);
}

#endif
