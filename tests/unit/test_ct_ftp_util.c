/* SPDX-License-Identifier: BSD-3-Clause */
#include "test_ct_ftp_util.h"

#include <string.h>

#include "ct_priv.h"

#define C4 "10.0.2.15"
#define C4_SEEN "192.0.2.201"
#define S4 "198.51.100.7"
#define S4_SEEN "10.0.2.100"
#define C6 "fd00:2::15"
#define C6_SEEN "2001:db8:a:b:c:d:e:f"
#define S6 "2001:db8:7::7"
#define S6_SEEN "fd00:2::100"

const struct ftp_path ftp_plain4 = { C4, C4, S4, S4 };
const struct ftp_path ftp_snat4 = { C4, C4_SEEN, S4, S4 };
const struct ftp_path ftp_dnat4 = { C4, C4, S4, S4_SEEN };
const struct ftp_path ftp_both4 = { C4, C4_SEEN, S4, S4_SEEN };
const struct ftp_path ftp_plain6 = { C6, C6, S6, S6 };
const struct ftp_path ftp_snat6 = { C6, C6_SEEN, S6, S6 };
const struct ftp_path ftp_dnat6 = { C6, C6, S6, S6_SEEN };
const struct ftp_path ftp_both6 = { C6, C6_SEEN, S6, S6_SEEN };

#define CLIENT_ISN 0xfffffff0U
#define SERVER_ISN 5000U
#define CONTROL_PORT 21
#define OPTS 20

static struct flowtab_addr
addr_of(const char *text)
{
	struct flowtab_addr a;

	assert_int_equal(flowtab_addr_parse(&a, text), 0);
	return a;
}

/** What the flow is translated to. */
static struct ct_nat
nat_of(const struct ftp_path *path)
{
	struct ct_nat n = { 0 };

	if (strcmp(path->client, path->client_seen) != 0) {
		n.what |= CT_NAT_SRC;
		n.src.min = n.src.max = addr_of(path->client_seen);
	}
	if (strcmp(path->server, path->server_seen) != 0) {
		n.what |= CT_NAT_DST;
		n.dst.min = n.dst.max = addr_of(path->server);
	}
	return n;
}

/** The way of packets as their sender sees it. */
static struct ctkit_way
way_of(const struct ftp *f, unsigned int end)
{
	if (end == CLIENT)
		return (struct ctkit_way){ f->path.client, f->path.server_seen, f->port,
			CONTROL_PORT, CTKIT_CLIENT_PIF };
	return (struct ctkit_way){ f->path.server, f->path.client_seen, CONTROL_PORT, f->port_seen,
		CTKIT_SERVER_PIF };
}

static uint16_t
pif_of(unsigned int end)
{
	return end == CLIENT ? CTKIT_CLIENT_PIF : CTKIT_SERVER_PIF;
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

/** NOPs, then SACK with two blocks. */
static void
put_sack(uint8_t *opt, const struct ftp_seg *s)
{
	unsigned int at = s->odd ? 1 : 2;

	memset(opt, 1, OPTS);
	opt[at] = 5;
	opt[at + 1] = 18;
	for (unsigned int i = 0; i < 4; i++)
		pkt_put32(opt + at + 2 + 4 * i, s->sack[i]);
}

static void
get_sack(const struct pkt_view *v, struct ftp_got *got)
{
	const uint8_t *opt = v->l4 + 20;
	unsigned int at = 0;

	while (opt[at] == 1)
		at++;
	assert_int_equal(opt[at], 5);
	for (unsigned int i = 0; i < 4; i++)
		got->sack[i] = pkt_get32(opt + at + 2 + 4 * i);
}

/** The frame in a packet, laid out as the segment wants it. */
static void
lay_out(struct ctkit *k, struct ctkit_pkt *c, const struct ftp_seg *s, uint16_t pif, uint8_t *frame,
	size_t len)
{
	struct virtio_net_hdr hdr;
	uint16_t behind;
	char *room;

	if ((s->pkt & CT_PKT_CSUM_PARTIAL) != 0)
		pkt_make_partial(frame, len, &hdr);
	memset(frame + len, 0, s->pad);
	ctkit_frame(k, c, pif, frame, len + s->pad);
	assert_int_equal(c->parsed, 0);
	c->p.flags = s->pkt;
	if (s->head != 0) {
		struct rte_mbuf *tail = rte_pktmbuf_alloc(k->pool);

		assert_non_null(tail);
		behind = (uint16_t)(c->p.m->data_len - c->p.data_off - s->head);
		room = rte_pktmbuf_append(tail, behind);
		memcpy(room, rte_pktmbuf_mtod_offset(c->p.m, char *, c->p.data_off + s->head),
			behind);
		rte_pktmbuf_trim(c->p.m, behind);
		assert_int_equal(rte_pktmbuf_chain(c->p.m, tail), 0);
	}
}

/** What left, if it did, must be faultless, and from and to whom the other end knows. */
static void
take_out(struct ftp *f, unsigned int end, const struct ftp_seg *s, struct ctkit_pkt *c,
	struct ftp_got *got)
{
	struct ctkit_way back = way_of(f, !end);
	struct virtio_net_hdr hdr = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_offset = 16 };
	struct pkt_limits limits = { .csum = true };
	struct pkt_view v;
	struct pkt_addr src = pkt_addr(back.dst), dst = pkt_addr(back.src);
	static uint8_t frame[PKT_MAX];
	const char *bad;
	uint32_t len = c->p.m->pkt_len - (uint32_t)s->pad, l4_off = c->p.l4_off;

	got->verdict = c->p.verdict;
	got->reason = c->p.reason;
	got->state = c->p.state;
	got->flow = c->p.flow;
	if (got->verdict != CT_ACCEPT)
		return;
	assert_non_null(rte_pktmbuf_read(c->p.m, 0, len, frame));
	if (rte_pktmbuf_is_contiguous(c->p.m))
		memcpy(frame, rte_pktmbuf_mtod(c->p.m, void *), len);
	assert_int_equal(rte_mbuf_check(c->p.m, 1, &bad), 0);
	hdr.csum_start = (uint16_t)l4_off;
	bad = pkt_check(frame, len, (s->pkt & CT_PKT_CSUM_PARTIAL) != 0 ? &hdr : NULL, &limits, &v);
	if (bad != NULL)
		fail_msg("%s", bad);
	if (f->port_seen == 0)
		f->port_seen = v.sport;
	assert_true(pkt_addr_eq(&v.src, &src) && pkt_addr_eq(&v.dst, &dst));
	assert_int_equal(v.sport, way_of(f, !end).dport);
	assert_int_equal(v.dport, back.sport);
	assert_int_equal(c->p.l4_len, v.l4_len);
	assert_int_equal(len - c->p.l4_off, c->p.l4_len);
	got->seq = v.tcp.seq;
	got->ack = v.tcp.ack;
	got->flags = v.tcp.flags;
	got->len = v.data_len;
	assert_true(v.data_len < sizeof(got->text));
	memcpy(got->text, v.data, v.data_len);
	if (s->sack[0] != 0)
		get_sack(&v, got);
}

void
ftp_send(struct ftp *f, unsigned int end, const struct ftp_seg *s, struct ftp_got *got)
{
	struct ct_nat nat = nat_of(&f->path);
	struct ct_commit commit = {
		.nat = nat.what != 0 ? &nat : NULL,
		.opif = CTKIT_SERVER_PIF,
		.helper = f->helper,
		.mark = f->mark,
		.mark_mask = UINT32_MAX,
	};
	static uint8_t frame[PKT_MAX];
	struct ctkit_way w = way_of(f, end);
	struct pkt_ip ip = ip_of(&w);
	uint8_t opts[OPTS];
	struct pkt_tcp tcp = {
		.sport = w.sport,
		.dport = w.dport,
		.seq = s->seq,
		.ack = s->ack,
		.flags = s->flags,
		.win = 60000,
		.wscale = -1,
		.options = opts,
		.options_len = s->sack[0] != 0 ? OPTS : 0,
	};
	struct ctkit_pkt c;
	uint16_t room;
	size_t len;

	put_sack(opts, s);
	*got = (struct ftp_got){ 0 };
	len = pkt_build_tcp(frame, &ip, &tcp, s->text, s->text != NULL ? strlen(s->text) : 0);
	lay_out(f->k, &c, s, w.pif, frame, len);
	room = c.p.m->buf_len;
	if (s->full)
		c.p.m->buf_len = (uint16_t)(c.p.m->data_off + c.p.m->data_len);
	ct_track(f->k->ct, &c.p, f->k->now_ms);
	if (c.p.verdict == CT_ACCEPT && c.p.flow == FLOWTAB_NONE)
		ct_commit(f->k->ct, &c.p, &commit, f->k->now_ms);
	take_out(f, end, s, &c, got);
	c.p.m->buf_len = room;
	ctkit_free(&c);
}

void
ftp_begin(struct ftp *f)
{
	struct ftp_seg syn = { .seq = CLIENT_ISN, .flags = PKT_SYN };
	struct ftp_seg synack = {
		.seq = SERVER_ISN, .ack = CLIENT_ISN + 1, .flags = PKT_SYN | PKT_ACK
	};
	struct ftp_got got;

	ftp_send(f, CLIENT, &syn, &got);
	assert_int_equal(got.verdict, CT_ACCEPT);
	assert_int_equal(got.seq, CLIENT_ISN);
	f->sent[CLIENT] = f->rcvd[SERVER] = CLIENT_ISN + 1;
	ftp_send(f, SERVER, &synack, &got);
	assert_int_equal(got.verdict, CT_ACCEPT);
	assert_int_equal(got.seq, SERVER_ISN);
	assert_int_equal(got.ack, CLIENT_ISN + 1);
	f->sent[SERVER] = f->rcvd[CLIENT] = SERVER_ISN + 1;
	ftp_ack(f, CLIENT, &got);
}

void
ftp_open(struct ftp *f, struct ctkit *k, const struct ftp_path *path, uint16_t port)
{
	*f = (struct ftp){
		.k = k,
		.path = *path,
		.port = port,
		.helper = CT_HELPER_FTP,
		.mark = 0x1234,
	};
	ftp_begin(f);
	ftp_tell(f, SERVER, "220 ready\r\n");
	ftp_tell(f, CLIENT, "USER ftp\r\n");
	ftp_tell(f, SERVER, "230-Welcome\r\n230 logged in\r\n");
}

void
ftp_say(struct ftp *f, unsigned int end, const char *text, struct ftp_got *got)
{
	struct ftp_seg s = ftp_next(f, end, text);

	ftp_send(f, end, &s, got);
	f->sent[end] += (uint32_t)strlen(text);
}

void
ftp_hear(struct ftp *f, unsigned int end, const struct ftp_got *got)
{
	assert_int_equal(got->verdict, CT_ACCEPT);
	assert_int_equal(got->seq, f->rcvd[end]);
	f->rcvd[end] += (uint32_t)got->len;
}

void
ftp_ack(struct ftp *f, unsigned int end, struct ftp_got *got)
{
	struct ftp_seg s = { .seq = f->sent[end], .ack = f->rcvd[end], .flags = PKT_ACK };

	ftp_send(f, end, &s, got);
	assert_int_equal(got->verdict, CT_ACCEPT);
	assert_int_equal(got->seq, f->rcvd[!end]);
}

const char *
ftp_tell(struct ftp *f, unsigned int end, const char *text)
{
	static char heard[sizeof(((struct ftp_got *)0)->text)];
	struct ftp_got got;

	ftp_say(f, end, text, &got);
	ftp_hear(f, !end, &got);
	memcpy(heard, got.text, sizeof(heard));
	ftp_ack(f, !end, &got);
	assert_int_equal(got.ack, f->sent[end]);
	return heard;
}

void
ftp_read(const struct ftp *f, unsigned int announcer, const char *text, struct ftp_target *t)
{
	const char *at = strpbrk(text, "0123456789|(");
	unsigned int h[6], n;

	if (strncmp(text, "22", 2) == 0)
		at = strpbrk(text + 4, "0123456789|(");
	assert_non_null(at);
	if (*at == '(')
		at++;
	if (sscanf(at, "%u,%u,%u,%u,%u,%u", h, h + 1, h + 2, h + 3, h + 4, h + 5) == 6) {
		snprintf(t->addr, sizeof(t->addr), "%u.%u.%u.%u", h[0], h[1], h[2], h[3]);
		t->port = (uint16_t)(h[4] << 8 | h[5]);
		return;
	}
	if (sscanf(at, "|||%u|", &n) == 1) {
		snprintf(t->addr, sizeof(t->addr), "%s",
			announcer == CLIENT ? f->path.client_seen : f->path.server_seen);
		t->port = (uint16_t)n;
		return;
	}
	assert_int_equal(sscanf(at, "|%u|%63[^|]|%u|", h, t->addr, &n), 3);
	assert_int_equal(h[0] == 2, strchr(t->addr, ':') != NULL);
	t->port = (uint16_t)n;
}

uint32_t
ftp_flow(const struct ftp *f)
{
	struct ctkit_way w = way_of(f, CLIENT);

	return ctkit_find(f->k, &w, IPPROTO_TCP);
}

uint32_t
ftp_expects(const struct ftp *f)
{
	uint32_t idx = ftp_flow(f);

	assert_int_not_equal(idx, FLOWTAB_NONE);
	assert_true((f->k->ct->flows[idx].flags & CT_F_HELPED) != 0);
	return f->k->ct->helped[f->k->ct->flows[idx].ext].expects;
}

/**
 * One segment of a data connection.
 * @param out as it must leave; sport 0: as it does
 * @return false: it does not leave so
 */
static bool
data_seg(struct ftp *f, const struct ctkit_way *w, struct ctkit_way *out, uint8_t flags,
	uint8_t *state)
{
	struct ct_commit commit = {
		.opif = w->pif == CTKIT_CLIENT_PIF ? CTKIT_SERVER_PIF : CTKIT_CLIENT_PIF,
		.mark = 0x80000000,
		.mark_mask = 0x80000000,
	};
	struct pkt_tcp tcp = { .seq = 1,
		.ack = (flags & PKT_ACK) != 0 ? 2 : 0,
		.flags = flags,
		.win = 1000,
		.wscale = -1 };
	struct pkt_addr src = pkt_addr(out->src), dst = pkt_addr(out->dst);
	struct ctkit_pkt c;
	struct pkt_limits limits = { 0 };
	struct pkt_view v;
	bool ok;

	ctkit_tcp(f->k, &c, w, &tcp, 0);
	ct_track(f->k->ct, &c.p, f->k->now_ms);
	*state = c.p.state;
	if (c.p.verdict == CT_ACCEPT && c.p.flow == FLOWTAB_NONE) {
		if ((c.p.state & CT_REL) != 0)
			assert_int_equal(c.p.mark, f->mark);
		ct_commit(f->k->ct, &c.p, &commit, f->k->now_ms);
	}
	ok = c.p.verdict == CT_ACCEPT;
	if (ok) {
		assert_null(pkt_check(
			rte_pktmbuf_mtod(c.p.m, uint8_t *), c.p.m->pkt_len, NULL, &limits, &v));
		if (out->sport == 0)
			out->sport = v.sport;
		ok = pkt_addr_eq(&v.src, &src) && pkt_addr_eq(&v.dst, &dst) &&
			v.dport == out->dport && v.sport == out->sport;
	}
	ctkit_free(&c);
	return ok;
}

uint8_t
ftp_dial(struct ftp *f, unsigned int announcer, const struct ftp_target *t, uint16_t from,
	uint16_t port)
{
	bool client = announcer == CLIENT;
	const char *own = client ? f->path.client : f->path.server;
	const char *dialler = client ? f->path.server : f->path.client;
	const char *dialler_seen = client ? f->path.server_seen : f->path.client_seen;
	struct ctkit_way in = { dialler, t->addr, from, t->port, pif_of(!announcer) };
	struct ctkit_way out = { dialler_seen, own, 0, port, 0 };
	struct ctkit_way back_in;
	struct ctkit_way back_out = ctkit_back(&in, 0);
	uint8_t state, answer;
	struct ct_flow_info info;
	uint32_t idx;

	if (!data_seg(f, &in, &out, PKT_SYN, &state))
		return 0;
	f->dialled = out.sport;
	back_in = ctkit_back(&out, pif_of(announcer));
	idx = ctkit_find(f->k, &in, IPPROTO_TCP);
	assert_true(ct_flow_info(f->k->ct, idx, &info, f->k->now_ms));
	if ((state & CT_REL) != 0) {
		assert_int_equal(info.parent, flowtab_handle(f->k->ft, ftp_flow(f)));
		assert_int_equal(info.mark, f->mark | 0x80000000);
		assert_int_equal(info.helper, CT_HELPER_NONE);
	}
	if (!data_seg(f, &back_in, &back_out, PKT_SYN | PKT_ACK, &answer))
		return 0;
	assert_int_equal(answer & (CT_NEW | CT_EST | CT_RPL | CT_REL | CT_INV),
		CT_EST | CT_RPL | (state & CT_REL));
	return state;
}
