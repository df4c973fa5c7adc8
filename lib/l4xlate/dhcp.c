/* SPDX-License-Identifier: BSD-3-Clause */
#include "l4x_priv.h"

/*
 * RFC 2131, with one address to give: a lease is a statement about the configuration, not a record.
 * So nothing is kept, and every request can be answered from the port's configuration alone.
 */

#define PORT_SERVER 67
#define PORT_CLIENT 68
#define OP_REQUEST 1
#define OP_REPLY 2
#define MAGIC 0x63825363
#define FLAG_BROADCAST 0x8000
/** Largest message that is looked at; largest and smallest that is sent. BOOTP has this size only.
 */
#define MSG_MAX 1472
#define REPLY_MIN 300
/** RFC 2131, 2: every client takes 576 bytes of IP datagram, whatever it says. */
#define REPLY_DEFAULT (576 - 28)
#define LEASE_DEFAULT_S 86400

enum dhcp_type {
	DHCP_DISCOVER = 1,
	DHCP_OFFER,
	DHCP_REQUEST,
	DHCP_DECLINE,
	DHCP_ACK,
	DHCP_NAK,
	DHCP_RELEASE,
	DHCP_INFORM,
};

enum dhcp_option {
	OPT_PAD = 0,
	OPT_MASK = 1,
	OPT_ROUTER = 3,
	OPT_DNS = 6,
	OPT_HOSTNAME = 12,
	OPT_DOMAIN = 15,
	OPT_MTU = 26,
	OPT_BROADCAST = 28,
	OPT_REQUESTED = 50,
	OPT_LEASE = 51,
	OPT_OVERLOAD = 52,
	OPT_TYPE = 53,
	OPT_SERVER = 54,
	OPT_LIST = 55,
	OPT_MAX_SIZE = 57,
	OPT_T1 = 58,
	OPT_T2 = 59,
	OPT_CLIENT = 61,
	OPT_RAPID = 80,
	OPT_FQDN = 81,
	OPT_SEARCH = 119,
	OPT_ROUTES = 121,
	OPT_END = 255,
};

struct dhcp_msg {
	uint8_t op, htype, hlen, hops;
	uint32_t xid;
	uint16_t secs;
	rte_be16_t flags;
	rte_be32_t ciaddr, yiaddr, siaddr, giaddr;
	uint8_t chaddr[16], sname[64], file[128];
	rte_be32_t magic;
	uint8_t options[MSG_MAX - 240];
} __rte_packed;
static_assert(sizeof(struct dhcp_msg) == MSG_MAX, "BOOTP's header is 236 bytes, the cookie 4");

/** What a client says. */
struct request {
	struct dhcp_msg msg; /**< its copy: the guest cannot change it any more */
	uint32_t options_len;
	uint8_t type, overload;
	bool has_type; /**< else it is BOOTP */
	bool has_server, has_requested, has_list, rapid, fqdn;
	uint8_t fqdn_flags;
	rte_be32_t server, requested;
	uint16_t max_size;
	uint8_t list[32]; /**< bitmap of the options asked for */
	uint8_t client_len;
	uint8_t client[255];
};

/** A reply under construction: options are added while there is room. */
struct reply {
	struct dhcp_msg msg;
	uint32_t len, max; /**< of options */
};

static bool
take_option(struct request *r, uint8_t code, const uint8_t *v, uint8_t len)
{
	switch (code) {
	case OPT_TYPE:
		r->type = len == 1 ? v[0] : 0;
		r->has_type = true;
		return len == 1;
	case OPT_SERVER:
		if (len == 4)
			memcpy(&r->server, v, 4);
		r->has_server = true;
		return len == 4;
	case OPT_REQUESTED:
		if (len == 4)
			memcpy(&r->requested, v, 4);
		r->has_requested = true;
		return len == 4;
	case OPT_OVERLOAD:
		r->overload = len == 1 ? v[0] & 3 : 0;
		return len == 1;
	case OPT_MAX_SIZE:
		if (len == 2)
			r->max_size = (uint16_t)(v[0] << 8 | v[1]);
		return len == 2;
	case OPT_LIST:
		for (unsigned int i = 0; i < len; i++)
			r->list[v[i] / 8] |= (uint8_t)(1 << v[i] % 8);
		r->has_list = true;
		return true;
	case OPT_RAPID:
		r->rapid = true;
		return len == 0;
	case OPT_FQDN:
		r->fqdn = len >= 3;
		r->fqdn_flags = len >= 3 ? v[0] : 0;
		return len >= 3;
	case OPT_CLIENT:
		r->client_len = len;
		memcpy(r->client, v, len);
		return true;
	default:
		return true;
	}
}

static bool
take_options(struct request *r, const uint8_t *o, uint32_t len)
{
	for (uint32_t i = 0; i < len && o[i] != OPT_END;) {
		if (o[i] == OPT_PAD) {
			i++;
			continue;
		}
		if (i + 2 > len || i + 2 + o[i + 1] > len ||
			!take_option(r, o[i], o + i + 2, o[i + 1]))
			return false;
		i += 2u + o[i + 1];
	}
	return true;
}

static bool
request_read(struct request *r, const struct l4x_pkt *p)
{
	uint32_t len = RTE_MIN(p->data_len, (uint32_t)MSG_MAX);
	struct dhcp_msg *m = &r->msg;
	const void *at;

	memset(r, 0, sizeof(*r));
	if (len < offsetof(struct dhcp_msg, options))
		return false;
	at = rte_pktmbuf_read(p->m, p->data_off, len, m);
	if (at == NULL)
		return false;
	if (at != m)
		memcpy(m, at, len);
	r->options_len = len - offsetof(struct dhcp_msg, options);
	if (m->op != OP_REQUEST || m->htype != 1 || m->hlen != RTE_ETHER_ADDR_LEN || m->giaddr != 0)
		return false;
	/* RFC 951: BOOTP's vendor area, if nothing is in it. */
	if (m->magic == 0)
		return true;
	if (m->magic != RTE_BE32(MAGIC))
		return false;
	if (!take_options(r, m->options, r->options_len))
		return false;
	/* RFC 2132, 9.3: the fields of BOOTP may hold more of them; file first. */
	if ((r->overload & 1) != 0 && !take_options(r, m->file, sizeof(m->file)))
		return false;
	return (r->overload & 2) == 0 || take_options(r, m->sname, sizeof(m->sname));
}

/** All of it or nothing; what is longer than an option can be in several (RFC 3396). */
static void
put(struct reply *a, uint8_t code, const void *v, uint32_t len)
{
	const uint8_t *from = v;

	/* One byte is kept for the end. */
	if (a->len + len + 2 * ((len + 254) / 255) + 1 > a->max)
		return;
	while (len > 0) {
		uint32_t n = RTE_MIN(len, 255u);

		a->msg.options[a->len] = code;
		a->msg.options[a->len + 1] = (uint8_t)n;
		memcpy(&a->msg.options[a->len + 2], from, n);
		a->len += 2 + n;
		from += n;
		len -= n;
	}
}

/** RFC 4039: an option without a value. */
static void
put_rapid(struct reply *a)
{
	if (a->len + 2 + 1 > a->max)
		return;
	a->msg.options[a->len++] = OPT_RAPID;
	a->msg.options[a->len++] = 0;
}

static void
put32(struct reply *a, uint8_t code, uint32_t v)
{
	rte_be32_t be = rte_cpu_to_be_32(v);

	put(a, code, &be, sizeof(be));
}

static bool
asked(const struct request *r, uint8_t code)
{
	/* Who names nothing gets what nobody can do without. */
	if (!r->has_list)
		return code == OPT_MASK || code == OPT_ROUTER || code == OPT_DNS;
	return (r->list[code / 8] >> code % 8 & 1) != 0;
}

static uint32_t
prefix_mask(uint8_t len)
{
	return len == 0 ? 0 : UINT32_MAX << (32 - len);
}

/** RFC 3442: the default route, and one to its gateway where the subnet does not hold it. */
static void
put_routes(struct reply *a, const struct l4x_port_conf *c)
{
	uint8_t v[16] = { 0 };
	uint32_t n = 0;

	if (!flowtab_addr_in_prefix(&c->address, &c->gateway, c->prefix_len) ||
		c->prefix_len == 32) {
		v[n++] = 32;
		memcpy(v + n, &c->gateway.v4, 4);
		n += 4 + 4;
	}
	n++;
	memcpy(v + n, &c->gateway.v4, 4);
	put(a, OPT_ROUTES, v, n + 4);
}

static void
put_dns(struct reply *a, const struct l4x_port_conf *c)
{
	rte_be32_t v[L4X_MAX_DNS];
	uint32_t n = 0;

	for (unsigned int i = 0; i < c->n_dns; i++) {
		if (flowtab_addr_is_v4(&c->dns[i]))
			v[n++] = c->dns[i].v4;
	}
	put(a, OPT_DNS, v, n * sizeof(v[0]));
}

/** RFC 4702: who the client is, in full; nobody updates DNS for it (N). */
static void
put_fqdn(struct reply *a, const struct request *r, const struct l4x_port_conf *c)
{
	/* Flags; two obsolete result codes. */
	uint8_t v[255] = { 0x0c, 255, 255 };
	uint32_t n = l4x_fqdn_encode(c, v + 3, sizeof(v) - 3);

	/* Without E the client wants ASCII, which the RFC deprecates: it gets none. */
	if (n > 0 && (r->fqdn_flags & 4) != 0)
		put(a, OPT_FQDN, v, 3 + n);
}

static void
put_names(struct reply *a, const struct request *r, const struct l4x_port_conf *c)
{
	uint8_t names[L4X_NAMES_MAX];

	if (asked(r, OPT_HOSTNAME))
		put(a, OPT_HOSTNAME, c->hostname, (uint32_t)strlen(c->hostname));
	if (r->fqdn)
		put_fqdn(a, r, c);
	if (asked(r, OPT_DOMAIN))
		put(a, OPT_DOMAIN, c->search, (uint32_t)strcspn(c->search, " \t,"));
	if (asked(r, OPT_SEARCH))
		put(a, OPT_SEARCH, names, l4x_names_encode(c->search, names, sizeof(names)));
}

/** What a client cannot do without comes first: not all may fit. */
static void
put_config(struct reply *a, const struct request *r, const struct l4x_port_conf *c)
{
	uint32_t gateway = rte_be_to_cpu_32(c->gateway.v4), mask = prefix_mask(c->prefix_len);
	rte_be16_t mtu = rte_cpu_to_be_16(c->mtu);

	if (asked(r, OPT_MASK))
		put32(a, OPT_MASK, mask);
	if (asked(r, OPT_ROUTER))
		put32(a, OPT_ROUTER, gateway);
	if (asked(r, OPT_ROUTES))
		put_routes(a, c);
	if (asked(r, OPT_DNS))
		put_dns(a, c);
	if (asked(r, OPT_MTU))
		put(a, OPT_MTU, &mtu, sizeof(mtu));
	if (asked(r, OPT_BROADCAST) && c->prefix_len < 31)
		put32(a, OPT_BROADCAST, gateway | ~mask);
	put_names(a, r, c);
}

static uint32_t
lease_of(const struct l4x_port_conf *c)
{
	return c->lease_s != 0 ? c->lease_s : LEASE_DEFAULT_S;
}

/** Of a lease; who is not told takes the same for granted (RFC 2131, 4.4.5). */
static void
put_renewal(struct reply *a, const struct request *r, uint32_t lease)
{
	if (asked(r, OPT_T1))
		put32(a, OPT_T1, lease / 2);
	if (asked(r, OPT_T2))
		put32(a, OPT_T2, (uint32_t)((uint64_t)lease * 7 / 8));
}

static void
reply_init(struct reply *a, const struct request *r, const struct l4x_port_conf *c, uint8_t type)
{
	uint32_t max = REPLY_DEFAULT;

	/* RFC 2132, 9.10: the client says what it takes; the MTU counts for what is above the 576.
	 */
	if (r->max_size > 576 && c->mtu > 576)
		max = RTE_MIN(RTE_MIN(r->max_size, c->mtu) - 28u, (uint32_t)MSG_MAX);
	if (!r->has_type)
		max = REPLY_MIN;
	memset(a, 0, sizeof(*a));
	a->max = max - offsetof(struct dhcp_msg, options);
	a->msg.op = OP_REPLY;
	a->msg.htype = r->msg.htype;
	a->msg.hlen = r->msg.hlen;
	a->msg.xid = r->msg.xid;
	a->msg.flags = r->msg.flags;
	memcpy(a->msg.chaddr, r->msg.chaddr, sizeof(a->msg.chaddr));
	a->msg.magic = RTE_BE32(MAGIC);
	if (!r->has_type)
		return;
	put(a, OPT_TYPE, &type, 1);
	put32(a, OPT_SERVER, rte_be_to_cpu_32(c->gateway.v4));
	/* RFC 6842: what names the client goes back to it. */
	put(a, OPT_CLIENT, r->client, r->client_len);
}

struct rte_mbuf *
l4x_dhcp_frame(struct l4x *l, const struct l4x_port *port, const struct flowtab_tuple *t,
	const void *msg, uint32_t len)
{
	uint32_t total = len + sizeof(struct rte_udp_hdr);
	struct rte_mbuf *m = l4x_mbuf(l);
	struct rte_udp_hdr *udp;

	if (m == NULL)
		return NULL;
	udp = (struct rte_udp_hdr *)rte_pktmbuf_append(m, (uint16_t)total);
	if (udp == NULL) {
		l4x_drop(l, m, L4X_DROP_NO_MBUF);
		return NULL;
	}
	udp->src_port = t->oport;
	udp->dst_port = t->eport;
	udp->dgram_len = rte_cpu_to_be_16((uint16_t)total);
	udp->dgram_cksum = 0;
	memcpy(udp + 1, msg, len);
	udp->dgram_cksum = l4x_cksum(m, 0, total, l4x_phdr_sum(t, total));
	if (udp->dgram_cksum == 0)
		udp->dgram_cksum = UINT16_MAX;
	l4x_ip_prepend(port, m, t, 0, 0);
	return m;
}

/** RFC 2131, 4.1: to whom the reply goes. */
static void
reply_send(
	struct l4x *l, const struct l4x_pkt *p, const struct request *r, struct reply *a, bool nak)
{
	const struct l4x_port_conf *c = &p->port->conf;
	struct flowtab_tuple t = { .oaddr = c->gateway, .proto = IPPROTO_UDP };
	bool broadcast = nak;
	struct rte_mbuf *m;
	uint32_t len;

	if (!nak && r->msg.ciaddr != 0)
		t.eaddr = flowtab_addr_v4(r->msg.ciaddr);
	else if (!nak && (r->msg.flags & RTE_BE16(FLAG_BROADCAST)) == 0)
		t.eaddr = flowtab_addr_v4(a->msg.yiaddr);
	else
		broadcast = true;
	if (broadcast)
		t.eaddr = flowtab_addr_v4(UINT32_MAX);
	t.oport = RTE_BE16(PORT_SERVER);
	t.eport = RTE_BE16(PORT_CLIENT);
	if (a->len < sizeof(a->msg.options))
		a->msg.options[a->len++] = OPT_END;
	/* Some clients, and BOOTP's relays, know no shorter message (RFC 1542, 2.1). */
	len = RTE_MAX((uint32_t)offsetof(struct dhcp_msg, options) + a->len, (uint32_t)REPLY_MIN);
	m = l4x_dhcp_frame(l, p->port, &t, &a->msg, len);
	if (m == NULL)
		return;
	if (broadcast)
		memset(rte_pktmbuf_mtod(m, struct rte_ether_hdr *)->dst_addr.addr_bytes, 0xff,
			RTE_ETHER_ADDR_LEN);
	l4x_count(l, L4X_COUNT_DHCP_REPLIES);
	l4x_frame_add(l, p->port, p->queue, m);
}

static void
grant(struct l4x *l, const struct l4x_pkt *p, const struct request *r, uint8_t type)
{
	const struct l4x_port_conf *c = &p->port->conf;
	struct reply a;

	reply_init(&a, r, c, type);
	a.msg.ciaddr = type == DHCP_ACK ? r->msg.ciaddr : 0;
	a.msg.yiaddr = c->address.v4;
	if (r->type == DHCP_DISCOVER && type == DHCP_ACK)
		put_rapid(&a);
	put32(&a, OPT_LEASE, lease_of(c));
	put_config(&a, r, c);
	put_renewal(&a, r, lease_of(c));
	reply_send(l, p, r, &a, false);
}

/** RFC 1534, 2: the same address for good, and none of DHCP's own options. */
static int
bootp(struct l4x *l, const struct l4x_pkt *p, const struct request *r)
{
	const struct l4x_port_conf *c = &p->port->conf;
	struct reply a;

	/* RFC 1542, 2.1. A message of DHCP that is cut short is none of BOOTP. */
	if (p->data_len < REPLY_MIN)
		return L4X_DROP_DHCP_BAD;
	reply_init(&a, r, c, 0);
	a.msg.ciaddr = r->msg.ciaddr;
	a.msg.yiaddr = r->msg.ciaddr == 0 ? c->address.v4 : 0;
	put_config(&a, r, c);
	reply_send(l, p, r, &a, false);
	return L4X_PKT_OK;
}

static void
refuse(struct l4x *l, const struct l4x_pkt *p, const struct request *r)
{
	struct reply a;

	reply_init(&a, r, &p->port->conf, DHCP_NAK);
	reply_send(l, p, r, &a, true);
}

/** RFC 2131, 4.3.5: an address the client has by itself; no lease in the answer. */
static void
inform(struct l4x *l, const struct l4x_pkt *p, const struct request *r)
{
	struct reply a;

	reply_init(&a, r, &p->port->conf, DHCP_ACK);
	a.msg.ciaddr = r->msg.ciaddr;
	put_config(&a, r, &p->port->conf);
	reply_send(l, p, r, &a, false);
}

/** RFC 2131, 4.3.2: the client's state shows in which fields it has filled. */
static int
request_rx(struct l4x *l, const struct l4x_pkt *p, const struct request *r)
{
	rte_be32_t wanted = r->has_requested ? r->requested : r->msg.ciaddr;

	if (wanted == 0)
		return L4X_DROP_DHCP_BAD;
	if (wanted == p->port->conf.address.v4)
		grant(l, p, r, DHCP_ACK);
	else
		refuse(l, p, r);
	return L4X_PKT_OK;
}

static int
dispatch(struct l4x *l, const struct l4x_pkt *p, const struct request *r)
{
	bool other = r->has_server && r->server != p->port->conf.gateway.v4;

	if (!r->has_type)
		return bootp(l, p, r);
	switch (r->type) {
	case DHCP_DISCOVER:
		grant(l, p, r, r->rapid ? DHCP_ACK : DHCP_OFFER);
		return L4X_PKT_OK;
	case DHCP_REQUEST:
		return other ? L4X_DROP_DHCP_SERVER : request_rx(l, p, r);
	case DHCP_INFORM:
		if (r->msg.ciaddr == 0)
			return L4X_DROP_DHCP_BAD;
		inform(l, p, r);
		return L4X_PKT_OK;
	case DHCP_RELEASE:
	case DHCP_DECLINE:
		return other ? L4X_DROP_DHCP_SERVER : L4X_PKT_OK;
	default:
		return L4X_DROP_DHCP_BAD;
	}
}

void
l4x_dhcp(struct l4x *l, struct l4x_pkt *p)
{
	struct request r;
	int why = L4X_DROP_DHCP_BAD;

	if (request_read(&r, p))
		why = dispatch(l, p, &r);
	if (why == L4X_PKT_OK)
		rte_pktmbuf_free(p->m);
	else
		l4x_drop(l, p->m, (enum l4x_counter)why);
}
