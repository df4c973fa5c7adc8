/* SPDX-License-Identifier: BSD-3-Clause */
#include "tcp_priv.h"

/** Acknowledgement owed: looked after at half the round trip, bounded by these. */
#define POLL_MIN_MS 1u
#define POLL_MAX_MS 20u
/** Told once that it is in vain, a small window of a local socket need not be waited for any more.
 */
#define CRUMB_POLLS 8
/** RFC 5681, 3.2: what makes a sender send again at once. */
#define DUPACKS 3

/* ---- acknowledgement ---- */

uint64_t
l4x_tcp_ack_off(const struct l4x_tcp *t)
{
	uint64_t off = (t->flags & L4X_TCP_REMOTE) != 0 ? t->peer_acked : t->taken;

	if ((t->flags & L4X_TCP_SHUT) != 0 && off == t->handed)
		off++;
	/* What was acknowledged once stays so, whatever a socket says later. */
	return RTE_MAX(off, t->ack_told);
}

/**
 * True while the socket, or the way to it, still holds bytes of the guest: there will be more room.
 * A local socket does not tell; its room grows, or it is all there is.
 */
static bool
is_queued(const struct l4x_tcp *t)
{
	if (t->handed > t->taken)
		return true;
	if ((t->flags & L4X_TCP_REMOTE) != 0)
		return t->taken > t->peer_acked;
	return t->taken > 0 && t->idle_polls < CRUMB_POLLS;
}

/**
 * The window to tell with acknowledgement ack: never more than the socket takes, never less than
 * was told already, and not in crumbs (RFC 9293, 3.8.6.2.2).
 */
static uint32_t
window(const struct l4x_tcp *t, uint64_t ack)
{
	uint64_t limit = t->taken + t->space, told = t->ack_told + t->wnd_told, max;
	uint8_t shift = tcp_rcv_shift(t);

	limit = RTE_MAX(limit, told);
	if (limit <= ack)
		return 0;
	limit -= ack;
	if (limit < t->rcv_mss && is_queued(t))
		return 0;
	max = (uint64_t)UINT16_MAX << shift;
	limit = RTE_MIN(limit, max);
	return (uint32_t)(limit >> shift << shift);
}

void
l4x_tcp_tell(struct l4x_tcp *t, uint32_t *ack, uint16_t *win)
{
	uint64_t off = l4x_tcp_ack_off(t);
	uint32_t w = window(t, off);

	*ack = tcp_seq_of(t->irs, off);
	*win = (uint16_t)(w >> tcp_rcv_shift(t));
	t->ack_told = off;
	t->wnd_told = w;
	t->edge = RTE_MAX(t->edge, off + w);
}

/** Is a larger window worth a segment of its own? Only where the guest may be waiting for it. */
static bool
update_due(const struct l4x_tcp *t, uint64_t ack)
{
	uint32_t w, left;

	if ((t->flags & L4X_TCP_FIN_IN) != 0)
		return false;
	w = window(t, ack);
	left = (uint32_t)(t->ack_told + t->wnd_told > ack ? t->ack_told + t->wnd_told - ack : 0);
	return w > left && left < t->rcv_mss;
}

/**
 * May the acknowledgement wait for an answer to carry it (RFC 9293, 3.8.6.3)? Only where answers
 * are the habit, for less than a full segment, and not if that was in vain the last time.
 */
static bool
may_wait(const struct l4x_tcp *t, uint64_t ack)
{
	return t->answering && ack - t->ack_told < t->rcv_mss &&
		(t->flags & (L4X_TCP_FIN_IN | L4X_TCP_EOF)) == 0;
}

bool
l4x_tcp_ack_waits(const struct l4x_tcp *t)
{
	return t->state == L4X_TCP_ESTABLISHED && l4x_tcp_ack_off(t) > t->ack_told;
}

bool
l4x_tcp_poll_owed(const struct l4x_tcp *t)
{
	uint64_t ack = l4x_tcp_ack_off(t);

	if (t->state != L4X_TCP_ESTABLISHED)
		return false;
	if ((t->flags & L4X_TCP_KICK) != 0 || ack < t->taken)
		return true;
	if ((t->flags & L4X_TCP_FIN_IN) != 0)
		return (t->flags & L4X_TCP_SHUT) == 0;
	return t->wnd_told == 0 || (t->wnd_told < t->rcv_mss && is_queued(t));
}

/** How many ACKs: none, one, or as many as it takes to have the guest send again. */
static unsigned int
acks_owed(struct l4x_tcp *t)
{
	uint64_t ack = l4x_tcp_ack_off(t);

	if ((t->flags & L4X_TCP_KICK) != 0 && window(t, ack) > 0) {
		/* The update opens the window, so it is no duplicate itself. */
		t->flags &= ~L4X_TCP_KICK;
		return 1 + DUPACKS;
	}
	if (t->gaps > 0)
		return (t->gaps < DUPACKS ? t->gaps : DUPACKS) + (ack > t->ack_told);
	if ((t->flags & L4X_TCP_ACK_NOW) != 0 || update_due(t, ack))
		return 1;
	return ack > t->ack_told && !may_wait(t, ack);
}

void
l4x_tcp_ack_flush(struct l4x *l, uint32_t idx)
{
	struct l4x_tcp *t = l4x_tcp_of(l, idx);
	uint32_t fin = (t->flags & (L4X_TCP_FIN_OUT | L4X_TCP_FIN_ACKED)) != 0;
	uint32_t seq = tcp_seq_of(t->iss, t->nxt) + fin;

	for (unsigned int n = acks_owed(t); n > 0; n--)
		l4x_tcp_segment(l, idx, seq, RTE_TCP_ACK_FLAG);
	t->flags &= ~L4X_TCP_ACK_NOW;
	t->gaps = 0;
	l4x_tcp_poll_arm(l, idx);
}

/* ---- what the socket has taken ---- */

/** Bytes past taken were dropped: they will come again, if the guest is told so. */
static void
sent_short(struct l4x *l, struct l4x_tcp *t)
{
	l4x_count(l, L4X_COUNT_TCP_SHORT);
	if (t->handed == t->taken)
		return;
	t->handed = t->taken;
	t->flags |= L4X_TCP_KICK | L4X_TCP_ACK_NOW;
	t->flags &= ~L4X_TCP_FIN_IN;
	/*
	 * The one case in which a window is taken back: it was more than the socket could keep.
	 * What space it told along with that is not believed: the next news will have it.
	 */
	t->space = 0;
	t->wnd_told = 0;
	t->edge = t->taken;
	/* The guest's numbers fall back with that window, and so does SND.WL1: its news of its own
	 * window would be taken for old ones. */
	if (tcp_seq_gt(t->wl1, tcp_seq_of(t->irs, t->taken)))
		t->wl1 = tcp_seq_of(t->irs, t->taken);
}

static void
rtt_note(struct l4x_tcp *t, uint32_t rtt_us)
{
	uint32_t half_ms = rtt_us == 0 ? POLL_MAX_MS : rtt_us / 2000;

	t->poll_ms = (uint8_t)RTE_MIN(RTE_MAX(half_ms, POLL_MIN_MS), POLL_MAX_MS);
}

void
l4x_tcp_sent(struct l4x *l, uint32_t idx, const struct l4x_event *ev)
{
	struct l4x_tcp *t = l4x_tcp_of(l, idx);
	uint64_t edge = ev->sent.taken + ev->sent.space, acked;

	if (t->state == L4X_TCP_OPENING || t->state == L4X_TCP_TIME_WAIT)
		return;
	t->flags &= ~L4X_TCP_REMOTE;
	if ((ev->sent.flags & L4X_SENT_REMOTE) != 0)
		t->flags |= L4X_TCP_REMOTE;
	acked = RTE_MIN(ev->sent.acked, ev->sent.taken);
	if (ev->sent.taken > t->taken || acked > t->peer_acked || edge > t->taken + t->space)
		t->idle_polls = 0;
	t->taken = RTE_MAX(t->taken, ev->sent.taken);
	t->peer_acked = RTE_MAX(t->peer_acked, acked);
	t->space = edge > t->taken ? (uint32_t)(edge - t->taken) : 0;
	/* A SHORT of long ago may have set it back too far. */
	t->handed = RTE_MAX(t->handed, t->taken);
	if ((ev->sent.flags & L4X_SENT_SHORT) != 0)
		sent_short(l, t);
	rtt_note(t, ev->sent.rtt_us);
	l4x_tcp_dirty(l, idx);
}

void
l4x_tcp_shut(struct l4x *l, uint32_t idx)
{
	struct l4x_tcp *t = l4x_tcp_of(l, idx);

	if ((t->flags & (L4X_TCP_FIN_IN | L4X_TCP_SHUT)) != L4X_TCP_FIN_IN || t->taken != t->handed)
		return;
	t->flags |= L4X_TCP_SHUT;
	l4x_op_add(l, L4X_OP_SHUT, idx)->send.off = t->handed;
}
