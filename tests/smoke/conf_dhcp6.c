/* SPDX-License-Identifier: BSD-3-Clause */
/* DHCPv6 as a guest sees it (RFC 8415). */
#include "smoke.h"

#define IAID 0x00c0ffee

static const uint8_t duid[] = { 0, 3, 0, 1, 0x52, 0x54, 0, 0x12, 0x34, 0x56 };
static const uint16_t oro_dns[] = { DHCP6_OPT_DNS, DHCP6_OPT_SEARCH };
static uint32_t xid = 0x100;
static uint8_t server_id[130];
static size_t server_id_len;

static struct dhcp6_request
message(uint8_t type)
{
	struct dhcp6_request r = { .type = type,
		.xid = ++xid,
		.client_id = duid,
		.client_id_len = sizeof(duid),
		.iaid = IAID,
		.oro = oro_dns,
		.n_oro = 2 };

	return r;
}

static struct guest_frame *
answered(const struct dhcp6_request *r, uint8_t type, struct dhcp6_reply *p)
{
	struct guest_frame *f;

	guest_dhcp6_send(smoke.g, r);
	f = guest_dhcp6_wait(smoke.g, p, SOON);
	if (f == NULL)
		fail_msg("no answer");
	assert_int_equal(p->type, type);
	assert_int_equal(p->xid, r->xid);
	return f;
}

static bool
is_dhcp6(const struct pkt_view *v, void *arg)
{
	return v->proto == IPPROTO_UDP && v->dport == 546;
}

static void
silent(const struct dhcp6_request *r)
{
	guest_dhcp6_send(smoke.g, r);
	assert_true(guest_never(smoke.g, is_dhcp6, NULL, NEVER));
}

/* The server's identity, from an advertisement. */
static struct dhcp6_request
to_server(uint8_t type)
{
	struct dhcp6_request r = message(DHCP6_SOLICIT);
	struct dhcp6_reply p;
	struct guest_frame *f;

	if (server_id_len == 0) {
		f = answered(&r, DHCP6_ADVERTISE, &p);
		assert_in_range(p.server_id_len, 3, sizeof(server_id));
		memcpy(server_id, p.server_id, p.server_id_len);
		server_id_len = p.server_id_len;
		free(f);
	}
	r = message(type);
	r.server_id = server_id;
	r.server_id_len = server_id_len;
	r.addr = pkt_addr("fd00:2::15");
	return r;
}

static void
assert_lease(const struct dhcp6_reply *p)
{
	assert_true(p->has_ia);
	assert_int_equal(p->iaid, IAID);
	assert_string_equal(pkt_addr_text(&p->addr), "fd00:2::15");
	assert_true(p->valid > 0);
	assert_true(p->ia_status <= 0 && p->addr_status <= 0);
}

static void
solicit_is_answered_with_an_advertisement(void **state)
{
	struct dhcp6_request r = message(DHCP6_SOLICIT);
	struct dhcp6_reply p;
	struct guest_frame *f = answered(&r, DHCP6_ADVERTISE, &p);

	assert_lease(&p);
	assert_int_equal(p.client_id_len, sizeof(duid));
	assert_memory_equal(p.client_id, duid, sizeof(duid));
	assert_non_null(p.server_id);
	assert_true(pkt_addr_eq(&f->view.dst, &smoke.g->ll6));
	assert_int_equal(f->view.src.b[0], 0xfe);
	free(f);
}

static void
request_is_answered_with_the_address(void **state)
{
	struct dhcp6_request r = to_server(DHCP6_REQUEST);
	struct dhcp6_reply p;

	free(answered(&r, DHCP6_REPLY, &p));
	assert_lease(&p);
}

static void
request_without_hint_is_answered_with_the_address(void **state)
{
	struct dhcp6_request r = to_server(DHCP6_REQUEST);
	struct dhcp6_reply p;

	r.addr.len = 0;
	free(answered(&r, DHCP6_REPLY, &p));
	assert_lease(&p);
}

static void
rapid_commit_is_answered_at_once(void **state)
{
	struct dhcp6_request r = message(DHCP6_SOLICIT);
	struct dhcp6_reply p;

	r.rapid = true;
	free(answered(&r, DHCP6_REPLY, &p));
	assert_true(p.rapid);
	assert_lease(&p);
}

static void
renew_is_answered_with_the_address(void **state)
{
	struct dhcp6_request r = to_server(DHCP6_RENEW);
	struct dhcp6_reply p;

	free(answered(&r, DHCP6_REPLY, &p));
	assert_lease(&p);
}

static void
rebind_is_answered_with_the_address(void **state)
{
	struct dhcp6_request r = to_server(DHCP6_REBIND);
	struct dhcp6_reply p;

	r.server_id_len = 0;
	free(answered(&r, DHCP6_REPLY, &p));
	assert_lease(&p);
}

static void
renew_of_a_foreign_address_does_not_extend_it(void **state)
{
	struct dhcp6_request r = to_server(DHCP6_RENEW);
	struct dhcp6_reply p;
	struct guest_frame *f;

	r.addr = pkt_addr("2001:db8::77");
	f = answered(&r, DHCP6_REPLY, &p);
	if (pkt_addr_eq(&p.addr, &r.addr))
		assert_int_equal(p.valid, 0);
	free(f);
}

static void
confirm_of_the_right_address_succeeds(void **state)
{
	struct dhcp6_request r = to_server(DHCP6_CONFIRM);
	struct dhcp6_reply p;

	r.server_id_len = 0;
	free(answered(&r, DHCP6_REPLY, &p));
	assert_true(p.has_status);
	assert_int_equal(p.status, 0);
}

static void
confirm_of_a_foreign_address_says_not_on_link(void **state)
{
	struct dhcp6_request r = to_server(DHCP6_CONFIRM);
	struct dhcp6_reply p;

	r.server_id_len = 0;
	r.addr = pkt_addr("2001:db8::77");
	free(answered(&r, DHCP6_REPLY, &p));
	assert_true(p.has_status);
	assert_int_equal(p.status, 4);
}

static void
confirm_without_address_is_ignored(void **state)
{
	struct dhcp6_request r = to_server(DHCP6_CONFIRM);

	r.server_id_len = 0;
	r.addr.len = 0;
	silent(&r);
}

static void
release_is_answered_with_success(void **state)
{
	struct dhcp6_request r = to_server(DHCP6_RELEASE);
	struct dhcp6_reply p;

	free(answered(&r, DHCP6_REPLY, &p));
	assert_true(p.has_status);
	assert_int_equal(p.status, 0);
}

static void
release_of_a_foreign_address_says_no_binding(void **state)
{
	struct dhcp6_request r = to_server(DHCP6_RELEASE);
	struct dhcp6_reply p;

	r.addr = pkt_addr("2001:db8::77");
	free(answered(&r, DHCP6_REPLY, &p));
	assert_true(p.has_status);
	assert_int_equal(p.status, 0);
	assert_true(p.has_ia);
	assert_int_equal(p.ia_status, 3);
}

static void
decline_is_answered(void **state)
{
	struct dhcp6_request r = to_server(DHCP6_DECLINE);
	struct dhcp6_reply p;

	free(answered(&r, DHCP6_REPLY, &p));
}

static void
information_request_is_answered_without_address(void **state)
{
	struct dhcp6_request r = message(DHCP6_INFORM);
	struct dhcp6_reply p;

	r.iaid = 0;
	free(answered(&r, DHCP6_REPLY, &p));
	assert_false(p.has_ia);
	assert_int_equal(p.n_dns, 1);
}

static void
resolvers_and_search_list_are_told(void **state)
{
	struct dhcp6_request r = message(DHCP6_SOLICIT);
	struct dhcp6_reply p;
	struct guest_frame *f = answered(&r, DHCP6_ADVERTISE, &p);
	char text[128];

	assert_int_equal(p.n_dns, 1);
	assert_string_equal(pkt_addr_text(&p.dns[0]), "2001:db8::53");
	assert_non_null(p.search);
	assert_true(dhcp_search_text(p.search, p.search_len, text, sizeof(text)));
	assert_string_equal(text, "lab.example");
	free(f);
}

static void
options_that_were_not_asked_for_are_left_out(void **state)
{
	struct dhcp6_request r = message(DHCP6_SOLICIT);
	struct dhcp6_reply p;

	r.n_oro = 0;
	free(answered(&r, DHCP6_ADVERTISE, &p));
	assert_int_equal(p.n_dns, 0);
	assert_null(p.search);
}

static void
request_to_another_server_is_ignored(void **state)
{
	static const uint8_t other[] = { 0, 3, 0, 1, 1, 2, 3, 4, 5, 6 };
	static const uint8_t types[] = { DHCP6_REQUEST, DHCP6_RENEW, DHCP6_RELEASE, DHCP6_DECLINE };

	for (unsigned int i = 0; i < sizeof(types); i++) {
		struct dhcp6_request r = to_server(types[i]);

		r.server_id = other;
		r.server_id_len = sizeof(other);
		silent(&r);
	}
}

static void
request_without_server_is_ignored(void **state)
{
	struct dhcp6_request r = to_server(DHCP6_REQUEST);

	r.server_id_len = 0;
	silent(&r);
}

static void
solicit_with_server_is_ignored(void **state)
{
	struct dhcp6_request r = to_server(DHCP6_SOLICIT);

	silent(&r);
}

static void
solicit_without_client_is_ignored(void **state)
{
	struct dhcp6_request r = message(DHCP6_SOLICIT);

	r.client_id_len = 0;
	silent(&r);
}

static void
server_and_relay_messages_are_ignored(void **state)
{
	static const uint8_t types[] = { 0, DHCP6_ADVERTISE, DHCP6_REPLY, DHCP6_RECONFIGURE, 12, 13,
		200 };

	for (unsigned int i = 0; i < sizeof(types); i++) {
		struct dhcp6_request r = message(types[i]);

		silent(&r);
	}
}

/* A SOLICIT, cut or spoiled. */
static void
sent_raw(const uint8_t *msg, size_t len)
{
	struct pkt_ip ip = { .src = smoke.g->ll6, .dst = pkt_addr("ff02::1:2") };
	static const uint8_t group[6] = { 0x33, 0x33, 0, 1, 0, 2 };
	uint8_t f[1200];

	memcpy(ip.src_mac, smoke.g->mac, 6);
	memcpy(ip.dst_mac, group, 6);
	guest_send(smoke.g, f, pkt_build_udp(f, &ip, 546, 547, msg, len));
}

static void
message_cut_at_any_byte_does_no_harm(void **state)
{
	struct dhcp6_request r = message(DHCP6_SOLICIT);
	struct dhcp6_reply p;
	uint8_t msg[1024];
	size_t len = dhcp6_build(msg, &r);

	for (size_t cut = 0; cut < len; cut++)
		sent_raw(msg, cut);
	host_idle(smoke.g, NEVER);
	guest_flush(smoke.g); /* cut between two options it is whole */
	r = message(DHCP6_SOLICIT);
	free(answered(&r, DHCP6_ADVERTISE, &p));
	assert_lease(&p);
}

static void
option_that_runs_over_the_end_is_ignored(void **state)
{
	struct dhcp6_request r = message(DHCP6_SOLICIT);
	uint8_t msg[1024];
	size_t len = dhcp6_build(msg, &r);

	pkt_put16(msg + 6, 0xffff);
	sent_raw(msg, len);
	assert_true(guest_never(smoke.g, is_dhcp6, NULL, NEVER));
}

static void
longest_client_id_is_returned(void **state)
{
	struct dhcp6_request r = message(DHCP6_SOLICIT);
	uint8_t id[130] = { 0, 4, 9 };
	struct dhcp6_reply p;
	struct guest_frame *f;

	r.client_id = id;
	r.client_id_len = sizeof(id);
	f = answered(&r, DHCP6_ADVERTISE, &p);
	assert_int_equal(p.client_id_len, sizeof(id));
	assert_memory_equal(p.client_id, id, sizeof(id));
	free(f);
}

static int
up(void **state)
{
	static const char *const args[] = { "--vm",
		"a,socket=%d/a.sock,loopback=gateway,dns=2001:db8::53,search=lab.example", NULL };

	return smoke_up(args);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		SMOKE(solicit_is_answered_with_an_advertisement),
		SMOKE(request_is_answered_with_the_address),
		SMOKE(request_without_hint_is_answered_with_the_address),
		SMOKE(rapid_commit_is_answered_at_once),
		SMOKE(renew_is_answered_with_the_address),
		SMOKE(rebind_is_answered_with_the_address),
		SMOKE(renew_of_a_foreign_address_does_not_extend_it),
		SMOKE(confirm_of_the_right_address_succeeds),
		SMOKE(confirm_of_a_foreign_address_says_not_on_link),
		SMOKE(confirm_without_address_is_ignored),
		SMOKE(release_is_answered_with_success),
		SMOKE(release_of_a_foreign_address_says_no_binding),
		SMOKE(decline_is_answered),
		SMOKE(information_request_is_answered_without_address),
		SMOKE(resolvers_and_search_list_are_told),
		SMOKE(options_that_were_not_asked_for_are_left_out),
		SMOKE(request_to_another_server_is_ignored),
		SMOKE(request_without_server_is_ignored),
		SMOKE(solicit_with_server_is_ignored),
		SMOKE(solicit_without_client_is_ignored),
		SMOKE(server_and_relay_messages_are_ignored),
		SMOKE(message_cut_at_any_byte_does_no_harm),
		SMOKE(option_that_runs_over_the_end_is_ignored),
		SMOKE(longest_client_id_is_returned),
	};

	return cmocka_run_group_tests_name("conf_dhcp6", tests, up, smoke_down);
}
