/* SPDX-License-Identifier: BSD-3-Clause */
#include "l4x_priv.h"

/** Beyond this a bucket is full whatever its rate: keeps the product below 64 bits. */
#define BUCKET_MAX_US 3600000000ULL
#define TOKEN 1000000ULL

bool
l4x_bucket_take(struct l4x_bucket *b, uint64_t rate_per_s, uint64_t burst, uint64_t now_us)
{
	uint64_t elapsed = now_us > b->us ? RTE_MIN(now_us - b->us, BUCKET_MAX_US) : 0;

	b->us = now_us;
	b->credit = RTE_MIN(b->credit + elapsed * rate_per_s, burst * TOKEN);
	if (b->credit < TOKEN)
		return false;
	b->credit -= TOKEN;
	return true;
}

bool
l4x_error_allowed(struct l4x *l, struct l4x_port *port)
{
	if (l4x_bucket_take(&port->errors, L4X_ERRORS_PER_S, L4X_ERRORS_BURST, l->now_us))
		return true;
	l4x_count(l, L4X_DROP_RATE);
	return false;
}

static bool
family_ok(bool enabled, bool v4, const struct flowtab_addr *address,
	const struct flowtab_addr *gateway, uint8_t prefix_len)
{
	if (!enabled)
		return true;
	if (flowtab_addr_is_any(address) || flowtab_addr_is_any(gateway))
		return false;
	if (flowtab_addr_is_v4(address) != v4 || flowtab_addr_is_v4(gateway) != v4)
		return false;
	return prefix_len >= 1 && prefix_len <= (v4 ? 32 : 128);
}

static bool
conf_ok(const struct l4x_port_conf *c)
{
	if (c->pif == 0 || c->pif >= L4X_MAX_PIFS)
		return false;
	if (c->mtu < (c->ipv6 ? 1280 : 68) || c->mtu > 65520)
		return false;
	if (c->n_queues == 0 || c->n_queues > L4X_MAX_QUEUES || c->n_dns > L4X_MAX_DNS)
		return false;
	if (!rte_is_valid_assigned_ether_addr(&c->gateway_mac))
		return false;
	if (memchr(c->search, 0, sizeof(c->search)) == NULL ||
		memchr(c->hostname, 0, sizeof(c->hostname)) == NULL)
		return false;
	return family_ok(c->ipv4, true, &c->address, &c->gateway, c->prefix_len) &&
		family_ok(c->ipv6, false, &c->address6, &c->gateway6, c->prefix6_len);
}

/** RFC 4291, appendix A: the interface identifier made of a MAC address. */
static struct flowtab_addr
linklocal_of(const struct rte_ether_addr *mac)
{
	const uint8_t *m = mac->addr_bytes;
	struct flowtab_addr a = { .b = { 0xfe, 0x80, 0, 0, 0, 0, 0, 0, m[0] ^ 2, m[1], m[2], 0xff,
					  0xfe, m[3], m[4], m[5] } };

	return a;
}

static void
workers_of(struct l4x_port *port, uint8_t me)
{
	const struct l4x_port_conf *c = &port->conf;
	uint64_t seen[4] = { 0 };

	port->n_workers = 0;
	port->tx_queue = 0;
	port->polled = false;
	for (unsigned int q = c->n_queues; q-- > 0;) {
		uint8_t w = c->queue_worker[q];

		if (w == me) {
			port->tx_queue = q;
			port->polled = true;
		}
		if ((seen[w / 64] >> (w % 64) & 1) == 0)
			port->n_workers++;
		seen[w / 64] |= 1ULL << (w % 64);
	}
}

/** Each guest that is heard here has the same share of the flows. */
static void
share_flows(struct l4x *l)
{
	uint32_t n = 0;

	for (unsigned int pif = 1; pif <= l->max_pif; pif++) {
		const struct l4x_port_conf *c = &l->ports[pif].conf;

		n += l->ports[pif].present &&
			memchr(c->queue_worker, l->params.worker, c->n_queues) != NULL;
	}
	flowtab_share(l->ft, n > 1 ? flowtab_max(l->ft) / n : 0);
}

/** Then its MAC is known, whatever the configuration has, and a VM that is renamed has another. */
static bool
is_heard(const struct l4x_guest *guest)
{
	return guest->used4 || guest->used6 || !flowtab_addr_is_any(&guest->seen4) ||
		!flowtab_addr_is_any(&guest->seen6);
}

int
l4x_port_set(struct l4x *l, const struct l4x_port_conf *conf)
{
	struct l4x_port *port;
	int rc;

	if (conf == NULL || !conf_ok(conf))
		return -EINVAL;
	port = &l->ports[conf->pif];
	if (port->removing)
		return -EINVAL;
	rc = flowtab_pif_limit(l->ft, conf->pif, conf->max_flows);
	if (rc < 0)
		return rc;
	if (!port->present || !rte_is_same_ether_addr(&port->conf.guest_mac, &conf->guest_mac)) {
		if (!is_heard(&port->guest))
			port->guest.mac = conf->guest_mac;
		port->told.mac = conf->guest_mac;
	}
	if (!flowtab_addr_eq(&port->conf.address, &conf->address))
		port->guest.used4 = false;
	if (!flowtab_addr_eq(&port->conf.address6, &conf->address6))
		port->guest.used6 = false;
	port->conf = *conf;
	port->linklocal6 = linklocal_of(&conf->gateway_mac);
	port->new_flows = (struct l4x_bucket){ .us = l->now_us };
	port->new_flows.credit = (uint64_t)conf->new_flows_per_s * TOKEN;
	workers_of(port, l->params.worker);
	l4x_ew_port(l, port);
	if (!port->present) {
		port->present = true;
		port->told_queues = l4x_queues_in_use(conf);
		port->next_ra_us = UINT64_MAX;
		port->frag_id = (uint32_t)l4x_random(l);
		port->errors.us = l->now_us;
		port->errors.credit = L4X_ERRORS_BURST * TOKEN;
	}
	l->max_pif = RTE_MAX(l->max_pif, conf->pif);
	share_flows(l);
	/* Its address may have been used by others, its flows may be those of another address. */
	l4x_recheck_begin(l);
	return l4x_neighbours_update(l);
}

int
l4x_port_remove(struct l4x *l, uint16_t pif)
{
	struct l4x_port *port;

	if (pif == 0 || pif >= L4X_MAX_PIFS || !l->ports[pif].present)
		return 0;
	port = &l->ports[pif];
	if (!port->removing) {
		l4x_nd_leave(l, port);
		port->removing = true;
		port->close_cursor = 0;
		flowtab_frags_flush(l->frags, pif);
		/* Fewer than there were always fit. */
		l4x_neighbours_update(l);
	}
	if (l4x_flows_close(l, pif, &port->close_cursor) > 0)
		return 1;
	memset(port, 0, sizeof(*port));
	while (l->max_pif > 0 && !l->ports[l->max_pif].present)
		l->max_pif--;
	share_flows(l);
	return 0;
}

void
l4x_port_link(struct l4x *l, uint16_t pif, bool up, uint32_t offloads)
{
	struct l4x_port *port = l4x_port(l, pif);

	if (port == NULL)
		return;
	port->up = up;
	port->offloads = offloads;
	if (up) {
		l4x_nd_link(l, port);
	} else {
		port->next_ra_us = UINT64_MAX;
		flowtab_frags_flush(l->frags, pif);
		/* Who comes next may have other addresses; its card is most likely the same. */
		port->guest = (struct l4x_guest){ .mac = port->guest.mac };
		port->told = port->guest;
	}
}
