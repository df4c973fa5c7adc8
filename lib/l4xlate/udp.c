/* SPDX-License-Identifier: BSD-3-Clause */
#include "dgram.h"

/* ---- flows from outside that the guest has not answered ---- */

static void
unanswered_add(struct l4x *l, uint32_t idx)
{
	struct l4x_unanswered *u = &l4x_flow_port(l, idx)->unanswered;
	struct l4x_dgram_flow *d = &l->flows[idx].dgram;

	d->older = u->n > 0 ? u->newest : FLOWTAB_NONE;
	d->newer = FLOWTAB_NONE;
	if (u->n++ == 0)
		u->oldest = idx;
	else
		l->flows[u->newest].dgram.newer = idx;
	u->newest = idx;
	l->flows[idx].unanswered = true;
}

void
l4x_udp_unanswered_del(struct l4x *l, uint32_t idx)
{
	struct l4x_unanswered *u = &l4x_flow_port(l, idx)->unanswered;
	const struct l4x_dgram_flow *d = &l->flows[idx].dgram;

	if (u->oldest == idx)
		u->oldest = d->newer;
	else
		l->flows[d->older].dgram.newer = d->newer;
	if (u->newest == idx)
		u->newest = d->older;
	else
		l->flows[d->newer].dgram.older = d->older;
	u->n--;
	l->flows[idx].unanswered = false;
}

/** Addresses from outside may be made up: the oldest flow makes room, and the guest keeps its own.
 */
static void
unanswered_make_room(struct l4x *l, const struct l4x_port *port)
{
	uint32_t max = L4X_UNANSWERED_MAX;

	if (port->conf.max_flows != 0)
		max = RTE_MIN(max, (port->conf.max_flows + 1) / 2);
	if (port->unanswered.n < max)
		return;
	l4x_count(l, L4X_COUNT_UDP_UNANSWERED);
	l4x_dgram_close(l, port->unanswered.oldest);
}

/* ---- from the guest ---- */

void
l4x_udp_rx(struct l4x *l, struct l4x_pkt *p, uint32_t idx)
{
	struct l4x_dgram_how how;
	uint32_t seg = p->m->tso_segsz, len = p->data_len;

	if (idx == FLOWTAB_NONE) {
		idx = l4x_dgram_open(l, p);
		if (idx == FLOWTAB_NONE)
			return;
	} else if (unlikely(l->flows[idx].unanswered)) {
		l4x_udp_unanswered_del(l, idx);
		l4x_dgram_op_open(l, idx, p);
	}
	how = l4x_dgram_how(l, idx, p);
	l4x_dgram_quote(l, idx, p);
	l4x_dgram_touch(l, idx, FLOWTAB_SIDE_GUEST, len);
	l4x_dgram_send(l, idx, l4x_pkt_payload(p), seg, &how);
}

/* ---- to the guest ---- */

static struct rte_udp_hdr *
header_prepend(struct rte_mbuf *m, const struct flowtab_tuple *guest, uint32_t len)
{
	struct rte_udp_hdr *udp = (struct rte_udp_hdr *)rte_pktmbuf_prepend(m, sizeof(*udp));

	if (udp == NULL)
		return NULL;
	udp->src_port = guest->oport;
	udp->dst_port = guest->eport;
	udp->dgram_len = rte_cpu_to_be_16((uint16_t)len);
	udp->dgram_cksum = 0;
	m->l4_len = sizeof(*udp);
	return udp;
}

/** One datagram for the guest, with the event's DSCP, ECN and TTL; owns m. */
static void
to_guest(struct l4x *l, uint32_t idx, const struct l4x_event *ev, struct rte_mbuf *m)
{
	uint32_t len = rte_pktmbuf_pkt_len(m) + sizeof(struct rte_udp_hdr);
	const struct l4x_flow *f = &l->flows[idx];
	struct l4x_port *port = l4x_flow_port(l, idx);
	struct flowtab_tuple guest;
	struct rte_udp_hdr *udp;

	if (len > UINT16_MAX || flowtab_tuple(l->ft, idx, FLOWTAB_SIDE_GUEST, &guest) < 0) {
		l4x_drop(l, m, L4X_DROP_TOO_BIG);
		return;
	}
	if (rte_pktmbuf_headroom(m) <
		L4X_ETH_LEN + (f->v4 ? L4X_IP4_LEN : L4X_IP6_LEN) + sizeof(struct rte_udp_hdr)) {
		l4x_drop(l, m, L4X_DROP_TOO_BIG);
		return;
	}
	l4x_dgram_touch(l, idx, FLOWTAB_SIDE_OTHER, len - sizeof(struct rte_udp_hdr));
	udp = header_prepend(m, &guest, len);
	if (len + (f->v4 ? L4X_IP4_LEN : L4X_IP6_LEN) <= port->conf.mtu) {
		/* Left to the port: vouched for, or completed there. */
		udp->dgram_cksum = l4x_phdr_sum(&guest, len);
		m->ol_flags |= RTE_MBUF_F_TX_UDP_CKSUM;
	} else {
		udp->dgram_cksum = l4x_cksum(m, 0, len, l4x_phdr_sum(&guest, len));
		if (udp->dgram_cksum == 0)
			udp->dgram_cksum = UINT16_MAX;
	}
	l4x_ip_send(l, port, f->queue, m, &guest, ev->tos, ev->ttl);
}

void
l4x_udp_event(struct l4x *l, uint32_t idx, const struct l4x_event *ev)
{
	struct l4x_event other = *ev;

	if (ev->type == L4X_EV_DGRAM)
		to_guest(l, idx, ev, ev->dgram.m);
	else if (ev->type == L4X_EV_ERROR)
		l4x_dgram_error(l, idx, ev);
	else
		l4x_event_free(&other);
}

/* ---- from outside ---- */

/**
 * A flow for a peer that has spoken first. The listener serves it until the guest answers: what
 * anybody may send takes no socket.
 */
static uint32_t
inbound_flow(struct l4x *l, struct l4x_port *port, const struct l4x_event *ev,
	const struct flowtab_tuple *guest, const struct flowtab_tuple *host,
	const struct l4x_terms *terms)
{
	uint8_t queue = l4x_steer_queue(&port->conf, l->params.secret, guest);
	uint32_t idx;

	if (port->conf.queue_worker[queue] != l->params.worker)
		queue = port->tx_queue;
	unanswered_make_room(l, port);
	idx = l4x_flow_new(l, port, guest, host, terms, queue, ev->bridge, true);
	if (idx == FLOWTAB_NONE)
		return FLOWTAB_NONE;
	l->flows[idx].reuse = true;
	l->flows[idx].dgram.pending_op = UINT32_MAX;
	unanswered_add(l, idx);
	return idx;
}

/** The forward leads to another guest, or port, than it did when the flow began. */
static bool
leads_elsewhere(const struct l4x *l, uint32_t idx, const struct l4x_event *ev)
{
	const struct l4x_flow *f = &l->flows[idx];

	return f->pif != ev->accepted.pif || f->guest_port != ev->accepted.guest_port;
}

/** Is this the flow of the peer and of the address and port that it spoke to, as far as known? */
static bool
is_flow_of(const struct l4x_flow *f, const struct flowtab_tuple *host)
{
	if (!flowtab_addr_eq(&f->peer, &host->eaddr) || f->peer_port != host->eport)
		return false;
	if (f->local_port == 0)
		return true;
	return f->local_port == host->oport &&
		(flowtab_addr_is_any(&f->local) || flowtab_addr_eq(&f->local, &host->oaddr));
}

/** The flow of a datagram at a listener. FLOWTAB_NONE: counted. */
static uint32_t
listen_flow(struct l4x *l, struct l4x_port *port, const struct l4x_event *ev,
	struct flowtab_tuple *guest, const struct flowtab_tuple *host)
{
	/* The listener's, or taken by it before the flow's own socket was there. */
	uint32_t idx = flowtab_lookup(l->ft, host, l4x_now_ms(l), NULL);
	struct l4x_terms terms;

	if (idx != FLOWTAB_NONE) {
		if (!leads_elsewhere(l, idx, ev))
			return idx;
		l4x_dgram_close(l, idx);
	}
	if (l4x_rule_in(l, port, guest, host, &terms) < 0)
		return FLOWTAB_NONE;
	idx = flowtab_lookup(l->ft, guest, l4x_now_ms(l), NULL);
	if (idx != FLOWTAB_NONE && l->ftf[idx].kind == FLOWTAB_KIND_SOCKET &&
		is_flow_of(&l->flows[idx], host))
		return idx;
	/* Peers that have no address in the guest's world look alike. */
	if ((idx != FLOWTAB_NONE || terms.translated) &&
		!l4x_answers_come_here(l, port, &terms, guest)) {
		l4x_count(l, L4X_DROP_UDP_NO_FLOW);
		return FLOWTAB_NONE;
	}
	return inbound_flow(l, port, ev, guest, host, &terms);
}

void
l4x_udp_listen(struct l4x *l, const struct l4x_event *ev)
{
	struct l4x_port *port = l4x_port(l, ev->accepted.pif);
	struct flowtab_tuple guest, host;
	uint32_t idx;

	if (port == NULL || ev->accepted.peer_port == 0 || ev->accepted.guest_port == 0 ||
		l4x_inbound(port, ev, IPPROTO_UDP, &guest, &host) < 0) {
		l4x_drop(l, ev->accepted.m, L4X_DROP_UDP_NO_FLOW);
		return;
	}
	idx = listen_flow(l, port, ev, &guest, &host);
	if (idx == FLOWTAB_NONE)
		rte_pktmbuf_free(ev->accepted.m);
	else
		to_guest(l, idx, ev, ev->accepted.m);
}
