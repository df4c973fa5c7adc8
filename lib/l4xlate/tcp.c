/* SPDX-License-Identifier: BSD-3-Clause */
#include "tcp_priv.h"

#include <errno.h>

#define DSCP_MASK 0xfc

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

static void
state_init(struct l4x_tcp *t, enum l4x_tcp_state state)
{
	t->state = state;
	t->rto_at = UINT64_MAX;
	t->poll_at = UINT64_MAX;
	t->life_at = UINT64_MAX;
	t->handed = 0;
	t->taken = 0;
	t->peer_acked = 0;
	t->ack_told = 0;
	t->edge = 0;
	t->una = 0;
	t->nxt = 0;
	t->max = 0;
	t->eof = 0;
	t->send_tail = NULL;
	t->last_data = L4X_TCP_NONE;
	t->space = 0;
	t->wnd_told = 0;
	t->snd_wnd = 0;
	t->wl1 = 0;
	t->op_acked = 0;
	t->op_limit = 0;
	t->recover = UINT32_MAX;
	t->srtt_us = 0;
	t->rttvar_us = 0;
	t->op_frame = 0;
	t->pend_op = L4X_TCP_NONE;
}

/* ---- a guest opens ---- */

static void
quote_keep(const struct l4x_pkt *p, struct l4x_tcp *t)
{
	uint32_t len = RTE_MIN(p->ip_len, (uint32_t)L4X_TCP_QUOTE);

	/* An error must quote eight bytes of TCP; behind more headers than fit there is none. */
	if (p->l4_off + 8u - p->l3_off > len)
		return;
	t->quote_len = (uint8_t)(p->l4_off + 8u - p->l3_off);
	memcpy(t->quote, rte_pktmbuf_mtod_offset(p->m, uint8_t *, p->l3_off), t->quote_len);
}

static void
op_open(struct l4x *l, uint32_t idx, const struct l4x_pkt *p, const struct flowtab_tuple *host,
	uint16_t mss)
{
	struct l4x_op *op = l4x_op_add(l, L4X_OP_OPEN, idx);

	op->tos = p->tos & DSCP_MASK;
	op->ttl = p->ttl;
	op->open.peer = host->eaddr;
	op->open.peer_port = host->eport;
	if (host->oport != 0) {
		op->open.local = host->oaddr;
		op->open.local_port = host->oport;
	}
	op->open.pif = p->port->conf.pif;
	op->open.queue = l->flows[idx].queue;
	op->open.proto = IPPROTO_TCP;
	op->open.mss = mss;
	op->open.head_len = L4X_ETH_LEN + (p->v4 ? L4X_IP4_LEN : L4X_IP6_LEN) + TCP_HDR_LEN;
	op->open.mark = p->port->conf.mark;
}

/** RFC 9293, 3.10.7.2: a SYN that belongs to no flow. */
static void
syn_in(struct l4x *l, const struct l4x_pkt *p, const struct tcp_rx *r)
{
	struct flowtab_tuple host;
	struct tcp_options o;
	struct l4x_tcp *t;
	uint32_t idx;
	uint8_t type = 0, code = 0;

	if (l4x_tcp_options(p, &o) < 0) {
		l4x_count(l, L4X_DROP_TCP_OPTION);
		return;
	}
	if (l4x_outbound(p->port, &p->tuple, &host) < 0) {
		l4x_count(l, L4X_DROP_IP_DEST);
		if (l4x_errno_to_icmp(EHOSTUNREACH, p->v4, &type, &code))
			l4x_icmp_error_pkt(l, p, type, code, 0);
		return;
	}
	idx = l4x_flow_new(l, p->port, &p->tuple, &host, p->queue, l->params.bridge, false);
	if (idx == FLOWTAB_NONE) {
		l4x_tcp_rst_for(l, p);
		return;
	}
	t = l4x_tcp_of(l, idx);
	t->state = L4X_TCP_OPENING;
	t->rto_at = UINT64_MAX;
	t->poll_at = UINT64_MAX;
	t->life_at = UINT64_MAX;
	t->irs = r->seq;
	t->iss = l4x_tcp_isn(l, &p->tuple);
	if (o.scaled) {
		t->flags |= L4X_TCP_SCALED;
		t->snd_shift = o.shift;
	}
	l4x_tcp_mss(p->port, p->v4, o.mss, t);
	quote_keep(p, t);
	op_open(l, idx, p, &host, t->mss);
	l->ftf[idx].pkts[FLOWTAB_SIDE_GUEST]++;
}

/** The socket could not be connected: tell the guest what happened, as well as it can be told. */
static void
open_failed(struct l4x *l, uint32_t idx, int err)
{
	struct l4x_tcp *t = l4x_tcp_of(l, idx);
	bool v4 = l->flows[idx].v4;
	uint8_t type, code;

	l4x_count(l, L4X_COUNT_TCP_REFUSED);
	if (err != ECONNREFUSED && err != ECONNRESET && t->quote_len > 0 &&
		l4x_errno_to_icmp(err, v4, &type, &code))
		l4x_icmp_error(l, l4x_flow_port(l, idx), l->flows[idx].queue, v4, type, code, 0,
			NULL, t->quote, t->quote_len);
	else
		l4x_tcp_rst(l, idx);
	l4x_tcp_close(l, idx, true);
}

/* ---- a connection from outside ---- */

static void
refuse(struct l4x *l, const struct l4x_event *ev)
{
	struct l4x_op *op = l4x_op_add(l, L4X_OP_REFUSE, FLOWTAB_NONE);

	op->bridge = ev->bridge;
	op->adopt.token = ev->accepted.token;
	op->adopt.pif = ev->accepted.pif;
	l4x_count(l, L4X_COUNT_TCP_REFUSED);
}

static uint8_t
inbound_queue(const struct l4x *l, const struct l4x_port *port, const struct flowtab_tuple *guest)
{
	uint8_t queue = l4x_steer_queue(&port->conf, l->params.secret, guest);

	return port->conf.queue_worker[queue] == l->params.worker ? queue : port->tx_queue;
}

void
l4x_tcp_accepted(struct l4x *l, const struct l4x_event *ev)
{
	struct l4x_port *port = l4x_port(l, ev->accepted.pif);
	struct flowtab_tuple guest, host;
	struct l4x_op *op;
	struct l4x_tcp *t;
	uint32_t idx;

	if (port == NULL || l4x_inbound(port, ev, IPPROTO_TCP, &guest, &host) < 0) {
		refuse(l, ev);
		return;
	}
	/* RFC 9293, 3.6.1: a port used again need not wait, our ISN is greater than the last one.
	 */
	idx = flowtab_lookup(l->ft, &guest, l4x_now_ms(l), NULL);
	if (idx != FLOWTAB_NONE && l4x_tcp_of(l, idx)->state == L4X_TCP_TIME_WAIT)
		l4x_flow_free(l, idx);
	idx = l4x_flow_new(
		l, port, &guest, &host, inbound_queue(l, port, &guest), ev->bridge, true);
	if (idx == FLOWTAB_NONE) {
		refuse(l, ev);
		return;
	}
	t = l4x_tcp_of(l, idx);
	state_init(t, L4X_TCP_ADOPTING);
	t->iss = l4x_tcp_isn(l, &guest);
	l4x_tcp_mss(port, l->flows[idx].v4, 0, t);
	l4x_tcp_life_arm(l, idx);
	op = l4x_op_add(l, L4X_OP_ADOPT, idx);
	op->adopt.token = ev->accepted.token;
	op->adopt.pif = ev->accepted.pif;
	op->adopt.queue = l->flows[idx].queue;
	op->adopt.head_len =
		L4X_ETH_LEN + (l->flows[idx].v4 ? L4X_IP4_LEN : L4X_IP6_LEN) + TCP_HDR_LEN;
	l4x_tcp_dirty(l, idx);
}

/* ---- the handshake ---- */

static void
connected(struct l4x *l, uint32_t idx, const struct l4x_event *ev)
{
	struct l4x_tcp *t = l4x_tcp_of(l, idx);

	if (t->state == L4X_TCP_OPENING)
		state_init(t, L4X_TCP_SYN_RCVD);
	else if (t->state == L4X_TCP_ADOPTING)
		t->state = L4X_TCP_SYN_SENT;
	else
		return;
	t->heard_us = l->now_us;
	t->active_us = l->now_us;
	l4x_tcp_sent(l, idx, ev);
	t->rtt_us = (uint32_t)l->now_us;
	t->flags |= L4X_TCP_TIMING;
	l4x_tcp_syn(l, idx);
	l4x_tcp_rto_arm(l, idx, true);
	l4x_tcp_life_arm(l, idx);
	l4x_tcp_dirty(l, idx);
}

void
l4x_tcp_establish(struct l4x *l, uint32_t idx, uint32_t win, uint32_t seq)
{
	struct l4x_tcp *t = l4x_tcp_of(l, idx);

	if ((t->flags & L4X_TCP_TIMING) != 0)
		l4x_tcp_rtt_sample(t, (uint32_t)l->now_us - t->rtt_us);
	t->flags &= ~L4X_TCP_TIMING;
	t->flags |= L4X_TCP_CREDIT;
	t->state = L4X_TCP_ESTABLISHED;
	t->retries = 0;
	t->backoff = 0;
	t->probes = 0;
	t->snd_wnd = win;
	t->wl1 = seq;
	t->heard_us = l->now_us;
	t->active_us = l->now_us;
	flowtab_activate(l->ft, idx);
	l4x_count(l, L4X_COUNT_TCP_OPENED);
	l4x_tcp_rto_arm(l, idx, true);
	l4x_tcp_life_arm(l, idx);
	l4x_tcp_dirty(l, idx);
}

/** The guest is a new one, or has given up: what is left of the old connection goes. */
static void
syn_replaces(struct l4x *l, uint32_t idx, const struct tcp_rx *r)
{
	l4x_tcp_close(l, idx, true);
	syn_in(l, r->p, r);
}

/** RFC 9293, 3.10.7.4 for SYN-RECEIVED without anything sent. */
static void
opening_in(struct l4x *l, uint32_t idx, const struct tcp_rx *r)
{
	const struct l4x_tcp *t = l4x_tcp_of(l, idx);

	if ((r->flags & RTE_TCP_RST_FLAG) != 0) {
		if (r->seq == t->irs || r->seq == t->irs + 1)
			l4x_tcp_close(l, idx, true);
		else
			l4x_count(l, L4X_DROP_TCP_WINDOW);
	} else if ((r->flags & RTE_TCP_SYN_FLAG) != 0 && (r->flags & RTE_TCP_ACK_FLAG) == 0) {
		if (r->seq != t->irs)
			syn_replaces(l, idx, r);
	} else {
		/* The guest knows of a connection that is not this one. */
		l4x_count(l, L4X_DROP_TCP_STATE);
		l4x_tcp_rst_for(l, r->p);
	}
}

/** @return true: established, the segment goes on */
static bool
syn_rcvd_in(struct l4x *l, uint32_t idx, const struct tcp_rx *r)
{
	struct l4x_tcp *t = l4x_tcp_of(l, idx);
	int32_t ahead = tcp_seq_diff(r->seq, tcp_seq_of(t->irs, 0));

	if ((r->flags & RTE_TCP_RST_FLAG) != 0) {
		if (ahead == 0) {
			l4x_tcp_close(l, idx, true);
		} else {
			l4x_count(l, L4X_DROP_TCP_WINDOW);
			if (ahead > 0 && (uint32_t)ahead < t->wnd_told)
				l4x_tcp_segment(l, idx, tcp_seq_of(t->iss, 0), RTE_TCP_ACK_FLAG);
		}
		return false;
	}
	if ((r->flags & RTE_TCP_SYN_FLAG) != 0) {
		if (r->seq != t->irs && (r->flags & RTE_TCP_ACK_FLAG) == 0)
			syn_replaces(l, idx, r);
		else
			l4x_tcp_syn(l, idx);
		return false;
	}
	if ((r->flags & RTE_TCP_ACK_FLAG) == 0) {
		l4x_count(l, L4X_DROP_TCP_FLAGS);
		return false;
	}
	if (r->ack != tcp_seq_of(t->iss, 0)) {
		l4x_count(l, L4X_DROP_TCP_ACK);
		l4x_tcp_rst_for(l, r->p);
		return false;
	}
	if (ahead < 0 || ahead > UINT16_MAX) {
		l4x_count(l, L4X_DROP_TCP_WINDOW);
		l4x_tcp_syn(l, idx);
		return false;
	}
	l4x_tcp_establish(l, idx, (uint32_t)r->win << t->snd_shift, r->seq);
	return true;
}

/** RFC 9293, 3.10.7.3. */
static void
syn_sent_in(struct l4x *l, uint32_t idx, const struct tcp_rx *r)
{
	struct l4x_tcp *t = l4x_tcp_of(l, idx);
	bool ack = (r->flags & RTE_TCP_ACK_FLAG) != 0;
	struct tcp_options o;

	if (t->state == L4X_TCP_ADOPTING || (ack && r->ack != tcp_seq_of(t->iss, 0))) {
		l4x_count(l, L4X_DROP_TCP_ACK);
		l4x_tcp_rst_for(l, r->p);
		return;
	}
	if ((r->flags & RTE_TCP_RST_FLAG) != 0) {
		if (!ack) {
			l4x_count(l, L4X_DROP_TCP_WINDOW);
			return;
		}
		l4x_count(l, L4X_COUNT_TCP_REFUSED);
		l4x_tcp_close(l, idx, true);
		return;
	}
	if ((r->flags & RTE_TCP_SYN_FLAG) == 0) {
		l4x_count(l, L4X_DROP_TCP_STATE);
		return;
	}
	if (!ack) {
		/* Both open at once, and each has its own socket on our side: neither can be. */
		l4x_tcp_rst_for(l, r->p);
		l4x_tcp_abort(l, idx);
		return;
	}
	if (l4x_tcp_options(r->p, &o) < 0) {
		l4x_count(l, L4X_DROP_TCP_OPTION);
		return;
	}
	t->irs = r->seq;
	if (o.scaled) {
		t->flags |= L4X_TCP_SCALED;
		t->snd_shift = o.shift;
	}
	l4x_tcp_mss(r->p->port, l->flows[idx].v4, o.mss, t);
	t->flags |= L4X_TCP_ACK_NOW;
	l4x_tcp_establish(l, idx, r->win, r->seq);
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
	syn_in(l, r->p, r);
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
		syn_in(l, r->p, r);
		return;
	}
	l4x_count(l, L4X_DROP_TCP_NO_FLOW);
	l4x_tcp_rst_for(l, r->p);
}

static void
flow_in(struct l4x *l, uint32_t idx, struct tcp_rx *r)
{
	struct l4x_tcp *t = l4x_tcp_of(l, idx);

	l->ftf[idx].pkts[FLOWTAB_SIDE_GUEST]++;
	if (syn_after_end(l, idx, r)) {
		rte_pktmbuf_free(r->p->m);
		return;
	}
	switch (t->state) {
	case L4X_TCP_OPENING:
		opening_in(l, idx, r);
		break;
	case L4X_TCP_SYN_RCVD:
		if (syn_rcvd_in(l, idx, r)) {
			l4x_tcp_in(l, idx, r);
			return;
		}
		break;
	case L4X_TCP_ADOPTING:
	case L4X_TCP_SYN_SENT:
		syn_sent_in(l, idx, r);
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
		open_failed(l, idx, ev->error.err);
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
		connected(l, idx, ev);
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
