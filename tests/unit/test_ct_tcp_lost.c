/* SPDX-License-Identifier: BSD-3-Clause */
/* TCP of which something was lost: behind the tracker, before it looked, or with an end's memory.
 */
#include "test_ct_util.h"

#define SYN PKT_SYN
#define ACK PKT_ACK
#define RST PKT_RST
#define FIN PKT_FIN

#define C0 1000000u    /**< the client's first sequence number */
#define S0 4294967000u /**< the server's: wraps soon */
#define WIN 1000

/** From the client, from the server: one segment, nothing new committed. */
#define C(k, flags, seq, ack, len) ctkit_seg(k, &ctkit_out4, flags, seq, ack, len, WIN, -1, NULL)
#define S(k, flags, seq, ack, len) ctkit_seg(k, &ctkit_in4, flags, seq, ack, len, WIN, -1, NULL)

#define NEW (CT_TRK | CT_NEW)
#define EST (CT_TRK | CT_EST)
#define RPL (CT_TRK | CT_EST | CT_RPL)
#define INV (CT_TRK | CT_INV)

static uint8_t
commit(struct ctkit *k, uint8_t flags, uint32_t seq, uint32_t ack, size_t len)
{
	return ctkit_seg(k, &ctkit_out4, flags, seq, ack, len, WIN, -1, &ctkit_plain);
}

/** Three segments; the client has sent up to C0 + 1, the server up to S0 + 1. */
static void
establish(struct ctkit *k)
{
	assert_int_equal(commit(k, SYN, C0, 0, 0), NEW);
	assert_int_equal(S(k, SYN | ACK, S0, C0 + 1, 0), RPL);
	assert_int_equal(C(k, ACK, C0 + 1, S0 + 1, 0), EST);
}

static uint64_t
left(struct ctkit *k)
{
	return ctkit_left_ms(k, &ctkit_out4, IPPROTO_TCP);
}

/* ---- resets ---- */

static void
end_that_has_died_resets_by_what_was_acknowledged(void **state)
{
	struct ctkit k;

	ctkit_open(&k, NULL, 16);
	establish(&k);
	/* Data that gets lost behind us, and then the client. */
	assert_int_equal(C(&k, ACK, C0 + 1, S0 + 1, 700), EST);
	assert_int_equal(S(&k, ACK, S0 + 1, C0 + 101, 50), RPL);
	/* RFC 9293, 3.5.2: the number is that of the acknowledgement. */
	assert_int_equal(C(&k, RST, C0 + 100, 0, 0), INV);
	assert_int_equal(C(&k, RST, C0 + 102, 0, 0), INV);
	assert_int_equal(C(&k, RST, C0 + 101 + 65536, 0, 0), INV);
	assert_int_equal(C(&k, RST, C0 + 101 - 65536, 0, 0), INV);
	assert_int_equal(ctkit_reason(&k, CT_REASON_TCP_RST), 4);
	assert_int_equal(left(&k), 86400000);
	assert_int_equal(C(&k, RST, C0 + 101, 0, 0), EST);
	assert_int_equal(left(&k), 30000);
	ctkit_close(&k);
}

static void
reset_by_who_has_sent_its_fin_is_taken(void **state)
{
	struct ctkit k;

	ctkit_open(&k, NULL, 16);
	establish(&k);
	assert_int_equal(C(&k, FIN | ACK, C0 + 1, S0 + 1, 10), EST);
	/* Nobody reads what the server still sends; it had not seen the FIN. */
	assert_int_equal(S(&k, ACK, S0 + 1, C0 + 1, 100), RPL);
	assert_int_equal(C(&k, RST, C0 + 1, 0, 0), EST);
	assert_int_equal(left(&k), 30000);
	ctkit_close(&k);
}

static void
server_that_has_died_is_found_out(void **state)
{
	struct ctkit k;

	ctkit_open(&k, NULL, 16);
	establish(&k);
	assert_int_equal(S(&k, ACK, S0 + 1, C0 + 1, 800), RPL); /* lost behind us */
	assert_int_equal(C(&k, ACK, C0 + 1, S0 + 1, 10), EST);
	assert_int_equal(S(&k, RST, S0 + 1, 0, 0), RPL);
	assert_int_equal(left(&k), 30000);
	ctkit_close(&k);
}

static void
reset_behind_what_was_lost_before_us_is_for_its_receiver_to_judge(void **state)
{
	static const int32_t seqs[] = { 1, 300, WIN, -1, -WIN };
	struct ctkit k;

	ctkit_open(&k, NULL, 16);
	establish(&k);
	assert_int_equal(C(&k, ACK, C0 + 1, S0 + 1, 0), EST);
	/* Both numbers fit: RFC 5961, 3.2. It may be the wrong one, so nothing changes. */
	for (size_t i = 0; i < RTE_DIM(seqs); i++) {
		uint32_t seq = C0 + 1 + (uint32_t)seqs[i];

		assert_int_equal(C(&k, RST | ACK, seq, S0 + 1, 0), EST);
		assert_int_equal(C(&k, RST | ACK, seq, S0 + 2, 0), INV);
		assert_int_equal(C(&k, RST | ACK, seq, S0 + 1 - 70000, 0), INV);
		assert_int_equal(C(&k, RST, seq, S0 + 1, 0), INV);
	}
	assert_int_equal(C(&k, RST | ACK, C0 + 2 + WIN, S0 + 1, 0), INV);
	assert_int_equal(left(&k), 86400000);
	/* The challenge, and the answer to it. */
	assert_int_equal(S(&k, ACK, S0 + 1, C0 + 1, 0), RPL);
	assert_int_equal(C(&k, RST, C0 + 1, 0, 0), EST);
	assert_int_equal(left(&k), 30000);
	ctkit_close(&k);
}

static void
reset_within_the_windows_of_what_was_picked_up_is_refused(void **state)
{
	struct ctkit k;

	ctkit_open(&k, NULL, 16);
	/* They are no windows. */
	assert_int_equal(commit(&k, ACK, C0, S0, 0), NEW);
	assert_int_equal(S(&k, ACK, S0, C0, 0), RPL);
	assert_int_equal(C(&k, RST | ACK, C0 + 1, S0, 0), INV);
	assert_int_equal(C(&k, RST | ACK, C0, S0, 0), EST);
	ctkit_close(&k);
}

/* ---- calls ---- */

static void
syn_ack_with_another_number_is_taken_until_it_is_acknowledged(void **state)
{
	struct ctkit k;

	ctkit_open(&k, NULL, 16);
	assert_int_equal(commit(&k, SYN, C0, 0, 0), NEW);
	assert_int_equal(S(&k, SYN | ACK, S0, C0 + 1, 0), RPL);
	/* That got lost; a server with SYN cookies has forgotten what it said. */
	assert_int_equal(C(&k, SYN, C0, 0, 0), EST);
	assert_int_equal(S(&k, SYN | ACK, S0 + 0x50000000, C0 + 700, 0), INV);
	assert_int_equal(S(&k, SYN | ACK, S0 + 0x50000000, C0 + 1, 0), RPL);
	assert_int_equal(C(&k, ACK, C0 + 1, S0 + 0x50000001, 0), EST);
	assert_int_equal(left(&k), 86400000);
	assert_int_equal(C(&k, ACK, C0 + 1, S0 + 0x50000001, 10), EST);
	assert_int_equal(S(&k, ACK, S0 + 0x50000001, C0 + 11, 10), RPL);
	/* From now on it is known. */
	assert_int_equal(S(&k, SYN | ACK, S0, C0 + 1, 0), INV);
	ctkit_close(&k);
}

static void
answer_to_another_syn_begins_nothing(void **state)
{
	struct ctkit k;

	ctkit_open(&k, NULL, 16);
	establish(&k);
	assert_int_equal(C(&k, SYN, C0 + 700000, 0, 0), EST);
	assert_int_equal(S(&k, SYN | ACK, S0 + 90000, C0 + 700000, 0), INV);
	assert_int_equal(S(&k, SYN | ACK, S0 + 90000, C0 + 700002, 0), INV);
	/* The connection lives: its challenge is answered by a reset or by nothing. */
	assert_int_equal(S(&k, ACK, S0 + 1, C0 + 1, 0), RPL);
	assert_int_equal(C(&k, ACK, C0 + 1, S0 + 1, 10), EST);
	assert_int_equal(S(&k, SYN | ACK, S0 + 90000, C0 + 700001, 0), INV);
	assert_int_equal(S(&k, ACK, S0 + 1, C0 + 11, 10), RPL);
	ctkit_close(&k);
}

static void
helper_begins_again_with_its_flow(void **state)
{
	const struct ct_commit ftp = { .opif = CTKIT_SERVER_PIF, .helper = CT_HELPER_FTP };
	const struct ctkit_way out = { "10.0.2.15", "10.0.2.16", 40000, 21, CTKIT_CLIENT_PIF };
	const struct ctkit_way in = ctkit_back(&out, CTKIT_SERVER_PIF);
	struct ctkit k;

	ctkit_open(&k, NULL, 16);
	assert_int_equal(ctkit_seg(&k, &out, SYN, C0, 0, 0, WIN, -1, &ftp), NEW);
	assert_int_equal(ctkit_seg(&k, &in, SYN | ACK, S0, C0 + 1, 0, WIN, -1, NULL), RPL);
	assert_int_equal(ctkit_seg(&k, &out, ACK, C0 + 1, S0 + 1, 0, WIN, -1, NULL), EST);
	assert_int_equal(ctkit_seg(&k, &out, SYN, C0 + 9000, 0, 0, WIN, -1, &ftp), EST);
	/* Both have forgotten. Where the streams begin now, nobody has noted. */
	assert_int_equal(
		ctkit_seg(&k, &in, SYN | ACK, S0 + 90000, C0 + 9001, 0, WIN, -1, NULL), INV);
	assert_int_equal(flowtab_count(k.ft), 0);
	assert_int_equal(ctkit_seg(&k, &out, SYN, C0 + 9000, 0, 0, WIN, -1, &ftp), NEW);
	assert_int_equal(
		ctkit_seg(&k, &in, SYN | ACK, S0 + 90000, C0 + 9001, 0, WIN, -1, NULL), RPL);
	ctkit_close(&k);
}

/* ---- windows ---- */

static void
fin_may_lie_behind_a_full_window(void **state)
{
	struct ctkit k;

	ctkit_open(&k, NULL, 16);
	establish(&k);
	assert_int_equal(C(&k, ACK, C0 + 1, S0 + 1, WIN - 10), EST);
	assert_int_equal(C(&k, FIN | ACK, C0 + 1 + WIN - 10, S0 + 1, 11), INV);
	assert_int_equal(C(&k, FIN | ACK, C0 + 1 + WIN - 10, S0 + 1, 10), EST);
	assert_int_equal(S(&k, ACK, S0 + 1, C0 + 2 + WIN, 0), RPL);
	assert_int_equal(left(&k), 900000);
	ctkit_close(&k);
}

static void
window_that_is_taken_back_stays_allowed(void **state)
{
	struct ctkit k;

	ctkit_open(&k, NULL, 16);
	establish(&k);
	assert_int_equal(C(&k, ACK, C0 + 1, S0 + 1, 400), EST);
	assert_int_equal(ctkit_seg(&k, &ctkit_in4, ACK, S0 + 1, C0 + 401, 0, 0, -1, NULL), RPL);
	/* It was on its way already. */
	assert_int_equal(C(&k, ACK, C0 + 401, S0 + 1, 600), EST);
	ctkit_close(&k);
}

static void
retransmission_after_a_long_silence_is_taken(void **state)
{
	struct ctkit k;

	ctkit_open(&k, NULL, 16);
	establish(&k);
	assert_int_equal(C(&k, ACK, C0 + 1, S0 + 1, WIN), EST);
	k.now_ms += 86399000;
	assert_int_equal(C(&k, ACK, C0 + 1, S0 + 1, WIN), EST);
	k.now_ms += 86399000;
	assert_int_equal(S(&k, ACK, S0 + 1, C0 + 1 + WIN, 0), RPL);
	ctkit_close(&k);
}

static void
windows_of_a_gigabyte_wrap_with_their_numbers(void **state)
{
	const uint32_t step = 60000u << 14;
	uint32_t c = C0 + 1;
	struct ctkit k;

	ctkit_open(&k, NULL, 16);
	ctkit_seg(&k, &ctkit_out4, SYN, C0, 0, 0, 65535, 14, &ctkit_plain);
	ctkit_seg(&k, &ctkit_in4, SYN | ACK, S0, C0 + 1, 0, 65535, 14, NULL);
	ctkit_seg(&k, &ctkit_out4, ACK, C0 + 1, S0 + 1, 0, 65535, -1, NULL);
	/* Four times round. */
	for (int i = 0; i < 20; i++) {
		assert_int_equal(
			ctkit_seg(&k, &ctkit_in4, ACK, S0 + 1, c, 0, 60000, -1, NULL), RPL);
		assert_int_equal(
			ctkit_seg(&k, &ctkit_out4, ACK, c + step - 9, S0 + 1, 10, 65535, -1, NULL),
			INV);
		assert_int_equal(
			ctkit_seg(&k, &ctkit_out4, ACK, c + step - 10, S0 + 1, 10, 65535, -1, NULL),
			EST);
		/* All of it again. */
		assert_int_equal(
			ctkit_seg(&k, &ctkit_out4, ACK, c, S0 + 1, 1000, 65535, -1, NULL), EST);
		c += step;
	}
	ctkit_close(&k);
}

/* ---- picked up ---- */

static void
keepalive_picks_a_connection_up(void **state)
{
	struct ctkit k;

	ctkit_open(&k, NULL, 16);
	/* RFC 9293, 3.8.4: one before the next number; with a byte, or without. */
	for (size_t len = 0; len < 2; len++) {
		assert_int_equal(commit(&k, ACK, C0 + 500, S0, len), NEW);
		assert_int_equal(S(&k, ACK, S0, C0 + 501, 0), RPL);
		assert_int_equal(C(&k, ACK, C0 + 501, S0, 100), EST);
		assert_int_equal(S(&k, ACK, S0, C0 + 601, 100), RPL);
		ct_free(k.ct, ctkit_find(&k, &ctkit_out4, IPPROTO_TCP));
	}
	ctkit_close(&k);
}

static void
what_was_under_way_before_is_acknowledged_after(void **state)
{
	struct ctkit k;

	ctkit_open(&k, NULL, 16);
	/* Each has sent 5000 bytes of which we know nothing; the client says its first again. */
	assert_int_equal(commit(&k, ACK, C0, S0, 100), NEW);
	assert_int_equal(S(&k, ACK, S0 + 5000, C0 + 5000, 0), RPL);
	assert_int_equal(C(&k, ACK, C0 + 5000, S0 + 5000, 0), EST);
	assert_int_equal(S(&k, ACK, S0 + 5000, C0 + 5000, 10), RPL);
	/* An ICMP error about any of it is no forgery; one reset by the last of it ends it. */
	assert_int_equal(C(&k, RST, C0 + 4999, 0, 0), INV);
	assert_int_equal(C(&k, RST, C0 + 5000, 0, 0), EST);
	ctkit_close(&k);
}

static void
what_nobody_answers_is_not_kept_as_a_connection(void **state)
{
	struct ctkit k;

	ctkit_open(&k, NULL, 16);
	/* Who scans with ACKs, or with FINs, has no flow for a day by each. */
	assert_int_equal(commit(&k, ACK, C0, S0, 0), NEW);
	k.now_ms += 20000;
	assert_int_equal(C(&k, ACK, C0, S0, 10), NEW);
	assert_int_equal(left(&k), 30000);
	assert_int_equal(C(&k, FIN | ACK, C0 + 10, S0, 0), NEW);
	assert_int_equal(left(&k), 30000);
	assert_int_equal(S(&k, ACK, S0, C0 + 11, 0), RPL);
	assert_int_equal(left(&k), 900000);
	ctkit_close(&k);
}

static void
connection_with_a_closed_window_is_picked_up(void **state)
{
	struct ctkit k;

	ctkit_open(&k, NULL, 16);
	assert_int_equal(ctkit_seg(&k, &ctkit_out4, ACK, C0, S0, 0, 0, -1, &ctkit_plain), NEW);
	/* It may be older than the window which it had closed, and that is open again. */
	assert_int_equal(S(&k, ACK, S0 + 60000, C0, 1000), RPL);
	assert_int_equal(C(&k, ACK, C0, S0 + 61000, 0), EST);
	ctkit_close(&k);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(end_that_has_died_resets_by_what_was_acknowledged),
		cmocka_unit_test(reset_by_who_has_sent_its_fin_is_taken),
		cmocka_unit_test(server_that_has_died_is_found_out),
		cmocka_unit_test(reset_behind_what_was_lost_before_us_is_for_its_receiver_to_judge),
		cmocka_unit_test(reset_within_the_windows_of_what_was_picked_up_is_refused),
		cmocka_unit_test(syn_ack_with_another_number_is_taken_until_it_is_acknowledged),
		cmocka_unit_test(answer_to_another_syn_begins_nothing),
		cmocka_unit_test(helper_begins_again_with_its_flow),
		cmocka_unit_test(fin_may_lie_behind_a_full_window),
		cmocka_unit_test(window_that_is_taken_back_stays_allowed),
		cmocka_unit_test(retransmission_after_a_long_silence_is_taken),
		cmocka_unit_test(windows_of_a_gigabyte_wrap_with_their_numbers),
		cmocka_unit_test(keepalive_picks_a_connection_up),
		cmocka_unit_test(what_was_under_way_before_is_acknowledged_after),
		cmocka_unit_test(what_nobody_answers_is_not_kept_as_a_connection),
		cmocka_unit_test(connection_with_a_closed_window_is_picked_up),
	};
	int failed;

	if (eal_start("512") != 0)
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	eal_stop();
	return failed;
}
