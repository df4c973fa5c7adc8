/* SPDX-License-Identifier: BSD-3-Clause */
#include "gen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS 64
/** Sockets written to in one turn. */
#define FILL_SOCKETS 64

static int
listener(int type, uint16_t *port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons(*port) };
	socklen_t len = sizeof(sin);
	const int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&sin, sizeof(sin)) < 0 ||
		(type == SOCK_STREAM && listen(fd, GEN_MAX_CONNS) < 0) ||
		getsockname(fd, (struct sockaddr *)&sin, &len) < 0)
		return -1;
	*port = ntohs(sin.sin_port);
	return fd;
}

int
gen_host_init(struct gen *g)
{
	const int one = 1, big = 4 << 20;

	g->host_buf = calloc(1, GEN_READ_BYTES);
	g->fds = calloc(GEN_MAX_CONNS, sizeof(*g->fds));
	g->udp_peers = calloc(GEN_MAX_CONNS, sizeof(*g->udp_peers));
	g->udp_seen = calloc(65536, 1);
	g->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	g->listen_fd = listener(SOCK_STREAM, &g->host_port);
	g->udp_fd = listener(SOCK_DGRAM, &g->host_port);
	if (g->host_buf == NULL || g->fds == NULL || g->udp_peers == NULL || g->udp_seen == NULL ||
		g->epoll_fd < 0 || g->listen_fd < 0 || g->udp_fd < 0)
		return -1;
	setsockopt(g->udp_fd, SOL_UDP, UDP_GRO, &one, sizeof(one));
	setsockopt(g->udp_fd, SOL_SOCKET, SO_RCVBUFFORCE, &big, sizeof(big));
	return 0;
}

void
gen_host_accept(struct gen *g)
{
	const int one = 1;
	int fd;

	while (g->n_fds < GEN_MAX_CONNS &&
		(fd = accept4(g->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct epoll_event ev = { .events = EPOLLIN, .data.u32 = g->n_fds };

		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		epoll_ctl(g->epoll_fd, EPOLL_CTL_ADD, fd, &ev);
		g->fds[g->n_fds++] = fd;
	}
}

static void
host_close(struct gen *g, unsigned int i)
{
	const int fd = g->fds[--g->n_fds];
	struct epoll_event ev = { .events = EPOLLIN, .data.u32 = i };

	close(g->fds[i]);
	if (i == g->n_fds)
		return;
	g->fds[i] = fd;
	epoll_ctl(g->epoll_fd, EPOLL_CTL_MOD, fd, &ev);
}

void
gen_host_close_all(struct gen *g)
{
	while (g->n_fds > 0)
		close(g->fds[--g->n_fds]);
}

uint64_t
gen_host_drain(struct gen *g)
{
	struct epoll_event ev[EVENTS];
	uint64_t bytes = 0;
	int i, n;

	n = epoll_wait(g->epoll_fd, ev, EVENTS, 0);
	for (i = 0; i < n; i++) {
		const ssize_t got = recv(
			g->fds[ev[i].data.u32], NULL, GEN_READ_BYTES, MSG_TRUNC | MSG_DONTWAIT);

		if (got > 0)
			bytes += (uint64_t)got;
	}
	return bytes;
}

void
gen_host_fill(struct gen *g)
{
	unsigned int i;

	/* The guest must have its turn, too, before all of many have been written to. */
	for (i = 0; i < g->n_fds && i < FILL_SOCKETS; i++)
		if (send(g->fds[g->fill_turn++ % g->n_fds], g->host_buf, GEN_WRITE_BYTES,
			    MSG_DONTWAIT | MSG_NOSIGNAL) < 0 &&
			errno != EAGAIN)
			return;
}

void
gen_host_echo(struct gen *g)
{
	struct epoll_event ev[EVENTS];
	unsigned int i;
	int k, n;
	char byte[64];

	if (g->n_fds == 1) {
		n = 1;
		ev[0].data.u32 = 0;
	} else {
		n = epoll_wait(g->epoll_fd, ev, EVENTS, 0);
	}
	/* From the last one down: closing moves the last socket to the gap. */
	for (k = n - 1; k >= 0; k--) {
		ssize_t got;

		i = ev[k].data.u32;
		if (i >= g->n_fds)
			continue;
		got = recv(g->fds[i], byte, sizeof(byte), MSG_DONTWAIT);
		if (got > 0)
			send(g->fds[i], byte, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
		else if (got == 0 || errno != EAGAIN)
			host_close(g, i);
	}
}

unsigned int
gen_udp_read(int fd, uint8_t *buf, struct sockaddr_in *from, ssize_t *bytes)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = { buf, GEN_READ_BYTES };
	struct msghdr msg = { .msg_name = from,
		.msg_namelen = sizeof(*from),
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control) };
	const ssize_t got = recvmsg(fd, &msg, MSG_DONTWAIT);
	struct cmsghdr *c = got > 0 ? CMSG_FIRSTHDR(&msg) : NULL;
	int seg;

	*bytes = got;
	if (got <= 0)
		return 0;
	if (c == NULL || c->cmsg_type != UDP_GRO)
		return 1;
	memcpy(&seg, CMSG_DATA(c), sizeof(seg));
	return seg > 0 ? (unsigned int)((got + seg - 1) / seg) : 1;
}

bool
gen_udp_send(int fd, struct sockaddr_in *to, uint8_t *buf, unsigned int size, unsigned int train)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(uint16_t))];
	} control = { 0 };
	const uint16_t seg = (uint16_t)size;
	struct iovec iov = { buf, (size_t)size * train };
	struct msghdr msg = { .msg_name = to,
		.msg_namelen = to != NULL ? sizeof(*to) : 0,
		.msg_iov = &iov,
		.msg_iovlen = 1 };

	if (train > 1) {
		struct cmsghdr *c;

		msg.msg_control = &control;
		msg.msg_controllen = sizeof(control);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_UDP;
		c->cmsg_type = UDP_SEGMENT;
		c->cmsg_len = CMSG_LEN(sizeof(seg));
		memcpy(CMSG_DATA(c), &seg, sizeof(seg));
	}
	return sendmsg(fd, &msg, MSG_DONTWAIT) > 0;
}

uint64_t
gen_host_udp_drain(struct gen *g)
{
	struct sockaddr_in from;
	unsigned int n, k;
	uint64_t all = 0;
	ssize_t bytes;

	for (k = 0; k < 64 && (n = gen_udp_read(g->udp_fd, g->host_buf, &from, &bytes)) != 0; k++)
		all += n;
	return all;
}

void
gen_host_udp_echo(struct gen *g)
{
	struct sockaddr_in from;
	ssize_t bytes;

	while (gen_udp_read(g->udp_fd, g->host_buf, &from, &bytes) != 0)
		sendto(g->udp_fd, g->host_buf, (size_t)bytes, MSG_DONTWAIT,
			(struct sockaddr *)&from, sizeof(from));
}

void
gen_host_udp_learn(struct gen *g)
{
	struct sockaddr_in from;
	uint8_t *seen;
	ssize_t bytes;

	if (g->n_udp_peers >= GEN_MAX_CONNS ||
		gen_udp_read(g->udp_fd, g->host_buf, &from, &bytes) == 0)
		return;
	seen = &g->udp_seen[ntohs(from.sin_port)];
	if (*seen == 0)
		g->udp_peers[g->n_udp_peers++] = from;
	*seen = 1;
}

void
gen_host_udp_fill(struct gen *g)
{
	struct sockaddr_in *to = &g->udp_peers[g->udp_turn++ % g->n_udp_peers];

	if (gen_udp_send(g->udp_fd, to, g->host_buf, g->size, g->train))
		g->udp_sent += g->train;
}
