/* SPDX-License-Identifier: BSD-3-Clause */
/* What the probes make of kernels that are not this one: some system calls are the test's. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "bridge.h"

/** Families whose sockets the kernel is to know, and that are to take SO_PEEK_OFF. */
static bool has6, peek4, peek6;
/** What this kernel itself does. */
static bool works;

static bool
is_ipv6(int fd)
{
	socklen_t len = sizeof(int);
	int domain = 0;

	getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len);
	return domain == AF_INET6;
}

int
setsockopt(int fd, int level, int option, const void *value, socklen_t len)
{
	if (level == SOL_SOCKET && option == SO_PEEK_OFF && !(is_ipv6(fd) ? peek6 : peek4)) {
		errno = EOPNOTSUPP;
		return -1;
	}
	return (int)syscall(SYS_setsockopt, fd, level, option, value, len);
}

int
socket(int domain, int type, int protocol)
{
	if (domain == AF_INET6 && !has6) {
		errno = EAFNOSUPPORT;
		return -1;
	}
	return (int)syscall(SYS_socket, domain, type, protocol);
}

static int
setup(void **state)
{
	has6 = peek4 = peek6 = true;
	works = bridge_probe_peek_off();
	if (!works)
		print_message("this kernel has no SO_PEEK_OFF for TCP\n");
	return 0;
}

static void
both_families_must_have_peek_offsets(void **state)
{
	peek6 = false;
	assert_false(bridge_probe_peek_off());
	peek4 = false;
	assert_false(bridge_probe_peek_off());
	peek6 = true;
	assert_false(bridge_probe_peek_off());
}

static void
a_kernel_without_ipv6_is_judged_by_ipv4(void **state)
{
	has6 = peek6 = false;
	assert_int_equal(bridge_probe_peek_off(), works);
	peek4 = false;
	assert_false(bridge_probe_peek_off());
}

static void
probes_leave_no_descriptor(void **state)
{
	const int before = dup(0);

	close(before);
	bridge_probe_peek_off();
	peek4 = false;
	bridge_probe_peek_off();
	bridge_probe_ping(false);
	bridge_probe_ping(true);
	assert_int_equal(dup(0), before);
	close(before);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(both_families_must_have_peek_offsets, setup),
		cmocka_unit_test_setup(a_kernel_without_ipv6_is_judged_by_ipv4, setup),
		cmocka_unit_test_setup(probes_leave_no_descriptor, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
