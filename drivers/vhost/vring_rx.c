/* SPDX-License-Identifier: BSD-3-Clause */
/* Frames from the guest: its tx ring to mbufs. */
#include "vhost_priv.h"

#include <string.h>

#include <rte_ether.h>

/** Bytes of guest memory that one mbuf can hold: buf_len has 16 bits. */
#define SEG_MAX 65535u

/** Segments that the bytes from `off` on need. */
static unsigned int
count_segs(const struct vring_span *spans, unsigned int n, uint64_t off)
{
	unsigned int segs = 0;

	for (unsigned int i = 0; i < n; i++) {
		if (off >= spans[i].len) {
			off -= spans[i].len;
			continue;
		}
		segs += (spans[i].len - (uint32_t)off + SEG_MAX - 1) / SEG_MAX;
		off = 0;
	}
	return segs;
}

/** Chain n_segs mbufs over guest memory from offset `off` on to `m`. False: no mbufs. */
static bool
attach_rest(struct vport_queue *q, struct vhost_session *s, struct rte_mbuf *m, uint16_t head,
	unsigned int n_segs, unsigned int n_spans, uint64_t off)
{
	struct vring_head *h = &s->tx.heads[head];
	struct rte_mbuf *segs[VRING_MAX_SPANS];
	struct rte_mbuf *last = m;
	unsigned int k = 0;

	if (n_segs > RTE_DIM(segs) ||
		rte_pktmbuf_alloc_bulk(q->vp->conf.ext_pool, segs, n_segs) != 0)
		return false;
	rte_mbuf_ext_refcnt_set(&h->shinfo, (uint16_t)n_segs);
	for (unsigned int i = 0; i < n_spans; i++) {
		uint8_t *addr = s->spans[i].addr + off;
		uint32_t left;

		if (off >= s->spans[i].len) {
			off -= s->spans[i].len;
			continue;
		}
		for (left = s->spans[i].len - (uint32_t)off; left; k++) {
			const uint16_t len = (uint16_t)RTE_MIN(left, SEG_MAX);

			rte_pktmbuf_attach_extbuf(segs[k], addr, RTE_BAD_IOVA, len, &h->shinfo);
			segs[k]->data_len = len;
			last->next = segs[k];
			last = segs[k];
			m->pkt_len += len;
			addr += len;
			left -= len;
		}
		off = 0;
	}
	m->nb_segs = (uint16_t)(m->nb_segs + n_segs);
	vring_put_out(&s->tx, h, HEAD_GUEST_TX, (uint16_t)n_segs);
	return true;
}

enum frame_result {
	FRAME_TAKEN,
	FRAME_DROPPED, /**< head used, no mbuf */
	FRAME_LATER,   /**< no mbufs for it: the head is as if it had not been looked at */
};

static enum frame_result
drop(struct vport_queue *q, struct vhost_session *s, uint16_t head, enum vport_counter why)
{
	vport_count(q, why, 1);
	vring_use(&s->tx, head, 0);
	return FRAME_DROPPED;
}

static enum frame_result
later(struct vport_queue *q, struct vhost_session *s, uint16_t head, enum vport_counter why)
{
	vport_count(q, why, 1);
	vring_unfetch(&s->tx, head);
	s->starved = true;
	return FRAME_LATER;
}

/** A chain of n spans and `total` bytes to a frame. */
static enum frame_result
take_frame(struct vport_queue *q, struct vhost_session *s, uint16_t head, unsigned int n_spans,
	uint64_t total, struct rte_mbuf **frame)
{
	struct virtio_net_hdr hdr;
	const uint32_t quota = vhost_ext_quota(q);
	struct rte_mbuf *m;
	uint32_t len, front, n_segs;
	uint8_t *copy;

	if (total < s->hdr_bytes + RTE_ETHER_HDR_LEN)
		return drop(q, s, head, VPORT_COUNT_RX_SHORT);
	if (total > s->hdr_bytes + VPORT_FRAME_MAX)
		return drop(q, s, head, VPORT_COUNT_RX_TOO_LONG);
	len = (uint32_t)total - s->hdr_bytes;
	front = len <= VPORT_COPY_BYTES ? len : VPORT_HEAD_BYTES;
	n_segs = front == len ? 0 : count_segs(s->spans, n_spans, s->hdr_bytes + front);
	if (unlikely(n_segs > quota))
		return drop(q, s, head, VPORT_COUNT_RX_PIECES);
	if (unlikely(n_segs && s->tx.out_segs + n_segs > quota))
		return later(q, s, head, VPORT_COUNT_RX_QUOTA);
	m = rte_pktmbuf_alloc(q->vp->conf.pool);
	if (unlikely(m == NULL))
		return later(q, s, head, VPORT_COUNT_RX_NO_MBUF);
	/* The vnet header goes in front of the frame: one copy of both. */
	copy = rte_pktmbuf_mtod_offset(m, uint8_t *, -(int)s->hdr_bytes);
	vring_copy_out(copy, s->spans, 0, s->hdr_bytes + front);
	memcpy(&hdr, copy, sizeof(hdr));
	if (unlikely(!vnet_from_guest(&hdr, len, s->features, m))) {
		rte_pktmbuf_free(m);
		return drop(q, s, head, VPORT_COUNT_RX_BAD_HEADER);
	}
	m->data_len = (uint16_t)front;
	m->pkt_len = front;
	if (n_segs == 0) {
		vring_use(&s->tx, head, 0);
	} else if (attach_rest(q, s, m, head, n_segs, n_spans, s->hdr_bytes + front)) {
		vport_count(q, VPORT_COUNT_RX_ZERO_COPY, 1);
	} else {
		rte_pktmbuf_free(m);
		return later(q, s, head, VPORT_COUNT_RX_NO_MBUF);
	}
	*frame = m;
	return FRAME_TAKEN;
}

uint16_t
vring_rx_burst(struct vport_queue *q, struct rte_mbuf **frames, uint16_t n)
{
	struct vhost_session *s = vhost_session(q);
	uint16_t got = 0;
	uint64_t bytes = 0;

	vring_drain(&s->tx);
	if (unlikely(!vhost_memory_ok(q, s)))
		return 0;
	s->starved = false;
	if (!vring_look_ahead(&s->tx, n))
		return 0;
	/* Dropped chains count too: the work of one call is bounded. */
	for (uint16_t tried = 0; tried < n; tried++) {
		const int32_t head = vring_fetch(&s->tx);
		enum frame_result result;
		uint64_t total;
		int n_spans;

		if (head < 0) {
			if (unlikely(head < -1))
				vhost_break(q, s, head);
			break;
		}
		n_spans = vring_walk(&s->tx, (uint16_t)head, s->spans, VRING_MAX_SPANS, &total);
		if (unlikely(n_spans < 0)) {
			vring_unfetch(&s->tx, (uint16_t)head);
			vhost_break(q, s, n_spans);
			break;
		}
		result = take_frame(
			q, s, (uint16_t)head, (unsigned int)n_spans, total, &frames[got]);
		if (result == FRAME_LATER)
			break;
		if (result == FRAME_TAKEN)
			bytes += frames[got++]->pkt_len;
	}
	if (got) {
		vport_count(q, VPORT_COUNT_RX_PKTS, got);
		vport_count(q, VPORT_COUNT_RX_BYTES, bytes);
	}
	return got;
}
