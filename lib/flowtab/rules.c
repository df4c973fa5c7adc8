/* SPDX-License-Identifier: BSD-3-Clause */
#include "rules_priv.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include <rte_common.h>
#include <rte_errno.h>
#include <rte_malloc.h>

struct rules {
	uint32_t n;
	unsigned int n_threads;
	uint8_t policy[RULES_DIRECTIONS];
	struct rule *list;
	/** By thread: of each rule, then of each policy. Written by the thread, read by all. */
	uint64_t *hits[RULES_THREADS_MAX];
	struct rules_acls acls4, acls6;
};

/* ---- what is allowed ---- */

static uint8_t
addr_family(const struct flowtab_addr *a)
{
	return flowtab_addr_is_v4(a) ? RULES_V4 : RULES_V6;
}

static uint8_t
net_families(const struct rules_net *n)
{
	return n->prefix_len == 0 && flowtab_addr_is_any(&n->addr) ? RULES_V4 | RULES_V6
								   : addr_family(&n->addr);
}

static uint8_t
range_families(const struct ct_nat_range *r)
{
	return flowtab_addr_is_any(&r->min) ? RULES_V4 | RULES_V6
					    : addr_family(&r->min) & addr_family(&r->max);
}

uint8_t
rules_families(const struct rule *rule)
{
	uint8_t f = net_families(&rule->src) & net_families(&rule->dst);

	if (rule->family != 0)
		f &= rule->family == 4 ? RULES_V4 : RULES_V6;
	if (rule->proto == IPPROTO_ICMPV6)
		f &= RULES_V6;
	if (rule->nat.what & CT_NAT_SRC)
		f &= range_families(&rule->nat.src);
	if (rule->nat.what & CT_NAT_DST)
		f &= range_families(&rule->nat.dst);
	return f;
}

static bool
net_valid(const struct rules_net *n)
{
	return n->prefix_len <= (flowtab_addr_is_v4(&n->addr) ? 32 : 128);
}

static bool
range_valid(const struct ct_nat_range *r)
{
	return memcmp(&r->min, &r->max, sizeof(r->min)) <= 0 && r->port_min <= r->port_max;
}

static bool
rule_valid(const struct rule *rule, uint32_t above)
{
	const struct ct_nat *nat = &rule->nat;

	return rule->number > above && rule->number <= RULES_MAX && rule->directions != 0 &&
		(rule->directions & ~RULES_ALL_DIRECTIONS) == 0 && rule->pif < FLOWTAB_MAX_PIFS &&
		rule->to_pif < FLOWTAB_MAX_PIFS &&
		(rule->family == 0 || rule->family == 4 || rule->family == 6) &&
		net_valid(&rule->src) && net_valid(&rule->dst) &&
		rule->sport_min <= rule->sport_max && rule->dport_min <= rule->dport_max &&
		rule->action <= RULES_REJECT && (nat->what & ~(CT_NAT_SRC | CT_NAT_DST)) == 0 &&
		(!(nat->what & CT_NAT_SRC) || range_valid(&nat->src)) &&
		(!(nat->what & CT_NAT_DST) || range_valid(&nat->dst)) && rules_families(rule) != 0;
}

static bool
params_valid(const struct rules_params *p)
{
	uint32_t above = 0;

	if (p->name == NULL || p->name[0] == '\0' || strlen(p->name) > RULES_NAME_MAX ||
		p->n_rules > RULES_MAX || (p->n_rules != 0 && p->rules == NULL) ||
		p->n_threads == 0 || p->n_threads > RULES_THREADS_MAX)
		return false;
	for (unsigned int i = 0; i < RULES_DIRECTIONS; i++)
		if (p->policy[i] > RULES_REJECT)
			return false;
	for (uint32_t i = 0; i < p->n_rules; i++) {
		if (!rule_valid(&p->rules[i], above))
			return false;
		above = p->rules[i].number;
	}
	return true;
}

/* ---- making ---- */

struct rules *
rules_create(const struct rules_params *p)
{
	struct rules *r;
	int ret = 0;

	if (!params_valid(p)) {
		rte_errno = EINVAL;
		return NULL;
	}
	r = rte_zmalloc_socket("rules", sizeof(*r), RTE_CACHE_LINE_SIZE, p->socket_id);
	if (r == NULL) {
		rte_errno = ENOMEM;
		return NULL;
	}
	r->n = p->n_rules;
	r->n_threads = p->n_threads;
	memcpy(r->policy, p->policy, sizeof(r->policy));
	r->list = rte_malloc_socket(
		"rules_list", (r->n + 1) * sizeof(r->list[0]), RTE_CACHE_LINE_SIZE, p->socket_id);
	if (r->list == NULL)
		ret = -ENOMEM;
	for (unsigned int t = 0; t < r->n_threads && ret == 0; t++) {
		r->hits[t] = rte_zmalloc_socket("rules_hits",
			(r->n + RULES_DIRECTIONS) * sizeof(uint64_t), RTE_CACHE_LINE_SIZE,
			p->socket_id);
		if (r->hits[t] == NULL)
			ret = -ENOMEM;
	}
	if (ret == 0 && r->n != 0)
		memcpy(r->list, p->rules, r->n * sizeof(r->list[0]));
	if (ret == 0)
		ret = rules_acls_make(&r->acls4, r->list, r->n, RULES_V4, p->name, p->socket_id);
	if (ret == 0)
		ret = rules_acls_make(&r->acls6, r->list, r->n, RULES_V6, p->name, p->socket_id);
	if (ret == 0)
		return r;
	rules_destroy(r);
	rte_errno = -ret;
	return NULL;
}

void
rules_destroy(struct rules *r)
{
	if (r == NULL)
		return;
	rules_acls_free(&r->acls4);
	rules_acls_free(&r->acls6);
	for (unsigned int t = 0; t < r->n_threads; t++)
		rte_free(r->hits[t]);
	rte_free(r->list);
	rte_free(r);
}

/* ---- asking ---- */

const struct rule *
rules_find(const struct rules *r, const struct rules_query *q)
{
	const bool v4 = flowtab_addr_is_v4(&q->tuple->eaddr);
	const uint32_t found = rules_acls_find(v4 ? &r->acls4 : &r->acls6, q, v4);

	return found == 0 ? NULL : &r->list[found - 1];
}

static unsigned int
direction_index(enum rules_direction direction)
{
	const unsigned int i = rte_bsf32(direction);

	assert(i < RULES_DIRECTIONS);
	return i;
}

enum rules_action
rules_policy(const struct rules *r, enum rules_direction direction)
{
	return r->policy[direction_index(direction)];
}

/** Position of a number in the list, or of the next larger one. */
static uint32_t
position(const struct rules *r, uint32_t number)
{
	uint32_t begin = 0, end = r->n;

	while (begin < end) {
		const uint32_t middle = (begin + end) / 2;

		if (r->list[middle].number < number)
			begin = middle + 1;
		else
			end = middle;
	}
	return begin;
}

const struct rule *
rules_get(const struct rules *r, uint32_t number)
{
	const uint32_t i = position(r, number);

	return i < r->n && r->list[i].number == number ? &r->list[i] : NULL;
}

void
rules_hit(struct rules *r, unsigned int thread, const struct rule *rule,
	enum rules_direction direction)
{
	const uint32_t i =
		rule != NULL ? (uint32_t)(rule - r->list) : r->n + direction_index(direction);
	uint64_t *n = &r->hits[thread][i];

	__atomic_store_n(n, *n + 1, __ATOMIC_RELAXED);
}

static uint64_t
hits_at(const struct rules *r, uint32_t i)
{
	uint64_t n = 0;

	for (unsigned int t = 0; t < r->n_threads; t++)
		n += __atomic_load_n(&r->hits[t][i], __ATOMIC_RELAXED);
	return n;
}

uint64_t
rules_hits(const struct rules *r, uint32_t number)
{
	const struct rule *rule = rules_get(r, number);
	uint64_t n = 0;

	if (rule != NULL)
		return hits_at(r, (uint32_t)(rule - r->list));
	for (uint32_t i = 0; i < RULES_DIRECTIONS && number == RULES_NONE; i++)
		n += hits_at(r, r->n + i);
	return n;
}

uint64_t
rules_policy_hits(const struct rules *r, enum rules_direction direction)
{
	return hits_at(r, r->n + direction_index(direction));
}

uint32_t
rules_count(const struct rules *r)
{
	return r->n;
}

const struct rule *
rules_at(const struct rules *r, uint32_t i)
{
	return &r->list[i];
}
