/* SPDX-License-Identifier: BSD-3-Clause */
#include "vhu.h"
#include "vhu_priv.h"

#include <errno.h>
#include <string.h>

#define GUARD_BYTES 37 /* odd, so that segments begin at every alignment */

struct layout {
	struct vhu_seg segs[VHU_MAX_SEGS];
	unsigned int n;
	uint8_t *mem;
	size_t bytes;
};

/*
 * Guest memory for `total` bytes in the shape wished for; segments apart by guard bytes. Splits
 * past the end of a short frame are left out.
 */
static int
lay_out(struct vhu *v, size_t total, const struct vhu_shape *shape, struct layout *l)
{
	unsigned int splits = shape != NULL ? shape->n_split : 0;
	size_t from = 0;
	uint8_t *at;

	if (splits + 1 > VHU_MAX_SEGS || total == 0)
		return -EINVAL;
	for (unsigned int i = 0; i < splits; i++)
		if (shape->split[i] <= (i != 0 ? shape->split[i - 1] : 0))
			return -EINVAL;
	l->bytes = total + (splits + 2) * GUARD_BYTES;
	l->mem = at = vhu_alloc(v, l->bytes);
	if (l->mem == NULL)
		return -ENOBUFS;
	memset(l->mem, VHU_GUARD, l->bytes);
	for (l->n = 0; from < total; l->n++) {
		size_t to =
			l->n < splits && shape->split[l->n] < total ? shape->split[l->n] : total;

		at += GUARD_BYTES;
		l->segs[l->n] = (struct vhu_seg){ at, (uint32_t)(to - from) };
		at += to - from;
		from = to;
	}
	return 0;
}

static bool
guards_hold(const struct vhu_chain *c)
{
	const uint8_t *p = c->data;

	for (unsigned int i = 0; i < c->n_segs; i++) {
		for (; p < c->segs[i].data; p++)
			if (*p != VHU_GUARD)
				return false;
		p += c->segs[i].len;
	}
	for (unsigned int i = 0; i < GUARD_BYTES; i++)
		if (p[i] != VHU_GUARD)
			return false;
	return true;
}

/* A chain over memory that was laid out for it, which it owns from here on. */
static int
post(struct vhu *v, struct vhu_ring *r, const struct layout *l, uint16_t flags, bool indirect)
{
	int head = vhu_ring_chain(v, r, l->segs, l->n, flags, indirect);

	if (head < 0) {
		vhu_free(v, l->mem, l->bytes);
		return head;
	}
	r->chains[head].data = l->mem;
	r->chains[head].data_bytes = l->bytes;
	vhu_ring_avail(r, (uint16_t)head);
	return head;
}

/* ---- sending ---- */

int
vhu_tx_queue(struct vhu *v, unsigned int pair, const struct virtio_net_hdr *hdr, const void *frame,
	size_t len, const struct vhu_shape *shape)
{
	struct vhu_ring *r = &v->rings[VHU_TX(pair)];
	struct virtio_net_hdr_mrg_rxbuf h = { 0 };
	size_t total = v->hdr_bytes + len, from = 0;
	uint8_t *flat = v->frame;
	struct layout l;
	int rc;

	if (total > VHU_FRAME_MAX)
		return -EINVAL;
	if (hdr != NULL)
		h.hdr = *hdr;
	memcpy(flat, &h, v->hdr_bytes);
	memcpy(flat + v->hdr_bytes, frame, len);
	rc = lay_out(v, total, shape, &l);
	if (rc < 0)
		return rc;
	for (unsigned int i = 0; i < l.n; i++) {
		memcpy(l.segs[i].data, flat + from, l.segs[i].len);
		from += l.segs[i].len;
	}
	rc = post(v, r, &l, 0, shape != NULL && shape->indirect);
	return rc < 0 ? rc : 0;
}

void
vhu_tx_flush(struct vhu *v, unsigned int pair)
{
	vhu_ring_publish(v, &v->rings[VHU_TX(pair)]);
}

unsigned int
vhu_tx_reap(struct vhu *v, unsigned int pair)
{
	struct vhu_ring *r = &v->rings[VHU_TX(pair)];
	struct vring_used_elem e;
	unsigned int n = 0;

	while (vhu_ring_peek(v, r, 0, &e) == 1) {
		if (e.len != 0)
			vhu_violate(v, "tx ring %u: used length %u", r->index, e.len);
		vhu_ring_used(v, r, &e);
		n++;
	}
	return n;
}

int
vhu_tx(struct vhu *v, unsigned int pair, const struct virtio_net_hdr *hdr, const void *frame,
	size_t len, const struct vhu_shape *shape)
{
	uint64_t deadline = vhu_now_ms() + (unsigned int)v->conf.timeout_ms;
	int rc;

	vhu_tx_reap(v, pair);
	while ((rc = vhu_tx_queue(v, pair, hdr, frame, len, shape)) == -ENOBUFS) {
		uint64_t now = vhu_now_ms();

		vhu_tx_flush(v, pair);
		if (now >= deadline ||
			!vhu_ring_wait_used(v, &v->rings[VHU_TX(pair)], (int)(deadline - now)))
			return -ENOBUFS;
		vhu_tx_reap(v, pair);
	}
	vhu_tx_flush(v, pair);
	return rc;
}

bool
vhu_tx_drain(struct vhu *v, unsigned int pair, int timeout_ms)
{
	uint64_t deadline = vhu_now_ms() + (unsigned int)timeout_ms;
	struct vhu_ring *r = &v->rings[VHU_TX(pair)];

	for (;;) {
		uint64_t now;

		vhu_tx_reap(v, pair);
		if (r->last_used == r->published)
			return true;
		now = vhu_now_ms();
		if (now >= deadline || !vhu_ring_wait_used(v, r, (int)(deadline - now)))
			return false;
	}
}

/* ---- receiving ---- */

unsigned int
vhu_rx_post(struct vhu *v, unsigned int pair, size_t bytes, unsigned int count,
	const struct vhu_shape *shape, bool repost)
{
	struct vhu_ring *r = &v->rings[VHU_RX(pair)];
	unsigned int done = 0;
	struct layout l;

	for (; done < count; done++) {
		int head;

		if (lay_out(v, bytes, shape, &l) < 0)
			break;
		head = post(v, r, &l, VRING_DESC_F_WRITE, shape != NULL && shape->indirect);
		if (head < 0)
			break;
		r->chains[head].repost = repost;
	}
	vhu_ring_publish(v, r);
	return done;
}

/* One used element's bytes to the assembly at `at`; the buffer is put back or given up. */
static ssize_t
take_buffer(struct vhu *v, struct vhu_ring *r, struct vring_used_elem *e, size_t at)
{
	struct vhu_chain *c = e->id < r->size ? &r->chains[e->id] : NULL;
	size_t room = 0, left = e->len;
	uint16_t head = (uint16_t)e->id;

	if (c == NULL || c->n_desc == 0) {
		vhu_violate(v, "rx ring %u: used id %u was not available", r->index, e->id);
		return -EPROTO;
	}
	for (unsigned int i = 0; i < c->n_segs; i++)
		room += c->segs[i].len;
	if (e->len > room || at + e->len > VHU_FRAME_MAX)
		vhu_violate(
			v, "rx ring %u: used length %u of a buffer of %zu", r->index, e->len, room);
	else if (c->data != NULL && !guards_hold(c))
		vhu_violate(v, "rx ring %u: bytes written outside of the buffer", r->index);
	if (vhu_violation(v) != NULL)
		return -EPROTO;
	for (unsigned int i = 0; i < c->n_segs && left != 0; i++) {
		size_t n = left < c->segs[i].len ? left : c->segs[i].len;

		memcpy(v->frame + at, c->segs[i].data, n);
		at += n;
		left -= n;
	}
	r->last_used++;
	r->used_chains++;
	if (c->repost)
		vhu_ring_avail(r, head);
	else
		vhu_ring_release(v, r, head);
	return (ssize_t)e->len;
}

static int
take_rest(struct vhu *v, struct vhu_ring *r, struct vhu_frame *f, size_t len)
{
	bool merge = v->features & VHU_F_MRG_RXBUF;
	/* Without MRG_RXBUF the field says nothing, and back-ends leave it as it was. */
	unsigned int n = merge ? f->hdr.num_buffers : 1;

	if (n == 0) {
		vhu_violate(v, "rx ring %u: num_buffers %u", r->index, n);
		return -EPROTO;
	}
	for (unsigned int i = 1; i < n; i++) {
		struct vring_used_elem e;
		int rc = vhu_ring_peek(v, r, 0, &e);
		ssize_t got;

		if (rc == 0) {
			vhu_violate(v, "rx ring %u: %u buffers of %u are there", r->index, i, n);
			return -EPROTO;
		}
		got = rc < 0 ? rc : take_buffer(v, r, &e, len);
		if (got < 0)
			return (int)got;
		len += (size_t)got;
	}
	f->n_buffers = n;
	f->data = v->frame + v->hdr_bytes;
	f->len = len - v->hdr_bytes;
	return 1;
}

static int
take_frame(struct vhu *v, unsigned int pair, struct vhu_frame *f)
{
	struct vhu_ring *r = &v->rings[VHU_RX(pair)];
	struct vring_used_elem e;
	int rc = vhu_ring_peek(v, r, 0, &e);
	ssize_t len;

	if (rc <= 0)
		return rc;
	len = take_buffer(v, r, &e, 0);
	if (len < 0)
		return (int)len;
	if ((size_t)len < v->hdr_bytes) {
		vhu_violate(v, "rx ring %u: %zd bytes are no vnet header", r->index, len);
		return -EPROTO;
	}
	memset(f, 0, sizeof(*f));
	memcpy(&f->hdr, v->frame, v->hdr_bytes);
	f->pair = pair;
	rc = take_rest(v, r, f, (size_t)len);
	vhu_ring_publish(v, r);
	return rc;
}

int
vhu_rx_poll(struct vhu *v, unsigned int pair, int timeout_ms, struct vhu_frame *frame)
{
	unsigned int first = pair == VHU_ANY ? 0 : pair;
	unsigned int n = pair == VHU_ANY ? v->conf.pairs : 1;
	struct vhu_ring *rings[VHU_MAX_RINGS];

	if (vhu_violation(v) != NULL)
		return -EPROTO;
	for (unsigned int i = 0; i < n; i++)
		rings[i] = &v->rings[VHU_RX(first + i)];
	for (int pass = 0; pass < 2; pass++) {
		for (unsigned int i = 0; i < n; i++) {
			int rc = take_frame(v, first + i, frame);

			if (rc != 0)
				return rc;
		}
		if (pass == 0 && (timeout_ms <= 0 || !vhu_ring_wait_any(v, rings, n, timeout_ms)))
			break;
	}
	return 0;
}
