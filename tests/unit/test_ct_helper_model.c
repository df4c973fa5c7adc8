/* SPDX-License-Identifier: BSD-3-Clause */
/* Conversations through a helper over a way that loses and repeats, and with ends that lie. */
#include "test_ct_ftp_util.h"

#include <string.h>

#include "ct_priv.h"

#define FLOWS 256

static struct ctkit kit;

/* ---- a lossy way ---- */

#define LINES 120

/** One direction of a conversation, with the receiver's view of it. */
struct talk {
	char sent[LINES * 64], heard[LINES * 64];
	uint32_t len, acked, isn, got, risn;
	uint32_t starts[LINES + 1];
	unsigned int lines;
};

static void
talk_fill(struct talk *t, unsigned int end, bool v4, uint64_t *seed)
{
	*t = (struct talk){ 0 };
	for (unsigned int i = 0; i < LINES; i++) {
		char *at = t->sent + t->len;
		unsigned int n = 1024 + rnd_below(seed, 60000);
		const char *form = "200 %u\r\n";

		t->starts[t->lines++] = t->len;
		if (rnd_below(seed, 3) == 0 && end == CLIENT)
			form = v4 ? "EPRT |1|10.0.2.15|%u|\r\n" : "EPRT |2|fd00:2::15|%u|\r\n";
		else if (rnd_below(seed, 3) == 0 && end == SERVER)
			form = "227 (198,51,100,7,9,9) %u\r\n";
		t->len += (uint32_t)sprintf(at, form, n);
	}
	t->starts[t->lines] = t->len;
}

/** What the receiver takes of a segment: what comes next in its count. */
static void
talk_take(struct talk *t, const struct ftp_got *got)
{
	uint32_t next = t->risn + t->got, skip = next - got->seq;

	if (got->verdict != CT_ACCEPT || (int32_t)skip < 0 || skip >= got->len)
		return;
	assert_true(t->got + got->len - skip < sizeof(t->heard));
	memcpy(t->heard + t->got, got->text + skip, got->len - skip);
	t->got += (uint32_t)got->len - skip;
}

/** Send from somewhere in what is not acknowledged. */
static void
talk_send(struct ftp *f, struct talk *t, unsigned int end, bool whole_lines, uint64_t *seed)
{
	char text[512] = "";
	uint32_t from = t->acked, to;
	struct ftp_seg s;
	struct ftp_got got;
	unsigned int line = 0;

	while (t->starts[line] < t->acked)
		line++;
	if (whole_lines) {
		line = RTE_MIN(line + rnd_below(seed, 4), t->lines - 1);
		from = t->starts[line];
		to = t->starts[RTE_MIN(line + 1 + rnd_below(seed, 4), t->lines)];
	} else {
		from += rnd_below(seed, 40);
		to = RTE_MIN(from + 1 + rnd_below(seed, 100), t->len);
		if (from >= to)
			from = t->acked;
		to = RTE_MAX(to, from + 1);
	}
	memcpy(text, t->sent + from, to - from);
	s = ftp_next(f, end, text);
	s.seq = t->isn + from;
	if (rnd_below(seed, 5) == 0) /* lost on the way to us */
		return;
	ftp_send(f, end, &s, &got);
	if (rnd_below(seed, 5) != 0) /* lost on the way from us */
		talk_take(t, &got);
}

static void
talk_ack(struct ftp *f, struct talk *t, unsigned int receiver, uint64_t *seed)
{
	struct ftp_seg s = { .seq = f->sent[receiver], .flags = PKT_ACK };
	struct ftp_got got;

	s.ack = t->risn + t->got - (rnd_below(seed, 6) == 0 ? rnd_below(seed, 20) : 0);
	if ((int32_t)(s.ack - t->risn) < 0)
		s.ack = t->risn;
	if (rnd_below(seed, 4) == 0)
		return;
	ftp_send(f, receiver, &s, &got);
	assert_int_equal(got.verdict, CT_ACCEPT);
	if ((int32_t)(got.ack - t->isn) > (int32_t)t->acked)
		t->acked = got.ack - t->isn;
	assert_true(t->acked <= t->len);
}

/** Line by line: what was heard is what was said, or what stands for it. @return how many changed
 */
static unsigned int
talk_compare(const struct talk *t, const char *own, const char *seen)
{
	const char *a = t->sent, *b = t->heard;
	unsigned int changed = 0;

	for (unsigned int i = 0; i < t->lines; i++) {
		size_t la = strcspn(a, "\n") + 1, lb = strcspn(b, "\n") + 1;
		char want[128];

		if (la != lb || memcmp(a, b, la) != 0) {
			const char *at = strstr(a, own);

			assert_non_null(at);
			snprintf(want, sizeof(want), "%.*s%s%.*s", (int)(at - a), a, seen,
				(int)(la - (size_t)(at - a) - strlen(own)), at + strlen(own));
			if (strlen(want) != lb || memcmp(want, b, lb) != 0)
				fail_msg("%.*s became %.*s", (int)la, a, (int)lb, b);
			changed++;
		}
		a += la;
		b += lb;
	}
	assert_int_equal(a - t->sent, t->len);
	assert_int_equal(b - t->heard, t->got);
	return changed;
}

static void
converse(const struct ftp_path *path, uint16_t port, bool whole_lines, uint64_t seed)
{
	bool v4 = strchr(path->client, ':') == NULL;
	unsigned int expected = 0, changed, rounds;
	static struct talk talks[2];
	struct ftp f;

	ftp_open(&f, &kit, path, port);
	for (unsigned int end = CLIENT; end <= SERVER; end++) {
		talk_fill(&talks[end], end, v4, &seed);
		talks[end].isn = f.sent[end];
		talks[end].risn = f.rcvd[!end];
	}
	for (rounds = 0; rounds < 20000; rounds++) {
		unsigned int end = rnd_below(&seed, 2);
		struct talk *t = &talks[end];

		if (talks[0].acked == talks[0].len && talks[1].acked == talks[1].len)
			break;
		/* Pure acknowledgements bear what its sender has sent so far. */
		f.sent[!end] = talks[!end].isn + talks[!end].acked;
		f.rcvd[end] = talks[!end].risn + talks[!end].got;
		if (t->acked < t->len)
			talk_send(&f, t, end, whole_lines, &seed);
		talk_ack(&f, t, !end, &seed);
	}
	for (unsigned int end = CLIENT; end <= SERVER; end++) {
		const struct talk *t = &talks[end];

		assert_int_equal(t->acked, t->len);
		if (end == CLIENT)
			changed = talk_compare(t, path->client, path->client_seen);
		else
			changed = talk_compare(t, "198,51,100,7", "10,0,2,100");
		expected = 0;
		for (const char *at = t->sent; (at = strpbrk(at, "|(")) != NULL;
			at = strchr(at, '\n'))
			expected++;
		/* Split lines are not followed. */
		if (whole_lines && (end == CLIENT || v4))
			assert_int_equal(changed, expected);
	}
	ct_free(kit.ct, ftp_flow(&f));
}

static void
conversation_survives_losses_repetitions_and_other_segments(void **state)
{
	uint16_t port = 40000;

	(void)state;
	ctkit_open(&kit, NULL, FLOWS);
	for (uint64_t seed = 1; seed <= 20; seed++) {
		converse(&ftp_both4, port++, true, seed);
		converse(&ftp_both6, port++, true, seed + 100);
		converse(&ftp_both4, port++, false, seed + 200);
		converse(&ftp_both6, port++, false, seed + 300);
	}
	ctkit_close(&kit);
}

/* ---- ends that follow no rule ---- */

static const char *
any_text(char *text, uint64_t *seed)
{
	static const char *const words[] = { "PORT ", "EPRT ", "227 ", "229 ", "10,0,2,15,",
		"31,144", "|1|10.0.2.15|", "|2|", "8080|", "(198,51,100,7,31,144)", "(|||8080|)",
		"\r\n", "\n", "PORT 10,0,2,15,31,144\r\n", "PORT 10,0,2,15,31,145\r\n",
		"227 (198,51,100,7,31,144)\r\n", "," };
	unsigned int n = rnd_below(seed, 8);

	for (text[0] = '\0'; n > 0; n--)
		strcat(text, words[rnd_below(seed, RTE_DIM(words))]);
	return text;
}

static void
no_segment_of_hostile_ends_leaves_with_wrong_sums_or_lengths(void **state)
{
	static const uint8_t flags[] = { PKT_ACK, PKT_ACK, PKT_ACK, PKT_ACK | PKT_PSH,
		PKT_ACK | PKT_FIN, PKT_SYN, PKT_SYN | PKT_ACK };
	struct ct_params params = { .no_seq_check = true, .max_expect = 16 };
	unsigned int accepted = 0;
	uint64_t seed = 7;

	(void)state;
	ctkit_open(&kit, &params, FLOWS);
	for (unsigned int i = 0; i < 200; i++) {
		struct ftp f;

		ftp_open(&f, &kit, i % 2 == 0 ? &ftp_both4 : &ftp_snat4, (uint16_t)(40000 + i));
		for (unsigned int n = 0; n < 100; n++) {
			unsigned int end = rnd_below(&seed, 2), off;
			struct ftp_got got;
			char text[400];
			struct ftp_seg s = ftp_next(&f, end, any_text(text, &seed));

			off = rnd_below(&seed, 3) == 0 ? rnd_below(&seed, 120) : 0;
			s.seq += rnd_below(&seed, 2) == 0 ? off : 0U - off;
			s.ack += rnd_below(&seed, 3) == 0 ? 30 - rnd_below(&seed, 60) : 0;
			s.flags = flags[rnd_below(&seed, rnd_below(&seed, 9) == 0 ? 7 : 4)];
			/* Closed by both, it would begin again. */
			if (end == SERVER)
				s.flags &= (uint8_t)~PKT_FIN;
			if ((s.flags & PKT_SYN) != 0)
				text[0] = '\0';
			if ((s.flags & PKT_ACK) == 0)
				s.ack = 0;
			s.pkt = rnd_below(&seed, 3) == 0 ? CT_PKT_CSUM_PARTIAL : 0;
			s.full = rnd_below(&seed, 9) == 0;
			if ((uint32_t)strlen(text) > 30 && rnd_below(&seed, 4) == 0)
				s.head = (uint16_t)(1 +
					rnd_below(&seed, (uint32_t)strlen(text) - 1));
			for (unsigned int k = 0; k < 4 && rnd_below(&seed, 3) == 0; k++)
				s.sack[k] = s.ack + 1 + rnd_below(&seed, 60);
			ftp_send(&f, end, &s, &got);
			accepted += got.verdict == CT_ACCEPT;
			if (off == 0)
				f.sent[end] += (uint32_t)strlen(text);
			if (got.verdict == CT_ACCEPT && rnd_below(&seed, 2) == 0)
				f.rcvd[!end] = got.seq + (uint32_t)got.len;
			if (ftp_flow(&f) == FLOWTAB_NONE)
				break;
		}
		if (ftp_flow(&f) != FLOWTAB_NONE)
			ct_free(kit.ct, ftp_flow(&f));
	}
	assert_true(accepted > 2000);
	ctkit_close(&kit);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(conversation_survives_losses_repetitions_and_other_segments),
		cmocka_unit_test(no_segment_of_hostile_ends_leaves_with_wrong_sums_or_lengths),
	};
	int failed;

	if (eal_start("64") != 0)
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	eal_stop();
	return failed;
}
