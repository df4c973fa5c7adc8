/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * What flows cost the connection tracker: time on one core, and resident memory.
 *
 * Each case runs in a process of its own, so that memory that an earlier one has used is not there
 * already; with --runs, each figure is the median of so many processes.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <rte_common.h>

#include "bench_flowtab.h"

#define MAX_SIZES 16
#define MAX_RUNS 99

struct options {
	uint32_t flows[MAX_SIZES];
	unsigned int n_flows;
	unsigned int runs;
	unsigned int family; /**< 4, 6 or 0: both */
	unsigned int burst;  /**< 0: 32 and 1 */
	bool sip, crc, huge, json;
};

#define N_FIGURES (sizeof(struct bench_result) / sizeof(double))

static const char *const figure_name[] = {
#define X(name, help) #name,
	BENCH_FIGURES(X)
#undef X
};

static void
usage(FILE *to)
{
	fprintf(to,
		"usage: bench_flowtab [OPTION]...\n"
		"  --flows N[,N...]  flows in the table, 1 .. 16777216\n"
		"                    (1000,100000,1000000,4000000)\n"
		"  --family 4|6      one family of addresses, not both\n"
		"  --hash sip|crc    one hash, not both\n"
		"  --burst N         packets given at a time, 1 .. 32, not both 32 and 1\n"
		"  --runs N          medians of so many runs (1)\n"
		"  --huge            huge pages\n"
		"  --json            one JSON object; of one number of flows, the figures of the\n"
		"                    first case stand in it by themselves, too\n"
		"Figures of each case:\n");
#define X(name, help) fprintf(to, "  %-24s " help "\n", #name);
	BENCH_FIGURES(X)
#undef X
}

/* ---- running ---- */

/** One case in a child, which starts the EAL; 0, or -1 after somebody has said why. */
static int
run_once(const struct bench_case *c, struct bench_result *r)
{
	int fd[2], status = -1;
	ssize_t n;
	pid_t pid;

	fflush(NULL);
	if (pipe(fd) != 0)
		return -1;
	pid = fork();
	if (pid == 0) {
		int err = bench_run(c, r);

		if (err == 0 && write(fd[1], r, sizeof(*r)) != sizeof(*r))
			err = -1;
		_exit(err == 0 ? 0 : 1);
	}
	close(fd[1]);
	n = pid > 0 ? read(fd[0], r, sizeof(*r)) : -1;
	close(fd[0]);
	if (pid > 0)
		waitpid(pid, &status, 0);
	return status == 0 && n == sizeof(*r) ? 0 : -1;
}

static int
compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static int
run_case(const struct bench_case *c, unsigned int runs, double median[N_FIGURES])
{
	struct bench_result r[MAX_RUNS];
	double v[MAX_RUNS];

	for (unsigned int i = 0; i < runs; i++) {
		if (run_once(c, &r[i]) != 0)
			return -1;
	}
	for (unsigned int f = 0; f < N_FIGURES; f++) {
		for (unsigned int i = 0; i < runs; i++)
			v[i] = ((const double *)&r[i])[f];
		qsort(v, runs, sizeof(v[0]), compare_doubles);
		median[f] = v[runs / 2];
	}
	return 0;
}

/** What a case needs at most, its own arrays included: see start_eal(). */
static bool
memory_permits(uint32_t flows)
{
	uint64_t kib = 0;
	char line[128];
	FILE *f = fopen("/proc/meminfo", "r");

	if (f == NULL)
		return true;
	while (fgets(line, sizeof(line), f) != NULL) {
		if (sscanf(line, "MemAvailable: %lu", &kib) == 1)
			break;
	}
	fclose(f);
	return kib == 0 || kib / 2 > (uint64_t)flows * 800 / 1024;
}

/** ,"name":value of each figure */
static void
print_figures(const double *v)
{
	for (unsigned int f = 0; f < N_FIGURES; f++)
		printf(",\"%s\":%.1f", figure_name[f], v[f]);
}

static void
print_case(const struct options *o, const struct bench_case *c, const double *v, bool first)
{
	const char *family = c->v6 ? "ipv6" : "ipv4", *hash = c->crc ? "crc" : "siphash";
	const char *pages = c->huge ? "huge" : "small";

	if (!o->json) {
		printf("%u flows, %s, %s, bursts of %u, %s pages\n", c->flows, family, hash,
			c->burst, pages);
		for (unsigned int f = 0; f < N_FIGURES; f++)
			printf("  %-24s %9.1f\n", figure_name[f], v[f]);
	} else {
		printf("%s\n{\"flows\":%u,\"family\":\"%s\",\"hash\":\"%s\",\"burst\":%u,"
		       "\"pages\":\"%s\"",
			first ? "" : ",", c->flows, family, hash, c->burst, pages);
		print_figures(v);
		printf("}");
	}
	fflush(stdout);
}

/** The n-th of the 8 combinations, or false: it is not asked for. */
static bool
case_of(const struct options *o, uint32_t flows, unsigned int n, struct bench_case *c)
{
	*c = (struct bench_case){
		.flows = flows,
		.burst = (n & 1) != 0   ? 1
			: o->burst != 0 ? o->burst
					: 32,
		.crc = (n & 2) != 0,
		.v6 = (n & 4) != 0,
		.huge = o->huge,
	};
	return ((n & 1) == 0 || o->burst == 0) && (c->crc ? o->crc : o->sip) &&
		(o->family == 0 || c->v6 == (o->family == 6));
}

static int
run_all(const struct options *o)
{
	double v[N_FIGURES], main_case[N_FIGURES] = { 0 };
	struct bench_case c;
	bool first = true;

	if (o->json)
		printf("{\"benchmark\":\"flowtab\",\"runs\":%u,\"results\":[", o->runs);
	for (unsigned int i = 0; i < o->n_flows; i++) {
		if (!memory_permits(o->flows[i])) {
			fprintf(stderr, "bench_flowtab: %u flows: too little memory, left out\n",
				o->flows[i]);
			continue;
		}
		for (unsigned int n = 0; n < 8; n++) {
			if (!case_of(o, o->flows[i], n, &c))
				continue;
			if (run_case(&c, o->runs, v) != 0)
				return -1;
			print_case(o, &c, v, first);
			if (first)
				memcpy(main_case, v, sizeof(main_case));
			first = false;
		}
	}
	if (o->json) {
		printf("\n]");
		/* Of one size, the first case is the one that most ask for. */
		if (o->n_flows == 1 && !first) {
			printf(",\"flows\":%u", o->flows[0]);
			print_figures(main_case);
		}
		printf("}\n");
	}
	return 0;
}

/* ---- options ---- */

static bool
parse_number(const char *text, unsigned long max, uint32_t *value, char **end)
{
	unsigned long n = strtoul(text, end, 10);

	*value = (uint32_t)n;
	return *end != text && n >= 1 && n <= max;
}

static bool
parse_flows(struct options *o, const char *text)
{
	char *end;

	o->n_flows = 0;
	do {
		if (o->n_flows == MAX_SIZES ||
			!parse_number(text, 1 << 24, &o->flows[o->n_flows++], &end))
			return false;
		text = end + 1;
	} while (*end == ',');
	return *end == '\0';
}

static bool
parse_option(struct options *o, int c, const char *arg)
{
	uint32_t n = 0;
	char *end = NULL;

	switch (c) {
	case 'f':
		return parse_flows(o, arg);
	case 'F':
		if (!parse_number(arg, 6, &n, &end) || *end != '\0')
			return false;
		o->family = n;
		return n == 4 || n == 6;
	case 's':
		o->sip = strcmp(arg, "sip") == 0;
		o->crc = strcmp(arg, "crc") == 0;
		return o->sip || o->crc;
	case 'b':
		if (!parse_number(arg, 32, &n, &end) || *end != '\0')
			return false;
		o->burst = n;
		return true;
	case 'r':
		if (!parse_number(arg, MAX_RUNS, &n, &end) || *end != '\0')
			return false;
		o->runs = n;
		return true;
	case 'H':
		o->huge = true;
		return true;
	default:
		o->json = true;
		return true;
	}
}

static int
parse_args(struct options *o, int argc, char **argv)
{
	static const struct option options[] = {
		{ "flows", required_argument, NULL, 'f' },
		{ "family", required_argument, NULL, 'F' },
		{ "hash", required_argument, NULL, 's' },
		{ "burst", required_argument, NULL, 'b' },
		{ "runs", required_argument, NULL, 'r' },
		{ "huge", no_argument, NULL, 'H' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int c, at;

	while ((c = getopt_long(argc, argv, "h", options, &at)) != -1) {
		if (c == 'h') {
			usage(stdout);
			exit(0);
		}
		if (c == '?') {
			usage(stderr);
			return -1;
		}
		if (!parse_option(o, c, optarg)) {
			fprintf(stderr, "bench_flowtab: --%s %s: not in range\n", options[at].name,
				optarg);
			return -1;
		}
	}
	if (optind == argc)
		return 0;
	usage(stderr);
	return -1;
}

int
main(int argc, char **argv)
{
	struct options o = {
		.flows = { 1000, 100000, 1000000, 4000000 },
		.n_flows = 4,
		.runs = 1,
		.sip = true,
		.crc = true,
	};

	if (parse_args(&o, argc, argv) != 0)
		return 2;
	if (run_all(&o) != 0) {
		fprintf(stderr, "bench_flowtab: failed\n");
		return 1;
	}
	return 0;
}
