/* SPDX-License-Identifier: BSD-3-Clause */
/* Values of rules and zones. */
#include "conf_value.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "conf_priv.h"

/* ---- which flows ---- */

int
conf_parse_directions(
	const struct conf_key *k, const char *text, void *dst, char *why, size_t why_size)
{
	static const char *const words[] = { "out", "in", "east-west" };
	const char *list = text;
	uint32_t all = 0;
	bool too_long;
	char word[16];
	uint32_t i;

	static_assert(
		RULES_OUT == 1 << 0 && RULES_IN == 1 << 1 && RULES_EAST_WEST == 1 << 2, "words");
	while (conf_word(&list, word, sizeof(word), &too_long)) {
		for (i = 0; i < RTE_DIM(words); i++)
			if (!too_long && strcmp(word, words[i]) == 0)
				break;
		if (i == RTE_DIM(words))
			return WHY("\"%s\" is not one of out, in, east-west", word);
		all |= 1u << i;
	}
	if (all == 0)
		return WHY("empty: give out, in, east-west, or several of them");
	*(uint32_t *)dst = all;
	return 0;
}

int
conf_parse_proto(const struct conf_key *k, const char *text, void *dst, char *why, size_t why_size)
{
	static const struct {
		const char *name;
		uint32_t proto;
	} names[] = {
		{ "any", 0 },
		{ "tcp", IPPROTO_TCP },
		{ "udp", IPPROTO_UDP },
		{ "icmp", IPPROTO_ICMP },
		{ "icmpv6", IPPROTO_ICMPV6 },
		{ "sctp", IPPROTO_SCTP },
	};
	uint64_t number;
	uint32_t i;

	for (i = 0; i < RTE_DIM(names); i++) {
		if (strcmp(text, names[i].name) == 0) {
			*(uint32_t *)dst = names[i].proto;
			return 0;
		}
	}
	if (!conf_number(text, false, &number) || number < 1 || number > 255)
		return WHY("\"%s\" is not any, tcp, udp, icmp, icmpv6, sctp, or a number from 1 "
			   "to 255",
			text);
	*(uint32_t *)dst = (uint32_t)number;
	return 0;
}

int
conf_parse_net(const struct conf_key *k, const char *text, void *dst, char *why, size_t why_size)
{
	char copy[64], shown[FLOWTAB_ADDR_STRLEN];
	struct conf_net net = { 0 };
	struct flowtab_addr masked;
	unsigned int bits;
	uint64_t len;
	char *slash;

	if (strcmp(text, "any") == 0) {
		*(struct conf_net *)dst = net;
		return 0;
	}
	snprintf(copy, sizeof(copy), "%s", text);
	slash = strchr(copy, '/');
	if (slash != NULL)
		*slash++ = '\0';
	if (flowtab_addr_parse(&net.net.addr, copy) != 0)
		return WHY("\"%s\" is not any, an address, or a prefix such as 10.0.0.0/8", text);
	net.family = flowtab_addr_is_v4(&net.net.addr) ? 4 : 6;
	bits = net.family == 4 ? 32 : 128;
	len = bits;
	if (slash != NULL && (!conf_number(slash, false, &len) || len > bits))
		return WHY("a prefix of %s bits is not between 0 and %u", slash, bits);
	if (slash == NULL && flowtab_addr_is_any(&net.net.addr))
		return WHY("%s is the address of nobody: write %s/0 for all", text, text);
	masked = net.net.addr;
	conf_mask(&masked, (unsigned int)len + 128 - bits);
	if (!flowtab_addr_eq(&masked, &net.net.addr))
		return WHY("%s has bits past its prefix: write %s/%u", text,
			flowtab_addr_format(&masked, shown), (unsigned int)len);
	net.net.prefix_len = (uint8_t)len;
	*(struct conf_net *)dst = net;
	return 0;
}

int
conf_parse_ports(const struct conf_key *k, const char *text, void *dst, char *why, size_t why_size)
{
	struct conf_ports p;

	if (conf_port_range(text, &p.min, &p.max, why, why_size) != 0)
		return -EINVAL;
	*(struct conf_ports *)dst = p;
	return 0;
}

/* ---- translation ---- */

/**
 * Take an address off the text: up to the first of "-:", or in brackets.
 * @return what follows, or NULL
 */
static char *
nat_addr(char *text, struct flowtab_addr *addr, char *why, size_t why_size)
{
	const bool brackets = *text == '[';
	char *end = brackets ? strchr(text, ']') : text + strcspn(text, "-:");
	char shown[FLOWTAB_ADDR_STRLEN];
	char after;

	if (end == NULL) {
		WHY("\"%s\": a bracket is not closed", text);
		return NULL;
	}
	after = *end;
	*end = '\0';
	if (flowtab_addr_parse(addr, text + brackets) != 0 ||
		flowtab_addr_is_v4(addr) == brackets) {
		WHY("\"%s\" is not an address (of IPv6: in brackets)", text + brackets);
		return NULL;
	}
	if (flowtab_addr_is_any(addr) || flowtab_addr_is_multicast(addr) ||
		flowtab_addr_is_loopback(addr)) {
		WHY("%s is no address that a guest could speak with",
			flowtab_addr_format(addr, shown));
		return NULL;
	}
	*end = after;
	return end + brackets;
}

static int
parse_nat(const char *text, struct conf_nat *nat, char *why, size_t why_size)
{
	struct ct_nat_range *r = &nat->range;
	char copy[128];
	char *rest = copy;

	if (strlen(text) >= sizeof(copy))
		return WHY("\"%.64s...\" is not ADDR[-ADDR][:PORT[-PORT]]", text);
	strcpy(copy, text);
	if (*rest != ':') {
		rest = nat_addr(rest, &r->min, why, why_size);
		r->max = r->min;
		if (rest != NULL && *rest == '-')
			rest = nat_addr(rest + 1, &r->max, why, why_size);
		if (rest == NULL)
			return -EINVAL;
		if (flowtab_addr_is_v4(&r->min) != flowtab_addr_is_v4(&r->max))
			return WHY("%s: two families", text);
		if (memcmp(&r->min, &r->max, sizeof(r->min)) > 0)
			return WHY("the range %s ends before it begins", text);
	}
	if (*rest == ':' &&
		conf_port_range(rest + 1, &r->port_min, &r->port_max, why, why_size) != 0)
		return -EINVAL;
	if (*rest != ':' && *rest != '\0')
		return WHY("\"%s\" is not ADDR[-ADDR][:PORT[-PORT]]", text);
	nat->given = true;
	return 0;
}

int
conf_parse_snat(const struct conf_key *k, const char *text, void *dst, char *why, size_t why_size)
{
	struct conf_nat nat = { .given = true };

	if (strcmp(text, "auto") != 0 && parse_nat(text, &nat, why, why_size) != 0)
		return -EINVAL;
	*(struct conf_nat *)dst = nat;
	return 0;
}

int
conf_parse_dnat(const struct conf_key *k, const char *text, void *dst, char *why, size_t why_size)
{
	struct conf_nat nat = { 0 };

	if (parse_nat(text, &nat, why, why_size) != 0)
		return -EINVAL;
	*(struct conf_nat *)dst = nat;
	return 0;
}

int
conf_parse_redirect(
	const struct conf_key *k, const char *text, void *dst, char *why, size_t why_size)
{
	struct conf_nat nat = { .given = true };
	struct ct_nat_range *r = &nat.range;
	char copy[96];
	char *port;

	if (strlen(text) >= sizeof(copy))
		return WHY("\"%.64s...\" is not [ADDR:]PORT", text);
	strcpy(copy, text);
	port = conf_forward_addr(copy, &r->min, why, why_size);
	if (port == NULL || conf_port_range(port, &r->port_min, &r->port_max, why, why_size) != 0)
		return -EINVAL;
	if (r->port_min != r->port_max)
		return WHY("%s: give one port", text);
	if (port != copy && flowtab_addr_is_any(&r->min))
		return WHY(
			"%s: give the address of a socket, or none for the host's loopback", text);
	r->max = r->min;
	*(struct conf_nat *)dst = nat;
	return 0;
}

/* ---- zones ---- */

/** "7" or "5-9" */
static bool
zone_range(char *text, uint64_t *first, uint64_t *last)
{
	char *dash = strchr(text, '-');

	if (dash != NULL)
		*dash++ = '\0';
	return conf_number(text, false, first) &&
		conf_number(dash != NULL ? dash : text, false, last) && *first <= *last &&
		*last < FLOWTAB_ZONES;
}

int
conf_parse_zones(const struct conf_key *k, const char *text, void *dst, char *why, size_t why_size)
{
	struct conf_zones *zones = dst;
	const char *list = text;
	bool too_long, any = false;
	uint64_t zone, last;
	char word[16];

	while (conf_word(&list, word, sizeof(word), &too_long)) {
		any = true;
		if (too_long || !zone_range(word, &zone, &last))
			return WHY("\"%s\" is not a list of zones such as 1, 5-9", text);
		for (; zone <= last; zone++)
			zones->bits[zone / 8] |= (uint8_t)(1 << zone % 8);
	}
	return any ? 0 : WHY("empty: give a list of zones such as 1, 5-9");
}

static int
zone_limit(char *word, struct conf_zone_limit *limit, char *why, size_t why_size)
{
	char *colon = strchr(word, ':');
	uint64_t first = FLOWTAB_ZONE_DEFAULT, last = FLOWTAB_ZONE_DEFAULT;
	uint64_t max = FLOWTAB_LIMIT_NONE;

	if (colon != NULL)
		*colon++ = '\0';
	if (colon == NULL || (strcmp(colon, "none") != 0 && !conf_number(colon, false, &max)))
		return WHY("\"%s\" is not ZONE:N, ZONE-ZONE:N, or default:N", word);
	if (strcmp(word, "default") != 0 && !zone_range(word, &first, &last))
		return WHY("\"%s\" is not a zone from 0 to %u, nor a range of them, nor default",
			word, FLOWTAB_ZONES - 1);
	if (strcmp(colon, "none") != 0 && max >= FLOWTAB_LIMIT_UNSET)
		return WHY("%s flows are more than can be counted", colon);
	*limit = (struct conf_zone_limit){ (uint32_t)first, (uint32_t)last, (uint32_t)max };
	return 0;
}

int
conf_parse_zone_limits(
	const struct conf_key *k, const char *text, void *dst, char *why, size_t why_size)
{
	struct conf_zone_limits *all = dst;
	const char *list = text;
	struct conf_zone_limit limit;
	bool too_long;
	char word[48];
	uint32_t i;

	while (conf_word(&list, word, sizeof(word), &too_long)) {
		if (too_long)
			return WHY("\"%s...\" is not ZONE:N, ZONE-ZONE:N, or default:N", word);
		if (zone_limit(word, &limit, why, why_size) != 0)
			return -EINVAL;
		for (i = 0; i < all->n; i++)
			if (limit.first <= all->entry[i].last && all->entry[i].first <= limit.last)
				return WHY("%s is given twice", word);
		if (all->n == CONF_MAX_ZONE_LIMITS)
			return WHY("more than %u entries: use ranges", CONF_MAX_ZONE_LIMITS);
		all->entry[all->n++] = limit;
	}
	return all->n != 0 ? 0 : WHY("empty: give ZONE:N, or default:N");
}
