/* SPDX-License-Identifier: BSD-3-Clause */
#include "counts.h"

#include <stdlib.h>
#include <string.h>

/** The first VM's address. */
#define GUEST_IP 0x0a00020f
/** Flows between two guests: ports of the one that sends. */
#define FLOW_PORTS 50000
#define FLOW_FIRST_PORT 1024

/** Connections of each case have ports of their own: flows of the one before may be there still. */
static void
move_ports(struct gen_guest *u, uint16_t first)
{
	unsigned int i;

	u->next_port = first;
	for (i = 0; i < u->n_conns; i++) {
		struct gen_conn *c = u->conns[i];

		u->by_port[c->port] = NULL;
		c->port = u->next_port++;
		u->by_port[c->port] = c;
	}
}

bool
guest_open(struct guest *t, struct world *o, unsigned int vm, const struct guest_conf *c)
{
	struct gen *g = &t->g;
	struct gen_guest *u = &t->u;

	memset(t, 0, sizeof(*t));
	*g = (struct gen){ .n_vms = 1,
		.n_conns = c->n_conns,
		.mtu = 1500,
		.tso = !c->no_tso,
		.interrupts = c->interrupts,
		.ring_size = 256,
		.rx_buf_bytes = 4096,
		.size = 64,
		.train = 1,
		.peer_path = world_socket(o, c->peer_vm),
		.peer_ip = GUEST_IP + c->peer_vm,
		.guests = u,
		.udp_fd = -1 };
	*u = (struct gen_guest){ .g = g,
		.n_pairs = 1,
		.mac = { 0x52, 0x54, 0, 0x12, 0x34, (uint8_t)(2 * vm) },
		.ip = GUEST_IP + vm,
		.gw_ip = 0x0a000202 };
	g->conns = calloc(c->n_conns, sizeof(*g->conns));
	if (g->conns == NULL || gen_host_init(g) != 0 ||
		gen_guest_open(u, world_socket(o, vm)) != 0)
		return false;
	move_ports(u, c->first_port);
	return true;
}

void
guest_close(struct guest *t)
{
	if (t->g.n_vms == 0)
		return;
	gen_host_close(&t->g);
	gen_pair_close(&t->g);
	gen_guest_close(&t->u);
	free(t->g.conns);
	memset(t, 0, sizeof(*t));
}

/** Datagrams of flows from number `from` on, as many as there are slots. @return how many */
static unsigned int
send_flows(struct world *o, struct guest *t, unsigned int from, unsigned int n)
{
	struct gen_guest *u = &t->u;
	unsigned int i;

	for (i = from; i < from + n; i++) {
		const uint16_t slot = gen_slot_get(u, 0);

		if (slot == GEN_NO_SLOT)
			break;
		gen_guest_udp_head(u, u->rings[0].slots[slot].head,
			(uint16_t)(FLOW_FIRST_PORT + i % FLOW_PORTS),
			(uint16_t)(FLOW_FIRST_PORT + i / FLOW_PORTS), t->g.size - GEN_UDP_HEAD);
		gen_slot_send(u, 0, slot, u->v->hdr_bytes + t->g.size, 0);
	}
	gen_ring_flush(u);
	while (world_iterate(o, false) != 0)
		;
	gen_ring_poll(t->g.peer, gen_guest_frame);
	gen_ring_flush(t->g.peer);
	gen_ring_flush(u);
	return i - from;
}

bool
flows_make(struct world *o, unsigned int vm, unsigned int n)
{
	const struct guest_conf c = { .n_conns = 1, .first_port = 1, .peer_vm = vm + 1 };
	const uint32_t before = world_flows(o);
	unsigned int done = 0;
	struct guest t;
	bool ok;

	world_run(o);
	ok = guest_open(&t, o, vm, &c) && gen_pair_find("east-west")->prepare(&t.g);
	world_halt(o);
	while (ok && done < n) {
		const unsigned int sent = send_flows(o, &t, done, n - done);

		ok = sent != 0;
		done += sent;
	}
	world_run(o);
	guest_close(&t);
	world_halt(o);
	return ok && world_flows(o) >= before + n;
}
