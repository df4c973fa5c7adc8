/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * A guest's memory, and its dirty log, as mapped by us.
 *
 * librte_vhost maps guest memory and unmaps it when a message tells it to. What a ring walk or an
 * mbuf refers to must live until the last of them is gone, so the files are mapped once more and
 * counted: a table lives as long as somebody holds it. They are mapped before the library sees the
 * message, because it loses a descriptor of what it cannot map.
 *
 * Threads: a table is filled by one thread. After that references may be taken and dropped in any;
 * contents never change, `lost` apart.
 */
#ifndef GUESTMEM_H
#define GUESTMEM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rte_branch_prediction.h>

/** The protocol's limit, and librte_vhost's. */
#define GUESTMEM_REGIONS 8
/**
 * Address space that one guest may take, each region counted from the beginning of its file as
 * librte_vhost maps it. All guests share the 128 TiB of the process.
 */
#define GUESTMEM_MAX_BYTES (UINT64_C(1) << 40)
#define GUESTMEM_LOG_PAGE 4096

struct rte_vhost_memory;
struct sigbus_range;

struct guestmem_region {
	uint64_t gpa;
	uint64_t bytes;
	uint8_t *host;
	uint64_t lib; /**< where librte_vhost has it; only compared */
	void *map;
	size_t map_bytes;
	struct sigbus_range *watch;
};

struct guestmem {
	_Atomic uint32_t refs;
	_Atomic bool lost; /**< set by the SIGBUS handler, or after a system call said EFAULT */
	unsigned int n;
	struct guestmem_region regions[GUESTMEM_REGIONS];
};

/** A table without regions. NULL: no memory. The caller holds it. */
struct guestmem *guestmem_create(void);
/** Add a region: `bytes` of a file from `offset` on, to read and write. 0 or -errno */
int guestmem_add(struct guestmem *m, uint64_t gpa, uint64_t bytes, int fd, uint64_t offset);
/**
 * Note where librte_vhost has the same regions, and keep its mapping out of core dumps as well.
 * @return false: it has others
 */
bool guestmem_set_lib(struct guestmem *m, const struct rte_vhost_memory *table);
struct guestmem *guestmem_ref(struct guestmem *m);
void guestmem_unref(struct guestmem *m);

/**
 * Guest-physical to host address.
 * @param len in: wanted; out: how much of it lies in one piece there
 * @return NULL (len 0) if gpa is in no region
 */
static inline uint8_t *
guestmem_at(const struct guestmem *m, uint64_t gpa, uint64_t *len)
{
	for (unsigned int i = 0; i < m->n; i++) {
		const struct guestmem_region *r = &m->regions[i];
		const uint64_t off = gpa - r->gpa;

		if (off < r->bytes) {
			if (unlikely(*len > r->bytes - off))
				*len = r->bytes - off;
			return r->host + off;
		}
	}
	*len = 0;
	return NULL;
}

/** A pointer of librte_vhost's into its own mapping; NULL unless all of len lies in one region. */
void *guestmem_from_lib(const struct guestmem *m, const void *ptr, uint64_t len);

/** One bit for each page of guest memory that was written to; shared with the front-end. */
struct guestlog {
	_Atomic uint32_t refs;
	_Atomic bool lost;
	uint8_t *bits;
	uint64_t bytes;
	void *map;
	size_t map_bytes;
	struct sigbus_range *watch;
};

struct guestlog *guestlog_map(int fd, uint64_t offset, uint64_t bytes);
struct guestlog *guestlog_ref(struct guestlog *l);
void guestlog_unref(struct guestlog *l);
/** NULL: nothing is logged. What lies past the log is not logged. */
void guestlog_write(struct guestlog *l, uint64_t gpa, uint64_t len);

#endif
