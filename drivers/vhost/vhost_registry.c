/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which port a callback of librte_vhost is about. Its callbacks carry nothing but a device number
 * and, by it, the socket's path; so the process needs one table of paths and numbers.
 */
#include "vhost_priv.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
static struct vhost_port *ports[RTE_MAX_VHOST_DEVICE];
static struct vhost_conn *conns[RTE_MAX_VHOST_DEVICE];

int
vhost_registry_add(struct vhost_port *port)
{
	struct vhost_port **room = NULL;
	int ret = 0;

	pthread_mutex_lock(&registry_lock);
	for (unsigned int i = 0; i < RTE_DIM(ports); i++) {
		if (ports[i] == NULL) {
			if (room == NULL)
				room = &ports[i];
		} else if (strcmp(ports[i]->base.conf.path, port->base.conf.path) == 0) {
			ret = -EADDRINUSE;
		}
	}
	if (ret == 0 && room == NULL)
		ret = -ENOSPC;
	if (ret == 0)
		*room = port;
	pthread_mutex_unlock(&registry_lock);
	return ret;
}

void
vhost_registry_remove(struct vhost_port *port)
{
	pthread_mutex_lock(&registry_lock);
	for (unsigned int i = 0; i < RTE_DIM(ports); i++) {
		if (ports[i] == port)
			ports[i] = NULL;
	}
	pthread_mutex_unlock(&registry_lock);
}

void
vhost_registry_set(int vid, struct vhost_conn *conn)
{
	if (vid < 0 || vid >= RTE_MAX_VHOST_DEVICE)
		return;
	pthread_mutex_lock(&registry_lock);
	conns[vid] = conn;
	pthread_mutex_unlock(&registry_lock);
}

struct vhost_conn *
vhost_registry_pop(struct vhost_port *port)
{
	struct vhost_conn *found = NULL;

	pthread_mutex_lock(&registry_lock);
	for (unsigned int i = 0; i < RTE_DIM(conns) && !found; i++) {
		if (conns[i] && conns[i]->port == port) {
			found = conns[i];
			conns[i] = NULL;
		}
	}
	pthread_mutex_unlock(&registry_lock);
	return found;
}

/*
 * The port found outlives the lock: a port is freed only after rte_vhost_driver_unregister(), which
 * waits for callbacks to return.
 */
struct vhost_port *
vhost_port_get(int vid)
{
	struct vhost_port *found = NULL;
	char path[PATH_MAX];

	if (rte_vhost_get_ifname(vid, path, sizeof(path)) != 0)
		return NULL;
	pthread_mutex_lock(&registry_lock);
	for (unsigned int i = 0; i < RTE_DIM(ports) && !found; i++) {
		if (ports[i] && strcmp(ports[i]->base.conf.path, path) == 0)
			found = ports[i];
	}
	pthread_mutex_unlock(&registry_lock);
	if (found)
		pthread_mutex_lock(&found->base.lock);
	return found;
}

void
vhost_port_put(struct vhost_port *port)
{
	pthread_mutex_unlock(&port->base.lock);
}

struct vhost_conn *
vhost_conn_get(int vid)
{
	struct vhost_conn *conn = NULL;

	if (vid < 0 || vid >= RTE_MAX_VHOST_DEVICE)
		return NULL;
	pthread_mutex_lock(&registry_lock);
	conn = conns[vid];
	pthread_mutex_unlock(&registry_lock);
	if (conn)
		pthread_mutex_lock(&conn->port->base.lock);
	return conn;
}

void
vhost_conn_put(struct vhost_conn *conn)
{
	pthread_mutex_unlock(&conn->port->base.lock);
}
