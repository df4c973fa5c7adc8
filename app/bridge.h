/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * The bridge: owner of the kernel sockets of some flows, and of one epoll set.
 *
 * Theory of operation. bridge_poll() is one iteration: take operations from every worker's chan and
 * carry them out; ask the epoll set; read sockets that are ready into buffers the guests have lent;
 * send events back. It is called by an rte_service on a core of its own
 * (bridge_service_register()), or from a worker's loop (inline): one piece of code for both.
 *
 * A socket's record lies in an array by {worker, flow index}, so that neither an operation nor an
 * epoll event needs a search: both carry the flow's handle, whose generation tells a late one.
 *
 * Operations are never refused for lack of room in the event ring: what there is to tell of a
 * socket is kept as bits in its record (dirty list) and told when there is room. Sockets are read
 * only when there is. So the two rings cannot block each other.
 *
 * Threads: bridge_create(), bridge_listen() and bridge_destroy() by the control thread while the
 * bridge does not run; all else by the thread that calls bridge_poll(). Counters: any thread.
 * The only file beside listen.c that calls socket functions.
 */
#ifndef BRIDGE_H
#define BRIDGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <l4x.h>

#include "chan.h"

#define BRIDGE_MAX_WORKERS 64
/** Listeners of one bridge: a forward of all ports. */
#define BRIDGE_LISTENERS 65535
/** Sockets kept ready for connections that guests open, of each family. */
#define BRIDGE_SPARES 16u
#define BRIDGE_FAMILIES 2u
/** File descriptors of one bridge, beside those of flows and listeners. */
#define BRIDGE_OWN_FILES (2 + BRIDGE_FAMILIES * BRIDGE_SPARES)

/* X(enumerator, "name", "what happened"), D(...) the same of what was dropped */
#define BRIDGE_COUNTERS(X, D)                                                               \
	X(OPS, "bridge-ops", "operations from workers")                                     \
	X(EVENTS, "bridge-events", "events to workers")                                     \
	X(SOCKETS_OPENED, "bridge-sockets-opened", "sockets opened for guests")             \
	X(SOCKETS_CLOSED, "bridge-sockets-closed", "sockets closed")                        \
	X(ACCEPTED, "bridge-accepted", "connections accepted by listeners")                 \
	D(REFUSED, "bridge-refused", "accepted connections that were reset")                \
	X(SEND_CALLS, "bridge-send-calls", "send calls")                                    \
	X(SEND_BYTES, "bridge-send-bytes", "bytes sent to sockets")                         \
	X(SEND_SHORT, "bridge-send-short", "sends that the socket did not take whole")      \
	X(RECV_CALLS, "bridge-recv-calls", "receive calls")                                 \
	X(RECV_BYTES, "bridge-recv-bytes", "bytes read from sockets")                       \
	X(DISCARD_CALLS, "bridge-discard-calls", "calls that consume acknowledged bytes")   \
	X(TOGETHER, "bridge-calls-together", "times io_uring carried out several of these") \
	X(INFO_CALLS, "bridge-info-calls", "TCP_INFO and the like")                         \
	D(SOCKET_LIMIT, "bridge-socket-limit", "sockets refused: too many open files")      \
	D(SOCKET_FAILED, "bridge-socket-failed", "sockets that could not be made")          \
	X(NO_BUFFER, "bridge-no-buffer", "times a guest had lent no buffer to read into")   \
	D(STALE, "bridge-stale", "operations or epoll events for a socket that is gone")    \
	D(DGRAM_DROPPED, "bridge-dgram-dropped", "datagrams the socket did not take")       \
	X(MEMORY_LOST, "bridge-memory-lost", "EFAULT: guest memory vanished under a socket call")

enum bridge_counter {
#define X(e, name, help) BRIDGE_COUNT_##e,
	BRIDGE_COUNTERS(X, X)
#undef X
	BRIDGE_COUNTS,
};

struct bridge_counter_info {
	const char *name;
	const char *help;
	uint8_t is_drop;
};
extern const struct bridge_counter_info bridge_counter_info[BRIDGE_COUNTS];

struct bridge_params {
	uint8_t id;
	uint8_t n_workers;
	uint32_t max_flows; /**< per worker: length of the record arrays */
	int socket_id;
	struct chan *chans[BRIDGE_MAX_WORKERS]; /**< by worker number */
	struct waker *waker;      /**< the thread that polls this bridge sleeps here */
	struct rte_mempool *pool; /**< datagrams that no guest buffer was lent for */
	bool peek_off;            /**< SO_PEEK_OFF works on TCP (bridge_probe_peek_off()) */
	bool uring;               /**< several calls at a time (bridge_probe_uring()) */
	uint8_t steer_key[16];    /**< for l4x_steer_inbound() */
};

/**
 * Who else listens at the address and port of a forward. Bridges that do so together have a socket
 * each, among which the kernel spreads connections (SO_REUSEPORT); programs of the same user could
 * join them later, but not be there before.
 */
enum bridge_share {
	BRIDGE_SHARE_NONE,  /**< nobody */
	BRIDGE_SHARE_FIRST, /**< TCP: other bridges will */
	BRIDGE_SHARE_JOIN,  /**< TCP: another bridge does */
};

/** A forward: one listening socket per address and port. */
struct bridge_listen {
	uint8_t proto; /**< IPPROTO_TCP or IPPROTO_UDP */
	struct flowtab_addr
		local;       /**< address to bind; all zero: any, both families (dual stack) */
	uint16_t port;       /**< host order */
	uint16_t guest_port; /**< host order */
	uint16_t pif;
	uint8_t share; /**< enum bridge_share */
	uint32_t mark;
};

struct bridge;

/** @return the bridge, or NULL with rte_errno set */
struct bridge *bridge_create(const struct bridge_params *p);
/** Closes all its sockets: flows have been closed before, what is left is reset. */
void bridge_destroy(struct bridge *b);

/** Make a port's buffers and steering known; conf and lender stay valid while the bridge lives. */
int bridge_add_lender(struct bridge *b, struct lender *l);
int bridge_set_port(struct bridge *b, const struct l4x_port_conf *conf);
/**
 * Forget a port (its VM was removed): its lenders, which are STOPPED, its conf, and its sockets,
 * whose flows have been closed before (what is left is reset). Listeners: bridge_unlisten() comes
 * before. Nothing of the port is referred to afterwards.
 */
void bridge_remove_port(struct bridge *b, uint16_t pif);
/**
 * Open a listener.
 * @param err receives a line that names address and port and says what is wrong, on failure
 * @return its number, or -errno
 */
int bridge_listen(struct bridge *b, const struct bridge_listen *spec, char *err, size_t err_size);
void bridge_unlisten(struct bridge *b, int number);

/**
 * One iteration, without blocking.
 * @param busy the caller has work of its own: the epoll set is asked now and then, no more
 * @return how much was done; 0: idle
 */
unsigned int bridge_poll(struct bridge *b, uint64_t now_us, bool busy);
/** The epoll set, to sleep on (readable when bridge_poll() has something to do). */
int bridge_epoll_fd(const struct bridge *b);
/** Earliest time (us) at which bridge_poll() has something to do of itself; UINT64_MAX: none. */
uint64_t bridge_next_us(const struct bridge *b);
/** True if something waits in rings or lists that no file descriptor tells of. Before sleeping. */
bool bridge_has_work(const struct bridge *b);

const uint64_t *bridge_counters(const struct bridge *b);

/** Does MSG_PEEK on TCP honour SO_PEEK_OFF, in each family that there is? Tries it on loopback. */
bool bridge_probe_peek_off(void);
/** Is there an io_uring that does what bridges need (Linux 5.19)? 0 or -errno. */
int bridge_probe_uring(void);
/** May this process make ICMP / ICMPv6 ping sockets? 0 or -errno. */
int bridge_probe_ping(bool ipv6);

#endif
