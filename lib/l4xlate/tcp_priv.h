/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * What the files of TCP translation share:
 *   tcp.c        entry points: dispatch by state, ending
 *   tcp_open.c   a guest opens, a connection is accepted, the handshake
 *   tcp_in.c     guest -> socket: sequence check, the guest's acknowledgements, SEND, FIN
 *   tcp_ack.c    what the guest is told: acknowledgements, windows; SENT events
 *   tcp_out.c    socket -> guest: DATA, EOF, credit, retransmission
 *   tcp_timer.c  deadlines
 *   tcp_unsent.c segments that the guest had no buffer for
 *   tcp_opt.c    options, initial sequence numbers
 *   tcp_frame.c  segments as frames
 */
#ifndef L4X_TCP_PRIV_H
#define L4X_TCP_PRIV_H

#include "l4x_priv.h"
#include "tcp_seq.h"

#define TCP_HDR_LEN 20
/** RFC 6298; the floor is that of the variance term, as Linux has it: guests delay ACKs by 40..200
 * ms. */
#define TCP_RTO_INIT_US 1000000
#define TCP_RTO_MIN_US 200000
#define TCP_RTO_MAX_US 60000000
/** Nothing older or newer than this belongs to the connection: the largest window there is. */
#define TCP_WINDOW_MAX ((int64_t)65535 << 14)
/** How much of the guest's own window we offer: 16 MiB at most. */
#define TCP_RCV_SHIFT 8
/** How long a flow that is done answers a late FIN; longer each time one comes. */
#define TCP_TIME_WAIT_US 1000000
#define TCP_TIME_WAIT_AGAIN_US 2000000
#define TCP_TIME_WAIT_DOUBLINGS 6

/** What a SYN has told. */
struct tcp_options {
	uint16_t mss;
	uint8_t shift;
	bool scaled;
};

/** One segment without payload. */
struct tcp_seg {
	uint32_t seq, ack;
	uint16_t win;
	uint8_t flags;
	uint8_t opt_len;
	uint8_t opt[8];
};

/** A segment from the guest, read once. */
struct tcp_rx {
	struct l4x_pkt *p;
	uint32_t seq, ack;
	uint32_t len; /**< payload left to look at */
	uint16_t win;
	uint8_t flags;
};

static inline struct l4x_tcp *
l4x_tcp_of(struct l4x *l, uint32_t idx)
{
	return &l->flows[idx].tcp;
}

/** The scale of the windows that we tell. */
static inline uint8_t
tcp_rcv_shift(const struct l4x_tcp *t)
{
	return (t->flags & L4X_TCP_SCALED) != 0 ? TCP_RCV_SHIFT : 0;
}

/* ---- tcp.c ---- */

/** Have the flow looked at by l4x_tcp_burst_end(). */
void l4x_tcp_dirty(struct l4x *l, uint32_t idx);
/** CLOSE, and the flow is no more. */
void l4x_tcp_close(struct l4x *l, uint32_t idx, bool reset);
/** RST to the guest, reset to the peer; the flow is no more. */
void l4x_tcp_abort(struct l4x *l, uint32_t idx);
/** An ACK that nobody may make us send without bound (RFC 5961, 7). */
void l4x_tcp_challenge(struct l4x *l, uint32_t idx);

/* ---- tcp_open.c ---- */

/** RFC 9293, 3.10.7.2: a SYN that belongs to no flow. p is not freed. */
void l4x_tcp_syn_in(struct l4x *l, const struct l4x_pkt *p, const struct tcp_rx *r);
void l4x_tcp_connected(struct l4x *l, uint32_t idx, const struct l4x_event *ev);
/** The socket could not be connected: tell the guest what happened, as well as it can be told. */
void l4x_tcp_open_failed(struct l4x *l, uint32_t idx, int err);
/* A segment in one of the states of the handshake; not freed. */
void l4x_tcp_opening_in(struct l4x *l, uint32_t idx, const struct tcp_rx *r);
/** @return true: established, the segment goes on */
bool l4x_tcp_syn_rcvd_in(struct l4x *l, uint32_t idx, const struct tcp_rx *r);
/** @return true: established, and there is text behind the SYN */
bool l4x_tcp_syn_sent_in(struct l4x *l, uint32_t idx, const struct tcp_rx *r);
/** The handshake is complete. win: the guest's window in bytes; seq: of the segment that told it.
 */
void l4x_tcp_establish(struct l4x *l, uint32_t idx, uint32_t win, uint32_t seq);

/* ---- tcp_in.c: the flow is established; r->p->m becomes theirs ---- */
void l4x_tcp_in(struct l4x *l, uint32_t idx, struct tcp_rx *r);
/** Text and FIN alone (RFC 9293, 3.10.7.4, seventh and eighth), at this stream offset. */
void l4x_tcp_text_in(struct l4x *l, uint32_t idx, struct tcp_rx *r, int64_t off);

/* ---- tcp_ack.c ---- */

/** The acknowledgement that the guest is due, as an offset; a FIN counts one. */
uint64_t l4x_tcp_ack_off(const struct l4x_tcp *t);
/** Fill in acknowledgement and window, and note that the guest is told. */
void l4x_tcp_tell(struct l4x_tcp *t, uint32_t *ack, uint16_t *win);
/** Send the ACKs that are owed. */
void l4x_tcp_ack_flush(struct l4x *l, uint32_t idx);
void l4x_tcp_sent(struct l4x *l, uint32_t idx, const struct l4x_event *ev);
/** Send SHUT when its time has come. */
void l4x_tcp_shut(struct l4x *l, uint32_t idx);
/** True while an ACK waits for data to carry it. */
bool l4x_tcp_ack_waits(const struct l4x_tcp *t);
/** True while the guest waits for news that only a QUERY can bring. */
bool l4x_tcp_poll_owed(const struct l4x_tcp *t);

/* ---- tcp_out.c ---- */
void l4x_tcp_data(struct l4x *l, uint32_t idx, const struct l4x_event *ev);
/** Tell the bridge what has changed; send a FIN whose time has come. */
void l4x_tcp_out_flush(struct l4x *l, uint32_t idx);
/** The guest's acknowledgement. False: of something never sent, the segment is to be dropped. */
bool l4x_tcp_acked(struct l4x *l, uint32_t idx, const struct tcp_rx *r);
/** Go back to what the guest has acknowledged. */
void l4x_tcp_retransmit(struct l4x *l, uint32_t idx);

/* ---- tcp_timer.c ---- */
uint64_t l4x_tcp_rto_us(const struct l4x_tcp *t);
void l4x_tcp_rtt_sample(struct l4x_tcp *t, uint32_t rtt_us);
/** Set rto_at to what is outstanding; restart: from this moment on. */
void l4x_tcp_rto_arm(struct l4x *l, uint32_t idx, bool restart);
void l4x_tcp_poll_arm(struct l4x *l, uint32_t idx);
/** Limit and keepalive of the state the flow is in. */
void l4x_tcp_life_arm(struct l4x *l, uint32_t idx);

/* ---- tcp_unsent.c ---- */

/** Send what is owed since the guest had no buffer for it. */
void l4x_tcp_unsent_due(struct l4x *l, uint32_t idx);

/* ---- tcp_opt.c ---- */

/** Read the options of a SYN. 0; -EINVAL malformed */
int l4x_tcp_options(const struct l4x_pkt *p, struct tcp_options *o);
/** The MSS for segments to the guest, and that of ours that we tell it. */
void l4x_tcp_mss(const struct l4x_port *port, bool v4, uint16_t told, struct l4x_tcp *t);
/** RFC 6528. */
uint32_t l4x_tcp_isn(const struct l4x *l, const struct flowtab_tuple *guest);

/* ---- tcp_frame.c ---- */

/** A segment of the flow without payload; acknowledgement and window are filled in. */
void l4x_tcp_segment(struct l4x *l, uint32_t idx, uint32_t seq, uint8_t flags);
/** SYN or SYN|ACK with its options. */
void l4x_tcp_syn(struct l4x *l, uint32_t idx);
void l4x_tcp_rst(struct l4x *l, uint32_t idx);
/** RFC 9293, 3.10.7.1: answer a segment that has no place here with a RST, rate limited. */
void l4x_tcp_rst_for(struct l4x *l, const struct l4x_pkt *p);
/**
 * Put TCP and lower headers before the payload of n frames, which follow one another from nxt on,
 * and send them. The mbufs are gone.
 * @return bytes of payload sent: fewer than there are where a frame had no room for headers
 */
uint32_t l4x_tcp_payload(struct l4x *l, uint32_t idx, struct rte_mbuf *const *m, uint32_t n);

#endif
