/* SPDX-License-Identifier: BSD-3-Clause */
#include "counts.h"

#include <string.h>
#include <sys/socket.h>

/** Bytes of bulk transfers that figures are given for. */
#define BULK_BYTES 65536
/** Payload of a segment, and of a frame that is cut into them (by the kernel, or by nobody). */
#define MSS 1460u
#define LARGE_FRAME (42 * MSS)

static bool
connect_all(struct gen *g)
{
	return gen_case_tcp_find("tcp-out")->prepare(g);
}

static bool
lead_to_service(struct gen *g)
{
	unsigned int i;

	for (i = 0; i < g->n_conns; i++)
		g->conns[i].host_port = g->tcp.port;
	return true;
}

static bool
learn_all(struct gen *g)
{
	return gen_case_udp_find("udp-out")->prepare(g);
}

static bool
open_pair(struct gen *g)
{
	return gen_pair_find("east-west")->prepare(g);
}

static bool
react_none(struct guest *t, const struct counts_case *k)
{
	return false;
}

static uint64_t
arrived_host(const struct guest *t, const struct counts_case *k)
{
	return t->got;
}

static uint64_t
arrived_guest(const struct guest *t, const struct counts_case *k)
{
	return t->u.got_bytes;
}

/* ---- TCP, bulk ---- */

static uint64_t
load_tcp_out(struct guest *t, const struct counts_case *k)
{
	uint64_t bytes = 0;
	unsigned int i;

	for (i = 0; i < k->n_conns; i++)
		bytes += gen_tcp_send(&t->g.conns[i], k->amount);
	return bytes;
}

static bool
react_tcp_out(struct guest *t, const struct counts_case *k)
{
	const uint64_t bytes = gen_host_drain(&t->g.tcp);

	t->got += bytes;
	return bytes != 0;
}

static uint64_t
load_tcp_in(struct guest *t, const struct counts_case *k)
{
	const struct gen_service *s = &t->g.tcp;
	uint64_t bytes = 0;
	unsigned int i;

	for (i = 0; i < s->n_fds; i++) {
		const ssize_t n =
			send(s->fds[i], t->g.host_buf, k->amount, MSG_DONTWAIT | MSG_NOSIGNAL);

		bytes += n > 0 ? (uint64_t)n : 0;
	}
	return bytes;
}

/* ---- TCP, transactions ---- */

static bool
ask(struct gen_conn *c)
{
	c->asked = gen_tcp_send(c, 1) == 1;
	return c->asked;
}

static uint64_t
load_rr(struct guest *t, const struct counts_case *k)
{
	unsigned int i, n = 0;

	for (i = 0; i < k->n_conns; i++)
		n += ask(&t->g.conns[i]);
	return n;
}

static bool
react_echo(struct guest *t, const struct counts_case *k)
{
	gen_host_accept(&t->g.tcp);
	gen_host_echo(&t->g.tcp);
	return false;
}

static uint64_t
load_crr(struct guest *t, const struct counts_case *k)
{
	unsigned int i, n = 0;

	for (i = 0; i < k->n_conns; i++) {
		struct gen_conn *c = &t->g.conns[i];

		t->u.by_port[c->port] = NULL;
		c->port = t->u.next_port++;
		t->u.by_port[c->port] = c;
		c->asked = false;
		gen_tcp_connect(c);
		n += c->state == GEN_SYN_SENT;
	}
	return n;
}

static bool
react_crr(struct guest *t, const struct counts_case *k)
{
	bool moved = false;
	unsigned int i;

	for (i = 0; i < k->n_conns; i++) {
		struct gen_conn *c = &t->g.conns[i];

		if (c->state == GEN_OPEN && !c->asked) {
			/* As Linux does: the kernel answers SYN|ACK before its caller knows. */
			moved |= gen_tcp_ack(c) && ask(c);
		} else if (c->state == GEN_OPEN && c->got_bytes != 0) {
			moved |= gen_tcp_close(c);
		} else if (c->state == GEN_DONE && c->asked) {
			t->got += c->got_bytes;
			c->asked = false;
			moved = true;
		}
	}
	react_echo(t, k);
	return moved;
}

/* ---- UDP ---- */

static uint64_t
load_udp_out(struct guest *t, const struct counts_case *k)
{
	unsigned int i, j, n;
	uint64_t sent = 0;

	for (n = 0; n < k->amount; n += k->train)
		for (i = 0; i < k->n_conns; i++)
			for (j = 0; j < k->train; j++)
				sent += gen_guest_udp(&t->g.conns[i], t->g.size);
	return sent;
}

static bool
react_udp_out(struct guest *t, const struct counts_case *k)
{
	const uint64_t n = gen_host_udp_drain(&t->g);

	t->got += n;
	return n != 0;
}

static uint64_t
load_udp_in(struct guest *t, const struct counts_case *k)
{
	struct gen *g = &t->g;
	uint64_t sent = 0;
	unsigned int i, n;

	for (n = 0; n < k->amount; n += k->train)
		for (i = 0; i < k->n_conns; i++)
			if (gen_udp_send(
				    g->udp_fd, &g->udp_peers[i], g->host_buf, g->size, k->train))
				sent += k->train;
	return sent;
}

static bool
react_udp_echo(struct guest *t, const struct counts_case *k)
{
	gen_host_udp_echo(&t->g);
	return false;
}

static uint64_t
arrived_udp(const struct guest *t, const struct counts_case *k)
{
	return t->u.udp_got;
}

/* ---- frames between two guests ---- */

static uint64_t
load_pair(struct guest *t, const struct counts_case *k)
{
	unsigned int i;

	for (i = 0; i < k->amount; i++) {
		const uint16_t slot = gen_slot_get(&t->u, 0);

		if (slot == GEN_NO_SLOT)
			break;
		gen_slot_send(&t->u, 0, slot, t->u.v->hdr_bytes + t->g.size, 0);
	}
	return i;
}

static bool
react_pair(struct guest *t, const struct counts_case *k)
{
	const bool moved = gen_ring_poll(t->g.peer, gen_guest_frame) != 0;

	gen_ring_flush(t->g.peer);
	return moved;
}

static uint64_t
arrived_pair(const struct guest *t, const struct counts_case *k)
{
	return t->g.peer->udp_got;
}

/* ---- all of them ---- */

static const struct counts_kind bulk_out = {
	.unit = "64 KiB",
	.per = BULK_BYTES,
	.prepare = connect_all,
	.load = load_tcp_out,
	.react = react_tcp_out,
	.arrived = arrived_host,
};
static const struct counts_kind bulk_in = {
	.unit = "64 KiB",
	.per = BULK_BYTES,
	.prepare = connect_all,
	.load = load_tcp_in,
	.react = react_none,
	.arrived = arrived_guest,
};
static const struct counts_kind tcp_rr = {
	.unit = "transaction",
	.per = 1,
	.prepare = connect_all,
	.load = load_rr,
	.react = react_echo,
	.arrived = arrived_guest,
};
static const struct counts_kind tcp_crr = {
	.unit = "transaction",
	.per = 1,
	.prepare = lead_to_service,
	.load = load_crr,
	.react = react_crr,
	.arrived = arrived_host,
};
static const struct counts_kind udp_out = {
	.unit = "datagram",
	.per = 1,
	.prepare = learn_all,
	.load = load_udp_out,
	.react = react_udp_out,
	.arrived = arrived_host,
};
static const struct counts_kind udp_in = {
	.unit = "datagram",
	.per = 1,
	.prepare = learn_all,
	.load = load_udp_in,
	.react = react_none,
	.arrived = arrived_udp,
};
static const struct counts_kind udp_rr = {
	.unit = "transaction",
	.per = 1,
	.prepare = learn_all,
	.load = load_udp_out,
	.react = react_udp_echo,
	.arrived = arrived_udp,
};
static const struct counts_kind between_guests = {
	.unit = "frame",
	.per = 1,
	.prepare = open_pair,
	.load = load_pair,
	.react = react_pair,
	.arrived = arrived_pair,
};

/* What a step puts in fits in the guest's rings and in the buffers of sockets as they begin. */
const struct counts_case counts_cases[] = {
	{ "tcp-out-1", &bulk_out, .n_conns = 1, .amount = 4 * LARGE_FRAME },
	{ "tcp-out-16", &bulk_out, .n_conns = 16, .amount = LARGE_FRAME },
	{ "tcp-out-1-no-tso", &bulk_out, .n_conns = 1, .amount = 64 * MSS, .no_tso = true },
	{ "tcp-out-16-no-tso", &bulk_out, .n_conns = 16, .amount = 4 * MSS, .no_tso = true },
	{ "tcp-in-1", &bulk_in, .n_conns = 1, .amount = 256 << 10 },
	{ "tcp-in-16", &bulk_in, .n_conns = 16, .amount = 32 << 10 },
	{ "tcp-in-1-no-tso", &bulk_in, .n_conns = 1, .amount = 256 << 10, .no_tso = true },
	{ "tcp-in-16-no-tso", &bulk_in, .n_conns = 16, .amount = 32 << 10, .no_tso = true },
	{ "tcp-rr-1", &tcp_rr, .n_conns = 1, .amount = 1 },
	{ "tcp-rr-32", &tcp_rr, .n_conns = 32, .amount = 1 },
	{ "tcp-rr-32-irq", &tcp_rr, .n_conns = 32, .amount = 1, .interrupts = true },
	{ "tcp-crr-1", &tcp_crr, .n_conns = 1, .amount = 1 },
	{ "tcp-crr-32", &tcp_crr, .n_conns = 32, .amount = 1 },
	{ "udp-out-1", &udp_out, .n_conns = 1, .amount = 64, .train = 64 },
	{ "udp-out-64", &udp_out, .n_conns = 64, .amount = 1, .train = 1 },
	{ "udp-out-4x16", &udp_out, .n_conns = 4, .amount = 16, .train = 16 },
	{ "udp-in-1", &udp_in, .n_conns = 1, .amount = 64, .train = 1 },
	{ "udp-in-64", &udp_in, .n_conns = 64, .amount = 1, .train = 1 },
	{ "udp-in-1x16", &udp_in, .n_conns = 1, .amount = 64, .train = 16 },
	{ "udp-in-4x16", &udp_in, .n_conns = 4, .amount = 16, .train = 16 },
	{ "udp-in-64-irq", &udp_in, .n_conns = 64, .amount = 1, .train = 1, .interrupts = true },
	{ "udp-rr-1", &udp_rr, .n_conns = 1, .amount = 1, .train = 1 },
	{ "udp-rr-32", &udp_rr, .n_conns = 32, .amount = 1, .train = 1 },
	{ "east-west", &between_guests, .n_conns = 1, .amount = 64 },
	{ NULL, NULL },
};
