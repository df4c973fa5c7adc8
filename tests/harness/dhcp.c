/* SPDX-License-Identifier: BSD-3-Clause */
#include "dhcp.h"

#include <stdio.h>
#include <string.h>

#define MAGIC 0x63825363u

static uint8_t *
put_opt(uint8_t *o, uint8_t code, const void *value, size_t len)
{
	o[0] = code;
	o[1] = (uint8_t)len;
	memcpy(o + 2, value, len);
	return o + 2 + len;
}

size_t
dhcp_build(uint8_t *out, const struct dhcp_request *r)
{
	uint8_t *o = out + 240;

	memset(out, 0, 240);
	out[0] = 1;
	out[1] = 1;
	out[2] = 6;
	pkt_put32(out + 4, r->xid);
	pkt_put16(out + 10, r->broadcast ? 0x8000 : 0);
	memcpy(out + 12, r->ciaddr.b, 4);
	memcpy(out + 28, r->mac, 6);
	pkt_put32(out + 236, r->bad_magic ? 0x63825364u : MAGIC);
	if (r->type != 0)
		o = put_opt(o, DHCP_OPT_TYPE, &r->type, 1);
	if (r->requested.len != 0)
		o = put_opt(o, DHCP_OPT_REQUESTED, r->requested.b, 4);
	if (r->server.len != 0)
		o = put_opt(o, DHCP_OPT_SERVER, r->server.b, 4);
	if (r->n_params != 0)
		o = put_opt(o, DHCP_OPT_PARAMS, r->params, r->n_params);
	if (r->extra_len != 0) {
		memcpy(o, r->extra, r->extra_len);
		o += r->extra_len;
	}
	if (!r->no_end)
		*o++ = 255;
	return (size_t)(o - out);
}

static const char *
parse_options(const uint8_t *o, size_t len, struct dhcp_reply *r)
{
	for (size_t i = 0; i < len;) {
		uint8_t code = o[i], n;

		if (code == 255) {
			for (i++; i < len; i++)
				if (o[i] != 0)
					return "bytes behind the end option";
			return NULL;
		}
		if (code == 0) {
			i++;
			continue;
		}
		if (i + 2 > len || i + 2 + o[i + 1] > len)
			return "option cut short";
		n = o[i + 1];
		if (n == 0)
			return "option of length 0";
		if (r->opt[code] != NULL)
			return "option given twice";
		r->opt[code] = o + i + 2;
		r->opt_len[code] = n;
		i += 2u + n;
	}
	return "no end option";
}

static struct pkt_addr
addr4(const uint8_t *p)
{
	struct pkt_addr a = { 4, { p[0], p[1], p[2], p[3] } };

	return a;
}

const char *
dhcp_parse(const uint8_t *msg, size_t len, struct dhcp_reply *r)
{
	static const uint8_t fixed[] = { 2, 1, 6, 0 };
	const char *bad;

	memset(r, 0, sizeof(*r));
	if (len < 240)
		return "DHCP message cut short";
	/* BOOTP relays and old clients expect 300 bytes (RFC 1542, 2.1). */
	if (len < 300)
		return "DHCP message under the 300 bytes of BOOTP";
	if (memcmp(msg, fixed, sizeof(fixed)) != 0)
		return "not a BOOTREPLY over Ethernet";
	if (pkt_get32(msg + 236) != MAGIC)
		return "wrong magic cookie";
	r->xid = pkt_get32(msg + 4);
	r->broadcast = msg[10] & 0x80;
	r->ciaddr = addr4(msg + 12);
	r->yiaddr = addr4(msg + 16);
	r->siaddr = addr4(msg + 20);
	r->giaddr = addr4(msg + 24);
	memcpy(r->chaddr, msg + 28, 6);
	bad = parse_options(msg + 240, len - 240, r);
	if (bad != NULL)
		return bad;
	if (r->opt[DHCP_OPT_TYPE] == NULL || r->opt_len[DHCP_OPT_TYPE] != 1)
		return "no message type";
	r->type = *r->opt[DHCP_OPT_TYPE];
	if (r->opt[DHCP_OPT_SERVER] == NULL || r->opt_len[DHCP_OPT_SERVER] != 4)
		return "no server identifier";
	return NULL;
}

struct pkt_addr
dhcp_opt_addr(const struct dhcp_reply *r, uint8_t code, unsigned int i)
{
	struct pkt_addr none = { 0 };

	if (r->opt[code] == NULL || r->opt_len[code] % 4 != 0 || 4 * i + 4 > r->opt_len[code])
		return none;
	return addr4(r->opt[code] + 4 * i);
}

uint32_t
dhcp_opt_u32(const struct dhcp_reply *r, uint8_t code)
{
	return r->opt[code] != NULL && r->opt_len[code] == 4 ? pkt_get32(r->opt[code]) : 0;
}

uint16_t
dhcp_opt_u16(const struct dhcp_reply *r, uint8_t code)
{
	return r->opt[code] != NULL && r->opt_len[code] == 2 ? pkt_get16(r->opt[code]) : 0;
}

/* ---- DHCPv6 ---- */

static uint8_t *
put_opt6(uint8_t *o, uint16_t code, const void *value, size_t len)
{
	pkt_put16(o, code);
	pkt_put16(o + 2, (uint16_t)len);
	if (len != 0)
		memcpy(o + 4, value, len);
	return o + 4 + len;
}

static uint8_t *
put_ia(uint8_t *o, const struct dhcp6_request *r)
{
	uint8_t ia[12 + 28] = { 0 }, iaaddr[24] = { 0 };
	size_t len = 12;

	pkt_put32(ia, r->iaid);
	if (r->addr.len == 16) {
		memcpy(iaaddr, r->addr.b, 16);
		put_opt6(ia + 12, DHCP6_OPT_IAADDR, iaaddr, 24);
		len += 28;
	}
	return put_opt6(o, DHCP6_OPT_IA_NA, ia, len);
}

size_t
dhcp6_build(uint8_t *out, const struct dhcp6_request *r)
{
	static const uint8_t elapsed[2] = { 0, 0 };
	uint8_t oro[64], *o = out + 4;

	pkt_put32(out, (uint32_t)r->type << 24 | (r->xid & 0xffffff));
	if (r->client_id_len != 0)
		o = put_opt6(o, DHCP6_OPT_CLIENT_ID, r->client_id, r->client_id_len);
	if (r->server_id_len != 0)
		o = put_opt6(o, DHCP6_OPT_SERVER_ID, r->server_id, r->server_id_len);
	o = put_opt6(o, DHCP6_OPT_ELAPSED, elapsed, 2);
	if (r->iaid != 0)
		o = put_ia(o, r);
	if (r->rapid)
		o = put_opt6(o, DHCP6_OPT_RAPID, NULL, 0);
	if (r->n_oro != 0) {
		for (size_t i = 0; i < r->n_oro && i < 32; i++)
			pkt_put16(oro + 2 * i, r->oro[i]);
		o = put_opt6(o, DHCP6_OPT_ORO, oro, 2 * r->n_oro);
	}
	return (size_t)(o - out);
}

static const char *parse_options6(const uint8_t *o, size_t len, struct dhcp6_reply *r, int level);

static const char *
parse_ia(const uint8_t *o, size_t len, struct dhcp6_reply *r)
{
	if (len < 12 || r->has_ia)
		return "IA_NA cut short or given twice";
	r->has_ia = true;
	r->iaid = pkt_get32(o);
	r->t1 = pkt_get32(o + 4);
	r->t2 = pkt_get32(o + 8);
	if (r->t1 != 0 && r->t2 != 0 && r->t1 > r->t2)
		return "T1 after T2";
	return parse_options6(o + 12, len - 12, r, 1);
}

static const char *
parse_iaaddr(const uint8_t *o, size_t len, struct dhcp6_reply *r)
{
	uint32_t preferred, valid;

	if (len < 24)
		return "IAADDR cut short";
	preferred = pkt_get32(o + 16);
	valid = pkt_get32(o + 20);
	if (preferred > valid)
		return "preferred lifetime over valid lifetime";
	/* One that is taken back may stand beside the one to use (RFC 8415, 18.3.4). */
	if (valid == 0 && r->addr.len != 0)
		return NULL;
	if (r->addr.len != 0 && r->valid != 0)
		return "two addresses in an IA";
	r->addr.len = 16;
	memcpy(r->addr.b, o, 16);
	r->preferred = preferred;
	r->valid = valid;
	return parse_options6(o + 24, len - 24, r, 2);
}

static const char *
parse_status(const uint8_t *o, size_t len, struct dhcp6_reply *r, int level)
{
	if (len < 2)
		return "status cut short";
	if (level == 0) {
		r->has_status = true;
		r->status = pkt_get16(o);
	} else if (level == 1) {
		r->ia_status = pkt_get16(o);
	} else {
		r->addr_status = pkt_get16(o);
	}
	return NULL;
}

static const char *
parse_one6(uint16_t code, const uint8_t *o, size_t n, struct dhcp6_reply *r, int level)
{
	switch (code) {
	case DHCP6_OPT_CLIENT_ID:
		r->client_id = o;
		r->client_id_len = n;
		return NULL;
	case DHCP6_OPT_SERVER_ID:
		r->server_id = o;
		r->server_id_len = n;
		return NULL;
	case DHCP6_OPT_IA_NA:
		return level == 0 ? parse_ia(o, n, r) : "IA_NA inside of an option";
	case DHCP6_OPT_IAADDR:
		return level == 1 ? parse_iaaddr(o, n, r) : "IAADDR outside of an IA";
	case DHCP6_OPT_STATUS:
		return parse_status(o, n, r, level);
	case DHCP6_OPT_DNS:
		if (n == 0 || n % 16 != 0)
			return "DNS option of a wrong length";
		for (size_t i = 0; i < n / 16 && r->n_dns < 4; i++) {
			r->dns[r->n_dns].len = 16;
			memcpy(r->dns[r->n_dns++].b, o + 16 * i, 16);
		}
		return NULL;
	case DHCP6_OPT_SEARCH:
		r->search = o;
		r->search_len = n;
		return NULL;
	case DHCP6_OPT_RAPID:
		r->rapid = true;
		return n == 0 ? NULL : "rapid commit with a value";
	case DHCP6_OPT_FQDN:
		r->fqdn = o;
		r->fqdn_len = n;
		return NULL;
	default:
		return NULL;
	}
}

static const char *
parse_options6(const uint8_t *o, size_t len, struct dhcp6_reply *r, int level)
{
	while (len != 0) {
		const char *bad;
		size_t n;

		if (len < 4)
			return "DHCPv6 option cut short";
		n = pkt_get16(o + 2);
		if (4 + n > len)
			return "DHCPv6 option cut short";
		bad = parse_one6(pkt_get16(o), o + 4, n, r, level);
		if (bad != NULL)
			return bad;
		o += 4 + n;
		len -= 4 + n;
	}
	return NULL;
}

const char *
dhcp6_parse(const uint8_t *msg, size_t len, struct dhcp6_reply *r)
{
	memset(r, 0, sizeof(*r));
	r->ia_status = r->addr_status = -1;
	if (len < 4)
		return "DHCPv6 message cut short";
	r->type = msg[0];
	r->xid = pkt_get32(msg) & 0xffffff;
	if (r->type != DHCP6_ADVERTISE && r->type != DHCP6_REPLY)
		return "neither ADVERTISE nor REPLY";
	return parse_options6(msg + 4, len - 4, r, 0);
}

bool
dhcp_search_text(const uint8_t *wire, size_t len, char *out, size_t size)
{
	size_t at = 0, i = 0;
	bool first = true;

	if (size == 0)
		return false;
	out[0] = '\0';
	while (i < len) {
		uint8_t n = wire[i++];

		if (n == 0) {
			first = true;
			if (i < len)
				at += (size_t)snprintf(out + at, size - at, " ");
			continue;
		}
		if (n > 63 || i + n > len || at + n + 2 > size)
			return false;
		at += (size_t)snprintf(
			out + at, size - at, "%s%.*s", first ? "" : ".", n, wire + i);
		first = false;
		i += n;
	}
	return first;
}
