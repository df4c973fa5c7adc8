/* SPDX-License-Identifier: BSD-3-Clause */
/** sd_notify(3)'s protocol: one datagram to the socket that the service manager named. */
#ifndef SDNOTIFY_H
#define SDNOTIFY_H

/**
 * Tell the service manager.
 * @param state e.g. "READY=1"
 * @return 0 told, or nobody asked ($NOTIFY_SOCKET is not set); -errno
 */
int sdnotify(const char *state);

#endif
