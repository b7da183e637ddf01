/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The engine: exact counts and stops, self-modifying code, blocks that straddle pages, CS limits,
 * invalidation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "engine.h"
#include "fpu.h"
#include "harness.h"
#include "insn_trace.h"
#include "trace.h"

static void start(struct vm *vm, const char *code, size_t len)
{
	vm->cpu->gpr[R_ESP] = VM_STACK;
	vm_code(vm, code, len);
}
#define start_asm(vm, code) start(vm, code, sizeof(code) - 1)

/* mov ecx, 10; l: inc eax; add ebx, eax; nop; dec ecx; jnz l; hlt */
#define LOOP	   "\xb9\x0a\x00\x00\x00\x40\x01\xc3\x90\x49\x75\xf9\xf4"
#define LOOP_INSNS (1 + 10 * 5 + 1)

/* Stopping anywhere and going on does not change where a run ends. */
static void test_stop_anywhere(void **state)
{
	struct vm *vm = vm_new(VM_PROT32);

	for (uint64_t step = 1; step <= LOOP_INSNS + 1; step++) {
		uint64_t before = vm->cpu->icount, n = 0;

		vm->cpu->gpr[R_EAX] = vm->cpu->gpr[R_EBX] = 0;
		start_asm(vm, LOOP);
		while (vm_run(vm, step) == VM_LIMIT) {
			n += step;
			assert_int_equal(vm->cpu->icount, before + n);
		}
		assert_int_equal(vm->cpu->icount, before + LOOP_INSNS);
		assert_int_equal(vm->cpu->gpr[R_EAX], 10);
		assert_int_equal(vm->cpu->gpr[R_EBX], 55);
	}
	/* stop_icount works like the limit */
	start_asm(vm, LOOP);
	vm->cpu->stop_icount = vm->cpu->icount + 7;
	assert_int_equal(vm_cpu_run(vm->cpu, BUS_NEVER), CPU_EXIT_STOP);
	assert_int_equal(vm->cpu->icount, vm->cpu->stop_icount);
	vm_free(vm);
	(void)state;
}

/* A bus reply that moves the stop into the middle of the block is obeyed. */
static void stop_now(struct vm *vm, const struct vm_access *a)
{
	vm->cpu->stop_icount = a->icount + 3;
	vm->cpu->look = true;
}

static void test_stop_from_bus(void **state)
{
	struct vm *vm = vm_new(VM_PROT32);
	uint64_t before = vm->cpu->icount;

	vm->on_access = stop_now;
	/* inc eax; in al, 60h; inc ebx x 6; hlt */
	start_asm(vm, "\x40\xe4\x60\x43\x43\x43\x43\x43\x43\xf4");
	assert_int_equal(vm_cpu_run(vm->cpu, BUS_NEVER), CPU_EXIT_STOP);
	assert_int_equal(vm->cpu->icount, before + 4);
	assert_int_equal(vm->cpu->gpr[R_EBX], 2);
	assert_int_equal(vm->log[0].icount, before + 1);
	vm_free(vm);
	(void)state;
}

/* A faulting instruction does not retire; what came before it in its block has. */
static void test_fault_count(void **state)
{
	struct vm *vm = vm_new(VM_PROT32);
	uint64_t before = vm->cpu->icount;

	vm_paging(vm, false);
	*vm_pte(vm, 0x340000) = 0;
	start_asm(vm,
		"\x40\x40\x40\xa1\x00\x00\x34\x00\x40\xf4"); /* inc eax x 3; mov eax, [340000h] */
	assert_int_equal(vm_run(vm, 100), EXCP_PF);
	assert_int_equal(vm->cpu->icount, before + 3 + 1); /* and the handler's HLT */
	assert_int_equal(vm->frame[1], VM_CODE + 3);
	assert_int_equal(vm->cpu->gpr[R_EAX], 3);
	vm_free(vm);
	(void)state;
}

/* The next instruction is overwritten by the one before it. */
/* An FPU error with CR0.NE clear: the CPU halts on the instruction that waits, each try retires,
 * and what has been tried is not done. */
static void test_fpu_stands_still(void **state)
{
	/* fninit; fldcw [VM_DATA]; fld1; fldz; fdivp; nop; fld1; hlt */
	static const uint8_t code[] = { 0xdb, 0xe3, 0xd9, 0x2d, 0, 0, 0x10, 0, 0xd9, 0xe8, 0xd9,
		0xee, 0xde, 0xf9, 0x90, 0xd9, 0xe8, 0xf4 };

	/* As one block, an end in its middle, alone. */
	for (uint64_t limit = 1; limit <= 8; limit++) {
		struct vm *vm = vm_new(VM_PROT32);
		struct cpu *cpu = vm->cpu;

		vm_code(vm, code, sizeof(code));
		vm->ram[VM_DATA] = 0x7b;
		vm->ram[VM_DATA + 1] = 0x03;
		cpu->cr0 &= ~CR0_NE;
		while (!cpu->halted && cpu->icount < 20)
			vm_cpu_run(cpu, cpu->icount + limit);
		assert_true(cpu->halted);
		assert_int_equal(cpu->eip, VM_CODE + 15);
		assert_int_equal(cpu->icount, 7);
		assert_int_equal(cpu->fpu->top, 6);
		cpu->halted = false; /* woken by something else: it stands still again */
		vm_cpu_run(cpu, cpu->icount + limit);
		assert_true(cpu->halted);
		assert_int_equal(cpu->eip, VM_CODE + 15);
		assert_int_equal(cpu->icount, 8);
		cpu->halted = false;
		fpu_set_ignne(cpu, true);
		vm_cpu_run(cpu, cpu->icount + 1);
		assert_int_equal(cpu->eip, VM_CODE + 17);
		assert_int_equal(cpu->fpu->top, 5);
		vm_free(vm);
	}
}

static void test_self_modifying(void **state)
{
	struct vm *vm = vm_new(VM_PROT32);

	for (int i = 0; i < 3; i++) {
		vm->cpu->gpr[R_EAX] = vm->cpu->gpr[R_EBX] = 0;
		/* mov byte [VM_CODE + 7], 43h (inc ebx); 7: inc eax; hlt */
		start_asm(vm, "\xc6\x05\x07\x00\x01\x00\x43\x40\xf4");
		assert_int_equal(vm_run(vm, 100), VM_HLT);
		assert_int_equal(vm->cpu->gpr[R_EAX], 0);
		assert_int_equal(vm->cpu->gpr[R_EBX], 1);
	}
	/* A loop that counts in its own immediate: mov eax, 0; inc dword [VM_CODE + 1]; dec ecx;
	 * jnz */
	vm->cpu->gpr[R_ECX] = 100;
	start_asm(vm, "\xb8\x00\x00\x00\x00\xff\x05\x01\x00\x01\x00\x49\x75\xf2\xf4");
	assert_int_equal(vm_run(vm, 1000), VM_HLT);
	assert_int_equal(vm->cpu->gpr[R_EAX], 99);
	/* By a string instruction: mov edi, target; mov al, 43h; mov ecx, 3; rep stosb; inc eax x
	 * 3; hlt */
	vm->cpu->gpr[R_EBX] = 0;
	start_asm(vm, "\xbf\x0e\x00\x01\x00\xb0\x43\xb9\x03\x00\x00\x00\xf3\xaa\x40\x40\x40\xf4");
	assert_int_equal(vm_run(vm, 1000), VM_HLT);
	assert_int_equal(vm->cpu->gpr[R_EBX], 3);
	vm_free(vm);
	(void)state;
}

/* Data beside code, in the same page: works, and the code is not decoded again each time. */
static void test_data_beside_code(void **state)
{
	struct vm *vm = vm_new(VM_PROT32);
	uint64_t blocks;

	/* l: inc dword [VM_CODE + 100h]; dec ecx; jnz l; hlt */
	vm->cpu->gpr[R_ECX] = 10000;
	start_asm(vm, "\xff\x05\x00\x01\x01\x00\x49\x75\xf7\xf4");
	assert_int_equal(vm_run(vm, 10), VM_LIMIT);
	blocks = vm->cpu->icache->stats.blocks;
	assert_int_equal(vm_run(vm, 100000), VM_HLT);
	assert_true(vm->cpu->icache->stats.blocks < blocks + 5);
	assert_int_equal(*(uint32_t *)(vm->ram + VM_CODE + 0x100), 10000);
	/* Next to it, within the same 64 bytes. */
	vm->cpu->gpr[R_ECX] = 10000;
	start_asm(vm, "\xff\x05\x20\x00\x01\x00\x49\x75\xf7\xf4");
	assert_int_equal(vm_run(vm, 10), VM_LIMIT);
	blocks = vm->cpu->icache->stats.blocks;
	assert_int_equal(vm_run(vm, 100000), VM_HLT);
	assert_true(vm->cpu->icache->stats.blocks < blocks + 5);
	vm_free(vm);
	(void)state;
}

/* The code map tells which pages hold code, and forgets them. */
static void test_codemap(void **state)
{
	struct vm *vm = vm_new(VM_PROT32);
	unsigned page = VM_CODE >> 12;

	assert_false(vm->codemap[page / 8] >> page % 8 & 1);
	start_asm(vm, LOOP);
	assert_int_equal(vm_run(vm, 100), VM_HLT);
	assert_true(vm->codemap[page / 8] >> page % 8 & 1);
	icache_invalidate_page(vm->cpu, page);
	assert_false(vm->codemap[page / 8] >> page % 8 & 1);
	vm->cpu->eip = VM_CODE;
	vm->cpu->halted = false;
	assert_int_equal(vm_run(vm, 100), VM_HLT);
	assert_true(vm->codemap[page / 8] >> page % 8 & 1);
	icache_flush(vm->cpu);
	vm->cpu->eip = VM_CODE;
	vm->cpu->halted = false;
	assert_int_equal(vm_run(vm, 100), VM_HLT);
	assert_true(vm->codemap[page / 8] >> page % 8 & 1);
	vm_free(vm);
	(void)state;
}

/* Instructions over a page border, at each offset; the second half written, remapped, and not
 * present. */
static void test_straddle(void **state)
{
	/* mov eax, imm32; hlt */
	static const uint8_t code[] = { 0xb8, 0x11, 0x22, 0x33, 0x44, 0xf4 };

	for (uint32_t before = 1; before < 5; before++) {
		struct vm *vm = vm_new(VM_PROT32);
		uint32_t at = 0x401000 - before;
		uint32_t want = 0x44332211;

		vm_paging(vm, false);
		memcpy(vm->ram + at, code, sizeof(code));
		for (int i = 0; i < 3; i++) {
			vm->cpu->eip = at;
			vm->cpu->halted = false;
			vm->cpu->gpr[R_EAX] = 0;
			assert_int_equal(vm_run(vm, 100), VM_HLT);
			assert_int_equal(vm->cpu->gpr[R_EAX], want);
		}
		/* Written by the guest: mov byte [401000h], 99h; jmp at */
		start_asm(vm, "\xc6\x05\x00\x10\x40\x00\x99\xff\xe7");
		vm->cpu->gpr[R_EDI] = at;
		assert_int_equal(vm_run(vm, 100), VM_HLT);
		want = (want & ~(0xffu << (before - 1) * 8)) | 0x99u << (before - 1) * 8;
		assert_int_equal(vm->cpu->gpr[R_EAX], want);
		/* Another second page. */
		memcpy(vm->ram + 0x700000, code + before, sizeof(code) - before);
		*vm_pte(vm, 0x401000) = 0x700000 | 7;
		mmu_invlpg(vm->cpu, 0x401000);
		vm->cpu->eip = at;
		vm->cpu->halted = false;
		assert_int_equal(vm_run(vm, 100), VM_HLT);
		assert_int_equal(vm->cpu->gpr[R_EAX], 0x44332211);
		/* Not there: the fault names the second page. */
		*vm_pte(vm, 0x401000) = 0;
		mmu_invlpg(vm->cpu, 0x401000);
		vm->cpu->eip = at;
		vm->cpu->halted = false;
		assert_int_equal(vm_run(vm, 100), EXCP_PF);
		assert_int_equal(vm->cpu->cr2, 0x401000);
		assert_int_equal(vm->frame[1], at);
		vm_free(vm);
	}
	(void)state;
}

/* An instruction that ends with its page needs nothing of the next. */
static void test_page_end(void **state)
{
	struct vm *vm = vm_new(VM_PROT32);

	vm_paging(vm, false);
	*vm_pte(vm, 0x401000) = 0;
	memcpy(vm->ram + 0x400ffe, "\x40\xf4", 2);
	vm->cpu->eip = 0x400ffe;
	assert_int_equal(vm_run(vm, 100), VM_HLT);
	/* Undefined at its last byte: #UD, not #PF. */
	memcpy(vm->ram + 0x400ffe, "\x0f\xff", 2);
	icache_invalidate_page(vm->cpu, 0x400);
	vm->cpu->eip = 0x400ffe;
	vm->cpu->halted = false;
	assert_int_equal(vm_run(vm, 100), EXCP_UD);
	vm_free(vm);
	(void)state;
}

/* The CS limit cuts instructions and blocks to the byte. */
static void test_cs_limit(void **state)
{
	for (uint32_t limit = VM_CODE; limit < VM_CODE + 8; limit++) {
		struct vm *vm = vm_new(VM_PROT32);

		/* inc eax x 3; mov ebx, imm32; hlt */
		start_asm(vm, "\x40\x40\x40\xbb\x01\x02\x03\x04\xf4");
		vm->cpu->seg[SEG_CS].limit = limit;
		seg_update(&vm->cpu->seg[SEG_CS]);
		assert_int_equal(vm_run(vm, 100), EXCP_GP);
		assert_int_equal(vm->frame[0], 0);
		assert_int_equal(
			vm->cpu->gpr[R_EAX], limit - VM_CODE < 2 ? limit - VM_CODE + 1 : 3);
		if (limit == VM_CODE + 7) {
			assert_int_equal(vm->cpu->gpr[R_EBX], 0x04030201);
			assert_int_equal(vm->frame[1], VM_CODE + 8);
		} else {
			assert_int_equal(vm->cpu->gpr[R_EBX], 0);
		}
		vm_free(vm);
	}
	(void)state;
}

/* A jump beyond the limit faults at the jump, before anything changes. */
static void test_jump_limit(void **state)
{
	struct vm *vm = vm_new(VM_PROT32);

	start_asm(vm, "\xe8\x00\x00\x10\x00"); /* call +1 MiB */
	vm->cpu->seg[SEG_CS].limit = 0x1ffff;
	seg_update(&vm->cpu->seg[SEG_CS]);
	assert_int_equal(vm_run(vm, 100), EXCP_GP);
	assert_int_equal(vm->frame[1], VM_CODE);
	assert_int_equal(vm->cpu->gpr[R_ESP], VM_STACK - 16);
	vm_free(vm);
	(void)state;
}

/* More than 15 bytes: #GP. */
static void test_too_long(void **state)
{
	struct vm *vm = vm_new(VM_PROT32);
	char code[20];

	memset(code, 0x2e, sizeof(code));
	code[14] = '\x90';
	code[15] = '\xf4';
	start(vm, code, sizeof(code));
	assert_int_equal(vm_run(vm, 100), VM_HLT);
	code[14] = '\x2e';
	start(vm, code, sizeof(code));
	assert_int_equal(vm_run(vm, 100), EXCP_GP);
	assert_int_equal(vm->frame[1], VM_CODE);
	vm_free(vm);
	(void)state;
}

/* More code than the arena holds: it is emptied, and everything still runs. */
static void test_arena(void **state)
{
	struct vm *vm = vm_new(VM_PROT32);
	struct cpu *cpu = vm->cpu;
	uint32_t n = 0;

	vm_set_engine(vm, NULL);
	icache_free(cpu->icache);
	cpu->icache = icache_new(65536);
	/* At 4 MiB: 4096 times "inc eax; jmp +14 to the next 16 bytes" */
	for (; n < 4096; n++)
		memcpy(vm->ram + 0x400000 + n * 16, "\x40\xe9\x0a\x00\x00\x00", 6);
	memcpy(vm->ram + 0x400000 + n * 16, "\xff\xe7", 2); /* jmp edi */
	memcpy(vm->ram + 0x300000, "\x49\x74\x02\xff\xe6\xf4",
		6); /* dec ecx; jz end; jmp esi; end: hlt */
	cpu->gpr[R_EAX] = 0;
	cpu->gpr[R_ECX] = 4;
	cpu->gpr[R_EDI] = 0x300000;
	cpu->gpr[R_ESI] = 0x400000;
	cpu->eip = 0x400000;
	assert_int_equal(vm_run(vm, 1000000), VM_HLT);
	assert_int_equal(cpu->gpr[R_EAX], 4 * 4096);
	assert_true(cpu->icache->stats.arena_flushes > 10);
	vm_free(vm);
	(void)state;
}

/* The forms for flat mode are left with the segment load that ends it. */
static void test_flat_mode_ends(void **state)
{
	struct vm *vm = vm_new(VM_PROT32);

	for (int i = 0; i < 2; i++) {
		vm_mode_set(vm, VM_PROT32);
		vm->cpu->gpr[R_EDI] = 0x200000;
		*(uint32_t *)(vm->ram + 0x200000) = 0x1234;
		/* mov ebx, [edi]; mov ax, 20h; mov ds, ax; mov ecx, [edi]: beyond the limit of
		 * FFFFFh */
		start_asm(vm, "\x8b\x1f\x66\xb8\x20\x00\x8e\xd8\x8b\x0f\xf4");
		assert_int_equal(vm_run(vm, 100), EXCP_GP);
		assert_int_equal(vm->frame[1], VM_CODE + 8);
		assert_int_equal(vm->cpu->gpr[R_EBX], 0x1234);
		/* A 16-bit stack: mov ax, 20h; mov ss, ax; mov esp, 10000h; push eax: wraps to
		 * FFFEh */
		vm_mode_set(vm, VM_PROT32);
		start_asm(vm, "\x66\xb8\x20\x00\x8e\xd0\xbc\x00\x00\x01\x00\x50\xf4");
		assert_int_equal(vm_run(vm, 100), VM_HLT);
		assert_int_equal(vm->cpu->gpr[R_ESP], 0x1fffc);
	}
	vm_free(vm);
	(void)state;
}

static void count_insns(void *opaque, struct cpu *cpu, const struct insn *in)
{
	(void)cpu;
	(void)in;
	++*(uint64_t *)opaque;
}

static void test_trace(void **state)
{
	struct vm *vm = vm_new(VM_PROT32);
	uint64_t n = 0;
	const struct engine_trace t = { .exec = count_insns, .opaque = &n };

	engine_set_trace(vm->cpu, &t);
	start_asm(vm, LOOP);
	assert_int_equal(vm_run(vm, 1000), VM_HLT);
	assert_int_equal(n, LOOP_INSNS);
	engine_set_trace(vm->cpu, NULL);
	start_asm(vm, LOOP);
	assert_int_equal(vm_run(vm, 1000), VM_HLT);
	assert_int_equal(n, LOOP_INSNS);
	vm_free(vm);
	(void)state;
}

/* What the trace points print goes to stderr: caught in a file. */
static void test_trace_points(void **state)
{
	struct vm *vm = vm_new(VM_PROT32);
	int saved = dup(2);
	char text[8192] = "";
	FILE *f = tmpfile();

	assert_int_equal(trace_add("vcpu_*"), 0);
	insn_trace_start(vm->cpu);
	start_asm(vm, LOOP);
	fflush(stderr);
	dup2(fileno(f), 2);
	assert_int_equal(vm_run(vm, 3), VM_LIMIT);
	fflush(stderr);
	dup2(saved, 2);
	rewind(f);
	assert_true(fread(text, 1, sizeof(text) - 1, f) > 0);
	assert_non_null(strstr(text, "0008:00010000  mov ecx, 0x0A"));
	assert_non_null(strstr(text, "0008:00010005  inc eax"));
	assert_non_null(strstr(text, "ecx 0000000a"));
	fclose(f);
	close(saved);
	vm_free(vm);
	(void)state;
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_stop_anywhere),
		cmocka_unit_test(test_stop_from_bus), cmocka_unit_test(test_fault_count),
		cmocka_unit_test(test_fpu_stands_still), cmocka_unit_test(test_data_beside_code),
		cmocka_unit_test(test_self_modifying), cmocka_unit_test(test_data_beside_code),
		cmocka_unit_test(test_codemap), cmocka_unit_test(test_straddle),
		cmocka_unit_test(test_page_end), cmocka_unit_test(test_cs_limit),
		cmocka_unit_test(test_jump_limit), cmocka_unit_test(test_too_long),
		cmocka_unit_test(test_arena), cmocka_unit_test(test_flat_mode_ends),
		cmocka_unit_test(test_trace), cmocka_unit_test(test_trace_points) };

	return cmocka_run_group_tests_name("engine", tests, NULL, NULL);
}
