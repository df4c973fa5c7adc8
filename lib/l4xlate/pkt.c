/* SPDX-License-Identifier: BSD-3-Clause */
#include "l4x_priv.h"

#include <rte_arp.h>
#include <rte_icmp.h>

#define IP4_OPT_LSRR 131
#define IP4_OPT_SSRR 137

#define ICMP_UNREACH 3
#define ICMP_UNREACH_PROTO 2
#define ICMP_UNREACH_SRCFAIL 5
#define ICMP_PARAMPROB 12
#define ICMP6_PARAMPROB 4
#define ICMP6_PARAMPROB_NEXTHDR 1
#define ICMP_ECHO_REPLY 0
#define ICMP_ECHO_REQUEST 8
#define ICMP_TIMESTAMP 13
#define ICMP_MASK_REPLY 18
#define ICMP6_ECHO_REQUEST 128
#define ICMP6_ECHO_REPLY 129
#define ICMP6_ND_FIRST 133
#define ICMP6_ND_LAST 137

#define PORT_DHCP_SERVER 67
#define PORT_DHCP6_SERVER 547

/** ff02::1:2, All_DHCP_Relay_Agents_and_Servers (RFC 8415, 7.1). */
static const struct flowtab_addr dhcp6_servers = { .b = { 0xff, 2, [13] = 1, [15] = 2 } };

/** Bytes of the first segment from off on: all that may be looked at. */
static uint32_t
head_left(const struct l4x_pkt *p, uint32_t off)
{
	uint32_t head = rte_pktmbuf_data_len(p->m);

	return head > off ? head - off : 0;
}

static int
parse_eth(struct l4x_pkt *p, uint16_t *ether_type)
{
	const struct rte_ether_hdr *eth = rte_pktmbuf_mtod(p->m, const struct rte_ether_hdr *);
	const struct l4x_port_conf *conf = &p->port->conf;

	if (head_left(p, 0) < L4X_ETH_LEN)
		return L4X_DROP_ETH_SHORT;
	if (!rte_is_valid_assigned_ether_addr(&eth->src_addr) ||
		rte_is_same_ether_addr(&eth->src_addr, &conf->gateway_mac))
		return L4X_DROP_ETH_SOURCE;
	p->l2_multicast = rte_is_multicast_ether_addr(&eth->dst_addr);
	if (!p->l2_multicast && !rte_is_same_ether_addr(&eth->dst_addr, &conf->gateway_mac))
		return L4X_DROP_ETH_NOT_US;
	p->l3_off = L4X_ETH_LEN;
	*ether_type = rte_be_to_cpu_16(eth->ether_type);
	return L4X_PKT_OK;
}

/** Walk the IPv4 options (RFC 791, 3.1): well-formed, and no source route. */
static int
parse_ip4_options(struct l4x *l, struct l4x_pkt *p, uint32_t hdr_len)
{
	const uint8_t *h = rte_pktmbuf_mtod_offset(p->m, const uint8_t *, p->l3_off);

	for (uint32_t i = L4X_IP4_LEN; i < hdr_len && h[i] != L4X_IP4_OPT_END;) {
		if (h[i] == L4X_IP4_OPT_NOP) {
			i++;
			continue;
		}
		if (i + 1 >= hdr_len || h[i + 1] < 2 || i + h[i + 1] > hdr_len) {
			l4x_icmp_error_pkt(l, p, ICMP_PARAMPROB, 0, i);
			return L4X_DROP_IP_OPTION;
		}
		if (h[i] == IP4_OPT_LSRR || h[i] == IP4_OPT_SSRR) {
			l4x_icmp_error_pkt(l, p, ICMP_UNREACH, ICMP_UNREACH_SRCFAIL, 0);
			return L4X_DROP_IP_OPTION;
		}
		i += h[i + 1];
	}
	return L4X_PKT_OK;
}

static int
parse_ip4_fragment(struct l4x_pkt *p, const struct rte_ipv4_hdr *ip)
{
	uint16_t off = rte_be_to_cpu_16(ip->fragment_offset);

	p->kind = L4X_KIND_FRAG;
	p->frag_off = (uint16_t)((off & RTE_IPV4_HDR_OFFSET_MASK) * RTE_IPV4_HDR_OFFSET_UNITS);
	p->frag_more = (off & RTE_IPV4_HDR_MF_FLAG) != 0;
	p->frag_id = ip->packet_id;
	return L4X_PKT_OK;
}

static void
tuple_init(struct l4x_pkt *p, const struct flowtab_addr *src, const struct flowtab_addr *dst)
{
	p->tuple = (struct flowtab_tuple){ .eaddr = *src, .oaddr = *dst };
	p->tuple.pif = p->port->conf.pif;
	p->tuple.zone = p->port->conf.zone;
}

static inline bool
ip4_sum_ok(const struct rte_ipv4_hdr *ip, uint32_t hdr_len)
{
	unaligned_uint32_t w[L4X_IP4_LEN / 4];
	uint64_t sum;

	if (unlikely(hdr_len != L4X_IP4_LEN))
		return rte_raw_cksum(ip, hdr_len) == 0xffff;
	memcpy(w, ip, sizeof(w));
	sum = (uint64_t)w[0] + w[1] + w[2] + w[3] + w[4];
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum == 0xffff;
}

static int
parse_ip4(struct l4x *l, struct l4x_pkt *p)
{
	const struct rte_ipv4_hdr *ip;
	struct flowtab_addr src, dst;
	uint32_t hdr_len;
	int why;

	if (head_left(p, p->l3_off) < L4X_IP4_LEN)
		return L4X_DROP_IP_SHORT;
	ip = rte_pktmbuf_mtod_offset(p->m, const struct rte_ipv4_hdr *, p->l3_off);
	if (ip->version_ihl >> 4 != 4)
		return L4X_DROP_IP_VERSION;
	hdr_len = (ip->version_ihl & 15) * 4;
	p->ip_len = rte_be_to_cpu_16(ip->total_length);
	if (hdr_len < L4X_IP4_LEN || hdr_len > head_left(p, p->l3_off) || p->ip_len < hdr_len ||
		p->ip_len > rte_pktmbuf_pkt_len(p->m) - p->l3_off)
		return L4X_DROP_IP_SHORT;
	if (!ip4_sum_ok(ip, hdr_len))
		return L4X_DROP_IP_CHECKSUM;
	p->v4 = true;
	p->tos = ip->type_of_service;
	p->ttl = ip->time_to_live;
	p->proto = ip->next_proto_id;
	p->l4_off = (uint16_t)(p->l3_off + hdr_len);
	p->l4_len = p->ip_len - hdr_len;
	src = flowtab_addr_v4(ip->src_addr);
	dst = flowtab_addr_v4(ip->dst_addr);
	tuple_init(p, &src, &dst);
	if (p->ttl == 0)
		return L4X_DROP_IP_TTL;
	if (hdr_len > L4X_IP4_LEN) {
		why = parse_ip4_options(l, p, hdr_len);
		if (why != L4X_PKT_OK)
			return why;
	}
	if ((ip->fragment_offset &
		    rte_cpu_to_be_16(RTE_IPV4_HDR_MF_FLAG | RTE_IPV4_HDR_OFFSET_MASK)) != 0)
		return parse_ip4_fragment(p, ip);
	return l4x_pkt_parse_l4(p);
}

static int
parse_tcp(struct l4x_pkt *p)
{
	const struct rte_tcp_hdr *tcp = l4x_pkt_l4(p);
	uint32_t left = RTE_MIN(head_left(p, p->l4_off), p->l4_len), len;

	if (left < sizeof(*tcp))
		return L4X_DROP_L4_SHORT;
	len = (tcp->data_off >> 4) * 4;
	if (len < sizeof(*tcp) || len > left)
		return L4X_DROP_L4_SHORT;
	if (tcp->src_port == 0 || tcp->dst_port == 0)
		return L4X_DROP_L4_PORT;
	p->kind = L4X_KIND_TCP;
	p->data_off = (uint16_t)(p->l4_off + len);
	p->data_len = p->l4_len - len;
	p->tuple.eport = tcp->src_port;
	p->tuple.oport = tcp->dst_port;
	return L4X_PKT_OK;
}

/** Datagrams that are weir's own business, and no flow's. */
static uint8_t
udp_kind(const struct l4x_pkt *p)
{
	const struct flowtab_addr *dst = &p->tuple.oaddr;
	const struct l4x_port *port = p->port;

	if (p->v4 && p->tuple.oport == RTE_BE16(PORT_DHCP_SERVER) &&
		(l4x_addr_is_broadcast(&port->conf, dst) ||
			flowtab_addr_eq(dst, &port->conf.gateway)))
		return L4X_KIND_DHCP;
	if (!p->v4 && p->tuple.oport == RTE_BE16(PORT_DHCP6_SERVER) &&
		(flowtab_addr_eq(dst, &dhcp6_servers) ||
			flowtab_addr_eq(dst, &port->conf.gateway6) ||
			flowtab_addr_eq(dst, &port->linklocal6)))
		return L4X_KIND_DHCP6;
	return L4X_KIND_UDP;
}

static int
parse_udp(struct l4x_pkt *p)
{
	const struct rte_udp_hdr *udp = l4x_pkt_l4(p);
	uint32_t len;

	if (RTE_MIN(head_left(p, p->l4_off), p->l4_len) < sizeof(*udp))
		return L4X_DROP_L4_SHORT;
	len = rte_be_to_cpu_16(udp->dgram_len);
	if (len < sizeof(*udp) || len > p->l4_len)
		return L4X_DROP_L4_SHORT;
	/* RFC 768 lets a source port of 0 mean that no answer is wanted; no socket can be it. */
	if (udp->src_port == 0 || udp->dst_port == 0)
		return L4X_DROP_L4_PORT;
	p->l4_len = len;
	p->data_off = (uint16_t)(p->l4_off + sizeof(*udp));
	p->data_len = len - sizeof(*udp);
	p->tuple.eport = udp->src_port;
	p->tuple.oport = udp->dst_port;
	p->kind = udp_kind(p);
	return L4X_PKT_OK;
}

/** Messages that are queries, or answers to them, hence have an id. */
static bool
icmp_has_id(bool v4, uint8_t type, uint8_t *answer)
{
	if (!v4) {
		*answer = type == ICMP6_ECHO_REPLY;
		return type == ICMP6_ECHO_REQUEST || type == ICMP6_ECHO_REPLY;
	}
	/* Echo; RFC 792: timestamp, information; RFC 950: address mask. Answers are the even ones.
	 */
	*answer = type == ICMP_ECHO_REPLY || (type > ICMP_TIMESTAMP && type % 2 == 0);
	return type == ICMP_ECHO_REQUEST || type == ICMP_ECHO_REPLY ||
		(type >= ICMP_TIMESTAMP && type <= ICMP_MASK_REPLY);
}

static int
parse_icmp(struct l4x_pkt *p)
{
	const struct rte_icmp_hdr *icmp = l4x_pkt_l4(p);
	uint8_t answer;

	if (RTE_MIN(head_left(p, p->l4_off), p->l4_len) < sizeof(*icmp))
		return L4X_DROP_L4_SHORT;
	p->data_off = (uint16_t)(p->l4_off + sizeof(*icmp));
	p->data_len = p->l4_len - sizeof(*icmp);
	p->kind = L4X_KIND_ICMP;
	if (!p->v4 && icmp->icmp_type >= ICMP6_ND_FIRST && icmp->icmp_type <= ICMP6_ND_LAST)
		p->kind = L4X_KIND_ND;
	p->icmp_query = icmp_has_id(p->v4, icmp->icmp_type, &answer);
	if (p->icmp_query) {
		p->tuple.answer = answer;
		p->tuple.eport = icmp->icmp_ident;
		p->tuple.oport = icmp->icmp_ident;
	}
	return L4X_PKT_OK;
}

/** The tracker knows ports of some more. What it cannot read is left for who answers for it. */
static int
parse_other(struct l4x_pkt *p)
{
	struct ct_pkt c = { .m = p->m, .l3_off = p->l3_off };
	struct flowtab_tuple t = p->tuple;

	p->kind = L4X_KIND_OTHER;
	p->data_off = p->l4_off;
	p->data_len = p->l4_len;
	if (ct_pkt_parse(&c, &t) < 0)
		return L4X_PKT_OK;
	p->tuple = t;
	p->l4_off = c.l4_off;
	p->l4_len = c.l4_len;
	p->data_off = c.data_off;
	p->data_len = c.l4_len - (c.data_off - c.l4_off);
	return L4X_PKT_OK;
}

void
l4x_pkt_no_proto(struct l4x *l, struct l4x_pkt *p)
{
	if (p->v4)
		l4x_icmp_error_pkt(l, p, ICMP_UNREACH, ICMP_UNREACH_PROTO, 0);
	else
		l4x_icmp_error_pkt(l, p, ICMP6_PARAMPROB, ICMP6_PARAMPROB_NEXTHDR, p->next_at);
	l4x_drop(l, p->m, L4X_DROP_IP_PROTO);
}

int
l4x_pkt_parse_l4(struct l4x_pkt *p)
{
	p->tuple.proto = p->proto;
	if (p->proto == IPPROTO_TCP)
		return parse_tcp(p);
	if (p->proto == IPPROTO_UDP)
		return parse_udp(p);
	if (p->proto == (p->v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6))
		return parse_icmp(p);
	return parse_other(p);
}

/** A source of the link alone: to others it means nothing (RFC 3927, 7; RFC 4291, 2.5.6). */
static bool
leaves_its_link(const struct l4x_pkt *p)
{
	return flowtab_addr_is_linklocal(&p->tuple.eaddr) &&
		!l4x_addr_is_gateway(p->port, &p->tuple.oaddr) &&
		!l4x_addr_on_link(&p->port->conf, &p->tuple.oaddr);
}

/** Sources that are nobody's, or somebody else's (RFC 1122, 3.2.1.3; RFC 4291, 2.5). */
static bool
source_ok(const struct l4x_pkt *p)
{
	const struct flowtab_addr *src = &p->tuple.eaddr;
	const struct l4x_port_conf *conf = &p->port->conf;

	if (likely(flowtab_addr_eq(src, p->v4 ? &conf->address : &conf->address6)))
		return true;
	if ((p->kind == L4X_KIND_DHCP || p->kind == L4X_KIND_ND) && flowtab_addr_is_any(src))
		return true;
	if (p->kind >= L4X_KIND_FRAG && leaves_its_link(p))
		return false;
	return l4x_addr_is_free(p->port, src);
}

/** Whom to send frames to, and from which address the guest really speaks. */
static void
learn(const struct l4x_pkt *p)
{
	const struct rte_ether_hdr *eth = rte_pktmbuf_mtod(p->m, const struct rte_ether_hdr *);
	struct l4x_port *port = p->port;

	if (unlikely(!rte_is_same_ether_addr(&port->guest.mac, &eth->src_addr)))
		port->guest.mac = eth->src_addr;
	if (p->kind >= L4X_KIND_FRAG)
		l4x_guest_uses(port, &p->tuple.eaddr);
}

int
l4x_pkt_parse(struct l4x *l, struct l4x_pkt *p)
{
	uint16_t ether_type = 0;
	int why = parse_eth(p, &ether_type);

	if (why == L4X_PKT_OK) {
		if (ether_type == RTE_ETHER_TYPE_IPV4 && p->port->conf.ipv4)
			why = parse_ip4(l, p);
		else if (ether_type == RTE_ETHER_TYPE_IPV6 && p->port->conf.ipv6)
			why = l4x_pkt_parse_ip6(l, p);
		else if (ether_type == RTE_ETHER_TYPE_ARP)
			p->kind = L4X_KIND_ARP;
		else
			why = L4X_DROP_ETH_TYPE;
	}
	if (why == L4X_PKT_OK && p->kind != L4X_KIND_ARP && !source_ok(p))
		why = L4X_DROP_IP_SOURCE;
	if (unlikely(why != L4X_PKT_OK)) {
		l4x_drop(l, p->m, (enum l4x_counter)why);
		return -1;
	}
	learn(p);
	return 0;
}

int
l4x_pkt_verify(const struct l4x_pkt *p)
{
	uint64_t flag = p->m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK;
	uint32_t phdr;

	/* Of other protocols the tracker knows. */
	if (flag == RTE_MBUF_F_RX_L4_CKSUM_NONE || flag == RTE_MBUF_F_RX_L4_CKSUM_GOOD ||
		p->kind == L4X_KIND_OTHER)
		return 0;
	if (flag == RTE_MBUF_F_RX_L4_CKSUM_BAD)
		return -1;
	if (p->proto == IPPROTO_UDP) {
		const struct rte_udp_hdr *udp = l4x_pkt_l4(p);

		/* RFC 768: 0 means none was made; RFC 8200, 8.1: IPv6 must have one. */
		if (udp->dgram_cksum == 0)
			return p->v4 ? 0 : -1;
	}
	phdr = p->v4 && p->proto == IPPROTO_ICMP ? 0 : l4x_phdr_sum(&p->tuple, p->l4_len);
	if (l4x_cksum(p->m, p->l4_off, p->l4_len, phdr) != 0)
		return -1;
	/* Once is enough. */
	p->m->ol_flags |= RTE_MBUF_F_RX_L4_CKSUM_GOOD;
	return 0;
}

void
l4x_mbuf_cut(struct rte_mbuf *m, uint32_t len)
{
	struct rte_mbuf *s = m;
	uint32_t left = len;
	uint16_t n = 1;

	if (len >= rte_pktmbuf_pkt_len(m))
		return;
	for (; left > rte_pktmbuf_data_len(s) && s->next != NULL; s = s->next, n++)
		left -= rte_pktmbuf_data_len(s);
	s->data_len = (uint16_t)left;
	rte_pktmbuf_free(s->next);
	s->next = NULL;
	m->nb_segs = n;
	m->pkt_len = len;
}

struct rte_mbuf *
l4x_pkt_payload(struct l4x_pkt *p)
{
	l4x_mbuf_cut(p->m, p->data_off + p->data_len);
	rte_pktmbuf_adj(p->m, p->data_off);
	return p->m;
}
