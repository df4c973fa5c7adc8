/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * A vhost-user front-end for tests: what QEMU and a guest's virtio-net driver do together.
 *
 * Theory of operation. A struct vhu holds one connection, one guest memory (a memfd, cut into one
 * or more regions with gaps between them in guest-physical space) and split rings. vhu_open() does
 * all that a well-behaved front-end does; each step is a function of its own, and any raw message
 * may be sent, so that a test can leave out, repeat or spoil every one of them. The structures are
 * open: a test may write descriptors, indices and memory as it likes.
 *
 * The back-end is trusted in nothing: what it puts into the used rings is checked, and the first
 * violation is kept as text (vhu_violation()). Every wait is bounded. While it waits, the front-end
 * calls conf.idle, so that a back-end which is polled by the same thread makes progress.
 *
 * Chains made by vhu_tx() and vhu_rx_post() lie in guest memory of their own, segments apart from
 * each other by guard bytes that are checked when the chain comes back.
 *
 * Threads: an instance belongs to one thread; there may be any number of them.
 */
#ifndef VHU_H
#define VHU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <sys/types.h>

#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>

#define VHU_MAX_PAIRS 16
#define VHU_MAX_RINGS (2 * VHU_MAX_PAIRS)
#define VHU_MAX_REGIONS 8
#define VHU_MAX_FDS 32
#define VHU_MAX_PAYLOAD 4096
#define VHU_MAX_SEGS 256
/** Guest memory is given out in blocks of this size. */
#define VHU_BLOCK_BYTES 512
#define VHU_GUARD 0xa5

/** Feature bits by mask. */
#define VHU_F(bit) (UINT64_C(1) << (bit))
#define VHU_F_LOG_ALL VHU_F(26)
#define VHU_F_PROTOCOL VHU_F(30)
#define VHU_F_VERSION_1 VHU_F(32)
#define VHU_F_EVENT_IDX VHU_F(29)
#define VHU_F_INDIRECT VHU_F(28)
#define VHU_F_CSUM VHU_F(VIRTIO_NET_F_CSUM)
#define VHU_F_GUEST_CSUM VHU_F(VIRTIO_NET_F_GUEST_CSUM)
#define VHU_F_MRG_RXBUF VHU_F(VIRTIO_NET_F_MRG_RXBUF)
#define VHU_F_GUEST_TSO (VHU_F(VIRTIO_NET_F_GUEST_TSO4) | VHU_F(VIRTIO_NET_F_GUEST_TSO6))
#define VHU_F_HOST_TSO (VHU_F(VIRTIO_NET_F_HOST_TSO4) | VHU_F(VIRTIO_NET_F_HOST_TSO6))
#define VHU_F_ECN (VHU_F(VIRTIO_NET_F_GUEST_ECN) | VHU_F(VIRTIO_NET_F_HOST_ECN))
#define VHU_F_MTU VHU_F(VIRTIO_NET_F_MTU)
#define VHU_F_STATUS VHU_F(VIRTIO_NET_F_STATUS)
#define VHU_F_MQ VHU_F(VIRTIO_NET_F_MQ)
/** What a Linux guest under QEMU takes if it is offered. */
#define VHU_FEATURES_LINUX                                                                  \
	(VHU_F_PROTOCOL | VHU_F_VERSION_1 | VHU_F_EVENT_IDX | VHU_F_INDIRECT | VHU_F_CSUM | \
		VHU_F_GUEST_CSUM | VHU_F_MRG_RXBUF | VHU_F_GUEST_TSO | VHU_F_HOST_TSO |     \
		VHU_F_ECN | VHU_F_MTU | VHU_F_STATUS | VHU_F_MQ)

enum vhu_protocol_bit {
	VHU_PF_MQ = 0,
	VHU_PF_LOG_SHMFD = 1,
	VHU_PF_RARP = 2,
	VHU_PF_REPLY_ACK = 3,
	VHU_PF_NET_MTU = 4,
	VHU_PF_BACKEND_REQ = 5,
	VHU_PF_INFLIGHT_SHMFD = 12,
	VHU_PF_RESET_DEVICE = 13,
	VHU_PF_CONFIGURE_MEM_SLOTS = 15,
	VHU_PF_STATUS = 16,
};

enum vhu_request {
	VHU_GET_FEATURES = 1,
	VHU_SET_FEATURES = 2,
	VHU_SET_OWNER = 3,
	VHU_RESET_OWNER = 4,
	VHU_SET_MEM_TABLE = 5,
	VHU_SET_LOG_BASE = 6,
	VHU_SET_LOG_FD = 7,
	VHU_SET_VRING_NUM = 8,
	VHU_SET_VRING_ADDR = 9,
	VHU_SET_VRING_BASE = 10,
	VHU_GET_VRING_BASE = 11,
	VHU_SET_VRING_KICK = 12,
	VHU_SET_VRING_CALL = 13,
	VHU_SET_VRING_ERR = 14,
	VHU_GET_PROTOCOL_FEATURES = 15,
	VHU_SET_PROTOCOL_FEATURES = 16,
	VHU_GET_QUEUE_NUM = 17,
	VHU_SET_VRING_ENABLE = 18,
	VHU_SEND_RARP = 19,
	VHU_NET_SET_MTU = 20,
	VHU_SET_BACKEND_REQ_FD = 21,
	VHU_GET_INFLIGHT_FD = 31,
	VHU_SET_INFLIGHT_FD = 32,
	VHU_RESET_DEVICE = 34,
	VHU_GET_MAX_MEM_SLOTS = 36,
	VHU_ADD_MEM_REG = 37,
	VHU_REM_MEM_REG = 38,
	VHU_SET_STATUS = 39,
	VHU_GET_STATUS = 40,
};

#define VHU_MSG_VERSION 0x1u
#define VHU_MSG_REPLY 0x4u
#define VHU_MSG_NEED_REPLY 0x8u

/** Payload of SET_VRING_NUM, SET_VRING_BASE, GET_VRING_BASE, SET_VRING_ENABLE. */
struct vhu_vring_state {
	uint32_t index, num;
};

/** Payload of SET_VRING_ADDR. Addresses are the front-end's own, log is guest-physical. */
struct vhu_vring_addr {
	uint32_t index, flags;
	uint64_t desc, used, avail, log;
};

struct vhu_mem_region {
	uint64_t gpa, bytes, uva, offset;
};

/** Payload of SET_MEM_TABLE. */
struct vhu_mem_table {
	uint32_t n, padding;
	struct vhu_mem_region regions[VHU_MAX_REGIONS];
};

struct vhu;

struct vhu_conf {
	const char *path;  /**< UNIX socket */
	bool listen;       /**< be the server: for a back-end in client mode */
	int timeout_ms;    /**< bound of each wait for the back-end; 0: 5000 */
	uint64_t features; /**< wanted; negotiated is what is offered of them. 0: VHU_FEATURES_LINUX
			    */
	uint64_t protocol_features; /**< the same; 0: MQ and REPLY_ACK. VHU_NO_PROTOCOL: none */
	unsigned int pairs;         /**< queue pairs, 0: 1 */
	unsigned int ring_size;     /**< 0: 256 */
	size_t mem_bytes;           /**< guest memory, 0: 64 MiB */
	unsigned int regions;       /**< it is cut into, 0: 1 */
	bool busy;                  /**< poll the rings instead of waiting for calls */
	/** Called while it waits, about every millisecond (busy: all the time); NULL: nothing. */
	void (*idle)(void *arg);
	void *idle_arg;
};
#define VHU_NO_PROTOCOL (UINT64_C(1) << 63)

/** A chain that is in the back-end's hands, by its head descriptor. */
struct vhu_chain {
	uint8_t *table; /**< its indirect table, or NULL */
	size_t table_bytes;
	uint8_t *data; /**< guest memory that goes when the chain comes back, or NULL */
	size_t data_bytes;
	uint16_t n_desc; /**< descriptors of the ring's table it takes; 0: head is not in use */
	uint16_t n_segs;
	bool indirect;
	bool rx;
	bool repost; /**< put it back when its frame was taken */
	struct vhu_seg {
		uint8_t *data;
		uint32_t len;
	} * segs;
};

struct vhu_ring {
	unsigned int index, size;
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	uint16_t avail_idx; /**< next avail index: heads before it are in the ring */
	uint16_t published; /**< avail->idx as the back-end sees it */
	uint16_t last_used;
	int kick_fd, call_fd, err_fd;
	uint16_t *free_ids;
	unsigned int n_free;
	struct vhu_chain *chains; /**< size entries */
	bool started, enabled;
	uint64_t kicks;      /**< kicks written */
	uint64_t calls;      /**< calls read */
	uint64_t lost_calls; /**< waits that ended by the clock with work in the ring */
	uint64_t used_chains;
};

struct vhu {
	struct vhu_conf conf;
	char path[108];
	int listen_fd, sock;
	int backend_req_fd; /**< our end of the back-end's request channel, -1: none */
	uint64_t offered, features;
	uint64_t protocol_offered, protocol;
	unsigned int max_pairs; /**< told by the back-end */
	int mem_fd;
	uint8_t *mem;
	size_t mem_bytes;
	struct vhu_mem_table table;
	uint8_t *block_used; /**< one per block of guest memory */
	size_t n_blocks, next_block;
	struct vhu_ring rings[VHU_MAX_RINGS];
	unsigned int n_rings;
	unsigned int hdr_bytes; /**< 12 or 10, of the vnet header */
	int log_fd;
	uint8_t *log;
	size_t log_bytes;
	uint8_t *frame; /**< where vhu_rx_poll() assembles */
	char violation[256];
	int status; /**< last status of REPLY_ACK that was not 0 */
};

/** SET_VRING_KICK, _CALL, _ERR: beside the ring's number, no descriptor comes with it. */
#define VHU_VRING_NOFD 0x100

#define VHU_RX(pair) (2 * (pair))
#define VHU_TX(pair) (2 * (pair) + 1)
/** vhu_rx_poll(): look at all queue pairs. */
#define VHU_ANY UINT32_MAX

/** How bytes lie in descriptors. */
struct vhu_shape {
	const size_t *split; /**< rising offsets (vnet header included) where a descriptor begins */
	unsigned int n_split;
	bool indirect; /**< one descriptor that points to a table of them */
};

/** A frame from the back-end. Valid until the next vhu_rx_poll() of the instance. */
struct vhu_frame {
	struct virtio_net_hdr_mrg_rxbuf hdr;
	uint8_t *data;
	size_t len;
	unsigned int pair;
	unsigned int n_buffers;
};

/* ---- all in one ---- */

/** Make, connect, negotiate, memory, rings, start and enable. NULL with errno set. */
struct vhu *vhu_open(const struct vhu_conf *conf);
/** Disconnect, and free all. NULL is fine. */
void vhu_close(struct vhu *v);
/** The first thing the back-end did wrong, or NULL. */
const char *vhu_violation(const struct vhu *v);
/** Sum of lost_calls of all rings. */
uint64_t vhu_lost_calls(const struct vhu *v);

/* ---- the steps of it; 0 or -errno (-ETIMEDOUT, -ECONNRESET, -EPROTO: refused by REPLY_ACK) ----
 */

/** Memory and rings, not connected. NULL with errno set. */
struct vhu *vhu_new(const struct vhu_conf *conf);
int vhu_connect(struct vhu *v);
/** Features, protocol features, number of queues, owner, back-end channel. */
int vhu_negotiate(struct vhu *v);
int vhu_set_features(struct vhu *v, uint64_t features);
int vhu_set_mem(struct vhu *v);
/** NUM, BASE, ADDR, KICK, CALL of one ring, with fresh eventfds if it has none. */
int vhu_ring_start(struct vhu *v, unsigned int ring);
/** GET_VRING_BASE. @param base receives the index; may be NULL */
int vhu_ring_stop(struct vhu *v, unsigned int ring, uint32_t *base);
int vhu_ring_enable(struct vhu *v, unsigned int ring, bool on);
/** Memory table, then every ring started and enabled. */
int vhu_start(struct vhu *v);
/** GET_VRING_BASE of every ring that was started. */
int vhu_stop(struct vhu *v);
/** Close the connection; rings and memory stay. */
void vhu_disconnect(struct vhu *v);
/** Connect, negotiate and start again; rings go on at what was used. */
int vhu_reconnect(struct vhu *v);
/** The ring as after a reset of the device: empty, its chains forgotten. The back-end is not told.
 */
void vhu_ring_clear(struct vhu *v, unsigned int ring);
/** The guest was reset: stop, clear all rings, take other features, start. */
int vhu_reset(struct vhu *v, uint64_t features);
/** The dirty log: SET_LOG_BASE, LOG_ALL, and ring addresses with logging; one bit per page of 4096.
 */
int vhu_log_start(struct vhu *v);
int vhu_log_stop(struct vhu *v);
bool vhu_log_dirty(const struct vhu *v, uint64_t gpa);

/* ---- raw messages ---- */

/** @param flags without version; 0 or VHU_MSG_NEED_REPLY. 0 or -errno */
int vhu_send(struct vhu *v, uint32_t request, uint32_t flags, const void *payload, uint32_t size,
	const int *fds, unsigned int n_fds);
/** Bytes as they are, e.g. half a header or a size that lies. 0 or -errno */
int vhu_send_bytes(
	struct vhu *v, const void *bytes, size_t len, const int *fds, unsigned int n_fds);
/**
 * A reply.
 * @param fds receives file descriptors, -1 where none; may be NULL
 * @return length of the payload, or -ETIMEDOUT, -ECONNRESET, -EPROTO
 */
ssize_t vhu_recv(struct vhu *v, uint32_t *request, uint32_t *flags, void *payload, size_t max,
	int *fds, unsigned int n_fds);
/** Send; with REPLY_ACK negotiated ask for and take the status. 0 or -errno */
int vhu_send_ack(struct vhu *v, uint32_t request, const void *payload, uint32_t size,
	const int *fds, unsigned int n_fds);
/** A request that is answered by 64 bits. 0 or -errno */
int vhu_get_u64(struct vhu *v, uint32_t request, uint64_t *value);
int vhu_set_u64(struct vhu *v, uint32_t request, uint64_t value);
/** Wait until the back-end has closed the connection. True if it did within the time. */
bool vhu_closed_by_peer(struct vhu *v, int timeout_ms);

/* ---- guest memory ---- */

/** @return guest memory, blocks of VHU_BLOCK_BYTES, or NULL */
void *vhu_alloc(struct vhu *v, size_t bytes);
void vhu_free(struct vhu *v, void *mem, size_t bytes);
uint64_t vhu_gpa(const struct vhu *v, const void *ptr);
/** Guest-physical address that no region holds (in the gap after a region, or past the last). */
uint64_t vhu_gpa_hole(const struct vhu *v);

/* ---- rings ---- */

/**
 * Fill a chain by hand: takes descriptors, writes the table (or an indirect one).
 * @param flags VRING_DESC_F_WRITE for receive buffers
 * @return head, or -ENOBUFS
 */
int vhu_ring_chain(struct vhu *v, struct vhu_ring *r, const struct vhu_seg *segs,
	unsigned int n_segs, uint16_t flags, bool indirect);
/** Put a head (any number) into avail, not yet published. */
void vhu_ring_avail(struct vhu_ring *r, uint16_t head);
/** Publish what is in avail, and kick if the back-end wishes. @return true if it was kicked */
bool vhu_ring_publish(struct vhu *v, struct vhu_ring *r);
/** Write the kick, wished for or not. */
void vhu_ring_kick(struct vhu_ring *r);
/** An element of used, taken; its descriptors are free again if they were ours. @return 1, 0: none
 */
int vhu_ring_used(struct vhu *v, struct vhu_ring *r, struct vring_used_elem *elem);
/** Wait until used has an element. */
bool vhu_ring_wait_used(struct vhu *v, struct vhu_ring *r, int timeout_ms);
/** Chains in the back-end's hands. */
unsigned int vhu_ring_in_flight(const struct vhu_ring *r);

/* ---- frames ---- */

/**
 * Queue a frame, without publishing it.
 * @param hdr vnet header, NULL: zero
 * @param shape NULL: one descriptor
 * @return 0, -ENOBUFS (ring or memory full), -EINVAL
 */
int vhu_tx_queue(struct vhu *v, unsigned int pair, const struct virtio_net_hdr *hdr,
	const void *frame, size_t len, const struct vhu_shape *shape);
/** Publish what was queued. */
void vhu_tx_flush(struct vhu *v, unsigned int pair);
/** Queue and publish; waits (bounded) for room. 0 or -errno */
int vhu_tx(struct vhu *v, unsigned int pair, const struct virtio_net_hdr *hdr, const void *frame,
	size_t len, const struct vhu_shape *shape);
/** Take back what was sent. @return how many */
unsigned int vhu_tx_reap(struct vhu *v, unsigned int pair);
/** Wait until all that was sent has come back. True if it has. */
bool vhu_tx_drain(struct vhu *v, unsigned int pair, int timeout_ms);

/**
 * Post receive buffers and publish them.
 * @param bytes room of each, vnet header included
 * @param shape of each, NULL: one descriptor
 * @param repost put each back when its frame has been taken
 * @return how many were posted
 */
unsigned int vhu_rx_post(struct vhu *v, unsigned int pair, size_t bytes, unsigned int count,
	const struct vhu_shape *shape, bool repost);
/** @return 1: a frame; 0: none in time; -EPROTO: the back-end broke the ring (vhu_violation()) */
int vhu_rx_poll(struct vhu *v, unsigned int pair, int timeout_ms, struct vhu_frame *frame);

/** Monotonic clock, for bounds. */
uint64_t vhu_now_ms(void);
void vhu_sleep_ms(unsigned int ms);

#endif
