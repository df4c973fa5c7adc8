/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * TCP: states and windows of both ends.
 *
 * For each end are kept the end of what it has sent (end), how far the other end allows it to go
 * (maxend), and the largest window it has offered itself (maxwin, rounded up to a power of two). A
 * segment of seq .. seq + len with acknowledgement ack is valid if (van Rooij, "Real Stateful TCP
 * Packet Filtering in IP Filter", 2000)
 *   I   seq + len <= maxend of its sender, not counting a FIN: some send it into a full window,
 *   II  seq >= end of its sender - maxwin of the other,
 *   III ack <= end of the other,
 *   IV  ack >= end of the other - the larger of its sender's maxwin and 66000.
 * Of a connection that was picked up nobody knows what was under way before, so there III is
 *   III ack <= maxend of the other: what is acknowledged was sent.
 *
 * An RST must have the number that its receiver expects next. That is the end of what its sender
 * has sent, or, where some of that got lost behind us, what the other end has acknowledged last: an
 * end that has forgotten the connection answers with the latter (RFC 9293, 3.5.2).
 *
 * Four kinds of other segments are let through because TCP recovers by them; they change nothing
 * that is kept:
 *   - an RST with an acknowledgement, both numbers within the windows: its sender has said more
 * than we saw, and its receiver answers with a challenge (RFC 5961, 3);
 *   - a SYN into a living connection: its receiver answers with a challenge (RFC 5961, 4), or,
 *     when it has forgotten that connection, accepts the SYN: see begin_again();
 *   - an ACK in answer to the first SYN: the challenge of an end that still has an old connection;
 *   - an RST by who sent the first SYN, before it was accepted: the answer to that challenge
 *     (RFC 9293, 3.5.1).
 */
#include <stdio.h>

#include <rte_tcp.h>

#include "ct_priv.h"

#define FLAG_FIN RTE_TCP_FIN_FLAG
#define FLAG_SYN RTE_TCP_SYN_FLAG
#define FLAG_RST RTE_TCP_RST_FLAG
#define FLAG_ACK RTE_TCP_ACK_FLAG

/** Acknowledgements may be as old as this, whatever the window. */
#define ACK_WINDOW 66000
#define SCALE_MAX 14
#define OPT_END 0
#define OPT_NOP 1
#define OPT_SCALE 3

/** What one end has done, in order. A segment moves its sender's state; an ACK the other's. */
enum end_state {
	END_UNSEEN = 0,
	END_SYN_SENT,
	END_ESTABLISHED, /**< its SYN is acknowledged */
	END_FIN_SENT,
	END_FIN_ACKED,
	END_RESET, /**< both ends, by the RST of either */
};

/* tcp_end.flags */
#define END_SCALE 0x0f     /**< shift of its windows */
#define END_OFFERED 0x10   /**< its SYN had the option */
#define END_SCALED 0x20    /**< so had the other's: in effect */
#define END_PICKED_UP 0x40 /**< what it sent before is not known */
#define END_AGAIN 0x80     /**< has sent a SYN into the living connection, and nothing since */

/** As maxwin: any window, whatever its scale. */
#define MAXWIN_ANY 30
static_assert(UINT64_C(1) << MAXWIN_ANY >= (uint64_t)UINT16_MAX << SCALE_MAX, "any window");

struct tcp_end {
	uint32_t end;
	uint32_t maxend;
	/** Low half of the last acknowledgement of what it has sent; with END_AGAIN, of what will
	 * acknowledge that SYN. */
	uint16_t acked;
	uint8_t flags;
	uint8_t state : 3;  /**< enum end_state */
	uint8_t maxwin : 5; /**< binary logarithm */
};

struct tcp_track {
	struct tcp_end ends[FLOWTAB_SIDES];
};
static_assert(sizeof(struct tcp_track) <= sizeof(((struct flowtab_flow *)0)->track), "fits a flow");

/** A segment's header in host order. */
struct segment {
	uint32_t seq, ack, len; /**< len: payload, SYN and FIN */
	uint16_t win;
	uint8_t flags;
};

static inline bool
seq_le(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) <= 0;
}

static inline struct tcp_track *
track_of(struct ct *ct, uint32_t idx)
{
	return (struct tcp_track *)ct->flows[idx].track;
}

static inline void
segment_read(const struct ct_pkt *p, struct segment *s)
{
	struct rte_tcp_hdr h;

	memcpy(&h, ct_at(p, p->l4_off), sizeof(h));
	s->seq = rte_be_to_cpu_32(h.sent_seq);
	s->ack = rte_be_to_cpu_32(h.recv_ack);
	s->win = rte_be_to_cpu_16(h.rx_win);
	s->flags = h.tcp_flags;
	s->len = ct_payload_len(p) + ((h.tcp_flags & FLAG_SYN) != 0) +
		((h.tcp_flags & FLAG_FIN) != 0);
}

static inline bool
is_syn_alone(const struct segment *s)
{
	return (s->flags & (FLAG_SYN | FLAG_ACK)) == FLAG_SYN;
}

/** Combinations that no TCP sends. */
static inline bool
flags_ok(uint8_t flags)
{
	switch (flags & (FLAG_SYN | FLAG_RST | FLAG_FIN | FLAG_ACK)) {
	case FLAG_SYN:
	case FLAG_RST:
	case FLAG_ACK:
	case FLAG_SYN | FLAG_ACK:
	case FLAG_RST | FLAG_ACK:
	case FLAG_FIN | FLAG_ACK:
		return true;
	case FLAG_RST | FLAG_FIN | FLAG_ACK:
		/* Seen of old stacks. */
		return true;
	default:
		return false;
	}
}

/** The window scale that a SYN offers (RFC 7323, 2.2); false: none. */
static bool
read_scale(const struct ct_pkt *p, uint8_t *scale)
{
	const uint8_t *opt = ct_at(p, p->l4_off + sizeof(struct rte_tcp_hdr));
	uint32_t n = p->data_off - p->l4_off - (uint32_t)sizeof(struct rte_tcp_hdr);

	for (uint32_t i = 0; i < n && opt[i] != OPT_END;) {
		if (opt[i] == OPT_NOP) {
			i++;
			continue;
		}
		if (i + 1 >= n || opt[i + 1] < 2 || i + opt[i + 1] > n)
			return false;
		if (opt[i] == OPT_SCALE && opt[i + 1] == 3) {
			*scale = RTE_MIN(opt[i + 2], SCALE_MAX);
			return true;
		}
		i += opt[i + 1];
	}
	return false;
}

static inline unsigned int
shift_of(const struct tcp_end *e)
{
	return (e->flags & END_SCALED) != 0 ? e->flags & END_SCALE : 0;
}

static inline uint32_t
maxwin_bytes(const struct tcp_end *e)
{
	return UINT32_C(1) << e->maxwin;
}

/** @param bytes a window, 1 GiB at most */
static inline void
offer_window(struct tcp_end *e, uint32_t bytes)
{
	if (unlikely(bytes > maxwin_bytes(e)))
		e->maxwin = 32 - (unsigned int)__builtin_clz(bytes - 1);
}

/** A SYN: scaling is in effect once both have offered it. */
static void
learn_scale(const struct ct_pkt *p, struct tcp_end *src, struct tcp_end *dst)
{
	uint8_t scale = 0;

	if ((src->flags & END_SCALED) != 0)
		return;
	src->flags &= (uint8_t) ~(END_SCALE | END_OFFERED);
	if (!read_scale(p, &scale))
		return;
	src->flags |= END_OFFERED | scale;
	if ((dst->flags & END_OFFERED) != 0) {
		src->flags |= END_SCALED;
		dst->flags |= END_SCALED;
	}
}

/** What the segment offers. A SYN's window is never scaled (RFC 7323, 2.2). */
static inline uint32_t
window_of(const struct segment *s, const struct tcp_end *src)
{
	return (s->flags & FLAG_SYN) != 0 ? s->win : (uint32_t)s->win << shift_of(src);
}

/** How far the other end may go, by an acknowledgement and its window; a probe always fits. */
static inline void
allow(struct tcp_end *dst, uint32_t to)
{
	if (!seq_le(to, dst->maxend))
		dst->maxend = to;
}

/** No number from here on was sent yet. */
static inline uint32_t
newest_of(const struct tcp_end *e)
{
	return unlikely((e->flags & END_PICKED_UP) != 0) ? e->maxend : e->end;
}

/** I to IV, see above. */
static inline bool
in_window(const struct segment *s, const struct tcp_end *src, const struct tcp_end *dst)
{
	uint32_t oldest = RTE_MAX(maxwin_bytes(src), (uint32_t)ACK_WINDOW);
	uint32_t fin = (s->flags & FLAG_FIN) != 0;

	if (!seq_le(s->seq + s->len - fin, src->maxend) ||
		!seq_le(src->end - maxwin_bytes(dst), s->seq))
		return false;
	return (s->flags & FLAG_ACK) == 0 ||
		(seq_le(s->ack, newest_of(dst)) && seq_le(dst->end - oldest, s->ack));
}

static enum ct_timeout
timeout_class(const struct tcp_track *t, bool answered)
{
	uint8_t a = t->ends[0].state, b = t->ends[1].state;
	uint8_t least = RTE_MIN(a, b), most = RTE_MAX(a, b);

	if (least >= END_FIN_ACKED)
		return CT_TIMEOUT_TCP_CLOSED;
	if (least >= END_FIN_SENT)
		return CT_TIMEOUT_TCP_FIN_WAIT;
	if (least == END_UNSEEN && most == END_SYN_SENT)
		return CT_TIMEOUT_TCP_FIRST;
	/* What was picked up may be a connection, or a scan. */
	if (least < END_ESTABLISHED || unlikely(!answered))
		return CT_TIMEOUT_TCP_OPENING;
	return most >= END_FIN_SENT ? CT_TIMEOUT_TCP_CLOSING : CT_TIMEOUT_TCP_ESTABLISHED;
}

/** The first SYN, or it again, perhaps with another number. */
static void
syn_begin(const struct ct_pkt *p, const struct segment *s, struct tcp_track *t, unsigned int side)
{
	struct tcp_end *src = &t->ends[side];
	uint8_t scale;

	*t = (struct tcp_track){ 0 };
	src->end = s->seq + s->len;
	src->maxend = src->end;
	src->acked = (uint16_t)src->end;
	src->state = END_SYN_SENT;
	offer_window(src, s->win);
	if (read_scale(p, &scale))
		src->flags = END_OFFERED | scale;
}

/**
 * An end of which nothing is known but where it has come to: neither how windows are scaled, so the
 * largest scale is assumed, nor how large they were.
 */
static inline struct tcp_end
end_unknown(uint32_t end, enum end_state state)
{
	return (struct tcp_end){
		.end = end,
		.maxend = end + ((uint32_t)UINT16_MAX << SCALE_MAX),
		.acked = (uint16_t)end,
		.flags = END_SCALED | SCALE_MAX | END_PICKED_UP,
		.state = state,
		.maxwin = MAXWIN_ANY,
	};
}

/** In the middle. This segment may be older than what went before, so its window says little. */
static void
pickup_begin(const struct segment *s, struct tcp_track *t)
{
	struct tcp_end *src = &t->ends[FLOWTAB_SIDE_GUEST], *dst = &t->ends[FLOWTAB_SIDE_OTHER];

	*src = end_unknown(
		s->seq + s->len, (s->flags & FLAG_FIN) != 0 ? END_FIN_SENT : END_ESTABLISHED);
	*dst = end_unknown(s->ack, END_ESTABLISHED);
}

bool
ct_tcp_may_begin(struct ct *ct, struct ct_pkt *p)
{
	struct segment s;

	segment_read(p, &s);
	if (!flags_ok(s.flags))
		return ct_invalid(ct, p, CT_REASON_TCP_FLAGS);
	if ((s.flags & FLAG_RST) != 0 || (s.flags & (FLAG_SYN | FLAG_ACK)) == (FLAG_SYN | FLAG_ACK))
		return ct_invalid(ct, p, CT_REASON_TCP_STATE);
	if ((s.flags & FLAG_SYN) == 0 && !ct->pickup)
		return ct_invalid(ct, p, CT_REASON_TCP_PICKUP);
	return true;
}

void
ct_tcp_begin(struct ct *ct, const struct ct_pkt *p, uint32_t idx, uint64_t now_ms)
{
	struct tcp_track *t = track_of(ct, idx);
	struct segment s;

	segment_read(p, &s);
	if ((s.flags & FLAG_SYN) != 0) {
		syn_begin(p, &s, t, FLOWTAB_SIDE_GUEST);
	} else {
		pickup_begin(&s, t);
		ct_count(ct, CT_COUNT_PICKUPS);
	}
	ct_touch(ct, idx, timeout_class(t, false), now_ms);
}

/** What the segment tells of its sender and, by its acknowledgement, of the other. */
static inline void
advance(const struct segment *s, struct tcp_end *src, struct tcp_end *dst)
{
	if (!seq_le(s->seq + s->len, src->end))
		src->end = s->seq + s->len;
	offer_window(src, window_of(s, src));
	src->flags &= (uint8_t)~END_AGAIN;
	if ((s->flags & FLAG_SYN) != 0 && src->state < END_SYN_SENT)
		src->state = END_SYN_SENT;
	if ((s->flags & FLAG_FIN) != 0 && src->state < END_FIN_SENT)
		src->state = END_FIN_SENT;
	if ((s->flags & FLAG_ACK) == 0)
		return;
	if (unlikely((dst->flags & END_PICKED_UP) != 0) && !seq_le(s->ack, dst->end))
		dst->end = s->ack;
	dst->acked = (uint16_t)s->ack;
	allow(dst, s->ack + RTE_MAX(window_of(s, src), 1U));
	if (dst->state == END_SYN_SENT)
		dst->state = END_ESTABLISHED;
	else if (unlikely(dst->state == END_FIN_SENT) && s->ack == dst->end)
		dst->state = END_FIN_ACKED;
}

/** The first segment that is seen of the end that was spoken to. */
static enum ct_update
first_answer(struct ct *ct, struct ct_pkt *p, const struct segment *s, struct tcp_end *src,
	struct tcp_end *dst)
{
	bool acks_it = (s->flags & FLAG_ACK) != 0 && s->ack == dst->end;

	if ((s->flags & FLAG_RST) != 0) {
		if (ct->seq_check && !acks_it) {
			ct_invalid(ct, p, CT_REASON_TCP_RST);
			return CT_UPDATE_INVALID;
		}
		src->state = dst->state = END_RESET;
		return CT_UPDATE_VALID;
	}
	if ((s->flags & FLAG_SYN) == 0) {
		if (!ct->seq_check || s->len == 0)
			return CT_UPDATE_VALID;
		/* A challenge bears no data. */
		ct_invalid(ct, p, CT_REASON_TCP_SEQ);
		return CT_UPDATE_INVALID;
	}
	if (ct->seq_check && (s->flags & FLAG_ACK) != 0 &&
		!(seq_le(s->ack, dst->end) && seq_le(dst->end - maxwin_bytes(dst) - 1, s->ack))) {
		ct_invalid(ct, p, CT_REASON_TCP_SEQ);
		return CT_UPDATE_INVALID;
	}
	/* What the first SYN offered is what this end may send. */
	src->end = s->seq + s->len;
	src->maxend = src->end + maxwin_bytes(dst);
	src->acked = (uint16_t)src->end;
	src->maxwin = 0;
	learn_scale(p, src, dst);
	if ((s->flags & FLAG_ACK) == 0)
		allow(dst, dst->end + RTE_MAX(window_of(s, src), 1U));
	advance(s, src, dst);
	return CT_UPDATE_VALID;
}

/** Who makes his numbers by SYN cookies makes others a minute later. */
static enum ct_update
answer_anew(struct ct *ct, struct ct_pkt *p, const struct segment *s, struct tcp_end *src,
	struct tcp_end *dst)
{
	enum ct_update update = first_answer(ct, p, s, src, dst);

	if (update == CT_UPDATE_VALID)
		ct_stream_forget(ct, p);
	return update;
}

/** Is the number one that the other end may expect? */
static bool
is_next(const struct segment *s, const struct tcp_end *src, const struct tcp_end *dst)
{
	return s->seq == src->end ||
		((uint16_t)s->seq == src->acked && seq_le(s->seq, src->end) &&
			seq_le(src->end - maxwin_bytes(dst), s->seq));
}

/**
 * Could it be, if something got lost before us? Whoever guesses has to guess two numbers, and still
 * is challenged (RFC 5961, 3.2).
 */
static bool
may_be_next(const struct segment *s, const struct tcp_end *src, const struct tcp_end *dst)
{
	return (s->flags & FLAG_ACK) != 0 && ((src->flags | dst->flags) & END_PICKED_UP) == 0 &&
		in_window(s, src, dst);
}

/** An RST of an end that has been seen. */
static enum ct_update
reset(struct ct *ct, struct ct_pkt *p, const struct segment *s, struct tcp_end *src,
	struct tcp_end *dst)
{
	if (dst->state == END_UNSEEN && s->seq != src->end)
		return CT_UPDATE_VALID;
	if (ct->seq_check && !is_next(s, src, dst)) {
		if (may_be_next(s, src, dst))
			return CT_UPDATE_PASS;
		ct_invalid(ct, p, CT_REASON_TCP_RST);
		return CT_UPDATE_INVALID;
	}
	src->state = dst->state = END_RESET;
	return CT_UPDATE_VALID;
}

/** Is the SYN|ACK the answer to a SYN that was let through? */
static inline bool
answers_again(const struct segment *s, const struct tcp_end *dst)
{
	return (dst->flags & END_AGAIN) != 0 && (uint16_t)s->ack == dst->acked;
}

/**
 * A SYN was let through, and now it is accepted: both ends have forgotten the connection, and begin
 * another without our having seen the end of the first. What the SYN offered was not kept. Nor
 * does a helper know where the streams begin: there the SYN has to come again, and begin a flow.
 */
static enum ct_update
begin_again(struct ct *ct, struct ct_pkt *p, const struct segment *s, struct tcp_end *src,
	struct tcp_end *dst)
{
	if ((ct->flows[p->flow].flags & CT_F_HELPED) != 0) {
		ct_invalid(ct, p, CT_REASON_TCP_STATE);
		return CT_UPDATE_OVER;
	}
	*src = end_unknown(s->seq + s->len, END_SYN_SENT);
	*dst = end_unknown(s->ack, END_ESTABLISHED);
	return CT_UPDATE_VALID;
}

static enum ct_update
segment_of_flow(struct ct *ct, struct ct_pkt *p, const struct segment *s, struct tcp_end *src,
	struct tcp_end *dst)
{
	bool fits;

	if (unlikely(src->state == END_UNSEEN))
		return first_answer(ct, p, s, src, dst);
	if (unlikely((s->flags & FLAG_RST) != 0))
		return reset(ct, p, s, src, dst);
	fits = !ct->seq_check || in_window(s, src, dst);
	if (is_syn_alone(s) && (!fits || src->state >= END_ESTABLISHED)) {
		src->flags |= END_AGAIN;
		src->acked = (uint16_t)(s->seq + 1);
		return CT_UPDATE_PASS;
	}
	/* Of what was picked up, windows tell little. */
	if ((s->flags & FLAG_SYN) != 0 && (!fits || (src->flags & END_PICKED_UP) != 0) &&
		answers_again(s, dst))
		return begin_again(ct, p, s, src, dst);
	if (unlikely(!fits)) {
		if ((s->flags & FLAG_SYN) != 0 && src->state == END_SYN_SENT)
			return answer_anew(ct, p, s, src, dst);
		ct_invalid(ct, p, CT_REASON_TCP_SEQ);
		return CT_UPDATE_INVALID;
	}
	if (unlikely((s->flags & FLAG_SYN) != 0))
		learn_scale(p, src, dst);
	advance(s, src, dst);
	return CT_UPDATE_VALID;
}

/** Unanswered, also when it was picked up, or answered by no more than a challenge. */
static inline bool
may_begin_anew(const struct flowtab_flow *f, unsigned int side)
{
	const struct tcp_track *t = (const struct tcp_track *)f->track;

	return side == FLOWTAB_SIDE_GUEST &&
		((f->flags & CT_F_ANSWERED) == 0 ||
			t->ends[FLOWTAB_SIDE_OTHER].state == END_UNSEEN);
}

enum ct_update
ct_tcp_update(struct ct *ct, struct ct_pkt *p, uint64_t now_ms)
{
	struct tcp_track *t = track_of(ct, p->flow);
	struct tcp_end *src = &t->ends[p->side], *dst = &t->ends[!p->side];
	enum ct_timeout class;
	enum ct_update update;
	struct segment s;
	bool answered;

	segment_read(p, &s);
	if (unlikely(!flags_ok(s.flags))) {
		ct_invalid(ct, p, CT_REASON_TCP_FLAGS);
		return CT_UPDATE_INVALID;
	}
	if (unlikely(is_syn_alone(&s))) {
		if (src->state >= END_FIN_SENT && dst->state >= END_FIN_SENT)
			return CT_UPDATE_REOPEN;
		if (may_begin_anew(&ct->flows[p->flow], p->side)) {
			syn_begin(p, &s, t, p->side);
			ct_touch(ct, p->flow, CT_TIMEOUT_TCP_FIRST, now_ms);
			return CT_UPDATE_VALID_NEW;
		}
	}
	update = segment_of_flow(ct, p, &s, src, dst);
	if (unlikely(update != CT_UPDATE_VALID))
		return update;
	answered = p->side == FLOWTAB_SIDE_OTHER || (ct->flows[p->flow].flags & CT_F_ANSWERED) != 0;
	class = timeout_class(t, answered);
	if (unlikely(class == CT_TIMEOUT_TCP_CLOSED || class == CT_TIMEOUT_TCP_FIN_WAIT))
		flowtab_close(ct->ft, p->flow);
	ct_touch(ct, p->flow, class, now_ms);
	return update;
}

bool
ct_tcp_has_sent(const struct flowtab_flow *f, unsigned int side, uint32_t seq)
{
	const struct tcp_end *e = &((const struct tcp_track *)f->track)->ends[side];
	const struct tcp_end *other = &((const struct tcp_track *)f->track)->ends[!side];
	uint32_t oldest = RTE_MAX(maxwin_bytes(other), (uint32_t)ACK_WINDOW);

	return e->state != END_UNSEEN && seq_le(seq, newest_of(e)) && seq_le(e->end - oldest, seq);
}

const char *
ct_tcp_state_name(const struct flowtab_flow *f, char *buf, size_t size)
{
	static const char *const names[] = { "UNSEEN", "SYN_SENT", "ESTABLISHED", "FIN_SENT",
		"FIN_ACKED", "RESET" };
	const struct tcp_track *t = (const struct tcp_track *)f->track;
	const char *a = names[t->ends[0].state], *b = names[t->ends[1].state];

	if (a == b)
		snprintf(buf, size, "%s", a);
	else
		snprintf(buf, size, "%s/%s", a, b);
	return buf;
}
