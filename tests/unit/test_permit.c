/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>

static void
want_of_file_descriptors_comes_with_what_to_do(void **state)
{
	struct rlimit was, none;

	assert_string_equal(daemon_files_advice(), "");
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	none = was;
	none.rlim_cur = 3;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_non_null(strstr(daemon_files_advice(), "LimitNOFILE="));
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(want_of_file_descriptors_comes_with_what_to_do),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
