/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>

#include "gen.h"

/** Datagrams of flows that the peer is to learn are sent again after this time. */
#define LEARN_AGAIN_MS 500
/** Sent by a guest in one turn. */
#define TURN_DATAGRAMS 64
/** And those of one flow in a row, where there are others: as an application makes them. */
#define BURST 16
/** A lost datagram is not waited for longer, and this is looked after so often. */
#define LOST_NS UINT64_C(1000000000)
#define SWEEP_NS UINT64_C(10000000)

static bool
prepare_rr(struct gen *g)
{
	unsigned int i;

	for (i = 0; i < g->n_conns; i++)
		g->conns[i].host_port = g->udp_port;
	return true;
}

/** The peer is told of all flows, by a datagram of each with its number. */
static bool
learn_all(struct gen *g)
{
	const uint64_t end = vhu_now_ms() + GEN_PATIENCE_MS;
	unsigned int next = 0;
	uint64_t again = 0;

	prepare_rr(g);
	while (g->n_udp_peers < g->n_conns && vhu_now_ms() < end) {
		struct gen_conn *c = &g->conns[next < g->n_conns ? next : 0];

		if (next == g->n_conns && vhu_now_ms() >= again) {
			next = 0;
		} else if (next < g->n_conns &&
			(g->udp_peers[next].sin_port != 0 ||
				gen_guest_udp_number(c->guest, c->port, c->host_port, next))) {
			again = vhu_now_ms() + LEARN_AGAIN_MS;
			next++;
		}
		gen_ring_flush(c->guest);
		gen_host_udp_learn(g);
	}
	return g->n_udp_peers == g->n_conns;
}

static void
turn_udp_out(struct gen *g, struct gen_result *r)
{
	unsigned int i, k;

	for (i = 0; i < g->n_vms; i++) {
		struct gen_guest *u = &g->guests[i];

		for (k = 0; k < TURN_DATAGRAMS; k++) {
			if (!gen_guest_udp(u->conns[u->next_conn % u->n_conns], g->size))
				break;
			if (k % BURST == BURST - 1)
				u->next_conn++;
		}
	}
	gen_guests_turn(g);
	r->units += gen_host_udp_drain(g);
}

static uint64_t
share_arrived(const struct gen_guest *u)
{
	return u->udp_arrived;
}

static void
turn_udp_in(struct gen *g, struct gen_result *r)
{
	unsigned int i;

	for (i = 0; i < BURST; i++)
		gen_host_udp_fill(g);
	for (i = 0; i < g->n_vms; i++)
		r->units -= g->guests[i].udp_got;
	gen_guests_turn(g);
	for (i = 0; i < g->n_vms; i++)
		r->units += g->guests[i].udp_got;
}

static uint64_t
share_got(const struct gen_guest *u)
{
	return u->udp_got;
}

/** An answer has come, or was waited for long enough. */
static bool
step_rr(struct gen *g, struct gen_conn *c, struct gen_result *r)
{
	if (c->got_bytes != 0) {
		gen_sample(r, c->start_ns);
		c->guest->transactions++;
		r->units++;
	}
	c->got_bytes = 0;
	c->start_ns = gen_clock_ns();
	c->asked = gen_guest_udp(c, g->size);
	return c->asked;
}

static void
turn_udp_rr(struct gen *g, struct gen_result *r)
{
	const bool sweep = g->now_ns - g->udp_swept_ns > SWEEP_NS;
	unsigned int i;

	for (i = 0; sweep && i < g->n_conns; i++)
		if (g->now_ns - g->conns[i].start_ns > LOST_NS)
			gen_guest_touch(&g->conns[i]);
	if (sweep)
		g->udp_swept_ns = g->now_ns;
	for (i = 0; i < g->n_vms; i++) {
		gen_ring_poll(&g->guests[i], gen_guest_frame);
		gen_guest_touched(&g->guests[i], step_rr, r);
		gen_guest_flush(&g->guests[i]);
	}
	gen_host_udp_echo(g);
}

static uint64_t
share_transactions(const struct gen_guest *u)
{
	return u->transactions;
}

static const struct gen_case cases[] = {
	{ "udp-out", "datagram", turn_udp_out, learn_all, NULL, NULL, share_arrived },
	{ "udp-in", "datagram", turn_udp_in, learn_all, NULL, NULL, share_got },
	{ "udp-rr", "transaction", turn_udp_rr, prepare_rr, NULL, NULL, share_transactions },
};

const struct gen_case *
gen_case_udp_find(const char *name)
{
	unsigned int i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (strcmp(cases[i].name, name) == 0)
			return &cases[i];
	return NULL;
}
