/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * One TCP connection under the magnifying glass: a test writes each segment of the guest and each
 * event of the bridge by hand, and looks at every frame and operation that comes back.
 *
 * Offsets are those of l4x_msg.h: 0 is the first byte of payload of a direction. The guest's
 * sequence numbers follow from gisn, ours from the SYN or SYN|ACK that was seen.
 *
 * Asserts with cmocka. One thread.
 */
#ifndef RIG_H
#define RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <l4xkit.h>

#define RIG_MS 1000ull
#define RIG_S 1000000ull

struct rig {
	struct l4xkit *k;
	const char *peer; /**< text of the peer's address */
	uint16_t gport, pport;
	uint32_t gisn, wisn; /**< initial sequence numbers: the guest's, weir's */
	uint16_t gwin;       /**< window field of the guest's segments */
	int gscale;          /**< offered by the guest, -1: none */
	uint32_t
		gseg; /**< the guest's frames come in pieces of so many bytes, 0: as large as fit */
	uint16_t gmss;  /**< offered by the guest, 0: none */
	uint64_t ack;   /**< offset that the guest's segments acknowledge */
	bool ack_fin;   /**< ... and weir's FIN as well */
	uint64_t flow;  /**< handle */
	uint32_t space; /**< told by the next rig_sent(), rig_connected() */
	uint64_t acked; /**< acknowledged by the peer, in the next rig_sent() */
	uint8_t sent_flags;
	uint32_t rtt_us;
	const struct pkt_view *view; /**< of the last frame */
};

/** Defaults: 10.0.2.15:40000 -> 192.0.2.7:80, MSS 1460, scale 7, window 512 << 7, ISN 1000. */
struct rig *rig_create(l4xkit_tweak tweak);
struct rig *rig_create6(l4xkit_tweak tweak);
void rig_destroy(struct rig *r);

/* ---- the guest ---- */

/** Add a segment at stream offset off to the burst. */
void rig_push(struct rig *r, uint8_t flags, int64_t off, uint32_t len);
void rig_flush(struct rig *r);
/** A burst of one segment. */
void rig_seg(struct rig *r, uint8_t flags, int64_t off, uint32_t len);
/** The same with any sequence number. */
void rig_raw(struct rig *r, uint8_t flags, uint32_t seq, uint32_t ack, uint32_t len);
void rig_push_raw(struct rig *r, uint8_t flags, uint32_t seq, uint32_t ack, uint32_t len);
/** The guest acknowledges up to off of what weir sent. */
void rig_ack(struct rig *r, uint64_t off, uint64_t goff);

/* ---- the bridge ---- */
void rig_connected(struct rig *r);
void rig_sent(struct rig *r, uint64_t taken);
void rig_data(struct rig *r, uint64_t off, uint32_t len);
/** n DATA events of len bytes each in one burst. */
void rig_data_burst(struct rig *r, uint64_t off, uint32_t len, unsigned int n);
void rig_eof(struct rig *r, uint64_t off);
void rig_error(struct rig *r, int err);
void rig_accepted(struct rig *r);

/* ---- what comes back ---- */

/** The next frame, a TCP segment of this connection with these flags. */
const struct pkt_view *rig_expect(struct rig *r, uint8_t flags);
/** The next frame: an ACK without data for guest offset off. */
const struct pkt_view *rig_expect_ack(struct rig *r, uint64_t off);
/** The next frame: payload [off, off + len), bytes compared. */
const struct pkt_view *rig_expect_data(struct rig *r, uint64_t off, uint32_t len);
/** The next operation, of this type and of this flow. */
const struct l4xkit_op *rig_op(struct rig *r, enum l4x_op_type type);
/** The next operation: SEND of [off, off + len), bytes compared. */
void rig_expect_send(struct rig *r, uint64_t off, uint32_t len);
void rig_expect_credit(struct rig *r, uint64_t acked, uint64_t limit);
void rig_expect_close(struct rig *r, bool reset);
/** No frame, no operation. */
void rig_quiet(struct rig *r);
/** Window of the last frame in bytes. */
uint32_t rig_window(const struct rig *r);
uint32_t rig_flows(const struct rig *r);

/* ---- whole handshakes ---- */
void rig_syn(struct rig *r);
/** A guest's connection up to the first credit; nothing is left to look at. */
void rig_open(struct rig *r);
/** The same for a connection from outside. */
void rig_accept(struct rig *r);

/** The byte at an offset of either stream. */
uint8_t rig_byte(uint64_t off);

#endif
