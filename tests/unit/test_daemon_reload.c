/* SPDX-License-Identifier: BSD-3-Clause */
/* Reload of the daemon as a process. */
#include "test_daemon_util.h"

#include <signal.h>
#include <sys/stat.h>

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
	expect("need 1338 open files, 500 are allowed: raise the hard limit");
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

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(a_reload_of_what_it_may_not_do_changes_nothing),
		TEST(reload_adds_removes_and_changes_vms),
		TEST(a_range_of_many_ports_is_forwarded_and_moves_by_reload),
		TEST(a_wrong_reload_changes_nothing),
		TEST(bridges_of_their_own_are_stopped_and_started_by_a_reload),
	};

	return daemon_tests(argc, argv, tests, sizeof(tests) / sizeof(tests[0]));
}
