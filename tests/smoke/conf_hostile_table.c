/* SPDX-License-Identifier: BSD-3-Clause */
/* Indirect tables and receive buffers as a hostile guest makes them. */
#include "hostile.h"

#define NEXT VRING_DESC_F_NEXT
#define WRITE VRING_DESC_F_WRITE
#define INDIRECT VRING_DESC_F_INDIRECT

/* One descriptor on the tx ring, and what comes of it. */
static void
tx_one(uint64_t addr, uint32_t len, uint16_t flags, uint16_t next)
{
	struct vhu *v = hostile_open();
	struct vhu_ring *r = &v->rings[VHU_TX(0)];

	hostile_desc(r, 0, addr, len, flags, next);
	hostile_offer(v, r, 0);
	hostile_wait();
	vhu_close(v);
}

/* An indirect descriptor of len bytes, table filled by the caller. */
static void
tx_indirect(void (*fill)(struct vhu *v, struct vring_desc *t), uint32_t len, uint16_t flags)
{
	struct vhu *v = hostile_open();
	struct vhu_ring *r = &v->rings[VHU_TX(0)];
	struct vring_desc *t = vhu_alloc(v, 65536);

	assert_non_null(t);
	memset(t, 0, 65536);
	fill(v, t);
	hostile_desc(r, 0, vhu_gpa(v, t), len, (uint16_t)(INDIRECT | flags), 1);
	hostile_desc(r, 1, vhu_gpa(v, t), 64, 0, 0);
	hostile_offer(v, r, 0);
	hostile_wait();
	vhu_close(v);
}

static void
plain_table(struct vhu *v, struct vring_desc *t)
{
	t[0] = (struct vring_desc){ vhu_gpa(v, v->mem + 65536), 64, 0, 0 };
}

static void
nested_table(struct vhu *v, struct vring_desc *t)
{
	t[0] = (struct vring_desc){ vhu_gpa(v, t), 64, INDIRECT, 0 };
}

static void
looped_table(struct vhu *v, struct vring_desc *t)
{
	t[0] = (struct vring_desc){ vhu_gpa(v, v->mem + 65536), 1, NEXT, 1 };
	t[1] = (struct vring_desc){ vhu_gpa(v, v->mem + 65536), 1, NEXT, 0 };
}

static void
escaping_table(struct vhu *v, struct vring_desc *t)
{
	t[0] = (struct vring_desc){ vhu_gpa(v, v->mem + 65536), 64, NEXT, 4000 };
}

static void
endless_table(struct vhu *v, struct vring_desc *t)
{
	for (uint16_t i = 0; i < 4096; i++)
		t[i] = (struct vring_desc){ vhu_gpa(v, v->mem + 65536), 1, NEXT,
			(uint16_t)(i + 1) };
}

static void
malformed_indirect_tables(void **state)
{
	tx_indirect(plain_table, 0, 0);
	tx_indirect(plain_table, 15, 0);
	tx_indirect(plain_table, 17, 0);
	tx_indirect(plain_table, UINT32_MAX, 0);
	tx_indirect(plain_table, UINT32_MAX & ~15u, 0);
	tx_indirect(plain_table, 16, NEXT);
	tx_indirect(plain_table, 16, WRITE);
}

static void
indirect_table_inside_an_indirect_table(void **state)
{
	tx_indirect(nested_table, 16, 0);
}

static void
indirect_table_that_is_a_loop(void **state)
{
	tx_indirect(looped_table, 32, 0);
}

static void
indirect_table_whose_next_escapes(void **state)
{
	tx_indirect(escaping_table, 16, 0);
}

static void
indirect_table_of_thousands(void **state)
{
	tx_indirect(endless_table, 65536, 0);
}

static void
indirect_table_outside_of_memory(void **state)
{
	tx_one(UINT64_C(0x7000000000), 64, INDIRECT, 0);
	tx_one(UINT64_MAX - 15, 16, INDIRECT, 0);
}

static void
rx_buffers_too_small_for_anything(void **state)
{
	static const size_t sizes[] = { 1, 9, 11, 12, 13, 40 };

	for (unsigned int i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct vhu *v = hostile_new();
		size_t len;
		uint8_t *p = hostile_frame(v, &len);

		assert_int_equal(vhu_reconnect(v), 0);
		vhu_rx_post(v, 0, sizes[i], 16, NULL, false);
		hostile_desc(&v->rings[VHU_TX(0)], 0, vhu_gpa(v, p), (uint32_t)len, 0, 0);
		hostile_offer(v, &v->rings[VHU_TX(0)], 0);
		hostile_wait();
		vhu_close(v);
	}
}

static void
rx_buffers_outside_of_memory(void **state)
{
	struct vhu *v = hostile_new();
	struct vhu_ring *r = &v->rings[VHU_RX(0)];

	assert_int_equal(vhu_reconnect(v), 0);
	for (uint16_t i = 0; i < 16; i++) {
		hostile_desc(r, i, i & 1 ? vhu_gpa_hole(v) : UINT64_MAX - 100, 4096, WRITE, 0);
		vhu_ring_avail(r, i);
	}
	vhu_ring_publish(v, r);
	vhu_ring_kick(r);
	hostile_wait();
	vhu_close(v);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		HOSTILE(malformed_indirect_tables),
		HOSTILE(indirect_table_inside_an_indirect_table),
		HOSTILE(indirect_table_that_is_a_loop),
		HOSTILE(indirect_table_whose_next_escapes),
		HOSTILE(indirect_table_of_thousands),
		HOSTILE(indirect_table_outside_of_memory),
		HOSTILE(rx_buffers_too_small_for_anything),
		HOSTILE(rx_buffers_outside_of_memory),
	};

	return cmocka_run_group_tests_name("conf_hostile_table", tests, hostile_up, smoke_down);
}
