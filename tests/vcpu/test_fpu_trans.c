/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The transcendental instructions against libquadmath's 113 bits: error in units in the last place,
 * direction of rounding, and a digest of many results, which must never change: logs depend on it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <quadmath.h>
#include <stdio.h>
#include <string.h>
#include "fpu_host.h"
#include "hash.h"

#define N 20000

enum func { F_2XM1, F_YL2X, F_YL2XP1, F_ATAN2, F_SIN, F_COS, F_TAN, F_COUNT };

static const char *const names[F_COUNT] = { "f2xm1", "fyl2x", "fyl2xp1", "fpatan", "fsin", "fcos",
	"fptan" };

static __float128 to_quad(struct f80 x)
{
	long double l = 0;

	memcpy(&l, &x.m, 8);
	memcpy((char *)&l + 8, &x.se, 2);
	return l;
}

/* x reduced by 66-bit pi as the SDM has it: quadrant and rest, exact */
static __float128 reduce(__float128 x, unsigned *ret_quadrant)
{
	/* pi / 2, 66 bits */
	const __float128 half_pi =
		(__float128)0xc90fdaa22168c234 * 0x1p-63Q + (__float128)0xc * 0x1p-67Q;
	__float128 n, r = fabsq(x);

	/* remainder of exact operands is exact; the quotient fits as |x| < 2^63 */
	r = remainderq(r, half_pi);
	n = rintq((fabsq(x) - r) / half_pi);
	*ret_quadrant = (unsigned)((unsigned long long)n & 3);
	return r;
}

static __float128 reference(enum func f, struct f80 fx, struct f80 fy)
{
	__float128 x = to_quad(fx), y = to_quad(fy), r, s, c;
	unsigned q;

	switch (f) {
	case F_2XM1: return expm1q(x * M_LN2q);
	case F_YL2X:
		if (fabsq(x - 1) < 0.1Q)
			return y * (log1pq(x - 1) / M_LN2q);
		return y * log2q(x);
	case F_YL2XP1: return y * (log1pq(x) / M_LN2q);
	case F_ATAN2: return atan2q(y, x);
	default: break;
	}
	r = reduce(x, &q);
	s = q & 1 ? cosq(r) : sinq(r);
	c = q & 1 ? -sinq(r) : cosq(r);
	if (q & 2) {
		s = -s;
		c = -c;
	}
	if (x < 0)
		s = -s;
	return f == F_SIN ? s : f == F_COS ? c : s / c;
}

static struct f80 compute(struct f80_env *e, enum func f, struct f80 x, struct f80 y)
{
	struct f80 r = f80_indefinite();

	e->flags = 0;
	switch (f) {
	case F_2XM1: return f80_2xm1(e, x);
	case F_YL2X: return f80_yl2x(e, x, y);
	case F_YL2XP1: return f80_yl2xp1(e, x, y);
	case F_ATAN2: return f80_atan2(e, y, x);
	case F_SIN: f80_sincos(e, x, &r, NULL); break;
	case F_COS: f80_sincos(e, x, NULL, &r); break;
	default: f80_tan(e, x, &r); break;
	}
	return r;
}

/* A random number of low bits. Two statements: the order of calls in an expression is the
 * compiler's. */
static uint64_t rnd_low(void)
{
	unsigned shift = 1 + rnd() % 63;

	return rnd() >> shift;
}

static struct f80 rnd_number(int min_exp, int max_exp, bool sign)
{
	uint64_t m = rnd() | F80_J;
	bool neg;
	int exp;

	/* The accurate hard cases lie where few bits are set, or nearly all. */
	switch (rnd() % 6) {
	case 0: m = ~UINT64_C(0) << rnd() % 64; break;
	case 1: m = F80_J | rnd_low(); break;
	case 2: m |= ~UINT64_C(0) << (1 + rnd() % 63); break;
	default: break;
	}
	neg = sign && (rnd() & 1);
	exp = F80_BIAS + min_exp + (int)(rnd() % (unsigned)(max_exp - min_exp + 1));
	return f80_make(neg, (unsigned)exp, m);
}

/* Operands in the function's domain, exponents spread over all that makes a difference */
static void rnd_operands(enum func f, struct f80 *x, struct f80 *y)
{
	bool wide = rnd() % 4 == 0;

	*y = rnd_number(wide ? -4000 : -70, wide ? 4000 : 70, true);
	switch (f) {
	case F_2XM1: *x = rnd_number(wide ? -4000 : -12, -1, true); break;
	case F_YL2X:
		*x = wide ? rnd_number(-16000, 16000, false) : rnd_number(-3, 3, false);
		if (rnd() % 4 == 0)
			*x = f80_make(false, F80_BIAS, F80_J | rnd_low());
		if (rnd() % 4 == 0)
			*x = f80_make(false, F80_BIAS - 1, ~(rnd_low()));
		break;
	case F_YL2XP1: *x = rnd_number(wide ? -4000 : -20, -1, true); break;
	case F_ATAN2: *x = rnd_number(wide ? -4000 : -70, wide ? 4000 : 70, true); break;
	default: *x = rnd_number(wide ? -4000 : -30, wide ? 62 : 5, true); break;
	}
}

/* |r - ref| in units of r's last place */
static double ulps(struct f80 r, __float128 ref)
{
	__float128 ulp = ldexpq(1, (int)f80_exp(r) - F80_BIAS - 63);

	return (double)((to_quad(r) - ref) / ulp);
}

static void test_accuracy(void **state)
{
	rnd_seed(7);
	for (enum func f = 0; f < F_COUNT; f++) {
		double worst = 0;

		for (unsigned i = 0; i < N; i++) {
			struct f80_env e = {
				.masks = SW_EXCPS, .prec = i & 64 ? 24 : 64, .rc = i & 3
			};
			struct f80 x, y, r;
			__float128 ref;
			double err;

			rnd_operands(f, &x, &y);
			r = compute(&e, f, x, y);
			ref = reference(f, x, y);
			err = ulps(r, ref);
			if (f80_neg(r) && e.rc != RC_NEAREST && e.rc != RC_ZERO)
				err = -err; /* directions in magnitude */
			switch (e.rc) {
			case RC_NEAREST: worst = fmax(worst, fabs(err)); break;
			case RC_DOWN:
				err = f80_neg(r) ? -err : err;
				if (err > 1e-9 || err < -1.000001)
					goto bad;
				continue;
			case RC_UP:
				err = f80_neg(r) ? -err : err;
				if (err < -1e-9 || err > 1.000001)
					goto bad;
				continue;
			default:
				err = f80_neg(r) ? -err : err;
				if (err > 1e-9 || err < -1.000001)
					goto bad;
				continue;
			}
			if (fabs(err) <= 0.5000001)
				continue;
		bad:
			print_error(
				"%s rc %u x %04x %016llx y %04x %016llx: %04x %016llx, %.9f ulp\n",
				names[f], e.rc, x.se, (unsigned long long)x.m, y.se,
				(unsigned long long)y.m, r.se, (unsigned long long)r.m, err);
			fail();
		}
		print_message("%s: %.6f ulp at most\n", names[f], worst);
	}
}

/* Exact results raise no PE, others always do. */
static void test_exact(void **state)
{
	struct f80_env e = { .masks = SW_EXCPS, .prec = 64 };
	struct f80 one = f80_make(false, F80_BIAS, F80_J), eight = f80_from_i64(8), r;

	r = compute(&e, F_YL2X, eight, f80_from_i64(5));
	assert_int_equal(e.flags, 0);
	assert_memory_equal(&r.m, &(uint64_t){ UINT64_C(15) << 60 }, 8);
	assert_int_equal(r.se, F80_BIAS + 3);
	compute(&e, F_2XM1, one, one);
	assert_int_equal(e.flags, 0);
	r = compute(&e, F_2XM1, f80_from_i64(-1), one);
	assert_int_equal(e.flags, 0);
	assert_int_equal(r.se, 0x8000 | (F80_BIAS - 1));
	r = compute(&e, F_COS, f80_make(false, 1, F80_J), one);
	assert_true(e.flags & SW_PE);
	assert_int_equal(r.se, F80_BIAS);
	/* The sine of a tiny number is a bit less: with RC down its predecessor. */
	e.rc = RC_ZERO;
	r = compute(&e, F_SIN, f80_make(false, 1000, F80_J), one);
	assert_int_equal(r.se, 999);
	assert_true(r.m == UINT64_MAX);
	e.rc = RC_UP;
	r = compute(&e, F_TAN, f80_make(false, 1000, F80_J), one);
	assert_true(r.m == F80_J + 1);
	assert_true(e.flags & SW_C1);
}

static void test_range(void **state)
{
	struct f80_env e = { .masks = SW_EXCPS, .prec = 64 };
	struct f80 s, c;

	assert_false(f80_sincos(&e, f80_make(true, F80_BIAS + 63, F80_J), &s, &c));
	assert_true(f80_sincos(&e, f80_make(true, F80_BIAS + 62, UINT64_MAX), &s, &c));
	assert_false(f80_tan(&e, f80_make(true, F80_BIAS + 63, F80_J), &s));
}

/* These digests are the definition: a change breaks the replay of every log that was recorded
 * before it. */
static void test_golden(void **state)
{
	static const uint64_t golden[F_COUNT] = { 0x8db90c4fd3bb6a6a, 0x68437317d0521eb0,
		0x3f1838bf8d3ff1fe, 0x3934d9a9ad41c305, 0x6c6bb7b794c9f6af, 0x56904e5934bb242e,
		0x8d0fc3aa89e76508 };

	bool ok = true;

	for (enum func f = 0; f < F_COUNT; f++) {
		uint64_t h = 0;

		rnd_seed(11 + f);
		for (unsigned i = 0; i < N; i++) {
			struct f80_env e = { .masks = SW_EXCPS, .prec = 64, .rc = i & 3 };
			struct f80 x, y, r;
			uint8_t b[12];

			rnd_operands(f, &x, &y);
			if (i % 16 == 0)
				x = rnd_f80();
			r = compute(&e, f, x, y);
			memcpy(b, &r.m, 8);
			memcpy(b + 8, &r.se, 2);
			memcpy(b + 10, &e.flags, 2);
			h = hash64(h, b, 12);
		}
		if (h != golden[f])
			print_error("%s: 0x%016llx\n", names[f], (unsigned long long)h);
		ok &= h == golden[f];
	}
	assert_true(ok);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_accuracy),
		cmocka_unit_test(test_exact),
		cmocka_unit_test(test_range),
		cmocka_unit_test(test_golden),
	};

	host_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
