/* SPDX-License-Identifier: BSD-3-Clause */
/* Resolvers of a VM, and what two VMs cannot both have. */
#include "conf_priv.h"

#include <netinet/in.h>
#include <string.h>

#include "resolv.h"

/* ---- resolvers ---- */

/**
 * A resolver of the host that the guest can reach by itself: not on the host's loopback, not on a
 * link, be it the host's or the VM's own (a host that is a guest itself may well have 10.0.2.3).
 */
static bool
reachable(const struct l4x_port_conf *p, const struct flowtab_addr *a)
{
	return !flowtab_addr_is_loopback(a) && !flowtab_addr_is_linklocal(a) &&
		!flowtab_addr_is_any(a) && !l4x_addr_on_link(p, a) &&
		(flowtab_addr_is_v4(a) ? p->ipv4 : p->ipv6);
}

/** Addresses of the VM's network behind which there can be a resolver. */
static bool
leads_to_host(const struct l4x_port_conf *p, const struct flowtab_addr *a)
{
	return flowtab_addr_eq(a, &p->gateway) || flowtab_addr_eq(a, &p->gateway6) ||
		flowtab_addr_eq(a, &p->loopback) || flowtab_addr_eq(a, &p->loopback6);
}

static void
dns_by_gateway(struct l4x_port_conf *p, const struct flowtab_addr *forward)
{
	p->dns_forward = *forward;
	p->n_dns = 0;
	if (p->ipv4)
		p->dns[p->n_dns++] = p->gateway;
	if (p->ipv6)
		p->dns[p->n_dns++] = p->gateway6;
}

static void
dns_of_host(struct l4x_port_conf *p, const struct resolv *host, const struct conf_addr *forward)
{
	unsigned int i;

	for (i = 0; i < host->n_servers && p->n_dns < L4X_MAX_DNS; i++)
		if (reachable(p, &host->servers[i]))
			p->dns[p->n_dns++] = host->servers[i];
	if (p->n_dns == 0 && host->n_servers != 0 && forward->how != CONF_NONE)
		dns_by_gateway(p, &host->servers[0]);
}

/** Where the resolvers of a VM are written: in its own section, or one that it takes them from. */
static struct conf_place
dns_place(const struct conf_loader *l, const struct conf_vm *vm, const struct conf_network *n)
{
	struct conf_place own = { l->conf->file, "vm", vm->name, "dns", { 0 } };
	struct conf_place network = { l->conf->file, "network", n->name, "dns", { 0 } };
	struct conf_place weir = { l->conf->file, "weir", NULL, "dns", { 0 } };

	own.where = vm->where[conf_key_find(conf_vm_keys, "dns")];
	if (own.where.source != CONF_UNSET)
		return own;
	network.where = n->where[conf_key_find(conf_network_keys, "dns")];
	if (network.where.source != CONF_UNSET)
		return network;
	weir.where = l->conf->where[conf_key_find(conf_weir_keys, "dns")];
	return weir;
}

/** Those of a family that the VM has, as they were given. */
static void
dns_given(struct conf_loader *l, struct conf_vm *vm, const struct conf_network *n,
	const struct conf_dns *dns)
{
	const struct conf_place place = dns_place(l, vm, n);
	struct l4x_port_conf *p = &vm->port;
	char text[FLOWTAB_ADDR_STRLEN];
	uint32_t i;

	for (i = 0; i < dns->n; i++) {
		const struct flowtab_addr *a = &dns->addr[i];

		if (l4x_addr_on_link(p, a) && !leads_to_host(p, a)) {
			flowtab_addr_format(a, text);
			conf_error(l, &place,
				"%s is in the network of %s, which ends at the gateway: give "
				"dns-forward = %s",
				text, vm->name, text);
		}
		if (flowtab_addr_is_v4(a) ? p->ipv4 : p->ipv6)
			p->dns[p->n_dns++] = *a;
	}
	if (p->n_dns == 0)
		conf_error(l, &place, "none of the resolvers is of a family that %s has", vm->name);
}

void
conf_complete_dns(struct conf_loader *l, struct conf_vm *vm, const struct conf_network *n)
{
	const struct conf_dns *dns = vm->dns.how != CONF_INHERIT ? &vm->dns : &n->dns;
	const struct conf_addr *forward =
		vm->dns_forward.how != CONF_INHERIT ? &vm->dns_forward : &n->dns_forward;
	const struct conf_search *search =
		vm->search.how != CONF_INHERIT ? &vm->search : &n->search;
	const char *path = l->p->resolv_conf != NULL ? l->p->resolv_conf : RESOLV_PATH;
	struct l4x_port_conf *p = &vm->port;
	struct resolv host = { 0 };

	if (dns->how == CONF_HOST || search->how == CONF_HOST)
		resolv_read(path, &host);
	if (dns->how == CONF_GIVEN) {
		dns_given(l, vm, n, dns);
	} else if (dns->how == CONF_HOST && forward->how == CONF_GIVEN) {
		dns_by_gateway(p, &forward->addr);
	} else if (dns->how == CONF_HOST) {
		dns_of_host(p, &host, forward);
	}
	if (forward->how == CONF_GIVEN)
		p->dns_forward = forward->addr;
	if (search->how != CONF_NONE)
		snprintf(p->search, sizeof(p->search), "%s",
			search->how == CONF_GIVEN ? search->text : host.search);
}

/* ---- two of one kind ---- */

/** An error at key of VM b: VM a has the same. */
static void
clash(struct conf_loader *l, const struct conf_vm *a, const struct conf_vm *b, const char *key,
	const char *what)
{
	struct conf_place pa = { l->conf->file, "vm", a->name, NULL, { 0 } };
	struct conf_place pb = { l->conf->file, "vm", b->name, key, { 0 } };
	char first[CONF_ERROR_LEN / 4];
	const int i = conf_key_find(conf_vm_keys, key);

	pa.where = a->where[i].source != CONF_UNSET ? a->where[i] : a->section;
	pb.where = b->where[i].source != CONF_UNSET ? b->where[i] : b->section;
	conf_error(l, &pb, "%s is also %s's (%s)", what, a->name,
		conf_place_format(&pa, first, sizeof(first)));
}

static void
check_addresses(struct conf_loader *l, const struct conf_vm *a, const struct conf_vm *b)
{
	char text[FLOWTAB_ADDR_STRLEN];

	if (a->port.ipv4 && b->port.ipv4 && !flowtab_addr_is_zero(&a->port.address) &&
		flowtab_addr_eq(&a->port.address, &b->port.address))
		clash(l, a, b, "address", flowtab_addr_format(&a->port.address, text));
	if (a->port.ipv6 && b->port.ipv6 && !flowtab_addr_is_zero(&a->port.address6) &&
		flowtab_addr_eq(&a->port.address6, &b->port.address6))
		clash(l, a, b, "address6", flowtab_addr_format(&a->port.address6, text));
}

static void
check_mac(struct conf_loader *l, const struct conf_vm *a, const struct conf_vm *b)
{
	char text[RTE_ETHER_ADDR_FMT_SIZE];

	if (!rte_is_same_ether_addr(&a->port.guest_mac, &b->port.guest_mac))
		return;
	snprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x",
		RTE_ETHER_ADDR_BYTES(&a->port.guest_mac));
	clash(l, a, b, "mac", text);
}

/** A guest could not reach the other one at an address that stands for the host. */
static void
check_loopback(struct conf_loader *l, const struct conf_vm *a, const struct conf_vm *b)
{
	const struct l4x_port_conf *pa = &a->port, *pb = &b->port;
	char text[FLOWTAB_ADDR_STRLEN];

	if (pa->ipv4 && !flowtab_addr_is_zero(&pb->loopback) &&
		flowtab_addr_eq(&pa->address, &pb->loopback))
		clash(l, a, b, "loopback", flowtab_addr_format(&pb->loopback, text));
	if (pa->ipv6 && !flowtab_addr_is_zero(&pb->loopback6) &&
		flowtab_addr_eq(&pa->address6, &pb->loopback6))
		clash(l, a, b, "loopback", flowtab_addr_format(&pb->loopback6, text));
}

/** Can two sockets not be bound to one port of these addresses? */
static bool
same_address(const struct flowtab_addr *a, const struct flowtab_addr *b)
{
	if (flowtab_addr_is_zero(a) || flowtab_addr_is_zero(b) || flowtab_addr_eq(a, b))
		return true;
	return flowtab_addr_is_v4(a) && flowtab_addr_is_v4(b) &&
		(flowtab_addr_is_any(a) || flowtab_addr_is_any(b));
}

static void
check_forwards(struct conf_loader *l, const struct conf_vm *a, const struct conf_vm *b,
	const char *key, const struct conf_forwards *fa, const struct conf_forwards *fb)
{
	char what[64];
	uint32_t i, j;

	for (j = 0; j < fb->n; j++) {
		const struct l4x_forward *y = &fb->entry[j];
		const uint32_t n = a == b ? j : fa->n;

		for (i = 0; i < n; i++) {
			const struct l4x_forward *x = &fa->entry[i];

			if (x->last < y->first || y->last < x->first ||
				!same_address(&x->addr, &y->addr))
				continue;
			snprintf(what, sizeof(what), "host port %u", RTE_MAX(x->first, y->first));
			clash(l, a, b, key, what);
			break;
		}
	}
}

uint32_t
conf_ports_count(const struct conf_forwards *f)
{
	uint32_t i, n = 0;

	for (i = 0; i < f->n; i++)
		n += (uint32_t)(f->entry[i].last - f->entry[i].first) + 1;
	return n;
}

/** One error, at the key with which they become too many. */
static void
check_ports(struct conf_loader *l)
{
	const struct conf *c = l->conf;
	uint32_t i, k, sum = 0;

	for (i = 0; i < c->n_vms; i++) {
		const struct conf_vm *vm = c->vms[i];
		const struct {
			const char *key;
			const struct conf_forwards *f;
		} keys[] = { { "tcp", &vm->tcp }, { "udp", &vm->udp } };

		for (k = 0; k < RTE_DIM(keys); k++) {
			struct conf_place place = { c->file, "vm", vm->name, keys[k].key,
				vm->where[conf_key_find(conf_vm_keys, keys[k].key)] };

			sum += conf_ports_count(keys[k].f);
			if (sum <= CONF_MAX_PORTS)
				continue;
			conf_error(l, &place, "with these, more than %u ports are forwarded",
				CONF_MAX_PORTS);
			return;
		}
	}
}

static void
check_pair(struct conf_loader *l, const struct conf_vm *a, const struct conf_vm *b)
{
	if (a != b) {
		if (a->socket[0] != '\0' && strcmp(a->socket, b->socket) == 0)
			clash(l, a, b, "socket", a->socket);
		if (a->ethdev[0] != '\0' && strcmp(a->ethdev, b->ethdev) == 0)
			clash(l, a, b, "port", a->ethdev);
		if (strcmp(a->network, b->network) == 0)
			check_mac(l, a, b);
		/* Guests of two zones never see each other. */
		if (strcmp(a->network, b->network) == 0 && a->zone == b->zone) {
			check_addresses(l, a, b);
			check_loopback(l, a, b);
			check_loopback(l, b, a);
		}
	}
	check_forwards(l, a, b, "tcp", &a->tcp, &b->tcp);
	check_forwards(l, a, b, "udp", &a->udp, &b->udp);
}

void
conf_check_clashes(struct conf_loader *l)
{
	const struct conf *c = l->conf;
	uint32_t i, j;

	check_ports(l);
	for (j = 0; j < c->n_vms; j++) {
		const struct conf_vm *b = c->vms[j];

		for (i = 0; i <= j && l->errors <= CONF_MAX_ERRORS; i++)
			check_pair(l, c->vms[i], b);
		if (b->socket[0] != '\0' && strcmp(b->socket, c->control) == 0) {
			struct conf_place place = { c->file, "vm", b->name, "socket",
				b->where[conf_key_find(conf_vm_keys, "socket")] };

			conf_error(l, &place, "%s is also the control socket", b->socket);
		}
	}
}
