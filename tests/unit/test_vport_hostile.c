/* SPDX-License-Identifier: BSD-3-Clause */
/* drivers/vhost: guests that break the rules of rings and memory. Each harms itself alone. */
#include "test_vport_util.h"

#include <string.h>
#include <unistd.h>

#include <linux/virtio_net.h>

static uint8_t frame[70000];

/** A guest that keeps to the rules, to see that it is not disturbed. */
static void
exchange(struct fx *fx)
{
	struct vhu_frame f;
	struct rte_mbuf *m;

	vhu_rx_post(fx->v, 0, 2048, 1, NULL, false);
	fx_fill(frame, 1000, 1);
	m = fx_pass(fx, NULL, frame, 1000, NULL);
	assert_int_equal(fx_tx(fx, m), 1);
	vport_queue_flush(fx->q[0]);
	assert_int_equal(vhu_rx_poll(fx->v, 0, 1000, &f), 1);
	assert_memory_equal(f.data, frame, 1000);
	assert_true(vhu_tx_drain(fx->v, 0, 1000));
}

/** Write a descriptor. */
static void
put(struct vhu_ring *r, uint16_t i, uint64_t addr, uint32_t len, uint16_t flags, uint16_t next)
{
	r->desc[i] = (struct vring_desc){ addr, len, flags, next };
}

static void
offer(struct vhu_ring *r, uint16_t head)
{
	r->avail->ring[r->avail->idx % r->size] = head;
	__atomic_store_n(&r->avail->idx, (uint16_t)(r->avail->idx + 1), __ATOMIC_RELEASE);
}

/** What a guest does to the ring, with a page of its memory at hand. */
struct evil {
	const char *name;
	enum vport_counter counter;
	void (*act)(struct fx *fx, struct vhu_ring *r, uint64_t gpa, uint8_t *page, uint16_t flag);
	uint64_t without; /**< features */
};

static void
index_too_far(struct fx *fx, struct vhu_ring *r, uint64_t gpa, uint8_t *page, uint16_t flag)
{
	__atomic_store_n(&r->avail->idx, (uint16_t)(r->avail->idx + r->size + 1), __ATOMIC_RELEASE);
}

static void
head_outside(struct fx *fx, struct vhu_ring *r, uint64_t gpa, uint8_t *page, uint16_t flag)
{
	offer(r, (uint16_t)r->size);
}

static void
head_far_outside(struct fx *fx, struct vhu_ring *r, uint64_t gpa, uint8_t *page, uint16_t flag)
{
	offer(r, 65535);
}

static void
address_nowhere(struct fx *fx, struct vhu_ring *r, uint64_t gpa, uint8_t *page, uint16_t flag)
{
	put(r, 0, vhu_gpa_hole(fx->v), 100, flag, 0);
	offer(r, 0);
}

static void
address_wraps(struct fx *fx, struct vhu_ring *r, uint64_t gpa, uint8_t *page, uint16_t flag)
{
	put(r, 0, UINT64_MAX - 10, 100, flag, 0);
	offer(r, 0);
}

static void
length_past_the_end(struct fx *fx, struct vhu_ring *r, uint64_t gpa, uint8_t *page, uint16_t flag)
{
	put(r, 0, gpa, UINT32_MAX, flag, 0);
	offer(r, 0);
}

static void
chain_loops(struct fx *fx, struct vhu_ring *r, uint64_t gpa, uint8_t *page, uint16_t flag)
{
	put(r, 0, gpa, 10, flag | VRING_DESC_F_NEXT, 1);
	put(r, 1, gpa, 10, flag | VRING_DESC_F_NEXT, 0);
	offer(r, 0);
}

static void
chain_loops_with_nothing(
	struct fx *fx, struct vhu_ring *r, uint64_t gpa, uint8_t *page, uint16_t flag)
{
	put(r, 0, gpa, 0, flag | VRING_DESC_F_NEXT, 0);
	offer(r, 0);
}

static void
chain_leaves_table(struct fx *fx, struct vhu_ring *r, uint64_t gpa, uint8_t *page, uint16_t flag)
{
	put(r, 0, gpa, 10, flag | VRING_DESC_F_NEXT, (uint16_t)r->size);
	offer(r, 0);
}

static void
wrong_direction(struct fx *fx, struct vhu_ring *r, uint64_t gpa, uint8_t *page, uint16_t flag)
{
	put(r, 0, gpa, 100, flag ^ VRING_DESC_F_WRITE, 0);
	offer(r, 0);
}

static void
wrong_direction_later(struct fx *fx, struct vhu_ring *r, uint64_t gpa, uint8_t *page, uint16_t flag)
{
	put(r, 0, gpa, 100, flag | VRING_DESC_F_NEXT, 1);
	put(r, 1, gpa, 100, flag ^ VRING_DESC_F_WRITE, 0);
	offer(r, 0);
}

static void
indirect(struct vhu_ring *r, uint64_t gpa, uint32_t len, uint16_t flags)
{
	put(r, 0, gpa, len, VRING_DESC_F_INDIRECT | flags, 1);
	offer(r, 0);
}

static void
table_empty(struct fx *fx, struct vhu_ring *r, uint64_t gpa, uint8_t *page, uint16_t flag)
{
	indirect(r, gpa, 0, 0);
}

static void
table_uneven(struct fx *fx, struct vhu_ring *r, uint64_t gpa, uint8_t *page, uint16_t flag)
{
	indirect(r, gpa, 17, 0);
}

static void
table_too_long(struct fx *fx, struct vhu_ring *r, uint64_t gpa, uint8_t *page, uint16_t flag)
{
	indirect(r, gpa, 16 * (VPORT_MAX_CHAIN + 1), 0);
}

static void
table_huge(struct fx *fx, struct vhu_ring *r, uint64_t gpa, uint8_t *page, uint16_t flag)
{
	indirect(r, gpa, UINT32_MAX & ~15u, 0);
}

static void
table_with_next(struct fx *fx, struct vhu_ring *r, uint64_t gpa, uint8_t *page, uint16_t flag)
{
	indirect(r, gpa, 16, VRING_DESC_F_NEXT);
}

static void
table_nowhere(struct fx *fx, struct vhu_ring *r, uint64_t gpa, uint8_t *page, uint16_t flag)
{
	indirect(r, vhu_gpa_hole(fx->v), 16, 0);
}

static void
table_in_table(struct fx *fx, struct vhu_ring *r, uint64_t gpa, uint8_t *page, uint16_t flag)
{
	struct vring_desc *t = (struct vring_desc *)page;

	t[0] = (struct vring_desc){ gpa, 16, VRING_DESC_F_INDIRECT, 0 };
	indirect(r, gpa, 16, 0);
}

static void
table_left_by_chain(struct fx *fx, struct vhu_ring *r, uint64_t gpa, uint8_t *page, uint16_t flag)
{
	struct vring_desc *t = (struct vring_desc *)page;

	t[0] = (struct vring_desc){ gpa, 16, flag | VRING_DESC_F_NEXT, 1 };
	indirect(r, gpa, 16, 0);
}

static void
table_loops(struct fx *fx, struct vhu_ring *r, uint64_t gpa, uint8_t *page, uint16_t flag)
{
	struct vring_desc *t = (struct vring_desc *)page;

	t[0] = (struct vring_desc){ gpa, 1, flag | VRING_DESC_F_NEXT, 0 };
	indirect(r, gpa, 16, 0);
}

static void
table_with_wrong_direction(
	struct fx *fx, struct vhu_ring *r, uint64_t gpa, uint8_t *page, uint16_t flag)
{
	struct vring_desc *t = (struct vring_desc *)page;

	t[0] = (struct vring_desc){ gpa, 100, flag ^ VRING_DESC_F_WRITE, 0 };
	indirect(r, gpa, 16, 0);
}

static void
table_with_bad_address(
	struct fx *fx, struct vhu_ring *r, uint64_t gpa, uint8_t *page, uint16_t flag)
{
	struct vring_desc *t = (struct vring_desc *)page;

	t[0] = (struct vring_desc){ vhu_gpa_hole(fx->v), 100, flag, 0 };
	indirect(r, gpa, 16, 0);
}

#define X(e) VPORT_COUNT_RING_##e
static const struct evil evils[] = {
	{ "index_too_far", X(BAD_INDEX), index_too_far, 0 },
	{ "head_outside", X(BAD_HEAD), head_outside, 0 },
	{ "head_far_outside", X(BAD_HEAD), head_far_outside, 0 },
	{ "address_nowhere", X(BAD_ADDR), address_nowhere, 0 },
	{ "address_wraps", X(BAD_ADDR), address_wraps, 0 },
	{ "length_past_the_end", X(BAD_ADDR), length_past_the_end, 0 },
	{ "chain_loops", X(BAD_CHAIN), chain_loops, 0 },
	{ "chain_loops_with_nothing", X(BAD_CHAIN), chain_loops_with_nothing, 0 },
	{ "chain_leaves_table", X(BAD_CHAIN), chain_leaves_table, 0 },
	{ "wrong_direction", X(BAD_CHAIN), wrong_direction, 0 },
	{ "wrong_direction_later", X(BAD_CHAIN), wrong_direction_later, 0 },
	{ "table_empty", X(BAD_INDIRECT), table_empty, 0 },
	{ "table_uneven", X(BAD_INDIRECT), table_uneven, 0 },
	{ "table_too_long", X(BAD_INDIRECT), table_too_long, 0 },
	{ "table_huge", X(BAD_INDIRECT), table_huge, 0 },
	{ "table_with_next", X(BAD_INDIRECT), table_with_next, 0 },
	{ "table_nowhere", X(BAD_ADDR), table_nowhere, 0 },
	{ "table_in_table", X(BAD_INDIRECT), table_in_table, 0 },
	{ "table_left_by_chain", X(BAD_INDIRECT), table_left_by_chain, 0 },
	{ "table_loops", X(BAD_CHAIN), table_loops, 0 },
	{ "table_with_wrong_direction", X(BAD_CHAIN), table_with_wrong_direction, 0 },
	{ "table_with_bad_address", X(BAD_ADDR), table_with_bad_address, 0 },
	{ "table_not_negotiated", X(BAD_INDIRECT), table_loops, VHU_F_INDIRECT },
};
#undef X

/** Reset the guest, and all is well again. */
static void
recover(struct fx *fx)
{
	assert_int_equal(vhu_reset(fx->v, VHU_FEATURES_LINUX), 0);
	fx_wait(fx, vport_queue_ready(fx->q[0]));
	exchange(fx);
}

static void
check_stopped(struct fx *fx, const struct evil *e)
{
	struct rte_mbuf *m = NULL;

	if (fx_count(fx, e->counter) != 1)
		print_error("%s: not counted\n", e->name);
	assert_int_equal(fx_count(fx, e->counter), 1);
	assert_int_equal(fx_count(fx, VPORT_COUNT_QUEUE_BROKEN), 1);
	assert_false(vport_queue_ready(fx->q[0]));
	assert_int_equal(vport_rx_burst(fx->q[0], &m, 1), 0);
	assert_int_equal(vport_lend(fx->q[0], &m, 1), 0);
	fx_wait(fx, fx->released[0] == 1);
	assert_int_equal(fx->stopped[0], 1);
	assert_true(fx_noted(fx, "queue 0 stopped"));
}

static void
stops_queue_whose_tx_ring_is_broken(void **state)
{
	for (size_t i = 0; i < sizeof(evils) / sizeof(evils[0]); i++) {
		struct fx *fx = fx_new();
		struct rte_mbuf *m;
		uint8_t *page;

		fx_open(fx, VHU_FEATURES_LINUX & ~evils[i].without);
		exchange(fx);
		page = vhu_alloc(fx->v, 8192);
		evils[i].act(fx, &fx->v->rings[1], vhu_gpa(fx->v, page), page, 0);
		fx_wait(fx, vport_rx_burst(fx->q[0], &m, 1) == 0 && !vport_queue_ready(fx->q[0]));
		check_stopped(fx, &evils[i]);
		recover(fx);
		fx_free(fx);
	}
}

static void
stops_queue_whose_rx_ring_is_broken(void **state)
{
	/* Found out by lending, and by copying. */
	for (size_t i = 0; i < 2 * sizeof(evils) / sizeof(evils[0]); i++) {
		const struct evil *e = &evils[i / 2];
		struct fx *fx = fx_new();
		struct rte_mbuf *m;
		uint8_t *page;

		fx->vconf.ring_size = 4;
		fx_open(fx, VHU_FEATURES_LINUX & ~e->without);
		exchange(fx);
		page = vhu_alloc(fx->v, 8192);
		if (i % 2 == 0) {
			fx_close(fx);
			fx->vconf.ring_size = 256;
			fx->released[0] = fx->stopped[0] = fx->started[0] = 0;
			fx_wait(fx, !vport_queue_ready(fx->q[0]));
			fx_open(fx, VHU_FEATURES_LINUX & ~e->without);
			fx_wait(fx, fx->started[0] == 1);
			page = vhu_alloc(fx->v, 8192);
			fx->released[0] = fx->stopped[0] = 0;
		}
		e->act(fx, &fx->v->rings[0], vhu_gpa(fx->v, page), page, VRING_DESC_F_WRITE);
		if (i % 2 == 0) {
			/* Behind it, so that there is enough to lend. */
			for (unsigned int k = 0; k < 40 && e->act != index_too_far; k++)
				offer(&fx->v->rings[0], fx->v->rings[0].avail->ring[0]);
			assert_int_equal(vport_lend(fx->q[0], &m, 1), 0);
		} else {
			m = fx_mbuf(frame, 100);
			assert_int_equal(vport_tx_burst(fx->q[0], &m, 1), 0);
			rte_pktmbuf_free(m);
		}
		check_stopped(fx, e);
		recover(fx);
		fx_free(fx);
	}
}

static void
stops_queue_that_offers_a_head_twice(void **state)
{
	struct fx *fx = fx_new();
	struct rte_mbuf *held, *m;

	fx_open(fx, 0);
	held = fx_pass(fx, NULL, frame, 1514, NULL);
	offer(&fx->v->rings[1], fx->v->rings[1].avail->ring[0]);
	assert_int_equal(vport_rx_burst(fx->q[0], &m, 1), 0);
	assert_int_equal(fx_count(fx, VPORT_COUNT_RING_BUSY_HEAD), 1);
	assert_int_equal(fx_count(fx, VPORT_COUNT_QUEUE_BROKEN), 1);
	fx_wait(fx, fx->stopped[0] == 1);
	assert_int_equal(fx->released[0], 0);
	rte_pktmbuf_free(held);
	fx_wait(fx, fx->released[0] == 1);
	recover(fx);
	fx_free(fx);
}

static void
stops_queue_that_offers_a_lent_head_twice(void **state)
{
	struct fx *fx = fx_new();
	struct rte_mbuf *lent, *m;
	unsigned int copied = 0;

	fx_open(fx, 0);
	vhu_rx_post(fx->v, 0, 2048, 33, NULL, false);
	assert_int_equal(vport_lend(fx->q[0], &lent, 1), 1);
	offer(&fx->v->rings[0], fx->v->rings[0].avail->ring[0]);
	/* The 32 that are the guest's to offer, and then the one that is not. */
	while (m = fx_mbuf(frame, 60), vport_tx_burst(fx->q[0], &m, 1) == 1)
		copied++;
	rte_pktmbuf_free(m);
	assert_int_equal(copied, 32);
	assert_false(vport_queue_ready(fx->q[0]));
	assert_int_equal(fx_count(fx, VPORT_COUNT_RING_BUSY_HEAD), 1);
	rte_pktmbuf_free(lent);
	recover(fx);
	fx_free(fx);
}

static void
takes_descriptor_over_the_border_of_regions(void **state)
{
	struct fx *fx = fx_new();
	struct vhu_mem_region *reg;
	uint8_t *buf;
	uint64_t border;
	struct rte_mbuf *m;
	struct vhu_ring *r;

	/* Regions in one piece for the guest: without the gap after the first. */
	fx->vconf.regions = 2;
	fx->v = vhu_new(&fx->vconf);
	assert_non_null(fx->v);
	reg = fx->v->table.regions;
	reg[1].gpa = reg[0].gpa + reg[0].bytes;
	assert_int_equal(vhu_reconnect(fx->v), 0);
	fx_wait(fx, vport_queue_ready(fx->q[0]));
	border = reg[1].gpa;
	buf = fx->v->mem + reg[0].bytes;
	fx_fill(buf - 700, 1412, 1);
	memset(buf - 700, 0, 12);
	r = &fx->v->rings[1];
	put(r, 0, border - 700, 1412, 0, 0);
	offer(r, 0);
	m = fx_rx_one(fx);
	fx_assert_bytes(m, buf - 688, 1400);
	assert_int_equal(m->nb_segs, 3);
	rte_pktmbuf_free(m);
	vport_queue_flush(fx->q[0]);
	fx_wait(fx, __atomic_load_n(&r->used->idx, __ATOMIC_ACQUIRE) == 1);
	vhu_close(fx->v);
	fx->v = NULL;
	fx_free(fx);
}

static uint32_t
roll(uint32_t *x, uint32_t below)
{
	*x = *x * 1664525u + 1013904223u;
	return (uint32_t)(((uint64_t)*x * below) >> 32);
}

/** Descriptors of which some make sense. */
static void
scribble(struct fx *fx, struct vring_desc *d, unsigned int n, uint32_t *x, unsigned int next_below)
{
	const struct vhu_mem_region *reg = fx->v->table.regions;

	for (unsigned int i = 0; i < n; i++) {
		const uint32_t kind = roll(x, 16);

		d[i].addr = reg->gpa + roll(x, kind ? (uint32_t)reg->bytes : UINT32_MAX);
		d[i].len = kind < 2 ? roll(x, UINT32_MAX) : roll(x, 3000);
		d[i].flags = (uint16_t)roll(x, kind < 3 ? 65536 : 4);
		d[i].next = (uint16_t)roll(x, kind < 3 ? 65536 : next_below);
	}
}

static void
survives_rings_of_noise(void **state)
{
	struct fx *fx = fx_new();
	uint32_t x = 20;

	fx->vconf.ring_size = 64;
	fx->vconf.regions = 2;
	fx_open(fx, 0);
	for (unsigned int i = 0; i < 150; i++) {
		struct rte_mbuf *m[64];
		uint16_t n;

		for (unsigned int k = 0; k < 2; k++) {
			struct vhu_ring *r = &fx->v->rings[k];

			scribble(fx, r->desc, 64, &x, 64);
			for (unsigned int j = 0; j < 64; j++) {
				r->avail->ring[j] = (uint16_t)roll(&x, roll(&x, 50) ? 64 : 65536);
				if (k == 0)
					r->desc[j].flags |= VRING_DESC_F_WRITE;
				else if (roll(&x, 8))
					r->desc[j].flags &= (uint16_t)~VRING_DESC_F_WRITE;
			}
			r->avail->idx = (uint16_t)(r->avail->idx + roll(&x, 65));
		}
		n = vport_rx_burst(fx->q[0], m, VPORT_BURST);
		for (uint16_t k = 0; k < n; k++) {
			if (vport_tx_burst(fx->q[0], &m[k], 1) == 0)
				rte_pktmbuf_free(m[k]);
		}
		n = vport_lend(fx->q[0], m, VPORT_BURST);
		for (uint16_t k = 0; k < n; k++) {
			for (struct rte_mbuf *s = m[k]; s; s = s->next)
				memset(rte_pktmbuf_mtod(s, void *), 1, s->buf_len - s->data_off);
			m[k]->data_len = m[k]->pkt_len = 60;
			if (vport_tx_burst(fx->q[0], &m[k], 1) == 0)
				rte_pktmbuf_free(m[k]);
		}
		vport_queue_flush(fx->q[0]);
		vport_queue_arm(fx->q[0]);
		vport_queue_disarm(fx->q[0]);
		fx_poll(fx);
		if (vport_queue_ready(fx->q[0]))
			continue;
		vhu_close(fx->v);
		fx->v = NULL;
		fx_wait(fx, !fx->releasing[0]);
		fx_open(fx, 0);
	}
	vhu_close(fx->v);
	fx->v = NULL;
	fx_wait(fx, !vport_queue_ready(fx->q[0]) && !fx->releasing[0]);
	fx_open(fx, 0);
	exchange(fx);
	fx_free(fx);
}

/* ---- the memory itself ---- */

static void
stops_queue_whose_memory_is_cut_short(void **state)
{
	/* Seen by a read, by a copy, in a lent buffer, by the rings themselves. */
	for (unsigned int i = 0; i < 4; i++) {
		struct fx *fx = fx_new();
		struct rte_mbuf *m = NULL, *lent = NULL;
		size_t keep;

		fx_open(fx, 0);
		exchange(fx);
		assert_non_null(vhu_alloc(fx->v, 65536));
		vhu_rx_post(fx->v, 0, 2048, 64, NULL, false);
		assert_int_equal(vport_lend(fx->q[0], &lent, 1), 1);
		assert_int_equal(vhu_tx(fx->v, 0, NULL, frame, 2000, NULL), 0);
		keep = i == 3 ? 0 : 16384; /* the rings, and not the frames */
		assert_int_equal(ftruncate(fx->v->mem_fd, (off_t)keep), 0);
		if (i == 0) {
			m = NULL;
			if (vport_rx_burst(fx->q[0], &m, 1) == 1)
				rte_pktmbuf_free(m);
		} else if (i == 1) {
			m = fx_mbuf(frame, 100);
			if (vport_tx_burst(fx->q[0], &m, 1) == 0)
				rte_pktmbuf_free(m);
		} else if (i == 2) {
			memset(rte_pktmbuf_mtod(lent, void *), 1, 1000);
		}
		for (unsigned int k = 0; k < 3; k++) {
			m = NULL;
			if (vport_rx_burst(fx->q[0], &m, 1) == 1)
				rte_pktmbuf_free(m);
			vport_queue_flush(fx->q[0]);
		}
		assert_int_equal(fx_count(fx, VPORT_COUNT_MEMORY_LOST), 1);
		assert_int_equal(fx_count(fx, VPORT_COUNT_QUEUE_BROKEN), 1);
		rte_pktmbuf_free(lent);
		fx_wait(fx, fx->released[0] == 1);
		/* Its own front-end must not touch that memory any more, either. */
		assert_int_equal(ftruncate(fx->v->mem_fd, (off_t)fx->v->mem_bytes), 0);
		vhu_close(fx->v);
		fx->v = NULL;
		fx_wait(fx, fx_noted(fx, "left"));
		/* The next front-end finds everything in order. */
		fx_open(fx, 0);
		exchange(fx);
		fx_free(fx);
	}
}

static void
survives_memory_cut_short_while_messages_are_handled(void **state)
{
	struct fx *fx = fx_new();
	uint64_t index = 0;

	fx_open(fx, 0);
	exchange(fx);
	assert_int_equal(vhu_ring_stop(fx->v, 0, NULL), 0);
	assert_int_equal(ftruncate(fx->v->mem_fd, 0), 0);
	/* librte_vhost itself reads the ring when it is set up. */
	struct vhu_vring_addr addr = { .index = 0,
		.desc = (uintptr_t)fx->v->rings[0].desc,
		.avail = (uintptr_t)fx->v->rings[0].avail,
		.used = (uintptr_t)fx->v->rings[0].used };
	struct vhu_vring_state num = { 0, 256 };

	vhu_send_ack(fx->v, VHU_SET_VRING_NUM, &num, sizeof(num), NULL, 0);
	vhu_send_ack(fx->v, VHU_SET_VRING_ADDR, &addr, sizeof(addr), NULL, 0);
	vhu_send_ack(fx->v, VHU_SET_VRING_KICK, &index, sizeof(index), &fx->v->rings[0].kick_fd, 1);
	vhu_send_ack(fx->v, VHU_SET_VRING_CALL, &index, sizeof(index), &fx->v->rings[0].call_fd, 1);
	assert_int_equal(ftruncate(fx->v->mem_fd, (off_t)fx->v->mem_bytes), 0);
	vhu_close(fx->v);
	fx->v = NULL;
	fx_wait(fx, fx_noted(fx, "left"));
	fx_open(fx, 0);
	exchange(fx);
	fx_free(fx);
}

static void
stops_queue_on_a_system_calls_word(void **state)
{
	struct fx *fx = fx_new();

	fx_open(fx, 0);
	vport_queue_memory_lost(fx->q[0]);
	vport_queue_memory_lost(fx->q[0]);
	assert_int_equal(fx_count(fx, VPORT_COUNT_MEMORY_LOST), 1);
	fx_wait(fx, fx->released[0] == 1);
	fx_free(fx);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stops_queue_whose_tx_ring_is_broken),
		cmocka_unit_test(stops_queue_whose_rx_ring_is_broken),
		cmocka_unit_test(stops_queue_that_offers_a_head_twice),
		cmocka_unit_test(stops_queue_that_offers_a_lent_head_twice),
		cmocka_unit_test(survives_rings_of_noise),
		cmocka_unit_test(takes_descriptor_over_the_border_of_regions),
		cmocka_unit_test(stops_queue_whose_memory_is_cut_short),
		cmocka_unit_test(survives_memory_cut_short_while_messages_are_handled),
		cmocka_unit_test(stops_queue_on_a_system_calls_word),
	};

	return cmocka_run_group_tests_name(
		"vport_hostile", tests, fx_group_setup, fx_group_teardown);
}
