/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * FTP: where the data connection will go.
 *
 *   client: PORT h1,h2,h3,h4,p1,p2        (RFC 959, 4.1.2)
 *           EPRT |1|132.235.1.2|6275|     (RFC 2428, 2; 2 in place of 1: IPv6)
 *   server: 227 ... h1,h2,h3,h4,p1,p2 ... (RFC 959, 4.1.2; where in the text: RFC 1123, 4.1.2.6)
 *           229 ... (|||6446|)            (RFC 2428, 3)
 *
 * Who announces is spoken to: the other end connects, from any port. An announcement is followed if
 * it is of the announcer's own address, as it knows it or as the other end does (else, the bounce
 * attack of RFC 2577, 3), and of a port from 1024 on (the same). Lines must be complete in their
 * segment; a line that is not, or that is not where a line begins, is nobody's announcement: else,
 * who makes a server repeat his words could announce in its name.
 */
#include "ct.h"

#include <string.h>
#include <strings.h>

#include "ct_priv.h"

/** Bytes of a segment that are looked at. */
#define FTP_READ_MAX 512
/** RFC 2577, 3. */
#define FTP_PORT_MIN 1024
#define FTP_PORTS (UINT16_MAX + 1 - FTP_PORT_MIN)
/** Ports that are tried in place of one that is taken. */
#define FTP_PORT_TRIES 64

/** The rest of a line. */
struct cursor {
	const char *at, *end;
};

enum form {
	FORM_COMMAS,   /**< h1,h2,h3,h4,p1,p2 */
	FORM_EXTENDED, /**< address, delimiter, port */
	FORM_PORT,     /**< the port alone */
};

/** What is announced, and where in the line that is said. */
struct announcement {
	enum form form;
	char delimiter;
	struct flowtab_addr addr;
	uint16_t port;
	const char *from, *to;
};

enum outcome {
	GO_ON,
	HOLD, /**< back from this line on, see ct_stream_hold() */
};

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
take_char(struct cursor *c, char what)
{
	if (c->at == c->end || *c->at != what)
		return false;
	c->at++;
	return true;
}

/** A word, in any case, and at least one space. */
static bool
take_word(struct cursor *c, const char *word)
{
	size_t len = strlen(word);

	if ((size_t)(c->end - c->at) <= len || strncasecmp(c->at, word, len) != 0 ||
		c->at[len] != ' ')
		return false;
	for (c->at += len; c->at < c->end && *c->at == ' '; c->at++)
		;
	return true;
}

/** Digits, all there are; no more of them than max has. */
static bool
take_number(struct cursor *c, uint32_t max, uint32_t *value)
{
	uint32_t left = max;

	*value = 0;
	if (c->at == c->end || !is_digit(*c->at))
		return false;
	for (; c->at < c->end && is_digit(*c->at); c->at++, left /= 10) {
		if (left == 0)
			return false;
		*value = *value * 10 + (uint32_t)(*c->at - '0');
	}
	return *value <= max;
}

static bool
take_port(struct cursor *c, struct announcement *a)
{
	uint32_t port;

	if (!take_number(c, UINT16_MAX, &port) || port < FTP_PORT_MIN)
		return false;
	a->port = (uint16_t)port;
	return true;
}

/** The end of a line is all that is left. */
static bool
is_done(struct cursor *c)
{
	while (c->at < c->end && (*c->at == ' ' || *c->at == '\r'))
		c->at++;
	return c->at == c->end;
}

static bool
take_commas(struct cursor *c, struct announcement *a)
{
	uint8_t b[6];
	uint32_t n;

	a->form = FORM_COMMAS;
	a->from = c->at;
	for (unsigned int i = 0; i < sizeof(b); i++) {
		if ((i > 0 && !take_char(c, ',')) || !take_number(c, UINT8_MAX, &n))
			return false;
		b[i] = (uint8_t)n;
	}
	a->to = c->at;
	memcpy(&n, b, sizeof(n));
	a->addr = flowtab_addr_v4(n);
	a->port = (uint16_t)(b[4] << 8 | b[5]);
	return a->port >= FTP_PORT_MIN;
}

/** Up to the delimiter: an address of the family that number (1, 2) stands for. */
static bool
take_address(struct cursor *c, struct announcement *a, uint32_t number)
{
	const char *end = memchr(c->at, a->delimiter, (size_t)(c->end - c->at));
	char text[FLOWTAB_ADDR_STRLEN];

	if (end == NULL || (size_t)(end - c->at) >= sizeof(text))
		return false;
	memcpy(text, c->at, (size_t)(end - c->at));
	text[end - c->at] = '\0';
	c->at = end;
	return flowtab_addr_parse(&a->addr, text) == 0 &&
		flowtab_addr_is_v4(&a->addr) == (number == 1);
}

static bool
take_extended(struct cursor *c, struct announcement *a)
{
	uint32_t number;

	a->form = FORM_EXTENDED;
	if (c->at == c->end || *c->at < '!' || *c->at > '~' || is_digit(*c->at))
		return false;
	a->delimiter = *c->at++;
	if (!take_number(c, 2, &number) || number == 0 || !take_char(c, a->delimiter))
		return false;
	a->from = c->at;
	if (!take_address(c, a, number) || !take_char(c, a->delimiter) || !take_port(c, a))
		return false;
	a->to = c->at;
	return take_char(c, a->delimiter);
}

static bool
read_command(struct cursor c, struct announcement *a)
{
	if (take_word(&c, "PORT"))
		return take_commas(&c, a) && is_done(&c);
	if (take_word(&c, "EPRT"))
		return take_extended(&c, a) && is_done(&c);
	return false;
}

static bool
read_reply(struct cursor c, struct announcement *a)
{
	if (take_word(&c, "227")) {
		while (c.at < c.end && !is_digit(*c.at))
			c.at++;
		return take_commas(&c, a) && (c.at == c.end || *c.at != ',');
	}
	if (!take_word(&c, "229"))
		return false;
	a->form = FORM_PORT;
	while (c.at < c.end && *c.at != '(')
		c.at++;
	if (c.end - c.at < 2 || c.at[1] < '!' || c.at[1] > '~' || is_digit(c.at[1]))
		return false;
	a->delimiter = c.at[1];
	c.at++;
	for (unsigned int i = 0; i < 3; i++) {
		if (!take_char(&c, a->delimiter))
			return false;
	}
	a->from = c.at;
	if (!take_port(&c, a))
		return false;
	a->to = c.at;
	return take_char(&c, a->delimiter) && take_char(&c, ')');
}

/* ---- what it is replaced by ---- */

static char *
put_decimal(char *at, uint32_t n)
{
	char digits[10];
	unsigned int len = 0;

	do {
		digits[len++] = (char)('0' + n % 10);
		n /= 10;
	} while (n > 0);
	while (len > 0)
		*at++ = digits[--len];
	return at;
}

/** @param text CT_TEXT_MAX bytes; @return how many were written */
static uint32_t
put_announcement(
	char *text, const struct announcement *a, const struct flowtab_addr *addr, rte_be16_t port)
{
	uint16_t host = rte_be_to_cpu_16(port);
	char *at = text;

	if (a->form == FORM_COMMAS) {
		for (unsigned int i = 12; i < sizeof(addr->b); i++) {
			at = put_decimal(at, addr->b[i]);
			*at++ = ',';
		}
		at = put_decimal(at, host >> 8);
		*at++ = ',';
		at = put_decimal(at, host & 0xff);
		return (uint32_t)(at - text);
	}
	if (a->form == FORM_EXTENDED) {
		flowtab_addr_format(addr, text);
		at += strlen(text);
		*at++ = a->delimiter;
	}
	return (uint32_t)(put_decimal(at, host) - text);
}

/* ---- the flow to come ---- */

/** Nobody else waits there for the same end. */
static bool
is_free(struct ct *ct, const struct ct_expect *e, uint64_t now_ms)
{
	uint32_t nr = ct_expect_find(ct, &e->tuple, now_ms);
	const struct ct_expect *other;

	if (nr == FLOWTAB_NONE)
		return true;
	other = ct_expect_get(ct, nr);
	return other->parent == e->parent && other->dport == e->dport;
}

/**
 * The port that the other end is to connect to, in e->tuple: the announced one if it can be.
 * @param sliced answers to it come by the number of the port: it must be one of ours
 */
static bool
choose_port(struct ct *ct, struct ct_expect *e, bool sliced, uint64_t now_ms)
{
	uint32_t first = FTP_PORT_MIN, n = FTP_PORTS, own = rte_be_to_cpu_16(e->dport);

	if (sliced)
		ct_slice_ports(ct, &first, &n);
	e->tuple.oport = e->dport;
	if (own >= first && own < first + n && is_free(ct, e, now_ms))
		return true;
	for (unsigned int i = 0; i < FTP_PORT_TRIES; i++) {
		uint32_t port = first + (uint32_t)((ct_random(ct) >> 32) * n >> 32);

		e->tuple.oport = rte_cpu_to_be_16((uint16_t)port);
		if (is_free(ct, e, now_ms))
			return true;
	}
	return false;
}

/**
 * The data connection, as its first packet will come in: from the other end to the announcer, as
 * the other end knows it.
 * @return false: the announcement is not followed
 */
static bool
expect(struct ct *ct, const struct ct_pkt *p, const struct announcement *a, struct ct_expect *e,
	uint64_t now_ms)
{
	struct flowtab_tuple own, other;
	bool same;

	flowtab_tuple(ct->ft, p->flow, (enum flowtab_side)p->side, &own);
	flowtab_tuple(ct->ft, p->flow, (enum flowtab_side) !p->side, &other);
	if (a->form != FORM_PORT && !flowtab_addr_eq(&a->addr, &own.eaddr) &&
		!flowtab_addr_eq(&a->addr, &other.oaddr))
		return false;
	same = flowtab_addr_eq(&own.eaddr, &other.oaddr);
	*e = (struct ct_expect){
		.tuple = other,
		.parent = flowtab_handle(ct->ft, p->flow),
		.dst = own.eaddr,
		.dport = rte_cpu_to_be_16(a->port),
		.src = own.oaddr,
		.helper = CT_HELPER_NONE,
	};
	e->tuple.eport = 0;
	e->tuple.oport = e->dport;
	if (!same && !choose_port(ct, e, p->side == FLOWTAB_SIDE_GUEST, now_ms)) {
		ct_count(ct, CT_COUNT_EXPECT_FULL);
		return false;
	}
	if (!same || e->tuple.oport != e->dport)
		e->nat |= CT_F_DNAT;
	if (!flowtab_addr_eq(&own.oaddr, &other.eaddr))
		e->nat |= CT_F_SNAT;
	return true;
}

/** The announcement stands in the payload. */
static enum outcome
follow(struct ct *ct, struct ct_pkt *p, const struct ct_seg *seg, const struct announcement *a,
	uint64_t now_ms)
{
	uint32_t off = (uint32_t)(a->from - (const char *)ct_at(p, p->data_off));
	uint32_t old_len = (uint32_t)(a->to - a->from), len;
	char text[CT_TEXT_MAX];
	struct ct_expect e;

	if (!expect(ct, p, a, &e, now_ms))
		return GO_ON;
	if (e.tuple.oport == e.dport &&
		(a->form == FORM_PORT || flowtab_addr_eq(&a->addr, &e.tuple.oaddr))) {
		ct_expect_add(ct, &e, now_ms);
		return GO_ON;
	}
	if (ct_stream_is_pending(ct, p))
		return HOLD;
	len = put_announcement(text, a, &e.tuple.oaddr, e.tuple.oport);
	if (ct_stream_may_replace(ct, p, off, old_len, len) && ct_expect_add(ct, &e, now_ms) == 0)
		ct_stream_replace(ct, p, seg, off, old_len, text, len);
	return GO_ON;
}

/** @return length of the complete line at a payload offset, as far as is looked at; 0: there is
 * none */
static uint32_t
line_at(const struct ct_pkt *p, uint32_t off)
{
	uint32_t there = rte_pktmbuf_data_len(p->m) - p->data_off;
	const char *line = ct_at(p, p->data_off + off), *end;

	there = RTE_MIN(RTE_MIN(there, ct_payload_len(p)), (uint32_t)FTP_READ_MAX);
	end = off < there ? memchr(line, '\n', there - off) : NULL;
	return end != NULL ? (uint32_t)(end - line) + 1 : 0;
}

bool
ct_ftp_packet(struct ct *ct, struct ct_pkt *p, uint64_t now_ms)
{
	struct announcement a;
	struct ct_seg seg;
	uint32_t len;
	bool found;

	if (!ct_stream_enter(ct, p, &seg))
		return false;
	/* Replacing changes a line's length. */
	for (uint32_t at = seg.fresh; (len = line_at(p, at)) > 0; at += line_at(p, at)) {
		const char *line = ct_at(p, p->data_off + at);
		struct cursor c = { line, line + len - 1 };

		found = p->side == FLOWTAB_SIDE_GUEST ? read_command(c, &a) : read_reply(c, &a);
		if (!found || follow(ct, p, &seg, &a, now_ms) == GO_ON)
			continue;
		if (!ct_stream_hold(ct, p, &seg, at))
			return false;
		break;
	}
	ct_stream_leave(ct, p, &seg);
	return true;
}
