/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * UDP and ping sockets: receiving.
 *
 * Each message of a recvmmsg() goes to one lent buffer and, past its end, to a scratch area. A lone
 * datagram that fits is where it belongs then. Of a train (UDP_GRO) the first datagram is, the
 * others are copied to further buffers. What fits no lent buffer is copied to mbufs of the pool.
 */
#include "bridge_priv.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <string.h>

#ifndef UDP_GRO
#define UDP_GRO 104
#endif

/** Messages of the first call; most often there is one datagram. */
#define FIRST_MSGS 4u
/** Datagrams of one train: UDP_MAX_SEGMENTS of Linux. */
#define TRAIN 128
/** Headers in front of a datagram that comes to a listener: Ethernet, IPv6, UDP, rounded up. */
#define LISTEN_HEAD 64

/** Messages under way. */
struct batch {
	struct bridge_lender *bl; /**< NULL: pool only */
	uint32_t n;
	uint32_t used; /**< lent buffers that are used up, those of the messages included */
	uint32_t n_iov;
	uint8_t head_len;
	struct mmsghdr msgs[BRIDGE_DGRAMS];
	uint32_t room[BRIDGE_DGRAMS]; /**< payload bytes in the lent buffer */
	struct sockaddr_storage names[BRIDGE_DGRAMS];
	union {
		char buf[256];
		struct cmsghdr align;
	} control[BRIDGE_DGRAMS];
};

/** What control messages tell of a datagram. */
struct info {
	uint32_t seg; /**< 0: one datagram */
	uint8_t tos, ttl;
	struct flowtab_addr local;
};

/* ---- buffers ---- */

/** Lay the buffer out for a datagram. @return its room for payload; 0: of no use */
static uint32_t
lay_out(struct bridge *b, struct batch *batch, const struct rte_mbuf *head)
{
	const struct rte_mbuf *seg;
	uint32_t room = 0;

	if ((uint32_t)head->data_off + batch->head_len > head->buf_len)
		return 0;
	for (seg = head; seg != NULL && batch->n_iov < BRIDGE_IOV - 1; seg = seg->next) {
		const uint32_t off = seg->data_off + (seg == head ? batch->head_len : 0u);
		const uint32_t len = off < seg->buf_len ? seg->buf_len - off : 0;

		if (len == 0)
			continue;
		b->iov[batch->n_iov].iov_base = (char *)seg->buf_addr + off;
		b->iov[batch->n_iov++].iov_len = len;
		room += len;
	}
	return room;
}

/** The lent buffer holds len bytes of payload now. */
static void
fill_in(struct rte_mbuf *head, uint8_t head_len, uint32_t len)
{
	struct rte_mbuf *seg;
	uint32_t left = len;

	head->data_off += head_len;
	for (seg = head; seg != NULL; seg = seg->next) {
		const uint32_t room = seg->buf_len - seg->data_off;

		seg->data_len = (uint16_t)RTE_MIN(room, left);
		left -= seg->data_len;
	}
	head->pkt_len = len;
}

/** Copy len bytes of a message, from off on. */
static void
copy_out(const struct msghdr *msg, uint32_t off, char *to, uint32_t len)
{
	size_t i;

	for (i = 0; i < msg->msg_iovlen && len != 0; i++) {
		const struct iovec *v = &msg->msg_iov[i];
		uint32_t take;

		if (off >= v->iov_len) {
			off -= (uint32_t)v->iov_len;
			continue;
		}
		take = RTE_MIN((uint32_t)v->iov_len - off, len);
		memcpy(to, (char *)v->iov_base + off, take);
		to += take;
		len -= take;
		off = 0;
	}
}

/** A datagram of a message as a chain of pool mbufs, or NULL. */
static struct rte_mbuf *
copy_to_pool(
	struct bridge *b, const struct msghdr *msg, uint32_t off, uint32_t len, uint8_t head_len)
{
	struct rte_mbuf *first = rte_pktmbuf_alloc(b->p.pool), *m = first, *next;
	uint32_t left = len;

	if (first == NULL || first->data_off + head_len > first->buf_len)
		goto fail;
	first->data_off += head_len;
	for (;;) {
		const uint32_t take = RTE_MIN(left, (uint32_t)rte_pktmbuf_tailroom(m));

		copy_out(msg, off, rte_pktmbuf_mtod(m, char *), take);
		m->data_len = (uint16_t)take;
		off += take;
		left -= take;
		if (left == 0)
			break;
		next = rte_pktmbuf_alloc(b->p.pool);
		if (next == NULL || rte_pktmbuf_tailroom(next) == 0) {
			rte_pktmbuf_free(next);
			goto fail;
		}
		m->next = next;
		m = next;
		first->nb_segs++;
	}
	first->pkt_len = len;
	return first;
fail:
	rte_pktmbuf_free(first);
	bridge_count(b, BRIDGE_COUNT_DGRAM_DROPPED, 1);
	return NULL;
}

/** A datagram of a train that is not the first: to the next lent buffer, or to the pool's. */
static struct rte_mbuf *
copy_on(struct bridge *b, struct batch *batch, const struct msghdr *msg, uint32_t off, uint32_t len)
{
	struct rte_mbuf *head;

	if (batch->bl != NULL && batch->used < batch->bl->count) {
		head = bridge_lender_at(batch->bl, batch->used);
		if ((uint32_t)head->data_off + batch->head_len + len <= head->buf_len) {
			batch->used++;
			fill_in(head, batch->head_len, len);
			copy_out(msg, off, rte_pktmbuf_mtod(head, char *), len);
			return head;
		}
	}
	return copy_to_pool(b, msg, off, len, batch->head_len);
}

/** The first datagram of message i. The lent buffer is used, or freed. */
static struct rte_mbuf *
take_first(struct bridge *b, struct batch *batch, uint32_t i, uint32_t len)
{
	struct rte_mbuf *head, *m;

	if (batch->bl == NULL)
		return copy_to_pool(b, &batch->msgs[i].msg_hdr, 0, len, batch->head_len);
	head = bridge_lender_at(batch->bl, i);
	if (len <= batch->room[i]) {
		fill_in(head, batch->head_len, len);
		return head;
	}
	m = copy_to_pool(b, &batch->msgs[i].msg_hdr, 0, len, batch->head_len);
	rte_pktmbuf_free(head);
	return m;
}

/* ---- messages ---- */

static void
batch_add(struct bridge *b, struct batch *batch, bool name)
{
	const uint32_t i = batch->n, first = batch->n_iov;
	struct msghdr *msg = &batch->msgs[i].msg_hdr;

	memset(msg, 0, sizeof(*msg));
	batch->room[i] = 0;
	if (batch->bl != NULL)
		batch->room[i] = lay_out(b, batch, bridge_lender_at(batch->bl, i));
	b->iov[batch->n_iov].iov_base = b->scratch + (size_t)i * BRIDGE_MSG_BYTES;
	b->iov[batch->n_iov++].iov_len = BRIDGE_MSG_BYTES;
	msg->msg_iov = &b->iov[first];
	msg->msg_iovlen = batch->n_iov - first;
	msg->msg_control = batch->control[i].buf;
	msg->msg_controllen = sizeof(batch->control[i].buf);
	if (name) {
		msg->msg_name = &batch->names[i];
		msg->msg_namelen = sizeof(batch->names[i]);
	}
	batch->n++;
}

static void
read_control_v4(const struct cmsghdr *c, struct info *info)
{
	const uint8_t *data = CMSG_DATA(c);
	struct in_pktinfo pkt;
	int value;

	if (c->cmsg_type == IP_TOS) {
		info->tos = data[0];
	} else if (c->cmsg_type == IP_TTL) {
		memcpy(&value, data, sizeof(value));
		info->ttl = (uint8_t)value;
	} else if (c->cmsg_type == IP_PKTINFO) {
		memcpy(&pkt, data, sizeof(pkt));
		info->local = flowtab_addr_v4(pkt.ipi_spec_dst.s_addr);
	}
}

static void
read_control_v6(const struct cmsghdr *c, struct info *info)
{
	struct in6_pktinfo pkt;
	int value;

	if (c->cmsg_type == IPV6_TCLASS) {
		memcpy(&value, CMSG_DATA(c), sizeof(value));
		info->tos = (uint8_t)value;
	} else if (c->cmsg_type == IPV6_HOPLIMIT) {
		memcpy(&value, CMSG_DATA(c), sizeof(value));
		info->ttl = (uint8_t)value;
	} else if (c->cmsg_type == IPV6_PKTINFO) {
		memcpy(&pkt, CMSG_DATA(c), sizeof(pkt));
		info->local = sock_addr_v6(&pkt.ipi6_addr, pkt.ipi6_ifindex);
	}
}

static void
read_control(struct msghdr *msg, struct info *info)
{
	struct cmsghdr *c;
	int seg;

	memset(info, 0, sizeof(*info));
	for (c = CMSG_FIRSTHDR(msg); c != NULL; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level == IPPROTO_IP) {
			read_control_v4(c, info);
		} else if (c->cmsg_level == IPPROTO_IPV6) {
			read_control_v6(c, info);
		} else if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO) {
			memcpy(&seg, CMSG_DATA(c), sizeof(seg));
			info->seg = seg > 0 ? (uint32_t)seg : 0;
		}
	}
}

/* ---- what comes to a listener, by its own socket or by a flow's ---- */

static void
tell_listen_one(struct bridge *b, const struct l4x_event *e, uint8_t worker, struct rte_mbuf *m)
{
	struct l4x_event *ev;

	if (m == NULL)
		return;
	if (bridge_room(&b->workers[worker]) == 0) {
		rte_pktmbuf_free(m);
		bridge_count(b, BRIDGE_COUNT_DGRAM_DROPPED, 1);
		return;
	}
	ev = bridge_event(b, &b->workers[worker], L4X_EV_LISTEN_DGRAM);
	ev->tos = e->tos;
	ev->ttl = e->ttl;
	ev->len = m->pkt_len;
	ev->accepted = e->accepted;
	ev->accepted.m = m;
}

/** Message i, to the worker whose flow it is or will be. */
static void
tell_listen(struct bridge *b, const struct bridge_listener *l, struct batch *batch, uint32_t i)
{
	const struct l4x_port_conf *conf = b->ports[l->spec.pif].conf;
	const uint32_t len = batch->msgs[i].msg_len;
	struct l4x_event e = { .type = L4X_EV_LISTEN_DGRAM };
	struct msghdr *msg = &batch->msgs[i].msg_hdr;
	struct info info;
	uint32_t off = 0, seg;
	uint8_t worker = UINT8_MAX;

	read_control(msg, &info);
	seg = info.seg != 0 ? info.seg : len;
	e.tos = info.tos;
	e.ttl = info.ttl;
	e.accepted.local = info.local;
	e.accepted.local_port = rte_cpu_to_be_16(l->spec.port);
	e.accepted.guest_port = rte_cpu_to_be_16(l->spec.guest_port);
	e.accepted.pif = l->spec.pif;
	if (conf != NULL &&
		sock_addr_get(&batch->names[i], &e.accepted.peer, &e.accepted.peer_port))
		worker = l4x_steer_inbound(conf, b->p.steer_key, &e, IPPROTO_UDP);
	if (worker >= b->p.n_workers) {
		bridge_count(b, BRIDGE_COUNT_DGRAM_DROPPED, 1);
		return;
	}
	do {
		tell_listen_one(b, &e, worker,
			copy_to_pool(b, msg, off, RTE_MIN(seg, len - off), LISTEN_HEAD));
		off += seg;
	} while (off < len);
}

/* ---- sockets of flows ---- */

static void
tell(struct bridge *b, struct bridge_rec *r, struct rte_mbuf *m, const struct info *info)
{
	struct bridge_worker *w = bridge_rec_worker(b, r);
	struct l4x_event *ev;

	if (m == NULL)
		return;
	if (unlikely(bridge_room(w) == 0)) {
		rte_pktmbuf_free(m);
		bridge_count(b, BRIDGE_COUNT_DGRAM_DROPPED, 1);
		return;
	}
	ev = bridge_event(b, w, L4X_EV_DGRAM);
	ev->flow = r->handle;
	ev->tos = info->tos;
	ev->ttl = info->ttl;
	ev->len = m->pkt_len;
	ev->dgram.m = m;
}

/**
 * Between its bind() and its connect() a socket takes what is for the listener: was message i sent
 * by somebody else than the flow's peer?
 */
static bool
from_other(const struct bridge_rec *r, const struct batch *batch, uint32_t i)
{
	struct flowtab_addr peer;
	rte_be16_t port;

	if (r->dgram.listener == 0)
		return false;
	return !sock_addr_get(&batch->names[i], &peer, &port) || port != r->dgram.peer_port ||
		!flowtab_addr_eq(&peer, &r->dgram.peer);
}

/** Message i of a flow's socket. */
static void
take_message(struct bridge *b, struct bridge_rec *r, struct batch *batch, uint32_t i)
{
	struct msghdr *msg = &batch->msgs[i].msg_hdr;
	const uint32_t len = batch->msgs[i].msg_len;
	struct rte_mbuf *train[TRAIN];
	uint32_t off, seg, n = 1;
	struct info info;

	bridge_count(b, BRIDGE_COUNT_RECV_BYTES, len);
	if (unlikely(from_other(r, batch, i))) {
		tell_listen(b, &b->listeners[r->dgram.listener - 1], batch, i);
		if (batch->bl != NULL)
			rte_pktmbuf_free(bridge_lender_at(batch->bl, i));
		return;
	}
	read_control(msg, &info);
	seg = info.seg != 0 ? info.seg : len;
	/* A train: the others lie behind the first one in its buffer, so they are copied before it
	 * is given away. They are told in order all the same. */
	for (off = seg; off < len && n < TRAIN; off += seg)
		train[n++] = copy_on(b, batch, msg, off, RTE_MIN(seg, len - off));
	train[0] = take_first(b, batch, i, RTE_MIN(seg, len));
	for (off = 0; off < n; off++)
		tell(b, r, train[off], &info);
}

/** One call. @return number of messages; 0: none, or not possible */
static uint32_t
receive(struct bridge *b, struct bridge_rec *r, struct batch *batch, uint32_t max)
{
	int n, i;

	batch->n = batch->n_iov = 0;
	/* An iovec for the scratch area always has to remain. */
	while (batch->n < max && batch->n_iov + 1 < BRIDGE_IOV / 2)
		batch_add(b, batch, r->dgram.listener != 0);
	n = recvmmsg(r->fd, batch->msgs, batch->n, MSG_DONTWAIT, NULL);
	bridge_count(b, BRIDGE_COUNT_RECV_CALLS, 1);
	if (n < 0) {
		if (errno == EAGAIN)
			r->flags &= ~REC_READABLE;
		else if (errno == EFAULT)
			bridge_rec_fail_io(b, r, errno);
		else
			r->flags |=
				REC_ERRQ; /* not the end of it: an ICMP error, told by the queue */
		return 0;
	}
	batch->used = (uint32_t)n;
	for (i = 0; i < n; i++)
		take_message(b, r, batch, (uint32_t)i);
	if (batch->bl != NULL)
		bridge_lender_used(batch->bl, batch->used);
	/* The queue was empty, or else an error came in between, which makes an edge. */
	if ((uint32_t)n < batch->n)
		r->flags &= ~REC_READABLE;
	return (uint32_t)n;
}

unsigned int
bridge_dgram_read(struct bridge *b, struct bridge_rec *r)
{
	struct bridge_worker *w = bridge_rec_worker(b, r);
	unsigned int done = 0, calls;
	struct batch batch;
	uint32_t max, n;

	batch.bl = bridge_rec_lender_in_use(b, r);
	batch.head_len = r->head_len;
	if (r->flags & REC_ERRQ)
		done += bridge_err_read(b, r);
	for (calls = 0; calls < 2 && r->flags & REC_READABLE; calls++) {
		max = RTE_MIN(calls == 0 ? FIRST_MSGS : BRIDGE_DGRAMS, bridge_room(w) / TRAIN);
		if (batch.bl != NULL) {
			const uint32_t have = bridge_lender_fill(batch.bl, r, BRIDGE_DGRAMS);

			if (have == 0) {
				if (!(r->flags & REC_ERRQ))
					bridge_lender_wait(b, r, batch.bl);
				break;
			}
			max = RTE_MIN(max, have);
		}
		if (max == 0)
			break;
		n = receive(b, r, &batch, max);
		done += n;
		if (n < max)
			break;
	}
	if (r->kind != BRIDGE_FAILED && r->flags & (REC_ERRQ | REC_READABLE))
		bridge_ready(b, r);
	return done;
}

/* ---- listeners ---- */

unsigned int
bridge_dgram_listen(struct bridge *b, struct bridge_listener *l)
{
	struct batch batch;
	int n, i;

	batch.bl = NULL;
	batch.n = batch.n_iov = 0;
	while (batch.n < BRIDGE_DGRAMS)
		batch_add(b, &batch, true);
	n = recvmmsg(l->fd, batch.msgs, batch.n, MSG_DONTWAIT, NULL);
	bridge_count(b, BRIDGE_COUNT_RECV_CALLS, 1);
	/* Without RECVERR an unconnected socket has no errors to tell; if it had, the next look
	 * would find what is behind. */
	if (n < (int)batch.n && (n >= 0 || errno == EAGAIN))
		bridge_listener_idle(b, l);
	for (i = 0; i < n; i++) {
		bridge_count(b, BRIDGE_COUNT_RECV_BYTES, batch.msgs[i].msg_len);
		tell_listen(b, l, &batch, (uint32_t)i);
	}
	return n < 0 ? 0 : (unsigned int)n;
}
