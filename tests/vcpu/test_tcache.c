/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The cache of translated blocks: regions that fill up and are emptied, blocks that die, links
 * under generations, and that no page is writable and executable.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "harness.h"
#include "tcache.h"
#include "tcg.h"

#define FARM 0x400000u /* many small blocks */

/* n blocks "inc eax; nop...; jmp next", `gap` bytes apart; the last one is followed by "dec ecx; jz
 * end; jmp first; end: hlt". */
static void put_farm(struct vm *vm, unsigned n, unsigned gap)
{
	uint8_t *p = vm->ram + FARM;
	uint32_t back;

	for (unsigned i = 0; i < n; i++, p += gap) {
		uint32_t rel = gap - 6;

		p[0] = 0x40;
		p[1] = 0xe9;
		memcpy(p + 2, &rel, 4);
	}
	memcpy(p, "\x49\x74\x05\xe9", 4);
	back = FARM - (uint32_t)(p + 8 - vm->ram);
	memcpy(p + 4, &back, 4);
	p[8] = 0xf4;
}

static void run_farm(struct vm *vm, uint32_t rounds, uint32_t want_eax)
{
	vm->cpu->gpr[R_EAX] = 0;
	vm->cpu->gpr[R_ECX] = rounds;
	vm->cpu->eip = FARM;
	vm->cpu->halted = false;
	assert_int_equal(vm_run(vm, 100000000), VM_HLT);
	assert_int_equal(vm->cpu->gpr[R_EAX], want_eax);
}

/* Far more blocks than fit, several times round; instruction counts stay exact. */
static void test_regions(void **state)
{
	struct vm *vm = vm_new(VM_PROT32), *plain = vm_new(VM_PROT32);
	const unsigned n = 30000;

	vm_set_engine(vm, "tcg,thresh=0,tb-size=1");
	vm_set_engine(plain, NULL);
	put_farm(vm, n, 16);
	put_farm(plain, n, 16);
	run_farm(vm, 5, 5 * n);
	run_farm(plain, 5, 5 * n);
	assert_int_equal(vm->cpu->icount, plain->cpu->icount);
	assert_true(vm->cpu->tcache->stats.regions_emptied > 2 * TCACHE_REGIONS);
	assert_true(vm->cpu->tcache->stats.blocks > n);
	assert_memory_equal(vm->ram, plain->ram, VM_RAM_LEN);
	vm_free(vm);
	vm_free(plain);
	(void)state;
}

/* What is in a large enough cache is neither made again nor looked for again. */
static void test_kept(void **state)
{
	struct vm *vm = vm_new(VM_PROT32);
	uint64_t blocks, entered;

	vm_set_engine(vm, "tcg,thresh=0,tb-size=8");
	put_farm(vm, 500, 16);
	run_farm(vm, 2, 2 * 500);
	blocks = vm->cpu->tcache->stats.blocks;
	entered = tcg_stats(vm->cpu)->entered;
	run_farm(vm, 1000, 1000 * 500);
	assert_true(vm->cpu->tcache->stats.blocks <= blocks + 2);
	assert_true(tcg_stats(vm->cpu)->entered < entered + 50);
	assert_int_equal(vm->cpu->tcache->stats.regions_emptied, 0);
	vm_free(vm);
	(void)state;
}

/* By the guest and by DMA; only what was written to dies, and the new code is what runs. */
static void test_killed(void **state)
{
	struct vm *vm = vm_new(VM_PROT32);
	struct tcache *tc;
	uint64_t blocks, flushes;

	vm_set_engine(vm, "tcg,thresh=0,tb-size=8");
	tc = vm->cpu->tcache;
	put_farm(vm, 500, 64);
	run_farm(vm, 10, 10 * 500);
	assert_true(icache_page_has_code(vm->cpu, FARM >> 12));
	blocks = tc->stats.blocks;
	/* INC EAX at block 100 becomes DEC EAX: mov byte [..], 48; hlt */
	vm_asm(vm, "\xc6\x05\x00\x19\x40\x00\x48\xf4");
	assert_int_equal(vm_run(vm, 100), VM_HLT);
	assert_int_equal(vm->ram[FARM + 6400], 0x48);
	assert_true(tc->stats.killed >= 1 && tc->stats.killed <= 2);
	run_farm(vm, 10, 10 * 498);
	assert_true(tc->stats.blocks <= blocks + 8);
	vm->ram[FARM + 64] = 0x48;
	icache_invalidate_page(vm->cpu, FARM >> 12);
	run_farm(vm, 10, 10 * 496);
	flushes = tc->stats.flushes;
	icache_flush(vm->cpu);
	assert_int_equal(tc->stats.flushes, flushes + 1);
	run_farm(vm, 10, 10 * 496);
	vm_free(vm);
	(void)state;
}

/* A page that holds no code any more may be written fast again. */
static void test_pages(void **state)
{
	struct vm *vm = vm_new(VM_PROT32);

	vm_set_engine(vm, "tcg,thresh=0,tb-size=8");
	put_farm(vm, 300, 16);
	run_farm(vm, 10, 10 * 300);
	assert_true(icache_page_has_code(vm->cpu, FARM >> 12));
	assert_int_equal(vm->codemap[FARM >> 15] >> (FARM >> 12 & 7) & 1, 1);
	icache_invalidate_page(vm->cpu, FARM >> 12);
	assert_false(icache_page_has_code(vm->cpu, FARM >> 12));
	assert_int_equal(vm->codemap[FARM >> 15] >> (FARM >> 12 & 7) & 1, 0);
	vm_free(vm);
	(void)state;
}

/* Nobody observes writes any more when -accel check's engine has gone. */
static void test_another_engine(void **state)
{
	static const char *const engines[] = { "tcg,thresh=0,check", NULL, "tcg,thresh=0" };
	struct vm *vm = vm_new(VM_PROT32);

	for (unsigned i = 0; i < 3; i++) {
		vm_set_engine(vm, engines[i]);
		/* mov [100000h], eax; hlt */
		vm_asm(vm, "\xa3\x00\x00\x10\x00\xf4");
		vm->cpu->gpr[R_EAX] = 0x1234 + i;
		assert_int_equal(vm_run(vm, 10), VM_HLT);
		assert_int_equal(vm->ram[0x100000], 0x34 + i);
	}
	vm_free(vm);
	(void)state;
}

/* An empty entry of the jump cache is not taken for one of key 0, EIP 0. */
static void test_tags(void **state)
{
	struct vm *vm = vm_new(VM_PROT32);
	const struct icache *ic = vm->cpu->icache;

	vm_set_engine(vm, "tcg,thresh=0");
	for (unsigned i = 0; i < 2 * ICACHE_GEN_TAG; i++) {
		uint32_t before[2] = { ic->gen[0], ic->gen[1] };

		icache_unlink(vm->cpu, i & 1);
		assert_true(ic->gen[0] > before[0] && ic->gen[0] != ic->gen[1]);
		assert_true(ic->gen[0] % ICACHE_GEN_TAG && ic->gen[1] % ICACHE_GEN_TAG);
	}
	vm_free(vm);
	(void)state;
}

static void put_code_segment(struct vm *vm, uint32_t base, uint32_t lin)
{
	struct cpu *cpu = vm->cpu;

	cpu->seg[SEG_CS].base = base;
	seg_update(&cpu->seg[SEG_CS]);
	cpu->eip = lin - base;
	cpu->halted = false;
}

/*
 * Links to another page hold as long as its translation: two physical pages take turns at one
 * linear address, and whoever calls it is linked to it. CR3 is loaded in between, by the guest.
 * The caller is at lin, in a code segment that begins at base.
 */
static void run_mappings(uint32_t base, uint32_t lin)
{
	/* again: call 500000; mov ebx, [pte_other]; xchg ebx, [pte]; mov [pte_other], ebx;
	 * mov ebx, cr3; mov cr3, ebx; dec ecx; jnz again; hlt */
	uint8_t code[] =
		"\xe8\x00\x00\x00\x00\x8b\x1d\x00\x00\x00\x00\x87\x1d\x00\x00\x00\x00\x89\x1d"
		"\x00\x00\x00\x00\x0f\x20\xdb\x0f\x22\xdb\x49\x75\xe0\xf4";
	struct vm *vm = vm_new(VM_PROT32);
	uint32_t pte, other, rel = 0x500000 - (lin + 5);

	vm_set_engine(vm, "tcg,thresh=0,tb-size=8");
	vm_paging(vm, false);
	memcpy(vm->ram + 0x500000, "\x83\xc0\x01\xc3", 4);	   /* add eax, 1; ret */
	memcpy(vm->ram + 0x501000, "\x05\x00\x01\x00\x00\xc3", 6); /* add eax, 256; ret */
	pte = (uint32_t)((uint8_t *)vm_pte(vm, 0x500000) - vm->ram);
	other = (uint32_t)((uint8_t *)vm_pte(vm, 0x501000) - vm->ram);
	memcpy(code + 1, &rel, 4);
	memcpy(code + 7, &other, 4);
	memcpy(code + 13, &pte, 4);
	memcpy(code + 19, &other, 4);
	memcpy(vm->ram + lin, code, sizeof(code) - 1);
	put_code_segment(vm, base, lin);
	vm->cpu->gpr[R_EAX] = 0;
	vm->cpu->gpr[R_ECX] = 1000;
	assert_int_equal(vm_run(vm, 100000), VM_HLT);
	assert_int_equal(vm->cpu->gpr[R_EAX], 500 + 500 * 256);
	assert_true(tcg_stats(vm->cpu)->insns > 5000);
	vm_free(vm);
}

static void test_mappings(void **state)
{
	run_mappings(0, VM_CODE);
	/* By EIP, both are in one page. */
	run_mappings(0x4ff800, 0x4fff80);
	(void)state;
}

/* The same code in more code segments than there are numbers for, each with offsets of its own. */
static void test_code_segments(void **state)
{
	struct vm *vm = vm_new(VM_PROT32);
	const uint32_t n = KEY_CS_MAX + 100;

	vm_set_engine(vm, "tcg,thresh=0,tb-size=8");
	vm_asm(vm, "\xe8\x00\x00\x00\x00" /* call on; on: pop edx; inc eax; loop on + 1; hlt */
		   "\x5a\x40\xe2\xfd\xf4");
	for (uint32_t i = 1; i <= 2 * n; i++) {
		vm->cpu->gpr[R_EAX] = 0;
		vm->cpu->gpr[R_ECX] = 20;
		put_code_segment(vm, VM_CODE - i % n * 0x101, VM_CODE);
		assert_int_equal(vm_run(vm, 1000), VM_HLT);
		assert_int_equal(vm->cpu->gpr[R_EAX], 20);
		assert_int_equal(vm->cpu->gpr[R_EDX], i % n * 0x101 + 5);
	}
	assert_true(vm->cpu->tcache->stats.flushes >= 1);
	assert_true(tcg_stats(vm->cpu)->insns > 2 * n * 20);
	vm_free(vm);
	(void)state;
}

/* From /proc: nothing is writable and executable; the code is mapped once each way. */
static void test_w_xor_x(void **state)
{
	struct vm *vm = vm_new(VM_PROT32);
	FILE *f = fopen("/proc/self/maps", "re");
	unsigned writable = 0, executable = 0;
	char line[512];

	assert_non_null(f);
	vm_set_engine(vm, "tcg,thresh=0");
	put_farm(vm, 10, 16);
	run_farm(vm, 2, 2 * 10);
	while (fgets(line, sizeof(line), f)) {
		char mode[8];

		assert_int_equal(sscanf(line, "%*s %7s", mode), 1);
		assert_false(mode[1] == 'w' && mode[2] == 'x');
		if (strstr(line, "dejavm-code")) {
			writable += mode[1] == 'w';
			executable += mode[2] == 'x';
		}
	}
	fclose(f);
	assert_int_equal(writable, 1);
	assert_int_equal(executable, 1);
	vm_free(vm);
	(void)state;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_regions),
		cmocka_unit_test(test_kept),
		cmocka_unit_test(test_killed),
		cmocka_unit_test(test_pages),
		cmocka_unit_test(test_tags),
		cmocka_unit_test(test_another_engine),
		cmocka_unit_test(test_mappings),
		cmocka_unit_test(test_code_segments),
		cmocka_unit_test(test_w_xor_x),
	};

	return cmocka_run_group_tests_name("tcache", tests, NULL, NULL);
}
