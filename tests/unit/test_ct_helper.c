/* SPDX-License-Identifier: BSD-3-Clause */
/* Payload that changes its length on its way: numbers of both ends, whatever is lost or repeated.
 */
#include "test_ct_ftp_util.h"

#include <string.h>

#include "ct_priv.h"

#define FLOWS 256
#define PORT_A "PORT 10,0,2,15,31,144\r\n"
#define PORT_A_SEEN "PORT 192,0,2,201,31,144\r\n"
#define PORT_B "PORT 10,0,2,15,31,145\r\n"
#define PORT_B_SEEN "PORT 192,0,2,201,31,145\r\n"

static struct ctkit kit;

static int
setup(void **state)
{
	(void)state;
	ctkit_open(&kit, NULL, FLOWS);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	ctkit_close(&kit);
	return 0;
}

static uint32_t
len_of(const char *text)
{
	return (uint32_t)strlen(text);
}

static void
assert_text(const struct ftp_got *got, const char *text)
{
	assert_int_equal(got->verdict, CT_ACCEPT);
	assert_int_equal(got->len, len_of(text));
	assert_memory_equal(got->text, text, got->len);
}

static void
assert_dropped(const struct ftp_got *got)
{
	assert_int_equal(got->verdict, CT_DROP);
	assert_int_equal(got->reason, CT_REASON_NAT_REWRITE);
}

static void
both_directions_grow_and_shrink(void **state)
{
	static const char *const said4[] = {
		PORT_A,
		"EPRT |1|10.0.2.15|8081|\r\n",
		"227 ok (198,51,100,7,31,144)\r\n",
		"227 ok (198,51,100,7,31,145)\r\n",
	};
	static const char *const said6[] = {
		"EPRT |2|fd00:2::15|8080|\r\n",
		"EPRT |2|fd00:2:0::15|8081|\r\n",
		"229 ok (|||8080|)\r\n",
		"229 ok (|||8081|)\r\n",
	};
	static const struct ftp_path *const paths[] = { &ftp_both4, &ftp_both6, &ftp_snat4,
		&ftp_snat6, &ftp_dnat4, &ftp_dnat6 };
	uint64_t seed = 1;
	struct ftp f;

	(void)state;
	for (unsigned int i = 0; i < RTE_DIM(paths); i++) {
		bool v4 = strchr(paths[i]->client, ':') == NULL;

		ftp_open(&f, &kit, paths[i], (uint16_t)(40000 + i));
		for (unsigned int n = 0; n < 100; n++) {
			unsigned int k = rnd_below(&seed, 4);

			ftp_tell(&f, k / 2, v4 ? said4[k] : said6[k]);
			ftp_tell(&f, rnd_below(&seed, 2), "NOOP\r\n");
			ftp_tell(&f, rnd_below(&seed, 2), "200 hm\r\n");
		}
		/* Ends with what has grown. */
		if (paths[i] == &ftp_snat4)
			assert_int_not_equal(f.sent[CLIENT], f.rcvd[SERVER]);
		if (paths[i] == &ftp_dnat4)
			assert_int_not_equal(f.sent[SERVER], f.rcvd[CLIENT]);
	}
}

static void
announcement_again_is_replaced_again_and_counts_once(void **state)
{
	struct ftp_target t;
	struct ftp_got got;
	struct ftp_seg s;
	struct ftp f;

	(void)state;
	ftp_open(&f, &kit, &ftp_snat4, 40000);
	s = ftp_next(&f, CLIENT, PORT_A);
	ftp_say(&f, CLIENT, PORT_A, &got);
	assert_text(&got, PORT_A_SEEN);
	/* Lost; again, and again. */
	for (unsigned int i = 0; i < 3; i++) {
		ftp_send(&f, CLIENT, &s, &got);
		assert_text(&got, PORT_A_SEEN);
		assert_int_equal(got.seq, f.rcvd[SERVER]);
		assert_int_equal(ftp_expects(&f), 1);
	}
	ftp_hear(&f, SERVER, &got);
	/* Its acknowledgement is lost, while the server has connected already. */
	ftp_read(&f, CLIENT, got.text, &t);
	assert_int_equal(ftp_dial(&f, CLIENT, &t, 20, 8080), CT_TRK | CT_NEW | CT_REL);
	ftp_send(&f, CLIENT, &s, &got);
	assert_text(&got, PORT_A_SEEN);
	assert_int_equal(got.seq + (uint32_t)got.len, f.rcvd[SERVER]);
	assert_int_equal(ftp_expects(&f), 0);
	assert_int_equal(ctkit_count(&kit, CT_COUNT_EXPECT_NEW), 1);
	ftp_ack(&f, SERVER, &got);
	assert_int_equal(got.ack, f.sent[CLIENT]);
	/* By mistake, after that: nothing that the server has not got yet. */
	ftp_send(&f, CLIENT, &s, &got);
	assert_int_equal(got.verdict, CT_ACCEPT);
	assert_true((int32_t)(got.seq + (uint32_t)got.len - f.rcvd[SERVER]) <= 0);
	assert_int_equal(ftp_expects(&f), 0);
	ftp_tell(&f, SERVER, "200 ok\r\n");
	ftp_tell(&f, CLIENT, "LIST\r\n");
}

static void
port_chosen_in_place_of_a_taken_one_stays_when_it_is_sent_again(void **state)
{
	struct ftp_path other = ftp_snat4;
	struct ftp_target t, again;
	struct ftp_got got;
	struct ftp_seg s;
	struct ftp f, g;

	(void)state;
	other.client = "10.0.2.17";
	ftp_open(&f, &kit, &ftp_snat4, 40000);
	ftp_open(&g, &kit, &other, 40001);
	ftp_tell(&f, CLIENT, PORT_A);
	s = ftp_next(&g, CLIENT, "PORT 10,0,2,17,31,144\r\n");
	ftp_say(&g, CLIENT, s.text, &got);
	ftp_read(&g, CLIENT, got.text, &t);
	assert_int_not_equal(t.port, 8080);
	ftp_send(&g, CLIENT, &s, &got);
	ftp_read(&g, CLIENT, got.text, &again);
	assert_int_equal(again.port, t.port);
	ftp_hear(&g, SERVER, &got);
	ftp_ack(&g, SERVER, &got);
	assert_int_equal(got.ack, g.sent[CLIENT]);
}

static void
repetition_without_translation_makes_no_second_expectation(void **state)
{
	struct ftp_target t;
	struct ftp_got got;
	struct ftp_seg s;
	struct ftp f;

	(void)state;
	ftp_open(&f, &kit, &ftp_plain4, 40000);
	s = ftp_next(&f, CLIENT, PORT_A);
	ftp_read(&f, CLIENT, ftp_tell(&f, CLIENT, PORT_A), &t);
	assert_int_equal(ftp_dial(&f, CLIENT, &t, 20, 8080), CT_TRK | CT_NEW | CT_REL);
	ftp_send(&f, CLIENT, &s, &got);
	assert_text(&got, PORT_A);
	assert_int_equal(ftp_expects(&f), 0);
	/* With what is new behind it, that is read. */
	s.text = PORT_A "NOOP\r\n" PORT_B;
	ftp_send(&f, CLIENT, &s, &got);
	assert_int_equal(ftp_expects(&f), 1);
	f.sent[CLIENT] = s.seq + len_of(s.text);
	s = ftp_next(&f, CLIENT, PORT_B);
	s.seq -= len_of(PORT_B);
	s.text = PORT_B PORT_A;
	ftp_send(&f, CLIENT, &s, &got);
	assert_int_equal(ftp_expects(&f), 2);
}

static void
acknowledgements_and_sack_are_in_the_senders_count(void **state)
{
	struct ftp_got got;
	struct ftp_seg s;
	struct ftp f;
	uint32_t from, base;

	(void)state;
	ftp_open(&f, &kit, &ftp_snat4, 40000);
	/* A first one, acknowledged: 2 bytes more. */
	ftp_tell(&f, CLIENT, PORT_A);
	base = f.rcvd[SERVER];
	assert_int_equal(base, f.sent[CLIENT] + 2);
	from = f.sent[CLIENT];
	/* One that is pending, and more behind it: 2 more from its end on. */
	ftp_say(&f, CLIENT, PORT_B, &got);
	assert_text(&got, PORT_B_SEEN);
	ftp_say(&f, CLIENT, "NOOP\r\n", &got);
	assert_int_equal(got.seq, base + len_of(PORT_B_SEEN));
	for (unsigned int odd = 0; odd < 2; odd++) {
		/* The server has NOOP, has not got PORT; and a block that ends in the text. */
		s = (struct ftp_seg){
			.seq = f.sent[SERVER],
			.ack = base,
			.flags = PKT_ACK,
			.sack = { base + len_of(PORT_B_SEEN), base + len_of(PORT_B_SEEN) + 6,
				base + 10, base + len_of(PORT_B_SEEN) },
			.odd = odd,
		};
		ftp_send(&f, SERVER, &s, &got);
		assert_int_equal(got.verdict, CT_ACCEPT);
		assert_int_equal(got.ack, from);
		assert_int_equal(got.sack[0], from + len_of(PORT_B));
		assert_int_equal(got.sack[1], from + len_of(PORT_B) + 6);
		assert_int_equal(got.sack[2], from + len_of(PORT_B) - 2);
		assert_int_equal(got.sack[3], from + len_of(PORT_B));
	}
	/* A part of the text: its sender is to send it from its beginning. */
	s = (struct ftp_seg){ .seq = f.sent[SERVER], .ack = base + 10, .flags = PKT_ACK };
	ftp_send(&f, SERVER, &s, &got);
	assert_int_equal(got.ack, from + len_of("PORT "));
	/* All of it; what was acknowledged before comes late. */
	s.ack = base + len_of(PORT_B_SEEN);
	ftp_send(&f, SERVER, &s, &got);
	assert_int_equal(got.ack, from + len_of(PORT_B));
	s.ack = base;
	ftp_send(&f, SERVER, &s, &got);
	assert_int_equal(got.verdict, CT_ACCEPT);
	assert_true((int32_t)(got.ack - from) <= 0);
	/* The other direction's numbers have not changed. */
	assert_int_equal(got.seq, f.sent[SERVER]);
}

static void
acknowledgement_of_what_was_never_sent_changes_nothing(void **state)
{
	struct ftp_got got;
	struct ftp_seg s;
	struct ftp f;

	(void)state;
	ftp_open(&f, &kit, &ftp_snat4, 40000);
	ftp_say(&f, CLIENT, PORT_A, &got);
	s = (struct ftp_seg){
		.seq = f.sent[SERVER], .ack = f.rcvd[SERVER] + 1000, .flags = PKT_ACK
	};
	ftp_send(&f, SERVER, &s, &got);
	assert_int_equal(got.verdict, CT_INVALID);
	s = ftp_next(&f, CLIENT, PORT_A);
	s.seq -= len_of(PORT_A);
	ftp_send(&f, CLIENT, &s, &got);
	assert_text(&got, PORT_A_SEEN);
	ftp_hear(&f, SERVER, &got);
	ftp_ack(&f, SERVER, &got);
	assert_int_equal(got.ack, f.sent[CLIENT]);
}

static void
next_announcement_waits_until_the_first_is_acknowledged(void **state)
{
	struct ftp_got got, second;
	struct ftp_seg s;
	struct ftp f;

	(void)state;
	ftp_open(&f, &kit, &ftp_snat4, 40000);
	ftp_say(&f, CLIENT, PORT_A, &got);
	s = ftp_next(&f, CLIENT, PORT_B);
	ftp_send(&f, CLIENT, &s, &second);
	assert_dropped(&second);
	assert_int_equal(ftp_expects(&f), 1);
	ftp_hear(&f, SERVER, &got);
	ftp_ack(&f, SERVER, &got);
	ftp_send(&f, CLIENT, &s, &second);
	assert_text(&second, PORT_B_SEEN);
	f.sent[CLIENT] += len_of(PORT_B);
	ftp_hear(&f, SERVER, &second);
	ftp_ack(&f, SERVER, &got);
	assert_int_equal(got.ack, f.sent[CLIENT]);
	assert_int_equal(ftp_expects(&f), 2);
}

static void
of_two_in_one_segment_the_second_is_held_back(void **state)
{
	struct ftp_got got;
	struct ftp_seg s;
	struct ftp f;

	(void)state;
	ftp_open(&f, &kit, &ftp_snat4, 40000);
	for (unsigned int i = 0; i < 2; i++) {
		s = ftp_next(&f, CLIENT, PORT_A "NLST\r\n" PORT_B "NLST\r\n");
		s.flags |= PKT_FIN;
		s.pkt = i == 0 ? 0 : CT_PKT_CSUM_PARTIAL;
		s.head = i == 0 ? 0 : 54;
		ftp_send(&f, CLIENT, &s, &got);
		assert_text(&got, PORT_A_SEEN "NLST\r\n");
		assert_int_equal(got.flags, PKT_ACK);
		ftp_hear(&f, SERVER, &got);
		f.sent[CLIENT] += len_of(PORT_A "NLST\r\n");
		/* Again in full, for the acknowledgement is slow. */
		ftp_send(&f, CLIENT, &s, &got);
		assert_text(&got, PORT_A_SEEN "NLST\r\n");
		ftp_ack(&f, SERVER, &got);
		s = ftp_next(&f, CLIENT, PORT_B "NLST\r\n");
		ftp_send(&f, CLIENT, &s, &got);
		assert_text(&got, PORT_B_SEEN "NLST\r\n");
		f.sent[CLIENT] += len_of(PORT_B "NLST\r\n");
		ftp_hear(&f, SERVER, &got);
		ftp_ack(&f, SERVER, &got);
		assert_int_equal(got.ack, f.sent[CLIENT]);
		assert_int_equal(ftp_expects(&f), 2);
	}
}

static void
without_translation_all_in_one_segment_are_followed(void **state)
{
	struct ftp f;

	(void)state;
	ftp_open(&f, &kit, &ftp_plain4, 40000);
	ftp_tell(&f, CLIENT, PORT_A "NLST\r\n" PORT_B "NLST\r\n");
	assert_int_equal(ftp_expects(&f), 2);
}

static void
gap_in_a_translated_stream_is_closed_by_its_sender(void **state)
{
	const struct flowtab_flow *flow;
	struct ftp_got got;
	struct ftp_seg s, fin;
	uint64_t pkts, bytes;
	struct ftp f;

	(void)state;
	ftp_open(&f, &kit, &ftp_snat4, 40000);
	ftp_ack(&f, CLIENT, &got);
	flow = &flowtab_flows(kit.ft)[got.flow];
	pkts = flowtab_flow_pkts(flow, CLIENT);
	bytes = flowtab_flow_bytes(flow, CLIENT);
	s = ftp_next(&f, CLIENT, "NLST\r\n");
	s.seq += len_of(PORT_A);
	ftp_send(&f, CLIENT, &s, &got);
	assert_dropped(&got);
	fin = s;
	fin.text = NULL;
	fin.flags = PKT_ACK | PKT_FIN;
	ftp_send(&f, CLIENT, &fin, &got);
	assert_dropped(&got);
	assert_int_equal(ctkit_reason(&kit, CT_REASON_NAT_REWRITE), 2);
	/* What is dropped is not counted. */
	assert_int_equal(flowtab_flow_pkts(flow, CLIENT), pkts);
	assert_int_equal(flowtab_flow_bytes(flow, CLIENT), bytes);
	/* What takes no room in it has no place to be wrong. */
	fin.flags = PKT_ACK;
	ftp_send(&f, CLIENT, &fin, &got);
	assert_int_equal(got.verdict, CT_ACCEPT);
	ftp_tell(&f, CLIENT, PORT_A);
	ftp_send(&f, CLIENT, &s, &got);
	assert_text(&got, "NLST\r\n");
	ftp_hear(&f, SERVER, &got);
}

static void
gap_in_an_untranslated_stream_is_no_matter(void **state)
{
	struct ftp_got got;
	struct ftp_seg s;
	struct ftp f;

	(void)state;
	ftp_open(&f, &kit, &ftp_plain4, 40000);
	s = ftp_next(&f, CLIENT, "NLST\r\n");
	s.seq += len_of(PORT_A);
	ftp_send(&f, CLIENT, &s, &got);
	assert_text(&got, "NLST\r\n");
	assert_int_equal(ftp_expects(&f), 0);
	/* What was missing is read when it comes. */
	s = ftp_next(&f, CLIENT, PORT_A);
	ftp_send(&f, CLIENT, &s, &got);
	assert_text(&got, PORT_A);
	assert_int_equal(ftp_expects(&f), 1);
	ct_expect_flush(kit.ct, flowtab_handle(kit.ft, ftp_flow(&f)));
	ftp_send(&f, CLIENT, &s, &got);
	assert_int_equal(ftp_expects(&f), 0);
	f.sent[CLIENT] += len_of(PORT_A "NLST\r\n");
	s = ftp_next(&f, CLIENT, PORT_B);
	ftp_send(&f, CLIENT, &s, &got);
	assert_int_equal(ftp_expects(&f), 1);
}

static void
part_of_a_replaced_text_is_dropped(void **state)
{
	struct ftp_got got;
	struct ftp_seg s;
	struct ftp f;

	(void)state;
	ftp_open(&f, &kit, &ftp_snat4, 40000);
	s = ftp_next(&f, CLIENT, "PORT 10,0,");
	ftp_say(&f, CLIENT, PORT_A, &got);
	ftp_send(&f, CLIENT, &s, &got);
	assert_dropped(&got);
	s.seq += len_of("PORT 10,0,");
	s.text = "2,15,31,144\r\n";
	ftp_send(&f, CLIENT, &s, &got);
	assert_dropped(&got);
	/* What lies before and behind it may come alone; or it, cut in other ways. */
	s.seq = f.sent[CLIENT] - len_of(PORT_A);
	s.text = "PORT ";
	ftp_send(&f, CLIENT, &s, &got);
	assert_text(&got, "PORT ");
	ftp_hear(&f, SERVER, &got);
	s.seq += len_of("PORT ");
	s.text = &PORT_A[len_of("PORT ")];
	ftp_send(&f, CLIENT, &s, &got);
	assert_text(&got, &PORT_A_SEEN[len_of("PORT ")]);
	ftp_hear(&f, SERVER, &got);
	s.seq = f.sent[CLIENT] - 2;
	s.text = "\r\n";
	ftp_send(&f, CLIENT, &s, &got);
	assert_int_equal(got.seq, f.rcvd[SERVER] - 2);
	ftp_ack(&f, SERVER, &got);
	assert_int_equal(got.ack, f.sent[CLIENT]);
}

static void
line_that_is_split_is_not_followed_and_does_no_harm(void **state)
{
	const struct ftp_path *const paths[] = { &ftp_plain4, &ftp_both4 };
	struct ftp f;

	(void)state;
	for (unsigned int i = 0; i < RTE_DIM(paths); i++) {
		ftp_open(&f, &kit, paths[i], (uint16_t)(40000 + i));
		ftp_tell(&f, CLIENT, "PORT 10,0,2,1");
		ftp_tell(&f, CLIENT, "5,31,144\r\n");
		/* What the client has the server say is not said by the server. */
		ftp_tell(&f, SERVER, "550 no such file: ");
		ftp_tell(&f, SERVER, "227 ok (198,51,100,7,31,144)\r\n");
		assert_int_equal(ctkit_count(&kit, CT_COUNT_EXPECT_NEW), i);
		ftp_tell(&f, SERVER, "227 ok (198,51,100,7,31,144)\r\n");
		assert_int_equal(ctkit_count(&kit, CT_COUNT_EXPECT_NEW), i + 1);
	}
}

static void
no_more_than_the_beginning_of_a_segment_is_read(void **state)
{
	static char text[1000];
	struct ftp_got got;
	struct ftp_seg s;
	struct ftp f;

	(void)state;
	ftp_open(&f, &kit, &ftp_plain4, 40000);
	memset(text, 'x', sizeof(text));
	snprintf(text + 480, sizeof(text) - 480, "\r\n" PORT_A);
	ftp_tell(&f, CLIENT, text);
	assert_int_equal(ftp_expects(&f), 1);
	memset(text, 'x', sizeof(text));
	snprintf(text + 490, sizeof(text) - 490, "\r\n" PORT_B);
	ftp_tell(&f, CLIENT, text);
	assert_int_equal(ftp_expects(&f), 1);
	/* It ended a line, though. */
	ftp_tell(&f, CLIENT, PORT_B);
	assert_int_equal(ftp_expects(&f), 2);
	/* Nor what lies in other buffers than the first. */
	s = ftp_next(&f, CLIENT, "NOOP\r\nPORT 10,0,2,15,31,146\r\n");
	s.head = 6 + 10;
	ftp_send(&f, CLIENT, &s, &got);
	assert_text(&got, s.text);
	assert_int_equal(ftp_expects(&f), 2);
	f.sent[CLIENT] += len_of(s.text);
	ftp_hear(&f, SERVER, &got);
	ftp_tell(&f, CLIENT, "PORT 10,0,2,15,31,147\r\n");
	assert_int_equal(ftp_expects(&f), 3);
}

static void
announcement_is_replaced_however_the_packet_lies_in_memory(void **state)
{
	struct ftp_got got;
	struct ftp_seg s;
	struct ftp f;

	(void)state;
	for (unsigned int i = 0; i < 8; i++) {
		ftp_open(&f, &kit, i < 4 ? &ftp_both4 : &ftp_both6, (uint16_t)(40000 + i));
		s = ftp_next(&f, CLIENT,
			i < 4 ? PORT_A "STOR a\r\n" : "EPRT |2|fd00:2::15|8080|\r\nSTOR a\r\n");
		s.pkt = (i & 1) != 0 ? CT_PKT_CSUM_PARTIAL : 0;
		if ((i & 2) != 0)
			s.head = 28;
		else
			s.pad = 7;
		ftp_send(&f, CLIENT, &s, &got);
		assert_text(&got,
			i < 4 ? PORT_A_SEEN "STOR a\r\n"
			      : "EPRT |2|2001:db8:a:b:c:d:e:f|8080|\r\nSTOR a\r\n");
		f.sent[CLIENT] += len_of(s.text);
		ftp_hear(&f, SERVER, &got);
		s = (struct ftp_seg){
			.seq = f.sent[SERVER], .ack = f.rcvd[SERVER], .flags = PKT_ACK, .pkt = s.pkt
		};
		ftp_send(&f, SERVER, &s, &got);
		assert_int_equal(got.ack, f.sent[CLIENT]);
		s = ftp_next(&f, CLIENT, "NOOP\r\n");
		s.pkt = (i & 1) != 0 ? CT_PKT_CSUM_PARTIAL : 0;
		ftp_send(&f, CLIENT, &s, &got);
		ftp_hear(&f, SERVER, &got);
		ct_free(kit.ct, ftp_flow(&f));
	}
}

static void
without_room_it_stays_as_it_is_and_its_repetition_is_dropped(void **state)
{
	struct ftp_got got;
	struct ftp_seg s;
	struct ftp f;

	(void)state;
	ftp_open(&f, &kit, &ftp_snat4, 40000);
	s = ftp_next(&f, CLIENT, PORT_A);
	s.full = true;
	ftp_send(&f, CLIENT, &s, &got);
	assert_text(&got, PORT_A);
	ftp_hear(&f, SERVER, &got);
	f.sent[CLIENT] += len_of(PORT_A);
	/* It was seen as it is: so it stays, whatever room there is. */
	s.full = false;
	ftp_send(&f, CLIENT, &s, &got);
	assert_text(&got, PORT_A);
	assert_int_equal(ftp_expects(&f), 0);
	ftp_ack(&f, SERVER, &got);
	s = ftp_next(&f, CLIENT, PORT_B);
	ftp_send(&f, CLIENT, &s, &got);
	assert_text(&got, PORT_B_SEEN);
	f.sent[CLIENT] += len_of(PORT_B);
	s.full = true;
	ftp_send(&f, CLIENT, &s, &got);
	assert_dropped(&got);
	s.full = false;
	ftp_send(&f, CLIENT, &s, &got);
	assert_text(&got, PORT_B_SEEN);
	ftp_hear(&f, SERVER, &got);
}

static void
connection_picked_up_is_read_from_its_next_line_on(void **state)
{
	const struct ftp_path *const paths[] = { &ftp_plain4, &ftp_snat4 };
	struct ftp_got got;
	struct ftp f;

	(void)state;
	for (unsigned int i = 0; i < RTE_DIM(paths); i++) {
		f = (struct ftp){ .k = &kit,
			.path = *paths[i],
			.port = (uint16_t)(40000 + i),
			.helper = CT_HELPER_FTP,
			.sent = { 100, 900 },
			.rcvd = { 900, 100 } };
		ftp_say(&f, CLIENT, PORT_A, &got);
		assert_text(&got, PORT_A);
		assert_int_equal(ftp_expects(&f), 0);
		ftp_hear(&f, SERVER, &got);
		ftp_ack(&f, SERVER, &got);
		/* Who knows what is on its way: nothing is replaced. */
		assert_string_equal(ftp_tell(&f, CLIENT, PORT_B), PORT_B);
		assert_int_equal(ftp_expects(&f), i == 0);
		/* Nor is a gap refused, for it may be none. */
		f.sent[CLIENT] += 100;
		ftp_say(&f, CLIENT, "NOOP\r\n", &got);
		assert_text(&got, "NOOP\r\n");
	}
}

static void
connection_may_begin_with_another_number_until_it_is_answered(void **state)
{
	struct ftp f = { .k = &kit, .path = ftp_snat4, .port = 40000, .helper = CT_HELPER_FTP };
	struct ftp_seg syn = { .seq = 77777, .flags = PKT_SYN };
	struct ftp_got got;

	(void)state;
	ftp_send(&f, CLIENT, &syn, &got);
	assert_int_equal(got.verdict, CT_ACCEPT);
	ftp_begin(&f);
	ftp_tell(&f, CLIENT, PORT_A);
	assert_int_equal(ftp_expects(&f), 1);
	/* A SYN now is answered by the server; it begins nothing. */
	ftp_send(&f, CLIENT, &syn, &got);
	assert_int_equal(got.verdict, CT_ACCEPT);
	assert_string_equal(ftp_tell(&f, CLIENT, PORT_B), PORT_B_SEEN);
}

static void
server_may_answer_with_another_number_until_it_is_acknowledged(void **state)
{
	struct ftp f = { .k = &kit, .path = ftp_both4, .port = 40000, .helper = CT_HELPER_FTP };
	struct ftp_seg syn = { .seq = 77777, .flags = PKT_SYN };
	struct ftp_seg syn_ack = { .seq = 100, .ack = 77778, .flags = PKT_SYN | PKT_ACK };
	struct ftp_got got;

	(void)state;
	ftp_send(&f, CLIENT, &syn, &got);
	ftp_send(&f, SERVER, &syn_ack, &got);
	assert_int_equal(got.verdict, CT_ACCEPT);
	/* Lost; and made of a SYN cookie. */
	syn_ack.seq = 0x40000000;
	ftp_send(&f, SERVER, &syn_ack, &got);
	assert_int_equal(got.verdict, CT_ACCEPT);
	f.sent[CLIENT] = f.rcvd[SERVER] = 77778;
	f.sent[SERVER] = f.rcvd[CLIENT] = 0x40000001;
	ftp_ack(&f, CLIENT, &got);
	assert_string_equal(ftp_tell(&f, SERVER, "220 hello\r\n"), "220 hello\r\n");
	assert_string_equal(ftp_tell(&f, CLIENT, PORT_A), PORT_A_SEEN);
	assert_string_equal(
		ftp_tell(&f, SERVER, "227 (198,51,100,7,9,9)\r\n"), "227 (10,0,2,100,9,9)\r\n");
}

static void
end_of_the_stream_is_numbered_as_all_else(void **state)
{
	struct ftp_got got;
	struct ftp_seg s;
	struct ftp f;

	(void)state;
	ftp_open(&f, &kit, &ftp_snat4, 40000);
	ftp_tell(&f, CLIENT, PORT_A);
	ftp_say(&f, CLIENT, PORT_B, &got);
	ftp_hear(&f, SERVER, &got);
	s = ftp_next(&f, CLIENT, NULL);
	s.flags = PKT_ACK | PKT_FIN;
	ftp_send(&f, CLIENT, &s, &got);
	assert_int_equal(got.verdict, CT_ACCEPT);
	assert_int_equal(got.seq, f.rcvd[SERVER]);
	s = (struct ftp_seg){
		.seq = f.sent[SERVER], .ack = f.rcvd[SERVER] + 1, .flags = PKT_ACK | PKT_FIN
	};
	ftp_send(&f, SERVER, &s, &got);
	assert_int_equal(got.ack, f.sent[CLIENT] + 1);
	s = (struct ftp_seg){ .seq = f.sent[CLIENT] + 1, .flags = PKT_RST };
	ftp_send(&f, CLIENT, &s, &got);
	assert_int_equal(got.verdict, CT_ACCEPT);
	assert_int_equal(got.seq, f.rcvd[SERVER] + 1);
	assert_int_equal(got.ack, 0);
}

/** An unreachable comes back for a segment of the client. @return number in its quote, 0: dropped
 */
static uint32_t
quoted(const struct ftp *f, uint32_t seq, size_t quote_len)
{
	static uint8_t inner[256], frame[512];
	struct pkt_ip ip = {
		.src_mac = { 2, 0, 0, 0, 0, 1 },
		.dst_mac = { 2, 0, 0, 0, 0, 2 },
		.src = pkt_addr(f->path.client_seen),
		.dst = pkt_addr(f->path.server),
	};
	struct pkt_tcp tcp = {
		.sport = f->port_seen, .dport = 21, .seq = seq, .flags = PKT_ACK, .wscale = -1
	};
	struct pkt_limits limits = { 0 };
	struct ctkit_pkt c;
	struct pkt_view v;
	uint32_t number = 0;
	const uint8_t *q;

	pkt_build_tcp(inner, &ip, &tcp, NULL, 0);
	ip.dst = ip.src;
	ip.src = pkt_addr(f->path.server);
	ctkit_frame(&kit, &c, CTKIT_SERVER_PIF, frame,
		pkt_build_icmp(frame, &ip, 3, 1, 0, inner + 14, quote_len));
	ct_track(kit.ct, &c.p, kit.now_ms);
	if (c.p.verdict == CT_ACCEPT) {
		const char *bad = pkt_check(
			rte_pktmbuf_mtod(c.p.m, uint8_t *), c.p.m->pkt_len, NULL, &limits, &v);

		if (bad != NULL)
			fail_msg("%s", bad);
		q = v.data;
		number = pkt_get32(q + 20 + 4);
		if (quote_len == 40) {
			struct pkt_addr src = pkt_addr(f->path.client);
			struct pkt_addr dst = pkt_addr(f->path.server_seen);

			assert_int_equal(pkt_sum_fold(pkt_sum(q + 20, 20,
						 pkt_sum_pseudo(&src, &dst, IPPROTO_TCP, 20))),
				0);
		}
	}
	ctkit_free(&c);
	return number;
}

static void
icmp_error_quotes_the_number_that_was_sent(void **state)
{
	struct ftp f;

	(void)state;
	ftp_open(&f, &kit, &ftp_both4, 40000);
	for (unsigned int i = 0; i < 100; i++)
		ftp_tell(&f, CLIENT, i % 2 == 0 ? PORT_A : PORT_B);
	assert_int_equal(f.rcvd[SERVER], f.sent[CLIENT] + 200);
	assert_int_equal(quoted(&f, f.rcvd[SERVER], 40), f.sent[CLIENT]);
	assert_int_equal(quoted(&f, f.rcvd[SERVER], 28), f.sent[CLIENT]);
	assert_int_equal(quoted(&f, f.rcvd[SERVER] + 1, 28), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(both_directions_grow_and_shrink),
		T(announcement_again_is_replaced_again_and_counts_once),
		T(port_chosen_in_place_of_a_taken_one_stays_when_it_is_sent_again),
		T(repetition_without_translation_makes_no_second_expectation),
		T(acknowledgements_and_sack_are_in_the_senders_count),
		T(acknowledgement_of_what_was_never_sent_changes_nothing),
		T(next_announcement_waits_until_the_first_is_acknowledged),
		T(of_two_in_one_segment_the_second_is_held_back),
		T(without_translation_all_in_one_segment_are_followed),
		T(gap_in_a_translated_stream_is_closed_by_its_sender),
		T(gap_in_an_untranslated_stream_is_no_matter),
		T(part_of_a_replaced_text_is_dropped),
		T(line_that_is_split_is_not_followed_and_does_no_harm),
		T(no_more_than_the_beginning_of_a_segment_is_read),
		T(announcement_is_replaced_however_the_packet_lies_in_memory),
		T(without_room_it_stays_as_it_is_and_its_repetition_is_dropped),
		T(connection_picked_up_is_read_from_its_next_line_on),
		T(connection_may_begin_with_another_number_until_it_is_answered),
		T(server_may_answer_with_another_number_until_it_is_acknowledged),
		T(end_of_the_stream_is_numbered_as_all_else),
		T(icmp_error_quotes_the_number_that_was_sent),
#undef T
	};
	int failed;

	if (eal_start("64") != 0)
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	eal_stop();
	return failed;
}
