/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The control socket's server under clients that send anything. Each whole line has one answer, in
 * JSON, made of one or several replies; the server never spins, and forgets clients that leave.
 *
 * Input: bytes that the first of two clients sends, but for 1: the server runs; 2: the client
 * reads; 3: ten seconds pass; 4: the client will send no more; 5: the other client goes on.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "control.h"
#include "control_flow.h"
#include "fuzz.h"

#define CLIENTS 2
#define TURNS_MAX 20000

struct client {
	int fd; /**< -1: the server has closed it */
	bool shut;
	unsigned int lines, answers;
	char *heard; /**< a reply that has come in part */
	size_t heard_len;
};

static char dir[] = "/tmp/fuzz-control-XXXXXX";
static char path[CONTROL_PATH_MAX];
static struct control *server;
static struct client clients[CLIENTS];
static uint64_t now_ms;

/* ---- what the server answers ---- */

static void
answer_flows(struct control_call *call)
{
	struct l4x_flow_info info = { .proto = 6, .state = "established", .left_ms = UINT64_MAX };
	struct control_filter filter = { 0 };
	json_t *flows = json_array();
	char err[128] = "";

	if (control_filter_parse(&filter, call->args, err, sizeof(err)) != 0) {
		FUZZ_CHECK(*err != '\0', "a filter is wrong, and nobody says why");
		json_decref(flows);
		control_fail(call, "%s", err);
		return;
	}
	for (unsigned int i = 0; i < 4; i++) {
		info.proto = (uint8_t)(i * 6);
		info.guest.eport = (uint16_t)(i * 1000);
		info.guest.eaddr.b[15] = (uint8_t)i;
		if (control_filter_match(&filter, &info))
			json_array_append_new(flows, control_flow_json(&info, "vm", "other", i));
	}
	control_reply(call, json_pack("{s:o}", "flows", flows), false);
}

/** In as many parts as asked for. */
static void
answer_parts(struct control_call *call)
{
	const json_int_t n = json_integer_value(json_object_get(call->args, "n"));
	unsigned int *done = call->state;

	if (done == NULL)
		call->state = done = calloc(1, sizeof(*done));
	FUZZ_CHECK(done != NULL, "no memory");
	++*done;
	control_reply(call, json_pack("{s:i}", "part", (int)*done), *done < 50 && *done < n);
}

static void
answer_big(struct control_call *call)
{
	char text[65537];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	control_reply(call, json_pack("{s:s}", "text", text), false);
}

static void
command(void *arg, struct control_call *call)
{
	if (strcmp(call->cmd, "flow list") == 0)
		answer_flows(call);
	else if (strcmp(call->cmd, "parts") == 0)
		answer_parts(call);
	else if (strcmp(call->cmd, "big") == 0)
		answer_big(call);
	else if (strcmp(call->cmd, "ping") == 0)
		control_reply(call, NULL, false);
	else
		control_fail(call, "no such command: %s", call->cmd);
}

/* ---- the loop, and the clients ---- */

static void
run_server(void)
{
	struct pollfd fds[CONTROL_MAX_FDS];

	for (unsigned int i = 0; i < TURNS_MAX; i++) {
		const unsigned int n = control_fds(server, fds);

		FUZZ_CHECK(n >= 1 && n <= CONTROL_MAX_FDS, "%u descriptors", n);
		if (poll(fds, n, 0) == 0 && control_timeout_ms(server, now_ms) != 0)
			return;
		control_run(server, fds, n, now_ms);
	}
	fuzz_fail(__FILE__, __LINE__, "the server spins");
}

static void
client_begin(struct client *c)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };

	*c = (struct client){ .fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0) };
	memcpy(sun.sun_path, path, sizeof(sun.sun_path));
	FUZZ_CHECK(connect(c->fd, (struct sockaddr *)&sun, sizeof(sun)) == 0, "connect: %s",
		strerror(errno));
}

static void
client_gone(struct client *c)
{
	close(c->fd);
	c->fd = -1;
}

static void
client_send(struct client *c, const uint8_t *bytes, size_t len)
{
	ssize_t n;

	if (c->fd < 0 || c->shut || len == 0)
		return;
	n = send(c->fd, bytes, len, MSG_NOSIGNAL);
	if (n < 0 && errno != EAGAIN)
		client_gone(c);
	for (ssize_t i = 0; i < n; i++) {
		c->lines += bytes[i] == '\n';
	}
}

static void
check_reply(struct client *c, const char *line, size_t len)
{
	json_error_t error;
	json_t *reply = json_loadb(line, len, 0, &error);
	const json_t *ok = json_object_get(reply, "ok"), *more = json_object_get(reply, "more");

	FUZZ_CHECK(json_is_boolean(ok), "a reply without ok: %.*s", (int)len, line);
	FUZZ_CHECK(json_is_true(ok) || json_is_string(json_object_get(reply, "error")),
		"an error that does not say which");
	c->answers += !json_is_true(more);
	json_decref(reply);
}

static void
client_read(struct client *c)
{
	char bytes[16384], *end;
	ssize_t n;

	while (c->fd >= 0 && (n = recv(c->fd, bytes, sizeof(bytes), 0)) != 0) {
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0)
			break;
		c->heard = realloc(c->heard, c->heard_len + (size_t)n);
		FUZZ_CHECK(c->heard != NULL, "no memory");
		memcpy(c->heard + c->heard_len, bytes, (size_t)n);
		c->heard_len += (size_t)n;
		while ((end = memchr(c->heard, '\n', c->heard_len)) != NULL) {
			check_reply(c, c->heard, (size_t)(end - c->heard));
			c->heard_len -= (size_t)(end + 1 - c->heard);
			memmove(c->heard, end + 1, c->heard_len);
		}
	}
	if (c->fd >= 0)
		client_gone(c);
}

/** Read all that is left to answer. */
static void
client_finish(struct client *c)
{
	for (unsigned int i = 0; i < TURNS_MAX && c->fd >= 0; i++) {
		const unsigned int had = c->answers;
		const size_t had_len = c->heard_len;

		run_server();
		client_read(c);
		if (c->fd < 0 || (c->answers == had && c->heard_len == had_len))
			break;
	}
	FUZZ_CHECK(c->answers <= c->lines, "%u answers to %u lines", c->answers, c->lines);
	/* Whom the server has not thrown out has all its answers. */
	FUZZ_CHECK(c->fd < 0 || c->answers == c->lines, "%u answers to %u lines", c->answers,
		c->lines);
	if (c->fd >= 0)
		client_gone(c);
	free(c->heard);
	c->heard = NULL;
}

static void
client_step(struct client *c, uint8_t what)
{
	switch (what) {
	case 1:
		run_server();
		break;
	case 2:
		client_read(c);
		break;
	case 3:
		now_ms += 10000;
		run_server();
		break;
	default:
		if (c->fd >= 0)
			shutdown(c->fd, SHUT_WR);
		c->shut = true;
		break;
	}
}

/* ---- */

static void
remove_dir(void)
{
	control_destroy(server);
	rmdir(dir);
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct control_params p = { .path = path, .group = "", .command = command };
	char err[256] = "";

	FUZZ_CHECK(mkdtemp(dir) != NULL, "mkdtemp");
	snprintf(path, sizeof(path), "%s/socket", dir);
	server = control_create(&p, err, sizeof(err));
	FUZZ_CHECK(server != NULL, "%s", err);
	atexit(remove_dir);
	return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pollfd fds[CONTROL_MAX_FDS];
	unsigned int at = 0;
	size_t from = 0;

	now_ms = 1000;
	for (unsigned int i = 0; i < CLIENTS; i++)
		client_begin(&clients[i]);
	run_server();
	for (size_t i = 0; i < size; i++) {
		if (data[i] < 1 || data[i] > 5)
			continue;
		client_send(&clients[at], data + from, i - from);
		from = i + 1;
		if (data[i] == 5)
			at = (at + 1) % CLIENTS;
		else
			client_step(&clients[at], data[i]);
	}
	client_send(&clients[at], data + from, size - from);
	for (unsigned int i = 0; i < CLIENTS; i++)
		client_finish(&clients[i]);
	run_server();
	FUZZ_CHECK(control_fds(server, fds) == 1, "clients that left are still there");
	return 0;
}
