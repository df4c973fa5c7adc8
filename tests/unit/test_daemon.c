/* SPDX-License-Identifier: BSD-3-Clause */
/* The daemon as a process that cannot start: what it says, and that it leaves nothing behind. */
#include "test_daemon_util.h"

#include <signal.h>
#include <sys/stat.h>

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
memory_that_leaves_nothing_for_guests_is_an_error(void **state)
{
	START("--vm", "a,socket=a.sock,queues=64", "--hugepages", "off", "--memory", "16",
		"--max-flows", "1024", "--bridges", "1", "--control", "c");
	assert_int_equal(end(), 1);
	expect_one_error("memory: 16 MiB are not enough for the rings of guests", "raise memory");
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
	/* Somebody who has no other process: the limit counts them all. */
	start_as(600000 + (uid_t)getpid() % 100000,
		(const char *const[]){ weir, "--vm", "a,socket=a.sock", COMMON, NULL });
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
		TEST(memory_that_leaves_nothing_for_guests_is_an_error),
		TEST(more_memory_than_there_is_is_an_error),
		TEST(a_cpu_that_is_not_there_is_an_error),
		TEST(bad_eal_arguments_are_an_error),
		TEST(threads_that_cannot_be_made_are_an_error),
		TEST(a_port_of_dpdk_that_is_not_there_is_named),
		TEST(the_control_socket_of_another_weir_is_left_alone),
	};

	return daemon_tests(argc, argv, tests, sizeof(tests) / sizeof(tests[0]));
}
