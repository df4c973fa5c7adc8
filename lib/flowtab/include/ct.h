/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Connection tracking: what a packet is to the flows that are known.
 *
 * Theory of operation. The tracker works on a flow table. Its flows have both sides bound: the
 * original direction's tuple as [FLOWTAB_SIDE_GUEST], that of answers as [FLOWTAB_SIDE_OTHER]. A
 * packet is looked up by its tuple as it came in, and gets a state (CT_NEW ..., the words of Open
 * vSwitch's ovs-fields(7)). A packet of no flow is NEW, tentatively: nothing is kept of it until
 * ct_commit() makes the flow, with all that goes with it: translation, mark, label, helper, zone's
 * policy. A packet of a flow moves the flow's state machine, has the flow's translation applied to
 * its headers in place, and refreshes its deadline.
 *
 * Verdicts are explicit: whoever forwards looks at ct_pkt.verdict alone. ACCEPT means that the
 * packet is as it must leave; whatever cannot be translated is never ACCEPT.
 *
 * TCP is validated as van Rooij describes ("Real Stateful TCP Packet Filtering in IP Filter"):
 * sequence and acknowledgement numbers within the windows that both ends have offered. An RST must
 * bear the exact sequence number that is expected. Related: ICMP and ICMPv6 errors belong to the
 * flow whose packet they quote; FTP and TFTP helpers expect the flows that those protocols
 * announce.
 *
 * Packets are mbufs whose first segment holds all headers (and, for flows with a helper, what there
 * is of the payload in it is looked at); the caller has taken them apart, or has ct_pkt_parse() do
 * so. What is to be translated must be nobody else's: a clone, or what has one, is refused.
 * Fragments are to be reassembled before (flowtab_frag.h).
 *
 * Limits: flows by the table and by zone (flowtab_zone.h), expectations and flows with a helper by
 * params; ports to translate to by the slice that this instance owns.
 *
 * Ownership and threads: one tracker and its table belong to one thread. Time is passed in, in ms.
 * No locks, no heap after creation, no system calls.
 */
#ifndef CT_H
#define CT_H

#include <stdbool.h>
#include <stdint.h>

#include "flowtab.h"

struct rte_mbuf;

/* Bits of ct_pkt.state */
#define CT_NEW 0x01  /**< begins a flow, or belongs to one that was never answered */
#define CT_EST 0x02  /**< belongs to a flow that has seen both directions */
#define CT_REL 0x04  /**< is an ICMP error about a flow, or a flow that a helper expected */
#define CT_RPL 0x08  /**< goes in the direction opposite to the flow's first packet */
#define CT_INV 0x10  /**< cannot be tracked, or does not fit its flow */
#define CT_TRK 0x20  /**< has been through the tracker */
#define CT_SNAT 0x40 /**< the source was translated (of the answer: the destination) */
#define CT_DNAT 0x80 /**< the destination was translated (of the answer: the source) */

enum ct_verdict {
	CT_ACCEPT = 0, /**< to be forwarded as it is now */
	CT_DROP,       /**< cannot be forwarded: see the reason */
	CT_INVALID,    /**< CT_INV is set */
	CT_LIMIT,      /**< a limit is reached */
};

/* X(enumerator, "name", "what happened"): why a packet was not accepted */
#define CT_REASONS(X)                                                                          \
	X(NONE, "none", "nothing is wrong")                                                    \
	X(UNTRACKABLE, "ct-untrackable", "no IP packet that could be tracked")                 \
	X(SHORT, "ct-short", "header or datagram cut short")                                   \
	X(CHECKSUM, "ct-checksum", "wrong transport checksum")                                 \
	X(TCP_FLAGS, "ct-tcp-flags", "impossible combination of TCP flags")                    \
	X(TCP_STATE, "ct-tcp-state", "segment that does not fit the connection's state")       \
	X(TCP_SEQ, "ct-tcp-window", "segment outside the window")                              \
	X(TCP_RST, "ct-tcp-rst", "RST without the exact sequence number")                      \
	X(TCP_PICKUP, "ct-tcp-pickup", "segment of a connection whose beginning was not seen") \
	X(ICMP_TYPE, "ct-icmp-type", "ICMP answer without a question, or unknown type")        \
	X(ICMP_QUOTE, "ct-icmp-quote", "ICMP error whose quote is cut short or wrong")         \
	X(ICMP_UNRELATED, "ct-icmp-unrelated", "ICMP error about no flow")                     \
	X(ICMP_FORGED, "ct-icmp-forged", "ICMP error about what its flow has not sent")        \
	X(TABLE, "ct-table-full", "flow table full")                                           \
	X(PIF_LIMIT, "ct-flow-limit", "limit or share of flows of the port reached")           \
	X(ZONE_LIMIT, "ct-zone-limit", "limit of flows of the zone reached")                   \
	X(CLASH, "ct-clash", "the answers' tuple is another flow's")                           \
	X(NAT_EXHAUSTED, "ct-nat-exhausted", "no address or port left to translate to")        \
	X(NAT_REWRITE, "ct-nat-rewrite", "packet that could not be translated")                \
	X(HELPER_LIMIT, "ct-helper-limit", "too many flows with a helper")

enum ct_reason {
#define X(e, name, help) CT_REASON_##e,
	CT_REASONS(X)
#undef X
	CT_REASON_COUNT,
};

/* X(enumerator, "name", "what happened") */
#define CT_COUNTS(X)                                                        \
	X(PKTS, "ct-pkts", "packets tracked")                               \
	X(NEW_FLOWS, "ct-flows-new", "flows committed")                     \
	X(REOPENED, "ct-reopened", "closed connections that began again")   \
	X(PICKUPS, "ct-pickups", "connections picked up in the middle")     \
	X(RELATED, "ct-related", "ICMP errors about a flow")                \
	X(NATTED, "ct-natted", "packets translated")                        \
	X(EXPECTED, "ct-expected", "flows that a helper had expected")      \
	X(EXPECT_NEW, "ct-expect-new", "expectations made")                 \
	X(EXPECT_FULL, "ct-expect-full", "expectations not made: too many") \
	X(EXPECT_GONE, "ct-expect-gone", "expectations that nothing came of")

enum ct_count {
#define X(e, name, help) CT_COUNT_##e,
	CT_COUNTS(X)
#undef X
	CT_COUNTS_N,
};

struct ct_info {
	const char *name;
	const char *help;
};
extern const struct ct_info ct_reason_info[CT_REASON_COUNT];
extern const struct ct_info ct_count_info[CT_COUNTS_N];

/* Bits of ct_pkt.flags, given by the caller */
/** The transport's header and lengths were looked at, and its checksum, if it is our business. */
#define CT_PKT_CSUM_OK 0x01
/** The same, and the checksum is left to whoever sends: its field holds the pseudo-header's sum. */
#define CT_PKT_CSUM_PARTIAL 0x02
/** flow and side hold the result of a lookup of this packet's tuple. */
#define CT_PKT_LOOKED_UP 0x04

/** One packet. Offsets are from the start of the mbuf's data. */
struct ct_pkt {
	/* in */
	struct rte_mbuf *m;
	/** As it came in, with port and zone; not changed. NULL: nothing that could be tracked. */
	const struct flowtab_tuple *tuple;
	uint16_t l3_off, l4_off, data_off;
	uint8_t flags; /**< CT_PKT_* */
	bool v4;
	uint32_t l4_len; /**< bytes from l4_off on, padding excluded */
	/* in with CT_PKT_LOOKED_UP, and out */
	uint32_t flow; /**< index; FLOWTAB_NONE: of no flow */
	uint8_t side;  /**< enum flowtab_side, of the flow that it is of or about */
	/* out */
	uint8_t state;   /**< CT_NEW ... */
	uint8_t verdict; /**< enum ct_verdict */
	uint8_t reason;  /**< enum ct_reason */
	uint32_t mark;   /**< of the flow; of a flow that was expected: its parent's */
	uint32_t expect; /**< NEW and REL: which expectation it meets, else FLOWTAB_NONE */
	uint32_t parent; /**< NEW and REL: the flow whose it is, else FLOWTAB_NONE */
	uint64_t label[2];
};

/* ---- timeouts ---- */

/** Classes of timeouts. */
enum ct_timeout {
	CT_TIMEOUT_TCP_FIRST,       /**< after the first SYN: 30 s */
	CT_TIMEOUT_TCP_OPENING,     /**< until both have acknowledged: 30 s */
	CT_TIMEOUT_TCP_ESTABLISHED, /**< 24 h */
	CT_TIMEOUT_TCP_CLOSING,     /**< one FIN: 15 min */
	CT_TIMEOUT_TCP_FIN_WAIT,    /**< both FINs: 45 s */
	CT_TIMEOUT_TCP_CLOSED,      /**< after RST: 30 s */
	CT_TIMEOUT_UDP_FIRST,       /**< 60 s */
	CT_TIMEOUT_UDP_SINGLE,      /**< more than one, no answer: 60 s */
	CT_TIMEOUT_UDP_MULTIPLE,    /**< both directions: 30 s */
	CT_TIMEOUT_ICMP_FIRST,      /**< 60 s */
	CT_TIMEOUT_ICMP_REPLY,      /**< 30 s */
	CT_TIMEOUT_OTHER_FIRST,     /**< 60 s */
	CT_TIMEOUT_OTHER_SINGLE,    /**< 60 s */
	CT_TIMEOUT_OTHER_MULTIPLE,  /**< 30 s */
	CT_TIMEOUTS,
};

/** Sets of timeouts; flows take the one of their zone when they begin. 0 is every zone's at first.
 */
#define CT_POLICIES 16
/** Longer ones are as long as this: any time and a timeout make no more than 64 bits. */
#define CT_TIMEOUT_MAX_MS (UINT64_MAX / 4)

struct ct_policy {
	uint64_t ms[CT_TIMEOUTS]; /**< 0: the default */
};

/* ---- translation ---- */

#define CT_NAT_SRC 0x01
#define CT_NAT_DST 0x02

/** How an address and a port are chosen from a range. */
enum ct_nat_choice {
	CT_NAT_HASH = 0, /**< by both ends: a flow that comes again gets the same, if it is free */
	CT_NAT_RANDOM,   /**< at random */
	CT_NAT_PERSISTENT, /**< the address by the client's alone: it always gets the same */
};

/**
 * A range of addresses, and of ports in host order. One address: min equal to max. An unspecified
 * min, of either family: the addresses stay, the ports alone are changed. Ports both 0: the port is
 * kept; a source's, where it is not free, becomes another of its class: below 512, below 1024, the
 * rest. Ids of ICMP queries are ports of the source, without classes. Protocols without ports are
 * translated by address alone. Within a range of ports, too, a port is kept where it is free,
 * unless choice is CT_NAT_RANDOM.
 */
struct ct_nat_range {
	struct flowtab_addr min, max;
	uint16_t port_min, port_max;
};

/**
 * CT_NAT_SRC with an all-zero range: the source is changed only where the answers' tuple would be
 * another flow's (Linux: "all-zero SNAT").
 */
struct ct_nat {
	uint8_t what;   /**< CT_NAT_SRC, CT_NAT_DST or both */
	uint8_t choice; /**< enum ct_nat_choice */
	struct ct_nat_range src, dst;
};

/* ---- helpers ---- */

enum ct_helper {
	CT_HELPER_NONE = 0,
	CT_HELPER_FTP,  /**< TCP: PORT, PASV, EPRT, EPSV (RFC 959, RFC 2428) */
	CT_HELPER_TFTP, /**< UDP: the answer comes from another port (RFC 1350, 4) */
};

/* ---- the tracker ---- */

struct ct_params {
	struct flowtab *ft; /**< its flows of kind TRACKED are the tracker's; outlives it */
	/* While less than a quarter of either is free, flows of one port get no more than an eighth
	   of it. */
	uint32_t max_expect;      /**< expectations at a time, up to 1 M; 0: 1024 */
	uint32_t max_helped;      /**< flows with a helper at a time; 0: 1024 */
	uint32_t max_expect_flow; /**< expectations of one flow; 0: 8 */
	uint16_t slice,
		n_slices;   /**< sources' ports are chosen of this one of so many parts; 0: all */
	bool no_seq_check;  /**< take segments whatever their numbers */
	bool no_pickup;     /**< a connection must begin with a SYN */
	uint8_t secret[16]; /**< for choices; need not be equal anywhere */
	int socket_id;
};

struct ct;

/**
 * Registers with flowtab_on_gone(); who does so after it must call ct_gone() for flows of kind
 * TRACKED.
 * @return the tracker, or NULL with rte_errno set (EINVAL, ENOMEM)
 */
struct ct *ct_create(const struct ct_params *p);
/** Its flows are freed. */
void ct_destroy(struct ct *ct);
/** flowtab_gone_fn: the table is about to free a flow. */
void ct_gone(void *ct, uint32_t idx);
/** Forget a flow. */
void ct_free(struct ct *ct, uint32_t idx);

/**
 * Take a packet apart for tracking: Ethernet is behind us, l3_off is set.
 * @param p     m and l3_off are read, the other input but flags is written; p->tuple is NULL
 *              after a failure, and the packet will be CT_INV
 * @param tuple receives addresses, ports and protocol; pif and zone are left alone
 * @return 0; -EINVAL cut short or malformed; -EPROTONOSUPPORT not IP; -EAGAIN a fragment
 */
int ct_pkt_parse(struct ct_pkt *p, struct flowtab_tuple *tuple);

/** Everything that a flow gets when it begins. */
struct ct_commit {
	const struct ct_nat *nat; /**< NULL: none */
	uint16_t opif;            /**< the port that answers come from */
	uint16_t cookie;          /**< flowtab_flow.cookie */
	uint8_t helper;           /**< enum ct_helper */
	bool set_zone;
	uint16_t zone;            /**< with set_zone: whose limit, policy and flushes it goes by */
	uint32_t mark, mark_mask; /**< bits under the mask are set */
	uint64_t label[2], label_mask[2];
};

/**
 * Track a packet: all of the output is written, whatever comes. With CT_NEW and ACCEPT the packet
 * may be committed; it has not been translated. CT_REL with an ICMP error, and packets of a flow,
 * have been.
 */
void ct_track(struct ct *ct, struct ct_pkt *p, uint64_t now_ms);

/**
 * Keep the flow that a NEW packet begins (or change mark and label of the flow that another belongs
 * to). The packet is translated; state, verdict, reason, flow, mark and label are written anew. To
 * be called before any other packet is tracked. A packet that is not ACCEPT, or was not tracked,
 * is left as it is.
 * @return true: ct_pkt.verdict is CT_ACCEPT
 */
bool ct_commit(struct ct *ct, struct ct_pkt *p, const struct ct_commit *c, uint64_t now_ms);

/**
 * A burst: lookups together, then each packet in order, seeing what those before it have done.
 * @param n      n <= FLOWTAB_BURST
 * @param commit NULL, or: commit each packet that is ACCEPT
 */
void ct_track_burst(struct ct *ct, struct ct_pkt *pkts[], unsigned int n,
	const struct ct_commit *commit, uint64_t now_ms);

/* ---- settings ---- */

/** @return 0; -EINVAL no such policy; flows of the policy go by it from their next packet on */
int ct_policy_set(struct ct *ct, unsigned int id, const struct ct_policy *policy);
int ct_policy_get(const struct ct *ct, unsigned int id, struct ct_policy *policy);
/** The policy of flows that begin in the zone from now on. 0; -EINVAL */
int ct_zone_policy(struct ct *ct, uint16_t zone, unsigned int id);
void ct_seq_check(struct ct *ct, bool on);
void ct_pickup(struct ct *ct, bool on);

/* ---- looking and removing ---- */

/** A flow as it stands. */
struct ct_flow_info {
	uint64_t handle;
	struct flowtab_tuple orig;  /**< as packets of the original direction come in */
	struct flowtab_tuple reply; /**< as answers come in */
	uint64_t pkts[FLOWTAB_SIDES], bytes[FLOWTAB_SIDES];
	uint64_t age_ms, left_ms; /**< left_ms UINT64_MAX: no limit; 0: expired */
	uint64_t label[2];
	uint32_t mark;
	uint16_t zone, cookie;
	uint8_t proto;
	uint8_t state;  /**< CT_* that a packet of the original direction would get */
	uint8_t helper; /**< enum ct_helper */
	uint8_t policy;
	uint64_t parent;      /**< handle, or 0 */
	char proto_state[32]; /**< "ESTABLISHED", "SYN_SENT/SYN_RECV", "one-way", ... */
};
/** @return false: the flow is not the tracker's */
bool ct_flow_info(const struct ct *ct, uint32_t idx, struct ct_flow_info *info, uint64_t now_ms);

/**
 * Where a packet of the flow was sent before its destination was translated: what who accepted it
 * asks for ("original destination"). t as packets of the original direction came in.
 * @param seen the tuple of the flow as either end shows it
 * @return 0; -ENOENT no such flow
 */
int ct_original(
	struct ct *ct, const struct flowtab_tuple *seen, uint64_t now_ms, struct flowtab_tuple *t);

/** Which flows to flush: all that are given must agree. */
struct ct_match {
	bool by_zone, by_pif, by_mark, by_label, by_proto;
	uint16_t zone;
	uint16_t pif; /**< of either side */
	uint8_t proto;
	uint32_t mark, mark_mask;
	uint64_t label[2], label_mask[2];
	/** Addresses with a prefix length (0: any), ports (0: any) of the original direction, or,
	 * with either_way, of any of the two. */
	struct flowtab_addr src, dst;
	uint8_t src_len, dst_len;
	rte_be16_t sport, dport;
	bool either_way;
};
bool ct_matches(const struct ct *ct, uint32_t idx, const struct ct_match *m);
/**
 * Remove the flows that match, looking at max flows at most.
 * @param cursor start with 0; go on until UINT32_MAX
 * @return flows removed
 */
uint32_t ct_flush(struct ct *ct, const struct ct_match *m, uint32_t *cursor, uint32_t max);
/** Remove the flow that has this tuple in either direction. 0; -ENOENT */
int ct_flush_tuple(struct ct *ct, const struct flowtab_tuple *t, uint64_t now_ms);

/** Remove what has expired of what the table does not know: expectations. */
void ct_expire(struct ct *ct, uint64_t now_ms, uint32_t budget);

/** One writer, readable from any thread (relaxed). By enum ct_reason; [0] is not used. */
const uint64_t *ct_reasons(const struct ct *ct);
/** By enum ct_count. */
const uint64_t *ct_counts(const struct ct *ct);

#endif
