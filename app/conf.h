/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Configuration: from the command line and an INI file to plain data that has been checked.
 *
 * Theory of operation. Tables of keys (conf_weir_keys, conf_vm_keys and so on) say for each key its
 * name, its range, its default, its help, how it is parsed and where the value goes. The long
 * options, the key=value list of --vm, the file and the --help text all come from them. Values on
 * the command line take the place of those in the file. conf_load() reads everything, reports every
 * error it finds (with file, line, section and key, or with the option), and only then, if there
 * was none, completes what was left out: addresses, MAC addresses, resolvers.
 *
 * Ownership: a struct conf owns all it points to; conf_destroy() frees it. Read-only after
 * conf_load(). Threads: the control thread's alone.
 */
#ifndef CONF_H
#define CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <ct.h>
#include <l4x.h>
#include <rules.h>
#include <vport.h>

#define CONF_PATH_MAX 108 /**< sun_path, with the terminating zero */
#define CONF_NAME_MAX 33  /**< of VMs and networks, with the terminating zero */
#define CONF_MAX_VMS (L4X_MAX_PIFS - 1)
#define CONF_MAX_NETWORKS 64
#define CONF_MAX_CPUS 64
#define CONF_MAX_FORWARDS 128 /**< entries of one tcp or udp key */
/** Ports of the host that can be forwarded, all VMs together. */
#define CONF_MAX_PORTS 65535
#define CONF_MAX_KEYS 48
#define CONF_MAX_OPTIONS 4096
#define CONF_MAX_ZONE_LIMITS 256 /**< entries of zone-limit */
/** Errors that are reported of one configuration. */
#define CONF_MAX_ERRORS 20
#define CONF_ERROR_LEN 512

/** Where a value comes from, for messages and for precedence. */
enum conf_source {
	CONF_UNSET = 0,
	CONF_FILE,
	CONF_OPTION,
};

struct conf_where {
	uint8_t source; /**< enum conf_source */
	bool bad;       /**< given, but wrong: the default stands in while the rest is checked */
	uint32_t line;  /**< CONF_FILE: counted from 1 */
};

enum conf_spread {
	CONF_SPREAD_AUTO = 0,
	CONF_SPREAD_INLINE, /**< bridges only */
	CONF_SPREAD_COUNT,  /**< bridges only: n, floating */
	CONF_SPREAD_CPUS,   /**< one thread pinned to each */
};

struct conf_cpus {
	uint32_t how; /**< enum conf_spread */
	uint32_t n;
	uint16_t cpu[CONF_MAX_CPUS];
};

/** Is what not every machine has to be used? */
enum conf_use {
	CONF_USE_AUTO = 0, /**< where it is to be had */
	CONF_USE_ON,       /**< or fail */
	CONF_USE_OFF,
};

/** How a value that a VM may take from its network, or from the host, is given. */
enum conf_how {
	CONF_INHERIT = 0, /**< not given */
	CONF_NONE,
	CONF_HOST,    /**< as the host's /etc/resolv.conf says */
	CONF_GATEWAY, /**< the gateway's address */
	CONF_GIVEN,
};

struct conf_addr {
	uint32_t how; /**< enum conf_how */
	struct flowtab_addr addr;
};

struct conf_prefix {
	uint32_t how; /**< CONF_INHERIT, CONF_NONE, CONF_GIVEN */
	uint32_t len;
	struct flowtab_addr addr;
};

struct conf_dns {
	uint32_t how;
	uint32_t n;
	struct flowtab_addr addr[L4X_MAX_DNS];
};

struct conf_search {
	uint32_t how;
	char text[L4X_MAX_SEARCH]; /**< names separated by one space */
};

struct conf_loopback {
	uint32_t how;
	struct flowtab_addr v4, v6; /**< CONF_GIVEN; :: = not this family */
};

struct conf_forwards {
	uint32_t n;
	struct l4x_forward entry[CONF_MAX_FORWARDS];
};

struct conf_network {
	char name[CONF_NAME_MAX];
	struct conf_where section;
	struct conf_where where[CONF_MAX_KEYS]; /**< by position in conf_network_keys */
	uint16_t number; /**< l4x_port_conf.network: see conf_networks_number() */
	struct conf_prefix subnet, subnet6;
	struct conf_addr gateway, gateway6;
	struct conf_dns dns;
	struct conf_addr dns_forward;
	struct conf_search search;
	uint32_t mtu; /**< 0: inherit */
	uint32_t lease_s;
};

struct conf_vm {
	char name[CONF_NAME_MAX];
	struct conf_where section;
	struct conf_where where[CONF_MAX_KEYS]; /**< by position in conf_vm_keys */
	char socket[CONF_PATH_MAX];
	char socket_group[64]; /**< "": the owner's alone */
	char ethdev[64];       /**< key "port"; either this or socket */
	uint32_t mode;         /**< VPORT_VHOST_SERVER or VPORT_VHOST_CLIENT */
	uint32_t queues;
	char network[CONF_NAME_MAX];
	struct conf_addr address, address6, gateway, gateway6;
	struct rte_ether_addr mac;
	uint32_t mtu;
	uint32_t lease_s;
	struct conf_dns dns;
	struct conf_addr dns_forward;
	struct conf_search search;
	char hostname[64];
	struct conf_forwards tcp, udp;
	struct conf_loopback loopback;
	uint32_t zone, mark, max_flows, new_flows_per_s;
	/**
	 * All of the above put together, by conf_load(). The daemon sets pif, n_queues and
	 * queue_worker.
	 */
	struct l4x_port_conf port;
};

/** Addresses of one side of a flow; all zero: any. */
struct conf_net {
	struct rules_net net;
	uint8_t family; /**< 4, 6; 0: any */
};

/** Host order; all zero: any. */
struct conf_ports {
	uint16_t min, max;
};

struct conf_nat {
	bool given;
	struct ct_nat_range range;
};

struct conf_rule {
	char name[CONF_NAME_MAX]; /**< the number */
	struct conf_where section;
	struct conf_where where[CONF_MAX_KEYS]; /**< by position in conf_rule_keys */
	uint32_t directions;                    /**< enum rules_direction */
	char vm[CONF_NAME_MAX], to_vm[CONF_NAME_MAX], network[CONF_NAME_MAX]; /**< "": any */
	uint32_t zone;                                                        /**< if it is given */
	uint32_t proto;                                                       /**< 0: any */
	struct conf_net source, destination;
	struct conf_ports source_port, destination_port;
	uint32_t action; /**< enum rules_action */
	struct conf_nat snat, dnat, redirect;
	uint32_t nat_choice;     /**< enum ct_nat_choice */
	uint32_t mark, set_zone; /**< if they are given */
	uint32_t helper;         /**< enum ct_helper */
	uint32_t log;
	/**
	 * All of the above put together, by conf_load(). The daemon sets pif, to_pif and network,
	 * which follow from names.
	 */
	struct rule rule;
};

/** Zones by their bits. */
struct conf_zones {
	uint8_t bits[FLOWTAB_ZONES / 8];
};

/** Timeouts of flows between guests, in some zones. */
struct conf_timeouts {
	char name[CONF_NAME_MAX];
	struct conf_where section;
	struct conf_where where[CONF_MAX_KEYS]; /**< by position in conf_timeouts_keys */
	struct conf_zones zones;
	uint32_t s[CT_TIMEOUTS];
	struct ct_policy policy; /**< the same, by conf_load() */
};

struct conf_zone_limits {
	uint32_t n;
	struct conf_zone_limit {
		uint32_t first, last; /**< zones, or both FLOWTAB_ZONE_DEFAULT */
		uint32_t max;         /**< as flowtab_zone_limit_set() takes it */
	} entry[CONF_MAX_ZONE_LIMITS];
};

struct conf {
	char *file;                             /**< NULL: no file */
	struct conf_where where[CONF_MAX_KEYS]; /**< by position in conf_weir_keys */
	struct conf_cpus workers, bridges;
	uint32_t busy; /**< key "poll" */
	uint32_t spin_us;
	uint32_t memory_mb;
	uint32_t hugepages; /**< enum conf_use */
	uint32_t io_uring;  /**< enum conf_use */
	uint32_t max_flows;
	char control[CONF_PATH_MAX]; /**< "": the default place; "none" */
	char control_group[64];
	uint32_t log_level; /**< enum log_level */
	char eal[1024];
	struct conf_prefix network, network6;
	struct conf_dns dns;
	struct conf_addr dns_forward;
	struct conf_search search;
	uint32_t mtu;
	uint32_t lease_s;
	struct l4x_timeouts timeouts;
	uint32_t policy[3]; /**< enum rules_action, as in struct rules_params */
	struct conf_zone_limits zone_limits;
	uint32_t tcp_window_check, tcp_pickup;
	uint32_t evict; /**< key "table-full" */

	uint32_t n_networks; /**< [0] is the default network */
	struct conf_network *networks[CONF_MAX_NETWORKS];
	uint32_t n_vms;
	struct conf_vm *vms[CONF_MAX_VMS];
	uint32_t n_rules;
	struct conf_rule *rules[RULES_MAX]; /**< by rising number */
	uint32_t n_ct_timeouts;             /**< [0] is of the zones that no other has */
	struct conf_timeouts *ct_timeouts[CT_POLICIES];
};

struct conf_kind;
struct conf_key;
/**
 * Parse the text of a value into dst (the field).
 * @param why receives what is wrong with the text, on failure
 * @return 0 or -EINVAL
 */
typedef int (*conf_parse_fn)(
	const struct conf_key *k, const char *text, void *dst, char *why, size_t why_size);

#define CONF_LIST 0x01 /**< may be given more than once: entries add up */
#define CONF_LIVE 0x02 /**< can be changed by a reload */

struct conf_key {
	const char *name;
	const char *arg; /**< what stands for the value in --help */
	const char *def; /**< default, parsed when the key is absent; NULL: the field stays zero */
	const char *shown; /**< default as --help shows it, where def is NULL */
	const char *help;
	conf_parse_fn parse;
	size_t offset, size;      /**< of the field in its struct */
	uint32_t min, max;        /**< of numbers: in the unit of the field */
	uint32_t flags;           /**< CONF_* */
	const char *const *words; /**< of choices: NULL-terminated; the value is the position */
};

extern const struct conf_key conf_weir_keys[];     /**< up to a NULL name */
extern const struct conf_key conf_network_keys[];  /**< up to a NULL name */
extern const struct conf_key conf_vm_keys[];       /**< up to a NULL name */
extern const struct conf_key conf_rule_keys[];     /**< up to a NULL name */
extern const struct conf_key conf_timeouts_keys[]; /**< up to a NULL name */

/** Position of a key in a table, or -1. */
int conf_key_find(const struct conf_key *table, const char *name);
/** A key's line in an error: where it was given ("weir.conf:12: [vm.a] mtu", "--memory", ...). */
struct conf_place {
	const char *file;
	const char *section; /**< "weir", "vm", "network", ... */
	const char *name;    /**< of the VM or network, or NULL */
	const char *key;     /**< or NULL: the section itself */
	struct conf_where where;
};
/** @return buf */
const char *conf_place_format(const struct conf_place *p, char *buf, size_t size);

/** Receives one line, without newline, for each error. */
typedef void (*conf_report_fn)(void *arg, const char *line);

/** The command line, taken apart. */
struct conf_cli {
	const char *file;
	bool help, version, check;
	unsigned int n_given; /**< [weir] keys, --vm and --rule given */
	struct conf_cli_key {
		const struct conf_kind *kind; /**< of --vm, --rule; NULL: a key of [weir] */
		const struct conf_key *key;   /**< of [weir] */
		const char *text;             /**< in argv */
	} given[CONF_MAX_OPTIONS];
};

/**
 * Take the command line apart; values are parsed later, by conf_load().
 * @param argv stays valid as long as cli is used
 * @return 0; -EINVAL reported
 */
int conf_cli_parse(
	struct conf_cli *cli, int argc, char **argv, conf_report_fn report, void *report_arg);
/** The --help text. */
void conf_cli_help(FILE *out);
/** What to type, for somebody who gave no configuration at all. */
void conf_cli_usage(FILE *out);

struct conf_load_params {
	const struct conf_cli *cli;
	const char *resolv_conf; /**< NULL: /etc/resolv.conf */
	bool reload;             /**< no VM at all is no error */
	conf_report_fn report;
	void *report_arg;
};

/** @return the configuration, or NULL: errors have been reported */
struct conf *conf_load(const struct conf_load_params *p);
void conf_destroy(struct conf *c);

/**
 * Tell which keys differ that cannot change while the daemon runs: [weir] keys without CONF_LIVE
 * and the same of VMs that are in both.
 * @return how many were reported
 */
unsigned int conf_diff_fixed(
	const struct conf *old, const struct conf *new, conf_report_fn report, void *report_arg);

/** Memory in MiB that the flows of all workers need, with everything else. */
uint32_t conf_memory_needed(const struct conf *c);

/**
 * Give networks the numbers that they had in the old configuration, and new ones others: what is
 * known of a number stays true while ports change from one configuration to the next.
 */
void conf_networks_number(struct conf *c, const struct conf *old);

static inline bool
conf_zones_have(const struct conf_zones *z, uint32_t zone)
{
	return z->bits[zone / 8] >> zone % 8 & 1;
}

/** Ports of the host that a tcp or udp key forwards. */
uint32_t conf_ports_count(const struct conf_forwards *f);

struct conf_vm *conf_vm_find(const struct conf *c, const char *name);
struct conf_network *conf_network_find(const struct conf *c, const char *name);
/**
 * The VM of a configuration that is the same as vm of the other: it has its name or, if neither's
 * name is in the other configuration, its socket or port, so it was renamed. NULL: there is none.
 */
struct conf_vm *conf_vm_same(
	const struct conf *c, const struct conf *other, const struct conf_vm *vm);

#endif
