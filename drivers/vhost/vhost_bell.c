/* SPDX-License-Identifier: BSD-3-Clause */
#include "vhost_bell.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <rte_vhost.h>

/** Ends of pipes that are looked at. A process has few when it starts its first port. */
#define ENDS_MAX 256

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool searched;
static int bell = -1;

struct pipe_end {
	unsigned long inode; /**< of both ends */
	int fd;
};

/** @return how many ends of pipes are open, at most max */
static unsigned int
list_ends(struct pipe_end *ends, unsigned int max)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned int n = 0;
	struct dirent *e;

	while (dir && n < max && (e = readdir(dir)) != NULL) {
		char target[64];
		const ssize_t len = readlinkat(dirfd(dir), e->d_name, target, sizeof(target) - 1);

		target[len > 0 ? len : 0] = '\0';
		ends[n].fd = atoi(e->d_name);
		n += sscanf(target, "pipe:[%lu]", &ends[n].inode) == 1;
	}
	if (dir)
		closedir(dir);
	return n;
}

static bool
has_inode(const struct pipe_end *ends, unsigned int n, unsigned long inode)
{
	while (n-- > 0) {
		if (ends[n].inode == inode)
			return true;
	}
	return false;
}

/**
 * What has come since `before` must be two ends of one pipe. The end that is written is opened once
 * more, for not to block on it and to have no part in the library's own.
 */
static int
open_new_pipe(const struct pipe_end *before, unsigned int n_before)
{
	struct pipe_end now[ENDS_MAX], fresh[2] = { 0 };
	const unsigned int n = list_ends(now, ENDS_MAX);
	unsigned int n_fresh = 0;
	char path[64];

	for (unsigned int i = 0; i < n; i++) {
		if (has_inode(before, n_before, now[i].inode))
			continue;
		if (n_fresh == 2)
			return -1;
		fresh[n_fresh++] = now[i];
	}
	if (n_fresh != 2 || fresh[0].inode != fresh[1].inode || n == ENDS_MAX)
		return -1;
	for (unsigned int i = 0; i < 2; i++) {
		if ((fcntl(fresh[i].fd, F_GETFL) & O_ACCMODE) != O_WRONLY)
			continue;
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fresh[i].fd);
		return open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	}
	return -1;
}

/** Under lock. */
static void
ring(void)
{
	/* A full pipe wakes as well. */
	if (bell >= 0 && write(bell, "1", 1) < 0)
		return;
}

int
vhost_bell_driver_start(const char *path)
{
	struct pipe_end before[ENDS_MAX];
	unsigned int n = 0;
	int ret;

	pthread_mutex_lock(&lock);
	if (!searched)
		n = list_ends(before, ENDS_MAX);
	ret = rte_vhost_driver_start(path);
	if (!searched && n < ENDS_MAX)
		bell = open_new_pipe(before, n);
	searched = true;
	ring();
	pthread_mutex_unlock(&lock);
	return ret;
}

void
vhost_bell_driver_unregister(const char *path)
{
	rte_vhost_driver_unregister(path);
	pthread_mutex_lock(&lock);
	ring();
	pthread_mutex_unlock(&lock);
}
