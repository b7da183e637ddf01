/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A CPU with RAM and a bus that answers by itself, for unit tests.
 *
 *	struct vm *vm = vm_new(VM_PROT32);
 *	vm_code(vm, "\x01\xd8\xf4", 3);		add eax, ebx; hlt
 *	vm->cpu->gpr[R_EAX] = 1;
 *	assert_int_equal(vm_run(vm, 100), VM_HLT);
 *
 * Each exception vector has a gate to a HLT of its own, so that a run that meets a fault ends with
 *that vector; vm->frame then holds what was pushed, lowest address first (32-bit modes).
 */
#ifndef DEJAVM_TEST_HARNESS_H
#define DEJAVM_TEST_HARNESS_H

#include "cpu.h"
#include "flags.h"
#include "icache.h"
#include "mmu.h"

#define VM_RAM_LEN (16u << 20)
#define VM_GDT	   0x0800u
#define VM_TSS	   0x0a00u
#define VM_IDT	   0x1000u
#define VM_STUBS   0x2000u /* HLT of vector v at VM_STUBS + v * 16 */
#define VM_CODE	   0x10000u
#define VM_STACK   0x80000u /* initial ESP */
#define VM_STACK0  0x90000u /* of ring 0, in the TSS */
#define VM_DATA	   0x100000u
#define VM_PAGES   0x200000u /* page tables of vm_paging() */
#define VM_MMIO	   0xd0000000u

#define VM_SEL_CODE32  0x08
#define VM_SEL_DATA32  0x10
#define VM_SEL_CODE16  0x18
#define VM_SEL_DATA16  0x20
#define VM_SEL_UCODE32 0x2b
#define VM_SEL_UDATA32 0x33
#define VM_SEL_TSS     0x38

enum vm_mode { VM_REAL16, VM_PROT16, VM_PROT32 };

/* Results of vm_run(): an exception's vector, or one of these. */
enum { VM_HLT = 256, VM_LIMIT, VM_SHUTDOWN };

struct vm_access {
	bool write, mmio;
	unsigned size;
	uint32_t addr;
	uint64_t val, icount;
};

struct vm {
	struct cpu *cpu;
	int ram_fd; /* of what ram is a mapping of */
	uint8_t *ram;
	struct memmap_page map;
	uint8_t codemap[VM_RAM_LEN / 4096 / 8];
	/* A bit for each page of RAM that may hold something: vm_renew() */
	uint64_t touched[VM_RAM_LEN / 4096 / 64];
	struct vm_access log[256]; /* bus accesses */
	unsigned n_log;
	unsigned n_bulk; /* requests of INS and OUTS, of any number of elements */
	bool shutdown;
	/* Called for each bus access; may be NULL. */
	void (*on_access)(struct vm *vm, const struct vm_access *a);
	uint32_t in_value; /* what IN reads, raised by one each time */
	uint32_t frame[8];
};

/* A new machine has the engine that the environment variable DEJAVM_TEST_ENGINE says; this gives it
 * another: "tcg,thresh=0,budget=7" and the like, NULL: the interpreter. */
void vm_set_engine(struct vm *vm, const char *text);
struct vm *vm_new(enum vm_mode mode);
void vm_free(struct vm *vm);
/*
 * Makes vm what vm_new(mode) and vm_set_engine() made it; much faster than that. Who has written to
 * RAM other than by the CPU and the functions here must have said so by vm_touch(), and who is
 * about to take dirty pages from the MMU calls vm_touch_written() before.
 */
void vm_renew(struct vm *vm, enum vm_mode mode);
void vm_touch_written(struct vm *vm);
void vm_touch(struct vm *vm, uint32_t at, size_t len);
/* Clears RAM as vm_renew() does, and says where something is left nevertheless; -1: nowhere. */
int64_t vm_first_left(struct vm *vm);
/* Puts code at VM_CODE and eip there. */
void vm_code(struct vm *vm, const void *code, size_t len);
/* cpu_run(): who calls it may have taken SIGSEGV since vm_set_engine(), as cmocka does. */
enum cpu_exit vm_cpu_run(struct cpu *cpu, uint64_t end);
/* Runs at most n instructions. */
int vm_run(struct vm *vm, uint64_t n);
void vm_mode_set(struct vm *vm, enum vm_mode mode);
/* CPL 3, flat, 32 bits. */
void vm_user(struct vm *vm);
/* Paging on: linear == physical for all RAM, user-accessible, writable; 4 KiB pages. pae: PAE
 * tables. */
void vm_paging(struct vm *vm, bool pae);
/* The entry that maps lin: its low word. */
uint32_t *vm_pte(struct vm *vm, uint32_t lin);

#define vm_asm(vm, bytes) vm_code(vm, bytes, sizeof(bytes) - 1)

#endif
