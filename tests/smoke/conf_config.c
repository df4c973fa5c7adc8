/* SPDX-License-Identifier: BSD-3-Clause */
/* What weir makes of its command line and file, and how it says that it cannot. */
#include "smoke2.h"

#define VM "--vm", "a,socket=%d/a.sock"
#define LONG_NAME "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define LONG_PATH "/tmp/" LONG_NAME "/" LONG_NAME

struct bad {
	const char *key;
	const char *values[12];
};

static const struct bad bad_weir[] = {
	{ "workers", { "", "x", "5-3", "0,0", "-1", "1-", "99999999999999999999" } },
	{ "bridges", { "", "many", "0", "65", "1-", "-1", "3-2" } },
	{ "poll", { "", "fast", "Busy" } },
	{ "spin-us", { "", "-1", "1000001", "x", "5us", "0x" } },
	{ "memory", { "", "15", "1048577", "much", "64M", "18446744073709551617" } },
	{ "hugepages", { "", "yes", "2" } },
	{ "io-uring", { "", "yes", "2" } },
	{ "max-flows", { "", "63", "16777217", "1.5" } },
	{ "control", { "", "/tmp/", LONG_PATH } },
	{ "control-group", { "", LONG_NAME } },
	{ "log-level", { "", "loud", "7" } },
	{ "eal", { "" } },
	{ "network",
		{ "", "10.0.2.0", "10.0.2.1/24", "10.0.2.0/31", "10.0.0.0/7", "127.0.0.0/8",
			"224.0.0.0/8", "fd00::/64", "300.0.0.0/24", "10.0.2.0/x", "169.254.0.0/16",
			"0.0.0.0/8" } },
	{ "network6",
		{ "", "fd00:2::", "fd00:2::1/64", "fd00:2::/127", "::1/128", "ff00::/8",
			"fe80::/64", "10.0.2.0/24", "fd00:2::/64/64" } },
	{ "mtu", { "", "67", "65521", "1500b" } },
	{ "dns", { "", "resolver", "127.0.0.53", "1.1.1.1,host", "0.0.0.0", "1.1.1.1,,x" } },
	{ "dns-forward", { "", "x", "0.0.0.0", "224.0.0.1", "host" } },
	{ "search", { "", "-bad", "a..b", "under_score" } },
	{ "lease", { "", "59", "2147483648" } },
	{ "timeout-tcp-syn", { "", "0", "x", "4294968", "1s" } },
	{ "timeout-tcp-established", { "0" } },
	{ "timeout-tcp-half-closed", { "0" } },
	{ "timeout-tcp-fin", { "0" } },
	{ "tcp-keepalive", { "0" } },
	{ "tcp-keepalive-probes", { "0", "256" } },
	{ "tcp-retries", { "0", "256" } },
	{ "timeout-udp", { "0" } },
	{ "timeout-udp-stream", { "0" } },
	{ "timeout-icmp", { "0" } },
	{ NULL },
};

static const struct bad bad_vm[] = {
	{ "socket-group", { "", LONG_NAME } },
	{ "mode", { "", "both" } },
	{ "queues", { "", "0", "65", "two" } },
	{ "network", { "", "nowhere", "-x" } },
	{ "address",
		{ "", "10.0.2.2", "10.0.3.1", "10.0.2.0", "10.0.2.255", "x", "::1", "127.0.0.1",
			"0.0.0.0", "224.1.1.1" } },
	{ "address6",
		{ "", "fd00:2::2", "fd00:3::1", "fd00:2::", "10.0.2.15", "::1", "::", "ff02::1" } },
	{ "gateway", { "", "none", "10.0.3.1", "10.0.2.255", "fd00:2::1", "x" } },
	{ "gateway6", { "", "none", "fd00:3::1", "10.0.2.1" } },
	{ "mac",
		{ "", "x", "01:00:00:00:00:01", "00:00:00:00:00:00", "02:00:00:00:00",
			"02:00:00:00:00:01:02", "02-00-00-00-00-01", "2:0:0:0:0:1" } },
	{ "mtu", { "", "67", "65521", "1279" } },
	{ "dns", { "", "127.0.0.53" } },
	{ "dns-forward", { "", "x" } },
	{ "search", { "", "-bad" } },
	{ "hostname", { "", "-x", "a_b", LONG_NAME } },
	{ "lease", { "", "59" } },
	{ "tcp",
		{ "", "0", "65536", "80:70000", "90-80", "1-65535:2", "80:", ":80", "x:80", "[::1]",
			"8000-8010:9000-9005", "80/80" } },
	{ "udp", { "", "0", "localhost:53", "53/53:54" } },
	{ "loopback", { "", "x", "127.0.0.1", "10.0.2.3/10.0.2.4", "10.0.2.15" } },
	{ "zone", { "", "65536", "-1" } },
	{ "max-flows", { "", "16777217" } },
	{ "new-flows-per-s", { "", "100000001" } },
	{ "mark", { "", "4294967296", "-1" } },
	{ NULL },
};

static void
every_bad_value_of_an_option_is_refused_with_one_line(void **state)
{
	for (const struct bad *b = bad_weir; b->key != NULL; b++) {
		char option[40], text[48];

		snprintf(option, sizeof(option), "--%s", b->key);
		snprintf(text, sizeof(text), "weir: error: --%s: ", b->key);
		for (unsigned int i = 0; i < 12 && b->values[i] != NULL; i++) {
			const char *const args[] = { VM, option, b->values[i], NULL };

			smoke_refused(2, text, args);
		}
	}
}

static void
every_bad_value_of_a_vm_is_refused_with_one_line(void **state)
{
	for (const struct bad *b = bad_vm; b->key != NULL; b++) {
		char text[64], vm[320];

		snprintf(text, sizeof(text), "weir: error: --vm a: %s: ", b->key);
		for (unsigned int i = 0; i < 12 && b->values[i] != NULL; i++) {
			const char *const args[] = { "--vm", vm, NULL };

			snprintf(vm, sizeof(vm), "a,socket=%%d/a.sock,%s=%s", b->key, b->values[i]);
			smoke_refused(2, text, args);
		}
	}
}

static void
what_is_no_option_is_named(void **state)
{
	smoke_refused(2, "--nonsense", (const char *[]){ VM, "--nonsense", NULL });
	smoke_refused(2, "-x", (const char *[]){ VM, "-x", NULL });
	smoke_refused(2, "word", (const char *[]){ VM, "word", NULL });
	smoke_refused(2, "--vm: needs a value", (const char *[]){ "--vm", NULL });
	smoke_refused(
		2, "--memory", (const char *[]){ VM, "--memory", "64", "--memory", "65", NULL });
	smoke_refused(2, "--config: given twice", (const char *[]){ "-c", "x", "-c", "y", NULL });
	smoke_refused(2, "/no/such", (const char *[]){ "-c", "/no/such", VM, NULL });
	smoke_refused(2, "no VM", (const char *[]){ "--memory", "64", NULL });
}

static void
what_is_wrong_with_a_vm_is_named(void **state)
{
	smoke_refused(2, "--vm a: socket: missing", (const char *[]){ "--vm", "a", NULL });
	smoke_refused(
		2, "a name has letters, digits", (const char *[]){ "--vm", ",socket=/x", NULL });
	smoke_refused(2, "a name has letters, digits",
		(const char *[]){ "--vm", "socket=/x,tcp=80", NULL });
	smoke_refused(
		2, "\"tcp\" is not key=value", (const char *[]){ "--vm", "a,socket=/x,tcp", NULL });
	smoke_refused(2, "colour: no such key",
		(const char *[]){ "--vm", "a,socket=/x,colour=red", NULL });
	smoke_refused(2, "mac: given twice",
		(const char *[]){
			"--vm", "a,socket=/x,mac=02:00:00:00:00:01,mac=02:00:00:00:00:02", NULL });
	smoke_refused(2, "--vm a: given twice", (const char *[]){ VM, VM, NULL });
	smoke_refused(2, "socket: ", (const char *[]){ "--vm", "a,socket=/tmp/", NULL });
	smoke_refused(2, "socket: ", (const char *[]){ "--vm", "a,socket=" LONG_PATH, NULL });
	smoke_refused(
		2, "give one of them", (const char *[]){ "--vm", "a,socket=/x,port=p", NULL });
	smoke_refused(2, "socket-group: goes with a socket that weir makes",
		(const char *[]){ "--vm", "a,socket=/x,mode=client,socket-group=root", NULL });
}

static void
two_vms_cannot_share_what_is_one(void **state)
{
	static const char *const pairs[][2] = {
		{ "", "socket=%d/a.sock" },
		{ "address=10.0.2.20", "socket=%d/b.sock,address=10.0.2.20" },
		{ "address6=fd00:2::20", "socket=%d/b.sock,address6=fd00:2::20" },
		{ "mac=02:00:00:00:00:01", "socket=%d/b.sock,mac=02:00:00:00:00:01" },
		{ "tcp=8080", "socket=%d/b.sock,tcp=127.0.0.1:8080:80" },
		{ "udp=53-60", "socket=%d/b.sock,udp=60:1" },
	};

	for (unsigned int i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		char a[128], b[128];

		snprintf(a, sizeof(a), "a,socket=%%d/a.sock,%s%s", pairs[i][0],
			pairs[i][0][0] == '\0' ? "zone=0" : "");
		snprintf(b, sizeof(b), "b,%s", pairs[i][1]);
		smoke_refused(2, "is also a's", (const char *[]){ "--vm", a, "--vm", b, NULL });
	}
	smoke_refused(2, "is also the control socket",
		(const char *[]){ VM, "--control", "%d/a.sock", NULL });
	smoke_refused(2, "is a worker's, too",
		(const char *[]){ VM, "--workers", "0-1", "--bridges", "1-1", NULL });
}

static void
errors_in_a_file_name_file_line_section_and_key(void **state)
{
	static const struct {
		const char *text, *error;
	} cases[] = {
		{ "[vm.a]\nsocket = /x\nmtu = 12\n", ":3: [vm.a] mtu: " },
		{ "[weir]\nmemory = 1\n[vm.a]\nsocket=/x\n", ":2: [weir] memory: " },
		{ "[vm.a]\nsocket = /x\n\n# comment\nx = 1\n", ":5: [vm.a] x: no such key" },
		{ "[vm.a]\nsocket = /x\n[nonsense]\nx = 1\n", ":3: [nonsense]: no such section" },
		{ "[vm.a]\nsocket = /x\nwords\n", ":3: neither [SECTION] nor key = value" },
		{ "socket = /x\n[vm.a]\nsocket=/x\n", ":1: a key before the first section" },
		{ "[vm.a\nsocket = /x\n[vm.b]\nsocket = /y\n", ":1: a section is written [NAME]" },
		{ "[vm.a]\nsocket = /x\n[vm.a]\nsocket = /x\n", ":3: [vm.a]: given twice" },
		{ "[vm.a]\nsocket = /x\nmtu = 1400\nmtu = 1400\n", ":4: [vm.a] mtu: given twice" },
		{ "[vm.]\nsocket = /x\n[vm.b]\nsocket=/y\n", ":1: [vm.]: a name has letters" },
		{ "[network.n]\n[vm.a]\nsocket = /x\n", ":1: [network.n] subnet: give a subnet" },
		{ "[network.n]\nsubnet = 10.1.0.0/16\ngateway = 10.2.0.1\n[vm.a]\nsocket = /x\n",
			":3: [network.n] gateway: 10.2.0.1 is not in" },
		{ "[vm.a]\nsocket = /x\nnetwork = n\n",
			":3: [vm.a] network: there is no [network.n]" },
		{ "[vm.a]\n", ":1: [vm.a] socket: missing" },
		{ "# nothing\n", ": no VM" },
	};

	for (unsigned int i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *path = smoke_file(cases[i].text);
		char text[200];

		snprintf(text, sizeof(text), "weir: error: %s%s", path, cases[i].error);
		smoke_refused(2, text, (const char *[]){ "-c", path, NULL });
		unlink(path);
	}
}

static void
all_errors_are_told_at_once(void **state)
{
	const char *path = smoke_file("[weir]\nmemory = 1\npoll = x\n[vm.a]\nmtu = 1\n");
	struct smoke_run r;

	smoke_run(&r, (const char *[]){ "-c", path, NULL });
	assert_int_equal(r.status, 2);
	assert_int_equal(smoke_lines(r.said), 4);
	smoke_run_free(&r);
	unlink(path);
}

static void
no_arguments_show_how_to_begin(void **state)
{
	struct smoke_run r;

	smoke_run(&r, (const char *[]){ NULL });
	assert_int_equal(r.status, 2);
	assert_non_null(strstr(r.said, "usage: weir"));
	assert_non_null(strstr(r.said, "--vm"));
	smoke_run_free(&r);
}

static void
help_lists_every_key_in_100_columns(void **state)
{
	const char *line, *end;
	struct smoke_run r;

	smoke_run(&r, (const char *[]){ "--help", NULL });
	assert_int_equal(r.status, 0);
	for (const struct bad *b = bad_weir; b->key != NULL; b++) {
		char option[40];

		snprintf(option, sizeof(option), "  --%s ", b->key);
		if (strstr(r.said, option) == NULL)
			fail_msg("--help does not tell of %s", option);
	}
	for (const struct bad *b = bad_vm; b->key != NULL; b++) {
		char key[40];

		snprintf(key, sizeof(key), "  %s=", b->key);
		if (strstr(r.said, key) == NULL)
			fail_msg("--help does not tell of %s", key);
	}
	for (line = r.said; (end = strchr(line, '\n')) != NULL; line = end + 1)
		assert_true(end - line <= 100);
	smoke_run_free(&r);
}

static void
version_is_one_line_with_that_of_dpdk(void **state)
{
	struct smoke_run r;

	smoke_run(&r, (const char *[]){ "--version", NULL });
	assert_int_equal(r.status, 0);
	assert_int_equal(smoke_lines(r.said), 1);
	assert_int_equal(strncmp(r.said, "weir ", 5), 0);
	assert_non_null(strstr(r.said, "DPDK"));
	smoke_run_free(&r);
}

static void
check_says_whether_it_is_right_and_starts_nothing(void **state)
{
	const char *path = smoke_file("[vm.a]\nsocket = /no/such/directory/a.sock\ntcp = 80\n");
	struct smoke_run r;

	smoke_run(&r, (const char *[]){ "--check", "-c", path, NULL });
	assert_int_equal(r.status, 0);
	assert_non_null(strstr(r.said, "1 VM"));
	smoke_run_free(&r);
	smoke_refused(2, "--mtu: ", (const char *[]){ "--check", "-c", path, "--mtu", "1", NULL });
	unlink(path);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_bad_value_of_an_option_is_refused_with_one_line),
		cmocka_unit_test(every_bad_value_of_a_vm_is_refused_with_one_line),
		cmocka_unit_test(what_is_no_option_is_named),
		cmocka_unit_test(what_is_wrong_with_a_vm_is_named),
		cmocka_unit_test(two_vms_cannot_share_what_is_one),
		cmocka_unit_test(errors_in_a_file_name_file_line_section_and_key),
		cmocka_unit_test(all_errors_are_told_at_once),
		cmocka_unit_test(no_arguments_show_how_to_begin),
		cmocka_unit_test(help_lists_every_key_in_100_columns),
		cmocka_unit_test(version_is_one_line_with_that_of_dpdk),
		cmocka_unit_test(check_says_whether_it_is_right_and_starts_nothing),
	};

	return cmocka_run_group_tests_name("conf_config", tests, NULL, NULL);
}
