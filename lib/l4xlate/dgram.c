/* SPDX-License-Identifier: BSD-3-Clause */
#include "dgram.h"

#include <errno.h>

#include <rte_icmp.h>

#define ICMP_UNREACH 3
#define ICMP_UNREACH_PORT 3
#define ICMP_TIME 11
#define ICMP_PARAMPROB 12
#define ICMP6_UNREACH 1
#define ICMP6_PARAMPROB 4

/** RFC 8200, 5: what every link of IPv6 takes. */
#define IP6_MIN_MTU 1280

/** No router may fragment it: what IPv6 sends whole, and IPv4 with DF. */
static bool
is_one_piece(const struct l4x_pkt *p)
{
	const struct rte_ipv4_hdr *ip;

	if (p->m->packet_type == RTE_PTYPE_L4_FRAG)
		return false;
	if (!p->v4)
		return true;
	ip = rte_pktmbuf_mtod_offset(p->m, const struct rte_ipv4_hdr *, p->l3_off);
	return (ip->fragment_offset & RTE_BE16(RTE_IPV4_HDR_DF_FLAG)) != 0;
}

/** Bytes of the IP packet; of one of them, if the frame is cut into many. */
static uint32_t
packet_len(const struct l4x_pkt *p)
{
	uint32_t seg = p->m->tso_segsz;

	return seg != 0 && seg < p->data_len ? p->data_off - p->l3_off + seg : p->ip_len;
}

struct l4x_dgram_how
l4x_dgram_how(const struct l4x *l, uint32_t idx, const struct l4x_pkt *p)
{
	struct l4x_dgram_how how = { .tos = p->tos, .ttl = p->ttl, .df = is_one_piece(p) };

	/* What hosts send by default; others may look for the path: traceroute. */
	if (p->ttl == 64 || p->ttl == 128 || p->ttl == 255)
		how.ttl = 0;
	/* RFC 7915, 5.1: below that the guest need not go, a path of IPv4 may. */
	if (!p->v4 && flowtab_addr_is_v4(&l->flows[idx].peer) && packet_len(p) <= IP6_MIN_MTU)
		how.df = false;
	return how;
}

void
l4x_dgram_op_open(struct l4x *l, uint32_t idx, const struct l4x_pkt *p)
{
	const struct l4x_dgram_how how = l4x_dgram_how(l, idx, p);
	const struct l4x_flow *f = &l->flows[idx];
	struct l4x_op *op = l4x_op_add(l, L4X_OP_OPEN, idx);
	struct flowtab_tuple guest = { 0 };

	flowtab_tuple(l->ft, idx, FLOWTAB_SIDE_GUEST, &guest);
	op->tos = how.tos;
	op->ttl = how.ttl;
	op->open.peer = f->peer;
	op->open.peer_port = f->peer_port;
	op->open.pif = f->pif;
	op->open.queue = f->queue;
	op->open.mark = l->ftf[idx].mark;
	op->open.head_len = L4X_ETH_LEN + (f->v4 ? L4X_IP4_LEN : L4X_IP6_LEN);
	if (guest.proto == IPPROTO_UDP) {
		op->open.proto = IPPROTO_UDP;
		op->open.head_len += sizeof(struct rte_udp_hdr);
	} else {
		/* A ping socket speaks the protocol of its own family. */
		op->open.proto = flowtab_addr_is_v4(&f->peer) ? IPPROTO_ICMP : IPPROTO_ICMPV6;
		op->open.local_port = guest.eport;
	}
	/* Of ping sockets, what stands for the port is the id. */
	op->open.local = f->local;
	if (guest.proto == IPPROTO_UDP)
		op->open.local_port = f->local_port;
	if (f->reuse) {
		op->open.flags = L4X_OPEN_REUSE;
		op->open.guest_port = f->guest_port;
	}
}

/** Nothing carries this packet: say so, as a router and as the gateway itself would. */
static void
unreachable(struct l4x *l, struct l4x_pkt *p)
{
	bool ours = l4x_addr_is_gateway(p->port, &p->tuple.oaddr);

	if (ours && p->proto == IPPROTO_UDP)
		l4x_icmp_error_pkt(l, p, p->v4 ? ICMP_UNREACH : ICMP6_UNREACH,
			p->v4 ? ICMP_UNREACH_PORT : 4, 0);
	else if (!ours)
		l4x_icmp_error_pkt(l, p, p->v4 ? ICMP_UNREACH : ICMP6_UNREACH, p->v4 ? 1 : 3, 0);
	l4x_drop(l, p->m, L4X_DROP_IP_DEST);
}

/** Can a socket with the forward's address speak to the peer? */
static bool
forward_reaches(const struct l4x_forward *f, const struct flowtab_addr *peer)
{
	if (flowtab_addr_is_zero(&f->addr))
		return true;
	return flowtab_addr_is_v4(&f->addr) == flowtab_addr_is_v4(peer) &&
		(flowtab_addr_is_any(&f->addr) ||
			flowtab_addr_is_loopback(&f->addr) == flowtab_addr_is_loopback(peer));
}

/**
 * A port of the guest that a forward leads to is known by the forward's: WireGuard and SIP tell it
 * to their peers. The flow leaves from there; where it cannot, the kernel chooses.
 * @return true: host has the forward's address and port
 */
static bool
leave_by_forward(struct l4x *l, const struct l4x_port *port, const struct flowtab_tuple *guest,
	struct flowtab_tuple *host)
{
	const uint16_t from = rte_be_to_cpu_16(guest->eport);
	struct flowtab_tuple by = *host;

	if (guest->proto != IPPROTO_UDP)
		return false;
	for (uint32_t i = 0; i < port->conf.n_udp; i++) {
		const struct l4x_forward *f = &port->conf.udp[i];

		if (from < f->guest_first || from - f->guest_first > f->last - f->first ||
			!forward_reaches(f, &host->eaddr))
			continue;
		by.oaddr = f->addr;
		if (flowtab_addr_is_any(&f->addr) && flowtab_addr_is_v4(&host->eaddr))
			by.oaddr = flowtab_addr_v4(0);
		by.oport = rte_cpu_to_be_16((uint16_t)(f->first + (from - f->guest_first)));
		/* Another address of the guest may have spoken to this peer from there. */
		if (flowtab_lookup(l->ft, &by, l4x_now_ms(l), NULL) != FLOWTAB_NONE)
			continue;
		*host = by;
		return true;
	}
	return false;
}

uint32_t
l4x_dgram_open(struct l4x *l, struct l4x_pkt *p)
{
	struct flowtab_tuple host;
	struct l4x_terms terms;
	bool shared = false;
	uint32_t idx;
	int rc;

	if (!l4x_dgram_room(l)) {
		l4x_drop(l, p->m, L4X_DROP_OUT_FULL);
		return FLOWTAB_NONE;
	}
	rc = l4x_rule_out(l, p->port, &p->tuple, &host, &terms);
	if (rc == -EHOSTUNREACH) {
		unreachable(l, p);
		return FLOWTAB_NONE;
	}
	if (rc < 0) {
		l4x_rule_refuse(l, p, rc == -EACCES ? RULES_REJECT : RULES_DROP);
		rte_pktmbuf_free(p->m);
		return FLOWTAB_NONE;
	}
	if (p->proto != IPPROTO_UDP)
		host.eport = host.oport = 0;
	if (flowtab_addr_is_zero(&host.oaddr) && host.oport == 0)
		shared = leave_by_forward(l, p->port, &p->tuple, &host);
	idx = l4x_flow_new(l, p->port, &p->tuple, &host, &terms, p->queue,
		shared ? p->port->conf.udp_bridge : l->params.bridge, false);
	if (idx == FLOWTAB_NONE) {
		rte_pktmbuf_free(p->m);
		return FLOWTAB_NONE;
	}
	l->flows[idx].reuse = shared;
	l->flows[idx].dgram.pending_op = UINT32_MAX;
	l4x_dgram_op_open(l, idx, p);
	return idx;
}

void
l4x_dgram_gone(struct l4x *l, uint32_t idx)
{
	if (l->flows[idx].unanswered)
		l4x_udp_unanswered_del(l, idx);
	else
		l4x_op_add(l, L4X_OP_CLOSE, idx);
}

void
l4x_dgram_close(struct l4x *l, uint32_t idx)
{
	l4x_dgram_gone(l, idx);
	l4x_flow_free(l, idx);
}

static uint32_t
timeout_ms(const struct l4x *l, uint32_t idx)
{
	const struct l4x_timeouts *t = &l->params.timeouts;

	if (l->ftf[idx].proto != IPPROTO_UDP)
		return t->icmp_ms;
	return l->flows[idx].dgram.both_ways ? t->udp_stream_ms : t->udp_ms;
}

void
l4x_dgram_touch(struct l4x *l, uint32_t idx, enum flowtab_side side, uint32_t bytes)
{
	struct flowtab_flow *ff = &l->ftf[idx];
	struct l4x_dgram_flow *d = &l->flows[idx].dgram;

	flowtab_flow_count(ff, side, 1, bytes);
	if (!d->both_ways && flowtab_flow_pkts(ff, FLOWTAB_SIDE_GUEST) > 0 &&
		flowtab_flow_pkts(ff, FLOWTAB_SIDE_OTHER) > 0) {
		d->both_ways = true;
		flowtab_activate(l->ft, idx);
	}
	flowtab_touch(l->ft, idx, l4x_now_ms(l) + timeout_ms(l, idx));
}

void
l4x_dgram_quote(struct l4x *l, uint32_t idx, const struct l4x_pkt *p)
{
	struct l4x_dgram_flow *d = &l->flows[idx].dgram;
	uint32_t l4 = p->l4_off - p->l3_off, len = l4 + 8;

	d->quote_l4 = len <= sizeof(d->quote) ? (uint8_t)l4 : 0;
	/* Longer headers than are kept are quoted in part; so is a packet by a router of old. */
	len = RTE_MIN(len, (uint32_t)sizeof(d->quote));
	memcpy(d->quote, rte_pktmbuf_mtod_offset(p->m, const void *, p->l3_off), len);
	d->quote_len = (uint8_t)len;
}

/** The burst's open operation of the flow, if this payload may be joined to it. */
static struct l4x_op *
open_op(struct l4x *l, const struct l4x_dgram_flow *d, const struct rte_mbuf *m, uint32_t seg,
	const struct l4x_dgram_how *how)
{
	uint32_t len = rte_pktmbuf_pkt_len(m);
	struct l4x_op *op;

	if (d->pending_op == UINT32_MAX)
		return NULL;
	op = &l->out.ops[d->pending_op];
	if (op->tos != how->tos || op->ttl != how->ttl || op->dgram.df != how->df)
		return NULL;
	if (len == 0 || len + op->len > L4X_DGRAM_MAX_BYTES)
		return NULL;
	/* One datagram of the size or shorter, or several of the size. */
	if (seg > op->dgram.seg || (len > seg && seg != op->dgram.seg))
		return NULL;
	if (op->len + len > (uint32_t)op->dgram.seg * L4X_DGRAM_MAX_SEGS)
		return NULL;
	return op->dgram.m->nb_segs + m->nb_segs <= L4X_DGRAM_MAX_MBUFS ? op : NULL;
}

static void
join(struct l4x_dgram_flow *d, struct l4x_op *op, struct rte_mbuf *m)
{
	struct rte_mbuf *head = op->dgram.m;

	op->len += rte_pktmbuf_pkt_len(m);
	head->nb_segs += m->nb_segs;
	head->pkt_len += m->pkt_len;
	d->pending_tail->next = m;
	d->pending_tail = rte_pktmbuf_lastseg(m);
	/* All but the last of a UDP_SEGMENT send are of one size. */
	if (rte_pktmbuf_pkt_len(m) % op->dgram.seg != 0)
		d->pending_op = UINT32_MAX;
}

static void
begin_op(struct l4x *l, uint32_t idx, struct rte_mbuf *m, uint32_t seg,
	const struct l4x_dgram_how *how)
{
	struct l4x_dgram_flow *d = &l->flows[idx].dgram;
	uint32_t len = rte_pktmbuf_pkt_len(m);
	struct l4x_op *op;

	d->pending_op = UINT32_MAX;
	if (!l4x_dgram_room(l)) {
		l4x_drop(l, m, L4X_DROP_OUT_FULL);
		return;
	}
	op = l4x_op_add(l, L4X_OP_DGRAM, idx);
	op->tos = how->tos;
	op->ttl = how->ttl;
	op->dgram.df = how->df;
	op->dgram.queue = l->flows[idx].queue;
	op->len = len;
	op->dgram.m = m;
	op->dgram.seg = (uint16_t)seg;
	/* Ping sockets know no segments: one message, one operation. */
	if (l->ftf[idx].proto != IPPROTO_UDP)
		return;
	if (len == 0 || len % seg != 0 || l->n_dgram_dirty == L4X_BURST)
		return;
	d->pending_op = (uint32_t)(op - l->out.ops);
	d->pending_tail = rte_pktmbuf_lastseg(m);
	l->dgram_dirty[l->n_dgram_dirty++] = idx;
}

/** More datagrams in one frame than one operation takes: in pieces. */
static void
send_pieces(struct l4x *l, uint32_t idx, struct rte_mbuf *m, uint32_t seg,
	const struct l4x_dgram_how *how)
{
	uint32_t n = RTE_MIN(L4X_DGRAM_MAX_BYTES / seg, (uint32_t)L4X_DGRAM_MAX_SEGS);
	uint32_t total = rte_pktmbuf_pkt_len(m), piece = n * seg;

	/* A few segments of some bytes each would make thousands of operations of one frame. */
	if (total / piece >= L4X_BURST) {
		l4x_drop(l, m, L4X_DROP_TOO_BIG);
		return;
	}
	for (uint32_t off = 0; off < total; off += piece) {
		struct rte_mbuf *c = rte_pktmbuf_copy(m, l->pool, off, RTE_MIN(piece, total - off));

		if (c == NULL) {
			l4x_count(l, L4X_DROP_NO_MBUF);
			break;
		}
		begin_op(l, idx, c, seg, how);
	}
	rte_pktmbuf_free(m);
}

void
l4x_dgram_send(struct l4x *l, uint32_t idx, struct rte_mbuf *m, uint32_t seg,
	const struct l4x_dgram_how *how)
{
	struct l4x_dgram_flow *d = &l->flows[idx].dgram;
	uint32_t len = rte_pktmbuf_pkt_len(m);
	struct l4x_op *op;

	if (seg == 0 || seg > len)
		seg = len;
	if (len > seg && (len > L4X_DGRAM_MAX_BYTES || len > seg * L4X_DGRAM_MAX_SEGS)) {
		send_pieces(l, idx, m, seg, how);
		return;
	}
	op = open_op(l, d, m, seg, how);
	if (op != NULL)
		join(d, op, m);
	else
		begin_op(l, idx, m, seg, how);
}

void
l4x_dgram_burst_end(struct l4x *l)
{
	for (uint32_t i = 0; i < l->n_dgram_dirty; i++) {
		uint32_t idx = l->dgram_dirty[i];

		/* The flow may have gone since, and its place be a TCP flow's. */
		if (l->ftf[idx].state != FLOWTAB_FREE && l->ftf[idx].proto != IPPROTO_TCP)
			l->flows[idx].dgram.pending_op = UINT32_MAX;
	}
	l->n_dgram_dirty = 0;
}

/** Errors that a router or host on the way may tell of, and a guest may be told. */
static bool
icmp_passes(bool v4, uint8_t type, uint8_t code)
{
	if (v4)
		return (type == ICMP_UNREACH && code <= 15) || (type == ICMP_TIME && code <= 1) ||
			(type == ICMP_PARAMPROB && code <= 2);
	return type >= ICMP6_UNREACH && type <= ICMP6_PARAMPROB && code <= 7;
}

/** Who is named as the sender of the error: as the guest knows it. */
static void
error_source(const struct l4x_flow *f, const struct flowtab_tuple *guest,
	const struct l4x_event *ev, struct flowtab_addr *from)
{
	const struct flowtab_addr *who = &ev->error.offender;

	*from = guest->oaddr;
	if (flowtab_addr_eq(who, &f->peer) || flowtab_addr_is_any(who))
		return;
	if (flowtab_addr_is_v4(who) != f->v4 || flowtab_addr_is_loopback(who) ||
		flowtab_addr_is_multicast(who) || flowtab_addr_is_linklocal(who))
		return;
	*from = *who;
}

/** An MTU of the host's side, as the guest is to be told. */
static uint32_t
mtu_to_guest(const struct l4x_flow *f, uint32_t mtu)
{
	const uint32_t more = L4X_IP6_LEN - L4X_IP4_LEN;

	/* RFC 7915, 4.2 and 5.2. */
	if (flowtab_addr_is_v4(&f->peer) != f->v4)
		mtu = f->v4 ? RTE_MAX(mtu, more) - more : mtu + more;
	return f->v4 ? mtu : RTE_MAX(mtu, (uint32_t)IP6_MIN_MTU);
}

/** RFC 1624, 3: the checksum when what sums up to `out` is replaced by what sums up to `in`. */
static uint16_t
cksum_adjust(uint16_t cksum, uint32_t out, uint32_t in)
{
	uint32_t sum = (uint16_t)~cksum + (uint32_t)(uint16_t)~__rte_raw_cksum_reduce(out) +
		__rte_raw_cksum_reduce(in);

	return (uint16_t)~__rte_raw_cksum_reduce(sum);
}

/** The header of the echo request that failed, as the guest has sent it. */
static void
echo_quote(const struct l4x_event *ev, const struct flowtab_tuple *guest, uint8_t *quote)
{
	uint32_t in = guest->eport;
	struct rte_icmp_hdr icmp;

	memcpy(&icmp, ev->error.echo, sizeof(icmp));
	if (!flowtab_addr_is_v4(&guest->eaddr)) {
		in = __rte_raw_cksum(guest->eaddr.b, sizeof(guest->eaddr.b), in);
		in = __rte_raw_cksum(guest->oaddr.b, sizeof(guest->oaddr.b), in);
	}
	icmp.icmp_cksum = cksum_adjust(icmp.icmp_cksum, icmp.icmp_ident, in);
	icmp.icmp_ident = guest->eport;
	memcpy(quote, &icmp, sizeof(icmp));
}

static void
error_to_guest(struct l4x *l, uint32_t idx, const struct l4x_event *ev)
{
	const struct l4x_flow *f = &l->flows[idx];
	const struct l4x_dgram_flow *d = &f->dgram;
	struct l4x_port *port = l4x_flow_port(l, idx);
	struct flowtab_tuple guest;
	struct flowtab_addr from;
	uint8_t type, code, quote[L4X_QUOTE];
	bool told = ev->error.from_icmp && flowtab_addr_is_v4(&f->peer) == f->v4 &&
		icmp_passes(f->v4, ev->error.icmp_type, ev->error.icmp_code);

	if (flowtab_tuple(l->ft, idx, FLOWTAB_SIDE_GUEST, &guest) < 0)
		return;
	if (told) {
		type = ev->error.icmp_type;
		code = ev->error.icmp_code;
	} else if (!l4x_errno_to_icmp(ev->error.err, f->v4, &type, &code)) {
		return;
	}
	error_source(f, &guest, ev, &from);
	if (!ev->error.from_icmp && ev->error.err != ECONNREFUSED)
		from = f->v4 ? port->conf.gateway : port->conf.gateway6;
	memcpy(quote, d->quote, sizeof(quote));
	if (ev->error.has_echo && d->quote_l4 != 0)
		echo_quote(ev, &guest, quote + d->quote_l4);
	l4x_icmp_error(l, port, f->queue, f->v4, type, code,
		ev->error.err == EMSGSIZE ? mtu_to_guest(f, ev->error.info) : 0, &from, quote,
		d->quote_len);
}

void
l4x_dgram_error(struct l4x *l, uint32_t idx, const struct l4x_event *ev)
{
	error_to_guest(l, idx, ev);
	/* What came from the network, and "too big", leave the socket as it was. */
	if (ev->error.from_icmp || ev->error.err == EMSGSIZE || ev->error.err == ECONNREFUSED)
		return;
	l4x_dgram_close(l, idx);
}
