/* SPDX-License-Identifier: BSD-3-Clause */
/* What people and programs see: flows as JSON, filters, tables, units. */
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "control_flow.h"
#include "weirctl.h"

static struct l4x_flow_info
example(void)
{
	struct l4x_flow_info i = { .age_ms = 65000,
		.left_ms = UINT64_MAX,
		.mark = 7,
		.proto = IPPROTO_TCP,
		.state = "established" };

	flowtab_addr_parse(&i.guest.eaddr, "10.0.2.15");
	flowtab_addr_parse(&i.guest.oaddr, "10.0.2.2");
	i.guest.eport = rte_cpu_to_be_16(40000);
	i.guest.oport = rte_cpu_to_be_16(53);
	i.guest.pif = 3;
	flowtab_addr_parse(&i.host.eaddr, "127.0.0.53");
	flowtab_addr_parse(&i.host.oaddr, "127.0.0.1");
	i.host.eport = rte_cpu_to_be_16(53);
	i.host.oport = rte_cpu_to_be_16(50000);
	i.pkts[0] = 3;
	i.bytes[1] = 5000000000;
	return i;
}

static void
a_flow_has_both_ends_as_guest_and_host_see_them(void **state)
{
	const struct l4x_flow_info info = example();
	json_t *flow = control_flow_json(&info, "a", 2);
	char *text = json_dumps(flow, JSON_COMPACT);

	assert_string_equal(text,
		"{\"vm\":\"a\",\"worker\":2,\"proto\":\"tcp\",\"inbound\":false,"
		"\"state\":\"established\",\"guest\":{\"addr\":\"10.0.2.15\",\"port\":40000,"
		"\"peer_addr\":\"10.0.2.2\",\"peer_port\":53},\"host\":{\"addr\":\"127.0.0.1\","
		"\"port\":50000,\"peer_addr\":\"127.0.0.53\",\"peer_port\":53},\"age_ms\":65000,"
		"\"left_ms\":null,\"from_guest\":{\"packets\":3,\"bytes\":0},"
		"\"to_guest\":{\"packets\":0,\"bytes\":5000000000},\"mark\":7,\"zone\":0}");
	free(text);
	json_decref(flow);
}

static bool
matches(const char *args)
{
	const struct l4x_flow_info info = example();
	struct control_filter f = { 0 };
	json_t *object = json_loads(args, 0, NULL);
	char err[128];

	assert_non_null(object);
	assert_int_equal(control_filter_parse(&f, object, err, sizeof(err)), 0);
	json_decref(object);
	return control_filter_match(&f, &info);
}

static void
filters_match_either_end(void **state)
{
	assert_true(matches("{}"));
	assert_true(matches("{\"proto\":\"tcp\",\"addr\":\"127.0.0.53\",\"port\":50000}"));
	assert_true(matches("{\"proto\":\"6\",\"addr\":\"10.0.2.2\",\"port\":40000}"));
	assert_false(matches("{\"proto\":\"udp\"}"));
	assert_false(matches("{\"addr\":\"10.0.2.16\"}"));
	assert_false(matches("{\"port\":80}"));
	assert_false(matches("{\"port\":0}"));
}

static void
bad_filters_are_named(void **state)
{
	static const char *const bad[] = { "{\"proto\":\"http\"}", "{\"proto\":6}",
		"{\"proto\":\"256\"}", "{\"proto\":\"-1\"}", "{\"addr\":\"nowhere\"}",
		"{\"addr\":1}", "{\"port\":65536}", "{\"port\":-1}", "{\"port\":\"80\"}",
		"{\"port\":1.5}" };
	struct control_filter f = { 0 };
	char err[128];
	size_t i;

	for (i = 0; i < RTE_DIM(bad); i++) {
		json_t *object = json_loads(bad[i], 0, NULL);

		err[0] = '\0';
		assert_int_not_equal(control_filter_parse(&f, object, err, sizeof(err)), 0);
		assert_int_equal(strncmp(err, bad[i] + 2, 4), 0);
		json_decref(object);
	}
}

static void
a_filter_by_vm_goes_by_its_port(void **state)
{
	const struct l4x_flow_info info = example();
	struct control_filter f = { .pif = 3 };

	assert_true(control_filter_match(&f, &info));
	f.pif = 4;
	assert_false(control_filter_match(&f, &info));
}

static void
units_are_humane(void **state)
{
	static const struct {
		uint64_t n;
		const char *bytes, *count, *time;
	} cases[] = {
		{ 0, "0 B", "0", "0.0s" },
		{ 999, "999 B", "999", "0.9s" },
		{ 1023, "1023 B", "1023", "1.0s" },
		{ 1024, "1.0 KiB", "1024", "1.0s" },
		{ 9999, "9.8 KiB", "9999", "9.9s" },
		{ 10000, "9.8 KiB", "10.0k", "10s" },
		{ 1048575, "1.0 MiB", "1.0M", "17m28s" },
		{ 999999, "976.6 KiB", "1.0M", "16m39s" },
		{ 7200000, "6.9 MiB", "7.2M", "2h00m" },
		{ 360000000, "343.3 MiB", "360.0M", "4d04h" },
		{ UINT64_MAX, "16.0 EiB", "18.4E", "213503982334d14h" },
	};
	char buf[32];
	size_t i;

	for (i = 0; i < RTE_DIM(cases); i++) {
		assert_string_equal(weirctl_bytes(cases[i].n, buf, sizeof(buf)), cases[i].bytes);
		assert_string_equal(weirctl_count(cases[i].n, buf, sizeof(buf)), cases[i].count);
		assert_string_equal(weirctl_time(cases[i].n, buf, sizeof(buf)), cases[i].time);
	}
}

static void
tables_are_aligned(void **state)
{
	static const char *const heads[] = { "NAME", ">COUNT", "REST", NULL };
	struct weirctl_table t;
	char *text = NULL;
	unsigned int i;
	size_t size;
	FILE *out;

	assert_int_equal(weirctl_table_init(&t, heads), 0);
	assert_int_equal(
		weirctl_table_row(&t, (const char *const[]){ "longer-name", "5", "x" }), 0);
	assert_int_equal(weirctl_table_row(&t, (const char *const[]){ "b", "1234567", "yy" }), 0);
	out = open_memstream(&text, &size);
	weirctl_table_print(&t, out);
	fclose(out);
	assert_string_equal(text,
		"NAME           COUNT  REST\n"
		"longer-name        5  x\n"
		"b            1234567  yy\n");
	free(text);
	for (i = 0; i < 1000; i++)
		assert_int_equal(weirctl_table_row(&t, (const char *const[]){ "c", "1", "z" }), 0);
	assert_int_equal(t.n_rows, 1000);
	weirctl_table_fini(&t);
}

static void
an_empty_flow_list_has_its_head_once(void **state)
{
	json_t *more = json_pack("{s:[], s:b}", "flows", "more", 1);
	json_t *end = json_pack("{s:[]}", "flows");
	struct weirctl_show s = { 0 };
	char *text = NULL;
	size_t size;

	s.out = open_memstream(&text, &size);
	assert_int_equal(weirctl_show_flows(&s, more, false), 0);
	assert_int_equal(weirctl_show_flows(&s, end, true), 0);
	fclose(s.out);
	assert_int_equal(strncmp(text, "VM  PROTO  STATE", 16), 0);
	assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
	free(text);
	weirctl_table_fini(&s.table);
	json_decref(more);
	json_decref(end);
}

static void
a_flow_is_one_line_for_people(void **state)
{
	const struct l4x_flow_info info = example();
	json_t *reply = json_pack("{s:[o]}", "flows", control_flow_json(&info, "web", 0));
	struct weirctl_show s = { 0 };
	char *text = NULL;
	size_t size;

	s.out = open_memstream(&text, &size);
	assert_int_equal(weirctl_show_flows(&s, reply, true), 0);
	fclose(s.out);
	assert_non_null(strstr(text,
		"web  tcp    established  out  10.0.2.15:40000  "
		"127.0.0.53:53  1m05s     -"));
	assert_non_null(strstr(text, "4.7 GiB\n"));
	free(text);
	weirctl_table_fini(&s.table);
	json_decref(reply);
}

static void
hostile_replies_do_not_break_the_client(void **state)
{
	static const char many[] =
		"{\"vms\":[null,5,{}],\"flows\":[null,{\"guest\":3}],\"workers\":[{}],"
		"\"bridges\":[1],\"total\":{\"a\":\"b\"},\"drops\":null}";
	static const char *const replies[] = { "{}", "{\"vms\":5,\"flows\":{},\"total\":[]}",
		many };
	struct weirctl_show s;
	char *text = NULL;
	size_t i, size;

	for (i = 0; i < RTE_DIM(replies); i++) {
		json_t *reply = json_loads(replies[i], 0, NULL);

		memset(&s, 0, sizeof(s));
		s.out = open_memstream(&text, &size);
		assert_int_equal(weirctl_show_vms(&s, reply, true), 0);
		weirctl_table_fini(&s.table);
		s.table_made = false;
		assert_int_equal(weirctl_show_flows(&s, reply, true), 0);
		assert_int_equal(weirctl_show_stats(&s, reply, true), 0);
		assert_int_equal(weirctl_show_version(&s, reply, true), 0);
		assert_int_equal(weirctl_show_ping(&s, reply, true), 0);
		fclose(s.out);
		free(text);
		text = NULL;
		weirctl_table_fini(&s.table);
		json_decref(reply);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_flow_has_both_ends_as_guest_and_host_see_them),
		cmocka_unit_test(filters_match_either_end),
		cmocka_unit_test(bad_filters_are_named),
		cmocka_unit_test(a_filter_by_vm_goes_by_its_port),
		cmocka_unit_test(units_are_humane),
		cmocka_unit_test(tables_are_aligned),
		cmocka_unit_test(an_empty_flow_list_has_its_head_once),
		cmocka_unit_test(a_flow_is_one_line_for_people),
		cmocka_unit_test(hostile_replies_do_not_break_the_client),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
