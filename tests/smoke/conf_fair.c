/* SPDX-License-Identifier: BSD-3-Clause */
/* What one guest does to the daemon costs another nothing. */
#include "smoke2.h"

#include <fcntl.h>

#include <sys/eventfd.h>

#define BYTES 200000
/** Descriptors of the longest chain that is taken. */
#define LONGEST 256

static struct vhu *hostile;

static int
up(void **state)
{
	static const char *const args[] = { "--bridges", "1", "--vm",
		"a,socket=%d/a.sock,loopback=gateway", "--vm",
		"b,socket=%d/b.sock,loopback=gateway,address=10.0.2.20,address6=fd00:2::20", NULL };
	const struct guest_conf conf = { .addr = "10.0.2.20", .addr6 = "fd00:2::20" };

	if (smoke_up_daemon(args) < 0)
		return -1;
	smoke.g = smoke_guest("b.sock", &conf);
	return smoke.g == NULL ? -1 : 0;
}

/** The front-end of guest a, with large rings and much memory. */
static void
attack(uint64_t features)
{
	const struct vhu_conf conf = { .path = proc_path(smoke.d, "a.sock"),
		.features = features,
		.ring_size = 1024,
		.mem_bytes = 256 << 20 };

	hostile = vhu_open(&conf);
	assert_non_null(hostile);
}

static int
after(void **state)
{
	vhu_close(hostile);
	hostile = NULL;
	return smoke_check(state);
}

/** Guest b is served, both ways, and no pool has run dry for it. */
static void
other_is_served(void)
{
	smoke_bulk(smoke.g, false, BYTES, BYTES);
	assert_true(smoke_udp_echo(smoke.g, false, 1400));
	assert_int_equal(smoke_vm_count("b", "vport-rx-no-mbuf"), 0);
}

static void
receive_buffers_of_many_descriptors(void **state)
{
	static size_t split[70];
	const struct vhu_shape shape = { split, 70, true };

	for (int i = 0; i < 70; i++)
		split[i] = 200 + (size_t)i * 30;
	for (int mergeable = 0; mergeable < 2; mergeable++) {
		attack(mergeable ? VHU_FEATURES_LINUX : VHU_FEATURES_LINUX & ~VHU_F_MRG_RXBUF);
		assert_int_equal(vhu_rx_post(hostile, 0, 2400, 1000, &shape, false), 1000);
		vhu_ring_kick(&hostile->rings[VHU_RX(0)]);
		other_is_served();
		vhu_close(hostile);
		hostile = NULL;
	}
}

static void
receive_buffers_that_cannot_be_lent(void **state)
{
	/* Room for 64 KiB is lent of the daemon's own for each. */
	attack(VHU_FEATURES_LINUX & ~VHU_F_MRG_RXBUF);
	assert_int_equal(vhu_rx_post(hostile, 0, 1500, 1000, NULL, false), 1000);
	vhu_ring_kick(&hostile->rings[VHU_RX(0)]);
	other_is_served();
}

static void
frames_of_many_descriptors(void **state)
{
	static uint8_t frame[40000];
	static size_t split[LONGEST];
	const struct vhu_shape shape = { split, LONGEST - 1, true };

	memset(frame, 0, sizeof(frame));
	for (int i = 0; i < LONGEST; i++)
		split[i] = 300 + (size_t)i * 100;
	attack(VHU_FEATURES_LINUX);
	for (int round = 0; round < 4; round++) {
		while (vhu_tx_queue(hostile, 0, NULL, frame, 30000, &shape) == 0)
			;
		vhu_tx_flush(hostile, 0);
		other_is_served();
		assert_true(vhu_tx_drain(hostile, 0, SOON));
	}
}

/** A frame that the daemon answers. */
static void
ask_for_gateway(struct vhu *v)
{
	static const uint8_t arp[60] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x52, 0x54, 0, 6, 6, 6,
		8, 6, 0, 1, 8, 0, 6, 4, 0, 1, 0x52, 0x54, 0, 6, 6, 6, 10, 0, 2, 15, 0, 0, 0, 0, 0,
		0, 10, 0, 2, 2 };

	assert_int_equal(vhu_tx(v, 0, NULL, arp, sizeof(arp), NULL), 0);
}

static void
call_descriptor_at_its_maximum(void **state)
{
	const uint64_t index = VHU_RX(0), most = UINT64_MAX - 1;
	const int fd = eventfd(0, EFD_NONBLOCK);
	struct vhu_ring *rx;
	uint64_t count;

	attack(VHU_FEATURES_LINUX & ~VHU_F_EVENT_IDX);
	rx = &hostile->rings[VHU_RX(0)];
	assert_int_equal(vhu_rx_post(hostile, 0, 2048, 100, NULL, false), 100);
	assert_int_equal(
		vhu_send_ack(hostile, VHU_SET_VRING_CALL, &index, sizeof(index), &fd, 1), 0);
	ask_for_gateway(hostile);
	assert_true(vhu_ring_wait_used(hostile, rx, SOON));
	while (write(fd, &most, sizeof(most)) < 0)
		assert_int_equal(read(fd, &count, sizeof(count)), sizeof(count));
	/* The daemon has it by now; this turns off whatever it has set. */
	assert_int_equal(fcntl(fd, F_SETFL, 0), 0);
	for (int i = 0; i < 3; i++) {
		ask_for_gateway(hostile);
		other_is_served();
	}
	close(fd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			receive_buffers_of_many_descriptors, smoke_each, after),
		cmocka_unit_test_setup_teardown(
			receive_buffers_that_cannot_be_lent, smoke_each, after),
		cmocka_unit_test_setup_teardown(frames_of_many_descriptors, smoke_each, after),
		cmocka_unit_test_setup_teardown(call_descriptor_at_its_maximum, smoke_each, after),
	};

	return cmocka_run_group_tests_name("conf_fair", tests, up, smoke_down);
}
