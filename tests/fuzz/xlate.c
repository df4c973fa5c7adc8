/* SPDX-License-Identifier: BSD-3-Clause */
#include "xlate.h"

#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdlib.h>

#include <rte_errno.h>
#include <rte_mempool.h>

#define POOL_SIZE 4095
/** The largest frame in segments of 2 KiB, and as much again for what is made of it. */
#define FRAME_MBUFS 160
#define START_US 1000000000ULL

static struct rte_mempool *pool;

void
xlate_init(const char *file_prefix)
{
	/* Have the kit's assertions abort: there is no test to fail. */
	setenv("CMOCKA_TEST_ABORT", "1", 1);
	l4xkit_eal(file_prefix);
	pool = rte_pktmbuf_pool_create(
		"fuzz", POOL_SIZE, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	FUZZ_CHECK(pool != NULL, "no pool: %s", rte_strerror(rte_errno));
}

/** l4xkit_create() with the process's pool: making one takes longer than an input does. */
static struct l4xkit *
kit_create(l4xkit_tweak tweak)
{
	struct l4xkit *k = calloc(1, sizeof(*k));

	FUZZ_CHECK(k != NULL, "no memory");
	k->now_us = START_US;
	k->pool = pool;
	k->conf = l4xkit_conf();
	k->params = (struct l4x_params){ .name = "fuzz",
		.max_flows = XLATE_FLOWS,
		.socket_id = SOCKET_ID_ANY,
		.now_us = k->now_us,
		.secret = "0123456789abcde",
		.pool = pool };
	tweak(&k->params, &k->conf);
	k->l = l4x_create(&k->params);
	FUZZ_CHECK(k->l != NULL, "l4x_create: %s", rte_strerror(rte_errno));
	FUZZ_CHECK(l4x_port_set(k->l, &k->conf) == 0, "l4x_port_set");
	k->limits = (struct pkt_limits){ .mtu = k->conf.mtu, .csum = true };
	return k;
}

struct xlate *
xlate_begin(struct fuzz_tape *tape, l4xkit_tweak tweak)
{
	struct xlate *x = calloc(1, sizeof(*x));

	FUZZ_CHECK(x != NULL, "no memory");
	x->tape = tape;
	x->k = kit_create(tweak);
	x->next_token = 1;
	x->room = 1 << 20;
	xlate_link(x, true, L4X_OFFLOAD_CSUM | L4X_OFFLOAD_TSO4 | L4X_OFFLOAD_TSO6);
	return x;
}

static void
trace_counters(const struct xlate *x)
{
	for (unsigned int i = 0; i < L4X_COUNTERS; i++)
		if (l4xkit_counter(x->k, i) != 0)
			fuzz_trace("  %s %llu", l4x_counter_info[i].name,
				(unsigned long long)l4xkit_counter(x->k, i));
}

void
xlate_end(struct xlate *x)
{
	struct l4xkit *k = x->k;

	xlate_flush(x, false, POOL_SIZE);
	xlate_frames(x);
	for (unsigned int i = 0; l4x_shutdown(k->l, k->now_us) > 0; i++) {
		FUZZ_CHECK(i < 2 * XLATE_FLOWS, "l4x_shutdown() does not end");
		l4xkit_collect(k);
		xlate_frames(x);
	}
	l4xkit_collect(k);
	xlate_frames(x);
	FUZZ_CHECK(l4x_flow_count(k->l) == 0, "%u flows left", l4x_flow_count(k->l));
	x->ending = true;
	xlate_bridge(x, UINT_MAX);
	for (unsigned int i = 0; i < XLATE_FLOWS; i++)
		FUZZ_CHECK(!x->socks[i].open, "the socket of flow %u was never closed", i);
	for (unsigned int i = 0; i < x->n_events; i++)
		if (x->events[i].type == L4X_EV_ACCEPTED)
			x->n_tokens--;
	FUZZ_CHECK(x->n_tokens == 0, "%u tokens without an answer", x->n_tokens);
	for (unsigned int i = 0; i < x->n_events; i++)
		l4x_event_free(&x->events[i]);
	l4xkit_discard(k);
	trace_counters(x);
	l4x_destroy(k->l);
	FUZZ_CHECK(rte_mempool_in_use_count(pool) == 0, "%u mbufs lost",
		rte_mempool_in_use_count(pool));
	free(k);
	free(x);
}

/* ---- the guest ---- */

bool
xlate_has_mbufs(const struct xlate *x)
{
	return rte_mempool_avail_count(x->k->pool) > FRAME_MBUFS;
}

void
xlate_link(struct xlate *x, bool up, uint32_t offloads)
{
	xlate_frames(x);
	x->offloads = offloads;
	x->k->limits.tso4 = (offloads & L4X_OFFLOAD_TSO4) != 0;
	x->k->limits.tso6 = (offloads & L4X_OFFLOAD_TSO6) != 0;
	x->k->limits.ecn = (offloads & L4X_OFFLOAD_ECN) != 0;
	l4x_port_link(x->k->l, L4XKIT_PIF, up, offloads);
}

static void
rx_foreign(struct l4xkit *k)
{
	struct l4x_frame frames[L4X_BURST];

	for (unsigned int i = 0; i < k->n_burst; i++)
		frames[i] = (struct l4x_frame){ .m = k->burst[i], .pif = L4XKIT_PIF };
	l4x_rx_handover(k->l, frames, k->n_burst, k->now_us);
	k->n_burst = 0;
	l4xkit_collect(k);
}

void
xlate_flush(struct xlate *x, bool foreign, unsigned int mbufs)
{
	static struct rte_mbuf *held[POOL_SIZE];
	unsigned int avail = rte_mempool_avail_count(pool), n_held = 0;

	if (mbufs < avail) {
		n_held = avail - mbufs;
		FUZZ_CHECK(rte_pktmbuf_alloc_bulk(pool, held, n_held) == 0, "mbufs");
	}
	if (foreign)
		rx_foreign(x->k);
	else
		l4xkit_flush(x->k);
	for (unsigned int i = 0; i < n_held; i++)
		rte_pktmbuf_free(held[i]);
}

const struct l4xkit_frame *
xlate_frame(struct xlate *x)
{
	const struct l4xkit_frame *f = l4xkit_frame(x->k);

	if (f == NULL)
		return NULL;
	FUZZ_CHECK(f->pif == L4XKIT_PIF, "a frame for port %u", f->pif);
	FUZZ_CHECK(f->queue < x->k->conf.n_queues, "a frame for queue %u", f->queue);
	return f;
}

void
xlate_frames(struct xlate *x)
{
	while (xlate_frame(x) != NULL)
		;
}

/* ---- events ---- */

void
xlate_event(struct xlate *x, const struct l4x_event *ev)
{
	struct l4x_event lost = *ev;

	fuzz_trace("  event %u flow %llx len %u", ev->type, (unsigned long long)ev->flow, ev->len);
	if (x->n_events < XLATE_EVENTS)
		x->events[x->n_events++] = *ev;
	else
		l4x_event_free(&lost);
}

unsigned int
xlate_deliver(struct xlate *x, unsigned int n)
{
	n = RTE_MIN(RTE_MIN(n, x->n_events), (unsigned int)L4X_BURST);
	if (n == 0)
		return 0;
	l4xkit_events(x->k, x->events, n);
	x->n_events -= n;
	memmove(x->events, x->events + n, x->n_events * sizeof(x->events[0]));
	return n;
}

void
xlate_settle(struct xlate *x)
{
	for (unsigned int i = 0; i < 1000; i++) {
		/* Room for an answer to each. */
		unsigned int did = xlate_deliver(x, L4X_BURST);

		did += xlate_bridge(x, XLATE_EVENTS / 2);
		if (did == 0)
			return;
	}
	fuzz_fail(__FILE__, __LINE__, "operations and events without end");
}

/* ---- what a socket does ---- */

struct xlate_sock *
xlate_pick(struct xlate *x, uint8_t n)
{
	unsigned int open = 0;

	for (unsigned int i = 0; i < XLATE_FLOWS; i++)
		open += x->socks[i].open;
	if (open == 0)
		return NULL;
	n %= open;
	for (unsigned int i = 0;; i++)
		if (x->socks[i].open && n-- == 0)
			return &x->socks[i];
}

void
xlate_tell_sent(
	struct xlate *x, const struct xlate_sock *s, enum l4x_event_type type, uint8_t flags)
{
	struct l4x_event ev = { .type = type, .bridge = x->k->params.bridge, .flow = s->flow };

	ev.sent.taken = s->taken;
	ev.sent.acked = s->remote ? s->peer_acked : s->taken;
	ev.sent.space = s->room + s->lie;
	ev.sent.rtt_us = 200;
	ev.sent.flags = flags | (s->remote ? L4X_SENT_REMOTE : 0);
	xlate_event(x, &ev);
}

void
xlate_connected(struct xlate *x, struct xlate_sock *s)
{
	if (!s->open || s->failed || s->connected || s->proto != IPPROTO_TCP ||
		!xlate_event_room(x))
		return;
	s->connected = true;
	xlate_tell_sent(x, s, L4X_EV_CONNECTED, 0);
}

void
xlate_sent(struct xlate *x, struct xlate_sock *s, uint32_t peer_takes)
{
	const uint64_t n = RTE_MIN((uint64_t)peer_takes, s->taken - s->peer_acked);

	if (!s->open || s->failed || !s->connected || !xlate_event_room(x))
		return;
	s->peer_acked += n;
	s->room += (uint32_t)n;
	xlate_tell_sent(x, s, L4X_EV_SENT, 0);
}

struct rte_mbuf *
xlate_payload(struct xlate *x, uint64_t off, uint32_t len, bool off_tape)
{
	static uint8_t bytes[PKT_MAX];
	size_t n = off_tape ? fuzz_bytes(x->tape, bytes, len) : 0;

	for (; n < len; n++)
		bytes[n] = xlate_byte(off + n);
	return l4xkit_payload(x->k, bytes, len);
}

/** Up to len bytes as one event, its frames as large as they may be. */
static uint32_t
tell_data(struct xlate *x, struct xlate_sock *s, uint32_t len, uint64_t end)
{
	struct l4x_event ev = { .type = L4X_EV_DATA, .flow = s->flow };

	ev.data.off = s->read;
	for (uint32_t i = 0; i < L4X_DATA_FRAMES && ev.len < len && s->read < end; i++) {
		const uint32_t n = (uint32_t)RTE_MIN(RTE_MIN(len - ev.len, s->frame_max),
			RTE_MIN(end - s->read, (uint64_t)UINT16_MAX));

		if (!xlate_has_mbufs(x))
			break;
		ev.data.m[i] = xlate_payload(x, s->read, n, false);
		s->read += n;
		ev.len += n;
	}
	s->top = RTE_MAX(s->top, s->read);
	xlate_event(x, &ev);
	return ev.len;
}

void
xlate_data(struct xlate *x, struct xlate_sock *s, uint32_t len)
{
	const uint64_t end = s->eof_told ? RTE_MIN(s->limit, s->eof) : s->limit;

	while (len > 0 && s->open && s->connected && !s->failed && s->read < end &&
		xlate_event_room(x) && xlate_has_mbufs(x))
		len -= tell_data(x, s, len, end);
}

void
xlate_eof(struct xlate *x, struct xlate_sock *s)
{
	struct l4x_event ev = { .type = L4X_EV_EOF, .flow = s->flow };

	/* The end is found by who has read all there is. */
	if (!s->open || !s->connected || s->failed || s->eof_told || s->read != s->top ||
		!xlate_event_room(x))
		return;
	s->eof_told = true;
	s->eof = s->read;
	ev.data.off = s->eof;
	xlate_event(x, &ev);
}

void
xlate_error(struct xlate *x, struct xlate_sock *s, const struct l4x_event *error)
{
	struct l4x_event ev = *error;

	if (!s->open || s->failed || !xlate_event_room(x))
		return;
	ev.type = L4X_EV_ERROR;
	ev.flow = s->flow;
	s->failed = s->proto == IPPROTO_TCP;
	xlate_event(x, &ev);
}

void
xlate_dgram(struct xlate *x, struct xlate_sock *s, uint32_t len)
{
	struct l4x_event ev = { .type = L4X_EV_DGRAM, .flow = s->flow, .len = len };

	if (!s->open || s->proto == IPPROTO_TCP || !xlate_event_room(x) || !xlate_has_mbufs(x))
		return;
	ev.dgram.m = xlate_payload(x, 0, len, true);
	ev.tos = fuzz_u8(x->tape);
	ev.ttl = fuzz_u8(x->tape);
	xlate_event(x, &ev);
}

void
xlate_accepted(struct xlate *x, const struct l4x_event *accepted)
{
	struct l4x_event ev = *accepted;

	if (!xlate_event_room(x) || x->n_tokens == XLATE_TOKENS) {
		l4x_event_free(&ev);
		return;
	}
	if (ev.type == L4X_EV_ACCEPTED) {
		ev.accepted.token = x->next_token;
		x->tokens[x->n_tokens++] = x->next_token++;
	}
	xlate_event(x, &ev);
}
