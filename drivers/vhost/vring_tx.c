/* SPDX-License-Identifier: BSD-3-Clause */
/* Frames to the guest: its rx ring lent, published, copied into. */
#include "vhost_priv.h"

#include <string.h>

/** Of a chain's mbufs: buf_len has 16 bits. */
#define SEG_MAX 65535u
/** Segments of one lent buffer, which is all of a frame, and of one that may be a part of it. */
#define LEND_MAX_SEGS 64
#define LEND_MAX_SEGS_MERGEABLE 4

/** The next head of the guest's rx ring. As vring_fetch(). */
static inline int32_t
next_head(struct vhost_ring *r)
{
	if (r->n_again)
		return r->again[--r->n_again];
	return vring_fetch(r);
}

/** Heads that could be had; as vring_offered(). */
static int32_t
heads_at_hand(struct vhost_ring *r)
{
	const int32_t n = vring_offered(r);

	return n < 0 ? n : n + (int32_t)r->n_again;
}

/** A head that is ours and was not used after all. */
static void
keep(struct vhost_ring *r, uint16_t head)
{
	r->heads[head].state = HEAD_FETCHED;
	r->again[r->n_again++] = head;
}

/** Take a head and read its chain behind the first `used` spans. As vring_walk(); -1: none. */
static inline int
next_chain(struct vhost_session *s, unsigned int used, uint16_t *head, uint64_t *total)
{
	const int32_t next = next_head(&s->rx);
	int n;

	if (next < 0)
		return next;
	*head = (uint16_t)next;
	s->rx.heads[next].state = HEAD_FETCHED;
	n = vring_walk(&s->rx, *head, s->spans + used, VRING_MAX_SPANS - used, total);
	if (unlikely(n < 0))
		keep(&s->rx, *head);
	return n;
}

/* ---- lending ---- */

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
	const int n = next_chain(s, 0, &head, &total);

	if (unlikely(n < 0)) {
		if (n < -1)
			vhost_break(q, s, n);
		return LEND_END;
	}
	h = &s->rx.heads[head];
	if (!fit_to_lend(s, h, (unsigned int)n, total, &first)) {
		keep(&s->rx, head);
		return LEND_UNFIT;
	}
	n_segs = cover_segs(s->spans + first, (unsigned int)n - first);
	if (n_segs >
		RTE_MIN(quota, s->mergeable ? LEND_MAX_SEGS_MERGEABLE : (uint32_t)LEND_MAX_SEGS)) {
		keep(&s->rx, head);
		return LEND_UNFIT;
	}
	if (s->rx.out_segs + n_segs > quota)
		*buf = NULL;
	else if (likely(n_segs == 1))
		*buf = cover_one(q, &s->rx, h, s->spans + first);
	else
		*buf = cover(q, &s->rx, h, s->spans + first, (unsigned int)n - first, n_segs);
	if (*buf == NULL) {
		keep(&s->rx, head);
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

/* ---- publishing a filled frame where it is ---- */

/**
 * One head's part of a frame: its mbufs from `m` on, filled without a gap, and nobody else's.
 * @param len receives the bytes
 * @return the first mbuf after it (NULL: none left) through *next; false: not as it was lent
 */
static bool
one_part(const struct vhost_ring *r, const struct vring_head *h, struct rte_mbuf *m, bool first,
	uint32_t *len, struct rte_mbuf **next)
{
	struct rte_mbuf *prev;
	uint16_t count = 1;

	if (h->state != HEAD_LENT || m->buf_addr != h->buf ||
		m->data_off != (first ? h->data_off : 0) || rte_mbuf_refcnt_read(m) != 1)
		return false;
	/* The payload of a later buffer begins where a header would lie. */
	if (!first && h->buf != h->hdr)
		return false;
	*len = m->data_len;
	for (prev = m, m = m->next; m && vring_head_of(r, m) == h; prev = m, m = m->next) {
		if (rte_mbuf_refcnt_read(m) != 1)
			return false;
		if (m->data_len &&
			(m->data_off != 0 || prev->data_off + prev->data_len != prev->buf_len))
			return false;
		*len += m->data_len;
		count++;
	}
	*next = m;
	/* Parts of this buffer in other hands: it cannot be given away yet. */
	return *len && rte_mbuf_ext_refcnt_read(&h->shinfo) == count;
}

/** @return heads of a frame that lies in lent buffers as it should, 0: it must be copied */
static unsigned int
parts_of(struct vhost_session *s, struct rte_mbuf *m)
{
	const unsigned int max = s->mergeable ? VRING_MAX_HEADS : 1;
	unsigned int n = 0;

	while (m) {
		const struct vring_head *h = vring_head_of(&s->rx, m);

		if (h == NULL || n == max || !one_part(&s->rx, h, m, n == 0, &s->lens[n], &m))
			return 0;
		s->ids[n++] = h->number;
	}
	return n;
}

/** The mbufs of a published frame are kept to be lent again, as many as there may be. */
static void
keep_mbufs(struct vport_queue *q, struct vhost_ring *r, struct rte_mbuf *m)
{
	const uint32_t quota = vhost_ext_quota(q);
	struct rte_mbuf *next;

	for (; m; m = next) {
		next = m->next;
		if (likely(r->n_spare < VRING_SPARES && r->out_segs + r->n_spare < quota))
			r->spare[r->n_spare++] = m;
		else
			vring_return_mbuf(m);
	}
}

static void
publish(struct vport_queue *q, struct vhost_session *s, struct rte_mbuf *m, unsigned int n_heads,
	struct virtio_net_hdr_mrg_rxbuf *hdr)
{
	struct vring_head *heads = s->rx.heads;

	hdr->num_buffers = (uint16_t)n_heads;
	/* Both of a length that is known here: no call. */
	if (likely(s->hdr_bytes == sizeof(*hdr)))
		memcpy(heads[s->ids[0]].hdr, hdr, sizeof(*hdr));
	else
		memcpy(heads[s->ids[0]].hdr, hdr, sizeof(hdr->hdr));
	for (unsigned int i = 0; i < n_heads; i++) {
		vring_use(&s->rx, s->ids[i], s->lens[i] + (i ? 0 : s->hdr_bytes));
		vring_take_in(&s->rx, &heads[s->ids[i]]);
	}
	keep_mbufs(q, &s->rx, m);
}

/* ---- copying ---- */

/** A frame that is being laid into spans. */
struct scatter {
	const struct vhost_session *s;
	const struct vring_span *span;
	uint32_t off; /**< in span */
};

static void
scatter(struct scatter *sc, const void *from, uint32_t len)
{
	const uint8_t *at = from;

	while (len) {
		uint32_t part;

		if (sc->off == sc->span->len) {
			sc->span++;
			sc->off = 0;
			continue;
		}
		part = RTE_MIN(len, sc->span->len - sc->off);
		memmove(sc->span->addr + sc->off, at, part);
		if (unlikely(sc->s->log != NULL))
			guestlog_write(sc->s->log, sc->span->gpa + sc->off, part);
		sc->off += part;
		at += part;
		len -= part;
	}
}

enum copy_result {
	COPY_DONE,
	COPY_NO_BUFFER,
	COPY_TOO_BIG,
	COPY_BROKEN,
};

/** Take heads until there is room for `need` bytes. ids and lens (room of each) are set. */
static enum copy_result
gather(struct vport_queue *q, struct vhost_session *s, uint64_t need, unsigned int *n_heads)
{
	const unsigned int max = s->mergeable ? VRING_MAX_HEADS : 1;
	unsigned int n_spans = 0;
	uint64_t have = 0;

	for (*n_heads = 0; have < need; (*n_heads)++) {
		uint64_t total;
		uint16_t head;
		int n;

		if (*n_heads == max)
			return COPY_TOO_BIG;
		n = next_chain(s, n_spans, &head, &total);
		if (n == -1) {
			/* The whole ring was not enough: it never will be. */
			return *n_heads == s->rx.size ? COPY_TOO_BIG : COPY_NO_BUFFER;
		}
		if (n == -(int)VPORT_COUNT_RING_BAD_CHAIN && n_spans)
			return COPY_TOO_BIG; /* more pieces than we keep, or met again on its own */
		if (n >= 0 && total < (*n_heads ? 1 : s->hdr_bytes)) {
			keep(&s->rx, head);
			n = -(int)VPORT_COUNT_RING_BAD_CHAIN;
		}
		if (n < 0) {
			vhost_break(q, s, n);
			return COPY_BROKEN;
		}
		s->ids[*n_heads] = head;
		s->lens[*n_heads] = (uint32_t)RTE_MIN(total, (uint64_t)UINT32_MAX);
		n_spans += (unsigned int)n;
		have += total;
	}
	return COPY_DONE;
}

/** All of it goes into the first span. */
static void
copy_flat(const struct vhost_session *s, const struct rte_mbuf *m,
	const struct virtio_net_hdr_mrg_rxbuf *hdr, uint32_t bytes)
{
	uint8_t *at = s->spans[0].addr;

	if (likely(m->nb_segs == 1 && RTE_MBUF_DIRECT(m) && rte_mbuf_refcnt_read(m) == 1 &&
		    rte_pktmbuf_headroom(m) >= s->hdr_bytes)) {
		uint8_t *front = rte_pktmbuf_mtod_offset(m, uint8_t *, -(int)s->hdr_bytes);

		memcpy(front, hdr, s->hdr_bytes);
		memcpy(at, front, bytes);
	} else {
		memcpy(at, hdr, s->hdr_bytes);
		at += s->hdr_bytes;
		/* A frame in guest memory may lie where the guest wants it copied to. */
		for (; m; m = m->next) {
			memmove(at, rte_pktmbuf_mtod(m, const void *), m->data_len);
			at += m->data_len;
		}
	}
	if (unlikely(s->log != NULL))
		guestlog_write(s->log, s->spans[0].gpa, bytes);
}

static enum copy_result
copy(struct vport_queue *q, struct vhost_session *s, const struct rte_mbuf *m,
	struct virtio_net_hdr_mrg_rxbuf *hdr)
{
	struct scatter sc = { .s = s, .span = s->spans };
	uint64_t left = (uint64_t)m->pkt_len + s->hdr_bytes;
	unsigned int n_heads;
	const enum copy_result result = gather(q, s, left, &n_heads);

	if (result != COPY_DONE) {
		/* In reverse, so that the next frame finds them in the same order. */
		while (n_heads)
			keep(&s->rx, s->ids[--n_heads]);
		return result;
	}
	hdr->num_buffers = (uint16_t)n_heads;
	if (likely(left <= s->spans[0].len)) {
		copy_flat(s, m, hdr, (uint32_t)left);
		vring_use(&s->rx, s->ids[0], (uint32_t)left);
		return COPY_DONE;
	}
	scatter(&sc, hdr, s->hdr_bytes);
	for (; m; m = m->next)
		scatter(&sc, rte_pktmbuf_mtod(m, const void *), m->data_len);
	for (unsigned int i = 0; i < n_heads; i++) {
		const uint32_t len = (uint32_t)RTE_MIN(left, (uint64_t)s->lens[i]);

		vring_use(&s->rx, s->ids[i], len);
		left -= len;
	}
	return COPY_DONE;
}

/* ---- both ---- */

/** What a burst has done, to be counted at its end. */
struct tally {
	uint32_t pkts, zero_copy;
	uint64_t bytes;
	struct rte_mbuf *copied[VPORT_BURST]; /**< to be freed together */
	uint32_t n_copied;
};

/** @return false: the guest has no buffer for it, or cannot be served any more */
static bool
send_frame(struct vport_queue *q, struct vhost_session *s, struct rte_mbuf *m, struct tally *t)
{
	struct virtio_net_hdr_mrg_rxbuf hdr;
	const uint32_t bytes = m->pkt_len;
	unsigned int n_heads;

	if (!vnet_to_guest(&hdr.hdr, m, s->offloads))
		goto too_big;
	n_heads = parts_of(s, m);
	if (n_heads) {
		publish(q, s, m, n_heads, &hdr);
		t->zero_copy++;
	} else {
		switch (copy(q, s, m, &hdr)) {
		case COPY_DONE:
			t->copied[t->n_copied++] = m;
			break;
		case COPY_TOO_BIG:
			goto too_big;
		case COPY_NO_BUFFER:
		case COPY_BROKEN:
			return false;
		}
	}
	t->pkts++;
	t->bytes += bytes;
	return true;
too_big:
	vport_count(q, VPORT_COUNT_TX_TOO_BIG, 1);
	rte_pktmbuf_free(m);
	return true;
}

uint16_t
vring_tx_burst(struct vport_queue *q, struct rte_mbuf **frames, uint16_t n)
{
	struct vhost_session *s = vhost_session(q);
	struct tally t;
	uint16_t sent;

	t.pkts = 0;
	t.zero_copy = 0;
	t.bytes = 0;
	t.n_copied = 0;
	n = RTE_MIN(n, VPORT_BURST);

	vring_drain(&s->rx);
	if (unlikely(!vhost_memory_ok(q, s)))
		return 0;
	vring_look_ahead(&s->rx, n);
	for (sent = 0; sent < n; sent++) {
		if (!send_frame(q, s, frames[sent], &t))
			break;
	}
	rte_pktmbuf_free_bulk(t.copied, t.n_copied);
	vport_count(q, VPORT_COUNT_TX_PKTS, t.pkts);
	vport_count(q, VPORT_COUNT_TX_BYTES, t.bytes);
	vport_count(q, VPORT_COUNT_TX_ZERO_COPY, t.zero_copy);
	if (sent < n)
		vport_count(q, VPORT_COUNT_TX_NO_BUFFER, n - sent);
	return sent;
}
