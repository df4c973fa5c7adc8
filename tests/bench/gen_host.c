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

static int
bound(int type, uint16_t *port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sin);
	const int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&sin, sizeof(sin)) < 0 ||
		getsockname(fd, (struct sockaddr *)&sin, &len) < 0)
		return -1;
	*port = ntohs(sin.sin_port);
	return fd;
}

int
gen_service_open(struct gen_service *s, unsigned int max_fds)
{
	s->listen_fd = bound(SOCK_STREAM, &s->port);
	s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	s->fds = calloc(max_fds, sizeof(*s->fds));
	s->full = calloc(max_fds, sizeof(*s->full));
	s->max_fds = max_fds;
	return s->listen_fd < 0 || s->epoll_fd < 0 || s->fds == NULL || s->full == NULL ||
			listen(s->listen_fd, GEN_MAX_CONNS) < 0
		? -1
		: 0;
}

void
gen_service_close(struct gen_service *s)
{
	if (s->fds == NULL)
		return;
	while (s->n_fds > 0)
		close(s->fds[--s->n_fds]);
	close(s->listen_fd);
	close(s->epoll_fd);
	free(s->full);
	free(s->fds);
	s->fds = NULL;
}

int
gen_host_udp_open(uint16_t *port)
{
	const int one = 1, big = 4 << 20;
	const int fd = bound(SOCK_DGRAM, port);

	if (fd >= 0) {
		setsockopt(fd, SOL_UDP, UDP_GRO, &one, sizeof(one));
		setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &big, sizeof(big));
	}
	return fd;
}

int
gen_host_init(struct gen *g)
{
	g->host_buf = calloc(1, GEN_READ_BYTES);
	g->udp_peers = calloc(GEN_MAX_CONNS, sizeof(*g->udp_peers));
	g->udp_flow = calloc(65536, sizeof(*g->udp_flow));
	g->udp_fd = gen_host_udp_open(&g->udp_port);
	g->bulk_in.fills = true;
	if (g->host_buf == NULL || g->udp_peers == NULL || g->udp_flow == NULL || g->udp_fd < 0 ||
		gen_service_open(&g->tcp, GEN_MAX_CONNS) != 0 ||
		gen_service_open(&g->bulk_out, GEN_MAX_CONNS) != 0 ||
		gen_service_open(&g->bulk_in, GEN_MAX_CONNS) != 0)
		return -1;
	return 0;
}

void
gen_host_close(struct gen *g)
{
	gen_service_close(&g->tcp);
	gen_service_close(&g->bulk_out);
	gen_service_close(&g->bulk_in);
	if (g->udp_fd >= 0)
		close(g->udp_fd);
	free(g->udp_peers);
	free(g->udp_flow);
	free(g->host_buf);
}

void
gen_host_accept(struct gen_service *s)
{
	const int one = 1;
	int fd;

	while (s->n_fds < s->max_fds &&
		(fd = accept4(s->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct epoll_event ev = { .events = s->fills ? EPOLLOUT | EPOLLET : EPOLLIN,
			.data.u32 = s->n_fds };

		/* The first edge tells that it takes something. */
		s->full[s->n_fds] = s->fills;
		s->n_full += s->fills;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, fd, &ev);
		s->fds[s->n_fds++] = fd;
	}
}

static void
service_drop(struct gen_service *s, unsigned int i)
{
	const int fd = s->fds[--s->n_fds];
	struct epoll_event ev = { .events = EPOLLIN, .data.u32 = i };

	close(s->fds[i]);
	if (i == s->n_fds)
		return;
	s->fds[i] = fd;
	epoll_ctl(s->epoll_fd, EPOLL_CTL_MOD, fd, &ev);
}

uint64_t
gen_host_drain(struct gen_service *s)
{
	struct epoll_event ev[EVENTS];
	uint64_t bytes = 0;
	int i, n;

	n = epoll_wait(s->epoll_fd, ev, EVENTS, 0);
	for (i = 0; i < n; i++) {
		const ssize_t got = recv(
			s->fds[ev[i].data.u32], NULL, GEN_READ_BYTES, MSG_TRUNC | MSG_DONTWAIT);

		if (got > 0)
			bytes += (uint64_t)got;
	}
	return bytes;
}

/** Which sockets have room again? */
static void
look_for_room(struct gen_service *s)
{
	struct epoll_event ev[EVENTS];
	const int n = epoll_wait(s->epoll_fd, ev, EVENTS, 0);
	int i;

	for (i = 0; i < n; i++) {
		s->n_full -= s->full[ev[i].data.u32];
		s->full[ev[i].data.u32] = false;
	}
}

/** The next in turn that takes something. @return false: none does */
static bool
next_with_room(struct gen_service *s, unsigned int *i)
{
	*i = 0;
	/* To ask would cost as much as to try. */
	if (s->n_fds == 1)
		return true;
	if (s->n_full != 0)
		look_for_room(s);
	if (s->n_full == s->n_fds)
		return false;
	do {
		*i = s->fill_turn++ % s->n_fds;
	} while (s->full[*i]);
	return true;
}

void
gen_host_fill(struct gen_service *s, const uint8_t *buf)
{
	unsigned int i;

	if (!next_with_room(s, &i))
		return;
	/* No more than this, and then it is the turn of the guest, which shares the processor. */
	if (send(s->fds[i], buf, GEN_WRITE_BYTES, MSG_DONTWAIT | MSG_NOSIGNAL) <
		(ssize_t)GEN_WRITE_BYTES) {
		s->n_full += !s->full[i];
		s->full[i] = true;
	}
}

void
gen_host_echo(struct gen_service *s)
{
	struct epoll_event ev[EVENTS];
	unsigned int i;
	int k, n;
	char byte[64];

	if (s->n_fds <= 1) {
		n = (int)s->n_fds;
		ev[0].data.u32 = 0;
	} else {
		n = epoll_wait(s->epoll_fd, ev, EVENTS, 0);
	}
	/* From the last one down: closing moves the last socket to the gap. */
	for (k = n - 1; k >= 0; k--) {
		ssize_t got;

		i = ev[k].data.u32;
		if (i >= s->n_fds)
			continue;
		got = recv(s->fds[i], byte, sizeof(byte), MSG_DONTWAIT);
		if (got > 0)
			send(s->fds[i], byte, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
		else if (got == 0 || errno != EAGAIN)
			service_drop(s, i);
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

	for (k = 0; k < 64 && (n = gen_udp_read(g->udp_fd, g->host_buf, &from, &bytes)) != 0; k++) {
		const unsigned int flow = g->udp_flow[ntohs(from.sin_port)];

		if (flow != 0 && g->conns != NULL)
			g->conns[flow - 1].guest->udp_arrived += n;
		all += n;
	}
	return all;
}

void
gen_host_udp_echo(struct gen *g)
{
	struct sockaddr_in from;
	unsigned int k;
	ssize_t bytes;

	/* The guest must have its turn, too. */
	for (k = 0; k < EVENTS && gen_udp_read(g->udp_fd, g->host_buf, &from, &bytes) != 0; k++)
		sendto(g->udp_fd, g->host_buf, (size_t)bytes, MSG_DONTWAIT,
			(struct sockaddr *)&from, sizeof(from));
}

void
gen_host_udp_learn(struct gen *g)
{
	struct sockaddr_in from;
	uint32_t number;
	ssize_t bytes;

	if (gen_udp_read(g->udp_fd, g->host_buf, &from, &bytes) == 0 ||
		(size_t)bytes < sizeof(number))
		return;
	memcpy(&number, g->host_buf, sizeof(number));
	if (number >= g->n_conns || g->udp_peers[number].sin_port != 0)
		return;
	g->udp_peers[number] = from;
	g->udp_flow[ntohs(from.sin_port)] = (uint16_t)(number + 1);
	g->n_udp_peers++;
}

void
gen_host_udp_fill(struct gen *g)
{
	struct sockaddr_in *to = &g->udp_peers[g->udp_turn++ % g->n_udp_peers];

	gen_udp_send(g->udp_fd, to, g->host_buf, g->size, g->train);
}
