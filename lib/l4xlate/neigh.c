/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which port an address is assigned to. A zone is a world of its own: guests of two zones never
 * see each other, and may have the same addresses.
 */
#include "l4x_priv.h"

#include <rte_hash.h>

struct neigh_key {
	struct flowtab_addr addr;
	uint16_t network, zone;
	uint32_t zero;
};
static_assert(sizeof(struct neigh_key) == 24, "a key has no holes");

static struct neigh_key
key_of(const struct l4x_port_conf *c, const struct flowtab_addr *a)
{
	return (struct neigh_key){ .addr = *a, .network = c->network, .zone = c->zone };
}

struct rte_hash *
l4x_neighbours_create(const char *name, int socket_id)
{
	char unique[RTE_HASH_NAMESIZE];
	struct rte_hash_parameters p = {
		.name = unique,
		.entries = 2 * L4X_MAX_PIFS,
		.key_len = sizeof(struct neigh_key),
		.socket_id = socket_id,
		/* Every address finds a place, whatever the others are. */
		.extra_flag = RTE_HASH_EXTRA_FLAGS_EXT_TABLE,
	};

	snprintf(unique, sizeof(unique), "%s_neigh", name);
	return rte_hash_create(&p);
}

static int
add(struct l4x *l, const struct l4x_port_conf *c, const struct flowtab_addr *a)
{
	const struct neigh_key key = key_of(c, a);

	return rte_hash_add_key_data(l->neighbours, &key, (void *)(uintptr_t)c->pif);
}

int
l4x_neighbours_update(struct l4x *l)
{
	int rc = 0;

	rte_hash_reset(l->neighbours);
	for (unsigned int pif = 1; pif <= l->max_pif && rc == 0; pif++) {
		const struct l4x_port *port = &l->ports[pif];

		if (!port->present || port->removing)
			continue;
		if (port->conf.ipv4)
			rc = add(l, &port->conf, &port->conf.address);
		if (rc == 0 && port->conf.ipv6)
			rc = add(l, &port->conf, &port->conf.address6);
	}
	return rc;
}

uint16_t
l4x_neighbour(const struct l4x *l, const struct l4x_port *port, const struct flowtab_addr *a)
{
	struct neigh_key key;
	void *pif;

	if (!l4x_addr_on_link(&port->conf, a))
		return 0;
	key = key_of(&port->conf, a);
	if (rte_hash_lookup_data(l->neighbours, &key, &pif) < 0 || (uintptr_t)pif == port->conf.pif)
		return 0;
	return (uint16_t)(uintptr_t)pif;
}
