/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * TCP of lib/l4xlate between a guest that says anything, relative to what it and weir have said
 * before, and sockets that take and give in any portions. Held against xlate.h, and: what is handed
 * on is what the guest has sent; nothing is acknowledged that it has not sent, or that was not
 * taken; acknowledgements do not move back; what it is sent is what was read, and inside of the
 * windows it has told. Where the guest has kept to the rules, everything arrives in the end.
 *
 * Input: a byte that chooses the configuration, then steps: a byte with the step in its low nibble,
 * the connection in bit 6, and bit 7 for "in one burst with the next".
 */
#include <errno.h>
#include <netinet/in.h>

#include "xlate.h"

#define STEPS_MAX 400
#define CONNS 2
#define ISN 0xfffff000u
#define MSS 1460
/** Rounds of good behaviour at the end, and time between them. */
#define HEAL_ROUNDS 400
#define HEAL_US 500000

/** The guest's end of a connection. Offsets are of its own stream, or of weir's. */
struct conn {
	bool v6, inbound;
	uint16_t gport, pport;
	int scale; /**< -1: not offered */
	uint32_t isn, wisn;
	bool syn_sent, wisn_known;
	bool mixed; /**< SYNs with several numbers: acknowledgements cannot be told apart */
	bool odd;   /**< it has broken rules, or was reset: nothing is promised any more */
	bool fin_sent, fin_seen;
	uint64_t sent;   /**< end of what was sent */
	uint64_t acked;  /**< weir's acknowledgement */
	bool acked_fin;  /**< ... and of the FIN */
	uint32_t window; /**< told by weir */
	uint64_t got;    /**< received in order */
	uint64_t top;    /**< end of what weir has sent */
	uint64_t edge;   /**< end of the windows that the guest has told */
	uint16_t win;    /**< window field to tell */
};

static struct conn conns[CONNS];
static uint8_t choice;

static void
tweak(struct l4x_params *p, struct l4x_port_conf *c)
{
	p->max_flows = 8;
	p->timeouts.tcp_keepalive_ms = (choice & 0x10) != 0 ? 1000 : 0;
	p->timeouts.tcp_established_ms = (choice & 0x20) != 0 ? 5000 : 0;
}

static void
conns_init(void)
{
	memset(conns, 0, sizeof(conns));
	for (unsigned int i = 0; i < CONNS; i++) {
		struct conn *c = &conns[i];

		c->v6 = (choice >> i & 1) != 0;
		c->inbound = (choice >> (i + 2) & 1) != 0;
		c->scale = (choice & 0x40) != 0 ? -1 : 3;
		c->isn = ISN;
		c->win = 8192;
		c->gport = (uint16_t)(40000 + i);
		c->pport = 80;
	}
}

static const char *
peer_of(const struct conn *c)
{
	return c->v6 ? "2001:db8::7" : "192.0.2.7";
}

static int
shift(const struct conn *c)
{
	return c->scale < 0 ? 0 : c->scale;
}

/* ---- what the guest sends ---- */

/** Note what a segment has said, as far as weir may rely on it. */
static void
note_sent(struct conn *c, uint8_t flags, int64_t off, uint32_t len, int64_t ack, uint16_t win)
{
	const uint64_t edge = (uint64_t)RTE_MAX(ack, 0) + ((uint64_t)win << shift(c));

	/* What seems to come from later on makes all that follows look old (RFC 9293, SND.WL1). */
	c->odd |= off > (int64_t)c->sent + c->fin_sent;
	if ((flags & PKT_SYN) == 0 && len > 0) {
		c->odd |= off < 0 || (uint64_t)off > c->sent || c->fin_sent;
		if (off + (int64_t)len > (int64_t)c->sent)
			c->sent = (uint64_t)(off + len);
	}
	if ((flags & PKT_FIN) != 0) {
		c->odd |= off + (int64_t)len != (int64_t)c->sent;
		c->fin_sent = true;
	}
	if ((flags & PKT_RST) != 0)
		c->odd = true;
	if ((flags & PKT_ACK) != 0) {
		c->edge = RTE_MAX(c->edge, edge);
		/* Who acknowledges what it has not got cannot complain. */
		if (ack > (int64_t)c->got && ack <= (int64_t)c->top)
			c->got = (uint64_t)ack;
	}
}

static void
send_raw(struct xlate *x, struct conn *c, uint8_t flags, int64_t off, uint32_t len, int64_t ack)
{
	static uint8_t frame[PKT_MAX], data[PKT_MAX];
	struct pkt_ip ip = l4xkit_ip(peer_of(c));
	struct pkt_tcp tcp = { .sport = c->gport,
		.dport = c->pport,
		.seq = c->isn + 1 + (uint32_t)off,
		.flags = flags,
		.win = c->win,
		.wscale = -1 };
	struct rte_mbuf *m;

	if (x->k->n_burst == L4X_BURST || !xlate_has_mbufs(x))
		return;
	if ((flags & PKT_ACK) != 0)
		tcp.ack = c->wisn + 1 + (uint32_t)ack;
	if ((flags & PKT_SYN) != 0) {
		tcp.seq--;
		tcp.mss = MSS;
		tcp.wscale = c->scale;
		c->syn_sent = true;
	}
	for (uint32_t i = 0; i < len; i++)
		data[i] = xlate_byte((uint64_t)off + i);
	fuzz_trace("  > :%u flags %02x off %lld len %u ack %lld win %u", c->gport, flags,
		(long long)off, len, (long long)ack, c->win);
	note_sent(c, flags, off, len, ack, c->win);
	m = l4xkit_mbuf(x->k, frame, (uint32_t)pkt_build_tcp(frame, &ip, &tcp, data, len), 0, 0);
	if (len > MSS) {
		m->tso_segsz = MSS;
		m->ol_flags |= RTE_MBUF_F_RX_L4_CKSUM_NONE;
	}
	l4xkit_push_mbuf(x->k, m);
}

/** With everything acknowledged that has come. */
static void
send_seg(struct xlate *x, struct conn *c, uint8_t flags, uint64_t off, uint32_t len)
{
	send_raw(x, c, flags, (int64_t)off, len, (int64_t)c->got + c->fin_seen);
}

/** A SYN begins anew, and SYN|ACK answers; a number of its own only makes things harder. */
static void
step_syn(struct xlate *x, struct conn *c)
{
	const uint8_t how = fuzz_u8(x->tape);
	const uint32_t before = c->isn;

	if ((how & 0x0f) == 0x0f)
		c->isn += (uint32_t)(how >> 4) << 16;
	c->mixed |= c->isn != before;
	c->odd |= c->sent > 0 || c->mixed;
	if (c->inbound)
		send_raw(x, c, PKT_SYN | PKT_ACK, 0, 0, 0);
	else
		send_raw(x, c, PKT_SYN, 0, 0, 0);
}

/** Anything. */
static void
step_any(struct xlate *x, struct conn *c)
{
	const uint8_t flags = fuzz_u8(x->tape);
	int64_t off = (int64_t)c->sent + (int16_t)fuzz_u16(x->tape);
	const uint32_t len = fuzz_u16(x->tape);
	const int64_t ack = (int64_t)c->got + (int16_t)fuzz_u16(x->tape);

	c->win = fuzz_u16(x->tape);
	c->odd |= (flags & (PKT_FIN | PKT_RST | PKT_SYN | PKT_ACK)) != PKT_ACK;
	/* Numbers of SYNs differ by what the pattern repeats after. */
	if ((flags & PKT_SYN) != 0) {
		off = off / 65536 * 65536;
		c->mixed |= off != 0;
	}
	send_raw(x, c, flags, off, RTE_MIN(len, 40000u), ack);
}

static void
step_rst(struct xlate *x, struct conn *c)
{
	send_raw(x, c, PKT_RST | PKT_ACK, (int64_t)c->acked + (int8_t)fuzz_u8(x->tape), 0,
		(int64_t)c->got);
}

static void
step_guest(struct xlate *x, struct conn *c, uint8_t what)
{
	switch (what & 7) {
	case 0:
		send_seg(x, c, PKT_ACK | PKT_PSH, c->sent, 1u + fuzz_u8(x->tape) * 8);
		break;
	case 1:
		step_any(x, c);
		break;
	case 2:
		c->win = fuzz_u16(x->tape);
		send_seg(x, c, PKT_ACK, c->sent + c->fin_sent, 0);
		break;
	case 3:
		if (c->acked < c->sent)
			send_seg(x, c, PKT_ACK, c->acked,
				(uint32_t)RTE_MIN(c->sent - c->acked, (uint64_t)MSS));
		break;
	case 4:
		send_seg(x, c, PKT_ACK | PKT_FIN, c->sent, 0);
		break;
	case 5:
		step_syn(x, c);
		break;
	case 6:
		step_rst(x, c);
		break;
	default:
		for (unsigned int i = 0; i < 3; i++)
			send_seg(x, c, PKT_ACK, c->sent + c->fin_sent, 0);
		break;
	}
}

/* ---- what the guest is sent ---- */

static struct conn *
conn_of(const struct pkt_view *v)
{
	for (unsigned int i = 0; i < CONNS; i++)
		if (v->proto == IPPROTO_TCP && v->tcp.dport == conns[i].gport)
			return &conns[i];
	return NULL;
}

/** A new life of the connection. */
static void
syn_seen(struct conn *c, const struct pkt_view *v)
{
	/* Its number may be the last one's, where no time has passed. */
	const bool ended = c->fin_seen && c->acked_fin;
	const bool again = c->wisn_known && c->wisn == v->tcp.seq && !ended;

	/* To be answered, though it was before. */
	if ((v->tcp.flags & PKT_ACK) == 0)
		c->syn_sent = false;
	if (again)
		return;
	c->odd |= c->wisn_known;
	c->wisn = v->tcp.seq;
	c->wisn_known = true;
	c->got = c->top = c->acked = c->edge = 0;
	c->fin_seen = c->acked_fin = false;
}

static void
check_ack(struct conn *c, const struct pkt_view *v)
{
	const uint64_t end = c->sent + c->fin_sent;
	const int64_t off =
		(int32_t)(v->tcp.ack - c->isn - 1 - (uint32_t)c->acked) + (int64_t)c->acked;

	if (c->mixed)
		return;
	FUZZ_CHECK(off >= 0 && (uint64_t)off <= end, "%lld acknowledged of %llu", (long long)off,
		(unsigned long long)end);
	FUZZ_CHECK(c->odd || (uint64_t)off >= c->acked + c->acked_fin,
		"acknowledgement went back from %llu to %lld", (unsigned long long)c->acked,
		(long long)off);
	c->acked_fin = c->fin_sent && (uint64_t)off == end;
	c->acked = (uint64_t)off - c->acked_fin;
	c->window = (uint32_t)v->tcp.win << (c->scale < 0 || (v->tcp.flags & PKT_SYN) != 0 ? 0 : 8);
}

static void
check_data(struct conn *c, const struct pkt_view *v)
{
	const int64_t off =
		(int32_t)(v->tcp.seq - c->wisn - 1 - (uint32_t)c->got) + (int64_t)c->got;
	const uint64_t end = (uint64_t)off + v->data_len;

	FUZZ_CHECK(v->data_len == 0 || off >= 0, "data before the stream");
	if (off < 0)
		return; /* a probe */
	for (size_t i = 0; i < v->data_len; i++)
		FUZZ_CHECK(v->data[i] == xlate_byte((uint64_t)off + i),
			"a wrong byte for the guest at %llu", (unsigned long long)off + i);
	FUZZ_CHECK(v->data_len == 0 || end <= c->edge + (1u << shift(c)),
		"data up to %llu, past the window's %llu", (unsigned long long)end,
		(unsigned long long)c->edge);
	if (v->data_len > 0) {
		c->top = RTE_MAX(c->top, end);
		if ((uint64_t)off <= c->got && end > c->got)
			c->got = end;
	}
	if ((v->tcp.flags & PKT_FIN) != 0 && end == c->got)
		c->fin_seen = true;
}

static void
look(struct xlate *x)
{
	const struct l4xkit_frame *f;

	while ((f = xlate_frame(x)) != NULL) {
		const struct pkt_view *v = &x->k->view;
		struct conn *c = conn_of(v);

		fuzz_trace("  < %s", pkt_text(v));
		if (c == NULL)
			continue;
		if ((v->tcp.flags & PKT_RST) != 0) {
			c->odd = true;
			continue;
		}
		if ((v->tcp.flags & PKT_SYN) != 0)
			syn_seen(c, v);
		if ((v->tcp.flags & PKT_ACK) != 0)
			check_ack(c, v);
		if ((v->tcp.flags & PKT_SYN) == 0)
			check_data(c, v);
	}
}

/* ---- the other side ---- */

static void
step_accept(struct xlate *x, const struct conn *c)
{
	struct l4x_event ev = { .type = L4X_EV_ACCEPTED };

	if (!c->inbound)
		return;
	ev.accepted.peer = l4xkit_addr(peer_of(c));
	ev.accepted.local = l4xkit_addr(c->v6 ? "2001:db8::1" : "198.51.100.1");
	ev.accepted.peer_port = htons(c->pport);
	ev.accepted.local_port = htons(8080);
	ev.accepted.guest_port = htons(c->gport);
	ev.accepted.pif = L4XKIT_PIF;
	xlate_accepted(x, &ev);
}

static void
step_sock(struct xlate *x, uint8_t n)
{
	struct l4x_event reset = { .error.err = ECONNRESET };
	struct xlate_sock *s = xlate_pick(x, n);
	uint8_t what = fuzz_u8(x->tape);

	if (s == NULL)
		return;
	switch (what & 7) {
	case 0:
		xlate_connected(x, s);
		break;
	case 1:
		xlate_sent(x, s, fuzz_u16(x->tape));
		break;
	case 2:
	case 3:
		xlate_data(x, s, fuzz_u16(x->tape));
		break;
	case 4:
		xlate_eof(x, s);
		break;
	case 5:
		s->room = x->room = fuzz_u16(x->tape);
		s->lie = what >> 3;
		break;
	case 6:
		s->remote = (what & 0x80) != 0;
		break;
	default:
		if (what == 0xff)
			xlate_error(x, s, &reset);
		break;
	}
}

static void
step(struct xlate *x)
{
	const uint8_t what = fuzz_u8(x->tape);
	const bool more = (what & 0x80) != 0;
	struct conn *c = &conns[what >> 6 & 1];

	switch (what & 15) {
	case 8:
		l4xkit_advance(x->k, (uint64_t)fuzz_u8(x->tape) << (fuzz_u8(x->tape) % 24));
		break;
	case 9:
		xlate_bridge(x, what >> 4);
		break;
	case 10:
		xlate_deliver(x, what >> 4);
		break;
	case 11:
		step_sock(x, what >> 6 & 1);
		break;
	case 12:
		step_accept(x, c);
		break;
	case 13:
		if ((what & 0x20) != 0)
			xlate_link(x, !more, what >> 4 & 7);
		break;
	case 14:
		xlate_flush(x, false, more ? what >> 4 & 3 : UINT32_MAX);
		break;
	case 15:
		xlate_settle(x);
		break;
	default:
		step_guest(x, c, what);
		if (!more)
			xlate_flush(x, false, UINT32_MAX);
		break;
	}
	look(x);
}

/* ---- everybody behaves ---- */

static bool
is_done(const struct conn *c)
{
	const bool open = c->inbound ? c->wisn_known : c->syn_sent;

	return !open || c->odd || c->mixed || (c->acked == c->sent && c->acked_fin && c->fin_seen);
}

/** The guest sends what is due, and no more than it may. */
static void
heal_guest(struct xlate *x, struct conn *c)
{
	const uint32_t left = (uint32_t)(c->sent - c->acked);

	c->win = 8192;
	if (!c->wisn_known)
		send_raw(x, c, PKT_SYN, 0, 0, 0);
	else if (c->inbound && !c->syn_sent)
		send_raw(x, c, PKT_SYN | PKT_ACK, 0, 0, 0);
	else if (left > 0)
		send_seg(x, c, PKT_ACK, c->acked, RTE_MIN(RTE_MIN(left, c->window), (uint32_t)MSS));
	else if (!c->acked_fin)
		send_seg(x, c, PKT_ACK | PKT_FIN, c->sent, 0);
	else
		send_seg(x, c, PKT_ACK, c->sent + 1, 0);
}

/** The socket takes everything, reads everything, and comes to its end. */
static void
heal_sock(struct xlate *x, struct xlate_sock *s, bool first)
{
	if (!s->open)
		return;
	s->room = 1 << 20;
	s->lie = 0;
	s->peer_acked = s->taken;
	xlate_connected(x, s);
	if (first)
		xlate_sent(x, s, 0);
	xlate_data(x, s, UINT16_MAX);
	xlate_eof(x, s);
}

static void
heal(struct xlate *x)
{
	bool done = false;

	x->room = 1 << 20;
	xlate_link(x, true, x->offloads);
	for (unsigned int round = 0; round < HEAL_ROUNDS && !done; round++) {
		done = true;
		xlate_settle(x);
		for (unsigned int i = 0; i < XLATE_FLOWS; i++)
			heal_sock(x, &x->socks[i], round == 0);
		xlate_settle(x);
		look(x);
		for (unsigned int i = 0; i < CONNS; i++) {
			if (is_done(&conns[i]))
				continue;
			done = false;
			heal_guest(x, &conns[i]);
		}
		xlate_flush(x, false, UINT32_MAX);
		xlate_settle(x);
		l4xkit_advance(x->k, HEAL_US);
		look(x);
	}
	for (unsigned int i = 0; i < CONNS; i++)
		FUZZ_CHECK(is_done(&conns[i]),
			"connection %u hangs: %llu of %llu acknowledged%s, %llu got%s", i,
			(unsigned long long)conns[i].acked, (unsigned long long)conns[i].sent,
			conns[i].acked_fin ? " and FIN" : "", (unsigned long long)conns[i].got,
			conns[i].fin_seen ? " and FIN" : "");
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	xlate_init("fuzz_tcp");
	return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_tape tape = { data, data + size };
	struct xlate *x;

	choice = fuzz_u8(&tape);
	conns_init();
	x = xlate_begin(&tape, tweak);
	x->patterned = true;
	for (unsigned int i = 0; i < STEPS_MAX && fuzz_left(&tape) > 0; i++)
		step(x);
	xlate_flush(x, false, UINT32_MAX);
	look(x);
	heal(x);
	xlate_end(x);
	return 0;
}
