/* SPDX-License-Identifier: BSD-3-Clause */
/** Where daemon and client meet when nobody says: the control socket's default path. */
#ifndef CONTROL_PATH_H
#define CONTROL_PATH_H

#include <stddef.h>

#define CONTROL_PATH_SYSTEM "/run/weir/control.sock"
#define CONTROL_PATH_MAX 108 /**< sun_path, with the terminating zero */

/**
 * Where a daemon of this user puts its control socket: /run/weir for root or if that directory can
 * be written, else $XDG_RUNTIME_DIR/weir.
 * @param path CONTROL_PATH_MAX bytes
 * @return 0; -ENOENT: neither
 */
int control_path_server(char *path, size_t size);
/** Where a client looks: the user's own socket if there is one, else the system's. Never fails. */
void control_path_client(char *path, size_t size);

#endif
