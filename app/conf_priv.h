/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * What the files of the configuration share. Who does what:
 *   conf_ini.c    text of a file -> sections, keys and values with their line numbers
 *   conf_value*.c text of a value -> a field
 *   conf_keys.c   the tables of keys
 *   conf_object.c what there are several of, by name
 *   conf_cli.c    argv -> struct conf_cli, --help
 *   conf.c        file and command line -> struct conf
 *   conf_check.c  defaults, inheritance, addresses
 *   conf_clash.c  resolvers, contradictions between VMs
 *   conf_rule.c   rules and timeouts: contradictions, and what the libraries are given
 */
#ifndef CONF_PRIV_H
#define CONF_PRIV_H

#include "conf.h"

/** State of a conf_load() under way. */
struct conf_loader {
	const struct conf_load_params *p;
	struct conf *conf;
	unsigned int errors;
	uint32_t weir_line; /**< of the section [weir] in the file, 0: not seen */
	/* of the section being read */
	const struct conf_key *table;
	struct conf_where *where;
	void *object;
	const char *section, *name;
};

/** Count an error and report it, up to CONF_MAX_ERRORS. place may be NULL. */
void conf_error(struct conf_loader *l, const struct conf_place *place, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* ---- conf_object.c ---- */

/** How every object begins that has a section of its own, [KIND.NAME]. */
struct conf_object {
	char name[CONF_NAME_MAX];
	struct conf_where section;
	struct conf_where where[CONF_MAX_KEYS];
};

enum {
	CONF_KIND_VM,
	CONF_KIND_NETWORK,
	CONF_KIND_RULE,
	CONF_KIND_TIMEOUTS,
	CONF_KINDS,
};

struct conf_kind {
	const char *section; /**< of the option, too, if it has one */
	const char *name;    /**< what stands for the name in messages */
	const char *what;    /**< what they are called */
	const char *example; /**< of the option's value; NULL: it has no option */
	uint32_t max;
	const struct conf_key *keys;
	size_t list, count; /**< offsets in struct conf: array of pointers, how many there are */
	size_t size;        /**< of one */
	bool numbered;      /**< the name is a number, by which they are in order */
	bool (*valid)(const char *name);
	const char *rule; /**< by which names are valid */
};

extern const struct conf_kind conf_kinds[]; /**< by CONF_KIND_*, up to a NULL section */

/** The kind whose section begins with this word, or NULL. */
const struct conf_kind *conf_kind_find(const char *text, size_t len);
struct conf_object *conf_object_find(
	const struct conf *c, const struct conf_kind *k, const char *name);
/** Add one that is not there. NULL: too many, or out of memory. */
struct conf_object *conf_object_add(struct conf *c, const struct conf_kind *k, const char *name);

/* ---- conf_ini.c ---- */

struct conf_ini_handler {
	/** A section begins. */
	void (*section)(void *arg, const char *name, uint32_t line);
	/** key = value inside of a section. */
	void (*value)(void *arg, const char *key, const char *value, uint32_t line);
	/** The line cannot be understood. */
	void (*bad)(void *arg, const char *what, uint32_t line);
	void *arg;
};

/** Longest file that is read, bytes. */
#define CONF_INI_FILE_MAX (16u << 20)

/**
 * Read the INI text. The handler is told of every line that says something, in order.
 * @return 0; -errno it could not be read
 */
int conf_ini_read(FILE *in, const struct conf_ini_handler *h);

/* ---- conf_value*.c: parsers named by conf_keys.c ---- */

int conf_parse_u32(const struct conf_key *, const char *, void *, char *, size_t);
/** Seconds in the text, ms in the field; min and max in ms. */
int conf_parse_seconds(const struct conf_key *, const char *, void *, char *, size_t);
int conf_parse_word(const struct conf_key *, const char *, void *, char *, size_t);
int conf_parse_workers(const struct conf_key *, const char *, void *, char *, size_t);
int conf_parse_bridges(const struct conf_key *, const char *, void *, char *, size_t);
int conf_parse_path(const struct conf_key *, const char *, void *, char *, size_t);
int conf_parse_text(const struct conf_key *, const char *, void *, char *, size_t);
int conf_parse_name(const struct conf_key *, const char *, void *, char *, size_t);
int conf_parse_prefix4(const struct conf_key *, const char *, void *, char *, size_t);
int conf_parse_prefix6(const struct conf_key *, const char *, void *, char *, size_t);
int conf_parse_addr4(const struct conf_key *, const char *, void *, char *, size_t);
int conf_parse_addr6(const struct conf_key *, const char *, void *, char *, size_t);
int conf_parse_addr_any(const struct conf_key *, const char *, void *, char *, size_t);
int conf_parse_dns(const struct conf_key *, const char *, void *, char *, size_t);
int conf_parse_search(const struct conf_key *, const char *, void *, char *, size_t);
int conf_parse_loopback(const struct conf_key *, const char *, void *, char *, size_t);
int conf_parse_mac(const struct conf_key *, const char *, void *, char *, size_t);
int conf_parse_hostname(const struct conf_key *, const char *, void *, char *, size_t);
int conf_parse_forwards(const struct conf_key *, const char *, void *, char *, size_t);
int conf_parse_directions(const struct conf_key *, const char *, void *, char *, size_t);
int conf_parse_proto(const struct conf_key *, const char *, void *, char *, size_t);
int conf_parse_net(const struct conf_key *, const char *, void *, char *, size_t);
int conf_parse_ports(const struct conf_key *, const char *, void *, char *, size_t);
int conf_parse_snat(const struct conf_key *, const char *, void *, char *, size_t);
int conf_parse_dnat(const struct conf_key *, const char *, void *, char *, size_t);
int conf_parse_redirect(const struct conf_key *, const char *, void *, char *, size_t);
int conf_parse_zones(const struct conf_key *, const char *, void *, char *, size_t);
int conf_parse_zone_limits(const struct conf_key *, const char *, void *, char *, size_t);

/** The number of a rule: 1 .. RULES_MAX, with nothing before or behind it. */
bool conf_rule_name_valid(const char *name);
/** A name of a VM or network: letters, digits, '-', '_' and '.', not longer than CONF_NAME_MAX. */
bool conf_name_valid(const char *name);
/** A host name, with or without dots (RFC 1123, 2.1). */
bool conf_hostname_valid(const char *name);

/* ---- conf_check.c ---- */

/** Defaults of the table, for what was not given (or given wrong). */
void conf_set_defaults(const struct conf_key *table, const struct conf_where *where, void *object);
/** Complete and check what was read; errors are reported through l. */
void conf_complete(struct conf_loader *l);

/* ---- conf_rule.c ---- */

/** Check rules, of VMs and networks that are complete, and put them together. */
void conf_complete_rules(struct conf_loader *l);
/** The same of timeouts. */
void conf_complete_timeouts(struct conf_loader *l);

/* ---- conf_clash.c ---- */

/** Resolvers and search list of a VM whose addresses are known. */
void conf_complete_dns(struct conf_loader *l, struct conf_vm *vm, const struct conf_network *n);
/** Report what two VMs cannot both have. */
void conf_check_clashes(struct conf_loader *l);

#endif
