/* SPDX-License-Identifier: BSD-3-Clause */
/** The world: time, the link, the way to the bridge and back. */
#include "sim_priv.h"

#define GUEST_FIRST_PORT 40000
#define SHUTDOWN_GRACE_US (5 * SIM_S)

uint8_t
sim_byte(uint64_t off, bool up)
{
	return (uint8_t)(off * 131 + (off >> 8) * 29 + (off >> 16) * 7 + up * 77);
}

uint32_t
sim_random(struct sim *s, uint32_t below)
{
	s->rng = s->rng * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)((s->rng >> 33) * below >> 31);
}

bool
sim_chance(struct sim *s, uint32_t of_10000)
{
	return of_10000 > 0 && sim_random(s, 10000) < of_10000;
}

/* ---- the link ---- */

static void
seg_insert(struct sim *s, struct sim_seg *seg)
{
	struct sim_seg **at = &s->segs;

	seg->order = s->order++;
	while (*at != NULL && (*at)->at_us <= seg->at_us)
		at = &(*at)->next;
	seg->next = *at;
	*at = seg;
}

static struct sim_seg *
seg_copy(const struct sim_seg *seg)
{
	struct sim_seg *c = malloc(sizeof(*c));

	assert_non_null(c);
	*c = *seg;
	c->bytes = malloc(seg->len + 1);
	assert_non_null(c->bytes);
	if (seg->len > 0)
		memcpy(c->bytes, seg->bytes, seg->len);
	return c;
}

/** Lose it, repeat it, delay it; or simply carry it. seg->bytes stays the caller's. */
static void
link_carry(struct sim *s, const struct sim_seg *seg)
{
	unsigned int copies = sim_chance(s, s->c.loss) ? 0 : 1 + sim_chance(s, s->c.repeat);

	for (unsigned int i = 0; i < copies; i++) {
		struct sim_seg *c = seg_copy(seg);

		c->at_us = s->k->now_us + s->c.delay_us;
		if (sim_chance(s, s->c.reorder))
			c->at_us += 1 + sim_random(s, 300);
		seg_insert(s, c);
	}
}

/** SIM_TRACE in the environment: a line for each segment, numbers relative to both beginnings. */
static void
trace(const struct sim *s, const uint8_t *frame, const char *way)
{
	const uint8_t *th = frame + 14 + (s->c.v6 ? 40 : 20);
	bool up = way[0] == 'u';

	if (getenv("SIM_TRACE") == NULL)
		return;
	fprintf(stderr, "%10llu %-4s flags %02x seq %u ack %u win %u\n",
		(unsigned long long)s->k->now_us, way, th[13],
		pkt_get32(th + 4) - (up ? s->g.isn : s->g.peer_isn),
		pkt_get32(th + 8) - (up ? s->g.peer_isn : s->g.isn), pkt_get16(th + 14));
}

void
sim_link_up(struct sim *s, const uint8_t *frame, uint32_t len, uint16_t gso)
{
	struct sim_seg seg = { .up = true, .len = len, .gso = gso };

	seg.bytes = (uint8_t *)(uintptr_t)frame;
	s->r.frames_up++;
	trace(s, frame, "up");
	link_carry(s, &seg);
}

/** What weir promises with each segment. */
static void
check_promises(struct sim *s, const struct pkt_view *v)
{
	unsigned int scale =
		(v->tcp.flags & PKT_SYN) != 0 ? 0 : (unsigned int)RTE_MAX(s->g.snd_scale, 0);
	uint64_t acked;

	if ((v->tcp.flags & PKT_ACK) == 0 || s->g.state == SIM_CLOSED)
		return;
	if (s->ack_seen && (int32_t)(v->tcp.ack - s->last_ack) < 0)
		fail_msg("the acknowledgement moved back");
	s->last_ack = v->tcp.ack;
	s->ack_seen = true;
	acked = (uint32_t)(v->tcp.ack - s->g.isn - 1);
	/* The test's streams are shorter than 4 GiB. */
	if (acked > s->s.taken + (s->s.taken == s->c.up))
		fail_msg("acknowledged %llu, the socket has taken %llu", (unsigned long long)acked,
			(unsigned long long)s->s.taken);
	if (v->tcp.win > 0 && acked + ((uint64_t)v->tcp.win << scale) > s->s.edge)
		fail_msg("a window up to %llu is told, the socket has room up to %llu",
			(unsigned long long)(acked + ((uint64_t)v->tcp.win << scale)),
			(unsigned long long)s->s.edge);
}

/** A frame of weir: each segment of a TSO frame may be lost alone. */
static void
link_down(struct sim *s, const struct pkt_view *v)
{
	struct sim_seg seg = { .seq = v->tcp.seq,
		.ack = v->tcp.ack,
		.win = v->tcp.win,
		.flags = v->tcp.flags,
		.wscale = v->tcp.wscale,
		.mss = v->tcp.mss };
	uint32_t left = (uint32_t)v->data_len, piece = v->gso_size != 0 ? v->gso_size : left;
	const uint8_t *at = v->data;

	assert_int_equal(v->proto, IPPROTO_TCP);
	check_promises(s, v);
	trace(s, v->frame, "down");
	s->r.frames_down++;
	do {
		seg.len = RTE_MIN(left, piece);
		seg.bytes = (uint8_t *)(uintptr_t)at;
		left -= seg.len;
		seg.flags = v->tcp.flags;
		if (left > 0)
			seg.flags &= (uint8_t) ~(PKT_FIN | PKT_PSH);
		link_carry(s, &seg);
		at += seg.len;
		seg.seq += seg.len;
	} while (left > 0);
}

/* ---- messages ---- */

static struct sim_msg *
fifo_add(struct sim *s, struct sim_fifo *f)
{
	struct sim_msg *m = calloc(1, sizeof(*m));

	assert_non_null(m);
	m->at_us = s->k->now_us + s->c.bridge_us;
	*f->tail = m;
	f->tail = &m->next;
	return m;
}

static struct sim_msg *
fifo_due(struct sim *s, struct sim_fifo *f)
{
	struct sim_msg *m = f->head;

	if (m == NULL || m->at_us > s->k->now_us)
		return NULL;
	f->head = m->next;
	if (f->head == NULL)
		f->tail = &f->head;
	return m;
}

void
sim_event(struct sim *s, const struct l4x_event *ev)
{
	fifo_add(s, &s->events)->ev = *ev;
}

static void
take_output(struct sim *s)
{
	const struct l4xkit_op *o;

	while (l4xkit_frame(s->k) != NULL)
		if (s->k->view.proto == IPPROTO_TCP)
			link_down(s, &s->k->view);
	while ((o = l4xkit_op(s->k)) != NULL) {
		struct sim_msg *m = fifo_add(s, &s->ops);

		m->op = o->op;
		m->len = o->len;
		if (o->data != NULL) {
			m->bytes = malloc(o->len + 1);
			assert_non_null(m->bytes);
			memcpy(m->bytes, o->data, o->len);
		}
	}
}

static void
deliver_events(struct sim *s)
{
	struct l4x_event ev[L4X_BURST];
	struct sim_msg *m;
	unsigned int n = 0;

	while (n < L4X_BURST && (m = fifo_due(s, &s->events)) != NULL) {
		ev[n++] = m->ev;
		free(m);
	}
	if (n == 0)
		return;
	s->busy = true;
	l4xkit_events(s->k, ev, n);
	take_output(s);
}

static void
deliver_ops(struct sim *s)
{
	struct sim_msg *m;

	while ((m = fifo_due(s, &s->ops)) != NULL) {
		s->busy = true;
		sim_sock_op(s, m);
		free(m->bytes);
		free(m);
	}
}

static struct rte_mbuf *
frame_mbuf(struct sim *s, const struct sim_seg *seg)
{
	struct rte_mbuf *m = l4xkit_mbuf(s->k, seg->bytes, seg->len, 0, 300 + sim_random(s, 1700));

	if (seg->gso != 0) {
		m->tso_segsz = seg->gso;
		m->ol_flags |= RTE_MBUF_F_RX_L4_CKSUM_NONE;
	}
	return m;
}

static void
deliver_segs(struct sim *s)
{
	struct sim_seg *seg;

	while ((seg = s->segs) != NULL && seg->at_us <= s->k->now_us) {
		s->segs = seg->next;
		s->busy = true;
		if (seg->up) {
			l4xkit_push_mbuf(s->k, frame_mbuf(s, seg));
			if (s->k->n_burst == L4X_BURST)
				l4xkit_flush(s->k);
		} else {
			sim_guest_in(s, seg);
		}
		free(seg->bytes);
		free(seg);
	}
	if (s->k->n_burst > 0)
		l4xkit_flush(s->k);
	take_output(s);
}

/* ---- time ---- */

static void
step(struct sim *s)
{
	s->busy = false;
	deliver_segs(s);
	deliver_events(s);
	if (l4x_next_us(s->k->l) <= s->k->now_us) {
		l4xkit_advance(s->k, 0);
		take_output(s);
	}
	deliver_ops(s);
	sim_sock_tick(s);
	sim_guest_tick(s);
	take_output(s);
}

static uint64_t
next_us(const struct sim *s)
{
	uint64_t next = l4x_next_us(s->k->l);

	if (s->segs != NULL)
		next = RTE_MIN(next, s->segs->at_us);
	if (s->ops.head != NULL)
		next = RTE_MIN(next, s->ops.head->at_us);
	if (s->events.head != NULL)
		next = RTE_MIN(next, s->events.head->at_us);
	next = RTE_MIN(next, sim_guest_next(s));
	return RTE_MIN(next, sim_sock_next(s));
}

static bool
is_over(const struct sim *s)
{
	return s->g.done_us != 0 && s->s.closed && l4x_flow_count(s->k->l) == 0;
}

static void
run(struct sim *s)
{
	uint64_t end = s->k->now_us + s->c.limit_us, next;

	for (step(s); !is_over(s); step(s)) {
		if (s->k->now_us > end)
			fail_msg("not done: up %llu of %llu (taken %llu), down %llu of %llu, "
				 "fin sent %d acked %d seen %d, closed %d, flows %u",
				(unsigned long long)s->g.una, (unsigned long long)s->c.up,
				(unsigned long long)s->s.taken, (unsigned long long)s->g.rcv_nxt,
				(unsigned long long)s->c.down, s->g.fin_sent, s->g.fin_acked,
				s->g.fin_rcvd, s->s.closed, l4x_flow_count(s->k->l));
		next = next_us(s);
		/* A wheel may name a time that has come: it moves on a tick. */
		if (next <= s->k->now_us)
			next = s->k->now_us + (s->busy ? 1 : 500);
		s->k->now_us = next == UINT64_MAX ? end + 1 : next;
	}
}

static void
drain(struct sim *s)
{
	struct sim_seg *seg;
	struct sim_msg *m;

	while ((seg = s->segs) != NULL) {
		s->segs = seg->next;
		free(seg->bytes);
		free(seg);
	}
	while ((m = s->ops.head) != NULL) {
		s->ops.head = m->next;
		free(m->bytes);
		free(m);
	}
	while ((m = s->events.head) != NULL) {
		s->events.head = m->next;
		l4x_event_free(&m->ev);
		free(m);
	}
}

static bool
is_full(void *arg, const struct l4x_frame *f)
{
	struct sim *s = arg;

	if (s->k->now_us >= s->full_until_us && sim_chance(s, s->c.full))
		s->full_until_us = s->k->now_us + s->c.full_us;
	return s->k->now_us < s->full_until_us;
}

static struct sim_conf the_conf;

static void
tweak(struct l4x_params *p, struct l4x_port_conf *c)
{
	c->mtu = the_conf.mtu;
}

static void
defaults(struct sim_conf *c)
{
	if (c->mtu == 0)
		c->mtu = 1500;
	if (c->delay_us == 0)
		c->delay_us = 20;
	if (c->rcvbuf == 0)
		c->rcvbuf = 256 << 10;
	if (c->sndbuf == 0)
		c->sndbuf = 256 << 10;
	if (c->bridge_us == 0)
		c->bridge_us = 5;
	if (c->limit_us == 0)
		c->limit_us = 600 * SIM_S;
}

struct sim_result
sim_run(const struct sim_conf *conf)
{
	struct sim *s = calloc(1, sizeof(*s));
	struct sim_result r;
	uint64_t began;

	assert_non_null(s);
	s->c = *conf;
	defaults(&s->c);
	the_conf = s->c;
	s->k = l4xkit_create(tweak);
	l4xkit_advance(s->k, s->c.start_us);
	l4xkit_discard(s->k);
	if (s->c.no_tso) {
		l4x_port_link(s->k->l, L4XKIT_PIF, true, L4X_OFFLOAD_CSUM);
		s->k->limits.tso4 = s->k->limits.tso6 = false;
	}
	if (s->c.full != 0) {
		s->k->full = is_full;
		s->k->full_arg = s;
	}
	s->rng = conf->seed * 0x9e3779b97f4a7c15ull + 1;
	s->ops.tail = &s->ops.head;
	s->events.tail = &s->events.head;
	s->gport = GUEST_FIRST_PORT;
	s->pport = 80;
	s->peer = s->c.v6 ? "2001:db8::7" : "192.0.2.7";
	s->g.got = calloc(1, s->c.down + 1);
	assert_non_null(s->g.got);
	began = s->k->now_us;
	sim_guest_start(s);
	if (s->c.inbound)
		sim_sock_accept(s);
	run(s);
	assert_int_equal(s->s.taken, s->c.up);
	assert_int_equal(s->g.rcv_nxt, s->c.down);
	s->r.took_us = s->k->now_us - began;
	s->r.isn = s->g.peer_isn;
	s->r.frames_unsent = s->k->n_unsent;
	memcpy(s->r.counters, l4x_counters(s->k->l), sizeof(s->r.counters));
	drain(s);
	l4xkit_destroy(s->k);
	r = s->r;
	free(s->g.got);
	free(s);
	return r;
}
