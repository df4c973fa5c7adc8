/* SPDX-License-Identifier: BSD-3-Clause */
/* Guest memory: the regions, what is given out of them, and the dirty log over them. */
#include "vhu.h"
#include "vhu_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/mman.h>

#define GPA_BASE UINT64_C(0x40000000)
#define GPA_GAP UINT64_C(0x10000000)
#define PAGE 4096ul

int
vhu_mem_make(struct vhu *v)
{
	unsigned int n = v->conf.regions;
	size_t each = v->mem_bytes / n / PAGE * PAGE;

	v->mem_fd = memfd_create("guest", MFD_CLOEXEC);
	if (v->mem_fd < 0 || ftruncate(v->mem_fd, (off_t)v->mem_bytes) < 0)
		return -errno;
	v->mem = mmap(NULL, v->mem_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, v->mem_fd, 0);
	if (v->mem == MAP_FAILED) {
		v->mem = NULL;
		return -errno;
	}
	v->table.n = n;
	for (unsigned int i = 0; i < n; i++) {
		struct vhu_mem_region *r = &v->table.regions[i];

		r->offset = i * each;
		r->bytes = i + 1 < n ? each : v->mem_bytes - i * each;
		r->gpa = GPA_BASE + r->offset + i * GPA_GAP;
		r->uva = (uintptr_t)v->mem + r->offset;
	}
	v->n_blocks = v->mem_bytes / VHU_BLOCK_BYTES;
	v->block_used = calloc(v->n_blocks, 1);
	return v->block_used != NULL ? 0 : -ENOMEM;
}

/* Memory is given out within one region only: a buffer must be contiguous in guest addresses. */
static bool
one_region(const struct vhu *v, size_t off, size_t bytes)
{
	for (unsigned int i = 0; i < v->table.n; i++) {
		const struct vhu_mem_region *r = &v->table.regions[i];

		if (off >= r->offset && off + bytes <= r->offset + r->bytes)
			return true;
	}
	return false;
}

void *
vhu_alloc(struct vhu *v, size_t bytes)
{
	size_t n = (bytes + VHU_BLOCK_BYTES - 1) / VHU_BLOCK_BYTES;
	size_t at = v->next_block, run = 0;

	for (size_t tried = 0; tried < v->n_blocks + n && n != 0; tried++) {
		if (at >= v->n_blocks) {
			at = 0;
			run = 0;
		}
		run = v->block_used[at] ? 0 : run + 1;
		at++;
		if (run >= n && one_region(v, (at - n) * VHU_BLOCK_BYTES, n * VHU_BLOCK_BYTES)) {
			memset(&v->block_used[at - n], 1, n);
			v->next_block = at;
			return v->mem + (at - n) * VHU_BLOCK_BYTES;
		}
	}
	return NULL;
}

void
vhu_free(struct vhu *v, void *mem, size_t bytes)
{
	size_t n = (bytes + VHU_BLOCK_BYTES - 1) / VHU_BLOCK_BYTES;
	size_t at = (size_t)((uint8_t *)mem - v->mem) / VHU_BLOCK_BYTES;

	if (mem != NULL && at + n <= v->n_blocks)
		memset(&v->block_used[at], 0, n);
}

uint64_t
vhu_gpa(const struct vhu *v, const void *ptr)
{
	uint64_t uva = (uintptr_t)ptr;

	for (unsigned int i = 0; i < v->table.n; i++) {
		const struct vhu_mem_region *r = &v->table.regions[i];

		if (uva >= r->uva && uva < r->uva + r->bytes)
			return uva - r->uva + r->gpa;
	}
	return vhu_gpa_hole(v);
}

uint64_t
vhu_gpa_hole(const struct vhu *v)
{
	const struct vhu_mem_region *last = &v->table.regions[v->table.n - 1];

	return last->gpa + last->bytes + PAGE;
}

/* ---- dirty log ---- */

static int
log_make(struct vhu *v)
{
	uint64_t top = vhu_gpa_hole(v);
	void *map;

	if (v->log != NULL)
		return 0;
	v->log_bytes = (top / PAGE / 8 + PAGE) / PAGE * PAGE;
	v->log_fd = memfd_create("log", MFD_CLOEXEC);
	if (v->log_fd < 0 || ftruncate(v->log_fd, (off_t)v->log_bytes) < 0)
		return -errno;
	map = mmap(NULL, v->log_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, v->log_fd, 0);
	if (map == MAP_FAILED)
		return -errno;
	v->log = map;
	return 0;
}

static int
log_rings(struct vhu *v)
{
	int rc = 0;

	for (unsigned int i = 0; rc == 0 && i < v->n_rings; i++)
		rc = v->rings[i].started ? vhu_ring_addr(v, i) : 0;
	return rc;
}

int
vhu_log_start(struct vhu *v)
{
	uint64_t desc[2], ignored;
	uint32_t req, flags;
	int rc = log_make(v);

	if (rc < 0)
		return rc;
	memset(v->log, 0, v->log_bytes);
	desc[0] = v->log_bytes;
	desc[1] = 0;
	rc = vhu_send(v, VHU_SET_LOG_BASE, 0, desc, sizeof(desc), &v->log_fd, 1);
	/* With LOG_SHMFD the back-end answers, with a payload or (librte_vhost) without. */
	if (rc == 0 && (v->protocol & VHU_F(VHU_PF_LOG_SHMFD))) {
		ssize_t n = vhu_recv(v, &req, &flags, &ignored, sizeof(ignored), NULL, 0);

		rc = n < 0 ? (int)n : req == VHU_SET_LOG_BASE ? 0 : -EPROTO;
	}
	if (rc == 0)
		rc = vhu_set_features(v, v->features | VHU_F_LOG_ALL);
	return rc == 0 ? log_rings(v) : rc;
}

int
vhu_log_stop(struct vhu *v)
{
	int rc = vhu_set_features(v, v->features & ~VHU_F_LOG_ALL);

	return rc == 0 ? log_rings(v) : rc;
}

bool
vhu_log_dirty(const struct vhu *v, uint64_t gpa)
{
	uint64_t page = gpa / PAGE;

	return v->log != NULL && page / 8 < v->log_bytes && (v->log[page / 8] >> (page % 8) & 1);
}
