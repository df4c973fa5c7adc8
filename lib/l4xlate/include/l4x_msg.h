/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Operations and events: what a worker and a bridge say to each other.
 *
 * An operation goes from the worker that owns a flow to the bridge that owns its socket; an event
 * goes back. Both are plain data of 64 bytes that travel over one SPSC ring in each direction, in
 * order. A message that carries an mbuf carries its ownership.
 *
 * Addresses of the host's side that are IPv6 link-local carry their scope (flowtab_addr_scope()).
 *
 * Streams are counted in absolute 64-bit offsets that start at 0 with the first byte of payload,
 * one count for each direction; TCP sequence numbers are l4x's own affair. So neither side can lose
 * the other: a late message is recognised by its offset, or by a stale flow handle, and dropped.
 *
 * Towards the socket (guest -> host): l4x hands on in-order bytes with SEND. The bridge takes what
 * the socket takes. What it does not take is dropped and reported (SENT with L4X_SENT_SHORT): the
 * guest has not been acknowledged for it and sends it again.
 *
 * From the socket (host -> guest): the bridge may read (peek) up to the limit that ACK last named,
 * each DATA telling the offset of its first byte. Nothing is stored: what the guest acknowledges is
 * consumed from the socket (ACK), what it lost is peeked again (REWIND).
 */
#ifndef L4X_MSG_H
#define L4X_MSG_H

#include <assert.h>
#include <stdint.h>

#include <flowtab_addr.h>

struct rte_mbuf;

enum l4x_op_type {
	/**
	 * Make a socket for the flow and connect it (TCP: SOCK_STREAM; UDP: SOCK_DGRAM; ICMP,
	 * ICMPv6: ping socket). Answered by CONNECTED or ERROR (TCP), by nothing but errors
	 * (others). UDP with L4X_OPEN_REUSE: bind to open.local beside the listener of that port,
	 * which leads to open.guest_port.
	 */
	L4X_OP_OPEN,
	/** Give the accepted socket `adopt.token` to the flow. Answered by CONNECTED. */
	L4X_OP_ADOPT,
	/** Reset the accepted socket `adopt.token`; the flow handle is 0. */
	L4X_OP_REFUSE,
	/** TCP: payload at stream offset send.off, send.m a chain without headers. Answered by
	 * SENT. */
	L4X_OP_SEND,
	/** UDP, ICMP: one or more datagrams, see dgram. */
	L4X_OP_DGRAM,
	/** TCP: the guest has acknowledged up to ack.acked and may be sent up to ack.limit. */
	L4X_OP_ACK,
	/** TCP: read again from stream offset ack.acked on (>= what was acknowledged). */
	L4X_OP_REWIND,
	/** TCP: shutdown(SHUT_WR), after all SENDs before it. send.off: where the stream must end.
	 */
	L4X_OP_SHUT,
	/** TCP: answer with SENT, whatever has changed. */
	L4X_OP_QUERY,
	/** Close the socket; the handle is dead afterwards. close.reset: with a RST (SO_LINGER 0).
	 */
	L4X_OP_CLOSE,
	L4X_OP_TYPES,
};

#define L4X_OPEN_REUSE 0x01
/** TCP: CONNECTED is to tell the address and port that the socket got. Costs a system call. */
#define L4X_OPEN_NAMED 0x02

struct l4x_op {
	uint8_t type;   /**< enum l4x_op_type */
	uint8_t bridge; /**< number of the bridge it goes to */
	uint8_t tos;    /**< OPEN, DGRAM: DSCP and ECN bits for the socket */
	uint8_t ttl;    /**< OPEN, DGRAM: TTL or hop limit for the socket, 0 = its default */
	uint32_t len;   /**< SEND, DGRAM: bytes of payload in the chain */
	uint64_t flow;  /**< handle (flowtab_handle_make()) */
	union {
		struct {
			struct flowtab_addr peer;  /**< connect() here; v4-mapped means AF_INET */
			struct flowtab_addr local; /**< bind() here first; all zero: do not */
			rte_be16_t peer_port;
			rte_be16_t local_port; /**< 0: any; ping sockets: the id wished for */
			uint16_t pif;          /**< lent buffers are taken from this port ... */
			uint8_t queue;         /**< ... and this of its queues */
			uint8_t proto;         /**< IPPROTO_* */
			union {
				uint16_t mss; /**< TCP: TCP_MAXSEG of the socket, 0 = leave */
				rte_be16_t guest_port; /**< L4X_OPEN_REUSE */
			};
			uint8_t head_len; /**< room for L2..L4 headers in front of payload */
			uint8_t flags;    /**< L4X_OPEN_* */
			uint32_t mark;    /**< SO_MARK, 0 = leave */
		} open;
		struct {
			uint32_t token; /**< from ACCEPTED */
			uint16_t pif;
			uint8_t queue;
			uint8_t head_len;
		} adopt;
		struct {
			struct rte_mbuf *m;
			uint64_t off;
		} send;
		struct {
			struct rte_mbuf *m; /**< payload only; ICMP: from the ICMP header on */
			uint16_t seg;       /**< bytes of each datagram; the last may be shorter */
			uint8_t df; /**< not to be fragmented: too large is an error, with the MTU
				     */
			uint8_t queue; /**< of the port, as in OPEN: it may have changed */
		} dgram;
		struct {
			uint64_t acked;
			uint64_t limit;
			uint32_t frame_max; /**< ACK: payload bytes of one frame (MSS, or GSO size)
					     */
			uint8_t queue; /**< ACK: of the port, as in OPEN: it may have changed */
		} ack;
		struct {
			uint8_t reset;
		} close;
		uint8_t room[48];
	};
};
static_assert(sizeof(struct l4x_op) == 64, "an operation is one cache line");

enum l4x_event_type {
	/** TCP: the socket is connected; see sent for its first window, conn for its address. */
	L4X_EV_CONNECTED,
	/** TCP: what the socket has taken of the guest's stream, and may take. See sent. */
	L4X_EV_SENT,
	/** TCP: payload of one frame or a few, from stream offset data.off on. See data. */
	L4X_EV_DATA,
	/** TCP: the peer has closed its direction; data.off is the stream's length. */
	L4X_EV_EOF,
	/** The socket failed (or, UDP and ICMP, reports an ICMP error and lives on). See error. */
	L4X_EV_ERROR,
	/** A listener has a connection; answer with ADOPT or REFUSE. The handle is 0. See accepted.
	 */
	L4X_EV_ACCEPTED,
	/** UDP, ICMP: one datagram for the flow, payload in dgram.m (ICMP: from its header on). */
	L4X_EV_DGRAM,
	/** UDP: a datagram at a listener from a peer without a flow. The handle is 0. See accepted.
	 */
	L4X_EV_LISTEN_DGRAM,
	L4X_EV_TYPES,
};

/** Frames of one DATA. */
#define L4X_DATA_FRAMES 5

#define L4X_SENT_SHORT 0x01  /**< bytes past `taken` were dropped */
#define L4X_SENT_REMOTE 0x02 /**< the peer is not on this host: acknowledge by `acked` */
#define L4X_SENT_NAMED 0x04  /**< CONNECTED: local and local_port are told */

struct l4x_event {
	uint8_t type;   /**< enum l4x_event_type */
	uint8_t bridge; /**< number of the bridge it comes from */
	uint8_t tos;    /**< DGRAM, LISTEN_DGRAM: of the datagram, where known */
	uint8_t ttl;    /**< DGRAM, LISTEN_DGRAM: of the datagram, 0 = unknown */
	uint32_t len;   /**< DATA, DGRAM: bytes of payload, of all frames */
	uint64_t flow;  /**< handle */
	union {
		struct {
			uint64_t taken;  /**< stream offset up to which the socket has taken */
			uint64_t acked;  /**< ... the peer has acknowledged */
			uint32_t space;  /**< bytes the socket will take past `taken` */
			uint32_t rtt_us; /**< smoothed, of the socket; 0 = unknown */
			uint8_t flags;   /**< L4X_SENT_* */
			rte_be16_t local_port;
			struct flowtab_addr local;
		} sent; /**< CONNECTED and SENT */
		struct {
			uint64_t off;
			/** One for each frame, its headroom in front, NULL behind the last; with
			 * EOF none. */
			struct rte_mbuf *m[L4X_DATA_FRAMES];
		} data;
		struct {
			struct rte_mbuf *m;
		} dgram;
		struct {
			int32_t err;       /**< errno, positive */
			uint32_t info;     /**< ee_info: the MTU of "too big" */
			uint8_t icmp_type; /**< with from_icmp: as received */
			uint8_t icmp_code;
			uint8_t from_icmp; /**< 0: local error */
			uint8_t has_echo;  /**< ICMP: echo is known */
			uint8_t pad[4];
			struct flowtab_addr
				offender; /**< who sent the ICMP error; zero = unknown */
			/** Header of the echo request that failed, as it left the socket; an
			 * ICMPv6 checksum leaves the addresses out. */
			uint8_t echo[8];
		} error;
		struct {
			union {
				struct rte_mbuf *m; /**< LISTEN_DGRAM */
				uint32_t token;     /**< ACCEPTED */
			};
			struct flowtab_addr peer;
			struct flowtab_addr local; /**< the address the peer spoke to */
			rte_be16_t peer_port;
			rte_be16_t guest_port; /**< the forward's port in the guest */
			uint16_t pif;          /**< the guest */
			rte_be16_t local_port; /**< the port the peer spoke to */
		} accepted;
		uint8_t room[48];
	};
};
static_assert(sizeof(struct l4x_event) == 64, "an event is one cache line");

/** Free the mbuf that an operation carries, if it carries one: nobody will take it. */
void l4x_op_free(struct l4x_op *op);
/** The same for an event. */
void l4x_event_free(struct l4x_event *ev);

#endif
