/* SPDX-License-Identifier: BSD-3-Clause */
/* The front-end's rings against a device that is played here, by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "vhu.h"

static uint8_t *
at_gpa(struct vhu *v, uint64_t gpa)
{
	for (unsigned int i = 0; i < v->table.n; i++) {
		struct vhu_mem_region *r = &v->table.regions[i];

		if (gpa >= r->gpa && gpa < r->gpa + r->bytes)
			return (uint8_t *)(uintptr_t)(gpa - r->gpa + r->uva);
	}
	return NULL;
}

struct device {
	uint16_t last_avail;
};

/* Take a chain; bytes are read from it (write NULL) or written to it. Returns length, head in *id.
 */
static size_t
device_take(struct vhu *v, struct vhu_ring *r, struct device *d, uint8_t *read,
	const uint8_t *write, size_t len, uint32_t *id, unsigned int *n_desc)
{
	uint16_t head = r->avail->ring[d->last_avail++ % r->size];
	struct vring_desc *table = r->desc;
	uint16_t i = head;
	size_t done = 0;

	*id = head;
	*n_desc = 0;
	if (table[i].flags & VRING_DESC_F_INDIRECT) {
		table = (struct vring_desc *)at_gpa(v, table[i].addr);
		i = 0;
	}
	for (;;) {
		uint8_t *p = at_gpa(v, table[i].addr);
		size_t n = table[i].len;

		(*n_desc)++;
		assert_non_null(p);
		if (write != NULL) {
			n = n < len - done ? n : len - done;
			memcpy(p, write + done, n);
		} else {
			memcpy(read + done, p, n);
		}
		done += n;
		if (!(table[i].flags & VRING_DESC_F_NEXT))
			return done;
		i = table[i].next;
	}
}

static void
device_put(struct vhu_ring *r, uint32_t id, uint32_t len)
{
	r->used->ring[r->used->idx % r->size] = (struct vring_used_elem){ id, len };
	__atomic_store_n(&r->used->idx, (uint16_t)(r->used->idx + 1), __ATOMIC_RELEASE);
}

static struct vhu *
make(uint64_t features)
{
	struct vhu_conf conf = { .path = "/nowhere",
		.ring_size = 8,
		.mem_bytes = 4 << 20,
		.regions = 3,
		.timeout_ms = 10 };
	struct vhu *v = vhu_new(&conf);

	assert_non_null(v);
	v->features = features;
	v->hdr_bytes = 12;
	return v;
}

static void
sends_a_frame_in_the_shape_asked_for(void **state)
{
	static const size_t split[] = { 1, 12, 13, 100 };
	struct vhu *v = make(VHU_F_VERSION_1);
	struct vhu_ring *r = &v->rings[VHU_TX(0)];
	struct device d = { 0 };
	uint8_t frame[500], got[600];

	for (unsigned int i = 0; i < sizeof(frame); i++)
		frame[i] = (uint8_t)(i * 7);
	for (unsigned int round = 0; round < 40; round++) {
		struct vhu_shape shape = { split, 4, round & 1 };
		struct virtio_net_hdr hdr = { .gso_size = 77 };
		uint32_t id;
		unsigned int n;

		assert_int_equal(vhu_tx(v, 0, &hdr, frame, sizeof(frame), &shape), 0);
		assert_int_equal(r->avail->idx, round + 1);
		assert_int_equal(device_take(v, r, &d, got, NULL, 0, &id, &n), 12 + sizeof(frame));
		assert_int_equal(n, 5);
		assert_memory_equal(got, &hdr, sizeof(hdr));
		assert_memory_equal(got + 12, frame, sizeof(frame));
		device_put(r, id, 0);
		assert_true(vhu_tx_drain(v, 0, 10));
		assert_int_equal(r->n_free, 8);
	}
	assert_null(vhu_violation(v));
	vhu_close(v);
}

static void
tells_when_the_ring_is_full(void **state)
{
	struct vhu *v = make(VHU_F_VERSION_1);
	uint8_t frame[60] = { 0 };

	for (int i = 0; i < 8; i++)
		assert_int_equal(vhu_tx(v, 0, NULL, frame, sizeof(frame), NULL), 0);
	assert_int_equal(vhu_tx(v, 0, NULL, frame, sizeof(frame), NULL), -ENOBUFS);
	assert_false(vhu_tx_drain(v, 0, 5));
	vhu_ring_clear(v, VHU_TX(0));
	assert_int_equal(vhu_tx(v, 0, NULL, frame, sizeof(frame), NULL), 0);
	vhu_close(v);
}

static void
assembles_a_merged_frame_and_posts_its_buffers_again(void **state)
{
	static const size_t split[] = { 5, 50 };
	struct vhu_shape shape = { split, 2, false };
	struct vhu *v = make(VHU_F_VERSION_1 | VHU_F_MRG_RXBUF);
	struct vhu_ring *r = &v->rings[VHU_RX(0)];
	struct device d = { 0 };
	struct vhu_frame f;
	uint8_t out[260];

	assert_int_equal(vhu_rx_post(v, 0, 100, 4, &shape, true), 2);
	for (unsigned int i = 0; i < sizeof(out); i++)
		out[i] = (uint8_t)i;
	for (int round = 0; round < 5; round++) {
		uint32_t id[2];
		unsigned int n;

		memset(out, 0, 12);
		out[10] = 2;
		device_take(v, r, &d, NULL, out, 100, &id[0], &n);
		device_take(v, r, &d, NULL, out + 100, 60, &id[1], &n);
		device_put(r, id[0], 100);
		device_put(r, id[1], 60);
		assert_int_equal(vhu_rx_poll(v, 0, 10, &f), 1);
		assert_int_equal(f.n_buffers, 2);
		assert_int_equal(f.len, 148);
		assert_memory_equal(f.data, out + 12, 148);
	}
	assert_int_equal(vhu_rx_poll(v, VHU_ANY, 5, &f), 0);
	assert_null(vhu_violation(v));
	vhu_close(v);
}

/* Each lets the device do one thing that is wrong. */
static void
expect_violation(struct vhu *v, const char *what)
{
	struct vhu_frame f;

	assert_int_equal(vhu_rx_poll(v, 0, 5, &f), -EPROTO);
	assert_non_null(vhu_violation(v));
	assert_non_null(strstr(vhu_violation(v), what));
	vhu_close(v);
}

static void
reports_a_used_length_beyond_the_buffer(void **state)
{
	struct vhu *v = make(VHU_F_VERSION_1);

	vhu_rx_post(v, 0, 100, 1, NULL, false);
	device_put(&v->rings[0], v->rings[0].avail->ring[0], 101);
	expect_violation(v, "used length");
}

static void
reports_a_used_id_that_was_not_available(void **state)
{
	struct vhu *v = make(VHU_F_VERSION_1);

	device_put(&v->rings[0], 3, 20);
	expect_violation(v, "not available");
}

static void
reports_bytes_outside_of_the_buffer(void **state)
{
	struct vhu *v = make(VHU_F_VERSION_1);
	uint16_t id;

	vhu_rx_post(v, 0, 100, 1, NULL, false);
	id = v->rings[0].avail->ring[0];
	at_gpa(v, v->rings[0].desc[id].addr)[100] = 0;
	device_put(&v->rings[0], id, 60);
	expect_violation(v, "outside");
}

static void
reports_missing_merged_buffers(void **state)
{
	struct vhu *v = make(VHU_F_VERSION_1 | VHU_F_MRG_RXBUF);
	uint16_t id;
	uint8_t *p;

	vhu_rx_post(v, 0, 100, 2, NULL, false);
	id = v->rings[0].avail->ring[0];
	p = at_gpa(v, v->rings[0].desc[id].addr);
	memset(p, 0, 12);
	p[10] = 2;
	device_put(&v->rings[0], id, 100);
	expect_violation(v, "1 buffers of 2");
}

static void
reports_a_used_index_that_jumps(void **state)
{
	struct vhu *v = make(VHU_F_VERSION_1);

	v->rings[0].used->idx = 9;
	expect_violation(v, "used index");
}

static void
kicks_only_when_the_device_wishes(void **state)
{
	struct vhu *v = make(VHU_F_VERSION_1 | VHU_F_EVENT_IDX);
	struct vhu_ring *r = &v->rings[VHU_TX(0)];
	uint16_t *event = (uint16_t *)&r->used->ring[r->size];
	uint8_t frame[60] = { 0 };

	*event = 1;
	vhu_tx(v, 0, NULL, frame, sizeof(frame), NULL);
	assert_int_equal(r->kicks, 0);
	vhu_tx(v, 0, NULL, frame, sizeof(frame), NULL);
	assert_int_equal(r->kicks, 1);
	vhu_tx(v, 0, NULL, frame, sizeof(frame), NULL);
	assert_int_equal(r->kicks, 1);
	v->features &= ~VHU_F_EVENT_IDX;
	vhu_tx(v, 0, NULL, frame, sizeof(frame), NULL);
	assert_int_equal(r->kicks, 2);
	r->used->flags = VRING_USED_F_NO_NOTIFY;
	vhu_tx(v, 0, NULL, frame, sizeof(frame), NULL);
	assert_int_equal(r->kicks, 2);
	vhu_close(v);
}

static void
forget_to_call(void *arg)
{
	struct vhu *v = arg;

	if (v->rings[VHU_TX(0)].used->idx == 0)
		device_put(&v->rings[VHU_TX(0)], v->rings[VHU_TX(0)].avail->ring[0], 0);
}

static void
counts_work_that_came_without_a_call(void **state)
{
	struct vhu *v = make(VHU_F_VERSION_1);
	struct vhu_ring *r = &v->rings[VHU_TX(0)];
	uint8_t frame[60] = { 0 };

	vhu_tx(v, 0, NULL, frame, sizeof(frame), NULL);
	assert_false(vhu_ring_wait_used(v, r, 5));
	assert_int_equal(vhu_lost_calls(v), 0);
	v->conf.idle = forget_to_call;
	v->conf.idle_arg = v;
	assert_true(vhu_ring_wait_used(v, r, 5));
	assert_int_equal(vhu_lost_calls(v), 1);
	vhu_close(v);
}

static void
memory_is_given_out_within_one_region_and_taken_back(void **state)
{
	struct vhu *v = make(0);
	void *p[64];
	unsigned int n = 0;

	while (n < 64 && (p[n] = vhu_alloc(v, 100000)) != NULL) {
		uint64_t gpa = vhu_gpa(v, p[n]);

		assert_ptr_equal(at_gpa(v, gpa + 99999), (uint8_t *)p[n] + 99999);
		n++;
	}
	assert_in_range(n, 36, 42);
	for (unsigned int i = 0; i < n; i++)
		vhu_free(v, p[i], 100000);
	assert_null(at_gpa(v, vhu_gpa_hole(v)));
	assert_non_null(vhu_alloc(v, 1 << 20));
	vhu_close(v);
}

static void
connecting_to_nobody_fails_in_bounded_time(void **state)
{
	struct vhu_conf conf = { .path = "/nonexistent/x.sock", .timeout_ms = 20 };

	assert_null(vhu_open(&conf));
	assert_int_equal(errno, ENOENT);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sends_a_frame_in_the_shape_asked_for),
		cmocka_unit_test(tells_when_the_ring_is_full),
		cmocka_unit_test(assembles_a_merged_frame_and_posts_its_buffers_again),
		cmocka_unit_test(reports_a_used_length_beyond_the_buffer),
		cmocka_unit_test(reports_a_used_id_that_was_not_available),
		cmocka_unit_test(reports_bytes_outside_of_the_buffer),
		cmocka_unit_test(reports_missing_merged_buffers),
		cmocka_unit_test(reports_a_used_index_that_jumps),
		cmocka_unit_test(kicks_only_when_the_device_wishes),
		cmocka_unit_test(counts_work_that_came_without_a_call),
		cmocka_unit_test(memory_is_given_out_within_one_region_and_taken_back),
		cmocka_unit_test(connecting_to_nobody_fails_in_bounded_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
