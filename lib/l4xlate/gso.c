/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * TSO frames of one guest for another that takes none. DPDK's librte_gso of 22.11 segments TCP over
 * IPv4 only, so that both families are done here.
 *
 * Each segment has headers of its own; its payload is that of the frame, wherever it lies: mbufs
 * attached to the frame's segments, which may be the sender's memory.
 */
#include "l4x_priv.h"

/** Segments of one frame. 64 KiB in segments of 256 bytes. */
#define GSO_SEGS_MAX 256

/** A frame that is being cut. */
struct gso {
	struct rte_mbuf *m;  /**< the frame */
	struct rte_mbuf *at; /**< its mbuf that has the next byte of payload ... */
	uint32_t off;        /**< ... at this offset */
	uint32_t hdr_len;
	uint32_t done; /**< bytes of payload that have gone */
	uint32_t total;
	uint16_t n; /**< segments that have gone */
};

/** Mbufs with the next len bytes of payload, behind h. False: no mbuf. */
static bool
attach_payload(struct l4x *l, struct gso *g, struct rte_mbuf *h, uint32_t len)
{
	struct rte_mbuf *last = h;

	while (len > 0) {
		uint32_t n = RTE_MIN(len, g->at->data_len - g->off);
		struct rte_mbuf *m;

		if (n == 0) {
			g->at = g->at->next;
			g->off = 0;
			continue;
		}
		m = l4x_mbuf(l);
		if (m == NULL)
			return false;
		rte_pktmbuf_attach(m, g->at);
		m->data_off = (uint16_t)(g->at->data_off + g->off);
		m->data_len = (uint16_t)n;
		last->next = m;
		last = m;
		h->nb_segs++;
		h->pkt_len += n;
		g->off += n;
		len -= n;
	}
	return true;
}

/** Lengths, number and checksum of the IP header; the sum of the pseudo-header for TCP's. */
static uint16_t
fix_ip(struct rte_mbuf *h, uint16_t nth)
{
	uint32_t l4_len = h->pkt_len - h->l2_len - h->l3_len, tail[2], sum;
	uint8_t *ip = rte_pktmbuf_mtod_offset(h, uint8_t *, h->l2_len);

	tail[0] = rte_cpu_to_be_32(l4_len);
	tail[1] = rte_cpu_to_be_32(IPPROTO_TCP);
	sum = __rte_raw_cksum(tail, sizeof(tail), 0);
	if ((h->ol_flags & RTE_MBUF_F_TX_IPV4) != 0) {
		struct rte_ipv4_hdr *ip4 = (struct rte_ipv4_hdr *)ip;

		ip4->total_length = rte_cpu_to_be_16((uint16_t)(h->l3_len + l4_len));
		ip4->packet_id =
			rte_cpu_to_be_16((uint16_t)(rte_be_to_cpu_16(ip4->packet_id) + nth));
		ip4->hdr_checksum = 0;
		ip4->hdr_checksum = (rte_be16_t)~rte_raw_cksum(ip4, h->l3_len);
		sum = __rte_raw_cksum(&ip4->src_addr, 8, sum);
	} else {
		struct rte_ipv6_hdr *ip6 = (struct rte_ipv6_hdr *)ip;

		ip6->payload_len = rte_cpu_to_be_16((uint16_t)(h->l3_len - L4X_IP6_LEN + l4_len));
		sum = __rte_raw_cksum(ip6->src_addr, 32, sum);
	}
	return __rte_raw_cksum_reduce(sum);
}

static void
fix_headers(const struct gso *g, struct rte_mbuf *h)
{
	struct rte_tcp_hdr *th =
		rte_pktmbuf_mtod_offset(h, struct rte_tcp_hdr *, h->l2_len + h->l3_len);
	bool last = g->done + (h->pkt_len - g->hdr_len) == g->total;

	th->sent_seq = rte_cpu_to_be_32(rte_be_to_cpu_32(th->sent_seq) + g->done);
	if (!last)
		th->tcp_flags &= (uint8_t) ~(RTE_TCP_FIN_FLAG | RTE_TCP_PSH_FLAG);
	if (g->n > 0)
		th->tcp_flags &= (uint8_t)~RTE_TCP_CWR_FLAG;
	/* Left to the port: vouched for, or completed there. */
	th->cksum = fix_ip(h, g->n);
}

/** The next segment, or NULL: no mbuf (counted). */
static struct rte_mbuf *
next_segment(struct l4x *l, struct gso *g)
{
	uint32_t len = RTE_MIN(g->total - g->done, (uint32_t)g->m->tso_segsz);
	struct rte_mbuf *h = l4x_mbuf(l);
	void *hdr;

	if (h == NULL)
		return NULL;
	hdr = rte_pktmbuf_append(h, (uint16_t)g->hdr_len);
	if (hdr == NULL || !attach_payload(l, g, h, len)) {
		rte_pktmbuf_free(h);
		return NULL;
	}
	memcpy(hdr, rte_pktmbuf_mtod(g->m, const void *), g->hdr_len);
	h->l2_len = g->m->l2_len;
	h->l3_len = g->m->l3_len;
	h->l4_len = g->m->l4_len;
	h->ol_flags |= g->m->ol_flags & (RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IPV6);
	h->ol_flags |= RTE_MBUF_F_TX_TCP_CKSUM;
	fix_headers(g, h);
	g->done += len;
	g->n++;
	return h;
}

void
l4x_gso_send(struct l4x *l, struct l4x_port *port, uint8_t queue, struct rte_mbuf *m)
{
	struct gso g = { .m = m, .at = m, .hdr_len = m->l2_len + m->l3_len + m->l4_len };
	struct rte_mbuf *h;

	g.off = g.hdr_len;
	g.total = m->pkt_len - g.hdr_len;
	if (g.total > (uint32_t)m->tso_segsz * GSO_SEGS_MAX) {
		l4x_drop(l, m, L4X_DROP_GSO);
		return;
	}
	while (g.done < g.total) {
		h = next_segment(l, &g);
		if (h == NULL)
			break;
		l4x_frame_add(l, port, queue, h);
	}
	rte_pktmbuf_free(m);
}
