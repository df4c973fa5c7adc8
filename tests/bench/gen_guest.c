/* SPDX-License-Identifier: BSD-3-Clause */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gen_frame.h"

/** How often connections are looked at that nothing has come for. */
#define SWEEP_NS UINT64_C(10000000)
#define MEM_BYTES (256u << 20)

/* ---- frames ---- */

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

void
gen_frame_head(struct gen_guest *u, struct gen_frame *f, uint8_t proto, unsigned int l4_bytes)
{
	memset(f, 0, sizeof(*f));
	memcpy(f->eth.h_dest, u->gw_mac, 6);
	memcpy(f->eth.h_source, u->mac, 6);
	f->eth.h_proto = htons(ETH_P_IP);
	f->ip.version = 4;
	f->ip.ihl = 5;
	f->ip.ttl = 64;
	f->ip.frag_off = htons(IP_DF);
	f->ip.protocol = proto;
	f->ip.tot_len = htons((uint16_t)(sizeof(f->ip) + l4_bytes));
	f->ip.saddr = htonl(u->ip);
	f->ip.daddr = htonl(u->gw_ip);
	f->ip.check = ip_sum(&f->ip);
	f->vnet.hdr.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	f->vnet.hdr.csum_start = sizeof(f->eth) + sizeof(f->ip);
	f->vnet.hdr.csum_offset = proto == IPPROTO_TCP ? 16 : 6;
}

uint16_t
gen_frame_pseudo_sum(const struct gen_frame *f, unsigned int l4_bytes)
{
	uint32_t sum = htons((uint16_t)l4_bytes) + htons(f->ip.protocol);

	sum += (f->ip.saddr & 0xffff) + (f->ip.saddr >> 16);
	sum += (f->ip.daddr & 0xffff) + (f->ip.daddr >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)(sum + (sum >> 16));
}

unsigned int
gen_guest_pair(const struct gen_guest *u, uint16_t port)
{
	return u->n_pairs == 1 ? 0 : port % u->n_pairs;
}

static void
arp_in(struct gen_guest *u, const uint8_t *frame)
{
	const struct ether_arp *a = (const struct ether_arp *)(const void *)(frame + 14);
	uint32_t sender;

	memcpy(&sender, a->arp_spa, 4);
	if (ntohs(a->ea_hdr.ar_op) != ARPOP_REPLY || ntohl(sender) != u->gw_ip)
		return;
	memcpy(u->gw_mac, a->arp_sha, 6);
	u->gw_known = true;
}

static void
tcp_frame(struct gen_guest *u, const struct gen_frame *f, uint32_t frame_bytes, unsigned int pair)
{
	const uint32_t ip_bytes = ntohs(f->ip.tot_len);
	const uint32_t head = sizeof(f->ip) + f->tcp.doff * 4u;
	const uint16_t port = ntohs(f->tcp.dest);
	struct gen_conn *c = u->by_port[port];
	struct {
		struct tcphdr tcp;
		uint8_t options[40];
	} h;

	if (ip_bytes < head || ip_bytes + sizeof(f->eth) > frame_bytes)
		return;
	u->other_queue += pair != gen_guest_pair(u, port);
	/* In the frame it is not aligned; options are looked at in a SYN only. */
	memcpy(&h, (const uint8_t *)f + offsetof(struct gen_frame, tcp),
		f->tcp.syn ? sizeof(h) : sizeof(h.tcp));
	if (gen_idle_is(u->g, ntohs(h.tcp.source)))
		gen_idle_tcp(u, &h.tcp, ip_bytes - head);
	else if (c != NULL)
		gen_tcp_in(c, &h.tcp, ip_bytes - head);
}

static void
udp_frame(struct gen_guest *u, const struct gen_frame *f, unsigned int pair)
{
	const uint16_t port = ntohs(f->udp.dest);
	struct gen_conn *c = u->by_port[port];

	u->other_queue += pair != gen_guest_pair(u, port);
	u->udp_got++;
	if (c == NULL)
		return;
	c->got_bytes += ntohs(f->udp.len) - sizeof(f->udp);
	/* Who waits for no answer does not look at the list, either. */
	if (c->asked)
		gen_guest_touch(c);
}

void
gen_guest_frame(struct gen_guest *u, const uint8_t *buf, uint32_t frame_bytes, unsigned int pair)
{
	const struct gen_frame *f = (const struct gen_frame *)(const void *)buf;

	if (frame_bytes < GEN_UDP_HEAD)
		return;
	if (f->eth.h_proto == htons(ETH_P_ARP))
		arp_in(u, buf + sizeof(f->vnet));
	else if (f->eth.h_proto != htons(ETH_P_IP))
		return;
	else if (f->ip.protocol == IPPROTO_TCP && frame_bytes >= GEN_TCP_HEAD)
		tcp_frame(u, f, frame_bytes, pair);
	else if (f->ip.protocol == IPPROTO_UDP)
		udp_frame(u, f, pair);
}

static void
arp_out(struct gen_guest *u)
{
	const uint16_t slot = gen_slot_get(u, 0);
	const uint32_t spa = htonl(u->ip), tpa = htonl(u->gw_ip);
	struct ether_arp *a;
	struct ethhdr *eth;
	uint8_t *head;

	if (slot == GEN_NO_SLOT)
		return;
	head = u->rings[0].slots[slot].head;
	eth = (struct ethhdr *)(void *)(head + u->v->hdr_bytes);
	a = (struct ether_arp *)(void *)(eth + 1);
	memset(head, 0, 128);
	memset(eth->h_dest, 0xff, 6);
	memcpy(eth->h_source, u->mac, 6);
	eth->h_proto = htons(ETH_P_ARP);
	a->ea_hdr = (struct arphdr){ htons(1), htons(ETH_P_IP), 6, 4, htons(ARPOP_REQUEST) };
	memcpy(a->arp_sha, u->mac, 6);
	memcpy(a->arp_spa, &spa, 4);
	memcpy(a->arp_tpa, &tpa, 4);
	gen_slot_send(u, 0, slot, u->v->hdr_bytes + 60, 0);
}

bool
gen_guest_arp(struct gen_guest *u)
{
	const uint64_t end = vhu_now_ms() + GEN_PATIENCE_MS;

	while (!u->gw_known && vhu_now_ms() < end) {
		unsigned int i;

		arp_out(u);
		for (i = 0; i < 100 && !u->gw_known; i++) {
			gen_ring_flush(u);
			gen_ring_poll(u, gen_guest_frame);
			vhu_sleep_ms(1);
		}
	}
	return u->gw_known;
}

void
gen_guest_udp_head(
	struct gen_guest *u, uint8_t *head, uint16_t port, uint16_t host_port, unsigned int bytes)
{
	struct gen_frame *f = (struct gen_frame *)(void *)head;

	gen_frame_head(u, f, IPPROTO_UDP, (unsigned int)sizeof(f->udp) + bytes);
	f->udp.source = htons(port);
	f->udp.dest = htons(host_port);
	f->udp.len = htons((uint16_t)(sizeof(f->udp) + bytes));
	f->udp.check = gen_frame_pseudo_sum(f, (unsigned int)sizeof(f->udp) + bytes);
}

bool
gen_guest_udp(struct gen_conn *c, unsigned int bytes)
{
	struct gen_guest *u = c->guest;
	const unsigned int pair = gen_guest_pair(u, c->port);
	const uint16_t slot = gen_slot_get(u, pair);

	if (slot == GEN_NO_SLOT)
		return false;
	gen_guest_udp_head(u, u->rings[pair].slots[slot].head, c->port, c->host_port, bytes);
	gen_slot_send(u, pair, slot,
		(unsigned int)sizeof(((struct gen_frame *)0)->vnet) + GEN_UDP_HEAD, bytes);
	return true;
}

bool
gen_guest_udp_number(struct gen_guest *u, uint16_t port, uint16_t host_port, uint32_t number)
{
	const unsigned int head_bytes =
		(unsigned int)sizeof(((struct gen_frame *)0)->vnet) + GEN_UDP_HEAD;
	const unsigned int pair = gen_guest_pair(u, port);
	const uint16_t slot = gen_slot_get(u, pair);
	uint8_t *head;

	if (slot == GEN_NO_SLOT)
		return false;
	head = u->rings[pair].slots[slot].head;
	gen_guest_udp_head(u, head, port, host_port, sizeof(number));
	memcpy(head + head_bytes, &number, sizeof(number));
	gen_slot_send(u, pair, slot, head_bytes + (unsigned int)sizeof(number), 0);
	return true;
}

/* ---- turns ---- */

void
gen_guest_touch(struct gen_conn *c)
{
	if (!c->touched)
		c->guest->touched[c->guest->n_touched++] = c;
	c->touched = true;
}

void
gen_guest_touched(struct gen_guest *u, gen_conn_fn fn, struct gen_result *r)
{
	const unsigned int n = u->n_touched;
	unsigned int i, kept = 0;

	for (i = 0; i < n; i++) {
		struct gen_conn *c = u->touched[i];

		/* What the case sends acknowledges, too. */
		c->touched = (fn != NULL && !fn(u->g, c, r)) || (c->ack_owed && !gen_tcp_ack(c));
		if (c->touched)
			u->touched[kept++] = c;
	}
	u->n_touched = kept;
}

void
gen_guest_flush(struct gen_guest *u)
{
	unsigned int i;

	if (u->g->now_ns - u->swept_ns > SWEEP_NS) {
		u->swept_ns = u->g->now_ns;
		for (i = 0; i < u->n_conns; i++)
			gen_tcp_late(u->conns[i]);
	}
	gen_ring_flush(u);
}

void
gen_guests_turn(struct gen *g)
{
	unsigned int i;

	for (i = 0; i < g->n_vms; i++) {
		gen_ring_poll(&g->guests[i], gen_guest_frame);
		gen_guest_touched(&g->guests[i], NULL, NULL);
		gen_guest_flush(&g->guests[i]);
	}
}

/* ---- life ---- */

/** Every n_vms-th connection is this guest's, beginning with its own number. */
static int
take_conns(struct gen_guest *u)
{
	struct gen *g = u->g;
	const unsigned int all = g->n_conns + g->n_bulk;
	unsigned int i;

	u->by_port = calloc(65536, sizeof(struct gen_conn *));
	u->conns = calloc(all, sizeof(struct gen_conn *));
	u->touched = calloc(all, sizeof(struct gen_conn *));
	if (u->by_port == NULL || u->conns == NULL || u->touched == NULL)
		return -1;
	for (i = u->number; i < all; i += g->n_vms) {
		struct gen_conn *c = &g->conns[i];

		c->guest = u;
		c->port = (uint16_t)(20000 + u->n_conns);
		u->by_port[c->port] = c;
		u->conns[u->n_conns++] = c;
	}
	u->next_port = 2000;
	return 0;
}

int
gen_guest_open(struct gen_guest *u, const char *path)
{
	struct vhu_conf conf = { .path = path,
		.timeout_ms = GEN_PATIENCE_MS,
		.ring_size = u->g->ring_size,
		.pairs = u->n_pairs,
		.busy = true,
		.mem_bytes = MEM_BYTES,
		.features = VHU_FEATURES_LINUX };
	int ret;

	if (!u->g->tso)
		conf.features &= ~(VHU_F_GUEST_TSO | VHU_F_HOST_TSO);
	u->v = vhu_new(&conf);
	ret = u->v == NULL || take_conns(u) != 0 ? -errno : vhu_connect(u->v);
	if (ret == 0)
		ret = vhu_negotiate(u->v);
	if (ret == 0 && u->v->max_pairs < u->n_pairs) {
		fprintf(stderr, "weir-gen: --queues: the back-end offers %u\n", u->v->max_pairs);
		return -1;
	}
	if (ret == 0)
		ret = vhu_start(u->v);
	if (ret != 0) {
		fprintf(stderr, "weir-gen: vhost-user: %s: %s\n", path, strerror(-ret));
		return -1;
	}
	if (gen_ring_init(u) != 0 || !gen_guest_arp(u)) {
		fprintf(stderr, "weir-gen: no answer from the back-end (%s)\n", path);
		return -1;
	}
	return 0;
}

void
gen_guest_close(struct gen_guest *u)
{
	vhu_close(u->v);
	gen_ring_free(u);
	free(u->by_port);
	free(u->conns);
	free(u->touched);
}
