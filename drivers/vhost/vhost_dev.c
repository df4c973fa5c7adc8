/* SPDX-License-Identifier: BSD-3-Clause */
/* The vhost-user port: made, started, stopped; and librte_vhost's callbacks. */
#include "vhost_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <numaif.h>

#include <rte_errno.h>

#include "vhost_bell.h"
#include "vhost_close.h"
#include "vhost_msg.h"

#ifndef VIRTIO_F_VERSION_1
#define VIRTIO_F_VERSION_1 32
#endif

#define FEATURES                                                                        \
	(VNET_F(VIRTIO_F_VERSION_1) | VNET_F(VIRTIO_F_ANY_LAYOUT) |                     \
		VNET_F(VIRTIO_RING_F_INDIRECT_DESC) | VNET_F(VIRTIO_RING_F_EVENT_IDX) | \
		VNET_F(VHOST_USER_F_PROTOCOL_FEATURES) | VNET_F(VHOST_F_LOG_ALL) |      \
		VNET_F(VIRTIO_NET_F_MRG_RXBUF) | VNET_F(VIRTIO_NET_F_CSUM) |            \
		VNET_F(VIRTIO_NET_F_GUEST_CSUM) | VNET_F(VIRTIO_NET_F_HOST_TSO4) |      \
		VNET_F(VIRTIO_NET_F_HOST_TSO6) | VNET_F(VIRTIO_NET_F_HOST_ECN) |        \
		VNET_F(VIRTIO_NET_F_GUEST_TSO4) | VNET_F(VIRTIO_NET_F_GUEST_TSO6) |     \
		VNET_F(VIRTIO_NET_F_GUEST_ECN) | VNET_F(VIRTIO_NET_F_MQ) |              \
		VNET_F(VIRTIO_NET_F_CTRL_VQ) | VNET_F(VIRTIO_NET_F_CTRL_RX) |           \
		VNET_F(VIRTIO_NET_F_MTU) | VNET_F(VIRTIO_NET_F_STATUS) |                \
		VNET_F(VIRTIO_NET_F_GUEST_ANNOUNCE))

#define PROTOCOL_FEATURES                                                             \
	(VNET_F(VHOST_USER_PROTOCOL_F_MQ) | VNET_F(VHOST_USER_PROTOCOL_F_LOG_SHMFD) | \
		VNET_F(VHOST_USER_PROTOCOL_F_REPLY_ACK) | VNET_F(VHOST_USER_PROTOCOL_F_NET_MTU))

static bool
is_server(const struct vhost_port *port)
{
	return port->base.conf.kind == VPORT_VHOST_SERVER;
}

static void
update_info(struct vhost_port *port)
{
	const struct vhost_conn *conn = port->conn;

	atomic_store_explicit(&port->features, conn ? conn->features : 0, memory_order_relaxed);
	atomic_store_explicit(&port->connected, conn && conn->announced, memory_order_relaxed);
}

/* ---- queue pairs to and from the workers ---- */

/** @return false: the worker has it still */
static bool
recall(struct vhost_conn *conn, uint16_t pair, uint64_t deadline_ms)
{
	struct vport_queue *q = conn->port->base.queues[pair];
	const bool had = q->mine != NULL;
	struct vport_session *s = vport_session_recall(q, deadline_ms);

	if (s)
		vhost_session_return(conn, pair, (struct vhost_session *)s);
	return s || !had;
}

/**
 * Nobody knows what the worker has taken and not returned: the pair is not handed out again before
 * it is set up anew. The front-end is told the index up to which the guest has seen the ring.
 */
static void
give_up(struct vhost_conn *conn, uint16_t pair)
{
	struct vport_queue *q = conn->port->base.queues[pair];
	struct rte_vhost_vring v;

	atomic_store_explicit(&q->broken, true, memory_order_relaxed);
	for (uint16_t ring = VHOST_GUEST_RX(pair); ring <= VHOST_GUEST_TX(pair); ring++) {
		uint16_t used;

		if (rte_vhost_get_vhost_vring(conn->vid, ring, &v) != 0 || v.used == NULL)
			continue;
		used = __atomic_load_n(&v.used->idx, __ATOMIC_RELAXED);
		rte_vhost_set_vring_base(conn->vid, ring, used, used);
	}
}

bool
vhost_take_back(struct vhost_conn *conn, uint16_t pair)
{
	if (conn->port->conn != conn || recall(conn, pair, vport_session_deadline_ms()))
		return true;
	give_up(conn, pair);
	return false;
}

static void
ask_all(struct vhost_port *port)
{
	for (uint16_t i = 0; i < port->base.conf.n_queues; i++)
		vport_session_ask(port->base.queues[i]);
}

void
vhost_take_back_all(struct vhost_conn *conn)
{
	const uint64_t deadline_ms = vport_session_deadline_ms();

	if (conn->port->conn != conn)
		return;
	ask_all(conn->port);
	for (uint16_t i = 0; i < conn->port->base.conf.n_queues; i++) {
		if (!recall(conn, i, deadline_ms))
			give_up(conn, i);
	}
}

void
vhost_forgive(struct vhost_conn *conn, uint16_t pair)
{
	if (conn->port->conn == conn)
		atomic_store_explicit(
			&conn->port->base.queues[pair]->broken, false, memory_order_relaxed);
}

static void
announce(struct vhost_conn *conn, const struct vhost_session *s)
{
	int node = -1;

	if (conn->announced)
		return;
	conn->announced = true;
	vport_note(&conn->port->base, "connected, features 0x%llx",
		(unsigned long long)conn->features);
	if (!s->unusable &&
		get_mempolicy(&node, NULL, 0, (void *)(uintptr_t)s->rx.desc,
			MPOL_F_NODE | MPOL_F_ADDR) != 0)
		node = -1;
	atomic_store_explicit(&conn->port->guest_node, node, memory_order_relaxed);
}

void
vhost_hand_out(struct vhost_conn *conn, uint16_t pair)
{
	struct vhost_port *port = conn->port;
	struct vport_queue *q = port->base.queues[pair];
	struct vhost_session *s;

	if (port->conn != conn || port->base.dying || q->mine ||
		!conn->ready[VHOST_GUEST_RX(pair)] || !conn->ready[VHOST_GUEST_TX(pair)] ||
		atomic_load_explicit(&q->broken, memory_order_acquire) || !conn->have_mem)
		return;
	s = vhost_session_make(conn, pair);
	if (s == NULL)
		return;
	announce(conn, s);
	/* The worker asks for the offloads as soon as it is told to start. */
	update_info(port);
	vport_session_offer(q, &s->base);
}

void
vhost_hand_out_all(struct vhost_conn *conn)
{
	for (uint16_t i = 0; i < conn->port->base.conf.n_queues; i++)
		vhost_hand_out(conn, i);
}

/* ---- librte_vhost's callbacks ---- */

static void
detach(struct vhost_conn *conn)
{
	const uint64_t deadline_ms = vport_session_deadline_ms();
	struct vhost_port *port = conn->port;

	if (port->conn != conn)
		return;
	ask_all(port);
	for (uint16_t i = 0; i < port->base.conf.n_queues; i++) {
		recall(conn, i, deadline_ms);
		vhost_forgive(conn, i);
	}
	if (conn->announced)
		vport_note(&port->base, "left");
	port->conn = NULL;
	update_info(port);
}

static void
conn_free(struct vhost_conn *conn)
{
	vhost_relay_put(conn->relay);
	guestmem_unref(conn->mem);
	guestlog_unref(conn->log);
	free(conn);
}

/** Is there room for a connection? One front-end at a time; one that has gone need not end first.
 */
static bool
make_room(struct vhost_port *port)
{
	if (port->conn && vhost_relay_gone(port->conn->relay))
		detach(port->conn);
	if (port->conn == NULL && !vhost_closer_stuck(port->relays.closer))
		return true;
	vport_count_port(&port->base, VPORT_COUNT_FRONT_REFUSED);
	vport_note(&port->base,
		port->conn ? "a second front-end was refused"
			   : "a front-end was refused: what others sent cannot be closed");
	return false;
}

static struct vhost_conn *
conn_create(struct vhost_port *port, int vid)
{
	const int fd = vhost_sock_find(port->base.conf.path, is_server(port));
	struct vhost_conn *conn = calloc(1, sizeof(*conn));

	if (conn)
		conn->relay = fd >= 0 ? vhost_relay_start(&port->relays, fd) : NULL;
	if (conn && conn->relay) {
		conn->port = port;
		conn->vid = vid;
		return conn;
	}
	vport_count_port(&port->base, VPORT_COUNT_FRONT_REFUSED);
	vport_note(&port->base, "a front-end was refused: %s",
		fd >= 0 ? strerror(errno) : "its socket was not found");
	free(conn);
	return NULL;
}

static int
new_connection(int vid)
{
	struct vhost_port *port = vhost_port_get(vid);
	struct vhost_conn *conn = NULL;

	if (port == NULL)
		return -1;
	if (!port->base.dying && make_room(port))
		conn = conn_create(port, vid);
	if (conn && rte_vhost_extern_callback_register(vid, &vhost_msg_ops, NULL) != 0) {
		conn_free(conn);
		conn = NULL;
	}
	if (conn) {
		port->conn = conn;
		vhost_registry_set(vid, conn);
	}
	vhost_port_put(port);
	return conn ? 0 : -1;
}

static void
destroy_connection(int vid)
{
	struct vhost_conn *conn = vhost_conn_get(vid);

	if (conn == NULL)
		return;
	detach(conn);
	vhost_registry_set(vid, NULL);
	vhost_conn_put(conn);
	conn_free(conn);
}

static int
new_device(int vid)
{
	return 0;
}

static void
destroy_device(int vid)
{
	struct vhost_conn *conn = vhost_conn_get(vid);

	if (conn == NULL)
		return;
	/* One ring's GET_VRING_BASE stops the device for the library, but that ring alone for us.
	 */
	if (conn->request != VHU_GET_VRING_BASE)
		vhost_take_back_all(conn);
	vhost_conn_put(conn);
}

static int
vring_state_changed(int vid, uint16_t ring, int enable)
{
	struct vhost_conn *conn = vhost_conn_get(vid);

	if (conn == NULL)
		return 0;
	if (ring >= 2u * conn->port->base.conf.n_queues)
		goto out;
	if (enable) {
		conn->ready[ring] = true;
		vhost_hand_out(conn, ring / 2);
	} else if (conn->request != VHU_SET_VRING_CALL) {
		conn->ready[ring] = false;
		vhost_take_back(conn, ring / 2);
	}
out:
	vhost_conn_put(conn);
	return 0;
}

const struct rte_vhost_device_ops vhost_device_ops = {
	.new_device = new_device,
	.destroy_device = destroy_device,
	.vring_state_changed = vring_state_changed,
	.new_connection = new_connection,
	.destroy_connection = destroy_connection,
};

/* ---- the port ---- */

static int
port_start(struct vport *vp, char *err, size_t err_size)
{
	const bool server = vp->conf.kind == VPORT_VHOST_SERVER;
	int ret;

	/* It may have come to lie there since the port was made. */
	if (server) {
		ret = vhost_sock_prepare(vp->conf.path, err, err_size);
		if (ret != 0)
			return ret;
	}
	errno = 0;
	if (vhost_bell_driver_start(vp->conf.path) == 0)
		return 0;
	ret = errno ? errno : EIO;
	return vport_err(err, err_size, ret, "%s: cannot %s: %s", vp->conf.path,
		server ? "listen" : "connect", strerror(ret));
}

static void
port_stop(struct vport *vp)
{
	struct vhost_port *port = (struct vhost_port *)vp;
	struct vhost_conn *conn;

	pthread_mutex_lock(&vp->lock);
	if (port->conn)
		detach(port->conn);
	pthread_mutex_unlock(&vp->lock);
	vhost_relays_stop(&port->relays);
	/* Waits for callbacks, which take the lock. */
	if (port->registered)
		vhost_bell_driver_unregister(vp->conf.path);
	port->registered = false;
	vhost_registry_remove(port);
	/* Unregistering ends connections without a word. */
	while ((conn = vhost_registry_pop(port)) != NULL)
		conn_free(conn);
}

static void
port_fini(struct vport *vp)
{
	vhost_relays_fini(&((struct vhost_port *)vp)->relays);
}

static void
port_run(struct vport *vp)
{
	vhost_relays_run(&((struct vhost_port *)vp)->relays);
}

static void
port_info(const struct vport *vp, struct vport_info *info)
{
	const struct vhost_port *port = (const struct vhost_port *)vp;

	info->connected = atomic_load_explicit(&port->connected, memory_order_relaxed);
	info->features = atomic_load_explicit(&port->features, memory_order_relaxed);
	info->offloads = vnet_offloads(info->features);
	info->n_queues = (uint16_t)atomic_load_explicit(&port->base.live, memory_order_relaxed);
	info->guest_node = info->connected
		? atomic_load_explicit(&port->guest_node, memory_order_relaxed)
		: -1;
}

static const struct vport_ops vhost_port_ops = {
	.start = port_start,
	.stop = port_stop,
	.fini = port_fini,
	.run = port_run,
	.info = port_info,
	.begin = vhost_queue_begin,
	.refresh = vhost_queue_refresh,
	.end = vhost_queue_end,
	.rx_burst = vring_rx_burst,
	.tx_burst = vring_tx_burst,
	.lend = vring_lend,
	.mergeable = vhost_queue_mergeable,
	.flush = vhost_queue_flush,
	.arm = vhost_queue_arm,
	.disarm = vhost_queue_disarm,
	.kick_fd = vhost_queue_kick_fd,
	.memory_lost = vhost_queue_memory_lost,
	.must_poll = vhost_queue_must_poll,
};

static int
driver_register(struct vhost_port *port, char *err, size_t err_size)
{
	const struct vport_conf *conf = &port->base.conf;
	const uint64_t flags = conf->kind == VPORT_VHOST_CLIENT ? RTE_VHOST_USER_CLIENT : 0;

	if (rte_vhost_driver_register(conf->path, flags) != 0)
		return vport_err(err, err_size, ENOSPC, "%s: librte_vhost takes no further socket",
			conf->path);
	port->registered = true;
	if (rte_vhost_driver_set_features(conf->path, FEATURES & ~conf->features_off) != 0 ||
		rte_vhost_driver_set_protocol_features(conf->path, PROTOCOL_FEATURES) != 0 ||
		rte_vhost_driver_callback_register(conf->path, &vhost_device_ops) != 0)
		return vport_err(err, err_size, EIO, "%s: librte_vhost refused it", conf->path);
	return 0;
}

static int
check_path(const struct vport_conf *conf, char *err, size_t err_size)
{
	if (conf->kind == VPORT_VHOST_SERVER)
		return vhost_sock_prepare(conf->path, err, err_size);
	return vhost_sock_fits(conf->path, err, err_size);
}

struct vport *
vhost_port_create(const struct vport_conf *conf, char *err, size_t err_size)
{
	struct vhost_port *port;
	int ret;

	if (check_path(conf, err, err_size) != 0)
		return NULL;
	port = vport_lines_zalloc(sizeof(*port));
	if (port == NULL) {
		vport_err(err, err_size, ENOMEM, "%s: no memory", conf->path);
		return NULL;
	}
	atomic_init(&port->guest_node, -1);
	ret = vport_init(&port->base, conf, &vhost_port_ops);
	if (ret == 0)
		ret = vhost_relays_init(&port->relays, &port->base);
	if (ret != 0) {
		vport_err(err, err_size, -ret, "%s: %s", conf->path, strerror(-ret));
		vport_fini(&port->base);
		return NULL;
	}
	port->base.fd = port->relays.epoll_fd;
	ret = vhost_registry_add(port);
	if (ret != 0)
		vport_err(err, err_size, -ret, "%s: %s", conf->path,
			ret == -EADDRINUSE ? "another port has this socket" : strerror(-ret));
	else
		ret = driver_register(port, err, err_size);
	if (ret != 0) {
		vport_destroy(&port->base);
		rte_errno = -ret;
		return NULL;
	}
	return &port->base;
}
