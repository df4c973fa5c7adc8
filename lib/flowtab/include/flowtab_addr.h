/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Addresses and tuples: how weir names one side of a flow.
 *
 * An address always takes 16 bytes; IPv4 is kept in its v4-mapped form (RFC 4291, 2.5.5.2), so that
 * one code path serves both families. v4-mapped addresses never appear on the wire.
 *
 * Thread safety: pure functions, no state.
 */
#ifndef FLOWTAB_ADDR_H
#define FLOWTAB_ADDR_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <rte_byteorder.h>

struct flowtab_addr {
	union {
		uint8_t b[16];
		uint64_t q[2];
		struct {
			uint8_t zero[10];
			uint8_t ones[2];
			rte_be32_t v4; /**< valid when flowtab_addr_is_v4() */
		};
	};
};
static_assert(sizeof(struct flowtab_addr) == 16, "an address is 16 bytes");

/** Room for any address as text, with the terminating zero (INET6_ADDRSTRLEN). */
#define FLOWTAB_ADDR_STRLEN 46

/**
 * One oriented side of a flow: what a frame that enters at port *pif* looks like, seen from weir.
 * "e" is the endpoint behind that port (the frame's source), "o" is ours (the frame's destination).
 * ICMP queries (echo): both ports hold the id, and answers are told from questions, so that two
 * that ping each other with one id have two flows. Protocols without ports (all but TCP, UDP,
 * UDP-Lite, SCTP, DCCP and both ICMPs): both are 0, else the tuple is not valid and never found.
 */
struct flowtab_tuple {
	struct flowtab_addr eaddr; /**< the endpoint's address: source of what comes in */
	struct flowtab_addr oaddr; /**< our address: destination of what comes in */
	rte_be16_t eport;
	rte_be16_t oport;
	uint16_t pif;   /**< port (interface) number; FLOWTAB_PIF_HOST for the host's sockets */
	uint16_t zone;  /**< conntrack zone; equal tuples in two zones are two flows */
	uint8_t proto;  /**< IPPROTO_*, as it stands in the IPv4 header; ICMPv6 as IPPROTO_ICMPV6 */
	uint8_t answer; /**< 1: an answer to an ICMP query; else 0 */
	uint8_t reserved[6]; /**< zero */
};
static_assert(sizeof(struct flowtab_tuple) == 48, "a tuple is 48 bytes, without holes");

#define FLOWTAB_PIF_HOST 0
/** Port numbers of a tuple are below this. */
#define FLOWTAB_MAX_PIFS 1024

static inline struct flowtab_addr
flowtab_addr_v4(rte_be32_t v4)
{
	struct flowtab_addr a;

	/* Two whole words: what is written in pieces and read at once waits for the store. */
	a.q[0] = 0;
	a.q[1] = rte_cpu_to_be_64(UINT64_C(0xffff) << 32 | rte_be_to_cpu_32(v4));
	return a;
}

/** @param src 16 bytes in network order, at any alignment */
static inline struct flowtab_addr
flowtab_addr_v6(const void *src)
{
	struct flowtab_addr a;

	memcpy(a.b, src, sizeof(a.b));
	return a;
}

static inline bool
flowtab_addr_is_v4(const struct flowtab_addr *a)
{
	return a->q[0] == 0 && rte_be_to_cpu_64(a->q[1]) >> 32 == 0xffff;
}

static inline bool
flowtab_addr_eq(const struct flowtab_addr *a, const struct flowtab_addr *b)
{
	return a->q[0] == b->q[0] && a->q[1] == b->q[1];
}

/** True for ::; 0.0.0.0 is flowtab_addr_v4(0), see flowtab_addr_is_any(). */
static inline bool
flowtab_addr_is_zero(const struct flowtab_addr *a)
{
	return (a->q[0] | a->q[1]) == 0;
}

/** True for the unspecified address of either family. */
bool flowtab_addr_is_any(const struct flowtab_addr *a);
/** True for 127.0.0.0/8 and ::1. */
bool flowtab_addr_is_loopback(const struct flowtab_addr *a);
/** True for multicast of either family and 255.255.255.255. */
bool flowtab_addr_is_multicast(const struct flowtab_addr *a);
/** True for 169.254.0.0/16 and fe80::/10. */
bool flowtab_addr_is_linklocal(const struct flowtab_addr *a);
/**
 * The number of the interface that an IPv6 link-local address of the host's side belongs to; 0: it
 * is none, or names none. It lies in bytes that are zero on the wire (RFC 4291, 2.5.6).
 */
uint32_t flowtab_addr_scope(const struct flowtab_addr *a);
/** Write it; 0 removes it. Other addresses stay as they are. */
void flowtab_addr_set_scope(struct flowtab_addr *a, uint32_t scope);
/** True if both are of one family and agree in the first prefix_len bits (of 32 or of 128). */
bool flowtab_addr_in_prefix(
	const struct flowtab_addr *a, const struct flowtab_addr *net, unsigned int prefix_len);

/** More addresses than this are not counted. */
#define FLOWTAB_ADDRS_MAX (UINT64_C(1) << 62)
/** How many addresses there are from min to max, both of one family, max not below min. */
uint64_t flowtab_addr_count(const struct flowtab_addr *min, const struct flowtab_addr *max);
/** The n-th address after a. */
struct flowtab_addr flowtab_addr_add(const struct flowtab_addr *a, uint64_t n);

/**
 * Parse an IPv4 or IPv6 literal (no brackets, no zone, no mask).
 * @return 0, or -EINVAL
 */
int flowtab_addr_parse(struct flowtab_addr *a, const char *text);

/**
 * Write the address as text (RFC 5952 for IPv6; with its scope, RFC 4007, 11.2).
 * @param buf FLOWTAB_ADDR_STRLEN bytes
 * @return buf
 */
const char *flowtab_addr_format(const struct flowtab_addr *a, char *buf);

#endif
