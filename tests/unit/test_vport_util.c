/* SPDX-License-Identifier: BSD-3-Clause */
#include "test_vport_util.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_log.h>
#include <rte_mempool.h>

static struct rte_mempool *pool, *ext_pool;
static struct sigaction handler;
static struct vport_bell *bell;

int
fx_group_setup(void **state)
{
	char prefix[32];
	char *argv[] = { "test", "--no-huge", "-m", "64", "--no-shconf", "--no-telemetry",
		"--no-pci", "--file-prefix", prefix, "-l", "0", "--log-level", "*:emerg", NULL };

	snprintf(prefix, sizeof(prefix), "vport%d", getpid());
	if (rte_eal_init(13, argv) < 0)
		return -1;
	pool = rte_pktmbuf_pool_create(
		"frames", 4095, 0, 0, 2048 + RTE_PKTMBUF_HEADROOM, SOCKET_ID_ANY);
	ext_pool = rte_pktmbuf_pool_create("ext", 8191, 0, 0, 0, SOCKET_ID_ANY);
	bell = vport_bell_create();
	if (!pool || !ext_pool || vport_sigbus_install() != 0)
		return -1;
	return sigaction(SIGBUS, NULL, &handler);
}

int
fx_group_teardown(void **state)
{
	vport_bell_destroy(bell);
	rte_mempool_free(pool);
	rte_mempool_free(ext_pool);
	return rte_eal_cleanup();
}

struct rte_mempool *
fx_pool(void)
{
	return pool;
}

struct rte_mempool *
fx_ext_pool(void)
{
	return ext_pool;
}

unsigned int
fx_mbufs_out(void)
{
	return rte_mempool_in_use_count(pool) + rte_mempool_in_use_count(ext_pool);
}

int
fx_file_count(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(dir) != NULL)
		n++;
	closedir(dir);
	return n;
}

static void
note(void *arg, const char *text)
{
	struct fx *fx = arg;
	const unsigned int n = fx->n_notes;

	if (n < FX_NOTES) {
		snprintf(fx->notes[n], sizeof(fx->notes[n]), "%s", text);
		fx->n_notes = n + 1;
	}
}

static void
wake(void *arg, uint16_t queue)
{
	struct fx *fx = arg;

	fx->wakes++;
}

static void
wake_owner(void *arg)
{
	struct fx *fx = arg;

	fx->owner_wakes++;
}

bool
fx_noted(const struct fx *fx, const char *text)
{
	for (unsigned int i = 0; i < fx->n_notes; i++) {
		if (strstr(fx->notes[i], text))
			return true;
	}
	return false;
}

static void
poll_queue(struct fx *fx, unsigned int i)
{
	switch (vport_queue_sync(fx->q[i])) {
	case VPORT_SYNC_NONE:
		break;
	case VPORT_SYNC_STARTED:
		fx->started[i]++;
		break;
	case VPORT_SYNC_STOP:
		fx->stopped[i]++;
		fx->releasing[i] = true;
		break;
	}
	if (!fx->releasing[i])
		return;
	while (!fx->keep && fx->n_held)
		rte_pktmbuf_free(fx->held[--fx->n_held]);
	if (vport_queue_release(fx->q[i])) {
		fx->releasing[i] = false;
		fx->released[i]++;
	}
}

void
fx_poll(struct fx *fx)
{
	vport_run(fx->vp);
	for (unsigned int i = 0; i < fx->n_queues && !fx->deaf; i++)
		poll_queue(fx, i);
}

static void
idle(void *arg)
{
	fx_poll(arg);
}

static struct fx *
new_fixture(uint64_t features_off, uint16_t pairs, enum vport_kind kind,
	const struct vport_quota *quota)
{
	struct fx *fx = calloc(1, sizeof(*fx));
	char err[256] = "";

	assert_non_null(fx);
	/* cmocka puts its own in front for each test. */
	sigaction(SIGBUS, &handler, NULL);
	fx->out_before = fx_mbufs_out();
	strcpy(fx->dir, "/tmp/vport-XXXXXX");
	assert_non_null(mkdtemp(fx->dir));
	snprintf(fx->path, sizeof(fx->path), "%s/guest.sock", fx->dir);
	fx->conf = (struct vport_conf){
		.kind = kind,
		.name = "vm",
		.path = fx->path,
		.n_queues = pairs,
		.mtu = 1500,
		.features_off = features_off,
		.socket_id = SOCKET_ID_ANY,
		.gateway_mac = FX_GATEWAY_MAC,
		.pool = pool,
		.ext_pool = ext_pool,
		.quota = quota,
		.wake = wake,
		.note = note,
		.arg = fx,
	};
	fx->vconf = (struct vhu_conf){
		.path = fx->path,
		.listen = kind == VPORT_VHOST_CLIENT,
		.timeout_ms = 5000,
		.pairs = pairs,
		.mem_bytes = 8 << 20,
		.idle = idle,
		.idle_arg = fx,
	};
	fx->vp = vport_create(&fx->conf, err, sizeof(err));
	if (fx->vp == NULL)
		print_error("vport_create: %s\n", err);
	assert_non_null(fx->vp);
	fx->n_queues = pairs;
	for (uint16_t i = 0; i < pairs; i++) {
		fx->q[i] = vport_queue(fx->vp, i);
		vport_queue_own(fx->q[i], &(struct vport_owner){ wake_owner, fx, bell });
	}
	if (vport_start(fx->vp, err, sizeof(err)) != 0) {
		print_error("vport_start: %s\n", err);
		fail();
	}
	return fx;
}

struct fx *
fx_new_conf(uint64_t features_off, uint16_t pairs, enum vport_kind kind)
{
	return new_fixture(features_off, pairs, kind, NULL);
}

struct fx *
fx_new_quota(const struct vport_quota *quota)
{
	return new_fixture(0, 1, VPORT_VHOST_SERVER, quota);
}

struct fx *
fx_new(void)
{
	return fx_new_conf(0, 1, VPORT_VHOST_SERVER);
}

void
fx_open(struct fx *fx, uint64_t features)
{
	if (features)
		fx->vconf.features = features;
	fx->v = vhu_open(&fx->vconf);
	if (fx->v == NULL)
		print_error("vhu_open: %s\n", strerror(errno));
	assert_non_null(fx->v);
	for (unsigned int i = 0; i < fx->n_queues; i++)
		fx_wait(fx, vport_queue_ready(fx->q[i]));
}

void
fx_close(struct fx *fx)
{
	if (fx->v == NULL)
		return;
	if (vhu_violation(fx->v))
		print_error("%s\n", vhu_violation(fx->v));
	assert_null(vhu_violation(fx->v));
	vhu_close(fx->v);
	fx->v = NULL;
}

static void *
stop_thread(void *arg)
{
	struct fx *fx = arg;

	vport_stop(fx->vp);
	fx->vconf.idle_arg = NULL;
	return NULL;
}

void
fx_stop_port(struct fx *fx)
{
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, stop_thread, fx), 0);
	fx_wait(fx, __atomic_load_n(&fx->vconf.idle_arg, __ATOMIC_RELAXED) == NULL);
	pthread_join(thread, NULL);
	fx->vconf.idle_arg = fx;
}

void
fx_free(struct fx *fx)
{
	fx->keep = false;
	fx->deaf = false;
	fx_close(fx);
	fx_stop_port(fx);
	vport_destroy(fx->vp);
	assert_int_equal(access(fx->path, F_OK), -1);
	assert_int_equal(rmdir(fx->dir), 0);
	assert_int_equal(fx_mbufs_out(), fx->out_before);
	free(fx);
}

uint64_t
fx_count(const struct fx *fx, enum vport_counter c)
{
	return vport_queue_counters(fx->q[0])[c];
}

struct rte_mbuf *
fx_rx_one(struct fx *fx)
{
	struct rte_mbuf *m = NULL;

	fx_wait(fx, vport_rx_burst(fx->q[0], &m, 1) == 1);
	return m;
}

struct rte_mbuf *
fx_pass(struct fx *fx, const struct virtio_net_hdr *hdr, const void *frame, size_t len,
	const struct vhu_shape *shape)
{
	struct rte_mbuf *m;

	assert_int_equal(vhu_tx(fx->v, 0, hdr, frame, len, shape), 0);
	m = fx_rx_one(fx);
	vport_queue_flush(fx->q[0]);
	return m;
}

struct rte_mbuf *
fx_mbuf(const void *bytes, size_t len)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool), *last = m;
	const uint8_t *at = bytes;

	assert_non_null(m);
	m->pkt_len = (uint32_t)len;
	while (len) {
		const uint16_t part = (uint16_t)RTE_MIN(len, rte_pktmbuf_tailroom(last));

		memcpy(rte_pktmbuf_mtod(last, void *), at, part);
		last->data_len = part;
		at += part;
		len -= part;
		if (len) {
			last->next = rte_pktmbuf_alloc(pool);
			assert_non_null(last->next);
			last = last->next;
			m->nb_segs++;
		}
	}
	return m;
}

uint16_t
fx_tx(struct fx *fx, struct rte_mbuf *m)
{
	const uint16_t n = vport_tx_burst(fx->q[0], &m, 1);

	vport_queue_flush(fx->q[0]);
	return n;
}

void
fx_exchange(struct fx *fx)
{
	static uint8_t frame[1000];
	struct vhu_frame f;
	struct rte_mbuf *m;

	fx_fill(frame, sizeof(frame), 1);
	vhu_rx_post(fx->v, 0, 2048, 1, NULL, false);
	m = fx_pass(fx, NULL, frame, sizeof(frame), NULL);
	fx_assert_bytes(m, frame, sizeof(frame));
	assert_int_equal(fx_tx(fx, m), 1);
	vport_queue_flush(fx->q[0]);
	assert_int_equal(vhu_rx_poll(fx->v, 0, 1000, &f), 1);
	assert_int_equal(f.len, sizeof(frame));
	assert_memory_equal(f.data, frame, sizeof(frame));
	assert_true(vhu_tx_drain(fx->v, 0, 1000));
}

void
fx_assert_bytes(const struct rte_mbuf *m, const void *bytes, size_t len)
{
	const uint8_t *at = bytes;
	size_t sum = 0;
	unsigned int n_segs = 0;
	const uint16_t told = m->nb_segs;

	assert_int_equal(m->pkt_len, len);
	for (; m; m = m->next, n_segs++) {
		assert_true(sum + m->data_len <= len);
		assert_memory_equal(rte_pktmbuf_mtod(m, const void *), at + sum, m->data_len);
		sum += m->data_len;
	}
	assert_int_equal(sum, len);
	assert_int_equal(n_segs, told);
}

void
fx_fill(void *to, size_t len, unsigned int seed)
{
	uint8_t *at = to;
	uint32_t x = seed * 2654435761u + 1;

	for (size_t i = 0; i < len; i++) {
		x = x * 1664525u + 1013904223u;
		at[i] = (uint8_t)(x >> 24);
	}
}

unsigned int
fx_lend_all(struct fx *fx)
{
	const unsigned int before = fx->n_held;

	while (vport_lend(fx->q[0], &fx->held[fx->n_held], 1) == 1)
		fx->n_held++;
	return fx->n_held - before;
}
