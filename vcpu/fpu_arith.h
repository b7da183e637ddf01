/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Arithmetic on 80-bit double extended reals, as the x87 defines it (SDM vol. 1, chapters 4 and 8),
 * in integers only: the same bits on every host. This is the interface behind which another
 * implementation (host x87, another host) can be put.
 *
 * Every function takes an environment: rounding, precision and masks in, exception flags out.
 * Functions OR into env->flags (status word bits IE..PE and C1 "rounded up"); the caller clears it
 * before. Flags that are there on entry (DE: a memory operand was denormal before it was widened)
 * count as this operation's.
 *
 * When an unmasked IE, ZE or DE is flagged the value returned has no meaning and must not be
 * stored. With OE and UE unmasked the result is the one with its exponent wrapped by 24576 (SDM
 * vol. 1, 4.9.1.4 and 4.9.1.5).
 */
#ifndef DEJAVM_FPU_ARITH_H
#define DEJAVM_FPU_ARITH_H

#include <stdbool.h>
#include <stdint.h>

typedef unsigned __int128 u128; /* the one name C lacks */

/* m: explicit integer bit and fraction; se: sign (bit 15) and biased exponent */
struct f80 {
	uint64_t m;
	uint16_t se;
};

#define F80_BIAS 16383
#define F80_EMAX 0x7fff
#define F80_J	 UINT64_C(0x8000000000000000)
#define F80_Q	 UINT64_C(0x4000000000000000) /* quiet bit of a NaN */
#define F80_WRAP 24576

/* Status word (SDM vol. 1, figure 8-4); the low six are mask bits in the control word too */
#define SW_IE	 0x0001u
#define SW_DE	 0x0002u
#define SW_ZE	 0x0004u
#define SW_OE	 0x0008u
#define SW_UE	 0x0010u
#define SW_PE	 0x0020u
#define SW_SF	 0x0040u
#define SW_ES	 0x0080u
#define SW_C0	 0x0100u
#define SW_C1	 0x0200u
#define SW_C2	 0x0400u
#define SW_C3	 0x4000u
#define SW_B	 0x8000u
#define SW_CC	 (SW_C0 | SW_C1 | SW_C2 | SW_C3)
#define SW_EXCPS 0x003fu

enum f80_rc { RC_NEAREST, RC_DOWN, RC_UP, RC_ZERO };

struct f80_env {
	uint16_t flags; /* out */
	uint8_t masks;	/* IE..PE: 1 is masked */
	uint8_t rc;	/* enum f80_rc */
	uint8_t prec;	/* 24, 53 or 64 bits: precision control */
};

/* ---- parts and classes ---- */
static inline bool f80_neg(struct f80 x)
{
	return x.se >> 15;
}
static inline unsigned f80_exp(struct f80 x)
{
	return x.se & F80_EMAX;
}
static inline struct f80 f80_make(bool neg, unsigned exp, uint64_t m)
{
	return (struct f80){ .m = m, .se = (uint16_t)((unsigned)neg << 15 | exp) };
}
static inline struct f80 f80_zero(bool neg)
{
	return f80_make(neg, 0, 0);
}
static inline struct f80 f80_inf(bool neg)
{
	return f80_make(neg, F80_EMAX, F80_J);
}
/* real indefinite: the default QNaN */
static inline struct f80 f80_indefinite(void)
{
	return f80_make(true, F80_EMAX, F80_J | F80_Q);
}
/* Finite, not zero, integer bit set, exponent not 0: what needs no care. */
static inline bool f80_is_normal(struct f80 x)
{
	return f80_exp(x) - 1u < F80_EMAX - 1u && (x.m & F80_J);
}
static inline bool f80_is_zero(struct f80 x)
{
	return f80_exp(x) == 0 && x.m == 0;
}
/* denormals and pseudo-denormals */
static inline bool f80_is_denormal(struct f80 x)
{
	return f80_exp(x) == 0 && x.m != 0;
}
static inline bool f80_is_inf(struct f80 x)
{
	return f80_exp(x) == F80_EMAX && x.m == F80_J;
}
static inline bool f80_is_nan(struct f80 x)
{
	return f80_exp(x) == F80_EMAX && x.m > F80_J;
}
static inline bool f80_is_snan(struct f80 x)
{
	return f80_is_nan(x) && !(x.m & F80_Q);
}
/* pseudo-NaNs, pseudo-infinities, unnormals: the formats that raise #IA (SDM vol. 1, 8.2.2) */
static inline bool f80_is_unsupported(struct f80 x)
{
	return f80_exp(x) != 0 && !(x.m & F80_J);
}
static inline struct f80 f80_quiet(struct f80 x)
{
	x.m |= F80_Q;
	return x;
}
/* Significand with its top bit set and the exponent that goes with it (<= 0 for denormals). x
 * finite and not zero. */
static inline int f80_unpack(struct f80 x, uint64_t *ret_m)
{
	int exp = (int)f80_exp(x);
	int z;

	if (exp != 0) {
		*ret_m = x.m;
		return exp;
	}
	z = __builtin_clzll(x.m);
	*ret_m = x.m << z;
	return 1 - z;
}

/* (hi:lo) / d with hi < d: the quotient fits in 64 bits. */
static inline uint64_t div_128_64(uint64_t hi, uint64_t lo, uint64_t d, uint64_t *ret_rem)
{
#if defined(__x86_64__) && !defined(DEJAVM_PORTABLE)
	uint64_t q, r;

	__asm__("divq %4" : "=a"(q), "=d"(r) : "0"(lo), "1"(hi), "r"(d) : "cc");
	*ret_rem = r;
	return q;
#else
	u128 n = (u128)hi << 64 | lo;

	*ret_rem = (uint64_t)(n % d);
	return (uint64_t)(n / d);
#endif
}

/* ---- rounding (fpu_arith.c) ---- */
/*
 * Rounds (-1)^neg * (m + lo / 2^64) / 2^63 * 2^(exp - bias), top bit of m set, to prec bits and the
 * exponent range of the format.
 */
struct f80 f80_round(struct f80_env *e, bool neg, int exp, uint64_t m, uint64_t lo, unsigned prec);
/* Flags DE if an operand is denormal; true if the operation must stop because DE is not masked. */
static inline bool f80_denormal_stop(struct f80_env *e, struct f80 a, struct f80 b)
{
	if (f80_is_denormal(a) || f80_is_denormal(b))
		e->flags |= SW_DE;
	return (e->flags & ~e->masks & SW_DE) != 0;
}
/* #IA: flags it and returns the real indefinite. */
struct f80 f80_invalid(struct f80_env *e);
/*
 * If a or b (pass a twice for one operand) is a NaN or unsupported: flags as due, the result in
 * *ret, true.
 */
bool f80_nan_result(struct f80_env *e, struct f80 a, struct f80 b, struct f80 *ret);

/* ---- arithmetic (fpu_arith.c) ---- */
struct f80 f80_add(struct f80_env *e, struct f80 a, struct f80 b);
struct f80 f80_sub(struct f80_env *e, struct f80 a, struct f80 b);
struct f80 f80_mul(struct f80_env *e, struct f80 a, struct f80 b);
struct f80 f80_div(struct f80_env *e, struct f80 a, struct f80 b);
struct f80 f80_sqrt(struct f80_env *e, struct f80 a);

/* ---- compare, round, remainder, scale (fpu_misc.c) ---- */
enum f80_order { F80_LT, F80_EQ, F80_GT, F80_UNORDERED };
/* quiet: only an SNaN is invalid (FUCOM) */
enum f80_order f80_compare(struct f80_env *e, struct f80 a, struct f80 b, bool quiet);
struct f80 f80_rndint(struct f80_env *e, struct f80 a);
struct f80 f80_scale(struct f80_env *e, struct f80 a, struct f80 b);
/* *ret_exp: the exponent as a real, *ret_sig: the significand */
void f80_extract(struct f80_env *e, struct f80 a, struct f80 *ret_exp, struct f80 *ret_sig);
/* *ret_cc: C0 C3 C1 quotient bits, C2 if the reduction is partial; untouched if there is no
 * quotient. nearest: FPREM1 */
struct f80 f80_rem(struct f80_env *e, struct f80 a, struct f80 b, bool nearest, unsigned *ret_cc);

/* ---- conversion (fpu_conv.c) ---- */
/* Widen; DE if denormal. An SNaN stays one. */
struct f80 f80_from_m32(struct f80_env *e, uint32_t v);
struct f80 f80_from_m64(struct f80_env *e, uint64_t v);
struct f80 f80_from_i64(int64_t v);
uint32_t f80_to_m32(struct f80_env *e, struct f80 x);
uint64_t f80_to_m64(struct f80_env *e, struct f80 x);
/* bits 16, 32, 64: rounds; IE and the integer indefinite if it does not fit */
int64_t f80_to_int(struct f80_env *e, struct f80 x, unsigned bits);
/* packed decimal, 10 bytes */
struct f80 f80_from_bcd(const uint8_t bcd[10]);
void f80_to_bcd(struct f80_env *e, struct f80 x, uint8_t ret_bcd[10]);

/* ---- transcendentals (fpu_trans.c) ---- */
struct f80 f80_2xm1(struct f80_env *e, struct f80 x);
struct f80 f80_yl2x(struct f80_env *e, struct f80 x, struct f80 y);
struct f80 f80_yl2xp1(struct f80_env *e, struct f80 x, struct f80 y);
struct f80 f80_atan2(struct f80_env *e, struct f80 y, struct f80 x);
/* The three below return false (C2) if |x| >= 2^63; nothing is flagged or stored then. A NULL
 * result is not wanted. */
bool f80_sincos(struct f80_env *e, struct f80 x, struct f80 *ret_sin, struct f80 *ret_cos);
bool f80_tan(struct f80_env *e, struct f80 x, struct f80 *ret);

#endif
