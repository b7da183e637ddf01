/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rounding and the five basic operations of the x87 (SDM vol. 1, 4.8.4, 4.9, 8.5): significands of
 * 64 bits in 128-bit integers. Operands that are not normal numbers leave the fast path early and
 * are sorted out by class, in the order of priority of the exceptions (SDM vol. 1, 4.9.2).
 */
#include "fpu_arith.h"
#if defined(__SSE2__) && !defined(DEJAVM_PORTABLE)
#define SQRT_SEED 1
#include <emmintrin.h>
#endif

/* Shall a magnitude be rounded up whose discarded part is lo / 2^64 and whose last kept bit is lsb?
 */
static inline bool round_up(unsigned rc, bool neg, bool lsb, uint64_t lo)
{
	switch (rc) {
	case RC_NEAREST: return lo > F80_J || (lo == F80_J && lsb);
	case RC_DOWN: return neg && lo;
	case RC_UP: return !neg && lo;
	default: return false;
	}
}

/* Moves the bits of m beyond prec into lo. */
static inline void cut_to_prec(uint64_t *m, uint64_t *lo, unsigned prec)
{
	if (prec < 64) {
		*lo = *m << prec | (*lo != 0);
		*m &= ~UINT64_C(0) << (64 - prec);
	}
}

static struct f80 round_overflow(
	struct f80_env *e, bool neg, int exp, uint64_t m, uint64_t lo, bool up, unsigned prec)
{
	bool to_inf = e->rc == RC_NEAREST || (e->rc == RC_DOWN && neg) || (e->rc == RC_UP && !neg);

	e->flags |= SW_OE;
	if (!(e->masks & SW_OE)) {
		exp -= F80_WRAP;
		/* Only FSCALE can go so far. */
		if (exp >= F80_EMAX) {
			e->flags |= SW_PE | SW_C1;
			return f80_inf(neg);
		}
		if (lo)
			e->flags |= SW_PE | (up ? SW_C1 : 0);
		return f80_make(neg, (unsigned)exp, m);
	}
	e->flags |= SW_PE | (to_inf ? SW_C1 : 0);
	if (to_inf)
		return f80_inf(neg);
	return f80_make(neg, F80_EMAX - 1, ~UINT64_C(0) << (64 - prec));
}

/* exp < 1: the number may be tiny. m, lo: before any rounding, uncut. */
static struct f80 round_underflow(
	struct f80_env *e, bool neg, int exp, uint64_t m, uint64_t lo, unsigned prec)
{
	uint64_t um = m, ulo = lo;
	bool up, tiny;
	int uexp = exp, shift = 1 - exp;

	/* Tininess is judged after rounding, as if the exponent had no bound (SDM vol. 1, 4.9.1.5).
	 */
	cut_to_prec(&um, &ulo, prec);
	up = round_up(e->rc, neg, um >> (64 - prec) & 1, ulo);
	if (up) {
		um += UINT64_C(1) << (64 - prec);
		if (!um) {
			um = F80_J;
			uexp++;
		}
	}
	tiny = uexp < 1;
	if (tiny && !(e->masks & SW_UE)) {
		e->flags |= SW_UE;
		/* Only FSCALE can go so far. */
		if (uexp + F80_WRAP < 1) {
			e->flags |= SW_PE;
			return f80_zero(neg);
		}
		if (ulo)
			e->flags |= SW_PE | (up ? SW_C1 : 0);
		uexp += F80_WRAP;
		return f80_make(neg, (unsigned)uexp, um);
	}

	if (shift < 64) {
		lo = m << (64 - shift) | (lo != 0);
		m >>= shift;
	} else {
		lo = shift == 64 ? m | (lo != 0) : 1;
		m = 0;
	}
	cut_to_prec(&m, &lo, prec);
	up = round_up(e->rc, neg, m >> (64 - prec) & 1, lo);
	if (up)
		m += UINT64_C(1) << (64 - prec);
	if (lo)
		e->flags |= SW_PE | (up ? SW_C1 : 0) | (tiny ? SW_UE : 0);
	return f80_make(neg, m >> 63, m);
}

struct f80 f80_round(struct f80_env *e, bool neg, int exp, uint64_t m, uint64_t lo, unsigned prec)
{
	bool up = false;

	if (__builtin_expect(exp < 1, 0))
		return round_underflow(e, neg, exp, m, lo, prec);
	cut_to_prec(&m, &lo, prec);
	if (lo) {
		up = round_up(e->rc, neg, m >> (64 - prec) & 1, lo);
		if (up) {
			m += UINT64_C(1) << (64 - prec);
			if (!m) {
				m = F80_J;
				exp++;
			}
		}
	}
	if (__builtin_expect(exp >= F80_EMAX, 0))
		return round_overflow(e, neg, exp, m, lo, up, prec);
	if (lo)
		e->flags |= SW_PE | (up ? SW_C1 : 0);
	return f80_make(neg, (unsigned)exp, m);
}

struct f80 f80_invalid(struct f80_env *e)
{
	e->flags = SW_IE;
	return f80_indefinite();
}

bool f80_nan_result(struct f80_env *e, struct f80 a, struct f80 b, struct f80 *ret)
{
	bool an = f80_is_nan(a), bn = f80_is_nan(b);
	bool as = f80_is_snan(a), bs = f80_is_snan(b);

	if (f80_is_unsupported(a) || f80_is_unsupported(b)) {
		*ret = f80_invalid(e);
		return true;
	}
	if (!an && !bn)
		return false;
	/* A NaN beats what has a lower priority, a denormal operand among it. */
	e->flags = as || bs ? SW_IE : 0;
	if (an && bn) {
		/* SDM vol. 1, table 4-7: the quiet one of a mixed pair, else the larger
		 * significand. */
		if (as != bs)
			*ret = as ? b : a;
		else if (a.m != b.m)
			*ret = a.m > b.m ? a : b;
		else
			*ret = f80_neg(a) ? b : a;
	} else {
		*ret = an ? a : b;
	}
	*ret = f80_quiet(*ret);
	return true;
}

/* v >> d, the bits that fall out jammed into the last one. */
static inline u128 shift_jam(u128 v, unsigned d)
{
	if (d == 0)
		return v;
	if (d >= 128)
		return v != 0;
	return v >> d | ((v << (128 - d)) != 0);
}

/* |a| + |b| or |a| - |b|, for finite operands that are not zero; neg is a's sign. */
static struct f80 add_finite(struct f80_env *e, struct f80 a, struct f80 b, bool neg, bool sub)
{
	uint64_t ma, mb;
	int ea = f80_unpack(a, &ma), eb = f80_unpack(b, &mb);
	u128 x, y;

	if (ea < eb || (ea == eb && ma < mb)) {
		uint64_t m = ma;
		int ex = ea;

		ma = mb;
		mb = m;
		ea = eb;
		eb = ex;
		neg ^= sub;
	}
	/* One bit of room at the top for the carry. */
	x = (u128)ma << 63;
	y = shift_jam((u128)mb << 63, (unsigned)(ea - eb));
	if (sub) {
		x -= y;
		if (!x)
			return f80_zero(e->rc == RC_DOWN);
	} else {
		x += y;
	}
	if (x >> 127) {
		ea++;
	} else {
		uint64_t hi = (uint64_t)(x >> 64);
		int z = hi ? __builtin_clzll(hi) : 64 + __builtin_clzll((uint64_t)x);

		x <<= z;
		ea -= z - 1;
	}
	return f80_round(e, neg, ea, (uint64_t)(x >> 64), (uint64_t)x, e->prec);
}

/* b_neg: b's sign, turned round for a subtraction */
static struct f80 add_signed(struct f80_env *e, struct f80 a, struct f80 b, bool b_neg)
{
	bool a_neg = f80_neg(a);
	struct f80 r;

	if (__builtin_expect(f80_is_normal(a) && f80_is_normal(b) && !e->flags, 1))
		return add_finite(e, a, b, a_neg, a_neg != b_neg);

	if (f80_nan_result(e, a, b, &r))
		return r;
	if (f80_is_inf(a) && f80_is_inf(b) && a_neg != b_neg)
		return f80_invalid(e);
	if (f80_denormal_stop(e, a, b))
		return a;
	if (f80_is_inf(a))
		return a;
	if (f80_is_inf(b))
		return f80_inf(b_neg);
	if (f80_is_zero(a) && f80_is_zero(b))
		return f80_zero(a_neg == b_neg ? a_neg : e->rc == RC_DOWN);
	/* Zero and a number: the number, rounded to the precision in force. */
	if (f80_is_zero(a) || f80_is_zero(b)) {
		uint64_t m;
		int exp = f80_unpack(f80_is_zero(a) ? b : a, &m);

		return f80_round(e, f80_is_zero(a) ? b_neg : a_neg, exp, m, 0, e->prec);
	}
	return add_finite(e, a, b, a_neg, a_neg != b_neg);
}

struct f80 f80_add(struct f80_env *e, struct f80 a, struct f80 b)
{
	return add_signed(e, a, b, f80_neg(b));
}

struct f80 f80_sub(struct f80_env *e, struct f80 a, struct f80 b)
{
	return add_signed(e, a, b, !f80_neg(b));
}

static struct f80 mul_finite(struct f80_env *e, struct f80 a, struct f80 b, bool neg)
{
	uint64_t ma, mb;
	int ea = f80_unpack(a, &ma), eb = f80_unpack(b, &mb);
	u128 p = (u128)ma * mb;
	int exp = ea + eb - F80_BIAS;

	if (p >> 127)
		exp++;
	else
		p <<= 1;
	return f80_round(e, neg, exp, (uint64_t)(p >> 64), (uint64_t)p, e->prec);
}

struct f80 f80_mul(struct f80_env *e, struct f80 a, struct f80 b)
{
	bool neg = f80_neg(a) != f80_neg(b);
	struct f80 r;

	if (__builtin_expect(f80_is_normal(a) && f80_is_normal(b) && !e->flags, 1))
		return mul_finite(e, a, b, neg);

	if (f80_nan_result(e, a, b, &r))
		return r;
	if ((f80_is_inf(a) && f80_is_zero(b)) || (f80_is_zero(a) && f80_is_inf(b)))
		return f80_invalid(e);
	if (f80_denormal_stop(e, a, b))
		return a;
	if (f80_is_inf(a) || f80_is_inf(b))
		return f80_inf(neg);
	if (f80_is_zero(a) || f80_is_zero(b))
		return f80_zero(neg);
	return mul_finite(e, a, b, neg);
}

static struct f80 div_finite(struct f80_env *e, struct f80 a, struct f80 b, bool neg)
{
	uint64_t ma, mb, q, rem, lo;
	int ea = f80_unpack(a, &ma), eb = f80_unpack(b, &mb);
	int exp = ea - eb + F80_BIAS;

	if (ma >= mb) {
		q = div_128_64(ma >> 1, ma << 63, mb, &rem);
	} else {
		q = div_128_64(ma, 0, mb, &rem);
		exp--;
	}
	/* What is left, as less than, equal to or more than half a unit in the last place. */
	if (!rem)
		lo = 0;
	else if (rem > mb - rem)
		lo = F80_J + 1;
	else
		lo = rem == mb - rem ? F80_J : 1;
	return f80_round(e, neg, exp, q, lo, e->prec);
}

struct f80 f80_div(struct f80_env *e, struct f80 a, struct f80 b)
{
	bool neg = f80_neg(a) != f80_neg(b);
	struct f80 r;

	if (__builtin_expect(f80_is_normal(a) && f80_is_normal(b) && !e->flags, 1))
		return div_finite(e, a, b, neg);

	if (f80_nan_result(e, a, b, &r))
		return r;
	if ((f80_is_inf(a) && f80_is_inf(b)) || (f80_is_zero(a) && f80_is_zero(b)))
		return f80_invalid(e);
	if (f80_is_zero(b) && !f80_is_inf(a)) {
		/* Of higher priority than a denormal operand. */
		e->flags = SW_ZE;
		return f80_inf(neg);
	}
	if (f80_denormal_stop(e, a, b))
		return a;
	if (f80_is_inf(a))
		return f80_inf(neg);
	if (f80_is_inf(b) || f80_is_zero(a))
		return f80_zero(neg);
	return div_finite(e, a, b, neg);
}

/* floor(sqrt(n)), n >= 2^126, and whether it is exact, below or above one half more. */
static uint64_t sqrt_128(u128 n, uint64_t *ret_lo)
{
	uint64_t s;
	u128 r;
#ifdef SQRT_SEED
	/* A seed good to some 50 bits; what is done to it below makes the result exact, whatever
	 * the seed. */
	__m128d v = _mm_set_sd((double)(uint64_t)(n >> 64));
	double d = _mm_cvtsd_f64(_mm_sqrt_sd(v, v)) * 4294967296.0;

	s = d >= 18446744073709549568.0 ? ~UINT64_C(0) : (uint64_t)d;
	for (int i = 0; i < 1; i++) {
#else
	s = ~UINT64_C(0);
	for (int i = 0; i < 7; i++) {
#endif
		uint64_t rem, hi = (uint64_t)(n >> 64);
		u128 q = hi < s ? div_128_64(hi, (uint64_t)n, s, &rem) : n / s;
		u128 sum = (s + q) >> 1;

		s = sum > UINT64_MAX ? UINT64_MAX : (uint64_t)sum;
	}
	while ((u128)s * s > n)
		s--;
	while (s != UINT64_MAX && (u128)(s + 1) * (s + 1) <= n)
		s++;
	r = n - (u128)s * s; /* 0..2s; the root's next bit is 1 iff r > s */
	*ret_lo = r == 0 ? 0 : r > s ? F80_J + 1 : 1;
	return s;
}

struct f80 f80_sqrt(struct f80_env *e, struct f80 a)
{
	struct f80 r;
	uint64_t m, lo;
	int exp;

	if (f80_nan_result(e, a, a, &r))
		return r;
	if (f80_is_zero(a))
		return a;
	if (f80_neg(a))
		return f80_invalid(e);
	if (f80_denormal_stop(e, a, a) || f80_is_inf(a))
		return a;
	exp = f80_unpack(a, &m) - F80_BIAS;
	/* a = m * 2^(exp - 63): an even exponent for the 128-bit radicand, 2^126 or more */
	m = sqrt_128(exp & 1 ? (u128)m << 64 : (u128)m << 63, &lo);
	exp = exp & 1 ? (exp - 1) / 2 : exp / 2;
	return f80_round(e, false, exp + F80_BIAS, m, lo, e->prec);
}
