/* SPDX-License-Identifier: BSD-3-Clause */
/* From librte_vhost's rings to a session of ours, and back. */
#include "vhost_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_ether.h>

#ifndef VIRTIO_F_VERSION_1
#define VIRTIO_F_VERSION_1 32
#endif

/** Own copy of an eventfd, -1: it is none. */
static int
dup_eventfd(int fd)
{
	char path[64], target[64];
	ssize_t len;

	if (fd < 0)
		return -1;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	len = readlink(path, target, sizeof(target) - 1);
	if (len < 0)
		return -1;
	target[len] = '\0';
	/* A pipe or socket in its place could block us, or raise SIGPIPE. */
	if (strcmp(target, "anon_inode:[eventfd]") != 0)
		return -1;
	return fcntl(fd, F_DUPFD_CLOEXEC, 0);
}

int
vhost_dup_call_fd(int fd)
{
	int copy;

	if (fd < 0)
		return -1;
	copy = dup_eventfd(fd);
	return copy < 0 ? VRING_BAD_FD : copy;
}

static void
session_free(struct vport_session *base)
{
	struct vhost_session *s = (struct vhost_session *)base;

	vring_fini(&s->rx);
	vring_fini(&s->tx);
	guestmem_unref(s->mem);
	guestlog_unref(s->log);
	free(s);
}

/** Where the three parts lie for us: wholly inside one region each, and aligned (2.7). */
static int
locate(struct vhost_ring *r, const struct guestmem *mem, const struct rte_vhost_vring *v)
{
	const uint64_t event = r->event_idx ? sizeof(uint16_t) : 0;
	const uint64_t avail = sizeof(struct vring_avail) + v->size * sizeof(uint16_t) + event;
	const uint64_t used =
		sizeof(struct vring_used) + v->size * sizeof(struct vring_used_elem) + event;

	r->desc = guestmem_from_lib(mem, v->desc, v->size * sizeof(struct vring_desc));
	r->avail = guestmem_from_lib(mem, v->avail, avail);
	r->used = guestmem_from_lib(mem, v->used, used);
	if (!r->desc || !r->avail || !r->used)
		return -EFAULT;
	if ((uintptr_t)r->desc % 16 || (uintptr_t)r->avail % 2 || (uintptr_t)r->used % 4)
		return -EFAULT;
	return 0;
}

static int
fill_ring(struct vhost_conn *conn, struct vhost_session *s, struct vhost_ring *r, uint16_t index)
{
	struct rte_vhost_vring v;
	int ret;

	if (rte_vhost_get_vhost_vring(conn->vid, index, &v) != 0 ||
		rte_vhost_get_vring_base(conn->vid, index, &r->last_avail, &r->used_next) != 0)
		return -ENODEV;
	if (v.size == 0 || v.size > VRING_MAX_SIZE || (v.size & (v.size - 1)))
		return -EINVAL;
	r->event_idx = s->features & VNET_F(VIRTIO_RING_F_EVENT_IDX);
	r->indirect = s->features & VNET_F(VIRTIO_RING_F_INDIRECT_DESC);
	r->size = v.size;
	r->mem = s->mem;
	r->log = s->log;
	r->used_gpa = v.log_guest_addr;
	ret = locate(r, s->mem, &v);
	if (ret != 0)
		return ret;
	r->kick_fd = dup_eventfd(v.kickfd);
	r->call_fd = vhost_dup_call_fd(v.callfd);
	return vring_alloc(r);
}

/** Mbufs of the pool with room for a frame of this guest's, or for a part of one. */
static uint32_t
pool_segs(const struct vhost_session *s, const struct vport_conf *conf)
{
	const uint32_t room = rte_pktmbuf_data_room_size(conf->pool);
	const uint32_t frame = s->offloads & (VPORT_OFFLOAD_TSO4 | VPORT_OFFLOAD_TSO6)
		? 65535
		: RTE_MAX((uint32_t)conf->mtu, 1500u);

	if (s->mergeable)
		return 1;
	return (RTE_PKTMBUF_HEADROOM + RTE_ETHER_HDR_LEN + frame + room - 1) / room;
}

/** Never called: a reference is ours. */
static void
pool_lent_freed(void *addr, void *opaque)
{
}

void
vhost_session_limit(struct vhost_session *s, const struct vport_conf *conf)
{
	s->offloads = vnet_offloads(s->features);
	s->hdr_bytes = vnet_hdr_bytes(s->features);
	s->mergeable = s->features & VNET_F(VIRTIO_NET_F_MRG_RXBUF);
	/* What is lent is written to without our knowing where: not while writes are logged. */
	s->lendable = s->log == NULL;
	s->pool_segs = pool_segs(s, conf);
	s->pool_lent.free_cb = pool_lent_freed;
	rte_mbuf_ext_refcnt_set(&s->pool_lent, 1);
}

struct vhost_session *
vhost_session_make(struct vhost_conn *conn, uint16_t pair)
{
	struct vport *vp = &conn->port->base;
	struct vhost_session *s = vport_lines_zalloc(sizeof(*s));
	int ret;

	if (s == NULL) {
		vport_note(vp, "queue %u stopped: no memory", pair);
		return NULL;
	}
	s->base.free = session_free;
	s->features = conn->features;
	s->mem = guestmem_ref(conn->mem);
	if (conn->features & VNET_F(VHOST_F_LOG_ALL))
		s->log = guestlog_ref(conn->log);
	s->rx.write = true;
	s->rx.kick_fd = s->rx.call_fd = s->tx.kick_fd = s->tx.call_fd = -1;
	atomic_init(&s->rx.next_call_fd, VRING_NO_FD);
	atomic_init(&s->tx.next_call_fd, VRING_NO_FD);
	vhost_session_limit(s, &vp->conf);
	ret = fill_ring(conn, s, &s->rx, VHOST_GUEST_RX(pair));
	if (ret == 0)
		ret = fill_ring(conn, s, &s->tx, VHOST_GUEST_TX(pair));
	if (ret == -ENOMEM || ret == -ENODEV) {
		vport_note(vp, "queue %u stopped: %s", pair, strerror(-ret));
		session_free(&s->base);
		return NULL;
	}
	if (ret != 0)
		s->unusable = VPORT_COUNT_RING_BAD_ADDR;
	return s;
}

void
vhost_session_return(struct vhost_conn *conn, uint16_t pair, struct vhost_session *s)
{
	if (!s->unusable) {
		rte_vhost_set_vring_base(
			conn->vid, VHOST_GUEST_RX(pair), s->rx.last_avail, s->rx.used_next);
		rte_vhost_set_vring_base(
			conn->vid, VHOST_GUEST_TX(pair), s->tx.last_avail, s->tx.used_next);
	}
	session_free(&s->base);
}
