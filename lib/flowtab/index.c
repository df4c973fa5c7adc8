/* SPDX-License-Identifier: BSD-3-Clause */
#include "index_priv.h"

#include <errno.h>
#include <string.h>

#include <rte_malloc.h>

/** Keys that a bucket has on average at most: then 4 in 100 buckets have a further one. */
#define KEYS_PER_BUCKET 6

int
flowtab_index_create(struct flowtab_index *x, uint32_t n_keys, int socket_id)
{
	uint32_t n = rte_align32pow2(RTE_MAX(n_keys / KEYS_PER_BUCKET, 1U));

	memset(x, 0, sizeof(*x));
	x->mask = n - 1;
	/* A chain of so many has ten entries more in what comes before each of them. */
	x->n_more = n_keys / FLOWTAB_BUCKET + 1;
	x->buckets = rte_zmalloc_socket(
		"flowtab_buckets", n * sizeof(x->buckets[0]), RTE_CACHE_LINE_SIZE, socket_id);
	x->more = rte_zmalloc_socket(
		"flowtab_more", x->n_more * sizeof(x->more[0]), RTE_CACHE_LINE_SIZE, socket_id);
	return x->buckets != NULL && x->more != NULL ? 0 : -ENOMEM;
}

void
flowtab_index_destroy(struct flowtab_index *x)
{
	rte_free(x->more);
	rte_free(x->buckets);
}

static uint32_t
take_more(struct flowtab_index *x)
{
	uint32_t nr = x->free_more;

	if (nr == 0) {
		assert(x->fresh_more < x->n_more);
		return ++x->fresh_more;
	}
	x->free_more = x->more[nr - 1].next;
	x->more[nr - 1].next = 0;
	return nr;
}

void
flowtab_index_add(struct flowtab_index *x, uint32_t hash, uint32_t ref)
{
	struct flowtab_bucket *b = &x->buckets[hash & x->mask];
	unsigned int i = 0;

	while (b->next != 0)
		b = &x->more[b->next - 1];
	while (i < FLOWTAB_BUCKET && b->ref[i] != 0)
		i++;
	if (i == FLOWTAB_BUCKET) {
		b->next = take_more(x);
		b = &x->more[b->next - 1];
		i = 0;
	}
	b->tag[i] = (uint16_t)(hash >> 16);
	b->ref[i] = ref + 1;
}

/** Take the last entry out of the chain that begins with b. */
static void
take_last(struct flowtab_index *x, struct flowtab_bucket *b, uint16_t *tag, uint32_t *ref)
{
	struct flowtab_bucket *before = NULL;
	unsigned int i = FLOWTAB_BUCKET - 1;

	while (b->next != 0) {
		before = b;
		b = &x->more[b->next - 1];
	}
	while (b->ref[i] == 0)
		i--;
	*tag = b->tag[i];
	*ref = b->ref[i];
	b->ref[i] = 0;
	if (i == 0 && before != NULL) {
		b->next = x->free_more;
		x->free_more = before->next;
		before->next = 0;
	}
}

void
flowtab_index_del(struct flowtab_index *x, uint32_t hash, uint32_t ref)
{
	struct flowtab_bucket *first = &x->buckets[hash & x->mask], *b = first;
	uint32_t last_ref;
	uint16_t last_tag;

	for (;;) {
		for (unsigned int i = 0; i < FLOWTAB_BUCKET; i++) {
			if (b->ref[i] != ref + 1)
				continue;
			take_last(x, first, &last_tag, &last_ref);
			/* Unless it was the last itself. */
			if (last_ref != ref + 1) {
				b->tag[i] = last_tag;
				b->ref[i] = last_ref;
			}
			return;
		}
		assert(b->next != 0);
		b = &x->more[b->next - 1];
	}
}
