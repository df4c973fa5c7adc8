/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include <rte_errno.h>

#include "daemon_note.h"
#include "group.h"
#include "log.h"
#include "waits.h"

static void
pause_ms(unsigned int ms)
{
	const struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L };

	nanosleep(&t, NULL);
}

static void
vm_error(const struct daemon_vm *vm, const char *key, const char *text)
{
	struct conf_place place = { vm->d->conf->file, "vm", vm->conf.name, key, { 0 } };
	char where[CONF_ERROR_LEN / 2];

	place.where = vm->conf.where[conf_key_find(conf_vm_keys, key)];
	if (place.where.source == CONF_UNSET)
		place.where = vm->conf.section;
	log_error("%s: %s%s", conf_place_format(&place, where, sizeof(where)), text,
		daemon_files_advice());
}

struct daemon_vm *
daemon_vm_find(const struct daemon *d, const char *name)
{
	struct daemon_vm *vm;

	TAILQ_FOREACH (vm, &d->vms, next)
		if (strcmp(vm->conf.name, name) == 0)
			return vm;
	return NULL;
}

/* ---- what the port calls, from any thread ---- */

static void
vm_wake(void *arg, uint16_t queue)
{
	const struct daemon_vm *vm = arg;

	if (queue < vm->conf.queues)
		worker_wake(vm->d->workers[vm->port->queue_worker[queue]].w);
}

static void
vm_note(void *arg, const char *text)
{
	const struct daemon_vm *vm = arg;

	daemon_note(vm->d->note_pipe[1], vm->pif, text);
}

/* ---- making ---- */

static uint16_t
free_pif(const struct daemon *d)
{
	uint16_t pif;

	for (pif = 1; pif < L4X_MAX_PIFS; pif++)
		if (d->by_pif[pif] == NULL)
			return pif;
	return 0;
}

/** A port's configuration and, behind it, the forwards that it points to. NULL: no memory */
static struct l4x_port_conf *
port_new(const struct daemon_vm *vm, const struct conf_vm *conf)
{
	const size_t bytes = conf->udp.n * sizeof(conf->udp.entry[0]);
	struct l4x_port_conf *port = malloc(sizeof(*port) + bytes);

	if (port == NULL)
		return NULL;
	*port = conf->port;
	port->pif = vm->pif;
	memcpy(port + 1, conf->udp.entry, bytes);
	port->udp = (const struct l4x_forward *)(port + 1);
	port->n_udp = conf->udp.n;
	return port;
}

/** Queue pairs go round the workers, beginning with the one that has the fewest. */
static void
spread_queues(struct daemon_vm *vm, struct l4x_port_conf *port)
{
	struct daemon *d = vm->d;
	unsigned int i, first = 0;

	for (i = 1; i < d->n_workers; i++)
		if (d->workers[i].n_queues < d->workers[first].n_queues)
			first = i;
	port->n_queues = (uint8_t)vm->conf.queues;
	for (i = 0; i < vm->conf.queues; i++) {
		port->queue_worker[i] = (uint8_t)((first + i) % d->n_workers);
		d->workers[port->queue_worker[i]].n_queues++;
	}
	daemon_quota_set(d);
}

static int
make_port(struct daemon_vm *vm)
{
	struct daemon_worker *w = &vm->d->workers[vm->port->queue_worker[0]];
	const int node = w->socket_id >= 0 ? w->socket_id : 0;
	const bool ethdev = vm->conf.ethdev[0] != '\0';
	struct vport_conf conf = {
		.kind = ethdev ? VPORT_ETHDEV : (enum vport_kind)vm->conf.mode,
		.name = vm->conf.name,
		.path = ethdev ? vm->conf.ethdev : vm->conf.socket,
		.n_queues = (uint16_t)vm->conf.queues,
		.mtu = vm->port->mtu,
		.socket_id = w->socket_id,
		.pool = vm->d->frame_pool[node],
		.ext_pool = vm->d->ext_pool[node],
		.quota = &vm->d->quota[node],
		.wake = vm_wake,
		.note = vm_note,
		.arg = vm,
	};
	char err[256] = "";

	memcpy(conf.gateway_mac, &vm->port->gateway_mac, sizeof(conf.gateway_mac));
	vm->vport = vport_create(&conf, err, sizeof(err));
	if (vm->vport != NULL) {
		vm->port->live_queues = vport_live_queues(vm->vport);
		return 0;
	}
	vm_error(vm, ethdev ? "port" : "socket", *err != '\0' ? err : strerror(rte_errno));
	return rte_errno != 0 ? -rte_errno : -EIO;
}

static int
make_lenders(struct daemon_vm *vm)
{
	struct daemon *d = vm->d;
	unsigned int q, b;

	vm->lenders = calloc((size_t)vm->conf.queues * d->n_bridges, sizeof(struct lender *));
	if (vm->lenders == NULL)
		return -ENOMEM;
	for (q = 0; q < vm->conf.queues; q++) {
		const uint8_t w = vm->port->queue_worker[q];

		for (b = 0; b < d->n_bridges; b++) {
			struct lender **l = &vm->lenders[q * d->n_bridges + b];

			*l = lender_create(
				vm->pif, (uint8_t)q, w, (uint8_t)b, d->workers[w].socket_id);
			if (*l == NULL)
				return daemon_no_memory(d, "the buffers of a VM");
		}
	}
	return 0;
}

/** One VM told to one bridge or worker. */
struct vm_call {
	struct daemon_vm *vm;
	const struct l4x_port_conf *port;
	unsigned int number;
	int ret;
};

static void
bridge_takes(struct bridge *b, void *arg)
{
	struct vm_call *c = arg;
	unsigned int q;

	c->ret = bridge_set_port(b, c->port);
	for (q = 0; c->ret == 0 && q < c->vm->conf.queues; q++)
		c->ret = bridge_add_lender(b, c->vm->lenders[q * c->vm->d->n_bridges + c->number]);
}

static void
worker_takes(struct worker *w, void *arg)
{
	struct vm_call *c = arg;
	struct daemon_vm *vm = c->vm;
	unsigned int q;

	c->ret = l4x_port_set(worker_l4x(w), c->port);
	for (q = 0; c->ret == 0 && q < vm->conf.queues; q++)
		if (c->port->queue_worker[q] == c->number)
			c->ret = worker_add_queue(w, vm->pif, (uint8_t)q, vm->vport,
				&vm->lenders[q * vm->d->n_bridges]);
}

static int
tell_all(struct daemon_vm *vm)
{
	struct vm_call c = { .vm = vm, .port = vm->port };
	struct daemon *d = vm->d;
	int ret = 0;

	for (c.number = 0; ret == 0 && c.number < d->n_bridges; c.number++) {
		ret = daemon_on_bridge(d, c.number, bridge_takes, &c);
		ret = ret != 0 ? ret : c.ret;
	}
	for (c.number = 0; ret == 0 && c.number < d->n_workers; c.number++) {
		ret = daemon_on_worker(d, c.number, worker_takes, &c);
		ret = ret != 0 ? ret : c.ret;
	}
	if (ret == -ENOMEM)
		return daemon_no_memory(d, "a VM");
	if (ret != 0)
		vm_error(vm, "socket", strerror(-ret));
	return ret;
}

struct daemon_vm *
daemon_vm_create(struct daemon *d, const struct conf_vm *conf)
{
	struct daemon_vm *vm = calloc(1, sizeof(*vm));
	int ret = -ENOMEM;

	if (vm != NULL) {
		vm->d = d;
		vm->conf = *conf;
		vm->plan = &vm->conf;
		vm->pif = free_pif(d);
		vm->port = port_new(vm, conf);
	}
	if (vm == NULL || vm->port == NULL) {
		free(vm);
		daemon_no_memory(d, "a VM");
		return NULL;
	}
	d->by_pif[vm->pif] = vm;
	TAILQ_INSERT_TAIL(&d->vms, vm, next);
	spread_queues(vm, vm->port);
	vm->bridge = vm->port->queue_worker[0] % d->n_bridges;
	vm->port->udp_bridge = vm->bridge;
	ret = make_port(vm);
	if (ret == 0)
		ret = make_lenders(vm);
	if (ret == 0)
		ret = tell_all(vm);
	if (ret == 0)
		ret = daemon_listen_plan(vm, conf);
	if (ret == 0)
		ret = daemon_listen_open(vm);
	if (ret == 0) {
		daemon_listen_commit(vm);
		return vm;
	}
	daemon_vm_destroy(vm);
	return NULL;
}

/** Until the port is destroyed, and its descriptor with it. */
static int
watch_port(struct daemon_vm *vm)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = vm->vport };
	const int fd = vport_fd(vm->vport);

	return fd < 0 || epoll_ctl(vm->d->ports_fd, EPOLL_CTL_ADD, fd, &ev) == 0 ? 0 : -errno;
}

int
daemon_vm_start(struct daemon_vm *vm)
{
	char err[256] = "";
	int ret;

	ret = watch_port(vm);
	if (ret == 0)
		ret = vport_start(vm->vport, err, sizeof(err));
	if (ret != 0)
		vm_error(vm, vm->conf.ethdev[0] != '\0' ? "port" : "socket",
			*err != '\0' ? err : strerror(-ret));
	else if (vm->conf.socket_group[0] != '\0' &&
		(ret = group_give(vm->conf.socket, vm->conf.socket_group, err, sizeof(err))) != 0)
		vm_error(vm, "socket-group", err);
	vm->started = ret == 0;
	return ret;
}

/* ---- changing ---- */

static void
bridge_changes(struct bridge *b, void *arg)
{
	struct vm_call *c = arg;

	c->ret = bridge_set_port(b, c->port);
}

static void
worker_changes(struct worker *w, void *arg)
{
	struct vm_call *c = arg;

	c->ret = l4x_port_set(worker_l4x(w), c->port);
}

static int
tell_change(struct daemon_vm *vm, const struct l4x_port_conf *port)
{
	struct vm_call c = { .vm = vm, .port = port };
	struct daemon *d = vm->d;
	int ret = 0;

	for (c.number = 0; ret == 0 && c.number < d->n_workers; c.number++) {
		ret = daemon_on_worker(d, c.number, worker_changes, &c);
		ret = ret != 0 ? ret : c.ret;
	}
	for (c.number = 0; ret == 0 && c.number < d->n_bridges; c.number++) {
		ret = daemon_on_bridge(d, c.number, bridge_changes, &c);
		ret = ret != 0 ? ret : c.ret;
	}
	return ret;
}

int
daemon_vm_change(struct daemon_vm *vm, const struct conf_vm *conf)
{
	struct l4x_port_conf *port = port_new(vm, conf);
	int ret = -ENOMEM;

	if (port != NULL) {
		port->udp_bridge = vm->bridge;
		port->n_queues = vm->port->n_queues;
		memcpy(port->queue_worker, vm->port->queue_worker, sizeof(port->queue_worker));
		port->live_queues = vm->port->live_queues;
		ret = tell_change(vm, port);
	}
	if (ret != 0) {
		log_error("vm %s: it cannot be changed: %s", vm->conf.name, strerror(-ret));
		/* Whoever has the new one gets the old one back before it is freed. */
		if (port != NULL && tell_change(vm, vm->port) != 0)
			return ret;
		free(port);
		return ret;
	}
	free(vm->port);
	vm->port = port;
	vm->conf = *conf;
	return 0;
}

/* ---- taking down ---- */

void
daemon_vm_stop(struct daemon_vm *vm)
{
	if (vm->vport != NULL)
		vport_stop(vm->vport);
	vm->started = false;
}

static void
worker_closes(struct worker *w, void *arg)
{
	struct vm_call *c = arg;

	c->ret = 1;
	if (worker_settle(w))
		c->ret = l4x_port_remove(worker_l4x(w), c->vm->pif);
	worker_settle(w);
}

static void
worker_forgets(struct worker *w, void *arg)
{
	struct vm_call *c = arg;

	c->ret = worker_remove_port(w, c->vm->pif);
}

/** Repeat on one worker until it says 0. @return false: it has not, and holds on to the VM */
static bool
worker_until_done(struct daemon_vm *vm, unsigned int worker, worker_fn fn)
{
	const uint64_t until = daemon_now_ms() + WAIT_REMOVE_MS;
	struct vm_call c = { .vm = vm };
	int ret;

	for (;;) {
		ret = daemon_on_worker(vm->d, worker, fn, &c);
		if (ret == 0)
			ret = c.ret;
		if ((ret <= 0 && ret != -EBUSY) || daemon_now_ms() >= until)
			break;
		pause_ms(2);
	}
	return ret == 0;
}

static void
bridge_forgets(struct bridge *b, void *arg)
{
	const struct daemon_vm *vm = arg;

	bridge_remove_port(b, vm->pif);
}

/** @return true: nobody refers to the VM any more */
static bool
forget(struct daemon_vm *vm)
{
	struct daemon *d = vm->d;
	bool done = true;
	unsigned int i;

	if (daemon_listen_plan(vm, NULL) == 0)
		daemon_listen_shut(vm);
	for (i = 0; i < d->n_workers; i++)
		if (d->workers[i].running)
			done &= worker_until_done(vm, i, worker_closes);
	daemon_vm_stop(vm);
	for (i = 0; i < d->n_workers; i++)
		done &= worker_until_done(vm, i, worker_forgets);
	for (i = 0; i < d->n_bridges; i++)
		done &= daemon_on_bridge(d, i, bridge_forgets, vm) == 0;
	return done;
}

void
daemon_vm_destroy(struct daemon_vm *vm)
{
	struct daemon *d = vm->d;
	unsigned int i;

	if (!vm->kept)
		TAILQ_REMOVE(&d->vms, vm, next);
	/* After daemon_threads_destroy() there is nobody left to tell. */
	if (d->chans != NULL && !forget(vm)) {
		log_warning("vm %s: a worker holds on to it: its memory is kept until weir ends",
			vm->conf.name);
		vm->kept = true;
		return;
	}
	vport_destroy(vm->vport);
	for (i = 0; vm->lenders != NULL && i < vm->conf.queues * d->n_bridges; i++)
		if (vm->lenders[i] != NULL)
			lender_destroy(vm->lenders[i]);
	for (i = 0; i < vm->conf.queues; i++)
		d->workers[vm->port->queue_worker[i]].n_queues--;
	daemon_quota_set(d);
	d->by_pif[vm->pif] = NULL;
	free(vm->lenders);
	daemon_listen_free(vm);
	free(vm->port);
	free(vm);
}

void
daemon_vm_check_node(struct daemon_vm *vm)
{
	struct vport_info info;
	unsigned int q;

	vport_info(vm->vport, &info);
	if (!info.connected || info.guest_node < 0 || vm->node_said)
		return;
	for (q = 0; q < vm->conf.queues; q++) {
		const struct daemon_worker *w = &vm->d->workers[vm->port->queue_worker[q]];

		if (w->socket_id < 0 || w->socket_id == info.guest_node)
			continue;
		log_warning("vm %s: its memory lies on NUMA node %d, its worker on node %d: every "
			    "byte crosses between them",
			vm->conf.name, info.guest_node, w->socket_id);
		vm->node_said = true;
		return;
	}
}
