/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The split rings of drivers/vhost over a guest memory that the input fills as it likes: tables,
 * indices, indirect tables, frames. What lies around guest memory cannot be touched; of guest
 * memory only what the guest offered is written; every head is free, out, waiting or used at any
 * time; all mbufs come back. See world.h.
 *
 * Input: features, sizes, places and indices of the rings, then steps: a byte with the step in its
 * low nibble and the ring in bit 4.
 */
#include "world.h"

#define STEPS_MAX 300

/* ---- what the guest does ---- */

/** An address: in a region, near the end of one, or anywhere. */
static uint64_t
tape_addr(struct world *w)
{
	const uint8_t how = fuzz_u8(w->tape);
	const unsigned int r = how % WORLD_REGIONS;

	switch (how >> 4) {
	case 0:
		return world_layout[r].gpa + world_layout[r].bytes - fuzz_u8(w->tape);
	case 1:
		return (uint64_t)fuzz_u32(w->tape) << 32 | fuzz_u32(w->tape);
	default:
		return world_layout[r].gpa + fuzz_u16(w->tape) % world_layout[r].bytes;
	}
}

static void
put_desc(struct world *w, unsigned int ring, uint16_t i, const struct vring_desc *d)
{
	world_put(w, w->place[ring][0] + (uint64_t)(i % w->size[ring]) * sizeof(*d), d, sizeof(*d));
}

/** Offer a head, whatever lies there. */
static void
offer(struct world *w, unsigned int ring, uint16_t head)
{
	uint8_t *avail = world_memory[0] + w->place[ring][1];
	uint16_t idx;

	memcpy(&idx, avail + 2, sizeof(idx));
	memcpy(avail + 4 + (idx % w->size[ring]) * 2, &head, sizeof(head));
	idx++;
	memcpy(avail + 2, &idx, sizeof(idx));
}

static void
step_write(struct world *w)
{
	uint8_t bytes[256];
	const uint64_t gpa = tape_addr(w);
	const size_t n = fuzz_bytes(w->tape, bytes, fuzz_u8(w->tape));

	world_put(w, gpa, bytes, n);
}

static void
step_desc(struct world *w, unsigned int ring)
{
	struct vring_desc d;
	const uint8_t i = fuzz_u8(w->tape);
	uint64_t table = UINT64_MAX;

	d.flags = fuzz_u8(w->tape);
	if ((d.flags & 0x80) != 0)
		table = tape_addr(w);
	d.addr = tape_addr(w);
	d.len = (d.flags & 0x40) != 0 ? fuzz_u32(w->tape) : fuzz_u16(w->tape);
	d.next = fuzz_u8(w->tape);
	d.flags &= 0x3f;
	if (table != UINT64_MAX)
		world_put(w, table + (uint64_t)(i % 16) * sizeof(d), &d, sizeof(d));
	else
		put_desc(w, ring, i, &d);
}

/** A chain as a driver would make it, its bytes in region 2. */
static void
step_chain(struct world *w, unsigned int ring)
{
	const uint8_t n = 1 + fuzz_u8(w->tape) % 8, how = fuzz_u8(w->tape);
	const uint32_t len = fuzz_u16(w->tape), at = (uint32_t)fuzz_u8(w->tape) * 64;
	const uint16_t head = w->next_desc[ring];
	uint8_t header[12] = { 0 };

	if ((how & 1) != 0)
		fuzz_bytes(w->tape, header, sizeof(header));
	world_put(w, world_layout[2].gpa + at, header, sizeof(header));
	for (uint8_t i = 0; i < n; i++) {
		const uint32_t from = len * i / n, to = len * (i + 1u) / n;
		struct vring_desc d = { .addr = world_layout[2].gpa + at + from, .len = to - from };

		d.flags = (uint16_t)((ring == 1 ? VRING_DESC_F_WRITE : 0) |
			(i + 1 < n ? VRING_DESC_F_NEXT : 0));
		d.next = (uint16_t)((head + i + 1) % w->size[ring]);
		put_desc(w, ring, (uint16_t)(head + i), &d);
	}
	w->next_desc[ring] = (uint16_t)((head + n) % w->size[ring]);
	offer(w, ring, head);
}

/* ---- what the worker does ---- */

/** A frame from the guest: whole, and nowhere but in pools and guest memory. */
static void
check_frame(const struct rte_mbuf *m)
{
	uint32_t len = 0, segs = 0, sum = 0;

	FUZZ_CHECK(m->data_len >= RTE_MIN(m->pkt_len, (uint32_t)VPORT_HEAD_BYTES),
		"%u bytes of %u in the first segment", m->data_len, m->pkt_len);
	for (const struct rte_mbuf *at = m; at != NULL; at = at->next, segs++) {
		const uint8_t *bytes = rte_pktmbuf_mtod(at, const uint8_t *);
		bool inside = at == m;

		for (unsigned int r = 0; r < WORLD_REGIONS && !inside; r++)
			inside = bytes >= world_memory[r] &&
				bytes + at->data_len <= world_memory[r] + world_layout[r].bytes;
		FUZZ_CHECK(inside, "a segment outside of guest memory");
		for (uint32_t i = 0; i < at->data_len; i++)
			sum += bytes[i];
		len += at->data_len;
	}
	FUZZ_CHECK(len == m->pkt_len && segs == m->nb_segs && len >= 14 && len <= VPORT_FRAME_MAX,
		"a frame of %u bytes in %u segments, sum %u", len, segs, sum);
}

static void
hold(struct world *w, struct rte_mbuf *m, bool keep)
{
	if (keep && w->n_held < WORLD_HELD_MAX)
		w->held[w->n_held++] = m;
	else
		rte_pktmbuf_free(m);
}

static void
step_receive(struct world *w, bool keep, bool starved)
{
	struct rte_mbuf *frames[VPORT_BURST];
	uint16_t n;

	if (!w->q->ready)
		return;
	world_remember(w);
	n = 1 + fuzz_u8(w->tape) % VPORT_BURST;
	if (starved)
		world_starve(w, n / 4);
	n = vring_rx_burst(w->q, frames, n);
	world_feed(w);
	world_check_written(w, 0, false);
	for (uint16_t i = 0; i < n; i++) {
		check_frame(frames[i]);
		hold(w, frames[i], keep);
	}
}

static void
step_lend(struct world *w, bool starved)
{
	struct rte_mbuf *bufs[VPORT_BURST];
	uint16_t n;

	if (!w->q->ready)
		return;
	world_remember(w);
	n = 1 + fuzz_u8(w->tape) % VPORT_BURST;
	if (starved)
		world_starve(w, n / 4);
	n = vring_lend(w->q, bufs, n);
	world_feed(w);
	world_check_written(w, 1, false);
	for (uint16_t i = 0; i < n; i++)
		hold(w, bufs[i], true);
}

/** Fill a chain of buffers with len bytes, the first from its data_off on. @return bytes */
static uint32_t
fill(struct rte_mbuf *m, uint32_t len, bool gaps)
{
	uint32_t done = 0;

	for (struct rte_mbuf *at = m; at != NULL; at = at->next) {
		uint32_t n = RTE_MIN((uint32_t)(at->buf_len - at->data_off), len - done);

		if (gaps)
			n /= 2;
		memset(rte_pktmbuf_mtod(at, uint8_t *), 0x5a, n);
		at->data_len = (uint16_t)n;
		done += n;
	}
	m->pkt_len = done;
	return done;
}

/** Ask for what lib/l4xlate asks of a frame: a checksum, segmentation. */
static void
set_offload(struct rte_mbuf *m, uint8_t how)
{
	if (m->pkt_len < 14 + 20 + 20 || m->data_len < 14 + 20 + 20 || (how & 3) == 0)
		return;
	m->l2_len = 14;
	m->l3_len = 20;
	m->l4_len = 20;
	m->ol_flags |= RTE_MBUF_F_TX_IPV4 |
		((how & 3) == 1 ? RTE_MBUF_F_TX_UDP_CKSUM : RTE_MBUF_F_TX_TCP_CKSUM);
	if ((how & 3) == 3) {
		m->ol_flags |= RTE_MBUF_F_TX_TCP_SEG;
		m->tso_segsz = 1400;
	}
}

/** A lent buffer, or two in a row, or a frame of our own. NULL: there is none. */
static struct rte_mbuf *
make_frame(struct world *w, uint8_t how, uint32_t len)
{
	struct rte_mbuf *m, *next;

	if ((how & 0x10) == 0) {
		m = rte_pktmbuf_alloc(world_pool);
		if (m == NULL)
			return NULL;
		next = (how & 0x20) != 0 ? rte_pktmbuf_alloc(world_pool) : NULL;
	} else {
		if (w->n_held == 0 || vring_head_of(&w->s->tx, w->held[w->n_held - 1]) ||
			w->held[w->n_held - 1]->pkt_len != 0)
			return NULL;
		m = w->held[--w->n_held];
		next = NULL;
		if ((how & 0x20) != 0 && w->n_held > 0 && w->held[w->n_held - 1]->pkt_len == 0)
			next = w->held[--w->n_held];
	}
	if (next != NULL) {
		next->data_off = 0;
		rte_pktmbuf_lastseg(m)->next = next;
		m->nb_segs += next->nb_segs;
	}
	if (fill(m, len, (how & 0x40) != 0) >= 14) {
		set_offload(m, how >> 2);
		return m;
	}
	rte_pktmbuf_free(m);
	return NULL;
}

static void
step_send(struct world *w)
{
	const uint8_t how = fuzz_u8(w->tape);
	const uint32_t len = fuzz_u16(w->tape);
	struct rte_mbuf *m;

	if (!w->q->ready)
		return;
	m = make_frame(w, how, len);
	if (m == NULL)
		return;
	world_remember(w);
	if (vring_tx_burst(w->q, &m, 1) == 0)
		rte_pktmbuf_free(m);
	world_check_written(w, 1, true);
}

static void
step_index(struct world *w, unsigned int ring)
{
	const uint16_t idx = fuzz_u16(w->tape);

	memcpy(world_memory[0] + w->place[ring][1] + 2, &idx, sizeof(idx));
}

static void
step_notify(struct world *w, bool flush, bool arm)
{
	if (!w->q->ready)
		return;
	if (flush)
		vhost_queue_flush(w->q);
	else if (arm)
		vhost_queue_arm(w->q);
	else
		vhost_queue_disarm(w->q);
}

static void
step(struct world *w)
{
	const uint8_t what = fuzz_u8(w->tape);
	const unsigned int ring = what >> 4 & 1;

	switch (what & 15) {
	case 0:
	case 1:
		step_chain(w, ring);
		break;
	case 2:
		step_desc(w, ring);
		break;
	case 3:
		offer(w, ring, fuzz_u8(w->tape));
		break;
	case 4:
		step_write(w);
		break;
	case 5:
		step_index(w, ring);
		break;
	case 6:
	case 7:
		step_receive(w, (what & 0x20) != 0, (what & 0x40) != 0);
		break;
	case 8:
		step_lend(w, (what & 0x40) != 0);
		break;
	case 9:
	case 10:
		step_send(w);
		break;
	case 11:
		world_free_held(w, what >> 4);
		break;
	case 12:
	case 13:
		step_notify(w, (what & 1) == 0, ring == 0);
		break;
	case 14:
		world_restart(w);
		break;
	default:
		if (what == 0xff)
			atomic_store(&w->mem.lost, true);
		break;
	}
	world_check_heads(w);
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	world_init();
	return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_tape tape = { data, data + size };
	struct world *w = world_begin(&tape);

	for (unsigned int i = 0; i < STEPS_MAX && fuzz_left(&tape) > 0; i++)
		step(w);
	world_end(w);
	return 0;
}
