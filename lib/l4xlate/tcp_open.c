/* SPDX-License-Identifier: BSD-3-Clause */
#include "tcp_priv.h"

#include <errno.h>

#define DSCP_MASK 0xfc

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

/** No connect() lasts as long: a flow whose socket is never heard of again must not stay. */
#define OPENING_LIMIT_MS 600000

/** What most systems begin with says nothing: the socket's own default will do as well. */
static uint8_t
ttl_of(const struct l4x_pkt *p)
{
	return p->ttl == 64 || p->ttl == 128 || p->ttl == 255 ? 0 : p->ttl;
}

static void
op_open(struct l4x *l, uint32_t idx, const struct l4x_pkt *p, const struct flowtab_tuple *host,
	uint16_t mss)
{
	struct l4x_op *op = l4x_op_add(l, L4X_OP_OPEN, idx);

	op->tos = p->tos & DSCP_MASK;
	op->ttl = ttl_of(p);
	op->open.peer = host->eaddr;
	op->open.peer_port = host->eport;
	op->open.local = host->oaddr;
	op->open.local_port = host->oport;
	op->open.pif = p->port->conf.pif;
	op->open.queue = l->flows[idx].queue;
	op->open.proto = IPPROTO_TCP;
	op->open.mss = mss;
	op->open.head_len = L4X_ETH_LEN + (p->v4 ? L4X_IP4_LEN : L4X_IP6_LEN) + TCP_HDR_LEN;
	op->open.mark = l->ftf[idx].mark;
	/* Who is led to asks where the guest wanted to go, by the socket's name. */
	if (l->flows[idx].translated)
		op->open.flags = L4X_OPEN_NAMED;
}

void
l4x_tcp_syn_in(struct l4x *l, const struct l4x_pkt *p, const struct tcp_rx *r)
{
	struct flowtab_tuple host;
	struct l4x_terms terms;
	struct tcp_options o;
	struct l4x_tcp *t;
	uint32_t idx;
	uint8_t type = 0, code = 0;
	int rc;

	if (l4x_tcp_options(p, &o) < 0) {
		l4x_count(l, L4X_DROP_TCP_OPTION);
		return;
	}
	rc = l4x_rule_out(l, p->port, &p->tuple, &host, &terms);
	if (rc == -EHOSTUNREACH) {
		l4x_count(l, L4X_DROP_IP_DEST);
		if (l4x_errno_to_icmp(EHOSTUNREACH, p->v4, &type, &code))
			l4x_icmp_error_pkt(l, p, type, code, 0);
		return;
	}
	if (rc < 0) {
		l4x_rule_refuse(l, p, rc == -EACCES ? RULES_REJECT : RULES_DROP);
		return;
	}
	idx = l4x_flow_new(l, p->port, &p->tuple, &host, &terms, p->queue, l->params.bridge, false);
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
	flowtab_touch(l->ft, idx, l4x_now_ms(l) + OPENING_LIMIT_MS);
	flowtab_flow_count(&l->ftf[idx], FLOWTAB_SIDE_GUEST, 1, 0);
}

void
l4x_tcp_open_failed(struct l4x *l, uint32_t idx, int err)
{
	struct l4x_tcp *t = l4x_tcp_of(l, idx);
	bool v4 = l->flows[idx].v4;
	uint8_t type, code;

	l4x_count(l, L4X_COUNT_TCP_REFUSED);
	if (err == ECONNREFUSED || err == ECONNRESET || !l4x_errno_to_icmp(err, v4, &type, &code) ||
		!l4x_icmp_error(l, l4x_flow_port(l, idx), l->flows[idx].queue, v4, type, code, 0,
			NULL, t->quote, t->quote_len))
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
	struct l4x_terms terms;
	struct l4x_op *op;
	struct l4x_tcp *t;
	uint32_t idx;

	if (port == NULL || l4x_inbound(port, ev, IPPROTO_TCP, &guest, &host) < 0 ||
		l4x_rule_in(l, port, &guest, &host, &terms) < 0 ||
		(terms.translated && !l4x_answers_come_here(l, port, &terms, &guest))) {
		refuse(l, ev);
		return;
	}
	/* RFC 9293, 3.6.1: a port used again need not wait, our ISN is greater than the last one.
	 */
	idx = flowtab_lookup(l->ft, &guest, l4x_now_ms(l), NULL);
	if (idx != FLOWTAB_NONE && l->ftf[idx].kind == FLOWTAB_KIND_SOCKET &&
		l4x_tcp_of(l, idx)->state == L4X_TCP_TIME_WAIT)
		l4x_flow_free(l, idx);
	idx = l4x_flow_new(
		l, port, &guest, &host, &terms, inbound_queue(l, port, &guest), ev->bridge, true);
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

void
l4x_tcp_connected(struct l4x *l, uint32_t idx, const struct l4x_event *ev)
{
	struct l4x_tcp *t = l4x_tcp_of(l, idx);

	if (t->state == L4X_TCP_OPENING)
		state_init(t, L4X_TCP_SYN_RCVD);
	else if (t->state == L4X_TCP_ADOPTING)
		t->state = L4X_TCP_SYN_SENT;
	else
		return;
	if ((ev->sent.flags & L4X_SENT_NAMED) != 0) {
		l->flows[idx].local = ev->sent.local;
		l->flows[idx].local_port = ev->sent.local_port;
	}
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
	l4x_tcp_syn_in(l, r->p, r);
}

/** RFC 9293, 3.10.7.4 for SYN-RECEIVED without anything sent. */
void
l4x_tcp_opening_in(struct l4x *l, uint32_t idx, const struct tcp_rx *r)
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

bool
l4x_tcp_syn_rcvd_in(struct l4x *l, uint32_t idx, const struct tcp_rx *r)
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
bool
l4x_tcp_syn_sent_in(struct l4x *l, uint32_t idx, const struct tcp_rx *r)
{
	struct l4x_tcp *t = l4x_tcp_of(l, idx);
	bool ack = (r->flags & RTE_TCP_ACK_FLAG) != 0;
	struct tcp_options o;

	if (t->state == L4X_TCP_ADOPTING || (ack && r->ack != tcp_seq_of(t->iss, 0))) {
		l4x_count(l, L4X_DROP_TCP_ACK);
		l4x_tcp_rst_for(l, r->p);
		return false;
	}
	if ((r->flags & RTE_TCP_RST_FLAG) != 0) {
		if (!ack) {
			l4x_count(l, L4X_DROP_TCP_WINDOW);
			return false;
		}
		l4x_count(l, L4X_COUNT_TCP_REFUSED);
		l4x_tcp_close(l, idx, true);
		return false;
	}
	if ((r->flags & RTE_TCP_SYN_FLAG) == 0) {
		l4x_count(l, L4X_DROP_TCP_STATE);
		return false;
	}
	if (!ack) {
		/* Both open at once, and each has its own socket on our side: neither can be. */
		l4x_tcp_rst_for(l, r->p);
		l4x_tcp_abort(l, idx);
		return false;
	}
	if (l4x_tcp_options(r->p, &o) < 0) {
		l4x_count(l, L4X_DROP_TCP_OPTION);
		return false;
	}
	t->irs = r->seq;
	if (o.scaled) {
		t->flags |= L4X_TCP_SCALED;
		t->snd_shift = o.shift;
	}
	l4x_tcp_mss(r->p->port, l->flows[idx].v4, o.mss, t);
	t->flags |= L4X_TCP_ACK_NOW;
	l4x_tcp_establish(l, idx, r->win, r->seq);
	return r->len > 0;
}
