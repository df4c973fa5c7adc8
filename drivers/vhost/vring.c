/* SPDX-License-Identifier: BSD-3-Clause */
#include "vring.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/uio.h>

#include <rte_common.h>
#include <rte_prefetch.h>

#include "bell.h"
#include "vport_lines.h"

#define LOAD(field) __atomic_load_n(&(field), __ATOMIC_RELAXED)
#define STORE(field, value) __atomic_store_n(&(field), value, __ATOMIC_RELAXED)

/* virtio 1.2, 2.7.10 and 2.7.7: the event fields lie behind the rings. */
static uint16_t *
used_event(struct vhost_ring *r)
{
	return &r->avail->ring[r->size];
}

static uint16_t *
avail_event(struct vhost_ring *r)
{
	return (uint16_t *)&r->used->ring[r->size];
}

int
vring_alloc(struct vhost_ring *r)
{
	r->owner = (struct vport_owner){ 0 };
	r->mask = (uint16_t)(r->size - 1);
	r->avail_seen = r->last_avail;
	r->published = r->used_next;
	r->signalled = r->used_next;
	atomic_init(&r->freed, 0);
	r->again = calloc(r->size, sizeof(*r->again));
	r->order = calloc(r->size, sizeof(*r->order));
	r->heads = vport_lines_zalloc(r->size * sizeof(*r->heads));
	if (!r->again || !r->order || !r->heads)
		return -ENOMEM;
	for (uint32_t i = 0; i < r->size; i++) {
		r->heads[i].number = (uint16_t)i;
		r->heads[i].ring = r;
		r->heads[i].shinfo.free_cb = vring_freed;
		r->heads[i].shinfo.fcb_opaque = &r->heads[i];
	}
	return 0;
}

static void
close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

void
vring_fini(struct vhost_ring *r)
{
	close_fd(r->kick_fd);
	close_fd(r->call_fd);
	close_fd(atomic_load_explicit(&r->next_call_fd, memory_order_acquire));
	free(r->again);
	free(r->order);
	free(r->heads);
}

int32_t
vring_offered(struct vhost_ring *r)
{
	/* Pairs with the guest's write barrier before it moves the index (2.7.13.3.1). */
	const uint16_t idx = __atomic_load_n(&r->avail->idx, __ATOMIC_ACQUIRE);
	const uint16_t n = (uint16_t)(idx - r->last_avail);

	if (unlikely(n > r->size))
		return -(int32_t)VPORT_COUNT_RING_BAD_INDEX;
	r->avail_seen = idx;
	return n;
}

bool
vring_look_ahead(struct vhost_ring *r, unsigned int n)
{
	const struct vring_desc *d[VPORT_BURST];
	unsigned int i;

	if (r->avail_seen == r->last_avail) {
		const int32_t offered = vring_offered(r);

		if (offered <= 0)
			return offered < 0; /* vring_fetch() will tell */
	}
	n = RTE_MIN(n, (unsigned int)(uint16_t)(r->avail_seen - r->last_avail));
	n = RTE_MIN(n, (unsigned int)VPORT_BURST);
	/* Nothing is believed yet: the mask keeps it inside of the table. */
	for (i = 0; i < n; i++) {
		const uint16_t head = LOAD(r->avail->ring[(r->last_avail + i) & r->mask]) & r->mask;

		d[i] = &r->desc[head];
		rte_prefetch0(d[i]);
		rte_prefetch0(&r->heads[head]);
	}
	for (i = 0; i < n; i++) {
		uint64_t len = 1;
		const uint8_t *at = guestmem_at(r->mem, LOAD(d[i]->addr), &len);

		rte_prefetch0(at);
		rte_prefetch0(at + RTE_CACHE_LINE_SIZE);
	}
	return true;
}

void
vring_unfetch(struct vhost_ring *r, uint16_t head)
{
	r->heads[head].state = HEAD_FREE;
	r->last_avail--;
}

/** The walk of one chain. */
struct walk {
	struct vhost_ring *r;
	struct vring_span *spans;
	unsigned int n, room;
	unsigned int n_desc;
	uint64_t total;
};

/** Append a piece of guest memory, in as many spans as regions it lies in. */
static int
add_piece(struct walk *w, uint64_t gpa, uint32_t bytes)
{
	while (bytes) {
		uint64_t len = bytes;
		uint8_t *addr = guestmem_at(w->r->mem, gpa, &len);

		if (unlikely(addr == NULL))
			return -(int)VPORT_COUNT_RING_BAD_ADDR;
		if (unlikely(w->n == w->room))
			return -(int)VPORT_COUNT_RING_BAD_CHAIN;
		w->spans[w->n++] = (struct vring_span){ addr, gpa, (uint32_t)len };
		w->total += len;
		gpa += len;
		bytes -= (uint32_t)len;
	}
	return 0;
}

/** One descriptor of data, already read. */
static int
add_desc(struct walk *w, const struct vring_desc *d)
{
	if (unlikely(++w->n_desc > VPORT_MAX_CHAIN))
		return -(int)VPORT_COUNT_RING_BAD_CHAIN;
	if (unlikely(!!(d->flags & VRING_DESC_F_WRITE) != w->r->write))
		return -(int)VPORT_COUNT_RING_BAD_CHAIN;
	return add_piece(w, d->addr, d->len);
}

/** Copy an indirect table; it may lie over the border of two regions. */
static int
read_table(struct walk *w, const struct vring_desc *d, struct vring_desc *table)
{
	uint8_t *to = (uint8_t *)table;
	uint64_t gpa = d->addr;
	uint32_t left = d->len;

	while (left) {
		uint64_t len = left;
		const uint8_t *from = guestmem_at(w->r->mem, gpa, &len);

		if (from == NULL)
			return -(int)VPORT_COUNT_RING_BAD_ADDR;
		memcpy(to, from, len);
		to += len;
		gpa += len;
		left -= (uint32_t)len;
	}
	return 0;
}

static int
walk_indirect(struct walk *w, const struct vring_desc *d)
{
	struct vring_desc table[VPORT_MAX_CHAIN];
	const uint32_t n = d->len / sizeof(table[0]);
	uint32_t i = 0;
	int ret;

	/* 2.7.5.3.1: no NEXT beside INDIRECT, whole entries, no table in a table. */
	if (!w->r->indirect || (d->flags & VRING_DESC_F_NEXT) || n == 0 || n > VPORT_MAX_CHAIN ||
		d->len % sizeof(table[0]) != 0)
		return -(int)VPORT_COUNT_RING_BAD_INDIRECT;
	ret = read_table(w, d, table);
	if (ret != 0)
		return ret;
	for (;;) {
		if (table[i].flags & VRING_DESC_F_INDIRECT)
			return -(int)VPORT_COUNT_RING_BAD_INDIRECT;
		ret = add_desc(w, &table[i]);
		if (ret != 0)
			return ret;
		if (!(table[i].flags & VRING_DESC_F_NEXT))
			return 0;
		i = table[i].next;
		if (i >= n)
			return -(int)VPORT_COUNT_RING_BAD_INDIRECT;
	}
}

int
vring_walk_chain(struct vhost_ring *r, uint16_t head, struct vring_span *spans, unsigned int room,
	uint64_t *total)
{
	struct walk w = { .r = r, .spans = spans, .room = room };
	uint32_t i = head;
	int ret;

	for (;;) {
		const struct vring_desc *from = &r->desc[i];
		const struct vring_desc d = { LOAD(from->addr), LOAD(from->len), LOAD(from->flags),
			LOAD(from->next) };

		if (unlikely(d.flags & VRING_DESC_F_INDIRECT)) {
			ret = walk_indirect(&w, &d);
			if (ret != 0)
				return ret;
			break;
		}
		ret = add_desc(&w, &d);
		if (unlikely(ret != 0))
			return ret;
		if (!(d.flags & VRING_DESC_F_NEXT))
			break;
		i = d.next;
		/* A chain longer than the table has a loop; add_desc() ends it. */
		if (unlikely(i >= r->size || w.n_desc >= r->size))
			return -(int)VPORT_COUNT_RING_BAD_CHAIN;
	}
	*total = w.total;
	return (int)w.n;
}

void
vring_gather(void *to, const struct vring_span *spans, uint64_t off, uint32_t len)
{
	uint8_t *at = to;

	for (; len; spans++) {
		uint32_t part;

		if (off >= spans->len) {
			off -= spans->len;
			continue;
		}
		part = RTE_MIN(len, spans->len - (uint32_t)off);
		memcpy(at, spans->addr + off, part);
		at += part;
		len -= part;
		off = 0;
	}
}

void
vring_freed(void *addr __rte_unused, void *head)
{
	struct vring_head *h = head;
	struct vhost_ring *r = h->ring;
	const uint32_t me = h->number + 1u;
	struct vport_owner owner;
	uint32_t first;

	owner = r->owner;
	first = atomic_load_explicit(&r->freed, memory_order_relaxed);
	do {
		h->next = first;
		/* Release pairs with the exchange in vring_drain(); the ring may be gone after it.
		 */
	} while (!atomic_compare_exchange_weak_explicit(
		&r->freed, &first, me, memory_order_release, memory_order_relaxed));
	if (first == 0 && owner.wake)
		owner.wake(owner.arg);
}

void
vring_return_mbuf(struct rte_mbuf *m)
{
	/* To detach it would be to free a part of a head that the guest has again. */
	rte_pktmbuf_init(m->pool, NULL, m, 0);
	rte_mbuf_raw_free(m);
}

void
vring_trim_spares(struct vhost_ring *r, uint32_t left)
{
	while (r->n_spare > left)
		vring_return_mbuf(r->spare[--r->n_spare]);
}

void
vring_drain(struct vhost_ring *r)
{
	uint32_t next;

	if (likely(atomic_load_explicit(&r->freed, memory_order_relaxed) == 0))
		return;
	next = atomic_exchange_explicit(&r->freed, 0, memory_order_acquire);
	while (next) {
		const uint16_t head = (uint16_t)(next - 1);
		struct vring_head *h = &r->heads[head];

		next = h->next;
		vring_take_in(r, h);
		if (h->state == HEAD_GUEST_TX) {
			vring_use(r, head, 0);
		} else {
			h->state = HEAD_FETCHED;
			r->again[r->n_again++] = head;
		}
	}
}

static void
log_used(struct vhost_ring *r)
{
	const uint64_t n = (uint16_t)(r->used_next - r->published);
	const uint64_t from = r->published & r->mask;
	const uint64_t first = RTE_MIN(n, r->size - from);
	const uint64_t at = r->used_gpa + offsetof(struct vring_used, ring);

	if (likely(r->log == NULL) || r->used_gpa == 0)
		return;
	guestlog_write(r->log, at + from * sizeof(struct vring_used_elem),
		first * sizeof(struct vring_used_elem));
	guestlog_write(r->log, at, (n - first) * sizeof(struct vring_used_elem));
	guestlog_write(r->log, r->used_gpa, offsetof(struct vring_used, ring));
}

bool
vring_publish(struct vhost_ring *r)
{
	uint16_t old;
	bool valid;

	if (r->used_next == r->published)
		return false;
	/* Pairs with the guest's read barrier after it has read the index (2.7.14). */
	__atomic_store_n(&r->used->idx, r->used_next, __ATOMIC_RELEASE);
	log_used(r);
	r->published = r->used_next;
	/* The index must be visible before we look whether the guest wants to hear of it (2.7.10).
	 */
	atomic_thread_fence(memory_order_seq_cst);
	if (!r->event_idx)
		return !(LOAD(r->avail->flags) & VRING_AVAIL_F_NO_INTERRUPT);
	old = r->signalled;
	valid = r->signalled_valid;
	r->signalled = r->used_next;
	r->signalled_valid = true;
	return !valid || vring_need_event(LOAD(*used_event(r)), r->used_next, old);
}

int
vring_call(struct vhost_ring *r)
{
	return r->call_fd < 0 ? -EBADF : vport_bell_ring(r->owner.bell, r->call_fd);
}

void
vring_refresh_call(struct vhost_ring *r)
{
	const int fd =
		atomic_exchange_explicit(&r->next_call_fd, VRING_NO_FD, memory_order_acq_rel);

	if (fd == VRING_NO_FD)
		return;
	close_fd(r->call_fd);
	r->call_fd = fd;
	/* What went to the old descriptor in the meantime may never have been seen. */
	if (fd >= 0)
		vring_call(r);
}

void
vring_arm(struct vhost_ring *r, uint16_t seen)
{
	if (r->armed && (!r->event_idx || r->armed_at == seen))
		return;
	r->armed = true;
	r->armed_at = seen;
	if (r->event_idx)
		STORE(*avail_event(r), seen);
	else
		STORE(r->used->flags, 0);
	/* The wish must be visible before the index is looked at again (2.7.7.2). */
	atomic_thread_fence(memory_order_seq_cst);
}

static void
drain_kick(int fd)
{
	uint64_t count;
	struct iovec iov = { &count, sizeof(count) };

	/*
	 * The other side decides whether the descriptor blocks; RWF_NOWAIT does not ask it. A count
	 * that stays is no harm: the sleeper waits for the edge of the next kick.
	 */
	if (fd >= 0 && preadv2(fd, &iov, 1, -1, RWF_NOWAIT) < 0)
		return;
}

void
vring_disarm(struct vhost_ring *r)
{
	r->armed = false;
	/* An index just behind is not passed again before 65535 more heads. */
	if (r->event_idx)
		STORE(*avail_event(r), (uint16_t)(r->last_avail - 1));
	else
		STORE(r->used->flags, VRING_USED_F_NO_NOTIFY);
	drain_kick(r->kick_fd);
}

void
vring_rewind(struct vhost_ring *r)
{
	/* Newest first: what lies at the end of what was taken can be taken again by the next. */
	while (r->n_again) {
		const uint16_t pos = (uint16_t)(r->last_avail - 1);
		const uint16_t head = r->order[pos & r->mask];

		if (r->heads[head].state != HEAD_FETCHED || r->heads[head].pos != pos)
			break;
		r->heads[head].state = HEAD_FREE;
		r->last_avail = pos;
	}
}
