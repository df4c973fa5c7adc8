/* SPDX-License-Identifier: BSD-3-Clause */
#include "test_ct_util.h"

#define SYN PKT_SYN
#define ACK PKT_ACK
#define RST PKT_RST
#define FIN PKT_FIN

#define C0 1000000u    /**< the client's first sequence number */
#define S0 4294967000u /**< the server's: wraps soon */
#define WIN 1000

static const struct ctkit_way *const out[2] = { &ctkit_out4, &ctkit_out6 };
static const struct ctkit_way *const in[2] = { &ctkit_in4, &ctkit_in6 };

/** From the client, from the server: one segment, nothing new committed. */
#define C(k, f, flags, seq, ack, len) ctkit_seg(k, out[f], flags, seq, ack, len, WIN, -1, NULL)
#define S(k, f, flags, seq, ack, len) ctkit_seg(k, in[f], flags, seq, ack, len, WIN, -1, NULL)

#define NEW (CT_TRK | CT_NEW)
#define EST (CT_TRK | CT_EST)
#define RPL (CT_TRK | CT_EST | CT_RPL)
#define INV (CT_TRK | CT_INV)

static uint8_t
commit(struct ctkit *k, int f, uint8_t flags, uint32_t seq, uint32_t ack, size_t len)
{
	return ctkit_seg(k, out[f], flags, seq, ack, len, WIN, -1, &ctkit_plain);
}

/** Three segments; the client has sent up to C0 + 1, the server up to S0 + 1. */
static void
establish(struct ctkit *k, int f)
{
	assert_int_equal(commit(k, f, SYN, C0, 0, 0), NEW);
	assert_int_equal(S(k, f, SYN | ACK, S0, C0 + 1, 0), RPL);
	assert_int_equal(C(k, f, ACK, C0 + 1, S0 + 1, 0), EST);
}

static uint64_t
left(struct ctkit *k, int f)
{
	return ctkit_left_ms(k, out[f], IPPROTO_TCP);
}

static void
connection_is_established_by_three_segments(void **state)
{
	struct ctkit k;

	ctkit_open(&k, NULL, 16);
	for (int f = 0; f < 2; f++) {
		assert_int_equal(C(&k, f, SYN, C0, 0, 0), NEW);
		assert_int_equal(ctkit_find(&k, out[f], IPPROTO_TCP), FLOWTAB_NONE);
		establish(&k, f);
		assert_int_equal(left(&k, f), 86400000);
		assert_int_equal(C(&k, f, ACK, C0 + 1, S0 + 1, 100), EST);
		assert_int_equal(S(&k, f, ACK, S0 + 1, C0 + 101, 50), RPL);
	}
	assert_int_equal(ctkit_count(&k, CT_COUNT_NEW_FLOWS), 2);
	ctkit_close(&k);
}

static void
syn_ack_without_a_flow_is_invalid(void **state)
{
	struct ctkit k;

	ctkit_open(&k, NULL, 16);
	assert_int_equal(commit(&k, 0, SYN | ACK, C0, S0, 0), INV);
	assert_int_equal(commit(&k, 0, RST, C0, S0, 0), INV);
	assert_int_equal(commit(&k, 0, RST | ACK, C0, S0, 0), INV);
	assert_int_equal(ctkit_reason(&k, CT_REASON_TCP_STATE), 3);
	assert_int_equal(flowtab_count(k.ft), 0);
	ctkit_close(&k);
}

static void
impossible_flags_are_invalid(void **state)
{
	static const uint8_t bad[] = { 0, PKT_URG | PKT_PSH, FIN, FIN | PKT_URG | PKT_PSH,
		SYN | FIN, SYN | FIN | ACK, SYN | RST, SYN | RST | ACK, RST | FIN,
		SYN | FIN | RST | ACK };
	struct ctkit k;

	ctkit_open(&k, NULL, 16);
	for (size_t i = 0; i < RTE_DIM(bad); i++)
		assert_int_equal(commit(&k, 0, bad[i], C0, S0, 0), INV);
	establish(&k, 0);
	for (size_t i = 0; i < RTE_DIM(bad); i++)
		assert_int_equal(C(&k, 0, bad[i], C0 + 1, S0 + 1, 0), INV);
	assert_int_equal(ctkit_reason(&k, CT_REASON_TCP_FLAGS), 2 * RTE_DIM(bad));
	assert_int_equal(C(&k, 0, ACK, C0 + 1, S0 + 1, 1), EST);
	ctkit_close(&k);
}

static void
refused_by_rst_ack(void **state)
{
	struct ctkit k;

	ctkit_open(&k, NULL, 16);
	for (int f = 0; f < 2; f++) {
		assert_int_equal(commit(&k, f, SYN, C0, 0, 0), NEW);
		assert_int_equal(left(&k, f), 30000);
		/* The number that it acknowledges is all it has to show. */
		assert_int_equal(S(&k, f, RST | ACK, 0, C0, 0), INV);
		assert_int_equal(S(&k, f, RST | ACK, 0, C0 + 2, 0), INV);
		assert_int_equal(S(&k, f, RST, C0 + 1, 0, 0), INV);
		assert_int_equal(S(&k, f, RST | ACK, 0, C0 + 1, 0), RPL);
		/* It may try again: a new flow, to be allowed anew. */
		assert_int_equal(C(&k, f, SYN, C0 + 5000, 0, 0), NEW);
		assert_int_equal(ctkit_find(&k, out[f], IPPROTO_TCP), FLOWTAB_NONE);
	}
	assert_int_equal(ctkit_reason(&k, CT_REASON_TCP_RST), 6);
	ctkit_close(&k);
}

static void
eight_bad_resets_are_harmless(void **state)
{
	static const int32_t off[] = { -1, 1, 10, -9, WIN, -WIN, 100000, INT32_MIN };
	struct ctkit k;

	ctkit_open(&k, NULL, 16);
	establish(&k, 0);
	assert_int_equal(C(&k, 0, ACK, C0 + 1, S0 + 1, 10), EST);
	for (size_t i = 0; i < RTE_DIM(off); i++) {
		assert_int_equal(C(&k, 0, RST, C0 + 11 + (uint32_t)off[i], 0, 0), INV);
		assert_int_equal(S(&k, 0, RST | ACK, S0 + 1 + (uint32_t)off[i], C0 + 12, 0), INV);
	}
	assert_int_equal(left(&k, 0), 86400000);
	assert_int_equal(S(&k, 0, ACK, S0 + 1, C0 + 11, 10), RPL);
	assert_int_equal(C(&k, 0, ACK, C0 + 11, S0 + 11, 10), EST);
	assert_int_equal(ctkit_reason(&k, CT_REASON_TCP_RST), 16);
	/* A good one ends it. */
	assert_int_equal(C(&k, 0, RST, C0 + 21, 0, 0), EST);
	assert_int_equal(left(&k, 0), 30000);
	ctkit_close(&k);
}

static void
simultaneous_open(void **state)
{
	struct ctkit k;

	ctkit_open(&k, NULL, 16);
	assert_int_equal(commit(&k, 0, SYN, C0, 0, 0), NEW);
	assert_int_equal(S(&k, 0, SYN, S0, 0, 0), RPL);
	assert_int_equal(left(&k, 0), 30000);
	assert_int_equal(C(&k, 0, SYN | ACK, C0, S0 + 1, 0), EST);
	assert_int_equal(S(&k, 0, SYN | ACK, S0, C0 + 1, 0), RPL);
	assert_int_equal(left(&k, 0), 86400000);
	assert_int_equal(C(&k, 0, ACK, C0 + 1, S0 + 1, 20), EST);
	assert_int_equal(S(&k, 0, ACK, S0 + 1, C0 + 21, 20), RPL);
	ctkit_close(&k);
}

static void
close_by_the_client(void **state)
{
	struct ctkit k;

	ctkit_open(&k, NULL, 16);
	establish(&k, 0);
	assert_int_equal(C(&k, 0, FIN | ACK, C0 + 1, S0 + 1, 0), EST);
	assert_int_equal(left(&k, 0), 900000);
	assert_int_equal(S(&k, 0, ACK, S0 + 1, C0 + 2, 0), RPL);
	/* The other direction still carries data. */
	assert_int_equal(S(&k, 0, ACK, S0 + 1, C0 + 2, 100), RPL);
	assert_int_equal(C(&k, 0, ACK, C0 + 2, S0 + 101, 0), EST);
	assert_int_equal(left(&k, 0), 900000);
	assert_int_equal(S(&k, 0, FIN | ACK, S0 + 101, C0 + 2, 0), RPL);
	assert_int_equal(left(&k, 0), 45000);
	assert_int_equal(C(&k, 0, ACK, C0 + 2, S0 + 102, 0), EST);
	assert_int_equal(left(&k, 0), 30000);
	ctkit_close(&k);
}

static void
close_by_the_server(void **state)
{
	struct ctkit k;

	ctkit_open(&k, NULL, 16);
	establish(&k, 1);
	assert_int_equal(S(&k, 1, FIN | ACK, S0 + 1, C0 + 1, 10), RPL);
	assert_int_equal(left(&k, 1), 900000);
	assert_int_equal(C(&k, 1, FIN | ACK, C0 + 1, S0 + 12, 0), EST);
	assert_int_equal(left(&k, 1), 45000);
	assert_int_equal(S(&k, 1, ACK, S0 + 12, C0 + 2, 0), RPL);
	assert_int_equal(left(&k, 1), 30000);
	ctkit_close(&k);
}

static void
close_by_both_at_once(void **state)
{
	struct ctkit k;

	ctkit_open(&k, NULL, 16);
	establish(&k, 0);
	assert_int_equal(C(&k, 0, FIN | ACK, C0 + 1, S0 + 1, 0), EST);
	assert_int_equal(S(&k, 0, FIN | ACK, S0 + 1, C0 + 1, 0), RPL);
	assert_int_equal(left(&k, 0), 45000);
	assert_int_equal(C(&k, 0, ACK, C0 + 2, S0 + 2, 0), EST);
	assert_int_equal(left(&k, 0), 45000);
	assert_int_equal(S(&k, 0, ACK, S0 + 2, C0 + 2, 0), RPL);
	assert_int_equal(left(&k, 0), 30000);
	ctkit_close(&k);
}

static void
closed(struct ctkit *k, int f)
{
	establish(k, f);
	assert_int_equal(C(k, f, FIN | ACK, C0 + 1, S0 + 1, 0), EST);
	assert_int_equal(S(k, f, FIN | ACK, S0 + 1, C0 + 2, 0), RPL);
	assert_int_equal(C(k, f, ACK, C0 + 2, S0 + 2, 0), EST);
}

static void
retransmitted_fin_is_passed_on(void **state)
{
	struct ctkit k;

	ctkit_open(&k, NULL, 16);
	closed(&k, 0);
	assert_int_equal(S(&k, 0, FIN | ACK, S0 + 1, C0 + 2, 0), RPL);
	assert_int_equal(C(&k, 0, ACK, C0 + 2, S0 + 2, 0), EST);
	assert_int_equal(C(&k, 0, FIN | ACK, C0 + 1, S0 + 1, 0), EST);
	assert_int_equal(left(&k, 0), 30000);
	assert_int_equal(ctkit_count(&k, CT_COUNT_REOPENED), 0);
	ctkit_close(&k);
}

static void
lone_syn_does_not_revive_a_closed_flow(void **state)
{
	struct ctkit k;

	ctkit_open(&k, NULL, 16);
	closed(&k, 0);
	assert_int_equal(C(&k, 0, SYN, C0 + 100000, 0, 0), NEW);
	assert_int_equal(ctkit_find(&k, out[0], IPPROTO_TCP), FLOWTAB_NONE);
	assert_int_equal(S(&k, 0, SYN | ACK, S0 + 100000, C0 + 100001, 0), INV);
	assert_int_equal(ctkit_count(&k, CT_COUNT_REOPENED), 1);
	ctkit_close(&k);
}

static void
syn_from_both_sides_begins_a_new_flow_after_both_fins(void **state)
{
	struct ctkit k;

	ctkit_open(&k, NULL, 16);
	closed(&k, 0);
	assert_int_equal(commit(&k, 0, SYN, C0 + 100000, 0, 0), NEW);
	assert_int_equal(left(&k, 0), 30000);
	assert_int_equal(S(&k, 0, SYN | ACK, S0 + 100000, C0 + 100001, 0), RPL);
	assert_int_equal(C(&k, 0, ACK, C0 + 100001, S0 + 100001, 0), EST);
	assert_int_equal(left(&k, 0), 86400000);
	assert_int_equal(flowtab_count(k.ft), 1);
	ctkit_close(&k);
}

static void
reopening_from_the_other_end_turns_the_flow_round(void **state)
{
	struct ct_commit c = { .opif = CTKIT_CLIENT_PIF };
	struct ctkit k;

	ctkit_open(&k, NULL, 16);
	closed(&k, 0);
	assert_int_equal(ctkit_seg(&k, in[0], SYN, S0 + 9, 0, 0, WIN, -1, &c), NEW);
	assert_int_equal(C(&k, 0, SYN | ACK, C0 + 9, S0 + 10, 0), RPL);
	ctkit_close(&k);
}

static void
reopening_that_a_limit_refuses_still_writes_the_packet(void **state)
{
	struct pkt_tcp tcp = { .seq = C0 + 7, .flags = SYN, .win = WIN, .wscale = -1 };
	struct flowtab_zones *zones = flowtab_zones_create(4, SOCKET_ID_ANY);
	struct flowtab_params fp = table_params(16);
	struct ct_params p = { 0 };
	struct ctkit k;
	struct ctkit_pkt c;

	ctkit_open(&k, NULL, 16);
	ct_destroy(k.ct);
	flowtab_destroy(k.ft);
	fp.zones = zones;
	k.ft = flowtab_create(&fp);
	p.ft = k.ft;
	p.socket_id = SOCKET_ID_ANY;
	k.ct = ct_create(&p);
	k.zone = 7;
	flowtab_zone_limit_set(zones, 7, 1);
	closed(&k, 0);
	flowtab_zone_limit_set(zones, 7, 0);
	ctkit_tcp(&k, &c, out[0], &tcp, 0);
	ct_track(k.ct, &c.p, k.now_ms);
	assert_int_equal(c.p.state, NEW);
	assert_false(ct_commit(k.ct, &c.p, &ctkit_plain, k.now_ms));
	assert_int_equal(c.p.verdict, CT_LIMIT);
	assert_int_equal(c.p.reason, CT_REASON_ZONE_LIMIT);
	assert_int_equal(c.p.flow, FLOWTAB_NONE);
	assert_int_equal(c.p.state, NEW);
	assert_int_equal(c.p.mark, 0);
	ctkit_free(&c);
	assert_int_equal(flowtab_count(k.ft), 0);
	ctkit_close(&k);
	flowtab_zones_destroy(zones);
}

static void
repeated_syn_and_syn_ack(void **state)
{
	struct ctkit k;

	ctkit_open(&k, NULL, 16);
	assert_int_equal(commit(&k, 0, SYN, C0, 0, 0), NEW);
	k.now_ms += 3000;
	assert_int_equal(left(&k, 0), 27000);
	assert_int_equal(C(&k, 0, SYN, C0, 0, 0), NEW);
	assert_int_equal(left(&k, 0), 30000);
	/* Another connection attempt from the same port. */
	assert_int_equal(C(&k, 0, SYN, C0 + 50000, 0, 0), NEW);
	assert_int_equal(S(&k, 0, SYN | ACK, S0, C0 + 1, 0), INV);
	assert_int_equal(S(&k, 0, SYN | ACK, S0, C0 + 50001, 0), RPL);
	assert_int_equal(S(&k, 0, SYN | ACK, S0, C0 + 50001, 0), RPL);
	/* The answer got lost behind us. */
	assert_int_equal(C(&k, 0, SYN, C0 + 50000, 0, 0), EST);
	assert_int_equal(S(&k, 0, SYN | ACK, S0, C0 + 50001, 0), RPL);
	assert_int_equal(C(&k, 0, ACK, C0 + 50001, S0 + 1, 0), EST);
	assert_int_equal(left(&k, 0), 86400000);
	assert_int_equal(ctkit_count(&k, CT_COUNT_NEW_FLOWS), 1);
	ctkit_close(&k);
}

static void
syn_into_a_living_connection_asks_for_a_challenge_and_changes_nothing(void **state)
{
	struct ctkit k;

	ctkit_open(&k, NULL, 16);
	establish(&k, 0);
	assert_int_equal(C(&k, 0, SYN, C0 + 700000, 0, 0), EST);
	assert_int_equal(left(&k, 0), 86400000);
	assert_int_equal(S(&k, 0, ACK, S0 + 1, C0 + 1, 0), RPL);
	/* The guest that has forgotten the connection resets it by that number. */
	assert_int_equal(C(&k, 0, RST, C0 + 1, 0, 0), EST);
	assert_int_equal(commit(&k, 0, SYN, C0 + 700000, 0, 0), NEW);
	ctkit_close(&k);
}

static void
syn_into_a_living_connection_does_not_keep_it_alive(void **state)
{
	struct ctkit k;

	ctkit_open(&k, NULL, 16);
	establish(&k, 0);
	k.now_ms += 1000000;
	assert_int_equal(C(&k, 0, SYN, C0 + 700000, 0, 0), EST);
	assert_int_equal(C(&k, 0, SYN, C0 + 1, 0, 0), EST); /* by chance within the window */
	assert_int_equal(left(&k, 0), 85400000);
	/* Nor is anything taken from it. */
	assert_int_equal(C(&k, 0, ACK, C0 + 2, S0 + 1, WIN), INV);
	assert_int_equal(C(&k, 0, ACK, C0 + 1, S0 + 1, WIN), EST);
	assert_int_equal(left(&k, 0), 86400000);
	ctkit_close(&k);
}

static void
scale_of_a_stray_syn_is_not_taken(void **state)
{
	struct ctkit k;

	ctkit_open(&k, NULL, 16);
	assert_int_equal(ctkit_seg(&k, out[0], SYN, C0, 0, 0, WIN, 7, &ctkit_plain), NEW);
	assert_int_equal(S(&k, 0, SYN | ACK, S0, C0 + 1, 0), RPL);
	assert_int_equal(C(&k, 0, ACK, C0 + 1, S0 + 1, 0), EST);
	assert_int_equal(ctkit_seg(&k, in[0], SYN, S0 + 700000, 0, 0, WIN, 14, NULL), RPL);
	assert_int_equal(S(&k, 0, ACK, S0 + 1, C0 + 1, 0), RPL);
	assert_int_equal(C(&k, 0, ACK, C0 + 1, S0 + 1, WIN + 1), INV);
	ctkit_close(&k);
}

static void
ends_that_have_forgotten_a_connection_begin_another(void **state)
{
	struct ctkit k;

	ctkit_open(&k, NULL, 16);
	for (int f = 0; f < 2; f++) {
		establish(&k, f);
		/* Not before the other end has asked for it. */
		assert_int_equal(S(&k, f, SYN | ACK, S0 + 90000, C0 + 700001, 0), INV);
		assert_int_equal(C(&k, f, SYN, C0 + 700000, 0, 0), EST);
		assert_int_equal(S(&k, f, SYN | ACK, S0 + 90000, C0 + 700001, 0), RPL);
		assert_int_equal(left(&k, f), 30000);
		assert_int_equal(C(&k, f, ACK, C0 + 700001, S0 + 90001, 0), EST);
		assert_int_equal(left(&k, f), 86400000);
		assert_int_equal(C(&k, f, ACK, C0 + 700001, S0 + 90001, 100), EST);
		assert_int_equal(S(&k, f, ACK, S0 + 90001, C0 + 700101, 100), RPL);
		/* What was before is gone. */
		assert_int_equal(C(&k, f, ACK, C0 + 0x70000000, S0 + 90001, 1), INV);
		/* Once: the SYN was answered. */
		assert_int_equal(S(&k, f, SYN | ACK, S0 + 0x70000000, C0 + 9, 0), INV);
	}
	ctkit_close(&k);
}

static void
living_end_that_answers_a_syn_goes_on(void **state)
{
	struct ctkit k;

	ctkit_open(&k, NULL, 16);
	establish(&k, 0);
	assert_int_equal(C(&k, 0, SYN, C0 + 700000, 0, 0), EST);
	assert_int_equal(C(&k, 0, ACK, C0 + 1, S0 + 1, 10), EST);
	/* It was not its SYN. */
	assert_int_equal(S(&k, 0, SYN | ACK, S0 + 90000, C0 + 700001, 0), INV);
	assert_int_equal(S(&k, 0, ACK, S0 + 1, C0 + 11, 0), RPL);
	ctkit_close(&k);
}

static void
syn_begins_anew_what_was_picked_up_and_not_answered(void **state)
{
	struct ctkit k;

	ctkit_open(&k, NULL, 16);
	/* The last ACK of a connection that was gone already. */
	assert_int_equal(commit(&k, 0, ACK, C0 + 0x40000000, S0, 0), NEW);
	assert_int_equal(C(&k, 0, SYN, C0, 0, 0), NEW);
	assert_int_equal(left(&k, 0), 30000);
	assert_int_equal(S(&k, 0, SYN | ACK, S0, C0 + 1, 0), RPL);
	assert_int_equal(C(&k, 0, ACK, C0 + 1, S0 + 1, 0), EST);
	assert_int_equal(C(&k, 0, ACK, C0 + 1, S0 + 1, WIN + 1), INV);
	assert_int_equal(ctkit_count(&k, CT_COUNT_NEW_FLOWS), 1);
	ctkit_close(&k);
}

static void
challenge_bears_no_data(void **state)
{
	struct ctkit k;

	ctkit_open(&k, NULL, 16);
	assert_int_equal(commit(&k, 0, SYN, C0, 0, 0), NEW);
	assert_int_equal(S(&k, 0, ACK, 777, 888, 1), INV);
	assert_int_equal(S(&k, 0, FIN | ACK, 777, 888, 0), INV);
	assert_int_equal(S(&k, 0, ACK, 777, 888, 0), RPL);
	ctkit_close(&k);
}

static void
half_open_connection_is_cleared_by_the_first_answer(void **state)
{
	struct ctkit k;

	ctkit_open(&k, NULL, 16);
	assert_int_equal(commit(&k, 0, SYN, C0, 0, 0), NEW);
	/* The server still has the connection of before, of which nothing is known here. */
	assert_int_equal(S(&k, 0, ACK, 777, 888, 0), RPL);
	assert_int_equal(C(&k, 0, RST, 888, 0, 0), EST);
	k.now_ms += 1000;
	assert_int_equal(C(&k, 0, SYN, C0, 0, 0), NEW);
	assert_int_equal(S(&k, 0, SYN | ACK, S0, C0 + 1, 0), RPL);
	assert_int_equal(C(&k, 0, ACK, C0 + 1, S0 + 1, 0), EST);
	ctkit_close(&k);
}

static void
window_full_and_partial(void **state)
{
	struct ctkit k;

	ctkit_open(&k, NULL, 16);
	establish(&k, 0);
	/* The server offered WIN bytes from C0 + 1 on. */
	assert_int_equal(C(&k, 0, ACK, C0 + 1, S0 + 1, WIN - 1), EST);
	assert_int_equal(C(&k, 0, ACK, C0 + WIN, S0 + 1, 2), INV);
	assert_int_equal(C(&k, 0, ACK, C0 + WIN, S0 + 1, 1), EST);
	assert_int_equal(C(&k, 0, ACK, C0 + 1 + WIN, S0 + 1, 1), INV);
	/* Half of it is acknowledged, and the window moves on. */
	assert_int_equal(S(&k, 0, ACK, S0 + 1, C0 + 1 + WIN / 2, 0), RPL);
	assert_int_equal(C(&k, 0, ACK, C0 + 1 + WIN, S0 + 1, WIN / 2), EST);
	assert_int_equal(C(&k, 0, ACK, C0 + 1 + WIN + WIN / 2, S0 + 1, 1), INV);
	/* What was never sent cannot be acknowledged. */
	assert_int_equal(S(&k, 0, ACK, S0 + 1, C0 + 2 + WIN + WIN / 2, 0), INV);
	/* Older than the largest window, or the next power of two, is too old. */
	assert_int_equal(C(&k, 0, ACK, C0 + 1 + WIN / 2, S0 + 1, 10), EST);
	assert_int_equal(C(&k, 0, ACK, C0 + WIN + WIN / 2 - 1024, S0 + 1, 10), INV);
	assert_int_equal(ctkit_reason(&k, CT_REASON_TCP_SEQ), 5);
	ctkit_close(&k);
}

static void
zero_window_can_be_probed(void **state)
{
	struct ctkit k;

	ctkit_open(&k, NULL, 16);
	establish(&k, 0);
	assert_int_equal(C(&k, 0, ACK, C0 + 1, S0 + 1, WIN), EST);
	assert_int_equal(ctkit_seg(&k, in[0], ACK, S0 + 1, C0 + 1 + WIN, 0, 0, -1, NULL), RPL);
	assert_int_equal(C(&k, 0, ACK, C0 + 1 + WIN, S0 + 1, 1), EST);
	assert_int_equal(C(&k, 0, ACK, C0 + 1 + WIN, S0 + 1, 2), INV);
	assert_int_equal(C(&k, 0, ACK, C0 + WIN, S0 + 1, 0), EST);
	ctkit_close(&k);
}

/** Scales of both SYNs, -1: no option. @return how far the client may go beyond C0 + 1 */
static uint32_t
room_with_scales(int client, int server, uint16_t win)
{
	uint32_t room = 0;
	struct ctkit k;

	ctkit_open(&k, NULL, 16);
	ctkit_seg(&k, out[0], SYN, C0, 0, 0, WIN, client, &ctkit_plain);
	ctkit_seg(&k, in[0], SYN | ACK, S0, C0 + 1, 0, WIN, server, NULL);
	ctkit_seg(&k, out[0], ACK, C0 + 1, S0 + 1, 0, WIN, -1, NULL);
	assert_int_equal(ctkit_seg(&k, in[0], ACK, S0 + 1, C0 + 1, 0, win, -1, NULL), RPL);
	for (uint32_t step = 1u << 30; step > 0; step /= 2) {
		/* Far ones are refused and change nothing. */
		if (ctkit_seg(&k, out[0], ACK, C0 + 1 + room + step - 1, S0 + 1, 1, WIN, -1,
			    NULL) == EST)
			room += step;
	}
	ctkit_close(&k);
	return room;
}

static void
windows_are_scaled_when_both_offer_it(void **state)
{
	assert_int_equal(room_with_scales(-1, -1, 60000), 60000);
	assert_int_equal(room_with_scales(7, -1, 60000), 60000);
	assert_int_equal(room_with_scales(-1, 7, 60000), 60000);
	assert_int_equal(room_with_scales(0, 7, 60000), 60000 << 7);
	assert_int_equal(room_with_scales(3, 14, 60000), 60000 << 14);
	/* RFC 7323, 2.3: more is taken as 14. */
	assert_int_equal(room_with_scales(3, 200, 60000), 60000 << 14);
}

static void
retransmitted_syn_ack_does_not_scale_twice(void **state)
{
	struct ctkit k;

	ctkit_open(&k, NULL, 16);
	ctkit_seg(&k, out[0], SYN, C0, 0, 0, 64000, 7, &ctkit_plain);
	for (int i = 0; i < 3; i++)
		assert_int_equal(
			ctkit_seg(&k, in[0], SYN | ACK, S0, C0 + 1, 0, 64000, 7, NULL), RPL);
	/* A SYN's window is in bytes. */
	assert_int_equal(C(&k, 0, ACK, C0 + 1, S0 + 1, 0), EST);
	assert_int_equal(
		ctkit_seg(&k, out[0], ACK, C0 + 1 + 63000, S0 + 1, 1000, 500, -1, NULL), EST);
	assert_int_equal(ctkit_seg(&k, out[0], ACK, C0 + 1 + 64000, S0 + 1, 1, 500, -1, NULL), INV);
	ctkit_close(&k);
}

static void
sequence_check_can_be_off(void **state)
{
	struct ct_params p = { .no_seq_check = true };
	struct ctkit k;

	ctkit_open(&k, &p, 16);
	establish(&k, 0);
	assert_int_equal(C(&k, 0, ACK, C0 + 999999999, S0 + 1, 10), EST);
	assert_int_equal(S(&k, 0, ACK, S0 + 1, C0 + 77, 10), RPL);
	ct_seq_check(k.ct, true);
	assert_int_equal(C(&k, 0, ACK, C0 - 5000000, S0 + 1, 10), INV);
	ct_seq_check(k.ct, false);
	assert_int_equal(C(&k, 0, RST, C0 + 5, 0, 0), EST);
	assert_int_equal(left(&k, 0), 30000);
	ctkit_close(&k);
}

static void
connection_is_picked_up_in_the_middle_with_any_scale(void **state)
{
	struct ctkit k;
	uint32_t c = C0, s = S0;

	ctkit_open(&k, NULL, 16);
	for (int f = 0; f < 2; f++) {
		assert_int_equal(
			ctkit_seg(&k, out[f], ACK, c, s, 1000, 60000, -1, &ctkit_plain), NEW);
		assert_int_equal(left(&k, f), 30000);
		/* As a connection of scale 7 may go: 7.6 MB ahead. */
		assert_int_equal(ctkit_seg(&k, in[f], ACK, s + (60000u << 7) - 500, c + 1000, 500,
					 60000, -1, NULL),
			RPL);
		assert_int_equal(left(&k, f), 86400000);
		assert_int_equal(ctkit_seg(&k, in[f], ACK, s, c + 1000, 500, 60000, -1, NULL), RPL);
		assert_int_equal(ctkit_seg(&k, out[f], ACK, c + (60000u << 7), s + 500, 1000, 60000,
					 -1, NULL),
			EST);
		assert_int_equal(
			ctkit_seg(&k, out[f], ACK, c + (3u << 30), s + 500, 1, 60000, -1, NULL),
			INV);
	}
	assert_int_equal(ctkit_count(&k, CT_COUNT_PICKUPS), 2);
	ctkit_close(&k);
}

static void
pickup_can_be_off(void **state)
{
	struct ct_params p = { .no_pickup = true };
	struct ctkit k;

	ctkit_open(&k, &p, 16);
	assert_int_equal(commit(&k, 0, ACK, C0, S0, 10), INV);
	assert_int_equal(commit(&k, 0, FIN | ACK, C0, S0, 10), INV);
	assert_int_equal(ctkit_reason(&k, CT_REASON_TCP_PICKUP), 2);
	ct_pickup(k.ct, true);
	assert_int_equal(commit(&k, 0, ACK, C0, S0, 10), NEW);
	ctkit_close(&k);
}

static void
data_in_the_syn_is_taken(void **state)
{
	struct ctkit k;

	ctkit_open(&k, NULL, 16);
	assert_int_equal(commit(&k, 0, SYN, C0, 0, 100), NEW);
	/* RFC 7413: the data may be acknowledged, or not. */
	assert_int_equal(S(&k, 0, SYN | ACK, S0, C0 + 1, 0), RPL);
	assert_int_equal(C(&k, 0, ACK, C0 + 1, S0 + 1, 100), EST);
	assert_int_equal(S(&k, 0, ACK, S0 + 1, C0 + 101, 0), RPL);
	ctkit_close(&k);
}

static void
answers_from_another_port_are_no_answers(void **state)
{
	struct ctkit_way forged = ctkit_in4;
	struct ctkit k;

	ctkit_open(&k, NULL, 16);
	assert_int_equal(commit(&k, 0, SYN, C0, 0, 0), NEW);
	forged.pif = 3;
	assert_int_equal(ctkit_seg(&k, &forged, SYN | ACK, S0, C0 + 1, 0, WIN, -1, NULL), INV);
	assert_int_equal(S(&k, 0, SYN | ACK, S0, C0 + 1, 0), RPL);
	ctkit_close(&k);
}

static void
random_segments_never_break_anything(void **state)
{
	static const uint32_t seqs[] = { 0, 1, 2, 100, WIN, WIN + 1, 65535, 1u << 30, 1u << 31,
		UINT32_MAX };
	uint64_t seed = 42;
	struct ctkit k;

	ctkit_open(&k, NULL, 16);
	for (int i = 0; i < 20000; i++) {
		uint64_t r = rnd(&seed);
		bool client = r & 1;
		uint32_t a = seqs[(r >> 8) % RTE_DIM(seqs)], b = seqs[(r >> 16) % RTE_DIM(seqs)];

		k.now_ms += (r >> 40) % 2000;
		ctkit_seg(&k, client ? out[0] : in[0], (uint8_t)(r >> 24) & 0x3f,
			(client ? C0 : S0) + a, (client ? S0 : C0) + b, (r >> 32) % 64,
			(uint16_t)(r >> 48), (int)((r >> 56) % 20) - 2, &ctkit_plain);
		assert_true(flowtab_count(k.ft) <= 2);
		if (r % 64 == 0)
			flowtab_expire(k.ft, k.now_ms, 64);
	}
	ctkit_close(&k);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(connection_is_established_by_three_segments),
		cmocka_unit_test(syn_ack_without_a_flow_is_invalid),
		cmocka_unit_test(impossible_flags_are_invalid),
		cmocka_unit_test(refused_by_rst_ack),
		cmocka_unit_test(eight_bad_resets_are_harmless),
		cmocka_unit_test(simultaneous_open),
		cmocka_unit_test(close_by_the_client),
		cmocka_unit_test(close_by_the_server),
		cmocka_unit_test(close_by_both_at_once),
		cmocka_unit_test(retransmitted_fin_is_passed_on),
		cmocka_unit_test(lone_syn_does_not_revive_a_closed_flow),
		cmocka_unit_test(syn_from_both_sides_begins_a_new_flow_after_both_fins),
		cmocka_unit_test(reopening_from_the_other_end_turns_the_flow_round),
		cmocka_unit_test(reopening_that_a_limit_refuses_still_writes_the_packet),
		cmocka_unit_test(repeated_syn_and_syn_ack),
		cmocka_unit_test(
			syn_into_a_living_connection_asks_for_a_challenge_and_changes_nothing),
		cmocka_unit_test(syn_into_a_living_connection_does_not_keep_it_alive),
		cmocka_unit_test(scale_of_a_stray_syn_is_not_taken),
		cmocka_unit_test(ends_that_have_forgotten_a_connection_begin_another),
		cmocka_unit_test(living_end_that_answers_a_syn_goes_on),
		cmocka_unit_test(syn_begins_anew_what_was_picked_up_and_not_answered),
		cmocka_unit_test(challenge_bears_no_data),
		cmocka_unit_test(half_open_connection_is_cleared_by_the_first_answer),
		cmocka_unit_test(window_full_and_partial),
		cmocka_unit_test(zero_window_can_be_probed),
		cmocka_unit_test(windows_are_scaled_when_both_offer_it),
		cmocka_unit_test(retransmitted_syn_ack_does_not_scale_twice),
		cmocka_unit_test(sequence_check_can_be_off),
		cmocka_unit_test(connection_is_picked_up_in_the_middle_with_any_scale),
		cmocka_unit_test(pickup_can_be_off),
		cmocka_unit_test(data_in_the_syn_is_taken),
		cmocka_unit_test(answers_from_another_port_are_no_answers),
		cmocka_unit_test(random_segments_never_break_anything),
	};
	int failed;

	if (eal_start("512") != 0)
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	eal_stop();
	return failed;
}
