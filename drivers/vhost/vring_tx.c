/* SPDX-License-Identifier: BSD-3-Clause */
/* Frames to the guest: lent buffers published, and what lies elsewhere copied. */
#include "vhost_priv.h"

#include <string.h>

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
		n = vhost_rx_chain(s, n_spans, &head, &total);
		if (n == -1) {
			/* The whole ring was not enough: it never will be. */
			return *n_heads == s->rx.size ? COPY_TOO_BIG : COPY_NO_BUFFER;
		}
		if (n == -(int)VPORT_COUNT_RING_BAD_CHAIN && n_spans)
			return COPY_TOO_BIG; /* more pieces than we keep, or met again on its own */
		if (n >= 0 && total < (*n_heads ? 1 : s->hdr_bytes)) {
			vhost_rx_keep(&s->rx, head);
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
			vhost_rx_keep(&s->rx, s->ids[--n_heads]);
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
