/* SPDX-License-Identifier: BSD-3-Clause */
/* IPv4 and IPv6 headers, options, extension headers, fragments; Ethernet. Seen through UDP. */
#include "smoke.h"

#define FAR "198.51.100.1"
#define FAR6 "2001:db8:51::1"
#define METADATA "169.254.169.254"

static int fd4, fd6;
static uint16_t port4, port6;

/* What the next frame is made from; a test changes it. */
struct probe {
	struct pkt_ip ip;
	uint8_t f[2048];
	size_t len;
	uint16_t gport;
	bool v6;
};

static void
probe_build(struct probe *p)
{
	p->len = pkt_build_udp(p->f, &p->ip, p->gport, p->v6 ? port6 : port4, "probe", 5);
}

static struct probe
probe(bool v6)
{
	struct probe p = { .ip = guest_ip(smoke.g, v6 ? &smoke.g->gw6 : &smoke.g->gw),
		.v6 = v6,
		.gport = guest_port(smoke.g) };

	probe_build(&p);
	return p;
}

static ssize_t
seen(const struct probe *p, int timeout_ms)
{
	char buf[4096];

	return host_recv(smoke.g, p->v6 ? fd6 : fd4, buf, sizeof(buf), timeout_ms);
}

static void
arrives(const struct probe *p)
{
	guest_send_raw(smoke.g, NULL, p->f, p->len);
	assert_int_equal(seen(p, SOON), 5);
}

static void
dropped(const struct probe *p)
{
	guest_send_raw(smoke.g, NULL, p->f, p->len);
	assert_int_equal(seen(p, NEVER), -ETIMEDOUT);
}

static void
control_datagram_arrives(void **state)
{
	struct probe p = probe(false), q = probe(true);

	arrives(&p);
	arrives(&q);
}

/* ---- Ethernet ---- */

static void
frame_padding_is_ignored(void **state)
{
	struct probe p = probe(false);

	memset(p.f + p.len, 0xee, 20);
	p.len = 60;
	arrives(&p);
}

static void
frame_to_another_mac_is_dropped(void **state)
{
	struct probe p = probe(false);

	p.f[5] ^= 0x77;
	dropped(&p);
}

static void
frame_from_a_group_mac_is_dropped(void **state)
{
	struct probe p = probe(false);

	p.f[6] |= 1;
	dropped(&p);
}

static void
unknown_ethertype_is_dropped(void **state)
{
	static const uint16_t types[] = { 0x8100, 0x88cc, 0x0600, 0x0005, 0x9999 };
	struct probe p = probe(false);

	for (int i = 0; i < 5; i++) {
		pkt_put16(p.f + 12, types[i]);
		dropped(&p);
	}
}

static void
ethertype_of_the_other_family_is_dropped(void **state)
{
	struct probe p = probe(false), q = probe(true);

	pkt_put16(p.f + 12, PKT_ETH_IP6);
	dropped(&p);
	pkt_put16(q.f + 12, PKT_ETH_IP4);
	dropped(&q);
}

static void
frame_cut_at_any_byte_is_dropped(void **state)
{
	for (int v6 = 0; v6 < 2; v6++) {
		struct probe p = probe(v6);

		for (size_t len = 1; len < p.len; len++)
			guest_send_raw(smoke.g, NULL, p.f, len);
		assert_int_equal(seen(&p, NEVER), -ETIMEDOUT);
		arrives(&p);
	}
}

static void
frame_split_at_any_byte_arrives(void **state)
{
	for (int v6 = 0; v6 < 2; v6++) {
		struct probe p = probe(v6);

		for (size_t at = 1; at < p.len + 12; at += 5) {
			struct vhu_shape shape = { &at, 1, at & 1 };

			smoke.g->tx_shape = &shape;
			arrives(&p);
		}
		smoke.g->tx_shape = NULL;
	}
}

/* ---- IPv4 ---- */

static void
changed4(size_t at, uint8_t value, bool right_sum)
{
	struct probe p = probe(false);

	p.f[at] = value;
	if (right_sum)
		pkt_fix_sums(p.f, p.len);
	dropped(&p);
}

static void
wrong_version_is_dropped(void **state)
{
	changed4(14, 0x55, true);
	changed4(14, 0x05, true);
}

static void
short_header_length_is_dropped(void **state)
{
	struct probe p = probe(false);

	p.f[14] = 0x44;
	pkt_put16(p.f + 24, 0);
	pkt_put16(p.f + 24, pkt_sum_fold(pkt_sum(p.f + 14, 16, 0)));
	dropped(&p);
	p.f[14] = 0x4f;
	dropped(&p);
}

static void
wrong_header_checksum_is_dropped(void **state)
{
	changed4(24, 0x12, false);
}

static void
total_length_beyond_the_frame_is_dropped(void **state)
{
	changed4(16, 0x10, true);
}

static void
total_length_below_the_header_is_dropped(void **state)
{
	changed4(17, 19, true);
}

static void
ttl_0_is_dropped(void **state)
{
	struct probe p = probe(false), q = probe(true);

	p.ip.ttl_zero = q.ip.ttl_zero = true;
	probe_build(&p);
	probe_build(&q);
	dropped(&p);
	dropped(&q);
}

static void
forbidden_ipv4_sources_are_dropped(void **state)
{
	static const char *const sources[] = { "10.0.2.2", "127.0.0.1", "224.0.0.1",
		"255.255.255.255", "10.0.2.255", "10.0.2.0", "0.1.2.3", "240.0.0.1", "255.1.2.3" };
	const long long before = smoke_stat("ip-source");

	for (unsigned int i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
		struct probe p = probe(false);

		p.ip.src = pkt_addr(sources[i]);
		probe_build(&p);
		dropped(&p);
	}
	assert_true(smoke_stat("ip-source") >= before + 9);
}

/* Not with the probe's own source, but with another. */
static void
goes_far(struct probe *p, const char *dst, const struct pkt_addr *src, uint16_t port)
{
	int fd = host_udp(dst, &port);
	char buf[16];

	assert_true(fd >= 0);
	p->ip.dst = pkt_addr(dst);
	probe_build(p);
	guest_send_raw(smoke.g, NULL, p->f, p->len);
	assert_int_equal(host_recv(smoke.g, fd, buf, sizeof(buf), NEVER), -ETIMEDOUT);
	p->ip.src = *src;
	probe_build(p);
	guest_send_raw(smoke.g, NULL, p->f, p->len);
	assert_int_equal(host_recv(smoke.g, fd, buf, sizeof(buf), SOON), 5);
	close(fd);
}

static void
source_of_the_link_goes_no_further_than_the_link(void **state)
{
	struct probe p = probe(false), q = probe(true);

	/* The gateway is on the link; the host beyond it is not. */
	p.ip.src = pkt_addr("169.254.7.7");
	probe_build(&p);
	arrives(&p);
	q.ip.src = smoke.g->ll6;
	probe_build(&q);
	arrives(&q);
	smoke_need_net();
	netns_run(NULL, "ip addr add " FAR "/32 dev lo; ip addr add " FAR6 "/128 dev lo");
	goes_far(&p, FAR, &smoke.g->addr, port4);
	goes_far(&q, FAR6, &smoke.g->addr6, port6);
}

static void
unspecified_source_is_dropped(void **state)
{
	struct probe p = probe(false), q = probe(true);

	p.ip.src = pkt_addr("0.0.0.0");
	probe_build(&p);
	dropped(&p);
	q.ip.src = pkt_addr("::");
	probe_build(&q);
	dropped(&q);
}

static void
loopback_destination_is_not_carried(void **state)
{
	struct probe p = probe(false), q = probe(true);

	p.ip.dst = pkt_addr(LO);
	probe_build(&p);
	dropped(&p);
	q.ip.dst = pkt_addr(LO6);
	probe_build(&q);
	dropped(&q);
}

static void
link_local_addresses_of_the_host_are_not_reached(void **state)
{
	struct guest *g = smoke.g;
	uint16_t port = 80;
	struct probe p = probe(false);
	struct guest_frame *r;
	char buf[16];
	int fd;

	/* Where clouds have their metadata service. */
	smoke_need_net();
	netns_run(NULL, "ip addr add " METADATA "/32 dev lo");
	fd = host_udp(METADATA, &port);
	assert_true(fd >= 0);
	p.ip.dst = pkt_addr(METADATA);
	guest_send_raw(g, NULL, p.f, pkt_build_udp(p.f, &p.ip, p.gport, port, "credentials?", 12));
	r = guest_icmp_error(g, 3, SOON);
	assert_non_null(r);
	assert_int_equal(r->view.icmp_code, 1);
	free(r);
	assert_int_equal(host_recv(g, fd, buf, sizeof(buf), NEVER), -ETIMEDOUT);
	close(fd);
}

static void
harmless_options_are_accepted(void **state)
{
	static const uint8_t nops[] = { 1, 1, 1, 0 }, alert[] = { 148, 4, 0, 0 },
			     route[] = { 7, 7, 4, 0, 0, 0, 0, 0 };
	struct probe p = probe(false);

	p.ip.options = nops;
	p.ip.options_len = sizeof(nops);
	probe_build(&p);
	arrives(&p);
	p.ip.options = alert;
	p.ip.options_len = sizeof(alert);
	probe_build(&p);
	arrives(&p);
	p.ip.options = route;
	p.ip.options_len = sizeof(route);
	probe_build(&p);
	arrives(&p);
}

static void
source_routes_are_dropped(void **state)
{
	static const uint8_t loose[] = { 131, 7, 4, 10, 0, 2, 9, 0 },
			     strict[] = { 137, 7, 4, 10, 0, 2, 9, 0 };
	struct probe p = probe(false);

	p.ip.options = loose;
	p.ip.options_len = 8;
	probe_build(&p);
	dropped(&p);
	p.ip.options = strict;
	probe_build(&p);
	dropped(&p);
}

static void
malformed_options_are_dropped(void **state)
{
	static const uint8_t bad[][4] = { { 7, 0, 0, 0 }, { 7, 1, 0, 0 }, { 7, 40, 4, 0 },
		{ 1, 1, 1, 7 } };

	for (int i = 0; i < 4; i++) {
		struct probe p = probe(false);

		p.ip.options = bad[i];
		p.ip.options_len = 4;
		probe_build(&p);
		dropped(&p);
	}
}

static void
unknown_protocols_do_no_harm(void **state)
{
	static const uint8_t protos[] = { 0, 2, 4, 41, 47, 50, 51, 89, 103, 132, 255 };
	struct guest *g = smoke.g;
	struct pkt_ip ip = guest_ip(g, &g->gw), ip6 = guest_ip(g, &g->gw6);
	uint8_t f[128], body[40] = { 0 };

	for (unsigned int i = 0; i < sizeof(protos); i++) {
		guest_send_raw(g, NULL, f, pkt_build_ip(f, &ip, protos[i], body, sizeof(body)));
		guest_send_raw(g, NULL, f, pkt_build_ip(f, &ip6, protos[i], body, sizeof(body)));
	}
	host_idle(g, 30);
	guest_flush(g);
	smoke_serves(g);
}

/* ---- IPv6 ---- */

static void
forbidden_ipv6_sources_are_dropped(void **state)
{
	static const char *const sources[] = { "fd00:2::2", "::1", "ff02::1", "::ffff:10.0.2.15" };

	for (unsigned int i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
		struct probe p = probe(true);

		p.ip.src = pkt_addr(sources[i]);
		probe_build(&p);
		dropped(&p);
	}
}

static void
payload_length_beyond_the_frame_is_dropped(void **state)
{
	struct probe p = probe(true);

	pkt_put16(p.f + 18, 2000);
	dropped(&p);
}

static void
extended(const uint8_t *ext, size_t len, uint8_t first, bool carried)
{
	struct probe p = probe(true);

	p.ip.options = ext;
	p.ip.options_len = len;
	p.ip.first_ext = first;
	probe_build(&p);
	if (carried)
		arrives(&p);
	else
		dropped(&p);
}

static void
harmless_extension_headers_are_accepted(void **state)
{
	static const uint8_t hop[] = { 17, 0, 1, 4, 0, 0, 0, 0 },
			     dst[] = { 17, 0, 1, 4, 0, 0, 0, 0 },
			     both[] = { 60, 0, 1, 4, 0, 0, 0, 0, 17, 0, 1, 4, 0, 0, 0, 0 };

	extended(hop, sizeof(hop), 0, true);
	extended(dst, sizeof(dst), 60, true);
	extended(both, sizeof(both), 0, true);
}

static void
routing_header_with_segments_left_is_dropped(void **state)
{
	static const uint8_t rh0[24] = { 17, 2, 0, 1 };

	extended(rh0, sizeof(rh0), 43, false);
}

static void
extension_header_over_the_end_is_dropped(void **state)
{
	static const uint8_t bad[] = { 17, 200, 1, 4, 0, 0, 0, 0 };

	extended(bad, sizeof(bad), 60, false);
}

static void
endless_extension_headers_are_dropped(void **state)
{
	uint8_t many[1200];

	for (size_t i = 0; i < sizeof(many); i += 8) {
		static const uint8_t one[] = { 60, 0, 1, 4, 0, 0, 0, 0 };

		memcpy(many + i, one, 8);
	}
	many[sizeof(many) - 8] = 17;
	extended(many, sizeof(many), 60, false);
}

static void
no_next_header_is_dropped(void **state)
{
	struct probe p = probe(true);

	p.f[20] = 59;
	dropped(&p);
}

static int
up(void **state)
{
	static const char *const args[] = { "--vm", "a,socket=%d/a.sock,loopback=gateway", NULL };
	int rc = smoke_up(args);

	fd4 = host_udp(LO, &port4);
	fd6 = host_udp(LO6, &port6);
	return rc;
}

static int
down(void **state)
{
	close(fd4);
	close(fd6);
	return smoke_down(state);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		SMOKE(control_datagram_arrives),
		SMOKE(frame_padding_is_ignored),
		SMOKE(frame_to_another_mac_is_dropped),
		SMOKE(frame_from_a_group_mac_is_dropped),
		SMOKE(unknown_ethertype_is_dropped),
		SMOKE(ethertype_of_the_other_family_is_dropped),
		SMOKE(frame_cut_at_any_byte_is_dropped),
		SMOKE(frame_split_at_any_byte_arrives),
		SMOKE(wrong_version_is_dropped),
		SMOKE(short_header_length_is_dropped),
		SMOKE(wrong_header_checksum_is_dropped),
		SMOKE(total_length_beyond_the_frame_is_dropped),
		SMOKE(total_length_below_the_header_is_dropped),
		SMOKE(ttl_0_is_dropped),
		SMOKE(forbidden_ipv4_sources_are_dropped),
		SMOKE(source_of_the_link_goes_no_further_than_the_link),
		SMOKE(unspecified_source_is_dropped),
		SMOKE(loopback_destination_is_not_carried),
		SMOKE(link_local_addresses_of_the_host_are_not_reached),
		SMOKE(harmless_options_are_accepted),
		SMOKE(source_routes_are_dropped),
		SMOKE(malformed_options_are_dropped),
		SMOKE(unknown_protocols_do_no_harm),
		SMOKE(forbidden_ipv6_sources_are_dropped),
		SMOKE(payload_length_beyond_the_frame_is_dropped),
		SMOKE(harmless_extension_headers_are_accepted),
		SMOKE(routing_header_with_segments_left_is_dropped),
		SMOKE(extension_header_over_the_end_is_dropped),
		SMOKE(endless_extension_headers_are_dropped),
		SMOKE(no_next_header_is_dropped),
	};

	return cmocka_run_group_tests_name("conf_ip", tests, up, down);
}
