/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What lies below the last bit: the 128-bit results of the transcendentals before they are rounded,
 * against libquadmath's 113 bits. An error there would show in one rounded result of millions only,
 * and then on no other machine. And the fast functions against those of full precision: where they
 * think to know how a value rounds, they do.
 *
 *	DEJAVM_FPU_N=1000000: so many operands for each of the latter
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <quadmath.h>
#include <stdlib.h>
#include "fpu_fast.h"

/* What is included is the full precision alone. */
#define fast_sincos(...) false
#define fast_tan(...)	 false
#define fast_atan2(...)	 false
#define fast_2xm1(...)	 false
#define fast_yl2x(...)	 false
#include "fpu_trans.c"
#undef fast_sincos
#undef fast_tan
#undef fast_atan2
#undef fast_2xm1
#undef fast_yl2x

#define N	30000
#define MAX_ERR 0x1p-105

static uint64_t seed = 5;

static uint64_t rnd(void)
{
	uint64_t z = seed += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

/* 64 significant bits, exact as a __float128 */
static struct xf rnd_xf(int min_exp, int max_exp)
{
	struct xf x = { .neg = false };

	x.exp = min_exp + (int)(rnd() % (unsigned)(max_exp - min_exp + 1));
	x.m = (u128)(rnd() | F80_J) << 64;
	return x;
}

static __float128 to_quad(struct xf x)
{
	__float128 v = ldexpq((__float128)(uint64_t)(x.m >> 64), x.exp - 63) +
		       ldexpq((__float128)(uint64_t)x.m, x.exp - 127);

	return x.neg ? -v : v;
}

static double worst;

static void check(const char *what, struct xf x, struct xf got, __float128 want)
{
	double err = (double)fabsq((to_quad(got) - want) / want);

	if (err > worst)
		worst = err;
	if (err <= MAX_ERR)
		return;
	print_error("%s: exponent %d, significand %016llx: relative error %g\n", what, x.exp,
		(unsigned long long)(x.m >> 64), err);
	fail();
}

static void report(const char *what)
{
	print_message(
		"%s: relative error 2^%.1f at most\n", what, worst ? (double)log2q(worst) : -999.0);
	worst = 0;
}

static void test_trig(void **state)
{
	for (unsigned i = 0; i < N; i++) {
		struct xf r = rnd_xf(i & 1 ? -1 : -60, -1), s, c;
		__float128 x;
		u128 z;

		if (r.exp == -1 && r.m >> 64 > UINT64_C(0xc90fdaa22168c234))
			continue;
		x = to_quad(r);
		z = square_q128(r);
		s = sin_kernel(r, z);
		c = cos_kernel(z);
		check("sin", r, s, sinq(x));
		check("cos", r, c, cosq(x));
		check("tan", r, xf_div(s, c), tanq(x));
		check("cot", r, xf_div(c, s), 1 / tanq(x));
	}
	report("sin, cos, tan");
}

static void test_log(void **state)
{
	for (unsigned i = 0; i < N; i++) {
		struct xf x = rnd_xf(i & 1 ? -2 : -16000, i & 1 ? 1 : 16000), y;
		__float128 v;
		bool exact;

		if (i % 4 == 3)
			x.m = (ONE_Q127 + (x.m >> (1 + i / 4 % 60))) >> 64 << 64;
		v = to_quad(x);
		if (x.m != ONE_Q127)
			check("log2", x, log2_kernel(x.exp, x.m),
				fabsq(v - 1) < 0.3Q ? log1pq(v - 1) / M_LN2q : log2q(v));
		y = rnd_xf(i & 1 ? -9 : -60, -1);
		v = to_quad(y);
		check("log2(1 + x)", y, log2_1p(y, false, &exact), log1pq(v) / M_LN2q);
		check("log2(1 - x)", y, log2_1p(y, true, &exact), log1pq(-v) / M_LN2q);
		y = rnd_xf(0, 200);
		v = to_quad(y);
		/* 1 + x has not room enough in 113 bits: log2 x + log2(1 + 1 / x) */
		check("log2(1 + X)", y, log2_1p(y, false, &exact),
			log2q(v) + log1pq(1 / v) / M_LN2q);
	}
	report("log2");
}

static void test_exp(void **state)
{
	for (unsigned i = 0; i < N; i++) {
		struct xf x = rnd_xf(i & 1 ? -9 : -60, -1);
		__float128 v = to_quad(x);
		bool exact;

		for (unsigned neg = 0; neg < 2; neg++)
			check(neg ? "2^-x - 1" : "2^x - 1", x,
				x.exp < -6 ? exp2m1_small(x, neg) : exp2m1_large(x, neg, &exact),
				expm1q((neg ? -v : v) * M_LN2q));
	}
	report("2^x - 1");
}

static void test_atan(void **state)
{
	for (unsigned i = 0; i < N; i++) {
		struct xf a = rnd_xf(0, 0), b = rnd_xf(i & 1 ? -8 : -60, 0), t, sum;
		__float128 q, want;
		unsigned k;

		if (b.exp == 0 && b.m > a.m)
			continue;
		k = atan_kernel(a, b, &t);
		q = to_quad(b) / to_quad(a);
		want = atanq(q);
		if (k == 0) {
			check("atan", b, t, want);
			continue;
		}
		sum = xf_norm(false, 1,
			fx_atan_table[k] + (t.neg ? 0 - shr(t.m, (unsigned)(1 - t.exp))
						  : shr(t.m, (unsigned)(1 - t.exp))));
		check("atan", b, sum, want);
	}
	report("atan");
}

/* ---- fast ones ---- */

enum { SIN, COS, SINCOS, TAN, ATAN2, EXP, LOG, FAST_N };

static const struct {
	const char *name;
	int min_exp, max_exp; /* of x */
	int y_min, y_max;     /* of y */
	double decided;	      /* of all, at least */
} fast[FAST_N] = {
	[SIN] = { "fsin", -9, 62, 0, 0, 0.93 },
	[COS] = { "fcos", -9, 62, 0, 0, 0.93 },
	[SINCOS] = { "fsincos", -9, 62, 0, 0, 0.9 },
	[TAN] = { "fptan", -9, 62, 0, 0, 0.85 },
	[ATAN2] = { "fpatan", -40, 40, -40, 40, 0.95 },
	[EXP] = { "f2xm1", -9, -1, 0, 0, 0.65 },
	[LOG] = { "fyl2x", -70, 70, -16382, 16383, 0.9 },
};

static struct f80 rnd_f80(int min_exp, int max_exp)
{
	int exp = min_exp + (int)(rnd() % (unsigned)(max_exp - min_exp + 1));
	uint64_t m = rnd() | F80_J;

	switch (rnd() % 8) {
	case 0: m &= ~UINT64_C(0) << rnd() % 64; break; /* few bits */
	case 1: m |= ~(~UINT64_C(0) << rnd() % 63); break;
	case 2: m &= ~UINT64_C(0) << 11; break; /* as of a double */
	}
	return f80_make(false, (unsigned)(exp + F80_BIAS), m | F80_J);
}

struct outcome {
	struct f80 r[2];
	uint16_t flags;
};

static bool run_fast(
	unsigned which, const struct f80_env *env, struct f80 x, struct f80 y, struct outcome *o)
{
	struct f80_env e = *env;
	bool ok;

	switch (which) {
	case SIN: ok = fast_sincos(&e, x, &o->r[0], NULL); break;
	case COS: ok = fast_sincos(&e, x, NULL, &o->r[0]); break;
	case SINCOS: ok = fast_sincos(&e, x, &o->r[0], &o->r[1]); break;
	case TAN: ok = fast_tan(&e, x, &o->r[0]); break;
	case ATAN2: ok = fast_atan2(&e, y, x, &o->r[0]); break;
	case EXP: ok = fast_2xm1(&e, x, &o->r[0]); break;
	default: ok = fast_yl2x(&e, x, y, &o->r[0]); break;
	}
	o->flags = e.flags;
	return ok;
}

static void run_full(
	unsigned which, const struct f80_env *env, struct f80 x, struct f80 y, struct outcome *o)
{
	struct f80_env e = *env;

	switch (which) {
	case SIN: f80_sincos(&e, x, &o->r[0], NULL); break;
	case COS: f80_sincos(&e, x, NULL, &o->r[0]); break;
	case SINCOS: f80_sincos(&e, x, &o->r[0], &o->r[1]); break;
	case TAN: f80_tan(&e, x, &o->r[0]); break;
	case ATAN2: o->r[0] = f80_atan2(&e, y, x); break;
	case EXP: o->r[0] = f80_2xm1(&e, x); break;
	default: o->r[0] = f80_yl2x(&e, x, y); break;
	}
	o->flags = e.flags;
}

static bool check_fast(unsigned which)
{
	struct f80_env env = { .masks = 0x3f, .rc = rnd() % 4, .prec = 64 };
	struct f80 x = rnd_f80(fast[which].min_exp, fast[which].max_exp);
	struct f80 y = rnd_f80(fast[which].y_min, fast[which].y_max);
	struct outcome a = { .flags = 0 }, b = { .flags = 0 };

	if (which != LOG)
		x.se ^= (uint16_t)(rnd() % 2 << 15);
	y.se ^= (uint16_t)(rnd() % 2 << 15);
	if (!run_fast(which, &env, x, y, &a)) {
		assert_int_equal(a.flags, 0);
		return false;
	}
	run_full(which, &env, x, y, &b);
	for (unsigned i = 0; i < 2; i++)
		if (a.r[i].m != b.r[i].m || a.r[i].se != b.r[i].se || a.flags != b.flags)
			fail_msg("%s of %04x %016llx and %04x %016llx, rc %u: %04x %016llx flags "
				 "%x, not %04x %016llx flags %x",
				fast[which].name, x.se, (unsigned long long)x.m, y.se,
				(unsigned long long)y.m, env.rc, a.r[i].se,
				(unsigned long long)a.r[i].m, a.flags, b.r[i].se,
				(unsigned long long)b.r[i].m, b.flags);
	return true;
}

static void test_fast(void **state)
{
	const char *many = getenv("DEJAVM_FPU_N");
	unsigned long n = many ? strtoul(many, NULL, 0) : 3 * N;

	for (unsigned which = 0; which < FAST_N; which++) {
		unsigned long decided = 0;

		for (unsigned long i = 0; i < n; i++)
			decided += check_fast(which);
		print_message("%s: %.1f %% decided\n", fast[which].name,
			100.0 * (double)decided / (double)n);
		assert_true((double)decided >= fast[which].decided * (double)n);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_trig),
		cmocka_unit_test(test_log),
		cmocka_unit_test(test_exp),
		cmocka_unit_test(test_atan),
		cmocka_unit_test(test_fast),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
