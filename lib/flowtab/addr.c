/* SPDX-License-Identifier: BSD-3-Clause */
#include "flowtab_addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>

static const uint8_t addr_loopback6[16] = { [15] = 1 };

bool
flowtab_addr_is_any(const struct flowtab_addr *a)
{
	return flowtab_addr_is_zero(a) || (flowtab_addr_is_v4(a) && a->v4 == 0);
}

bool
flowtab_addr_is_loopback(const struct flowtab_addr *a)
{
	if (flowtab_addr_is_v4(a))
		return a->b[12] == 127;
	return memcmp(a->b, addr_loopback6, sizeof(addr_loopback6)) == 0;
}

bool
flowtab_addr_is_multicast(const struct flowtab_addr *a)
{
	if (flowtab_addr_is_v4(a))
		return (a->b[12] & 0xf0) == 0xe0 || a->v4 == UINT32_MAX;
	return a->b[0] == 0xff;
}

bool
flowtab_addr_is_linklocal(const struct flowtab_addr *a)
{
	if (flowtab_addr_is_v4(a))
		return a->b[12] == 169 && a->b[13] == 254;
	return a->b[0] == 0xfe && (a->b[1] & 0xc0) == 0x80;
}

/** Offset of the scope: behind fe80::/10 come 54 bits of zero. */
#define SCOPE_AT 4

uint32_t
flowtab_addr_scope(const struct flowtab_addr *a)
{
	uint32_t scope = 0;

	if (!flowtab_addr_is_v4(a) && flowtab_addr_is_linklocal(a))
		memcpy(&scope, &a->b[SCOPE_AT], sizeof(scope));
	return scope;
}

void
flowtab_addr_set_scope(struct flowtab_addr *a, uint32_t scope)
{
	if (!flowtab_addr_is_v4(a) && flowtab_addr_is_linklocal(a))
		memcpy(&a->b[SCOPE_AT], &scope, sizeof(scope));
}

bool
flowtab_addr_in_prefix(
	const struct flowtab_addr *a, const struct flowtab_addr *net, unsigned int prefix_len)
{
	bool v4 = flowtab_addr_is_v4(a);
	unsigned int bytes, bits;

	if (v4 != flowtab_addr_is_v4(net) || prefix_len > (v4 ? 32U : 128U))
		return false;
	if (v4)
		prefix_len += 96;
	bytes = prefix_len / 8;
	bits = prefix_len % 8;
	if (memcmp(a->b, net->b, bytes) != 0)
		return false;
	return bits == 0 || (a->b[bytes] ^ net->b[bytes]) >> (8 - bits) == 0;
}

uint64_t
flowtab_addr_count(const struct flowtab_addr *min, const struct flowtab_addr *max)
{
	uint64_t min_lo = rte_be_to_cpu_64(min->q[1]), max_lo = rte_be_to_cpu_64(max->q[1]);
	uint64_t hi = rte_be_to_cpu_64(max->q[0]) - rte_be_to_cpu_64(min->q[0]);

	if (max_lo < min_lo)
		hi--;
	if (hi != 0 || max_lo - min_lo >= FLOWTAB_ADDRS_MAX)
		return FLOWTAB_ADDRS_MAX;
	return max_lo - min_lo + 1;
}

struct flowtab_addr
flowtab_addr_add(const struct flowtab_addr *a, uint64_t n)
{
	struct flowtab_addr sum = *a;
	uint64_t lo = rte_be_to_cpu_64(a->q[1]) + n;

	if (lo < n)
		sum.q[0] = rte_cpu_to_be_64(rte_be_to_cpu_64(a->q[0]) + 1);
	sum.q[1] = rte_cpu_to_be_64(lo);
	return sum;
}

int
flowtab_addr_parse(struct flowtab_addr *a, const char *text)
{
	struct in6_addr v6;
	struct in_addr v4;

	if (inet_pton(AF_INET, text, &v4) == 1)
		*a = flowtab_addr_v4(v4.s_addr);
	else if (inet_pton(AF_INET6, text, &v6) == 1)
		*a = flowtab_addr_v6(&v6);
	else
		return -EINVAL;
	return 0;
}

const char *
flowtab_addr_format(const struct flowtab_addr *a, char *buf)
{
	struct flowtab_addr bare = *a;
	uint32_t scope = flowtab_addr_scope(a);
	size_t len;

	flowtab_addr_set_scope(&bare, 0);
	if (flowtab_addr_is_v4(a))
		inet_ntop(AF_INET, &a->v4, buf, FLOWTAB_ADDR_STRLEN);
	else
		inet_ntop(AF_INET6, bare.b, buf, FLOWTAB_ADDR_STRLEN);
	len = strlen(buf);
	if (scope != 0)
		snprintf(buf + len, FLOWTAB_ADDR_STRLEN - len, "%%%u", scope);
	return buf;
}
