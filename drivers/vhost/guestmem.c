/* SPDX-License-Identifier: BSD-3-Clause */
#include "guestmem.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include <linux/magic.h>

#include <sys/mman.h>
#include <sys/vfs.h>

#include <rte_vhost.h>

#include "vport_lines.h"
#include "sigbus.h"

/** By what a mapping of the file can be replaced. (tmpfs, too, may say st_blksize 2 MiB.) */
static size_t
page_of(int fd)
{
	struct statfs fs;

	if (fstatfs(fd, &fs) == 0 && fs.f_type == HUGETLBFS_MAGIC)
		return (size_t)fs.f_bsize;
	return (size_t)sysconf(_SC_PAGESIZE);
}

struct guestmem *
guestmem_create(void)
{
	struct guestmem *m = vport_lines_zalloc(sizeof(*m));

	if (m)
		atomic_init(&m->refs, 1);
	return m;
}

int
guestmem_add(struct guestmem *m, uint64_t gpa, uint64_t bytes, int fd, uint64_t offset)
{
	const uint64_t page = page_of(fd), start = offset & ~(page - 1);
	const size_t map_bytes = (offset + bytes - start + page - 1) & ~(page - 1);
	struct guestmem_region *r = &m->regions[m->n];
	void *map;

	if (m->n == GUESTMEM_REGIONS)
		return -E2BIG;
	map = mmap(NULL, map_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)start);
	if (map == MAP_FAILED)
		return -errno;
	/* A core dump of ours is no place for a guest's secrets; see guestmem_set_lib(), too. */
	madvise(map, map_bytes, MADV_DONTDUMP);
	r->watch = sigbus_watch(map, map_bytes, page, &m->lost);
	if (r->watch == NULL) {
		munmap(map, map_bytes);
		return -ENOMEM;
	}
	r->gpa = gpa;
	r->bytes = bytes;
	r->host = (uint8_t *)map + (offset - start);
	r->map = map;
	r->map_bytes = map_bytes;
	m->n++;
	return 0;
}

bool
guestmem_set_lib(struct guestmem *m, const struct rte_vhost_memory *table)
{
	if (table->nregions != m->n)
		return false;
	for (unsigned int i = 0; i < m->n; i++) {
		const struct rte_vhost_mem_region *from = &table->regions[i];

		if (from->guest_phys_addr != m->regions[i].gpa || from->size != m->regions[i].bytes)
			return false;
		m->regions[i].lib = from->host_user_addr;
		madvise(from->mmap_addr, from->mmap_size, MADV_DONTDUMP);
	}
	return true;
}

struct guestmem *
guestmem_ref(struct guestmem *m)
{
	atomic_fetch_add_explicit(&m->refs, 1, memory_order_relaxed);
	return m;
}

void
guestmem_unref(struct guestmem *m)
{
	if (m == NULL || atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (unsigned int i = 0; i < m->n; i++) {
		sigbus_unwatch(m->regions[i].watch);
		munmap(m->regions[i].map, m->regions[i].map_bytes);
	}
	free(m);
}

void *
guestmem_from_lib(const struct guestmem *m, const void *ptr, uint64_t len)
{
	const uint64_t addr = (uint64_t)(uintptr_t)ptr;

	for (unsigned int i = 0; i < m->n; i++) {
		const struct guestmem_region *r = &m->regions[i];
		const uint64_t off = addr - r->lib;

		if (off < r->bytes && len <= r->bytes - off)
			return r->host + off;
	}
	return NULL;
}

struct guestlog *
guestlog_map(int fd, uint64_t offset, uint64_t bytes)
{
	const uint64_t page = page_of(fd), start = offset & ~(page - 1);
	struct guestlog *l = calloc(1, sizeof(*l));

	if (l == NULL)
		return NULL;
	atomic_init(&l->refs, 1);
	l->map_bytes = (offset + bytes - start + page - 1) & ~(page - 1);
	l->map = mmap(NULL, l->map_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)start);
	if (l->map == MAP_FAILED) {
		free(l);
		return NULL;
	}
	l->bits = (uint8_t *)l->map + (offset - start);
	l->bytes = bytes;
	l->watch = sigbus_watch(l->map, l->map_bytes, page, &l->lost);
	if (l->watch == NULL) {
		guestlog_unref(l);
		errno = ENOMEM;
		return NULL;
	}
	return l;
}

struct guestlog *
guestlog_ref(struct guestlog *l)
{
	if (l)
		atomic_fetch_add_explicit(&l->refs, 1, memory_order_relaxed);
	return l;
}

void
guestlog_unref(struct guestlog *l)
{
	if (l == NULL || atomic_fetch_sub_explicit(&l->refs, 1, memory_order_acq_rel) != 1)
		return;
	sigbus_unwatch(l->watch);
	munmap(l->map, l->map_bytes);
	free(l);
}

void
guestlog_write(struct guestlog *l, uint64_t gpa, uint64_t len)
{
	uint64_t page, last;

	if (likely(l == NULL) || len == 0 || gpa + len - 1 < gpa)
		return;
	page = gpa / GUESTMEM_LOG_PAGE;
	last = (gpa + len - 1) / GUESTMEM_LOG_PAGE;
	/* The write must be seen by whoever sees its bit. */
	atomic_thread_fence(memory_order_release);
	for (; page <= last && page / 8 < l->bytes; page++)
		__atomic_fetch_or(
			&l->bits[page / 8], (uint8_t)(1u << (page % 8)), __ATOMIC_RELAXED);
}
