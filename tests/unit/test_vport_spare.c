/* SPDX-License-Identifier: BSD-3-Clause */
/* drivers/vhost: what becomes of the mbufs of a lent buffer after it was published. */
#include "test_vport_util.h"

#include <string.h>

#include <rte_mempool.h>

#include "vring.h"

#define HDR_BYTES 12

static struct vport_quota quota;
static uint8_t frame[70000];

/** Mbufs without data room that are not in their pool. */
static unsigned int
out(void)
{
	return rte_mempool_in_use_count(fx_ext_pool());
}

static struct rte_mbuf *
lend_one(struct fx *fx)
{
	struct rte_mbuf *m = NULL;

	assert_int_equal(vport_lend(fx->q[0], &m, 1), 1);
	return m;
}

static void
fill(struct rte_mbuf *m, const uint8_t *from, size_t len)
{
	size_t done = 0;

	for (struct rte_mbuf *s = m; s; s = s->next) {
		const size_t part = RTE_MIN((size_t)(s->buf_len - s->data_off), len - done);

		memcpy(rte_pktmbuf_mtod(s, void *), from + done, part);
		s->data_len = (uint16_t)part;
		done += part;
	}
	assert_int_equal(done, len);
	m->pkt_len = (uint32_t)len;
}

/** Have a lent buffer published with len bytes, and see them arrive. */
static void
publish(struct fx *fx, struct rte_mbuf *m, size_t len, unsigned int seed)
{
	const uint64_t before = fx_count(fx, VPORT_COUNT_TX_ZERO_COPY);
	struct vhu_frame f;

	fx_fill(frame, len, seed);
	fill(m, frame, len);
	assert_int_equal(fx_tx(fx, m), 1);
	assert_int_equal(fx_count(fx, VPORT_COUNT_TX_ZERO_COPY), before + 1);
	assert_int_equal(vhu_rx_poll(fx->v, 0, 1000, &f), 1);
	assert_int_equal(f.len, len);
	assert_memory_equal(f.data, frame, len);
	assert_int_equal(f.hdr.hdr.gso_type, VIRTIO_NET_HDR_GSO_NONE);
	assert_int_equal(f.hdr.hdr.flags, 0);
}

static void
publish_held(struct fx *fx)
{
	while (fx->n_held) {
		fx->n_held--;
		publish(fx, fx->held[fx->n_held], 100, fx->n_held);
	}
}

/** As vport_lend() promises it, whatever it was before. */
static void
assert_fresh(const struct rte_mbuf *m, uint16_t data_off, uint16_t buf_len)
{
	assert_int_equal(m->ol_flags, RTE_MBUF_F_EXTERNAL);
	assert_int_equal(m->tx_offload, 0);
	assert_int_equal(m->vlan_tci, 0);
	assert_int_equal(m->vlan_tci_outer, 0);
	assert_int_equal(m->packet_type, 0);
	assert_int_equal(m->port, RTE_MBUF_PORT_INVALID);
	assert_int_equal(m->pkt_len, 0);
	assert_int_equal(m->data_len, 0);
	assert_int_equal(m->data_off, data_off);
	assert_int_equal(m->buf_len, buf_len);
	assert_int_equal(rte_mbuf_refcnt_read(m), 1);
}

/** The pool may have them: each as if it had never been attached to anything. */
static void
assert_pool_whole(void)
{
	static struct rte_mbuf *all[8192];
	struct rte_mempool *p = fx_ext_pool();

	assert_int_equal(rte_mempool_in_use_count(p), 0);
	for (unsigned int i = 0; i < p->size; i++) {
		const struct rte_mbuf *m = all[i] = rte_mbuf_raw_alloc(p);

		assert_non_null(m);
		assert_int_equal(m->ol_flags & RTE_MBUF_F_EXTERNAL, 0);
		assert_ptr_equal(m->buf_addr, (const char *)m + sizeof(*m));
		assert_int_equal(m->buf_len, 0);
		assert_int_equal(m->nb_segs, 1);
		assert_null(m->next);
		assert_int_equal(rte_mbuf_refcnt_read(m), 1);
		assert_ptr_equal(m->pool, p);
	}
	rte_mempool_put_bulk(p, (void *const *)all, p->size);
}

static void
lends_after_a_publish_without_the_pool(void **state)
{
	static struct rte_mbuf *all[8192];
	struct fx *fx = fx_new();
	unsigned int n = 0;

	fx_open(fx, 0);
	vhu_rx_post(fx->v, 0, 2048, 64, NULL, true);
	publish(fx, lend_one(fx), 1514, 1);
	assert_int_equal(out(), 1);
	while ((all[n] = rte_pktmbuf_alloc(fx_ext_pool())) != NULL)
		n++;
	for (unsigned int i = 0; i < 200; i++)
		publish(fx, lend_one(fx), 1514, i);
	assert_int_equal(fx_count(fx, VPORT_COUNT_RX_NO_MBUF), 0);
	/* One is kept, and not two. */
	fx->held[fx->n_held++] = lend_one(fx);
	assert_int_equal(vport_lend(fx->q[0], &fx->held[fx->n_held], 1), 0);
	assert_int_equal(fx_count(fx, VPORT_COUNT_RX_NO_MBUF), 1);
	rte_pktmbuf_free_bulk(all, n);
	fx_free(fx);
	assert_pool_whole();
}

static void
lends_buffer_that_shows_nothing_of_an_earlier_frame(void **state)
{
	struct fx *fx = fx_new();
	struct rte_mbuf *m, *last;
	struct vhu_frame f;

	fx_open(fx, 0);
	vhu_rx_post(fx->v, 0, 2048, 32, NULL, false);
	fx_fill(frame, 5000, 1);
	m = lend_one(fx);
	fill(m, frame, 2036);
	for (unsigned int at = 2036; at < 5000; at += 2048) {
		last = lend_one(fx);
		last->data_off = 0;
		fill(last, frame + at, RTE_MIN(5000u - at, 2048u));
		assert_int_equal(rte_pktmbuf_chain(m, last), 0);
	}
	m->ol_flags |= RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_TCP_SEG;
	m->l2_len = 14;
	m->l3_len = m->l4_len = 20;
	m->tso_segsz = 1460;
	for (struct rte_mbuf *s = m; s; s = s->next) {
		s->vlan_tci = s->vlan_tci_outer = 7;
		s->packet_type = RTE_PTYPE_L2_ETHER_ARP;
		s->port = 3;
	}
	assert_int_equal(m->nb_segs, 3);
	assert_int_equal(fx_tx(fx, m), 1);
	assert_int_equal(vhu_rx_poll(fx->v, 0, 1000, &f), 1);
	assert_int_equal(f.len, 5000);
	assert_memory_equal(f.data, frame, 5000);
	assert_int_equal(f.hdr.hdr.gso_size, 1460);
	assert_int_equal(out(), 3);
	for (unsigned int i = 0; i < 4; i++) {
		fx->held[fx->n_held++] = m = lend_one(fx);
		assert_fresh(m, HDR_BYTES, 2048);
		assert_int_equal(m->nb_segs, 1);
		assert_null(m->next);
	}
	assert_int_equal(out(), 4);
	publish_held(fx);
	fx_free(fx);
	assert_pool_whole();
}

static void
keeps_nothing_of_a_queue_pair_that_is_over(void **state)
{
	struct fx *fx = fx_new();

	fx->vconf.regions = 3;
	fx_open(fx, 0);
	for (unsigned int i = 0; i < 6; i++) {
		const unsigned int starts = fx->started[0], released = fx->released[0];

		vhu_rx_post(fx->v, 0, 2048, 64, NULL, false);
		for (unsigned int k = 0; k < 5; k++)
			fx->held[fx->n_held++] = lend_one(fx);
		publish_held(fx);
		assert_int_equal(out(), 5);
		/* One that the guest does not get, beside those that are kept. */
		fx->held[fx->n_held++] = lend_one(fx);
		if (i % 2) {
			assert_int_equal(vhu_stop(fx->v), 0);
			assert_int_equal(fx->released[0], released + 1);
			assert_pool_whole();
			assert_int_equal(vhu_start(fx->v), 0);
		} else {
			/* Other addresses for memory that nothing lies in. */
			fx->v->table.regions[2].gpa += 1 << 20;
			assert_int_equal(vhu_set_mem(fx->v), 0);
		}
		fx_wait(fx, fx->started[0] > starts && vport_queue_ready(fx->q[0]));
		assert_pool_whole();
		assert_int_equal(vhu_reset(fx->v, VHU_FEATURES_LINUX), 0);
		fx_wait(fx, fx->started[0] > starts + 1 && vport_queue_ready(fx->q[0]));
	}
	vhu_rx_post(fx->v, 0, 2048, 8, NULL, false);
	publish(fx, lend_one(fx), 1514, 9);
	fx_close(fx);
	fx_wait(fx, fx->started[0] == fx->released[0]);
	assert_pool_whole();
	fx_free(fx);
}

static void
keeps_nothing_of_a_guest_that_has_broken_its_ring(void **state)
{
	struct fx *fx = fx_new();
	struct vhu_ring *r;
	struct rte_mbuf *m;

	fx_open(fx, 0);
	vhu_rx_post(fx->v, 0, 2048, 64, NULL, false);
	publish(fx, lend_one(fx), 1514, 1);
	assert_int_equal(out(), 1);
	r = &fx->v->rings[VHU_RX(0)];
	__atomic_store_n(&r->avail->idx, (uint16_t)(r->avail->idx + r->size + 1), __ATOMIC_RELEASE);
	assert_int_equal(vport_lend(fx->q[0], &m, 1), 0);
	fx_wait(fx, fx->released[0] == 1);
	assert_pool_whole();
	fx_free(fx);
}

static void
keeps_no_more_than_a_few(void **state)
{
	struct fx *fx = fx_new();

	fx_open(fx, 0);
	vhu_rx_post(fx->v, 0, 512, 240, NULL, false);
	assert_true(fx_lend_all(fx) > VRING_SPARES + 10);
	publish_held(fx);
	assert_int_equal(out(), VRING_SPARES);
	fx_free(fx);
	assert_pool_whole();
}

static void
keeps_mbufs_within_the_share(void **state)
{
	struct fx *fx;

	quota.frames = 100;
	quota.exts = 10;
	fx = fx_new_quota(&quota);
	fx_open(fx, 0);
	vhu_rx_post(fx->v, 0, 512, 200, NULL, false);
	assert_int_equal(fx_lend_all(fx), 10);
	publish_held(fx);
	assert_int_equal(out(), 10);
	/* What is kept and what is taken anew is one share. */
	assert_int_equal(fx_lend_all(fx), 10);
	assert_int_equal(out(), 10);
	/* A share that becomes smaller is kept to when frames are published, */
	quota.exts = 4;
	publish_held(fx);
	assert_int_equal(out(), 4);
	/* ... and when buffers are lent. */
	quota.exts = 3;
	fx->held[fx->n_held++] = lend_one(fx);
	assert_int_equal(out(), 3);
	assert_int_equal(fx_lend_all(fx), 2);
	assert_int_equal(out(), 3);
	fx_free(fx);
	assert_pool_whole();
}

static void
keeps_nothing_when_no_more_can_be_lent(void **state)
{
	struct fx *fx = fx_new();

	fx_open(fx, 0);
	vhu_rx_post(fx->v, 0, 2048, 4, NULL, false);
	/* Too small in front. */
	vhu_rx_post(fx->v, 0, 100, 60, NULL, false);
	assert_int_equal(fx_lend_all(fx), 4);
	publish_held(fx);
	assert_int_equal(out(), 4);
	fx->held[fx->n_held++] = lend_one(fx);
	assert_ptr_equal(fx->held[0]->pool, fx_pool());
	assert_int_equal(out(), 0);
	fx_free(fx);
	assert_pool_whole();
}

static void
lends_buffer_of_several_mbufs_from_both(void **state)
{
	static const size_t split[] = { 612, 1012 };
	const struct vhu_shape shape = { .split = split, .n_split = 2, .indirect = true };
	static struct rte_mbuf *all[8192];
	struct fx *fx = fx_new();
	struct rte_mbuf *m, *s;
	unsigned int n = 0;

	fx_open(fx, VHU_FEATURES_LINUX & ~VHU_F_MRG_RXBUF);
	assert_int_equal(vhu_rx_post(fx->v, 0, 2048, 2, NULL, false), 2);
	assert_int_equal(vhu_rx_post(fx->v, 0, 2048, 62, &shape, false), 62);
	fx->held[fx->n_held++] = lend_one(fx);
	fx->held[fx->n_held++] = lend_one(fx);
	publish_held(fx);
	assert_int_equal(out(), 2);
	/* The pool cannot give what is missing: what is kept stays. */
	while ((all[n] = rte_pktmbuf_alloc(fx_ext_pool())) != NULL)
		n++;
	assert_int_equal(vport_lend(fx->q[0], &m, 1), 0);
	assert_int_equal(fx_count(fx, VPORT_COUNT_RX_NO_MBUF), 1);
	rte_pktmbuf_free_bulk(all, n);
	assert_int_equal(out(), 2);
	for (unsigned int i = 0; i < 3; i++) {
		m = lend_one(fx);
		assert_int_equal(out(), 3);
		assert_int_equal(m->nb_segs, 3);
		assert_fresh(m, HDR_BYTES, 612);
		assert_fresh(m->next, 0, 400);
		s = m->next->next;
		assert_fresh(s, 0, 1036);
		assert_null(s->next);
		/* Some of them with nothing in the last ones. */
		publish(fx, m, i == 1 ? 500 : 1700, i);
		assert_int_equal(out(), 3);
	}
	fx_free(fx);
	assert_pool_whole();
}

static void
keeps_no_mbuf_whose_buffer_is_in_other_hands(void **state)
{
	struct fx *fx = fx_new();
	struct rte_mbuf *m, *also;
	struct vhu_frame f;
	uint8_t sent[500];

	fx_open(fx, 0);
	vhu_rx_post(fx->v, 0, 2048, 64, NULL, false);
	for (unsigned int by_refcnt = 0; by_refcnt < 2; by_refcnt++) {
		fx_fill(sent, sizeof(sent), by_refcnt);
		m = also = lend_one(fx);
		fill(m, sent, sizeof(sent));
		if (by_refcnt)
			rte_mbuf_refcnt_update(m, 1);
		else
			also = rte_pktmbuf_clone(m, fx_pool());
		assert_non_null(also);
		assert_int_equal(fx_tx(fx, m), 1);
		assert_int_equal(vhu_rx_poll(fx->v, 0, 1000, &f), 1);
		assert_memory_equal(f.data, sent, sizeof(sent));
		assert_int_equal(fx_count(fx, VPORT_COUNT_TX_ZERO_COPY), by_refcnt);
		publish(fx, lend_one(fx), 1514, 5);
		assert_memory_equal(rte_pktmbuf_mtod(also, const void *), sent, sizeof(sent));
		rte_pktmbuf_free(also);
		/* Only the one of the frame that nobody else had. */
		assert_int_equal(out(), 1);
	}
	fx_free(fx);
	assert_pool_whole();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lends_after_a_publish_without_the_pool),
		cmocka_unit_test(lends_buffer_that_shows_nothing_of_an_earlier_frame),
		cmocka_unit_test(keeps_nothing_of_a_queue_pair_that_is_over),
		cmocka_unit_test(keeps_nothing_of_a_guest_that_has_broken_its_ring),
		cmocka_unit_test(keeps_no_more_than_a_few),
		cmocka_unit_test(keeps_mbufs_within_the_share),
		cmocka_unit_test(keeps_nothing_when_no_more_can_be_lent),
		cmocka_unit_test(lends_buffer_of_several_mbufs_from_both),
		cmocka_unit_test(keeps_no_mbuf_whose_buffer_is_in_other_hands),
	};

	return cmocka_run_group_tests_name("vport_spare", tests, fx_group_setup, fx_group_teardown);
}
