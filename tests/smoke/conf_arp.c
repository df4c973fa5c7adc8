/* SPDX-License-Identifier: BSD-3-Clause */
/* ARP as a guest sees it (RFC 826, RFC 5227). */
#include "smoke.h"

static const uint8_t none[6], all[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

static bool
is_arp(const struct pkt_view *v, void *arg)
{
	return v->eth_type == PKT_ETH_ARP;
}

static bool
is_reply(const struct pkt_view *v, void *arg)
{
	return v->eth_type == PKT_ETH_ARP && v->arp_op == 2;
}

/* A request for the gateway, to be spoiled. */
static size_t
request(uint8_t *f)
{
	struct guest *g = smoke.g;

	return pkt_build_arp(f, all, 1, g->mac, &g->addr, none, &g->gw);
}

static struct guest_frame *
reply_to(uint8_t *f, size_t len)
{
	assert_int_equal(guest_send(smoke.g, f, len), 0);
	return guest_wait(smoke.g, is_reply, NULL, SOON);
}

static void
no_reply_to(uint8_t *f, size_t len)
{
	assert_int_equal(guest_send_raw(smoke.g, NULL, f, len), 0);
	assert_true(guest_never(smoke.g, is_reply, NULL, NEVER));
}

static void
gateway_answers_with_its_mac(void **state)
{
	struct guest *g = smoke.g;
	struct guest_frame *r;
	uint8_t f[64];

	r = reply_to(f, request(f));
	assert_non_null(r);
	assert_true(pkt_addr_eq(&r->view.src, &g->gw));
	assert_true(pkt_addr_eq(&r->view.dst, &g->addr));
	assert_memory_equal(r->view.arp_tha, g->mac, 6);
	assert_memory_equal(r->view.dst_mac, g->mac, 6);
	assert_int_equal(r->view.arp_sha[0] & 1, 0);
	free(r);
}

static void
unicast_request_is_answered(void **state)
{
	struct guest_frame *r;
	uint8_t f[64];
	size_t len = request(f);

	memcpy(f, smoke.g->gw_mac, 6);
	r = reply_to(f, len);
	assert_non_null(r);
	free(r);
}

static void
padded_request_is_answered(void **state)
{
	struct guest_frame *r;
	uint8_t f[64];
	size_t len = request(f);

	memset(f + len, 0xcc, sizeof(f) - len);
	r = reply_to(f, 60);
	assert_non_null(r);
	free(r);
}

static void
request_cut_over_descriptors_at_any_byte_is_answered(void **state)
{
	for (size_t at = 1; at < 54; at++) {
		struct vhu_shape shape = { &at, 1, at & 1 };
		struct guest_frame *r;
		uint8_t f[64];
		size_t len = request(f);

		smoke.g->tx_shape = &shape;
		r = reply_to(f, len);
		smoke.g->tx_shape = NULL;
		assert_non_null(r);
		free(r);
	}
}

static void
probe_for_the_gateway_address_is_answered(void **state)
{
	struct guest *g = smoke.g;
	struct pkt_addr zero = pkt_addr("0.0.0.0");
	struct guest_frame *r;
	uint8_t f[64];

	r = reply_to(f, pkt_build_arp(f, all, 1, g->mac, &zero, none, &g->gw));
	assert_non_null(r);
	free(r);
}

static void
probe_for_the_guests_own_address_is_not_answered(void **state)
{
	struct guest *g = smoke.g;
	struct pkt_addr zero = pkt_addr("0.0.0.0");
	uint8_t f[64];

	no_reply_to(f, pkt_build_arp(f, all, 1, g->mac, &zero, none, &g->addr));
}

static void
announcement_is_not_answered(void **state)
{
	struct guest *g = smoke.g;
	uint8_t f[64];

	no_reply_to(f, pkt_build_arp(f, all, 1, g->mac, &g->addr, none, &g->addr));
}

static void
other_address_of_the_subnet_is_answered(void **state)
{
	struct guest *g = smoke.g;
	struct pkt_addr other = pkt_addr("10.0.2.99");
	struct guest_frame *r;
	uint8_t f[64];

	r = reply_to(f, pkt_build_arp(f, all, 1, g->mac, &g->addr, none, &other));
	assert_non_null(r);
	assert_true(pkt_addr_eq(&r->view.src, &other));
	free(r);
}

static void
probe_for_a_free_address_is_not_answered(void **state)
{
	struct guest *g = smoke.g;
	struct pkt_addr zero = pkt_addr("0.0.0.0"), other = pkt_addr("10.0.2.99");
	uint8_t f[64];

	no_reply_to(f, pkt_build_arp(f, all, 1, g->mac, &zero, none, &other));
}

static void
address_outside_of_the_subnet_is_not_answered(void **state)
{
	struct guest *g = smoke.g;
	struct pkt_addr other = pkt_addr("10.0.3.1"), bcast = pkt_addr("10.0.2.255");
	uint8_t f[64];

	no_reply_to(f, pkt_build_arp(f, all, 1, g->mac, &g->addr, none, &other));
	no_reply_to(f, pkt_build_arp(f, all, 1, g->mac, &g->addr, none, &bcast));
}

static void
reply_is_not_answered(void **state)
{
	struct guest *g = smoke.g;
	uint8_t f[64];

	no_reply_to(f, pkt_build_arp(f, g->gw_mac, 2, g->mac, &g->addr, g->gw_mac, &g->gw));
}

static void
spoil(size_t at, uint8_t value)
{
	uint8_t f[64];
	size_t len = request(f);

	f[at] = value;
	no_reply_to(f, len);
}

static void
wrong_hardware_type_is_ignored(void **state)
{
	spoil(15, 6);
}

static void
wrong_protocol_type_is_ignored(void **state)
{
	spoil(16, 0x86);
}

static void
wrong_hardware_length_is_ignored(void **state)
{
	spoil(18, 8);
}

static void
wrong_protocol_length_is_ignored(void **state)
{
	spoil(19, 16);
}

static void
unknown_operation_is_ignored(void **state)
{
	spoil(21, 3);
}

static void
multicast_sender_is_ignored(void **state)
{
	uint8_t f[64];
	size_t len = request(f);

	f[6] |= 1;
	f[22] |= 1;
	no_reply_to(f, len);
}

static void
request_cut_short_is_ignored(void **state)
{
	uint8_t f[64];

	request(f);
	for (size_t len = 14; len < 42; len += 9)
		no_reply_to(f, len);
}

static void
request_with_another_sender_than_the_frame_does_no_harm(void **state)
{
	struct guest *g = smoke.g;
	uint8_t f[64];
	size_t len = request(f);

	f[27] ^= 0x55;
	guest_send(g, f, len);
	host_idle(g, NEVER);
	guest_flush(g);
	g->error[0] = '\0'; /* an answer may go to the MAC that was named */
	smoke_serves(g);
}

static void
gateway_asks_for_nothing_on_an_idle_link(void **state)
{
	assert_true(guest_never(smoke.g, is_arp, NULL, 200));
}

static int
up(void **state)
{
	static const char *const args[] = { "--vm", "a,socket=%d/a.sock,loopback=gateway", NULL };

	return smoke_up(args);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		SMOKE(gateway_answers_with_its_mac),
		SMOKE(unicast_request_is_answered),
		SMOKE(padded_request_is_answered),
		SMOKE(request_cut_over_descriptors_at_any_byte_is_answered),
		SMOKE(probe_for_the_gateway_address_is_answered),
		SMOKE(probe_for_the_guests_own_address_is_not_answered),
		SMOKE(announcement_is_not_answered),
		SMOKE(other_address_of_the_subnet_is_answered),
		SMOKE(probe_for_a_free_address_is_not_answered),
		SMOKE(address_outside_of_the_subnet_is_not_answered),
		SMOKE(reply_is_not_answered),
		SMOKE(wrong_hardware_type_is_ignored),
		SMOKE(wrong_protocol_type_is_ignored),
		SMOKE(wrong_hardware_length_is_ignored),
		SMOKE(wrong_protocol_length_is_ignored),
		SMOKE(unknown_operation_is_ignored),
		SMOKE(multicast_sender_is_ignored),
		SMOKE(request_cut_short_is_ignored),
		SMOKE(request_with_another_sender_than_the_frame_does_no_harm),
		SMOKE(gateway_asks_for_nothing_on_an_idle_link),
	};

	return cmocka_run_group_tests_name("conf_arp", tests, up, smoke_down);
}
