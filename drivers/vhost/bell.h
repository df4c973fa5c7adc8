/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Interrupts that cannot block whoever sends them.
 *
 * A call descriptor is the front-end's: it can fill the counter, and turn O_NONBLOCK off again, for
 * that flag is one of the open file and shared. A write() then waits for a reader who never comes.
 * What the kernel itself signals through an eventfd, the end of an asynchronous operation, does not
 * wait: at its maximum the counter stays there. So the operation is a read of an empty file, which
 * ends at once, and all there is to it is that signal.
 *
 * Threads: a bell belongs to one thread, the owner of the queue pairs that it is rung for.
 */
#ifndef BELL_H
#define BELL_H

struct vport_bell;

/**
 * Signal an eventfd.
 * @param bell NULL: by write(), after a look whether there is room
 * @return 0, or -errno
 */
int vport_bell_ring(struct vport_bell *bell, int fd);

#endif
