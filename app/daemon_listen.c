/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"

static uint32_t
count_ports(const struct conf_forwards *f)
{
	uint32_t i, n = 0;

	for (i = 0; i < f->n; i++)
		n += (uint32_t)(f->entry[i].last - f->entry[i].first) + 1;
	return n;
}

uint32_t
daemon_listen_count(const struct conf_vm *conf)
{
	return count_ports(&conf->tcp) + count_ports(&conf->udp);
}

static bool
same_spec(const struct bridge_listen *a, const struct bridge_listen *b)
{
	return a->proto == b->proto && a->port == b->port && a->guest_port == b->guest_port &&
		a->mark == b->mark && flowtab_addr_eq(&a->local, &b->local);
}

/**
 * Look the socket up among those that were there before; a new one is appended. What has not
 * changed is found at once: in the same order.
 */
static void
want(struct daemon_vm *vm, uint32_t n_before, uint32_t *hint, const char *key,
	const struct bridge_listen *spec)
{
	uint32_t i, tries;

	for (tries = 0, i = *hint; tries < n_before; tries++, i++) {
		if (i >= n_before)
			i = 0;
		if (same_spec(&vm->listens[i].spec, spec)) {
			vm->listens[i].wanted = true;
			*hint = i + 1;
			return;
		}
	}
	vm->listens[vm->n_listens++] = (struct daemon_listen){
		.spec = *spec,
		.key = key,
		.number = -1,
		.wanted = true,
		.added = true,
	};
}

static void
want_all(struct daemon_vm *vm, const struct conf_vm *conf, uint32_t n_before, const char *key,
	uint8_t proto, const struct conf_forwards *f)
{
	uint32_t i, port, hint = 0;

	for (i = 0; i < f->n; i++) {
		const struct conf_forward *e = &f->entry[i];

		for (port = e->first; port <= e->last; port++) {
			const struct bridge_listen spec = {
				.proto = proto,
				.local = e->addr,
				.port = (uint16_t)port,
				.guest_port = (uint16_t)(e->guest_first + (port - e->first)),
				.pif = vm->pif,
				.mark = conf->mark,
			};

			want(vm, n_before, &hint, key, &spec);
		}
	}
}

int
daemon_listen_plan(struct daemon_vm *vm, const struct conf_vm *conf)
{
	const uint32_t n_before = vm->n_listens;
	struct daemon_listen *grown;
	uint32_t i;

	for (i = 0; i < n_before; i++)
		vm->listens[i].wanted = vm->listens[i].added = false;
	vm->plan = conf != NULL ? conf : &vm->conf;
	if (conf == NULL || daemon_listen_count(conf) == 0)
		return 0;
	grown = realloc(vm->listens, (n_before + daemon_listen_count(conf)) * sizeof(*grown));
	if (grown == NULL)
		return -ENOMEM;
	vm->listens = grown;
	want_all(vm, conf, n_before, "tcp", IPPROTO_TCP, &conf->tcp);
	want_all(vm, conf, n_before, "udp", IPPROTO_UDP, &conf->udp);
	return 0;
}

struct listen_batch {
	struct daemon_vm *vm;
	bool open;   /**< else close */
	bool wanted; /**< those whose `wanted` is this ... */
	const struct daemon_listen *failed;
	int ret;
	char err[256];
};

static void
run_batch(struct bridge *b, void *arg)
{
	struct listen_batch *batch = arg;
	struct daemon_vm *vm = batch->vm;
	uint32_t i;

	for (i = 0; i < vm->n_listens && batch->ret == 0; i++) {
		struct daemon_listen *l = &vm->listens[i];

		if (l->wanted != batch->wanted || (l->number < 0) != batch->open)
			continue;
		if (!batch->open) {
			bridge_unlisten(b, l->number);
			l->number = -1;
			continue;
		}
		l->number = bridge_listen(b, &l->spec, batch->err, sizeof(batch->err));
		if (l->number < 0) {
			batch->ret = l->number;
			batch->failed = l;
			l->number = -1;
		}
	}
}

static int
run(struct daemon_vm *vm, bool open, bool wanted)
{
	struct listen_batch batch = { .vm = vm, .open = open, .wanted = wanted };
	struct conf_place place = { vm->d->conf->file, "vm", vm->conf.name, NULL, { 0 } };
	char where[CONF_ERROR_LEN / 2];
	bool any = false;
	uint32_t i;
	int ret;

	for (i = 0; i < vm->n_listens; i++)
		any |= vm->listens[i].wanted == wanted && (vm->listens[i].number < 0) == open;
	if (!any)
		return 0;
	ret = daemon_on_bridge(vm->d, vm->bridge, run_batch, &batch);
	if (ret != 0) {
		log_error(
			"vm %s: its forwards cannot be changed: %s", vm->conf.name, strerror(-ret));
		return ret;
	}
	if (batch.ret != 0) {
		place.key = batch.failed->key;
		place.where = vm->plan->where[conf_key_find(conf_vm_keys, place.key)];
		log_error("%s: %s", conf_place_format(&place, where, sizeof(where)), batch.err);
	}
	return batch.ret;
}

void
daemon_listen_shut(struct daemon_vm *vm)
{
	run(vm, false, false);
}

int
daemon_listen_open(struct daemon_vm *vm)
{
	return run(vm, true, true);
}

/** Keep the entries whose `wanted` is true; none of the others is open. */
static void
keep_wanted(struct daemon_vm *vm)
{
	uint32_t i, n = 0;

	for (i = 0; i < vm->n_listens; i++)
		if (vm->listens[i].wanted)
			vm->listens[n++] = vm->listens[i];
	vm->n_listens = n;
}

void
daemon_listen_commit(struct daemon_vm *vm)
{
	uint32_t i;

	keep_wanted(vm);
	for (i = 0; i < vm->n_listens; i++)
		vm->listens[i].added = false;
	vm->plan = &vm->conf;
}

void
daemon_listen_rollback_shut(struct daemon_vm *vm)
{
	uint32_t i;

	for (i = 0; i < vm->n_listens; i++) {
		vm->listens[i].wanted = !vm->listens[i].added;
		vm->listens[i].added = false;
	}
	vm->plan = &vm->conf;
	daemon_listen_shut(vm);
}

void
daemon_listen_rollback_open(struct daemon_vm *vm)
{
	keep_wanted(vm);
	daemon_listen_open(vm);
}
