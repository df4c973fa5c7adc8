/* SPDX-License-Identifier: BSD-3-Clause */
#include "weirctl.h"

#include <errno.h>
#include <string.h>

const char *
weirctl_text(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text != NULL ? text : "-";
}

uint64_t
weirctl_number(const json_t *object, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(object, key));
}

int
weirctl_show_heads(struct weirctl_show *s, const char *const *heads)
{
	if (s->table_made)
		return 0;
	s->table_made = true;
	return weirctl_table_init(&s->table, heads);
}

/* ---- vm list ---- */

const char *
weirctl_words(const json_t *object, const char *key, char *buf, size_t size)
{
	const json_t *list = json_object_get(object, key), *word;
	size_t i, used = 0;

	snprintf(buf, size, "-");
	json_array_foreach(list, i, word)
	{
		const char *text = json_string_value(word);

		if (text != NULL && used + strlen(text) + 2 < size)
			used += (size_t)snprintf(
				buf + used, size - used, "%s%s", used == 0 ? "" : ",", text);
	}
	return buf;
}

static int
vm_row(struct weirctl_show *s, const json_t *vm)
{
	const json_t *counters = json_object_get(vm, "counters");
	const int node = (int)json_integer_value(json_object_get(vm, "node"));
	char queues[32], offloads[32], rx[32], tx[32], state[64];
	const bool up = json_is_true(json_object_get(vm, "connected"));
	const char *cells[] = { weirctl_text(vm, "name"), state, weirctl_text(vm, "address"),
		weirctl_text(vm, "address6"), queues,
		weirctl_words(vm, "offloads", offloads, sizeof(offloads)),
		weirctl_bytes(weirctl_number(counters, "vport-rx-bytes"), rx, sizeof(rx)),
		weirctl_bytes(weirctl_number(counters, "vport-tx-bytes"), tx, sizeof(tx)),
		weirctl_text(vm, "socket") };

	snprintf(state, sizeof(state), "%s", up ? "connected" : "waiting");
	if (up && node >= 0 && node != (int)json_integer_value(json_object_get(vm, "worker_node")))
		snprintf(state, sizeof(state), "connected, memory on node %d", node);
	snprintf(queues, sizeof(queues), "%u/%u", (unsigned int)weirctl_number(vm, "queues_up"),
		(unsigned int)weirctl_number(vm, "queues"));
	return weirctl_table_row(&s->table, cells);
}

int
weirctl_show_vms(struct weirctl_show *s, const json_t *reply, bool last)
{
	static const char *const heads[] = { "NAME", "STATE", "ADDRESS", "ADDRESS6", "QUEUES",
		"OFFLOADS", ">FROM GUEST", ">TO GUEST", "SOCKET", NULL };
	const json_t *vms = json_object_get(reply, "vms"), *vm;
	int ret = weirctl_show_heads(s, heads);
	size_t i;

	json_array_foreach(vms, i, vm) if (ret == 0) ret = vm_row(s, vm);
	weirctl_table_print(&s->table, s->out);
	return ret;
}

/* ---- stats ---- */

/** With help: what each of them means, in a sentence. */
static void
counters_print(struct weirctl_show *s, const json_t *counters, const json_t *help, bool *any)
{
	const char *name;
	json_t *n;

	json_object_foreach((json_t *)(uintptr_t)counters, name, n)
	{
		const char *text = json_string_value(json_object_get(help, name));

		if (json_integer_value(n) == 0 && !s->all)
			continue;
		fprintf(s->out, "  %-24s %16" JSON_INTEGER_FORMAT "%s%s\n", name,
			json_integer_value(n), text != NULL ? "  " : "", text != NULL ? text : "");
		*any = true;
	}
}

static void
section_print(struct weirctl_show *s, const char *title, const json_t *counters,
	const json_t *drops, const json_t *help)
{
	bool any = false;

	fprintf(s->out, "%s\n", title);
	counters_print(s, counters, help, &any);
	counters_print(s, drops, help, &any);
	if (!any)
		fputs("  nothing yet\n", s->out);
}

static void
parts_print(struct weirctl_show *s, const json_t *list, const char *kind, const char *key)
{
	const json_t *part;
	char title[128];
	size_t i;

	json_array_foreach(list, i, part)
	{
		if (json_is_string(json_object_get(part, key)))
			snprintf(title, sizeof(title), "%s %s", kind, weirctl_text(part, key));
		else
			snprintf(title, sizeof(title), "%s %u", kind,
				(unsigned int)weirctl_number(part, key));
		if (json_object_get(part, "flows") != NULL)
			snprintf(title + strlen(title), sizeof(title) - strlen(title), ": %u flows",
				(unsigned int)weirctl_number(part, "flows"));
		section_print(s, title, json_object_get(part, "counters"),
			json_object_get(part, "drops"), NULL);
	}
}

int
weirctl_show_stats(struct weirctl_show *s, const json_t *reply, bool last)
{
	const json_t *help = json_object_get(reply, "help");

	section_print(s, "total", json_object_get(reply, "total"), NULL, help);
	section_print(s, "dropped, by reason", NULL, json_object_get(reply, "drops"), help);
	parts_print(s, json_object_get(reply, "workers"), "worker", "id");
	parts_print(s, json_object_get(reply, "bridges"), "bridge", "id");
	parts_print(s, json_object_get(reply, "vms"), "vm", "name");
	return 0;
}

/* ---- the rest ---- */

int
weirctl_show_version(struct weirctl_show *s, const json_t *reply, bool last)
{
	char up[32];

	fprintf(s->out, "weir %s (%s), up %s, %u workers, %u bridges%s, huge pages %s\n",
		weirctl_text(reply, "weir"), weirctl_text(reply, "dpdk"),
		weirctl_time(weirctl_number(reply, "uptime_ms"), up, sizeof(up)),
		(unsigned int)weirctl_number(reply, "workers"),
		(unsigned int)weirctl_number(reply, "bridges"),
		json_is_true(json_object_get(reply, "inline")) ? " (inline)" : "",
		json_is_true(json_object_get(reply, "hugepages")) ? "on" : "off");
	return 0;
}

int
weirctl_show_ping(struct weirctl_show *s, const json_t *reply, bool last)
{
	fprintf(s->out, "weir answers (%u.%u ms)\n", (unsigned int)(s->took_us / 1000),
		(unsigned int)(s->took_us % 1000 / 100));
	return 0;
}
