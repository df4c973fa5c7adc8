/* SPDX-License-Identifier: BSD-3-Clause */
/* The tracker's beginning and end, its settings, its counters. */
#include <errno.h>
#include <string.h>

#include <rte_errno.h>
#include <rte_malloc.h>

#include "ct_priv.h"

#define S 1000ULL
#define MIN (60 * S)
#define H (60 * MIN)

const struct ct_info ct_reason_info[CT_REASON_COUNT] = {
#define X(e, name, help) { name, help },
	CT_REASONS(X)
#undef X
};

const struct ct_info ct_count_info[CT_COUNTS_N] = {
#define X(e, name, help) { name, help },
	CT_COUNTS(X)
#undef X
};

/** Open vSwitch's. */
static const uint64_t default_ms[CT_TIMEOUTS] = {
	[CT_TIMEOUT_TCP_FIRST] = 30 * S,
	[CT_TIMEOUT_TCP_OPENING] = 30 * S,
	[CT_TIMEOUT_TCP_ESTABLISHED] = 24 * H,
	[CT_TIMEOUT_TCP_CLOSING] = 15 * MIN,
	[CT_TIMEOUT_TCP_FIN_WAIT] = 45 * S,
	[CT_TIMEOUT_TCP_CLOSED] = 30 * S,
	[CT_TIMEOUT_UDP_FIRST] = 60 * S,
	[CT_TIMEOUT_UDP_SINGLE] = 60 * S,
	[CT_TIMEOUT_UDP_MULTIPLE] = 30 * S,
	[CT_TIMEOUT_ICMP_FIRST] = 60 * S,
	[CT_TIMEOUT_ICMP_REPLY] = 30 * S,
	[CT_TIMEOUT_OTHER_FIRST] = 60 * S,
	[CT_TIMEOUT_OTHER_SINGLE] = 60 * S,
	[CT_TIMEOUT_OTHER_MULTIPLE] = 30 * S,
};

static bool
params_are_valid(const struct ct_params *p)
{
	return p->ft != NULL && (p->n_slices == 0 || p->slice < p->n_slices);
}

struct ct *
ct_create(const struct ct_params *p)
{
	struct ct *ct;
	int err = 0;

	if (!params_are_valid(p)) {
		rte_errno = EINVAL;
		return NULL;
	}
	ct = rte_zmalloc_socket("ct", sizeof(*ct), RTE_CACHE_LINE_SIZE, p->socket_id);
	if (ct == NULL) {
		rte_errno = ENOMEM;
		return NULL;
	}
	ct->ft = p->ft;
	ct->flows = flowtab_flows(p->ft);
	ct->seq_check = !p->no_seq_check;
	ct->pickup = !p->no_pickup;
	ct->slice = p->slice;
	ct->n_slices = RTE_MAX(p->n_slices, 1);
	ct->sipkey = flowtab_sipkey_load(p->secret);
	ct->rng = flowtab_siphash13(&ct->sipkey, &ct->sipkey.k0, 1);
	for (unsigned int i = 0; i < CT_POLICIES; i++)
		memcpy(ct->timeout_ms[i], default_ms, sizeof(default_ms));
	ct->zone_policy = rte_zmalloc_socket("ct_zone_policy", FLOWTAB_ZONES, 0, p->socket_id);
	if (ct->zone_policy == NULL || ct_helped_create(ct, p) != 0)
		err = ENOMEM;
	else if ((ct->expects = ct_expects_create(p)) == NULL)
		err = rte_errno;
	if (err != 0) {
		ct_destroy(ct);
		rte_errno = err;
		return NULL;
	}
	flowtab_on_gone(p->ft, ct_gone, ct);
	return ct;
}

void
ct_destroy(struct ct *ct)
{
	uint32_t idx[FLOWTAB_BURST], cursor = 0, n;

	if (ct == NULL)
		return;
	while (ct->expects != NULL && ct->helped != NULL &&
		(n = flowtab_dump(ct->ft, &cursor, idx, RTE_DIM(idx))) > 0) {
		for (uint32_t i = 0; i < n; i++) {
			if (ct->flows[idx[i]].kind == FLOWTAB_KIND_TRACKED)
				ct_free(ct, idx[i]);
		}
	}
	flowtab_on_gone(ct->ft, NULL, NULL);
	ct_expects_destroy(ct->expects);
	rte_free(ct->helped);
	rte_free(ct->zone_policy);
	rte_free(ct);
}

void
ct_gone(void *arg, uint32_t idx)
{
	struct ct *ct = arg;

	ct->changes++;
	if (unlikely((ct->flows[idx].flags & CT_F_HELPED) != 0))
		ct_helped_del(ct, idx);
}

void
ct_free(struct ct *ct, uint32_t idx)
{
	ct_gone(ct, idx);
	flowtab_free(ct->ft, idx);
}

/* splitmix64: not for secrets. */
uint64_t
ct_random(struct ct *ct)
{
	uint64_t z = ct->rng += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

int
ct_policy_set(struct ct *ct, unsigned int id, const struct ct_policy *policy)
{
	if (id >= CT_POLICIES)
		return -EINVAL;
	for (unsigned int i = 0; i < CT_TIMEOUTS; i++)
		ct->timeout_ms[id][i] = policy->ms[i] != 0
			? RTE_MIN(policy->ms[i], CT_TIMEOUT_MAX_MS)
			: default_ms[i];
	return 0;
}

int
ct_policy_get(const struct ct *ct, unsigned int id, struct ct_policy *policy)
{
	if (id >= CT_POLICIES)
		return -EINVAL;
	memcpy(policy->ms, ct->timeout_ms[id], sizeof(policy->ms));
	return 0;
}

int
ct_zone_policy(struct ct *ct, uint16_t zone, unsigned int id)
{
	if (id >= CT_POLICIES)
		return -EINVAL;
	ct->zone_policy[zone] = (uint8_t)id;
	return 0;
}

void
ct_seq_check(struct ct *ct, bool on)
{
	ct->seq_check = on;
}

void
ct_pickup(struct ct *ct, bool on)
{
	ct->pickup = on;
}

void
ct_expire(struct ct *ct, uint64_t now_ms, uint32_t budget)
{
	ct_expects_expire(ct, now_ms, budget);
}

const uint64_t *
ct_reasons(const struct ct *ct)
{
	return ct->reasons;
}

const uint64_t *
ct_counts(const struct ct *ct)
{
	return ct->counts;
}
