/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Long conversations of two ends that keep to the rules, over ways that lose, repeat and reorder
 * what they say, in front of the tracker and behind it. Whatever an end has to know must get
 * through to it.
 */
#include "test_ct_tcp_end.h"
#include "test_ct_util.h"

#define FLIGHTS 4096
#define CLIENT 0
#define SERVER 1

/** A way of two parts, the tracker between them. In percent and ms. */
struct way {
	unsigned int loses[2], repeats[2];
	uint32_t delay_ms[2], jitter_ms[2];
	/** One of so many packets finds that its flow was flushed; 0: none. A window that is taken
	 * back after what is not known any more is none that could be followed, so none is. */
	unsigned int forgets;
};

struct flight {
	uint64_t at_ms;
	struct seg seg;
	uint8_t from;
	bool passed; /**< the tracker */
};

struct world {
	struct ctkit k;
	struct end ends[2];
	struct way way;
	struct flight flights[FLIGHTS];
	uint32_t n_flights;
	uint64_t seed;
	uint64_t pkts, refused; /**< by the tracker */
};

static struct world w;

static void
put_on_the_way(uint8_t from, const struct seg *s, bool passed)
{
	unsigned int part = passed;
	uint32_t jitter = w.way.jitter_ms[part];

	if (rnd_below(&w.seed, 100) < w.way.loses[part] || w.n_flights == FLIGHTS)
		return;
	w.flights[w.n_flights++] = (struct flight){
		.at_ms = w.k.now_ms + w.way.delay_ms[part] +
			(jitter != 0 ? rnd_below(&w.seed, jitter) : 0),
		.seg = *s,
		.from = from,
		.passed = passed,
	};
}

static void
emit(void *arg, const struct seg *s)
{
	uint8_t from = (uint8_t)((struct end *)arg - w.ends);

	put_on_the_way(from, s, false);
	if (rnd_below(&w.seed, 100) < w.way.repeats[0])
		put_on_the_way(from, s, false);
}

/** Through the tracker; whatever begins a flow may. @return the verdict */
static uint8_t
track(uint8_t from, const struct seg *s)
{
	const struct ctkit_way *way = from == CLIENT ? &ctkit_out4 : &ctkit_in4;
	struct ct_commit commit = { .opif = from == CLIENT ? CTKIT_SERVER_PIF : CTKIT_CLIENT_PIF };
	struct pkt_tcp tcp = {
		.seq = s->seq, .ack = s->ack, .flags = s->flags, .win = s->win, .wscale = s->scale
	};
	struct ctkit_pkt c;

	ctkit_tcp(&w.k, &c, way, &tcp, 0);
	/* Numbers are all that counts; so 64 KiB need not be there. */
	c.p.flags |= CT_PKT_CSUM_OK;
	c.p.l4_len += s->len;
	ctkit_track(&w.k, &c, &commit);
	return c.p.verdict;
}

static const char *
seg_text(const struct seg *s)
{
	static char text[128];

	snprintf(text, sizeof(text), "flags %02x seq %u ack %u len %u win %u", s->flags, s->seq,
		s->ack, s->len, s->win);
	return text;
}

static void
through_the_tracker(uint8_t from, const struct seg *s)
{
	const struct end *to = &w.ends[!from], *by = &w.ends[from];
	uint32_t idx = ctkit_find(&w.k, from == CLIENT ? &ctkit_out4 : &ctkit_in4, IPPROTO_TCP);

	if (idx != FLOWTAB_NONE && w.way.forgets != 0 && rnd_below(&w.seed, w.way.forgets) == 0) {
		ct_free(w.k.ct, idx);
		idx = FLOWTAB_NONE;
	}
	w.pkts++;
	if (track(from, s) == CT_ACCEPT) {
		put_on_the_way(from, s, true);
		if (rnd_below(&w.seed, 100) < w.way.repeats[1])
			put_on_the_way(from, s, true);
		return;
	}
	w.refused++;
	/* What begins nothing cannot begin a flow. */
	if (idx == FLOWTAB_NONE && (s->flags & (PKT_RST | PKT_SYN)) != 0)
		return;
	if (!end_has_moved_on(by, s) && end_needs(to, s))
		fail_msg("packet %" PRIu64
			 " of end %u refused: %s; una %u max %u rcv_nxt %u edge %u",
			w.pkts, from, seg_text(s), to->una, to->max, to->rcv_nxt, to->rcv_edge);
}

/** What has arrived by now, in any order. */
static void
arrive(void)
{
	for (uint32_t i = 0; i < w.n_flights;) {
		struct flight f = w.flights[i];

		if (f.at_ms > w.k.now_ms) {
			i++;
			continue;
		}
		w.flights[i] = w.flights[--w.n_flights];
		if (f.passed)
			end_input(&w.ends[!f.from], &f.seg, w.k.now_ms);
		else
			through_the_tracker(f.from, &f.seg);
	}
}

static uint64_t
next_ms(void)
{
	uint64_t next = RTE_MIN(end_next(&w.ends[CLIENT]), end_next(&w.ends[SERVER]));

	for (uint32_t i = 0; i < w.n_flights; i++)
		next = RTE_MIN(next, w.flights[i].at_ms);
	return next;
}

/** Time goes on until nothing happens any more, or so long. */
static void
run(uint64_t ms)
{
	uint64_t end = w.k.now_ms + ms, next;

	while (w.k.now_ms < end) {
		next = next_ms();
		w.k.now_ms = RTE_MIN(RTE_MAX(next, w.k.now_ms + 1), end);
		arrive();
		end_run(&w.ends[CLIENT], w.k.now_ms);
		end_run(&w.ends[SERVER], w.k.now_ms);
		flowtab_expire(w.k.ft, w.k.now_ms, 64);
	}
}

static struct end_habits
habits(void)
{
	static const uint32_t mss[] = { 536, 1460, 1460, 8960, 65000 };
	static const int8_t scales[] = { -1, 0, 2, 7, 7, 10, 14 };
	uint32_t m = mss[rnd_below(&w.seed, RTE_DIM(mss))];
	int8_t scale = scales[rnd_below(&w.seed, RTE_DIM(scales))];

	return (struct end_habits){
		.mss = m,
		.rcv_buf = m * (1 + rnd_below(&w.seed, 60)) + (scale > 0 ? 8u << scale : 0),
		.scale = scale,
		.shrinks = rnd_below(&w.seed, 8) == 0 && w.way.forgets == 0,
		.goes_back = rnd_below(&w.seed, 2) == 0,
		.fin_overflows = rnd_below(&w.seed, 2) == 0,
		.probes_by_byte = rnd_below(&w.seed, 2) == 0,
		.read_max = rnd_below(&w.seed, 2) == 0 ? 0 : 4 * m,
	};
}

static void
begin_ends(void)
{
	for (unsigned int i = 0; i < 2; i++) {
		w.ends[i] = (struct end){
			.h = habits(),
			.accepts = i == SERVER,
			.emit = emit,
			.arg = &w.ends[i],
			.seed = &w.seed,
		};
		end_forget(&w.ends[i]);
	}
}

static void
open_world(uint64_t seed, const struct way *way)
{
	w = (struct world){ .seed = seed, .way = *way };
	ctkit_open(&w.k, NULL, 16);
	begin_ends();
}

/** Both write now and then, and close in any order. */
static void
talk(uint32_t bytes[2])
{
	bool closed[2] = { false, false };

	for (unsigned int turn = 0; turn < 200 && !(closed[0] && closed[1]); turn++) {
		unsigned int i = rnd_below(&w.seed, 2);
		uint32_t n = rnd_below(&w.seed, w.ends[i].h.mss * 20);

		/* An hour of silence at times. */
		run(rnd_below(&w.seed, 20) == 0 ? 3600000 : rnd_below(&w.seed, 300));
		if (w.ends[i].state != END_TALKS || closed[i])
			continue;
		closed[i] = rnd_below(&w.seed, 10) == 0;
		end_write(&w.ends[i], n, closed[i], w.k.now_ms);
		bytes[i] += n;
	}
	for (unsigned int i = 0; i < 2; i++)
		end_write(&w.ends[i], 0, true, w.k.now_ms);
}

/** One connection, from the call to the close; all that was written must arrive. */
static void
conversation(bool both_call)
{
	uint32_t bytes[2] = { 0, 0 };

	w.ends[CLIENT].got = w.ends[SERVER].got = 0;
	end_call(&w.ends[CLIENT], w.k.now_ms);
	if (both_call)
		end_call(&w.ends[SERVER], w.k.now_ms);
	/* Six SYNs, or five after a challenge. */
	for (unsigned int i = 0; i < 64 && w.ends[CLIENT].state != END_TALKS; i++)
		run(1000);
	assert_int_equal(w.ends[CLIENT].state, END_TALKS);
	talk(bytes);
	for (unsigned int i = 0; i < 3600; i++) {
		run(10000);
		if (end_is_done(&w.ends[CLIENT]) && end_is_done(&w.ends[SERVER]))
			break;
	}
	assert_int_equal(w.ends[SERVER].got, bytes[CLIENT]);
	assert_int_equal(w.ends[CLIENT].got, bytes[SERVER]);
	run(rnd_below(&w.seed, 2) == 0 ? 25000 : 100000);
}

/** Conversations over such a way. @return packets tracked */
static uint64_t
conversations(const struct way *way, uint64_t first, uint64_t n)
{
	uint64_t pkts = 0;

	for (uint64_t seed = first; seed < first + n; seed++) {
		open_world(seed, way);
		for (unsigned int i = 0; i < 2; i++) {
			/* Of two that call each other only the SYNs can begin a flow. */
			conversation(way->forgets == 0 && (seed + i) % 4 == 0);
		}
		pkts += w.pkts;
		ctkit_close(&w.k);
	}
	return pkts;
}

static void
nothing_of_a_valid_conversation_is_refused(void **state)
{
	/* Reordered by less than it takes to acknowledge a window. */
	const struct way way = { { 3, 3 }, { 2, 2 }, { 5, 5 }, { 5, 3 }, 0 };
	uint64_t pkts = 0;

	for (uint64_t seed = 1; seed <= 30; seed++) {
		pkts += conversations(&way, seed, 1);
		assert_int_equal(w.refused, 0);
		assert_int_equal(w.ends[CLIENT].resets + w.ends[SERVER].resets, 0);
	}
	assert_true(pkts > 100000);
}

static void
nothing_that_an_end_needs_is_refused_on_a_bad_way(void **state)
{
	const struct way way = { { 15, 15 }, { 10, 10 }, { 5, 5 }, { 200, 200 }, 0 };

	assert_true(conversations(&way, 100, 20) > 100000);
}

static void
connections_are_picked_up_wherever_they_are(void **state)
{
	const struct way way = { { 3, 10 }, { 2, 2 }, { 5, 5 }, { 10, 10 }, 50 };

	assert_true(conversations(&way, 200, 20) > 100000);
}

/**
 * A connection in the midst of which an end loses its memory, or both do, or one gives up. The
 * client calls again, from the same port, as soon as it knows.
 */
static void
failing_conversation(void)
{
	unsigned int who = 1 + rnd_below(&w.seed, 4);

	end_call(&w.ends[CLIENT], w.k.now_ms);
	run(1 + rnd_below(&w.seed, 3000));
	for (unsigned int turn = 0; turn < 10; turn++) {
		unsigned int i = rnd_below(&w.seed, 2);

		run(rnd_below(&w.seed, 50));
		if (w.ends[i].state == END_TALKS)
			end_write(&w.ends[i], rnd_below(&w.seed, w.ends[i].h.mss * 20),
				rnd_below(&w.seed, 20) == 0, w.k.now_ms);
	}
	if (who == 4)
		end_abort(&w.ends[rnd_below(&w.seed, 2)]);
	for (unsigned int i = 0; who != 4 && i < 2; i++) {
		if ((who & 1 << i) != 0)
			end_forget(&w.ends[i]);
	}
	run(rnd_below(&w.seed, 5000));
	for (unsigned int i = 0; i < 200 && w.ends[CLIENT].state != END_LISTENS; i++) {
		if (w.ends[CLIENT].state == END_TALKS)
			end_write(&w.ends[CLIENT], 1, true, w.k.now_ms);
		run(1000);
	}
	/* Its user has no patience any more. */
	end_forget(&w.ends[CLIENT]);
}

static void
ends_that_fail_can_talk_again(void **state)
{
	const struct way way = { { 3, 10 }, { 0, 1 }, { 5, 5 }, { 0, 10 }, 0 };

	for (uint64_t seed = 300; seed < 400; seed++) {
		open_world(seed, &way);
		failing_conversation();
		conversation(false);
		ctkit_close(&w.k);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_of_a_valid_conversation_is_refused),
		cmocka_unit_test(nothing_that_an_end_needs_is_refused_on_a_bad_way),
		cmocka_unit_test(connections_are_picked_up_wherever_they_are),
		cmocka_unit_test(ends_that_fail_can_talk_again),
	};
	int failed;

	if (eal_start("512") != 0)
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	eal_stop();
	return failed;
}
