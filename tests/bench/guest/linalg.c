/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Floating point of fixed size, built twice: -mfpmath=387 (with -DUSE_X87) and -mfpmath=sse.
 *
 *   linalg lin ROUNDS       matrix products, LU decomposition and solution, with the residual
 * checked linalg trans ROUNDS     transcendentals: of libm and of the x87, or polynomials that
 * vectorise
 *
 * Results are printed to nine digits, so that a last bit of difference between two libms does not
 * show.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIM    96
#define POINTS 4096

static double a[DIM][DIM], b[DIM][DIM], c[DIM][DIM];
static double rhs[DIM], solution[DIM];
static int pivots[DIM];

static unsigned int seed = 12345;

static double next_random(void)
{
	seed = seed * 1664525u + 1013904223u;
	return (double)(seed >> 8) / 16777216.0 - 0.5;
}

static void fill(double m[DIM][DIM])
{
	for (int i = 0; i < DIM; i++)
		for (int j = 0; j < DIM; j++)
			m[i][j] = next_random();
}

static void multiply(void)
{
	memset(c, 0, sizeof(c));
	for (int i = 0; i < DIM; i++)
		for (int k = 0; k < DIM; k++) {
			double x = a[i][k];

			for (int j = 0; j < DIM; j++)
				c[i][j] += x * b[k][j];
		}
}

/* The textbook's inner products, with a stride that no vector unit likes. */
static double dot_products(void)
{
	double trace = 0;

	for (int i = 0; i < DIM; i++)
		for (int j = 0; j < DIM; j += 3) {
			double sum = 0;

			for (int k = 0; k < DIM; k++)
				sum += a[i][k] * b[k][j];
			trace += i == j ? sum : sum * 1e-3;
		}
	return trace;
}

/* LU decomposition of c in place, by rows, with partial pivoting. */
static void decompose(void)
{
	for (int k = 0; k < DIM; k++) {
		int best = k;

		for (int i = k + 1; i < DIM; i++)
			if (fabs(c[i][k]) > fabs(c[best][k]))
				best = i;
		pivots[k] = best;
		if (best != k)
			for (int j = 0; j < DIM; j++) {
				double t = c[k][j];

				c[k][j] = c[best][j];
				c[best][j] = t;
			}
		for (int i = k + 1; i < DIM; i++) {
			double f = c[i][k] / c[k][k];

			c[i][k] = f;
			for (int j = k + 1; j < DIM; j++)
				c[i][j] -= f * c[k][j];
		}
	}
}

static void solve(void)
{
	memcpy(solution, rhs, sizeof(rhs));
	for (int k = 0; k < DIM; k++) {
		double t = solution[pivots[k]];

		solution[pivots[k]] = solution[k];
		solution[k] = t;
	}
	for (int i = 0; i < DIM; i++)
		for (int j = 0; j < i; j++)
			solution[i] -= c[i][j] * solution[j];
	for (int i = DIM - 1; i >= 0; i--) {
		for (int j = i + 1; j < DIM; j++)
			solution[i] -= c[i][j] * solution[j];
		solution[i] /= c[i][i];
	}
}

static double run_lin(long rounds)
{
	double total = 0, worst = 0;

	fill(b);
	for (long r = 0; r < rounds; r++) {
		fill(a);
		multiply();
		total += dot_products();
		for (int i = 0; i < DIM; i++)
			total += c[i][(i * 7 + (int)(r % DIM)) % DIM];

		/* c = a, made dominant in its diagonal so that the residual says something. */
		memcpy(c, a, sizeof(c));
		for (int i = 0; i < DIM; i++) {
			a[i][i] += DIM;
			c[i][i] = a[i][i];
			rhs[i] = next_random();
		}
		decompose();
		solve();
		for (int i = 0; i < DIM; i++) {
			double sum = -rhs[i];

			for (int j = 0; j < DIM; j++)
				sum += a[i][j] * solution[j];
			if (fabs(sum) > worst)
				worst = fabs(sum);
			total += solution[i];
		}
	}
	if (!(worst < 1e-12)) {
		printf("linalg: residual %g\n", worst);
		exit(3);
	}
	return total;
}

#ifdef USE_X87

#define X87_UNARY(name, code)            \
	static double name(double x)     \
	{                                \
		__asm__(code : "+t"(x)); \
		return x;                \
	}

X87_UNARY(x87_sin, "fsin")
X87_UNARY(x87_cos, "fcos")
X87_UNARY(x87_exp2m1, "f2xm1")
X87_UNARY(x87_round, "frndint")

static double x87_log2(double x)
{
	double one = 1;

	__asm__("fyl2x" : "+t"(x) : "u"(one) : "st(1)");
	return x;
}

static double x87_atan2(double y, double x)
{
	__asm__("fpatan" : "+t"(x) : "u"(y) : "st(1)");
	return x;
}

static double run_trans(long rounds)
{
	double total = 0;

	for (long r = 0; r < rounds; r++)
		for (int i = 1; i <= POINTS; i++) {
			double x = (double)i / 512 + (double)(r % 16) / 64;
			double s = x87_sin(x), co = x87_cos(x);

			if (fabs(s * s + co * co - 1) > 1e-12)
				exit(3);
			total += s * exp(-x) + sqrt(x) + x87_atan2(s, co + 2);
			total += sin(x) * log(x) + x87_exp2m1(s * 0.5) + x87_log2(x) + x87_round(x);
		}
	return total;
}

#else

static double in[POINTS], out[POINTS];

/* sin on [-pi/2, pi/2] after a reduction by multiples of pi: the Taylor polynomial, 1e-11 */
static inline double poly_sin(double x)
{
	const double magic = 6755399441055744.0; /* 1.5 * 2^52: adding it rounds to an integer */
	double n = (x * 0.31830988618379067 + magic) - magic;
	double half = (n * 0.5 + magic) - magic;
	double r = x - n * 3.141592653589793;
	double sign = 1 - 2 * (n - 2 * half) * (n - 2 * half);
	double q = r * r;
	double p = -1.0 / 1307674368000.0;

	p = p * q + 1.0 / 6227020800.0;
	p = p * q - 1.0 / 39916800.0;
	p = p * q + 1.0 / 362880.0;
	p = p * q - 1.0 / 5040.0;
	p = p * q + 1.0 / 120.0;
	p = p * q - 1.0 / 6.0;
	return sign * (r + r * q * p);
}

/* exp(-x) for 0 <= x < 16: (series of -x/16)^16 */
static inline double poly_exp_minus(double x)
{
	double y = x * (-1.0 / 16), p = 1.0 / 3628800.0;

	p = p * y + 1.0 / 362880.0;
	p = p * y + 1.0 / 40320.0;
	p = p * y + 1.0 / 5040.0;
	p = p * y + 1.0 / 720.0;
	p = p * y + 1.0 / 120.0;
	p = p * y + 1.0 / 24.0;
	p = p * y + 1.0 / 6.0;
	p = p * y + 0.5;
	p = p * y + 1;
	p = p * y + 1;
	p *= p;
	p *= p;
	p *= p;
	return p * p;
}

static double run_trans(long rounds)
{
	double total = 0;

	for (long r = 0; r < rounds; r++) {
		for (int i = 0; i < POINTS; i++)
			in[i] = (double)(i + 1) / 512 + (double)(r % 16) / 64;
		for (int i = 0; i < POINTS; i++)
			out[i] = poly_sin(in[i]) * poly_exp_minus(in[i]) + sqrt(in[i]);
		for (int i = 0; i < POINTS; i++) {
			if (!(out[i] > -1 && out[i] < 5))
				exit(3);
			total += out[i];
		}
		if (r < 2 && fabs(poly_sin(in[99]) - sin(in[99])) > 1e-10)
			exit(3);
	}
	return total;
}

#endif

int main(int argc, char **argv)
{
	long rounds = argc > 2 ? atol(argv[2]) : 1;

	if (argc > 1 && !strcmp(argv[1], "lin"))
		printf("lin %ld %.9g\n", rounds, run_lin(rounds));
	else if (argc > 1 && !strcmp(argv[1], "trans"))
		printf("trans %ld %.9g\n", rounds, run_trans(rounds));
	else
		return 2;
	return 0;
}
