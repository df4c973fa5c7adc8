/* SPDX-License-Identifier: BSD-3-Clause */
#include "flowtab.h"

#include <errno.h>
#include <string.h>

#include <rte_errno.h>
#include <rte_malloc.h>
#include <rte_prefetch.h>

#include "flowtab_priv.h"

#define MAX_FLOWS (1U << 24)
#define GENERATION_MASK 0xffffffU

static int
create_arrays(struct flowtab *ft, const struct flowtab_params *p)
{
	size_t n = p->max_flows, words = (n + 63) / 64, pifs = RTE_MAX(p->max_pifs, 1);
	int s = p->socket_id;

	ft->flows = rte_zmalloc_socket(
		"flowtab_flows", n * sizeof(ft->flows[0]), RTE_CACHE_LINE_SIZE, s);
	ft->keys4 = rte_zmalloc_socket(
		"flowtab_keys4", n * sizeof(ft->keys4[0]), RTE_CACHE_LINE_SIZE, s);
	ft->keys6 = rte_zmalloc_socket(
		"flowtab_keys6", n * sizeof(ft->keys6[0]), RTE_CACHE_LINE_SIZE, s);
	ft->live = rte_zmalloc_socket(
		"flowtab_live", words * sizeof(ft->live[0]), RTE_CACHE_LINE_SIZE, s);
	ft->pifs = rte_zmalloc_socket(
		"flowtab_pifs", pifs * sizeof(ft->pifs[0]), RTE_CACHE_LINE_SIZE, s);
	if (ft->flows == NULL || ft->keys4 == NULL || ft->keys6 == NULL || ft->live == NULL ||
		ft->pifs == NULL)
		return -ENOMEM;
	if (p->zones == NULL) {
		ft->own_zones = flowtab_zones_create(1, s);
		if (ft->own_zones == NULL)
			return -rte_errno;
	}
	ft->zones = p->zones != NULL ? p->zones : ft->own_zones;
	ft->zone_slot = p->zones != NULL ? p->owner : 0;
	ft->wheel = flowtab_wheel_create(p->max_flows, FLOWTAB_TICK_MS, p->now_ms, s);
	return ft->wheel != NULL ? 0 : -rte_errno;
}

static bool
params_are_valid(const struct flowtab_params *p)
{
	return p->name != NULL && p->name[0] != '\0' &&
		strnlen(p->name, FLOWTAB_NAME_MAX + 1) <= FLOWTAB_NAME_MAX && p->max_flows > 0 &&
		p->max_flows <= MAX_FLOWS &&
		(p->zones == NULL || flowtab_zones_have_slot(p->zones, p->owner));
}

struct flowtab *
flowtab_create(const struct flowtab_params *p)
{
	struct flowtab *ft;
	int err;

	if (!params_are_valid(p)) {
		rte_errno = EINVAL;
		return NULL;
	}
	ft = rte_zmalloc_socket("flowtab", sizeof(*ft), RTE_CACHE_LINE_SIZE, p->socket_id);
	if (ft == NULL) {
		rte_errno = ENOMEM;
		return NULL;
	}
	ft->max = p->max_flows;
	ft->max_pifs = p->max_pifs;
	ft->owner = p->owner;
	ft->crc = p->crc;
	ft->evict = p->evict;
	ft->hash_mask = UINT32_MAX;
	ft->free_head = FLOWTAB_NONE;
	ft->closing_head = FLOWTAB_NONE;
	ft->sipkey = flowtab_sipkey_load(p->hash_key);

	err = flowtab_index_create(&ft->index, p->max_flows * FLOWTAB_SIDES, p->socket_id);
	if (err == 0)
		err = create_arrays(ft, p);
	if (err != 0) {
		flowtab_destroy(ft);
		rte_errno = -err;
		return NULL;
	}
	return ft;
}

/** Zones that others share are left without the flows of this table. */
static void
leave_zones(struct flowtab *ft)
{
	for (uint32_t i = 0; i < ft->fresh; i++) {
		if (ft->flows[i].state != FLOWTAB_FREE)
			flowtab_zone_sub(ft->zones, ft->zone_slot, ft->flows[i].zone);
	}
}

void
flowtab_destroy(struct flowtab *ft)
{
	if (ft == NULL)
		return;
	leave_zones(ft);
	flowtab_wheel_destroy(ft->wheel);
	flowtab_zones_destroy(ft->own_zones);
	rte_free(ft->pifs);
	rte_free(ft->live);
	rte_free(ft->keys6);
	rte_free(ft->keys4);
	rte_free(ft->flows);
	flowtab_index_destroy(&ft->index);
	rte_free(ft);
}

struct flowtab_flow *
flowtab_flows(struct flowtab *ft)
{
	return ft->flows;
}

uint32_t
flowtab_max(const struct flowtab *ft)
{
	return ft->max;
}

uint32_t
flowtab_count(const struct flowtab *ft)
{
	return ft->count;
}

uint32_t
flowtab_pif_count(const struct flowtab *ft, uint16_t pif)
{
	return pif < ft->max_pifs ? ft->pifs[pif].count : 0;
}

int
flowtab_pif_limit(struct flowtab *ft, uint16_t pif, uint32_t max)
{
	if (pif >= ft->max_pifs)
		return -EINVAL;
	ft->pifs[pif].limit = max;
	return 0;
}

void
flowtab_share(struct flowtab *ft, uint32_t max)
{
	ft->share = max;
}

/** More flows than this the port cannot have now; 0: no limit. */
static uint32_t
limit_now(const struct flowtab *ft, const struct flowtab_pif *p)
{
	if (ft->share == 0 || ft->max - ft->count > ft->max / 8)
		return p->limit;
	return p->limit == 0 ? ft->share : RTE_MIN(p->limit, ft->share);
}

/** 0, or -EDQUOT: the port's limit is reached, and no expired flow was found to make room. */
static int
check_limit(struct flowtab *ft, uint16_t pif, uint64_t now_ms)
{
	struct flowtab_pif *p;
	unsigned int drops = 0;
	uint32_t limit;

	if (pif >= ft->max_pifs)
		return 0;
	p = &ft->pifs[pif];
	while ((limit = limit_now(ft, p)) != 0 && p->count >= limit) {
		if (drops++ == FLOWTAB_SEARCH_DROPS ||
			!flowtab_reclaim(ft, &p->search, FLOWTAB_SEARCH_MS_PIF, now_ms))
			return -EDQUOT;
	}
	return 0;
}

/**
 * Count the flow in its zone. 0, or -EUSERS: see check_limit(). A search counts for the port that
 * knocks, so that it cannot use up that of other zones.
 */
static int
enter_zone(struct flowtab *ft, uint16_t pif, uint16_t zone, uint64_t now_ms)
{
	struct flowtab_search *s = pif < ft->max_pifs ? &ft->pifs[pif].search : &ft->zone_search;
	unsigned int drops = 0;

	while (!flowtab_zone_add(ft->zones, ft->zone_slot, zone)) {
		/* With a limit of 0 there is nothing to search for. */
		if (flowtab_zone_count(ft->zones, zone) == 0 || drops++ == FLOWTAB_SEARCH_DROPS ||
			!flowtab_reclaim(ft, s, FLOWTAB_SEARCH_MS_PIF, now_ms))
			return -EUSERS;
	}
	return 0;
}

/** What it points to is fetched: whoever makes a flow next finds it in the cache. */
static inline void
set_free_head(struct flowtab *ft, uint32_t idx)
{
	ft->free_head = idx;
	if (idx == FLOWTAB_NONE)
		return;
	rte_prefetch0(&ft->flows[idx]);
	rte_prefetch0(&ft->flows[idx].created_ms);
	flowtab_wheel_prefetch(ft->wheel, idx);
}

/** Freed indices go first: only as many flows take memory as there were at one time. */
static uint32_t
take_index(struct flowtab *ft)
{
	uint32_t idx = ft->free_head;

	if (idx != FLOWTAB_NONE)
		set_free_head(ft, ft->flows[idx].next);
	else if (ft->fresh < ft->max)
		idx = ft->fresh++;
	return idx;
}

/** @return an index, or FLOWTAB_NONE: the table is full, and nothing in it can go */
static uint32_t
make_room(struct flowtab *ft, uint64_t now_ms)
{
	uint32_t i = take_index(ft);

	if (i != FLOWTAB_NONE)
		return i;
	if (flowtab_reclaim(ft, &ft->search, FLOWTAB_SEARCH_MS_FULL, now_ms) ||
		(ft->evict && flowtab_evict(ft)))
		i = take_index(ft);
	return i;
}

int
flowtab_new(struct flowtab *ft, uint16_t pif, uint16_t zone, uint8_t proto, uint64_t now_ms,
	uint32_t *idx)
{
	struct flowtab_flow *f;
	uint32_t i, generation;

	if (pif >= FLOWTAB_MAX_PIFS)
		return -EINVAL;
	if (check_limit(ft, pif, now_ms) != 0)
		return -EDQUOT;
	if (enter_zone(ft, pif, zone, now_ms) != 0)
		return -EUSERS;
	i = make_room(ft, now_ms);
	if (i == FLOWTAB_NONE) {
		flowtab_zone_sub(ft->zones, ft->zone_slot, zone);
		return -ENFILE;
	}

	f = &ft->flows[i];
	generation = f->generation != 0 ? f->generation : 1;
	*f = (struct flowtab_flow){
		.deadline_ms = FLOWTAB_NEVER,
		.zone = zone,
		.pif = pif,
		.proto = proto,
		.state = FLOWTAB_NEW,
		.generation = generation,
		.created_ms = now_ms,
		.next = FLOWTAB_NONE,
		.prev = FLOWTAB_NONE,
		.parent = FLOWTAB_NONE,
		.ext = FLOWTAB_NONE,
	};
	ft->live[i / 64] |= UINT64_C(1) << i % 64;
	ft->count++;
	if (pif < ft->max_pifs)
		ft->pifs[pif].count++;
	*idx = i;
	return 0;
}

int
flowtab_activate(struct flowtab *ft, uint32_t idx)
{
	assert(idx < ft->max);
	if (ft->flows[idx].state != FLOWTAB_TYPED)
		return -EINVAL;
	ft->flows[idx].state = FLOWTAB_ACTIVE;
	return 0;
}

int
flowtab_close(struct flowtab *ft, uint32_t idx)
{
	struct flowtab_flow *f = &ft->flows[idx];

	assert(idx < ft->max);
	if (f->state != FLOWTAB_TYPED && f->state != FLOWTAB_ACTIVE)
		return -EINVAL;
	f->state = FLOWTAB_CLOSING;
	flowtab_closing_add(ft, idx);
	return 0;
}

void
flowtab_free(struct flowtab *ft, uint32_t idx)
{
	struct flowtab_flow *f = &ft->flows[idx];

	assert(idx < ft->max);
	if (f->state == FLOWTAB_FREE)
		return;
	if (f->state == FLOWTAB_CLOSING)
		flowtab_closing_del(ft, idx);
	flowtab_unbind(ft, idx, FLOWTAB_SIDE_GUEST);
	flowtab_unbind(ft, idx, FLOWTAB_SIDE_OTHER);
	flowtab_wheel_clear(ft->wheel, idx);
	f->generation = (f->generation + 1) & GENERATION_MASK;
	if (f->generation == 0)
		f->generation = 1;
	f->state = FLOWTAB_FREE;
	f->next = ft->free_head;
	ft->free_head = idx;
	ft->live[idx / 64] &= ~(UINT64_C(1) << idx % 64);
	ft->count--;
	flowtab_zone_sub(ft->zones, ft->zone_slot, f->zone);
	if (f->pif < ft->max_pifs)
		ft->pifs[f->pif].count--;
}

uint64_t
flowtab_handle(const struct flowtab *ft, uint32_t idx)
{
	assert(idx < ft->max);
	return flowtab_handle_make(ft->owner, ft->flows[idx].generation, idx);
}

uint32_t
flowtab_by_handle(const struct flowtab *ft, uint64_t handle)
{
	uint32_t idx = flowtab_handle_index(handle);

	if (idx >= ft->fresh || flowtab_handle_owner(handle) != ft->owner ||
		ft->flows[idx].state == FLOWTAB_FREE ||
		ft->flows[idx].generation != flowtab_handle_generation(handle))
		return FLOWTAB_NONE;
	return idx;
}

uint32_t
flowtab_dump(const struct flowtab *ft, uint32_t *cursor, uint32_t *idx, uint32_t max)
{
	uint32_t n = 0, i = *cursor;
	uint64_t word;

	while (i < ft->fresh && n < max) {
		word = ft->live[i / 64] >> i % 64;
		if (word == 0) {
			i = (i / 64 + 1) * 64;
			continue;
		}
		i += (uint32_t)__builtin_ctzll(word);
		if (ft->flows[i].state != FLOWTAB_NEW)
			idx[n++] = i;
		i++;
	}
	*cursor = i;
	return n;
}
