/* SPDX-License-Identifier: BSD-3-Clause */
/* The ethdev kind of port: any DPDK port behind the same functions, copying. */
#include "vport_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>

#include "vnet.h"

#define ETH_DESCRIPTORS 512
#define TX_CHECKSUMS (RTE_MBUF_F_TX_IP_CKSUM | RTE_MBUF_F_TX_L4_MASK)

struct eth_port {
	struct vport base;
	uint16_t id;
	bool plugged; /**< by us: unplug it */
	char device[RTE_DEV_NAME_MAX_LEN];
	uint64_t software; /**< RTE_MBUF_F_TX_*: checksums that the device does not compute */
	bool linear;       /**< the device takes no chained frames */
};

static struct eth_port *
port_of(const struct vport_queue *q)
{
	return (struct eth_port *)q->vp;
}

/* ---- the worker ---- */

static bool
eth_begin(struct vport_queue *q, struct vport_session *s)
{
	return true;
}

static void
eth_nothing(struct vport_queue *q)
{
}

/* Frames in other hands are mbufs of the pools: nothing is waited for. */
static bool
eth_end(struct vport_queue *q)
{
	return true;
}

/** A frame whose front is in several pieces: the front must be in one. NULL: no mbuf. */
static struct rte_mbuf *
gather_front(struct vport_queue *q, struct rte_mbuf *m)
{
	struct rte_mbuf *whole = rte_pktmbuf_copy(m, q->vp->conf.pool, 0, UINT32_MAX);

	if (whole)
		whole->ol_flags = m->ol_flags;
	else
		vport_count(q, VPORT_COUNT_RX_NO_MBUF, 1);
	rte_pktmbuf_free(m);
	return whole;
}

static uint16_t
eth_rx_burst(struct vport_queue *q, struct rte_mbuf **frames, uint16_t n)
{
	const uint64_t known = RTE_MBUF_F_RX_L4_CKSUM_MASK;
	const uint16_t got = rte_eth_rx_burst(port_of(q)->id, q->index, frames, n);
	uint16_t kept = 0;
	uint64_t bytes = 0;

	for (uint16_t i = 0; i < got; i++) {
		struct rte_mbuf *m = frames[i];

		if (m->data_len < RTE_MIN(m->pkt_len, (uint32_t)VPORT_HEAD_BYTES))
			m = gather_front(q, m);
		if (m == NULL)
			continue;
		/* A checksum that the device calls bad is looked at again by whoever reads it. */
		if ((m->ol_flags & known) == RTE_MBUF_F_RX_L4_CKSUM_BAD)
			m->ol_flags &= ~known;
		m->tso_segsz = m->ol_flags & RTE_MBUF_F_RX_LRO ? m->tso_segsz : 0;
		bytes += m->pkt_len;
		frames[kept++] = m;
	}
	if (kept) {
		vport_count(q, VPORT_COUNT_RX_PKTS, kept);
		vport_count(q, VPORT_COUNT_RX_BYTES, bytes);
	}
	return kept;
}

/** Make a frame fit the device. False: it cannot be. */
static bool
prepare(const struct eth_port *p, struct rte_mbuf *m)
{
	if (m->ol_flags & RTE_MBUF_F_TX_TCP_SEG)
		return false;
	if ((m->ol_flags & p->software) && !vnet_checksum(m, p->software))
		return false;
	return !p->linear || m->nb_segs == 1 || rte_pktmbuf_linearize(m) == 0;
}

static uint16_t
eth_tx_burst(struct vport_queue *q, struct rte_mbuf **frames, uint16_t n)
{
	const struct eth_port *p = port_of(q);
	uint16_t done = 0;

	while (done < n) {
		struct rte_mbuf *m = frames[done];
		const uint32_t bytes = m->pkt_len;

		if (!prepare(p, m) || rte_eth_tx_prepare(p->id, q->index, &m, 1) != 1) {
			vport_count(q, VPORT_COUNT_TX_TOO_BIG, 1);
			rte_pktmbuf_free(m);
		} else if (rte_eth_tx_burst(p->id, q->index, &m, 1) == 1) {
			vport_count(q, VPORT_COUNT_TX_PKTS, 1);
			vport_count(q, VPORT_COUNT_TX_BYTES, bytes);
		} else {
			vport_count(q, VPORT_COUNT_TX_NO_BUFFER, n - done);
			break;
		}
		done++;
	}
	return done;
}

static uint16_t
eth_lend(struct vport_queue *q, struct rte_mbuf **bufs, uint16_t n)
{
	uint16_t i;

	for (i = 0; i < n; i++) {
		bufs[i] = rte_pktmbuf_alloc(q->vp->conf.pool);
		if (bufs[i] == NULL) {
			vport_count(q, VPORT_COUNT_RX_NO_MBUF, 1);
			break;
		}
	}
	return i;
}

static bool
eth_mergeable(const struct vport_queue *q)
{
	return true;
}

static bool
eth_arm(struct vport_queue *q)
{
	return false;
}

static int
eth_kick_fd(const struct vport_queue *q, bool guest_tx)
{
	return -1;
}

static bool
eth_must_poll(const struct vport_queue *q)
{
	return true;
}

/* ---- the port ---- */

static void
session_free(struct vport_session *s)
{
	free(s);
}

static int
offer_all(struct vport *vp)
{
	for (uint16_t i = 0; i < vp->conf.n_queues; i++) {
		struct vport_session *s = calloc(1, sizeof(*s));

		if (s == NULL)
			return -ENOMEM;
		s->free = session_free;
		vport_session_offer(vp->queues[i], s);
	}
	return 0;
}

static void
recall_all(struct vport *vp)
{
	const uint64_t deadline_ms = vport_session_deadline_ms();

	for (uint16_t i = 0; i < vp->conf.n_queues; i++)
		vport_session_ask(vp->queues[i]);
	for (uint16_t i = 0; i < vp->conf.n_queues; i++)
		free(vport_session_recall(vp->queues[i], deadline_ms));
}

static int
eth_start(struct vport *vp, char *err, size_t err_size)
{
	struct eth_port *p = (struct eth_port *)vp;
	int ret = rte_eth_dev_start(p->id);

	if (ret < 0)
		return vport_err(err, err_size, -ret, "%s: the device does not start: %s",
			vp->conf.path, strerror(-ret));
	/* Some devices have no such mode, and take all frames anyway. */
	rte_eth_promiscuous_enable(p->id);
	pthread_mutex_lock(&vp->lock);
	ret = offer_all(vp);
	if (ret != 0)
		recall_all(vp);
	pthread_mutex_unlock(&vp->lock);
	if (ret != 0) {
		rte_eth_dev_stop(p->id);
		return vport_err(err, err_size, -ret, "%s: no memory", vp->conf.path);
	}
	vport_note(vp, "device %s started", p->device);
	return 0;
}

static void
eth_stop(struct vport *vp)
{
	struct eth_port *p = (struct eth_port *)vp;

	pthread_mutex_lock(&vp->lock);
	recall_all(vp);
	pthread_mutex_unlock(&vp->lock);
	/* A worker that has not let go may still be inside the driver. */
	if (vp->started && atomic_load_explicit(&vp->kept, memory_order_acquire) == 0)
		rte_eth_dev_stop(p->id);
}

static void
eth_fini(struct vport *vp)
{
	struct eth_port *p = (struct eth_port *)vp;

	if (p->id == RTE_MAX_ETHPORTS || atomic_load_explicit(&vp->kept, memory_order_acquire))
		return;
	rte_eth_dev_close(p->id);
	if (p->plugged)
		rte_eal_hotplug_remove("vdev", p->device);
}

static void
eth_info(const struct vport *vp, struct vport_info *info)
{
	info->connected = vp->started && !vp->dying;
	info->features = 0;
	info->offloads = 0;
	info->n_queues = (uint16_t)atomic_load_explicit(&vp->live, memory_order_relaxed);
	info->guest_node = -1;
}

static const struct vport_ops eth_port_ops = {
	.start = eth_start,
	.stop = eth_stop,
	.fini = eth_fini,
	.info = eth_info,
	.begin = eth_begin,
	.refresh = eth_nothing,
	.end = eth_end,
	.rx_burst = eth_rx_burst,
	.tx_burst = eth_tx_burst,
	.lend = eth_lend,
	.mergeable = eth_mergeable,
	.flush = eth_nothing,
	.arm = eth_arm,
	.disarm = eth_nothing,
	.kick_fd = eth_kick_fd,
	.must_poll = eth_must_poll,
};

/** A port that is there, or a virtual device to be made: "net_tap0,iface=x". */
static int
find_device(struct eth_port *p, char *err, size_t err_size)
{
	const char *path = p->base.conf.path;
	const char *comma = strchr(path, ',');
	const size_t len = comma ? (size_t)(comma - path) : strlen(path);
	int ret;

	p->id = RTE_MAX_ETHPORTS;
	if (len >= sizeof(p->device))
		return vport_err(err, err_size, ENAMETOOLONG, "%s: too long a name", path);
	memcpy(p->device, path, len);
	p->device[len] = '\0';
	if (rte_eth_dev_get_port_by_name(p->device, &p->id) == 0)
		return 0;
	ret = rte_eal_hotplug_add("vdev", p->device, comma ? comma + 1 : "");
	if (ret != 0)
		return vport_err(err, err_size, ENODEV,
			"%s: there is no such DPDK port, and none could be made: %s", path,
			strerror(ret < 0 ? -ret : EIO));
	p->plugged = true;
	if (rte_eth_dev_get_port_by_name(p->device, &p->id) == 0)
		return 0;
	rte_eal_hotplug_remove("vdev", p->device);
	p->plugged = false;
	p->id = RTE_MAX_ETHPORTS;
	return vport_err(err, err_size, ENODEV, "%s: the device made no port", path);
}

static int
set_up_queues(struct eth_port *p, struct rte_eth_dev_info *info)
{
	const struct vport_conf *conf = &p->base.conf;
	uint16_t n_rx = ETH_DESCRIPTORS, n_tx = ETH_DESCRIPTORS;
	int ret = rte_eth_dev_adjust_nb_rx_tx_desc(p->id, &n_rx, &n_tx);

	for (uint16_t i = 0; ret == 0 && i < conf->n_queues; i++) {
		ret = rte_eth_rx_queue_setup(
			p->id, i, n_rx, (unsigned int)conf->socket_id, NULL, conf->pool);
		if (ret == 0)
			ret = rte_eth_tx_queue_setup(
				p->id, i, n_tx, (unsigned int)conf->socket_id, NULL);
	}
	return ret;
}

static int
configure(struct eth_port *p, char *err, size_t err_size)
{
	const uint16_t n = p->base.conf.n_queues;
	const char *path = p->base.conf.path;
	struct rte_eth_conf conf = { 0 };
	struct rte_eth_dev_info info;
	uint64_t capa;
	int ret = rte_eth_dev_info_get(p->id, &info);

	if (ret == 0 && (n > info.max_rx_queues || n > info.max_tx_queues))
		return vport_err(err, err_size, EINVAL, "%s: %u queue pairs; the device has %u",
			path, n, RTE_MIN(info.max_rx_queues, info.max_tx_queues));
	capa = ret == 0 ? info.tx_offload_capa : 0;
	conf.txmode.offloads = capa &
		(RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_TCP_CKSUM |
			RTE_ETH_TX_OFFLOAD_UDP_CKSUM | RTE_ETH_TX_OFFLOAD_MULTI_SEGS);
	p->linear = !(capa & RTE_ETH_TX_OFFLOAD_MULTI_SEGS);
	p->software = TX_CHECKSUMS;
	/* The two kinds of L4 checksum share a field of flags: both by the device, or both here. */
	if ((capa & RTE_ETH_TX_OFFLOAD_TCP_CKSUM) && (capa & RTE_ETH_TX_OFFLOAD_UDP_CKSUM))
		p->software &= ~RTE_MBUF_F_TX_L4_MASK;
	if (capa & RTE_ETH_TX_OFFLOAD_IPV4_CKSUM)
		p->software &= ~RTE_MBUF_F_TX_IP_CKSUM;
	if (ret == 0)
		ret = rte_eth_dev_configure(p->id, n, n, &conf);
	if (ret == 0)
		ret = set_up_queues(p, &info);
	if (ret != 0)
		return vport_err(err, err_size, ret < 0 ? -ret : EIO,
			"%s: the device cannot be configured: %s", path,
			strerror(ret < 0 ? -ret : EIO));
	return 0;
}

struct vport *
eth_port_create(const struct vport_conf *conf, char *err, size_t err_size)
{
	struct eth_port *p = vport_lines_zalloc(sizeof(*p));
	int ret;

	if (p == NULL || vport_init(&p->base, conf, &eth_port_ops) != 0) {
		ret = vport_err(err, err_size, ENOMEM, "%s: no memory", conf->path);
		goto fail;
	}
	ret = find_device(p, err, err_size);
	if (ret == 0)
		ret = configure(p, err, err_size);
	if (ret == 0)
		return &p->base;
	if (p->id != RTE_MAX_ETHPORTS)
		eth_fini(&p->base);
fail:
	if (p)
		vport_fini(&p->base);
	rte_errno = -ret;
	return NULL;
}
