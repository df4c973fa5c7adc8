/* SPDX-License-Identifier: BSD-3-Clause */
#include "host.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/socket.h>

#define CHUNK 65536

static uint16_t
port_of(const struct sockaddr_storage *ss)
{
	return ss->ss_family == AF_INET ? ntohs(((const struct sockaddr_in *)ss)->sin_port)
					: ntohs(((const struct sockaddr_in6 *)ss)->sin6_port);
}

static int
bind_to(int fd, const char *addr, uint16_t *port)
{
	struct pkt_addr a = pkt_addr(addr);
	struct sockaddr_storage ss;
	socklen_t len = pkt_sockaddr(&a, *port, &ss);
	int on = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (a.len == 16)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&ss, len) < 0)
		return -errno;
	if (getsockname(fd, (struct sockaddr *)&ss, &len) < 0)
		return -errno;
	*port = port_of(&ss);
	return 0;
}

static int
socket_for(const char *addr, int type)
{
	struct pkt_addr a = pkt_addr(addr);

	return socket(a.len == 4 ? AF_INET : AF_INET6, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

int
host_listen_on(int fd, const char *addr, uint16_t *port)
{
	int rc = bind_to(fd, addr, port);

	if (rc == 0 && listen(fd, 128) < 0)
		rc = -errno;
	return rc;
}

int
host_tcp_listen(const char *addr, uint16_t *port)
{
	int fd = socket_for(addr, SOCK_STREAM), rc;

	if (fd < 0)
		return -1;
	rc = host_listen_on(fd, addr, port);
	if (rc < 0) {
		close(fd);
		errno = -rc;
		return -1;
	}
	return fd;
}

int
host_udp(const char *addr, uint16_t *port)
{
	int fd = socket_for(addr, SOCK_DGRAM), rc;

	if (fd < 0)
		return -1;
	rc = bind_to(fd, addr, port);
	if (rc < 0) {
		close(fd);
		errno = -rc;
		return -1;
	}
	return fd;
}

bool
host_wait(struct guest *g, int fd, short events, int timeout_ms)
{
	uint64_t deadline = vhu_now_ms() + (unsigned int)timeout_ms;
	struct pollfd p = { fd, events, 0 };

	for (;;) {
		uint64_t now = vhu_now_ms();
		int left = now < deadline ? (int)(deadline - now) : 0;

		if (poll(&p, 1, g != NULL ? 0 : left) > 0)
			return true;
		if (now >= deadline)
			return false;
		if (g != NULL) {
			guest_pump(g, 1);
			for (struct gtcp *c = g->tcps; c != NULL; c = c->next)
				gtcp_tick(c);
		}
	}
}

void
host_idle(struct guest *g, int ms)
{
	host_wait(g, -1, 0, ms);
}

int
host_accept(struct guest *g, int listener, int timeout_ms)
{
	if (!host_wait(g, listener, POLLIN, timeout_ms)) {
		errno = ETIMEDOUT;
		return -1;
	}
	return accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
}

int
host_tcp_connect(const char *addr, uint16_t port)
{
	struct pkt_addr a = pkt_addr(addr);
	struct sockaddr_storage ss;
	socklen_t len = pkt_sockaddr(&a, port, &ss);
	int fd = socket_for(addr, SOCK_STREAM);

	if (fd >= 0 && connect(fd, (struct sockaddr *)&ss, len) < 0 && errno != EINPROGRESS) {
		int err = errno;

		close(fd);
		errno = err;
		return -1;
	}
	return fd;
}

int
host_connected(struct guest *g, int fd, int timeout_ms)
{
	socklen_t len = sizeof(int);
	int err = 0;

	if (!host_wait(g, fd, POLLOUT, timeout_ms))
		return -ETIMEDOUT;
	getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len);
	return -err;
}

ssize_t
host_recv(struct guest *g, int fd, void *buf, size_t len, int timeout_ms)
{
	ssize_t n;

	if (!host_wait(g, fd, POLLIN, timeout_ms))
		return -ETIMEDOUT;
	n = recv(fd, buf, len, MSG_DONTWAIT);
	return n < 0 ? -errno : n;
}

int
host_recv_all(struct guest *g, int fd, void *buf, size_t len, int timeout_ms)
{
	uint64_t deadline = vhu_now_ms() + (unsigned int)timeout_ms;
	uint8_t *p = buf;

	while (len != 0) {
		uint64_t now = vhu_now_ms();
		ssize_t n = host_recv(g, fd, p, len, now < deadline ? (int)(deadline - now) : 0);

		if (n <= 0)
			return n == 0 ? -EPIPE : (int)n;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

int
host_send_all(struct guest *g, int fd, const void *buf, size_t len, int timeout_ms)
{
	const uint8_t *p = buf;

	while (len != 0) {
		ssize_t n = send(fd, p, len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno != EAGAIN)
			return -errno;
		if (n < 0) {
			if (!host_wait(g, fd, POLLOUT, timeout_ms))
				return -ETIMEDOUT;
			continue;
		}
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

ssize_t
host_recv_from(struct guest *g, int fd, void *buf, size_t len, struct pkt_addr *from,
	uint16_t *port, int timeout_ms)
{
	struct sockaddr_storage ss;
	socklen_t ss_len = sizeof(ss);
	ssize_t n;

	if (!host_wait(g, fd, POLLIN, timeout_ms))
		return -ETIMEDOUT;
	n = recvfrom(fd, buf, len, MSG_DONTWAIT, (struct sockaddr *)&ss, &ss_len);
	if (n < 0)
		return -errno;
	memset(from, 0, sizeof(*from));
	from->len = ss.ss_family == AF_INET ? 4 : 16;
	if (from->len == 4)
		memcpy(from->b, &((struct sockaddr_in *)&ss)->sin_addr, 4);
	else
		memcpy(from->b, &((struct sockaddr_in6 *)&ss)->sin6_addr, 16);
	*port = port_of(&ss);
	return n;
}

int
host_send_to(int fd, const char *addr, uint16_t port, const void *buf, size_t len)
{
	struct pkt_addr a = pkt_addr(addr);
	struct sockaddr_storage ss;
	socklen_t ss_len = pkt_sockaddr(&a, port, &ss);

	return sendto(fd, buf, len, 0, (struct sockaddr *)&ss, ss_len) < 0 ? -errno : 0;
}

/* ---- patterned data ---- */

uint8_t
host_pattern(unsigned int which, uint64_t i)
{
	return (uint8_t)(((i + 1) * (0x9e3779b97f4a7c15u + 2 * which)) >> 56);
}

void
host_fill(unsigned int which, uint64_t from, void *buf, size_t len)
{
	uint8_t *p = buf;

	for (size_t i = 0; i < len; i++)
		p[i] = host_pattern(which, from + i);
}

struct transfer {
	struct gtcp *c;
	int fd;
	size_t up, down; /**< wished for */
	size_t up_sent, up_got, down_sent, down_got;
	uint8_t buf[CHUNK];
	char why[200];
};

static bool
compare(struct transfer *t, unsigned int which, size_t from, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (t->buf[i] != host_pattern(which, from + i)) {
			snprintf(t->why, sizeof(t->why), "%s: byte %zu differs",
				which == 1 ? "guest to host" : "host to guest", from + i);
			return false;
		}
	}
	return true;
}

static bool
step_up(struct transfer *t)
{
	size_t n = t->up - t->up_sent;
	ssize_t got;

	n = n < CHUNK ? n : CHUNK;
	/* Not more than two windows lie in the endpoint: the rest would only be copied about. */
	if (n != 0 && t->c->n_unacked < 2 * CHUNK) {
		host_fill(1, t->up_sent, t->buf, n);
		t->up_sent += gtcp_write(t->c, t->buf, n);
	}
	got = recv(t->fd, t->buf, CHUNK, MSG_DONTWAIT);
	if (got == 0 || (got < 0 && errno != EAGAIN)) {
		snprintf(t->why, sizeof(t->why), "host socket: %s after %zu bytes",
			got == 0 ? "end of file" : strerror(errno), t->up_got);
		return false;
	}
	if (got > 0) {
		if (!compare(t, 1, t->up_got, (size_t)got))
			return false;
		t->up_got += (size_t)got;
	}
	return true;
}

static bool
step_down(struct transfer *t)
{
	size_t n = t->down - t->down_sent;
	ssize_t done;

	n = n < CHUNK ? n : CHUNK;
	if (n != 0) {
		host_fill(2, t->down_sent, t->buf, n);
		done = send(t->fd, t->buf, n, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (done > 0)
			t->down_sent += (size_t)done;
	}
	while (t->c->n_in != 0) {
		done = gtcp_recv(t->c, t->buf, CHUNK, 0);
		if (done <= 0)
			break;
		if (!compare(t, 2, t->down_got, (size_t)done))
			return false;
		t->down_got += (size_t)done;
	}
	return true;
}

static const char *
transfer_loop(struct transfer *t, int timeout_ms)
{
	uint64_t deadline = vhu_now_ms() + (unsigned int)timeout_ms;

	while (t->up_got < t->up || t->down_got < t->down) {
		size_t before = t->up_sent + t->up_got + t->down_sent + t->down_got;

		if ((t->up_got < t->up && !step_up(t)) || !step_down(t))
			return t->why;
		before = t->up_sent + t->up_got + t->down_sent + t->down_got - before;
		for (int i = 0; i < 64; i++) {
			int rc = guest_pump(t->c->g, before == 0 && i == 0 ? 5 : 0);

			if (rc < 0)
				return guest_error(t->c->g);
			if (rc == 0)
				break;
		}
		gtcp_tick(t->c);
		if (t->c->reset_received)
			return "connection reset";
		if (vhu_now_ms() >= deadline) {
			snprintf(t->why, sizeof(t->why),
				"stalled: up %zu/%zu/%zu down %zu/%zu/%zu (sent, got, of)",
				t->up_sent, t->up_got, t->up, t->down_sent, t->down_got, t->down);
			return t->why;
		}
	}
	return NULL;
}

const char *
host_transfer(struct gtcp *c, int fd, size_t up, size_t down, int timeout_ms)
{
	static _Thread_local char why[200];
	struct transfer *t = calloc(1, sizeof(*t));
	const char *bad;

	if (t == NULL)
		return "no memory";
	t->c = c;
	t->fd = fd;
	t->up = up;
	t->down = down;
	bad = transfer_loop(t, timeout_ms);
	if (bad != NULL) {
		snprintf(why, sizeof(why), "%s", bad);
		bad = why;
	}
	free(t);
	return bad;
}

/** The guest sends on as far as it may; one round. */
static bool
push_up(struct transfer *t)
{
	size_t n = t->up - t->up_sent;

	n = n < CHUNK ? n : CHUNK;
	if (n != 0 && t->c->n_unacked < 2 * CHUNK) {
		host_fill(1, t->up_sent, t->buf, n);
		t->up_sent += gtcp_write(t->c, t->buf, n);
	}
	for (int i = 0; i < 64; i++) {
		int rc = guest_pump(t->c->g, i == 0 ? 1 : 0);

		if (rc < 0)
			snprintf(t->why, sizeof(t->why), "%s", guest_error(t->c->g));
		if (rc <= 0)
			break;
	}
	gtcp_tick(t->c);
	if (t->c->reset_received)
		snprintf(t->why, sizeof(t->why), "connection reset");
	return t->why[0] == '\0';
}

static void
slow_loop(struct transfer *t, size_t piece, int timeout_ms)
{
	uint64_t deadline = vhu_now_ms() + (unsigned int)timeout_ms;
	ssize_t got;

	piece = piece < CHUNK ? piece : CHUNK;
	while (t->up_got < t->up && push_up(t)) {
		if (vhu_now_ms() >= deadline) {
			snprintf(t->why, sizeof(t->why),
				"stalled: %zu sent, %zu got, of %zu; %u in flight, window %u",
				t->up_sent, t->up_got, t->up, t->c->snd_nxt - t->c->snd_una,
				t->c->snd_wnd);
			return;
		}
		if (t->c->zero_windows == 0)
			continue;
		got = recv(t->fd, t->buf, piece, MSG_DONTWAIT);
		if (got > 0 && !compare(t, 1, t->up_got, (size_t)got))
			return;
		t->up_got += got > 0 ? (size_t)got : 0;
	}
}

const char *
host_transfer_slowly(struct gtcp *c, int fd, size_t up, size_t piece, int timeout_ms)
{
	static _Thread_local char why[200];
	struct transfer *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return "no memory";
	t->c = c;
	t->fd = fd;
	t->up = up;
	slow_loop(t, piece, timeout_ms);
	snprintf(why, sizeof(why), "%s", t->why);
	free(t);
	return why[0] != '\0' ? why : NULL;
}
