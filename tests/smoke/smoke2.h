/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * What groups need that start daemons of their own, or look after more than one guest.
 *
 * Threads: the test's one.
 */
#ifndef SMOKE2_H
#define SMOKE2_H

#include "smoke.h"

#include <time.h>

/**
 * Start the daemon with this configuration, and a guest on its a.sock. "%d" in the text is the
 * daemon's directory, here and below.
 */
int smoke_up_conf(const char *first);
/** Change the file. */
void smoke_conf(const char *format);
const char *smoke_conf_path(void);
/** Change it and tell the daemon; what it says of the reload must have this text. */
void smoke_reload(const char *format, const char *expected);

/** A run of weir that ends by itself. */
struct smoke_run {
	struct proc *d; /**< its directory and log; NULL after smoke_run_free() */
	pid_t pid;      /**< it had */
	time_t begun;
	int status; /**< exit status; -1: a signal, or it did not end and was killed */
	const char *said;
};

/** Run weir with these arguments only, to its end. */
void smoke_run(struct smoke_run *r, const char *const *args);
void smoke_run_free(struct smoke_run *r);
/** Lines of text. */
unsigned int smoke_lines(const char *text);
/**
 * weir does not start: exit status, one line "weir: error: ..." that contains text (warnings may
 * stand before it), and nothing left behind.
 */
void smoke_refused(int status, const char *text, const char *const *args);

/** A file in /tmp with text, in one of four buffers used in turn; remove it with unlink(). */
const char *smoke_file(const char *text);
void smoke_file_write(const char *path, const char *text);

/** A counter of `weirctl stats`; 0 if it is not shown. */
long long smoke_count(const char *name);
/** The same of one VM alone. */
long long smoke_vm_count(const char *vm, const char *name);
/** Wait until it is more than before. */
bool smoke_vm_counts(const char *vm, const char *name, long long before);
/** Wait until the daemon has so many file descriptors, or less. @return how many it has */
int smoke_fds(int wanted);
/** Flows that `weirctl flow list` shows. */
int smoke_flows_now(void);
/** The same; waits, and pumps smoke.g, until there are n of them. */
int smoke_flows(int n);

/** A datagram from the guest to a host socket on loopback, echoed; false: it did not come back. */
bool smoke_udp_echo(struct guest *g, bool v6, size_t len);
/** Bytes both ways over a fresh connection, compared; segmentation offload used if negotiated. */
void smoke_bulk(struct guest *g, bool v6, size_t up, size_t down);
/**
 * After the rings were stopped: take what lies in the used rings. Receive buffers that the back-end
 * held and could not fill come back with a frame that is for nobody.
 */
void smoke_take_back(struct guest *g);
/** ARP, ND, DHCP, ping, UDP, and TCP with `bytes` each way, of both families. */
void smoke_all(struct guest *g, size_t bytes);

/** A connection to the control socket. */
int smoke_ctl_open(void);
/** A reply line (parsed), NULL: closed or none in time. */
json_t *smoke_ctl_reply(int fd, int timeout_ms);
/** Send a line and take the reply. */
json_t *smoke_ctl_ask(int fd, const char *line);

#endif
