/* SPDX-License-Identifier: BSD-3-Clause */
#include "pkt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>

uint16_t
pkt_get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

uint32_t
pkt_get32(const uint8_t *p)
{
	return (uint32_t)pkt_get16(p) << 16 | pkt_get16(p + 2);
}

void
pkt_put16(uint8_t *p, uint16_t x)
{
	p[0] = (uint8_t)(x >> 8);
	p[1] = (uint8_t)x;
}

void
pkt_put32(uint8_t *p, uint32_t x)
{
	pkt_put16(p, (uint16_t)(x >> 16));
	pkt_put16(p + 2, (uint16_t)x);
}

struct pkt_addr
pkt_addr(const char *text)
{
	struct pkt_addr a = { 0 };

	if (inet_pton(AF_INET, text, a.b) == 1) {
		a.len = 4;
	} else if (inet_pton(AF_INET6, text, a.b) == 1) {
		a.len = 16;
	} else {
		fprintf(stderr, "not an address: %s\n", text);
		abort();
	}
	return a;
}

bool
pkt_addr_eq(const struct pkt_addr *a, const struct pkt_addr *b)
{
	return a->len == b->len && memcmp(a->b, b->b, a->len) == 0;
}

const char *
pkt_addr_text(const struct pkt_addr *a)
{
	static _Thread_local char bufs[4][INET6_ADDRSTRLEN];
	static _Thread_local unsigned int next;
	char *buf = bufs[next++ % 4];

	if (a->len == 0)
		return "none";
	inet_ntop(a->len == 4 ? AF_INET : AF_INET6, a->b, buf, INET6_ADDRSTRLEN);
	return buf;
}

socklen_t
pkt_sockaddr(const struct pkt_addr *a, uint16_t port, struct sockaddr_storage *ss)
{
	struct sockaddr_in *sin = (struct sockaddr_in *)ss;
	struct sockaddr_in6 *sin6 = (struct sockaddr_in6 *)ss;

	memset(ss, 0, sizeof(*ss));
	if (a->len == 4) {
		sin->sin_family = AF_INET;
		sin->sin_port = htons(port);
		memcpy(&sin->sin_addr, a->b, 4);
		return sizeof(*sin);
	}
	sin6->sin6_family = AF_INET6;
	sin6->sin6_port = htons(port);
	memcpy(&sin6->sin6_addr, a->b, 16);
	return sizeof(*sin6);
}

uint32_t
pkt_sum(const void *bytes, size_t len, uint32_t sum)
{
	const uint8_t *p = bytes;
	uint64_t s = sum;

	for (; len > 1; len -= 2, p += 2)
		s += pkt_get16(p);
	if (len != 0)
		s += (uint32_t)p[0] << 8;
	while (s >> 32)
		s = (s & 0xffffffff) + (s >> 32);
	return (uint32_t)s;
}

uint16_t
pkt_sum_fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

uint32_t
pkt_sum_pseudo(const struct pkt_addr *src, const struct pkt_addr *dst, uint8_t proto, uint32_t len)
{
	uint8_t tail[8] = { 0, 0, 0, 0, 0, 0, 0, proto };

	pkt_put32(tail, len);
	return pkt_sum(tail, 8, pkt_sum(dst->b, dst->len, pkt_sum(src->b, src->len, 0)));
}

size_t
pkt_build_eth(uint8_t *out, const uint8_t dst[6], const uint8_t src[6], uint16_t type,
	const void *body, size_t len)
{
	memcpy(out, dst, 6);
	memcpy(out + 6, src, 6);
	pkt_put16(out + 12, type);
	if (len != 0)
		memmove(out + 14, body, len);
	return 14 + len;
}

static size_t
build_ip4(uint8_t *h, const struct pkt_ip *ip, uint8_t proto, size_t len)
{
	size_t head = 20 + ip->options_len;

	memset(h, 0, 20);
	h[0] = (uint8_t)(0x40 | head / 4);
	h[1] = ip->tos;
	pkt_put16(h + 2, (uint16_t)(head + len));
	pkt_put16(h + 4, ip->id);
	pkt_put16(h + 6, ip->frag);
	h[8] = ip->ttl_zero ? 0 : ip->ttl != 0 ? ip->ttl : 64;
	h[9] = proto;
	memcpy(h + 12, ip->src.b, 4);
	memcpy(h + 16, ip->dst.b, 4);
	if (ip->options_len != 0)
		memcpy(h + 20, ip->options, ip->options_len);
	pkt_put16(h + 10, pkt_sum_fold(pkt_sum(h, head, 0)));
	return head;
}

static size_t
build_ip6(uint8_t *h, const struct pkt_ip *ip, uint8_t proto, size_t len)
{
	memset(h, 0, 40);
	pkt_put32(h, 0x60000000u | (uint32_t)ip->tos << 20);
	pkt_put16(h + 4, (uint16_t)(ip->options_len + len));
	h[6] = ip->options_len != 0 ? ip->first_ext : proto;
	h[7] = ip->ttl_zero ? 0 : ip->ttl != 0 ? ip->ttl : 64;
	memcpy(h + 8, ip->src.b, 16);
	memcpy(h + 24, ip->dst.b, 16);
	if (ip->options_len != 0)
		memcpy(h + 40, ip->options, ip->options_len);
	return 40 + ip->options_len;
}

static size_t
ip_head_bytes(const struct pkt_ip *ip)
{
	return (ip->dst.len == 16 ? 40 : 20) + ip->options_len;
}

size_t
pkt_build_ip(uint8_t *out, const struct pkt_ip *ip, uint8_t proto, const void *l4, size_t len)
{
	bool v6 = ip->dst.len == 16;
	size_t head = ip_head_bytes(ip);

	if (len != 0 && l4 != out + 14 + head)
		memmove(out + 14 + head, l4, len);
	if (v6)
		build_ip6(out + 14, ip, proto, len);
	else
		build_ip4(out + 14, ip, proto, len);
	pkt_build_eth(out, ip->dst_mac, ip->src_mac, v6 ? PKT_ETH_IP6 : PKT_ETH_IP4, NULL, 0);
	return 14 + head + len;
}

static void
put_sum(uint8_t *field, const struct pkt_ip *ip, uint8_t proto, const uint8_t *l4, size_t len)
{
	uint16_t sum;

	pkt_put16(field, 0);
	sum = pkt_sum_fold(
		pkt_sum(l4, len, pkt_sum_pseudo(&ip->src, &ip->dst, proto, (uint32_t)len)));
	pkt_put16(field, proto == IPPROTO_UDP && sum == 0 ? 0xffff : sum);
}

size_t
pkt_build_tcp(uint8_t *out, const struct pkt_ip *ip, const struct pkt_tcp *tcp, const void *data,
	size_t len)
{
	uint8_t *t = out + 14 + ip_head_bytes(ip), *o = t + 20;

	pkt_put16(t, tcp->sport);
	pkt_put16(t + 2, tcp->dport);
	pkt_put32(t + 4, tcp->seq);
	pkt_put32(t + 8, tcp->ack);
	t[13] = tcp->flags;
	pkt_put16(t + 14, tcp->win);
	pkt_put16(t + 18, tcp->urg);
	if (tcp->mss != 0) {
		pkt_put32(o, 0x02040000u | tcp->mss);
		o += 4;
	}
	if (tcp->wscale >= 0) {
		pkt_put32(o, 0x01030300u | (uint32_t)tcp->wscale);
		o += 4;
	}
	if (tcp->sack_ok) {
		pkt_put32(o, 0x01010402u);
		o += 4;
	}
	if (tcp->options_len != 0)
		memcpy(o, tcp->options, tcp->options_len);
	o += tcp->options_len;
	t[12] = (uint8_t)((o - t) / 4 << 4);
	if (len != 0)
		memcpy(o, data, len);
	len += (size_t)(o - t);
	put_sum(t + 16, ip, IPPROTO_TCP, t, len);
	return pkt_build_ip(out, ip, IPPROTO_TCP, t, len);
}

size_t
pkt_build_udp(uint8_t *out, const struct pkt_ip *ip, uint16_t sport, uint16_t dport,
	const void *data, size_t len)
{
	uint8_t *u = out + 14 + ip_head_bytes(ip);

	pkt_put16(u, sport);
	pkt_put16(u + 2, dport);
	pkt_put16(u + 4, (uint16_t)(8 + len));
	if (len != 0)
		memcpy(u + 8, data, len);
	put_sum(u + 6, ip, IPPROTO_UDP, u, 8 + len);
	return pkt_build_ip(out, ip, IPPROTO_UDP, u, 8 + len);
}

size_t
pkt_build_icmp(uint8_t *out, const struct pkt_ip *ip, uint8_t type, uint8_t code, uint32_t rest,
	const void *data, size_t len)
{
	bool v6 = ip->dst.len == 16;
	uint8_t *c = out + 14 + ip_head_bytes(ip);

	c[0] = type;
	c[1] = code;
	pkt_put16(c + 2, 0);
	pkt_put32(c + 4, rest);
	if (len != 0)
		memcpy(c + 8, data, len);
	if (v6)
		put_sum(c + 2, ip, IPPROTO_ICMPV6, c, 8 + len);
	else
		pkt_put16(c + 2, pkt_sum_fold(pkt_sum(c, 8 + len, 0)));
	return pkt_build_ip(out, ip, v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP, c, 8 + len);
}

size_t
pkt_build_arp(uint8_t *out, const uint8_t eth_dst[6], uint16_t op, const uint8_t sha[6],
	const struct pkt_addr *spa, const uint8_t tha[6], const struct pkt_addr *tpa)
{
	uint8_t a[28] = { 0, 1, 8, 0, 6, 4 };

	pkt_put16(a + 6, op);
	memcpy(a + 8, sha, 6);
	memcpy(a + 14, spa->b, 4);
	memcpy(a + 18, tha, 6);
	memcpy(a + 24, tpa->b, 4);
	return pkt_build_eth(out, eth_dst, sha, PKT_ETH_ARP, a, sizeof(a));
}

struct pkt_addr
pkt_link_local(const uint8_t mac[6])
{
	struct pkt_addr a = { 16,
		{ 0xfe, 0x80, 0, 0, 0, 0, 0, 0, mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3],
			mac[4], mac[5] } };

	return a;
}

struct pkt_addr
pkt_solicited_node(const struct pkt_addr *a)
{
	struct pkt_addr g = pkt_addr("ff02::1:ff00:0");

	memcpy(g.b + 13, a->b + 13, 3);
	return g;
}

static void
group_mac(uint8_t mac[6], const struct pkt_addr *group)
{
	mac[0] = mac[1] = 0x33;
	memcpy(mac + 2, group->b + 12, 4);
}

static bool
unspecified(const struct pkt_addr *a)
{
	static const uint8_t zero[16];

	return memcmp(a->b, zero, a->len) == 0;
}

size_t
pkt_build_ns(uint8_t *out, const uint8_t mac[6], const struct pkt_addr *src,
	const struct pkt_addr *target)
{
	struct pkt_ip ip = { .src = *src, .dst = pkt_solicited_node(target), .ttl = 255 };
	uint8_t body[24] = { 0 };

	memcpy(ip.src_mac, mac, 6);
	group_mac(ip.dst_mac, &ip.dst);
	memcpy(body, target->b, 16);
	body[16] = 1;
	body[17] = 1;
	memcpy(body + 18, mac, 6);
	return pkt_build_icmp(out, &ip, 135, 0, 0, body, unspecified(src) ? 16 : 24);
}

size_t
pkt_build_na(uint8_t *out, const uint8_t mac[6], const uint8_t dst_mac[6],
	const struct pkt_addr *src, const struct pkt_addr *dst, const struct pkt_addr *target)
{
	struct pkt_ip ip = { .src = *src, .dst = *dst, .ttl = 255 };
	uint8_t body[24] = { 0 };

	memcpy(ip.src_mac, mac, 6);
	memcpy(ip.dst_mac, dst_mac, 6);
	memcpy(body, target->b, 16);
	body[16] = 2;
	body[17] = 1;
	memcpy(body + 18, mac, 6);
	return pkt_build_icmp(out, &ip, 136, 0, 0x60000000u, body, 24);
}

size_t
pkt_build_rs(uint8_t *out, const uint8_t mac[6], const struct pkt_addr *src)
{
	struct pkt_ip ip = { .src = *src, .dst = pkt_addr("ff02::2"), .ttl = 255 };
	uint8_t body[8] = { 1, 1 };

	memcpy(ip.src_mac, mac, 6);
	group_mac(ip.dst_mac, &ip.dst);
	memcpy(body + 2, mac, 6);
	return pkt_build_icmp(out, &ip, 133, 0, 0, body, unspecified(src) ? 0 : 8);
}

/* Where the transport header of a frame without IPv6 extension headers is; 0: there is none. */
static size_t
l4_offset(const uint8_t *frame, struct pkt_ip *ip, uint8_t *proto, size_t *sum_at)
{
	bool v6 = pkt_get16(frame + 12) == PKT_ETH_IP6;
	const uint8_t *h = frame + 14;
	size_t off = v6 ? 54 : 14 + (size_t)(h[0] & 15) * 4;

	memset(ip, 0, sizeof(*ip));
	ip->src.len = ip->dst.len = v6 ? 16 : 4;
	memcpy(ip->src.b, h + (v6 ? 8 : 12), ip->src.len);
	memcpy(ip->dst.b, h + (v6 ? 24 : 16), ip->dst.len);
	*proto = v6 ? h[6] : h[9];
	*sum_at = *proto == IPPROTO_TCP ? 16 : *proto == IPPROTO_UDP ? 6 : 2;
	return off;
}

void
pkt_make_partial(uint8_t *frame, size_t len, struct virtio_net_hdr *hdr)
{
	struct pkt_ip ip;
	uint8_t proto;
	size_t sum_at, off = l4_offset(frame, &ip, &proto, &sum_at);
	uint32_t pseudo = pkt_sum_pseudo(&ip.src, &ip.dst, proto, (uint32_t)(len - off));

	memset(hdr, 0, sizeof(*hdr));
	pkt_put16(frame + off + sum_at, (uint16_t)~pkt_sum_fold(pseudo));
	hdr->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	hdr->csum_start = (uint16_t)off;
	hdr->csum_offset = (uint16_t)sum_at;
}

void
pkt_make_tso(uint8_t *frame, size_t len, uint16_t mss, struct virtio_net_hdr *hdr)
{
	bool v6 = pkt_get16(frame + 12) == PKT_ETH_IP6;

	pkt_make_partial(frame, len, hdr);
	hdr->gso_type = v6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4;
	hdr->gso_size = mss;
	hdr->hdr_len = (uint16_t)(hdr->csum_start + (frame[hdr->csum_start + 12] >> 4) * 4);
}

void
pkt_fix_sums(uint8_t *frame, size_t len)
{
	struct pkt_ip ip;
	uint8_t proto;
	size_t sum_at, off = l4_offset(frame, &ip, &proto, &sum_at);

	if (ip.dst.len == 4) {
		pkt_put16(frame + 24, 0);
		pkt_put16(frame + 24, pkt_sum_fold(pkt_sum(frame + 14, off - 14, 0)));
	}
	if (off + sum_at + 2 > len)
		return;
	if (proto == IPPROTO_ICMP) {
		pkt_put16(frame + off + 2, 0);
		pkt_put16(frame + off + 2, pkt_sum_fold(pkt_sum(frame + off, len - off, 0)));
	} else {
		put_sum(frame + off + sum_at, &ip, proto, frame + off, len - off);
	}
}
