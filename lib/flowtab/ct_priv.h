/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * What the files of the connection tracker share. Who does what:
 * - ct.c: a packet's way through the tracker; commit
 * - ct_conf.c: creation, policies, counters
 * - ct_pkt.c: taking packets apart, checking them
 * - ct_tcp.c: TCP's states and windows
 * - ct_dgram.c: everything else that has flows: UDP, ICMP queries, other protocols
 * - ct_icmp.c: ICMP errors and the flows they are about
 * - ct_nat.c: choosing what a flow is translated to
 * - ct_rewrite.c: writing addresses and ports into packets, checksums by difference (RFC 1624)
 * - ct_expect.c: flows to come
 * - ct_helper.c: a packet's way through a helper, payload that changes its length
 * - ct_ftp.c, ct_tftp.c: reading what those protocols announce
 * - ct_show.c: flows as people see them; flushing
 */
#ifndef CT_PRIV_H
#define CT_PRIV_H

#include <netinet/in.h>

#include <rte_branch_prediction.h>
#include <rte_mbuf.h>

#include "ct.h"
#include "flowtab_cksum.h"
#include "flowtab_priv.h"

/* flowtab_flow.flags of a tracked flow */
#define CT_F_SNAT 0x01     /**< the source of the original direction is translated */
#define CT_F_DNAT 0x02     /**< its destination */
#define CT_F_ANSWERED 0x04 /**< packets are EST: both directions were seen */
#define CT_F_EXPECTED 0x08 /**< a helper had expected it: its NEW packets are REL */
#define CT_F_HELPED 0x10   /**< ext is the number of a struct ct_helped */
#define CT_F_LABEL 0x20    /**< label is not zero: else the second line is not looked at */

static inline bool
ct_is_icmp(uint8_t proto)
{
	return proto == IPPROTO_ICMP || proto == IPPROTO_ICMPV6;
}

/** The tuple of answers to t, without translation, that come from port pif. */
static inline void
ct_tuple_reverse(const struct flowtab_tuple *t, uint16_t pif, struct flowtab_tuple *r)
{
	*r = (struct flowtab_tuple){
		.eaddr = t->oaddr,
		.oaddr = t->eaddr,
		.eport = t->oport,
		.oport = t->eport,
		.pif = pif,
		.zone = t->zone,
		.proto = t->proto,
		.answer = !t->answer && ct_is_icmp(t->proto),
	};
}

/** What a packet of a flow did to it. */
enum ct_update {
	CT_UPDATE_VALID,     /**< belongs to it; EST once it was answered */
	CT_UPDATE_VALID_NEW, /**< belongs to it, and begins it (again) */
	CT_UPDATE_PASS,   /**< may be the other end's affair; changes nothing, no deadline either */
	CT_UPDATE_REOPEN, /**< begins a new flow of the same tuple; the old one is over */
	CT_UPDATE_OVER,   /**< the flow ends by it; the reason is set in the packet */
	CT_UPDATE_INVALID, /**< does not fit; the reason is set in the packet */
};

/** Longest text that an announcement is replaced by: an IPv6 address, a delimiter, a port. */
#define CT_TEXT_MAX (FLOWTAB_ADDR_STRLEN + 6)

/* ct_stream.flags */
#define CT_STREAM_KNOWN 0x01   /**< next holds */
#define CT_STREAM_WHOLE 0x02   /**< seen from its SYN on */
#define CT_STREAM_LINE 0x04    /**< next begins a line */
#define CT_STREAM_HOLE 0x08    /**< so does hole */
#define CT_STREAM_PENDING 0x10 /**< from, to, text hold */

/**
 * One direction of a TCP connection with a helper; all numbers are its sender's. One text at a time
 * is replaced: until the receiver has acknowledged it, it may come again, and nothing else behind
 * it is replaced. From then on all numbers differ by skew.
 */
struct ct_stream {
	uint32_t next; /**< behind all that was seen */
	uint32_t hole; /**< what came before this was seen, what came behind it, too */
	uint32_t skew; /**< bytes added so far, modulo 2^32 */
	uint32_t from, to;
	uint8_t flags; /**< CT_STREAM_* */
	uint8_t text_len;
	char text[CT_TEXT_MAX]; /**< what from .. to is replaced by */
};

/** More of a flow that has a helper. Numbers, not pointers: nothing here outlives its flow. */
struct ct_helped {
	uint32_t flow; /**< index, or the next free one */
	uint8_t helper;
	uint32_t expects; /**< expectations of this flow at present */
	struct ct_stream streams[FLOWTAB_SIDES];
};

struct ct_expects;

struct ct {
	struct flowtab *ft;
	struct flowtab_flow *flows; /**< flowtab_flows(ft) */
	bool seq_check, pickup;
	uint16_t slice, n_slices;
	/** Flows that were made or ended in this tracker's life: what was looked up before may be
	 * stale. */
	uint64_t changes;
	uint64_t rng; /**< see ct_random() */
	struct flowtab_sipkey sipkey;
	uint64_t nat_vain_ms; /**< in this ms ... */
	uint32_t nat_vain;    /**< so many choices of translation were looked at in vain */
	uint64_t timeout_ms[CT_POLICIES][CT_TIMEOUTS];
	uint8_t *zone_policy; /**< FLOWTAB_ZONES */
	struct ct_helped *helped;
	uint32_t helped_free; /**< first of those without a flow, chained by flow; FLOWTAB_NONE */
	struct ct_expects *expects;
	uint64_t reasons[CT_REASON_COUNT];
	uint64_t counts[CT_COUNTS_N];
};

/** Of the n ports from first on, the part that is this instance's: no other chooses them. */
static inline void
ct_slice_ports(const struct ct *ct, uint32_t *first, uint32_t *n)
{
	uint64_t from, to;

	if (ct->n_slices <= 1)
		return;
	from = (uint64_t)*n * ct->slice / ct->n_slices;
	to = (uint64_t)*n * (ct->slice + 1U) / ct->n_slices;
	*first += (uint32_t)from;
	*n = (uint32_t)(to - from);
}

static inline void
ct_count(struct ct *ct, enum ct_count c)
{
	__atomic_store_n(&ct->counts[c], ct->counts[c] + 1, __ATOMIC_RELAXED);
}

/** The packet goes no further: verdict, reason and state say so. @return false */
bool ct_refuse(struct ct *ct, struct ct_pkt *p, enum ct_verdict verdict, enum ct_reason reason);

static inline bool
ct_invalid(struct ct *ct, struct ct_pkt *p, enum ct_reason reason)
{
	return ct_refuse(ct, p, CT_INVALID, reason);
}

uint64_t ct_random(struct ct *ct);

/** Refresh the flow's deadline by a class of its policy. */
static inline void
ct_touch(struct ct *ct, uint32_t idx, enum ct_timeout class, uint64_t now_ms)
{
	struct flowtab_flow *f = &ct->flows[idx];

	f->tclass = class;
	flowtab_touch(ct->ft, idx, now_ms + ct->timeout_ms[f->policy][class]);
}

/** Pointer into the first segment. */
static inline void *
ct_at(const struct ct_pkt *p, uint32_t off)
{
	return rte_pktmbuf_mtod_offset(p->m, void *, off);
}

/** Are the headers the packet's alone? What others refer to as well must not be written. */
static inline bool
ct_is_writable(const struct rte_mbuf *m)
{
	if (unlikely(rte_mbuf_refcnt_read(m) != 1))
		return false;
	if (likely(RTE_MBUF_DIRECT(m)))
		return true;
	return RTE_MBUF_HAS_EXTBUF(m) && rte_mbuf_ext_refcnt_read(m->shinfo) == 1;
}

/** Bytes of L4 payload. */
static inline uint32_t
ct_payload_len(const struct ct_pkt *p)
{
	return p->l4_len - (uint32_t)(p->data_off - p->l4_off);
}

/* ---- ct_pkt.c ---- */

#define CT_ICMP_UNREACH 3
#define CT_ICMP_QUENCH 4
#define CT_ICMP_REDIRECT 5
#define CT_ICMP_TIME 11
#define CT_ICMP_PARAMPROB 12
#define CT_ICMP_ECHO_REPLY 0
#define CT_ICMP_ECHO 8
#define CT_ICMP6_ERROR_MAX 127
#define CT_ICMP6_ECHO 128
#define CT_ICMP6_ECHO_REPLY 129

/** Checksum and lengths of the transport. p->tuple is set. False: the packet was refused. */
bool ct_pkt_check(struct ct *ct, struct ct_pkt *p);
/** Is it an ICMP or ICMPv6 error? p->tuple is set. */
bool ct_pkt_is_icmp_error(const struct ct_pkt *p);
/** Is it an ICMP or ICMPv6 query that is answered (*reply false), or an answer? */
bool ct_pkt_is_icmp_query(const struct ct_pkt *p, bool *reply);
/**
 * Do ICMP (ICMPv6) messages of this type have an id: are they queries, or answers to them?
 * @param answer receives which
 */
bool ct_icmp_has_id(uint8_t proto, uint8_t type, bool *answer);
/**
 * Addresses, protocol and the first 8 transport bytes of an IP packet that lies in memory: that of
 * a frame, or one that an ICMP error quotes.
 * @param len   bytes at ip: at least the headers, up to those 8 bytes, must be there
 * @param quote the packet may have been a first fragment
 * @param tuple receives all but pif and zone; source as e
 * @param l4_off receives where the transport begins, from ip on
 * @param l4_len receives how long it is by the IP header, whether there or not
 * @return 0, -EINVAL, -EPROTONOSUPPORT, -EAGAIN: see ct_pkt_parse()
 */
int ct_ip_parse(const uint8_t *ip, uint32_t len, bool quote, struct flowtab_tuple *tuple,
	uint16_t *l4_off, uint32_t *l4_len);

/* ---- ct.c ---- */

/** Would the flow's next packet of the original direction be EST, of answers REL ...? CT_* bits. */
static inline uint8_t
ct_state_of(const struct flowtab_flow *f, unsigned int side)
{
	uint8_t state = CT_TRK;

	state |= (f->flags & CT_F_ANSWERED) != 0 ? CT_EST : CT_NEW;
	if (side == FLOWTAB_SIDE_OTHER)
		state |= CT_RPL;
	if (unlikely((f->flags & (CT_F_SNAT | CT_F_DNAT | CT_F_EXPECTED)) != 0)) {
		if ((f->flags & CT_F_SNAT) != 0)
			state |= CT_SNAT;
		if ((f->flags & CT_F_DNAT) != 0)
			state |= CT_DNAT;
		if ((f->flags & CT_F_EXPECTED) != 0)
			state |= CT_REL;
	}
	return state;
}
/** Mark and label of its flow, for the packet. */
void ct_tell(const struct ct *ct, struct ct_pkt *p);

/* ---- ct_tcp.c ---- */

/** May the segment begin a flow? Refuses it if not. */
bool ct_tcp_may_begin(struct ct *ct, struct ct_pkt *p);
/** It does: set up what is tracked. */
void ct_tcp_begin(struct ct *ct, const struct ct_pkt *p, uint32_t idx, uint64_t now_ms);
/** A segment of a flow, at p->side. */
enum ct_update ct_tcp_update(struct ct *ct, struct ct_pkt *p, uint64_t now_ms);
/** Is seq a number that the end at this side may have sent lately? Against forged ICMP errors. */
bool ct_tcp_has_sent(const struct flowtab_flow *f, unsigned int side, uint32_t seq);
/** @param buf receives the state of both ends; @return buf */
const char *ct_tcp_state_name(const struct flowtab_flow *f, char *buf, size_t size);

/* ---- ct_dgram.c: the same for all other protocols ---- */

bool ct_dgram_may_begin(struct ct *ct, struct ct_pkt *p);
void ct_dgram_begin(struct ct *ct, const struct ct_pkt *p, uint32_t idx, uint64_t now_ms);
enum ct_update ct_dgram_update(struct ct *ct, struct ct_pkt *p, uint64_t now_ms);
const char *ct_dgram_state_name(const struct flowtab_flow *f);

/* ---- ct_icmp.c ---- */

/** Any ICMP message but queries and answers (ct_pkt_is_icmp_query()): its output is written. */
void ct_icmp_error(struct ct *ct, struct ct_pkt *p, uint64_t now_ms);

/* ---- ct_nat.c ---- */

/**
 * What answers to the packet will look like once it is translated. A range of up to 4096 choices is
 * searched in full; of a larger one, as many. (After so many in vain within one ms, 64 a call.)
 * @param reply in: the answers' tuple without translation; out: with it, no other flow's
 * @param flags receives CT_F_SNAT, CT_F_DNAT for what differs
 * @return 0; -ENOSPC nothing in the range is free; -EINVAL a range of the other family
 */
int ct_nat_choose(struct ct *ct, const struct ct_pkt *p, const struct ct_nat *nat, uint64_t now_ms,
	struct flowtab_tuple *reply, uint16_t *flags);

/* ---- ct_rewrite.c ---- */

/** What is to stand in a packet; all fields, changed or not. */
struct ct_rewrite {
	struct flowtab_addr src, dst;
	rte_be16_t sport, dport; /**< ICMP queries: sport is the id */
};
/**
 * Translate a packet of a flow, as it came in at p->side, to what leaves at the other side: the
 * inverse of the other side's tuple. Does nothing for a flow without translation.
 */
void ct_nat_packet(struct ct *ct, struct ct_pkt *p);
/**
 * Write addresses and ports (or id) into the headers of the packet, and mend the checksums of IP
 * and transport by the difference; a partial one (CT_PKT_CSUM_PARTIAL) by that of the addresses.
 */
void ct_rewrite(struct ct_pkt *p, const struct ct_rewrite *to);
/** The inverse of the tuple of the flow's other side. */
void ct_rewrite_of(struct ct *ct, uint32_t idx, unsigned int side, struct ct_rewrite *to);
/**
 * The same for a packet that an ICMP error quotes: as far as its first bytes go.
 * @param ip   the quoted IP header, len bytes from it on are there
 * @return by how much the sum of the quoted bytes has changed (one's complement, folded), to be
 *         added to the error's own checksum
 */
uint16_t ct_rewrite_quote(uint8_t *ip, uint32_t len, const struct ct_rewrite *to);
/** RFC 1624, equation 3: the checksum after old bytes became new ones. len even. */
uint16_t ct_cksum_delta(uint16_t cksum, const void *old, const void *new, uint32_t len);

/* ---- ct_expect.c ---- */

/** A flow to come: what its first packet will look like; parts may be open. */
struct ct_expect {
	struct flowtab_tuple tuple; /**< eport 0: any; eaddr unspecified: any */
	uint64_t deadline_ms;       /**< set by ct_expect_add() */
	uint64_t parent;            /**< handle */
	/** With CT_F_DNAT / CT_F_SNAT in nat: what the child is translated to. */
	uint16_t nat;
	struct flowtab_addr dst;
	rte_be16_t dport;
	struct flowtab_addr src;
	uint8_t helper; /**< of the child */
};

/** How long one is kept: a peer that was told where to connect does so at once. */
#define CT_EXPECT_MS 30000

/** @return rte_errno EINVAL, ENOMEM with NULL */
struct ct_expects *ct_expects_create(const struct ct_params *p);
void ct_expects_destroy(struct ct_expects *x);
/** @return number of a living expectation that the tuple meets, or FLOWTAB_NONE */
uint32_t ct_expect_find(struct ct *ct, const struct flowtab_tuple *t, uint64_t now_ms);
/**
 * Keep it for its parent, which has a helper; one with the same tuple and parent is written anew,
 * the oldest of the parent's gives way at its cap. 0; -ENOSPC (counted)
 */
int ct_expect_add(struct ct *ct, const struct ct_expect *e, uint64_t now_ms);
const struct ct_expect *ct_expect_get(const struct ct *ct, uint32_t nr);
/** It was met, or is not wanted any more. */
void ct_expect_del(struct ct *ct, uint32_t nr);
/** The flow ends: its expectations do, too. */
void ct_expect_flush(struct ct *ct, uint64_t parent);
/** Remove those that have expired, budget at most. @return how many */
uint32_t ct_expects_expire(struct ct *ct, uint64_t now_ms, uint32_t budget);
/** The array of flows with a helper, all free. 0, -ENOMEM. */
int ct_helped_create(struct ct *ct, const struct ct_params *p);
/** Give the flow a helper; 0, or -ENOSPC. */
int ct_helped_add(struct ct *ct, uint32_t idx, enum ct_helper helper);
/** Take it away, and the flow's expectations; does nothing for a flow without. */
void ct_helped_del(struct ct *ct, uint32_t idx);

/* ---- ct_helper.c ---- */

/**
 * What helpers do to a packet of a flow with CT_F_HELPED, in this order; p->flow and p->side are
 * set. Each end of a connection counts the bytes that it has sent, or received; where a helper has
 * changed their number, the tracker goes by the sender's count:
 * 1. ct_helper_enter(): acknowledgement and SACK blocks become what the other end has sent
 * 2. tracking
 * 3. ct_helper_packet(): the payload, also of the packet whose flow is committed
 * 4. ct_nat_packet(): the headers
 * 5. ct_helper_adjust(): the sequence number becomes what the other end has received
 */
void ct_helper_enter(struct ct *ct, struct ct_pkt *p);
/**
 * Read what the packet announces. Addresses in its payload are translated as the headers will be;
 * the payload may change its length.
 * @return false: the packet was refused
 */
bool ct_helper_packet(struct ct *ct, struct ct_pkt *p, uint64_t now_ms);
void ct_helper_adjust(struct ct *ct, struct ct_pkt *p);
/**
 * A sequence number of a packet as it left, back as its sender counts.
 * @param side where the packet had come in
 */
uint32_t ct_helper_sent(const struct ct *ct, uint32_t idx, unsigned int side, uint32_t seq);

/** The packet's sender begins with another number; nothing of what it said before has arrived. */
void ct_stream_forget(struct ct *ct, const struct ct_pkt *p);

/** A segment's place in its stream. */
struct ct_seg {
	uint32_t seq;   /**< of its payload */
	uint32_t len;   /**< of its payload, as the sender counts */
	uint32_t fresh; /**< offset of payload that comes for the first time and begins a line */
};

/**
 * A segment comes: what of it is new? Text that was replaced is replaced again.
 * @return false: the packet was refused
 */
bool ct_stream_enter(struct ct *ct, struct ct_pkt *p, struct ct_seg *seg);
/** It goes on: what was seen was seen. */
void ct_stream_leave(struct ct *ct, const struct ct_pkt *p, const struct ct_seg *seg);
/** Is a replaced text not acknowledged yet? Then no other can be replaced. */
bool ct_stream_is_pending(const struct ct *ct, const struct ct_pkt *p);
/** May bytes at payload offset off be replaced by text so long? */
bool ct_stream_may_replace(
	const struct ct *ct, const struct ct_pkt *p, uint32_t off, uint32_t old_len, uint32_t len);
/** Replace them, now and whenever they come again. */
void ct_stream_replace(struct ct *ct, struct ct_pkt *p, const struct ct_seg *seg, uint32_t off,
	uint32_t old_len, const char *text, uint32_t len);
/**
 * Let go on what lies before payload offset off only; the rest will come again.
 * @return false: nothing does, the packet was refused
 */
bool ct_stream_hold(struct ct *ct, struct ct_pkt *p, struct ct_seg *seg, uint32_t off);

/* ct_ftp.c, ct_tftp.c: called by ct_helper_packet() */
bool ct_ftp_packet(struct ct *ct, struct ct_pkt *p, uint64_t now_ms);
bool ct_tftp_packet(struct ct *ct, struct ct_pkt *p, uint64_t now_ms);

#endif
