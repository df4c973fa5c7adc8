/* SPDX-License-Identifier: BSD-3-Clause */
#include "bridge_priv.h"

/** A record's number: worker and index. */
static uint32_t
rec_number(const struct bridge_rec *r)
{
	return (uint32_t)flowtab_handle_owner(r->handle) << 24 | flowtab_handle_index(r->handle);
}

static struct bridge_rec *
rec_by_number(struct bridge *b, uint32_t number)
{
	return &b->workers[number >> 24].recs[number & 0xffffff];
}

void
bridge_list_init(struct bridge_list *l)
{
	l->head = l->tail = BRIDGE_NIL;
}

void
bridge_list_push(
	struct bridge *b, struct bridge_list *l, enum bridge_list_kind kind, struct bridge_rec *r)
{
	const uint32_t number = rec_number(r);

	r->link[kind].prev = l->tail;
	r->link[kind].next = BRIDGE_NIL;
	if (l->tail == BRIDGE_NIL)
		l->head = number;
	else
		rec_by_number(b, l->tail)->link[kind].next = number;
	l->tail = number;
}

void
bridge_list_remove(
	struct bridge *b, struct bridge_list *l, enum bridge_list_kind kind, struct bridge_rec *r)
{
	const struct bridge_link *link = &r->link[kind];

	if (link->prev == BRIDGE_NIL)
		l->head = link->next;
	else
		rec_by_number(b, link->prev)->link[kind].next = link->next;
	if (link->next == BRIDGE_NIL)
		l->tail = link->prev;
	else
		rec_by_number(b, link->next)->link[kind].prev = link->prev;
}

struct bridge_rec *
bridge_list_pop(struct bridge *b, struct bridge_list *l, enum bridge_list_kind kind)
{
	struct bridge_rec *r;

	if (l->head == BRIDGE_NIL)
		return NULL;
	r = rec_by_number(b, l->head);
	bridge_list_remove(b, l, kind, r);
	return r;
}

void
bridge_ready(struct bridge *b, struct bridge_rec *r)
{
	if (r->flags & REC_ON_READY)
		return;
	if (r->flags & REC_ON_WAIT) {
		/* An error takes no buffer. */
		if (!(r->flags & REC_ERRQ))
			return;
		bridge_list_remove(b, &bridge_rec_lender(b, r)->wait, BRIDGE_LIST_READY, r);
		r->flags &= ~REC_ON_WAIT;
	}
	r->flags |= REC_ON_READY;
	bridge_list_push(b, &bridge_rec_worker(b, r)->ready, BRIDGE_LIST_READY, r);
}

void
bridge_due(struct bridge *b, struct bridge_rec *r, uint32_t due)
{
	r->flags |= due;
	if (r->flags & REC_ON_DIRTY)
		return;
	r->flags |= REC_ON_DIRTY;
	bridge_list_push(b, &bridge_rec_worker(b, r)->dirty, BRIDGE_LIST_DIRTY, r);
}

void
bridge_unlist(struct bridge *b, struct bridge_rec *r)
{
	struct bridge_worker *w = bridge_rec_worker(b, r);

	if (r->flags & REC_ON_DIRTY)
		bridge_list_remove(b, &w->dirty, BRIDGE_LIST_DIRTY, r);
	if (r->flags & REC_ON_READY)
		bridge_list_remove(b, &w->ready, BRIDGE_LIST_READY, r);
	else if (r->flags & REC_ON_WAIT)
		bridge_list_remove(b, &bridge_rec_lender(b, r)->wait, BRIDGE_LIST_READY, r);
	r->flags &= ~(REC_ON_DIRTY | REC_ON_READY | REC_ON_WAIT);
}

uint32_t
bridge_room(struct bridge_worker *w)
{
	/* The worker only ever makes more room, so what was seen once stays true. */
	if (w->room < BRIDGE_ROOM_PLENTY)
		w->room = rte_ring_free_count(w->chan->events) - w->n_staged;
	return w->room - w->kept;
}

static void
enqueue_staged(struct bridge *b, struct bridge_worker *w)
{
	rte_ring_sp_enqueue_bulk_elem(
		w->chan->events, w->staged, sizeof(w->staged[0]), w->n_staged, NULL);
	bridge_count(b, BRIDGE_COUNT_EVENTS, w->n_staged);
	w->n_staged = 0;
	w->told = true;
}

struct l4x_event *
bridge_event(struct bridge *b, struct bridge_worker *w, uint8_t type)
{
	struct l4x_event *ev;

	if (w->n_staged == RTE_DIM(w->staged))
		enqueue_staged(b, w);
	w->room--;
	ev = &w->staged[w->n_staged++];
	*ev = (struct l4x_event){ .type = type, .bridge = b->p.id };
	return ev;
}

/** The name that the kernel has chosen for a socket of ours. */
static void
tell_name(const struct bridge_rec *r, struct l4x_event *ev)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);

	if (getsockname(r->fd, (struct sockaddr *)&ss, &len) == 0 &&
		sock_addr_get(&ss, &ev->sent.local, &ev->sent.local_port))
		ev->sent.flags |= L4X_SENT_NAMED;
}

static void
tell_one(struct bridge *b, struct bridge_worker *w, struct bridge_rec *r)
{
	struct l4x_event *ev;

	if (r->flags & (REC_DUE_CONNECTED | REC_DUE_SENT)) {
		/* CONNECTED tells all that SENT would, except that bytes were dropped. */
		const bool first = (r->flags & REC_DUE_CONNECTED) != 0;

		ev = bridge_event(b, w, first ? L4X_EV_CONNECTED : L4X_EV_SENT);
		ev->flow = r->handle;
		r->flags &= ~(REC_DUE_CONNECTED | REC_DUE_SENT);
		bridge_tcp_tell(b, r, ev);
		if (first && r->flags & REC_NAMED)
			tell_name(r, ev);
		if (first)
			return;
	}
	if (r->flags & REC_DUE_ERROR) {
		ev = bridge_event(b, w, L4X_EV_ERROR);
		ev->flow = r->handle;
		ev->error.err = r->err;
		r->flags &= ~REC_DUE_ERROR;
	}
}

unsigned int
bridge_tell(struct bridge *b, struct bridge_worker *w)
{
	unsigned int told = 0;

	/* One record makes two events at most. */
	while (w->dirty.head != BRIDGE_NIL && bridge_room(w) >= 2) {
		struct bridge_rec *r = bridge_list_pop(b, &w->dirty, BRIDGE_LIST_DIRTY);

		r->flags &= ~REC_ON_DIRTY;
		tell_one(b, w, r);
		if (r->flags & REC_DUE)
			bridge_due(b, r, 0);
		told++;
	}
	return told;
}

void
bridge_flush(struct bridge *b, struct bridge_worker *w)
{
	if (w->n_staged != 0)
		enqueue_staged(b, w);
	if (!w->told)
		return;
	w->told = false;
	/* An inline bridge is polled by the worker itself. */
	if (w->chan->worker_waker != b->p.waker)
		waker_ring(w->chan->worker_waker);
}
