/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * What the files of the bridge share. Who does what:
 *   bridge.c         life, records, the iteration: who is served next
 *   bridge_op.c      operations: who carries them out
 *   bridge_call.c    socket calls of several flows, carried out together
 *   bridge_event.c   lists of records, events to workers
 *   bridge_lend.c    ports: lent buffers, steering
 *   bridge_tcp.c     open, adopt, connected, shut, close
 *   bridge_send.c    TCP, guest -> socket: SEND, and what SENT tells
 *   bridge_plan.c    TCP, socket -> guest: a read laid out over lent buffers
 *   bridge_read.c    TCP, socket -> guest: DATA, ACK, REWIND
 *   bridge_dgram.c   UDP and ping sockets: open, send
 *   bridge_dgram_rx.c  ... receive
 *   bridge_err.c     error queues
 *   listen.c         listeners
 */
#ifndef BRIDGE_PRIV_H
#define BRIDGE_PRIV_H

#include "bridge.h"

#include <errno.h>
#include <liburing.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <rte_branch_prediction.h>
#include <rte_mbuf.h>

#include "sock.h"
#include "vport_lines.h"

/** Handles with this owner are the bridge's own: the index is a listener's number. */
#define BRIDGE_OWNER_LISTENER 0xff

/** Most iovecs of one call (UIO_MAXIOV). */
#define BRIDGE_IOV 1024
/** Calls that are carried out together, at most. */
#define BRIDGE_CALLS 64
/** Operations taken from one worker's ring at a time. */
#define BRIDGE_OP_BURST 64
#define BRIDGE_EPOLL_BURST 128
/** While operations keep it busy, the bridge asks the epoll set at most this often. */
#define BRIDGE_EPOLL_US 10
/**
 * Bytes read from TCP sockets in one iteration, by those of a worker that are ready, and by those
 * that waited for buffers; a turn more at most. All else waits meanwhile.
 */
#define BRIDGE_READ_BYTES (1024u << 10)
/** Bytes read from one before the next has its turn; one alone reads on, for it is cheapest. */
#define BRIDGE_TURN_BYTES (256u << 10)
/** What a read is laid out for, at least: more costs more to lay out than it is worth. */
#define BRIDGE_READ_LEAST 2048u
/** Frames read from one socket in one call. */
#define BRIDGE_READ_FRAMES 256
/** Room for events before a socket is read. */
#define BRIDGE_READ_ROOM BRIDGE_READ_FRAMES
/** A read of more buffers than that is carried out by itself: its copying is what costs. */
#define BRIDGE_READ_FEW 8
/** Acknowledged bytes that are left in a socket, to consume more of them with one call ... */
#define BRIDGE_CONSUME_BYTES (64u << 10)
/** ... while a peer on this host has filled it. */
#define BRIDGE_CONSUME_LOCAL (1024u << 10)
/** Room for events below which the ring is looked at again: half of it. */
#define BRIDGE_ROOM_PLENTY 2048u
/** Datagrams taken with one call. */
#define BRIDGE_DGRAMS 32u
/** Largest message that a datagram socket can hand over. */
#define BRIDGE_MSG_BYTES 65536u
/** The scratch area: what one call takes out of a stream, or reads over again. */
#define BRIDGE_DISCARD_BYTES (BRIDGE_DGRAMS * BRIDGE_MSG_BYTES)
/** Lent buffers of one queue pair that are in the bridge's hands: a lender's ring full. */
#define BRIDGE_HELD 1024u
#define BRIDGE_LENDERS 8192
/** Accepted connections that no worker has adopted yet. */
#define BRIDGE_TOKENS 1024
/** Pause after a socket was refused for want of file descriptors or memory. */
#define BRIDGE_BACKOFF_US 100000

/**
 * What a record is, and what is allowed:
 *   FREE        nothing but OPEN and ADOPT
 *   CONNECTING  TCP: connect() is under way; CLOSE
 *   STREAM      TCP: connected; all but OPEN and ADOPT
 *   DGRAM       UDP: DGRAM, CLOSE
 *   PING        ICMP, ICMPv6: DGRAM, CLOSE
 *   FAILED      no socket any more: ERROR was told, or is due; CLOSE
 */
enum bridge_kind {
	BRIDGE_FREE = 0,
	BRIDGE_CONNECTING,
	BRIDGE_STREAM,
	BRIDGE_DGRAM,
	BRIDGE_PING,
	BRIDGE_FAILED,
};

/* What is known of a socket. */
#define REC_READABLE 0x0001u    /* no read has said EAGAIN since the last edge */
#define REC_URGENT 0x0002u      /* there was urgent data, at which a read stops short */
#define REC_PEER_CLOSED 0x0004u /* EPOLLRDHUP was seen */
#define REC_EOF_TOLD 0x0008u
#define REC_REMOTE 0x0010u      /* the peer is on another machine */
#define REC_SHUT_WANTED 0x0020u /* SHUT once `taken` has come to shut_off */
#define REC_SHUT_DONE 0x0040u
#define REC_WAIT_OUT 0x0080u  /* little space was told: EPOLLOUT is to be told */
#define REC_SHORT 0x0100u     /* SENT is to say L4X_SENT_SHORT */
#define REC_ASK 0x0200u       /* the kernel is to be asked before SENT is told */
#define REC_ERRQ 0x0400u      /* DGRAM, PING: the error queue may hold something */
#define REC_NO_GSO 0x0800u    /* UDP_SEGMENT was refused */
#define REC_CONSUME 0x1000u   /* bytes acknowledged are to be consumed */
#define REC_NAMED 0x4000u     /* CONNECTED is to tell the socket's own name */
#define REC_SERVED 0x8000u    /* it has waited for buffers, and it is its turn */
#define REC_DYING 0x2000u     /* it has failed with err; what has come before is read first */
#define REC_CALL 0x80000u     /* a call is gathered, see bridge_call.c */
#define REC_ADOPTED 0x100000u /* it was accepted */
/* What is due to be told, in this order. */
#define REC_DUE_CONNECTED 0x10000u
#define REC_DUE_SENT 0x20000u
#define REC_DUE_ERROR 0x40000u
#define REC_DUE (REC_DUE_CONNECTED | REC_DUE_SENT | REC_DUE_ERROR)
/* On which lists it is. */
#define REC_ON_DIRTY 0x1000000u
#define REC_ON_READY 0x2000000u
#define REC_ON_WAIT 0x4000000u /* the lender's list, by the links of the ready list */

/** "No record" in a link. */
#define BRIDGE_NIL UINT32_MAX

enum bridge_list_kind {
	BRIDGE_LIST_DIRTY, /**< something is due to be told */
	BRIDGE_LIST_READY, /**< to be read, or waiting for buffers to read into */
	BRIDGE_LISTS,
};

struct bridge_link {
	uint32_t prev, next; /**< record numbers */
};

struct bridge_list {
	uint32_t head, tail;
};

/** One socket. Offsets are those of l4x_msg.h. All zero: FREE. */
struct bridge_rec {
	uint64_t handle; /**< of the flow; 0: FREE */
	int fd;
	uint32_t flags; /**< REC_* */
	union {
		struct {
			uint64_t
				taken; /**< the socket has taken up to here of the guest's stream */
			uint64_t read_off;   /**< next byte to peek */
			uint64_t top;        /**< highest read_off ever: the guest knows no more */
			uint64_t consumed;   /**< bytes taken out of the socket */
			uint64_t acked;      /**< by the guest; consumed <= acked <= top */
			uint64_t limit;      /**< may be read up to here */
			uint64_t peer_acked; /**< REMOTE: acknowledged by the peer */
			uint32_t peer_wnd;   /**< REMOTE: its window, from peer_acked on */
			uint32_t shut_off;   /**< low bits: SENDs are never 4 GiB ahead */
			uint32_t space;      /**< free send buffer when last asked */
			uint32_t used;       /**< ... and what was sent since, with overhead */
			uint32_t frame_max;
			uint32_t rtt_us;
			uint32_t asked_us;   /**< when TCP_INFO was asked, low bits of now_us */
			uint16_t expect_kib; /**< what the next read is laid out for */
			uint8_t acked_base;  /**< tcpi_bytes_acked before any data: the SYN */
		};
		struct {
			struct flowtab_addr peer;
			rte_be16_t peer_port;
			uint8_t tos, ttl;  /**< as the socket has them now ... */
			uint8_t pmtud;     /**< ... IP_PMTUDISC_* + 1; 0: as it was made */
			uint16_t listener; /**< number + 1 of the one it is bound beside */
		} dgram;
	};
	uint8_t kind; /**< enum bridge_kind */
	uint8_t head_len;
	uint16_t err; /**< errno that DUE_ERROR tells */
	uint16_t pif;
	uint16_t lender; /**< number + 1; 0: none, pool mbufs are used */
	struct bridge_link link[BRIDGE_LISTS];
};
static_assert(sizeof(struct bridge_rec) <= 128, "a socket's record is two cache lines");
static_assert(BRIDGE_LENDERS < UINT16_MAX, "a lender's number fits a record");
static_assert(BRIDGE_LISTENERS <= UINT16_MAX, "so does a listener's, + 1");

/** What the bridge knows of one worker. */
struct bridge_worker {
	struct chan *chan;
	struct bridge_rec *recs; /**< max_flows, mapped lazily */
	uint32_t used;           /**< records from here on were never used */
	struct bridge_list dirty, ready;
	uint32_t recalls; /**< chan->recalls as it was when lenders were looked at last */
	uint32_t room;    /**< free places in the event ring, at least, staged ones taken off */
	uint32_t kept;    /**< ... of these, for what reads that are gathered may tell */
	uint32_t n_staged;
	bool told; /**< events were enqueued in this iteration: ring the waker */
	struct l4x_event staged[32];
};

/** Lent buffers of one queue pair, in the order in which they came. */
struct bridge_lender {
	struct lender *l;
	struct bridge_list wait; /**< sockets that found no buffer */
	uint32_t first, count;   /**< the ones held: held[first .. first+count) */
	struct rte_mbuf **held;
};

struct bridge_port {
	const struct l4x_port_conf *conf;
	uint16_t *lenders; /**< by queue: number + 1; L4X_MAX_QUEUES */
};

struct bridge_listener {
	struct bridge_listen spec;
	int fd;        /**< -1: free */
	uint32_t next; /**< fd -1: the next free one, number + 1 */
	uint32_t at;   /**< ready: its place in ready_listeners */
	bool ready;
	bool dual;         /**< AF_INET6 socket for both families */
	uint32_t n_flows;  /**< UDP: sockets of flows that are bound beside it */
	uint64_t pause_us; /**< not before this */
};

struct bridge_token {
	int fd; /**< -1: free */
	uint16_t generation;
	uint16_t pif;
	struct flowtab_addr peer, local;
};

/** Sockets that wait for a flow: a SYN need not wait for the calls that make one. */
struct bridge_spares {
	uint32_t n, wanted;
	int fds[BRIDGE_SPARES];
};

/** One frame of a read: how many lent buffers it is laid over. */
struct bridge_frame {
	uint16_t heads;
	uint32_t bytes;
};

/** A read that is laid out over lent buffers. */
struct bridge_plan {
	struct bridge_lender *bl;
	struct rte_mbuf **heads; /**< the buffers, taken out of the lender's */
	struct bridge_frame *frames;
	uint32_t n_heads, n_frames;
	uint32_t bytes; /**< payload that fits */
	uint32_t skip;  /**< bytes in front of it that were read before */
	bool mergeable;
	uint8_t head_len;
};

enum bridge_call_kind {
	BRIDGE_CALL_SEND,
	BRIDGE_CALL_DGRAM,
	BRIDGE_CALL_DISCARD,
	BRIDGE_CALL_PEEK,
};

/** A socket call of a flow: its message is that of the same number in struct bridge_calls. */
struct bridge_call {
	uint64_t handle; /**< r->handle when it was gathered */
	struct bridge_rec *r;
	int fd;
	int ret;        /**< what the call has returned, or -errno */
	uint32_t bytes; /**< SEND, DISCARD: how many are meant */
	uint8_t kind;   /**< enum bridge_call_kind */
	uint16_t seg;   /**< DGRAM: UDP_SEGMENT's, 0: one datagram */
	struct bridge_plan plan;
};

/** What is gathered, and what it refers to. */
struct bridge_calls {
	uint32_t n, n_iov, n_heads;
	unsigned int told; /**< events, by calls that made room for others */
	struct bridge_call call[BRIDGE_CALLS];
	struct mmsghdr msgs[BRIDGE_CALLS];
	union {
		char buf[CMSG_SPACE(sizeof(uint16_t))];
		struct cmsghdr align;
	} control[BRIDGE_CALLS]; /**< UDP_SEGMENT */
	struct iovec iov[2 * BRIDGE_IOV];
	struct rte_mbuf *heads[2 * BRIDGE_READ_FRAMES];
	struct bridge_frame frames[2 * BRIDGE_READ_FRAMES]; /**< from the same place on as heads */
	bool together;                                      /**< by the ring */
	struct io_uring ring;
};
static_assert(2 * BRIDGE_READ_FRAMES + BRIDGE_READ_FRAMES <= BRIDGE_HELD,
	"what calls have taken of a lender's buffers can be put back");

/** Free send buffer of a fresh socket, and when it was asked. */
struct bridge_fresh {
	uint32_t space;
	uint64_t us;
};

struct bridge {
	struct bridge_params p;
	uint64_t now_us;
	uint64_t epoll_us; /**< when the epoll set was asked last */
	uint64_t pause_us; /**< earliest end of a listener's pause, or UINT64_MAX */
	int epoll_fd;
	uint32_t read_left;     /**< of BRIDGE_READ_BYTES */
	bool lowat_off;         /**< the host had no tcp_notsent_lowat at the start */
	bool paces;             /**< the host's congestion control did at the start (BBR) */
	bool epoll_now;         /**< ask at once: a connect() may have succeeded already */
	bool waits;             /**< some record may wait for buffers */
	uint32_t first_lender;  /**< whose turn to be looked at first it is */
	uint32_t n_lenders;     /**< lenders[] from here on were never used */
	uint32_t n_listeners;   /**< likewise */
	uint32_t free_listener; /**< number + 1 of one of those before, 0: none */
	uint32_t n_ready_listeners;
	uint32_t n_free_tokens;
	struct bridge_worker *workers;
	struct bridge_lender *lenders;
	struct bridge_port *ports;
	struct bridge_listener *listeners; /**< BRIDGE_LISTENERS, mapped lazily */
	uint16_t *ready_listeners;         /**< their numbers */
	struct bridge_token *tokens;
	uint16_t *free_tokens;
	struct bridge_spares spares[BRIDGE_FAMILIES];
	struct bridge_fresh fresh[2]; /**< towards this host: opened, accepted */
	uint8_t *scratch;             /**< BRIDGE_DISCARD_BYTES, mapped lazily */
	struct iovec *iov;            /**< BRIDGE_IOV, of calls that are carried out at once */
	struct bridge_calls *calls;
	uint64_t counters[BRIDGE_COUNTS];
};

static inline void
bridge_count(struct bridge *b, enum bridge_counter c, uint64_t n)
{
	__atomic_store_n(&b->counters[c], b->counters[c] + n, __ATOMIC_RELAXED);
}

static inline struct bridge_worker *
bridge_rec_worker(struct bridge *b, const struct bridge_rec *r)
{
	return &b->workers[flowtab_handle_owner(r->handle)];
}

static inline bool
bridge_errno_is_limit(int err)
{
	return err == EMFILE || err == ENFILE || err == ENOBUFS || err == ENOMEM;
}

/* ---- bridge.c ---- */

/** The record of a live handle, or NULL (counted as stale). */
struct bridge_rec *bridge_rec_find(struct bridge *b, uint64_t handle);
/** A fresh record for the handle, zero but for handle, fd -1 and kind FAILED; NULL: out of range.
 */
struct bridge_rec *bridge_rec_take(struct bridge *b, uint64_t handle);
/** Close the socket, if there is one, and forget the record. */
void bridge_rec_drop(struct bridge *b, struct bridge_rec *r, bool reset);
/** A socket's turn to be read, which bridge_calls_run() ends. @return how much was done so far */
unsigned int bridge_read(struct bridge *b, struct bridge_rec *r);
/** Register the socket in the epoll set. 0 or -errno. */
int bridge_rec_watch(struct bridge *b, struct bridge_rec *r);
/** The socket is useless: close it, tell ERROR. err: positive errno. */
void bridge_rec_fail(struct bridge *b, struct bridge_rec *r, int err);
/** After a failed send or receive: EFAULT is counted, and the flow fails. */
void bridge_rec_fail_io(struct bridge *b, struct bridge_rec *r, int err);
/** After socket() or accept() failed: count why. */
void bridge_count_socket_error(struct bridge *b, int err);

/* ---- bridge_op.c ---- */

/** Carry out what the worker has asked for. @return number of operations */
unsigned int bridge_ops_poll(struct bridge *b, struct bridge_worker *w);

/* ---- bridge_call.c ---- */

/** 0 or -errno */
int bridge_calls_init(struct bridge *b);
void bridge_calls_fini(struct bridge *b);
/** Have room for the calls of one read or run of SENDs; what was gathered may be carried out. */
void bridge_calls_reserve(struct bridge *b);
/** Where the next call's iovecs are to be laid out; room for BRIDGE_IOV. */
static inline struct iovec *
bridge_calls_iov(const struct bridge *b)
{
	return &b->calls->iov[b->calls->n_iov];
}
/**
 * A call more, with so many of these iovecs. Until it is over, bridge_rec_settle() comes before
 * anything else that is done with the record's socket.
 */
struct bridge_call *bridge_call_add(
	struct bridge *b, struct bridge_rec *r, enum bridge_call_kind kind, uint32_t n_iov);
/** Carry out what is gathered. @return events told since it was last called */
unsigned int bridge_calls_run(struct bridge *b);
/** The same, where more may be gathered: bridge_calls_run() counts these events as well. */
static inline void
bridge_calls_flush(struct bridge *b)
{
	b->calls->told = bridge_calls_run(b);
}
/** Before anything else is done with a record: what is gathered of it is carried out. */
static inline void
bridge_rec_settle(struct bridge *b, const struct bridge_rec *r)
{
	if (unlikely(r->flags & REC_CALL))
		bridge_calls_flush(b);
}

/* ---- bridge_event.c ---- */

void bridge_list_init(struct bridge_list *l);
void bridge_list_push(
	struct bridge *b, struct bridge_list *l, enum bridge_list_kind kind, struct bridge_rec *r);
void bridge_list_remove(
	struct bridge *b, struct bridge_list *l, enum bridge_list_kind kind, struct bridge_rec *r);
/** The first of the list, removed; NULL: empty. */
struct bridge_rec *bridge_list_pop(
	struct bridge *b, struct bridge_list *l, enum bridge_list_kind kind);
/** Put it on its worker's ready list, unless it waits for buffers and has no error to tell. */
void bridge_ready(struct bridge *b, struct bridge_rec *r);
/** Something is due (REC_DUE_*): on the dirty list. */
void bridge_due(struct bridge *b, struct bridge_rec *r, uint32_t due);
/** Off all lists. */
void bridge_unlist(struct bridge *b, struct bridge_rec *r);

/** Places in the worker's event ring that are free for certain, and kept for nobody. */
uint32_t bridge_room(struct bridge_worker *w);
/** The next event of the worker, zeroed but for its bridge. There must be room. */
struct l4x_event *bridge_event(struct bridge *b, struct bridge_worker *w, uint8_t type);
/** Tell what is due, as far as there is room. @return number of events */
unsigned int bridge_tell(struct bridge *b, struct bridge_worker *w);
/** Enqueue what is staged, and wake the worker. */
void bridge_flush(struct bridge *b, struct bridge_worker *w);

/* ---- bridge_lend.c ---- */

/** Number + 1 of the lender of a queue pair, or 0. */
uint16_t bridge_lender_number(const struct bridge *b, uint16_t pif, uint8_t queue);
struct bridge_lender *bridge_rec_lender(struct bridge *b, const struct bridge_rec *r);
/**
 * The lender to read into: the record's, or, if the guest has given that queue pair up, another of
 * the guest's, best one that the flow's worker polls; it becomes the record's, which must not wait
 * for the old one.
 */
struct bridge_lender *bridge_rec_lender_in_use(struct bridge *b, struct bridge_rec *r);
/** The guest uses another queue pair for the flow now: what is read next goes there. */
void bridge_rec_follow(struct bridge *b, struct bridge_rec *r, uint8_t queue);
/**
 * Have up to want buffers in hand for a record.
 * @return how many there are, which may be more than want; 0 as well if others wait for their turn
 */
uint32_t bridge_lender_fill(struct bridge_lender *bl, struct bridge_rec *r, uint32_t want);
static inline struct rte_mbuf *
bridge_lender_at(const struct bridge_lender *bl, uint32_t i)
{
	return bl->held[bl->first + i];
}
/** The first n of the buffers in hand are another's. */
void bridge_lender_used(struct bridge_lender *bl, uint32_t n);
/** Of those, n come back unused. */
void bridge_lender_put_back(struct bridge_lender *bl, struct rte_mbuf *const *heads, uint32_t n);
/** No buffer: park the record, have the worker lend more. */
void bridge_lender_wait(struct bridge *b, struct bridge_rec *r, struct bridge_lender *bl);
/** The memory of the record's guest is gone: its worker is to know, before mbufs there are freed.
 */
void bridge_lender_lost(struct bridge *b, const struct bridge_rec *r);
/** Recalls, and buffers for those that wait. @return how much was done */
unsigned int bridge_lenders_poll(struct bridge *b);
bool bridge_lenders_have_work(const struct bridge *b);

/* ---- bridge_tcp.c ---- */

/** Options that every TCP socket of a flow has; accepted ones have a listener's. 0 or -errno. */
int bridge_tcp_options(const struct bridge *b, int fd);
/** Which options the host's own settings spare us, or make us set. */
void bridge_tcp_probe(struct bridge *b);
/**
 * Before connect() or listen(): the peers are on this host. Where each sender is paced by timers,
 * as BBR does it, these would run on our core for a path that has no bottleneck.
 */
void bridge_tcp_local(const struct bridge *b, int fd);
void bridge_tcp_open(struct bridge *b, struct bridge_rec *r, const struct l4x_op *op);
void bridge_tcp_adopt(struct bridge *b, struct bridge_rec *r, const struct l4x_op *op,
	const struct bridge_token *token);
void bridge_tcp_events(struct bridge *b, struct bridge_rec *r, uint32_t events);
void bridge_tcp_shut(struct bridge *b, struct bridge_rec *r, uint64_t off);
/** Make one socket more for connections to come. @return false: there are enough */
bool bridge_spares_fill(struct bridge *b);
/** Nothing is left in the socket that was not read. */
bool bridge_tcp_drained(const struct bridge_rec *r);
/** Before an orderly close(): nothing unread may be left that would make it a RST. */
void bridge_tcp_drain(struct bridge *b, struct bridge_rec *r);

/* ---- bridge_send.c ---- */

/** n operations SEND of one flow, in one call. Their mbufs stay until it is over. */
void bridge_tcp_send(
	struct bridge *b, struct bridge_rec *r, const struct l4x_op *ops, unsigned int n);
/** The call is over. */
void bridge_tcp_sent(struct bridge *b, struct bridge_rec *r, const struct bridge_call *c);
/** Connected: is there anything to be asked before CONNECTED is told? */
void bridge_tcp_fresh(struct bridge *b, struct bridge_rec *r);
/** Fill in what SENT and CONNECTED tell. */
void bridge_tcp_tell(struct bridge *b, struct bridge_rec *r, struct l4x_event *ev);

/** Where one is in a chain of mbufs. */
struct bridge_cursor {
	const struct rte_mbuf *m;
	uint32_t off; /**< bytes of m that are done with; may lie past its end */
};
/**
 * Append data of the chain to BRIDGE_IOV iovecs, of which n are taken, and move on.
 * @param bytes at most so many; receives how many
 * @return number of iovecs taken now
 */
uint32_t bridge_iov_add(struct iovec *iov, uint32_t n, struct bridge_cursor *at, uint32_t *bytes);

/* ---- bridge_plan.c ---- */

/**
 * Lay out a read of up to want bytes, or to the end of the guest's window.
 * @param p bl, heads, frames and head_len are set; receives the rest, and the lender's buffers
 * @param iov room for BRIDGE_IOV
 * @return iovecs; 0: there is no buffer; -EOVERFLOW: without SO_PEEK_OFF, and too much is
 *   unacknowledged to read on
 */
int bridge_plan_read(struct bridge *b, struct bridge_rec *r, struct bridge_plan *p,
	struct iovec *iov, uint32_t want);
/**
 * The next frame as one chain, now that its buffers hold so many bytes.
 * @param next_head number of its first buffer; moves past its last
 */
struct rte_mbuf *bridge_plan_frame(
	const struct bridge_plan *p, uint32_t *next_head, uint32_t bytes);

/* ---- bridge_read.c ---- */

/** Read once, as much as the budget allows: the calls are gathered, see bridge_call.c. */
void bridge_tcp_read(struct bridge *b, struct bridge_rec *r);
/** The peek is over: what was read is told, buffers left are put back. @return events told */
unsigned int bridge_tcp_peeked(
	struct bridge *b, struct bridge_rec *r, const struct bridge_call *c, bool live);
/** What was acknowledged has been consumed; ret: bytes, or -errno. */
void bridge_tcp_consumed(struct bridge *b, struct bridge_rec *r, int ret);
void bridge_tcp_ack(struct bridge *b, struct bridge_rec *r, const struct l4x_op *op);
void bridge_tcp_rewind(struct bridge *b, struct bridge_rec *r, uint64_t off);

/* ---- bridge_dgram.c, bridge_dgram_rx.c, bridge_err.c ---- */

void bridge_dgram_open(struct bridge *b, struct bridge_rec *r, const struct l4x_op *op);
/** Have it told which address of ours was spoken to. 0 or -errno */
int bridge_dgram_ask_local(int fd, bool v4, bool v6);
/** Have DSCP, ECN and TTL told of what is received by these families. */
void bridge_dgram_ask_header(int fd, bool v4, bool v6);
/** An operation DGRAM, in one call or more. Its mbufs stay until they are over. */
void bridge_dgram_send(struct bridge *b, struct bridge_rec *r, const struct l4x_op *op);
/** A call is over. */
void bridge_dgram_sent(struct bridge *b, struct bridge_rec *r, const struct bridge_call *c,
	const struct msghdr *msg);
void bridge_dgram_events(struct bridge *b, struct bridge_rec *r, uint32_t events);
/** Error queue and datagrams, as much as the budget allows. @return events told */
unsigned int bridge_dgram_read(struct bridge *b, struct bridge_rec *r);
/** Datagrams of a listener: LISTEN_DGRAM. @return events told */
unsigned int bridge_dgram_listen(struct bridge *b, struct bridge_listener *l);
/** Tell what the error queue holds; clears REC_ERRQ when it is empty. @return events told */
unsigned int bridge_err_read(struct bridge *b, struct bridge_rec *r);

/* ---- listen.c ---- */

/** Nothing to be had from a listener until the epoll set tells. */
void bridge_listener_idle(struct bridge *b, struct bridge_listener *l);
void bridge_listen_event(struct bridge *b, uint32_t number, uint32_t events);
/** The UDP listener beside which L4X_OPEN_REUSE is to bind, NULL: there is none (any more). */
struct bridge_listener *bridge_listener_find(struct bridge *b, const struct l4x_op *op);
/** The record's socket is bound beside the listener ... */
void bridge_listener_join(struct bridge *b, struct bridge_listener *l, struct bridge_rec *r);
/** ... or no longer (nor need it have been). */
void bridge_listener_leave(struct bridge *b, struct bridge_rec *r);
/** Accept, as far as there is room. @return events told */
unsigned int bridge_listeners_poll(struct bridge *b);
bool bridge_listeners_have_work(const struct bridge *b);
/** Take the connection out of the table. @return -1 fd in *token: no such token (counted) */
void bridge_token_take(struct bridge *b, uint32_t token, struct bridge_token *taken);
/** Reset what no worker has adopted: all, or of one port (pif != 0). */
void bridge_tokens_reset(struct bridge *b, uint16_t pif);

#endif
