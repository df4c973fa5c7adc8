/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Log lines of the daemon: "weir: level: text" on standard error, one write each.
 *
 * Nobody is waited for: a line that whoever reads the log has no room for (a pipe that is full) is
 * lost, and the next one is preceded by how many were.
 *
 * Threads: log_line() from any thread but a worker (it makes a system call). What a worker or a
 * library's thread has to say goes through daemon notes to the control thread.
 */
#ifndef LOG_H
#define LOG_H

#define LOG_LINE_MAX 1024

enum log_level {
	LOG_LEVEL_ERROR,
	LOG_LEVEL_WARNING,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG,
};

/** NULL-terminated, by enum log_level. */
extern const char *const log_level_names[];

void log_set_level(enum log_level level);
enum log_level log_get_level(void);

/** Control characters in the text (names come from guests and files) are shown as '?'. */
void log_line(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/** A line without level, said at any: text has its newline. */
void log_plain(const char *text);

#define log_error(...) log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...) log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)

/**
 * Have the text of DPDK's own log come out in our form, at level debug, errors kept for
 * log_dpdk_last_error(). To be called before rte_eal_init(). 0 or -errno.
 */
int log_take_dpdk(void);
/** The last line that DPDK logged as an error or critical, or "". */
const char *log_dpdk_last_error(void);

#endif
