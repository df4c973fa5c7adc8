/* SPDX-License-Identifier: BSD-3-Clause */
#include "flowtab_cksum.h"

#include <stdbool.h>

#include <rte_byteorder.h>
#include <rte_ip.h>

/*
 * rte_raw_cksum_mbuf() of 22.11 cuts the sum of a segment at an odd offset to 16 bits before it is
 * folded, so this is our own.
 */
uint16_t
flowtab_cksum(const struct rte_mbuf *m, uint32_t off, uint32_t len)
{
	uint64_t sum = 0;
	bool odd = false;

	for (; m != NULL && len > 0; m = m->next) {
		uint32_t n = rte_pktmbuf_data_len(m);
		uint16_t part;

		if (off >= n) {
			off -= n;
			continue;
		}
		n = RTE_MIN(n - off, len);
		part = rte_raw_cksum(rte_pktmbuf_mtod_offset(m, const void *, off), n);
		sum += odd ? rte_bswap16(part) : part;
		odd ^= n & 1;
		len -= n;
		off = 0;
	}
	return __rte_raw_cksum_reduce((uint32_t)(sum & 0xffff) + (uint32_t)(sum >> 16));
}
