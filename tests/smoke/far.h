/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Another host: a network of its own behind a wire with delay and loss, for groups whose peers are
 * not on this host. Needs root; without it far_need(), which all else calls, skips the test.
 *
 * Threads: the test's one.
 */
#ifndef FAR_H
#define FAR_H

#include "smoke.h"

#define FAR_HERE "192.0.2.1"
#define FAR_PEER "192.0.2.2"
#define FAR_HERE6 "2001:db8:1::1"
#define FAR_PEER6 "2001:db8:1::2"
/** Addresses on that network that nobody has, though their link-layer address is known. */
#define FAR_NOBODY "192.0.2.99"
#define FAR_NOBODY6 "2001:db8:1::99"

extern struct netns far;

#define FAR(f) cmocka_unit_test_setup_teardown(f, smoke_each, far_check)

/** smoke_up(), and the other host. */
int far_up(const char *const *args);
int far_down(void **state);
/** smoke_check(); the link is good again. */
int far_check(void **state);
void far_need(void);
void far_link(unsigned int delay_ms, unsigned int loss_permille);
/** A command here (there false) or on the other host, which must succeed. */
void far_run(bool there, const char *command);

/** A listener on the other host. */
int far_listen(bool v6, uint16_t *port);
/** The guest connects to the other host. */
struct smoke_conn far_out(bool v6);
/** The other host connects to a forward: port here, port in the guest. */
struct smoke_conn far_in(bool v6, uint16_t port, uint16_t guest_port);

/** Look at what comes out of the wire there, from now on. Close it. */
int far_watch(void);
/**
 * The next TCP segment that has come there for this port, held against pkt_check().
 * @param frame PKT_MAX bytes that v points into
 * @return false: none in time
 */
bool far_seen(int watch, uint16_t port, uint8_t *frame, struct pkt_view *v, int timeout_ms);

#endif
