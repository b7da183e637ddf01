/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random code in random modes. Nothing may crash or hang, and the outcome must not depend on how
 *the run was cut into slices: one machine runs in long slices (blocks, links, bulk strings), its
 *twin in slices of a few instructions; registers and all of RAM must be the same at the end.
 *
 *	test_fuzz [SEED [CASES]]
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"

#define CODE_LEN 4096
#define N_INSNS	 3000

static uint64_t seed;

static uint32_t next_random(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 16);
}

/* Opcodes that keep a program going more often than random bytes do. */
static void fill_code(uint8_t *p, size_t len)
{
	static const uint8_t common[] = { 0x01, 0x03, 0x29, 0x31, 0x39, 0x40, 0x48, 0x50, 0x58,
		0x83, 0x85, 0x89, 0x8b, 0x8d, 0xa4, 0xa5, 0xab, 0xaf, 0xb8, 0xc1, 0xd1, 0xd3, 0xe2,
		0x74, 0x75, 0x72, 0x0f, 0x66, 0xf3, 0xf2, 0xf7, 0xff, 0xe8, 0xc3, 0xd9, 0xdd };

	for (size_t i = 0; i < len; i++)
		p[i] = next_random() % 2 ? common[next_random() % sizeof(common)]
					 : (uint8_t)next_random();
}

static uint32_t next_address(void)
{
	switch (next_random() % 8) {
	case 0: return next_random();
	case 1: return VM_MMIO + next_random() % 64;
	case 2: return VM_CODE + next_random() % CODE_LEN; /* its own code */
	case 3: return 0xfee00000 + next_random() % 0x400;
	case 4: return VM_PAGES + next_random() % 0x20000;
	default: return VM_DATA + next_random() % 0x40000;
	}
}

/* Every exception goes back into the code, with a fresh stack. */
static void put_handlers(struct vm *vm, bool real)
{
	for (unsigned v = 0; v < 48; v++) {
		uint32_t at = VM_STUBS + v * 16, to = VM_CODE + next_random() % CODE_LEN;
		uint8_t *p = vm->ram + at;

		if (real) {
			uint16_t off = (uint16_t)(to - VM_CODE), seg = VM_CODE >> 4;

			memcpy(p, "\xbc\x00\xf0\xea", 4); /* mov sp, F000h; jmp far */
			memcpy(p + 4, &off, 2);
			memcpy(p + 6, &seg, 2);
		} else {
			uint32_t esp = VM_STACK, rel = to - (at + 10);

			p[0] = 0xbc; /* mov esp, imm32; jmp rel32 */
			memcpy(p + 1, &esp, 4);
			p[5] = 0xe9;
			memcpy(p + 6, &rel, 4);
		}
	}
}

static void build(struct vm *vm, uint64_t case_seed)
{
	unsigned kind;
	struct cpu *cpu = vm->cpu;

	seed = case_seed;
	kind = next_random() % 8;
	vm_mode_set(vm, kind == 0 ? VM_REAL16 : kind == 1 ? VM_PROT16 : VM_PROT32);
	put_handlers(vm, kind == 0);
	fill_code(vm->ram + VM_CODE, CODE_LEN);
	if (kind >= 4)
		vm_paging(vm, kind & 1);
	if (kind >= 4 && next_random() % 2) /* some holes and read-only pages */
		for (int i = 0; i < 8; i++)
			*vm_pte(vm, VM_DATA + (next_random() % 64 << 12)) &=
				~(1u << next_random() % 3);
	if (kind >= 6)
		vm_user(vm);
	for (unsigned i = 0; i < 8; i++)
		if (i != R_ESP)
			cpu->gpr[i] = kind < 2 ? next_random() & 0xffff : next_address();
	if (next_random() % 2)
		cpu->gpr[R_ECX] = next_random() % 100;
	flags_set(cpu, (next_random() & (FL_ARITH | FL_DF)) | (next_random() % 8 ? 0 : FL_TF));
	if (next_random() % 16 == 0) {
		debug_write_dr(cpu, 0, next_address());
		debug_write_dr(cpu, 7, 0x400 | 1 | (next_random() & 0xf) << 16);
	}
	cpu->eip = kind == 0 ? 0 : VM_CODE;
}

/* `max`: longest slice. Ends early at a shutdown or a halt without end. */
static void run(struct vm *vm, unsigned max)
{
	struct cpu *cpu = vm->cpu;
	uint64_t end = cpu->icount + N_INSNS;
	uint32_t r = 12345;

	while (cpu->icount < end) {
		uint64_t limit = cpu->icount;
		enum cpu_exit e;

		r = r * 1664525u + 1013904223u;
		limit += max > 8 ? max : 1 + (r >> 16) % max;
		e = cpu_run(cpu, limit < end ? limit : end);
		if (e == CPU_EXIT_RESET || (e == CPU_EXIT_HALT && cpu->halted))
			return;
	}
}

static int differ(uint64_t case_seed, const char *what, uint64_t a, uint64_t b)
{
	printf("case %llu: %s: %llx in long slices, %llx in short ones\n",
		(unsigned long long)case_seed, what, (unsigned long long)a, (unsigned long long)b);
	return 1;
}

static uint8_t written[VM_RAM_LEN >> 12];

static bool note_page(void *opaque, uint32_t page)
{
	(void)opaque;
	written[page]++;
	return true;
}

static int compare(uint64_t s, struct vm *a, struct vm *b)
{
	static const char *const names[] = { "eax", "ecx", "edx", "ebx", "esp", "ebp", "esi",
		"edi" };
	struct cpu *x = a->cpu, *y = b->cpu;

	if (x->icount != y->icount)
		return differ(s, "icount", x->icount, y->icount);
	if (x->eip != y->eip)
		return differ(s, "eip", x->eip, y->eip);
	for (unsigned i = 0; i < 8; i++)
		if (x->gpr[i] != y->gpr[i])
			return differ(s, names[i], x->gpr[i], y->gpr[i]);
	if (flags_get(x) != flags_get(y))
		return differ(s, "eflags", x->eflags, y->eflags);
	if (x->cr2 != y->cr2 || x->cr0 != y->cr0)
		return differ(s, "cr2", x->cr2, y->cr2);
	if (fpu_digest(x) != fpu_digest(y))
		return differ(s, "fpu", fpu_digest(x), fpu_digest(y));
	/* Both say which pages they have written; the others are as they were built. */
	memset(written, 0, sizeof(written));
	mmu_take_dirty(x, note_page, NULL);
	mmu_take_dirty(y, note_page, NULL);
	for (uint32_t page = 0; page < VM_RAM_LEN >> 12; page++) {
		if (written[page] == 1)
			return differ(
				s, "only one has written the page at", page << 12, page << 12);
		if (written[page] && memcmp(a->ram + (page << 12), b->ram + (page << 12), 4096))
			return differ(s, "RAM page at", page << 12, page << 12);
	}
	return 0;
}

int main(int argc, char **argv)
{
	uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 0) : 1,
		 n = argc > 2 ? strtoull(argv[2], NULL, 0) : 150;
	uint64_t total = 0;

	for (uint64_t c = first; c < first + n; c++) {
		struct vm *a = vm_new(VM_PROT32), *b = vm_new(VM_PROT32);
		int r;

		build(a, c * 0x9e3779b97f4a7c15ull);
		run(a, 1000);
		build(b, c * 0x9e3779b97f4a7c15ull);
		run(b, 3);
		total += a->cpu->icount;
		r = compare(c, a, b);
		vm_free(a);
		vm_free(b);
		if (r)
			return 1;
	}
	printf("%llu cases, %llu instructions\n", (unsigned long long)n, (unsigned long long)total);
	/* Most of them got somewhere. */
	return total < n * 200;
}
