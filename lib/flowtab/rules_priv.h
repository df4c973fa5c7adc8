/* SPDX-License-Identifier: BSD-3-Clause */
/** Between rules.c, which knows the list, and rules_acl.c, which finds a rule in it. */
#ifndef RULES_PRIV_H
#define RULES_PRIV_H

#include <rte_acl.h>

#include "rules.h"

#define RULES_DIRECTIONS 3
#define RULES_ALL_DIRECTIONS (RULES_OUT | RULES_IN | RULES_EAST_WEST)

#define RULES_V4 0x01
#define RULES_V6 0x02

/** Contexts of one family at most. */
#define RULES_ACLS_MAX 512

/**
 * Contexts of one family. Larger ones would take gigabytes while they are made; and rte_acl refuses
 * lists, however short, that leave too many things open in too many ways. So a list is cut into
 * pieces that it takes, and the first that has an answer decides.
 */
struct rules_acls {
	unsigned int n;
	struct rte_acl_ctx *ctx[RULES_ACLS_MAX];
};

/** Which families a rule is about, RULES_V4 and RULES_V6; 0: it contradicts itself. */
uint8_t rules_families(const struct rule *rule);

/**
 * Make the contexts of one family, for rules that are valid.
 * @param name unique
 * @return 0; -EEXIST, -ENOMEM: free what there is
 */
int rules_acls_make(struct rules_acls *acls, const struct rule *list, uint32_t n, uint8_t family,
	const char *name, int socket_id);
void rules_acls_free(struct rules_acls *acls);
/** @return position in the list + 1; 0: none matches */
uint32_t rules_acls_find(const struct rules_acls *acls, const struct rules_query *q, bool v4);

#endif
