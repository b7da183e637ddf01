/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the TLB promises (docs/architecture.md, "Translations"): a translation lasts until it is
 * flushed, whatever else is touched and however an engine gets at its code; and that inline entries
 * are gone when they have to be.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "harness.h"
#include "mmu_int.h"

#define PTE_A 0x20u
#define PTE_D 0x40u
#define PTE_G 0x100u

#define FIRST 0x300u /* pages of RAM that tests use: all behind the page tables */
#define LAST  0xfffu

static uint32_t *word(struct vm *vm, uint32_t at)
{
	return (uint32_t *)(vm->ram + at);
}

/* mov eax, [edi]; hlt */
#define READ_EDI "\x8b\x07\xf4"
/* mov [edi], eax; hlt */
#define WRITE_EDI "\x89\x07\xf4"
/* call edi; hlt */
#define CALL_EDI "\xff\xd7\xf4"

static int run_at(struct vm *vm, const char *code, size_t len, uint32_t edi)
{
	vm->cpu->gpr[R_EDI] = edi;
	vm->cpu->gpr[R_ESP] = VM_STACK;
	vm_code(vm, code, len);
	return vm_run(vm, 1000);
}
#define run_edi(vm, code, edi) run_at(vm, code, sizeof(code) - 1, edi)

static uint64_t inline_entry(struct vm *vm, uint32_t lin, bool user, bool write)
{
	return mem_tlb(vm->cpu, user, write)[lin >> 12];
}

static void clear_accessed(struct vm *vm)
{
	for (uint32_t page = FIRST; page <= LAST; page++)
		*vm_pte(vm, page << 12) &= ~(PTE_A | PTE_D);
}

static uint32_t count_accessed(struct vm *vm)
{
	uint32_t n = 0;

	for (uint32_t page = FIRST; page <= LAST; page++)
		n += (*vm_pte(vm, page << 12) & PTE_A) != 0;
	return n;
}

/* The sum of the first words of all these pages. */
static uint32_t sum_pages(struct vm *vm)
{
	/* l: add edx, [edi]; add edi, 1000h; dec ecx; jnz l; hlt */
	static const char code[] = "\x03\x17\x81\xc7\x00\x10\x00\x00\x49\x75\xf5\xf4";

	vm->cpu->gpr[R_EDX] = 0;
	vm->cpu->gpr[R_ECX] = LAST - FIRST + 1;
	vm->cpu->gpr[R_EDI] = FIRST << 12;
	vm_code(vm, code, sizeof(code) - 1);
	assert_int_equal(vm_run(vm, 100000), VM_HLT);
	return vm->cpu->gpr[R_EDX];
}

static void test_never_evicts(void **state)
{
	for (int pae = 0; pae < 2; pae++) {
		struct vm *vm = vm_new(VM_PROT32);
		uint32_t n = LAST - FIRST + 1;

		vm_paging(vm, pae);
		for (uint32_t page = FIRST; page <= LAST; page++)
			*word(vm, page << 12) = 3;
		assert_int_equal(sum_pages(vm), 3 * n);
		assert_int_equal(count_accessed(vm), n);
		clear_accessed(vm);
		/* All lead to page 0 now, but nobody has said so. */
		*word(vm, 0) = 7;
		for (uint32_t page = FIRST; page <= LAST; page++)
			*vm_pte(vm, page << 12) &= 0xfff;
		for (int i = 0; i < 3; i++) {
			/* Inline entries may go at any time. */
			if (i == 1)
				tlb_drop_all(mmu_priv(vm->cpu));
			assert_int_equal(sum_pages(vm), 3 * n);
			assert_int_equal(count_accessed(vm), 0);
		}
		mmu_invlpg(vm->cpu, LAST << 12);
		assert_int_equal(sum_pages(vm), 3 * n + 4);
		assert_int_equal(count_accessed(vm), 1);
		mmu_flush(vm->cpu, true);
		assert_int_equal(sum_pages(vm), 7 * n);
		assert_int_equal(count_accessed(vm), n);
		vm_free(vm);
	}
	(void)state;
}

static void call_pages(struct vm *vm)
{
	/* l: call edi; add edi, 1000h; dec ecx; jnz l; hlt */
	static const char code[] = "\xff\xd7\x81\xc7\x00\x10\x00\x00\x49\x75\xf5\xf4";

	vm->cpu->gpr[R_ECX] = LAST - FIRST + 1;
	vm->cpu->gpr[R_EDI] = FIRST << 12;
	vm->cpu->gpr[R_ESP] = VM_STACK;
	vm_code(vm, code, sizeof(code) - 1);
	assert_int_equal(vm_run(vm, 100000), VM_HLT);
}

/* How often, and how, an engine looks for code does not matter. */
static void test_fetch_never_evicts(void **state)
{
	struct vm *vm = vm_new(VM_PROT32);
	uint32_t n = LAST - FIRST + 1;

	vm_paging(vm, false);
	for (uint32_t page = FIRST; page <= LAST; page++)
		vm->ram[page << 12] = 0xc3; /* ret */
	call_pages(vm);
	assert_int_equal(count_accessed(vm), n);
	clear_accessed(vm);
	call_pages(vm);
	icache_flush(vm->cpu);
	call_pages(vm);
	icache_unlink(vm->cpu, true);
	call_pages(vm);
	assert_int_equal(count_accessed(vm), 0);
	/* Data accesses have translations of their own. */
	assert_int_equal(run_edi(vm, READ_EDI, FIRST << 12), VM_HLT);
	assert_int_equal(count_accessed(vm), 1);
	mmu_flush(vm->cpu, true);
	call_pages(vm);
	assert_int_equal(count_accessed(vm), n);
	/* INVLPG is for both. */
	clear_accessed(vm);
	mmu_invlpg(vm->cpu, FIRST << 12);
	assert_int_equal(run_edi(vm, CALL_EDI, FIRST << 12), VM_HLT);
	assert_int_equal(count_accessed(vm), 1);
	clear_accessed(vm);
	assert_int_equal(run_edi(vm, READ_EDI, FIRST << 12), VM_HLT);
	assert_int_equal(count_accessed(vm), 1);
	vm_free(vm);
	(void)state;
}

/* The same guest, in slices of different lengths and with code thrown away between them. */
static void test_slices_leave_the_same_bits(void **state)
{
	/*
	 * and dword [edi], ~20h (its own page's accessed bit); jmp $+2; nop; jmp to the next page
	 * and back; or eax, eax; [mov ebx, cr3; mov cr3, ebx;] nop; hlt
	 */
	static const char
		stay[] = "\x83\x27\xdf\xeb\x00\x90\xe8\xf5\x0f\x00\x00\x09\xc0\x90\xf4",
		reload[] = "\x83\x27\xdf\xeb\x00\x90\xe8\xf5\x0f\x00\x00\x0f\x20\xdb\x0f\x22\xdb"
			   "\x90\xf4";

	for (int what = 0; what < 2; what++) {
		static const unsigned slices[] = { 1000, 1, 2, 3 };

		for (unsigned i = 0; i < 4; i++) {
			struct vm *vm = vm_new(VM_PROT32);
			struct cpu *cpu = vm->cpu;
			int r = VM_LIMIT;

			vm_paging(vm, false);
			vm->ram[VM_CODE + 0x1000] = 0xc3;
			cpu->gpr[R_EDI] = VM_PAGES + 0x10000 + (VM_CODE >> 12) * 4;
			cpu->gpr[R_ESP] = VM_STACK;
			if (what)
				vm_asm(vm, reload);
			else
				vm_asm(vm, stay);
			for (int n = 0; n < 100 && r == VM_LIMIT; n++) {
				r = vm_run(vm, slices[i]);
				if (i >= 2)
					icache_flush(cpu);
			}
			assert_int_equal(r, VM_HLT);
			assert_int_equal(cpu->eip, VM_CODE + (what ? 19 : 15));
			assert_int_equal(*vm_pte(vm, VM_CODE) & PTE_A, what ? PTE_A : 0);
			assert_true(*vm_pte(vm, VM_CODE + 0x1000) & PTE_A);
			/* Only what executes is fetched. */
			assert_false(*vm_pte(vm, VM_CODE + 0x2000) & PTE_A);
			vm_free(vm);
		}
	}
	(void)state;
}

static struct vm *vm_with_global(void)
{
	struct vm *vm = vm_new(VM_PROT32);

	vm_paging(vm, false);
	vm->cpu->cr4 |= CR4_PGE;
	mmu_mode_changed(vm->cpu);
	return vm;
}

static void test_flush_clears_inline_entries(void **state)
{
	struct vm *vm = vm_with_global();
	uint32_t global = 0x310000, local = 0x311000;

	*vm_pte(vm, global) |= PTE_G;
	run_edi(vm, READ_EDI, global);
	assert_false(inline_entry(vm, global, false, true)); /* not dirty yet */
	run_edi(vm, WRITE_EDI, global);
	run_edi(vm, WRITE_EDI, local);
	mmu_flush(vm->cpu, true);
	for (int write = 0; write < 2; write++) {
		assert_true(inline_entry(vm, global, false, write));
		assert_false(inline_entry(vm, local, false, write));
	}
	mmu_invlpg(vm->cpu, global);
	for (int write = 0; write < 2; write++)
		assert_false(inline_entry(vm, global, false, write));
	run_edi(vm, WRITE_EDI, global);
	mmu_flush(vm->cpu, false);
	for (int write = 0; write < 2; write++)
		assert_false(inline_entry(vm, global, false, write));
	vm_free(vm);
	(void)state;
}

/* A write that walks again may find another kind of entry than the read before it. */
static void test_turns_global(void **state)
{
	struct vm *vm = vm_with_global();
	uint32_t lin = 0x310000;

	for (int to_global = 0; to_global < 2; to_global++) {
		*vm_pte(vm, lin) = lin | 7 | (to_global ? 0 : PTE_G);
		mmu_flush(vm->cpu, false);
		run_edi(vm, READ_EDI, lin);
		*vm_pte(vm, lin) ^= PTE_G;
		run_edi(vm, WRITE_EDI, lin);
		mmu_flush(vm->cpu, true);
		*vm_pte(vm, lin) = 0;
		assert_int_equal(run_edi(vm, READ_EDI, lin), to_global ? VM_HLT : EXCP_PF);
	}
	vm_free(vm);
	(void)state;
}

/* mov eax, n; ret at page, run through lin; a write through each of the aliases is noticed. */
static void check_code_written(
	struct vm *vm, uint32_t page, uint32_t code_at, const uint32_t *alias, unsigned n_alias)
{
	memcpy(vm->ram + page, "\xb8\x01\x00\x00\x00\xc3", 6);
	icache_invalidate_page(vm->cpu, page >> 12);
	for (unsigned i = 0; i < n_alias; i++) {
		run_edi(vm, WRITE_EDI, alias[i] + 0x800);
		assert_true(inline_entry(vm, alias[i], false, true));
	}
	run_edi(vm, CALL_EDI, code_at);
	assert_int_equal(vm->cpu->gpr[R_EAX], 1);
	for (unsigned i = 0; i < n_alias; i++) {
		assert_false(inline_entry(vm, alias[i], false, true));
		assert_true(inline_entry(vm, alias[i], false, false));
		vm->cpu->gpr[R_EAX] = 0x100 + i;
		run_edi(vm, WRITE_EDI, alias[i] + 1);
		run_edi(vm, CALL_EDI, code_at);
		assert_int_equal(vm->cpu->gpr[R_EAX], 0x100 + i);
	}
}

static void test_code_found_in_written_page(void **state)
{
	static const uint32_t all[] = { 0x400000, 0x401000, 0x402000 };
	struct vm *vm = vm_new(VM_PROT32);

	vm_paging(vm, false);
	for (unsigned i = 0; i < 3; i++)
		*vm_pte(vm, all[i]) = 0x400000 | 7;
	check_code_written(vm, 0x400000, 0x402000, all, 1);
	assert_int_equal(mmu_stats(vm->cpu)->rmap_scans, 0);
	/* The entry of before is gone, the next one is the only one. */
	mmu_flush(vm->cpu, false);
	check_code_written(vm, 0x400000, 0x402000, all + 1, 1);
	mmu_flush(vm->cpu, false);
	assert_int_equal(mmu_stats(vm->cpu)->rmap_scans, 0);
	check_code_written(vm, 0x400000, 0x400000, all, 3);
	assert_true(mmu_stats(vm->cpu)->rmap_scans > 0);
	mmu_flush(vm->cpu, false);
	check_code_written(vm, 0x400000, 0x401000, all + 1, 2);
	vm_free(vm);
	(void)state;
}

static void back_to(struct vm *vm, bool user)
{
	if (user)
		vm_user(vm);
	else
		vm_mode_set(vm, VM_PROT32);
}

/* mmu_try_host() refuses, and leaves everything as it was. */
static void refuse(struct vm *vm, uint32_t lin, unsigned size, bool write)
{
	uint64_t walks = mmu_stats(vm->cpu)->walks;
	uint32_t pte = *vm_pte(vm, lin), cr2 = vm->cpu->cr2;
	uint64_t rd = inline_entry(vm, lin, mem_user(vm->cpu), false),
		 wr = inline_entry(vm, lin, mem_user(vm->cpu), true);

	assert_null(mmu_try_host(vm->cpu, lin, size, write));
	assert_int_equal(*vm_pte(vm, lin), pte);
	assert_int_equal(vm->cpu->cr2, cr2);
	assert_int_equal(mmu_stats(vm->cpu)->walks, walks);
	assert_true(inline_entry(vm, lin, mem_user(vm->cpu), false) == rd);
	assert_true(inline_entry(vm, lin, mem_user(vm->cpu), true) == wr);
}

static void test_try_host(void **state)
{
	for (int pae = 0; pae < 2; pae++) {
		struct vm *vm = vm_new(VM_PROT32);
		struct cpu *cpu = vm->cpu;
		uint32_t lin = 0x500000;

		vm_paging(vm, pae);
		assert_ptr_equal(mmu_try_host(cpu, lin + 0x123, 4, false), vm->ram + lin + 0x123);
		assert_int_equal(*vm_pte(vm, lin) & (PTE_A | PTE_D), PTE_A);
		assert_true(inline_entry(vm, lin, false, false));
		assert_false(inline_entry(vm, lin, false, true));
		assert_ptr_equal(mmu_try_host(cpu, lin + 0xffc, 4, true), vm->ram + lin + 0xffc);
		assert_int_equal(*vm_pte(vm, lin) & (PTE_A | PTE_D), PTE_A | PTE_D);
		assert_ptr_equal(mmu_try_host(cpu, lin, 4096, true), vm->ram + lin);
		refuse(vm, lin + 0xffd, 4, false);
		refuse(vm, lin + 1, 4096, true);
		/* In use: not walked again. */
		*vm_pte(vm, lin) = 0;
		tlb_drop_all(mmu_priv(cpu));
		assert_ptr_equal(mmu_try_host(cpu, lin, 4, true), vm->ram + lin);
		/* Faults. */
		lin += 0x1000;
		*vm_pte(vm, lin) = 0;
		refuse(vm, lin, 1, false);
		refuse(vm, lin, 1, true);
		*vm_pte(vm, lin) = lin | 1;
		refuse(vm, lin, 4, true);
		back_to(vm, true);
		refuse(vm, lin, 4, false);
		back_to(vm, false);
		assert_non_null(mmu_try_host(cpu, lin, 4, false));
		refuse(vm, lin, 4, true);
		/* What is no RAM. */
		lin += 0x1000;
		*vm_pte(vm, lin) = VM_MMIO | 7;
		refuse(vm, lin, 4, false);
		refuse(vm, lin, 4, true);
		assert_int_equal(vm->n_log, 0);
		/* Code: not to be written. */
		lin += 0x1000;
		vm->ram[lin] = 0xc3;
		run_edi(vm, CALL_EDI, lin);
		refuse(vm, lin + 0x800, 4, true);
		assert_ptr_equal(mmu_try_host(cpu, lin, 4, false), vm->ram + lin);
		/* Watched. */
		lin += 0x1000;
		debug_write_dr(cpu, 0, lin + 0x10);
		debug_write_dr(cpu, 7, 0x000f0001);
		refuse(vm, lin, 4, false);
		refuse(vm, lin, 4, true);
		debug_write_dr(cpu, 7, 0);
		assert_non_null(mmu_try_host(cpu, lin, 4, true));
		/* Alignment is checked. */
		lin += 0x1000;
		cpu->cr0 |= CR0_AM;
		flags_set(cpu, FL_AC);
		mmu_sync(cpu);
		back_to(vm, true);
		refuse(vm, lin, 4, false);
		back_to(vm, false);
		assert_non_null(mmu_try_host(cpu, lin, 4, false));
		vm_free(vm);
	}
	(void)state;
}

static void test_try_host_rom(void **state)
{
	struct vm *vm = vm_new(VM_PROT32);
	static uint8_t rom[4096] __attribute__((aligned(4096)));

	vm->map.entry[1] = (struct memmap_entry){
		.gpa_page = 0xfffff, .npages = 1, .read_kind = MEM_ROM, .write_kind = MEM_NONE
	};
	vm->map.n_entries = 2;
	assert_int_equal(mmu_set_map(vm->cpu, &vm->map, vm->ram, VM_RAM_LEN, rom, sizeof(rom)), 0);
	assert_ptr_equal(mmu_try_host(vm->cpu, 0xfffffff0, 16, false), rom + 0xff0);
	assert_null(mmu_try_host(vm->cpu, 0xfffffff0, 4, true));
	assert_null(mmu_try_host(vm->cpu, 0xfffffffe, 4, false));
	assert_null(mmu_try_host(vm->cpu, 0x80000000, 4, false)); /* nothing is there */
	vm_free(vm);
	(void)state;
}

static void test_generations_wrap(void **state)
{
	struct vm *vm = vm_with_global();
	struct mmu_priv *m = mmu_priv(vm->cpu);
	uint32_t a = 0x310000, b = 0x311000, once = 0x312000, never = 0x313000;

	*word(vm, 0x400000) = 1;
	*word(vm, 0x500000) = 2;
	*vm_pte(vm, a) = 0x400000 | 7 | PTE_G;
	*vm_pte(vm, b) = 0x400000 | 7;
	run_edi(vm, READ_EDI, a);
	run_edi(vm, READ_EDI, b);
	*vm_pte(vm, a) = 0x500000 | 7 | PTE_G;
	*vm_pte(vm, b) = 0x500000 | 7;
	run_edi(vm, READ_EDI, once);
	m->gen_last = UINT32_MAX - 2;
	for (int i = 0; i < 50; i++) {
		mmu_flush(vm->cpu, true);
		tlb_drop_all(m);
		assert_false(xlate_valid(m, &m->data[0][once >> 12]));
		assert_false(xlate_valid(m, &m->data[0][never >> 12]));
		run_edi(vm, READ_EDI, a);
		assert_int_equal(vm->cpu->gpr[R_EAX], 1);
		run_edi(vm, READ_EDI, b);
		assert_int_equal(vm->cpu->gpr[R_EAX], i % 2 ? 1 : 2);
		*vm_pte(vm, b) = (i % 2 ? 0x500000 : 0x400000) | 7;
	}
	assert_true(m->gen_last < 100);
	m->gen_last = UINT32_MAX - 1;
	mmu_flush(vm->cpu, false);
	run_edi(vm, READ_EDI, a);
	assert_int_equal(vm->cpu->gpr[R_EAX], 2);
	assert_true(m->gen_last < 100);
	/* What was void before is void after. */
	mmu_flush(vm->cpu, false);
	m->gen_last = UINT32_MAX;
	mmu_flush(vm->cpu, true);
	assert_true(m->gen_last < 100);
	assert_false(xlate_valid(m, &m->data[0][a >> 12]));
	vm_free(vm);
	(void)state;
}

static void test_journal(void **state)
{
	struct vm *vm = vm_new(VM_PROT32);
	struct mmu_priv *m = mmu_priv(vm->cpu);
	const uint64_t *tlb = mem_tlb(vm->cpu, false, false);

	tlb_drop_all(m);
	for (uint32_t page = 0; page < 100000; page++)
		tlb_set(m, page, page % 2, vm->ram, vm->ram, 0);
	assert_ptr_equal(tlb_host(tlb, 99999 << 12, 4), vm->ram);
	tlb_drop_writes(m);
	assert_true(tlb[99999]);
	assert_false(tlb[99999 + TLB_STRIDE]);
	tlb_drop_all(m);
	for (uint32_t page = 0; page < 100000; page++)
		assert_false(tlb[page] | tlb[page + TLB_STRIDE]);
	/* Pages that come and go are listed each time: until it is full. */
	for (uint32_t i = 0; i < JOURNAL_LEN + 10; i++) {
		tlb_set(m, i % 5, false, vm->ram, NULL, 0);
		tlb_set(m, i % 5, false, NULL, NULL, 0);
	}
	assert_int_equal(m->journal[0].n, 10);
	/* In use, it is listed once. */
	for (int i = 0; i < 10; i++)
		tlb_set(m, 5, false, vm->ram, vm->ram, 0);
	assert_int_equal(m->journal[0].n, 11);
	vm_free(vm);
	(void)state;
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_never_evicts),
		cmocka_unit_test(test_fetch_never_evicts),
		cmocka_unit_test(test_slices_leave_the_same_bits),
		cmocka_unit_test(test_flush_clears_inline_entries),
		cmocka_unit_test(test_turns_global),
		cmocka_unit_test(test_code_found_in_written_page), cmocka_unit_test(test_try_host),
		cmocka_unit_test(test_try_host_rom), cmocka_unit_test(test_generations_wrap),
		cmocka_unit_test(test_journal) };

	return cmocka_run_group_tests_name("tlb", tests, NULL, NULL);
}
