/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * What the tests of the bridge share: the test plays the worker over a chan, and the host's
 * programs over sockets of its own on loopback. One thread does it all.
 */
#ifndef TEST_BRIDGE_UTIL_H
#define TEST_BRIDGE_UTIL_H

#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include <rte_mbuf.h>

#include "bridge.h"
#include "sock.h"

#define PIF 3
#define HEAD_LEN 54
#define EVENTS 16384
#define FLOW(n) flowtab_handle_make(0, 7, (n))

struct rig {
	struct waker worker, sleeper;
	struct chan *chan;
	struct rte_mempool *pool;  /**< the bridge's own, and payload of operations */
	struct rte_mempool *guest; /**< stands for the guest's receive buffers */
	struct lender *lender;
	struct l4x_port_conf conf;
	struct bridge_params params; /**< what b is made of */
	struct bridge *b;
	uint64_t now_us;
	int no_uring;   /**< rig_start_together(): why the kernel has no io_uring, -errno */
	bool deaf;      /**< do not take events */
	int net_before; /**< rig_start_net(): the namespace to go back to; -1: none, not permitted
			 */
	struct l4x_event *events;
	uint32_t n_events;
};

/** Group set-up: the EAL. */
int eal_group_start(void **state);
int eal_group_stop(void **state);
/** Test set-up: a rig; rig_start_discard() has no SO_PEEK_OFF. */
int rig_start(void **state);
int rig_start_discard(void **state);
/** The same with calls that are carried out together, see rig_of(). */
int rig_start_together(void **state);
int rig_start_together_discard(void **state);
/** In a network of its own, see net_enter(): the bridge has sockets ready from its first moment. */
int rig_start_net(void **state);
/** No mbuf may be missing at the end. */
int rig_stop(void **state);

/** The rig; if its set-up asked for io_uring and there is none, the test is skipped. */
struct rig *rig_of(void **state);
/** Calls have been carried out together, or never have, as the set-up asked for. */
void rig_check_together(const struct rig *r);

#define T_HOW(f, how, start)                                                                   \
	{                                                                                      \
		.name = #f how, .test_func = f, .setup_func = start, .teardown_func = rig_stop \
	}
/** A test with calls one by one, and together. */
#define T_CALLS(f) T_HOW(f, "_one_by_one", rig_start), T_HOW(f, "_together", rig_start_together)
/** ... and both without SO_PEEK_OFF. */
#define T_READS(f)                                                                  \
	T_CALLS(f), T_HOW(f, "_one_by_one_without_peek_offset", rig_start_discard), \
		T_HOW(f, "_together_without_peek_offset", rig_start_together_discard)

/** One iteration of the bridge; its events are kept. */
void rig_poll(struct rig *r);
/** One iteration that follows the last one at once: the epoll set is not asked. */
void rig_poll_at_once(struct rig *r);
/** Iterate for some ms. */
void rig_run(struct rig *r, unsigned int ms);
/** Wait for an event, take it out of those kept. Fails the test after 3 s. */
struct l4x_event rig_wait(struct rig *r, uint8_t type, uint64_t flow);
/** Take an event that has been seen. @return false: there is none */
bool rig_take(struct rig *r, uint8_t type, uint64_t flow, struct l4x_event *ev);
unsigned int rig_count(const struct rig *r, uint8_t type, uint64_t flow);
void rig_op(struct rig *r, const struct l4x_op *op);
uint64_t rig_counter(const struct rig *r, enum bridge_counter c);
/** Lend so many buffers. */
void rig_lend(struct rig *r, unsigned int n);

/** Byte of the test stream at an offset. */
static inline uint8_t
pattern(uint64_t off)
{
	return (uint8_t)(off * 31 + (off >> 8) + (off >> 16));
}

/** len bytes of the test stream from off on, as a chain of pool mbufs. */
struct rte_mbuf *make_payload(struct rig *r, uint64_t off, uint32_t len);
/** The same with at most so many bytes in each. */
struct rte_mbuf *make_chain(struct rig *r, uint64_t off, uint32_t len, uint32_t part);
/** An mbuf of the pool whose buffer, room[0..4096), cannot be accessed. munmap() it after use. */
struct rte_mbuf *make_lost(struct rte_mempool *pool, void **room);
/** Compare a chain with the test stream. */
void check_payload(const struct rte_mbuf *m, uint64_t off);

/** A host's listener on loopback; *port in network order. */
int host_listen(int family, int type, rte_be16_t *port);
/** A host's socket, connected to a port on loopback; non-blocking. */
int host_connect(int family, int type, rte_be16_t port);
int host_accept(int listener);
void host_close(const int *fd, unsigned int n);
/** Bytes of the test stream written to fd without blocking. @return how many */
size_t host_write(int fd, uint64_t off, size_t len);
/** Read what is there, compare it. @return how much; -1: end of file; -errno below that */
ssize_t host_read(int fd, uint64_t off, size_t max);
/** Within 3 s there is something to read, or the end, or an error. */
void host_wait(int fd);
/** The socket at the other end of a host's: the bridge's. */
int host_other_end(int fd);
/** Read so much within 3 s. */
void host_expect(int fd, uint64_t off, size_t len);
/** Within 3 s there is nothing left to read, and never will be; how: as host_read() tells it. */
void host_expect_end(int fd, ssize_t how);
/** Receive one datagram, compare it. @return its length, -1: none within 1 s */
ssize_t host_datagram(int fd, uint64_t off);
/** Send a datagram of the test stream, or a train of such of seg bytes. */
void host_send(int fd, uint64_t off, size_t len, uint16_t seg);
struct flowtab_addr loopback_addr(int family);

/**
 * A network namespace of the test's own: loopback is up and has 10.9.9.1 and 10.9.9.2, too, so that
 * two ends of a connection can look as if they were on two machines.
 * @return the namespace before, for net_leave(); -1: not permitted
 */
int net_enter(int mtu);
void net_leave(int before);

/* operations */
void op_open(struct rig *r, uint64_t flow, uint8_t proto, int family, rte_be16_t port);
void op_send(struct rig *r, uint64_t flow, uint64_t off, uint32_t len);
void op_ack(struct rig *r, uint64_t flow, uint64_t acked, uint64_t limit, uint32_t frame_max);
void op_rewind(struct rig *r, uint64_t flow, uint64_t off);
void op_shut(struct rig *r, uint64_t flow, uint64_t off);
void op_close(struct rig *r, uint64_t flow, bool reset);
void op_query(struct rig *r, uint64_t flow);
void op_dgram(struct rig *r, uint64_t flow, uint32_t len, uint16_t seg);

/** Where in the test stream that of FLOW(i) begins, where flows are not to be mixed up. */
#define STREAM(i) ((uint64_t)(i)*7)
/** SEND of FLOW(i)'s own stream. */
void op_send_own(struct rig *r, unsigned int i, uint64_t off, uint32_t len);

/** A TCP flow connected to the test's own listener. @return the host's end */
int connect_flow(struct rig *r, uint64_t flow);
/** FLOW(0) to FLOW(n - 1); fd receives the host's ends. */
void connect_flows(struct rig *r, int *fd, unsigned int n);
/** A flow to a host's socket that is connected back to it. @return the host's socket */
int dgram_flow(struct rig *r, uint64_t flow, int family);

#endif
