/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The project's own 64-bit digest: fast, portable, endian-defined (input read as little-endian
 * words), not cryptographic. Defined in docs/log-format.md; a log recorded on one host must give
 * the same on any other.
 */
#ifndef DEJAVM_HASH_H
#define DEJAVM_HASH_H
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define HASH_K0 UINT64_C(0x9e3779b97f4a7c15)
#define HASH_K1 UINT64_C(0xc2b2ae3d27d4eb4f)
#define HASH_K2 UINT64_C(0x165667b19e3779f9)

static inline uint64_t hash_word_(const uint8_t *p)
{
	uint64_t w;
	memcpy(&w, p, 8);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	w = __builtin_bswap64(w);
#endif
	return w;
}

static inline uint64_t hash_mix_(uint64_t h)
{
	h ^= h >> 32;
	h *= HASH_K1;
	h ^= h >> 29;
	h *= HASH_K2;
	return h ^ h >> 32;
}

/* Digest of len bytes at p, continuing from seed (0 to start). */
static inline uint64_t hash64(uint64_t seed, const void *data, size_t len)
{
	const uint8_t *p = data;
	uint64_t a = seed ^ HASH_K0 ^ (uint64_t)len * HASH_K1, b = ~seed * HASH_K2;
	uint64_t c = a ^ HASH_K1, d = b + HASH_K0;

	for (; len >= 32; len -= 32, p += 32) {
		a = (a ^ hash_word_(p)) * HASH_K0;
		b = (b ^ hash_word_(p + 8)) * HASH_K1;
		c = (c ^ hash_word_(p + 16)) * HASH_K2;
		d = (d ^ hash_word_(p + 24)) * HASH_K0;
		a ^= a >> 31;
		b ^= b >> 29;
		c ^= c >> 30;
		d ^= d >> 33;
	}
	for (; len >= 8; len -= 8, p += 8)
		a = hash_mix_(a ^ hash_word_(p)) + d;
	for (; len > 0; len--, p++)
		b = hash_mix_(b ^ *p) + c;
	return hash_mix_(a + hash_mix_(b + hash_mix_(c + hash_mix_(d))));
}

#endif
