/* SPDX-License-Identifier: BSD-3-Clause */
/* Start and end of the daemon: what is in its way, what it leaves, as whom it runs. */
#include "smoke2.h"

#include <grp.h>
#include <signal.h>

#include <netinet/in.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#define SIZE "--memory", "64", "--max-flows", "4096", "--hugepages", "off"
#define SMALL SIZE, "--control", "%d/control.sock"

/** Things that stand in the way lie in a directory of the test's own. */
static char dir[32];

static const char *
in_dir(const char *format)
{
	static char bufs[4][128];
	static unsigned int next;
	char *buf = bufs[next++ % 4];

	snprintf(buf, sizeof(bufs[0]), format, dir);
	return buf;
}

/* A socket at path, on which somebody listens, or nobody any more. -1: nobody */
static int
unix_socket(const char *path, bool alive)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
	unlink(path);
	assert_int_equal(bind(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	assert_int_equal(listen(fd, 1), 0);
	if (alive)
		return fd;
	close(fd);
	return -1;
}

static void
socket_in_use_is_refused_and_stays(void **state)
{
	const char *path = in_dir("%s/used.sock");
	int fd = unix_socket(path, true);

	smoke_refused(
		1, path, (const char *[]){ SMALL, "--vm", in_dir("a,socket=%s/used.sock"), NULL });
	assert_int_equal(access(path, F_OK), 0);
	close(fd);
	unlink(path);
}

static void
control_socket_in_use_is_refused_and_stays(void **state)
{
	const char *path = in_dir("%s/used.sock");
	int fd = unix_socket(path, true);

	smoke_refused(1, "in use by another weir",
		(const char *[]){ SIZE, "--control", path, "--vm", "a,socket=%d/a.sock", NULL });
	assert_int_equal(access(path, F_OK), 0);
	close(fd);
	unlink(path);
}

/* Of a program that would share it, and whether one bridge or several would listen. */
static void
port_in_use_is_refused(void **state)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
	socklen_t len = sizeof(in);
	char vm[128];

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
	snprintf(vm, sizeof(vm), "a,socket=%%d/a.sock,tcp=127.0.0.1:%u:80", ntohs(in.sin_port));
	for (int bridges = 1; bridges <= 2; bridges++)
		smoke_refused(1, "another program",
			(const char *[]){
				SMALL, "--bridges", bridges == 1 ? "1" : "2", "--vm", vm, NULL });
	close(fd);
}

static void
file_that_is_no_socket_is_not_removed(void **state)
{
	const char *path = in_dir("%s/precious");

	smoke_file_write(path, "data\n");
	smoke_refused(
		1, path, (const char *[]){ SMALL, "--vm", in_dir("a,socket=%s/precious"), NULL });
	smoke_refused(1, path,
		(const char *[]){ SIZE, "--control", path, "--vm", "a,socket=%d/a.sock", NULL });
	assert_int_equal(access(path, F_OK), 0);
	unlink(path);
}

static void
missing_directory_is_named(void **state)
{
	smoke_refused(1, "/no/such/dir/a.sock",
		(const char *[]){ SMALL, "--vm", "a,socket=/no/such/dir/a.sock", NULL });
	smoke_refused(1, "/no/such/dir/control.sock",
		(const char *[]){ SIZE, "--control", "/no/such/dir/control.sock", "--vm",
			"a,socket=%d/a.sock", NULL });
}

static void
forward_port_in_use_is_named_and_the_others_are_let_go(void **state)
{
	uint16_t tcp = 0, udp = 0, other = 0;
	int fd_tcp = host_tcp_listen("0.0.0.0", &tcp), fd_udp = host_udp("0.0.0.0", &udp);
	int fd = host_tcp_listen(LO, &other);
	char vm[128], text[64];

	close(fd);
	snprintf(vm, sizeof(vm), "a,socket=%%d/a.sock,tcp=127.0.0.1:%u/127.0.0.1:%u", other, tcp);
	snprintf(text, sizeof(text), "--vm a: tcp: ");
	smoke_refused(1, text, (const char *[]){ SMALL, "--vm", vm, NULL });
	fd = host_tcp_listen(LO, &other);
	assert_true(fd >= 0);
	close(fd);
	snprintf(vm, sizeof(vm), "a,socket=%%d/a.sock,udp=%u:53", udp);
	smoke_refused(1, "--vm a: udp: ", (const char *[]){ SMALL, "--vm", vm, NULL });
	close(fd_tcp);
	close(fd_udp);
}

static void
forward_of_an_address_the_host_does_not_have_is_named(void **state)
{
	smoke_refused(1, "192.0.2.1",
		(const char *[]){ SMALL, "--vm", "a,socket=%d/a.sock,tcp=192.0.2.1:8080", NULL });
}

/* A number of /proc/meminfo, 0: it is not there. */
static unsigned long
meminfo(const char *name)
{
	FILE *f = fopen("/proc/meminfo", "r");
	unsigned long n = 0;
	char line[128];

	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		if (strncmp(line, name, strlen(name)) == 0)
			n = strtoul(line + strlen(name), NULL, 10);
	if (f != NULL)
		fclose(f);
	return n;
}

static void
what_cannot_be_had_is_named(void **state)
{
	struct smoke_run r;

	smoke_refused(1, "memory: 1048576 MiB",
		(const char *[]){ "--memory", "1048576", "--hugepages", "off", "--control",
			"%d/control.sock", "--vm", "a,socket=%d/a.sock", NULL });
	smoke_refused(1, "workers: CPU 4000",
		(const char *[]){ SMALL, "--workers", "4000", "--vm", "a,socket=%d/a.sock", NULL });
	smoke_refused(1, "max-flows",
		(const char *[]){ "--memory", "64", "--max-flows", "1000000", "--hugepages", "off",
			"--control", "%d/control.sock", "--vm", "a,socket=%d/a.sock", NULL });
	smoke_refused(1, "no group nosuchgroup",
		(const char *[]){ SMALL, "--control-group", "nosuchgroup", "--vm",
			"a,socket=%d/a.sock", NULL });
	smoke_refused(1, "--vm a: socket-group: there is no group nosuchgroup",
		(const char *[]){
			SMALL, "--vm", "a,socket=%d/a.sock,socket-group=nosuchgroup", NULL });
	smoke_refused(
		1, "--vm a: port: ", (const char *[]){ SMALL, "--vm", "a,port=net_nosuch0", NULL });
	/* DPDK has a line of its own before it, but does not show its usage. */
	smoke_run(&r,
		(const char *[]){
			SMALL, "--eal", "--nonsense", "--vm", "a,socket=%d/a.sock", NULL });
	assert_int_equal(r.status, 1);
	assert_non_null(strstr(r.said, "weir: error: DPDK does not start"));
	assert_non_null(strstr(r.said, "eal: --nonsense"));
	assert_in_range(smoke_lines(r.said), 1, 2);
	smoke_run_free(&r);
	smoke_refused(1, "eal: ",
		(const char *[]){ SMALL, "--eal", "--help", "--vm", "a,socket=%d/a.sock", NULL });
	/* They take 32 GiB. */
	if (meminfo("MemTotal:") < 32u << 20)
		smoke_refused(1, "max-flows: 16777216 flows",
			(const char *[]){ "--max-flows", "16777216", "--hugepages", "off",
				"--control", "%d/control.sock", "--vm", "a,socket=%d/a.sock",
				NULL });
}

static void
missing_huge_pages_are_named(void **state)
{
	const unsigned long page_mb = meminfo("Hugepagesize:") / 1024;
	char memory[16];

	/* More than there are; a machine that has some has other memory besides. */
	snprintf(memory, sizeof(memory), "%lu", meminfo("HugePages_Total:") * page_mb + 128);
	smoke_refused(1, "vm.nr_hugepages",
		(const char *[]){ "--max-flows", "4096", "--memory", memory, "--hugepages", "on",
			"--control", "%d/control.sock", "--vm", "a,socket=%d/a.sock", NULL });
}

static void
stale_sockets_are_removed(void **state)
{
	const char *path = in_dir("%s/stale.sock"), *control = in_dir("%s/control.sock");
	struct guest_conf conf = { .vhu.path = path };
	struct proc *d;
	struct guest *g;

	unix_socket(path, false);
	unix_socket(control, false);
	d = proc_spawn_plain((const char *[]){
		SIZE, "--control", control, "--vm", in_dir("a,socket=%s/stale.sock"), NULL });
	assert_non_null(d);
	assert_true(proc_wait_ready(d, 4 * SOON));
	g = guest_open(&conf);
	assert_non_null(g);
	assert_int_equal(guest_arp(g), 0);
	guest_close(g);
	assert_ok(proc_stop(d));
	assert_int_not_equal(access(path, F_OK), 0);
	assert_int_not_equal(access(control, F_OK), 0);
	proc_free(d);
}

static void
socket_can_be_a_groups(void **state)
{
	static const char *const args[] = { "--vm", "a,socket=%d/a.sock,socket-group=nogroup",
		"--vm", "b,socket=%d/b.sock", NULL };
	const struct group *g = getgrnam("nogroup");
	struct stat a, b;

	assert_non_null(g);
	assert_int_equal(smoke_up_daemon(args), 0);
	assert_int_equal(stat(proc_path(smoke.d, "a.sock"), &a), 0);
	assert_int_equal(stat(proc_path(smoke.d, "b.sock"), &b), 0);
	assert_int_equal(a.st_gid, g->gr_gid);
	assert_int_equal(a.st_mode & 0777, 0660);
	assert_int_not_equal(b.st_gid, g->gr_gid);
	assert_int_equal(smoke_down(NULL), 0);
}

static void
end_by(int signal)
{
	static const char *const args[] = { "--vm", "a,socket=%d/a.sock,loopback=gateway", NULL };
	struct smoke_conn k;
	char byte;

	assert_int_equal(smoke_up(args), 0);
	k = smoke_out(smoke.g, false);
	smoke_echo(smoke.g, &k);
	kill(smoke.d->pid, signal);
	kill(smoke.d->pid, signal);
	/* The connection is ended, not left hanging: end of file or reset, at both sides. */
	assert_true(host_recv(smoke.g, k.fd, &byte, 1, SOON) != -ETIMEDOUT);
	assert_true(proc_wait_end(smoke.d, SOON));
	assert_true(WIFEXITED(smoke.d->status));
	assert_int_equal(WEXITSTATUS(smoke.d->status), 0);
	assert_int_not_equal(access(proc_path(smoke.d, "a.sock"), F_OK), 0);
	assert_int_not_equal(access(proc_path(smoke.d, "control.sock"), F_OK), 0);
	assert_null(proc_complaint(smoke.d));
	assert_true(smoke_router_left(smoke.g));
	smoke_drop(&k);
	guest_close(smoke.g);
	proc_free(smoke.d);
	smoke.g = NULL;
	smoke.d = NULL;
}

static void
sigterm_ends_connections_and_removes_sockets(void **state)
{
	end_by(SIGTERM);
}

static void
sigint_does_the_same(void **state)
{
	end_by(SIGINT);
}

static void
signal_during_start_leaves_nothing(void **state)
{
	for (unsigned int ms = 1; ms < 400; ms = ms * 3 / 2 + 1) {
		struct proc *d = proc_spawn((const char *[]){ "--vm", "a,socket=%d/a.sock", NULL });

		assert_non_null(d);
		vhu_sleep_ms(ms);
		kill(d->pid, SIGTERM);
		assert_true(proc_wait_end(d, 2 * SOON));
		assert_true(WIFSIGNALED(d->status) ? WTERMSIG(d->status) == SIGTERM
						   : WEXITSTATUS(d->status) == 0);
		assert_null(proc_complaint(d));
		assert_int_not_equal(access(proc_path(d, "a.sock"), F_OK), 0);
		assert_int_not_equal(access(proc_path(d, "control.sock"), F_OK), 0);
		proc_free(d);
	}
}

static void
idle_daemon_uses_no_cpu(void **state)
{
	static const char *const args[] = { "--vm", "a,socket=%d/a.sock,loopback=gateway", NULL };
	unsigned long before;

	assert_int_equal(smoke_up(args), 0);
	vhu_sleep_ms(100);
	before = proc_cpu_ms(smoke.d);
	vhu_sleep_ms(1000);
	assert_true(proc_cpu_ms(smoke.d) - before <= 20);
	assert_int_equal(smoke_down(NULL), 0);
}

/*
 * As nobody: the shell gives the directory away, takes a copy of the program there (the build may
 * lie where nobody can read), and drops what it has.
 */
static struct proc *
spawn_as_nobody(const char *args)
{
	char *bin = strdup(getenv("WEIR_BIN")), script[1024];
	const char *const argv[] = { "-c", script, "%d", bin, NULL };
	struct proc *d;

	snprintf(script, sizeof(script),
		"cp \"$1\" $0/weir && chown -R 65534:65534 $0 && exec setpriv --reuid=65534 "
		"--regid=65534 --clear-groups --pdeathsig KILL $0/weir --memory 64 --max-flows "
		"4096 --hugepages off "
		"--control $0/control.sock %s",
		args);
	setenv("WEIR_BIN", "/bin/sh", 1);
	d = proc_spawn_plain(argv);
	setenv("WEIR_BIN", bin, 1);
	free(bin);
	assert_non_null(d);
	return d;
}

static void
ordinary_user_without_huge_pages_is_served(void **state)
{
	smoke.net = netns_private();
	smoke_need_net();
	smoke.d = spawn_as_nobody("--vm a,socket=$0/a.sock,loopback=gateway,tcp=127.0.0.1:2222:22");
	assert_true(proc_wait_ready(smoke.d, 4 * SOON));
	smoke.g = smoke_guest("a.sock", NULL);
	assert_non_null(smoke.g);
	smoke_all(smoke.g, 100000);
	assert_null(strstr(proc_log(smoke.d), "error"));
	assert_int_equal(smoke_down(NULL), 0);
}

static void
ordinary_user_is_told_what_he_may_not_do(void **state)
{
	static const struct {
		const char *args, *text;
	} cases[] = {
		{ "--vm a,socket=$0/a.sock,mark=7", "CAP_NET_ADMIN" },
		{ "--vm a,socket=$0/a.sock,tcp=80", "tcp: " },
		{ "--vm a,socket=/root/a.sock", "/root/a.sock" },
		{ "--vm a,socket=$0/a.sock --control /root/c.sock", "--control: given twice" },
	};

	smoke.net = netns_private();
	smoke_need_net();
	for (unsigned int i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct proc *d = spawn_as_nobody(cases[i].args);

		assert_true(proc_wait_end(d, 2 * SOON));
		assert_true(WIFEXITED(d->status));
		if (WEXITSTATUS(d->status) == 0 || smoke_lines(proc_log(d)) != 1 ||
			strstr(proc_log(d), cases[i].text) == NULL)
			fail_msg("%s: status %d:\n%s", cases[i].args, WEXITSTATUS(d->status),
				proc_log(d));
		proc_free(d);
	}
}

static void
ping_sockets_that_are_not_permitted_are_said_once(void **state)
{
	static const char *const args[] = { "--vm", "a,socket=%d/a.sock", NULL };
	static const char said[] = "ping sockets are not permitted";
	struct pkt_addr far = pkt_addr("198.51.100.1");
	struct guest_frame *f;
	const char *at;

	smoke.net = netns_private();
	smoke_need_net();
	assert_int_equal(netns_run(NULL, "ip addr add 198.51.100.1/32 dev lo"), 0);
	assert_int_equal(netns_run(NULL, "echo 1 0 > /proc/sys/net/ipv4/ping_group_range"), 0);
	smoke.d = proc_start(args);
	assert_non_null(smoke.d);
	smoke.g = smoke_guest("a.sock", NULL);
	assert_non_null(smoke.g);
	/* The guest is told each time, the log is not. */
	for (uint16_t i = 0; i < 3; i++) {
		assert_true(guest_ping(smoke.g, &far, 7, i, "x", 1, NEVER) != 0);
		f = guest_icmp_error(smoke.g, 3, SOON);
		assert_non_null(f);
		assert_int_equal(f->view.icmp_code, 13);
		free(f);
	}
	kill(smoke.d->pid, SIGHUP);
	assert_true(proc_wait_log(smoke.d, "reload: ", 2 * SOON));
	at = strstr(proc_log(smoke.d), said);
	assert_non_null(at);
	assert_non_null(strstr(at, "net.ipv4.ping_group_range"));
	assert_null(strstr(at + 1, said));
	assert_int_equal(smoke_down(NULL), 0);
}

static int
up(void **state)
{
	strcpy(dir, "/tmp/weir-test-XXXXXX");
	return mkdtemp(dir) != NULL ? 0 : -1;
}

static int
down(void **state)
{
	return rmdir(dir);
}

static int
after_each(void **state)
{
	/* A test that has failed in the middle leaves its daemon. */
	guest_close(smoke.g);
	proc_free(smoke.d);
	smoke.g = NULL;
	smoke.d = NULL;
	return 0;
}

#define START(f) cmocka_unit_test_teardown(f, after_each)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		START(socket_in_use_is_refused_and_stays),
		START(control_socket_in_use_is_refused_and_stays),
		START(port_in_use_is_refused),
		START(file_that_is_no_socket_is_not_removed),
		START(missing_directory_is_named),
		START(forward_port_in_use_is_named_and_the_others_are_let_go),
		START(forward_of_an_address_the_host_does_not_have_is_named),
		START(what_cannot_be_had_is_named),
		START(missing_huge_pages_are_named),
		START(stale_sockets_are_removed),
		START(socket_can_be_a_groups),
		START(sigterm_ends_connections_and_removes_sockets),
		START(sigint_does_the_same),
		START(signal_during_start_leaves_nothing),
		START(idle_daemon_uses_no_cpu),
		START(ordinary_user_without_huge_pages_is_served),
		START(ordinary_user_is_told_what_he_may_not_do),
		START(ping_sockets_that_are_not_permitted_are_said_once),
	};

	return cmocka_run_group_tests_name("conf_start", tests, up, down);
}
