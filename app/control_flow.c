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

int
control_filter_parse(struct control_filter *f, const json_t *args, char *err, size_t err_size)
{
	const json_t *proto = json_object_get(args, "proto");
	const json_t *addr = json_object_get(args, "addr");
	const json_t *port = json_object_get(args, "port");

	if (proto != NULL &&
		(!json_is_string(proto) ||
			parse_proto(f, json_string_value(proto), err, err_size) != 0)) {
		if (!json_is_string(proto))
			snprintf(err, err_size, "proto: give a string");
		return -EINVAL;
	}
	if (addr != NULL) {
		if (!json_is_string(addr) ||
			flowtab_addr_parse(&f->addr, json_string_value(addr)) != 0) {
			snprintf(err, err_size, "addr: give an IPv4 or IPv6 address");
			return -EINVAL;
		}
		f->by_addr = true;
	}
	if (port != NULL) {
		if (!json_is_integer(port) || json_integer_value(port) < 0 ||
			json_integer_value(port) > 65535) {
			snprintf(err, err_size, "port: give a number from 0 to 65535");
			return -EINVAL;
		}
		f->port = (uint16_t)json_integer_value(port);
		f->by_port = true;
	}
	return 0;
}

static bool
tuple_has_addr(const struct flowtab_tuple *t, const struct flowtab_addr *a)
{
	return flowtab_addr_eq(&t->eaddr, a) || flowtab_addr_eq(&t->oaddr, a);
}

bool
control_filter_match(const struct control_filter *f, const struct l4x_flow_info *info)
{
	const rte_be16_t port = rte_cpu_to_be_16(f->port);

	if (f->pif != 0 && info->guest.pif != f->pif)
		return false;
	if (f->proto != 0 && info->proto != f->proto)
		return false;
	if (f->by_addr && !tuple_has_addr(&info->guest, &f->addr) &&
		!tuple_has_addr(&info->host, &f->addr))
		return false;
	return !f->by_port || info->guest.eport == port || info->guest.oport == port ||
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

json_t *
control_flow_json(const struct l4x_flow_info *info, const char *vm, unsigned int worker)
{
	const struct flowtab_tuple *g = &info->guest, *h = &info->host;
	char proto[8], state[sizeof(info->state) + 1];

	snprintf(state, sizeof(state), "%.*s", (int)sizeof(info->state), info->state);
	/* The host's own end is "o" of its tuple: the endpoint behind that port is the peer. */
	return json_pack("{s:s, s:i, s:s, s:b, s:s, s:o, s:o, s:I, s:o, s:o, s:o, s:I, s:i}", "vm",
		vm, "worker", (int)worker, "proto",
		control_proto_name(info->proto, proto, sizeof(proto)), "inbound",
		(int)info->inbound, "state", state, "guest",
		side_json(&g->eaddr, g->eport, &g->oaddr, g->oport), "host",
		side_json(&h->oaddr, h->oport, &h->eaddr, h->eport), "age_ms",
		(json_int_t)info->age_ms, "left_ms",
		info->left_ms == UINT64_MAX ? json_null() : json_integer((json_int_t)info->left_ms),
		"from_guest", count_json(info->pkts[0], info->bytes[0]), "to_guest",
		count_json(info->pkts[1], info->bytes[1]), "mark", (json_int_t)info->mark, "zone",
		(int)info->zone);
}
