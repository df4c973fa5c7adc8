/* SPDX-License-Identifier: BSD-3-Clause */
/* Every lay-out of threads serves a guest alike: who polls what is nobody's business outside. */
#include "smoke2.h"

#define VM "a,socket=%d/a.sock,loopback=gateway,queues=2,tcp=127.0.0.1:8080:80"
#define BYTES (1u << 20)

/* One daemon of this lay-out, one guest, everything once; then an orderly end. */
static void
served(unsigned int pairs, const char *const *args)
{
	struct guest_conf conf = { .vhu = { .pairs = pairs } };
	struct smoke_conn k;
	uint32_t i;

	smoke.d = proc_start(args);
	if (smoke.d == NULL)
		fail_msg("the daemon does not start");
	smoke.g = smoke_guest("a.sock", &conf);
	assert_non_null(smoke.g);
	smoke_all(smoke.g, BYTES);
	for (i = 0; i < 8; i++) {
		smoke.g->pair = i % pairs;
		k = smoke_in(smoke.g, false, 8080, 80);
		smoke_echo(smoke.g, &k);
		smoke_drop(&k);
		k = smoke_out(smoke.g, i & 1);
		smoke_echo(smoke.g, &k);
		smoke_drop(&k);
	}
	assert_int_equal(smoke_check(NULL), 0);
	guest_close(smoke.g);
	smoke.g = NULL;
	assert_ok(proc_stop(smoke.d));
}

static int
after(void **state)
{
	guest_close(smoke.g);
	proc_free(smoke.d);
	smoke.g = NULL;
	smoke.d = NULL;
	return 0;
}

#define LAYOUT(...) ((const char *[]){ __VA_ARGS__, "--vm", VM, NULL })

static void
bridge_inside_of_the_worker(void **state)
{
	served(1, LAYOUT("--bridges", "inline"));
}

static void
bridge_on_a_thread_of_its_own(void **state)
{
	served(1, LAYOUT("--bridges", "1"));
}

static void
two_bridges(void **state)
{
	served(2, LAYOUT("--bridges", "2"));
}

/** Connections that a bridge has accepted. */
static long long
accepted_by(unsigned int bridge)
{
	json_t *j = proc_ctl(smoke.d, NULL, (const char *[]){ "stats", NULL });
	const json_t *one = json_array_get(json_object_get(j, "bridges"), bridge);
	const long long n = json_integer_value(
		json_object_get(json_object_get(one, "counters"), "bridge-accepted"));

	json_decref(j);
	return n;
}

#define ACCEPTS 40

static void
accepts_are_shared(const char *const *args)
{
	struct smoke_conn k[ACCEPTS];
	long long n[2];

	smoke.d = proc_start(args);
	assert_non_null(smoke.d);
	smoke.g = smoke_guest("a.sock", NULL);
	assert_non_null(smoke.g);
	for (unsigned int i = 0; i < ACCEPTS; i++) {
		k[i] = smoke_in(smoke.g, false, 8080, 80);
		smoke_echo(smoke.g, &k[i]);
	}
	for (unsigned int i = 0; i < 2; i++)
		n[i] = accepted_by(i);
	/* That one has none of them happens once in 2^39 times. */
	assert_true(n[0] > 0 && n[1] > 0);
	assert_int_equal(n[0] + n[1], ACCEPTS);
	for (unsigned int i = 0; i < ACCEPTS; i++)
		smoke_drop(&k[i]);
	assert_int_equal(smoke_check(NULL), 0);
}

static void
bridges_share_what_is_accepted(void **state)
{
	accepts_are_shared(LAYOUT("--bridges", "2"));
}

/* Whoever accepts: the flow is the worker's that polls the guest. */
static void
bridges_inside_of_workers_share_what_is_accepted(void **state)
{
	accepts_are_shared(LAYOUT("--workers", "0,1", "--bridges", "inline"));
}

static void
two_workers_with_bridges_inside(void **state)
{
	served(2, LAYOUT("--workers", "0,1", "--bridges", "inline"));
}

static void
two_workers_and_a_bridge(void **state)
{
	served(2, LAYOUT("--workers", "0,1", "--bridges", "1"));
}

static void
two_workers_and_two_bridges(void **state)
{
	served(2, LAYOUT("--workers", "0,1", "--bridges", "2"));
}

static void
busy_worker(void **state)
{
	served(1, LAYOUT("--poll", "busy", "--bridges", "inline"));
}

static void
worker_that_sleeps_at_once(void **state)
{
	served(1, LAYOUT("--spin-us", "0", "--bridges", "inline"));
}

static void
worker_and_bridge_that_sleep_at_once(void **state)
{
	served(2, LAYOUT("--spin-us", "0", "--bridges", "1"));
}

/* The bridge frees a frame when the worker has gone to sleep already. */
static void
sleeping_worker_gives_buffers_back_at_once(void **state)
{
	const uint8_t data[1400] = { 0 };
	uint16_t port = 0, sport;
	uint64_t begun;
	int fd;

	smoke.d = proc_start(LAYOUT("--spin-us", "0", "--bridges", "1"));
	assert_non_null(smoke.d);
	smoke.g = smoke_guest("a.sock", NULL);
	assert_non_null(smoke.g);
	fd = host_udp(LO, &port);
	assert_true(fd >= 0);
	sport = guest_port(smoke.g);
	begun = vhu_now_ms();
	for (int i = 0; i < 40; i++) {
		vhu_sleep_ms(20);
		assert_int_equal(
			guest_udp_send(smoke.g, sport, &smoke.g->gw, port, data, sizeof(data)), 0);
		assert_true(vhu_tx_drain(smoke.g->v, 0, SOON));
	}
	/* The worker looks again after a second of sleep, whatever happens. */
	assert_true(vhu_now_ms() - begun < 20000);
	close(fd);
}

static int
up(void **state)
{
	smoke.net = netns_private();
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(bridge_inside_of_the_worker, after),
		cmocka_unit_test_teardown(bridge_on_a_thread_of_its_own, after),
		cmocka_unit_test_teardown(two_bridges, after),
		cmocka_unit_test_teardown(bridges_share_what_is_accepted, after),
		cmocka_unit_test_teardown(bridges_inside_of_workers_share_what_is_accepted, after),
		cmocka_unit_test_teardown(two_workers_with_bridges_inside, after),
		cmocka_unit_test_teardown(two_workers_and_a_bridge, after),
		cmocka_unit_test_teardown(two_workers_and_two_bridges, after),
		cmocka_unit_test_teardown(busy_worker, after),
		cmocka_unit_test_teardown(worker_that_sleeps_at_once, after),
		cmocka_unit_test_teardown(worker_and_bridge_that_sleep_at_once, after),
		cmocka_unit_test_teardown(sleeping_worker_gives_buffers_back_at_once, after),
	};

	return cmocka_run_group_tests_name("conf_layouts", tests, up, NULL);
}
