/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A kernel without SO_PEEK_OFF on TCP (before Linux 6.9): a filter of system calls, which the
 * daemon inherits, makes this one such.
 */
#include "smoke.h"

#include <stddef.h>

#include <sys/prctl.h>
#include <sys/syscall.h>

#include <linux/filter.h>
#include <linux/seccomp.h>

#define MIB (1u << 20)
#define LONG 60000

/** The low half of an argument of the call. */
#define ARG(n) (offsetof(struct seccomp_data, args[n]) + 4 * (__BYTE_ORDER == __BIG_ENDIAN))

/* setsockopt(SO_PEEK_OFF) fails as it does where TCP does not know it. 0 or -errno */
static int
forbid_peek_off(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_setsockopt, 0, 5),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ARG(1)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SOL_SOCKET, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ARG(2)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SO_PEEK_OFF, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EOPNOTSUPP),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = { sizeof(code) / sizeof(code[0]), code };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
		prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) < 0)
		return -errno;
	return 0;
}

static bool filtered;

static void
need_filter(void)
{
	if (!filtered) {
		print_message("skipped: no filter of system calls can be had\n");
		skip();
	}
}

static struct smoke_conn
connection(bool v6)
{
	struct smoke_conn k;

	need_filter();
	k = smoke_out(smoke.g, v6);
	k.c->tso = true;
	return k;
}

static void
host_sees_end(struct smoke_conn *k)
{
	char byte;

	assert_int_equal(host_recv(smoke.g, k->fd, &byte, 1, SOON), 0);
}

static void
daemon_says_that_it_reads_in_the_slower_way(void **state)
{
	need_filter();
	assert_true(proc_wait_log(smoke.d, "no SO_PEEK_OFF for TCP", SOON));
}

static void
megabytes_both_ways_arrive_whole(void **state)
{
	struct smoke_conn k = connection(false);

	assert_ok(host_transfer(k.c, k.fd, 4 * MIB, 4 * MIB, LONG));
	smoke_drop(&k);
}

static void
megabytes_of_a_connection_from_outside_arrive_whole(void **state)
{
	struct smoke_conn k;

	need_filter();
	k = smoke_in(smoke.g, false, 8090, 90);
	assert_ok(host_transfer(k.c, k.fd, MIB, 2 * MIB, LONG));
	smoke_drop(&k);
}

static void
segments_lost_again_and_again_arrive_all_the_same(void **state)
{
	for (int v6 = 0; v6 < 2; v6++) {
		struct smoke_conn k = connection(v6);

		/* One frame at a time, so that each loss is made good before the next. */
		k.c->rcv_wnd = 30000;
		gtcp_ack(k.c);
		k.c->lose_every = 5;
		assert_ok(host_transfer(k.c, k.fd, MIB / 2, MIB, LONG));
		assert_true(k.c->retransmitted > 0);
		smoke_drop(&k);
	}
}

static void
guest_that_takes_little_at_a_time_gets_all(void **state)
{
	struct smoke_conn k = connection(false);

	k.c->rcv_wnd = 3000;
	gtcp_ack(k.c);
	assert_ok(host_transfer(k.c, k.fd, 0, 300000, LONG));
	smoke_drop(&k);
}

static void
data_flows_to_the_guest_after_its_fin(void **state)
{
	struct smoke_conn k = connection(false);

	gtcp_shutdown(k.c);
	host_sees_end(&k);
	assert_ok(host_transfer(k.c, k.fd, 0, MIB, LONG));
	shutdown(k.fd, SHUT_WR);
	assert_true(gtcp_wait_fin(k.c, SOON));
	assert_false(k.c->reset_received);
	smoke_drop(&k);
}

static void
data_flows_from_the_guest_after_the_hosts_fin(void **state)
{
	struct smoke_conn k = connection(true);

	smoke_say_down(&k, "no more from here");
	shutdown(k.fd, SHUT_WR);
	assert_true(gtcp_wait_fin(k.c, SOON));
	assert_ok(host_transfer(k.c, k.fd, MIB, 0, LONG));
	gtcp_shutdown(k.c);
	host_sees_end(&k);
	assert_true(gtcp_wait_fin_acked(k.c, SOON));
	assert_false(k.c->reset_received);
	smoke_drop(&k);
}

/* The end of a stream of which nothing was acknowledged looks like "nothing yet". */
static void
fin_behind_unacknowledged_data_is_seen(void **state)
{
	struct smoke_conn k = connection(false);
	char buf[8] = { 0 };

	k.c->drop = 2;
	assert_int_equal(host_send_all(smoke.g, k.fd, "before", 6, SOON), 0);
	host_idle(smoke.g, 20);
	close(k.fd);
	k.fd = -1;
	assert_int_equal(gtcp_recv_all(k.c, buf, 6, SOON), 0);
	assert_string_equal(buf, "before");
	assert_true(gtcp_wait_fin(k.c, SOON));
	smoke_drop(&k);
}

static void
answer_before_a_reset_reaches_the_guest_whole(void **state)
{
	static uint8_t out[60000], in[60000];
	struct smoke_conn k = connection(false);

	host_fill(2, 0, out, sizeof(out));
	assert_int_equal(gtcp_send(k.c, "request", 7, SOON), 0);
	assert_true(host_wait(smoke.g, k.fd, POLLIN, SOON));
	k.c->rcv_wnd = 3000;
	gtcp_ack(k.c);
	smoke_answer_and_reset(&k, out, sizeof(out));
	assert_int_equal(gtcp_recv_all(k.c, in, sizeof(in), LONG), 0);
	assert_memory_equal(in, out, sizeof(in));
	assert_true(gtcp_wait_reset(k.c, SOON));
	smoke_drop(&k);
}

static int
up(void **state)
{
	static const char *const args[] = { "--vm",
		"a,socket=%d/a.sock,loopback=gateway,tcp=8090:90", NULL };

	filtered = forbid_peek_off() == 0;
	return smoke_up(args);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		SMOKE(daemon_says_that_it_reads_in_the_slower_way),
		SMOKE(megabytes_both_ways_arrive_whole),
		SMOKE(megabytes_of_a_connection_from_outside_arrive_whole),
		SMOKE(segments_lost_again_and_again_arrive_all_the_same),
		SMOKE(guest_that_takes_little_at_a_time_gets_all),
		SMOKE(data_flows_to_the_guest_after_its_fin),
		SMOKE(data_flows_from_the_guest_after_the_hosts_fin),
		SMOKE(fin_behind_unacknowledged_data_is_seen),
		SMOKE(answer_before_a_reset_reaches_the_guest_whole),
	};

	return cmocka_run_group_tests_name("conf_tcp_peek", tests, up, smoke_down);
}
