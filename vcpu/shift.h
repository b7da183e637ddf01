/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Shifts and rotates with their flags (SDM vol. 1, 7.3.6), and the flags of products: what the
 * interpreter's handlers and the translator's recipes (recipe.c) must agree on. A masked count of 0
 * changes no flag. Flags that the manual leaves undefined are defined in docs/undefined.md: OF by
 * the formula of the 1-bit form whatever the count, AF 0; of a product, SF, ZF and PF are those of
 * the low half.
 */
#ifndef DEJAVM_SHIFT_H
#define DEJAVM_SHIFT_H

#include "operand.h"

static inline void set_cf_of(struct cpu *cpu, unsigned cf, unsigned of)
{
	cpu->cc = (uint16_t)((cpu->cc & ~(CC_CF | CC_OF)) | (cf & 1) << 8 | (of & 1));
}

/*
 * Each takes a count of 1..31. For 8 and 16 bits a count beyond the width shifts everything out, as
 * if done bit by bit.
 */
#define SHIFT_FUNCTIONS_(bits, type, stype)                                                     \
	static inline type do_shl##bits(struct cpu *cpu, type a, unsigned n)                    \
	{                                                                                       \
		uint64_t wide = (uint64_t)a << n;                                               \
		type r = (type)wide;                                                            \
		unsigned cf = (unsigned)(wide >> bits) & 1;                                     \
		flags_logic##bits(cpu, r);                                                      \
		set_cf_of(cpu, cf, cf ^ (unsigned)(r >> (bits - 1)));                           \
		return r;                                                                       \
	}                                                                                       \
	static inline type do_shr##bits(struct cpu *cpu, type a, unsigned n)                    \
	{                                                                                       \
		type r = (type)((uint64_t)a >> n);                                              \
		flags_logic##bits(cpu, r);                                                      \
		set_cf_of(cpu, (unsigned)((uint64_t)a >> (n - 1)),                              \
			(unsigned)(r >> (bits - 1) ^ r >> (bits - 2)));                         \
		return r;                                                                       \
	}                                                                                       \
	static inline type do_sar##bits(struct cpu *cpu, type a, unsigned n)                    \
	{                                                                                       \
		int64_t wide = (stype)a;                                                        \
		type r = (type)(wide >> n);                                                     \
		flags_logic##bits(cpu, r);                                                      \
		set_cf_of(cpu, (unsigned)(wide >> (n - 1)), 0);                                 \
		return r;                                                                       \
	}                                                                                       \
	/* Rotates: CF and OF follow from the result alone. */                                  \
	static inline void flags_rol##bits(struct cpu *cpu, type r)                             \
	{                                                                                       \
		set_cf_of(cpu, r, (unsigned)(r ^ r >> (bits - 1)));                             \
	}                                                                                       \
	static inline void flags_ror##bits(struct cpu *cpu, type r)                             \
	{                                                                                       \
		set_cf_of(cpu, r >> (bits - 1), (unsigned)(r >> (bits - 1) ^ r >> (bits - 2))); \
	}                                                                                       \
	static inline type do_rol##bits(struct cpu *cpu, type a, unsigned n)                    \
	{                                                                                       \
		type r;                                                                         \
		n &= bits - 1;                                                                  \
		r = n ? (type)(a << n | a >> (bits - n)) : a;                                   \
		flags_rol##bits(cpu, r);                                                        \
		return r;                                                                       \
	}                                                                                       \
	static inline type do_ror##bits(struct cpu *cpu, type a, unsigned n)                    \
	{                                                                                       \
		type r;                                                                         \
		n &= bits - 1;                                                                  \
		r = n ? (type)(a >> n | a << (bits - n)) : a;                                   \
		flags_ror##bits(cpu, r);                                                        \
		return r;                                                                       \
	}                                                                                       \
	/* Rotates of bits + 1 bits, the carry on top. */                                       \
	static inline type do_rcl##bits(struct cpu *cpu, type a, unsigned n)                    \
	{                                                                                       \
		uint64_t w = a | (uint64_t)flags_cf(cpu) << bits;                               \
		type r;                                                                         \
		n %= bits + 1;                                                                  \
		if (!n)                                                                         \
			return a;                                                               \
		w = w << n | w >> (bits + 1 - n);                                               \
		r = (type)w;                                                                    \
		set_cf_of(cpu, (unsigned)(w >> bits), (unsigned)(w >> bits ^ w >> (bits - 1))); \
		return r;                                                                       \
	}                                                                                       \
	static inline type do_rcr##bits(struct cpu *cpu, type a, unsigned n)                    \
	{                                                                                       \
		uint64_t w = a | (uint64_t)flags_cf(cpu) << bits;                               \
		type r;                                                                         \
		n %= bits + 1;                                                                  \
		if (!n)                                                                         \
			return a;                                                               \
		w = w >> n | w << (bits + 1 - n);                                               \
		r = (type)w;                                                                    \
		set_cf_of(cpu, (unsigned)(w >> bits),                                           \
			(unsigned)(r >> (bits - 1) ^ r >> (bits - 2)));                         \
		return r;                                                                       \
	}
SIZES(SHIFT_FUNCTIONS_)

/* ---- SHLD, SHRD: with 16 bits and a count above 16 the source goes round, see docs/undefined.md
 * ---- */

static inline uint32_t do_shld32(struct cpu *cpu, uint32_t d, uint32_t s, unsigned n)
{
	uint32_t r = d << n | s >> (32 - n);

	flags_logic32(cpu, r);
	set_cf_of(cpu, d >> (32 - n), (r ^ d) >> 31);
	return r;
}

static inline uint32_t do_shrd32(struct cpu *cpu, uint32_t d, uint32_t s, unsigned n)
{
	uint32_t r = d >> n | s << (32 - n);

	flags_logic32(cpu, r);
	set_cf_of(cpu, d >> (n - 1), (r ^ d) >> 31);
	return r;
}

static inline uint16_t do_shld16(struct cpu *cpu, uint16_t d, uint16_t s, unsigned n)
{
	uint64_t w = (uint64_t)d << 32 | (uint64_t)s << 16 | d;
	uint16_t r = (uint16_t)(w << n >> 32);

	flags_logic16(cpu, r);
	set_cf_of(cpu, (unsigned)(w << n >> 48), (unsigned)(r ^ d) >> 15);
	return r;
}

static inline uint16_t do_shrd16(struct cpu *cpu, uint16_t d, uint16_t s, unsigned n)
{
	uint64_t w = (uint64_t)d << 32 | (uint64_t)s << 16 | d;
	uint16_t r = (uint16_t)(w >> n);

	flags_logic16(cpu, r);
	set_cf_of(cpu, (unsigned)(w >> (n - 1)), (unsigned)(r ^ d) >> 15);
	return r;
}

/* ---- CF alone: BT and friends ---- */

static inline void set_cf(struct cpu *cpu, unsigned cf)
{
	cpu->cc = (uint16_t)((cpu->cc & ~CC_CF) | (cf & 1) << 8);
}

/* ---- products: CF and OF say that the high half is needed ---- */

#define PRODUCT_FLAGS_(bits, type, stype)                                            \
	static inline void flags_product##bits(struct cpu *cpu, type low, bool over) \
	{                                                                            \
		flags_logic##bits(cpu, low);                                         \
		if (over)                                                            \
			cpu->cc |= CC_CF | CC_OF;                                    \
	}
SIZES(PRODUCT_FLAGS_)

#endif
