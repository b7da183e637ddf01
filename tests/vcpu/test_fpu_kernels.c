/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What lies below the last bit: the 128-bit results of the transcendentals before they are rounded,
 * against libquadmath's 113 bits. An error there would show in one rounded result of millions only,
 * and then on no other machine.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <quadmath.h>
#include <stdlib.h>
#include "fpu_trans.c"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_trig),
		cmocka_unit_test(test_log),
		cmocka_unit_test(test_exp),
		cmocka_unit_test(test_atan),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
