/* SPDX-License-Identifier: BSD-3-Clause */
/* FTP: what is an announcement, and what comes of it. */
#include "test_ct_ftp_util.h"

#include <string.h>

#include "ct_priv.h"

#define FLOWS 256

static struct ctkit kit;

static int
setup(void **state)
{
	ctkit_open(&kit, NULL, FLOWS);
	*state = &kit;
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	ctkit_close(&kit);
	return 0;
}

/** An announcement by text, its end, and the port that it names. */
struct said {
	unsigned int end;
	const char *text;
	uint16_t port;
};

static void
announce_and_dial(const struct ftp_path *path, const struct said *said, uint16_t client_port)
{
	struct ftp_target t;
	struct ftp f;
	const char *heard;

	ftp_open(&f, &kit, path, client_port);
	heard = ftp_tell(&f, said->end, said->text);
	ftp_read(&f, said->end, heard, &t);
	assert_string_equal(t.addr, said->end == CLIENT ? path->client_seen : path->server_seen);
	assert_int_equal(t.port, said->port);
	assert_int_equal(ftp_expects(&f), 1);
	assert_int_equal(ftp_dial(&f, said->end, &t, 4020, said->port), CT_TRK | CT_NEW | CT_REL);
	assert_int_equal(ftp_expects(&f), 0);
	/* It was for one. */
	assert_int_equal(ftp_dial(&f, said->end, &t, 4021, said->port) & CT_REL, 0);
	/* The control connection goes on. */
	assert_string_equal(ftp_tell(&f, CLIENT, "RETR file\r\n"), "RETR file\r\n");
	assert_string_equal(ftp_tell(&f, SERVER, "150 here\r\n"), "150 here\r\n");
	ct_free(kit.ct, ftp_flow(&f));
}

static void
each_announcement_leads_a_data_connection_to_its_end(void **state)
{
	static const struct said said4[] = {
		{ CLIENT, "PORT 10,0,2,15,31,144\r\n", 8080 },
		{ CLIENT, "EPRT |1|10.0.2.15|8080|\r\n", 8080 },
		{ SERVER, "227 Entering Passive Mode (198,51,100,7,31,144).\r\n", 8080 },
		{ SERVER, "229 Entering Extended Passive Mode (|||8080|)\r\n", 8080 },
	};
	static const struct said said6[] = {
		{ CLIENT, "EPRT |2|fd00:2::15|8080|\r\n", 8080 },
		{ SERVER, "229 Entering Extended Passive Mode (|||8080|)\r\n", 8080 },
	};
	static const struct ftp_path *const paths4[] = { &ftp_plain4, &ftp_snat4, &ftp_dnat4,
		&ftp_both4 };
	static const struct ftp_path *const paths6[] = { &ftp_plain6, &ftp_snat6, &ftp_dnat6,
		&ftp_both6 };
	uint16_t port = 40000;

	(void)state;
	for (unsigned int p = 0; p < RTE_DIM(paths4); p++) {
		for (unsigned int i = 0; i < RTE_DIM(said4); i++) {
			setup(state);
			announce_and_dial(paths4[p], &said4[i], port++);
			teardown(state);
		}
		for (unsigned int i = 0; i < RTE_DIM(said6); i++) {
			setup(state);
			announce_and_dial(paths6[p], &said6[i], port++);
			teardown(state);
		}
	}
}

static void
usual_ways_to_write_it_are_understood(void **state)
{
	static const struct said said[] = {
		{ CLIENT, "port 10,0,2,15,4,0\r\n", 1024 },
		{ CLIENT, "PoRt  10,0,2,15,255,255  \r\n", 65535 },
		{ CLIENT, "PORT 10,0,2,15,19,136\n", 5000 },
		{ CLIENT, "PORT 010,000,002,015,019,136\r\n", 5000 },
		{ CLIENT, "TYPE I\r\nPORT 10,0,2,15,19,136\r\nLIST\r\n", 5000 },
		{ CLIENT, "eprt |1|10.0.2.15|5000|\r\n", 5000 },
		{ CLIENT, "EPRT !1!10.0.2.15!05000!\r\n", 5000 },
		{ SERVER, "227 Entering Passive Mode 198,51,100,7,19,136\r\n", 5000 },
		{ SERVER, "227 =198,51,100,7,19,136\r\n", 5000 },
		{ SERVER, "227 Passivmodus wird verwendet (198,51,100,7,19,136)\r\n", 5000 },
		{ SERVER, "226 done\r\n227 ok (198,51,100,7,19,136) go on\r\n", 5000 },
		{ SERVER, "229 Ok (!!!5000!)\r\n", 5000 },
		{ SERVER, "229 (|||5000|)\n", 5000 },
	};
	struct ftp_target t;
	struct ftp f;

	(void)state;
	for (unsigned int i = 0; i < RTE_DIM(said); i++) {
		ftp_open(&f, &kit, &ftp_plain4, (uint16_t)(41000 + i));
		assert_string_equal(ftp_tell(&f, said[i].end, said[i].text), said[i].text);
		snprintf(t.addr, sizeof(t.addr), "%s",
			said[i].end == CLIENT ? ftp_plain4.client : ftp_plain4.server);
		t.port = said[i].port;
		if (ftp_expects(&f) != 1 ||
			ftp_dial(&f, said[i].end, &t, (uint16_t)(20 + i), t.port) !=
				(CT_TRK | CT_NEW | CT_REL))
			fail_msg("%s", said[i].text);
		ct_free(kit.ct, ftp_flow(&f));
	}
}

/** None of it is an announcement, translated or not. */
static void
none_is_followed(const struct said *said, unsigned int n, const struct ftp_path *path)
{
	struct ftp f;

	for (unsigned int i = 0; i < n; i++) {
		ftp_open(&f, &kit, path, (uint16_t)(42000 + i));
		if (strcmp(ftp_tell(&f, said[i].end, said[i].text), said[i].text) != 0 ||
			ftp_expects(&f) != 0)
			fail_msg("%s", said[i].text);
		ct_free(kit.ct, ftp_flow(&f));
	}
	assert_int_equal(ctkit_count(&kit, CT_COUNT_EXPECT_NEW), 0);
	assert_int_equal(ctkit_count(&kit, CT_COUNT_EXPECT_FULL), 0);
}

static void
wrong_numbers_are_no_announcement(void **state)
{
	static const struct said said[] = {
		{ CLIENT, "PORT 10,0,2,15,0,0\r\n", 0 },
		{ CLIENT, "PORT 10,0,2,15,3,255\r\n", 0 },
		{ CLIENT, "PORT 10,0,2,15,256,0\r\n", 0 },
		{ CLIENT, "PORT 10,0,2,15,31,256\r\n", 0 },
		{ CLIENT, "PORT 266,0,2,15,31,144\r\n", 0 },
		{ CLIENT, "PORT 0010,0,2,15,31,144\r\n", 0 },
		{ CLIENT, "PORT 4294967306,0,2,15,31,144\r\n", 0 },
		{ CLIENT, "PORT -10,0,2,15,31,144\r\n", 0 },
		{ CLIENT, "PORT 10,0,2,15,31\r\n", 0 },
		{ CLIENT, "PORT 10,0,2,15,31,\r\n", 0 },
		{ CLIENT, "PORT 10,0,2,15,31,144,1\r\n", 0 },
		{ CLIENT, "PORT 10,0,2,15,31,144 x\r\n", 0 },
		{ CLIENT, "PORT 10.0.2.15,31,144\r\n", 0 },
		{ CLIENT, "PORT 10, 0,2,15,31,144\r\n", 0 },
		{ CLIENT, "PORT\r\n", 0 },
		{ CLIENT, "PORT \r\n", 0 },
		{ CLIENT, "PORT10,0,2,15,31,144\r\n", 0 },
		{ CLIENT, " PORT 10,0,2,15,31,144\r\n", 0 },
		{ CLIENT, "XPORT 10,0,2,15,31,144\r\n", 0 },
		{ CLIENT, "EPRT |1|10.0.2.15|0|\r\n", 0 },
		{ CLIENT, "EPRT |1|10.0.2.15|1023|\r\n", 0 },
		{ CLIENT, "EPRT |1|10.0.2.15|65536|\r\n", 0 },
		{ CLIENT, "EPRT |1|10.0.2.15|005000|\r\n", 0 },
		{ CLIENT, "EPRT |1|10.0.2.15|5000\r\n", 0 },
		{ CLIENT, "EPRT |1|10.0.2.15|5000|x\r\n", 0 },
		{ CLIENT, "EPRT |1|10.0.2|5000|\r\n", 0 },
		{ CLIENT, "EPRT |0|10.0.2.15|5000|\r\n", 0 },
		{ CLIENT, "EPRT |2|10.0.2.15|5000|\r\n", 0 },
		{ CLIENT, "EPRT |2|::ffff:10.0.2.15|5000|\r\n", 0 },
		{ CLIENT, "EPRT |3|10.0.2.15|5000|\r\n", 0 },
		{ CLIENT, "EPRT |1|10.0.2.15!5000|\r\n", 0 },
		{ CLIENT, "EPRT 1110.0.2.15150001\r\n", 0 },
		{ CLIENT, "EPRT |1||5000|\r\n", 0 },
		{ CLIENT, "EPRT |\r\n", 0 },
		{ CLIENT, "EPRT \r\n", 0 },
		{ CLIENT, "EPRT |1|10.0.2.15000000000000000000000000000000000000000000000|1|\r\n",
			0 },
		{ SERVER, "227 Entering Passive Mode\r\n", 0 },
		{ SERVER, "227 mode 2 (198,51,100,7,31,144)\r\n", 0 },
		{ SERVER, "227 (198,51,100,7,31,144,5)\r\n", 0 },
		{ SERVER, "227 (198,51,100,7,0,20)\r\n", 0 },
		{ SERVER, "227 (198,51,100,7,300,20)\r\n", 0 },
		{ SERVER, "227-(198,51,100,7,31,144)\r\n", 0 },
		{ SERVER, "2270 (198,51,100,7,31,144)\r\n", 0 },
		{ SERVER, "500 227 (198,51,100,7,31,144)\r\n", 0 },
		{ SERVER, "229 (|||80|)\r\n", 0 },
		{ SERVER, "229 (|||65536|)\r\n", 0 },
		{ SERVER, "229 (|||5000)\r\n", 0 },
		{ SERVER, "229 (|||5000|\r\n", 0 },
		{ SERVER, "229 (||5000|)\r\n", 0 },
		{ SERVER, "229 (|1|198.51.100.7|5000|)\r\n", 0 },
		{ SERVER, "229 (11150001)\r\n", 0 },
		{ SERVER, "229 |||5000|\r\n", 0 },
		{ SERVER, "229 (\r\n", 0 },
		{ SERVER, "229 \r\n", 0 },
	};

	(void)state;
	none_is_followed(said, RTE_DIM(said), &ftp_plain4);
	none_is_followed(said, RTE_DIM(said), &ftp_both4);
}

static void
address_of_another_is_refused(void **state)
{
	static const struct said said4[] = {
		{ CLIENT, "PORT 10,0,2,16,31,144\r\n", 0 },
		{ CLIENT, "PORT 198,51,100,7,31,144\r\n", 0 },
		{ CLIENT, "PORT 0,0,0,0,31,144\r\n", 0 },
		{ CLIENT, "PORT 127,0,0,1,31,144\r\n", 0 },
		{ CLIENT, "EPRT |1|10.0.2.16|8080|\r\n", 0 },
		{ CLIENT, "EPRT |2|fd00:2::15|8080|\r\n", 0 },
		{ SERVER, "227 ok (198,51,100,8,31,144)\r\n", 0 },
		{ SERVER, "227 ok (10,0,2,15,31,144)\r\n", 0 },
	};
	static const struct said said6[] = {
		{ CLIENT, "EPRT |2|fd00:2::16|8080|\r\n", 0 },
		{ CLIENT, "EPRT |2|::|8080|\r\n", 0 },
		{ CLIENT, "EPRT |1|10.0.2.15|8080|\r\n", 0 },
		{ CLIENT, "PORT 10,0,2,15,31,144\r\n", 0 },
		{ SERVER, "227 ok (198,51,100,7,31,144)\r\n", 0 },
	};

	(void)state;
	none_is_followed(said4, RTE_DIM(said4), &ftp_plain4);
	none_is_followed(said4, RTE_DIM(said4), &ftp_both4);
	none_is_followed(said6, RTE_DIM(said6), &ftp_plain6);
	none_is_followed(said6, RTE_DIM(said6), &ftp_both6);
}

static void
announcement_of_the_wrong_end_is_ignored(void **state)
{
	static const struct said said[] = {
		{ SERVER, "PORT 198,51,100,7,31,144\r\n", 0 },
		{ SERVER, "EPRT |1|198.51.100.7|8080|\r\n", 0 },
		{ CLIENT, "227 ok (10,0,2,15,31,144)\r\n", 0 },
		{ CLIENT, "229 ok (|||8080|)\r\n", 0 },
	};

	(void)state;
	none_is_followed(said, RTE_DIM(said), &ftp_plain4);
	none_is_followed(said, RTE_DIM(said), &ftp_both4);
}

static void
without_the_helper_no_payload_is_read(void **state)
{
	struct ftp f = { .k = &kit, .path = ftp_snat4, .port = 40000 };
	const char *text = "PORT 10,0,2,15,31,144\r\n";

	(void)state;
	ftp_begin(&f);
	assert_string_equal(ftp_tell(&f, CLIENT, text), text);
	assert_int_equal(ctkit_count(&kit, CT_COUNT_EXPECT_NEW), 0);
	/* Nor is that of a helper for another protocol. */
	f = (struct ftp){ .k = &kit, .path = ftp_snat4, .port = 40001, .helper = CT_HELPER_TFTP };
	ftp_begin(&f);
	assert_string_equal(ftp_tell(&f, CLIENT, text), text);
	assert_int_equal(ctkit_count(&kit, CT_COUNT_EXPECT_NEW), 0);
}

static void
address_by_which_the_other_end_knows_it_is_its_own(void **state)
{
	const char *text = "PORT 192,0,2,201,31,144\r\n";
	struct ftp_target t;
	struct ftp f;

	(void)state;
	ftp_open(&f, &kit, &ftp_both4, 40000);
	assert_string_equal(ftp_tell(&f, CLIENT, text), text);
	ftp_read(&f, CLIENT, text, &t);
	assert_int_equal(ftp_dial(&f, CLIENT, &t, 20, 8080), CT_TRK | CT_NEW | CT_REL);
	text = "227 ok (10,0,2,100,31,144)\r\n";
	assert_string_equal(ftp_tell(&f, SERVER, text), text);
	ftp_read(&f, SERVER, text, &t);
	assert_int_equal(ftp_dial(&f, SERVER, &t, 2020, 8080), CT_TRK | CT_NEW | CT_REL);
}

static void
port_that_is_taken_gives_way_to_another(void **state)
{
	struct ftp_path other_client = ftp_snat4, other_server = ftp_dnat4;
	const char *said[2][2] = {
		{ "PORT 10,0,2,15,31,144\r\n", "PORT 10,0,2,17,31,144\r\n" },
		{ "227 ok (198,51,100,7,31,144)\r\n", "227 ok (198,51,100,8,31,144)\r\n" },
	};
	struct ftp_target t[2];
	struct ftp f[2];

	(void)state;
	/* Two clients behind one address at one server; two servers behind one at one client. */
	other_client.client = "10.0.2.17";
	other_server.server = "198.51.100.8";
	for (unsigned int end = CLIENT; end <= SERVER; end++) {
		ftp_open(&f[0], &kit, end == CLIENT ? &ftp_snat4 : &ftp_dnat4, 40000);
		ftp_open(&f[1], &kit, end == CLIENT ? &other_client : &other_server, 40001);
		for (unsigned int i = 0; i < 2; i++) {
			const char *heard = ftp_tell(&f[i], end, said[end][i]);

			ftp_read(&f[i], end, heard, &t[i]);
			assert_string_equal(t[i].addr,
				end == CLIENT ? ftp_snat4.client_seen : ftp_dnat4.server_seen);
		}
		assert_int_equal(t[0].port, 8080);
		assert_true(t[1].port >= 1024 && t[1].port != 8080);
		for (unsigned int i = 0; i < 2; i++)
			assert_int_equal(ftp_dial(&f[i], end, &t[i], (uint16_t)(2020 + i), 8080),
				CT_TRK | CT_NEW | CT_REL);
		ct_free(kit.ct, ftp_flow(&f[0]));
		ct_free(kit.ct, ftp_flow(&f[1]));
	}
}

static void
data_connections_of_two_behind_one_address_stay_apart(void **state)
{
	struct ftp_path other_path = ftp_both4;
	const char *text = "227 ok (198,51,100,7,31,144)\r\n";
	struct ftp_target t, other_t;
	struct ftp f, other;

	(void)state;
	/* A server with one passive port, and clients that use the same port themselves. */
	other_path.client = "10.0.2.17";
	ftp_open(&f, &kit, &ftp_both4, 40000);
	ftp_open(&other, &kit, &other_path, 40001);
	ftp_read(&f, SERVER, ftp_tell(&f, SERVER, text), &t);
	ftp_read(&other, SERVER, ftp_tell(&other, SERVER, text), &other_t);
	assert_int_equal(ftp_dial(&f, SERVER, &t, 2020, 8080), CT_TRK | CT_NEW | CT_REL);
	assert_int_equal(f.dialled, 2020);
	assert_int_equal(ftp_dial(&other, SERVER, &other_t, 2020, 8080), CT_TRK | CT_NEW | CT_REL);
	assert_int_not_equal(other.dialled, 2020);
}

static void
ports_that_servers_are_told_are_of_the_own_slice(void **state)
{
	struct ct_params params = { .slice = 2, .n_slices = 4 };
	uint32_t first = 1024 + 64512 / 4 * 2, end = 1024 + 64512 / 4 * 3;
	struct ftp_target t;
	struct ftp f;

	(void)state;
	ctkit_open(&kit, &params, FLOWS);
	ftp_open(&f, &kit, &ftp_snat4, 40000);
	ftp_read(&f, CLIENT, ftp_tell(&f, CLIENT, "PORT 10,0,2,15,31,144\r\n"), &t);
	assert_true(t.port >= first && t.port < end);
	assert_int_equal(ftp_dial(&f, CLIENT, &t, 20, 8080), CT_TRK | CT_NEW | CT_REL);
	/* One that is is kept. */
	ftp_read(&f, CLIENT, ftp_tell(&f, CLIENT, "PORT 10,0,2,15,156,64\r\n"), &t);
	assert_int_equal(t.port, 40000);
	/* Nothing is translated by which answers to the client would find their way. */
	ftp_open(&f, &kit, &ftp_dnat4, 40001);
	ftp_read(&f, SERVER, ftp_tell(&f, SERVER, "227 ok (198,51,100,7,31,144)\r\n"), &t);
	assert_int_equal(t.port, 8080);
	ctkit_close(&kit);
}

static void
full_table_leaves_the_announcement_as_it_is(void **state)
{
	struct ct_params params = { .max_expect = 1 };
	struct ftp f[2];
	const char *text = "PORT 10,0,2,15,31,145\r\n";

	(void)state;
	ctkit_open(&kit, &params, FLOWS);
	ftp_open(&f[0], &kit, &ftp_snat4, 40000);
	ftp_open(&f[1], &kit, &ftp_snat4, 40001);
	ftp_tell(&f[0], CLIENT, "PORT 10,0,2,15,31,144\r\n");
	assert_string_equal(ftp_tell(&f[1], CLIENT, text), text);
	assert_int_equal(ftp_expects(&f[1]), 0);
	assert_int_equal(ctkit_count(&kit, CT_COUNT_EXPECT_FULL), 1);
	ftp_tell(&f[1], SERVER, "425 no\r\n");
	kit.now_ms += CT_EXPECT_MS;
	ct_expire(kit.ct, kit.now_ms, 10);
	assert_int_equal(ctkit_count(&kit, CT_COUNT_EXPECT_GONE), 1);
	assert_string_not_equal(ftp_tell(&f[1], CLIENT, text), text);
	assert_int_equal(ftp_expects(&f[1]), 1);
	ctkit_close(&kit);
}

static void
thousands_of_announcements_keep_a_few_expectations(void **state)
{
	struct ftp_target t = { .addr = "10.0.2.15" };
	struct ftp f;
	char text[64];

	(void)state;
	ftp_open(&f, &kit, &ftp_plain4, 40000);
	for (unsigned int i = 0; i < 3000; i++) {
		snprintf(text, sizeof(text), "EPRT |1|10.0.2.15|%u|\r\n", 2000 + i);
		ftp_tell(&f, CLIENT, text);
		assert_true(ftp_expects(&f) <= 8);
	}
	assert_int_equal(ctkit_count(&kit, CT_COUNT_EXPECT_NEW), 3000);
	assert_int_equal(ctkit_count(&kit, CT_COUNT_EXPECT_GONE), 3000 - 8);
	t.port = 2000 + 3000 - 9;
	assert_int_equal(ftp_dial(&f, CLIENT, &t, 20, t.port) & CT_REL, 0);
	t.port++;
	assert_int_equal(ftp_dial(&f, CLIENT, &t, 20, t.port) & CT_REL, CT_REL);
}

static void
announcement_holds_for_a_time_and_as_long_as_its_connection(void **state)
{
	struct ftp_target t;
	struct ftp f;

	(void)state;
	ftp_open(&f, &kit, &ftp_plain4, 40000);
	ftp_read(&f, SERVER, ftp_tell(&f, SERVER, "227 ok (198,51,100,7,31,144)\r\n"), &t);
	kit.now_ms += CT_EXPECT_MS;
	assert_int_equal(ftp_dial(&f, SERVER, &t, 2020, 8080), CT_TRK | CT_NEW);
	ftp_tell(&f, SERVER, "227 ok (198,51,100,7,31,145)\r\n");
	t.port++;
	ct_free(kit.ct, ftp_flow(&f));
	assert_int_equal(ctkit_count(&kit, CT_COUNT_EXPECT_GONE), 2);
	assert_int_equal(ftp_dial(&f, SERVER, &t, 2020, 8081), CT_TRK | CT_NEW);
}

static void
parent_that_is_gone_is_not_another_in_its_place(void **state)
{
	struct ctkit_way data = { ftp_plain4.client, ftp_plain4.server, 2020, 8080,
		CTKIT_CLIENT_PIF };
	struct ct_flow_info info;
	struct ftp_target t;
	struct ftp f, next;
	uint32_t idx;

	(void)state;
	ftp_open(&f, &kit, &ftp_plain4, 40000);
	ftp_read(&f, SERVER, ftp_tell(&f, SERVER, "227 ok (198,51,100,7,31,144)\r\n"), &t);
	assert_int_equal(ftp_dial(&f, SERVER, &t, 2020, 8080), CT_TRK | CT_NEW | CT_REL);
	idx = ftp_flow(&f);
	ct_free(kit.ct, idx);
	assert_true(ct_flow_info(kit.ct, ctkit_find(&kit, &data, IPPROTO_TCP), &info, kit.now_ms));
	assert_int_equal(info.parent, 0);
	kit.now_ms++;
	ftp_open(&next, &kit, &ftp_plain4, 40001);
	assert_int_equal(ftp_flow(&next), idx);
	assert_true(ct_flow_info(kit.ct, ctkit_find(&kit, &data, IPPROTO_TCP), &info, kit.now_ms));
	assert_int_equal(info.parent, 0);
}

static void
who_else_connects_is_not_expected(void **state)
{
	struct ftp_target t;
	struct ftp f, other;

	(void)state;
	ftp_open(&f, &kit, &ftp_plain4, 40000);
	ftp_read(&f, SERVER, ftp_tell(&f, SERVER, "227 ok (198,51,100,7,31,144)\r\n"), &t);
	other = f;
	other.path.client = other.path.client_seen = "10.0.2.77";
	assert_int_equal(ftp_dial(&other, SERVER, &t, 2020, 8080), CT_TRK | CT_NEW);
	kit.zone = 5;
	assert_int_equal(ftp_dial(&other, SERVER, &t, 2021, 8080), CT_TRK | CT_NEW);
	kit.zone = 0;
	assert_int_equal(ftp_dial(&f, SERVER, &t, 2020, 8080), CT_TRK | CT_NEW | CT_REL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_announcement_leads_a_data_connection_to_its_end),
		cmocka_unit_test_setup_teardown(
			usual_ways_to_write_it_are_understood, setup, teardown),
		cmocka_unit_test_setup_teardown(wrong_numbers_are_no_announcement, setup, teardown),
		cmocka_unit_test_setup_teardown(address_of_another_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(
			announcement_of_the_wrong_end_is_ignored, setup, teardown),
		cmocka_unit_test_setup_teardown(
			without_the_helper_no_payload_is_read, setup, teardown),
		cmocka_unit_test_setup_teardown(
			address_by_which_the_other_end_knows_it_is_its_own, setup, teardown),
		cmocka_unit_test_setup_teardown(
			port_that_is_taken_gives_way_to_another, setup, teardown),
		cmocka_unit_test_setup_teardown(
			data_connections_of_two_behind_one_address_stay_apart, setup, teardown),
		cmocka_unit_test(ports_that_servers_are_told_are_of_the_own_slice),
		cmocka_unit_test(full_table_leaves_the_announcement_as_it_is),
		cmocka_unit_test_setup_teardown(
			thousands_of_announcements_keep_a_few_expectations, setup, teardown),
		cmocka_unit_test_setup_teardown(
			announcement_holds_for_a_time_and_as_long_as_its_connection, setup,
			teardown),
		cmocka_unit_test_setup_teardown(
			parent_that_is_gone_is_not_another_in_its_place, setup, teardown),
		cmocka_unit_test_setup_teardown(who_else_connects_is_not_expected, setup, teardown),
	};
	int failed;

	if (eal_start("64") != 0)
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	eal_stop();
	return failed;
}
