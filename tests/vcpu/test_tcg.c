/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The translator against the interpreter: random programs (gen.c) on both, in slices of any length;
 * registers, flags, instruction counts and RAM must be the same at the end.
 *
 *	test_tcg [SEED [CASES [ENGINE]]]
 */
#include <stdio.h>
#include <stdlib.h>

#include "gen.h"
#include "tcg.h"
#include "window.h"

#define N_INSNS 4000

static const char *const engines[] = { "tcg,thresh=0", "tcg,thresh=0,budget=7", "tcg,thresh=2",
	"tcg,thresh=0,one-insn-per-tb=on", "tcg,thresh=0,budget=100", "tcg,thresh=0,window=always",
	"tcg,thresh=0,budget=7,window=always" };
#define N_ENGINES (sizeof(engines) / sizeof(engines[0]))
static const unsigned slices[] = { 100000, 1000, 50, 3, 100000 };

/* A seed that once told the engines apart stays here. */
static const uint64_t past[] = { 0, 7289 };

static uint64_t total, translated, by_window;

static int run_case(uint64_t seed, const char *engine)
{
	static struct gen g;
	struct vm *a = vm_new(VM_PROT32), *b = vm_new(VM_PROT32);
	char what[100];
	int r;

	vm_set_engine(a, NULL);
	vm_set_engine(b, engine ? engine : engines[seed % N_ENGINES]);
	gen_build(&g, a, seed);
	gen_run(a, N_INSNS, 100000);
	gen_build(&g, b, seed);
	gen_run(b, N_INSNS, slices[seed / N_ENGINES % 5]);
	total += a->cpu->icount;
	translated += tcg_stats(b->cpu)->insns;
	by_window += window_stats(b->cpu)->insns;
	snprintf(what, sizeof(what), "case %llu, interpreter and %s", (unsigned long long)seed,
		engine ? engine : engines[seed % N_ENGINES]);
	r = gen_compare(what, a, b);
	vm_free(a);
	vm_free(b);
	return r;
}

int main(int argc, char **argv)
{
	uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 0) : 1,
		 n = argc > 2 ? strtoull(argv[2], NULL, 0) : 300;
	const char *engine = argc > 3 ? argv[3] : NULL;
	int failed = 0;

	for (size_t i = 0; i < sizeof(past) / sizeof(past[0]); i++)
		failed += run_case(past[i], engine);
	for (uint64_t c = first; c < first + n; c++)
		failed += run_case(c, engine);
	printf("%llu cases, %llu instructions, %llu of them translated, %llu with a window, %d "
	       "differ\n",
		(unsigned long long)n, (unsigned long long)total, (unsigned long long)translated,
		(unsigned long long)by_window, failed);
	/* Most of them got somewhere, and by translated code. */
	return failed || total < n * 200 || translated < total / 4;
}
