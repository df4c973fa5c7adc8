/* SPDX-License-Identifier: BSD-3-Clause */
/** The host's resolver configuration: what resolv.conf(5) says of name servers and search list. */
#ifndef RESOLV_H
#define RESOLV_H

#include <l4x.h>

#define RESOLV_PATH "/etc/resolv.conf"
#define RESOLV_MAX_SERVERS 8

struct resolv {
	unsigned int n_servers;
	struct flowtab_addr servers[RESOLV_MAX_SERVERS];
	char search[L4X_MAX_SEARCH]; /**< names separated by one space */
};

/**
 * Read the file. Servers with a scope (fe80::1%eth0) and whatever cannot be understood are left
 * out.
 * @return 0, or -errno of opening it (r is empty)
 */
int resolv_read(const char *path, struct resolv *r);

#endif
