/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * lib/l4xlate under frames of any kind: cut anywhere, with any offload flags, in bursts, as time
 * passes, sockets answer, the link comes and goes. Held against xlate.h and pkt_check().
 *
 * Input: a byte that chooses the configuration, then steps: a byte whose low nibble says what, and
 * what step_*() read. Bit 4 with a frame: TCP in it acknowledges what weir has sent.
 */
#include <errno.h>
#include <netinet/in.h>

#include "xlate.h"

#define STEPS_MAX 512
#define FRAME_MAX 65549
/** Segments of one frame at most: a small pool has to do for a burst. */
#define SEGS_MAX 32

/* How a frame is made of its bytes. */
#define FRAME_ETHERNET 0x01 /**< put an Ethernet header in front */
#define FRAME_LENGTHS 0x02  /**< write the lengths of IP and UDP */
#define FRAME_SUMS 0x04     /**< write the checksums */
#define FRAME_VOUCHED 0x08  /**< the guest leaves the checksum to us */
#define FRAME_GSO 0x10      /**< with a segment size */
#define FRAME_CUT 0x20      /**< over segments */
#define FRAME_LONG 0x40     /**< of more bytes, and filled up with zeros to a length */
#define FRAME_FLUSH 0x80    /**< ends the burst, and the bridge answers */

static uint8_t choice;
static uint32_t next_seq; /**< what weir's last TCP segment asks to be acknowledged */

static void
tweak(struct l4x_params *p, struct l4x_port_conf *c)
{
	static const uint16_t mtus[] = { 1500, 1280, 9000, 65520 };
	static const struct l4x_forward udp = { .first = 8080, .last = 8087, .guest_first = 80 };

	c->udp = &udp;
	c->n_udp = 1;
	c->mtu = mtus[choice & 3];
	if ((choice & 0x04) != 0) {
		c->loopback = c->gateway;
		c->loopback6 = c->gateway6;
	}
	if ((choice & 0x08) != 0)
		c->dns_forward = l4xkit_addr("127.0.0.53");
	if ((choice & 0x10) != 0)
		c->ipv6 = false;
	if ((choice & 0x20) != 0) {
		c->n_queues = 4;
		c->queue_worker[1] = c->queue_worker[3] = 1;
	}
	if ((choice & 0x40) != 0) {
		c->max_flows = 4;
		c->new_flows_per_s = 16;
	}
	if ((choice & 0x80) != 0)
		p->max_flows = 3;
}

/* ---- frames ---- */

static bool
is_ip4(const uint8_t *f, size_t len)
{
	return len >= 14 + 20 + 8 && pkt_get16(f + 12) == PKT_ETH_IP4 && (f[14] & 15) >= 5 &&
		14u + (f[14] & 15u) * 4 + 8 <= len;
}

static bool
is_ip6(const uint8_t *f, size_t len)
{
	return len >= 14 + 40 + 8 && pkt_get16(f + 12) == PKT_ETH_IP6;
}

static void
set_lengths(uint8_t *f, size_t len)
{
	const bool v4 = is_ip4(f, len);
	const size_t l4 = v4 ? 14u + (f[14] & 15u) * 4 : 54;

	if (!v4 && !is_ip6(f, len))
		return;
	if (v4)
		pkt_put16(f + 16, (uint16_t)(len - 14));
	else
		pkt_put16(f + 18, (uint16_t)(len - 54));
	if ((v4 ? f[23] : f[20]) == IPPROTO_UDP)
		pkt_put16(f + l4 + 4, (uint16_t)(len - l4));
}

static size_t
put_ethernet(const struct l4xkit *k, uint8_t *f, uint8_t first)
{
	memcpy(f, k->conf.gateway_mac.addr_bytes, 6);
	memcpy(f + 6, l4xkit_guest_mac, 6);
	pkt_put16(f + 12,
		first >> 4 == 4           ? PKT_ETH_IP4
			: first >> 4 == 6 ? PKT_ETH_IP6
					  : PKT_ETH_ARP);
	return 14;
}

/** Lay the bytes out over segments: the first is as the port makes it, or longer. */
static struct rte_mbuf *
lay_out(struct xlate *x, const uint8_t *frame, size_t len, bool is_cut)
{
	const uint32_t least = (uint32_t)len / SEGS_MAX + 1;
	uint32_t head = 0, seg = 0;

	if (is_cut) {
		head = L4X_HEAD_BYTES + fuzz_u8(x->tape);
		seg = RTE_MAX((uint32_t)fuzz_u8(x->tape) + 1, least);
	}
	return l4xkit_mbuf(x->k, frame, (uint32_t)len, head, seg);
}

static void
look(struct xlate *x)
{
	const struct pkt_view *v = &x->k->view;

	while (xlate_frame(x) != NULL) {
		fuzz_trace("  < %s", pkt_text(v));
		if (v->proto == IPPROTO_TCP)
			next_seq = v->tcp.seq + (uint32_t)v->data_len +
				((v->tcp.flags & (PKT_SYN | PKT_FIN)) != 0);
	}
}

static void
acknowledge(uint8_t *f, size_t len)
{
	const bool v4 = is_ip4(f, len);
	const size_t l4 = v4 ? 14u + (f[14] & 15u) * 4 : 54;

	if ((v4 || is_ip6(f, len)) && (v4 ? f[23] : f[20]) == IPPROTO_TCP && l4 + 20 <= len)
		pkt_put32(f + l4 + 8, next_seq);
}

static void
flush(struct xlate *x)
{
	xlate_flush(x, false, UINT32_MAX);
	look(x);
}

static void
step_frame(struct xlate *x, bool acks)
{
	static uint8_t frame[FRAME_MAX + 1];
	const uint8_t flags = fuzz_u8(x->tape);
	size_t len = fuzz_u8(x->tape), want = len;
	struct rte_mbuf *m;
	size_t at = 0;

	if (!xlate_has_mbufs(x))
		return;
	if ((flags & FRAME_LONG) != 0) {
		len |= (size_t)fuzz_u8(x->tape) << 8;
		want = fuzz_u16(x->tape);
	}
	if ((flags & FRAME_ETHERNET) != 0 && fuzz_left(x->tape) > 0)
		at = put_ethernet(x->k, frame, *x->tape->at);
	len = at + fuzz_bytes(x->tape, frame + at, len);
	if (len < want && want <= FRAME_MAX) {
		memset(frame + len, 0, want - len);
		len = want;
	}
	if ((flags & FRAME_LENGTHS) != 0)
		set_lengths(frame, len);
	if (acks)
		acknowledge(frame, len);
	if ((flags & FRAME_SUMS) != 0 && (is_ip4(frame, len) || is_ip6(frame, len)))
		pkt_fix_sums(frame, len);
	if (len == 0)
		return;
	m = lay_out(x, frame, len, (flags & FRAME_CUT) != 0);
	if ((flags & FRAME_VOUCHED) != 0)
		m->ol_flags |= RTE_MBUF_F_RX_L4_CKSUM_NONE;
	if ((flags & FRAME_GSO) != 0)
		m->tso_segsz = fuzz_u16(x->tape);
	l4xkit_push_mbuf(x->k, m);
	if (x->k->n_burst == L4X_BURST || (flags & FRAME_FLUSH) != 0)
		flush(x);
	if ((flags & FRAME_FLUSH) != 0)
		xlate_settle(x);
}

/* ---- everything else ---- */

static void
step_time(struct xlate *x)
{
	const uint64_t us = (uint64_t)fuzz_u8(x->tape) << (fuzz_u8(x->tape) % 32);

	l4xkit_advance(x->k, us);
}

static const char *const peers[] = { "192.0.2.7", "127.0.0.1", "10.0.2.15", "169.254.1.1",
	"2001:db8::7", "::1", "fe80::7", "fd00:2::15" };

static void
step_listener(struct xlate *x)
{
	const uint8_t how = fuzz_u8(x->tape);
	struct l4x_event ev = { .type = L4X_EV_ACCEPTED };

	ev.accepted.peer = l4xkit_addr(peers[how % RTE_DIM(peers)]);
	ev.accepted.local =
		l4xkit_addr(flowtab_addr_is_v4(&ev.accepted.peer) ? "198.51.100.1" : "2001:db8::1");
	ev.accepted.peer_port = htons(1 + fuzz_u8(x->tape) + (how >> 4));
	ev.accepted.guest_port = htons(80 + (how >> 5));
	ev.accepted.local_port = htons(8080);
	ev.accepted.pif = (how & 0x10) != 0 && (how & 0x20) != 0 ? 2 : L4XKIT_PIF;
	if ((how & 8) != 0) {
		if (!xlate_has_mbufs(x))
			return;
		ev.type = L4X_EV_LISTEN_DGRAM;
		ev.len = fuzz_u16(x->tape);
		ev.accepted.m = xlate_payload(x, 0, ev.len, true);
	}
	xlate_accepted(x, &ev);
}

static void
step_error(struct xlate *x, struct xlate_sock *s)
{
	static const int errs[] = { ECONNREFUSED, ECONNRESET, EHOSTUNREACH, ENETUNREACH, ETIMEDOUT,
		EMSGSIZE, EACCES, EMFILE };
	const uint8_t how = fuzz_u8(x->tape);
	struct l4x_event ev = { 0 };

	ev.error.err = errs[how % RTE_DIM(errs)];
	if ((how & 8) != 0) {
		ev.error.from_icmp = 1;
		ev.error.icmp_type = fuzz_u8(x->tape);
		ev.error.icmp_code = fuzz_u8(x->tape);
		ev.error.info = fuzz_u16(x->tape);
		ev.error.has_echo = ev.error.info & 1;
		memset(ev.error.echo, how, sizeof(ev.error.echo));
		ev.error.offender = l4xkit_addr(peers[how >> 5]);
	}
	xlate_error(x, s, &ev);
}

/** A message for nobody, or for somebody else: what was under way when its flow ended. */
static void
step_stale(struct xlate *x)
{
	struct l4x_event ev = { .type = L4X_EV_CONNECTED + fuzz_u8(x->tape) % L4X_EV_TYPES };

	if (ev.type == L4X_EV_ACCEPTED || ev.type == L4X_EV_LISTEN_DGRAM)
		return;
	ev.flow = (uint64_t)fuzz_u32(x->tape) << 32 | fuzz_u8(x->tape);
	for (unsigned int i = 0; i < XLATE_FLOWS; i++)
		if (x->socks[i].open && x->socks[i].flow == ev.flow)
			return;
	if (ev.type == L4X_EV_DATA || ev.type == L4X_EV_DGRAM) {
		if (!xlate_has_mbufs(x))
			return;
		ev.len = fuzz_u8(x->tape);
		*(ev.type == L4X_EV_DATA ? &ev.data.m[0] : &ev.dgram.m) =
			xlate_payload(x, 0, ev.len, false);
	}
	xlate_event(x, &ev);
}

static void
step_sock(struct xlate *x)
{
	const uint8_t what = fuzz_u8(x->tape);
	struct xlate_sock *s = xlate_pick(x, what >> 3);

	if (s == NULL)
		return;
	switch (what & 7) {
	case 0:
		xlate_connected(x, s);
		break;
	case 1:
		s->remote = (fuzz_u8(x->tape) & 1) != 0;
		xlate_sent(x, s, fuzz_u16(x->tape));
		break;
	case 2:
		xlate_data(x, s, fuzz_u16(x->tape));
		break;
	case 3:
		xlate_eof(x, s);
		break;
	case 4:
		step_error(x, s);
		break;
	case 5:
		s->room = fuzz_u16(x->tape);
		s->lie = fuzz_u8(x->tape);
		break;
	default:
		xlate_dgram(x, s, (uint32_t)fuzz_u8(x->tape) << (fuzz_u8(x->tape) % 9));
		break;
	}
}

static void
remove_port(struct xlate *x)
{
	for (unsigned int i = 0; l4x_port_remove(x->k->l, L4XKIT_PIF) > 0; i++) {
		FUZZ_CHECK(i < 2 * XLATE_FLOWS, "l4x_port_remove() does not end");
		l4xkit_collect(x->k);
	}
	l4xkit_collect(x->k);
	FUZZ_CHECK(l4x_flow_count(x->k->l) == 0, "a flow has outlived its port");
	FUZZ_CHECK(l4x_port_set(x->k->l, &x->k->conf) == 0, "l4x_port_set");
}

static void
step_port(struct xlate *x)
{
	const uint8_t how = fuzz_u8(x->tape);

	flush(x);
	if ((how & 0x70) == 0x70)
		remove_port(x);
	if ((how & 0x70) == 0x60) {
		/* A reload. */
		x->k->conf.lease_s++;
		x->k->conf.new_flows_per_s = fuzz_u8(x->tape);
		FUZZ_CHECK(l4x_port_set(x->k->l, &x->k->conf) == 0, "l4x_port_set");
	}
	xlate_link(x, (how & 0x80) == 0, how & 0x0f);
}

static void
dump(const struct xlate *x)
{
	struct l4x_flow_info info[8];
	uint32_t cursor = 0, n, all = 0;

	while ((n = l4x_flow_dump(x->k->l, &cursor, info, RTE_DIM(info), x->k->now_us)) > 0) {
		for (uint32_t i = 0; i < n; i++)
			FUZZ_CHECK(memchr(info[i].state, 0, sizeof(info[i].state)) != NULL,
				"a state without an end");
		all += n;
	}
	FUZZ_CHECK(all == l4x_flow_count(x->k->l), "%u flows dumped of %u", all,
		l4x_flow_count(x->k->l));
}

static void
step(struct xlate *x)
{
	const uint8_t what = fuzz_u8(x->tape);

	switch (what & 15) {
	case 8:
		step_time(x);
		break;
	case 9:
		xlate_bridge(x, what >> 4);
		break;
	case 10:
		xlate_deliver(x, what >> 4);
		break;
	case 11:
		step_sock(x);
		break;
	case 12:
		step_listener(x);
		break;
	case 13:
		if ((what & 0x80) != 0)
			step_port(x);
		else
			step_stale(x);
		break;
	case 14:
		xlate_flush(x, (what & 0x10) != 0, (what & 0x20) != 0 ? what >> 6 : UINT32_MAX);
		break;
	case 15:
		if ((what & 0x80) != 0)
			dump(x);
		else
			xlate_settle(x);
		break;
	default:
		step_frame(x, (what & 0x10) != 0);
		break;
	}
	look(x);
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	xlate_init("fuzz_frames");
	return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_tape tape = { data, data + size };
	struct xlate *x;

	choice = fuzz_u8(&tape);
	next_seq = 0;
	x = xlate_begin(&tape, tweak);
	for (unsigned int i = 0; i < STEPS_MAX && fuzz_left(&tape) > 0; i++)
		step(x);
	xlate_end(x);
	return 0;
}
