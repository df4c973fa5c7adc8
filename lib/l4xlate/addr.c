/* SPDX-License-Identifier: BSD-3-Clause */
#include "l4x_priv.h"

#include <stdatomic.h>

#include <flowtab_siphash.h>

#define PORT_DNS 53
/** Ports that are tried for a peer whose own port cannot be. */
#define FIND_PORT_TRIES 64

static const struct flowtab_addr loopback6 = { .b = { [15] = 1 } };

bool
l4x_addr_is_gateway(const struct l4x_port *port, const struct flowtab_addr *a)
{
	const struct l4x_port_conf *c = &port->conf;

	if (flowtab_addr_is_v4(a))
		return flowtab_addr_eq(a, &c->gateway) || flowtab_addr_eq(a, &c->loopback);
	if (flowtab_addr_is_zero(a))
		return false;
	return flowtab_addr_eq(a, &c->gateway6) || flowtab_addr_eq(a, &port->linklocal6) ||
		flowtab_addr_eq(a, &c->loopback6);
}

bool
l4x_addr_is_guest(const struct l4x_port *port, const struct flowtab_addr *a)
{
	if (flowtab_addr_is_v4(a))
		return flowtab_addr_eq(a, &port->conf.address) ||
			flowtab_addr_eq(a, &port->guest.seen4);
	return flowtab_addr_eq(a, &port->conf.address6) || flowtab_addr_eq(a, &port->guest.seen6);
}

void
l4x_guest_uses(struct l4x_port *port, const struct flowtab_addr *a)
{
	struct l4x_guest *g = &port->guest;

	if (likely(flowtab_addr_eq(a, &port->conf.address)))
		g->used4 = true;
	else if (flowtab_addr_eq(a, &port->conf.address6))
		g->used6 = true;
	else if (!flowtab_addr_is_any(a) && !flowtab_addr_is_linklocal(a))
		*(flowtab_addr_is_v4(a) ? &g->seen4 : &g->seen6) = *a;
}

const struct flowtab_addr *
l4x_guest_addr(const struct l4x_port_conf *conf, const struct l4x_guest *guest, bool v4)
{
	if (v4)
		return guest->used4 || flowtab_addr_is_any(&guest->seen4) ? &conf->address
									  : &guest->seen4;
	return guest->used6 || flowtab_addr_is_any(&guest->seen6) ? &conf->address6 : &guest->seen6;
}

bool
l4x_addr_on_link(const struct l4x_port_conf *conf, const struct flowtab_addr *a)
{
	if (flowtab_addr_is_v4(a))
		return conf->ipv4 && flowtab_addr_in_prefix(a, &conf->gateway, conf->prefix_len);
	return conf->ipv6 && flowtab_addr_in_prefix(a, &conf->gateway6, conf->prefix6_len);
}

bool
l4x_addr_is_broadcast(const struct l4x_port_conf *conf, const struct flowtab_addr *a)
{
	uint32_t v4, host;

	if (!flowtab_addr_is_v4(a))
		return false;
	v4 = rte_be_to_cpu_32(a->v4);
	if (v4 == UINT32_MAX)
		return true;
	/* RFC 3021: a /31 has no broadcast address. */
	if (!l4x_addr_on_link(conf, a) || conf->prefix_len >= 31)
		return false;
	/* RFC 1122, 3.3.6: all ones; of old, all zeroes. */
	host = v4 & UINT32_MAX >> conf->prefix_len;
	return host == UINT32_MAX >> conf->prefix_len || host == 0;
}

bool
l4x_addr_is_nobody(const struct flowtab_addr *a)
{
	static const uint8_t zero[12];

	if (flowtab_addr_is_loopback(a) || flowtab_addr_is_multicast(a))
		return true;
	/* RFC 1122, 3.2.1.3; RFC 4291, 2.5.5.1. */
	if (flowtab_addr_is_v4(a))
		return a->b[12] == 0 || a->b[12] >= 240;
	return memcmp(a->b, zero, sizeof(zero)) == 0;
}

bool
l4x_addr_is_free(const struct l4x_port *port, const struct flowtab_addr *a)
{
	return !l4x_addr_is_nobody(a) && !l4x_addr_is_broadcast(&port->conf, a) &&
		!l4x_addr_is_gateway(port, a);
}

/**
 * Destinations that lie nowhere, or only on the host itself (connect() to 0.0.0.0 reaches the
 * host's own loopback), or on a link of the host's: what no router forwards (RFC 3927, 7; RFC 4291,
 * 2.5.6). A cloud's metadata service at 169.254.169.254 would tell guests the host's secrets.
 */
static bool
is_unroutable(const struct flowtab_addr *a)
{
	return l4x_addr_is_nobody(a) || flowtab_addr_is_linklocal(a);
}

int
l4x_outbound(
	const struct l4x_port *port, const struct flowtab_tuple *guest, struct flowtab_tuple *host)
{
	const struct l4x_port_conf *c = &port->conf;
	const struct flowtab_addr *to = &guest->oaddr;
	bool v4 = flowtab_addr_is_v4(to);

	*host = (struct flowtab_tuple){ .pif = FLOWTAB_PIF_HOST, .zone = guest->zone };
	host->proto = guest->proto;
	host->eport = guest->oport;
	if (guest->oport == RTE_BE16(PORT_DNS) && !flowtab_addr_is_zero(&c->dns_forward) &&
		(guest->proto == IPPROTO_UDP || guest->proto == IPPROTO_TCP) &&
		l4x_addr_is_gateway(port, to)) {
		host->eaddr = c->dns_forward;
		return 0;
	}
	if (v4 && flowtab_addr_eq(to, &c->loopback)) {
		host->eaddr = flowtab_addr_v4(RTE_BE32(0x7f000001));
		return 0;
	}
	if (!v4 && flowtab_addr_eq(to, &c->loopback6) && !flowtab_addr_is_zero(to)) {
		host->eaddr = loopback6;
		return 0;
	}
	if (l4x_addr_is_gateway(port, to) || is_unroutable(to) || l4x_addr_on_link(c, to))
		return -EHOSTUNREACH;
	host->eaddr = *to;
	return 0;
}

/** A peer that the guest has no way to answer to under its own address. */
static bool
must_be_masked(const struct l4x_port_conf *c, const struct flowtab_addr *peer)
{
	return is_unroutable(peer) || flowtab_addr_eq(peer, &c->address) ||
		flowtab_addr_eq(peer, &c->address6);
}

/** Whom a peer appears as. Depends on the configuration alone: steering uses it, too. */
static int
inbound_peer(
	const struct l4x_port_conf *c, const struct flowtab_addr *peer, struct flowtab_addr *as)
{
	bool v4 = flowtab_addr_is_v4(peer);

	if (!must_be_masked(c, peer)) {
		*as = *peer;
		return (v4 ? c->ipv4 : c->ipv6) ? 0 : -EAFNOSUPPORT;
	}
	/* Who is masked may as well change its family: localhost is ::1 first on many hosts. */
	if (v4 ? !c->ipv4 : !c->ipv6)
		v4 = !v4;
	if (v4)
		*as = flowtab_addr_is_any(&c->loopback) ? c->gateway : c->loopback;
	else
		*as = flowtab_addr_is_any(&c->loopback6) ? c->gateway6 : c->loopback6;
	return 0;
}

static void
inbound_tuple(const struct l4x_port_conf *c, const struct l4x_event *ev, uint8_t proto,
	struct flowtab_tuple *guest)
{
	guest->pif = c->pif;
	guest->zone = c->zone;
	guest->proto = proto;
	guest->oport = ev->accepted.peer_port;
	guest->eport = ev->accepted.guest_port;
}

int
l4x_inbound(const struct l4x_port *port, const struct l4x_event *accepted, uint8_t proto,
	struct flowtab_tuple *guest, struct flowtab_tuple *host)
{
	int rc;

	*guest = (struct flowtab_tuple){ 0 };
	*host = (struct flowtab_tuple){ .pif = FLOWTAB_PIF_HOST, .zone = port->conf.zone };
	inbound_tuple(&port->conf, accepted, proto, guest);
	host->proto = proto;
	host->eaddr = accepted->accepted.peer;
	host->eport = accepted->accepted.peer_port;
	host->oaddr = accepted->accepted.local;
	host->oport = accepted->accepted.local_port;
	rc = inbound_peer(&port->conf, &accepted->accepted.peer, &guest->oaddr);
	if (rc < 0)
		return rc;
	guest->eaddr =
		*l4x_guest_addr(&port->conf, &port->guest, flowtab_addr_is_v4(&guest->oaddr));
	return 0;
}

uint32_t
l4x_queues_in_use(const struct l4x_port_conf *conf)
{
	uint32_t live = conf->n_queues;

	if (conf->live_queues != NULL)
		live = atomic_load_explicit(conf->live_queues, memory_order_relaxed);
	return RTE_MAX(RTE_MIN(live, (uint32_t)conf->n_queues), 1u);
}

/*
 * The guest's own address is left out: a worker that has not heard the guest yet does not know
 * which of its addresses it uses, and must come to the same result.
 */
uint8_t
l4x_steer_queue(const struct l4x_port_conf *conf, const uint8_t key[16],
	const struct flowtab_tuple *guest_side)
{
	const struct flowtab_sipkey sip = flowtab_sipkey_load(key);
	uint64_t words[3] = { guest_side->oaddr.q[0], guest_side->oaddr.q[1], 0 };
	uint32_t hash;

	words[2] = (uint64_t)guest_side->eport << 32 | (uint64_t)guest_side->oport << 16 |
		guest_side->proto;
	hash = (uint32_t)flowtab_siphash13(&sip, words, RTE_DIM(words));
	return (uint8_t)((uint64_t)hash * l4x_queues_in_use(conf) >> 32);
}

uint8_t
l4x_steer(const struct l4x_port_conf *conf, const uint8_t key[16],
	const struct flowtab_tuple *guest_side)
{
	return conf->queue_worker[l4x_steer_queue(conf, key, guest_side)];
}

bool
l4x_answers_come_here(struct l4x *l, const struct l4x_port *port, const struct l4x_terms *terms,
	struct flowtab_tuple *guest)
{
	const uint32_t n = (uint32_t)(terms->peer_port_max - terms->peer_port_min) + 1;

	for (unsigned int i = 0; i < FIND_PORT_TRIES; i++) {
		if (l4x_steer(&port->conf, l->params.secret, guest) == l->params.worker &&
			flowtab_lookup(l->ft, guest, l4x_now_ms(l), NULL) == FLOWTAB_NONE)
			return true;
		guest->oport = rte_cpu_to_be_16((uint16_t)(terms->peer_port_min +
			(uint32_t)((l4x_random(l) >> 32) * n >> 32)));
	}
	return false;
}

uint8_t
l4x_steer_inbound(const struct l4x_port_conf *conf, const uint8_t key[16],
	const struct l4x_event *accepted, uint8_t proto)
{
	struct flowtab_tuple guest = { 0 };

	inbound_tuple(conf, accepted, proto, &guest);
	if (inbound_peer(conf, &accepted->accepted.peer, &guest.oaddr) < 0)
		return conf->queue_worker[0];
	return l4x_steer(conf, key, &guest);
}
