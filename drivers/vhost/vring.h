/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * One split ring of a guest, as the device side sees it (virtio 1.2, 2.7).
 *
 * Theory of operation. A head is a buffer the guest offers, by the number of its first descriptor.
 * A head that was taken from the available ring is *held* until it is put into the used ring; what
 * is known of it meanwhile lies in heads[number]. mbufs that point into guest memory carry that
 * entry as their shared info: freeing the last of them, in any thread, pushes the head onto
 * `freed`, and the owner of the ring takes it from there.
 *
 *   HEAD_FREE      not held
 *   HEAD_FETCHED   guest rx: taken, in `again`, waiting to be lent or copied into
 *   HEAD_LENT      guest rx: empty mbufs on it are out; when freed -> FETCHED
 *   HEAD_GUEST_TX  guest tx: mbufs with the frame's bytes are out; when freed -> used, FREE
 *
 * The mbufs of a lent head that is filled and used are the ring's: nobody else has a part of them,
 * so they are kept to be lent with another head, or go to their pool without vring_freed().
 *
 * The guest can change all shared memory at any time: each field is read once.
 *
 * Threads: a ring belongs to one worker. vring_freed() alone, the mbufs' callback, runs anywhere.
 */
#ifndef VRING_H
#define VRING_H

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <linux/virtio_ring.h>

#include <rte_byteorder.h>
#include <rte_mbuf.h>

#include "guestmem.h"
#include "vport.h"

#if RTE_BYTE_ORDER != RTE_LITTLE_ENDIAN
#error "rings are little endian, and so must be the host"
#endif

/** Pieces of guest memory of one frame; and heads of one frame that is copied or chained. */
#define VRING_MAX_SPANS 1024
#define VRING_MAX_HEADS 512
#define VRING_MAX_SIZE 32768
/** Mbufs that are kept between a frame that was published and a buffer that is lent. */
#define VRING_SPARES 64

enum vring_state {
	HEAD_FREE,
	HEAD_FETCHED,
	HEAD_LENT,
	HEAD_GUEST_TX,
};

struct vhost_ring;

struct vring_head {
	struct rte_mbuf_ext_shared_info shinfo;
	struct vhost_ring *ring;
	uint8_t *buf;     /**< LENT: start of the first mbuf's memory */
	uint8_t *hdr;     /**< LENT: where the vnet header goes */
	uint32_t next;    /**< in the freed list, number + 1 */
	uint16_t n_segs;  /**< LENT, GUEST_TX: mbufs that are out */
	uint16_t pos;     /**< place in the available ring */
	uint16_t number;  /**< place in heads */
	uint8_t data_off; /**< LENT: bytes of header at buf; 0: the header lies elsewhere */
	uint8_t state;    /**< enum vring_state */
} __rte_cache_aligned;
static_assert(sizeof(struct vring_head) == RTE_CACHE_LINE_SIZE,
	"who frees one head's mbufs and who uses the next do not share a line");

/** A piece of a chain. */
struct vring_span {
	uint8_t *addr;
	uint64_t gpa;
	uint32_t len;
};

struct vhost_ring {
	const struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	const struct guestmem *mem;
	struct guestlog *log; /**< NULL: not logging */
	uint64_t used_gpa;    /**< for the log; 0: unknown */
	uint32_t size;
	uint16_t mask;
	uint16_t last_avail; /**< next to take */
	uint16_t avail_seen; /**< available index as last read */
	uint16_t used_next;  /**< next to write */
	uint16_t published;  /**< used index as the guest sees it */
	uint16_t signalled;  /**< used index at the last decision about an interrupt */
	bool signalled_valid;
	bool armed;        /**< the guest was asked to kick, and not to leave it since */
	uint16_t armed_at; /**< ... for what comes after this available index */
	bool event_idx, indirect;
	bool write;        /**< guest rx: the device writes */
	uint32_t out;      /**< heads with mbufs in other hands */
	uint32_t out_segs; /**< ... and how many mbufs of the shared pool these are */
	uint32_t n_spare;  /**< guest rx: mbufs of that pool in `spare`, of the same share of it */
	uint32_t n_again;
	int kick_fd, call_fd;
	uint16_t *again; /**< stack of FETCHED heads */
	uint16_t *order; /**< head by place in the available ring */
	struct vring_head *heads;
	struct rte_mbuf *spare[VRING_SPARES]; /**< stack; as they were in the frame */
	/* What others write, and what who frees an mbuf reads: on a line of its own. */
	_Alignas(RTE_CACHE_LINE_SIZE) _Atomic uint32_t freed; /**< list of heads, number + 1 */
	_Atomic int next_call_fd; /**< VRING_NO_FD: none; written by librte_vhost's thread */
	struct vport_owner owner; /**< of the queue pair; nobody until it begins */
};
static_assert(offsetof(struct vhost_ring, spare) < offsetof(struct vhost_ring, freed) &&
		sizeof(struct vhost_ring) ==
			offsetof(struct vhost_ring, freed) + RTE_CACHE_LINE_SIZE,
	"what only the owner writes and what others write do not share a line");

/** next_call_fd: nothing was set. */
#define VRING_NO_FD (-2)
/** call_fd: what the front-end gave is no eventfd; -1: it gave none, it polls. */
#define VRING_BAD_FD (-3)

/**
 * Set up what does not depend on where the ring lies; the caller sets the fields up to `size`, the
 * indices (last_avail, used_next), event_idx, indirect, write.
 * @return 0 or -ENOMEM
 */
int vring_alloc(struct vhost_ring *r);
void vring_fini(struct vhost_ring *r);

/** Heads on offer, without taking any. As vring_fetch(). */
int32_t vring_offered(struct vhost_ring *r);
/**
 * The next head the guest offers.
 * @return its number, -1: none, < -1: -(enum vport_counter), the guest has broken the ring
 */
static inline int32_t
vring_fetch(struct vhost_ring *r)
{
	uint16_t head;

	if (r->avail_seen == r->last_avail) {
		const int32_t n = vring_offered(r);

		if (n <= 0)
			return n == 0 ? -1 : n;
	}
	head = __atomic_load_n(&r->avail->ring[r->last_avail & r->mask], __ATOMIC_RELAXED);
	if (unlikely(head >= r->size))
		return -(int32_t)VPORT_COUNT_RING_BAD_HEAD;
	if (unlikely(r->heads[head].state != HEAD_FREE))
		return -(int32_t)VPORT_COUNT_RING_BUSY_HEAD;
	r->heads[head].pos = r->last_avail;
	r->order[r->last_avail & r->mask] = head;
	r->last_avail++;
	return head;
}

/** Undo the last vring_fetch(). */
void vring_unfetch(struct vhost_ring *r, uint16_t head);
/**
 * Bring into the cache what the next n heads on offer hold, n being a burst at most: the other side
 * has just written their descriptors, and the frames or (guest rx) the room behind them.
 * @return false: there are none
 */
bool vring_look_ahead(struct vhost_ring *r, unsigned int n);
/**
 * Read a head's chain of descriptors.
 * @param spans receives the pieces, VRING_MAX_SPANS - used of them at most
 * @param total receives the sum of their lengths
 * @return number of pieces, or -(enum vport_counter)
 */
int vring_walk_chain(struct vhost_ring *r, uint16_t head, struct vring_span *spans,
	unsigned int room, uint64_t *total);

/** vring_walk_chain(), short for what is most common: one descriptor in one region. */
static inline int
vring_walk(struct vhost_ring *r, uint16_t head, struct vring_span *spans, unsigned int room,
	uint64_t *total)
{
	const struct vring_desc *d = &r->desc[head];
	const uint16_t plain = r->write ? VRING_DESC_F_WRITE : 0;
	const uint32_t bytes = __atomic_load_n(&d->len, __ATOMIC_RELAXED);
	const uint64_t gpa = __atomic_load_n(&d->addr, __ATOMIC_RELAXED);
	uint64_t len = bytes;
	uint8_t *addr;

	if (__atomic_load_n(&d->flags, __ATOMIC_RELAXED) != plain || bytes == 0 || room == 0)
		return vring_walk_chain(r, head, spans, room, total);
	addr = guestmem_at(r->mem, gpa, &len);
	if (unlikely(len != bytes))
		return vring_walk_chain(r, head, spans, room, total);
	*spans = (struct vring_span){ addr, gpa, bytes };
	*total = bytes;
	return 1;
}

/** Put a head into the used ring; told to the guest by vring_publish(). */
static inline void
vring_use(struct vhost_ring *r, uint16_t head, uint32_t len)
{
	struct vring_used_elem *e = &r->used->ring[r->used_next & r->mask];

	e->id = head;
	e->len = len;
	r->used_next++;
	r->heads[head].state = HEAD_FREE;
}

/** A head's mbufs go into other hands: LENT or GUEST_TX. */
static inline void
vring_put_out(struct vhost_ring *r, struct vring_head *h, enum vring_state state, uint16_t n_segs)
{
	h->state = (uint8_t)state;
	h->n_segs = n_segs;
	r->out++;
	r->out_segs += n_segs;
}

/** ... and are back, or about to be freed. */
static inline void
vring_take_in(struct vhost_ring *r, const struct vring_head *h)
{
	r->out--;
	r->out_segs -= h->n_segs;
}

/** An mbuf that is only the ring's, back to its pool. Its head hears nothing of it. */
void vring_return_mbuf(struct rte_mbuf *m);
/** Spare mbufs back to their pool, until `left` are left. */
void vring_trim_spares(struct vhost_ring *r, uint32_t left);

/** Take what other threads have freed: guest tx heads become used, lent ones fetched. */
void vring_drain(struct vhost_ring *r);
/** Show the guest what was used. @return true if it wants an interrupt for it */
bool vring_publish(struct vhost_ring *r);
/** Interrupt the guest. 0 or -errno */
int vring_call(struct vhost_ring *r);
/** Take a call descriptor that was set meanwhile. */
void vring_refresh_call(struct vhost_ring *r);

/**
 * Ask for a kick when the guest offers the head after `seen` (an available index). No-op where it
 * was asked for that before.
 */
void vring_arm(struct vhost_ring *r, uint16_t seen);
void vring_disarm(struct vhost_ring *r);

/** All mbufs are back: un-take what lies at the end of what was taken; HEAD_FREE in `again`. */
void vring_rewind(struct vhost_ring *r);

/**
 * rte_mbuf_ext_shared_info.free_cb of all mbufs in guest memory. Wakes the owner for the first that
 * waits for vring_drain(): it may have gone to sleep since it handed the mbuf on.
 */
void vring_freed(void *addr, void *head);
/** The entry behind an mbuf in memory of this ring, or NULL. */
static inline struct vring_head *
vring_head_of(const struct vhost_ring *r, const struct rte_mbuf *m)
{
	struct vring_head *h;

	if (!RTE_MBUF_HAS_EXTBUF(m) || m->shinfo->free_cb != vring_freed)
		return NULL;
	h = m->shinfo->fcb_opaque;
	return h->ring == r ? h : NULL;
}

/** Copy len bytes from offset off of a chain. The caller has checked that they are there. */
void vring_gather(void *to, const struct vring_span *spans, uint64_t off, uint32_t len);
static inline void
vring_copy_out(void *to, const struct vring_span *spans, uint32_t off, uint32_t len)
{
	if (likely((uint64_t)off + len <= spans->len))
		memcpy(to, spans->addr + off, len);
	else
		vring_gather(to, spans, off, len);
}

#endif
