/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * What the flow table costs per flow: time by TSC, on one core, and resident memory.
 *
 * Both sides of each flow are bound. Order is random throughout, so that with many flows each
 * access misses the caches, as it does with many guests. Without huge pages (the default here), the
 * TLB misses are part of the figures.
 */
#include <getopt.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_malloc.h>

#include <flowtab.h>

#define LIFE_MS 60000

struct bench {
	struct flowtab *ft;
	struct flowtab_tuple *guest, *other;
	uint32_t *order, *index;
	uint32_t flows;
	bool v6, huge;
	double insert_ns, lookup_ns, miss_ns, touch_ns, delete_ns, expire_ns;
	size_t resident, allocated;
};

static uint64_t
next_random(void)
{
	static uint64_t s = 88172645463325252ULL;

	s ^= s << 13;
	s ^= s >> 7;
	s ^= s << 17;
	return s;
}

static double
ns_each(uint64_t cycles, uint32_t n)
{
	return (double)cycles * 1e9 / (double)rte_get_tsc_hz() / n;
}

static size_t
resident_bytes(void)
{
	unsigned long size = 0, resident = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	if (f == NULL)
		return 0;
	if (fscanf(f, "%lu %lu", &size, &resident) != 2)
		resident = 0;
	fclose(f);
	return resident * (size_t)sysconf(_SC_PAGESIZE);
}

static size_t
allocated_bytes(void)
{
	struct rte_malloc_socket_stats s;

	return rte_malloc_get_socket_stats(0, &s) == 0 ? s.heap_allocsz_bytes : 0;
}

static struct flowtab_addr
make_addr(bool v6, uint32_t v4)
{
	uint8_t b[16] = { 0xfd, 0, 0, 2 };

	v4 = rte_cpu_to_be_32(v4);
	if (!v6)
		return flowtab_addr_v4(v4);
	memcpy(b + 12, &v4, sizeof(v4));
	return flowtab_addr_v6(b);
}

static void
make_tuples(struct bench *b)
{
	for (uint32_t i = 0; i < b->flows; i++) {
		b->guest[i] = (struct flowtab_tuple){
			.eaddr = make_addr(b->v6, 0x0a000000 + i / 60000),
			.oaddr = make_addr(b->v6, 0xc0000201),
			.eport = rte_cpu_to_be_16((uint16_t)(1024 + i % 60000)),
			.oport = rte_cpu_to_be_16(443),
			.pif = 1,
			.proto = IPPROTO_TCP,
		};
		b->other[i] = b->guest[i];
		b->other[i].pif = FLOWTAB_PIF_HOST;
		b->order[i] = i;
	}
	for (uint32_t i = b->flows - 1; i > 0; i--) {
		uint32_t j = (uint32_t)(next_random() % (i + 1)), t = b->order[i];

		b->order[i] = b->order[j];
		b->order[j] = t;
	}
}

static int
insert_all(struct bench *b, uint64_t now_ms)
{
	uint64_t start = rte_rdtsc_precise();

	for (uint32_t k = 0; k < b->flows; k++) {
		uint32_t i = b->order[k];

		if (flowtab_new(b->ft, 1, 0, IPPROTO_TCP, now_ms, &b->index[i]) != 0 ||
			flowtab_bind(b->ft, b->index[i], FLOWTAB_SIDE_GUEST, &b->guest[i],
				now_ms) != 0 ||
			flowtab_bind(
				b->ft, b->index[i], FLOWTAB_SIDE_OTHER, &b->other[i], now_ms) != 0)
			return -1;
		flowtab_touch(b->ft, b->index[i], now_ms + LIFE_MS);
	}
	b->insert_ns = ns_each(rte_rdtsc_precise() - start, b->flows);
	return 0;
}

/** @return ns per lookup, or below 0 when the number of hits is not what it should be */
static double
lookup_all(struct bench *b, const struct flowtab_tuple *tuples, uint64_t now_ms, uint32_t want)
{
	struct flowtab_tuple parsed[FLOWTAB_BURST];
	const struct flowtab_tuple *ptr[FLOWTAB_BURST];
	uint32_t idx[FLOWTAB_BURST], hits = 0;
	uint8_t side[FLOWTAB_BURST];
	uint64_t cycles = 0, start;

	for (uint32_t k = 0; k < b->flows; k += FLOWTAB_BURST) {
		uint32_t n = RTE_MIN(b->flows - k, (uint32_t)FLOWTAB_BURST);

		/* The parser has just written a packet's tuple: it is in the cache. */
		for (uint32_t i = 0; i < n; i++) {
			parsed[i] = tuples[b->order[k + i]];
			ptr[i] = &parsed[i];
		}
		start = rte_rdtsc_precise();
		hits += flowtab_lookup_burst(b->ft, ptr, n, now_ms, idx, side);
		cycles += rte_rdtsc_precise() - start;
	}
	return hits == want ? ns_each(cycles, b->flows) : -1;
}

static void
touch_all(struct bench *b, uint64_t deadline_ms)
{
	uint64_t start = rte_rdtsc_precise();

	for (uint32_t k = 0; k < b->flows; k++)
		flowtab_touch(b->ft, b->index[b->order[k]], deadline_ms);
	b->touch_ns = ns_each(rte_rdtsc_precise() - start, b->flows);
}

static void
delete_all(struct bench *b)
{
	uint64_t start = rte_rdtsc_precise();

	for (uint32_t k = 0; k < b->flows; k++)
		flowtab_free(b->ft, b->index[b->order[b->flows - 1 - k]]);
	b->delete_ns = ns_each(rte_rdtsc_precise() - start, b->flows);
}

static int
expire_all(struct bench *b, uint64_t now_ms)
{
	uint64_t start = rte_rdtsc_precise();

	while (flowtab_count(b->ft) > 0) {
		if (flowtab_expire(b->ft, now_ms, 1024) == 0)
			return -1;
	}
	b->expire_ns = ns_each(rte_rdtsc_precise() - start, b->flows);
	return 0;
}

static int
run(struct bench *b)
{
	struct flowtab_params p = {
		.name = "bench",
		.max_flows = b->flows,
		.max_pifs = 2,
		.socket_id = SOCKET_ID_ANY,
		.now_ms = 1000,
		.hash_key = "fixed bench key",
	};
	struct flowtab_tuple *absent;
	size_t resident = resident_bytes(), allocated = allocated_bytes();

	b->ft = flowtab_create(&p);
	if (b->ft == NULL) {
		fprintf(stderr, "bench_flowtab: flowtab_create: %s\n", rte_strerror(rte_errno));
		return -1;
	}
	if (insert_all(b, p.now_ms) != 0)
		return -1;
	b->resident = resident_bytes() - resident;
	b->allocated = allocated_bytes() - allocated;
	b->lookup_ns = lookup_all(b, b->guest, p.now_ms, b->flows);

	absent = b->other;
	for (uint32_t i = 0; i < b->flows; i++)
		absent[i].oport = rte_cpu_to_be_16(444);
	b->miss_ns = lookup_all(b, absent, p.now_ms, 0);
	for (uint32_t i = 0; i < b->flows; i++)
		absent[i].oport = rte_cpu_to_be_16(443);
	touch_all(b, p.now_ms + 2 * LIFE_MS);
	delete_all(b);
	if (flowtab_count(b->ft) != 0 || insert_all(b, p.now_ms) != 0)
		return -1;
	return expire_all(b, p.now_ms + LIFE_MS + 1000);
}

static void
print_result(const struct bench *b, bool json)
{
	static const char *const text =
		"flows %u, %s, %s pages\n"
		"insert  %8.1f ns (both sides, deadline)\nlookup  %8.1f ns (hit, bursts of 32)\n"
		"miss    %8.1f ns\ntouch   %8.1f ns\ndelete  %8.1f ns\nexpire  %8.1f ns\n"
		"memory  %8.1f bytes per flow resident, %.1f reserved\n";
	static const char *const object =
		"{\"flows\":%u,\"family\":\"%s\",\"pages\":\"%s\",\"insert_ns\":%.1f,"
		"\"lookup_ns\":%.1f,\"miss_ns\":%.1f,\"touch_ns\":%.1f,\"delete_ns\":%.1f,"
		"\"expire_ns\":%.1f,\"bytes_per_flow\":%.1f,\"reserved_bytes_per_flow\":%.1f}\n";

	printf(json ? object : text, b->flows, b->v6 ? "ipv6" : "ipv4", b->huge ? "huge" : "small",
		b->insert_ns, b->lookup_ns, b->miss_ns, b->touch_ns, b->delete_ns, b->expire_ns,
		(double)b->resident / b->flows, (double)b->allocated / b->flows);
}

static int
start_eal(bool huge, uint32_t flows)
{
	char prog[] = "bench_flowtab", mem[24], cpu[16], prefix[64], m[] = "-m", l[] = "-l";
	char pages[16], shconf[] = "--no-shconf", tel[] = "--no-telemetry", pci[] = "--no-pci";
	char *argv[] = { prog, pages, m, mem, l, cpu, prefix, shconf, tel, pci };
	int n = huge ? RTE_DIM(argv) - 2 : RTE_DIM(argv);

	/* 22.11: --in-memory implies --no-shconf. */
	snprintf(pages, sizeof(pages), "%s", huge ? "--in-memory" : "--no-huge");
	if (huge) {
		argv[7] = tel;
		argv[8] = pci;
		n = 9;
	}
	snprintf(mem, sizeof(mem), "%u", 64 + (uint32_t)((uint64_t)flows * 800 >> 20));
	snprintf(cpu, sizeof(cpu), "%d", RTE_MAX(sched_getcpu(), 0));
	snprintf(prefix, sizeof(prefix), "--file-prefix=bench-flowtab-%d", (int)getpid());
	return rte_eal_init(n, argv);
}

/** The directory of a prefix made of the pid would stay for ever. */
static void
stop_eal(void)
{
	char dir[256];

	snprintf(dir, sizeof(dir), "%s", rte_eal_get_runtime_dir());
	rte_eal_cleanup();
	rmdir(dir);
}

static void
usage(FILE *to)
{
	fprintf(to,
		"usage: bench_flowtab [--flows N] [--ipv6] [--huge] [--json]\n"
		"  --flows N  flows in the table, 1 .. 16777216 (100000)\n"
		"  --ipv6     IPv6 tuples\n"
		"  --huge     huge pages\n"
		"  --json     one JSON object\n");
}

static int
parse_args(struct bench *b, bool *json, int argc, char **argv)
{
	static const struct option options[] = {
		{ "flows", required_argument, NULL, 'f' },
		{ "ipv6", no_argument, NULL, '6' },
		{ "huge", no_argument, NULL, 'H' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	unsigned long n;
	char *end;
	int c;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (c) {
		case 'f':
			n = strtoul(optarg, &end, 10);
			if (*end != '\0' || n < 1 || n > 1 << 24) {
				fprintf(stderr, "bench_flowtab: --flows %s: not in range\n",
					optarg);
				return -1;
			}
			b->flows = (uint32_t)n;
			break;
		case '6':
			b->v6 = true;
			break;
		case 'H':
			b->huge = true;
			break;
		case 'j':
			*json = true;
			break;
		case 'h':
			usage(stdout);
			exit(0);
		default:
			usage(stderr);
			return -1;
		}
	}
	return 0;
}

int
main(int argc, char **argv)
{
	struct bench b = { .flows = 100000 };
	bool json = false;
	int err = -1;

	if (parse_args(&b, &json, argc, argv) != 0)
		return 2;
	if (start_eal(b.huge, b.flows) < 0) {
		fprintf(stderr, "bench_flowtab: rte_eal_init: %s\n", rte_strerror(rte_errno));
		return 1;
	}
	b.guest = calloc(b.flows, sizeof(b.guest[0]));
	b.other = calloc(b.flows, sizeof(b.other[0]));
	b.order = calloc(b.flows, sizeof(b.order[0]));
	b.index = calloc(b.flows, sizeof(b.index[0]));
	if (b.guest != NULL && b.other != NULL && b.order != NULL && b.index != NULL) {
		make_tuples(&b);
		memset(b.index, 0xff, b.flows * sizeof(b.index[0]));
		err = run(&b);
	}
	if (err == 0 && b.lookup_ns >= 0 && b.miss_ns >= 0)
		print_result(&b, json);
	else
		err = fprintf(stderr, "bench_flowtab: failed\n");
	flowtab_destroy(b.ft);
	free(b.guest);
	free(b.other);
	free(b.order);
	free(b.index);
	stop_eal();
	return err == 0 ? 0 : 1;
}
