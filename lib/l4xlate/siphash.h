/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * SipHash-1-3 (Aumasson, Bernstein) over 64-bit words: a hash that who chooses the input cannot
 * steer. Private to lib/l4xlate. Pure functions.
 */
#ifndef L4X_SIPHASH_H
#define L4X_SIPHASH_H

#include <stdint.h>
#include <string.h>

static inline uint64_t
l4x_rotl64(uint64_t x, unsigned int n)
{
	return x << n | x >> (64 - n);
}

static inline void
l4x_sipround(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = l4x_rotl64(v[1], 13) ^ v[0];
	v[0] = l4x_rotl64(v[0], 32);
	v[2] += v[3];
	v[3] = l4x_rotl64(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = l4x_rotl64(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = l4x_rotl64(v[1], 17) ^ v[2];
	v[2] = l4x_rotl64(v[2], 32);
}

/** @param n number of words */
static inline uint64_t
l4x_siphash(const uint8_t key[16], const uint64_t *words, unsigned int n)
{
	uint64_t k[2], v[4], last = (uint64_t)(n * 8) << 56;

	memcpy(k, key, sizeof(k));
	v[0] = k[0] ^ 0x736f6d6570736575ULL;
	v[1] = k[1] ^ 0x646f72616e646f6dULL;
	v[2] = k[0] ^ 0x6c7967656e657261ULL;
	v[3] = k[1] ^ 0x7465646279746573ULL;
	for (unsigned int i = 0; i <= n; i++) {
		uint64_t w = i < n ? words[i] : last;

		v[3] ^= w;
		l4x_sipround(v);
		v[0] ^= w;
	}
	v[2] ^= 0xff;
	for (unsigned int i = 0; i < 3; i++)
		l4x_sipround(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

#endif
