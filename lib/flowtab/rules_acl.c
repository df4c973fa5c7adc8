/* SPDX-License-Identifier: BSD-3-Clause */
#include "rules_priv.h"

#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <rte_byteorder.h>
#include <rte_common.h>

/** Rules of one context at most. */
#define ACL_RULES_MAX 1024

/**
 * What is classified, in network order: a byte, then four at a time, as rte_acl wants it. IPv4
 * addresses take the first word of src and dst.
 */
struct rules_key {
	uint8_t proto;
	uint8_t zero[3];
	rte_be32_t where; /**< see WHERE_NOT(); the network */
	rte_be32_t pifs;  /**< pif, to_pif */
	rte_be32_t zone;
	rte_be16_t sport, dport;
	rte_be32_t src[4], dst[4];
};

/*
 * Fields of a rule, in the order in which tries are made of them: what most rules ask for comes
 * first (with addresses before the ports, tries of 1000 rules take several times as much memory
 * while they are made). Addresses have a word or four.
 */
enum {
	FIELD_PROTO,
	FIELD_WHERE,
	FIELD_PIFS,
	FIELD_ZONE,
	FIELD_SPORT,
	FIELD_DPORT,
	FIELD_SRC,
};
#define FIELDS(words) (FIELD_SRC + 2U * (words))
#define FIELDS_MAX FIELDS(4)

RTE_ACL_RULE_DEF(rules_acl_rule, FIELDS_MAX);

/**
 * In the upper half of where: which directions the flow does not have. A mask can ask that bits are
 * set; a rule asks it of all directions that are not its own.
 */
#define WHERE_NOT(directions) ((uint32_t)(RULES_ALL_DIRECTIONS & ~(directions)) << 16)
/** And that there is somebody at the destination; who translates it asks no such thing. */
#define WHERE_DST_THERE ((uint32_t)0x08 << 16)

/* ---- rules for rte_acl ---- */

static struct rte_acl_field_def
field_def(unsigned int index, uint8_t size, size_t offset)
{
	return (struct rte_acl_field_def){ .type = RTE_ACL_FIELD_TYPE_BITMASK,
		.size = size,
		.field_index = (uint8_t)index,
		.input_index = (uint8_t)index,
		.offset = (uint32_t)offset };
}

/** @param words of an address: 1 or 4 */
static void
acl_config(struct rte_acl_config *c, unsigned int words)
{
	struct rte_acl_field_def *d = c->defs;

	memset(c, 0, sizeof(*c));
	c->num_categories = 1;
	c->num_fields = FIELDS(words);
	d[FIELD_PROTO] = field_def(FIELD_PROTO, 1, offsetof(struct rules_key, proto));
	d[FIELD_WHERE] = field_def(FIELD_WHERE, 4, offsetof(struct rules_key, where));
	d[FIELD_PIFS] = field_def(FIELD_PIFS, 4, offsetof(struct rules_key, pifs));
	d[FIELD_ZONE] = field_def(FIELD_ZONE, 4, offsetof(struct rules_key, zone));
	d[FIELD_SPORT] = field_def(FIELD_SPORT, 2, offsetof(struct rules_key, sport));
	d[FIELD_DPORT] = field_def(FIELD_DPORT, 2, offsetof(struct rules_key, dport));
	d[FIELD_SPORT].type = d[FIELD_DPORT].type = RTE_ACL_FIELD_TYPE_RANGE;
	/* The two are one word of the input. */
	d[FIELD_DPORT].input_index = FIELD_SPORT;
	for (unsigned int i = 0; i < words; i++) {
		d[FIELD_SRC + i] =
			field_def(FIELD_SRC + i, 4, offsetof(struct rules_key, src) + 4 * i);
		d[FIELD_SRC + words + i] = field_def(
			FIELD_SRC + words + i, 4, offsetof(struct rules_key, dst) + 4 * i);
	}
}

static struct rte_acl_field
bits32(uint32_t value, uint32_t mask)
{
	return (struct rte_acl_field){ { .u32 = value & mask }, { .u32 = mask } };
}

static struct rte_acl_field
ports(uint16_t min, uint16_t max)
{
	return (struct rte_acl_field){ { .u16 = min }, { .u16 = max == 0 ? UINT16_MAX : max } };
}

static void
acl_net(struct rte_acl_field *f, const struct rules_net *n, unsigned int words)
{
	const uint8_t *at = n->addr.b + (words == 1 ? offsetof(struct flowtab_addr, v4) : 0);

	for (unsigned int i = 0; i < words; i++, at += 4) {
		const unsigned int bits = RTE_MIN(RTE_MAX((int)n->prefix_len - 32 * (int)i, 0), 32);
		rte_be32_t word;

		memcpy(&word, at, sizeof(word));
		f[i] = bits32(rte_be_to_cpu_32(word), bits == 0 ? 0 : UINT32_MAX << (32 - bits));
	}
}

static void
acl_rule(struct rules_acl_rule *a, const struct rule *rule, uint32_t i, unsigned int words)
{
	const bool dnat = rule->nat.what & CT_NAT_DST;
	struct rte_acl_field *f = a->field;
	uint32_t where = WHERE_NOT(rule->directions);
	uint8_t proto = rule->proto;

	if (words == 4 && proto == IPPROTO_ICMP)
		proto = IPPROTO_ICMPV6;
	if (!dnat)
		where |= WHERE_DST_THERE;
	a->data = (struct rte_acl_rule_data){
		.category_mask = 1, .priority = RTE_ACL_MAX_PRIORITY - (int32_t)i, .userdata = i + 1
	};
	f[FIELD_PROTO] =
		(struct rte_acl_field){ { .u8 = proto }, { .u8 = proto == 0 ? 0 : UINT8_MAX } };
	f[FIELD_WHERE] =
		bits32(where | rule->network, where | (rule->network != 0 ? UINT16_MAX : 0));
	f[FIELD_PIFS] = bits32((uint32_t)rule->pif << 16 | rule->to_pif,
		(rule->pif != 0 ? 0xffff0000 : 0) | (rule->to_pif != 0 ? 0xffff : 0));
	f[FIELD_ZONE] = bits32(rule->zone, rule->by_zone ? UINT32_MAX : 0);
	acl_net(f + FIELD_SRC, &rule->src, words);
	acl_net(f + FIELD_SRC + words, &rule->dst, words);
	f[FIELD_SPORT] = ports(rule->sport_min, rule->sport_max);
	f[FIELD_DPORT] = ports(rule->dport_min, rule->dport_max);
}

/* ---- contexts ---- */

/** What makes the contexts of one family. */
struct acl_maker {
	struct rules_acls *acls;
	const struct rule *list;
	uint8_t family;
	const char *name;
	int socket_id;
	unsigned int words; /**< of an address */
	struct rte_acl_config config;
};

static bool
acl_wants(const struct acl_maker *k, uint32_t i)
{
	return rules_families(&k->list[i]) & k->family;
}

static int
acl_fill(const struct acl_maker *k, uint32_t begin, uint32_t end, struct rte_acl_ctx *ctx)
{
	struct rules_acl_rule a;
	int ret = 0;

	for (uint32_t i = begin; i < end && ret == 0; i++) {
		if (!acl_wants(k, i))
			continue;
		acl_rule(&a, &k->list[i], i, k->words);
		ret = rte_acl_add_rules(ctx, (const struct rte_acl_rule *)&a, 1);
	}
	return ret != 0 ? ret : rte_acl_build(ctx, &k->config);
}

/** A context of the rules from begin to end, if there are any. @return 0 or -errno */
static int
acl_make(const struct acl_maker *k, uint32_t begin, uint32_t end)
{
	char name[RTE_ACL_NAMESIZE];
	struct rte_acl_param param = {
		.name = name,
		.socket_id = k->socket_id,
		.rule_size = RTE_ACL_RULE_SZ(FIELDS(k->words)),
	};
	struct rte_acl_ctx *ctx;
	int ret;

	for (uint32_t i = begin; i < end; i++)
		param.max_rule_num += acl_wants(k, i);
	if (param.max_rule_num == 0)
		return 0;
	if (k->acls->n == RULES_ACLS_MAX)
		return -ENOMEM;
	snprintf(name, sizeof(name), "%s/%u/%u", k->name, k->words, k->acls->n);
	/* It would give the same context to both. */
	if (rte_acl_find_existing(name) != NULL)
		return -EEXIST;
	ctx = rte_acl_create(&param);
	if (ctx == NULL)
		return -ENOMEM;
	ret = acl_fill(k, begin, end, ctx);
	if (ret != 0) {
		rte_acl_free(ctx);
		return ret;
	}
	k->acls->ctx[k->acls->n++] = ctx;
	return 0;
}

int
rules_acls_make(struct rules_acls *acls, const struct rule *list, uint32_t n_rules, uint8_t family,
	const char *name, int socket_id)
{
	struct acl_maker k = { acls, list, family, name, socket_id, family == RULES_V4 ? 1 : 4,
		{ 0 } };
	uint32_t begin = 0, n = ACL_RULES_MAX;
	int ret = 0;

	acl_config(&k.config, k.words);
	while (begin < n_rules && ret == 0) {
		n = RTE_MIN(n, n_rules - begin);
		ret = acl_make(&k, begin, begin + n);
		if (ret == 0) {
			begin += n;
		} else if (ret == -ENOMEM && n > 1) {
			/* It says the same whether memory ran out or the list is too wild. */
			n /= 2;
			ret = 0;
		}
	}
	return ret;
}

void
rules_acls_free(struct rules_acls *acls)
{
	for (unsigned int i = 0; i < acls->n; i++)
		rte_acl_free(acls->ctx[i]);
}

/* ---- asking ---- */

static void
key_make(struct rules_key *k, const struct rules_query *q, bool v4)
{
	const struct flowtab_tuple *t = q->tuple;
	const bool icmp = t->proto == IPPROTO_ICMP || t->proto == IPPROTO_ICMPV6;
	uint32_t where = WHERE_NOT(q->direction) | q->network;

	if (q->direction != RULES_EAST_WEST || q->to_pif != 0)
		where |= WHERE_DST_THERE;
	memset(k, 0, sizeof(*k));
	k->proto = t->proto;
	k->where = rte_cpu_to_be_32(where);
	k->pifs = rte_cpu_to_be_32((uint32_t)q->pif << 16 | q->to_pif);
	k->zone = rte_cpu_to_be_32(t->zone);
	if (v4) {
		k->src[0] = t->eaddr.v4;
		k->dst[0] = t->oaddr.v4;
	} else {
		memcpy(k->src, &t->eaddr, sizeof(k->src));
		memcpy(k->dst, &t->oaddr, sizeof(k->dst));
	}
	if (!icmp) {
		k->sport = t->eport;
		k->dport = t->oport;
	}
}

uint32_t
rules_acls_find(const struct rules_acls *acls, const struct rules_query *q, bool v4)
{
	struct rules_key k;
	const uint8_t *data = (const uint8_t *)&k;
	uint32_t found = 0;

	if (acls->n == 0)
		return 0;
	key_make(&k, q, v4);
	for (unsigned int i = 0; i < acls->n && found == 0; i++)
		rte_acl_classify(acls->ctx[i], &data, &found, 1, 1);
	return found;
}
