/* SPDX-License-Identifier: BSD-3-Clause */
/* TFTP: the answer to a request comes from another port. */
#include "test_ct_util.h"

#include <string.h>

#include "ct_priv.h"

#define FLOWS 256
#define READ "\0\1name\0octet" /* and the zero at its end */
#define WRITE "\0\2name\0octet"
#define ACK_1 "\0\4\0\1"

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

/** Who is known to whom by which address; in names of ours as in test_ct_ftp_util.h. */
struct path {
	const char *client, *client_seen, *server, *server_seen;
};

static const struct path paths[] = {
	{ "10.0.2.15", "10.0.2.15", "198.51.100.7", "198.51.100.7" },
	{ "10.0.2.15", "192.0.2.201", "198.51.100.7", "198.51.100.7" },
	{ "10.0.2.15", "10.0.2.15", "198.51.100.7", "10.0.2.100" },
	{ "10.0.2.15", "192.0.2.201", "198.51.100.7", "10.0.2.100" },
	{ "fd00:2::15", "fd00:2::15", "2001:db8::7", "2001:db8::7" },
	{ "fd00:2::15", "2001:db8::15", "2001:db8::7", "2001:db8::7" },
	{ "fd00:2::15", "fd00:2::15", "2001:db8::7", "fd00:2::100" },
	{ "fd00:2::15", "2001:db8::15", "2001:db8::7", "fd00:2::100" },
};

/** A datagram; out: as it leaves. @return its state, 0 when it was dropped */
static uint8_t
datagram(const struct ctkit_way *w, const struct ct_commit *c, const char *data, size_t len,
	struct pkt_view *out)
{
	static uint8_t frame[2048];
	struct pkt_ip ip = {
		.src_mac = { 2, 0, 0, 0, 0, 1 },
		.dst_mac = { 2, 0, 0, 0, 0, 2 },
		.src = pkt_addr(w->src),
		.dst = pkt_addr(w->dst),
	};
	struct pkt_limits limits = { 0 };
	struct ctkit_pkt p;
	uint8_t state = 0;

	ctkit_frame(
		&kit, &p, w->pif, frame, pkt_build_udp(frame, &ip, w->sport, w->dport, data, len));
	ct_track(kit.ct, &p.p, kit.now_ms);
	if (p.p.verdict == CT_ACCEPT && c != NULL)
		ct_commit(kit.ct, &p.p, c, kit.now_ms);
	if (p.p.verdict == CT_ACCEPT) {
		memcpy(frame, rte_pktmbuf_mtod(p.p.m, void *), p.p.m->pkt_len);
		assert_null(pkt_check(frame, p.p.m->pkt_len, NULL, &limits, out));
		assert_int_equal(out->data_len, len);
		assert_memory_equal(out->data, data, len);
		state = p.p.state;
	}
	ctkit_free(&p);
	return state;
}

/** @param request with its terminating zero */
static uint8_t
request(const struct path *path, uint16_t port, uint8_t helper, const char *data, size_t len,
	struct pkt_view *out)
{
	struct ctkit_way w = { path->client, path->server_seen, port, 69, CTKIT_CLIENT_PIF };
	struct ct_nat nat = { 0 };
	struct ct_commit c = { .nat = &nat,
		.opif = CTKIT_SERVER_PIF,
		.helper = helper,
		.mark = 7,
		.mark_mask = UINT32_MAX };

	if (path->client != path->client_seen && strcmp(path->client, path->client_seen) != 0) {
		nat.what |= CT_NAT_SRC;
		assert_int_equal(flowtab_addr_parse(&nat.src.min, path->client_seen), 0);
		nat.src.max = nat.src.min;
	}
	if (strcmp(path->server, path->server_seen) != 0) {
		nat.what |= CT_NAT_DST;
		assert_int_equal(flowtab_addr_parse(&nat.dst.min, path->server), 0);
		nat.dst.max = nat.dst.min;
	}
	return datagram(&w, &c, data, len, out);
}

static uint8_t
answer(const struct path *path, uint16_t from, uint16_t to, struct pkt_view *out)
{
	static const struct ct_commit c = { .opif = CTKIT_CLIENT_PIF };
	struct ctkit_way w = { path->server, path->client_seen, from, to, CTKIT_SERVER_PIF };

	return datagram(&w, &c, "\0\3\0\1data", 8, out);
}

static uint64_t
made(void)
{
	return ctkit_count(&kit, CT_COUNT_EXPECT_NEW);
}

static void
answer_from_any_port_belongs_to_the_request(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 2 * RTE_DIM(paths); i++) {
		const struct path *path = &paths[i / 2];
		const char *data = i % 2 == 0 ? READ : WRITE;
		struct pkt_addr client = pkt_addr(path->client);
		struct pkt_addr server_seen = pkt_addr(path->server_seen);
		uint16_t port = (uint16_t)(3000 + i);
		struct ctkit_way ack = { path->client, path->server_seen, port, 5000,
			CTKIT_CLIENT_PIF };
		struct ctkit_way req = ack;
		struct ct_flow_info info;
		struct pkt_view v;

		req.dport = 69;
		assert_int_equal(request(path, port, CT_HELPER_TFTP, data, sizeof(READ), &v) &
				(CT_NEW | CT_REL),
			CT_NEW);
		assert_int_equal(made(), i + 1);
		assert_int_equal(answer(path, 5000, v.sport, &v) & (CT_NEW | CT_REL | CT_INV),
			CT_NEW | CT_REL);
		assert_true(pkt_addr_eq(&v.dst, &client) && pkt_addr_eq(&v.src, &server_seen));
		assert_int_equal(v.dport, port);
		assert_int_equal(v.sport, 5000);
		assert_int_equal(ctkit_count(&kit, CT_COUNT_EXPECTED), i + 1);
		assert_int_equal(
			datagram(&ack, NULL, ACK_1, 4, &v) & (CT_EST | CT_REL | CT_RPL | CT_INV),
			CT_EST | CT_REL | CT_RPL);
		assert_true(ct_flow_info(
			kit.ct, ctkit_find(&kit, &ack, IPPROTO_UDP), &info, kit.now_ms));
		assert_int_equal(
			info.parent, flowtab_handle(kit.ft, ctkit_find(&kit, &req, IPPROTO_UDP)));
		assert_int_equal(info.mark, 7);
		assert_int_equal(info.helper, CT_HELPER_NONE);
	}
}

static void
one_transfer_is_expected_and_none_of_another_host(void **state)
{
	struct path other = paths[0];
	struct pkt_view v;

	(void)state;
	request(&paths[0], 3000, CT_HELPER_TFTP, READ, sizeof(READ), &v);
	other.server = "198.51.100.8";
	assert_int_equal(answer(&other, 5000, 3000, &v), CT_TRK | CT_NEW);
	assert_int_equal(answer(&paths[0], 5000, 3001, &v), CT_TRK | CT_NEW);
	assert_int_equal(answer(&paths[0], 5000, 3000, &v), CT_TRK | CT_NEW | CT_REL);
	assert_int_equal(answer(&paths[0], 5001, 3000, &v), CT_TRK | CT_NEW);
	/* More of the first. */
	assert_int_equal(answer(&paths[0], 5000, 3000, &v), CT_TRK | CT_NEW | CT_REL);
}

static void
repeated_request_is_expected_once(void **state)
{
	struct pkt_view v;
	uint32_t idx;
	struct ctkit_way w = { paths[0].client, paths[0].server, 3000, 69, CTKIT_CLIENT_PIF };

	(void)state;
	for (unsigned int i = 0; i < 5; i++)
		request(&paths[0], 3000, CT_HELPER_TFTP, READ, sizeof(READ), &v);
	assert_int_equal(made(), 1);
	idx = ctkit_find(&kit, &w, IPPROTO_UDP);
	assert_int_equal(kit.ct->helped[kit.ct->flows[idx].ext].expects, 1);
	assert_int_equal(answer(&paths[0], 5000, 3000, &v), CT_TRK | CT_NEW | CT_REL);
	/* A server that lost its answer begins the transfer anew. */
	request(&paths[0], 3000, CT_HELPER_TFTP, READ, sizeof(READ), &v);
	assert_int_equal(answer(&paths[0], 5001, 3000, &v), CT_TRK | CT_NEW | CT_REL);
}

static void
nothing_but_a_clients_request_is_followed(void **state)
{
	struct pkt_view v;

	(void)state;
	request(&paths[0], 3000, CT_HELPER_NONE, READ, sizeof(READ), &v);
	request(&paths[0], 3001, CT_HELPER_FTP, READ, sizeof(READ), &v);
	request(&paths[0], 3002, CT_HELPER_TFTP, "\0\3\0\1", 4, &v);
	request(&paths[0], 3002, CT_HELPER_TFTP, "\0\0\0\1", 4, &v);
	request(&paths[0], 3002, CT_HELPER_TFTP, "\1\0name", 6, &v);
	request(&paths[0], 3002, CT_HELPER_TFTP, "\0\1\0", 3, &v);
	request(&paths[0], 3002, CT_HELPER_TFTP, "\0", 1, &v);
	request(&paths[0], 3002, CT_HELPER_TFTP, "", 0, &v);
	/* The server's, in the flow of a request. */
	{
		struct ctkit_way w = { paths[0].server, paths[0].client, 69, 3002,
			CTKIT_SERVER_PIF };

		assert_int_equal(datagram(&w, NULL, READ, sizeof(READ), &v) & CT_EST, CT_EST);
	}
	assert_int_equal(made(), 0);
	request(&paths[0], 3002, CT_HELPER_TFTP, READ, sizeof(READ), &v);
	assert_int_equal(made(), 1);
}

static void
request_in_another_buffer_is_not_read(void **state)
{
	static uint8_t frame[2048];
	struct ct_commit c = { .opif = CTKIT_SERVER_PIF, .helper = CT_HELPER_TFTP };
	struct pkt_ip ip = {
		.src_mac = { 2, 0, 0, 0, 0, 1 },
		.dst_mac = { 2, 0, 0, 0, 0, 2 },
		.src = pkt_addr(paths[0].client),
		.dst = pkt_addr(paths[0].server),
	};
	size_t len = pkt_build_udp(frame, &ip, 3000, 69, READ, sizeof(READ));
	struct rte_mbuf *tail = rte_pktmbuf_alloc(kit.pool);
	struct ctkit_pkt p;

	(void)state;
	assert_non_null(tail);
	ctkit_frame(&kit, &p, CTKIT_CLIENT_PIF, frame, len);
	memcpy(rte_pktmbuf_append(tail, sizeof(READ) - 1), frame + len - sizeof(READ) + 1,
		sizeof(READ) - 1);
	rte_pktmbuf_trim(p.p.m, sizeof(READ) - 1);
	assert_int_equal(rte_pktmbuf_chain(p.p.m, tail), 0);
	assert_int_equal(ctkit_track(&kit, &p, &c) & CT_NEW, CT_NEW);
	assert_int_equal(made(), 0);
}

static void
expectation_ends_with_its_time_and_its_request(void **state)
{
	struct ctkit_way w = { paths[0].client, paths[0].server, 3001, 69, CTKIT_CLIENT_PIF };
	struct pkt_view v;

	(void)state;
	request(&paths[0], 3000, CT_HELPER_TFTP, READ, sizeof(READ), &v);
	kit.now_ms += CT_EXPECT_MS;
	assert_int_equal(answer(&paths[0], 5000, 3000, &v), CT_TRK | CT_NEW);
	request(&paths[0], 3001, CT_HELPER_TFTP, READ, sizeof(READ), &v);
	ct_free(kit.ct, ctkit_find(&kit, &w, IPPROTO_UDP));
	assert_int_equal(answer(&paths[0], 5000, 3001, &v), CT_TRK | CT_NEW);
}

static void
thousands_of_requests_are_bounded(void **state)
{
	struct ct_params params = { .max_expect = 64 };
	struct pkt_view v;

	(void)state;
	ctkit_open(&kit, &params, 4096);
	for (unsigned int i = 0; i < 3000; i++)
		request(&paths[0], (uint16_t)(3000 + i), CT_HELPER_TFTP, READ, sizeof(READ), &v);
	/* The last quarter, of flows with a helper, too, is for other ports. */
	assert_int_equal(made(), 49);
	assert_int_equal(ctkit_count(&kit, CT_COUNT_EXPECT_FULL), 769 - 49);
	assert_int_equal(ctkit_reason(&kit, CT_REASON_HELPER_LIMIT), 3000 - 769);
	ctkit_close(&kit);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(answer_from_any_port_belongs_to_the_request),
		T(one_transfer_is_expected_and_none_of_another_host),
		T(repeated_request_is_expected_once),
		T(nothing_but_a_clients_request_is_followed),
		T(request_in_another_buffer_is_not_read),
		T(expectation_ends_with_its_time_and_its_request),
#undef T
		cmocka_unit_test(thousands_of_requests_are_bounded),
	};
	int failed;

	if (eal_start("64") != 0)
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	eal_stop();
	return failed;
}
