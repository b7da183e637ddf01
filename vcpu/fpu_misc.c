/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Comparison, rounding to an integer, partial remainder, scaling and taking apart of x87 reals (SDM
 * vol. 2: FCOM, FUCOM, FRNDINT, FPREM, FPREM1, FSCALE, FXTRACT).
 */
#include "fpu_arith.h"

enum f80_order f80_compare(struct f80_env *e, struct f80 a, struct f80 b, bool quiet)
{
	uint64_t ma, mb;
	bool neg = f80_neg(a);
	int ea, eb;

	if (f80_is_unsupported(a) || f80_is_unsupported(b)) {
		e->flags = SW_IE;
		return F80_UNORDERED;
	}
	if (f80_is_nan(a) || f80_is_nan(b)) {
		e->flags = !quiet || f80_is_snan(a) || f80_is_snan(b) ? SW_IE : 0;
		return F80_UNORDERED;
	}
	f80_denormal_stop(e, a, b);
	if (f80_is_zero(a) && f80_is_zero(b))
		return F80_EQ;
	if (f80_is_zero(a))
		return f80_neg(b) ? F80_GT : F80_LT;
	if (f80_is_zero(b) || neg != f80_neg(b))
		return neg ? F80_LT : F80_GT;
	ea = f80_unpack(a, &ma);
	eb = f80_unpack(b, &mb);
	if (ea == eb && ma == mb)
		return F80_EQ;
	return (ea > eb || (ea == eb && ma > mb)) != neg ? F80_GT : F80_LT;
}

struct f80 f80_rndint(struct f80_env *e, struct f80 a)
{
	bool neg = f80_neg(a), up = false;
	struct f80 r;
	uint64_t m, lo;
	int exp, z;

	if (f80_nan_result(e, a, a, &r))
		return r;
	if (f80_denormal_stop(e, a, a) || f80_is_inf(a) || f80_is_zero(a))
		return a;
	exp = f80_unpack(a, &m) - F80_BIAS;
	if (exp >= 63)
		return a;
	if (exp >= 0) {
		lo = m << (exp + 1);
		m >>= 63 - exp;
	} else {
		lo = exp == -1 ? m : 1;
		m = 0;
	}
	if (!lo)
		return a;
	switch (e->rc) {
	case RC_NEAREST: up = lo > F80_J || (lo == F80_J && (m & 1)); break;
	case RC_DOWN: up = neg; break;
	case RC_UP: up = !neg; break;
	default: break;
	}
	m += up;
	e->flags |= SW_PE | (up ? SW_C1 : 0);
	if (!m)
		return f80_zero(neg);
	z = __builtin_clzll(m);
	return f80_make(neg, (unsigned)(F80_BIAS + 63 - z), m << z);
}

struct f80 f80_scale(struct f80_env *e, struct f80 a, struct f80 b)
{
	bool neg = f80_neg(a);
	struct f80 r;
	uint64_t m, mb;
	int exp, eb, n;

	if (f80_nan_result(e, a, b, &r))
		return r;
	if (f80_is_inf(b) && (f80_neg(b) ? f80_is_inf(a) : f80_is_zero(a)))
		return f80_invalid(e);
	if (f80_denormal_stop(e, a, b))
		return a;
	if (f80_is_inf(b) && !f80_is_inf(a))
		return f80_neg(b) ? f80_zero(neg) : f80_inf(neg);
	if (f80_is_inf(a) || f80_is_zero(a))
		return a;
	exp = f80_unpack(a, &m);
	n = 0;
	if (!f80_is_zero(b) && !f80_is_inf(b)) {
		eb = f80_unpack(b, &mb) - F80_BIAS;
		if (eb > 16)
			n = 1 << 17; /* as good as infinite */
		else if (eb >= 0)
			n = (int)(mb >> (63 - eb));
		if (f80_neg(b))
			n = -n;
	}
	return f80_round(e, neg, exp + n, m, 0, 64);
}

void f80_extract(struct f80_env *e, struct f80 a, struct f80 *ret_exp, struct f80 *ret_sig)
{
	bool neg = f80_neg(a);
	struct f80 r;
	uint64_t m;
	int exp;

	*ret_exp = *ret_sig = a;
	if (f80_nan_result(e, a, a, &r)) {
		*ret_exp = *ret_sig = r;
	} else if (f80_is_inf(a)) {
		*ret_exp = f80_inf(false);
	} else if (f80_is_zero(a)) {
		e->flags |= SW_ZE;
		*ret_exp = f80_inf(true);
	} else if (!f80_denormal_stop(e, a, a)) {
		exp = f80_unpack(a, &m) - F80_BIAS;
		*ret_exp = f80_from_i64(exp);
		*ret_sig = f80_make(neg, F80_BIAS, m);
	}
}

static unsigned quotient_cc(uint64_t q)
{
	return (q & 1 ? SW_C1 : 0) | (q & 2 ? SW_C3 : 0) | (q & 4 ? SW_C0 : 0);
}

/* m * 2^(exp - 63), m of any size, exact */
static struct f80 rem_pack(struct f80_env *e, bool neg, int exp, uint64_t m, bool a_neg)
{
	int z;

	if (!m)
		return f80_zero(a_neg);
	z = __builtin_clzll(m);
	return f80_round(e, neg, exp - z, m << z, 0, 64);
}

struct f80 f80_rem(struct f80_env *e, struct f80 a, struct f80 b, bool nearest, unsigned *ret_cc)
{
	bool neg = f80_neg(a), a_neg = neg;
	struct f80 r;
	uint64_t ma, mb, q, rem;
	int ea, eb, d;
	u128 n;

	if (f80_nan_result(e, a, b, &r))
		return r;
	if (f80_is_inf(a) || f80_is_zero(b))
		return f80_invalid(e);
	if (f80_denormal_stop(e, a, b))
		return a;
	*ret_cc = 0;
	if (f80_is_zero(a))
		return a;
	ea = f80_unpack(a, &ma);
	if (f80_is_inf(b))
		return f80_round(e, neg, ea, ma, 0, 64);
	eb = f80_unpack(b, &mb);
	d = ea - eb;
	if (d >= 64) {
		/* Partial: the SDM leaves the number of bits to the processor, 32 to 63. */
		unsigned bits = 32 + ((unsigned)d & 31);

		n = (u128)ma << bits;
		*ret_cc = SW_C2;
		return rem_pack(e, neg, ea - (int)bits, (uint64_t)(n % mb), a_neg);
	}
	if (d < 0) {
		if (!nearest || d < -1 || ma <= mb)
			return f80_round(e, neg, ea, ma, 0, 64);
		/* Between a half and one: the nearest multiple is b itself. */
		*ret_cc = quotient_cc(1);
		return rem_pack(e, !neg, ea, mb - (ma - mb), a_neg);
	}
	n = (u128)ma << d;
	q = (uint64_t)(n / mb);
	rem = (uint64_t)(n % mb);
	if (nearest && (rem > mb - rem || (rem == mb - rem && (q & 1)))) {
		rem = mb - rem;
		neg = !neg;
		q++;
	}
	*ret_cc = quotient_cc(q);
	return rem_pack(e, neg, eb, rem, a_neg);
}
