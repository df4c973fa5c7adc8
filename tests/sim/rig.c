/* SPDX-License-Identifier: BSD-3-Clause */
#include "rig.h"

#include <errno.h>

#define SHIFT 8
#define TOKEN 77

uint8_t
rig_byte(uint64_t off)
{
	return (uint8_t)(off * 131 + (off >> 8) * 29 + (off >> 16) * 7);
}

static void
fill(uint8_t *b, uint64_t off, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++)
		b[i] = rig_byte(off + i);
}

static void
compare(const uint8_t *b, uint64_t off, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++)
		if (b[i] != rig_byte(off + i))
			fail_msg("wrong byte at stream offset %llu", (unsigned long long)(off + i));
}

static l4xkit_tweak user_tweak;

/** Router advertisements would come in between. */
static void
tweak4(struct l4x_params *p, struct l4x_port_conf *c)
{
	c->ipv6 = false;
	if (user_tweak != NULL)
		user_tweak(p, c);
}

static struct rig *
create(l4xkit_tweak tweak, const char *peer)
{
	struct rig *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	r->k = l4xkit_create(tweak);
	r->peer = peer;
	r->gport = 40000;
	r->pport = 80;
	r->gisn = 1000;
	r->gwin = 512;
	r->gscale = 7;
	r->gmss = 1460;
	r->space = 1 << 20;
	r->rtt_us = 200;
	return r;
}

struct rig *
rig_create(l4xkit_tweak tweak)
{
	user_tweak = tweak;
	return create(tweak4, "192.0.2.7");
}

struct rig *
rig_create6(l4xkit_tweak tweak)
{
	return create(tweak, "2001:db8::7");
}

void
rig_destroy(struct rig *r)
{
	l4xkit_destroy(r->k);
	free(r);
}

/* ---- the guest ---- */

void
rig_push_raw(struct rig *r, uint8_t flags, uint32_t seq, uint32_t ack, uint32_t len)
{
	static uint8_t frame[PKT_MAX], data[PKT_MAX];
	struct pkt_ip ip = l4xkit_ip(r->peer);
	struct pkt_tcp tcp = { .sport = r->gport,
		.dport = r->pport,
		.seq = seq,
		.ack = ack,
		.flags = flags,
		.win = r->gwin,
		.wscale = -1 };
	uint32_t first = seq;

	if ((flags & PKT_SYN) != 0) {
		tcp.mss = r->gmss;
		tcp.wscale = r->gscale;
		tcp.sack_ok = true;
		first++;
	}
	fill(data, (uint64_t)(int64_t)(int32_t)(first - r->gisn - 1), len);
	len = (uint32_t)pkt_build_tcp(frame, &ip, &tcp, data, len);
	l4xkit_push_mbuf(r->k, l4xkit_mbuf(r->k, frame, len, 0, r->gseg));
}

void
rig_flush(struct rig *r)
{
	l4xkit_flush(r->k);
}

void
rig_raw(struct rig *r, uint8_t flags, uint32_t seq, uint32_t ack, uint32_t len)
{
	rig_push_raw(r, flags, seq, ack, len);
	rig_flush(r);
}

void
rig_push(struct rig *r, uint8_t flags, int64_t off, uint32_t len)
{
	rig_push_raw(r, flags, r->gisn + 1 + (uint32_t)off,
		r->wisn + 1 + (uint32_t)r->ack + r->ack_fin, len);
}

void
rig_seg(struct rig *r, uint8_t flags, int64_t off, uint32_t len)
{
	rig_push(r, flags, off, len);
	rig_flush(r);
}

void
rig_ack(struct rig *r, uint64_t off, uint64_t goff)
{
	r->ack = off;
	rig_seg(r, PKT_ACK, (int64_t)goff, 0);
}

/* ---- the bridge ---- */

static struct l4x_event
sent_event(const struct rig *r, enum l4x_event_type type, uint64_t taken)
{
	struct l4x_event ev = { .type = type, .flow = r->flow };

	ev.sent.taken = taken;
	ev.sent.acked = (r->sent_flags & L4X_SENT_REMOTE) != 0 ? r->acked : taken;
	ev.sent.space = r->space;
	ev.sent.rtt_us = r->rtt_us;
	ev.sent.flags = r->sent_flags;
	return ev;
}

void
rig_connected(struct rig *r)
{
	struct l4x_event ev = sent_event(r, L4X_EV_CONNECTED, 0);

	l4xkit_event(r->k, &ev);
}

void
rig_sent(struct rig *r, uint64_t taken)
{
	struct l4x_event ev = sent_event(r, L4X_EV_SENT, taken);

	l4xkit_event(r->k, &ev);
}

void
rig_data_burst(struct rig *r, uint64_t off, uint32_t len, unsigned int n)
{
	static uint8_t bytes[PKT_MAX];
	struct l4x_event ev[L4X_BURST];

	assert_true(n <= L4X_BURST);
	for (unsigned int i = 0; i < n; i++) {
		fill(bytes, off + i * len, len);
		ev[i] = (struct l4x_event){ .type = L4X_EV_DATA, .flow = r->flow, .len = len };
		ev[i].data.off = off + i * len;
		ev[i].data.m[0] = l4xkit_payload(r->k, bytes, len);
	}
	l4xkit_events(r->k, ev, n);
}

void
rig_data(struct rig *r, uint64_t off, uint32_t len)
{
	rig_data_burst(r, off, len, 1);
}

void
rig_eof(struct rig *r, uint64_t off)
{
	struct l4x_event ev = { .type = L4X_EV_EOF, .flow = r->flow };

	ev.data.off = off;
	l4xkit_event(r->k, &ev);
}

void
rig_error(struct rig *r, int err)
{
	struct l4x_event ev = { .type = L4X_EV_ERROR, .flow = r->flow };

	ev.error.err = err;
	l4xkit_event(r->k, &ev);
}

void
rig_accepted(struct rig *r)
{
	struct l4x_event ev = { .type = L4X_EV_ACCEPTED };

	ev.accepted.token = TOKEN;
	ev.accepted.peer = l4xkit_addr(r->peer);
	ev.accepted.local =
		l4xkit_addr(strchr(r->peer, ':') != NULL ? "2001:db8::1" : "198.51.100.1");
	ev.accepted.peer_port = htons(r->pport);
	ev.accepted.local_port = htons(8080);
	ev.accepted.guest_port = htons(r->gport);
	ev.accepted.pif = L4XKIT_PIF;
	l4xkit_event(r->k, &ev);
}

/* ---- what comes back ---- */

static const struct l4xkit_frame *
next_frame(struct rig *r)
{
	const struct l4xkit_frame *f;

	do {
		f = l4xkit_frame(r->k);
	} while (f != NULL && r->k->view.proto == IPPROTO_ICMPV6 && r->k->view.icmp_type == 134);
	return f;
}

const struct pkt_view *
rig_expect(struct rig *r, uint8_t flags)
{
	const struct pkt_view *v = &r->k->view;

	if (next_frame(r) == NULL)
		fail_msg("no frame where one with flags 0x%02x was due", flags);
	r->view = v;
	if (v->proto != IPPROTO_TCP || v->tcp.flags != flags)
		fail_msg("flags 0x%02x expected, not %s", flags, pkt_text(v));
	assert_int_equal(v->tcp.sport, r->pport);
	assert_int_equal(v->tcp.dport, r->gport);
	return v;
}

const struct pkt_view *
rig_expect_ack(struct rig *r, uint64_t off)
{
	const struct pkt_view *v = rig_expect(r, PKT_ACK);

	assert_int_equal(v->data_len, 0);
	assert_int_equal((uint32_t)(v->tcp.ack - r->gisn - 1), (uint32_t)off);
	return v;
}

const struct pkt_view *
rig_expect_data(struct rig *r, uint64_t off, uint32_t len)
{
	const struct pkt_view *v = &r->k->view;

	assert_non_null(next_frame(r));
	r->view = v;
	assert_int_equal(v->proto, IPPROTO_TCP);
	assert_int_equal(v->tcp.flags & ~PKT_PSH, PKT_ACK);
	assert_int_equal((uint32_t)(v->tcp.seq - r->wisn - 1), (uint32_t)off);
	assert_int_equal(v->data_len, len);
	compare(v->data, off, len);
	return v;
}

const struct l4xkit_op *
rig_op(struct rig *r, enum l4x_op_type type)
{
	const struct l4xkit_op *o = l4xkit_expect_op(r->k, type);

	assert_true(o->op.flow == r->flow);
	return o;
}

void
rig_expect_send(struct rig *r, uint64_t off, uint32_t len)
{
	const struct l4xkit_op *o = rig_op(r, L4X_OP_SEND);

	assert_int_equal(o->op.send.off, off);
	assert_int_equal(o->len, len);
	compare(o->data, off, len);
}

void
rig_expect_credit(struct rig *r, uint64_t acked, uint64_t limit)
{
	const struct l4xkit_op *o = rig_op(r, L4X_OP_ACK);

	assert_int_equal(o->op.ack.acked, acked);
	assert_int_equal(o->op.ack.limit, limit);
}

void
rig_expect_close(struct rig *r, bool reset)
{
	assert_int_equal(rig_op(r, L4X_OP_CLOSE)->op.close.reset, reset);
}

void
rig_quiet(struct rig *r)
{
	const struct l4xkit_op *o = l4xkit_op(r->k);

	if (next_frame(r) != NULL)
		fail_msg("unexpected frame: %s", pkt_text(&r->k->view));
	if (o != NULL)
		fail_msg("unexpected operation of type %u", o->op.type);
}

uint32_t
rig_window(const struct rig *r)
{
	return (uint32_t)r->view->tcp.win << (r->gscale < 0 ? 0 : SHIFT);
}

uint32_t
rig_flows(const struct rig *r)
{
	return l4x_flow_count(r->k->l);
}

/* ---- whole handshakes ---- */

void
rig_syn(struct rig *r)
{
	rig_raw(r, PKT_SYN, r->gisn, 0, 0);
}

void
rig_open(struct rig *r)
{
	const struct l4xkit_op *o;

	rig_syn(r);
	o = l4xkit_expect_op(r->k, L4X_OP_OPEN);
	r->flow = o->op.flow;
	rig_connected(r);
	r->wisn = rig_expect(r, PKT_SYN | PKT_ACK)->tcp.seq;
	assert_int_equal(r->view->tcp.ack, r->gisn + 1);
	rig_seg(r, PKT_ACK, 0, 0);
	rig_expect_credit(r, 0, (uint64_t)r->gwin << (r->gscale < 0 ? 0 : r->gscale));
	l4xkit_discard(r->k);
}

void
rig_accept(struct rig *r)
{
	const struct l4xkit_op *o;

	rig_accepted(r);
	o = l4xkit_expect_op(r->k, L4X_OP_ADOPT);
	assert_int_equal(o->op.adopt.token, TOKEN);
	r->flow = o->op.flow;
	rig_connected(r);
	r->wisn = rig_expect(r, PKT_SYN)->tcp.seq;
	rig_raw(r, PKT_SYN | PKT_ACK, r->gisn, r->wisn + 1, 0);
	rig_expect_ack(r, 0);
	/* The window of a SYN|ACK is never scaled. */
	rig_expect_credit(r, 0, r->gwin);
	rig_seg(r, PKT_ACK, 0, 0);
	l4xkit_discard(r->k);
}
