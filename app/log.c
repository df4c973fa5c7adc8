/* SPDX-License-Identifier: BSD-3-Clause */
#include "log.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <rte_log.h>

const char *const log_level_names[] = { "error", "warning", "info", "debug", NULL };

static _Atomic int current_level = LOG_LEVEL_INFO;
static char dpdk_error[256];
/** Lines that could not be written since the last one that could. */
static unsigned int lost;
/** Of standard error and lost: between poll() and write() nobody else may take the room. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void
log_set_level(enum log_level level)
{
	atomic_store_explicit(&current_level, level, memory_order_relaxed);
}

enum log_level
log_get_level(void)
{
	return (enum log_level)atomic_load_explicit(&current_level, memory_order_relaxed);
}

/** Names come from files and guests: nothing may reach the terminal but text. */
static void
make_printable(char *s)
{
	for (; *s != '\0'; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			*s = '?';
}

/** Can a line be written without waiting? A pipe has then room for PIPE_BUF bytes (pipe(7)). */
static bool
has_room(void)
{
	struct pollfd p = { .fd = STDERR_FILENO, .events = POLLOUT };

	return poll(&p, 1, 0) == 1 && (p.revents & POLLOUT) != 0;
}

static void
write_or_lose(const char *line, size_t len)
{
	char note[128];
	int n;

	pthread_mutex_lock(&lock);
	if (lost != 0 && has_room()) {
		n = snprintf(note, sizeof(note),
			"weir: warning: %u lines of the log were lost: its reader does not keep "
			"up\n",
			lost);
		if (write(STDERR_FILENO, note, (size_t)n) == n)
			lost = 0;
	}
	/* One write, so that lines of several processes do not mix. */
	if (!has_room() || write(STDERR_FILENO, line, len) != (ssize_t)len)
		lost++;
	pthread_mutex_unlock(&lock);
}

void
log_plain(const char *text)
{
	write_or_lose(text, strlen(text));
}

void
log_line(enum log_level level, const char *fmt, ...)
{
	char line[LOG_LINE_MAX];
	size_t head, len;
	va_list ap;

	if (level > log_get_level())
		return;
	head = (size_t)snprintf(line, sizeof(line), "weir: %s: ", log_level_names[level]);
	va_start(ap, fmt);
	vsnprintf(line + head, sizeof(line) - head - 1, fmt, ap);
	va_end(ap);
	make_printable(line);
	len = strlen(line);
	line[len++] = '\n';
	write_or_lose(line, len);
}

/** DPDK writes one line at a time. */
static ssize_t
dpdk_write(void *cookie, const char *buf, size_t size)
{
	size_t len = size;

	while (len > 0 && (buf[len - 1] == '\n' || buf[len - 1] == ' '))
		len--;
	if (len == 0)
		return (ssize_t)size;
	if (rte_log_cur_msg_loglevel() <= (int)RTE_LOG_ERR)
		snprintf(dpdk_error, sizeof(dpdk_error), "%.*s", (int)len, buf);
	log_line(LOG_LEVEL_DEBUG, "dpdk: %.*s", (int)len, buf);
	return (ssize_t)size;
}

int
log_take_dpdk(void)
{
	const cookie_io_functions_t io = { .write = dpdk_write };
	FILE *f = fopencookie(NULL, "w", io);

	if (f == NULL)
		return -ENOMEM;
	/* DPDK flushes after each line; unbuffered, a line would come in pieces. */
	setvbuf(f, NULL, _IOLBF, 0);
	return rte_openlog_stream(f) == 0 ? 0 : -EIO;
}

const char *
log_dpdk_last_error(void)
{
	return dpdk_error;
}
