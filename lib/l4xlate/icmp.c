/* SPDX-License-Identifier: BSD-3-Clause */
#include "dgram.h"

#include <rte_icmp.h>

#define ICMP_ECHO_REPLY 0
#define ICMP_ECHO_REQUEST 8
#define ICMP6_ECHO_REQUEST 128
#define ICMP6_ECHO_REPLY 129

/** Type and checksum of an echo reply from the host side, for the guest. */
static void
seal(struct rte_mbuf *m, const struct flowtab_tuple *guest, bool v4)
{
	struct rte_icmp_hdr *icmp = rte_pktmbuf_mtod(m, struct rte_icmp_hdr *);
	uint32_t len = rte_pktmbuf_pkt_len(m);

	icmp->icmp_type = v4 ? ICMP_ECHO_REPLY : ICMP6_ECHO_REPLY;
	icmp->icmp_cksum = 0;
	icmp->icmp_cksum = l4x_cksum(m, 0, len, v4 ? 0 : l4x_phdr_sum(guest, len));
}

/** The gateway itself is asked: RFC 1122, 3.2.2.6. */
static void
echo_local(struct l4x *l, struct l4x_pkt *p)
{
	struct flowtab_tuple guest = p->tuple;
	struct l4x_port *port = p->port;
	uint8_t queue = p->queue, tos = p->tos;
	bool v4 = p->v4;
	struct rte_mbuf *m;

	p->data_len += p->data_off - p->l4_off;
	p->data_off = p->l4_off;
	m = l4x_pkt_payload(p);
	m->ol_flags &= ~RTE_MBUF_F_RX_L4_CKSUM_MASK;
	seal(m, &guest, v4);
	l4x_count(l, L4X_COUNT_ECHO_LOCAL);
	l4x_ip_send(l, port, queue, m, &guest, tos, 0);
}

void
l4x_icmp_rx(struct l4x *l, struct l4x_pkt *p, uint32_t idx)
{
	const struct rte_icmp_hdr *icmp = l4x_pkt_l4(p);
	struct l4x_dgram_how how;

	if (icmp->icmp_type != (p->v4 ? ICMP_ECHO_REQUEST : ICMP6_ECHO_REQUEST) ||
		icmp->icmp_code != 0) {
		l4x_drop(l, p->m, L4X_DROP_ICMP_TYPE);
		return;
	}
	if (l4x_addr_is_gateway(p->port, &p->tuple.oaddr)) {
		echo_local(l, p);
		return;
	}
	if (idx == FLOWTAB_NONE) {
		idx = l4x_dgram_open(l, p);
		if (idx == FLOWTAB_NONE)
			return;
	}
	how = l4x_dgram_how(l, idx, p);
	l4x_dgram_quote(l, idx, p);
	/* The socket wants the message from its header on; the kernel fills in id and checksum. */
	p->data_len += p->data_off - p->l4_off;
	p->data_off = p->l4_off;
	l4x_dgram_touch(l, idx, FLOWTAB_SIDE_GUEST, p->data_len);
	l4x_dgram_send(l, idx, l4x_pkt_payload(p), 0, &how);
}

/** Header of the reply in the first segment, where it can be written; it is the guest's memory. */
static bool
reply_ok(const struct rte_mbuf *m, bool v4)
{
	return rte_pktmbuf_data_len(m) >= sizeof(struct rte_icmp_hdr) &&
		rte_pktmbuf_headroom(m) >= L4X_ETH_LEN + (v4 ? L4X_IP4_LEN : L4X_IP6_LEN);
}

static void
to_guest(struct l4x *l, uint32_t idx, const struct l4x_event *ev)
{
	const struct l4x_flow *f = &l->flows[idx];
	struct rte_mbuf *m = ev->dgram.m;
	struct flowtab_tuple guest;

	if (!reply_ok(m, f->v4) || flowtab_tuple(l->ft, idx, FLOWTAB_SIDE_GUEST, &guest) < 0) {
		l4x_drop(l, m, L4X_DROP_TOO_BIG);
		return;
	}
	l4x_dgram_touch(l, idx, FLOWTAB_SIDE_OTHER, rte_pktmbuf_pkt_len(m));
	rte_pktmbuf_mtod(m, struct rte_icmp_hdr *)->icmp_ident = guest.eport;
	seal(m, &guest, f->v4);
	l4x_ip_send(l, l4x_flow_port(l, idx), f->queue, m, &guest, ev->tos, ev->ttl);
}

void
l4x_icmp_event(struct l4x *l, uint32_t idx, const struct l4x_event *ev)
{
	struct l4x_event other = *ev;

	if (ev->type == L4X_EV_DGRAM)
		to_guest(l, idx, ev);
	else if (ev->type == L4X_EV_ERROR)
		l4x_dgram_error(l, idx, ev);
	else
		l4x_event_free(&other);
}
