/* SPDX-License-Identifier: BSD-3-Clause */
/* drivers/vhost: the guest's receive buffers lent out, filled, published; and who wakes whom. */
#include "test_vport_util.h"

#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include <sys/eventfd.h>
#include <sys/mman.h>

#include <linux/virtio_net.h>

static uint8_t frame[70000];

/** Fill one lent buffer from its data_off on. @return bytes that fitted */
static size_t
fill(struct rte_mbuf *m, const uint8_t *from, size_t len)
{
	size_t done = 0;

	for (struct rte_mbuf *s = m; s; s = s->next) {
		const size_t room = (size_t)(s->buf_len - s->data_off);
		const size_t part = RTE_MIN(room, len - done);

		memcpy(rte_pktmbuf_mtod(s, void *), from + done, part);
		s->data_len = (uint16_t)part;
		done += part;
	}
	m->pkt_len = (uint32_t)done;
	return done;
}

/** Lay a frame over lent buffers as the port wants it. */
static struct rte_mbuf *
chain(struct fx *fx, const uint8_t *from, size_t len)
{
	struct rte_mbuf *head = NULL;
	size_t done = 0;

	while (done < len) {
		struct rte_mbuf *m;

		assert_int_equal(vport_lend(fx->q[0], &m, 1), 1);
		if (head)
			m->data_off = 0;
		done += fill(m, from + done, len - done);
		if (head)
			assert_int_equal(rte_pktmbuf_chain(head, m), 0);
		else
			head = m;
	}
	return head;
}

static void
publishes_filled_buffer_where_it_is(void **state)
{
	struct fx *fx = fx_new();
	struct rte_mbuf *m;
	struct vhu_frame f;

	fx_open(fx, 0);
	vhu_rx_post(fx->v, 0, 2048, 64, NULL, false);
	fx_fill(frame, 1514, 1);
	assert_int_equal(vport_lend(fx->q[0], &m, 1), 1);
	assert_int_equal(m->data_len, 0);
	assert_int_equal(m->pkt_len, 0);
	assert_true(vport_queue_mergeable(fx->q[0]));
	assert_int_equal(fill(m, frame, 1514), 1514);
	assert_int_equal(fx_tx(fx, m), 1);
	assert_int_equal(vhu_rx_poll(fx->v, 0, 1000, &f), 1);
	assert_int_equal(f.len, 1514);
	assert_memory_equal(f.data, frame, 1514);
	assert_int_equal(f.n_buffers, 1);
	assert_int_equal(fx_count(fx, VPORT_COUNT_TX_ZERO_COPY), 1);
	fx_free(fx);
}

static void
publishes_frame_over_several_buffers(void **state)
{
	struct fx *fx = fx_new();
	struct vhu_frame f;
	struct rte_mbuf *m;

	fx_open(fx, 0);
	vhu_rx_post(fx->v, 0, 1536, 64, NULL, true);
	for (unsigned int round = 0; round < 3; round++) {
		fx_fill(frame, 20000, round);
		m = chain(fx, frame, 20000);
		m->ol_flags |= RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_TCP_SEG;
		m->l2_len = 14;
		m->l3_len = m->l4_len = 20;
		m->tso_segsz = 1460;
		assert_int_equal(fx_tx(fx, m), 1);
		assert_int_equal(vhu_rx_poll(fx->v, 0, 1000, &f), 1);
		assert_int_equal(f.len, 20000);
		assert_memory_equal(f.data, frame, 20000);
		assert_int_equal(f.n_buffers, 14);
		assert_int_equal(f.hdr.hdr.gso_size, 1460);
	}
	assert_int_equal(fx_count(fx, VPORT_COUNT_TX_ZERO_COPY), 3);
	fx_free(fx);
}

static void
publishes_in_buffers_of_many_descriptors(void **state)
{
	/* As Linux guests without mergeable buffers post them: header, rest of a page, pages. */
	struct fx *fx = fx_new();
	size_t split[18];
	const struct vhu_shape shape = { .split = split, .n_split = 18, .indirect = true };
	struct rte_mbuf *m;
	struct vhu_frame f;

	split[0] = 12;
	for (unsigned int i = 1; i < 18; i++)
		split[i] = 12 + i * 4096 - 20;
	fx_open(fx, VHU_FEATURES_LINUX & ~VHU_F_MRG_RXBUF);
	assert_int_equal(vhu_rx_post(fx->v, 0, 12 + 18 * 4096 - 20, 20, &shape, false), 20);
	assert_false(vport_queue_mergeable(fx->q[0]));
	assert_int_equal(vport_lend(fx->q[0], &m, 1), 1);
	fx_fill(frame, 65000, 3);
	assert_int_equal(fill(m, frame, 65000), 65000);
	assert_int_equal(fx_tx(fx, m), 1);
	assert_int_equal(vhu_rx_poll(fx->v, 0, 1000, &f), 1);
	assert_int_equal(f.len, 65000);
	assert_memory_equal(f.data, frame, 65000);
	assert_int_equal(f.n_buffers, 1);
	assert_int_equal(fx_count(fx, VPORT_COUNT_TX_ZERO_COPY), 1);
	fx_free(fx);
}

static void
lends_again_what_is_freed_unfilled(void **state)
{
	struct fx *fx = fx_new();
	struct rte_mbuf *bufs[256];
	uint16_t n;

	fx_open(fx, 0);
	vhu_rx_post(fx->v, 0, 2048, 64, NULL, false);
	for (unsigned int round = 0; round < 10; round++) {
		n = 0;
		while (vport_lend(fx->q[0], &bufs[n], 1) == 1)
			n++;
		/* Nine sixteenths are kept back. */
		assert_int_equal(n, 64 - 36);
		for (uint16_t i = 0; i < n; i++)
			rte_pktmbuf_free(bufs[(i * 5) % n]);
	}
	assert_int_equal(vhu_ring_in_flight(&fx->v->rings[0]), 64);
	fx_free(fx);
}

static void
copies_beside_lent_buffers(void **state)
{
	struct fx *fx = fx_new();
	struct rte_mbuf *m;
	struct vhu_frame f;
	unsigned int n = 0;

	fx_open(fx, 0);
	vhu_rx_post(fx->v, 0, 2048, 64, NULL, false);
	while (vport_lend(fx->q[0], &m, 1) == 1)
		fx->held[fx->n_held++] = m;
	fx_fill(frame, 1000, 5);
	while (fx_tx(fx, m = fx_mbuf(frame, 1000)) == 1)
		n++;
	rte_pktmbuf_free(m);
	assert_int_equal(n, 36);
	for (unsigned int i = 0; i < n; i++) {
		assert_int_equal(vhu_rx_poll(fx->v, 0, 1000, &f), 1);
		assert_memory_equal(f.data, frame, 1000);
	}
	fx_free(fx);
}

static void
copies_frame_that_is_not_laid_out_as_lent(void **state)
{
	struct fx *fx = fx_new();
	struct rte_mbuf *m, *second;
	struct vhu_frame f;

	fx_open(fx, 0);
	vhu_rx_post(fx->v, 0, 2048, 64, NULL, false);
	fx_fill(frame, 3000, 6);
	/* Begins too late in the first buffer. */
	assert_int_equal(vport_lend(fx->q[0], &m, 1), 1);
	m->data_off += 4;
	fill(m, frame, 500);
	assert_int_equal(fx_tx(fx, m), 1);
	assert_int_equal(vhu_rx_poll(fx->v, 0, 1000, &f), 1);
	assert_int_equal(f.len, 500);
	assert_memory_equal(f.data, frame, 500);
	/* Leaves a gap where the second buffer's header would be. */
	assert_int_equal(vport_lend(fx->q[0], &m, 1), 1);
	assert_int_equal(vport_lend(fx->q[0], &second, 1), 1);
	fill(m, frame, 700);
	fill(second, frame + 700, 700);
	rte_pktmbuf_chain(m, second);
	assert_int_equal(fx_tx(fx, m), 1);
	assert_int_equal(vhu_rx_poll(fx->v, 0, 1000, &f), 1);
	assert_int_equal(f.len, 1400);
	assert_memory_equal(f.data, frame, 1400);
	/* Of the pool in front, lent behind. */
	m = fx_mbuf(frame, 54);
	assert_int_equal(vport_lend(fx->q[0], &second, 1), 1);
	fill(second, frame + 54, 900);
	rte_pktmbuf_chain(m, second);
	assert_int_equal(fx_tx(fx, m), 1);
	assert_int_equal(vhu_rx_poll(fx->v, 0, 1000, &f), 1);
	assert_int_equal(f.len, 954);
	assert_memory_equal(f.data, frame, 954);
	assert_int_equal(fx_count(fx, VPORT_COUNT_TX_ZERO_COPY), 0);
	fx_free(fx);
}

static void
copies_frame_while_somebody_holds_a_part_of_its_buffer(void **state)
{
	const size_t split = 600;
	const struct vhu_shape shape = { .split = &split, .n_split = 1 };
	struct fx *fx = fx_new();
	struct rte_mbuf *m, *rest;
	struct vhu_frame f;

	fx_open(fx, 0);
	vhu_rx_post(fx->v, 0, 2048, 64, &shape, false);
	fx_fill(frame, 500, 6);
	assert_int_equal(vport_lend(fx->q[0], &m, 1), 1);
	assert_int_equal(m->nb_segs, 2);
	rest = m->next;
	m->next = NULL;
	m->nb_segs = 1;
	fill(m, frame, 500);
	assert_int_equal(fx_tx(fx, m), 1);
	assert_int_equal(vhu_rx_poll(fx->v, 0, 1000, &f), 1);
	assert_memory_equal(f.data, frame, 500);
	assert_int_equal(fx_count(fx, VPORT_COUNT_TX_ZERO_COPY), 0);
	rte_pktmbuf_free(rest);
	fx_free(fx);
}

static void
lends_ordinary_buffers_to_a_guest_with_small_ones(void **state)
{
	const size_t cut[] = { 100 };
	const struct vhu_shape shape = { .split = cut, .n_split = 1 };
	const uint64_t old = VHU_F_PROTOCOL | VHU_F_CSUM;
	struct rte_mbuf *m;
	struct vhu_frame f;

	for (unsigned int i = 0; i < 3; i++) {
		struct fx *fx = fx_new();

		/* Header and too little; less than a frame; a header in pieces. */
		fx_open(fx, i == 1 ? old : VHU_FEATURES_LINUX);
		assert_true(vhu_rx_post(fx->v, 0, i == 1 ? 1500 : 2048, 64, i ? NULL : &shape,
				    false) == 64);
		if (i == 2) {
			/* What cannot be told in advance: found out when it comes to it. */
			fx_free(fx);
			continue;
		}
		assert_int_equal(vport_lend(fx->q[0], &m, 1), 0);
		assert_int_equal(vport_lend(fx->q[0], &m, 1), 1);
		assert_ptr_equal(m->pool, fx_pool());
		assert_true(rte_pktmbuf_tailroom(m) >= 1514 || m->next);
		fill(m, frame, 1200);
		assert_int_equal(fx_tx(fx, m), 1);
		assert_int_equal(vhu_rx_poll(fx->v, 0, 1000, &f), 1);
		assert_int_equal(f.len, 1200);
		fx_free(fx);
	}
}

static void
gives_each_way_of_declining_what_it_needs(void **state)
{
	const uint64_t sets[] = {
		VHU_FEATURES_LINUX & ~VHU_F_PROTOCOL, VHU_FEATURES_LINUX & ~VHU_F_VERSION_1,
		VHU_FEATURES_LINUX & ~VHU_F_EVENT_IDX, VHU_FEATURES_LINUX & ~VHU_F_INDIRECT,
		VHU_FEATURES_LINUX & ~VHU_F_CSUM, VHU_FEATURES_LINUX & ~VHU_F_GUEST_CSUM,
		VHU_FEATURES_LINUX & ~VHU_F_MRG_RXBUF,
		VHU_FEATURES_LINUX & ~(VHU_F_MRG_RXBUF | VHU_F_VERSION_1),
		VHU_FEATURES_LINUX & ~VHU_F_GUEST_TSO, VHU_FEATURES_LINUX & ~VHU_F_HOST_TSO,
		VHU_F_PROTOCOL, VHU_F_VERSION_1,
		VHU_F(VIRTIO_NET_F_MAC), /* nothing that is offered */
	};

	fx_fill(frame, 1514, 9);
	for (unsigned int i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
		struct fx *fx = fx_new();
		struct vport_info info;
		struct rte_mbuf *m;
		struct vhu_frame f;

		fx_open(fx, sets[i]);
		vport_info(fx->vp, &info);
		assert_true(info.connected);
		assert_int_equal(info.features, fx->v->features);
		assert_int_equal(info.n_queues, 1);
		vhu_rx_post(fx->v, 0, 2048, 64, NULL, true);
		for (unsigned int k = 0; k < 3; k++) {
			m = fx_pass(fx, NULL, frame, 1514, NULL);
			fx_assert_bytes(m, frame, 1514);
			assert_int_equal(fx_tx(fx, m), 1);
			assert_int_equal(vhu_rx_poll(fx->v, 0, 1000, &f), 1);
			assert_int_equal(f.len, 1514);
			assert_memory_equal(f.data, frame, 1514);
			assert_int_equal(vport_lend(fx->q[0], &m, 1), 1);
			assert_int_equal(fill(m, frame, 1514), 1514);
			assert_int_equal(fx_tx(fx, m), 1);
			assert_int_equal(vhu_rx_poll(fx->v, 0, 1000, &f), 1);
			assert_memory_equal(f.data, frame, 1514);
		}
		assert_int_equal(fx_count(fx, VPORT_COUNT_TX_ZERO_COPY), 3);
		assert_true(vhu_tx_drain(fx->v, 0, 1000));
		assert_int_equal(vhu_lost_calls(fx->v), 0);
		fx_free(fx);
	}
}

static void
offers_nothing_that_is_turned_off(void **state)
{
	struct fx *fx = fx_new_conf(VHU_F_MRG_RXBUF | VHU_F_EVENT_IDX, 1, VPORT_VHOST_SERVER);

	fx_open(fx, 0);
	assert_int_equal(fx->v->offered & (VHU_F_MRG_RXBUF | VHU_F_EVENT_IDX), 0);
	assert_true(fx->v->offered & VHU_F_VERSION_1);
	fx_free(fx);
}

static void
works_with_rings_of_every_size(void **state)
{
	fx_fill(frame, 1514, 9);
	for (unsigned int size = 1; size <= 32768; size *= 2) {
		struct fx *fx = fx_new();
		struct vhu_frame f;

		fx->vconf.ring_size = size;
		fx_open(fx, 0);
		assert_true(vhu_rx_post(fx->v, 0, 2048, 4, NULL, true) >= 1);
		for (unsigned int i = 0; i < 20; i++) {
			struct rte_mbuf *m = fx_pass(fx, NULL, frame, 1514, NULL);

			assert_int_equal(fx_tx(fx, m), 1);
			vport_queue_flush(fx->q[0]);
			assert_int_equal(vhu_rx_poll(fx->v, 0, 1000, &f), 1);
			assert_memory_equal(f.data, frame, 1514);
		}
		fx_free(fx);
	}
}

/* ---- freed by others ---- */

struct freer {
	struct rte_mbuf *bufs[256];
	unsigned int n;
};

static void *
free_all(void *arg)
{
	struct freer *f = arg;

	for (unsigned int i = 0; i < f->n; i++)
		rte_pktmbuf_free(f->bufs[i]);
	return NULL;
}

static void
completes_descriptors_freed_by_other_threads(void **state)
{
	struct fx *fx = fx_new();

	fx_open(fx, 0);
	vhu_rx_post(fx->v, 0, 2048, 200, NULL, false);
	for (unsigned int round = 0; round < 20; round++) {
		struct freer f[2] = { 0 };
		pthread_t threads[2];

		for (unsigned int i = 0; i < 64; i++)
			assert_int_equal(vhu_tx_queue(fx->v, 0, NULL, frame, 1514, NULL), 0);
		vhu_tx_flush(fx->v, 0);
		for (unsigned int i = 0; i < 64; i++) {
			struct freer *to = &f[i % 2];

			to->bufs[to->n++] = fx_rx_one(fx);
			assert_int_equal(vport_lend(fx->q[0], &to->bufs[to->n++], 1), 1);
		}
		for (unsigned int i = 0; i < 2; i++)
			assert_int_equal(pthread_create(&threads[i], NULL, free_all, &f[i]), 0);
		for (unsigned int i = 0; i < 1000; i++)
			vport_queue_flush(fx->q[0]);
		for (unsigned int i = 0; i < 2; i++)
			pthread_join(threads[i], NULL);
		assert_int_equal(vport_lend(fx->q[0], f[0].bufs, 80), 80);
		for (unsigned int i = 0; i < 80; i++)
			rte_pktmbuf_free(f[0].bufs[i]);
		vport_queue_flush(fx->q[0]);
		assert_true(vhu_tx_drain(fx->v, 0, 1000));
	}
	fx_free(fx);
}

static void
has_work_when_others_have_freed_something(void **state)
{
	struct fx *fx = fx_new();
	struct freer f = { .n = 1 };
	pthread_t thread;

	fx_open(fx, 0);
	vhu_rx_post(fx->v, 0, 2048, 128, NULL, false);
	f.bufs[0] = fx_pass(fx, NULL, frame, 1514, NULL);
	assert_false(vport_queue_arm(fx->q[0]));
	pthread_create(&thread, NULL, free_all, &f);
	pthread_join(thread, NULL);
	assert_true(vport_queue_arm(fx->q[0]));
	vport_queue_disarm(fx->q[0]);
	vport_queue_flush(fx->q[0]);
	assert_true(vhu_tx_drain(fx->v, 0, 1000));
	fx_free(fx);
}

static void
wakes_its_owner_for_the_first_that_is_freed(void **state)
{
	struct fx *fx = fx_new();
	struct rte_mbuf *m[3];

	fx_open(fx, 0);
	vhu_rx_post(fx->v, 0, 2048, 128, NULL, false);
	for (unsigned int i = 0; i < 2; i++)
		m[i] = fx_pass(fx, NULL, frame, 1514, NULL);
	assert_int_equal(vport_lend(fx->q[0], &m[2], 1), 1);
	assert_int_equal(fx->owner_wakes, 0);
	rte_pktmbuf_free(m[0]);
	assert_int_equal(fx->owner_wakes, 1);
	rte_pktmbuf_free(m[1]);
	assert_int_equal(fx->owner_wakes, 1);
	vport_queue_flush(fx->q[0]);
	assert_true(vhu_tx_drain(fx->v, 0, 1000));
	m[0] = fx_pass(fx, NULL, frame, 1514, NULL);
	rte_pktmbuf_free(m[0]);
	assert_int_equal(fx->owner_wakes, 2);
	rte_pktmbuf_free(m[2]);
	assert_int_equal(fx->owner_wakes, 3);
	fx_free(fx);
}

/* ---- kicks and calls ---- */

static void
is_kicked_only_while_armed(void **state)
{
	for (unsigned int with = 0; with < 2; with++) {
		struct fx *fx = fx_new();
		struct rte_mbuf *m;
		struct vhu_ring *r;
		uint64_t kicks, count;

		fx_open(fx, with ? VHU_FEATURES_LINUX : VHU_FEATURES_LINUX & ~VHU_F_EVENT_IDX);
		r = &fx->v->rings[VHU_TX(0)];
		vhu_rx_post(fx->v, 0, 2048, 128, NULL, false);
		kicks = r->kicks;
		for (unsigned int i = 0; i < 300; i++)
			rte_pktmbuf_free(fx_pass(fx, NULL, frame, 60, NULL));
		assert_int_equal(r->kicks, kicks);
		assert_false(vport_queue_arm(fx->q[0]));
		assert_int_equal(vhu_tx(fx->v, 0, NULL, frame, 60, NULL), 0);
		assert_int_equal(r->kicks, kicks + 1);
		assert_true(vport_queue_arm(fx->q[0]));
		vport_queue_disarm(fx->q[0]);
		/* The kick was taken from its descriptor. */
		assert_int_equal(
			read(vport_queue_kick_fd(fx->q[0], true), &count, sizeof(count)), -1);
		rte_pktmbuf_free(fx_rx_one(fx));
		assert_int_equal(vhu_tx(fx->v, 0, NULL, frame, 60, NULL), 0);
		assert_int_equal(r->kicks, kicks + 1);
		m = fx_rx_one(fx);
		rte_pktmbuf_free(m);
		fx_free(fx);
	}
}

static void
queue_without_a_kick_is_to_be_polled(void **state)
{
	const int fds[] = { -1, memfd_create("no eventfd", 0) };

	for (unsigned int i = 0; i < 4; i++) {
		struct fx *fx = fx_new();
		const uint64_t index = i / 2;
		const uint64_t none = fds[i % 2] < 0 ? VHU_VRING_NOFD : 0, message = index | none;

		fx_open(fx, 0);
		assert_false(vport_queue_must_poll(fx->q[0]));
		assert_int_equal(vhu_send_ack(fx->v, VHU_SET_VRING_KICK, &message, sizeof(message),
					 &fds[i % 2], none ? 0 : 1),
			0);
		fx_wait(fx, vport_queue_ready(fx->q[0]) && fx->started[0] == 2);
		assert_true(vport_queue_must_poll(fx->q[0]));
		fx_free(fx);
	}
	close(fds[1]);
}

static void
asks_for_refill_kicks_only_when_it_has_run_short(void **state)
{
	struct fx *fx = fx_new();
	struct rte_mbuf *m;
	struct vhu_ring *r;
	uint64_t kicks;

	fx_open(fx, 0);
	r = &fx->v->rings[VHU_RX(0)];
	vhu_rx_post(fx->v, 0, 2048, 64, NULL, false);
	while (vport_lend(fx->q[0], &m, 1) == 1)
		fx->held[fx->n_held++] = m;
	kicks = r->kicks;
	assert_false(vport_queue_arm(fx->q[0]));
	vhu_rx_post(fx->v, 0, 2048, 1, NULL, false);
	assert_int_equal(r->kicks, kicks + 1);
	assert_true(vport_queue_kick_fd(fx->q[0], false) >= 0);
	assert_false(vport_queue_arm(fx->q[0]));
	vport_queue_disarm(fx->q[0]);
	assert_false(vport_queue_arm(fx->q[0]));
	vhu_rx_post(fx->v, 0, 2048, 1, NULL, false);
	assert_int_equal(r->kicks, kicks + 1);
	fx_free(fx);
}

/** Its worker sleeps and wakes for others, and has no need to disarm it. */
static void
kicks_after_each_sleep_of_a_queue_that_stays_armed(void **state)
{
	static const uint64_t features[] = { VHU_FEATURES_LINUX,
		VHU_FEATURES_LINUX & ~VHU_F_EVENT_IDX };

	for (unsigned int i = 0; i < RTE_DIM(features); i++) {
		struct fx *fx = fx_new();
		struct vhu_ring *r;
		struct rte_mbuf *m;
		uint64_t kicks;

		fx_open(fx, features[i]);
		r = &fx->v->rings[VHU_TX(0)];
		kicks = r->kicks;
		for (unsigned int sleep = 0; sleep < 3; sleep++)
			assert_false(vport_queue_arm(fx->q[0]));
		for (unsigned int sleep = 1; sleep <= 3; sleep++) {
			/* Too short to be a frame: nobody hears of it. */
			assert_int_equal(vhu_tx(fx->v, 0, NULL, frame, 5, NULL), 0);
			assert_int_equal(r->kicks, kicks + sleep);
			assert_int_equal(vport_rx_burst(fx->q[0], &m, 1), 0);
			assert_int_equal(fx_count(fx, VPORT_COUNT_RX_SHORT), sleep);
			vport_queue_flush(fx->q[0]);
			assert_false(vport_queue_arm(fx->q[0]));
		}
		/* What comes between the last look and the sleep is work, kick or no kick. */
		assert_int_equal(vhu_tx(fx->v, 0, NULL, frame, 60, NULL), 0);
		assert_true(vport_queue_arm(fx->q[0]));
		rte_pktmbuf_free(fx_rx_one(fx));
		vport_queue_disarm(fx->q[0]);
		kicks = r->kicks;
		assert_int_equal(vhu_tx(fx->v, 0, NULL, frame, 60, NULL), 0);
		assert_int_equal(r->kicks, kicks);
		rte_pktmbuf_free(fx_rx_one(fx));
		fx_free(fx);
	}
}

static void
shares_few_buffers_between_lending_and_copying(void **state)
{
	struct fx *fx = fx_new();
	struct rte_mbuf *m;
	unsigned int copied = 0;

	/* As firmware does: eight buffers, whatever the size of the ring. */
	fx_open(fx, VHU_F_PROTOCOL);
	vhu_rx_post(fx->v, 0, 2048, 8, NULL, false);
	while (vport_lend(fx->q[0], &m, 1) == 1)
		fx->held[fx->n_held++] = m;
	assert_int_equal(fx->n_held, 4);
	while (fx_tx(fx, m = fx_mbuf(frame, 60)) == 1)
		copied++;
	rte_pktmbuf_free(m);
	assert_int_equal(copied, 4);
	fx_free(fx);
}

static void
calls_once_per_burst_and_only_if_wanted(void **state)
{
	for (unsigned int with = 0; with < 2; with++) {
		struct fx *fx = fx_new();
		struct rte_mbuf *m[8];
		struct vhu_ring *r;
		uint64_t calls;

		fx_open(fx, with ? VHU_FEATURES_LINUX : VHU_FEATURES_LINUX & ~VHU_F_EVENT_IDX);
		r = &fx->v->rings[VHU_RX(0)];
		vhu_rx_post(fx->v, 0, 2048, 128, NULL, false);
		if (with)
			r->avail->ring[r->size] = 3; /* used_event: tell me after the fourth */
		calls = fx_count(fx, VPORT_COUNT_CALLS);
		for (unsigned int i = 0; i < 8; i++)
			m[i] = fx_mbuf(frame, 60);
		assert_int_equal(vport_tx_burst(fx->q[0], m, 2), 2);
		vport_queue_flush(fx->q[0]);
		/* The first decision of a ring has nothing to compare with. */
		calls = fx_count(fx, VPORT_COUNT_CALLS);
		assert_int_equal(vport_tx_burst(fx->q[0], m + 2, 1), 1);
		if (!with)
			r->avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
		vport_queue_flush(fx->q[0]);
		assert_int_equal(fx_count(fx, VPORT_COUNT_CALLS), calls);
		if (!with)
			r->avail->flags = 0;
		assert_int_equal(vport_tx_burst(fx->q[0], m + 3, 4), 4);
		vport_queue_flush(fx->q[0]);
		vport_queue_flush(fx->q[0]);
		assert_int_equal(fx_count(fx, VPORT_COUNT_CALLS), calls + 1);
		if (with) {
			/* Past it: no more. */
			assert_int_equal(vport_tx_burst(fx->q[0], m + 7, 1), 1);
			vport_queue_flush(fx->q[0]);
			assert_int_equal(fx_count(fx, VPORT_COUNT_CALLS), calls + 1);
		} else {
			rte_pktmbuf_free(m[7]);
		}
		fx_free(fx);
	}
}

struct sender {
	struct fx *fx;
	_Atomic bool done;
};

static void *
send_one(void *arg)
{
	struct sender *s = arg;

	fx_tx(s->fx, fx_mbuf(frame, 60));
	s->done = true;
	return NULL;
}

static void
is_not_blocked_by_a_call_descriptor_at_its_maximum(void **state)
{
	const uint64_t index = VHU_RX(0), most = UINT64_MAX - 1;
	const int fd = eventfd(0, 0);
	struct sender s = { .fx = fx_new() };
	struct fx *fx = s.fx;
	pthread_t thread;
	uint64_t count;

	fx_open(fx, VHU_FEATURES_LINUX & ~VHU_F_EVENT_IDX);
	vhu_rx_post(fx->v, 0, 2048, 4, NULL, false);
	assert_int_equal(vhu_send_ack(fx->v, VHU_SET_VRING_CALL, &index, sizeof(index), &fd, 1), 0);
	fx_poll(fx);
	/* The flag belongs to the open file, which is the front-end's as well. */
	assert_int_equal(fcntl(fd, F_SETFL, 0), 0);
	assert_int_equal(read(fd, &count, sizeof(count)), sizeof(count));
	assert_int_equal(write(fd, &most, sizeof(most)), sizeof(most));
	pthread_create(&thread, NULL, send_one, &s);
	for (int i = 0; i < 500 && !s.done; i++)
		vhu_sleep_ms(10);
	if (!s.done) {
		/* So that the test can end. */
		assert_int_equal(read(fd, &count, sizeof(count)), sizeof(count));
		pthread_join(thread, NULL);
		fail_msg("the worker was blocked");
	}
	pthread_join(thread, NULL);
	assert_int_equal(fx_count(fx, VPORT_COUNT_CALL_FAILED), 0);
	close(fd);
	fx_free(fx);
}

static void
never_runs_out_of_interrupts(void **state)
{
	struct fx *fx = fx_new();
	uint64_t calls;

	fx_open(fx, VHU_FEATURES_LINUX & ~VHU_F_EVENT_IDX);
	vhu_rx_post(fx->v, 0, 2048, 8, NULL, false);
	/* More than the kernel keeps completions for: they are taken as they come. */
	for (unsigned int i = 0; i < 3000; i++) {
		struct vhu_frame f;

		assert_int_equal(fx_tx(fx, fx_mbuf(frame, 60)), 1);
		assert_int_equal(vhu_rx_poll(fx->v, 0, 1000, &f), 1);
		vhu_rx_post(fx->v, 0, 2048, 1, NULL, false);
	}
	calls = fx_count(fx, VPORT_COUNT_CALLS);
	assert_true(calls >= 2000);
	assert_int_equal(fx_count(fx, VPORT_COUNT_CALL_FAILED), 0);
	fx_free(fx);
}

static void
interrupts_without_asynchronous_operations(void **state)
{
	struct fx *fx = fx_new();
	struct vhu_frame f;

	vport_queue_own(fx->q[0], NULL);
	fx_open(fx, 0);
	vhu_rx_post(fx->v, 0, 2048, 8, NULL, false);
	assert_int_equal(fx_tx(fx, fx_mbuf(frame, 60)), 1);
	assert_int_equal(vhu_rx_poll(fx->v, 0, 1000, &f), 1);
	assert_int_equal(vhu_lost_calls(fx->v), 0);
	assert_true(fx_count(fx, VPORT_COUNT_CALLS) >= 1);
	fx_free(fx);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(publishes_filled_buffer_where_it_is),
		cmocka_unit_test(publishes_frame_over_several_buffers),
		cmocka_unit_test(publishes_in_buffers_of_many_descriptors),
		cmocka_unit_test(lends_again_what_is_freed_unfilled),
		cmocka_unit_test(copies_beside_lent_buffers),
		cmocka_unit_test(copies_frame_that_is_not_laid_out_as_lent),
		cmocka_unit_test(copies_frame_while_somebody_holds_a_part_of_its_buffer),
		cmocka_unit_test(lends_ordinary_buffers_to_a_guest_with_small_ones),
		cmocka_unit_test(gives_each_way_of_declining_what_it_needs),
		cmocka_unit_test(offers_nothing_that_is_turned_off),
		cmocka_unit_test(works_with_rings_of_every_size),
		cmocka_unit_test(completes_descriptors_freed_by_other_threads),
		cmocka_unit_test(has_work_when_others_have_freed_something),
		cmocka_unit_test(wakes_its_owner_for_the_first_that_is_freed),
		cmocka_unit_test(is_kicked_only_while_armed),
		cmocka_unit_test(queue_without_a_kick_is_to_be_polled),
		cmocka_unit_test(asks_for_refill_kicks_only_when_it_has_run_short),
		cmocka_unit_test(kicks_after_each_sleep_of_a_queue_that_stays_armed),
		cmocka_unit_test(shares_few_buffers_between_lending_and_copying),
		cmocka_unit_test(calls_once_per_burst_and_only_if_wanted),
		cmocka_unit_test(is_not_blocked_by_a_call_descriptor_at_its_maximum),
		cmocka_unit_test(never_runs_out_of_interrupts),
		cmocka_unit_test(interrupts_without_asynchronous_operations),
	};

	return cmocka_run_group_tests_name("vport_lend", tests, fx_group_setup, fx_group_teardown);
}
