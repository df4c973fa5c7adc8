/* SPDX-License-Identifier: BSD-3-Clause */
#include "bridge_priv.h"

#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

/** What the kernel takes as TCP_MAXSEG. */
#define MAXSEG_MIN 88
#define MAXSEG_MAX 32767
/** Bytes that an orderly close() throws away with one call, and calls at most. */
#define DRAIN_BYTES (BRIDGE_DGRAMS * BRIDGE_MSG_BYTES)
#define DRAIN_CALLS 64

/** The first word of a file under /proc/sys/net/ipv4; "": not to be had. */
static void
read_setting(const char *name, char word[32])
{
	char path[64];
	FILE *f;

	word[0] = '\0';
	snprintf(path, sizeof(path), "/proc/sys/net/ipv4/%s", name);
	f = fopen(path, "re");
	if (f == NULL)
		return;
	if (fscanf(f, "%31s", word) != 1)
		word[0] = '\0';
	fclose(f);
}

void
bridge_tcp_probe(struct bridge *b)
{
	char word[32];

	read_setting("tcp_notsent_lowat", word);
	b->lowat_off = strtoul(word, NULL, 10) == UINT32_MAX;
	read_setting("tcp_congestion_control", word);
	b->paces = strncmp(word, "bbr", 3) == 0;
}

void
bridge_tcp_local(const struct bridge *b, int fd)
{
	/* Always permitted, and there is no loss to learn from. */
	if (b->paces)
		setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", strlen("reno"));
}

int
bridge_tcp_options(const struct bridge *b, int fd)
{
	int ret = sock_set(fd, IPPROTO_TCP, TCP_NODELAY, 1);

	/* An urgent byte stays in the stream: taken out of it, offsets would no longer agree. */
	if (ret == 0)
		ret = sock_set(fd, SOL_SOCKET, SO_OOBINLINE, 1);
	/* The host's own limit would refuse what the send buffer has room for. */
	if (ret == 0 && !b->lowat_off)
		ret = sock_set(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, -1);
	if (ret == 0 && b->p.peek_off)
		ret = sock_set(fd, SOL_SOCKET, SO_PEEK_OFF, 0);
	return ret;
}

/** A socket with these options. @return it, or -errno */
static int
stream_socket(const struct bridge *b, int family)
{
	const int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int ret;

	if (fd < 0)
		return -errno;
	ret = bridge_tcp_options(b, fd);
	if (ret == 0)
		return fd;
	close(fd);
	return ret;
}

bool
bridge_spares_fill(struct bridge *b)
{
	static const int families[BRIDGE_FAMILIES] = { AF_INET, AF_INET6 };
	unsigned int i;

	for (i = 0; i < BRIDGE_FAMILIES; i++) {
		struct bridge_spares *s = &b->spares[i];
		int fd;

		if (s->n == s->wanted)
			continue;
		fd = stream_socket(b, families[i]);
		if (fd >= 0) {
			s->fds[s->n++] = fd;
			return true;
		}
		/* Not to be had now: the next that is taken asks again. */
		s->wanted = s->n;
	}
	return false;
}

/** A socket for a new connection, made ready beforehand if there is one. @return it, or -errno */
static int
stream_take(struct bridge *b, int family)
{
	struct bridge_spares *s = &b->spares[family == AF_INET6];

	s->wanted = BRIDGE_SPARES;
	return s->n != 0 ? s->fds[--s->n] : stream_socket(b, family);
}

/** What the flow wants of its socket. The mark is policy, the rest is nice to have. */
static int
open_options(const struct bridge *b, int fd, const struct l4x_op *op)
{
	const bool v4 = flowtab_addr_is_v4(&op->open.peer);
	const bool local = flowtab_addr_is_loopback(&op->open.peer);

	if (op->tos != 0)
		sock_set(fd, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_TOS : IPV6_TCLASS, op->tos);
	if (op->ttl != 0)
		sock_set(fd, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_TTL : IPV6_UNICAST_HOPS,
			op->ttl);
	/* Loopback has no path to fit into, and small segments would cost it its send buffer. */
	if (op->open.mss != 0 && op->open.mss <= MAXSEG_MAX && !local)
		sock_set(fd, IPPROTO_TCP, TCP_MAXSEG, RTE_MAX(op->open.mss, MAXSEG_MIN));
	if (local)
		bridge_tcp_local(b, fd);
	return op->open.mark == 0 ? 0 : sock_set(fd, SOL_SOCKET, SO_MARK, (int)op->open.mark);
}

static int
open_bind(int fd, const struct l4x_op *op)
{
	struct sockaddr_storage ss;
	socklen_t len;

	if (flowtab_addr_is_zero(&op->open.local) && op->open.local_port == 0)
		return 0;
	if (op->open.local_port == 0)
		sock_set(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
	len = sock_addr_set(&ss, &op->open.local, op->open.local_port);
	return bind(fd, (struct sockaddr *)&ss, len) < 0 ? -errno : 0;
}

/** Socket, options, bind, connect, epoll. 0 or -errno. */
static int
open_socket(struct bridge *b, struct bridge_rec *r, const struct l4x_op *op)
{
	struct sockaddr_storage ss;
	const socklen_t len = sock_addr_set(&ss, &op->open.peer, op->open.peer_port);
	int ret;

	r->fd = stream_take(b, ss.ss_family);
	if (r->fd < 0)
		return r->fd;
	bridge_count(b, BRIDGE_COUNT_SOCKETS_OPENED, 1);
	ret = open_options(b, r->fd, op);
	if (ret == 0)
		ret = open_bind(r->fd, op);
	if (ret == 0 && connect(r->fd, (struct sockaddr *)&ss, len) < 0 && errno != EINPROGRESS)
		ret = -errno;
	/* Connected or not: the epoll set tells when it is writable, which it may be already. */
	return ret == 0 ? bridge_rec_watch(b, r) : ret;
}

void
bridge_tcp_open(struct bridge *b, struct bridge_rec *r, const struct l4x_op *op)
{
	int ret = r->lender == 0 ? -ENODEV : open_socket(b, r, op);

	if (ret != 0) {
		if (r->fd < 0)
			bridge_count_socket_error(b, -ret);
		bridge_rec_fail(b, r, -ret);
		return;
	}
	r->kind = BRIDGE_CONNECTING;
	if (op->open.flags & L4X_OPEN_NAMED)
		r->flags |= REC_NAMED;
	/* Whether the peer is on this host is known of loopback at once, else when connected. */
	if (!flowtab_addr_is_loopback(&op->open.peer))
		r->flags |= REC_REMOTE;
	b->epoll_now = true;
}

/** Is the socket's peer one of the host's own addresses? */
static bool
peer_is_self(int fd)
{
	struct sockaddr_storage local, peer;
	socklen_t local_len = sizeof(local), peer_len = sizeof(peer);
	struct flowtab_addr a, b;

	if (getsockname(fd, (struct sockaddr *)&local, &local_len) < 0 ||
		getpeername(fd, (struct sockaddr *)&peer, &peer_len) < 0)
		return false;
	return sock_addr_get(&local, &a, NULL) && sock_addr_get(&peer, &b, NULL) &&
		flowtab_addr_eq(&a, &b);
}

static void
connected(struct bridge *b, struct bridge_rec *r)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	r->kind = BRIDGE_STREAM;
	if (r->flags & REC_REMOTE && peer_is_self(r->fd))
		r->flags &= ~REC_REMOTE;
	/* The kernel may count our SYN among the bytes acknowledged; no data was sent yet. */
	if (r->flags & REC_REMOTE && getsockopt(r->fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0) {
		bridge_count(b, BRIDGE_COUNT_INFO_CALLS, 1);
		r->acked_base = (uint8_t)info.tcpi_bytes_acked;
	}
	bridge_tcp_fresh(b, r);
	bridge_due(b, r, REC_DUE_CONNECTED);
}

void
bridge_tcp_adopt(struct bridge *b, struct bridge_rec *r, const struct l4x_op *op,
	const struct bridge_token *token)
{
	int ret;

	if (token->fd < 0) {
		bridge_rec_fail(b, r, EBADF);
		return;
	}
	r->fd = token->fd;
	r->flags |= REC_ADOPTED;
	r->kind = BRIDGE_CONNECTING;
	/* It has the listener's options. */
	ret = r->lender == 0 ? -ENODEV : bridge_rec_watch(b, r);
	if (ret != 0) {
		bridge_rec_fail(b, r, -ret);
		return;
	}
	if (!flowtab_addr_is_loopback(&token->peer) &&
		!flowtab_addr_eq(&token->peer, &token->local))
		r->flags |= REC_REMOTE;
	connected(b, r);
	b->epoll_now = true;
}

static void
connecting_events(struct bridge *b, struct bridge_rec *r, uint32_t events)
{
	if (events & (EPOLLERR | EPOLLHUP)) {
		const int err = sock_error(r->fd);

		bridge_rec_fail(b, r, err != 0 ? err : ECONNRESET);
	} else if (events & EPOLLOUT) {
		connected(b, r);
	}
}

bool
bridge_tcp_drained(const struct bridge_rec *r)
{
	int queued = 0;

	return ioctl(r->fd, SIOCINQ, &queued) < 0 ||
		(uint64_t)RTE_MAX(queued, 0) <= r->read_off - r->consumed;
}

/** An error of the connection, most often a RST: what the peer sent before it is still there. */
static void
stream_failed(struct bridge *b, struct bridge_rec *r, int err)
{
	if (bridge_tcp_drained(r)) {
		bridge_rec_fail(b, r, err);
		return;
	}
	r->err = (uint16_t)err;
	r->flags |= REC_DYING | REC_READABLE;
	bridge_ready(b, r);
}

void
bridge_tcp_events(struct bridge *b, struct bridge_rec *r, uint32_t events)
{
	if (r->kind == BRIDGE_CONNECTING)
		connecting_events(b, r, events);
	if (r->kind != BRIDGE_STREAM || r->flags & REC_DYING)
		return;
	if (events & EPOLLERR) {
		const int err = sock_error(r->fd);

		if (err != 0) {
			stream_failed(b, r, err);
			return;
		}
	}
	if (events & (EPOLLRDHUP | EPOLLHUP))
		r->flags |= REC_PEER_CLOSED;
	if (events & EPOLLPRI)
		r->flags |= REC_URGENT;
	/* Behind the end there is nothing: it is told with every other edge, too. */
	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLPRI) && !(r->flags & REC_EOF_TOLD)) {
		r->flags |= REC_READABLE;
		if (r->read_off < r->limit)
			bridge_ready(b, r);
	}
	if (events & EPOLLOUT && r->flags & REC_WAIT_OUT) {
		r->flags &= ~REC_WAIT_OUT;
		bridge_due(b, r, REC_ASK | REC_DUE_SENT);
	}
}

void
bridge_tcp_shut(struct bridge *b, struct bridge_rec *r, uint64_t off)
{
	if (r->flags & (REC_SHUT_DONE | REC_DYING))
		return;
	if (off != r->taken) {
		/* The guest sends what is missing again; its FIN counts from there. */
		r->flags |= REC_SHUT_WANTED;
		r->shut_off = (uint32_t)off;
		return;
	}
	r->flags &= ~REC_SHUT_WANTED;
	r->flags |= REC_SHUT_DONE;
	if (shutdown(r->fd, SHUT_WR) < 0)
		bridge_rec_fail(b, r, errno);
}

void
bridge_tcp_drain(struct bridge *b, struct bridge_rec *r)
{
	unsigned int calls;

	/* What the guest was told and has not acknowledged is lost for it: that deserves the RST
	 * which close() makes of unread data. What it was never told, it has not asked for. */
	if (r->acked != r->top || (r->flags & REC_EOF_TOLD && r->consumed == r->top))
		return;
	for (calls = 0; calls < DRAIN_CALLS; calls++) {
		bridge_count(b, BRIDGE_COUNT_DISCARD_CALLS, 1);
		if (recv(r->fd, b->scratch, DRAIN_BYTES, MSG_TRUNC | MSG_DONTWAIT) <= 0)
			break;
	}
}
