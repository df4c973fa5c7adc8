/* SPDX-License-Identifier: BSD-3-Clause */
#include "gtcp.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RTO_MS 200
#define SEND_ROOM (1u << 20)
#define TSO_BYTES 60000

static void
violated(struct gtcp *c, const char *what, const struct pkt_view *v)
{
	struct guest *g = c->g;

	if (g->error[0] == '\0')
		snprintf(g->error, sizeof(g->error), "TCP: %s: %s (snd %u..%u rcv %u edge %u)",
			what, pkt_text(v), c->snd_una, c->snd_nxt, c->rcv_nxt, c->rcv_edge);
}

struct gtcp *
gtcp_new(struct guest *g, const struct pkt_addr *remote, uint16_t rport, uint16_t lport)
{
	struct gtcp *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	c->g = g;
	c->remote = *remote;
	c->local = *guest_addr_for(g, remote);
	c->rport = rport;
	c->lport = lport != 0 ? lport : guest_port(g);
	c->iss = c->snd_una = c->snd_nxt = 0xffff0000u + c->lport % 0x8000u; /* wraps soon */
	c->rcv_wnd = 1 << 20;
	c->rcv_scale = 7;
	c->mss = (uint16_t)((g->conf.mtu != 0 ? g->conf.mtu : 1500) - (remote->len == 4 ? 40 : 60));
	c->snd_mss = 536;
	c->ack_each = true;
	c->unacked = malloc(SEND_ROOM);
	c->next = g->tcps;
	g->tcps = c;
	return c;
}

void
gtcp_free(struct gtcp *c)
{
	if (c == NULL)
		return;
	for (struct gtcp **p = &c->g->tcps; *p != NULL; p = &(*p)->next) {
		if (*p == c) {
			*p = c->next;
			break;
		}
	}
	free(c->unacked);
	free(c->in);
	free(c);
}

/* ---- sending ---- */

static uint16_t
window_field(struct gtcp *c, bool syn)
{
	uint32_t scale = !syn && c->offered_scale && c->rcv_scale > 0 ? (uint32_t)c->rcv_scale : 0;
	uint32_t w = c->rcv_wnd >> scale;

	if (w > 0xffff)
		w = 0xffff;
	if (gtcp_diff(c->rcv_nxt + (w << scale), c->rcv_edge) > 0)
		c->rcv_edge = c->rcv_nxt + (w << scale);
	return (uint16_t)w;
}

int
gtcp_segment_raw(struct gtcp *c, const struct pkt_tcp *t, const void *data, size_t len)
{
	struct pkt_ip ip = guest_ip(c->g, &c->remote);
	struct virtio_net_hdr hdr;
	uint8_t *f = malloc(PKT_MAX);
	size_t n;
	int rc;

	if (f == NULL)
		return -ENOMEM;
	ip.src = c->local;
	ip.tos = c->tos;
	ip.ttl = c->ttl;
	n = pkt_build_tcp(f, &ip, t, data, len);
	if (len > c->snd_mss && c->tso) {
		pkt_make_tso(f, n, c->snd_mss, &hdr);
		rc = guest_send_raw(c->g, &hdr, f, n);
	} else {
		rc = guest_send(c->g, f, n);
	}
	free(f);
	return rc;
}

int
gtcp_segment(struct gtcp *c, uint8_t flags, uint32_t seq, const void *data, size_t len)
{
	struct pkt_tcp t = { .sport = c->lport,
		.dport = c->rport,
		.seq = seq,
		.flags = flags,
		.ack = flags & PKT_ACK ? c->rcv_nxt : 0,
		.wscale = -1,
		.win = window_field(c, flags & PKT_SYN) };

	if (flags & PKT_SYN) {
		t.mss = c->mss;
		t.wscale = c->rcv_scale;
		if ((flags & PKT_ACK) && !c->offered_scale)
			t.wscale = -1;
	}
	return gtcp_segment_raw(c, &t, data, len);
}

void
gtcp_ack(struct gtcp *c)
{
	gtcp_segment(c, PKT_ACK, c->snd_nxt, NULL, 0);
}

static void
send_range(struct gtcp *c, uint32_t from, size_t len)
{
	size_t at = from - c->snd_una, most = c->tso ? TSO_BYTES : c->snd_mss;

	while (len != 0) {
		size_t n = len < most ? len : most;

		gtcp_segment(c, PKT_ACK | PKT_PSH, c->snd_una + (uint32_t)at, c->unacked + at, n);
		at += n;
		len -= n;
	}
}

static void
send_fin(struct gtcp *c)
{
	if (!c->fin_queued || c->fin_sent)
		return;
	/* Only when all data has gone. */
	if (c->snd_nxt - c->snd_una != c->n_unacked)
		return;
	gtcp_segment(c, PKT_FIN | PKT_ACK, c->snd_nxt, NULL, 0);
	c->fin_sent = true;
	c->snd_nxt++;
}

static void
push(struct gtcp *c)
{
	size_t in_flight = c->snd_nxt - c->snd_una;

	if (!c->established || c->fin_sent)
		return;
	if (c->n_unacked > in_flight && c->snd_wnd > in_flight) {
		size_t n = c->n_unacked - in_flight, room = c->snd_wnd - in_flight;
		uint32_t from = c->snd_nxt;

		n = n < room ? n : room;
		c->snd_nxt += (uint32_t)n;
		send_range(c, from, n);
	}
	send_fin(c);
}

void
gtcp_tick(struct gtcp *c)
{
	uint64_t now = vhu_now_ms();
	size_t data = c->snd_nxt - c->snd_una - (c->fin_sent && !c->fin_acked);

	if (!c->established || c->reset_received || c->manual || now < c->progress_ms + RTO_MS)
		return;
	c->progress_ms = now;
	if (data != 0)
		send_range(c, c->snd_una, data < c->snd_mss ? data : c->snd_mss);
	else if (c->fin_sent && !c->fin_acked)
		gtcp_segment(c, PKT_FIN | PKT_ACK, c->snd_nxt - 1, NULL, 0);
	else if (c->n_unacked != 0 && c->snd_wnd == 0) /* zero-window probe */
		gtcp_segment(c, PKT_ACK, c->snd_una, c->unacked, 1);
}

size_t
gtcp_write(struct gtcp *c, const void *data, size_t len)
{
	size_t room = SEND_ROOM - c->n_unacked;
	size_t n = len < room ? len : room;

	if (c->fin_queued)
		return 0;
	if (c->n_unacked == 0)
		c->progress_ms = vhu_now_ms();
	memcpy(c->unacked + c->n_unacked, data, n);
	c->n_unacked += n;
	push(c);
	return n;
}

void
gtcp_shutdown(struct gtcp *c)
{
	c->fin_queued = true;
	c->progress_ms = vhu_now_ms();
	push(c);
}

void
gtcp_reset(struct gtcp *c)
{
	gtcp_segment(c, PKT_RST | PKT_ACK, c->snd_nxt, NULL, 0);
}

/* ---- receiving ---- */

static bool
belongs(const struct gtcp *c, const struct pkt_view *v)
{
	return v->proto == IPPROTO_TCP && v->dport == c->lport && v->sport == c->rport &&
		pkt_addr_eq(&v->src, &c->remote) && pkt_addr_eq(&v->dst, &c->local);
}

/* What comes on one pair is in order; between pairs, which are read in turn, there is none. */
static void
check_order(struct gtcp *c, const struct pkt_view *v)
{
	const struct pkt_tcp *t = &v->tcp;
	struct gtcp_ack *last = &c->last_ack[c->g->from_pair];

	if (!(t->flags & PKT_ACK))
		return;
	if (!last->seen || gtcp_diff(t->ack, last->ack) >= 0)
		*last = (struct gtcp_ack){ t->ack, true };
	else if (gtcp_diff(t->ack, c->iss) > 0 && v->data_len == 0 && !(t->flags & PKT_FIN) &&
		t->seq == c->rcv_nxt)
		violated(c, "acknowledgement moved back", v);
}

/* Rules that hold in every mode. */
static void
check_segment(struct gtcp *c, const struct pkt_view *v)
{
	const struct pkt_tcp *t = &v->tcp;
	uint32_t end = t->seq + (uint32_t)v->data_len;

	c->segs++;
	if (v->data_len != 0) {
		c->data_segs++;
		c->gso_frames += v->gso_size != 0;
		if (c->max_seq_valid && gtcp_diff(end, c->max_seq) <= 0)
			c->retransmitted++;
		if (!c->max_seq_valid || gtcp_diff(end, c->max_seq) > 0)
			c->max_seq = end;
		c->max_seq_valid = true;
		if (v->data_len > c->max_payload)
			c->max_payload = v->data_len;
	}
	if (c->mss != 0 && (v->gso_size != 0 ? v->gso_size : v->data_len) > c->mss)
		violated(c, "segment over our MSS", v);
	if (!c->established || (t->flags & PKT_RST))
		return;
	if ((t->flags & PKT_ACK) && gtcp_diff(t->ack, c->snd_nxt) > 0 &&
		!(c->fin_sent && t->ack == c->snd_nxt))
		violated(c, "acknowledgement of what was not sent", v);
	if (v->data_len != 0 && gtcp_diff(end, c->rcv_edge) > 0 && v->data_len > 1)
		violated(c, "data beyond the window", v);
	check_order(c, v);
}

static void
take_ack(struct gtcp *c, const struct pkt_view *v)
{
	uint32_t n = v->tcp.ack - c->snd_una, data;

	c->snd_wnd = (uint32_t)v->tcp.win << c->snd_scale;
	c->zero_windows += c->snd_wnd == 0;
	if (gtcp_diff(v->tcp.ack, c->snd_una) <= 0 || gtcp_diff(v->tcp.ack, c->snd_nxt) > 0)
		return;
	c->progress_ms = vhu_now_ms();
	data = n < c->n_unacked ? n : (uint32_t)c->n_unacked;
	if (c->fin_sent && v->tcp.ack == c->snd_nxt)
		c->fin_acked = true;
	memmove(c->unacked, c->unacked + data, c->n_unacked - data);
	c->n_unacked -= data;
	c->snd_una = v->tcp.ack;
}

static bool
store(struct gtcp *c, const uint8_t *data, size_t len)
{
	if (c->n_in + len > c->in_room) {
		size_t room = (c->n_in + len) * 2 + 65536;
		uint8_t *more = realloc(c->in, room);

		if (more == NULL)
			return false;
		c->in = more;
		c->in_room = room;
	}
	memcpy(c->in + c->n_in, data, len);
	c->n_in += len;
	return true;
}

static void
take_data(struct gtcp *c, const struct pkt_view *v)
{
	uint32_t skip = c->rcv_nxt - v->tcp.seq;
	bool fin = v->tcp.flags & PKT_FIN, moved = false;

	if (v->data_len == 0 && !fin) {
		/* A keepalive or a probe without data asks for an answer. */
		if (gtcp_diff(v->tcp.seq, c->rcv_nxt) < 0)
			gtcp_ack(c);
		return;
	}
	if (c->drop != 0) {
		c->drop--;
		return;
	}
	if (c->no_ack || (c->lose_every != 0 && c->data_segs % c->lose_every == 0))
		return;
	if (gtcp_diff(v->tcp.seq, c->rcv_nxt) <= 0 && skip <= v->data_len) {
		size_t n = v->data_len - skip;
		size_t room = gtcp_diff(c->rcv_edge, c->rcv_nxt) > 0 ? c->rcv_edge - c->rcv_nxt : 0;

		if (n > room) {
			n = room;
			fin = false;
		}
		if (n != 0 && store(c, v->data + skip, n)) {
			c->rcv_nxt += (uint32_t)n;
			moved = true;
		}
		if (fin && !c->fin_received) {
			c->fin_received = true;
			c->rcv_nxt++;
			moved = true;
		}
	}
	c->dup_acks_sent += !moved;
	gtcp_ack(c);
}

static void
take_syn(struct gtcp *c, const struct pkt_view *v)
{
	c->syn = v->tcp;
	c->syn.options = NULL;
	c->irs = v->tcp.seq;
	c->rcv_nxt = c->rcv_edge = v->tcp.seq + 1;
	c->offered_scale = v->tcp.wscale >= 0 && c->rcv_scale >= 0;
	c->snd_scale = c->offered_scale ? (uint8_t)v->tcp.wscale : 0;
	c->snd_mss = v->tcp.mss != 0 ? v->tcp.mss : 536;
	c->snd_wnd = v->tcp.win;
	if (c->mss != 0 && c->mss < c->snd_mss)
		c->snd_mss = c->mss;
}

static void
take_segment(struct gtcp *c, const struct pkt_view *v)
{
	check_segment(c, v);
	if (v->tcp.flags & PKT_RST) {
		c->reset_received = true;
		return;
	}
	if (v->tcp.flags & PKT_SYN) {
		if ((v->tcp.flags & PKT_ACK) && !c->established && v->tcp.ack == c->snd_nxt) {
			take_syn(c, v);
			c->snd_una = v->tcp.ack;
			c->established = true;
		}
		gtcp_ack(c);
		return;
	}
	if (!c->established &&
		!(c->listening && (v->tcp.flags & PKT_ACK) && v->tcp.ack == c->snd_nxt))
		return;
	if (!c->established) {
		c->established = true;
		c->snd_una = v->tcp.ack;
	}
	if (v->tcp.flags & PKT_ACK)
		take_ack(c, v);
	take_data(c, v);
	push(c);
}

bool
gtcp_input(struct guest *g, const struct pkt_view *v)
{
	for (struct gtcp *c = g->tcps; c != NULL; c = c->next) {
		if (!belongs(c, v))
			continue;
		if (c->manual) {
			check_segment(c, v);
			return false;
		}
		take_segment(c, v);
		return true;
	}
	return false;
}

/* ---- by hand ---- */

static bool
is_mine(const struct pkt_view *v, void *arg)
{
	return belongs(arg, v);
}

struct guest_frame *
gtcp_next(struct gtcp *c, int timeout_ms)
{
	return guest_wait(c->g, is_mine, c, timeout_ms);
}

struct guest_frame *
gtcp_expect(struct gtcp *c, uint8_t flags, int timeout_ms)
{
	uint64_t deadline = vhu_now_ms() + (unsigned int)timeout_ms;

	for (;;) {
		uint64_t now = vhu_now_ms();
		struct guest_frame *f = gtcp_next(c, now < deadline ? (int)(deadline - now) : 0);

		if (f == NULL)
			return NULL;
		if ((f->view.tcp.flags & ~(PKT_PSH | PKT_ECE | PKT_CWR)) == flags)
			return f;
		free(f);
	}
}

bool
gtcp_quiet(struct gtcp *c, int timeout_ms)
{
	return guest_never(c->g, is_mine, c, timeout_ms);
}
