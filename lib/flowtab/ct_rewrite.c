/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Addresses and ports in packets. Checksums are mended by the difference of what was changed: what
 * was wrong before stays wrong, and no payload is read. Sums are made of 16-bit words as they lie
 * in memory, for a one's complement sum does not depend on their byte order (RFC 1071, 2).
 */
#include "ct_priv.h"

#include <rte_hash_crc.h>

#define IP4_CKSUM 10
#define IP4_SRC 12
#define IP4_DST 16
#define IP6_SRC 8
#define IP6_DST 24
#define SCTP_CRC 8
#define ICMP_ID 4

/** The headers of a packet in memory. */
struct headers {
	uint8_t *ip, *l4;
	uint32_t there;  /**< bytes at l4; 8 where there are ports or an id (ct_ip_parse()) */
	uint32_t l4_len; /**< bytes that the transport has in all */
	uint8_t proto;
	bool v4;
	bool partial; /**< CT_PKT_CSUM_PARTIAL */
};

/** What the sum gains when old bytes become new ones; not folded. */
static inline uint32_t
difference(const void *old, const void *new, uint32_t len)
{
	uint32_t sum = 0;
	uint16_t a, b;

	for (uint32_t i = 0; i < len; i += sizeof(a)) {
		memcpy(&a, (const uint8_t *)old + i, sizeof(a));
		memcpy(&b, (const uint8_t *)new + i, sizeof(b));
		sum += (uint16_t)~a + (uint32_t)b;
	}
	return sum;
}

static inline uint16_t
fold(uint32_t sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)(sum + (sum >> 16));
}

/** RFC 1624, equation 3: HC' = ~(~HC + ~m + m'). */
static inline uint16_t
cksum_after(uint16_t cksum, uint32_t gain)
{
	return (uint16_t)~fold((uint16_t)~cksum + gain);
}

uint16_t
ct_cksum_delta(uint16_t cksum, const void *old, const void *new, uint32_t len)
{
	return cksum_after(cksum, difference(old, new, len));
}

/** Write. @return what the sum of the packet's bytes has gained */
static inline uint32_t
put(uint8_t *at, const void *bytes, uint32_t len)
{
	uint32_t gain = difference(at, bytes, len);

	memcpy(at, bytes, len);
	return gain;
}

static uint32_t
put_addrs(const struct headers *h, const struct ct_rewrite *to)
{
	if (h->v4)
		return put(h->ip + IP4_SRC, &to->src.v4, sizeof(to->src.v4)) +
			put(h->ip + IP4_DST, &to->dst.v4, sizeof(to->dst.v4));
	return put(h->ip + IP6_SRC, to->src.b, sizeof(to->src.b)) +
		put(h->ip + IP6_DST, to->dst.b, sizeof(to->dst.b));
}

static uint32_t
put_ports(const struct headers *h, const struct ct_rewrite *to)
{
	rte_be16_t ports[2] = { to->sport, to->dport };

	return put(h->l4, ports, sizeof(ports));
}

/** Errors use the same bytes otherwise. */
static uint32_t
put_id(const struct headers *h, const struct ct_rewrite *to)
{
	bool answer;

	if (!ct_icmp_has_id(h->proto, h->l4[0], &answer))
		return 0;
	return put(h->l4 + ICMP_ID, &to->sport, sizeof(to->sport));
}

/**
 * @param pseudo    what the sum of the pseudo-header has gained
 * @param body      what that of the transport's own bytes has
 * @param none_is_0 the protocol says so where there is no checksum (RFC 768, RFC 3828)
 * @return what the sum of the packet's bytes gains by it
 */
static uint32_t
mend(const struct headers *h, uint32_t off, uint32_t pseudo, uint32_t body, bool none_is_0)
{
	uint16_t cksum;

	if (h->there < off + sizeof(cksum)) /* a quote may end before, or in its middle */
		return 0;
	memcpy(&cksum, h->l4 + off, sizeof(cksum));
	if (h->partial) {
		/* the sum of the pseudo-header as it is: whoever sends adds all else */
		cksum = (uint16_t)~cksum_after((uint16_t)~cksum, pseudo);
	} else if (none_is_0) {
		if (cksum == 0)
			return 0;
		cksum = cksum_after(cksum, pseudo + body);
		if (cksum == 0)
			cksum = 0xffff;
	} else {
		cksum = cksum_after(cksum, pseudo + body);
	}
	return put(h->l4 + off, &cksum, sizeof(cksum));
}

/**
 * SCTP's CRC32c (RFC 9260, appendix A) covers no addresses. It is linear, so it changes by the CRC
 * of the bits that differ, behind which come as many zeros as there are bytes behind the ports.
 */
static uint32_t
put_sctp(const struct headers *h, const struct ct_rewrite *to)
{
	uint32_t old, new, crc, left, gain;

	memcpy(&old, h->l4, sizeof(old));
	gain = put_ports(h, to);
	memcpy(&new, h->l4, sizeof(new));
	if (new == old || h->partial || h->there < SCTP_CRC + sizeof(crc))
		return gain;
	crc = rte_hash_crc_4byte(rte_le_to_cpu_32(old ^ new), 0);
	for (left = h->l4_len - sizeof(old); left >= sizeof(uint64_t); left -= sizeof(uint64_t))
		crc = rte_hash_crc_8byte(0, crc);
	for (; left > 0; left--)
		crc = rte_hash_crc_1byte(0, crc);
	memcpy(&old, h->l4 + SCTP_CRC, sizeof(old));
	new = old ^ rte_cpu_to_le_32(crc);
	return gain + put(h->l4 + SCTP_CRC, &new, sizeof(new));
}

/** @return what the sum of all bytes has gained */
static uint32_t
rewrite(const struct headers *h, const struct ct_rewrite *to)
{
	uint32_t addrs = put_addrs(h, to), gain = addrs, l4 = 0;
	uint16_t cksum;

	if (h->v4) {
		memcpy(&cksum, h->ip + IP4_CKSUM, sizeof(cksum));
		cksum = cksum_after(cksum, addrs);
		gain += put(h->ip + IP4_CKSUM, &cksum, sizeof(cksum));
	}
	switch (h->proto) {
	case IPPROTO_TCP:
		l4 = put_ports(h, to);
		return gain + l4 + mend(h, 16, addrs, l4, false);
	case IPPROTO_UDP:
	case IPPROTO_UDPLITE: /* the header is always covered: RFC 3828, 3.1 */
		l4 = put_ports(h, to);
		return gain + l4 + mend(h, 6, addrs, l4, true);
	case IPPROTO_DCCP: /* likewise: RFC 4340, 9.1 */
		l4 = put_ports(h, to);
		return gain + l4 + mend(h, 6, addrs, l4, false);
	case IPPROTO_ICMP: /* no pseudo-header */
		l4 = put_id(h, to);
		return gain + l4 + mend(h, 2, 0, l4, false);
	case IPPROTO_ICMPV6:
		l4 = put_id(h, to);
		return gain + l4 + mend(h, 2, addrs, l4, false);
	case IPPROTO_SCTP:
		return gain + put_sctp(h, to);
	default:
		return gain;
	}
}

void
ct_rewrite(struct ct_pkt *p, const struct ct_rewrite *to)
{
	const struct headers h = {
		.ip = ct_at(p, p->l3_off),
		.l4 = ct_at(p, p->l4_off),
		.there = RTE_MIN(p->l4_len, rte_pktmbuf_data_len(p->m) - (uint32_t)p->l4_off),
		.l4_len = p->l4_len,
		.proto = p->tuple->proto,
		.v4 = p->v4,
		.partial = (p->flags & CT_PKT_CSUM_PARTIAL) != 0,
	};

	rewrite(&h, to);
}

uint16_t
ct_rewrite_quote(uint8_t *ip, uint32_t len, const struct ct_rewrite *to)
{
	struct headers h = { .ip = ip };
	struct flowtab_tuple t;
	uint16_t l4_off;

	if (ct_ip_parse(ip, len, true, &t, &l4_off, &h.l4_len) != 0)
		return 0;
	h.l4 = ip + l4_off;
	h.there = RTE_MIN(h.l4_len, len - l4_off);
	h.proto = t.proto;
	h.v4 = flowtab_tuple_is_v4(&t);
	return fold(rewrite(&h, to));
}

void
ct_rewrite_of(struct ct *ct, uint32_t idx, unsigned int side, struct ct_rewrite *to)
{
	struct flowtab_tuple t;
	int err = flowtab_tuple(ct->ft, idx, (enum flowtab_side)(side ^ 1), &t);

	assert(err == 0);
	(void)err;
	*to = (struct ct_rewrite){
		.src = t.oaddr,
		.dst = t.eaddr,
		.sport = t.oport,
		.dport = t.eport,
	};
}

void
ct_nat_packet(struct ct *ct, struct ct_pkt *p)
{
	struct ct_rewrite to;

	if ((ct->flows[p->flow].flags & (CT_F_SNAT | CT_F_DNAT)) == 0)
		return;
	ct_rewrite_of(ct, p->flow, p->side, &to);
	ct_rewrite(p, &to);
}
