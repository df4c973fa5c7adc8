/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * What the tests of the daemon as a process share: one process at a time, in a directory of its
 * own, and what it says. Arguments of the programs: the binaries weir and weirctl.
 */
#ifndef TEST_DAEMON_UTIL_H
#define TEST_DAEMON_UTIL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/types.h>
#include <unistd.h>

#include <cmocka.h>

/** Under sanitizers, on a machine that does other things, too. */
#define WAIT_MS 30000
#define OUT_MAX 32768

extern const char *weir, *weirctl;
extern char dir[];        /**< where processes run */
extern char out[OUT_MAX]; /**< standard error of the daemon, both of weirctl */
extern size_t out_len;

struct process {
	pid_t pid;
	int fd; /**< what it says */
};
extern struct process process;
/** Hard limits of open files and of threads of processes to come; 0: as they are. */
extern rlim_t max_files, max_threads;
/** They begin without standard input, output and error. */
extern bool no_stdio;

/** Run a program as another user (0: as ourselves) with arguments up to a NULL. */
void start_as(uid_t uid, const char *const *args);
#define START(...) start_as(0, (const char *const[]){ weir, __VA_ARGS__, NULL })
/** Read what the process says until text is among it, or (NULL) until it has closed its end. */
bool read_until(const char *text);
/** Wait for its end. @return its exit status */
int end(void);
/** It says this, sooner or later. */
void expect(const char *text);
/** One line of what it has said is an error, and has both of these texts. */
void expect_one_error(const char *a, const char *b);

/** Is there such a file in dir? */
bool there(const char *name);
/** Write a file in dir. */
void put(const char *name, const char *text);
/** A TCP port of 127.0.0.1 that somebody listens on; *fd is his. */
uint16_t busy_port(int *fd);
bool port_open(uint16_t port);
/** weirctl, of the daemon that runs. @return its exit status */
int ctl(const char *a, const char *b, const char *c);
/** The same with words up to a NULL. */
int ctl_words(const char *const *words);
#define CTL(...) ctl_words((const char *const[]){ __VA_ARGS__, NULL })
/** To become somebody else. */
void need_root(void);

#define COMMON "--hugepages", "off", "--memory", "128", "--max-flows", "4096", "--control", "c"
/** The beginning of most files. */
#define A "[vm.a]\nsocket = a.sock\n"

/** Tear-down. */
int stop_process(void **state);
#define TEST(f) cmocka_unit_test_teardown(f, stop_process)
/** main() of a program with these tests. */
int daemon_tests(int argc, char **argv, const struct CMUnitTest *tests, size_t n);

#endif
