/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Socket calls of several flows, carried out together. What goes before a call (laying out its
 * iovecs) and what follows from its result are apart, so that between them all that was gathered
 * can be carried out at once.
 *
 * Calls of one record are carried out in the order in which they were gathered; until they are over
 * it has REC_CALL.
 */
#include "bridge_priv.h"

#include <errno.h>

/** Submissions that may fail in a row, for want of memory. */
#define SUBMIT_TRIES 1000

static int
ring_init(struct io_uring *ring)
{
	/* All are to be submitted, whatever one of them says; none is to interrupt the thread. */
	return io_uring_queue_init(
		BRIDGE_CALLS, ring, IORING_SETUP_SUBMIT_ALL | IORING_SETUP_COOP_TASKRUN);
}

int
bridge_probe_uring(void)
{
	struct io_uring ring;
	const int ret = ring_init(&ring);

	if (ret == 0)
		io_uring_queue_exit(&ring);
	return ret;
}

int
bridge_calls_init(struct bridge *b)
{
	const int ret = b->p.uring ? ring_init(&b->calls->ring) : 0;

	b->calls->together = b->p.uring && ret == 0;
	return ret;
}

void
bridge_calls_fini(struct bridge *b)
{
	if (b->calls->ring.ring_fd > 0)
		io_uring_queue_exit(&b->calls->ring);
}

void
bridge_calls_reserve(struct bridge *b)
{
	struct bridge_calls *cs = b->calls;

	/* A read may consume as well. */
	if (cs->n + 2 > BRIDGE_CALLS || cs->n_iov > RTE_DIM(cs->iov) - BRIDGE_IOV ||
		cs->n_heads > RTE_DIM(cs->heads) - BRIDGE_READ_FRAMES)
		bridge_calls_flush(b);
}

struct bridge_call *
bridge_call_add(struct bridge *b, struct bridge_rec *r, enum bridge_call_kind kind, uint32_t n_iov)
{
	struct bridge_calls *cs = b->calls;
	struct bridge_call *c = &cs->call[cs->n];

	cs->msgs[cs->n++].msg_hdr = (struct msghdr){
		.msg_iov = bridge_calls_iov(b),
		.msg_iovlen = n_iov,
	};
	cs->n_iov += n_iov;
	c->handle = r->handle;
	c->r = r;
	c->fd = r->fd;
	c->kind = (uint8_t)kind;
	r->flags |= REC_CALL;
	return c;
}

static void
count_call(struct bridge *b, uint8_t kind)
{
	static const enum bridge_counter counter[] = {
		[BRIDGE_CALL_SEND] = BRIDGE_COUNT_SEND_CALLS,
		[BRIDGE_CALL_DGRAM] = BRIDGE_COUNT_SEND_CALLS,
		[BRIDGE_CALL_DISCARD] = BRIDGE_COUNT_DISCARD_CALLS,
		[BRIDGE_CALL_PEEK] = BRIDGE_COUNT_RECV_CALLS,
	};

	bridge_count(b, counter[kind], 1);
}

/** Datagrams of one socket. @return calls that are over */
static uint32_t
call_dgrams(struct bridge_calls *cs, uint32_t first)
{
	struct bridge_call *c = &cs->call[first];
	uint32_t n = 1;
	int sent;

	while (first + n < cs->n && c[n].kind == BRIDGE_CALL_DGRAM && c[n].fd == c->fd)
		n++;
	sent = sendmmsg(c->fd, &cs->msgs[first], n, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (sent <= 0) {
		c->ret = -errno;
		return 1;
	}
	for (n = 0; n < (uint32_t)sent; n++)
		c[n].ret = (int)cs->msgs[first + n].msg_len;
	return n;
}

static ssize_t
call_once(struct bridge *b, const struct bridge_call *c, struct msghdr *msg)
{
	switch (c->kind) {
	case BRIDGE_CALL_SEND:
		return sendmsg(c->fd, msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	case BRIDGE_CALL_DISCARD:
		/* Nothing is written; the area is named so that checkers are content. */
		return recv(c->fd, b->scratch, c->bytes, MSG_TRUNC | MSG_DONTWAIT);
	default:
		return recvmsg(c->fd, msg, MSG_PEEK | MSG_DONTWAIT);
	}
}

static void
call_each(struct bridge *b)
{
	struct bridge_calls *cs = b->calls;
	uint32_t i = 0;

	while (i < cs->n) {
		ssize_t n;

		count_call(b, cs->call[i].kind);
		if (cs->call[i].kind == BRIDGE_CALL_DGRAM) {
			i += call_dgrams(cs, i);
			continue;
		}
		n = call_once(b, &cs->call[i], &cs->msgs[i].msg_hdr);
		cs->call[i++].ret = n < 0 ? -errno : (int)n;
	}
}

static void
prepare(struct bridge *b, struct io_uring_sqe *sqe, const struct bridge_call *c, struct msghdr *msg)
{
	const struct iovec *only = msg->msg_iovlen == 1 ? msg->msg_iov : NULL;

	if (c->kind == BRIDGE_CALL_DISCARD)
		io_uring_prep_recv(sqe, c->fd, b->scratch, c->bytes, MSG_TRUNC | MSG_DONTWAIT);
	else if (c->kind == BRIDGE_CALL_SEND && only != NULL)
		io_uring_prep_send(
			sqe, c->fd, only->iov_base, only->iov_len, MSG_DONTWAIT | MSG_NOSIGNAL);
	else if (c->kind != BRIDGE_CALL_PEEK)
		io_uring_prep_sendmsg(sqe, c->fd, msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	else if (only != NULL)
		io_uring_prep_recv(
			sqe, c->fd, only->iov_base, only->iov_len, MSG_PEEK | MSG_DONTWAIT);
	else
		io_uring_prep_recvmsg(sqe, c->fd, msg, MSG_PEEK | MSG_DONTWAIT);
}

/** None of them waits for anything, so all are over when they have been submitted. */
static void
call_together(struct bridge *b)
{
	struct bridge_calls *cs = b->calls;
	uint32_t left = cs->n, tries = SUBMIT_TRIES;

	bridge_count(b, BRIDGE_COUNT_TOGETHER, 1);
	for (uint32_t i = 0; i < cs->n; i++) {
		struct io_uring_sqe *sqe = io_uring_get_sqe(&cs->ring);

		count_call(b, cs->call[i].kind);
		prepare(b, sqe, &cs->call[i], &cs->msgs[i].msg_hdr);
		io_uring_sqe_set_data64(sqe, i);
		cs->call[i].ret = -EIO;
	}
	while (left != 0) {
		struct io_uring_cqe *cqe;
		unsigned int head, n = 0;
		const int ret = io_uring_submit_and_wait(&cs->ring, left);

		if (unlikely(ret < 0 && ret != -EINTR && --tries == 0)) {
			/* The ring is of no use any more, and these sockets' state unknown. */
			cs->together = false;
			return;
		}
		io_uring_for_each_cqe(&cs->ring, head, cqe)
		{
			cs->call[cqe->user_data].ret = cqe->res;
			n++;
		}
		io_uring_cq_advance(&cs->ring, n);
		left -= n;
	}
}

/** What follows from a call. @return events told */
static unsigned int
call_over(struct bridge *b, const struct bridge_call *c, const struct msghdr *msg)
{
	struct bridge_rec *r = c->r;
	/* A call before may have found the socket broken. */
	const bool live = r->handle == c->handle && r->fd == c->fd;

	r->flags &= ~REC_CALL;
	if (c->kind == BRIDGE_CALL_PEEK)
		return bridge_tcp_peeked(b, r, c, live);
	if (unlikely(!live))
		return 0;
	if (c->kind == BRIDGE_CALL_SEND)
		bridge_tcp_sent(b, r, c);
	else if (c->kind == BRIDGE_CALL_DGRAM)
		bridge_dgram_sent(b, r, c, msg);
	else
		bridge_tcp_consumed(b, r, c->ret);
	return 0;
}

unsigned int
bridge_calls_run(struct bridge *b)
{
	struct bridge_calls *cs = b->calls;
	unsigned int told = cs->told;

	cs->told = 0;
	if (cs->n == 0)
		return told;
	if (cs->together && cs->n > 1)
		call_together(b);
	else
		call_each(b);
	for (uint32_t i = 0; i < cs->n; i++)
		told += call_over(b, &cs->call[i], &cs->msgs[i].msg_hdr);
	cs->n = cs->n_iov = cs->n_heads = 0;
	return told;
}
