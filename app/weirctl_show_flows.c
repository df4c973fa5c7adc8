/* SPDX-License-Identifier: BSD-3-Clause */
/* What weirctl shows of flows. */
#include "weirctl.h"

#include <stdarg.h>
#include <string.h>

/** "10.0.2.15:4711", "[fd00::1]:80"; ICMP echo: the id is the port. */
static const char *
endpoint(const json_t *side, const char *addr_key, const char *port_key, char *buf, size_t size)
{
	const char *addr = weirctl_text(side, addr_key);
	const unsigned int port = (unsigned int)weirctl_number(side, port_key);

	snprintf(buf, size, strchr(addr, ':') != NULL ? "[%.46s]:%u" : "%.46s:%u", addr, port);
	return buf;
}

/** Adds a word or two to a list of them. */
static void __attribute__((format(printf, 3, 4))) note(char *buf, size_t size, const char *fmt, ...)
{
	size_t used = strlen(buf);
	va_list args;

	if (used != 0 && used + 2 < size)
		used += (size_t)snprintf(buf + used, size - used, ", ");
	va_start(args, fmt);
	vsnprintf(buf + used, size - used, fmt, args);
	va_end(args);
}

/** What few flows have. */
static const char *
notes(const json_t *flow, char *buf, size_t size)
{
	static const char no_label[] = "0x00000000000000000000000000000000";
	const json_t *label = json_object_get(flow, "label");
	const char *label_text = json_is_string(label) ? json_string_value(label) : no_label;
	char states[64];

	*buf = '\0';
	if (json_is_string(json_object_get(flow, "to_vm")))
		note(buf, size, "to %s", weirctl_text(flow, "to_vm"));
	if (json_is_array(json_object_get(flow, "ct_state")))
		note(buf, size, "%s", weirctl_words(flow, "ct_state", states, sizeof(states)));
	else if (json_is_true(json_object_get(flow, "nat")))
		note(buf, size, "nat");
	if (weirctl_number(flow, "rule") != 0)
		note(buf, size, "rule %u", (unsigned int)weirctl_number(flow, "rule"));
	if (weirctl_number(flow, "zone") != 0)
		note(buf, size, "zone %u", (unsigned int)weirctl_number(flow, "zone"));
	if (weirctl_number(flow, "mark") != 0)
		note(buf, size, "mark 0x%x", (unsigned int)weirctl_number(flow, "mark"));
	if (strcmp(label_text, no_label) != 0)
		note(buf, size, "label %.40s", label_text);
	if (json_is_string(json_object_get(flow, "helper")))
		note(buf, size, "%s", weirctl_text(flow, "helper"));
	if (json_is_integer(json_object_get(flow, "parent")))
		note(buf, size, "announced");
	return *buf != '\0' ? buf : "-";
}

static int
flow_row(struct weirctl_show *s, const json_t *flow)
{
	const json_t *guest = json_object_get(flow, "guest"), *host = json_object_get(flow, "host");
	const json_t *from = json_object_get(flow, "from_guest");
	const json_t *to = json_object_get(flow, "to_guest"),
		     *left = json_object_get(flow, "left_ms");
	char a[64], b[64], age[32], until[32], p0[32], p1[32], b0[32], b1[32], more[WEIRCTL_CELL];
	const bool inbound = json_is_true(json_object_get(flow, "inbound"));
	const bool east_west = json_is_string(json_object_get(flow, "to_vm"));
	const char *cells[] = { weirctl_text(flow, "vm"), weirctl_text(flow, "proto"),
		weirctl_text(flow, "state"), east_west ? "vm" : (inbound ? "in" : "out"),
		endpoint(guest, "addr", "port", a, sizeof(a)),
		endpoint(host, "peer_addr", "peer_port", b, sizeof(b)),
		weirctl_time(weirctl_number(flow, "age_ms"), age, sizeof(age)),
		json_is_integer(left)
			? weirctl_time(weirctl_number(flow, "left_ms"), until, sizeof(until))
			: "-",
		weirctl_count(weirctl_number(from, "packets"), p0, sizeof(p0)),
		weirctl_bytes(weirctl_number(from, "bytes"), b0, sizeof(b0)),
		weirctl_count(weirctl_number(to, "packets"), p1, sizeof(p1)),
		weirctl_bytes(weirctl_number(to, "bytes"), b1, sizeof(b1)),
		notes(flow, more, sizeof(more)) };

	s->n++;
	return weirctl_table_row(&s->table, cells);
}

int
weirctl_show_flows(struct weirctl_show *s, const json_t *reply, bool last)
{
	static const char *const heads[WEIRCTL_COLUMNS + 1] = { "VM", "PROTO", "STATE", "DIR",
		"GUEST", "PEER", ">AGE", ">LEFT", ">OUT PKTS", ">OUT BYTES", ">IN PKTS",
		">IN BYTES", "NOTES", NULL };
	const json_t *flows = json_object_get(reply, "flows"), *flow;
	int ret = weirctl_show_heads(s, heads);
	size_t i;

	json_array_foreach(flows, i, flow) if (ret == 0) ret = flow_row(s, flow);
	/* The head waits for the first rows, to be as wide as they are. */
	if (s->table.n_rows > 1 || s->n != 0 || last)
		weirctl_table_print(&s->table, s->out);
	return ret;
}

int
weirctl_show_flush(struct weirctl_show *s, const json_t *reply, bool last)
{
	s->n += json_array_size(json_object_get(reply, "flows"));
	if (last)
		fprintf(s->out, "%llu flow%s ended\n", (unsigned long long)s->n,
			s->n == 1 ? "" : "s");
	return 0;
}

int
weirctl_show_original(struct weirctl_show *s, const json_t *reply, bool last)
{
	const json_t *to = json_object_get(reply, "destination");
	const json_t *from = json_object_get(reply, "source");

	fprintf(s->out, "%s: %s port %u, asked for by %s port %u\n", weirctl_text(reply, "vm"),
		weirctl_text(to, "addr"), (unsigned int)weirctl_number(to, "port"),
		weirctl_text(from, "addr"), (unsigned int)weirctl_number(from, "port"));
	return 0;
}
