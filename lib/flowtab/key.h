/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Compact keys: what is stored of a tuple.
 *
 * IPv4 takes 16 bytes, IPv6 48. To make an IPv4 tuple fit, the pif has 10 bits, and the protocol 6:
 * protocols that have ports go by a code, any other has no ports, so that its number can stand in
 * the port's place.
 *
 * Thread safety: pure functions.
 */
#ifndef FLOWTAB_KEY_H
#define FLOWTAB_KEY_H

#include <assert.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "flowtab_addr.h"
#include "flowtab_siphash.h"

#define FLOWTAB_KEY_PIF_BITS 10
#define FLOWTAB_KEY_PROTO_BITS 6
static_assert(1 << FLOWTAB_KEY_PIF_BITS == FLOWTAB_MAX_PIFS, "every pif fits an IPv4 key");

struct flowtab_key4 {
	union {
		uint64_t w[2];
		struct {
			rte_be32_t eaddr, oaddr;
			uint16_t eport; /**< wire order, or the protocol when its code is 0 */
			uint16_t oport;
			uint32_t meta; /**< zone 16 bits, pif 10, protocol code 6 */
		};
	};
};
static_assert(sizeof(struct flowtab_key4) == 16, "an IPv4 key is 16 bytes");

/* Neighbours in memory as one word: a word that was stored in parts is slow to load as a whole. */
#if RTE_BYTE_ORDER == RTE_LITTLE_ENDIAN
#define FLOWTAB_KEY_PAIR32(first, second) ((uint32_t)(first) | (uint64_t)(second) << 32)
#define FLOWTAB_KEY_PAIR16(first, second) ((uint16_t)(first) | (uint32_t)(second) << 16)
#else
#define FLOWTAB_KEY_PAIR32(first, second) ((uint64_t)(first) << 32 | (uint32_t)(second))
#define FLOWTAB_KEY_PAIR16(first, second) ((uint32_t)(first) << 16 | (uint16_t)(second))
#endif

/** An IPv6 key is the tuple itself, its reserved bytes zero. */
struct flowtab_key6 {
	union {
		uint64_t w[6];
		struct flowtab_tuple t;
	};
};
static_assert(sizeof(struct flowtab_key6) == 48, "an IPv6 key is 48 bytes");
static_assert(
	offsetof(struct flowtab_tuple, proto) == 40 && offsetof(struct flowtab_tuple, answer) == 41,
	"the last word of an IPv6 key is these two and zeroes");

/** Codes of answers to ICMP queries; no protocol has them. */
#define FLOWTAB_CODE_ICMP_ANSWER 8
#define FLOWTAB_CODE_ICMPV6_ANSWER 9

/** @return a code from 1 for protocols with ports (or an id in their place), 0 for all others */
static inline unsigned int
flowtab_proto_code(uint8_t proto)
{
	switch (proto) {
	case IPPROTO_TCP:
		return 1;
	case IPPROTO_UDP:
		return 2;
	case IPPROTO_ICMP:
		return 3;
	case IPPROTO_ICMPV6:
		return 4;
	case IPPROTO_SCTP:
		return 5;
	case IPPROTO_UDPLITE:
		return 6;
	case IPPROTO_DCCP:
		return 7;
	default:
		return 0;
	}
}

/** The inverse of flowtab_proto_code() for codes from 1. */
static inline uint8_t
flowtab_proto_of_code(unsigned int code)
{
	static const uint8_t proto[1 << FLOWTAB_KEY_PROTO_BITS] = {
		[1] = IPPROTO_TCP,
		[2] = IPPROTO_UDP,
		[3] = IPPROTO_ICMP,
		[4] = IPPROTO_ICMPV6,
		[5] = IPPROTO_SCTP,
		[6] = IPPROTO_UDPLITE,
		[7] = IPPROTO_DCCP,
		[FLOWTAB_CODE_ICMP_ANSWER] = IPPROTO_ICMP,
		[FLOWTAB_CODE_ICMPV6_ANSWER] = IPPROTO_ICMPV6,
	};

	return proto[code & ((1 << FLOWTAB_KEY_PROTO_BITS) - 1)];
}

static inline bool
flowtab_tuple_is_v4(const struct flowtab_tuple *t)
{
	return flowtab_addr_is_v4(&t->eaddr) && flowtab_addr_is_v4(&t->oaddr);
}

/** False for a tuple that no key can stand for: none such is ever bound or found. */
static inline bool
flowtab_tuple_is_valid(const struct flowtab_tuple *t)
{
	bool icmp = t->proto == IPPROTO_ICMP || t->proto == IPPROTO_ICMPV6;

	return t->pif < FLOWTAB_MAX_PIFS && t->answer <= icmp &&
		(flowtab_proto_code(t->proto) != 0 || (t->eport | t->oport) == 0);
}

static inline void
flowtab_key4_pack(struct flowtab_key4 *k, const struct flowtab_tuple *t)
{
	unsigned int code = flowtab_proto_code(t->proto);
	uint32_t ports, meta;

	if (t->answer)
		code = t->proto == IPPROTO_ICMP ? FLOWTAB_CODE_ICMP_ANSWER
						: FLOWTAB_CODE_ICMPV6_ANSWER;
	ports = FLOWTAB_KEY_PAIR16(code != 0 ? t->eport : t->proto, t->oport);
	meta = (uint32_t)t->zone << 16 |
		(uint32_t)(t->pif & (FLOWTAB_MAX_PIFS - 1)) << FLOWTAB_KEY_PROTO_BITS | code;
	k->w[0] = FLOWTAB_KEY_PAIR32(t->eaddr.v4, t->oaddr.v4);
	k->w[1] = FLOWTAB_KEY_PAIR32(ports, meta);
}

static inline void
flowtab_key4_unpack(const struct flowtab_key4 *k, struct flowtab_tuple *t)
{
	unsigned int code = k->meta & ((1 << FLOWTAB_KEY_PROTO_BITS) - 1);

	memset(t, 0, sizeof(*t));
	t->eaddr = flowtab_addr_v4(k->eaddr);
	t->oaddr = flowtab_addr_v4(k->oaddr);
	t->zone = (uint16_t)(k->meta >> 16);
	t->pif = k->meta >> FLOWTAB_KEY_PROTO_BITS & (FLOWTAB_MAX_PIFS - 1);
	t->oport = k->oport;
	if (code != 0) {
		t->eport = k->eport;
		t->proto = flowtab_proto_of_code(code);
		t->answer = code == FLOWTAB_CODE_ICMP_ANSWER || code == FLOWTAB_CODE_ICMPV6_ANSWER;
	} else {
		t->proto = (uint8_t)k->eport;
	}
}

static inline void
flowtab_key6_pack(struct flowtab_key6 *k, const struct flowtab_tuple *t)
{
	uint16_t last;

	memcpy(&last, &t->proto, sizeof(last));
	memcpy(k->w, t, 5 * sizeof(k->w[0]));
	k->w[5] = FLOWTAB_KEY_PAIR32(FLOWTAB_KEY_PAIR16(last, 0), 0);
}

static inline uint32_t
flowtab_key4_hash(const struct flowtab_sipkey *key, const struct flowtab_key4 *k)
{
	uint64_t h = flowtab_siphash13(key, k->w, 2);

	return (uint32_t)(h ^ h >> 32);
}

static inline uint32_t
flowtab_key6_hash(const struct flowtab_sipkey *key, const struct flowtab_key6 *k)
{
	uint64_t h = flowtab_siphash13(key, k->w, 6);

	return (uint32_t)(h ^ h >> 32);
}

#endif
