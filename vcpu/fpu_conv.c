/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Conversion between double extended and the formats of memory: single, double, integers, packed
 * decimal (SDM vol. 1, 4.2, 8.2).
 */
#include <string.h>
#include "fpu_arith.h"

/* A narrower format: significand bits with the hidden one, exponent bits. */
struct narrow {
	unsigned prec, exp_bits;
};

static const struct narrow fmt_m32 = { 24, 8 };
static const struct narrow fmt_m64 = { 53, 11 };

static inline struct f80 widen(struct f80_env *e, uint64_t v, struct narrow f)
{
	unsigned frac_bits = f.prec - 1, emax = (1u << f.exp_bits) - 1;
	unsigned exp = (unsigned)(v >> frac_bits) & emax;
	uint64_t frac = v << (64 - frac_bits) >> 1; /* below the integer bit */
	bool neg = v >> (frac_bits + f.exp_bits) & 1;
	unsigned rebias = F80_BIAS - (emax >> 1);

	if (exp == emax)
		return f80_make(neg, F80_EMAX, F80_J | frac);
	if (exp == 0) {
		int z;

		if (!frac)
			return f80_zero(neg);
		e->flags |= SW_DE;
		z = __builtin_clzll(frac);
		return f80_make(neg, rebias + 1 - (unsigned)z, frac << z);
	}
	return f80_make(neg, exp + rebias, F80_J | frac);
}

struct f80 f80_from_m32(struct f80_env *e, uint32_t v)
{
	return widen(e, v, fmt_m32);
}

struct f80 f80_from_m64(struct f80_env *e, uint64_t v)
{
	return widen(e, v, fmt_m64);
}

struct f80 f80_from_i64(int64_t v)
{
	uint64_t m = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
	int z;

	if (!m)
		return f80_zero(false);
	z = __builtin_clzll(m);
	return f80_make(v < 0, (unsigned)(F80_BIAS + 63 - z), m << z);
}

static inline bool round_up(unsigned rc, bool neg, bool lsb, uint64_t lo)
{
	switch (rc) {
	case RC_NEAREST: return lo > F80_J || (lo == F80_J && lsb);
	case RC_DOWN: return neg && lo;
	case RC_UP: return !neg && lo;
	default: return false;
	}
}

/* The upper prec bits of m, rounded. *ret_lo: what was cut off; *ret_up. May return 1 << prec. */
static inline uint64_t cut_round(
	struct f80_env *e, bool neg, uint64_t m, unsigned prec, uint64_t *ret_lo, bool *ret_up)
{
	uint64_t v = m >> (64 - prec);

	*ret_lo = m << prec;
	*ret_up = round_up(e->rc, neg, v & 1, *ret_lo);
	return v + *ret_up;
}

/* Tiny after rounding, or nearly: exp < 1 */
static uint64_t narrow_tiny(struct f80_env *e, bool neg, int exp, uint64_t m, struct narrow f)
{
	unsigned prec = f.prec, shift = (unsigned)(1 - exp);
	uint64_t lo, v;
	bool up, tiny;

	v = cut_round(e, neg, m, prec, &lo, &up);
	tiny = exp < 0 || !(v >> prec);
	if (tiny && !(e->masks & SW_UE)) {
		e->flags |= SW_UE;
		return 0;
	}
	if (shift + 64 - prec < 64) {
		v = m >> (shift + 64 - prec);
		lo = m << (prec - shift);
	} else {
		v = 0;
		lo = shift == prec ? m : 1;
	}
	up = round_up(e->rc, neg, v & 1, lo);
	if (lo)
		e->flags |= SW_PE | (up ? SW_C1 : 0) | (tiny ? SW_UE : 0);
	/* A carry into the hidden bit's place makes the exponent 1 by itself. */
	return v + up;
}

static inline uint64_t narrow(struct f80_env *e, struct f80 x, struct narrow f)
{
	unsigned frac_bits = f.prec - 1;
	int emax = (1 << f.exp_bits) - 1, exp;
	bool neg = f80_neg(x), up;
	uint64_t sign = (uint64_t)neg << (frac_bits + f.exp_bits);
	uint64_t inf = (uint64_t)emax << frac_bits;
	uint64_t m, lo, v;
	struct f80 r;

	if (f80_is_zero(x))
		return sign;
	if (__builtin_expect(f80_exp(x) == F80_EMAX || !(x.m & F80_J), 0)) {
		if (f80_nan_result(e, x, x, &r))
			return (uint64_t)f80_neg(r) << (frac_bits + f.exp_bits) | inf |
			       r.m << 1 >> (65 - f.prec);
		if (f80_is_inf(x))
			return sign | inf;
	}
	exp = f80_unpack(x, &m) - F80_BIAS + (emax >> 1);
	if (exp < 1)
		return sign | narrow_tiny(e, neg, exp, m, f);
	v = cut_round(e, neg, m, f.prec, &lo, &up);
	if (v >> f.prec) {
		v >>= 1;
		exp++;
	}
	if (exp >= emax) {
		bool to_inf = e->rc == RC_NEAREST || (e->rc == RC_DOWN && neg) ||
			      (e->rc == RC_UP && !neg);

		e->flags |= SW_OE;
		if (!(e->masks & SW_OE))
			return 0;
		e->flags |= SW_PE | (to_inf ? SW_C1 : 0);
		return sign | (to_inf ? inf : inf - 1);
	}
	if (lo)
		e->flags |= SW_PE | (up ? SW_C1 : 0);
	return sign | (uint64_t)exp << frac_bits | (v & ((UINT64_C(1) << frac_bits) - 1));
}

uint32_t f80_to_m32(struct f80_env *e, struct f80 x)
{
	return (uint32_t)narrow(e, x, fmt_m32);
}

uint64_t f80_to_m64(struct f80_env *e, struct f80 x)
{
	return narrow(e, x, fmt_m64);
}

/* |x| rounded to an integer of at most max; false (IE flagged, nothing else) if it is more, or no
 * number. */
static bool round_magnitude(struct f80_env *e, struct f80 x, uint64_t max, uint64_t *ret)
{
	bool neg = f80_neg(x), up;
	uint64_t m = 0, lo = 0;
	int exp;

	if (f80_is_unsupported(x) || f80_exp(x) == F80_EMAX)
		goto invalid;
	if (!f80_is_zero(x)) {
		exp = f80_unpack(x, &m) - F80_BIAS;
		if (exp > 63)
			goto invalid;
		if (exp >= 0) {
			lo = exp == 63 ? 0 : m << (exp + 1);
			m >>= 63 - exp;
		} else {
			lo = exp == -1 ? m : 1;
			m = 0;
		}
	}
	up = round_up(e->rc, neg, m & 1, lo);
	if (m > max - up)
		goto invalid;
	if (lo)
		e->flags |= SW_PE | (up ? SW_C1 : 0);
	*ret = m + up;
	return true;
invalid:
	e->flags = SW_IE;
	return false;
}

int64_t f80_to_int(struct f80_env *e, struct f80 x, unsigned bits)
{
	uint64_t half = UINT64_C(1) << (bits - 1), v;
	bool neg = f80_neg(x);

	if (!round_magnitude(e, x, half - !neg, &v))
		return (int64_t)(0 - half); /* integer indefinite */
	return (int64_t)(neg ? 0 - v : v);
}

#define BCD_MAX UINT64_C(999999999999999999)

struct f80 f80_from_bcd(const uint8_t bcd[10])
{
	uint64_t v = 0;
	struct f80 r;

	/* Digits above 9 are undefined in the SDM; here they count for what they are. 15 * 1.1e18
	 * still fits. */
	for (int i = 8; i >= 0; i--)
		v = v * 100 + (bcd[i] >> 4) * 10u + (bcd[i] & 15u);
	r = f80_from_i64((int64_t)v);
	r.se |= (uint16_t)((bcd[9] & 0x80) << 8);
	return r;
}

void f80_to_bcd(struct f80_env *e, struct f80 x, uint8_t ret_bcd[10])
{
	static const uint8_t indefinite[10] = { [7] = 0xc0, [8] = 0xff, [9] = 0xff };
	uint64_t v;

	if (!round_magnitude(e, x, BCD_MAX, &v)) {
		memcpy(ret_bcd, indefinite, 10);
		return;
	}
	for (int i = 0; i < 9; i++) {
		unsigned two = (unsigned)(v % 100);

		ret_bcd[i] = (uint8_t)(two / 10 << 4 | two % 10);
		v /= 100;
	}
	ret_bcd[9] = f80_neg(x) ? 0x80 : 0;
}
