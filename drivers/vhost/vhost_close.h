/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Closing what came from a front-end and may be anything.
 *
 * close() can take as long as the other side likes: of a file on FUSE until its server answers, of
 * a TCP socket as long as its owner has asked for (SO_LINGER). So it is done by a thread that is
 * made for it, and nobody waits for that. A closer counts them for a port, so that a front-end
 * cannot make threads without end.
 *
 * Threads: any. A closer is freed when its port and the last of its threads have left it.
 */
#ifndef VHOST_CLOSE_H
#define VHOST_CLOSE_H

#include <stdbool.h>

struct vhost_closer;

struct vhost_closer *vhost_closer_create(void);
void vhost_closer_destroy(struct vhost_closer *c);
/** Close descriptors, some time. */
void vhost_closer_close(struct vhost_closer *c, const int *fds, unsigned int n);
/** Are so many stuck that no more should be taken from this port's front-ends? */
bool vhost_closer_stuck(const struct vhost_closer *c);

#endif
