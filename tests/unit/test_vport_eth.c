/* SPDX-License-Identifier: BSD-3-Clause */
/* drivers/vhost: DPDK devices behind the same functions. net_ring sends to itself. */
#include "test_vport_util.h"

#include <pthread.h>
#include <string.h>

#include <rte_errno.h>
#include <rte_ethdev.h>

static uint8_t frame[4000];

struct eth {
	struct vport *vp;
	struct vport_queue *q[2];
	bool stopped;
};

static struct vport_conf
conf_of(const char *path, uint16_t n)
{
	return (struct vport_conf){
		.kind = VPORT_ETHDEV,
		.name = "vm",
		.path = path,
		.n_queues = n,
		.mtu = 1500,
		.socket_id = SOCKET_ID_ANY,
		.pool = fx_pool(),
		.ext_pool = fx_ext_pool(),
	};
}

static void
eth_open(struct eth *e, const char *path)
{
	const struct vport_conf conf = conf_of(path, 1);
	char err[256] = "";

	memset(e, 0, sizeof(*e));
	e->vp = vport_create(&conf, err, sizeof(err));
	if (e->vp == NULL)
		print_error("%s\n", err);
	assert_non_null(e->vp);
	e->q[0] = vport_queue(e->vp, 0);
	assert_int_equal(vport_queue_sync(e->q[0]), VPORT_SYNC_NONE);
	assert_int_equal(vport_start(e->vp, err, sizeof(err)), 0);
	assert_int_not_equal(vport_start(e->vp, err, sizeof(err)), 0);
	assert_int_equal(vport_queue_sync(e->q[0]), VPORT_SYNC_STARTED);
	assert_true(vport_queue_ready(e->q[0]));
}

static void *
stop(void *arg)
{
	struct eth *e = arg;

	vport_stop(e->vp);
	__atomic_store_n(&e->stopped, true, __ATOMIC_RELEASE);
	return NULL;
}

static void
eth_close(struct eth *e)
{
	pthread_t thread;
	bool told = false;

	pthread_create(&thread, NULL, stop, e);
	while (!__atomic_load_n(&e->stopped, __ATOMIC_ACQUIRE)) {
		if (vport_queue_sync(e->q[0]) == VPORT_SYNC_STOP) {
			told = true;
			assert_true(vport_queue_release(e->q[0]));
		}
	}
	pthread_join(thread, NULL);
	assert_true(told);
	assert_false(vport_queue_ready(e->q[0]));
	vport_destroy(e->vp);
	assert_int_equal(fx_mbufs_out(), 0);
}

static struct rte_mbuf *
tcp_mbuf(size_t len, uint64_t flags)
{
	struct rte_mbuf *m;

	fx_fill(frame, len, 1);
	m = fx_mbuf(frame, len);
	m->l2_len = 14;
	m->l3_len = 20;
	m->l4_len = 20;
	m->ol_flags |= RTE_MBUF_F_TX_IPV4 | flags;
	return m;
}

static void
passes_frames_through_a_device(void **state)
{
	struct vport_info info;
	struct rte_mbuf *m;
	struct eth e;

	eth_open(&e, "net_ring0");
	vport_info(e.vp, &info);
	assert_true(info.connected);
	assert_int_equal(info.offloads, 0);
	assert_int_equal(info.n_queues, 1);
	assert_int_equal(info.guest_node, -1);
	assert_true(vport_queue_must_poll(e.q[0]));
	assert_true(vport_queue_mergeable(e.q[0]));
	assert_int_equal(vport_queue_kick_fd(e.q[0], true), -1);
	assert_false(vport_queue_arm(e.q[0]));
	vport_queue_disarm(e.q[0]);
	fx_fill(frame, 1514, 1);
	m = fx_mbuf(frame, 1514);
	assert_int_equal(vport_tx_burst(e.q[0], &m, 1), 1);
	vport_queue_flush(e.q[0]);
	assert_int_equal(vport_rx_burst(e.q[0], &m, 1), 1);
	fx_assert_bytes(m, frame, 1514);
	rte_pktmbuf_free(m);
	assert_int_equal(vport_queue_counters(e.q[0])[VPORT_COUNT_TX_PKTS], 1);
	assert_int_equal(vport_queue_counters(e.q[0])[VPORT_COUNT_RX_BYTES], 1514);
	eth_close(&e);
}

static void
lends_ordinary_buffers(void **state)
{
	struct rte_mbuf *bufs[8];
	struct eth e;

	eth_open(&e, "net_ring1");
	assert_int_equal(vport_lend(e.q[0], bufs, 8), 8);
	for (unsigned int i = 0; i < 8; i++) {
		assert_false(RTE_MBUF_HAS_EXTBUF(bufs[i]));
		assert_int_equal(bufs[i]->data_len, 0);
		rte_pktmbuf_append(bufs[i], 100);
	}
	assert_int_equal(vport_tx_burst(e.q[0], bufs, 8), 8);
	assert_int_equal(vport_rx_burst(e.q[0], bufs, 8), 8);
	for (unsigned int i = 0; i < 8; i++)
		rte_pktmbuf_free(bufs[i]);
	eth_close(&e);
}

static void
completes_what_the_device_does_not(void **state)
{
	struct rte_mbuf *m;
	struct eth e;

	eth_open(&e, "net_ring2");
	m = tcp_mbuf(101, RTE_MBUF_F_TX_TCP_CKSUM);
	assert_int_equal(vport_tx_burst(e.q[0], &m, 1), 1);
	assert_int_equal(vport_rx_burst(e.q[0], &m, 1), 1);
	assert_int_equal(m->ol_flags & RTE_MBUF_F_TX_L4_MASK, 0);
	assert_memory_not_equal(rte_pktmbuf_mtod_offset(m, const void *, 50), frame + 50, 2);
	rte_pktmbuf_free(m);
	eth_close(&e);
}

static void
gives_readers_the_front_of_a_frame_in_one_piece(void **state)
{
	struct rte_mbuf *m, *next;
	struct eth e;

	eth_open(&e, "net_ring3");
	fx_fill(frame, 3000, 1);
	next = fx_mbuf(frame + 20, 1480);
	m = fx_mbuf(frame, 20);
	assert_int_equal(rte_pktmbuf_chain(m, next), 0);
	assert_int_equal(vport_tx_burst(e.q[0], &m, 1), 1);
	assert_int_equal(vport_rx_burst(e.q[0], &m, 1), 1);
	assert_true(m->data_len >= VPORT_HEAD_BYTES);
	fx_assert_bytes(m, frame, 1500);
	rte_pktmbuf_free(m);
	eth_close(&e);
}

static void
drops_segmentation_offload_frames(void **state)
{
	struct rte_mbuf *m;
	struct eth e;

	eth_open(&e, "net_ring4");
	m = tcp_mbuf(3000, RTE_MBUF_F_TX_TCP_SEG);
	assert_int_equal(vport_tx_burst(e.q[0], &m, 1), 1);
	assert_int_equal(vport_rx_burst(e.q[0], &m, 1), 0);
	assert_int_equal(vport_queue_counters(e.q[0])[VPORT_COUNT_TX_TOO_BIG], 1);
	eth_close(&e);
}

static void
returns_frames_when_the_device_is_full(void **state)
{
	struct rte_mbuf *m;
	unsigned int sent = 0;
	struct eth e;

	eth_open(&e, "net_ring5");
	while (m = fx_mbuf(frame, 60), vport_tx_burst(e.q[0], &m, 1) == 1)
		sent++;
	rte_pktmbuf_free(m);
	assert_true(sent > 100);
	assert_int_equal(vport_queue_counters(e.q[0])[VPORT_COUNT_TX_NO_BUFFER], 1);
	while (vport_rx_burst(e.q[0], &m, 1) == 1) {
		rte_pktmbuf_free(m);
		sent--;
	}
	assert_int_equal(sent, 0);
	eth_close(&e);
}

static void
takes_arguments_of_a_virtual_device(void **state)
{
	struct rte_mbuf *m = fx_mbuf(frame, 60);
	struct eth e;

	eth_open(&e, "net_null0,size=100,copy=1");
	assert_int_equal(vport_tx_burst(e.q[0], &m, 1), 1);
	assert_int_equal(vport_rx_burst(e.q[0], &m, 1), 1);
	assert_int_equal(m->pkt_len, 100);
	rte_pktmbuf_free(m);
	eth_close(&e);
	/* It was made for the port, and went with it. */
	assert_int_equal(rte_eth_dev_count_avail(), 0);
}

static void
says_what_is_wrong_with_a_device(void **state)
{
	struct vport_conf conf = conf_of("net_nothing0", 1);
	char err[256] = "";

	assert_null(vport_create(&conf, err, sizeof(err)));
	assert_int_equal(rte_errno, ENODEV);
	assert_non_null(strstr(err, "net_nothing0"));
	conf = conf_of("net_ring6", VPORT_MAX_QUEUES);
	assert_null(vport_create(&conf, err, sizeof(err)));
	assert_int_equal(rte_errno, EINVAL);
	assert_non_null(strstr(err, "queue pairs"));
	assert_int_equal(rte_eth_dev_count_avail(), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(passes_frames_through_a_device),
		cmocka_unit_test(lends_ordinary_buffers),
		cmocka_unit_test(completes_what_the_device_does_not),
		cmocka_unit_test(gives_readers_the_front_of_a_frame_in_one_piece),
		cmocka_unit_test(drops_segmentation_offload_frames),
		cmocka_unit_test(returns_frames_when_the_device_is_full),
		cmocka_unit_test(takes_arguments_of_a_virtual_device),
		cmocka_unit_test(says_what_is_wrong_with_a_device),
	};

	return cmocka_run_group_tests_name("vport_eth", tests, fx_group_setup, fx_group_teardown);
}
