/* SPDX-License-Identifier: BSD-3-Clause */
/* Limits that flows run into are told in the log, each with what to do. */
#include "smoke2.h"

#include <dirent.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define VM "a,socket=%d/a.sock,loopback=gateway"
#define PLAIN "--hugepages", "off", "--control", "%d/control.sock"

static void
start(const char *const *args)
{
	smoke.d = proc_spawn_plain(args);
	assert_non_null(smoke.d);
	assert_true(proc_wait_ready(smoke.d, 4 * SOON));
	smoke.g = smoke_guest("a.sock", NULL);
	assert_non_null(smoke.g);
}

/* Datagrams, each of a flow of its own, to a socket that is there. */
static void
udp_flows(unsigned int n)
{
	uint16_t port = 0;
	int fd = host_udp(LO, &port);

	assert_true(fd >= 0);
	for (unsigned int i = 0; i < n; i++)
		assert_int_equal(
			guest_udp_send(smoke.g, guest_port(smoke.g), &smoke.g->gw, port, "x", 1),
			0);
	assert_true(vhu_tx_drain(smoke.g->v, 0, SOON));
	close(fd);
}

/* Said once, however often the limit is met, and nothing else is complained of. */
static void
said_once(const char *text)
{
	const char *log;

	if (!proc_wait_log(smoke.d, text, 2 * SOON))
		fail_msg("\"%s\" was not said:\n%s", text, proc_log(smoke.d));
	udp_flows(100);
	vhu_sleep_ms(2500);
	log = strstr(proc_log(smoke.d), text);
	assert_non_null(log);
	assert_null(strstr(log + 1, text));
	assert_int_equal(smoke_down(NULL), 0);
}

static void
full_flow_table_is_told(void **state)
{
	start((const char *[]){ PLAIN, "--memory", "64", "--max-flows", "64", "--vm", VM, NULL });
	udp_flows(100);
	said_once("raise max-flows of [weir]");
}

static void
vm_with_all_its_flows_is_told(void **state)
{
	start((const char *[]){
		PLAIN, "--memory", "64", "--max-flows", "4096", "--vm", VM ",max-flows=10", NULL });
	udp_flows(20);
	said_once("raise max-flows of that VM");
}

static void
vm_that_begins_flows_too_fast_is_told(void **state)
{
	start((const char *[]){ PLAIN, "--memory", "64", "--max-flows", "4096", "--vm",
		VM ",new-flows-per-s=1", NULL });
	udp_flows(20);
	said_once("raise new-flows-per-s of that VM");
}

static void
want_of_file_descriptors_is_told(void **state)
{
	struct rlimit was, few;

	start((const char *[]){ PLAIN, "--memory", "64", "--max-flows", "4096", "--vm", VM, NULL });
	assert_int_equal(prlimit(smoke.d->pid, RLIMIT_NOFILE, NULL, &was), 0);
	few = was;
	few.rlim_cur = 8;
	assert_int_equal(prlimit(smoke.d->pid, RLIMIT_NOFILE, &few, NULL), 0);
	udp_flows(20);
	assert_true(proc_wait_log(smoke.d, "raise the limit of open files", 2 * SOON));
	assert_int_equal(prlimit(smoke.d->pid, RLIMIT_NOFILE, &was, NULL), 0);
	said_once("raise the limit of open files");
}

/* The thread of the daemon with this name, 0: there is none. */
static pid_t
thread_named(const char *name)
{
	char path[320], comm[32];
	struct dirent *e;
	pid_t tid = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)smoke.d->pid);
	dir = opendir(path);
	while (dir != NULL && tid == 0 && (e = readdir(dir)) != NULL) {
		FILE *f;

		snprintf(path, sizeof(path), "/proc/%d/task/%s/comm", (int)smoke.d->pid, e->d_name);
		f = fopen(path, "r");
		if (f != NULL && fscanf(f, "%31s", comm) == 1 && strcmp(comm, name) == 0)
			tid = atoi(e->d_name);
		if (f != NULL)
			fclose(f);
	}
	if (dir != NULL)
		closedir(dir);
	return tid;
}

/* With the bridge held still, frames wait for it until the worker finds none that is free. */
static void
want_of_frame_buffers_is_told(void **state)
{
	const uint64_t deadline = vhu_now_ms() + 4 * SOON;
	uint16_t port = 0;
	pid_t bridge;
	int fd;

	start((const char *[]){ PLAIN, "--memory", "20", "--max-flows", "1024", "--bridges", "1",
		"--vm", VM, NULL });
	fd = host_udp(LO, &port);
	bridge = thread_named("rte-worker-2");
	assert_int_not_equal(bridge, 0);
	assert_int_equal(ptrace(PTRACE_SEIZE, bridge, NULL, NULL), 0);
	assert_int_equal(ptrace(PTRACE_INTERRUPT, bridge, NULL, NULL), 0);
	assert_int_equal(waitpid(bridge, NULL, __WALL), bridge);
	while (smoke_count("vport-rx-no-mbuf") == 0) {
		assert_true(vhu_now_ms() < deadline);
		/* A ring that stays full says that the worker has stopped. */
		for (unsigned int i = 0; i < 3000; i++)
			if (guest_udp_send(smoke.g, (uint16_t)(30000 + i % 64), &smoke.g->gw, port,
				    "x", 1) != 0)
				break;
	}
	assert_true(proc_wait_log(smoke.d, "raise memory", 2 * SOON));
	assert_int_equal(ptrace(PTRACE_DETACH, bridge, NULL, NULL), 0);
	close(fd);
	said_once("raise memory");
}

static int
up(void **state)
{
	smoke.net = netns_private();
	return 0;
}

static int
after_each(void **state)
{
	guest_close(smoke.g);
	proc_free(smoke.d);
	smoke.g = NULL;
	smoke.d = NULL;
	return 0;
}

#define LIMIT(f) cmocka_unit_test_teardown(f, after_each)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		LIMIT(full_flow_table_is_told),
		LIMIT(vm_with_all_its_flows_is_told),
		LIMIT(vm_that_begins_flows_too_fast_is_told),
		LIMIT(want_of_file_descriptors_is_told),
		LIMIT(want_of_frame_buffers_is_told),
	};

	return cmocka_run_group_tests_name("conf_limits", tests, up, NULL);
}
