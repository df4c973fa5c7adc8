/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * The guest port: bursts of frames from and to one virtual machine.
 *
 * Two kinds of port stand behind the same functions. A *vhost-user* port speaks the protocol
 * through librte_vhost and walks the split rings itself, without copying payload. An *ethdev* port
 * is any DPDK port (net_tap, net_memif, net_af_packet, a NIC); it copies.
 *
 * Frames from the guest (vport_rx_burst()). The virtio-net header becomes the mbuf's offload fields
 * (see l4x.h). The first VPORT_HEAD_BYTES of a frame are copied out of guest memory before anybody
 * looks at them; a frame up to VPORT_COPY_BYTES is copied whole and its descriptors are returned at
 * once. The rest of a larger one stays in guest memory: external-buffer segments, whose last free,
 * in whatever thread, completes the descriptors.
 *
 * Frames to the guest. vport_lend() hands out the guest's own receive buffers as empty mbufs, to be
 * filled by a socket read; a filled frame goes to vport_tx_burst(), which writes the virtio-net
 * header and publishes it where it is. A lent mbuf that is freed unfilled is lent again. Other
 * mbufs are copied into receive buffers. Where lending cannot be had (an ethdev port, a guest whose
 * buffers are too small in front) vport_lend() gives ordinary mbufs, and nobody need know.
 *
 * Checksums and segmentation offload are the port's promise: a frame that asks for them
 * (RTE_MBUF_F_TX_*) is vouched for by the virtio-net header if the guest takes that, else the
 * checksum is completed here. A TSO frame for a guest that has no TSO is dropped and counted.
 *
 * Hostile guests. All that a ring says is read once and checked against the memory table; chains
 * are bounded. A guest that breaks the protocol has that queue pair stopped (counted, said once),
 * until it is set up anew. SIGBUS inside guest memory stops that guest's queues alone.
 *
 * Threads and ownership. A port is made, started and destroyed by the control thread, which calls
 * vport_run() meanwhile: a front-end's messages are passed on there, and by nobody else. Each queue
 * pair belongs to one worker, which alone calls the vport_queue_*() and burst functions on it.
 * librte_vhost has a thread of its own: it sets rings up and takes them away, but only hands over:
 * the worker learns of it from vport_queue_sync(), and the thread waits (bounded) until the worker
 * has called vport_queue_release(). mbufs may be freed by any EAL thread.
 */
#ifndef VPORT_H
#define VPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rte_mbuf;
struct rte_mempool;

#define VPORT_MAX_QUEUES 64
#define VPORT_BURST 32
#define VPORT_HEAD_BYTES 256
#define VPORT_COPY_BYTES 512
/** Longest chain of descriptors, indirect ones included, that is accepted. */
#define VPORT_MAX_CHAIN 256

enum vport_kind {
	VPORT_VHOST_SERVER, /**< weir makes the socket and listens */
	VPORT_VHOST_CLIENT, /**< weir connects, again and again */
	VPORT_ETHDEV,       /**< a DPDK port by name */
};

/** What the guest has negotiated; the values equal L4X_OFFLOAD_*. */
#define VPORT_OFFLOAD_CSUM 0x01
#define VPORT_OFFLOAD_TSO4 0x02
#define VPORT_OFFLOAD_TSO6 0x04
#define VPORT_OFFLOAD_ECN 0x08

/*
 * X(enumerator, "name", "what happened"), D(...) the same of what was dropped; per queue pair,
 * written by its worker. What is about messages is the port's, and stands with the first pair.
 */
#define VPORT_COUNTERS(X, D)                                                                       \
	X(RX_PKTS, "vport-rx-pkts", "frames from the guest")                                       \
	X(RX_BYTES, "vport-rx-bytes", "bytes from the guest")                                      \
	X(TX_PKTS, "vport-tx-pkts", "frames to the guest")                                         \
	X(TX_BYTES, "vport-tx-bytes", "bytes to the guest")                                        \
	X(RX_ZERO_COPY, "vport-rx-zero-copy", "frames left in guest memory")                       \
	X(TX_ZERO_COPY, "vport-tx-zero-copy", "frames filled in guest memory")                     \
	X(CALLS, "vport-calls", "interrupts sent to the guest")                                    \
	X(CALL_FAILED, "vport-call-failed", "interrupts that could not be sent")                   \
	X(TX_NO_BUFFER, "vport-tx-no-buffer", "frames the guest had no buffer for")                \
	D(TX_TOO_BIG, "vport-tx-too-big",                                                          \
		"frames that did not fit the guest's buffer or offloads")                          \
	X(RX_NO_MBUF, "vport-rx-no-mbuf", "times the frame pool was empty")                        \
	X(RX_QUOTA, "vport-rx-quota",                                                              \
		"times frames waited: the guest's share of the pool was in use")                   \
	D(RX_PIECES, "vport-rx-pieces",                                                            \
		"frames in more pieces than the guest's share of the pool")                        \
	D(RX_BAD_HEADER, "vport-rx-bad-header", "frames with an impossible virtio-net header")     \
	D(RX_SHORT, "vport-rx-short", "chains without a whole frame")                              \
	D(RX_TOO_LONG, "vport-rx-too-long", "frames longer than an IP packet can be")              \
	D(RING_BAD_INDEX, "vport-ring-bad-index", "available index further than the ring is long") \
	D(RING_BAD_HEAD, "vport-ring-bad-head", "descriptor number outside the table")             \
	D(RING_BAD_ADDR, "vport-ring-bad-addr", "descriptor outside guest memory")                 \
	D(RING_BAD_CHAIN, "vport-ring-bad-chain", "chain looped, too long or with wrong flags")    \
	D(RING_BAD_INDIRECT, "vport-ring-bad-indirect", "malformed indirect table")                \
	D(RING_BUSY_HEAD, "vport-ring-busy-head", "descriptor offered again while in flight")      \
	D(MEMORY_LOST, "vport-memory-lost", "guest memory vanished under us")                      \
	X(QUEUE_STARTS, "vport-queue-starts", "times the queue pair was set up")                   \
	X(QUEUE_BROKEN, "vport-queue-broken", "times the queue pair was stopped for misbehaviour") \
	X(MSG_REFUSED, "vport-msg-refused", "messages of the front-end that were refused")         \
	X(FRONT_REFUSED, "vport-front-refused", "front-ends that were refused")

enum vport_counter {
#define X(e, name, help) VPORT_COUNT_##e,
	VPORT_COUNTERS(X, X)
#undef X
	VPORT_COUNTS,
};

struct vport_counter_info {
	const char *name;
	const char *help;
	uint8_t is_drop;
};
extern const struct vport_counter_info vport_counter_info[VPORT_COUNTS];

/**
 * How much of pools that are shared one queue pair may have in other hands, or keep for itself, at
 * a time, so that no guest can take them all. Read by workers at any time; whoever owns the pools
 * may change it.
 */
struct vport_quota {
	_Atomic uint32_t frames; /**< of pool, to receive into; a buffer for one frame always */
	_Atomic uint32_t exts;   /**< of ext_pool, in each direction */
};

struct vport_conf {
	enum vport_kind kind;
	const char *name;  /**< of the VM, for log lines */
	const char *path;  /**< socket, or name of the DPDK port */
	uint16_t n_queues; /**< queue pairs offered, 1 .. VPORT_MAX_QUEUES */
	uint16_t mtu;      /**< told to the guest (VIRTIO_NET_F_MTU is the front-end's to show) */
	uint64_t features_off; /**< virtio feature bits not to offer (tests, trouble-shooting) */
	int socket_id;
	uint8_t gateway_mac[6];   /**< of the frames that fill buffers which cannot be given back */
	struct rte_mempool *pool; /**< frames: 2 KiB data room */
	struct rte_mempool *ext_pool;    /**< external-buffer mbufs: no data room */
	const struct vport_quota *quota; /**< of the two pools; NULL: no limit */
	/**
	 * Wake the worker of a queue pair: vport_queue_sync() has news. Any thread.
	 */
	void (*wake)(void *arg, uint16_t queue);
	/** A line for the log: the guest connected, left, was stopped. Any thread; may be NULL. */
	void (*note)(void *arg, const char *text);
	void *arg;
};

struct vport;
struct vport_bell;
struct vport_queue;

/**
 * Make the port. For VPORT_VHOST_SERVER a stale socket at path is removed (nobody listens on it),
 * anything else there is an error.
 * @param err receives a line that says what is wrong and what to do, on failure
 * @return the port, or NULL with rte_errno set (EINVAL, EEXIST, EADDRINUSE, EACCES, ENOENT, ...)
 */
struct vport *vport_create(const struct vport_conf *conf, char *err, size_t err_size);
/** Begin to serve: from here on guests may connect. 0 or -errno, err as above. */
int vport_start(struct vport *vp, char *err, size_t err_size);
/**
 * Disconnect, remove the socket, wait until the workers have let go of the rings. Workers must be
 * running, or have released every queue pair. The port's queues stay valid (and idle) until
 * vport_destroy(), so that workers can go on polling them until they are told to stop. Again:
 * no-op.
 */
void vport_stop(struct vport *vp);
/** vport_stop() if that was not done, and free. No worker may poll its queues any more. */
void vport_destroy(struct vport *vp);

/**
 * What control has to do for a port while it serves: when the descriptor is readable (poll or
 * epoll, level-triggered), call vport_run(), which does not block. A front-end waits for the answer
 * to each message that long. -1 for a port that needs nothing. Valid until vport_destroy().
 */
int vport_fd(const struct vport *vp);
void vport_run(struct vport *vp);

struct vport_queue *vport_queue(struct vport *vp, uint16_t queue);

/** What the port looks like now. Any thread. */
struct vport_info {
	bool connected;    /**< a front-end is connected and has set up its first queue pair */
	uint64_t features; /**< negotiated virtio features (0 for an ethdev port) */
	uint32_t offloads; /**< VPORT_OFFLOAD_* */
	uint16_t n_queues; /**< queue pairs set up now */
	int guest_node;    /**< NUMA node of the guest's memory, -1 unknown */
};
void vport_info(const struct vport *vp, struct vport_info *info);
/** The number of queue pairs set up now, to be watched by any thread while the port lives. */
const _Atomic uint32_t *vport_live_queues(const struct vport *vp);

/**
 * With what a worker interrupts guests: no front-end can block it. NULL with rte_errno set where
 * the kernel has or grants no asynchronous I/O (ENOSYS, EAGAIN, EPERM, ENOTSUP), or ENOMEM.
 */
struct vport_bell *vport_bell_create(void);
void vport_bell_destroy(struct vport_bell *bell);

/** What a queue pair needs to have of the worker that owns it; outlives the port. */
struct vport_owner {
	/** Others have freed frames in guest memory, which wait to be completed. Any thread. */
	void (*wake)(void *arg);
	void *arg;
	struct vport_bell *bell; /**< NULL: a guest that is out to can block the worker */
};
/** By control, before the worker polls the queue pair for the first time. NULL: as before it. */
void vport_queue_own(struct vport_queue *q, const struct vport_owner *owner);

enum vport_sync {
	VPORT_SYNC_NONE,    /**< nothing has changed */
	VPORT_SYNC_STARTED, /**< the queue pair can be used; kick fd and offloads may be new ones */
	VPORT_SYNC_STOP,    /**< use it no more: free what was lent, then vport_queue_release() */
};
/** To be called in every iteration of the worker: one load when nothing has changed. */
enum vport_sync vport_queue_sync(struct vport_queue *q);
/**
 * After VPORT_SYNC_STOP: give the rings back. Call again in later iterations while it returns
 * false: mbufs in guest memory are still in somebody's hands.
 */
bool vport_queue_release(struct vport_queue *q);
/** The queue pair can be used (between STARTED and STOP, and not broken). */
bool vport_queue_ready(const struct vport_queue *q);

/** Frames from the guest. @return how many; they are the caller's */
uint16_t vport_rx_burst(struct vport_queue *q, struct rte_mbuf **frames, uint16_t n);
/**
 * Frames to the guest, in order. @return how many were taken (sent, or dropped as impossible and
 * counted); fewer than n: the guest has no buffers, the caller owns the rest
 */
uint16_t vport_tx_burst(struct vport_queue *q, struct rte_mbuf **frames, uint16_t n);
/**
 * Empty buffers to receive into: each a chain with room for one frame (or a part of one, see
 * vport_queue_mergeable()), data_off of the first segment leaving room for the port's own header,
 * data_len 0 in all.
 * More than half of what the guest has posted is kept back for vport_tx_burst() of other frames.
 */
uint16_t vport_lend(struct vport_queue *q, struct rte_mbuf **bufs, uint16_t n);
/**
 * True: several lent buffers may be chained to one frame. The first is filled from its data_off on,
 * the payload of each further one begins at data_off 0 (set it so: where the port keeps its header,
 * a later buffer has payload), and all segments but the last are filled to their end. A frame laid
 * out in another way is copied. False: one buffer, one frame.
 */
bool vport_queue_mergeable(const struct vport_queue *q);
/** End of a burst: publish what was completed and sent, interrupt the guest at most once a ring. */
void vport_queue_flush(struct vport_queue *q);

/**
 * Before sleeping: have the guest kick. @return true if there is work already: do not sleep.
 * An unarmed queue is polled and the guest does not kick. One that is idle may stay armed while
 * others have work, and be armed again before the next sleep: that costs a look at its indices.
 */
bool vport_queue_arm(struct vport_queue *q);
void vport_queue_disarm(struct vport_queue *q);
/** eventfds to sleep on (guest tx; guest rx refilled), -1 if there is none. Valid until STOP. */
int vport_queue_kick_fd(const struct vport_queue *q, bool guest_tx);
/** True while it must be looked at though nothing would tell of work. */
bool vport_queue_must_poll(const struct vport_queue *q);
/**
 * A system call on a buffer of this queue pair said EFAULT: its guest memory is gone. Stops the
 * queue pairs of that guest, as SIGBUS does. By its worker.
 */
void vport_queue_memory_lost(struct vport_queue *q);
/** VPORT_COUNTS counters; readable from any thread (relaxed). */
const uint64_t *vport_queue_counters(const struct vport_queue *q);

/**
 * Install the process's SIGBUS handler, once, before the first port is started: a fault inside a
 * port's guest memory is backed by a zero page and breaks that port's queues; any other SIGBUS
 * takes its usual course. 0 or -errno.
 */
int vport_sigbus_install(void);

#endif
