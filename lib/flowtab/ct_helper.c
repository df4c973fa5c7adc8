/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A packet's way through a helper, and what it takes to change the length of a TCP payload.
 *
 * Whatever was replaced must be replaced again in the same way when it is sent again, and where the
 * stream grows or shrinks must not change for those who have counted already. So
 * - one replacement of a direction is kept until it is acknowledged. The next waits for that: what
 *   comes from it on is held back, and sent again by its sender;
 * - in a flow that is translated, segments with a gap before them are dropped, for the length of
 *   what is missing is not known. They, too, are sent again;
 * - a segment with but a part of the replaced text cannot be numbered, and is dropped.
 */
#include "ct.h"

#include <string.h>

#include <rte_ip.h>
#include <rte_tcp.h>

#include "ct_priv.h"

#define FLAG_FIN RTE_TCP_FIN_FLAG
#define FLAG_SYN RTE_TCP_SYN_FLAG
#define FLAG_RST RTE_TCP_RST_FLAG
#define FLAG_PSH RTE_TCP_PSH_FLAG
#define FLAG_ACK RTE_TCP_ACK_FLAG

#define OPT_END 0
#define OPT_NOP 1
#define OPT_SACK 5
#define SACK_BLOCK 8

static inline struct ct_helped *
helped_of(const struct ct *ct, const struct ct_pkt *p)
{
	return &ct->helped[ct->flows[p->flow].ext];
}

static inline bool
is_translated(const struct ct *ct, const struct ct_pkt *p)
{
	return (ct->flows[p->flow].flags & (CT_F_SNAT | CT_F_DNAT)) != 0;
}

static inline struct rte_tcp_hdr *
tcp_of(const struct ct_pkt *p)
{
	return ct_at(p, p->l4_off);
}

static inline bool
seq_le(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) <= 0;
}

static inline bool
is_pending(const struct ct_stream *st)
{
	return (st->flags & CT_STREAM_PENDING) != 0;
}

/** What the pending text adds to the stream, modulo 2^32. */
static inline uint32_t
growth(const struct ct_stream *st)
{
	return st->text_len - (st->to - st->from);
}

bool
ct_helper_packet(struct ct *ct, struct ct_pkt *p, uint64_t now_ms)
{
	uint8_t helper = helped_of(ct, p)->helper;

	if (helper == CT_HELPER_FTP && p->tuple->proto == IPPROTO_TCP)
		return ct_ftp_packet(ct, p, now_ms);
	if (helper == CT_HELPER_TFTP && p->tuple->proto == IPPROTO_UDP)
		return ct_tftp_packet(ct, p, now_ms);
	return true;
}

/* ---- numbers ---- */

/** @param up to the end of the replaced text, if ack lies in it; else to its beginning */
static uint32_t
to_sender(const struct ct_stream *st, uint32_t ack, bool up)
{
	uint32_t plain = ack - st->skew;

	if (!is_pending(st) || seq_le(plain, st->from))
		return plain;
	if (seq_le(st->to, plain - growth(st)))
		return plain - growth(st);
	return up ? st->to : st->from;
}

static void
put_number(uint8_t *at, uint32_t host)
{
	rte_be32_t be = rte_cpu_to_be_32(host);

	memcpy(at, &be, sizeof(be));
}

static uint32_t
get_number(const uint8_t *at)
{
	rte_be32_t be;

	memcpy(&be, at, sizeof(be));
	return rte_be_to_cpu_32(be);
}

/** Edges of the blocks that were received out of order (RFC 2018, 3). */
static void
sack_to_sender(const struct ct_stream *st, uint8_t *opt, uint32_t n)
{
	for (uint32_t i = 0; i < n && opt[i] != OPT_END;) {
		if (opt[i] == OPT_NOP) {
			i++;
			continue;
		}
		if (i + 1 >= n || opt[i + 1] < 2 || i + opt[i + 1] > n)
			return;
		if (opt[i] == OPT_SACK) {
			for (uint32_t k = i + 2; k + SACK_BLOCK <= i + opt[i + 1];
				k += SACK_BLOCK) {
				uint8_t *left = opt + k, *right = left + SACK_BLOCK / 2;

				put_number(left, to_sender(st, get_number(left), true));
				put_number(right, to_sender(st, get_number(right), false));
			}
		}
		i += opt[i + 1];
	}
}

/** A partial checksum is of the pseudo-header alone. */
static void
mend_header(const struct ct_pkt *p, struct rte_tcp_hdr *th, uint16_t old, uint16_t new)
{
	if ((p->flags & CT_PKT_CSUM_PARTIAL) == 0)
		th->cksum = ct_cksum_delta(th->cksum, &old, &new, sizeof(old));
}

void
ct_helper_enter(struct ct *ct, struct ct_pkt *p)
{
	const struct ct_stream *st = &helped_of(ct, p)->streams[!p->side];
	uint32_t len = (uint32_t)(p->data_off - p->l4_off);
	struct rte_tcp_hdr *th = tcp_of(p);
	uint16_t old;

	if (st->skew == 0 && !is_pending(st))
		return;
	if ((th->tcp_flags & FLAG_ACK) == 0)
		return;
	/* Options lie at any offset, so the sum is made of the whole header. */
	old = rte_raw_cksum(th, len);
	th->recv_ack = rte_cpu_to_be_32(to_sender(st, rte_be_to_cpu_32(th->recv_ack), false));
	sack_to_sender(st, (uint8_t *)(th + 1), len - (uint32_t)sizeof(*th));
	mend_header(p, th, old, rte_raw_cksum(th, len));
}

void
ct_helper_adjust(struct ct *ct, struct ct_pkt *p)
{
	const struct ct_stream *st = &helped_of(ct, p)->streams[p->side];
	struct rte_tcp_hdr *th = tcp_of(p);
	uint32_t len = (uint32_t)(p->data_off - p->l4_off), seq, skew = st->skew;
	uint16_t old;

	if (skew == 0 && !is_pending(st))
		return;
	seq = rte_be_to_cpu_32(th->sent_seq);
	if (is_pending(st) && seq_le(st->to, seq))
		skew += growth(st);
	old = rte_raw_cksum(th, len);
	th->sent_seq = rte_cpu_to_be_32(seq + skew);
	mend_header(p, th, old, rte_raw_cksum(th, len));
}

uint32_t
ct_helper_sent(const struct ct *ct, uint32_t idx, unsigned int side, uint32_t seq)
{
	if ((ct->flows[idx].flags & CT_F_HELPED) == 0)
		return seq;
	return to_sender(&ct->helped[ct->flows[idx].ext].streams[side], seq, false);
}

/* ---- payload ---- */

/** What the checksums are mended by. */
struct sums {
	uint16_t l4;  /**< 0 with a partial checksum, which does not cover it */
	uint16_t len; /**< in the pseudo-header */
};

static struct sums
sums_of(const struct ct_pkt *p)
{
	bool partial = (p->flags & CT_PKT_CSUM_PARTIAL) != 0;

	return (struct sums){
		.l4 = partial ? 0 : flowtab_cksum(p->m, p->l4_off, p->l4_len),
		.len = rte_cpu_to_be_16((uint16_t)p->l4_len),
	};
}

/** The packet has grown by so many bytes (or shrunk): its lengths, and its checksums from old on.
 */
static void
resized(struct ct_pkt *p, uint32_t grown, const struct sums *old)
{
	struct rte_tcp_hdr *th = tcp_of(p);
	uint8_t *ip = ct_at(p, p->l3_off);
	struct sums new;
	rte_be16_t was, is;

	if (p->v4) {
		struct rte_ipv4_hdr *h = (struct rte_ipv4_hdr *)ip;

		was = h->total_length;
		is = rte_cpu_to_be_16((uint16_t)(rte_be_to_cpu_16(was) + grown));
		h->total_length = is;
		h->hdr_checksum = ct_cksum_delta(h->hdr_checksum, &was, &is, sizeof(was));
	} else {
		struct rte_ipv6_hdr *h = (struct rte_ipv6_hdr *)ip;

		h->payload_len =
			rte_cpu_to_be_16((uint16_t)(rte_be_to_cpu_16(h->payload_len) + grown));
	}
	p->l4_len += grown;
	new = sums_of(p);
	if ((p->flags & CT_PKT_CSUM_PARTIAL) != 0)
		th->cksum = (uint16_t)~ct_cksum_delta(
			(uint16_t)~th->cksum, &old->len, &new.len, sizeof(new.len));
	else
		th->cksum = ct_cksum_delta(th->cksum, old, &new, sizeof(new));
}

/** The bytes must lie in the first segment, and what they become must fit there. */
static bool
may_edit(const struct ct_pkt *p, uint32_t off, uint32_t old_len, uint32_t len)
{
	uint32_t grown = len > old_len ? len - old_len : 0;

	return p->data_off + off + old_len <= rte_pktmbuf_data_len(p->m) &&
		grown <= rte_pktmbuf_tailroom(p->m) &&
		p->l4_off - p->l3_off + p->l4_len + grown <= UINT16_MAX;
}

static void
edit(struct ct_pkt *p, uint32_t off, uint32_t old_len, const char *text, uint32_t len)
{
	struct sums old = sums_of(p);
	uint32_t from = p->data_off + off, grown = len - old_len;
	uint8_t *at = ct_at(p, from);

	memmove(at + len, at + old_len, rte_pktmbuf_data_len(p->m) - from - old_len);
	memcpy(at, text, len);
	p->m->data_len = (uint16_t)(p->m->data_len + grown);
	p->m->pkt_len += grown;
	resized(p, grown, &old);
}

/** Drop what lies behind the first len bytes of the frame. */
static void
cut_frame(struct rte_mbuf *m, uint32_t len)
{
	struct rte_mbuf *s = m;

	m->pkt_len = len;
	m->nb_segs = 1;
	while (len > s->data_len) {
		len -= s->data_len;
		s = s->next;
		m->nb_segs++;
	}
	s->data_len = (uint16_t)len;
	rte_pktmbuf_free(s->next);
	s->next = NULL;
}

/* ---- streams ---- */

static bool
refuse(struct ct *ct, struct ct_pkt *p)
{
	return ct_refuse(ct, p, CT_DROP, CT_REASON_NAT_REWRITE);
}

/** The receiver has it all: from now on it is never sent again, but by mistake. */
static void
acked(struct ct_stream *st, uint32_t ack)
{
	if (!is_pending(st) || !seq_le(st->to, ack))
		return;
	st->skew += growth(st);
	st->flags &= (uint8_t)~CT_STREAM_PENDING;
}

/**
 * Replace the pending text once more, if it is in the segment.
 * @param grown receives by how much the payload has grown
 */
static bool
repeat(struct ct_pkt *p, const struct ct_stream *st, const struct ct_seg *seg, uint32_t *grown)
{
	uint32_t off = st->from - seg->seq, old_len = st->to - st->from;

	*grown = 0;
	if (seq_le(seg->seq + seg->len, st->from) || seq_le(st->to, seg->seq))
		return true;
	if (!seq_le(seg->seq, st->from) || !seq_le(st->to, seg->seq + seg->len) ||
		!may_edit(p, off, old_len, st->text_len))
		return false;
	edit(p, off, old_len, st->text, st->text_len);
	*grown = growth(st);
	return true;
}

void
ct_stream_forget(struct ct *ct, const struct ct_pkt *p)
{
	if ((ct->flows[p->flow].flags & CT_F_HELPED) != 0)
		helped_of(ct, p)->streams[p->side] = (struct ct_stream){ 0 };
}

bool
ct_stream_enter(struct ct *ct, struct ct_pkt *p, struct ct_seg *seg)
{
	struct ct_stream *st = &helped_of(ct, p)->streams[p->side];
	const struct rte_tcp_hdr *th = tcp_of(p);
	uint8_t flags = th->tcp_flags;
	uint32_t seen, grown = 0;

	seg->seq = rte_be_to_cpu_32(th->sent_seq) + ((flags & FLAG_SYN) != 0);
	seg->len = (flags & FLAG_RST) == 0 ? ct_payload_len(p) : 0;
	seg->fresh = seg->len;
	if ((flags & FLAG_ACK) != 0)
		acked(&helped_of(ct, p)->streams[!p->side], rte_be_to_cpu_32(th->recv_ack));
	/* Until it is answered, a connection may begin again with another number. */
	if ((flags & FLAG_SYN) != 0 &&
		((st->flags & CT_STREAM_WHOLE) == 0 ||
			(ct->flows[p->flow].flags & CT_F_ANSWERED) == 0))
		*st = (struct ct_stream){
			.next = seg->seq,
			.flags = CT_STREAM_KNOWN | CT_STREAM_WHOLE | CT_STREAM_LINE,
		};
	if ((st->flags & CT_STREAM_KNOWN) == 0) {
		st->next = seg->seq;
		st->flags |= CT_STREAM_KNOWN;
	}
	if (!seq_le(seg->seq, st->next)) {
		if (is_translated(ct, p) && (st->flags & CT_STREAM_WHOLE) != 0 &&
			(seg->len > 0 || (flags & FLAG_FIN) != 0))
			return refuse(ct, p);
		return true;
	}
	if (is_pending(st) && !repeat(p, st, seg, &grown))
		return refuse(ct, p);
	seen = st->next - seg->seq;
	if ((st->flags & CT_STREAM_HOLE) != 0 && seg->seq == st->hole && seen > 0) {
		st->flags &= (uint8_t)~CT_STREAM_HOLE;
		seg->fresh = 0;
	} else if ((st->flags & CT_STREAM_LINE) != 0 && seen < seg->len) {
		seg->fresh = seen + grown;
	} else {
		seg->fresh = seg->len + grown;
	}
	return true;
}

void
ct_stream_leave(struct ct *ct, const struct ct_pkt *p, const struct ct_seg *seg)
{
	struct ct_stream *st = &helped_of(ct, p)->streams[p->side];
	uint32_t last = p->l4_off + p->l4_len - 1;
	const char *c;
	char buf;

	if (seg->len == 0 || seq_le(seg->seq + seg->len, st->next))
		return;
	if (seg->seq != st->next && seq_le(st->next, seg->seq) &&
		(st->flags & CT_STREAM_LINE) != 0) {
		st->hole = st->next;
		st->flags |= CT_STREAM_HOLE;
	}
	st->next = seg->seq + seg->len;
	st->flags &= (uint8_t)~CT_STREAM_LINE;
	c = rte_pktmbuf_read(p->m, last, 1, &buf);
	if (c != NULL && *c == '\n')
		st->flags |= CT_STREAM_LINE;
}

bool
ct_stream_may_replace(
	const struct ct *ct, const struct ct_pkt *p, uint32_t off, uint32_t old_len, uint32_t len)
{
	const struct ct_stream *st = &helped_of(ct, p)->streams[p->side];

	return (st->flags & CT_STREAM_WHOLE) != 0 && len <= CT_TEXT_MAX &&
		may_edit(p, off, old_len, len);
}

bool
ct_stream_is_pending(const struct ct *ct, const struct ct_pkt *p)
{
	return is_pending(&helped_of(ct, p)->streams[p->side]);
}

void
ct_stream_replace(struct ct *ct, struct ct_pkt *p, const struct ct_seg *seg, uint32_t off,
	uint32_t old_len, const char *text, uint32_t len)
{
	struct ct_stream *st = &helped_of(ct, p)->streams[p->side];

	assert(!is_pending(st) && len <= CT_TEXT_MAX);
	edit(p, off, old_len, text, len);
	st->from = seg->seq + off;
	st->to = st->from + old_len;
	memcpy(st->text, text, len);
	st->text_len = (uint8_t)len;
	st->flags |= CT_STREAM_PENDING;
}

bool
ct_stream_hold(struct ct *ct, struct ct_pkt *p, struct ct_seg *seg, uint32_t off)
{
	uint32_t len = ct_payload_len(p);
	struct sums old;

	if (off == 0)
		return refuse(ct, p);
	old = sums_of(p);
	/* What ends the stream, or asks to hand it on, is behind what is held back. */
	tcp_of(p)->tcp_flags &= (uint8_t) ~(FLAG_FIN | FLAG_PSH);
	cut_frame(p->m, p->data_off + off);
	seg->len -= len - off;
	resized(p, off - len, &old);
	return true;
}
