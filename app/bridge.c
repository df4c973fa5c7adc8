/* SPDX-License-Identifier: BSD-3-Clause */
#include "bridge_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

#include <rte_errno.h>
#include <rte_malloc.h>

const struct bridge_counter_info bridge_counter_info[BRIDGE_COUNTS] = {
#define X(e, name, help) { name, help, 0 },
#define D(e, name, help) { name, help, 1 },
	BRIDGE_COUNTERS(X, D)
#undef X
#undef D
};

/* ---- records ---- */

struct bridge_rec *
bridge_rec_find(struct bridge *b, uint64_t handle)
{
	const uint32_t idx = flowtab_handle_index(handle);
	const uint8_t owner = flowtab_handle_owner(handle);

	if (likely(handle != 0 && owner < b->p.n_workers && idx < b->p.max_flows)) {
		struct bridge_rec *r = &b->workers[owner].recs[idx];

		if (likely(r->handle == handle))
			return r;
	}
	bridge_count(b, BRIDGE_COUNT_STALE, 1);
	return NULL;
}

struct bridge_rec *
bridge_rec_take(struct bridge *b, uint64_t handle)
{
	const uint32_t idx = flowtab_handle_index(handle);
	const uint8_t owner = flowtab_handle_owner(handle);
	struct bridge_rec *r;

	if (handle == 0 || owner >= b->p.n_workers || idx >= b->p.max_flows) {
		bridge_count(b, BRIDGE_COUNT_STALE, 1);
		return NULL;
	}
	r = &b->workers[owner].recs[idx];
	if (unlikely(r->handle != 0)) {
		bridge_count(b, BRIDGE_COUNT_STALE, 1);
		bridge_rec_settle(b, r);
		bridge_rec_drop(b, r, true);
	}
	b->workers[owner].used = RTE_MAX(b->workers[owner].used, idx + 1);
	r->handle = handle;
	r->fd = -1;
	r->kind = BRIDGE_FAILED;
	return r;
}

static void
close_socket(struct bridge *b, struct bridge_rec *r, bool reset)
{
	if (r->fd < 0)
		return;
	bridge_listener_leave(b, r);
	if (reset && (r->kind == BRIDGE_STREAM || r->kind == BRIDGE_CONNECTING)) {
		sock_reset(r->fd);
	} else {
		if (r->kind == BRIDGE_STREAM)
			bridge_tcp_drain(b, r);
		close(r->fd);
	}
	r->fd = -1;
	bridge_count(b, BRIDGE_COUNT_SOCKETS_CLOSED, 1);
}

void
bridge_rec_drop(struct bridge *b, struct bridge_rec *r, bool reset)
{
	close_socket(b, r, reset);
	bridge_unlist(b, r);
	memset(r, 0, sizeof(*r));
}

void
bridge_rec_fail(struct bridge *b, struct bridge_rec *r, int err)
{
	close_socket(b, r, true);
	bridge_unlist(b, r);
	r->kind = BRIDGE_FAILED;
	r->err = (uint16_t)err;
	r->flags &= ~(REC_DUE | REC_READABLE);
	bridge_due(b, r, REC_DUE_ERROR);
}

void
bridge_rec_fail_io(struct bridge *b, struct bridge_rec *r, int err)
{
	if (err == EFAULT) {
		bridge_count(b, BRIDGE_COUNT_MEMORY_LOST, 1);
		bridge_lender_lost(b, r);
	}
	bridge_rec_fail(b, r, err);
}

int
bridge_rec_watch(struct bridge *b, struct bridge_rec *r)
{
	struct epoll_event ev = {
		.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET,
		.data.u64 = r->handle,
	};

	return epoll_ctl(b->epoll_fd, EPOLL_CTL_ADD, r->fd, &ev) < 0 ? -errno : 0;
}

void
bridge_count_socket_error(struct bridge *b, int err)
{
	bridge_count(b,
		bridge_errno_is_limit(err) ? BRIDGE_COUNT_SOCKET_LIMIT : BRIDGE_COUNT_SOCKET_FAILED,
		1);
}

/* ---- sockets ---- */

static void
socket_event(struct bridge *b, uint64_t handle, uint32_t events)
{
	struct bridge_rec *r;

	if (flowtab_handle_owner(handle) == BRIDGE_OWNER_LISTENER) {
		bridge_listen_event(b, flowtab_handle_index(handle), events);
		return;
	}
	r = bridge_rec_find(b, handle);
	if (r == NULL)
		return;
	if (r->kind == BRIDGE_DGRAM || r->kind == BRIDGE_PING)
		bridge_dgram_events(b, r, events);
	else if (r->kind != BRIDGE_FAILED)
		bridge_tcp_events(b, r, events);
}

static unsigned int
poll_sockets(struct bridge *b)
{
	struct epoll_event events[BRIDGE_EPOLL_BURST];
	int i, n;

	b->epoll_us = b->now_us;
	n = epoll_wait(b->epoll_fd, events, BRIDGE_EPOLL_BURST, 0);
	for (i = 0; i < n; i++)
		socket_event(b, events[i].data.u64, events[i].events);
	b->epoll_now = n == BRIDGE_EPOLL_BURST;
	return n < 0 ? 0 : (unsigned int)n;
}

unsigned int
bridge_read(struct bridge *b, struct bridge_rec *r)
{
	switch (r->kind) {
	case BRIDGE_STREAM:
		bridge_tcp_read(b, r);
		return 0;
	case BRIDGE_DGRAM:
	case BRIDGE_PING:
		return bridge_dgram_read(b, r);
	default:
		return 0;
	}
}

/** Each socket that is on the list has one turn; they go on where the last iteration ended. */
static unsigned int
poll_ready(struct bridge *b, struct bridge_worker *w)
{
	const uint32_t last = w->ready.tail;
	struct bridge_rec *r = NULL;
	unsigned int done = 0;
	uint32_t head;

	b->read_left = BRIDGE_READ_BYTES;
	while (w->ready.head != BRIDGE_NIL && b->read_left != 0 &&
		bridge_room(w) >= BRIDGE_READ_ROOM) {
		head = w->ready.head;
		r = bridge_list_pop(b, &w->ready, BRIDGE_LIST_READY);
		r->flags &= ~REC_ON_READY;
		done += bridge_read(b, r);
		if (head == last)
			break;
	}
	return done + bridge_calls_run(b);
}

unsigned int
bridge_poll(struct bridge *b, uint64_t now_us, bool busy)
{
	unsigned int done = 0, i;

	b->now_us = now_us;
	for (i = 0; i < b->p.n_workers; i++)
		done += bridge_ops_poll(b, &b->workers[i]);
	if ((done == 0 && !busy) || b->epoll_now || now_us - b->epoll_us >= BRIDGE_EPOLL_US) {
		done += poll_sockets(b);
		done += bridge_lenders_poll(b);
	}
	if (unlikely(b->n_ready_listeners != 0))
		done += bridge_listeners_poll(b);
	for (i = 0; i < b->p.n_workers; i++) {
		struct bridge_worker *w = &b->workers[i];

		done += bridge_tell(b, w);
		done += poll_ready(b, w);
		/* Reading may have found an error. */
		done += bridge_tell(b, w);
		bridge_flush(b, w);
	}
	return done == 0 ? bridge_spares_fill(b) : done;
}

int
bridge_epoll_fd(const struct bridge *b)
{
	return b->epoll_fd;
}

uint64_t
bridge_next_us(const struct bridge *b)
{
	return b->pause_us;
}

bool
bridge_has_work(const struct bridge *b)
{
	unsigned int i;

	for (i = 0; i < b->p.n_workers; i++) {
		const struct bridge_worker *w = &b->workers[i];

		if (!rte_ring_empty(w->chan->ops) || w->dirty.head != BRIDGE_NIL ||
			w->ready.head != BRIDGE_NIL || w->n_staged != 0 || w->told)
			return true;
	}
	return bridge_lenders_have_work(b) || bridge_listeners_have_work(b);
}

const uint64_t *
bridge_counters(const struct bridge *b)
{
	return b->counters;
}

/* ---- life ---- */

/** Memory that costs nothing until it is touched, and is zero then. */
static void *
map_lazily(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static int
create_workers(struct bridge *b)
{
	unsigned int i;

	b->workers = rte_zmalloc_socket("bridge_workers", b->p.n_workers * sizeof(*b->workers),
		RTE_CACHE_LINE_SIZE, b->p.socket_id);
	if (b->workers == NULL)
		return -ENOMEM;
	for (i = 0; i < b->p.n_workers; i++) {
		struct bridge_worker *w = &b->workers[i];

		w->chan = b->p.chans[i];
		bridge_list_init(&w->dirty);
		bridge_list_init(&w->ready);
		w->recs = map_lazily(b->p.max_flows * sizeof(struct bridge_rec));
		if (w->recs == NULL)
			return -ENOMEM;
	}
	return 0;
}

static int
create_tables(struct bridge *b)
{
	uint32_t i;

	b->lenders = map_lazily(BRIDGE_LENDERS * sizeof(*b->lenders));
	b->ports = vport_lines_zalloc(L4X_MAX_PIFS * sizeof(*b->ports));
	b->listeners = map_lazily(BRIDGE_LISTENERS * sizeof(*b->listeners));
	b->ready_listeners = map_lazily(BRIDGE_LISTENERS * sizeof(*b->ready_listeners));
	b->tokens = vport_lines_zalloc(BRIDGE_TOKENS * sizeof(*b->tokens));
	b->free_tokens = vport_lines_zalloc(BRIDGE_TOKENS * sizeof(*b->free_tokens));
	b->scratch = map_lazily(BRIDGE_DISCARD_BYTES);
	b->iov = vport_lines_zalloc(BRIDGE_IOV * sizeof(*b->iov));
	b->calls = map_lazily(sizeof(*b->calls));
	if (b->lenders == NULL || b->ports == NULL || b->listeners == NULL ||
		b->ready_listeners == NULL || b->tokens == NULL || b->free_tokens == NULL ||
		b->scratch == NULL || b->iov == NULL || b->calls == NULL)
		return -ENOMEM;
	for (i = 0; i < BRIDGE_TOKENS; i++) {
		b->tokens[i].fd = -1;
		b->free_tokens[b->n_free_tokens++] = (uint16_t)(BRIDGE_TOKENS - 1 - i);
	}
	return 0;
}

struct bridge *
bridge_create(const struct bridge_params *p)
{
	struct bridge *b;
	unsigned int i;
	int ret = -EINVAL;

	if (p->n_workers == 0 || p->n_workers > BRIDGE_MAX_WORKERS || p->max_flows == 0 ||
		p->max_flows > 1u << 24 || p->pool == NULL) {
		rte_errno = EINVAL;
		return NULL;
	}
	b = rte_zmalloc_socket("bridge", sizeof(*b), RTE_CACHE_LINE_SIZE, p->socket_id);
	if (b == NULL) {
		rte_errno = ENOMEM;
		return NULL;
	}
	b->p = *p;
	b->pause_us = UINT64_MAX;
	b->epoll_fd = -1;
	for (i = 0; i < p->n_workers; i++)
		if (p->chans[i] == NULL)
			goto fail;
	ret = create_workers(b);
	if (ret == 0)
		ret = create_tables(b);
	if (ret != 0)
		goto fail;
	ret = bridge_calls_init(b);
	if (ret != 0)
		goto fail;
	b->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	ret = -errno;
	if (b->epoll_fd < 0)
		goto fail;
	for (i = 0; i < BRIDGE_FAMILIES; i++)
		b->spares[i].wanted = BRIDGE_SPARES;
	bridge_tcp_probe(b);
	while (bridge_spares_fill(b))
		;
	return b;
fail:
	bridge_destroy(b);
	rte_errno = -ret;
	return NULL;
}

static void
destroy_worker(struct bridge *b, struct bridge_worker *w)
{
	uint32_t i;

	for (i = 0; i < w->used; i++)
		if (w->recs[i].handle != 0)
			bridge_rec_drop(b, &w->recs[i], true);
	for (i = 0; i < w->n_staged; i++)
		l4x_event_free(&w->staged[i]);
	if (w->recs != NULL)
		munmap(w->recs, b->p.max_flows * sizeof(struct bridge_rec));
}

static void
destroy_tables(struct bridge *b)
{
	uint32_t i;

	for (i = 0; b->listeners != NULL && i < b->n_listeners; i++)
		if (b->listeners[i].fd >= 0)
			close(b->listeners[i].fd);
	if (b->tokens != NULL && b->free_tokens != NULL)
		bridge_tokens_reset(b, 0);
	for (i = 1; b->ports != NULL && i < L4X_MAX_PIFS; i++)
		bridge_remove_port(b, (uint16_t)i);
	if (b->lenders != NULL)
		munmap(b->lenders, BRIDGE_LENDERS * sizeof(*b->lenders));
	if (b->listeners != NULL)
		munmap(b->listeners, BRIDGE_LISTENERS * sizeof(*b->listeners));
	if (b->ready_listeners != NULL)
		munmap(b->ready_listeners, BRIDGE_LISTENERS * sizeof(*b->ready_listeners));
	if (b->scratch != NULL)
		munmap(b->scratch, BRIDGE_DISCARD_BYTES);
	free(b->ports);
	free(b->tokens);
	free(b->free_tokens);
	if (b->calls != NULL) {
		bridge_calls_fini(b);
		munmap(b->calls, sizeof(*b->calls));
	}
	free(b->iov);
}

void
bridge_destroy(struct bridge *b)
{
	unsigned int i;

	if (b == NULL)
		return;
	for (i = 0; b->workers != NULL && i < b->p.n_workers; i++)
		destroy_worker(b, &b->workers[i]);
	if (b->workers != NULL)
		for (i = 0; i < b->p.n_workers; i++)
			b->workers[i].used = 0;
	destroy_tables(b);
	for (i = 0; i < BRIDGE_FAMILIES; i++)
		while (b->spares[i].n != 0)
			close(b->spares[i].fds[--b->spares[i].n]);
	rte_free(b->workers);
	if (b->epoll_fd >= 0)
		close(b->epoll_fd);
	rte_free(b);
}
