/* SPDX-License-Identifier: BSD-3-Clause */
/* drivers/vhost: messages and descriptors of front-ends, good and bad. Each harms itself alone. */
#include "test_vport_util.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <sys/eventfd.h>
#include <sys/mman.h>

#include <linux/virtio_net.h>

#include <rte_malloc.h>

static uint8_t frame[2048];

/* ---- descriptors of files ---- */

static void
survives_call_descriptors_of_every_kind(void **state)
{
	for (unsigned int kind = 0; kind < 4; kind++) {
		const uint64_t full = UINT64_MAX - 1;
		struct fx *fx = fx_new();
		int fds[2] = { -1, -1 };
		uint64_t index = 0;
		char byte = 0;

		fx_open(fx, VHU_FEATURES_LINUX & ~VHU_F_EVENT_IDX);
		switch (kind) {
		case 0: /* an eventfd at its maximum, that would block */
			fds[0] = eventfd(0, 0);
			assert_int_equal(write(fds[0], &full, sizeof(full)), sizeof(full));
			break;
		case 1: /* a full pipe */
			assert_int_equal(pipe2(fds, O_NONBLOCK), 0);
			while (write(fds[1], &byte, 1) == 1)
				;
			fcntl(fds[1], F_SETFL, 0);
			close(fds[0]);
			fds[0] = dup(fds[1]);
			break;
		case 2: /* a pipe that nobody reads */
			assert_int_equal(pipe(fds), 0);
			close(fds[0]);
			fds[0] = dup(fds[1]);
			break;
		case 3: /* a file */
			fds[0] = memfd_create("call", 0);
			break;
		}
		assert_int_equal(
			vhu_send_ack(fx->v, VHU_SET_VRING_CALL, &index, sizeof(index), fds, 1), 0);
		vhu_rx_post(fx->v, 0, 2048, 4, NULL, false);
		for (unsigned int i = 0; i < 3; i++) {
			fx_poll(fx);
			assert_int_equal(fx_tx(fx, fx_mbuf(frame, 60)), 1);
		}
		/* An eventfd at its maximum says all that it can. */
		assert_in_range(fx_count(fx, VPORT_COUNT_CALL_FAILED), kind == 0 ? 0 : 2, 4);
		assert_true(vport_queue_ready(fx->q[0]));
		close(fds[0]);
		if (fds[1] >= 0)
			close(fds[1]);
		vhu_close(fx->v);
		fx->v = NULL;
		fx_free(fx);
	}
}

static void
takes_no_kick_from_what_is_no_eventfd(void **state)
{
	struct fx *fx = fx_new();
	uint64_t index = 1;
	int fds[2];

	fx_open(fx, 0);
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(
		vhu_send_ack(fx->v, VHU_SET_VRING_KICK, &index, sizeof(index), &fds[0], 1), 0);
	fx_wait(fx, vport_queue_ready(fx->q[0]));
	assert_int_equal(vport_queue_kick_fd(fx->q[0], true), -1);
	assert_true(vport_queue_kick_fd(fx->q[0], false) >= 0);
	fx_exchange(fx);
	close(fds[0]);
	close(fds[1]);
	fx_free(fx);
}

static void
serves_guest_that_polls_without_calls_and_kicks(void **state)
{
	struct fx *fx = fx_new();
	uint64_t value;
	struct vhu_frame f;

	fx_open(fx, 0);
	for (unsigned int i = 0; i < 2; i++) {
		value = i | 0x100;
		assert_int_equal(
			vhu_send_ack(fx->v, VHU_SET_VRING_CALL, &value, sizeof(value), NULL, 0), 0);
		assert_int_equal(
			vhu_send_ack(fx->v, VHU_SET_VRING_KICK, &value, sizeof(value), NULL, 0), 0);
	}
	fx_wait(fx, vport_queue_ready(fx->q[0]));
	assert_int_equal(vport_queue_kick_fd(fx->q[0], true), -1);
	vhu_rx_post(fx->v, 0, 2048, 4, NULL, false);
	assert_int_equal(fx_tx(fx, fx_mbuf(frame, 60)), 1);
	fx->v->conf.busy = true;
	assert_int_equal(vhu_rx_poll(fx->v, 0, 1000, &f), 1);
	assert_int_equal(fx_count(fx, VPORT_COUNT_CALL_FAILED), 0);
	vhu_close(fx->v);
	fx->v = NULL;
	fx_free(fx);
}

/* ---- messages ---- */

static void
goes_on_after_a_refused_message_that_wanted_an_answer(void **state)
{
	struct fx *fx = fx_new();
	struct vhu_mem_table table = { .n = 1 };
	int file = memfd_create("file", 0);

	fx_open(fx, 0);
	fx_exchange(fx);
	table.regions[0].bytes = 4096;
	assert_int_equal(vhu_send_ack(fx->v, VHU_SET_MEM_TABLE, &table, 40, &file, 1), -EPROTO);
	/* Nothing was taken down for it. */
	fx_exchange(fx);
	assert_int_equal(fx->stopped[0], 0);
	close(file);
	fx_free(fx);
}

static void
takes_no_ring_that_lies_outside_memory(void **state)
{
	struct fx *fx = fx_new();
	struct vhu_vring_addr addr;
	struct vhu_ring *r;

	fx_open(fx, 0);
	r = &fx->v->rings[0];
	addr = (struct vhu_vring_addr){ .index = 0,
		.desc = (uintptr_t)r->desc,
		.avail = (uintptr_t)r->avail,
		/* The used ring's last entries lie past the end. */
		.used = (uintptr_t)fx->v->mem + fx->v->mem_bytes - 512 };
	vhu_send_ack(fx->v, VHU_SET_VRING_ADDR, &addr, sizeof(addr), NULL, 0);
	fx_wait(fx, fx_count(fx, VPORT_COUNT_QUEUE_BROKEN) == 1);
	assert_int_equal(fx_count(fx, VPORT_COUNT_RING_BAD_ADDR), 1);
	assert_false(vport_queue_ready(fx->q[0]));
	/* Not aligned. */
	addr.used = (uintptr_t)r->used + 2;
	vhu_send_ack(fx->v, VHU_SET_VRING_ADDR, &addr, sizeof(addr), NULL, 0);
	fx_wait(fx, fx_count(fx, VPORT_COUNT_QUEUE_BROKEN) == 2);
	addr.used = (uintptr_t)r->used;
	assert_int_equal(vhu_send_ack(fx->v, VHU_SET_VRING_ADDR, &addr, sizeof(addr), NULL, 0), 0);
	fx_wait(fx, vport_queue_ready(fx->q[0]));
	fx_exchange(fx);
	fx_free(fx);
}

static void
is_not_upset_by_messages_in_any_order(void **state)
{
	const uint32_t requests[] = { VHU_SET_OWNER, VHU_RESET_OWNER, VHU_SET_VRING_ENABLE,
		VHU_GET_VRING_BASE, VHU_SET_VRING_BASE, VHU_SET_VRING_NUM, VHU_SET_VRING_KICK,
		VHU_SET_VRING_CALL, VHU_SET_VRING_ADDR, VHU_SET_MEM_TABLE, VHU_SET_FEATURES };
	uint32_t x = 7;

	for (unsigned int i = 0; i < 60; i++) {
		struct fx *fx = fx_new();

		fx_open(fx, 0);
		for (unsigned int k = 0; k < 12; k++) {
			struct vhu *v = fx->v;
			const unsigned int pick = (x = x * 1664525u + 1013904223u) >> 16;
			const unsigned int ring = (x >> 8) & 1;
			struct vhu_vring_state st = { ring, (x >> 9) & 1 };
			struct vhu_ring *r = &v->rings[ring];
			uint64_t index = ring;
			int rc = 0;

			switch (requests[pick % 11]) {
			case VHU_SET_VRING_NUM:
				st.num = 1u << (x % 9);
				break;
			case VHU_SET_VRING_KICK:
				rc = vhu_send_ack(v, VHU_SET_VRING_KICK, &index, 8, &r->kick_fd, 1);
				goto next;
			case VHU_SET_VRING_CALL:
				rc = vhu_send_ack(v, VHU_SET_VRING_CALL, &index, 8, &r->call_fd, 1);
				goto next;
			case VHU_SET_VRING_ADDR:
				rc = vhu_ring_start(v, ring);
				goto next;
			case VHU_SET_MEM_TABLE:
				rc = vhu_set_mem(v);
				goto next;
			case VHU_SET_FEATURES:
				rc = vhu_set_features(v, v->offered & VHU_FEATURES_LINUX);
				goto next;
			case VHU_GET_VRING_BASE:
				rc = vhu_ring_stop(v, ring, NULL);
				goto next;
			case VHU_RESET_OWNER:
			case VHU_SET_OWNER:
				rc = vhu_send_ack(v, requests[pick % 11], NULL, 0, NULL, 0);
				goto next;
			}
			rc = vhu_send_ack(v, requests[pick % 11], &st, sizeof(st), NULL, 0);
		next:
			if (rc < 0)
				break;
			fx_poll(fx);
			if (vport_queue_ready(fx->q[0])) {
				struct rte_mbuf *m;

				vport_queue_flush(fx->q[0]);
				if (vport_rx_burst(fx->q[0], &m, 1) == 1)
					rte_pktmbuf_free(m);
			}
		}
		vhu_close(fx->v);
		fx->v = NULL;
		fx_wait(fx, !vport_queue_ready(fx->q[0]) && !fx->releasing[0]);
		fx_open(fx, 0);
		fx_exchange(fx);
		fx_free(fx);
	}
}

/** A file of 4 KiB that cannot be mapped to be written. */
static int
unwritable_file(bool sealed)
{
	char path[64];
	int fd = memfd_create("guest", MFD_ALLOW_SEALING), again;

	assert_int_equal(ftruncate(fd, 4096), 0);
	if (sealed) {
		assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
		return fd;
	}
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = open(path, O_RDONLY);
	close(fd);
	return again;
}

static void
refuses_memory_that_cannot_be_written_and_forgets_no_descriptor(void **state)
{
	struct vhu_mem_table table = { .n = 1, .regions = { { 0, 4096, 4096, 0 } } };
	struct fx *fx = fx_new();

	fx_open(fx, 0);
	for (unsigned int sealed = 0; sealed < 2; sealed++) {
		int file = unwritable_file(sealed);
		const int before = fx_file_count();

		for (unsigned int i = 0; i < 20; i++)
			assert_int_equal(
				vhu_send_ack(fx->v, VHU_SET_MEM_TABLE, &table, 40, &file, 1),
				-EPROTO);
		assert_int_equal(fx_file_count(), before);
		/* What was there before is there still. */
		fx_exchange(fx);
		assert_int_equal(fx->stopped[0], 0);
		close(file);
	}
	fx_free(fx);
}

/** Mappings of guest memory, and how many of them are left out of core dumps. */
static void
count_mappings(unsigned int *n, unsigned int *left_out)
{
	FILE *maps = fopen("/proc/self/smaps", "r");
	bool guest = false;
	char line[512];

	assert_non_null(maps);
	*n = *left_out = 0;
	while (fgets(line, sizeof(line), maps)) {
		if (strchr(line, '-') && strchr(line, '-') < strchr(line, ' ')) {
			guest = strstr(line, "/memfd:guest");
			*n += guest;
		} else if (guest && strncmp(line, "VmFlags:", 8) == 0) {
			*left_out += strstr(line, " dd") != NULL;
		}
	}
	fclose(maps);
}

static void
leaves_guest_memory_out_of_core_dumps(void **state)
{
	struct fx *fx = fx_new();
	unsigned int n, left_out;

	fx_open(fx, 0);
	count_mappings(&n, &left_out);
	/* The front-end's own, librte_vhost's, and the port's. */
	assert_int_equal(n, 3);
	assert_int_equal(left_out, 2);
	fx_free(fx);
}

static void
lets_no_guest_take_the_address_space_of_all(void **state)
{
	const uint64_t each = UINT64_C(1) << 39; /* sparse: no memory is behind it */
	struct vhu_mem_table table = { .n = 3 };
	struct fx *fx = fx_new();
	int files[8], file = memfd_create("guest", 0);

	assert_int_equal(ftruncate(file, (off_t)each), 0);
	for (unsigned int i = 0; i < table.n; i++) {
		files[i] = file;
		table.regions[i] = (struct vhu_mem_region){ i * each, each, i * each, 0 };
	}
	fx_open(fx, 0);
	assert_int_equal(
		vhu_send_ack(fx->v, VHU_SET_MEM_TABLE, &table, 8 + 3 * 32, files, 3), -EPROTO);
	/* Not by mapping the end of a long file, either. */
	for (unsigned int i = 0; i < table.n; i++)
		table.regions[i] = (struct vhu_mem_region){ i << 20, 4096, i << 20, each - 4096 };
	assert_int_equal(
		vhu_send_ack(fx->v, VHU_SET_MEM_TABLE, &table, 8 + 3 * 32, files, 3), -EPROTO);
	assert_true(fx_noted(fx, "more memory than a guest may have"));
	assert_int_equal(fx_count(fx, VPORT_COUNT_MSG_REFUSED), 2);
	fx_exchange(fx);
	close(file);
	fx_free(fx);
}

static void
goes_on_after_a_refused_log(void **state)
{
	const uint64_t log[2] = { 8192, 0 };
	struct fx *fx = fx_new();
	int file = memfd_create("log", 0);

	fx_open(fx, 0);
	assert_int_equal(vhu_send_ack(fx->v, VHU_SET_LOG_BASE, log, 16, &file, 1), -EPROTO);
	fx_exchange(fx);
	assert_int_equal(fx->stopped[0], 0);
	close(file);
	fx_free(fx);
}

static void
takes_regions_at_offsets_of_one_file(void **state)
{
	struct fx *fx = fx_new();

	fx->vconf.regions = 8;
	fx_open(fx, 0);
	for (unsigned int i = 0; i < 16; i++) {
		/* Each exchange in other blocks of the memory: all regions come by. */
		fx_exchange(fx);
		fx->v->next_block = (i + 1) * fx->v->n_blocks / 16;
	}
	fx_free(fx);
}

struct late {
	struct rte_mbuf *m;
	_Atomic bool freed;
};

static void *
free_late(void *arg)
{
	struct late *late = arg;

	usleep(100000);
	late->freed = true;
	rte_pktmbuf_free(late->m);
	return NULL;
}

static void
acknowledges_the_end_of_a_ring_when_it_is_let_go(void **state)
{
	struct fx *fx = fx_new();

	fx_open(fx, 0);
	for (unsigned int ring = 0; ring < 2; ring++) {
		struct late late = { .m = fx_pass(fx, NULL, frame, 1514, NULL) };
		pthread_t thread;

		assert_int_equal(pthread_create(&thread, NULL, free_late, &late), 0);
		assert_int_equal(vhu_ring_enable(fx->v, ring, false), 0);
		assert_true(late.freed);
		assert_int_equal(fx->released[0], ring + 1);
		pthread_join(thread, NULL);
		assert_int_equal(vhu_ring_enable(fx->v, ring, true), 0);
		fx_wait(fx, vport_queue_ready(fx->q[0]));
		fx_exchange(fx);
	}
	fx_free(fx);
}

static void
takes_what_a_network_card_has_beside_rings(void **state)
{
	const uint64_t bits = VHU_F_MTU | VHU_F_STATUS | VHU_F(VIRTIO_NET_F_GUEST_ANNOUNCE);
	const struct {
		uint64_t mtu;
		int ret;
	} mtus[] = { { 1500, 0 }, { 68, 0 }, { 65535, 0 }, { 67, -EPROTO }, { 65536, -EPROTO },
		{ UINT64_MAX, -EPROTO } };
	struct fx *fx = fx_new();
	struct vport_info info;

	fx->vconf.protocol_features =
		VHU_F(VHU_PF_MQ) | VHU_F(VHU_PF_REPLY_ACK) | VHU_F(VHU_PF_NET_MTU);
	fx_open(fx, VHU_FEATURES_LINUX | bits);
	assert_int_equal(fx->v->protocol & VHU_F(VHU_PF_NET_MTU), VHU_F(VHU_PF_NET_MTU));
	vport_info(fx->vp, &info);
	assert_int_equal(info.features & bits, bits);
	for (unsigned int i = 0; i < 6; i++)
		assert_int_equal(vhu_set_u64(fx->v, VHU_NET_SET_MTU, mtus[i].mtu), mtus[i].ret);
	fx_exchange(fx);
	assert_int_equal(fx->stopped[0], 0);
	fx_free(fx);
}

static void
offers_no_record_of_buffers_under_way(void **state)
{
	struct fx *fx = fx_new();

	fx->vconf.protocol_features = VHU_F(VHU_PF_REPLY_ACK) | VHU_F(VHU_PF_INFLIGHT_SHMFD);
	fx_open(fx, 0);
	assert_int_equal(fx->v->protocol_offered & VHU_F(VHU_PF_INFLIGHT_SHMFD), 0);
	fx_exchange(fx);
	fx_free(fx);
}

static size_t
heap_bytes(void)
{
	struct rte_malloc_socket_stats st;

	assert_int_equal(rte_malloc_get_socket_stats(0, &st), 0);
	return st.heap_allocsz_bytes;
}

static void
ignores_reset_owner_and_loses_no_memory_to_it(void **state)
{
	struct fx *fx = fx_new();
	const size_t before = heap_bytes();
	struct vhu_vring_state num = { 0, 256 };

	fx_open(fx, 0);
	for (unsigned int i = 0; i < 20; i++) {
		assert_int_equal(
			vhu_send_ack(fx->v, VHU_SET_VRING_NUM, &num, sizeof(num), NULL, 0), 0);
		fx_wait(fx, vport_queue_ready(fx->q[0]));
		fx->stopped[0] = 0;
		assert_int_equal(vhu_send_ack(fx->v, VHU_RESET_OWNER, NULL, 0, NULL, 0), 0);
		fx_exchange(fx);
		assert_int_equal(fx->stopped[0], 0);
	}
	fx_close(fx);
	fx_wait(fx, heap_bytes() == before);
	fx_free(fx);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(survives_call_descriptors_of_every_kind),
		cmocka_unit_test(takes_no_kick_from_what_is_no_eventfd),
		cmocka_unit_test(serves_guest_that_polls_without_calls_and_kicks),
		cmocka_unit_test(goes_on_after_a_refused_message_that_wanted_an_answer),
		cmocka_unit_test(takes_no_ring_that_lies_outside_memory),
		cmocka_unit_test(is_not_upset_by_messages_in_any_order),
		cmocka_unit_test(refuses_memory_that_cannot_be_written_and_forgets_no_descriptor),
		cmocka_unit_test(leaves_guest_memory_out_of_core_dumps),
		cmocka_unit_test(lets_no_guest_take_the_address_space_of_all),
		cmocka_unit_test(goes_on_after_a_refused_log),
		cmocka_unit_test(takes_regions_at_offsets_of_one_file),
		cmocka_unit_test(acknowledges_the_end_of_a_ring_when_it_is_let_go),
		cmocka_unit_test(takes_what_a_network_card_has_beside_rings),
		cmocka_unit_test(offers_no_record_of_buffers_under_way),
		cmocka_unit_test(ignores_reset_owner_and_loses_no_memory_to_it),
	};

	return cmocka_run_group_tests_name("vport_msg", tests, fx_group_setup, fx_group_teardown);
}
