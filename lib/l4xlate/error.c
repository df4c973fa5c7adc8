/* SPDX-License-Identifier: BSD-3-Clause */
#include "l4x_priv.h"

#include <errno.h>
#include <rte_icmp.h>

#define ICMP_UNREACH 3
#define ICMP_TIME 11
#define ICMP_PARAMPROB 12
#define ICMP6_UNREACH 1
#define ICMP6_TOO_BIG 2
#define ICMP6_PARAMPROB 4
#define ICMP6_PARAMPROB_OPTION 2

/** RFC 1812, 4.3.2.3: as much of the original as fits in 576 bytes; RFC 4443, 2.4 (c): 1280. */
#define QUOTE4_MAX (576 - 20 - 8)
#define QUOTE6_MAX (1280 - 40 - 8)

/** What follows type, code and checksum in the first eight bytes. */
static uint32_t
error_info(bool v4, uint8_t type, uint32_t info)
{
	return rte_cpu_to_be_32(v4 && type == ICMP_PARAMPROB ? info << 24 : info);
}

/** The tuple of an error: from -> the source of the quoted packet. */
static void
error_tuple(const struct l4x_port *port, bool v4, const struct flowtab_addr *from,
	const void *quote, struct flowtab_tuple *t)
{
	const struct rte_ipv4_hdr *ip4 = quote;
	const struct rte_ipv6_hdr *ip6 = quote;

	*t = (struct flowtab_tuple){ .proto = v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6 };
	t->eaddr = v4 ? flowtab_addr_v4(ip4->src_addr) : flowtab_addr_v6(ip6->src_addr);
	if (from != NULL)
		t->oaddr = *from;
	else
		t->oaddr = v4 ? port->conf.gateway : port->conf.gateway6;
}

bool
l4x_icmp_error(struct l4x *l, struct l4x_port *port, uint8_t queue, bool v4, uint8_t type,
	uint8_t code, uint32_t info, const struct flowtab_addr *from, const void *quote,
	uint32_t quote_len)
{
	struct flowtab_tuple t;
	struct rte_icmp_hdr *icmp;
	struct rte_mbuf *m;
	uint32_t rest = error_info(v4, type, info), len;

	if (quote_len < (v4 ? L4X_IP4_LEN : L4X_IP6_LEN) || !l4x_error_allowed(l, port))
		return false;
	m = l4x_mbuf(l);
	if (m == NULL)
		return false;
	error_tuple(port, v4, from, quote, &t);
	quote_len = RTE_MIN(quote_len, (uint32_t)(v4 ? QUOTE4_MAX : QUOTE6_MAX));
	len = sizeof(*icmp) + quote_len;
	icmp = (struct rte_icmp_hdr *)rte_pktmbuf_append(m, (uint16_t)len);
	if (icmp == NULL) {
		l4x_drop(l, m, L4X_DROP_NO_MBUF);
		return false;
	}
	icmp->icmp_type = type;
	icmp->icmp_code = code;
	icmp->icmp_cksum = 0;
	memcpy(&icmp->icmp_ident, &rest, sizeof(rest));
	memcpy(icmp + 1, quote, quote_len);
	icmp->icmp_cksum = l4x_cksum(m, 0, len, v4 ? 0 : l4x_phdr_sum(&t, len));
	l4x_count(l, L4X_COUNT_ICMP_ERRORS);
	l4x_ip_send(l, port, queue, m, &t, 0, 0);
	return true;
}

/** Only queries are known not to be errors. */
static bool
is_error4(const struct l4x_pkt *p)
{
	const struct rte_icmp_hdr *icmp = l4x_pkt_l4(p);

	if (p->proto != IPPROTO_ICMP)
		return false;
	return rte_pktmbuf_data_len(p->m) <= p->l4_off || icmp->icmp_type != 8;
}

static bool
is_later_fragment4(const struct l4x_pkt *p)
{
	const struct rte_ipv4_hdr *ip =
		rte_pktmbuf_mtod_offset(p->m, const struct rte_ipv4_hdr *, p->l3_off);

	return (ip->fragment_offset & rte_cpu_to_be_16(RTE_IPV4_HDR_OFFSET_MASK)) != 0;
}

bool
l4x_icmp_error_forbidden(const struct l4x_pkt *p, uint8_t type, uint8_t code)
{
	const struct flowtab_addr *dst = &p->tuple.oaddr;
	bool multicast_ok = !p->v4 &&
		(type == ICMP6_TOO_BIG ||
			(type == ICMP6_PARAMPROB && code == ICMP6_PARAMPROB_OPTION));

	/* It may be looked at before the packet's source has been. */
	if (!l4x_addr_is_free(p->port, &p->tuple.eaddr))
		return true;
	if (!multicast_ok &&
		(p->l2_multicast || flowtab_addr_is_multicast(dst) ||
			l4x_addr_is_broadcast(&p->port->conf, dst)))
		return true;
	return p->v4 ? is_later_fragment4(p) || is_error4(p) : l4x_pkt_is_error6(p);
}

void
l4x_icmp_error_pkt(
	struct l4x *l, const struct l4x_pkt *p, uint8_t type, uint8_t code, uint32_t info)
{
	uint8_t copy[QUOTE6_MAX];
	uint32_t len = RTE_MIN(p->ip_len, (uint32_t)sizeof(copy));
	const void *quote;

	if (l4x_icmp_error_forbidden(p, type, code))
		return;
	quote = rte_pktmbuf_read(p->m, p->l3_off, len, copy);
	if (quote != NULL)
		l4x_icmp_error(l, p->port, p->queue, p->v4, type, code, info, NULL, quote, len);
}

/** One row: an errno and the error that says the same in each family. */
struct errno_icmp {
	int err;
	uint8_t type4, code4, type6, code6;
};

bool
l4x_errno_to_icmp(int err, bool v4, uint8_t *type, uint8_t *code)
{
	static const struct errno_icmp table[] = {
		{ ECONNREFUSED, ICMP_UNREACH, 3, ICMP6_UNREACH, 4 },
		{ EHOSTUNREACH, ICMP_UNREACH, 1, ICMP6_UNREACH, 3 },
		{ EHOSTDOWN, ICMP_UNREACH, 1, ICMP6_UNREACH, 3 },
		{ ETIMEDOUT, ICMP_UNREACH, 1, ICMP6_UNREACH, 3 },
		{ ENETUNREACH, ICMP_UNREACH, 0, ICMP6_UNREACH, 0 },
		{ ENETDOWN, ICMP_UNREACH, 0, ICMP6_UNREACH, 0 },
		{ ENONET, ICMP_UNREACH, 0, ICMP6_UNREACH, 0 },
		{ EAFNOSUPPORT, ICMP_UNREACH, 0, ICMP6_UNREACH, 0 },
		{ EADDRNOTAVAIL, ICMP_UNREACH, 0, ICMP6_UNREACH, 0 },
		{ EACCES, ICMP_UNREACH, 13, ICMP6_UNREACH, 1 },
		{ EPERM, ICMP_UNREACH, 13, ICMP6_UNREACH, 1 },
		{ ENOPROTOOPT, ICMP_UNREACH, 2, ICMP6_PARAMPROB, 1 },
		{ EOPNOTSUPP, ICMP_UNREACH, 5, ICMP6_UNREACH, 0 },
		{ EMSGSIZE, ICMP_UNREACH, 4, ICMP6_TOO_BIG, 0 },
	};

	for (unsigned int i = 0; i < RTE_DIM(table); i++) {
		if (table[i].err != err)
			continue;
		*type = v4 ? table[i].type4 : table[i].type6;
		*code = v4 ? table[i].code4 : table[i].code6;
		return true;
	}
	return false;
}
