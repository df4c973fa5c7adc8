/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The split rings of drivers/vhost over a guest memory that the input fills as it likes: tables,
 * indices, indirect tables, frames. What lies around guest memory cannot be touched (guard pages);
 * of guest memory only what the guest offered is written; every head is free, out, waiting or used
 * at any time; all mbufs come back.
 *
 * Input: features, sizes and places of the rings, then steps: a byte with the step in its low
 * nibble and the ring (0 guest tx, 1 guest rx) in bit 4.
 */
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <rte_mempool.h>

#include "fuzz.h"
#include "pkt.h"
#include "vhost_priv.h"
#include "xlate.h"

#define PAGE 4096u
#define STEPS_MAX 300
#define REGIONS 4
#define RINGS_BYTES (4 * PAGE) /**< region 0: the rings, in four places */
#define HELD_MAX 256
#define LOG_BYTES 3 /**< fewer than there are pages */

#ifndef VIRTIO_F_VERSION_1
#define VIRTIO_F_VERSION_1 32
#endif

/* The first two touch in the guest's eyes, not in ours; the last ends where addresses do. */
static const struct {
	uint64_t gpa;
	uint32_t bytes;
} layout[REGIONS] = {
	{ 0, RINGS_BYTES },
	{ RINGS_BYTES, 2 * PAGE },
	{ 0x100000, 20 * PAGE },
	{ UINT64_MAX - PAGE + 1, PAGE },
};
#define MEMORY_BYTES (RINGS_BYTES + (2 + 20 + 1) * PAGE)

static uint8_t *regions[REGIONS];
static uint8_t *log_bits;
static struct rte_mempool *pool, *ext_pool;

struct world {
	struct fuzz_tape *tape;
	struct vport vp;
	struct vport_queue *q;
	struct vhost_session *s;
	struct guestmem mem;
	struct guestlog log;
	uint64_t features;
	uint32_t size[2];
	uint32_t place[2][3];   /**< of table, available and used ring in region 0 */
	uint16_t avail_from[2]; /**< indices at the session's start */
	uint16_t used_from[2];
	uint16_t next_desc[2];
	struct rte_mbuf *held[HELD_MAX]; /**< frames from the guest, and lent buffers */
	unsigned int n_held;
	uint8_t before[MEMORY_BYTES];
	uint8_t writable[MEMORY_BYTES]; /**< what the guest has ever offered for writing */
};

/* ---- guest memory ---- */

/** Pages between pages that nobody may touch. */
static uint8_t *
guarded(uint32_t bytes)
{
	uint8_t *p = mmap(NULL, bytes + 2 * PAGE, PROT_NONE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	FUZZ_CHECK(p != MAP_FAILED, "mmap");
	FUZZ_CHECK(mprotect(p + PAGE, bytes, PROT_READ | PROT_WRITE) == 0, "mprotect");
	return p + PAGE;
}

static struct vhost_ring *
ring_of(struct world *w, unsigned int i)
{
	return i == 0 ? &w->s->tx : &w->s->rx;
}

/** Where a byte of region r is in the copies of all memory. */
static uint32_t
place_in_copy(unsigned int r)
{
	uint32_t at = 0;

	while (r-- > 0)
		at += layout[r].bytes;
	return at;
}

static void
remember(struct world *w)
{
	for (unsigned int r = 0; r < REGIONS; r++)
		memcpy(w->before + place_in_copy(r), regions[r], layout[r].bytes);
}

static void
allow(struct world *w, uint64_t gpa, uint64_t len)
{
	while (len > 0) {
		uint64_t n = len;
		uint8_t *at = guestmem_at(&w->mem, gpa, &n);

		if (at == NULL)
			return;
		for (unsigned int r = 0; r < REGIONS; r++)
			if (at >= regions[r] && at < regions[r] + layout[r].bytes)
				memset(w->writable + place_in_copy(r) + (at - regions[r]), 1, n);
		gpa += n;
		len -= n;
	}
}

static void
allow_table(struct world *w, const struct vring_desc *desc, uint32_t n, bool nested)
{
	for (uint32_t i = 0; i < n; i++) {
		struct vring_desc d;

		memcpy(&d, &desc[i], sizeof(d));
		if ((d.flags & VRING_DESC_F_INDIRECT) == 0) {
			allow(w, d.addr, d.len);
		} else if (!nested && d.len <= VPORT_MAX_CHAIN * sizeof(d)) {
			struct vring_desc table[VPORT_MAX_CHAIN];
			uint8_t *to = (uint8_t *)table;
			uint64_t left = d.len, gpa = d.addr, part = left;
			const uint8_t *from;

			while (left > 0 && (from = guestmem_at(&w->mem, gpa, &part)) != NULL) {
				memcpy(to, from, part);
				to += part;
				gpa += part;
				left -= part;
				part = left;
			}
			if (left == 0)
				allow_table(w, table, d.len / sizeof(d), true);
		}
	}
}

/** Nothing has changed since remember() but the used ring, and, if so said, what was offered. */
static void
check_written(struct world *w, unsigned int ring, bool offered)
{
	const uint32_t used = w->place[ring][2];
	const uint32_t used_bytes = sizeof(struct vring_used) + w->size[ring] * 8 + 2;

	for (unsigned int r = 0; r < REGIONS; r++) {
		const uint8_t *was = w->before + place_in_copy(r);

		for (uint32_t i = 0; i < layout[r].bytes; i++) {
			if (was[i] == regions[r][i])
				continue;
			if (r == 0 && i >= used && i - used < used_bytes)
				continue;
			FUZZ_CHECK(offered && w->writable[place_in_copy(r) + i],
				"byte %u of region %u was written", i, r);
		}
	}
}

/* ---- the session ---- */

static void
place_rings(struct world *w)
{
	const bool event = (w->features & VNET_F(VIRTIO_RING_F_EVENT_IDX)) != 0;
	const uint8_t how = fuzz_u8(w->tape);

	for (unsigned int i = 0; i < 2; i++) {
		const uint32_t base = i * (RINGS_BYTES / 2), end = base + RINGS_BYTES / 2;
		const uint32_t size = w->size[i], used = 4 + size * 8 + (event ? 2 : 0);

		w->place[i][0] = base;
		w->place[i][1] = base + size * 16;
		/* Its end at the end of the region, or behind the others. */
		w->place[i][2] = (how >> i & 1) != 0 ? (end - used) & ~3u
						     : RTE_ALIGN(base + size * 19 + 8, 4u);
	}
}

static void
ring_start(struct world *w, unsigned int i, uint16_t avail, uint16_t used)
{
	struct vhost_ring *r = ring_of(w, i);

	r->desc = (const void *)(regions[0] + w->place[i][0]);
	r->avail = (void *)(regions[0] + w->place[i][1]);
	r->used = (void *)(regions[0] + w->place[i][2]);
	r->mem = &w->mem;
	r->log = w->s->log;
	r->used_gpa = w->place[i][2];
	r->size = w->size[i];
	r->event_idx = (w->features & VNET_F(VIRTIO_RING_F_EVENT_IDX)) != 0;
	r->indirect = (w->features & VNET_F(VIRTIO_RING_F_INDIRECT_DESC)) != 0;
	r->write = i == 1;
	r->kick_fd = r->call_fd = -1;
	atomic_init(&r->next_call_fd, VRING_NO_FD);
	r->last_avail = w->avail_from[i] = avail;
	r->used_next = w->used_from[i] = used;
	FUZZ_CHECK(vring_alloc(r) == 0, "no memory");
}

static void
session_start(struct world *w, const uint16_t avail[2], const uint16_t used[2])
{
	struct vhost_session *s = calloc(1, sizeof(*s));
	const bool tso = (vnet_offloads(w->features) & VPORT_OFFLOAD_TSO4) != 0;

	FUZZ_CHECK(s != NULL, "no memory");
	w->s = s;
	s->mem = &w->mem;
	s->log = (w->features & VNET_F(VHOST_F_LOG_ALL)) != 0 ? &w->log : NULL;
	s->features = w->features;
	s->hdr_bytes = vnet_hdr_bytes(w->features);
	s->mergeable = (w->features & VNET_F(VIRTIO_NET_F_MRG_RXBUF)) != 0;
	s->lendable = s->log == NULL;
	s->frame_max = tso ? 65535 + 14 : 1514;
	s->reserve = RTE_MAX(w->size[1] / 8, 8u);
	ring_start(w, 0, avail[0], used[0]);
	ring_start(w, 1, avail[1], used[1]);
	w->q->cur = &s->base;
	w->q->ready = vhost_queue_begin(w->q, &s->base);
	FUZZ_CHECK(w->q->ready, "begin");
}

/** Every head that was taken is somewhere, and only once. */
static void
check_heads(struct world *w, unsigned int i)
{
	const struct vhost_ring *r = ring_of(w, i);
	const uint16_t taken = (uint16_t)(r->last_avail - w->avail_from[i]);
	const uint16_t used = (uint16_t)(r->used_next - w->used_from[i]);
	unsigned int count[HEAD_PUBLISHED + 1] = { 0 };

	for (uint32_t h = 0; h < r->size; h++)
		count[r->heads[h].state]++;
	FUZZ_CHECK(count[HEAD_PUBLISHED] == 0, "heads published and still out");
	FUZZ_CHECK(count[HEAD_FETCHED] == r->n_again, "%u heads wait, of %u", r->n_again,
		count[HEAD_FETCHED]);
	FUZZ_CHECK(count[i == 0 ? HEAD_GUEST_TX : HEAD_LENT] == r->out && r->out <= r->size,
		"%u heads are out, of %u", r->out, count[i == 0 ? HEAD_GUEST_TX : HEAD_LENT]);
	FUZZ_CHECK(taken == (uint16_t)(used + r->out + r->n_again),
		"ring %u: %u heads taken, %u used, %u out, %u wait", i, taken, used, r->out,
		r->n_again);
}

static void
free_held(struct world *w, unsigned int n)
{
	while (n-- > 0 && w->n_held > 0)
		rte_pktmbuf_free(w->held[--w->n_held]);
}

/** Have the session back. Its indices go on in the next one. */
static void
session_end(struct world *w, uint16_t avail[2], uint16_t used[2])
{
	const bool waits = w->s->rx.out + w->s->tx.out > 0;
	bool ended = vhost_queue_end(w->q);

	/* What was freed before may not have been seen yet, so this is one way only. */
	FUZZ_CHECK(ended || waits, "the session cannot end");
	free_held(w, w->n_held);
	if (!ended)
		FUZZ_CHECK(vhost_queue_end(w->q), "the session cannot end");
	for (unsigned int i = 0; i < 2; i++) {
		struct vhost_ring *r = ring_of(w, i);

		check_heads(w, i);
		FUZZ_CHECK(r->n_again == 0 && r->out == 0, "heads are kept");
		avail[i] = r->last_avail;
		used[i] = r->used_next;
		vring_fini(r);
	}
	w->q->cur = NULL;
	w->q->ready = false;
	atomic_store(&w->q->broken, false);
	free(w->s);
	w->s = NULL;
}

/* ---- what the guest does ---- */

/** An address: in a region, near the end of one, or anywhere. */
static uint64_t
tape_addr(struct world *w)
{
	const uint8_t how = fuzz_u8(w->tape);
	const unsigned int r = how % REGIONS;

	switch (how >> 4) {
	case 0:
		return layout[r].gpa + layout[r].bytes - fuzz_u8(w->tape);
	case 1:
		return (uint64_t)fuzz_u32(w->tape) << 32 | fuzz_u32(w->tape);
	default:
		return layout[r].gpa + fuzz_u16(w->tape) % layout[r].bytes;
	}
}

static void
put(struct world *w, uint64_t gpa, const void *bytes, uint64_t len)
{
	const uint8_t *from = bytes;

	while (len > 0) {
		uint64_t n = len;
		uint8_t *to = guestmem_at(&w->mem, gpa, &n);

		if (to == NULL)
			return;
		memcpy(to, from, n);
		from += n;
		gpa += n;
		len -= n;
	}
}

static void
put_desc(struct world *w, unsigned int ring, uint16_t i, const struct vring_desc *d)
{
	put(w, w->place[ring][0] + (uint64_t)(i % w->size[ring]) * sizeof(*d), d, sizeof(*d));
}

/** Offer a head, whatever lies there. */
static void
offer(struct world *w, unsigned int ring, uint16_t head)
{
	uint8_t *avail = regions[0] + w->place[ring][1];
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

	put(w, gpa, bytes, n);
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
		put(w, table + (uint64_t)(i % 16) * sizeof(d), &d, sizeof(d));
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
	put(w, layout[2].gpa + at, header, sizeof(header));
	for (uint8_t i = 0; i < n; i++) {
		const uint32_t from = len * i / n, to = len * (i + 1u) / n;
		struct vring_desc d = { .addr = layout[2].gpa + at + from, .len = to - from };

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

		for (unsigned int r = 0; r < REGIONS && !inside; r++)
			inside = bytes >= regions[r] &&
				bytes + at->data_len <= regions[r] + layout[r].bytes;
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
	if (keep && w->n_held < HELD_MAX)
		w->held[w->n_held++] = m;
	else
		rte_pktmbuf_free(m);
}

static void
step_receive(struct world *w, bool keep)
{
	struct rte_mbuf *frames[VPORT_BURST];
	uint16_t n;

	if (!w->q->ready)
		return;
	remember(w);
	n = vring_rx_burst(w->q, frames, 1 + fuzz_u8(w->tape) % VPORT_BURST);
	check_written(w, 0, false);
	for (uint16_t i = 0; i < n; i++) {
		check_frame(frames[i]);
		hold(w, frames[i], keep);
	}
}

static void
step_lend(struct world *w)
{
	struct rte_mbuf *bufs[VPORT_BURST];
	uint16_t n;

	if (!w->q->ready)
		return;
	allow_table(w, w->s->rx.desc, w->size[1], false);
	remember(w);
	n = vring_lend(w->q, bufs, 1 + fuzz_u8(w->tape) % VPORT_BURST);
	check_written(w, 1, false);
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
		m = rte_pktmbuf_alloc(pool);
		if (m == NULL)
			return NULL;
		next = (how & 0x20) != 0 ? rte_pktmbuf_alloc(pool) : NULL;
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
	allow_table(w, w->s->rx.desc, w->size[1], false);
	remember(w);
	if (vring_tx_burst(w->q, &m, 1) == 0)
		rte_pktmbuf_free(m);
	check_written(w, 1, true);
}

static void
step_restart(struct world *w)
{
	uint16_t avail[2], used[2];

	session_end(w, avail, used);
	session_start(w, avail, used);
}

static void
step(struct world *w)
{
	const uint8_t what = fuzz_u8(w->tape);
	const unsigned int ring = what >> 4 & 1;
	uint16_t idx;

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
		idx = fuzz_u16(w->tape);
		memcpy(regions[0] + w->place[ring][1] + 2, &idx, sizeof(idx));
		break;
	case 6:
	case 7:
		step_receive(w, (what & 0x20) != 0);
		break;
	case 8:
		step_lend(w);
		break;
	case 9:
	case 10:
		step_send(w);
		break;
	case 11:
		free_held(w, what >> 4);
		break;
	case 12:
		if (w->q->ready)
			vhost_queue_flush(w->q);
		break;
	case 13:
		if (w->q->ready && ring == 0)
			vhost_queue_arm(w->q);
		else if (w->q->ready)
			vhost_queue_disarm(w->q);
		break;
	case 14:
		step_restart(w);
		break;
	default:
		if (what == 0xff)
			atomic_store(&w->mem.lost, true);
		break;
	}
	check_heads(w, 0);
	check_heads(w, 1);
}

/* ---- */

static void
world_init(struct world *w)
{
	static const uint8_t bits[] = { VIRTIO_RING_F_EVENT_IDX, VIRTIO_RING_F_INDIRECT_DESC,
		VIRTIO_NET_F_MRG_RXBUF, VIRTIO_F_VERSION_1, VIRTIO_NET_F_CSUM,
		VIRTIO_NET_F_GUEST_CSUM, VIRTIO_NET_F_HOST_TSO4, VHOST_F_LOG_ALL };
	const uint8_t on = fuzz_u8(w->tape);

	for (unsigned int i = 0; i < RTE_DIM(bits); i++)
		w->features |= (on >> i & 1) != 0 ? VNET_F(bits[i]) : 0;
	if ((on & 0x20) != 0)
		w->features |= VNET_F(VIRTIO_NET_F_GUEST_TSO4) | VNET_F(VIRTIO_NET_F_HOST_ECN);
	w->size[0] = 1u << fuzz_u8(w->tape) % 8;
	w->size[1] = 1u << fuzz_u8(w->tape) % 8;
	for (unsigned int r = 0; r < REGIONS; r++) {
		memset(regions[r], 0, layout[r].bytes);
		w->mem.regions[w->mem.n++] = (struct guestmem_region){
			.gpa = layout[r].gpa, .bytes = layout[r].bytes, .host = regions[r]
		};
	}
	w->log.bits = log_bits + PAGE - LOG_BYTES;
	w->log.bytes = LOG_BYTES;
	w->vp.conf.pool = pool;
	w->vp.conf.ext_pool = ext_pool;
	w->q = aligned_alloc(
		RTE_CACHE_LINE_SIZE, RTE_ALIGN_CEIL(sizeof(*w->q), (size_t)RTE_CACHE_LINE_SIZE));
	FUZZ_CHECK(w->q != NULL, "no memory");
	memset(w->q, 0, sizeof(*w->q));
	w->q->vp = &w->vp;
	place_rings(w);
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	l4xkit_eal("fuzz_ring");
	pool = rte_pktmbuf_pool_create(
		"frames", 511, 0, 0, 2048 + RTE_PKTMBUF_HEADROOM, SOCKET_ID_ANY);
	ext_pool = rte_pktmbuf_pool_create("ext", 511, 0, 0, 0, SOCKET_ID_ANY);
	FUZZ_CHECK(pool != NULL && ext_pool != NULL, "no pools");
	for (unsigned int r = 0; r < REGIONS; r++)
		regions[r] = guarded(layout[r].bytes);
	log_bits = guarded(PAGE);
	return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_tape tape = { data, data + size };
	struct world *w = calloc(1, sizeof(*w));
	uint16_t avail[2] = { 0 }, used[2] = { 0 };

	FUZZ_CHECK(w != NULL, "no memory");
	w->tape = &tape;
	world_init(w);
	for (unsigned int i = 0; i < 2; i++) {
		avail[i] = fuzz_u16(&tape);
		memcpy(regions[0] + w->place[i][1] + 2, &avail[i], sizeof(avail[i]));
	}
	session_start(w, avail, used);
	for (unsigned int i = 0; i < STEPS_MAX && fuzz_left(&tape) > 0; i++)
		step(w);
	session_end(w, avail, used);
	FUZZ_CHECK(rte_mempool_in_use_count(pool) + rte_mempool_in_use_count(ext_pool) == 0,
		"mbufs are lost");
	free(w->q);
	free(w);
	return 0;
}
