/* SPDX-License-Identifier: BSD-3-Clause */
/* Listeners: what comes from outside. */
#include "bridge_priv.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

/** Connections that the kernel keeps for us while workers are busy. */
#define BACKLOG 1024
/** Connections accepted from one listener before the next has its turn. */
#define ACCEPT_BURST 32

/* ---- making one ---- */

static const char *
advice(int err)
{
	switch (err) {
	case EADDRINUSE:
		return " (another program, or another forward, has this port)";
	case EACCES:
		return " (ports below net.ipv4.ip_unprivileged_port_start take "
		       "CAP_NET_BIND_SERVICE)";
	case EADDRNOTAVAIL:
		return " (no interface of this host has this address)";
	case EPERM:
		return " (a mark takes CAP_NET_ADMIN)";
	case EMFILE:
	case ENFILE:
		return " (raise the limit of open files)";
	case ENOSPC:
		return " (more than a bridge or fs.epoll.max_user_watches allows: forward less "
		       "ports)";
	default:
		return "";
	}
}

static void
explain(const struct bridge_listen *spec, int err, char *text, size_t size)
{
	char addr[FLOWTAB_ADDR_STRLEN];
	const bool v4 = flowtab_addr_is_v4(&spec->local);

	flowtab_addr_format(&spec->local, addr);
	snprintf(text, size, "cannot listen on %s %s%s%s:%u: %s%s",
		spec->proto == IPPROTO_TCP ? "TCP" : "UDP", v4 ? "" : "[", addr, v4 ? "" : "]",
		spec->port, strerror(err), advice(err));
}

static int
bind_listener(int fd, const struct bridge_listen *spec, bool dual)
{
	const rte_be16_t port = rte_cpu_to_be_16(spec->port);
	struct sockaddr_storage ss;
	socklen_t len;

	len = dual ? sock_addr_set6(&ss, &spec->local, port)
		   : sock_addr_set(&ss, &spec->local, port);
	return bind(fd, (struct sockaddr *)&ss, len) < 0 ? -errno : 0;
}

/** 0 or -errno. */
static int
listen_tcp(const struct bridge *b, int fd, const struct bridge_listen *spec, bool dual)
{
	/* Only connections in TIME_WAIT are passed over by this, never another listener. */
	int ret = sock_set(fd, SOL_SOCKET, SO_REUSEADDR, 1);

	if (ret == 0 && spec->share == BRIDGE_SHARE_JOIN)
		ret = sock_set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
	if (ret == 0)
		ret = bind_listener(fd, spec, dual);
	/* After bind(), so that somebody else's listener shows. */
	if (ret == 0 && spec->share == BRIDGE_SHARE_FIRST)
		ret = sock_set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
	/* What is accepted has these options, too. */
	if (ret == 0)
		ret = bridge_tcp_options(b, fd);
	if (flowtab_addr_is_loopback(&spec->local))
		bridge_tcp_local(b, fd);
	if (ret == 0 && listen(fd, BACKLOG) < 0)
		ret = -errno;
	return ret;
}

/** 0 or -errno. */
static int
listen_udp(int fd, const struct bridge_listen *spec, bool dual)
{
	const bool v6 = dual || !flowtab_addr_is_v4(&spec->local);
	int ret = bind_listener(fd, spec, dual);

	/*
	 * After bind(), so that somebody else's socket shows; flows bind beside it from here on.
	 * Unlike SO_REUSEADDR, this lets no other user do so (socket(7)).
	 */
	if (ret == 0)
		ret = sock_set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
	if (ret == 0)
		ret = bridge_dgram_ask_local(fd, !v6 || dual, v6);
	bridge_dgram_ask_header(fd, !v6 || dual, v6);
	return ret;
}

/** @return the socket, bound and listening, or -errno */
static int
listener_socket(const struct bridge *b, const struct bridge_listen *spec, bool dual)
{
	const bool v4 = !dual && flowtab_addr_is_v4(&spec->local);
	const int type = spec->proto == IPPROTO_TCP ? SOCK_STREAM : SOCK_DGRAM;
	const int fd = socket(v4 ? AF_INET : AF_INET6, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int ret = 0;

	if (fd < 0)
		return -errno;
	if (!v4)
		ret = sock_set(fd, IPPROTO_IPV6, IPV6_V6ONLY, !dual);
	if (ret == 0 && spec->mark != 0)
		ret = sock_set(fd, SOL_SOCKET, SO_MARK, (int)spec->mark);
	if (ret == 0)
		ret = spec->proto == IPPROTO_TCP ? listen_tcp(b, fd, spec, dual)
						 : listen_udp(fd, spec, dual);
	if (ret == 0)
		return fd;
	close(fd);
	return ret;
}

/** As listener_socket(); both families, or IPv4 alone where the kernel has no IPv6. */
static int
open_listener(const struct bridge *b, const struct bridge_listen *spec, bool *dual)
{
	struct bridge_listen v4 = *spec;
	int fd;

	*dual = flowtab_addr_is_zero(&spec->local);
	fd = listener_socket(b, spec, *dual);
	if (fd != -EAFNOSUPPORT || !*dual)
		return fd;
	*dual = false;
	v4.local = flowtab_addr_v4(0);
	return listener_socket(b, &v4, false);
}

static struct bridge_listener *
listener_place(struct bridge *b)
{
	if (b->free_listener != 0)
		return &b->listeners[b->free_listener - 1];
	return b->n_listeners < BRIDGE_LISTENERS ? &b->listeners[b->n_listeners] : NULL;
}

int
bridge_listen(struct bridge *b, const struct bridge_listen *spec, char *err, size_t err_size)
{
	struct bridge_listener *l = listener_place(b);
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET };
	int fd, ret = -EINVAL;
	bool dual;

	if (spec->pif == 0 || spec->pif >= L4X_MAX_PIFS ||
		(spec->proto != IPPROTO_TCP && spec->proto != IPPROTO_UDP))
		goto fail;
	ret = -ENOSPC;
	if (l == NULL)
		goto fail;
	fd = ret = open_listener(b, spec, &dual);
	if (fd < 0)
		goto fail;
	ev.data.u64 = flowtab_handle_make(BRIDGE_OWNER_LISTENER, 1, (uint32_t)(l - b->listeners));
	if (epoll_ctl(b->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0) {
		ret = -errno;
		close(fd);
		goto fail;
	}
	if (b->free_listener != 0)
		b->free_listener = l->next;
	else
		b->n_listeners++;
	*l = (struct bridge_listener){ .spec = *spec, .fd = fd, .dual = dual };
	return (int)(l - b->listeners);
fail:
	explain(spec, -ret, err, err_size);
	return ret;
}

void
bridge_listener_idle(struct bridge *b, struct bridge_listener *l)
{
	const uint16_t last = b->ready_listeners[b->n_ready_listeners - 1];

	b->ready_listeners[l->at] = last;
	b->listeners[last].at = l->at;
	l->ready = false;
	if (--b->n_ready_listeners == 0)
		b->pause_us = UINT64_MAX;
}

/* ---- flows beside a UDP listener ---- */

/** Do datagrams for this address of the host come to the listener? */
static bool
is_reached_at(const struct bridge_listener *l, const struct flowtab_addr *local)
{
	const struct flowtab_addr *bound = &l->spec.local;

	if (flowtab_addr_is_any(bound))
		return flowtab_addr_is_zero(bound) || flowtab_addr_is_v4(local);
	return flowtab_addr_eq(bound, local);
}

struct bridge_listener *
bridge_listener_find(struct bridge *b, const struct l4x_op *op)
{
	const uint16_t port = rte_be_to_cpu_16(op->open.local_port);
	const uint16_t guest_port = rte_be_to_cpu_16(op->open.guest_port);
	uint32_t i;

	for (i = 0; i < b->n_listeners; i++) {
		struct bridge_listener *l = &b->listeners[i];

		if (l->fd >= 0 && l->spec.port == port && l->spec.guest_port == guest_port &&
			l->spec.pif == op->open.pif && l->spec.proto == IPPROTO_UDP &&
			is_reached_at(l, &op->open.local))
			return l;
	}
	return NULL;
}

void
bridge_listener_join(struct bridge *b, struct bridge_listener *l, struct bridge_rec *r)
{
	l->n_flows++;
	r->dgram.listener = (uint16_t)(l - b->listeners + 1);
}

void
bridge_listener_leave(struct bridge *b, struct bridge_rec *r)
{
	if (r->kind != BRIDGE_DGRAM || r->dgram.listener == 0)
		return;
	b->listeners[r->dgram.listener - 1].n_flows--;
	r->dgram.listener = 0;
}

/** A peer that goes on sending would keep a flow for ever, however long the forward is gone. */
static void
end_flows(struct bridge *b, const struct bridge_listener *l)
{
	uint32_t i, j;

	for (i = 0; i < b->p.n_workers; i++)
		for (j = 0; j < b->workers[i].used && l->n_flows != 0; j++) {
			struct bridge_rec *r = &b->workers[i].recs[j];

			if (r->kind == BRIDGE_DGRAM &&
				r->dgram.listener == (uint32_t)(l - b->listeners) + 1)
				bridge_rec_fail(b, r, ECONNABORTED);
		}
}

void
bridge_unlisten(struct bridge *b, int number)
{
	struct bridge_listener *l;

	if (number < 0 || (uint32_t)number >= b->n_listeners)
		return;
	l = &b->listeners[number];
	if (l->fd < 0)
		return;
	end_flows(b, l);
	close(l->fd);
	l->fd = -1;
	if (l->ready)
		bridge_listener_idle(b, l);
	l->next = b->free_listener;
	b->free_listener = (uint32_t)number + 1;
}

/* ---- accepted connections that nobody has adopted yet ---- */

/** Never 0, so that a token of zeroes is nobody's. */
static uint32_t
token_make(const struct bridge *b, const struct bridge_token *t)
{
	return (uint32_t)t->generation << 16 | (uint32_t)(t - b->tokens);
}

static void
token_free(struct bridge *b, struct bridge_token *t)
{
	t->fd = -1;
	b->free_tokens[b->n_free_tokens++] = (uint16_t)(t - b->tokens);
}

void
bridge_token_take(struct bridge *b, uint32_t token, struct bridge_token *taken)
{
	const uint32_t place = token & 0xffff;
	struct bridge_token *t;

	taken->fd = -1;
	if (place < BRIDGE_TOKENS) {
		t = &b->tokens[place];
		if (t->fd >= 0 && t->generation == token >> 16) {
			*taken = *t;
			token_free(b, t);
			return;
		}
	}
	bridge_count(b, BRIDGE_COUNT_STALE, 1);
}

void
bridge_tokens_reset(struct bridge *b, uint16_t pif)
{
	uint32_t i;

	for (i = 0; i < BRIDGE_TOKENS; i++) {
		struct bridge_token *t = &b->tokens[i];

		if (t->fd < 0 || (pif != 0 && t->pif != pif))
			continue;
		sock_reset(t->fd);
		bridge_count(b, BRIDGE_COUNT_SOCKETS_CLOSED, 1);
		token_free(b, t);
	}
}

/* ---- accepting ---- */

void
bridge_listen_event(struct bridge *b, uint32_t number, uint32_t events)
{
	struct bridge_listener *l;

	if (number >= b->n_listeners || b->listeners[number].fd < 0) {
		bridge_count(b, BRIDGE_COUNT_STALE, 1);
		return;
	}
	l = &b->listeners[number];
	if (l->ready)
		return;
	l->ready = true;
	l->at = b->n_ready_listeners++;
	b->ready_listeners[l->at] = (uint16_t)number;
}

/** The owner of the connection is only known once it is accepted: all must have room. */
static bool
all_have_room(struct bridge *b)
{
	unsigned int i;

	for (i = 0; i < b->p.n_workers; i++)
		if (bridge_room(&b->workers[i]) < BRIDGE_READ_FRAMES)
			return false;
	return true;
}

static void
refuse(struct bridge *b, int fd)
{
	sock_reset(fd);
	bridge_count(b, BRIDGE_COUNT_REFUSED, 1);
	bridge_count(b, BRIDGE_COUNT_SOCKETS_CLOSED, 1);
}

/** Tell the worker whose flow it will be. */
static void
accepted(struct bridge *b, const struct bridge_listener *l, int fd,
	const struct sockaddr_storage *peer)
{
	const struct l4x_port_conf *conf = b->ports[l->spec.pif].conf;
	struct sockaddr_storage local;
	socklen_t len = sizeof(local);
	struct l4x_event e = { .type = L4X_EV_ACCEPTED }, *ev;
	struct bridge_token *t;
	uint8_t worker;

	bridge_count(b, BRIDGE_COUNT_ACCEPTED, 1);
	e.accepted.pif = l->spec.pif;
	e.accepted.guest_port = rte_cpu_to_be_16(l->spec.guest_port);
	if (conf == NULL || getsockname(fd, (struct sockaddr *)&local, &len) < 0 ||
		!sock_addr_get(&local, &e.accepted.local, &e.accepted.local_port) ||
		!sock_addr_get(peer, &e.accepted.peer, &e.accepted.peer_port)) {
		refuse(b, fd);
		return;
	}
	worker = l4x_steer_inbound(conf, b->p.steer_key, &e, IPPROTO_TCP);
	if (worker >= b->p.n_workers) {
		refuse(b, fd);
		return;
	}
	t = &b->tokens[b->free_tokens[--b->n_free_tokens]];
	t->fd = fd;
	t->generation = (uint16_t)RTE_MAX(1, (uint16_t)(t->generation + 1));
	t->pif = l->spec.pif;
	t->peer = e.accepted.peer;
	t->local = e.accepted.local;
	ev = bridge_event(b, &b->workers[worker], L4X_EV_ACCEPTED);
	ev->accepted = e.accepted;
	ev->accepted.token = token_make(b, t);
}

/** accept4() failed. @return false: no more from this listener for the time being */
static bool
accept_failed(struct bridge *b, struct bridge_listener *l, int err)
{
	if (err == EAGAIN) {
		bridge_listener_idle(b, l);
		return false;
	}
	bridge_count_socket_error(b, err);
	/* That connection's own end (accept(2)). */
	if (err == ECONNABORTED || err == EPROTO || err == EPERM || err == EINTR)
		return true;
	/* The connection stays in the backlog, and the listener readable: wait. */
	l->pause_us = b->now_us + BRIDGE_BACKOFF_US;
	return false;
}

static unsigned int
accept_burst(struct bridge *b, struct bridge_listener *l)
{
	struct sockaddr_storage peer;
	unsigned int i;

	for (i = 0; i < ACCEPT_BURST && b->n_free_tokens != 0 && all_have_room(b); i++) {
		socklen_t len = sizeof(peer);
		const int fd = accept4(
			l->fd, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0)
			accepted(b, l, fd, &peer);
		else if (!accept_failed(b, l, errno))
			break;
	}
	return i;
}

unsigned int
bridge_listeners_poll(struct bridge *b)
{
	unsigned int done = 0;
	uint32_t i;

	b->pause_us = UINT64_MAX;
	/* One that becomes idle has its place taken by the last. */
	for (i = 0; i < b->n_ready_listeners;) {
		struct bridge_listener *l = &b->listeners[b->ready_listeners[i]];

		if (l->pause_us <= b->now_us) {
			if (l->spec.proto == IPPROTO_TCP)
				done += accept_burst(b, l);
			else if (all_have_room(b))
				done += bridge_dgram_listen(b, l);
			if (!l->ready)
				continue;
		}
		if (l->pause_us > b->now_us)
			b->pause_us = RTE_MIN(b->pause_us, l->pause_us);
		i++;
	}
	return done;
}

bool
bridge_listeners_have_work(const struct bridge *b)
{
	uint32_t i;

	for (i = 0; i < b->n_ready_listeners; i++) {
		const struct bridge_listener *l = &b->listeners[b->ready_listeners[i]];

		/* A token comes back with an operation, which is work of its own. */
		if (l->pause_us <= b->now_us &&
			(l->spec.proto != IPPROTO_TCP || b->n_free_tokens != 0))
			return true;
	}
	return false;
}
