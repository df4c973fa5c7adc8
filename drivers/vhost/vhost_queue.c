/* SPDX-License-Identifier: BSD-3-Clause */
/* The worker's side of a queue pair: begin, end, notifications. */
#include "vhost_priv.h"

#include <string.h>

#include <rte_ether.h>

bool
vhost_queue_begin(struct vport_queue *q, struct vport_session *base)
{
	struct vhost_session *s = (struct vhost_session *)base;

	if (s->unusable) {
		q->ready = true; /* vport_break() ends it again, and counts */
		vport_break(q, s->unusable);
		return false;
	}
	s->rx.owner = s->tx.owner = q->owner;
	vring_disarm(&s->rx);
	vring_disarm(&s->tx);
	return true;
}

void
vhost_queue_refresh(struct vport_queue *q)
{
	struct vhost_session *s = vhost_session(q);

	vring_refresh_call(&s->rx);
	vring_refresh_call(&s->tx);
}

static void
notify(struct vport_queue *q, struct vhost_ring *r)
{
	if (!vring_publish(r) || r->call_fd == -1)
		return;
	if (vring_call(r) == 0)
		vport_count(q, VPORT_COUNT_CALLS, 1);
	else
		vport_count(q, VPORT_COUNT_CALL_FAILED, 1);
}

/** Shortest Ethernet frame, without its check sequence. */
#define FILLER_BYTES 60
/** IEEE 802, local experimental EtherType 1: nobody has a protocol for it. */
#define FILLER_TYPE 0x88b5

/** Write bytes over the pieces of a chain that has room for them. */
static void
lay(const struct vhost_session *s, const uint8_t *from, uint32_t len)
{
	for (const struct vring_span *sp = s->spans; len; sp++) {
		const uint32_t part = RTE_MIN(len, sp->len);

		memcpy(sp->addr, from, part);
		guestlog_write(s->log, sp->gpa, part);
		from += part;
		len -= part;
	}
}

/** As much of the filler as the head has room for: all, its vnet header, nothing. */
static void
use_unfilled(struct vhost_session *s, uint16_t head, const uint8_t *filler)
{
	uint32_t len = s->hdr_bytes + FILLER_BYTES;
	uint64_t total = 0;

	/* The guest may have changed it since: walked, and so checked, anew. */
	if (atomic_load_explicit(&s->mem->lost, memory_order_relaxed) ||
		vring_walk(&s->rx, head, s->spans, VRING_MAX_SPANS, &total) < 0)
		total = 0;
	if (total < len)
		len = total < s->hdr_bytes ? 0 : s->hdr_bytes;
	lay(s, filler, len);
	vring_use(&s->rx, head, len);
}

/**
 * What cannot be un-taken is used, and a driver may take what is used for a frame without asking
 * for its length (virtio 1.2, 5.1.6.4: the device uses no buffer without one). So it is one: from
 * the gateway to itself, of a type that nobody knows.
 */
static void
give_back(struct vport_queue *q, struct vhost_session *s)
{
	uint8_t filler[sizeof(struct virtio_net_hdr_mrg_rxbuf) + FILLER_BYTES] = { 0 };
	const struct virtio_net_hdr_mrg_rxbuf hdr = { .num_buffers = 1 };
	uint8_t *eth = filler + s->hdr_bytes;

	vring_rewind(&s->rx);
	memcpy(filler, &hdr, s->hdr_bytes);
	memcpy(eth, q->vp->conf.gateway_mac, RTE_ETHER_ADDR_LEN);
	memcpy(eth + RTE_ETHER_ADDR_LEN, q->vp->conf.gateway_mac, RTE_ETHER_ADDR_LEN);
	eth[2 * RTE_ETHER_ADDR_LEN] = FILLER_TYPE >> 8;
	eth[2 * RTE_ETHER_ADDR_LEN + 1] = FILLER_TYPE & 0xff;
	for (uint32_t i = 0; i < s->rx.n_again; i++) {
		if (s->rx.heads[s->rx.again[i]].state == HEAD_FETCHED)
			use_unfilled(s, s->rx.again[i], filler);
	}
	s->rx.n_again = 0;
}

bool
vhost_queue_end(struct vport_queue *q)
{
	struct vhost_session *s = vhost_session(q);

	if (s->unusable)
		return true;
	vring_drain(&s->rx);
	vring_drain(&s->tx);
	/* Nothing is lent or published any more. */
	vring_trim_spares(&s->rx, 0);
	if (s->rx.out || s->tx.out || vhost_pool_lent(s))
		return false;
	/* Given up by the other side: the rings may be somebody else's, or the guest's own memory.
	 */
	if (atomic_load_explicit(&s->base.fate, memory_order_acquire) == SESSION_ABANDONED)
		return true;
	give_back(q, s);
	vhost_queue_refresh(q);
	notify(q, &s->rx);
	notify(q, &s->tx);
	return true;
}

bool
vhost_queue_mergeable(const struct vport_queue *q)
{
	return vhost_session(q)->mergeable;
}

void
vhost_queue_flush(struct vport_queue *q)
{
	struct vhost_session *s = vhost_session(q);

	vring_drain(&s->tx);
	notify(q, &s->tx);
	notify(q, &s->rx);
}

/** Heads on offer after the guest was asked to kick for the next. */
static int32_t
arm_ring(struct vport_queue *q, const struct vhost_session *s, struct vhost_ring *r)
{
	const int32_t before = vring_offered(r);
	int32_t after;

	if (before < 0) {
		vhost_break(q, s, before);
		return before;
	}
	if (r->armed && r->armed_at == r->avail_seen)
		return before;
	vring_arm(r, r->avail_seen);
	after = vring_offered(r);
	if (after < 0)
		vhost_break(q, s, after);
	return after;
}

bool
vhost_queue_arm(struct vport_queue *q)
{
	struct vhost_session *s = vhost_session(q);
	const uint32_t held = s->rx.n_again;
	int32_t n;

	if (!vhost_memory_ok(q, s) || atomic_load_explicit(&s->tx.freed, memory_order_relaxed) != 0)
		return true;
	/* Frames that wait for mbufs are no work before there are some: it is looked in time. */
	if (!s->starved && arm_ring(q, s, &s->tx) != 0)
		return true;
	/* A refill is news only to who has run short. */
	n = vring_offered(&s->rx);
	if (n < 0 || vhost_lendable(s, (uint32_t)n + held) > 0)
		return n < 0;
	n = arm_ring(q, s, &s->rx);
	return n < 0 || vhost_lendable(s, (uint32_t)n + held) > 0;
}

void
vhost_queue_disarm(struct vport_queue *q)
{
	struct vhost_session *s = vhost_session(q);

	vring_disarm(&s->tx);
	vring_disarm(&s->rx);
}

int
vhost_queue_kick_fd(const struct vport_queue *q, bool guest_tx)
{
	const struct vhost_session *s = vhost_session(q);

	return guest_tx ? s->tx.kick_fd : s->rx.kick_fd;
}

void
vhost_queue_memory_lost(struct vport_queue *q)
{
	atomic_store_explicit(&vhost_session(q)->mem->lost, true, memory_order_relaxed);
}

bool
vhost_queue_must_poll(const struct vport_queue *q)
{
	const struct vhost_session *s = vhost_session(q);

	/* A front-end that gives no kick, or none that is an eventfd, asks to be polled. */
	return s->starved || s->tx.kick_fd < 0 || s->rx.kick_fd < 0;
}
