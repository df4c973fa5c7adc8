/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The forwards of VMs. Each bridge has a listening socket of its own for a port of TCP, so that
 * connections are spread by the kernel, and accepted without a word between bridges. A port of UDP
 * is one bridge's: the flows that are bound beside a listener (bridge_listener_join()) would, while
 * they come, change which of several listeners a peer's datagrams go to, and so their order.
 */
#include "daemon.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"

static_assert(CONF_MAX_PORTS <= BRIDGE_LISTENERS, "a bridge has room for all forwards");

static uint32_t
count_ports(const struct conf_vm *conf)
{
	return conf_ports_count(&conf->tcp) + conf_ports_count(&conf->udp);
}

uint32_t
daemon_listen_count(const struct daemon *d, const struct conf_vm *conf)
{
	return conf_ports_count(&conf->tcp) * d->n_bridges + conf_ports_count(&conf->udp);
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
	if (conf == NULL || count_ports(conf) == 0)
		return 0;
	grown = realloc(vm->listens, (n_before + count_ports(conf)) * sizeof(*grown));
	if (grown == NULL)
		return -ENOMEM;
	vm->listens = grown;
	append(vm, conf, "tcp", IPPROTO_TCP, &conf->tcp);
	append(vm, conf, "udp", IPPROTO_UDP, &conf->udp);
	match(vm, n_before);
	return 0;
}

/** What one bridge has to do. */
struct listen_batch {
	struct daemon_vm *vm;
	unsigned int bridge;
	bool open;   /**< else close */
	bool wanted; /**< those whose `wanted` is this ... */
	const struct daemon_listen *failed;
	int ret;
	char err[256];
};

/** Is this one to be opened, or closed? */
static bool
is_due(const struct listen_batch *batch, const struct daemon_listen *l)
{
	const bool there = l->numbers != NULL && l->numbers[batch->bridge] >= 0;

	if (l->spec.proto == IPPROTO_UDP && batch->bridge != batch->vm->bridge)
		return false;
	return l->wanted == batch->wanted && there != batch->open;
}

static int
listen_at(struct bridge *b, struct listen_batch *batch, const struct daemon_listen *l)
{
	struct bridge_listen spec = l->spec;

	spec.share = BRIDGE_SHARE_NONE;
	if (spec.proto == IPPROTO_TCP && batch->vm->d->n_bridges > 1)
		spec.share = batch->bridge == 0 ? BRIDGE_SHARE_FIRST : BRIDGE_SHARE_JOIN;
	return bridge_listen(b, &spec, batch->err, sizeof(batch->err));
}

static void
run_batch(struct bridge *b, void *arg)
{
	struct listen_batch *batch = arg;
	struct daemon_vm *vm = batch->vm;
	uint32_t i;

	for (i = 0; i < vm->n_listens && batch->ret == 0; i++) {
		struct daemon_listen *l = &vm->listens[i];
		int number = -1;

		if (!is_due(batch, l))
			continue;
		if (batch->open)
			number = listen_at(b, batch, l);
		else
			bridge_unlisten(b, l->numbers[batch->bridge]);
		if (batch->open && number < 0) {
			batch->ret = number;
			batch->failed = l;
			number = -1;
		}
		l->numbers[batch->bridge] = number;
	}
}

/** Room for the numbers of what is due. @return how many are due, or -ENOMEM */
static int
prepare(const struct listen_batch *batch)
{
	struct daemon_vm *vm = batch->vm;
	int due = 0;
	uint32_t i;

	for (i = 0; i < vm->n_listens; i++) {
		struct daemon_listen *l = &vm->listens[i];
		unsigned int b;

		if (!is_due(batch, l))
			continue;
		due++;
		if (l->numbers != NULL)
			continue;
		l->numbers = malloc(vm->d->n_bridges * sizeof(l->numbers[0]));
		if (l->numbers == NULL)
			return -ENOMEM;
		for (b = 0; b < vm->d->n_bridges; b++)
			l->numbers[b] = -1;
	}
	return due;
}

static void
explain(const struct listen_batch *batch)
{
	const struct daemon_vm *vm = batch->vm;
	struct conf_place place = { vm->d->conf->file, "vm", vm->conf.name, NULL, { 0 } };
	char where[CONF_ERROR_LEN / 2];

	place.key = batch->failed->key;
	place.where = vm->plan->where[conf_key_find(conf_vm_keys, place.key)];
	log_error("%s: %s", conf_place_format(&place, where, sizeof(where)), batch->err);
}

/** One bridge after the other; the first sees whether a port is another program's. */
static int
run(struct daemon_vm *vm, bool open, bool wanted)
{
	struct listen_batch batch = { .vm = vm, .open = open, .wanted = wanted };
	int ret = 0;

	for (; batch.bridge < vm->d->n_bridges; batch.bridge++) {
		ret = prepare(&batch);
		if (ret > 0)
			ret = daemon_on_bridge(vm->d, batch.bridge, run_batch, &batch);
		if (ret != 0) {
			log_error("vm %s: its forwards cannot be changed: %s", vm->conf.name,
				strerror(-ret));
			return ret;
		}
		if (batch.ret != 0) {
			explain(&batch);
			return batch.ret;
		}
	}
	return 0;
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

	for (i = 0; i < vm->n_listens; i++) {
		if (vm->listens[i].wanted)
			vm->listens[n++] = vm->listens[i];
		else
			free(vm->listens[i].numbers);
	}
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

void
daemon_listen_free(struct daemon_vm *vm)
{
	uint32_t i;

	for (i = 0; i < vm->n_listens; i++)
		free(vm->listens[i].numbers);
	free(vm->listens);
	vm->listens = NULL;
	vm->n_listens = 0;
}
