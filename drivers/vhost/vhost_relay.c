/* SPDX-License-Identifier: BSD-3-Clause */
#include "vhost_relay.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/epoll.h>
#include <sys/socket.h>

#include "vhost_close.h"
#include "vhost_msg.h"
#include "vport_priv.h"

/** What the kernel delivers with one message at most (SCM_MAX_FD). */
#define FDS_MAX 253
/** Events in one call of vhost_relays_run(): others wait as well. */
#define EVENTS_MAX 32

struct end {
	struct vhost_relay *relay;
	int fd;
	uint32_t events; /**< asked of epoll */
};

struct vhost_relay {
	struct vhost_relay *next;
	struct vhost_relays *set;
	struct end front, lib; /**< -1: closed */
	bool referred;         /**< by its connection */
	/* The request under way. */
	struct vhost_user_msg msg;
	size_t got, sent;
	int fds[FDS_MAX + 1]; /**< and one more at the end */
	unsigned int n_fds;
	/* The answer under way. */
	uint8_t answer[sizeof(struct vhost_user_msg)];
	size_t answer_len, answer_sent;
};

union control {
	char buf[CMSG_SPACE(FDS_MAX * sizeof(int))];
	struct cmsghdr align;
};

/* ---- one step of a relay ---- */

/** What a step has led to; of two, the later in this order. */
enum step {
	STUCK, /**< the other side must do something first */
	MOVED,
	OVER, /**< nothing more is to be passed on */
};

static enum step
refuse(const struct vhost_relay *r, const char *why)
{
	vport_count_port(r->set->vp, VPORT_COUNT_MSG_REFUSED);
	vport_note(r->set->vp, "refused %s (request %u)", why, r->msg.request);
	return OVER;
}

/** recv() or send() has moved nothing. */
static enum step
nothing(ssize_t n)
{
	return n < 0 && errno == EAGAIN ? STUCK : OVER;
}

/** The descriptors that came. @return false: there were some before */
static bool
take_fds(struct vhost_relay *r, struct msghdr *m)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(m);
	const bool first = r->n_fds == 0;

	if (c == NULL || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
		return true;
	if (!first)
		vhost_closer_close(r->set->closer, r->fds, r->n_fds);
	r->n_fds = (unsigned int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
	memcpy(r->fds, CMSG_DATA(c), r->n_fds * sizeof(int));
	return first;
}

/** A piece of the request, and never a byte of the next. */
static enum step
read_request(struct vhost_relay *r)
{
	const size_t whole = VHOST_MSG_HEADER + (r->got < VHOST_MSG_HEADER ? 0 : r->msg.size);
	struct iovec iov = { (uint8_t *)&r->msg + r->got, whole - r->got };
	union control control;
	struct msghdr m = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf) };
	const ssize_t n = recvmsg(r->front.fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (n <= 0)
		return nothing(n);
	if (!take_fds(r, &m) || (m.msg_flags & MSG_CTRUNC))
		return refuse(r, "more descriptors than a message may have");
	r->got += (size_t)n;
	if (r->got >= VHOST_MSG_HEADER && r->msg.size > VHOST_MSG_PAYLOAD)
		return refuse(r, "a message that is too long");
	return MOVED;
}

static bool
is_whole(const struct vhost_relay *r)
{
	return r->got >= VHOST_MSG_HEADER && r->got == VHOST_MSG_HEADER + r->msg.size;
}

static enum step
forward(struct vhost_relay *r)
{
	struct iovec iov = { (uint8_t *)&r->msg + r->sent, r->got - r->sent };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	union control control;
	ssize_t n;

	if (r->n_fds) {
		struct cmsghdr *c = &control.align;

		m.msg_control = control.buf;
		m.msg_controllen = CMSG_SPACE(r->n_fds * sizeof(int));
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(r->n_fds * sizeof(int));
		memcpy(CMSG_DATA(c), r->fds, r->n_fds * sizeof(int));
	}
	n = sendmsg(r->lib.fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0)
		return errno == EAGAIN || errno == EPIPE ? nothing(n) : refuse(r, strerror(errno));
	while (r->n_fds)
		close(r->fds[--r->n_fds]);
	r->sent += (size_t)n;
	if (r->sent == r->got)
		r->sent = r->got = 0;
	return MOVED;
}

static enum step
pass_request(struct vhost_relay *r)
{
	enum step step = MOVED;
	const char *bad;

	if (is_whole(r))
		return forward(r);
	while (step == MOVED && !is_whole(r))
		step = read_request(r);
	if (step != MOVED)
		return step;
	bad = vhost_msg_malformed(&r->msg, r->fds, r->n_fds, 2 * r->set->vp->conf.n_queues);
	return bad ? refuse(r, bad) : forward(r);
}

static enum step
pass_answer(struct vhost_relay *r)
{
	ssize_t n;

	if (r->answer_len == 0) {
		n = recv(r->lib.fd, r->answer, sizeof(r->answer), MSG_DONTWAIT);
		if (n <= 0)
			return nothing(n);
		r->answer_len = (size_t)n;
		r->answer_sent = 0;
	}
	n = send(r->front.fd, r->answer + r->answer_sent, r->answer_len - r->answer_sent,
		MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0)
		return nothing(n);
	r->answer_sent += (size_t)n;
	if (r->answer_sent == r->answer_len)
		r->answer_len = 0;
	return MOVED;
}

static enum step
turn(struct vhost_relay *r)
{
	const enum step answer = pass_answer(r);
	enum step request = STUCK;

	if (answer != OVER && r->answer_len == 0)
		request = pass_request(r);
	return RTE_MAX(answer, request);
}

/* ---- a relay and its ends ---- */

static void
watch(struct end *e, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = e };

	if (e->events != events)
		epoll_ctl(e->relay->set->epoll_fd, EPOLL_CTL_MOD, e->fd, &ev);
	e->events = events;
}

static void
watch_ends(struct vhost_relay *r)
{
	const bool answer = r->answer_len != 0, request = is_whole(r);

	watch(&r->front, answer ? EPOLLOUT : request ? 0 : EPOLLIN);
	watch(&r->lib, answer ? 0 : EPOLLIN | (request ? EPOLLOUT : 0));
}

static int
add_end(struct vhost_relay *r, struct end *e, int fd)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = e };

	*e = (struct end){ r, fd, EPOLLIN };
	return epoll_ctl(r->set->epoll_fd, EPOLL_CTL_ADD, fd, &ev) == 0 ? 0 : -errno;
}

/** The front-end sees the end at once. What came from it is closed in time. */
static void
disconnect(struct vhost_relay *r)
{
	if (r->front.fd < 0)
		return;
	epoll_ctl(r->set->epoll_fd, EPOLL_CTL_DEL, r->front.fd, NULL);
	epoll_ctl(r->set->epoll_fd, EPOLL_CTL_DEL, r->lib.fd, NULL);
	shutdown(r->front.fd, SHUT_RDWR);
	r->fds[r->n_fds++] = r->front.fd;
	vhost_closer_close(r->set->closer, r->fds, r->n_fds);
	r->n_fds = 0;
	r->front.fd = -1;
}

static void
destroy(struct vhost_relay *r)
{
	struct vhost_relay **at = &r->set->first;

	while (*at != r)
		at = &(*at)->next;
	*at = r->next;
	disconnect(r);
	if (r->lib.fd >= 0)
		close(r->lib.fd);
	free(r);
}

static void
end(struct vhost_relay *r)
{
	disconnect(r);
	close(r->lib.fd);
	r->lib.fd = -1;
	if (!r->referred)
		destroy(r);
}

/** @return 0 or -errno, and fd as it was */
static int
put_between(struct vhost_relay *r, int fd)
{
	const int front = fcntl(fd, F_DUPFD_CLOEXEC, 0), least = 0;
	int sv[2], ret;

	if (front < 0)
		return -errno;
	ret = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) == 0 ? 0 : -errno;
	if (ret != 0)
		goto close_front;
	ret = add_end(r, &r->front, front);
	if (ret == 0)
		ret = add_end(r, &r->lib, sv[0]);
	if (ret == 0 &&
		(setsockopt(sv[0], SOL_SOCKET, SO_SNDBUF, &least, sizeof(least)) != 0 ||
			dup3(sv[1], fd, O_CLOEXEC) < 0))
		ret = -errno;
	close(sv[1]);
	if (ret == 0)
		return 0;
	epoll_ctl(r->set->epoll_fd, EPOLL_CTL_DEL, front, NULL);
	close(sv[0]);
close_front:
	close(front);
	return ret;
}

struct vhost_relay *
vhost_relay_start(struct vhost_relays *set, int fd)
{
	struct vhost_relay *r = calloc(1, sizeof(*r));
	int ret;

	if (r == NULL)
		return NULL;
	r->set = set;
	r->referred = true;
	pthread_mutex_lock(&set->lock);
	ret = put_between(r, fd);
	if (ret == 0) {
		r->next = set->first;
		set->first = r;
	} else {
		free(r);
		r = NULL;
	}
	pthread_mutex_unlock(&set->lock);
	errno = -ret;
	return r;
}

bool
vhost_relay_gone(struct vhost_relay *r)
{
	struct pollfd p = { .events = POLLRDHUP };
	bool gone;

	pthread_mutex_lock(&r->set->lock);
	p.fd = r->front.fd;
	gone = p.fd < 0 || (poll(&p, 1, 0) == 1 && p.revents);
	pthread_mutex_unlock(&r->set->lock);
	return gone;
}

void
vhost_relay_put(struct vhost_relay *r)
{
	struct vhost_relays *set = r->set;

	pthread_mutex_lock(&set->lock);
	r->referred = false;
	/* The last answers may be under way still. */
	if (r->front.fd < 0)
		destroy(r);
	pthread_mutex_unlock(&set->lock);
}

int
vhost_relays_init(struct vhost_relays *set, struct vport *vp)
{
	set->vp = vp;
	set->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (set->epoll_fd < 0)
		return -errno;
	set->closer = vhost_closer_create();
	if (set->closer == NULL) {
		close(set->epoll_fd);
		return -ENOMEM;
	}
	pthread_mutex_init(&set->lock, NULL);
	return 0;
}

void
vhost_relays_fini(struct vhost_relays *set)
{
	while (set->first)
		destroy(set->first);
	vhost_closer_destroy(set->closer);
	pthread_mutex_destroy(&set->lock);
	close(set->epoll_fd);
}

void
vhost_relays_stop(struct vhost_relays *set)
{
	pthread_mutex_lock(&set->lock);
	for (struct vhost_relay *r = set->first; r; r = r->next)
		disconnect(r);
	pthread_mutex_unlock(&set->lock);
}

void
vhost_relays_run(struct vhost_relays *set)
{
	struct epoll_event ev;

	pthread_mutex_lock(&set->lock);
	/* One at a time: an event's relay may end with the one before. */
	for (unsigned int i = 0; i < EVENTS_MAX && epoll_wait(set->epoll_fd, &ev, 1, 0) == 1; i++) {
		const struct end *e = ev.data.ptr;
		struct vhost_relay *r = e->relay;
		const enum step step = turn(r);

		/* Who has hung up will not make room. */
		if (step == OVER || (step == STUCK && (ev.events & (EPOLLHUP | EPOLLERR))))
			end(r);
		else
			watch_ends(r);
	}
	pthread_mutex_unlock(&set->lock);
}
