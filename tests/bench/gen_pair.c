/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two guests of one back-end: what the first sends, the second shall receive. Frames lie ready in
 * the slots and are never touched again, so that the load costs little more than its rings.
 */
#include "gen.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/** Sent in one turn, at most. */
#define TURN_FRAMES 64

static void
count_frame(struct gen *b, const uint8_t *buf, uint32_t frame_bytes)
{
	if (frame_bytes == b->frame_bytes)
		b->udp_got++;
	else
		gen_guest_frame(b, buf, frame_bytes);
}

static int
open_peer(struct gen *g)
{
	struct vhu_conf conf = g->v->conf;
	struct gen *b = calloc(1, sizeof(*b));

	if (b == NULL)
		return -1;
	g->peer = b;
	b->ip = g->peer_ip;
	b->gw_ip = g->ip;
	b->gw_known = g->no_arp;
	b->mtu = g->mtu;
	b->rx_buf_bytes = g->rx_buf_bytes;
	b->frame_bytes = g->size;
	memcpy(b->mac, g->mac, sizeof(b->mac));
	b->mac[5] ^= 1;
	conf.path = g->peer_path;
	b->v = vhu_open(&conf);
	if (b->v == NULL) {
		perror("weir-gen: --peer-socket");
		return -1;
	}
	/* The back-end learns who is there, and both learn whom to send to. */
	if (gen_ring_init(b) != 0 || !gen_guest_arp(b) || !gen_guest_arp(g))
		return -1;
	return 0;
}

bool
gen_pair_open(struct gen *g)
{
	unsigned int i;

	if (g->peer_path == NULL || g->size < GEN_UDP_HEAD || g->size > GEN_FRAME_MAX) {
		fprintf(stderr, "weir-gen: east-west: give --peer-socket, and --size %u to %u\n",
			GEN_UDP_HEAD, GEN_FRAME_MAX);
		return false;
	}
	g->gw_ip = g->peer_ip;
	g->gw_known = g->no_arp;
	if (open_peer(g) != 0)
		return false;
	g->host_port = 5001;
	for (i = 0; i < g->n_slots; i++)
		gen_guest_udp_head(
			g, (uint16_t)i, g->conns[i % g->n_conns].port, g->size - GEN_UDP_HEAD);
	return true;
}

uint64_t
gen_pair_turn(struct gen *g)
{
	struct gen *b = g->peer;
	const uint64_t before = b->udp_got;
	unsigned int i;

	for (i = 0; i < TURN_FRAMES; i++) {
		const uint16_t slot = gen_slot_get(g);

		if (slot == GEN_NO_SLOT)
			break;
		gen_slot_send(g, slot, (unsigned int)g->v->hdr_bytes + g->size, 0);
	}
	gen_ring_poll(g, gen_guest_frame);
	gen_ring_flush(g);
	gen_ring_poll(b, count_frame);
	gen_ring_flush(b);
	return b->udp_got - before;
}

void
gen_pair_close(struct gen *g)
{
	if (g->peer == NULL)
		return;
	vhu_close(g->peer->v);
	free(g->peer->slots);
	free(g->peer->rx_bufs);
	free(g->peer);
	g->peer = NULL;
}
