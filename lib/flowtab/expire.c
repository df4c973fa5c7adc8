/* SPDX-License-Identifier: BSD-3-Clause */
/* Deadlines, expiry, and the search for an expired flow when the table is full. */
#include "flowtab.h"

#include <netinet/in.h>

#include <rte_prefetch.h>

#include "flowtab_priv.h"

static uint64_t
flow_deadline(void *arg, uint32_t item)
{
	const struct flowtab_flow *flows = arg;

	return flows[item].deadline_ms;
}

static void
flow_prefetch(void *arg, uint32_t item)
{
	const struct flowtab_flow *f = (const struct flowtab_flow *)arg + item;

	rte_prefetch0(f);
	rte_prefetch0(&f->created_ms);
}

void
flowtab_on_gone(struct flowtab *ft, flowtab_gone_fn fn, void *arg)
{
	ft->gone = fn;
	ft->gone_arg = arg;
}

void
flowtab_drop(struct flowtab *ft, uint32_t idx)
{
	if (ft->gone != NULL)
		ft->gone(ft->gone_arg, idx);
	flowtab_free(ft, idx);
}

void
flowtab_touch(struct flowtab *ft, uint32_t idx, uint64_t deadline_ms)
{
	struct flowtab_flow *f = &ft->flows[idx];
	uint64_t old = f->deadline_ms;

	assert(idx < ft->max);
	if (deadline_ms == old || f->state == FLOWTAB_FREE)
		return;
	f->deadline_ms = deadline_ms;
	/* A flow with a deadline is linked at its slot or before; the wheel finds a later one by
	 * itself. */
	if (deadline_ms < old)
		flowtab_wheel_set(ft->wheel, idx, deadline_ms);
}

/** Where the keys of flows that will be dropped stand in the index. */
static void
prefetch_buckets(const struct flowtab *ft, const uint32_t idx[], uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		for (unsigned int side = 0; side < FLOWTAB_SIDES; side++)
			flowtab_index_prefetch(&ft->index, ft->flows[idx[i]].hash[side]);
	}
}

uint32_t
flowtab_expire(struct flowtab *ft, uint64_t now_ms, uint32_t budget)
{
	uint32_t due[FLOWTAB_BURST], freed = 0;
	struct flowtab_wheel_walk walk = {
		.now_ms = now_ms,
		.deadline = flow_deadline,
		.prefetch = flow_prefetch,
		.arg = ft->flows,
		.due = due,
		.max = RTE_DIM(due),
		.budget = flowtab_wheel_budget(ft->wheel, now_ms, budget),
	};

	do {
		flowtab_wheel_walk(ft->wheel, &walk);
		prefetch_buckets(ft, due, walk.n);
		for (uint32_t i = 0; i < walk.n; i++) {
			flowtab_drop(ft, due[i]);
			flowtab_wheel_ahead(ft->wheel, &walk);
		}
		freed += walk.n;
	} while (walk.n == walk.max && walk.budget > 0);
	return freed;
}

uint64_t
flowtab_next(const struct flowtab *ft)
{
	return flowtab_wheel_next(ft->wheel);
}

void
flowtab_closing_add(struct flowtab *ft, uint32_t idx)
{
	struct flowtab_flow *f = &ft->flows[idx], *head;

	if (ft->closing_head == FLOWTAB_NONE) {
		f->next = idx;
		f->prev = idx;
		ft->closing_head = idx;
		return;
	}
	head = &ft->flows[ft->closing_head];
	f->next = ft->closing_head;
	f->prev = head->prev;
	ft->flows[head->prev].next = idx;
	head->prev = idx;
}

void
flowtab_closing_del(struct flowtab *ft, uint32_t idx)
{
	struct flowtab_flow *f = &ft->flows[idx];

	if (f->next == idx) {
		ft->closing_head = FLOWTAB_NONE;
		return;
	}
	ft->flows[f->next].prev = f->prev;
	ft->flows[f->prev].next = f->next;
	if (ft->closing_head == idx)
		ft->closing_head = f->next;
}

/** An expired closing flow. The ring is turned: the next search begins where this one ended. */
static uint32_t
closing_expired(struct flowtab *ft, uint64_t now_ms, uint32_t budget)
{
	uint32_t first = ft->closing_head, idx = first;

	while (idx != FLOWTAB_NONE && budget-- > 0) {
		if (flowtab_expired(&ft->flows[idx], now_ms))
			return idx;
		idx = ft->flows[idx].next;
		ft->closing_head = idx;
		if (idx == first)
			break;
	}
	return FLOWTAB_NONE;
}

/** Any expired flow: all of them stand in a slot whose tick has passed or is under way. */
static uint32_t
wheel_expired(struct flowtab *ft, uint64_t now_ms, uint32_t budget)
{
	uint32_t due;
	struct flowtab_wheel_walk walk = {
		.now_ms = now_ms,
		.deadline = flow_deadline,
		.arg = ft->flows,
		.due = &due,
		.max = 1,
		.budget = budget,
		.early = true,
	};

	flowtab_wheel_walk(ft->wheel, &walk);
	return walk.n != 0 ? due : FLOWTAB_NONE;
}

bool
flowtab_reclaim(struct flowtab *ft, struct flowtab_search *s, uint32_t vain, uint64_t now_ms)
{
	uint32_t idx;

	if (s->ms != now_ms) {
		s->ms = now_ms;
		s->vain = 0;
	}
	if (s->vain >= vain)
		return false;
	/* Half of it for each search: many closing flows that live on must not hide the others. */
	idx = closing_expired(ft, now_ms, FLOWTAB_SEARCH_CALL / 2);
	if (idx == FLOWTAB_NONE)
		idx = wheel_expired(ft, now_ms, FLOWTAB_SEARCH_CALL / 2);
	if (idx == FLOWTAB_NONE) {
		s->vain++;
		return false;
	}
	flowtab_drop(ft, idx);
	return true;
}

/** How little a flow is worth: the order in which a full table gives up those that live. */
static unsigned int
worth(const struct flowtab_flow *f)
{
	if (f->state == FLOWTAB_CLOSING)
		return 0;
	if (f->proto == IPPROTO_UDP &&
		(flowtab_flow_pkts(f, FLOWTAB_SIDE_GUEST) == 0 ||
			flowtab_flow_pkts(f, FLOWTAB_SIDE_OTHER) == 0))
		return 1;
	return f->proto == IPPROTO_ICMP || f->proto == IPPROTO_ICMPV6 ? 2 : 3;
}

/** Of two that are worth the same, the one that would end first. */
static bool
is_worth_less(const struct flowtab_flow *a, const struct flowtab_flow *b)
{
	unsigned int wa = worth(a), wb = worth(b);

	return wa < wb || (wa == wb && a->deadline_ms < b->deadline_ms);
}

/*
 * Some neighbours are looked at, each time the next ones. No list by worth is kept: it would cost
 * every flow at its beginning and end.
 */
bool
flowtab_evict(struct flowtab *ft)
{
	uint32_t best = ft->closing_head;

	for (unsigned int i = 0; ft->closing_head == FLOWTAB_NONE && i < FLOWTAB_SEARCH_CALL; i++) {
		uint32_t idx = ft->evict_at < ft->fresh ? ft->evict_at : 0;
		const struct flowtab_flow *f = &ft->flows[idx];

		ft->evict_at = idx + 1;
		if (f->state != FLOWTAB_FREE && f->state != FLOWTAB_NEW &&
			(best == FLOWTAB_NONE || is_worth_less(f, &ft->flows[best])))
			best = idx;
	}
	if (best == FLOWTAB_NONE)
		return false;
	flowtab_drop(ft, best);
	return true;
}
