/* SPDX-License-Identifier: BSD-3-Clause */
/* drivers/vhost: front-ends come and go, rings are taken and given back, whatever the worker holds.
 */
#include "test_vport_util.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_errno.h>

#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

static uint8_t frame[70000];

/** A frame each way. */
static void
exchange(struct fx *fx)
{
	struct vhu_frame f;
	struct rte_mbuf *m;

	fx_fill(frame, 1000, 1);
	vhu_rx_post(fx->v, 0, 2048, 1, NULL, false);
	m = fx_pass(fx, NULL, frame, 1000, NULL);
	fx_assert_bytes(m, frame, 1000);
	assert_int_equal(fx_tx(fx, m), 1);
	vport_queue_flush(fx->q[0]);
	assert_int_equal(vhu_rx_poll(fx->v, 0, 1000, &f), 1);
	assert_int_equal(f.len, 1000);
	assert_memory_equal(f.data, frame, 1000);
	assert_true(vhu_tx_drain(fx->v, 0, 1000));
}

static bool
connected(const struct fx *fx)
{
	struct vport_info info;

	vport_info(fx->vp, &info);
	return info.connected;
}

static void
survives_reboots_of_the_guest(void **state)
{
	const uint64_t features[] = { VHU_FEATURES_LINUX, VHU_F_PROTOCOL | VHU_F_VERSION_1,
		VHU_F_PROTOCOL, VHU_FEATURES_LINUX & ~VHU_F_EVENT_IDX };
	struct fx *fx = fx_new();
	struct vport_info info;

	fx_open(fx, 0);
	exchange(fx);
	for (unsigned int i = 0; i < 8; i++) {
		assert_int_equal(vhu_reset(fx->v, features[i % 4]), 0);
		fx_wait(fx, fx->started[0] == i + 2 && vport_queue_ready(fx->q[0]));
		vport_info(fx->vp, &info);
		assert_int_equal(info.features, features[i % 4] & fx->v->offered);
		assert_int_equal(info.offloads & VPORT_OFFLOAD_CSUM,
			features[i % 4] & VHU_F_GUEST_CSUM ? VPORT_OFFLOAD_CSUM : 0);
		exchange(fx);
	}
	assert_int_equal(fx_count(fx, VPORT_COUNT_QUEUE_STARTS), 9);
	fx_free(fx);
}

static void
survives_front_ends_that_vanish(void **state)
{
	struct fx *fx = fx_new();
	struct vport_info info;
	int files = 0;

	for (unsigned int i = 0; i < 12; i++) {
		fx_open(fx, 0);
		exchange(fx);
		if (i == 1)
			files = fx_file_count();
		assert_true(connected(fx));
		vhu_close(fx->v);
		fx->v = NULL;
		fx_wait(fx, !connected(fx));
		assert_int_equal(fx->released[0], i + 1);
	}
	fx_open(fx, 0);
	assert_int_equal(fx_file_count(), files);
	fx_close(fx);
	fx_wait(fx, !connected(fx));
	vport_info(fx->vp, &info);
	assert_int_equal(info.n_queues, 0);
	assert_int_equal(info.features, 0);
	assert_true(fx_noted(fx, "connected, features 0x"));
	assert_true(fx_noted(fx, "left"));
	fx_free(fx);
}

static void
goes_on_where_it_was_after_a_reconnect(void **state)
{
	struct fx *fx = fx_new();

	fx_open(fx, 0);
	for (unsigned int i = 0; i < 300; i++)
		exchange(fx);
	vhu_disconnect(fx->v);
	fx_wait(fx, fx->released[0] == 1);
	assert_int_equal(vhu_reconnect(fx->v), 0);
	fx_wait(fx, vport_queue_ready(fx->q[0]));
	exchange(fx);
	fx_free(fx);
}

static void
takes_new_front_end_at_once_when_the_old_one_is_dead(void **state)
{
	for (unsigned int i = 0; i < 20; i++) {
		struct fx *fx = fx_new();
		struct vhu *old;

		fx_open(fx, 0);
		old = fx->v;
		shutdown(old->sock, SHUT_RDWR);
		fx->started[0] = 0;
		fx->v = vhu_open(&fx->vconf);
		assert_non_null(fx->v);
		fx_wait(fx, fx->started[0] == 1 && vport_queue_ready(fx->q[0]));
		exchange(fx);
		vhu_close(old);
		exchange(fx);
		fx_free(fx);
	}
}

static void
refuses_second_front_end_beside_a_living_one(void **state)
{
	struct fx *fx = fx_new();
	struct vhu_conf second;

	fx_open(fx, 0);
	second = fx->vconf;
	second.timeout_ms = 500;
	assert_null(vhu_open(&second));
	exchange(fx);
	assert_true(fx_noted(fx, "second front-end"));
	fx_free(fx);
}

static void
connects_as_a_client_again_and_again(void **state)
{
	struct fx *fx;

	fx = fx_new_conf(0, 1, VPORT_VHOST_CLIENT);
	for (unsigned int i = 0; i < 2; i++) {
		fx_open(fx, 0);
		exchange(fx);
		vhu_disconnect(fx->v);
		fx_wait(fx, fx->released[0] == 2 * i + 1);
		/* The same front-end, and then another. */
		assert_int_equal(vhu_reconnect(fx->v), 0);
		fx_wait(fx, vport_queue_ready(fx->q[0]));
		exchange(fx);
		fx_close(fx);
		fx_wait(fx, fx->released[0] == 2 * i + 2);
	}
	unlink(fx->path);
	fx_free(fx);
}

static void
gives_back_the_index_of_what_it_has_not_taken(void **state)
{
	struct fx *fx = fx_new();
	struct rte_mbuf *m;
	uint32_t base;

	fx_open(fx, 0);
	vhu_rx_post(fx->v, 0, 2048, 64, NULL, false);
	rte_pktmbuf_free(fx_pass(fx, NULL, frame, 60, NULL));
	rte_pktmbuf_free(fx_pass(fx, NULL, frame, 60, NULL));
	assert_int_equal(vhu_tx(fx->v, 0, NULL, frame, 60, NULL), 0);
	for (unsigned int i = 0; i < 10; i++) {
		assert_int_equal(vport_lend(fx->q[0], &m, 1), 1);
		fx->held[fx->n_held++] = m;
	}
	assert_int_equal(vhu_ring_stop(fx->v, 1, &base), 0);
	assert_int_equal(base, 2);
	assert_int_equal(vhu_ring_stop(fx->v, 0, &base), 0);
	/* All that was lent came back unfilled. */
	assert_int_equal(base, 0);
	assert_int_equal(fx->v->rings[0].used->idx, 0);
	/* And the frame that waited is there after a start. */
	assert_int_equal(vhu_start(fx->v), 0);
	fx_wait(fx, vport_queue_ready(fx->q[0]));
	m = fx_rx_one(fx);
	assert_int_equal(m->pkt_len, 60);
	rte_pktmbuf_free(m);
	fx_free(fx);
}

/** Three buffers lent, the middle one filled, the ring stopped: what the guest finds. */
static void
stop_with_two_unfilled(uint64_t features, size_t room)
{
	static const uint8_t mac[] = FX_GATEWAY_MAC, zero[46];
	struct fx *fx = fx_new();
	struct rte_mbuf *m[3];
	struct vhu_frame f;
	uint32_t base;

	fx_open(fx, features);
	vhu_rx_post(fx->v, 0, 2048, 32, NULL, false);
	assert_int_equal(vport_lend(fx->q[0], m, 3), 3);
	/* The guest has other buffers behind these descriptors by now, for all that is known. */
	fx->v->rings[0].desc[fx->v->rings[0].avail->ring[0]].len = (uint32_t)room;
	rte_pktmbuf_append(m[1], 100);
	assert_int_equal(fx_tx(fx, m[1]), 1);
	fx->held[fx->n_held++] = m[0];
	fx->held[fx->n_held++] = m[2];
	assert_int_equal(vhu_ring_stop(fx->v, 0, &base), 0);
	assert_int_equal(base, 2);
	assert_int_equal(vhu_rx_poll(fx->v, 0, 0, &f), 1);
	assert_int_equal(f.len, 100);
	assert_int_equal(vhu_rx_poll(fx->v, 0, 0, &f), 1);
	assert_int_equal(f.n_buffers, 1);
	if (room < 72) {
		assert_int_equal(f.len, 0);
	} else {
		assert_int_equal(f.len, 60);
		assert_memory_equal(f.data, mac, 6);
		assert_memory_equal(f.data + 6, mac, 6);
		assert_int_equal(f.data[12] << 8 | f.data[13], 0x88b5);
		assert_memory_equal(f.data + 14, zero, sizeof(zero));
	}
	assert_int_equal(vhu_rx_poll(fx->v, 0, 0, &f), 0);
	fx_free(fx);
}

static void
fills_what_lies_between_used_buffers_with_a_frame_for_nobody(void **state)
{
	stop_with_two_unfilled(VHU_FEATURES_LINUX, 2048);
	stop_with_two_unfilled(VHU_FEATURES_LINUX, 72);
	stop_with_two_unfilled(VHU_FEATURES_LINUX, 71);
	stop_with_two_unfilled(VHU_F_PROTOCOL, 2048);
}

struct late {
	struct rte_mbuf *m[2];
};

static void *
free_late(void *arg)
{
	struct late *late = arg;

	usleep(100000);
	rte_pktmbuf_free(late->m[0]);
	rte_pktmbuf_free(late->m[1]);
	return NULL;
}

static void
waits_for_mbufs_in_other_hands_before_memory_changes(void **state)
{
	struct fx *fx = fx_new();
	pthread_t thread;
	struct late late;
	uint64_t before;

	fx->vconf.regions = 3;
	fx_open(fx, 0);
	vhu_rx_post(fx->v, 0, 2048, 64, NULL, true);
	late.m[0] = fx_pass(fx, NULL, frame, 1514, NULL);
	assert_int_equal(vport_lend(fx->q[0], &late.m[1], 1), 1);
	before = vhu_now_ms();
	pthread_create(&thread, NULL, free_late, &late);
	/* Other addresses for the same memory. */
	fx->v->table.regions[2].gpa += 1 << 20;
	assert_int_equal(vhu_set_mem(fx->v), 0);
	assert_true(vhu_now_ms() - before >= 90);
	pthread_join(thread, NULL);
	fx_wait(fx, vport_queue_ready(fx->q[0]));
	assert_int_equal(fx_count(fx, VPORT_COUNT_QUEUE_STARTS), 2);
	fx_free(fx);
}

static void
takes_same_rings_up_again_with_replaced_memory(void **state)
{
	struct fx *fx = fx_new();

	fx->vconf.regions = 3;
	fx_open(fx, 0);
	for (unsigned int i = 0; i < 5; i++) {
		exchange(fx);
		/* What no frame lies in moves; rings and frames are in the first region. */
		fx->v->table.regions[2].gpa += 1 << 20;
		assert_int_equal(vhu_set_mem(fx->v), 0);
		fx_wait(fx, vport_queue_ready(fx->q[0]));
		exchange(fx);
	}
	fx_free(fx);
}

static void
abandons_rings_that_the_worker_does_not_give_back(void **state)
{
	struct fx *fx = fx_new();
	struct rte_mbuf *m;
	uint64_t before;

	fx_open(fx, 0);
	fx_fill(frame, 1514, 3);
	m = fx_pass(fx, NULL, frame, 1514, NULL);
	before = vhu_now_ms();
	vhu_disconnect(fx->v);
	fx_wait(fx, fx->stopped[0] == 1);
	fx->v->conf.timeout_ms = 10000;
	assert_int_equal(vhu_reconnect(fx->v), 0);
	assert_true(vhu_now_ms() - before >= 4500);
	assert_true(fx_noted(fx, "has not let go"));
	/* The frame is still good, though librte_vhost has long unmapped its memory. */
	fx_assert_bytes(m, frame, 1514);
	assert_false(vport_queue_ready(fx->q[0]));
	rte_pktmbuf_free(m);
	fx_wait(fx, vport_queue_ready(fx->q[0]));
	/* Nobody has told the guest that it was taken: it is there again. */
	m = fx_rx_one(fx);
	fx_assert_bytes(m, frame, 1514);
	rte_pktmbuf_free(m);
	exchange(fx);
	fx_free(fx);
}

static void
takes_abandoned_rings_up_again_only_when_they_are_set_up_anew(void **state)
{
	struct fx *fx = fx_new();
	struct rte_mbuf *m;
	uint32_t base;

	fx_open(fx, 0);
	fx->v->conf.timeout_ms = 20000;
	m = fx_pass(fx, NULL, frame, 1514, NULL);
	/* The second is returned before the first. */
	rte_pktmbuf_free(fx_pass(fx, NULL, frame, 60, NULL));
	assert_int_equal(vhu_ring_enable(fx->v, 1, false), 0);
	assert_true(fx_noted(fx, "has not let go"));
	assert_int_equal(vhu_ring_enable(fx->v, 1, true), 0);
	rte_pktmbuf_free(m);
	fx_wait(fx, fx->released[0] == 1);
	assert_int_equal(vhu_ring_stop(fx->v, 1, &base), 0);
	assert_int_equal(fx->started[0], 1);
	assert_int_equal(base, 1);
	assert_int_equal(vhu_reset(fx->v, VHU_FEATURES_LINUX), 0);
	fx_wait(fx, vport_queue_ready(fx->q[0]));
	exchange(fx);
	fx_free(fx);
}

static void
asks_for_all_queue_pairs_before_it_waits_for_one(void **state)
{
	struct fx *fx = fx_new_conf(0, 3, VPORT_VHOST_SERVER);

	fx->keep = true;
	fx_open(fx, 0);
	for (unsigned int i = 0; i < 3; i++) {
		assert_int_equal(vhu_tx(fx->v, i, NULL, frame, 1514, NULL), 0);
		fx_wait(fx, vport_rx_burst(fx->q[i], &fx->held[i], 1) == 1);
	}
	fx->n_held = 3;
	vhu_close(fx->v);
	fx->v = NULL;
	fx_wait(fx, fx->stopped[0] && fx->stopped[1] && fx->stopped[2]);
	/* The first one is still being waited for. */
	assert_false(fx_noted(fx, "has not let go"));
	fx->keep = false;
	fx_wait(fx, fx->released[0] && fx->released[1] && fx->released[2]);
	fx_free(fx);
}

static void
hands_over_a_new_call_descriptor_without_a_stop(void **state)
{
	struct fx *fx = fx_new();
	struct vhu_ring *r;
	uint64_t index = 0, count;
	int old;

	fx_open(fx, 0);
	exchange(fx);
	r = &fx->v->rings[0];
	old = r->call_fd;
	r->call_fd = eventfd(0, EFD_NONBLOCK);
	while (read(old, &count, sizeof(count)) > 0)
		;
	assert_int_equal(
		vhu_send_ack(fx->v, VHU_SET_VRING_CALL, &index, sizeof(index), &r->call_fd, 1), 0);
	/* What the old one was told in between may have got lost: the new one is told. */
	fx_wait(fx, read(r->call_fd, &count, sizeof(count)) == sizeof(count));
	exchange(fx);
	exchange(fx);
	assert_int_equal(read(old, &count, sizeof(count)), -1);
	assert_int_equal(fx->stopped[0], 0);
	assert_int_equal(fx_count(fx, VPORT_COUNT_QUEUE_STARTS), 1);
	close(old);
	fx_free(fx);
}

static void
stops_while_a_ring_is_disabled(void **state)
{
	struct fx *fx = fx_new();

	fx_open(fx, 0);
	assert_int_equal(vhu_ring_enable(fx->v, 0, false), 0);
	fx_wait(fx, fx->released[0] == 1);
	assert_false(vport_queue_ready(fx->q[0]));
	assert_int_equal(vhu_ring_enable(fx->v, 0, true), 0);
	fx_wait(fx, vport_queue_ready(fx->q[0]));
	exchange(fx);
	fx_free(fx);
}

static void
serves_several_queue_pairs_independently(void **state)
{
	struct fx *fx = fx_new_conf(0, 4, VPORT_VHOST_SERVER);
	struct vport_info info;
	struct vhu_frame f;
	struct rte_mbuf *m;

	fx_open(fx, 0);
	assert_int_equal(fx->v->max_pairs, 4);
	vport_info(fx->vp, &info);
	assert_int_equal(info.n_queues, 4);
	assert_null(vport_queue(fx->vp, 4));
	for (unsigned int i = 0; i < 4; i++) {
		frame[0] = (uint8_t)i;
		vhu_rx_post(fx->v, i, 2048, 4, NULL, false);
		assert_int_equal(vhu_tx(fx->v, i, NULL, frame, 60, NULL), 0);
	}
	assert_int_equal(vhu_ring_stop(fx->v, VHU_TX(2), NULL), 0);
	for (unsigned int i = 0; i < 4; i++) {
		if (i == 2) {
			assert_false(vport_queue_ready(fx->q[i]));
			continue;
		}
		assert_int_equal(vport_rx_burst(fx->q[i], &m, 1), 1);
		assert_int_equal(vport_tx_burst(fx->q[i], &m, 1), 1);
		vport_queue_flush(fx->q[i]);
		assert_int_equal(vhu_rx_poll(fx->v, i, 1000, &f), 1);
		assert_int_equal(f.data[0], i);
	}
	vport_info(fx->vp, &info);
	assert_int_equal(info.n_queues, 3);
	fx_free(fx);
}

static void
counts_no_broken_queue_pair_as_live(void **state)
{
	struct fx *fx = fx_new_conf(0, 3, VPORT_VHOST_SERVER);
	struct vport_info info;

	fx_open(fx, 0);
	assert_int_equal(*vport_live_queues(fx->vp), 3);
	vport_queue_memory_lost(fx->q[2]);
	assert_int_equal(*vport_live_queues(fx->vp), 2);
	/* Another pair goes and comes. */
	assert_int_equal(vhu_ring_enable(fx->v, VHU_RX(1), false), 0);
	assert_int_equal(*vport_live_queues(fx->vp), 1);
	assert_int_equal(vhu_ring_enable(fx->v, VHU_RX(1), true), 0);
	fx_wait(fx, vport_queue_ready(fx->q[1]));
	vport_info(fx->vp, &info);
	assert_int_equal(info.n_queues, 2);
	assert_int_equal(vhu_reset(fx->v, VHU_FEATURES_LINUX), 0);
	fx_wait(fx, vport_queue_ready(fx->q[2]));
	assert_int_equal(*vport_live_queues(fx->vp), 3);
	fx_close(fx);
	fx_wait(fx, *vport_live_queues(fx->vp) == 0);
	fx_free(fx);
}

static void
logs_the_pages_that_it_writes(void **state)
{
	struct fx *fx = fx_new();
	const uint16_t lendable = 2;
	struct rte_mbuf *m[2];
	struct vhu_frame f;
	unsigned int dirty;

	fx->vconf.protocol_features =
		VHU_F(VHU_PF_LOG_SHMFD) | VHU_F(VHU_PF_REPLY_ACK) | VHU_F(VHU_PF_MQ);
	fx_open(fx, 0);
	exchange(fx);
	assert_int_equal(vhu_log_start(fx->v), 0);
	fx_wait(fx, vport_queue_ready(fx->q[0]));
	memset(fx->v->log, 0, fx->v->log_bytes);
	vhu_rx_post(fx->v, 0, 9000, 100, NULL, false);
	/* Lent buffers would be written to unseen. */
	assert_int_equal(vport_lend(fx->q[0], m, lendable), lendable);
	for (unsigned int i = 0; i < lendable; i++) {
		assert_ptr_equal(m[i]->pool, fx_pool());
		rte_pktmbuf_free(m[i]);
	}
	fx_fill(frame, 20000, 1);
	assert_int_equal(fx_tx(fx, fx_mbuf(frame, 20000)), 1);
	assert_int_equal(vhu_rx_poll(fx->v, 0, 1000, &f), 1);
	assert_int_equal(f.n_buffers, 3);
	dirty = 0;
	for (uint64_t page = 0; page < fx->v->log_bytes * 8; page++)
		dirty += vhu_log_dirty(fx->v, page * 4096);
	/* 20,012 bytes in three pieces, and the used ring. */
	assert_in_range(dirty, 6, 11);
	assert_true(vhu_log_dirty(fx->v, vhu_gpa(fx->v, fx->v->rings[0].used)));
	assert_int_equal(vhu_log_stop(fx->v), 0);
	fx_wait(fx, vport_queue_ready(fx->q[0]));
	assert_int_equal(vport_lend(fx->q[0], m, 1), 1);
	assert_true(RTE_MBUF_HAS_EXTBUF(m[0]));
	rte_pktmbuf_free(m[0]);
	exchange(fx);
	fx_free(fx);
}

/** What a bridge does with a lent buffer: read a socket into it, sooner or later. */
struct filler {
	struct rte_mbuf *m;
	_Atomic bool ended;
};

static void *
fill_and_free(void *arg)
{
	struct filler *f = arg;

	for (unsigned int i = 0; i < 100; i++) {
		memset(rte_pktmbuf_mtod(f->m, void *), (int)i, 1500);
		usleep(1000);
	}
	f->ended = true;
	rte_pktmbuf_free(f->m);
	return NULL;
}

static void
has_lent_buffers_back_before_writes_are_logged(void **state)
{
	struct fx *fx = fx_new();
	struct filler filler = { 0 };
	pthread_t thread;

	fx->vconf.protocol_features =
		VHU_F(VHU_PF_LOG_SHMFD) | VHU_F(VHU_PF_REPLY_ACK) | VHU_F(VHU_PF_MQ);
	fx_open(fx, 0);
	vhu_rx_post(fx->v, 0, 2048, 64, NULL, true);
	assert_int_equal(vport_lend(fx->q[0], &filler.m, 1), 1);
	assert_true(RTE_MBUF_HAS_EXTBUF(filler.m));
	assert_int_equal(pthread_create(&thread, NULL, fill_and_free, &filler), 0);
	assert_int_equal(vhu_log_start(fx->v), 0);
	/* Nobody writes unseen any more when the front-end begins to look. */
	assert_true(filler.ended);
	pthread_join(thread, NULL);
	fx_wait(fx, vport_queue_ready(fx->q[0]));
	exchange(fx);
	assert_true(vhu_log_dirty(fx->v, vhu_gpa(fx->v, fx->v->rings[0].used)));
	fx_free(fx);
}

static void
survives_a_log_that_is_cut_short(void **state)
{
	struct fx *fx = fx_new();

	fx->vconf.protocol_features =
		VHU_F(VHU_PF_LOG_SHMFD) | VHU_F(VHU_PF_REPLY_ACK) | VHU_F(VHU_PF_MQ);
	fx_open(fx, 0);
	assert_int_equal(vhu_log_start(fx->v), 0);
	fx_wait(fx, vport_queue_ready(fx->q[0]));
	assert_int_equal(ftruncate(fx->v->log_fd, 0), 0);
	exchange(fx);
	exchange(fx);
	/* Another log is as good as ever. */
	assert_int_equal(ftruncate(fx->v->log_fd, (off_t)fx->v->log_bytes), 0);
	assert_int_equal(vhu_log_stop(fx->v), 0);
	assert_int_equal(vhu_log_start(fx->v), 0);
	fx_wait(fx, vport_queue_ready(fx->q[0]));
	exchange(fx);
	assert_true(vhu_log_dirty(fx->v, vhu_gpa(fx->v, fx->v->rings[0].used)));
	fx_free(fx);
}

static void
stops_with_mbufs_held_and_frees_nothing_twice(void **state)
{
	struct fx *fx = fx_new();

	fx_open(fx, 0);
	vhu_rx_post(fx->v, 0, 2048, 64, NULL, false);
	fx->held[fx->n_held++] = fx_pass(fx, NULL, frame, 1514, NULL);
	assert_int_equal(vport_lend(fx->q[0], &fx->held[fx->n_held++], 1), 1);
	fx_stop_port(fx);
	assert_int_equal(fx->released[0], 1);
	assert_false(vport_queue_ready(fx->q[0]));
	assert_true(vhu_closed_by_peer(fx->v, 1000));
	vhu_close(fx->v);
	fx->v = NULL;
	fx_free(fx);
}

/** Pipes of which three ends are open, one of them ours to write without blocking. */
static unsigned int
bells(void)
{
	unsigned int n = 0;

	for (int fd = 0; fd < 1024; fd++) {
		struct stat st, other;
		unsigned int ends = 0;

		if (fcntl(fd, F_GETFL) < 0 || !(fcntl(fd, F_GETFL) & O_NONBLOCK) ||
			fstat(fd, &st) != 0 || !S_ISFIFO(st.st_mode))
			continue;
		for (int k = 0; k < 1024; k++)
			ends += fstat(k, &other) == 0 && S_ISFIFO(other.st_mode) &&
				other.st_ino == st.st_ino;
		n += ends == 3;
	}
	return n;
}

static void
finds_what_wakes_the_library(void **state)
{
	struct fx *fx = fx_new(), *second = fx_new();

	/* Else each first connection, and each end, took up to a second. */
	assert_int_equal(bells(), 1);
	fx_open(second, 0);
	exchange(second);
	fx_free(second);
	fx_free(fx);
	assert_int_equal(bells(), 1);
}

static void
disconnects_its_front_end_when_it_stops(void **state)
{
	const enum vport_kind kinds[] = { VPORT_VHOST_SERVER, VPORT_VHOST_CLIENT };

	for (unsigned int i = 0; i < 2; i++) {
		struct fx *fx = fx_new_conf(0, 1, kinds[i]);

		fx_open(fx, 0);
		exchange(fx);
		fx_stop_port(fx);
		assert_true(vhu_closed_by_peer(fx->v, 1000));
		vhu_close(fx->v);
		fx->v = NULL;
		fx_free(fx);
	}
}

/* ---- making a port ---- */

static int
try_create(const char *path, enum vport_kind kind, char *err, size_t size)
{
	const struct vport_conf conf = {
		.kind = kind,
		.name = "vm",
		.path = path,
		.n_queues = 1,
		.mtu = 1500,
		.socket_id = SOCKET_ID_ANY,
		.pool = fx_pool(),
		.ext_pool = fx_ext_pool(),
	};
	struct vport *vp;
	int ret = 0;

	err[0] = '\0';
	vp = vport_create(&conf, err, size);
	if (vp == NULL)
		return -rte_errno;
	ret = vport_start(vp, err, size);
	vport_destroy(vp);
	return ret;
}

static int
listen_at(const char *path)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	strcpy(un.sun_path, path);
	assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	assert_int_equal(listen(fd, 1), 0);
	return fd;
}

static void
says_what_is_wrong_with_a_path(void **state)
{
	char dir[] = "/tmp/vport-XXXXXX", path[128], err[256], longer[200];
	int fd;

	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/s", dir);
	assert_int_equal(try_create(path, VPORT_VHOST_SERVER, err, sizeof(err)), 0);
	/* A stale socket is removed, a living one is not. */
	fd = listen_at(path);
	assert_int_equal(try_create(path, VPORT_VHOST_SERVER, err, sizeof(err)), -EADDRINUSE);
	assert_non_null(strstr(err, path));
	assert_non_null(strstr(err, "listens"));
	close(fd);
	assert_int_equal(try_create(path, VPORT_VHOST_SERVER, err, sizeof(err)), 0);
	fd = open(path, O_CREAT | O_RDWR, 0600);
	close(fd);
	assert_int_equal(try_create(path, VPORT_VHOST_SERVER, err, sizeof(err)), -EEXIST);
	assert_non_null(strstr(err, "no socket"));
	assert_int_equal(unlink(path), 0);
	snprintf(longer, sizeof(longer), "%s/%0120d", dir, 0);
	assert_int_equal(try_create(longer, VPORT_VHOST_SERVER, err, sizeof(err)), -ENAMETOOLONG);
	assert_int_equal(try_create(longer, VPORT_VHOST_CLIENT, err, sizeof(err)), -ENAMETOOLONG);
	snprintf(path, sizeof(path), "%s/none/s", dir);
	assert_int_equal(try_create(path, VPORT_VHOST_SERVER, err, sizeof(err)), -ENOENT);
	assert_non_null(strstr(err, "none"));
	assert_int_equal(try_create("", VPORT_VHOST_SERVER, err, sizeof(err)), -EINVAL);
	assert_int_equal(rmdir(dir), 0);
}

static void
refuses_a_socket_that_another_port_has(void **state)
{
	struct fx *fx = fx_new();
	char err[256];

	assert_int_equal(try_create(fx->path, VPORT_VHOST_SERVER, err, sizeof(err)), -EADDRINUSE);
	assert_int_equal(try_create(fx->path, VPORT_VHOST_CLIENT, err, sizeof(err)), -EADDRINUSE);
	assert_non_null(strstr(err, "another port"));
	fx_free(fx);
}

static void
refuses_impossible_configurations(void **state)
{
	struct vport_conf conf = { .kind = VPORT_VHOST_SERVER, .path = "/tmp/x" };
	char err[256];

	assert_null(vport_create(&conf, err, sizeof(err)));
	assert_int_equal(rte_errno, EINVAL);
	conf.n_queues = VPORT_MAX_QUEUES + 1;
	assert_null(vport_create(&conf, err, sizeof(err)));
	conf.n_queues = 1;
	assert_null(vport_create(&conf, NULL, 0));
	conf.pool = conf.ext_pool = fx_pool();
	conf.kind = (enum vport_kind)77;
	assert_null(vport_create(&conf, err, sizeof(err)));
	assert_int_equal(rte_errno, EINVAL);
	vport_destroy(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(survives_reboots_of_the_guest),
		cmocka_unit_test(survives_front_ends_that_vanish),
		cmocka_unit_test(goes_on_where_it_was_after_a_reconnect),
		cmocka_unit_test(takes_new_front_end_at_once_when_the_old_one_is_dead),
		cmocka_unit_test(refuses_second_front_end_beside_a_living_one),
		cmocka_unit_test(connects_as_a_client_again_and_again),
		cmocka_unit_test(gives_back_the_index_of_what_it_has_not_taken),
		cmocka_unit_test(fills_what_lies_between_used_buffers_with_a_frame_for_nobody),
		cmocka_unit_test(waits_for_mbufs_in_other_hands_before_memory_changes),
		cmocka_unit_test(takes_same_rings_up_again_with_replaced_memory),
		cmocka_unit_test(abandons_rings_that_the_worker_does_not_give_back),
		cmocka_unit_test(takes_abandoned_rings_up_again_only_when_they_are_set_up_anew),
		cmocka_unit_test(asks_for_all_queue_pairs_before_it_waits_for_one),
		cmocka_unit_test(hands_over_a_new_call_descriptor_without_a_stop),
		cmocka_unit_test(stops_while_a_ring_is_disabled),
		cmocka_unit_test(serves_several_queue_pairs_independently),
		cmocka_unit_test(counts_no_broken_queue_pair_as_live),
		cmocka_unit_test(logs_the_pages_that_it_writes),
		cmocka_unit_test(has_lent_buffers_back_before_writes_are_logged),
		cmocka_unit_test(survives_a_log_that_is_cut_short),
		cmocka_unit_test(stops_with_mbufs_held_and_frees_nothing_twice),
		cmocka_unit_test(finds_what_wakes_the_library),
		cmocka_unit_test(disconnects_its_front_end_when_it_stops),
		cmocka_unit_test(says_what_is_wrong_with_a_path),
		cmocka_unit_test(refuses_a_socket_that_another_port_has),
		cmocka_unit_test(refuses_impossible_configurations),
	};

	return cmocka_run_group_tests_name("vport_life", tests, fx_group_setup, fx_group_teardown);
}
