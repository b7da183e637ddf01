/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Paging, the translation cache, the physical map, dirty pages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <string.h>
#include <cmocka.h>

#include "harness.h"

#define PTE_P 1u
#define PTE_W 2u
#define PTE_U 4u
#define PTE_A 0x20u
#define PTE_D 0x40u
#define PTE_G 0x100u

static uint32_t *word(struct vm *vm, uint32_t at)
{
	return (uint32_t *)(vm->ram + at);
}

/* mov eax, [edi]; hlt */
#define READ_EDI "\x8b\x07\xf4"
/* mov [edi], eax; hlt */
#define WRITE_EDI "\x89\x07\xf4"
/* add [edi], eax; hlt */
#define ADD_EDI "\x01\x07\xf4"

#define run_code(vm, bytes) (vm_asm(vm, bytes), vm_run(vm, 1000))

static int run_at(struct vm *vm, const char *code, size_t len, uint32_t edi)
{
	vm->cpu->gpr[R_EDI] = edi;
	vm->cpu->gpr[R_ESP] = VM_STACK;
	vm_code(vm, code, len);
	return vm_run(vm, 1000);
}
#define run_edi(vm, code, edi) run_at(vm, code, sizeof(code) - 1, edi)

static void back_to_user(struct vm *vm)
{
	vm_user(vm);
	vm->cpu->halted = false;
}

/* HLT faults at CPL 3: a run that succeeded ends with #GP at the HLT. */
static int run_user(struct vm *vm, const char *code, size_t len, uint32_t edi)
{
	int r;

	back_to_user(vm);
	vm->cpu->gpr[R_EDI] = edi;
	vm->cpu->gpr[R_ESP] = VM_STACK;
	vm_code(vm, code, len);
	r = vm_run(vm, 1000);
	return r == EXCP_GP && vm->frame[1] == VM_CODE + len - 1 ? VM_HLT : r;
}
#define run_user_edi(vm, code, edi) run_user(vm, code, sizeof(code) - 1, edi)

static void expect_pf(struct vm *vm, int r, uint32_t err, uint32_t lin)
{
	assert_int_equal(r, EXCP_PF);
	assert_int_equal(vm->frame[0], err);
	assert_int_equal(vm->cpu->cr2, lin);
	assert_int_equal(vm->frame[1], VM_CODE);
}

static void test_accessed_dirty(void **state)
{
	for (int pae = 0; pae < 2; pae++) {
		struct vm *vm = vm_new(VM_PROT32);
		uint32_t lin = 0x300000;

		vm_paging(vm, pae);
		assert_int_equal(*vm_pte(vm, lin) & (PTE_A | PTE_D), 0);
		assert_int_equal(run_edi(vm, READ_EDI, lin), VM_HLT);
		assert_int_equal(*vm_pte(vm, lin) & (PTE_A | PTE_D), PTE_A);
		assert_int_equal(run_edi(vm, WRITE_EDI, lin), VM_HLT);
		assert_int_equal(*vm_pte(vm, lin) & (PTE_A | PTE_D), PTE_A | PTE_D);
		/* A translation that is in use is not walked again. */
		*vm_pte(vm, lin) &= ~(PTE_A | PTE_D);
		assert_int_equal(run_edi(vm, WRITE_EDI, lin), VM_HLT);
		assert_int_equal(*vm_pte(vm, lin) & (PTE_A | PTE_D), 0);
		mmu_invlpg(vm->cpu, lin);
		assert_int_equal(run_edi(vm, ADD_EDI, lin), VM_HLT);
		assert_int_equal(*vm_pte(vm, lin) & (PTE_A | PTE_D), PTE_A | PTE_D);
		/* The directory's entry and the code's page, by fetch. */
		assert_true(*word(vm, VM_PAGES + (pae ? 0x1000 : 0)) & PTE_A);
		assert_true(*vm_pte(vm, VM_CODE) & PTE_A);
		assert_false(*vm_pte(vm, VM_CODE) & PTE_D);
		vm_free(vm);
	}
	(void)state;
}

static void test_not_present(void **state)
{
	for (int pae = 0; pae < 2; pae++) {
		struct vm *vm = vm_new(VM_PROT32);
		uint32_t lin = 0x301000;

		vm_paging(vm, pae);
		*vm_pte(vm, lin) = 0;
		expect_pf(vm, run_edi(vm, READ_EDI, lin + 8), 0, lin + 8);
		expect_pf(vm, run_edi(vm, WRITE_EDI, lin), PF_W, lin);
		/* Read-modify-write: reported as a write. */
		expect_pf(vm, run_edi(vm, ADD_EDI, lin), PF_W, lin);
		expect_pf(vm, run_user_edi(vm, READ_EDI, lin), PF_U, lin);
		vm_mode_set(vm, VM_PROT32);
		/* Straddling: the address of the first byte in the missing page; nothing is
		 * written. */
		*word(vm, lin - 4) = 0x11111111;
		vm->cpu->gpr[R_EAX] = 0x22222222;
		expect_pf(vm, run_edi(vm, WRITE_EDI, lin - 2), PF_W, lin);
		assert_int_equal(*word(vm, lin - 4), 0x11111111);
		/* Mapped now, without a flush: not-present entries are never cached. */
		*vm_pte(vm, lin) = lin | 7;
		assert_int_equal(run_edi(vm, WRITE_EDI, lin - 2), VM_HLT);
		assert_int_equal(*word(vm, lin - 4), 0x22221111);
		assert_int_equal(*word(vm, lin) & 0xffff, 0x2222);
		vm_free(vm);
	}
	(void)state;
}

static void test_rights(void **state)
{
	for (int pae = 0; pae < 2; pae++) {
		struct vm *vm = vm_new(VM_PROT32);
		uint32_t lin = 0x302000;

		vm_paging(vm, pae);
		*vm_pte(vm, lin) = lin | PTE_P | PTE_U;
		expect_pf(vm, run_user_edi(vm, WRITE_EDI, lin), PF_P | PF_W | PF_U, lin);
		assert_int_equal(run_user_edi(vm, READ_EDI, lin), VM_HLT);
		vm_mode_set(vm, VM_PROT32);
		expect_pf(vm, run_edi(vm, WRITE_EDI, lin), PF_P | PF_W, lin);
		vm->cpu->cr0 &= ~CR0_WP;
		mmu_mode_changed(vm->cpu);
		assert_int_equal(run_edi(vm, WRITE_EDI, lin), VM_HLT);
		/* Supervisor page. */
		*vm_pte(vm, lin) = lin | PTE_P | PTE_W;
		mmu_invlpg(vm->cpu, lin);
		assert_int_equal(run_edi(vm, WRITE_EDI, lin), VM_HLT);
		expect_pf(vm, run_user_edi(vm, READ_EDI, lin), PF_P | PF_U, lin);
		/* The directory's rights count as well. */
		*vm_pte(vm, lin) = lin | 7;
		*word(vm, VM_PAGES + (pae ? 0x1008 : 0)) &= ~PTE_U;
		mmu_flush(vm->cpu, false);
		if (!pae) /* its entry covers the code, too */
			expect_pf(vm, run_user_edi(vm, READ_EDI, lin), PF_P | PF_U, VM_CODE);
		else
			expect_pf(vm, run_user_edi(vm, READ_EDI, lin), PF_P | PF_U, lin);
		vm_free(vm);
	}
	(void)state;
}

static void test_large_pages(void **state)
{
	struct vm *vm = vm_new(VM_PROT32);
	uint32_t *pde = word(vm, VM_PAGES + 4 * 2); /* linear 8 MiB */

	vm_paging(vm, false);
	vm->cpu->cr4 |= CR4_PSE;
	mmu_mode_changed(vm->cpu);
	*word(vm, 0x400123 & ~3u) = 0xabcdef01;
	*pde = 0x400000 | 0x83; /* -> 4 MiB */
	assert_int_equal(run_edi(vm, READ_EDI, 0x800120), VM_HLT);
	assert_int_equal(vm->cpu->gpr[R_EAX], 0xabcdef01);
	assert_int_equal(*pde & (PTE_A | PTE_D), PTE_A);
	assert_int_equal(run_edi(vm, WRITE_EDI, 0xbffffc), VM_HLT);
	assert_int_equal(*pde & (PTE_A | PTE_D), PTE_A | PTE_D);
	assert_int_equal(*word(vm, 0x7ffffc), 0xabcdef01);
	/* INVLPG anywhere in it drops all of it. */
	*pde = 0;
	mmu_invlpg(vm->cpu, 0x912345);
	expect_pf(vm, run_edi(vm, READ_EDI, 0xbffffc), 0, 0xbffffc);
	/* Reserved bits. */
	*pde = 0x400000 | 0x83 | 1u << 21;
	expect_pf(vm, run_edi(vm, READ_EDI, 0x800000), PF_P | PF_RSVD, 0x800000);
	/* PSE-36: above 4 GiB there is nothing. */
	*pde = 0x400000 | 0x83 | 1u << 13;
	assert_int_equal(run_edi(vm, READ_EDI, 0x800000), VM_HLT);
	assert_int_equal(vm->cpu->gpr[R_EAX], 0xffffffff);
	vm_free(vm);
	(void)state;
}

static void test_pae(void **state)
{
	struct vm *vm = vm_new(VM_PROT32);
	uint32_t lin = 0x303000, *pte, *pde;

	vm_paging(vm, true);
	pte = vm_pte(vm, lin);
	pde = word(vm, VM_PAGES + 0x1000 + 8 * 4); /* linear 8 MiB, 2 MiB page */
	pte[1] = 1u << 31;			   /* NX without EFER.NXE: reserved */
	expect_pf(vm, run_edi(vm, READ_EDI, lin), PF_P | PF_RSVD, lin);
	vm->cpu->efer |= EFER_NXE;
	mmu_mode_changed(vm->cpu);
	assert_int_equal(run_edi(vm, READ_EDI, lin), VM_HLT);
	/* Not executable: error code bit 4. jmp edi */
	assert_int_equal(run_edi(vm, "\xff\xe7", lin), EXCP_PF);
	assert_int_equal(vm->frame[0], PF_P | PF_I);
	assert_int_equal(vm->frame[1], lin);
	assert_int_equal(vm->cpu->cr2, lin);
	pte[1] = 1u << 4; /* bit 36: beyond the physical address size */
	mmu_invlpg(vm->cpu, lin);
	expect_pf(vm, run_edi(vm, WRITE_EDI, lin), PF_P | PF_W | PF_RSVD, lin);
	pte[1] = 1; /* 4 GiB: nothing there; writes vanish */
	assert_int_equal(run_edi(vm, WRITE_EDI, lin), VM_HLT);
	assert_int_equal(run_edi(vm, READ_EDI, lin), VM_HLT);
	assert_int_equal(vm->cpu->gpr[R_EAX], 0xffffffff);
	/* 2 MiB pages */
	pde[0] = 0x600000 | 0x83;
	pde[1] = 0;
	*word(vm, 0x7ffff0) = 0x5a5a5a5a;
	assert_int_equal(run_edi(vm, READ_EDI, 0x9ffff0), VM_HLT);
	assert_int_equal(vm->cpu->gpr[R_EAX], 0x5a5a5a5a);
	pde[0] |= 1 << 13;
	mmu_invlpg(vm->cpu, 0x800000);
	expect_pf(vm, run_edi(vm, READ_EDI, 0x9ffff0), PF_P | PF_RSVD, 0x9ffff0);
	/* PDPTEs with reserved bits are not loaded. */
	*word(vm, VM_PAGES + 0x100) = VM_PAGES | 3;
	assert_int_equal(mmu_load_pdptes(vm->cpu, VM_PAGES + 0x100), -EINVAL);
	assert_true(vm->cpu->pdpte[0] & 1);
	vm_free(vm);
	(void)state;
}

static void test_flush_global(void **state)
{
	struct vm *vm = vm_new(VM_PROT32);
	uint32_t a = 0x310000, b = 0x311000;

	vm_paging(vm, false);
	vm->cpu->cr4 |= CR4_PGE;
	mmu_mode_changed(vm->cpu);
	*word(vm, 0x400000) = 1;
	*word(vm, 0x500000) = 2;
	*vm_pte(vm, a) = 0x400000 | 7 | PTE_G;
	*vm_pte(vm, b) = 0x400000 | 7;
	run_edi(vm, READ_EDI, a);
	run_edi(vm, READ_EDI, b);
	*vm_pte(vm, a) = 0x500000 | 7 | PTE_G;
	*vm_pte(vm, b) = 0x500000 | 7;
	mmu_flush(vm->cpu, true);
	assert_int_equal(run_edi(vm, READ_EDI, a), VM_HLT);
	assert_int_equal(vm->cpu->gpr[R_EAX], 1); /* still the old one */
	assert_int_equal(run_edi(vm, READ_EDI, b), VM_HLT);
	assert_int_equal(vm->cpu->gpr[R_EAX], 2);
	mmu_invlpg(vm->cpu, a);
	assert_int_equal(run_edi(vm, READ_EDI, a), VM_HLT);
	assert_int_equal(vm->cpu->gpr[R_EAX], 2);
	vm_free(vm);
	(void)state;
}

/* Code found by linear address must follow the page tables. */
static void test_code_remapped(void **state)
{
	struct vm *vm = vm_new(VM_PROT32);

	vm_paging(vm, false);
	memcpy(vm->ram + 0x400000, "\xb8\x01\x00\x00\x00\xc3", 6); /* mov eax, 1; ret */
	memcpy(vm->ram + 0x401000, "\xb8\x02\x00\x00\x00\xc3", 6);
	*vm_pte(vm, 0x320000) = 0x400000 | 7;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(run_edi(vm, "\xff\xd7\xf4", 0x320000), VM_HLT); /* call edi; hlt */
		assert_int_equal(vm->cpu->gpr[R_EAX], 1);
	}
	*vm_pte(vm, 0x320000) = 0x401000 | 7;
	mmu_invlpg(vm->cpu, 0x320000);
	assert_int_equal(run_edi(vm, "\xff\xd7\xf4", 0x320000), VM_HLT);
	assert_int_equal(vm->cpu->gpr[R_EAX], 2);
	*vm_pte(vm, 0x320000) = 0x400000 | 7;
	mmu_flush(vm->cpu, true);
	assert_int_equal(run_edi(vm, "\xff\xd7\xf4", 0x320000), VM_HLT);
	assert_int_equal(vm->cpu->gpr[R_EAX], 1);
	/* A supervisor's block is not a user's permission. */
	*vm_pte(vm, 0x320000) = 0x400000 | 3;
	mmu_invlpg(vm->cpu, 0x320000);
	assert_int_equal(run_edi(vm, "\xff\xd7\xf4", 0x320000), VM_HLT);
	assert_int_equal(run_user_edi(vm, "\xff\xd7\xf4", 0x320000), EXCP_PF);
	assert_int_equal(vm->frame[0], PF_P | PF_U);
	vm_free(vm);
	(void)state;
}

static void test_mmio(void **state)
{
	struct vm *vm = vm_new(VM_PROT32);

	assert_int_equal(run_edi(vm, READ_EDI, VM_MMIO + 0x10), VM_HLT);
	assert_int_equal(vm->cpu->gpr[R_EAX], 0x13121110);
	assert_int_equal(vm->n_log, 1);
	assert_int_equal(vm->log[0].size, 4);
	vm->n_log = 0;
	assert_int_equal(
		run_edi(vm, "\x66\x01\x07\xf4", VM_MMIO + 0x22), VM_HLT); /* add [edi], ax */
	assert_int_equal(vm->n_log, 2);
	assert_false(vm->log[0].write);
	assert_true(vm->log[1].write);
	assert_int_equal(vm->log[1].size, 2);
	assert_int_equal(vm->log[1].val, (0x2322 + 0x1110) & 0xffff);
	/* The bus sees the count of instructions before this one. */
	vm->n_log = 0;
	uint64_t before = vm->cpu->icount;
	assert_int_equal(run_edi(vm, "\x90\x90\x8b\x07\x90\x89\x07\xf4", VM_MMIO), VM_HLT);
	assert_int_equal(vm->log[0].icount, before + 2);
	assert_int_equal(vm->log[1].icount, before + 4);
	/* Code in MMIO: bytes are what the bus reads. VM_MMIO + 0x90: 90 91 92 93 ... nop, xchg,
	 * ... */
	vm->cpu->eip = VM_MMIO + 0x90;
	vm->cpu->halted = false;
	assert_int_equal(vm_run(vm, 3), VM_LIMIT);
	assert_int_equal(vm->cpu->eip, VM_MMIO + 0x93);
	vm_free(vm);
	(void)state;
}

static void test_a20(void **state)
{
	struct vm *vm = vm_new(VM_PROT32);

	*word(vm, 0x100500) = 0x11;
	*word(vm, 0x000500) = 0x22;
	assert_int_equal(run_edi(vm, READ_EDI, 0x100500), VM_HLT);
	assert_int_equal(vm->cpu->gpr[R_EAX], 0x11);
	vm->cpu->a20_mask = ~(1u << 20);
	mmu_mode_changed(vm->cpu);
	assert_int_equal(run_edi(vm, READ_EDI, 0x100500), VM_HLT);
	assert_int_equal(vm->cpu->gpr[R_EAX], 0x22);
	vm->cpu->a20_mask = ~0u;
	mmu_mode_changed(vm->cpu);
	assert_int_equal(run_edi(vm, READ_EDI, 0x100500), VM_HLT);
	assert_int_equal(vm->cpu->gpr[R_EAX], 0x11);
	vm_free(vm);
	(void)state;
}

static uint32_t dirty[32];
static unsigned n_dirty;

static bool note_dirty(void *opaque, uint32_t page)
{
	(void)opaque;
	if (n_dirty < 32)
		dirty[n_dirty++] = page;
	return true;
}

static void take_dirty(struct vm *vm)
{
	n_dirty = 0;
	mmu_take_dirty(vm->cpu, note_dirty, NULL);
}

static void test_dirty(void **state)
{
	struct vm *vm = vm_new(VM_PROT32);

	take_dirty(vm);
	run_edi(vm, READ_EDI, 0x600000);
	take_dirty(vm);
	assert_int_equal(n_dirty, 0);
	for (int i = 0; i < 3; i++) {		  /* each time anew */
		run_edi(vm, WRITE_EDI, 0x600ffe); /* straddles */
		run_edi(vm, ADD_EDI, 0x700000);
		take_dirty(vm);
		assert_int_equal(n_dirty, 3);
		assert_int_equal(dirty[0], 0x600);
		assert_int_equal(dirty[1], 0x601);
		assert_int_equal(dirty[2], 0x700);
	}
	/* Page walks write as well. */
	vm_paging(vm, false);
	take_dirty(vm);
	run_edi(vm, READ_EDI, 0x600000);
	take_dirty(vm);
	assert_true(n_dirty > 0);
	assert_int_equal(dirty[0], VM_PAGES >> 12);
	mmu_mark_dirty(vm->cpu, 7);
	mmu_mark_dirty(vm->cpu, 0xfffff); /* no such page */
	take_dirty(vm);
	assert_int_equal(n_dirty, 1);
	assert_int_equal(dirty[0], 7);
	vm_free(vm);
	(void)state;
}

static void test_map(void **state)
{
	struct vm *vm = vm_new(VM_PROT32);
	static uint8_t rom[8192] __attribute__((aligned(4096)));
	struct memmap_page m = { .n_entries = 4 };

	memset(rom, 0x90, sizeof(rom));
	memcpy(rom, "\xb8\x78\x56\x34\x12\xf4", 6); /* mov eax, 12345678h; hlt */
	m.entry[0] = (struct memmap_entry){
		.npages = 0xc0, .read_kind = MEM_RAM, .write_kind = MEM_RAM
	};
	m.entry[1] = (struct memmap_entry){ .gpa_page = 0xc0,
		.npages = 2,
		.read_kind = MEM_ROM,
		.write_kind = MEM_RAM,
		.write_off_page = 0xc0 };
	m.entry[2] = (struct memmap_entry){
		.gpa_page = 0xd0, .npages = 1, .read_kind = MEM_NONE, .write_kind = MEM_NONE
	};
	m.entry[3] = (struct memmap_entry){ .gpa_page = 0x100,
		.npages = 0x200,
		.read_kind = MEM_RAM,
		.write_kind = MEM_RAM,
		.read_off_page = 0x100,
		.write_off_page = 0x100 };
	assert_int_equal(mmu_set_map(vm->cpu, &m, vm->ram, VM_RAM_LEN, rom, sizeof(rom)), 0);
	/* Reads come from ROM, writes go to the RAM behind it. */
	vm->cpu->gpr[R_EAX] = 0xdeadbeef;
	assert_int_equal(run_edi(vm, WRITE_EDI, 0xc0000), VM_HLT);
	assert_int_equal(*word(vm, 0xc0000), 0xdeadbeef);
	assert_int_equal(run_edi(vm, READ_EDI, 0xc0000), VM_HLT);
	assert_int_equal(vm->cpu->gpr[R_EAX], 0x345678b8);
	assert_int_equal(run_edi(vm, "\xff\xe7", 0xc0000), VM_HLT); /* runs there */
	assert_int_equal(vm->cpu->gpr[R_EAX], 0x12345678);
	/* Shadowed: now from RAM. */
	m.entry[1].read_kind = MEM_RAM;
	m.entry[1].read_off_page = 0xc0;
	assert_int_equal(mmu_set_map(vm->cpu, &m, vm->ram, VM_RAM_LEN, rom, sizeof(rom)), 0);
	assert_int_equal(run_edi(vm, READ_EDI, 0xc0000), VM_HLT);
	assert_int_equal(vm->cpu->gpr[R_EAX], 0xdeadbeef);
	/* Nothing, without asking anybody. */
	vm->n_log = 0;
	assert_int_equal(run_edi(vm, READ_EDI, 0xd0000), VM_HLT);
	assert_int_equal(vm->cpu->gpr[R_EAX], 0xffffffff);
	assert_int_equal(vm->n_log, 0);
	/* Bad maps are refused, and change nothing. */
	m.entry[2].gpa_page = 0xc1;
	assert_int_equal(mmu_set_map(vm->cpu, &m, vm->ram, VM_RAM_LEN, rom, sizeof(rom)), -EINVAL);
	m.entry[2].gpa_page = 0xd0;
	m.entry[3].npages = VM_RAM_LEN >> 12;
	assert_int_equal(mmu_set_map(vm->cpu, &m, vm->ram, VM_RAM_LEN, rom, sizeof(rom)), -EINVAL);
	m.n_entries = MEMMAP_MAX_ENTRIES + 1;
	assert_int_equal(mmu_set_map(vm->cpu, &m, vm->ram, VM_RAM_LEN, rom, sizeof(rom)), -EINVAL);
	assert_int_equal(run_edi(vm, READ_EDI, 0xc0000), VM_HLT);
	assert_int_equal(vm->cpu->gpr[R_EAX], 0xdeadbeef);
	vm_free(vm);
	(void)state;
}

static void test_alignment(void **state)
{
	struct vm *vm = vm_new(VM_PROT32);

	vm_paging(vm, false);
	vm->cpu->cr0 |= CR0_AM;
	assert_int_equal(run_user_edi(vm, READ_EDI, 0x600002), VM_HLT);
	flags_set(vm->cpu, FL_AC);
	assert_int_equal(run_user_edi(vm, READ_EDI, 0x600000), VM_HLT);
	flags_set(vm->cpu, FL_AC);
	assert_int_equal(run_user_edi(vm, READ_EDI, 0x600002), EXCP_AC);
	assert_int_equal(vm->frame[0], 0);
	flags_set(vm->cpu, FL_AC);
	assert_int_equal(run_user_edi(vm, ADD_EDI, 0x600001), EXCP_AC);
	/* Not for the supervisor, and not without the flag. */
	vm_mode_set(vm, VM_PROT32);
	flags_set(vm->cpu, FL_AC);
	assert_int_equal(run_edi(vm, READ_EDI, 0x600002), VM_HLT);
	flags_set(vm->cpu, 0);
	assert_int_equal(run_user_edi(vm, READ_EDI, 0x600002), VM_HLT);
	vm_free(vm);
	(void)state;
}

static void test_lapic_page(void **state)
{
	struct vm *vm = vm_new(VM_PROT32);

	assert_int_equal(run_edi(vm, READ_EDI, 0xfee00030), VM_HLT); /* version */
	assert_int_equal(vm->n_log, 0);
	assert_int_equal(vm->cpu->gpr[R_EAX], lapic_read(vm->cpu, 0x30));
	vm->cpu->gpr[R_EAX] = 0x40;
	assert_int_equal(run_edi(vm, WRITE_EDI, 0xfee00080), VM_HLT); /* TPR */
	assert_int_equal(lapic_read(vm->cpu, 0x80), 0x40);
	vm->cpu->apic_base &= ~0x800ull;
	assert_int_equal(run_edi(vm, READ_EDI, 0xfee00030), VM_HLT);
	assert_int_equal(vm->n_log, 1);
	vm_free(vm);
	(void)state;
}

static void test_peek(void **state)
{
	struct vm *vm = vm_new(VM_PROT32);
	uint8_t buf[8];
	uint64_t gpa;

	vm_paging(vm, false);
	*vm_pte(vm, 0x330000) = 0x400000 | 7;
	*vm_pte(vm, 0x331000) = 0;
	memcpy(vm->ram + 0x400ffc, "abcd", 4);
	assert_true(mmu_peek(vm->cpu, 0x330123, &gpa));
	assert_int_equal(gpa, 0x400123);
	assert_false(mmu_peek(vm->cpu, 0x331000, &gpa));
	assert_int_equal(mmu_peek_bytes(vm->cpu, 0x330ffc, buf, 8), 4);
	assert_memory_equal(buf, "abcd", 4);
	assert_false(*vm_pte(vm, 0x330000) & PTE_A);
	vm_free(vm);
	(void)state;
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_accessed_dirty),
		cmocka_unit_test(test_not_present), cmocka_unit_test(test_rights),
		cmocka_unit_test(test_large_pages), cmocka_unit_test(test_pae),
		cmocka_unit_test(test_flush_global), cmocka_unit_test(test_code_remapped),
		cmocka_unit_test(test_mmio), cmocka_unit_test(test_a20),
		cmocka_unit_test(test_dirty), cmocka_unit_test(test_map),
		cmocka_unit_test(test_alignment), cmocka_unit_test(test_lapic_page),
		cmocka_unit_test(test_peek) };

	return cmocka_run_group_tests_name("mem", tests, NULL, NULL);
}
