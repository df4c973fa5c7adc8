/* SPDX-License-Identifier: BSD-3-Clause */
/* drivers/vhost: no guest takes more of the shared pools than its share, nor waits by spinning. */
#include "test_vport_util.h"

#include <rte_mempool.h>

static struct vport_quota quota;
static uint8_t frame[70000];

/** A port whose queue pairs may have so many mbufs out. */
static struct fx *
limited(uint32_t frames, uint32_t exts, uint64_t features)
{
	struct fx *fx;

	quota.frames = frames;
	quota.exts = exts;
	fx = fx_new_quota(&quota);
	fx->vconf.mem_bytes = 32 << 20;
	fx_open(fx, features);
	return fx;
}

static void
free_held(struct fx *fx, unsigned int n)
{
	while (n--)
		rte_pktmbuf_free(fx->held[--fx->n_held]);
}

/** A frame in n pieces; its first ones hold the headers. */
static void
send_in_pieces(struct fx *fx, unsigned int n)
{
	static size_t split[VPORT_MAX_CHAIN];
	const struct vhu_shape shape = { .split = split, .n_split = n, .indirect = true };

	for (unsigned int i = 0; i < n; i++)
		split[i] = 12 + VPORT_HEAD_BYTES + i * 100;
	assert_int_equal(vhu_tx(fx->v, 0, NULL, frame, VPORT_HEAD_BYTES + n * 100, &shape), 0);
}

static void
lends_no_more_than_its_share(void **state)
{
	struct fx *fx = limited(100, 10, 0);

	vhu_rx_post(fx->v, 0, 2048, 128, NULL, false);
	assert_int_equal(fx_lend_all(fx), 10);
	/* What comes back is lent again; what the port's owner takes away is not. */
	free_held(fx, 3);
	assert_int_equal(fx_lend_all(fx), 3);
	quota.exts = 8;
	free_held(fx, 3);
	assert_int_equal(fx_lend_all(fx), 1);
	assert_int_equal(fx_count(fx, VPORT_COUNT_RX_NO_MBUF), 0);
	fx_free(fx);
}

static void
counts_the_pieces_of_lent_buffers(void **state)
{
	static const size_t split[] = { 12, 1012, 2012, 3012 };
	const struct vhu_shape shape = { .split = split, .n_split = 4, .indirect = true };
	struct fx *fx = limited(100, 10, VHU_FEATURES_LINUX & ~VHU_F_MRG_RXBUF);
	struct rte_mbuf *m;

	vhu_rx_post(fx->v, 0, 4012, 64, &shape, false);
	assert_int_equal(fx_lend_all(fx), 2);
	assert_int_equal(fx->held[0]->nb_segs, 4);
	/* One that is filled and published counts no more. */
	m = fx->held[--fx->n_held];
	m->data_len = 100;
	m->pkt_len = 100;
	assert_int_equal(fx_tx(fx, m), 1);
	assert_int_equal(fx_count(fx, VPORT_COUNT_TX_ZERO_COPY), 1);
	assert_int_equal(fx_lend_all(fx), 1);
	fx_free(fx);
}

static void
copies_into_mergeable_buffers_of_many_pieces(void **state)
{
	static size_t split[70];
	const struct vhu_shape shape = { .split = split, .n_split = 70, .indirect = true };
	struct fx *fx = limited(1000, 1000, 0);
	struct rte_mbuf *m;

	for (unsigned int i = 0; i < 70; i++)
		split[i] = 200 + i;
	assert_int_equal(vhu_rx_post(fx->v, 0, 300, 100, &shape, false), 100);
	assert_int_equal(vport_lend(fx->q[0], &m, 1), 0);
	assert_int_equal(vport_lend(fx->q[0], &m, 1), 1);
	assert_int_equal(m->nb_segs, 1);
	assert_int_equal(rte_mempool_in_use_count(fx_ext_pool()), 0);
	rte_pktmbuf_free(m);
	fx_free(fx);
}

static void
lends_ordinary_buffers_within_share_and_what_the_guest_has_posted(void **state)
{
	struct fx *fx = limited(20, 100, 0);

	/* Too small in front to be lent themselves. */
	vhu_rx_post(fx->v, 0, 100, 30, NULL, false);
	fx_lend_all(fx);
	assert_int_equal(fx_lend_all(fx), 15);
	vhu_rx_post(fx->v, 0, 100, 100, NULL, false);
	assert_int_equal(fx_lend_all(fx), 5);
	assert_int_equal(fx_lend_all(fx), 0);
	free_held(fx, 12);
	assert_int_equal(fx_lend_all(fx), 12);
	/* The session is over only when they are back. */
	fx->keep = true;
	fx_close(fx);
	fx_wait(fx, fx->stopped[0] == 1);
	assert_int_equal(fx->released[0], 0);
	fx->keep = false;
	fx_wait(fx, fx->released[0] == 1);
	fx_free(fx);
}

static void
lends_one_buffer_however_small_the_share(void **state)
{
	/* Room for one frame of 64 KiB takes 31 mbufs. */
	struct fx *fx = limited(5, 100, VHU_FEATURES_LINUX & ~VHU_F_MRG_RXBUF);

	vhu_rx_post(fx->v, 0, 1500, 64, NULL, false);
	fx_lend_all(fx);
	assert_int_equal(fx_lend_all(fx), 1);
	assert_true(fx->held[0]->nb_segs > 5);
	fx_free(fx);
}

static void
frames_wait_for_the_guest_s_own_to_come_back(void **state)
{
	struct fx *fx = limited(100, 10, 0);
	struct rte_mbuf *m;
	unsigned int wakes;

	vhu_rx_post(fx->v, 0, 2048, 64, NULL, false);
	send_in_pieces(fx, 8);
	m = fx_rx_one(fx);
	send_in_pieces(fx, 4);
	assert_int_equal(vport_rx_burst(fx->q[0], &fx->held[0], 1), 0);
	assert_int_equal(fx_count(fx, VPORT_COUNT_RX_QUOTA), 1);
	/* Nothing can be done, so this is no work; it is looked at again all the same. */
	assert_false(vport_queue_arm(fx->q[0]));
	assert_true(vport_queue_must_poll(fx->q[0]));
	wakes = fx->owner_wakes;
	rte_pktmbuf_free(m);
	assert_int_equal(fx->owner_wakes, wakes + 1);
	assert_true(vport_queue_arm(fx->q[0]));
	vport_queue_disarm(fx->q[0]);
	m = fx_rx_one(fx);
	assert_int_equal(m->pkt_len, VPORT_HEAD_BYTES + 4 * 100);
	assert_false(vport_queue_must_poll(fx->q[0]));
	rte_pktmbuf_free(m);
	vport_queue_flush(fx->q[0]);
	assert_true(vhu_tx_drain(fx->v, 0, 1000));
	fx_free(fx);
}

static void
frame_in_more_pieces_than_the_share_is_dropped(void **state)
{
	struct fx *fx = limited(100, 10, 0);
	struct rte_mbuf *m;

	send_in_pieces(fx, 200);
	send_in_pieces(fx, 2);
	m = fx_rx_one(fx);
	assert_int_equal(m->pkt_len, VPORT_HEAD_BYTES + 2 * 100);
	assert_int_equal(fx_count(fx, VPORT_COUNT_RX_PIECES), 1);
	rte_pktmbuf_free(m);
	fx_free(fx);
}

static void
lent_buffers_leave_the_share_of_frames_from_the_guest(void **state)
{
	struct fx *fx = limited(100, 10, 0);
	struct rte_mbuf *m;

	vhu_rx_post(fx->v, 0, 2048, 64, NULL, false);
	assert_int_equal(fx_lend_all(fx), 10);
	send_in_pieces(fx, 10);
	m = fx_rx_one(fx);
	rte_pktmbuf_free(m);
	fx_free(fx);
}

static void
empty_pool_is_waited_for_without_spinning(void **state)
{
	static struct rte_mbuf *all[8192];
	struct fx *fx = limited(100, 100, 0);
	struct rte_mbuf *m;
	unsigned int n = 0;

	while ((all[n] = rte_pktmbuf_alloc(fx_pool())) != NULL)
		n++;
	assert_int_equal(vhu_tx(fx->v, 0, NULL, frame, 60, NULL), 0);
	assert_int_equal(vport_rx_burst(fx->q[0], &m, 1), 0);
	assert_int_equal(fx_count(fx, VPORT_COUNT_RX_NO_MBUF), 1);
	assert_false(vport_queue_arm(fx->q[0]));
	assert_true(vport_queue_must_poll(fx->q[0]));
	rte_pktmbuf_free_bulk(all, n);
	m = fx_rx_one(fx);
	rte_pktmbuf_free(m);
	fx_free(fx);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lends_no_more_than_its_share),
		cmocka_unit_test(counts_the_pieces_of_lent_buffers),
		cmocka_unit_test(copies_into_mergeable_buffers_of_many_pieces),
		cmocka_unit_test(lends_ordinary_buffers_within_share_and_what_the_guest_has_posted),
		cmocka_unit_test(lends_one_buffer_however_small_the_share),
		cmocka_unit_test(frames_wait_for_the_guest_s_own_to_come_back),
		cmocka_unit_test(frame_in_more_pieces_than_the_share_is_dropped),
		cmocka_unit_test(lent_buffers_leave_the_share_of_frames_from_the_guest),
		cmocka_unit_test(empty_pool_is_waited_for_without_spinning),
	};

	return cmocka_run_group_tests_name("vport_quota", tests, fx_group_setup, fx_group_teardown);
}
