/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The daemon as a process: what it says when it cannot start, that it leaves nothing behind, and
 * its life: ready, reload, rollback, end. argv: the binaries weir and weirctl.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdbool.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define ARGS 24
/** Under sanitizers, on a machine that does other things, too. */
#define WAIT_MS 30000

static const char *weir, *weirctl;
static char dir[] = "/tmp/test_daemon_XXXXXX";
static char out[32768]; /**< standard error of the daemon, both of weirctl */
static size_t out_len;

static struct process {
	pid_t pid;
	int fd;
} process;
/** Hard limits of open files and of threads of processes to come; 0: as they are. */
static rlim_t max_files, max_threads;
/** They begin without standard input, output and error. */
static bool no_stdio;

static void
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

#define START(...) start_as(0, (const char *const[]){ weir, __VA_ARGS__, NULL })

static uint64_t
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/** Read what the process says until text is among it, or (NULL) until it has closed its end. */
static bool
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

static int
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

static void
expect(const char *text)
{
	if (!read_until(text)) {
		print_error("said: %s\n", out);
		fail_msg("never said: %s", text);
	}
}

/** One line of it is an error, and has all of these texts. */
static void
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

static bool
there(const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return access(path, F_OK) == 0;
}

static void
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
static uint16_t
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

static bool
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

static int
ctl(const char *a, const char *b, const char *c)
{
	const struct process daemon = process;
	const char *const args[] = { weirctl, "--control", "c", a, b, c, NULL };
	int status;

	start_as(0, args);
	status = end();
	process = daemon;
	return status;
}

/** To become somebody else. */
static void
need_root(void)
{
	if (geteuid() == 0)
		return;
	print_message("not root\n");
	skip();
}

#define COMMON "--hugepages", "off", "--memory", "128", "--max-flows", "4096", "--control", "c"

#define A "[vm.a]\nsocket = a.sock\n"

/* ---- cannot start ---- */

static void
without_configuration_it_says_what_to_type(void **state)
{
	start_as(0, (const char *const[]){ weir, NULL });
	assert_int_equal(end(), 2);
	assert_non_null(strstr(out, "weir --vm web,socket=/tmp/web.sock"));
}

static void
help_and_version_go_to_standard_output_and_succeed(void **state)
{
	START("--help");
	assert_int_equal(end(), 0);
	assert_non_null(strstr(out, "--max-flows N"));
	START("--version");
	assert_int_equal(end(), 0);
	assert_int_equal(strncmp(out, "weir 0", 6), 0);
}

static void
a_wrong_file_is_told_with_all_its_errors(void **state)
{
	put("bad.conf", "[weir]\nmemory = lots\n[vm.a]\nsocket = a.sock\nmtu = 70000\n");
	START("-c", "bad.conf");
	assert_int_equal(end(), 2);
	assert_non_null(
		strstr(out, "weir: error: bad.conf:2: [weir] memory: \"lots\" is not a number\n"));
	assert_non_null(strstr(
		out, "weir: error: bad.conf:5: [vm.a] mtu: 70000 is not between 68 and 65520\n"));
	START("-c", "bad.conf", "--check");
	assert_int_equal(end(), 2);
	put("bad.conf", "[vm.a]\nsocket = a.sock\n");
	START("-c", "bad.conf", "--check");
	assert_int_equal(end(), 0);
	assert_false(there("a.sock"));
}

static void
a_file_in_the_sockets_place_is_named_and_kept(void **state)
{
	put("file", "precious");
	START("--vm", "b,socket=b.sock", "--vm", "a,socket=file", COMMON);
	assert_int_equal(end(), 1);
	expect_one_error("--vm a: socket", "file");
	assert_true(there("file"));
	assert_false(there("b.sock"));
	assert_false(there("c"));
}

static void
a_directory_that_is_not_there_is_named(void **state)
{
	START("--vm", "a,socket=nowhere/a.sock", COMMON);
	assert_int_equal(end(), 1);
	expect_one_error("--vm a: socket", "nowhere");
	assert_false(there("c"));
}

static void
a_port_in_use_is_named_and_nothing_is_left(void **state)
{
	char option[128], text[32];
	int fd;

	snprintf(text, sizeof(text), "127.0.0.1:%u", busy_port(&fd));
	snprintf(option, sizeof(option), "a,socket=a.sock,tcp=%s:80", text);
	START("--vm", "b,socket=b.sock", "--vm", option, COMMON);
	assert_int_equal(end(), 1);
	expect_one_error("--vm a: tcp", text);
	assert_false(there("a.sock"));
	assert_false(there("b.sock"));
	assert_false(there("c"));
	close(fd);
}

static void
too_little_memory_names_the_key_to_raise(void **state)
{
	START("--vm", "a,socket=a.sock", "--hugepages", "off", "--memory", "16", "--max-flows",
		"1000000", "--control", "c");
	assert_int_equal(end(), 1);
	expect_one_error("memory: 16 MiB", "raise memory, or lower max-flows");
	assert_false(there("a.sock"));
}

static void
more_memory_than_there_is_is_an_error(void **state)
{
	START("--vm", "a,socket=a.sock", "--memory", "1048576", "--control", "c");
	assert_int_equal(end(), 1);
	expect_one_error("memory: 1048576 MiB", "more than this machine has");
}

static void
a_cpu_that_is_not_there_is_an_error(void **state)
{
	START("--vm", "a,socket=a.sock", "--workers", "999", "--control", "c");
	assert_int_equal(end(), 1);
	expect_one_error("--workers: CPU 999", "may use");
}

static void
bad_eal_arguments_are_an_error(void **state)
{
	START("--vm", "a,socket=a.sock", "--eal", "--no-such-option", COMMON);
	assert_int_equal(end(), 1);
	expect_one_error("DPDK does not start", "--no-such-option");
	START("--vm", "a,socket=a.sock", "--eal", "--vdev 'net_null0", COMMON);
	assert_int_equal(end(), 1);
	expect_one_error("eal", "cannot be used");
}

static void
threads_that_cannot_be_made_are_an_error(void **state)
{
	need_root();
	assert_int_equal(chmod(dir, 0777), 0);
	max_threads = 1;
	start_as(65534, (const char *const[]){ weir, "--vm", "a,socket=a.sock", COMMON, NULL });
	max_threads = 0;
	assert_int_equal(end(), 1);
	expect_one_error("threads cannot be made", "TasksMax=");
	assert_int_equal(chmod(dir, 0700), 0);
}

static void
a_port_of_dpdk_that_is_not_there_is_named(void **state)
{
	START("--vm", "a,port=net_nothing7", COMMON);
	assert_int_equal(end(), 1);
	expect_one_error("--vm a: port", "net_nothing7");
}

static void
the_control_socket_of_another_weir_is_left_alone(void **state)
{
	struct process first;

	START("--vm", "a,socket=a.sock", COMMON);
	expect("weir: ready");
	first = process;
	START("--vm", "b,socket=b.sock", COMMON);
	assert_int_equal(end(), 1);
	expect_one_error("control: c", "another weir");
	assert_false(there("b.sock"));
	process = first;
	assert_int_equal(ctl("ping", NULL, NULL), 0);
	START("--vm", "b,socket=a.sock", "--hugepages", "off", "--control", "c2");
	assert_int_equal(end(), 1);
	expect_one_error("--vm b: socket", "a.sock");
	assert_true(there("a.sock"));
	process = first;
	kill(process.pid, SIGTERM);
	assert_int_equal(end(), 0);
	assert_false(there("a.sock"));
	assert_false(there("c"));
}

/* ---- its life ---- */

static void
stale_sockets_are_replaced(void **state)
{
	const char *names[] = { "a.sock", "c" };
	unsigned int i;

	for (i = 0; i < 2; i++) {
		struct sockaddr_un sun = { .sun_family = AF_UNIX };
		const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

		snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/%s", dir, names[i]);
		assert_int_equal(bind(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
		close(fd);
	}
	START("--vm", "a,socket=a.sock", COMMON);
	expect("weir: ready");
	kill(process.pid, SIGINT);
	assert_int_equal(end(), 0);
	assert_false(there("a.sock"));
	assert_false(there("c"));
}

static void
the_service_manager_is_told(void **state)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	char path[128], text[64] = "";

	snprintf(path, sizeof(path), "%s/notify", dir);
	strcpy(sun.sun_path, path);
	assert_int_equal(bind(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	setenv("NOTIFY_SOCKET", path, 1);
	START("--vm", "a,socket=a.sock", COMMON);
	unsetenv("NOTIFY_SOCKET");
	expect("weir: ready");
	assert_true(recv(fd, text, sizeof(text) - 1, 0) > 0);
	assert_string_equal(text, "READY=1");
	kill(process.pid, SIGTERM);
	assert_int_equal(end(), 0);
	memset(text, 0, sizeof(text));
	assert_true(recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT) > 0);
	assert_string_equal(text, "STOPPING=1");
	close(fd);
	unlink(path);
}

/** It answers: what was asked of it before, by signals, is done. */
static void
answers(void)
{
	static const char ping[] = "{\"cmd\":\"ping\"}\n";
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct pollfd p = { .fd = fd, .events = POLLIN };

	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/c", dir);
	assert_int_equal(connect(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	assert_int_equal(write(fd, ping, sizeof(ping) - 1), sizeof(ping) - 1);
	assert_int_equal(poll(&p, 1, WAIT_MS), 1);
	close(fd);
}

/** So many reloads of a file that is wrong, a kilobyte of errors each. */
static void
reload_wrongly(unsigned int times)
{
	char text[512] = A;
	unsigned int i;

	for (i = 0; i < 18; i++)
		strcat(text, "no-such-key = nothing\n");
	put("weir.conf", text);
	for (i = 0; i < times; i++) {
		/* Signals that wait together are one. */
		kill(process.pid, SIGHUP);
		answers();
	}
}

static void
a_log_that_nobody_reads_holds_nothing_up(void **state)
{
	int status;

	put("weir.conf", A);
	START("-c", "weir.conf", COMMON);
	expect("weir: ready");
	assert_true(fcntl(process.fd, F_SETPIPE_SZ, 16384) > 0);
	reload_wrongly(50);
	expect("reload: nothing was changed");
	while (poll(&(struct pollfd){ .fd = process.fd, .events = POLLIN }, 1, 0) == 1)
		assert_true(read(process.fd, out, sizeof(out)) > 0);
	reload_wrongly(1);
	out_len = 0;
	expect("lines of the log were lost");
	reload_wrongly(50);
	kill(process.pid, SIGTERM);
	assert_int_equal(waitpid(process.pid, &status, 0), process.pid);
	close(process.fd);
	process.pid = 0;
	assert_int_equal(status, 0);
}

static void
a_service_manager_that_does_not_read_holds_nothing_up(void **state)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/notify", dir);
	assert_int_equal(bind(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	setenv("NOTIFY_SOCKET", sun.sun_path, 1);
	put("weir.conf", A);
	START("-c", "weir.conf", COMMON);
	unsetenv("NOTIFY_SOCKET");
	expect("weir: ready");
	/* Each is two messages; the kernel keeps net.unix.max_dgram_qlen (512 with systemd). */
	reload_wrongly(300);
	kill(process.pid, SIGTERM);
	assert_int_equal(end(), 0);
	close(fd);
	unlink(sun.sun_path);
}

static void
files_opened_are_never_standard_error(void **state)
{
	char path[64], target[64];
	unsigned int i;

	no_stdio = true;
	START("--vm", "a,socket=a.sock", COMMON);
	no_stdio = false;
	for (i = 0; i < WAIT_MS / 10 && !there("a.sock"); i++)
		usleep(10000);
	answers();
	for (i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "/proc/%d/fd/%u", (int)process.pid, i);
		memset(target, 0, sizeof(target));
		assert_true(readlink(path, target, sizeof(target) - 1) > 0);
		assert_string_equal(target, "/dev/null");
	}
	kill(process.pid, SIGTERM);
	assert_int_equal(end(), 0);
}

static void
an_ordinary_user_can_run_it(void **state)
{
	need_root();
	unsetenv("XDG_RUNTIME_DIR");
	assert_int_equal(chmod(dir, 0777), 0);
	start_as(65534, (const char *const[]){ weir, "--vm", "a,socket=a.sock", COMMON, NULL });
	expect("weir: ready");
	kill(process.pid, SIGTERM);
	assert_int_equal(end(), 0);
	assert_false(there("a.sock"));
	start_as(65534,
		(const char *const[]){
			weir, "--vm", "a,socket=a.sock", "--hugepages", "off", NULL });
	assert_int_equal(end(), 1);
	expect_one_error("control: ", "XDG_RUNTIME_DIR");
	start_as(65534,
		(const char *const[]){ weir, "--vm", "a,socket=a.sock,mark=5", COMMON, NULL });
	assert_int_equal(end(), 1);
	expect_one_error("--vm a: mark", "CAP_NET_ADMIN");
	assert_int_equal(chmod(dir, 0700), 0);
}

static void
a_reload_of_what_it_may_not_do_changes_nothing(void **state)
{
	need_root();
	assert_int_equal(chmod(dir, 0777), 0);
	put("weir.conf", A);
	max_files = 500;
	start_as(65534, (const char *const[]){ weir, "-c", "weir.conf", COMMON, NULL });
	max_files = 0;
	expect("weir: ready");
	put("weir.conf", A "mark = 5\n[vm.b]\nsocket = b.sock\n");
	kill(process.pid, SIGHUP);
	expect("weir.conf:3: [vm.a] mark: marks cannot be set");
	expect("reload: nothing was changed");
	put("weir.conf", A "tcp = 20000-20999\n[vm.b]\nsocket = b.sock\n");
	out_len = 0;
	kill(process.pid, SIGHUP);
	/* 256 for all, 33 of the bridge, 8 of each VM. */
	expect("need 1305 open files, 500 are allowed: raise the hard limit");
	expect("reload: nothing was changed");
	assert_false(there("b.sock"));
	put("weir.conf", A "dns = none\n");
	kill(process.pid, SIGHUP);
	expect("reload: done, 1 VMs");
	kill(process.pid, SIGTERM);
	assert_int_equal(end(), 0);
	assert_int_equal(chmod(dir, 0700), 0);
}

static void
weirctl_shows_what_there_is(void **state)
{
	assert_int_equal(ctl("ping", NULL, NULL), 1);
	assert_non_null(strstr(out, "there is no such socket: start weir"));
	START("--vm", "web,socket=a.sock,queues=2", "--bridges", "1", COMMON);
	expect("weir: ready");
	assert_int_equal(ctl("ping", NULL, NULL), 0);
	assert_int_equal(ctl("version", NULL, NULL), 0);
	assert_non_null(strstr(out, "1 workers, 1 bridges, huge pages off"));
	assert_int_equal(ctl("vm", "list", NULL), 0);
	assert_non_null(strstr(out, "web   waiting  10.0.2.15  fd00:2::15  0/2"));
	assert_int_equal(ctl("flow", "list", NULL), 0);
	assert_int_equal(ctl("flow", "list", "--json"), 0);
	assert_string_equal(out, "{\"flows\": []}\n");
	assert_int_equal(ctl("flow", "list", "--vm=nobody"), 1);
	assert_non_null(strstr(out, "there is no such VM"));
	assert_int_equal(ctl("stats", "--all", NULL), 0);
	assert_non_null(strstr(out, "flow-table"));
	assert_non_null(strstr(out, "vport-rx-pkts"));
	assert_non_null(strstr(out, "bridge-ops"));
	assert_non_null(strstr(out, "worker-sleeps"));
	assert_int_equal(ctl("dance", NULL, NULL), 2);
	assert_int_equal(ctl("stats", "--vm=web", NULL), 2);
	assert_int_equal(ctl("flow", "list", "--port=70000"), 2);
	kill(process.pid, SIGTERM);
	assert_int_equal(end(), 0);
}

static void
reload_adds_removes_and_changes_vms(void **state)
{
	char text[512];
	uint16_t port;
	int fd;

	port = busy_port(&fd);
	close(fd);
	snprintf(text, sizeof(text),
		"[vm.a]\nsocket = a.sock\ntcp = 127.0.0.1:%u:80\n"
		"[vm.b]\nsocket = b.sock\n",
		port);
	put("weir.conf", text);
	START("-c", "weir.conf", COMMON);
	expect("weir: ready");
	assert_true(port_open(port));
	/* b goes, d comes, and a's port becomes d's. */
	snprintf(text, sizeof(text),
		"[vm.a]\nsocket = a.sock\ndns = 9.9.9.9\n"
		"[vm.d]\nsocket = d.sock\ntcp = 127.0.0.1:%u:8080\n",
		port);
	put("weir.conf", text);
	kill(process.pid, SIGHUP);
	expect("reload: done, 2 VMs");
	assert_true(there("a.sock"));
	assert_false(there("b.sock"));
	assert_true(there("d.sock"));
	assert_true(port_open(port));
	assert_int_equal(ctl("vm", "list", NULL), 0);
	assert_non_null(strstr(out, "\nd  "));
	assert_null(strstr(out, "\nb  "));
	put("weir.conf", "[weir]\n");
	out_len = 0;
	kill(process.pid, SIGHUP);
	expect("reload: done, 0 VMs");
	assert_false(there("a.sock"));
	assert_false(port_open(port));
	kill(process.pid, SIGTERM);
	assert_int_equal(end(), 0);
	assert_false(there("d.sock"));
}

static void
a_range_of_many_ports_is_forwarded_and_moves_by_reload(void **state)
{
	put("weir.conf", A "tcp = 127.0.0.1:10000-17999\n");
	START("-c", "weir.conf", COMMON);
	expect("weir: ready");
	assert_true(port_open(10000));
	assert_true(port_open(17999));
	assert_false(port_open(18000));
	put("weir.conf", A "tcp = 127.0.0.1:14000-21999\n");
	kill(process.pid, SIGHUP);
	expect("reload: done, 1 VMs");
	assert_false(port_open(13999));
	assert_true(port_open(14000));
	assert_true(port_open(21999));
	kill(process.pid, SIGTERM);
	assert_int_equal(end(), 0);
}

static void
a_wrong_reload_changes_nothing(void **state)
{
	static const char good[] = "[vm.a]\nsocket = a.sock\n";
	char text[512];
	uint16_t port, busy;
	int fd, taken;

	port = busy_port(&fd);
	close(fd);
	snprintf(text, sizeof(text), "%stcp = 127.0.0.1:%u\n", good, port);
	put("weir.conf", text);
	START("-c", "weir.conf", COMMON);
	expect("weir: ready");
	put("weir.conf", "[vm.a]\nsocket = a.sock\nmtu = 5\n");
	kill(process.pid, SIGHUP);
	expect("weir.conf:3: [vm.a] mtu: 5 is not between");
	expect("reload: nothing was changed");
	put("weir.conf", "[weir]\npoll = busy\n[vm.a]\nsocket = other.sock\n");
	kill(process.pid, SIGHUP);
	expect("weir.conf:2: [weir] poll: cannot change while weir runs");
	expect("weir.conf:4: [vm.a] socket: cannot change while weir runs");
	unlink("weir.conf");
	/* Valid, but one of its ports is taken: after others have been opened and closed. */
	busy = busy_port(&taken);
	snprintf(text, sizeof(text),
		"%s[vm.n]\nsocket = n.sock\n[vm.z]\nsocket = z.sock\n"
		"tcp = 127.0.0.1:%u, 127.0.0.1:%u\n",
		good, port, busy);
	put("weir.conf", text);
	kill(process.pid, SIGHUP);
	expect("weir.conf:7: [vm.z] tcp: ");
	expect("reload: rolled back");
	assert_false(there("n.sock"));
	assert_false(there("z.sock"));
	assert_true(there("a.sock"));
	assert_true(port_open(port));
	assert_int_equal(ctl("vm", "list", NULL), 0);
	assert_null(strstr(out, "\nn  "));
	close(taken);
	kill(process.pid, SIGTERM);
	assert_int_equal(end(), 0);
}

static void
bridges_of_their_own_are_stopped_and_started_by_a_reload(void **state)
{
	char text[512];
	uint16_t port;
	int fd;

	port = busy_port(&fd);
	close(fd);
	put("weir.conf", "[weir]\nbridges = 2\n[vm.a]\nsocket = a.sock\n");
	START("-c", "weir.conf", COMMON);
	expect("weir: ready");
	snprintf(text, sizeof(text),
		"[weir]\nbridges = 2\n[vm.a]\nsocket = a.sock\n"
		"tcp = 127.0.0.1:%u\n[vm.b]\nsocket = b.sock\n",
		port);
	put("weir.conf", text);
	kill(process.pid, SIGHUP);
	expect("reload: done, 2 VMs");
	assert_true(port_open(port));
	assert_true(there("b.sock"));
	kill(process.pid, SIGTERM);
	assert_int_equal(end(), 0);
}

/* ---- */

static int
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

#define TEST(f) cmocka_unit_test_teardown(f, stop_process)

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(without_configuration_it_says_what_to_type),
		TEST(help_and_version_go_to_standard_output_and_succeed),
		TEST(a_wrong_file_is_told_with_all_its_errors),
		TEST(a_file_in_the_sockets_place_is_named_and_kept),
		TEST(a_directory_that_is_not_there_is_named),
		TEST(a_port_in_use_is_named_and_nothing_is_left),
		TEST(too_little_memory_names_the_key_to_raise),
		TEST(more_memory_than_there_is_is_an_error),
		TEST(a_cpu_that_is_not_there_is_an_error),
		TEST(bad_eal_arguments_are_an_error),
		TEST(threads_that_cannot_be_made_are_an_error),
		TEST(a_port_of_dpdk_that_is_not_there_is_named),
		TEST(the_control_socket_of_another_weir_is_left_alone),
		TEST(stale_sockets_are_replaced),
		TEST(the_service_manager_is_told),
		TEST(a_log_that_nobody_reads_holds_nothing_up),
		TEST(a_service_manager_that_does_not_read_holds_nothing_up),
		TEST(files_opened_are_never_standard_error),
		TEST(an_ordinary_user_can_run_it),
		TEST(a_reload_of_what_it_may_not_do_changes_nothing),
		TEST(weirctl_shows_what_there_is),
		TEST(reload_adds_removes_and_changes_vms),
		TEST(a_range_of_many_ports_is_forwarded_and_moves_by_reload),
		TEST(a_wrong_reload_changes_nothing),
		TEST(bridges_of_their_own_are_stopped_and_started_by_a_reload),
	};

	if (argc != 3) {
		fputs("usage: test_daemon WEIR WEIRCTL\n", stderr);
		return 2;
	}
	/* The processes run in a directory of their own. */
	weir = realpath(argv[1], NULL);
	weirctl = realpath(argv[2], NULL);
	if (weir == NULL || weirctl == NULL) {
		perror("test_daemon");
		return 2;
	}
	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
