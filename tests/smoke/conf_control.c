/* SPDX-License-Identifier: BSD-3-Clause */
/* The control socket: what weirctl shows, and clients that mean no good. */
#include "smoke2.h"

#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#define LINE_MAX_BYTES 8192
#define CLIENTS 16
#define PING "{\"cmd\": \"ping\"}\n"

static bool
is_ok(json_t *reply)
{
	bool ok = json_is_true(json_object_get(reply, "ok"));

	json_decref(reply);
	return ok;
}

static void
answers(void)
{
	int fd = smoke_ctl_open();

	assert_true(is_ok(smoke_ctl_ask(fd, PING)));
	close(fd);
}

/* The connection has been closed by the daemon, within the time. */
static bool
closed(int fd, int timeout_ms)
{
	const uint64_t deadline = vhu_now_ms() + (unsigned int)timeout_ms;
	struct pollfd p = { fd, POLLIN, 0 };
	char drop[4096];

	while (vhu_now_ms() < deadline) {
		if (poll(&p, 1, 20) > 0) {
			ssize_t n = recv(fd, drop, sizeof(drop), MSG_DONTWAIT);

			if (n == 0 || (n < 0 && errno != EAGAIN))
				return true;
		}
	}
	return false;
}

/* ---- clients that mean no good ---- */

static void
garbage_is_answered_with_an_error(void **state)
{
	static const char *const lines[] = { "garbage\n", "\n", "{\n", "[]\n", "null\n", "1\n",
		"{}\n", "{\"cmd\": 1}\n", "{\"cmd\": null}\n",
		"{\"cmd\": \"ping\", \"args\": []}\n", "{\"cmd\": \"ping\", \"args\": \"x\"}\n",
		"{\"cmd\": \"\"}\n", "{\"cmd\": \"no such\"}\n",
		"{\"cmd\": \"ping\", \"cmd\": \"ping\"}\n", "{\"cmd\": \"\xff\xfe\"}\n",
		"{\"cmd\": \"\\u0000\"}\n", "{\"cmd\": \"ping\"} x\n",
		"{\"cmd\": \"flow list\", \"args\": {\"vm\": \"nobody\"}}\n",
		"{\"cmd\": \"flow list\", \"args\": {\"vm\": 3}}\n",
		"{\"cmd\": \"flow list\", \"args\": {\"port\": -1}}\n",
		"{\"cmd\": \"flow list\", \"args\": {\"port\": 99999999999999999999}}\n",
		"{\"cmd\": \"flow list\", \"args\": {\"addr\": \"x\"}}\n",
		"{\"cmd\": \"flow list\", \"args\": {\"proto\": 300}}\n" };
	int fd = smoke_ctl_open();

	for (unsigned int i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		json_t *reply = smoke_ctl_ask(fd, lines[i]);

		if (reply == NULL || !json_is_false(json_object_get(reply, "ok")) ||
			!json_is_string(json_object_get(reply, "error")))
			fail_msg("wrong reply to %s", lines[i]);
		json_decref(reply);
	}
	assert_true(is_ok(smoke_ctl_ask(fd, PING)));
	close(fd);
}

static void
deep_nesting_is_answered_with_an_error(void **state)
{
	char line[LINE_MAX_BYTES];
	int fd = smoke_ctl_open();

	memset(line, '[', sizeof(line));
	line[sizeof(line) - 2] = '\n';
	line[sizeof(line) - 1] = '\0';
	assert_false(is_ok(smoke_ctl_ask(fd, line)));
	assert_true(is_ok(smoke_ctl_ask(fd, PING)));
	close(fd);
}

static void
zero_bytes_are_answered_with_an_error(void **state)
{
	static const char bytes[] = "\0\0{\"cmd\"\0: \"ping\"}\n";
	int fd = smoke_ctl_open();
	json_t *reply;

	assert_int_equal(send(fd, bytes, sizeof(bytes) - 1, MSG_NOSIGNAL), sizeof(bytes) - 1);
	reply = smoke_ctl_reply(fd, SOON);
	assert_non_null(reply);
	assert_false(is_ok(reply));
	close(fd);
}

static void
line_without_end_is_disconnected(void **state)
{
	char *huge = malloc(1 << 20);
	int fd = smoke_ctl_open();

	memset(huge, 'x', 1 << 20);
	send(fd, huge, 1 << 20, MSG_NOSIGNAL);
	assert_true(closed(fd, SOON));
	close(fd);
	free(huge);
	answers();
}

static void
half_a_line_disturbs_nobody(void **state)
{
	static const char ping[] = PING;
	int half = smoke_ctl_open(), gone = smoke_ctl_open();

	assert_int_equal(send(half, PING, 5, MSG_NOSIGNAL), 5);
	assert_int_equal(send(gone, PING, 5, MSG_NOSIGNAL), 5);
	close(gone);
	answers();
	assert_int_equal(send(half, &ping[5], strlen(ping) - 5, MSG_NOSIGNAL), strlen(ping) - 5);
	assert_true(is_ok(smoke_ctl_reply(half, SOON)));
	close(half);
}

static void
request_that_comes_byte_by_byte_is_answered(void **state)
{
	int fd = smoke_ctl_open();

	for (const char *p = PING; *p != '\0'; p++) {
		assert_int_equal(send(fd, p, 1, MSG_NOSIGNAL), 1);
		vhu_sleep_ms(1);
	}
	assert_true(is_ok(smoke_ctl_reply(fd, SOON)));
	close(fd);
}

static void
many_requests_in_one_piece_are_all_answered(void **state)
{
	char text[LINE_MAX_BYTES];
	int fd = smoke_ctl_open();
	size_t len = 0;

	for (unsigned int i = 0; i < 200; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, PING);
	assert_int_equal(send(fd, text, len, MSG_NOSIGNAL), len);
	for (unsigned int i = 0; i < 200; i++)
		assert_true(is_ok(smoke_ctl_reply(fd, SOON)));
	close(fd);
}

static void
idle_clients_do_not_hold_the_socket(void **state)
{
	int fds[CLIENTS + 4];

	for (unsigned int i = 0; i < CLIENTS + 4; i++) {
		fds[i] = smoke_ctl_open();
		assert_true(is_ok(smoke_ctl_ask(fds[i], PING)));
	}
	for (unsigned int i = 0; i < 4; i++)
		assert_true(closed(fds[i], SOON));
	assert_true(is_ok(smoke_ctl_ask(fds[4], PING)));
	for (unsigned int i = 0; i < CLIENTS + 4; i++)
		close(fds[i]);
}

static void
client_that_does_not_read_holds_nothing_up(void **state)
{
	static const char ask[] = "{\"cmd\": \"stats\"}\n";
	unsigned long before;
	int fd = smoke_ctl_open();

	for (unsigned int i = 0; i < 20000; i++)
		if (send(fd, ask, sizeof(ask) - 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
			break;
	answers();
	before = proc_cpu_ms(smoke.d);
	vhu_sleep_ms(300);
	assert_true(proc_cpu_ms(smoke.d) - before <= 60);
	smoke_serves(smoke.g);
	close(fd);
	answers();
}

static void
clients_come_and_go_without_a_leak(void **state)
{
	int fds = smoke_fds(proc_open_fds(smoke.d));

	for (unsigned int i = 0; i < 200; i++) {
		int fd = smoke_ctl_open();

		if (i % 3 != 0)
			send(fd, PING, i % 3 == 1 ? 7 : strlen(PING), MSG_NOSIGNAL);
		close(fd);
	}
	assert_true(smoke_fds(fds) <= fds);
	answers();
}

static void
socket_is_its_owners_alone(void **state)
{
	struct stat st;

	assert_int_equal(stat(proc_path(smoke.d, "control.sock"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

/* ---- weirctl ---- */

static char *
ctl(int status, const char *a, const char *b, const char *c)
{
	const char *const args[] = { a, b, c, NULL };
	char *text;
	int got;

	text = proc_ctl_text(smoke.d, &got, args);
	assert_non_null(text);
	if (got != status)
		fail_msg("status %d: %s", got, text);
	return text;
}

static void
contains(char *text, const char *const *words)
{
	if (text == NULL)
		return;
	for (; *words != NULL; words++)
		if (strstr(text, *words) == NULL)
			fail_msg("\"%s\" is not in:\n%s", *words, text);
	free(text);
}

static void
vm_list_shows_who_is_connected(void **state)
{
	const char *const args[] = { "vm", "list", NULL };
	json_t *j = proc_ctl(smoke.d, NULL, args);
	const json_t *vms = json_object_get(j, "vms"), *a = json_array_get(vms, 0),
		     *b = json_array_get(vms, 1);

	assert_int_equal(json_array_size(vms), 2);
	assert_string_equal(json_string_value(json_object_get(a, "name")), "a");
	assert_true(json_is_true(json_object_get(a, "connected")));
	assert_string_equal(json_string_value(json_object_get(a, "address")), "10.0.2.15");
	assert_string_equal(json_string_value(json_object_get(a, "address6")), "fd00:2::15");
	assert_int_equal(json_integer_value(json_object_get(a, "queues_up")), 1);
	assert_false(json_is_true(json_object_get(b, "connected")));
	json_decref(j);
	contains(ctl(0, "vm", "list", NULL),
		(const char *[]){ "NAME", "a", "connected", "10.0.2.15", "fd00:2::15", "b",
			"waiting", "10.0.2.16", "OFFLOADS", "csum,tso4,tso6", NULL });
}

static void
flow_list_shows_both_sides(void **state)
{
	struct smoke_conn k = smoke_out(smoke.g, false);
	char port[8], guest[32];
	json_t *j;

	smoke_echo(smoke.g, &k);
	snprintf(port, sizeof(port), "%u", k.c->rport);
	snprintf(guest, sizeof(guest), "10.0.2.15:%u", k.c->lport);
	contains(ctl(0, "flow", "list", NULL),
		(const char *[]){ "PROTO", "tcp", guest, port, "a", NULL });
	j = proc_ctl(smoke.d, NULL, (const char *[]){ "flow", "list", "--port", port, NULL });
	assert_int_equal(json_array_size(json_object_get(j, "flows")), 1);
	json_decref(j);
	j = proc_ctl(smoke.d, NULL, (const char *[]){ "flow", "list", "--vm", "b", NULL });
	assert_int_equal(json_array_size(json_object_get(j, "flows")), 0);
	json_decref(j);
	j = proc_ctl(smoke.d, NULL,
		(const char *[]){ "flow", "list", "--proto", "udp", "--port", port, NULL });
	assert_int_equal(json_array_size(json_object_get(j, "flows")), 0);
	json_decref(j);
	smoke_drop(&k);
}

static void
long_flow_list_comes_whole(void **state)
{
	uint16_t port = 0, last = 0;
	int fd = host_udp(LO, &port);
	char number[8];
	json_t *j;

	for (unsigned int i = 0; i < 1000; i++) {
		last = guest_port(smoke.g);
		assert_int_equal(guest_udp_send(smoke.g, last, &smoke.g->gw, port, "x", 1), 0);
	}
	assert_true(vhu_tx_drain(smoke.g->v, 0, SOON));
	snprintf(number, sizeof(number), "%u", port);
	for (unsigned int i = 0; i < 100; i++) {
		size_t n;

		j = proc_ctl(smoke.d, NULL,
			(const char *[]){
				"flow", "list", "--proto", "udp", "--port", number, NULL });
		n = json_array_size(json_object_get(j, "flows"));
		json_decref(j);
		if (n == 1000)
			break;
		assert_true(i < 99);
		vhu_sleep_ms(10);
	}
	close(fd);
}

static void
stats_name_the_reasons_of_drops(void **state)
{
	uint8_t frame[60] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	char *text;

	memcpy(frame + 6, smoke.g->mac, 6);
	frame[12] = 0x88; /* LLDP */
	frame[13] = 0xcc;
	guest_send_raw(smoke.g, NULL, frame, sizeof(frame));
	for (unsigned int i = 0; i < 100 && smoke_count("eth-type") == 0; i++)
		vhu_sleep_ms(5);
	/* In a word and a sentence. */
	contains(ctl(0, "stats", NULL, NULL),
		(const char *[]){ "eth-type", "EtherType weir does not speak", "rx-pkts",
			"frames from guests", NULL });
	text = ctl(0, "stats", "--all", NULL);
	contains(text, (const char *[]){ "frag-full", "vport-memory-lost", NULL });
}

static void
drops_of_all_parts_are_among_the_drops(void **state)
{
	static const char *const drops[] = { "eth-type", "worker-tx-dropped",
		"worker-handover-full", "vport-rx-short", "vport-ring-bad-addr",
		"bridge-dgram-dropped", "bridge-socket-limit" };
	static const char *const counts[] = { "rx-pkts", "worker-loops", "vport-rx-pkts",
		"bridge-ops" };
	json_t *j = proc_ctl(smoke.d, NULL, (const char *[]){ "stats", NULL });
	const json_t *help = json_object_get(j, "help");

	for (unsigned int i = 0; i < sizeof(drops) / sizeof(drops[0]); i++) {
		assert_non_null(json_object_get(json_object_get(j, "drops"), drops[i]));
		assert_null(json_object_get(json_object_get(j, "total"), drops[i]));
		assert_true(json_is_string(json_object_get(help, drops[i])));
	}
	for (unsigned int i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		assert_non_null(json_object_get(json_object_get(j, "total"), counts[i]));
		assert_null(json_object_get(json_object_get(j, "drops"), counts[i]));
		assert_true(json_is_string(json_object_get(help, counts[i])));
	}
	json_decref(j);
}

static void
version_and_ping_answer(void **state)
{
	contains(ctl(0, "version", NULL, NULL), (const char *[]){ "weir", "DPDK", NULL });
	contains(ctl(0, "ping", NULL, NULL), (const char *[]){ "answers", NULL });
}

static void
wrong_commands_are_told_in_one_line(void **state)
{
	static const char *const wrong[][3] = { { "nonsense" }, { "vm", "nonsense" },
		{ "vm", "list", "more" }, { "--nonsense", "ping" }, { "vm", "list", "--vm=a" },
		{ "flow", "list", "--port=x" }, { "ping", "--jso" },
		{ "flow", "list", "--por=5" } };

	for (unsigned int i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		char *text = ctl(2, wrong[i][0], wrong[i][1], wrong[i][2]);

		assert_int_equal(smoke_lines(text), 1);
		assert_int_equal(strncmp(text, "weirctl: error: ", 16), 0);
		free(text);
	}
	contains(ctl(1, "flow", "list", "--vm=nobody"),
		(const char *[]){ "weirctl: error: ", "no such VM", NULL });
	contains(ctl(0, "--help", NULL, NULL), (const char *[]){ "flow list", "--json", NULL });
}

static void
daemon_that_is_not_there_is_told_in_one_line(void **state)
{
	const char *const argv[] = { getenv("WEIRCTL_BIN"), "--control", "/tmp/weir-no-such.sock",
		"ping", NULL };
	char *text = NULL;

	assert_int_equal(proc_run_program(argv, &text), 1);
	assert_int_equal(smoke_lines(text), 1);
	assert_non_null(strstr(text, "/tmp/weir-no-such.sock"));
	assert_non_null(strstr(text, "start weir"));
	free(text);
}

/* One connection to a socket at path gets this reply, and no more. */
static void
reply_once(const char *path, const char *reply)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char request[256];

	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
	assert_int_equal(bind(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	assert_int_equal(listen(fd, 1), 0);
	if (fork() == 0) {
		int peer = accept(fd, NULL, NULL);

		if (recv(peer, request, sizeof(request), 0) > 0)
			send(peer, reply, strlen(reply), MSG_NOSIGNAL);
		_exit(0);
	}
	close(fd);
}

static void
reply_that_is_cut_off_is_told_as_such(void **state)
{
	static const struct {
		const char *reply, *told;
	} cases[] = {
		{ "", "weir closed the connection" },
		{ "{\"flows\":[],\"ok\":true,\"more\":true}\n", "it is not complete" },
		{ "{\"flows\":[],\"ok\":tr", "it is not complete" },
		{ "hello\n", "this is not weir's control socket" },
	};

	for (unsigned int i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *path = proc_path(smoke.d, "fake.sock");
		const char *const argv[] = { getenv("WEIRCTL_BIN"), "--control", path, "flow",
			"list", NULL };
		char *text = NULL;

		reply_once(path, cases[i].reply);
		assert_int_equal(proc_run_program(argv, &text), 1);
		if (strstr(text, cases[i].told) == NULL)
			fail_msg("\"%s\" expected, got: %s", cases[i].told, text);
		free(text);
		unlink(path);
		wait(NULL);
	}
}

static int
up(void **state)
{
	static const char *const args[] = { "--vm", "a,socket=%d/a.sock,loopback=gateway", "--vm",
		"b,socket=%d/b.sock", NULL };

	return smoke_up(args);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		SMOKE(garbage_is_answered_with_an_error),
		SMOKE(deep_nesting_is_answered_with_an_error),
		SMOKE(zero_bytes_are_answered_with_an_error),
		SMOKE(line_without_end_is_disconnected),
		SMOKE(half_a_line_disturbs_nobody),
		SMOKE(request_that_comes_byte_by_byte_is_answered),
		SMOKE(many_requests_in_one_piece_are_all_answered),
		SMOKE(idle_clients_do_not_hold_the_socket),
		SMOKE(client_that_does_not_read_holds_nothing_up),
		SMOKE(clients_come_and_go_without_a_leak),
		SMOKE(socket_is_its_owners_alone),
		SMOKE(vm_list_shows_who_is_connected),
		SMOKE(flow_list_shows_both_sides),
		SMOKE(long_flow_list_comes_whole),
		SMOKE(stats_name_the_reasons_of_drops),
		SMOKE(drops_of_all_parts_are_among_the_drops),
		SMOKE(version_and_ping_answer),
		SMOKE(wrong_commands_are_told_in_one_line),
		SMOKE(reply_that_is_cut_off_is_told_as_such),
		SMOKE(daemon_that_is_not_there_is_told_in_one_line),
	};

	return cmocka_run_group_tests_name("conf_control", tests, up, smoke_down);
}
