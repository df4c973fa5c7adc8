/* SPDX-License-Identifier: BSD-3-Clause */
#include "sock.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

socklen_t
sock_addr_set6(struct sockaddr_storage *ss, const struct flowtab_addr *a, rte_be16_t port)
{
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ss;

	struct flowtab_addr bare = *a;

	memset(in6, 0, sizeof(*in6));
	in6->sin6_family = AF_INET6;
	in6->sin6_port = port;
	in6->sin6_scope_id = flowtab_addr_scope(a);
	flowtab_addr_set_scope(&bare, 0);
	memcpy(&in6->sin6_addr, bare.b, sizeof(in6->sin6_addr));
	return sizeof(*in6);
}

socklen_t
sock_addr_set(struct sockaddr_storage *ss, const struct flowtab_addr *a, rte_be16_t port)
{
	struct sockaddr_in *in = (struct sockaddr_in *)ss;

	if (!flowtab_addr_is_v4(a))
		return sock_addr_set6(ss, a, port);
	memset(in, 0, sizeof(*in));
	in->sin_family = AF_INET;
	in->sin_port = port;
	in->sin_addr.s_addr = a->v4;
	return sizeof(*in);
}

struct flowtab_addr
sock_addr_v6(const struct in6_addr *a, uint32_t scope)
{
	struct flowtab_addr addr = flowtab_addr_v6(a);

	flowtab_addr_set_scope(&addr, scope);
	return addr;
}

bool
sock_addr_get(const struct sockaddr_storage *ss, struct flowtab_addr *a, rte_be16_t *port)
{
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)ss;
	const struct sockaddr_in *in = (const struct sockaddr_in *)ss;

	switch (ss->ss_family) {
	case AF_INET:
		*a = flowtab_addr_v4(in->sin_addr.s_addr);
		if (port != NULL)
			*port = in->sin_port;
		return true;
	case AF_INET6:
		*a = sock_addr_v6(&in6->sin6_addr, in6->sin6_scope_id);
		if (port != NULL)
			*port = in6->sin6_port;
		return true;
	default:
		return false;
	}
}

int
sock_set(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value)) < 0 ? -errno : 0;
}

int
sock_error(int fd)
{
	socklen_t len = sizeof(int);
	int err = 0;

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
		return errno;
	return err;
}

void
sock_reset(int fd)
{
	const struct linger linger = { .l_onoff = 1, .l_linger = 0 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	close(fd);
}
