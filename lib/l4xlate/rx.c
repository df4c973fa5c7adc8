/* SPDX-License-Identifier: BSD-3-Clause */
#include "l4x_priv.h"

/** Hand the frame to the worker that owns its flow. True if it went. */
static bool
hand_over(struct l4x *l, struct l4x_pkt *p, uint8_t worker, enum l4x_frame_kind kind)
{
	const struct l4x_port_conf *conf = &p->port->conf;
	struct l4x_frame *f;

	if (worker == l->params.worker)
		return false;
	if (l->out.n_handover == L4X_BURST) {
		l4x_drop(l, p->m, L4X_DROP_OUT_FULL);
		return true;
	}
	f = &l->out.handover[l->out.n_handover++];
	*f = (struct l4x_frame){ .m = p->m, .pif = conf->pif, .queue = p->queue, .worker = worker };
	f->kind = kind;
	l4x_count(l, L4X_COUNT_HANDOVER);
	return true;
}

/**
 * A fragment: into the store of the worker that gathers this datagram. The whole datagram is parsed
 * again, and steered anew, for now it has ports. True if p holds it.
 */
static bool
gather(struct l4x *l, struct l4x_pkt *p, bool steered)
{
	struct flowtab_tuple t = p->tuple;

	t.eport = (rte_be16_t)p->frag_id;
	t.oport = (rte_be16_t)(p->frag_id >> 16);
	if (!steered && p->port->n_workers > 1 &&
		hand_over(l, p, l4x_steer(&p->port->conf, l->params.secret, &t), L4X_FRAME_IN))
		return false;
	p->m = l4x_frag_rx(l, p);
	p->fragmented = true;
	if (p->m == NULL || l4x_pkt_parse(l, p) < 0)
		return false;
	/* Once more: what was in pieces was a piece itself. */
	if (p->kind == L4X_KIND_FRAG) {
		l4x_drop(l, p->m, L4X_DROP_FRAG_BAD);
		return false;
	}
	return true;
}

/** What the guest asks of weir itself is answered at once; the rest waits for the lookup. */
static void
dispatch_local(struct l4x *l, struct l4x_pkt *p)
{
	switch (p->kind) {
	case L4X_KIND_ARP:
		l4x_arp(l, p);
		break;
	case L4X_KIND_ND:
		l4x_nd(l, p);
		break;
	case L4X_KIND_DHCP:
		l4x_dhcp(l, p);
		break;
	case L4X_KIND_DHCP6:
		l4x_dhcp6(l, p);
		break;
	default:
		rte_pktmbuf_free(p->m);
		break;
	}
}

static void
known_to_all(struct l4x_port *port)
{
	port->told = port->guest;
	port->told_queues = l4x_queues_in_use(&port->conf);
}

/** Do all workers send to the same address? What follows from the configuration they know. */
static bool
same_address(const struct l4x_port *port, bool v4)
{
	return flowtab_addr_eq(l4x_guest_addr(&port->conf, &port->told, v4),
		l4x_guest_addr(&port->conf, &port->guest, v4));
}

/** A worker whose queues come into use may have forgotten what it was told. */
static bool
is_known_to_all(const struct l4x_port *port)
{
	return rte_is_same_ether_addr(&port->told.mac, &port->guest.mac) &&
		same_address(port, true) && same_address(port, false) &&
		port->told_queues == l4x_queues_in_use(&port->conf);
}

/** May a packet of this guest be another worker's? */
static bool
is_steered(const struct l4x *l, const struct l4x_port *port)
{
	return port->n_workers > 1 || l->params.n_workers > 1;
}

/** The worker of a flow to the host's sockets. */
static uint8_t
owner_north_south(const struct l4x *l, const struct l4x_pkt *p)
{
	const struct l4x_port_conf *conf = &p->port->conf;

	return p->port->n_workers > 1 ? l4x_steer(conf, l->params.secret, &p->tuple)
				      : conf->queue_worker[0];
}

static uint8_t
owner_of(struct l4x *l, const struct l4x_pkt *p)
{
	bool ew = l->ew.open && l->params.n_workers > 1;
	int worker = ew ? l4x_ew_owner(l, p->port, &p->tuple) : -1;

	return worker >= 0 ? (uint8_t)worker : owner_north_south(l, p);
}

/** True if the frame has a flow, or may get one. */
static bool
sort_out(struct l4x *l, struct l4x_pkt *p, bool steered)
{
	if (l4x_pkt_parse(l, p) < 0)
		return false;
	/* Whoever handed it over knows the guest already. */
	if (steered)
		known_to_all(p->port);
	if (p->kind == L4X_KIND_FRAG) {
		if (!gather(l, p, steered))
			return false;
		steered = false;
	}
	if (p->kind >= L4X_KIND_TCP && !steered && is_steered(l, p->port) &&
		hand_over(l, p, owner_of(l, p), L4X_FRAME_IN))
		return false;
	if (p->kind != L4X_KIND_ARP && l4x_pkt_verify(p) < 0) {
		l4x_drop(l, p->m, L4X_DROP_L4_CHECKSUM);
		return false;
	}
	if (p->kind >= L4X_KIND_TCP)
		return true;
	dispatch_local(l, p);
	return false;
}

/**
 * A lookup of the whole burst is stale for a packet once one before it has made or ended a flow: a
 * burst may hold a SYN and what follows it, or a RST and the next SYN.
 */
static uint32_t
lookup_again(struct l4x *l, const struct l4x_pkt *p, uint32_t idx, uint8_t *side,
	uint32_t generation, uint64_t flows_made)
{
	if (idx != FLOWTAB_NONE && l->ftf[idx].state != FLOWTAB_FREE &&
		l->ftf[idx].generation == generation)
		return idx;
	if (idx == FLOWTAB_NONE && l->flows_made == flows_made)
		return idx;
	return flowtab_lookup(l->ft, &p->tuple, l4x_now_ms(l), side);
}

/** A packet that the host's sockets may carry. */
static void
dispatch_north_south(struct l4x *l, struct l4x_pkt *p, uint32_t idx)
{
	switch (p->kind) {
	case L4X_KIND_TCP:
		l4x_tcp_rx(l, p, idx);
		break;
	case L4X_KIND_UDP:
		l4x_udp_rx(l, p, idx);
		break;
	case L4X_KIND_ICMP:
		l4x_icmp_rx(l, p, idx);
		break;
	default:
		l4x_pkt_no_proto(l, p);
		break;
	}
}

/** What is sent back takes the queue pair that the guest uses for the flow now. */
static void
follow_queue(struct l4x *l, const struct l4x_pkt *p, uint32_t idx)
{
	struct l4x_flow *f = &l->flows[idx];

	if (unlikely(f->queue != p->queue))
		f->queue = p->queue;
}

static void
dispatch_flow(struct l4x *l, struct l4x_pkt *p, uint32_t idx, uint8_t side)
{
	/* The tuple of an ICMP error is that of an echo whose id is 0. */
	if (unlikely(p->kind == L4X_KIND_ICMP && !p->icmp_query))
		idx = FLOWTAB_NONE;
	if (idx != FLOWTAB_NONE && l->ftf[idx].kind == FLOWTAB_KIND_TRACKED) {
		l4x_ew_rx(l, p, idx, side);
		return;
	}
	if (idx == FLOWTAB_NONE && l->ew.open && !p->north_south) {
		if (l4x_ew_begin(l, p))
			return;
		/* It was here in case that it was for another guest. */
		if (is_steered(l, p->port) &&
			hand_over(l, p, owner_north_south(l, p), L4X_FRAME_NORTH_SOUTH))
			return;
	}
	if (idx != FLOWTAB_NONE)
		follow_queue(l, p, idx);
	dispatch_north_south(l, p, idx);
}

static void
dispatch_flows(struct l4x *l, struct l4x_pkt *pkts, unsigned int n)
{
	const struct flowtab_tuple *tuples[L4X_BURST] = { NULL };
	uint32_t idx[L4X_BURST], generation[L4X_BURST];
	uint64_t made = l->flows_made;
	uint8_t side[L4X_BURST];

	for (unsigned int i = 0; i < n; i++)
		tuples[i] = &pkts[i].tuple;
	flowtab_lookup_burst(l->ft, tuples, n, l4x_now_ms(l), idx, side);
	for (unsigned int i = 0; i < n; i++)
		generation[i] = idx[i] == FLOWTAB_NONE ? 0 : l->ftf[idx[i]].generation;
	for (unsigned int i = 0; i < n; i++) {
		uint32_t at = lookup_again(l, &pkts[i], idx[i], &side[i], generation[i], made);

		dispatch_flow(l, &pkts[i], at, side[i]);
	}
}

/**
 * A worker whose queues the guest does not use hears nothing of it, and must yet know where to send
 * what comes from outside: who hears the guest tells the others.
 */
static void
tell_workers(struct l4x *l, struct l4x_port *port)
{
	const struct l4x_port_conf *conf = &port->conf;
	uint64_t told[4] = { 0 };

	if (l->out.n_handover + port->n_workers > L4X_BURST)
		return;
	for (unsigned int q = 0; q < conf->n_queues; q++) {
		uint8_t w = conf->queue_worker[q];
		struct rte_mbuf *m;
		struct l4x_frame *f;

		if (w == l->params.worker || (told[w / 64] >> (w % 64) & 1) != 0)
			continue;
		told[w / 64] |= 1ULL << (w % 64);
		m = l4x_mbuf(l);
		if (m == NULL)
			return;
		memcpy(rte_pktmbuf_append(m, sizeof(port->guest)), &port->guest,
			sizeof(port->guest));
		f = &l->out.handover[l->out.n_handover++];
		*f = (struct l4x_frame){ .m = m, .pif = conf->pif, .worker = w };
		f->kind = L4X_FRAME_NEWS;
	}
	known_to_all(port);
}

/** The other end of tell_workers(). The link here may come up only after the news came. */
static void
take_news(struct l4x *l, const struct l4x_frame *f)
{
	struct l4x_port *port = l4x_port(l, f->pif);
	struct l4x_guest guest;

	if (port != NULL) {
		memcpy(&guest, rte_pktmbuf_mtod(f->m, const void *), sizeof(guest));
		port->guest.mac = guest.mac;
		port->guest.used4 |= guest.used4;
		port->guest.used6 |= guest.used6;
		l4x_guest_uses(port, &guest.seen4);
		l4x_guest_uses(port, &guest.seen6);
		known_to_all(port);
	}
	rte_pktmbuf_free(f->m);
}

/** Up to L4X_BURST frames, all with port and queue. */
static void
burst(struct l4x *l, struct l4x_pkt *pkts, unsigned int n, bool steered)
{
	unsigned int kept = 0;

	for (unsigned int i = 0; i < n; i++) {
		if (!sort_out(l, &pkts[i], steered))
			continue;
		if (kept != i)
			pkts[kept] = pkts[i];
		kept++;
	}
	if (kept > 0)
		dispatch_flows(l, pkts, kept);
	l4x_tcp_burst_end(l);
	l4x_dgram_burst_end(l);
}

static void
pkt_init(struct l4x_pkt *p, struct l4x_port *port, uint8_t queue, struct rte_mbuf *m)
{
	/* The parser writes the tuple of whatever has one. */
	memset(p, 0, offsetof(struct l4x_pkt, tuple));
	p->m = m;
	p->port = port;
	p->queue = queue;
}

void
l4x_rx_burst(struct l4x *l, uint16_t pif, uint8_t queue, struct rte_mbuf **frames, unsigned int n,
	uint64_t now_us)
{
	struct l4x_port *port = l4x_port(l, pif);
	struct l4x_pkt pkts[L4X_BURST];
	uint64_t bytes = 0;

	l->now_us = now_us;
	for (unsigned int i = 0; i < n; i++)
		bytes += rte_pktmbuf_pkt_len(frames[i]);
	l4x_count_add(l, L4X_COUNT_RX_PKTS, n);
	l4x_count_add(l, L4X_COUNT_RX_BYTES, bytes);
	if (port == NULL || !port->up || n > L4X_BURST) {
		for (unsigned int i = 0; i < n; i++)
			l4x_drop(l, frames[i], L4X_DROP_NO_LINK);
		return;
	}
	for (unsigned int i = 0; i < n; i++)
		pkt_init(&pkts[i], port, queue, frames[i]);
	burst(l, pkts, n, false);
	if (port->n_workers > 1 && !is_known_to_all(port))
		tell_workers(l, port);
}

void
l4x_rx_handover(struct l4x *l, const struct l4x_frame *frames, unsigned int n, uint64_t now_us)
{
	struct l4x_pkt pkts[L4X_BURST];
	unsigned int kept = 0;

	l->now_us = now_us;
	for (unsigned int i = 0; i < n; i++) {
		struct l4x_port *port = l4x_port(l, frames[i].pif);

		if (frames[i].kind == L4X_FRAME_NEWS) {
			take_news(l, &frames[i]);
			continue;
		}
		if (frames[i].kind == L4X_FRAME_OUT) {
			if (port != NULL)
				l4x_frame_deliver(l, port, frames[i].queue, frames[i].m);
			else
				l4x_drop(l, frames[i].m, L4X_DROP_NO_LINK);
			continue;
		}
		if (port == NULL || l4x_port_is_down(port) || kept == L4X_BURST) {
			l4x_drop(l, frames[i].m, L4X_DROP_NO_LINK);
			continue;
		}
		/* Answers go back where it came in, by way of the worker that has handed it over.
		 */
		pkt_init(&pkts[kept], port, frames[i].queue, frames[i].m);
		pkts[kept++].north_south = frames[i].kind == L4X_FRAME_NORTH_SOUTH;
	}
	burst(l, pkts, kept, true);
}
