/* SPDX-License-Identifier: BSD-3-Clause */
#include "gen.h"

#include <arpa/inet.h>
#include <netinet/if_ether.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <string.h>

/** Nothing acknowledged for so long: send again from there (go-back-N). */
#define GO_BACK_MS 200
/** Announced window: the scale makes it 8 MiB. */
#define WSCALE 7

struct frame {
	struct virtio_net_hdr_mrg_rxbuf vnet;
	struct ethhdr eth;
	struct iphdr ip;
	union {
		struct tcphdr tcp;
		struct udphdr udp;
	};
	uint8_t options[8];
} __attribute__((packed));

static uint16_t
ip_sum(const struct iphdr *ip)
{
	const uint16_t *w = (const uint16_t *)(const void *)ip;
	uint32_t sum = 0;
	unsigned int i;

	for (i = 0; i < sizeof(*ip) / 2; i++)
		sum += w[i];
	sum = (sum & 0xffff) + (sum >> 16);
	sum += sum >> 16;
	return (uint16_t)~sum;
}

/** Headers up to IPv4 of a frame with l4_bytes of transport header and payload. */
static void
frame_head(struct gen *g, struct frame *f, uint8_t proto, unsigned int l4_bytes)
{
	memset(f, 0, sizeof(*f));
	memcpy(f->eth.h_dest, g->gw_mac, 6);
	memcpy(f->eth.h_source, g->mac, 6);
	f->eth.h_proto = htons(ETH_P_IP);
	f->ip.version = 4;
	f->ip.ihl = 5;
	f->ip.ttl = 64;
	f->ip.frag_off = htons(IP_DF);
	f->ip.protocol = proto;
	f->ip.tot_len = htons((uint16_t)(sizeof(f->ip) + l4_bytes));
	f->ip.saddr = htonl(g->ip);
	f->ip.daddr = htonl(g->gw_ip);
	f->ip.check = ip_sum(&f->ip);
	f->vnet.hdr.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	f->vnet.hdr.csum_start = sizeof(f->eth) + sizeof(f->ip);
	f->vnet.hdr.csum_offset = proto == IPPROTO_TCP ? 16 : 6;
}

static uint16_t
pseudo_sum(const struct frame *f, unsigned int l4_bytes)
{
	uint32_t sum = htons((uint16_t)l4_bytes) + htons(f->ip.protocol);

	sum += (f->ip.saddr & 0xffff) + (f->ip.saddr >> 16);
	sum += (f->ip.daddr & 0xffff) + (f->ip.daddr >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)(sum + (sum >> 16));
}

/** @return false: no slot */
static bool
tcp_out(struct gen *g, struct gen_conn *c, uint32_t seq, bool syn, bool fin, unsigned int payload)
{
	const uint16_t slot = gen_slot_get(g);
	const unsigned int options = syn ? 8 : 0;
	const unsigned int mss = g->mtu - 40;
	struct frame *f;

	if (slot == GEN_NO_SLOT)
		return false;
	f = (struct frame *)(void *)g->slots[slot].head;
	frame_head(g, f, IPPROTO_TCP, sizeof(f->tcp) + options + payload);
	f->tcp.source = htons(c->port);
	f->tcp.dest = htons(g->host_port);
	f->tcp.seq = htonl(seq);
	f->tcp.doff = (uint16_t)((sizeof(f->tcp) + options) / 4);
	f->tcp.syn = syn;
	f->tcp.fin = fin;
	f->tcp.psh = payload != 0;
	f->tcp.window = htons(65535);
	if (syn) {
		const uint8_t opt[8] = { 2, 4, (uint8_t)(mss >> 8), (uint8_t)mss, 1, 3, 3, WSCALE };

		memcpy(f->options, opt, sizeof(opt));
	} else {
		f->tcp.ack = 1;
		f->tcp.ack_seq = htonl(c->rcv_nxt);
		c->ack_owed = false;
	}
	f->tcp.check = pseudo_sum(f, (unsigned int)sizeof(f->tcp) + options + payload);
	if (payload > mss) {
		f->vnet.hdr.gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
		f->vnet.hdr.gso_size = (uint16_t)mss;
		f->vnet.hdr.hdr_len = GEN_TCP_HEAD;
	}
	gen_slot_send(g, slot, (unsigned int)sizeof(f->vnet) + GEN_TCP_HEAD + options, payload);
	return true;
}

void
gen_guest_connect(struct gen *g, struct gen_conn *c)
{
	c->snd_una = c->snd_nxt = (uint32_t)(g->now_ns >> 8) + c->port * 7919u;
	c->rcv_nxt = 0;
	c->got_bytes = 0;
	c->window = 0;
	c->dup_acks = 0;
	c->una_ms = g->now_ns / 1000000;
	c->state = GEN_IDLE;
	if (tcp_out(g, c, c->snd_nxt, true, false, 0)) {
		c->snd_nxt++;
		c->state = GEN_SYN_SENT;
	}
}

void
gen_guest_close(struct gen *g, struct gen_conn *c)
{
	if (tcp_out(g, c, c->snd_nxt, false, true, 0)) {
		c->snd_nxt++;
		c->state = GEN_FIN_SENT;
	}
}

/** As large frames as Linux makes them: whole segments, near 61 KiB in all. */
static uint32_t
frame_payload_max(const struct gen *g)
{
	const uint32_t mss = g->mtu - 40, large = 60 * 1024;

	if (mss >= large)
		return large;
	return g->tso ? large / mss * mss : mss;
}

uint32_t
gen_guest_send(struct gen *g, struct gen_conn *c, uint32_t bytes)
{
	const uint32_t mss = g->mtu - 40;
	const uint32_t most = frame_payload_max(g);
	uint32_t sent = 0;

	while (sent < bytes) {
		const uint32_t flight = c->snd_nxt - c->snd_una;
		uint32_t n = bytes - sent < most ? bytes - sent : most;

		if (flight >= c->window)
			break;
		/* As Linux does: whole segments, unless it is the end. */
		if (n > c->window - flight) {
			n = c->window - flight;
			if (n > mss)
				n = n / mss * mss;
			else if (flight != 0)
				break;
		}
		if (flight == 0)
			c->una_ms = g->now_ns / 1000000;
		if (!tcp_out(g, c, c->snd_nxt, false, false, n))
			break;
		c->snd_nxt += n;
		sent += n;
	}
	return sent;
}

static void
go_back(struct gen *g, struct gen_conn *c)
{
	g->retransmits++;
	c->dup_acks = 0;
	c->una_ms = g->now_ns / 1000000;
	if (c->state == GEN_SYN_SENT || c->state == GEN_FIN_SENT)
		tcp_out(g, c, c->snd_una, c->state == GEN_SYN_SENT, c->state == GEN_FIN_SENT, 0);
	else
		c->snd_nxt = c->snd_una;
}

static void
tcp_ack(struct gen *g, struct gen_conn *c, const struct tcphdr *t, uint32_t payload)
{
	const uint32_t ack = ntohl(t->ack_seq);
	const uint32_t window = (uint32_t)ntohs(t->window) << (t->syn ? 0 : c->wscale);

	if ((int32_t)(ack - c->snd_una) > 0) {
		c->snd_una = ack;
		if ((int32_t)(c->snd_nxt - ack) < 0)
			c->snd_nxt = ack;
		c->una_ms = g->now_ns / 1000000;
		c->dup_acks = 0;
	} else if (ack == c->snd_una && payload == 0 && window == c->window &&
		c->snd_nxt != c->snd_una && ++c->dup_acks == 3) {
		go_back(g, c);
	}
	c->window = window;
}

static void
tcp_syn_ack(struct gen *g, struct gen_conn *c, const struct tcphdr *t)
{
	const uint8_t *o = (const uint8_t *)(t + 1);
	const uint8_t *end = (const uint8_t *)t + t->doff * 4;

	c->wscale = 0;
	while (o + 1 < end && *o != 0) {
		if (*o == 1) {
			o++;
			continue;
		}
		if (*o == 3 && o + 2 < end)
			c->wscale = o[2];
		if (o[1] < 2)
			break;
		o += o[1];
	}
	c->rcv_nxt = ntohl(t->seq) + 1;
	c->state = GEN_OPEN;
	c->ack_owed = true;
}

static void
tcp_in(struct gen *g, const struct frame *f, uint32_t frame_bytes)
{
	const struct tcphdr *t = &f->tcp;
	const uint32_t ip_bytes = ntohs(f->ip.tot_len);
	const uint32_t head = sizeof(f->ip) + t->doff * 4u;
	const int32_t at = g->by_port[ntohs(t->dest)];
	uint32_t payload;
	struct gen_conn *c;

	if (at < 0 || ip_bytes < head || ip_bytes + sizeof(f->eth) > frame_bytes)
		return;
	c = &g->conns[at];
	payload = ip_bytes - head;
	if (t->rst) {
		c->state = GEN_DONE;
		return;
	}
	if (t->ack)
		tcp_ack(g, c, t, payload);
	if (t->syn && c->state == GEN_SYN_SENT) {
		tcp_syn_ack(g, c, t);
		return;
	}
	if (payload == 0 && !t->fin)
		return;
	c->ack_owed = true;
	if (ntohl(t->seq) != c->rcv_nxt)
		return;
	c->rcv_nxt += payload + t->fin;
	c->got_bytes += payload;
	if (t->fin && c->state == GEN_FIN_SENT)
		c->state = GEN_DONE;
}

static void
arp_in(struct gen *g, const uint8_t *frame)
{
	const struct ether_arp *a = (const struct ether_arp *)(const void *)(frame + 14);
	uint32_t sender;

	memcpy(&sender, a->arp_spa, 4);
	if (ntohs(a->ea_hdr.ar_op) != ARPOP_REPLY || ntohl(sender) != g->gw_ip)
		return;
	memcpy(g->gw_mac, a->arp_sha, 6);
	g->gw_known = true;
}

void
gen_guest_frame(struct gen *g, const uint8_t *buf, uint32_t frame_bytes)
{
	const struct frame *f = (const struct frame *)(const void *)buf;

	if (frame_bytes < GEN_UDP_HEAD)
		return;
	if (f->eth.h_proto == htons(ETH_P_ARP)) {
		arp_in(g, buf + sizeof(f->vnet));
	} else if (f->eth.h_proto != htons(ETH_P_IP)) {
		return;
	} else if (f->ip.protocol == IPPROTO_TCP && frame_bytes >= GEN_TCP_HEAD) {
		tcp_in(g, f, frame_bytes);
	} else if (f->ip.protocol == IPPROTO_UDP) {
		const int32_t at = g->by_port[ntohs(f->udp.dest)];

		if (at >= 0)
			g->conns[at].got_bytes += ntohs(f->udp.len) - sizeof(f->udp);
		g->udp_got++;
	}
}

static void
arp_out(struct gen *g, uint16_t slot)
{
	uint8_t *head = g->slots[slot].head;
	struct ethhdr *eth = (struct ethhdr *)(void *)(head + g->v->hdr_bytes);
	struct ether_arp *a = (struct ether_arp *)(void *)(eth + 1);
	const uint32_t spa = htonl(g->ip), tpa = htonl(g->gw_ip);

	memset(head, 0, 128);
	memset(eth->h_dest, 0xff, 6);
	memcpy(eth->h_source, g->mac, 6);
	eth->h_proto = htons(ETH_P_ARP);
	a->ea_hdr = (struct arphdr){ htons(1), htons(ETH_P_IP), 6, 4, htons(ARPOP_REQUEST) };
	memcpy(a->arp_sha, g->mac, 6);
	memcpy(a->arp_spa, &spa, 4);
	memcpy(a->arp_tpa, &tpa, 4);
	gen_slot_send(g, slot, g->v->hdr_bytes + 60, 0);
}

bool
gen_guest_arp(struct gen *g)
{
	const uint64_t end = vhu_now_ms() + GEN_PATIENCE_MS;

	while (!g->gw_known && vhu_now_ms() < end) {
		const uint16_t slot = gen_slot_get(g);
		unsigned int i;

		if (slot != GEN_NO_SLOT)
			arp_out(g, slot);
		for (i = 0; i < 100 && !g->gw_known; i++) {
			gen_ring_flush(g);
			gen_ring_poll(g, gen_guest_frame);
			vhu_sleep_ms(1);
		}
	}
	return g->gw_known;
}

void
gen_guest_tick(struct gen *g)
{
	const uint64_t now_ms = g->now_ns / 1000000;
	unsigned int i;

	for (i = 0; i < g->n_conns; i++) {
		struct gen_conn *c = &g->conns[i];

		if (c->state == GEN_IDLE || c->state == GEN_DONE) {
			if (c->ack_owed)
				tcp_out(g, c, c->snd_nxt, false, false, 0);
			continue;
		}
		if (c->snd_nxt != c->snd_una && now_ms - c->una_ms > GO_BACK_MS)
			go_back(g, c);
		if (c->ack_owed)
			tcp_out(g, c, c->snd_nxt, false, false, 0);
	}
}

void
gen_guest_udp_head(struct gen *g, uint16_t slot, uint16_t port, unsigned int bytes)
{
	struct frame *f = (struct frame *)(void *)g->slots[slot].head;

	frame_head(g, f, IPPROTO_UDP, (unsigned int)sizeof(f->udp) + bytes);
	f->udp.source = htons(port);
	f->udp.dest = htons(g->host_port);
	f->udp.len = htons((uint16_t)(sizeof(f->udp) + bytes));
	f->udp.check = pseudo_sum(f, (unsigned int)sizeof(f->udp) + bytes);
}

bool
gen_guest_udp(struct gen *g, struct gen_conn *c, unsigned int bytes)
{
	const uint16_t slot = gen_slot_get(g);

	if (slot == GEN_NO_SLOT)
		return false;
	gen_guest_udp_head(g, slot, c->port, bytes);
	gen_slot_send(
		g, slot, (unsigned int)sizeof(((struct frame *)0)->vnet) + GEN_UDP_HEAD, bytes);
	g->udp_sent++;
	return true;
}
