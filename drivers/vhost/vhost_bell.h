/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Waking librte_vhost's thread.
 *
 * The thread sleeps in poll() for up to a second. The library wakes it, by a pipe of its own, for a
 * new connection, but not for a new socket, nor when one is taken away: the first front-end of a
 * port waits a second, and what is closed stays open that long. So the pipe is looked for when the
 * library makes it, at the first rte_vhost_driver_start() of the process, and rung from here, too.
 * Where it is not found, because it is older or the library has none, all takes its second.
 *
 * The library has one thread in a process, and one pipe; hence this is data of the process.
 *
 * Threads: any.
 */
#ifndef VHOST_BELL_H
#define VHOST_BELL_H

/** rte_vhost_driver_start(), and the socket is polled at once. Returns what that returns. */
int vhost_bell_driver_start(const char *path);
/** rte_vhost_driver_unregister(), and nothing is polled any more that was the socket's. */
void vhost_bell_driver_unregister(const char *path);

#endif
