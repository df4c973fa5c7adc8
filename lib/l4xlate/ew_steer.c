/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which worker owns a flow between guests. Packets of both directions, errors about them,
 * fragments, and flows that a helper expects must come to the same: so it follows from the two
 * addresses, whatever their order, over the workers that poll queue pairs of either guest. Where
 * rules translate addresses, and where one of the addresses is not an assigned one, the directions
 * do not show the same pair, or not the same guests: such flows are all one worker's, by the
 * network.
 */
#include "l4x_priv.h"

#include <flowtab_siphash.h>

/* ---- what follows from the rules ---- */

static void
range_add(struct l4x_ew *ew, const struct flowtab_addr *min, const struct flowtab_addr *max)
{
	if (ew->n_ranges == L4X_EW_RANGES) {
		ew->all = true;
		return;
	}
	ew->ranges[ew->n_ranges].min = *min;
	ew->ranges[ew->n_ranges++].max = *max;
}

/** The addresses of a prefix. */
static void
net_add(struct l4x_ew *ew, const struct rules_net *net)
{
	struct flowtab_addr min = net->addr, max = net->addr;
	unsigned int len = net->prefix_len;

	if (len == 0 && flowtab_addr_is_any(&net->addr)) {
		ew->all = true;
		return;
	}
	if (flowtab_addr_is_v4(&net->addr))
		len += 96;
	for (unsigned int bit = len; bit < 128; bit++) {
		min.b[bit / 8] &= (uint8_t) ~(0x80 >> bit % 8);
		max.b[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
	}
	range_add(ew, &min, &max);
}

static void
rule_add(struct l4x_ew *ew, const struct rule *r)
{
	if ((r->directions & RULES_EAST_WEST) == 0)
		return;
	ew->open = true;
	if (r->action != RULES_ACCEPT || r->nat.what == 0)
		return;
	if (r->network == 0)
		ew->nat_everywhere = true;
	else
		ew->nat_networks[(r->network - 1) / 64] |= UINT64_C(1) << (r->network - 1) % 64;
	if ((r->nat.what & CT_NAT_DST) != 0)
		net_add(ew, &r->dst);
	/* Answers go there. */
	if ((r->nat.what & CT_NAT_SRC) != 0 && !flowtab_addr_is_any(&r->nat.src.min))
		range_add(ew, &r->nat.src.min, &r->nat.src.max);
}

void
l4x_ew_port(const struct l4x *l, struct l4x_port *port)
{
	const uint16_t network = port->conf.network;

	port->ew_nat =
		l->ew.nat_everywhere || (l->ew.nat_networks[network / 64] >> network % 64 & 1) != 0;
	port->network_worker = (uint8_t)(network % l->params.n_workers);
	port->workers_of_queues = 0;
}

void
l4x_ew_update(struct l4x *l)
{
	struct l4x_ew *ew = &l->ew;
	const struct rules *r = ew->rules;

	ew->open = r != NULL && rules_policy(r, RULES_EAST_WEST) != RULES_DROP;
	ew->all = false;
	ew->nat_everywhere = false;
	ew->n_ranges = 0;
	memset(ew->nat_networks, 0, sizeof(ew->nat_networks));
	for (uint32_t i = 0; r != NULL && i < rules_count(r); i++)
		rule_add(ew, rules_at(r, i));
	for (unsigned int pif = 1; pif <= l->max_pif; pif++)
		l4x_ew_port(l, &l->ports[pif]);
}

bool
l4x_ew_stands_for_guest(
	const struct l4x *l, const struct l4x_port *port, const struct flowtab_addr *a)
{
	const struct l4x_ew *ew = &l->ew;

	if (likely(!port->ew_nat))
		return false;
	for (uint32_t i = 0; i < ew->n_ranges; i++) {
		if (memcmp(a->b, ew->ranges[i].min.b, sizeof(a->b)) >= 0 &&
			memcmp(a->b, ew->ranges[i].max.b, sizeof(a->b)) <= 0)
			return true;
	}
	return ew->all;
}

/* ---- which worker ---- */

/** As bits, those that poll queue pairs which the guest uses at present. */
static uint64_t
workers_in_use(struct l4x_port *port)
{
	const uint32_t n = l4x_queues_in_use(&port->conf);

	if (unlikely(port->workers_of_queues != n)) {
		port->workers = 0;
		for (uint32_t q = 0; q < n; q++)
			port->workers |= UINT64_C(1) << (port->conf.queue_worker[q] & 63);
		port->workers_of_queues = n;
	}
	return port->workers;
}

static uint8_t
nth_bit(uint64_t bits, uint32_t n)
{
	while (n-- > 0)
		bits &= bits - 1;
	return (uint8_t)__builtin_ctzll(bits);
}

int
l4x_ew_owner(struct l4x *l, struct l4x_port *port, const struct flowtab_tuple *t)
{
	const struct l4x_port_conf *c = &port->conf;
	const struct flowtab_sipkey sip = flowtab_sipkey_load(l->params.secret);
	bool swap = memcmp(t->eaddr.b, t->oaddr.b, sizeof(t->eaddr.b)) > 0;
	const struct flowtab_addr *low = swap ? &t->oaddr : &t->eaddr;
	const struct flowtab_addr *high = swap ? &t->eaddr : &t->oaddr;
	uint64_t words[5] = { low->q[0], low->q[1], high->q[0], high->q[1], 0 }, workers;
	uint16_t to = l4x_neighbour(l, port, &t->oaddr);
	uint32_t hash;

	if (to == 0) {
		bool own = !l4x_addr_on_link(c, &t->oaddr) || l4x_addr_is_gateway(port, &t->oaddr);

		if (own && !l4x_ew_stands_for_guest(l, port, &t->oaddr))
			return -1;
		return port->network_worker;
	}
	if (port->ew_nat ||
		!flowtab_addr_eq(
			&t->eaddr, flowtab_addr_is_v4(&t->eaddr) ? &c->address : &c->address6))
		return port->network_worker;
	words[4] = (uint64_t)c->network << 16 | c->zone;
	hash = (uint32_t)flowtab_siphash13(&sip, words, RTE_DIM(words));
	workers = workers_in_use(port) | workers_in_use(&l->ports[to]);
	return nth_bit(workers,
		(uint32_t)((uint64_t)hash * (uint32_t)__builtin_popcountll(workers) >> 32));
}
