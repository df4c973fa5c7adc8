/* SPDX-License-Identifier: BSD-3-Clause */
#include "guest.h"
#include "gtcp.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEEP_MAX 8192

static const uint8_t broadcast[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

static void
wrong(struct guest *g, const char *what, const struct pkt_view *v)
{
	if (g->error[0] == '\0')
		snprintf(g->error, sizeof(g->error), "%s: %s", what, v != NULL ? pkt_text(v) : "");
}

const char *
guest_error(const struct guest *g)
{
	if (vhu_violation(g->v) != NULL)
		return vhu_violation(g->v);
	return g->error[0] != '\0' ? g->error : NULL;
}

static size_t
buffer_bytes(const struct guest *g)
{
	if (g->conf.rx_bytes != 0)
		return g->conf.rx_bytes;
	if (g->v->features & VHU_F_MRG_RXBUF)
		return 1536;
	if (g->v->features & VHU_F_GUEST_TSO)
		return 12 + 65550;
	return 12 + 14 + (size_t)(g->conf.mtu != 0 ? g->conf.mtu : 1500);
}

void
guest_refresh(struct guest *g)
{
	uint64_t f = g->v->features;

	g->limits.mtu = g->conf.mtu;
	g->limits.csum = f & VHU_F_GUEST_CSUM;
	g->limits.tso4 = f & VHU_F(VIRTIO_NET_F_GUEST_TSO4);
	g->limits.tso6 = f & VHU_F(VIRTIO_NET_F_GUEST_TSO6);
	g->limits.ecn = f & VHU_F(VIRTIO_NET_F_GUEST_ECN);
	for (unsigned int i = 0; i < g->v->conf.pairs; i++) {
		unsigned int room = g->conf.rx_count != 0 ? g->conf.rx_count : g->v->conf.ring_size;
		unsigned int have = vhu_ring_in_flight(&g->v->rings[VHU_RX(i)]);

		if (have < room)
			vhu_rx_post(g->v, i, buffer_bytes(g), room - have, g->conf.rx_shape, true);
	}
}

static struct pkt_addr
addr_or(const char *text, const char *other)
{
	return pkt_addr(text != NULL ? text : other);
}

struct guest *
guest_open(const struct guest_conf *conf)
{
	static const uint8_t default_mac[6] = { 0x52, 0x54, 0, 0x12, 0x34, 0x56 }, zero[6];
	struct guest *g = calloc(1, sizeof(*g));

	if (g == NULL)
		return NULL;
	g->conf = *conf;
	g->v = vhu_open(&conf->vhu);
	if (g->v == NULL) {
		free(g);
		return NULL;
	}
	g->last = &g->first;
	g->next_port = 40000;
	memcpy(g->mac, memcmp(conf->mac, zero, 6) != 0 ? conf->mac : default_mac, 6);
	memcpy(g->gw_mac, broadcast, 6);
	g->addr = addr_or(conf->addr, "10.0.2.15");
	g->gw = addr_or(conf->gw, "10.0.2.2");
	g->addr6 = addr_or(conf->addr6, "fd00:2::15");
	g->gw6 = addr_or(conf->gw6, "fd00:2::2");
	g->ll6 = pkt_link_local(g->mac);
	guest_refresh(g);
	return g;
}

void
guest_flush(struct guest *g)
{
	while (g->first != NULL) {
		struct guest_frame *f = g->first;

		g->first = f->next;
		free(f);
	}
	g->last = &g->first;
	g->n_kept = 0;
}

void
guest_close(struct guest *g)
{
	if (g == NULL)
		return;
	while (g->tcps != NULL)
		gtcp_free(g->tcps);
	guest_flush(g);
	vhu_close(g->v);
	free(g);
}

int
guest_send_raw(struct guest *g, const struct virtio_net_hdr *hdr, const uint8_t *frame, size_t len)
{
	return vhu_tx(g->v, g->pair, hdr, frame, len, g->tx_shape);
}

int
guest_send(struct guest *g, uint8_t *frame, size_t len)
{
	struct virtio_net_hdr hdr = { 0 };
	bool v6 = pkt_get16(frame + 12) == PKT_ETH_IP6;
	uint8_t proto = frame[14 + (v6 ? 6 : 9)];

	if (g->partial && (g->v->features & VHU_F_CSUM) && pkt_get16(frame + 12) != PKT_ETH_ARP &&
		(proto == IPPROTO_TCP || proto == IPPROTO_UDP))
		pkt_make_partial(frame, len, &hdr);
	return guest_send_raw(g, &hdr, frame, len);
}

/* ---- receiving ---- */

static void
answer_arp(struct guest *g, const struct pkt_view *v)
{
	uint8_t f[64];
	size_t len;

	if (v->arp_op != 1 || !pkt_addr_eq(&v->dst, &g->addr))
		return;
	len = pkt_build_arp(f, v->src_mac, 2, g->mac, &g->addr, v->arp_sha, &v->src);
	guest_send(g, f, len);
}

static void
answer_ns(struct guest *g, const struct pkt_view *v)
{
	struct pkt_addr target = { .len = 16 };
	uint8_t f[128];
	size_t len;

	memcpy(target.b, v->data, 16);
	if (!pkt_addr_eq(&target, &g->addr6) && !pkt_addr_eq(&target, &g->ll6))
		return;
	len = pkt_build_na(f, g->mac, v->src_mac, &target, &v->src, &target);
	guest_send(g, f, len);
}

static void
keep(struct guest *g, struct guest_frame *f)
{
	if (g->n_kept >= KEEP_MAX) {
		struct guest_frame *old = g->first;

		g->first = old->next;
		g->n_kept--;
		free(old);
	}
	f->next = NULL;
	if (g->first == NULL)
		g->last = &g->first;
	*g->last = f;
	g->last = &f->next;
	g->n_kept++;
}

/** The gateway has not heard of this guest yet: what comes is for the one that was here before. */
static bool
is_unknown(const struct guest *g)
{
	return (g->gw_mac[0] & 1) != 0;
}

static bool
is_for_other(const struct guest *g, const struct pkt_view *v)
{
	return !(v->dst_mac[0] & 1) && memcmp(v->dst_mac, g->mac, 6) != 0;
}

/* Frames are for this guest, or for a group. */
static const char *
check_destination(const struct guest *g, const struct pkt_view *v)
{
	if (is_for_other(g, v))
		return "frame for another MAC";
	if (memcmp(v->src_mac, g->mac, 6) == 0)
		return "frame from the guest's own MAC";
	return NULL;
}

static struct guest_frame *
copy_frame(const struct vhu_frame *vf)
{
	struct guest_frame *f = malloc(sizeof(*f) + vf->len);

	if (f == NULL)
		return NULL;
	f->next = NULL;
	f->hdr = vf->hdr;
	f->pair = vf->pair;
	memcpy(f->bytes, vf->data, vf->len);
	return f;
}

static void
dispatch(struct guest *g, struct guest_frame *f)
{
	const struct pkt_view *v = &f->view;

	g->from_pair = f->pair;
	if (!g->silent && v->eth_type == PKT_ETH_ARP)
		answer_arp(g, v);
	if (!g->silent && v->proto == IPPROTO_ICMPV6 && v->icmp_type == 135)
		answer_ns(g, v);
	if (!g->hold && v->proto == IPPROTO_TCP && gtcp_input(g, v)) {
		free(f);
		return;
	}
	keep(g, f);
}

/** A receive buffer that came back unfilled, as the daemon fills it then: nothing for a stack. */
static bool
is_filler(const struct vhu_frame *vf)
{
	return vf->len >= 14 && pkt_get16(vf->data + 12) == GUEST_FILLER_TYPE;
}

static const char *
check_filler(const struct guest *g, const struct vhu_frame *vf)
{
	static const uint8_t none[6];

	if (vf->len != 60 || vf->n_buffers != 1)
		return "filler of another length";
	if (memcmp(vf->data, vf->data + 6, 6) != 0)
		return "filler to another than its sender";
	if (memcmp(g->gw_mac, none, 6) != 0 && memcmp(g->gw_mac, vf->data, 6) != 0)
		return "filler from another than the gateway";
	for (size_t i = 14; i < vf->len; i++)
		if (vf->data[i] != 0)
			return "filler with content";
	return NULL;
}

int
guest_pump(struct guest *g, int timeout_ms)
{
	struct guest_frame *f;
	struct vhu_frame vf;
	const char *bad;
	int rc;

	vhu_tx_reap(g->v, g->pair);
	rc = vhu_rx_poll(g->v, VHU_ANY, timeout_ms, &vf);
	if (rc <= 0)
		return rc;
	if (is_filler(&vf)) {
		bad = check_filler(g, &vf);
		if (bad != NULL)
			snprintf(g->error, sizeof(g->error), "%s", bad);
		return bad == NULL ? 1 : -EPROTO;
	}
	f = copy_frame(&vf);
	if (f == NULL)
		return -ENOMEM;
	g->frames++;
	g->bytes += vf.len;
	bad = pkt_check(f->bytes, vf.len, &f->hdr.hdr, &g->limits, &f->view);
	if (bad == NULL && is_unknown(g) && is_for_other(g, &f->view)) {
		free(f);
		return 1;
	}
	if (bad == NULL)
		bad = check_destination(g, &f->view);
	if (bad != NULL) {
		wrong(g, bad, &f->view);
		free(f);
		return -EPROTO;
	}
	dispatch(g, f);
	return 1;
}

struct guest_frame *
guest_wait(struct guest *g, guest_match match, void *arg, int timeout_ms)
{
	uint64_t deadline = vhu_now_ms() + (unsigned int)timeout_ms;

	for (;;) {
		uint64_t now;
		int rc;

		for (struct guest_frame **p = &g->first; *p != NULL; p = &(*p)->next) {
			struct guest_frame *f = *p;

			if (!match(&f->view, arg))
				continue;
			*p = f->next;
			if (g->last == &f->next)
				g->last = p;
			g->n_kept--;
			return f;
		}
		now = vhu_now_ms();
		rc = guest_pump(g, now < deadline ? (int)(deadline - now) : 0);
		/* The second bound is for a flood of frames that do not fit. */
		if (rc < 0 || (rc == 0 && now >= deadline) || now > deadline + 1000)
			return NULL;
	}
}

bool
guest_never(struct guest *g, guest_match match, void *arg, int timeout_ms)
{
	struct guest_frame *f = guest_wait(g, match, arg, timeout_ms);

	if (f != NULL)
		fprintf(stderr, "not expected: %s\n", pkt_text(&f->view));
	free(f);
	return f == NULL;
}

/* ---- addressing ---- */

const struct pkt_addr *
guest_addr_for(const struct guest *g, const struct pkt_addr *other)
{
	if (other->len == 4)
		return &g->addr;
	return other->b[0] == 0xfe && (other->b[1] & 0xc0) == 0x80 ? &g->ll6 : &g->addr6;
}

struct pkt_ip
guest_ip(const struct guest *g, const struct pkt_addr *dst)
{
	struct pkt_ip ip = { .src = *guest_addr_for(g, dst), .dst = *dst };

	memcpy(ip.src_mac, g->mac, 6);
	memcpy(ip.dst_mac, g->gw_mac, 6);
	return ip;
}

uint16_t
guest_port(struct guest *g)
{
	return g->next_port++;
}

/** Ask, again and again as a guest does, until there is an answer; NULL: none in time. */
static struct guest_frame *
ask(struct guest *g, uint8_t *question, size_t len,
	bool (*is_answer)(const struct pkt_view *v, void *arg), void *arg)
{
	struct guest_frame *r = NULL;

	for (int ms = 0; r == NULL && ms < GUEST_TIMEOUT_MS; ms += GUEST_ASK_MS) {
		guest_send(g, question, len);
		r = guest_wait(g, is_answer, arg, GUEST_ASK_MS);
	}
	return r;
}

static bool
is_arp_reply(const struct pkt_view *v, void *arg)
{
	return v->eth_type == PKT_ETH_ARP && v->arp_op == 2 && pkt_addr_eq(&v->src, arg);
}

int
guest_arp(struct guest *g)
{
	static const uint8_t none[6];
	struct guest_frame *r;
	uint8_t f[64];
	size_t len = pkt_build_arp(f, broadcast, 1, g->mac, &g->addr, none, &g->gw);

	r = ask(g, f, len, is_arp_reply, &g->gw);
	if (r == NULL)
		return -ETIMEDOUT;
	memcpy(g->gw_mac, r->view.arp_sha, 6);
	free(r);
	return 0;
}

static bool
is_na(const struct pkt_view *v, void *arg)
{
	const struct pkt_addr *target = arg;

	return v->proto == IPPROTO_ICMPV6 && v->icmp_type == 136 &&
		memcmp(v->data, target->b, 16) == 0;
}

int
guest_nd(struct guest *g)
{
	struct guest_frame *r;
	uint8_t f[128];
	size_t len = pkt_build_ns(f, g->mac, &g->addr6, &g->gw6);

	r = ask(g, f, len, is_na, &g->gw6);
	if (r == NULL)
		return -ETIMEDOUT;
	memcpy(g->gw_mac, r->view.src_mac, 6);
	free(r);
	return 0;
}

int
guest_resolve(struct guest *g)
{
	int rc = guest_arp(g);

	return rc == 0 ? guest_nd(g) : rc;
}
