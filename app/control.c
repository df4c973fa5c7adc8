/* SPDX-License-Identifier: BSD-3-Clause */
#include "control.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "group.h"

struct control_client {
	int fd;           /**< -1: free */
	bool eof;         /**< it will send no more; what it has asked is still answered */
	uint64_t idle_ms; /**< since when it has not done its part */
	char *in;         /**< CONTROL_LINE_MAX bytes */
	size_t in_len;
	char *out; /**< the reply being sent, NULL: none */
	size_t out_len, out_sent;
	json_t *request; /**< the request being answered */
	struct control_call call;
};

struct control {
	struct control_params p;
	char path[CONTROL_PATH_MAX];
	dev_t dev;
	ino_t ino; /**< of the socket: another's is not removed */
	int fd;
	uint64_t pause_ms; /**< nobody is accepted before this; 0: no pause */
	struct control_client clients[CONTROL_MAX_CLIENTS];
};

/* ---- replies ---- */

void
control_reply(struct control_call *call, json_t *fields, bool more)
{
	json_decref(call->reply);
	call->reply = fields != NULL ? fields : json_object();
	call->more = more;
	json_object_set_new(call->reply, "ok", json_true());
	if (more)
		json_object_set_new(call->reply, "more", json_true());
}

void
control_fail(struct control_call *call, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	json_decref(call->reply);
	call->more = false;
	call->reply = json_pack("{s:b, s:s}", "ok", 0, "error", text);
	/* A request's bytes in the text may be no UTF-8. */
	if (call->reply == NULL)
		call->reply = json_pack("{s:b, s:s}", "ok", 0, "error", "cannot be done");
}

/* ---- clients ---- */

static void
request_end(struct control_client *cl)
{
	json_decref(cl->request);
	cl->request = NULL;
	json_decref(cl->call.reply);
	free(cl->call.state);
	memset(&cl->call, 0, sizeof(cl->call));
}

static void
client_close(struct control_client *cl)
{
	if (cl->fd >= 0)
		close(cl->fd);
	request_end(cl);
	free(cl->in);
	free(cl->out);
	memset(cl, 0, sizeof(*cl));
	cl->fd = -1;
}

/** The reply becomes bytes to send. */
static int
reply_queue(struct control_client *cl)
{
	char *text = cl->call.reply != NULL ? json_dumps(cl->call.reply, JSON_COMPACT) : NULL;
	size_t len;
	char *line;

	json_decref(cl->call.reply);
	cl->call.reply = NULL;
	if (text == NULL)
		return -ENOMEM;
	len = strlen(text);
	line = realloc(text, len + 1);
	if (line == NULL) {
		free(text);
		return -ENOMEM;
	}
	line[len] = '\n';
	cl->out = line;
	cl->out_len = len + 1;
	cl->out_sent = 0;
	return 0;
}

/** The next part of the answer. */
static int
request_go_on(struct control *c, struct control_client *cl)
{
	int ret;

	c->p.command(c->p.arg, &cl->call);
	ret = reply_queue(cl);
	if (!cl->call.more)
		request_end(cl);
	return ret;
}

static int
request_begin(struct control *c, struct control_client *cl, const char *line, size_t len)
{
	static const char *const bad =
		"a request is {\"cmd\": \"...\", \"args\": {...}} on one line";
	json_error_t error;
	const char *cmd;
	json_t *args;

	cl->request = json_loadb(line, len, JSON_REJECT_DUPLICATES, &error);
	cmd = json_string_value(json_object_get(cl->request, "cmd"));
	args = json_object_get(cl->request, "args");
	if (cmd != NULL && args == NULL) {
		args = json_object();
		if (args == NULL || json_object_set_new(cl->request, "args", args) != 0)
			return -ENOMEM;
	}
	if (cmd == NULL || !json_is_object(args)) {
		int ret;

		control_fail(&cl->call, "%s", bad);
		ret = reply_queue(cl);
		request_end(cl);
		return ret;
	}
	cl->call.cmd = cmd;
	cl->call.args = args;
	return request_go_on(c, cl);
}

/** Send what there is. @return 0; 1 the client must read first; -errno it is gone */
static int
client_send(struct control_client *cl, uint64_t now_ms)
{
	while (cl->out != NULL) {
		const ssize_t n = send(cl->fd, cl->out + cl->out_sent, cl->out_len - cl->out_sent,
			MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0)
			return errno == EAGAIN || errno == EINTR ? 1 : -errno;
		cl->idle_ms = now_ms;
		cl->out_sent += (size_t)n;
		if (cl->out_sent == cl->out_len) {
			free(cl->out);
			cl->out = NULL;
		}
	}
	return 0;
}

/** Answer one line of the input, if there is a whole one. @return 1: done one; 0; -errno */
static int
client_line(struct control *c, struct control_client *cl)
{
	const char *end = memchr(cl->in, '\n', cl->in_len);
	size_t len;
	int ret;

	if (end == NULL)
		return cl->in_len == CONTROL_LINE_MAX ? -EMSGSIZE : 0;
	len = (size_t)(end - cl->in);
	ret = request_begin(c, cl, cl->in, len);
	cl->in_len -= len + 1;
	memmove(cl->in, end + 1, cl->in_len);
	return ret == 0 ? 1 : ret;
}

/** Answer and send, as far as one reply at a time goes: other clients have their turn, too. */
static int
client_work(struct control *c, struct control_client *cl, uint64_t now_ms)
{
	int ret = client_send(cl, now_ms);

	if (ret != 0)
		return ret;
	ret = cl->call.more ? request_go_on(c, cl) : client_line(c, cl);
	if (ret < 0)
		return ret;
	ret = client_send(cl, now_ms);
	return ret < 0 ? ret : 0;
}

static int
client_receive(struct control_client *cl, uint64_t now_ms)
{
	const ssize_t n = recv(cl->fd, cl->in + cl->in_len, CONTROL_LINE_MAX - cl->in_len, 0);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if (n == 0) {
		cl->eof = true;
		return 0;
	}
	if (cl->in_len == 0)
		cl->idle_ms = now_ms;
	cl->in_len += (size_t)n;
	return 0;
}

/** Something to send, or to answer: without waiting for the client. */
static bool
client_busy(const struct control_client *cl)
{
	return cl->out == NULL && (cl->call.more || memchr(cl->in, '\n', cl->in_len) != NULL);
}

/** Until when the client must have done its part; UINT64_MAX: there is none to do. */
static uint64_t
client_deadline(const struct control_client *cl)
{
	if (cl->out != NULL)
		return cl->idle_ms + CONTROL_REPLY_MS;
	return cl->in_len != 0 ? cl->idle_ms + CONTROL_REQUEST_MS : UINT64_MAX;
}

static void
client_run(struct control *c, struct control_client *cl, short revents, uint64_t now_ms)
{
	int ret = 0;

	if (!cl->eof && (revents & (POLLIN | POLLHUP | POLLERR)) != 0 &&
		cl->in_len < CONTROL_LINE_MAX)
		ret = client_receive(cl, now_ms);
	if (ret == 0)
		ret = client_work(c, cl, now_ms);
	if (ret < 0 || now_ms >= client_deadline(cl) ||
		(cl->eof && cl->out == NULL && !client_busy(cl)))
		client_close(cl);
}

/** A client is to go before another: it waits for no reply, or both do alike and it longer. */
static bool
goes_before(const struct control_client *a, const struct control_client *b)
{
	const bool a_waits = a->out != NULL || client_busy(a);
	const bool b_waits = b->out != NULL || client_busy(b);

	return a_waits != b_waits ? b_waits : a->idle_ms < b->idle_ms;
}

/** A free place, had by disconnecting somebody if there is no other. */
static struct control_client *
client_place(struct control *c)
{
	struct control_client *goes = &c->clients[0];
	unsigned int i;

	for (i = 0; i < CONTROL_MAX_CLIENTS; i++) {
		if (c->clients[i].fd < 0)
			return &c->clients[i];
		if (goes_before(&c->clients[i], goes))
			goes = &c->clients[i];
	}
	client_close(goes);
	return goes;
}

static void
client_accept(struct control *c, uint64_t now_ms)
{
	const int fd = accept4(c->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct control_client *cl;

	if (fd < 0) {
		/* Out of descriptors, likely: whoever waits is asked for again, not all the time.
		 */
		if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
			c->pause_ms = now_ms + CONTROL_PAUSE_MS;
		return;
	}
	cl = client_place(c);
	cl->in = malloc(CONTROL_LINE_MAX);
	if (cl->in == NULL) {
		close(fd);
		return;
	}
	cl->fd = fd;
	cl->idle_ms = now_ms;
}

/* ---- the server ---- */

unsigned int
control_fds(const struct control *c, struct pollfd *fds)
{
	unsigned int i, n = 0;

	if (c == NULL)
		return 0;
	fds[n++] = (struct pollfd){ .fd = c->fd, .events = c->pause_ms == 0 ? POLLIN : 0 };
	for (i = 0; i < CONTROL_MAX_CLIENTS; i++) {
		const struct control_client *cl = &c->clients[i];
		short events = 0;

		if (cl->fd < 0)
			continue;
		if (cl->out != NULL)
			events = POLLOUT;
		else if (cl->in_len < CONTROL_LINE_MAX && !cl->call.more && !cl->eof)
			events = POLLIN;
		fds[n++] = (struct pollfd){ .fd = cl->fd, .events = events };
	}
	return n;
}

int
control_timeout_ms(const struct control *c, uint64_t now_ms)
{
	uint64_t next = c != NULL && c->pause_ms != 0 ? c->pause_ms : UINT64_MAX;
	unsigned int i;

	for (i = 0; c != NULL && i < CONTROL_MAX_CLIENTS; i++) {
		const struct control_client *cl = &c->clients[i];

		if (cl->fd < 0)
			continue;
		if (client_busy(cl))
			return 0;
		if (client_deadline(cl) < next)
			next = client_deadline(cl);
	}
	if (next == UINT64_MAX)
		return -1;
	return next <= now_ms ? 0 : (int)(next - now_ms);
}

void
control_run(struct control *c, const struct pollfd *fds, unsigned int n, uint64_t now_ms)
{
	unsigned int i, j;

	if (c == NULL)
		return;
	if (now_ms >= c->pause_ms)
		c->pause_ms = 0;
	for (i = 0; i < n; i++) {
		if (fds[i].fd == c->fd) {
			if (fds[i].revents != 0)
				client_accept(c, now_ms);
			continue;
		}
		for (j = 0; j < CONTROL_MAX_CLIENTS; j++)
			if (c->clients[j].fd == fds[i].fd)
				client_run(c, &c->clients[j], fds[i].revents, now_ms);
	}
}

/** Is somebody there? */
static bool
answers(const struct sockaddr_un *sun)
{
	const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool yes;

	if (fd < 0)
		return true;
	yes = connect(fd, (const struct sockaddr *)sun, sizeof(*sun)) == 0 || errno == EAGAIN;
	close(fd);
	return yes;
}

static int
path_clear(const struct sockaddr_un *sun, char *err, size_t err_size)
{
	const char *path = sun->sun_path;
	struct stat st;

	if (lstat(path, &st) != 0) {
		if (errno == ENOENT)
			return 0;
		snprintf(err, err_size, "%s: %s", path, strerror(errno));
		return -1;
	}
	if (!S_ISSOCK(st.st_mode)) {
		snprintf(err, err_size,
			"%s is there and is no socket: remove it, or give --control "
			"another path",
			path);
		return -1;
	}
	if (answers(sun)) {
		snprintf(err, err_size,
			"%s is in use by another weir: stop that one, or give "
			"--control another path",
			path);
		return -1;
	}
	if (unlink(path) == 0)
		return 0;
	snprintf(err, err_size, "%s is a stale socket that cannot be removed: %s", path,
		strerror(errno));
	return -1;
}

static int
dir_make(const char *path, char *err, size_t err_size)
{
	char dir[CONTROL_PATH_MAX];
	char *slash;

	snprintf(dir, sizeof(dir), "%s", path);
	slash = strrchr(dir, '/');
	if (slash == NULL || slash == dir)
		return 0;
	*slash = '\0';
	if (mkdir(dir, 0755) == 0 || errno == EEXIST)
		return 0;
	snprintf(err, err_size,
		"the directory %s cannot be made: %s: make it, or give --control "
		"another path",
		dir, strerror(errno));
	return -1;
}

static int
listen_at(struct control *c, char *err, size_t err_size)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	struct stat st;
	mode_t mask;
	int ret;

	memcpy(sun.sun_path, c->path, strlen(c->path) + 1);
	if (c->p.make_dir && dir_make(c->path, err, err_size) != 0)
		return -1;
	if (path_clear(&sun, err, err_size) != 0)
		return -1;
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* 0600 from the first moment on. */
	mask = umask(0177);
	ret = c->fd < 0 ? -1 : bind(c->fd, (struct sockaddr *)&sun, sizeof(sun));
	umask(mask);
	if (ret != 0 || lstat(c->path, &st) != 0) {
		snprintf(err, err_size, "%s cannot be made: %s: give --control another path",
			c->path, strerror(errno));
		return -1;
	}
	c->dev = st.st_dev;
	c->ino = st.st_ino;
	if (c->p.group[0] != '\0' && group_give(c->path, c->p.group, err, err_size) != 0)
		return -1;
	if (listen(c->fd, CONTROL_MAX_CLIENTS) == 0)
		return 0;
	snprintf(err, err_size, "%s: %s", c->path, strerror(errno));
	return -1;
}

struct control *
control_create(const struct control_params *p, char *err, size_t err_size)
{
	struct control *c = calloc(1, sizeof(*c));
	unsigned int i;

	if (c == NULL) {
		snprintf(err, err_size, "out of memory");
		return NULL;
	}
	c->p = *p;
	c->fd = -1;
	for (i = 0; i < CONTROL_MAX_CLIENTS; i++)
		c->clients[i].fd = -1;
	if (strlen(p->path) >= sizeof(c->path)) {
		snprintf(err, err_size, "%s is longer than a socket's path can be", p->path);
		free(c);
		return NULL;
	}
	memcpy(c->path, p->path, strlen(p->path) + 1);
	if (listen_at(c, err, err_size) == 0)
		return c;
	control_destroy(c);
	return NULL;
}

void
control_destroy(struct control *c)
{
	struct stat st;
	unsigned int i;

	if (c == NULL)
		return;
	for (i = 0; i < CONTROL_MAX_CLIENTS; i++)
		client_close(&c->clients[i]);
	/* Somebody may have put another socket there meanwhile. */
	if (c->ino != 0 && lstat(c->path, &st) == 0 && st.st_dev == c->dev && st.st_ino == c->ino)
		unlink(c->path);
	if (c->fd >= 0)
		close(c->fd);
	free(c);
}
