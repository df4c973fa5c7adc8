/* SPDX-License-Identifier: BSD-3-Clause */
#include "l4x_priv.h"

/** RFC 1035, 2.3.4. */
#define LABEL_MAX 63
#define NAME_MAX_BYTES 255

/** One name of len characters. @return bytes written, 0: no legal name, or no room */
static uint32_t
name_encode(const char *name, uint32_t len, uint8_t *out, uint32_t size)
{
	uint32_t n = 0;

	if (len > 0 && name[len - 1] == '.')
		len--;
	if (len == 0 || len + 2 > size || len + 2 > NAME_MAX_BYTES)
		return 0;
	for (uint32_t i = 0; i <= len;) {
		uint32_t label = 0;

		while (i + label < len && name[i + label] != '.')
			label++;
		if (label == 0 || label > LABEL_MAX)
			return 0;
		out[n++] = (uint8_t)label;
		memcpy(out + n, name + i, label);
		n += label;
		i += label + 1;
	}
	out[n++] = 0;
	return n;
}

uint32_t
l4x_names_encode(const char *list, uint8_t *out, uint32_t size)
{
	uint32_t n = 0;

	while (*list != 0) {
		uint32_t len = (uint32_t)strcspn(list, " \t,");

		if (len > 0)
			n += name_encode(list, len, out + n, size - n);
		list += len;
		list += strspn(list, " \t,");
	}
	return n;
}

uint32_t
l4x_fqdn_encode(const struct l4x_port_conf *conf, uint8_t *out, uint32_t size)
{
	char name[NAME_MAX_BYTES + 1];
	int domain = (int)strcspn(conf->search, " \t,");
	uint32_t n;
	int len;

	if (conf->hostname[0] == 0)
		return 0;
	len = snprintf(name, sizeof(name), "%s%s%.*s", conf->hostname, domain > 0 ? "." : "",
		domain, conf->search);
	if (len >= (int)sizeof(name))
		return 0;
	n = name_encode(name, (uint32_t)len, out, size);
	/* RFC 4702, 3.1 and RFC 4704, 4.2: a name that is not complete has no end. */
	return n > 0 && domain == 0 ? n - 1 : n;
}
