/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * The control socket: a UNIX stream socket, one JSON object per line.
 *
 * A request is {"cmd": "flow list", "args": {...}} on one line of at most CONTROL_LINE_MAX bytes.
 * The reply is one JSON object per line: {"ok": true, ...}, or {"ok": false, "error": "..."}. A
 * long reply comes in several, each but the last with "more": true, made one after the other as the
 * client reads them, so that a table of a million flows takes no more memory than a small one.
 *
 * Clients are other users' programs at worst (the socket's mode and group say whose): bounded input
 * and output; one that leaves a request unfinished is disconnected after CONTROL_REQUEST_MS, one
 * that leaves a reply unread (a pager) after CONTROL_REPLY_MS. There are CONTROL_MAX_CLIENTS at
 * most: when another comes, the one that has been idle longest goes, first of those that wait for
 * no reply.
 *
 * Threads and ownership: all of it is the control thread's.
 */
#ifndef CONTROL_H
#define CONTROL_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <jansson.h>

#include "control_path.h"

#define CONTROL_MAX_CLIENTS 16
#define CONTROL_MAX_FDS (CONTROL_MAX_CLIENTS + 1)
#define CONTROL_LINE_MAX 8192
#define CONTROL_REQUEST_MS 30000
#define CONTROL_REPLY_MS 3600000
/** Pause after a connection could not be accepted. */
#define CONTROL_PAUSE_MS 1000

struct control;
struct control_call;

/**
 * Answer a request, or go on with the answer: called again after a reply with more, until a reply
 * without. Each call makes exactly one reply, with control_reply() or control_fail().
 */
typedef void (*control_command_fn)(void *arg, struct control_call *call);

/** A request under way. */
struct control_call {
	const char *cmd;
	const json_t *args; /**< an object, perhaps empty */
	void *state;        /**< the command's, zero at first; freed with free() at the end */
	/* control.c's */
	json_t *reply;
	bool more;
};

/** Reply with fields (a reference that is taken over; an object); "ok" and "more" are added. */
void control_reply(struct control_call *call, json_t *fields, bool more);
/** Reply that it cannot be done, and why. */
void control_fail(struct control_call *call, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

struct control_params {
	const char *path;
	const char *group; /**< "": the owner only */
	bool make_dir;     /**< make the directory of the socket if it is not there */
	control_command_fn command;
	void *arg;
};

/**
 * Listen. A stale socket at path (nobody listens on it) is removed; anything else there is an
 * error.
 * @param err receives a line that says what is wrong and what to do, on failure
 * @return the server, or NULL
 */
struct control *control_create(const struct control_params *p, char *err, size_t err_size);
/** Disconnect, remove the socket. NULL is legal here and below. */
void control_destroy(struct control *c);

/** What to poll: at most CONTROL_MAX_FDS. @return how many */
unsigned int control_fds(const struct control *c, struct pollfd *fds);
/** Milliseconds until control_run() has something to do without events, -1: never. For poll(). */
int control_timeout_ms(const struct control *c, uint64_t now_ms);
/** Do what the events say: fds as control_fds() filled them in, with revents. */
void control_run(struct control *c, const struct pollfd *fds, unsigned int n, uint64_t now_ms);

#endif
