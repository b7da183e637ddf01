/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The transcendentals of fpu_trans.c again, to fewer bits: leading terms in 128 bits, all others in
 * 64. Each result has a bound of its error; if no value within it rounds otherwise, the result is
 * right, whatever the bits beyond are, and it is what fpu_trans.c would have found. In some of a
 * thousand cases it is not, and the full precision decides.
 *
 * Bounds are those of truncation (each product loses up to 1 in the last place) and of the series'
 * ends, doubled at least.
 */
#include "fpu_fast.h"

#include "fpu_tables.h"
#include "fpu_xf.h"

static inline uint64_t mul64(uint64_t a, uint64_t b)
{
	return (uint64_t)((u128)a * b >> 64);
}

/* Exponents of results that need no care. */
static inline bool exp_is_tame(int exp)
{
	return exp > -16000 && exp < 16000;
}

/*
 * Rounds (-1)^neg * m / 2^127 * 2^exp, m off by less than err, if it is sure how. The value is
 * irrational: there is always something behind the last bit.
 */
static inline bool round_if_sure(
	struct f80_env *e, bool neg, int exp, u128 m, uint64_t err, struct f80 *ret)
{
	unsigned z = (unsigned)clz128(m);
	uint64_t hi, lo;
	bool up;

	if (z > 61 || err >> (61 - z))
		return false;
	m <<= z;
	err <<= z;
	exp -= (int)z;
	hi = (uint64_t)(m >> 64);
	lo = (uint64_t)m;
	/* The ways of rounding part at 0 and at one half. */
	if (((lo + err) & (F80_J - 1)) <= 2 * err)
		return false;
	up = e->rc == RC_NEAREST ? lo >> 63 : e->rc != RC_ZERO && (e->rc == RC_UP) != neg;
	hi += up;
	if (!hi) {
		hi = F80_J;
		exp++;
	}
	*ret = f80_make(neg, (unsigned)(exp + F80_BIAS), hi);
	e->flags |= SW_PE | (up ? SW_C1 : 0);
	return true;
}

/* ---- FSIN, FCOS, FSINCOS, FPTAN ---- */

#define SINCOS_ERR (UINT64_C(1) << 53) /* Q127 */

/*
 * sin and cos, Q127, of |x| reduced to at most pi/4; false for what is below 1/128. With a = k/64
 * next to it and t the rest, |t| <= 1/128: sin(a + t) = sin a - sin a (1 - cos t) + cos a sin t.
 */
struct sincos {
	u128 sin, cos;
	unsigned quadrant;
	bool neg; /* of the reduced argument */
};

static inline bool reduce_q70(struct f80 x, struct sincos *s, u128 *ret_r)
{
	int exp = (int)f80_exp(x) - F80_BIAS;
	u128 n;

	if (!f80_is_normal(x) || exp < -7 || exp >= 63)
		return false;
	s->quadrant = 0;
	s->neg = false;
	if (exp < -2) {
		*ret_r = (u128)x.m << (exp + 7);
		return true;
	}
	s->neg = half_pi_reduce(x.m, exp, &n, ret_r);
	s->quadrant = (unsigned)n & 3;
	*ret_r <<= 5;
	return true;
}

static inline bool sincos_kernel(struct f80 x, struct sincos *s)
{
	uint64_t t, y, q, tq, c, ch, sh;
	u128 r, st, ct, ss, cc;
	bool below;
	unsigned k;

	if (!reduce_q70(x, s, &r))
		return false;
	k = (unsigned)((r + F80_J) >> 64);
	if (k == 0)
		return false;
	below = (uint64_t)r >> 63;
	t = below ? 0 - (uint64_t)r : (uint64_t)r; /* Q70 */
	y = (uint64_t)((u128)t * t >> 63);	   /* 2^14 t^2, Q63 */
	/* 2^14 (1 - sin t / t), 2^14 (1 - cos t), Q64 */
	q = fx64_sin[1] - (mul64(y, fx64_sin[2]) << 1);
	q = mul64(y, fx64_sin[0] - (mul64(y, q) << 1)) << 1;
	c = fx64_cos[2] - (mul64(y, fx64_cos[3]) << 1);
	c = fx64_cos[1] - (mul64(y, c) << 1);
	c = mul64(y, fx64_cos[0] - (mul64(y, c) << 1)) << 1;
	tq = mul64(t, q); /* Q84 */
	sh = (uint64_t)(fx_sin_table[k] >> 63);
	ch = (uint64_t)(fx_cos_table[k] >> 63);
	ct = (u128)ch * t + mul64((uint64_t)(fx_cos_table[k] << 1), t); /* cos a * t, Q134 */
	st = (u128)sh * t + mul64((uint64_t)(fx_sin_table[k] << 1), t);
	ct = (ct >> 7) - ((u128)mul64(ch, tq) << 43);
	st = (st >> 7) - ((u128)mul64(sh, tq) << 43);
	ss = fx_sin_table[k] - ((u128)mul64(sh, c) << 49);
	cc = fx_cos_table[k] - ((u128)mul64(ch, c) << 49);
	s->sin = below ? ss - ct : ss + ct;
	s->cos = below ? cc + st : cc - st;
	return true;
}

bool fast_sincos(struct f80_env *e, struct f80 x, struct f80 *ret_sin, struct f80 *ret_cos)
{
	uint16_t flags = e->flags;
	struct sincos s;
	bool neg, odd;

	if (!sincos_kernel(x, &s))
		return false;
	odd = s.quadrant & 1;
	if (ret_sin) {
		neg = (s.quadrant >> 1) ^ f80_neg(x) ^ (s.neg & !odd);
		if (!round_if_sure(e, neg, 0, odd ? s.cos : s.sin, SINCOS_ERR, ret_sin))
			return false;
		/* C1 is that of the result which will be ST(0). */
		if (ret_cos)
			e->flags &= (uint16_t)~SW_C1;
	}
	if (ret_cos) {
		neg = (((s.quadrant + 1) >> 1) & 1) ^ (s.neg & odd);
		if (!round_if_sure(e, neg, 0, odd ? s.sin : s.cos, SINCOS_ERR, ret_cos)) {
			e->flags = flags;
			return false;
		}
	}
	return true;
}

bool fast_tan(struct f80_env *e, struct f80 x, struct f80 *ret)
{
	struct xf xs, xc, t;
	struct sincos s;
	uint64_t err;
	bool odd;

	if (!sincos_kernel(x, &s))
		return false;
	odd = s.quadrant & 1;
	xs = xf_norm(false, 0, s.sin);
	xc = xf_norm(false, 0, s.cos);
	t = odd ? xf_div(xc, xs) : xf_div(xs, xc);
	/* Relative errors add. */
	err = (SINCOS_ERR << 1 << -xs.exp) + (SINCOS_ERR << 1 << -xc.exp);
	return round_if_sure(e, odd ^ s.neg ^ f80_neg(x), t.exp, t.m, err, ret);
}

/* ---- FPATAN ---- */

/* atan t / t, |t| <= 1/64, as a factor of t.m, which is then off by less than 2^55 */
static inline u128 atan_series(struct xf t)
{
	uint64_t th = (uint64_t)(t.m >> 64), y, q;
	unsigned shift = (unsigned)(-2 * t.exp - 14);

	if (shift >= 64)
		return t.m - (t.m >> 127); /* less by what is too small to be seen */
	y = mul64(th, th) >> shift;	   /* 2^12 t^2, Q64 */
	q = fx64_atan[4] - mul64(y, fx64_atan[5]);
	q = fx64_atan[3] - mul64(y, q);
	q = fx64_atan[2] - mul64(y, q);
	q = fx64_atan[1] - mul64(y, q);
	q = mul64(y, fx64_atan[0] - mul64(y, q));
	return t.m - ((u128)mul64(th, q) << 52);
}

bool fast_atan2(struct f80_env *e, struct f80 y, struct f80 x, struct f80 *ret)
{
	bool neg = f80_neg(y), swap;
	struct xf a, b, t;
	u128 angle;
	unsigned k;

	if (!f80_is_normal(x) || !f80_is_normal(y))
		return false;
	swap = atan_order(y, x, &a, &b);
	k = atan_reduce(a, b, &t);
	if (!t.m || t.exp > -7 || !exp_is_tame(t.exp))
		return false;
	angle = atan_series(t);
	if (k == 0 && !swap && !f80_neg(x))
		return round_if_sure(e, neg, t.exp, angle, UINT64_C(1) << 56, ret);
	/* From here on Q126, all of it large. */
	angle = shr(angle, (unsigned)(1 - t.exp));
	angle = t.neg ? fx_atan_table[k] - angle : fx_atan_table[k] + angle;
	if (swap)
		angle = (fx_pi >> 1) - angle;
	if (f80_neg(x))
		angle = fx_pi - angle;
	return round_if_sure(e, neg, 1, angle, UINT64_C(1) << 50, ret);
}

/* ---- F2XM1 ---- */

/* e^v - 1 - v for v = y / 2^7, y Q64 below ln 2: Q78 */
static inline uint64_t exp_series(uint64_t y)
{
	uint64_t y2 = mul64(y, y), y4 = mul64(y2, y2);
	uint64_t a = fx64_exp[0] + mul64(y, fx64_exp[1]), b = fx64_exp[2] + mul64(y, fx64_exp[3]);
	uint64_t c = fx64_exp[4] + mul64(y, fx64_exp[5]) + mul64(y2, fx64_exp[6]);

	return mul64(y2, a + mul64(y2, b) + mul64(y4, c));
}

bool fast_2xm1(struct f80_env *e, struct f80 x, struct f80 *ret)
{
	int exp = (int)f80_exp(x) - F80_BIAS, k;
	u128 q, v, t;
	uint64_t f;

	if (!f80_is_normal(x) || exp < -7 || exp > -1)
		return false;
	/* x = k / 128 + f, 0 <= f < 1/128 (Q71) */
	q = (u128)x.m << (exp + 8);
	if (f80_neg(x))
		q = 0 - q;
	k = (int)(int64_t)(uint64_t)(q >> 64);
	f = (uint64_t)q;
	v = (u128)f * (uint64_t)(fx_ln2 >> 64) + mul64(f, (uint64_t)fx_ln2); /* Q135 */
	v += (u128)exp_series((uint64_t)(v >> 64)) << 57;
	t = fx_exp2_table[k & 127];
	t += mul_hi(t, v) >> 7; /* 2^x, twice that if x < 0 */
	if (k < 0)
		return round_if_sure(e, true, -1, 0 - t, UINT64_C(1) << 53, ret);
	return round_if_sure(e, false, 0, t - ONE_Q127, UINT64_C(1) << 53, ret);
}

/* ---- FYL2X ---- */

/* |ln(1 +- r)|, r = d / 2^71, Q127 */
static inline u128 log_series(uint64_t d, bool neg)
{
	uint64_t u = mul64(d, d), even, odd, p;

	even = fx64_log_even[3] + mul64(u, fx64_log_even[4]);
	even = fx64_log_even[2] + mul64(u, even);
	even = fx64_log_even[1] + mul64(u, even);
	even = fx64_log_even[0] + mul64(u, even);
	odd = fx64_log_odd[2] + mul64(u, fx64_log_odd[3]);
	odd = fx64_log_odd[1] + mul64(u, odd);
	odd = mul64(d, fx64_log_odd[0] + mul64(u, odd));
	p = mul64(u, neg ? even + odd : even - odd);
	return neg ? ((u128)d << 56) + ((u128)p << 49) : ((u128)d << 56) - ((u128)p << 49);
}

bool fast_yl2x(struct f80_env *e, struct f80 x, struct f80 y, struct f80 *ret)
{
	int exp = (int)f80_exp(x) - F80_BIAS, at = 0;
	unsigned j = (unsigned)(x.m >> 56) & 127;
	const u128 one = (u128)1 << 71;
	uint64_t err = UINT64_C(1) << 54;
	__int128 log;
	struct xf l;
	bool neg;
	u128 d;

	if (!f80_is_normal(x) || !f80_is_normal(y) || f80_neg(x) || x.m == F80_J)
		return false;
	exp += j >= 53;
	if (exp == 0 && (j == 0 || j >= 126))
		return false;
	/* m * recip / 256 = 1 + r, exact (Q71) */
	d = (u128)x.m * fx_recip[j];
	neg = d < one;
	d = neg ? one - d : d - one;
	if (d >> 64)
		return false;
	log = (__int128)(mul_hi(log_series((uint64_t)d, neg) << 7, fx_log2e) >> 6);
	log = (__int128)fx_log2_table[j] + (neg ? -log : log);
	if (exp != 0) {
		log = (__int128)exp * ((__int128)1 << 111) + (log >> 16);
		err >>= 15;
		at = 16;
	}
	neg = log < 0;
	l = xf_norm(neg, at, neg ? 0 - (u128)log : (u128)log);
	err <<= at - l.exp;
	exp = l.exp + (int)f80_exp(y) - F80_BIAS + 1;
	if (!exp_is_tame(exp))
		return false;
	return round_if_sure(e, neg != f80_neg(y), exp, mul_hi(l.m, (u128)y.m << 64), err + 2, ret);
}
