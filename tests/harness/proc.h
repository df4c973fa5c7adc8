/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * The daemon under test, as a process: started with arguments in a private directory, watched,
 * stopped, and held to having behaved.
 *
 * The programs are those that the environment names: WEIR_BIN and WEIRCTL_BIN. "%d" in an argument
 * becomes the private directory, where the control socket (control.sock) lies as well. Standard
 * error goes to a file there. The directory is removed by proc_free().
 *
 * Threads: an instance belongs to one thread.
 */
#ifndef PROC_H
#define PROC_H

#include <stdbool.h>
#include <stddef.h>

#include <sys/types.h>

#include <jansson.h>

#define PROC_MAX_ARGS 64

struct proc {
	char dir[64];
	pid_t pid;  /**< 0: not running */
	int status; /**< as waitpid() gives it, once it has ended */
	char *log;  /**< what it wrote to standard error, see proc_log() */
};

/**
 * Start it and do not wait. Options that keep it small and private (--control, --memory,
 * --hugepages off, --max-flows) are put in front of args, but for those that args give.
 * @param args up to a NULL
 * @return NULL with errno set
 */
struct proc *proc_spawn(const char *const *args);
/** The same without options of its own. */
struct proc *proc_spawn_plain(const char *const *args);
/** Has it written `weir: ready`? Waits for it, or for its end. */
bool proc_wait_ready(struct proc *d, int timeout_ms);
/** proc_spawn() and proc_wait_ready(); on failure the log is printed. NULL: failed. */
struct proc *proc_start(const char *const *args);
/** Wait for its end. True if it has ended, d->status then says how. */
bool proc_wait_end(struct proc *d, int timeout_ms);
/** True while it runs. */
bool proc_alive(struct proc *d);
/**
 * SIGTERM, wait, check.
 * @return NULL if it ended with status 0 in time, with no word of a sanitizer, and left no socket
 * behind; else what was wrong
 */
const char *proc_stop(struct proc *d);
/** Sanitizers' and panics' words in the log, or NULL. */
const char *proc_complaint(struct proc *d);
/** Standard error so far; valid until the next call. */
const char *proc_log(struct proc *d);
/** Wait until the log contains text. */
bool proc_wait_log(struct proc *d, const char *text, int timeout_ms);
/** Path of a file in its directory, in one of four buffers used in turn. */
const char *proc_path(const struct proc *d, const char *name);
/** Write a file in its directory. 0 or -errno */
int proc_write(const struct proc *d, const char *name, const char *text);
/** Kill it if it still runs, and remove the directory. NULL is fine. */
void proc_free(struct proc *d);

/**
 * weirctl --control ... --json args.
 * @param status receives its exit status; may be NULL
 * @return what it printed, parsed, owned by the caller; NULL if that is no JSON
 */
json_t *proc_ctl(struct proc *d, int *status, const char *const *args);
/** weirctl, without --json. @return what it printed (both outputs), to be freed */
char *proc_ctl_text(struct proc *d, int *status, const char *const *args);
/** CPU time it has used, in ms. */
unsigned long proc_cpu_ms(const struct proc *d);
/** Open file descriptors, -1: unknown. */
int proc_open_fds(const struct proc *d);

/** A program with arguments up to a NULL. @return its exit status, -1: it could not be run */
int proc_run_program(const char *const *argv, char **output);

#endif
