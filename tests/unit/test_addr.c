/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <string.h>

#include "test_flowtab_util.h"

static struct flowtab_addr
addr(const char *text)
{
	struct flowtab_addr a;

	assert_int_equal(flowtab_addr_parse(&a, text), 0);
	return a;
}

static void
parses_ipv4_to_its_mapped_form(void **state)
{
	struct flowtab_addr a = addr("192.0.2.1"), b = flowtab_addr_v4(RTE_BE32(0xc0000201));
	static const uint8_t bytes[16] = { [10] = 0xff, [11] = 0xff, 192, 0, 2, 1 };

	assert_true(flowtab_addr_is_v4(&a));
	assert_true(flowtab_addr_eq(&a, &b));
	assert_memory_equal(a.b, bytes, sizeof(bytes));
}

static void
parses_ipv6(void **state)
{
	struct flowtab_addr a = addr("2001:db8::1");
	static const uint8_t bytes[16] = { 0x20, 1, 0xd, 0xb8, [15] = 1 };
	struct flowtab_addr b = flowtab_addr_v6(bytes);

	assert_false(flowtab_addr_is_v4(&a));
	assert_true(flowtab_addr_eq(&a, &b));
}

static void
refuses_what_is_no_address(void **state)
{
	static const char *const bad[] = { "", " ", "1", "1.2.3", "1.2.3.4.5", "256.1.1.1",
		"1.2.3.4/8", "1.2.3.4 ", " 1.2.3.4", "01.2.3.4x", "::1%lo", "[::1]",
		":::", "1::2::3", "12345::", "2001:db8::/32", "g::", "1:2:3:4:5:6:7",
		"1:2:3:4:5:6:7:8:9", "::1.2.3" };
	struct flowtab_addr a = addr("10.0.0.1"), before = a;

	for (size_t i = 0; i < RTE_DIM(bad); i++) {
		assert_int_equal(flowtab_addr_parse(&a, bad[i]), -EINVAL);
		assert_true(flowtab_addr_eq(&a, &before));
	}
}

static void
formats_as_rfc_5952_asks(void **state)
{
	static const char *const text[][2] = {
		{ "0.0.0.0", "0.0.0.0" },
		{ "255.255.255.255", "255.255.255.255" },
		{ "::", "::" },
		{ "::1", "::1" },
		{ "2001:DB8::A", "2001:db8::a" },
		{ "2001:0db8:0:0:0:0:0:1", "2001:db8::1" },
		/* RFC 5952, 4.2.2: one field of zeros is not shortened */
		{ "2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1" },
		/* 4.2.3: the longest run, of equal ones the first */
		{ "2001:0:0:1:0:0:0:1", "2001:0:0:1::1" },
		{ "2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1" },
		{ "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
			"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff" },
		{ "::ffff:192.0.2.1", "192.0.2.1" },
	};
	char buf[FLOWTAB_ADDR_STRLEN];

	for (size_t i = 0; i < RTE_DIM(text); i++) {
		struct flowtab_addr a = addr(text[i][0]);

		assert_ptr_equal(flowtab_addr_format(&a, buf), buf);
		assert_string_equal(buf, text[i][1]);
	}
}

static void
tells_classes_of_addresses(void **state)
{
	enum {
		ANY = 1,
		LOOP = 2,
		MULTI = 4,
		LINK = 8
	};
	static const struct {
		const char *text;
		int classes;
	} cases[] = {
		{ "0.0.0.0", ANY },
		{ "::", ANY },
		{ "0.0.0.1", 0 },
		{ "127.0.0.1", LOOP },
		{ "127.255.255.255", LOOP },
		{ "126.255.255.255", 0 },
		{ "128.0.0.1", 0 },
		{ "::1", LOOP },
		{ "::2", 0 },
		{ "1::1", 0 },
		{ "223.255.255.255", 0 },
		{ "224.0.0.1", MULTI },
		{ "239.255.255.255", MULTI },
		{ "240.0.0.1", 0 },
		{ "255.255.255.255", MULTI },
		{ "255.255.255.254", 0 },
		{ "ff02::1", MULTI },
		{ "feff::1", 0 },
		{ "169.254.0.1", LINK },
		{ "169.255.0.1", 0 },
		{ "168.254.0.1", 0 },
		{ "fe80::1", LINK },
		{ "febf::1", LINK },
		{ "fec0::1", 0 },
		{ "fd00::1", 0 },
		{ "2001:db8::1", 0 },
		{ "10.0.2.15", 0 },
	};

	for (size_t i = 0; i < RTE_DIM(cases); i++) {
		struct flowtab_addr a = addr(cases[i].text);
		int got = (flowtab_addr_is_any(&a) ? ANY : 0) |
			(flowtab_addr_is_loopback(&a) ? LOOP : 0) |
			(flowtab_addr_is_multicast(&a) ? MULTI : 0) |
			(flowtab_addr_is_linklocal(&a) ? LINK : 0);

		if (got != cases[i].classes)
			print_error("%s\n", cases[i].text);
		assert_int_equal(got, cases[i].classes);
	}
}

static void
zero_is_the_ipv6_any_alone(void **state)
{
	struct flowtab_addr any4 = addr("0.0.0.0"), any6 = addr("::");

	assert_false(flowtab_addr_is_zero(&any4));
	assert_true(flowtab_addr_is_zero(&any6));
}

static void
compares_prefixes_by_bits_within_a_family(void **state)
{
	static const struct {
		const char *a, *net;
		unsigned int len;
		bool in;
	} cases[] = {
		{ "10.0.2.15", "10.0.2.0", 24, true },
		{ "10.0.3.15", "10.0.2.0", 24, false },
		{ "10.0.3.15", "10.0.2.0", 23, true },
		{ "10.0.2.1", "10.0.2.0", 32, false },
		{ "10.0.2.1", "10.0.2.0", 31, true },
		{ "10.0.2.1", "10.0.2.1", 32, true },
		{ "1.2.3.4", "200.1.1.1", 0, true },
		{ "128.0.0.1", "0.0.0.0", 1, false },
		{ "10.0.2.1", "10.0.2.1", 33, false },
		{ "10.0.2.1", "::", 0, false },
		{ "::1", "0.0.0.0", 0, false },
		{ "fd00:2::15", "fd00:2::", 64, true },
		{ "fd00:3::15", "fd00:2::", 64, false },
		{ "fd00:3::15", "fd00:2::", 31, true },
		{ "2001:db8::1", "2001:db8::", 127, true },
		{ "2001:db8::1", "2001:db8::", 128, false },
		{ "2001:db8::1", "2001:db8::1", 128, true },
		{ "2001:db8::1", "2001:db8::1", 129, false },
		{ "2001:db8::1", "fe80::", 0, true },
	};

	for (size_t i = 0; i < RTE_DIM(cases); i++) {
		struct flowtab_addr a = addr(cases[i].a), net = addr(cases[i].net);

		assert_int_equal(flowtab_addr_in_prefix(&a, &net, cases[i].len), cases[i].in);
	}
}

static void
link_local_addresses_carry_their_interface(void **state)
{
	struct flowtab_addr a = addr("fe80::1:2:3:4"), b = a, other = addr("2001:db8::1");
	char buf[FLOWTAB_ADDR_STRLEN];

	assert_int_equal(flowtab_addr_scope(&a), 0);
	flowtab_addr_set_scope(&a, 3);
	flowtab_addr_set_scope(&b, 70000);
	assert_int_equal(flowtab_addr_scope(&a), 3);
	assert_int_equal(flowtab_addr_scope(&b), 70000);
	assert_false(flowtab_addr_eq(&a, &b));
	assert_true(flowtab_addr_is_linklocal(&a));
	assert_string_equal(flowtab_addr_format(&a, buf), "fe80::1:2:3:4%3");
	flowtab_addr_set_scope(&b, UINT32_MAX);
	assert_string_equal(flowtab_addr_format(&b, buf), "fe80::1:2:3:4%4294967295");
	flowtab_addr_set_scope(&a, 0);
	assert_string_equal(flowtab_addr_format(&a, buf), "fe80::1:2:3:4");
	flowtab_addr_set_scope(&other, 3);
	assert_int_equal(flowtab_addr_scope(&other), 0);
	assert_string_equal(flowtab_addr_format(&other, buf), "2001:db8::1");
}

static void
ranges_are_counted_and_walked_past_any_word(void **state)
{
	static const struct {
		const char *min, *max;
		uint64_t n;
	} cases[] = {
		{ "10.0.2.1", "10.0.2.1", 1 },
		{ "10.0.2.255", "10.0.3.0", 2 },
		{ "0.0.0.0", "255.255.255.255", UINT64_C(1) << 32 },
		{ "fd00::ffff:ffff", "fd00::1:0:1", 3 },
		{ "fd00:0:0:0:ffff:ffff:ffff:fffe", "fd00:0:0:1::1", 4 },
		{ "fd00::", "fd00:0:0:1::", FLOWTAB_ADDRS_MAX },
		{ "::", "ffff::", FLOWTAB_ADDRS_MAX },
	};

	for (size_t i = 0; i < RTE_DIM(cases); i++) {
		struct flowtab_addr min = addr(cases[i].min), max = addr(cases[i].max), last;

		assert_true(flowtab_addr_count(&min, &max) == cases[i].n);
		last = flowtab_addr_add(&min, cases[i].n - 1);
		assert_true(cases[i].n == FLOWTAB_ADDRS_MAX || flowtab_addr_eq(&last, &max));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parses_ipv4_to_its_mapped_form),
		cmocka_unit_test(parses_ipv6),
		cmocka_unit_test(refuses_what_is_no_address),
		cmocka_unit_test(formats_as_rfc_5952_asks),
		cmocka_unit_test(tells_classes_of_addresses),
		cmocka_unit_test(zero_is_the_ipv6_any_alone),
		cmocka_unit_test(compares_prefixes_by_bits_within_a_family),
		cmocka_unit_test(link_local_addresses_carry_their_interface),
		cmocka_unit_test(ranges_are_counted_and_walked_past_any_word),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
