/* SPDX-License-Identifier: BSD-3-Clause */
#include "ct_model.h"

#include <stddef.h>
#include <string.h>

#define S 1000ULL
#define MIN (60 * S)
#define H (60 * MIN)
/** A scale that is not known is taken for this one. */
#define SCALE_GUESS 7
/** An end may go back this far without anybody wondering. */
#define NEAR 60000

/** RFC 9293, 3.4: a is before b, or the same. */
static bool
seq_le(uint32_t a, uint32_t b)
{
	return (int32_t)(b - a) >= 0;
}

/** How far a is beyond b; 0: it is not. */
static uint32_t
beyond(uint32_t a, uint32_t b)
{
	return seq_le(a, b) ? 0 : a - b;
}

/* ---- flows ---- */

static bool
tuple_eq(const struct model_tuple *a, const struct model_tuple *b)
{
	return a->sport == b->sport && a->dport == b->dport && a->proto == b->proto &&
		a->answer == b->answer && a->zone == b->zone && pkt_addr_eq(&a->src, &b->src) &&
		pkt_addr_eq(&a->dst, &b->dst);
}

static struct model_tuple
tuple_turned(const struct model_tuple *t)
{
	struct model_tuple r = *t;

	r.src = t->dst;
	r.dst = t->src;
	r.sport = t->dport;
	r.dport = t->sport;
	r.answer = (t->proto == IPPROTO_ICMP || t->proto == IPPROTO_ICMPV6) && !t->answer;
	return r;
}

static bool
icmp_is_answer(uint8_t proto, uint8_t type)
{
	return type == (proto == IPPROTO_ICMP ? 0 : 129);
}

static struct model_tuple
tuple_of(const struct pkt_view *v, uint16_t zone)
{
	struct model_tuple t = {
		.src = v->src,
		.dst = v->dst,
		.sport = v->sport,
		.dport = v->dport,
		.proto = v->proto,
		.zone = zone,
	};

	if (v->proto == IPPROTO_ICMP || v->proto == IPPROTO_ICMPV6) {
		t.sport = (uint16_t)(v->icmp_rest >> 16);
		t.dport = t.sport;
		t.answer = icmp_is_answer(v->proto, v->icmp_type);
	}
	return t;
}

/** @return the flow that has not expired for certain, *dir: which way */
static struct model_flow *
find(struct model *m, const struct model_tuple *t, uint64_t now_ms, unsigned int *dir)
{
	for (unsigned int i = 0; i < m->n; i++) {
		struct model_flow *f = &m->flow[i];

		if (!f->used)
			continue;
		if (now_ms >= f->last_ms + f->max_ms) {
			f->used = false;
			m->expired++;
			continue;
		}
		for (*dir = 0; *dir < 2; ++*dir) {
			if (tuple_eq(&f->in[*dir], t))
				return f;
		}
	}
	return NULL;
}

static struct model_flow *
flow_add(struct model *m)
{
	for (unsigned int i = 0; i < MODEL_FLOWS; i++) {
		struct model_flow *f = &m->flow[i];

		if (f->used)
			continue;
		memset(f, 0, sizeof(*f));
		f->used = true;
		if (i >= m->n)
			m->n = i + 1;
		return f;
	}
	return NULL;
}

/* ---- TCP: what a segment is to its connection ---- */

enum judgement {
	WRONG,  /**< does not belong to it */
	FITS,   /**< belongs to it */
	PASSES, /**< is for its receiver to judge: changes nothing that is known */
	BEGINS, /**< the old one is over, this begins another */
	UNSURE,
};

static uint8_t
flags_of(const struct pkt_view *v)
{
	return v->tcp.flags & (PKT_SYN | PKT_ACK | PKT_RST | PKT_FIN);
}

/** RFC 9293, 3.10.7: all but a SYN and a RST bear an ACK; SYN goes with neither FIN nor RST. */
static bool
flags_are_possible(uint8_t flags)
{
	if ((flags & PKT_SYN) != 0)
		return (flags & (PKT_FIN | PKT_RST)) == 0;
	if ((flags & PKT_RST) != 0)
		return (flags & PKT_FIN) == 0;
	return (flags & PKT_ACK) != 0;
}

static uint32_t
seg_end(const struct pkt_view *v)
{
	return v->tcp.seq + (uint32_t)v->data_len + ((v->tcp.flags & PKT_SYN) != 0) +
		((v->tcp.flags & PKT_FIN) != 0);
}

/** Far outside of all that the ends have agreed on: no tolerance would let it pass. */
static bool
is_far(const struct model_flow *f, unsigned int d, const struct pkt_view *v)
{
	const struct model_end *me = &f->end[d], *peer = &f->end[1 - d];

	if (me->known &&
		(beyond(seg_end(v), me->end) > MODEL_FAR ||
			beyond(me->end, v->tcp.seq) > MODEL_FAR))
		return true;
	return peer->known && (v->tcp.flags & PKT_ACK) != 0 &&
		(beyond(v->tcp.ack, peer->end) > MODEL_FAR ||
			beyond(peer->end, v->tcp.ack) > MODEL_FAR);
}

static enum judgement
judge_syn(const struct model_flow *f, unsigned int d, const struct pkt_view *v)
{
	const struct model_end *me = &f->end[d], *peer = &f->end[1 - d];

	/* Nobody has answered: who began it begins anew, or once more. */
	if (!f->answered && d == 0 && !f->rst)
		return FITS;
	if (f->picked_up)
		return UNSURE;
	if (me->fin_acked && peer->fin_acked)
		return BEGINS;
	if (f->rst || me->fin || peer->fin)
		return UNSURE;
	/* RFC 9293, figure 7: simultaneous open. */
	if (!me->known)
		return peer->syn && !peer->acked ? FITS : UNSURE;
	/* RFC 5961, 4.2: the receiver of a SYN sends a challenge, whatever the numbers. */
	return is_far(f, d, v) && me->acked && peer->acked ? PASSES : UNSURE;
}

static enum judgement
judge_syn_ack(const struct model_flow *f, unsigned int d, const struct pkt_view *v)
{
	const struct model_end *me = &f->end[d], *peer = &f->end[1 - d];

	if (f->rst || f->picked_up || !peer->syn || me->fin)
		return UNSURE;
	if (is_far(f, d, v)) {
		/* RFC 4987, 3.6: an end with SYN cookies does not know what it has said. */
		if (!me->acked && v->tcp.ack == peer->isn + 1)
			return UNSURE;
		return me->acked && peer->acked ? UNSURE : WRONG;
	}
	if (v->tcp.ack != peer->isn + 1 || (me->known && v->tcp.seq != me->isn))
		return UNSURE;
	return !me->known || beyond(me->end, v->tcp.seq) < NEAR ? FITS : UNSURE;
}

/** RFC 5961, 3.2: an RST whose numbers fit, but not to the very one; it ends nothing by itself. */
static bool
is_challenged(const struct model_flow *f, unsigned int d, const struct pkt_view *v)
{
	const struct model_end *me = &f->end[d];

	return (flags_of(v) & (PKT_RST | PKT_ACK)) == (PKT_RST | PKT_ACK) && me->known &&
		f->end[1 - d].known && !f->rst && !f->picked_up && v->tcp.seq != me->end &&
		!(me->acked && v->tcp.seq == me->next) && !is_far(f, d, v);
}

/** RFC 5961, 3.2: the very number that is expected. */
static enum judgement
judge_rst(const struct model_flow *f, unsigned int d, const struct pkt_view *v)
{
	const struct model_end *me = &f->end[d], *peer = &f->end[1 - d];

	if (f->rst || f->picked_up || (me->fin && peer->fin))
		return UNSURE;
	/* RFC 9293, 3.5.2: a connection that is refused. */
	if (!me->known)
		return (v->tcp.flags & PKT_ACK) != 0 && v->tcp.ack == peer->end && v->tcp.seq == 0
			? FITS
			: UNSURE;
	/* RFC 9293, 3.5.2: who has forgotten the connection goes by the acknowledgement. */
	if (me->acked && v->tcp.seq == me->next)
		return FITS;
	/* RFC 5961, 3.2: within both windows, its receiver asks for the exact one. */
	if (is_challenged(f, d, v))
		return UNSURE;
	/* RFC 9293, 3.5.1: the answer to the ACK of such an end goes by that one's number. */
	if (v->tcp.seq != me->end)
		return peer->known ? WRONG : PASSES;
	return is_far(f, d, v) ? UNSURE : FITS;
}

static enum judgement
judge_other(const struct model_flow *f, unsigned int d, const struct pkt_view *v)
{
	const struct model_end *me = &f->end[d], *peer = &f->end[1 - d];
	uint32_t back = peer->window < NEAR ? peer->window : NEAR;

	if (f->rst)
		return UNSURE;
	/* RFC 9293, 3.5.1: the answer of an end that has an older connection still; no data. */
	if (!me->known && !f->picked_up)
		return v->data_len == 0 && flags_of(v) == PKT_ACK ? PASSES : UNSURE;
	if (!me->known)
		return is_far(f, d, v) ? UNSURE : FITS;
	if (is_far(f, d, v))
		return WRONG;
	if (!peer->known)
		return f->picked_up ? FITS : UNSURE;
	if (!me->limited || !seq_le(seg_end(v), me->limit) || beyond(me->end, v->tcp.seq) > back)
		return UNSURE;
	if (!seq_le(v->tcp.ack, peer->end) || beyond(peer->end, v->tcp.ack) > NEAR)
		return UNSURE;
	return FITS;
}

static enum judgement
judge(const struct model_flow *f, unsigned int d, const struct pkt_view *v)
{
	uint8_t flags = flags_of(v);

	if (!flags_are_possible(flags))
		return WRONG;
	if (flags == PKT_SYN)
		return judge_syn(f, d, v);
	if ((flags & PKT_SYN) != 0)
		return judge_syn_ack(f, d, v);
	return (flags & PKT_RST) != 0 ? judge_rst(f, d, v) : judge_other(f, d, v);
}

/** A segment without a connection. */
static enum judgement
judge_first(const struct pkt_view *v)
{
	uint8_t flags = flags_of(v);

	if (!flags_are_possible(flags) || flags == (PKT_SYN | PKT_ACK))
		return WRONG;
	if (flags == PKT_SYN)
		return BEGINS;
	/* In the middle of a connection: FIN and RST begin nothing, says one; OVS lets them. */
	return (flags & (PKT_FIN | PKT_RST)) != 0 ? UNSURE : BEGINS;
}

/* ---- TCP: what a segment tells ---- */

static bool
scales_are_used(const struct model_flow *f)
{
	return f->end[0].syn && f->end[1].syn && f->end[0].scale >= 0 && f->end[1].scale >= 0;
}

/** RFC 7323, 2.2: the window in a SYN is never scaled. */
static uint32_t
window_of(const struct model_flow *f, unsigned int d, const struct pkt_view *v)
{
	if ((v->tcp.flags & PKT_SYN) != 0)
		return v->tcp.win;
	if (f->picked_up)
		return (uint32_t)v->tcp.win << SCALE_GUESS;
	return scales_are_used(f) ? (uint32_t)v->tcp.win << f->end[d].scale : v->tcp.win;
}

static void
learn_ack(struct model_flow *f, unsigned int d, const struct pkt_view *v, uint32_t window)
{
	struct model_end *peer = &f->end[1 - d];
	uint32_t limit = v->tcp.ack + window;

	if (!peer->limited || seq_le(peer->limit, limit))
		peer->limit = limit;
	peer->limited = true;
	if (peer->syn && seq_le(peer->isn + 1, v->tcp.ack))
		peer->acked = true;
	peer->next = v->tcp.ack;
	if (peer->fin && seq_le(peer->fin_end, v->tcp.ack))
		peer->fin_acked = true;
	if (!peer->known && f->picked_up) {
		peer->known = true;
		peer->end = v->tcp.ack;
	}
}

static void
tcp_timeout(struct model_flow *f)
{
	const struct model_end *a = &f->end[0], *b = &f->end[1];

	f->max_ms = 0;
	if (f->rst)
		f->min_ms = 30 * S;
	else if (a->fin_acked && b->fin_acked)
		f->min_ms = 30 * S, f->max_ms = 45 * S;
	else if (a->fin && b->fin)
		f->min_ms = 45 * S;
	else if (f->picked_up)
		f->min_ms = 30 * S, f->max_ms = f->answered ? 24 * H : 0;
	else if (a->fin || b->fin)
		f->min_ms = 15 * MIN;
	else if (a->acked && b->acked)
		f->min_ms = 24 * H;
	else
		f->min_ms = 30 * S;
	if (f->max_ms == 0)
		f->max_ms = f->min_ms;
}

/** A SYN that had passed was accepted: another connection, whose windows nobody has seen. */
static void
tcp_begin_again(struct model_flow *f, unsigned int d, const struct pkt_view *v)
{
	memset(f->end, 0, sizeof(f->end));
	f->end[1 - d].known = true;
	f->end[1 - d].end = v->tcp.ack;
	f->rst = false;
	f->picked_up = true;
}

static void
tcp_learn(struct model_flow *f, unsigned int d, const struct pkt_view *v)
{
	struct model_end *me = &f->end[d], *peer = &f->end[1 - d];
	uint8_t flags = flags_of(v);
	uint32_t end = seg_end(v), window;

	if ((flags & PKT_RST) != 0) {
		f->rst = true;
		tcp_timeout(f);
		return;
	}
	if (flags == (PKT_SYN | PKT_ACK) && me->syn && !me->acked && v->tcp.seq != me->isn)
		memset(me, 0, sizeof(*me));
	if ((flags & PKT_SYN) != 0 && !me->syn) {
		me->syn = true;
		me->isn = v->tcp.seq;
		me->scale = v->tcp.wscale;
	}
	if (!me->known) {
		me->end = end;
		/* All that the other has said of its window is the one in its SYN. */
		if (!me->limited && peer->syn) {
			me->limit = v->tcp.seq + 1 + peer->window;
			me->limited = true;
		}
	}
	if (!me->known || seq_le(me->end, end))
		me->end = end;
	me->known = true;
	window = window_of(f, d, v);
	if (window > me->window)
		me->window = window;
	if ((flags & PKT_FIN) != 0) {
		me->fin = true;
		me->fin_end = end;
	}
	if ((flags & PKT_ACK) != 0)
		learn_ack(f, d, v, window);
	tcp_timeout(f);
}

/* ---- other protocols ---- */

/** The same for all of them: a minute until there is an answer, then half of it. */
static void
dgram_timeout(struct model_flow *f)
{
	f->min_ms = f->answered ? 30 * S : 60 * S;
	f->max_ms = f->min_ms;
}

static bool
is_icmp_error(const struct pkt_view *v)
{
	if (v->proto == IPPROTO_ICMP)
		return v->icmp_type == 3 || v->icmp_type == 11;
	return v->proto == IPPROTO_ICMPV6 && v->icmp_type < 128;
}

/** What an ICMP error quotes, turned: what comes in from where the error comes from; and, of TCP,
 * the number of the quoted segment. */
static bool
quoted(const struct pkt_view *v, uint16_t zone, struct model_tuple *t, uint32_t *seq)
{
	const uint8_t *ip = v->data, *l4;
	bool v4 = v->proto == IPPROTO_ICMP;
	size_t header = v4 ? 20 : 40;
	struct model_tuple q = { .zone = zone };

	if (v->data_len < header + 8)
		return false;
	l4 = ip + header;
	q.proto = v4 ? ip[9] : ip[6];
	q.src.len = q.dst.len = v4 ? 4 : 16;
	memcpy(q.src.b, ip + (v4 ? 12 : 8), q.src.len);
	memcpy(q.dst.b, ip + (v4 ? 16 : 24), q.dst.len);
	q.sport = pkt_get16(l4);
	q.dport = pkt_get16(l4 + 2);
	*seq = pkt_get32(l4 + 4);
	if (q.proto == IPPROTO_ICMP || q.proto == IPPROTO_ICMPV6) {
		q.sport = q.dport = pkt_get16(l4 + 4);
		q.answer = icmp_is_answer(q.proto, l4[0]);
	}
	*t = tuple_turned(&q);
	return true;
}

/* ---- opinions ---- */

static uint8_t
state_in_flow(const struct model_flow *f, unsigned int d)
{
	bool est = f->answered || d == 1;

	return M_TRK | (est ? M_EST : M_NEW) | (d == 1 ? M_RPL : 0) | f->nat;
}

/** RFC 5927, 4.1: an error quotes what was sent a moment ago, or who made it up guesses. */
static enum judgement
judge_quote(const struct model_flow *f, unsigned int d, uint32_t seq)
{
	const struct model_end *sender = &f->end[1 - d], *receiver = &f->end[d];
	uint32_t back = receiver->window < NEAR ? receiver->window : NEAR;

	if (f->rst || f->picked_up || !sender->known)
		return UNSURE;
	if (beyond(seq, sender->end) > MODEL_FAR || beyond(sender->end, seq) > MODEL_FAR)
		return WRONG;
	return seq_le(seq, sender->end) && beyond(sender->end, seq) <= back ? FITS : UNSURE;
}

static struct model_opinion
ask_error(struct model *m, const struct pkt_view *v, uint16_t zone, uint64_t now_ms)
{
	struct model_opinion o = { .state = M_TRK | M_INV, .sure = true };
	const struct model_flow *f;
	enum judgement j = FITS;
	struct model_tuple t;
	unsigned int d;
	uint32_t seq;

	if (!quoted(v, zone, &t, &seq))
		return o;
	f = find(m, &t, now_ms, &d);
	if (f == NULL)
		return o;
	if (t.proto == IPPROTO_TCP)
		j = judge_quote(f, d, seq);
	if (j != WRONG)
		o.state = M_TRK | M_REL | (d == 1 ? M_RPL : 0);
	o.sure = j != UNSURE && now_ms < f->last_ms + f->min_ms;
	return o;
}

static struct model_opinion
ask_first(const struct pkt_view *v, uint8_t nat)
{
	struct model_opinion o = { .state = M_TRK | M_NEW | nat, .sure = true };
	enum judgement j = BEGINS;

	if (v->proto == IPPROTO_TCP)
		j = judge_first(v);
	else if (v->proto == IPPROTO_ICMP || v->proto == IPPROTO_ICMPV6)
		j = icmp_is_answer(v->proto, v->icmp_type) ? WRONG : BEGINS;
	if (j == WRONG)
		o.state = M_TRK | M_INV;
	o.sure = j != UNSURE;
	return o;
}

struct model_opinion
model_ask(struct model *m, const struct pkt_view *v, uint16_t zone, uint8_t nat, uint64_t now_ms)
{
	struct model_opinion o = { .state = M_TRK | M_INV, .sure = true };
	const struct model_flow *f;
	struct model_tuple t;
	enum judgement j = FITS;
	unsigned int d;

	if (v == NULL)
		return o;
	if (is_icmp_error(v))
		return ask_error(m, v, zone, now_ms);
	t = tuple_of(v, zone);
	f = find(m, &t, now_ms, &d);
	if (f == NULL)
		return ask_first(v, nat);
	if (v->proto == IPPROTO_TCP)
		j = judge(f, d, v);
	o.sure = j != UNSURE && now_ms < f->last_ms + f->min_ms;
	if (j == BEGINS)
		o.state = M_TRK | M_NEW | nat;
	else if (j != WRONG)
		o.state = state_in_flow(f, d);
	return o;
}

/* ---- taking in ---- */

/** The translated first packet shows what the answers will look like. */
static const char *
begin(struct model *m, const struct model_tuple *t, const struct pkt_view *out, uint8_t nat,
	uint64_t now_ms, struct model_flow **f)
{
	struct model_tuple left = tuple_of(out, t->zone), reply = tuple_turned(&left);
	bool source = !pkt_addr_eq(&left.src, &t->src) || left.sport != t->sport;
	bool dest = !pkt_addr_eq(&left.dst, &t->dst) || left.dport != t->dport;
	struct model_flow *other;
	unsigned int d;

	if (source && (nat & M_SNAT) == 0)
		return "the source was translated, against the policy";
	if (dest && (nat & M_DNAT) == 0 && t->proto != IPPROTO_ICMP && t->proto != IPPROTO_ICMPV6)
		return "the destination was translated, against the policy";
	other = find(m, &reply, now_ms, &d);
	if (other != NULL && now_ms < other->last_ms + other->min_ms)
		return "the answers' tuple is another flow's";
	if (other != NULL)
		other->used = false;
	*f = flow_add(m);
	if (*f == NULL)
		return "the model is full";
	(*f)->in[0] = *t;
	(*f)->in[1] = reply;
	(*f)->nat = nat;
	return NULL;
}

/** A packet of a flow leaves as the other direction's tuple says, turned. */
static const char *
check_translation(const struct model_flow *f, unsigned int d, const struct pkt_view *out)
{
	struct model_tuple want = tuple_turned(&f->in[1 - d]), left;

	left = tuple_of(out, want.zone);
	return tuple_eq(&want, &left) ? NULL : "not translated as the flow's first packet was";
}

/** A packet that is new is of the flow that is known, or takes its place. */
static bool
is_another(const struct model_flow *f, unsigned int d, const struct pkt_view *v)
{
	if (f->answered || d == 1 || f->rst)
		return true;
	return v->proto == IPPROTO_TCP && flags_of(v) == PKT_SYN;
}

/** What passes for its receiver to judge tells nothing. */
static bool
is_stray(const struct model_flow *f, unsigned int d, const struct pkt_view *v)
{
	if (v->proto != IPPROTO_TCP)
		return false;
	if (flags_of(v) == PKT_SYN)
		return f->end[d].known;
	return is_challenged(f, d, v) || judge(f, d, v) == PASSES;
}

const char *
model_take(struct model *m, const struct pkt_view *v, uint16_t zone, uint8_t nat, uint64_t now_ms,
	uint8_t state, const struct pkt_view *out)
{
	struct model_flow *f;
	struct model_tuple t;
	const char *wrong;
	unsigned int d;

	if (v == NULL || (state & M_INV) != 0 || is_icmp_error(v))
		return NULL;
	if (out == NULL)
		return "accepted, but nothing left";
	t = tuple_of(v, zone);
	f = find(m, &t, now_ms, &d);
	if (f != NULL && (state & M_NEW) != 0 && is_another(f, d, v)) {
		f->used = false;
		m->reopened++;
		f = NULL;
	}
	if (f == NULL) {
		d = 0;
		wrong = begin(m, &t, out, nat, now_ms, &f);
		if (wrong != NULL)
			return wrong;
		f->picked_up = t.proto == IPPROTO_TCP && flags_of(v) != PKT_SYN;
	} else {
		wrong = check_translation(f, d, out);
		if (wrong != NULL)
			return wrong;
	}
	if (d == 1)
		f->answered = true;
	if (is_stray(f, d, v)) {
		f->max_ms += now_ms - f->last_ms;
		return NULL;
	}
	f->last_ms = now_ms;
	if (t.proto == IPPROTO_TCP && f->end[d].known && flags_of(v) == (PKT_SYN | PKT_ACK) &&
		(!f->end[d].syn || f->end[d].isn != v->tcp.seq))
		tcp_begin_again(f, d, v);
	if (t.proto == IPPROTO_TCP)
		tcp_learn(f, d, v);
	else
		dgram_timeout(f);
	return NULL;
}

uint64_t
model_deadline(const struct model *m, uint64_t now_ms, uint32_t r)
{
	for (unsigned int i = 0; i < m->n; i++) {
		const struct model_flow *f = &m->flow[(i + r) % m->n];

		if (f->used && f->min_ms == f->max_ms && f->last_ms + f->min_ms > now_ms)
			return f->last_ms + f->min_ms;
	}
	return 0;
}
