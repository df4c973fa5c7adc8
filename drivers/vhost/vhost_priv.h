/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * The vhost-user kind of port: what its files share.
 *
 * Threads. vhost_dev.c and vhost_msg.c run in librte_vhost's thread (and in control, when a port is
 * made and unmade) under the port's lock; vhost_relay.c in control; vring_rx.c, vring_tx.c and
 * vhost_queue.c in the worker that owns the queue pair.
 */
#ifndef VHOST_PRIV_H
#define VHOST_PRIV_H

#include <rte_vhost.h>

#include "guestmem.h"
#include "vhost_relay.h"
#include "vnet.h"
#include "vport_priv.h"
#include "vring.h"

#define VHOST_MAX_RINGS (2 * VPORT_MAX_QUEUES)
/** Rings of a queue pair, named from the guest's side as virtio does. */
#define VHOST_GUEST_RX(pair) (2 * (pair))
#define VHOST_GUEST_TX(pair) (2 * (pair) + 1)

/** Frame that a guest without mergeable buffers must have room for, or it is not lent from. */
#define VHOST_MIN_FRAME 1514
/** Contiguous bytes in front of a lent buffer: room for all headers. */
#define VHOST_MIN_FRONT 128

/** One life of a queue pair. */
struct vhost_session {
	struct vport_session base;
	struct guestmem *mem;
	struct guestlog *log;
	uint64_t features;
	uint32_t offloads; /**< VPORT_OFFLOAD_* */
	unsigned int hdr_bytes;
	uint32_t pool_segs; /**< mbufs of the pool that are lent together */
	bool mergeable;
	bool lendable;               /**< false: its buffers are copied into */
	bool starved;                /**< frames of the guest wait for mbufs */
	enum vport_counter unusable; /**< 0: it is fine */
	/** Of mbufs of the pool that are lent in place of the guest's: one reference each, one
	 * ours. On a line of its own: who frees them writes it. */
	_Alignas(RTE_CACHE_LINE_SIZE) struct rte_mbuf_ext_shared_info pool_lent;
	struct vhost_ring rx, tx;                 /**< the guest's rx and tx */
	struct vring_span spans[VRING_MAX_SPANS]; /**< of the frame in work */
	uint16_t ids[VRING_MAX_HEADS];
	uint32_t lens[VRING_MAX_HEADS];
};
static_assert(offsetof(struct vhost_session, rx) ==
			offsetof(struct vhost_session, pool_lent) + RTE_CACHE_LINE_SIZE &&
		sizeof(struct vhost_session) % RTE_CACHE_LINE_SIZE == 0,
	"nothing else lies on the line of pool_lent");

static inline struct vhost_session *
vhost_session(const struct vport_queue *q)
{
	return (struct vhost_session *)q->cur;
}

/** One connection of a front-end. */
struct vhost_conn {
	struct vhost_port *port;
	int vid;
	struct vhost_relay *relay;
	bool have_mem;    /**< librte_vhost has the memory table, too */
	bool announced;   /**< a line for the log was written */
	uint32_t request; /**< being handled by librte_vhost, 0: none */
	uint32_t request_ring;
	uint64_t features;
	struct guestmem *mem; /**< NULL: there was none yet */
	struct guestlog *log;
	bool ready[VHOST_MAX_RINGS]; /**< librte_vhost calls it ready */
};

struct vhost_port {
	struct vport base;
	struct vhost_conn *conn; /**< the one that is served, or NULL */
	struct vhost_relays relays;
	bool registered;
	/* For vport_info(), any thread. */
	_Atomic uint64_t features;
	_Atomic int guest_node;
	_Atomic bool connected;
};

/* vring_rx.c, vring_tx.c, vring_lend.c */
uint16_t vring_rx_burst(struct vport_queue *q, struct rte_mbuf **frames, uint16_t n);
uint16_t vring_tx_burst(struct vport_queue *q, struct rte_mbuf **frames, uint16_t n);
uint16_t vring_lend(struct vport_queue *q, struct rte_mbuf **bufs, uint16_t n);

/* vhost_queue.c: the worker's part of vport_ops */
bool vhost_queue_begin(struct vport_queue *q, struct vport_session *s);
void vhost_queue_refresh(struct vport_queue *q);
bool vhost_queue_end(struct vport_queue *q);
bool vhost_queue_mergeable(const struct vport_queue *q);
void vhost_queue_flush(struct vport_queue *q);
bool vhost_queue_arm(struct vport_queue *q);
void vhost_queue_disarm(struct vport_queue *q);
int vhost_queue_kick_fd(const struct vport_queue *q, bool guest_tx);
void vhost_queue_memory_lost(struct vport_queue *q);
bool vhost_queue_must_poll(const struct vport_queue *q);
/**
 * How many of `have` heads may be lent. More than half of what the guest has posted stays for
 * frames that are copied: Linux posts buffers again only when half of its ring is free, and what is
 * lent and waits for data never comes back by itself. Firmware has eight buffers, whatever the size
 * of its ring; the last one is never lent.
 */
static inline uint32_t
vhost_lendable(const struct vhost_session *s, uint32_t have)
{
	const uint32_t posted = have + s->rx.out;
	const uint32_t kept = RTE_MAX(1u, posted / 2 + posted / 16);

	return have > kept ? have - kept : 0;
}

/** The next head of the guest's rx ring. As vring_fetch(). */
static inline int32_t
vhost_rx_head(struct vhost_ring *r)
{
	if (r->n_again)
		return r->again[--r->n_again];
	return vring_fetch(r);
}

/** A head that is ours and was not used after all. */
static inline void
vhost_rx_keep(struct vhost_ring *r, uint16_t head)
{
	r->heads[head].state = HEAD_FETCHED;
	r->again[r->n_again++] = head;
}

/** Take a head and read its chain behind the first `used` spans. As vring_walk(); -1: none. */
static inline int
vhost_rx_chain(struct vhost_session *s, unsigned int used, uint16_t *head, uint64_t *total)
{
	const int32_t next = vhost_rx_head(&s->rx);
	int n;

	if (next < 0)
		return next;
	*head = (uint16_t)next;
	s->rx.heads[next].state = HEAD_FETCHED;
	n = vring_walk(&s->rx, *head, s->spans + used, VRING_MAX_SPANS - used, total);
	if (unlikely(n < 0))
		vhost_rx_keep(&s->rx, *head);
	return n;
}

/** Mbufs of the external pool that either ring may have out. */
static inline uint32_t
vhost_ext_quota(const struct vport_queue *q)
{
	const struct vport_quota *quota = q->vp->conf.quota;

	return quota ? atomic_load_explicit(&quota->exts, memory_order_relaxed) : UINT32_MAX;
}

/** Mbufs of the pool that are lent in place of the guest's own buffers. */
static inline uint32_t
vhost_pool_lent(const struct vhost_session *s)
{
	return rte_mbuf_ext_refcnt_read(&s->pool_lent) - 1u;
}

/**
 * The ring said something impossible. Of memory that is gone it says nothing true: then that is
 * why.
 * @param error -(enum vport_counter)
 */
static inline void
vhost_break(struct vport_queue *q, const struct vhost_session *s, int error)
{
	const bool lost = atomic_load_explicit(&s->mem->lost, memory_order_relaxed);

	vport_break(q, lost ? VPORT_COUNT_MEMORY_LOST : (enum vport_counter)(-error));
}

/** True if the queue pair can go on: its memory is there. */
static inline bool
vhost_memory_ok(struct vport_queue *q, const struct vhost_session *s)
{
	if (likely(!atomic_load_explicit(&s->mem->lost, memory_order_relaxed)))
		return true;
	vport_break(q, VPORT_COUNT_MEMORY_LOST);
	return false;
}

/* vhost_session.c: from librte_vhost's rings to a session */
/** @return the session, to be offered; NULL with a note written */
struct vhost_session *vhost_session_make(struct vhost_conn *conn, uint16_t pair);
/** Set what follows from its features and its log. */
void vhost_session_limit(struct vhost_session *s, const struct vport_conf *conf);
/** Write the indices back to librte_vhost, and free it. */
void vhost_session_return(struct vhost_conn *conn, uint16_t pair, struct vhost_session *s);
/** Own copy of a call descriptor; -1: there is none, VRING_BAD_FD: unfit. */
int vhost_dup_call_fd(int fd);

/* vhost_dev.c */
/** Have a queue pair back from its worker. @return false: it was given up */
bool vhost_take_back(struct vhost_conn *conn, uint16_t pair);
/** All of them, within the time of one. */
void vhost_take_back_all(struct vhost_conn *conn);
/** Hand out what librte_vhost calls ready and nobody has broken. */
void vhost_hand_out(struct vhost_conn *conn, uint16_t pair);
void vhost_hand_out_all(struct vhost_conn *conn);
/** Forget that the guest has broken a queue pair: it is set up anew. */
void vhost_forgive(struct vhost_conn *conn, uint16_t pair);
extern const struct rte_vhost_device_ops vhost_device_ops;

/* vhost_registry.c */
/** Find what a callback of librte_vhost is about. Locks the port; vhost_conn_put() unlocks. */
struct vhost_conn *vhost_conn_get(int vid);
void vhost_conn_put(struct vhost_conn *conn);
struct vhost_port *vhost_port_get(int vid);
void vhost_port_put(struct vhost_port *port);
int vhost_registry_add(struct vhost_port *port);
void vhost_registry_remove(struct vhost_port *port);
void vhost_registry_set(int vid, struct vhost_conn *conn);
/** Take out a connection of the port's, NULL: none is left. */
struct vhost_conn *vhost_registry_pop(struct vhost_port *port);

/* vhost_msg.c */
extern const struct rte_vhost_user_extern_ops vhost_msg_ops;

/* vhost_sock.c */
/** Is the path short enough? 0 or -errno with err written. */
int vhost_sock_fits(const char *path, char *err, size_t err_size);
/** Is the path fit to listen on? Removes a stale socket. 0 or -errno with err written. */
int vhost_sock_prepare(const char *path, char *err, size_t err_size);
/** librte_vhost's socket of a connection that has no relay yet, -1: not found. */
int vhost_sock_find(const char *path, bool server);

#endif
