/* SPDX-License-Identifier: BSD-3-Clause */
#include "test_l4x_ew_util.h"

uint8_t ew_frame[PKT_MAX];
uint8_t ew_data[PKT_MAX];

static void
addresses(uint16_t n, char a4[32], char a6[32])
{
	snprintf(a4, 32, "10.0.2.%u", 14u + n);
	snprintf(a6, 32, "fd00:2::%u", 14u + n);
}

static void
mac_of(uint16_t n, uint8_t mac[6])
{
	memcpy(mac, l4xkit_guest_mac, 6);
	mac[5] = (uint8_t)(mac[5] + n - 1);
}

struct l4x_port_conf
ew_conf(uint16_t n)
{
	struct l4x_port_conf c = l4xkit_conf();
	char a4[32], a6[32];

	addresses(n, a4, a6);
	c.pif = n;
	c.address = l4xkit_addr(a4);
	c.address6 = l4xkit_addr(a6);
	mac_of(n, c.guest_mac.addr_bytes);
	return c;
}

void
ew_port(struct l4xkit *k, const struct l4x_port_conf *c, uint32_t offloads)
{
	assert_int_equal(l4x_port_set(k->l, c), 0);
	l4x_port_link(k->l, c->pif, true, offloads);
}

struct l4xkit *
ew_create(l4xkit_tweak tweak)
{
	struct l4xkit *k = l4xkit_create(tweak);

	for (size_t i = 0; i < sizeof(ew_data); i++)
		ew_data[i] = (uint8_t)(i * 13 + (i >> 8));
	for (uint16_t n = 1; n <= 3; n++) {
		const struct l4x_port_conf c = ew_conf(n);

		ew_port(k, &c, EW_OFFLOADS);
	}
	k->limits.ecn = true;
	l4xkit_discard(k);
	return k;
}

void
ew_destroy(struct l4xkit *k)
{
	struct rules *r = k->l->ew.rules;

	l4x_rules_set(k->l, NULL);
	rules_destroy(r);
	l4xkit_destroy(k);
}

struct rules *
ew_rules_make(const struct rule *list, uint32_t n, enum rules_action policy)
{
	static unsigned int number;
	struct rule copy[64];
	char name[RULES_NAME_MAX];
	struct rules_params p = { .name = name,
		.rules = copy,
		.n_rules = n,
		.policy = { RULES_ACCEPT, RULES_ACCEPT, policy },
		.n_threads = 4,
		.socket_id = SOCKET_ID_ANY };
	struct rules *r;

	snprintf(name, sizeof(name), "ew%u", number++);
	assert_true(n <= RTE_DIM(copy));
	for (uint32_t i = 0; i < n; i++) {
		copy[i] = list[i];
		if (copy[i].number == 0)
			copy[i].number = i + 1;
	}
	r = rules_create(&p);
	assert_non_null(r);
	return r;
}

void
ew_rules(struct l4xkit *k, const struct rule *list, uint32_t n, enum rules_action policy)
{
	struct rules *old = k->l->ew.rules;

	l4x_rules_set(k->l, ew_rules_make(list, n, policy));
	rules_destroy(old);
}

void
ew_allow(struct l4xkit *k)
{
	ew_rules(k, NULL, 0, RULES_ACCEPT);
}

struct rules_net
ew_net(const char *addr, uint8_t len)
{
	return (struct rules_net){ .addr = l4xkit_addr(addr), .prefix_len = len };
}

struct pkt_ip
ew_ip(uint16_t a, uint16_t b, bool v6)
{
	char a4[32], a6[32];
	struct pkt_ip ip = { 0 };

	addresses(a, a4, a6);
	ip.src = pkt_addr(v6 ? a6 : a4);
	addresses(b, a4, a6);
	ip.dst = pkt_addr(v6 ? a6 : a4);
	mac_of(a, ip.src_mac);
	memcpy(ip.dst_mac, l4xkit_gateway_mac, 6);
	return ip;
}

void
ew_rx_mbuf(struct l4xkit *k, uint16_t n, struct rte_mbuf *m)
{
	l4x_rx_burst(k->l, n, 0, &m, 1, k->now_us);
	l4xkit_collect(k);
}

void
ew_rx(struct l4xkit *k, uint16_t n, const void *bytes, size_t len)
{
	ew_rx_mbuf(k, n, l4xkit_mbuf(k, bytes, (uint32_t)len, 0, 0));
}

const struct l4xkit_frame *
ew_expect(struct l4xkit *k, uint16_t n)
{
	const struct l4xkit_frame *f = l4xkit_expect_frame(k);
	uint8_t mac[6];

	mac_of(n, mac);
	assert_int_equal(f->pif, n);
	assert_memory_equal(k->view.dst_mac, mac, 6);
	assert_memory_equal(k->view.src_mac, l4xkit_gateway_mac, 6);
	assert_int_equal(k->view.ttl, 63);
	return f;
}

size_t
ew_udp(uint16_t a, uint16_t b, bool v6, uint16_t sport, uint16_t dport)
{
	const struct pkt_ip ip = ew_ip(a, b, v6);

	return pkt_build_udp(ew_frame, &ip, sport, dport, ew_data, 10);
}

size_t
ew_echo(uint16_t a, uint16_t b, bool v6, bool reply, uint16_t id)
{
	const struct pkt_ip ip = ew_ip(a, b, v6);
	const uint8_t type = v6 ? (reply ? 129 : 128) : (reply ? 0 : 8);

	return pkt_build_icmp(ew_frame, &ip, type, 0, (uint32_t)id << 16, ew_data, 10);
}

size_t
ew_tcp(uint16_t a, uint16_t b, bool v6, const struct pkt_tcp *t, size_t len)
{
	const struct pkt_ip ip = ew_ip(a, b, v6);

	return pkt_build_tcp(ew_frame, &ip, t, ew_data, len);
}

void
ew_connect(struct l4xkit *k, uint16_t a, uint16_t b, bool v6)
{
	struct pkt_tcp syn = { .sport = 1000,
		.dport = 80,
		.seq = 99,
		.flags = PKT_SYN,
		.win = 60000,
		.mss = 1460,
		.wscale = 7 };
	struct pkt_tcp syn_ack = { .sport = 80,
		.dport = 1000,
		.seq = 499,
		.ack = 100,
		.flags = PKT_SYN | PKT_ACK,
		.win = 60000,
		.mss = 1460,
		.wscale = 7 };

	ew_rx(k, a, ew_frame, ew_tcp(a, b, v6, &syn, 0));
	ew_expect(k, b);
	assert_int_equal(k->view.tcp.flags, PKT_SYN);
	ew_rx(k, b, ew_frame, ew_tcp(b, a, v6, &syn_ack, 0));
	ew_expect(k, a);
	assert_int_equal(k->view.tcp.flags, PKT_SYN | PKT_ACK);
	ew_rx(k, a, ew_frame, ew_segment(a, b, v6, false, 0));
	ew_expect(k, b);
	l4xkit_expect_nothing(k);
}

size_t
ew_segment(uint16_t a, uint16_t b, bool v6, bool back, size_t len)
{
	const struct pkt_tcp t = { .sport = back ? 80 : 1000,
		.dport = back ? 1000 : 80,
		.seq = back ? 500 : 100,
		.ack = back ? 100 : 500,
		.flags = PKT_ACK,
		.win = 60000,
		.wscale = -1 };

	return back ? ew_tcp(b, a, v6, &t, len) : ew_tcp(a, b, v6, &t, len);
}
