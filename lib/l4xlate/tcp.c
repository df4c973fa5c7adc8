/* SPDX-License-Identifier: BSD-3-Clause */
#include "tcp_priv.h"

void
l4x_tcp_dirty(struct l4x *l, uint32_t idx)
{
	struct l4x_tcp *t = l4x_tcp_of(l, idx);
	struct l4x_tcp_ctx *c = &l->tcp;

	if ((t->flags & L4X_TCP_DIRTY) != 0)
		return;
	if (c->n_dirty == L4X_TCP_DIRTY_MAX)
		l4x_tcp_burst_end(l);
	t->flags |= L4X_TCP_DIRTY;
	c->generation[c->n_dirty] = l->ftf[idx].generation;
	c->dirty[c->n_dirty++] = idx;
}

void
l4x_tcp_close(struct l4x *l, uint32_t idx, bool reset)
{
	if (l4x_tcp_of(l, idx)->state != L4X_TCP_TIME_WAIT)
		l4x_op_add(l, L4X_OP_CLOSE, idx)->close.reset = reset;
	l4x_flow_free(l, idx);
}

void
l4x_tcp_abort(struct l4x *l, uint32_t idx)
{
	if (l4x_tcp_of(l, idx)->state != L4X_TCP_TIME_WAIT)
		l4x_tcp_rst(l, idx);
	l4x_tcp_close(l, idx, true);
}

void
l4x_tcp_kill(struct l4x *l, uint32_t idx)
{
	l4x_tcp_abort(l, idx);
}

void
l4x_tcp_challenge(struct l4x *l, uint32_t idx)
{
	if (!l4x_error_allowed(l, l4x_flow_port(l, idx)))
		return;
	l4x_tcp_of(l, idx)->flags |= L4X_TCP_ACK_NOW;
	l4x_tcp_dirty(l, idx);
}

/* ---- the end ---- */

/** @return true: it begins a new flow, this one is no more (RFC 9293, 3.10.7.4; RFC 6191) */
static bool
syn_after_end(struct l4x *l, uint32_t idx, const struct tcp_rx *r)
{
	const struct l4x_tcp *t = l4x_tcp_of(l, idx);
	uint16_t both = L4X_TCP_SHUT | L4X_TCP_FIN_EVER;

	if ((r->flags & (RTE_TCP_SYN_FLAG | RTE_TCP_ACK_FLAG | RTE_TCP_RST_FLAG)) !=
		RTE_TCP_SYN_FLAG)
		return false;
	if (t->state < L4X_TCP_ESTABLISHED || (t->flags & both) != both)
		return false;
	if (!tcp_seq_gt(r->seq, tcp_seq_of(t->irs, t->handed)))
		return false;
	l4x_tcp_close(l, idx, false);
	l4x_tcp_syn_in(l, r->p, r);
	return true;
}

static void
time_wait_in(struct l4x *l, uint32_t idx, const struct tcp_rx *r)
{
	struct l4x_tcp *t = l4x_tcp_of(l, idx);

	if ((r->flags & RTE_TCP_RST_FLAG) != 0) {
		if (r->seq == tcp_seq_of(t->irs, t->ack_told))
			l4x_flow_free(l, idx);
		else
			l4x_count(l, L4X_DROP_TCP_WINDOW);
		return;
	}
	if ((r->flags & RTE_TCP_FIN_FLAG) != 0 ||
		(r->len > 0 && tcp_seq_lt(r->seq, tcp_seq_of(t->irs, t->handed)))) {
		/* Our ACK was lost, and may be lost again: the guest's next try is further off. */
		t->backoff += t->backoff < TCP_TIME_WAIT_DOUBLINGS;
		t->flags |= L4X_TCP_ACK_NOW;
		l4x_tcp_life_arm(l, idx);
	} else if (r->len > 0 || (r->flags & RTE_TCP_SYN_FLAG) != 0) {
		l4x_tcp_challenge(l, idx);
	}
}

/**
 * Both directions are done. The ACK that went out last may be lost: stay for a while to repeat it.
 * @return true: the flow is no more
 */
static bool
finish(struct l4x *l, uint32_t idx)
{
	struct l4x_tcp *t = l4x_tcp_of(l, idx);

	if ((t->flags & L4X_TCP_PASSIVE) != 0) {
		l4x_tcp_close(l, idx, false);
		return true;
	}
	l4x_op_add(l, L4X_OP_CLOSE, idx)->close.reset = false;
	t->state = L4X_TCP_TIME_WAIT;
	t->backoff = 0;
	t->rto_at = UINT64_MAX;
	t->poll_at = UINT64_MAX;
	flowtab_close(l->ft, idx);
	l4x_tcp_life_arm(l, idx);
	return false;
}

static bool
is_done(const struct l4x_tcp *t)
{
	uint16_t done = L4X_TCP_SHUT | L4X_TCP_FIN_ACKED;

	/* ack_told passes handed when the guest was told that its FIN has come. */
	return (t->flags & done) == done && t->ack_told > t->handed;
}

/* ---- entry points ---- */

static bool
flags_ok(uint8_t flags)
{
	uint8_t kind = flags & (RTE_TCP_SYN_FLAG | RTE_TCP_FIN_FLAG | RTE_TCP_RST_FLAG);

	if ((flags & (RTE_TCP_SYN_FLAG | RTE_TCP_ACK_FLAG | RTE_TCP_RST_FLAG)) == 0)
		return false;
	return kind == 0 || (kind & (kind - 1)) == 0 ||
		kind == (RTE_TCP_FIN_FLAG | RTE_TCP_RST_FLAG);
}

/** A segment that belongs to no flow. */
static void
stray_in(struct l4x *l, const struct tcp_rx *r)
{
	uint8_t open = r->flags & (RTE_TCP_SYN_FLAG | RTE_TCP_ACK_FLAG | RTE_TCP_RST_FLAG);

	if (open == RTE_TCP_SYN_FLAG) {
		l4x_tcp_syn_in(l, r->p, r);
		return;
	}
	l4x_count(l, L4X_DROP_TCP_NO_FLOW);
	l4x_tcp_rst_for(l, r->p);
}

static void
flow_in(struct l4x *l, uint32_t idx, struct tcp_rx *r)
{
	struct l4x_tcp *t = l4x_tcp_of(l, idx);

	flowtab_flow_count(&l->ftf[idx], FLOWTAB_SIDE_GUEST, 1, 0);
	if (syn_after_end(l, idx, r)) {
		rte_pktmbuf_free(r->p->m);
		return;
	}
	switch (t->state) {
	case L4X_TCP_OPENING:
		l4x_tcp_opening_in(l, idx, r);
		break;
	case L4X_TCP_SYN_RCVD:
		if (l4x_tcp_syn_rcvd_in(l, idx, r)) {
			l4x_tcp_in(l, idx, r);
			return;
		}
		break;
	case L4X_TCP_ADOPTING:
	case L4X_TCP_SYN_SENT:
		if (l4x_tcp_syn_sent_in(l, idx, r)) {
			l4x_tcp_text_in(l, idx, r, 0);
			return;
		}
		break;
	case L4X_TCP_ESTABLISHED:
		l4x_tcp_in(l, idx, r);
		return;
	default:
		time_wait_in(l, idx, r);
		break;
	}
	rte_pktmbuf_free(r->p->m);
}

void
l4x_tcp_rx(struct l4x *l, struct l4x_pkt *p, uint32_t idx)
{
	const struct rte_tcp_hdr *th = l4x_pkt_l4(p);
	struct tcp_rx r = {
		.p = p,
		.seq = rte_be_to_cpu_32(th->sent_seq),
		.ack = rte_be_to_cpu_32(th->recv_ack),
		.len = p->data_len,
		.win = rte_be_to_cpu_16(th->rx_win),
		.flags = th->tcp_flags,
	};

	if (unlikely(!flags_ok(r.flags))) {
		l4x_drop(l, p->m, L4X_DROP_TCP_FLAGS);
		return;
	}
	if (idx != FLOWTAB_NONE) {
		flow_in(l, idx, &r);
		return;
	}
	stray_in(l, &r);
	rte_pktmbuf_free(p->m);
}

static void
socket_failed(struct l4x *l, uint32_t idx, const struct l4x_event *ev)
{
	const struct l4x_tcp *t = l4x_tcp_of(l, idx);

	if (t->state == L4X_TCP_OPENING)
		l4x_tcp_open_failed(l, idx, ev->error.err);
	else if (t->state != L4X_TCP_TIME_WAIT)
		l4x_tcp_abort(l, idx);
}

static void
end_of_stream(struct l4x *l, uint32_t idx, const struct l4x_event *ev)
{
	struct l4x_tcp *t = l4x_tcp_of(l, idx);

	if (t->state == L4X_TCP_OPENING || t->state == L4X_TCP_TIME_WAIT ||
		(t->flags & L4X_TCP_EOF) != 0)
		return;
	if (ev->data.off < t->max) {
		/* Bytes that the guest has been shown are no more: this stream cannot end well. */
		l4x_count(l, L4X_DROP_EV_OFFSET);
		l4x_tcp_abort(l, idx);
		return;
	}
	t->eof = ev->data.off;
	t->flags |= L4X_TCP_EOF;
	/* The limit of a half-closed connection counts from here, as after the guest's FIN. */
	t->active_us = l->now_us;
	if (t->state == L4X_TCP_ESTABLISHED)
		l4x_tcp_life_arm(l, idx);
	l4x_tcp_dirty(l, idx);
}

void
l4x_tcp_event(struct l4x *l, uint32_t idx, const struct l4x_event *ev)
{
	struct l4x_event gone;

	switch (ev->type) {
	case L4X_EV_CONNECTED:
		l4x_tcp_connected(l, idx, ev);
		break;
	case L4X_EV_SENT:
		l4x_tcp_sent(l, idx, ev);
		break;
	case L4X_EV_DATA:
		l4x_tcp_data(l, idx, ev);
		break;
	case L4X_EV_EOF:
		end_of_stream(l, idx, ev);
		break;
	case L4X_EV_ERROR:
		socket_failed(l, idx, ev);
		break;
	default:
		gone = *ev;
		l4x_event_free(&gone);
		break;
	}
}

static void
flow_flush(struct l4x *l, uint32_t idx)
{
	struct l4x_tcp *t = l4x_tcp_of(l, idx);

	/* Stays on the list meanwhile: what is done here need not be looked at again. */
	if (t->state == L4X_TCP_ESTABLISHED) {
		t->pend_op = L4X_TCP_NONE;
		l4x_tcp_shut(l, idx);
		l4x_tcp_out_flush(l, idx);
		l4x_tcp_ack_flush(l, idx);
		if (is_done(t) && finish(l, idx))
			return;
	} else if (t->state == L4X_TCP_TIME_WAIT && (t->flags & L4X_TCP_ACK_NOW) != 0) {
		t->flags &= ~L4X_TCP_ACK_NOW;
		l4x_tcp_segment(l, idx, tcp_seq_of(t->iss, t->eof) + 1, RTE_TCP_ACK_FLAG);
	}
	t->flags &= ~L4X_TCP_DIRTY;
	l4x_timer_set(l, idx, l4x_tcp_deadline_us(l, idx));
}

void
l4x_tcp_burst_end(struct l4x *l)
{
	struct l4x_tcp_ctx *c = &l->tcp;

	for (uint32_t i = 0; i < c->n_dirty; i++) {
		uint32_t idx = c->dirty[i];

		if (l->ftf[idx].state != FLOWTAB_FREE && l->ftf[idx].generation == c->generation[i])
			flow_flush(l, idx);
	}
	c->n_dirty = 0;
}

const char *
l4x_tcp_state_name(const struct l4x_flow *f)
{
	static const char *const names[L4X_TCP_STATES] = { "opening", "syn-rcvd", "adopting",
		"syn-sent", "established", "time-wait" };
	const struct l4x_tcp *t = &f->tcp;
	bool in = (t->flags & L4X_TCP_FIN_IN) != 0;

	if (t->state >= L4X_TCP_STATES)
		return "closed";
	if (t->state != L4X_TCP_ESTABLISHED)
		return names[t->state];
	if ((t->flags & L4X_TCP_FIN_ACKED) != 0)
		return in ? "closing" : "fin-wait-2";
	if ((t->flags & L4X_TCP_FIN_EVER) == 0)
		return in ? "close-wait" : "established";
	if (!in)
		return "fin-wait-1";
	return (t->flags & L4X_TCP_PASSIVE) != 0 ? "last-ack" : "closing";
}
