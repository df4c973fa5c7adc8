/* SPDX-License-Identifier: BSD-3-Clause */
/* DHCP, UDP and ICMP of the test guest. */
#include "guest.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int
guest_udp_send(struct guest *g, uint16_t sport, const struct pkt_addr *dst, uint16_t dport,
	const void *data, size_t len)
{
	struct pkt_ip ip = guest_ip(g, dst);
	uint8_t *f = malloc(PKT_MAX);
	int rc;

	if (f == NULL)
		return -ENOMEM;
	rc = guest_send(g, f, pkt_build_udp(f, &ip, sport, dport, data, len));
	free(f);
	return rc;
}

static bool
is_udp_to(const struct pkt_view *v, void *arg)
{
	const uint16_t *port = arg;

	return v->proto == IPPROTO_UDP && v->dport == *port;
}

struct guest_frame *
guest_udp_recv(struct guest *g, uint16_t sport, int timeout_ms)
{
	return guest_wait(g, is_udp_to, &sport, timeout_ms);
}

static bool
is_icmp_error(const struct pkt_view *v, void *arg)
{
	const uint8_t *type = arg;

	return (v->proto == IPPROTO_ICMP || v->proto == IPPROTO_ICMPV6) && v->icmp_type == *type;
}

struct guest_frame *
guest_icmp_error(struct guest *g, uint8_t type, int timeout_ms)
{
	return guest_wait(g, is_icmp_error, &type, timeout_ms);
}

struct echo {
	bool v6;
	uint32_t rest;
};

static bool
is_echo_reply(const struct pkt_view *v, void *arg)
{
	const struct echo *e = arg;

	return v->proto == (e->v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP) &&
		v->icmp_type == (e->v6 ? 129 : 0) && v->icmp_rest == e->rest;
}

int
guest_ping(struct guest *g, const struct pkt_addr *dst, uint16_t id, uint16_t seq, const void *data,
	size_t len, int timeout_ms)
{
	struct echo e = { dst->len == 16, (uint32_t)id << 16 | seq };
	struct pkt_ip ip = guest_ip(g, dst);
	uint8_t *f = malloc(PKT_MAX);
	struct guest_frame *r;
	int rc = 0;

	if (f == NULL)
		return -ENOMEM;
	guest_send(g, f, pkt_build_icmp(f, &ip, e.v6 ? 128 : 8, 0, e.rest, data, len));
	free(f);
	r = guest_wait(g, is_echo_reply, &e, timeout_ms);
	if (r == NULL)
		return -ETIMEDOUT;
	if (r->view.icmp_code != 0 || r->view.data_len != len ||
		memcmp(r->view.data, data, len) != 0 || !pkt_addr_eq(&r->view.src, dst))
		rc = -EPROTO;
	free(r);
	return rc;
}

/* ---- DHCP ---- */

int
guest_dhcp_send(struct guest *g, const struct dhcp_request *r, const char *src, const char *dst)
{
	struct pkt_ip ip = { .src = pkt_addr(src), .dst = pkt_addr(dst) };
	uint8_t msg[1024], f[1200];
	size_t len = dhcp_build(msg, r);

	memcpy(ip.src_mac, g->mac, 6);
	if (strcmp(dst, "255.255.255.255") == 0)
		memset(ip.dst_mac, 0xff, 6);
	else
		memcpy(ip.dst_mac, g->gw_mac, 6);
	return guest_send(g, f, pkt_build_udp(f, &ip, 68, 67, msg, len));
}

struct guest_frame *
guest_dhcp_wait(struct guest *g, struct dhcp_reply *reply, int timeout_ms)
{
	struct guest_frame *f = guest_udp_recv(g, 68, timeout_ms);
	const char *bad;

	if (f == NULL)
		return NULL;
	bad = f->view.sport != 67 ? "DHCP from another port than 67"
				  : dhcp_parse(f->view.data, f->view.data_len, reply);
	if (bad == NULL && memcmp(reply->chaddr, g->mac, 6) != 0)
		bad = "DHCP for another hardware address";
	if (bad == NULL)
		return f;
	if (g->error[0] == '\0')
		snprintf(g->error, sizeof(g->error), "DHCP: %s", bad);
	free(f);
	return NULL;
}

int
guest_dhcp(struct guest *g, struct dhcp_reply *ack, struct guest_frame **frame)
{
	static const uint8_t params[] = { DHCP_OPT_MASK, DHCP_OPT_ROUTER, DHCP_OPT_DNS,
		DHCP_OPT_DOMAIN, DHCP_OPT_HOSTNAME, DHCP_OPT_MTU, DHCP_OPT_SEARCH };
	struct dhcp_request r = { .type = DHCP_DISCOVER,
		.xid = 0x10203040u + g->next_port,
		.params = params,
		.n_params = sizeof(params) };
	struct guest_frame *f;

	*frame = NULL;
	memcpy(r.mac, g->mac, 6);
	guest_dhcp_send(g, &r, "0.0.0.0", "255.255.255.255");
	f = guest_dhcp_wait(g, ack, GUEST_TIMEOUT_MS);
	if (f == NULL)
		return -ETIMEDOUT;
	if (ack->type != DHCP_OFFER || ack->xid != r.xid) {
		free(f);
		return -EPROTO;
	}
	r.type = DHCP_REQUEST;
	r.requested = ack->yiaddr;
	r.server = dhcp_opt_addr(ack, DHCP_OPT_SERVER, 0);
	free(f);
	guest_dhcp_send(g, &r, "0.0.0.0", "255.255.255.255");
	f = guest_dhcp_wait(g, ack, GUEST_TIMEOUT_MS);
	if (f == NULL)
		return -ETIMEDOUT;
	*frame = f;
	if (ack->type != DHCP_ACK || ack->xid != r.xid)
		return -EPROTO;
	g->addr = ack->yiaddr;
	return 0;
}

int
guest_dhcp6_send(struct guest *g, const struct dhcp6_request *r)
{
	struct pkt_ip ip = { .src = g->ll6, .dst = pkt_addr("ff02::1:2") };
	static const uint8_t group[6] = { 0x33, 0x33, 0, 1, 0, 2 };
	uint8_t msg[1024], f[1200];

	memcpy(ip.src_mac, g->mac, 6);
	memcpy(ip.dst_mac, group, 6);
	return guest_send(g, f, pkt_build_udp(f, &ip, 546, 547, msg, dhcp6_build(msg, r)));
}

struct guest_frame *
guest_dhcp6_wait(struct guest *g, struct dhcp6_reply *reply, int timeout_ms)
{
	struct guest_frame *f = guest_udp_recv(g, 546, timeout_ms);
	const char *bad;

	if (f == NULL)
		return NULL;
	bad = f->view.sport != 547 ? "DHCPv6 from another port than 547"
				   : dhcp6_parse(f->view.data, f->view.data_len, reply);
	if (bad == NULL)
		return f;
	if (g->error[0] == '\0')
		snprintf(g->error, sizeof(g->error), "DHCPv6: %s", bad);
	free(f);
	return NULL;
}
