/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Frames that the guest had no receive buffer for. They were not lost on the way: it is known at
 * once, so no timeout is waited for, and nothing counts as sent that was not. What is owed instead
 * goes out a little later, less and less soon while that is in vain, for nobody tells when buffers
 * have come. SYN and FIN are left to the retransmission timer, which runs for them anyway.
 */
#include "tcp_priv.h"

/** The first wait; each further one is four times as long, up to 256 ms. */
#define WAIT_US 4000u
#define WAITS_MAX 3

/**
 * Payload that starts at seq. The header may be in guest memory: what does not lie among what is
 * outstanding is not believed.
 */
static void
take_back(struct l4x *l, uint32_t idx, uint32_t seq, uint32_t len)
{
	struct l4x_tcp *t = l4x_tcp_of(l, idx);
	int64_t off = tcp_off_of(t->iss, t->nxt, seq);

	if (off < (int64_t)t->una || off >= (int64_t)t->nxt)
		return;
	flowtab_flow_uncount(&l->ftf[idx], FLOWTAB_SIDE_OTHER, 1, len);
	t->nxt = (uint64_t)off;
	/* Karn: what is sent twice times nothing. What was read past nxt is no news any more. */
	t->flags &= ~(L4X_TCP_TIMING | L4X_TCP_FIN_OUT);
	t->flags |= L4X_TCP_REWINDING;
	if (t->nxt == t->una && t->snd_wnd > 0)
		t->rto_at = UINT64_MAX;
}

/** Makes no output: that of the call before is on its way. */
static void
segment_unsent(struct l4x *l, uint32_t idx, const struct rte_mbuf *m)
{
	struct l4x_tcp *t = l4x_tcp_of(l, idx);
	const struct rte_tcp_hdr *th =
		rte_pktmbuf_mtod_offset(m, const struct rte_tcp_hdr *, m->l2_len + m->l3_len);
	uint32_t len = rte_pktmbuf_pkt_len(m) - m->l2_len - m->l3_len - m->l4_len;

	if (t->state != L4X_TCP_ESTABLISHED)
		return;
	l4x_count(l, L4X_COUNT_TCP_UNSENT);
	if (len > 0)
		take_back(l, idx, rte_be_to_cpu_32(th->sent_seq), len);
	if (t->unsent)
		return;
	t->unsent = 1;
	t->poll_at = RTE_MIN(t->poll_at, l->now_us + (WAIT_US << 2 * t->waits));
	t->waits += t->waits < WAITS_MAX;
	l4x_timer_set(l, idx, l4x_tcp_deadline_us(l, idx));
}

void
l4x_tcp_unsent_due(struct l4x *l, uint32_t idx)
{
	struct l4x_tcp *t = l4x_tcp_of(l, idx);

	if (!t->unsent)
		return;
	t->unsent = 0;
	/* Payload tells what an ACK would. */
	t->flags |= (t->flags & L4X_TCP_REWINDING) != 0 ? L4X_TCP_REWIND : L4X_TCP_ACK_NOW;
	l4x_tcp_dirty(l, idx);
}

void
l4x_frames_unsent(struct l4x *l, const struct l4x_frame *frames, unsigned int n, uint64_t now_us)
{
	l->now_us = now_us;
	for (unsigned int i = 0; i < n; i++) {
		uint32_t idx = frames[i].flow == 0 ? FLOWTAB_NONE
						   : flowtab_by_handle(l->ft, frames[i].flow);

		if (idx != FLOWTAB_NONE && l->ftf[idx].proto == IPPROTO_TCP)
			segment_unsent(l, idx, frames[i].m);
		rte_pktmbuf_free(frames[i].m);
	}
}
