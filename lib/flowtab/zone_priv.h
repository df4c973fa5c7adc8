/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * What the flow table does with zones: counts its own flows, and asks before it makes one.
 */
#ifndef FLOWTAB_ZONE_PRIV_H
#define FLOWTAB_ZONE_PRIV_H

#include <stdbool.h>
#include <stdint.h>

#include "flowtab_zone.h"

/**
 * A flow more in the zone, if its limit allows it.
 * @param slot of the table
 */
bool flowtab_zone_add(struct flowtab_zones *z, unsigned int slot, uint16_t zone);
/** A flow less. */
void flowtab_zone_sub(struct flowtab_zones *z, unsigned int slot, uint16_t zone);
bool flowtab_zones_have_slot(const struct flowtab_zones *z, unsigned int slot);

#endif
