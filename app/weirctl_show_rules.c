/* SPDX-License-Identifier: BSD-3-Clause */
/* Rules and zones. */
#include "weirctl.h"

#include <string.h>

/** Rows of one reply; the head waits for the first of them, to be as wide as they are. */
static void
print_rows(struct weirctl_show *s, bool last)
{
	if (s->table.n_rows > 1 || s->n != 0 || last)
		weirctl_table_print(&s->table, s->out);
}

/* ---- rule list ---- */

static void
put(char *buf, size_t size, const char *word, const char *value)
{
	const size_t used = strlen(buf);

	snprintf(buf + used, size - used, "%s%s%s%s", used == 0 ? "" : " ", word,
		*word != '\0' ? " " : "", value);
}

/** Words and values of those keys that are there, in this order. */
static void
put_keys(char *buf, size_t size, const json_t *rule, const char *const keys[][2])
{
	char number[32];
	unsigned int i;

	for (i = 0; keys[i][0] != NULL; i++) {
		const json_t *value = json_object_get(rule, keys[i][0]);

		snprintf(
			number, sizeof(number), "%" JSON_INTEGER_FORMAT, json_integer_value(value));
		if (json_is_string(value))
			put(buf, size, keys[i][1], json_string_value(value));
		else if (json_is_integer(value))
			put(buf, size, keys[i][1], number);
		else if (json_is_true(value))
			put(buf, size, "", keys[i][1]);
	}
}

static int
rule_row(struct weirctl_show *s, const json_t *rule)
{
	static const char *const conditions[][2] = { { "vm", "vm" }, { "to_vm", "to-vm" },
		{ "network", "network" }, { "zone", "zone" }, { "proto", "" },
		{ "source", "source" }, { "source_port", "source-port" },
		{ "destination", "destination" }, { "destination_port", "destination-port" },
		{ NULL } };
	static const char *const consequences[][2] = { { "action", "" }, { "snat", "snat" },
		{ "dnat", "dnat" }, { "redirect", "redirect" }, { "nat_choice", "nat-choice" },
		{ "helper", "helper" }, { "mark", "mark" }, { "set_zone", "set-zone" },
		{ "log", "log" }, { NULL } };
	char number[32], hits[32], directions[32];
	char match[WEIRCTL_CELL] = "", action[WEIRCTL_CELL] = "";
	const char *cells[] = { number,
		weirctl_count(weirctl_number(rule, "hits"), hits, sizeof(hits)),
		weirctl_words(rule, "directions", directions, sizeof(directions)), match, action };

	snprintf(number, sizeof(number), "%u", (unsigned int)weirctl_number(rule, "number"));
	if (json_object_get(rule, "family") != NULL && json_object_get(rule, "source") == NULL &&
		json_object_get(rule, "destination") == NULL)
		snprintf(match, sizeof(match), "IPv%u",
			(unsigned int)weirctl_number(rule, "family"));
	put_keys(match, sizeof(match), rule, conditions);
	if (*match == '\0')
		put(match, sizeof(match), "", "any");
	put_keys(action, sizeof(action), rule, consequences);
	return weirctl_table_row(&s->table, cells);
}

static int
policy_row(struct weirctl_show *s, const json_t *policy)
{
	char hits[32];
	const char *cells[] = { "policy",
		weirctl_count(weirctl_number(policy, "hits"), hits, sizeof(hits)),
		weirctl_text(policy, "direction"), "of no rule", weirctl_text(policy, "action") };

	return weirctl_table_row(&s->table, cells);
}

int
weirctl_show_rules(struct weirctl_show *s, const json_t *reply, bool last)
{
	static const char *const heads[] = { ">RULE", ">HITS", "DIRECTION", "FLOWS", "ACTION",
		NULL };
	const json_t *rules = json_object_get(reply, "rules"), *item;
	const json_t *policies = json_object_get(reply, "policies");
	int ret = weirctl_show_heads(s, heads);
	size_t i;

	json_array_foreach(rules, i, item) if (ret == 0) ret = rule_row(s, item);
	json_array_foreach(policies, i, item) if (ret == 0) ret = policy_row(s, item);
	print_rows(s, last);
	s->n += json_array_size(rules);
	return ret;
}

/* ---- zones ---- */

/** "200", "none"; "-": it has none of its own. */
static const char *
limit_text(const json_t *limit, char *buf, size_t size)
{
	if (json_is_integer(limit))
		snprintf(buf, size, "%" JSON_INTEGER_FORMAT, json_integer_value(limit));
	else
		snprintf(buf, size, "%s", json_is_string(limit) ? json_string_value(limit) : "-");
	return buf;
}

static int
zone_row(struct weirctl_show *s, const json_t *zone)
{
	char number[32], flows[32], limit[32];
	const char *cells[] = { number, flows,
		limit_text(json_object_get(zone, "limit"), limit, sizeof(limit)) };

	snprintf(number, sizeof(number), "%u", (unsigned int)weirctl_number(zone, "zone"));
	snprintf(flows, sizeof(flows), "%u", (unsigned int)weirctl_number(zone, "flows"));
	return weirctl_table_row(&s->table, cells);
}

int
weirctl_show_zones(struct weirctl_show *s, const json_t *reply, bool last)
{
	static const char *const heads[] = { ">ZONE", ">FLOWS", ">LIMIT", NULL };
	const json_t *zones = json_object_get(reply, "zones"), *zone;
	int ret = weirctl_show_heads(s, heads);
	char limit[32];
	size_t i;

	json_array_foreach(zones, i, zone) if (ret == 0) ret = zone_row(s, zone);
	if (last && ret == 0) {
		const char *cells[] = { "default", "",
			limit_text(json_object_get(reply, "default"), limit, sizeof(limit)) };

		ret = weirctl_table_row(&s->table, cells);
	}
	print_rows(s, last);
	s->n += json_array_size(zones);
	return ret;
}

int
weirctl_show_zone_limit(struct weirctl_show *s, const json_t *reply, bool last)
{
	const json_t *limit = json_object_get(reply, "limit");
	char zone[32], text[32];

	limit_text(json_object_get(reply, "zone"), zone, sizeof(zone));
	if (json_is_integer(limit))
		fprintf(s->out, "zone %s: %s flows at most\n", zone,
			limit_text(limit, text, sizeof(text)));
	else
		fprintf(s->out, "zone %s: no limit%s\n", zone,
			json_is_string(limit) ? "" : " of its own");
	return 0;
}
