/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * TCP sequence numbers: modulo 2^32 (RFC 9293, 3.4), and their place in a 64-bit stream.
 * Every comparison of sequence numbers goes through here. Pure functions.
 */
#ifndef L4X_TCP_SEQ_H
#define L4X_TCP_SEQ_H

#include <stdbool.h>
#include <stdint.h>

/** How far a lies after b; negative: before. */
static inline int32_t
tcp_seq_diff(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b);
}

static inline bool
tcp_seq_lt(uint32_t a, uint32_t b)
{
	return tcp_seq_diff(a, b) < 0;
}

static inline bool
tcp_seq_le(uint32_t a, uint32_t b)
{
	return tcp_seq_diff(a, b) <= 0;
}

static inline bool
tcp_seq_gt(uint32_t a, uint32_t b)
{
	return tcp_seq_diff(a, b) > 0;
}

static inline bool
tcp_seq_ge(uint32_t a, uint32_t b)
{
	return tcp_seq_diff(a, b) >= 0;
}

/** Sequence number of a stream offset; isn is the initial one, which the SYN has. */
static inline uint32_t
tcp_seq_of(uint32_t isn, uint64_t off)
{
	return isn + 1 + (uint32_t)off;
}

/**
 * The stream offset of a sequence number: of all those that share it, the one within 2^31 of near.
 * Negative: before the first byte.
 */
static inline int64_t
tcp_off_of(uint32_t isn, uint64_t near, uint32_t seq)
{
	return (int64_t)near + tcp_seq_diff(seq, tcp_seq_of(isn, near));
}

#endif
