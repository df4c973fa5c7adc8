/* SPDX-License-Identifier: BSD-3-Clause */
#include "tracked.h"

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_malloc.h>
#include <rte_mempool.h>

#include <l4xkit.h>

#define POOL 256
/* Choices of the configuration. */
#define NO_SEQ_CHECK 0x01
#define NO_PICKUP 0x02
#define EVICT 0x04
#define SLICES 0x08
#define SMALL 0x10   /**< a table of few flows */
#define SCARCE 0x20  /**< helpers and expectations are few */
#define LIMITS 0x40  /**< of zones, and of ports */
#define COLLIDE 0x80 /**< many tuples have one hash */

static struct rte_mempool *pool;

void
tracked_init(const char *file_prefix)
{
	setenv("CMOCKA_TEST_ABORT", "1", 1);
	l4xkit_eal(file_prefix);
	pool = rte_pktmbuf_pool_create("tracked", POOL, 0, 0, 4096, SOCKET_ID_ANY);
	FUZZ_CHECK(pool != NULL, "no pool: %s", rte_strerror(rte_errno));
}

static void
make_one(struct flowtab_params *fp, struct ct_params *cp, struct flowtab_zones **zones,
	struct flowtab **ft, struct ct **ct)
{
	*zones = flowtab_zones_create(1, SOCKET_ID_ANY);
	FUZZ_CHECK(*zones != NULL, "no zones");
	fp->zones = *zones;
	*ft = flowtab_create(fp);
	FUZZ_CHECK(*ft != NULL, "no table: %s", rte_strerror(rte_errno));
	cp->ft = *ft;
	*ct = ct_create(cp);
	FUZZ_CHECK(*ct != NULL, "no tracker: %s", rte_strerror(rte_errno));
}

void
tracked_begin(struct tracked *x, struct fuzz_tape *tape, uint8_t choice)
{
	struct flowtab_params fp = {
		.name = "fuzz",
		.max_flows = (choice & SMALL) != 0 ? 6 : 64,
		.max_pifs = TRACKED_PIFS,
		.socket_id = SOCKET_ID_ANY,
		.now_ms = UINT64_C(1) << 33,
		.hash_key = "fuzz",
		.evict = (choice & EVICT) != 0,
	};
	struct ct_params cp = {
		.max_expect = (choice & SCARCE) != 0 ? 4 : 32,
		.max_helped = (choice & SCARCE) != 0 ? 3 : 32,
		.max_expect_flow = 3,
		.n_slices = (choice & SLICES) != 0 ? 3 : 0,
		.slice = (choice & SLICES) != 0 ? 1 : 0,
		.no_seq_check = (choice & NO_SEQ_CHECK) != 0,
		.no_pickup = (choice & NO_PICKUP) != 0,
		.secret = "fuzz",
		.socket_id = SOCKET_ID_ANY,
	};

	*x = (struct tracked){ .tape = tape, .now_ms = fp.now_ms };
	make_one(&fp, &cp, &x->zones, &x->ft, &x->ct);
	make_one(&fp, &cp, &x->twin_zones, &x->twin_ft, &x->twin);
	x->max_helped = cp.max_helped;
	x->max_expect_flow = cp.max_expect_flow;
	x->pkts = calloc(FLOWTAB_BURST, sizeof(*x->pkts));
	FUZZ_CHECK(x->pkts != NULL, "no memory");
	if ((choice & COLLIDE) != 0)
		x->ft->hash_mask = x->twin_ft->hash_mask = 0x10001;
	if ((choice & LIMITS) != 0) {
		flowtab_zone_limit_set(x->zones, 1, 2);
		flowtab_zone_limit_set(x->twin_zones, 1, 2);
		flowtab_pif_limit(x->ft, 2, 3);
		flowtab_pif_limit(x->twin_ft, 2, 3);
		flowtab_share(x->ft, 5);
		flowtab_share(x->twin_ft, 5);
	}
}

/* ---- frames ---- */

/** Where the addresses are, and how long one is. */
static const uint8_t *
addr_at(const uint8_t *ip, bool v4, bool dst)
{
	return v4 ? ip + (dst ? 16 : 12) : ip + (dst ? 24 : 8);
}

static struct pkt_addr
addr_in(const uint8_t *ip, bool v4, bool dst)
{
	struct pkt_addr a = { .len = v4 ? 4 : 16 };

	memcpy(a.b, addr_at(ip, v4, dst), a.len);
	return a;
}

static bool
addr_is(const uint8_t *ip, bool v4, bool dst, const struct flowtab_addr *a)
{
	return memcmp(addr_at(ip, v4, dst), v4 ? (const uint8_t *)&a->v4 : a->b, v4 ? 4 : 16) == 0;
}

/** Offset of the checksum in the transport's header; 0: none that is looked at. */
static unsigned int
sum_at(uint8_t proto)
{
	switch (proto) {
	case IPPROTO_TCP:
		return 16;
	case IPPROTO_UDP:
		return 6;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		return 2;
	default:
		return 0;
	}
}

static uint32_t
pseudo(const struct ct_pkt *p, const uint8_t *ip)
{
	struct pkt_addr src = addr_in(ip, p->v4, false), dst = addr_in(ip, p->v4, true);

	return p->tuple->proto == IPPROTO_ICMP
		? 0
		: pkt_sum_pseudo(&src, &dst, p->tuple->proto, p->l4_len);
}

/** Has the transport a checksum that is right? Or, with a partial one, the pseudo-header's. */
static bool
sums_are_right(const struct ct_pkt *p, const uint8_t *f, bool partial)
{
	const uint8_t *ip = f + p->l3_off, *l4 = f + p->l4_off;
	unsigned int at = sum_at(p->tuple->proto);
	uint16_t folded;

	if (p->v4 && pkt_sum_fold(pkt_sum(ip, (ip[0] & 15) * 4u, 0)) != 0)
		return false;
	if (at == 0)
		return true;
	if (partial) {
		/* Equal but for the two zeros that there are. */
		folded = (uint16_t)~pkt_sum_fold(pseudo(p, ip));
		return folded % 0xffff == pkt_get16(l4 + at) % 0xffff;
	}
	if (p->tuple->proto == IPPROTO_UDP && p->v4 && pkt_get16(l4 + at) == 0)
		return true;
	return pkt_sum_fold(pkt_sum(l4, p->l4_len, pseudo(p, ip))) == 0;
}

static void
make_partial(const struct ct_pkt *p, uint8_t *f)
{
	pkt_put16(f + p->l4_off + sum_at(p->tuple->proto),
		(uint16_t)~pkt_sum_fold(pseudo(p, f + p->l3_off)));
}

/** A frame in an mbuf, its first segment as long as the packet says, and nothing aligned. */
static struct rte_mbuf *
lay_out(const struct tracked_pkt *t)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool), *tail;
	const struct tracked_frame *f = &t->in;

	FUZZ_CHECK(m != NULL, "no mbuf");
	m->data_off = (uint16_t)(m->data_off - t->shift);
	memcpy(rte_pktmbuf_append(m, (uint16_t)t->head), f->b, t->head);
	if (t->head == f->len)
		return m;
	tail = rte_pktmbuf_alloc(pool);
	FUZZ_CHECK(tail != NULL, "no mbuf");
	memcpy(rte_pktmbuf_append(tail, (uint16_t)(f->len - t->head)), f->b + t->head,
		f->len - t->head);
	FUZZ_CHECK(rte_pktmbuf_chain(m, tail) == 0, "no chain");
	return m;
}

/* ---- a packet's way ---- */

static void
keep_parts(struct tracked_frame *f, const struct ct_pkt *p)
{
	f->l4_off = p->l4_off;
	f->data_off = p->data_off;
	f->l4_len = p->l4_len;
	f->proto = p->tuple->proto;
	f->v4 = p->v4;
}

/** Flags that tell the truth. */
static void
vouch(struct tracked_pkt *t)
{
	struct ct_pkt *p = &t->p;
	bool card = p->tuple->proto == IPPROTO_TCP || p->tuple->proto == IPPROTO_UDP;

	if ((t->how & HOW_PARTIAL) != 0 && card) {
		make_partial(p, t->in.b);
		rte_pktmbuf_free(p->m);
		p->m = lay_out(t);
		p->flags |= CT_PKT_CSUM_PARTIAL;
	} else if ((t->how & HOW_VOUCHED) != 0 && sums_are_right(p, t->in.b, false)) {
		p->flags |= CT_PKT_CSUM_OK;
	}
}

static void
prepare(struct tracked *x, struct tracked_pkt *t, const struct tracked_frame *f, uint8_t how)
{
	const struct ct_pkt *p = &t->p;

	*t = (struct tracked_pkt){ .in = *f, .how = how, .head = f->len };
	t->tuple.pif = f->pif;
	t->tuple.zone = 1 + (f->pif == 3);
	if ((how & HOW_CUT) != 0) {
		t->shift = fuzz_u8(x->tape) & 15;
		t->head = RTE_MIN(f->len, (uint32_t)fuzz_u8(x->tape) + 14);
	}
	t->p.m = lay_out(t);
	t->p.l3_off = TRACKED_L3;
	if (ct_pkt_parse(&t->p, &t->tuple) == 0) {
		FUZZ_CHECK(p->data_off >= p->l4_off && p->l4_off >= p->l3_off &&
				p->l4_off + p->l4_len <= f->len &&
				(uint32_t)(p->data_off - p->l4_off) <= p->l4_len,
			"offsets %u %u %u of %u", p->l3_off, p->l4_off, p->data_off, f->len);
		vouch(t);
		keep_parts(&t->in, p);
	} else {
		FUZZ_CHECK(p->tuple == NULL, "a tuple of nothing");
	}
	t->twin = t->p;
	t->twin.m = lay_out(t);
	if ((how & HOW_SHARED) != 0) {
		t->clone = rte_pktmbuf_clone(t->p.m, pool);
		t->twin_clone = rte_pktmbuf_clone(t->twin.m, pool);
	}
}

/** The packet is what the other side's tuple, turned round, says. */
static void
check_headers(const struct tracked *x, const struct tracked_pkt *t, const uint8_t *f)
{
	const struct ct_pkt *p = &t->p;
	const uint8_t *ip = f + p->l3_off, *l4 = f + p->l4_off;
	struct flowtab_tuple o;
	bool answer;

	FUZZ_CHECK(flowtab_tuple(x->ft, p->flow, !p->side, &o) == 0, "a flow with one side");
	FUZZ_CHECK(addr_is(ip, p->v4, false, &o.oaddr) && addr_is(ip, p->v4, true, &o.eaddr),
		"addresses are not the flow's");
	if (ct_is_icmp(o.proto)) {
		FUZZ_CHECK(ct_icmp_has_id(o.proto, l4[0], &answer) &&
				memcmp(l4 + 4, &o.oport, sizeof(o.oport)) == 0,
			"the id is not the flow's");
	} else if (flowtab_proto_code(o.proto) != 0) {
		FUZZ_CHECK(memcmp(l4, &o.oport, sizeof(o.oport)) == 0 &&
				memcmp(l4 + 2, &o.eport, sizeof(o.eport)) == 0,
			"ports are not the flow's");
	}
}

/** An error goes to who sent what it quotes, and quotes it as it was sent. */
static void
check_error(const struct tracked *x, const struct tracked_pkt *t, const uint8_t *f)
{
	const struct ct_pkt *p = &t->p;
	const uint8_t *quote = f + p->l4_off + 8;
	struct flowtab_tuple o;

	FUZZ_CHECK((p->state & (CT_REL | CT_NEW | CT_EST)) == CT_REL, "state %#x", p->state);
	FUZZ_CHECK(flowtab_tuple(x->ft, p->flow, !p->side, &o) == 0, "a flow with one side");
	FUZZ_CHECK(addr_is(f + p->l3_off, p->v4, true, &o.eaddr), "an error for somebody else");
	FUZZ_CHECK(addr_is(quote, p->v4, false, &o.eaddr) && addr_is(quote, p->v4, true, &o.oaddr),
		"the quote is not what was sent");
	FUZZ_CHECK(!p->v4 || pkt_sum_fold(pkt_sum(quote, (quote[0] & 15) * 4u, 0)) == 0,
		"the quoted header's checksum");
}

static void
check_accepted(struct tracked *x, struct tracked_pkt *t, const struct tracked_frame *out)
{
	const struct ct_pkt *p = &t->p;
	const uint8_t *in = t->in.b;
	bool partial = (p->flags & CT_PKT_CSUM_PARTIAL) != 0, query, error;
	uint32_t grown = out->len - t->in.len;
	uint16_t flags = 0;

	FUZZ_CHECK(p->reason == CT_REASON_NONE && (p->state & CT_INV) == 0, "accepted and invalid");
	FUZZ_CHECK(sums_are_right(p, out->b, partial), "a wrong checksum goes out");
	FUZZ_CHECK(p->v4 ? pkt_get16(out->b + 16) - pkt_get16(in + 16) == (int32_t)grown
			 : pkt_get16(out->b + 18) - pkt_get16(in + 18) == (int32_t)grown,
		"the length is not that of the packet");
	error = ct_is_icmp(p->tuple->proto) && !ct_pkt_is_icmp_query(p, &query);
	if (p->flow != FLOWTAB_NONE && !x->burst) {
		flags = x->ct->flows[p->flow].flags;
		if (error)
			check_error(x, t, out->b);
		else
			check_headers(x, t, out->b);
	}
	if (!x->burst && (flags & (CT_F_SNAT | CT_F_DNAT | CT_F_HELPED)) == 0)
		FUZZ_CHECK(grown == 0 && memcmp(in, out->b, out->len) == 0, "it was changed");
}

/** What a new flow is translated to lies within what was asked for. */
static void
check_choice(const struct tracked *x, const struct tracked_pkt *t, const struct ct_commit *c,
	const uint8_t *f)
{
	const struct ct_pkt *p = &t->p;
	const struct ct_nat_range *r = &c->nat->src;
	struct flowtab_addr src;
	rte_be32_t v4;

	if ((c->nat->what & CT_NAT_SRC) == 0 || flowtab_addr_is_any(&r->min) ||
		(x->ct->flows[p->flow].flags & CT_F_EXPECTED) != 0)
		return;
	memcpy(&v4, f + p->l3_off + 12, sizeof(v4));
	src = p->v4 ? flowtab_addr_v4(v4) : flowtab_addr_v6(f + p->l3_off + 8);
	FUZZ_CHECK(memcmp(src.b, r->min.b, sizeof(src.b)) >= 0 &&
			memcmp(src.b, r->max.b, sizeof(src.b)) <= 0,
		"a source that is not of the range");
}

static uint64_t
reasons(const struct tracked *x)
{
	uint64_t n = 0;

	for (unsigned int i = 0; i < CT_REASON_COUNT; i++)
		n += ct_reasons(x->ct)[i];
	return n;
}

/** One by one, and not looked up before. */
static void
track_twin(struct tracked *x, struct tracked_pkt *t, const struct ct_commit *commit)
{
	const struct ct_pkt *a = &t->p, *b = &t->twin;
	static uint8_t left[TRACKED_FRAME], right[TRACKED_FRAME];

	ct_track(x->twin, &t->twin, x->now_ms);
	if (commit != NULL)
		ct_commit(x->twin, &t->twin, commit, x->now_ms);
	FUZZ_CHECK(a->verdict == b->verdict && a->reason == b->reason && a->state == b->state,
		"state %#x, %s; twin %#x, %s", a->state, ct_reason_info[a->reason].name, b->state,
		ct_reason_info[b->reason].name);
	FUZZ_CHECK(a->flow == b->flow && a->side == b->side && a->mark == b->mark &&
			a->label[0] == b->label[0] && a->label[1] == b->label[1],
		"flow %d, twin %d", (int)a->flow, (int)b->flow);
	if (a->verdict == CT_ACCEPT)
		FUZZ_CHECK(a->m->pkt_len == b->m->pkt_len &&
				memcmp(rte_pktmbuf_read(a->m, 0, a->m->pkt_len, left),
					rte_pktmbuf_read(b->m, 0, b->m->pkt_len, right),
					a->m->pkt_len) == 0,
			"the twin translates otherwise");
	rte_pktmbuf_free(t->twin_clone);
	rte_pktmbuf_free(t->twin.m);
}

/** What became of it is checked, and kept if it went on. */
static void
finish(struct tracked *x, struct tracked_pkt *t)
{
	struct tracked_frame *out = &x->out[x->recent];
	const struct ct_pkt *p = &t->p;

	FUZZ_CHECK((p->state & CT_TRK) != 0, "not tracked");
	FUZZ_CHECK((p->verdict == CT_INVALID) == ((p->state & CT_INV) != 0), "verdict %u state %#x",
		p->verdict, p->state);
	FUZZ_CHECK((p->verdict == CT_ACCEPT) == (p->reason == CT_REASON_NONE), "verdict %u: %s",
		p->verdict, ct_reason_info[p->reason].name);
	fuzz_trace("  pif %u %s state %#x flow %d.%u: %s", t->tuple.pif,
		p->verdict == CT_ACCEPT ? "ACCEPT" : "-", p->state, (int)p->flow, p->side,
		ct_reason_info[p->reason].name);
	if (p->verdict == CT_ACCEPT) {
		out->len = p->m->pkt_len;
		FUZZ_CHECK(out->len <= TRACKED_FRAME, "grown to %u", out->len);
		if (rte_pktmbuf_read(p->m, 0, out->len, out->b) != out->b)
			memcpy(out->b, rte_pktmbuf_mtod(p->m, uint8_t *), out->len);
		check_accepted(x, t, out);
		out->pif = 0;
		if (p->flow != FLOWTAB_NONE && !x->burst)
			out->pif = p->side == FLOWTAB_SIDE_GUEST ? x->ct->flows[p->flow].opif
								 : x->ct->flows[p->flow].pif;
		keep_parts(out, p);
		x->in[x->recent] = t->in;
		x->recent = (x->recent + 1) % TRACKED_RECENT;
	}
	rte_pktmbuf_free(t->clone);
	rte_pktmbuf_free(t->p.m);
}

/** A zone is never beyond its limit by a new flow; nor is a port. */
static void
check_limits(const struct tracked *x, const struct ct_pkt *p)
{
	const struct flowtab_flow *f = &x->ct->flows[p->flow];
	uint32_t limit = flowtab_zone_limit(x->zones, f->zone);

	if (limit < FLOWTAB_LIMIT_UNSET)
		FUZZ_CHECK(flowtab_zone_count(x->zones, f->zone) <= limit, "zone %u beyond %u",
			f->zone, limit);
	if (f->pif < TRACKED_PIFS && x->ft->pifs[f->pif].limit != 0)
		FUZZ_CHECK(flowtab_pif_count(x->ft, f->pif) <= x->ft->pifs[f->pif].limit,
			"port %u beyond its limit", f->pif);
}

static void
join_burst(struct tracked *x, const struct ct_commit *commit)
{
	if (commit != NULL) {
		x->commits = true;
		x->commit = *commit;
		if (commit->nat != NULL) {
			x->nat = *commit->nat;
			x->commit.nat = &x->nat;
		}
	}
	if (++x->n_pkts == FLOWTAB_BURST)
		tracked_flush(x);
}

void
tracked_send(struct tracked *x, const struct tracked_frame *f, uint8_t how,
	const struct ct_commit *commit)
{
	struct tracked_pkt *t;
	uint32_t count;
	uint64_t was;
	bool begins;

	if ((how & HOW_BURST) == 0)
		tracked_flush(x);
	t = &x->pkts[x->n_pkts];
	prepare(x, t, f, how);
	if ((how & HOW_BURST) != 0) {
		join_burst(x, (how & HOW_COMMIT) != 0 ? commit : NULL);
		return;
	}
	count = flowtab_count(x->ft);
	was = reasons(x);
	if ((how & HOW_LOOKED_UP) != 0 && t->p.tuple != NULL) {
		t->p.flags |= CT_PKT_LOOKED_UP;
		t->p.flow = flowtab_lookup(x->ft, t->p.tuple, x->now_ms, &t->p.side);
	}
	ct_track(x->ct, &t->p, x->now_ms);
	FUZZ_CHECK(flowtab_count(x->ft) <= count, "a flow without a commit");
	begins = t->p.verdict == CT_ACCEPT && t->p.flow == FLOWTAB_NONE;
	FUZZ_CHECK(!begins || (t->p.state & CT_NEW) != 0, "state %#x", t->p.state);
	if ((how & HOW_COMMIT) != 0)
		ct_commit(x->ct, &t->p, commit, x->now_ms);
	if ((how & HOW_COMMIT) != 0 && begins && t->p.verdict == CT_ACCEPT) {
		FUZZ_CHECK(t->p.flow != FLOWTAB_NONE, "committed without a flow");
		check_limits(x, &t->p);
		if (commit->nat != NULL)
			check_choice(x, t, commit, rte_pktmbuf_mtod(t->p.m, uint8_t *));
	}
	FUZZ_CHECK(reasons(x) - was == (t->p.verdict != CT_ACCEPT), "%u reasons, verdict %u",
		(unsigned int)(reasons(x) - was), t->p.verdict);
	track_twin(x, t, (how & HOW_COMMIT) != 0 ? commit : NULL);
	finish(x, t);
}

void
tracked_flush(struct tracked *x)
{
	const struct ct_commit *commit = x->commits ? &x->commit : NULL;
	struct ct_pkt *ptrs[FLOWTAB_BURST];

	for (unsigned int i = 0; i < x->n_pkts; i++)
		ptrs[i] = &x->pkts[i].p;
	if (x->n_pkts == 0)
		return;
	fuzz_trace("burst of %u", x->n_pkts);
	x->burst = true;
	ct_track_burst(x->ct, ptrs, x->n_pkts, commit, x->now_ms);
	for (unsigned int i = 0; i < x->n_pkts; i++) {
		track_twin(x, &x->pkts[i], commit);
		finish(x, &x->pkts[i]);
	}
	x->burst = false;
	x->commits = false;
	x->n_pkts = 0;
}

/* ---- all flows ---- */

static void
audit_flow(struct tracked *x, uint32_t idx)
{
	const struct flowtab_flow *f = &x->ct->flows[idx];
	struct flowtab_tuple t;
	struct ct_flow_info info;
	uint8_t side = 9;

	FUZZ_CHECK(f->kind == FLOWTAB_KIND_TRACKED, "a flow of nobody");
	FUZZ_CHECK(ct_flow_info(x->ct, idx, &info, x->now_ms), "no information");
	FUZZ_CHECK(memchr(info.proto_state, 0, sizeof(info.proto_state)) != NULL, "no end");
	FUZZ_CHECK(flowtab_by_handle(x->ft, info.handle) == idx, "the handle is another's");
	FUZZ_CHECK(f->deadline_ms != FLOWTAB_NEVER, "a flow without an end");
	for (unsigned int i = 0; i < FLOWTAB_SIDES; i++) {
		FUZZ_CHECK(flowtab_tuple(x->ft, idx, (enum flowtab_side)i, &t) == 0, "one side");
		if (flowtab_expired(f, x->now_ms))
			FUZZ_CHECK(flowtab_lookup(x->ft, &t, x->now_ms, NULL) == FLOWTAB_NONE,
				"expired and found");
		else
			FUZZ_CHECK(flowtab_lookup(x->ft, &t, x->now_ms, &side) == idx && side == i,
				"its tuple leads to another");
	}
	if ((f->flags & CT_F_HELPED) != 0)
		FUZZ_CHECK(f->ext < x->max_helped && x->ct->helped[f->ext].flow == idx &&
				x->ct->helped[f->ext].expects <= x->max_expect_flow,
			"its helper is another's");
	else
		FUZZ_CHECK(f->ext == FLOWTAB_NONE, "a helper of nobody");
}

void
tracked_audit(struct tracked *x)
{
	uint32_t idx[FLOWTAB_BURST], cursor = 0, n, all = 0, helped = 0, free = 0;
	uint32_t pifs[TRACKED_PIFS] = { 0 }, zones[4] = { 0 };

	while ((n = flowtab_dump(x->ft, &cursor, idx, RTE_DIM(idx))) > 0) {
		for (uint32_t i = 0; i < n; i++) {
			const struct flowtab_flow *f = &x->ct->flows[idx[i]];

			audit_flow(x, idx[i]);
			pifs[f->pif % TRACKED_PIFS]++;
			zones[f->zone % RTE_DIM(zones)]++;
			helped += (f->flags & CT_F_HELPED) != 0;
		}
		all += n;
	}
	FUZZ_CHECK(all == flowtab_count(x->ft), "%u flows of %u", all, flowtab_count(x->ft));
	for (uint16_t i = 0; i < TRACKED_PIFS; i++)
		FUZZ_CHECK(pifs[i] == flowtab_pif_count(x->ft, i), "port %u", i);
	for (uint16_t i = 0; i < RTE_DIM(zones); i++)
		FUZZ_CHECK(zones[i] == flowtab_zone_count(x->zones, i), "zone %u", i);
	for (uint32_t nr = x->ct->helped_free; nr != FLOWTAB_NONE; nr = x->ct->helped[nr].flow)
		free++;
	FUZZ_CHECK(free + helped == x->max_helped, "%u helpers free, %u at work", free, helped);
}

static void
end_one(struct ct *ct, struct flowtab *ft, struct flowtab_zones *zones)
{
	const struct ct_match all = { 0 };
	uint32_t cursor = 0;

	while (cursor != UINT32_MAX)
		ct_flush(ct, &all, &cursor, 8);
	FUZZ_CHECK(flowtab_count(ft) == 0, "%u flows are left", flowtab_count(ft));
	FUZZ_CHECK(ct_expects_expire(ct, UINT64_MAX, UINT32_MAX) == 0, "expectations are left");
	ct_destroy(ct);
	flowtab_destroy(ft);
	flowtab_zones_destroy(zones);
}

void
tracked_end(struct tracked *x)
{
	tracked_flush(x);
	tracked_audit(x);
	FUZZ_CHECK(flowtab_count(x->ft) == flowtab_count(x->twin_ft), "the twin has other flows");
	end_one(x->ct, x->ft, x->zones);
	end_one(x->twin, x->twin_ft, x->twin_zones);
	free(x->pkts);
	FUZZ_CHECK(rte_mempool_avail_count(pool) == POOL, "mbufs are left");
}
