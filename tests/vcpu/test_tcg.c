/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The translator against the interpreter: random programs (gen.c) on both, in slices of any length;
 * registers, flags, instruction counts and RAM must be the same at the end.
 *
 *	test_tcg [-f] [-d] [SEED [CASES [ENGINE]]]
 *
 * A case is three programs: one in flat segments, mostly, one in others (GEN_SEGS), and one of
 * functions (GEN_CALLS).
 *
 * Machines are used for many programs, renewed between them: to make one takes longer than a
 * program. Now and then a new one takes over, by the last program of the old one, and must get to
 * the same. Options: -f, each program has new ones; -d, prints digests of what each program left in
 * both machines and of their counters, which are the same with -f and without.
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cpu_digest.h"
#include "disas.h"
#include "flags.h"
#include "gen.h"
#include "hash.h"
#include "log.h"
#include "segments.h"
#include "tcg.h"
#include "window.h"

#define N_INSNS 4000u

static const char *const engines[] = { "tcg,thresh=0", "tcg,thresh=0,budget=7", "tcg,thresh=2",
	"tcg,thresh=0,one-insn-per-tb=on", "tcg,thresh=0,budget=100", "tcg,thresh=0,window=always",
	"tcg,thresh=0,budget=7,window=always" };
#define N_ENGINES (sizeof(engines) / sizeof(engines[0]))
#define SLICE_ALL 100000u
static const unsigned slices[] = { SLICE_ALL, 1000, 50, 3, SLICE_ALL };

/* A seed that once told the engines apart stays here. */
static const uint64_t past[] = { 0, 1159, 7289, 140537, 6001189, 6048369, 6059309, 8045506,
	20016821, GEN_SEGS | 346, GEN_CALLS | 40014390, GEN_CALLS | 40180514, GEN_CALLS | 40186582,
	GEN_CALLS | 40250785, GEN_CALLS | 60148573, GEN_CALLS | 70071385 };

static uint64_t total, translated, by_window, interrupts;
static uint64_t total_segs, translated_16, translated_seg; /* of GEN_SEGS */

static bool always_fresh, digests;
static int failed;

/* ---- machines ---- */

/* Programs of a machine, before a new one takes over: what only first use shows is to be seen too.
 * Early at first, so that short runs see it. */
#define USES_MIN 64u
#define USES_MAX 256u

struct machine {
	const char *engine;	 /* NULL: the interpreter */
	struct vm *vm;		 /* NULL: none yet */
	unsigned uses, max;	 /* USES_* */
	uint64_t seed[USES_MAX]; /* of each */
};
static struct machine machines[1 + N_ENGINES];

static struct machine *machine_of(const char *engine)
{
	size_t i = 0;

	while (engine && machines[i].engine != engine && (i == 0 || machines[i].engine))
		i++;
	machines[i].engine = engine;
	if (!machines[i].max)
		machines[i].max = USES_MIN;
	return &machines[i];
}

static struct vm *machine_new(const char *engine)
{
	struct vm *vm = vm_new(VM_PROT32);

	vm_set_engine(vm, engine);
	return vm;
}

static void print_uses(const struct machine *m)
{
	printf("  %s, since it was new:", m->engine ? m->engine : "interpreter");
	for (unsigned i = 0; i < m->uses; i++)
		printf(" %llu", (unsigned long long)m->seed[i]);
	printf("\n");
}

static void machine_free(struct machine *m)
{
	int64_t left;

	vm_renew(m->vm, VM_PROT32);
	left = vm_first_left(m->vm);
	if (left >= 0) {
		printf("a renewed machine's RAM is not zero at %llx\n", (unsigned long long)left);
		print_uses(m);
		failed++;
	}
	vm_free(m->vm);
	m->vm = NULL;
	m->uses = 0;
}

/* As new, for this program. */
static struct vm *machine_for(struct machine *m, uint64_t seed)
{
	if (m->vm && always_fresh)
		machine_free(m);
	if (m->vm)
		vm_renew(m->vm, VM_PROT32);
	else
		m->vm = machine_new(m->engine);
	m->seed[m->uses++] = seed;
	return m->vm;
}

/* ---- programs ---- */

static void run(struct vm *vm, uint64_t seed, unsigned n, unsigned slice)
{
	static struct gen g;

	gen_build(&g, vm, seed);
	gen_run(vm, n, slice);
}

static unsigned slice_of(uint64_t seed)
{
	return slices[seed / N_ENGINES % 5];
}

/* What a program has left. */
struct outcome {
	uint64_t state; /* of CPU and RAM */
	uint64_t stats; /* counters of caches and engines: it has also got there in the same way */
};

static uint64_t digest_state(struct vm *vm)
{
	static uint8_t blob[CPU_DIGEST_BLOB_MAX];
	struct ram_digest *d = ram_digest_new(vm->ram, VM_RAM_LEN >> 12, NULL);
	size_t len;

	must(d != NULL);
	ram_digest_set_file(d, vm->ram_fd);
	vm_touch_written(vm);
	mmu_mark_dirty_all(vm->cpu);
	len = digest_collect(vm->cpu, d, blob, sizeof(blob));
	ram_digest_free(d);
	return hash64(0, blob, len);
}

static uint64_t digest_stats(const struct cpu *cpu)
{
	uint64_t h = hash64(0, mmu_stats(cpu), sizeof(struct mmu_stats));

	h = hash64(h, window_stats(cpu), sizeof(struct window_stats));
	return cpu->tcg ? hash64(h, tcg_stats(cpu), sizeof(struct tcg_stats)) : h;
}

static struct outcome outcome_of(struct vm *vm)
{
	uint64_t stats = digest_stats(vm->cpu);

	return (struct outcome){ .state = digest_state(vm), .stats = stats };
}

static void print_outcomes(uint64_t seed, struct vm *a, struct vm *b)
{
	struct outcome x = outcome_of(a), y = outcome_of(b);

	printf("%llu %016llx %016llx %016llx %016llx\n", (unsigned long long)seed,
		(unsigned long long)x.state, (unsigned long long)y.state,
		(unsigned long long)x.stats, (unsigned long long)y.stats);
}

/*
 * A machine that has had its uses makes way for a new one, which does the last program once more:
 * to be renewed must have been as good.
 */
static void replace(struct machine *m, unsigned slice)
{
	uint64_t seed = m->seed[m->uses - 1];
	struct vm *vm = machine_new(m->engine);
	struct outcome old, new;

	run(vm, seed, N_INSNS, slice);
	old = outcome_of(m->vm);
	new = outcome_of(vm);
	if (old.state != new.state || old.stats != new.stats) {
		printf("program %llu: a new machine and one renewed differ in their %s\n",
			(unsigned long long)seed, old.state != new.state ? "state" : "counters");
		print_uses(m);
		failed++;
	}
	machine_free(m);
	m->vm = vm;
	m->seed[0] = seed;
	m->uses = 1;
	m->max = USES_MAX;
}

static void count(uint64_t seed, const struct vm *a, const struct vm *b)
{
	total += a->cpu->icount;
	translated += tcg_stats(b->cpu)->insns;
	if (seed & GEN_SEGS) {
		total_segs += a->cpu->icount;
		translated_16 += tcg_stats(b->cpu)->insns_16;
		translated_seg += tcg_stats(b->cpu)->insns_seg;
	}
	by_window += window_stats(b->cpu)->insns;
	interrupts += b->cpu->n_intr;
}

/* The first n instructions of a program, in machines as new; what: NULL, only tell. */
static int run_in(struct vm *a, struct vm *b, uint64_t seed, unsigned n, const char *what)
{
	run(a, seed, n, SLICE_ALL);
	run(b, seed, n, slice_of(seed));
	return gen_compare(what, a, b);
}

/* In new machines. */
static int run_some(uint64_t seed, const char *engine, unsigned n)
{
	struct vm *a = machine_new(NULL), *b = machine_new(engine);
	int r = run_in(a, b, seed, n, NULL);

	vm_free(a);
	vm_free(b);
	return r;
}

/* The instruction after n of them, and the flags before it. */
static void show(uint64_t seed, unsigned n)
{
	static struct gen g;
	struct vm *a = machine_new(NULL);
	char text[128] = "";
	uint32_t at;

	gen_build(&g, a, seed);
	gen_run(a, n, SLICE_ALL);
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

		if (run_some(seed, engine, n))
			bad = n;
		else
			good = n;
	}
	printf("  first seen after %u instructions:\n", bad);
	for (unsigned n = good > 12 ? good - 12 : 0; n <= bad; n++)
		show(seed, n);
}

/* Of a difference. */
static void explain(uint64_t seed, const struct machine *ma, const struct machine *mb)
{
	failed++;
	if (run_some(seed, mb->engine, N_INSNS)) {
		find_first(seed, mb->engine);
		return;
	}
	printf("  not in new machines; these had been renewed:\n");
	print_uses(ma);
	print_uses(mb);
}

static void run_case(uint64_t seed, const char *engine)
{
	struct machine *ma, *mb;
	struct vm *a, *b;
	char what[100];
	int r;

	if (!engine)
		engine = engines[seed % N_ENGINES];
	snprintf(what, sizeof(what), "case %llu, interpreter and %s", (unsigned long long)seed,
		engine);
	ma = machine_of(NULL);
	mb = machine_of(engine);
	a = machine_for(ma, seed);
	b = machine_for(mb, seed);
	r = run_in(a, b, seed, N_INSNS, what);
	count(seed, a, b);
	if (digests)
		print_outcomes(seed, a, b);
	if (r)
		explain(seed, ma, mb);
	if (ma->uses == ma->max)
		replace(ma, SLICE_ALL);
	if (mb->uses == mb->max)
		replace(mb, slice_of(seed));
}

int main(int argc, char **argv)
{
	uint64_t first, n;
	const char *engine;

	/* A machine's large and sparse tables are to be fresh pages each time, not zeroed ones. */
	mallopt(M_MMAP_THRESHOLD, 1 << 20);
	for (int c; (c = getopt(argc, argv, "+fd")) != -1;) {
		if (c == '?')
			return 2;
		always_fresh |= c == 'f';
		digests |= c == 'd';
	}
	first = optind < argc ? strtoull(argv[optind], NULL, 0) : 1;
	n = optind + 1 < argc ? strtoull(argv[optind + 1], NULL, 0) : 300;
	engine = optind + 2 < argc ? argv[optind + 2] : NULL;
	for (size_t i = 0; i < sizeof(past) / sizeof(past[0]); i++)
		run_case(past[i], engine);
	for (uint64_t c = first; c < first + n; c++) {
		run_case(c, engine);
		run_case(c | GEN_SEGS, engine);
		run_case(c | GEN_CALLS, engine);
	}
	for (size_t i = 0; i < sizeof(machines) / sizeof(machines[0]); i++)
		if (machines[i].vm)
			machine_free(&machines[i]);
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
