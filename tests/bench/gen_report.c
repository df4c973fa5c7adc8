/* SPDX-License-Identifier: BSD-3-Clause */
#include "gen.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define WARM_UP_MS 300
/** Of many guests each must have used its memory first; bounded, for it may be starved. */
#define WARM_UP_MANY_MS 2000

uint64_t
gen_clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/** CPU seconds of the back-end, user and system; 0 when it is not known. */
static double
backend_cpu_s(const struct gen *g)
{
	unsigned long user = 0, sys = 0;
	char path[64];
	FILE *f;

	if (g->backend_pid == 0)
		return 0;
	snprintf(path, sizeof(path), "/proc/%d/stat", g->backend_pid);
	f = fopen(path, "r");
	if (f == NULL)
		return 0;
	if (fscanf(f, "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
		    &sys) != 2)
		user = sys = 0;
	fclose(f);
	return (double)(user + sys) / (double)sysconf(_SC_CLK_TCK);
}

void
gen_sample(struct gen_result *r, uint64_t start_ns)
{
	if (start_ns != 0 && r->n_samples < GEN_MAX_SAMPLES)
		r->samples_ns[r->n_samples++] = (uint32_t)(gen_clock_ns() - start_ns);
}

static int
compare_u32(const void *a, const void *b)
{
	const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/** How even guests fared: the least and the greatest of their units, to the mean. */
static void
report_shares(const struct gen *g, const struct gen_case *k)
{
	double all = 0, least = 0, most = 0;
	unsigned int i;

	for (i = 0; i < g->n_vms; i++) {
		const struct gen_guest *u = &g->guests[i];
		const double n = (double)(k->share(u) - u->share_before);

		all += n;
		least = i == 0 || n < least ? n : least;
		most = n > most ? n : most;
	}
	if (all > 0)
		printf(",\"share_min\":%.3f,\"share_max\":%.3f", least * g->n_vms / all,
			most * g->n_vms / all);
}

static void
report_samples(struct gen_result *r)
{
	qsort(r->samples_ns, r->n_samples, sizeof(uint32_t), compare_u32);
	printf(",\"p50_us\":%.1f,\"p99_us\":%.1f", r->samples_ns[r->n_samples / 2] / 1e3,
		r->samples_ns[(uint64_t)r->n_samples * 99 / 100] / 1e3);
}

static void
report_guests(const struct gen *g, const struct gen_case *k)
{
	unsigned long long retransmits = 0, other_queue = 0;
	unsigned int i;

	for (i = 0; i < g->n_vms; i++) {
		retransmits += g->guests[i].retransmits;
		other_queue += g->guests[i].other_queue;
	}
	printf(",\"idle\":%u,\"vms\":%u,\"queues\":%u", g->n_idle, g->n_vms, g->n_queues);
	if (g->n_vms > 1 && k->share != NULL)
		report_shares(g, k);
	if (g->n_queues > 1)
		printf(",\"other_queue\":%llu", other_queue);
	printf(",\"retransmits\":%llu", retransmits);
}

static void
report(const struct gen *g, const struct gen_case *k, struct gen_result *r)
{
	const double s = (double)r->ns / 1e9;
	const double factor = strcmp(k->unit, "bit") == 0 ? 8 : 1;

	printf("{\"case\":\"%s\",\"connections\":%u,\"mtu\":%u,\"tso\":%s,\"size\":%u,\"train\":%u,"
	       "\"seconds\":%.3f,\"%ss_per_s\":%.0f",
		k->name, g->n_conns, g->mtu, g->tso ? "true" : "false", g->size, g->train, s,
		k->unit, (double)r->units * factor / s);
	if (factor == 8)
		printf(",\"gbit_per_s\":%.2f,\"cpu_s_per_gb\":%.3f", (double)r->units * 8 / s / 1e9,
			r->cpu_s / ((double)r->units / 1e9));
	else
		printf(",\"cpu_us_per_%s\":%.3f", k->unit, r->cpu_s * 1e6 / (double)r->units);
	if (g->n_bulk > 0)
		printf(",\"bulk\":%u,\"gbit_per_s\":%.2f", g->n_bulk,
			(double)r->bulk_bytes * 8 / s / 1e9);
	if (r->n_samples > 0)
		report_samples(r);
	if (g->limit_cpu >= 0)
		printf(",\"limit\":true,\"retransmits\":0");
	else
		report_guests(g, k);
	printf(",\"failed\":%llu}\n", (unsigned long long)g->failed);
}

/** From here on it counts. */
static void
begin(struct gen *g, const struct gen_case *k, struct gen_result *r)
{
	unsigned int i;

	r->units = r->bulk_bytes = 0;
	r->n_samples = 0;
	g->failed = 0;
	for (i = 0; g->guests != NULL && i < g->n_vms; i++) {
		struct gen_guest *u = &g->guests[i];

		u->retransmits = u->other_queue = 0;
		u->share_before = k->share != NULL ? k->share(u) : 0;
	}
	if (k->begin != NULL)
		k->begin(g, r);
}

/**
 * Has each of many guests had as many frames as its ring has buffers? The first touch of a page
 * costs the back-end a page fault, which no guest that has run for a while has left to give.
 */
static bool
warm(const struct gen *g)
{
	unsigned int i;

	for (i = 0; g->guests != NULL && g->n_vms > 1 && i < g->n_vms; i++)
		if (g->guests[i].rx_frames < g->ring_size)
			return false;
	return true;
}

int
gen_measure(struct gen *g, const struct gen_case *k, struct gen_result *r)
{
	uint64_t start, until;
	double cpu;

	start = g->now_ns = gen_clock_ns();
	until = start + WARM_UP_MS * UINT64_C(1000000);
	while (g->now_ns < until ||
		(g->now_ns - start < WARM_UP_MANY_MS * UINT64_C(1000000) && !warm(g))) {
		k->turn(g, r);
		g->now_ns = gen_clock_ns();
	}
	begin(g, k, r);
	cpu = backend_cpu_s(g);
	start = g->now_ns = gen_clock_ns();
	until = start + g->ms * UINT64_C(1000000);
	while (g->now_ns < until) {
		k->turn(g, r);
		g->now_ns = gen_clock_ns();
	}
	r->ns = g->now_ns - start;
	if (k->end != NULL)
		k->end(g, r);
	r->cpu_s = backend_cpu_s(g) - cpu;
	if (r->units == 0) {
		fprintf(stderr, "weir-gen: %s: no traffic\n", k->name);
		return -1;
	}
	report(g, k, r);
	return 0;
}
