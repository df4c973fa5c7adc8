/* SPDX-License-Identifier: BSD-3-Clause */
/* Rules and timeouts: what contradicts itself, and what the libraries are given. */
#include "conf_priv.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

/** Where the key was given; if it was not, where its rule is. */
static struct conf_place
rule_place(const struct conf_loader *l, const struct conf_rule *r, const char *key)
{
	struct conf_place p = { l->conf->file, "rule", r->name, key, r->section };
	const struct conf_where *w = &r->where[conf_key_find(conf_rule_keys, key)];

	if (w->source != CONF_UNSET)
		p.where = *w;
	return p;
}

static bool
rule_given(const struct conf_rule *r, const char *key)
{
	return r->where[conf_key_find(conf_rule_keys, key)].source != CONF_UNSET;
}

/** An error at a key of the rule. */
#define RULE_ERROR(l, r, key, ...)                                      \
	do {                                                            \
		const struct conf_place place_ = rule_place(l, r, key); \
		conf_error(l, &place_, __VA_ARGS__);                    \
	} while (0)

/* ---- what goes together ---- */

/** What only flows of one direction can have. */
static const struct {
	const char *key;
	uint32_t direction;
	const char *text;
} of_direction[] = {
	{ "to-vm", RULES_EAST_WEST, "east-west" },
	{ "helper", RULES_EAST_WEST, "east-west" },
	{ "redirect", RULES_OUT, "out" },
};

/** What only flows that pass can have. */
static const char *const of_accept[] = { "snat", "dnat", "redirect", "nat-choice", "helper", "mark",
	"set-zone" };

/** snat = auto */
static bool
snat_is_auto(const struct conf_rule *r)
{
	return r->snat.given && flowtab_addr_is_any(&r->snat.range.min) &&
		r->snat.range.port_max == 0;
}

static void
check_directions(struct conf_loader *l, const struct conf_rule *r)
{
	size_t i;

	if (r->directions == 0 && !rule_place(l, r, "direction").where.bad)
		RULE_ERROR(
			l, r, "direction", "missing: give out, in, east-west, or several of them");
	if (!rule_given(r, "action"))
		RULE_ERROR(l, r, "action", "missing: give accept, drop, or reject");
	for (i = 0; i < RTE_DIM(of_direction); i++)
		if (rule_given(r, of_direction[i].key) &&
			(r->directions & ~of_direction[i].direction))
			RULE_ERROR(l, r, of_direction[i].key, "goes with direction = %s alone",
				of_direction[i].text);
	for (i = 0; i < RTE_DIM(of_accept); i++)
		if (rule_given(r, of_accept[i]) && r->action != RULES_ACCEPT)
			RULE_ERROR(l, r, of_accept[i], "goes with action = accept alone");
	if (snat_is_auto(r) && (r->directions & ~(uint32_t)RULES_EAST_WEST))
		RULE_ERROR(l, r, "snat", "auto goes with direction = east-west alone");
	if (r->redirect.given && r->dnat.given)
		RULE_ERROR(l, r, "redirect", "there is a dnat, too: give one of them");
	if (rule_given(r, "nat-choice") && !r->snat.given && !r->dnat.given)
		RULE_ERROR(l, r, "nat-choice", "there is neither snat nor dnat");
}

static bool
has_ports(uint32_t proto)
{
	return proto == IPPROTO_TCP || proto == IPPROTO_UDP || proto == IPPROTO_SCTP ||
		proto == IPPROTO_UDPLITE || proto == IPPROTO_DCCP;
}

/** Its identifiers are what a source's ports are. */
static bool
is_icmp(uint32_t proto)
{
	return proto == IPPROTO_ICMP || proto == IPPROTO_ICMPV6;
}

static void
check_proto(struct conf_loader *l, const struct conf_rule *r)
{
	static const char *const ports[] = { "source-port", "destination-port" };
	size_t i;

	if (rule_place(l, r, "proto").where.bad)
		return;
	for (i = 0; i < RTE_DIM(ports); i++)
		if (rule_given(r, ports[i]) && !has_ports(r->proto))
			RULE_ERROR(l, r, ports[i],
				"goes with a proto that has ports: tcp, udp or sctp");
	if (r->dnat.range.port_max != 0 && r->proto != 0 && !has_ports(r->proto))
		RULE_ERROR(l, r, "dnat", "gives a port, which this proto does not have");
	if (r->snat.range.port_max != 0 && r->proto != 0 && !has_ports(r->proto) &&
		!is_icmp(r->proto))
		RULE_ERROR(l, r, "snat", "gives a port, which this proto does not have");
	if (r->helper == CT_HELPER_FTP && r->proto != IPPROTO_TCP)
		RULE_ERROR(l, r, "helper", "ftp goes with proto = tcp");
	if (r->helper == CT_HELPER_TFTP && r->proto != IPPROTO_UDP)
		RULE_ERROR(l, r, "helper", "tftp goes with proto = udp");
	if (r->redirect.given && r->proto != IPPROTO_TCP && r->proto != IPPROTO_UDP)
		RULE_ERROR(l, r, "redirect", "goes with proto = tcp, or udp");
}

/* ---- families ---- */

static uint8_t
nat_family(const struct conf_nat *nat)
{
	if (flowtab_addr_is_any(&nat->range.min))
		return 0;
	return flowtab_addr_is_v4(&nat->range.min) ? 4 : 6;
}

/** All addresses are of one family. @return it, 0: of both */
static uint8_t
check_families(struct conf_loader *l, const struct conf_rule *r)
{
	const struct {
		const char *key;
		uint8_t family;
	} all[] = {
		{ "proto", r->proto == IPPROTO_ICMPV6 ? 6 : 0 },
		{ "source", r->source.family },
		{ "destination", r->destination.family },
		{ "snat", nat_family(&r->snat) },
		{ "dnat", nat_family(&r->dnat) },
		{ "redirect", nat_family(&r->redirect) },
	};
	size_t i, first = RTE_DIM(all);

	for (i = 0; i < RTE_DIM(all); i++) {
		if (all[i].family == 0)
			continue;
		if (first == RTE_DIM(all))
			first = i;
		else if (all[i].family != all[first].family)
			RULE_ERROR(l, r, all[i].key, "this is of IPv%u, %s of IPv%u", all[i].family,
				all[first].key, all[first].family);
	}
	return first < RTE_DIM(all) ? all[first].family : 0;
}

/* ---- names ---- */

/** @param family of the rule; 0: both */
static const struct conf_vm *
named_vm(struct conf_loader *l, const struct conf_rule *r, const char *key, const char *name,
	uint8_t family)
{
	const struct conf_vm *vm = *name != '\0' ? conf_vm_find(l->conf, name) : NULL;

	if (*name == '\0')
		return NULL;
	if (vm == NULL) {
		RULE_ERROR(l, r, key, "there is no [vm.%s]", name);
		return NULL;
	}
	if (r->network[0] != '\0' && strcmp(r->network, vm->network) != 0)
		RULE_ERROR(l, r, key, "%s is in the network %s, not in %s", name, vm->network,
			r->network);
	if (rule_given(r, "zone") && r->zone != vm->zone)
		RULE_ERROR(l, r, key, "%s is in the zone %u, not in %u", name, vm->zone, r->zone);
	if ((family == 4 && !vm->port.ipv4 && vm->port.ipv6) ||
		(family == 6 && !vm->port.ipv6 && vm->port.ipv4))
		RULE_ERROR(l, r, key, "%s has no address of IPv%u, which the rule is about", name,
			family);
	return vm;
}

static void
check_names(struct conf_loader *l, const struct conf_rule *r, uint8_t family)
{
	const struct conf_vm *vm = named_vm(l, r, "vm", r->vm, family);
	const struct conf_vm *to = named_vm(l, r, "to-vm", r->to_vm, family);

	if (r->network[0] != '\0' && conf_network_find(l->conf, r->network) == NULL)
		RULE_ERROR(l, r, "network", "there is no [network.%s]", r->network);
	if (vm == NULL || to == NULL)
		return;
	if (vm == to)
		RULE_ERROR(l, r, "to-vm", "this is the VM itself");
	else if (strcmp(vm->network, to->network) != 0)
		RULE_ERROR(l, r, "to-vm", "%s is in the network %s, %s in %s: they cannot meet",
			to->name, to->network, vm->name, vm->network);
	else if (vm->zone != to->zone)
		RULE_ERROR(l, r, "to-vm", "%s is in the zone %u, %s in %u: they cannot meet",
			to->name, to->zone, vm->name, vm->zone);
}

/* ---- all together ---- */

static void
put_together(struct conf_rule *r, uint8_t family)
{
	struct rule *rule = &r->rule;
	const struct conf_nat *dst = r->redirect.given ? &r->redirect : &r->dnat;

	*rule = (struct rule){
		.number = (uint32_t)strtoul(r->name, NULL, 10),
		.directions = (uint8_t)r->directions,
		.proto = (uint8_t)r->proto,
		.by_zone = rule_given(r, "zone"),
		.zone = (uint16_t)r->zone,
		.family = family,
		.src = r->source.net,
		.dst = r->destination.net,
		.sport_min = r->source_port.min,
		.sport_max = r->source_port.max,
		.dport_min = r->destination_port.min,
		.dport_max = r->destination_port.max,
		.action = (uint8_t)r->action,
		.log = r->log,
		.helper = (uint8_t)r->helper,
		.redirect = r->redirect.given,
		.set_mark = rule_given(r, "mark"),
		.mark = r->mark,
		.set_zone = rule_given(r, "set-zone"),
		.to_zone = (uint16_t)r->set_zone,
	};
	rule->nat.choice = (uint8_t)r->nat_choice;
	if (r->snat.given) {
		rule->nat.what |= CT_NAT_SRC;
		rule->nat.src = r->snat.range;
	}
	if (dst->given) {
		rule->nat.what |= CT_NAT_DST;
		rule->nat.dst = dst->range;
	}
}

void
conf_complete_rules(struct conf_loader *l)
{
	uint32_t i;

	for (i = 0; i < l->conf->n_rules; i++) {
		struct conf_rule *r = l->conf->rules[i];
		uint8_t family;

		conf_set_defaults(conf_rule_keys, r->where, r);
		check_directions(l, r);
		check_proto(l, r);
		family = check_families(l, r);
		check_names(l, r, family);
		put_together(r, family);
	}
}

/* ---- timeouts ---- */

static struct conf_place
zones_place(const struct conf_loader *l, const struct conf_timeouts *t)
{
	struct conf_place p = { l->conf->file, "timeouts", t->name, "zones", t->section };
	const struct conf_where *w = &t->where[conf_key_find(conf_timeouts_keys, "zones")];

	if (w->source != CONF_UNSET)
		p.where = *w;
	return p;
}

static void
check_zones(struct conf_loader *l, const struct conf_timeouts *t)
{
	const struct conf_place place = zones_place(l, t);
	const struct conf *c = l->conf;
	const bool is_default = t == c->ct_timeouts[0];
	const bool given =
		t->where[conf_key_find(conf_timeouts_keys, "zones")].source != CONF_UNSET;
	uint32_t i, zone;

	if (is_default && given)
		conf_error(l, &place, "these are of the zones that no other has");
	if (!is_default && !given)
		conf_error(l, &place, "missing: give the zones that these are for");
	for (i = 1; i < c->n_ct_timeouts && c->ct_timeouts[i] != t && !is_default; i++) {
		const struct conf_timeouts *other = c->ct_timeouts[i];

		for (zone = 0; zone < FLOWTAB_ZONES; zone++)
			if (conf_zones_have(&t->zones, zone) &&
				conf_zones_have(&other->zones, zone))
				break;
		if (zone < FLOWTAB_ZONES)
			conf_error(
				l, &place, "%u is also a zone of [timeouts.%s]", zone, other->name);
	}
}

void
conf_complete_timeouts(struct conf_loader *l)
{
	uint32_t i, k;

	for (i = 0; i < l->conf->n_ct_timeouts; i++) {
		struct conf_timeouts *t = l->conf->ct_timeouts[i];

		conf_set_defaults(conf_timeouts_keys, t->where, t);
		check_zones(l, t);
		for (k = 0; k < CT_TIMEOUTS; k++)
			t->policy.ms[k] = (uint64_t)t->s[k] * 1000;
	}
}
