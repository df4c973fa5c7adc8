/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * A second opinion on what a packet is to the connections that are known.
 *
 * Written from RFC 9293 (TCP), RFC 7323 (window scale), RFC 792, RFC 4443, from van Rooij's paper
 * on filters with state, and from what ovs-fields(7) says of ct_state; it shares nothing with
 * lib/flowtab. It is slow, small, and says when it does not know: where the documents leave a
 * choice, or where only exact numbers tell, what the tracker says is taken over (and counted).
 */
#ifndef CT_MODEL_H
#define CT_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include <pkt.h>

/* ct_state as ovs-fields(7) numbers it */
#define M_NEW 0x01
#define M_EST 0x02
#define M_REL 0x04
#define M_RPL 0x08
#define M_INV 0x10
#define M_TRK 0x20
#define M_SNAT 0x40
#define M_DNAT 0x80

#define MODEL_FLOWS 512

/** Bytes that a segment must lie outside of all windows to be called wrong, scaled ones included.
 */
#define MODEL_FAR 0x48000000U

struct model_tuple {
	struct pkt_addr src, dst;
	uint16_t sport, dport;
	uint8_t proto;
	bool answer; /**< an ICMP answer */
	uint16_t zone;
};

struct model_end {
	bool known; /**< has sent something */
	bool syn;   /**< isn is known */
	bool acked; /**< its SYN was */
	bool fin, fin_acked;
	uint32_t isn, fin_end;
	uint32_t end;    /**< one past the highest number sent */
	uint32_t next;   /**< the last acknowledgement of it, once its SYN was acknowledged */
	uint32_t limit;  /**< how far the other end lets it go */
	bool limited;    /**< limit is known */
	uint32_t window; /**< the largest that it has offered */
	int scale;       /**< -1: not offered */
};

struct model_flow {
	bool used;
	struct model_tuple in[2]; /**< as packets come in; [1]: answers */
	uint8_t nat;              /**< M_SNAT, M_DNAT */
	bool answered, rst, picked_up;
	struct model_end end[2];
	uint64_t last_ms;
	uint64_t min_ms, max_ms; /**< it expires between these after last_ms */
};

struct model {
	struct model_flow flow[MODEL_FLOWS];
	unsigned int n; /**< in use, below this */
	unsigned int expired, reopened;
};

/** What is expected of a packet. */
struct model_opinion {
	uint8_t state;
	bool sure;
};

/**
 * @param v    NULL: a frame that violates the rules of its headers
 * @param nat  M_SNAT, M_DNAT: what the policy is for a flow that begins with this packet
 */
struct model_opinion model_ask(
	struct model *m, const struct pkt_view *v, uint16_t zone, uint8_t nat, uint64_t now_ms);
/**
 * Take the packet in.
 * @param state what the model said, or, where it was not sure, the tracker
 * @param out   the packet as it left (NULL: it did not)
 * @return NULL, or what is wrong with the translation
 */
const char *model_take(struct model *m, const struct pkt_view *v, uint16_t zone, uint8_t nat,
	uint64_t now_ms, uint8_t state, const struct pkt_view *out);
/** A time at which a flow, picked by r, ends for certain; 0: none. */
uint64_t model_deadline(const struct model *m, uint64_t now_ms, uint32_t r);

#endif
