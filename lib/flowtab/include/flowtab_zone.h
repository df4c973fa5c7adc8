/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Zones: how many flows each has, in all tables together, and how many it may have.
 *
 * Each table counts the flows of its zones in an array of its own, so no cache line is written by
 * two threads; a limit is compared with the sum. Who makes a flow counts it first and looks then,
 * so a limit is never exceeded; of two tables that reach for the last place at the same moment,
 * both may be refused.
 *
 * Ownership and threads: made before, freed after the tables. Limits may be set, and everything may
 * be read, by any thread. Memory is taken for zones that are used.
 */
#ifndef FLOWTAB_ZONE_H
#define FLOWTAB_ZONE_H

#include <stdint.h>

#define FLOWTAB_ZONES 65536
/** In place of a zone: the limit of all that have none of their own. */
#define FLOWTAB_ZONE_DEFAULT UINT32_MAX
/** As a limit: as many as there is room for. */
#define FLOWTAB_LIMIT_NONE UINT32_MAX
/** As a limit: the zone has none of its own, the default applies (for the default: no limit). */
#define FLOWTAB_LIMIT_UNSET (UINT32_MAX - 1)

struct flowtab_zones;

/**
 * @param n_tables slots for tables: each has one of its own, by its owner number; 1 .. 256
 * @return the zones, none with a limit; or NULL with rte_errno set (EINVAL, ENOMEM)
 */
struct flowtab_zones *flowtab_zones_create(unsigned int n_tables, int socket_id);
void flowtab_zones_destroy(struct flowtab_zones *z);

/**
 * @param zone below FLOWTAB_ZONES, or FLOWTAB_ZONE_DEFAULT
 * @param max  flows; 0: none at all; FLOWTAB_LIMIT_NONE, FLOWTAB_LIMIT_UNSET
 * @return 0, or -EINVAL: no such zone
 */
int flowtab_zone_limit_set(struct flowtab_zones *z, uint32_t zone, uint32_t max);
/** What was set: FLOWTAB_LIMIT_UNSET when nothing was. */
uint32_t flowtab_zone_limit(const struct flowtab_zones *z, uint32_t zone);
/** Flows of the zone in all tables, expired ones that are not freed yet included. */
uint32_t flowtab_zone_count(const struct flowtab_zones *z, uint16_t zone);

#endif
