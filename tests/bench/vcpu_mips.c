/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How many million guest instructions an engine retires per second of CPU time, with nothing around
 * it.
 *
 *	vcpu_mips IMAGE [MILLIONS [X87]]
 *	vcpu_mips -16 REAL [MILLIONS]
 *	vcpu_mips -calls CALLS [MILLIONS]
 *
 * IMAGE is vcpu_guest.bin, REAL vcpu_real.bin, X87 vcpu_x87.bin, of which only the loops of x87
 * instructions are measured. It runs in slices, as the process would run it, by the interpreter, or
 * by what the environment's DEJAVM_TEST_ENGINE names (harness.h). CALLS is vcpu_calls.bin: the
 * translator, with returns by the jump cache and by the host's RET.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "harness.h"

#define SLICE 50000

/* Of 64 KiB; attr as in struct segment. */
static void put_desc(struct vm *vm, uint32_t sel, uint32_t base, uint8_t attr)
{
	uint64_t d = 0xffff | (uint64_t)(base & 0xffffff) << 16 | (uint64_t)attr << 40;

	memcpy(vm->ram + VM_GDT + sel, &d, 8);
}

static double cpu_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int measure(struct vm *vm, const char *what, uint64_t n)
{
	const struct icache_stats *st = &vm->cpu->icache->stats;
	uint64_t end = vm->cpu->icount + n, start = vm->cpu->icount;
	double t0 = cpu_seconds(), t;

	while (vm->cpu->icount < end) {
		int r = vm_run(vm, SLICE);

		if (r != VM_LIMIT) {
			fprintf(stderr, "vcpu_mips: %s: the guest ended with %d at eip %08x\n",
				what, r, vm->cpu->eip);
			return 1;
		}
	}
	t = cpu_seconds() - t0;
	printf("%-24s %8.1f MIPS  (%.0f M instructions, %llu blocks, %llu lookups)\n", what,
		(double)(vm->cpu->icount - start) / t * 1e-6,
		(double)(vm->cpu->icount - start) * 1e-6, (unsigned long long)st->blocks,
		(unsigned long long)st->lookups);
	return 0;
}

/* vcpu_real.asm in real mode, and in 16-bit segments of protected mode. */
static int measure_16(const uint8_t *image, size_t len, uint64_t n)
{
	static const char *const names[] = { "16-bit, real mode", "16-bit, protected, paging" };
	int r = 0;

	for (unsigned i = 0; i < 2; i++) {
		struct vm *vm = vm_new(VM_REAL16);
		struct cpu *cpu = vm->cpu;

		vm_code(vm, image, len);
		seg_load(cpu, SEG_DS, 0x4000);
		seg_load(cpu, SEG_ES, 0x4000);
		if (i) {
			cpu->cr0 |= CR0_PE;
			put_desc(vm, VM_SEL_DATA16, 0x40000, 0x93);
			put_desc(vm, VM_SEL_CODE16, VM_CODE, 0x9b);
			cpu->seg[SEG_CS].sel = VM_SEL_CODE16;
			seg_load(cpu, SEG_DS, VM_SEL_DATA16);
			seg_load(cpu, SEG_ES, VM_SEL_DATA16);
			vm_paging(vm, false);
		}
		r |= measure(vm, names[i], n);
		vm_free(vm);
	}
	return r;
}

/* The loops of vcpu_x87.asm, each with 8 groups of instructions in a round and two to go round. */
static int measure_x87(struct vm *vm, uint64_t n)
{
	static const struct {
		const char *name;
		unsigned insns; /* of a group */
	} loops[] = {
#define LOOP(name, insns) { name, insns },
#include "vcpu_x87.def"
	};
	int r = 0;

	for (uint32_t i = 0; i < sizeof(loops) / sizeof(loops[0]); i++) {
		uint64_t end = vm->cpu->icount + n, start = vm->cpu->icount;
		double t0;

		vm->cpu->eip = VM_CODE;
		vm->cpu->gpr[R_EAX] = i;
		t0 = cpu_seconds();
		while (vm->cpu->icount < end && !r)
			r = vm_run(vm, SLICE) != VM_LIMIT;
		t0 = cpu_seconds() - t0;
		printf("%-40s %8.2f ns each, %6.2f ns an instruction\n", loops[i].name,
			t0 * 1e9 / (double)(vm->cpu->icount - start) * (loops[i].insns + 0.25),
			t0 * 1e9 / (double)(vm->cpu->icount - start));
	}
	return r;
}

/* Nanoseconds an instruction of the loop that EAX says. */
static double calls_ns(
	const uint8_t *image, size_t len, uint32_t loop, const char *engine, uint64_t n)
{
	struct vm *vm = vm_new(VM_PROT32);
	double best = 1e9;

	vm_set_engine(vm, engine);
	vm_code(vm, image, len);
	vm->cpu->gpr[R_EAX] = loop;
	vm_run(vm, n / 10);
	for (unsigned i = 0; i < 3; i++) {
		double t = cpu_seconds();

		vm_run(vm, n / 3);
		t = cpu_seconds() - t;
		best = t < best ? t : best;
	}
	vm_free(vm);
	return best * 1e9 / (double)(n / 3);
}

static int measure_calls(const uint8_t *image, size_t len, uint64_t n)
{
	static const char *const loops[] = { "fib(20)", "many callers, by chance" };

	for (uint32_t i = 0; i < 2; i++) {
		double cache = calls_ns(image, len, i, "tcg,return-stack=off", n),
		       host = calls_ns(image, len, i, "tcg", n);

		printf("%-24s returns by the jump cache %.3f ns an instruction, by the host's RET "
		       "%.3f: %.2f\n",
			loops[i], cache, host, cache / host);
	}
	return 0;
}

static size_t image_read(const char *path, uint8_t *buf, size_t len)
{
	FILE *f = fopen(path, "rb");
	size_t n;

	if (!f)
		return 0;
	n = fread(buf, 1, len, f);
	fclose(f);
	return n;
}

int main(int argc, char **argv)
{
	static uint8_t image[65536];
	uint64_t n = (argc > 2 ? strtoull(argv[2], NULL, 0) : 100) * 1000000;
	/* rep movsb of 4000 bytes, a page-sized rep stosd, repeated */
	static const char strings[] =
		"\xbe\x00\x00\x10\x00\xbf\x00\x00\x20\x00\xb9\xa0\x0f\x00\x00\xf3\xa4"
		"\xbf\x00\x00\x30\x00\xb9\x00\x04\x00\x00\xf3\xab\xeb\xe1";
	bool is_16 = argc > 2 && !strcmp(argv[1], "-16"),
	     is_calls = argc > 2 && !strcmp(argv[1], "-calls");
	struct vm *vm;
	size_t len;
	int r;

	if ((is_16 || is_calls) && (len = image_read(argv[2], image, sizeof(image))))
		return (is_16 ? measure_16 : measure_calls)(
			image, len, (argc > 3 ? strtoull(argv[3], NULL, 0) : 100) * 1000000);
	if (is_16 || is_calls || argc < 2 ||
		!(len = image_read(argv[argc > 3 ? 3 : 1], image, sizeof(image)))) {
		fprintf(stderr, "usage: vcpu_mips IMAGE [MILLIONS [X87]]\n"
				"       vcpu_mips -16 REAL [MILLIONS]\n"
				"       vcpu_mips -calls CALLS [MILLIONS]\n");
		return 2;
	}
	vm = vm_new(VM_PROT32);
	if (argc > 3) {
		vm_code(vm, image, len);
		r = measure_x87(vm, n);
		vm_free(vm);
		return r;
	}
	vm_code(vm, image, len);
	r = measure(vm, "mixed, no paging", n);
	vm_paging(vm, false);
	r |= measure(vm, "mixed, paging", n);
	vm_paging(vm, true);
	r |= measure(vm, "mixed, PAE paging", n);
	vm_asm(vm, strings);
	r |= measure(vm, "strings", n * 10);
	vm_free(vm);
	return r;
}
