/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * Fragments: gathered until they are a packet again, within strict limits.
 *
 * Theory of operation. librte_ip_frag takes 8 fragments a packet and does not look for overlaps;
 * this store takes any number that is worth its room. A fragment is copied into mbufs of the
 * store's own pool, so that no buffer of a guest's is held back. What overlaps, by whatever number
 * of bytes, or lies past the end, ends its datagram: nothing more of it is taken until its time is
 * over (RFC 5722). The datagram that is complete comes out as one packet with its headers mended,
 * as if it had never been in pieces.
 *
 * Limits: so many mbufs in all; of one zone, if asked for; FLOWTAB_FRAG_DATAGRAMS at a time; 15 s
 * from the first fragment on. Where there is no room, the zone that holds most pays, in it the port
 * that holds most, with its oldest datagram: who sends more gains nothing from those who send less,
 * and a datagram that is larger than what is left is not completed.
 *
 * Ownership and threads: one store belongs to one thread. Time is passed in, in ms. No locks, no
 * heap after creation, no system calls.
 */
#ifndef FLOWTAB_FRAG_H
#define FLOWTAB_FRAG_H

#include <stdbool.h>
#include <stdint.h>

#include "flowtab_addr.h"

struct rte_mbuf;
struct rte_mempool;

#define FLOWTAB_FRAG_MS 15000
#define FLOWTAB_FRAG_MBUFS 1000
/** Datagrams that are gathered at a time. */
#define FLOWTAB_FRAG_DATAGRAMS 64
/** Largest part in front of the fragments that is kept: L2, L3, extension headers. */
#define FLOWTAB_FRAG_HEAD 256
/** What an ICMP error quotes: that and 8 bytes (RFC 792). */
#define FLOWTAB_FRAG_QUOTE (FLOWTAB_FRAG_HEAD + 8)

struct flowtab_frags_params {
	struct rte_mempool *pool; /**< of plain mbufs; outlives the store */
	uint16_t max_mbufs;       /**< 0: FLOWTAB_FRAG_MBUFS */
	uint16_t max_zone_mbufs;  /**< of one zone; 0: no such limit */
	int socket_id;
};

/** One fragment, taken apart. Offsets are from the start of the mbuf's data. */
struct flowtab_frag {
	const struct rte_mbuf *m; /**< headers, up to l4_off, in its first segment */
	struct flowtab_addr src, dst;
	uint16_t pif, zone;
	uint16_t cookie; /**< the caller's; that of the first one to come is kept */
	uint16_t l3_off;
	uint16_t hdr_off; /**< IPv6: where the fragment header is */
	uint16_t l4_off;  /**< where the piece begins */
	uint32_t l4_len;  /**< bytes of the piece */
	uint32_t id;      /**< identification, in whatever byte order */
	uint16_t off;     /**< where the piece belongs, bytes */
	bool more;        /**< there is something behind it */
	bool v4;
	uint8_t proto; /**< IPv4: its numbers count per protocol */
	bool silent;   /**< the first fragment's: no error may be sent about the packet */
};

/** Why a fragment was not kept. */
enum flowtab_frag_reason {
	FLOWTAB_FRAG_OK = 0,
	FLOWTAB_FRAG_BAD,     /**< malformed, overlapping or overlong; or its datagram was */
	FLOWTAB_FRAG_FULL,    /**< no room, and nothing that would have to give way */
	FLOWTAB_FRAG_NO_MBUF, /**< the pool is empty */
};

/** A datagram that was never completed. */
struct flowtab_frag_late {
	uint16_t pif, zone, cookie;
	bool v4;
	/**
	 * Bytes of quote: the IP header, and what follows it, of the first fragment, for the ICMP
	 * error that tells its sender (RFC 792; RFC 8200, 4.5). 0: the sender is not to be told.
	 */
	uint16_t quote_len;
	uint8_t quote[FLOWTAB_FRAG_QUOTE];
};

struct flowtab_frags;

/** @return the store, or NULL with rte_errno set (EINVAL, ENOMEM) */
struct flowtab_frags *flowtab_frags_create(const struct flowtab_frags_params *p);
/** What is in it is freed. */
void flowtab_frags_destroy(struct flowtab_frags *f);

/**
 * Take a fragment; its mbuf stays the caller's.
 * @param whole   receives the packet that it completes, headers in one piece, or NULL
 * @param evicted receives how many datagrams were given up to make room
 */
enum flowtab_frag_reason flowtab_frags_add(struct flowtab_frags *f, const struct flowtab_frag *frag,
	uint64_t now_ms, struct rte_mbuf **whole, uint32_t *evicted);

/**
 * Give up one datagram that was not completed in time; call until there is none.
 * @return false: there is none, and late is not written
 */
bool flowtab_frags_expire(struct flowtab_frags *f, uint64_t now_ms, struct flowtab_frag_late *late);
/** When there will be something to expire, at the earliest; UINT64_MAX: nothing is there. */
uint64_t flowtab_frags_next_ms(const struct flowtab_frags *f);

/** Forget what came in at a port. */
void flowtab_frags_flush(struct flowtab_frags *f, uint16_t pif);

#endif
