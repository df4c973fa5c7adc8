/* SPDX-License-Identifier: BSD-3-Clause */
#include "test_ct_util.h"

#include <string.h>

#define POOL 256

const struct ctkit_way ctkit_out4 = { "10.0.2.15", "10.0.2.16", 40000, 80, CTKIT_CLIENT_PIF };
const struct ctkit_way ctkit_in4 = { "10.0.2.16", "10.0.2.15", 80, 40000, CTKIT_SERVER_PIF };
const struct ctkit_way ctkit_out6 = { "fd00:2::15", "fd00:2::16", 40000, 80, CTKIT_CLIENT_PIF };
const struct ctkit_way ctkit_in6 = { "fd00:2::16", "fd00:2::15", 80, 40000, CTKIT_SERVER_PIF };
const struct ct_commit ctkit_plain = { .opif = CTKIT_SERVER_PIF };

void
ctkit_open(struct ctkit *k, const struct ct_params *params, uint32_t max_flows)
{
	struct ct_params p = params != NULL ? *params : (struct ct_params){ .secret = "ctkit" };

	*k = (struct ctkit){ .now_ms = T0 };
	k->ft = table_new(max_flows);
	k->pool = rte_pktmbuf_pool_create("ctkit", POOL, 0, 0, 4096, SOCKET_ID_ANY);
	assert_non_null(k->pool);
	p.ft = k->ft;
	p.socket_id = SOCKET_ID_ANY;
	k->ct = ct_create(&p);
	assert_non_null(k->ct);
}

void
ctkit_close(struct ctkit *k)
{
	assert_int_equal(rte_mempool_avail_count(k->pool), POOL);
	ct_destroy(k->ct);
	assert_int_equal(flowtab_count(k->ft), 0);
	flowtab_destroy(k->ft);
	rte_mempool_free(k->pool);
}

void
ctkit_frame(struct ctkit *k, struct ctkit_pkt *c, uint16_t pif, const uint8_t *frame, size_t len)
{
	*c = (struct ctkit_pkt){ .tuple = { .pif = pif, .zone = k->zone } };
	c->p.m = rte_pktmbuf_alloc(k->pool);
	assert_non_null(c->p.m);
	memcpy(rte_pktmbuf_append(c->p.m, (uint16_t)len), frame, len);
	c->p.l3_off = 14;
	c->parsed = ct_pkt_parse(&c->p, &c->tuple);
}

void
ctkit_free(struct ctkit_pkt *c)
{
	rte_pktmbuf_free(c->p.m);
	c->p.m = NULL;
}

struct ctkit_way
ctkit_back(const struct ctkit_way *w, uint16_t pif)
{
	return (struct ctkit_way){ w->dst, w->src, w->dport, w->sport, pif };
}

static struct pkt_ip
ip_of(const struct ctkit_way *w)
{
	return (struct pkt_ip){
		.src_mac = { 2, 0, 0, 0, 0, 1 },
		.dst_mac = { 2, 0, 0, 0, 0, 2 },
		.src = pkt_addr(w->src),
		.dst = pkt_addr(w->dst),
	};
}

void
ctkit_tcp(struct ctkit *k, struct ctkit_pkt *c, const struct ctkit_way *w,
	const struct pkt_tcp *tcp, size_t data_len)
{
	static const uint8_t data[2048];
	static uint8_t frame[PKT_MAX];
	struct pkt_ip ip = ip_of(w);
	struct pkt_tcp t = *tcp;

	t.sport = w->sport;
	t.dport = w->dport;
	ctkit_frame(k, c, w->pif, frame, pkt_build_tcp(frame, &ip, &t, data, data_len));
}

void
ctkit_udp(struct ctkit *k, struct ctkit_pkt *c, const struct ctkit_way *w, size_t data_len)
{
	static const uint8_t data[2048];
	static uint8_t frame[PKT_MAX];
	struct pkt_ip ip = ip_of(w);

	ctkit_frame(
		k, c, w->pif, frame, pkt_build_udp(frame, &ip, w->sport, w->dport, data, data_len));
}

void
ctkit_echo(struct ctkit *k, struct ctkit_pkt *c, const struct ctkit_way *w, bool reply)
{
	static uint8_t frame[PKT_MAX];
	struct pkt_ip ip = ip_of(w);
	bool v4 = ip.src.len == 4;
	uint8_t type = reply ? (v4 ? 0 : 129) : (v4 ? 8 : 128);
	size_t len = pkt_build_icmp(frame, &ip, type, 0, (uint32_t)w->sport << 16 | 1, "ping", 4);

	ctkit_frame(k, c, w->pif, frame, len);
}

uint8_t
ctkit_track(struct ctkit *k, struct ctkit_pkt *c, const struct ct_commit *commit)
{
	ct_track(k->ct, &c->p, k->now_ms);
	if (commit != NULL)
		ct_commit(k->ct, &c->p, commit, k->now_ms);
	ctkit_free(c);
	return c->p.state;
}

uint8_t
ctkit_seg(struct ctkit *k, const struct ctkit_way *w, uint8_t flags, uint32_t seq, uint32_t ack,
	size_t len, uint16_t win, int wscale, const struct ct_commit *commit)
{
	struct pkt_tcp tcp = {
		.seq = seq, .ack = ack, .flags = flags, .win = win, .wscale = wscale
	};
	struct ctkit_pkt c;

	ctkit_tcp(k, &c, w, &tcp, len);
	return ctkit_track(k, &c, commit);
}

uint32_t
ctkit_find(struct ctkit *k, const struct ctkit_way *w, uint8_t proto)
{
	struct flowtab_tuple t = {
		.eport = rte_cpu_to_be_16(w->sport),
		.oport = rte_cpu_to_be_16(w->dport),
		.pif = w->pif,
		.zone = k->zone,
		.proto = proto,
	};

	assert_int_equal(flowtab_addr_parse(&t.eaddr, w->src), 0);
	assert_int_equal(flowtab_addr_parse(&t.oaddr, w->dst), 0);
	return flowtab_lookup(k->ft, &t, k->now_ms, NULL);
}

uint64_t
ctkit_left_ms(struct ctkit *k, const struct ctkit_way *w, uint8_t proto)
{
	uint32_t idx = ctkit_find(k, w, proto);

	assert_int_not_equal(idx, FLOWTAB_NONE);
	return flowtab_flows(k->ft)[idx].deadline_ms - k->now_ms;
}

uint64_t
ctkit_reason(const struct ctkit *k, enum ct_reason r)
{
	return ct_reasons(k->ct)[r];
}

uint64_t
ctkit_count(const struct ctkit *k, enum ct_count c)
{
	return ct_counts(k->ct)[c];
}
