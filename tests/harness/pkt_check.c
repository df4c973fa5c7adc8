/* SPDX-License-Identifier: BSD-3-Clause */
#include "pkt.h"

#include <stdio.h>
#include <string.h>

/* Everything a check needs to know of the frame beside the view. */
struct ctx {
	const struct virtio_net_hdr *hdr;
	const struct pkt_limits *lim;
	struct pkt_view *v;
};

static bool
all_zero(const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (p[i] != 0)
			return false;
	return true;
}

/* ---- vnet header ---- */

static const char *
check_gso(const struct virtio_net_hdr *h, const struct pkt_limits *lim)
{
	uint8_t type = h->gso_type & (uint8_t)~VIRTIO_NET_HDR_GSO_ECN;

	if ((h->gso_type & VIRTIO_NET_HDR_GSO_ECN) && !lim->ecn)
		return "gso_type with ECN, which was not negotiated";
	if (type == VIRTIO_NET_HDR_GSO_TCPV4               ? !lim->tso4
			: type == VIRTIO_NET_HDR_GSO_TCPV6 ? !lim->tso6
							   : true)
		return "gso_type that was not negotiated";
	if (h->gso_size == 0)
		return "gso_size 0";
	if (!(h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM))
		return "GSO frame without NEEDS_CSUM";
	return NULL;
}

static const char *
check_vnet(const struct ctx *c)
{
	const struct virtio_net_hdr *h = c->hdr;

	if (h == NULL)
		return NULL;
	if (h->flags & ~(VIRTIO_NET_HDR_F_NEEDS_CSUM | VIRTIO_NET_HDR_F_DATA_VALID))
		return "unknown vnet flags";
	if (h->flags != 0 && !c->lim->csum)
		return "vnet checksum flags without GUEST_CSUM";
	if (h->gso_type != VIRTIO_NET_HDR_GSO_NONE)
		return check_gso(h, c->lim);
	return NULL;
}

/* ---- transport ---- */

static const char *
check_l4_sum(const struct ctx *c, size_t sum_at)
{
	const struct pkt_view *v = c->v;
	uint32_t pseudo = pkt_sum_pseudo(&v->src, &v->dst, v->proto, (uint32_t)v->l4_len);
	bool needs = c->hdr != NULL && (c->hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM);
	uint16_t field = pkt_get16(v->l4 + sum_at);
	uint16_t partial = (uint16_t)(0xffff - pkt_sum_fold(pseudo));

	if (needs) {
		if (c->hdr->csum_start != v->l4 - v->frame || c->hdr->csum_offset != sum_at)
			return "csum_start or csum_offset not at the transport checksum";
		if (field != partial)
			return "NEEDS_CSUM without the pseudo-header sum";
		return NULL;
	}
	if (v->proto == IPPROTO_UDP && field == 0)
		return v->src.len == 16 ? "UDP over IPv6 without checksum" : NULL;
	if (pkt_sum_fold(pkt_sum(v->l4, v->l4_len, pseudo)) != 0)
		return "wrong transport checksum";
	return NULL;
}

static const char *
check_tcp_options(struct pkt_tcp *t, const uint8_t *o, size_t len)
{
	t->wscale = -1;
	t->options = o;
	t->options_len = len;
	for (size_t i = 0; i < len;) {
		uint8_t kind = o[i], n;

		if (kind == 0)
			return all_zero(o + i, len - i) ? NULL
							: "bytes behind the end of TCP options";
		if (kind == 1) {
			i++;
			continue;
		}
		if (i + 1 >= len || o[i + 1] < 2 || i + o[i + 1] > len)
			return "TCP option cut short";
		n = o[i + 1];
		if (kind == 2) {
			if (n != 4 || !(t->flags & PKT_SYN))
				return "MSS option wrong or out of place";
			t->mss = pkt_get16(o + i + 2);
		} else if (kind == 3) {
			if (n != 3 || !(t->flags & PKT_SYN) || o[i + 2] > 14)
				return "window scale option wrong or out of place";
			t->wscale = o[i + 2];
		} else if (kind == 4) {
			if (n != 2 || !(t->flags & PKT_SYN))
				return "SACK permitted option wrong or out of place";
			t->sack_ok = true;
		}
		i += n;
	}
	return NULL;
}

static const char *
check_tcp_flags(const struct pkt_tcp *t, size_t data_len)
{
	uint8_t f = t->flags & (PKT_SYN | PKT_FIN | PKT_RST | PKT_ACK);

	if (f == 0)
		return "TCP segment without SYN, FIN, RST or ACK";
	if ((f & PKT_SYN) && (f & (PKT_FIN | PKT_RST)))
		return "SYN with FIN or RST";
	if ((f & PKT_RST) && (f & PKT_FIN))
		return "RST with FIN";
	if (f == PKT_FIN)
		return "FIN without ACK";
	if ((t->flags & (PKT_SYN | PKT_RST)) && data_len != 0)
		return "SYN or RST with data";
	if (!(t->flags & PKT_URG) && t->urg != 0)
		return "urgent pointer without URG";
	if (!(t->flags & PKT_ACK) && t->ack != 0)
		return "acknowledgement number without ACK";
	return NULL;
}

static const char *
check_tcp_gso(const struct ctx *c, size_t head)
{
	const struct virtio_net_hdr *h = c->hdr;
	const struct pkt_view *v = c->v;
	size_t headers = (size_t)(v->l4 - v->frame) + head;
	uint16_t mtu = c->lim->mtu != 0 ? c->lim->mtu : 1500;
	uint8_t type;

	if (h == NULL || h->gso_type == VIRTIO_NET_HDR_GSO_NONE)
		return NULL;
	type = h->gso_type & (uint8_t)~VIRTIO_NET_HDR_GSO_ECN;
	if (type != (v->src.len == 16 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4))
		return "gso_type of the other family";
	if (h->gso_size + headers - 14 > mtu)
		return "gso_size makes segments over the MTU";
	if (h->hdr_len != 0 && h->hdr_len != headers)
		return "hdr_len of a GSO frame is not that of its headers";
	if (v->data_len == 0)
		return "GSO frame without data";
	if (v->tcp.flags & (PKT_SYN | PKT_RST | PKT_URG))
		return "GSO frame with SYN, RST or URG";
	c->v->gso_size = h->gso_size;
	return NULL;
}

static const char *
check_tcp(const struct ctx *c)
{
	struct pkt_view *v = c->v;
	struct pkt_tcp *t = &v->tcp;
	const uint8_t *p = v->l4;
	const char *bad;
	size_t head;

	if (v->l4_len < 20)
		return "TCP header cut short";
	head = (size_t)(p[12] >> 4) * 4;
	if (head < 20 || head > v->l4_len)
		return "wrong TCP data offset";
	if (p[12] & 0x0f)
		return "reserved TCP bits";
	t->sport = v->sport = pkt_get16(p);
	t->dport = v->dport = pkt_get16(p + 2);
	t->seq = pkt_get32(p + 4);
	t->ack = pkt_get32(p + 8);
	t->flags = p[13];
	t->win = pkt_get16(p + 14);
	t->urg = pkt_get16(p + 18);
	v->data = p + head;
	v->data_len = v->l4_len - head;
	if (v->sport == 0 || v->dport == 0)
		return "port 0";
	bad = check_tcp_flags(t, v->data_len);
	if (bad == NULL)
		bad = check_tcp_options(t, p + 20, head - 20);
	if (bad == NULL)
		bad = check_tcp_gso(c, head);
	return bad != NULL ? bad : check_l4_sum(c, 16);
}

static const char *
check_udp(const struct ctx *c)
{
	struct pkt_view *v = c->v;

	if (v->l4_len < 8)
		return "UDP header cut short";
	v->sport = pkt_get16(v->l4);
	v->dport = pkt_get16(v->l4 + 2);
	v->data = v->l4 + 8;
	v->data_len = v->l4_len - 8;
	if (pkt_get16(v->l4 + 4) != v->l4_len)
		return "UDP length is not that of the packet";
	if (v->dport == 0)
		return "port 0";
	return check_l4_sum(c, 6);
}

/* The quote of an ICMP error: a header and 8 bytes (RFC 792; RFC 4443, 3), or all there was. */
static const char *
check_quote(const struct pkt_view *v, bool v6)
{
	const uint8_t *q = v->data;
	size_t head = v6 ? 40 : 20, whole;

	if (v->data_len < head)
		return "ICMP error with a short quote";
	if (!v6)
		head = (size_t)(q[0] & 15) * 4;
	whole = v6 ? head + pkt_get16(q + 4) : pkt_get16(q + 2);
	if (v->data_len < head || (v->data_len < head + 8 && v->data_len < whole))
		return "ICMP error with a short quote";
	if (q[0] >> 4 != (v6 ? 6 : 4))
		return "ICMP error quotes another IP version";
	if (v6 && v->l3_len > 1280)
		return "ICMPv6 error over the minimum MTU";
	if (!v6 && v->l3_len > 576)
		return "ICMP error over 576 bytes";
	if (!v6 && pkt_sum_fold(pkt_sum(q, head, 0)) != 0)
		return "ICMP error quotes a header with a wrong checksum";
	return NULL;
}

static const char *
check_nd_options(const uint8_t *o, size_t len)
{
	while (len != 0) {
		if (len < 8 || o[1] == 0 || (size_t)o[1] * 8 > len)
			return "ND option cut short or of length 0";
		len -= (size_t)o[1] * 8;
		o += (size_t)o[1] * 8;
	}
	return NULL;
}

static const char *
check_nd(const struct pkt_view *v)
{
	/* Bytes behind the second word: RA 8, NS and NA 16, redirect 32. */
	size_t fixed = v->icmp_type == 134 ? 8
		: v->icmp_type == 137      ? 32
		: v->icmp_type == 133      ? 0
					   : 16;

	if (v->ttl != 255)
		return "ND with a hop limit that is not 255";
	if (v->icmp_code != 0)
		return "ND with a code";
	if (v->data_len < fixed)
		return "ND cut short";
	if (v->icmp_type == 134 && !(v->src.b[0] == 0xfe && (v->src.b[1] & 0xc0) == 0x80))
		return "RA from an address that is not link-local";
	return check_nd_options(v->data + fixed, v->data_len - fixed);
}

static const char *
check_icmp(const struct ctx *c)
{
	struct pkt_view *v = c->v;
	bool v6 = v->src.len == 16;
	bool error;

	if (v->proto != (v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP))
		return "ICMP of the other family";
	if (v->l4_len < 8)
		return "ICMP header cut short";
	v->icmp_type = v->l4[0];
	v->icmp_code = v->l4[1];
	v->icmp_rest = pkt_get32(v->l4 + 4);
	v->data = v->l4 + 8;
	v->data_len = v->l4_len - 8;
	if (v6 ? check_l4_sum(c, 2) != NULL : pkt_sum_fold(pkt_sum(v->l4, v->l4_len, 0)) != 0)
		return "wrong ICMP checksum";
	if (c->hdr != NULL && (c->hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM))
		return "NEEDS_CSUM on ICMP";
	error = v6 ? v->icmp_type < 128
		   : v->icmp_type == 3 || v->icmp_type == 11 || v->icmp_type == 12;
	if (error)
		return check_quote(v, v6);
	if (v6 && v->icmp_type >= 133 && v->icmp_type <= 137)
		return check_nd(v);
	return NULL;
}

static const char *
check_l4(const struct ctx *c)
{
	struct pkt_view *v = c->v;

	if (v->ip_frag & 0x1fff)
		return NULL; /* no transport header in it */
	if (v->ip_frag & 0x2000)
		return NULL; /* checksum covers what is not here */
	if (c->hdr != NULL && c->hdr->gso_type != VIRTIO_NET_HDR_GSO_NONE &&
		v->proto != IPPROTO_TCP)
		return "GSO on what is not TCP";
	switch (v->proto) {
	case IPPROTO_TCP:
		return check_tcp(c);
	case IPPROTO_UDP:
		return check_udp(c);
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		return check_icmp(c);
	default:
		return "unknown transport protocol";
	}
}

/* ---- network ---- */

static const char *
check_size(const struct ctx *c)
{
	const struct pkt_view *v = c->v;
	size_t excess = v->len - 14 - v->l3_len;
	uint16_t mtu = c->lim->mtu != 0 ? c->lim->mtu : 1500;

	if (excess != 0 && (v->len > 60 || !all_zero(v->l3 + v->l3_len, excess)))
		return "bytes behind the packet that are no padding";
	if (v->l3_len > mtu && (c->hdr == NULL || c->hdr->gso_type == VIRTIO_NET_HDR_GSO_NONE))
		return "packet over the MTU";
	return NULL;
}

static const char *
check_ip4(const struct ctx *c)
{
	struct pkt_view *v = c->v;
	const uint8_t *h = v->l3;
	size_t left = v->len - 14, head;
	const char *bad;

	if (left < 20 || h[0] >> 4 != 4)
		return "not an IPv4 header";
	head = (size_t)(h[0] & 15) * 4;
	v->l3_len = pkt_get16(h + 2);
	if (head < 20 || head > v->l3_len || v->l3_len > left)
		return "wrong IPv4 lengths";
	if (pkt_sum_fold(pkt_sum(h, head, 0)) != 0)
		return "wrong IPv4 header checksum";
	v->tos = h[1];
	v->ip_id = pkt_get16(h + 4);
	v->ip_frag = pkt_get16(h + 6);
	v->ttl = h[8];
	v->proto = h[9];
	v->src.len = v->dst.len = 4;
	memcpy(v->src.b, h + 12, 4);
	memcpy(v->dst.b, h + 16, 4);
	v->l4 = h + head;
	v->l4_len = v->l3_len - head;
	if (v->ip_frag & 0x8000)
		return "reserved IPv4 flag";
	if (v->ttl == 0)
		return "TTL 0";
	if (h[12] >= 224 || h[12] == 127 || h[12] == 0)
		return "IPv4 source that nobody may have";
	bad = check_size(c);
	return bad != NULL ? bad : check_l4(c);
}

static const char *
check_ip6(const struct ctx *c)
{
	struct pkt_view *v = c->v;
	const uint8_t *h = v->l3;
	size_t left = v->len - 14;
	const char *bad;

	if (left < 40 || h[0] >> 4 != 6)
		return "not an IPv6 header";
	v->l3_len = 40 + (size_t)pkt_get16(h + 4);
	if (v->l3_len > left)
		return "wrong IPv6 length";
	v->tos = (uint8_t)(pkt_get16(h) >> 4);
	v->proto = h[6];
	v->ttl = h[7];
	v->src.len = v->dst.len = 16;
	memcpy(v->src.b, h + 8, 16);
	memcpy(v->dst.b, h + 24, 16);
	v->l4 = h + 40;
	v->l4_len = v->l3_len - 40;
	if (v->ttl == 0)
		return "hop limit 0";
	if (h[8] == 0xff || all_zero(h + 8, 16))
		return "IPv6 source that nobody may have";
	bad = check_size(c);
	return bad != NULL ? bad : check_l4(c);
}

static const char *
check_arp(const struct ctx *c)
{
	static const uint8_t fixed[] = { 0, 1, 8, 0, 6, 4 };
	struct pkt_view *v = c->v;
	const uint8_t *a = v->l3;

	if (v->len < 42 || memcmp(a, fixed, sizeof(fixed)) != 0)
		return "not ARP for IPv4 over Ethernet";
	v->l3_len = 28;
	v->arp_op = pkt_get16(a + 6);
	v->arp_sha = a + 8;
	v->arp_tha = a + 18;
	v->src.len = v->dst.len = 4;
	memcpy(v->src.b, a + 14, 4);
	memcpy(v->dst.b, a + 24, 4);
	if (v->arp_op != 1 && v->arp_op != 2)
		return "ARP operation";
	if (memcmp(v->arp_sha, v->src_mac, 6) != 0)
		return "ARP sender is not the frame's";
	return check_size(c);
}

const char *
pkt_check(const uint8_t *frame, size_t len, const struct virtio_net_hdr *hdr,
	const struct pkt_limits *limits, struct pkt_view *view)
{
	struct ctx c = { hdr, limits, view };
	const char *bad;

	memset(view, 0, sizeof(*view));
	view->frame = frame;
	view->len = len;
	if (len < 14)
		return "shorter than an Ethernet header";
	view->dst_mac = frame;
	view->src_mac = frame + 6;
	view->eth_type = pkt_get16(frame + 12);
	view->l3 = frame + 14;
	if ((frame[6] & 1) || all_zero(frame + 6, 6))
		return "multicast or zero source MAC";
	if (all_zero(frame, 6))
		return "zero destination MAC";
	bad = check_vnet(&c);
	if (bad != NULL)
		return bad;
	switch (view->eth_type) {
	case PKT_ETH_IP4:
		return check_ip4(&c);
	case PKT_ETH_IP6:
		return check_ip6(&c);
	case PKT_ETH_ARP:
		return check_arp(&c);
	default:
		return "unknown EtherType";
	}
}

const char *
pkt_text(const struct pkt_view *v)
{
	static _Thread_local char bufs[4][256];
	static _Thread_local unsigned int next;
	char *buf = bufs[next++ % 4];
	const char *src = pkt_addr_text(&v->src), *dst = pkt_addr_text(&v->dst);

	if (v->eth_type == PKT_ETH_ARP) {
		snprintf(buf, sizeof(bufs[0]), "ARP op %u %s > %s", v->arp_op, src, dst);
	} else if (v->proto == IPPROTO_TCP) {
		uint8_t f = v->tcp.flags;

		snprintf(buf, sizeof(bufs[0]),
			"TCP %s:%u > %s:%u %s%s%s%s seq %u ack %u win %u len %zu", src, v->sport,
			dst, v->dport, f & PKT_SYN ? "S" : "", f & PKT_FIN ? "F" : "",
			f & PKT_RST ? "R" : "", f & PKT_ACK ? "." : "", v->tcp.seq, v->tcp.ack,
			v->tcp.win, v->data_len);
	} else if (v->proto == IPPROTO_UDP) {
		snprintf(buf, sizeof(bufs[0]), "UDP %s:%u > %s:%u len %zu", src, v->sport, dst,
			v->dport, v->data_len);
	} else {
		snprintf(buf, sizeof(bufs[0]), "type %#x proto %u %s > %s ICMP %u/%u len %zu",
			v->eth_type, v->proto, src, dst, v->icmp_type, v->icmp_code, v->data_len);
	}
	return buf;
}
