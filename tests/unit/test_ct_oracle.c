/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The tracker against an independent model (ct_model.h), packet by packet, over random traffic
 * (ct_traffic.h); and against itself, over a capture of the same.
 *
 *   test_ct_oracle [--capture FILE]   also write a capture, with the states in its packets
 */
#include <stdlib.h>
#include <string.h>

#include "ct_capture.h"
#include "ct_model.h"
#include "ct_traffic.h"
#include "test_ct_util.h"

static_assert(M_NEW == CT_NEW && M_EST == CT_EST && M_REL == CT_REL && M_RPL == CT_RPL, "bits");
static_assert(M_INV == CT_INV && M_TRK == CT_TRK && M_SNAT == CT_SNAT && M_DNAT == CT_DNAT, "bits");

/** NAT bits of an ICMP error tell of its own headers, which may lie behind the translation. */
#define ERROR_BITS (CT_NEW | CT_EST | CT_REL | CT_RPL | CT_INV | CT_TRK)

static const struct pkt_limits no_limits;

/** What was tracked of late, to be shown beside a complaint. */
#define PAST 8192

struct past {
	uint16_t low, high, zone; /**< ports */
	uint8_t state;
	unsigned long step, ms;
	char text[120];
};

struct oracle {
	struct ctkit k;
	struct model model;
	struct traffic traffic;
	struct capture *capture; /**< NULL: none is written */
	bool nat;
	bool steps_of_time; /**< of a second: whoever replays it must be told each time */
	const char *reason; /**< of the packet's verdict */
	unsigned long step, unsure;
	unsigned long states[8]; /**< by bit */
	struct past past[PAST];
};

static struct ct_nat_range
range(const char *min, const char *max)
{
	struct ct_nat_range r = { 0 };

	assert_int_equal(flowtab_addr_parse(&r.min, min), 0);
	assert_int_equal(flowtab_addr_parse(&r.max, max), 0);
	return r;
}

/** What is done to a flow that begins with this packet; the policy goes by the server's port. */
static uint8_t
policy(const struct oracle *o, const struct pkt_view *v, struct ct_nat *nat)
{
	bool v6 = v != NULL && v->src.len == 16;
	uint8_t what = 0;

	memset(nat, 0, sizeof(*nat));
	if (v == NULL || !o->nat || (v->proto != IPPROTO_TCP && v->proto != IPPROTO_UDP))
		return 0;
	if (v->dport == TRAFFIC_PORT_SNAT || v->dport == TRAFFIC_PORT_BOTH)
		what |= M_SNAT;
	if (v->dport == TRAFFIC_PORT_DNAT || v->dport == TRAFFIC_PORT_BOTH)
		what |= M_DNAT;
	nat->what = (uint8_t)(((what & M_SNAT) != 0 ? CT_NAT_SRC : 0) |
		((what & M_DNAT) != 0 ? CT_NAT_DST : 0));
	nat->src = v6 ? range("2001:db8::1", "2001:db8::1") : range("198.51.100.1", "198.51.100.1");
	nat->dst = v6 ? range("fd00:4::1", "fd00:4::8") : range("10.0.4.1", "10.0.4.8");
	nat->dst.port_min = nat->dst.port_max = 8080;
	return what;
}

/** Track and commit. @return ct_state; out, len: the frame as it left, len 0: it did not */
static uint8_t
track(struct oracle *o, const uint8_t *frame, size_t *len, unsigned int side, uint16_t zone,
	const struct ct_nat *nat, uint8_t *out)
{
	struct ct_commit commit = {
		.nat = nat->what != 0 ? nat : NULL,
		.opif = side == 0 ? CTKIT_SERVER_PIF : CTKIT_CLIENT_PIF,
	};
	struct ctkit_pkt c;

	o->k.zone = zone;
	ctkit_frame(&o->k, &c, side == 0 ? CTKIT_CLIENT_PIF : CTKIT_SERVER_PIF, frame, *len);
	ct_track(o->k.ct, &c.p, o->k.now_ms);
	if ((c.p.state & (CT_NEW | CT_INV)) == CT_NEW)
		ct_commit(o->k.ct, &c.p, &commit, o->k.now_ms);
	assert_true((c.p.verdict == CT_INVALID) == ((c.p.state & CT_INV) != 0));
	assert_true(c.p.verdict == CT_ACCEPT || c.p.verdict == CT_INVALID);
	*len = c.p.verdict == CT_ACCEPT ? rte_pktmbuf_pkt_len(c.p.m) : 0;
	memcpy(out, rte_pktmbuf_mtod(c.p.m, const uint8_t *), *len);
	o->reason = ct_reason_info[c.p.reason].name;
	ctkit_free(&c);
	return c.p.state;
}

static void
remember(struct oracle *o, const struct pkt_view *v, uint16_t zone, uint8_t state)
{
	struct past *p = &o->past[o->step % PAST];

	*p = (struct past){ .state = state, .zone = zone, .step = o->step, .ms = o->k.now_ms - T0 };
	if (v == NULL)
		return;
	p->low = RTE_MIN(v->sport, v->dport);
	p->high = RTE_MAX(v->sport, v->dport);
	snprintf(p->text, sizeof(p->text), "%s", pkt_text(v));
}

/** The last packets between the same ports. */
static void
show_past(const struct oracle *o)
{
	const struct past *now = &o->past[o->step % PAST];

	for (unsigned int i = 1; i <= PAST; i++) {
		const struct past *p = &o->past[(o->step + i) % PAST];

		if (p->step != 0 && p->low == now->low && p->high == now->high &&
			p->zone == now->zone)
			print_error("  %lu %lu ms %#x %s\n", p->step, p->ms, p->state, p->text);
	}
}

static void
complain(const struct oracle *o, const struct pkt_view *in, uint8_t want, uint8_t got,
	const char *what)
{
	print_error("packet %lu at %lu ms: %s: wanted %#x, got %#x, %s\n  %s\n", o->step,
		(unsigned long)(o->k.now_ms - T0), what, want, got, o->reason,
		in != NULL ? pkt_text(in) : "a frame that breaks the rules");
	show_past(o);
	fail();
}

/** Give the packet to both, and compare. @return true: v is the packet as it left */
static bool
compare(struct oracle *o, const uint8_t *frame, size_t len, unsigned int side, uint16_t zone,
	uint8_t *out, size_t *out_len, struct pkt_view *left)
{
	struct pkt_view in, *v = pkt_check(frame, len, NULL, &no_limits, &in) == NULL ? &in : NULL;
	struct model_opinion want;
	struct ct_nat nat;
	uint8_t bits = policy(o, v, &nat), got, mask = UINT8_MAX;
	const char *wrong;

	want = model_ask(&o->model, v, zone, bits, o->k.now_ms);
	*out_len = len;
	got = track(o, frame, out_len, side, zone, &nat, out);
	remember(o, v, zone, got);
	if (o->capture != NULL)
		capture_write(o->capture, o->k.now_ms - T0, got, frame, len);
	if ((want.state & M_REL) != 0)
		mask = ERROR_BITS;
	if (want.sure && (want.state & mask) != (got & mask))
		complain(o, v, want.state, got, "the model is of another opinion");
	o->unsure += !want.sure;
	for (unsigned int bit = 0; bit < 8; bit++)
		o->states[bit] += got >> bit & 1;
	if (*out_len > 0) {
		wrong = pkt_check(out, *out_len, NULL, &no_limits, left);
		if (wrong != NULL)
			complain(o, v, want.state, got, wrong);
	}
	wrong = model_take(&o->model, v, zone, bits, o->k.now_ms, got, *out_len > 0 ? left : NULL);
	if (wrong != NULL)
		complain(o, v, want.state, got, wrong);
	return *out_len > 0;
}

/** Mostly some ms; at times to the very end of a flow, or just before; seldom beyond all. */
static void
pass_time(struct oracle *o)
{
	struct traffic *t = &o->traffic;
	uint64_t end;

	if (!o->steps_of_time)
		o->k.now_ms += traffic_below(t, 20);
	else if (o->step % 100 == 0)
		o->k.now_ms += 1000;
	if (traffic_below(t, 1500) == 0) {
		end = model_deadline(&o->model, o->k.now_ms, traffic_below(t, MODEL_FLOWS));
		/* Of connections that are open most are to live. */
		if (end != 0 && (end - o->k.now_ms < 1000000 || traffic_below(t, 40) == 0))
			o->k.now_ms = end - traffic_below(t, 2);
	}
	if (traffic_below(t, 40000) == 0)
		o->k.now_ms += 2 * DAY_MS;
	if (traffic_below(t, 50) == 0)
		flowtab_expire(o->k.ft, o->k.now_ms, 128);
}

static void
run(struct oracle *o, unsigned long steps)
{
	static uint8_t frame[PKT_MAX], out[PKT_MAX];

	for (o->step = 1; o->step <= steps; o->step++) {
		struct pkt_view left;
		unsigned int side;
		uint16_t zone;
		size_t len, out_len;

		pass_time(o);
		len = traffic_step(&o->traffic, frame, &side, &zone);
		if (compare(o, frame, len, side, zone, out, &out_len, &left))
			traffic_left(&o->traffic, out, out_len, &left);
		else
			traffic_left(&o->traffic, NULL, 0, NULL);
	}
}

static struct oracle *
oracle_open(uint64_t seed, bool nat, bool forge, bool v6)
{
	struct oracle *o = calloc(1, sizeof(*o));

	assert_non_null(o);
	ctkit_open(&o->k, NULL, 4096);
	o->nat = nat;
	traffic_start(&o->traffic, seed, nat, forge, v6);
	return o;
}

static void
oracle_close(struct oracle *o)
{
	ctkit_close(&o->k);
	free(o);
}

/** Did the traffic show what it is meant to? */
static void
check_variety(const struct oracle *o, unsigned long steps)
{
	print_message("  %lu packets: new %lu, est %lu, rel %lu, rpl %lu, inv %lu, snat %lu, "
		      "dnat %lu; %lu unsure; %u flows expired, %u began again\n",
		steps, o->states[0], o->states[1], o->states[2], o->states[3], o->states[4],
		o->states[6], o->states[7], o->unsure, o->model.expired, o->model.reopened);
	for (unsigned int bit = 0; bit < (o->nat ? 8U : 6U); bit++)
		assert_true(o->states[bit] > steps / 200);
	assert_true(o->unsure < steps / 12);
	assert_true(o->model.expired > 100 && o->model.reopened > 100);
}

static void
tracker_and_model(bool nat, bool forge, bool v6, unsigned long steps)
{
	for (uint64_t seed = 1; seed <= 3; seed++) {
		struct oracle *o = oracle_open(seed, nat, forge, v6);

		run(o, steps);
		check_variety(o, steps);
		oracle_close(o);
	}
}

static void
tracker_and_model_agree_on_what_ends_send(void **state)
{
	tracker_and_model(false, false, true, 50000);
}

static void
tracker_and_model_agree_on_what_nobody_should_send(void **state)
{
	tracker_and_model(false, true, true, 50000);
}

static void
tracker_and_model_agree_under_translation(void **state)
{
	tracker_and_model(true, true, true, 50000);
}

static void
capture(const char *path, struct oracle *o, unsigned long steps)
{
	o->capture = capture_create(path);
	assert_non_null(o->capture);
	run(o, steps);
	capture_close(o->capture);
	o->capture = NULL;
}

/** Give a capture to a tracker and a model that know nothing yet. @return packets */
static unsigned long
replay(const char *path, struct oracle *o)
{
	static uint8_t frame[PKT_MAX], out[PKT_MAX];
	struct capture *c = capture_open(path);
	struct pkt_view left;
	size_t len, out_len;
	uint8_t state;
	uint64_t ms;

	assert_non_null(c);
	for (o->step = 1; capture_read(c, &ms, &state, frame, sizeof(frame), &len); o->step++) {
		o->k.now_ms = T0 + ms;
		compare(o, frame, len, frame[11] - 1U, frame[10], out, &out_len, &left);
		assert_int_equal(o->past[o->step % PAST].state, state);
	}
	capture_close(c);
	return o->step - 1;
}

static void
replayed_capture_gives_the_same_states(void **state)
{
	char path[] = "/tmp/ct_oracle-XXXXXX";
	struct oracle *o;
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	close(fd);
	o = oracle_open(7, true, true, true);
	capture(path, o, 20000);
	oracle_close(o);
	o = oracle_open(0, true, true, true);
	assert_int_equal(replay(path, o), 20000);
	oracle_close(o);
	unlink(path);
}

static int
start(void **state)
{
	return eal_start("128");
}

static int
stop(void **state)
{
	eal_stop();
	return 0;
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tracker_and_model_agree_on_what_ends_send),
		cmocka_unit_test(tracker_and_model_agree_on_what_nobody_should_send),
		cmocka_unit_test(tracker_and_model_agree_under_translation),
		cmocka_unit_test(replayed_capture_gives_the_same_states),
	};
	struct oracle *o;

	/* For others to judge: no translation, and nothing that no end sends. */
	if (argc == 3 && strcmp(argv[1], "--capture") == 0) {
		if (eal_start("128") != 0)
			return 1;
		o = oracle_open(11, false, false, true);
		o->steps_of_time = true;
		capture(argv[2], o, 20000);
		oracle_close(o);
		eal_stop();
		return 0;
	}
	return cmocka_run_group_tests(tests, start, stop);
}
