/* SPDX-License-Identifier: BSD-3-Clause */
#include "bridge.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <unistd.h>

#include "sock.h"

/** Long enough for any loopback, short enough for a start. */
#define PROBE_MS 1000

/** A connected pair of TCP sockets over loopback. 0 or -errno. */
static int
loopback_pair(int family, int pair[2])
{
	const struct flowtab_addr lo = family == AF_INET ? flowtab_addr_v4(htonl(INADDR_LOOPBACK))
							 : flowtab_addr_v6(&in6addr_loopback);
	struct sockaddr_storage ss;
	socklen_t len = sock_addr_set(&ss, &lo, 0);
	int listener, ret;

	pair[0] = pair[1] = -1;
	listener = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (listener < 0)
		return -errno;
	if (sock_set(listener, SOL_SOCKET, SO_PEEK_OFF, 0) != 0 ||
		bind(listener, (struct sockaddr *)&ss, len) < 0 || listen(listener, 1) < 0 ||
		getsockname(listener, (struct sockaddr *)&ss, &len) < 0)
		goto fail;
	pair[0] = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (pair[0] < 0 || connect(pair[0], (struct sockaddr *)&ss, len) < 0)
		goto fail;
	pair[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (pair[1] < 0)
		goto fail;
	close(listener);
	return 0;
fail:
	ret = -errno;
	if (pair[0] >= 0)
		close(pair[0]);
	close(listener);
	return ret;
}

/**
 * Peek twice: the second look has to begin where the first one ended, of an accepted connection
 * that has the option from its listener.
 */
static bool
peek_moves_on(int from, int to)
{
	struct pollfd pfd = { .fd = to, .events = POLLIN };
	char byte = 0;

	if (send(from, "ab", 2, MSG_NOSIGNAL) != 2 || poll(&pfd, 1, PROBE_MS) != 1)
		return false;
	if (recv(to, &byte, 1, MSG_PEEK | MSG_DONTWAIT) != 1 || byte != 'a')
		return false;
	return recv(to, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1 && byte == 'b';
}

/** Does a TCP socket of the family take the option at all? True, too, if there are none. */
static bool
peek_off_taken(int family)
{
	const int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool taken;

	if (fd < 0)
		return errno == EAFNOSUPPORT;
	taken = sock_set(fd, SOL_SOCKET, SO_PEEK_OFF, 0) == 0;
	close(fd);
	return taken;
}

static bool
peek_off_works(int family)
{
	bool works;
	int pair[2];

	if (!peek_off_taken(family))
		return false;
	/* A host may have no IPv6, or no ::1. */
	if (loopback_pair(family, pair) != 0)
		return family == AF_INET6;
	works = peek_moves_on(pair[0], pair[1]);
	close(pair[0]);
	close(pair[1]);
	return works;
}

bool
bridge_probe_peek_off(void)
{
	/* Linux 6.9 has it for IPv4 alone. */
	return peek_off_works(AF_INET) && peek_off_works(AF_INET6);
}

int
bridge_probe_ping(bool ipv6)
{
	const int fd = ipv6 ? socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_ICMPV6)
			    : socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_ICMP);

	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}
