/* SPDX-License-Identifier: BSD-3-Clause */
/* Rules, zones and timeouts of the daemon as a process. */
#include "test_daemon_util.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>

#define RULES                                                                      \
	"[rule.20]\ndirection = east-west\nvm = a\nto-vm = b\nproto = tcp\n"       \
	"destination-port = 5432\naction = accept\n"                               \
	"[rule.10]\ndirection = out\nvm = b\nproto = udp\ndestination-port = 53\n" \
	"action = accept\nredirect = 5353\nlog = yes\n"
#define AB A "[vm.b]\nsocket = b.sock\n"

static void
finish(void)
{
	kill(process.pid, SIGTERM);
	assert_int_equal(end(), 0);
}

static void
reload(const char *text, const char *says)
{
	put("weir.conf", text);
	out_len = 0;
	kill(process.pid, SIGHUP);
	expect(says);
}

static void
rules_are_listed_with_policies_and_hits(void **state)
{
	put("weir.conf", "[weir]\npolicy-in = reject\n" AB RULES);
	START("-c", "weir.conf", COMMON);
	expect("weir: ready");
	assert_int_equal(CTL("rule", "list"), 0);
	assert_string_equal(out,
		"  RULE  HITS  DIRECTION  FLOWS                                   ACTION\n"
		"    10     0  out        vm b udp destination-port 53            accept redirect "
		"5353 log\n"
		"    20     0  east-west  vm a to-vm b tcp destination-port 5432  accept\n"
		"policy     0  out        of no rule                              accept\n"
		"policy     0  in         of no rule                              reject\n"
		"policy     0  east-west  of no rule                              drop\n");
	assert_int_equal(CTL("--json", "rule", "list"), 0);
	assert_non_null(strstr(out, "{\"rules\": [\n  {\"number\": 10, "));
	assert_non_null(strstr(out, "\n], \"policies\": [{\"direction\": \"out\""));
	finish();
}

static void
rules_on_the_command_line_count_as_those_of_the_file(void **state)
{
	START("--vm", "a,socket=a.sock", "--rule", "5,direction=out/in,action=drop,vm=a",
		"--policy-east-west", "accept", COMMON);
	expect("weir: ready");
	assert_int_equal(CTL("rule", "list"), 0);
	assert_non_null(strstr(out, "    5     0  out,in     vm a        drop\n"));
	assert_non_null(strstr(out, "policy     0  east-west  of no rule  accept\n"));
	finish();
}

static void
a_reload_changes_rules_and_policies(void **state)
{
	put("weir.conf", AB RULES);
	START("-c", "weir.conf", COMMON);
	expect("weir: ready");
	reload("[weir]\npolicy-out = drop\n" AB "[vm.c]\nsocket = c.sock\n"
	       "[rule.7]\ndirection = in\nvm = c\naction = reject\n",
		"reload: done, 3 VMs");
	assert_int_equal(CTL("rule", "list"), 0);
	assert_non_null(strstr(out, "     7     0  in         vm c        reject\n"));
	assert_non_null(strstr(out, "policy     0  out        of no rule  drop\n"));
	assert_null(strstr(out, "5432"));
	/* A VM that is renamed, one that goes, and rules about both. */
	reload("[vm.n]\nsocket = a.sock\n[rule.7]\ndirection = in\nvm = n\naction = drop\n",
		"reload: done, 1 VMs");
	assert_int_equal(CTL("rule", "list"), 0);
	assert_non_null(strstr(out, "     7     0  in         vm n        drop\n"));
	assert_non_null(strstr(out, "policy     0  out        of no rule  accept\n"));
	finish();
}

static void
a_wrong_reload_leaves_rules_as_they_are(void **state)
{
	put("weir.conf", AB RULES);
	START("-c", "weir.conf", COMMON);
	expect("weir: ready");
	reload(AB "[rule.1]\ndirection = out\naction = drop\nvm = nobody\n",
		"weir.conf:8: [rule.1] vm: there is no [vm.nobody]");
	expect("reload: nothing was changed");
	assert_int_equal(CTL("rule", "list"), 0);
	assert_non_null(strstr(out, "5432"));
	finish();
}

/** Rules that take more memory than there is. */
static char *
many_rules(unsigned int n)
{
	const size_t room = 256 * (size_t)n + 1024;
	char *text = malloc(room);
	size_t used;
	unsigned int i;

	assert_non_null(text);
	used = (size_t)snprintf(text, room, "%s", AB);
	for (i = 1; i <= n; i++)
		used += (size_t)snprintf(text + used, room - used,
			"[rule.%u]\ndirection = %s\naction = drop\n%s%s = %u.%u.%u.0/%u\n%s", i,
			i % 3 == 0 ? "out" : "in, east-west", i % 2 == 0 ? "vm = a\n" : "",
			i % 5 == 0 ? "source" : "destination", 1 + i * 7 % 200, i * 13 % 256,
			i % 2 == 0 ? 0 : i % 256, i % 2 == 0 ? 16 : 24,
			i % 4 == 0 ? "proto = tcp\ndestination-port = 1000-2000\n" : "");
	return text;
}

static void
a_long_list_of_rules_comes_in_parts_and_in_order(void **state)
{
	char *text = many_rules(600), line[64];
	const char *at;
	unsigned int i;

	put("weir.conf", text);
	free(text);
	START("-c", "weir.conf", COMMON);
	expect("weir: ready");
	assert_int_equal(CTL("--json", "rule", "list"), 0);
	at = out;
	for (i = 1; i <= 600 && at != NULL; i++) {
		snprintf(line, sizeof(line), "{\"number\": %u, ", i);
		at = strstr(at, line);
	}
	/* What did not fit is not looked at. */
	assert_true(at != NULL || out_len == OUT_MAX - 1);
	finish();
}

static void
zones_are_listed_and_limited(void **state)
{
	put("weir.conf", "[weir]\nzone-limit = default:1000, 5-6:20, 9:none\n" A);
	START("-c", "weir.conf", COMMON);
	expect("weir: ready");
	assert_int_equal(CTL("zone", "list"), 0);
	assert_string_equal(out,
		"   ZONE  FLOWS  LIMIT\n"
		"      5      0     20\n"
		"      6      0     20\n"
		"      9      0   none\n"
		"default          1000\n");
	assert_int_equal(CTL("zone", "limit", "5", "7"), 0);
	assert_string_equal(out, "zone 5: 7 flows at most\n");
	assert_int_equal(CTL("zone", "limit", "6", "unset"), 0);
	assert_string_equal(out, "zone 6: no limit of its own\n");
	assert_int_equal(CTL("zone", "limit", "default", "none"), 0);
	assert_string_equal(out, "zone default: no limit\n");
	assert_int_equal(CTL("zone", "list", "--json"), 0);
	assert_string_equal(out,
		"{\"zones\": [\n  {\"zone\": 5, \"flows\": 0, \"limit\": 7},\n"
		"  {\"zone\": 9, \"flows\": 0, \"limit\": \"none\"}\n], \"default\": \"none\"}\n");
	/* A reload sets what the file says. */
	reload("[weir]\nzone-limit = 65535:0\n" A, "reload: done, 1 VMs");
	assert_int_equal(CTL("zone", "list"), 0);
	assert_string_equal(out,
		"   ZONE  FLOWS  LIMIT\n"
		"  65535      0      0\n"
		"default             -\n");
	finish();
}

static void
wrong_limits_are_named(void **state)
{
	START("--vm", "a,socket=a.sock", COMMON);
	expect("weir: ready");
	assert_int_equal(CTL("zone", "limit", "65536", "7"), 1);
	assert_non_null(strstr(out, "zone: give a number from 0 to 65535, or default"));
	assert_int_equal(CTL("zone", "limit", "all", "7"), 1);
	assert_int_equal(CTL("zone", "limit", "5", "4294967294"), 1);
	assert_non_null(strstr(out, "limit: give a number from 0 to 4294967293, none, or unset"));
	assert_int_equal(CTL("zone", "limit", "5", "much"), 1);
	assert_int_equal(CTL("zone", "limit", "5", "99999999999999999999"), 1);
	assert_int_equal(CTL("zone", "limit", "5"), 2);
	assert_non_null(strstr(out, "zone limit: a word is missing"));
	assert_int_equal(CTL("zone", "limit", "5", "7", "8"), 2);
	assert_non_null(strstr(out, "8: what is this?"));
	assert_int_equal(CTL("zone", "list", "5"), 2);
	assert_int_equal(CTL("zone"), 2);
	finish();
}

static void
too_many_rules_for_the_memory_are_told(void **state)
{
	char *text = many_rules(8000);

	put("weir.conf", text);
	START("-c", "weir.conf", "--hugepages", "off", "--memory", "32", "--max-flows", "64",
		"--control", "c");
	assert_int_equal(end(), 1);
	expect_one_error("memory: 32 MiB are not enough for 8000 rules", "raise memory");
	assert_false(there("a.sock"));
	put("weir.conf", AB RULES);
	START("-c", "weir.conf", "--hugepages", "off", "--memory", "48", "--max-flows", "64",
		"--control", "c");
	expect("weir: ready");
	reload(text, "memory: 48 MiB are not enough for 8000 rules");
	expect("reload: rolled back");
	free(text);
	assert_int_equal(CTL("rule", "list"), 0);
	assert_non_null(strstr(out, "5432"));
	finish();
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(rules_are_listed_with_policies_and_hits),
		TEST(rules_on_the_command_line_count_as_those_of_the_file),
		TEST(a_reload_changes_rules_and_policies),
		TEST(a_wrong_reload_leaves_rules_as_they_are),
		TEST(a_long_list_of_rules_comes_in_parts_and_in_order),
		TEST(zones_are_listed_and_limited),
		TEST(wrong_limits_are_named),
		TEST(too_many_rules_for_the_memory_are_told),
	};

	return daemon_tests(argc, argv, tests, sizeof(tests) / sizeof(tests[0]));
}
