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
#include "control_rule.h"
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
	json_t *flow = control_flow_json(&info, "a", "-", 2);
	char *text = json_dumps(flow, JSON_COMPACT);

	assert_string_equal(text,
		"{\"vm\":\"a\",\"worker\":2,\"handle\":0,\"kind\":\"socket\","
		"\"proto\":\"tcp\",\"inbound\":false,"
		"\"state\":\"established\",\"guest\":{\"addr\":\"10.0.2.15\",\"port\":40000,"
		"\"peer_addr\":\"10.0.2.2\",\"peer_port\":53},\"host\":{\"addr\":\"127.0.0.1\","
		"\"port\":50000,\"peer_addr\":\"127.0.0.53\",\"peer_port\":53},\"age_ms\":65000,"
		"\"left_ms\":null,\"from_guest\":{\"packets\":3,\"bytes\":0},"
		"\"to_guest\":{\"packets\":0,\"bytes\":5000000000},\"mark\":7,\"zone\":0,"
		"\"rule\":0,\"nat\":false}");
	free(text);
	json_decref(flow);
}

static struct l4x_flow_info
east_west(void)
{
	struct l4x_flow_info i = example();

	i.kind = FLOWTAB_KIND_TRACKED;
	i.ct_state = CT_TRK | CT_EST | CT_DNAT;
	i.translated = true;
	i.label[0] = 5;
	i.parent = 77;
	i.rule = 12;
	i.zone = 9;
	i.helper = CT_HELPER_FTP;
	return i;
}

static void
a_flow_between_guests_shows_what_it_is_tracked_as(void **state)
{
	const struct l4x_flow_info info = east_west();
	json_t *flow = control_flow_json(&info, "a", "b", 0);
	const json_t *states = json_object_get(flow, "ct_state");

	assert_string_equal(json_string_value(json_object_get(flow, "kind")), "east-west");
	assert_string_equal(json_string_value(json_object_get(flow, "to_vm")), "b");
	assert_int_equal(json_array_size(states), 2);
	assert_string_equal(json_string_value(json_array_get(states, 1)), "dnat");
	assert_string_equal(json_string_value(json_object_get(flow, "label")),
		"0x00000000000000000000000000000005");
	assert_int_equal(json_integer_value(json_object_get(flow, "parent")), 77);
	assert_int_equal(json_integer_value(json_object_get(flow, "rule")), 12);
	assert_string_equal(json_string_value(json_object_get(flow, "helper")), "ftp");
	json_decref(flow);
}

static void
an_original_destination_is_what_the_guest_asked_for(void **state)
{
	const struct l4x_flow_info info = example();
	json_t *reply = control_original_json(&info, "a");
	struct weirctl_show s = { 0 };
	char *text = NULL;
	size_t size;

	s.out = open_memstream(&text, &size);
	assert_int_equal(weirctl_show_original(&s, reply, true), 0);
	fclose(s.out);
	assert_string_equal(text, "a: 10.0.2.2 port 53, asked for by 10.0.2.15 port 40000\n");
	free(text);
	json_decref(reply);
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
	assert_true(matches("{\"zone\":0}"));
	assert_false(matches("{\"zone\":1}"));
	assert_true(matches("{\"mark\":7}"));
	assert_true(matches("{\"mark\":\"0x7\"}"));
	assert_true(matches("{\"mark\":\"0xf3/0x3\"}"));
	assert_false(matches("{\"mark\":3}"));
	assert_false(matches("{\"mark\":\"0xf2/0x3\"}"));
}

static void
a_tuple_is_matched_in_either_direction(void **state)
{
	static const struct {
		const char *args;
		bool match;
	} cases[] = {
		{ "{\"src\":\"10.0.2.15\",\"sport\":40000,\"dst\":\"10.0.2.2\",\"dport\":53}",
			true },
		{ "{\"dst\":\"10.0.2.15\",\"dport\":40000,\"src\":\"10.0.2.2\",\"sport\":53}",
			true },
		{ "{\"src\":\"10.0.2.15\",\"sport\":53,\"dst\":\"10.0.2.2\",\"dport\":40000}",
			false },
		{ "{\"src\":\"10.0.2.15\",\"dst\":\"127.0.0.53\"}", false },
		{ "{\"dport\":50000,\"src\":\"127.0.0.53\"}", true },
		{ "{\"src\":\"10.0.2.2\",\"sport\":40000}", false },
		{ "{\"sport\":40000}", true },
		{ "{\"dport\":80}", false },
	};
	size_t i;

	for (i = 0; i < RTE_DIM(cases); i++)
		assert_int_equal(matches(cases[i].args), cases[i].match);
}

static void
bad_filters_are_named(void **state)
{
	static const char *const bad[] = { "{\"proto\":\"http\"}", "{\"proto\":6}",
		"{\"proto\":\"256\"}", "{\"proto\":\"-1\"}", "{\"addr\":\"nowhere\"}",
		"{\"addr\":1}", "{\"port\":65536}", "{\"port\":-1}", "{\"port\":\"80\"}",
		"{\"port\":1.5}", "{\"zone\":65536}", "{\"zone\":\"x\"}", "{\"mark\":-1}",
		"{\"mark\":4294967296}", "{\"mark\":\"0x1ffffffff\"}", "{\"mark\":\"1/0\"}",
		"{\"mark\":\"7/\"}", "{\"mark\":\"/7\"}", "{\"mark\":\"7/7/7\"}", "{\"mark\":true}",
		"{\"src\":\"10.0.2.256\"}", "{\"dst\":7}", "{\"sport\":65536}",
		"{\"dport\":\"80\"}" };
	struct control_filter f = { 0 };
	char err[128];
	size_t i;

	for (i = 0; i < RTE_DIM(bad); i++) {
		json_t *object = json_loads(bad[i], 0, NULL);

		err[0] = '\0';
		assert_int_not_equal(control_filter_parse(&f, object, err, sizeof(err)), 0);
		assert_int_equal(strncmp(err, bad[i] + 2, strcspn(bad[i] + 2, "\"")), 0);
		json_decref(object);
	}
}

static void
a_filter_of_nothing_is_open(void **state)
{
	struct control_filter f = { 0 };

	assert_true(control_filter_is_open(&f));
	f.by_zone = true;
	assert_false(control_filter_is_open(&f));
	f = (struct control_filter){ .mark_mask = 1 };
	assert_false(control_filter_is_open(&f));
	f = (struct control_filter){ .pif = 1 };
	assert_false(control_filter_is_open(&f));
	f = (struct control_filter){ .src.by_addr = true };
	assert_false(control_filter_is_open(&f));
	f = (struct control_filter){ .dst.by_port = true };
	assert_false(control_filter_is_open(&f));
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
	json_t *reply = json_pack("{s:[o]}", "flows", control_flow_json(&info, "web", "-", 0));
	struct weirctl_show s = { 0 };
	char *text = NULL;
	size_t size;

	s.out = open_memstream(&text, &size);
	assert_int_equal(weirctl_show_flows(&s, reply, true), 0);
	fclose(s.out);
	assert_non_null(strstr(text,
		"web  tcp    established  out  10.0.2.15:40000  "
		"127.0.0.53:53  1m05s     -"));
	assert_non_null(strstr(text, "4.7 GiB  mark 0x7\n"));
	free(text);
	weirctl_table_fini(&s.table);
	json_decref(reply);
}

static void
a_flow_between_guests_has_notes(void **state)
{
	const struct l4x_flow_info info = east_west();
	json_t *reply = json_pack("{s:[o]}", "flows", control_flow_json(&info, "web", "db", 0));
	struct weirctl_show s = { 0 };
	char *text = NULL;
	size_t size;

	s.out = open_memstream(&text, &size);
	assert_int_equal(weirctl_show_flows(&s, reply, true), 0);
	fclose(s.out);
	assert_non_null(strstr(text, "established  vm "));
	assert_non_null(strstr(text,
		"to db, est,dnat, rule 12, zone 9, mark 0x7, "
		"label 0x00000000000000000000000000000005, ftp, announced\n"));
	free(text);
	weirctl_table_fini(&s.table);
	json_decref(reply);
}

static void
flushed_flows_are_counted_over_all_replies(void **state)
{
	json_t *more = json_pack("{s:[{},{}], s:b}", "flows", "more", 1);
	json_t *end = json_pack("{s:[{}]}", "flows");
	struct weirctl_show s = { 0 };
	char *text = NULL;
	size_t size;

	s.out = open_memstream(&text, &size);
	assert_int_equal(weirctl_show_flush(&s, more, false), 0);
	assert_int_equal(weirctl_show_flush(&s, end, true), 0);
	fclose(s.out);
	assert_string_equal(text, "3 flows ended\n");
	free(text);
	json_decref(more);
	json_decref(end);
}

/* ---- rules and zones ---- */

static struct rules_net
net(const char *text, uint8_t len)
{
	struct rules_net n = { .prefix_len = len };

	assert_int_equal(flowtab_addr_parse(&n.addr, text), 0);
	return n;
}

/** The JSON of a rule, and the line of it; both to be freed. */
static void
show_rule(const struct rule *r, const char *vm, const char *to_vm, char **json, char **line)
{
	const struct control_rule_names names = { vm, to_vm, "" };
	json_t *rule = control_rule_json(r, &names, 12345);
	json_t *reply = json_pack("{s:[o], s:[{s:s, s:s, s:i}]}", "rules", rule, "policies",
		"direction", "out", "action", "accept", "hits", 7);
	struct weirctl_show s = { 0 };
	size_t size;

	assert_non_null(reply);
	*json = json_dumps(rule, JSON_COMPACT);
	s.out = open_memstream(line, &size);
	assert_int_equal(weirctl_show_rules(&s, reply, true), 0);
	fclose(s.out);
	weirctl_table_fini(&s.table);
	json_decref(reply);
}

static void
a_rule_shows_what_it_says_and_nothing_else(void **state)
{
	struct rule r = {
		.number = 10, .directions = RULES_OUT | RULES_EAST_WEST, .action = RULES_DROP
	};
	char *json, *line;

	show_rule(&r, "", "", &json, &line);
	assert_string_equal(json,
		"{\"number\":10,\"directions\":[\"out\",\"east-west\"],"
		"\"action\":\"drop\",\"hits\":12345}");
	assert_string_equal(line,
		"  RULE   HITS  DIRECTION      FLOWS       ACTION\n"
		"    10  12.3k  out,east-west  any         drop\n"
		"policy      7  out            of no rule  accept\n");
	free(json);
	free(line);
	r.family = 6;
	show_rule(&r, "", "", &json, &line);
	assert_non_null(strstr(json, "\"family\":6"));
	assert_non_null(strstr(line, "  IPv6  "));
	free(json);
	free(line);
}

static void
a_rule_is_shown_as_it_was_written(void **state)
{
	struct rule r = { .number = 1,
		.directions = RULES_EAST_WEST,
		.proto = IPPROTO_TCP,
		.by_zone = true,
		.zone = 5,
		.family = 4,
		.src = net("10.0.0.0", 8),
		.dst = net("192.0.2.1", 32),
		.sport_min = 1024,
		.sport_max = 65535,
		.dport_min = 21,
		.dport_max = 21,
		.helper = CT_HELPER_FTP,
		.set_mark = true,
		.mark = UINT32_MAX,
		.set_zone = true,
		.to_zone = 7,
		.log = true };
	char *json, *line;

	r.nat = (struct ct_nat){ .what = CT_NAT_SRC | CT_NAT_DST, .choice = CT_NAT_RANDOM };
	r.nat.src.min = net("10.9.0.1", 32).addr;
	r.nat.src.max = net("10.9.0.9", 32).addr;
	r.nat.src.port_min = 2000;
	r.nat.src.port_max = 2999;
	r.nat.dst.port_min = r.nat.dst.port_max = 2121;
	show_rule(&r, "web", "db", &json, &line);
	assert_string_equal(json,
		"{\"number\":1,\"directions\":[\"east-west\"],\"vm\":\"web\",\"to_vm\":\"db\","
		"\"zone\":5,\"proto\":\"tcp\",\"family\":4,\"source\":\"10.0.0.0/8\","
		"\"destination\":\"192.0.2.1/32\",\"source_port\":\"1024-65535\","
		"\"destination_port\":\"21\",\"action\":\"accept\","
		"\"snat\":\"10.9.0.1-10.9.0.9:2000-2999\",\"dnat\":\":2121\","
		"\"nat_choice\":\"random\",\"mark\":4294967295,\"set_zone\":7,"
		"\"helper\":\"ftp\",\"log\":true,\"hits\":12345}");
	assert_non_null(strstr(line,
		"  vm web to-vm db zone 5 tcp source 10.0.0.0/8 source-port 1024-65535 destination "
		"192.0.2.1/32 destination-port 21  accept snat 10.9.0.1-10.9.0.9:2000-2999 dnat "
		":2121 nat-choice random helper ftp mark 4294967295 set-zone 7 log\n"));
	free(json);
	free(line);
}

static void
redirects_and_automatic_sources_are_shown(void **state)
{
	struct rule r = { .number = 1, .directions = RULES_OUT, .redirect = true };
	char *json, *line;

	r.nat.what = CT_NAT_DST;
	r.nat.dst.port_min = r.nat.dst.port_max = 3128;
	show_rule(&r, "", "", &json, &line);
	assert_non_null(strstr(json, "\"redirect\":\"3128\""));
	free(json);
	free(line);
	r.nat.dst.min = r.nat.dst.max = net("::1", 128).addr;
	show_rule(&r, "", "", &json, &line);
	assert_non_null(strstr(line, "accept redirect [::1]:3128\n"));
	free(json);
	free(line);
	r = (struct rule){ .number = 1, .directions = RULES_EAST_WEST, .nat.what = CT_NAT_SRC };
	show_rule(&r, "", "", &json, &line);
	assert_non_null(strstr(json, "\"snat\":\"auto\""));
	free(json);
	free(line);
}

static void
tuples_are_one_line(void **state)
{
	struct flowtab_tuple t = { .eaddr = net("10.0.2.15", 32).addr,
		.oaddr = net("192.0.2.1", 32).addr,
		.eport = rte_cpu_to_be_16(4711),
		.oport = rte_cpu_to_be_16(80),
		.proto = IPPROTO_TCP };
	char buf[CONTROL_TUPLE_LEN];

	assert_string_equal(
		control_tuple_format(&t, buf, sizeof(buf)), "tcp 10.0.2.15:4711 -> 192.0.2.1:80");
	t.eaddr = net("2001:db8:1111:2222:3333:4444:5555:6666", 128).addr;
	t.oaddr = t.eaddr;
	t.eport = t.oport = 0xffff;
	t.proto = 200;
	assert_string_equal(control_tuple_format(&t, buf, sizeof(buf)),
		"200 [2001:db8:1111:2222:3333:4444:5555:6666]:65535 -> "
		"[2001:db8:1111:2222:3333:4444:5555:6666]:65535");
}

static void
zones_have_flows_and_limits(void **state)
{
	json_t *more = json_pack("{s:[{s:i, s:i, s:i}], s:b}", "zones", "zone", 5, "flows", 17,
		"limit", 200, "more", 1);
	json_t *end = json_pack("{s:[{s:i, s:i, s:n}, {s:i, s:i, s:s}], s:i}", "zones", "zone", 6,
		"flows", 1, "limit", "zone", 65535, "flows", 0, "limit", "none", "default", 10000);
	struct weirctl_show s = { 0 };
	char *text = NULL;
	size_t size;

	s.out = open_memstream(&text, &size);
	assert_int_equal(weirctl_show_zones(&s, more, false), 0);
	assert_int_equal(weirctl_show_zones(&s, end, true), 0);
	fclose(s.out);
	assert_string_equal(text,
		"ZONE  FLOWS  LIMIT\n"
		"   5     17    200\n"
		"      6      1      -\n"
		"  65535      0   none\n"
		"default         10000\n");
	free(text);
	weirctl_table_fini(&s.table);
	json_decref(more);
	json_decref(end);
}

static void
hostile_replies_do_not_break_the_client(void **state)
{
	static const char many[] =
		"{\"vms\":[null,5,{}],\"flows\":[null,{\"guest\":3}],\"workers\":[{}],"
		"\"bridges\":[1],\"total\":{\"a\":\"b\"},\"drops\":null,"
		"\"rules\":[null,{\"number\":[],\"directions\":{},\"snat\":{}}],\"policies\":[5],"
		"\"zones\":[null,{\"limit\":[]}],\"default\":{},\"zone\":[],\"limit\":{}}";
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
		weirctl_table_fini(&s.table);
		s.table_made = false;
		assert_int_equal(weirctl_show_rules(&s, reply, true), 0);
		weirctl_table_fini(&s.table);
		s.table_made = false;
		assert_int_equal(weirctl_show_zones(&s, reply, true), 0);
		assert_int_equal(weirctl_show_zone_limit(&s, reply, true), 0);
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
		cmocka_unit_test(a_tuple_is_matched_in_either_direction),
		cmocka_unit_test(bad_filters_are_named),
		cmocka_unit_test(a_filter_of_nothing_is_open),
		cmocka_unit_test(a_filter_by_vm_goes_by_its_port),
		cmocka_unit_test(a_flow_between_guests_shows_what_it_is_tracked_as),
		cmocka_unit_test(an_original_destination_is_what_the_guest_asked_for),
		cmocka_unit_test(a_flow_between_guests_has_notes),
		cmocka_unit_test(flushed_flows_are_counted_over_all_replies),
		cmocka_unit_test(units_are_humane),
		cmocka_unit_test(tables_are_aligned),
		cmocka_unit_test(an_empty_flow_list_has_its_head_once),
		cmocka_unit_test(a_flow_is_one_line_for_people),
		cmocka_unit_test(a_rule_shows_what_it_says_and_nothing_else),
		cmocka_unit_test(a_rule_is_shown_as_it_was_written),
		cmocka_unit_test(redirects_and_automatic_sources_are_shown),
		cmocka_unit_test(tuples_are_one_line),
		cmocka_unit_test(zones_have_flows_and_limits),
		cmocka_unit_test(hostile_replies_do_not_break_the_client),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
