/* SPDX-License-Identifier: BSD-3-Clause */
#include "gen.h"

#include <stdlib.h>
#include <string.h>

/** vnet header, Ethernet, IPv4, TCP with options. */
#define HEAD_BYTES (GEN_FRAME_MAX + 16)

static void
slot_init(struct gen_guest *u, struct gen_rings *r, uint16_t i)
{
	struct vring_desc *d = &r->tx->desc[i * GEN_SLOT_DESCS];
	unsigned int k;

	for (k = 0; k < GEN_SLOT_DESCS; k++)
		d[k].next = (uint16_t)(i * GEN_SLOT_DESCS + k + 1);
	d[0].addr = vhu_gpa(u->v, r->slots[i].head);
	if (!u->g->whole) {
		d[1].addr = vhu_gpa(u->v, u->payload);
		d[2].addr = vhu_gpa(u->v, u->payload + GEN_HALF_BYTES);
	}
	r->slots[i].next_free = (uint16_t)(i + 1 < r->n_slots ? i + 1 : GEN_NO_SLOT);
}

static int
slots_init(struct gen_guest *u, struct gen_rings *r)
{
	const size_t bytes = HEAD_BYTES + (u->g->whole ? 2 * GEN_HALF_BYTES : 0);
	unsigned int i;

	r->n_slots = (uint16_t)(r->tx->size / GEN_SLOT_DESCS);
	r->slots = calloc(r->n_slots, sizeof(*r->slots));
	for (i = 0; r->slots != NULL && i < r->n_slots; i++) {
		r->slots[i].head = vhu_alloc(u->v, bytes);
		if (r->slots[i].head == NULL)
			return -1;
		slot_init(u, r, (uint16_t)i);
	}
	u->slots_free += r->n_slots;
	return r->slots != NULL ? 0 : -1;
}

static int
buffers_init(struct gen_guest *u, struct gen_rings *r)
{
	const uint32_t bytes = u->g->rx_buf_bytes;
	unsigned int i;

	r->rx_bufs = calloc(r->rx->size, sizeof(*r->rx_bufs));
	for (i = 0; r->rx_bufs != NULL && i < r->rx->size; i++) {
		r->rx_bufs[i] = vhu_alloc(u->v, bytes);
		if (r->rx_bufs[i] == NULL)
			return -1;
		r->rx->desc[i].addr = vhu_gpa(u->v, r->rx_bufs[i]);
		r->rx->desc[i].len = bytes;
		r->rx->desc[i].flags = VRING_DESC_F_WRITE;
		r->rx->avail->ring[i] = (uint16_t)i;
	}
	r->rx->avail_idx = (uint16_t)r->rx->size;
	return r->rx_bufs != NULL ? 0 : -1;
}

int
gen_ring_init(struct gen_guest *u)
{
	unsigned int i;

	u->payload = vhu_alloc(u->v, 2 * GEN_HALF_BYTES);
	if (u->payload == NULL)
		return -1;
	for (i = 0; i < u->n_pairs; i++) {
		struct gen_rings *r = &u->rings[i];

		r->tx = &u->v->rings[VHU_TX(i)];
		r->rx = &u->v->rings[VHU_RX(i)];
		if (slots_init(u, r) != 0 || buffers_init(u, r) != 0)
			return -1;
	}
	gen_ring_flush(u);
	return 0;
}

void
gen_ring_free(struct gen_guest *u)
{
	unsigned int i;

	for (i = 0; i < u->n_pairs; i++) {
		free(u->rings[i].slots);
		free(u->rings[i].rx_bufs);
	}
}

uint16_t
gen_slot_get(struct gen_guest *u, unsigned int pair)
{
	struct gen_rings *r = &u->rings[pair];
	const uint16_t slot = r->free_slot;

	if (slot != GEN_NO_SLOT) {
		r->free_slot = r->slots[slot].next_free;
		u->slots_free--;
	}
	return slot;
}

void
gen_slot_send(struct gen_guest *u, unsigned int pair, uint16_t slot, unsigned int head_bytes,
	unsigned int payload)
{
	struct vhu_ring *tx = u->rings[pair].tx;
	struct vring_desc *d = &tx->desc[slot * GEN_SLOT_DESCS];
	const unsigned int half = payload < GEN_HALF_BYTES ? payload : GEN_HALF_BYTES;

	if (u->g->whole) {
		d[0].len = head_bytes + payload;
		d[0].flags = 0;
	} else {
		d[0].len = head_bytes;
		d[0].flags = payload != 0 ? VRING_DESC_F_NEXT : 0;
		d[1].len = half;
		d[1].flags = payload > half ? VRING_DESC_F_NEXT : 0;
		d[2].len = payload - half;
		d[2].flags = 0;
	}
	tx->avail->ring[tx->avail_idx++ & (tx->size - 1)] = (uint16_t)(slot * GEN_SLOT_DESCS);
	u->tx_frames++;
}

static void
slots_reap(struct gen_guest *u, struct gen_rings *r)
{
	struct vhu_ring *tx = r->tx;
	const uint16_t used = __atomic_load_n(&tx->used->idx, __ATOMIC_ACQUIRE);

	while (tx->last_used != used) {
		const uint32_t id = tx->used->ring[tx->last_used++ & (tx->size - 1)].id;
		const uint16_t slot = (uint16_t)(id / GEN_SLOT_DESCS);

		r->slots[slot].next_free = r->free_slot;
		r->free_slot = slot;
		u->slots_free++;
	}
}

void
gen_ring_flush(struct gen_guest *u)
{
	unsigned int i;

	for (i = 0; i < u->n_pairs; i++) {
		struct gen_rings *r = &u->rings[i];

		/* As a guest that sleeps: a call for the next frame, which nobody waits for. */
		if (u->g->interrupts)
			__atomic_store_n(&r->rx->avail->ring[r->rx->size], r->rx->last_used,
				__ATOMIC_RELEASE);
		if (r->tx->avail_idx != r->tx->published)
			vhu_ring_publish(u->v, r->tx);
		if (r->rx->avail_idx != r->rx->published)
			vhu_ring_publish(u->v, r->rx);
		slots_reap(u, r);
	}
}

static unsigned int
pair_poll(struct gen_guest *u, unsigned int pair, gen_frame_fn fn)
{
	const struct gen_rings *rings = &u->rings[pair];
	struct vhu_ring *r = rings->rx;
	const uint16_t used = __atomic_load_n(&r->used->idx, __ATOMIC_ACQUIRE);
	unsigned int frames = 0;

	while (r->last_used != used && frames < 256) {
		const struct vring_used_elem *first = &r->used->ring[r->last_used & (r->size - 1)];
		struct virtio_net_hdr_mrg_rxbuf hdr;
		const uint8_t *buf = rings->rx_bufs[first->id & (r->size - 1)];
		uint32_t bytes = 0;
		unsigned int n, k;

		memcpy(&hdr, buf, sizeof(hdr));
		n = (u->v->features & VHU_F_MRG_RXBUF) != 0 ? hdr.num_buffers : 1;
		if (n == 0 || n > (uint16_t)(used - r->last_used))
			break;
		for (k = 0; k < n; k++)
			bytes += r->used->ring[(uint16_t)(r->last_used + k) & (r->size - 1)].len;
		fn(u, buf, bytes - u->v->hdr_bytes, pair);
		for (k = 0; k < n; k++) {
			const uint16_t id =
				(uint16_t)r->used->ring[r->last_used++ & (r->size - 1)].id;

			r->avail->ring[r->avail_idx++ & (r->size - 1)] = id;
		}
		frames++;
	}
	return frames;
}

unsigned int
gen_ring_poll(struct gen_guest *u, gen_frame_fn fn)
{
	unsigned int i, frames = 0;

	for (i = 0; i < u->n_pairs; i++)
		frames += pair_poll(u, i, fn);
	u->rx_frames += frames;
	return frames;
}
