/* SPDX-License-Identifier: BSD-3-Clause */
#include "conf_value.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "conf_priv.h"

int
conf_explain(char *why, size_t why_size, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, why_size, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

bool
conf_number(const char *text, bool hex, uint64_t *value)
{
	const bool is_hex = hex && text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
	char *end;

	if (is_hex ? !isxdigit((unsigned char)text[2]) : !isdigit((unsigned char)text[0]))
		return false;
	errno = 0;
	*value = strtoull(is_hex ? text + 2 : text, &end, is_hex ? 16 : 10);
	if (errno == ERANGE)
		*value = UINT64_MAX;
	return *end == '\0';
}

bool
conf_word(const char **list, char *word, size_t size, bool *too_long)
{
	const char *s = *list + strspn(*list, ",/ \t");
	const size_t len = strcspn(s, ",/ \t");

	*list = s + len;
	*too_long = len >= size;
	if (len == 0)
		return false;
	snprintf(word, size, "%.*s", (int)len, s);
	return true;
}

bool
conf_name_valid(const char *name)
{
	const size_t len = strlen(name);
	size_t i;

	if (len == 0 || len >= CONF_NAME_MAX || name[0] == '-' || name[0] == '.')
		return false;
	for (i = 0; i < len; i++)
		if (!isalnum((unsigned char)name[i]) && strchr("-_.", name[i]) == NULL)
			return false;
	return true;
}

bool
conf_hostname_valid(const char *name)
{
	const size_t len = strlen(name);
	size_t i, label = 0;

	if (len == 0 || len > 253)
		return false;
	for (i = 0; i < len; i++) {
		if (name[i] == '.') {
			if (label == 0 || name[i - 1] == '-')
				return false;
			label = 0;
			continue;
		}
		if (!isalnum((unsigned char)name[i]) && (name[i] != '-' || label == 0))
			return false;
		if (++label > 63)
			return false;
	}
	return label != 0 && name[len - 1] != '-';
}

int
conf_parse_u32(const struct conf_key *k, const char *text, void *dst, char *why, size_t why_size)
{
	uint64_t value;

	if (!conf_number(text, true, &value))
		return WHY("\"%s\" is not a number", text);
	if (value < k->min || value > k->max)
		return WHY("%s is not between %u and %u", text, k->min, k->max);
	*(uint32_t *)dst = (uint32_t)value;
	return 0;
}

int
conf_parse_seconds(
	const struct conf_key *k, const char *text, void *dst, char *why, size_t why_size)
{
	uint64_t value;

	if (!conf_number(text, false, &value))
		return WHY("\"%s\" is not a whole number of seconds", text);
	if (value < k->min / 1000 || value > k->max / 1000)
		return WHY("%s is not between %u and %u (seconds)", text, k->min / 1000,
			k->max / 1000);
	*(uint32_t *)dst = (uint32_t)(value * 1000);
	return 0;
}

int
conf_parse_word(const struct conf_key *k, const char *text, void *dst, char *why, size_t why_size)
{
	char all[128] = "";
	uint32_t i;

	for (i = 0; k->words[i] != NULL; i++) {
		if (strcmp(text, k->words[i]) == 0) {
			*(uint32_t *)dst = i;
			return 0;
		}
		snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s%s", i == 0 ? "" : ", ",
			k->words[i]);
	}
	return WHY("\"%s\" is not one of %s", text, all);
}

/** "3" or "3-5" */
static bool
cpu_range(const char *word, uint64_t *first, uint64_t *last)
{
	char copy[32];
	char *dash;

	snprintf(copy, sizeof(copy), "%s", word);
	dash = strchr(copy, '-');
	if (dash != NULL)
		*dash++ = '\0';
	if (!conf_number(copy, false, first) ||
		!conf_number(dash != NULL ? dash : copy, false, last))
		return false;
	return *first <= *last && *last <= UINT16_MAX;
}

static int
parse_cpus(struct conf_cpus *c, const char *text, char *why, size_t why_size)
{
	const char *list = text;
	uint64_t cpu, last;
	char word[32];
	bool too_long;
	uint32_t i;

	c->how = CONF_SPREAD_CPUS;
	while (conf_word(&list, word, sizeof(word), &too_long)) {
		if (too_long || !cpu_range(word, &cpu, &last))
			return WHY("\"%s\" is not a CPU list such as 1,3-5", text);
		for (; cpu <= last; cpu++) {
			for (i = 0; i < c->n; i++)
				if (c->cpu[i] == cpu)
					return WHY("CPU %u is listed twice", (unsigned int)cpu);
			if (c->n == CONF_MAX_CPUS)
				return WHY("more than %u CPUs", CONF_MAX_CPUS);
			c->cpu[c->n++] = (uint16_t)cpu;
		}
	}
	return c->n == 0 ? WHY("empty: give a CPU list such as 1,3-5") : 0;
}

int
conf_parse_workers(
	const struct conf_key *k, const char *text, void *dst, char *why, size_t why_size)
{
	struct conf_cpus c = { .how = CONF_SPREAD_AUTO };

	if (strcmp(text, "auto") != 0 && parse_cpus(&c, text, why, why_size) != 0)
		return -EINVAL;
	*(struct conf_cpus *)dst = c;
	return 0;
}

/**
 * A single number is a count of bridges that float; one CPU alone is written as a range (3-3), and
 * a list has a comma or a dash.
 */
int
conf_parse_bridges(
	const struct conf_key *k, const char *text, void *dst, char *why, size_t why_size)
{
	struct conf_cpus c = { .how = CONF_SPREAD_AUTO };
	uint64_t n;

	if (strcmp(text, "inline") == 0) {
		c.how = CONF_SPREAD_INLINE;
	} else if (conf_number(text, false, &n)) {
		if (n < 1 || n > CONF_MAX_CPUS)
			return WHY("%s is not between 1 and %u", text, CONF_MAX_CPUS);
		c.how = CONF_SPREAD_COUNT;
		c.n = (uint32_t)n;
	} else if (strcmp(text, "auto") != 0) {
		if (strpbrk(text, ",-/") == NULL)
			return WHY("\"%s\" is not one of auto, inline, a count, a CPU list such "
				   "as 1,3-5",
				text);
		if (parse_cpus(&c, text, why, why_size) != 0)
			return -EINVAL;
	}
	*(struct conf_cpus *)dst = c;
	return 0;
}

int
conf_parse_text(const struct conf_key *k, const char *text, void *dst, char *why, size_t why_size)
{
	if (*text == '\0')
		return WHY("empty: give %s", k->arg);
	if (strlen(text) >= k->size)
		return WHY("longer than %zu bytes", k->size - 1);
	memcpy(dst, text, strlen(text) + 1);
	return 0;
}

int
conf_parse_path(const struct conf_key *k, const char *text, void *dst, char *why, size_t why_size)
{
	if (*text == '@')
		return WHY("%s: abstract sockets are not supported: give a path", text);
	if (*text != '\0' && text[strlen(text) - 1] == '/')
		return WHY("%s is a directory: give the path of the socket itself", text);
	if (strlen(text) >= k->size)
		return WHY("the path is longer than a socket's can be (%zu bytes)", k->size - 1);
	return conf_parse_text(k, text, dst, why, why_size);
}

int
conf_parse_name(const struct conf_key *k, const char *text, void *dst, char *why, size_t why_size)
{
	if (!conf_name_valid(text))
		return WHY("\"%s\" is not a name (letters, digits, '-', '_', '.', at most %u)",
			text, CONF_NAME_MAX - 1);
	memcpy(dst, text, strlen(text) + 1);
	return 0;
}

int
conf_parse_mac(const struct conf_key *k, const char *text, void *dst, char *why, size_t why_size)
{
	struct rte_ether_addr mac = { 0 };
	unsigned int i, nibble;

	for (i = 0; i < 17 && text[i] != '\0'; i++) {
		const int c = tolower((unsigned char)text[i]);

		if (i % 3 == 2 ? c != ':' : !isxdigit(c))
			break;
		nibble = (unsigned int)(isdigit(c) ? c - '0' : c - 'a' + 10);
		if (i % 3 == 0)
			mac.addr_bytes[i / 3] = (uint8_t)(nibble << 4);
		else if (i % 3 == 1)
			mac.addr_bytes[i / 3] |= (uint8_t)nibble;
	}
	if (i != 17 || text[i] != '\0')
		return WHY("\"%s\" is not a MAC address such as 02:00:00:00:00:01", text);
	if (rte_is_multicast_ether_addr(&mac) || rte_is_zero_ether_addr(&mac))
		return WHY("%s is no MAC address that a guest can have", text);
	*(struct rte_ether_addr *)dst = mac;
	return 0;
}

int
conf_parse_hostname(
	const struct conf_key *k, const char *text, void *dst, char *why, size_t why_size)
{
	if (!conf_hostname_valid(text) || strlen(text) >= k->size)
		return WHY("\"%s\" is not a host name of at most %zu letters, digits, '-' and '.'",
			text, k->size - 1);
	memcpy(dst, text, strlen(text) + 1);
	return 0;
}
