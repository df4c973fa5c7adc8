/* SPDX-License-Identifier: BSD-3-Clause */
/* The guest's rx ring lent ahead: mbufs on its buffers, for others to fill. */
#include "vhost_priv.h"

/** Of a chain's mbufs: buf_len has 16 bits. */
#define SEG_MAX 65535u
/** Segments of one lent buffer, which is all of a frame, and of one that may be a part of it. */
#define LEND_MAX_SEGS 64
#define LEND_MAX_SEGS_MERGEABLE 4

/** Heads that could be had; as vring_offered(). */
static int32_t
heads_at_hand(struct vhost_ring *r)
{
	const int32_t n = vring_offered(r);

	return n < 0 ? n : n + (int32_t)r->n_again;
}

/** Can this chain be filled in place? Sets where the header goes; *first is the first data span. */
static bool
fit_to_lend(struct vhost_session *s, struct vring_head *h, unsigned int n_spans, uint64_t total,
	unsigned int *first)
{
	const struct vring_span *sp = s->spans;

	if (n_spans == 0 || sp[0].len < s->hdr_bytes)
		return false;
	if (!s->mergeable && total < s->hdr_bytes + VHOST_MIN_FRAME)
		return false;
	*first = sp[0].len == s->hdr_bytes ? 1 : 0;
	if (*first >= n_spans)
		return false;
	h->hdr = sp[0].addr;
	h->buf = sp[*first].addr;
	h->data_off = *first ? 0 : (uint8_t)s->hdr_bytes;
	return sp[*first].len >= (uint32_t)h->data_off + VHOST_MIN_FRONT;
}

/** Mbufs that cover spans. Room past the largest frame is of no use to anybody. */
static unsigned int
cover_segs(const struct vring_span *sp, unsigned int n)
{
	unsigned int n_segs = 0;

	if (likely(n == 1 && sp->len <= SEG_MAX))
		return 1;
	for (unsigned int i = 0; i < n; i++)
		n_segs += (sp[i].len + SEG_MAX - 1) / SEG_MAX;
	return RTE_MIN(n_segs, (unsigned int)LEND_MAX_SEGS);
}

/** Mbufs to cover spans with: those that are kept, and of the pool. False: no mbufs. */
static inline bool
take_mbufs(struct vport_queue *q, struct vhost_ring *r, struct rte_mbuf **segs, unsigned int n)
{
	const unsigned int kept = RTE_MIN(n, r->n_spare);

	if (kept < n && rte_pktmbuf_alloc_bulk(q->vp->conf.ext_pool, segs + kept, n - kept) != 0) {
		vport_count(q, VPORT_COUNT_RX_NO_MBUF, 1);
		return false;
	}
	for (unsigned int i = 0; i < kept; i++) {
		segs[i] = r->spare[--r->n_spare];
		/* The guest has its old head: the reset alone would leave it attached. */
		segs[i]->ol_flags = 0;
		rte_pktmbuf_reset(segs[i]);
	}
	return true;
}

/** cover(), short for what is most common: one span, one mbuf. */
static struct rte_mbuf *
cover_one(struct vport_queue *q, struct vhost_ring *r, struct vring_head *h,
	const struct vring_span *sp)
{
	struct rte_mbuf *m;

	if (unlikely(!take_mbufs(q, r, &m, 1)))
		return NULL;
	rte_mbuf_ext_refcnt_set(&h->shinfo, 1);
	rte_pktmbuf_attach_extbuf(m, sp->addr, RTE_BAD_IOVA, (uint16_t)sp->len, &h->shinfo);
	m->data_off = h->data_off;
	return m;
}

/** Cover spans by n_segs mbufs. @return the chain, NULL: no mbufs */
static struct rte_mbuf *
cover(struct vport_queue *q, struct vhost_ring *r, struct vring_head *h,
	const struct vring_span *sp, unsigned int n, unsigned int n_segs)
{
	struct rte_mbuf *segs[LEND_MAX_SEGS];
	unsigned int k = 0;

	if (!take_mbufs(q, r, segs, n_segs))
		return NULL;
	rte_mbuf_ext_refcnt_set(&h->shinfo, (uint16_t)n_segs);
	for (unsigned int i = 0; i < n && k < n_segs; i++) {
		uint8_t *addr = sp[i].addr;

		for (uint32_t left = sp[i].len; left && k < n_segs; k++) {
			const uint16_t len = (uint16_t)RTE_MIN(left, SEG_MAX);

			rte_pktmbuf_attach_extbuf(segs[k], addr, RTE_BAD_IOVA, len, &h->shinfo);
			if (k)
				segs[k - 1]->next = segs[k];
			addr += len;
			left -= len;
		}
	}
	segs[0]->nb_segs = (uint16_t)n_segs;
	segs[0]->data_off = h->data_off;
	return segs[0];
}

enum lend_result {
	LEND_DONE,
	LEND_END,   /**< no head, no mbuf to be had, or the queue pair was broken */
	LEND_UNFIT, /**< this guest's buffers cannot be lent */
};

static enum lend_result
lend_one(struct vport_queue *q, struct vhost_session *s, uint32_t quota, struct rte_mbuf **buf)
{
	struct vring_head *h;
	unsigned int first, n_segs;
	uint64_t total;
	uint16_t head;
	const int n = vhost_rx_chain(s, 0, &head, &total);

	if (unlikely(n < 0)) {
		if (n < -1)
			vhost_break(q, s, n);
		return LEND_END;
	}
	h = &s->rx.heads[head];
	if (!fit_to_lend(s, h, (unsigned int)n, total, &first)) {
		vhost_rx_keep(&s->rx, head);
		return LEND_UNFIT;
	}
	n_segs = cover_segs(s->spans + first, (unsigned int)n - first);
	if (n_segs >
		RTE_MIN(quota, s->mergeable ? LEND_MAX_SEGS_MERGEABLE : (uint32_t)LEND_MAX_SEGS)) {
		vhost_rx_keep(&s->rx, head);
		return LEND_UNFIT;
	}
	if (s->rx.out_segs + n_segs > quota)
		*buf = NULL;
	else if (likely(n_segs == 1))
		*buf = cover_one(q, &s->rx, h, s->spans + first);
	else
		*buf = cover(q, &s->rx, h, s->spans + first, (unsigned int)n - first, n_segs);
	if (*buf == NULL) {
		vhost_rx_keep(&s->rx, head);
		return LEND_END;
	}
	vring_put_out(&s->rx, h, HEAD_LENT, (uint16_t)n_segs);
	return LEND_DONE;
}

/** An ordinary mbuf that is counted while it is lent: an external buffer that is its own. */
static struct rte_mbuf *
pool_mbuf(struct vport_queue *q, struct vhost_session *s, uint16_t data_off)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(q->vp->conf.pool);

	if (unlikely(m == NULL)) {
		vport_count(q, VPORT_COUNT_RX_NO_MBUF, 1);
		return NULL;
	}
	rte_mbuf_ext_refcnt_update(&s->pool_lent, 1);
	rte_pktmbuf_attach_extbuf(m, m->buf_addr, RTE_BAD_IOVA, m->buf_len, &s->pool_lent);
	m->data_off = data_off;
	return m;
}

/** Ordinary mbufs with room for one frame of the guest's, or for a part of one. */
static struct rte_mbuf *
pool_chain(struct vport_queue *q, struct vhost_session *s)
{
	struct rte_mbuf *head = pool_mbuf(q, s, RTE_PKTMBUF_HEADROOM);
	struct rte_mbuf *last = head;

	for (uint32_t i = 1; head && i < s->pool_segs; i++) {
		struct rte_mbuf *m = pool_mbuf(q, s, 0);

		if (m == NULL) {
			rte_pktmbuf_free(head);
			return NULL;
		}
		last->next = m;
		last = m;
		head->nb_segs++;
	}
	return head;
}

/** Mbufs of the pool that may be lent: the counter has 16 bits, and keeps some for one chain. */
static uint32_t
pool_quota(const struct vport_queue *q)
{
	const struct vport_quota *quota = q->vp->conf.quota;
	const uint32_t max = UINT16_MAX / 2;

	return quota ? RTE_MIN(atomic_load_explicit(&quota->frames, memory_order_relaxed), max)
		     : max;
}

/**
 * What is read into them needs one of the guest's buffers, or a few, when it comes back: no more
 * are lent than half of what the guest has posted.
 */
static uint16_t
lend_pool(struct vport_queue *q, struct vhost_session *s, struct rte_mbuf **bufs, uint16_t n,
	uint32_t have)
{
	const uint32_t quota = pool_quota(q);
	uint16_t i;

	for (i = 0; i < n && have; i++) {
		const uint32_t lent = vhost_pool_lent(s);
		const uint32_t each = s->pool_segs;

		if (lent && (lent + each > quota || lent + each > each * (have / 2)))
			break;
		bufs[i] = pool_chain(q, s);
		if (bufs[i] == NULL)
			break;
	}
	return i;
}

uint16_t
vring_lend(struct vport_queue *q, struct rte_mbuf **bufs, uint16_t n)
{
	struct vhost_session *s = vhost_session(q);
	const uint32_t quota = vhost_ext_quota(q);
	int32_t have;
	uint16_t i;

	vring_drain(&s->rx);
	if (unlikely(!vhost_memory_ok(q, s)))
		return 0;
	have = heads_at_hand(&s->rx);
	if (unlikely(have < 0)) {
		vhost_break(q, s, have);
		return 0;
	}
	if (!s->lendable) {
		vring_trim_spares(&s->rx, 0);
		return lend_pool(q, s, bufs, n, (uint32_t)have);
	}
	/* The share may have become smaller since they were kept. */
	if (unlikely(s->rx.out_segs + s->rx.n_spare > quota))
		vring_trim_spares(&s->rx, quota > s->rx.out_segs ? quota - s->rx.out_segs : 0);
	n = (uint16_t)RTE_MIN((uint32_t)n, vhost_lendable(s, (uint32_t)have));
	for (i = 0; i < n; i++) {
		const enum lend_result result = lend_one(q, s, quota, &bufs[i]);

		if (result == LEND_UNFIT)
			s->lendable = false;
		if (result != LEND_DONE)
			break;
	}
	return i;
}
