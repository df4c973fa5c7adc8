/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Flows are taken in random order throughout, so that with many of them each access misses the
 * caches, as it does with many guests; without huge pages the misses of the TLB are part of the
 * figures. What the parser has just written is in the cache: 32 mbufs are used for all packets, and
 * rewritten outside of what is timed. Time is that of the TSC, except for the longest call.
 */
#include "bench_flowtab.h"

#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>
#include <rte_tcp.h>

#include <ct.h>

/** Packets that are timed together, whatever the burst. */
#define UNIT FLOWTAB_BURST
/** Packets of each kind that are measured at least. */
#define MIN_PKTS 200000
#define PAYLOAD 64
/** As in l4x_timers(). */
#define EXPIRE_BUDGET 64
#define GUEST_PIF 1
#define OTHER_PIF 2
#define SERVER_PORT 443
#define ABSENT_PORT 444
#define DAY_MS UINT64_C(86400000)

static const struct ct_commit commit = { .opif = OTHER_PIF };

/** Sum of what was measured. */
struct total {
	uint64_t cycles;
	uint64_t n;
};

struct bench {
	const struct bench_case *c;
	struct flowtab *ft;
	struct ct *ct;
	uint32_t *order, *index;
	uint64_t now_ms, touched;
	uint64_t slow; /**< cycles after which somebody else must have had the core */
	uint32_t sent[FLOWTAB_SIDES]; /**< by each end of every connection, SYN included */
	uint32_t flow[UNIT];          /**< whose packets are in the mbufs */
	struct rte_mbuf m[UNIT];
	uint8_t data[UNIT][192];
	struct flowtab_tuple tuple[UNIT];
	struct ct_pkt pkt[UNIT];
	struct ct_pkt *ptr[UNIT];
	struct total track, insert, fresh, delete, expire, miss, lookup, touch;
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

static void
shuffle(struct bench *b)
{
	for (uint32_t i = b->c->flows - 1; i > 0; i--) {
		uint32_t j = (uint32_t)(next_random() % (i + 1)), t = b->order[i];

		b->order[i] = b->order[j];
		b->order[j] = t;
	}
}

/** A unit that the process was interrupted in says nothing. */
static void
total_add(const struct bench *b, struct total *t, uint64_t start, uint64_t n)
{
	uint64_t cycles = rte_rdtsc_precise() - start;

	if (cycles > b->slow)
		return;
	t->cycles += cycles;
	t->n += n;
}

static double
total_ns(const struct total *t)
{
	return t->n == 0 ? 0 : (double)t->cycles * 1e9 / (double)rte_get_tsc_hz() / (double)t->n;
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

/* ---- packets ---- */

/** The n-th client, the server behind it, and how they number. */
struct ends {
	uint32_t client; /**< last 32 bits of the address */
	uint16_t port;
	uint32_t isn[FLOWTAB_SIDES];
};

static struct ends
ends_of(uint32_t flow)
{
	return (struct ends){
		.client = 0x0a000000 + flow / 60000,
		.port = (uint16_t)(1024 + flow % 60000),
		.isn = { 1000 + flow * 7919, 5000 + flow * 104729 },
	};
}

static size_t
write_ip(const struct bench *b, uint8_t *at, uint32_t src, uint32_t dst, size_t l4_len)
{
	static const uint8_t prefix[12] = { 0xfd, 0, 0, 2 };
	struct rte_ipv4_hdr *ip4 = (struct rte_ipv4_hdr *)at;
	struct rte_ipv6_hdr *ip6 = (struct rte_ipv6_hdr *)at;

	src = rte_cpu_to_be_32(src);
	dst = rte_cpu_to_be_32(dst);
	if (!b->c->v6) {
		*ip4 = (struct rte_ipv4_hdr){
			.version_ihl = RTE_IPV4_VHL_DEF,
			.total_length = rte_cpu_to_be_16((uint16_t)(sizeof(*ip4) + l4_len)),
			.time_to_live = 64,
			.next_proto_id = IPPROTO_TCP,
			.src_addr = src,
			.dst_addr = dst,
		};
		ip4->hdr_checksum = rte_ipv4_cksum(ip4);
		return sizeof(*ip4);
	}
	*ip6 = (struct rte_ipv6_hdr){
		.vtc_flow = rte_cpu_to_be_32(0x60000000),
		.payload_len = rte_cpu_to_be_16((uint16_t)l4_len),
		.proto = IPPROTO_TCP,
		.hop_limits = 64,
	};
	memcpy(ip6->src_addr, prefix, sizeof(prefix));
	memcpy(ip6->dst_addr, prefix, sizeof(prefix));
	memcpy(ip6->src_addr + sizeof(prefix), &src, sizeof(src));
	memcpy(ip6->dst_addr + sizeof(prefix), &dst, sizeof(dst));
	return sizeof(*ip6);
}

/** A segment of the flow in the i-th mbuf, parsed. */
static void
write_segment(struct bench *b, unsigned int i, uint32_t flow, unsigned int side, uint8_t flags,
	uint16_t server_port, uint32_t payload)
{
	struct ends e = ends_of(flow);
	size_t l3 = RTE_ETHER_HDR_LEN, l4_len = sizeof(struct rte_tcp_hdr) + payload;
	uint16_t port[FLOWTAB_SIDES] = { e.port, server_port };
	uint32_t addr[FLOWTAB_SIDES] = { e.client, 0xc0000201 };
	size_t l4 = l3 + write_ip(b, b->data[i] + l3, addr[side], addr[1 - side], l4_len);
	struct rte_tcp_hdr *tcp = (struct rte_tcp_hdr *)(b->data[i] + l4);
	struct ct_pkt *p = &b->pkt[i];

	*tcp = (struct rte_tcp_hdr){
		.src_port = rte_cpu_to_be_16(port[side]),
		.dst_port = rte_cpu_to_be_16(port[1 - side]),
		.sent_seq = rte_cpu_to_be_32(e.isn[side] + b->sent[side]),
		.recv_ack = rte_cpu_to_be_32(
			(flags & RTE_TCP_ACK_FLAG) != 0 ? e.isn[1 - side] + b->sent[1 - side] : 0),
		.data_off = sizeof(*tcp) / 4 << 4,
		.tcp_flags = flags,
		.rx_win = UINT16_MAX,
	};
	b->m[i].buf_addr = b->data[i];
	b->m[i].data_len = (uint16_t)(l4 + l4_len);
	b->m[i].pkt_len = b->m[i].data_len;
	b->m[i].nb_segs = 1;
	b->tuple[i] = (struct flowtab_tuple){ .pif = side == 0 ? GUEST_PIF : OTHER_PIF };
	*p = (struct ct_pkt){ .m = &b->m[i], .l3_off = (uint16_t)l3, .flags = CT_PKT_CSUM_OK };
	ct_pkt_parse(p, &b->tuple[i]);
	b->ptr[i] = p;
	b->flow[i] = flow;
}

static void
track_unit(struct bench *b, unsigned int n, const struct ct_commit *c)
{
	for (unsigned int i = 0; i < n; i += b->c->burst)
		ct_track_burst(b->ct, b->ptr + i, RTE_MIN(n - i, b->c->burst), c, b->now_ms);
}

/**
 * One segment of every flow.
 * @param want ct_state that each must get
 * @param t    NULL: nobody wants to know
 */
static int
track_all(struct bench *b, unsigned int side, uint8_t flags, uint16_t server_port, uint32_t payload,
	const struct ct_commit *c, uint8_t want, struct total *t)
{
	struct total unused = { 0 };

	for (uint32_t k = 0; k < b->c->flows; k += UNIT) {
		unsigned int n = RTE_MIN(b->c->flows - k, (uint32_t)UNIT);
		uint64_t start;

		for (unsigned int i = 0; i < n; i++)
			write_segment(b, i, b->order[k + i], side, flags, server_port, payload);
		start = rte_rdtsc_precise();
		track_unit(b, n, c);
		total_add(b, t != NULL ? t : &unused, start, n);
		for (unsigned int i = 0; i < n; i++) {
			const struct ct_pkt *p = &b->pkt[i];

			if (p->state != want || p->verdict != CT_ACCEPT) {
				fprintf(stderr, "bench_flowtab: state %#x, verdict %u, %s\n",
					p->state, p->verdict, ct_reason_info[p->reason].name);
				return -1;
			}
			if (c != NULL)
				b->index[b->flow[i]] = p->flow;
		}
	}
	b->sent[side] += payload + ((flags & RTE_TCP_SYN_FLAG) != 0 && server_port != ABSENT_PORT);
	return 0;
}

/* ---- what is measured ---- */

static int
insert_all(struct bench *b, struct total *t)
{
	const uint8_t syn = RTE_TCP_SYN_FLAG, ack = RTE_TCP_ACK_FLAG;
	const uint8_t est = CT_TRK | CT_EST;

	memset(b->sent, 0, sizeof(b->sent));
	if (track_all(b, 0, syn, SERVER_PORT, 0, &commit, CT_TRK | CT_NEW, t) != 0 ||
		track_all(b, 1, syn | ack, SERVER_PORT, 0, NULL, est | CT_RPL, NULL) != 0 ||
		track_all(b, 0, ack, SERVER_PORT, 0, NULL, est, NULL) != 0)
		return -1;
	shuffle(b);
	return 0;
}

/** Both directions in turn, so that each acknowledges the other. */
static int
measure_track(struct bench *b)
{
	const uint8_t flags = RTE_TCP_ACK_FLAG | RTE_TCP_PSH_FLAG, est = CT_TRK | CT_EST;

	for (uint32_t done = 0, pass = 0; done < MIN_PKTS || pass < 2; pass++) {
		if (track_all(b, pass % 2, flags, SERVER_PORT, PAYLOAD, NULL,
			    pass % 2 == 0 ? est : est | CT_RPL, &b->track) != 0)
			return -1;
		done += b->c->flows;
	}
	for (uint32_t done = 0; done < MIN_PKTS; done += b->c->flows) {
		if (track_all(b, 0, RTE_TCP_SYN_FLAG, ABSENT_PORT, 0, NULL, CT_TRK | CT_NEW,
			    &b->miss) != 0)
			return -1;
	}
	return 0;
}

static int
lookup_all(struct bench *b)
{
	const struct flowtab_tuple *ptr[UNIT];
	uint32_t idx[UNIT], hits = 0;
	uint8_t side[UNIT];

	for (unsigned int i = 0; i < UNIT; i++)
		ptr[i] = &b->tuple[i];
	for (uint32_t k = 0; k < b->c->flows; k += UNIT) {
		unsigned int n = RTE_MIN(b->c->flows - k, (uint32_t)UNIT);
		uint64_t start;

		for (unsigned int i = 0; i < n; i++)
			write_segment(b, i, b->order[k + i], 0, RTE_TCP_ACK_FLAG, SERVER_PORT, 0);
		start = rte_rdtsc_precise();
		for (unsigned int i = 0; i < n; i += b->c->burst)
			hits += flowtab_lookup_burst(
				b->ft, ptr + i, RTE_MIN(n - i, b->c->burst), b->now_ms, idx, side);
		total_add(b, &b->lookup, start, n);
	}
	return hits == b->c->flows ? 0 : -1;
}

static void
touch_all(struct bench *b)
{
	uint64_t deadline = b->now_ms + DAY_MS + ++b->touched;
	uint32_t idx[UNIT];

	for (uint32_t k = 0; k < b->c->flows; k += UNIT) {
		unsigned int n = RTE_MIN(b->c->flows - k, (uint32_t)UNIT);
		uint64_t start;

		for (unsigned int i = 0; i < n; i++)
			idx[i] = b->index[b->order[k + i]];
		start = rte_rdtsc_precise();
		for (unsigned int i = 0; i < n; i++)
			flowtab_touch(b->ft, idx[i], deadline);
		total_add(b, &b->touch, start, n);
	}
}

static void
delete_all(struct bench *b)
{
	uint32_t idx[UNIT];

	for (uint32_t k = 0; k < b->c->flows; k += UNIT) {
		unsigned int n = RTE_MIN(b->c->flows - k, (uint32_t)UNIT);
		uint64_t start;

		for (unsigned int i = 0; i < n; i++)
			idx[i] = b->index[b->order[k + i]];
		start = rte_rdtsc_precise();
		for (unsigned int i = 0; i < n; i++)
			ct_free(b->ct, idx[i]);
		total_add(b, &b->delete, start, n);
	}
}

/** Time that the process had the processor: who else runs does not count. */
static double
processor_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int
expire_all(struct bench *b, struct bench_result *r)
{
	/* Longer than any timeout, and the second in which all are due is over. */
	b->now_ms += 2 * DAY_MS;
	while (flowtab_count(b->ft) > 0) {
		double began = processor_us(), took;
		uint64_t start = rte_rdtsc_precise();
		uint32_t n = flowtab_expire(b->ft, b->now_ms, EXPIRE_BUDGET);

		total_add(b, &b->expire, start, n);
		took = processor_us() - began;
		if (took > r->max_expire_call_us)
			r->max_expire_call_us = took;
		if (n == 0)
			return -1;
	}
	return 0;
}

/* ---- one case ---- */

static int
open_tables(struct bench *b)
{
	struct flowtab_params fp = {
		.name = "bench",
		.max_flows = b->c->flows,
		.max_pifs = 4,
		.socket_id = SOCKET_ID_ANY,
		.now_ms = b->now_ms,
		.hash_key = "fixed bench key",
		.crc = b->c->crc,
	};
	struct ct_params cp = { .socket_id = SOCKET_ID_ANY, .secret = "fixed bench key" };

	b->ft = flowtab_create(&fp);
	cp.ft = b->ft;
	b->ct = b->ft != NULL ? ct_create(&cp) : NULL;
	if (b->ct == NULL)
		fprintf(stderr, "bench_flowtab: %u flows: %s\n", b->c->flows,
			rte_strerror(rte_errno));
	return b->ct != NULL ? 0 : -1;
}

static int
measure(struct bench *b, struct bench_result *r)
{
	size_t resident = resident_bytes(), allocated = allocated_bytes();
	uint32_t rounds = 1 + RTE_MIN(MIN_PKTS / b->c->flows, 200U);

	if (open_tables(b) != 0 || insert_all(b, &b->fresh) != 0)
		return -1;
	r->bytes_per_flow = (double)(resident_bytes() - resident) / b->c->flows;
	r->reserved_bytes_per_flow = (double)(allocated_bytes() - allocated) / b->c->flows;
	if (measure_track(b) != 0)
		return -1;
	for (uint32_t i = 0; i < rounds; i++) {
		if (lookup_all(b) != 0)
			return -1;
		touch_all(b);
	}
	for (uint32_t i = 0; i < rounds; i++) {
		delete_all(b);
		if (flowtab_count(b->ft) != 0 || insert_all(b, &b->insert) != 0)
			return -1;
	}
	for (uint32_t i = 0; i < rounds; i++) {
		if (expire_all(b, r) != 0 || insert_all(b, NULL) != 0)
			return -1;
	}
	return 0;
}

static int
start_eal(const struct bench_case *c)
{
	char prog[] = "bench_flowtab", mem[24], cpu[16], prefix[64], m[] = "-m", l[] = "-l";
	char pages[16], shconf[] = "--no-shconf", tel[] = "--no-telemetry", pci[] = "--no-pci";
	char level[] = "--log-level=lib.eal:error";
	char *argv[] = { prog, pages, m, mem, l, cpu, level, tel, pci, prefix, shconf };
	/* 22.11: --in-memory needs neither of the last two. */
	int n = c->huge ? RTE_DIM(argv) - 2 : RTE_DIM(argv);

	snprintf(pages, sizeof(pages), "%s", c->huge ? "--in-memory" : "--no-huge");
	snprintf(mem, sizeof(mem), "%u", 64 + (uint32_t)((uint64_t)c->flows * 800 >> 20));
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
take_totals(const struct bench *b, struct bench_result *r)
{
	r->track_ns = total_ns(&b->track);
	r->insert_ns = total_ns(&b->insert);
	r->insert_fresh_ns = total_ns(&b->fresh);
	r->delete_ns = total_ns(&b->delete);
	r->expire_ns = total_ns(&b->expire);
	r->miss_ns = total_ns(&b->miss);
	r->lookup_ns = total_ns(&b->lookup);
	r->touch_ns = total_ns(&b->touch);
}

int
bench_run(const struct bench_case *c, struct bench_result *r)
{
	struct bench *b;
	int err = -1;

	memset(r, 0, sizeof(*r));
	if (start_eal(c) < 0) {
		fprintf(stderr, "bench_flowtab: rte_eal_init: %s\n", rte_strerror(rte_errno));
		return -1;
	}
	b = calloc(1, sizeof(*b));
	if (b != NULL) {
		b->c = c;
		b->now_ms = 1000;
		b->slow = rte_get_tsc_hz() / 2000;
		b->order = calloc(c->flows, sizeof(b->order[0]));
		b->index = calloc(c->flows, sizeof(b->index[0]));
	}
	if (b != NULL && b->order != NULL && b->index != NULL) {
		for (uint32_t i = 0; i < c->flows; i++)
			b->order[i] = i;
		shuffle(b);
		memset(b->index, 0xff, c->flows * sizeof(b->index[0]));
		err = measure(b, r);
		take_totals(b, r);
		ct_destroy(b->ct);
		flowtab_destroy(b->ft);
		free(b->order);
		free(b->index);
	}
	free(b);
	stop_eal();
	return err;
}
