/* SPDX-License-Identifier: BSD-3-Clause */
/* Pools of mbufs, and what a queue pair may have of them. */
#include "daemon.h"

#include <stdio.h>
#include <unistd.h>

#include <sys/mman.h>

#include <rte_errno.h>
#include <rte_mbuf.h>
#include <rte_mbuf_pool_ops.h>
#include <rte_mempool.h>
#include <rte_memzone.h>

/** Bytes of one frame buffer, and of one without data room, with the pool's own header. */
#define FRAME_BYTES 2496
#define EXT_BYTES 320
#define FRAMES_MIN 2048
#define EXTS_MIN 4096
/** Frames of one queue pair on their way, beside the rings. */
#define FRAMES_PER_QUEUE 1024
/** Buffers lent and frames left in guest memory, of one queue pair with rings of 1024. */
#define EXTS_PER_QUEUE 4096
/** Free mbufs that each thread keeps for itself, and how many more it may have by the way. */
#define POOL_CACHE 256
#define POOL_CACHE_MOST (POOL_CACHE + POOL_CACHE / 2)
/** Pieces that a frame of 64 KiB may well have: a smaller share of the pool would lose it. */
#define EXTS_QUOTA_MIN 64u

static uint32_t
queue_pairs(const struct conf *c)
{
	uint32_t i, n = 0;

	for (i = 0; i < c->n_vms; i++)
		n += c->vms[i]->queues;
	return n;
}

static void
pool_memory_free(struct rte_mempool_memhdr *hdr __rte_unused, void *zone)
{
	rte_memzone_free(zone);
}

/**
 * Memory for a pool in ordinary pages. They are asked for at once: when each is touched for the
 * first time by itself, the page faults are a quarter of the time that the daemon takes to start.
 * @return as rte_mempool_populate_iova()
 */
static int
pool_populate_pages(struct rte_mempool *p, int node)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t chunk, align;
	const ssize_t bytes = rte_mempool_op_calc_mem_size_default(p, p->size, 0, &chunk, &align);
	const struct rte_memzone *zone = NULL;
	int ret;

	if (bytes > 0)
		zone = rte_memzone_reserve_aligned(
			p->name, (size_t)bytes, node, 0, (unsigned int)RTE_MAX(align, page));
	if (zone == NULL)
		return bytes < 0 ? (int)bytes : -rte_errno;
	/* Only a wish: Linux before 5.14 does not know it. */
	madvise(zone->addr, RTE_ALIGN_FLOOR(zone->len, page), MADV_POPULATE_WRITE);
	ret = rte_mempool_populate_iova(
		p, zone->addr, RTE_BAD_IOVA, zone->len, pool_memory_free, (void *)(uintptr_t)zone);
	if (ret < 0)
		rte_memzone_free(zone);
	return ret;
}

/**
 * As rte_pktmbuf_pool_create(), but in ordinary pages an object may cross from one to the next: a
 * page holds one frame, and nearly as much again would lie idle beside it. Only a device that works
 * with physical addresses would mind, and those need huge pages.
 */
static struct rte_mempool *
pool_create(const struct daemon *d, const char *name, uint64_t n, uint16_t room, int node)
{
	struct rte_pktmbuf_pool_private priv = { .mbuf_data_room_size = room };
	struct rte_mempool *p = rte_mempool_create_empty(name, (unsigned int)n,
		(unsigned int)sizeof(struct rte_mbuf) + room, POOL_CACHE, sizeof(priv), node,
		d->hugepages ? 0 : RTE_MEMPOOL_F_NO_IOVA_CONTIG);
	int ret;

	if (p == NULL)
		return NULL;
	ret = rte_mempool_set_ops_byname(p, rte_mbuf_best_mempool_ops(), NULL);
	rte_pktmbuf_pool_init(p, &priv);
	if (ret == 0)
		ret = d->hugepages ? rte_mempool_populate_default(p) : pool_populate_pages(p, node);
	if (ret < 0) {
		rte_mempool_free(p);
		rte_errno = -ret;
		return NULL;
	}
	rte_mempool_obj_iter(p, rte_pktmbuf_init, NULL);
	return p;
}

/**
 * Pools on one node. Frames: what the rings between workers and bridges can hold, and some for each
 * queue pair, but a quarter of the memory at most; of external buffers, an eighth at most.
 */
static int
pools_create(struct daemon *d, int node, unsigned int n_nodes)
{
	const uint64_t bytes = ((uint64_t)d->conf->memory_mb << 20) / n_nodes;
	const uint64_t pairs = d->n_pairs_planned;
	uint64_t frames = (uint64_t)d->n_workers * d->n_bridges * (CHAN_OPS + CHAN_EVENTS);
	uint64_t exts = RTE_MIN(pairs * EXTS_PER_QUEUE, bytes / 8 / EXT_BYTES);
	char name[RTE_MEMPOOL_NAMESIZE];

	frames = RTE_MIN(frames + pairs * FRAMES_PER_QUEUE, bytes / 4 / FRAME_BYTES);
	frames = RTE_MAX(frames, (uint64_t)FRAMES_MIN);
	exts = RTE_MAX(exts, (uint64_t)EXTS_MIN);
	snprintf(name, sizeof(name), "frames_%d", node);
	d->frame_pool[node] = pool_create(d, name, frames, RTE_MBUF_DEFAULT_BUF_SIZE, node);
	snprintf(name, sizeof(name), "exts_%d", node);
	d->ext_pool[node] =
		d->frame_pool[node] == NULL ? NULL : pool_create(d, name, exts, 0, node);
	if (d->ext_pool[node] == NULL)
		return daemon_not_made(d, "the pools of frames");
	return 0;
}

/** What all queue pairs that are there, or planned for, may have at the same time. */
void
daemon_quota_set(struct daemon *d)
{
	const uint32_t caches =
		(1u + d->n_workers + (d->inline_bridges ? 0u : d->n_bridges)) * POOL_CACHE_MOST;
	uint32_t pairs = 0;
	unsigned int i, node;

	for (i = 0; i < d->n_workers; i++)
		pairs += d->workers[i].n_queues;
	pairs = RTE_MAX(RTE_MAX(pairs, d->n_pairs_planned), 1u);
	for (node = 0; node < RTE_MAX_NUMA_NODES; node++) {
		uint32_t frames, exts;

		if (d->ext_pool[node] == NULL)
			continue;
		/* Half of the frames are for what is on its way. */
		frames = d->frame_pool[node]->size / 2;
		exts = d->ext_pool[node]->size;
		exts -= RTE_MIN(caches, exts / 2);
		atomic_store_explicit(&d->quota[node].frames, frames / pairs, memory_order_relaxed);
		atomic_store_explicit(&d->quota[node].exts,
			RTE_MAX(exts / pairs / 2, EXTS_QUOTA_MIN), memory_order_relaxed);
	}
}

int
daemon_pools_create(struct daemon *d)
{
	bool used[RTE_MAX_NUMA_NODES] = { false };
	unsigned int i, n_nodes = 0;
	int node, ret = 0;

	/* Twice the queue pairs that are there, for VMs that a reload brings. */
	d->n_pairs_planned = queue_pairs(d->conf) * 2;

	for (i = 0; i < d->n_workers; i++) {
		node = d->workers[i].socket_id;
		n_nodes += !used[node];
		used[node] = true;
	}
	for (node = 0; node < RTE_MAX_NUMA_NODES && ret == 0; node++)
		if (used[node])
			ret = pools_create(d, node, n_nodes);
	daemon_quota_set(d);
	return ret;
}
