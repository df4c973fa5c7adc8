/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_version.h>

#include "control.h"
#include "control_flow.h"

/* ---- counters ---- */

/** Adds to what is there under that name. */
static void
count_add(json_t *to, const char *name, uint64_t n)
{
	const json_t *had = json_object_get(to, name);

	json_object_set_new(to, name, json_integer(json_integer_value(had) + (json_int_t)n));
}

static uint64_t
count_read(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

/** Counters by name, drops apart. */
struct tally {
	json_t *counters, *drops;
	json_t *help; /**< sentences by name, in the totals; else NULL */
};

static struct tally
tally_make(void)
{
	return (struct tally){ json_object(), json_object(), NULL };
}

/** One counter, for its owner and (not NULL) for the totals. */
static void
tally_add(struct tally *own, struct tally *total, const char *name, const char *help, bool is_drop,
	uint64_t n)
{
	count_add(is_drop ? own->drops : own->counters, name, n);
	if (total == NULL)
		return;
	count_add(is_drop ? total->drops : total->counters, name, n);
	json_object_set_new(total->help, name, json_string(help));
}

static json_t *
worker_json(const struct daemon *d, unsigned int i, struct tally *total)
{
	const struct daemon_worker *w = &d->workers[i];
	const uint64_t *l4x = l4x_counters(w->l4x), *counts = worker_counters(w->w);
	const struct ct *ct = l4x_ct(w->l4x);
	struct tally own = tally_make();
	unsigned int c;

	for (c = 0; c < L4X_COUNTERS; c++) {
		const struct l4x_counter_info *info = &l4x_counter_info[c];

		tally_add(&own, total, info->name, info->help, info->is_drop, count_read(&l4x[c]));
	}
	for (c = CT_REASON_NONE + 1; c < CT_REASON_COUNT; c++)
		tally_add(&own, total, ct_reason_info[c].name, ct_reason_info[c].help, true,
			count_read(&ct_reasons(ct)[c]));
	for (c = 0; c < CT_COUNTS_N; c++)
		tally_add(&own, total, ct_count_info[c].name, ct_count_info[c].help, false,
			count_read(&ct_counts(ct)[c]));
	for (c = 0; c < WORKER_COUNTS; c++) {
		const struct worker_counter_info *info = &worker_counter_info[c];

		tally_add(
			&own, total, info->name, info->help, info->is_drop, count_read(&counts[c]));
	}
	return json_pack("{s:i, s:i, s:i, s:o, s:o}", "id", (int)i, "flows",
		(int)l4x_flow_count(w->l4x), "node", w->socket_id, "counters", own.counters,
		"drops", own.drops);
}

static json_t *
bridge_json(const struct daemon *d, unsigned int i, struct tally *total)
{
	const uint64_t *counts = bridge_counters(d->bridges[i].b);
	struct tally own = tally_make();
	unsigned int c;

	for (c = 0; c < BRIDGE_COUNTS; c++) {
		const struct bridge_counter_info *info = &bridge_counter_info[c];

		tally_add(
			&own, total, info->name, info->help, info->is_drop, count_read(&counts[c]));
	}
	return json_pack("{s:i, s:b, s:o, s:o}", "id", (int)i, "inline", (int)d->inline_bridges,
		"counters", own.counters, "drops", own.drops);
}

/** All queue pairs of a VM together. */
static struct tally
vm_tally(const struct daemon_vm *vm, struct tally *total)
{
	struct tally own = tally_make();
	unsigned int q, c;

	for (q = 0; q < vm->conf.queues; q++) {
		const uint64_t *counts = vport_queue_counters(vport_queue(vm->vport, (uint16_t)q));

		for (c = 0; c < VPORT_COUNTS; c++) {
			const struct vport_counter_info *info = &vport_counter_info[c];

			tally_add(&own, total, info->name, info->help, info->is_drop,
				count_read(&counts[c]));
		}
	}
	return own;
}

static void
command_stats(struct daemon *d, struct control_call *call)
{
	struct tally total = { json_object(), json_object(), json_object() };
	json_t *workers = json_array(), *bridges = json_array(), *vms = json_array();
	const struct daemon_vm *vm;
	unsigned int i;

	for (i = 0; i < d->n_workers; i++)
		json_array_append_new(workers, worker_json(d, i, &total));
	for (i = 0; i < d->n_bridges; i++)
		json_array_append_new(bridges, bridge_json(d, i, &total));
	TAILQ_FOREACH (vm, &d->vms, next) {
		const struct tally own = vm_tally(vm, &total);

		json_array_append_new(vms,
			json_pack("{s:s, s:o, s:o}", "name", vm->conf.name, "counters",
				own.counters, "drops", own.drops));
	}
	control_reply(call,
		json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "total", total.counters, "drops",
			total.drops, "help", total.help, "workers", workers, "bridges", bridges,
			"vms", vms),
		false);
}

/* ---- vm list ---- */

static json_t *
offloads_json(uint32_t offloads)
{
	static const char *const names[] = { "csum", "tso4", "tso6", "ecn" };
	json_t *list = json_array();
	unsigned int i;

	for (i = 0; i < RTE_DIM(names); i++)
		if (offloads & 1u << i)
			json_array_append_new(list, json_string(names[i]));
	return list;
}

static json_t *
addr_json(bool there, const struct flowtab_addr *a)
{
	char text[FLOWTAB_ADDR_STRLEN];

	return there ? json_string(flowtab_addr_format(a, text)) : json_null();
}

static json_t *
workers_json(const struct daemon_vm *vm)
{
	json_t *list = json_array();
	unsigned int q;

	for (q = 0; q < vm->conf.queues; q++)
		json_array_append_new(list, json_integer(vm->port->queue_worker[q]));
	return list;
}

static json_t *
vm_json(const struct daemon *d, const struct daemon_vm *vm)
{
	const bool ethdev = vm->conf.ethdev[0] != '\0';
	const struct l4x_port_conf *p = vm->port;
	const struct tally own = vm_tally(vm, NULL);
	char mac[RTE_ETHER_ADDR_FMT_SIZE];
	struct vport_info info;

	vport_info(vm->vport, &info);
	snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x",
		RTE_ETHER_ADDR_BYTES(&p->guest_mac));
	return json_pack("{s:s, s:s, s:s, s:b, s:s, s:o, s:o, s:s, s:i, s:i, s:i, s:o, s:I, s:o, "
			 "s:i, s:i, s:i, s:o, s:o}",
		"name", vm->conf.name, "socket", ethdev ? vm->conf.ethdev : vm->conf.socket, "mode",
		ethdev ? "port" : (vm->conf.mode == VPORT_VHOST_CLIENT ? "client" : "server"),
		"connected", (int)info.connected, "network", vm->conf.network, "address",
		addr_json(p->ipv4, &p->address), "address6", addr_json(p->ipv6, &p->address6),
		"mac", mac, "mtu", (int)p->mtu, "queues", (int)vm->conf.queues, "queues_up",
		(int)info.n_queues, "offloads", offloads_json(info.offloads), "features",
		(json_int_t)info.features, "workers", workers_json(vm), "node", info.guest_node,
		"worker_node", d->workers[p->queue_worker[0]].socket_id, "forwards",
		(int)vm->n_listens, "counters", own.counters, "drops", own.drops);
}

static void
command_vm_list(struct daemon *d, struct control_call *call)
{
	json_t *list = json_array();
	const struct daemon_vm *vm;

	TAILQ_FOREACH (vm, &d->vms, next)
		json_array_append_new(list, vm_json(d, vm));
	control_reply(call, json_pack("{s:o}", "vms", list), false);
}

/* ---- the rest ---- */

static void
command_version(struct daemon *d, struct control_call *call)
{
	control_reply(call,
		json_pack("{s:s, s:s, s:I, s:i, s:i, s:b, s:b}", "weir", WEIR_VERSION, "dpdk",
			rte_version(), "uptime_ms", (json_int_t)(daemon_now_ms() - d->started_ms),
			"workers", (int)d->n_workers, "bridges", (int)d->n_bridges, "inline",
			(int)d->inline_bridges, "hugepages", (int)d->hugepages),
		false);
}

static void
command_ping(struct daemon *d, struct control_call *call)
{
	control_reply(call, NULL, false);
}

void
daemon_command(void *daemon, struct control_call *call)
{
	static const struct {
		const char *name;
		void (*run)(struct daemon *d, struct control_call *call);
	} commands[] = {
		{ "vm list", command_vm_list },
		{ "flow list", daemon_command_flow_list },
		{ "flow flush", daemon_command_flow_flush },
		{ "flow original", daemon_command_flow_original },
		{ "rule list", daemon_command_rule_list },
		{ "zone list", daemon_command_zone_list },
		{ "zone limit", daemon_command_zone_limit },
		{ "stats", command_stats },
		{ "version", command_version },
		{ "ping", command_ping },
	};
	char all[256] = "";
	size_t i;

	for (i = 0; i < RTE_DIM(commands); i++) {
		if (strcmp(call->cmd, commands[i].name) == 0) {
			commands[i].run(daemon, call);
			return;
		}
		snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s%s", i == 0 ? "" : ", ",
			commands[i].name);
	}
	control_fail(call, "no such command; there are %s", all);
}
