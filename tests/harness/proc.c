/* SPDX-License-Identifier: BSD-3-Clause */
#include "proc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "vhu.h"

#define READY_MS 20000
#define END_MS 15000
#define ARG_MAX_BYTES 2048

const char *
proc_path(const struct proc *d, const char *name)
{
	static _Thread_local char bufs[4][128];
	static _Thread_local unsigned int next;
	char *buf = bufs[next++ % 4];

	snprintf(buf, sizeof(bufs[0]), "%s/%s", d->dir, name);
	return buf;
}

int
proc_write(const struct proc *d, const char *name, const char *text)
{
	FILE *f = fopen(proc_path(d, name), "w");

	if (f == NULL)
		return -errno;
	fputs(text, f);
	return fclose(f) == 0 ? 0 : -errno;
}

/* "%d" becomes the directory. */
static char *
expand(const struct proc *d, const char *arg)
{
	char *out = malloc(ARG_MAX_BYTES);
	size_t at = 0;

	if (out == NULL)
		return NULL;
	out[0] = '\0';
	for (; *arg != '\0' && at + sizeof(d->dir) + 2 < ARG_MAX_BYTES; arg++) {
		if (arg[0] == '%' && arg[1] == 'd') {
			at += (size_t)snprintf(out + at, ARG_MAX_BYTES - at, "%s", d->dir);
			arg++;
		} else {
			out[at++] = *arg;
			out[at] = '\0';
		}
	}
	return out;
}

static void
run_child(const struct proc *d, char *const *argv)
{
	int log = open(proc_path(d, "stderr"), O_WRONLY | O_CREAT | O_APPEND, 0600);
	int null = open("/dev/null", O_RDWR);

	/* It must not outlive a test that crashes. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	dup2(null, 0);
	dup2(log, 1);
	dup2(log, 2);
	setenv("XDG_RUNTIME_DIR", d->dir, 1);
	setenv("UBSAN_OPTIONS", "print_stacktrace=1", 0);
	execv(argv[0], argv);
	fprintf(stderr, "%s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

static bool
is_given(const char *const *args, const char *option)
{
	for (unsigned int i = 0; args != NULL && args[i] != NULL; i++)
		if (strcmp(args[i], option) == 0)
			return true;
	return false;
}

/* own: pairs of option and value; those that args give stand there. */
static int
spawn(struct proc *d, const char *const *own, const char *const *args)
{
	char *argv[PROC_MAX_ARGS + 1] = { NULL };
	unsigned int n = 0;
	int rc = 0;

	argv[n++] = getenv("WEIR_BIN");
	if (argv[0] == NULL)
		return -ENOENT;
	for (unsigned int i = 0; own[i] != NULL && n + 1 < PROC_MAX_ARGS; i += 2) {
		if (is_given(args, own[i]))
			continue;
		argv[n++] = expand(d, own[i]);
		argv[n++] = expand(d, own[i + 1]);
	}
	for (unsigned int i = 0; args != NULL && args[i] != NULL && n < PROC_MAX_ARGS; i++)
		argv[n++] = expand(d, args[i]);
	d->pid = fork();
	if (d->pid == 0)
		run_child(d, argv);
	if (d->pid < 0) {
		rc = -errno;
		d->pid = 0;
	}
	for (unsigned int i = 1; i < n; i++)
		free(argv[i]);
	return rc;
}

static struct proc *
spawn_new(const char *const *own, const char *const *args)
{
	struct proc *d = calloc(1, sizeof(*d));
	int rc;

	if (d == NULL)
		return NULL;
	strcpy(d->dir, "/tmp/weir-test-XXXXXX");
	if (mkdtemp(d->dir) == NULL) {
		free(d);
		return NULL;
	}
	rc = spawn(d, own, args);
	if (rc < 0) {
		proc_free(d);
		errno = -rc;
		return NULL;
	}
	return d;
}

struct proc *
proc_spawn(const char *const *args)
{
	static const char *const own[] = { "--control", "%d/control.sock", "--memory", "64",
		"--hugepages", "off", "--max-flows", "4096", NULL };

	return spawn_new(own, args);
}

struct proc *
proc_spawn_plain(const char *const *args)
{
	static const char *const own[] = { NULL };

	return spawn_new(own, args);
}

static char *
read_file(const char *path)
{
	size_t len = 0, room = 0;
	char *text = NULL;
	FILE *f = fopen(path, "r");

	if (f == NULL)
		return strdup("");
	do {
		char *more = realloc(text, room + 65536);

		if (more == NULL)
			break;
		text = more;
		room += 65536;
		len += fread(text + len, 1, room - len - 1, f);
		text[len] = '\0';
	} while (len == room - 1);
	fclose(f);
	return text;
}

const char *
proc_log(struct proc *d)
{
	free(d->log);
	d->log = read_file(proc_path(d, "stderr"));
	return d->log != NULL ? d->log : "";
}

bool
proc_alive(struct proc *d)
{
	if (d->pid > 0 && waitpid(d->pid, &d->status, WNOHANG) == d->pid)
		d->pid = 0;
	return d->pid > 0;
}

bool
proc_wait_end(struct proc *d, int timeout_ms)
{
	uint64_t deadline = vhu_now_ms() + (unsigned int)timeout_ms;

	while (proc_alive(d)) {
		if (vhu_now_ms() >= deadline)
			return false;
		vhu_sleep_ms(2);
	}
	return true;
}

bool
proc_wait_log(struct proc *d, const char *text, int timeout_ms)
{
	uint64_t deadline = vhu_now_ms() + (unsigned int)timeout_ms;

	while (strstr(proc_log(d), text) == NULL) {
		if (!proc_alive(d) || vhu_now_ms() >= deadline)
			return strstr(proc_log(d), text) != NULL;
		vhu_sleep_ms(5);
	}
	return true;
}

bool
proc_wait_ready(struct proc *d, int timeout_ms)
{
	return proc_wait_log(d, "weir: ready", timeout_ms);
}

struct proc *
proc_start(const char *const *args)
{
	struct proc *d = proc_spawn(args);

	if (d == NULL) {
		fprintf(stderr, "cannot start the daemon: %s\n", strerror(errno));
		return NULL;
	}
	if (!proc_wait_ready(d, READY_MS) || !proc_alive(d)) {
		fprintf(stderr, "the daemon is not ready; it said:\n%s\n", proc_log(d));
		proc_free(d);
		return NULL;
	}
	return d;
}

const char *
proc_complaint(struct proc *d)
{
	static const char *const words[] = { "ERROR: AddressSanitizer", "ERROR: LeakSanitizer",
		"runtime error:", "Sanitizer:DEADLYSIGNAL", "PANIC in", "Assertion `", NULL };
	static _Thread_local char line[256];
	const char *log = proc_log(d);

	for (unsigned int i = 0; words[i] != NULL; i++) {
		const char *at = strstr(log, words[i]);

		if (at != NULL) {
			snprintf(line, sizeof(line), "%.*s", (int)strcspn(at, "\n"), at);
			return line;
		}
	}
	return NULL;
}

static const char *
socket_left(const struct proc *d)
{
	static _Thread_local char left[320];
	const char *found = NULL;
	struct dirent *e;
	DIR *dir = opendir(d->dir);

	while (dir != NULL && (e = readdir(dir)) != NULL) {
		struct stat st;
		char path[320];

		snprintf(path, sizeof(path), "%s/%s", d->dir, e->d_name);
		if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode)) {
			snprintf(left, sizeof(left), "socket left behind: %s", e->d_name);
			found = left;
		}
	}
	if (dir != NULL)
		closedir(dir);
	return found;
}

const char *
proc_stop(struct proc *d)
{
	static _Thread_local char text[400];
	const char *bad;

	if (!proc_alive(d)) {
		snprintf(text, sizeof(text), "had ended before with status %#x", d->status);
		bad = text;
	} else {
		kill(d->pid, SIGTERM);
		bad = proc_wait_end(d, END_MS) ? NULL : "did not end after SIGTERM";
	}
	if (bad == NULL && (!WIFEXITED(d->status) || WEXITSTATUS(d->status) != 0)) {
		snprintf(text, sizeof(text), "ended with status %#x", d->status);
		bad = text;
	}
	if (proc_complaint(d) != NULL)
		bad = proc_complaint(d);
	if (bad == NULL)
		bad = socket_left(d);
	if (bad != NULL)
		fprintf(stderr, "the daemon said:\n%s\n", proc_log(d));
	return bad;
}

static void
remove_dir(const char *path)
{
	struct dirent *e;
	DIR *dir = opendir(path);

	while (dir != NULL && (e = readdir(dir)) != NULL) {
		char sub[320];

		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		snprintf(sub, sizeof(sub), "%s/%s", path, e->d_name);
		if (unlink(sub) < 0 && (errno == EISDIR || errno == EPERM))
			remove_dir(sub);
	}
	if (dir != NULL)
		closedir(dir);
	rmdir(path);
}

void
proc_free(struct proc *d)
{
	if (d == NULL)
		return;
	if (proc_alive(d)) {
		kill(d->pid, SIGKILL);
		waitpid(d->pid, &d->status, 0);
	}
	remove_dir(d->dir);
	free(d->log);
	free(d);
}

int
proc_run_program(const char *const *argv, char **output)
{
	size_t len = 0;
	int pipes[2], status = -1;
	pid_t pid;
	ssize_t n;

	*output = calloc(1, 1 << 20);
	if (*output == NULL || pipe2(pipes, O_CLOEXEC) < 0)
		return -1;
	pid = fork();
	if (pid == 0) {
		dup2(pipes[1], 1);
		dup2(pipes[1], 2);
		execvp(argv[0], (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	close(pipes[1]);
	while (pid > 0 && len < (1 << 20) - 1 &&
		(n = read(pipes[0], *output + len, (1 << 20) - 1 - len)) > 0)
		len += (size_t)n;
	close(pipes[0]);
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return -1;
	return WEXITSTATUS(status);
}

static char *
ctl(struct proc *d, int *status, const char *const *args, bool json)
{
	const char *argv[PROC_MAX_ARGS + 1] = { getenv("WEIRCTL_BIN"), "--control",
		proc_path(d, "control.sock") };
	unsigned int n = 3;
	char *output;
	int rc;

	if (argv[0] == NULL)
		return NULL;
	if (json)
		argv[n++] = "--json";
	for (unsigned int i = 0; args[i] != NULL && n < PROC_MAX_ARGS; i++)
		argv[n++] = args[i];
	rc = proc_run_program(argv, &output);
	if (status != NULL)
		*status = rc;
	return output;
}

json_t *
proc_ctl(struct proc *d, int *status, const char *const *args)
{
	char *text = ctl(d, status, args, true);
	json_t *json = text != NULL ? json_loads(text, JSON_DECODE_ANY, NULL) : NULL;

	if (json == NULL && text != NULL)
		fprintf(stderr, "weirctl said: %s\n", text);
	free(text);
	return json;
}

char *
proc_ctl_text(struct proc *d, int *status, const char *const *args)
{
	return ctl(d, status, args, false);
}

unsigned long
proc_cpu_ms(const struct proc *d)
{
	unsigned long user = 0, sys = 0;
	char path[64], *text, *p;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)d->pid);
	text = read_file(path);
	/* utime and stime are fields 14 and 15; the name (field 2) may hold anything up to ')'. */
	p = text != NULL ? strrchr(text, ')') : NULL;
	if (p != NULL)
		sscanf(p + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &sys);
	free(text);
	return (user + sys) * 1000 / (unsigned long)sysconf(_SC_CLK_TCK);
}

int
proc_open_fds(const struct proc *d)
{
	char path[64];
	int n = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)d->pid);
	dir = opendir(path);
	if (dir == NULL)
		return -1;
	while (readdir(dir) != NULL)
		n++;
	closedir(dir);
	return n - 2;
}
