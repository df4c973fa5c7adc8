/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Small helpers around socket addresses and options. Thread safety: no state.
 *
 * An IPv6 link-local address means nothing without its interface. Of the host's side it carries the
 * interface's number in bytes that are zero on the wire (flowtab_addr_scope()), so that it tells
 * peers apart and finds its way back wherever addresses go.
 */
#ifndef SOCK_H
#define SOCK_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include <flowtab_addr.h>

/** Fill ss from address and port; v4-mapped becomes AF_INET. @return its length */
socklen_t sock_addr_set(struct sockaddr_storage *ss, const struct flowtab_addr *a, rte_be16_t port);
/** The same, but always AF_INET6: for a dual-stack socket. */
socklen_t sock_addr_set6(
	struct sockaddr_storage *ss, const struct flowtab_addr *a, rte_be16_t port);
/** @return false for a family that weir does not know; *port (may be NULL) in network order */
bool sock_addr_get(const struct sockaddr_storage *ss, struct flowtab_addr *a, rte_be16_t *port);
/** An IPv6 address; scope: number of the interface, kept if it is link-local. */
struct flowtab_addr sock_addr_v6(const struct in6_addr *a, uint32_t scope);
/** setsockopt() of an int. 0 or -errno. */
int sock_set(int fd, int level, int option, int value);
/** Pending error of a socket, positive errno; clears it. */
int sock_error(int fd);
/** close() with a RST (TCP). */
void sock_reset(int fd);

#endif
