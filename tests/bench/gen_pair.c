/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A second guest of the back-end. In the case east-west it receives what the first sends: frames
 * lie ready in the slots and are never touched again, so that the load costs little more than its
 * rings.
 */
#include "gen.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/** Sent in one turn, at most. */
#define TURN_FRAMES 64

/** Any: nobody listens. */
#define PORT 5001

static void
count_frame(struct gen_guest *b, const uint8_t *buf, uint32_t frame_bytes, unsigned int pair)
{
	if (frame_bytes == b->g->size)
		b->udp_got++;
	else
		gen_guest_frame(b, buf, frame_bytes, pair);
}

int
gen_pair_open(struct gen *g)
{
	struct gen_guest *a = &g->guests[0], *b = calloc(1, sizeof(*b));

	g->peer = b;
	if (b == NULL)
		return -1;
	b->g = g;
	b->number = UINT_MAX; /* none of the connections are its */
	b->n_pairs = a->n_pairs;
	b->ip = g->peer_ip;
	b->gw_ip = a->ip;
	b->gw_known = g->no_arp;
	memcpy(b->mac, a->mac, sizeof(b->mac));
	b->mac[5] ^= 1;
	/* The back-end learns who is there, and both learn whom to send to. */
	return gen_guest_open(b, g->peer_path) == 0 && gen_guest_arp(a) ? 0 : -1;
}

static bool
prepare(struct gen *g)
{
	struct gen_guest *a = &g->guests[0];
	unsigned int i, pair;

	if (g->peer_path == NULL || g->n_vms > 1 || g->size < GEN_UDP_HEAD ||
		g->size > GEN_FRAME_MAX) {
		fprintf(stderr, "weir-gen: east-west: give --peer-socket, and --size %u to %u\n",
			GEN_UDP_HEAD, GEN_FRAME_MAX);
		return false;
	}
	a->gw_ip = g->peer_ip;
	a->gw_known = g->no_arp;
	if (gen_pair_open(g) != 0)
		return false;
	for (pair = 0; pair < a->n_pairs; pair++) {
		struct gen_rings *r = &a->rings[pair];

		for (i = 0; i < r->n_slots; i++)
			gen_guest_udp_head(a, r->slots[i].head, a->conns[i % a->n_conns]->port,
				PORT, g->size - GEN_UDP_HEAD);
	}
	return true;
}

/** What the second guest receives is counted. */
static void
turn(struct gen *g, struct gen_result *r)
{
	struct gen_guest *a = &g->guests[0], *b = g->peer;
	const uint64_t before = b->udp_got;
	unsigned int i;

	for (i = 0; i < TURN_FRAMES; i++) {
		const uint16_t slot = gen_slot_get(a, 0);

		if (slot == GEN_NO_SLOT)
			break;
		gen_slot_send(a, 0, slot, (unsigned int)a->v->hdr_bytes + g->size, 0);
	}
	gen_ring_poll(a, gen_guest_frame);
	gen_ring_flush(a);
	gen_ring_poll(b, count_frame);
	gen_ring_flush(b);
	r->units += b->udp_got - before;
}

const struct gen_case *
gen_pair_find(const char *name)
{
	static const struct gen_case k = { "east-west", "frame", turn, prepare, NULL, NULL, NULL };

	return strcmp(name, k.name) == 0 ? &k : NULL;
}

void
gen_pair_close(struct gen *g)
{
	if (g->peer == NULL)
		return;
	gen_guest_close(g->peer);
	free(g->peer);
	g->peer = NULL;
}
