/* SPDX-License-Identifier: BSD-3-Clause */
#include "gen.h"

#include <stdlib.h>
#include <string.h>

/** vnet header, Ethernet, IPv4, TCP with options. */
#define HEAD_BYTES (GEN_FRAME_MAX + 16)

static struct vhu_ring *
tx_ring(struct gen *g)
{
	return &g->v->rings[VHU_TX(0)];
}

static struct vhu_ring *
rx_ring(struct gen *g)
{
	return &g->v->rings[VHU_RX(0)];
}

static void
slot_init(struct gen *g, uint16_t i)
{
	struct vring_desc *d = &tx_ring(g)->desc[i * GEN_SLOT_DESCS];
	unsigned int k;

	for (k = 0; k < GEN_SLOT_DESCS; k++)
		d[k].next = (uint16_t)(i * GEN_SLOT_DESCS + k + 1);
	d[0].addr = vhu_gpa(g->v, g->slots[i].head);
	if (!g->whole) {
		d[1].addr = vhu_gpa(g->v, g->payload);
		d[2].addr = vhu_gpa(g->v, g->payload + GEN_HALF_BYTES);
	}
	g->slots[i].next_free = (uint16_t)(i + 1 < g->n_slots ? i + 1 : GEN_NO_SLOT);
}

int
gen_ring_init(struct gen *g)
{
	struct vhu_ring *rx = rx_ring(g);
	unsigned int i;

	g->n_slots = (uint16_t)(tx_ring(g)->size / GEN_SLOT_DESCS);
	g->slots = calloc(g->n_slots, sizeof(*g->slots));
	g->rx_bufs = calloc(rx->size, sizeof(*g->rx_bufs));
	g->payload = vhu_alloc(g->v, 2 * GEN_HALF_BYTES);
	if (g->slots == NULL || g->rx_bufs == NULL || g->payload == NULL)
		return -1;
	for (i = 0; i < g->n_slots; i++) {
		g->slots[i].head =
			vhu_alloc(g->v, HEAD_BYTES + (g->whole ? 2 * GEN_HALF_BYTES : 0));
		if (g->slots[i].head == NULL)
			return -1;
		slot_init(g, (uint16_t)i);
	}
	g->slots_free = g->n_slots;
	for (i = 0; i < rx->size; i++) {
		g->rx_bufs[i] = vhu_alloc(g->v, g->rx_buf_bytes);
		if (g->rx_bufs[i] == NULL)
			return -1;
		rx->desc[i].addr = vhu_gpa(g->v, g->rx_bufs[i]);
		rx->desc[i].len = g->rx_buf_bytes;
		rx->desc[i].flags = VRING_DESC_F_WRITE;
		rx->avail->ring[i] = (uint16_t)i;
	}
	rx->avail_idx = (uint16_t)rx->size;
	gen_ring_flush(g);
	return 0;
}

uint16_t
gen_slot_get(struct gen *g)
{
	const uint16_t slot = g->free_slot;

	if (slot != GEN_NO_SLOT) {
		g->free_slot = g->slots[slot].next_free;
		g->slots_free--;
	}
	return slot;
}

void
gen_slot_send(struct gen *g, uint16_t slot, unsigned int head_bytes, unsigned int payload)
{
	struct vhu_ring *r = tx_ring(g);
	struct vring_desc *d = &r->desc[slot * GEN_SLOT_DESCS];
	const unsigned int half = payload < GEN_HALF_BYTES ? payload : GEN_HALF_BYTES;

	if (g->whole) {
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
	r->avail->ring[r->avail_idx++ & (r->size - 1)] = (uint16_t)(slot * GEN_SLOT_DESCS);
	g->tx_frames++;
}

static void
slots_reap(struct gen *g)
{
	struct vhu_ring *r = tx_ring(g);
	const uint16_t used = __atomic_load_n(&r->used->idx, __ATOMIC_ACQUIRE);

	while (r->last_used != used) {
		const uint32_t id = r->used->ring[r->last_used++ & (r->size - 1)].id;
		const uint16_t slot = (uint16_t)(id / GEN_SLOT_DESCS);

		g->slots[slot].next_free = g->free_slot;
		g->free_slot = slot;
		g->slots_free++;
	}
}

void
gen_ring_flush(struct gen *g)
{
	struct vhu_ring *rx = rx_ring(g);

	/* As a guest that sleeps does: a call for the next frame, which nobody here waits for. */
	if (g->interrupts)
		__atomic_store_n(&rx->avail->ring[rx->size], rx->last_used, __ATOMIC_RELEASE);
	if (tx_ring(g)->avail_idx != tx_ring(g)->published)
		vhu_ring_publish(g->v, tx_ring(g));
	if (rx_ring(g)->avail_idx != rx_ring(g)->published)
		vhu_ring_publish(g->v, rx_ring(g));
	slots_reap(g);
}

unsigned int
gen_ring_poll(struct gen *g, gen_frame_fn fn)
{
	struct vhu_ring *r = rx_ring(g);
	const uint16_t used = __atomic_load_n(&r->used->idx, __ATOMIC_ACQUIRE);
	unsigned int frames = 0;

	while (r->last_used != used && frames < 256) {
		const struct vring_used_elem *first = &r->used->ring[r->last_used & (r->size - 1)];
		struct virtio_net_hdr_mrg_rxbuf hdr;
		const uint8_t *buf = g->rx_bufs[first->id & (r->size - 1)];
		uint32_t bytes = 0;
		unsigned int n, k;

		memcpy(&hdr, buf, sizeof(hdr));
		n = (g->v->features & VHU_F_MRG_RXBUF) != 0 ? hdr.num_buffers : 1;
		if (n == 0 || n > (uint16_t)(used - r->last_used))
			break;
		for (k = 0; k < n; k++)
			bytes += r->used->ring[(uint16_t)(r->last_used + k) & (r->size - 1)].len;
		fn(g, buf, bytes - g->v->hdr_bytes);
		for (k = 0; k < n; k++) {
			const uint16_t id =
				(uint16_t)r->used->ring[r->last_used++ & (r->size - 1)].id;

			r->avail->ring[r->avail_idx++ & (r->size - 1)] = id;
		}
		frames++;
	}
	g->rx_frames += frames;
	return frames;
}
