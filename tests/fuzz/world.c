/* SPDX-License-Identifier: BSD-3-Clause */
#include "world.h"

#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include <l4xkit.h>

#include <rte_mempool.h>

#define LOG_BYTES 3 /**< fewer than there are pages */

#ifndef VIRTIO_F_VERSION_1
#define VIRTIO_F_VERSION_1 32
#endif

/* The first two touch in the guest's eyes, not in ours; the last ends where addresses do. */
const struct world_region world_layout[WORLD_REGIONS] = {
	{ 0, WORLD_RINGS_BYTES },
	{ WORLD_RINGS_BYTES, 2 * WORLD_PAGE },
	{ 0x100000, 20 * WORLD_PAGE },
	{ UINT64_MAX - WORLD_PAGE + 1, WORLD_PAGE },
};

uint8_t *world_memory[WORLD_REGIONS];
struct rte_mempool *world_pool, *world_ext_pool;
static uint8_t *log_bits;

/* ---- guest memory ---- */

/** Pages between pages that nobody may touch. */
static uint8_t *
guarded(uint32_t bytes)
{
	uint8_t *p = mmap(NULL, bytes + 2 * WORLD_PAGE, PROT_NONE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	FUZZ_CHECK(p != MAP_FAILED, "mmap");
	FUZZ_CHECK(mprotect(p + WORLD_PAGE, bytes, PROT_READ | PROT_WRITE) == 0, "mprotect");
	return p + WORLD_PAGE;
}

struct vhost_ring *
world_ring(struct world *w, unsigned int i)
{
	return i == 0 ? &w->s->tx : &w->s->rx;
}

/** Where a byte of region r is in the copies of all memory. */
static uint32_t
place_in_copy(unsigned int r)
{
	uint32_t at = 0;

	while (r-- > 0)
		at += world_layout[r].bytes;
	return at;
}

static void
allow(struct world *w, uint64_t gpa, uint64_t len)
{
	while (len > 0) {
		uint64_t n = len;
		uint8_t *at = guestmem_at(&w->mem, gpa, &n);

		if (at == NULL)
			return;
		for (unsigned int r = 0; r < WORLD_REGIONS; r++)
			if (at >= world_memory[r] && at < world_memory[r] + world_layout[r].bytes)
				memset(w->writable + place_in_copy(r) + (at - world_memory[r]), 1,
					n);
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
			if ((d.flags & VRING_DESC_F_WRITE) != 0)
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

void
world_remember(struct world *w)
{
	allow_table(w, w->s->rx.desc, w->size[1], false);
	for (unsigned int r = 0; r < WORLD_REGIONS; r++)
		memcpy(w->before + place_in_copy(r), world_memory[r], world_layout[r].bytes);
}

void
world_check_written(struct world *w, unsigned int ring, bool offered)
{
	const uint32_t used = w->place[ring][2];
	const uint32_t used_bytes = sizeof(struct vring_used) + w->size[ring] * 8 + 2;

	for (unsigned int r = 0; r < WORLD_REGIONS; r++) {
		const uint8_t *was = w->before + place_in_copy(r);

		if (memcmp(was, world_memory[r], world_layout[r].bytes) == 0)
			continue;
		for (uint32_t i = 0; i < world_layout[r].bytes; i++) {
			if (was[i] == world_memory[r][i])
				continue;
			if (r == 0 && i >= used && i - used < used_bytes)
				continue;
			FUZZ_CHECK(offered && w->writable[place_in_copy(r) + i],
				"byte %u of region %u was written", i, r);
		}
	}
}

void
world_put(struct world *w, uint64_t gpa, const void *bytes, uint64_t len)
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

/* ---- the session ---- */

static void
place_rings(struct world *w)
{
	const bool event = (w->features & VNET_F(VIRTIO_RING_F_EVENT_IDX)) != 0;
	const uint8_t how = fuzz_u8(w->tape);

	w->with_fds = (how & 4) != 0;
	for (unsigned int i = 0; i < 2; i++) {
		const uint32_t base = i * (WORLD_RINGS_BYTES / 2),
			       end = base + WORLD_RINGS_BYTES / 2;
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
	struct vhost_ring *r = world_ring(w, i);

	r->desc = (const void *)(world_memory[0] + w->place[i][0]);
	r->avail = (void *)(world_memory[0] + w->place[i][1]);
	r->used = (void *)(world_memory[0] + w->place[i][2]);
	r->mem = &w->mem;
	r->log = w->s->log;
	r->used_gpa = w->place[i][2];
	r->size = w->size[i];
	r->event_idx = (w->features & VNET_F(VIRTIO_RING_F_EVENT_IDX)) != 0;
	r->indirect = (w->features & VNET_F(VIRTIO_RING_F_INDIRECT_DESC)) != 0;
	r->write = i == 1;
	r->kick_fd = w->with_fds ? eventfd(0, EFD_CLOEXEC) : -1;
	r->call_fd = w->with_fds ? eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) : -1;
	atomic_init(&r->next_call_fd, VRING_NO_FD);
	r->last_avail = w->avail_from[i] = avail;
	r->used_next = w->used_from[i] = used;
	FUZZ_CHECK(vring_alloc(r) == 0, "no memory");
}

static void
session_start(struct world *w, const uint16_t avail[2], const uint16_t used[2])
{
	struct vhost_session *s = vport_lines_zalloc(sizeof(*s));

	FUZZ_CHECK(s != NULL, "no memory");
	w->s = s;
	s->mem = &w->mem;
	s->log = (w->features & VNET_F(VHOST_F_LOG_ALL)) != 0 ? &w->log : NULL;
	s->features = w->features;
	vhost_session_limit(s, &w->q->vp->conf);
	ring_start(w, 0, avail[0], used[0]);
	ring_start(w, 1, avail[1], used[1]);
	w->q->cur = &s->base;
	w->q->ready = vhost_queue_begin(w->q, &s->base);
	FUZZ_CHECK(w->q->ready, "begin");
}

static void
check_ring_heads(struct world *w, unsigned int i)
{
	const struct vhost_ring *r = world_ring(w, i);
	const uint16_t taken = (uint16_t)(r->last_avail - w->avail_from[i]);
	const uint16_t used = (uint16_t)(r->used_next - w->used_from[i]);
	unsigned int count[HEAD_GUEST_TX + 1] = { 0 };
	uint32_t segs = 0;

	for (uint32_t h = 0; h < r->size; h++) {
		const uint8_t state = r->heads[h].state;

		count[state]++;
		segs += state == HEAD_GUEST_TX || state == HEAD_LENT ? r->heads[h].n_segs : 0;
	}
	FUZZ_CHECK(segs == r->out_segs && segs <= WORLD_EXTS, "%u segments are out, of %u",
		r->out_segs, segs);
	FUZZ_CHECK(r->n_spare <= VRING_SPARES && r->out_segs + r->n_spare <= WORLD_EXTS,
		"%u mbufs are kept, beside %u that are out", r->n_spare, r->out_segs);
	FUZZ_CHECK(count[HEAD_FETCHED] == r->n_again, "%u heads wait, of %u", r->n_again,
		count[HEAD_FETCHED]);
	FUZZ_CHECK(count[i == 0 ? HEAD_GUEST_TX : HEAD_LENT] == r->out && r->out <= r->size,
		"%u heads are out, of %u", r->out, count[i == 0 ? HEAD_GUEST_TX : HEAD_LENT]);
	FUZZ_CHECK(taken == (uint16_t)(used + r->out + r->n_again),
		"ring %u: %u heads taken, %u used, %u out, %u wait", i, taken, used, r->out,
		r->n_again);
}

void
world_check_heads(struct world *w)
{
	check_ring_heads(w, 0);
	check_ring_heads(w, 1);
}

void
world_free_held(struct world *w, unsigned int n)
{
	while (n-- > 0 && w->n_held > 0)
		rte_pktmbuf_free(w->held[--w->n_held]);
}

/** Have the session back. Its indices go on in the next one. */
static void
session_end(struct world *w, uint16_t avail[2], uint16_t used[2])
{
	const bool waits = w->s->rx.out + w->s->tx.out + vhost_pool_lent(w->s) > 0;
	bool ended = vhost_queue_end(w->q);

	/* What was freed before may not have been seen yet, so this is one way only. */
	FUZZ_CHECK(ended || waits, "the session cannot end");
	world_free_held(w, w->n_held);
	if (!ended)
		FUZZ_CHECK(vhost_queue_end(w->q), "the session cannot end");
	for (unsigned int i = 0; i < 2; i++) {
		struct vhost_ring *r = world_ring(w, i);

		check_ring_heads(w, i);
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

static void
set_up(struct world *w)
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
	for (unsigned int r = 0; r < WORLD_REGIONS; r++) {
		memset(world_memory[r], 0, world_layout[r].bytes);
		w->mem.regions[w->mem.n++] = (struct guestmem_region){ .gpa = world_layout[r].gpa,
			.bytes = world_layout[r].bytes,
			.host = world_memory[r] };
	}
	w->log.bits = log_bits + WORLD_PAGE - LOG_BYTES;
	w->log.bytes = LOG_BYTES;
	w->vp.conf.pool = world_pool;
	w->vp.conf.ext_pool = world_ext_pool;
	w->vp.conf.quota = &w->quota;
	w->quota.frames = WORLD_FRAMES;
	w->quota.exts = WORLD_EXTS;
	w->q = aligned_alloc(
		RTE_CACHE_LINE_SIZE, RTE_ALIGN_CEIL(sizeof(*w->q), (size_t)RTE_CACHE_LINE_SIZE));
	FUZZ_CHECK(w->q != NULL, "no memory");
	memset(w->q, 0, sizeof(*w->q));
	w->q->vp = &w->vp;
	place_rings(w);
}

void
world_starve(struct world *w, unsigned int left)
{
	struct rte_mempool *pools[] = { world_pool, world_ext_pool };

	FUZZ_CHECK(w->n_starved == 0, "starved twice");
	for (unsigned int i = 0; i < RTE_DIM(pools); i++) {
		unsigned int n = rte_mempool_avail_count(pools[i]);

		if (n <= left)
			continue;
		n -= left;
		FUZZ_CHECK(rte_pktmbuf_alloc_bulk(pools[i], w->starved + w->n_starved, n) == 0,
			"mbufs");
		w->n_starved += n;
	}
}

void
world_feed(struct world *w)
{
	rte_pktmbuf_free_bulk(w->starved, w->n_starved);
	w->n_starved = 0;
}

struct world *
world_begin(struct fuzz_tape *tape)
{
	struct world *w = vport_lines_zalloc(sizeof(*w));
	uint16_t avail[2] = { 0 }, used[2] = { 0 };

	FUZZ_CHECK(w != NULL, "no memory");
	w->tape = tape;
	set_up(w);
	for (unsigned int i = 0; i < 2; i++) {
		avail[i] = fuzz_u16(tape);
		memcpy(world_memory[0] + w->place[i][1] + 2, &avail[i], sizeof(avail[i]));
	}
	session_start(w, avail, used);
	return w;
}

void
world_end(struct world *w)
{
	uint16_t avail[2], used[2];

	for (unsigned int c = 0; c < VPORT_COUNTS; c++)
		if (w->q->counters[c] != 0)
			fuzz_trace("  %s %llu", vport_counter_info[c].name,
				(unsigned long long)w->q->counters[c]);
	session_end(w, avail, used);
	FUZZ_CHECK(
		rte_mempool_in_use_count(world_pool) + rte_mempool_in_use_count(world_ext_pool) ==
			0,
		"mbufs are lost");
	free(w->q);
	free(w);
}

void
world_restart(struct world *w)
{
	uint16_t avail[2], used[2];

	session_end(w, avail, used);
	session_start(w, avail, used);
}

void
world_init(void)
{
	l4xkit_eal("fuzz_ring");
	world_pool = rte_pktmbuf_pool_create(
		"frames", WORLD_MBUFS, 0, 0, 2048 + RTE_PKTMBUF_HEADROOM, SOCKET_ID_ANY);
	world_ext_pool = rte_pktmbuf_pool_create("ext", WORLD_MBUFS, 0, 0, 0, SOCKET_ID_ANY);
	FUZZ_CHECK(world_pool != NULL && world_ext_pool != NULL, "no pools");
	for (unsigned int r = 0; r < WORLD_REGIONS; r++)
		world_memory[r] = guarded(world_layout[r].bytes);
	log_bits = guarded(WORLD_PAGE);
}
