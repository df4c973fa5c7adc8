/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon.h"

#include <stdlib.h>
#include <string.h>

#include "control.h"
#include "control_rule.h"

/** Rules, or zones, of one reply. */
#define CHUNK 256

/** Where a list stands between two replies. */
struct list {
	uint32_t next; /**< number of the rule, or zone, that is next */
};

static struct list *
list_of(struct control_call *call)
{
	if (call->state == NULL)
		call->state = calloc(1, sizeof(struct list));
	if (call->state == NULL)
		control_fail(call, "out of memory");
	return call->state;
}

/* ---- rule list ---- */

static json_t *
policies_json(const struct daemon *d)
{
	json_t *list = json_array();
	unsigned int i;

	for (i = RULES_OUT; i <= RULES_EAST_WEST; i <<= 1)
		json_array_append_new(list,
			json_pack("{s:s, s:s, s:I}", "direction",
				control_direction_name((uint8_t)i), "action",
				control_action_name(rules_policy(d->rules, i)), "hits",
				(json_int_t)rules_policy_hits(d->rules, i)));
	return list;
}

/** The rules of conf and those that were made of it are in the same order. */
static json_t *
rule_json(const struct daemon *d, uint32_t i)
{
	const struct conf_rule *r = d->conf->rules[i];
	const struct control_rule_names names = { r->vm, r->to_vm, r->network };

	return control_rule_json(
		rules_at(d->rules, i), &names, rules_hits(d->rules, r->rule.number));
}

void
daemon_command_rule_list(struct daemon *d, struct control_call *call)
{
	struct list *l = list_of(call);
	json_t *list, *fields;
	uint32_t i = 0, n = 0;

	if (l == NULL)
		return;
	/* A reload may have come between two replies. */
	while (i < d->conf->n_rules && d->conf->rules[i]->rule.number < l->next)
		i++;
	list = json_array();
	for (; i < d->conf->n_rules && n < CHUNK; i++, n++) {
		json_array_append_new(list, rule_json(d, i));
		l->next = d->conf->rules[i]->rule.number + 1;
	}
	fields = json_pack("{s:o}", "rules", list);
	if (i == d->conf->n_rules)
		json_object_set_new(fields, "policies", policies_json(d));
	control_reply(call, fields, i < d->conf->n_rules);
}

/* ---- zones ---- */

static json_t *
limit_json(uint32_t limit)
{
	if (limit == FLOWTAB_LIMIT_UNSET)
		return json_null();
	return limit == FLOWTAB_LIMIT_NONE ? json_string("none") : json_integer(limit);
}

void
daemon_command_zone_list(struct daemon *d, struct control_call *call)
{
	struct list *l = list_of(call);
	json_t *list, *fields;
	uint32_t n = 0;

	if (l == NULL)
		return;
	list = json_array();
	for (; l->next < FLOWTAB_ZONES && n < CHUNK; l->next++) {
		const uint32_t flows = flowtab_zone_count(d->zones, (uint16_t)l->next);
		const uint32_t limit = flowtab_zone_limit(d->zones, l->next);

		if (flows == 0 && limit == FLOWTAB_LIMIT_UNSET)
			continue;
		n++;
		json_array_append_new(list,
			json_pack("{s:i, s:i, s:o}", "zone", (int)l->next, "flows", (int)flows,
				"limit", limit_json(limit)));
	}
	fields = json_pack("{s:o}", "zones", list);
	if (l->next == FLOWTAB_ZONES)
		json_object_set_new(fields, "default",
			limit_json(flowtab_zone_limit(d->zones, FLOWTAB_ZONE_DEFAULT)));
	control_reply(call, fields, l->next < FLOWTAB_ZONES);
}

/** A number, or a word that stands for one. */
static bool
number_or(const json_t *arg, const char *word, uint32_t meant, uint32_t max, uint32_t *value)
{
	if (json_is_string(arg) && strcmp(json_string_value(arg), word) == 0) {
		*value = meant;
		return true;
	}
	if (!json_is_integer(arg) || json_integer_value(arg) < 0 || json_integer_value(arg) > max)
		return false;
	*value = (uint32_t)json_integer_value(arg);
	return true;
}

void
daemon_command_zone_limit(struct daemon *d, struct control_call *call)
{
	const json_t *zone = json_object_get(call->args, "zone");
	const json_t *limit = json_object_get(call->args, "limit");
	const uint32_t most = FLOWTAB_LIMIT_UNSET - 1;
	uint32_t z, n;

	if (!number_or(zone, "default", FLOWTAB_ZONE_DEFAULT, FLOWTAB_ZONES - 1, &z)) {
		control_fail(
			call, "zone: give a number from 0 to %u, or default", FLOWTAB_ZONES - 1);
		return;
	}
	if (!number_or(limit, "none", FLOWTAB_LIMIT_NONE, most, &n) &&
		!number_or(limit, "unset", FLOWTAB_LIMIT_UNSET, most, &n)) {
		control_fail(call, "limit: give a number from 0 to %u, none, or unset", most);
		return;
	}
	flowtab_zone_limit_set(d->zones, z, n);
	control_reply(call, json_pack("{s:O, s:o}", "zone", zone, "limit", limit_json(n)), false);
}
