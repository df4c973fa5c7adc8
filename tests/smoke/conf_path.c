/* SPDX-License-Identifier: BSD-3-Clause */
/* What the path to another host does to datagrams, and what the guest is told of it. Needs root. */
#include "smoke.h"

#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>

#define HERE "192.0.2.1"
#define PEER "192.0.2.2"
#define HERE6 "2001:db8:9::1"
#define PEER6 "2001:db8:9::2"
/** Behind the peer, on a path that takes 1000 bytes. */
#define NARROW "198.19.0.5"
#define PORT 7001

static struct netns peer = { .fd = -1 };

static void
need_peer(void)
{
	smoke_need_net();
	if (peer.fd < 0) {
		print_message("skipped: no peer network\n");
		skip();
	}
}

/* A socket of the peer's. */
static int
far_socket(const char *addr)
{
	const struct pkt_addr far = pkt_addr(addr);
	struct sockaddr_storage ss;
	const socklen_t len = pkt_sockaddr(&far, PORT, &ss);
	int fd;

	need_peer();
	fd = netns_socket(&peer, ss.ss_family, SOCK_DGRAM, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&ss, len), 0);
	return fd;
}

/* ---- MTU ---- */

/* A datagram of len bytes, whole. @return bytes of the frame in f */
static size_t
send_whole(const char *to, uint16_t frag, uint8_t *f, size_t len)
{
	const struct pkt_addr far = pkt_addr(to);
	struct pkt_ip ip = guest_ip(smoke.g, &far);
	static uint8_t data[2000];

	ip.frag = frag;
	len = pkt_build_udp(f, &ip, guest_port(smoke.g), PORT, data, len);
	assert_int_equal(guest_send(smoke.g, f, len), 0);
	return len;
}

/* Too large is told with the MTU, and quotes the packet. */
static void
is_too_large(const char *to, uint32_t mtu, const char *from)
{
	const bool v6 = strchr(to, ':') != NULL;
	struct guest_frame *r;
	static uint8_t f[2000];

	send_whole(to, 0x4000, f, 1400);
	r = guest_icmp_error(smoke.g, v6 ? 2 : 3, SOON);
	assert_non_null(r);
	assert_int_equal(r->view.icmp_code, v6 ? 0 : 4);
	assert_int_equal(r->view.icmp_rest, mtu);
	assert_true(r->view.data_len >= (v6 ? 48 : 28));
	assert_memory_equal(r->view.data, f + 14, v6 ? 48 : 28);
	assert_string_equal(pkt_addr_text(&r->view.src), from);
	free(r);
}

static void
arrives(int fd, ssize_t len)
{
	static char buf[4000];

	assert_int_equal(host_recv(smoke.g, fd, buf, sizeof(buf), SOON), len);
}

static int
narrow_link(void **state)
{
	if (peer.fd >= 0)
		netns_run(NULL, "ip link set weir0 mtu 1300");
	return smoke_each(state);
}

static int
wide_link(void **state)
{
	if (peer.fd >= 0)
		netns_run(NULL, "ip link set weir0 mtu 1500");
	return smoke_check(state);
}

static void
datagram_with_df_that_is_too_large_is_told_with_the_mtu(void **state)
{
	int fd = far_socket(PEER);
	static uint8_t f[2000];

	is_too_large(PEER, 1300, GW);
	/* The guest heeds it. */
	send_whole(PEER, 0x4000, f, 1300 - 28);
	arrives(fd, 1300 - 28);
	close(fd);
}

static void
datagram_without_df_is_fragmented_by_the_host(void **state)
{
	int fd = far_socket(PEER);
	static uint8_t f[2000];

	send_whole(PEER, 0, f, 1400);
	arrives(fd, 1400);
	close(fd);
}

static void
datagram_that_the_guest_fragments_is_fragmented_by_the_host(void **state)
{
	static const char *const to[] = { PEER, PEER6 };

	for (int i = 0; i < 2; i++) {
		const struct pkt_addr far = pkt_addr(to[i]);
		uint8_t ext[8] = { IPPROTO_UDP, 0, 0, 1, 0, 0, 0, 9 };
		struct pkt_ip ip = guest_ip(smoke.g, &far);
		static uint8_t f[3000], l4[3000], data[2000];
		int fd = far_socket(to[i]);
		size_t len;

		len = pkt_build_udp(f, &ip, guest_port(smoke.g), PORT, data, sizeof(data));
		memcpy(l4, f + len - 2008, 2008);
		for (unsigned int off = 0; off < 2008; off += 1200) {
			ip.frag = off == 0 ? 0x2000 : 1200 / 8;
			pkt_put16(ext + 2, off == 0 ? 1 : 1200);
			ip.options = i == 1 ? ext : NULL;
			ip.options_len = i == 1 ? sizeof(ext) : 0;
			ip.first_ext = 44;
			len = off == 0 ? 1200 : 2008 - 1200;
			len = pkt_build_ip(f, &ip, IPPROTO_UDP, l4 + off, len);
			guest_send_raw(smoke.g, NULL, f, len);
		}
		arrives(fd, sizeof(data));
		close(fd);
	}
}

static void
ipv6_datagram_that_is_too_large_is_told_with_the_mtu(void **state)
{
	int fd = far_socket(PEER6);
	static uint8_t f[2000];

	is_too_large(PEER6, 1300, GW6);
	send_whole(PEER6, 0, f, 1300 - 48);
	arrives(fd, 1300 - 48);
	close(fd);
}

static void
router_on_the_way_is_named_with_its_mtu(void **state)
{
	need_peer();
	is_too_large(NARROW, 1000, PEER);
	/* The host knows it now. */
	is_too_large(NARROW, 1000, GW);
}

static void
datagram_without_df_is_fragmented_on_the_way(void **state)
{
	static uint8_t f[2000];

	need_peer();
	send_whole(NARROW, 0, f, 1400);
	assert_null(guest_icmp_error(smoke.g, 3, NEVER));
}

/* ---- traceroute ---- */

/* Probes that run out at once: each is told with its own sequence number, id and checksum. */
static void
errors_quote_their_probes(const char *to)
{
	const struct pkt_addr far = pkt_addr(to);
	const bool v6 = far.len == 16;
	const size_t l4 = v6 ? 40 : 20;
	struct pkt_ip ip = guest_ip(smoke.g, &far);
	uint8_t f[128], sent[4][8];

	need_peer();
	ip.ttl = 1;
	for (uint16_t i = 0; i < 4; i++) {
		size_t len = pkt_build_icmp(
			f, &ip, v6 ? 128 : 8, 0, 0x00330000u + i, "some trace", 7 + i % 2);

		memcpy(sent[i], f + 14 + l4, 8);
		guest_send(smoke.g, f, len);
	}
	for (unsigned int seen = 0; seen != 0xf;) {
		struct guest_frame *r = guest_icmp_error(smoke.g, v6 ? 3 : 11, SOON);
		uint16_t seq;

		assert_non_null(r);
		assert_string_equal(pkt_addr_text(&r->view.src), v6 ? PEER6 : PEER);
		seq = pkt_get16(r->view.data + l4 + 6);
		assert_in_range(seq, 0, 3);
		assert_memory_equal(r->view.data + l4, sent[seq], 8);
		assert_false(seen >> seq & 1);
		seen |= 1u << seq;
		free(r);
	}
}

static void
echo_that_runs_out_is_told_with_the_probe_that_did(void **state)
{
	errors_quote_their_probes("198.18.0.7");
}

static void
echo_that_runs_out_is_told_with_the_probe_that_did_over_ipv6(void **state)
{
	errors_quote_their_probes("2001:db8:77::7");
}

/* ---- DSCP, ECN, TTL ---- */

static void
mark(int fd, bool v6, int tos, int ttl)
{
	setsockopt(
		fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_TCLASS : IP_TOS, &tos, sizeof(tos));
	setsockopt(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_UNICAST_HOPS : IP_TTL, &ttl,
		sizeof(ttl));
}

/* What the far end sends from fd to port of the host, as the guest sees it at its own. */
static void
is_marked(int fd, bool v6, uint16_t port, uint16_t guest_port)
{
	struct guest_frame *f;

	mark(fd, v6, 0xb8 | 3, 33);
	assert_int_equal(host_send_to(fd, v6 ? HERE6 : HERE, port, "ce", 2), 0);
	f = guest_udp_recv(smoke.g, guest_port, SOON);
	assert_non_null(f);
	assert_int_equal(f->view.tos, 0xb8 | 3);
	assert_int_equal(f->view.ttl, 33);
	free(f);
}

static void
dscp_ecn_and_ttl_of_an_answer_reach_the_guest(void **state)
{
	for (int v6 = 0; v6 < 2; v6++) {
		const struct pkt_addr far = pkt_addr(v6 ? PEER6 : PEER);
		uint16_t gport = guest_port(smoke.g), port;
		int fd = far_socket(v6 ? PEER6 : PEER);
		struct pkt_addr from;
		char buf[8];

		guest_udp_send(smoke.g, gport, &far, PORT, "x", 1);
		assert_int_equal(
			host_recv_from(smoke.g, fd, buf, sizeof(buf), &from, &port, SOON), 1);
		is_marked(fd, v6, port, gport);
		close(fd);
	}
}

static void
dscp_ecn_and_ttl_of_what_a_forward_takes_reach_the_guest(void **state)
{
	for (int v6 = 0; v6 < 2; v6++) {
		int fd = far_socket(v6 ? PEER6 : PEER);

		is_marked(fd, v6, 5000, 50);
		close(fd);
	}
}

/* ---- forwards ---- */

static void
guest_speaks_to_another_host_from_the_port_of_its_forward(void **state)
{
	for (int v6 = 0; v6 < 2; v6++) {
		const struct pkt_addr far = pkt_addr(v6 ? PEER6 : PEER);
		int fd = far_socket(v6 ? PEER6 : PEER);
		struct guest_frame *f;
		struct pkt_addr from;
		uint16_t port;
		char buf[8];

		guest_udp_send(smoke.g, 50, &far, PORT, "x", 1);
		assert_int_equal(
			host_recv_from(smoke.g, fd, buf, sizeof(buf), &from, &port, SOON), 1);
		assert_string_equal(pkt_addr_text(&from), v6 ? HERE6 : HERE);
		assert_int_equal(port, 5000);
		assert_int_equal(host_send_to(fd, v6 ? HERE6 : HERE, port, "yz", 2), 0);
		f = guest_udp_recv(smoke.g, 50, SOON);
		assert_non_null(f);
		assert_int_equal(f->view.sport, PORT);
		free(f);
		close(fd);
	}
}

/* ---- link-local ---- */

static void
link_local_peer_of_a_forward_is_answered(void **state)
{
	const struct pkt_addr here = pkt_addr("fe80::91");
	struct ifreq ifr = { .ifr_name = "peer0" };
	struct sockaddr_storage ss;
	socklen_t len;
	struct guest_frame *f;
	char buf[8];
	int fd;

	need_peer();
	netns_run(NULL, "ip addr add fe80::91/64 dev weir0 nodad");
	netns_run(&peer, "ip addr add fe80::92/64 dev peer0 nodad");
	fd = netns_socket(&peer, AF_INET6, SOCK_DGRAM, 0);
	assert_int_equal(ioctl(fd, SIOCGIFINDEX, &ifr), 0);
	len = pkt_sockaddr(&here, 5000, &ss);
	((struct sockaddr_in6 *)&ss)->sin6_scope_id = (uint32_t)ifr.ifr_ifindex;
	assert_int_equal(connect(fd, (struct sockaddr *)&ss, len), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(send(fd, "ask", 3, 0), 3);
		f = guest_udp_recv(smoke.g, 50, SOON);
		assert_non_null(f);
		assert_string_equal(pkt_addr_text(&f->view.src), GW6);
		guest_udp_send(smoke.g, 50, &f->view.src, f->view.sport, "told", 4);
		free(f);
		/* From the address that it spoke to, or a connected socket does not hear it. */
		assert_int_equal(host_recv(smoke.g, fd, buf, sizeof(buf), SOON), 4);
	}
	close(fd);
}

static int
up(void **state)
{
	static const char *const args[] = { "--vm", "a,socket=%d/a.sock,udp=5000:50", NULL };
	int rc = smoke_up(args);

	if (rc == 0 && smoke.net &&
		netns_peer(&peer, 0, HERE "/24", PEER "/24", HERE6 "/64", PEER6 "/64") == 0) {
		netns_run(NULL,
			"ip route add 198.19.0.0/24 via " PEER
			"; ip route add 198.18.0.0/24 via " PEER
			"; ip -6 route add 2001:db8:77::/64 via " PEER6);
		netns_run(&peer,
			"echo 1 > /proc/sys/net/ipv4/ip_forward;"
			"echo 1 > /proc/sys/net/ipv6/conf/all/forwarding;"
			"echo 0 > /proc/sys/net/ipv4/icmp_ratelimit;"
			"echo 0 > /proc/sys/net/ipv6/icmp/ratelimit;"
			"ip route add 198.18.0.0/24 via " HERE ";"
			"ip -6 route add 2001:db8:77::/64 via " HERE6 ";"
			"ip route add 198.19.0.0/24 via " HERE " mtu lock 1000");
	}
	return rc;
}

static int
down(void **state)
{
	netns_close(&peer);
	return smoke_down(state);
}

#define NARROW_LINK(f) cmocka_unit_test_setup_teardown(f, narrow_link, wide_link)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		NARROW_LINK(datagram_with_df_that_is_too_large_is_told_with_the_mtu),
		NARROW_LINK(datagram_without_df_is_fragmented_by_the_host),
		NARROW_LINK(datagram_that_the_guest_fragments_is_fragmented_by_the_host),
		NARROW_LINK(ipv6_datagram_that_is_too_large_is_told_with_the_mtu),
		SMOKE(router_on_the_way_is_named_with_its_mtu),
		SMOKE(datagram_without_df_is_fragmented_on_the_way),
		SMOKE(echo_that_runs_out_is_told_with_the_probe_that_did),
		SMOKE(echo_that_runs_out_is_told_with_the_probe_that_did_over_ipv6),
		SMOKE(guest_speaks_to_another_host_from_the_port_of_its_forward),
		SMOKE(link_local_peer_of_a_forward_is_answered),
		SMOKE(dscp_ecn_and_ttl_of_an_answer_reach_the_guest),
		SMOKE(dscp_ecn_and_ttl_of_what_a_forward_takes_reach_the_guest),
	};

	return cmocka_run_group_tests_name("conf_path", tests, up, down);
}
