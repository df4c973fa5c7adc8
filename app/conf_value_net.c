/* SPDX-License-Identifier: BSD-3-Clause */
/* Values that are addresses: subnets, resolvers, forwards. */
#include "conf_value.h"

#include <string.h>

#include "conf_priv.h"

void
conf_mask(struct flowtab_addr *a, unsigned int len)
{
	unsigned int bit;

	for (bit = len; bit < 128; bit++)
		a->b[bit / 8] &= (uint8_t) ~(0x80 >> bit % 8);
}

static int
parse_prefix(const char *text, bool v4, struct conf_prefix *dst, char *why, size_t why_size)
{
	const char *family = v4 ? "an IPv4" : "an IPv6";
	const char *example = v4 ? "10.0.2.0/24" : "fd00:2::/64";
	char copy[64], shown[FLOWTAB_ADDR_STRLEN];
	struct flowtab_addr masked;
	uint64_t len;
	char *slash;

	memset(dst, 0, sizeof(*dst));
	dst->how = CONF_NONE;
	if (strcmp(text, "none") == 0)
		return 0;
	dst->how = CONF_GIVEN;
	snprintf(copy, sizeof(copy), "%s", text);
	slash = strchr(copy, '/');
	if (slash != NULL)
		*slash++ = '\0';
	if (slash == NULL || flowtab_addr_parse(&dst->addr, copy) != 0 ||
		flowtab_addr_is_v4(&dst->addr) != v4 || !conf_number(slash, false, &len))
		return WHY("\"%s\" is not %s subnet such as %s", text, family, example);
	/* Room for a gateway and one guest; below, the prefix of a private network at most. */
	if (len < 8 || len > (v4 ? 30 : 126))
		return WHY("a prefix of %s bits is not between 8 and %u", slash, v4 ? 30 : 126);
	if (flowtab_addr_is_loopback(&dst->addr) || flowtab_addr_is_multicast(&dst->addr) ||
		flowtab_addr_is_linklocal(&dst->addr) || flowtab_addr_is_any(&dst->addr))
		return WHY("guests cannot have addresses of %s", text);
	dst->len = (uint32_t)len;
	masked = dst->addr;
	conf_mask(&masked, (unsigned int)len + (v4 ? 96 : 0));
	if (!flowtab_addr_eq(&masked, &dst->addr))
		return WHY("%s has bits past its prefix: write %s/%u", text,
			flowtab_addr_format(&masked, shown), dst->len);
	return 0;
}

int
conf_parse_prefix4(
	const struct conf_key *k, const char *text, void *dst, char *why, size_t why_size)
{
	return parse_prefix(text, true, dst, why, why_size);
}

int
conf_parse_prefix6(
	const struct conf_key *k, const char *text, void *dst, char *why, size_t why_size)
{
	return parse_prefix(text, false, dst, why, why_size);
}

static int
parse_addr(const char *text, struct conf_addr *dst, char *why, size_t why_size)
{
	memset(dst, 0, sizeof(*dst));
	dst->how = CONF_NONE;
	if (strcmp(text, "none") == 0)
		return 0;
	dst->how = CONF_GIVEN;
	if (flowtab_addr_parse(&dst->addr, text) != 0)
		return WHY("\"%s\" is not an address", text);
	if (flowtab_addr_is_any(&dst->addr) || flowtab_addr_is_multicast(&dst->addr))
		return WHY("%s is no address that a host can have", text);
	return 0;
}

static int
parse_addr_of(const char *text, bool v4, struct conf_addr *dst, char *why, size_t why_size)
{
	if (parse_addr(text, dst, why, why_size) != 0)
		return -EINVAL;
	if (dst->how == CONF_GIVEN && flowtab_addr_is_v4(&dst->addr) != v4)
		return WHY("%s is not an %s address", text, v4 ? "IPv4" : "IPv6");
	if (dst->how == CONF_GIVEN && flowtab_addr_is_loopback(&dst->addr))
		return WHY("%s is a loopback address", text);
	return 0;
}

int
conf_parse_addr4(const struct conf_key *k, const char *text, void *dst, char *why, size_t why_size)
{
	return parse_addr_of(text, true, dst, why, why_size);
}

int
conf_parse_addr6(const struct conf_key *k, const char *text, void *dst, char *why, size_t why_size)
{
	return parse_addr_of(text, false, dst, why, why_size);
}

int
conf_parse_addr_any(
	const struct conf_key *k, const char *text, void *dst, char *why, size_t why_size)
{
	return parse_addr(text, dst, why, why_size);
}

int
conf_parse_dns(const struct conf_key *k, const char *text, void *dst, char *why, size_t why_size)
{
	struct conf_dns *d = dst;
	struct conf_addr a;
	const char *list = text;
	char word[64];
	bool too_long;

	if (strcmp(text, "host") == 0 || strcmp(text, "none") == 0) {
		if (d->n != 0)
			return WHY("%s, but addresses are given, too", text);
		d->how = *text == 'h' ? CONF_HOST : CONF_NONE;
		return 0;
	}
	if (d->how == CONF_HOST || d->how == CONF_NONE)
		return WHY("%s, but host or none is given, too", text);
	d->how = CONF_GIVEN;
	while (conf_word(&list, word, sizeof(word), &too_long)) {
		if (too_long || parse_addr(word, &a, why, why_size) != 0 || a.how != CONF_GIVEN)
			return WHY("\"%s\" is not host, none, or a list of addresses", text);
		if (flowtab_addr_is_loopback(&a.addr) || flowtab_addr_is_linklocal(&a.addr))
			return WHY("%s is a %s address, which a guest cannot reach: give "
				   "dns-forward = %s",
				word, flowtab_addr_is_loopback(&a.addr) ? "loopback" : "link-local",
				word);
		if (d->n == L4X_MAX_DNS)
			return WHY("more than %u addresses", L4X_MAX_DNS);
		d->addr[d->n++] = a.addr;
	}
	return d->n == 0 ? WHY("empty: give host, none, or a list of addresses") : 0;
}

int
conf_parse_search(const struct conf_key *k, const char *text, void *dst, char *why, size_t why_size)
{
	struct conf_search *s = dst;
	const char *list = text;
	char word[256];
	bool too_long;

	if (strcmp(text, "host") == 0 || strcmp(text, "none") == 0) {
		if (s->text[0] != '\0')
			return WHY("%s, but names are given, too", text);
		s->how = *text == 'h' ? CONF_HOST : CONF_NONE;
		return 0;
	}
	s->how = CONF_GIVEN;
	while (conf_word(&list, word, sizeof(word), &too_long)) {
		size_t used = strlen(s->text);

		if (too_long || !conf_hostname_valid(word))
			return WHY("\"%s\" is not a domain name", word);
		if (used + 1 + strlen(word) >= sizeof(s->text))
			return WHY("the names are longer than %zu bytes together",
				sizeof(s->text) - 1);
		if (used != 0)
			s->text[used++] = ' ';
		memcpy(s->text + used, word, strlen(word) + 1);
	}
	return s->text[0] == '\0' ? WHY("empty: give host, none, or domain names") : 0;
}

int
conf_parse_loopback(
	const struct conf_key *k, const char *text, void *dst, char *why, size_t why_size)
{
	struct conf_loopback l = { .how = CONF_GIVEN };
	const char *list = text;
	struct conf_addr a;
	char word[64];
	bool too_long;

	if (strcmp(text, "none") == 0 || strcmp(text, "gateway") == 0) {
		l.how = *text == 'n' ? CONF_NONE : CONF_GATEWAY;
		*(struct conf_loopback *)dst = l;
		return 0;
	}
	while (conf_word(&list, word, sizeof(word), &too_long)) {
		struct flowtab_addr *to;

		if (too_long || parse_addr(word, &a, why, why_size) != 0 || a.how != CONF_GIVEN ||
			flowtab_addr_is_loopback(&a.addr) || flowtab_addr_is_linklocal(&a.addr))
			return WHY(
				"\"%s\" is not gateway, none, or an address the guest can send to",
				word);
		to = flowtab_addr_is_v4(&a.addr) ? &l.v4 : &l.v6;
		if (!flowtab_addr_is_zero(to))
			return WHY("%s is a second address of one family", word);
		*to = a.addr;
	}
	if (flowtab_addr_is_zero(&l.v4) && flowtab_addr_is_zero(&l.v6))
		return WHY("empty: give gateway, none, or an address");
	*(struct conf_loopback *)dst = l;
	return 0;
}

int
conf_port_range(const char *text, uint16_t *first, uint16_t *last, char *why, size_t why_size)
{
	char copy[32];
	uint64_t a, b;
	char *dash;

	if (strlen(text) >= sizeof(copy))
		return WHY("\"%s\" is not a port", text);
	strcpy(copy, text);
	dash = strchr(copy, '-');
	if (dash != NULL)
		*dash++ = '\0';
	if (!conf_number(copy, false, &a) || !conf_number(dash != NULL ? dash : copy, false, &b))
		return WHY("\"%s\" is not a port, nor a range of ports", text);
	if (a < 1 || a > 65535 || b < 1 || b > 65535)
		return WHY("port %s is not between 1 and 65535", a < 1 || a > 65535 ? copy : dash);
	if (a > b)
		return WHY("the range %s ends before it begins", text);
	*first = (uint16_t)a;
	*last = (uint16_t)b;
	return 0;
}

char *
conf_forward_addr(char *text, struct flowtab_addr *addr, char *why, size_t why_size)
{
	char *rest, *host = text;
	struct flowtab_addr a;

	if (*text == '[') {
		host = text + 1;
		rest = strchr(text, ']');
		if (rest == NULL || rest[1] != ':') {
			WHY("\"%s\": an IPv6 address is written [ADDR]:PORT", text);
			return NULL;
		}
		*rest = '\0';
		rest += 2;
	} else {
		rest = strchr(text, ':');
		if (rest == NULL || strspn(text, "0123456789-") == (size_t)(rest - text))
			return text;
		*rest++ = '\0';
	}
	if (flowtab_addr_parse(&a, host) != 0 || flowtab_addr_is_v4(&a) != (*text != '[') ||
		flowtab_addr_is_multicast(&a)) {
		WHY("\"%s\" is not an address of this host", host);
		return NULL;
	}
	if (!flowtab_addr_is_v4(&a) && flowtab_addr_is_linklocal(&a)) {
		WHY("%s is a link-local address, which needs an interface: none can be given",
			host);
		return NULL;
	}
	*addr = a;
	return rest;
}

static int
parse_forward(const char *word, struct l4x_forward *f, char *why, size_t why_size)
{
	uint16_t guest_last;
	char copy[96];
	char *ports, *guest;

	memset(f, 0, sizeof(*f));
	snprintf(copy, sizeof(copy), "%s", word);
	ports = conf_forward_addr(copy, &f->addr, why, why_size);
	if (ports == NULL)
		return -EINVAL;
	guest = strchr(ports, ':');
	if (guest != NULL)
		*guest++ = '\0';
	if (conf_port_range(ports, &f->first, &f->last, why, why_size) != 0)
		return -EINVAL;
	f->guest_first = f->first;
	if (guest == NULL)
		return 0;
	if (conf_port_range(guest, &f->guest_first, &guest_last, why, why_size) != 0)
		return -EINVAL;
	if (strchr(guest, '-') != NULL && guest_last - f->guest_first != f->last - f->first)
		return WHY("%s: %u host ports, but %u guest ports", word, f->last - f->first + 1,
			guest_last - f->guest_first + 1);
	if (f->guest_first + (f->last - f->first) > 65535)
		return WHY("%s: the guest's ports would go beyond 65535", word);
	return 0;
}

int
conf_parse_forwards(
	const struct conf_key *k, const char *text, void *dst, char *why, size_t why_size)
{
	struct conf_forwards *all = dst;
	const char *list = text;
	bool too_long, any = false;
	char word[96];

	if (strcmp(text, "none") == 0) {
		if (all->n != 0)
			return WHY("none, but ports are given, too");
		return 0;
	}
	while (conf_word(&list, word, sizeof(word), &too_long)) {
		any = true;
		if (too_long)
			return WHY("\"%s...\" is not [ADDR:]PORT[-PORT][:GUESTPORT]", word);
		if (all->n == CONF_MAX_FORWARDS)
			return WHY("more than %u entries: use ranges", CONF_MAX_FORWARDS);
		if (parse_forward(word, &all->entry[all->n], why, why_size) != 0)
			return -EINVAL;
		all->n++;
	}
	return any ? 0 : WHY("empty: give [ADDR:]PORT[-PORT][:GUESTPORT]");
}
