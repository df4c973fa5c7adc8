/* SPDX-License-Identifier: BSD-3-Clause */
#include "conf_priv.h"

#include <string.h>

#include "log.h"

#define FIELD(type, f) offsetof(struct type, f), sizeof(((struct type *)0)->f)
#define W(f) FIELD(conf, f)
#define N(f) FIELD(conf_network, f)
#define V(f) FIELD(conf_vm, f)
#define R(f) FIELD(conf_rule, f)
#define T(f) FIELD(conf_timeouts, f)
/** Longest timeout of a flow between guests: ten years. */
#define YEARS_S 315360000
/** Longest timeout: what 32 bits of ms hold, in whole seconds. */
#define SECONDS_MAX (UINT32_MAX / 1000 * 1000)

static const char *const poll_words[] = { "adaptive", "busy", NULL };
static const char *const use_words[] = { "auto", "on", "off", NULL };
static const char *const mode_words[] = { "server", "client", NULL };
static const char *const yes_words[] = { "no", "yes", NULL };
static const char *const full_words[] = { "refuse", "evict", NULL };
static const char *const action_words[] = { "accept", "drop", "reject", NULL };
static const char *const choice_words[] = { "hash", "random", "persistent", NULL };
static const char *const helper_words[] = { "none", "ftp", "tftp", NULL };

/* A choice's value is the position of its word. */
static_assert(CONF_USE_AUTO == 0 && CONF_USE_ON == 1 && CONF_USE_OFF == 2, "use_words");
static_assert(VPORT_VHOST_SERVER == 0 && VPORT_VHOST_CLIENT == 1, "mode_words");
static_assert(RULES_ACCEPT == 0 && RULES_DROP == 1 && RULES_REJECT == 2, "action_words");
static_assert(CT_NAT_HASH == 0 && CT_NAT_RANDOM == 1 && CT_NAT_PERSISTENT == 2, "choice_words");
static_assert(CT_HELPER_NONE == 0 && CT_HELPER_FTP == 1 && CT_HELPER_TFTP == 2, "helper_words");

const struct conf_key conf_weir_keys[] = {
	{ "workers", "auto|CPUS", "auto", NULL,
		"CPUs to pin one worker to each; auto: one worker, not pinned", conf_parse_workers,
		W(workers), 0, 0, 0, NULL },
	{ "bridges", "auto|inline|N|CPUS", "auto", NULL,
		"threads that own the sockets: in the workers, a number of their own, or pinned "
		"(3-3 for CPU 3 alone); auto: one, or inline with less than three CPUs",
		conf_parse_bridges, W(bridges), 0, 0, 0, NULL },
	{ "poll", "adaptive|busy", "adaptive", NULL,
		"sleep when there is nothing to do, or never (for CPUs of its own)",
		conf_parse_word, W(busy), 0, 0, 0, poll_words },
	{ "spin-us", "US", "50", NULL, "idle time before a thread sleeps, in microseconds",
		conf_parse_u32, W(spin_us), 0, 1000000, 0, NULL },
	{ "memory", "MIB", "256", NULL,
		"memory for DPDK, in MiB; by default more than that if all workers together have "
		"more "
		"than 131072 flows",
		conf_parse_u32, W(memory_mb), 16, 1048576, 0, NULL },
	{ "hugepages", "auto|on|off", "auto", NULL,
		"use huge pages: if enough are free, or fail, or never", conf_parse_word,
		W(hugepages), 0, 0, 0, use_words },
	{ "io-uring", "auto|on|off", "auto", NULL,
		"several socket calls at a time, by io_uring: where the kernel permits it, or "
		"fail, or never",
		conf_parse_word, W(io_uring), 0, 0, 0, use_words },
	{ "max-flows", "N", "131072", NULL, "flows at a time, per worker", conf_parse_u32,
		W(max_flows), 64, 16777216, 0, NULL },
	{ "control", "PATH|none", NULL, "/run/weir/control.sock, or in $XDG_RUNTIME_DIR/weir",
		"socket for weirctl", conf_parse_path, W(control), 0, 0, 0, NULL },
	{ "control-group", "GROUP", NULL, "none",
		"group that may use the control socket, beside its owner", conf_parse_text,
		W(control_group), 0, 0, 0, NULL },
	{ "log-level", "LEVEL", "info", NULL, "error, warning, info, or debug (DPDK's own, too)",
		conf_parse_word, W(log_level), 0, 0, CONF_LIVE, log_level_names },
	{ "eal", "ARGS", NULL, "none", "more arguments for DPDK, e.g. \"--vdev net_tap0\"",
		conf_parse_text, W(eal), 0, 0, 0, NULL },
	{ "network", "SUBNET|none", "10.0.2.0/24", NULL,
		"IPv4 subnet of the default network: the gateway is .2, guests get .15, .16, ...",
		conf_parse_prefix4, W(network), 0, 0, CONF_LIVE, NULL },
	{ "network6", "SUBNET|none", "fd00:2::/64", NULL,
		"IPv6 subnet of the default network: the gateway is ::2, guests get ::15, ...",
		conf_parse_prefix6, W(network6), 0, 0, CONF_LIVE, NULL },
	{ "mtu", "BYTES", "1500", NULL, "MTU of the guests", conf_parse_u32, W(mtu), 68, 65520,
		CONF_LIVE, NULL },
	{ "dns", "host|none|ADDRS", "host", NULL,
		"resolvers told to guests; host: the host's own, or, if guests can reach none of "
		"these (they listen on its loopback), the gateway, which forwards port 53",
		conf_parse_dns, W(dns), 0, 0, CONF_LIST | CONF_LIVE, NULL },
	{ "dns-forward", "ADDR|none", NULL, "as dns says",
		"resolver to which port 53 of the gateway is forwarded", conf_parse_addr_any,
		W(dns_forward), 0, 0, CONF_LIVE, NULL },
	{ "search", "host|none|NAMES", "host", NULL, "domain search list told to guests",
		conf_parse_search, W(search), 0, 0, CONF_LIST | CONF_LIVE, NULL },
	{ "lease", "S", "86400", NULL, "lease time of DHCP, in seconds", conf_parse_u32, W(lease_s),
		60, INT32_MAX, CONF_LIVE, NULL },
	{ "timeout-tcp-syn", "S", "240", NULL, "an inbound SYN that the guest does not answer",
		conf_parse_seconds, W(timeouts.tcp_syn_ms), 1000, SECONDS_MAX, 0, NULL },
	{ "timeout-tcp-established", "S", "7200", NULL, "a silent TCP connection",
		conf_parse_seconds, W(timeouts.tcp_established_ms), 1000, SECONDS_MAX, 0, NULL },
	{ "timeout-tcp-half-closed", "S", "240", NULL, "a TCP connection closed on one side",
		conf_parse_seconds, W(timeouts.tcp_half_closed_ms), 1000, SECONDS_MAX, 0, NULL },
	{ "timeout-tcp-fin", "S", "240", NULL, "the last acknowledgement of a TCP connection",
		conf_parse_seconds, W(timeouts.tcp_fin_ms), 1000, SECONDS_MAX, 0, NULL },
	{ "tcp-keepalive", "S", "30", NULL, "silence before a guest's TCP is probed",
		conf_parse_seconds, W(timeouts.tcp_keepalive_ms), 1000, SECONDS_MAX, 0, NULL },
	{ "tcp-keepalive-probes", "N", "9", NULL, "probes without answer before a reset",
		conf_parse_u32, W(timeouts.tcp_keepalive_probes), 1, 255, 0, NULL },
	{ "tcp-retries", "N", "10", NULL, "retransmissions without answer before a reset",
		conf_parse_u32, W(timeouts.tcp_retries), 1, 255, 0, NULL },
	{ "timeout-udp", "S", "30", NULL, "a UDP flow in one direction", conf_parse_seconds,
		W(timeouts.udp_ms), 1000, SECONDS_MAX, 0, NULL },
	{ "timeout-udp-stream", "S", "180", NULL, "a UDP flow in both directions",
		conf_parse_seconds, W(timeouts.udp_stream_ms), 1000, SECONDS_MAX, 0, NULL },
	{ "timeout-icmp", "S", "30", NULL, "an ICMP echo flow", conf_parse_seconds,
		W(timeouts.icmp_ms), 1000, SECONDS_MAX, 0, NULL },
	{ "policy-out", "accept|drop|reject", "accept", NULL,
		"what becomes of flows from guests to the outside that no rule is about",
		conf_parse_word, W(policy[0]), 0, 0, CONF_LIVE, action_words },
	{ "policy-in", "accept|drop|reject", "accept", NULL,
		"the same of flows through forwards to guests", conf_parse_word, W(policy[1]), 0, 0,
		CONF_LIVE, action_words },
	{ "policy-east-west", "accept|drop|reject", "drop", NULL,
		"the same of flows from guest to guest", conf_parse_word, W(policy[2]), 0, 0,
		CONF_LIVE, action_words },
	{ "zone-limit", "LIMITS", NULL, "none",
		"flows of a zone at a time, of all VMs and workers together: ZONE:N, ZONE-ZONE:N "
		"for each of several, default:N for each of all others; N may be none",
		conf_parse_zone_limits, W(zone_limits), 0, 0, CONF_LIST | CONF_LIVE, NULL },
	{ "tcp-window-check", "yes|no", "yes", NULL,
		"between guests, drop segments that do not fit the windows of both ends",
		conf_parse_word, W(tcp_window_check), 0, 0, CONF_LIVE, yes_words },
	{ "tcp-pickup", "yes|no", "yes", NULL,
		"between guests, take up connections whose beginning was not seen", conf_parse_word,
		W(tcp_pickup), 0, 0, CONF_LIVE, yes_words },
	{ "table-full", "refuse|evict", "refuse", NULL,
		"when all max-flows live, refuse new ones, or end one: of some, first one that is "
		"closing or was never answered",
		conf_parse_word, W(evict), 0, 0, 0, full_words },
	{ NULL },
};

const struct conf_key conf_network_keys[] = {
	{ "subnet", "SUBNET|none", NULL, "none", "IPv4 subnet", conf_parse_prefix4, N(subnet), 0, 0,
		CONF_LIVE, NULL },
	{ "subnet6", "SUBNET|none", NULL, "none", "IPv6 subnet", conf_parse_prefix6, N(subnet6), 0,
		0, CONF_LIVE, NULL },
	{ "gateway", "ADDR", NULL, ".2 of the subnet", "weir's own IPv4 address", conf_parse_addr4,
		N(gateway), 0, 0, CONF_LIVE, NULL },
	{ "gateway6", "ADDR", NULL, "::2 of the subnet", "weir's own IPv6 address",
		conf_parse_addr6, N(gateway6), 0, 0, CONF_LIVE, NULL },
	{ "mtu", "BYTES", NULL, "from [weir]", "MTU of the guests", conf_parse_u32, N(mtu), 68,
		65520, CONF_LIVE, NULL },
	{ "dns", "host|none|ADDRS", NULL, "from [weir]", "resolvers told to guests", conf_parse_dns,
		N(dns), 0, 0, CONF_LIST | CONF_LIVE, NULL },
	{ "dns-forward", "ADDR|none", NULL, "from [weir]",
		"resolver to which port 53 of the gateway is forwarded", conf_parse_addr_any,
		N(dns_forward), 0, 0, CONF_LIVE, NULL },
	{ "search", "host|none|NAMES", NULL, "from [weir]", "domain search list told to guests",
		conf_parse_search, N(search), 0, 0, CONF_LIST | CONF_LIVE, NULL },
	{ "lease", "S", NULL, "from [weir]", "lease time of DHCP, in seconds", conf_parse_u32,
		N(lease_s), 60, INT32_MAX, CONF_LIVE, NULL },
	{ NULL },
};

const struct conf_key conf_vm_keys[] = {
	{ "socket", "PATH", NULL, "required", "vhost-user socket", conf_parse_path, V(socket), 0, 0,
		0, NULL },
	{ "socket-group", "GROUP", NULL, "none",
		"group that may connect to the socket, beside its owner: QEMU's", conf_parse_text,
		V(socket_group), 0, 0, 0, NULL },
	{ "mode", "server|client", "server", NULL,
		"weir makes the socket and listens, or connects to it", conf_parse_word, V(mode), 0,
		0, 0, mode_words },
	{ "port", "ETHDEV", NULL, "none",
		"instead of a socket: a DPDK port by name, see --eal; it is looked at each "
		"millisecond, even when idle",
		conf_parse_text, V(ethdev), 0, 0, 0, NULL },
	{ "queues", "N", "1", NULL, "queue pairs offered", conf_parse_u32, V(queues), 1,
		VPORT_MAX_QUEUES, 0, NULL },
	{ "network", "NAME", "default", NULL, "network that the VM is in", conf_parse_name,
		V(network), 0, 0, CONF_LIVE, NULL },
	{ "address", "ADDR|none", NULL, "the next of the network", "IPv4 address", conf_parse_addr4,
		V(address), 0, 0, CONF_LIVE, NULL },
	{ "address6", "ADDR|none", NULL, "the next of the network", "IPv6 address",
		conf_parse_addr6, V(address6), 0, 0, CONF_LIVE, NULL },
	{ "gateway", "ADDR", NULL, "from the network", "weir's own IPv4 address", conf_parse_addr4,
		V(gateway), 0, 0, CONF_LIVE, NULL },
	{ "gateway6", "ADDR", NULL, "from the network", "weir's own IPv6 address", conf_parse_addr6,
		V(gateway6), 0, 0, CONF_LIVE, NULL },
	{ "mac", "MAC", NULL, "from the VM's name", "MAC address expected of the guest",
		conf_parse_mac, V(mac), 0, 0, CONF_LIVE, NULL },
	{ "mtu", "BYTES", NULL, "from the network", "MTU told to the guest", conf_parse_u32, V(mtu),
		68, 65520, 0, NULL },
	{ "dns", "host|none|ADDRS", NULL, "from the network", "resolvers told to the guest",
		conf_parse_dns, V(dns), 0, 0, CONF_LIST | CONF_LIVE, NULL },
	{ "dns-forward", "ADDR|none", NULL, "from the network",
		"resolver to which port 53 of the gateway is forwarded", conf_parse_addr_any,
		V(dns_forward), 0, 0, CONF_LIVE, NULL },
	{ "search", "host|none|NAMES", NULL, "from the network",
		"domain search list told to the guest", conf_parse_search, V(search), 0, 0,
		CONF_LIST | CONF_LIVE, NULL },
	{ "hostname", "NAME", NULL, "the VM's name", "host name told to the guest",
		conf_parse_hostname, V(hostname), 0, 0, CONF_LIVE, NULL },
	{ "lease", "S", NULL, "from the network", "lease time of DHCP, in seconds", conf_parse_u32,
		V(lease_s), 60, INT32_MAX, CONF_LIVE, NULL },
	{ "tcp", "FORWARDS", NULL, "none",
		"TCP ports of the host that lead to the guest: [ADDR:]PORT[-PORT][:GUESTPORT]",
		conf_parse_forwards, V(tcp), 0, 0, CONF_LIST | CONF_LIVE, NULL },
	{ "udp", "FORWARDS", NULL, "none", "the same of UDP", conf_parse_forwards, V(udp), 0, 0,
		CONF_LIST | CONF_LIVE, NULL },
	{ "loopback", "gateway|ADDRS|none", "none", NULL,
		"address that stands for the host's 127.0.0.1 and ::1 in the guest",
		conf_parse_loopback, V(loopback), 0, 0, CONF_LIVE, NULL },
	{ "zone", "N", "0", NULL, "connection tracking zone", conf_parse_u32, V(zone), 0, 65535,
		CONF_LIVE, NULL },
	{ "max-flows", "N", "0", NULL, "flows at a time; 0: no limit of its own", conf_parse_u32,
		V(max_flows), 0, 16777216, CONF_LIVE, NULL },
	{ "new-flows-per-s", "N", "0", NULL, "flows that begin in a second; 0: no limit",
		conf_parse_u32, V(new_flows_per_s), 0, 100000000, CONF_LIVE, NULL },
	{ "mark", "N", "0", NULL, "SO_MARK of the sockets (needs CAP_NET_ADMIN); 0: none",
		conf_parse_u32, V(mark), 0, UINT32_MAX, CONF_LIVE, NULL },
	{ NULL },
};

const struct conf_key conf_rule_keys[] = {
	{ "direction", "DIRECTIONS", NULL, "required",
		"which flows: out, from guests to the outside; in, through forwards to guests; "
		"east-west, from guest to guest; or several of these",
		conf_parse_directions, R(directions), 0, 0, CONF_LIVE, NULL },
	{ "vm", "NAME", NULL, "any", "the VM that begins the flow or, direction in, that gets it",
		conf_parse_name, R(vm), 0, 0, CONF_LIVE, NULL },
	{ "to-vm", "NAME", NULL, "any", "the VM that a flow from guest to guest goes to",
		conf_parse_name, R(to_vm), 0, 0, CONF_LIVE, NULL },
	{ "network", "NAME", NULL, "any", "the network of the VM", conf_parse_name, R(network), 0,
		0, CONF_LIVE, NULL },
	{ "zone", "N", NULL, "any", "the zone of the VM", conf_parse_u32, R(zone), 0,
		FLOWTAB_ZONES - 1, CONF_LIVE, NULL },
	{ "proto", "PROTO", "any", NULL,
		"the protocol: tcp, udp, icmp (of both families), icmpv6, sctp, any, or a number",
		conf_parse_proto, R(proto), 0, 0, CONF_LIVE, NULL },
	{ "source", "ADDR|PREFIX|any", "any", NULL, "address of who begins the flow",
		conf_parse_net, R(source), 0, 0, CONF_LIVE, NULL },
	{ "destination", "ADDR|PREFIX|any", "any", NULL, "address that it is sent to",
		conf_parse_net, R(destination), 0, 0, CONF_LIVE, NULL },
	{ "source-port", "PORT[-PORT]", NULL, "any", "port of who begins the flow",
		conf_parse_ports, R(source_port), 0, 0, CONF_LIVE, NULL },
	{ "destination-port", "PORT[-PORT]", NULL, "any", "port that it is sent to",
		conf_parse_ports, R(destination_port), 0, 0, CONF_LIVE, NULL },
	{ "action", "accept|drop|reject", NULL, "required",
		"let it pass, drop its packets, or tell the sender so (TCP: RST; else an ICMP "
		"error)",
		conf_parse_word, R(action), 0, 0, CONF_LIVE, action_words },
	{ "snat", "RANGE|auto", NULL, "none",
		"another source, ADDR[-ADDR][:PORT[-PORT]] or :PORT[-PORT]: of direction out, an "
		"address of the host; auto, between guests: only where two flows would look alike",
		conf_parse_snat, R(snat), 0, 0, CONF_LIVE, NULL },
	{ "dnat", "RANGE", NULL, "none", "another destination, written likewise", conf_parse_dnat,
		R(dnat), 0, 0, CONF_LIVE, NULL },
	{ "redirect", "[ADDR:]PORT", NULL, "none",
		"direction out: to a socket of this host, by default on its loopback",
		conf_parse_redirect, R(redirect), 0, 0, CONF_LIVE, NULL },
	{ "nat-choice", "hash|random|persistent", "hash", NULL,
		"how snat and dnat choose from a range: by both ends of a flow, at random, or the "
		"address by one end alone",
		conf_parse_word, R(nat_choice), 0, 0, CONF_LIVE, choice_words },
	{ "mark", "N", NULL, "the VM's",
		"mark of the flow, and SO_MARK of its socket (needs CAP_NET_ADMIN)", conf_parse_u32,
		R(mark), 0, UINT32_MAX, CONF_LIVE, NULL },
	{ "set-zone", "N", NULL, "the VM's", "the zone whose limit and timeouts the flow goes by",
		conf_parse_u32, R(set_zone), 0, FLOWTAB_ZONES - 1, CONF_LIVE, NULL },
	{ "helper", "none|ftp|tftp", "none", NULL,
		"between guests, let flows pass that this protocol announces", conf_parse_word,
		R(helper), 0, 0, CONF_LIVE, helper_words },
	{ "log", "yes|no", "no", NULL, "say in the log that a flow met this rule", conf_parse_word,
		R(log), 0, 0, CONF_LIVE, yes_words },
	{ NULL },
};

#define TIMEOUT(name, class, def, help)                                                           \
	{                                                                                         \
		name, "S", def, NULL, help, conf_parse_u32, T(s[CT_TIMEOUT_##class]), 1, YEARS_S, \
			CONF_LIVE, NULL                                                           \
	}

const struct conf_key conf_timeouts_keys[] = {
	{ "zones", "ZONES", NULL, "none", "zones whose flows go by these: a list such as 1, 5-9",
		conf_parse_zones, T(zones), 0, 0, CONF_LIST | CONF_LIVE, NULL },
	TIMEOUT("tcp-first", TCP_FIRST, "30", "TCP after the first SYN"),
	TIMEOUT("tcp-opening", TCP_OPENING, "30", "TCP until both ends have acknowledged"),
	TIMEOUT("tcp-established", TCP_ESTABLISHED, "86400", "a silent TCP connection"),
	TIMEOUT("tcp-closing", TCP_CLOSING, "900", "TCP after one FIN"),
	TIMEOUT("tcp-fin-wait", TCP_FIN_WAIT, "45", "TCP after both FINs"),
	TIMEOUT("tcp-closed", TCP_CLOSED, "30", "TCP after RST"),
	TIMEOUT("udp-first", UDP_FIRST, "60", "UDP after the first datagram"),
	TIMEOUT("udp-single", UDP_SINGLE, "60", "UDP after more of them, and no answer"),
	TIMEOUT("udp-multiple", UDP_MULTIPLE, "30", "UDP in both directions"),
	TIMEOUT("icmp-first", ICMP_FIRST, "60", "ICMP after the first question"),
	TIMEOUT("icmp-reply", ICMP_REPLY, "30", "ICMP after an answer"),
	TIMEOUT("other-first", OTHER_FIRST, "60", "another protocol after the first packet"),
	TIMEOUT("other-single", OTHER_SINGLE, "60",
		"another protocol after more of them, and no answer"),
	TIMEOUT("other-multiple", OTHER_MULTIPLE, "30", "another protocol in both directions"),
	{ NULL },
};

static_assert(sizeof(conf_weir_keys) / sizeof(conf_weir_keys[0]) <= CONF_MAX_KEYS, "where[]");
static_assert(sizeof(conf_network_keys) / sizeof(conf_network_keys[0]) <= CONF_MAX_KEYS, "where[]");
static_assert(sizeof(conf_vm_keys) / sizeof(conf_vm_keys[0]) <= CONF_MAX_KEYS, "where[]");
static_assert(sizeof(conf_rule_keys) / sizeof(conf_rule_keys[0]) <= CONF_MAX_KEYS, "where[]");
static_assert(sizeof(conf_timeouts_keys) / sizeof(conf_timeouts_keys[0]) == CT_TIMEOUTS + 2,
	"a key of each timeout, and zones");

int
conf_key_find(const struct conf_key *table, const char *name)
{
	int i;

	for (i = 0; table[i].name != NULL; i++)
		if (strcmp(table[i].name, name) == 0)
			return i;
	return -1;
}
