/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * What the groups of the conformance suite share: one daemon in a network of its own, one guest
 * that is connected to it, and a check after every test that neither has gone wrong.
 *
 * A group calls smoke_up() in its set-up and smoke_down() in its tear-down; tests are declared with
 * SMOKE(). Names of tests state the behaviour. SMOKE_FILTER in the environment, a pattern with
 * wildcards, names the tests to be run.
 */
#ifndef SMOKE_H
#define SMOKE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/socket.h>

#include "gtcp.h"
#include "guest.h"
#include "host.h"
#include "netns.h"
#include "proc.h"

#define GW "10.0.2.2"
#define GW6 "fd00:2::2"
#define LO "127.0.0.1"
#define LO6 "::1"
/** Time for what must happen, and time in which what must not happen would have. */
#define SOON 5000
#define NEVER 120

struct smoke {
	bool net; /**< in a network of its own, as root */
	struct proc *d;
	struct guest *g;
	uint16_t next_port;
};
extern struct smoke smoke;

/** A connection, both ends. */
struct smoke_conn {
	struct gtcp *c;
	int fd, listener;
};

#define SMOKE(f) cmocka_unit_test_setup_teardown(f, smoke_each, smoke_check)

/** Start daemon and guest on socket a.sock. @param args of the daemon; a guest with conf NULL:
 * Linux's */
int smoke_up(const char *const *args);
/** Only the network and the daemon. */
int smoke_up_daemon(const char *const *args);
int smoke_down(void **state);
int smoke_each(void **state);
int smoke_check(void **state);
/** Connect a guest to a socket of the daemon's directory; addresses resolved. */
struct guest *smoke_guest(const char *sock, const struct guest_conf *conf);
/** guest_resolve() that asserts. */
void smoke_resolve(struct guest *g);
/** Skip the test unless in a network of its own. */
void smoke_need_net(void);

/** The guest connects to a listener on the host's loopback. */
struct smoke_conn smoke_out(struct guest *g, bool v6);
/** The host connects to a forward (port on the host's loopback, port in the guest). */
struct smoke_conn smoke_in(struct guest *g, bool v6, uint16_t port, uint16_t guest_port);
/** smoke_out() over IPv4; the test handles all further segments by hand. */
struct smoke_conn smoke_by_hand(struct guest *g);
/** SYN by hand, SYN|ACK taken; the handshake's ACK is still to be sent. */
void smoke_half_open(struct gtcp *c);
/** Forget both ends, abruptly. */
void smoke_drop(struct smoke_conn *k);
/**
 * The host answers a request of which it has left bytes unread, and closes: a reset behind the
 * answer, which has left its socket by then.
 */
void smoke_answer_and_reset(struct smoke_conn *k, const void *answer, size_t len);
/** The segment, asserting that there is one. */
struct guest_frame *smoke_must(struct guest_frame *f);
/** manual: the next segment with data; NULL: none in time. */
struct guest_frame *smoke_data(struct gtcp *c, int timeout_ms);
/** manual: the next segment without data that acknowledges ack, or more. */
struct guest_frame *smoke_acked(struct gtcp *c, uint32_t ack);
/** A few bytes each way. */
void smoke_echo(struct guest *g, struct smoke_conn *k);
/** Send from the guest and see it at the host; and the other way. */
void smoke_say_up(struct smoke_conn *k, const char *text);
void smoke_say_down(struct smoke_conn *k, const char *text);
/** The guest's ARP, a ping and a short TCP connection work. */
void smoke_serves(struct guest *g);
/** The guest is told that there is no router any more (RFC 4861, 6.2.5). */
bool smoke_router_left(struct guest *g);
/** A counter of `weirctl stats`, of all workers, bridges and VMs together; -1: none. */
long long smoke_stat(const char *name);

/** assert_null() that prints the text. */
#define assert_ok(text)                        \
	do {                                   \
		const char *text_ = (text);    \
		if (text_ != NULL)             \
			fail_msg("%s", text_); \
	} while (0)

#endif
