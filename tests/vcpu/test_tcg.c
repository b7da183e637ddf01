/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The translator against the interpreter: random programs (gen.c) on both, in slices of any length;
 * registers, flags, instruction counts and RAM must be the same at the end.
 *
 *	test_tcg [SEED [CASES [ENGINE]]]
 *
 * A case is two programs: one in flat segments, mostly, and one in others (GEN_SEGS).
 */
#include <stdio.h>
#include <stdlib.h>

#include "disas.h"
#include "flags.h"
#include "gen.h"
#include "tcg.h"
#include "window.h"

#define N_INSNS 4000u

static const char *const engines[] = { "tcg,thresh=0", "tcg,thresh=0,budget=7", "tcg,thresh=2",
	"tcg,thresh=0,one-insn-per-tb=on", "tcg,thresh=0,budget=100", "tcg,thresh=0,window=always",
	"tcg,thresh=0,budget=7,window=always" };
#define N_ENGINES (sizeof(engines) / sizeof(engines[0]))
static const unsigned slices[] = { 100000, 1000, 50, 3, 100000 };

/* A seed that once told the engines apart stays here. */
static const uint64_t past[] = { 0, 1159, 7289, 140537, 6001189, 6048369, 6059309, 8045506,
	20016821, GEN_SEGS | 346 };

static uint64_t total, translated, by_window, interrupts;
static uint64_t total_segs, translated_16, translated_seg; /* of GEN_SEGS */

/* The first n instructions of a case; what: NULL, only tell. */
static int run_some(uint64_t seed, const char *engine, unsigned n, const char *what)
{
	static struct gen g;
	struct vm *a = vm_new(VM_PROT32), *b = vm_new(VM_PROT32);
	int r;

	vm_set_engine(a, NULL);
	vm_set_engine(b, engine);
	gen_build(&g, a, seed);
	gen_run(a, n, 100000);
	gen_build(&g, b, seed);
	gen_run(b, n, slices[seed / N_ENGINES % 5]);
	total += a->cpu->icount;
	translated += tcg_stats(b->cpu)->insns;
	if (seed & GEN_SEGS) {
		total_segs += a->cpu->icount;
		translated_16 += tcg_stats(b->cpu)->insns_16;
		translated_seg += tcg_stats(b->cpu)->insns_seg;
	}
	by_window += window_stats(b->cpu)->insns;
	interrupts += b->cpu->n_intr;
	r = gen_compare(what, a, b);
	vm_free(a);
	vm_free(b);
	return r;
}

/* The instruction after n of them, and the flags before it. */
static void show(uint64_t seed, unsigned n)
{
	static struct gen g;
	struct vm *a = vm_new(VM_PROT32);
	char text[128] = "";
	uint32_t at;

	vm_set_engine(a, NULL);
	gen_build(&g, a, seed);
	gen_run(a, n, 100000);
	at = a->cpu->seg[SEG_CS].base + a->cpu->eip;
	if (at < VM_RAM_LEN - 16)
		disas_insn(a->ram + at, 16, !g.code16, a->cpu->eip, text, sizeof(text));
	printf("  %6u  flags %05x  %x: %s\n", n, flags_get(a->cpu), a->cpu->eip, text);
	vm_free(a);
}

/* After how many instructions is the difference first seen, and which were the last of them? */
static void find_first(uint64_t seed, const char *engine)
{
	unsigned good = 0, bad = N_INSNS;

	while (bad - good > 1) {
		unsigned n = (good + bad) / 2;

		if (run_some(seed, engine, n, NULL))
			bad = n;
		else
			good = n;
	}
	printf("  first seen after %u instructions:\n", bad);
	for (unsigned n = good > 12 ? good - 12 : 0; n <= bad; n++)
		show(seed, n);
}

static int run_case(uint64_t seed, const char *engine)
{
	char what[100];

	if (!engine)
		engine = engines[seed % N_ENGINES];
	snprintf(what, sizeof(what), "case %llu, interpreter and %s", (unsigned long long)seed,
		engine);
	if (!run_some(seed, engine, N_INSNS, what))
		return 0;
	find_first(seed, engine);
	return 1;
}

int main(int argc, char **argv)
{
	uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 0) : 1,
		 n = argc > 2 ? strtoull(argv[2], NULL, 0) : 300;
	const char *engine = argc > 3 ? argv[3] : NULL;
	int failed = 0;

	for (size_t i = 0; i < sizeof(past) / sizeof(past[0]); i++)
		failed += run_case(past[i], engine);
	for (uint64_t c = first; c < first + n; c++) {
		failed += run_case(c, engine);
		failed += run_case(c | GEN_SEGS, engine);
	}
	printf("%llu cases, %llu instructions, %llu of them translated, %llu with a window, %llu "
	       "interrupts, %d differ\n",
		(unsigned long long)n, (unsigned long long)total, (unsigned long long)translated,
		(unsigned long long)by_window, (unsigned long long)interrupts, failed);
	printf("in segments that are not flat: %llu instructions, translated: %llu of 16-bit code, "
	       "%llu of 32-bit code\n",
		(unsigned long long)total_segs, (unsigned long long)translated_16,
		(unsigned long long)translated_seg);
	/* Most of them got somewhere, and by translated code. */
	return failed || total < n * 200 || translated < total / 4 || interrupts < n / 4 ||
	       translated_16 < total_segs / 10 || translated_seg < total_segs / 16;
}
