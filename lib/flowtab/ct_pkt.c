/* SPDX-License-Identifier: BSD-3-Clause */
#include "ct_priv.h"

#include <errno.h>

#include <rte_ip.h>

/** Extension headers in one packet, and bytes of them; RFC 8504, 5.3 allows limits. */
#define EXT_MAX 8
#define EXT_MAX_BYTES 512

#define EXT_HOPOPTS 0
#define EXT_ROUTING 43
#define EXT_FRAGMENT 44
#define EXT_AH 51
#define EXT_DSTOPTS 60
#define FRAG6_LEN 8

/** What an ICMP error quotes of the transport at least (RFC 792). */
#define QUOTE_L4 8
#define ICMP_LEN 8
#define ICMP6_ND_FIRST 133
#define ICMP6_ND_LAST 137

/** A packet in memory, and how far it has been taken apart. */
struct walk {
	const uint8_t *ip;
	uint32_t head; /**< bytes that are there, from ip on */
	uint32_t end;  /**< bytes of the packet by its IP header */
	uint32_t off;  /**< what comes next ... */
	uint8_t next;  /**< ... and its protocol */
	bool quote;
	bool v4;
};

static inline uint16_t
get_be16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static int
walk_ip4(struct walk *w, struct flowtab_tuple *t)
{
	const struct rte_ipv4_hdr *ip = (const struct rte_ipv4_hdr *)w->ip;
	uint16_t frag;

	if (w->head < sizeof(*ip))
		return -EINVAL;
	w->off = (ip->version_ihl & 15) * 4U;
	w->end = rte_be_to_cpu_16(ip->total_length);
	if (w->off < sizeof(*ip) || w->off > w->head || w->off > w->end)
		return -EINVAL;
	/* Of a quote, too: RFC 5508, REQ-3 (a). */
	if (rte_raw_cksum(w->ip, w->off) != 0xffff)
		return -EINVAL;
	frag = rte_be_to_cpu_16(ip->fragment_offset);
	if ((frag & RTE_IPV4_HDR_OFFSET_MASK) != 0 ||
		(!w->quote && (frag & RTE_IPV4_HDR_MF_FLAG) != 0))
		return -EAGAIN;
	w->next = ip->next_proto_id;
	t->eaddr = flowtab_addr_v4(ip->src_addr);
	t->oaddr = flowtab_addr_v4(ip->dst_addr);
	return 0;
}

/** RFC 8200, 4.5. An atomic fragment (RFC 6946) is whole; of a quoted packet, the first will do. */
static int
walk_fragment(const struct walk *w, const uint8_t *h)
{
	uint16_t frag = get_be16(h + 2);

	if ((frag & 0xfff8) != 0 || (!w->quote && (frag & 1) != 0))
		return -EAGAIN;
	return FRAG6_LEN;
}

/** @return length of the extension header, 0: it is none, or -errno */
static int
walk_extension(const struct walk *w)
{
	const uint8_t *h = w->ip + w->off;
	bool whole = w->off + 8 <= RTE_MIN(w->head, w->end);

	switch (w->next) {
	case EXT_HOPOPTS:
		/* RFC 8200, 4.1: only right behind the IPv6 header. */
		if (w->off != sizeof(struct rte_ipv6_hdr))
			return -EINVAL;
		return whole ? 8 + 8 * h[1] : -EINVAL;
	case EXT_DSTOPTS:
		return whole ? 8 + 8 * h[1] : -EINVAL;
	case EXT_ROUTING:
		/* While segments are left (RFC 8200, 4.4), who is addressed is not who answers. */
		if (whole && h[3] != 0)
			return -EPROTONOSUPPORT;
		return whole ? 8 + 8 * h[1] : -EINVAL;
	case EXT_AH: /* RFC 4302, 2.2 */
		return whole ? 8 + 4 * h[1] : -EINVAL;
	case EXT_FRAGMENT:
		return whole ? walk_fragment(w, h) : -EINVAL;
	default:
		return 0;
	}
}

static int
walk_ip6(struct walk *w, struct flowtab_tuple *t)
{
	const struct rte_ipv6_hdr *ip = (const struct rte_ipv6_hdr *)w->ip;
	int len;

	if (w->head < sizeof(*ip))
		return -EINVAL;
	w->off = sizeof(*ip);
	w->end = w->off + rte_be_to_cpu_16(ip->payload_len);
	w->next = ip->proto;
	t->eaddr = flowtab_addr_v6(ip->src_addr);
	t->oaddr = flowtab_addr_v6(ip->dst_addr);
	/* RFC 4291, 2.5.5.2: never on the wire, and in a tuple they mean IPv4. */
	if (flowtab_addr_is_v4(&t->eaddr) || flowtab_addr_is_v4(&t->oaddr))
		return -EINVAL;
	for (unsigned int n = 0; (len = walk_extension(w)) > 0; n++) {
		uint32_t off = w->off + (uint32_t)len;

		if (n == EXT_MAX || off > RTE_MIN(w->head, w->end) ||
			off > sizeof(*ip) + EXT_MAX_BYTES)
			return -EINVAL;
		w->next = w->ip[w->off];
		w->off = off;
	}
	return len;
}

bool
ct_icmp_has_id(uint8_t proto, uint8_t type, bool *answer)
{
	if (proto == IPPROTO_ICMPV6) {
		*answer = type == CT_ICMP6_ECHO_REPLY;
		return *answer || type == CT_ICMP6_ECHO;
	}
	switch (type) {
	case CT_ICMP_ECHO:
	case 13: /* timestamp */
	case 15: /* information */
	case 17: /* address mask (RFC 950) */
		*answer = false;
		return true;
	case CT_ICMP_ECHO_REPLY:
	case 14:
	case 16:
	case 18:
		*answer = true;
		return true;
	default:
		*answer = false;
		return false;
	}
}

/** Ports, or what stands for them, from the first 8 bytes of the transport. */
static int
walk_ports(const struct walk *w, struct flowtab_tuple *t)
{
	const uint8_t *l4 = w->ip + w->off;
	bool answer;

	if (flowtab_proto_code(w->next) == 0)
		return 0;
	if (ct_is_icmp(w->next)) {
		if ((w->next == IPPROTO_ICMP) != w->v4)
			return -EPROTONOSUPPORT;
		/* Of the link alone (RFC 4861). */
		if (!w->v4 && l4[0] >= ICMP6_ND_FIRST && l4[0] <= ICMP6_ND_LAST)
			return -EPROTONOSUPPORT;
		if (!ct_icmp_has_id(w->next, l4[0], &answer))
			return 0;
		t->answer = answer;
		memcpy(&t->eport, l4 + 4, sizeof(t->eport));
		t->oport = t->eport;
		return 0;
	}
	memcpy(&t->eport, l4, sizeof(t->eport));
	memcpy(&t->oport, l4 + 2, sizeof(t->oport));
	/* Nobody can be answered there. */
	return t->eport != 0 && t->oport != 0 ? 0 : -EINVAL;
}

int
ct_ip_parse(const uint8_t *ip, uint32_t len, bool quote, struct flowtab_tuple *tuple,
	uint16_t *l4_off, uint32_t *l4_len)
{
	struct walk w = { .ip = ip, .head = len, .quote = quote };
	uint32_t need = QUOTE_L4;
	int rc;

	if (len == 0)
		return -EINVAL;
	tuple->eport = 0;
	tuple->oport = 0;
	tuple->answer = 0;
	memset(tuple->reserved, 0, sizeof(tuple->reserved));
	w.v4 = ip[0] >> 4 == 4;
	if (w.v4)
		rc = walk_ip4(&w, tuple);
	else
		rc = ip[0] >> 4 == 6 ? walk_ip6(&w, tuple) : -EPROTONOSUPPORT;
	if (rc != 0)
		return rc;
	if (flowtab_proto_code(w.next) == 0)
		need = RTE_MIN(need, w.end - w.off);
	if (w.off + need > RTE_MIN(w.head, w.end))
		return -EINVAL;
	rc = walk_ports(&w, tuple);
	if (rc != 0)
		return rc;
	tuple->proto = w.next;
	*l4_off = (uint16_t)w.off;
	*l4_len = w.end - w.off;
	return 0;
}

/** Length of TCP's or DCCP's header, by its data offset in words. 0: wrong. */
static uint32_t
header_of_words(uint8_t words, uint32_t min, uint32_t left)
{
	uint32_t len = words * 4U;

	return len >= min && len <= left ? len : 0;
}

/**
 * The transport header must be there, and agree with the packet.
 * @param left bytes of the transport that are there
 * @param l4_len in and out: bytes of the transport; UDP's own length may be less (RFC 768)
 * @return length of the header, or -EINVAL
 */
static int
transport_header(uint8_t proto, const uint8_t *l4, uint32_t left, uint32_t *l4_len)
{
	uint32_t len, hdr = 0;

	switch (proto) {
	case IPPROTO_TCP:
		hdr = left >= 20 ? header_of_words(l4[12] >> 4, 20, left) : 0;
		break;
	case IPPROTO_UDP:
		len = left >= 8 ? get_be16(l4 + 4) : 0;
		if (len < 8 || len > *l4_len)
			return -EINVAL;
		*l4_len = len;
		hdr = 8;
		break;
	case IPPROTO_UDPLITE: /* RFC 3828, 3.1: how much the checksum covers; 0: all */
		len = left >= 8 ? get_be16(l4 + 4) : 1;
		hdr = len == 0 || (len >= 8 && len <= *l4_len) ? 8 : 0;
		break;
	case IPPROTO_SCTP:
		hdr = left >= 12 ? 12 : 0;
		break;
	case IPPROTO_DCCP: /* RFC 4340, 5.1 */
		hdr = left >= 12 ? header_of_words(l4[4], 12, left) : 0;
		break;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		hdr = left >= ICMP_LEN ? ICMP_LEN : 0;
		break;
	default:
		return 0;
	}
	return hdr != 0 ? (int)hdr : -EINVAL;
}

static int
pkt_parse(struct ct_pkt *p, struct flowtab_tuple *tuple)
{
	uint32_t head = rte_pktmbuf_data_len(p->m), l4_len;
	uint16_t l4_off;
	int rc;

	if (head <= p->l3_off)
		return -EINVAL;
	head -= p->l3_off;
	rc = ct_ip_parse(ct_at(p, p->l3_off), head, false, tuple, &l4_off, &l4_len);
	if (rc != 0)
		return rc;
	if (l4_off + l4_len > rte_pktmbuf_pkt_len(p->m) - p->l3_off)
		return -EINVAL;
	p->l4_off = (uint16_t)(p->l3_off + l4_off);
	rc = transport_header(
		tuple->proto, ct_at(p, p->l4_off), RTE_MIN(head - l4_off, l4_len), &l4_len);
	if (rc < 0)
		return rc;
	p->data_off = (uint16_t)(p->l4_off + rc);
	p->l4_len = l4_len;
	p->v4 = flowtab_tuple_is_v4(tuple);
	return 0;
}

int
ct_pkt_parse(struct ct_pkt *p, struct flowtab_tuple *tuple)
{
	int rc = pkt_parse(p, tuple);

	p->tuple = rc == 0 ? tuple : NULL;
	return rc;
}

/** Sum of the pseudo-header (RFC 9293, 3.1; RFC 8200, 8.1). */
static uint16_t
pseudo_sum(const struct flowtab_tuple *t, bool v4, uint32_t l4_len)
{
	uint32_t tail[2] = { rte_cpu_to_be_32(l4_len), rte_cpu_to_be_32(t->proto) }, sum;

	sum = __rte_raw_cksum(tail, sizeof(tail), 0);
	if (v4) {
		sum = __rte_raw_cksum(&t->eaddr.v4, sizeof(t->eaddr.v4), sum);
		sum = __rte_raw_cksum(&t->oaddr.v4, sizeof(t->oaddr.v4), sum);
	} else {
		sum = __rte_raw_cksum(t->eaddr.b, sizeof(t->eaddr.b), sum);
		sum = __rte_raw_cksum(t->oaddr.b, sizeof(t->oaddr.b), sum);
	}
	return __rte_raw_cksum_reduce(sum);
}

/** The transport checksum. SCTP's CRC, and what belongs to no protocol we know, is for the ends. */
static bool
checksum_ok(const struct ct_pkt *p, const uint8_t *l4, uint32_t l4_len)
{
	uint32_t covers = l4_len, sum;
	uint8_t proto = p->tuple->proto;

	switch (proto) {
	case IPPROTO_UDP:
		/* RFC 768: 0 means that none was made; RFC 8200, 8.1: IPv6 must have one. */
		if (get_be16(l4 + 6) == 0)
			return p->v4;
		break;
	case IPPROTO_UDPLITE: /* RFC 3828, 3.1 */
		if (get_be16(l4 + 6) == 0)
			return false;
		if (get_be16(l4 + 4) != 0)
			covers = get_be16(l4 + 4);
		break;
	case IPPROTO_DCCP: /* RFC 4340, 9.2 */
		if ((l4[5] & 15) != 0)
			covers = RTE_MIN(covers, 4U * l4[4] + 4U * ((l4[5] & 15) - 1));
		break;
	case IPPROTO_TCP:
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		break;
	default:
		return true;
	}
	sum = flowtab_cksum(p->m, p->l4_off, covers);
	if (proto != IPPROTO_ICMP)
		sum += pseudo_sum(p->tuple, p->v4, l4_len);
	return __rte_raw_cksum_reduce(sum) == 0xffff;
}

bool
ct_pkt_check(struct ct *ct, struct ct_pkt *p)
{
	const uint8_t *l4 = ct_at(p, p->l4_off);
	uint32_t head = rte_pktmbuf_data_len(p->m), l4_len = p->l4_len;

	if (ct_is_icmp(p->tuple->proto) && (p->tuple->proto == IPPROTO_ICMP) != p->v4)
		return ct_invalid(ct, p, CT_REASON_UNTRACKABLE);
	if (head < p->l4_off ||
		transport_header(p->tuple->proto, l4, RTE_MIN(head - p->l4_off, l4_len), &l4_len) <
			0)
		return ct_invalid(ct, p, CT_REASON_SHORT);
	if ((p->flags & (CT_PKT_CSUM_OK | CT_PKT_CSUM_PARTIAL)) == 0 && !checksum_ok(p, l4, l4_len))
		return ct_invalid(ct, p, CT_REASON_CHECKSUM);
	return true;
}

bool
ct_pkt_is_icmp_error(const struct ct_pkt *p)
{
	uint8_t proto = p->tuple->proto, type;

	if (!ct_is_icmp(proto))
		return false;
	type = *(const uint8_t *)ct_at(p, p->l4_off);
	if (proto == IPPROTO_ICMPV6)
		return type <= CT_ICMP6_ERROR_MAX;
	return type == CT_ICMP_UNREACH || type == CT_ICMP_QUENCH || type == CT_ICMP_REDIRECT ||
		type == CT_ICMP_TIME || type == CT_ICMP_PARAMPROB;
}

bool
ct_pkt_is_icmp_query(const struct ct_pkt *p, bool *reply)
{
	uint8_t proto = p->tuple->proto;

	*reply = false;
	return ct_is_icmp(proto) &&
		ct_icmp_has_id(proto, *(const uint8_t *)ct_at(p, p->l4_off), reply);
}
