/* SPDX-License-Identifier: BSD-3-Clause */
#include "control_rule.h"

#include <stdio.h>

#include <rte_common.h>

#include "control_flow.h"

/** Room for a range of addresses and ports. */
#define RANGE_LEN 128

const char *
control_direction_name(uint8_t direction)
{
	return direction == RULES_OUT ? "out" : direction == RULES_IN ? "in" : "east-west";
}

const char *
control_action_name(uint8_t action)
{
	return action == RULES_ACCEPT ? "accept" : action == RULES_DROP ? "drop" : "reject";
}

static int
put_addr(char *buf, size_t size, const struct flowtab_addr *a)
{
	char text[FLOWTAB_ADDR_STRLEN];

	return snprintf(
		buf, size, flowtab_addr_is_v4(a) ? "%s" : "[%s]", flowtab_addr_format(a, text));
}

static int
put_ports(char *buf, size_t size, const char *before, uint16_t min, uint16_t max)
{
	return min == max ? snprintf(buf, size, "%s%u", before, min)
			  : snprintf(buf, size, "%s%u-%u", before, min, max);
}

const char *
control_tuple_format(const struct flowtab_tuple *t, char *buf, size_t size)
{
	char proto[16], from[FLOWTAB_ADDR_STRLEN + 2], to[FLOWTAB_ADDR_STRLEN + 2];

	put_addr(from, sizeof(from), &t->eaddr);
	put_addr(to, sizeof(to), &t->oaddr);
	snprintf(buf, size, "%s %s:%u -> %s:%u", control_proto_name(t->proto, proto, sizeof(proto)),
		from, rte_be_to_cpu_16(t->eport), to, rte_be_to_cpu_16(t->oport));
	return buf;
}

/* ---- JSON ---- */

static void
set_text(json_t *o, const char *key, const char *text)
{
	if (*text != '\0')
		json_object_set_new(o, key, json_string(text));
}

static void
set_net(json_t *o, const char *key, const struct rules_net *n)
{
	char text[FLOWTAB_ADDR_STRLEN], all[FLOWTAB_ADDR_STRLEN + 8];

	if (n->prefix_len == 0 && flowtab_addr_is_any(&n->addr))
		return;
	snprintf(all, sizeof(all), "%s/%u", flowtab_addr_format(&n->addr, text), n->prefix_len);
	set_text(o, key, all);
}

static void
set_ports(json_t *o, const char *key, uint16_t min, uint16_t max)
{
	char text[16];

	if (max == 0)
		return;
	put_ports(text, sizeof(text), "", min, max);
	set_text(o, key, text);
}

/** As it is written in the configuration. */
static void
set_range(json_t *o, const char *key, const struct ct_nat_range *r, const char *without_addr)
{
	char text[RANGE_LEN] = "";
	const char *colon = without_addr;
	int n = 0;

	if (!flowtab_addr_is_any(&r->min)) {
		n = put_addr(text, sizeof(text), &r->min);
		colon = ":";
	}
	if (!flowtab_addr_eq(&r->min, &r->max)) {
		n += snprintf(text + n, sizeof(text) - (size_t)n, "-");
		n += put_addr(text + n, sizeof(text) - (size_t)n, &r->max);
	}
	if (r->port_max != 0)
		put_ports(text + n, sizeof(text) - (size_t)n, colon, r->port_min, r->port_max);
	set_text(o, key, *text != '\0' ? text : "auto");
}

static void
set_conditions(json_t *o, const struct rule *r, const struct control_rule_names *names)
{
	json_t *directions = json_array();
	char proto[16];
	unsigned int d;

	for (d = RULES_OUT; d <= RULES_EAST_WEST; d <<= 1)
		if (r->directions & d)
			json_array_append_new(
				directions, json_string(control_direction_name((uint8_t)d)));
	json_object_set_new(o, "directions", directions);
	set_text(o, "vm", names->vm);
	set_text(o, "to_vm", names->to_vm);
	set_text(o, "network", names->network);
	if (r->by_zone)
		json_object_set_new(o, "zone", json_integer(r->zone));
	if (r->proto != 0)
		set_text(o, "proto", control_proto_name(r->proto, proto, sizeof(proto)));
	if (r->family != 0)
		json_object_set_new(o, "family", json_integer(r->family));
	set_net(o, "source", &r->src);
	set_net(o, "destination", &r->dst);
	set_ports(o, "source_port", r->sport_min, r->sport_max);
	set_ports(o, "destination_port", r->dport_min, r->dport_max);
}

static void
set_consequences(json_t *o, const struct rule *r)
{
	static const char *const choices[] = { "hash", "random", "persistent" };
	static const char *const helpers[] = { "none", "ftp", "tftp" };

	set_text(o, "action", control_action_name(r->action));
	if (r->nat.what & CT_NAT_SRC)
		set_range(o, "snat", &r->nat.src, ":");
	if ((r->nat.what & CT_NAT_DST) && r->redirect)
		set_range(o, "redirect", &r->nat.dst, "");
	else if (r->nat.what & CT_NAT_DST)
		set_range(o, "dnat", &r->nat.dst, ":");
	if (r->nat.what != 0 && r->nat.choice != CT_NAT_HASH && r->nat.choice < RTE_DIM(choices))
		set_text(o, "nat_choice", choices[r->nat.choice]);
	if (r->set_mark)
		json_object_set_new(o, "mark", json_integer(r->mark));
	if (r->set_zone)
		json_object_set_new(o, "set_zone", json_integer(r->to_zone));
	if (r->helper != CT_HELPER_NONE && r->helper < RTE_DIM(helpers))
		set_text(o, "helper", helpers[r->helper]);
	if (r->log)
		json_object_set_new(o, "log", json_true());
}

json_t *
control_rule_json(const struct rule *rule, const struct control_rule_names *names, uint64_t hits)
{
	json_t *o = json_pack("{s:i}", "number", (int)rule->number);

	set_conditions(o, rule, names);
	set_consequences(o, rule);
	json_object_set_new(o, "hits", json_integer((json_int_t)hits));
	return o;
}
