/* SPDX-License-Identifier: BSD-3-Clause */
#include "vhu.h"
#include "vhu_priv.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/eventfd.h>

/** Between an element's being used and the call for it, on a busy machine. */
#define LATE_CALL_MS 2000

/* ---- making and starting ---- */

static size_t
desc_bytes(unsigned int size)
{
	return sizeof(struct vring_desc) * size;
}

static size_t
avail_bytes(unsigned int size)
{
	return 2 * (3 + (size_t)size);
}

static size_t
used_bytes(unsigned int size)
{
	return 6 + sizeof(struct vring_used_elem) * size;
}

int
vhu_ring_make(struct vhu *v, unsigned int index)
{
	struct vhu_ring *r = &v->rings[index];
	unsigned int size = v->conf.ring_size;

	r->index = index;
	r->size = size;
	r->kick_fd = r->call_fd = r->err_fd = -1;
	v->n_rings = index + 1;
	r->desc = vhu_alloc(v, desc_bytes(size));
	r->avail = vhu_alloc(v, avail_bytes(size));
	r->used = vhu_alloc(v, used_bytes(size));
	r->free_ids = calloc(size, sizeof(r->free_ids[0]));
	r->chains = calloc(size, sizeof(r->chains[0]));
	if (r->desc == NULL || r->avail == NULL || r->used == NULL || r->free_ids == NULL ||
		r->chains == NULL)
		return -ENOMEM;
	vhu_ring_clear(v, index);
	return 0;
}

static void
chain_forget(struct vhu *v, struct vhu_chain *c)
{
	vhu_free(v, c->table, c->table_bytes);
	vhu_free(v, c->data, c->data_bytes);
	free(c->segs);
	memset(c, 0, sizeof(*c));
}

void
vhu_ring_clear(struct vhu *v, unsigned int ring)
{
	struct vhu_ring *r = &v->rings[ring];

	memset(r->desc, 0, desc_bytes(r->size));
	memset(r->avail, 0, avail_bytes(r->size));
	memset(r->used, 0, used_bytes(r->size));
	r->avail_idx = r->published = r->last_used = 0;
	for (unsigned int i = 0; i < r->size; i++) {
		chain_forget(v, &r->chains[i]);
		r->free_ids[i] = (uint16_t)(r->size - 1 - i);
	}
	r->n_free = r->size;
}

static void
close_fds(struct vhu_ring *r)
{
	int *fds[] = { &r->kick_fd, &r->call_fd, &r->err_fd };

	for (unsigned int i = 0; i < 3; i++) {
		if (*fds[i] >= 0)
			close(*fds[i]);
		*fds[i] = -1;
	}
}

void
vhu_ring_destroy(struct vhu *v, unsigned int index)
{
	struct vhu_ring *r = &v->rings[index];

	for (unsigned int i = 0; r->chains != NULL && i < r->size; i++)
		chain_forget(v, &r->chains[i]);
	close_fds(r);
	free(r->free_ids);
	free(r->chains);
}

int
vhu_ring_addr(struct vhu *v, unsigned int index)
{
	const struct vhu_ring *r = &v->rings[index];
	struct vhu_vring_addr addr = {
		.index = index,
		.flags = v->features & VHU_F_LOG_ALL ? 1 : 0,
		.desc = (uintptr_t)r->desc,
		.used = (uintptr_t)r->used,
		.avail = (uintptr_t)r->avail,
		.log = vhu_gpa(v, r->used),
	};

	return vhu_send_ack(v, VHU_SET_VRING_ADDR, &addr, sizeof(addr), NULL, 0);
}

static int
ring_fds(struct vhu *v, struct vhu_ring *r)
{
	uint64_t index = r->index;
	int rc;

	if (r->kick_fd < 0)
		r->kick_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (r->call_fd < 0)
		r->call_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (r->kick_fd < 0 || r->call_fd < 0)
		return -errno;
	rc = vhu_send_ack(v, VHU_SET_VRING_KICK, &index, sizeof(index), &r->kick_fd, 1);
	if (rc == 0)
		rc = vhu_send_ack(v, VHU_SET_VRING_CALL, &index, sizeof(index), &r->call_fd, 1);
	return rc;
}

int
vhu_ring_start(struct vhu *v, unsigned int ring)
{
	struct vhu_ring *r = &v->rings[ring];
	struct vhu_vring_state num = { ring, r->size };
	struct vhu_vring_state base = { ring, __atomic_load_n(&r->used->idx, __ATOMIC_ACQUIRE) };
	int rc = vhu_send_ack(v, VHU_SET_VRING_NUM, &num, sizeof(num), NULL, 0);

	if (rc == 0)
		rc = vhu_send_ack(v, VHU_SET_VRING_BASE, &base, sizeof(base), NULL, 0);
	if (rc == 0)
		rc = vhu_ring_addr(v, ring);
	if (rc == 0)
		rc = ring_fds(v, r);
	if (rc == 0) {
		r->started = true;
		/* Buffers may wait in it already; a driver kicks after it has filled a ring. */
		if (r->published != base.num)
			vhu_ring_kick(r);
	}
	return rc;
}

int
vhu_ring_stop(struct vhu *v, unsigned int ring, uint32_t *base)
{
	struct vhu_vring_state s = { ring, 0 }, reply = { 0 };
	uint8_t buf[VHU_MAX_PAYLOAD];
	uint32_t req, flags;
	ssize_t n;
	int rc = vhu_send(v, VHU_GET_VRING_BASE, 0, &s, sizeof(s), NULL, 0);

	if (rc < 0)
		return rc;
	n = vhu_recv(v, &req, &flags, buf, sizeof(buf), NULL, 0);
	if (n < 0)
		return (int)n;
	memcpy(&reply, buf, sizeof(reply));
	if (req != VHU_GET_VRING_BASE || (size_t)n < sizeof(reply) || reply.index != ring) {
		vhu_violate(v, "reply to GET_VRING_BASE %u: request %u index %u", ring, req,
			reply.index);
		return -EPROTO;
	}
	v->rings[ring].started = v->rings[ring].enabled = false;
	/* The back-end forgets its copies of these: another start brings others. */
	close_fds(&v->rings[ring]);
	if (base != NULL)
		*base = reply.num;
	return 0;
}

int
vhu_ring_enable(struct vhu *v, unsigned int ring, bool on)
{
	struct vhu_vring_state s = { ring, on };
	int rc;

	/* Without protocol features rings are enabled from the start. */
	if (!(v->features & VHU_F_PROTOCOL))
		return 0;
	rc = vhu_send_ack(v, VHU_SET_VRING_ENABLE, &s, sizeof(s), NULL, 0);
	if (rc == 0)
		v->rings[ring].enabled = on;
	return rc;
}

/* ---- notifications ---- */

static uint16_t *
used_event(struct vhu_ring *r)
{
	return &r->avail->ring[r->size];
}

static uint16_t *
avail_event(struct vhu_ring *r)
{
	return (uint16_t *)&r->used->ring[r->size];
}

void
vhu_ring_kick(struct vhu_ring *r)
{
	uint64_t one = 1;

	r->kicks++;
	if (r->kick_fd >= 0 && write(r->kick_fd, &one, sizeof(one)) < 0)
		return; /* at its maximum: it is readable, which is all that is asked */
}

bool
vhu_ring_publish(struct vhu *v, struct vhu_ring *r)
{
	uint16_t old = r->published, new = r->avail_idx;
	bool kick;

	if (old == new)
		return false;
	__atomic_store_n(&r->avail->idx, new, __ATOMIC_RELEASE);
	r->published = new;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (v->features & VHU_F_EVENT_IDX)
		kick = vring_need_event(
			__atomic_load_n(avail_event(r), __ATOMIC_RELAXED), new, old);
	else
		kick = !(__atomic_load_n(&r->used->flags, __ATOMIC_RELAXED) &
			VRING_USED_F_NO_NOTIFY);
	if (kick)
		vhu_ring_kick(r);
	return kick;
}

static bool
has_used(const struct vhu_ring *r)
{
	return __atomic_load_n(&r->used->idx, __ATOMIC_ACQUIRE) != r->last_used;
}

/* Ask for a call at the next used element, or for none. */
static void
call_wish(struct vhu *v, struct vhu_ring *r, bool on)
{
	uint16_t at = on ? r->last_used : (uint16_t)(r->last_used - 1);

	if (v->features & VHU_F_EVENT_IDX)
		__atomic_store_n(used_event(r), at, __ATOMIC_RELAXED);
	else
		__atomic_store_n(
			&r->avail->flags, on ? 0 : VRING_AVAIL_F_NO_INTERRUPT, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static void
call_drain(struct vhu_ring *r)
{
	uint64_t n;

	if (r->call_fd >= 0 && read(r->call_fd, &n, sizeof(n)) == sizeof(n))
		r->calls += n;
}

/* An element was used, and the wait for a call timed out: was there one at the very last, then? */
static bool
call_is_late(const struct vhu_ring *r)
{
	struct pollfd p = { r->call_fd, POLLIN, 0 };

	return poll(&p, 1, LATE_CALL_MS) == 1;
}

/* True as soon as one of the rings has an element. Waits as conf.busy says. */
bool
vhu_ring_wait_any(struct vhu *v, struct vhu_ring **rings, unsigned int n, int timeout_ms)
{
	uint64_t deadline = vhu_now_ms() + (unsigned int)(timeout_ms > 0 ? timeout_ms : 0);
	struct pollfd p[VHU_MAX_RINGS];
	bool fired;

	for (;;) {
		for (unsigned int i = 0; i < n; i++) {
			call_wish(v, rings[i], !v->conf.busy);
			if (has_used(rings[i]))
				return true;
			p[i] = (struct pollfd){ rings[i]->call_fd, POLLIN, 0 };
		}
		if (v->conf.busy) {
			if (v->conf.idle != NULL)
				v->conf.idle(v->conf.idle_arg);
			if (vhu_now_ms() >= deadline)
				return false;
			continue;
		}
		fired = vhu_wait_fds(v, p, n, deadline);
		for (unsigned int i = 0; i < n; i++) {
			if (!fired && has_used(rings[i]) && !call_is_late(rings[i]))
				rings[i]->lost_calls++;
			call_drain(rings[i]);
			if (has_used(rings[i]))
				return true;
		}
		if (!fired)
			return false;
	}
}

bool
vhu_ring_wait_used(struct vhu *v, struct vhu_ring *r, int timeout_ms)
{
	return vhu_ring_wait_any(v, &r, 1, timeout_ms);
}

/* ---- chains ---- */

unsigned int
vhu_ring_in_flight(const struct vhu_ring *r)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < r->size; i++)
		n += r->chains[i].n_desc != 0;
	return n;
}

static void
fill_table(const struct vhu *v, struct vring_desc *table, const uint16_t *ids,
	const struct vhu_seg *segs, unsigned int n, uint16_t flags)
{
	for (unsigned int i = 0; i < n; i++) {
		struct vring_desc *d = &table[ids != NULL ? ids[i] : i];
		bool more = i + 1 < n;

		d->addr = vhu_gpa(v, segs[i].data);
		d->len = segs[i].len;
		d->flags = (uint16_t)(flags | (more ? VRING_DESC_F_NEXT : 0));
		d->next = (uint16_t)(!more ? 0 : ids != NULL ? ids[i + 1] : i + 1);
	}
}

int
vhu_ring_chain(struct vhu *v, struct vhu_ring *r, const struct vhu_seg *segs, unsigned int n_segs,
	uint16_t flags, bool indirect)
{
	unsigned int need = indirect ? 1 : n_segs;
	uint16_t ids[VHU_MAX_SEGS];
	struct vhu_chain *c;

	if (n_segs == 0 || n_segs > VHU_MAX_SEGS || need > r->n_free)
		return -ENOBUFS;
	for (unsigned int i = 0; i < need; i++)
		ids[i] = r->free_ids[r->n_free - 1 - i];
	c = &r->chains[ids[0]];
	if (indirect) {
		size_t bytes = n_segs * sizeof(struct vring_desc);
		struct vring_desc *table = vhu_alloc(v, bytes);

		if (table == NULL)
			return -ENOBUFS;
		fill_table(v, table, NULL, segs, n_segs, flags);
		r->desc[ids[0]] = (struct vring_desc){ vhu_gpa(v, table), (uint32_t)bytes,
			VRING_DESC_F_INDIRECT, 0 };
		c->table = (uint8_t *)table;
		c->table_bytes = bytes;
	} else {
		fill_table(v, r->desc, ids, segs, n_segs, flags);
	}
	c->segs = calloc(n_segs, sizeof(c->segs[0]));
	if (c->segs == NULL) {
		chain_forget(v, c);
		return -ENOBUFS;
	}
	memcpy(c->segs, segs, n_segs * sizeof(c->segs[0]));
	r->n_free -= need;
	c->n_desc = (uint16_t)need;
	c->n_segs = (uint16_t)n_segs;
	c->indirect = indirect;
	c->rx = flags & VRING_DESC_F_WRITE;
	return ids[0];
}

void
vhu_ring_avail(struct vhu_ring *r, uint16_t head)
{
	r->avail->ring[r->avail_idx % r->size] = head;
	r->avail_idx++;
}

/* Descriptors of a direct chain are found again by its links, which only this side writes. */
void
vhu_ring_release(struct vhu *v, struct vhu_ring *r, uint16_t head)
{
	struct vhu_chain *c = &r->chains[head];
	uint16_t id = head;

	for (unsigned int i = 0; i < c->n_desc; i++) {
		uint16_t next = r->desc[id].next;

		r->free_ids[r->n_free++] = id;
		id = next % r->size;
	}
	chain_forget(v, c);
}

int
vhu_ring_peek(struct vhu *v, struct vhu_ring *r, uint16_t ahead, struct vring_used_elem *elem)
{
	uint16_t idx = __atomic_load_n(&r->used->idx, __ATOMIC_ACQUIRE);
	uint16_t at = (uint16_t)(r->last_used + ahead);

	if ((uint16_t)(idx - r->last_used) > r->size) {
		vhu_violate(v, "ring %u: used index %u after %u", r->index, idx, r->last_used);
		return -EPROTO;
	}
	if ((uint16_t)(idx - r->last_used) <= ahead)
		return 0;
	*elem = r->used->ring[at % r->size];
	return 1;
}

int
vhu_ring_used(struct vhu *v, struct vhu_ring *r, struct vring_used_elem *elem)
{
	int rc = vhu_ring_peek(v, r, 0, elem);

	if (rc <= 0)
		return rc;
	r->last_used++;
	r->used_chains++;
	if (elem->id < r->size && r->chains[elem->id].n_desc != 0)
		vhu_ring_release(v, r, (uint16_t)elem->id);
	else
		vhu_violate(v, "ring %u: used id %u was not available", r->index, elem->id);
	return 1;
}
