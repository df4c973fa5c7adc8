/* SPDX-License-Identifier: BSD-3-Clause */
/* drivers/vhost/vhost_relay.c: what librte_vhost never sees, and who is not held up by it. */
#include "test_vport_util.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <sys/mman.h>
#include <sys/socket.h>

struct bad_message {
	const char *name;
	uint32_t request;
	uint32_t size;
	uint8_t payload[272];
	unsigned int n_fds;
	int fd; /**< 0: a file of 4 KiB; 1: a pipe */
};

#define REGION(gpa, bytes, uva, offset) B8(gpa), B8(bytes), B8(uva), B8(offset)
#define B8(v)                                                                        \
	(uint8_t)(v), (uint8_t)((uint64_t)(v) >> 8), (uint8_t)((uint64_t)(v) >> 16), \
		(uint8_t)((uint64_t)(v) >> 24), (uint8_t)((uint64_t)(v) >> 32),      \
		(uint8_t)((uint64_t)(v) >> 40), (uint8_t)((uint64_t)(v) >> 48),      \
		(uint8_t)((uint64_t)(v) >> 56)
#define B4(v)                                                                        \
	(uint8_t)(v), (uint8_t)((uint32_t)(v) >> 8), (uint8_t)((uint32_t)(v) >> 16), \
		(uint8_t)((uint32_t)(v) >> 24)

static const struct bad_message bad_messages[] = {
	{ "nothing", 0, 0, { 0 }, 0, 0 },
	{ "unknown", 1000, 0, { 0 }, 8, 0 },
	{ "inflight area of 64 GiB", 31, 24, { B8(0), B8(0), 255, 255, 255, 255 }, 0, 0 },
	{ "inflight area from outside", 32, 24, { B8(4096), B8(0), 1, 0, 0, 1 }, 1, 0 },
	{ "IOTLB", 22, 32, { 0 }, 0, 0 },
	{ "postcopy", 29, 0, { 0 }, 0, 0 },
	{ "config", 24, 12, { 0 }, 0, 0 },
	{ "back-end channel not negotiated", 21, 0, { 0 }, 1, 0 },
	{ "status not negotiated", 39, 8, { 1 }, 0, 0 },
	{ "features cut", VHU_SET_FEATURES, 4, { 0 }, 0, 0 },
	{ "features not offered", VHU_SET_FEATURES, 8, { B8(UINT64_MAX) }, 0, 0 },
	{ "protocol not offered", VHU_SET_PROTOCOL_FEATURES, 8, { B8(UINT64_MAX) }, 0, 0 },
	{ "ring not there", VHU_SET_VRING_NUM, 8, { B4(2), B4(256) }, 0, 0 },
	{ "ring far away", VHU_SET_VRING_BASE, 8, { B4(255), B4(0) }, 0, 0 },
	{ "ring impossible", VHU_GET_VRING_BASE, 8, { B4(UINT32_MAX), B4(0) }, 0, 0 },
	{ "ring size 3", VHU_SET_VRING_NUM, 8, { B4(0), B4(3) }, 0, 0 },
	{ "ring size 65536", VHU_SET_VRING_NUM, 8, { B4(0), B4(65536) }, 0, 0 },
	{ "ring size cut", VHU_SET_VRING_NUM, 4, { B4(0) }, 0, 0 },
	{ "ring size with files", VHU_SET_VRING_NUM, 8, { B4(0), B4(256) }, 8, 0 },
	{ "kick of no ring", VHU_SET_VRING_KICK, 8, { B8(7) }, 1, 0 },
	{ "kick without file", VHU_SET_VRING_KICK, 8, { B8(0) }, 0, 0 },
	{ "call with two files", VHU_SET_VRING_CALL, 8, { B8(0) }, 2, 0 },
	{ "log past its file", VHU_SET_LOG_BASE, 16, { B8(1 << 20), B8(0) }, 1, 0 },
	{ "log at an offset", VHU_SET_LOG_BASE, 16, { B8(4096), B8(4096) }, 1, 0 },
	{ "log of nothing", VHU_SET_LOG_BASE, 16, { B8(0), B8(0) }, 1, 0 },
	{ "log without file", VHU_SET_LOG_BASE, 16, { B8(4096), B8(0) }, 0, 0 },
	{ "log that is a pipe", VHU_SET_LOG_BASE, 16, { B8(4096), B8(0) }, 1, 1 },
	{ "memory of none", VHU_SET_MEM_TABLE, 8, { B8(0) }, 0, 0 },
	{ "memory of 9", VHU_SET_MEM_TABLE, 264, { B8(9) }, 8, 0 },
	{ "memory cut", VHU_SET_MEM_TABLE, 16, { B8(1) }, 1, 0 },
	{ "memory without file", VHU_SET_MEM_TABLE, 40, { B8(1), REGION(0, 4096, 4096, 0) }, 0, 0 },
	{ "memory that is a pipe", VHU_SET_MEM_TABLE, 40, { B8(1), REGION(0, 4096, 4096, 0) }, 1,
		1 },
	{ "memory past its file", VHU_SET_MEM_TABLE, 40, { B8(1), REGION(0, 1 << 20, 4096, 0) }, 1,
		0 },
	{ "memory of no size", VHU_SET_MEM_TABLE, 40, { B8(1), REGION(0, 0, 4096, 0) }, 1, 0 },
	{ "memory that wraps", VHU_SET_MEM_TABLE, 40,
		{ B8(1), REGION(UINT64_MAX - 100, 4096, 4096, 0) }, 1, 0 },
	{ "memory with wrapping offset", VHU_SET_MEM_TABLE, 40,
		{ B8(1), REGION(0, 4096, 4096, UINT64_MAX - 4000) }, 1, 0 },
	{ "memory that overlaps", VHU_SET_MEM_TABLE, 72,
		{ B8(2), REGION(0, 4096, 4096, 0), REGION(4095, 1, 65536, 0) }, 2, 0 },
};

static void
refuses_bad_messages_and_forgets_no_descriptor(void **state)
{
	struct fx *fx = fx_new(), *other = fx_new();
	int files[8], file = memfd_create("file", 0), ends[2], before = 0;

	assert_int_equal(ftruncate(file, 4096), 0);
	assert_int_equal(pipe(ends), 0);
	fx_open(other, 0);
	/* The first round shows what librte_vhost opens for itself. */
	for (size_t round = 0; round < 2; round++) {
		for (size_t i = 0; i < sizeof(bad_messages) / sizeof(bad_messages[0]); i++) {
			const struct bad_message *b = &bad_messages[i];

			for (unsigned int k = 0; k < 8; k++)
				files[k] = b->fd ? ends[1] : file;
			fx_open(fx, 0);
			fx_exchange(fx);
			/* Without REPLY_ACK wanted, an error ends the connection. */
			assert_int_equal(vhu_send(fx->v, b->request, 0, b->payload, b->size, files,
						 b->n_fds),
				0);
			if (!vhu_closed_by_peer(fx->v, 3000)) {
				print_error("taken: %s\n", b->name);
				fail();
			}
			vhu_close(fx->v);
			fx->v = NULL;
			fx_wait(fx, !vport_queue_ready(fx->q[0]) && !fx->releasing[0]);
			fx_exchange(other);
		}
		if (round == 0) {
			vhu_sleep_ms(100);
			before = fx_file_count();
		}
	}
	fx_wait(fx, fx_file_count() == before);
	close(file);
	close(ends[0]);
	close(ends[1]);
	fx_free(other);
	fx_free(fx);
}

static void
refuses_descriptors_that_may_be_hard_to_close(void **state)
{
	struct fx *fx = fx_new();
	const uint64_t index = 0;
	int fds[4], before;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	fds[2] = socket(AF_INET, SOCK_STREAM, 0);
	fds[3] = open("/dev/null", O_RDWR);
	before = fx_file_count();
	for (unsigned int i = 0; i < 4; i++) {
		fx_open(fx, 0);
		fx_exchange(fx);
		assert_int_equal(
			vhu_send(fx->v, VHU_SET_VRING_CALL, 0, &index, sizeof(index), &fds[i], 1),
			0);
		assert_true(vhu_closed_by_peer(fx->v, 3000));
		vhu_close(fx->v);
		fx->v = NULL;
		fx_wait(fx, !vport_queue_ready(fx->q[0]) && !fx->releasing[0]);
	}
	assert_int_equal(fx_count(fx, VPORT_COUNT_MSG_REFUSED), 4);
	fx_wait(fx, fx_file_count() == before);
	for (unsigned int i = 0; i < 4; i++)
		close(fds[i]);
	fx_free(fx);
}

static void
poll_both(void *arg)
{
	struct fx **both = arg;

	fx_poll(both[0]);
	fx_poll(both[1]);
}

/** A guest that is set up and works, while another port is served, too. */
static void
serve_beside(struct fx *fx, struct fx *other)
{
	struct fx *both[] = { other, fx };

	other->vconf.idle = poll_both;
	other->vconf.idle_arg = both;
	fx_open(other, 0);
	fx_exchange(other);
	fx_close(other);
	fx_wait(other, !vport_queue_ready(other->q[0]));
}

static void
is_not_held_up_by_half_a_message(void **state)
{
	struct fx *fx = fx_new(), *other = fx_new();
	const uint32_t whole[] = { VHU_GET_FEATURES, 1, 0 };
	uint32_t request, flags;
	uint64_t features;

	fx->v = vhu_new(&fx->vconf);
	assert_int_equal(vhu_connect(fx->v), 0);
	/* After each part it is silent for as long as another guest needs to be set up. */
	for (unsigned int i = 0; i < sizeof(whole); i += 5) {
		const size_t n = RTE_MIN(sizeof(whole) - i, 5u);

		assert_int_equal(vhu_send_bytes(fx->v, (const uint8_t *)whole + i, n, NULL, 0), 0);
		serve_beside(fx, other);
	}
	/* And nobody has lost patience with it. */
	assert_int_equal(vhu_recv(fx->v, &request, &flags, &features, 8, NULL, 0), 8);
	fx_close(fx);
	fx_free(other);
	fx_free(fx);
}

/** Ask as often as it can be done while nobody reads the answers. @return how often */
static unsigned int
ask_without_reading(struct fx *fx)
{
	const uint32_t request[] = { VHU_GET_FEATURES, 1, 0 };
	unsigned int n = 0, stuck = 0;

	while (stuck < 50) {
		if (send(fx->v->sock, request, sizeof(request), MSG_DONTWAIT | MSG_NOSIGNAL) > 0) {
			n++;
			stuck = 0;
		} else {
			vhu_sleep_ms(1);
			stuck++;
		}
		fx_poll(fx);
	}
	return n;
}

static void
is_not_held_up_by_answers_that_nobody_reads(void **state)
{
	struct fx *fx = fx_new(), *other = fx_new();
	uint32_t request, flags;
	uint64_t features;
	unsigned int n;

	fx->v = vhu_new(&fx->vconf);
	assert_int_equal(vhu_connect(fx->v), 0);
	assert_int_equal(vhu_negotiate(fx->v), 0);
	n = ask_without_reading(fx);
	for (unsigned int i = 0; i < 3; i++)
		serve_beside(fx, other);
	/* No answer is lost, and all goes on. */
	for (unsigned int i = 0; i < n; i++)
		assert_int_equal(vhu_recv(fx->v, &request, &flags, &features, 8, NULL, 0), 8);
	assert_int_equal(vhu_start(fx->v), 0);
	fx_wait(fx, vport_queue_ready(fx->q[0]));
	fx_exchange(fx);
	fx_free(other);
	fx_free(fx);
}

static void
answers_requests_that_were_sent_ahead(void **state)
{
	struct fx *fx = fx_new();
	const uint32_t requests[] = { VHU_GET_FEATURES, VHU_GET_PROTOCOL_FEATURES,
		VHU_GET_QUEUE_NUM };
	uint32_t request, flags;
	uint64_t value;

	fx->v = vhu_new(&fx->vconf);
	assert_int_equal(vhu_connect(fx->v), 0);
	for (unsigned int i = 0; i < 60; i++)
		assert_int_equal(vhu_send(fx->v, requests[i % 3], 0, NULL, 0, NULL, 0), 0);
	for (unsigned int i = 0; i < 60; i++) {
		assert_int_equal(vhu_recv(fx->v, &request, &flags, &value, 8, NULL, 0), 8);
		assert_int_equal(request, requests[i % 3]);
	}
	fx_close(fx);
	fx_free(fx);
}

/** Requests of which librte_vhost loses the descriptors, with as many as may be sent. */
static void
forgets_no_descriptor_of_requests_that_the_library_loses(void **state)
{
	const struct vhu_vring_state ring = { 256, 1 };
	const uint64_t inflight[3] = { 4096, 0, 0 };
	int fds[VHU_MAX_FDS], file = memfd_create("file", 0), before;
	struct fx *fx = fx_new();

	for (unsigned int i = 0; i < VHU_MAX_FDS; i++)
		fds[i] = file;
	fx_open(fx, 0);
	before = fx_file_count();
	for (unsigned int i = 0; i < 6; i++) {
		const unsigned int n = i < 3 ? 8 : VHU_MAX_FDS;

		if (i % 3 == 0)
			assert_int_equal(
				vhu_send(fx->v, VHU_SET_VRING_NUM, 0, &ring, 8, fds, n), 0);
		else if (i % 3 == 1)
			assert_int_equal(
				vhu_send(fx->v, VHU_SET_INFLIGHT_FD, 0, inflight, 24, fds, n), 0);
		else
			assert_int_equal(vhu_send_bytes(fx->v, "half", 4, fds, n), 0);
		if (i % 3 == 2)
			assert_int_equal(vhu_send_bytes(fx->v, "half", 4, fds, n), 0);
		assert_true(vhu_closed_by_peer(fx->v, 3000));
		vhu_close(fx->v);
		fx->v = NULL;
		fx_wait(fx, !vport_queue_ready(fx->q[0]) && !fx->releasing[0]);
		fx_open(fx, 0);
	}
	fx_wait(fx, fx_file_count() == before);
	assert_int_equal(fx_count(fx, VPORT_COUNT_MSG_REFUSED), 6);
	close(file);
	fx_free(fx);
}

static uint32_t
roll(uint32_t *x, uint32_t below)
{
	*x = *x * 1664525u + 1013904223u;
	return (uint32_t)(((uint64_t)*x * below) >> 32);
}

/** Headers that often make sense, payloads that do not, in pieces, with descriptors anywhere. */
static void
send_noise(struct vhu *v, int file, uint32_t *x)
{
	uint32_t words[40] = { roll(x, 24), 1 | (roll(x, 2) << 3), roll(x, 80) };
	int fds[VHU_MAX_FDS];
	size_t at = 0;

	for (unsigned int i = 3; i < 40; i++)
		words[i] = roll(x, roll(x, 2) ? 3 : UINT32_MAX);
	for (unsigned int i = 0; i < VHU_MAX_FDS; i++)
		fds[i] = file;
	while (at < 12 + words[2]) {
		const size_t n = RTE_MIN(12 + words[2] - at, 1 + roll(x, 92));

		if (vhu_send_bytes(v, (const uint8_t *)words + at, n, fds,
			    roll(x, 3) ? 0 : roll(x, VHU_MAX_FDS + 1)) != 0)
			return;
		at += n;
	}
}

static void
survives_noise(void **state)
{
	struct fx *fx = fx_new(), *other = fx_new();
	int file = memfd_create("file", 0), before;
	uint32_t x = 8;

	assert_int_equal(ftruncate(file, 1 << 20), 0);
	fx_open(other, 0);
	fx_open(fx, 0);
	before = fx_file_count();
	fx_close(fx);
	fx_wait(fx, !vport_queue_ready(fx->q[0]) && !fx->releasing[0]);
	for (unsigned int i = 0; i < 300; i++) {
		fx->v = vhu_new(&fx->vconf);
		assert_int_equal(vhu_connect(fx->v), 0);
		for (unsigned int k = roll(&x, 6); k < 6; k++)
			send_noise(fx->v, file, &x);
		if (roll(&x, 2))
			vhu_closed_by_peer(fx->v, 2);
		vhu_close(fx->v);
		fx->v = NULL;
	}
	fx_exchange(other);
	fx_open(fx, 0);
	fx_exchange(fx);
	fx_wait(fx, fx_file_count() == before);
	close(file);
	fx_free(other);
	fx_free(fx);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refuses_bad_messages_and_forgets_no_descriptor),
		cmocka_unit_test(refuses_descriptors_that_may_be_hard_to_close),
		cmocka_unit_test(is_not_held_up_by_half_a_message),
		cmocka_unit_test(is_not_held_up_by_answers_that_nobody_reads),
		cmocka_unit_test(answers_requests_that_were_sent_ahead),
		cmocka_unit_test(forgets_no_descriptor_of_requests_that_the_library_loses),
		cmocka_unit_test(survives_noise),
	};

	return cmocka_run_group_tests_name("vport_relay", tests, fx_group_setup, fx_group_teardown);
}
