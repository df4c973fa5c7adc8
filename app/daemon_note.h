/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Notes: how threads that must not block have something logged. A note goes through a pipe to the
 * control thread; when the pipe is full it is dropped.
 */
#ifndef DAEMON_NOTE_H
#define DAEMON_NOTE_H

#include <stdbool.h>
#include <stdint.h>

#define DAEMON_NOTE_TEXT 240

/** 0 or -errno; [0] is read by daemon_note_take(), both ends do not block. */
int daemon_note_open(int pipe_fd[2]);
/** Any thread. */
void daemon_note(int write_fd, uint16_t pif, const char *text);
/**
 * The next note.
 * @param text DAEMON_NOTE_TEXT bytes
 * @return false: there is none
 */
bool daemon_note_take(int read_fd, uint16_t *pif, char *text);

#endif
