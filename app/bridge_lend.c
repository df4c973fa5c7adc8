/* SPDX-License-Identifier: BSD-3-Clause */
#include "bridge_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

uint16_t
bridge_lender_number(const struct bridge *b, uint16_t pif, uint8_t queue)
{
	if (pif >= L4X_MAX_PIFS || queue >= L4X_MAX_QUEUES || b->ports[pif].lenders == NULL)
		return 0;
	return b->ports[pif].lenders[queue];
}

struct bridge_lender *
bridge_rec_lender(struct bridge *b, const struct bridge_rec *r)
{
	return r->lender == 0 ? NULL : &b->lenders[r->lender - 1];
}

int
bridge_set_port(struct bridge *b, const struct l4x_port_conf *conf)
{
	if (conf->pif == 0 || conf->pif >= L4X_MAX_PIFS || conf->n_queues > L4X_MAX_QUEUES)
		return -EINVAL;
	b->ports[conf->pif].conf = conf;
	return 0;
}

/** A free place among the lenders, or NULL. */
static struct bridge_lender *
lender_place(struct bridge *b)
{
	uint32_t i;

	for (i = 0; i < b->n_lenders; i++)
		if (b->lenders[i].l == NULL)
			return &b->lenders[i];
	return b->n_lenders < BRIDGE_LENDERS ? &b->lenders[b->n_lenders] : NULL;
}

int
bridge_add_lender(struct bridge *b, struct lender *l)
{
	struct bridge_lender *bl;
	struct bridge_port *port;

	if (l->pif >= L4X_MAX_PIFS || l->queue >= L4X_MAX_QUEUES)
		return -EINVAL;
	port = &b->ports[l->pif];
	if (port->lenders == NULL)
		port->lenders = calloc(L4X_MAX_QUEUES, sizeof(port->lenders[0]));
	if (port->lenders == NULL)
		return -ENOMEM;
	if (port->lenders[l->queue] != 0)
		return -EEXIST;
	bl = lender_place(b);
	if (bl == NULL)
		return -ENOSPC;
	bl->held = vport_lines_zalloc(BRIDGE_HELD * sizeof(bl->held[0]));
	if (bl->held == NULL)
		return -ENOMEM;
	bl->l = l;
	bl->first = bl->count = 0;
	bridge_list_init(&bl->wait);
	if (bl == &b->lenders[b->n_lenders])
		b->n_lenders++;
	port->lenders[l->queue] = (uint16_t)(bl - b->lenders + 1);
	return 0;
}

static void
free_held(struct bridge_lender *bl)
{
	rte_pktmbuf_free_bulk(&bl->held[bl->first], bl->count);
	bl->first = bl->count = 0;
}

/** Give all of it back, whatever the worker may believe. */
static void
lender_stop(struct bridge_lender *bl)
{
	free_held(bl);
	lender_clear(bl->l);
	lender_return(bl->l);
}

static void
remove_lender(struct bridge_lender *bl)
{
	lender_stop(bl);
	free(bl->held);
	memset(bl, 0, sizeof(*bl));
}

/** Close the sockets whose guest is on this port. */
static void
drop_port_recs(struct bridge *b, uint16_t pif)
{
	unsigned int i;
	uint32_t j;

	for (i = 0; i < b->p.n_workers; i++)
		for (j = 0; j < b->workers[i].used; j++) {
			struct bridge_rec *r = &b->workers[i].recs[j];

			if (r->handle != 0 && r->pif == pif)
				bridge_rec_drop(b, r, true);
		}
}

void
bridge_remove_port(struct bridge *b, uint16_t pif)
{
	struct bridge_port *port;
	unsigned int q;

	if (pif >= L4X_MAX_PIFS)
		return;
	drop_port_recs(b, pif);
	bridge_tokens_reset(b, pif);
	port = &b->ports[pif];
	for (q = 0; port->lenders != NULL && q < L4X_MAX_QUEUES; q++)
		if (port->lenders[q] != 0)
			remove_lender(&b->lenders[port->lenders[q] - 1]);
	free(port->lenders);
	memset(port, 0, sizeof(*port));
}

static bool
lender_running(const struct bridge_lender *bl)
{
	return bl->l != NULL && lender_state(bl->l) == LENDER_RUNNING;
}

struct bridge_lender *
bridge_rec_lender_in_use(struct bridge *b, struct bridge_rec *r)
{
	struct bridge_lender *bl = bridge_rec_lender(b, r);
	const struct bridge_port *port = &b->ports[r->pif];
	const uint8_t owner = flowtab_handle_owner(r->handle);
	uint16_t found = 0;
	unsigned int q;

	if (bl == NULL || likely(lender_running(bl)) || port->conf == NULL)
		return bl;
	for (q = 0; q < port->conf->n_queues; q++) {
		const uint16_t number = port->lenders[q];

		if (number == 0 || !lender_running(&b->lenders[number - 1]))
			continue;
		if (found == 0 || b->lenders[number - 1].l->worker == owner)
			found = number;
		if (b->lenders[found - 1].l->worker == owner)
			break;
	}
	if (found == 0)
		return bl;
	r->lender = found;
	return &b->lenders[found - 1];
}

void
bridge_rec_follow(struct bridge *b, struct bridge_rec *r, uint8_t queue)
{
	const uint16_t number = bridge_lender_number(b, r->pif, queue);

	if (likely(number == r->lender) || number == 0 || !lender_running(&b->lenders[number - 1]))
		return;
	if (r->flags & REC_ON_WAIT) {
		bridge_list_remove(b, &bridge_rec_lender(b, r)->wait, BRIDGE_LIST_READY, r);
		r->flags &= ~REC_ON_WAIT;
		bridge_ready(b, r);
	}
	r->lender = number;
}

uint32_t
bridge_lender_fill(struct bridge_lender *bl, struct bridge_rec *r, uint32_t want)
{
	const bool behind = bl->wait.head != BRIDGE_NIL && !(r->flags & REC_SERVED);

	r->flags &= ~REC_SERVED;
	if (!lender_running(bl) || behind)
		return 0;
	if (bl->count >= want)
		return bl->count;
	if (bl->first != 0) {
		memmove(bl->held, &bl->held[bl->first], bl->count * sizeof(bl->held[0]));
		bl->first = 0;
	}
	bl->count += rte_ring_sc_dequeue_burst(bl->l->bufs, (void **)&bl->held[bl->count],
		RTE_MIN(want, BRIDGE_HELD) - bl->count, NULL);
	return bl->count;
}

void
bridge_lender_used(struct bridge_lender *bl, uint32_t n)
{
	bl->first += n;
	bl->count -= n;
	if (bl->count == 0)
		bl->first = 0;
}

void
bridge_lender_put_back(struct bridge_lender *bl, struct rte_mbuf *const *heads, uint32_t n)
{
	if (bl->first < n) {
		memmove(&bl->held[n], &bl->held[bl->first], bl->count * sizeof(bl->held[0]));
		bl->first = n;
	}
	bl->first -= n;
	bl->count += n;
	memcpy(&bl->held[bl->first], heads, n * sizeof(bl->held[0]));
}

void
bridge_lender_wait(struct bridge *b, struct bridge_rec *r, struct bridge_lender *bl)
{
	struct bridge_worker *w = &b->workers[bl->l->worker];

	bridge_count(b, BRIDGE_COUNT_NO_BUFFER, 1);
	if (r->flags & REC_ON_READY) {
		bridge_list_remove(b, &bridge_rec_worker(b, r)->ready, BRIDGE_LIST_READY, r);
		r->flags &= ~REC_ON_READY;
	}
	r->flags |= REC_ON_WAIT;
	bridge_list_push(b, &bl->wait, BRIDGE_LIST_READY, r);
	b->waits = true;
	lender_ask(bl->l);
	w->told = true;
}

void
bridge_lender_lost(struct bridge *b, const struct bridge_rec *r)
{
	struct bridge_lender *bl = bridge_rec_lender(b, r);

	if (bl == NULL || bl->l == NULL)
		return;
	lender_lose(bl->l);
	b->workers[bl->l->worker].told = true;
}

static bool
lender_fed(const struct bridge_lender *bl)
{
	return bl->wait.head != BRIDGE_NIL && lender_running(bl) &&
		(bl->count != 0 || !rte_ring_empty(bl->l->bufs));
}

/**
 * Buffers have come: those that wait have them, in turn, before any that are ready but do not wait.
 * @return how much was read
 */
static unsigned int
serve_waiters(struct bridge *b, struct bridge_lender *bl)
{
	const uint32_t last = bl->wait.tail;
	unsigned int done = 0;
	struct bridge_rec *r;
	uint32_t next;

	while (b->read_left != 0 && lender_fed(bl)) {
		next = bl->wait.head;
		r = bridge_list_pop(b, &bl->wait, BRIDGE_LIST_READY);
		r->flags &= ~REC_ON_WAIT;
		r->flags |= REC_SERVED;
		if (likely(bridge_room(bridge_rec_worker(b, r)) >= BRIDGE_READ_ROOM))
			done += bridge_read(b, r);
		else
			bridge_ready(b, r);
		if (next == last)
			break;
	}
	return done + bridge_calls_run(b);
}

static void
give_back(struct bridge *b, struct bridge_lender *bl)
{
	struct bridge_rec *r;

	/* Who waits here may find another queue pair of the guest. */
	while ((r = bridge_list_pop(b, &bl->wait, BRIDGE_LIST_READY)) != NULL) {
		r->flags &= ~REC_ON_WAIT;
		bridge_ready(b, r);
	}
	lender_stop(bl);
}

static bool
lender_recalled(const struct bridge_lender *bl)
{
	return lender_state(bl->l) == LENDER_RECALLED;
}

/** Was any recalled since they were looked at last? */
static bool
recalls_wait(const struct bridge *b)
{
	unsigned int i;

	for (i = 0; i < b->p.n_workers; i++)
		if (atomic_load_explicit(&b->workers[i].chan->recalls, memory_order_acquire) !=
			b->workers[i].recalls)
			return true;
	return false;
}

static unsigned int
look_at_lender(struct bridge *b, struct bridge_lender *bl)
{
	unsigned int done = 0;

	if (unlikely(lender_recalled(bl))) {
		give_back(b, bl);
		b->workers[bl->l->worker].told = true;
		done++;
	}
	if (unlikely(lender_fed(bl)))
		done += serve_waiters(b, bl);
	return done;
}

unsigned int
bridge_lenders_poll(struct bridge *b)
{
	unsigned int done = 0, i;
	uint32_t j, next = b->first_lender;
	bool waits = false;

	/* As a rule nothing has happened to any, however many there are. */
	if (likely(!b->waits && !recalls_wait(b)))
		return 0;
	for (i = 0; i < b->p.n_workers; i++)
		b->workers[i].recalls =
			atomic_load_explicit(&b->workers[i].chan->recalls, memory_order_acquire);
	b->read_left = BRIDGE_READ_BYTES;
	for (j = 0; j < b->n_lenders; j++) {
		const uint32_t number = (b->first_lender + j) % b->n_lenders;
		struct bridge_lender *bl = &b->lenders[number];

		if (bl->l == NULL)
			continue;
		/* Those that find nothing left are first the next time. */
		if (b->read_left != 0)
			next = number + 1;
		done += look_at_lender(b, bl);
		waits |= bl->wait.head != BRIDGE_NIL;
	}
	b->first_lender = next;
	b->waits = waits;
	return done;
}

bool
bridge_lenders_have_work(const struct bridge *b)
{
	uint32_t i;

	if (recalls_wait(b))
		return true;
	for (i = 0; b->waits && i < b->n_lenders; i++) {
		const struct bridge_lender *bl = &b->lenders[i];

		if (bl->l != NULL && lender_fed(bl))
			return true;
	}
	return false;
}
