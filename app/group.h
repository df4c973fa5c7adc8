/* SPDX-License-Identifier: BSD-3-Clause */
/** Sockets for users of another group. No state. */
#ifndef GROUP_H
#define GROUP_H

#include <stddef.h>

/**
 * Give a socket to a group, which may then connect to it as its owner may.
 * @param err receives a line that says what is wrong, on failure
 * @return 0 or -errno
 */
int group_give(const char *path, const char *group, char *err, size_t err_size);

#endif
