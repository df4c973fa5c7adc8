/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <string.h>

#include "index_priv.h"
#include "test_flowtab_util.h"

/** Is the reference offered to who searches for the hash, and how often? */
static unsigned int
offered(const struct flowtab_index *x, uint32_t hash, uint32_t ref)
{
	struct flowtab_index_walk w;
	unsigned int n = 0;
	uint32_t r;

	flowtab_index_walk(&w, x, hash);
	while ((r = flowtab_index_next(&w)) != UINT32_MAX)
		n += r == ref;
	return n;
}

static void
offers_what_was_added_until_it_is_removed(void **state)
{
	struct flowtab_index x;

	assert_int_equal(flowtab_index_create(&x, 100, SOCKET_ID_ANY), 0);
	assert_int_equal(offered(&x, 0x12345678, 5), 0);
	flowtab_index_add(&x, 0x12345678, 5);
	flowtab_index_add(&x, 0x12345678, 0);
	assert_int_equal(offered(&x, 0x12345678, 5), 1);
	assert_int_equal(offered(&x, 0x12345678, 0), 1);
	assert_int_equal(offered(&x, 0x12345679, 5), 0); /* another bucket */
	assert_int_equal(offered(&x, 0x92345678, 5), 0); /* another tag */
	flowtab_index_del(&x, 0x12345678, 5);
	assert_int_equal(offered(&x, 0x12345678, 5), 0);
	assert_int_equal(offered(&x, 0x12345678, 0), 1);
	flowtab_index_destroy(&x);
}

static void
tags_of_zero_match_no_empty_place(void **state)
{
	struct flowtab_index x;
	struct flowtab_index_walk w;

	assert_int_equal(flowtab_index_create(&x, 100, SOCKET_ID_ANY), 0);
	flowtab_index_walk(&w, &x, 7);
	assert_int_equal(flowtab_index_next(&w), UINT32_MAX);
	flowtab_index_add(&x, 7, 3);
	assert_int_equal(offered(&x, 7, 3), 1);
	flowtab_index_walk(&w, &x, 7);
	assert_int_equal(flowtab_index_next(&w), 3);
	assert_int_equal(flowtab_index_next(&w), UINT32_MAX);
	flowtab_index_destroy(&x);
}

static void
every_place_of_a_bucket_is_told_by_its_tag(void **state)
{
	struct flowtab_bucket b = { 0 };

	for (unsigned int i = 0; i < FLOWTAB_BUCKET; i++)
		b.tag[i] = (uint16_t)(0x8000 + 257 * i);
	b.next = 0x80008000; /* no tag */
	for (unsigned int i = 0; i < FLOWTAB_BUCKET; i++) {
		uint32_t hits = flowtab_index_match(&b, b.tag[i]);

		assert_true((hits & 1U << i) != 0);
		/* A neighbour may be offered in error, if it differs in the lowest bit alone. */
		assert_int_equal(hits & (hits - 1), 0);
	}
	assert_int_equal(flowtab_index_match(&b, 0x7fff), 0);
	for (unsigned int i = 0; i < FLOWTAB_BUCKET; i++)
		b.tag[i] = 0x8000;
	assert_int_equal(flowtab_index_match(&b, 0x8000), (1 << FLOWTAB_BUCKET) - 1);
}

/** All keys the index is made for, with so many hashes between them. */
static void
fill(uint32_t n, uint32_t hashes)
{
	struct flowtab_index x;

	assert_int_equal(flowtab_index_create(&x, n, SOCKET_ID_ANY), 0);
	for (int round = 0; round < 3; round++) {
		for (uint32_t i = 0; i < n; i++)
			flowtab_index_add(&x, i % hashes * 0x10001, i);
		for (uint32_t i = 0; i < n; i++)
			assert_int_equal(offered(&x, i % hashes * 0x10001, i), 1);
		/* out in another order */
		for (uint32_t i = 0; i < n; i++) {
			uint32_t k = (uint32_t)((uint64_t)i * 7919 % n);

			flowtab_index_del(&x, k % hashes * 0x10001, k);
		}
		for (uint32_t i = 0; i < n; i++)
			assert_int_equal(offered(&x, i % hashes * 0x10001, i), 0);
	}
	/* Every bucket that was chained has come back. */
	for (uint32_t i = 0; i <= x.mask; i++)
		assert_int_equal(x.buckets[i].next, 0);
	flowtab_index_destroy(&x);
}

static void
keys_of_few_hashes_have_room_in_chains(void **state)
{
	fill(1000, 1);
	fill(1001, 2);
	fill(1100, 100); /* each chain has one more than a bucket takes */
	fill(1000, 1000);
	fill(1, 1);
	fill(16, 16);
}

static void
agrees_with_a_list_over_many_steps(void **state)
{
	enum {
		N = 600
	};
	uint32_t hash[N], n_in = 0;
	bool in[N] = { false };
	struct flowtab_index x;
	uint64_t seed = 3;

	assert_int_equal(flowtab_index_create(&x, N, SOCKET_ID_ANY), 0);
	for (unsigned int step = 0; step < 100000; step++) {
		uint32_t i = rnd_below(&seed, N);

		if (in[i]) {
			assert_int_equal(offered(&x, hash[i], i), 1);
			flowtab_index_del(&x, hash[i], i);
			n_in--;
		} else {
			/* Few buckets and few tags, so that all of it happens. */
			hash[i] = rnd_below(&seed, 16) | rnd_below(&seed, 3) << 16;
			flowtab_index_add(&x, hash[i], i);
			n_in++;
		}
		in[i] = !in[i];
		assert_int_equal(offered(&x, hash[i], i), in[i]);
	}
	for (uint32_t i = 0; i < N; i++) {
		if (in[i]) {
			assert_int_equal(offered(&x, hash[i], i), 1);
			flowtab_index_del(&x, hash[i], i);
			n_in--;
		}
	}
	assert_int_equal(n_in, 0);
	flowtab_index_destroy(&x);
}

static void
creation_without_memory_fails(void **state)
{
	struct flowtab_index x;

	assert_int_equal(flowtab_index_create(&x, 1U << 25, SOCKET_ID_ANY), -ENOMEM);
	flowtab_index_destroy(&x);
}

static int
start(void **state)
{
	return eal_start("64");
}

static int
stop(void **state)
{
	eal_stop();
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(offers_what_was_added_until_it_is_removed),
		cmocka_unit_test(tags_of_zero_match_no_empty_place),
		cmocka_unit_test(every_place_of_a_bucket_is_told_by_its_tag),
		cmocka_unit_test(keys_of_few_hashes_have_room_in_chains),
		cmocka_unit_test(agrees_with_a_list_over_many_steps),
		cmocka_unit_test(creation_without_memory_fails),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
