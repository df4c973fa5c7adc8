/* SPDX-License-Identifier: BSD-3-Clause */
#include "tcp_priv.h"

/** Segments of one SEND at most: what one sendmsg() takes (UIO_MAXIOV). */
#define SEND_SEGS_MAX 1000

/* ---- payload as chains of mbufs ---- */

/** Drop n bytes from the front, n < pkt_len; segments left empty are freed. */
static struct rte_mbuf *
chain_cut_front(struct rte_mbuf *m, uint32_t n)
{
	uint32_t total = rte_pktmbuf_pkt_len(m) - n;
	uint16_t segs = m->nb_segs;

	while (n >= rte_pktmbuf_data_len(m) && m->next != NULL) {
		struct rte_mbuf *next = m->next;

		n -= rte_pktmbuf_data_len(m);
		rte_pktmbuf_free_seg(m);
		m = next;
		segs--;
	}
	m->data_off += n;
	m->data_len -= n;
	m->pkt_len = total;
	m->nb_segs = segs;
	return m;
}

/** Put m at the end of this burst's SEND, or begin one. Takes m. */
static void
send_append(struct l4x *l, uint32_t idx, struct rte_mbuf *m)
{
	struct l4x_tcp *t = l4x_tcp_of(l, idx);
	uint32_t len = rte_pktmbuf_pkt_len(m);
	struct l4x_op *op;

	if (t->pend_op != L4X_TCP_NONE) {
		op = &l->out.ops[t->pend_op];
		if (op->send.m->nb_segs + m->nb_segs <= SEND_SEGS_MAX) {
			op->send.m->nb_segs += m->nb_segs;
			op->send.m->pkt_len += len;
			op->len += len;
			t->send_tail->next = m;
			t->send_tail = rte_pktmbuf_lastseg(m);
			return;
		}
	}
	t->pend_op = (uint16_t)l->out.n_ops;
	op = l4x_op_add(l, L4X_OP_SEND, idx);
	op->len = len;
	op->send.m = m;
	op->send.off = t->handed;
	t->send_tail = rte_pktmbuf_lastseg(m);
}

/* ---- RST and SYN ---- */

/**
 * RFC 5961, 3.2. The guest's next number is what it was told last, if it answers us, or what it has
 * sent, if it speaks of itself.
 */
static void
rst_in(struct l4x *l, uint32_t idx, const struct tcp_rx *r)
{
	const struct l4x_tcp *t = l4x_tcp_of(l, idx);
	uint32_t fin = (t->flags & L4X_TCP_FIN_IN) != 0;

	if (r->seq == tcp_seq_of(t->irs, t->handed) + fin ||
		r->seq == tcp_seq_of(t->irs, t->ack_told)) {
		l4x_tcp_close(l, idx, true);
		return;
	}
	l4x_count(l, L4X_DROP_TCP_WINDOW);
	if (tcp_seq_gt(r->seq, tcp_seq_of(t->irs, t->ack_told)) &&
		tcp_seq_le(r->seq, tcp_seq_of(t->irs, t->edge)))
		l4x_tcp_challenge(l, idx);
}

/* ---- data ---- */

/** Payload at off, already known to lie near: hand on what is in order and fits. Takes r->p->m. */
static void
data_in(struct l4x *l, uint32_t idx, struct tcp_rx *r, int64_t off)
{
	struct l4x_tcp *t = l4x_tcp_of(l, idx);
	uint64_t room = t->edge > t->handed ? t->edge - t->handed : 0;
	struct rte_mbuf *m = l4x_pkt_payload(r->p);
	uint32_t dup = (uint32_t)((int64_t)t->handed - off);

	if (dup > 0)
		m = chain_cut_front(m, dup);
	r->len -= dup;
	if (room == 0 || !l4x_out_room(l, 2)) {
		l4x_drop(l, m, room == 0 ? L4X_DROP_TCP_WINDOW : L4X_DROP_OUT_FULL);
		t->flags |= L4X_TCP_ACK_NOW;
		r->len = 0;
		r->flags &= ~RTE_TCP_FIN_FLAG;
		return;
	}
	if (r->len > room) {
		l4x_mbuf_cut(m, (uint32_t)room);
		r->len = (uint32_t)room;
		r->flags &= ~RTE_TCP_FIN_FLAG;
		t->flags |= L4X_TCP_ACK_NOW;
	}
	m = chain_cut_front(m, 0);
	flowtab_flow_count(&l->ftf[idx], FLOWTAB_SIDE_GUEST, 0, r->len);
	t->active_us = l->now_us;
	t->flags &= ~L4X_TCP_KICK;
	send_append(l, idx, m);
	t->handed += r->len;
}

static void
fin_in(struct l4x *l, uint32_t idx)
{
	struct l4x_tcp *t = l4x_tcp_of(l, idx);

	t->flags |= L4X_TCP_FIN_IN;
	t->active_us = l->now_us;
	l4x_tcp_life_arm(l, idx);
}

void
l4x_tcp_text_in(struct l4x *l, uint32_t idx, struct tcp_rx *r, int64_t off)
{
	struct l4x_tcp *t = l4x_tcp_of(l, idx);
	int64_t end = off + r->len, handed = (int64_t)t->handed;
	bool fin = (r->flags & RTE_TCP_FIN_FLAG) != 0;

	if (off > handed) {
		l4x_drop(l, r->p->m, L4X_DROP_TCP_GAP);
		/* A gap of our own making: the guest is to fill it when the socket has room, not
		 * before. */
		if ((t->flags & L4X_TCP_KICK) != 0)
			return;
		t->flags |= L4X_TCP_ACK_NOW;
		t->gaps += t->gaps < L4X_TCP_COUNT_MAX;
		return;
	}
	if (end < handed || (end == handed && !fin) || (t->flags & L4X_TCP_FIN_IN) != 0) {
		l4x_drop(l, r->p->m, L4X_DROP_TCP_DUP);
		t->flags |= L4X_TCP_ACK_NOW;
		return;
	}
	if (end > handed)
		data_in(l, idx, r, off);
	else
		rte_pktmbuf_free(r->p->m);
	if (fin && (r->flags & RTE_TCP_FIN_FLAG) != 0)
		fin_in(l, idx);
}

/**
 * Is the segment of this connection at all (RFC 9293, 3.10.7.4, first)? What lies before the window
 * but near it may be a segment sent again, a keepalive or a window probe: its acknowledgement
 * counts, and it is answered. The window may have been larger once, and the guest's numbers are
 * from then.
 */
static bool
is_near(const struct l4x_tcp *t, int64_t off)
{
	return off >= (int64_t)t->ack_told - TCP_WINDOW_MAX &&
		off <= (int64_t)(t->edge + TCP_WINDOW_MAX);
}

/** Acknowledge again what is a probe or has come before. */
static void
empty_in(struct l4x *l, uint32_t idx, const struct tcp_rx *r, int64_t off)
{
	struct l4x_tcp *t = l4x_tcp_of(l, idx);
	int64_t next = (int64_t)t->handed + ((t->flags & L4X_TCP_FIN_IN) != 0);

	if (off < next && off < (int64_t)t->ack_told)
		t->flags |= L4X_TCP_ACK_NOW;
	else if (off > next && off > (int64_t)t->edge)
		l4x_tcp_challenge(l, idx);
	rte_pktmbuf_free(r->p->m);
}

void
l4x_tcp_in(struct l4x *l, uint32_t idx, struct tcp_rx *r)
{
	struct l4x_tcp *t = l4x_tcp_of(l, idx);
	int64_t off = tcp_off_of(t->irs, t->handed, r->seq);

	if (unlikely((r->flags & (RTE_TCP_RST_FLAG | RTE_TCP_SYN_FLAG)) != 0)) {
		if ((r->flags & RTE_TCP_RST_FLAG) != 0) {
			rst_in(l, idx, r);
		} else {
			/* RFC 5961, 4.2: never by itself a reason to end a connection. */
			l4x_count(l, L4X_DROP_TCP_STATE);
			l4x_tcp_challenge(l, idx);
		}
		rte_pktmbuf_free(r->p->m);
		return;
	}
	if (unlikely((r->flags & RTE_TCP_ACK_FLAG) == 0)) {
		l4x_drop(l, r->p->m, L4X_DROP_TCP_FLAGS);
		return;
	}
	if (unlikely(!is_near(t, off))) {
		l4x_drop(l, r->p->m, L4X_DROP_TCP_WINDOW);
		l4x_tcp_challenge(l, idx);
		return;
	}
	t->heard_us = l->now_us;
	t->probes = 0;
	t->waits = 0;
	l4x_tcp_dirty(l, idx);
	if (unlikely(!l4x_tcp_acked(l, idx, r))) {
		l4x_drop(l, r->p->m, L4X_DROP_TCP_ACK);
		t->flags |= L4X_TCP_ACK_NOW;
		return;
	}
	if (r->len == 0 && (r->flags & RTE_TCP_FIN_FLAG) == 0)
		empty_in(l, idx, r, off);
	else
		l4x_tcp_text_in(l, idx, r, off);
}
