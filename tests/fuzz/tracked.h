/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * A table with a tracker that is fed frames, and what must hold whatever they say: an accepted
 * packet is as its flow wants it, with right checksums; a refused one has one reason; all that is
 * counted is there; nothing is left in the end. A twin, which gets the packets of bursts one by
 * one, is of the same opinion.
 */
#ifndef TRACKED_H
#define TRACKED_H

#include <pkt.h>
#include <rte_mbuf.h>

#include "ct_priv.h"
#include "fuzz.h"

#define TRACKED_FRAME 2048
#define TRACKED_RECENT 8
#define TRACKED_PIFS 4
#define TRACKED_L3 14

/* How a packet is handed in. */
#define HOW_VOUCHED 0x01   /**< its checksum is nobody's business, if it is right */
#define HOW_PARTIAL 0x02   /**< it is left to whoever sends, if the protocol is one for cards */
#define HOW_CUT 0x04       /**< over segments */
#define HOW_LOOKED_UP 0x08 /**< the caller has looked it up */
#define HOW_SHARED 0x10    /**< somebody else refers to it, too */
#define HOW_COMMIT 0x20
#define HOW_BURST 0x40 /**< waits for others; with HOW_COMMIT, that is how all are committed */

struct tracked_frame {
	uint8_t b[TRACKED_FRAME];
	uint32_t len;
	uint16_t pif; /**< where it came in, or leaves */
	/* of one that went on: where its parts are */
	uint16_t l4_off, data_off;
	uint32_t l4_len;
	uint8_t proto;
	bool v4;
};

/** One packet on its way. */
struct tracked_pkt {
	struct tracked_frame in;
	struct ct_pkt p, twin;
	struct flowtab_tuple tuple;
	struct rte_mbuf *clone, *twin_clone;
	uint8_t how;
	uint8_t shift; /**< of the first segment in memory */
	uint32_t head; /**< bytes of it */
};

struct tracked {
	struct fuzz_tape *tape;
	struct flowtab_zones *zones;
	struct flowtab *ft;
	struct ct *ct;
	struct flowtab_zones *twin_zones;
	struct flowtab *twin_ft;
	struct ct *twin;
	uint64_t now_ms;
	uint32_t max_helped, max_expect_flow;
	bool burst;
	/** What went on lately: as it came in, and as it left. */
	struct tracked_frame in[TRACKED_RECENT], out[TRACKED_RECENT];
	unsigned int recent;
	struct tracked_pkt *pkts; /**< of the burst under way */
	unsigned int n_pkts;
	bool commits; /**< the burst */
	struct ct_commit commit;
	struct ct_nat nat;
};

void tracked_init(const char *file_prefix);
/** @param choice configuration: see tracked.c */
void tracked_begin(struct tracked *x, struct fuzz_tape *tape, uint8_t choice);
/** All flows are flushed, nothing may be left. */
void tracked_end(struct tracked *x);

/** A frame comes in at a port. @param commit with HOW_COMMIT: if it begins a flow */
void tracked_send(struct tracked *x, const struct tracked_frame *f, uint8_t how,
	const struct ct_commit *commit);
/** The burst that waits. */
void tracked_flush(struct tracked *x);
/** Look at all flows. */
void tracked_audit(struct tracked *x);

#endif
