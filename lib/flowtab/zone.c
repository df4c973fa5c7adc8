/* SPDX-License-Identifier: BSD-3-Clause */
#include "flowtab_zone.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>

#include <rte_errno.h>
#include <rte_malloc.h>

#include "zone_priv.h"

#define MAX_TABLES 256

struct flowtab_zones {
	/** Limit + 1, so that zeroed memory is unset; by any thread, read by tables. */
	_Atomic uint32_t limits[FLOWTAB_ZONES];
	_Atomic uint32_t limit_default;
	uint32_t n_tables;
	_Atomic uint32_t *counts[]; /**< by table, then zone; each written by its table alone */
};

static_assert(FLOWTAB_LIMIT_UNSET + 1U == FLOWTAB_LIMIT_NONE, "the two are neighbours");

/* UNSET is kept as 0, NONE as UINT32_MAX, a number as itself + 1. */
static uint32_t
pack(uint32_t max)
{
	if (max == FLOWTAB_LIMIT_UNSET)
		return 0;
	return max == FLOWTAB_LIMIT_NONE ? max : max + 1;
}

static uint32_t
unpack(uint32_t kept)
{
	if (kept == 0)
		return FLOWTAB_LIMIT_UNSET;
	return kept == FLOWTAB_LIMIT_NONE ? kept : kept - 1;
}

struct flowtab_zones *
flowtab_zones_create(unsigned int n_tables, int socket_id)
{
	struct flowtab_zones *z;

	if (n_tables == 0 || n_tables > MAX_TABLES) {
		rte_errno = EINVAL;
		return NULL;
	}
	z = rte_zmalloc_socket("flowtab_zones", sizeof(*z) + n_tables * sizeof(z->counts[0]),
		RTE_CACHE_LINE_SIZE, socket_id);
	if (z == NULL) {
		rte_errno = ENOMEM;
		return NULL;
	}
	z->n_tables = n_tables;
	for (unsigned int i = 0; i < n_tables; i++) {
		z->counts[i] = rte_zmalloc_socket("flowtab_zone_counts",
			FLOWTAB_ZONES * sizeof(z->counts[0][0]), RTE_CACHE_LINE_SIZE, socket_id);
		if (z->counts[i] == NULL) {
			flowtab_zones_destroy(z);
			rte_errno = ENOMEM;
			return NULL;
		}
	}
	return z;
}

void
flowtab_zones_destroy(struct flowtab_zones *z)
{
	if (z == NULL)
		return;
	for (unsigned int i = 0; i < z->n_tables; i++)
		rte_free(z->counts[i]);
	rte_free(z);
}

int
flowtab_zone_limit_set(struct flowtab_zones *z, uint32_t zone, uint32_t max)
{
	if (zone == FLOWTAB_ZONE_DEFAULT)
		atomic_store_explicit(&z->limit_default, pack(max), memory_order_relaxed);
	else if (zone < FLOWTAB_ZONES)
		atomic_store_explicit(&z->limits[zone], pack(max), memory_order_relaxed);
	else
		return -EINVAL;
	return 0;
}

uint32_t
flowtab_zone_limit(const struct flowtab_zones *z, uint32_t zone)
{
	if (zone == FLOWTAB_ZONE_DEFAULT)
		return unpack(atomic_load_explicit(&z->limit_default, memory_order_relaxed));
	if (zone >= FLOWTAB_ZONES)
		return FLOWTAB_LIMIT_UNSET;
	return unpack(atomic_load_explicit(&z->limits[zone], memory_order_relaxed));
}

uint32_t
flowtab_zone_count(const struct flowtab_zones *z, uint16_t zone)
{
	uint32_t n = 0;

	for (unsigned int i = 0; i < z->n_tables; i++)
		n += atomic_load_explicit(&z->counts[i][zone], memory_order_relaxed);
	return n;
}

/** What holds for a zone now. */
static inline uint32_t
limit_now(const struct flowtab_zones *z, uint16_t zone)
{
	uint32_t kept = atomic_load_explicit(&z->limits[zone], memory_order_relaxed);

	if (kept == 0)
		kept = atomic_load_explicit(&z->limit_default, memory_order_relaxed);
	return kept == 0 ? FLOWTAB_LIMIT_NONE : unpack(kept);
}

bool
flowtab_zone_add(struct flowtab_zones *z, unsigned int slot, uint16_t zone)
{
	_Atomic uint32_t *count = &z->counts[slot][zone];
	uint32_t limit = limit_now(z, zone);
	uint32_t n = atomic_load_explicit(count, memory_order_relaxed);

	if (limit == FLOWTAB_LIMIT_NONE) {
		atomic_store_explicit(count, n + 1, memory_order_relaxed);
		return true;
	}
	/* Counted before the others are looked at: of two that do so, one at least sees both. */
	atomic_store_explicit(count, n + 1, memory_order_seq_cst);
	n = 0;
	for (unsigned int i = 0; i < z->n_tables; i++)
		n += atomic_load_explicit(&z->counts[i][zone], memory_order_seq_cst);
	if (n <= limit)
		return true;
	flowtab_zone_sub(z, slot, zone);
	return false;
}

void
flowtab_zone_sub(struct flowtab_zones *z, unsigned int slot, uint16_t zone)
{
	_Atomic uint32_t *count = &z->counts[slot][zone];
	uint32_t n = atomic_load_explicit(count, memory_order_relaxed);

	atomic_store_explicit(count, n - 1, memory_order_relaxed);
}

bool
flowtab_zones_have_slot(const struct flowtab_zones *z, unsigned int slot)
{
	return slot < z->n_tables;
}
