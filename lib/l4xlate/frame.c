/* SPDX-License-Identifier: BSD-3-Clause */
#include "l4x_priv.h"

#define TTL_DEFAULT 64
#define NEXT_FRAGMENT 44

struct rte_mbuf *
l4x_mbuf(struct l4x *l)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(l->pool);

	if (unlikely(m == NULL))
		l4x_count(l, L4X_DROP_NO_MBUF);
	return m;
}

void
l4x_eth_prepend(const struct l4x_port *port, struct rte_mbuf *m, uint16_t ether_type)
{
	const struct rte_ether_hdr eth = {
		.dst_addr = port->guest.mac,
		.src_addr = port->conf.gateway_mac,
		.ether_type = rte_cpu_to_be_16(ether_type),
	};

	/* A guest may lend buffers at odd addresses. */
	memcpy(rte_pktmbuf_prepend(m, L4X_ETH_LEN), &eth, sizeof(eth));
	m->l2_len = L4X_ETH_LEN;
}

/** @param frag flags and offset as they stand in the header, host order */
static void
ip4_prepend(const struct l4x_port *port, struct rte_mbuf *m, const struct flowtab_tuple *guest,
	uint8_t tos, uint8_t ttl, uint16_t id, uint16_t frag)
{
	struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)rte_pktmbuf_prepend(m, L4X_IP4_LEN);

	ip->version_ihl = RTE_IPV4_VHL_DEF;
	ip->type_of_service = tos;
	ip->total_length = rte_cpu_to_be_16((uint16_t)rte_pktmbuf_pkt_len(m));
	ip->packet_id = rte_cpu_to_be_16(id);
	ip->fragment_offset = rte_cpu_to_be_16(frag);
	ip->time_to_live = ttl != 0 ? ttl : TTL_DEFAULT;
	ip->next_proto_id = guest->proto;
	ip->src_addr = guest->oaddr.v4;
	ip->dst_addr = guest->eaddr.v4;
	ip->hdr_checksum = 0;
	ip->hdr_checksum = rte_ipv4_cksum(ip);
	m->l3_len = L4X_IP4_LEN;
	m->ol_flags |= RTE_MBUF_F_TX_IPV4;
	l4x_eth_prepend(port, m, RTE_ETHER_TYPE_IPV4);
}

static void
ip6_prepend(const struct l4x_port *port, struct rte_mbuf *m, const struct flowtab_tuple *guest,
	uint8_t tos, uint8_t ttl, uint8_t next)
{
	uint32_t len = rte_pktmbuf_pkt_len(m);
	struct rte_ipv6_hdr *ip = (struct rte_ipv6_hdr *)rte_pktmbuf_prepend(m, L4X_IP6_LEN);

	ip->vtc_flow = rte_cpu_to_be_32(6u << 28 | (uint32_t)tos << 20);
	ip->payload_len = rte_cpu_to_be_16((uint16_t)len);
	ip->proto = next;
	ip->hop_limits = ttl != 0 ? ttl : TTL_DEFAULT;
	memcpy(ip->src_addr, guest->oaddr.b, sizeof(ip->src_addr));
	memcpy(ip->dst_addr, guest->eaddr.b, sizeof(ip->dst_addr));
	m->l3_len = L4X_IP6_LEN;
	m->ol_flags |= RTE_MBUF_F_TX_IPV6;
	l4x_eth_prepend(port, m, RTE_ETHER_TYPE_IPV6);
}

void
l4x_ip_prepend(const struct l4x_port *port, struct rte_mbuf *m, const struct flowtab_tuple *guest,
	uint8_t tos, uint8_t ttl)
{
	/* RFC 6864, 4.1: what is not to be fragmented needs no number. */
	if (flowtab_addr_is_v4(&guest->eaddr))
		ip4_prepend(port, m, guest, tos, ttl, 0, RTE_IPV4_HDR_DF_FLAG);
	else
		ip6_prepend(port, m, guest, tos, ttl, guest->proto);
}

uint16_t
l4x_phdr_sum(const struct flowtab_tuple *guest, uint32_t l4_len)
{
	uint32_t tail[2] = { rte_cpu_to_be_32(l4_len), rte_cpu_to_be_32(guest->proto) }, sum;

	sum = __rte_raw_cksum(tail, sizeof(tail), 0);
	if (flowtab_addr_is_v4(&guest->eaddr)) {
		sum = __rte_raw_cksum(&guest->eaddr.v4, 4, sum);
		sum = __rte_raw_cksum(&guest->oaddr.v4, 4, sum);
	} else {
		sum = __rte_raw_cksum(guest->eaddr.b, 16, sum);
		sum = __rte_raw_cksum(guest->oaddr.b, 16, sum);
	}
	return __rte_raw_cksum_reduce(sum);
}

/*
 * rte_raw_cksum_mbuf() of 22.11 cuts the sum of a segment at an odd offset to 16 bits before it is
 * folded, so this is our own.
 */
uint16_t
l4x_cksum(const struct rte_mbuf *m, uint32_t off, uint32_t len, uint32_t phdr)
{
	uint64_t sum = phdr;
	bool odd = false;

	for (; m != NULL && len > 0; m = m->next) {
		uint32_t n = rte_pktmbuf_data_len(m);
		uint16_t part;

		if (off >= n) {
			off -= n;
			continue;
		}
		n = RTE_MIN(n - off, len);
		part = __rte_raw_cksum_reduce(
			__rte_raw_cksum(rte_pktmbuf_mtod_offset(m, const void *, off), n, 0));
		sum += odd ? rte_bswap16(part) : part;
		odd ^= n & 1;
		len -= n;
		off = 0;
	}
	return (uint16_t)~__rte_raw_cksum_reduce(
		(uint32_t)(sum & 0xffff) + (uint32_t)(sum >> 16 & 0xffff) + (uint32_t)(sum >> 32));
}

/** One fragment: len bytes at off of the L4 packet m, behind its own headers. */
static void
fragment_send(struct l4x *l, struct l4x_port *port, uint8_t queue, const struct rte_mbuf *m,
	const struct flowtab_tuple *guest, uint8_t tos, uint8_t ttl, uint32_t off, uint32_t len,
	uint32_t id)
{
	bool more = off + len < rte_pktmbuf_pkt_len(m);
	struct rte_mbuf *f = rte_pktmbuf_copy(m, l->pool, off, len);
	uint8_t *h;

	if (f == NULL) {
		l4x_count(l, L4X_DROP_NO_MBUF);
		return;
	}
	f->ol_flags &= ~(RTE_MBUF_F_TX_L4_MASK | RTE_MBUF_F_RX_L4_CKSUM_MASK);
	if (flowtab_addr_is_v4(&guest->eaddr)) {
		uint16_t flags = (uint16_t)(off / RTE_IPV4_HDR_OFFSET_UNITS);

		ip4_prepend(port, f, guest, tos, ttl, (uint16_t)id,
			more ? flags | RTE_IPV4_HDR_MF_FLAG : flags);
	} else {
		rte_be16_t at = rte_cpu_to_be_16((uint16_t)(off | more));

		h = (uint8_t *)rte_pktmbuf_prepend(f, L4X_FRAG6_LEN);
		h[0] = guest->proto;
		h[1] = 0;
		memcpy(h + 2, &at, sizeof(at));
		memcpy(h + 4, &id, sizeof(id));
		ip6_prepend(port, f, guest, tos, ttl, NEXT_FRAGMENT);
	}
	l4x_frame_add(l, port, queue, f);
}

/**
 * RFC 791, 2.3 and RFC 8200, 4.5. Numbers are counted for each guest alone: it sees nothing of the
 * others, and they come again as late as can be (RFC 6864, 4.3).
 */
static void
send_fragments(struct l4x *l, struct l4x_port *port, uint8_t queue, struct rte_mbuf *m,
	const struct flowtab_tuple *guest, uint8_t tos, uint8_t ttl, uint32_t room)
{
	uint32_t total = rte_pktmbuf_pkt_len(m), id = port->frag_id++;

	room &= ~7u;
	for (uint32_t off = 0; off < total; off += room)
		fragment_send(
			l, port, queue, m, guest, tos, ttl, off, RTE_MIN(room, total - off), id);
	rte_pktmbuf_free(m);
}

void
l4x_ip_send(struct l4x *l, struct l4x_port *port, uint8_t queue, struct rte_mbuf *m,
	const struct flowtab_tuple *guest, uint8_t tos, uint8_t ttl)
{
	bool v4 = flowtab_addr_is_v4(&guest->eaddr);
	uint32_t hdr = v4 ? L4X_IP4_LEN : L4X_IP6_LEN, len = rte_pktmbuf_pkt_len(m);

	if (len > UINT16_MAX - (v4 ? hdr : 0)) {
		l4x_drop(l, m, L4X_DROP_TOO_BIG);
		return;
	}
	if (len + hdr > port->conf.mtu) {
		send_fragments(l, port, queue, m, guest, tos, ttl,
			port->conf.mtu - hdr - (v4 ? 0 : L4X_FRAG6_LEN));
		return;
	}
	l4x_ip_prepend(port, m, guest, tos, ttl);
	l4x_frame_add(l, port, queue, m);
}
