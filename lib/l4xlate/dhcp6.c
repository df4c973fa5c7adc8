/* SPDX-License-Identifier: BSD-3-Clause */
#include "dhcp6.h"

/* RFC 8415, with one address to give, as in dhcp.c: nothing is kept. */

#define PORT_CLIENT 546
#define PORT_SERVER 547
#define REPLY_MAX (1280 - 48)
#define LEASE_DEFAULT_S 86400
/** Addresses of one IA that are answered. */
#define IA_ADDRS_MAX 8
#define DUID_LL_LEN 10
#define PREFERENCE 255
#define REFRESH_S 86400

enum dhcp6_status {
	STATUS_SUCCESS = 0,
	STATUS_NO_ADDRS = 2,
	STATUS_NO_BINDING = 3,
	STATUS_NOT_ON_LINK = 4,
	STATUS_USE_MULTICAST = 5,
	STATUS_NO_PREFIX = 6,
};

struct reply {
	uint32_t len;
	uint8_t msg[REPLY_MAX];
};

/** Open an option; its length is written by option_end(). UINT32_MAX: no room. */
static uint32_t
option_begin(struct reply *a, uint16_t code)
{
	uint32_t at = a->len;

	if (at == UINT32_MAX || at + 4 > REPLY_MAX)
		return UINT32_MAX;
	a->msg[at] = (uint8_t)(code >> 8);
	a->msg[at + 1] = (uint8_t)code;
	a->len += 4;
	return at;
}

static void
put(struct reply *a, const void *v, uint32_t len)
{
	if (a->len == UINT32_MAX || a->len + len > REPLY_MAX) {
		a->len = UINT32_MAX;
		return;
	}
	if (len > 0)
		memcpy(a->msg + a->len, v, len);
	a->len += len;
}

/** Write the length, or take the option back when it did not fit. */
static void
option_end(struct reply *a, uint32_t at)
{
	uint32_t len;

	if (at == UINT32_MAX)
		return;
	if (a->len == UINT32_MAX) {
		a->len = at;
		return;
	}
	len = a->len - at - 4;
	a->msg[at + 2] = (uint8_t)(len >> 8);
	a->msg[at + 3] = (uint8_t)len;
}

static void
put_option(struct reply *a, uint16_t code, const void *v, uint32_t len)
{
	uint32_t at = option_begin(a, code);

	if (at == UINT32_MAX)
		return;
	put(a, v, len);
	option_end(a, at);
}

static void
put32(struct reply *a, uint32_t v)
{
	rte_be32_t be = rte_cpu_to_be_32(v);

	put(a, &be, sizeof(be));
}

static void
put_status(struct reply *a, uint16_t status)
{
	rte_be16_t be = rte_cpu_to_be_16(status);

	put_option(a, DHCP6_OPT_STATUS, &be, sizeof(be));
}

static uint32_t
lease(const struct l4x_port_conf *c)
{
	return c->lease_s != 0 ? c->lease_s : LEASE_DEFAULT_S;
}

static void
put_address(struct reply *a, const uint8_t addr[16], uint32_t lifetime_s)
{
	uint32_t at = option_begin(a, DHCP6_OPT_IAADDR);

	if (at == UINT32_MAX)
		return;
	put(a, addr, 16);
	put32(a, lifetime_s);
	put32(a, lifetime_s);
	option_end(a, at);
}

/** RFC 8415, 18.3.4: other addresses of the IA are told to be over. */
static void
put_foreign_addresses(struct reply *a, const struct dhcp6_ia *ia, const struct l4x_port_conf *c)
{
	const uint8_t *at = NULL, *addr;
	unsigned int n = 0;

	while (n < IA_ADDRS_MAX && (addr = l4x_dhcp6_next_addr(ia, &at)) != NULL) {
		if (memcmp(addr, c->address6.b, 16) == 0)
			continue;
		put_address(a, addr, 0);
		n++;
	}
}

/** The fixed part of an IA; option_end() goes with it. */
static uint32_t
ia_begin(struct reply *a, const struct dhcp6_ia *ia, uint32_t lifetime_s)
{
	uint32_t at = option_begin(a, ia->code);

	if (at == UINT32_MAX)
		return at;
	put(a, ia->v, 4);
	if (ia->code != DHCP6_OPT_IA_TA) {
		put32(a, lifetime_s / 2);
		put32(a, (uint32_t)((uint64_t)lifetime_s * 4 / 5));
	}
	return at;
}

static void
put_ia_status(struct reply *a, const struct dhcp6_ia *ia, uint16_t status)
{
	uint32_t at = ia_begin(a, ia, 0);

	if (at == UINT32_MAX)
		return;
	put_status(a, status);
	option_end(a, at);
}

/** The IA that gets the address. @param renews it may name others */
static void
put_ia_lease(struct reply *a, const struct dhcp6_ia *ia, const struct l4x_port_conf *c, bool renews)
{
	uint32_t at = ia_begin(a, ia, lease(c));

	if (at == UINT32_MAX)
		return;
	put_address(a, c->address6.b, lease(c));
	if (renews)
		put_foreign_addresses(a, ia, c);
	option_end(a, at);
}

/** The first IA_NA gets the address; there is no second. */
static void
put_ias(struct reply *a, const struct dhcp6_request *r, const struct l4x_port_conf *c)
{
	bool given = false, renews = r->type == DHCP6_RENEW || r->type == DHCP6_REBIND;

	for (unsigned int i = 0; i < r->n_ias; i++) {
		const struct dhcp6_ia *ia = &r->ias[i];

		if (ia->code == DHCP6_OPT_IA_NA && !given) {
			put_ia_lease(a, ia, c, renews);
			given = true;
		} else if (renews) {
			/* RFC 8415, 18.3.4: what was never given cannot be had for longer. */
			put_ia_status(a, ia, STATUS_NO_BINDING);
		} else {
			put_ia_status(a, ia,
				ia->code == DHCP6_OPT_IA_PD ? STATUS_NO_PREFIX : STATUS_NO_ADDRS);
		}
	}
}

static void
put_config(struct reply *a, const struct dhcp6_request *r, const struct l4x_port_conf *c)
{
	uint8_t v[L4X_NAMES_MAX];
	rte_be32_t refresh = RTE_BE32(REFRESH_S);
	uint32_t n = 0;

	for (unsigned int i = 0; r->dns && i < c->n_dns; i++) {
		if (flowtab_addr_is_v4(&c->dns[i]))
			continue;
		memcpy(v + n, c->dns[i].b, 16);
		n += 16;
	}
	if (n > 0)
		put_option(a, DHCP6_OPT_DNS, v, n);
	n = r->search ? l4x_names_encode(c->search, v, sizeof(v)) : 0;
	if (n > 0)
		put_option(a, DHCP6_OPT_SEARCH, v, n);
	/* RFC 4704: flags, N: nobody updates DNS for the client. */
	v[0] = 4;
	n = r->fqdn ? l4x_fqdn_encode(c, v + 1, sizeof(v) - 1) : 0;
	if (n > 0)
		put_option(a, DHCP6_OPT_FQDN, v, 1 + n);
	if (r->refresh && r->type == DHCP6_INFORMATION)
		put_option(a, DHCP6_OPT_REFRESH, &refresh, sizeof(refresh));
}

/** RFC 8415, 11.4: DUID-LL, made of the gateway's MAC address. */
static void
server_duid(const struct l4x_port_conf *c, uint8_t duid[DUID_LL_LEN])
{
	const uint8_t *mac = c->gateway_mac.addr_bytes;

	memcpy(duid, (const uint8_t[]){ 0, 3, 0, 1 }, 4);
	memcpy(duid + 4, mac, RTE_ETHER_ADDR_LEN);
}

static void
reply_init(
	struct reply *a, const struct dhcp6_request *r, const struct l4x_port_conf *c, uint8_t type)
{
	uint8_t duid[DUID_LL_LEN];

	a->len = 4;
	memcpy(a->msg, r->msg, 4);
	a->msg[0] = type;
	server_duid(c, duid);
	put_option(a, DHCP6_OPT_SERVER, duid, sizeof(duid));
	if (r->client != NULL)
		put_option(a, DHCP6_OPT_CLIENT, r->client, r->client_len);
}

static void
reply_send(struct l4x *l, const struct l4x_pkt *p, const struct reply *a)
{
	struct flowtab_tuple t = { .eaddr = p->tuple.eaddr,
		.oaddr = p->port->linklocal6,
		.eport = RTE_BE16(PORT_CLIENT),
		.oport = RTE_BE16(PORT_SERVER),
		.proto = IPPROTO_UDP };
	struct rte_mbuf *m = l4x_dhcp_frame(l, p->port, &t, a->msg, a->len);

	if (m == NULL)
		return;
	l4x_count(l, L4X_COUNT_DHCP6_REPLIES);
	l4x_frame_add(l, p->port, p->queue, m);
}

static void
assign(struct l4x *l, const struct l4x_pkt *p, const struct dhcp6_request *r)
{
	bool solicit = r->type == DHCP6_SOLICIT, rapid = solicit && r->rapid;
	const uint8_t preference = PREFERENCE;
	struct reply a;

	reply_init(&a, r, &p->port->conf, solicit && !rapid ? DHCP6_ADVERTISE : DHCP6_REPLY);
	if (rapid)
		put_option(&a, DHCP6_OPT_RAPID, NULL, 0);
	else if (solicit)
		put_option(&a, DHCP6_OPT_PREFERENCE, &preference, 1);
	put_ias(&a, r, &p->port->conf);
	put_config(&a, r, &p->port->conf);
	reply_send(l, p, &a);
}

static void
tell_status(struct l4x *l, const struct l4x_pkt *p, const struct dhcp6_request *r, uint16_t status)
{
	struct reply a;

	reply_init(&a, r, &p->port->conf, DHCP6_REPLY);
	put_status(&a, status);
	reply_send(l, p, &a);
}

/** Was this IA given what it names? */
static bool
is_bound(const struct dhcp6_ia *ia, const struct l4x_port_conf *c)
{
	const uint8_t *at = NULL, *addr;

	while (ia->code == DHCP6_OPT_IA_NA && (addr = l4x_dhcp6_next_addr(ia, &at)) != NULL) {
		if (memcmp(addr, c->address6.b, 16) == 0)
			return true;
	}
	return false;
}

/** RFC 8415, 18.3.7 and 18.3.8: given back, or found to be in use. Nothing is kept of either. */
static void
give_back(struct l4x *l, const struct l4x_pkt *p, const struct dhcp6_request *r)
{
	struct reply a;

	reply_init(&a, r, &p->port->conf, DHCP6_REPLY);
	put_status(&a, STATUS_SUCCESS);
	for (unsigned int i = 0; i < r->n_ias; i++) {
		if (!is_bound(&r->ias[i], &p->port->conf))
			put_ia_status(&a, &r->ias[i], STATUS_NO_BINDING);
	}
	reply_send(l, p, &a);
}

/** RFC 8415, 18.3.3: are all addresses right for this link? No answer when none is named. */
static int
confirm(struct l4x *l, const struct l4x_pkt *p, const struct dhcp6_request *r)
{
	unsigned int named = 0, on_link = 0;

	for (unsigned int i = 0; i < r->n_ias; i++) {
		const uint8_t *at = NULL, *v;

		if (r->ias[i].code == DHCP6_OPT_IA_PD)
			continue;
		while ((v = l4x_dhcp6_next_addr(&r->ias[i], &at)) != NULL) {
			struct flowtab_addr addr = flowtab_addr_v6(v);

			named++;
			on_link += l4x_addr_on_link(&p->port->conf, &addr);
		}
	}
	if (named == 0)
		return L4X_DROP_DHCP6_BAD;
	tell_status(l, p, r, named == on_link ? STATUS_SUCCESS : STATUS_NOT_ON_LINK);
	return L4X_PKT_OK;
}

static void
information(struct l4x *l, const struct l4x_pkt *p, const struct dhcp6_request *r)
{
	struct reply a;

	reply_init(&a, r, &p->port->conf, DHCP6_REPLY);
	put_config(&a, r, &p->port->conf);
	reply_send(l, p, &a);
}

/** RFC 8415, 16: which messages must, may or must not carry which DUID, and for whom they are. */
static int
validate(const struct l4x_pkt *p, const struct dhcp6_request *r)
{
	uint8_t duid[DUID_LL_LEN];

	switch (r->type) {
	case DHCP6_SOLICIT:
	case DHCP6_CONFIRM:
	case DHCP6_REBIND:
		return r->client != NULL && r->server == NULL ? L4X_PKT_OK : L4X_DROP_DHCP6_BAD;
	case DHCP6_REQUEST:
	case DHCP6_RENEW:
	case DHCP6_RELEASE:
	case DHCP6_DECLINE:
		if (r->client == NULL || r->server == NULL)
			return L4X_DROP_DHCP6_BAD;
		break;
	case DHCP6_INFORMATION:
		if (r->n_ias > 0)
			return L4X_DROP_DHCP6_BAD;
		break;
	default:
		return L4X_DROP_DHCP6_BAD;
	}
	server_duid(&p->port->conf, duid);
	if (r->server != NULL &&
		(r->server_len != sizeof(duid) || memcmp(r->server, duid, sizeof(duid)) != 0))
		return L4X_DROP_DHCP6_SERVER;
	return L4X_PKT_OK;
}

/** RFC 8415, 18.4: no client was told that it may use unicast. */
static int
unicast(struct l4x *l, const struct l4x_pkt *p, const struct dhcp6_request *r)
{
	if (r->type != DHCP6_REQUEST && r->type != DHCP6_RENEW && r->type != DHCP6_RELEASE &&
		r->type != DHCP6_DECLINE)
		return L4X_DROP_DHCP6_BAD;
	tell_status(l, p, r, STATUS_USE_MULTICAST);
	return L4X_PKT_OK;
}

static int
dispatch(struct l4x *l, const struct l4x_pkt *p, const struct dhcp6_request *r)
{
	int why = validate(p, r);

	if (why != L4X_PKT_OK)
		return why;
	if (!flowtab_addr_is_multicast(&p->tuple.oaddr))
		return unicast(l, p, r);
	switch (r->type) {
	case DHCP6_CONFIRM:
		return confirm(l, p, r);
	case DHCP6_RELEASE:
	case DHCP6_DECLINE:
		give_back(l, p, r);
		return L4X_PKT_OK;
	case DHCP6_INFORMATION:
		information(l, p, r);
		return L4X_PKT_OK;
	default:
		assign(l, p, r);
		return L4X_PKT_OK;
	}
}

void
l4x_dhcp6(struct l4x *l, struct l4x_pkt *p)
{
	int why = L4X_DROP_DHCP6_BAD;
	struct dhcp6_request r;

	if (l4x_dhcp6_read(&r, p))
		why = dispatch(l, p, &r);
	if (why == L4X_PKT_OK)
		rte_pktmbuf_free(p->m);
	else
		l4x_drop(l, p->m, (enum l4x_counter)why);
}
