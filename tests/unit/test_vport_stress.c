/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * drivers/vhost: a worker, a thread that holds and frees its mbufs, and a front-end that sends,
 * receives, resets, and changes its memory; each a thread of its own, none in step with the others.
 */
#include "test_vport_util.h"

#include <pthread.h>
#include <sched.h>
#include <string.h>

#include <rte_ring.h>

#define RUN_MS 1500

struct party {
	struct fx *fx;
	struct rte_ring *to_freer;
	_Atomic bool end, worker_ended;
	uint64_t bad_frames, echoed;
};

/** Mbufs live on for a while in another thread, as in a bridge. */
static void *
freer(void *arg)
{
	struct party *p = arg;
	void *m;

	while (!p->worker_ended || rte_ring_count(p->to_freer)) {
		if (rte_ring_dequeue(p->to_freer, &m) == 0)
			rte_pktmbuf_free(m);
		else
			sched_yield();
	}
	return NULL;
}

/** The first byte says how the rest goes on. */
static bool
whole(const struct rte_mbuf *m)
{
	const uint8_t first = *rte_pktmbuf_mtod(m, const uint8_t *);
	uint32_t at = 0;

	for (; m; m = m->next) {
		const uint8_t *b = rte_pktmbuf_mtod(m, const uint8_t *);

		for (uint32_t i = 0; i < m->data_len; i += 97) {
			if (b[i] != (uint8_t)(first + at + i))
				return false;
		}
		at += m->data_len;
	}
	return true;
}

static void
answer(struct party *p, struct rte_mbuf *m)
{
	struct vport_queue *q = p->fx->q[0];
	struct rte_mbuf *lent;

	if (m->pkt_len <= 1500 && vport_lend(q, &lent, 1) == 1) {
		uint32_t at = 0;

		if (lent->nb_segs == 1) {
			char *to = rte_pktmbuf_append(lent, (uint16_t)m->pkt_len);

			for (struct rte_mbuf *s = m; s && to; s = s->next) {
				memcpy(to + at, rte_pktmbuf_mtod(s, void *), s->data_len);
				at += s->data_len;
			}
			if (to && vport_tx_burst(q, &lent, 1) == 1) {
				p->echoed++;
				lent = NULL;
			}
		}
		if (lent && rte_ring_enqueue(p->to_freer, lent) != 0)
			rte_pktmbuf_free(lent);
	} else if (vport_tx_burst(q, &m, 1) == 1) {
		p->echoed++;
		return;
	}
	if (rte_ring_enqueue(p->to_freer, m) != 0)
		rte_pktmbuf_free(m);
}

static void *
worker(void *arg)
{
	struct party *p = arg;
	struct rte_mbuf *burst[VPORT_BURST];
	unsigned int turns = 0;

	while (!p->end || p->fx->releasing[0] || vport_queue_ready(p->fx->q[0])) {
		uint16_t n;

		fx_poll(p->fx);
		n = vport_rx_burst(p->fx->q[0], burst, VPORT_BURST);
		for (uint16_t i = 0; i < n; i++) {
			p->bad_frames += !whole(burst[i]);
			answer(p, burst[i]);
		}
		vport_queue_flush(p->fx->q[0]);
		if (++turns % 64 == 0) {
			vport_queue_arm(p->fx->q[0]);
			sched_yield();
			vport_queue_disarm(p->fx->q[0]);
		}
	}
	return NULL;
}

static void
send_some(struct vhu *v, uint32_t *x)
{
	static uint8_t frame[20000];
	const size_t cut[] = { 3, 20, 200 };
	const struct vhu_shape shape = {
		.split = cut, .n_split = 3, .indirect = (*x & 1) && (v->features & VHU_F_INDIRECT)
	};

	for (unsigned int i = 0; i < 16; i++) {
		size_t len;

		*x = *x * 1664525u + 1013904223u;
		len = 60 + (*x >> 8) % ((*x >> 3) % 4 ? 1440 : 19000);
		for (size_t k = 0; k < len; k++)
			frame[k] = (uint8_t)((*x >> 24) + k);
		vhu_tx_reap(v, 0);
		if (vhu_tx_queue(v, 0, NULL, frame, len, *x & 2 ? &shape : NULL) != 0)
			break;
	}
	vhu_tx_flush(v, 0);
}

static uint64_t
receive_some(struct vhu *v)
{
	struct vhu_frame f;
	uint64_t bad = 0;

	while (vhu_rx_poll(v, 0, 0, &f) == 1) {
		for (size_t i = 0; i < f.len; i += 89)
			bad += f.data[i] != (uint8_t)(f.data[0] + i);
	}
	return bad;
}

static void
disturb(struct fx *fx, uint32_t x)
{
	struct vport_info info = { .connected = true };
	struct vhu *v = fx->v;
	uint64_t index = x & 1;

	switch ((x >> 16) % 40) {
	case 0:
		assert_int_equal(vhu_reset(v, VHU_FEATURES_LINUX), 0);
		vhu_rx_post(v, 0, 2048, 128, NULL, true);
		break;
	case 1:
		assert_int_equal(vhu_reset(v, VHU_F_PROTOCOL | VHU_F_MRG_RXBUF), 0);
		vhu_rx_post(v, 0, 2048, 128, NULL, true);
		break;
	case 2:
		v->table.regions[2].gpa ^= 1 << 24;
		assert_int_equal(vhu_set_mem(v), 0);
		break;
	case 3:
		vhu_disconnect(v);
		/* Not while the port may still write to them. */
		while (info.connected)
			vport_info(fx->vp, &info);
		for (unsigned int i = 0; i < v->n_rings; i++)
			vhu_ring_clear(v, i);
		assert_int_equal(vhu_reconnect(v), 0);
		vhu_rx_post(v, 0, 2048, 128, NULL, true);
		break;
	case 4:
	case 5:
		assert_int_equal(vhu_send_ack(v, VHU_SET_VRING_CALL, &index, sizeof(index),
					 &v->rings[index].call_fd, 1),
			0);
		break;
	case 6:
		assert_int_equal(vhu_ring_enable(v, (unsigned int)index, false), 0);
		assert_int_equal(vhu_ring_enable(v, (unsigned int)index, true), 0);
		break;
	}
}

static void
keeps_every_promise_while_everything_changes(void **state)
{
	struct party p = { .fx = fx_new() };
	const uint64_t until = vhu_now_ms() + RUN_MS;
	pthread_t threads[2];
	uint64_t bad = 0;
	uint32_t x = 1;

	p.to_freer = rte_ring_create("freer", 1024, SOCKET_ID_ANY, 0);
	assert_non_null(p.to_freer);
	p.fx->vconf.regions = 3;
	p.fx->vconf.idle = NULL;
	p.fx->vconf.mem_bytes = 24 << 20;
	assert_int_equal(pthread_create(&threads[0], NULL, worker, &p), 0);
	assert_int_equal(pthread_create(&threads[1], NULL, freer, &p), 0);
	p.fx->v = vhu_open(&p.fx->vconf);
	assert_non_null(p.fx->v);
	/* Nothing lies in the last region, which moves. */
	memset(p.fx->v->block_used + 2 * p.fx->v->n_blocks / 3, 1, p.fx->v->n_blocks / 3);
	vhu_rx_post(p.fx->v, 0, 2048, 128, NULL, true);
	while (vhu_now_ms() < until) {
		send_some(p.fx->v, &x);
		bad += receive_some(p.fx->v);
		disturb(p.fx, x);
	}
	fx_close(p.fx);
	p.end = true;
	pthread_join(threads[0], NULL);
	p.worker_ended = true;
	pthread_join(threads[1], NULL);
	rte_ring_free(p.to_freer);
	for (unsigned int i = 0; i < p.fx->n_notes; i++) {
		if (strstr(p.fx->notes[i], "stopped") || strstr(p.fx->notes[i], "refused"))
			print_error("%s\n", p.fx->notes[i]);
	}
	assert_int_equal(bad, 0);
	assert_int_equal(p.bad_frames, 0);
	assert_true(p.echoed > 100);
	assert_int_equal(fx_count(p.fx, VPORT_COUNT_QUEUE_BROKEN), 0);
	assert_true(fx_count(p.fx, VPORT_COUNT_TX_ZERO_COPY) > 0);
	assert_true(fx_count(p.fx, VPORT_COUNT_QUEUE_STARTS) > 5);
	fx_free(p.fx);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keeps_every_promise_while_everything_changes),
	};

	return cmocka_run_group_tests_name(
		"vport_stress", tests, fx_group_setup, fx_group_teardown);
}
