/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Nonsense in every state: segments and events that are nearly right, in any order. Nothing is to
 * be read or written that should not be (run it under a sanitizer), nothing to be lost or left
 * behind.
 */
#include "rig.h"

#define TUPLES 6
#define ROUNDS 20000

static uint64_t rng;
/** Whose connection came from outside last. */
static unsigned int accepted;

static uint32_t
rnd(uint32_t below)
{
	rng = rng * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)((rng >> 33) * below >> 31);
}

/** What the guest and the bridge of one tuple believe; often wrong. */
struct party {
	uint64_t flow;
	uint32_t gnxt, wnxt;
	uint64_t taken, read;
};

static uint32_t
near(uint32_t seq)
{
	static const int32_t off[] = { 1, -1, 2, 100, -100, 1460, 70000, -70000, 1 << 20, INT32_MIN,
		INT32_MAX, 1 << 30 };

	return rnd(4) != 0 ? seq : seq + (uint32_t)off[rnd(12)];
}

static void
any_segment(struct rig *r, struct party *p, unsigned int i)
{
	static const uint8_t flags[] = { PKT_ACK, PKT_ACK, PKT_ACK, PKT_ACK, PKT_ACK | PKT_PSH,
		PKT_SYN, PKT_SYN, PKT_SYN | PKT_ACK, PKT_ACK | PKT_FIN, PKT_RST, PKT_RST | PKT_ACK,
		PKT_FIN, 0, 0xff, PKT_ACK | PKT_URG | PKT_ECE | PKT_CWR };
	/* Mostly what keeps a connection alive, or it never gets far. */
	uint8_t f = flags[rnd(12) == 0 ? rnd(15) : rnd(5)];
	uint32_t len = rnd(4) == 0 ? rnd(3000) : 0, seq = near(p->gnxt);

	if (p->flow == 0 && rnd(2) != 0)
		f = PKT_SYN;
	r->gport = (uint16_t)(40000 + i);
	r->gwin = rnd(3) == 0 ? 0 : (uint16_t)rnd(65536);
	r->gscale = (int)rnd(17) - 1;
	r->gmss = (uint16_t)(rnd(2) ? rnd(3000) : 1460);
	if ((f & PKT_SYN) != 0 && rnd(2) != 0)
		seq = rnd(UINT32_MAX);
	rig_push_raw(r, f, seq, near(p->wnxt), len);
	if ((f & PKT_SYN) != 0)
		p->gnxt = seq + 1;
	else if (seq == p->gnxt)
		p->gnxt += len + (rnd(8) == 0 && (f & PKT_FIN) != 0);
}

static struct l4x_event
any_event(struct rig *r, struct party *p)
{
	static const uint64_t far[] = { 0, 0, 0, 1, 1000, 1ull << 31, 1ull << 33, UINT64_MAX / 2 };
	struct l4x_event ev = { .type = (uint8_t)rnd(L4X_EV_ERROR + 1), .flow = p->flow };
	uint8_t bytes[3000] = { 0 };

	switch (ev.type) {
	case L4X_EV_DATA:
		ev.len = rnd(sizeof(bytes));
		ev.data.off = p->read + far[rnd(8)];
		ev.data.m[0] = l4xkit_payload(r->k, bytes, ev.len);
		p->read += ev.len;
		break;
	case L4X_EV_EOF:
		ev.data.off = p->read + far[rnd(8)];
		break;
	case L4X_EV_ERROR:
		ev.error.err = (int32_t)rnd(140);
		break;
	default:
		ev.sent.taken = p->taken;
		ev.sent.acked = p->taken - RTE_MIN(p->taken, (uint64_t)rnd(5000));
		ev.sent.space = rnd(4) == 0 ? 0 : rnd(UINT32_MAX);
		ev.sent.flags = (uint8_t)rnd(4);
		ev.sent.rtt_us = rnd(UINT32_MAX);
		break;
	}
	/* Errors end flows: not too many of them. */
	if ((ev.type == L4X_EV_ERROR || ev.type == L4X_EV_EOF) && rnd(10) != 0)
		ev = (struct l4x_event){ .type = L4X_EV_SENT,
			.flow = p->flow,
			.sent.taken = p->taken,
			.sent.space = 100000 };
	return ev;
}

static struct party *
party_of(struct party *parties, uint64_t flow)
{
	for (unsigned int i = 0; i < TUPLES; i++)
		if (parties[i].flow == flow)
			return &parties[i];
	return NULL;
}

/** Believe what comes back, so that states further on are reached. */
static void
hear(struct rig *r, struct party *parties)
{
	const struct l4xkit_op *o;
	struct party *p;

	while (l4xkit_frame(r->k) != NULL) {
		const struct pkt_view *v = &r->k->view;

		if (v->proto != IPPROTO_TCP)
			continue;
		p = &parties[v->tcp.dport - 40000];
		p->wnxt = v->tcp.seq + (uint32_t)v->data_len + ((v->tcp.flags & PKT_SYN) != 0) +
			((v->tcp.flags & PKT_FIN) != 0);
	}
	while ((o = l4xkit_op(r->k)) != NULL) {
		if (o->op.type == L4X_OP_OPEN) {
			/* Six ports, six parties: which one asked shows the peer's port. */
			p = &parties[ntohs(o->op.open.peer_port) - 80];
			*p = (struct party){ .flow = o->op.flow, .gnxt = p->gnxt, .wnxt = p->wnxt };
			continue;
		}
		if (o->op.type == L4X_OP_ADOPT) {
			p = &parties[accepted];
			*p = (struct party){ .flow = o->op.flow, .gnxt = p->gnxt, .wnxt = p->wnxt };
			continue;
		}
		p = party_of(parties, o->op.flow);
		if (p == NULL)
			continue;
		if (o->op.type == L4X_OP_CLOSE)
			p->flow = 0;
		else if (o->op.type == L4X_OP_SEND)
			p->taken = rnd(4) == 0 ? o->op.send.off + rnd(o->len + 1)
					       : o->op.send.off + o->len;
		else if (o->op.type == L4X_OP_REWIND)
			p->read = o->op.ack.acked;
	}
}

static void
storm(uint64_t seed)
{
	struct rig *r = rig_create(NULL);
	struct party parties[TUPLES] = { 0 };

	rng = seed;
	for (unsigned int i = 0; i < ROUNDS; i++) {
		unsigned int who = rnd(TUPLES);
		struct l4x_event ev[4];

		r->pport = (uint16_t)(80 + who);
		for (unsigned int n = rnd(4); n > 0; n--)
			any_segment(r, &parties[who], who);
		rig_flush(r);
		hear(r, parties);
		for (unsigned int n = 0; n < 4; n++)
			ev[n] = any_event(r, &parties[rnd(TUPLES)]);
		l4xkit_events(r->k, ev, 4);
		if (rnd(50) == 0) {
			r->gport = (uint16_t)(40000 + who);
			accepted = who;
			rig_accepted(r);
		}
		l4xkit_advance(r->k, rnd(100) == 0 ? rnd(40 * (uint32_t)RIG_S) : rnd(3000));
		if (rnd(200) == 0)
			l4x_port_link(r->k->l, L4XKIT_PIF, rnd(2), L4X_OFFLOAD_CSUM);
		else if (rnd(50) == 0)
			l4x_port_link(
				r->k->l, L4XKIT_PIF, true, L4X_OFFLOAD_CSUM | L4X_OFFLOAD_TSO4);
		hear(r, parties);
	}
	rig_destroy(r);
}

static void
nonsense_is_survived(void **state)
{
	for (uint64_t seed = 1; seed <= 4; seed++)
		storm(seed);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nonsense_is_survived),
	};

	l4xkit_eal("sim_storm");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
