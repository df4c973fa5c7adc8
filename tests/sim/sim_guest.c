/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * A guest's TCP, small and by the book: RFC 9293, Reno with NewReno's recovery point, delayed ACKs,
 * window probes, a receive buffer that a program empties at its pace. It keeps what comes out of
 * order, and compares every byte when it comes.
 */
#include "sim_priv.h"

#define RTO_US 250000ull
#define RTO_MAX_US 8000000ull
#define DELACK_US 40000ull
#define TSO_MAX 40000u
#define TIME_WAIT_US 1500000ull

static uint16_t
own_mss(const struct sim *s)
{
	return (uint16_t)(s->c.mtu - (s->c.v6 ? 60 : 40));
}

/* ---- what it tells ---- */

/** Right edge of the receive window: where the buffer ends, and never back, unless it shrinks. */
static uint32_t
window(struct sim *s)
{
	struct sim_guest *g = &s->g;
	uint64_t edge = g->read + s->c.rcvbuf;

	if (s->c.shrinks && sim_chance(s, 500))
		edge = g->rcv_nxt + sim_random(s, s->c.rcvbuf / 4);
	else
		edge = RTE_MAX(edge, g->told_edge);
	/* Silly windows are not told (RFC 9293, 3.8.6.2.2). */
	if (edge < g->told_edge + RTE_MIN(own_mss(s), s->c.rcvbuf / 2) && edge > g->told_edge)
		edge = g->told_edge;
	if (edge <= g->rcv_nxt)
		edge = g->rcv_nxt;
	edge = RTE_MIN(edge, g->rcv_nxt + (65535ull << g->rcv_scale));
	g->told_edge = edge;
	return (uint32_t)((edge - g->rcv_nxt) >> g->rcv_scale);
}

static void
send_seg(struct sim *s, uint8_t flags, uint32_t seq, uint64_t off, uint32_t len)
{
	static uint8_t frame[PKT_MAX], data[PKT_MAX];
	struct pkt_ip ip = l4xkit_ip(s->peer);
	struct sim_guest *g = &s->g;
	struct pkt_tcp tcp = {
		.sport = s->gport, .dport = s->pport, .seq = seq, .flags = flags, .wscale = -1
	};
	struct virtio_net_hdr hdr = { 0 };
	uint16_t gso = 0;
	size_t n;

	if ((flags & PKT_SYN) != 0) {
		tcp.win = (uint16_t)RTE_MIN(s->c.rcvbuf, 65535u);
		g->told_edge = tcp.win;
		tcp.mss = own_mss(s);
		tcp.wscale =
			s->c.no_scale || (g->state == SIM_SYN_RCVD && g->snd_scale < 0) ? -1 : 5;
	} else {
		tcp.win = (uint16_t)window(s);
	}
	if ((flags & PKT_ACK) != 0)
		tcp.ack = g->peer_isn + 1 + (uint32_t)g->rcv_nxt + g->fin_rcvd;
	for (uint32_t i = 0; i < len; i++)
		data[i] = sim_byte(off + i, true);
	n = pkt_build_tcp(frame, &ip, &tcp, data, len);
	if (len > g->mss && g->mss != 0) {
		gso = g->mss;
		pkt_make_tso(frame, n, gso, &hdr);
	}
	g->unacked = 0;
	g->delack_us = 0;
	sim_link_up(s, frame, (uint32_t)n, gso);
}

static void
send_ack(struct sim *s)
{
	struct sim_guest *g = &s->g;

	send_seg(s, PKT_ACK, g->isn + 1 + (uint32_t)g->nxt + (g->fin_sent && g->nxt == s->c.up), 0,
		0);
}

static void
send_syn(struct sim *s)
{
	send_seg(s, s->g.state == SIM_SYN_SENT ? PKT_SYN : PKT_SYN | PKT_ACK, s->g.isn, 0, 0);
}

static void
rto_restart(struct sim *s)
{
	uint64_t rto = RTO_US << RTE_MIN(s->g.retries, 8u);

	s->g.rto_at_us = s->k->now_us + RTE_MIN(rto, RTO_MAX_US);
}

/* ---- sending ---- */

static bool
may_close(const struct sim *s)
{
	return !s->c.guest_waits || s->g.fin_rcvd;
}

static void
send_more(struct sim *s)
{
	struct sim_guest *g = &s->g;
	uint64_t end = RTE_MIN(g->edge, g->una + g->cwnd);

	if (g->state != SIM_ESTABLISHED)
		return;
	end = RTE_MIN(end, s->c.up);
	while (g->nxt < end) {
		uint32_t max = s->c.no_tso ? g->mss : RTE_MAX(TSO_MAX / g->mss, 1u) * g->mss;
		uint32_t len = (uint32_t)RTE_MIN(end - g->nxt, (uint64_t)max);
		bool last = g->nxt + len == s->c.up && may_close(s);

		/* Nagle and the sender's side of silly windows. */
		if (len < g->mss && g->nxt + len < s->c.up && g->nxt > g->una)
			break;
		send_seg(s, PKT_ACK | (last ? PKT_FIN | PKT_PSH : 0), g->isn + 1 + (uint32_t)g->nxt,
			g->nxt, len);
		g->fin_sent |= last;
		g->nxt += len;
		g->max = RTE_MAX(g->max, g->nxt);
		if (g->rto_at_us == 0)
			rto_restart(s);
	}
	if (g->nxt == s->c.up && !g->fin_sent && may_close(s) && g->edge >= g->nxt) {
		send_seg(s, PKT_ACK | PKT_FIN, g->isn + 1 + (uint32_t)g->nxt, 0, 0);
		g->fin_sent = true;
		if (g->rto_at_us == 0)
			rto_restart(s);
	}
}

/** Send the first segment that is not acknowledged again. */
static void
resend_first(struct sim *s)
{
	struct sim_guest *g = &s->g;
	uint32_t len = (uint32_t)RTE_MIN(g->max - g->una, (uint64_t)g->mss);
	bool fin = g->fin_sent && g->una + len == s->c.up;

	if (g->edge <= g->una && len > 0)
		len = 1;
	send_seg(s, PKT_ACK | (fin ? PKT_FIN : 0), g->isn + 1 + (uint32_t)g->una, g->una, len);
}

static void
timeout(struct sim *s)
{
	struct sim_guest *g = &s->g;

	g->retries++;
	if (g->retries > 60)
		fail_msg("the guest gives up at %llu", (unsigned long long)g->una);
	if (g->state != SIM_ESTABLISHED) {
		send_syn(s);
	} else if (g->max == g->una && !g->fin_sent) {
		/* A window probe: a byte that the window has no room for. */
		send_seg(s, PKT_ACK, g->isn + 1 + (uint32_t)g->nxt, g->nxt, 1);
		g->max = RTE_MAX(g->max, g->nxt + 1);
	} else {
		g->ssthresh = RTE_MAX((g->max - g->una) / 2, 2ull * g->mss);
		g->cwnd = g->mss;
		g->recover = g->max;
		g->dupacks = 0;
		resend_first(s);
		/* What else was lost is sent again as it turns out. */
		g->nxt = RTE_MAX(g->una, RTE_MIN(g->nxt, g->una + g->mss));
		if (g->edge <= g->una)
			g->nxt = g->una;
	}
	rto_restart(s);
}

static void
ack_in(struct sim *s, const struct sim_seg *seg)
{
	struct sim_guest *g = &s->g;
	uint64_t off = g->una + (uint32_t)(seg->ack - (g->isn + 1 + (uint32_t)g->una));
	bool fin = g->fin_sent && off == s->c.up + 1, advanced;
	uint64_t edge, old_edge = g->edge;

	if ((int32_t)(seg->ack - (g->isn + 1 + (uint32_t)g->una)) < 0)
		return;
	off -= fin;
	if (off > g->max)
		fail_msg("acknowledged %llu, sent was %llu", (unsigned long long)off,
			(unsigned long long)g->max);
	advanced = off > g->una || (fin && !g->fin_acked);
	g->fin_acked |= fin;
	if ((int32_t)(seg->seq - g->wl1) >= 0 || advanced) {
		edge = off + ((uint64_t)seg->win << RTE_MAX(g->snd_scale, 0));
		g->wl1 = seg->seq;
		g->edge = edge;
	}
	if (advanced) {
		bool recovering = off < g->recover;

		g->retries = 0;
		g->dupacks = 0;
		g->una = off;
		g->nxt = RTE_MAX(g->nxt, off);
		g->cwnd += g->cwnd < g->ssthresh ? 2ull * g->mss
						 : (uint64_t)g->mss * g->mss / g->cwnd + 1;
		g->rto_at_us = 0;
		if (g->max > g->una || (g->fin_sent && !g->fin_acked))
			rto_restart(s);
		if (recovering && g->max > g->una)
			resend_first(s);
	} else if (seg->len == 0 && (seg->flags & (PKT_FIN | PKT_SYN)) == 0 &&
		g->edge == old_edge && (g->max > g->una || (g->fin_sent && !g->fin_acked))) {
		if (++g->dupacks == 3 && g->una >= g->recover) {
			g->recover = g->max;
			g->ssthresh = RTE_MAX((g->max - g->una) / 2, 2ull * g->mss);
			g->cwnd = g->ssthresh;
			resend_first(s);
			rto_restart(s);
		}
	}
}

/* ---- receiving ---- */

static void
data_in(struct sim *s, const struct sim_seg *seg)
{
	struct sim_guest *g = &s->g;
	uint32_t next = g->peer_isn + 1 + (uint32_t)g->rcv_nxt;
	int64_t off = (int64_t)g->rcv_nxt + (int32_t)(seg->seq - next);
	uint64_t before = g->rcv_nxt;
	bool holes;

	for (uint32_t i = 0; i < seg->len; i++, off++) {
		if (off < (int64_t)g->rcv_nxt || off >= (int64_t)g->told_edge)
			continue;
		if ((uint64_t)off >= s->c.down)
			fail_msg("a byte behind the end of the stream");
		if (seg->bytes[i] != sim_byte((uint64_t)off, false))
			fail_msg("wrong byte at %lld", (long long)off);
		g->got[off] = 1;
	}
	if ((seg->flags & PKT_FIN) != 0) {
		g->fin_seen = true;
		assert_int_equal(off, s->c.down);
	}
	while (g->rcv_nxt < s->c.down && g->got[g->rcv_nxt])
		g->rcv_nxt++;
	if (g->fin_seen && g->rcv_nxt == s->c.down)
		g->fin_rcvd = true;
	holes = before == g->rcv_nxt;
	if (s->c.app_rate == 0 && s->c.pause_ms == 0)
		g->read = g->rcv_nxt;
	if (holes || (seg->flags & PKT_FIN) != 0 || ++g->unacked >= 2)
		send_ack(s);
	else if (g->delack_us == 0)
		g->delack_us = s->k->now_us + DELACK_US;
}

/** The program reads. */
static void
app_read(struct sim *s)
{
	struct sim_guest *g = &s->g;
	uint64_t now = s->k->now_us, n = g->rcv_nxt - g->read, before = g->told_edge;

	if (n == 0 || now < g->pause_until_us) {
		g->app_us = now;
		return;
	}
	if (s->c.app_rate != 0) {
		uint64_t may = (now - g->app_us) * s->c.app_rate / 1000;

		if (may == 0)
			return;
		n = RTE_MIN(n, may);
	}
	g->app_us = now;
	if (s->c.pause_ms != 0 && (g->read >> 16) != ((g->read + n) >> 16))
		g->pause_until_us = now + s->c.pause_ms * SIM_MS;
	g->read += n;
	/* Tell of room that has come back, in decent pieces. */
	if (g->read + s->c.rcvbuf >= before + RTE_MIN(2u * own_mss(s), s->c.rcvbuf / 2) &&
		before < g->rcv_nxt + s->c.rcvbuf / 2)
		send_ack(s);
}

/* ---- handshake ---- */

static void
learn(struct sim *s, const struct sim_seg *seg)
{
	struct sim_guest *g = &s->g;

	g->peer_isn = seg->seq;
	g->mss = RTE_MIN(seg->mss, own_mss(s));
	assert_true(seg->mss != 0);
	g->snd_scale = -1;
	if (seg->wscale >= 0 && !s->c.no_scale) {
		g->snd_scale = seg->wscale;
		g->rcv_scale = 5;
	}
	g->edge = seg->win;
	g->wl1 = seg->seq;
	g->cwnd = 10ull * g->mss;
	g->ssthresh = UINT64_MAX;
	g->retries = 0;
}

static void
establish(struct sim *s)
{
	s->g.state = SIM_ESTABLISHED;
	s->g.rto_at_us = 0;
	s->g.retries = 0;
}

static void
syn_in(struct sim *s, const struct sim_seg *seg)
{
	struct sim_guest *g = &s->g;

	if (g->state == SIM_CLOSED && s->c.inbound && (seg->flags & PKT_ACK) == 0) {
		g->state = SIM_SYN_RCVD;
		learn(s, seg);
		send_syn(s);
		rto_restart(s);
	} else if (g->state == SIM_SYN_SENT && (seg->flags & PKT_ACK) != 0) {
		assert_int_equal(seg->ack, g->isn + 1);
		learn(s, seg);
		establish(s);
		send_ack(s);
	} else if (g->state == SIM_SYN_RCVD) {
		assert_int_equal(seg->seq, g->peer_isn);
		send_syn(s);
	} else {
		/* A SYN|ACK once more. */
		assert_int_equal(seg->seq, g->peer_isn);
		send_ack(s);
	}
}

void
sim_guest_start(struct sim *s)
{
	struct sim_guest *g = &s->g;

	g->isn = s->c.gisn != 0 ? s->c.gisn : 1000;
	g->recover = 0;
	g->snd_scale = -1;
	if (s->c.inbound)
		return;
	g->state = SIM_SYN_SENT;
	send_syn(s);
	rto_restart(s);
}

void
sim_guest_in(struct sim *s, const struct sim_seg *seg)
{
	struct sim_guest *g = &s->g;

	if ((seg->flags & PKT_RST) != 0) {
		if (g->done_us != 0)
			return;
		/* The last ACK was lost again and again, until nobody was left to repeat it. */
		if (s->s.closed && g->fin_rcvd && g->fin_sent) {
			g->rto_at_us = 0;
			g->done_us = s->k->now_us;
			return;
		}
		fail_msg("the guest was reset at up %llu down %llu", (unsigned long long)g->una,
			(unsigned long long)g->rcv_nxt);
	}
	if ((seg->flags & PKT_SYN) != 0) {
		syn_in(s, seg);
		send_more(s);
		return;
	}
	if (g->state == SIM_SYN_RCVD && seg->ack == g->isn + 1) {
		establish(s);
		g->edge = (uint64_t)seg->win << RTE_MAX(g->snd_scale, 0);
	}
	if (g->state != SIM_ESTABLISHED)
		return;
	ack_in(s, seg);
	if (seg->len > 0 || (seg->flags & PKT_FIN) != 0)
		data_in(s, seg);
	else if ((int32_t)(seg->seq - (g->peer_isn + 1 + (uint32_t)g->rcv_nxt)) < 0 && !g->fin_rcvd)
		send_ack(s); /* a probe */
	send_more(s);
}

void
sim_guest_tick(struct sim *s)
{
	struct sim_guest *g = &s->g;
	uint64_t now = s->k->now_us;

	if (g->state == SIM_ESTABLISHED) {
		if (g->rto_at_us == 0 && g->nxt < s->c.up && g->edge <= g->nxt)
			rto_restart(s); /* persist */
		app_read(s);
		send_more(s);
	}
	if (g->delack_us != 0 && now >= g->delack_us)
		send_ack(s);
	if (g->rto_at_us != 0 && now >= g->rto_at_us)
		timeout(s);
	if (g->fin_acked && g->fin_rcvd && g->done_us == 0) {
		g->rto_at_us = 0;
		g->done_us = now;
	}
}

uint64_t
sim_guest_next(const struct sim *s)
{
	const struct sim_guest *g = &s->g;
	uint64_t next = UINT64_MAX;

	if (g->rto_at_us != 0)
		next = g->rto_at_us;
	if (g->delack_us != 0)
		next = RTE_MIN(next, g->delack_us);
	if (g->read < g->rcv_nxt)
		next = RTE_MIN(next, RTE_MAX(g->pause_until_us, s->k->now_us + 100));
	return next;
}
