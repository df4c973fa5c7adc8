/* SPDX-License-Identifier: BSD-3-Clause */
/* Messages as a hostile front-end sends them. */
#include "hostile.h"

#include <fcntl.h>

#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>

/* Connected and negotiated; what follows is the test's. */
static struct vhu *
negotiated(void)
{
	struct vhu *v = hostile_new();

	assert_int_equal(vhu_connect(v), 0);
	assert_int_equal(vhu_negotiate(v), 0);
	return v;
}

static void
arp_once(struct vhu *v)
{
	size_t len;
	uint8_t *p = hostile_frame(v, &len);

	vhu_tx(v, 0, NULL, p + 12, len - 12, NULL);
}

static void
sent(uint32_t request, const void *payload, uint32_t size)
{
	struct vhu *v = negotiated();

	vhu_set_mem(v);
	vhu_send_ack(v, request, payload, size, NULL, 0);
	hostile_wait();
	vhu_close(v);
}

static void
unknown_requests(void **state)
{
	static const uint32_t requests[] = { 0, 23, 24, 41, 43, 99, 1000, UINT32_MAX };
	uint8_t payload[200] = { 0 };

	for (unsigned int i = 0; i < sizeof(requests) / sizeof(requests[0]); i++)
		sent(requests[i], payload, sizeof(payload));
}

static void
every_request_with_a_short_payload(void **state)
{
	static const uint8_t zero[8];

	for (uint32_t r = 1; r <= 44; r++) {
		struct vhu *v = negotiated();

		vhu_send(v, r, 0, zero, r % 8, NULL, 0);
		vhu_closed_by_peer(v, 2);
		vhu_close(v);
	}
	hostile_wait();
}

static void
every_request_before_all_others(void **state)
{
	uint8_t payload[256];

	memset(payload, 0xff, sizeof(payload));
	for (uint32_t r = 1; r <= 44; r++) {
		struct vhu *v = hostile_new();

		assert_int_equal(vhu_connect(v), 0);
		vhu_send(v, r, 0, payload, r == VHU_SET_MEM_TABLE ? 256 : r % 2 ? 8 : 16, NULL, 0);
		vhu_closed_by_peer(v, 2);
		vhu_close(v);
	}
	hostile_wait();
}

static void
header_that_lies_about_its_size(void **state)
{
	static const uint32_t sizes[] = { 9, 4096, 65536, UINT32_MAX, 0x80000000 };

	for (int i = 0; i < 5; i++) {
		struct vhu *v = negotiated();
		uint32_t head[5] = { VHU_SET_VRING_NUM, VHU_MSG_VERSION, sizes[i], 0, 16 };

		vhu_send_bytes(v, head, sizeof(head), NULL, 0);
		hostile_wait();
		vhu_close(v);
	}
}

static void
wrong_version_and_reply_flags(void **state)
{
	for (uint32_t flags = 0; flags < 16; flags++) {
		struct vhu *v = negotiated();
		uint32_t msg[5] = { VHU_SET_VRING_NUM, flags, 8, 0, 16 };

		vhu_send_bytes(v, msg, sizeof(msg), NULL, 0);
		vhu_closed_by_peer(v, 2);
		vhu_close(v);
	}
	hostile_wait();
}

static void
connection_closed_inside_of_a_message(void **state)
{
	uint32_t msg[5] = { VHU_SET_VRING_NUM, VHU_MSG_VERSION, 8, 0, 16 };

	for (size_t len = 1; len < sizeof(msg); len += 3) {
		struct vhu *v = negotiated();

		vhu_send_bytes(v, msg, len, NULL, 0);
		vhu_close(v);
	}
	hostile_wait();
}

/* The other VM's front-end has something to say meanwhile. */
static void
other_is_answered(void)
{
	uint64_t features;

	for (unsigned int i = 0; i < 20; i++)
		assert_int_equal(vhu_get_u64(smoke.g->v, VHU_GET_FEATURES, &features), 0);
}

static void
message_sent_by_halves_holds_up_nobody(void **state)
{
	const uint32_t msg[] = { VHU_GET_FEATURES, VHU_MSG_VERSION, 0 };
	uint32_t request, flags;
	uint64_t features;
	struct vhu *v = hostile_new();

	assert_int_equal(vhu_connect(v), 0);
	assert_int_equal(vhu_send_bytes(v, msg, 6, NULL, 0), 0);
	other_is_answered();
	assert_int_equal(vhu_send_bytes(v, (const uint8_t *)msg + 6, 6, NULL, 0), 0);
	assert_int_equal(vhu_recv(v, &request, &flags, &features, 8, NULL, 0), 8);
	vhu_close(v);
}

static void
answers_that_nobody_reads_hold_up_nobody(void **state)
{
	const uint32_t msg[] = { VHU_GET_FEATURES, VHU_MSG_VERSION, 0 };
	unsigned int n = 0, stuck = 0;
	uint32_t request, flags;
	uint64_t features;
	struct vhu *v = hostile_new();

	assert_int_equal(vhu_connect(v), 0);
	while (stuck < 20) {
		if (send(v->sock, msg, sizeof(msg), MSG_DONTWAIT | MSG_NOSIGNAL) > 0) {
			n++;
			stuck = 0;
		} else {
			stuck++;
			other_is_answered();
		}
	}
	for (unsigned int i = 0; i < n; i++)
		assert_int_equal(vhu_recv(v, &request, &flags, &features, 8, NULL, 0), 8);
	vhu_close(v);
}

static void
ring_numbers_out_of_range(void **state)
{
	static const uint32_t rings[] = { 4, 5, 15, 255, 256, 0x7fffffff, UINT32_MAX };
	static const uint32_t requests[] = { VHU_SET_VRING_NUM, VHU_SET_VRING_BASE,
		VHU_SET_VRING_ENABLE, VHU_SET_VRING_KICK, VHU_SET_VRING_CALL, VHU_SET_VRING_ERR,
		VHU_GET_VRING_BASE };

	for (unsigned int i = 0; i < 7; i++) {
		struct vhu_vring_state s = { rings[i], 1 };
		struct vhu_vring_addr a = { .index = rings[i], .desc = 0x1000 };

		sent(VHU_SET_VRING_ADDR, &a, sizeof(a));
		for (unsigned int k = 0; k < 7; k++) {
			struct vhu *v = negotiated();

			vhu_send(v, requests[k], 0, &s, sizeof(s), NULL, 0);
			vhu_closed_by_peer(v, 2);
			vhu_close(v);
		}
	}
}

static void
ring_sizes_out_of_range(void **state)
{
	static const uint32_t sizes[] = { 0, 3, 17, 32769, 65535, 65536, UINT32_MAX };

	for (int i = 0; i < 7; i++) {
		struct vhu *v = negotiated();
		struct vhu_vring_state s = { VHU_TX(0), sizes[i] };

		vhu_set_mem(v);
		if (vhu_send_ack(v, VHU_SET_VRING_NUM, &s, sizeof(s), NULL, 0) == 0) {
			struct vhu_vring_state base = { VHU_TX(0), 0 };

			vhu_send_ack(v, VHU_SET_VRING_BASE, &base, sizeof(base), NULL, 0);
		}
		hostile_wait();
		vhu_close(v);
	}
}

static void
ring_addresses_that_are_nowhere(void **state)
{
	static const uint64_t odd[] = { 0, 1, 0x1000, UINT64_MAX, UINT64_MAX - 4096 };

	for (int i = 0; i < 5; i++) {
		for (int which = 0; which < 3; which++) {
			struct vhu *v = hostile_open();
			struct vhu_ring *r = &v->rings[VHU_TX(0)];
			struct vhu_vring_addr a = { VHU_TX(0), 0, (uintptr_t)r->desc,
				(uintptr_t)r->used, (uintptr_t)r->avail, 0 };

			*(which == 0 ? &a.desc : which == 1 ? &a.used : &a.avail) = odd[i];
			vhu_send_ack(v, VHU_SET_VRING_ADDR, &a, sizeof(a), NULL, 0);
			vhu_ring_kick(r);
			hostile_wait();
			vhu_close(v);
		}
	}
}

static void
ring_that_runs_over_the_end_of_memory(void **state)
{
	struct vhu *v = hostile_open();
	uintptr_t end = (uintptr_t)v->mem + v->mem_bytes;
	struct vhu_vring_addr a = { VHU_TX(0), 0, end - 16, end - 8, end - 4, 0 };

	vhu_send_ack(v, VHU_SET_VRING_ADDR, &a, sizeof(a), NULL, 0);
	vhu_ring_kick(&v->rings[VHU_TX(0)]);
	hostile_wait();
	vhu_close(v);
}

static void
features_that_were_not_offered(void **state)
{
	struct vhu *v = hostile_new();

	assert_int_equal(vhu_connect(v), 0);
	assert_int_equal(vhu_negotiate(v), 0);
	vhu_set_features(v, UINT64_MAX);
	vhu_start(v);
	vhu_ring_kick(&v->rings[VHU_TX(0)]);
	hostile_wait();
	vhu_close(v);
}

static void
dirty_log_that_is_malformed(void **state)
{
	static const uint64_t logs[][2] = { { 0, 0 }, { 16, 0 }, { UINT64_MAX, 0 },
		{ 4096, UINT64_MAX }, { UINT64_MAX - 4096, 4097 } };

	for (int i = 0; i < 5; i++) {
		struct vhu *v = hostile_open();
		int fd = memfd_create("log", 0);

		assert_int_equal(ftruncate(fd, i < 3 ? 16 : 8192), 0);
		vhu_send(v, VHU_SET_LOG_BASE, 0, logs[i], 16, &fd, 1);
		vhu_closed_by_peer(v, 5);
		vhu_set_features(v, v->features | VHU_F_LOG_ALL);
		arp_once(v);
		hostile_wait();
		vhu_close(v);
		close(fd);
	}
}

static void
inflight_area_that_is_malformed(void **state)
{
	struct {
		uint64_t size, offset;
		uint16_t queues, ring;
		uint32_t pad;
	} bad[] = { { 0, 0, 0, 0, 0 }, { UINT64_MAX, 0, 2, 16, 0 }, { 4096, UINT64_MAX, 2, 16, 0 },
		{ 16, 0, 0xffff, 0xffff, 0 } };

	for (int i = 0; i < 4; i++) {
		struct vhu *v = negotiated();
		int fd = memfd_create("inflight", 0);

		assert_int_equal(ftruncate(fd, 16), 0);
		vhu_send(v, VHU_SET_INFLIGHT_FD, 0, &bad[i], sizeof(bad[i]), &fd, 1);
		vhu_send(v, VHU_GET_INFLIGHT_FD, 0, &bad[i], sizeof(bad[i]), NULL, 0);
		vhu_closed_by_peer(v, 5);
		vhu_close(v);
		close(fd);
	}
	hostile_wait();
}

static void
descriptors_nobody_asked_for_are_closed(void **state)
{
	int before, after = 0, fds[8];

	for (int i = 0; i < 8; i++)
		fds[i] = eventfd(0, 0);
	hostile_wait();
	before = proc_open_fds(smoke.d);
	for (int i = 0; i < 10; i++) {
		struct vhu *v = negotiated();
		struct vhu_vring_state s = { 0, 16 };

		vhu_send(v, VHU_SET_VRING_NUM, 0, &s, sizeof(s), fds, 8);
		vhu_closed_by_peer(v, 5);
		vhu_close(v);
		v = negotiated();
		vhu_send(v, 99, 0, &s, sizeof(s), fds, 8);
		vhu_closed_by_peer(v, 5);
		vhu_close(v);
	}
	for (int i = 0; i < 20; i++) {
		host_idle(smoke.g, 50);
		after = proc_open_fds(smoke.d);
		if (after <= before + 4)
			break;
	}
	if (after > before + 4)
		fail_msg("%d file descriptors before, %d after", before, after);
	for (int i = 0; i < 8; i++)
		close(fds[i]);
}

static void
hundred_connections_that_say_nothing(void **state)
{
	int before = proc_open_fds(smoke.d), after = 0;

	for (int i = 0; i < 100; i++) {
		struct vhu *v = hostile_new();

		assert_int_equal(vhu_connect(v), 0);
		vhu_close(v);
	}
	for (int i = 0; i < 40; i++) {
		host_idle(smoke.g, 50);
		after = proc_open_fds(smoke.d);
		if (after <= before + 4)
			break;
	}
	assert_true(after <= before + 4);
}

static void
second_front_end_on_one_socket_does_no_harm(void **state)
{
	struct vhu *v = hostile_open(), *w = hostile_new();

	w->conf.timeout_ms = 300;
	vhu_reconnect(w);
	arp_once(v);
	hostile_wait();
	vhu_close(w);
	arp_once(v);
	hostile_wait();
	vhu_close(v);
}

static void
rings_stopped_and_started_without_end(void **state)
{
	struct vhu *v = hostile_open();

	for (int i = 0; i < 30; i++) {
		arp_once(v);
		if (vhu_ring_stop(v, VHU_TX(0), NULL) < 0 || vhu_ring_start(v, VHU_TX(0)) < 0 ||
			vhu_ring_enable(v, VHU_TX(0), true) < 0)
			fail_msg("ring does not stop and start");
	}
	vhu_close(v);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		HOSTILE(unknown_requests),
		HOSTILE(every_request_with_a_short_payload),
		HOSTILE(every_request_before_all_others),
		HOSTILE(header_that_lies_about_its_size),
		HOSTILE(wrong_version_and_reply_flags),
		HOSTILE(connection_closed_inside_of_a_message),
		HOSTILE(message_sent_by_halves_holds_up_nobody),
		HOSTILE(answers_that_nobody_reads_hold_up_nobody),
		HOSTILE(ring_numbers_out_of_range),
		HOSTILE(ring_sizes_out_of_range),
		HOSTILE(ring_addresses_that_are_nowhere),
		HOSTILE(ring_that_runs_over_the_end_of_memory),
		HOSTILE(features_that_were_not_offered),
		HOSTILE(dirty_log_that_is_malformed),
		HOSTILE(inflight_area_that_is_malformed),
		HOSTILE(descriptors_nobody_asked_for_are_closed),
		HOSTILE(hundred_connections_that_say_nothing),
		HOSTILE(second_front_end_on_one_socket_does_no_harm),
		HOSTILE(rings_stopped_and_started_without_end),
	};

	return cmocka_run_group_tests_name("conf_hostile_msg", tests, hostile_up, smoke_down);
}
