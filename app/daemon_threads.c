/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rte_errno.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <rte_ring.h>
#include <rte_service.h>
#include <rte_timer.h>

#include "clock.h"
#include "log.h"
#include "waits.h"

#define HANDOVER_FRAMES 1024
/** Flows that a worker can note for the log between two looks. */
#define LOG_FLOWS 1024

static void
pause_ms(unsigned int ms)
{
	const struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L };

	nanosleep(&t, NULL);
}

/* ---- objects ---- */

/** A thread that floats over nodes has none of its own. */
static int
lcore_node(unsigned int lcore)
{
	const unsigned int node = rte_lcore_to_socket_id(lcore);

	return node < RTE_MAX_NUMA_NODES && rte_socket_count() > 1 ? (int)node : 0;
}

static int
wakers_create(struct daemon *d)
{
	unsigned int i;
	int ret;

	for (i = 0; i < d->n_workers; i++) {
		ret = waker_init(&d->workers[i].waker);
		if (ret != 0)
			return ret;
		d->workers[i].waker_made = true;
		d->workers[i].socket_id = lcore_node(d->workers[i].lcore);
	}
	for (i = 0; i < d->n_bridges; i++) {
		struct daemon_bridge *b = &d->bridges[i];

		b->sleeper = &d->workers[i % d->n_workers].waker;
		b->socket_id = d->workers[i % d->n_workers].socket_id;
		if (d->inline_bridges)
			continue;
		ret = waker_init(&b->waker);
		if (ret != 0)
			return ret;
		b->waker_made = true;
		b->sleeper = &b->waker;
		b->socket_id = lcore_node(b->lcore);
	}
	return 0;
}

static void
bells_create(struct daemon *d)
{
	bool said = false;
	unsigned int i;

	for (i = 0; i < d->n_workers; i++) {
		d->workers[i].bell = vport_bell_create();
		if (d->workers[i].bell != NULL || said)
			continue;
		log_warning("asynchronous I/O cannot be had (%s): a hostile front-end can hold up "
			    "the worker that interrupts its guest",
			strerror(rte_errno));
		said = true;
	}
}

static int
worker_objects(struct daemon *d, unsigned int i)
{
	struct daemon_worker *w = &d->workers[i];
	struct l4x_params p = {
		.worker = (uint8_t)i,
		.bridge = (uint8_t)(i % d->n_bridges),
		.max_flows = d->conf->max_flows,
		.socket_id = w->socket_id,
		.now_us = clock_us(clock_scale_get()),
		.pool = d->frame_pool[w->socket_id],
		.timeouts = d->conf->timeouts,
		.n_workers = d->n_workers,
		.zones = d->zones,
		.evict = d->conf->evict,
		.no_seq_check = !d->conf->tcp_window_check,
		.no_pickup = !d->conf->tcp_pickup,
	};
	char name[32], ring[RTE_RING_NAMESIZE];
	unsigned int b;

	snprintf(ring, sizeof(ring), "log_%u", i);
	w->log = rte_ring_create_elem(ring, sizeof(struct l4x_log), LOG_FLOWS, w->socket_id,
		RING_F_SP_ENQ | RING_F_SC_DEQ);
	if (w->log == NULL)
		return daemon_not_made(d, "the rings of the log");
	p.log = w->log;

	snprintf(name, sizeof(name), "worker%u", i);
	p.name = name;
	memcpy(p.secret, d->secret, sizeof(p.secret));
	w->l4x = l4x_create(&p);
	if (w->l4x == NULL)
		return daemon_not_made(d, "the flow tables");
	snprintf(ring, sizeof(ring), "handover_%u", i);
	w->handover = rte_ring_create_elem(
		ring, sizeof(struct l4x_frame), HANDOVER_FRAMES, w->socket_id, RING_F_SC_DEQ);
	if (w->handover == NULL)
		return daemon_not_made(d, "the rings between workers");
	for (b = 0; b < d->n_bridges; b++) {
		struct chan **c = &d->chans[i * d->n_bridges + b];

		*c = chan_create(
			(uint8_t)i, (uint8_t)b, w->socket_id, &w->waker, d->bridges[b].sleeper);
		if (*c == NULL)
			return daemon_not_made(d, "the rings between workers and bridges");
	}
	return 0;
}

static int
bridge_object(struct daemon *d, unsigned int i)
{
	struct daemon_bridge *b = &d->bridges[i];
	struct bridge_params p = {
		.id = (uint8_t)i,
		.n_workers = d->n_workers,
		.max_flows = d->conf->max_flows,
		.socket_id = b->socket_id,
		.waker = b->sleeper,
		.pool = d->frame_pool[d->workers[i % d->n_workers].socket_id],
		.peek_off = d->peek_off,
		.uring = d->uring == 0 && d->conf->io_uring != CONF_USE_OFF,
	};
	unsigned int w;

	for (w = 0; w < d->n_workers; w++)
		p.chans[w] = d->chans[w * d->n_bridges + i];
	memcpy(p.steer_key, d->secret, sizeof(p.steer_key));
	b->b = bridge_create(&p);
	return b->b != NULL ? 0 : daemon_not_made(d, "a bridge");
}

static int
worker_object(struct daemon *d, unsigned int i)
{
	struct daemon_worker *w = &d->workers[i];
	struct worker_params p = {
		.id = (uint8_t)i,
		.n_workers = d->n_workers,
		.n_bridges = d->n_bridges,
		.socket_id = w->socket_id,
		.busy = d->conf->busy,
		.spin_us = d->conf->spin_us,
		.l4x = w->l4x,
		.waker = &w->waker,
		.bell = w->bell,
		.inline_bridge = d->inline_bridges ? d->bridges[i].b : NULL,
		.handover = w->handover,
		.pool = d->frame_pool[w->socket_id],
	};
	unsigned int j;

	for (j = 0; j < d->n_bridges; j++)
		p.chans[j] = d->chans[i * d->n_bridges + j];
	for (j = 0; j < d->n_workers; j++) {
		p.handover_to[j] = d->workers[j].handover;
		p.wakers[j] = &d->workers[j].waker;
	}
	w->w = worker_create(&p);
	return w->w != NULL ? 0 : daemon_not_made(d, "a worker");
}

int
daemon_threads_create(struct daemon *d)
{
	unsigned int i;
	int ret;

	d->chans = calloc((size_t)d->n_workers * d->n_bridges, sizeof(struct chan *));
	if (d->chans == NULL)
		return -ENOMEM;
	d->zones = flowtab_zones_create(d->n_workers, SOCKET_ID_ANY);
	if (d->zones == NULL)
		return daemon_not_made(d, "the zones");
	ret = rte_timer_subsystem_init();
	if (ret == 0)
		ret = wakers_create(d);
	if (ret != 0) {
		log_error("the workers cannot be prepared: %s%s", strerror(-ret),
			daemon_files_advice());
		return ret;
	}
	bells_create(d);
	ret = daemon_pools_create(d);
	for (i = 0; ret == 0 && i < d->n_workers; i++)
		ret = worker_objects(d, i);
	for (i = 0; ret == 0 && i < d->n_bridges; i++)
		ret = bridge_object(d, i);
	for (i = 0; ret == 0 && i < d->n_workers; i++)
		ret = worker_object(d, i);
	return ret;
}

void
daemon_threads_destroy(struct daemon *d)
{
	unsigned int i;

	for (i = 0; i < d->n_workers; i++)
		worker_destroy(d->workers[i].w);
	for (i = 0; i < d->n_bridges; i++)
		bridge_destroy(d->bridges[i].b);
	for (i = 0; d->chans != NULL && i < (unsigned int)d->n_workers * d->n_bridges; i++)
		if (d->chans[i] != NULL)
			chan_destroy(d->chans[i]);
	for (i = 0; i < d->n_workers; i++) {
		l4x_destroy(d->workers[i].l4x);
		rte_ring_free(d->workers[i].handover);
		rte_ring_free(d->workers[i].log);
		d->workers[i].rules = NULL;
		vport_bell_destroy(d->workers[i].bell);
		if (d->workers[i].waker_made)
			waker_fini(&d->workers[i].waker);
	}
	for (i = 0; i < d->n_bridges; i++)
		if (d->bridges[i].waker_made)
			waker_fini(&d->bridges[i].waker);
	flowtab_zones_destroy(d->zones);
	free(d->chans);
	d->chans = NULL;
}

/* ---- running ---- */

static int
bridge_service(struct daemon *d, unsigned int i)
{
	struct daemon_bridge *b = &d->bridges[i];
	char name[32];
	struct service_params p = {
		.name = name,
		.bridge = b->b,
		.waker = &b->waker,
		.lcore = b->lcore,
		.socket_id = b->socket_id,
		.busy = d->conf->busy,
		.spin_us = d->conf->spin_us,
	};
	int ret;

	snprintf(name, sizeof(name), "bridge%u", i);
	if (!b->lcore_added) {
		ret = rte_service_lcore_add(b->lcore);
		if (ret != 0)
			return ret;
		b->lcore_added = true;
	}
	b->service = service_create(&p);
	return b->service == NULL ? -rte_errno : service_start(b->service);
}

int
daemon_threads_start(struct daemon *d)
{
	unsigned int i;
	int ret = 0;

	for (i = 0; ret == 0 && !d->inline_bridges && i < d->n_bridges; i++)
		ret = bridge_service(d, i);
	for (i = 0; ret == 0 && i < d->n_workers; i++) {
		struct daemon_worker *w = &d->workers[i];

		ret = rte_eal_remote_launch(worker_run, w->w, w->lcore);
		w->running = ret == 0;
	}
	if (ret != 0)
		log_error("the threads cannot be started: %s", strerror(-ret));
	return ret;
}

void
daemon_threads_stop(struct daemon *d)
{
	unsigned int i;

	for (i = 0; i < d->n_workers; i++)
		if (d->workers[i].running)
			worker_stop(d->workers[i].w);
	for (i = 0; i < d->n_workers; i++) {
		if (d->workers[i].running)
			rte_eal_wait_lcore(d->workers[i].lcore);
		d->workers[i].running = false;
	}
	for (i = 0; i < d->n_bridges; i++) {
		if (d->bridges[i].service != NULL)
			service_stop(d->bridges[i].service);
		service_destroy(d->bridges[i].service);
		d->bridges[i].service = NULL;
	}
}

/* ---- closing flows ---- */

static void
close_flows(struct worker *w, void *arg)
{
	int *left = arg;

	/* Its output must fit: while operations wait for a bridge, do not make more. */
	*left = 1;
	if (!worker_settle(w))
		return;
	*left = l4x_shutdown(worker_l4x(w), worker_now_us(w));
	if (!worker_settle(w) && *left == 0)
		*left = 1;
}

static bool
chans_idle(const struct daemon *d)
{
	unsigned int i;

	for (i = 0; i < (unsigned int)d->n_workers * d->n_bridges; i++)
		if (rte_ring_count(d->chans[i]->ops) != 0)
			return false;
	return true;
}

void
daemon_flows_close(struct daemon *d)
{
	const uint64_t until = daemon_now_ms() + WAIT_CLOSE_MS;
	bool again = true;
	unsigned int i;

	while (again && daemon_now_ms() < until) {
		again = false;
		for (i = 0; i < d->n_workers; i++) {
			int left = 0;

			if (!d->workers[i].running)
				continue;
			if (worker_call(d->workers[i].w, close_flows, &left) != 0)
				return;
			again |= left > 0;
		}
		if (again)
			pause_ms(2);
	}
	while (d->workers[0].running && !chans_idle(d) && daemon_now_ms() < until)
		pause_ms(2);
}

/* ---- calls ---- */

int
daemon_on_worker(struct daemon *d, unsigned int worker, worker_fn fn, void *arg)
{
	struct daemon_worker *w = &d->workers[worker];

	if (w->running)
		return worker_call(w->w, fn, arg);
	fn(w->w, arg);
	return 0;
}

struct bridge_call {
	struct bridge *b;
	daemon_bridge_fn fn;
	void *arg;
};

static void
call_bridge(struct worker *w, void *arg)
{
	const struct bridge_call *c = arg;

	c->fn(c->b, c->arg);
}

int
daemon_on_bridge(struct daemon *d, unsigned int bridge, daemon_bridge_fn fn, void *arg)
{
	struct daemon_bridge *b = &d->bridges[bridge];
	struct bridge_call c = { b->b, fn, arg };
	int ret;

	if (d->inline_bridges)
		return daemon_on_worker(d, bridge, call_bridge, &c);
	if (b->service == NULL) {
		fn(b->b, arg);
		return 0;
	}
	/* At rest for the moment that it takes: what its sockets hold waits in the kernel. */
	service_stop(b->service);
	fn(b->b, arg);
	ret = service_start(b->service);
	if (ret != 0) {
		log_error("bridge %u cannot go on: %s: weir ends", bridge, strerror(-ret));
		d->failed = true;
	}
	return ret;
}
