/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * In each turn a guest is polled, what has come is answered at once, in frames that acknowledge,
 * too, and published; then the peer has its turn. Only connections that something has come for are
 * looked at, so that a turn costs the same beside many others.
 */
#include <string.h>

#include "gen.h"

static struct gen_service *
service_of(struct gen *g, unsigned int conn)
{
	if (conn < g->n_conns)
		return &g->tcp;
	/* Bulk: from the guest if it is the only one, then in turn. */
	return (conn - g->n_conns) % 2 == 0 ? &g->bulk_out : &g->bulk_in;
}

static void
accept_all(struct gen *g)
{
	gen_host_accept(&g->tcp);
	if (g->n_bulk > 0) {
		gen_host_accept(&g->bulk_out);
		gen_host_accept(&g->bulk_in);
	}
}

/** Open all connections and wait, bounded, until the peer has them all. */
static bool
connect_all(struct gen *g)
{
	const uint64_t end = vhu_now_ms() + GEN_PATIENCE_MS;
	const unsigned int all = g->n_conns + g->n_bulk;
	unsigned int i, open = 0;

	for (i = 0; i < all; i++)
		g->conns[i].host_port = service_of(g, i)->port;
	while (open < all && vhu_now_ms() < end) {
		g->now_ns = gen_clock_ns();
		open = 0;
		for (i = 0; i < all; i++) {
			if (g->conns[i].state == GEN_IDLE || g->conns[i].state == GEN_DONE)
				gen_tcp_connect(&g->conns[i]);
			open += g->conns[i].state == GEN_OPEN;
		}
		gen_guests_turn(g);
		accept_all(g);
	}
	while (g->tcp.n_fds + g->bulk_out.n_fds + g->bulk_in.n_fds < all && vhu_now_ms() < end) {
		g->now_ns = gen_clock_ns();
		gen_guests_turn(g);
		accept_all(g);
	}
	return g->tcp.n_fds + g->bulk_out.n_fds + g->bulk_in.n_fds >= all;
}

/** All have something to begin with. */
static void
touch_all(struct gen *g)
{
	unsigned int i;

	for (i = 0; i < g->n_conns + g->n_bulk; i++)
		gen_guest_touch(&g->conns[i]);
}

static bool
prepare_asking(struct gen *g)
{
	if (!connect_all(g))
		return false;
	touch_all(g);
	return true;
}

static bool
prepare_crr(struct gen *g)
{
	unsigned int i;

	for (i = 0; i < g->n_conns; i++)
		g->conns[i].host_port = g->tcp.port;
	touch_all(g);
	return true;
}

/* ---- streams ---- */

/** All that a guest can send, each connection of it in turn, going on where slots were short. */
static void
send_bulk(struct gen_guest *u, bool bulk)
{
	unsigned int i;

	for (i = 0; i < u->n_conns && u->slots_free > 0; i++) {
		struct gen_conn *c = u->conns[u->next_conn];

		if (c->bulk == bulk)
			gen_tcp_send(c, GEN_WRITE_BYTES);
		u->next_conn = u->next_conn + 1 < u->n_conns ? u->next_conn + 1 : 0;
	}
}

static void
turn_tcp_out(struct gen *g, struct gen_result *r)
{
	unsigned int i;

	for (i = 0; i < g->n_vms; i++) {
		send_bulk(&g->guests[i], false);
		gen_ring_poll(&g->guests[i], gen_guest_frame);
		gen_guest_touched(&g->guests[i], NULL, NULL);
		gen_guest_flush(&g->guests[i]);
	}
	r->units += gen_host_drain(&g->tcp);
}

static uint64_t
share_acked(const struct gen_guest *u)
{
	return u->acked_bytes;
}

static void
turn_tcp_in(struct gen *g, struct gen_result *r)
{
	unsigned int i;

	gen_host_fill(&g->tcp, g->host_buf);
	for (i = 0; i < g->n_vms; i++)
		r->units -= g->guests[i].got_bytes;
	gen_guests_turn(g);
	for (i = 0; i < g->n_vms; i++)
		r->units += g->guests[i].got_bytes;
}

static uint64_t
share_got(const struct gen_guest *u)
{
	return u->got_bytes;
}

/* ---- requests ---- */

static void
answered(struct gen_conn *c, struct gen_result *r)
{
	gen_sample(r, c->start_ns);
	c->asked = false;
	c->guest->transactions++;
	r->units++;
}

/** The request's byte, unless it is out; again if it is to be sent again. @return it is out */
static bool
ask(struct gen_conn *c)
{
	if (!c->asked) {
		c->got_bytes = 0;
		c->request_end = c->snd_nxt + 1;
	}
	c->asked = true;
	if (c->snd_nxt != c->request_end)
		gen_tcp_send(c, 1);
	return c->snd_nxt == c->request_end;
}

/** A byte out, a byte back, the next. */
static bool
step_rr(struct gen *g, struct gen_conn *c, struct gen_result *r)
{
	if (c->asked && c->got_bytes != 0)
		answered(c, r);
	if (!c->asked)
		c->start_ns = gen_clock_ns();
	return ask(c);
}

static void
turn_steps(struct gen *g, struct gen_result *r, gen_conn_fn fn)
{
	unsigned int i;

	for (i = 0; i < g->n_vms; i++) {
		gen_ring_poll(&g->guests[i], gen_guest_frame);
		gen_guest_touched(&g->guests[i], fn, r);
		gen_guest_flush(&g->guests[i]);
	}
}

static void
turn_rr(struct gen *g, struct gen_result *r)
{
	turn_steps(g, r, step_rr);
	gen_host_echo(&g->tcp);
}

static uint64_t
share_transactions(const struct gen_guest *u)
{
	return u->transactions;
}

/** A connection anew, from the guest's next port that none has. */
static void
connect_anew(struct gen_conn *c)
{
	struct gen_guest *u = c->guest;

	u->by_port[c->port] = NULL;
	while (u->by_port[u->next_port] != NULL)
		u->next_port = (uint16_t)(u->next_port >= 60000 ? 2000 : u->next_port + 1);
	c->port = u->next_port;
	u->next_port = (uint16_t)(u->next_port >= 60000 ? 2000 : u->next_port + 1);
	u->by_port[c->port] = c;
	c->asked = false;
	c->ack_owed = false;
	c->start_ns = gen_clock_ns();
	gen_tcp_connect(c);
}

/** Connect, a byte each way, close. */
static bool
step_crr(struct gen *g, struct gen_conn *c, struct gen_result *r)
{
	switch (c->state) {
	case GEN_OPEN:
		if (c->got_bytes != 0)
			return gen_tcp_close(c);
		/* As Linux does: the kernel answers SYN|ACK before its caller knows. */
		if (c->ack_owed && !gen_tcp_ack(c))
			return false;
		return ask(c);
	case GEN_DONE:
		if (c->ack_owed && !gen_tcp_ack(c))
			return false;
		if (c->got_bytes != 0)
			answered(c, r);
		else
			g->failed++;
		connect_anew(c);
		break;
	case GEN_IDLE:
		connect_anew(c);
		break;
	default:
		return true;
	}
	return c->state == GEN_SYN_SENT;
}

static void
turn_crr(struct gen *g, struct gen_result *r)
{
	turn_steps(g, r, step_crr);
	gen_host_accept(&g->tcp);
	gen_host_echo(&g->tcp);
}

/* ---- requests beside streams ---- */

static bool
prepare_mix(struct gen *g)
{
	unsigned int i;

	for (i = 0; i < g->n_bulk; i++)
		g->conns[g->n_conns + i].bulk = i % 2 == 0;
	return prepare_asking(g);
}

static bool
step_mix(struct gen *g, struct gen_conn *c, struct gen_result *r)
{
	if (c < g->conns + g->n_conns)
		return step_rr(g, c, r);
	r->bulk_bytes += c->got_bytes;
	c->got_bytes = 0;
	return true;
}

static void
turn_mix(struct gen *g, struct gen_result *r)
{
	unsigned int i;

	for (i = 0; i < g->n_vms; i++) {
		struct gen_guest *u = &g->guests[i];

		gen_ring_poll(u, gen_guest_frame);
		/* As a guest's fair queueing has it: who asks little goes first. */
		gen_guest_touched(u, step_mix, r);
		send_bulk(u, true);
		gen_guest_flush(u);
	}
	gen_host_echo(&g->tcp);
	r->bulk_bytes += gen_host_drain(&g->bulk_out);
	gen_host_fill(&g->bulk_in, g->host_buf);
}

static const struct gen_case cases[] = {
	{ "tcp-out", "bit", turn_tcp_out, connect_all, NULL, NULL, share_acked },
	{ "tcp-in", "bit", turn_tcp_in, connect_all, NULL, NULL, share_got },
	{ "tcp-rr", "transaction", turn_rr, prepare_asking, NULL, NULL, share_transactions },
	{ "tcp-crr", "transaction", turn_crr, prepare_crr, NULL, NULL, share_transactions },
	{ "tcp-mix", "transaction", turn_mix, prepare_mix, NULL, NULL, share_transactions },
};

const struct gen_case *
gen_case_tcp_find(const char *name)
{
	unsigned int i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (strcmp(cases[i].name, name) == 0)
			return &cases[i];
	return NULL;
}
