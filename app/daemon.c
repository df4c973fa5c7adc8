/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "control.h"
#include "daemon_note.h"
#include "log.h"
#include "sdnotify.h"

uint64_t
daemon_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static int
make_secret(struct daemon *d)
{
	const ssize_t n = getrandom(d->secret, sizeof(d->secret), 0);

	if (n == (ssize_t)sizeof(d->secret))
		return 0;
	log_error("no random numbers can be had: %s", strerror(n < 0 ? errno : EIO));
	return -EIO;
}

/* ---- signals ---- */

/** Blocked before any thread is made, so that they reach the signalfd only. */
static int
signals_take(struct daemon *d)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
		return -errno;
	d->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	return d->signal_fd < 0 ? -errno : 0;
}

/** @return true: stop */
static bool
signals_handle(struct daemon *d)
{
	struct signalfd_siginfo info;
	bool reload = false;

	while (read(d->signal_fd, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo != SIGHUP)
			return true;
		reload = true;
	}
	if (reload)
		daemon_reload(d);
	return false;
}

static void
notes_handle(struct daemon *d)
{
	char text[DAEMON_NOTE_TEXT];
	struct daemon_vm *vm;
	uint16_t pif;

	while (daemon_note_take(d->note_pipe[0], &pif, text)) {
		vm = pif < L4X_MAX_PIFS ? d->by_pif[pif] : NULL;
		if (vm == NULL)
			continue;
		log_info("vm %s: %s", vm->conf.name, text);
		daemon_vm_check_node(vm);
	}
}

/** Messages of guests' front-ends are to be passed on. */
void
daemon_ports_run(struct daemon *d)
{
	struct epoll_event ev[32];
	const int n = epoll_wait(d->ports_fd, ev, RTE_DIM(ev), 0);
	int i;

	for (i = 0; i < n; i++)
		vport_run(ev[i].data.ptr);
}

/* ---- start ---- */

static int
start_control(struct daemon *d)
{
	const struct conf *c = d->conf;
	struct control_params p = {
		.path = c->control,
		.group = c->control_group,
		.command = daemon_command,
		.arg = d,
	};
	char path[CONTROL_PATH_MAX], err[256];

	if (strcmp(c->control, "none") == 0)
		return 0;
	if (c->control[0] == '\0') {
		if (control_path_server(path, sizeof(path)) != 0) {
			log_error("control: there is no place for the socket: /run/weir cannot be "
				  "written and XDG_RUNTIME_DIR is not set: give --control PATH, or "
				  "--control none");
			return -ENOENT;
		}
		p.path = path;
		p.make_dir = true;
	}
	d->control = control_create(&p, err, sizeof(err));
	if (d->control != NULL)
		return 0;
	log_error("control: %s%s", err, daemon_files_advice());
	return -EIO;
}

static int
prepare(struct daemon *d)
{
	int ret;

	ret = signals_take(d);
	if (ret == 0)
		ret = daemon_note_open(d->note_pipe);
	d->ports_fd = epoll_create1(EPOLL_CLOEXEC);
	if (ret == 0 && d->ports_fd < 0)
		ret = -errno;
	if (ret != 0) {
		log_error("cannot start: %s", strerror(-ret));
		return ret;
	}
	ret = daemon_plan(d);
	if (ret != 0)
		return ret;
	d->workers =
		aligned_alloc(RTE_CACHE_LINE_SIZE, d->n_workers * sizeof(struct daemon_worker));
	d->bridges =
		aligned_alloc(RTE_CACHE_LINE_SIZE, d->n_bridges * sizeof(struct daemon_bridge));
	if (d->workers == NULL || d->bridges == NULL) {
		log_error("out of memory");
		return -ENOMEM;
	}
	memset(d->workers, 0, d->n_workers * sizeof(struct daemon_worker));
	memset(d->bridges, 0, d->n_bridges * sizeof(struct daemon_bridge));
	ret = daemon_permit_check(d, d->conf);
	if (ret == 0)
		ret = make_secret(d);
	return ret;
}

static int
make_vms(struct daemon *d)
{
	int ret = 0;
	uint32_t i;

	for (i = 0; i < d->conf->n_vms; i++)
		if (daemon_vm_create(d, d->conf->vms[i]) == NULL)
			return -EIO;
	d->rules = daemon_rules_make(d, d->conf);
	if (d->rules == NULL)
		return -EIO;
	daemon_zones_set(d, d->conf);
	ret = daemon_rules_set(d, d->rules, d->conf);
	if (ret == 0)
		ret = daemon_guest_room(d, d->conf);
	return ret;
}

int
daemon_make(struct daemon *d)
{
	int ret = prepare(d);

	if (ret == 0)
		ret = daemon_eal_start(d);
	if (ret == 0 && (ret = vport_sigbus_install()) != 0)
		log_error("SIGBUS cannot be handled: %s", strerror(-ret));
	if (ret == 0)
		ret = daemon_permit_probe(d);
	if (ret == 0)
		ret = daemon_threads_create(d);
	/* Before the VMs, for it shows at once whether another weir is there. */
	if (ret == 0)
		ret = start_control(d);
	if (ret == 0)
		ret = make_vms(d);
	return ret;
}

/** Have it run. */
static int
start(struct daemon *d)
{
	int ret = daemon_threads_start(d);
	struct daemon_vm *vm;

	TAILQ_FOREACH (vm, &d->vms, next)
		if (ret == 0)
			ret = daemon_vm_start(vm);
	return ret;
}

/* ---- stop ---- */

void
daemon_end(struct daemon *d)
{
	struct daemon_vm *vm;
	unsigned int pif;

	sdnotify("STOPPING=1");
	if (d->workers != NULL && d->workers[0].running)
		daemon_flows_close(d);
	TAILQ_FOREACH (vm, &d->vms, next)
		daemon_vm_stop(vm);
	control_destroy(d->control);
	if (d->workers != NULL && d->bridges != NULL) {
		daemon_threads_stop(d);
		daemon_threads_destroy(d);
		daemon_rules_free(d, d->rules);
	}
	for (pif = 0; pif < L4X_MAX_PIFS; pif++)
		if (d->by_pif[pif] != NULL)
			daemon_vm_destroy(d->by_pif[pif]);
	daemon_eal_stop(d);
	free(d->workers);
	free(d->bridges);
	if (d->signal_fd >= 0)
		close(d->signal_fd);
	if (d->ports_fd >= 0)
		close(d->ports_fd);
	if (d->note_pipe[0] >= 0) {
		close(d->note_pipe[0]);
		close(d->note_pipe[1]);
	}
	conf_destroy(d->conf);
}

static void
serve(struct daemon *d)
{
	struct pollfd fds[3 + CONTROL_MAX_FDS];
	bool end = false;

	limits_init(&d->limits, daemon_now_ms());
	while (!end && !d->failed) {
		const uint64_t now_ms = daemon_now_ms();
		const int look = daemon_watch(d, now_ms);
		unsigned int n = 3;
		int timeout;

		fds[0] = (struct pollfd){ .fd = d->signal_fd, .events = POLLIN };
		fds[1] = (struct pollfd){ .fd = d->note_pipe[0], .events = POLLIN };
		fds[2] = (struct pollfd){ .fd = d->ports_fd, .events = POLLIN };
		n += control_fds(d->control, fds + n);
		timeout = control_timeout_ms(d->control, now_ms);
		timeout = timeout < 0 ? look : RTE_MIN(timeout, look);
		if (poll(fds, n, timeout) < 0 && errno != EINTR) {
			log_error("poll: %s", strerror(errno));
			return;
		}
		if (fds[2].revents != 0)
			daemon_ports_run(d);
		if (fds[1].revents != 0)
			notes_handle(d);
		if (fds[0].revents != 0)
			end = signals_handle(d);
		control_run(d->control, fds + 3, n - 3, daemon_now_ms());
	}
}

void
daemon_init(struct daemon *d, const struct conf_cli *cli, struct conf *conf)
{
	*d = (struct daemon){
		.cli = cli,
		.conf = conf,
		.signal_fd = -1,
		.ports_fd = -1,
		.note_pipe = { -1, -1 },
		.started_ms = daemon_now_ms(),
	};
	TAILQ_INIT(&d->vms);
}

int
daemon_run(const struct conf_cli *cli, struct conf *conf)
{
	struct daemon d;
	int ret;

	daemon_init(&d, cli, conf);
	log_set_level((enum log_level)conf->log_level);
	prctl(PR_SET_NAME, "weir");
	ret = daemon_make(&d);
	if (ret == 0)
		ret = start(&d);
	if (ret == 0) {
		daemon_permit_say(&d);
		/* The one line that scripts wait for, whatever the log level is. */
		log_plain("weir: ready\n");
		sdnotify("READY=1");
		serve(&d);
		log_info("stopping");
	}
	daemon_end(&d);
	return ret == 0 && !d.failed ? 0 : DAEMON_EXIT_FAILED;
}
