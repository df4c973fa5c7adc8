/* SPDX-License-Identifier: BSD-3-Clause */
#include "test_daemon_util.h"

#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

const char *weir, *weirctl;
char dir[] = "/tmp/test_daemon_XXXXXX";
char out[OUT_MAX];
size_t out_len;

struct process process;
rlim_t max_files, max_threads;
bool no_stdio;

void
start_as(uid_t uid, const char *const *args)
{
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	process.pid = fork();
	assert_true(process.pid >= 0);
	if (process.pid == 0) {
		dup2(fds[1], 1);
		dup2(fds[1], 2);
		close(fds[0]);
		close(fds[1]);
		if (max_files != 0)
			setrlimit(RLIMIT_NOFILE, &(const struct rlimit){ max_files, max_files });
		if (max_threads != 0)
			setrlimit(RLIMIT_NPROC, &(const struct rlimit){ max_threads, max_threads });
		if (chdir(dir) != 0 || (uid != 0 && (setgid(uid) != 0 || setuid(uid) != 0)))
			_exit(100);
		if (no_stdio)
			close_range(0, 2, 0);
		execv(args[0], (char *const *)(uintptr_t)args);
		_exit(101);
	}
	close(fds[1]);
	process.fd = fds[0];
	out_len = 0;
	out[0] = '\0';
}

static uint64_t
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/** Read what the process says until text is among it, or (NULL) until it has closed its end. */
bool
read_until(const char *text)
{
	const uint64_t until = now_ms() + WAIT_MS;
	ssize_t n;

	while (text == NULL || strstr(out, text) == NULL) {
		struct pollfd p = { .fd = process.fd, .events = POLLIN };
		const uint64_t now = now_ms();

		if (now >= until || poll(&p, 1, (int)(until - now)) <= 0)
			return false;
		n = read(process.fd, out + out_len, sizeof(out) - 1 - out_len);
		if (n <= 0)
			return text == NULL;
		out_len += (size_t)n;
		out[out_len] = '\0';
	}
	return true;
}

int
end(void)
{
	int status;
	const bool over = read_until(NULL);

	if (!over)
		kill(process.pid, SIGKILL);
	assert_int_equal(waitpid(process.pid, &status, 0), process.pid);
	close(process.fd);
	process.pid = 0;
	assert_true(over);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

void
expect(const char *text)
{
	if (!read_until(text)) {
		print_error("said: %s\n", out);
		fail_msg("never said: %s", text);
	}
}

/** One line of it is an error, and has all of these texts. */
void
expect_one_error(const char *a, const char *b)
{
	const char *error = strstr(out, "weir: error: ");
	char line[1024];

	if (error == NULL) {
		print_error("said: %s\n", out);
		fail_msg("no error");
		return;
	}
	snprintf(line, sizeof(line), "%.*s", (int)strcspn(error, "\n"), error);
	if (strstr(line, a) == NULL || strstr(line, b) == NULL ||
		strstr(error + 1, "weir: error: ") != NULL) {
		print_error("said: %s\n", out);
		fail_msg("not one error with \"%s\" and \"%s\"", a, b);
	}
	assert_null(strstr(out, "weir: ready"));
}

bool
there(const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return access(path, F_OK) == 0;
}

void
put(const char *name, const char *text)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

/** A TCP port of 127.0.0.1 that somebody listens on; *fd is his. */
uint16_t
busy_port(int *fd)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sin);

	*fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(*fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
	assert_int_equal(listen(*fd, 1), 0);
	assert_int_equal(getsockname(*fd, (struct sockaddr *)&sin, &len), 0);
	return ntohs(sin.sin_port);
}

bool
port_open(uint16_t port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons(port) };
	const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const bool open = connect(fd, (struct sockaddr *)&sin, sizeof(sin)) == 0;

	close(fd);
	return open;
}

int
ctl(const char *a, const char *b, const char *c)
{
	return ctl_words((const char *const[]){ a, b, c, NULL });
}

int
ctl_words(const char *const *words)
{
	const struct process daemon = process;
	const char *args[16] = { weirctl, "--control", "c" };
	unsigned int n = 3;
	int status;

	for (; *words != NULL; words++) {
		assert_true(n < sizeof(args) / sizeof(args[0]) - 1);
		args[n++] = *words;
	}
	start_as(0, args);
	status = end();
	process = daemon;
	return status;
}

/** To become somebody else. */
void
need_root(void)
{
	if (geteuid() == 0)
		return;
	print_message("not root\n");
	skip();
}

static int
make_dir(void **state)
{
	return mkdtemp(dir) == NULL ? -1 : 0;
}

static int
remove_dir(void **state)
{
	static const char *const names[] = { "bad.conf", "file", "weir.conf" };
	char path[256];
	unsigned int i;

	for (i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		unlink(path);
	}
	return rmdir(dir);
}

int
stop_process(void **state)
{
	if (process.pid > 0) {
		kill(process.pid, SIGKILL);
		waitpid(process.pid, NULL, 0);
		close(process.fd);
		process.pid = 0;
	}
	return 0;
}

int
daemon_tests(int argc, char **argv, const struct CMUnitTest *tests, size_t n)
{
	if (argc != 3) {
		fprintf(stderr, "usage: %s WEIR WEIRCTL\n", argv[0]);
		return 2;
	}
	/* The processes run in a directory of their own. */
	weir = realpath(argv[1], NULL);
	weirctl = realpath(argv[2], NULL);
	if (weir == NULL || weirctl == NULL) {
		perror(argv[0]);
		return 2;
	}
	return _cmocka_run_group_tests("tests", tests, n, make_dir, remove_dir);
}
