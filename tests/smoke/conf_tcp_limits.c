/* SPDX-License-Identifier: BSD-3-Clause */
/* Connections that there is no room for: descriptors, places in the table. */
#include "smoke2.h"

#include <fcntl.h>

#include <sys/resource.h>

/** VM a's limit of flows. */
#define FLOWS 4
/** What a worker's table holds, and what VM b gets of it: the last eighth is kept for others. */
#define TABLE 64
#define ROOM_B (TABLE - TABLE / 8)
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

/* A counter, by a control connection that is there already. */
static long long
asked(int ctl, const char *name)
{
	json_t *j = smoke_ctl_ask(ctl, "{\"cmd\":\"stats\"}\n");
	const json_t *n = json_object_get(json_object_get(j, "total"), name);
	long long value;

	if (n == NULL)
		n = json_object_get(json_object_get(j, "drops"), name);
	value = json_integer_value(n);

	assert_true(json_is_integer(n));
	json_decref(j);
	return value;
}

static void
connection_that_cannot_be_accepted_waits_and_nothing_spins(void **state)
{
	struct smoke_conn k = smoke_in(b, false, 8090, 90), late = { .listener = -1 };
	int ctl = smoke_ctl_open(), late_ctl;
	long long tries = asked(ctl, "bridge-socket-limit"), loops, idle;
	unsigned long cpu;
	uint64_t begun;

	no_descriptors(true);
	begun = vhu_now_ms();
	loops = asked(ctl, "worker-loops");
	idle = asked(ctl, "worker-idle");
	late.fd = host_tcp_connect(LO, 8090);
	late_ctl = smoke_ctl_open();
	cpu = proc_cpu_ms(smoke.d);
	assert_null(gtcp_accept_syn(b, 90, 1000));
	cpu = proc_cpu_ms(smoke.d) - cpu;
	tries = asked(ctl, "bridge-socket-limit") - tries;
	/* Ten times a second, and a short look round after each. */
	assert_in_range(tries, 1, 2 + (vhu_now_ms() - begun) / 100);
	assert_in_range(asked(ctl, "worker-loops") - loops, 0, 100 + 10 * tries);
	assert_in_range(asked(ctl, "worker-idle") - idle, 0, 1000 * (10 + tries));
	/* The control socket has no counter: a tenth of that second is far from a spin. */
	assert_in_range(cpu, 0, 100);
	smoke_echo(b, &k);
	no_descriptors(false);
	/* Neither was refused: their turn comes. */
	late.c = gtcp_accept(b, 90, SOON);
	assert_non_null(late.c);
	smoke_echo(b, &late);
	assert_true(asked(late_ctl, "bridge-socket-limit") > 0);
	close(ctl);
	close(late_ctl);
	smoke_drop(&late);
	smoke_drop(&k);
}

/* ---- places in the table ---- */

/* n connections of the guest, and one more, which is refused. */
static void
fill(struct guest *g, struct smoke_conn *k, unsigned int n, const char *reason)
{
	long long refused = smoke_stat(reason);
	uint16_t port = 0;
	int listener;

	for (unsigned int i = 0; i < n; i++)
		k[i] = smoke_out(g, i & 1);
	listener = host_tcp_listen(LO, &port);
	assert_int_equal(gtcp_connect(gtcp_new(g, &g->gw, port, 0), SOON), -ECONNREFUSED);
	assert_int_equal(smoke_stat(reason), refused + 1);
	close(listener);
	for (unsigned int i = 0; i < n; i++)
		smoke_echo(g, &k[i]);
}

/* A place that is given up is somebody else's. */
static void
serve_again(struct guest *g, struct smoke_conn *k, unsigned int n)
{
	smoke_drop(&k[0]);
	k[0] = smoke_out(g, false);
	for (unsigned int i = 0; i < n; i++) {
		smoke_echo(g, &k[i]);
		smoke_drop(&k[i]);
	}
}

static void
syn_at_the_guests_limit_is_reset_and_others_go_on(void **state)
{
	struct smoke_conn k[FLOWS];

	fill(smoke.g, k, FLOWS, "flow-limit");
	serve_again(smoke.g, k, FLOWS);
}

static void
syn_at_a_table_without_room_is_reset_and_others_go_on(void **state)
{
	struct smoke_conn k[ROOM_B];

	assert_int_equal(smoke_flows(0), 0);
	fill(b, k, ROOM_B, "flow-limit");
	smoke_serves(smoke.g);
	serve_again(b, k, ROOM_B);
}

static void
connection_from_outside_at_a_table_without_room_is_reset(void **state)
{
	struct smoke_conn k[ROOM_B], late;
	long long refused = smoke_stat("bridge-refused");
	char byte;
	int fd;

	assert_int_equal(smoke_flows(0), 0);
	fill(b, k, ROOM_B, "flow-limit");
	fd = host_tcp_connect(LO, 8090);
	assert_int_equal(host_recv(b, fd, &byte, 1, SOON), -ECONNRESET);
	assert_int_equal(smoke_stat("bridge-refused"), refused + 1);
	close(fd);
	smoke_drop(&k[0]);
	late = smoke_in(b, false, 8090, 90);
	smoke_echo(b, &late);
	smoke_drop(&late);
	for (unsigned int i = 1; i < ROOM_B; i++)
		smoke_drop(&k[i]);
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
		SMOKE(connection_that_cannot_be_accepted_waits_and_nothing_spins),
		SMOKE(syn_at_the_guests_limit_is_reset_and_others_go_on),
		SMOKE(syn_at_a_table_without_room_is_reset_and_others_go_on),
		SMOKE(connection_from_outside_at_a_table_without_room_is_reset),
	};

	return cmocka_run_group_tests_name("conf_tcp_limits", tests, up, down);
}
