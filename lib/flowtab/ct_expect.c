/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Expectations: flows to come. Slots of one array, each on three lists: its bucket of the hash,
 * all by age, those of its parent by age. Deadlines are all equally far, so by age is by deadline.
 */
#include "ct.h"

#include <assert.h>
#include <errno.h>

#include <rte_errno.h>
#include <rte_malloc.h>

#include "ct_priv.h"

#define MAX_EXPECT_DEFAULT 1024
#define MAX_EXPECT_FLOW_DEFAULT 8
#define MAX_HELPED_DEFAULT 1024
#define MAX_EXPECT (1U << 20)
/**
 * Expectations of one bucket, at most. There are as many buckets as slots, and the hash is keyed:
 * so many in one have the same destination, which takes as many parents that work together.
 */
#define CHAIN_MAX 16
/** Expired ones that make room for a new one, at most. */
#define EXPIRE_MAX 32

enum list {
	BY_HASH, /**< its next links the free slots, too */
	BY_AGE,
	BY_PARENT,
	LISTS,
};

struct head {
	uint32_t first, last;
};

struct slot {
	struct ct_expect e;
	uint32_t bucket;
	uint32_t helped; /**< of the parent */
	uint16_t pif;    /**< of the parent */
	struct {
		uint32_t next, prev;
	} in[LISTS];
};

/**
 * So many there are, and so many of each port's flows. While less than a quarter is free, no port
 * gets more than an eighth: what is left is for those who have least.
 */
struct share {
	uint32_t max, used;
	uint32_t by_pif[FLOWTAB_MAX_PIFS];
};

struct ct_expects {
	struct slot *slots;
	struct head *buckets; /**< mask + 1 */
	struct head *parents; /**< by number of struct ct_helped */
	struct head age;
	uint32_t mask, max_flow, free;
	struct share expects, helped;
};

static bool
share_has(const struct share *s, uint16_t pif)
{
	if (s->used == s->max)
		return false;
	return s->max - s->used >= s->max / 4 || s->by_pif[pif] < s->max / 8;
}

static void
share_take(struct share *s, uint16_t pif)
{
	s->used++;
	s->by_pif[pif]++;
}

static void
share_give(struct share *s, uint16_t pif)
{
	s->used--;
	s->by_pif[pif]--;
}

static void
list_add(struct ct_expects *x, struct head *h, enum list l, uint32_t nr)
{
	x->slots[nr].in[l].next = FLOWTAB_NONE;
	x->slots[nr].in[l].prev = h->last;
	if (h->last != FLOWTAB_NONE)
		x->slots[h->last].in[l].next = nr;
	else
		h->first = nr;
	h->last = nr;
}

static void
list_del(struct ct_expects *x, struct head *h, enum list l, uint32_t nr)
{
	uint32_t next = x->slots[nr].in[l].next, prev = x->slots[nr].in[l].prev;

	if (prev != FLOWTAB_NONE)
		x->slots[prev].in[l].next = next;
	else
		h->first = next;
	if (next != FLOWTAB_NONE)
		x->slots[next].in[l].prev = prev;
	else
		h->last = prev;
}

static struct head *
heads_create(uint32_t n, int socket_id)
{
	struct head *h = rte_malloc_socket("ct_expect_heads", n * sizeof(*h), 0, socket_id);

	for (uint32_t i = 0; h != NULL && i < n; i++)
		h[i] = (struct head){ FLOWTAB_NONE, FLOWTAB_NONE };
	return h;
}

struct ct_expects *
ct_expects_create(const struct ct_params *p)
{
	uint32_t max = p->max_expect != 0 ? p->max_expect : MAX_EXPECT_DEFAULT;
	uint32_t helped = p->max_helped != 0 ? p->max_helped : MAX_HELPED_DEFAULT;
	struct ct_expects *x;

	if (max > MAX_EXPECT) {
		rte_errno = EINVAL;
		return NULL;
	}
	x = rte_zmalloc_socket("ct_expects", sizeof(*x), 0, p->socket_id);
	if (x == NULL) {
		rte_errno = ENOMEM;
		return NULL;
	}
	x->mask = rte_align32pow2(max) - 1;
	x->max_flow = p->max_expect_flow != 0 ? p->max_expect_flow : MAX_EXPECT_FLOW_DEFAULT;
	x->age = (struct head){ FLOWTAB_NONE, FLOWTAB_NONE };
	x->expects.max = max;
	x->helped.max = helped;
	x->slots = rte_zmalloc_socket(
		"ct_expect_slots", max * sizeof(x->slots[0]), RTE_CACHE_LINE_SIZE, p->socket_id);
	x->buckets = heads_create(x->mask + 1, p->socket_id);
	x->parents = heads_create(helped, p->socket_id);
	if (x->slots == NULL || x->buckets == NULL || x->parents == NULL) {
		ct_expects_destroy(x);
		rte_errno = ENOMEM;
		return NULL;
	}
	for (uint32_t i = 0; i < max; i++)
		x->slots[i].in[BY_HASH].next = i + 1 < max ? i + 1 : FLOWTAB_NONE;
	return x;
}

void
ct_expects_destroy(struct ct_expects *x)
{
	if (x == NULL)
		return;
	rte_free(x->parents);
	rte_free(x->buckets);
	rte_free(x->slots);
	rte_free(x);
}

/** By what every expectation has: where the flow goes, and where it comes in. */
static uint32_t
bucket_of(const struct ct *ct, const struct flowtab_tuple *t)
{
	uint64_t w[4] = {
		t->oaddr.q[0],
		t->oaddr.q[1],
		(uint64_t)t->oport << 48 | (uint64_t)t->zone << 32 | (uint64_t)t->pif << 16,
		t->proto,
	};

	return (uint32_t)flowtab_siphash13(&ct->sipkey, w, 4) & ct->expects->mask;
}

static bool
dest_eq(const struct flowtab_tuple *a, const struct flowtab_tuple *b)
{
	return a->oport == b->oport && flowtab_addr_eq(&a->oaddr, &b->oaddr) && a->pif == b->pif &&
		a->zone == b->zone && a->proto == b->proto;
}

/** The parent may be gone, or as good as gone, with its expectations still here. */
static bool
is_living(const struct ct *ct, const struct ct_expect *e, uint64_t now_ms)
{
	uint32_t idx = flowtab_by_handle(ct->ft, e->parent);

	return e->deadline_ms > now_ms && idx != FLOWTAB_NONE &&
		!flowtab_expired(&ct->flows[idx], now_ms);
}

static bool
is_met(const struct ct_expect *e, const struct flowtab_tuple *t)
{
	return dest_eq(&e->tuple, t) && (e->tuple.eport == 0 || e->tuple.eport == t->eport) &&
		(flowtab_addr_is_any(&e->tuple.eaddr) ||
			flowtab_addr_eq(&e->tuple.eaddr, &t->eaddr));
}

uint32_t
ct_expect_find(struct ct *ct, const struct flowtab_tuple *t, uint64_t now_ms)
{
	struct ct_expects *x = ct->expects;
	uint32_t nr;

	if (likely(x->age.first == FLOWTAB_NONE))
		return FLOWTAB_NONE;
	for (nr = x->buckets[bucket_of(ct, t)].first; nr != FLOWTAB_NONE;
		nr = x->slots[nr].in[BY_HASH].next) {
		if (is_met(&x->slots[nr].e, t) && is_living(ct, &x->slots[nr].e, now_ms))
			break;
	}
	return nr;
}

const struct ct_expect *
ct_expect_get(const struct ct *ct, uint32_t nr)
{
	return &ct->expects->slots[nr].e;
}

void
ct_expect_del(struct ct *ct, uint32_t nr)
{
	struct ct_expects *x = ct->expects;
	struct slot *s = &x->slots[nr];

	list_del(x, &x->buckets[s->bucket], BY_HASH, nr);
	list_del(x, &x->age, BY_AGE, nr);
	list_del(x, &x->parents[s->helped], BY_PARENT, nr);
	ct->helped[s->helped].expects--;
	share_give(&x->expects, s->pif);
	s->in[BY_HASH].next = x->free;
	x->free = nr;
}

/** Nothing came of it. */
static void
give_up(struct ct *ct, uint32_t nr)
{
	ct_expect_del(ct, nr);
	ct_count(ct, CT_COUNT_EXPECT_GONE);
}

/** @return whether there is room in the bucket; *same: the parent expects this already, or NONE */
static bool
look_in_bucket(const struct ct *ct, uint32_t bucket, const struct ct_expect *e, uint32_t *same)
{
	const struct ct_expects *x = ct->expects;
	const struct slot *s;
	unsigned int n = 0;
	uint32_t nr;

	for (nr = x->buckets[bucket].first; nr != FLOWTAB_NONE; nr = s->in[BY_HASH].next, n++) {
		s = &x->slots[nr];
		if (s->e.parent == e->parent && dest_eq(&s->e.tuple, &e->tuple) &&
			s->e.tuple.eport == e->tuple.eport &&
			flowtab_addr_eq(&s->e.tuple.eaddr, &e->tuple.eaddr))
			break;
	}
	*same = nr;
	return n < CHAIN_MAX;
}

/** @return a slot, or FLOWTAB_NONE */
static uint32_t
take_slot(struct ct *ct, uint32_t helped, uint16_t pif, uint64_t now_ms)
{
	struct ct_expects *x = ct->expects;
	uint32_t nr;

	if (ct->helped[helped].expects >= x->max_flow) {
		give_up(ct, x->parents[helped].first);
	} else if (!share_has(&x->expects, pif)) {
		ct_expects_expire(ct, now_ms, EXPIRE_MAX);
		if (!share_has(&x->expects, pif))
			return FLOWTAB_NONE;
	}
	share_take(&x->expects, pif);
	nr = x->free;
	x->free = x->slots[nr].in[BY_HASH].next;
	x->slots[nr].pif = pif;
	return nr;
}

int
ct_expect_add(struct ct *ct, const struct ct_expect *e, uint64_t now_ms)
{
	uint32_t idx = flowtab_by_handle(ct->ft, e->parent), bucket = bucket_of(ct, &e->tuple);
	struct ct_expects *x = ct->expects;
	uint32_t nr, helped;
	bool room;

	assert(idx != FLOWTAB_NONE && (ct->flows[idx].flags & CT_F_HELPED));
	helped = ct->flows[idx].ext;
	room = look_in_bucket(ct, bucket, e, &nr);
	if (nr != FLOWTAB_NONE) {
		list_del(x, &x->age, BY_AGE, nr);
		list_del(x, &x->parents[helped], BY_PARENT, nr);
	} else {
		nr = room ? take_slot(ct, helped, ct->flows[idx].pif, now_ms) : FLOWTAB_NONE;
		if (nr == FLOWTAB_NONE) {
			ct_count(ct, CT_COUNT_EXPECT_FULL);
			return -ENOSPC;
		}
		list_add(x, &x->buckets[bucket], BY_HASH, nr);
		ct->helped[helped].expects++;
		ct_count(ct, CT_COUNT_EXPECT_NEW);
	}
	list_add(x, &x->age, BY_AGE, nr);
	list_add(x, &x->parents[helped], BY_PARENT, nr);
	x->slots[nr].e = *e;
	x->slots[nr].e.deadline_ms = now_ms + CT_EXPECT_MS;
	x->slots[nr].bucket = bucket;
	x->slots[nr].helped = helped;
	return 0;
}

void
ct_expect_flush(struct ct *ct, uint64_t parent)
{
	uint32_t idx = flowtab_by_handle(ct->ft, parent);

	if (idx == FLOWTAB_NONE || !(ct->flows[idx].flags & CT_F_HELPED))
		return;
	while (ct->helped[ct->flows[idx].ext].expects > 0)
		give_up(ct, ct->expects->parents[ct->flows[idx].ext].first);
}

uint32_t
ct_expects_expire(struct ct *ct, uint64_t now_ms, uint32_t budget)
{
	struct ct_expects *x = ct->expects;
	uint32_t n = 0;

	for (; n < budget && x->age.first != FLOWTAB_NONE; n++) {
		if (x->slots[x->age.first].e.deadline_ms > now_ms)
			break;
		give_up(ct, x->age.first);
	}
	return n;
}

int
ct_helped_create(struct ct *ct, const struct ct_params *p)
{
	uint32_t max = p->max_helped != 0 ? p->max_helped : MAX_HELPED_DEFAULT;

	ct->helped = rte_zmalloc_socket(
		"ct_helped", max * sizeof(ct->helped[0]), RTE_CACHE_LINE_SIZE, p->socket_id);
	if (ct->helped == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < max; i++)
		ct->helped[i].flow = i + 1 < max ? i + 1 : FLOWTAB_NONE;
	ct->helped_free = 0;
	return 0;
}

int
ct_helped_add(struct ct *ct, uint32_t idx, enum ct_helper helper)
{
	struct flowtab_flow *f = &ct->flows[idx];
	uint32_t nr = ct->helped_free;

	assert(f->ext == FLOWTAB_NONE);
	if (!share_has(&ct->expects->helped, f->pif))
		return -ENOSPC;
	share_take(&ct->expects->helped, f->pif);
	ct->helped_free = ct->helped[nr].flow;
	ct->helped[nr] = (struct ct_helped){ .flow = idx, .helper = helper };
	f->flags |= CT_F_HELPED;
	f->ext = nr;
	return 0;
}

void
ct_helped_del(struct ct *ct, uint32_t idx)
{
	struct flowtab_flow *f = &ct->flows[idx];
	uint32_t nr = f->ext;

	if (!(f->flags & CT_F_HELPED))
		return;
	ct_expect_flush(ct, flowtab_handle(ct->ft, idx));
	share_give(&ct->expects->helped, f->pif);
	ct->helped[nr].flow = ct->helped_free;
	ct->helped_free = nr;
	f->flags &= (uint16_t)~CT_F_HELPED;
	f->ext = FLOWTAB_NONE;
}
