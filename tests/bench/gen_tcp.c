/* SPDX-License-Identifier: BSD-3-Clause */
#include <arpa/inet.h>
#include <string.h>

#include "gen_frame.h"

/** Nothing acknowledged for so long: send again from there (go-back-N). */
#define GO_BACK_MS 200
/** Announced window: the scale makes it 8 MiB. */
#define WSCALE 7

bool
gen_seg_send(struct gen_guest *u, const struct gen_seg *s)
{
	const unsigned int pair = gen_guest_pair(u, s->port);
	const uint16_t slot = gen_slot_get(u, pair);
	const unsigned int options = s->syn ? 8 : 0;
	const unsigned int mss = u->g->mtu - 40;
	struct gen_frame *f;

	if (slot == GEN_NO_SLOT)
		return false;
	f = (struct gen_frame *)(void *)u->rings[pair].slots[slot].head;
	gen_frame_head(u, f, IPPROTO_TCP, sizeof(f->tcp) + options + s->payload);
	f->tcp.source = htons(s->port);
	f->tcp.dest = htons(s->host_port);
	f->tcp.seq = htonl(s->seq);
	f->tcp.doff = (uint16_t)((sizeof(f->tcp) + options) / 4);
	f->tcp.syn = s->syn;
	f->tcp.fin = s->fin;
	f->tcp.psh = s->payload != 0;
	f->tcp.window = htons(65535);
	if (s->syn) {
		const uint8_t opt[8] = { 2, 4, (uint8_t)(mss >> 8), (uint8_t)mss, 1, 3, 3, WSCALE };

		memcpy(f->options, opt, sizeof(opt));
	} else {
		f->tcp.ack = 1;
		f->tcp.ack_seq = htonl(s->ack);
	}
	f->tcp.check = gen_frame_pseudo_sum(f, (unsigned int)sizeof(f->tcp) + options + s->payload);
	if (s->payload > mss) {
		f->vnet.hdr.gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
		f->vnet.hdr.gso_size = (uint16_t)mss;
		f->vnet.hdr.hdr_len = GEN_TCP_HEAD;
	}
	gen_slot_send(
		u, pair, slot, (unsigned int)sizeof(f->vnet) + GEN_TCP_HEAD + options, s->payload);
	return true;
}

static bool
tcp_out(struct gen_conn *c, uint32_t seq, bool syn, bool fin, unsigned int payload)
{
	const struct gen_seg s = { .port = c->port,
		.host_port = c->host_port,
		.seq = seq,
		.ack = c->rcv_nxt,
		.syn = syn,
		.fin = fin,
		.payload = payload };

	if (!gen_seg_send(c->guest, &s))
		return false;
	if (!syn)
		c->ack_owed = false;
	return true;
}

void
gen_tcp_connect(struct gen_conn *c)
{
	const uint64_t now_ns = c->guest->g->now_ns;

	c->snd_una = c->snd_nxt = (uint32_t)(now_ns >> 8) + c->port * 7919u;
	c->rcv_nxt = 0;
	c->got_bytes = 0;
	c->window = 0;
	c->dup_acks = 0;
	c->una_ms = now_ns / 1000000;
	c->state = GEN_IDLE;
	if (tcp_out(c, c->snd_nxt, true, false, 0)) {
		c->snd_nxt++;
		c->state = GEN_SYN_SENT;
	}
}

bool
gen_tcp_close(struct gen_conn *c)
{
	if (!tcp_out(c, c->snd_nxt, false, true, 0))
		return false;
	c->snd_nxt++;
	c->state = GEN_FIN_SENT;
	return true;
}

bool
gen_tcp_ack(struct gen_conn *c)
{
	return tcp_out(c, c->snd_nxt, false, false, 0);
}

/** As large frames as Linux makes them: whole segments, near 61 KiB in all. */
static uint32_t
frame_payload_max(const struct gen *g)
{
	const uint32_t mss = g->mtu - 40, large = 60 * 1024;

	if (mss >= large)
		return large;
	return g->tso ? large / mss * mss : mss;
}

uint32_t
gen_tcp_send(struct gen_conn *c, uint32_t bytes)
{
	const struct gen *g = c->guest->g;
	const uint32_t mss = g->mtu - 40;
	const uint32_t most = frame_payload_max(g);
	uint32_t sent = 0;

	while (sent < bytes) {
		const uint32_t flight = c->snd_nxt - c->snd_una;
		uint32_t n = bytes - sent < most ? bytes - sent : most;

		if (flight >= c->window)
			break;
		/* As Linux does: whole segments, unless it is the end. */
		if (n > c->window - flight) {
			n = c->window - flight;
			if (n > mss)
				n = n / mss * mss;
			else if (flight != 0)
				break;
		}
		if (flight == 0)
			c->una_ms = g->now_ns / 1000000;
		if (!tcp_out(c, c->snd_nxt, false, false, n))
			break;
		c->snd_nxt += n;
		sent += n;
	}
	return sent;
}

static void
go_back(struct gen_conn *c)
{
	c->guest->retransmits++;
	c->dup_acks = 0;
	c->una_ms = c->guest->g->now_ns / 1000000;
	if (c->state == GEN_SYN_SENT || c->state == GEN_FIN_SENT) {
		tcp_out(c, c->snd_una, c->state == GEN_SYN_SENT, c->state == GEN_FIN_SENT, 0);
		return;
	}
	c->snd_nxt = c->snd_una;
	gen_guest_touch(c);
}

void
gen_tcp_late(struct gen_conn *c)
{
	if (c->state != GEN_IDLE && c->state != GEN_DONE && c->snd_nxt != c->snd_una &&
		c->guest->g->now_ns / 1000000 - c->una_ms > GO_BACK_MS)
		go_back(c);
}

static void
ack_in(struct gen_conn *c, const struct tcphdr *t, uint32_t payload)
{
	const uint32_t ack = ntohl(t->ack_seq);
	const uint32_t window = (uint32_t)ntohs(t->window) << (t->syn ? 0 : c->wscale);

	if ((int32_t)(ack - c->snd_una) > 0) {
		c->guest->acked_bytes += ack - c->snd_una;
		c->snd_una = ack;
		if ((int32_t)(c->snd_nxt - ack) < 0)
			c->snd_nxt = ack;
		c->una_ms = c->guest->g->now_ns / 1000000;
		c->dup_acks = 0;
	} else if (ack == c->snd_una && payload == 0 && window == c->window &&
		c->snd_nxt != c->snd_una && ++c->dup_acks == 3) {
		go_back(c);
	}
	c->window = window;
}

static void
syn_ack_in(struct gen_conn *c, const struct tcphdr *t)
{
	const uint8_t *o = (const uint8_t *)(t + 1);
	const uint8_t *end = (const uint8_t *)t + t->doff * 4;

	c->wscale = 0;
	while (o + 1 < end && *o != 0) {
		if (*o == 1) {
			o++;
			continue;
		}
		if (*o == 3 && o + 2 < end)
			c->wscale = o[2];
		if (o[1] < 2)
			break;
		o += o[1];
	}
	c->rcv_nxt = ntohl(t->seq) + 1;
	c->state = GEN_OPEN;
	c->ack_owed = true;
	gen_guest_touch(c);
}

void
gen_tcp_in(struct gen_conn *c, const struct tcphdr *t, uint32_t payload)
{
	if (t->rst) {
		c->state = GEN_DONE;
		c->ack_owed = false;
		gen_guest_touch(c);
		return;
	}
	if (t->ack)
		ack_in(c, t, payload);
	if (t->syn && c->state == GEN_SYN_SENT) {
		syn_ack_in(c, t);
		return;
	}
	if (payload == 0 && !t->fin)
		return;
	c->ack_owed = true;
	gen_guest_touch(c);
	if (ntohl(t->seq) != c->rcv_nxt)
		return;
	c->rcv_nxt += payload + t->fin;
	c->got_bytes += payload;
	c->guest->got_bytes += payload;
	if (t->fin && c->state == GEN_FIN_SENT)
		c->state = GEN_DONE;
}
