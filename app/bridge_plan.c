/* SPDX-License-Identifier: BSD-3-Clause */
/* A read of TCP, laid out over lent buffers, and the frames that come of it. */
#include "bridge_priv.h"

#include <errno.h>

/** Without SO_PEEK_OFF: iovecs that take what was read before, each the whole scratch area. */
#define SKIP_IOV 16

/**
 * Where payload begins in a segment. The first buffer of a frame begins with the port's own header
 * and leaves room for L2..L4; a buffer that continues a frame is filled from its very start.
 */
static uint32_t
payload_off(const struct rte_mbuf *head, const struct rte_mbuf *seg, bool first, uint8_t head_len)
{
	if (seg != head)
		return seg->data_off;
	return first ? (uint32_t)seg->data_off + head_len : 0;
}

/** A read that is being laid out: the lender's buffers, of which p has taken the first. */
struct layout {
	struct bridge_plan *p;
	struct iovec *iov;
	uint32_t n_iov;
	uint32_t avail; /**< buffers in hand */
};

/** Lay one frame over the buffers that follow. @return its bytes; 0: no buffer, or no iovec */
static uint32_t
plan_frame(struct layout *l, uint32_t want)
{
	struct bridge_plan *p = l->p;
	uint32_t bytes = 0, heads = 0;

	while (bytes < want && p->n_heads + heads < l->avail && l->n_iov < BRIDGE_IOV &&
		(heads == 0 || p->mergeable)) {
		struct rte_mbuf *head = bridge_lender_at(p->bl, p->n_heads + heads);
		struct rte_mbuf *seg;

		for (seg = head; seg != NULL && bytes < want && l->n_iov < BRIDGE_IOV;
			seg = seg->next) {
			const uint32_t off = payload_off(head, seg, heads == 0, p->head_len);
			uint32_t room = off < seg->buf_len ? seg->buf_len - off : 0;

			room = RTE_MIN(room, want - bytes);
			if (room == 0)
				continue;
			l->iov[l->n_iov].iov_base = (char *)seg->buf_addr + off;
			l->iov[l->n_iov++].iov_len = room;
			bytes += room;
		}
		p->heads[p->n_heads + heads] = head;
		heads++;
	}
	if (bytes == 0)
		return 0;
	p->frames[p->n_frames++] = (struct bridge_frame){ (uint16_t)heads, bytes };
	p->n_heads += heads;
	p->bytes += bytes;
	return bytes;
}

static bool
head_usable(const struct rte_mbuf *head, uint8_t head_len)
{
	return (uint32_t)head->data_off + head_len <= head->buf_len &&
		(head->next != NULL || (uint32_t)head->data_off + head_len < head->buf_len);
}

/** Lay out a read of up to want bytes, which the guest's window, or just what is expected, ends. */
static void
plan_frames(const struct bridge_rec *r, struct layout *l, uint32_t want, bool at_window)
{
	struct bridge_plan *p = l->p;

	while (p->n_frames < BRIDGE_READ_FRAMES && p->n_heads < l->avail) {
		const uint32_t left = want - p->bytes;

		/* A frame cut short without need would be a small segment in the middle. */
		if (left == 0 || (p->n_frames != 0 && left < r->frame_max && !at_window))
			break;
		if (!head_usable(bridge_lender_at(p->bl, p->n_heads), p->head_len))
			break;
		if (plan_frame(l, RTE_MIN(left, r->frame_max)) == 0)
			break;
	}
	bridge_lender_used(p->bl, p->n_heads);
}

/** A buffer without room for the headers is of no use to anybody: back to the guest. */
static void
drop_unusable(struct layout *l)
{
	struct bridge_lender *bl = l->p->bl;

	while (l->avail != 0 && !head_usable(bridge_lender_at(bl, 0), l->p->head_len)) {
		rte_pktmbuf_free(bridge_lender_at(bl, 0));
		bridge_lender_used(bl, 1);
		l->avail--;
	}
}

/**
 * Without SO_PEEK_OFF a peek begins with what was read before: let that go to the scratch area.
 * @return false: too much is unacknowledged to read on
 */
static bool
plan_skip(struct bridge *b, const struct bridge_rec *r, struct layout *l)
{
	uint64_t left = r->read_off - r->consumed;

	if (b->p.peek_off)
		return true;
	if (left > (uint64_t)SKIP_IOV * BRIDGE_DISCARD_BYTES)
		return false;
	l->p->skip = (uint32_t)left;
	for (; left != 0; l->n_iov++) {
		l->iov[l->n_iov].iov_base = b->scratch;
		l->iov[l->n_iov].iov_len = RTE_MIN(left, (uint64_t)BRIDGE_DISCARD_BYTES);
		left -= l->iov[l->n_iov].iov_len;
	}
	return true;
}

int
bridge_plan_read(struct bridge *b, struct bridge_rec *r, struct bridge_plan *p, struct iovec *iov,
	uint32_t want)
{
	const uint64_t left = r->limit - r->read_off;
	struct layout l = { .p = p, .iov = iov };

	l.avail = bridge_lender_fill(p->bl, r, BRIDGE_READ_FRAMES);
	/* There may be more, which earlier reads have put back. */
	l.avail = RTE_MIN(l.avail, (uint32_t)BRIDGE_READ_FRAMES);
	/* Pairs with bridge_lender_fill(): read after RUNNING was seen. */
	p->mergeable = atomic_load_explicit(&p->bl->l->mergeable, memory_order_relaxed) != 0;
	drop_unusable(&l);
	if (!plan_skip(b, r, &l))
		return -EOVERFLOW;
	plan_frames(r, &l, (uint32_t)RTE_MIN(left, (uint64_t)want), left <= want);
	return p->bytes == 0 ? 0 : (int)l.n_iov;
}

struct rte_mbuf *
bridge_plan_frame(const struct bridge_plan *p, uint32_t *next_head, uint32_t bytes)
{
	struct rte_mbuf *frame = NULL, *last = NULL;
	uint32_t left = bytes;

	do {
		struct rte_mbuf *head = p->heads[(*next_head)++];
		struct rte_mbuf *seg;

		for (seg = head; seg != NULL; seg = seg->next) {
			const uint32_t off = payload_off(head, seg, frame == NULL, p->head_len);
			const uint32_t room = off < seg->buf_len ? seg->buf_len - off : 0;
			const uint32_t take = RTE_MIN(room, left);

			seg->data_off = (uint16_t)off;
			seg->data_len = (uint16_t)take;
			left -= take;
			if (seg->next == NULL) {
				if (frame != NULL) {
					last->next = head;
					frame->nb_segs += head->nb_segs;
				} else {
					frame = head;
				}
				last = seg;
				break;
			}
		}
	} while (left != 0);
	frame->pkt_len = bytes;
	return frame;
}
