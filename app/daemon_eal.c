/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_malloc.h>

#include "log.h"

#define EAL_ARGS 64
/** Threads of DPDK's and librte_vhost's own. */
#define THREADS_OWN 4
/** What librte_vhost allocates for a connection, and for a queue pair with rings of 1024. */
#define GUEST_BYTES (64u << 10)
#define GUEST_PAIR_BYTES (128u << 10)

/** What rte_eal_init() is given; it permutes argv and keeps pointers to the text. */
struct eal_args {
	int argc;
	char *argv[EAL_ARGS + 1];
};

/* ---- plan ---- */

static int
check_cpus(const struct conf_cpus *want, const cpu_set_t *have, const char *key, const char *file)
{
	uint32_t i;

	for (i = 0; want->how == CONF_SPREAD_CPUS && i < want->n; i++) {
		if (want->cpu[i] < CPU_SETSIZE && CPU_ISSET(want->cpu[i], have))
			continue;
		log_error("%s%s: CPU %u is none that this process may use (%d may be)", file, key,
			want->cpu[i], CPU_COUNT(have));
		return -EINVAL;
	}
	return 0;
}

int
daemon_plan(struct daemon *d)
{
	const struct conf *c = d->conf;
	const char *prefix = c->where[conf_key_find(conf_weir_keys, "workers")].source == CONF_FILE
		? "[weir] "
		: "--";
	uint32_t n_bridges;
	cpu_set_t cpus;
	int n_cpus;

	if (sched_getaffinity(0, sizeof(cpus), &cpus) != 0)
		return -errno;
	if (check_cpus(&c->workers, &cpus, "workers", prefix) != 0 ||
		check_cpus(&c->bridges, &cpus, "bridges", prefix) != 0)
		return -EINVAL;
	n_cpus = CPU_COUNT(&cpus);
	d->n_workers = c->workers.how == CONF_SPREAD_CPUS ? (uint8_t)c->workers.n : 1;
	switch (c->bridges.how) {
	case CONF_SPREAD_AUTO:
		/* A core for the control thread and librte_vhost's, the workers', and one more. */
		d->inline_bridges = n_cpus < 3 || n_cpus <= d->n_workers;
		n_bridges = d->inline_bridges ? d->n_workers : 1;
		break;
	case CONF_SPREAD_INLINE:
		d->inline_bridges = true;
		n_bridges = d->n_workers;
		break;
	default:
		n_bridges = c->bridges.n;
		break;
	}
	if (n_bridges + d->n_workers + 1 > RTE_MAX_LCORE) {
		log_error("bridges: %u bridges and %u workers are more threads than DPDK has (%u)",
			n_bridges, d->n_workers, RTE_MAX_LCORE - 1);
		return -EINVAL;
	}
	d->n_bridges = (uint8_t)n_bridges;
	return 0;
}

/* ---- arguments ---- */

static int
arg_add(struct eal_args *a, const char *text)
{
	if (a->argc == EAL_ARGS)
		return -E2BIG;
	a->argv[a->argc] = strdup(text);
	return a->argv[a->argc++] == NULL ? -ENOMEM : 0;
}

static void
args_free(struct eal_args *a, char *const *kept)
{
	int i;

	/* In the order in which they were added, for rte_eal_init() has permuted argv. */
	for (i = 0; i < a->argc; i++)
		free(kept[i]);
}

/** "lcore@(cpu,cpu-cpu)," for a thread that floats over a set. */
static int
float_on(char *text, size_t size, unsigned int lcore, const cpu_set_t *cpus)
{
	size_t used = (size_t)snprintf(text, size, "%u@(", lcore);
	int cpu, last;

	for (cpu = 0; cpu < CPU_SETSIZE && used < size; cpu = last + 1) {
		last = cpu;
		if (!CPU_ISSET(cpu, cpus))
			continue;
		while (last + 1 < CPU_SETSIZE && CPU_ISSET(last + 1, cpus))
			last++;
		used += (size_t)snprintf(text + used, size - used, "%d-%d,", cpu, last);
	}
	if (used + 2 >= size)
		return -E2BIG;
	text[used - 1] = ')';
	text[used++] = ',';
	text[used] = '\0';
	return (int)used;
}

/**
 * The lcores: 0 is the control thread, then the workers, then the bridges. Threads that float do so
 * over the CPUs that nobody is pinned to, if there are any.
 */
static int
lcores_text(struct daemon *d, char *text, size_t size)
{
	const struct conf *c = d->conf;
	const bool pinned = c->workers.how == CONF_SPREAD_CPUS;
	cpu_set_t all, rest;
	size_t used = 0;
	unsigned int i, lcore = 0;
	int len;

	if (sched_getaffinity(0, sizeof(all), &all) != 0)
		return -errno;
	rest = all;
	for (i = 0; pinned && i < c->workers.n; i++)
		CPU_CLR(c->workers.cpu[i], &rest);
	for (i = 0; c->bridges.how == CONF_SPREAD_CPUS && i < c->bridges.n; i++)
		CPU_CLR(c->bridges.cpu[i], &rest);
	if (CPU_COUNT(&rest) == 0)
		rest = all;
	len = float_on(text, size, lcore++, &rest);
	for (i = 0; len > 0 && i < d->n_workers; i++) {
		used += (size_t)len;
		d->workers[i].lcore = lcore;
		len = pinned
			? snprintf(text + used, size - used, "%u@%u,", lcore, c->workers.cpu[i])
			: float_on(text + used, size - used, lcore, &rest);
		lcore++;
	}
	for (i = 0; len > 0 && !d->inline_bridges && i < d->n_bridges; i++) {
		used += (size_t)len;
		d->bridges[i].lcore = lcore;
		len = c->bridges.how == CONF_SPREAD_CPUS
			? snprintf(text + used, size - used, "%u@%u,", lcore, c->bridges.cpu[i])
			: float_on(text + used, size - used, lcore, &rest);
		lcore++;
	}
	if (len <= 0 || used + (size_t)len >= size)
		return -E2BIG;
	text[used + (size_t)len - 1] = '\0';
	return 0;
}

/** Can this much memory be had in huge pages? Reserves it and lets go. */
static bool
hugepages_free(uint32_t memory_mb)
{
	const size_t size = (size_t)memory_mb << 20;
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);

	if (at == MAP_FAILED)
		return false;
	munmap(at, size);
	return true;
}

static int
check_memory(struct daemon *d)
{
	const struct conf *c = d->conf;
	const uint64_t host_mb =
		(uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE) >> 20;

	if (c->memory_mb > host_mb &&
		c->where[conf_key_find(conf_weir_keys, "memory")].source == CONF_UNSET) {
		log_error("max-flows: %u flows and %u workers need %u MiB, this machine has %lu "
			  "MiB: lower it",
			c->max_flows, d->n_workers, c->memory_mb, (unsigned long)host_mb);
		return -ENOMEM;
	}
	if (c->memory_mb > host_mb) {
		log_error("memory: %u MiB is more than this machine has (%lu MiB): lower it",
			c->memory_mb, (unsigned long)host_mb);
		return -ENOMEM;
	}
	if (c->hugepages != CONF_USE_OFF)
		d->hugepages = hugepages_free(c->memory_mb);
	if (c->hugepages == CONF_USE_ON && !d->hugepages) {
		log_error(
			"hugepages: %u MiB of huge pages are not free: raise vm.nr_hugepages by %u "
			"(pages of 2 MiB), or give hugepages = off",
			c->memory_mb, (c->memory_mb + 1) / 2);
		return -ENOMEM;
	}
	return 0;
}

static void *
wait_for_others(void *arg)
{
	pthread_mutex_lock(arg);
	pthread_mutex_unlock(arg);
	return NULL;
}

/** Can as many threads be made as DPDK will make? It panics where it cannot. */
static int
check_threads(const struct daemon *d)
{
	const unsigned int n = d->n_workers + d->n_bridges + THREADS_OWN;
	pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
	pthread_t *threads = calloc(n, sizeof(*threads));
	unsigned int i, made = 0;
	int ret = threads == NULL ? ENOMEM : 0;

	pthread_mutex_lock(&gate);
	while (ret == 0 && made < n) {
		ret = pthread_create(&threads[made], NULL, wait_for_others, &gate);
		made += ret == 0;
	}
	pthread_mutex_unlock(&gate);
	for (i = 0; i < made; i++)
		pthread_join(threads[i], NULL);
	free(threads);
	if (ret != 0)
		log_error("workers: %u threads cannot be made: %s: raise the limit of processes "
			  "(ulimit -u, TasksMax=), or lower workers and bridges",
			n, strerror(ret));
	return -ret;
}

/** Arguments of the key eal, separated by blanks; "..." and '...' keep them together. */
static int
args_of_user(struct eal_args *a, const char *text)
{
	char word[1024];
	int ret = 0;

	while (ret == 0 && *(text += strspn(text, " \t")) != '\0') {
		char quote = '\0';
		size_t len = 0;

		for (; *text != '\0' && (quote != '\0' || strchr(" \t", *text) == NULL); text++) {
			if (*text == quote)
				quote = '\0';
			else if (quote == '\0' && (*text == '"' || *text == '\''))
				quote = *text;
			else if (len + 1 < sizeof(word))
				word[len++] = *text;
		}
		word[len] = '\0';
		/* It would print its usage and end the process. */
		if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
			return -EINVAL;
		ret = quote != '\0' ? -EINVAL : arg_add(a, word);
	}
	return ret;
}

static int
args_make(struct daemon *d, struct eal_args *a)
{
	const struct conf *c = d->conf;
	char lcores[8192], prefix[32], memory[16];
	/* Devices named by the user are looked for on the buses; else that is left out. */
	const bool pci = strstr(c->eal, "-a ") != NULL || strstr(c->eal, "--allow") != NULL;
	const char *const fixed[] = { "weir", "--lcores", lcores, "--main-lcore", "0", "-m", memory,
		"--file-prefix", prefix, "--no-telemetry",
		d->hugepages ? "--in-memory" : "--no-huge", "--no-shconf", "--log-level",
		log_get_level() == LOG_LEVEL_DEBUG ? "debug" : "error", pci ? NULL : "--no-pci" };
	size_t i;
	int ret;

	ret = lcores_text(d, lcores, sizeof(lcores));
	snprintf(prefix, sizeof(prefix), "weir-%d", (int)getpid());
	snprintf(memory, sizeof(memory), "%u", c->memory_mb);
	for (i = 0; ret == 0 && i < RTE_DIM(fixed); i++)
		ret = fixed[i] != NULL ? arg_add(a, fixed[i]) : 0;
	if (ret == 0)
		ret = args_of_user(a, c->eal);
	return ret;
}

/* ---- start and stop ---- */

/**
 * DPDK wants a directory for run-time files. An ordinary user without $XDG_RUNTIME_DIR gets one of
 * his own, for /tmp/dpdk, DPDK's choice, may be another user's.
 */
static int
runtime_dir(struct daemon *d)
{
	const char *dir = getenv("XDG_RUNTIME_DIR");

	if (geteuid() == 0 || (dir != NULL && access(dir, W_OK | X_OK) == 0))
		return 0;
	snprintf(d->eal_dir, sizeof(d->eal_dir), "/tmp/weir-XXXXXX");
	if (mkdtemp(d->eal_dir) == NULL) {
		const int err = errno;

		d->eal_dir[0] = '\0';
		log_error("/tmp: no directory can be made for run-time files: %s: set "
			  "XDG_RUNTIME_DIR to one that can be written",
			strerror(err));
		return -err;
	}
	return 0;
}

static void
runtime_dir_remove(struct daemon *d)
{
	char path[256];

	/* rte_eal_cleanup() leaves what it made: <runtime>/dpdk/<file-prefix>. */
	rmdir(rte_eal_get_runtime_dir());
	if (d->eal_dir[0] == '\0')
		return;
	snprintf(path, sizeof(path), "%s/dpdk", d->eal_dir);
	rmdir(path);
	rmdir(d->eal_dir);
	d->eal_dir[0] = '\0';
}

/** Have what DPDK prints of itself, its usage for one, go nowhere. @return where it went before */
static int
stdout_hide(void)
{
	int before, null;

	fflush(stdout);
	before = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	if (before >= 0 && null >= 0)
		dup2(null, STDOUT_FILENO);
	if (null >= 0)
		close(null);
	return before;
}

static void
stdout_show(int before)
{
	fflush(stdout);
	if (before < 0)
		return;
	dup2(before, STDOUT_FILENO);
	close(before);
}

/** rte_eal_init() with $XDG_RUNTIME_DIR, from which it takes the directory, changed for it alone.
 */
static int
eal_init(struct daemon *d, struct eal_args *a)
{
	const char *was = getenv("XDG_RUNTIME_DIR");
	char *saved = was != NULL ? strdup(was) : NULL;
	int ret, out;

	if (d->eal_dir[0] != '\0')
		setenv("XDG_RUNTIME_DIR", d->eal_dir, 1);
	out = stdout_hide();
	ret = rte_eal_init(a->argc, a->argv);
	stdout_show(out);
	if (saved != NULL)
		setenv("XDG_RUNTIME_DIR", saved, 1);
	else
		unsetenv("XDG_RUNTIME_DIR");
	free(saved);
	if (ret >= 0)
		return 0;
	return rte_errno != 0 ? -rte_errno : -EINVAL;
}

static void
say_eal_failed(const struct daemon *d, int err)
{
	const char *last = log_dpdk_last_error(), *eal = d->conf->eal;

	log_error("DPDK does not start: %s (memory = %u, hugepages %s%s%s); more is said with "
		  "--log-level debug",
		*last != '\0' ? last : strerror(err), d->conf->memory_mb,
		d->hugepages ? "on" : "off", *eal != '\0' ? ", eal: " : "", eal);
}

int
daemon_eal_start(struct daemon *d)
{
	struct eal_args a = { 0 };
	char *kept[EAL_ARGS];
	int ret;

	ret = check_memory(d);
	if (ret == 0)
		ret = check_threads(d);
	if (ret == 0)
		ret = runtime_dir(d);
	if (ret != 0)
		return ret;
	log_take_dpdk();
	ret = args_make(d, &a);
	memcpy(kept, a.argv, sizeof(kept));
	if (ret != 0) {
		log_error("eal: the arguments cannot be used: %s", strerror(-ret));
	} else {
		ret = eal_init(d, &a);
		if (ret != 0)
			say_eal_failed(d, -ret);
	}
	args_free(&a, kept);
	d->eal_up = ret == 0;
	if (!d->eal_up)
		runtime_dir_remove(d);
	return ret;
}

void
daemon_eal_stop(struct daemon *d)
{
	if (!d->eal_up)
		return;
	rte_eal_cleanup();
	d->eal_up = false;
	runtime_dir_remove(d);
}

int
daemon_guest_room(const struct daemon *d, const struct conf *c)
{
	void **held = calloc(c->n_vms, sizeof(*held));
	int ret = held != NULL ? 0 : -ENOMEM;
	uint32_t i;

	for (i = 0; i < c->n_vms && ret == 0; i++) {
		held[i] = rte_malloc("room", GUEST_BYTES + c->vms[i]->queues * GUEST_PAIR_BYTES, 0);
		if (held[i] == NULL)
			ret = daemon_no_memory(d, "the rings of guests");
	}
	for (i = 0; held != NULL && i < c->n_vms; i++)
		rte_free(held[i]);
	free(held);
	return ret;
}

int
daemon_no_memory(const struct daemon *d, const char *what)
{
	log_error("memory: %u MiB are not enough for %s: raise memory, or lower max-flows; memory "
		  "= %u "
		  "should do for max-flows = %u and %u workers",
		d->conf->memory_mb, what, conf_memory_needed(d->conf), d->conf->max_flows,
		d->n_workers);
	return -ENOMEM;
}

int
daemon_not_made(const struct daemon *d, const char *what)
{
	if (rte_errno == ENOMEM)
		return daemon_no_memory(d, what);
	log_error("%s cannot be made: %s%s", what, strerror(rte_errno), daemon_files_advice());
	return rte_errno != 0 ? -rte_errno : -EIO;
}
