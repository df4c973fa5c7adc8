/* SPDX-License-Identifier: BSD-3-Clause */
/* SIGHUP: the file is read again, all of it comes into force or nothing. */
#include "smoke2.h"

#include <dirent.h>
#include <netinet/in.h>
#include <signal.h>

#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define HEAD "[weir]\nmemory = 64\nmax-flows = 4096\nhugepages = off\ncontrol = %d/control.sock\n"
#define BRIDGE "bridges = 1\n"
#define BRIDGES "bridges = 2\n"
#define A "[vm.a]\nsocket = %d/a.sock\nloopback = gateway\n"
#define B "[vm.b]\nsocket = %d/b.sock\nloopback = gateway\n"

#define Z "[vm.z]\nsocket = %d/a.sock\nloopback = gateway\n"

/* It answers: signals that were sent before have been dealt with. */
static void
settled(void)
{
	int status;

	free(proc_ctl_text(smoke.d, &status, (const char *[]){ "ping", NULL }));
	assert_int_equal(status, 0);
}

static bool
listens(uint16_t port)
{
	int fd = host_tcp_connect(LO, port);
	bool yes = fd >= 0 && host_connected(NULL, fd, SOON) == 0;

	if (fd >= 0)
		close(fd);
	return yes;
}

static bool
there(const char *sock)
{
	return access(proc_path(smoke.d, sock), F_OK) == 0;
}

static void
vm_comes_and_goes_without_disturbing_another(void **state)
{
	struct smoke_conn k = smoke_out(smoke.g, false);
	struct guest_conf c = { .addr = "10.0.2.16", .addr6 = "fd00:2::16" };
	struct guest *b;

	smoke_reload(HEAD A B, "reload: done, 2 VMs");
	assert_true(there("b.sock"));
	c.mac[0] = 2;
	b = smoke_guest("b.sock", &c);
	assert_non_null(b);
	smoke_serves(b);
	smoke_echo(smoke.g, &k);
	smoke_reload(HEAD A, "reload: done, 1 VMs");
	assert_false(there("b.sock"));
	assert_true(smoke_router_left(b));
	assert_true(vhu_closed_by_peer(b->v, SOON));
	guest_close(b);
	smoke_echo(smoke.g, &k);
	smoke_drop(&k);
}

static void
forwards_come_and_go(void **state)
{
	struct smoke_conn k;

	smoke_reload(HEAD A "tcp = 127.0.0.1:3001:22\n", "reload: done");
	k = smoke_in(smoke.g, false, 3001, 22);
	smoke_reload(HEAD A "tcp = 127.0.0.1:3002:22\n", "reload: done");
	assert_false(listens(3001));
	/* A connection through a forward that has gone goes on. */
	smoke_echo(smoke.g, &k);
	smoke_drop(&k);
	k = smoke_in(smoke.g, false, 3002, 22);
	smoke_echo(smoke.g, &k);
	smoke_drop(&k);
	smoke_reload(HEAD A, "reload: done");
	assert_false(listens(3002));
}

static void
forward_moves_to_another_port_of_the_guest(void **state)
{
	struct smoke_conn k;

	smoke_reload(HEAD A "tcp = 127.0.0.1:3001:22\n", "reload: done");
	smoke_reload(HEAD A "tcp = 127.0.0.1:3001:23\n", "reload: done");
	k = smoke_in(smoke.g, false, 3001, 23);
	smoke_echo(smoke.g, &k);
	smoke_drop(&k);
	smoke_reload(HEAD A, "reload: done");
}

static void
two_vms_can_swap_a_forward(void **state)
{
	struct guest_conf c = { .addr = "10.0.2.16", .addr6 = "fd00:2::16" };
	struct smoke_conn k;
	struct guest *b;

	smoke_reload(
		HEAD A "tcp = 127.0.0.1:3001:22\n" B "tcp = 127.0.0.1:3002:22\n", "reload: done");
	c.mac[0] = 2;
	b = smoke_guest("b.sock", &c);
	assert_non_null(b);
	smoke_reload(
		HEAD A "tcp = 127.0.0.1:3002:22\n" B "tcp = 127.0.0.1:3001:22\n", "reload: done");
	k = smoke_in(smoke.g, false, 3002, 22);
	smoke_drop(&k);
	k = smoke_in(b, false, 3001, 22);
	smoke_drop(&k);
	guest_close(b);
	smoke_reload(HEAD A, "reload: done");
}

/* ---- forwards of UDP, with a flow that lives ---- */

/* The peer's datagram to port 3001 reaches this port of the guest, and the answer the peer. */
static void
passes(struct guest *g, int fd, uint16_t guest_port)
{
	struct pkt_addr from;
	struct guest_frame *f;
	uint16_t port;
	char buf[8];

	assert_int_equal(host_send_to(fd, LO, 3001, "ask", 3), 0);
	f = guest_udp_recv(g, guest_port, SOON);
	assert_non_null(f);
	guest_udp_send(g, guest_port, &f->view.src, f->view.sport, "told", 4);
	free(f);
	assert_int_equal(host_recv_from(g, fd, buf, sizeof(buf), &from, &port, SOON), 4);
	assert_int_equal(port, 3001);
}

static bool
is_udp(const struct pkt_view *v, void *arg)
{
	return v->proto == IPPROTO_UDP;
}

static void
udp_forward_moves_to_another_port_of_the_guest(void **state)
{
	uint16_t own = 0;
	int fd = host_udp(LO, &own);

	smoke_reload(HEAD A "udp = 127.0.0.1:3001:22\n", "reload: done");
	passes(smoke.g, fd, 22);
	passes(smoke.g, fd, 22);
	smoke_reload(HEAD A "udp = 127.0.0.1:3001:23\n", "reload: done");
	passes(smoke.g, fd, 23);
	passes(smoke.g, fd, 23);
	assert_true(guest_never(smoke.g, is_udp, NULL, 0));
	close(fd);
	smoke_reload(HEAD A, "reload: done");
}

static void
udp_forward_goes_and_comes_back(void **state)
{
	uint16_t own = 0;
	int fd = host_udp(LO, &own);

	smoke_reload(HEAD A "udp = 127.0.0.1:3001:22\n", "reload: done");
	passes(smoke.g, fd, 22);
	/* The flow ends, too: who goes on sending does not get in for ever. */
	smoke_reload(HEAD A, "reload: done");
	assert_int_equal(host_send_to(fd, LO, 3001, "late", 4), 0);
	assert_true(guest_never(smoke.g, is_udp, NULL, NEVER));
	assert_int_equal(smoke_flows(0), 0);
	smoke_reload(HEAD A "udp = 127.0.0.1:3001:22\n", "reload: done");
	passes(smoke.g, fd, 22);
	close(fd);
	smoke_reload(HEAD A, "reload: done");
}

static void
udp_forward_moves_to_another_vm(void **state)
{
	struct guest_conf c = { .addr = "10.0.2.16", .addr6 = "fd00:2::16" };
	uint16_t own = 0;
	int fd = host_udp(LO, &own);
	struct guest *b;

	smoke_reload(HEAD A "udp = 127.0.0.1:3001:22\n" B, "reload: done");
	c.mac[0] = 2;
	b = smoke_guest("b.sock", &c);
	assert_non_null(b);
	passes(smoke.g, fd, 22);
	smoke_reload(HEAD A B "udp = 127.0.0.1:3001:22\n", "reload: done");
	passes(b, fd, 22);
	assert_true(guest_never(smoke.g, is_udp, NULL, 0));
	close(fd);
	guest_close(b);
	smoke_reload(HEAD A, "reload: done");
}

static void
udp_forward_survives_a_reload_that_is_rolled_back(void **state)
{
	uint16_t own = 0;
	int fd = host_udp(LO, &own);

	smoke_reload(HEAD A "udp = 127.0.0.1:3001:22\n", "reload: done");
	passes(smoke.g, fd, 22);
	smoke_reload(HEAD A "udp = 127.0.0.1:3001:23\n[vm.c]\nsocket = /no/such/dir/c.sock\n",
		"reload: rolled back");
	passes(smoke.g, fd, 22);
	close(fd);
	smoke_reload(HEAD A, "reload: done");
}

static void
what_is_told_to_guests_changes(void **state)
{
	struct guest_frame *f;
	struct dhcp_reply ack;
	struct pkt_addr dns;

	smoke_reload(HEAD A "dns = 192.0.2.7\nhostname = toad\n", "reload: done");
	assert_int_equal(guest_dhcp(smoke.g, &ack, &f), 0);
	dns = dhcp_opt_addr(&ack, DHCP_OPT_DNS, 0);
	assert_string_equal(pkt_addr_text(&dns), "192.0.2.7");
	assert_int_equal(ack.opt_len[DHCP_OPT_HOSTNAME], 4);
	assert_memory_equal(ack.opt[DHCP_OPT_HOSTNAME], "toad", 4);
	free(f);
	smoke_reload(HEAD A, "reload: done");
}

static void
wrong_file_changes_nothing(void **state)
{
	static const char *const wrong[] = {
		HEAD A "mtu = 1\n",
		HEAD A "nonsense = 1\n",
		HEAD A B "tcp = 127.0.0.1:3001:22\naddress = 10.0.2.2\n",
		HEAD "[vm.a]\n",
		"\x01\x02\x03",
		"[weir\n",
	};
	struct smoke_conn k = smoke_out(smoke.g, false);

	for (unsigned int i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		smoke_reload(wrong[i], smoke_conf_path());
		assert_non_null(strstr(smoke.d->log, "reload: nothing was changed"));
		assert_false(listens(3001));
		assert_false(there("b.sock"));
		smoke_echo(smoke.g, &k);
	}
	unlink(smoke_conf_path());
	kill(smoke.d->pid, SIGHUP);
	assert_true(proc_wait_log(smoke.d, "cannot be opened", SOON));
	smoke_echo(smoke.g, &k);
	smoke_drop(&k);
	smoke_reload(HEAD A, "reload: done");
}

static void
keys_that_cannot_change_are_named(void **state)
{
	smoke_reload("[weir]\nmemory = 128\nmax-flows = 4096\nhugepages = off\ncontrol = "
		     "%d/control.sock\n" A,
		"memory: cannot change while weir runs");
	smoke_reload(HEAD "[vm.a]\nsocket = %d/other.sock\nloopback = gateway\n",
		"socket: cannot change while weir runs");
	assert_false(there("other.sock"));
	smoke_reload(HEAD A "queues = 2\n", "queues: cannot change while weir runs");
	smoke_reload(HEAD "poll = busy\n" A, "poll: cannot change while weir runs");
	smoke_serves(smoke.g);
	smoke_reload(HEAD A, "reload: done");
}

static void
failure_half_way_is_rolled_back(void **state)
{
	struct smoke_conn k;
	uint16_t used = 0;
	int fd = host_tcp_listen(LO, &used);
	char text[512];

	smoke_reload(HEAD A "tcp = 127.0.0.1:3001:22\n", "reload: done");
	k = smoke_in(smoke.g, false, 3001, 22);
	/* A new VM whose socket cannot be made. */
	smoke_reload(HEAD A "tcp = 127.0.0.1:3002:22\n[vm.c]\nsocket = /no/such/dir/c.sock\n",
		"reload: rolled back");
	assert_false(listens(3002));
	assert_true(listens(3001));
	/* A forward whose port another program has, and a VM that would have been added. */
	snprintf(text, sizeof(text), "%stcp = 127.0.0.1:3002:22, 127.0.0.1:%u:22\n%s", HEAD A, used,
		B);
	smoke_reload(text, "reload: rolled back");
	assert_false(listens(3002));
	assert_true(listens(3001));
	assert_false(there("b.sock"));
	smoke_echo(smoke.g, &k);
	smoke_drop(&k);
	guest_flush(smoke.g);
	k = smoke_in(smoke.g, false, 3001, 22);
	smoke_drop(&k);
	close(fd);
	smoke_reload(HEAD A, "reload: done");
}

/* The name of the only VM, as vm list has it. */
static void
is_called(const char *name)
{
	json_t *j = proc_ctl(smoke.d, NULL, (const char *[]){ "vm", "list", NULL });
	const json_t *vms = json_object_get(j, "vms");

	assert_int_equal(json_array_size(vms), 1);
	assert_string_equal(
		json_string_value(json_object_get(json_array_get(vms, 0), "name")), name);
	json_decref(j);
}

static void
vm_can_be_renamed_and_its_guest_does_not_notice(void **state)
{
	struct smoke_conn k = smoke_out(smoke.g, false);
	uint16_t used = 0;
	char text[512];
	int fd = host_tcp_listen(LO, &used);

	smoke_reload(HEAD Z "tcp = 127.0.0.1:3001:22\n", "reload: done, 1 VMs");
	is_called("z");
	smoke_echo(smoke.g, &k);
	assert_true(listens(3001));
	/* Back, but for a port that another program has: it keeps its name. */
	snprintf(text, sizeof(text), "%stcp = 127.0.0.1:%u:22\n", HEAD A, used);
	smoke_reload(text, "reload: rolled back");
	is_called("z");
	smoke_echo(smoke.g, &k);
	assert_true(listens(3001));
	/* What cannot change, cannot under another name. */
	smoke_reload(HEAD A "queues = 2\n", "[vm.a] queues: cannot change while weir runs");
	guest_flush(smoke.g);
	smoke_reload(HEAD A, "reload: done, 1 VMs");
	is_called("a");
	smoke_echo(smoke.g, &k);
	smoke_drop(&k);
	close(fd);
}

static void
last_vm_can_go_and_come_back(void **state)
{
	smoke_reload(HEAD, "reload: done, 0 VMs");
	assert_false(there("a.sock"));
	assert_true(vhu_closed_by_peer(smoke.g->v, SOON));
	smoke_reload(HEAD A, "reload: done, 1 VMs");
	assert_int_equal(vhu_reconnect(smoke.g->v), 0);
	smoke_take_back(smoke.g);
	guest_refresh(smoke.g);
	smoke_serves(smoke.g);
}

static void
many_reloads_leak_nothing(void **state)
{
	const size_t before = strlen(proc_log(smoke.d));
	int fds = smoke_fds(proc_open_fds(smoke.d));

	for (unsigned int i = 0; i < 20; i++)
		smoke_reload(i % 2 ? HEAD A : HEAD A "tcp = 127.0.0.1:3001:22\n" B, "reload: done");
	assert_true(smoke_fds(fds) <= fds);
	/* Signals in a heap are one reload, or a few. */
	for (unsigned int i = 0; i < 50; i++)
		kill(smoke.d->pid, SIGHUP);
	smoke_reload(HEAD A, "reload: done");
	settled();
	assert_null(strstr(proc_log(smoke.d) + before, "error"));
	smoke_serves(smoke.g);
}

static void
log_level_changes(void **state)
{
	const size_t before = strlen(proc_log(smoke.d));

	smoke_conf("[weir]\nmemory = 64\nmax-flows = 4096\nhugepages = off\ncontrol = "
		   "%d/control.sock\n"
		   "log-level = error\n" A);
	kill(smoke.d->pid, SIGHUP);
	settled();
	assert_int_equal(strlen(proc_log(smoke.d)), before);
	smoke_reload(HEAD A, "reload: done");
}

/** The daemon's worker thread, -1: not found. */
static pid_t
worker_thread(void)
{
	char path[300], name[64];
	struct dirent *e;
	pid_t tid = -1;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", smoke.d->pid);
	dir = opendir(path);
	while (dir != NULL && tid < 0 && (e = readdir(dir)) != NULL) {
		FILE *f;

		snprintf(path, sizeof(path), "/proc/%d/task/%s/comm", smoke.d->pid, e->d_name);
		f = fopen(path, "r");
		if (f == NULL)
			continue;
		if (fgets(name, sizeof(name), f) != NULL && strstr(name, "worker") != NULL)
			tid = atoi(e->d_name);
		fclose(f);
	}
	if (dir != NULL)
		closedir(dir);
	return tid;
}

static bool
hold(pid_t tid)
{
	return ptrace(PTRACE_SEIZE, tid, NULL, PTRACE_O_TRACESYSGOOD) == 0 &&
		ptrace(PTRACE_INTERRUPT, tid, NULL, NULL) == 0 && waitpid(tid, NULL, __WALL) == tid;
}

/** Let a held thread run until it is about to remove a file. */
static bool
run_to_unlink(pid_t tid)
{
	struct __ptrace_syscall_info info;

	for (unsigned int i = 0; i < 1000000; i++) {
		if (ptrace(PTRACE_SYSCALL, tid, NULL, NULL) != 0 ||
			waitpid(tid, NULL, __WALL) != tid ||
			ptrace(PTRACE_GET_SYSCALL_INFO, tid, sizeof(info), &info) <= 0)
			return false;
		if (info.op == PTRACE_SYSCALL_INFO_ENTRY &&
			(info.entry.nr == SYS_unlink || info.entry.nr == SYS_unlinkat))
			return true;
	}
	return false;
}

static void
vm_goes_while_its_worker_is_held_up(void **state)
{
	struct guest_conf c = { .addr = "10.0.2.16", .addr6 = "fd00:2::16" };
	const pid_t worker = worker_thread(), control = smoke.d->pid;
	struct smoke_conn k;
	struct guest *b;

	assert_true(worker > 0);
	smoke_reload(HEAD BRIDGE A B, "reload: done, 2 VMs");
	c.mac[0] = 2;
	b = smoke_guest("b.sock", &c);
	assert_non_null(b);
	k = smoke_out(b, false);
	smoke_echo(b, &k);
	if (!hold(control)) {
		print_message("skipped: no thread may be stopped here: %s\n", strerror(errno));
		skip();
	}
	smoke_conf(HEAD BRIDGE A);
	kill(control, SIGHUP);
	/* The VM is on its way out; the worker has yet to be told to forget it. */
	assert_true(run_to_unlink(control));
	assert_true(hold(worker));
	assert_int_equal(ptrace(PTRACE_DETACH, control, NULL, NULL), 0);
	assert_true(proc_wait_log(smoke.d, "holds on to it", 20 * SOON));
	assert_true(proc_wait_log(smoke.d, "reload: done, 1 VMs", 20 * SOON));
	assert_int_equal(ptrace(PTRACE_DETACH, worker, NULL, NULL), 0);
	/* It looks at the VM that is gone, and serves the other. */
	smoke_serves(smoke.g);
	send(k.fd, "late", 4, MSG_DONTWAIT | MSG_NOSIGNAL);
	host_idle(smoke.g, 100);
	smoke_serves(smoke.g);
	close(k.fd);
	close(k.listener);
	guest_close(b);
	/* Its socket can be another's. */
	smoke_reload(HEAD BRIDGE A B, "reload: done, 2 VMs");
	b = smoke_guest("b.sock", &c);
	assert_non_null(b);
	smoke_serves(b);
	guest_close(b);
	smoke_reload(HEAD BRIDGE A, "reload: done, 1 VMs");
}

/* Each bridge has a listening socket of its own for a forward. */
static void
forwards_of_several_bridges_come_and_go(void **state)
{
	uint16_t used = 0;
	int fd = host_tcp_listen(LO, &used);
	struct smoke_conn k;
	char text[512];

	smoke_reload(HEAD BRIDGES A "tcp = 127.0.0.1:3001:22\n", "reload: done");
	k = smoke_in(smoke.g, false, 3001, 22);
	for (int i = 0; i < 3; i++) {
		smoke_reload(HEAD BRIDGES A "tcp = 127.0.0.1:3001-3004:22\n", "reload: done");
		smoke_echo(smoke.g, &k);
		/* One goes, one stays, one cannot be had: all is as it was. */
		snprintf(text, sizeof(text), "%stcp = 127.0.0.1:3001:22, 127.0.0.1:%u:22\n",
			HEAD BRIDGES A, used);
		smoke_reload(text, "reload: rolled back");
		assert_true(listens(3004));
		smoke_reload(HEAD BRIDGES A "tcp = 127.0.0.1:3002:22\n", "reload: done");
		assert_false(listens(3001));
		assert_true(listens(3002));
		smoke_reload(HEAD BRIDGES A, "reload: done");
		assert_false(listens(3002));
	}
	smoke_drop(&k);
	close(fd);
}

static int
up(void **state)
{
	return smoke_up_conf(HEAD A);
}

static int
up_bridge(void **state)
{
	return smoke_up_conf(HEAD BRIDGE A);
}

static int
up_bridges(void **state)
{
	return smoke_up_conf(HEAD BRIDGES A);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		SMOKE(vm_comes_and_goes_without_disturbing_another),
		SMOKE(forwards_come_and_go),
		SMOKE(forward_moves_to_another_port_of_the_guest),
		SMOKE(two_vms_can_swap_a_forward),
		SMOKE(udp_forward_moves_to_another_port_of_the_guest),
		SMOKE(udp_forward_goes_and_comes_back),
		SMOKE(udp_forward_moves_to_another_vm),
		SMOKE(udp_forward_survives_a_reload_that_is_rolled_back),
		SMOKE(what_is_told_to_guests_changes),
		SMOKE(wrong_file_changes_nothing),
		SMOKE(keys_that_cannot_change_are_named),
		SMOKE(failure_half_way_is_rolled_back),
		SMOKE(vm_can_be_renamed_and_its_guest_does_not_notice),
		SMOKE(last_vm_can_go_and_come_back),
		SMOKE(many_reloads_leak_nothing),
		SMOKE(log_level_changes),
	};
	const struct CMUnitTest bridge[] = {
		SMOKE(vm_goes_while_its_worker_is_held_up),
	};
	const struct CMUnitTest bridges[] = {
		SMOKE(forwards_of_several_bridges_come_and_go),
	};
	int failed = cmocka_run_group_tests_name("conf_reload", tests, up, smoke_down);

	failed += cmocka_run_group_tests_name("conf_reload: bridge", bridge, up_bridge, smoke_down);
	failed += cmocka_run_group_tests_name(
		"conf_reload: bridges", bridges, up_bridges, smoke_down);
	return failed;
}
