/* SPDX-License-Identifier: BSD-3-Clause */
#include "dhcp6.h"

/** RFC 8415, 11.1. */
#define DUID_MAX 130

static uint16_t
get16(const uint8_t *v)
{
	return (uint16_t)(v[0] << 8 | v[1]);
}

/** The next option: its value and length. False at the end, with *ok false if it is cut short. */
static bool
next_option(const uint8_t **at, const uint8_t *end, uint16_t *code, const uint8_t **v,
	uint16_t *len, bool *ok)
{
	if (*at == end)
		return false;
	*ok = end - *at >= 4;
	if (!*ok)
		return false;
	*code = get16(*at);
	*len = get16(*at + 2);
	*v = *at + 4;
	*ok = end - *v >= *len;
	*at = *v + (*ok ? *len : 0);
	return *ok;
}

/** Fixed part of an IA in front of its options; RFC 8415, 21.4 to 21.6, 21.21. */
static uint32_t
ia_head(uint16_t code)
{
	return code == DHCP6_OPT_IA_TA ? 4 : 12;
}

static bool
ia_well_formed(const struct dhcp6_ia *ia)
{
	const uint8_t *at, *end = ia->v + ia->len, *v;
	uint16_t code, len;
	bool ok = true;

	if (ia->len < ia_head(ia->code))
		return false;
	at = ia->v + ia_head(ia->code);
	while (next_option(&at, end, &code, &v, &len, &ok)) {
		if (code == DHCP6_OPT_IAADDR && len < 24)
			return false;
	}
	return ok;
}

const uint8_t *
l4x_dhcp6_next_addr(const struct dhcp6_ia *ia, const uint8_t **at)
{
	uint16_t code, len;
	const uint8_t *v;
	bool ok;

	if (*at == NULL)
		*at = ia->v + ia_head(ia->code);
	while (next_option(at, ia->v + ia->len, &code, &v, &len, &ok)) {
		if (code == DHCP6_OPT_IAADDR)
			return v;
	}
	return NULL;
}

static bool
take_duid(const uint8_t **duid, uint16_t *duid_len, const uint8_t *v, uint16_t len)
{
	if (*duid != NULL || len < 3 || len > DUID_MAX)
		return false;
	*duid = v;
	*duid_len = len;
	return true;
}

static bool
take_ia(struct dhcp6_request *r, uint16_t code, const uint8_t *v, uint16_t len)
{
	struct dhcp6_ia ia = { .code = code, .len = len, .v = v };

	if (!ia_well_formed(&ia))
		return false;
	if (r->n_ias < DHCP6_IA_MAX)
		r->ias[r->n_ias++] = ia;
	return true;
}

static bool
take_oro(struct dhcp6_request *r, const uint8_t *v, uint16_t len)
{
	for (unsigned int i = 0; i + 2 <= len; i += 2) {
		r->dns |= get16(v + i) == DHCP6_OPT_DNS;
		r->search |= get16(v + i) == DHCP6_OPT_SEARCH;
		r->refresh |= get16(v + i) == DHCP6_OPT_REFRESH;
		r->fqdn |= get16(v + i) == DHCP6_OPT_FQDN;
	}
	return len % 2 == 0;
}

static bool
take_option(struct dhcp6_request *r, uint16_t code, const uint8_t *v, uint16_t len)
{
	switch (code) {
	case DHCP6_OPT_CLIENT:
		return take_duid(&r->client, &r->client_len, v, len);
	case DHCP6_OPT_SERVER:
		return take_duid(&r->server, &r->server_len, v, len);
	case DHCP6_OPT_IA_NA:
	case DHCP6_OPT_IA_TA:
	case DHCP6_OPT_IA_PD:
		return take_ia(r, code, v, len);
	case DHCP6_OPT_ORO:
		return take_oro(r, v, len);
	case DHCP6_OPT_FQDN:
		r->fqdn = true;
		return len >= 1;
	case DHCP6_OPT_RAPID:
		r->rapid = true;
		return len == 0;
	default:
		return true;
	}
}

bool
l4x_dhcp6_read(struct dhcp6_request *r, const struct l4x_pkt *p)
{
	const uint8_t *at, *end, *v;
	uint16_t code, len;
	bool ok = true;
	const void *src;

	memset(r, 0, sizeof(*r));
	r->len = p->data_len;
	if (r->len < 4 || r->len > DHCP6_MSG_MAX)
		return false;
	src = rte_pktmbuf_read(p->m, p->data_off, r->len, r->msg);
	if (src == NULL)
		return false;
	if (src != r->msg)
		memcpy(r->msg, src, r->len);
	r->type = r->msg[0];
	at = r->msg + 4;
	end = r->msg + r->len;
	while (next_option(&at, end, &code, &v, &len, &ok)) {
		if (!take_option(r, code, v, len))
			return false;
	}
	return ok;
}
