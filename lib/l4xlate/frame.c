/* SPDX-License-Identifier: BSD-3-Clause */
#include "flowtab_cksum.h"
#include "l4x_priv.h"

#define TTL_DEFAULT 64
#define NEXT_FRAGMENT 44
#define IP4_OPT_COPIED 0x80

struct rte_mbuf *
l4x_mbuf(struct l4x *l)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(l->pool);

	if (unlikely(m == NULL))
		l4x_count(l, L4X_DROP_NO_MBUF);
	return m;
}

static void
eth_write(const struct l4x_port *port, void *at, uint16_t ether_type)
{
	const struct rte_ether_hdr eth = {
		.dst_addr = port->guest.mac,
		.src_addr = port->conf.gateway_mac,
		.ether_type = rte_cpu_to_be_16(ether_type),
	};

	/* A guest may lend buffers at odd addresses. */
	memcpy(at, &eth, sizeof(eth));
}

void
l4x_eth_prepend(const struct l4x_port *port, struct rte_mbuf *m, uint16_t ether_type)
{
	eth_write(port, rte_pktmbuf_prepend(m, L4X_ETH_LEN), ether_type);
	m->l2_len = L4X_ETH_LEN;
}

/** @param frag flags and offset as they stand in the header, host order */
static void
ip4_write(void *at, const struct flowtab_tuple *guest, uint8_t tos, uint8_t ttl, uint16_t id,
	uint16_t frag, uint32_t l4_len)
{
	struct rte_ipv4_hdr *ip = at;

	ip->version_ihl = RTE_IPV4_VHL_DEF;
	ip->type_of_service = tos;
	ip->total_length = rte_cpu_to_be_16((uint16_t)(L4X_IP4_LEN + l4_len));
	ip->packet_id = rte_cpu_to_be_16(id);
	ip->fragment_offset = rte_cpu_to_be_16(frag);
	ip->time_to_live = ttl != 0 ? ttl : TTL_DEFAULT;
	ip->next_proto_id = guest->proto;
	ip->src_addr = guest->oaddr.v4;
	ip->dst_addr = guest->eaddr.v4;
	ip->hdr_checksum = 0;
	ip->hdr_checksum = rte_ipv4_cksum(ip);
}

static void
ip4_prepend(struct rte_mbuf *m, const struct flowtab_tuple *guest, uint8_t tos, uint8_t ttl,
	uint16_t id, uint16_t frag)
{
	const uint32_t len = rte_pktmbuf_pkt_len(m);

	ip4_write(rte_pktmbuf_prepend(m, L4X_IP4_LEN), guest, tos, ttl, id, frag, len);
	m->l3_len = L4X_IP4_LEN;
	m->ol_flags |= RTE_MBUF_F_TX_IPV4;
}

static void
ip6_write(
	void *at, const struct flowtab_tuple *guest, uint8_t tos, uint8_t ttl, uint32_t payload_len)
{
	struct rte_ipv6_hdr *ip = at;

	ip->vtc_flow = rte_cpu_to_be_32(6u << 28 | (uint32_t)tos << 20);
	ip->payload_len = rte_cpu_to_be_16((uint16_t)payload_len);
	ip->proto = guest->proto;
	ip->hop_limits = ttl != 0 ? ttl : TTL_DEFAULT;
	memcpy(ip->src_addr, guest->oaddr.b, sizeof(ip->src_addr));
	memcpy(ip->dst_addr, guest->eaddr.b, sizeof(ip->dst_addr));
}

static void
ip6_prepend(struct rte_mbuf *m, const struct flowtab_tuple *guest, uint8_t tos, uint8_t ttl)
{
	const uint32_t len = rte_pktmbuf_pkt_len(m);

	ip6_write(rte_pktmbuf_prepend(m, L4X_IP6_LEN), guest, tos, ttl, len);
	m->l3_len = L4X_IP6_LEN;
	m->ol_flags |= RTE_MBUF_F_TX_IPV6;
}

void
l4x_head_write(const struct l4x_port *port, const struct flowtab_tuple *guest, uint8_t tos,
	uint8_t ttl, uint8_t *at, uint32_t l4_len)
{
	if (flowtab_addr_is_v4(&guest->eaddr)) {
		eth_write(port, at, RTE_ETHER_TYPE_IPV4);
		/* RFC 6864, 4.1: what is not to be fragmented needs no number. */
		ip4_write(at + L4X_ETH_LEN, guest, tos, ttl, 0, RTE_IPV4_HDR_DF_FLAG, l4_len);
	} else {
		eth_write(port, at, RTE_ETHER_TYPE_IPV6);
		ip6_write(at + L4X_ETH_LEN, guest, tos, ttl, l4_len);
	}
}

void
l4x_ip_prepend(const struct l4x_port *port, struct rte_mbuf *m, const struct flowtab_tuple *guest,
	uint8_t tos, uint8_t ttl)
{
	const bool v4 = flowtab_addr_is_v4(&guest->eaddr);
	const uint32_t len = rte_pktmbuf_pkt_len(m);

	m->l2_len = L4X_ETH_LEN;
	m->l3_len = v4 ? L4X_IP4_LEN : L4X_IP6_LEN;
	m->ol_flags |= v4 ? RTE_MBUF_F_TX_IPV4 : RTE_MBUF_F_TX_IPV6;
	l4x_head_write(port, guest, tos, ttl,
		(uint8_t *)rte_pktmbuf_prepend(m, (uint16_t)(L4X_ETH_LEN + m->l3_len)), len);
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

uint16_t
l4x_cksum(const struct rte_mbuf *m, uint32_t off, uint32_t len, uint32_t phdr)
{
	return (uint16_t)~__rte_raw_cksum_reduce(phdr + flowtab_cksum(m, off, len));
}

/** RFC 791, 3.1: options whose copied flag is not set stand in the first fragment alone. */
static void
options_of_later(uint8_t *ip, uint32_t hdr_len)
{
	uint32_t i = L4X_IP4_LEN, len;

	while (i < hdr_len && ip[i] != L4X_IP4_OPT_END) {
		/* Their form was checked when the packet came in. */
		len = ip[i] == L4X_IP4_OPT_NOP ? 1 : ip[i + 1];
		if ((ip[i] & IP4_OPT_COPIED) == 0)
			memset(&ip[i], L4X_IP4_OPT_NOP, len);
		i += len;
	}
}

static void
finish4(const struct l4x_cut *c, struct rte_mbuf *f, uint32_t len, bool more)
{
	struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)rte_pktmbuf_prepend(f, c->hdr_len);
	uint16_t frag = (uint16_t)(c->off / RTE_IPV4_HDR_OFFSET_UNITS);

	memcpy(ip, rte_pktmbuf_mtod(c->m, const void *), c->hdr_len);
	if (c->off > 0)
		options_of_later((uint8_t *)ip, c->hdr_len);
	ip->total_length = rte_cpu_to_be_16((uint16_t)(c->hdr_len + len));
	ip->fragment_offset = rte_cpu_to_be_16(more ? frag | RTE_IPV4_HDR_MF_FLAG : frag);
	ip->hdr_checksum = 0;
	ip->hdr_checksum = (rte_be16_t)~rte_raw_cksum(ip, c->hdr_len);
	f->ol_flags |= RTE_MBUF_F_TX_IPV4;
}

static void
finish6(const struct l4x_cut *c, struct rte_mbuf *f, uint32_t len, bool more)
{
	rte_be16_t at = rte_cpu_to_be_16((uint16_t)(c->off | more));
	uint8_t *h = (uint8_t *)rte_pktmbuf_prepend(f, c->hdr_len + L4X_FRAG6_LEN);
	struct rte_ipv6_hdr *ip = (struct rte_ipv6_hdr *)h;
	/* RFC 8200, 4.5: of the headers that are in each fragment, the last one. */
	uint8_t *next = &ip->proto;

	memcpy(h, rte_pktmbuf_mtod(c->m, const void *), c->hdr_len);
	if (c->hdr_len > L4X_IP6_LEN)
		next = &h[L4X_IP6_LEN];
	h += c->hdr_len;
	h[0] = *next;
	h[1] = 0;
	memcpy(h + 2, &at, sizeof(at));
	memcpy(h + 4, &c->id, sizeof(c->id));
	*next = NEXT_FRAGMENT;
	ip->payload_len =
		rte_cpu_to_be_16((uint16_t)(c->hdr_len - L4X_IP6_LEN + L4X_FRAG6_LEN + len));
	f->ol_flags |= RTE_MBUF_F_TX_IPV6;
}

struct rte_mbuf *
l4x_cut_next(struct l4x *l, struct l4x_cut *c)
{
	uint32_t room = (c->mtu - c->hdr_len - (c->v4 ? 0 : L4X_FRAG6_LEN)) & ~7u;
	uint32_t left = rte_pktmbuf_pkt_len(c->m) - c->hdr_len - c->off, len = RTE_MIN(left, room);
	struct rte_mbuf *f;

	if (left == 0)
		return NULL;
	f = rte_pktmbuf_copy(c->m, l->pool, c->hdr_len + c->off, len);
	if (f == NULL) {
		l4x_count(l, L4X_DROP_NO_MBUF);
		return NULL;
	}
	f->ol_flags &= ~(RTE_MBUF_F_TX_L4_MASK | RTE_MBUF_F_RX_L4_CKSUM_MASK);
	if (c->v4)
		finish4(c, f, len, len < left);
	else
		finish6(c, f, len, len < left);
	f->l3_len = c->hdr_len + (c->v4 ? 0 : L4X_FRAG6_LEN);
	c->off += len;
	return f;
}

/**
 * RFC 791, 2.3 and RFC 8200, 4.5. Numbers are counted for each guest alone: it sees nothing of the
 * others, and they come again as late as can be (RFC 6864, 4.3).
 */
static void
send_fragments(struct l4x *l, struct l4x_port *port, uint8_t queue, struct rte_mbuf *m,
	const struct flowtab_tuple *guest, uint8_t tos, uint8_t ttl)
{
	struct l4x_cut cut = { .m = m, .mtu = port->conf.mtu, .id = port->frag_id++ };
	struct rte_mbuf *f;

	cut.v4 = flowtab_addr_is_v4(&guest->eaddr);
	cut.hdr_len = cut.v4 ? L4X_IP4_LEN : L4X_IP6_LEN;
	if (cut.v4)
		ip4_prepend(m, guest, tos, ttl, (uint16_t)cut.id, 0);
	else
		ip6_prepend(m, guest, tos, ttl);
	while ((f = l4x_cut_next(l, &cut)) != NULL) {
		l4x_eth_prepend(port, f, cut.v4 ? RTE_ETHER_TYPE_IPV4 : RTE_ETHER_TYPE_IPV6);
		l4x_frame_add(l, port, queue, f);
	}
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
		send_fragments(l, port, queue, m, guest, tos, ttl);
		return;
	}
	l4x_ip_prepend(port, m, guest, tos, ttl);
	l4x_frame_add(l, port, queue, m);
}
