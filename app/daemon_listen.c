/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"

static_assert(CONF_MAX_PORTS <= BRIDGE_LISTENERS, "a bridge has room for all forwards");

uint32_t
daemon_listen_count(const struct conf_vm *conf)
{
	return conf_ports_count(&conf->tcp) + conf_ports_count(&conf->udp);
}

/** For qsort(): any order will do in which the same are equal. */
static int
compare(const void *one, const void *other)
{
	const struct bridge_listen *a = &((const struct daemon_listen *)one)->spec;
	const struct bridge_listen *b = &((const struct daemon_listen *)other)->spec;

	if (a->proto != b->proto)
		return a->proto - b->proto;
	if (a->port != b->port)
		return a->port - b->port;
	if (a->guest_port != b->guest_port)
		return a->guest_port - b->guest_port;
	if (a->mark != b->mark)
		return a->mark < b->mark ? -1 : 1;
	return memcmp(&a->local, &b->local, sizeof(a->local));
}

/** What the configuration wants of one protocol, appended. */
static void
append(struct daemon_vm *vm, const struct conf_vm *conf, const char *key, uint8_t proto,
	const struct conf_forwards *f)
{
	uint32_t i, port;

	for (i = 0; i < f->n; i++) {
		const struct l4x_forward *e = &f->entry[i];

		for (port = e->first; port <= e->last; port++)
			vm->listens[vm->n_listens++] = (struct daemon_listen){
				.spec = {
					.proto = proto,
					.local = e->addr,
					.port = (uint16_t)port,
					.guest_port = (uint16_t)(e->guest_first + (port - e->first)),
					.pif = vm->pif,
					.mark = conf->mark,
				},
				.key = key,
				.number = -1,
				.wanted = true,
				.added = true,
			};
	}
}

/** Of those from n_before on, keep what is not there already; of those before, mark it wanted. */
static void
match(struct daemon_vm *vm, uint32_t n_before)
{
	struct daemon_listen *l = vm->listens;
	const uint32_t n = vm->n_listens;
	uint32_t i, had = 0;

	qsort(l, n_before, sizeof(*l), compare);
	qsort(l + n_before, n - n_before, sizeof(*l), compare);
	vm->n_listens = n_before;
	for (i = n_before; i < n; i++) {
		while (had < n_before && compare(&l[had], &l[i]) < 0)
			had++;
		if (had < n_before && compare(&l[had], &l[i]) == 0)
			l[had].wanted = true;
		else
			l[vm->n_listens++] = l[i];
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
	append(vm, conf, "tcp", IPPROTO_TCP, &conf->tcp);
	append(vm, conf, "udp", IPPROTO_UDP, &conf->udp);
	match(vm, n_before);
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
