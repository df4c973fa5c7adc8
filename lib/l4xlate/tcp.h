/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * State of a TCP flow, and its context in struct l4x. Private to lib/l4xlate.
 *
 * Two streams, each counted in 64-bit offsets from its first byte; a sequence number is an offset
 * plus irs + 1 (of the guest's stream) or iss + 1 (of the stream to the guest).
 *
 *   guest -> socket    ack_told <= acknowledgeable <= taken <= handed <= edge
 *   socket -> guest    una <= nxt <= max <= eof
 *
 * No payload is kept. Bytes between taken and handed are on their way to the socket; what the
 * socket does not take is dropped there and handed falls back to taken. Bytes between una and max
 * are with the guest or lost; they are read from the socket again when nxt falls back.
 *
 * One writer: the worker that owns the flow.
 */
#ifndef L4X_TCP_H
#define L4X_TCP_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "l4x.h"

struct rte_mbuf;

/**
 * States, and what is allowed in each:
 *   OPENING     a guest's SYN waits for its socket. Events CONNECTED and ERROR; the SYN again
 * (ignored). SYN_RCVD    the socket is connected, SYN|ACK sent and sent again; the guest's ACK
 * establishes. ADOPTING    an accepted socket waits for its CONNECTED; nothing was sent to the
 * guest. SYN_SENT    SYN sent to the guest and sent again; its SYN|ACK establishes. ESTABLISHED
 * data both ways; how far the two FINs have come is in the flags. TIME_WAIT   both directions are
 * closed and the socket is gone; a late FIN gets its ACK.
 */
enum l4x_tcp_state {
	L4X_TCP_OPENING,
	L4X_TCP_SYN_RCVD,
	L4X_TCP_ADOPTING,
	L4X_TCP_SYN_SENT,
	L4X_TCP_ESTABLISHED,
	L4X_TCP_TIME_WAIT,
	L4X_TCP_STATES,
};

#define L4X_TCP_DIRTY 0x0001     /**< on the list of this burst */
#define L4X_TCP_ACK_NOW 0x0002   /**< an ACK is owed whatever its number */
#define L4X_TCP_KICK 0x0004      /**< the socket dropped bytes: have the guest send them again */
#define L4X_TCP_REMOTE 0x0008    /**< acknowledge what the peer has acknowledged */
#define L4X_TCP_FIN_IN 0x0010    /**< the guest's FIN is at offset handed */
#define L4X_TCP_SHUT 0x0020      /**< ... and was passed on: it may be acknowledged */
#define L4X_TCP_EOF 0x0040       /**< the socket's stream ends at offset eof */
#define L4X_TCP_FIN_OUT 0x0080   /**< our FIN is on its way */
#define L4X_TCP_FIN_EVER 0x0100  /**< our FIN was sent once: an ACK for it is valid */
#define L4X_TCP_FIN_ACKED 0x0200 /**< the guest has acknowledged our FIN */
#define L4X_TCP_REWIND 0x0400    /**< a REWIND to nxt is due */
#define L4X_TCP_REWINDING 0x0800 /**< a REWIND is under way: other offsets are no news */
#define L4X_TCP_TIMING 0x1000    /**< a segment is being timed */
#define L4X_TCP_CREDIT 0x2000    /**< tell the bridge even if nothing seems to have changed */
#define L4X_TCP_PASSIVE 0x4000   /**< the guest closed first, and our FIN told it that we know */
#define L4X_TCP_SCALED 0x8000    /**< window scaling was agreed on */

/** Headers of a SYN kept for quoting it: 40 of IPv6, 40 of extension headers, 8 of TCP. */
#define L4X_TCP_QUOTE 88

/** Where dupacks and gaps stop counting. */
#define L4X_TCP_COUNT_MAX 15
/** No such operation or frame in the output. */
#define L4X_TCP_NONE UINT16_MAX

struct l4x_tcp {
	uint8_t state;     /**< enum l4x_tcp_state */
	uint8_t snd_shift; /**< window scale of the guest's windows */
	uint8_t dupacks : 4;
	uint8_t gaps : 4;      /**< segments of this burst that came after a gap */
	uint8_t retries;       /**< timeouts without an acknowledgement in between */
	uint8_t backoff : 5;   /**< doublings of the timeout, until a round trip was timed */
	uint8_t unsent : 1;    /**< something is owed that the guest had no buffer for */
	uint8_t waits : 2;     /**< ... how often in a row, since the guest was heard */
	uint8_t probes;        /**< keepalives and window probes without any answer */
	uint8_t idle_polls;    /**< how often in a row QUERY has changed nothing */
	uint8_t poll_ms : 5;   /**< half the socket's round trip, bounded */
	uint8_t answering : 1; /**< data went to the guest since an ACK last waited in vain */
	uint8_t tso : 1;       /**< op_frame was made for a guest that takes TSO */
	uint8_t told_mss : 1;  /**< the guest's SYN had the MSS option */
	uint16_t flags;        /**< L4X_TCP_* */
	uint16_t mss;          /**< payload of one segment to the guest */
	uint16_t rcv_mss;      /**< payload of one segment from the guest, as we have told it */
	uint16_t last_data; /**< number in out.frames of this burst's last DATA, or L4X_TCP_NONE */
	uint32_t iss, irs;
	/* what the flow waits for, us; UINT64_MAX: not this */
	uint64_t rto_at;  /**< retransmission or window probe */
	uint64_t poll_at; /**< QUERY */
	uint64_t life_at; /**< keepalive or the limit of the state */
	union {
		/** OPENING: the guest's SYN, IP header first, byte for byte. */
		struct {
			uint8_t quote_len;
			uint8_t quote[L4X_TCP_QUOTE];
		};
		struct {
			uint64_t handed, taken, peer_acked, ack_told, edge;
			uint64_t una, nxt, max, eof;
			uint64_t active_us;         /**< payload last went either way */
			uint64_t heard_us;          /**< last segment of the guest */
			struct rte_mbuf *send_tail; /**< last segment of the pending SEND */
			uint32_t space;             /**< what the socket takes past `taken` */
			uint32_t wnd_told; /**< window that the guest was told last, bytes */
			uint32_t snd_wnd;  /**< the guest's window, bytes */
			uint32_t wl1;      /**< sequence number of the segment that told it */
			uint32_t op_acked,
				op_limit; /**< what the last ACK operation said, low halves */
			uint32_t recover; /**< RFC 6582, low half of an offset */
			uint32_t rtt_end, rtt_us;    /**< the timed segment's end and start */
			uint32_t srtt_us, rttvar_us; /**< RFC 6298; srtt_us 0: no sample */
			uint16_t op_frame;
			uint16_t pend_op; /**< this burst's open SEND, or L4X_TCP_NONE */
		};
	};
};
static_assert(sizeof(struct l4x_tcp) <= 192, "TCP state is three cache lines");

/** Flows touched by the call under way; see l4x_tcp_burst_end(). */
#define L4X_TCP_DIRTY_MAX (2 * L4X_BURST)

struct l4x_tcp_ctx {
	uint32_t n_dirty;
	uint32_t dirty[L4X_TCP_DIRTY_MAX];
	uint32_t generation[L4X_TCP_DIRTY_MAX];
};

#endif
