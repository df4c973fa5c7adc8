/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * SipHash-1-3 (Aumasson, Bernstein: "SipHash: a fast short-input PRF") over whole 64-bit words.
 *
 * Guests choose the tuples that are hashed. A CRC is affine: a guest can compute tuples that
 * collide under any seed. A keyed pseudo-random function leaves it nothing but guessing.
 *
 * Thread safety: pure functions.
 */
#ifndef FLOWTAB_SIPHASH_H
#define FLOWTAB_SIPHASH_H

#include <stdint.h>
#include <string.h>

struct flowtab_sipkey {
	uint64_t k0, k1;
};

/** @param bytes 16 bytes, at any alignment */
static inline struct flowtab_sipkey
flowtab_sipkey_load(const uint8_t *bytes)
{
	struct flowtab_sipkey key;

	memcpy(&key, bytes, sizeof(key));
	return key;
}

static inline uint64_t
flowtab_sip_rotl(uint64_t x, unsigned int n)
{
	return x << n | x >> (64 - n);
}

static inline void
flowtab_sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[2] += v[3];
	v[1] = flowtab_sip_rotl(v[1], 13) ^ v[0];
	v[3] = flowtab_sip_rotl(v[3], 16) ^ v[2];
	v[0] = flowtab_sip_rotl(v[0], 32);
	v[2] += v[1];
	v[0] += v[3];
	v[1] = flowtab_sip_rotl(v[1], 17) ^ v[2];
	v[3] = flowtab_sip_rotl(v[3], 21) ^ v[0];
	v[2] = flowtab_sip_rotl(v[2], 32);
}

/** @param n number of words at w, below 32 */
static inline uint64_t
flowtab_siphash13(const struct flowtab_sipkey *key, const uint64_t *w, unsigned int n)
{
	uint64_t v[4] = {
		key->k0 ^ UINT64_C(0x736f6d6570736575),
		key->k1 ^ UINT64_C(0x646f72616e646f6d),
		key->k0 ^ UINT64_C(0x6c7967656e657261),
		key->k1 ^ UINT64_C(0x7465646279746573),
	};
	uint64_t last = (uint64_t)n * 8 << 56;

	for (unsigned int i = 0; i < n; i++) {
		v[3] ^= w[i];
		flowtab_sip_round(v);
		v[0] ^= w[i];
	}
	v[3] ^= last;
	flowtab_sip_round(v);
	v[0] ^= last;
	v[2] ^= 0xff;
	flowtab_sip_round(v);
	flowtab_sip_round(v);
	flowtab_sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

#endif
