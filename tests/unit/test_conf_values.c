/* SPDX-License-Identifier: BSD-3-Clause */
/* Forwards, resolvers, loopback: values with rules of their own. */
#include "test_conf.h"

static void
forwards_have_address_port_range_and_guest_port(void **state)
{
	struct conf *c = load_ok("[vm.a]\nsocket = /a\n"
				 "tcp = 22, 2222:22, 127.0.0.1:8080:80 [::1]:8443:443\n"
				 "tcp = 9000-9010:19000, 10.1.1.1:7000-7001:7100-7101\n"
				 "udp = 0.0.0.0:53:5353\n");
	const struct l4x_forward *f = c->vms[0]->tcp.entry;

	assert_int_equal(c->vms[0]->tcp.n, 6);
	assert_true(flowtab_addr_is_zero(&f[0].addr));
	assert_int_equal(f[0].first, 22);
	assert_int_equal(f[0].guest_first, 22);
	assert_int_equal(f[1].first, 2222);
	assert_int_equal(f[1].last, 2222);
	assert_int_equal(f[1].guest_first, 22);
	assert_addr(&f[2].addr, "127.0.0.1");
	assert_int_equal(f[2].guest_first, 80);
	assert_addr(&f[3].addr, "::1");
	assert_int_equal(f[3].first, 8443);
	assert_int_equal(f[4].last, 9010);
	assert_int_equal(f[4].guest_first, 19000);
	assert_int_equal(f[5].last, 7001);
	assert_int_equal(c->vms[0]->udp.n, 1);
	assert_addr(&c->vms[0]->udp.entry[0].addr, "0.0.0.0");
	conf_destroy(c);
}

static void
forward_mistakes_are_named(void **state)
{
	static const struct {
		const char *value, *error;
	} cases[] = {
		{ "0", "port 0 is not between 1 and 65535" },
		{ "65536", "port 65536 is not between 1 and 65535" },
		{ "80:70000", "port 70000 is not between 1 and 65535" },
		{ "80-70000", "port 70000 is not between 1 and 65535" },
		{ "90-80", "the range 90-80 ends before it begins" },
		{ "8000-8010:9000-9005", "8000-8010:9000-9005: 11 host ports, but 6 guest ports" },
		{ "8000-8010:65530", "8000-8010:65530: the guest's ports would go beyond 65535" },
		{ "http", "\"http\" is not a port" },
		{ "80:", "\"\" is not a port" },
		{ ":80", "\"\" is not a port" },
		{ "localhost:80", "\"localhost\" is not an address of this host" },
		{ "::1:80", "\"\" is not a port" },
		{ "[::1]", "\"[::1]\": an IPv6 address is written [ADDR]:PORT" },
		{ "[127.0.0.1]:80", "\"127.0.0.1\" is not an address of this host" },
		{ "[fe80::1]:80", "fe80::1 is a link-local address, which needs an interface" },
		{ "[fe80::1%eth0]:80", "\"fe80::1%eth0\" is not an address of this host" },
		{ "1.2.3.4:", "\"\" is not a port" },
		{ "224.0.0.1:80", "\"224.0.0.1\" is not an address of this host" },
		{ "1-2-3", "\"1-2-3\" is not a port" },
		{ "80:81:82", "\"81:82\" is not a port" },
		{ "", "empty: give [ADDR:]PORT" },
		{ ",,,", "empty: give [ADDR:]PORT" },
		{ "80/http", "\"http\" is not a port" },
	};
	char text[256], error[256];
	size_t i;

	for (i = 0; i < RTE_DIM(cases); i++) {
		snprintf(text, sizeof(text), "[vm.a]\nsocket = /a\ntcp = %s\n", cases[i].value);
		snprintf(error, sizeof(error), "weir.conf:3: [vm.a] tcp: %s", cases[i].error);
		load_errors(text);
		assert_error(error);
	}
}

static void
too_long_a_forward_is_cut_nowhere_silently(void **state)
{
	char text[512];

	snprintf(text, sizeof(text), "[vm.a]\nsocket = /a\ntcp = 1.2.3.4:%0200d\n", 80);
	load_errors(text);
	assert_int_equal(n_errors, 1);
}

static void
too_many_forwards_are_an_error(void **state)
{
	char text[4096] = "[vm.a]\nsocket = /a\ntcp = 1000";
	int i;

	for (i = 1; i <= CONF_MAX_FORWARDS; i++)
		sprintf(text + strlen(text), ",%d", 1000 + i);
	load_errors(text);
	assert_error("weir.conf:3: [vm.a] tcp: more than 128 entries: use ranges");
}

static void
more_ports_than_can_be_forwarded_are_an_error(void **state)
{
	conf_destroy(load_ok("[vm.a]\nsocket = /a\ntcp = 1-65535\n"));
	load_errors("[vm.a]\nsocket = /a\ntcp = 1-65535\nudp = 53\n"
		    "[vm.b]\nsocket = /b\nudp = 54\n");
	assert_error("weir.conf:4: [vm.a] udp: with these, more than 65535 ports are forwarded");
	assert_int_equal(n_errors, 1);
}

static void
one_host_port_cannot_lead_to_two_places(void **state)
{
	load_errors("[vm.a]\nsocket = /a\ntcp = 80, 1000-2000\nudp = 53\n"
		    "[vm.b]\nsocket = /b\ntcp = 127.0.0.1:80\ntcp = 1500:22\nudp = 53:53\n");
	assert_error("weir.conf:8: [vm.b] tcp: host port 80 is also a's (weir.conf:3: [vm.a])");
	assert_error("weir.conf:8: [vm.b] tcp: host port 1500 is also a's");
	assert_error("weir.conf:9: [vm.b] udp: host port 53 is also a's");
	assert_int_equal(n_errors, 3);
	load_errors("[vm.a]\nsocket = /a\ntcp = 80, 0.0.0.0:80:81\n");
	assert_error("weir.conf:3: [vm.a] tcp: host port 80 is also a's");
	conf_destroy(load_ok("[vm.a]\nsocket = /a\ntcp = 127.0.0.1:80, 127.0.0.2:80, [::1]:80\n"
			     "udp = 80\n"));
}

static void
what_comes_to_an_address_needs_a_guest_of_its_family(void **state)
{
	load_errors("[vm.a]\nsocket = /a\naddress6 = none\ntcp = 80, 127.0.0.1:81, [::1]:82\n"
		    "[vm.b]\nsocket = /b\naddress = none\nudp = 127.0.0.1:53, [::1]:53\n"
		    "udp = 0.0.0.0:54\n");
	assert_error("weir.conf:4: [vm.a] tcp: ::1: the VM has no address of this family");
	assert_error("weir.conf:9: [vm.b] udp: 127.0.0.1: the VM has no address of this family");
	assert_error("weir.conf:9: [vm.b] udp: 0.0.0.0: the VM has no address of this family");
	assert_int_equal(n_errors, 3);
}

static void
resolvers_of_a_family_that_a_vm_has_not_are_left_out(void **state)
{
	struct conf *c = load_ok("[weir]\ndns = 9.9.9.9, 2620:fe::fe\n"
				 "[vm.a]\nsocket = /a\n[vm.b]\nsocket = /b\naddress6 = none\n");

	assert_int_equal(c->vms[0]->port.n_dns, 2);
	assert_int_equal(c->vms[1]->port.n_dns, 1);
	assert_addr(&c->vms[1]->port.dns[0], "9.9.9.9");
	conf_destroy(c);
	load_errors("[vm.a]\nsocket = /a\naddress6 = none\ndns = 2620:fe::fe\n");
	assert_error("weir.conf:4: [vm.a] dns: none of the resolvers is of a family that a has");
	load_errors("[weir]\ndns = 2620:fe::fe\n[vm.a]\nsocket = /a\naddress6 = none\n");
	assert_error("weir.conf:2: [weir] dns: none of the resolvers is of a family that a has");
}

static void
quotes_are_no_part_of_a_value(void **state)
{
	struct conf *c = load_ok("[weir]\neal = --vdev \"net_null0\"\n[vm.a]\nsocket = /a\n");

	assert_string_equal(c->eal, "--vdev \"net_null0\"");
	conf_destroy(c);
	load_errors("[weir]\nmemory = \"64\"\n[vm.a]\nsocket = '/a'\n");
	assert_error("weir.conf:2: [weir] memory: write \"64\" without the quotes");
	assert_error("weir.conf:4: [vm.a] socket: write '/a' without the quotes");
}

static void
write_resolv(char *path, const char *text)
{
	const int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	resolv_path = path;
}

static void
hosts_resolvers_are_handed_out(void **state)
{
	char path[] = "/tmp/test_resolv_XXXXXX";
	struct conf *c;

	write_resolv(path,
		"# comment\nnameserver 127.0.0.53\nnameserver 192.0.2.1\n"
		"nameserver fe80::1%eth0\nnameserver 2001:db8::1\n"
		"nameserver junk\ndomain old.test\nsearch a.test b.test. !bad\n");
	c = load_ok("[vm.a]\nsocket = /a\n[vm.b]\nsocket = /b\naddress6 = none\nsearch = x.test\n");
	assert_int_equal(c->vms[0]->port.n_dns, 2);
	assert_addr(&c->vms[0]->port.dns[0], "192.0.2.1");
	assert_addr(&c->vms[0]->port.dns[1], "2001:db8::1");
	assert_true(flowtab_addr_is_zero(&c->vms[0]->port.dns_forward));
	assert_string_equal(c->vms[0]->port.search, "a.test b.test");
	assert_int_equal(c->vms[1]->port.n_dns, 1);
	assert_string_equal(c->vms[1]->port.search, "x.test");
	conf_destroy(c);
	unlink(path);
	resolv_path = "/dev/null";
}

static void
gateway_forwards_dns_when_hosts_resolvers_are_on_loopback(void **state)
{
	char path[] = "/tmp/test_resolv_XXXXXX";
	struct conf *c;

	write_resolv(path, "nameserver 127.0.0.53\nnameserver ::1\n");
	c = load_ok("[vm.a]\nsocket = /a\n[vm.b]\nsocket = /b\ndns-forward = none\n"
		    "[vm.c]\nsocket = /c\ndns = none\n[vm.d]\nsocket = /d\n"
		    "dns-forward = 9.9.9.9\n");
	assert_int_equal(c->vms[0]->port.n_dns, 2);
	assert_addr(&c->vms[0]->port.dns[0], "10.0.2.2");
	assert_addr(&c->vms[0]->port.dns[1], "fd00:2::2");
	assert_addr(&c->vms[0]->port.dns_forward, "127.0.0.53");
	assert_int_equal(c->vms[1]->port.n_dns, 0);
	assert_true(flowtab_addr_is_zero(&c->vms[1]->port.dns_forward));
	assert_int_equal(c->vms[2]->port.n_dns, 0);
	assert_addr(&c->vms[3]->port.dns[0], "10.0.2.2");
	assert_addr(&c->vms[3]->port.dns_forward, "9.9.9.9");
	conf_destroy(c);
	unlink(path);
	resolv_path = "/dev/null";
}

static void
resolvers_of_the_host_inside_of_the_vms_network_are_not_handed_out(void **state)
{
	char path[] = "/tmp/test_resolv_XXXXXX";
	struct conf *c;

	write_resolv(path, "nameserver 10.0.2.3\nnameserver fd00:2::3\nnameserver 192.0.2.1\n");
	c = load_ok("[vm.a]\nsocket = /a\n[network.x]\nsubnet = 10.9.0.0/16\n"
		    "subnet6 = fd00:9::/64\n[vm.b]\nsocket = /b\nnetwork = x\n");
	assert_int_equal(c->vms[0]->port.n_dns, 1);
	assert_addr(&c->vms[0]->port.dns[0], "192.0.2.1");
	assert_true(flowtab_addr_is_zero(&c->vms[0]->port.dns_forward));
	/* Elsewhere they are as good as any. */
	assert_int_equal(c->vms[1]->port.n_dns, 3);
	conf_destroy(c);
	unlink(path);
	strcpy(path, "/tmp/test_resolv_XXXXXX");
	write_resolv(path, "nameserver 10.0.2.3\n");
	c = load_ok("[vm.a]\nsocket = /a\n");
	assert_int_equal(c->vms[0]->port.n_dns, 2);
	assert_addr(&c->vms[0]->port.dns[0], "10.0.2.2");
	assert_addr(&c->vms[0]->port.dns[1], "fd00:2::2");
	assert_addr(&c->vms[0]->port.dns_forward, "10.0.2.3");
	conf_destroy(c);
	unlink(path);
	resolv_path = "/dev/null";
}

static void
a_loopback_resolver_beside_others_is_left_out(void **state)
{
	char path[] = "/tmp/test_resolv_XXXXXX";
	struct conf *c;

	write_resolv(path,
		"nameserver 127.0.0.53\nnameserver 2001:db8::1\nnameserver 2001:db8::2\n"
		"nameserver 192.0.2.1\nnameserver 192.0.2.2\nnameserver 192.0.2.3\n");
	c = load_ok("[vm.a]\nsocket = /a\n[vm.b]\nsocket = /b\naddress = none\n");
	/* As many as there is room for, in the host's order. */
	assert_int_equal(c->vms[0]->port.n_dns, L4X_MAX_DNS);
	assert_addr(&c->vms[0]->port.dns[0], "2001:db8::1");
	assert_addr(&c->vms[0]->port.dns[1], "2001:db8::2");
	assert_addr(&c->vms[0]->port.dns[2], "192.0.2.1");
	assert_addr(&c->vms[0]->port.dns[3], "192.0.2.2");
	assert_true(flowtab_addr_is_zero(&c->vms[0]->port.dns_forward));
	assert_int_equal(c->vms[1]->port.n_dns, 2);
	assert_addr(&c->vms[1]->port.dns[1], "2001:db8::2");
	conf_destroy(c);
	unlink(path);
	resolv_path = "/dev/null";
}

static void
a_resolver_inside_of_the_vms_network_is_a_mistake(void **state)
{
	load_errors("[weir]\ndns = 10.0.2.3\n[network.x]\nsubnet = 10.9.0.0/16\n"
		    "dns = 9.9.9.9 10.9.1.1\n[vm.a]\nsocket = /a\n[vm.b]\nsocket = /b\n"
		    "network = x\n[vm.c]\nsocket = /c\ndns = fd00:2::53\n");
	assert_error("weir.conf:2: [weir] dns: 10.0.2.3 is in the network of a, which ends at the "
		     "gateway: give dns-forward = 10.0.2.3");
	assert_error("weir.conf:5: [network.x] dns: 10.9.1.1 is in the network of b");
	assert_error("weir.conf:13: [vm.c] dns: fd00:2::53 is in the network of c");
	assert_int_equal(n_errors, 3);
	/* The gateway is no mistake, nor what stands for the host's loopback. */
	conf_destroy(load_ok("[vm.a]\nsocket = /a\ndns = 10.0.2.2 fd00:2::2 10.0.2.3\n"
			     "dns-forward = 9.9.9.9\nloopback = 10.0.2.3\n"));
}

static void
resolver_mistakes_are_named(void **state)
{
	load_errors("[vm.a]\nsocket = /a\ndns = 127.0.0.1\n[vm.b]\nsocket = /b\ndns = resolver\n"
		    "[vm.c]\nsocket = /c\ndns = 1.1.1.1,1.1.1.2,1.1.1.3,1.1.1.4,1.1.1.5\n"
		    "[vm.d]\nsocket = /d\nsearch = -bad-.test\n[vm.e]\nsocket = /e\n"
		    "dns = host\ndns = 1.1.1.1\n[vm.f]\nsocket = /f\nhostname = a_b\n"
		    "[vm.g]\nsocket = /g\ndns = 169.254.169.253\n");
	assert_error("weir.conf:3: [vm.a] dns: 127.0.0.1 is a loopback address");
	assert_error("weir.conf:6: [vm.b] dns: \"resolver\" is not host, none, or a list");
	assert_error("weir.conf:9: [vm.c] dns: more than 4 addresses");
	assert_error("weir.conf:12: [vm.d] search: \"-bad-.test\" is not a domain name");
	assert_error("weir.conf:16: [vm.e] dns: 1.1.1.1, but host or none is given, too");
	assert_error("weir.conf:19: [vm.f] hostname: \"a_b\" is not a host name");
	assert_error("weir.conf:22: [vm.g] dns: 169.254.169.253 is a link-local address");
	assert_int_equal(n_errors, 7);
}

static void
loopback_is_gateway_or_addresses(void **state)
{
	struct conf *c = load_ok("[vm.a]\nsocket = /a\nloopback = gateway\n[vm.b]\nsocket = /b\n"
				 "loopback = 10.0.2.3 fd00:2::3\n[vm.c]\nsocket = /c\n"
				 "loopback = none\n");

	assert_addr(&c->vms[0]->port.loopback, "10.0.2.2");
	assert_addr(&c->vms[0]->port.loopback6, "fd00:2::2");
	assert_addr(&c->vms[1]->port.loopback, "10.0.2.3");
	assert_addr(&c->vms[1]->port.loopback6, "fd00:2::3");
	assert_true(flowtab_addr_is_zero(&c->vms[2]->port.loopback));
	conf_destroy(c);
	load_errors("[vm.a]\nsocket = /a\nloopback = 127.0.0.1\n[vm.b]\nsocket = /b\n"
		    "loopback = 10.0.2.3, 10.0.2.4\n[vm.c]\nsocket = /c\naddress = 10.0.2.9\n"
		    "loopback = 10.0.2.9\n[vm.d]\nsocket = /d\naddress6 = none\n"
		    "loopback = fd00:2::7\n");
	assert_error("weir.conf:3: [vm.a] loopback: \"127.0.0.1\" is not gateway, none, or an");
	assert_error("weir.conf:6: [vm.b] loopback: 10.0.2.4 is a second address of one family");
	assert_error("weir.conf:10: [vm.c] loopback: this is the VM's own address");
	assert_error("weir.conf:14: [vm.d] loopback: the VM has no address of this family");
	assert_int_equal(n_errors, 4);
}

static void
loopback_is_no_other_vms_address(void **state)
{
	load_errors("[vm.a]\nsocket = /a\nloopback = 10.0.2.16\n[vm.b]\nsocket = /b\n"
		    "[vm.c]\nsocket = /c\nloopback = fd00:2::15\n");
	assert_error("weir.conf:3: [vm.a] loopback: 10.0.2.16 is also b's (weir.conf:4: [vm.b])");
	assert_error("weir.conf:8: [vm.c] loopback: fd00:2::15 is also a's");
	assert_int_equal(n_errors, 2);
	conf_destroy(load_ok("[network.n]\nsubnet = 10.0.2.0/24\n[vm.a]\nsocket = /a\n"
			     "loopback = 10.0.2.99\n[vm.b]\nsocket = /b\nnetwork = n\n"
			     "address = 10.0.2.99\n"));
}

static void
a_vm_cannot_have_more_flows_than_a_worker(void **state)
{
	load_errors("[weir]\nmax-flows = 1000\n[vm.a]\nsocket = /a\nmax-flows = 1001\n"
		    "[vm.b]\nsocket = /b\nmax-flows = 1000\n");
	assert_error("weir.conf:5: [vm.a] max-flows: 1001 is more than the max-flows of [weir]");
	assert_int_equal(n_errors, 1);
}

static void
numbers_can_be_hexadecimal(void **state)
{
	struct conf *c = load_ok("[vm.a]\nsocket = /a\nmark = 0xFFFFFFFF\n");

	assert_int_equal(c->vms[0]->port.mark, UINT32_MAX);
	conf_destroy(c);
	load_errors("[vm.a]\nsocket = /a\nmark = 0x\nzone = 0x10000\n");
	assert_error("weir.conf:3: [vm.a] mark: \"0x\" is not a number");
	assert_error("weir.conf:4: [vm.a] zone: 0x10000 is not between 0 and 65535");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(forwards_have_address_port_range_and_guest_port),
		cmocka_unit_test(forward_mistakes_are_named),
		cmocka_unit_test(too_long_a_forward_is_cut_nowhere_silently),
		cmocka_unit_test(too_many_forwards_are_an_error),
		cmocka_unit_test(more_ports_than_can_be_forwarded_are_an_error),
		cmocka_unit_test(one_host_port_cannot_lead_to_two_places),
		cmocka_unit_test(what_comes_to_an_address_needs_a_guest_of_its_family),
		cmocka_unit_test(resolvers_of_a_family_that_a_vm_has_not_are_left_out),
		cmocka_unit_test(quotes_are_no_part_of_a_value),
		cmocka_unit_test(hosts_resolvers_are_handed_out),
		cmocka_unit_test(gateway_forwards_dns_when_hosts_resolvers_are_on_loopback),
		cmocka_unit_test(
			resolvers_of_the_host_inside_of_the_vms_network_are_not_handed_out),
		cmocka_unit_test(a_loopback_resolver_beside_others_is_left_out),
		cmocka_unit_test(a_resolver_inside_of_the_vms_network_is_a_mistake),
		cmocka_unit_test(resolver_mistakes_are_named),
		cmocka_unit_test(loopback_is_gateway_or_addresses),
		cmocka_unit_test(loopback_is_no_other_vms_address),
		cmocka_unit_test(a_vm_cannot_have_more_flows_than_a_worker),
		cmocka_unit_test(numbers_can_be_hexadecimal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
