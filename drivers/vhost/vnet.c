/* SPDX-License-Identifier: BSD-3-Clause */
#include "vnet.h"

#include <string.h>

#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_mbuf.h>
#include <rte_tcp.h>
#include <rte_udp.h>

#include "vport.h"

#ifndef VIRTIO_F_VERSION_1
#define VIRTIO_F_VERSION_1 32
#endif

#define TCP_FLAGS_OFFSET 13

unsigned int
vnet_hdr_bytes(uint64_t features)
{
	const uint64_t wide = VNET_F(VIRTIO_F_VERSION_1) | VNET_F(VIRTIO_NET_F_MRG_RXBUF);

	return features & wide ? sizeof(struct virtio_net_hdr_mrg_rxbuf)
			       : sizeof(struct virtio_net_hdr);
}

uint32_t
vnet_offloads(uint64_t features)
{
	uint32_t offloads = 0;

	/* 5.1.3.1: each of the others requires GUEST_CSUM. */
	if (!(features & VNET_F(VIRTIO_NET_F_GUEST_CSUM)))
		return 0;
	offloads |= VPORT_OFFLOAD_CSUM;
	if (features & VNET_F(VIRTIO_NET_F_GUEST_TSO4))
		offloads |= VPORT_OFFLOAD_TSO4;
	if (features & VNET_F(VIRTIO_NET_F_GUEST_TSO6))
		offloads |= VPORT_OFFLOAD_TSO6;
	if ((offloads & (VPORT_OFFLOAD_TSO4 | VPORT_OFFLOAD_TSO6)) &&
		(features & VNET_F(VIRTIO_NET_F_GUEST_ECN)))
		offloads |= VPORT_OFFLOAD_ECN;
	return offloads;
}

static bool
gso_from_guest(const struct virtio_net_hdr *h, uint64_t features, struct rte_mbuf *m)
{
	uint64_t need;

	switch (h->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
	case VIRTIO_NET_HDR_GSO_TCPV4:
		need = VNET_F(VIRTIO_NET_F_HOST_TSO4);
		break;
	case VIRTIO_NET_HDR_GSO_TCPV6:
		need = VNET_F(VIRTIO_NET_F_HOST_TSO6);
		break;
	default:
		return false;
	}
	if (h->gso_type & VIRTIO_NET_HDR_GSO_ECN)
		need |= VNET_F(VIRTIO_NET_F_HOST_ECN);
	if ((features & need) != need || h->gso_size == 0)
		return false;
	/* 5.1.6.2: a segmentation offload comes with NEEDS_CSUM, else there is nothing to complete.
	 */
	if (!(h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM))
		return false;
	m->tso_segsz = h->gso_size;
	m->ol_flags |= RTE_MBUF_F_RX_LRO;
	return true;
}

bool
vnet_from_guest(const struct virtio_net_hdr *h, uint32_t len, uint64_t features, struct rte_mbuf *m)
{
	const uint8_t vouched = VIRTIO_NET_HDR_F_NEEDS_CSUM | VIRTIO_NET_HDR_F_DATA_VALID;

	/* Flags that are not known are ignored (5.1.6.2.2). */
	if ((h->flags & vouched) && !(features & VNET_F(VIRTIO_NET_F_CSUM)))
		return false;
	if (h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) {
		if (h->csum_start < RTE_ETHER_HDR_LEN ||
			(uint32_t)h->csum_start + h->csum_offset + sizeof(uint16_t) > len)
			return false;
		m->ol_flags |= RTE_MBUF_F_RX_L4_CKSUM_NONE;
	} else if (h->flags & VIRTIO_NET_HDR_F_DATA_VALID) {
		m->ol_flags |= RTE_MBUF_F_RX_L4_CKSUM_GOOD;
	}
	return h->gso_type == VIRTIO_NET_HDR_GSO_NONE || gso_from_guest(h, features, m);
}

/** Bytes of the TCP or UDP header up to the checksum, 0: no such checksum is asked for. */
static uint16_t
csum_offset(uint64_t ol_flags)
{
	if (ol_flags & RTE_MBUF_F_TX_TCP_SEG)
		return offsetof(struct rte_tcp_hdr, cksum);
	switch (ol_flags & RTE_MBUF_F_TX_L4_MASK) {
	case RTE_MBUF_F_TX_TCP_CKSUM:
		return offsetof(struct rte_tcp_hdr, cksum);
	case RTE_MBUF_F_TX_UDP_CKSUM:
		return offsetof(struct rte_udp_hdr, dgram_cksum);
	}
	return 0;
}

/** The two bytes at an offset of a frame, which may lie in any of its segments. */
static void
put_be16(struct rte_mbuf *m, uint32_t off, uint16_t value)
{
	const uint8_t *bytes = (const uint8_t *)&value;

	for (unsigned int i = 0; i < sizeof(value); i++, off++) {
		while (m && off >= m->data_len) {
			off -= m->data_len;
			m = m->next;
		}
		if (m == NULL)
			return;
		*rte_pktmbuf_mtod_offset(m, uint8_t *, off) = bytes[i];
	}
}

/**
 * Ones' complement sum of len bytes from off on, which lie in the frame. (rte_raw_cksum_mbuf() of
 * 22.11 cuts the sum of a segment that begins at an odd offset to 16 bits before it is folded.)
 */
static uint16_t
raw_cksum(const struct rte_mbuf *m, uint32_t off, uint32_t len)
{
	uint32_t sum = 0;
	bool odd = false;

	for (; m && len; m = m->next) {
		uint32_t n = m->data_len;
		uint16_t part;

		if (off >= n) {
			off -= n;
			continue;
		}
		n = RTE_MIN(n - off, len);
		part = rte_raw_cksum(rte_pktmbuf_mtod_offset(m, const void *, off), n);
		sum += odd ? rte_bswap16(part) : part;
		odd ^= n & 1;
		len -= n;
		off = 0;
	}
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)(sum + (sum >> 16));
}

static bool
ip_checksum(struct rte_mbuf *m)
{
	const uint32_t at = m->l2_len + offsetof(struct rte_ipv4_hdr, hdr_checksum);
	const uint32_t end = m->l2_len + m->l3_len;
	uint16_t sum;

	if (m->l3_len < sizeof(struct rte_ipv4_hdr) || end > m->pkt_len)
		return false;
	put_be16(m, at, 0);
	sum = raw_cksum(m, m->l2_len, m->l3_len);
	put_be16(m, at, (uint16_t)~sum);
	return true;
}

static bool
l4_checksum(struct rte_mbuf *m, uint16_t offset)
{
	const uint32_t start = m->l2_len + m->l3_len;
	uint16_t sum;

	if (start + offset + sizeof(sum) > m->pkt_len)
		return false;
	/* The field holds the sum of the pseudo-header, so that it is part of the sum. */
	sum = (uint16_t)~raw_cksum(m, start, m->pkt_len - start);
	/* RFC 768: zero says that there is no checksum. */
	if (sum == 0 && offset == offsetof(struct rte_udp_hdr, dgram_cksum))
		sum = 0xffff;
	put_be16(m, start + offset, sum);
	return true;
}

bool
vnet_checksum(struct rte_mbuf *m, uint64_t which)
{
	const uint64_t asked = m->ol_flags & which;

	if (asked & RTE_MBUF_F_TX_IP_CKSUM) {
		if (!ip_checksum(m))
			return false;
		m->ol_flags &= ~RTE_MBUF_F_TX_IP_CKSUM;
	}
	if (asked & RTE_MBUF_F_TX_L4_MASK) {
		const uint16_t offset = csum_offset(m->ol_flags);

		if (offset == 0 || !l4_checksum(m, offset))
			return false;
		m->ol_flags &= ~RTE_MBUF_F_TX_L4_MASK;
	}
	return true;
}

static bool
has_cwr(const struct rte_mbuf *m)
{
	const uint32_t at = m->l2_len + m->l3_len + TCP_FLAGS_OFFSET;

	return at < m->data_len &&
		(*rte_pktmbuf_mtod_offset(m, const uint8_t *, at) & RTE_TCP_CWR_FLAG);
}

static bool
gso_to_guest(struct virtio_net_hdr *h, const struct rte_mbuf *m, uint32_t offloads)
{
	const bool v6 = m->ol_flags & RTE_MBUF_F_TX_IPV6;

	if (!(offloads & (v6 ? VPORT_OFFLOAD_TSO6 : VPORT_OFFLOAD_TSO4)) || m->tso_segsz == 0)
		return false;
	h->gso_type = v6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4;
	if ((offloads & VPORT_OFFLOAD_ECN) && has_cwr(m))
		h->gso_type |= VIRTIO_NET_HDR_GSO_ECN;
	h->gso_size = m->tso_segsz;
	h->hdr_len = (uint16_t)(m->l2_len + m->l3_len + m->l4_len);
	return h->hdr_len <= m->pkt_len;
}

bool
vnet_to_guest(struct virtio_net_hdr *h, struct rte_mbuf *m, uint32_t offloads)
{
	const uint16_t offset = csum_offset(m->ol_flags);

	memset(h, 0, sizeof(*h));
	if (m->ol_flags & RTE_MBUF_F_TX_TCP_SEG) {
		if (!gso_to_guest(h, m, offloads))
			return false;
	} else if (!(offloads & VPORT_OFFLOAD_CSUM) && !vnet_checksum(m, RTE_MBUF_F_TX_L4_MASK)) {
		return false;
	}
	if ((m->ol_flags & RTE_MBUF_F_TX_IP_CKSUM) && !vnet_checksum(m, RTE_MBUF_F_TX_IP_CKSUM))
		return false;
	if (offset && (offloads & VPORT_OFFLOAD_CSUM)) {
		h->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		h->csum_start = (uint16_t)(m->l2_len + m->l3_len);
		h->csum_offset = offset;
		return (uint32_t)h->csum_start + offset + sizeof(uint16_t) <= m->pkt_len;
	}
	return true;
}
