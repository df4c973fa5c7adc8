/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * From the flow's owner to the guest: what no longer depends on the flow.
 */
#include "l4x_priv.h"

#define ICMP_UNREACH 3
#define ICMP_UNREACH_FRAG 4
#define ICMP6_TOO_BIG 2

static bool
may_be_cut(const struct l4x_pkt *p)
{
	const struct rte_ipv4_hdr *ip;

	/* It came in pieces. */
	if (p->m->packet_type == RTE_PTYPE_L4_FRAG)
		return true;
	if (!p->v4)
		return false;
	ip = rte_pktmbuf_mtod_offset(p->m, const struct rte_ipv4_hdr *, p->l3_off);
	return (ip->fragment_offset & RTE_BE16(RTE_IPV4_HDR_DF_FLAG)) == 0;
}

bool
l4x_ew_fits(struct l4x *l, struct l4x_pkt *p, const struct l4x_port *to)
{
	const uint32_t mtu = to->conf.mtu, headers = p->data_off - p->l3_off;
	const uint32_t seg = p->m->tso_segsz;

	if (likely((seg != 0 ? headers + seg : p->ip_len) <= mtu))
		return true;
	if (may_be_cut(p) && (seg == 0 || headers < mtu)) {
		/* Smaller segments are what fragments of a segment would be. */
		if (seg != 0)
			p->m->tso_segsz = (uint16_t)(mtu - headers);
		return true;
	}
	if (p->v4)
		l4x_icmp_error_pkt(l, p, ICMP_UNREACH, ICMP_UNREACH_FRAG, mtu);
	else
		l4x_icmp_error_pkt(l, p, ICMP6_TOO_BIG, 0, mtu);
	return false;
}

/** Offload flags of what came in, as those of what goes out. */
static void
flags_out(const struct l4x_pkt *p)
{
	struct rte_mbuf *m = p->m;
	bool partial = (m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_NONE;

	m->ol_flags &= ~(RTE_MBUF_F_RX_L4_CKSUM_MASK | RTE_MBUF_F_RX_LRO);
	m->ol_flags |= p->v4 ? RTE_MBUF_F_TX_IPV4 : RTE_MBUF_F_TX_IPV6;
	m->packet_type = 0;
	m->tx_offload = rte_mbuf_tx_offload(
		p->l3_off, p->l4_off - p->l3_off, p->data_off - p->l4_off, m->tso_segsz, 0, 0, 0);
	if (!partial)
		return;
	m->ol_flags |= p->kind == L4X_KIND_TCP ? RTE_MBUF_F_TX_TCP_CKSUM : RTE_MBUF_F_TX_UDP_CKSUM;
	if (m->tso_segsz != 0)
		m->ol_flags |= RTE_MBUF_F_TX_TCP_SEG;
}

/** RFC 791, 3.2 and RFC 8200, 3; the IPv4 checksum by the difference (RFC 1624). */
static void
decrement_ttl(const struct l4x_pkt *p)
{
	if (p->v4) {
		struct rte_ipv4_hdr *ip =
			rte_pktmbuf_mtod_offset(p->m, struct rte_ipv4_hdr *, p->l3_off);
		uint32_t sum = (uint32_t)ip->hdr_checksum + RTE_BE16(0x0100);

		ip->time_to_live--;
		ip->hdr_checksum = (rte_be16_t)(sum + (sum >> 16));
	} else {
		rte_pktmbuf_mtod_offset(p->m, struct rte_ipv6_hdr *, p->l3_off)->hop_limits--;
	}
}

/** To whoever polls the queue pair. */
static void
hand_out(struct l4x *l, struct l4x_port *to, uint8_t queue, struct rte_mbuf *m)
{
	l4x_count(l, L4X_COUNT_EW_PKTS);
	l4x_count_add(l, L4X_COUNT_EW_BYTES, rte_pktmbuf_pkt_len(m));
	if (likely(to->conf.queue_worker[queue] == l->params.worker))
		l4x_frame_deliver(l, to, queue, m);
	else
		l4x_frame_add(l, to, queue, m);
}

/** A checksum that is left to whoever sends, in software: fragments cannot have it left to them. */
static void
complete_checksum(const struct l4x_pkt *p)
{
	struct rte_mbuf *m = p->m;
	uint16_t *at, sum;

	if ((m->ol_flags & RTE_MBUF_F_TX_L4_MASK) == 0)
		return;
	if (p->kind == L4X_KIND_TCP)
		at = &((struct rte_tcp_hdr *)l4x_pkt_l4(p))->cksum;
	else
		at = &((struct rte_udp_hdr *)l4x_pkt_l4(p))->dgram_cksum;
	/* The field holds the sum of the pseudo-header, so that it is part of the sum. */
	sum = l4x_cksum(m, p->l4_off, m->pkt_len - p->l4_off, 0);
	*at = sum == 0 && p->kind == L4X_KIND_UDP ? UINT16_MAX : sum;
	m->ol_flags &= ~RTE_MBUF_F_TX_L4_MASK;
}

/** Hop-by-hop options are in each fragment (RFC 8200, 4.5). 0: there is more than can be there. */
static uint16_t
header_of_each(const struct l4x_pkt *p)
{
	const uint8_t *h = rte_pktmbuf_mtod_offset(p->m, const uint8_t *, p->l3_off);
	uint32_t len = L4X_IP6_LEN;

	if (p->v4)
		return (uint16_t)((h[0] & 15) * 4);
	if (h[6] == 0)
		len += 8 + 8u * h[L4X_IP6_LEN + 1];
	return len <= L4X_CUT_HDR_MAX ? (uint16_t)len : 0;
}

/** In fragments. IPv4 fragments bear the packet's own number, IPv6 ones one of the receiver's. */
static void
cut(struct l4x *l, const struct l4x_pkt *p, struct l4x_port *to, uint8_t queue)
{
	struct l4x_cut cut = { .m = p->m, .v4 = p->v4, .mtu = to->conf.mtu };
	struct rte_ether_hdr eth = *rte_pktmbuf_mtod(p->m, struct rte_ether_hdr *);
	struct rte_mbuf *f;

	cut.hdr_len = header_of_each(p);
	if (cut.hdr_len == 0 || cut.hdr_len + L4X_FRAG6_LEN + 8 > cut.mtu) {
		l4x_drop(l, p->m, L4X_DROP_TOO_BIG);
		return;
	}
	complete_checksum(p);
	rte_pktmbuf_adj(p->m, p->l3_off);
	if (!p->v4)
		cut.id = to->frag_id++;
	while ((f = l4x_cut_next(l, &cut)) != NULL) {
		memcpy(rte_pktmbuf_prepend(f, L4X_ETH_LEN), &eth, sizeof(eth));
		f->l2_len = L4X_ETH_LEN;
		hand_out(l, to, queue, f);
	}
	rte_pktmbuf_free(p->m);
}

/**
 * The queue pair that the receiver uses for the flow (virtio 1.2, 5.1.6.5.6); until it has sent
 * something, the same for all packets.
 */
static uint8_t
queue_of(const struct l4x *l, const struct l4x_port *to, uint32_t idx, uint8_t side)
{
	const uint32_t n = l4x_queues_in_use(&to->conf);
	const struct l4x_flow *f = &l->flows[idx];
	uint8_t queue;

	if (n == 1)
		return 0;
	queue = side == FLOWTAB_SIDE_GUEST ? f->other_queue : f->queue;
	return queue < n ? queue : (uint8_t)((uint64_t)l->ftf[idx].hash[!side] * n >> 32);
}

void
l4x_ew_send(struct l4x *l, struct l4x_pkt *p, struct l4x_port *to, uint32_t idx, uint8_t side)
{
	struct rte_ether_hdr *eth = rte_pktmbuf_mtod(p->m, struct rte_ether_hdr *);
	const uint8_t queue = queue_of(l, to, idx, side);

	decrement_ttl(p);
	flags_out(p);
	rte_ether_addr_copy(&to->conf.gateway_mac, &eth->src_addr);
	/* Translation of what is in the payload may have made it longer. */
	if (unlikely(p->m->tso_segsz == 0 && p->m->pkt_len - p->l3_off > to->conf.mtu))
		cut(l, p, to, queue);
	else
		hand_out(l, to, queue, p->m);
}
