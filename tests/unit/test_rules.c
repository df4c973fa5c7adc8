/* SPDX-License-Identifier: BSD-3-Clause */
/* Rules: which one decides about a flow; what is refused; what is counted. */
#include "test_flowtab_util.h"

#include <stdlib.h>
#include <string.h>

#include <rte_log.h>
#include <rte_malloc.h>

#include <rules.h>

/* ---- a matcher that is slow and plain ---- */

static bool
naive_net(const struct rules_net *n, const struct flowtab_addr *a)
{
	if (n->prefix_len == 0 && flowtab_addr_is_any(&n->addr))
		return true;
	return flowtab_addr_in_prefix(a, &n->addr, n->prefix_len);
}

static bool
naive_family(const struct flowtab_addr *a, const struct flowtab_addr *like)
{
	return flowtab_addr_is_any(like) || flowtab_addr_is_v4(a) == flowtab_addr_is_v4(like);
}

static bool
naive_port(uint16_t min, uint16_t max, rte_be16_t port, bool icmp)
{
	const uint16_t n = icmp ? 0 : rte_be_to_cpu_16(port);

	return max == 0 || (min <= n && n <= max);
}

static bool
naive_proto(const struct rule *r, const struct flowtab_tuple *t)
{
	const bool v4 = flowtab_addr_is_v4(&t->eaddr);

	if (r->family != 0 && v4 != (r->family == 4))
		return false;
	if (r->proto == IPPROTO_ICMP)
		return t->proto == (v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6);
	if (r->proto == IPPROTO_ICMPV6 && v4)
		return false;
	return r->proto == 0 || r->proto == t->proto;
}

static bool
naive_match(const struct rule *r, const struct rules_query *q)
{
	const struct flowtab_tuple *t = q->tuple;
	const bool icmp = t->proto == IPPROTO_ICMP || t->proto == IPPROTO_ICMPV6;
	const bool snat = r->nat.what & CT_NAT_SRC, dnat = r->nat.what & CT_NAT_DST;

	if (!(r->directions & q->direction) || (r->pif != 0 && r->pif != q->pif) ||
		(r->to_pif != 0 && r->to_pif != q->to_pif) ||
		(r->network != 0 && r->network != q->network) || (r->by_zone && r->zone != t->zone))
		return false;
	if (q->direction == RULES_EAST_WEST && q->to_pif == 0 && !dnat)
		return false;
	if ((snat && !naive_family(&t->eaddr, &r->nat.src.min)) ||
		(dnat && !naive_family(&t->eaddr, &r->nat.dst.min)))
		return false;
	return naive_proto(r, t) && naive_net(&r->src, &t->eaddr) &&
		naive_net(&r->dst, &t->oaddr) &&
		naive_port(r->sport_min, r->sport_max, t->eport, icmp) &&
		naive_port(r->dport_min, r->dport_max, t->oport, icmp);
}

static const struct rule *
naive_find(const struct rule *list, uint32_t n, const struct rules_query *q)
{
	for (uint32_t i = 0; i < n; i++)
		if (naive_match(&list[i], q))
			return &list[i];
	return NULL;
}

/* ---- random rules and flows that meet now and then ---- */

static const uint8_t protos[] = { IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP, IPPROTO_ICMPV6,
	IPPROTO_SCTP, 47 };

static struct flowtab_addr
rnd_addr(uint64_t *seed, bool v4)
{
	uint8_t b[16] = { 0xfd, 0, 0, 2 };

	if (v4)
		return flowtab_addr_v4(rte_cpu_to_be_32(0x0a000000 | rnd_below(seed, 4) << 16 |
			rnd_below(seed, 4) << 8 | rnd_below(seed, 8)));
	b[4] = (uint8_t)rnd_below(seed, 2);
	b[9] = (uint8_t)rnd_below(seed, 4);
	b[15] = (uint8_t)rnd_below(seed, 8);
	return flowtab_addr_v6(b);
}

static uint16_t
rnd_port(uint64_t *seed)
{
	static const uint16_t usual[] = { 22, 53, 80, 443, 1024, 8080, 65535 };

	return rnd_below(seed, 4) != 0 ? usual[rnd_below(seed, RTE_DIM(usual))]
				       : (uint16_t)(1 + rnd_below(seed, 65535));
}

static void
rnd_range(uint64_t *seed, uint16_t *min, uint16_t *max)
{
	*min = rnd_port(seed);
	*max = rnd_below(seed, 2) == 0 ? *min : RTE_MAX(*min, rnd_port(seed));
}

static struct rules_net
rnd_net(uint64_t *seed, bool v4)
{
	struct rules_net n = { .prefix_len = (uint8_t)(1 + rnd_below(seed, v4 ? 32 : 128)) };

	n.addr = rnd_addr(seed, v4);
	return n;
}

static struct rule
rnd_rule(uint64_t *seed, uint32_t number)
{
	const bool v4 = rnd_below(seed, 2) == 0;
	struct rule r = { .number = number, .directions = (uint8_t)(1 + rnd_below(seed, 7)) };

	if (rnd_below(seed, 2) == 0)
		r.proto = protos[rnd_below(seed, RTE_DIM(protos))];
	if (rnd_below(seed, 3) == 0)
		r.pif = (uint16_t)(1 + rnd_below(seed, 3));
	if (rnd_below(seed, 6) == 0)
		r.to_pif = (uint16_t)(1 + rnd_below(seed, 3));
	if (rnd_below(seed, 4) == 0)
		r.network = (uint16_t)(1 + rnd_below(seed, 2));
	r.by_zone = rnd_below(seed, 6) == 0;
	r.zone = (uint16_t)rnd_below(seed, 2);
	if (rnd_below(seed, 8) == 0)
		r.family = r.proto == IPPROTO_ICMPV6 || !v4 ? 6 : 4;
	/* Rules that contradict themselves are refused: of one family at a time, then. */
	if (rnd_below(seed, 2) == 0)
		r.src = rnd_net(seed, v4 && r.proto != IPPROTO_ICMPV6);
	if (rnd_below(seed, 2) == 0)
		r.dst = rnd_net(seed, v4 && r.proto != IPPROTO_ICMPV6);
	if (rnd_below(seed, 4) == 0)
		rnd_range(seed, &r.sport_min, &r.sport_max);
	if (rnd_below(seed, 2) == 0)
		rnd_range(seed, &r.dport_min, &r.dport_max);
	if (rnd_below(seed, 4) == 0) {
		r.nat.what = (uint8_t)(1 + rnd_below(seed, 3));
		if (rnd_below(seed, 2) == 0) {
			r.nat.src.min = rnd_addr(seed, v4 && r.proto != IPPROTO_ICMPV6);
			r.nat.src.max = r.nat.src.min;
			r.nat.dst = r.nat.src;
		}
	}
	return r;
}

static struct flowtab_tuple
rnd_tuple(uint64_t *seed)
{
	const bool v4 = rnd_below(seed, 2) == 0;
	struct flowtab_tuple t = { .eaddr = rnd_addr(seed, v4),
		.oaddr = rnd_addr(seed, v4),
		.eport = rte_cpu_to_be_16(rnd_port(seed)),
		.oport = rte_cpu_to_be_16(rnd_port(seed)),
		.zone = (uint16_t)rnd_below(seed, 2),
		.proto = protos[rnd_below(seed, RTE_DIM(protos))] };

	if (t.proto == 47)
		t.eport = t.oport = 0;
	return t;
}

static struct rules_query
rnd_query(uint64_t *seed, const struct flowtab_tuple *t)
{
	return (struct rules_query){ .tuple = t,
		.direction = (uint8_t)(1 << rnd_below(seed, 3)),
		.pif = (uint16_t)(1 + rnd_below(seed, 4)),
		.to_pif = (uint16_t)rnd_below(seed, 4),
		.network = (uint16_t)(1 + rnd_below(seed, 3)) };
}

/* ---- what tests share ---- */

static struct rules_params
params(const struct rule *list, uint32_t n)
{
	return (struct rules_params){ .name = "t",
		.rules = list,
		.n_rules = n,
		.policy = { RULES_ACCEPT, RULES_REJECT, RULES_DROP },
		.n_threads = 2,
		.socket_id = SOCKET_ID_ANY };
}

static struct rules *
rules_of(const struct rule *list, uint32_t n)
{
	const struct rules_params p = params(list, n);
	struct rules *r = rules_create(&p);

	assert_non_null(r);
	return r;
}

/** The number of the rule that decides, RULES_NONE: the policy. */
static uint32_t
decides(const struct rules *r, uint8_t direction, uint16_t pif, uint16_t to_pif,
	const struct flowtab_tuple *t)
{
	const struct rules_query q = { t, direction, pif, to_pif, 1 };
	const struct rule *rule = rules_find(r, &q);

	return rule != NULL ? rule->number : RULES_NONE;
}

static void
refused(const struct rules_params *p, int error)
{
	rte_errno = 0;
	assert_null(rules_create(p));
	assert_int_equal(rte_errno, error);
}

static void
rule_refused(struct rule rule)
{
	const struct rules_params p = params(&rule, 1);

	refused(&p, EINVAL);
}

static struct rules_net
net(const char *text, uint8_t len)
{
	struct rules_net n = { .prefix_len = len };

	assert_int_equal(flowtab_addr_parse(&n.addr, text), 0);
	return n;
}

/* ---- which rule ---- */

static void
decides_as_a_linear_search_does(void **state)
{
	static const uint32_t sizes[] = { 1, 2, 5, 20, 100, 400 };
	uint32_t hit = 0;
	uint64_t seed = 1;

	for (unsigned int round = 0; round < 8 * RTE_DIM(sizes); round++) {
		const uint32_t n = sizes[round % RTE_DIM(sizes)];
		struct rule list[400];
		struct rules *r;

		for (uint32_t i = 0; i < n; i++)
			list[i] = rnd_rule(
				&seed, (i == 0 ? 0 : list[i - 1].number) + 1 + rnd_below(&seed, 3));
		r = rules_of(list, n);
		for (unsigned int i = 0; i < 4000; i++) {
			const struct flowtab_tuple t = rnd_tuple(&seed);
			const struct rules_query q = rnd_query(&seed, &t);
			const struct rule *want = naive_find(list, n, &q);
			const struct rule *got = rules_find(r, &q);

			assert_int_equal(
				want != NULL ? want->number : 0, got != NULL ? got->number : 0);
			hit += want != NULL;
		}
		rules_destroy(r);
	}
	/* Else the comparison says nothing. */
	assert_in_range(hit, 30000, 170000);
}

static void
lowest_number_wins(void **state)
{
	const struct rule list[] = {
		{ .number = 10, .directions = RULES_OUT, .dst = net("192.0.2.1", 32) },
		{ .number = 20, .directions = RULES_OUT, .dst = net("192.0.2.0", 24) },
		{ .number = 30, .directions = RULES_OUT },
	};
	struct rules *r = rules_of(list, RTE_DIM(list));
	struct flowtab_tuple t = tuple4(1, 0);

	assert_int_equal(decides(r, RULES_OUT, 1, 0, &t), 10);
	t.oaddr = net("192.0.2.2", 32).addr;
	assert_int_equal(decides(r, RULES_OUT, 1, 0, &t), 20);
	t.oaddr = net("192.0.3.2", 32).addr;
	assert_int_equal(decides(r, RULES_OUT, 1, 0, &t), 30);
	rules_destroy(r);
}

static void
no_rule_leaves_it_to_the_policy_of_the_direction(void **state)
{
	const struct flowtab_tuple t4 = tuple4(1, 0), t6 = tuple6(1, 0);
	struct rules *r = rules_of(NULL, 0);

	assert_int_equal(rules_count(r), 0);
	assert_int_equal(decides(r, RULES_OUT, 1, 0, &t4), RULES_NONE);
	assert_int_equal(decides(r, RULES_EAST_WEST, 1, 2, &t6), RULES_NONE);
	assert_int_equal(rules_policy(r, RULES_OUT), RULES_ACCEPT);
	assert_int_equal(rules_policy(r, RULES_IN), RULES_REJECT);
	assert_int_equal(rules_policy(r, RULES_EAST_WEST), RULES_DROP);
	rules_destroy(r);
	rules_destroy(NULL);
}

static void
rule_of_one_direction_matches_no_other(void **state)
{
	const struct rule list[] = {
		{ .number = 1, .directions = RULES_OUT },
		{ .number = 2, .directions = RULES_EAST_WEST },
	};
	struct rules *r = rules_of(list, RTE_DIM(list));
	const struct flowtab_tuple t = tuple4(1, 0);

	assert_int_equal(decides(r, RULES_OUT, 1, 0, &t), 1);
	assert_int_equal(decides(r, RULES_EAST_WEST, 1, 2, &t), 2);
	assert_int_equal(decides(r, RULES_IN, 1, 0, &t), RULES_NONE);
	rules_destroy(r);
}

static void
rule_without_addresses_is_about_both_families(void **state)
{
	const struct rule list[] = {
		{ .number = 1, .directions = RULES_OUT, .family = 6, .dport_max = 80 },
		{ .number = 2, .directions = RULES_OUT, .src = net("0.0.0.0", 0) },
		{ .number = 3, .directions = RULES_IN, .src = net("::", 0) },
	};
	const struct flowtab_tuple t4 = tuple4(1, 0), t6 = tuple6(1, 0);
	struct flowtab_tuple http4 = t4, http6 = t6;
	struct rules *r = rules_of(list, RTE_DIM(list));

	http4.oport = http6.oport = rte_cpu_to_be_16(80);
	assert_int_equal(decides(r, RULES_OUT, 1, 0, &t4), 2);
	assert_int_equal(decides(r, RULES_OUT, 1, 0, &t6), 2);
	assert_int_equal(decides(r, RULES_IN, 1, 0, &t4), 3);
	assert_int_equal(decides(r, RULES_IN, 1, 0, &t6), 3);
	assert_int_equal(decides(r, RULES_OUT, 1, 0, &http4), 2);
	assert_int_equal(decides(r, RULES_OUT, 1, 0, &http6), 1);
	rules_destroy(r);
}

static void
rule_that_translates_is_about_the_family_it_translates_to(void **state)
{
	struct rule rule = { .number = 1, .directions = RULES_EAST_WEST };
	const struct flowtab_tuple t4 = tuple4(1, 0), t6 = tuple6(1, 0);
	struct rules *r;

	rule.nat.what = CT_NAT_SRC;
	rule.nat.src.min = rule.nat.src.max = net("192.0.2.9", 32).addr;
	r = rules_of(&rule, 1);
	assert_int_equal(decides(r, RULES_EAST_WEST, 1, 2, &t4), 1);
	assert_int_equal(decides(r, RULES_EAST_WEST, 1, 2, &t6), RULES_NONE);
	rules_destroy(r);
}

static void
icmp_stands_for_icmpv6_and_its_ids_are_no_ports(void **state)
{
	const struct rule list[] = {
		{ .number = 1, .directions = RULES_OUT, .dport_min = 443, .dport_max = 443 },
		{ .number = 2, .directions = RULES_OUT, .proto = IPPROTO_ICMP },
	};
	struct flowtab_tuple t4 = tuple4(1, 0), t6 = tuple6(1, 0);
	struct rules *r = rules_of(list, RTE_DIM(list));

	t4.proto = IPPROTO_ICMP;
	t6.proto = IPPROTO_ICMPV6;
	t4.eport = t6.eport = t4.oport;
	assert_int_equal(decides(r, RULES_OUT, 1, 0, &t4), 2);
	assert_int_equal(decides(r, RULES_OUT, 1, 0, &t6), 2);
	t6.proto = IPPROTO_UDP;
	assert_int_equal(decides(r, RULES_OUT, 1, 0, &t6), 1);
	rules_destroy(r);
}

static void
destination_that_is_no_guest_meets_only_rules_that_translate_it(void **state)
{
	struct rule list[] = {
		{ .number = 1, .directions = RULES_EAST_WEST, .nat.what = CT_NAT_SRC },
		{ .number = 2,
			.directions = RULES_OUT | RULES_EAST_WEST,
			.dport_min = 443,
			.dport_max = 443,
			.nat.what = CT_NAT_DST },
	};
	struct flowtab_tuple t = tuple4(1, 0);
	struct rules *r = rules_of(list, RTE_DIM(list));

	assert_int_equal(decides(r, RULES_EAST_WEST, 1, 2, &t), 1);
	assert_int_equal(decides(r, RULES_EAST_WEST, 1, 0, &t), 2);
	t.oport = rte_cpu_to_be_16(80);
	assert_int_equal(decides(r, RULES_EAST_WEST, 1, 0, &t), RULES_NONE);
	rules_destroy(r);
}

static void
as_many_rules_as_there_are_numbers(void **state)
{
	struct rule *list = calloc(RULES_MAX, sizeof(*list));
	struct rules_params p;
	struct rules *r;

	assert_non_null(list);
	for (uint32_t i = 0; i < RULES_MAX; i++) {
		list[i] = (struct rule){ .number = i + 1,
			.directions = RULES_OUT,
			.proto = i % 2 == 0 ? IPPROTO_TCP : IPPROTO_UDP,
			.dport_min = (uint16_t)(i % 1000),
			.dport_max = (uint16_t)(i % 1000 + i % 3) };
		list[i].dst.addr = flowtab_addr_v4(rte_cpu_to_be_32(0xc0000000 + i * 64));
		list[i].dst.prefix_len = i % 4 == 0 ? 32 : 26;
	}
	r = rules_of(list, RULES_MAX);
	for (uint32_t i = 0; i < RULES_MAX; i += 37) {
		struct flowtab_tuple t = tuple4(1, 0);

		t.proto = list[i].proto;
		t.oaddr = list[i].dst.addr;
		t.oport = rte_cpu_to_be_16(list[i].dport_max);
		assert_int_equal(decides(r, RULES_OUT, 1, 0, &t),
			list[i].dport_max == 0 && i % 1000 != 0 ? RULES_NONE : i + 1);
	}
	rules_destroy(r);
	p = params(list, RULES_MAX + 1);
	refused(&p, EINVAL);
	free(list);
}

/* ---- numbers and hits ---- */

static void
rules_are_found_by_their_number(void **state)
{
	const struct rule list[] = {
		{ .number = 3, .directions = RULES_OUT },
		{ .number = 7, .directions = RULES_IN },
		{ .number = RULES_MAX, .directions = RULES_IN },
	};
	struct rules *r = rules_of(list, RTE_DIM(list));

	for (unsigned int i = 0; i < RTE_DIM(list); i++) {
		assert_int_equal(rules_at(r, i)->number, list[i].number);
		assert_ptr_equal(rules_get(r, list[i].number), rules_at(r, i));
	}
	assert_int_equal(rules_count(r), RTE_DIM(list));
	assert_null(rules_get(r, RULES_NONE));
	assert_null(rules_get(r, 4));
	assert_null(rules_get(r, RULES_MAX + 1));
	rules_destroy(r);
}

static void
hits_of_all_threads_add_up(void **state)
{
	const struct rule list[] = {
		{ .number = 3, .directions = RULES_OUT },
		{ .number = 7, .directions = RULES_OUT },
	};
	struct rules *r = rules_of(list, RTE_DIM(list));

	rules_hit(r, 0, rules_get(r, 7), RULES_OUT);
	rules_hit(r, 1, rules_get(r, 7), RULES_OUT);
	rules_hit(r, 1, NULL, RULES_OUT);
	rules_hit(r, 0, NULL, RULES_EAST_WEST);
	rules_hit(r, 0, NULL, RULES_EAST_WEST);
	assert_int_equal(rules_hits(r, 3), 0);
	assert_int_equal(rules_hits(r, 7), 2);
	assert_int_equal(rules_hits(r, 5), 0);
	assert_int_equal(rules_policy_hits(r, RULES_OUT), 1);
	assert_int_equal(rules_policy_hits(r, RULES_IN), 0);
	assert_int_equal(rules_policy_hits(r, RULES_EAST_WEST), 2);
	assert_int_equal(rules_hits(r, RULES_NONE), 3);
	rules_destroy(r);
}

/* ---- what is refused ---- */

static void
rule_that_contradicts_itself_is_refused(void **state)
{
	const struct rule ok = { .number = 1, .directions = RULES_OUT };
	struct rule r;

	r = ok, r.src = net("192.0.2.1", 32), r.dst = net("2001:db8::", 32);
	rule_refused(r);
	r = ok, r.src = net("192.0.2.1", 32), r.family = 6;
	rule_refused(r);
	r = ok, r.src = net("192.0.2.1", 32), r.proto = IPPROTO_ICMPV6;
	rule_refused(r);
	r = ok, r.src = net("192.0.2.1", 32), r.nat.what = CT_NAT_DST;
	r.nat.dst.min = r.nat.dst.max = net("2001:db8::1", 128).addr;
	rule_refused(r);
	r.src = net("2001:db8::", 32), r.nat.dst.max = net("2001:db8::", 128).addr;
	rule_refused(r);
	r.nat.dst.max = r.nat.dst.min, r.nat.dst.port_min = 1;
	rule_refused(r);
}

static void
field_out_of_its_range_is_refused(void **state)
{
	const struct rule ok = { .number = 1, .directions = RULES_OUT };
	struct rule r;

	r = ok, r.number = 0;
	rule_refused(r);
	r = ok, r.number = RULES_MAX + 1;
	rule_refused(r);
	r = ok, r.directions = 0;
	rule_refused(r);
	r = ok, r.directions = 8;
	rule_refused(r);
	r = ok, r.pif = FLOWTAB_MAX_PIFS;
	rule_refused(r);
	r = ok, r.to_pif = FLOWTAB_MAX_PIFS;
	rule_refused(r);
	r = ok, r.family = 5;
	rule_refused(r);
	r = ok, r.src = net("192.0.2.1", 33);
	rule_refused(r);
	r = ok, r.dst = net("2001:db8::", 129);
	rule_refused(r);
	r = ok, r.sport_min = 2, r.sport_max = 1;
	rule_refused(r);
	r = ok, r.dport_min = 2;
	rule_refused(r);
	r = ok, r.action = RULES_REJECT + 1;
	rule_refused(r);
	r = ok, r.nat.what = 4;
	rule_refused(r);
}

static void
list_that_is_out_of_order_or_has_no_name_is_refused(void **state)
{
	const struct rule list[] = {
		{ .number = 3, .directions = RULES_OUT },
		{ .number = 3, .directions = RULES_OUT },
	};
	struct rules_params p = params(list, 2);

	refused(&p, EINVAL);
	p = params(NULL, 1);
	refused(&p, EINVAL);
	p = params(list, 1), p.name = NULL;
	refused(&p, EINVAL);
	p.name = "";
	refused(&p, EINVAL);
	p.name = "1234567890123456789012345";
	refused(&p, EINVAL);
	p = params(list, 1), p.n_threads = 0;
	refused(&p, EINVAL);
	p.n_threads = RULES_THREADS_MAX + 1;
	refused(&p, EINVAL);
	p = params(list, 1), p.policy[2] = RULES_REJECT + 1;
	refused(&p, EINVAL);
}

static void
name_is_taken_until_its_rules_are_destroyed(void **state)
{
	const struct rule rule = { .number = 1, .directions = RULES_OUT };
	const struct rules_params p = params(&rule, 1);
	struct rules *r = rules_of(&rule, 1);

	refused(&p, EEXIST);
	rules_destroy(r);
	r = rules_of(&rule, 1);
	rules_destroy(r);
}

static size_t
heap_used(void)
{
	struct rte_malloc_socket_stats s;

	assert_int_equal(rte_malloc_get_socket_stats(0, &s), 0);
	return s.heap_allocsz_bytes;
}

/** Everything but so many bytes. @return how many blocks */
static unsigned int
heap_fill(void **blocks, unsigned int max, size_t leave)
{
	void *left = rte_malloc(NULL, leave, 0);
	unsigned int n = 0;

	assert_non_null(left);
	for (size_t size = 64 << 20; size >= 4096; size /= 2)
		while (n < max && (blocks[n] = rte_malloc(NULL, size, 0)) != NULL)
			n++;
	rte_free(left);
	return n;
}

static void
want_of_memory_is_reported_and_leaves_nothing(void **state)
{
	struct rule *list = calloc(1000, sizeof(*list));
	const struct rules_params p = params(list, 1000);
	unsigned int failed = 0;
	struct rules *r = NULL;

	assert_non_null(list);
	for (uint32_t i = 0; i < 1000; i++)
		list[i] = (struct rule){ .number = i + 1, .directions = RULES_OUT };
	for (size_t leave = 1024; r == NULL; leave += leave / 4) {
		const size_t used = heap_used();
		void *blocks[200];
		unsigned int n = heap_fill(blocks, RTE_DIM(blocks), leave);

		rte_errno = 0;
		r = rules_create(&p);
		if (r == NULL) {
			assert_int_equal(rte_errno, ENOMEM);
			failed++;
		}
		while (n > 0)
			rte_free(blocks[--n]);
		if (r == NULL)
			assert_int_equal(heap_used(), used);
	}
	assert_true(failed > 10);
	rules_destroy(r);
	free(list);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(decides_as_a_linear_search_does),
		cmocka_unit_test(lowest_number_wins),
		cmocka_unit_test(no_rule_leaves_it_to_the_policy_of_the_direction),
		cmocka_unit_test(rule_of_one_direction_matches_no_other),
		cmocka_unit_test(rule_without_addresses_is_about_both_families),
		cmocka_unit_test(rule_that_translates_is_about_the_family_it_translates_to),
		cmocka_unit_test(icmp_stands_for_icmpv6_and_its_ids_are_no_ports),
		cmocka_unit_test(destination_that_is_no_guest_meets_only_rules_that_translate_it),
		cmocka_unit_test(as_many_rules_as_there_are_numbers),
		cmocka_unit_test(rules_are_found_by_their_number),
		cmocka_unit_test(hits_of_all_threads_add_up),
		cmocka_unit_test(rule_that_contradicts_itself_is_refused),
		cmocka_unit_test(field_out_of_its_range_is_refused),
		cmocka_unit_test(list_that_is_out_of_order_or_has_no_name_is_refused),
		cmocka_unit_test(name_is_taken_until_its_rules_are_destroyed),
		cmocka_unit_test(want_of_memory_is_reported_and_leaves_nothing),
	};
	int ret;

	if (eal_start("256") != 0)
		return 1;
	/* What it says of lists that it does not take, and of memory, is meant here. */
	rte_log_set_level_pattern("lib.acl", RTE_LOG_CRIT);
	ret = cmocka_run_group_tests(tests, NULL, NULL);
	eal_stop();
	return ret;
}
