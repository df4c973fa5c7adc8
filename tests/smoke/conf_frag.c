/* SPDX-License-Identifier: BSD-3-Clause */
/* Fragments of a guest's datagrams (RFC 791, RFC 8200, RFC 5722). */
#include "smoke.h"

#define LEN 3000

static uint16_t next_id = 100;

/* A datagram of LEN bytes, whole, to be sent in pieces. */
struct whole {
	struct pkt_ip ip;
	bool v6;
	uint16_t id, port;
	int fd;
	uint8_t data[LEN];
	uint8_t l4[LEN + 8];
};

static void
prepare(struct whole *w, bool v6)
{
	uint8_t *f = malloc(PKT_MAX);
	uint16_t port = 0;

	memset(w, 0, sizeof(*w));
	w->v6 = v6;
	w->ip = guest_ip(smoke.g, v6 ? &smoke.g->gw6 : &smoke.g->gw);
	w->fd = host_udp(v6 ? LO6 : LO, &port);
	w->port = port;
	w->id = next_id++;
	host_fill(1, w->id, w->data, LEN);
	pkt_build_udp(f, &w->ip, guest_port(smoke.g), port, w->data, LEN);
	memcpy(w->l4, f + (v6 ? 54 : 34), sizeof(w->l4));
	free(f);
}

/* Bytes from..to of the datagram; `more`: further fragments follow. */
static void
piece(struct whole *w, size_t from, size_t to, bool more)
{
	struct pkt_ip ip = w->ip;
	uint8_t ext[8] = { IPPROTO_UDP }, f[2048];

	if (w->v6) {
		pkt_put16(ext + 2, (uint16_t)(from | more));
		pkt_put32(ext + 4, w->id);
		ip.options = ext;
		ip.options_len = 8;
		ip.first_ext = 44;
	} else {
		ip.id = w->id;
		ip.frag = (uint16_t)((more ? 0x2000 : 0) | from / 8);
	}
	guest_send_raw(
		smoke.g, NULL, f, pkt_build_ip(f, &ip, IPPROTO_UDP, w->l4 + from, to - from));
}

static void
whole_arrives(struct whole *w)
{
	static uint8_t buf[LEN + 100];

	assert_int_equal(host_recv(smoke.g, w->fd, buf, sizeof(buf), SOON), LEN);
	assert_memory_equal(buf, w->data, LEN);
	close(w->fd);
}

static void
nothing_arrives(struct whole *w)
{
	static uint8_t buf[LEN + 100];

	assert_int_equal(host_recv(smoke.g, w->fd, buf, sizeof(buf), NEVER), -ETIMEDOUT);
	close(w->fd);
}

static void
fragments_in_order_make_a_datagram(void **state)
{
	for (int v6 = 0; v6 < 2; v6++) {
		struct whole w;

		prepare(&w, v6);
		piece(&w, 0, 1400, true);
		piece(&w, 1400, 2800, true);
		piece(&w, 2800, LEN + 8, false);
		whole_arrives(&w);
	}
}

static void
fragments_in_reverse_order_make_a_datagram(void **state)
{
	for (int v6 = 0; v6 < 2; v6++) {
		struct whole w;

		prepare(&w, v6);
		piece(&w, 2800, LEN + 8, false);
		piece(&w, 1400, 2800, true);
		piece(&w, 0, 1400, true);
		whole_arrives(&w);
	}
}

static void
fragments_of_two_datagrams_are_kept_apart(void **state)
{
	struct whole a, b;

	prepare(&a, false);
	prepare(&b, false);
	piece(&a, 0, 1400, true);
	piece(&b, 0, 1400, true);
	piece(&b, 1400, 2800, true);
	piece(&a, 1400, 2800, true);
	piece(&a, 2800, LEN + 8, false);
	piece(&b, 2800, LEN + 8, false);
	whole_arrives(&a);
	whole_arrives(&b);
}

static void
overlapping_fragments_are_dropped(void **state)
{
	for (int v6 = 0; v6 < 2; v6++) {
		struct whole w;

		prepare(&w, v6);
		piece(&w, 0, 1400, true);
		piece(&w, 1392, 2800, true);
		piece(&w, 2800, LEN + 8, false);
		nothing_arrives(&w);
	}
}

static void
incomplete_datagram_is_not_delivered(void **state)
{
	struct whole w;

	prepare(&w, false);
	piece(&w, 0, 1400, true);
	piece(&w, 2800, LEN + 8, false);
	nothing_arrives(&w);
}

static void
fragment_that_is_no_multiple_of_8_is_dropped(void **state)
{
	struct whole w;

	prepare(&w, false);
	piece(&w, 0, 1399, true);
	piece(&w, 1400, 2800, true);
	piece(&w, 2800, LEN + 8, false);
	nothing_arrives(&w);
}

static void
fragment_beyond_64_kib_is_dropped(void **state)
{
	struct whole w;
	struct pkt_ip ip;
	uint8_t f[2048];

	prepare(&w, false);
	ip = w.ip;
	ip.id = w.id;
	ip.frag = 0x1fff;
	piece(&w, 0, 1400, true);
	guest_send_raw(smoke.g, NULL, f, pkt_build_ip(f, &ip, IPPROTO_UDP, w.l4, 1000));
	nothing_arrives(&w);
	smoke_serves(smoke.g);
}

static void
tiny_first_fragment_does_no_harm(void **state)
{
	struct whole w;

	prepare(&w, false);
	piece(&w, 0, 8, true);
	piece(&w, 8, 1400, true);
	piece(&w, 1400, 2800, true);
	piece(&w, 2800, LEN + 8, false);
	host_idle(smoke.g, 30);
	close(w.fd);
	guest_flush(smoke.g);
	smoke_serves(smoke.g);
}

static void
atomic_fragment_of_ipv6_is_a_datagram(void **state)
{
	struct guest *g = smoke.g;
	uint8_t ext[8] = { IPPROTO_UDP, 0, 0, 0, 1, 2, 3, 4 }, f[256];
	struct pkt_ip ip = guest_ip(g, &g->gw6);
	uint16_t port = 0;
	int fd = host_udp(LO6, &port);
	char buf[16];

	ip.options = ext;
	ip.options_len = 8;
	ip.first_ext = 44;
	guest_send_raw(g, NULL, f, pkt_build_udp(f, &ip, guest_port(g), port, "atomic", 6));
	assert_int_equal(host_recv(g, fd, buf, sizeof(buf), SOON), 6); /* RFC 6946 */
	close(fd);
}

static void
flood_of_lone_fragments_leaves_room_for_others(void **state)
{
	struct whole w;

	prepare(&w, false);
	for (int i = 0; i < 3000; i++) {
		w.id = next_id++;
		piece(&w, 0, 64, true);
	}
	close(w.fd);
	smoke_serves(smoke.g);
}

static void
fragment_whole_transport_header_is_missing_is_dropped(void **state)
{
	struct guest *g = smoke.g;
	struct pkt_ip ip = guest_ip(g, &g->gw);
	uint8_t f[128];

	ip.id = next_id++;
	ip.frag = 0;
	guest_send_raw(g, NULL, f, pkt_build_ip(f, &ip, IPPROTO_UDP, "abc", 3));
	ip.frag = 0x2000;
	guest_send_raw(g, NULL, f, pkt_build_ip(f, &ip, IPPROTO_UDP, "", 0));
	smoke_serves(g);
}

/* An ICMP error that quotes a fragment of this datagram. */
static bool
is_about(const struct pkt_view *v, void *arg)
{
	const struct whole *w = arg;

	if (w->v6)
		return v->proto == IPPROTO_ICMPV6 && v->icmp_type < 128 && v->data_len >= 48 &&
			pkt_get32(v->data + 44) == w->id;
	return v->proto == IPPROTO_ICMP && v->icmp_type != 0 && pkt_get16(v->data + 4) == w->id;
}

static void
sender_is_told_when_the_rest_does_not_come_but_not_of_errors(void **state)
{
	const long long before = smoke_stat("frag-timeout");
	uint8_t f[256], error[64] = { 3, 3 };
	struct guest *g = smoke.g;
	struct whole w[3];
	struct pkt_ip ip;

	for (int i = 0; i < 3; i++)
		prepare(&w[i], i == 2);
	ip = w[0].ip;
	ip.id = w[0].id;
	ip.frag = 0x2000;
	guest_send_raw(g, NULL, f, pkt_build_ip(f, &ip, IPPROTO_ICMP, error, sizeof(error)));
	piece(&w[1], 0, 1000, true);
	piece(&w[2], 0, 1000, true);
	for (int i = 1; i < 3; i++) {
		struct guest_frame *r = guest_wait(g, is_about, &w[i], 12 * SOON);

		assert_non_null(r);
		assert_int_equal(r->view.icmp_type, w[i].v6 ? 3 : 11);
		assert_int_equal(r->view.icmp_code, 1);
		free(r);
	}
	assert_true(guest_never(g, is_about, &w[0], 0));
	assert_true(smoke_stat("frag-timeout") >= before + 3);
	for (int i = 0; i < 3; i++)
		close(w[i].fd);
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
		SMOKE(fragments_in_order_make_a_datagram),
		SMOKE(fragments_in_reverse_order_make_a_datagram),
		SMOKE(fragments_of_two_datagrams_are_kept_apart),
		SMOKE(overlapping_fragments_are_dropped),
		SMOKE(incomplete_datagram_is_not_delivered),
		SMOKE(fragment_that_is_no_multiple_of_8_is_dropped),
		SMOKE(fragment_beyond_64_kib_is_dropped),
		SMOKE(tiny_first_fragment_does_no_harm),
		SMOKE(atomic_fragment_of_ipv6_is_a_datagram),
		SMOKE(fragment_whole_transport_header_is_missing_is_dropped),
		SMOKE(sender_is_told_when_the_rest_does_not_come_but_not_of_errors),
		SMOKE(flood_of_lone_fragments_leaves_room_for_others),
	};

	return cmocka_run_group_tests_name("conf_frag", tests, up, smoke_down);
}
