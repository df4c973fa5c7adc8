/* SPDX-License-Identifier: BSD-3-Clause */
/* Commands about flows. Workers are visited again and again, for a few flows each time. */
#include "daemon.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control.h"
#include "control_flow.h"

/** Flows looked at in one visit to a worker, which does nothing else meanwhile. */
#define FLOW_CHUNK 256
/** The same where only a word of each is looked at. */
#define FLOW_CHUNK_NAMED 4096
/** Flows ended in one visit: what they make must fit a context's output. */
#define FLOW_CHUNK_ENDED 64

/** Where a walk over all flows of all workers stands between two replies. */
struct flow_walk {
	struct control_filter filter;
	unsigned int worker;
	uint32_t cursor;
	uint32_t n;
	bool end; /**< of this worker's flows */
	struct l4x_flow_info info[FLOW_CHUNK];
};

static const char *
vm_name(const struct daemon *d, uint16_t pif)
{
	const struct daemon_vm *vm = pif < L4X_MAX_PIFS ? d->by_pif[pif] : NULL;

	return vm != NULL ? vm->conf.name : "-";
}

static int
walk_begin(struct daemon *d, struct control_call *call)
{
	const json_t *name = json_object_get(call->args, "vm");
	struct flow_walk *walk = calloc(1, sizeof(*walk));
	const struct daemon_vm *vm;
	char err[128];

	if (walk == NULL) {
		control_fail(call, "out of memory");
		return -ENOMEM;
	}
	call->state = walk;
	if (name != NULL) {
		vm = json_is_string(name) ? daemon_vm_find(d, json_string_value(name)) : NULL;
		if (vm == NULL) {
			control_fail(call, "vm: there is no such VM, see vm list");
			return -EINVAL;
		}
		walk->filter.pif = vm->pif;
	}
	if (control_filter_parse(&walk->filter, call->args, err, sizeof(err)) != 0) {
		control_fail(call, "%s", err);
		return -EINVAL;
	}
	return 0;
}

/**
 * One visit to a worker, and one reply: the flows that fn leaves in the walk's info.
 * @param fn sets n and, at the end of the worker's flows, end
 */
static void
walk_step(struct daemon *d, struct control_call *call, worker_fn fn)
{
	struct flow_walk *walk = call->state;
	json_t *list;
	uint32_t i;

	walk->n = 0;
	walk->end = false;
	if (daemon_on_worker(d, walk->worker, fn, walk) != 0) {
		control_fail(call, "worker %u does not answer", walk->worker);
		return;
	}
	list = json_array();
	for (i = 0; i < walk->n; i++)
		json_array_append_new(list,
			control_flow_json(&walk->info[i], vm_name(d, walk->info[i].guest.pif),
				vm_name(d, walk->info[i].host.pif), walk->worker));
	if (walk->end) {
		walk->worker++;
		walk->cursor = 0;
	}
	control_reply(call, json_pack("{s:o}", "flows", list), walk->worker < d->n_workers);
}

/** Those of the next max flows that match. */
static void
walk_matching(struct worker *w, struct flow_walk *walk, uint32_t max)
{
	const uint32_t n =
		l4x_flow_dump(worker_l4x(w), &walk->cursor, walk->info, max, worker_now_us(w));
	uint32_t i;

	walk->end = n == 0;
	for (i = 0; i < n; i++)
		if (control_filter_match(&walk->filter, &walk->info[i]))
			walk->info[walk->n++] = walk->info[i];
}

/* ---- flow list ---- */

static void
list_chunk(struct worker *w, void *arg)
{
	walk_matching(w, arg, FLOW_CHUNK);
}

void
daemon_command_flow_list(struct daemon *d, struct control_call *call)
{
	if (call->state != NULL || walk_begin(d, call) == 0)
		walk_step(d, call, list_chunk);
}

/* ---- flow flush ---- */

static void
flush_chunk(struct worker *w, void *arg)
{
	struct flow_walk *walk = arg;
	const uint32_t from = walk->cursor;
	uint32_t i, n;

	/* What is left of before goes first; it comes again. */
	if (!worker_settle(w))
		return;
	walk_matching(w, walk, FLOW_CHUNK_ENDED);
	n = walk->n;
	walk->n = 0;
	for (i = 0; i < n; i++) {
		const int ret = l4x_flow_end(worker_l4x(w), walk->info[i].handle, worker_now_us(w));

		if (ret == 0)
			walk->info[walk->n++] = walk->info[i];
		else if (ret == -EAGAIN) {
			walk->cursor = from;
			walk->end = false;
			break;
		}
	}
}

void
daemon_command_flow_flush(struct daemon *d, struct control_call *call)
{
	if (call->state == NULL && walk_begin(d, call) != 0)
		return;
	if (!json_is_true(json_object_get(call->args, "all")) &&
		control_filter_is_open(&((struct flow_walk *)call->state)->filter)) {
		control_fail(call,
			"say which: by vm, zone, proto, addr, port, src, dst or mark; or all");
		return;
	}
	walk_step(d, call, flush_chunk);
}

/* ---- flow original ---- */

struct named {
	uint8_t proto;
	struct flowtab_addr addr;
	rte_be16_t port;
	uint32_t cursor;
	bool found;
	struct l4x_flow_info info;
};

static void
named_chunk(struct worker *w, void *arg)
{
	struct named *n = arg;

	n->found = l4x_flow_named(worker_l4x(w), &n->cursor, FLOW_CHUNK_NAMED, n->proto, &n->addr,
		n->port, &n->info, worker_now_us(w));
}

/** 0; -ENOENT; another error of daemon_on_worker() */
static int
find_named(struct daemon *d, struct named *n, unsigned int *worker)
{
	int ret;

	for (*worker = 0; *worker < d->n_workers; ++*worker) {
		n->cursor = 0;
		while (n->cursor != UINT32_MAX) {
			ret = daemon_on_worker(d, *worker, named_chunk, n);
			if (ret != 0 || n->found)
				return ret;
		}
	}
	return -ENOENT;
}

void
daemon_command_flow_original(struct daemon *d, struct control_call *call)
{
	struct control_filter f = { 0 };
	struct named n = { 0 };
	unsigned int worker;
	char err[128];
	int ret;

	if (control_filter_parse(&f, call->args, err, sizeof(err)) != 0) {
		control_fail(call, "%s", err);
		return;
	}
	if (f.proto == 0 || !f.any.by_addr || !f.any.by_port || json_object_size(call->args) != 3) {
		control_fail(call,
			"give proto, addr and port of the connection as it came in, nothing else");
		return;
	}
	n.proto = f.proto;
	n.addr = f.any.addr;
	n.port = rte_cpu_to_be_16(f.any.port);
	ret = find_named(d, &n, &worker);
	if (ret == 0)
		control_reply(
			call, control_original_json(&n.info, vm_name(d, n.info.guest.pif)), false);
	else if (ret == -ENOENT)
		control_fail(call, "no rule has led such a connection elsewhere");
	else
		control_fail(call, "worker %u does not answer", worker);
}
