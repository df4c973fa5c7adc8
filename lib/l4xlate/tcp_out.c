/* SPDX-License-Identifier: BSD-3-Clause */
#include "tcp_priv.h"

/** RFC 5681, 3.2. */
#define DUPACKS 3

static bool
has_tso(const struct l4x *l, uint32_t idx)
{
	const struct l4x_flow *f = &l->flows[idx];

	return (l->ports[f->pif].offloads & (f->v4 ? L4X_OFFLOAD_TSO4 : L4X_OFFLOAD_TSO6)) != 0;
}

/** Payload of the largest frame the guest takes: whole segments. */
static uint16_t
frame_max(const struct l4x *l, uint32_t idx)
{
	const struct l4x_flow *f = &l->flows[idx];
	uint16_t hdr = TCP_HDR_LEN + (f->v4 ? L4X_IP4_LEN : L4X_IP6_LEN);
	bool tso = has_tso(l, idx);

	if (likely(f->tcp.op_frame != 0 && f->tcp.tso == tso))
		return f->tcp.op_frame;
	return tso ? (uint16_t)((L4X_GSO_MAX - hdr) / f->tcp.mss * f->tcp.mss) : f->tcp.mss;
}

/** The stream offset up to which the guest takes data. */
static uint64_t
window_edge(const struct l4x_tcp *t)
{
	return t->una + t->snd_wnd;
}

/* ---- socket -> guest ---- */

/** Have the bridge read again from nxt on; what is under way until then is no longer wanted. */
static void
rewind_to_nxt(struct l4x *l, uint32_t idx)
{
	l4x_tcp_of(l, idx)->flags |= L4X_TCP_REWIND | L4X_TCP_REWINDING;
	l4x_tcp_dirty(l, idx);
}

/** Frames of a DATA: their payload from a stream offset on. */
struct data {
	uint64_t off;
	uint32_t len;
	uint32_t n;
	struct rte_mbuf *const *m;
};

/** One frame is freed, and read again where it is still wanted. */
static void
data_refuse(struct l4x *l, uint32_t idx, const struct data *d)
{
	struct l4x_tcp *t = l4x_tcp_of(l, idx);

	l4x_drop(l, *d->m, L4X_DROP_EV_OFFSET);
	if (t->state != L4X_TCP_ESTABLISHED || d->off + d->len <= t->nxt)
		return;
	/*
	 * It holds bytes that are still wanted, or lies after them. While a REWIND to nxt is under
	 * way that is to be expected, unless it is what the REWIND has brought.
	 */
	if ((t->flags & L4X_TCP_REWINDING) == 0 || d->off == t->nxt)
		rewind_to_nxt(l, idx);
}

/** May these bytes go to the guest in these frames, as things stand? */
static bool
data_fits(const struct l4x *l, uint32_t idx, const struct data *d)
{
	const struct l4x_tcp *t = &l->flows[idx].tcp;
	const uint32_t most = has_tso(l, idx) ? RTE_MAX(t->mss, frame_max(l, idx)) : t->mss;
	uint64_t end = d->off + d->len;

	if (t->state != L4X_TCP_ESTABLISHED || d->off != t->nxt || d->n == 0)
		return false;
	if ((t->flags & L4X_TCP_EOF) != 0 && end > t->eof)
		return false;
	/* The window may have shrunk since this was read. */
	if (end > window_edge(t) + (1u << t->snd_shift))
		return false;
	for (uint32_t i = 0; i < d->n; i++) {
		const uint32_t len = rte_pktmbuf_pkt_len(d->m[i]);

		if (len == 0 || len > most)
			return false;
	}
	return true;
}

static void
data_send(struct l4x *l, uint32_t idx, const struct data *d)
{
	struct l4x_tcp *t = l4x_tcp_of(l, idx);
	const uint32_t sent = l4x_tcp_payload(l, idx, d->m, d->n);

	t->flags &= ~L4X_TCP_REWINDING;
	l4x_tcp_dirty(l, idx);
	if (likely(sent != 0)) {
		if ((t->flags & L4X_TCP_TIMING) == 0 && t->nxt == t->max) {
			t->flags |= L4X_TCP_TIMING;
			t->rtt_us = (uint32_t)l->now_us;
			t->rtt_end = (uint32_t)(t->nxt + sent);
		}
		t->nxt += sent;
		t->max = RTE_MAX(t->max, t->nxt);
		t->active_us = l->now_us;
		l4x_tcp_rto_arm(l, idx, false);
	}
	if (unlikely(sent < d->len))
		rewind_to_nxt(l, idx);
}

void
l4x_tcp_data(struct l4x *l, uint32_t idx, const struct l4x_event *ev)
{
	struct data d = { .off = ev->data.off, .m = ev->data.m };
	bool sound;

	for (; d.n < L4X_DATA_FRAMES && d.m[d.n] != NULL; d.n++)
		d.len += rte_pktmbuf_pkt_len(d.m[d.n]);
	sound = d.len == ev->len;
	if (likely(sound && data_fits(l, idx, &d))) {
		data_send(l, idx, &d);
		return;
	}
	/* As many of its frames as fit. */
	for (const uint32_t n = d.n; d.m != &ev->data.m[n]; d.m++, d.off += d.len) {
		d.n = 1;
		d.len = rte_pktmbuf_pkt_len(*d.m);
		if (sound && data_fits(l, idx, &d))
			data_send(l, idx, &d);
		else
			data_refuse(l, idx, &d);
	}
}

/** The FIN goes out when all before it has, and is data like all else: it needs a window. */
static void
fin_send(struct l4x *l, uint32_t idx)
{
	struct l4x_tcp *t = l4x_tcp_of(l, idx);

	if ((t->flags & (L4X_TCP_EOF | L4X_TCP_FIN_OUT | L4X_TCP_FIN_ACKED)) != L4X_TCP_EOF)
		return;
	if (t->nxt != t->eof || window_edge(t) <= t->eof)
		return;
	l4x_tcp_segment(l, idx, tcp_seq_of(t->iss, t->eof), RTE_TCP_FIN_FLAG | RTE_TCP_ACK_FLAG);
	if ((t->flags & L4X_TCP_FIN_EVER) == 0 && t->ack_told > t->handed)
		t->flags |= L4X_TCP_PASSIVE;
	t->flags &= ~L4X_TCP_ACK_NOW;
	t->flags |= L4X_TCP_FIN_OUT | L4X_TCP_FIN_EVER;
	l4x_tcp_rto_arm(l, idx, false);
}

/** PSH on the frame that ends what was read; its checksum is still the port's to make. */
static void
push_last(struct l4x *l, struct l4x_tcp *t)
{
	struct rte_tcp_hdr *th;
	struct rte_mbuf *m;

	if (t->last_data == L4X_TCP_NONE)
		return;
	m = l->out.frames[t->last_data].m;
	th = rte_pktmbuf_mtod_offset(m, struct rte_tcp_hdr *, m->l2_len + m->l3_len);
	th->tcp_flags |= RTE_TCP_PSH_FLAG;
	t->last_data = L4X_TCP_NONE;
}

void
l4x_tcp_out_flush(struct l4x *l, uint32_t idx)
{
	struct l4x_tcp *t = l4x_tcp_of(l, idx);
	uint64_t limit = window_edge(t);
	uint16_t frame = frame_max(l, idx);
	struct l4x_op *op;

	push_last(l, t);
	if ((t->flags & L4X_TCP_CREDIT) != 0 || t->op_acked != (uint32_t)t->una ||
		t->op_limit != (uint32_t)limit || t->op_frame != frame) {
		op = l4x_op_add(l, L4X_OP_ACK, idx);
		op->ack.acked = t->una;
		op->ack.limit = limit;
		op->ack.frame_max = frame;
		op->ack.queue = l->flows[idx].queue;
		t->op_acked = (uint32_t)t->una;
		t->op_limit = (uint32_t)limit;
		t->op_frame = frame;
		t->tso = has_tso(l, idx);
		t->flags &= ~L4X_TCP_CREDIT;
	}
	if ((t->flags & L4X_TCP_REWIND) != 0) {
		t->flags &= ~L4X_TCP_REWIND;
		l4x_op_add(l, L4X_OP_REWIND, idx)->ack.acked = t->nxt;
	}
	fin_send(l, idx);
}

/* ---- the guest's acknowledgements ---- */

/** Send again from nxt on, which was set back. */
static void
went_back(struct l4x *l, uint32_t idx)
{
	struct l4x_tcp *t = l4x_tcp_of(l, idx);

	/* Karn: what was sent twice times nothing. */
	t->flags &= ~(L4X_TCP_TIMING | L4X_TCP_FIN_OUT);
	rewind_to_nxt(l, idx);
}

void
l4x_tcp_retransmit(struct l4x *l, uint32_t idx)
{
	struct l4x_tcp *t = l4x_tcp_of(l, idx);

	l4x_count(l, L4X_COUNT_TCP_RETRANSMIT);
	if (t->una == t->max) {
		/* Nothing but the FIN. */
		t->flags &= ~L4X_TCP_FIN_OUT;
		l4x_tcp_dirty(l, idx);
		return;
	}
	t->nxt = t->una;
	went_back(l, idx);
}

static void
una_advance(struct l4x *l, uint32_t idx, uint64_t off)
{
	struct l4x_tcp *t = l4x_tcp_of(l, idx);

	t->una = off;
	t->retries = 0;
	t->dupacks = 0;
	t->active_us = l->now_us;
	/* Once passed it stays just behind, or it would seem to lie ahead 2 GiB later. */
	if (tcp_seq_gt((uint32_t)off, t->recover))
		t->recover = (uint32_t)off - 1;
	if ((t->flags & L4X_TCP_TIMING) != 0 && tcp_seq_ge((uint32_t)off, t->rtt_end)) {
		t->flags &= ~L4X_TCP_TIMING;
		l4x_tcp_rtt_sample(t, (uint32_t)l->now_us - t->rtt_us);
	}
	if (t->nxt < off) {
		/* It had arrived, though we went back. */
		t->nxt = off;
		rewind_to_nxt(l, idx);
	}
	/* It takes frames, and has buffers again, most likely. */
	l4x_tcp_unsent_due(l, idx);
}

/**
 * RFC 5681, 2: no data, no SYN or FIN, no other window, and something is outstanding. A keepalive
 * or a window probe looks the same but for its sequence number.
 */
static bool
is_duplicate(const struct l4x_tcp *t, const struct tcp_rx *r, uint32_t wnd_before)
{
	return r->len == 0 && (r->flags & RTE_TCP_FIN_FLAG) == 0 && t->snd_wnd == wnd_before &&
		t->nxt > t->una && tcp_seq_ge(r->seq, tcp_seq_of(t->irs, t->handed));
}

static void
duplicate_ack(struct l4x *l, uint32_t idx)
{
	struct l4x_tcp *t = l4x_tcp_of(l, idx);

	t->dupacks += t->dupacks < L4X_TCP_COUNT_MAX;
	/* RFC 6582, 3.2: once for what was outstanding then. */
	if (t->dupacks != DUPACKS || !tcp_seq_gt((uint32_t)t->una, t->recover))
		return;
	t->recover = (uint32_t)t->max;
	l4x_count(l, L4X_COUNT_TCP_FAST);
	l4x_tcp_retransmit(l, idx);
	l4x_tcp_rto_arm(l, idx, true);
}

/** The guest has taken its window back: what is beyond it was not taken (RFC 9293, 3.8.6). */
static void
window_shrunk(struct l4x *l, uint32_t idx)
{
	struct l4x_tcp *t = l4x_tcp_of(l, idx);
	uint64_t edge = window_edge(t);

	if (t->snd_wnd == 0 && (t->flags & L4X_TCP_FIN_ACKED) == 0)
		t->flags &= ~L4X_TCP_FIN_OUT;
	/* A guest that rounds its window down to its scale has not taken anything back. */
	if (t->nxt <= edge || (t->snd_wnd > 0 && t->nxt <= edge + (1u << t->snd_shift)))
		return;
	t->nxt = edge;
	went_back(l, idx);
}

/** RFC 9293, 3.10.7.4: SND.WL1 and SND.WL2; the latter is never after una. */
static void
window_in(struct l4x *l, uint32_t idx, const struct tcp_rx *r, bool advanced)
{
	struct l4x_tcp *t = l4x_tcp_of(l, idx);
	uint32_t wnd = (uint32_t)r->win << t->snd_shift;

	if (t->snd_wnd == 0)
		t->active_us = l->now_us;
	if (!advanced && tcp_seq_lt(r->seq, t->wl1))
		return;
	if (t->snd_wnd == 0 && wnd > 0) {
		/* No more probes: a timeout begins anew with whatever is sent. */
		t->retries = 0;
		t->backoff = 0;
		t->rto_at = UINT64_MAX;
	}
	t->wl1 = r->seq;
	t->snd_wnd = wnd;
	window_shrunk(l, idx);
}

bool
l4x_tcp_acked(struct l4x *l, uint32_t idx, const struct tcp_rx *r)
{
	struct l4x_tcp *t = l4x_tcp_of(l, idx);
	int64_t off = tcp_off_of(t->iss, t->una, r->ack), top = (int64_t)t->max;
	uint32_t wnd = t->snd_wnd;
	bool advanced, fin = false;

	if ((t->flags & L4X_TCP_FIN_EVER) != 0) {
		fin = off == (int64_t)t->eof + 1;
		off -= fin;
	}
	if (unlikely(off > top))
		return false;
	if (off < (int64_t)t->una)
		return true;
	advanced = off > (int64_t)t->una;
	if (advanced)
		una_advance(l, idx, (uint64_t)off);
	if (fin && (t->flags & L4X_TCP_FIN_ACKED) == 0) {
		advanced = true;
		t->retries = 0;
		t->flags |= L4X_TCP_FIN_ACKED;
		t->flags &= ~L4X_TCP_FIN_OUT;
		l4x_tcp_life_arm(l, idx);
	}
	window_in(l, idx, r, advanced);
	if (!advanced && is_duplicate(t, r, wnd))
		duplicate_ack(l, idx);
	l4x_tcp_rto_arm(l, idx, advanced);
	return true;
}
