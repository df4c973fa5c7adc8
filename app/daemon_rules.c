/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What flows go by, from the configuration to the workers: rules, limits of zones, timeouts. The
 * rules are one object that all workers use. A new one is made before anything is given to anybody;
 * the old one is freed when the last worker has let go of it.
 */
#include "daemon.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_errno.h>
#include <rte_ring.h>
#include <rte_ring_elem.h>

#include "control_rule.h"
#include "log.h"

/* ---- rules ---- */

static uint16_t
pif_of(const struct daemon *d, const char *vm)
{
	return *vm != '\0' ? daemon_vm_find(d, vm)->pif : 0;
}

static uint16_t
network_of(const struct conf *c, const char *network)
{
	return *network != '\0' ? (uint16_t)(conf_network_find(c, network)->number + 1) : 0;
}

static struct rules *
make(const struct daemon *d, const struct conf *c, const char *name, struct rule *list)
{
	struct rules_params p = {
		.name = name,
		.rules = list,
		.n_rules = c->n_rules,
		.n_threads = d->n_workers,
		.socket_id = SOCKET_ID_ANY,
	};
	uint32_t i;

	for (i = 0; i < c->n_rules; i++) {
		const struct conf_rule *r = c->rules[i];

		list[i] = r->rule;
		list[i].pif = pif_of(d, r->vm);
		list[i].to_pif = pif_of(d, r->to_vm);
		list[i].network = network_of(c, r->network);
	}
	for (i = 0; i < RTE_DIM(p.policy); i++)
		p.policy[i] = (uint8_t)c->policy[i];
	return rules_create(&p);
}

struct rules *
daemon_rules_make(struct daemon *d, const struct conf *c)
{
	struct rule *list = calloc(c->n_rules + 1, sizeof(*list));
	char name[RULES_NAME_MAX + 1];
	struct rules *r = NULL;

	rte_errno = ENOMEM;
	snprintf(name, sizeof(name), "rules%u", d->n_rules_made++);
	if (list != NULL)
		r = make(d, c, name, list);
	free(list);
	if (r == NULL && rte_errno == ENOMEM)
		log_error("memory: %u MiB are not enough for %u rules: raise memory, or have fewer",
			c->memory_mb, c->n_rules);
	else if (r == NULL)
		log_error("the rules cannot be made: %s", strerror(rte_errno));
	return r;
}

void
daemon_rules_free(struct daemon *d, struct rules *r)
{
	unsigned int i;

	for (i = 0; r != NULL && i < d->n_workers; i++) {
		if (d->workers[i].rules != r)
			continue;
		log_warning("worker %u holds on to old rules: they are kept until weir ends", i);
		return;
	}
	rules_destroy(r);
}

/* ---- to the workers ---- */

/** What a worker is given. */
struct settings {
	struct rules *rules;
	const struct conf *conf;
	uint8_t timeouts[FLOWTAB_ZONES]; /**< which set, by zone */
};

static void
find_timeouts(struct settings *s)
{
	uint32_t i, zone;

	for (i = 1; i < s->conf->n_ct_timeouts; i++)
		for (zone = 0; zone < FLOWTAB_ZONES; zone++)
			if (conf_zones_have(&s->conf->ct_timeouts[i]->zones, zone))
				s->timeouts[zone] = (uint8_t)i;
}

static void
worker_takes(struct worker *w, void *arg)
{
	const struct settings *s = arg;
	struct ct *ct = l4x_ct(worker_l4x(w));
	uint32_t i;

	for (i = 0; i < s->conf->n_ct_timeouts; i++)
		ct_policy_set(ct, i, &s->conf->ct_timeouts[i]->policy);
	for (i = 0; i < FLOWTAB_ZONES; i++)
		ct_zone_policy(ct, (uint16_t)i, s->timeouts[i]);
	ct_seq_check(ct, s->conf->tcp_window_check);
	ct_pickup(ct, s->conf->tcp_pickup);
	l4x_rules_set(worker_l4x(w), s->rules);
}

int
daemon_rules_set(struct daemon *d, struct rules *r, const struct conf *c)
{
	struct settings *s = calloc(1, sizeof(*s));
	int ret = s != NULL ? 0 : -ENOMEM;
	unsigned int i;

	if (s != NULL) {
		s->rules = r;
		s->conf = c;
		find_timeouts(s);
	}
	for (i = 0; ret == 0 && i < d->n_workers; i++) {
		ret = daemon_on_worker(d, i, worker_takes, s);
		if (ret == 0)
			d->workers[i].rules = r;
	}
	free(s);
	if (ret != 0)
		log_error("the rules cannot be given to the workers: %s", strerror(-ret));
	return ret;
}

/* ---- zones ---- */

void
daemon_zones_set(struct daemon *d, const struct conf *c)
{
	struct conf_zones given = { 0 };
	uint32_t of_all = FLOWTAB_LIMIT_UNSET;
	uint32_t i, zone;

	for (i = 0; i < c->zone_limits.n; i++) {
		const struct conf_zone_limit *l = &c->zone_limits.entry[i];

		if (l->first == FLOWTAB_ZONE_DEFAULT) {
			of_all = l->max;
			continue;
		}
		for (zone = l->first; zone <= l->last; zone++) {
			flowtab_zone_limit_set(d->zones, zone, l->max);
			given.bits[zone / 8] |= (uint8_t)(1 << zone % 8);
		}
	}
	flowtab_zone_limit_set(d->zones, FLOWTAB_ZONE_DEFAULT, of_all);
	for (zone = 0; zone < FLOWTAB_ZONES; zone++)
		if (!conf_zones_have(&given, zone))
			flowtab_zone_limit_set(d->zones, zone, FLOWTAB_LIMIT_UNSET);
}

/* ---- what rules have logged ---- */

static void
say(const struct daemon *d, const struct l4x_log *e)
{
	static const char *const actions[] = { "accepted", "dropped", "rejected" };
	const struct daemon_vm *vm = e->tuple.pif < L4X_MAX_PIFS ? d->by_pif[e->tuple.pif] : NULL;
	char flow[CONTROL_TUPLE_LEN];

	log_info("rule %u: %s %s, vm %s: %s", e->rule,
		e->action < RTE_DIM(actions) ? actions[e->action] : "?",
		control_direction_name(e->direction), vm != NULL ? vm->conf.name : "-",
		control_tuple_format(&e->tuple, flow, sizeof(flow)));
}

void
daemon_rules_log(struct daemon *d)
{
	struct l4x_log e;
	unsigned int i;

	for (i = 0; i < d->n_workers; i++)
		while (rte_ring_sc_dequeue_elem(d->workers[i].log, &e, sizeof(e)) == 0)
			say(d, &e);
}
