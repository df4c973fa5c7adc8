/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * TCP endpoints of the test guest: a plain, correct TCP (RFC 9293, no congestion control, no SACK)
 * that a test can also drive by hand.
 *
 * By default an endpoint answers by itself: in-order data is kept and acknowledged, anything else
 * is answered with a duplicate ACK; what it sent is kept until acknowledged and sent again after
 * 200 ms without progress. With `manual` set it does nothing by itself: segments stay with the
 * guest, for gtcp_expect(), and the test sends with gtcp_segment() and moves the fields.
 *
 * What arrives is checked against RFC 9293 whatever the mode: acknowledgements never move back nor
 * past what was sent, data stays inside the window that was advertised. A violation goes to
 * guest_error().
 *
 * Threads: an endpoint belongs to its guest's thread.
 */
#ifndef GTCP_H
#define GTCP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guest.h"

struct gtcp_ack {
	uint32_t ack;
	bool seen;
};

struct gtcp {
	struct gtcp *next;
	struct guest *g;
	struct pkt_addr local, remote;
	uint16_t lport, rport;
	bool manual, listening;

	uint32_t iss, snd_una, snd_nxt;
	uint32_t snd_wnd; /**< scaled, as last told */
	uint8_t snd_scale;
	uint16_t snd_mss; /**< the other side's MSS */
	uint8_t *unacked; /**< bytes from snd_una on */
	size_t n_unacked;
	uint64_t progress_ms;

	uint32_t irs, rcv_nxt;
	uint32_t rcv_wnd;  /**< to advertise, in bytes */
	uint32_t rcv_edge; /**< highest sequence number ever permitted */
	int rcv_scale;     /**< of ours; -1: option not sent */
	uint16_t mss;      /**< ours; 0: option not sent */
	uint8_t *in;       /**< data not yet taken by gtcp_recv() */
	size_t n_in, in_room;

	bool offered_scale; /**< the other side sent the option */
	bool established;
	bool fin_queued, fin_sent, fin_acked;
	bool fin_received, reset_received;
	bool tso;                /**< send up to 60 KB in one frame */
	bool no_ack;             /**< keep what comes, acknowledge nothing */
	bool ack_each;           /**< always true but for bulk: acknowledge every segment */
	unsigned int drop;       /**< lose so many of the next segments with data or FIN */
	unsigned int lose_every; /**< lose each so-manieth segment with data; 0: none */
	uint8_t tos, ttl;        /**< of what is sent; ttl 0: 64 */

	/* What was seen. */
	struct pkt_tcp syn; /**< the other side's SYN or SYN|ACK */
	uint64_t segs, data_segs, retransmitted, dup_acks_sent, zero_windows, gso_frames;
	uint32_t max_seq; /**< end of the furthest data seen */
	size_t max_payload;
	bool max_seq_valid;
	struct gtcp_ack last_ack[VHU_MAX_PAIRS]; /**< furthest, by the pair that it came on */
};

/** An endpoint, not connected. @param lport 0: any */
struct gtcp *gtcp_new(
	struct guest *g, const struct pkt_addr *remote, uint16_t rport, uint16_t lport);
/** Forget it, without a word to the other side. NULL is fine. */
void gtcp_free(struct gtcp *c);
/** Called by the guest. True: the segment was taken. */
bool gtcp_input(struct guest *g, const struct pkt_view *v);

/** 0, -ECONNREFUSED (RST), -EHOSTUNREACH (ICMP), -ETIMEDOUT */
int gtcp_connect(struct gtcp *c, int timeout_ms);
/** New, and connected; NULL with errno set. */
struct gtcp *gtcp_open(struct guest *g, const char *remote, uint16_t rport);
/** Wait for an inbound SYN to lport and complete the handshake. NULL: none came. */
struct gtcp *gtcp_accept(struct guest *g, uint16_t lport, int timeout_ms);
/** The endpoint that an inbound SYN makes, SYN not answered yet. */
struct gtcp *gtcp_accept_syn(struct guest *g, uint16_t lport, int timeout_ms);

/** Queue as much as window and memory allow. @return bytes taken */
size_t gtcp_write(struct gtcp *c, const void *data, size_t len);
/** Send all, and wait until it is acknowledged. 0 or -errno */
int gtcp_send(struct gtcp *c, const void *data, size_t len, int timeout_ms);
/** Up to len bytes; 0: FIN; -ECONNRESET, -ETIMEDOUT */
ssize_t gtcp_recv(struct gtcp *c, void *buf, size_t len, int timeout_ms);
/** Exactly len. 0 or -errno */
int gtcp_recv_all(struct gtcp *c, void *buf, size_t len, int timeout_ms);
/** Send FIN. */
void gtcp_shutdown(struct gtcp *c);
/** Send RST at the right place. */
void gtcp_reset(struct gtcp *c);
/** Wait for FIN (all data taken or not). True: it came. */
bool gtcp_wait_fin(struct gtcp *c, int timeout_ms);
bool gtcp_wait_reset(struct gtcp *c, int timeout_ms);
/** Wait until the FIN that was sent is acknowledged. */
bool gtcp_wait_fin_acked(struct gtcp *c, int timeout_ms);
/** Wait until all that was sent is acknowledged. */
bool gtcp_wait_acked(struct gtcp *c, int timeout_ms);
/** Retransmission: to be called in loops of the test's own. */
void gtcp_tick(struct gtcp *c);

/** A segment by hand; ack and window as they stand. Moves nothing. */
int gtcp_segment(struct gtcp *c, uint8_t flags, uint32_t seq, const void *data, size_t len);
/** Everything by hand. */
int gtcp_segment_raw(struct gtcp *c, const struct pkt_tcp *t, const void *data, size_t len);
/** A pure ACK as things stand. */
void gtcp_ack(struct gtcp *c);
/**
 * manual: the next segment of the connection with exactly these flags (PSH ignored).
 * @return to be freed; NULL: none in time
 */
struct guest_frame *gtcp_expect(struct gtcp *c, uint8_t flags, int timeout_ms);
/** manual: the next segment of the connection, whatever it is. */
struct guest_frame *gtcp_next(struct gtcp *c, int timeout_ms);
/** True if nothing comes for the connection. */
bool gtcp_quiet(struct gtcp *c, int timeout_ms);

/** Comparison of sequence numbers. */
static inline int32_t
gtcp_diff(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b);
}

#endif
