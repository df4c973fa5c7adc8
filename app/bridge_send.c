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
/** TCP_INFO is asked for a remote peer at most this often, unless the worker asks. */
#define ASK_US 200u
/** Length of a TCP_INFO that tells the peer's window. */
#define TCP_INFO_WITH_WND (offsetof(struct tcp_info, tcpi_snd_wnd) + sizeof(uint32_t))

uint32_t
bridge_iov_add(struct bridge *b, uint32_t n, struct bridge_cursor *at, uint32_t *bytes)
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
		b->iov[n].iov_base = rte_pktmbuf_mtod_offset(at->m, void *, at->off);
		b->iov[n++].iov_len = take;
		at->off += take;
		total += take;
	}
	*bytes = total;
	return n;
}

/** The socket has not taken all. */
static void
sent_short(struct bridge *b, struct bridge_rec *r)
{
	bridge_count(b, BRIDGE_COUNT_SEND_SHORT, 1);
	r->flags |= REC_SHORT | REC_ASK;
}

/** Send what is gathered. @return false: the rest is not to be sent */
static bool
send_gathered(struct bridge *b, struct bridge_rec *r, uint32_t n_iov, uint32_t bytes)
{
	const struct msghdr msg = { .msg_iov = b->iov, .msg_iovlen = n_iov };
	const ssize_t n = sendmsg(r->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);

	bridge_count(b, BRIDGE_COUNT_SEND_CALLS, 1);
	if (unlikely(n < 0)) {
		if (errno == EAGAIN || errno == EINTR || errno == ENOBUFS)
			sent_short(b, r);
		else
			bridge_rec_fail_io(b, r, errno);
		return false;
	}
	bridge_count(b, BRIDGE_COUNT_SEND_BYTES, (uint64_t)n);
	r->taken += (uint64_t)n;
	r->used += (uint32_t)n + SEND_OVERHEAD;
	if (likely((uint32_t)n == bytes))
		return true;
	sent_short(b, r);
	return false;
}

/** Gather what is in order, send it. @return false: what follows is not to be sent */
static bool
send_ops(struct bridge *b, struct bridge_rec *r, const struct l4x_op *ops, unsigned int n)
{
	uint64_t next = r->taken;
	uint32_t n_iov = 0, gathered = 0;
	unsigned int i;

	for (i = 0; i < n; i++) {
		const uint64_t end = ops[i].send.off + ops[i].len;
		struct bridge_cursor at = { .m = ops[i].send.m };

		if (ops[i].send.off > next) {
			r->flags |= REC_SHORT;
			continue;
		}
		at.off = (uint32_t)RTE_MIN(next - ops[i].send.off, (uint64_t)UINT32_MAX);
		while (next < end) {
			uint32_t bytes = (uint32_t)(end - next);

			n_iov = bridge_iov_add(b, n_iov, &at, &bytes);
			gathered += bytes;
			next += bytes;
			if (bytes == 0 && n_iov < BRIDGE_IOV)
				break; /* the chain is shorter than it says */
			if (n_iov < BRIDGE_IOV)
				continue;
			if (!send_gathered(b, r, n_iov, gathered))
				return false;
			n_iov = gathered = 0;
		}
	}
	return n_iov == 0 || send_gathered(b, r, n_iov, gathered);
}

void
bridge_tcp_send(struct bridge *b, struct bridge_rec *r, const struct l4x_op *ops, unsigned int n)
{
	unsigned int i;

	if (likely(!(r->flags & (REC_SHUT_DONE | REC_DYING))))
		send_ops(b, r, ops, n);
	for (i = 0; i < n; i++)
		rte_pktmbuf_free(ops[i].send.m);
	if (unlikely(r->kind != BRIDGE_STREAM))
		return;
	if (unlikely(r->flags & REC_SHUT_WANTED && (uint32_t)r->taken == r->shut_off))
		bridge_tcp_shut(b, r, r->taken);
	if (likely(r->kind == BRIDGE_STREAM))
		bridge_due(b, r, REC_DUE_SENT);
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

static void
ask(struct bridge *b, struct bridge_rec *r)
{
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
