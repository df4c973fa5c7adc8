/* SPDX-License-Identifier: BSD-3-Clause */
#include "vport_priv.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <time.h>

#include <rte_errno.h>

#define NOTE_WINDOW_S 10
#define NOTES_PER_WINDOW 30

const struct vport_counter_info vport_counter_info[VPORT_COUNTS] = {
#define X(e, name, help) [VPORT_COUNT_##e] = { name, help, 0 },
#define D(e, name, help) [VPORT_COUNT_##e] = { name, help, 1 },
	VPORT_COUNTERS(X, D)
#undef X
#undef D
};

int
vport_err(char *err, size_t err_size, int error, const char *fmt, ...)
{
	va_list ap;

	if (err && err_size) {
		va_start(ap, fmt);
		vsnprintf(err, err_size, fmt, ap);
		va_end(ap);
	}
	rte_errno = error;
	return -error;
}

/** May another line be written? A guest could make us write without end. */
static bool
note_allowed(struct vport *vp)
{
	struct timespec ts;
	uint64_t window;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	window = (uint64_t)ts.tv_sec / NOTE_WINDOW_S;
	if (atomic_exchange_explicit(&vp->note_window, window, memory_order_relaxed) != window)
		atomic_store_explicit(&vp->n_notes, 0, memory_order_relaxed);
	return atomic_fetch_add_explicit(&vp->n_notes, 1, memory_order_relaxed) < NOTES_PER_WINDOW;
}

void
vport_note(struct vport *vp, const char *fmt, ...)
{
	char line[256];
	va_list ap;

	if (vp->conf.note == NULL || !note_allowed(vp))
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	vp->conf.note(vp->conf.arg, line);
}

int
vport_init(struct vport *vp, const struct vport_conf *conf, const struct vport_ops *ops)
{
	vp->conf = *conf;
	vp->ops = ops;
	vp->fd = -1;
	pthread_mutex_init(&vp->lock, NULL);
	vp->conf.name = strdup(conf->name ? conf->name : "");
	vp->conf.path = strdup(conf->path);
	if (!vp->conf.name || !vp->conf.path)
		return -ENOMEM;
	for (uint16_t i = 0; i < conf->n_queues; i++) {
		struct vport_queue *q = vport_lines_zalloc(sizeof(*q));

		if (q == NULL)
			return -ENOMEM;
		q->vp = vp;
		q->ops = ops;
		q->index = i;
		vp->queues[i] = q;
	}
	return 0;
}

void
vport_fini(struct vport *vp)
{
	for (uint16_t i = 0; i < VPORT_MAX_QUEUES; i++)
		free(vp->queues[i]);
	pthread_mutex_destroy(&vp->lock);
	free((void *)(uintptr_t)vp->conf.name);
	free((void *)(uintptr_t)vp->conf.path);
	free(vp);
}

static int
check_conf(const struct vport_conf *conf, char *err, size_t err_size)
{
	if (conf == NULL || conf->path == NULL || conf->path[0] == '\0')
		return vport_err(err, err_size, EINVAL, "no socket or device is named");
	if (conf->n_queues == 0 || conf->n_queues > VPORT_MAX_QUEUES)
		return vport_err(err, err_size, EINVAL, "%s: %u queue pairs; 1 to %u are possible",
			conf->path, conf->n_queues, VPORT_MAX_QUEUES);
	if (conf->pool == NULL || conf->ext_pool == NULL)
		return vport_err(err, err_size, EINVAL, "%s: no frame pools", conf->path);
	return 0;
}

struct vport *
vport_create(const struct vport_conf *conf, char *err, size_t err_size)
{
	if (check_conf(conf, err, err_size) != 0)
		return NULL;
	switch (conf->kind) {
	case VPORT_VHOST_SERVER:
	case VPORT_VHOST_CLIENT:
		return vhost_port_create(conf, err, err_size);
	case VPORT_ETHDEV:
		return eth_port_create(conf, err, err_size);
	}
	vport_err(err, err_size, EINVAL, "%s: unknown kind of port", conf->path);
	return NULL;
}

int
vport_start(struct vport *vp, char *err, size_t err_size)
{
	int ret;

	if (vp->started || vp->dying)
		return vport_err(err, err_size, EALREADY, "%s: already started", vp->conf.path);
	ret = vp->ops->start(vp, err, err_size);
	vp->started = ret == 0;
	return ret;
}

void
vport_stop(struct vport *vp)
{
	bool first;

	pthread_mutex_lock(&vp->lock);
	first = !vp->dying;
	vp->dying = true;
	pthread_mutex_unlock(&vp->lock);
	if (first)
		vp->ops->stop(vp);
}

void
vport_destroy(struct vport *vp)
{
	if (vp == NULL)
		return;
	vport_stop(vp);
	vp->ops->fini(vp);
	/* A worker that has not let go goes on to look at its queue pair. */
	if (atomic_load_explicit(&vp->kept, memory_order_acquire) == 0)
		vport_fini(vp);
}

int
vport_fd(const struct vport *vp)
{
	return vp->fd;
}

void
vport_run(struct vport *vp)
{
	if (vp->ops->run)
		vp->ops->run(vp);
}

struct vport_queue *
vport_queue(struct vport *vp, uint16_t queue)
{
	return queue < vp->conf.n_queues ? vp->queues[queue] : NULL;
}

void
vport_queue_own(struct vport_queue *q, const struct vport_owner *owner)
{
	q->owner = owner ? *owner : (struct vport_owner){ 0 };
}

const _Atomic uint32_t *
vport_live_queues(const struct vport *vp)
{
	return &vp->live;
}

void
vport_info(const struct vport *vp, struct vport_info *info)
{
	vp->ops->info(vp, info);
}

bool
vport_queue_ready(const struct vport_queue *q)
{
	return q->ready;
}

uint16_t
vport_rx_burst(struct vport_queue *q, struct rte_mbuf **frames, uint16_t n)
{
	return likely(q->ready) ? q->ops->rx_burst(q, frames, n) : 0;
}

uint16_t
vport_tx_burst(struct vport_queue *q, struct rte_mbuf **frames, uint16_t n)
{
	return likely(q->ready) ? q->ops->tx_burst(q, frames, n) : 0;
}

uint16_t
vport_lend(struct vport_queue *q, struct rte_mbuf **bufs, uint16_t n)
{
	return likely(q->ready) ? q->ops->lend(q, bufs, n) : 0;
}

bool
vport_queue_mergeable(const struct vport_queue *q)
{
	return q->cur ? q->ops->mergeable(q) : false;
}

void
vport_queue_flush(struct vport_queue *q)
{
	if (likely(q->ready))
		q->ops->flush(q);
}

bool
vport_queue_arm(struct vport_queue *q)
{
	return q->ready ? q->ops->arm(q) : false;
}

void
vport_queue_disarm(struct vport_queue *q)
{
	if (q->ready)
		q->ops->disarm(q);
}

int
vport_queue_kick_fd(const struct vport_queue *q, bool guest_tx)
{
	return q->cur ? q->ops->kick_fd(q, guest_tx) : -1;
}

bool
vport_queue_must_poll(const struct vport_queue *q)
{
	return q->ready && q->ops->must_poll(q);
}

void
vport_queue_memory_lost(struct vport_queue *q)
{
	if (q->ready && q->ops->memory_lost)
		q->ops->memory_lost(q);
	vport_break(q, VPORT_COUNT_MEMORY_LOST);
}

const uint64_t *
vport_queue_counters(const struct vport_queue *q)
{
	return q->counters;
}
