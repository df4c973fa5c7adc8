/* SPDX-License-Identifier: BSD-3-Clause */
/* What guest and peer do in turn, for each case. */
#include "gen.h"

#include <string.h>

/** Datagrams of flows that the peer is to learn are sent again after this time. */
#define LEARN_AGAIN_MS 500

static void
guest_turn(struct gen *g)
{
	g->now_ns = gen_clock_ns();
	gen_ring_poll(g, gen_guest_frame);
	gen_guest_tick(g);
	gen_ring_flush(g);
}

/** Open all connections and wait, bounded, until the peer has them all. */
static bool
connect_all(struct gen *g)
{
	const uint64_t end = vhu_now_ms() + GEN_PATIENCE_MS;
	unsigned int i, open = 0;

	g->now_ns = gen_clock_ns();
	while (open < g->n_conns && vhu_now_ms() < end) {
		open = 0;
		for (i = 0; i < g->n_conns; i++) {
			if (g->conns[i].state == GEN_IDLE || g->conns[i].state == GEN_DONE)
				gen_guest_connect(g, &g->conns[i]);
			open += g->conns[i].state == GEN_OPEN;
		}
		guest_turn(g);
		gen_host_accept(g);
	}
	while (g->n_fds < g->n_conns && vhu_now_ms() < end) {
		guest_turn(g);
		gen_host_accept(g);
	}
	return g->n_fds >= g->n_conns;
}

/** The peer is told of all flows, by a datagram of each. */
static bool
learn_all(struct gen *g)
{
	const uint64_t end = vhu_now_ms() + GEN_PATIENCE_MS;
	unsigned int next = 0;
	uint64_t again = 0;

	while (g->n_udp_peers < g->n_conns && vhu_now_ms() < end) {
		if (next < g->n_conns && gen_guest_udp(g, &g->conns[next], 1)) {
			again = vhu_now_ms() + LEARN_AGAIN_MS;
			next++;
		} else if (next == g->n_conns && vhu_now_ms() >= again) {
			/* Whose was lost is not known: all once more. */
			next = 0;
		}
		gen_ring_flush(g);
		gen_host_udp_learn(g);
	}
	return g->n_udp_peers == g->n_conns;
}

static uint64_t
turn_tcp_out(struct gen *g, struct gen_result *r)
{
	unsigned int i;

	for (i = 0; i < g->n_conns; i++)
		gen_guest_send(g, &g->conns[i], 256 << 10);
	guest_turn(g);
	return gen_host_drain(g);
}

static uint64_t
turn_tcp_in(struct gen *g, struct gen_result *r)
{
	uint64_t bytes = 0;
	unsigned int i;

	gen_host_fill(g);
	guest_turn(g);
	for (i = 0; i < g->n_conns; i++) {
		bytes += g->conns[i].got_bytes;
		g->conns[i].got_bytes = 0;
	}
	return bytes;
}

/** The request's byte, again if it was not sent yet or is to be sent again. */
static void
ask(struct gen *g, struct gen_conn *c)
{
	if (!c->asked)
		c->request_end = c->snd_nxt + 1;
	c->asked = true;
	if (c->snd_nxt != c->request_end)
		gen_guest_send(g, c, 1);
}

/** A byte out, a byte back, the next. */
static uint64_t
turn_rr(struct gen *g, struct gen_result *r)
{
	uint64_t done = 0;
	unsigned int i;

	for (i = 0; i < g->n_conns; i++) {
		struct gen_conn *c = &g->conns[i];

		if (c->asked && c->got_bytes != 0) {
			gen_sample(r, c->start_ns);
			c->asked = false;
			done++;
		}
		if (!c->asked) {
			c->got_bytes = 0;
			c->start_ns = gen_clock_ns();
		}
		ask(g, c);
	}
	guest_turn(g);
	gen_host_echo(g);
	return done;
}

/** Connect, a byte each way, close; from ports that change. */
static uint64_t
turn_crr(struct gen *g, struct gen_result *r)
{
	uint64_t done = 0;
	unsigned int i;

	for (i = 0; i < g->n_conns; i++) {
		struct gen_conn *c = &g->conns[i];

		if (c->state == GEN_OPEN && c->got_bytes == 0) {
			ask(g, c);
		} else if (c->state == GEN_OPEN) {
			gen_guest_close(g, c);
		} else if (c->state == GEN_IDLE || (c->state == GEN_DONE && !c->ack_owed)) {
			if (c->state == GEN_DONE && c->got_bytes != 0) {
				gen_sample(r, c->start_ns);
				done++;
			} else if (c->state == GEN_DONE) {
				g->failed++;
			}
			g->by_port[c->port] = -1;
			c->port = g->next_port;
			g->next_port = (uint16_t)(g->next_port >= 60000 ? 2000 : g->next_port + 1);
			g->by_port[c->port] = (int32_t)i;
			c->asked = false;
			c->start_ns = gen_clock_ns();
			gen_guest_connect(g, c);
		}
	}
	guest_turn(g);
	gen_host_accept(g);
	gen_host_echo(g);
	return done;
}

static uint64_t
turn_udp_out(struct gen *g, struct gen_result *r)
{
	unsigned int i;

	for (i = 0; i < 64; i++) {
		if (!gen_guest_udp(g, &g->conns[g->udp_turn % g->n_conns], g->size))
			break;
		/* Bursts of a flow, as an application that sends makes them. */
		if ((i & 15) == 15)
			g->udp_turn++;
	}
	guest_turn(g);
	return gen_host_udp_drain(g);
}

static uint64_t
turn_udp_in(struct gen *g, struct gen_result *r)
{
	const uint64_t before = g->udp_got;
	unsigned int i;

	for (i = 0; i < 16; i++)
		gen_host_udp_fill(g);
	guest_turn(g);
	return g->udp_got - before;
}

static uint64_t
turn_udp_rr(struct gen *g, struct gen_result *r)
{
	uint64_t done = 0;
	unsigned int i;

	for (i = 0; i < g->n_conns; i++) {
		struct gen_conn *c = &g->conns[i];

		/* A lost datagram is not waited for longer than a second. */
		if (c->start_ns != 0 && c->got_bytes == 0 && g->now_ns - c->start_ns < 1000000000)
			continue;
		if (c->got_bytes != 0) {
			gen_sample(r, c->start_ns);
			done++;
		}
		c->got_bytes = 0;
		c->start_ns = gen_guest_udp(g, c, g->size) ? gen_clock_ns() : 0;
	}
	guest_turn(g);
	gen_host_udp_echo(g);
	return done;
}

static uint64_t
turn_pair(struct gen *g, struct gen_result *r)
{
	return gen_pair_turn(g);
}

static const struct gen_case cases[] = {
	{ "tcp-out", "bit", turn_tcp_out, connect_all },
	{ "tcp-in", "bit", turn_tcp_in, connect_all },
	{ "tcp-rr", "transaction", turn_rr, connect_all },
	{ "tcp-crr", "transaction", turn_crr, NULL },
	{ "udp-out", "datagram", turn_udp_out, learn_all },
	{ "udp-in", "datagram", turn_udp_in, learn_all },
	{ "udp-rr", "transaction", turn_udp_rr, NULL },
	{ "east-west", "frame", turn_pair, gen_pair_open },
};

const struct gen_case *
gen_case_find(const char *name)
{
	unsigned int i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (strcmp(cases[i].name, name) == 0)
			return &cases[i];
	return NULL;
}
