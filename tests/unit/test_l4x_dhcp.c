/* SPDX-License-Identifier: BSD-3-Clause */
/* DHCP: every client state of RFC 2131, and messages that are none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "dhcp.h"
#include "l4xkit.h"

static uint8_t frame[PKT_MAX], msg[1500];
static struct dhcp_reply reply;
static const uint8_t broadcast[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
static const uint8_t everything[] = { 1, 3, 6, 12, 15, 26, 28, 58, 59, 119, 121 };

static int
setup(void **state)
{
	*state = l4xkit_create(NULL);
	return 0;
}

static int
teardown(void **state)
{
	l4xkit_destroy(*state);
	return 0;
}

static struct dhcp_request
request(uint8_t type)
{
	struct dhcp_request r = { .type = type, .xid = 0x12345678 };

	memcpy(r.mac, l4xkit_guest_mac, 6);
	r.params = everything;
	r.n_params = sizeof(everything);
	return r;
}

/** The message in a frame, from 0.0.0.0 to everybody. */
static size_t
wrap(size_t len)
{
	struct pkt_ip ip = l4xkit_ip("255.255.255.255");

	ip.src = pkt_addr("0.0.0.0");
	memcpy(ip.dst_mac, broadcast, 6);
	return pkt_build_udp(frame, &ip, 68, 67, msg, len);
}

static void
expect_reply(struct l4xkit *k, const struct dhcp_request *r, uint8_t type, const char *to)
{
	struct pkt_addr dst = pkt_addr(to), gateway = pkt_addr("10.0.2.2"), id;
	const char *wrong;

	l4xkit_rx(k, frame, wrap(dhcp_build(msg, r)));
	l4xkit_expect_frame(k);
	assert_int_equal(k->view.proto, IPPROTO_UDP);
	assert_int_equal(k->view.sport, 67);
	assert_int_equal(k->view.dport, 68);
	assert_true(pkt_addr_eq(&k->view.src, &gateway));
	assert_true(pkt_addr_eq(&k->view.dst, &dst));
	assert_memory_equal(k->view.dst_mac,
		strcmp(to, "255.255.255.255") == 0 ? broadcast : l4xkit_guest_mac, 6);
	wrong = dhcp_parse(k->view.data, k->view.data_len, &reply);
	if (wrong != NULL)
		fail_msg("%s", wrong);
	assert_int_equal(reply.type, type);
	assert_int_equal(reply.xid, r->xid);
	assert_memory_equal(reply.chaddr, r->mac, 6);
	id = dhcp_opt_addr(&reply, DHCP_OPT_SERVER, 0);
	assert_true(pkt_addr_eq(&id, &gateway));
	l4xkit_expect_nothing(k);
}

static void
expect_drop(struct l4xkit *k, const struct dhcp_request *r, enum l4x_counter why)
{
	size_t len = wrap(dhcp_build(msg, r));

	l4xkit_expect_drop(k, frame, len, why);
	l4xkit_expect_nothing(k);
}

static void
assert_addr(const struct pkt_addr *a, const char *text)
{
	assert_string_equal(pkt_addr_text(a), text);
}

static void
assert_opt_addr(uint8_t code, const char *text)
{
	struct pkt_addr a = dhcp_opt_addr(&reply, code, 0);

	assert_string_equal(pkt_addr_text(&a), text);
}

static void
offers_address_route_resolver_search_mtu_and_name(void **state)
{
	static const uint8_t routes[] = { 0, 10, 0, 2, 2 };
	struct dhcp_request r = request(DHCP_DISCOVER);
	char text[256];

	expect_reply(*state, &r, DHCP_OFFER, "10.0.2.15");
	assert_addr(&reply.yiaddr, "10.0.2.15");
	assert_int_equal(dhcp_opt_u32(&reply, DHCP_OPT_LEASE), 3600);
	assert_int_equal(dhcp_opt_u32(&reply, 58), 1800);
	assert_int_equal(dhcp_opt_u32(&reply, 59), 3150);
	assert_opt_addr(DHCP_OPT_MASK, "255.255.255.0");
	assert_opt_addr(DHCP_OPT_ROUTER, "10.0.2.2");
	assert_opt_addr(DHCP_OPT_DNS, "10.0.2.2");
	assert_opt_addr(28, "10.0.2.255");
	assert_int_equal(reply.opt_len[DHCP_OPT_DNS], 4);
	assert_int_equal(dhcp_opt_u16(&reply, DHCP_OPT_MTU), 1500);
	assert_memory_equal(reply.opt[DHCP_OPT_HOSTNAME], "guest", 5);
	assert_memory_equal(reply.opt[DHCP_OPT_DOMAIN], "example.org", 11);
	assert_int_equal(reply.opt_len[121], sizeof(routes));
	assert_memory_equal(reply.opt[121], routes, sizeof(routes));
	assert_true(dhcp_search_text(
		reply.opt[DHCP_OPT_SEARCH], reply.opt_len[DHCP_OPT_SEARCH], text, sizeof(text)));
	assert_string_equal(text, "example.org lab.example.org");
}

static void
answers_only_what_was_asked_for(void **state)
{
	static const uint8_t few[] = { 6, 1 };
	struct dhcp_request r = request(DHCP_DISCOVER);
	unsigned int n = 0;

	r.params = few;
	r.n_params = sizeof(few);
	expect_reply(*state, &r, DHCP_OFFER, "10.0.2.15");
	for (unsigned int i = 0; i < 256; i++)
		n += reply.opt[i] != NULL;
	/* Type, server, lease, and the two. */
	assert_int_equal(n, 5);
	assert_non_null(reply.opt[DHCP_OPT_LEASE]);
}

static void
gives_the_essentials_to_a_client_that_names_nothing(void **state)
{
	struct dhcp_request r = request(DHCP_DISCOVER);

	r.n_params = 0;
	expect_reply(*state, &r, DHCP_OFFER, "10.0.2.15");
	assert_opt_addr(DHCP_OPT_MASK, "255.255.255.0");
	assert_opt_addr(DHCP_OPT_ROUTER, "10.0.2.2");
	assert_null(reply.opt[DHCP_OPT_MTU]);
}

static void
answers_by_broadcast_when_asked_to(void **state)
{
	struct dhcp_request r = request(DHCP_DISCOVER);

	r.broadcast = true;
	expect_reply(*state, &r, DHCP_OFFER, "255.255.255.255");
	assert_true(reply.broadcast);
}

static void
acknowledges_in_selecting_and_reboot(void **state)
{
	struct dhcp_request r = request(DHCP_REQUEST);

	r.requested = pkt_addr("10.0.2.15");
	r.server = pkt_addr("10.0.2.2");
	expect_reply(*state, &r, DHCP_ACK, "10.0.2.15");
	assert_addr(&reply.yiaddr, "10.0.2.15");
	r.server.len = 0;
	expect_reply(*state, &r, DHCP_ACK, "10.0.2.15");
}

static void
acknowledges_renewal_by_unicast_and_rebinding_by_broadcast(void **state)
{
	struct dhcp_request r = request(DHCP_REQUEST);
	struct l4xkit *k = *state;
	struct pkt_ip ip = l4xkit_ip("10.0.2.2");
	size_t len;

	r.ciaddr = pkt_addr("10.0.2.15");
	expect_reply(k, &r, DHCP_ACK, "10.0.2.15");
	assert_addr(&reply.ciaddr, "10.0.2.15");
	len = dhcp_build(msg, &r);
	l4xkit_rx(k, frame, pkt_build_udp(frame, &ip, 68, 67, msg, len));
	l4xkit_expect_frame(k);
	assert_null(dhcp_parse(k->view.data, k->view.data_len, &reply));
	assert_int_equal(reply.type, DHCP_ACK);
}

static void
refuses_other_addresses_with_nak(void **state)
{
	struct dhcp_request r = request(DHCP_REQUEST);

	r.requested = pkt_addr("10.0.2.16");
	expect_reply(*state, &r, DHCP_NAK, "255.255.255.255");
	assert_addr(&reply.yiaddr, "0.0.0.0");
	assert_null(reply.opt[DHCP_OPT_LEASE]);
	assert_null(reply.opt[DHCP_OPT_ROUTER]);
	r.requested.len = 0;
	r.ciaddr = pkt_addr("192.168.1.5");
	expect_reply(*state, &r, DHCP_NAK, "255.255.255.255");
}

static void
leaves_requests_to_other_servers_alone(void **state)
{
	struct dhcp_request r = request(DHCP_REQUEST);

	r.requested = pkt_addr("10.0.2.15");
	r.server = pkt_addr("10.0.2.3");
	expect_drop(*state, &r, L4X_DROP_DHCP_SERVER);
	r.type = DHCP_RELEASE;
	expect_drop(*state, &r, L4X_DROP_DHCP_SERVER);
	r.type = DHCP_DECLINE;
	expect_drop(*state, &r, L4X_DROP_DHCP_SERVER);
}

static void
informs_without_a_lease(void **state)
{
	struct dhcp_request r = request(DHCP_INFORM);

	r.ciaddr = pkt_addr("10.0.2.40");
	expect_reply(*state, &r, DHCP_ACK, "10.0.2.40");
	assert_addr(&reply.yiaddr, "0.0.0.0");
	assert_null(reply.opt[DHCP_OPT_LEASE]);
	assert_null(reply.opt[58]);
	assert_opt_addr(DHCP_OPT_ROUTER, "10.0.2.2");
}

static void
takes_release_and_decline_in_silence(void **state)
{
	struct dhcp_request r = request(DHCP_RELEASE);
	struct l4xkit *k = *state;

	r.server = pkt_addr("10.0.2.2");
	r.ciaddr = pkt_addr("10.0.2.15");
	l4xkit_rx(k, frame, wrap(dhcp_build(msg, &r)));
	r.type = DHCP_DECLINE;
	l4xkit_rx(k, frame, wrap(dhcp_build(msg, &r)));
	l4xkit_expect_nothing(k);
	assert_int_equal(l4xkit_counter(k, L4X_DROP_DHCP_BAD), 0);
}

static void
gives_the_client_identifier_back(void **state)
{
	static const uint8_t id[] = { 61, 4, 0xff, 1, 2, 3 };
	struct dhcp_request r = request(DHCP_DISCOVER);

	r.extra = id;
	r.extra_len = sizeof(id);
	expect_reply(*state, &r, DHCP_OFFER, "10.0.2.15");
	assert_int_equal(reply.opt_len[61], 4);
	assert_memory_equal(reply.opt[61], id + 2, 4);
}

static void
commits_rapidly_when_asked_to(void **state)
{
	static const uint8_t rapid[] = { 80, 0 };
	struct dhcp_request r = request(DHCP_DISCOVER);
	struct l4xkit *k = *state;

	r.n_params = 0;
	r.extra = rapid;
	r.extra_len = sizeof(rapid);
	l4xkit_rx(k, frame, wrap(dhcp_build(msg, &r)));
	l4xkit_expect_frame(k);
	/* Type, server, rapid commit: in this order. */
	assert_memory_equal(k->view.data + 240, "\x35\x01\x05\x36\x04\x0a\x00\x02\x02\x50\x00", 11);
}

static void
tells_the_full_name_to_a_client_that_shows_one(void **state)
{
	static const uint8_t fqdn[] = { 81, 4, 4, 0, 0, 0 };
	static const uint8_t want[] = "\x0c\xff\xff\x05guest\x07"
				      "example\x03org";
	struct dhcp_request r = request(DHCP_DISCOVER);

	r.extra = fqdn;
	r.extra_len = sizeof(fqdn);
	expect_reply(*state, &r, DHCP_OFFER, "10.0.2.15");
	assert_non_null(reply.opt[DHCP_OPT_FQDN]);
	assert_int_equal(reply.opt_len[DHCP_OPT_FQDN], sizeof(want));
	assert_memory_equal(reply.opt[DHCP_OPT_FQDN], want, sizeof(want));
}

static void
routes_to_a_gateway_outside_of_the_subnet(void **state)
{
	static const uint8_t routes[] = { 32, 10, 0, 2, 2, 0, 0, 0, 0, 0, 10, 0, 2, 2 };
	struct dhcp_request r = request(DHCP_DISCOVER);
	struct l4xkit *k = *state;

	k->conf.prefix_len = 32;
	assert_int_equal(l4x_port_set(k->l, &k->conf), 0);
	expect_reply(k, &r, DHCP_OFFER, "10.0.2.15");
	assert_int_equal(reply.opt_len[121], sizeof(routes));
	assert_memory_equal(reply.opt[121], routes, sizeof(routes));
}

static void
keeps_to_the_size_that_the_client_takes(void **state)
{
	static const uint8_t size[] = { 57, 2, 5, 0xdc };
	struct dhcp_request r = request(DHCP_DISCOVER);
	struct l4xkit *k = *state;

	memset(k->conf.search, 0, sizeof(k->conf.search));
	for (unsigned int i = 0; i < 200; i++)
		k->conf.search[i] = i % 20 == 19 ? ' ' : 'a' + (char)(i / 20);
	assert_int_equal(l4x_port_set(k->l, &k->conf), 0);
	memset(k->conf.hostname, 'h', 63);
	assert_int_equal(l4x_port_set(k->l, &k->conf), 0);
	expect_reply(k, &r, DHCP_OFFER, "10.0.2.15");
	assert_true(k->view.l3_len <= 576);
	assert_null(reply.opt[DHCP_OPT_SEARCH]);
	r.extra = size;
	r.extra_len = sizeof(size);
	expect_reply(k, &r, DHCP_OFFER, "10.0.2.15");
	assert_true(k->view.l3_len > 576);
	assert_non_null(reply.opt[DHCP_OPT_SEARCH]);
}

static void
leaves_nothing_essential_out_for_want_of_room(void **state)
{
	/* Less than every client takes; an identifier as long as can be. */
	uint8_t extra[4 + 257] = { 57, 2, 0, 100, 61, 255 };
	struct dhcp_request r = request(DHCP_DISCOVER);
	struct l4xkit *k = *state;

	memset(k->conf.search, 0, sizeof(k->conf.search));
	memset(k->conf.search, 's', 60);
	memset(k->conf.hostname, 'h', 63);
	k->conf.ipv6 = false;
	r.extra = extra;
	for (unsigned int i = 0; i < 3; i++) {
		r.extra_len = i == 0 ? 4 : sizeof(extra);
		k->conf.mtu = i == 2 ? 68 : 1500;
		assert_int_equal(l4x_port_set(k->l, &k->conf), 0);
		expect_reply(k, &r, DHCP_OFFER, "10.0.2.15");
		assert_true(k->view.l3_len <= 576);
		assert_opt_addr(DHCP_OPT_MASK, "255.255.255.0");
		assert_opt_addr(DHCP_OPT_ROUTER, "10.0.2.2");
		assert_opt_addr(DHCP_OPT_DNS, "10.0.2.2");
		assert_int_equal(reply.opt_len[121], 5);
		assert_int_equal(dhcp_opt_u32(&reply, DHCP_OPT_LEASE), 3600);
	}
}

static void
tells_a_long_search_list_in_several_options(void **state)
{
	struct dhcp_request r = request(DHCP_DISCOVER);
	uint8_t whole[512], pieces = 0;
	struct l4xkit *k = *state;
	const uint8_t *o;
	uint32_t n = 0;

	for (unsigned int i = 0; i < 255; i++)
		k->conf.search[i] = i % 2 == 0 ? 'x' : ' ';
	k->conf.search[255] = 0;
	assert_int_equal(l4x_port_set(k->l, &k->conf), 0);
	r.extra = (const uint8_t[]){ 57, 2, 5, 0xdc };
	r.extra_len = 4;
	l4xkit_rx(k, frame, wrap(dhcp_build(msg, &r)));
	l4xkit_expect_frame(k);
	for (o = k->view.data + 240; *o != 255; o += 2 + o[1]) {
		if (*o != DHCP_OPT_SEARCH)
			continue;
		memcpy(whole + n, o + 2, o[1]);
		n += o[1];
		pieces++;
	}
	/* RFC 3396: one value, in pieces, the first of them full. */
	assert_int_equal(pieces, 2);
	assert_int_equal(n, 128 * 3);
	for (unsigned int i = 0; i < n; i += 3)
		assert_memory_equal(whole + i, "\1x", 3);
}

static void
answers_bootp_in_its_own_form(void **state)
{
	static const uint8_t options[] = { 1, 4, 255, 255, 255, 0, 3, 4, 10, 0, 2, 2, 6, 4, 10, 0,
		2, 2, 255 };
	struct dhcp_request r = request(0);
	struct l4xkit *k = *state;

	r.n_params = 0;
	/* With the cookie of RFC 1497, and with an empty vendor area (RFC 951). */
	for (unsigned int i = 0; i < 2; i++) {
		memset(msg, 0, 300);
		dhcp_build(msg, &r);
		if (i == 1)
			memset(msg + 236, 0, 5);
		l4xkit_rx(k, frame, wrap(300));
		l4xkit_expect_frame(k);
		assert_string_equal(pkt_addr_text(&k->view.dst), "10.0.2.15");
		assert_int_equal(k->view.data_len, 300);
		assert_int_equal(k->view.data[0], 2);
		assert_memory_equal(k->view.data + 4, msg + 4, 4);
		assert_memory_equal(k->view.data + 16, "\x0a\x00\x02\x0f", 4);
		assert_memory_equal(k->view.data + 28, l4xkit_guest_mac, 6);
		assert_memory_equal(k->view.data + 240, options, sizeof(options));
		l4xkit_expect_nothing(k);
	}
	/* One that has an address, and wants the rest. */
	r.ciaddr = pkt_addr("10.0.2.15");
	memset(msg, 0, 300);
	dhcp_build(msg, &r);
	l4xkit_rx(k, frame, wrap(300));
	l4xkit_expect_frame(k);
	assert_memory_equal(k->view.data + 12, "\x0a\x00\x02\x0f\0\0\0\0", 8);
}

static void
reads_options_from_the_fields_they_overflow_into(void **state)
{
	static const uint8_t overload[] = { 52, 1, 3 };
	struct dhcp_request r = request(0);
	struct l4xkit *k = *state;
	size_t len;

	r.extra = overload;
	r.extra_len = sizeof(overload);
	len = dhcp_build(msg, &r);
	memcpy(msg + 108, "\x35\x01\x03\xff", 4);            /* file: REQUEST */
	memcpy(msg + 44, "\x32\x04\x0a\x00\x02\x0f\xff", 7); /* sname: requested address */
	l4xkit_rx(k, frame, wrap(len));
	l4xkit_expect_frame(k);
	assert_null(dhcp_parse(k->view.data, k->view.data_len, &reply));
	assert_int_equal(reply.type, DHCP_ACK);
	/* An option that runs out of its field. */
	memcpy(msg + 108 + 126, "\x0c\x05", 2);
	memset(msg + 108 + 3, 0, 123);
	len = wrap(len);
	l4xkit_expect_drop(k, frame, len, L4X_DROP_DHCP_BAD);
}

static void
drops_nonsense(void **state)
{
	struct dhcp_request r = request(DHCP_DISCOVER);
	struct l4xkit *k = *state;
	size_t len;

	r.bad_magic = true;
	expect_drop(k, &r, L4X_DROP_DHCP_BAD);
	r = request(0);
	expect_drop(k, &r, L4X_DROP_DHCP_BAD);
	r.extra = (const uint8_t[]){ 53, 1, 0 };
	r.extra_len = 3;
	expect_drop(k, &r, L4X_DROP_DHCP_BAD);
	r = request(DHCP_OFFER);
	expect_drop(k, &r, L4X_DROP_DHCP_BAD);
	r = request(99);
	expect_drop(k, &r, L4X_DROP_DHCP_BAD);
	/* A request for nothing, an INFORM from nowhere. */
	r = request(DHCP_REQUEST);
	expect_drop(k, &r, L4X_DROP_DHCP_BAD);
	r = request(DHCP_INFORM);
	expect_drop(k, &r, L4X_DROP_DHCP_BAD);
	r = request(DHCP_DISCOVER);
	for (unsigned int at = 0; at < 3; at++) {
		len = dhcp_build(msg, &r);
		msg[at] += 7;
		len = wrap(len);
		l4xkit_expect_drop(k, frame, len, L4X_DROP_DHCP_BAD);
	}
	/* Relayed: there is no relay on this link. */
	len = dhcp_build(msg, &r);
	msg[24] = 10;
	len = wrap(len);
	l4xkit_expect_drop(k, frame, len, L4X_DROP_DHCP_BAD);
	l4xkit_expect_nothing(k);
}

static void
drops_options_of_wrong_length(void **state)
{
	static const uint8_t bad[][6] = { { 53, 2, 1, 1 }, { 54, 3, 1, 1, 1 }, { 50, 1, 1 },
		{ 57, 1, 1 }, { 52, 0 }, { 12, 200, 'x' } };
	struct dhcp_request r = request(DHCP_DISCOVER);

	for (unsigned int i = 0; i < RTE_DIM(bad); i++) {
		r.extra = bad[i];
		r.extra_len = i == 5 ? 3 : 2u + bad[i][1];
		expect_drop(*state, &r, L4X_DROP_DHCP_BAD);
	}
}

static void
survives_messages_cut_at_every_byte(void **state)
{
	struct dhcp_request r = request(DHCP_DISCOVER);
	struct l4xkit *k = *state;
	size_t len = dhcp_build(msg, &r);

	for (size_t cut = 0; cut < 240; cut++) {
		size_t n = wrap(cut);

		l4xkit_expect_drop(k, frame, n, L4X_DROP_DHCP_BAD);
	}
	for (size_t cut = 240; cut < len; cut++)
		l4xkit_rx(k, frame, wrap(cut));
	l4xkit_discard(k);
}

static void
takes_a_message_that_lies_in_many_segments(void **state)
{
	struct dhcp_request r = request(DHCP_DISCOVER);
	struct l4xkit *k = *state;
	size_t len = wrap(dhcp_build(msg, &r));

	l4xkit_push_mbuf(k, l4xkit_mbuf(k, frame, (uint32_t)len, 50, 3));
	l4xkit_flush(k);
	l4xkit_expect_frame(k);
	assert_null(dhcp_parse(k->view.data, k->view.data_len, &reply));
}

static void
survives_mutated_messages(void **state)
{
	struct dhcp_request r = request(DHCP_REQUEST);
	struct l4xkit *k = *state;
	unsigned int seed = 2131;

	k->unchecked = true;
	r.requested = pkt_addr("10.0.2.15");
	for (unsigned int i = 0; i < 20000; i++) {
		size_t len = dhcp_build(msg, &r);

		for (unsigned int n = 1 + (unsigned int)rand_r(&seed) % 6; n > 0; n--)
			msg[230 + (size_t)rand_r(&seed) % (len - 230)] = (uint8_t)rand_r(&seed);
		msg[236] = 0x63;
		l4xkit_rx(k, frame, wrap(len));
		l4xkit_discard(k);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(offers_address_route_resolver_search_mtu_and_name),
		T(answers_only_what_was_asked_for),
		T(gives_the_essentials_to_a_client_that_names_nothing),
		T(answers_by_broadcast_when_asked_to),
		T(acknowledges_in_selecting_and_reboot),
		T(acknowledges_renewal_by_unicast_and_rebinding_by_broadcast),
		T(refuses_other_addresses_with_nak),
		T(leaves_requests_to_other_servers_alone),
		T(informs_without_a_lease),
		T(takes_release_and_decline_in_silence),
		T(gives_the_client_identifier_back),
		T(commits_rapidly_when_asked_to),
		T(tells_the_full_name_to_a_client_that_shows_one),
		T(routes_to_a_gateway_outside_of_the_subnet),
		T(keeps_to_the_size_that_the_client_takes),
		T(reads_options_from_the_fields_they_overflow_into),
		T(leaves_nothing_essential_out_for_want_of_room),
		T(tells_a_long_search_list_in_several_options),
		T(answers_bootp_in_its_own_form),
		T(drops_nonsense),
		T(drops_options_of_wrong_length),
		T(survives_messages_cut_at_every_byte),
		T(takes_a_message_that_lies_in_many_segments),
		T(survives_mutated_messages),
	};

	l4xkit_eal("l4x_dhcp");
	return cmocka_run_group_tests_name("l4x_dhcp", tests, NULL, NULL);
}
