/* SPDX-License-Identifier: BSD-3-Clause */
/* DHCP as a guest sees it (RFC 2131, RFC 2132). */
#include "smoke.h"

#define ANY "0.0.0.0"
#define BCAST "255.255.255.255"

static uint32_t xid = 0x5eed0000;

static const uint8_t ask[] = { DHCP_OPT_MASK, DHCP_OPT_ROUTER, DHCP_OPT_DNS, DHCP_OPT_HOSTNAME,
	DHCP_OPT_MTU, DHCP_OPT_SEARCH, DHCP_OPT_LEASE };

static struct dhcp_request
message(uint8_t type)
{
	struct dhcp_request r = {
		.type = type, .xid = ++xid, .params = ask, .n_params = sizeof(ask)
	};

	memcpy(r.mac, smoke.g->mac, 6);
	return r;
}

/* Sends it and takes the answer, which must be there and of the type. */
static struct guest_frame *
answered(const struct dhcp_request *r, const char *src, const char *dst, uint8_t type,
	struct dhcp_reply *reply)
{
	struct guest_frame *f;

	guest_dhcp_send(smoke.g, r, src, dst);
	f = guest_dhcp_wait(smoke.g, reply, SOON);
	if (f == NULL)
		fail_msg("no answer");
	assert_int_equal(reply->xid, r->xid);
	assert_int_equal(reply->type, type);
	return f;
}

static bool
is_dhcp(const struct pkt_view *v, void *arg)
{
	return v->proto == IPPROTO_UDP && v->dport == 68;
}

static void
silent(const struct dhcp_request *r, const char *src, const char *dst)
{
	guest_dhcp_send(smoke.g, r, src, dst);
	assert_true(guest_never(smoke.g, is_dhcp, NULL, NEVER));
}

static void
assert_addr(struct pkt_addr a, const char *text)
{
	assert_string_equal(pkt_addr_text(&a), text);
}

static void
bootp_client_gets_its_address(void **state)
{
	static const uint8_t mask[] = { 1, 4, 255, 255, 255, 0 }, pad[60];
	struct dhcp_request r = message(0);
	struct guest_frame *f;

	/* No message type, but 300 bytes: as boot loaders of old ask. */
	r.n_params = 0;
	r.extra = pad;
	r.extra_len = sizeof(pad);
	guest_dhcp_send(smoke.g, &r, ANY, BCAST);
	f = guest_wait(smoke.g, is_dhcp, NULL, SOON);
	assert_non_null(f);
	assert_true(pkt_addr_eq(&f->view.dst, &smoke.g->addr));
	assert_int_equal(f->view.data_len, 300);
	assert_int_equal(f->view.data[0], 2);
	assert_int_equal(pkt_get32(f->view.data + 4), r.xid);
	assert_memory_equal(f->view.data + 16, smoke.g->addr.b, 4);
	assert_memory_equal(f->view.data + 240, mask, sizeof(mask));
	free(f);
}

static void
discover_is_answered_with_an_offer(void **state)
{
	struct dhcp_request r = message(DHCP_DISCOVER);
	struct dhcp_reply p;
	struct guest_frame *f = answered(&r, ANY, BCAST, DHCP_OFFER, &p);

	assert_addr(p.yiaddr, "10.0.2.15");
	assert_addr(dhcp_opt_addr(&p, DHCP_OPT_SERVER, 0), GW);
	assert_addr(f->view.src, GW);
	free(f);
}

static void
offer_and_ack_tell_mask_router_dns_lease_mtu(void **state)
{
	struct guest_frame *f;
	struct dhcp_reply p;

	assert_int_equal(guest_dhcp(smoke.g, &p, &f), 0);
	assert_addr(p.yiaddr, "10.0.2.15");
	assert_addr(dhcp_opt_addr(&p, DHCP_OPT_MASK, 0), "255.255.255.0");
	assert_addr(dhcp_opt_addr(&p, DHCP_OPT_ROUTER, 0), GW);
	assert_addr(dhcp_opt_addr(&p, DHCP_OPT_DNS, 0), "192.0.2.53");
	assert_addr(dhcp_opt_addr(&p, DHCP_OPT_DNS, 1), "192.0.2.54");
	assert_int_equal(dhcp_opt_u32(&p, DHCP_OPT_LEASE), 3600);
	assert_int_equal(dhcp_opt_u16(&p, DHCP_OPT_MTU), 1400);
	free(f);
}

static void
host_name_is_told(void **state)
{
	struct dhcp_request r = message(DHCP_DISCOVER);
	struct dhcp_reply p;
	struct guest_frame *f = answered(&r, ANY, BCAST, DHCP_OFFER, &p);

	assert_non_null(p.opt[DHCP_OPT_HOSTNAME]);
	assert_int_equal(p.opt_len[DHCP_OPT_HOSTNAME], 4);
	assert_memory_equal(p.opt[DHCP_OPT_HOSTNAME], "frog", 4);
	free(f);
}

static void
search_list_is_told_in_wire_form(void **state)
{
	struct dhcp_request r = message(DHCP_DISCOVER);
	struct dhcp_reply p;
	struct guest_frame *f = answered(&r, ANY, BCAST, DHCP_OFFER, &p);
	char text[256];

	assert_non_null(p.opt[DHCP_OPT_SEARCH]);
	assert_true(dhcp_search_text(
		p.opt[DHCP_OPT_SEARCH], p.opt_len[DHCP_OPT_SEARCH], text, sizeof(text)));
	assert_string_equal(text, "lab.example example.org");
	free(f);
}

static void
options_that_were_not_asked_for_are_left_out(void **state)
{
	static const uint8_t one[] = { DHCP_OPT_MASK };
	struct dhcp_request r = message(DHCP_DISCOVER);
	struct guest_frame *f;
	struct dhcp_reply p;

	r.params = one;
	r.n_params = 1;
	f = answered(&r, ANY, BCAST, DHCP_OFFER, &p);
	assert_null(p.opt[DHCP_OPT_SEARCH]);
	assert_null(p.opt[DHCP_OPT_HOSTNAME]);
	assert_null(p.opt[DHCP_OPT_MTU]);
	assert_non_null(p.opt[DHCP_OPT_MASK]);
	assert_non_null(p.opt[DHCP_OPT_LEASE]);
	free(f);
}

static void
message_without_parameter_list_is_answered(void **state)
{
	struct dhcp_request r = message(DHCP_DISCOVER);
	struct dhcp_reply p;

	r.n_params = 0;
	free(answered(&r, ANY, BCAST, DHCP_OFFER, &p));
}

static void
broadcast_flag_is_honoured(void **state)
{
	struct dhcp_request r = message(DHCP_DISCOVER);
	struct guest_frame *f;
	struct dhcp_reply p;

	r.broadcast = true;
	f = answered(&r, ANY, BCAST, DHCP_OFFER, &p);
	assert_addr(f->view.dst, BCAST);
	assert_int_equal(f->view.dst_mac[0], 0xff);
	assert_true(p.broadcast);
	free(f);
}

static void
without_the_flag_the_answer_is_unicast(void **state)
{
	struct dhcp_request r = message(DHCP_DISCOVER);
	struct dhcp_reply p;
	struct guest_frame *f = answered(&r, ANY, BCAST, DHCP_OFFER, &p);

	assert_addr(f->view.dst, "10.0.2.15");
	assert_memory_equal(f->view.dst_mac, smoke.g->mac, 6);
	free(f);
}

static void
request_for_a_foreign_address_gets_a_nak(void **state)
{
	struct dhcp_request r = message(DHCP_REQUEST);
	struct guest_frame *f;
	struct dhcp_reply p;

	r.requested = pkt_addr("192.168.77.5");
	f = answered(&r, ANY, BCAST, DHCP_NAK, &p);
	assert_addr(p.yiaddr, ANY);
	assert_null(p.opt[DHCP_OPT_LEASE]);
	/* RFC 2131, 4.3.2: without relay a NAK is broadcast. */
	assert_addr(f->view.dst, BCAST);
	free(f);
}

static void
reboot_with_the_right_address_is_acknowledged(void **state)
{
	struct dhcp_request r = message(DHCP_REQUEST);
	struct dhcp_reply p;

	r.requested = pkt_addr("10.0.2.15");
	free(answered(&r, ANY, BCAST, DHCP_ACK, &p));
	assert_addr(p.yiaddr, "10.0.2.15");
}

static void
request_to_another_server_is_ignored(void **state)
{
	struct dhcp_request r = message(DHCP_REQUEST);

	r.requested = pkt_addr("10.0.2.15");
	r.server = pkt_addr("10.0.2.77");
	silent(&r, ANY, BCAST);
}

static void
renew_is_acknowledged_by_unicast(void **state)
{
	struct dhcp_request r = message(DHCP_REQUEST);
	struct guest_frame *f;
	struct dhcp_reply p;

	r.ciaddr = pkt_addr("10.0.2.15");
	f = answered(&r, "10.0.2.15", GW, DHCP_ACK, &p);
	assert_addr(f->view.dst, "10.0.2.15");
	assert_addr(p.ciaddr, "10.0.2.15");
	assert_addr(p.yiaddr, "10.0.2.15");
	free(f);
}

static void
rebind_is_acknowledged(void **state)
{
	struct dhcp_request r = message(DHCP_REQUEST);
	struct dhcp_reply p;

	r.ciaddr = pkt_addr("10.0.2.15");
	free(answered(&r, "10.0.2.15", BCAST, DHCP_ACK, &p));
}

static void
inform_is_acknowledged_without_lease(void **state)
{
	struct dhcp_request r = message(DHCP_INFORM);
	struct guest_frame *f;
	struct dhcp_reply p;

	r.ciaddr = pkt_addr("10.0.2.15");
	f = answered(&r, "10.0.2.15", BCAST, DHCP_ACK, &p);
	assert_addr(p.yiaddr, ANY);
	assert_null(p.opt[DHCP_OPT_LEASE]);
	assert_non_null(p.opt[DHCP_OPT_DNS]);
	free(f);
}

static void
release_is_not_answered(void **state)
{
	struct dhcp_request r = message(DHCP_RELEASE);

	r.ciaddr = pkt_addr("10.0.2.15");
	r.server = pkt_addr(GW);
	silent(&r, "10.0.2.15", GW);
}

static void
decline_is_not_answered(void **state)
{
	struct dhcp_request r = message(DHCP_DECLINE);

	r.requested = pkt_addr("10.0.2.15");
	r.server = pkt_addr(GW);
	silent(&r, ANY, BCAST);
}

static void
client_identifier_is_returned(void **state)
{
	static const uint8_t id[] = { DHCP_OPT_CLIENT_ID, 3, 0, 'm', 'e' };
	struct dhcp_request r = message(DHCP_DISCOVER);
	struct guest_frame *f;
	struct dhcp_reply p;

	r.extra = id;
	r.extra_len = sizeof(id);
	f = answered(&r, ANY, BCAST, DHCP_OFFER, &p);
	assert_non_null(p.opt[DHCP_OPT_CLIENT_ID]); /* RFC 6842 */
	assert_memory_equal(p.opt[DHCP_OPT_CLIENT_ID], id + 2, 3);
	free(f);
}

static void
rapid_commit_is_used_only_if_offered(void **state)
{
	struct dhcp_request r = message(DHCP_DISCOVER);
	struct dhcp_reply p;

	free(answered(&r, ANY, BCAST, DHCP_OFFER, &p));
	assert_null(p.opt[DHCP_OPT_RAPID]);
}

static void
wrong_magic_is_ignored(void **state)
{
	struct dhcp_request r = message(DHCP_DISCOVER);

	r.bad_magic = true;
	silent(&r, ANY, BCAST);
}

static void
short_message_without_type_is_ignored(void **state)
{
	struct dhcp_request r = message(0);

	silent(&r, ANY, BCAST);
}

static void
unknown_type_is_ignored(void **state)
{
	struct dhcp_request r = message(77);

	silent(&r, ANY, BCAST);
}

static void
server_messages_are_ignored(void **state)
{
	struct dhcp_request r = message(DHCP_OFFER);

	silent(&r, ANY, BCAST);
	r = message(DHCP_ACK);
	silent(&r, ANY, BCAST);
}

static void
option_that_runs_over_the_end_is_ignored(void **state)
{
	static const uint8_t bad[] = { 60, 200, 'x' };
	struct dhcp_request r = message(DHCP_DISCOVER);

	r.extra = bad;
	r.extra_len = sizeof(bad);
	r.no_end = true;
	silent(&r, ANY, BCAST);
}

/* The frame of a DISCOVER, to be spoiled at a byte of its DHCP part. */
static void
spoiled(size_t at, uint8_t value)
{
	struct pkt_ip ip = { .src = pkt_addr(ANY), .dst = pkt_addr(BCAST) };
	struct dhcp_request r = message(DHCP_DISCOVER);
	uint8_t msg[1024], f[1200];
	size_t len = dhcp_build(msg, &r);

	memcpy(ip.src_mac, smoke.g->mac, 6);
	memset(ip.dst_mac, 0xff, 6);
	msg[at] = value;
	guest_send(smoke.g, f, pkt_build_udp(f, &ip, 68, 67, msg, len));
	assert_true(guest_never(smoke.g, is_dhcp, NULL, NEVER));
}

static void
boot_reply_is_ignored(void **state)
{
	spoiled(0, 2);
}

static void
other_hardware_type_is_ignored(void **state)
{
	spoiled(1, 32);
}

static void
wrong_address_length_is_ignored(void **state)
{
	spoiled(2, 16);
}

static void
message_cut_short_is_ignored(void **state)
{
	struct pkt_ip ip = { .src = pkt_addr(ANY), .dst = pkt_addr(BCAST) };
	struct dhcp_request r = message(DHCP_DISCOVER);
	uint8_t msg[1024], f[1200];

	memcpy(ip.src_mac, smoke.g->mac, 6);
	memset(ip.dst_mac, 0xff, 6);
	dhcp_build(msg, &r);
	for (size_t len = 0; len <= 240; len += 40) {
		guest_send(smoke.g, f, pkt_build_udp(f, &ip, 68, 67, msg, len));
		assert_true(guest_never(smoke.g, is_dhcp, NULL, 40));
	}
}

static void
request_split_over_descriptors_is_answered(void **state)
{
	static const size_t split[] = { 12, 26, 46, 54, 100, 290 };
	struct vhu_shape shape = { split, 6, false };
	struct dhcp_request r = message(DHCP_DISCOVER);
	struct dhcp_reply p;

	smoke.g->tx_shape = &shape;
	free(answered(&r, ANY, BCAST, DHCP_OFFER, &p));
}

static int
up(void **state)
{
	static const char *const args[] = { "--vm",
		"a,socket=%d/a.sock,loopback=gateway,dns=192.0.2.53/192.0.2.54,lease=3600,mtu=1400,"
		"hostname=frog,search=lab.example/example.org",
		NULL };

	return smoke_up(args);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		SMOKE(discover_is_answered_with_an_offer),
		SMOKE(bootp_client_gets_its_address),
		SMOKE(offer_and_ack_tell_mask_router_dns_lease_mtu),
		SMOKE(host_name_is_told),
		SMOKE(search_list_is_told_in_wire_form),
		SMOKE(options_that_were_not_asked_for_are_left_out),
		SMOKE(message_without_parameter_list_is_answered),
		SMOKE(broadcast_flag_is_honoured),
		SMOKE(without_the_flag_the_answer_is_unicast),
		SMOKE(request_for_a_foreign_address_gets_a_nak),
		SMOKE(reboot_with_the_right_address_is_acknowledged),
		SMOKE(request_to_another_server_is_ignored),
		SMOKE(renew_is_acknowledged_by_unicast),
		SMOKE(rebind_is_acknowledged),
		SMOKE(inform_is_acknowledged_without_lease),
		SMOKE(release_is_not_answered),
		SMOKE(decline_is_not_answered),
		SMOKE(client_identifier_is_returned),
		SMOKE(rapid_commit_is_used_only_if_offered),
		SMOKE(wrong_magic_is_ignored),
		SMOKE(short_message_without_type_is_ignored),
		SMOKE(unknown_type_is_ignored),
		SMOKE(server_messages_are_ignored),
		SMOKE(option_that_runs_over_the_end_is_ignored),
		SMOKE(boot_reply_is_ignored),
		SMOKE(other_hardware_type_is_ignored),
		SMOKE(wrong_address_length_is_ignored),
		SMOKE(message_cut_short_is_ignored),
		SMOKE(request_split_over_descriptors_is_answered),
	};

	return cmocka_run_group_tests_name("conf_dhcp", tests, up, smoke_down);
}
