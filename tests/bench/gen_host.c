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

#define READ_BYTES (1u << 20)
#define WRITE_BYTES (256u << 10)
#define EVENTS 64
/** Sockets written to in one turn. */
#define FILL_SOCKETS 64
/** Datagrams of flows whose peers are to be learnt are sent again after this time. */
#define LEARN_AGAIN_MS 500

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

	g->host_buf = calloc(1, READ_BYTES);
	g->fds = calloc(GEN_MAX_CONNS, sizeof(*g->fds));
	g->udp_peers = calloc(GEN_MAX_CONNS, sizeof(*g->udp_peers));
	g->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	g->listen_fd = listener(SOCK_STREAM, &g->host_port);
	g->udp_fd = listener(SOCK_DGRAM, &g->host_port);
	if (g->host_buf == NULL || g->fds == NULL || g->udp_peers == NULL || g->epoll_fd < 0 ||
		g->listen_fd < 0 || g->udp_fd < 0)
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
		const ssize_t got =
			recv(g->fds[ev[i].data.u32], NULL, READ_BYTES, MSG_TRUNC | MSG_DONTWAIT);

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
		if (send(g->fds[g->fill_turn++ % g->n_fds], g->host_buf, WRITE_BYTES,
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

/** One recvmsg(); UDP_GRO makes it a train. @return datagrams, 0 none */
static unsigned int
udp_read(struct gen *g, struct sockaddr_in *from, ssize_t *bytes)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = { g->host_buf, READ_BYTES };
	struct msghdr msg = { .msg_name = from,
		.msg_namelen = sizeof(*from),
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control) };
	const ssize_t got = recvmsg(g->udp_fd, &msg, MSG_DONTWAIT);
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

uint64_t
gen_host_udp_drain(struct gen *g)
{
	struct sockaddr_in from;
	unsigned int n, k;
	uint64_t all = 0;
	ssize_t bytes;

	for (k = 0; k < 64 && (n = udp_read(g, &from, &bytes)) != 0; k++)
		all += n;
	return all;
}

void
gen_host_udp_echo(struct gen *g)
{
	struct sockaddr_in from;
	ssize_t bytes;

	while (udp_read(g, &from, &bytes) != 0)
		sendto(g->udp_fd, g->host_buf, (size_t)bytes, MSG_DONTWAIT,
			(struct sockaddr *)&from, sizeof(from));
}

bool
gen_host_udp_learn(struct gen *g)
{
	const uint64_t end = vhu_now_ms() + GEN_PATIENCE_MS;
	uint8_t seen[65536] = { 0 };
	struct sockaddr_in from;
	unsigned int next = 0;
	uint64_t again = 0;
	ssize_t bytes;

	while (g->n_udp_peers < g->n_conns && vhu_now_ms() < end) {
		if (next < g->n_conns && gen_guest_udp(g, &g->conns[next], 1)) {
			again = vhu_now_ms() + LEARN_AGAIN_MS;
			next++;
		} else if (next == g->n_conns && vhu_now_ms() >= again) {
			/* Whose was lost is not known: all once more. */
			next = 0;
		}
		gen_ring_flush(g);
		if (udp_read(g, &from, &bytes) == 0 || seen[ntohs(from.sin_port)])
			continue;
		seen[ntohs(from.sin_port)] = 1;
		g->udp_peers[g->n_udp_peers++] = from;
	}
	return g->n_udp_peers == g->n_conns;
}

void
gen_host_udp_fill(struct gen *g)
{
	struct sockaddr_in *to = &g->udp_peers[g->udp_turn++ % g->n_udp_peers];
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(uint16_t))];
	} control = { 0 };
	const uint16_t seg = (uint16_t)g->size;
	struct iovec iov = { g->host_buf, (size_t)g->size * g->train };
	struct msghdr msg = {
		.msg_name = to, .msg_namelen = sizeof(*to), .msg_iov = &iov, .msg_iovlen = 1
	};

	if (g->train > 1) {
		struct cmsghdr *c;

		msg.msg_control = &control;
		msg.msg_controllen = sizeof(control);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_UDP;
		c->cmsg_type = UDP_SEGMENT;
		c->cmsg_len = CMSG_LEN(sizeof(seg));
		memcpy(CMSG_DATA(c), &seg, sizeof(seg));
	}
	if (sendmsg(g->udp_fd, &msg, MSG_DONTWAIT) > 0)
		g->udp_sent += g->train;
}
