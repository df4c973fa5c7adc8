/* SPDX-License-Identifier: BSD-3-Clause */
/* UDP and ping sockets: opening, sending. */
#include "bridge_priv.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/epoll.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

/** Datagrams of one UDP_SEGMENT send: what every kernel that knows it takes. */
#define GSO_SEGS 64u
#define GSO_BYTES 65000u
/** Sends of a datagram that errors of earlier ones stop. */
#define SEND_TRIES 4
/** iovecs of one datagram when a UDP_SEGMENT send is taken apart again. */
#define SPLIT_IOV 512
/* ---- open ---- */

void
bridge_dgram_ask_header(int fd, bool v4, bool v6)
{
	/* Nice to have. */
	if (v4) {
		sock_set(fd, IPPROTO_IP, IP_RECVTOS, 1);
		sock_set(fd, IPPROTO_IP, IP_RECVTTL, 1);
	}
	if (v6) {
		sock_set(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, 1);
		sock_set(fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1);
	}
}

static int
open_options(const struct bridge_rec *r, const struct l4x_op *op)
{
	const bool v4 = flowtab_addr_is_v4(&op->open.peer);
	int ret;

	ret = v4 ? sock_set(r->fd, IPPROTO_IP, IP_RECVERR, 1)
		 : sock_set(r->fd, IPPROTO_IPV6, IPV6_RECVERR, 1);
	if (ret == 0 && op->open.mark != 0)
		ret = sock_set(r->fd, SOL_SOCKET, SO_MARK, (int)op->open.mark);
	bridge_dgram_ask_header(r->fd, v4, !v4);
	if (op->open.proto == IPPROTO_UDP)
		sock_set(r->fd, IPPROTO_UDP, UDP_GRO, 1);
	return ret;
}

int
bridge_dgram_ask_local(int fd, bool v4, bool v6)
{
	int ret = v4 ? sock_set(fd, IPPROTO_IP, IP_PKTINFO, 1) : 0;

	if (ret == 0 && v6)
		ret = sock_set(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
	return ret;
}

/** Beside the listener of that port. */
static int
open_beside(struct bridge *b, struct bridge_rec *r, const struct l4x_op *op)
{
	struct bridge_listener *l = bridge_listener_find(b, op);
	struct sockaddr_storage ss;
	const socklen_t len = sock_addr_set(&ss, &op->open.local, op->open.local_port);
	int ret;

	if (l == NULL)
		return -ECONNABORTED;
	ret = bridge_dgram_ask_local(r->fd, ss.ss_family == AF_INET, ss.ss_family == AF_INET6);
	if (ret == 0)
		ret = sock_set(r->fd, SOL_SOCKET, SO_REUSEPORT, 1);
	if (ret == 0 && bind(r->fd, (struct sockaddr *)&ss, len) < 0)
		ret = -errno;
	if (ret == 0)
		bridge_listener_join(b, l, r);
	return ret;
}

static int
open_bind(struct bridge *b, struct bridge_rec *r, const struct l4x_op *op)
{
	struct flowtab_addr local = op->open.local;
	struct sockaddr_storage ss;
	socklen_t len;

	if (op->open.flags & L4X_OPEN_REUSE)
		return open_beside(b, r, op);
	if (flowtab_addr_is_zero(&local)) {
		if (op->open.local_port == 0)
			return 0;
		if (flowtab_addr_is_v4(&op->open.peer))
			local = flowtab_addr_v4(0);
	}
	len = sock_addr_set(&ss, &local, op->open.local_port);
	if (bind(r->fd, (struct sockaddr *)&ss, len) == 0)
		return 0;
	/* A ping socket's port is the echo id: a wish. The kernel writes the one it has. */
	if (op->open.proto != IPPROTO_UDP && errno == EADDRINUSE) {
		if (flowtab_addr_is_zero(&op->open.local))
			return 0;
		len = sock_addr_set(&ss, &local, 0);
		if (bind(r->fd, (struct sockaddr *)&ss, len) == 0)
			return 0;
	}
	return -errno;
}

static int
open_socket(struct bridge *b, struct bridge_rec *r, const struct l4x_op *op)
{
	struct sockaddr_storage ss;
	const socklen_t len = sock_addr_set(&ss, &op->open.peer, op->open.peer_port);
	int ret;

	r->fd = socket(ss.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, op->open.proto);
	if (r->fd < 0)
		return -errno;
	bridge_count(b, BRIDGE_COUNT_SOCKETS_OPENED, 1);
	ret = open_options(r, op);
	if (ret == 0)
		ret = open_bind(b, r, op);
	if (ret == 0 && connect(r->fd, (struct sockaddr *)&ss, len) < 0)
		ret = -errno;
	return ret == 0 ? bridge_rec_watch(b, r) : ret;
}

void
bridge_dgram_open(struct bridge *b, struct bridge_rec *r, const struct l4x_op *op)
{
	int ret = -EPROTONOSUPPORT;

	r->kind = op->open.proto == IPPROTO_UDP ? BRIDGE_DGRAM : BRIDGE_PING;
	r->dgram.peer = op->open.peer;
	r->dgram.peer_port = op->open.peer_port;
	if (op->open.proto == IPPROTO_UDP || op->open.proto == IPPROTO_ICMP ||
		op->open.proto == IPPROTO_ICMPV6)
		ret = open_socket(b, r, op);
	if (ret != 0) {
		if (r->fd < 0)
			bridge_count_socket_error(b, -ret);
		bridge_rec_fail(b, r, -ret);
	}
}

static uint8_t
pmtud_of(const struct l4x_op *op)
{
	static_assert(IP_PMTUDISC_DO == IPV6_PMTUDISC_DO && IP_PMTUDISC_DONT == IPV6_PMTUDISC_DONT,
		"one scale for both families");
	return (op->dgram.df ? IP_PMTUDISC_DO : IP_PMTUDISC_DONT) + 1;
}

static bool
header_differs(const struct bridge_rec *r, const struct l4x_op *op)
{
	return op->tos != r->dgram.tos || op->ttl != r->dgram.ttl || pmtud_of(op) != r->dgram.pmtud;
}

/** DSCP, ECN, TTL, and whether to fragment, of what is sent next. */
static void
set_header(struct bridge_rec *r, const struct l4x_op *op)
{
	const bool v4 = flowtab_addr_is_v4(&r->dgram.peer);
	const int level = v4 ? IPPROTO_IP : IPPROTO_IPV6;
	const uint8_t pmtud = pmtud_of(op);

	if (op->tos != r->dgram.tos)
		sock_set(r->fd, level, v4 ? IP_TOS : IPV6_TCLASS, op->tos);
	if (op->ttl != r->dgram.ttl)
		sock_set(
			r->fd, level, v4 ? IP_TTL : IPV6_UNICAST_HOPS, op->ttl != 0 ? op->ttl : -1);
	if (pmtud != r->dgram.pmtud)
		sock_set(r->fd, level, v4 ? IP_MTU_DISCOVER : IPV6_MTU_DISCOVER, pmtud - 1);
	r->dgram.tos = op->tos;
	r->dgram.ttl = op->ttl;
	r->dgram.pmtud = pmtud;
}

/* ---- send ---- */

/** What a UDP_SEGMENT send would have made, one by one. Where one is too large, all are. */
static void
send_split(struct bridge *b, struct bridge_rec *r, const struct msghdr *gso, uint16_t seg)
{
	struct iovec iov[SPLIT_IOV];
	bool too_large = false;
	size_t i = 0, off = 0;

	while (i < gso->msg_iovlen) {
		struct msghdr msg = { .msg_iov = iov };
		uint32_t left = seg;

		for (; left != 0 && i < gso->msg_iovlen && msg.msg_iovlen < SPLIT_IOV;) {
			const struct iovec *v = &gso->msg_iov[i];
			const size_t take = RTE_MIN(v->iov_len - off, (size_t)left);

			iov[msg.msg_iovlen].iov_base = (char *)v->iov_base + off;
			iov[msg.msg_iovlen++].iov_len = take;
			left -= (uint32_t)take;
			off += take;
			if (off == v->iov_len) {
				off = 0;
				i++;
			}
		}
		if (!too_large) {
			bridge_count(b, BRIDGE_COUNT_SEND_CALLS, 1);
			if (sendmsg(r->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
				continue;
			too_large = errno == EMSGSIZE;
			r->flags |= REC_ERRQ;
		}
		bridge_count(b, BRIDGE_COUNT_DGRAM_DROPPED, 1);
	}
}

/** A message could not be sent. @return true: try it again */
static bool
send_failed(struct bridge *b, struct bridge_rec *r, const struct bridge_call *c,
	const struct msghdr *msg, int err)
{
	if (c->seg != 0 && (err == EINVAL || err == EMSGSIZE || err == EIO)) {
		/* Larger than the path takes; or, for good, no checksum offload there. */
		if (err == EIO)
			r->flags |= REC_NO_GSO;
		send_split(b, r, msg, c->seg);
		return false;
	}
	switch (err) {
	case EFAULT:
		bridge_rec_fail_io(b, r, err);
		return false;
	case EAGAIN:
	case ENOBUFS:
		break;
	case EMSGSIZE:
		r->flags |= REC_ERRQ; /* which tells the MTU */
		break;
	default:
		/* Most likely the answer to an earlier datagram: the error queue has it. */
		r->flags |= REC_ERRQ;
		return true;
	}
	bridge_count(b, BRIDGE_COUNT_DGRAM_DROPPED, 1);
	return false;
}

/** Once more, an error of an earlier datagram having been told; there may be as many as datagrams.
 */
static void
send_again(struct bridge *b, struct bridge_rec *r, const struct bridge_call *c,
	const struct msghdr *msg)
{
	unsigned int tries;
	int err = 0;

	for (tries = 0; tries < SEND_TRIES; tries++) {
		const ssize_t n = sendmsg(r->fd, msg, MSG_DONTWAIT | MSG_NOSIGNAL);

		err = errno;
		bridge_count(b, BRIDGE_COUNT_SEND_CALLS, 1);
		if (n >= 0)
			bridge_count(b, BRIDGE_COUNT_SEND_BYTES, (uint64_t)n);
		if (n >= 0 || !send_failed(b, r, c, msg, err))
			return;
	}
	r->err = (uint16_t)err;
	bridge_due(b, r, REC_DUE_ERROR);
	bridge_count(b, BRIDGE_COUNT_DGRAM_DROPPED, 1);
}

void
bridge_dgram_sent(struct bridge *b, struct bridge_rec *r, const struct bridge_call *c,
	const struct msghdr *msg)
{
	if (likely(c->ret >= 0)) {
		bridge_count(b, BRIDGE_COUNT_SEND_BYTES, (uint64_t)c->ret);
		return;
	}
	if (send_failed(b, r, c, msg, -c->ret))
		send_again(b, r, c, msg);
	if (r->flags & REC_ERRQ)
		bridge_ready(b, r);
}

/** The next message is of datagrams of that size. */
static void
set_segment(struct bridge_calls *cs, struct bridge_call *c, uint16_t seg)
{
	const uint32_t i = (uint32_t)(c - cs->call);
	struct msghdr *msg = &cs->msgs[i].msg_hdr;
	struct cmsghdr *h;

	c->seg = seg;
	if (seg == 0)
		return;
	msg->msg_control = &cs->control[i];
	msg->msg_controllen = sizeof(cs->control[i].buf);
	h = CMSG_FIRSTHDR(msg);
	h->cmsg_level = IPPROTO_UDP;
	h->cmsg_type = UDP_SEGMENT;
	h->cmsg_len = CMSG_LEN(sizeof(seg));
	memcpy(CMSG_DATA(h), &seg, sizeof(seg));
}

/** One message of so many bytes; more than iovecs can hold is dropped. */
static void
send_message(struct bridge *b, struct bridge_rec *r, struct bridge_cursor *at, uint32_t want,
	uint16_t seg)
{
	uint32_t bytes = want, n_iov;

	bridge_calls_reserve(b);
	if (unlikely(r->fd < 0))
		return;
	n_iov = bridge_iov_add(bridge_calls_iov(b), 0, at, &bytes);
	if (bytes < want) {
		bridge_count(b, BRIDGE_COUNT_DGRAM_DROPPED, 1);
		at->m = NULL;
		return;
	}
	set_segment(b->calls, bridge_call_add(b, r, BRIDGE_CALL_DGRAM, n_iov), seg);
}

void
bridge_dgram_send(struct bridge *b, struct bridge_rec *r, const struct l4x_op *op)
{
	struct bridge_cursor at = { .m = op->dgram.m };
	const uint32_t seg = op->dgram.seg == 0 ? op->len : op->dgram.seg;
	uint32_t left = op->len;

	if (header_differs(r, op)) {
		bridge_rec_settle(b, r);
		if (r->fd >= 0)
			set_header(r, op);
	}
	do {
		uint32_t bytes = RTE_MIN(left, seg);
		bool gso = false;

		if (left > seg && r->kind == BRIDGE_DGRAM && !(r->flags & REC_NO_GSO)) {
			const uint32_t segs = RTE_MIN(GSO_SEGS, GSO_BYTES / seg);

			gso = segs > 1;
			if (gso)
				bytes = RTE_MIN(left, segs * seg);
		}
		send_message(b, r, &at, bytes, gso ? (uint16_t)seg : 0);
		left -= bytes;
	} while (left != 0 && at.m != NULL && r->fd >= 0);
}

void
bridge_dgram_events(struct bridge *b, struct bridge_rec *r, uint32_t events)
{
	if (events & EPOLLERR)
		r->flags |= REC_ERRQ;
	if (events & EPOLLIN)
		r->flags |= REC_READABLE;
	if (r->flags & (REC_ERRQ | REC_READABLE))
		bridge_ready(b, r);
}
