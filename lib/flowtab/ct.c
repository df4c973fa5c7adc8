/* SPDX-License-Identifier: BSD-3-Clause */
#include "ct.h"

#include <errno.h>

#include "ct_priv.h"

bool
ct_refuse(struct ct *ct, struct ct_pkt *p, enum ct_verdict verdict, enum ct_reason reason)
{
	__atomic_store_n(&ct->reasons[reason], ct->reasons[reason] + 1, __ATOMIC_RELAXED);
	p->verdict = verdict;
	p->reason = reason;
	if (verdict == CT_INVALID)
		p->state = CT_TRK | CT_INV;
	return false;
}

/** What the packet is told of its flow. */
static inline void
tell_flow(const struct flowtab_flow *f, struct ct_pkt *p)
{
	p->mark = f->mark;
	if (unlikely((f->flags & CT_F_LABEL) != 0)) {
		p->label[0] = f->label[0];
		p->label[1] = f->label[1];
	}
}

void
ct_tell(const struct ct *ct, struct ct_pkt *p)
{
	tell_flow(&ct->flows[p->flow], p);
}

/** A packet of no flow: may it begin one? */
static void
track_new(struct ct *ct, struct ct_pkt *p, uint64_t now_ms)
{
	const struct ct_expect *e;
	uint32_t parent;

	p->flow = FLOWTAB_NONE;
	p->side = FLOWTAB_SIDE_GUEST;
	if (p->tuple->proto == IPPROTO_TCP ? !ct_tcp_may_begin(ct, p) : !ct_dgram_may_begin(ct, p))
		return;
	p->state |= CT_NEW;
	p->expect = ct_expect_find(ct, p->tuple, now_ms);
	if (likely(p->expect == FLOWTAB_NONE))
		return;
	e = ct_expect_get(ct, p->expect);
	parent = flowtab_by_handle(ct->ft, e->parent);
	p->state |= CT_REL;
	p->parent = parent;
	if (parent != FLOWTAB_NONE)
		tell_flow(&ct->flows[parent], p);
}

/** False: it cannot be translated, and is refused. */
static inline bool
may_write(struct ct *ct, struct ct_pkt *p)
{
	return likely(ct_is_writable(p->m)) || ct_refuse(ct, p, CT_DROP, CT_REASON_NAT_REWRITE);
}

/** Everything that is done to a packet on its way through its flow, once it is known to be valid.
 */
static void
pass(struct ct *ct, struct ct_pkt *p, uint64_t now_ms)
{
	struct flowtab_flow *f = &ct->flows[p->flow];
	uint32_t len = ct_payload_len(p);

	tell_flow(f, p);
	if (unlikely((f->flags & CT_F_HELPED) != 0) && !ct_helper_packet(ct, p, now_ms))
		return;
	flowtab_flow_count(f, p->side, 1, len);
	if (likely((f->flags & (CT_F_SNAT | CT_F_DNAT | CT_F_HELPED)) == 0))
		return;
	if ((f->flags & (CT_F_SNAT | CT_F_DNAT)) != 0) {
		ct_nat_packet(ct, p);
		ct_count(ct, CT_COUNT_NATTED);
	}
	if ((f->flags & CT_F_HELPED) != 0)
		ct_helper_adjust(ct, p);
}

/** Both directions have been seen. */
static void
answered(struct ct *ct, uint32_t idx)
{
	ct->flows[idx].flags |= CT_F_ANSWERED;
	flowtab_activate(ct->ft, idx);
}

static void
track_flow(struct ct *ct, struct ct_pkt *p, uint64_t now_ms)
{
	struct flowtab_flow *f = &ct->flows[p->flow];
	enum ct_update update;

	if (unlikely((f->flags & (CT_F_SNAT | CT_F_DNAT | CT_F_HELPED)) != 0)) {
		if (!may_write(ct, p))
			return;
		if ((f->flags & CT_F_HELPED) != 0)
			ct_helper_enter(ct, p);
	}
	update = f->proto == IPPROTO_TCP ? ct_tcp_update(ct, p, now_ms)
					 : ct_dgram_update(ct, p, now_ms);
	if (unlikely(update == CT_UPDATE_REOPEN)) {
		ct_count(ct, CT_COUNT_REOPENED);
		ct_free(ct, p->flow);
		track_new(ct, p, now_ms);
		return;
	}
	if (unlikely(update == CT_UPDATE_OVER)) {
		ct_free(ct, p->flow);
		p->flow = FLOWTAB_NONE;
		p->side = FLOWTAB_SIDE_GUEST;
		return;
	}
	if (unlikely(update == CT_UPDATE_INVALID))
		return;
	if (unlikely(update == CT_UPDATE_VALID_NEW))
		f->flags &= (uint16_t)~CT_F_ANSWERED;
	else if (p->side == FLOWTAB_SIDE_OTHER && unlikely((f->flags & CT_F_ANSWERED) == 0))
		answered(ct, p->flow);
	p->state = ct_state_of(f, p->side);
	pass(ct, p, now_ms);
}

static inline void
out_init(struct ct_pkt *p)
{
	p->state = CT_TRK;
	p->verdict = CT_ACCEPT;
	p->reason = CT_REASON_NONE;
	p->mark = 0;
	p->expect = FLOWTAB_NONE;
	p->parent = FLOWTAB_NONE;
	p->label[0] = 0;
	p->label[1] = 0;
}

/** The packet's tuple has been looked up. */
static inline void
track_looked_up(struct ct *ct, struct ct_pkt *p, uint64_t now_ms)
{
	bool answer;

	out_init(p);
	ct_count(ct, CT_COUNT_PKTS);
	if (unlikely(p->tuple == NULL)) {
		p->flow = FLOWTAB_NONE;
		ct_invalid(ct, p, CT_REASON_UNTRACKABLE);
		return;
	}
	/* Who vouches for the checksum has looked at the headers, too. */
	if ((p->flags & (CT_PKT_CSUM_OK | CT_PKT_CSUM_PARTIAL)) == 0 && !ct_pkt_check(ct, p))
		return;
	/* What has no id may have been found as a packet of the flow whose id is 0. */
	if (unlikely(ct_is_icmp(p->tuple->proto)) && !ct_pkt_is_icmp_query(p, &answer))
		ct_icmp_error(ct, p, now_ms);
	else if (p->flow == FLOWTAB_NONE)
		track_new(ct, p, now_ms);
	else if (likely(ct->flows[p->flow].kind == FLOWTAB_KIND_TRACKED))
		track_flow(ct, p, now_ms);
	else
		ct_invalid(ct, p, CT_REASON_UNTRACKABLE);
}

static inline void
look_up(struct ct *ct, struct ct_pkt *p, uint64_t now_ms)
{
	p->flow = FLOWTAB_NONE;
	p->side = FLOWTAB_SIDE_GUEST;
	if (p->tuple != NULL)
		p->flow = flowtab_lookup(ct->ft, p->tuple, now_ms, &p->side);
}

void
ct_track(struct ct *ct, struct ct_pkt *p, uint64_t now_ms)
{
	if ((p->flags & CT_PKT_LOOKED_UP) == 0)
		look_up(ct, p, now_ms);
	track_looked_up(ct, p, now_ms);
}

/** Of packets that will be committed: what the keys of their answers will touch. */
static void
prefetch_replies(struct ct *ct, const struct flowtab_tuple *const tuples[], const uint32_t idx[],
	unsigned int n, uint16_t opif)
{
	struct flowtab_tuple reply[FLOWTAB_BURST];
	const struct flowtab_tuple *ptr[FLOWTAB_BURST];
	unsigned int m = 0;

	for (unsigned int i = 0; i < n; i++) {
		if (idx[i] != FLOWTAB_NONE)
			continue;
		ct_tuple_reverse(tuples[i], opif, &reply[m]);
		ptr[m] = &reply[m];
		m++;
	}
	if (m > 1)
		flowtab_prefetch_bind(ct->ft, ptr, m);
}

void
ct_track_burst(struct ct *ct, struct ct_pkt *pkts[], unsigned int n, const struct ct_commit *commit,
	uint64_t now_ms)
{
	static const struct flowtab_tuple nothing = { .pif = FLOWTAB_MAX_PIFS };
	const struct flowtab_tuple *tuples[FLOWTAB_BURST];
	uint32_t idx[FLOWTAB_BURST];
	uint8_t side[FLOWTAB_BURST];
	uint64_t changes = ct->changes;

	assert(n <= FLOWTAB_BURST);
	if (n == 0)
		return;
	for (unsigned int i = 0; i < n; i++)
		tuples[i] = pkts[i]->tuple != NULL ? pkts[i]->tuple : &nothing;
	if (flowtab_lookup_burst(ct->ft, tuples, n, now_ms, idx, side) < n && commit != NULL &&
		commit->nat == NULL)
		prefetch_replies(ct, tuples, idx, n, commit->opif);
	for (unsigned int i = 0; i < n; i++) {
		struct ct_pkt *p = pkts[i];

		if (likely(ct->changes == changes)) {
			p->flow = idx[i];
			p->side = idx[i] != FLOWTAB_NONE ? side[i] : FLOWTAB_SIDE_GUEST;
		} else {
			look_up(ct, p, now_ms);
		}
		track_looked_up(ct, p, now_ms);
		if (commit != NULL && p->verdict == CT_ACCEPT)
			ct_commit(ct, p, commit, now_ms);
	}
}

/* ---- commit ---- */

static void
set_mark(struct flowtab_flow *f, const struct ct_commit *c)
{
	f->mark = (f->mark & ~c->mark_mask) | (c->mark & c->mark_mask);
	if ((c->label_mask[0] | c->label_mask[1]) == 0)
		return;
	for (unsigned int i = 0; i < RTE_DIM(f->label); i++)
		f->label[i] = (f->label[i] & ~c->label_mask[i]) | (c->label[i] & c->label_mask[i]);
	f->flags &= (uint16_t)~CT_F_LABEL;
	if ((f->label[0] | f->label[1]) != 0)
		f->flags |= CT_F_LABEL;
}

/** The translation of a flow that was expected is its parent's affair. */
static struct ct_nat
nat_of_expected(const struct ct_expect *e)
{
	uint16_t dport = rte_be_to_cpu_16(e->dport);
	struct ct_nat nat = { 0 };

	if ((e->nat & CT_F_DNAT) != 0) {
		nat.what |= CT_NAT_DST;
		nat.dst = (struct ct_nat_range){ e->dst, e->dst, dport, dport };
	}
	if ((e->nat & CT_F_SNAT) != 0) {
		nat.what |= CT_NAT_SRC;
		nat.src = (struct ct_nat_range){ .min = e->src, .max = e->src };
	}
	return nat;
}

/** @param e what it was expected by, or NULL */
static int
choose_reply(struct ct *ct, const struct ct_pkt *p, const struct ct_commit *c,
	const struct ct_expect *e, uint64_t now_ms, struct flowtab_tuple *reply, uint16_t *flags)
{
	struct ct_nat expected;

	*flags = 0;
	ct_tuple_reverse(p->tuple, c->opif, reply);
	if (unlikely(e != NULL)) {
		expected = nat_of_expected(e);
		return ct_nat_choose(ct, p, &expected, now_ms, reply, flags);
	}
	if (c->nat == NULL)
		return 0;
	return ct_nat_choose(ct, p, c->nat, now_ms, reply, flags);
}

static bool
refuse_new(struct ct *ct, struct ct_pkt *p, int err)
{
	switch (err) {
	case -EDQUOT:
		return ct_refuse(ct, p, CT_LIMIT, CT_REASON_PIF_LIMIT);
	case -EUSERS:
		return ct_refuse(ct, p, CT_LIMIT, CT_REASON_ZONE_LIMIT);
	case -EEXIST:
		return ct_refuse(ct, p, CT_DROP, CT_REASON_CLASH);
	default:
		return ct_refuse(ct, p, CT_LIMIT, CT_REASON_TABLE);
	}
}

/** @return 0, or an error of flowtab_new() or flowtab_bind() */
static int
make_flow(struct ct *ct, const struct ct_pkt *p, const struct ct_commit *c,
	const struct flowtab_tuple *reply, uint64_t now_ms, uint32_t *idx)
{
	const struct flowtab_tuple *t = p->tuple;
	uint16_t zone = c->set_zone ? c->zone : t->zone;
	int err;

	err = flowtab_new(ct->ft, t->pif, zone, t->proto, now_ms, idx);
	if (err != 0)
		return err;
	ct->changes++;
	/* Before it is bound: what its keys evict may be anybody's. */
	ct->flows[*idx].kind = FLOWTAB_KIND_TRACKED;
	err = flowtab_bind(ct->ft, *idx, FLOWTAB_SIDE_GUEST, t, now_ms);
	if (err == 0)
		err = flowtab_bind(ct->ft, *idx, FLOWTAB_SIDE_OTHER, reply, now_ms);
	if (err != 0)
		flowtab_free(ct->ft, *idx);
	return err;
}

/** What an expectation was kept for has come. */
static void
meet_expectation(struct ct *ct, const struct ct_expect *e, struct flowtab_flow *f)
{
	uint32_t parent = flowtab_by_handle(ct->ft, e->parent);

	f->flags |= CT_F_EXPECTED;
	if (parent != FLOWTAB_NONE) {
		f->parent = parent;
		f->mark = ct->flows[parent].mark;
	}
	ct_count(ct, CT_COUNT_EXPECTED);
}

static bool
commit_new(struct ct *ct, struct ct_pkt *p, const struct ct_commit *c, uint64_t now_ms)
{
	enum ct_helper helper = (enum ct_helper)c->helper;
	struct ct_expect met, *e = NULL;
	struct flowtab_tuple reply;
	struct flowtab_flow *f;
	uint16_t flags;
	uint32_t idx;
	int err;

	/* Taken out first: to make room for the flow its parent may have to go, and with it all
	 * that it expects. */
	if (unlikely(p->expect != FLOWTAB_NONE)) {
		met = *ct_expect_get(ct, p->expect);
		e = &met;
		helper = (enum ct_helper)met.helper;
		ct_expect_del(ct, p->expect);
		p->expect = FLOWTAB_NONE;
	}
	if (choose_reply(ct, p, c, e, now_ms, &reply, &flags) != 0)
		return ct_refuse(ct, p, CT_DROP, CT_REASON_NAT_EXHAUSTED);
	if (unlikely(flags != 0 || helper != CT_HELPER_NONE) && !may_write(ct, p))
		return false;
	err = make_flow(ct, p, c, &reply, now_ms, &idx);
	if (err != 0)
		return refuse_new(ct, p, err);
	f = &ct->flows[idx];
	f->flags = flags;
	f->cookie = c->cookie;
	f->policy = ct->zone_policy[f->zone];
	if (unlikely(e != NULL))
		meet_expectation(ct, e, f);
	set_mark(f, c);
	if (helper != CT_HELPER_NONE && ct_helped_add(ct, idx, helper) != 0) {
		ct_free(ct, idx);
		return ct_refuse(ct, p, CT_LIMIT, CT_REASON_HELPER_LIMIT);
	}
	p->flow = idx;
	if (f->proto == IPPROTO_TCP)
		ct_tcp_begin(ct, p, idx, now_ms);
	else
		ct_dgram_begin(ct, p, idx, now_ms);
	ct_count(ct, CT_COUNT_NEW_FLOWS);
	p->state = ct_state_of(f, FLOWTAB_SIDE_GUEST);
	pass(ct, p, now_ms);
	return p->verdict == CT_ACCEPT;
}

bool
ct_commit(struct ct *ct, struct ct_pkt *p, const struct ct_commit *c, uint64_t now_ms)
{
	if ((p->state & CT_TRK) == 0 || p->verdict != CT_ACCEPT)
		return false;
	if (p->flow == FLOWTAB_NONE)
		return commit_new(ct, p, c, now_ms);
	set_mark(&ct->flows[p->flow], c);
	tell_flow(&ct->flows[p->flow], p);
	return true;
}
