/* SPDX-License-Identifier: BSD-3-Clause */
/** What the tests of lib/flowtab share: the EAL, tables, tuples, a generator with a fixed seed. */
#ifndef TEST_FLOWTAB_UTIL_H
#define TEST_FLOWTAB_UTIL_H

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include <rte_byteorder.h>
#include <rte_common.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_memory.h>

#include <flowtab.h>

/** Where time starts in tests: beyond 32 bits of milliseconds (49.7 days). */
#define T0 UINT64_C(10000000000)
#define DAY_MS UINT64_C(86400000)

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TEST_SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define TEST_SANITIZED 1
#endif
#ifndef TEST_SANITIZED
#define TEST_SANITIZED 0
#endif

static inline int
eal_start(const char *mem_mib)
{
	char prog[] = "test", no_huge[] = "--no-huge", m[] = "-m", no_shconf[] = "--no-shconf";
	char no_tel[] = "--no-telemetry", no_pci[] = "--no-pci", l[] = "-l", zero[] = "0";
	char level[] = "--log-level=lib.eal:error", prefix[64], mem[16];
	char *argv[] = { prog, no_huge, m, mem, no_shconf, no_tel, no_pci, level, prefix, l, zero };

	snprintf(mem, sizeof(mem), "%s", mem_mib);
	snprintf(prefix, sizeof(prefix), "--file-prefix=flowtab-test-%d", (int)getpid());
	return rte_eal_init(RTE_DIM(argv), argv) < 0 ? -1 : 0;
}

/** The directory of a prefix made of the pid would stay for ever. */
static inline void
eal_stop(void)
{
	char dir[256];

	snprintf(dir, sizeof(dir), "%s", rte_eal_get_runtime_dir());
	rte_eal_cleanup();
	rmdir(dir);
}

static inline struct flowtab_params
table_params(uint32_t max_flows)
{
	struct flowtab_params p = {
		.name = "t",
		.max_flows = max_flows,
		.max_pifs = 8,
		.owner = 3,
		.socket_id = SOCKET_ID_ANY,
		.now_ms = T0,
		.hash_key = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 },
	};

	return p;
}

static inline struct flowtab *
table_new(uint32_t max_flows)
{
	struct flowtab_params p = table_params(max_flows);
	struct flowtab *ft = flowtab_create(&p);

	assert_non_null(ft);
	return ft;
}

/** The n-th TCP tuple of IPv4 at a port. */
static inline struct flowtab_tuple
tuple4(uint16_t pif, uint32_t n)
{
	struct flowtab_tuple t = {
		.eaddr = flowtab_addr_v4(rte_cpu_to_be_32(0x0a000000 + n / 50000)),
		.oaddr = flowtab_addr_v4(rte_cpu_to_be_32(0xc0000201)),
		.eport = rte_cpu_to_be_16((uint16_t)(1024 + n % 50000)),
		.oport = rte_cpu_to_be_16(443),
		.pif = pif,
		.proto = IPPROTO_TCP,
	};

	return t;
}

static inline struct flowtab_tuple
tuple6(uint16_t pif, uint32_t n)
{
	struct flowtab_tuple t = tuple4(pif, n);
	uint8_t e[16] = { 0xfd, 0, 0, 2 }, o[16] = { 0x20, 1, 0xd, 0xb8, [15] = 1 };

	e[13] = (uint8_t)(n / 50000);
	t.eaddr = flowtab_addr_v6(e);
	t.oaddr = flowtab_addr_v6(o);
	return t;
}

/** A flow with its guest side bound. */
static inline uint32_t
flow_new(struct flowtab *ft, const struct flowtab_tuple *t, uint64_t now_ms, uint64_t deadline_ms)
{
	uint32_t idx = FLOWTAB_NONE;

	assert_int_equal(flowtab_new(ft, t->pif, t->zone, t->proto, now_ms, &idx), 0);
	assert_int_equal(flowtab_bind(ft, idx, FLOWTAB_SIDE_GUEST, t, now_ms), 0);
	flowtab_touch(ft, idx, deadline_ms);
	return idx;
}

/** splitmix64 */
static inline uint64_t
rnd(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static inline uint32_t
rnd_below(uint64_t *state, uint32_t n)
{
	return (uint32_t)(rnd(state) % n);
}

#endif
