/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Numbers of 128 bits, and what the transcendentals (fpu_trans.c, fpu_fast.c) do with them. Qn is a
 * number with n fraction bits. */
#ifndef DEJAVM_FPU_XF_H
#define DEJAVM_FPU_XF_H

#include "fpu_arith.h"

#define ONE_Q127 ((u128)1 << 127)

/* (-1)^neg * m / 2^127 * 2^exp, top bit of m set */
struct xf {
	u128 m;
	int exp;
	bool neg;
};

static inline int clz128(u128 v)
{
	uint64_t hi = (uint64_t)(v >> 64);

	return hi ? __builtin_clzll(hi) : 64 + __builtin_clzll((uint64_t)v);
}

/* Upper half of the product */
static inline u128 mul_hi(u128 a, u128 b)
{
	uint64_t a1 = (uint64_t)(a >> 64), a0 = (uint64_t)a;
	uint64_t b1 = (uint64_t)(b >> 64), b0 = (uint64_t)b;
	u128 mid = (u128)a1 * b0 + ((u128)a0 * b0 >> 64);
	u128 mid2 = (u128)a0 * b1 + (uint64_t)mid;

	return (u128)a1 * b1 + (mid >> 64) + (mid2 >> 64);
}

static inline u128 shr(u128 v, unsigned n)
{
	return n < 128 ? v >> n : 0;
}

static inline struct xf xf_norm(bool neg, int exp, u128 m)
{
	int z = clz128(m);

	return (struct xf){ .m = m << z, .exp = exp - z, .neg = neg };
}

/* a * c / 2^127, c a Q127 number */
static inline struct xf xf_mul_q127(struct xf a, u128 c)
{
	return xf_norm(a.neg, a.exp + 1, mul_hi(a.m, c));
}

/* The same for c < 1, even where it has been rounded to 1. */
static inline struct xf xf_mul_below(struct xf a, u128 c)
{
	return c < ONE_Q127 ? xf_mul_q127(a, c) : xf_norm(a.neg, a.exp, a.m - 1);
}

/* One step of long division, base 2^64: floor(rem * 2^64 / b), rem < b, b's top bit set. rem
 * becomes the remainder. */
static inline uint64_t div_digit(u128 *rem, u128 b)
{
	uint64_t b1 = (uint64_t)(b >> 64), b0 = (uint64_t)b, hi = (uint64_t)(*rem >> 64), unused;
	u128 q = hi < b1 ? div_128_64(hi, (uint64_t)*rem, b1, &unused) : UINT64_MAX, t;

	t = *rem - q * b1;
	while (!(t >> 64) && t << 64 < q * b0) {
		q--;
		t += b1;
	}
	*rem = (t << 64) - q * b0;
	return (uint64_t)q;
}

static inline struct xf xf_div(struct xf a, struct xf b)
{
	struct xf r = { .exp = a.exp - b.exp - 1, .neg = a.neg != b.neg };
	u128 rem = a.m;

	if (rem >= b.m) {
		rem >>= 1;
		r.exp++;
	}
	r.m = (u128)div_digit(&rem, b.m) << 64;
	r.m |= div_digit(&rem, b.m);
	/* rem >= b / 2, but for the bit that the shift lost */
	return xf_norm(r.neg, r.exp, r.m);
}

/* |x| */
static inline struct xf xf_from(struct f80 x)
{
	struct xf r = { .neg = false };
	uint64_t m;

	r.exp = f80_unpack(x, &m) - F80_BIAS;
	r.m = (u128)m << 64;
	return r;
}

/* pi / 2, Q65: exact, as 66-bit pi is */
#define HALF_PI_Q65 ((u128)3 << 64 | UINT64_C(0x243f6a8885a308d3))
/* 2 / pi, Q64, rounded down */
#define TWO_OVER_PI_Q64 UINT64_C(0xa2f9836e4e44152a)

/* m * 2^(exp - 63) = *ret_n * pi/2 +- *ret_r (Q65), |r| <= pi/4; true: minus. -2 <= exp < 63 */
static inline bool half_pi_reduce(uint64_t m, int exp, u128 *ret_n, u128 *ret_r)
{
	/* The quotient by the reciprocal is right or a little too small. */
	u128 v = (u128)m << (exp + 2);
	u128 n = shr((u128)m * TWO_OVER_PI_Q64, (unsigned)(127 - exp));
	bool neg;

	v -= n * HALF_PI_Q65;
	while (v >= HALF_PI_Q65) {
		v -= HALF_PI_Q65;
		n++;
	}
	/* v is not 0: 66-bit pi is odd and a multiple of it has more than 64 significant bits. */
	neg = v > HALF_PI_Q65 - v;
	*ret_n = n + neg;
	*ret_r = neg ? HALF_PI_Q65 - v : v;
	return neg;
}

/* FPATAN's operands, finite and not 0, as a >= b > 0. True: x was the smaller one, and the angle
 * lies at the other axis. */
static inline bool atan_order(struct f80 y, struct f80 x, struct xf *ret_a, struct xf *ret_b)
{
	const struct xf fx = xf_from(x), fy = xf_from(y);
	bool swap = fy.exp > fx.exp || (fy.exp == fx.exp && fy.m > fx.m);

	*ret_a = swap ? fy : fx;
	*ret_b = swap ? fx : fy;
	return swap;
}

/*
 * atan(b / a), 0 < b <= a, is atan(k / 32) + atan(*ret_t), k returned. 0 < |t| < 1/64, or m == 0.
 */
static inline unsigned atan_reduce(struct xf a, struct xf b, struct xf *ret_t)
{
	unsigned d = (unsigned)(a.exp - b.exp), k = 0;
	u128 fa, fb, p, q, den;

	if (d <= 6) {
		uint64_t unused;

		fb = (b.m >> 58) >> d; /* 64 b / a is below 2^7 */
		k = (unsigned)div_128_64(
			(uint64_t)(fb >> 64), (uint64_t)fb, (uint64_t)(a.m >> 64), &unused);
		k = (k + 1) >> 1; /* 32 b / a, to nearest */
	}
	if (k == 0) {
		*ret_t = xf_div(b, a);
		return 0;
	}
	/* tan(u - v) = (tan u - tan v) / (1 + tan u tan v), with b / a and k / 32; exact but for
	 * the division */
	fa = a.m >> 6;
	fb = b.m >> 6 >> d;
	p = 32 * fb;
	q = k * fa;
	den = 32 * fa + k * fb;
	if (p == q)
		*ret_t = (struct xf){ .m = 0 };
	else
		*ret_t = xf_div(xf_norm(p < q, 0, p < q ? q - p : p - q), xf_norm(false, 0, den));
	return k;
}

#endif
