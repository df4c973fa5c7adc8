/* SPDX-License-Identifier: BSD-3-Clause */
/* Neighbour discovery and router advertisements as a guest sees them (RFC 4861, RFC 8106). */
#include "smoke.h"

static bool
is_na(const struct pkt_view *v, void *arg)
{
	return v->proto == IPPROTO_ICMPV6 && v->icmp_type == 136;
}

static bool
is_ra(const struct pkt_view *v, void *arg)
{
	return v->proto == IPPROTO_ICMPV6 && v->icmp_type == 134;
}

/* The option of a type, NULL: none. */
static const uint8_t *
option(const struct pkt_view *v, size_t fixed, uint8_t type)
{
	const uint8_t *o = v->data + fixed;
	size_t left = v->data_len - fixed;

	while (left >= 8) {
		if (o[0] == type)
			return o;
		left -= (size_t)o[1] * 8;
		o += (size_t)o[1] * 8;
	}
	return NULL;
}

static size_t
solicit(uint8_t *f)
{
	return pkt_build_ns(f, smoke.g->mac, &smoke.g->addr6, &smoke.g->gw6);
}

static struct guest_frame *
answer_to(uint8_t *f, size_t len, guest_match match)
{
	assert_int_equal(guest_send(smoke.g, f, len), 0);
	return guest_wait(smoke.g, match, NULL, SOON);
}

static void
no_answer_to(uint8_t *f, size_t len, guest_match match)
{
	assert_int_equal(guest_send_raw(smoke.g, NULL, f, len), 0);
	assert_true(guest_never(smoke.g, match, NULL, NEVER));
}

static struct guest_frame *
advertisement(void)
{
	uint8_t f[128];
	struct guest_frame *r = answer_to(f, pkt_build_rs(f, smoke.g->mac, &smoke.g->ll6), is_ra);

	if (r == NULL)
		fail_msg("no router advertisement");
	return r;
}

static void
gateway_answers_a_solicitation(void **state)
{
	struct guest_frame *r;
	const uint8_t *o;
	uint8_t f[128];

	r = answer_to(f, solicit(f), is_na);
	assert_non_null(r);
	assert_memory_equal(r->view.data, smoke.g->gw6.b, 16);
	assert_true(pkt_addr_eq(&r->view.dst, &smoke.g->addr6));
	assert_true(r->view.icmp_rest & 0x40000000); /* solicited */
	assert_true(r->view.icmp_rest & 0x80000000); /* router */
	o = option(&r->view, 16, 2);
	assert_non_null(o);
	assert_memory_equal(o + 2, r->view.src_mac, 6);
	free(r);
}

static void
unicast_solicitation_is_answered(void **state)
{
	struct guest *g = smoke.g;
	struct guest_frame *r;
	uint8_t f[128];
	size_t len = solicit(f);

	memcpy(f, g->gw_mac, 6);
	memcpy(f + 14 + 24, g->gw6.b, 16);
	pkt_fix_sums(f, len);
	r = answer_to(f, len, is_na);
	assert_non_null(r);
	free(r);
}

static void
link_local_gateway_of_the_advertisement_answers(void **state)
{
	struct guest_frame *ra = advertisement(), *r;
	struct pkt_addr ll = ra->view.src;
	uint8_t f[128];

	free(ra);
	r = answer_to(f, pkt_build_ns(f, smoke.g->mac, &smoke.g->ll6, &ll), is_na);
	assert_non_null(r);
	assert_memory_equal(r->view.data, ll.b, 16);
	free(r);
}

static void
duplicate_address_detection_for_the_gateway_is_answered_to_all_nodes(void **state)
{
	struct pkt_addr none = pkt_addr("::");
	struct guest_frame *r;
	uint8_t f[128];

	r = answer_to(f, pkt_build_ns(f, smoke.g->mac, &none, &smoke.g->gw6), is_na);
	assert_non_null(r);
	assert_string_equal(pkt_addr_text(&r->view.dst), "ff02::1");
	assert_false(r->view.icmp_rest & 0x40000000);
	assert_int_equal(r->view.dst_mac[0], 0x33);
	free(r);
}

static void
duplicate_address_detection_for_the_guest_is_not_answered(void **state)
{
	struct pkt_addr none = pkt_addr("::");
	uint8_t f[128];

	no_answer_to(f, pkt_build_ns(f, smoke.g->mac, &none, &smoke.g->addr6), is_na);
	no_answer_to(f, pkt_build_ns(f, smoke.g->mac, &none, &smoke.g->ll6), is_na);
}

static void
solicitation_for_another_address_of_the_subnet_is_answered(void **state)
{
	struct pkt_addr other = pkt_addr("fd00:2::99");
	struct guest_frame *r;
	uint8_t f[128];

	r = answer_to(f, pkt_build_ns(f, smoke.g->mac, &smoke.g->addr6, &other), is_na);
	assert_non_null(r);
	assert_memory_equal(r->view.data, other.b, 16);
	free(r);
}

static void
solicitation_for_a_foreign_address_is_not_answered(void **state)
{
	struct pkt_addr foreign = pkt_addr("2001:db8::99");
	uint8_t f[128];

	no_answer_to(f, pkt_build_ns(f, smoke.g->mac, &smoke.g->addr6, &foreign), is_na);
}

static void
solicitation_cut_over_descriptors_at_any_byte_is_answered(void **state)
{
	for (size_t at = 1; at < 98; at += 3) {
		struct vhu_shape shape = { &at, 1, at & 1 };
		struct guest_frame *r;
		uint8_t f[128];
		size_t len = solicit(f);

		smoke.g->tx_shape = &shape;
		r = answer_to(f, len, is_na);
		smoke.g->tx_shape = NULL;
		assert_non_null(r);
		free(r);
	}
}

/* A solicitation with one byte changed, checksum right again. */
static void
spoiled(size_t at, uint8_t value)
{
	uint8_t f[128];
	size_t len = solicit(f);

	f[at] = value;
	pkt_fix_sums(f, len);
	no_answer_to(f, len, is_na);
}

static void
hop_limit_under_255_is_ignored(void **state)
{
	spoiled(21, 254);
}

static void
solicitation_in_a_fragment_is_ignored(void **state)
{
	struct guest *g = smoke.g;
	struct pkt_ip ip = guest_ip(g, &g->gw6);
	uint8_t f[128], out[128], ext[8] = { IPPROTO_ICMPV6, 0, 0, 0, 0, 0, 0, 7 };
	size_t len = solicit(f);

	memcpy(f + 14 + 24, g->gw6.b, 16);
	pkt_fix_sums(f, len);
	ip.ttl = 255;
	ip.options = ext;
	ip.options_len = sizeof(ext);
	ip.first_ext = 44;
	no_answer_to(out, pkt_build_ip(out, &ip, IPPROTO_ICMPV6, f + 54, len - 54), is_na);
}

static void
wrong_code_is_ignored(void **state)
{
	spoiled(55, 1);
}

static void
multicast_target_is_ignored(void **state)
{
	spoiled(62, 0xff);
}

static void
option_of_length_0_is_ignored(void **state)
{
	spoiled(79, 0);
}

static void
option_over_the_end_is_ignored(void **state)
{
	spoiled(79, 9);
}

static void
wrong_checksum_is_ignored(void **state)
{
	uint8_t f[128];
	size_t len = solicit(f);

	f[56] ^= 0x10;
	no_answer_to(f, len, is_na);
}

static void
solicitation_cut_short_is_ignored(void **state)
{
	for (size_t cut = 1; cut <= 32; cut += 10) {
		uint8_t f[128];
		size_t len = solicit(f) - cut;

		pkt_put16(f + 18, (uint16_t)(len - 54));
		pkt_fix_sums(f, len);
		no_answer_to(f, len, is_na);
	}
}

static void
unspecified_source_with_link_layer_option_is_ignored(void **state)
{
	uint8_t f[128];
	size_t len = solicit(f);

	memset(f + 22, 0, 16);
	pkt_fix_sums(f, len);
	no_answer_to(f, len, is_na);
}

static void
advertisements_and_redirects_of_a_guest_are_ignored(void **state)
{
	struct guest *g = smoke.g;
	uint8_t f[256], body[32] = { 0 };
	struct pkt_ip ip = guest_ip(g, &g->gw6);

	guest_send(g, f, pkt_build_na(f, g->mac, g->gw_mac, &g->addr6, &g->gw6, &g->gw6));
	ip.ttl = 255;
	ip.src = g->ll6;
	guest_send(g, f, pkt_build_icmp(f, &ip, 137, 0, 0, body, sizeof(body)));
	guest_send(g, f, pkt_build_icmp(f, &ip, 134, 0, 0x40000708, body, 8));
	smoke_serves(g);
	assert_int_equal(guest_nd(g), 0);
}

static void
router_solicitation_is_answered(void **state)
{
	struct guest_frame *r = advertisement();

	assert_true(pkt_get16(r->bytes + 14 + 40 + 6) > 0); /* router lifetime */
	assert_int_equal(r->view.ttl, 255);
	free(r);
}

static void
router_solicitation_without_source_address_is_answered(void **state)
{
	struct pkt_addr none = pkt_addr("::");
	struct guest_frame *r;
	uint8_t f[128];

	r = answer_to(f, pkt_build_rs(f, smoke.g->mac, &none), is_ra);
	assert_non_null(r);
	assert_string_equal(pkt_addr_text(&r->view.dst), "ff02::1");
	free(r);
}

static void
advertisement_tells_the_routers_mac(void **state)
{
	struct guest_frame *r = advertisement();
	const uint8_t *o = option(&r->view, 8, 1);

	assert_non_null(o);
	assert_memory_equal(o + 2, r->view.src_mac, 6);
	free(r);
}

static void
advertisement_tells_the_prefix_on_link(void **state)
{
	struct guest_frame *r = advertisement();
	const uint8_t *o = option(&r->view, 8, 3);
	struct pkt_addr prefix = pkt_addr("fd00:2::");

	assert_non_null(o);
	assert_int_equal(o[1], 4);
	assert_int_equal(o[2], 64);
	assert_true(o[3] & 0x80);
	assert_true(pkt_get32(o + 8) <= pkt_get32(o + 4));
	assert_memory_equal(o + 16, prefix.b, 16);
	free(r);
}

static void
advertisement_sends_guests_to_dhcpv6(void **state)
{
	struct guest_frame *r = advertisement();

	assert_true(r->view.icmp_rest & 0x00800000);
	free(r);
}

static void
advertisement_tells_the_mtu(void **state)
{
	struct guest_frame *r = advertisement();
	const uint8_t *o = option(&r->view, 8, 5);

	assert_non_null(o);
	assert_int_equal(pkt_get32(o + 4), 1400);
	free(r);
}

static void
advertisement_tells_resolvers(void **state)
{
	struct guest_frame *r = advertisement();
	const uint8_t *o = option(&r->view, 8, 25);
	struct pkt_addr dns = pkt_addr("2001:db8::53");

	assert_non_null(o);
	assert_true(pkt_get32(o + 4) > 0);
	assert_memory_equal(o + 8, dns.b, 16);
	free(r);
}

static void
advertisement_tells_the_search_list(void **state)
{
	struct guest_frame *r = advertisement();
	const uint8_t *o = option(&r->view, 8, 31);
	static const uint8_t want[] = "\3lab\7example";

	assert_non_null(o);
	assert_memory_equal(o + 8, want, sizeof(want));
	free(r);
}

static bool
is_unasked_ra(const struct pkt_view *v, void *arg)
{
	return is_ra(v, arg) && v->dst.b[0] == 0xff;
}

static void
advertisements_come_unasked_soon_and_again(void **state)
{
	struct guest_frame *r;

	guest_close(smoke.g);
	smoke.g = smoke_guest("a.sock", NULL);
	assert_non_null(smoke.g);
	for (int i = 0; i < 2; i++) {
		r = guest_wait(smoke.g, is_unasked_ra, NULL, 12 * SOON);
		assert_non_null(r);
		assert_true((r->view.icmp_rest & 0xffff) > 0);
		assert_non_null(option(&r->view, 8, 3));
		free(r);
	}
}

static void
solicitation_with_wrong_hop_limit_gets_no_advertisement(void **state)
{
	uint8_t f[128];
	size_t len = pkt_build_rs(f, smoke.g->mac, &smoke.g->ll6);

	f[21] = 1;
	no_answer_to(f, len, is_ra);
}

static void
solicitation_from_nowhere_with_an_option_gets_no_advertisement(void **state)
{
	uint8_t f[128];
	size_t len = pkt_build_rs(f, smoke.g->mac, &smoke.g->ll6);

	memset(f + 22, 0, 16);
	pkt_fix_sums(f, len);
	no_answer_to(f, len, is_ra);
}

static int
up(void **state)
{
	static const char *const args[] = { "--vm",
		"a,socket=%d/a.sock,loopback=gateway,dns=2001:db8::53,mtu=1400,search=lab.example",
		NULL };

	return smoke_up(args);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		SMOKE(gateway_answers_a_solicitation),
		SMOKE(unicast_solicitation_is_answered),
		SMOKE(link_local_gateway_of_the_advertisement_answers),
		SMOKE(duplicate_address_detection_for_the_gateway_is_answered_to_all_nodes),
		SMOKE(duplicate_address_detection_for_the_guest_is_not_answered),
		SMOKE(solicitation_for_another_address_of_the_subnet_is_answered),
		SMOKE(solicitation_for_a_foreign_address_is_not_answered),
		SMOKE(solicitation_cut_over_descriptors_at_any_byte_is_answered),
		SMOKE(hop_limit_under_255_is_ignored),
		SMOKE(solicitation_in_a_fragment_is_ignored),
		SMOKE(wrong_code_is_ignored),
		SMOKE(multicast_target_is_ignored),
		SMOKE(option_of_length_0_is_ignored),
		SMOKE(option_over_the_end_is_ignored),
		SMOKE(wrong_checksum_is_ignored),
		SMOKE(solicitation_cut_short_is_ignored),
		SMOKE(unspecified_source_with_link_layer_option_is_ignored),
		SMOKE(advertisements_and_redirects_of_a_guest_are_ignored),
		SMOKE(router_solicitation_is_answered),
		SMOKE(router_solicitation_without_source_address_is_answered),
		SMOKE(advertisement_tells_the_routers_mac),
		SMOKE(advertisement_tells_the_prefix_on_link),
		SMOKE(advertisement_sends_guests_to_dhcpv6),
		SMOKE(advertisement_tells_the_mtu),
		SMOKE(advertisement_tells_resolvers),
		SMOKE(advertisement_tells_the_search_list),
		SMOKE(advertisements_come_unasked_soon_and_again),
		SMOKE(solicitation_with_wrong_hop_limit_gets_no_advertisement),
		SMOKE(solicitation_from_nowhere_with_an_option_gets_no_advertisement),
	};

	return cmocka_run_group_tests_name("conf_nd", tests, up, smoke_down);
}
