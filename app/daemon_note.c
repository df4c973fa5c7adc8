/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon_note.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct note {
	uint16_t pif;
	char text[DAEMON_NOTE_TEXT];
};
static_assert(sizeof(struct note) <= PIPE_BUF, "a note is written in one piece");

int
daemon_note_open(int pipe_fd[2])
{
	return pipe2(pipe_fd, O_NONBLOCK | O_CLOEXEC) == 0 ? 0 : -errno;
}

void
daemon_note(int write_fd, uint16_t pif, const char *text)
{
	struct note n = { .pif = pif };
	ssize_t ret;

	snprintf(n.text, sizeof(n.text), "%s", text);
	ret = write(write_fd, &n, sizeof(n));
	(void)ret; /* full: whoever floods the log loses lines, not time */
}

bool
daemon_note_take(int read_fd, uint16_t *pif, char *text)
{
	struct note n;

	if (read(read_fd, &n, sizeof(n)) != sizeof(n))
		return false;
	*pif = n.pif;
	memcpy(text, n.text, sizeof(n.text));
	text[DAEMON_NOTE_TEXT - 1] = '\0';
	return true;
}
