/* SPDX-License-Identifier: BSD-3-Clause */
/* What workers ask for. */
#include "bridge_priv.h"

#include <errno.h>
#include <netinet/in.h>

/** Bursts of operations taken from one worker before the next has its turn. */
#define OP_BURSTS 4

static void
op_open(struct bridge *b, const struct l4x_op *op)
{
	struct bridge_rec *r = bridge_rec_take(b, op->flow);

	if (r == NULL)
		return;
	r->pif = op->open.pif;
	r->head_len = op->open.head_len;
	r->lender = bridge_lender_number(b, op->open.pif, op->open.queue);
	if (op->open.proto == IPPROTO_TCP)
		bridge_tcp_open(b, r, op);
	else
		bridge_dgram_open(b, r, op);
}

static void
op_adopt(struct bridge *b, const struct l4x_op *op)
{
	struct bridge_token token;
	struct bridge_rec *r;

	bridge_token_take(b, op->adopt.token, &token);
	r = bridge_rec_take(b, op->flow);
	if (r == NULL) {
		if (token.fd >= 0)
			sock_reset(token.fd);
		return;
	}
	r->pif = op->adopt.pif;
	r->head_len = op->adopt.head_len;
	r->lender = bridge_lender_number(b, op->adopt.pif, op->adopt.queue);
	bridge_tcp_adopt(b, r, op, &token);
}

static void
op_refuse(struct bridge *b, const struct l4x_op *op)
{
	struct bridge_token token;

	bridge_token_take(b, op->adopt.token, &token);
	if (token.fd < 0)
		return;
	sock_reset(token.fd);
	bridge_count(b, BRIDGE_COUNT_SOCKETS_CLOSED, 1);
	bridge_count(b, BRIDGE_COUNT_REFUSED, 1);
}

/** An operation on a connected TCP socket. */
static void
op_stream(struct bridge *b, struct bridge_rec *r, const struct l4x_op *op)
{
	if (unlikely(r->kind != BRIDGE_STREAM))
		return;
	switch (op->type) {
	case L4X_OP_ACK:
		bridge_rec_follow(b, r, op->ack.queue);
		bridge_tcp_ack(b, r, op);
		break;
	case L4X_OP_REWIND:
		bridge_tcp_rewind(b, r, op->ack.acked);
		break;
	case L4X_OP_SHUT:
		bridge_tcp_shut(b, r, op->send.off);
		break;
	case L4X_OP_QUERY:
		bridge_due(b, r, REC_ASK | REC_DUE_SENT);
		break;
	}
}

/** Is it of no matter to an operation whether SENDs that came before are carried out? */
static bool
is_apart(const struct l4x_op *op)
{
	return op->type == L4X_OP_ACK || op->type == L4X_OP_QUERY;
}

static void
op_one(struct bridge *b, const struct l4x_op *op)
{
	struct bridge_rec *r;

	switch (op->type) {
	case L4X_OP_OPEN:
		op_open(b, op);
		return;
	case L4X_OP_ADOPT:
		op_adopt(b, op);
		return;
	case L4X_OP_REFUSE:
		op_refuse(b, op);
		return;
	}
	r = bridge_rec_find(b, op->flow);
	if (r == NULL)
		return;
	if (!is_apart(op))
		bridge_rec_settle(b, r);
	if (op->type == L4X_OP_CLOSE)
		bridge_rec_drop(b, r, op->close.reset != 0);
	else
		op_stream(b, r, op);
}

/** DGRAMs of one flow. */
static void
op_dgrams(struct bridge *b, struct bridge_rec *r, const struct l4x_op *ops, unsigned int n)
{
	unsigned int i;

	bridge_rec_follow(b, r, ops[n - 1].dgram.queue);
	for (i = 0; i < n; i++)
		bridge_dgram_send(b, r, &ops[i]);
}

/** How many SENDs or DGRAMs of one flow there are in a row that, if SENDs, one call can carry. */
static unsigned int
run_of(const struct l4x_op *ops, unsigned int n)
{
	uint32_t segs = 0;
	unsigned int i;

	for (i = 0; i < n && ops[i].flow == ops[0].flow && ops[i].type == ops[0].type; i++) {
		if (ops[i].type == L4X_OP_SEND)
			segs += ops[i].send.m->nb_segs;
		if (i != 0 && segs > BRIDGE_IOV)
			break;
	}
	return i;
}

/** SENDs or DGRAMs of one flow in a row. @return how many */
static unsigned int
op_run(struct bridge *b, const struct l4x_op *ops, unsigned int n)
{
	struct bridge_rec *r = bridge_rec_find(b, ops[0].flow);
	const unsigned int run = run_of(ops, n);

	if (unlikely(r == NULL))
		return run;
	if (ops[0].type == L4X_OP_SEND) {
		bridge_rec_settle(b, r);
		if (likely(r->kind == BRIDGE_STREAM))
			bridge_tcp_send(b, r, ops, run);
		return run;
	}
	if (likely(r->kind == BRIDGE_DGRAM || r->kind == BRIDGE_PING))
		op_dgrams(b, r, ops, run);
	return run;
}

static void
do_ops(struct bridge *b, const struct l4x_op *ops, unsigned int n)
{
	unsigned int i = 0;

	while (i < n) {
		if (ops[i].type == L4X_OP_SEND || ops[i].type == L4X_OP_DGRAM)
			i += op_run(b, &ops[i], n - i);
		else
			op_one(b, &ops[i++]);
	}
	bridge_calls_run(b);
	for (i = 0; i < n; i++) {
		if (ops[i].type == L4X_OP_SEND)
			rte_pktmbuf_free(ops[i].send.m);
		else if (ops[i].type == L4X_OP_DGRAM)
			rte_pktmbuf_free(ops[i].dgram.m);
	}
}

unsigned int
bridge_ops_poll(struct bridge *b, struct bridge_worker *w)
{
	struct l4x_op ops[BRIDGE_OP_BURST];
	unsigned int done = 0, burst, n;

	for (burst = 0; burst < OP_BURSTS; burst++) {
		n = rte_ring_sc_dequeue_burst_elem(
			w->chan->ops, ops, sizeof(ops[0]), BRIDGE_OP_BURST, NULL);
		if (n == 0)
			break;
		do_ops(b, ops, n);
		done += n;
		if (n < BRIDGE_OP_BURST)
			break;
	}
	if (done != 0)
		bridge_count(b, BRIDGE_COUNT_OPS, done);
	return done;
}
