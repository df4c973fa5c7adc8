/* SPDX-License-Identifier: BSD-3-Clause */
/* What the process may do: open files, marks, ping sockets, io_uring. */
#include "daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "log.h"

/** File descriptors beside those of bridges, VMs, forwards and flows. */
#define FILES_OWN 256
/** Of a VM: socket, connection, the pair behind it, an epoll set, regions of memory. */
#define FILES_VM 16

static uint64_t
files_wanted(const struct daemon *d, const struct conf *c)
{
	uint64_t wanted = FILES_OWN + d->n_bridges * BRIDGE_OWN_FILES;
	uint32_t i;

	for (i = 0; i < c->n_vms; i++)
		wanted += daemon_listen_count(d, c->vms[i]) + FILES_VM + 8 * c->vms[i]->queues;
	return wanted;
}

static uint64_t
files_wanted_flows(const struct daemon *d, const struct conf *c)
{
	return files_wanted(d, c) + (uint64_t)c->max_flows * d->n_workers;
}

/** Most files that a process can have, whoever it is. */
static uint64_t
nr_open(void)
{
	FILE *f = fopen("/proc/sys/fs/nr_open", "re");
	unsigned long n = 0;

	if (f != NULL && fscanf(f, "%lu", &n) != 1)
		n = 0;
	if (f != NULL)
		fclose(f);
	return n != 0 ? n : UINT64_MAX;
}

/** As many as can be had: up to the hard limit, and beyond where that is permitted (as root). */
static int
raise_files(struct daemon *d, const struct conf *c)
{
	const uint64_t wanted = files_wanted(d, c);
	const uint64_t wanted_flows = RTE_MIN(files_wanted_flows(d, c), nr_open());
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return -errno;
	d->max_files = limit.rlim_max;
	if (limit.rlim_max < wanted_flows) {
		const struct rlimit more = { wanted_flows, wanted_flows };

		if (setrlimit(RLIMIT_NOFILE, &more) == 0)
			d->max_files = more.rlim_max;
	}
	limit.rlim_cur = limit.rlim_max = d->max_files;
	if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
		return -errno;
	if (d->max_files >= wanted)
		return 0;
	log_error("the forwards and VMs need %lu open files, %lu are allowed: raise the hard limit "
		  "(ulimit -Hn, LimitNOFILE=), or forward less ports",
		(unsigned long)wanted, (unsigned long)d->max_files);
	return -EMFILE;
}

const char *
daemon_files_advice(void)
{
	const int fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);

	if (fd < 0)
		return errno == EMFILE ? ": there are too many open files: raise the limit (ulimit "
					 "-Hn, LimitNOFILE=)"
				       : "";
	close(fd);
	return "";
}

/** SO_MARK is for those with CAP_NET_ADMIN. */
static int
check_mark(int fd, uint32_t mark, const struct conf_place *place)
{
	char where[CONF_ERROR_LEN / 2];
	int ret;

	if (mark == 0 || setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) == 0)
		return 0;
	ret = -errno;
	log_error("%s: marks cannot be set: %s: give weir CAP_NET_ADMIN, or leave mark out",
		conf_place_format(place, where, sizeof(where)), strerror(-ret));
	return ret;
}

static int
check_marks(const struct conf *c)
{
	const int vm_key = conf_key_find(conf_vm_keys, "mark");
	const int rule_key = conf_key_find(conf_rule_keys, "mark");
	const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int ret = 0;
	uint32_t i;

	for (i = 0; fd >= 0 && i < c->n_vms && ret == 0; i++) {
		const struct conf_vm *vm = c->vms[i];
		const struct conf_place p = { c->file, "vm", vm->name, "mark", vm->where[vm_key] };

		ret = check_mark(fd, vm->mark, &p);
	}
	for (i = 0; fd >= 0 && i < c->n_rules && ret == 0; i++) {
		const struct conf_rule *r = c->rules[i];
		const struct conf_place p = { c->file, "rule", r->name, "mark",
			r->where[rule_key] };

		/* Between guests there is no socket. */
		if (r->directions & ~RULES_EAST_WEST)
			ret = check_mark(fd, r->mark, &p);
	}
	if (fd >= 0)
		close(fd);
	return ret;
}

int
daemon_permit_check(struct daemon *d, const struct conf *c)
{
	const int ret = raise_files(d, c);

	return ret != 0 ? ret : check_marks(c);
}

int
daemon_permit_probe(struct daemon *d)
{
	d->peek_off = bridge_probe_peek_off();
	d->uring = bridge_probe_uring();
	d->ping4 = bridge_probe_ping(false);
	d->ping6 = bridge_probe_ping(true);
	if (d->uring == 0 || d->conf->io_uring != CONF_USE_ON)
		return 0;
	log_error("io-uring: it is not to be had: %s: permit it (sysctl kernel.io_uring_disabled, "
		  "seccomp; Linux 5.19), or give io-uring = off",
		strerror(-d->uring));
	return d->uring;
}

void
daemon_permit_say(const struct daemon *d)
{
	if (d->max_files < files_wanted_flows(d, d->conf))
		log_warning("%lu files can be open, max-flows can need %lu: connections beyond are "
			    "refused; raise the hard limit (ulimit -Hn, LimitNOFILE=)",
			(unsigned long)d->max_files, (unsigned long)files_wanted_flows(d, d->conf));
	if (!d->peek_off)
		log_info("this kernel has no SO_PEEK_OFF for TCP in both families (later ones "
			 "than Linux 6.9 have): data for guests is read in a slower way");
	if (d->uring != 0 && d->conf->io_uring == CONF_USE_AUTO)
		log_info("io_uring is not to be had: %s: socket calls are made one by one",
			strerror(-d->uring));
	if (d->ping4 == -EACCES || d->ping4 == -EPERM)
		log_warning("ping sockets are not permitted: guests' pings go unanswered; to allow "
			    "them: sysctl net.ipv4.ping_group_range=\"%u %u\"",
			getegid(), getegid());
	else if (d->ping4 != 0)
		log_warning("ping sockets cannot be made: %s: guests' pings go unanswered",
			strerror(-d->ping4));
	else if (d->ping6 != 0 && d->ping6 != -EAFNOSUPPORT)
		log_warning("ping sockets of IPv6 cannot be made: %s: guests' IPv6 pings go "
			    "unanswered",
			strerror(-d->ping6));
}
