/* SPDX-License-Identifier: BSD-3-Clause */
/* DHCPv6: every message of RFC 8415 that a client sends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "dhcp.h"
#include "l4xkit.h"

#define GUEST_LL "fe80::5054:ff:fe12:3456"
#define GATEWAY_LL "fe80::57:45ff:fe49:5201"

static uint8_t frame[PKT_MAX], msg[1500];
static struct dhcp6_reply reply;
static const uint8_t duid[] = { 0, 3, 0, 1, 0x52, 0x54, 0, 0x12, 0x34, 0x56 };
static const uint8_t server_duid[] = { 0, 3, 0, 1, 0x02, 0x57, 0x45, 0x49, 0x52, 0x01 };
static const uint16_t oro[] = { 23, 24 };

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

static struct dhcp6_request
request(uint8_t type)
{
	struct dhcp6_request r = { .type = type,
		.xid = 0xabcdef,
		.client_id = duid,
		.client_id_len = sizeof(duid),
		.oro = oro,
		.n_oro = 2 };

	if (type != DHCP6_INFORM)
		r.iaid = 7;
	if (type == DHCP6_REQUEST || type == DHCP6_RENEW || type == DHCP6_RELEASE ||
		type == DHCP6_DECLINE) {
		r.server_id = server_duid;
		r.server_id_len = sizeof(server_duid);
	}
	return r;
}

static size_t
wrap_to(const char *dst, size_t len)
{
	struct pkt_ip ip = l4xkit_ip(dst);

	ip.src = pkt_addr(GUEST_LL);
	return pkt_build_udp(frame, &ip, 546, 547, msg, len);
}

static size_t
wrap(size_t len)
{
	return wrap_to("ff02::1:2", len);
}

static void
take_reply(struct l4xkit *k, uint8_t type)
{
	struct pkt_addr dst = pkt_addr(GUEST_LL), src = pkt_addr(GATEWAY_LL);
	const char *wrong;

	l4xkit_expect_frame(k);
	assert_int_equal(k->view.sport, 547);
	assert_int_equal(k->view.dport, 546);
	assert_true(pkt_addr_eq(&k->view.src, &src));
	assert_true(pkt_addr_eq(&k->view.dst, &dst));
	wrong = dhcp6_parse(k->view.data, k->view.data_len, &reply);
	if (wrong != NULL)
		fail_msg("%s", wrong);
	assert_int_equal(reply.type, type);
	assert_int_equal(reply.xid, 0xabcdef);
	assert_int_equal(reply.server_id_len, sizeof(server_duid));
	assert_memory_equal(reply.server_id, server_duid, sizeof(server_duid));
	l4xkit_expect_nothing(k);
}

static void
expect_reply(struct l4xkit *k, const struct dhcp6_request *r, uint8_t type)
{
	l4xkit_rx(k, frame, wrap(dhcp6_build(msg, r)));
	take_reply(k, type);
}

static void
expect_drop(struct l4xkit *k, const struct dhcp6_request *r, enum l4x_counter why)
{
	size_t len = wrap(dhcp6_build(msg, r));

	l4xkit_expect_drop(k, frame, len, why);
	l4xkit_expect_nothing(k);
}

static void
assert_lease(void)
{
	assert_true(reply.has_ia);
	assert_int_equal(reply.iaid, 7);
	assert_string_equal(pkt_addr_text(&reply.addr), "fd00:2::15");
	assert_int_equal(reply.t1, 1800);
	assert_int_equal(reply.t2, 2880);
	assert_int_equal(reply.valid, 3600);
	assert_int_equal(reply.preferred, 3600);
	assert_int_equal(reply.client_id_len, sizeof(duid));
	assert_memory_equal(reply.client_id, duid, sizeof(duid));
}

static void
advertises_address_resolver_and_search_list(void **state)
{
	struct dhcp6_request r = request(DHCP6_SOLICIT);
	char text[256];

	expect_reply(*state, &r, DHCP6_ADVERTISE);
	assert_lease();
	assert_int_equal(reply.n_dns, 1);
	assert_string_equal(pkt_addr_text(&reply.dns[0]), "fd00:2::2");
	assert_true(dhcp_search_text(reply.search, reply.search_len, text, sizeof(text)));
	assert_string_equal(text, "example.org lab.example.org");
	assert_false(reply.rapid);
}

static void
sends_only_options_that_were_asked_for(void **state)
{
	struct dhcp6_request r = request(DHCP6_SOLICIT);

	r.n_oro = 0;
	expect_reply(*state, &r, DHCP6_ADVERTISE);
	assert_lease();
	assert_int_equal(reply.n_dns, 0);
	assert_null(reply.search);
	assert_null(reply.fqdn);
}

static void
replies_at_once_to_rapid_commit(void **state)
{
	struct dhcp6_request r = request(DHCP6_SOLICIT);

	r.rapid = true;
	expect_reply(*state, &r, DHCP6_REPLY);
	assert_lease();
	assert_true(reply.rapid);
}

static void
assigns_on_request_renew_and_rebind(void **state)
{
	static const uint8_t types[] = { DHCP6_REQUEST, DHCP6_RENEW, DHCP6_REBIND };

	for (unsigned int i = 0; i < sizeof(types); i++) {
		struct dhcp6_request r = request(types[i]);

		r.addr = pkt_addr("fd00:2::15");
		expect_reply(*state, &r, DHCP6_REPLY);
		assert_lease();
	}
}

/** Append an option to msg. @return the new length */
static size_t
append(size_t len, uint16_t code, const void *v, size_t n)
{
	pkt_put16(msg + len, code);
	pkt_put16(msg + len + 2, (uint16_t)n);
	memcpy(msg + len + 4, v, n);
	return len + 4 + n;
}

/** Find bytes in the reply. */
static bool
contains(const struct l4xkit *k, const void *what, size_t n)
{
	for (size_t i = 0; i + n <= k->view.data_len; i++) {
		if (memcmp(k->view.data + i, what, n) == 0)
			return true;
	}
	return false;
}

static void
ends_foreign_addresses_on_renewal(void **state)
{
	struct dhcp6_request r = request(DHCP6_RENEW);
	struct pkt_addr other = pkt_addr("fd00:2::99");
	struct l4xkit *k = *state;
	uint8_t want[28] = { 0, 5, 0, 24 };

	r.addr = other;
	memcpy(want + 4, other.b, 16);
	l4xkit_rx(k, frame, wrap(dhcp6_build(msg, &r)));
	l4xkit_expect_frame(k);
	assert_true(contains(k, want, sizeof(want)));
}

static void
has_no_temporary_addresses_prefixes_or_second_addresses(void **state)
{
	struct dhcp6_request r = request(DHCP6_SOLICIT);
	struct l4xkit *k = *state;
	uint8_t ia[12] = { 0, 0, 0, 9 };
	size_t len = dhcp6_build(msg, &r);

	len = append(len, 4, ia, 4);
	len = append(len, 25, ia, 12);
	len = append(len, 3, ia, 12);
	l4xkit_rx(k, frame, wrap(len));
	l4xkit_expect_frame(k);
	assert_true(contains(k, "\0\4\0\x0a\0\0\0\x09\0\x0d\0\2\0\2", 14));
	assert_true(contains(k, "\0\x19\0\x12\0\0\0\x09\0\0\0\0\0\0\0\0\0\x0d\0\2\0\6", 22));
	assert_true(contains(k, "\0\3\0\x12\0\0\0\x09\0\0\0\0\0\0\0\0\0\x0d\0\2\0\2", 22));
}

static void
confirms_what_is_on_link(void **state)
{
	struct dhcp6_request r = request(DHCP6_CONFIRM);

	r.addr = pkt_addr("fd00:2::15");
	expect_reply(*state, &r, DHCP6_REPLY);
	assert_true(reply.has_status);
	assert_int_equal(reply.status, 0);
	r.addr = pkt_addr("2001:db8::15");
	expect_reply(*state, &r, DHCP6_REPLY);
	assert_int_equal(reply.status, 4);
	r.addr.len = 0;
	expect_drop(*state, &r, L4X_DROP_DHCP6_BAD);
}

static void
takes_release_and_decline(void **state)
{
	struct dhcp6_request r = request(DHCP6_RELEASE);

	r.addr = pkt_addr("fd00:2::15");
	expect_reply(*state, &r, DHCP6_REPLY);
	assert_int_equal(reply.status, 0);
	r.type = DHCP6_DECLINE;
	expect_reply(*state, &r, DHCP6_REPLY);
	assert_int_equal(reply.status, 0);
	assert_false(reply.has_ia);
}

static void
knows_no_binding_of_what_it_never_gave(void **state)
{
	static const uint8_t renewals[] = { DHCP6_RENEW, DHCP6_REBIND };
	static const uint8_t ends[] = { DHCP6_RELEASE, DHCP6_DECLINE };
	struct l4xkit *k = *state;
	uint8_t ia[12] = { 0, 0, 0, 9 };

	for (unsigned int i = 0; i < 2; i++) {
		struct dhcp6_request r = request(renewals[i]);
		size_t len;

		r.addr = pkt_addr("fd00:2::15");
		len = dhcp6_build(msg, &r);
		len = append(len, 4, ia, 4);
		len = append(len, 25, ia, 12);
		l4xkit_rx(k, frame, wrap(len));
		l4xkit_expect_frame(k);
		assert_true(contains(k, "\0\4\0\x0a\0\0\0\x09\0\x0d\0\2\0\3", 14));
		assert_true(
			contains(k, "\0\x19\0\x12\0\0\0\x09\0\0\0\0\0\0\0\0\0\x0d\0\2\0\3", 22));
	}
	for (unsigned int i = 0; i < 2; i++) {
		struct dhcp6_request r = request(ends[i]);

		r.addr = pkt_addr("fd00:2::99");
		expect_reply(k, &r, DHCP6_REPLY);
		assert_true(reply.has_status);
		assert_int_equal(reply.status, 0);
		assert_true(reply.has_ia);
		assert_int_equal(reply.iaid, 7);
		assert_int_equal(reply.ia_status, 3);
		assert_int_equal(reply.addr.len, 0);
	}
}

static void
informs_with_or_without_a_client_id(void **state)
{
	struct dhcp6_request r = request(DHCP6_INFORM);

	expect_reply(*state, &r, DHCP6_REPLY);
	assert_int_equal(reply.n_dns, 1);
	assert_false(reply.has_ia);
	r.client_id_len = 0;
	expect_reply(*state, &r, DHCP6_REPLY);
	assert_null(reply.client_id);
	r.iaid = 7;
	expect_drop(*state, &r, L4X_DROP_DHCP6_BAD);
}

static void
tells_who_is_informed_when_to_ask_again(void **state)
{
	static const uint16_t refresh[] = { 32 };
	struct dhcp6_request r = request(DHCP6_INFORM);
	struct l4xkit *k = *state;

	r.oro = refresh;
	r.n_oro = 1;
	l4xkit_rx(k, frame, wrap(dhcp6_build(msg, &r)));
	l4xkit_expect_frame(k);
	assert_true(contains(k, "\0\x20\0\4\0\1\x51\x80", 8));
}

static void
tells_the_full_name_when_asked(void **state)
{
	static const uint8_t want[] = "\0\x27\0\x14\4\5guest\7example\3org";
	static const uint16_t fqdn[] = { 39 };
	struct dhcp6_request r = request(DHCP6_SOLICIT);
	struct l4xkit *k = *state;

	r.oro = fqdn;
	r.n_oro = 1;
	l4xkit_rx(k, frame, wrap(dhcp6_build(msg, &r)));
	l4xkit_expect_frame(k);
	assert_true(contains(k, want, sizeof(want)));
}

static void
leaves_messages_for_other_servers_alone(void **state)
{
	static const uint8_t types[] = { DHCP6_REQUEST, DHCP6_RENEW, DHCP6_RELEASE, DHCP6_DECLINE };
	static const uint8_t other[] = { 0, 3, 0, 1, 2, 2, 2, 2, 2, 2 };

	for (unsigned int i = 0; i < sizeof(types); i++) {
		struct dhcp6_request r = request(types[i]);

		r.server_id = other;
		expect_drop(*state, &r, L4X_DROP_DHCP6_SERVER);
		r.server_id_len = 9;
		expect_drop(*state, &r, L4X_DROP_DHCP6_SERVER);
	}
}

static void
validates_identifiers_as_the_message_demands(void **state)
{
	struct dhcp6_request r = request(DHCP6_SOLICIT);

	r.client_id_len = 0;
	expect_drop(*state, &r, L4X_DROP_DHCP6_BAD);
	r = request(DHCP6_SOLICIT);
	r.server_id = server_duid;
	r.server_id_len = sizeof(server_duid);
	expect_drop(*state, &r, L4X_DROP_DHCP6_BAD);
	r = request(DHCP6_REQUEST);
	r.server_id_len = 0;
	expect_drop(*state, &r, L4X_DROP_DHCP6_BAD);
	r = request(DHCP6_REQUEST);
	r.client_id_len = 0;
	expect_drop(*state, &r, L4X_DROP_DHCP6_BAD);
	r = request(DHCP6_REPLY);
	expect_drop(*state, &r, L4X_DROP_DHCP6_BAD);
	r = request(12);
	expect_drop(*state, &r, L4X_DROP_DHCP6_BAD);
}

static void
asks_unicast_clients_to_use_multicast(void **state)
{
	struct dhcp6_request r = request(DHCP6_REQUEST);
	struct l4xkit *k = *state;
	size_t len;

	l4xkit_rx(k, frame, wrap_to("fd00:2::2", dhcp6_build(msg, &r)));
	take_reply(k, DHCP6_REPLY);
	assert_int_equal(reply.status, 5);
	r = request(DHCP6_SOLICIT);
	len = wrap_to(GATEWAY_LL, dhcp6_build(msg, &r));
	l4xkit_expect_drop(k, frame, len, L4X_DROP_DHCP6_BAD);
	l4xkit_expect_nothing(k);
}

static void
drops_malformed_options(void **state)
{
	struct dhcp6_request r = request(DHCP6_SOLICIT);
	struct l4xkit *k = *state;
	uint8_t v[200] = { 0 };
	size_t base, len;

	r.iaid = 0;
	base = dhcp6_build(msg, &r);
	len = wrap(append(base, 3, v, 11)); /* IA_NA cut short */
	l4xkit_expect_drop(k, frame, len, L4X_DROP_DHCP6_BAD);
	len = wrap(append(base, 4, v, 3)); /* IA_TA cut short */
	l4xkit_expect_drop(k, frame, len, L4X_DROP_DHCP6_BAD);
	memcpy(v + 12, "\0\5\0\x17", 4); /* an address one byte short */
	len = wrap(append(base, 3, v, 12 + 4 + 23));
	l4xkit_expect_drop(k, frame, len, L4X_DROP_DHCP6_BAD);
	memcpy(v + 12, "\0\5\0\x18", 4); /* an option longer than the IA */
	len = wrap(append(base, 3, v, 12 + 4 + 23));
	l4xkit_expect_drop(k, frame, len, L4X_DROP_DHCP6_BAD);
	len = wrap(append(base, 1, duid, sizeof(duid))); /* a second client id */
	l4xkit_expect_drop(k, frame, len, L4X_DROP_DHCP6_BAD);
	len = wrap(append(base, 14, v, 1)); /* rapid commit with a value */
	l4xkit_expect_drop(k, frame, len, L4X_DROP_DHCP6_BAD);
	len = wrap(append(base, 6, v, 3)); /* an odd option request */
	l4xkit_expect_drop(k, frame, len, L4X_DROP_DHCP6_BAD);
	r.client_id = v;
	r.client_id_len = 131;
	len = wrap(dhcp6_build(msg, &r));
	l4xkit_expect_drop(k, frame, len, L4X_DROP_DHCP6_BAD);
	l4xkit_expect_nothing(k);
}

static void
answers_a_bounded_number_of_associations(void **state)
{
	struct dhcp6_request r = request(DHCP6_SOLICIT);
	struct l4xkit *k = *state;
	uint8_t ia[12] = { 0 };
	size_t len;

	r.iaid = 0;
	len = dhcp6_build(msg, &r);
	for (unsigned int i = 0; i < 60; i++) {
		ia[3] = (uint8_t)i;
		len = append(len, 3, ia, sizeof(ia));
	}
	l4xkit_rx(k, frame, wrap(len));
	l4xkit_expect_frame(k);
	assert_true(k->view.l3_len <= 1280);
}

static void
survives_messages_cut_at_every_byte(void **state)
{
	struct dhcp6_request r = request(DHCP6_REQUEST);
	struct l4xkit *k = *state;
	size_t len;

	r.addr = pkt_addr("fd00:2::15");
	len = dhcp6_build(msg, &r);
	for (size_t cut = 0; cut < len; cut++) {
		size_t n = wrap(cut);

		l4xkit_rx(k, frame, n);
		if (cut < 4)
			l4xkit_expect_nothing(k);
	}
	l4xkit_discard(k);
}

static void
survives_mutated_messages(void **state)
{
	struct dhcp6_request r = request(DHCP6_RENEW);
	struct l4xkit *k = *state;
	unsigned int seed = 8415;

	k->unchecked = true;
	r.addr = pkt_addr("fd00:2::15");
	for (unsigned int i = 0; i < 20000; i++) {
		size_t len = dhcp6_build(msg, &r);

		for (unsigned int n = 1 + (unsigned int)rand_r(&seed) % 4; n > 0; n--)
			msg[(size_t)rand_r(&seed) % len] = (uint8_t)rand_r(&seed);
		l4xkit_rx(k, frame, wrap(len));
		l4xkit_discard(k);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(advertises_address_resolver_and_search_list),
		T(sends_only_options_that_were_asked_for),
		T(replies_at_once_to_rapid_commit),
		T(assigns_on_request_renew_and_rebind),
		T(ends_foreign_addresses_on_renewal),
		T(has_no_temporary_addresses_prefixes_or_second_addresses),
		T(confirms_what_is_on_link),
		T(takes_release_and_decline),
		T(knows_no_binding_of_what_it_never_gave),
		T(informs_with_or_without_a_client_id),
		T(tells_who_is_informed_when_to_ask_again),
		T(tells_the_full_name_when_asked),
		T(leaves_messages_for_other_servers_alone),
		T(validates_identifiers_as_the_message_demands),
		T(asks_unicast_clients_to_use_multicast),
		T(drops_malformed_options),
		T(answers_a_bounded_number_of_associations),
		T(survives_messages_cut_at_every_byte),
		T(survives_mutated_messages),
	};

	l4xkit_eal("l4x_dhcp6");
	return cmocka_run_group_tests_name("l4x_dhcp6", tests, NULL, NULL);
}
