/* SPDX-License-Identifier: BSD-3-Clause */
/* Connections that there is no room for: descriptors, places in the table. */
#include "smoke2.h"

#include <fcntl.h>

#include <sys/resource.h>

/** What a worker's table holds. */
#define TABLE 64
#define LIMIT_SAID "raise the limit of open files"

static const struct guest_conf conf_b = {
	.addr = "10.0.2.16", .addr6 = "fd00:2::16", .mac = { 0x52, 0x54, 0, 7, 7, 7 }
};
static struct guest *b;

/* The daemon may open no more descriptors than it has; once false again, as many as before. */
static void
no_descriptors(bool none)
{
	static struct rlimit usual;
	struct rlimit r;
	char path[64];

	if (!none) {
		assert_int_equal(prlimit(smoke.d->pid, RLIMIT_NOFILE, &usual, NULL), 0);
		return;
	}
	assert_int_equal(prlimit(smoke.d->pid, RLIMIT_NOFILE, NULL, &usual), 0);
	r = usual;
	/* The lowest free number is the next to be given out. */
	for (r.rlim_cur = 0;; r.rlim_cur++) {
		snprintf(path, sizeof(path), "/proc/%d/fd/%lu", (int)smoke.d->pid,
			(unsigned long)r.rlim_cur);
		if (faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
			break;
	}
	assert_int_equal(prlimit(smoke.d->pid, RLIMIT_NOFILE, &r, NULL), 0);
}

/* How often the log says so. */
static unsigned int
said(const char *text)
{
	unsigned int n = 0;

	for (const char *at = proc_log(smoke.d); (at = strstr(at, text)) != NULL; n++)
		at += strlen(text);
	return n;
}

static void
guests_syn_without_a_descriptor_is_reset_and_others_go_on(void **state)
{
	struct smoke_conn out = smoke_out(b, false), in = smoke_in(b, false, 8090, 90);
	long long limited = smoke_stat("bridge-socket-limit");
	struct gtcp *c[TABLE / 2] = { NULL };
	uint16_t port = 0;
	int listener = host_tcp_listen(LO, &port), rc = 0;

	no_descriptors(true);
	/* A few were made beforehand. */
	for (int i = 0; i < TABLE / 2 && rc == 0; i++) {
		c[i] = gtcp_new(b, &b->gw, port, 0);
		rc = gtcp_connect(c[i], SOON);
	}
	assert_int_equal(rc, -ECONNREFUSED);
	smoke_echo(b, &out);
	smoke_echo(b, &in);
	no_descriptors(false);
	for (int i = 0; i < TABLE / 2; i++)
		if (c[i] != NULL && c[i]->established)
			gtcp_reset(c[i]);
	assert_true(smoke_stat("bridge-socket-limit") > limited);
	assert_true(proc_wait_log(smoke.d, LIMIT_SAID, SOON));
	assert_int_equal(said(LIMIT_SAID), 1);
	smoke_serves(b);
	smoke_drop(&out);
	smoke_drop(&in);
	close(listener);
}

static int
up(void **state)
{
	static const char *const args[] = { "--max-flows", "64", "--vm",
		"a,socket=%d/a.sock,loopback=gateway,max-flows=4", "--vm",
		"b,socket=%d/b.sock,loopback=gateway,tcp=8090:90", NULL };

	if (smoke_up(args) < 0)
		return -1;
	b = smoke_guest("b.sock", &conf_b);
	return b != NULL ? 0 : -1;
}

static int
down(void **state)
{
	guest_close(b);
	return smoke_down(state);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		SMOKE(guests_syn_without_a_descriptor_is_reset_and_others_go_on),
	};

	return cmocka_run_group_tests_name("conf_tcp_limits", tests, up, down);
}
