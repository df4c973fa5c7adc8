/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * A wire between two TAP devices, with delay and loss, carried by a process of its own: kernels
 * need not have netem. Loss is decided by a fixed sequence, so that runs are alike.
 *
 * Threads: made and changed by the test's thread; the process reads the settings as they are.
 */
#ifndef WIRE_H
#define WIRE_H

#include <sys/types.h>

struct wire_shared;

struct wire {
	struct wire_shared *shared;
	pid_t pid;
};

/** A TAP device of this name in the caller's network. -1 with errno set */
int wire_tap(const char *name);
/** Join two TAPs; the descriptors belong to the wire from here on. 0 or -errno */
int wire_start(struct wire *w, int tap_a, int tap_b);
/** @param delay_ms each way. @param loss_permille each way; 1000: cut */
void wire_set(struct wire *w, unsigned int delay_ms, unsigned int loss_permille);
void wire_stop(struct wire *w);

#endif
