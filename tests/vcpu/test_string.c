/* SPDX-License-Identifier: GPL-2.0-or-later */
/* String instructions: one by one and in bulk, counts, faults in the middle, both directions,
 * ports. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "harness.h"

#define SRC 0x400000u
#define DST 0x500000u

struct regs {
	uint32_t eax, ecx, esi, edi, flags;
};

static uint64_t seed = 42;

static uint32_t next_random(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 16);
}

static void set(struct vm *vm, const char *code, size_t len, struct regs r)
{
	vm_code(vm, code, len);
	vm->cpu->gpr[R_EAX] = r.eax;
	vm->cpu->gpr[R_ECX] = r.ecx;
	vm->cpu->gpr[R_ESI] = r.esi;
	vm->cpu->gpr[R_EDI] = r.edi;
	vm->cpu->gpr[R_ESP] = VM_STACK;
	flags_set(vm->cpu, r.flags);
}
#define set_asm(vm, code, ...) set(vm, code, sizeof(code) - 1, (struct regs){ __VA_ARGS__ })

static void fill_random(struct vm *vm, uint32_t at, uint32_t n, unsigned values)
{
	for (uint32_t i = 0; i < n; i++)
		vm->ram[at + i] = (uint8_t)(next_random() % values);
}

/* Each iteration is an instruction; a count of 0 is one, too. */
static void test_counts(void **state)
{
	struct vm *vm = vm_new(VM_PROT32);
	static const uint32_t count[] = { 0, 1, 2, 5, 4096, 10000 };

	for (unsigned i = 0; i < 6; i++) {
		uint64_t before = vm->cpu->icount;

		set_asm(vm, "\xf3\xaa\xf4", .eax = 0x5a, .ecx = count[i], .edi = DST + 3);
		assert_int_equal(vm_run(vm, 100000), VM_HLT);
		assert_int_equal(vm->cpu->icount - before, (count[i] ? count[i] : 1) + 1);
		assert_int_equal(vm->cpu->gpr[R_ECX], 0);
		assert_int_equal(vm->cpu->gpr[R_EDI], DST + 3 + count[i]);
	}
	vm_free(vm);
	(void)state;
}

/* Stopped after every number of iterations, and gone on: the outcome is that of an undisturbed run.
 */
static void test_stops(void **state)
{
	struct vm *vm = vm_new(VM_PROT32);

	for (uint64_t stop = 1; stop < 40; stop++) {
		uint64_t before = vm->cpu->icount;

		memset(vm->ram + DST, 0, 200);
		fill_random(vm, SRC, 200, 256);
		set_asm(vm, "\xf3\x66\xa5\xf4", .ecx = 50, .esi = SRC, .edi = DST);
		assert_int_equal(vm_run(vm, stop), VM_LIMIT);
		assert_int_equal(vm->cpu->icount, before + stop);
		assert_int_equal(vm->cpu->gpr[R_ECX], 50 - stop);
		assert_int_equal(vm->cpu->gpr[R_EDI], DST + 2 * stop);
		assert_int_equal(vm->cpu->eip, VM_CODE);
		assert_int_equal(vm->ram[DST + 2 * stop] | vm->ram[DST + 2 * stop + 1] << 8, 0);
		assert_int_equal(vm_run(vm, 100), VM_HLT);
		assert_int_equal(vm->cpu->icount, before + 51);
		assert_memory_equal(vm->ram + DST, vm->ram + SRC, 100);
	}
	vm_free(vm);
	(void)state;
}

/* A model that does one element at a time, on a copy of RAM. */
static void model(uint8_t *ram, unsigned op, unsigned size, bool repne, struct regs *r)
{
	int32_t step = r->flags & FL_DF ? -(int32_t)size : (int32_t)size;

	while (r->ecx) {
		uint32_t a = 0, b = 0, mask = size == 4 ? ~0u : (1u << size * 8) - 1;

		memcpy(&a, ram + r->esi, size);
		memcpy(&b, ram + r->edi, size);
		r->ecx--;
		switch (op) {
		case 0xa4: memcpy(ram + r->edi, &a, size); break;
		case 0xaa: memcpy(ram + r->edi, &r->eax, size); break;
		case 0xac: r->eax = (r->eax & ~mask) | a; break;
		case 0xae: a = r->eax & mask; break;
		}
		if (op != 0xaa && op != 0xae)
			r->esi += (uint32_t)step;
		if (op != 0xac)
			r->edi += (uint32_t)step;
		if ((op == 0xa6 || op == 0xae) && (a == b) == repne)
			break;
	}
}

static void test_random(void **state)
{
	static const uint8_t ops[] = { 0xa4, 0xa6, 0xaa, 0xac, 0xae };
	struct vm *vm = vm_new(VM_PROT32);
	uint8_t *copy = malloc(VM_RAM_LEN);

	vm_paging(vm, false); /* some of the bulk's pages are not next to each other */
	for (int i = 0; i < 3000; i++) {
		unsigned op = ops[next_random() % 5], size = 1u << next_random() % 3;
		bool repne = next_random() % 2;
		uint8_t code[4], n = 0;
		struct regs r = { .eax = next_random() % 3,
			.ecx = next_random() % 3 ? next_random() % 300 : next_random() % 3000,
			.esi = SRC + 0x8000 + next_random() % 4200,
			.flags = next_random() % 4 ? 0 : FL_DF };

		r.edi = next_random() % 3 ? DST + 0x8000 + next_random() % 4200
					  : r.esi + next_random() % 16 - 8;
		/* Few values, so that comparisons last; the region around both. */
		fill_random(vm, SRC + 0x4000, 0xc000, 1 + next_random() % 2);
		fill_random(vm, DST + 0x4000, 0xc000, 1 + next_random() % 2);
		memcpy(copy + SRC, vm->ram + SRC, 0x10000);
		memcpy(copy + DST, vm->ram + DST, 0x10000);
		if (size == 2)
			code[n++] = 0x66;
		code[n++] = repne ? 0xf2 : 0xf3;
		code[n++] = (uint8_t)(op | (size > 1));
		code[n++] = 0xf4;
		set(vm, (char *)code, n, r);
		model(copy, op, size, repne, &r);
		assert_int_equal(vm_run(vm, 10000), VM_HLT);
		if (vm->cpu->gpr[R_ECX] != r.ecx || vm->cpu->gpr[R_ESI] != r.esi ||
			vm->cpu->gpr[R_EDI] != r.edi || vm->cpu->gpr[R_EAX] != r.eax)
			fail_msg("op %02x size %u %s: ecx %x/%x esi %x/%x edi %x/%x eax %x/%x", op,
				size, repne ? "repne" : "rep", vm->cpu->gpr[R_ECX], r.ecx,
				vm->cpu->gpr[R_ESI], r.esi, vm->cpu->gpr[R_EDI], r.edi,
				vm->cpu->gpr[R_EAX], r.eax);
		assert_memory_equal(vm->ram + SRC, copy + SRC, 0x10000);
		assert_memory_equal(vm->ram + DST, copy + DST, 0x10000);
	}
	free(copy);
	vm_free(vm);
	(void)state;
}

/* The last comparison's flags stay; without an iteration none change. */
static void test_flags(void **state)
{
	struct vm *vm = vm_new(VM_PROT32);

	memcpy(vm->ram + SRC, "abcdefgh", 8);
	memcpy(vm->ram + DST, "abcdeFgh", 8);
	set_asm(vm, "\xf3\xa6\xf4", .ecx = 8, .esi = SRC, .edi = DST);
	assert_int_equal(vm_run(vm, 100), VM_HLT);
	assert_int_equal(vm->cpu->gpr[R_ECX], 2);
	assert_int_equal(flags_get(vm->cpu) & FL_ARITH, 0); /* 'f' - 'F' = 20h */
	set_asm(vm, "\xf3\xa6\xf4", .ecx = 0, .esi = SRC, .edi = DST, .flags = FL_CF | FL_PF);
	assert_int_equal(vm_run(vm, 100), VM_HLT);
	assert_int_equal(flags_get(vm->cpu) & FL_ARITH, FL_CF | FL_PF);
	vm_free(vm);
	(void)state;
}

/* A page fault in the middle: registers stand at the element that faults, which then can be had. */
static void test_fault(void **state)
{
	for (int dir = 0; dir < 2; dir++) {
		struct vm *vm = vm_new(VM_PROT32);
		uint32_t hole = DST + 0x1000, edi = dir ? hole + 0x1000 + 7 * 4 : hole - 8 * 4;
		uint64_t before;

		vm_paging(vm, false);
		*vm_pte(vm, hole) = 0;
		memset(vm->ram + DST, 0, 0x3000);
		before = vm->cpu->icount;
		set_asm(vm, "\xf3\xab\xf4", .eax = 0x77777777, .ecx = 20, .edi = edi,
			.flags = dir ? FL_DF : 0);
		assert_int_equal(vm_run(vm, 100), EXCP_PF);
		assert_int_equal(vm->frame[0], PF_W);
		assert_int_equal(vm->frame[1], VM_CODE);
		assert_int_equal(vm->cpu->cr2, dir ? hole + 0xffc : hole);
		assert_int_equal(vm->cpu->gpr[R_ECX], 12);
		assert_int_equal(vm->cpu->icount, before + 8 + 1); /* and the HLT of the handler */
		*vm_pte(vm, hole) = hole | 7;
		vm->cpu->eip = VM_CODE;
		vm->cpu->halted = false;
		assert_int_equal(vm_run(vm, 100), VM_HLT);
		for (unsigned i = 0; i < 20; i++)
			assert_int_equal(*(uint32_t *)(vm->ram + (edi + (dir ? 0 - i * 4 : i * 4))),
				0x77777777);
		vm_free(vm);
	}
	(void)state;
}

/* 16-bit addresses wrap; the limit does not let an element cross it. */
static void test_wrap16(void **state)
{
	struct vm *vm = vm_new(VM_REAL16);
	struct cpu *cpu = vm->cpu;
	uint32_t es = cpu->seg[SEG_ES].base;

	set_asm(vm, "\xf3\xaa\xf4", .eax = 0x99, .ecx = 0xabcd0010, .edi = 0x1234fff8);
	assert_int_equal(vm_run(vm, 100), VM_HLT);
	assert_int_equal(cpu->gpr[R_EDI], 0x12340008);
	assert_int_equal(cpu->gpr[R_ECX], 0xabcd0000);
	for (unsigned i = 0; i < 8; i++) {
		assert_int_equal(vm->ram[es + 0xfff8 + i], 0x99);
		assert_int_equal(vm->ram[es + i], 0x99);
	}
	assert_int_equal(vm->ram[es + 8], 0);
	assert_int_equal(vm->ram[es + 0x10000], 0);
	/* stosw at FFFF: #GP after what came before */
	set_asm(vm, "\xf3\xab\xf4", .eax = 0x8888, .ecx = 5, .edi = 0xfffb);
	assert_int_equal(vm_run(vm, 100), EXCP_GP);
	assert_int_equal(cpu->gpr[R_EDI], 0xffff);
	assert_int_equal(cpu->gpr[R_ECX], 3);
	vm_free(vm);
	(void)state;
}

static void test_ports(void **state)
{
	struct vm *vm = vm_new(VM_PROT32);

	vm->in_value = 0x100;
	vm->cpu->gpr[R_EDX] = 0x1f0;
	set_asm(vm, "\xf3\x66\x6d\xf4", .ecx = 256, .edi = DST);
	assert_int_equal(vm_run(vm, 1000), VM_HLT);
	for (unsigned i = 0; i < 256; i++)
		assert_int_equal(*(uint16_t *)(vm->ram + DST + i * 2), 0x100 + i);
	assert_int_equal(vm->n_log, 256);
	assert_int_equal(vm->n_bulk, 1); /* in one request */
	assert_int_equal(vm->log[0].addr, 0x1f0);
	assert_int_equal(vm->log[0].size, 2);
	/* Across a page, and into MMIO: same values. */
	vm->n_log = 0;
	vm->in_value = 0;
	set_asm(vm, "\xf3\x6c\xf4", .ecx = 10, .edi = DST + 0x1ffb);
	assert_int_equal(vm_run(vm, 1000), VM_HLT);
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(vm->ram[DST + 0x1ffb + i], i);
	vm->n_log = 0;
	memcpy(vm->ram + SRC, "hello", 5);
	set_asm(vm, "\xf3\x6e\xf4", .ecx = 5, .esi = SRC);
	assert_int_equal(vm_run(vm, 1000), VM_HLT);
	assert_int_equal(vm->n_log, 5);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(vm->log[i].val, (uint8_t) "hello"[i]);
	/* A destination that cannot be written: the port is not read. */
	vm_paging(vm, false);
	vm->n_log = 0;
	*vm_pte(vm, DST) = 0;
	set_asm(vm, "\x6c\xf4", .edi = DST);
	assert_int_equal(vm_run(vm, 100), EXCP_PF);
	assert_int_equal(vm->n_log, 0);
	vm_free(vm);
	(void)state;
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_counts),
		cmocka_unit_test(test_stops), cmocka_unit_test(test_random),
		cmocka_unit_test(test_flags), cmocka_unit_test(test_fault),
		cmocka_unit_test(test_wrap16), cmocka_unit_test(test_ports) };

	return cmocka_run_group_tests_name("string", tests, NULL, NULL);
}
