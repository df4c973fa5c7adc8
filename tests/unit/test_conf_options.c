/* SPDX-License-Identifier: BSD-3-Clause */
/* The command line, and what differs between two configurations. */
#include "test_conf.h"

#define LOAD(...)                                                \
	({                                                       \
		char *argv_[] = { (char *)"weir", __VA_ARGS__ }; \
		load_args(RTE_DIM(argv_), argv_);                \
	})

static void
every_key_is_an_option(void **state)
{
	struct conf *c = LOAD("--memory", "64", "--timeout-udp=7", "--vm", "a,socket=/a", "--poll",
		"busy", "--eal", "--vdev net_null0");

	assert_int_equal(n_errors, 0);
	assert_non_null(c);
	assert_int_equal(c->memory_mb, 64);
	assert_int_equal(c->timeouts.udp_ms, 7000);
	assert_int_equal(c->busy, 1);
	assert_string_equal(c->eal, "--vdev net_null0");
	conf_destroy(c);
}

static void
vm_option_has_lists_with_slashes_and_doubled_commas(void **state)
{
	struct conf *c = LOAD("--vm",
		"a,socket=/x,,y,tcp=80/2222:22/[::1]:8080,dns=1.1.1.1/1.0.0.1,"
		"mtu=9000");

	assert_int_equal(n_errors, 0);
	assert_non_null(c);
	assert_string_equal(c->vms[0]->socket, "/x,y");
	assert_int_equal(c->vms[0]->tcp.n, 3);
	assert_int_equal(c->vms[0]->port.n_dns, 2);
	assert_int_equal(c->vms[0]->port.mtu, 9000);
	conf_destroy(c);
}

static void
rules_are_options_too_and_take_the_place_of_the_files(void **state)
{
	char path[] = "/tmp/test_conf_XXXXXX";
	const char text[] = "[vm.a]\nsocket = /a\n[rule.7]\ndirection = out\naction = drop\n";
	const int fd = mkstemp(path);
	struct conf *c;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, sizeof(text) - 1), sizeof(text) - 1);
	close(fd);
	c = LOAD("-c", path, "--rule", "7,action=accept", "--rule",
		"3,direction=out/in,action=reject,source=10.0.0.0/8");
	assert_int_equal(n_errors, 0);
	assert_non_null(c);
	assert_int_equal(c->n_rules, 2);
	assert_int_equal(c->rules[0]->rule.number, 3);
	assert_int_equal(c->rules[0]->rule.directions, RULES_OUT | RULES_IN);
	assert_int_equal(c->rules[0]->rule.src.prefix_len, 8);
	assert_int_equal(c->rules[1]->rule.number, 7);
	assert_int_equal(c->rules[1]->rule.action, RULES_ACCEPT);
	assert_int_equal(c->rules[1]->rule.directions, RULES_OUT);
	conf_destroy(c);
	unlink(path);
	assert_null(LOAD("--vm", "a,socket=/a", "--rule", "x,action=drop", "--rule",
		"9,direction=up,foo=1,bar"));
	assert_error("--rule x,action=drop: a rule has a number from 1 to 16384: begin with one");
	assert_error("--rule 9: direction: \"up\" is not one of out, in, east-west");
	assert_error("--rule 9: foo: no such key");
	assert_error("--rule 9: \"bar\" is not key=value");
	assert_error("--rule 9: action: missing");
	assert_int_equal(n_errors, 5);
	assert_null(LOAD("--vm", "a,socket=/a", "--rule", "9,direction=out,action=drop", "--rule",
		"9,log=yes"));
	assert_error("--rule 9: given twice");
}

static void
option_errors_name_the_option(void **state)
{
	assert_null(LOAD("--memory", "1", "--vm", "a,socket=/a,mtu=70000,foo=1,bar"));
	assert_error("--memory: 1 is not between 16 and 1048576");
	assert_error("--vm a: mtu: 70000 is not between 68 and 65520");
	assert_error("--vm a: foo: no such key");
	assert_error("--vm a: \"bar\" is not key=value");
	assert_int_equal(n_errors, 4);
	assert_null(LOAD("--memry", "5", "stray"));
	assert_error("--memry: no such option");
	assert_null(LOAD("--mem", "64", "--vm", "a,socket=/a"));
	assert_error("--mem: no such option");
	assert_null(LOAD("--hel"));
	assert_error("--hel: no such option");
	assert_null(LOAD("--mem=64", "--vm", "a,socket=/a"));
	assert_error("--mem=64: no such option");
	assert_null(LOAD("stray"));
	assert_error("stray: what is this?");
	assert_null(LOAD("-x"));
	assert_error("-x: no such option");
	assert_null(LOAD("--vm"));
	assert_error("--vm: needs a value");
	assert_null(LOAD("-c", "/a", "-c", "/b"));
	assert_error("--config: given twice");
	assert_null(LOAD("--memory", "64", "--memory", "65", "--vm", "a,socket=/a"));
	assert_error("--memory: given twice");
	assert_null(LOAD("--vm", ",socket=/a"));
	assert_error("--vm ,socket=/a: a name has letters, digits");
	assert_null(LOAD("--vm", "a,socket=/a", "--vm", "a,socket=/b"));
	assert_error("--vm a: given twice");
	assert_null(LOAD("--vm", "a"));
	assert_error("--vm a: socket: missing");
	assert_null(LOAD("--vm", "a,socket=/a", "--vm", "b,socket=/a"));
	assert_error("--vm b: socket: /a is also a's (--vm a)");
}

static void
options_take_the_place_of_the_files_values(void **state)
{
	char path[] = "/tmp/test_conf_XXXXXX";
	const char text[] = "[weir]\nmemory = 100\nspin-us = 9\n[vm.a]\nsocket = /a\ntcp = 80,81\n";
	const int fd = mkstemp(path);
	struct conf *c;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, sizeof(text) - 1), sizeof(text) - 1);
	close(fd);
	c = LOAD("-c", path, "--memory", "200", "--vm", "a,tcp=90", "--vm", "b,socket=/b");
	assert_int_equal(n_errors, 0);
	assert_non_null(c);
	assert_int_equal(c->memory_mb, 200);
	assert_int_equal(c->spin_us, 9);
	assert_int_equal(c->n_vms, 2);
	assert_int_equal(c->vms[0]->tcp.n, 1);
	assert_int_equal(c->vms[0]->tcp.entry[0].first, 90);
	assert_string_equal(c->vms[0]->socket, "/a");
	conf_destroy(c);
	unlink(path);
}

static void
help_and_version_and_check_are_recognised(void **state)
{
	char *argv[] = { "weir", "-h", "-V", "--check" };
	struct conf_cli cli;

	assert_int_equal(conf_cli_parse(&cli, 4, argv, note_error, NULL), 0);
	assert_true(cli.help && cli.version && cli.check);
	assert_int_equal(conf_cli_parse(&cli, 1, argv, note_error, NULL), 0);
	assert_false(cli.help || cli.version || cli.check);
	assert_int_equal(cli.n_given, 0);
	assert_null(cli.file);
}

static void
help_names_every_key(void **state)
{
	const struct conf_key *tables[] = { conf_weir_keys, conf_network_keys, conf_vm_keys,
		conf_rule_keys, conf_timeouts_keys };
	char *text = NULL, line[64];
	size_t size, t, i;
	FILE *out = open_memstream(&text, &size);

	conf_cli_help(out);
	fclose(out);
	for (t = 0; t < RTE_DIM(tables); t++) {
		for (i = 0; tables[t][i].name != NULL; i++) {
			snprintf(line, sizeof(line), "\n  %s%s%c", t == 0 ? "--" : "",
				tables[t][i].name, t == 0 ? ' ' : '=');
			assert_non_null(strstr(text, line));
		}
	}
	free(text);
}

static void
usage_has_an_example_to_type(void **state)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	conf_cli_usage(out);
	fclose(out);
	assert_non_null(strstr(text, "weir --vm web,socket=/tmp/web.sock"));
	free(text);
}

static void
keys_that_cannot_change_live_are_named(void **state)
{
	struct conf *a = load_ok("[weir]\nmemory = 100\n[vm.a]\nsocket = /a\n[vm.b]\nsocket=/b\n");
	struct conf *b = load_ok("[weir]\nmemory = 200\nlog-level = debug\n[vm.a]\nsocket = /x\n"
				 "tcp = 80\n[vm.c]\nsocket = /c\n");
	struct conf *c = load_ok("[weir]\nmemory = 100\nmtu = 9000\nlog-level = error\n[vm.b]\n"
				 "socket=/b\n");

	n_errors = 0;
	assert_int_equal(conf_diff_fixed(a, b, note_error, NULL), 2);
	assert_error("weir.conf:2: [weir] memory: cannot change while weir runs");
	assert_error("weir.conf:5: [vm.a] socket: cannot change while weir runs");
	n_errors = 0;
	assert_int_equal(conf_diff_fixed(a, c, note_error, NULL), 1);
	assert_error("weir.conf:5: [vm.b] mtu: cannot change while weir runs");
	assert_int_equal(conf_diff_fixed(a, a, note_error, NULL), 0);
	conf_destroy(a);
	conf_destroy(b);
	conf_destroy(c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_key_is_an_option),
		cmocka_unit_test(vm_option_has_lists_with_slashes_and_doubled_commas),
		cmocka_unit_test(rules_are_options_too_and_take_the_place_of_the_files),
		cmocka_unit_test(option_errors_name_the_option),
		cmocka_unit_test(options_take_the_place_of_the_files_values),
		cmocka_unit_test(help_and_version_and_check_are_recognised),
		cmocka_unit_test(help_names_every_key),
		cmocka_unit_test(usage_has_an_example_to_type),
		cmocka_unit_test(keys_that_cannot_change_live_are_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
