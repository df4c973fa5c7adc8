/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * What stands between a front-end's socket and librte_vhost.
 *
 * librte_vhost 22.11 serves all its connections in one thread, with calls that block: a front-end
 * that sends half a message, or reads no answers, would hold up all others; and of some messages it
 * loses the descriptors before any hook has seen them. So it is not given the front-end's socket.
 * While a connection is new, and not yet polled by the library, one end of a socket pair takes the
 * place of the library's descriptor (dup3()). A relay has the other end and the front-end. It reads
 * messages as they come, checks their form, and forwards each in one piece; the first that is
 * malformed ends the connection. What only a state can tell is left to vhost_msg.c.
 *
 * Bounds. A relay holds one request and one answer at most, and takes nothing from the front-end
 * while an answer waits to be read by it. What lies in the pair is bounded, too: towards the
 * library its buffer is the smallest there is, a few messages; the other way it has the usual size,
 * with room for all answers to those. So the library's thread finds whole messages and room for
 * its answers: it never blocks here.
 *
 * Threads. Control calls vhost_relays_run() when the descriptor of the set is readable; nothing in
 * it blocks. The other functions are for whatever thread librte_vhost calls us in. A set has a lock
 * of its own, which is innermost and held for a moment only; the port's lock is not taken under it,
 * for that is held for seconds while a worker lets go of a ring.
 *
 * Nobody waits in a circle. Control waits for workers (worker_call(), recalled rings), which know
 * nothing of relays. It waits for librte_vhost's threads in rte_vhost_driver_unregister(), until a
 * callback has returned; callbacks wait for workers and for locks, and the library's own calls on
 * the pair do not wait at all (see Bounds). Nobody else waits for control but front-ends, whose
 * messages take as long as what control is doing.
 *
 * The end. When the front-end hangs up, the relay closes the pair, and the library finds what was
 * forwarded and then the end; when the library hangs up, its last answers are passed on and the
 * front-end is disconnected. vhost_relays_stop() disconnects front-ends alone: a client of the
 * library would connect anew while it is unregistered.
 */
#ifndef VHOST_RELAY_H
#define VHOST_RELAY_H

#include <pthread.h>
#include <stdbool.h>

struct vhost_closer;
struct vhost_relay;
struct vport;

/** The relays of a port. */
struct vhost_relays {
	pthread_mutex_t lock;
	struct vport *vp;
	struct vhost_closer *closer;
	struct vhost_relay *first;
	int epoll_fd;
};

/** An empty set, of zeroed memory. 0 or -errno */
int vhost_relays_init(struct vhost_relays *set, struct vport *vp);
/** When librte_vhost has forgotten all connections. */
void vhost_relays_fini(struct vhost_relays *set);
/** Disconnect all front-ends. */
void vhost_relays_stop(struct vhost_relays *set);
/** Pass on what can be passed on. */
void vhost_relays_run(struct vhost_relays *set);

/**
 * Put a relay in front of a new connection.
 * @param fd librte_vhost's socket; becomes one end of the pair
 * @return the relay, to be given to vhost_relay_put(); NULL with errno set, and fd as it was
 */
struct vhost_relay *vhost_relay_start(struct vhost_relays *set, int fd);
/** Has the front-end gone? */
bool vhost_relay_gone(struct vhost_relay *r);
/** The connection is freed. */
void vhost_relay_put(struct vhost_relay *r);

#endif
