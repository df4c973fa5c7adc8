/* SPDX-License-Identifier: BSD-3-Clause */
#include "vhu.h"
#include "vhu_priv.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

#define PAGE 4096ul

uint64_t
vhu_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

void
vhu_sleep_ms(unsigned int ms)
{
	struct timespec ts = { ms / 1000, (long)(ms % 1000) * 1000000 };

	nanosleep(&ts, NULL);
}

void
vhu_violate(struct vhu *v, const char *fmt, ...)
{
	va_list ap;

	if (v->violation[0] != '\0')
		return;
	va_start(ap, fmt);
	vsnprintf(v->violation, sizeof(v->violation), fmt, ap);
	va_end(ap);
}

const char *
vhu_violation(const struct vhu *v)
{
	return v->violation[0] != '\0' ? v->violation : NULL;
}

uint64_t
vhu_lost_calls(const struct vhu *v)
{
	uint64_t n = 0;

	for (unsigned int i = 0; i < v->n_rings; i++)
		n += v->rings[i].lost_calls;
	return n;
}

bool
vhu_wait_fds(struct vhu *v, struct pollfd *fds, unsigned int n, uint64_t deadline_ms)
{
	for (;;) {
		uint64_t now = vhu_now_ms();
		int left = now < deadline_ms ? (int)(deadline_ms - now) : 0;
		int rc;

		if (v->conf.idle != NULL) {
			v->conf.idle(v->conf.idle_arg);
			left = left > 0 ? 1 : 0;
		}
		rc = poll(fds, n, left);
		if (rc > 0)
			return true;
		if (rc < 0 && errno != EINTR)
			return false;
		if (vhu_now_ms() >= deadline_ms)
			return false;
	}
}

/* ---- life ---- */

static int
socket_path(const struct vhu *v, struct sockaddr_un *sun)
{
	memset(sun, 0, sizeof(*sun));
	sun->sun_family = AF_UNIX;
	if (strlen(v->path) >= sizeof(sun->sun_path))
		return -ENAMETOOLONG;
	strcpy(sun->sun_path, v->path);
	return 0;
}

static int
listen_once(struct vhu *v)
{
	struct sockaddr_un sun;
	int rc = socket_path(v, &sun);

	if (rc < 0 || v->listen_fd >= 0)
		return rc;
	unlink(v->path);
	v->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (v->listen_fd < 0 || bind(v->listen_fd, (struct sockaddr *)&sun, sizeof(sun)) < 0 ||
		listen(v->listen_fd, 1) < 0)
		return -errno;
	return 0;
}

static int
accept_once(struct vhu *v)
{
	struct pollfd p = { v->listen_fd, POLLIN, 0 };

	if (!vhu_wait_fds(v, &p, 1, vhu_now_ms() + (unsigned int)v->conf.timeout_ms))
		return -ETIMEDOUT;
	v->sock = accept4(v->listen_fd, NULL, NULL, SOCK_CLOEXEC);
	return v->sock < 0 ? -errno : 0;
}

int
vhu_connect(struct vhu *v)
{
	uint64_t deadline = vhu_now_ms() + (unsigned int)v->conf.timeout_ms;
	struct sockaddr_un sun;
	int rc = socket_path(v, &sun);

	if (rc < 0)
		return rc;
	vhu_disconnect(v);
	if (v->conf.listen)
		return accept_once(v);
	/* The server may be about to make its socket: try again until the time is over. */
	for (;;) {
		v->sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (v->sock < 0)
			return -errno;
		if (connect(v->sock, (struct sockaddr *)&sun, sizeof(sun)) == 0)
			return 0;
		rc = -errno;
		close(v->sock);
		v->sock = -1;
		if ((rc != -ENOENT && rc != -ECONNREFUSED && rc != -EAGAIN) ||
			vhu_now_ms() >= deadline)
			return rc;
		if (v->conf.idle != NULL)
			v->conf.idle(v->conf.idle_arg);
		vhu_sleep_ms(2);
	}
}

void
vhu_disconnect(struct vhu *v)
{
	if (v->sock >= 0)
		close(v->sock);
	if (v->backend_req_fd >= 0)
		close(v->backend_req_fd);
	v->sock = v->backend_req_fd = -1;
	for (unsigned int i = 0; i < v->n_rings; i++)
		v->rings[i].started = v->rings[i].enabled = false;
}

static int
backend_channel(struct vhu *v)
{
	int pair[2], rc;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	rc = vhu_send_ack(v, VHU_SET_BACKEND_REQ_FD, NULL, 0, &pair[1], 1);
	close(pair[1]);
	v->backend_req_fd = pair[0];
	return rc;
}

static int
negotiate_protocol(struct vhu *v)
{
	uint64_t n = 1;
	int rc;

	v->protocol = 0;
	if (!(v->offered & v->conf.features & VHU_F_PROTOCOL) ||
		v->conf.protocol_features == VHU_NO_PROTOCOL)
		return 0;
	rc = vhu_get_u64(v, VHU_GET_PROTOCOL_FEATURES, &v->protocol_offered);
	if (rc < 0)
		return rc;
	rc = vhu_set_u64(
		v, VHU_SET_PROTOCOL_FEATURES, v->protocol_offered & v->conf.protocol_features);
	if (rc < 0)
		return rc;
	v->protocol = v->protocol_offered & v->conf.protocol_features;
	if (v->protocol & VHU_F(VHU_PF_MQ)) {
		rc = vhu_get_u64(v, VHU_GET_QUEUE_NUM, &n);
		if (rc < 0)
			return rc;
		v->max_pairs = (unsigned int)n;
	}
	if (v->protocol & VHU_F(VHU_PF_BACKEND_REQ))
		return backend_channel(v);
	return 0;
}

int
vhu_negotiate(struct vhu *v)
{
	int rc = vhu_get_u64(v, VHU_GET_FEATURES, &v->offered);

	if (rc == 0)
		rc = negotiate_protocol(v);
	if (rc == 0)
		rc = vhu_send_ack(v, VHU_SET_OWNER, NULL, 0, NULL, 0);
	if (rc == 0)
		rc = vhu_set_features(v, v->offered & v->conf.features);
	return rc;
}

int
vhu_set_features(struct vhu *v, uint64_t features)
{
	v->features = features;
	v->hdr_bytes = features & (VHU_F_VERSION_1 | VHU_F_MRG_RXBUF) ? 12 : 10;
	return vhu_set_u64(v, VHU_SET_FEATURES, features);
}

int
vhu_set_mem(struct vhu *v)
{
	int fds[VHU_MAX_REGIONS];

	for (unsigned int i = 0; i < v->table.n; i++)
		fds[i] = v->mem_fd;
	return vhu_send_ack(v, VHU_SET_MEM_TABLE, &v->table,
		(uint32_t)(8 + v->table.n * sizeof(v->table.regions[0])), fds, v->table.n);
}

int
vhu_start(struct vhu *v)
{
	int rc = vhu_set_mem(v);

	for (unsigned int i = 0; rc == 0 && i < v->n_rings; i++)
		rc = vhu_ring_start(v, i);
	for (unsigned int i = 0; rc == 0 && i < v->n_rings; i++)
		rc = vhu_ring_enable(v, i, true);
	return rc;
}

int
vhu_stop(struct vhu *v)
{
	int rc = 0;

	for (unsigned int i = 0; i < v->n_rings; i++) {
		int one = v->rings[i].started ? vhu_ring_stop(v, i, NULL) : 0;

		rc = rc == 0 ? one : rc;
	}
	return rc;
}

int
vhu_reconnect(struct vhu *v)
{
	int rc = vhu_connect(v);

	if (rc == 0)
		rc = vhu_negotiate(v);
	return rc == 0 ? vhu_start(v) : rc;
}

int
vhu_reset(struct vhu *v, uint64_t features)
{
	int rc = vhu_stop(v);

	for (unsigned int i = 0; i < v->n_rings; i++)
		vhu_ring_clear(v, i);
	v->conf.features = features;
	if (rc == 0)
		rc = vhu_set_features(v, v->offered & features);
	return rc == 0 ? vhu_start(v) : rc;
}

static void
conf_defaults(struct vhu_conf *c)
{
	c->timeout_ms = c->timeout_ms != 0 ? c->timeout_ms : 5000;
	c->features = c->features != 0 ? c->features : VHU_FEATURES_LINUX;
	if (c->protocol_features == 0)
		c->protocol_features = VHU_F(VHU_PF_MQ) | VHU_F(VHU_PF_REPLY_ACK);
	c->pairs = c->pairs != 0 ? c->pairs : 1;
	c->ring_size = c->ring_size != 0 ? c->ring_size : 256;
	c->mem_bytes = c->mem_bytes != 0 ? c->mem_bytes : 64u << 20;
	c->regions = c->regions != 0 ? c->regions : 1;
}

struct vhu *
vhu_new(const struct vhu_conf *conf)
{
	struct vhu *v = calloc(1, sizeof(*v));
	int rc;

	if (v == NULL)
		return NULL;
	v->conf = *conf;
	conf_defaults(&v->conf);
	v->listen_fd = v->sock = v->backend_req_fd = v->mem_fd = v->log_fd = -1;
	v->mem_bytes = v->conf.mem_bytes / PAGE * PAGE;
	v->max_pairs = 1;
	v->hdr_bytes = 12;
	snprintf(v->path, sizeof(v->path), "%s", conf->path != NULL ? conf->path : "");
	rc = v->conf.pairs > VHU_MAX_PAIRS || v->conf.regions > VHU_MAX_REGIONS ||
			v->conf.ring_size > 32768
		? -EINVAL
		: vhu_mem_make(v);
	v->frame = malloc(VHU_FRAME_MAX);
	if (rc == 0 && v->frame == NULL)
		rc = -ENOMEM;
	for (unsigned int i = 0; rc == 0 && i < 2 * v->conf.pairs; i++)
		rc = vhu_ring_make(v, i);
	if (rc == 0 && v->conf.listen)
		rc = listen_once(v);
	if (rc < 0) {
		vhu_close(v);
		errno = -rc;
		return NULL;
	}
	return v;
}

struct vhu *
vhu_open(const struct vhu_conf *conf)
{
	struct vhu *v = vhu_new(conf);
	int rc = v != NULL ? vhu_reconnect(v) : -errno;

	if (rc < 0) {
		vhu_close(v);
		errno = -rc;
		return NULL;
	}
	return v;
}

void
vhu_close(struct vhu *v)
{
	if (v == NULL)
		return;
	vhu_disconnect(v);
	for (unsigned int i = 0; i < v->n_rings; i++)
		vhu_ring_destroy(v, i);
	if (v->listen_fd >= 0) {
		close(v->listen_fd);
		unlink(v->path);
	}
	if (v->mem != NULL)
		munmap(v->mem, v->mem_bytes);
	if (v->mem_fd >= 0)
		close(v->mem_fd);
	if (v->log != NULL)
		munmap(v->log, v->log_bytes);
	if (v->log_fd >= 0)
		close(v->log_fd);
	free(v->block_used);
	free(v->frame);
	free(v);
}
