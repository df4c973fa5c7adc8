/* SPDX-License-Identifier: BSD-3-Clause */
#include "counts.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_launch.h>

#ifdef HAVE_CALLGRIND
#include <valgrind/callgrind.h>
const bool world_has_callgrind = true;
#else
const bool world_has_callgrind = false;
#define CALLGRIND_TOGGLE_COLLECT
#define CALLGRIND_START_INSTRUMENTATION
#define CALLGRIND_STOP_INSTRUMENTATION
#define CALLGRIND_ZERO_STATS
#define CALLGRIND_DUMP_STATS_AT(text) ((void)(text))
#endif

#include "clock.h"
#include "daemon.h"
#include "log.h"

/** Time of an iteration: the bridge asks its epoll set in each. */
#define ITERATION_US 10
/** l4x_timers() are called as often as the loop does. */
#define TIMERS_EVERY 200
#define LCORE 1
/** Between looks of the thread that polls while a case is set up. */
#define PAUSE_US 50

/** As descriptors; counts.py knows them, too. */
enum mark {
	MARK_ITERATION = -1, /**< begins */
	MARK_BETWEEN = -2,   /**< two iterations: those are not weir's calls */
	MARK_CASE = -3,      /**< the next one begins */
};

struct world {
	struct daemon d;
	struct conf_cli cli;
	char place[64];
	char sockets[COUNTS_MAX_VMS][96];
	unsigned int n_vms;
	uint64_t now_us, iterations;
	_Atomic bool halt;
};

static void
report(void *arg, const char *line)
{
	log_error("%s", line);
}

static struct conf *
conf_make(struct world *o, unsigned int n_workers, bool east_west)
{
	static char vm[COUNTS_MAX_VMS][160];
	char cpus[16] = "auto";
	char *argv[16 + 2 * COUNTS_MAX_VMS] = { "weir", "--bridges", "inline", "--hugepages", "off",
		"--control", "none", "--log-level", "error", "--workers", cpus,
		"--policy-east-west", east_west ? "accept" : "drop" };
	struct conf_load_params p = { .cli = &o->cli, .report = report };
	unsigned int i;
	int argc = 13;

	if (n_workers == 2)
		strcpy(cpus, "0,1");
	for (i = 0; i < o->n_vms; i++) {
		snprintf(o->sockets[i], sizeof(o->sockets[i]), "%s/%u", o->place, i);
		snprintf(vm[i], sizeof(vm[i]), "vm%u,socket=%s,loopback=gateway", i, o->sockets[i]);
		argv[argc++] = "--vm";
		argv[argc++] = vm[i];
	}
	if (conf_cli_parse(&o->cli, argc, argv, report, NULL) != 0)
		return NULL;
	return conf_load(&p);
}

struct world *
world_create(unsigned int n_vms, unsigned int n_workers, bool east_west)
{
	struct world *o = calloc(1, sizeof(*o));
	struct daemon_vm *vm;
	struct conf *conf;
	sigset_t before;
	int ret;

	if (o == NULL)
		return NULL;
	sigprocmask(SIG_SETMASK, NULL, &before);
	o->n_vms = n_vms;
	strcpy(o->place, "/tmp/weir-counts-XXXXXX");
	if (mkdtemp(o->place) == NULL)
		goto fail;
	conf = conf_make(o, n_workers, east_west);
	if (conf == NULL)
		goto fail;
	log_set_level(LOG_LEVEL_ERROR);
	daemon_init(&o->d, &o->cli, conf);
	ret = daemon_make(&o->d);
	TAILQ_FOREACH (vm, &o->d.vms, next)
		if (ret == 0)
			ret = daemon_vm_start(vm);
	o->now_us = clock_us(clock_scale_get());
	/* The daemon takes them by a descriptor; here they end the program. */
	sigprocmask(SIG_SETMASK, &before, NULL);
	if (ret == 0)
		return o;
	daemon_end(&o->d);
fail:
	rmdir(o->place);
	free(o);
	return NULL;
}

void
world_destroy(struct world *o)
{
	struct daemon_vm *vm;

	if (o == NULL)
		return;
	/* Rings are given back by a worker. */
	world_run(o);
	TAILQ_FOREACH (vm, &o->d.vms, next)
		daemon_vm_stop(vm);
	world_halt(o);
	daemon_end(&o->d);
	rmdir(o->place);
	free(o);
}

const char *
world_socket(const struct world *o, unsigned int vm)
{
	return o->sockets[vm];
}

/* ---- polled ---- */

static int
pump(void *arg)
{
	struct world *o = arg;

	while (!atomic_load(&o->halt)) {
		daemon_ports_run(&o->d);
		if (world_iterate(o, false) == 0)
			usleep(PAUSE_US);
	}
	return 0;
}

void
world_run(struct world *o)
{
	atomic_store(&o->halt, false);
	rte_eal_remote_launch(pump, o, LCORE);
}

void
world_halt(struct world *o)
{
	atomic_store(&o->halt, true);
	rte_eal_wait_lcore(LCORE);
}

/** A system call for valgrind's trace: it writes nothing, for there is no such descriptor. */
static void
mark(enum mark m)
{
	if (write(m, "", 1) >= 0)
		abort();
}

static unsigned int
iterate_all(struct world *o, bool timers)
{
	unsigned int i, done = 0;

	for (i = 0; i < o->d.n_workers; i++) {
		struct worker *w = o->d.workers[i].w;

		done += worker_iterate(w, o->now_us);
		if (timers && worker_settle(w)) {
			l4x_timers(worker_l4x(w), o->now_us);
			worker_settle(w);
		}
	}
	return done;
}

unsigned int
world_iterate(struct world *o, bool measured)
{
	const bool timers = o->iterations++ % TIMERS_EVERY == 0;
	unsigned int done;

	o->now_us += ITERATION_US;
	if (!measured)
		return iterate_all(o, timers);
	mark(MARK_ITERATION);
	CALLGRIND_TOGGLE_COLLECT;
	done = iterate_all(o, timers);
	CALLGRIND_TOGGLE_COLLECT;
	mark(MARK_BETWEEN);
	return done;
}

void
world_count_begin(void)
{
	mark(MARK_CASE);
	CALLGRIND_START_INSTRUMENTATION;
	CALLGRIND_ZERO_STATS;
}

void
world_count_end(const char *name)
{
	CALLGRIND_DUMP_STATS_AT(name);
	CALLGRIND_STOP_INSTRUMENTATION;
}

uint32_t
world_flows(const struct world *o)
{
	uint32_t n = 0;
	unsigned int i;

	for (i = 0; i < o->d.n_workers; i++)
		n += l4x_flow_count(o->d.workers[i].l4x);
	return n;
}
