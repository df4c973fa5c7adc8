/* SPDX-License-Identifier: BSD-3-Clause */
/* The control socket: requests, replies in parts, bad clients, bad paths. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "control.h"

static char dir[] = "/tmp/test_control_XXXXXX";
static char path[CONTROL_PATH_MAX];
static char err[256];
static uint64_t now_ms;
static unsigned int n_commands;

/** "echo" gives its args back; "count" replies in `n` parts; "big" is a megabyte. */
static void
command(void *arg, struct control_call *call)
{
	n_commands++;
	if (strcmp(call->cmd, "echo") == 0) {
		control_reply(call, json_pack("{s:O}", "args", call->args), false);
	} else if (strcmp(call->cmd, "count") == 0) {
		int *n = call->state;

		if (n == NULL)
			call->state = n = calloc(1, sizeof(*n));
		++*n;
		control_reply(call, json_pack("{s:i}", "n", *n),
			*n < json_integer_value(json_object_get(call->args, "n")));
	} else if (strcmp(call->cmd, "big") == 0) {
		char *text = malloc(1 << 20);

		memset(text, 'x', 1 << 20);
		control_reply(call, json_pack("{s:s#}", "text", text, 1 << 20), false);
		free(text);
	} else {
		control_fail(call, "no such command: %s", call->cmd);
	}
}

static struct control *
server(void)
{
	const struct control_params p = { .path = path, .group = "", .command = command };
	struct control *c;

	n_commands = 0;
	now_ms = 1000;
	c = control_create(&p, err, sizeof(err));
	if (c == NULL)
		print_error("%s\n", err);
	assert_non_null(c);
	return c;
}

static int
client(void)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	strcpy(sun.sun_path, path);
	assert_int_equal(connect(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	return fd;
}

/** Turns of the loop until nothing is left to do. */
static void
turn(struct control *c)
{
	struct pollfd fds[CONTROL_MAX_FDS];
	unsigned int n, i;

	for (i = 0; i < 10000; i++) {
		n = control_fds(c, fds);
		assert_true(n <= CONTROL_MAX_FDS);
		if (poll(fds, n, 0) == 0 && control_timeout_ms(c, now_ms) != 0)
			return;
		control_run(c, fds, n, now_ms);
	}
	fail_msg("the server spins");
}

static void
say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/** What has come, as text. */
static const char *
hear(int fd)
{
	static char text[65536];
	const ssize_t n = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);

	text[n > 0 ? n : 0] = '\0';
	return text;
}

static bool
closed(int fd)
{
	char c;

	return recv(fd, &c, 1, MSG_DONTWAIT) == 0 || errno == ECONNRESET;
}

static void
answers_a_request_per_line(void **state)
{
	struct control *c = server();
	const int fd = client();

	say(fd, "{\"cmd\":\"echo\",\"args\":{\"a\":1}}\n{\"cmd\":\"echo\"}\n");
	turn(c);
	assert_string_equal(
		hear(fd), "{\"args\":{\"a\":1},\"ok\":true}\n{\"args\":{},\"ok\":true}\n");
	say(fd, "{\"cmd\":");
	turn(c);
	assert_string_equal(hear(fd), "");
	say(fd, "\"echo\"}\n");
	turn(c);
	assert_string_equal(hear(fd), "{\"args\":{},\"ok\":true}\n");
	close(fd);
	turn(c);
	control_destroy(c);
}

static void
long_replies_come_in_parts(void **state)
{
	struct control *c = server();
	const int fd = client();

	say(fd, "{\"cmd\":\"count\",\"args\":{\"n\":3}}\n{\"cmd\":\"echo\"}\n");
	turn(c);
	assert_string_equal(hear(fd),
		"{\"n\":1,\"ok\":true,\"more\":true}\n"
		"{\"n\":2,\"ok\":true,\"more\":true}\n"
		"{\"n\":3,\"ok\":true}\n{\"args\":{},\"ok\":true}\n");
	close(fd);
	control_destroy(c);
}

static void
a_client_that_does_not_read_stops_its_own_dump_only(void **state)
{
	struct control *c = server();
	const int slow = client(), quick = client();

	say(slow, "{\"cmd\":\"count\",\"args\":{\"n\":1000000}}\n");
	turn(c);
	assert_true(n_commands < 100000);
	say(quick, "{\"cmd\":\"echo\"}\n");
	turn(c);
	assert_string_equal(hear(quick), "{\"args\":{},\"ok\":true}\n");
	now_ms += CONTROL_REPLY_MS - 1;
	turn(c);
	assert_int_equal(control_timeout_ms(c, now_ms), 1);
	now_ms += 1;
	{
		struct pollfd fds[CONTROL_MAX_FDS];
		const unsigned int n = control_fds(c, fds);

		poll(fds, n, 0);
		control_run(c, fds, n, now_ms);
	}
	assert_int_equal(control_timeout_ms(c, now_ms), -1);
	while (*hear(slow) != '\0')
		;
	assert_true(closed(slow));
	assert_false(closed(quick));
	close(slow);
	close(quick);
	control_destroy(c);
}

static void
an_unfinished_request_times_out(void **state)
{
	struct control *c = server();
	const int fd = client();

	say(fd, "{\"cmd\"");
	turn(c);
	/* A byte now and then does not keep it alive. */
	now_ms += CONTROL_REQUEST_MS / 2;
	say(fd, ":");
	turn(c);
	now_ms += CONTROL_REQUEST_MS / 2;
	assert_int_equal(control_timeout_ms(c, now_ms), 0);
	{
		struct pollfd fds[CONTROL_MAX_FDS];
		const unsigned int n = control_fds(c, fds);

		poll(fds, n, 0);
		control_run(c, fds, n, now_ms);
	}
	assert_true(closed(fd));
	close(fd);
	control_destroy(c);
}

static void
an_idle_client_may_stay(void **state)
{
	struct control *c = server();
	const int fd = client();

	turn(c);
	now_ms += 100 * CONTROL_REQUEST_MS;
	assert_int_equal(control_timeout_ms(c, now_ms), -1);
	say(fd, "{\"cmd\":\"echo\"}\n");
	turn(c);
	assert_string_equal(hear(fd), "{\"args\":{},\"ok\":true}\n");
	close(fd);
	control_destroy(c);
}

static void
an_endless_line_ends_the_connection(void **state)
{
	struct control *c = server();
	const int fd = client();
	char text[CONTROL_LINE_MAX + 1];

	memset(text, ' ', sizeof(text));
	text[CONTROL_LINE_MAX] = '\0';
	say(fd, text);
	turn(c);
	assert_true(closed(fd));
	assert_int_equal(n_commands, 0);
	close(fd);
	control_destroy(c);
}

static void
nonsense_is_answered_with_an_error(void **state)
{
	static const char *const lines[] = { "\n", "hello\n", "[]\n", "{}\n", "{\"cmd\":5}\n",
		"{\"cmd\":\"echo\",\"args\":[]}\n", "{\"cmd\":\"echo\",\"cmd\":\"echo\"}\n",
		"{\"cmd\":\"echo\",\"args\":{}} x\n", "\xff\xfe\n", "null\n",
		"{\"cmd\":\"a\\u0000b\"}\n" };
	struct control *c = server();
	const int fd = client();
	char deep[4096];
	size_t i;

	for (i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		say(fd, lines[i]);
		turn(c);
		assert_non_null(strstr(hear(fd), "\"ok\":false"));
	}
	memset(deep, '[', sizeof(deep) - 2);
	strcpy(deep + sizeof(deep) - 2, "\n");
	say(fd, deep);
	turn(c);
	assert_non_null(strstr(hear(fd), "\"ok\":false"));
	assert_int_equal(n_commands, 0);
	say(fd, "{\"cmd\":\"nothing\"}\n");
	turn(c);
	assert_string_equal(hear(fd), "{\"ok\":false,\"error\":\"no such command: nothing\"}\n");
	close(fd);
	control_destroy(c);
}

static void
a_client_that_shut_its_side_gets_its_answer(void **state)
{
	struct control *c = server();
	const int fd = client();
	size_t got = 0;
	const char *text;

	say(fd, "{\"cmd\":\"big\"}\n");
	shutdown(fd, SHUT_WR);
	turn(c);
	while (*(text = hear(fd)) != '\0') {
		got += strlen(text);
		turn(c);
	}
	assert_true(got > 1 << 20);
	assert_true(closed(fd));
	close(fd);
	control_destroy(c);
}

static bool
echoes(struct control *c, int fd)
{
	now_ms++;
	say(fd, "{\"cmd\":\"echo\"}\n");
	turn(c);
	return strcmp(hear(fd), "{\"args\":{},\"ok\":true}\n") == 0;
}

static void
the_client_idle_longest_goes_when_too_many_come(void **state)
{
	struct control *c = server();
	int fd[CONTROL_MAX_CLIENTS + 2];
	unsigned int i;

	for (i = 0; i < CONTROL_MAX_CLIENTS; i++) {
		fd[i] = client();
		turn(c);
		now_ms++;
	}
	/* The first has just been served; the second reads a long reply at its leisure. */
	assert_true(echoes(c, fd[0]));
	say(fd[1], "{\"cmd\":\"count\",\"args\":{\"n\":1000000}}\n");
	turn(c);
	now_ms += 100 * CONTROL_REQUEST_MS;
	for (; i < CONTROL_MAX_CLIENTS + 2; i++) {
		fd[i] = client();
		turn(c);
		assert_true(echoes(c, fd[i]));
	}
	assert_true(closed(fd[2]));
	assert_true(closed(fd[3]));
	for (i = 4; i < CONTROL_MAX_CLIENTS + 2; i++)
		assert_true(echoes(c, fd[i]));
	assert_true(echoes(c, fd[0]));
	hear(fd[1]);
	assert_false(closed(fd[1]));
	for (i = 0; i < CONTROL_MAX_CLIENTS + 2; i++)
		close(fd[i]);
	turn(c);
	control_destroy(c);
}

static void
a_server_without_descriptors_does_not_spin(void **state)
{
	struct control *c = server();
	struct rlimit was, none;
	const int fd = client();

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	none = was;
	none.rlim_cur = 3;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	turn(c);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
	assert_int_equal(control_timeout_ms(c, now_ms), CONTROL_PAUSE_MS);
	now_ms += CONTROL_PAUSE_MS;
	control_run(c, NULL, 0, now_ms);
	assert_true(echoes(c, fd));
	close(fd);
	control_destroy(c);
}

static void
a_client_that_goes_in_the_middle_of_a_reply_harms_nobody(void **state)
{
	struct control *c = server();
	int fd = client();

	say(fd, "{\"cmd\":\"big\"}\n");
	turn(c);
	close(fd);
	turn(c);
	fd = client();
	say(fd, "{\"cmd\":\"count\",\"args\":{\"n\":1000000}}\n");
	turn(c);
	close(fd);
	turn(c);
	assert_int_equal(control_timeout_ms(c, now_ms), -1);
	control_destroy(c);
}

static void
the_socket_is_the_owners_and_goes_with_the_server(void **state)
{
	struct control *c = server();
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	control_destroy(c);
	assert_int_equal(stat(path, &st), -1);
	control_destroy(NULL);
	assert_int_equal(control_timeout_ms(NULL, 0), -1);
}

static void
a_stale_socket_is_replaced_a_live_one_is_not(void **state)
{
	const struct control_params p = { .path = path, .group = "", .command = command };
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	const int stale = socket(AF_UNIX, SOCK_STREAM, 0);
	struct control *c;

	strcpy(sun.sun_path, path);
	assert_int_equal(bind(stale, (struct sockaddr *)&sun, sizeof(sun)), 0);
	close(stale);
	c = server();
	assert_null(control_create(&p, err, sizeof(err)));
	assert_non_null(strstr(err, "is in use by another weir"));
	assert_int_equal(access(path, F_OK), 0);
	control_destroy(c);
}

static void
a_file_in_the_way_stays_and_is_named(void **state)
{
	const struct control_params p = { .path = path, .group = "", .command = command };
	const int fd = open(path, O_CREAT | O_WRONLY, 0600);

	close(fd);
	assert_null(control_create(&p, err, sizeof(err)));
	assert_non_null(strstr(err, path));
	assert_non_null(strstr(err, "is no socket"));
	assert_int_equal(unlink(path), 0);
}

static void
another_servers_socket_at_the_path_is_not_removed(void **state)
{
	struct control *c = server(), *other;

	unlink(path);
	other = server();
	control_destroy(c);
	assert_int_equal(access(path, F_OK), 0);
	control_destroy(other);
	assert_int_equal(access(path, F_OK), -1);
}

static void
bad_paths_and_groups_are_named(void **state)
{
	struct control_params p = {
		.path = "/nonexistent/weir.sock", .group = "", .command = command
	};
	char longer[200];

	assert_null(control_create(&p, err, sizeof(err)));
	assert_non_null(strstr(err, "/nonexistent/weir.sock cannot be made: No such file"));
	memset(longer, 'x', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	p.path = longer;
	assert_null(control_create(&p, err, sizeof(err)));
	assert_non_null(strstr(err, "longer than a socket's path"));
	p.path = path;
	p.group = "no-such-group-here";
	assert_null(control_create(&p, err, sizeof(err)));
	assert_non_null(strstr(err, "there is no group no-such-group-here"));
	assert_int_equal(access(path, F_OK), -1);
}

static void
the_directory_is_made_when_asked(void **state)
{
	char deeper[CONTROL_PATH_MAX];
	const struct control_params p = {
		.path = deeper, .group = "", .make_dir = true, .command = command
	};
	struct control *c;

	snprintf(deeper, sizeof(deeper), "%s/weir/control.sock", dir);
	c = control_create(&p, err, sizeof(err));
	assert_non_null(c);
	control_destroy(c);
	*strrchr(deeper, '/') = '\0';
	assert_int_equal(rmdir(deeper), 0);
}

static int
make_dir(void **state)
{
	if (mkdtemp(dir) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/control.sock", dir);
	return 0;
}

static int
remove_dir(void **state)
{
	return rmdir(dir);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_a_request_per_line),
		cmocka_unit_test(long_replies_come_in_parts),
		cmocka_unit_test(a_client_that_does_not_read_stops_its_own_dump_only),
		cmocka_unit_test(an_unfinished_request_times_out),
		cmocka_unit_test(an_idle_client_may_stay),
		cmocka_unit_test(an_endless_line_ends_the_connection),
		cmocka_unit_test(nonsense_is_answered_with_an_error),
		cmocka_unit_test(a_client_that_shut_its_side_gets_its_answer),
		cmocka_unit_test(the_client_idle_longest_goes_when_too_many_come),
		cmocka_unit_test(a_server_without_descriptors_does_not_spin),
		cmocka_unit_test(a_client_that_goes_in_the_middle_of_a_reply_harms_nobody),
		cmocka_unit_test(the_socket_is_the_owners_and_goes_with_the_server),
		cmocka_unit_test(a_stale_socket_is_replaced_a_live_one_is_not),
		cmocka_unit_test(a_file_in_the_way_stays_and_is_named),
		cmocka_unit_test(another_servers_socket_at_the_path_is_not_removed),
		cmocka_unit_test(bad_paths_and_groups_are_named),
		cmocka_unit_test(the_directory_is_made_when_asked),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
