/* SPDX-License-Identifier: BSD-3-Clause */
#include "conf_priv.h"

#include <string.h>

static struct conf_place
weir_place(const struct conf_loader *l, const char *key)
{
	struct conf_place p = { l->conf->file, "weir", NULL, key, { 0 } };

	p.where = l->conf->where[conf_key_find(conf_weir_keys, key)];
	return p;
}

static struct conf_place
network_place(const struct conf_loader *l, const struct conf_network *n, const char *key)
{
	struct conf_place p = { l->conf->file, "network", n->name, key, n->section };
	const struct conf_where *w = &n->where[conf_key_find(conf_network_keys, key)];

	if (w->source != CONF_UNSET)
		p.where = *w;
	return p;
}

/** Where the key was given; if it was not, where its VM is. */
static struct conf_place
vm_place(const struct conf_loader *l, const struct conf_vm *vm, const char *key)
{
	struct conf_place p = { l->conf->file, "vm", vm->name, key, vm->section };
	const struct conf_where *w = &vm->where[conf_key_find(conf_vm_keys, key)];

	if (w->source != CONF_UNSET)
		p.where = *w;
	return p;
}

static bool
vm_given(const struct conf_vm *vm, const char *key)
{
	return vm->where[conf_key_find(conf_vm_keys, key)].source != CONF_UNSET;
}

void
conf_set_defaults(const struct conf_key *table, const struct conf_where *where, void *object)
{
	char why[CONF_ERROR_LEN];
	int i;

	for (i = 0; table[i].name != NULL; i++)
		if (table[i].def != NULL && (where[i].source == CONF_UNSET || where[i].bad))
			table[i].parse(&table[i], table[i].def, (char *)object + table[i].offset,
				why, sizeof(why));
}

/* ---- [weir] ---- */

static void
check_cpus(struct conf_loader *l)
{
	const struct conf_cpus *w = &l->conf->workers, *b = &l->conf->bridges;
	const struct conf_place place = weir_place(l, "bridges");
	uint32_t i, j;

	if (w->how != CONF_SPREAD_CPUS || b->how != CONF_SPREAD_CPUS)
		return;
	for (i = 0; i < b->n; i++)
		for (j = 0; j < w->n; j++)
			if (b->cpu[i] == w->cpu[j])
				conf_error(l, &place,
					"CPU %u is a worker's, too: a bridge there is written "
					"bridges = inline",
					b->cpu[i]);
}

/** Flows that the smallest default is for; about a kilobyte each, and as much again for frames. */
#define MEMORY_FLOWS 131072
#define MEMORY_MB 256
#define MEMORY_MAX_MB 1048576

uint32_t
conf_memory_needed(const struct conf *c)
{
	const uint64_t workers = c->workers.how == CONF_SPREAD_CPUS ? c->workers.n : 1;
	const uint64_t flows = RTE_MAX(workers * c->max_flows, (uint64_t)MEMORY_FLOWS);
	const uint64_t mb = (flows + MEMORY_FLOWS - 1) / MEMORY_FLOWS * MEMORY_MB;

	return (uint32_t)RTE_MIN(mb, (uint64_t)MEMORY_MAX_MB);
}

/* ---- networks ---- */

/** Host number n of a subnet. */
static struct flowtab_addr
subnet_host(const struct conf_prefix *p, uint64_t n)
{
	struct flowtab_addr a = p->addr;
	int i;

	for (i = 15; i >= 8; i--, n >>= 8)
		a.b[i] |= (uint8_t)n;
	return a;
}

/** Host numbers of the subnet go from 1 to this. */
static uint64_t
subnet_last(const struct conf_prefix *p)
{
	const bool v4 = flowtab_addr_is_v4(&p->addr);
	const unsigned int bits = (v4 ? 32 : 128) - p->len;

	/* The broadcast address is nobody's; of IPv6, more than enough. */
	return bits > 31 ? UINT32_MAX : ((uint64_t)1 << bits) - (v4 ? 2 : 1);
}

/** May a host of the subnet have this address? Says why not. */
static bool
subnet_takes(struct conf_loader *l, const struct conf_place *place, const struct conf_prefix *p,
	const struct flowtab_addr *a)
{
	char addr[FLOWTAB_ADDR_STRLEN], net[FLOWTAB_ADDR_STRLEN];
	struct flowtab_addr broadcast;

	flowtab_addr_format(a, addr);
	flowtab_addr_format(&p->addr, net);
	if (!flowtab_addr_in_prefix(a, &p->addr, p->len)) {
		conf_error(l, place, "%s is not in the network's subnet %s/%u", addr, net, p->len);
		return false;
	}
	broadcast = subnet_host(p, subnet_last(p) + 1);
	if (flowtab_addr_eq(a, &p->addr)) {
		conf_error(l, place, "%s is the address of the subnet itself", addr);
		return false;
	}
	if (flowtab_addr_is_v4(a) && flowtab_addr_eq(a, &broadcast)) {
		conf_error(l, place, "%s is the broadcast address of %s/%u", addr, net, p->len);
		return false;
	}
	return true;
}

static void
complete_gateway(struct conf_loader *l, const struct conf_network *n, const char *key,
	const struct conf_prefix *subnet, struct conf_addr *gateway)
{
	const struct conf_place place = network_place(l, n, key);

	if (gateway->how == CONF_NONE)
		conf_error(l, &place, "a network cannot do without: leave it out for the default");
	if (gateway->how == CONF_GIVEN && subnet->how != CONF_GIVEN)
		conf_error(l, &place, "the network has no subnet of this family");
	else if (gateway->how == CONF_GIVEN)
		subnet_takes(l, &place, subnet, &gateway->addr);
	else if (subnet->how == CONF_GIVEN)
		gateway->addr = subnet_host(subnet, 2);
}

static void
complete_default_network(struct conf_loader *l)
{
	struct conf_network *n = l->conf->networks[0];
	const struct conf_place place = network_place(l, n, "subnet");
	const struct conf_place place6 = network_place(l, n, "subnet6");

	if (n->subnet.how != CONF_INHERIT && weir_place(l, "network").where.source != CONF_UNSET)
		conf_error(l, &place, "[weir] network gives the same, and another value");
	if (n->subnet6.how != CONF_INHERIT && weir_place(l, "network6").where.source != CONF_UNSET)
		conf_error(l, &place6, "[weir] network6 gives the same, and another value");
	if (n->subnet.how == CONF_INHERIT)
		n->subnet = l->conf->network;
	if (n->subnet6.how == CONF_INHERIT)
		n->subnet6 = l->conf->network6;
}

static void
complete_network(struct conf_loader *l, struct conf_network *n)
{
	const struct conf_place place = network_place(l, n, "subnet");
	const struct conf *c = l->conf;

	conf_set_defaults(conf_network_keys, n->where, n);
	if (n == c->networks[0])
		complete_default_network(l);
	else if (n->subnet.how != CONF_GIVEN && n->subnet6.how != CONF_GIVEN && !place.where.bad)
		conf_error(l, &place, "give a subnet, a subnet6, or both");
	complete_gateway(l, n, "gateway", &n->subnet, &n->gateway);
	complete_gateway(l, n, "gateway6", &n->subnet6, &n->gateway6);
	if (n->mtu == 0)
		n->mtu = c->mtu;
	if (n->lease_s == 0)
		n->lease_s = c->lease_s;
	if (n->dns.how == CONF_INHERIT)
		n->dns = c->dns;
	if (n->dns_forward.how == CONF_INHERIT)
		n->dns_forward = c->dns_forward;
	if (n->search.how == CONF_INHERIT)
		n->search = c->search;
}

/* ---- VMs ---- */

/** A MAC address that is the same whenever the name is: locally administered, from FNV-1a. */
static struct rte_ether_addr
mac_from_name(const char *kind, const char *name)
{
	const uint64_t prime = 0x100000001b3;
	uint64_t h = 0xcbf29ce484222325;
	struct rte_ether_addr mac = { { 0x02 } };
	const char *parts[2] = { kind, name };
	const char *s;
	int i;

	for (i = 0; i < 2; i++)
		for (s = parts[i]; *s != '\0'; s++)
			h = (h ^ (uint8_t)*s) * prime;
	for (i = 1; i < 6; i++, h >>= 8)
		mac.addr_bytes[i] = (uint8_t)h;
	return mac;
}

static const struct conf_network *
vm_network(struct conf_loader *l, const struct conf_vm *vm)
{
	const struct conf_place place = vm_place(l, vm, "network");
	const struct conf_network *n = conf_network_find(l->conf, vm->network);

	if (n != NULL)
		return n;
	conf_error(l, &place, "there is no [network.%s]", vm->network);
	return NULL;
}

static void
check_port(struct conf_loader *l, const struct conf_vm *vm)
{
	const struct conf_place port = vm_place(l, vm, "port"), mode = vm_place(l, vm, "mode");
	const struct conf_place group = vm_place(l, vm, "socket-group");
	struct conf_place socket = vm_place(l, vm, "socket");

	if (!vm_given(vm, "socket") && !vm_given(vm, "port"))
		conf_error(l, &socket, "missing: give the path of the vhost-user socket");
	if (vm_given(vm, "socket") && vm_given(vm, "port"))
		conf_error(l, &port, "there is a socket, too: give one of them");
	if (vm_given(vm, "mode") && vm_given(vm, "port"))
		conf_error(l, &mode, "goes with socket, not with port");
	if (vm_given(vm, "socket-group") &&
		(vm_given(vm, "port") || vm->mode == VPORT_VHOST_CLIENT))
		conf_error(l, &group, "goes with a socket that weir makes (mode = server)");
}

/** The gateway of a VM: its own, or its network's. @return false: reported */
static bool
vm_gateway(struct conf_loader *l, const struct conf_vm *vm, const char *key,
	const struct conf_prefix *subnet, const struct conf_addr *own,
	const struct flowtab_addr *network, struct flowtab_addr *out)
{
	const struct conf_place place = vm_place(l, vm, key);

	*out = *network;
	if (own->how == CONF_INHERIT)
		return true;
	if (own->how == CONF_NONE) {
		conf_error(l, &place, "a VM cannot do without: leave it out for the network's");
		return false;
	}
	if (subnet->how != CONF_GIVEN) {
		conf_error(l, &place, "the network has no subnet of this family");
		return false;
	}
	*out = own->addr;
	return subnet_takes(l, &place, subnet, &own->addr);
}

static void
vm_explicit(struct conf_loader *l, const struct conf_vm *vm, const char *key,
	const struct conf_prefix *subnet, const struct conf_addr *given,
	const struct flowtab_addr *gateway, struct flowtab_addr *out)
{
	const struct conf_place place = vm_place(l, vm, key);
	char text[FLOWTAB_ADDR_STRLEN];

	if (given->how != CONF_GIVEN)
		return;
	if (subnet->how != CONF_GIVEN) {
		conf_error(l, &place, "the network has no subnet of this family");
		return;
	}
	if (!subnet_takes(l, &place, subnet, &given->addr))
		return;
	if (flowtab_addr_eq(&given->addr, gateway)) {
		conf_error(l, &place, "%s is the gateway's address",
			flowtab_addr_format(&given->addr, text));
		return;
	}
	*out = given->addr;
}

/** What needs no other VM. */
static const struct conf_network *
complete_vm_own(struct conf_loader *l, struct conf_vm *vm)
{
	const struct conf_place max_flows = vm_place(l, vm, "max-flows");
	const struct conf_network *n;
	struct l4x_port_conf *p = &vm->port;

	conf_set_defaults(conf_vm_keys, vm->where, vm);
	check_port(l, vm);
	n = vm_network(l, vm);
	if (n == NULL)
		return NULL;
	p->network = n->number;
	p->zone = (uint16_t)vm->zone;
	p->mtu = (uint16_t)(vm->mtu != 0 ? vm->mtu : n->mtu);
	p->lease_s = vm->lease_s != 0 ? vm->lease_s : n->lease_s;
	p->guest_mac = vm->mac;
	if (rte_is_zero_ether_addr(&vm->mac))
		p->guest_mac = mac_from_name("vm:", vm->name);
	p->gateway_mac = mac_from_name("network:", n->name);
	p->ipv4 = n->subnet.how == CONF_GIVEN && vm->address.how != CONF_NONE;
	p->ipv6 = n->subnet6.how == CONF_GIVEN && vm->address6.how != CONF_NONE;
	p->prefix_len = p->ipv4 ? (uint8_t)n->subnet.len : 0;
	p->prefix6_len = p->ipv6 ? (uint8_t)n->subnet6.len : 0;
	if (vm_gateway(l, vm, "gateway", &n->subnet, &vm->gateway, &n->gateway.addr, &p->gateway))
		vm_explicit(l, vm, "address", &n->subnet, &vm->address, &p->gateway, &p->address);
	if (vm_gateway(
		    l, vm, "gateway6", &n->subnet6, &vm->gateway6, &n->gateway6.addr, &p->gateway6))
		vm_explicit(
			l, vm, "address6", &n->subnet6, &vm->address6, &p->gateway6, &p->address6);
	if (vm->hostname[0] != '\0')
		snprintf(p->hostname, sizeof(p->hostname), "%s", vm->hostname);
	else if (conf_hostname_valid(vm->name))
		snprintf(p->hostname, sizeof(p->hostname), "%s", vm->name);
	if (vm->max_flows > l->conf->max_flows)
		conf_error(l, &max_flows, "%u is more than the max-flows of [weir], %u",
			vm->max_flows, l->conf->max_flows);
	p->max_flows = vm->max_flows;
	p->new_flows_per_s = vm->new_flows_per_s;
	p->mark = vm->mark;
	return n;
}

static bool
address_taken(const struct conf *c, const char *network, const struct flowtab_addr *a)
{
	uint32_t i;

	for (i = 0; i < c->n_vms; i++) {
		const struct conf_vm *vm = c->vms[i];
		const struct l4x_port_conf *p = &vm->port;

		if (strcmp(vm->network, network) == 0 &&
			(flowtab_addr_eq(&p->address, a) || flowtab_addr_eq(&p->address6, a) ||
				flowtab_addr_eq(&p->gateway, a) ||
				flowtab_addr_eq(&p->gateway6, a)))
			return true;
	}
	return false;
}

/** The next free address: .15 and on, then .1 to .14; in IPv6 as the digits read, ::15 and on. */
static void
vm_automatic(struct conf_loader *l, const struct conf_vm *vm, const char *key,
	const struct conf_prefix *subnet, struct flowtab_addr *out)
{
	const uint64_t begin = flowtab_addr_is_v4(&subnet->addr) ? 15 : 0x15;
	const uint64_t last = subnet_last(subnet);
	const struct conf_place place = vm_place(l, vm, key);
	uint64_t n, tries;

	n = begin <= last ? begin : 1;
	for (tries = 0; tries < last && tries < 4 * CONF_MAX_VMS; tries++) {
		const struct flowtab_addr a = subnet_host(subnet, n);

		if (!address_taken(l->conf, vm->network, &a)) {
			*out = a;
			return;
		}
		n = n == last ? 1 : n + 1;
	}
	conf_error(l, &place, "no address is left in the network %s: make its subnet larger",
		vm->network);
}

static void
complete_loopback(struct conf_loader *l, struct conf_vm *vm)
{
	const struct conf_place place = vm_place(l, vm, "loopback");
	const struct conf_loopback *want = &vm->loopback;
	struct l4x_port_conf *p = &vm->port;

	if (want->how == CONF_GATEWAY) {
		if (p->ipv4)
			p->loopback = p->gateway;
		if (p->ipv6)
			p->loopback6 = p->gateway6;
	}
	if (want->how != CONF_GIVEN)
		return;
	p->loopback = want->v4;
	p->loopback6 = want->v6;
	if ((!flowtab_addr_is_zero(&want->v4) && !p->ipv4) ||
		(!flowtab_addr_is_zero(&want->v6) && !p->ipv6))
		conf_error(l, &place, "the VM has no address of this family");
	if ((p->ipv4 && flowtab_addr_eq(&want->v4, &p->address)) ||
		(p->ipv6 && flowtab_addr_eq(&want->v6, &p->address6)))
		conf_error(l, &place, "this is the VM's own address");
}

/** What comes to an address of one family needs a guest of that family. */
static void
check_forwards(struct conf_loader *l, const struct conf_vm *vm, const char *key,
	const struct conf_forwards *f)
{
	const struct conf_place place = vm_place(l, vm, key);
	const struct l4x_port_conf *p = &vm->port;
	char text[FLOWTAB_ADDR_STRLEN];
	uint32_t i;

	for (i = 0; i < f->n; i++) {
		const struct flowtab_addr *a = &f->entry[i].addr;

		if (!flowtab_addr_is_zero(a) && !(flowtab_addr_is_v4(a) ? p->ipv4 : p->ipv6))
			conf_error(l, &place, "%s: the VM has no address of this family",
				flowtab_addr_format(a, text));
	}
}

/** What needs the explicit addresses of all VMs. */
static void
complete_vm_rest(struct conf_loader *l, struct conf_vm *vm, const struct conf_network *n)
{
	const struct conf_place mtu = vm_place(l, vm, "mtu"), addr = vm_place(l, vm, "address");
	struct l4x_port_conf *p = &vm->port;

	if (p->ipv4 && vm->address.how == CONF_INHERIT)
		vm_automatic(l, vm, "address", &n->subnet, &p->address);
	if (p->ipv6 && vm->address6.how == CONF_INHERIT)
		vm_automatic(l, vm, "address6", &n->subnet6, &p->address6);
	if (!p->ipv4 && !p->ipv6)
		conf_error(l, &addr, "the VM has neither an IPv4 nor an IPv6 address");
	if (p->ipv6 && p->mtu < 1280)
		conf_error(l, &mtu,
			"%u is too small for IPv6, which needs 1280: raise it, or give "
			"address6 = none",
			p->mtu);
	check_forwards(l, vm, "tcp", &vm->tcp);
	check_forwards(l, vm, "udp", &vm->udp);
	complete_loopback(l, vm);
	conf_complete_dns(l, vm, n);
}

/* ---- everything ---- */

void
conf_complete(struct conf_loader *l)
{
	const struct conf_network *networks[CONF_MAX_VMS];
	struct conf *c = l->conf;
	uint32_t i;

	conf_set_defaults(conf_weir_keys, c->where, c);
	check_cpus(l);
	if (weir_place(l, "memory").where.source == CONF_UNSET)
		c->memory_mb = conf_memory_needed(c);
	for (i = 0; i < c->n_networks; i++) {
		c->networks[i]->number = (uint16_t)i;
		complete_network(l, c->networks[i]);
	}
	for (i = 0; i < c->n_vms; i++)
		networks[i] = complete_vm_own(l, c->vms[i]);
	for (i = 0; i < c->n_vms; i++)
		if (networks[i] != NULL)
			complete_vm_rest(l, c->vms[i], networks[i]);
	conf_check_clashes(l);
	conf_complete_rules(l);
	conf_complete_timeouts(l);
	if (c->n_vms == 0 && !l->p->reload && l->errors == 0)
		conf_error(l, NULL,
			"%s%sno VM: add a section [vm.NAME] with socket = PATH, or "
			"--vm NAME,socket=PATH",
			c->file != NULL ? c->file : "", c->file != NULL ? ": " : "");
}
