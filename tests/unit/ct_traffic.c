/* SPDX-License-Identifier: BSD-3-Clause */
#include "ct_traffic.h"

#include <stdio.h>
#include <string.h>

#define CLIENT 0
#define SERVER 1
/** At most so much is on its way, whatever the window. */
#define IN_FLIGHT 40000
/** Far outside of any window. */
#define FAR_OFF 0x50000000U

static const struct pkt_limits no_limits;

/** splitmix64 */
uint64_t
traffic_rnd(struct traffic *t)
{
	uint64_t z = t->seed += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

uint32_t
traffic_below(struct traffic *t, uint32_t n)
{
	return (uint32_t)(traffic_rnd(t) % n);
}

static bool
one_in(struct traffic *t, uint32_t n)
{
	return traffic_below(t, n) == 0;
}

static bool
before(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) < 0;
}

/* ---- conversations ---- */

static void
conv_addresses(struct traffic *t, struct traffic_conv *c)
{
	static const uint16_t port[] = { TRAFFIC_PORT_PLAIN, TRAFFIC_PORT_SNAT, TRAFFIC_PORT_DNAT,
		TRAFFIC_PORT_BOTH };
	struct traffic_end *client = &c->end[CLIENT], *server = &c->end[SERVER];
	char text[48];

	snprintf(text, sizeof(text), c->v6 ? "fd00:2::%x" : "10.0.2.%u", 15 + c->nr % 7);
	client->self = pkt_addr(text);
	client->port = (uint16_t)(20000 + c->nr);
	snprintf(text, sizeof(text), c->v6 ? "fd00:3::%x" : "10.0.3.%u", 1 + c->nr % 3);
	client->peer = pkt_addr(text);
	client->peer_port = t->nat ? port[traffic_below(t, 4)] : TRAFFIC_PORT_PLAIN;
	server->self = client->peer;
	server->port = client->peer_port;
	server->peer = client->self;
	server->peer_port = client->port;
}

static void
end_restart(struct traffic *t, struct traffic_end *e)
{
	e->isn = (uint32_t)traffic_rnd(t);
	e->una = e->isn;
	e->nxt = e->isn;
	e->win = (uint16_t)(2000 + traffic_below(t, 60000));
	e->scale = one_in(t, 3) ? -1 : (int)traffic_below(t, 8);
	e->opened = e->open = e->heard = e->fin_sent = e->fin_heard = false;
}

/** Two ends as they are when nobody has seen them open. */
static void
conv_pick_up(struct traffic_conv *c)
{
	for (unsigned int s = 0; s < 2; s++) {
		struct traffic_end *e = &c->end[s], *p = &c->end[1 - s];

		e->opened = e->open = e->heard = true;
		e->una = e->nxt = e->isn + 1;
		e->rcv_nxt = p->isn + 1;
		e->limit = e->nxt + 2000;
	}
}

static void
conv_start(struct traffic *t, struct traffic_conv *c)
{
	static const uint8_t protos[] = { IPPROTO_TCP, IPPROTO_TCP, IPPROTO_TCP, IPPROTO_TCP,
		IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP };
	uint16_t nr = c->nr;

	memset(c, 0, sizeof(*c));
	c->nr = nr;
	c->v6 = t->v6 && one_in(t, 2);
	c->zone = (uint16_t)traffic_below(t, 2);
	c->proto = protos[traffic_below(t, sizeof(protos))];
	if (c->proto == IPPROTO_ICMP && c->v6)
		c->proto = IPPROTO_ICMPV6;
	conv_addresses(t, c);
	end_restart(t, &c->end[CLIENT]);
	end_restart(t, &c->end[SERVER]);
	/* Who is not translated can be spoken to first. */
	c->known = c->end[CLIENT].peer_port == TRAFFIC_PORT_PLAIN || c->proto == IPPROTO_ICMP ||
		c->proto == IPPROTO_ICMPV6;
	if (c->proto == IPPROTO_TCP && c->known && one_in(t, 30))
		conv_pick_up(c);
}

void
traffic_start(struct traffic *t, uint64_t seed, bool nat, bool forge, bool v6)
{
	memset(t, 0, sizeof(*t));
	t->seed = seed;
	t->nat = nat;
	t->forge = forge;
	t->v6 = v6;
	for (uint16_t i = 0; i < TRAFFIC_CONVS; i++) {
		t->conv[i].nr = i;
		conv_start(t, &t->conv[i]);
	}
}

static struct pkt_ip
ip_of(const struct traffic_conv *c, unsigned int side)
{
	const struct traffic_end *e = &c->end[side];

	return (struct pkt_ip){
		.src_mac = { 2, 0, 0, 0, (uint8_t)c->zone, (uint8_t)(side + 1) },
		.dst_mac = { 2, 0, 0, 0, (uint8_t)c->zone, (uint8_t)(2 - side) },
		.src = e->self,
		.dst = e->peer,
	};
}

/* ---- TCP: what an end sends ---- */

struct seg {
	uint8_t flags;
	uint32_t seq, ack;
	size_t len;
	int wscale; /**< -1: no option */
	bool spoilt;
};

static size_t
seg_build(struct traffic *t, struct traffic_conv *c, unsigned int side, const struct seg *g,
	uint8_t *out)
{
	static const uint8_t data[TRAFFIC_FRAME];
	const struct traffic_end *e = &c->end[side];
	struct pkt_ip ip = ip_of(c, side);
	struct pkt_tcp tcp = {
		.sport = e->port,
		.dport = e->peer_port,
		.seq = g->seq,
		.ack = (g->flags & PKT_ACK) != 0 ? g->ack : 0,
		.flags = g->flags,
		.win = e->win,
		.mss = (g->flags & PKT_SYN) != 0 ? 1460 : 0,
		.wscale = g->wscale,
	};
	size_t n = pkt_build_tcp(out, &ip, &tcp, data, g->len);

	if (g->spoilt)
		out[n - 1 - traffic_below(t, 16)] ^= 0x55;
	return n;
}

/** Opening: false when there is nothing to do for this end. */
static bool
tcp_open(struct traffic *t, struct traffic_conv *c, unsigned int side, struct seg *g)
{
	struct traffic_end *e = &c->end[side];

	g->seq = e->isn;
	g->wscale = e->scale;
	if (e->heard && !e->opened && one_in(t, 12)) {
		*g = (struct seg){ .flags = PKT_RST | PKT_ACK, .ack = e->rcv_nxt, .wscale = -1 };
		c->reset = true;
		return true;
	}
	if (!e->heard && side == SERVER && !(c->known && one_in(t, 8)))
		return false;
	if (e->opened && !e->heard && one_in(t, 20)) {
		*g = (struct seg){ .flags = PKT_RST, .seq = e->nxt, .wscale = -1 };
		c->reset = true;
		return true;
	}
	e->opened = true;
	e->nxt = e->isn + 1;
	g->flags = e->heard ? PKT_SYN | PKT_ACK : PKT_SYN;
	/* RFC 7323, 2.2: with an ACK only in answer to the same. */
	if (e->heard && c->end[1 - side].scale < 0)
		e->scale = g->wscale = -1;
	return true;
}

static void
tcp_retransmit(struct traffic_end *e, struct seg *g)
{
	uint32_t n = e->nxt - e->una;

	g->seq = e->una;
	if (e->fin_sent && n == 1)
		g->flags |= PKT_FIN;
	else
		g->len = n - e->fin_sent < 1000 ? n - e->fin_sent : 1000;
}

/** Connected: data, acknowledgements, the end. */
static void
tcp_talk(struct traffic *t, struct traffic_conv *c, struct traffic_end *e, struct seg *g)
{
	uint32_t what = traffic_below(t, 100), len = 1 + traffic_below(t, 1400);
	uint32_t in_flight = e->nxt - e->una, room = e->limit - e->nxt;

	g->flags = PKT_ACK;
	g->seq = e->nxt;
	g->ack = e->rcv_nxt;
	if (what < 2) {
		g->flags = one_in(t, 2) ? PKT_RST : PKT_RST | PKT_ACK;
		c->reset = true;
	} else if (what < 12 && in_flight > 0) {
		tcp_retransmit(e, g);
	} else if (what < 16 && !e->fin_sent && (int32_t)room > 0) {
		g->flags |= PKT_FIN;
		e->fin_sent = true;
		e->nxt++;
	} else if (what < 60 && !e->fin_sent && (int32_t)room >= (int32_t)len &&
		in_flight + len <= IN_FLIGHT) {
		g->flags |= PKT_PSH;
		g->len = len;
		e->nxt += len;
	} else if (what < 65) {
		e->win = (uint16_t)(2000 + traffic_below(t, 60000));
	}
}

/** What no end would send now. */
static void
tcp_forge(struct traffic *t, const struct traffic_end *e, struct seg *g)
{
	uint32_t off = one_in(t, 2) ? FAR_OFF : 0 - FAR_OFF;

	*g = (struct seg){ .flags = PKT_ACK, .seq = e->nxt, .ack = e->rcv_nxt, .wscale = -1 };
	switch (traffic_below(t, 8)) {
	case 0:
	case 1:
		g->seq += off;
		g->len = traffic_below(t, 1000);
		break;
	case 2:
		g->ack += off;
		g->len = traffic_below(t, 1000);
		break;
	case 3:
	case 4:
		g->flags = one_in(t, 2) ? PKT_RST : PKT_RST | PKT_ACK;
		g->seq +=
			one_in(t, 2) ? 1 + traffic_below(t, 1000) : 0 - 2 - traffic_below(t, 1000);
		break;
	case 5:
		g->flags = one_in(t, 2) ? PKT_SYN | PKT_FIN : 0;
		break;
	case 6:
		g->flags = PKT_SYN;
		g->seq += off;
		break;
	default:
		g->len = 100;
		g->spoilt = true;
		break;
	}
}

/** @return length of the frame, 0: this end has nothing to say */
static size_t
tcp_step(struct traffic *t, struct traffic_conv *c, unsigned int side, uint8_t *out)
{
	struct traffic_end *e = &c->end[side], *p = &c->end[1 - side];
	bool closed = e->fin_sent && p->fin_sent && e->una == e->nxt && p->una == p->nxt;
	struct seg g = { .ack = e->rcv_nxt, .wscale = -1 };

	if ((c->reset && one_in(t, 2)) || (closed && one_in(t, 3))) {
		conv_start(t, c);
		e = &c->end[CLIENT];
		if (c->proto != IPPROTO_TCP)
			return 0;
		side = CLIENT;
		t->side = side;
		g.ack = e->rcv_nxt;
	}
	if (!e->opened || !e->heard || e->una == e->isn) {
		if (c->reset || !tcp_open(t, c, side, &g))
			return 0;
	} else if (t->forge && e->open && c->end[1 - side].open && one_in(t, 12)) {
		t->forged = true;
		tcp_forge(t, e, &g);
	} else {
		tcp_talk(t, c, e, &g);
	}
	return seg_build(t, c, side, &g, out);
}

/* ---- TCP: what an end gets ---- */

static void
tcp_hear(struct traffic_conv *c, unsigned int to, const struct pkt_view *v)
{
	struct traffic_end *e = &c->end[to], *from = &c->end[1 - to];
	bool syn = (v->tcp.flags & PKT_SYN) != 0, fin = (v->tcp.flags & PKT_FIN) != 0;
	uint32_t win = v->tcp.win, limit;

	if ((v->tcp.flags & PKT_RST) != 0)
		return;
	if (syn && !e->heard) {
		e->heard = true;
		e->rcv_nxt = v->tcp.seq + 1;
		e->limit = e->isn + 1 + win;
	}
	if (!e->heard)
		return;
	if (!syn && e->scale >= 0 && from->scale >= 0)
		win <<= from->scale;
	if ((v->tcp.flags & PKT_ACK) != 0 && !before(e->nxt, v->tcp.ack)) {
		if (before(e->una, v->tcp.ack))
			e->una = v->tcp.ack;
		limit = v->tcp.ack + win;
		if (before(e->limit, limit))
			e->limit = limit;
		e->open = e->opened && e->una != e->isn;
	}
	if (!syn && v->tcp.seq == e->rcv_nxt) {
		e->rcv_nxt += (uint32_t)v->data_len + fin;
		e->fin_heard |= fin;
	}
}

/* ---- the rest ---- */

static size_t
dgram_step(struct traffic *t, struct traffic_conv *c, unsigned int side, uint8_t *out)
{
	static const uint8_t data[64];
	const struct traffic_end *e = &c->end[side];
	struct pkt_ip ip = ip_of(c, side);
	uint8_t type;
	size_t n;

	if (side == CLIENT && c->sent > 0 && one_in(t, 30))
		conv_start(t, c);
	if ((side == SERVER && (!c->known || c->sent == 0)) || c->proto == IPPROTO_TCP)
		return 0;
	ip = ip_of(c, side);
	if (c->proto == IPPROTO_UDP) {
		n = pkt_build_udp(out, &ip, e->port, e->peer_port, data, sizeof(data));
		t->forged = t->forge && one_in(t, 20);
		if (t->forged)
			out[n - 1] ^= 0x55;
		return n;
	}
	type = side == CLIENT ? (c->v6 ? 128 : 8) : (c->v6 ? 129 : 0);
	return pkt_build_icmp(
		out, &ip, type, 0, (uint32_t)(1000 + c->nr) << 16 | c->sent, data, sizeof(data));
}

/** A router behind the side that the last packet went to could not deliver it. */
static size_t
error_step(struct traffic *t, struct traffic_conv *c, uint8_t *out)
{
	unsigned int side = c->last_to;
	struct pkt_ip ip = ip_of(c, side);
	size_t quote = c->last_len - 14;
	uint8_t body[100];
	struct pkt_view v;

	if (pkt_check(c->last, c->last_len, NULL, &no_limits, &v) != NULL)
		return 0;
	t->forged = true;
	t->side = side;
	ip.src = pkt_addr(c->v6 ? "fd00:9::1" : "10.0.9.1");
	ip.dst = v.src;
	if (quote > sizeof(body))
		quote = sizeof(body);
	memcpy(body, c->last + 14, quote);
	if (t->forge && v.proto == IPPROTO_TCP && one_in(t, 4))
		pkt_put32(body + (v.l4 - v.l3) + 4, v.tcp.seq + FAR_OFF);
	return pkt_build_icmp(out, &ip, c->v6 ? 1 : 3, c->v6 ? 0 : 1, 0, body, quote);
}

size_t
traffic_step(struct traffic *t, uint8_t *out, unsigned int *side, uint16_t *zone)
{
	size_t n = 0;

	while (n == 0) {
		struct traffic_conv *c = &t->conv[traffic_below(t, TRAFFIC_CONVS)];

		t->c = c;
		t->side = traffic_below(t, 2);
		t->forged = false;
		if (c->last_len != 0 && one_in(t, 50))
			n = error_step(t, c, out);
		else if (c->proto == IPPROTO_TCP)
			n = tcp_step(t, c, t->side, out);
		else
			n = dgram_step(t, c, t->side, out);
	}
	*side = t->side;
	*zone = t->c->zone;
	return n;
}

void
traffic_left(struct traffic *t, const uint8_t *frame, size_t len, const struct pkt_view *v)
{
	struct traffic_conv *c = t->c;
	struct traffic_end *client = &c->end[CLIENT], *server = &c->end[SERVER];

	if (t->forged || v == NULL)
		return;
	c->sent++;
	if (len <= sizeof(c->last)) {
		memcpy(c->last, frame, len);
		c->last_len = len;
		c->last_to = 1 - t->side;
	}
	if (one_in(t, 20))
		return; /* lost on its way */
	if (t->side == CLIENT) {
		server->peer = v->src;
		server->self = v->dst;
		if (c->proto == IPPROTO_TCP || c->proto == IPPROTO_UDP) {
			server->peer_port = v->sport;
			server->port = v->dport;
		}
		c->known = true;
	} else if (!pkt_addr_eq(&v->dst, &client->self) || !pkt_addr_eq(&v->src, &client->peer)) {
		return; /* its flow is gone, and with it the translation */
	}
	if (c->proto == IPPROTO_TCP)
		tcp_hear(c, 1 - t->side, v);
}
