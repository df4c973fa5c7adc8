/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef FLOWTAB_CKSUM_H
#define FLOWTAB_CKSUM_H
/**
 * @file
 * The Internet checksum (RFC 1071) over a chain of mbufs. Any thread that may read the chain.
 */
#include <stdint.h>

#include <rte_mbuf.h>

/**
 * @param off bytes from the start of the chain, odd ones too
 * @param len bytes, at most 65535; what lies past the end of the chain is left out
 * @return one's complement sum, folded, not complemented
 */
uint16_t flowtab_cksum(const struct rte_mbuf *m, uint32_t off, uint32_t len);

#endif /* FLOWTAB_CKSUM_H */
