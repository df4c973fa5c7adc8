/* SPDX-License-Identifier: BSD-3-Clause */
/** Whole connections in a world that is bad in one way or another: every byte arrives, once. */
#include "sim.h"

#define KB 1024ull
#define MB (1024 * 1024ull)

/** argv[2] asks for more. */
static uint64_t seeds = 5;

static void
run_seeds(struct sim_conf c)
{
	for (uint64_t seed = 1; seed <= seeds; seed++) {
		c.seed = seed;
		sim_run(&c);
	}
}

static void
bulk_up(void **state)
{
	struct sim_conf c = { .up = 8 * MB };
	struct sim_result r = sim_run(&c);

	assert_int_equal(r.counters[L4X_COUNT_TCP_SHORT], 0);
	assert_int_equal(r.counters[L4X_COUNT_TCP_RTO], 0);
	assert_true(r.took_us < 3 * SIM_S);
}

static void
bulk_down(void **state)
{
	struct sim_conf c = { .down = 8 * MB };
	struct sim_result r = sim_run(&c);

	assert_int_equal(r.counters[L4X_COUNT_TCP_RETRANSMIT], 0);
	assert_true(r.took_us < 3 * SIM_S);
}

static void
bulk_both_ways_at_once(void **state)
{
	struct sim_conf c = { .up = 4 * MB, .down = 4 * MB };
	struct sim_result r = sim_run(&c);

	assert_int_equal(r.counters[L4X_COUNT_TCP_RETRANSMIT], 0);
}

static void
bulk_over_ipv6_and_from_outside(void **state)
{
	struct sim_conf c = { .up = 1 * MB, .down = 1 * MB, .v6 = true };

	sim_run(&c);
	c.inbound = true;
	sim_run(&c);
	c.v6 = false;
	sim_run(&c);
}

static void
guest_without_offloads_and_scaling(void **state)
{
	struct sim_conf c = { .up = 1 * MB, .down = 1 * MB, .no_tso = true, .no_scale = true };

	sim_run(&c);
	c.inbound = true;
	sim_run(&c);
}

static void
large_and_small_mtu(void **state)
{
	struct sim_conf c = { .up = 2 * MB, .down = 2 * MB, .mtu = 65520 };

	sim_run(&c);
	c.mtu = 1280;
	sim_run(&c);
	c.mtu = 9000;
	c.no_tso = true;
	sim_run(&c);
}

static void
survives_loss_on_the_way_up(void **state)
{
	run_seeds((struct sim_conf){ .up = 512 * KB, .loss = 200 });
}

static void
survives_loss_on_the_way_down(void **state)
{
	run_seeds((struct sim_conf){ .down = 512 * KB, .loss = 200 });
}

static void
survives_loss_both_ways(void **state)
{
	run_seeds((struct sim_conf){ .up = 300 * KB, .down = 300 * KB, .loss = 300 });
	run_seeds((struct sim_conf){ .up = 50 * KB, .down = 50 * KB, .loss = 1500 });
	run_seeds(
		(struct sim_conf){ .up = 50 * KB, .down = 50 * KB, .loss = 1000, .inbound = true });
}

static void
survives_reordering_and_repetition(void **state)
{
	run_seeds((struct sim_conf){ .up = 1 * MB, .down = 1 * MB, .reorder = 2000 });
	run_seeds((struct sim_conf){ .up = 1 * MB, .down = 1 * MB, .repeat = 2000 });
	run_seeds((struct sim_conf){ .up = 300 * KB,
		.down = 300 * KB,
		.loss = 200,
		.repeat = 500,
		.reorder = 2000,
		.no_tso = true });
}

static void
sequence_numbers_wrap_in_mid_stream(void **state)
{
	struct sim_conf c = { .up = 1 * MB, .down = 1 * MB, .gisn = 0xffff8000 };

	sim_run(&c);
	c.loss = 200;
	c.up = c.down = 300 * KB;
	run_seeds(c);
}

static void
our_sequence_numbers_wrap_in_mid_stream(void **state)
{
	struct sim_conf c = { .down = 1000 };

	for (unsigned int inbound = 0; inbound < 2; inbound++) {
		c = (struct sim_conf){ .down = 1000, .inbound = inbound };
		/* The ISN is a hash and a clock that counts each 4 us (RFC 6528). */
		c.start_us = 4ull * (uint32_t)(0xffff8000 - sim_run(&c).isn);
		c.up = c.down = 1 * MB;
		assert_in_range(sim_run(&c).isn, 0xffff7ff0, 0xffff8010);
		c.loss = 200;
		c.up = c.down = 300 * KB;
		run_seeds(c);
		/* Both at once, and the very last numbers on the segments of the handshake. */
		c.start_us += 4 * 0x7ffe;
		c.gisn = UINT32_MAX - 1;
		c.loss = 1000;
		c.up = c.down = 50 * KB;
		run_seeds(c);
	}
}

static void
slow_peer_closes_the_window_and_opens_it(void **state)
{
	struct sim_conf c = {
		.up = 2 * MB, .peer_rate = 2000, .sndbuf = 64 * KB, .peer_waits = true
	};
	struct sim_result r = sim_run(&c);

	/* The peer's pace, not that of timers. */
	assert_true(r.took_us < 1500 * SIM_MS);
	assert_int_equal(r.counters[L4X_COUNT_TCP_SHORT], 0);
	c.loss = 200;
	c.up = 300 * KB;
	run_seeds(c);
}

static void
socket_that_takes_less_than_it_said(void **state)
{
	struct sim_conf c = { .up = 2 * MB, .peer_rate = 4000, .sndbuf = 64 * KB, .lies = true };
	struct sim_result r = sim_run(&c);

	assert_true(r.counters[L4X_COUNT_TCP_SHORT] > 0);
	assert_true(r.took_us < 10 * SIM_S);
	c.peer_rate = 0;
	c.stingy = 1000;
	run_seeds(c);
	c.stingy = 300;
	c.loss = 200;
	c.up = 300 * KB;
	c.down = 300 * KB;
	c.bridge_us = 300;
	run_seeds(c);
}

static void
never_more_window_than_the_socket_takes(void **state)
{
	for (uint64_t seed = 1; seed <= 32; seed++) {
		struct sim_conf c = { .seed = seed, .up = 300 * KB, .down = 20 * KB };
		struct sim_result r;

		c.peer_rate = seed & 1 ? 3000 : 0;
		c.sndbuf = seed & 2 ? 5000 : 48 * KB;
		c.loss = seed & 4 ? 300 : 0;
		c.reorder = c.repeat = seed & 8 ? 1000 : 0;
		c.remote_us = seed & 16 ? 3000 : 0;
		c.bridge_us = 100 * seed;
		c.no_tso = seed % 3 == 0;
		c.no_scale = seed % 5 == 0;
		r = sim_run(&c);
		assert_int_equal(r.counters[L4X_COUNT_TCP_SHORT], 0);
	}
}

static void
remote_peer_acknowledges_after_a_round_trip(void **state)
{
	struct sim_conf c = {
		.up = 2 * MB, .down = 500 * KB, .remote_us = 30000, .sndbuf = 512 * KB
	};
	struct sim_result r = sim_run(&c);

	assert_true(r.took_us < 3 * SIM_S);
	c.loss = 200;
	c.up = 300 * KB;
	c.down = 0;
	run_seeds(c);
}

static void
slow_guest_closes_its_window_and_opens_it(void **state)
{
	struct sim_conf c = { .down = 1 * MB, .app_rate = 2000, .rcvbuf = 32 * KB };
	struct sim_result r = sim_run(&c);

	assert_true(r.took_us < 2 * SIM_S);
	c.loss = 200;
	c.down = 300 * KB;
	run_seeds(c);
}

static void
guest_that_pauses_for_long(void **state)
{
	struct sim_conf c = { .down = 512 * KB, .pause_ms = 20000, .rcvbuf = 32 * KB };
	struct sim_result r = sim_run(&c);

	assert_true(r.counters[L4X_COUNT_TCP_PROBE] > 0);
	c.loss = 500;
	c.down = 256 * KB;
	run_seeds(c);
}

static void
guest_that_takes_its_window_back(void **state)
{
	run_seeds((struct sim_conf){ .down = 1 * MB, .up = 100 * KB, .shrinks = true });
	run_seeds((struct sim_conf){ .down = 300 * KB,
		.shrinks = true,
		.loss = 200,
		.app_rate = 3000,
		.rcvbuf = 64 * KB });
}

static void
guest_that_runs_out_of_buffers(void **state)
{
	for (uint64_t seed = 1; seed <= seeds; seed++) {
		struct sim_conf c = { .seed = seed, .full = 300, .full_us = 3000 };
		struct sim_result r;

		c.no_tso = seed & 1;
		c.v6 = seed & 2;
		c.inbound = seed & 4;
		c.down = 4 * MB;
		c.up = seed % 3 == 0 ? 2 * MB : 0;
		r = sim_run(&c);
		assert_true(r.frames_unsent > 0);
		assert_true(r.counters[L4X_COUNT_TCP_UNSENT] > 0);
		/* Only SYN and FIN wait for a timeout. */
		assert_in_range(r.counters[L4X_COUNT_TCP_RTO], 0, 3);
		assert_int_equal(r.counters[L4X_COUNT_TCP_FAST], 0);
	}
}

static void
guest_that_runs_out_of_buffers_and_loses(void **state)
{
	struct sim_conf c = { .down = 1 * MB,
		.up = 1 * MB,
		.full = 300,
		.full_us = 20000,
		.loss = 100,
		.reorder = 300,
		.repeat = 100,
		.peer_rate = 5000,
		.app_rate = 5000,
		.rcvbuf = 24 * KB,
		.shrinks = true };

	run_seeds(c);
}

static void
trickle_from_the_peer(void **state)
{
	struct sim_conf c = { .down = 60 * KB, .up = 10 * KB, .source_rate = 300 };

	sim_run(&c);
	c.loss = 500;
	run_seeds(c);
}

static void
ends_in_every_order(void **state)
{
	for (unsigned int i = 0; i < 16; i++) {
		struct sim_conf c = { .up = i & 4 ? 30 * KB : 0, .down = i & 8 ? 30 * KB : 0 };

		c.peer_waits = (i & 3) == 1;
		c.guest_waits = (i & 3) == 2;
		c.inbound = (i & 3) == 3;
		sim_run(&c);
		c.loss = 1000;
		run_seeds(c);
	}
}

static void
slow_bridge(void **state)
{
	struct sim_conf c = { .up = 500 * KB, .down = 500 * KB, .bridge_us = 5000 };

	sim_run(&c);
	c.loss = 200;
	c.up = c.down = 200 * KB;
	run_seeds(c);
}

static void
everything_at_once(void **state)
{
	for (uint64_t seed = 100; seed < 100 + 6 * seeds; seed++) {
		struct sim_conf c = { .seed = seed,
			.up = 100 * KB,
			.down = 100 * KB,
			.loss = 300,
			.repeat = 300,
			.reorder = 1000,
			.peer_rate = 5000,
			.sndbuf = 32 * KB,
			.app_rate = 5000,
			.rcvbuf = 24 * KB,
			.stingy = 300,
			.lies = true };

		c.no_tso = seed & 1;
		c.shrinks = seed & 2;
		c.inbound = seed & 4;
		c.v6 = seed & 8;
		c.remote_us = seed & 16 ? 5000 : 0;
		c.gisn = (uint32_t)(0xffffffff - seed * 1000);
		sim_run(&c);
	}
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bulk_up),
		cmocka_unit_test(bulk_down),
		cmocka_unit_test(bulk_both_ways_at_once),
		cmocka_unit_test(bulk_over_ipv6_and_from_outside),
		cmocka_unit_test(guest_without_offloads_and_scaling),
		cmocka_unit_test(large_and_small_mtu),
		cmocka_unit_test(survives_loss_on_the_way_up),
		cmocka_unit_test(survives_loss_on_the_way_down),
		cmocka_unit_test(survives_loss_both_ways),
		cmocka_unit_test(survives_reordering_and_repetition),
		cmocka_unit_test(sequence_numbers_wrap_in_mid_stream),
		cmocka_unit_test(our_sequence_numbers_wrap_in_mid_stream),
		cmocka_unit_test(slow_peer_closes_the_window_and_opens_it),
		cmocka_unit_test(socket_that_takes_less_than_it_said),
		cmocka_unit_test(never_more_window_than_the_socket_takes),
		cmocka_unit_test(remote_peer_acknowledges_after_a_round_trip),
		cmocka_unit_test(slow_guest_closes_its_window_and_opens_it),
		cmocka_unit_test(guest_that_pauses_for_long),
		cmocka_unit_test(guest_that_takes_its_window_back),
		cmocka_unit_test(guest_that_runs_out_of_buffers),
		cmocka_unit_test(guest_that_runs_out_of_buffers_and_loses),
		cmocka_unit_test(trickle_from_the_peer),
		cmocka_unit_test(ends_in_every_order),
		cmocka_unit_test(slow_bridge),
		cmocka_unit_test(everything_at_once),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	if (argc > 2)
		seeds = strtoull(argv[2], NULL, 0);
	l4xkit_eal("sim_bulk");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
