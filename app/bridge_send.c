/* SPDX-License-Identifier: BSD-3-Clause */
#include "bridge_priv.h"

#include <errno.h>
#include <linux/sock_diag.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stddef.h>
#include <sys/epoll.h>

/** What the kernel books for a message beside its bytes, roughly. */
#define SEND_OVERHEAD 1024u
/** What was asked of a fresh socket holds so long for others. */
#define FRESH_US 1000000u
/** TCP_INFO is asked for a remote peer at most this often, unless the worker asks. */
#define ASK_US 200u
/** Length of a TCP_INFO that tells the peer's window. */
#define TCP_INFO_WITH_WND (offsetof(struct tcp_info, tcpi_snd_wnd) + sizeof(uint32_t))

uint32_t
bridge_iov_add(struct iovec *iov, uint32_t n, struct bridge_cursor *at, uint32_t *bytes)
{
	const uint32_t max = *bytes;
	uint32_t total = 0;

	while (at->m != NULL && total < max && n < BRIDGE_IOV) {
		const uint32_t len = at->m->data_len;
		uint32_t take;

		if (at->off >= len) {
			at->off -= len;
			at->m = at->m->next;
			continue;
		}
		take = RTE_MIN(len - at->off, max - total);
		iov[n].iov_base = rte_pktmbuf_mtod_offset(at->m, void *, at->off);
		iov[n++].iov_len = take;
		at->off += take;
		total += take;
	}
	*bytes = total;
	return n;
}

/** Gather what is in order. @return number of iovecs, of *bytes */
static uint32_t
gather(struct bridge *b, struct bridge_rec *r, const struct l4x_op *ops, unsigned int n,
	uint32_t *bytes)
{
	struct iovec *iov = bridge_calls_iov(b);
	uint64_t next = r->taken;
	uint32_t n_iov = 0;
	unsigned int i;

	for (i = 0; i < n; i++) {
		const uint64_t end = ops[i].send.off + ops[i].len;
		struct bridge_cursor at = { .m = ops[i].send.m };
		uint32_t part;

		if (ops[i].send.off > next) {
			r->flags |= REC_SHORT;
			continue;
		}
		if (end <= next)
			continue;
		at.off = (uint32_t)RTE_MIN(next - ops[i].send.off, (uint64_t)UINT32_MAX);
		part = (uint32_t)(end - next);
		n_iov = bridge_iov_add(iov, n_iov, &at, &part);
		next += part;
	}
	*bytes = (uint32_t)(next - r->taken);
	return n_iov;
}

/** The socket has not taken all. */
static void
sent_short(struct bridge *b, struct bridge_rec *r)
{
	bridge_count(b, BRIDGE_COUNT_SEND_SHORT, 1);
	r->flags |= REC_SHORT | REC_ASK;
}

/** What sendmsg() returned. */
static void
after_send(struct bridge *b, struct bridge_rec *r, int ret, uint32_t bytes)
{
	if (unlikely(ret < 0)) {
		if (ret == -EAGAIN || ret == -EINTR || ret == -ENOBUFS)
			sent_short(b, r);
		else
			bridge_rec_fail_io(b, r, -ret);
		return;
	}
	bridge_count(b, BRIDGE_COUNT_SEND_BYTES, (uint64_t)ret);
	r->taken += (uint64_t)ret;
	r->used += (uint32_t)ret + SEND_OVERHEAD;
	if (unlikely((uint32_t)ret != bytes))
		sent_short(b, r);
}

/** SENDs are done with, whatever came of them. */
static void
send_over(struct bridge *b, struct bridge_rec *r)
{
	if (unlikely(r->flags & REC_SHUT_WANTED && (uint32_t)r->taken == r->shut_off))
		bridge_tcp_shut(b, r, r->taken);
	if (likely(r->kind == BRIDGE_STREAM))
		bridge_due(b, r, REC_DUE_SENT);
}

void
bridge_tcp_send(struct bridge *b, struct bridge_rec *r, const struct l4x_op *ops, unsigned int n)
{
	uint32_t n_iov = 0, bytes;

	bridge_calls_reserve(b);
	if (likely(!(r->flags & (REC_SHUT_DONE | REC_DYING))))
		n_iov = gather(b, r, ops, n, &bytes);
	if (likely(n_iov != 0))
		bridge_call_add(b, r, BRIDGE_CALL_SEND, n_iov)->bytes = bytes;
	else
		send_over(b, r);
}

void
bridge_tcp_sent(struct bridge *b, struct bridge_rec *r, const struct bridge_call *c)
{
	after_send(b, r, c->ret, c->bytes);
	if (likely(r->kind == BRIDGE_STREAM))
		send_over(b, r);
}

/** Have EPOLLOUT told once the socket is writable: at once, if it has become so meanwhile. */
static void
wait_out(struct bridge *b, struct bridge_rec *r)
{
	struct epoll_event ev = {
		.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET,
		.data.u64 = r->handle,
	};

	if (r->flags & REC_WAIT_OUT)
		return;
	r->flags |= REC_WAIT_OUT;
	epoll_ctl(b->epoll_fd, EPOLL_CTL_MOD, r->fd, &ev);
}

static void
ask_peer(struct bridge *b, struct bridge_rec *r)
{
	struct tcp_info info = { .tcpi_state = 0 };
	socklen_t len = sizeof(info);
	uint64_t acked;

	bridge_count(b, BRIDGE_COUNT_INFO_CALLS, 1);
	if (getsockopt(r->fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0)
		return;
	acked = info.tcpi_bytes_acked - r->acked_base;
	/* Our FIN is counted, too. */
	acked = RTE_MIN(acked, r->taken);
	r->peer_acked = RTE_MAX(r->peer_acked, acked);
	r->rtt_us = info.tcpi_rtt;
	/* Kernels before 5.4 do not tell the window. */
	r->peer_wnd = len >= TCP_INFO_WITH_WND ? info.tcpi_snd_wnd : UINT32_MAX;
	r->asked_us = (uint32_t)b->now_us;
}

/** Fresh sockets towards this host are all alike: opened ones, and accepted ones. */
static struct bridge_fresh *
fresh_of(struct bridge *b, const struct bridge_rec *r)
{
	return r->flags & REC_REMOTE || r->taken != 0 ? NULL
						      : &b->fresh[(r->flags & REC_ADOPTED) != 0];
}

static void
ask(struct bridge *b, struct bridge_rec *r)
{
	struct bridge_fresh *fresh = fresh_of(b, r);
	uint32_t mem[SK_MEMINFO_VARS] = { 0 }, limit, queued;
	socklen_t len = sizeof(mem);

	bridge_count(b, BRIDGE_COUNT_INFO_CALLS, 1);
	if (getsockopt(r->fd, SOL_SOCKET, SO_MEMINFO, mem, &len) < 0)
		return;
	limit = mem[SK_MEMINFO_SNDBUF];
	queued = mem[SK_MEMINFO_WMEM_QUEUED];
	r->space = limit > queued ? limit - queued : 0;
	/* The kernel calls a socket writable, and so tells of it, when a third is free: if less is,
	 * an edge will come. */
	if ((uint64_t)r->space * 3 < limit)
		wait_out(b, r);
	/* Headers and slack of its buffers count, too. */
	r->space -= r->space / 4;
	r->used = 0;
	r->flags &= ~REC_ASK;
	if (fresh != NULL)
		*fresh = (struct bridge_fresh){ r->space, b->now_us };
}

void
bridge_tcp_fresh(struct bridge *b, struct bridge_rec *r)
{
	const struct bridge_fresh *fresh = fresh_of(b, r);

	if (fresh != NULL && fresh->space != 0 && b->now_us - fresh->us < FRESH_US)
		r->space = fresh->space;
	else
		r->flags |= REC_ASK;
}

void
bridge_tcp_tell(struct bridge *b, struct bridge_rec *r, struct l4x_event *ev)
{
	const bool asked = (r->flags & REC_ASK) != 0;
	uint32_t space;

	if (asked || r->used >= r->space / 2)
		ask(b, r);
	if (r->flags & REC_REMOTE && (asked || (uint32_t)b->now_us - r->asked_us >= ASK_US))
		ask_peer(b, r);
	space = r->space > r->used ? r->space - r->used : 0;
	ev->sent.taken = r->taken;
	ev->sent.rtt_us = r->rtt_us;
	if (r->flags & REC_REMOTE) {
		const uint64_t end = r->peer_acked + r->peer_wnd;

		ev->sent.acked = r->peer_acked;
		ev->sent.flags |= L4X_SENT_REMOTE;
		space = (uint32_t)RTE_MIN((uint64_t)space, end > r->taken ? end - r->taken : 0);
	} else {
		ev->sent.acked = r->taken;
	}
	ev->sent.space = space;
	if (r->flags & REC_SHORT && ev->type == L4X_EV_SENT) {
		ev->sent.flags |= L4X_SENT_SHORT;
		r->flags &= ~REC_SHORT;
		/* The space told with it is not believed. Without an edge to come, ask once more.
		 */
		if (!(r->flags & REC_WAIT_OUT))
			bridge_due(b, r, REC_ASK | REC_DUE_SENT);
	}
}
