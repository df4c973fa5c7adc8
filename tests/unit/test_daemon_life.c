/* SPDX-License-Identifier: BSD-3-Clause */
/* The life of the daemon as a process: what it tells, whom it waits for, whose it is. */
#include "test_daemon_util.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

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

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(stale_sockets_are_replaced),
		TEST(the_service_manager_is_told),
		TEST(a_log_that_nobody_reads_holds_nothing_up),
		TEST(a_service_manager_that_does_not_read_holds_nothing_up),
		TEST(files_opened_are_never_standard_error),
		TEST(an_ordinary_user_can_run_it),
		TEST(weirctl_shows_what_there_is),
	};

	return daemon_tests(argc, argv, tests, sizeof(tests) / sizeof(tests[0]));
}
