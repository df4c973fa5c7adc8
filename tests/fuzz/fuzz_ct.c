/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * lib/flowtab's connection tracker under frames from several ports, with any translation, helper
 * and settings. Held against tracked.h.
 *
 * Input: a byte that chooses the configuration (tracked.c), then steps: a byte whose low nibble
 * says what, and what step_*() read. Its high nibble is how a packet is handed in (HOW_*, a part).
 */
#include <netinet/in.h>

#include "tracked.h"

#define STEPS_MAX 256
#define DATA_MAX 600
#define MACS .src_mac = { 2, 0, 0, 0, 0, 1 }, .dst_mac = { 2, 0, 0, 0, 0, 2 }

/* Bits of the high nibble of a step with a packet. */
#define STEP_COMMIT 0x10
#define STEP_BURST 0x20
#define STEP_CUT 0x40
#define STEP_MORE 0x80 /**< a byte of HOW_* follows */

static const char *const hosts[2][6] = {
	{ "10.0.2.15", "10.0.2.16", "10.0.2.17", "192.0.2.1", "198.51.100.7", "10.0.2.15" },
	{ "fd00:2::15", "fd00:2::16", "fd00:2::17", "2001:db8::1", "2001:db8:7::7", "fd00:2::15" },
};
static const uint16_t ports[8] = { 40000, 80, 21, 69, 8080, 1023, 511, 40001 };

/** What is said in connections of FTP and TFTP. */
static const char *const texts[] = {
	"PORT 10,0,2,15,31,144\r\n",
	"227 Entering (10,0,2,16,31,144).\r\n",
	"EPRT |1|10.0.2.15|8080|\r\n",
	"EPRT |2|fd00:2::15|8080|\r\n",
	"229 Entering (|||8080|)\r\n",
	"PORT 192,0,2,1,31,144\r\n",
	"227 =10,0,2,16,31,145\r\nPORT 10,0,2,15,4,0\r\n",
	"NOOP\r\nPORT 10,0,2,15,200,1\r\nPORT 10,0,2,15,200,2\r\n",
	"PORT 10,0,2,15,31,",
	"144\r\n",
	"227 (198,51,100,7,31,144)\r\n",
	"EPRT |2|2001:db8::1|65535|\r\n",
	"\r\n",
};

/* ---- settings of a flow ---- */

static struct flowtab_addr
addr(const char *text)
{
	struct flowtab_addr a;

	FUZZ_CHECK(flowtab_addr_parse(&a, text) == 0, "%s", text);
	return a;
}

static struct ct_nat_range
any_range(struct tracked *x)
{
	static const char *const ranges[][2] = { { "192.0.2.1", "192.0.2.1" },
		{ "192.0.2.1", "192.0.2.4" }, { "10.0.2.16", "10.0.2.17" },
		{ "2001:db8::1", "2001:db8::1" }, { "2001:db8::1", "2001:db8::ffff:ffff" },
		{ "fd00:2::16", "fd00:2::17" }, { "0.0.0.0", "0.0.0.0" }, { "::", "::" } };
	const uint8_t how = fuzz_u8(x->tape);
	struct ct_nat_range r = { 0 };

	r.min = addr(ranges[how & 7][0]);
	r.max = addr(ranges[how & 7][1]);
	if ((how & 0x08) != 0)
		r.port_min = ports[how >> 4 & 7];
	if ((how & 0x08) != 0)
		r.port_max = (uint16_t)RTE_MIN(r.port_min + (how >> 7) * 4, UINT16_MAX);
	return r;
}

/** @param nat room for the translation */
static struct ct_commit
any_commit(struct tracked *x, struct ct_nat *nat)
{
	const uint8_t how = fuzz_u8(x->tape);
	struct ct_commit c = { .opif = how & 3 };

	nat->what = how >> 2 & (CT_NAT_SRC | CT_NAT_DST);
	nat->choice = (how >> 4) % 3;
	if ((nat->what & CT_NAT_SRC) != 0)
		nat->src = any_range(x);
	if ((nat->what & CT_NAT_DST) != 0)
		nat->dst = any_range(x);
	if (nat->what != 0)
		c.nat = nat;
	if ((how & 0x80) != 0) {
		const uint8_t more = fuzz_u8(x->tape);

		c.helper = (more & 3) % 3;
		c.set_zone = (more & 4) != 0;
		c.zone = more >> 3 & 3;
		c.mark = more;
		c.mark_mask = more << 4;
		c.label_mask[0] = more >> 6;
		c.label[0] = more;
	}
	return c;
}

static void
hand_in(struct tracked *x, struct tracked_frame *f, uint8_t step)
{
	struct ct_nat nat = { 0 };
	struct ct_commit commit = { 0 };
	uint8_t how = 0;

	if ((step & STEP_MORE) != 0)
		how = fuzz_u8(x->tape) & (HOW_VOUCHED | HOW_PARTIAL | HOW_LOOKED_UP | HOW_SHARED);
	if ((step & STEP_CUT) != 0)
		how |= HOW_CUT;
	if ((step & STEP_BURST) != 0)
		how |= HOW_BURST;
	if ((step & STEP_COMMIT) != 0) {
		how |= HOW_COMMIT;
		commit = any_commit(x, &nat);
	}
	tracked_send(x, f, how, &commit);
}

/* ---- packets ---- */

/** Payload: a text, or so many zeros. */
static size_t
any_data(struct tracked *x, uint8_t *data)
{
	const uint8_t what = fuzz_u8(x->tape);
	size_t len = what & 0x7f;

	if ((what & 0x80) == 0) {
		memset(data, 0, len);
		return len;
	}
	if (len == 0x7f) { /* a request to read */
		memcpy(data, "\0\1f\0octet", 10);
		return 10;
	}
	len = strlen(texts[len % RTE_DIM(texts)]);
	memcpy(data, texts[(what & 0x7f) % RTE_DIM(texts)], len);
	return len;
}

/** What has no builder: ports, and a checksum where the protocol has one. */
static size_t
build_other(struct tracked_frame *f, const struct pkt_ip *ip, uint8_t proto, uint16_t sport,
	uint16_t dport, size_t len)
{
	uint8_t l4[DATA_MAX] = { 0 };

	pkt_put16(l4, sport);
	pkt_put16(l4 + 2, dport);
	if (proto == IPPROTO_DCCP)
		l4[4] = 3;
	if (proto == IPPROTO_UDPLITE || proto == IPPROTO_DCCP)
		pkt_put16(l4 + 6,
			pkt_sum_fold(pkt_sum(l4, len,
				pkt_sum_pseudo(&ip->src, &ip->dst, proto, (uint32_t)len))));
	return pkt_build_ip(f->b, ip, proto, l4, len);
}

static struct pkt_tcp
any_segment(struct tracked *x, uint32_t seq, uint32_t ack)
{
	static const uint8_t flags[] = { PKT_SYN, PKT_SYN | PKT_ACK, PKT_ACK, PKT_ACK | PKT_PSH,
		PKT_FIN | PKT_ACK, PKT_RST, PKT_RST | PKT_ACK, 0 };
	const uint8_t how = fuzz_u8(x->tape);
	struct pkt_tcp t = { .wscale = -1, .win = 8192, .seq = seq, .ack = ack };

	t.flags = (how & 7) != 7 ? flags[how & 7] : fuzz_u8(x->tape);
	if ((t.flags & PKT_ACK) == 0)
		t.ack = 0;
	if ((how & 0x08) != 0)
		t.seq += (uint32_t)(int8_t)fuzz_u8(x->tape);
	if ((how & 0x10) != 0)
		t.ack += (uint32_t)(int8_t)fuzz_u8(x->tape);
	if ((how & 0x20) != 0)
		t.seq += (uint32_t)fuzz_u8(x->tape) << 24;
	if ((how & 0x40) != 0)
		t.win = fuzz_u16(x->tape);
	if ((how & 0x80) != 0)
		t.wscale = fuzz_u8(x->tape) & 15;
	return t;
}

/** From anybody to anybody. */
static void
step_packet(struct tracked *x, uint8_t step, uint8_t proto)
{
	static const uint8_t others[] = { IPPROTO_SCTP, IPPROTO_UDPLITE, IPPROTO_DCCP, 47, 50 };
	const uint8_t who = fuzz_u8(x->tape), what = fuzz_u8(x->tape);
	const char *const *host = hosts[who >> 7];
	const uint16_t sport = ports[what & 7], dport = ports[what >> 3 & 7];
	struct pkt_ip ip = { MACS, .src = pkt_addr(host[(who & 7) % 6]),
		.dst = pkt_addr(host[(who >> 3 & 7) % 6]) };
	static struct tracked_frame f;
	uint8_t data[DATA_MAX];
	struct pkt_tcp t;
	size_t len;

	f.pif = 1 + (who >> 6 & 1) + (what >> 6 == 3);
	switch (proto) {
	case IPPROTO_TCP:
		t = any_segment(x, 1000, 5000);
		t.sport = sport;
		t.dport = dport;
		len = any_data(x, data);
		f.len = (uint32_t)pkt_build_tcp(f.b, &ip, &t, data, len);
		break;
	case IPPROTO_UDP:
		len = any_data(x, data);
		f.len = (uint32_t)pkt_build_udp(f.b, &ip, sport, dport, data, len);
		break;
	case IPPROTO_ICMP:
		f.len = (uint32_t)pkt_build_icmp(f.b, &ip,
			(what & 0x40) != 0 ? fuzz_u8(x->tape) : (ip.src.len == 4 ? 8 : 128), 0,
			(uint32_t)(what & 7) << 16, "data", 4);
		break;
	default:
		len = fuzz_u8(x->tape);
		f.len = (uint32_t)build_other(
			&f, &ip, others[what >> 6], sport, dport, RTE_MAX(len, (size_t)12));
		break;
	}
	fuzz_trace("packet %u at %u", proto, f.pif);
	hand_in(x, &f, step);
}

static struct pkt_addr
addr_of(const struct tracked_frame *f, bool dst)
{
	struct pkt_addr a = { .len = f->v4 ? 4 : 16 };

	memcpy(a.b, f->b + TRACKED_L3 + (f->v4 ? 12 : 8) + (dst ? a.len : 0), a.len);
	return a;
}

/** The one after, or the answer to, a segment. */
static struct pkt_tcp
next_segment(struct tracked *x, const struct tracked_frame *last, bool answer)
{
	const uint8_t *l4 = last->b + last->l4_off, flags = l4[13];
	uint32_t ack = pkt_get32(l4 + 8),
		 next = pkt_get32(l4 + 4) + last->l4_len -
		(uint32_t)(last->data_off - last->l4_off) + ((flags & PKT_SYN) != 0) +
		((flags & PKT_FIN) != 0);

	return any_segment(x, answer ? ack : next, answer ? next : ack);
}

/**
 * What one that went on calls for: the answer to it, from where it went to; or the next one of the
 * same direction.
 */
static void
step_reply(struct tracked *x, uint8_t step, bool answer)
{
	const uint8_t which = fuzz_u8(x->tape);
	const unsigned int i = (x->recent - 1 - (which & 7)) % TRACKED_RECENT;
	const struct tracked_frame *last = answer ? &x->out[i] : &x->in[i];
	const uint8_t *l4 = last->b + last->l4_off;
	/* From another port: a connection of data, where FTP is spoken. */
	const bool other = (which & 0x40) != 0;
	uint16_t sport, dport;
	static struct tracked_frame f;
	struct pkt_ip ip = { MACS };
	uint8_t data[DATA_MAX];
	struct pkt_tcp t;
	size_t len;

	if (last->len == 0)
		return;
	sport = (uint16_t)(pkt_get16(l4 + (answer ? 2 : 0)) - other);
	dport = pkt_get16(l4 + (answer ? 0 : 2));
	ip.src = addr_of(last, answer);
	ip.dst = addr_of(last, !answer);
	f.pif = last->pif;
	switch (last->proto) {
	case IPPROTO_TCP:
		t = next_segment(x, last, answer);
		t.sport = sport;
		t.dport = other ? 8080 : dport;
		len = any_data(x, data);
		f.len = (uint32_t)pkt_build_tcp(f.b, &ip, &t, data, len);
		break;
	case IPPROTO_UDP:
		len = any_data(x, data);
		f.len = (uint32_t)pkt_build_udp(f.b, &ip, sport, dport, data, len);
		break;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		f.len = (uint32_t)pkt_build_icmp(f.b, &ip,
			answer ? (l4[0] == 8 ? 0 : l4[0] + 1) : l4[0], 0, pkt_get32(l4 + 4), "data",
			4);
		break;
	default:
		f.len = (uint32_t)build_other(&f, &ip, last->proto, sport, dport, 40);
		break;
	}
	fuzz_trace("%s to one of %u", answer ? "answer" : "more", last->proto);
	hand_in(x, &f, step);
}

/** An ICMP error about one that went on, by who got it or a router; cut short, or spoilt. */
static void
step_error(struct tracked *x, uint8_t step)
{
	static const uint8_t types[2][4] = { { 3, 11, 12, 5 }, { 1, 2, 3, 4 } };
	const uint8_t which = fuzz_u8(x->tape), how = fuzz_u8(x->tape);
	const struct tracked_frame *last = &x->out[(x->recent - 1 - (which & 7)) % TRACKED_RECENT];
	static struct tracked_frame f;
	static uint8_t quote[TRACKED_FRAME];
	struct pkt_ip ip = { MACS };
	size_t len;

	if (last->len == 0)
		return;
	f.pif = last->pif;
	ip.dst = addr_of(last, false);
	ip.src = (which & 8) != 0 ? pkt_addr(last->v4 ? "10.0.2.2" : "fd00:2::2")
				  : addr_of(last, true);
	len = RTE_MIN(last->len - TRACKED_L3, 256U);
	if ((which & 0x10) != 0)
		len = RTE_MIN(len, (size_t)fuzz_u8(x->tape));
	memcpy(quote, last->b + TRACKED_L3, len);
	if ((which & 0x20) != 0 && len > 0)
		quote[how % len] ^= fuzz_u8(x->tape);
	f.len = (uint32_t)pkt_build_icmp(
		f.b, &ip, types[!last->v4][which >> 6], how & 3, 0, quote, len);
	fuzz_trace("error about one of %u", last->proto);
	hand_in(x, &f, step);
}

/** Bytes. With lengths and checksums of IPv4 and transport, if so wanted. */
static void
step_raw(struct tracked *x, uint8_t step)
{
	const uint8_t how = fuzz_u8(x->tape);
	static struct tracked_frame f;

	memset(f.b, 0, TRACKED_L3);
	f.pif = 1 + how % 3;
	f.len = TRACKED_L3;
	f.len += (uint32_t)fuzz_bytes(x->tape, f.b + f.len, fuzz_u8(x->tape));
	pkt_put16(f.b + 12, f.b[TRACKED_L3] >> 4 == 4 ? PKT_ETH_IP4 : PKT_ETH_IP6);
	if (f.len < TRACKED_L3 + 48)
		return;
	if ((how & 0x10) != 0)
		pkt_put16(f.b + (f.b[14] >> 4 == 4 ? 16 : 18),
			(uint16_t)(f.len - (f.b[14] >> 4 == 4 ? 14 : 54)));
	if ((how & 0x20) != 0 &&
		(f.b[14] >> 4 == 6 ||
			(f.b[14] >> 4 == 4 && (f.b[14] & 15) >= 5 && (f.b[14] & 15) <= 6)))
		pkt_fix_sums(f.b, f.len);
	hand_in(x, &f, step);
}

/** As it was, or with some bytes changed. */
static void
step_again(struct tracked *x, uint8_t step)
{
	const uint8_t which = fuzz_u8(x->tape);
	static struct tracked_frame f;

	f = (which & 8) != 0 ? x->out[which & 7] : x->in[which & 7];
	if (f.len == 0)
		return;
	if ((which & 0x10) != 0)
		f.b[fuzz_u16(x->tape) % f.len] ^= fuzz_u8(x->tape);
	if ((which & 0x20) != 0)
		f.pif = 1 + (which >> 6) % 3;
	hand_in(x, &f, step);
}

/* ---- everything else ---- */

static void
step_time(struct tracked *x)
{
	static const uint64_t ms[] = { 1, 999, 1000, 30000, 60000, 900000, 86400000, 1 };

	tracked_flush(x);
	x->now_ms += ms[fuzz_u8(x->tape) & 7] * fuzz_u8(x->tape);
	if ((fuzz_u8(x->tape) & 1) != 0) {
		flowtab_expire(x->ft, x->now_ms, 16);
		flowtab_expire(x->twin_ft, x->now_ms, 16);
		ct_expire(x->ct, x->now_ms, 4);
		ct_expire(x->twin, x->now_ms, 4);
	}
}

static void
step_settings(struct tracked *x)
{
	const uint8_t what = fuzz_u8(x->tape), value = fuzz_u8(x->tape);
	struct ct_policy policy = { 0 };
	uint32_t limit;

	tracked_flush(x);
	switch (what & 7) {
	case 0:
		policy.ms[value % CT_TIMEOUTS] = (uint64_t)fuzz_u8(x->tape) << (what >> 3);
		ct_policy_set(x->ct, value >> 4, &policy);
		ct_policy_set(x->twin, value >> 4, &policy);
		break;
	case 1:
		ct_zone_policy(x->ct, value & 3, value >> 4);
		ct_zone_policy(x->twin, value & 3, value >> 4);
		break;
	case 2:
		ct_seq_check(x->ct, (value & 1) != 0);
		ct_seq_check(x->twin, (value & 1) != 0);
		ct_pickup(x->ct, (value & 2) != 0);
		ct_pickup(x->twin, (value & 2) != 0);
		break;
	default:
		limit = (what & 0x80) != 0 ? FLOWTAB_LIMIT_UNSET
					   : flowtab_zone_count(x->zones, value & 3) + (value >> 6);
		flowtab_zone_limit_set(x->zones, value & 3, limit);
		flowtab_zone_limit_set(x->twin_zones, value & 3, limit);
		break;
	}
}

static void
step_flush(struct tracked *x)
{
	const uint8_t what = fuzz_u8(x->tape), value = fuzz_u8(x->tape);
	struct ct_match m = { .by_zone = (what & 1) != 0,
		.by_pif = (what & 2) != 0,
		.by_mark = (what & 4) != 0,
		.by_proto = (what & 8) != 0,
		.either_way = (what & 16) != 0,
		.zone = value & 3,
		.pif = value & 3,
		.mark = value,
		.mark_mask = 0xf0,
		.proto = (value & 1) != 0 ? IPPROTO_TCP : IPPROTO_UDP };
	const struct tracked_pkt *last = x->pkts;
	struct flowtab_tuple t;
	uint32_t cursor = 0;

	tracked_flush(x);
	if ((what & 0x80) != 0) {
		/* By the tuple of the last packet. */
		if (last->in.len == 0)
			return;
		ct_original(x->ct, &last->tuple, x->now_ms, &t);
		if ((what & 0x40) == 0)
			return;
		FUZZ_CHECK(ct_flush_tuple(x->ct, &last->tuple, x->now_ms) ==
				ct_flush_tuple(x->twin, &last->tuple, x->now_ms),
			"the twin has another flow");
		return;
	}
	if ((what & 0x20) != 0)
		m.src = addr(hosts[value >> 7][(value & 7) % 6]);
	m.src_len = (value & 8) != 0 ? 24 : 0;
	while (cursor != UINT32_MAX)
		ct_flush(x->ct, &m, &cursor, 7);
	for (cursor = 0; cursor != UINT32_MAX;)
		ct_flush(x->twin, &m, &cursor, 7);
}

static void
step(struct tracked *x)
{
	const uint8_t what = fuzz_u8(x->tape);

	switch (what & 15) {
	case 0:
	case 1:
		step_packet(x, what, IPPROTO_TCP);
		break;
	case 2:
		step_packet(x, what, IPPROTO_UDP);
		break;
	case 3:
		step_packet(x, what, IPPROTO_ICMP);
		break;
	case 4:
		step_packet(x, what, 0);
		break;
	case 5:
	case 6:
		step_reply(x, what, true);
		break;
	case 7:
	case 8:
		step_reply(x, what, false);
		break;
	case 9:
		step_error(x, what);
		break;
	case 10:
		step_raw(x, what);
		break;
	case 11:
		step_again(x, what);
		break;
	case 12:
		step_time(x);
		break;
	case 13:
		step_settings(x);
		break;
	case 14:
		step_flush(x);
		break;
	default:
		tracked_flush(x);
		tracked_audit(x);
		break;
	}
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	tracked_init("fuzz_ct");
	return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_tape tape = { data, data + size };
	static struct tracked x;

	tracked_begin(&x, &tape, fuzz_u8(&tape));
	for (unsigned int i = 0; i < STEPS_MAX && fuzz_left(&tape) > 0; i++)
		step(&x);
	tracked_end(&x);
	return 0;
}
