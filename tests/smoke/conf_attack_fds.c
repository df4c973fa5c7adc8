/* SPDX-License-Identifier: BSD-3-Clause */
/* Descriptors, ring places and whole set-ups that a hostile front-end spoils. */
#include "attack.h"

#include <fcntl.h>

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/timerfd.h>

/* ---- descriptors that are no plain eventfd ---- */

enum kind {
	EVENTFD_FULL,      /* blocks who writes */
	EVENTFD_SEMAPHORE, /* readable for as long as one likes */
	PIPE_FULL,
	PIPE_NO_READER,
	PIPE_NO_WRITER,
	SOCKET_NO_PEER,
	DEV_ZERO,
	DEV_FULL,
	DIRECTORY,
	EPOLL,
	TIMER,
	MEMORY,
	KINDS,
};

static int
pipe_end(bool read_end, bool full)
{
	char bytes[4096] = { 0 };
	int fd[2];

	assert_int_equal(pipe2(fd, O_NONBLOCK), 0);
	while (full && write(fd[1], bytes, sizeof(bytes)) > 0)
		;
	fcntl(fd[1], F_SETFL, 0);
	/* The reader of the full one is left open, for nobody to close it. */
	if (!full)
		close(fd[read_end]);
	return fd[!read_end];
}

static int
make(enum kind kind)
{
	const uint64_t most = UINT64_MAX - 1;
	int fd[2] = { -1, -1 };

	switch (kind) {
	case EVENTFD_FULL:
	case EVENTFD_SEMAPHORE:
		fd[0] = eventfd(0, kind == EVENTFD_FULL ? 0 : EFD_SEMAPHORE);
		assert_int_equal(write(fd[0], &most, sizeof(most)), sizeof(most));
		break;
	case PIPE_FULL:
		return pipe_end(false, true);
	case PIPE_NO_READER:
		return pipe_end(false, false);
	case PIPE_NO_WRITER:
		return pipe_end(true, false);
	case SOCKET_NO_PEER:
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
		close(fd[1]);
		break;
	case DEV_ZERO:
		return open("/dev/zero", O_RDWR);
	case DEV_FULL:
		return open("/dev/full", O_RDWR);
	case DIRECTORY:
		return open("/tmp", O_RDONLY | O_DIRECTORY);
	case EPOLL:
		return epoll_create1(0);
	case TIMER:
		return timerfd_create(CLOCK_MONOTONIC, 0);
	case MEMORY:
		return memfd_create("m", 0);
	case KINDS:
		break;
	}
	return fd[0];
}

/* Have the daemon send interrupts, and sleep and be woken, with the descriptor in place. */
static void
use(uint32_t request, unsigned int ring, int fd)
{
	uint64_t index = ring;
	unsigned long cpu;
	uint8_t f[64];
	size_t len = attack_question(f);

	attack_open(0, 1);
	vhu_rx_post(attacker.v, 0, 1536, 64, NULL, true);
	/* It may be refused, or the connection ended. */
	vhu_send_ack(attacker.v, request, &index, sizeof(index), &fd, 1);
	for (unsigned int i = 0; i < 10; i++) {
		vhu_tx_queue(attacker.v, 0, NULL, f, len, NULL);
		vhu_tx_flush(attacker.v, 0);
		vhu_ring_kick(&attacker.v->rings[TX]);
	}
	smoke_serves(smoke.g);
	cpu = proc_cpu_ms(smoke.d);
	vhu_sleep_ms(100);
	if (proc_cpu_ms(smoke.d) - cpu > 50)
		fail_msg("a descriptor keeps the daemon busy: %lu of 100 ms",
			proc_cpu_ms(smoke.d) - cpu);
}

static void
call_descriptor_of_any_kind_blocks_and_kills_nobody(void **state)
{
	for (int kind = 0; kind < KINDS; kind++) {
		int fd = make((enum kind)kind);

		assert_true(fd >= 0);

		use(VHU_SET_VRING_CALL, RX, fd);
		close(fd);
		attack_over();
	}
}

static void
kick_descriptor_of_any_kind_keeps_nobody_busy(void **state)
{
	for (int kind = 0; kind < KINDS; kind++) {
		int fd = make((enum kind)kind);

		assert_true(fd >= 0);

		use(VHU_SET_VRING_KICK, kind & 1 ? TX : RX, fd);
		close(fd);
		attack_over();
	}
}

static void
descriptors_that_are_replaced_are_closed(void **state)
{
	static const uint32_t requests[] = { VHU_SET_VRING_CALL, VHU_SET_VRING_KICK,
		VHU_SET_VRING_ERR };

	for (unsigned int k = 0; k < 3; k++) {
		attack_open(0, 1);
		for (unsigned int i = 0; i < 200; i++) {
			uint64_t index = i & 1;
			int fd = eventfd(0, EFD_NONBLOCK);

			vhu_send_ack(attacker.v, requests[k], &index, sizeof(index), &fd, 1);
			close(fd);
		}
		assert_true(smoke_fds(attacker.fds + 16) <= attacker.fds + 16);
		attack_over();
	}
}

static void
ring_without_descriptors_is_served(void **state)
{
	static const uint64_t polled[] = { RX | 0x100, TX | 0x100 };

	attack_open(0, 1);
	/* Bit 8: there is none, the front-end polls (or has it polled). */
	for (unsigned int i = 0; i < 2; i++) {
		vhu_send_ack(attacker.v, VHU_SET_VRING_CALL, &polled[i], 8, NULL, 0);
		vhu_send_ack(attacker.v, VHU_SET_VRING_KICK, &polled[i], 8, NULL, 0);
	}
	attack_over();
}

/* ---- places of rings ---- */

static void
rings_that_lie_over_each_other(void **state)
{
	struct vhu_ring *r;
	uint8_t f[64];
	size_t len = attack_question(f);

	attack_new();
	r = &attacker.v->rings[RX];
	/* What the daemon writes as used ring it reads as descriptors, of its own and of the other.
	 */
	r->used = (struct vring_used *)(void *)r->desc;
	attacker.v->rings[TX].used = (struct vring_used *)(void *)attacker.v->rings[TX].avail;
	assert_int_equal(vhu_reconnect(attacker.v), 0);
	for (uint16_t i = 0; i < 64; i++) {
		attack_desc(RX, i, attack_at(i * 1000u), 1000, VRING_DESC_F_WRITE, 0);
		attack_desc(TX, i, attack_at(i * 1000u), 12 + (uint32_t)len, 0, 0);
		memcpy(attacker.page + i * 1000 + 12, f, len);
	}
	for (uint16_t i = 0; i < 64; i++) {
		attack_offer(RX, i);
		attack_offer(TX, i);
	}
	vhu_sleep_ms(30);
	attack_over();
}

/* A ring is set up where it cannot be; -1: left as it is. */
static void
ring_at(long desc, long avail, long used, uint32_t size, uint32_t base)
{
	struct vhu_vring_addr a = { .index = TX };
	struct vhu_vring_state num = { TX, size }, first = { TX, base };
	struct vhu *v;

	attack_new();
	v = attacker.v;
	a.desc = (uintptr_t)v->rings[TX].desc;
	a.avail = (uintptr_t)v->rings[TX].avail;
	a.used = (uintptr_t)v->rings[TX].used;
	if (desc >= 0)
		a.desc = (uintptr_t)v->mem + (size_t)desc;
	if (avail >= 0)
		a.avail = (uintptr_t)v->mem + (size_t)avail;
	if (used >= 0)
		a.used = (uintptr_t)v->mem + (size_t)used;
	assert_int_equal(vhu_connect(v), 0);
	assert_int_equal(vhu_negotiate(v), 0);
	assert_int_equal(vhu_set_mem(v), 0);
	assert_int_equal(vhu_ring_start(v, RX), 0);
	if (vhu_send_ack(v, VHU_SET_VRING_NUM, &num, sizeof(num), NULL, 0) == 0 &&
		vhu_send_ack(v, VHU_SET_VRING_BASE, &first, sizeof(first), NULL, 0) == 0 &&
		vhu_send_ack(v, VHU_SET_VRING_ADDR, &a, sizeof(a), NULL, 0) == 0) {
		uint64_t index = TX;
		int fd = eventfd(1, EFD_NONBLOCK);

		vhu_send_ack(v, VHU_SET_VRING_CALL, &index, sizeof(index), &fd, 1);
		vhu_send_ack(v, VHU_SET_VRING_KICK, &index, sizeof(index), &fd, 1);
		vhu_ring_enable(v, TX, true);
		vhu_ring_enable(v, RX, true);
		close(fd);
	}
	vhu_sleep_ms(5);
	attack_over();
}

static void
ring_that_cannot_be_is_refused_or_left_alone(void **state)
{
	const long end = 64 << 20;

	ring_at(1, -1, -1, 256, 0); /* alignment */
	ring_at(-1, 4097, -1, 256, 0);
	ring_at(-1, -1, 4098, 256, 0);
	ring_at(end - 16, -1, -1, 256, 0); /* over the end */
	ring_at(-1, end - 16, -1, 256, 0);
	ring_at(-1, -1, end - 16, 256, 0);
	ring_at(end + 4096, -1, -1, 256, 0); /* past it */
	ring_at(-1, end + 4096, -1, 256, 0);
	ring_at(-1, -1, end + 4096, 256, 0);
	ring_at(end - 32768 * 16, -1, -1, 32768, 0);
	ring_at(-1, -1, -1, 1, 0);
	ring_at(-1, -1, -1, 32768, 0); /* avail and used are then elsewhere */
	ring_at(-1, -1, -1, 256, 65535);
	ring_at(-1, -1, -1, 256, 65536);
	ring_at(-1, -1, -1, 256, UINT32_MAX);
}

/* ---- set-ups spoiled at random ---- */

/* The messages of a set-up, each perhaps repeated, left out, or with bytes changed. */
static void
spoiled_set_up(void)
{
	static const uint32_t order[] = { VHU_GET_FEATURES, VHU_GET_PROTOCOL_FEATURES,
		VHU_SET_PROTOCOL_FEATURES, VHU_GET_QUEUE_NUM, VHU_SET_OWNER, VHU_SET_FEATURES,
		VHU_SET_MEM_TABLE, VHU_SET_VRING_NUM, VHU_SET_VRING_BASE, VHU_SET_VRING_ADDR,
		VHU_SET_VRING_KICK, VHU_SET_VRING_CALL, VHU_SET_VRING_NUM, VHU_SET_VRING_BASE,
		VHU_SET_VRING_ADDR, VHU_SET_VRING_KICK, VHU_SET_VRING_CALL, VHU_SET_VRING_ENABLE,
		VHU_SET_VRING_ENABLE, VHU_GET_VRING_BASE, VHU_SET_MEM_TABLE, VHU_SET_VRING_ENABLE };
	struct vhu *v = attacker.v;
	unsigned int ring = 0;

	for (unsigned int i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
		uint8_t payload[300] = { 0 };
		uint32_t request = order[i], size = 8, n_fds = 0;
		uint64_t bits = VHU_FEATURES_LINUX;
		int fds[8], fd = -1;

		ring = i < 12 ? RX : TX;
		switch (request) {
		case VHU_SET_PROTOCOL_FEATURES:
			bits = 0xffff;
			memcpy(payload, &bits, 8);
			break;
		case VHU_SET_FEATURES:
			memcpy(payload, &bits, 8);
			break;
		case VHU_SET_MEM_TABLE:
			memcpy(payload, &v->table, size = 40);
			n_fds = 1;
			break;
		case VHU_SET_VRING_ADDR: {
			struct vhu_vring_addr a = { ring, 0, (uintptr_t)v->rings[ring].desc,
				(uintptr_t)v->rings[ring].used, (uintptr_t)v->rings[ring].avail,
				0 };

			memcpy(payload, &a, size = sizeof(a));
			break;
		}
		case VHU_SET_VRING_KICK:
		case VHU_SET_VRING_CALL:
			payload[0] = (uint8_t)ring;
			n_fds = 1;
			break;
		default:
			payload[0] = (uint8_t)ring;
			payload[4] = request == VHU_SET_VRING_NUM ? 0 : 1;
			payload[5] = request == VHU_SET_VRING_NUM;
			break;
		}
		if (attack_dice() % 6 == 0)
			payload[attack_dice() % size] ^= (uint8_t)(1u << attack_dice() % 8);
		if (attack_dice() % 16 == 0)
			size = attack_dice() % sizeof(payload);
		if (attack_dice() % 16 == 0)
			request = attack_dice() % 45;
		if (attack_dice() % 12 == 0)
			n_fds = attack_dice() % 8;
		/*
		 * What names a ring past the 256th, or none in an inflight area, is refused by
		 * librte_vhost before anybody can look, and its descriptors are forgotten.
		 */
		if (request == VHU_SET_INFLIGHT_FD || payload[1] + payload[2] + payload[3] != 0)
			n_fds = 0;
		fd = request == VHU_SET_MEM_TABLE ? dup(v->mem_fd) : eventfd(0, EFD_NONBLOCK);
		for (unsigned int n = 0; n < 8; n++)
			fds[n] = fd;
		if (attack_dice() % 12 != 0)
			vhu_send(v, request, attack_dice() % 2 * VHU_MSG_NEED_REPLY, payload, size,
				fds, n_fds);
		close(fd);
	}
	vhu_closed_by_peer(v, 3);
}

static void
set_ups_spoiled_at_random(void **state)
{
	for (unsigned int round = 0; round < 150; round++) {
		attack_new();
		assert_int_equal(vhu_connect(attacker.v), 0);
		spoiled_set_up();
		for (unsigned int i = 0; i < 2; i++)
			attack_offer(i, (uint16_t)(attack_dice() % 512));
		if (round % 25 == 24) {
			attack_over();
		} else {
			vhu_close(attacker.v);
			attacker.v = NULL;
		}
	}
}

static void
half_a_message_holds_nobody_up(void **state)
{
	static const uint32_t head[3] = { VHU_SET_VRING_NUM, VHU_MSG_VERSION, 8 };

	/* Cut in the header, and after it: and then silence. */
	for (size_t len = 5; len <= 12; len += 7) {
		uint64_t begun;

		attack_new();
		assert_int_equal(vhu_connect(attacker.v), 0);
		assert_int_equal(vhu_negotiate(attacker.v), 0);
		assert_int_equal(vhu_send_bytes(attacker.v, head, len, NULL, 0), 0);
		smoke_serves(smoke.g);
		begun = vhu_now_ms();
		attack_serve("c.sock");
		assert_true(vhu_now_ms() - begun < 3000);
		attack_over();
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		ATTACK(call_descriptor_of_any_kind_blocks_and_kills_nobody),
		ATTACK(kick_descriptor_of_any_kind_keeps_nobody_busy),
		ATTACK(descriptors_that_are_replaced_are_closed),
		ATTACK(ring_without_descriptors_is_served),
		ATTACK(rings_that_lie_over_each_other),
		ATTACK(ring_that_cannot_be_is_refused_or_left_alone),
		ATTACK(set_ups_spoiled_at_random),
		ATTACK(half_a_message_holds_nobody_up),
	};

	return cmocka_run_group_tests_name("conf_attack_fds", tests, attack_up, smoke_down);
}
