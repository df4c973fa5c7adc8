/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * A context of lib/l4xlate under test, with one guest (or two), a clock in the test's hands, and
 * everything that comes out checked and kept until the test asks for it.
 *
 * l4xkit_create() makes the pool, the context and port 1, and brings the link up. Feed it frames
 * (l4xkit_rx(), or several as one burst), events and time. After each step what came out is moved
 * to two queues: frames, each held against pkt_check(), and operations, with their payload as
 * bytes. l4xkit_destroy() fails the test when an mbuf was lost.
 *
 * Asserts with cmocka. One thread.
 */
#ifndef L4XKIT_H
#define L4XKIT_H

#include <l4x.h>

#include <rte_mbuf.h>

#include "pkt.h"

#define L4XKIT_PIF 1
#define L4XKIT_QUEUE_MAX 4096

/** The guest's and the gateway's MAC addresses. */
extern const uint8_t l4xkit_guest_mac[6];
extern const uint8_t l4xkit_gateway_mac[6];

struct l4xkit_frame {
	uint8_t *bytes;
	uint32_t len;
	struct virtio_net_hdr hdr; /**< what the port would make of the offload flags */
	uint16_t pif;
	uint8_t queue;
};

struct l4xkit_op {
	struct l4x_op op; /**< its mbuf has been freed: look at data */
	uint8_t *data;
	uint32_t len;
};

struct l4xkit {
	char name[32]; /**< params.name points here */
	struct l4x *l;
	struct rte_mempool *pool;
	struct l4x_params params;
	struct l4x_port_conf conf; /**< of L4XKIT_PIF */
	struct pkt_limits limits;  /**< frames are checked against */
	uint64_t now_us;
	bool unchecked;                    /**< frames are not held against pkt_check() */
	struct rte_mbuf *burst[L4X_BURST]; /**< l4xkit_push() */
	unsigned int n_burst;
	struct l4xkit_frame frames[L4XKIT_QUEUE_MAX];
	unsigned int frame_head, frame_tail;
	struct l4xkit_op ops[L4XKIT_QUEUE_MAX];
	unsigned int op_head, op_tail;
	unsigned int n_handover; /**< frames for other workers, freed */
	uint8_t handover_worker; /**< of the last one */
	/** Takes what is for other workers, mbufs included. NULL: it is freed. */
	void (*hand_over)(void *arg, const struct l4x_frame *f);
	void *hand_over_arg;
	/** Has the guest no buffer for this frame, and so for those after it? NULL: it has. */
	bool (*full)(void *arg, const struct l4x_frame *f);
	void *full_arg;
	unsigned int n_unsent; /**< frames that were given back */
	struct pkt_view view;  /**< of the last l4xkit_frame() */
};

/** EAL without huge pages. Once per process, before anything else. */
void l4xkit_eal(const char *file_prefix);

/** Changes to the defaults, before the context is made. Either may be looked at or changed. */
typedef void (*l4xkit_tweak)(struct l4x_params *params, struct l4x_port_conf *conf);

/**
 * Defaults: worker 0, 10.0.2.15/24 behind 10.0.2.2, fd00:2::15/64 behind fd00:2::2, MTU 1500, two
 * resolvers, a search list, one queue; offloads CSUM, TSO4, TSO6.
 */
struct l4xkit *l4xkit_create(l4xkit_tweak tweak);
/** Closes all flows, drops what is queued, and asserts that no mbuf is missing. */
void l4xkit_destroy(struct l4xkit *k);
/** The default configuration of a port, to be changed and set. */
struct l4x_port_conf l4xkit_conf(void);

/**
 * Bytes as a frame from a guest: the first head bytes in the first segment (0: 256), the rest in
 * segments of seg bytes (0: as large as fit).
 */
struct rte_mbuf *l4xkit_mbuf(
	struct l4xkit *k, const void *bytes, uint32_t len, uint32_t head, uint32_t seg);
/** Bytes as a bridge reads them: headroom in front. */
struct rte_mbuf *l4xkit_payload(struct l4xkit *k, const void *bytes, uint32_t len);
/** A frame from the guest, as a burst of its own. */
void l4xkit_rx(struct l4xkit *k, const void *bytes, size_t len);
/** One more frame of a burst ... */
void l4xkit_push(struct l4xkit *k, const void *bytes, size_t len);
void l4xkit_push_mbuf(struct l4xkit *k, struct rte_mbuf *m);
/** ... which goes in with this. */
void l4xkit_flush(struct l4xkit *k);
void l4xkit_event(struct l4xkit *k, const struct l4x_event *ev);
void l4xkit_events(struct l4xkit *k, const struct l4x_event *ev, unsigned int n);
/** Time passes; timers run once, at the end of it. */
void l4xkit_advance(struct l4xkit *k, uint64_t us);
/** Time passes, and timers run whenever they want to. */
void l4xkit_run(struct l4xkit *k, uint64_t us);
/** Move the context's output to the queues. The functions above do it themselves. */
void l4xkit_collect(struct l4xkit *k);

/** The next frame to the guest, or NULL; k->view shows it. Valid until the next call. */
const struct l4xkit_frame *l4xkit_frame(struct l4xkit *k);
/** The next operation, or NULL. Valid until the next call. */
const struct l4xkit_op *l4xkit_op(struct l4xkit *k);
/** The same, asserting that there is one, of this type. */
const struct l4xkit_op *l4xkit_expect_op(struct l4xkit *k, enum l4x_op_type type);
const struct l4xkit_frame *l4xkit_expect_frame(struct l4xkit *k);
/** Asserts that there is neither frame nor operation. */
void l4xkit_expect_nothing(struct l4xkit *k);
/** Forget what is queued. */
void l4xkit_discard(struct l4xkit *k);
uint64_t l4xkit_counter(const struct l4xkit *k, enum l4x_counter c);
/** Feed the frame and assert that it is dropped for this reason, and for no other. */
void l4xkit_expect_drop(struct l4xkit *k, const void *bytes, size_t len, enum l4x_counter why);

/** Headers of a packet from the guest, by text: 10.0.2.15, or fd00:2::15, to dst. */
struct pkt_ip l4xkit_ip(const char *dst);
struct flowtab_addr l4xkit_addr(const char *text);

#endif
