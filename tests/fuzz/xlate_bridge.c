/* SPDX-License-Identifier: BSD-3-Clause */
/* The crude bridge: each operation is held against l4x_msg.h, and answered. */
#include "xlate.h"

#include <errno.h>
#include <netinet/in.h>

/** The socket of an operation that is for an open one. */
static struct xlate_sock *
sock_of(struct xlate *x, const struct l4x_op *op, bool stream)
{
	struct xlate_sock *s = &x->socks[flowtab_handle_index(op->flow) % XLATE_FLOWS];

	FUZZ_CHECK(s->open && s->flow == op->flow, "operation %u for a socket that is not open",
		op->type);
	FUZZ_CHECK((s->proto == IPPROTO_TCP) == stream, "operation %u for protocol %u", op->type,
		s->proto);
	/* It may pass the ERROR on its way, never what comes before CONNECTED. */
	FUZZ_CHECK(!stream || s->connected, "operation %u for a socket that is not connected",
		op->type);
	return s;
}

static struct xlate_sock *
sock_open(struct xlate *x, const struct l4x_op *op, uint8_t proto)
{
	const uint32_t idx = flowtab_handle_index(op->flow);
	struct xlate_sock *s = &x->socks[idx % XLATE_FLOWS];

	FUZZ_CHECK(idx < x->k->params.max_flows, "flow index %u", idx);
	FUZZ_CHECK(!s->open, "two sockets for flow %u", idx);
	FUZZ_CHECK(
		op->flow != s->flow, "handle %llx given out twice", (unsigned long long)op->flow);
	*s = (struct xlate_sock){ .flow = op->flow, .proto = proto, .open = true };
	s->room = x->room;
	return s;
}

/** A guest reaches the host's loopback only where it was let. */
static void
check_peer(const struct xlate *x, const struct flowtab_addr *peer)
{
	const struct l4x_port_conf *c = &x->k->conf;
	const bool let = !flowtab_addr_is_any(&c->loopback) ||
		!flowtab_addr_is_any(&c->loopback6) || flowtab_addr_is_loopback(&c->dns_forward);

	FUZZ_CHECK(!flowtab_addr_is_loopback(peer) || let, "a connection to the host's loopback");
	FUZZ_CHECK(!flowtab_addr_is_any(peer), "a connection to no address");
	FUZZ_CHECK(!flowtab_addr_is_multicast(peer), "a connection to a multicast address");
	FUZZ_CHECK(!flowtab_addr_eq(peer, &c->gateway) && !flowtab_addr_eq(peer, &c->gateway6),
		"a connection to the gateway's address");
}

static void
op_open(struct xlate *x, const struct l4x_op *op)
{
	struct xlate_sock *s = sock_open(x, op, op->open.proto);
	struct l4x_event refused = { .error.err = ECONNREFUSED };
	uint8_t how;

	FUZZ_CHECK(op->open.proto == IPPROTO_TCP || op->open.proto == IPPROTO_UDP ||
			op->open.proto == IPPROTO_ICMP || op->open.proto == IPPROTO_ICMPV6,
		"protocol %u", op->open.proto);
	FUZZ_CHECK(op->open.pif == L4XKIT_PIF && op->open.queue < x->k->conf.n_queues,
		"port %u, queue %u", op->open.pif, op->open.queue);
	FUZZ_CHECK(op->open.head_len >= 14 + 20 && op->open.head_len <= XLATE_HEADROOM,
		"head_len %u", op->open.head_len);
	if ((op->open.flags & L4X_OPEN_REUSE) == 0)
		check_peer(x, &op->open.peer);
	if (op->open.proto != IPPROTO_TCP)
		return;
	how = fuzz_u8(x->tape);
	if (how % 8 < 6)
		xlate_connected(x, s);
	else if (how % 8 == 6)
		xlate_error(x, s, &refused);
}

static void
token_answered(struct xlate *x, uint32_t token)
{
	for (unsigned int i = 0; i < x->n_tokens; i++) {
		if (x->tokens[i] == token) {
			x->tokens[i] = x->tokens[--x->n_tokens];
			return;
		}
	}
	fuzz_fail(__FILE__, __LINE__, "token %u was answered before, or never accepted", token);
}

static void
op_send(struct xlate *x, const struct l4xkit_op *o)
{
	struct xlate_sock *s = sock_of(x, &o->op, true);
	const uint64_t off = o->op.send.off, end = off + o->len;
	uint64_t take;

	FUZZ_CHECK(!s->shut, "SEND after SHUT");
	FUZZ_CHECK(o->len > 0 && off <= s->sent_top, "SEND of %u bytes at %llu, after %llu", o->len,
		(unsigned long long)off, (unsigned long long)s->sent_top);
	for (uint32_t i = 0; x->patterned && i < o->len; i++)
		FUZZ_CHECK(o->data[i] == xlate_byte(off + i), "a wrong byte in SEND at %llu",
			(unsigned long long)(off + i));
	s->sent_top = RTE_MAX(s->sent_top, end);
	if (s->failed)
		return;
	take = off <= s->taken && end > s->taken ? end - s->taken : 0;
	take = RTE_MIN(take, (uint64_t)s->room);
	s->taken += take;
	s->room -= (uint32_t)take;
	if (!s->remote)
		s->peer_acked = s->taken;
	xlate_tell_sent(x, s, L4X_EV_SENT, end > s->taken ? L4X_SENT_SHORT : 0);
}

static void
op_ack(struct xlate *x, const struct l4x_op *op)
{
	struct xlate_sock *s = sock_of(x, op, true);

	FUZZ_CHECK(op->ack.acked >= s->acked && op->ack.acked <= s->top,
		"ACK of %llu, after %llu, with %llu read", (unsigned long long)op->ack.acked,
		(unsigned long long)s->acked, (unsigned long long)s->top);
	FUZZ_CHECK(op->ack.limit >= op->ack.acked, "a limit below what is acknowledged");
	FUZZ_CHECK(op->ack.frame_max > 0 && op->ack.frame_max <= L4X_GSO_MAX, "frame_max %u",
		op->ack.frame_max);
	s->acked = op->ack.acked;
	s->limit = op->ack.limit;
	s->frame_max = op->ack.frame_max;
	s->read = RTE_MAX(s->read, s->acked);
}

static void
op_rewind(struct xlate *x, const struct l4x_op *op)
{
	struct xlate_sock *s = sock_of(x, op, true);

	FUZZ_CHECK(op->ack.acked >= s->acked && op->ack.acked <= s->top,
		"REWIND to %llu, with %llu acknowledged and %llu read",
		(unsigned long long)op->ack.acked, (unsigned long long)s->acked,
		(unsigned long long)s->top);
	s->read = RTE_MIN(s->read, op->ack.acked);
}

static void
op_shut(struct xlate *x, const struct l4x_op *op)
{
	struct xlate_sock *s = sock_of(x, op, true);

	FUZZ_CHECK(!s->shut, "SHUT twice");
	FUZZ_CHECK(op->send.off == s->taken, "SHUT at %llu, with %llu taken",
		(unsigned long long)op->send.off, (unsigned long long)s->taken);
	s->shut = true;
}

static void
op_dgram(struct xlate *x, const struct l4xkit_op *o)
{
	sock_of(x, &o->op, false);
	FUZZ_CHECK(o->len == o->op.len && o->op.dgram.seg <= o->len, "DGRAM of %u bytes in %u",
		o->len, o->op.dgram.seg);
	FUZZ_CHECK(
		o->len == 0 || o->op.dgram.seg > 0, "DGRAM of %u bytes in segments of 0", o->len);
}

static void
op_close(struct xlate *x, const struct l4x_op *op)
{
	struct xlate_sock *s = &x->socks[flowtab_handle_index(op->flow) % XLATE_FLOWS];

	FUZZ_CHECK(s->open && s->flow == op->flow, "CLOSE of a socket that is not open");
	s->open = false;
}

static void
do_op(struct xlate *x, const struct l4xkit_op *o)
{
	const struct l4x_op *op = &o->op;
	struct xlate_sock *s;

	fuzz_trace("  operation %u flow %llx len %u %llu", op->type, (unsigned long long)op->flow,
		op->len, (unsigned long long)op->ack.acked);
	switch (op->type) {
	case L4X_OP_OPEN:
		op_open(x, op);
		break;
	case L4X_OP_ADOPT:
		token_answered(x, op->adopt.token);
		s = sock_open(x, op, IPPROTO_TCP);
		xlate_connected(x, s);
		break;
	case L4X_OP_REFUSE:
		FUZZ_CHECK(op->flow == 0, "REFUSE for a flow");
		token_answered(x, op->adopt.token);
		break;
	case L4X_OP_SEND:
		op_send(x, o);
		break;
	case L4X_OP_DGRAM:
		op_dgram(x, o);
		break;
	case L4X_OP_ACK:
		op_ack(x, op);
		break;
	case L4X_OP_REWIND:
		op_rewind(x, op);
		break;
	case L4X_OP_SHUT:
		op_shut(x, op);
		break;
	case L4X_OP_QUERY:
		xlate_sent(x, sock_of(x, op, true), 0);
		break;
	case L4X_OP_CLOSE:
		op_close(x, op);
		break;
	default:
		fuzz_fail(__FILE__, __LINE__, "operation %u", op->type);
	}
}

unsigned int
xlate_bridge(struct xlate *x, unsigned int n)
{
	const struct l4xkit_op *o;
	unsigned int i;

	/* An operation has one answer at most, and none is ever lost. */
	for (i = 0; i < n && (x->ending || xlate_event_room(x)) && (o = l4xkit_op(x->k)) != NULL;
		i++)
		do_op(x, o);
	return i;
}
