/* SPDX-License-Identifier: BSD-3-Clause */
/* Rules, zones and timeouts. */
#include "test_conf.h"

#include <netinet/in.h>

#define VMS                                                                              \
	"[vm.web]\nsocket = /a\n[vm.db]\nsocket = /b\n[vm.old]\nsocket = /c\nzone = 5\n" \
	"[network.lab]\nsubnet = 192.168.50.0/24\n[vm.test]\nsocket = /d\nnetwork = lab\n"
/** Line of the file where what follows VMS begins. */
#define AFTER 13
#define RULE VMS "[rule.10]\n"

/** The one rule of a file. */
static struct conf *
load_rule(const char *keys)
{
	char text[1024];
	struct conf *c;

	snprintf(text, sizeof(text), RULE "%s", keys);
	c = load_ok(text);
	assert_int_equal(c->n_rules, 1);
	return c;
}

/** A rule of a line or more that is wrong in one way: the error without file and section. */
static void
rule_error(const char *keys, unsigned int line, const char *error)
{
	char text[1024], want[512];

	snprintf(text, sizeof(text), RULE "%s", keys);
	snprintf(want, sizeof(want), "weir.conf:%u: [rule.10] %s", AFTER + line, error);
	load_errors(text);
	assert_error(want);
	assert_int_equal(n_errors, 1);
}

/* ---- what is read ---- */

static void
no_rules_leave_policies_that_keep_guests_apart(void **state)
{
	struct conf *c = load_ok("[vm.a]\nsocket = /a\n");

	assert_int_equal(c->n_rules, 0);
	assert_int_equal(c->policy[0], RULES_ACCEPT);
	assert_int_equal(c->policy[1], RULES_ACCEPT);
	assert_int_equal(c->policy[2], RULES_DROP);
	assert_int_equal(c->zone_limits.n, 0);
	assert_int_equal(c->tcp_window_check, 1);
	assert_int_equal(c->tcp_pickup, 1);
	assert_int_equal(c->evict, 0);
	conf_destroy(c);
	c = load_ok("[weir]\npolicy-out = drop\npolicy-in = reject\npolicy-east-west = accept\n"
		    "tcp-window-check = no\ntcp-pickup = no\ntable-full = evict\n"
		    "[vm.a]\nsocket = /a\n");
	assert_int_equal(c->policy[0], RULES_DROP);
	assert_int_equal(c->policy[1], RULES_REJECT);
	assert_int_equal(c->policy[2], RULES_ACCEPT);
	assert_int_equal(c->tcp_window_check, 0);
	assert_int_equal(c->tcp_pickup, 0);
	assert_int_equal(c->evict, 1);
	conf_destroy(c);
}

static void
every_key_of_a_rule_reaches_it(void **state)
{
	struct conf *c = load_rule(
		"direction = east-west\nvm = web\nto-vm = db\nnetwork = default\nzone = 0\n"
		"proto = tcp\nsource = 10.0.2.0/25\ndestination = 10.0.2.16\n"
		"source-port = 1024-65535\ndestination-port = 21\naction = accept\n"
		"snat = 10.0.2.100-10.0.2.109:2000-2999\ndnat = 10.0.2.17:2121\n"
		"nat-choice = persistent\nmark = 0x10\nset-zone = 7\nhelper = ftp\nlog = yes\n");
	const struct rule *r = &c->rules[0]->rule;

	assert_int_equal(r->number, 10);
	assert_int_equal(r->directions, RULES_EAST_WEST);
	assert_string_equal(c->rules[0]->vm, "web");
	assert_string_equal(c->rules[0]->to_vm, "db");
	assert_string_equal(c->rules[0]->network, "default");
	assert_true(r->by_zone);
	assert_int_equal(r->proto, IPPROTO_TCP);
	assert_int_equal(r->family, 4);
	assert_addr(&r->src.addr, "10.0.2.0");
	assert_int_equal(r->src.prefix_len, 25);
	assert_addr(&r->dst.addr, "10.0.2.16");
	assert_int_equal(r->dst.prefix_len, 32);
	assert_int_equal(r->sport_min, 1024);
	assert_int_equal(r->sport_max, 65535);
	assert_int_equal(r->dport_min, 21);
	assert_int_equal(r->dport_max, 21);
	assert_int_equal(r->action, RULES_ACCEPT);
	assert_int_equal(r->nat.what, CT_NAT_SRC | CT_NAT_DST);
	assert_int_equal(r->nat.choice, CT_NAT_PERSISTENT);
	assert_addr(&r->nat.src.min, "10.0.2.100");
	assert_addr(&r->nat.src.max, "10.0.2.109");
	assert_int_equal(r->nat.src.port_min, 2000);
	assert_int_equal(r->nat.src.port_max, 2999);
	assert_addr(&r->nat.dst.min, "10.0.2.17");
	assert_addr(&r->nat.dst.max, "10.0.2.17");
	assert_int_equal(r->nat.dst.port_min, 2121);
	assert_int_equal(r->nat.dst.port_max, 2121);
	assert_false(r->redirect);
	assert_true(r->set_mark);
	assert_int_equal(r->mark, 16);
	assert_true(r->set_zone);
	assert_int_equal(r->to_zone, 7);
	assert_int_equal(r->helper, CT_HELPER_FTP);
	assert_true(r->log);
	conf_destroy(c);
}

static void
what_a_rule_does_not_say_is_open(void **state)
{
	struct conf *c = load_rule("direction = out, in, east-west\naction = reject\n");
	const struct rule *r = &c->rules[0]->rule;

	assert_int_equal(r->directions, RULES_OUT | RULES_IN | RULES_EAST_WEST);
	assert_int_equal(r->action, RULES_REJECT);
	assert_int_equal(r->proto, 0);
	assert_int_equal(r->family, 0);
	assert_true(flowtab_addr_is_any(&r->src.addr) && flowtab_addr_is_any(&r->dst.addr));
	assert_int_equal(r->src.prefix_len + r->dst.prefix_len, 0);
	assert_int_equal(r->sport_max + r->dport_max, 0);
	assert_false(r->by_zone || r->set_mark || r->set_zone || r->redirect || r->log);
	assert_int_equal(r->nat.what, 0);
	assert_int_equal(r->helper, CT_HELPER_NONE);
	conf_destroy(c);
}

static void
the_number_decides_the_order_not_the_place(void **state)
{
	struct conf *c = load_ok(VMS "[rule.300]\ndirection = in\naction = drop\n"
				     "[rule.9]\ndirection = out\naction = drop\n"
				     "[rule.16384]\ndirection = in\naction = drop\n"
				     "[rule.20]\ndirection = out\naction = accept\n");

	assert_int_equal(c->n_rules, 4);
	assert_int_equal(c->rules[0]->rule.number, 9);
	assert_int_equal(c->rules[1]->rule.number, 20);
	assert_int_equal(c->rules[2]->rule.number, 300);
	assert_int_equal(c->rules[3]->rule.number, 16384);
	conf_destroy(c);
}

static void
protocols_have_names_or_numbers(void **state)
{
	static const struct {
		const char *text;
		uint8_t proto, family;
	} all[] = { { "any", 0, 0 }, { "tcp", 6, 0 }, { "udp", 17, 0 }, { "icmp", 1, 0 },
		{ "icmpv6", 58, 6 }, { "sctp", 132, 0 }, { "47", 47, 0 } };
	char text[128];
	size_t i;

	for (i = 0; i < RTE_DIM(all); i++) {
		struct conf *c;

		snprintf(text, sizeof(text), "direction = out\naction = drop\nproto = %s\n",
			all[i].text);
		c = load_rule(text);
		assert_int_equal(c->rules[0]->rule.proto, all[i].proto);
		assert_int_equal(c->rules[0]->rule.family, all[i].family);
		conf_destroy(c);
	}
	rule_error("direction = out\naction = drop\nproto = gre\n", 3,
		"proto: \"gre\" is not any, tcp, udp, icmp");
	rule_error("direction = out\naction = drop\nproto = 256\n", 3, "proto: \"256\" is not");
	rule_error("direction = out\naction = drop\nproto = 0\n", 3, "proto: \"0\" is not");
}

static void
a_prefix_of_no_bits_is_all_of_its_family(void **state)
{
	struct conf *c = load_rule("direction = out\naction = drop\nsource = 0.0.0.0/0\n");

	assert_int_equal(c->rules[0]->rule.family, 4);
	conf_destroy(c);
	c = load_rule("direction = out\naction = drop\ndestination = ::/0\nsource = any\n");
	assert_int_equal(c->rules[0]->rule.family, 6);
	conf_destroy(c);
}

static void
translation_may_keep_the_address_or_choose_by_itself(void **state)
{
	struct conf *c = load_rule("direction = east-west\naction = accept\nsnat = auto\n"
				   "dnat = :8080\nproto = tcp\n");
	const struct rule *r = &c->rules[0]->rule;

	assert_int_equal(r->nat.what, CT_NAT_SRC | CT_NAT_DST);
	assert_true(flowtab_addr_is_any(&r->nat.src.min));
	assert_int_equal(r->nat.src.port_max, 0);
	assert_true(flowtab_addr_is_any(&r->nat.dst.min));
	assert_int_equal(r->nat.dst.port_min, 8080);
	assert_int_equal(r->family, 0);
	conf_destroy(c);
	c = load_rule("direction = east-west\naction = accept\n"
		      "snat = [fd00:2::1:0]-[fd00:2::1:9]:5000-5999\n");
	r = &c->rules[0]->rule;
	assert_addr(&r->nat.src.min, "fd00:2::1:0");
	assert_addr(&r->nat.src.max, "fd00:2::1:9");
	assert_int_equal(r->nat.src.port_max, 5999);
	assert_int_equal(r->family, 6);
	conf_destroy(c);
}

static void
redirect_is_a_socket_of_the_host(void **state)
{
	struct conf *c = load_rule("direction = out\naction = accept\nproto = udp\n"
				   "destination-port = 53\nredirect = 5353\n");
	const struct rule *r = &c->rules[0]->rule;

	assert_true(r->redirect);
	assert_int_equal(r->nat.what, CT_NAT_DST);
	assert_true(flowtab_addr_is_zero(&r->nat.dst.min));
	assert_int_equal(r->nat.dst.port_min, 5353);
	assert_int_equal(r->nat.dst.port_max, 5353);
	conf_destroy(c);
	c = load_rule("direction = out\naction = accept\nproto = tcp\nredirect = [::1]:3128\n");
	assert_addr(&c->rules[0]->rule.nat.dst.min, "::1");
	assert_addr(&c->rules[0]->rule.nat.dst.max, "::1");
	assert_int_equal(c->rules[0]->rule.family, 6);
	conf_destroy(c);
}

/* ---- mistakes of one key ---- */

static void
rule_numbers_are_checked(void **state)
{
	static const char *const wrong[] = { "0", "16385", "07", "-1", "x", "1x", "" };
	char text[256], want[128];
	size_t i;

	for (i = 0; i < RTE_DIM(wrong); i++) {
		snprintf(text, sizeof(text), VMS "[rule.%s]\ndirection = out\naction = drop\n",
			wrong[i]);
		snprintf(want, sizeof(want),
			"weir.conf:%u: [rule.%s]: a rule has a number from 1 to 16384", AFTER,
			wrong[i]);
		load_errors(text);
		assert_error(want);
		assert_int_equal(n_errors, 1);
	}
	load_errors(VMS "[rule.5]\ndirection = out\naction = drop\n"
			"[rule.5]\ndirection = in\naction = drop\n");
	assert_error("weir.conf:16: [rule.5]: given twice, first in line 13");
}

static void
direction_and_action_are_required(void **state)
{
	rule_error("action = drop\n", 0, "direction: missing: give out, in, east-west");
	rule_error("direction = out\n", 0, "action: missing: give accept, drop, or reject");
	rule_error("direction = west\naction = drop\n", 1,
		"direction: \"west\" is not one of out, in, east-west");
	rule_error("direction =\naction = drop\n", 1, "direction: empty");
	rule_error("direction = out\naction = allow\n", 2,
		"action: \"allow\" is not one of accept, drop, reject");
}

static void
addresses_of_rules_are_checked(void **state)
{
	const char *const head = "direction = out\naction = drop\n";
	static const char *const cases[][2] = {
		{ "source = 10.0.0.1/8",
			"source: 10.0.0.1/8 has bits past its prefix: write 10.0.0.0/8" },
		{ "source = fd00::1/64",
			"source: fd00::1/64 has bits past its prefix: write fd00::/64" },
		{ "source = 10.0.0.0/33", "source: a prefix of 33 bits is not between 0 and 32" },
		{ "destination = ::/129", "destination: a prefix of 129 bits" },
		{ "destination = 0.0.0.0", "destination: 0.0.0.0 is the address of nobody" },
		{ "destination = example.org",
			"destination: \"example.org\" is not any, an address" },
		{ "source = 10.0.0.0/", "source: a prefix of  bits" },
	};
	char text[256];
	size_t i;

	for (i = 0; i < RTE_DIM(cases); i++) {
		snprintf(text, sizeof(text), "%s%s\n", head, cases[i][0]);
		rule_error(text, 3, cases[i][1]);
	}
}

static void
ranges_of_translation_are_checked(void **state)
{
	const char *const head = "direction = east-west\naction = accept\nproto = tcp\n";
	static const char *const cases[][2] = {
		{ "snat = 10.0.0.9-10.0.0.1",
			"snat: the range 10.0.0.9-10.0.0.1 ends before it begins" },
		{ "snat = 10.0.0.1:90-80", "snat: the range 90-80 ends before it begins" },
		{ "snat = 10.0.0.1:0", "snat: port 0 is not between 1 and 65535" },
		{ "snat = 10.0.0.1-[fd00::1]", "snat: 10.0.0.1-[fd00::1]: two families" },
		{ "snat = fd00::1", "snat: \"fd00\" is not an address (of IPv6: in brackets)" },
		{ "snat = [10.0.0.1]",
			"snat: \"10.0.0.1\" is not an address (of IPv6: in brackets)" },
		{ "snat = [fd00::1", "snat: \"[fd00::1\": a bracket is not closed" },
		{ "snat = 127.0.0.1",
			"snat: 127.0.0.1 is no address that a guest could speak with" },
		{ "snat = 0.0.0.0", "snat: 0.0.0.0 is no address" },
		{ "snat = 224.0.0.1", "snat: 224.0.0.1 is no address" },
		{ "snat = 10.0.0.1-10.0.0.2-10.0.0.3",
			"snat: \"10.0.0.1-10.0.0.2-10.0.0.3\" is not ADDR" },
		{ "snat = [fd00::1]x", "snat: \"[fd00::1]x\" is not ADDR" },
		{ "snat =", "snat: \"\" is not an address" },
		{ "dnat = auto", "dnat: \"auto\" is not an address" },
		{ "dnat = :", "dnat: \"\" is not a port" },
	};
	char text[512];
	size_t i;

	for (i = 0; i < RTE_DIM(cases); i++) {
		snprintf(text, sizeof(text), "%s%s\n", head, cases[i][0]);
		rule_error(text, 4, cases[i][1]);
	}
	snprintf(text, sizeof(text), "%ssnat = %0200d\n", head, 1);
	rule_error(text, 4, "snat: \"0000");
}

static void
redirects_are_checked(void **state)
{
	const char *const head = "direction = out\naction = accept\nproto = tcp\n";
	static const char *const cases[][2] = {
		{ "redirect = 0", "redirect: port 0 is not between 1 and 65535" },
		{ "redirect = 80-90", "redirect: 80-90: give one port" },
		{ "redirect = 0.0.0.0:80", "redirect: 0.0.0.0:80: give the address of a socket" },
		{ "redirect = [::]:80", "redirect: [::]:80: give the address of a socket" },
		{ "redirect = [::1]",
			"redirect: \"[::1]\": an IPv6 address is written [ADDR]:PORT" },
		{ "redirect = there:80", "redirect: \"there\" is not an address of this host" },
	};
	char text[512];
	size_t i;

	for (i = 0; i < RTE_DIM(cases); i++) {
		snprintf(text, sizeof(text), "%s%s\n", head, cases[i][0]);
		rule_error(text, 4, cases[i][1]);
	}
	snprintf(text, sizeof(text), "%sredirect = %0200d\n", head, 1);
	rule_error(text, 4, "redirect: \"0000");
}

/* ---- contradictions ---- */

static void
names_must_be_there_and_agree(void **state)
{
	const char *const ew = "direction = east-west\naction = drop\n";
	static const char *const cases[][2] = {
		{ "vm = nobody\n", "vm: there is no [vm.nobody]" },
		{ "to-vm = nobody\n", "to-vm: there is no [vm.nobody]" },
		{ "network = nowhere\n", "network: there is no [network.nowhere]" },
		{ "vm = web\nnetwork = lab\n", "vm: web is in the network default, not in lab" },
		{ "to-vm = test\nnetwork = default\n",
			"to-vm: test is in the network lab, not in default" },
		{ "vm = old\nzone = 4\n", "vm: old is in the zone 5, not in 4" },
		{ "to-vm = web\nzone = 5\n", "to-vm: web is in the zone 0, not in 5" },
		{ "to-vm = web\nvm = web\n", "to-vm: this is the VM itself" },
		{ "to-vm = test\nvm = web\n",
			"to-vm: test is in the network lab, web in default: they cannot meet" },
		{ "to-vm = old\nvm = web\n",
			"to-vm: old is in the zone 5, web in 0: they cannot meet" },
	};
	char text[512];
	size_t i;

	for (i = 0; i < RTE_DIM(cases); i++) {
		snprintf(text, sizeof(text), "%s%s", ew, cases[i][0]);
		rule_error(text, 3, cases[i][1]);
	}
}

static void
what_becomes_of_a_flow_goes_with_accept(void **state)
{
	static const char *const keys[] = { "snat = 10.0.2.9", "dnat = 10.0.2.9", "helper = ftp",
		"mark = 1", "set-zone = 3" };
	char text[256], want[128];
	size_t i, k;

	for (i = 0; i < RTE_DIM(keys); i++) {
		for (k = 0; k < 2; k++) {
			snprintf(text, sizeof(text),
				"direction = east-west\naction = %s\nproto = tcp\n%s\n",
				k == 0 ? "drop" : "reject", keys[i]);
			snprintf(want, sizeof(want), "%.*s: goes with action = accept alone",
				(int)strcspn(keys[i], " "), keys[i]);
			rule_error(text, 4, want);
		}
	}
	rule_error("direction = out\naction = drop\nproto = tcp\nredirect = 80\n", 4,
		"redirect: goes with action = accept alone");
}

static void
some_keys_go_with_some_directions(void **state)
{
	static const char *const cases[][3] = {
		{ "out", "to-vm = web", "to-vm: goes with direction = east-west alone" },
		{ "in, east-west", "to-vm = web", "to-vm: goes with direction = east-west alone" },
		{ "in", "redirect = 80", "redirect: goes with direction = out alone" },
		{ "east-west", "redirect = 80", "redirect: goes with direction = out alone" },
		{ "out", "helper = ftp", "helper: goes with direction = east-west alone" },
		{ "out", "snat = auto", "snat: auto goes with direction = east-west alone" },
		{ "in, east-west", "snat = auto",
			"snat: auto goes with direction = east-west alone" },
	};
	char text[256];
	size_t i;

	for (i = 0; i < RTE_DIM(cases); i++) {
		snprintf(text, sizeof(text), "direction = %s\naction = accept\nproto = tcp\n%s\n",
			cases[i][0], cases[i][1]);
		rule_error(text, 4, cases[i][2]);
	}
}

static void
keys_that_exclude_each_other_are_named(void **state)
{
	load_errors(RULE "direction = out\naction = accept\nproto = tcp\nredirect = 80\n"
			 "dnat = 10.0.2.9\n");
	assert_error("weir.conf:17: [rule.10] redirect: there is a dnat, too");
	rule_error("direction = east-west\naction = accept\nnat-choice = random\n", 3,
		"nat-choice: there is neither snat nor dnat");
}

static void
ports_and_helpers_need_their_protocol(void **state)
{
	static const char *const cases[][2] = {
		{ "source-port = 80\n", "source-port: goes with a proto that has ports" },
		{ "destination-port = 80\nproto = icmp\n", "destination-port: goes with a proto" },
		{ "destination-port = 80\nproto = 47\n", "destination-port: goes with a proto" },
		{ "dnat = :80\nproto = icmp\n", "dnat: gives a port" },
		{ "dnat = 10.0.2.9:80\nproto = 47\n", "dnat: gives a port" },
		{ "snat = 10.0.2.9:80-90\nproto = 47\n", "snat: gives a port" },
		{ "helper = ftp\n", "helper: ftp goes with proto = tcp" },
		{ "helper = ftp\nproto = udp\n", "helper: ftp goes with proto = tcp" },
		{ "helper = tftp\nproto = tcp\n", "helper: tftp goes with proto = udp" },
		{ "destination-port = 90-80\nproto = tcp\n",
			"destination-port: the range 90-80 ends before" },
		{ "destination-port = 70000\nproto = tcp\n",
			"destination-port: port 70000 is not" },
	};
	char text[256];
	struct conf *c;
	size_t i;

	for (i = 0; i < RTE_DIM(cases); i++) {
		snprintf(text, sizeof(text), "direction = east-west\naction = accept\n%s",
			cases[i][0]);
		rule_error(text, 3, cases[i][1]);
	}
	rule_error("direction = out\naction = accept\nredirect = 80\n", 3,
		"redirect: goes with proto = tcp, or udp");
	/* One mistake, one error. */
	rule_error("direction = out\naction = drop\nproto = tpc\ndestination-port = 80\n", 3,
		"proto: \"tpc\" is not");
	c = load_rule("direction = east-west\naction = accept\nhelper = tftp\nproto = udp\n"
		      "destination-port = 69\n");
	conf_destroy(c);
	/* Identifiers of ICMP are translated as a source's ports are. */
	c = load_rule("direction = east-west\naction = accept\nproto = icmp\n"
		      "snat = 10.0.2.9:500-999\n");
	conf_destroy(c);
}

static void
addresses_of_one_rule_are_of_one_family(void **state)
{
	static const char *const cases[][3] = {
		{ "source = 10.0.0.0/8", "destination = fd00::/8",
			"destination: this is of IPv6, source of IPv4" },
		{ "source = ::/0", "snat = 10.0.2.9", "snat: this is of IPv4, source of IPv6" },
		{ "snat = 10.0.2.9", "dnat = [fd00::9]", "dnat: this is of IPv6, snat of IPv4" },
		{ "proto = icmpv6", "destination = 10.0.0.1",
			"destination: this is of IPv4, proto of IPv6" },
	};
	char text[256];
	size_t i;

	for (i = 0; i < RTE_DIM(cases); i++) {
		snprintf(text, sizeof(text), "direction = east-west\naction = accept\n%s\n%s\n",
			cases[i][0], cases[i][1]);
		rule_error(text, 4, cases[i][2]);
	}
	rule_error("direction = out\naction = accept\nproto = tcp\ndestination = fd00::/8\n"
		   "redirect = 127.0.0.1:80\n",
		5, "redirect: this is of IPv4, destination of IPv6");
}

static void
family_that_a_vm_does_not_have_is_an_error(void **state)
{
	load_errors(VMS "[rule.10]\ndirection = east-west\nvm = web\nto-vm = v4\n"
			"action = accept\nsource = fd00::/8\n"
			"[vm.v4]\nsocket = /e\naddress6 = none\n"
			"[vm.v6]\nsocket = /f\naddress = none\n"
			"[rule.20]\ndirection = out\nvm = v6\naction = accept\nproto = tcp\n"
			"redirect = 127.0.0.1:80\n");
	assert_error("weir.conf:16: [rule.10] to-vm: v4 has no address of IPv6");
	assert_error("weir.conf:27: [rule.20] vm: v6 has no address of IPv4");
	assert_int_equal(n_errors, 2);
}

/* ---- zones and timeouts ---- */

static void
limits_of_zones_are_a_list_with_ranges(void **state)
{
	struct conf *c = load_ok("[weir]\nzone-limit = default:10000, 5:200\n"
				 "zone-limit = 7-9:0 0:none\n[vm.a]\nsocket = /a\n");
	const struct conf_zone_limits *l = &c->zone_limits;

	assert_int_equal(l->n, 4);
	assert_int_equal(l->entry[0].first, FLOWTAB_ZONE_DEFAULT);
	assert_int_equal(l->entry[0].max, 10000);
	assert_int_equal(l->entry[1].first, 5);
	assert_int_equal(l->entry[1].last, 5);
	assert_int_equal(l->entry[2].first, 7);
	assert_int_equal(l->entry[2].last, 9);
	assert_int_equal(l->entry[2].max, 0);
	assert_int_equal(l->entry[3].max, FLOWTAB_LIMIT_NONE);
	conf_destroy(c);
}

static void
limits_of_zones_are_checked(void **state)
{
	static const char *const cases[][2] = {
		{ "5", "\"5\" is not ZONE:N" },
		{ "5:", "\"5\" is not ZONE:N" },
		{ "5:x", "\"5\" is not ZONE:N" },
		{ "x:5", "\"x\" is not a zone from 0 to 65535" },
		{ "65536:5", "\"65536\" is not a zone" },
		{ "9-7:5", "\"9\" is not a zone" },
		{ "5:4294967294", "4294967294 flows are more than can be counted" },
		{ "5:1, 3-6:2", "3 is given twice" },
		{ "default:1, default:2", "default is given twice" },
		{ "", "empty: give ZONE:N" },
		{ "00000000000000000000000000000000000000000000000000000005:1", "\"0000" },
	};
	char text[256], want[128];
	size_t i;

	for (i = 0; i < RTE_DIM(cases); i++) {
		snprintf(text, sizeof(text), "[weir]\nzone-limit = %s\n[vm.a]\nsocket = /a\n",
			cases[i][0]);
		snprintf(want, sizeof(want), "weir.conf:2: [weir] zone-limit: %s", cases[i][1]);
		load_errors(text);
		assert_error(want);
		assert_int_equal(n_errors, 1);
	}
}

static void
too_many_limits_of_zones_are_an_error(void **state)
{
	char text[8192] = "[vm.a]\nsocket = /a\n[weir]\nzone-limit =";
	unsigned int i;

	for (i = 0; i <= CONF_MAX_ZONE_LIMITS; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), " %u:1", i);
	load_errors(text);
	assert_error("weir.conf:4: [weir] zone-limit: more than 256 entries: use ranges");
}

static void
timeouts_are_given_by_zones(void **state)
{
	struct conf *c = load_ok("[timeouts.short]\nzones = 1, 5-9\nzones = 100\nudp-first = 5\n"
				 "tcp-established = 5184000\n[timeouts.default]\nicmp-reply = 7\n"
				 "[vm.a]\nsocket = /a\n");
	const struct conf_timeouts *d = c->ct_timeouts[0], *s = c->ct_timeouts[1];

	assert_int_equal(c->n_ct_timeouts, 2);
	assert_string_equal(d->name, "default");
	assert_int_equal(d->policy.ms[CT_TIMEOUT_ICMP_REPLY], 7000);
	assert_int_equal(d->policy.ms[CT_TIMEOUT_TCP_ESTABLISHED], 86400000);
	assert_int_equal(s->policy.ms[CT_TIMEOUT_UDP_FIRST], 5000);
	/* 60 days are more milliseconds than 32 bits hold. */
	assert_true(s->policy.ms[CT_TIMEOUT_TCP_ESTABLISHED] == UINT64_C(5184000000));
	assert_int_equal(s->policy.ms[CT_TIMEOUT_OTHER_MULTIPLE], 30000);
	assert_true(conf_zones_have(&s->zones, 1) && conf_zones_have(&s->zones, 5) &&
		conf_zones_have(&s->zones, 9) && conf_zones_have(&s->zones, 100));
	assert_false(conf_zones_have(&s->zones, 0) || conf_zones_have(&s->zones, 10) ||
		conf_zones_have(&s->zones, 65535));
	conf_destroy(c);
}

static void
defaults_of_timeouts_are_the_trackers(void **state)
{
	static const uint32_t want[] = { 30, 30, 86400, 900, 45, 30, 60, 60, 30, 60, 30, 60, 60,
		30 };
	struct conf *c = load_ok("[vm.a]\nsocket = /a\n");
	unsigned int i;

	assert_int_equal(c->n_ct_timeouts, 1);
	for (i = 0; i < CT_TIMEOUTS; i++)
		assert_int_equal(c->ct_timeouts[0]->policy.ms[i], want[i] * 1000);
	conf_destroy(c);
}

static void
mistakes_of_timeouts_are_named(void **state)
{
	load_errors(
		"[vm.a]\nsocket = /a\n[timeouts.a]\nzones = 1-5\n[timeouts.b]\nudp-first = 0\n"
		"zones = 5\n[timeouts.c]\nudp-first = 1\n[timeouts.default]\nzones = 9\n"
		"[timeouts.d]\nzones = 9-x\n[timeouts.e]\nzones = 5-4\n[timeouts.f]\nzones =\n");
	assert_error("weir.conf:6: [timeouts.b] udp-first: 0 is not between 1 and 315360000");
	assert_error("weir.conf:7: [timeouts.b] zones: 5 is also a zone of [timeouts.a]");
	assert_error("weir.conf:8: [timeouts.c] zones: missing");
	assert_error(
		"weir.conf:11: [timeouts.default] zones: these are of the zones that no other");
	assert_error("weir.conf:13: [timeouts.d] zones: \"9-x\" is not a list of zones");
	assert_error("weir.conf:15: [timeouts.e] zones: \"5-4\" is not a list of zones");
	assert_error("weir.conf:17: [timeouts.f] zones: empty");
	assert_int_equal(n_errors, 7);
}

static void
too_many_sets_of_timeouts_are_an_error(void **state)
{
	char text[2048] = "[vm.a]\nsocket = /a\n";
	unsigned int i;

	for (i = 1; i <= CT_POLICIES; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text),
			"[timeouts.t%u]\nzones = %u\n", i, i);
	load_errors(text);
	assert_error("weir.conf:33: [timeouts.t16]: too many: at most 16 sets of timeouts");
	assert_int_equal(n_errors, 1);
}

static void
rules_change_while_weir_runs(void **state)
{
	struct conf *a = load_ok("[vm.a]\nsocket = /a\n[rule.1]\ndirection = out\naction = drop\n");
	struct conf *b = load_ok("[weir]\npolicy-out = drop\nzone-limit = 1:1\ntcp-pickup = no\n"
				 "tcp-window-check = no\n[vm.a]\nsocket = /a\n"
				 "[timeouts.default]\nudp-first = 9\n");
	struct conf *c = load_ok("[weir]\ntable-full = evict\n[vm.a]\nsocket = /a\n");

	n_errors = 0;
	assert_int_equal(conf_diff_fixed(a, b, note_error, NULL), 0);
	assert_int_equal(conf_diff_fixed(a, c, note_error, NULL), 1);
	assert_error("weir.conf:2: [weir] table-full: cannot change while weir runs");
	conf_destroy(a);
	conf_destroy(b);
	conf_destroy(c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_rules_leave_policies_that_keep_guests_apart),
		cmocka_unit_test(every_key_of_a_rule_reaches_it),
		cmocka_unit_test(what_a_rule_does_not_say_is_open),
		cmocka_unit_test(the_number_decides_the_order_not_the_place),
		cmocka_unit_test(protocols_have_names_or_numbers),
		cmocka_unit_test(a_prefix_of_no_bits_is_all_of_its_family),
		cmocka_unit_test(translation_may_keep_the_address_or_choose_by_itself),
		cmocka_unit_test(redirect_is_a_socket_of_the_host),
		cmocka_unit_test(rule_numbers_are_checked),
		cmocka_unit_test(direction_and_action_are_required),
		cmocka_unit_test(addresses_of_rules_are_checked),
		cmocka_unit_test(ranges_of_translation_are_checked),
		cmocka_unit_test(redirects_are_checked),
		cmocka_unit_test(names_must_be_there_and_agree),
		cmocka_unit_test(what_becomes_of_a_flow_goes_with_accept),
		cmocka_unit_test(some_keys_go_with_some_directions),
		cmocka_unit_test(keys_that_exclude_each_other_are_named),
		cmocka_unit_test(ports_and_helpers_need_their_protocol),
		cmocka_unit_test(addresses_of_one_rule_are_of_one_family),
		cmocka_unit_test(family_that_a_vm_does_not_have_is_an_error),
		cmocka_unit_test(limits_of_zones_are_a_list_with_ranges),
		cmocka_unit_test(limits_of_zones_are_checked),
		cmocka_unit_test(too_many_limits_of_zones_are_an_error),
		cmocka_unit_test(timeouts_are_given_by_zones),
		cmocka_unit_test(defaults_of_timeouts_are_the_trackers),
		cmocka_unit_test(mistakes_of_timeouts_are_named),
		cmocka_unit_test(too_many_sets_of_timeouts_are_an_error),
		cmocka_unit_test(rules_change_while_weir_runs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
