/* SPDX-License-Identifier: BSD-3-Clause */
#include "l4x_priv.h"

#include <rte_arp.h>

static bool
arp_well_formed(const struct l4x_pkt *p, const struct rte_arp_hdr *arp)
{
	const struct rte_ether_hdr *eth = rte_pktmbuf_mtod(p->m, const struct rte_ether_hdr *);

	return arp->arp_hardware == RTE_BE16(RTE_ARP_HRD_ETHER) &&
		arp->arp_protocol == RTE_BE16(RTE_ETHER_TYPE_IPV4) &&
		arp->arp_hlen == RTE_ETHER_ADDR_LEN && arp->arp_plen == sizeof(rte_be32_t) &&
		rte_is_same_ether_addr(&arp->arp_data.arp_sha, &eth->src_addr);
}

/**
 * Is this request answered? All of the subnet is behind the gateway's MAC, but what the guest may
 * itself hold. A probe (RFC 5227, 2.1.1: sender 0.0.0.0) asks whether an address is free: weir's
 * own are not, nor those of guests that it may reach.
 */
static bool
arp_answers(const struct l4x *l, const struct l4x_port *port, const struct flowtab_addr *sender,
	const struct flowtab_addr *target)
{
	if (flowtab_addr_eq(sender, target))
		return false;
	if (l4x_addr_is_gateway(port, target) || l4x_ew_is_taken(l, port, target))
		return true;
	if (flowtab_addr_is_any(sender))
		return false;
	return l4x_addr_on_link(&port->conf, target) && !l4x_addr_is_guest(port, target) &&
		!l4x_addr_is_broadcast(&port->conf, target);
}

static void
arp_reply(struct l4x *l, struct l4x_port *port, uint8_t queue, const struct rte_arp_hdr *req)
{
	struct rte_mbuf *m = l4x_mbuf(l);
	struct rte_arp_hdr *arp;

	if (m == NULL)
		return;
	arp = (struct rte_arp_hdr *)rte_pktmbuf_append(m, sizeof(*arp));
	if (arp == NULL) {
		l4x_drop(l, m, L4X_DROP_NO_MBUF);
		return;
	}
	*arp = *req;
	arp->arp_opcode = RTE_BE16(RTE_ARP_OP_REPLY);
	arp->arp_data.arp_tha = req->arp_data.arp_sha;
	arp->arp_data.arp_tip = req->arp_data.arp_sip;
	arp->arp_data.arp_sha = port->conf.gateway_mac;
	arp->arp_data.arp_sip = req->arp_data.arp_tip;
	l4x_eth_prepend(port, m, RTE_ETHER_TYPE_ARP);
	l4x_count(l, L4X_COUNT_ARP_REPLIES);
	l4x_frame_add(l, port, queue, m);
}

/** Who says that it is there, on this subnet, is the guest. */
static void
learn(struct l4x_port *port, const struct flowtab_addr *sender)
{
	if (l4x_addr_on_link(&port->conf, sender) && l4x_addr_is_free(port, sender))
		l4x_guest_uses(port, sender);
}

void
l4x_arp(struct l4x *l, struct l4x_pkt *p)
{
	struct flowtab_addr sender, target;
	struct rte_arp_hdr arp;

	if (!p->port->conf.ipv4) {
		l4x_drop(l, p->m, L4X_DROP_ETH_TYPE);
		return;
	}
	if (rte_pktmbuf_data_len(p->m) < p->l3_off + sizeof(arp)) {
		l4x_drop(l, p->m, L4X_DROP_ARP_BAD);
		return;
	}
	memcpy(&arp, rte_pktmbuf_mtod_offset(p->m, const void *, p->l3_off), sizeof(arp));
	if (!arp_well_formed(p, &arp)) {
		l4x_drop(l, p->m, L4X_DROP_ARP_BAD);
		return;
	}
	rte_pktmbuf_free(p->m);
	sender = flowtab_addr_v4(arp.arp_data.arp_sip);
	target = flowtab_addr_v4(arp.arp_data.arp_tip);
	learn(p->port, &sender);
	if (arp.arp_opcode != RTE_BE16(RTE_ARP_OP_REQUEST))
		return;
	if (arp_answers(l, p->port, &sender, &target))
		arp_reply(l, p->port, p->queue, &arp);
}
