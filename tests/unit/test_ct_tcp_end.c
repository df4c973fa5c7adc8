/* SPDX-License-Identifier: BSD-3-Clause */
#include "test_ct_tcp_end.h"

#include <stddef.h>
#include <string.h>

#include <pkt.h>
#include <rte_common.h>

#include "test_flowtab_util.h"

#define NEVER UINT64_MAX
#define RTO_MIN_MS 200
#define RTO_MAX_MS 60000
#define ACK_MS 40
#define WAIT_MS 20000
#define ALIVE_MS 7200000 /* RFC 9293, 3.8.4 */

static bool
before(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) < 0;
}

static uint32_t
later_of(uint32_t a, uint32_t b)
{
	return before(a, b) ? b : a;
}

/* ---- sending ---- */

/** What is offered now, as it stands in the header. */
static uint16_t
window(struct end *e, bool syn)
{
	unsigned int shift = !syn && e->scaled ? e->shift : 0;
	uint32_t edge = e->rcv_nxt + (e->h.rcv_buf > e->unread ? e->h.rcv_buf - e->unread : 0);
	uint32_t win;

	/* RFC 9293, 3.8.6.2.2: not opened by little pieces. */
	if (edge - e->rcv_edge < RTE_MIN(e->h.rcv_buf / 2, e->h.mss) && !before(edge, e->rcv_edge))
		edge = e->rcv_edge;
	if (!e->h.shrinks)
		edge = later_of(edge, e->rcv_edge);
	win = RTE_MIN((edge - e->rcv_nxt) >> shift, (uint32_t)UINT16_MAX);
	if (!before(e->rcv_nxt + (win << shift), e->rcv_edge) || e->h.shrinks)
		e->rcv_edge = e->rcv_nxt + (win << shift);
	return (uint16_t)win;
}

static void
send_seg(struct end *e, uint8_t flags, uint32_t seq, uint32_t len)
{
	static const uint8_t odd[] = { 0, 0, 0, PKT_PSH, PKT_ECE, PKT_CWR, PKT_URG,
		PKT_ECE | PKT_CWR };
	struct seg s = { .seq = seq, .len = len, .flags = flags, .scale = -1 };

	if ((flags & PKT_SYN) != 0)
		s.scale = e->h.scale;
	if ((flags & PKT_SYN) != 0 && (flags & PKT_ACK) != 0 && !e->scaled)
		s.scale = -1;
	if ((flags & PKT_RST) == 0)
		s.win = window(e, (flags & PKT_SYN) != 0);
	if ((flags & PKT_ACK) != 0)
		s.ack = e->rcv_nxt;
	s.flags |= odd[rnd_below(e->seed, RTE_DIM(odd))];
	e->ack_due = false;
	e->ack_at = NEVER;
	e->emit(e->arg, &s);
}

static void
send_ack(struct end *e)
{
	send_seg(e, PKT_ACK, e->max, 0);
}

/** RFC 9293, 3.5.2, for an end without a connection. */
static void
answer_by_rst(struct end *e, const struct seg *s)
{
	struct seg r = { .flags = PKT_RST, .scale = -1 };

	if ((s->flags & PKT_RST) != 0)
		return;
	if ((s->flags & PKT_ACK) != 0) {
		r.seq = s->ack;
	} else {
		r.flags |= PKT_ACK;
		r.ack = s->seq + s->len + ((s->flags & PKT_SYN) != 0);
	}
	e->emit(e->arg, &r);
}

/** From e->nxt on, one segment. False: nothing may be sent. */
static bool
send_some(struct end *e, uint64_t now_ms)
{
	uint32_t left = e->stop - e->nxt, room = e->edge - e->nxt, len;
	bool fin;

	if (before(e->stop, e->nxt)) /* the FIN is out */
		return false;
	if (before(e->edge, e->nxt))
		room = 0;
	if (e->nxt - e->una >= e->cwnd)
		return false;
	len = RTE_MIN(RTE_MIN(left, room), 1 + rnd_below(e->seed, e->h.mss));
	fin = e->fin && len == left &&
		(len < room || (e->h.fin_overflows && (len > 0 || room > 0)));
	if (len == 0 && !fin)
		return false;
	send_seg(e, fin ? PKT_ACK | PKT_FIN : PKT_ACK, e->nxt, len);
	e->nxt += len + fin;
	e->max = later_of(e->max, e->nxt);
	if (e->rto_at == NEVER)
		e->rto_at = now_ms + e->rto_ms;
	return true;
}

static void
output(struct end *e, uint64_t now_ms)
{
	if (e->state != END_TALKS)
		return;
	while (send_some(e, now_ms))
		;
	if (e->una == e->max && before(e->una, e->stop) && e->probe_at == NEVER)
		e->probe_at = now_ms + e->rto_ms;
}

static void
send_syn(struct end *e)
{
	send_seg(e, e->state == END_CALLS ? PKT_SYN : PKT_SYN | PKT_ACK, e->iss, 0);
}

static void
timeout(struct end *e, uint64_t now_ms)
{
	uint32_t len;
	bool fin;

	e->rto_ms = RTE_MIN(e->rto_ms * 2, (uint32_t)RTO_MAX_MS);
	e->rto_at = now_ms + e->rto_ms;
	if (e->state == END_CALLS || e->state == END_IS_CALLED) {
		send_syn(e);
		return;
	}
	if (e->una == e->max) {
		e->rto_at = NEVER;
		return;
	}
	e->cwnd = 2 * e->h.mss;
	if (e->h.goes_back && before(e->una, e->edge)) {
		e->nxt = e->una;
		output(e, now_ms);
		return;
	}
	len = RTE_MIN((before(e->stop, e->max) ? e->stop : e->max) - e->una, e->h.mss);
	fin = e->una + len == e->stop && e->max == e->stop + 1;
	send_seg(e, fin ? PKT_ACK | PKT_FIN : PKT_ACK, e->una, len);
}

static void
probe(struct end *e, uint64_t now_ms)
{
	e->probe_at = NEVER;
	if (e->una != e->max || !before(e->una, e->stop))
		return;
	if (before(e->nxt, e->edge)) {
		output(e, now_ms);
		return;
	}
	e->rto_ms = RTE_MIN(e->rto_ms * 2, (uint32_t)RTO_MAX_MS);
	e->probe_at = now_ms + e->rto_ms;
	if (!e->h.probes_by_byte) {
		send_seg(e, PKT_ACK, e->una - 1, 0);
		return;
	}
	send_seg(e, PKT_ACK, e->nxt, 1);
	e->max = later_of(e->max, e->nxt + 1);
	e->nxt++;
	e->rto_at = now_ms + e->rto_ms;
}

/* ---- the user ---- */

static void
begin(struct end *e, enum end_state state, uint64_t now_ms)
{
	e->state = state;
	e->iss = (uint32_t)rnd(e->seed);
	e->una = e->iss;
	e->nxt = e->max = e->stop = e->iss + 1;
	e->edge = e->iss + 1;
	e->shift = e->h.scale > 0 ? (uint8_t)e->h.scale : 0;
	e->scaled = false;
	e->fin = e->fin_acked = e->fin_known = e->fin_got = e->ack_due = false;
	e->cwnd = 10 * e->h.mss;
	e->rto_ms = 1000;
	e->rto_at = now_ms + e->rto_ms;
	e->ack_at = e->probe_at = e->wait_until = NEVER;
	e->alive_at = now_ms + ALIVE_MS;
	e->unread = 0;
	e->n_gaps = 0;
	e->rcv_nxt = e->rcv_edge = 0;
}

void
end_call(struct end *e, uint64_t now_ms)
{
	begin(e, END_CALLS, now_ms);
	send_syn(e);
}

void
end_write(struct end *e, uint32_t bytes, bool close, uint64_t now_ms)
{
	if (e->fin)
		return;
	e->stop += bytes;
	e->fin = close;
	output(e, now_ms);
}

void
end_forget(struct end *e)
{
	e->state = END_LISTENS;
	e->rto_at = e->ack_at = e->probe_at = e->wait_until = e->alive_at = NEVER;
}

void
end_abort(struct end *e)
{
	if (e->state == END_TALKS)
		send_seg(e, PKT_RST | PKT_ACK, e->max, 0);
	end_forget(e);
}

bool
end_is_done(const struct end *e)
{
	return e->state == END_LISTENS || e->state == END_WAITS;
}

static void
look_if_done(struct end *e, uint64_t now_ms)
{
	if (e->state != END_TALKS || !e->fin_acked || !e->fin_got)
		return;
	e->state = END_WAITS;
	e->wait_until = now_ms + WAIT_MS;
	e->rto_at = e->probe_at = e->alive_at = NEVER;
}

/* ---- receiving ---- */

static void
learn_scale(struct end *e, const struct seg *s)
{
	e->scaled = e->h.scale >= 0 && s->scale >= 0;
	e->peer_shift = e->scaled ? (uint8_t)s->scale : 0;
}

/** @return false: nothing more is to be made of the segment */
static bool
input_syn_states(struct end *e, const struct seg *s, uint64_t now_ms)
{
	bool acks = (s->flags & PKT_ACK) != 0 && s->ack == e->iss + 1;

	if ((s->flags & PKT_ACK) != 0 && !acks) {
		answer_by_rst(e, s);
		return false;
	}
	if ((s->flags & PKT_RST) != 0) {
		if (acks) {
			e->resets++;
			end_forget(e);
		}
		return false;
	}
	if ((s->flags & PKT_SYN) == 0)
		return false;
	e->rcv_nxt = e->rcv_edge = s->seq + 1;
	learn_scale(e, s);
	e->edge = e->iss + 1 + s->win;
	e->wl1 = s->seq;
	e->wl2 = e->iss + 1;
	if (!acks) { /* both have called */
		e->state = END_IS_CALLED;
		send_syn(e);
		return false;
	}
	e->state = END_TALKS;
	e->una = e->iss + 1;
	e->rto_ms = RTO_MIN_MS;
	e->rto_at = NEVER;
	send_ack(e);
	output(e, now_ms);
	return false;
}

static void
input_listen(struct end *e, const struct seg *s, uint64_t now_ms)
{
	if (!e->accepts || (s->flags & (PKT_SYN | PKT_ACK | PKT_RST)) != PKT_SYN) {
		answer_by_rst(e, s);
		return;
	}
	begin(e, END_IS_CALLED, now_ms);
	e->rcv_nxt = e->rcv_edge = s->seq + 1;
	learn_scale(e, s);
	e->edge = e->iss + 1 + s->win;
	e->wl1 = s->seq;
	e->wl2 = e->iss + 1;
	send_syn(e);
}

static void
input_ack(struct end *e, const struct seg *s, uint64_t now_ms)
{
	if (before(e->una, s->ack)) {
		e->una = s->ack;
		e->nxt = later_of(e->nxt, e->una);
		e->cwnd += e->h.mss;
		e->rto_ms = RTO_MIN_MS;
		e->rto_at = e->una == e->max ? NEVER : now_ms + e->rto_ms;
		e->fin_acked = e->fin && e->una == e->stop + 1;
	}
	if (before(e->wl1, s->seq) || (e->wl1 == s->seq && !before(s->ack, e->wl2))) {
		/* RFC 7323, 2.2: a SYN's is never scaled. */
		e->edge = s->ack +
			((uint32_t)s->win << ((s->flags & PKT_SYN) != 0 ? 0 : e->peer_shift));
		e->wl1 = s->seq;
		e->wl2 = s->ack;
	}
}

static void
keep_gap(struct end *e, uint32_t from, uint32_t to)
{
	if (e->n_gaps == RTE_DIM(e->gaps))
		return;
	e->gaps[e->n_gaps].from = from;
	e->gaps[e->n_gaps++].to = to;
}

static void
take(struct end *e, uint32_t to)
{
	if (!before(e->rcv_nxt, to))
		return;
	e->got += to - e->rcv_nxt;
	e->unread += to - e->rcv_nxt;
	e->rcv_nxt = to;
}

static void
input_data(struct end *e, const struct seg *s)
{
	uint32_t from = s->seq, to = s->seq + s->len;

	if ((s->flags & PKT_FIN) != 0) {
		e->fin_known = true;
		e->fin_at = to;
	}
	if (before(e->rcv_edge, to))
		to = e->rcv_edge;
	e->ack_due |= s->len > 0 || (s->flags & PKT_FIN) != 0;
	if (before(e->rcv_nxt, from)) {
		keep_gap(e, from, to);
		send_ack(e);
		return;
	}
	take(e, to);
	for (unsigned int i = 0; i < e->n_gaps;) {
		if (before(e->rcv_nxt, e->gaps[i].from)) {
			i++;
			continue;
		}
		take(e, e->gaps[i].to);
		e->gaps[i] = e->gaps[--e->n_gaps];
		i = 0;
	}
	if (e->fin_known && !e->fin_got && e->rcv_nxt == e->fin_at) {
		e->fin_got = true;
		e->rcv_nxt++;
		e->rcv_edge = later_of(e->rcv_edge, e->rcv_nxt);
	}
}

/** RFC 9293, 3.10.7.4: is any of it in the window? */
static bool
is_acceptable(const struct end *e, const struct seg *s)
{
	uint32_t len = s->len + ((s->flags & PKT_FIN) != 0);

	if (e->rcv_edge == e->rcv_nxt)
		return len == 0 && s->seq == e->rcv_nxt;
	if (len == 0)
		return !before(s->seq, e->rcv_nxt) && before(s->seq, e->rcv_edge);
	return before(e->rcv_nxt, s->seq + len) && before(s->seq, e->rcv_edge);
}

/** RFC 5961, 3: only the very next number ends a connection. */
static void
input_rst(struct end *e, const struct seg *s)
{
	if (s->seq == e->rcv_nxt) {
		e->resets++;
		end_forget(e);
	} else if (is_acceptable(e, s)) {
		send_ack(e);
	}
}

/** For whom a window of zero is offered, acknowledgements count all the same. */
static void
refuse(struct end *e, const struct seg *s, uint64_t now_ms)
{
	if ((s->flags & PKT_ACK) != 0 && e->rcv_edge == e->rcv_nxt && s->seq == e->rcv_nxt &&
		!before(e->max, s->ack))
		input_ack(e, s, now_ms);
	send_ack(e);
	output(e, now_ms);
}

void
end_input(struct end *e, const struct seg *s, uint64_t now_ms)
{
	if (e->state == END_LISTENS) {
		input_listen(e, s, now_ms);
		return;
	}
	e->alive_at = now_ms + ALIVE_MS;
	if (e->state == END_CALLS && !input_syn_states(e, s, now_ms))
		return;
	if ((s->flags & PKT_RST) != 0) {
		input_rst(e, s);
		return;
	}
	if ((s->flags & PKT_SYN) != 0) {
		/* Both have called: the SYN|ACK tells of the ACK, too. */
		bool again = e->state == END_IS_CALLED && s->seq + 1 == e->rcv_nxt;

		if (again && (s->flags & PKT_ACK) == 0) {
			send_syn(e);
			return;
		}
		if (!again || s->ack != e->iss + 1) {
			send_ack(e);
			return;
		}
	} else if (!is_acceptable(e, s)) {
		refuse(e, s, now_ms);
		return;
	}
	if (e->state == END_IS_CALLED) {
		if (s->ack != e->iss + 1 && (before(s->ack, e->una) || before(e->max, s->ack))) {
			answer_by_rst(e, s);
			return;
		}
		e->state = END_TALKS;
		e->rto_at = NEVER;
		e->rto_ms = RTO_MIN_MS;
	}
	if (before(e->max, s->ack)) {
		send_ack(e);
		return;
	}
	input_ack(e, s, now_ms);
	if ((s->flags & PKT_SYN) == 0)
		input_data(e, s);
	if (e->ack_due && (e->fin_got || rnd_below(e->seed, 3) == 0))
		send_ack(e);
	else if (e->ack_due && e->ack_at == NEVER)
		e->ack_at = now_ms + ACK_MS;
	output(e, now_ms);
	look_if_done(e, now_ms);
}

/* ---- time ---- */

static void
user_reads(struct end *e)
{
	uint32_t was = e->rcv_edge - e->rcv_nxt;

	if (e->unread == 0)
		return;
	if (e->h.read_max == 0)
		e->unread = 0;
	else if (rnd_below(e->seed, 50) == 0)
		e->unread -= RTE_MIN(e->unread, 1 + rnd_below(e->seed, e->h.read_max));
	/* A window that opens is told at once. */
	if (e->state == END_TALKS && was < e->h.mss && e->unread < e->h.rcv_buf / 2)
		send_ack(e);
}

void
end_run(struct end *e, uint64_t now_ms)
{
	if (e->state == END_LISTENS)
		return;
	if (e->wait_until <= now_ms) {
		end_forget(e);
		return;
	}
	user_reads(e);
	if (e->rto_at <= now_ms)
		timeout(e, now_ms);
	if (e->probe_at <= now_ms)
		probe(e, now_ms);
	if (e->ack_at <= now_ms)
		send_ack(e);
	if (e->alive_at <= now_ms) {
		e->alive_at = now_ms + ALIVE_MS;
		if (e->una == e->max)
			send_seg(e, PKT_ACK, e->max - 1, rnd_below(e->seed, 2));
	}
	output(e, now_ms);
	look_if_done(e, now_ms);
}

uint64_t
end_next(const struct end *e)
{
	if (e->unread != 0 && e->state != END_LISTENS)
		return 0;
	return RTE_MIN(RTE_MIN(RTE_MIN(e->rto_at, e->probe_at), RTE_MIN(e->ack_at, e->alive_at)),
		e->wait_until);
}

bool
end_needs(const struct end *e, const struct seg *s)
{
	bool acks = (s->flags & PKT_ACK) != 0;

	if (e->state == END_LISTENS)
		return (s->flags & PKT_RST) == 0;
	/* The answer, or a challenge: RFC 9293, 3.5.1. */
	if (e->state == END_CALLS && (s->flags & PKT_SYN) != 0)
		return !acks || s->ack == e->iss + 1;
	if (e->state == END_CALLS)
		return acks && s->len == 0 && (s->flags & PKT_FIN) == 0;
	if ((s->flags & PKT_RST) != 0)
		return s->seq == e->rcv_nxt;
	if ((s->flags & PKT_SYN) != 0)
		return (s->flags & PKT_ACK) == 0;
	return is_acceptable(e, s) && acks && !before(e->max, s->ack) &&
		(before(e->una, s->ack) || s->len > 0 || (s->flags & PKT_FIN) != 0);
}

bool
end_has_moved_on(const struct end *e, const struct seg *s)
{
	if (e->state == END_LISTENS || e->state == END_CALLS)
		return false;
	return before(s->seq + 1, e->una) || before(s->ack, e->rcv_nxt);
}
