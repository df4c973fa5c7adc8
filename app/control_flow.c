/* SPDX-License-Identifier: BSD-3-Clause */
#include "control_flow.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	const char *name;
	uint8_t proto;
} protos[] = {
	{ "tcp", IPPROTO_TCP },
	{ "udp", IPPROTO_UDP },
	{ "icmp", IPPROTO_ICMP },
	{ "icmpv6", IPPROTO_ICMPV6 },
	{ "sctp", IPPROTO_SCTP },
};

const char *
control_proto_name(uint8_t proto, char *buf, size_t size)
{
	size_t i;

	snprintf(buf, size, "%u", proto);
	for (i = 0; i < RTE_DIM(protos); i++)
		if (protos[i].proto == proto)
			snprintf(buf, size, "%s", protos[i].name);
	return buf;
}

static int
parse_proto(struct control_filter *f, const char *text, char *err, size_t err_size)
{
	char *end;
	unsigned long n;
	size_t i;

	for (i = 0; i < RTE_DIM(protos); i++) {
		if (strcmp(text, protos[i].name) == 0) {
			f->proto = protos[i].proto;
			return 0;
		}
	}
	n = strtoul(text, &end, 10);
	if (*text < '0' || *text > '9' || *end != '\0' || n < 1 || n > 255) {
		snprintf(err, err_size,
			"proto: \"%.32s\" is not tcp, udp, icmp, icmpv6, sctp or a number", text);
		return -EINVAL;
	}
	f->proto = (uint8_t)n;
	return 0;
}

/** A number of 16 bits. */
static int
parse_u16(const json_t *arg, const char *name, uint16_t *value, char *err, size_t err_size)
{
	if (!json_is_integer(arg) || json_integer_value(arg) < 0 ||
		json_integer_value(arg) > UINT16_MAX) {
		snprintf(err, err_size, "%s: give a number from 0 to 65535", name);
		return -EINVAL;
	}
	*value = (uint16_t)json_integer_value(arg);
	return 0;
}

/** What args say of an end, by the names that its address and its port have there. */
static int
parse_end(struct control_end *e, const json_t *args, const char *addr_name, const char *port_name,
	char *err, size_t err_size)
{
	const json_t *addr = json_object_get(args, addr_name);
	const json_t *port = json_object_get(args, port_name);

	if (addr != NULL &&
		(!json_is_string(addr) ||
			flowtab_addr_parse(&e->addr, json_string_value(addr)) != 0)) {
		snprintf(err, err_size, "%s: give an IPv4 or IPv6 address", addr_name);
		return -EINVAL;
	}
	if (port != NULL && parse_u16(port, port_name, &e->port, err, err_size) != 0)
		return -EINVAL;
	e->by_addr = addr != NULL;
	e->by_port = port != NULL;
	return 0;
}

/** A number up to 32 bits, decimal or 0x..., that ends at one of the characters. */
static bool
read_u32(const char *text, char end_at, uint32_t *value, const char **rest)
{
	char *end;
	unsigned long long n;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	n = strtoull(text, &end, 0);
	if (errno != 0 || n > UINT32_MAX || (*end != '\0' && *end != end_at))
		return false;
	*value = (uint32_t)n;
	*rest = end;
	return true;
}

static int
parse_mark(struct control_filter *f, const json_t *mark, char *err, size_t err_size)
{
	const char *rest = json_string_value(mark);

	f->mark_mask = UINT32_MAX;
	if (json_is_integer(mark) && json_integer_value(mark) >= 0 &&
		json_integer_value(mark) <= UINT32_MAX) {
		f->mark = (uint32_t)json_integer_value(mark);
		return 0;
	}
	if (rest != NULL && read_u32(rest, '/', &f->mark, &rest) &&
		(*rest == '\0' || read_u32(rest + 1, '\0', &f->mark_mask, &rest)) &&
		f->mark_mask != 0)
		return 0;
	snprintf(err, err_size, "mark: give MARK or MARK/MASK, of 32 bits, decimal or 0x...");
	return -EINVAL;
}

int
control_filter_parse(struct control_filter *f, const json_t *args, char *err, size_t err_size)
{
	const json_t *proto = json_object_get(args, "proto");
	const json_t *zone = json_object_get(args, "zone");
	const json_t *mark = json_object_get(args, "mark");

	if (proto != NULL && !json_is_string(proto)) {
		snprintf(err, err_size, "proto: give a string");
		return -EINVAL;
	}
	if (proto != NULL && parse_proto(f, json_string_value(proto), err, err_size) != 0)
		return -EINVAL;
	if (parse_end(&f->any, args, "addr", "port", err, err_size) != 0 ||
		parse_end(&f->src, args, "src", "sport", err, err_size) != 0 ||
		parse_end(&f->dst, args, "dst", "dport", err, err_size) != 0)
		return -EINVAL;
	if (zone != NULL && parse_u16(zone, "zone", &f->zone, err, err_size) != 0)
		return -EINVAL;
	if (mark != NULL && parse_mark(f, mark, err, err_size) != 0)
		return -EINVAL;
	f->by_zone = zone != NULL;
	return 0;
}

static bool
end_is_open(const struct control_end *e)
{
	return !e->by_addr && !e->by_port;
}

bool
control_filter_is_open(const struct control_filter *f)
{
	return f->pif == 0 && f->proto == 0 && end_is_open(&f->any) && end_is_open(&f->src) &&
		end_is_open(&f->dst) && !f->by_zone && f->mark_mask == 0;
}

static bool
tuple_has_addr(const struct flowtab_tuple *t, const struct flowtab_addr *a)
{
	return flowtab_addr_eq(&t->eaddr, a) || flowtab_addr_eq(&t->oaddr, a);
}

static bool
end_is(const struct control_end *e, const struct flowtab_addr *addr, rte_be16_t port)
{
	return (!e->by_addr || flowtab_addr_eq(addr, &e->addr)) &&
		(!e->by_port || rte_be_to_cpu_16(port) == e->port);
}

/** In the one direction or the other. */
static bool
tuple_leads(const struct control_filter *f, const struct flowtab_tuple *t)
{
	return (end_is(&f->src, &t->eaddr, t->eport) && end_is(&f->dst, &t->oaddr, t->oport)) ||
		(end_is(&f->src, &t->oaddr, t->oport) && end_is(&f->dst, &t->eaddr, t->eport));
}

bool
control_filter_match(const struct control_filter *f, const struct l4x_flow_info *info)
{
	const rte_be16_t port = rte_cpu_to_be_16(f->any.port);

	if (f->pif != 0 && info->guest.pif != f->pif && info->host.pif != f->pif)
		return false;
	if (f->by_zone && info->zone != f->zone)
		return false;
	if (((info->mark ^ f->mark) & f->mark_mask) != 0)
		return false;
	if (f->proto != 0 && info->proto != f->proto)
		return false;
	if (!tuple_leads(f, &info->guest) && !tuple_leads(f, &info->host))
		return false;
	if (f->any.by_addr && !tuple_has_addr(&info->guest, &f->any.addr) &&
		!tuple_has_addr(&info->host, &f->any.addr))
		return false;
	return !f->any.by_port || info->guest.eport == port || info->guest.oport == port ||
		info->host.eport == port || info->host.oport == port;
}

/** One side: who is behind it ("addr", "port"), and whom it speaks to. */
static json_t *
side_json(const struct flowtab_addr *addr, rte_be16_t port, const struct flowtab_addr *peer,
	rte_be16_t peer_port)
{
	char a[FLOWTAB_ADDR_STRLEN], p[FLOWTAB_ADDR_STRLEN];

	return json_pack("{s:s, s:i, s:s, s:i}", "addr", flowtab_addr_format(addr, a), "port",
		rte_be_to_cpu_16(port), "peer_addr", flowtab_addr_format(peer, p), "peer_port",
		rte_be_to_cpu_16(peer_port));
}

static json_t *
count_json(uint64_t packets, uint64_t bytes)
{
	return json_pack("{s:I, s:I}", "packets", (json_int_t)packets, "bytes", (json_int_t)bytes);
}

static json_t *
end_json(const struct flowtab_addr *addr, rte_be16_t port)
{
	char a[FLOWTAB_ADDR_STRLEN];

	return json_pack(
		"{s:s, s:i}", "addr", flowtab_addr_format(addr, a), "port", rte_be_to_cpu_16(port));
}

/** ct_state as words. */
static json_t *
states_json(uint8_t state)
{
	static const struct {
		uint8_t bit;
		const char *name;
	} states[] = {
		{ CT_NEW, "new" },
		{ CT_EST, "est" },
		{ CT_REL, "rel" },
		{ CT_SNAT, "snat" },
		{ CT_DNAT, "dnat" },
	};
	json_t *list = json_array();
	size_t i;

	for (i = 0; i < RTE_DIM(states); i++)
		if (state & states[i].bit)
			json_array_append_new(list, json_string(states[i].name));
	return list;
}

/** What only flows between guests have. */
static void
add_tracked(json_t *flow, const struct l4x_flow_info *info, const char *to)
{
	char label[36];

	snprintf(label, sizeof(label), "0x%016llx%016llx", (unsigned long long)info->label[1],
		(unsigned long long)info->label[0]);
	json_object_set_new(flow, "to_vm", json_string(to));
	json_object_set_new(flow, "ct_state", states_json(info->ct_state));
	json_object_set_new(flow, "label", json_string(label));
	json_object_set_new(flow, "parent",
		info->parent != 0 ? json_integer((json_int_t)info->parent) : json_null());
	if (info->helper != CT_HELPER_NONE)
		json_object_set_new(flow, "helper",
			json_string(info->helper == CT_HELPER_FTP ? "ftp" : "tftp"));
}

json_t *
control_flow_json(
	const struct l4x_flow_info *info, const char *vm, const char *to, unsigned int worker)
{
	const struct flowtab_tuple *g = &info->guest, *h = &info->host;
	const bool tracked = info->kind == FLOWTAB_KIND_TRACKED;
	char proto[8], state[sizeof(info->state) + 1];
	json_t *flow;

	snprintf(state, sizeof(state), "%.*s", (int)sizeof(info->state), info->state);
	/* The host's own end is "o" of its tuple: the endpoint behind that port is the peer. */
	flow = json_pack("{s:s, s:i, s:I, s:s, s:s, s:b, s:s, s:o, s:o, s:I, s:o, s:o, s:o, s:I, "
			 "s:i, s:i, s:b}",
		"vm", vm, "worker", (int)worker, "handle", (json_int_t)info->handle, "kind",
		tracked ? "east-west" : "socket", "proto",
		control_proto_name(info->proto, proto, sizeof(proto)), "inbound",
		(int)info->inbound, "state", state, "guest",
		side_json(&g->eaddr, g->eport, &g->oaddr, g->oport), "host",
		side_json(&h->oaddr, h->oport, &h->eaddr, h->eport), "age_ms",
		(json_int_t)info->age_ms, "left_ms",
		info->left_ms == UINT64_MAX ? json_null() : json_integer((json_int_t)info->left_ms),
		"from_guest", count_json(info->pkts[0], info->bytes[0]), "to_guest",
		count_json(info->pkts[1], info->bytes[1]), "mark", (json_int_t)info->mark, "zone",
		(int)info->zone, "rule", (int)info->rule, "nat", (int)info->translated);
	if (flow != NULL && tracked)
		add_tracked(flow, info, to);
	return flow;
}

json_t *
control_original_json(const struct l4x_flow_info *info, const char *vm)
{
	const struct flowtab_tuple *g = &info->guest;
	char proto[8];

	return json_pack("{s:s, s:s, s:o, s:o, s:i, s:i, s:I}", "vm", vm, "proto",
		control_proto_name(info->proto, proto, sizeof(proto)), "source",
		end_json(&g->eaddr, g->eport), "destination", end_json(&g->oaddr, g->oport), "rule",
		(int)info->rule, "zone", (int)info->zone, "mark", (json_int_t)info->mark);
}
