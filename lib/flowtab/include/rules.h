/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Rules: what is allowed, and what becomes of it. Asked once for each flow, never per packet.
 *
 * Theory of operation. A struct rules is made of a list of struct rule and does not change
 * afterwards; the first that matches decides, and the policy when none does. Matching is by
 * rte_acl, for all directions together: a context for each family, or, of long lists, several that
 * are asked one after the other. Changing rules is making new ones: who
 * uses them is given the new pointer, looks at its live flows again (rules_find()), and only then
 * are the old ones freed.
 *
 * Ownership and threads: made and freed by one thread; asked by any number at a time. Hits are
 * counted for each thread apart, by its number.
 */
#ifndef RULES_H
#define RULES_H

#include <stdbool.h>
#include <stdint.h>

#include "ct.h"

/** Rules at most, so that a rule's number fits flowtab_flow.cookie. */
#define RULES_MAX 16384
/** As the number of a rule: none matched, the policy decided. */
#define RULES_NONE 0
/** Longest name, without the terminating zero. */
#define RULES_NAME_MAX 24
#define RULES_THREADS_MAX 64

enum rules_direction {
	RULES_OUT = 0x01,       /**< a guest to the host's sockets */
	RULES_IN = 0x02,        /**< from a forward of the host to a guest */
	RULES_EAST_WEST = 0x04, /**< guest to guest */
};

enum rules_action {
	RULES_ACCEPT = 0,
	RULES_DROP,
	RULES_REJECT, /**< TCP: RST; others: ICMP "administratively prohibited" */
};

/** An address range by prefix; prefix_len 0 of an unspecified address: any of both families. */
struct rules_net {
	struct flowtab_addr addr;
	uint8_t prefix_len; /**< of 32 or of 128, by the address's family */
};

/** What a flow looks like, and what becomes of it. Plain data. */
struct rule {
	uint32_t number; /**< 1 .. RULES_MAX, rising: N of [rule.N] */
	/* which flows */
	uint8_t directions; /**< enum rules_direction, one or more */
	uint8_t proto;      /**< 0: any; IPPROTO_ICMP stands for ICMPv6, too */
	uint16_t pif; /**< of the guest that begins it (OUT, EAST_WEST) or gets it (IN); 0: any */
	uint16_t to_pif;  /**< EAST_WEST: of the other guest; 0: any */
	uint16_t network; /**< number + 1 of the guest's network; 0: any */
	bool by_zone;
	uint16_t zone;  /**< of the guest */
	uint8_t family; /**< 4, 6; 0: both, or as src, dst and nat say */
	struct rules_net src, dst;
	/** Host order; 0 .. 65535, or a maximum of 0: any. Identifiers of ICMP are no ports. */
	uint16_t sport_min, sport_max, dport_min, dport_max;
	/* what becomes of them */
	uint8_t action; /**< enum rules_action */
	bool log;
	uint8_t helper;    /**< enum ct_helper */
	struct ct_nat nat; /**< nat.what 0: none */
	/** OUT: nat.dst is a socket of the host's own; unspecified: on the flow's loopback. */
	bool redirect;
	bool set_mark, set_zone;
	uint32_t mark;
	uint16_t to_zone; /**< EAST_WEST: the zone that the flow is tracked in */
};

/** A flow that asks. */
struct rules_query {
	const struct flowtab_tuple *tuple; /**< as its first packet comes in; zone: the guest's */
	uint8_t direction;                 /**< enum rules_direction, one */
	uint16_t pif, to_pif; /**< see struct rule; to_pif 0: the destination is no guest */
	uint16_t network;     /**< number + 1 */
};

struct rules;

struct rules_params {
	const char *name; /**< unique in the process at a time */
	const struct rule *rules;
	uint32_t n_rules;
	/** What holds for a direction when no rule matches: enum rules_action by bit number. */
	uint8_t policy[3];
	unsigned int n_threads; /**< that count hits: 1 .. RULES_THREADS_MAX */
	int socket_id;
};

/**
 * Copies the list.
 * @return the rules, or NULL with rte_errno set: EINVAL, among others for a rule whose addresses
 *         are of different families; EEXIST the name is taken; ENOMEM, also when the rules are too
 *         many of too different kinds for rte_acl
 */
struct rules *rules_create(const struct rules_params *p);
void rules_destroy(struct rules *r);

/**
 * Which rule decides about a flow.
 * @return the rule, valid as long as r; NULL: none matches, see rules_policy()
 */
const struct rule *rules_find(const struct rules *r, const struct rules_query *q);
enum rules_action rules_policy(const struct rules *r, enum rules_direction direction);
/** The same by number; NULL: there is none (any more). */
const struct rule *rules_get(const struct rules *r, uint32_t number);

/** Count a flow that the rule (NULL: the policy of a direction) has decided about. */
void rules_hit(struct rules *r, unsigned int thread, const struct rule *rule,
	enum rules_direction direction);
/** Sum of all threads. Any thread. number RULES_NONE: those that a policy decided. */
uint64_t rules_hits(const struct rules *r, uint32_t number);
uint64_t rules_policy_hits(const struct rules *r, enum rules_direction direction);
uint32_t rules_count(const struct rules *r);
/** The i-th, in order. */
const struct rule *rules_at(const struct rules *r, uint32_t i);

#endif
