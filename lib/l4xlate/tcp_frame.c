/* SPDX-License-Identifier: BSD-3-Clause */
#include "tcp_priv.h"

static struct rte_tcp_hdr *
hdr_write(struct rte_tcp_hdr *th, const struct flowtab_tuple *guest, const struct tcp_seg *s)
{
	th->src_port = guest->oport;
	th->dst_port = guest->eport;
	th->sent_seq = rte_cpu_to_be_32(s->seq);
	th->recv_ack = rte_cpu_to_be_32(s->ack);
	th->data_off = (uint8_t)((TCP_HDR_LEN + s->opt_len) / 4 << 4);
	th->tcp_flags = s->flags;
	th->rx_win = rte_cpu_to_be_16(s->win);
	th->tcp_urp = 0;
	memcpy(th + 1, s->opt, s->opt_len);
	return th;
}

static void
send_empty(struct l4x *l, struct l4x_port *port, uint8_t queue, const struct flowtab_tuple *guest,
	const struct tcp_seg *s)
{
	uint16_t len = TCP_HDR_LEN + s->opt_len;
	struct rte_mbuf *m = l4x_mbuf(l);
	struct rte_tcp_hdr *th;

	if (m == NULL)
		return;
	th = hdr_write((struct rte_tcp_hdr *)rte_pktmbuf_append(m, len), guest, s);
	th->cksum = l4x_phdr_sum(guest, len);
	m->l4_len = len;
	m->ol_flags |= RTE_MBUF_F_TX_TCP_CKSUM;
	l4x_ip_prepend(port, m, guest, 0, 0);
	l4x_frame_add(l, port, queue, m);
}

/** The frame that was added last, unless the output dropped it, is this flow's. */
static void
mark_frame(struct l4x *l, uint32_t idx, uint32_t n_before)
{
	if (l->out.n_frames > n_before)
		l->out.frames[n_before].flow =
			flowtab_handle_make(l->params.worker, l->ftf[idx].generation, idx);
}

static void
flow_send_empty(struct l4x *l, uint32_t idx, const struct tcp_seg *s)
{
	uint32_t n_frames = l->out.n_frames;
	struct flowtab_tuple guest;

	if (flowtab_tuple(l->ft, idx, FLOWTAB_SIDE_GUEST, &guest) < 0)
		return;
	flowtab_flow_count(&l->ftf[idx], FLOWTAB_SIDE_OTHER, 1, 0);
	send_empty(l, l4x_flow_port(l, idx), l->flows[idx].queue, &guest, s);
	mark_frame(l, idx, n_frames);
}

void
l4x_tcp_segment(struct l4x *l, uint32_t idx, uint32_t seq, uint8_t flags)
{
	struct tcp_seg s = { .seq = seq, .flags = flags };

	l4x_tcp_tell(l4x_tcp_of(l, idx), &s.ack, &s.win);
	flow_send_empty(l, idx, &s);
}

void
l4x_tcp_syn(struct l4x *l, uint32_t idx)
{
	struct l4x_tcp *t = l4x_tcp_of(l, idx);
	struct tcp_seg s = { .seq = t->iss, .flags = RTE_TCP_SYN_FLAG };
	const bool first = t->state == L4X_TCP_SYN_SENT;

	if (t->state == L4X_TCP_SYN_RCVD) {
		s.flags |= RTE_TCP_ACK_FLAG;
		s.ack = tcp_seq_of(t->irs, 0);
	}
	/* The window of a SYN is never scaled (RFC 7323, 2.2). */
	s.win = (uint16_t)RTE_MIN(t->space, UINT16_MAX);
	t->wnd_told = s.win;
	t->edge = s.win;
	/* A guest that offers no option may not know how to read one. */
	if (first || t->told_mss) {
		const uint8_t mss[4] = { 2, 4, (uint8_t)(t->rcv_mss >> 8), (uint8_t)t->rcv_mss };

		memcpy(s.opt, mss, sizeof(mss));
		s.opt_len = sizeof(mss);
	}
	if (first || (t->flags & L4X_TCP_SCALED)) {
		const uint8_t scale[4] = { 1, 3, 3, TCP_RCV_SHIFT };

		memcpy(&s.opt[s.opt_len], scale, sizeof(scale));
		s.opt_len += sizeof(scale);
	}
	flow_send_empty(l, idx, &s);
}

void
l4x_tcp_rst(struct l4x *l, uint32_t idx)
{
	struct l4x_tcp *t = l4x_tcp_of(l, idx);
	struct tcp_seg s = { .flags = RTE_TCP_RST_FLAG | RTE_TCP_ACK_FLAG };

	switch (t->state) {
	case L4X_TCP_OPENING:
		s.ack = tcp_seq_of(t->irs, 0);
		break;
	case L4X_TCP_ADOPTING:
		return;
	case L4X_TCP_SYN_SENT:
		s.seq = tcp_seq_of(t->iss, 0);
		s.flags = RTE_TCP_RST_FLAG;
		break;
	default:
		s.seq = tcp_seq_of(t->iss, t->max) + ((t->flags & L4X_TCP_FIN_EVER) != 0);
		s.ack = tcp_seq_of(t->irs, l4x_tcp_ack_off(t));
		break;
	}
	l4x_count(l, L4X_COUNT_TCP_RST_SENT);
	flow_send_empty(l, idx, &s);
}

/** RFC 1122, 4.2.3.10: not for what was sent to many, nor from an address that nobody has. */
static bool
may_reset(const struct l4x_pkt *p)
{
	const struct flowtab_addr *dst = &p->tuple.oaddr;

	return !p->l2_multicast && !l4x_addr_is_nobody(dst) &&
		!l4x_addr_is_broadcast(&p->port->conf, dst);
}

void
l4x_tcp_rst_for(struct l4x *l, const struct l4x_pkt *p)
{
	const struct rte_tcp_hdr *th = l4x_pkt_l4(p);
	struct tcp_seg s = { .flags = RTE_TCP_RST_FLAG };

	if ((th->tcp_flags & RTE_TCP_RST_FLAG) != 0 || !may_reset(p) ||
		!l4x_error_allowed(l, p->port))
		return;
	if ((th->tcp_flags & RTE_TCP_ACK_FLAG) != 0) {
		s.seq = rte_be_to_cpu_32(th->recv_ack);
	} else {
		s.flags |= RTE_TCP_ACK_FLAG;
		s.ack = rte_be_to_cpu_32(th->sent_seq) + p->data_len;
		s.ack += (th->tcp_flags & RTE_TCP_SYN_FLAG) != 0;
		s.ack += (th->tcp_flags & RTE_TCP_FIN_FLAG) != 0;
	}
	l4x_count(l, L4X_COUNT_TCP_RST_SENT);
	send_empty(l, p->port, p->queue, &p->tuple, &s);
}

/** Headers of a flow's segments with payload: they differ in little from one to the next. */
struct head {
	uint8_t bytes[L4X_ETH_LEN + L4X_IP6_LEN + TCP_HDR_LEN];
	uint16_t l3_len;
	uint16_t len;
	uint32_t payload; /**< that lengths and sums are made for */
};

/** Lower headers, and the TCP checksum: a guest wants the whole length of a TSO frame in it. */
static void
head_fit(struct head *h, const struct l4x_port *port, const struct flowtab_tuple *guest,
	struct rte_tcp_hdr *th, uint32_t payload)
{
	l4x_head_write(port, guest, 0, 0, h->bytes, payload + TCP_HDR_LEN);
	th->cksum = l4x_phdr_sum(guest, payload + TCP_HDR_LEN);
	h->payload = payload;
}

/** One frame. False: it has no room for headers. */
static bool
head_put(const struct head *h, struct rte_mbuf *m, uint16_t mss)
{
	const bool v4 = h->l3_len == L4X_IP4_LEN, cut = h->payload > mss;
	uint8_t *at;

	if (unlikely(rte_pktmbuf_headroom(m) < h->len))
		return false;
	at = (uint8_t *)rte_pktmbuf_prepend(m, h->len);
	if (v4)
		memcpy(at, h->bytes, L4X_ETH_LEN + L4X_IP4_LEN + TCP_HDR_LEN);
	else
		memcpy(at, h->bytes, L4X_ETH_LEN + L4X_IP6_LEN + TCP_HDR_LEN);
	m->ol_flags |= RTE_MBUF_F_TX_TCP_CKSUM | (cut ? RTE_MBUF_F_TX_TCP_SEG : 0) |
		(v4 ? RTE_MBUF_F_TX_IPV4 : RTE_MBUF_F_TX_IPV6);
	m->tx_offload =
		rte_mbuf_tx_offload(L4X_ETH_LEN, h->l3_len, TCP_HDR_LEN, cut ? mss : 0, 0, 0, 0);
	return true;
}

uint32_t
l4x_tcp_payload(struct l4x *l, uint32_t idx, struct rte_mbuf *const *m, uint32_t n)
{
	struct l4x_port *port = l4x_flow_port(l, idx);
	struct l4x_flow *f = &l->flows[idx];
	struct l4x_tcp *t = &f->tcp;
	struct tcp_seg s = { .flags = RTE_TCP_ACK_FLAG };
	struct head h = { .l3_len = f->v4 ? L4X_IP4_LEN : L4X_IP6_LEN };
	struct rte_tcp_hdr *th = (struct rte_tcp_hdr *)&h.bytes[L4X_ETH_LEN + h.l3_len];
	struct flowtab_tuple guest;
	uint32_t bytes = 0, i = 0;

	h.len = L4X_ETH_LEN + h.l3_len + TCP_HDR_LEN;
	/* Told is only what is sent. */
	if (unlikely(rte_pktmbuf_headroom(m[0]) < h.len ||
		    flowtab_tuple(l->ft, idx, FLOWTAB_SIDE_GUEST, &guest) < 0))
		goto drop;
	l4x_tcp_tell(t, &s.ack, &s.win);
	hdr_write(th, &guest, &s);
	t->last_data = L4X_TCP_NONE;
	for (; i < n; i++) {
		const uint32_t len = rte_pktmbuf_pkt_len(m[i]), n_frames = l->out.n_frames;

		if (len != h.payload)
			head_fit(&h, port, &guest, th, len);
		th->sent_seq = rte_cpu_to_be_32(tcp_seq_of(t->iss, t->nxt + bytes));
		if (!head_put(&h, m[i], t->mss))
			break;
		bytes += len;
		l4x_frame_add(l, port, f->queue, m[i]);
		mark_frame(l, idx, n_frames);
		/* A frame that the output drops is gone at once. */
		t->last_data = l->out.n_frames > n_frames ? (uint16_t)n_frames : L4X_TCP_NONE;
	}
	flowtab_flow_count(&l->ftf[idx], FLOWTAB_SIDE_OTHER, i, bytes);
	t->answering |= i > 0;
drop:
	for (; i < n; i++)
		l4x_drop(l, m[i], L4X_DROP_NO_MBUF);
	return bytes;
}
