/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The x87's transcendental instructions (SDM vol. 1, 8.3.7 to 8.3.10; vol. 2: F2XM1, FCOS, FPATAN,
 * FPTAN, FSIN, FSINCOS, FYL2X, FYL2XP1). Processors differ in the last bits of these, so there is
 * one definition here: the exact value, computed to more than 105 bits in integers, rounded once as
 * RC says. Arguments of the trigonometric ones are reduced by the 66-bit pi of SDM vol. 1, 8.3.8;
 * the functions of the reduced argument are true ones.
 *
 * Each function: table-driven reduction to a small argument, then its Taylor series in fixed point
 * (fpu_tables.py makes the constants). Qn is a number with n fraction bits. Results that can be
 * tiny stay in floating form (struct xf), so that the error is relative.
 */
#include "fpu_fast.h"
#include "fpu_tables.h"
#include "fpu_xf.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* exact false: there is always something behind the last bit, for these functions' values are
 * irrational. */
static struct f80 xf_round(struct f80_env *e, struct xf x, bool exact)
{
	return f80_round(
		e, x.neg, x.exp + F80_BIAS, (uint64_t)(x.m >> 64), (uint64_t)x.m | !exact, 64);
}

/* x as a Q128 number, x < 1 */
static inline u128 xf_q128(struct xf x)
{
	return shr(x.m, (unsigned)(-x.exp - 1));
}

/*
 * A polynomial in z (Q128), coefficients Q127, as two in z^2 that processors compute side by side:
 * of the even and of the odd powers. even + z * odd is the value; the alternating one is even - z *
 * odd.
 */
struct halves {
	u128 even, z_odd;
};

static inline struct halves poly_halves(const u128 *c, unsigned n, u128 z)
{
	u128 w = mul_hi(z, z), even, odd;
	unsigned i = (n - 1) & ~1u;

	even = c[i];
	odd = n & 1 ? 0 : c[n - 1];
	while (i >= 2) {
		i -= 2;
		even = c[i] + mul_hi(w, even);
		odd = c[i + 1] + mul_hi(w, odd);
	}
	return (struct halves){ even, mul_hi(z, odd) };
}

/* c[0] - z * (c[1] - z * (c[2] - ...)), Q127 */
static inline u128 poly_alternating(const u128 *c, unsigned n, u128 z)
{
	struct halves h = poly_halves(c, n, z);

	return h.even - h.z_odd;
}

static inline u128 poly_positive(const u128 *c, unsigned n, u128 z)
{
	struct halves h = poly_halves(c, n, z);

	return h.even + h.z_odd;
}

/* ---- FSIN, FCOS, FSINCOS, FPTAN ---- */

/* |x| = quadrant * pi/2 + r, |r| <= pi/4. x finite, not zero, |x| < 2^63 */
static unsigned trig_reduce(struct f80 x, struct xf *ret_r)
{
	struct xf r = xf_from(x);
	u128 v, n;
	bool neg;

	/* Below 1/4: nothing to reduce; from there on x is a multiple of 2^-65. */
	if (r.exp < -2) {
		*ret_r = r;
		return 0;
	}
	neg = half_pi_reduce((uint64_t)(r.m >> 64), r.exp, &n, &v);
	*ret_r = xf_norm(neg, 62, v);
	return (unsigned)n & 3;
}

/* r^2, Q128; |r| <= pi/4 */
static u128 square_q128(struct xf r)
{
	return shr(mul_hi(r.m, r.m), (unsigned)(-2 - 2 * r.exp));
}

static struct xf sin_kernel(struct xf r, u128 z)
{
	return xf_mul_below(r, poly_alternating(fx_sin, COUNT(fx_sin), z));
}

static struct xf cos_kernel(u128 z)
{
	u128 p = poly_alternating(fx_cos, COUNT(fx_cos), z);

	return xf_norm(false, 0, p < ONE_Q127 ? p : ONE_Q127 - 1);
}

/* What needs no computing: true, with the sine (and tangent) in *ret_sin, the cosine in *ret_cos.
 */
static bool trig_special(struct f80_env *e, struct f80 x, struct f80 *ret_sin, struct f80 *ret_cos)
{
	struct f80 r;

	if (f80_nan_result(e, x, x, &r)) {
		*ret_sin = *ret_cos = r;
		return true;
	}
	if (f80_is_inf(x)) {
		*ret_sin = *ret_cos = f80_invalid(e);
		return true;
	}
	*ret_sin = x;
	*ret_cos = f80_make(false, F80_BIAS, F80_J);
	return f80_is_zero(x) || f80_denormal_stop(e, x, x);
}

bool f80_sincos(struct f80_env *e, struct f80 x, struct f80 *ret_sin, struct f80 *ret_cos)
{
	struct f80 s, c;
	struct xf r, xs, xc;
	unsigned quadrant;
	u128 z;

	if (fast_sincos(e, x, ret_sin, ret_cos))
		return true;
	if (trig_special(e, x, &s, &c)) {
		if (ret_sin)
			*ret_sin = s;
		if (ret_cos)
			*ret_cos = c;
		return true;
	}
	if (f80_exp(x) >= F80_BIAS + 63)
		return false;
	quadrant = trig_reduce(x, &r);
	z = square_q128(r);
	if (ret_sin) {
		xs = quadrant & 1 ? cos_kernel(z) : sin_kernel(r, z);
		xs.neg ^= (quadrant >> 1) ^ f80_neg(x);
		*ret_sin = xf_round(e, xs, false);
	}
	if (ret_cos) {
		xc = quadrant & 1 ? sin_kernel(r, z) : cos_kernel(z);
		xc.neg ^= ((quadrant + 1) >> 1) & 1;
		/* C1 is that of the result which will be ST(0). */
		e->flags &= (uint16_t)~SW_C1;
		*ret_cos = xf_round(e, xc, false);
	}
	return true;
}

bool f80_tan(struct f80_env *e, struct f80 x, struct f80 *ret)
{
	struct f80 unused;
	struct xf r, t;
	unsigned quadrant;
	u128 z;

	if (fast_tan(e, x, ret) || trig_special(e, x, ret, &unused))
		return true;
	if (f80_exp(x) >= F80_BIAS + 63)
		return false;
	quadrant = trig_reduce(x, &r);
	z = square_q128(r);
	if (quadrant & 1) {
		t = xf_div(cos_kernel(z), sin_kernel(r, z));
		t.neg = !t.neg;
	} else {
		/* For a tiny r the quotient is r, or just below; the tangent is above. */
		t = r.exp < -61 ? r : xf_div(sin_kernel(r, z), cos_kernel(z));
	}
	t.neg ^= f80_neg(x);
	*ret = xf_round(e, t, false);
	return true;
}

/* ---- FPATAN ---- */

/* Angle of a vector on an axis or at infinity, in multiples of pi/4, 0: zero; -1: none of these */
static int atan2_special(struct f80 y, struct f80 x)
{
	bool yi = f80_is_inf(y), xi = f80_is_inf(x);

	if (yi && xi)
		return f80_neg(x) ? 3 : 1;
	if (yi)
		return 2;
	if (xi || f80_is_zero(y))
		return f80_neg(x) ? 4 : 0;
	return f80_is_zero(x) ? 2 : -1;
}

/* The same with the arctangent of *ret_t, as fpu_xf.h has it. */
static unsigned atan_kernel(struct xf a, struct xf b, struct xf *ret_t)
{
	unsigned k = atan_reduce(a, b, ret_t);

	if (ret_t->m)
		*ret_t = xf_mul_below(
			*ret_t, poly_alternating(fx_atan, COUNT(fx_atan), square_q128(*ret_t)));
	return k;
}

struct f80 f80_atan2(struct f80_env *e, struct f80 y, struct f80 x)
{
	bool neg = f80_neg(y), swap;
	struct xf a, b, t;
	struct f80 r;
	int special;
	unsigned k;
	u128 angle;

	if (fast_atan2(e, y, x, &r) || f80_nan_result(e, y, x, &r))
		return r;
	if (f80_denormal_stop(e, y, x))
		return y;
	special = atan2_special(y, x);
	if (special == 0)
		return f80_zero(neg);
	if (special > 0)
		return xf_round(e,
			xf_norm(neg, 1,
				special == 3 ? fx_pi - (fx_pi >> 2)
					     : fx_pi >> (special == 1 ? 2 : special == 2)),
			false);
	swap = atan_order(y, x, &a, &b);
	k = atan_kernel(a, b, &t);
	if (k == 0 && !swap && !f80_neg(x)) {
		t.neg = neg;
		return xf_round(e, t, false);
	}
	/* From here on Q126, all of it large. */
	angle = fx_atan_table[k];
	if (t.m)
		angle += t.neg ? 0 - shr(t.m, (unsigned)(1 - t.exp))
			       : shr(t.m, (unsigned)(1 - t.exp));
	if (swap)
		angle = (fx_pi >> 1) - angle;
	if (f80_neg(x))
		angle = fx_pi - angle;
	return xf_round(e, xf_norm(neg, 1, angle), false);
}

/* ---- F2XM1 ---- */

/* |x| < 1/64: the series of e^y - 1, y = x ln 2 */
static struct xf exp2m1_small(struct xf x, bool neg)
{
	struct xf y = xf_norm(neg, x.exp, mul_hi(x.m, fx_ln2));
	u128 u = xf_q128(y);

	return xf_mul_q127(y, neg ? poly_alternating(fx_exp, COUNT(fx_exp), u)
				  : poly_positive(fx_exp, COUNT(fx_exp), u));
}

/* 2^f, 1 <= result < 2, Q127; f Q112, 0 <= f < 1 */
static u128 exp2_frac(u128 f)
{
	u128 t = fx_exp2_table[2 * (unsigned)(f >> 106)];
	u128 u = mul_hi((f & (((u128)1 << 106) - 1)) << 16, fx_ln2);
	u128 w = mul_hi(u, poly_positive(fx_exp, COUNT(fx_exp), u));

	return t + (mul_hi(t, w) << 1);
}

/* 1/64 <= |x| <= 1 */
static struct xf exp2m1_large(struct xf x, bool neg, bool *ret_exact)
{
	u128 q = (x.m >> 64) << (49 + x.exp); /* Q112 */
	u128 f = q & (((u128)1 << 112) - 1), v;
	int n = (int)(q >> 112);

	if (neg) {
		n = -n;
		if (f) {
			f = ((u128)1 << 112) - f;
			n--;
		}
	}
	v = exp2_frac(f);
	*ret_exact = f == 0;
	/* v * 2^n - 1 */
	if (n >= 0)
		return xf_norm(false, n, v - (ONE_Q127 >> n));
	return xf_norm(true, -1, 0 - v); /* n = -1: 1 - v / 2, Q128 */
}

struct f80 f80_2xm1(struct f80_env *e, struct f80 x)
{
	bool neg = f80_neg(x), exact = false;
	struct xf a;
	struct f80 r;

	if (fast_2xm1(e, x, &r) || f80_nan_result(e, x, x, &r))
		return r;
	if (f80_is_zero(x) || f80_denormal_stop(e, x, x))
		return x;
	if (f80_is_inf(x))
		return neg ? f80_make(true, F80_BIAS, F80_J) : x;
	a = xf_from(x);
	if (a.exp < -6) {
		a = exp2m1_small(a, neg);
	} else if (a.exp < 0 || (a.exp == 0 && a.m == ONE_Q127)) {
		a = exp2m1_large(a, neg, &exact);
	} else {
		/* Beyond 1 the manual defines nothing. Processors return the operand. */
		e->flags |= SW_PE;
		return x;
	}
	return xf_round(e, a, exact);
}

/* ---- FYL2X, FYL2XP1 ---- */

/* ln(1 + s) / ln 2 for a small x of magnitude s (Q128) and the same in floating form */
static struct xf log2_1p_small(struct xf x, u128 s)
{
	struct xf r = xf_mul_q127(x, x.neg ? poly_positive(fx_inv, COUNT(fx_inv), s)
					   : poly_alternating(fx_inv, COUNT(fx_inv), s));

	return xf_mul_q127(r, fx_log2e);
}

/* log2(m * 2^exp), m Q127, 1 <= m < 2, the number not 1 */
static struct xf log2_kernel(int exp, u128 m)
{
	unsigned j = (unsigned)(m >> 120) & 127;
	__int128 total, frac = (__int128)fx_log2_table[j];
	bool neg;
	u128 s, w;

	if (j >= 53)
		exp++;
	/* m * recip / 256 = 1 + r, exact for 64-bit operands; s = |r|, Q128 */
	if (j == 0) {
		neg = false;
		s = m << 1;
	} else if (j >= 126) {
		neg = true;
		s = 0 - m;
	} else {
		w = (m >> 8) * fx_recip[j];
		neg = w < ONE_Q127;
		s = (neg ? ONE_Q127 - w : w - ONE_Q127) << 1;
	}
	if (exp == 0 && (j == 0 || j >= 126))
		return log2_1p_small(xf_norm(neg, -1, s), s);

	w = mul_hi(s, neg ? poly_positive(fx_inv, COUNT(fx_inv), s)
			  : poly_alternating(fx_inv, COUNT(fx_inv), s));
	w = mul_hi(w, fx_log2e) << 1; /* Q127 */
	frac += neg ? -(__int128)w : (__int128)w;
	if (exp == 0)
		return xf_norm(frac < 0, 0, frac < 0 ? 0 - (u128)frac : (u128)frac);
	total = (__int128)exp * ((__int128)1 << 111) + (frac >> 16);
	return xf_norm(total < 0, 16, total < 0 ? 0 - (u128)total : (u128)total);
}

static struct f80 times_y(struct f80_env *e, struct xf l, struct f80 y, bool exact)
{
	struct xf f = xf_from(y);

	f = xf_norm(l.neg != f80_neg(y), l.exp + f.exp + 1, mul_hi(l.m, f.m));
	return xf_round(e, f, exact);
}

/*
 * y * L where L = log2 of something is a zero (log_sign: its sign) or an infinity: the special
 * cases of both tables of the SDM. pole: the argument of the logarithm is 0, whose infinity is a
 * division by zero.
 */
static struct f80 yl2_special(
	struct f80_env *e, struct f80 y, bool log_neg, bool log_inf, bool pole)
{
	bool neg = log_neg != f80_neg(y);

	if (log_inf) {
		if (f80_is_zero(y))
			return f80_invalid(e);
		if (pole && !f80_is_inf(y)) {
			e->flags = SW_ZE;
			return f80_inf(neg);
		}
		f80_denormal_stop(e, y, y);
		return f80_inf(neg);
	}
	if (f80_is_inf(y))
		return f80_invalid(e);
	f80_denormal_stop(e, y, y);
	return f80_zero(neg);
}

struct f80 f80_yl2x(struct f80_env *e, struct f80 x, struct f80 y)
{
	bool below_one;
	struct xf a;
	struct f80 r;

	if (fast_yl2x(e, x, y, &r) || f80_nan_result(e, y, x, &r))
		return r;
	if (f80_is_zero(x))
		return yl2_special(e, y, true, true, true);
	if (f80_neg(x))
		return f80_invalid(e);
	if (f80_is_inf(x))
		return yl2_special(e, y, false, true, false);
	if (x.se == F80_BIAS && x.m == F80_J)
		return yl2_special(e, y, false, false, false);
	if (f80_denormal_stop(e, x, y))
		return y;
	below_one = f80_exp(x) < F80_BIAS;
	if (f80_is_inf(y))
		return f80_inf(below_one != f80_neg(y));
	if (f80_is_zero(y))
		return f80_zero(below_one != f80_neg(y));
	a = xf_from(x);
	return times_y(e, log2_kernel(a.exp, a.m), y, a.m == ONE_Q127);
}

/* log2(1 + x), x finite, not zero, > -1 */
static struct xf log2_1p(struct xf x, bool neg, bool *ret_exact)
{
	int exp = 0;
	u128 m;

	*ret_exact = false;
	x.neg = neg;
	if (x.exp < -7)
		return log2_1p_small(x, xf_q128(x));
	if (neg) {
		m = 0 - xf_q128(x);
		exp = -1 - clz128(m);
		m <<= clz128(m);
	} else if (x.exp < 0) {
		m = ONE_Q127 + (x.m >> -x.exp);
	} else {
		exp = x.exp;
		m = x.m + shr(ONE_Q127, (unsigned)exp);
		if (m < x.m) { /* carry: 2 <= m < 4 */
			m = m >> 1 | ONE_Q127;
			exp++;
		}
	}
	*ret_exact = m == ONE_Q127 && x.exp < 128;
	return log2_kernel(exp, m);
}

struct f80 f80_yl2xp1(struct f80_env *e, struct f80 x, struct f80 y)
{
	bool neg = f80_neg(x), exact;
	struct f80 r;
	struct xf l;

	if (f80_nan_result(e, y, x, &r))
		return r;
	if (f80_is_zero(x))
		return yl2_special(e, y, neg, false, false);
	if (f80_is_inf(x))
		return neg ? f80_invalid(e) : yl2_special(e, y, false, true, false);
	if (f80_denormal_stop(e, x, y))
		return y;
	if (f80_is_inf(y))
		return f80_inf(neg != f80_neg(y));
	if (f80_is_zero(y))
		return f80_zero(neg != f80_neg(y));
	if (neg && f80_exp(x) >= F80_BIAS) {
		/* From -1 down the manual defines nothing. Processors return the operand. */
		e->flags |= SW_PE;
		return x;
	}
	l = log2_1p(xf_from(x), neg, &exact);
	return times_y(e, l, y, exact);
}
