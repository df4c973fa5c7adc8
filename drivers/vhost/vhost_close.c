/* SPDX-License-Identifier: BSD-3-Clause */
#include "vhost_close.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/** Threads of a port that may be stuck before front-ends are refused. */
#define STUCK_MAX 8

struct vhost_closer {
	_Atomic unsigned int refs; /**< the port, and each thread */
};

struct task {
	struct vhost_closer *closer;
	unsigned int n;
	int fds[];
};

struct vhost_closer *
vhost_closer_create(void)
{
	struct vhost_closer *c = malloc(sizeof(*c));

	if (c)
		atomic_init(&c->refs, 1);
	return c;
}

void
vhost_closer_destroy(struct vhost_closer *c)
{
	if (c && atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) == 1)
		free(c);
}

static void *
run(void *arg)
{
	struct task *t = arg;

	for (unsigned int i = 0; i < t->n; i++)
		close(t->fds[i]);
	vhost_closer_destroy(t->closer);
	free(t);
	return NULL;
}

void
vhost_closer_close(struct vhost_closer *c, const int *fds, unsigned int n)
{
	struct task *t = malloc(sizeof(*t) + n * sizeof(*fds));
	pthread_attr_t attr;
	pthread_t thread;

	if (t == NULL) {
		for (unsigned int i = 0; i < n; i++)
			close(fds[i]);
		return;
	}
	t->closer = c;
	t->n = n;
	memcpy(t->fds, fds, n * sizeof(*fds));
	atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	if (pthread_create(&thread, &attr, run, t) != 0)
		run(t);
	pthread_attr_destroy(&attr);
}

bool
vhost_closer_stuck(const struct vhost_closer *c)
{
	return atomic_load_explicit(&c->refs, memory_order_relaxed) > 1 + STUCK_MAX;
}
