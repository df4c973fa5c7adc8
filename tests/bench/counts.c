/* SPDX-License-Identifier: BSD-3-Clause */
#include "bridge.h"
#include "counts.h"

#include <getopt.h>
#include <gnu/libc-version.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_version.h>

/** Steps that are counted, and before, for windows and buffers to grow. */
#define STEPS 20
#define WARM_UP_STEPS 10
/** Iterations of a step, at most. */
#define ROUNDS 500
/** Ports of one case: flows of the one before may be there still. */
#define CASE_PORTS 1500

/** Guests that have a case run at the same time, each with all of it. */
struct rig {
	struct world *o;
	const struct counts_case *k;
	struct guest guests[COUNTS_MAX_VMS];
	unsigned int n_guests;
	uint64_t iterations;
};

/** @return whether something moved */
static bool
guest_turn(struct rig *r, struct guest *t)
{
	bool moved = gen_ring_poll(&t->u, gen_guest_frame) != 0;

	moved |= r->k->kind->react(t, r->k);
	gen_guest_touched(&t->u, NULL, NULL);
	gen_guest_flush(&t->u);
	return moved;
}

/** A step: put in, and iterate until nothing moves. */
static bool
step(struct rig *r, bool measured)
{
	const struct counts_case *k = r->k;
	uint64_t expected[COUNTS_MAX_VMS], put;
	unsigned int round, i;
	bool moved = true;

	for (i = 0; i < r->n_guests; i++) {
		struct guest *t = &r->guests[i];

		gen_ring_flush(&t->u); /* frames of before are taken back */
		expected[i] = k->kind->arrived(t, k);
		put = k->kind->load(t, k);
		expected[i] += put;
		if (measured && put != counts_step(k)) {
			fprintf(stderr, "weir-counts: %s: room for %llu of %llu\n", k->name,
				(unsigned long long)put, (unsigned long long)counts_step(k));
			return false;
		}
		gen_ring_flush(&t->u);
	}
	for (round = 0; moved && round < ROUNDS; round++) {
		moved = world_iterate(r->o, measured) != 0;
		r->iterations += measured;
		for (i = 0; i < r->n_guests; i++)
			moved |= guest_turn(r, &r->guests[i]);
	}
	for (i = 0; i < r->n_guests; i++) {
		const uint64_t arrived = k->kind->arrived(&r->guests[i], k);

		if (arrived == expected[i] && r->guests[i].u.retransmits == 0)
			continue;
		fprintf(stderr, "weir-counts: %s: %lld too few arrived, sent again %llu\n", k->name,
			(long long)(expected[i] - arrived),
			(unsigned long long)r->guests[i].u.retransmits);
		return false;
	}
	return true;
}

/** All steps of a case. */
static bool
run(struct rig *r)
{
	const char *name = r->k->name;
	unsigned int i;
	bool ok = true;

	/* While connections came up, the time was a real one. */
	for (i = 0; i < r->n_guests; i++)
		r->guests[i].u.retransmits = 0;
	for (i = 0; ok && i < WARM_UP_STEPS; i++)
		ok = step(r, false);
	world_count_begin();
	r->iterations = 0;
	for (i = 0; ok && i < STEPS; i++)
		ok = step(r, true);
	world_count_end(name);
	if (ok)
		printf("{\"case\":\"%s\",\"unit\":\"%s\",\"units\":%.3f,\"iterations\":%.3f}\n",
			name, r->k->kind->unit,
			(double)(STEPS * r->n_guests * counts_step(r->k)) / r->k->kind->per,
			(double)r->iterations / STEPS);
	return ok;
}

static bool
run_case(struct rig *r, const struct counts_case *k, unsigned int number)
{
	const struct guest_conf c = { .n_conns = k->n_conns,
		.no_tso = k->no_tso,
		.interrupts = k->interrupts,
		.first_port = (uint16_t)(2000 + number * CASE_PORTS),
		.peer_vm = r->n_guests };
	bool ok = true;
	unsigned int i;

	r->k = k;
	world_run(r->o);
	for (i = 0; ok && i < r->n_guests; i++)
		ok = guest_open(&r->guests[i], r->o, i, &c) &&
			(k->kind->prepare == NULL || k->kind->prepare(&r->guests[i].g));
	world_halt(r->o);
	if (!ok)
		fprintf(stderr, "weir-counts: %s: the guest does not come up\n", k->name);
	ok = ok && run(r);
	world_run(r->o);
	for (i = 0; i < r->n_guests; i++)
		guest_close(&r->guests[i]);
	world_halt(r->o);
	return ok;
}

static bool
idle_open(struct rig *r, unsigned int first, unsigned int n)
{
	const struct guest_conf c = { .n_conns = 1, .first_port = 1 };
	bool ok = true;

	world_run(r->o);
	for (; ok && n > 0; n--, first++)
		ok = guest_open(&r->guests[first], r->o, first, &c);
	world_halt(r->o);
	return ok;
}

static const char usage[] =
	"usage: weir-counts [OPTIONS] CASE...\n"
	"Runs the data path in lockstep with guests and peers, to be counted by valgrind.\n\n"
	"  --guests N    that have the case run, each all of it (1)\n"
	"  --idle N      more guests, which do nothing (0)\n"
	"  --flows N     more flows, of which nothing comes (0)\n"
	"  --workers N   1 or 2 (1)\n"
	"  --east-west   guests may reach each other, as cases and flows between them need\n"
	"  --versions    what figures depend on, as a line of JSON\n"
	"Cases:";

static int
print_versions(void)
{
	printf("{\"compiler\":\"%s\",\"dpdk\":\"%s\",\"libc\":\"%s\",\"io_uring\":%s,"
	       "\"callgrind\":%s}\n",
		__VERSION__, rte_version(), gnu_get_libc_version(),
		bridge_probe_uring() == 0 ? "true" : "false",
		world_has_callgrind ? "true" : "false");
	return 0;
}

/** The VMs: guests, one for frames between guests, idle ones, two that make flows. */
struct options {
	unsigned int guests, idle, flows, workers;
	bool east_west;
};

static bool
options(struct options *o, int argc, char **argv)
{
	static const struct option opts[] = { { "guests", 1, NULL, 'g' }, { "idle", 1, NULL, 'i' },
		{ "flows", 1, NULL, 'f' }, { "workers", 1, NULL, 'w' },
		{ "east-west", 0, NULL, 'e' }, { NULL, 0, NULL, 0 } };
	int c;

	while ((c = getopt_long(argc, argv, "", opts, NULL)) != -1) {
		const unsigned int n = optarg != NULL ? (unsigned int)strtoul(optarg, NULL, 10) : 0;

		switch (c) {
		case 'g':
			o->guests = n;
			break;
		case 'i':
			o->idle = n;
			break;
		case 'f':
			o->flows = n;
			break;
		case 'w':
			o->workers = n;
			break;
		case 'e':
			o->east_west = true;
			break;
		default:
			return false;
		}
	}
	return optind < argc && o->guests > 0 && (o->workers == 1 || o->workers == 2) &&
		o->guests <= COUNTS_MAX_VMS && o->idle <= COUNTS_MAX_VMS &&
		o->guests + o->idle + 3 <= COUNTS_MAX_VMS;
}

static const struct counts_case *
find_case(const char *name)
{
	const struct counts_case *k = counts_cases;

	while (k->name != NULL && strcmp(k->name, name) != 0)
		k++;
	return k->name != NULL ? k : NULL;
}

int
main(int argc, char **argv)
{
	struct options opt = { .guests = 1, .workers = 1 };
	static struct rig r;
	int failed = 0, first, i;

	if (argc == 2 && strcmp(argv[1], "--versions") == 0)
		return print_versions();
	if (!options(&opt, argc, argv)) {
		const struct counts_case *k;

		fputs(usage, stderr);
		for (k = counts_cases; k->name != NULL; k++)
			fprintf(stderr, " %s", k->name);
		fputs("\n", stderr);
		return 2;
	}
	first = optind; /* the daemon has a command line, too */
	r.n_guests = opt.guests;
	r.o = world_create(opt.guests + 1 + opt.idle + 2, opt.workers, opt.east_west);
	if (r.o == NULL)
		return 1;
	if (!idle_open(&r, opt.guests + 1, opt.idle) ||
		(opt.flows != 0 && !flows_make(r.o, opt.guests + 1 + opt.idle, opt.flows))) {
		fprintf(stderr, "weir-counts: idle guests or flows cannot be had\n");
		failed = 1;
	}
	for (i = first; !failed && i < argc; i++) {
		const struct counts_case *k = find_case(argv[i]);

		if (k == NULL)
			fprintf(stderr, "weir-counts: there is no %s\n", argv[i]);
		failed = k == NULL || !run_case(&r, k, (unsigned int)(i - first));
	}
	world_run(r.o);
	for (i = 0; i < COUNTS_MAX_VMS; i++)
		guest_close(&r.guests[i]);
	world_halt(r.o);
	world_destroy(r.o);
	return failed;
}
