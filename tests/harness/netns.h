/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Network namespaces for tests: a network of the test's own, and peers behind a link with delay and
 * loss (wire.h). Nothing outlives the test: the namespaces have no names.
 *
 * Needs root; netns_private() says whether it could be had, and a test that needs it is skipped
 * otherwise. A socket belongs to the namespace it was made in, so a peer needs no process: make its
 * sockets with netns_socket().
 *
 * Threads: the calling thread's namespace is changed; call before others are made.
 */
#ifndef NETNS_H
#define NETNS_H

#include <stdbool.h>

#include <sys/types.h>

#include "wire.h"

struct netns {
	pid_t pid; /**< holds the namespace open */
	int fd;
	struct wire wire;
};

/**
 * Give this process a network of its own: only lo, up, ping sockets allowed; and a mount namespace
 * of its own. False: not permitted, nothing has changed.
 */
bool netns_private(void);
/**
 * Have /etc/resolv.conf read as text, in this process and its children; after netns_private() only.
 * 0 or -errno
 */
int netns_resolv_conf(const char *text);
/**
 * A peer network behind a wire (weir<n> here, peer<n> there).
 * @param here, there addresses with prefix, IPv4 and IPv6: "192.0.2.1/24"; NULL: none
 * @return 0 or -errno
 */
int netns_peer(struct netns *ns, unsigned int n, const char *here, const char *there,
	const char *here6, const char *there6);
/** Delay and loss of the link, each way. */
void netns_link(struct netns *ns, unsigned int delay_ms, unsigned int loss_permille);
/** A socket in the peer's network. -1 with errno set */
int netns_socket(const struct netns *ns, int domain, int type, int protocol);
/** A command in the peer's network (ns NULL: in this one). Its exit status. */
int netns_run(const struct netns *ns, const char *command);
void netns_close(struct netns *ns);

#endif
