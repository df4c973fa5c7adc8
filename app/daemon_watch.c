/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the control thread looks at of itself, once a second: limits that were met, flows to be
 * logged.
 */
#include "daemon.h"

#include "log.h"

static uint64_t
count_of(const uint64_t *counters, unsigned int i)
{
	return __atomic_load_n(&counters[i], __ATOMIC_RELAXED);
}

static void
count_worker(const struct daemon_worker *w, uint64_t met[LIMITS])
{
	const uint64_t *l4x = l4x_counters(w->l4x);
	const uint64_t *ct = ct_reasons(l4x_ct(w->l4x));

	met[LIMIT_FLOW_TABLE] += count_of(l4x, L4X_DROP_FLOW_TABLE) + count_of(ct, CT_REASON_TABLE);
	met[LIMIT_FLOWS_OF_VM] +=
		count_of(l4x, L4X_DROP_FLOW_LIMIT) + count_of(ct, CT_REASON_PIF_LIMIT);
	met[LIMIT_FLOWS_OF_ZONE] +=
		count_of(l4x, L4X_DROP_ZONE_LIMIT) + count_of(ct, CT_REASON_ZONE_LIMIT);
	met[LIMIT_FLOW_RATE] += count_of(l4x, L4X_DROP_FLOW_RATE);
	met[LIMIT_FRAMES] += count_of(l4x, L4X_DROP_NO_MBUF);
}

static void
count_vm(const struct daemon_vm *vm, uint64_t met[LIMITS])
{
	uint32_t q;

	for (q = 0; q < vm->conf.queues; q++)
		met[LIMIT_FRAMES] +=
			count_of(vport_queue_counters(vport_queue(vm->vport, (uint16_t)q)),
				VPORT_COUNT_RX_NO_MBUF);
}

static void
say(void *arg, const char *line)
{
	log_warning("%s", line);
}

int
daemon_watch(struct daemon *d, uint64_t now_ms)
{
	uint64_t met[LIMITS] = { 0 };
	const struct daemon_vm *vm;
	unsigned int i;

	if (now_ms >= d->look_ms) {
		for (i = 0; i < d->n_workers; i++)
			count_worker(&d->workers[i], met);
		for (i = 0; i < d->n_bridges; i++)
			met[LIMIT_FILES] += count_of(
				bridge_counters(d->bridges[i].b), BRIDGE_COUNT_SOCKET_LIMIT);
		TAILQ_FOREACH (vm, &d->vms, next)
			count_vm(vm, met);
		daemon_rules_log(d);
		limits_look(&d->limits, met, now_ms, say, NULL);
		d->look_ms = now_ms + LIMITS_LOOK_MS;
	}
	return (int)(d->look_ms - now_ms);
}
