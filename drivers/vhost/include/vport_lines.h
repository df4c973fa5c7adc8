/* SPDX-License-Identifier: BSD-3-Clause */
/** Memory on cache lines of its own: what lies beside it on the heap may be another thread's. */
#ifndef VPORT_LINES_H
#define VPORT_LINES_H

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <rte_common.h>

/** Zeroed memory, to be given back to free(). NULL: there is none. */
static inline void *
vport_lines_zalloc(size_t bytes)
{
	const size_t whole = RTE_ALIGN_CEIL(bytes, (size_t)RTE_CACHE_LINE_SIZE);
	void *p = aligned_alloc(RTE_CACHE_LINE_SIZE, whole);

	return p ? memset(p, 0, whole) : NULL;
}

#endif
