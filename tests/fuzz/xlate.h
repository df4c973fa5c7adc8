/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * A context of lib/l4xlate under a fuzzer: a guest (tests/harness/l4xkit.h), and a crude bridge.
 *
 * Operations wait in the kit's queue until the bridge is run, events until they are delivered, so
 * that they pass each other as they do between threads. The bridge holds each operation against
 * l4x_msg.h: handles are alive between OPEN or ADOPT and CLOSE, offsets have no gaps and do not go
 * back, no credit is given past the guest's word, tokens are answered once, nobody is connected to
 * whom no guest may reach. Payload of streams is a pattern by offset, and compared.
 *
 * Ownership: xlate_end() checks that all is given back, and frees. One at a time. One thread.
 */
#ifndef XLATE_H
#define XLATE_H

#include <l4xkit.h>

#include "fuzz.h"

#define XLATE_FLOWS 64
#define XLATE_EVENTS 48
#define XLATE_TOKENS 32
/** Room for headers in front of what a bridge reads. */
#define XLATE_HEADROOM RTE_PKTMBUF_HEADROOM

/** The bridge's side of a flow, by the flow's index. */
struct xlate_sock {
	uint64_t flow; /**< of the last one here */
	uint8_t proto;
	bool open, connected, failed, shut, eof_told, remote;
	uint32_t room; /**< bytes that the socket takes */
	uint32_t lie;  /**< bytes that it says it takes on top */
	uint64_t taken, sent_top, peer_acked;
	uint64_t read, top, acked, limit, eof;
	uint32_t frame_max;
};

struct xlate {
	struct l4xkit *k;
	struct fuzz_tape *tape;
	bool patterned; /**< the guest's streams are xlate_byte() by offset: compare */
	uint32_t room;  /**< of the next socket */
	struct xlate_sock socks[XLATE_FLOWS];
	struct l4x_event events[XLATE_EVENTS];
	unsigned int n_events;
	uint32_t tokens[XLATE_TOKENS]; /**< accepted, not answered yet */
	unsigned int n_tokens;
	uint32_t next_token;
	uint32_t offloads;
	bool ending; /**< what the bridge answers goes nowhere */
};

/** EAL and pool. Once per process. */
void xlate_init(const char *file_prefix);
struct xlate *xlate_begin(struct fuzz_tape *tape, l4xkit_tweak tweak);
/** Close everything, check that nothing is left over, free. */
void xlate_end(struct xlate *x);

/** True while there are mbufs for one more frame of any size. */
bool xlate_has_mbufs(const struct xlate *x);
/** The guest negotiates anew. */
void xlate_link(struct xlate *x, bool up, uint32_t offloads);
/**
 * The burst goes in.
 * @param foreign as handed over by another worker
 * @param mbufs   no more than so many are to be had meanwhile
 */
void xlate_flush(struct xlate *x, bool foreign, unsigned int mbufs);
/** All frames out so far, looked at by no one else: each well-formed and for the port. */
void xlate_frames(struct xlate *x);
const struct l4xkit_frame *xlate_frame(struct xlate *x);

/** The bridge does so many operations. @return how many there were */
unsigned int xlate_bridge(struct xlate *x, unsigned int n);
/** So many events go in, as one burst. @return how many there were */
unsigned int xlate_deliver(struct xlate *x, unsigned int n);
/** Both, until nothing is left. */
void xlate_settle(struct xlate *x);

/** The n-th open socket, counted round; NULL: none is open. */
struct xlate_sock *xlate_pick(struct xlate *x, uint8_t n);
/* What a socket may do, if it may. */
void xlate_connected(struct xlate *x, struct xlate_sock *s);
/** @param peer_takes bytes that leave the socket for the peer, which acknowledges them */
void xlate_sent(struct xlate *x, struct xlate_sock *s, uint32_t peer_takes);
void xlate_data(struct xlate *x, struct xlate_sock *s, uint32_t len);
void xlate_eof(struct xlate *x, struct xlate_sock *s);
void xlate_error(struct xlate *x, struct xlate_sock *s, const struct l4x_event *error);
/** A datagram of len bytes off the tape, filled up with the pattern. */
void xlate_dgram(struct xlate *x, struct xlate_sock *s, uint32_t len);
/** A connection at a listener, or (m not NULL) a datagram. */
void xlate_accepted(struct xlate *x, const struct l4x_event *ev);
/** Any event; dropped when there is no room. */
void xlate_event(struct xlate *x, const struct l4x_event *ev);
static inline bool
xlate_event_room(const struct xlate *x)
{
	return x->n_events < XLATE_EVENTS;
}
/** CONNECTED or SENT, as things are. */
void xlate_tell_sent(
	struct xlate *x, const struct xlate_sock *s, enum l4x_event_type type, uint8_t flags);
/** len bytes in an mbuf, as read at a stream offset. */
struct rte_mbuf *xlate_payload(struct xlate *x, uint64_t off, uint32_t len, bool off_tape);

/** The byte at an offset of a stream. Repeats after 64 KiB, and so does not depend on the ISN if
 * ISNs differ by multiples of that. */
static inline uint8_t
xlate_byte(uint64_t off)
{
	return (uint8_t)(off * 131 + (off >> 8) * 29);
}

#endif
