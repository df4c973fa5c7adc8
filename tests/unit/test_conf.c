/* SPDX-License-Identifier: BSD-3-Clause */
#include "test_conf.h"

static void
takes_defaults_of_the_tables(void **state)
{
	struct conf *c = load_ok("[vm.a]\nsocket = /tmp/a.sock\n");
	const struct conf_vm *vm = c->vms[0];
	char text[FLOWTAB_ADDR_STRLEN];

	assert_int_equal(c->workers.how, CONF_SPREAD_AUTO);
	assert_int_equal(c->bridges.how, CONF_SPREAD_AUTO);
	assert_int_equal(c->busy, 0);
	assert_int_equal(c->spin_us, 50);
	assert_int_equal(c->memory_mb, 256);
	assert_int_equal(c->hugepages, CONF_USE_AUTO);
	assert_int_equal(c->io_uring, CONF_USE_AUTO);
	assert_int_equal(c->max_flows, 131072);
	assert_int_equal(c->timeouts.tcp_established_ms, 7200000);
	assert_int_equal(c->timeouts.tcp_keepalive_probes, 9);
	assert_string_equal(c->control, "");
	assert_int_equal(vm->mode, VPORT_VHOST_SERVER);
	assert_int_equal(vm->queues, 1);
	assert_int_equal(vm->port.mtu, 1500);
	assert_int_equal(vm->port.lease_s, 86400);
	assert_string_equal(flowtab_addr_format(&vm->port.address, text), "10.0.2.15");
	assert_string_equal(flowtab_addr_format(&vm->port.gateway, text), "10.0.2.2");
	assert_string_equal(flowtab_addr_format(&vm->port.address6, text), "fd00:2::15");
	assert_string_equal(flowtab_addr_format(&vm->port.gateway6, text), "fd00:2::2");
	assert_int_equal(vm->port.prefix_len, 24);
	assert_int_equal(vm->port.prefix6_len, 64);
	assert_string_equal(vm->port.hostname, "a");
	assert_true(flowtab_addr_is_zero(&vm->port.loopback));
	conf_destroy(c);
}

static void
memory_follows_from_flows_unless_given(void **state)
{
	struct conf *c = load_ok("[weir]\nworkers = 0,1,2\n[vm.a]\nsocket = /a\n");

	assert_int_equal(c->memory_mb, 768);
	conf_destroy(c);
	c = load_ok("[weir]\nmax-flows = 131073\n[vm.a]\nsocket = /a\n");
	assert_int_equal(c->memory_mb, 512);
	conf_destroy(c);
	c = load_ok("[weir]\nmax-flows = 64\n[vm.a]\nsocket = /a\n");
	assert_int_equal(c->memory_mb, 256);
	conf_destroy(c);
	c = load_ok("[weir]\nworkers = 0,1,2\nmemory = 64\n[vm.a]\nsocket = /a\n");
	assert_int_equal(c->memory_mb, 64);
	conf_destroy(c);
}

static void
every_default_of_the_tables_parses(void **state)
{
	const struct conf_key *tables[] = { conf_weir_keys, conf_network_keys, conf_vm_keys,
		conf_rule_keys, conf_timeouts_keys };
	uint64_t field[sizeof(struct conf_zones) / 8 + 1];
	char why[256];
	size_t t, i;

	for (t = 0; t < RTE_DIM(tables); t++) {
		for (i = 0; tables[t][i].name != NULL; i++) {
			const struct conf_key *k = &tables[t][i];

			assert_true(k->def != NULL || k->shown != NULL);
			assert_true(k->size <= sizeof(field));
			memset(field, 0, sizeof(field));
			if (k->def != NULL)
				assert_int_equal(k->parse(k, k->def, field, why, sizeof(why)), 0);
		}
	}
}

static void
gives_guests_addresses_in_order_and_skips_taken_ones(void **state)
{
	struct conf *c = load_ok("[vm.a]\nsocket = /a\n[vm.b]\nsocket = /b\naddress = 10.0.2.16\n"
				 "address6 = fd00:2::15\n[vm.c]\nsocket = /c\n[vm.d]\nsocket=/d\n");

	assert_addr(&c->vms[0]->port.address, "10.0.2.15");
	assert_addr(&c->vms[1]->port.address, "10.0.2.16");
	assert_addr(&c->vms[2]->port.address, "10.0.2.17");
	assert_addr(&c->vms[3]->port.address, "10.0.2.18");
	assert_addr(&c->vms[0]->port.address6, "fd00:2::16");
	assert_addr(&c->vms[1]->port.address6, "fd00:2::15");
	assert_addr(&c->vms[2]->port.address6, "fd00:2::17");
	conf_destroy(c);
}

static void
uses_the_low_addresses_of_a_small_subnet(void **state)
{
	struct conf *c = load_ok("[weir]\nnetwork = 192.168.7.0/29\nnetwork6 = none\n"
				 "[vm.a]\nsocket = /a\n[vm.b]\nsocket = /b\n");

	assert_addr(&c->vms[0]->port.gateway, "192.168.7.2");
	assert_addr(&c->vms[0]->port.address, "192.168.7.1");
	assert_addr(&c->vms[1]->port.address, "192.168.7.3");
	assert_false(c->vms[0]->port.ipv6);
	conf_destroy(c);
}

static void
says_when_a_subnet_is_full(void **state)
{
	load_errors("[weir]\nnetwork = 192.168.7.0/30\nnetwork6 = none\n"
		    "[vm.a]\nsocket = /a\n[vm.b]\nsocket = /b\n");
	assert_error("weir.conf:6: [vm.b] address: no address is left in the network default");
}

static void
mac_addresses_follow_from_names(void **state)
{
	struct conf *c = load_ok("[vm.a]\nsocket = /a\n[vm.b]\nsocket = /b\n"
				 "mac = 52:54:00:12:34:56\n[vm.c]\nsocket = /c\n");
	struct conf *again = load_ok("[vm.c]\nsocket = /c\n");
	const struct rte_ether_addr given = { { 0x52, 0x54, 0x00, 0x12, 0x34, 0x56 } };

	assert_memory_equal(&c->vms[2]->port.guest_mac, &again->vms[0]->port.guest_mac, 6);
	assert_memory_not_equal(&c->vms[0]->port.guest_mac, &c->vms[2]->port.guest_mac, 6);
	assert_memory_equal(&c->vms[1]->port.guest_mac, &given, 6);
	assert_int_equal(c->vms[0]->port.guest_mac.addr_bytes[0], 0x02);
	assert_memory_equal(&c->vms[0]->port.gateway_mac, &c->vms[2]->port.gateway_mac, 6);
	assert_memory_not_equal(&c->vms[0]->port.gateway_mac, &c->vms[0]->port.guest_mac, 6);
	conf_destroy(c);
	conf_destroy(again);
}

static void
unknown_key_names_file_line_section_and_key(void **state)
{
	load_errors("[weir]\n\n# a comment\nmemry = 5\n[vm.a]\nsocket = /a\nadress = 10.0.2.20\n"
		    "[network.x]\nsubnet=10.9.0.0/16\nfoo=1\n");
	assert_error("weir.conf:4: [weir] memry: no such key");
	assert_error("weir.conf:7: [vm.a] adress: no such key");
	assert_error("weir.conf:10: [network.x] foo: no such key");
	assert_int_equal(n_errors, 3);
}

static void
value_out_of_range_says_the_range(void **state)
{
	load_errors("[weir]\nmemory = 1\nspin-us = 99999999999999999999\nlease = -1\n"
		    "[vm.a]\nsocket = /a\nmtu = 70000\nqueues = 0\nzone = x\n"
		    "timeout-udp = 3\n");
	assert_error("weir.conf:2: [weir] memory: 1 is not between 16 and 1048576");
	assert_error("weir.conf:3: [weir] spin-us: 99999999999999999999 is not between 0 and");
	assert_error("weir.conf:4: [weir] lease: \"-1\" is not a number");
	assert_error("weir.conf:7: [vm.a] mtu: 70000 is not between 68 and 65520");
	assert_error("weir.conf:8: [vm.a] queues: 0 is not between 1 and 64");
	assert_error("weir.conf:9: [vm.a] zone: \"x\" is not a number");
	assert_error("weir.conf:10: [vm.a] timeout-udp: no such key");
	assert_int_equal(n_errors, 7);
}

static void
timeouts_are_seconds_up_to_seven_weeks(void **state)
{
	struct conf *c = load_ok("[weir]\ntimeout-tcp-established = 4294967\ntimeout-udp = 1\n"
				 "[vm.a]\nsocket = /a\n");

	assert_int_equal(c->timeouts.tcp_established_ms, 4294967000u);
	assert_int_equal(c->timeouts.udp_ms, 1000);
	conf_destroy(c);
	load_errors("[weir]\ntimeout-udp = 4294968\ntimeout-icmp = 0\n[vm.a]\nsocket = /a\n");
	assert_error("weir.conf:2: [weir] timeout-udp: 4294968 is not between 1 and 4294967");
	assert_error("weir.conf:3: [weir] timeout-icmp: 0 is not between 1 and");
}

static void
malformed_lines_are_named(void **state)
{
	load_errors("key = before\n[weir\nmemory 5\n[nonsense]\nx = y\n[vm.]\nsocket = /x\n"
		    "[vm.bad name]\n[vm.a]\nsocket = /a\njust text\n");
	assert_error("weir.conf:1: a key before the first section");
	assert_error("weir.conf:2: a section is written [NAME]");
	assert_error("weir.conf:3: neither [SECTION] nor key = value");
	assert_error("weir.conf:4: [nonsense]: no such section");
	assert_error("weir.conf:6: [vm.]: a name has letters");
	assert_error("weir.conf:8: [vm.bad name]: a name has letters");
	assert_error("weir.conf:11: neither [SECTION] nor key = value");
	assert_int_equal(n_errors, 7);
}

static void
comments_blanks_and_byte_order_marks_are_ignored(void **state)
{
	struct conf *c = load_ok("\xef\xbb\xbf# first\n\n  [weir]  ; the daemon\r\n"
				 "\t memory\t=  128   # MiB\n; more\n[vm.a]\nsocket=/tmp/a#b.sock");

	assert_int_equal(c->memory_mb, 128);
	assert_string_equal(c->vms[0]->socket, "/tmp/a#b.sock");
	conf_destroy(c);
}

static void
given_twice_is_an_error(void **state)
{
	load_errors("[weir]\nmemory = 128\nmemory = 256\n[vm.a]\nsocket = /a\n[vm.b]\n"
		    "socket = /b\n[vm.a]\nmtu = 9000\n");
	assert_error("weir.conf:3: [weir] memory: given twice, first in line 2");
	assert_error("weir.conf:8: [vm.a]: given twice, first in line 4");
	assert_int_equal(n_errors, 2);
	load_errors("[weir]\n[weir]\nmemory = 64\n[]\nx = y\n[vm.a]\nsocket = /a\n");
	assert_error("weir.conf:2: [weir]: given twice, first in line 1");
	assert_error("weir.conf:4: a section without a name");
	assert_int_equal(n_errors, 2);
}

static void
a_vm_needs_a_socket_or_a_port(void **state)
{
	load_errors("[vm.a]\n[vm.b]\nsocket = /b\nport = net_tap0\n[vm.c]\nport = net_tap1\n"
		    "mode = client\n");
	assert_error("weir.conf:1: [vm.a] socket: missing");
	assert_error("weir.conf:4: [vm.b] port: there is a socket, too");
	assert_error("weir.conf:7: [vm.c] mode: goes with socket");
	assert_int_equal(n_errors, 3);
}

static void
socket_paths_are_checked(void **state)
{
	char text[512];

	snprintf(text, sizeof(text),
		"[vm.a]\nsocket = /%0200d\n[vm.b]\nsocket = /tmp/\n"
		"[vm.c]\nsocket =\n[vm.d]\nsocket = @weir\n",
		1);
	load_errors(text);
	assert_error("weir.conf:2: [vm.a] socket: the path is longer than a socket's can be");
	assert_error("weir.conf:4: [vm.b] socket: /tmp/ is a directory");
	assert_error("weir.conf:6: [vm.c] socket: empty");
	assert_error("weir.conf:8: [vm.d] socket: @weir: abstract sockets are not supported");
	assert_int_equal(n_errors, 4);
}

static void
no_vm_at_all_is_an_error_but_on_reload(void **state)
{
	load_errors("[weir]\nmemory = 64\n");
	assert_error("weir.conf: no VM: add a section [vm.NAME]");
	reload = true;
	conf_destroy(load_ok("[weir]\nmemory = 64\n"));
	reload = false;
}

static void
a_file_that_is_not_there_is_named(void **state)
{
	char *argv[] = { "weir", "-c", "/nonexistent/weir.conf" };

	assert_null(load_args(3, argv));
	assert_error("/nonexistent/weir.conf: cannot be opened: No such file");
}

static void
files_that_never_end_or_are_none_are_named(void **state)
{
	char *zero[] = { "weir", "-c", "/dev/zero" }, *dir[] = { "weir", "-c", "/tmp" };

	assert_null(load_args(3, zero));
	assert_error("/dev/zero:1: longer than any configuration");
	assert_null(load_args(3, dir));
	assert_error("/tmp: cannot be read: Is a directory");
}

static void
binary_files_are_refused(void **state)
{
	load_errors_bytes("[weir]\nmem\0ory = 5\n", 18);
	assert_error("weir.conf:2: a zero byte: this is no text file");
}

static void
errors_end_at_a_limit(void **state)
{
	char text[2048] = "[vm.a]\nsocket = /a\n";
	int i;

	for (i = 0; i < 60; i++)
		sprintf(text + strlen(text), "bad%d = 1\n", i);
	load_errors(text);
	assert_int_equal(n_errors, CONF_MAX_ERRORS + 1);
	assert_error("more errors follow");
}

static void
networks_give_their_properties_to_their_vms(void **state)
{
	struct conf *c =
		load_ok("[weir]\nlease = 600\n[network.lab]\nsubnet = 172.16.0.0/16\n"
			"gateway = 172.16.0.1\nmtu = 9000\ndns = 9.9.9.9\nsearch = lab.test\n"
			"[vm.a]\nsocket = /a\nnetwork = lab\n[vm.b]\nsocket = /b\n"
			"network = lab\nmtu = 1400\ndns = none\nsearch = none\n"
			"gateway = 172.16.0.9\n");
	const struct l4x_port_conf *a = &c->vms[0]->port, *b = &c->vms[1]->port;

	assert_addr(&a->address, "172.16.0.15");
	assert_addr(&a->gateway, "172.16.0.1");
	assert_false(a->ipv6);
	assert_int_equal(a->mtu, 9000);
	assert_int_equal(a->lease_s, 600);
	assert_int_equal(a->n_dns, 1);
	assert_addr(&a->dns[0], "9.9.9.9");
	assert_string_equal(a->search, "lab.test");
	assert_int_equal(b->mtu, 1400);
	assert_int_equal(b->n_dns, 0);
	assert_string_equal(b->search, "");
	assert_addr(&b->gateway, "172.16.0.9");
	conf_destroy(c);
}

static void
network_mistakes_are_named(void **state)
{
	load_errors("[weir]\nnetwork = 10.0.2.5/24\nnetwork6 = 10.0.0.0/8\n"
		    "[network.a]\n[network.b]\nsubnet = 127.0.0.0/8\n"
		    "[network.c]\nsubnet = 10.1.0.0/31\n[network.d]\nsubnet = 10.2.0.0/24\n"
		    "gateway = 10.3.0.1\n[network.e]\nsubnet6 = fd01::/64\ngateway = 10.0.0.1\n"
		    "[vm.a]\nsocket = /a\nnetwork = nowhere\n");
	assert_error("weir.conf:2: [weir] network: 10.0.2.5/24 has bits past its prefix: write "
		     "10.0.2.0/24");
	assert_error("weir.conf:3: [weir] network6: \"10.0.0.0/8\" is not an IPv6 subnet");
	assert_error("weir.conf:4: [network.a] subnet: give a subnet, a subnet6, or both");
	assert_error("weir.conf:6: [network.b] subnet: guests cannot have addresses of");
	assert_error("weir.conf:8: [network.c] subnet: a prefix of 31 bits is not between 8");
	assert_error("weir.conf:11: [network.d] gateway: 10.3.0.1 is not in the network's subnet "
		     "10.2.0.0/24");
	assert_error("weir.conf:14: [network.e] gateway: the network has no subnet of this");
	assert_error("weir.conf:17: [vm.a] network: there is no [network.nowhere]");
	assert_int_equal(n_errors, 8);
}

static void
address_mistakes_are_named(void **state)
{
	load_errors("[vm.a]\nsocket = /a\naddress = 10.0.3.4\naddress6 = 10.0.2.9\n"
		    "[vm.b]\nsocket = /b\naddress = 10.0.2.2\naddress6 = fd00:2::2\n"
		    "[vm.c]\nsocket = /c\naddress = 10.0.2.255\naddress6 = banana\n"
		    "[vm.d]\nsocket = /d\naddress = 10.0.2.0\naddress6 = ff02::1\n"
		    "[vm.e]\nsocket = /e\naddress = none\naddress6 = none\n");
	assert_error("weir.conf:3: [vm.a] address: 10.0.3.4 is not in the network's subnet");
	assert_error("weir.conf:4: [vm.a] address6: 10.0.2.9 is not an IPv6 address");
	assert_error("weir.conf:7: [vm.b] address: 10.0.2.2 is the gateway's address");
	assert_error("weir.conf:8: [vm.b] address6: fd00:2::2 is the gateway's address");
	assert_error("weir.conf:11: [vm.c] address: 10.0.2.255 is the broadcast address");
	assert_error("weir.conf:12: [vm.c] address6: \"banana\" is not an address");
	assert_error("weir.conf:15: [vm.d] address: 10.0.2.0 is the address of the subnet itself");
	assert_error("weir.conf:16: [vm.d] address6: ff02::1 is no address that a host can have");
	assert_error("weir.conf:19: [vm.e] address: the VM has neither an IPv4 nor an IPv6");
	assert_int_equal(n_errors, 9);
}

static void
an_mtu_too_small_for_ipv6_is_an_error(void **state)
{
	load_errors("[vm.a]\nsocket = /a\nmtu = 576\n");
	assert_error("weir.conf:3: [vm.a] mtu: 576 is too small for IPv6");
	conf_destroy(load_ok("[vm.a]\nsocket = /a\nmtu = 576\naddress6 = none\n"));
}

static void
two_vms_cannot_share_socket_address_or_mac(void **state)
{
	load_errors("[weir]\ncontrol = /c\n[vm.a]\nsocket = /a\naddress = 10.0.2.30\n"
		    "mac = 02:00:00:00:00:01\n[vm.b]\nsocket = /a\naddress = 10.0.2.30\n"
		    "mac = 02:00:00:00:00:01\n[vm.c]\nsocket = /c\n");
	assert_error("weir.conf:8: [vm.b] socket: /a is also a's (weir.conf:4: [vm.a])");
	assert_error("weir.conf:9: [vm.b] address: 10.0.2.30 is also a's (weir.conf:5: [vm.a])");
	assert_error("weir.conf:10: [vm.b] mac: 02:00:00:00:00:01 is also a's");
	assert_error("weir.conf:12: [vm.c] socket: /c is also the control socket");
	assert_int_equal(n_errors, 4);
}

static void
one_address_in_two_zones_is_allowed(void **state)
{
	conf_destroy(load_ok("[vm.a]\nsocket = /a\naddress = 10.0.2.30\naddress6 = fd00:2::30\n"
			     "zone = 1\n[vm.b]\nsocket = /b\naddress = 10.0.2.30\n"
			     "address6 = fd00:2::30\nzone = 2\nloopback = 10.0.2.99\n"
			     "[vm.c]\nsocket = /c\naddress = 10.0.2.99\nzone = 3\n"));
	load_errors("[vm.a]\nsocket = /a\naddress = 10.0.2.30\naddress6 = fd00:2::30\nzone = 1\n"
		    "[vm.b]\nsocket = /b\naddress = 10.0.2.30\naddress6 = fd00:2::30\nzone = 1\n");
	assert_error("weir.conf:8: [vm.b] address: 10.0.2.30 is also a's");
	assert_error("weir.conf:9: [vm.b] address6: fd00:2::30 is also a's");
	assert_int_equal(n_errors, 2);
	/* A card is one on its network, whatever the zones. */
	load_errors("[vm.a]\nsocket = /a\nmac = 02:00:00:00:00:01\nzone = 1\n"
		    "[vm.b]\nsocket = /b\nmac = 02:00:00:00:00:01\nzone = 2\n");
	assert_error("weir.conf:7: [vm.b] mac: 02:00:00:00:00:01 is also a's");
}

static void
networks_keep_their_numbers_when_others_go(void **state)
{
	struct conf *old = load_ok("[network.x]\nsubnet = 10.0.3.0/24\n"
				   "[network.y]\nsubnet = 10.0.4.0/24\n[vm.a]\nsocket = /a\n"
				   "network = y\n");
	struct conf *new = load_ok("[network.y]\nsubnet = 10.0.4.0/24\n"
				   "[network.z]\nsubnet = 10.0.5.0/24\n[vm.a]\nsocket = /a\n"
				   "network = y\n[vm.b]\nsocket = /b\nnetwork = z\n"
				   "[vm.c]\nsocket = /c\n");

	assert_int_equal(conf_vm_find(old, "a")->port.network, 2);
	conf_networks_number(new, old);
	assert_int_equal(conf_vm_find(new, "a")->port.network, 2);
	assert_int_equal(conf_vm_find(new, "b")->port.network, 3);
	assert_int_equal(conf_vm_find(new, "c")->port.network, 0);
	conf_destroy(old);
	conf_destroy(new);
}

static void
one_address_in_two_networks_is_allowed(void **state)
{
	conf_destroy(load_ok("[network.x]\nsubnet = 10.0.2.0/24\n[vm.a]\nsocket = /a\n"
			     "address = 10.0.2.30\n[vm.b]\nsocket = /b\nnetwork = x\n"
			     "address = 10.0.2.30\n"));
}

static void
cpu_lists_are_read_and_checked(void **state)
{
	struct conf *c = load_ok("[weir]\nworkers = 1,4-6\nbridges = 2,3\npoll = busy\n[vm.a]\n"
				 "socket = /a\n");

	assert_int_equal(c->workers.how, CONF_SPREAD_CPUS);
	assert_int_equal(c->workers.n, 4);
	assert_int_equal(c->workers.cpu[3], 6);
	assert_int_equal(c->bridges.n, 2);
	assert_int_equal(c->busy, 1);
	conf_destroy(c);
	c = load_ok("[weir]\nbridges = 3\n[vm.a]\nsocket = /a\n");
	assert_int_equal(c->bridges.how, CONF_SPREAD_COUNT);
	assert_int_equal(c->bridges.n, 3);
	conf_destroy(c);
	c = load_ok("[weir]\nbridges = inline\n[vm.a]\nsocket = /a\n");
	assert_int_equal(c->bridges.how, CONF_SPREAD_INLINE);
	conf_destroy(c);
	load_errors("[weir]\nworkers = 1,2-x\nbridges = many\npoll = sometimes\n[vm.a]\n"
		    "socket = /a\n");
	assert_error("weir.conf:2: [weir] workers: \"1,2-x\" is not a CPU list");
	assert_error("weir.conf:3: [weir] bridges: \"many\" is not one of auto, inline");
	assert_error("weir.conf:4: [weir] poll: \"sometimes\" is not one of adaptive, busy");
	load_errors("[weir]\nworkers = 1,2\nbridges = 2-3\n[vm.a]\nsocket = /a\n");
	assert_error("weir.conf:3: [weir] bridges: CPU 2 is a worker's, too");
	load_errors("[weir]\nworkers = 1,1\nbridges = 0\n[vm.a]\nsocket = /a\n");
	assert_error("weir.conf:2: [weir] workers: CPU 1 is listed twice");
	assert_error("weir.conf:3: [weir] bridges: 0 is not between 1 and 64");
}

static void
mac_addresses_are_checked(void **state)
{
	load_errors("[vm.a]\nsocket = /a\nmac = 01:00:00:00:00:01\n[vm.b]\nsocket = /b\n"
		    "mac = 02:00:00:00:00\n[vm.c]\nsocket = /c\nmac = 02:00:00:00:00:0g\n"
		    "[vm.d]\nsocket = /d\nmac = 02: 0:00:00:00:01\n");
	assert_error("weir.conf:3: [vm.a] mac: 01:00:00:00:00:01 is no MAC address that a guest");
	assert_error("weir.conf:6: [vm.b] mac: \"02:00:00:00:00\" is not a MAC address");
	assert_error("weir.conf:9: [vm.c] mac: \"02:00:00:00:00:0g\" is not a MAC address");
	assert_error("weir.conf:12: [vm.d] mac: \"02: 0:00:00:00:01\" is not a MAC address");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_defaults_of_the_tables),
		cmocka_unit_test(memory_follows_from_flows_unless_given),
		cmocka_unit_test(every_default_of_the_tables_parses),
		cmocka_unit_test(gives_guests_addresses_in_order_and_skips_taken_ones),
		cmocka_unit_test(uses_the_low_addresses_of_a_small_subnet),
		cmocka_unit_test(says_when_a_subnet_is_full),
		cmocka_unit_test(mac_addresses_follow_from_names),
		cmocka_unit_test(unknown_key_names_file_line_section_and_key),
		cmocka_unit_test(value_out_of_range_says_the_range),
		cmocka_unit_test(timeouts_are_seconds_up_to_seven_weeks),
		cmocka_unit_test(malformed_lines_are_named),
		cmocka_unit_test(comments_blanks_and_byte_order_marks_are_ignored),
		cmocka_unit_test(given_twice_is_an_error),
		cmocka_unit_test(a_vm_needs_a_socket_or_a_port),
		cmocka_unit_test(socket_paths_are_checked),
		cmocka_unit_test(no_vm_at_all_is_an_error_but_on_reload),
		cmocka_unit_test(a_file_that_is_not_there_is_named),
		cmocka_unit_test(files_that_never_end_or_are_none_are_named),
		cmocka_unit_test(binary_files_are_refused),
		cmocka_unit_test(errors_end_at_a_limit),
		cmocka_unit_test(networks_give_their_properties_to_their_vms),
		cmocka_unit_test(network_mistakes_are_named),
		cmocka_unit_test(address_mistakes_are_named),
		cmocka_unit_test(an_mtu_too_small_for_ipv6_is_an_error),
		cmocka_unit_test(two_vms_cannot_share_socket_address_or_mac),
		cmocka_unit_test(one_address_in_two_zones_is_allowed),
		cmocka_unit_test(networks_keep_their_numbers_when_others_go),
		cmocka_unit_test(one_address_in_two_networks_is_allowed),
		cmocka_unit_test(cpu_lists_are_read_and_checked),
		cmocka_unit_test(mac_addresses_are_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
