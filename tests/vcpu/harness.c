/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "harness.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine_text.h"
#include "host_fault.h"
#include "log.h"
#include "tcg.h"

static struct vm *vm_of(struct cpu *cpu)
{
	return cpu->bus_opaque;
}

/* after: elements of the same instruction before this access */
static void note_after(struct vm *vm, bool write, bool mmio, uint32_t addr, unsigned size,
	uint64_t val, uint32_t after)
{
	struct vm_access a = { write, mmio, size, addr, val, cpu_icount(vm->cpu) + after };

	if (vm->n_log < 256)
		vm->log[vm->n_log++] = a;
	if (vm->on_access)
		vm->on_access(vm, &a);
}

static void note(struct vm *vm, bool write, bool mmio, uint32_t addr, unsigned size, uint64_t val)
{
	note_after(vm, write, mmio, addr, size, val, 0);
}

static uint32_t bus_in(struct cpu *cpu, uint16_t port, unsigned size)
{
	struct vm *vm = vm_of(cpu);
	uint32_t v = vm->in_value++;

	note(vm, false, false, port, size, v);
	return v;
}

static void bus_out(struct cpu *cpu, uint16_t port, unsigned size, uint32_t val)
{
	note(vm_of(cpu), true, false, port, size, val);
}

/* In bulk: up to where an element makes somebody look, as one by one. */
static uint32_t bus_ins(struct cpu *cpu, uint16_t port, unsigned size, uint32_t n, void *buf)
{
	struct vm *vm = vm_of(cpu);
	bool look = cpu->look;

	vm->n_bulk++;
	for (uint32_t i = 0; i < n; i++) {
		note_after(vm, false, false, port, size, vm->in_value, i);
		memcpy((uint8_t *)buf + i * size, &vm->in_value, size);
		vm->in_value++;
		if (cpu->look && !look)
			return i + 1;
	}
	return n;
}

static uint32_t bus_outs(struct cpu *cpu, uint16_t port, unsigned size, uint32_t n, const void *buf)
{
	bool look = cpu->look;

	vm_of(cpu)->n_bulk++;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t v = 0;

		memcpy(&v, (const uint8_t *)buf + i * size, size);
		note_after(vm_of(cpu), true, false, port, size, v, i);
		if (cpu->look && !look)
			return i + 1;
	}
	return n;
}

static uint64_t bus_mmio_read(struct cpu *cpu, uint32_t gpa, unsigned size)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < size; i++)
		v |= (uint64_t)((gpa + i) & 0xff) << i * 8;
	note(vm_of(cpu), false, true, gpa, size, v);
	return v;
}

static void bus_mmio_write(struct cpu *cpu, uint32_t gpa, unsigned size, uint64_t val)
{
	note(vm_of(cpu), true, true, gpa, size, val);
}

static uint8_t bus_intack(struct cpu *cpu)
{
	(void)cpu;
	return 0x20;
}

static void bus_eoi(struct cpu *cpu, uint8_t vector)
{
	(void)cpu;
	(void)vector;
}

static void bus_triple_fault(struct cpu *cpu)
{
	vm_of(cpu)->shutdown = true;
	cpu->reset_request = true;
}

static const struct cpu_bus bus = { bus_in, bus_out, bus_ins, bus_outs, bus_mmio_read,
	bus_mmio_write, bus_intack, bus_eoi, bus_triple_fault };

static void put64(struct vm *vm, uint32_t at, uint64_t v)
{
	memcpy(vm->ram + at, &v, 8);
}

static void put_gate(struct vm *vm, unsigned vector, uint32_t off)
{
	put64(vm, VM_IDT + vector * 8,
		(off & 0xffff) | VM_SEL_CODE32 << 16 | (uint64_t)0x8e00 << 32 |
			(uint64_t)(off >> 16) << 48);
}

void vm_touch(struct vm *vm, uint32_t at, size_t len)
{
	for (size_t page = at >> 12; page <= (at + len - 1) >> 12; page++)
		vm->touched[page / 64] |= 1ull << (page % 64);
}

static void put_tables(struct vm *vm)
{
	uint32_t *tss = (uint32_t *)(vm->ram + VM_TSS);

	vm_touch(vm, 0, VM_STUBS + 48 * 16);
	put64(vm, VM_GDT + 0x08, 0x00cf9b000000ffffull);
	put64(vm, VM_GDT + 0x10, 0x00cf93000000ffffull);
	put64(vm, VM_GDT + 0x18, 0x000f9b000000ffffull);
	put64(vm, VM_GDT + 0x20, 0x000f93000000ffffull);
	put64(vm, VM_GDT + 0x28, 0x00cffb000000ffffull);
	put64(vm, VM_GDT + 0x30, 0x00cff3000000ffffull);
	put64(vm, VM_GDT + 0x38, 0x00008b0000000067ull | (uint64_t)VM_TSS << 16);
	tss[1] = VM_STACK0;
	tss[2] = VM_SEL_DATA32;
	for (unsigned v = 0; v < 48; v++) {
		put_gate(vm, v, VM_STUBS + v * 16);
		vm->ram[VM_STUBS + v * 16] = 0xf4;
	}
}

static void set_seg(struct cpu *cpu, enum seg s, uint16_t sel, uint16_t attr, uint32_t limit)
{
	cpu->seg[s] = (struct segment){ .sel = sel, .attr = attr, .limit = limit };
	seg_update(&cpu->seg[s]);
}

static void set_segments(struct cpu *cpu, uint16_t code, uint16_t code_attr, uint16_t data,
	uint16_t data_attr, uint32_t limit)
{
	set_seg(cpu, SEG_CS, code, code_attr, limit);
	for (unsigned s = 0; s < 6; s++)
		if (s != SEG_CS)
			set_seg(cpu, s, data, data_attr, limit);
}

void vm_mode_set(struct vm *vm, enum vm_mode mode)
{
	struct cpu *cpu = vm->cpu;

	cpu->gdtr = (struct desc_table){ VM_GDT, 0x3f };
	cpu->idtr = (struct desc_table){ VM_IDT, 48 * 8 - 1 };
	cpu->tr =
		(struct segment){ .sel = VM_SEL_TSS, .base = VM_TSS, .limit = 0x67, .attr = 0x8b };
	if (mode == VM_REAL16) {
		cpu->cr0 &= ~CR0_PE;
		cpu->idtr = (struct desc_table){ 0, 0x3ff };
		for (unsigned v = 0; v < 48; v++) {
			uint16_t vec[2] = { (uint16_t)(VM_STUBS + v * 16), 0 };

			memcpy(vm->ram + v * 4, vec, 4); /* touched by put_tables() */
		}
		set_segments(cpu, 0, 0x93, 0, 0x93, 0xffff);
		cpu->seg[SEG_CS].base = VM_CODE;
		cpu->seg[SEG_CS].sel = VM_CODE >> 4;
		cpu->seg[SEG_SS].base = (VM_STACK - 0x1000) & ~0xffffu;
		cpu->seg[SEG_DS].base = cpu->seg[SEG_ES].base = 0x40000;
		for (unsigned s = 0; s < 6; s++)
			seg_update(&cpu->seg[s]);
	} else {
		cpu->cr0 |= CR0_PE;
		if (mode == VM_PROT32)
			set_segments(
				cpu, VM_SEL_CODE32, 0xc09b, VM_SEL_DATA32, 0xc093, 0xffffffffu);
		else
			set_segments(cpu, VM_SEL_CODE16, 0x009b, VM_SEL_DATA16, 0x0093, 0xfffff);
	}
	cpu->gpr[R_ESP] = VM_STACK;
	if (mode == VM_REAL16)
		cpu->gpr[R_ESP] = 0xf000;
	cpu->cpl = 0;
	seg_mode_changed(cpu);
	cpu->code32 = mode == VM_PROT32;
	cpu->stack32 = mode == VM_PROT32;
	mmu_mode_changed(cpu);
}

void vm_user(struct vm *vm)
{
	struct cpu *cpu = vm->cpu;

	set_segments(cpu, VM_SEL_UCODE32, 0xc0fb, VM_SEL_UDATA32, 0xc0f3, 0xffffffffu);
	cpu->cpl = 3;
	seg_mode_changed(cpu);
	cpu->cpl = 3;
	cpu->code32 = cpu->stack32 = true;
}

/* text: NULL or empty, the interpreter; else key=value pairs, as -accel tcg takes them. */
void vm_set_engine(struct vm *vm, const char *text)
{
	engine_text_set(vm->cpu, vm->ram_fd, text);
}

static void vm_start(struct vm *vm, enum vm_mode mode)
{
	vm->cpu->cr0 = CR0_ET | CR0_NE;
	put_tables(vm);
	vm_mode_set(vm, mode);
}

#define VM_MODEL "dejavm32"

struct vm *vm_new(enum vm_mode mode)
{
	struct vm *vm = calloc(1, sizeof(*vm));

	must(vm != NULL);
	vm->ram_fd = memfd_create("ram", MFD_CLOEXEC);
	must(vm->ram_fd >= 0 && ftruncate(vm->ram_fd, VM_RAM_LEN) == 0);
	vm->ram = mmap(NULL, VM_RAM_LEN, PROT_READ | PROT_WRITE, MAP_SHARED, vm->ram_fd, 0);
	must(vm->ram != MAP_FAILED);
	vm->cpu = cpu_new(&bus, vm, VM_MODEL, 0);
	must(vm->cpu != NULL);
	vm->map.n_entries = 1;
	vm->map.entry[0] = (struct memmap_entry){
		.npages = VM_RAM_LEN >> 12, .read_kind = MEM_RAM, .write_kind = MEM_RAM
	};
	must(mmu_set_map(vm->cpu, &vm->map, vm->ram, VM_RAM_LEN, NULL, 0) == 0);
	mmu_set_codemap(vm->cpu, vm->codemap, sizeof(vm->codemap));
	vm_set_engine(vm, getenv("DEJAVM_TEST_ENGINE"));
	vm_start(vm, mode);
	return vm;
}

static bool touch_page(void *opaque, uint32_t page)
{
	vm_touch(opaque, page << 12, 1);
	return false;
}

void vm_touch_written(struct vm *vm)
{
	mmu_take_dirty(vm->cpu, touch_page, vm);
}

/* The pages that hold something, as touched says, are cleared. */
static void clear_ram(struct vm *vm)
{
	for (size_t w = 0; w < sizeof(vm->touched) / 8; w++) {
		for (uint64_t bits = vm->touched[w]; bits; bits &= bits - 1) {
			size_t page = w * 64 + (unsigned)__builtin_ctzll(bits);

			memset(vm->ram + (page << 12), 0, 4096);
		}
	}
	memset(vm->touched, 0, sizeof(vm->touched));
}

void vm_renew(struct vm *vm, enum vm_mode mode)
{
	vm_touch_written(vm);
	cpu_renew(vm->cpu, VM_MODEL);
	for (size_t i = 0; i < sizeof(vm->codemap); i++)
		must(!vm->codemap[i]);
	clear_ram(vm);
	vm->n_log = vm->n_bulk = 0;
	vm->shutdown = false;
	vm->on_access = NULL;
	vm->in_value = 0;
	memset(vm->frame, 0, sizeof(vm->frame));
	vm_start(vm, mode);
}

int64_t vm_first_left(struct vm *vm)
{
	off_t at = 0, end;

	clear_ram(vm);
	/* What nobody has ever written to need not be read, which would allocate it. */
	while ((at = lseek(vm->ram_fd, at, SEEK_DATA)) >= 0) {
		end = lseek(vm->ram_fd, at, SEEK_HOLE);
		for (; at < end; at++)
			if (vm->ram[at])
				return at;
	}
	return -1;
}

void vm_free(struct vm *vm)
{
	cpu_free(vm->cpu);
	munmap(vm->ram, VM_RAM_LEN);
	close(vm->ram_fd);
	free(vm);
}

/* As a write by DMA would do it. */
void vm_code(struct vm *vm, const void *code, size_t len)
{
	memcpy(vm->ram + VM_CODE, code, len);
	vm_touch(vm, VM_CODE, len);
	for (size_t page = VM_CODE >> 12; page <= (VM_CODE + len - 1) >> 12; page++)
		icache_invalidate_page(vm->cpu, (uint32_t)page);
	vm->cpu->eip = vm->cpu->cr0 & CR0_PE ? VM_CODE : 0;
	vm->cpu->halted = false;
}

enum cpu_exit vm_cpu_run(struct cpu *cpu, uint64_t end)
{
	must(host_fault_catch() == 0);
	return cpu_run(cpu, end);
}

int vm_run(struct vm *vm, uint64_t n)
{
	struct cpu *cpu = vm->cpu;
	uint64_t end = cpu->icount + n;
	uint32_t at;

	for (;;) {
		enum cpu_exit e = vm_cpu_run(cpu, end);

		if (e == CPU_EXIT_RESET)
			return VM_SHUTDOWN;
		if (e == CPU_EXIT_HALT)
			break;
		if (cpu->icount >= end)
			return cpu->halted ? VM_HLT : VM_LIMIT;
		if (cpu->icount >= cpu->stop_icount)
			cpu->stop_icount = BUS_NEVER;
	}
	at = cpu->eip - 1;
	if (cpu->seg[SEG_CS].base == 0 && at >= VM_STUBS && at < VM_STUBS + 48 * 16 &&
		at % 16 == 0) {
		memcpy(vm->frame, vm->ram + (cpu->seg[SEG_SS].base + cpu->gpr[R_ESP]) % VM_RAM_LEN,
			sizeof(vm->frame));
		return (int)(at - VM_STUBS) / 16;
	}
	return VM_HLT;
}

#define VM_PT_FLAGS 0x7u

void vm_paging(struct vm *vm, bool pae)
{
	struct cpu *cpu = vm->cpu;
	uint32_t n_pages = VM_RAM_LEN >> 12;

	memset(vm->ram + VM_PAGES, 0, 0x10000);
	vm_touch(vm, VM_PAGES, 0x10000 + n_pages * 8);
	if (pae) {
		uint64_t *pdpt = (uint64_t *)(vm->ram + VM_PAGES);
		uint64_t *pd = (uint64_t *)(vm->ram + VM_PAGES + 0x1000);
		uint64_t *pt = (uint64_t *)(vm->ram + VM_PAGES + 0x10000);

		pdpt[0] = (VM_PAGES + 0x1000) | 1;
		for (uint32_t i = 0; i < n_pages / 512; i++)
			pd[i] = (VM_PAGES + 0x10000 + i * 0x1000) | VM_PT_FLAGS;
		for (uint32_t i = 0; i < n_pages; i++)
			pt[i] = (uint64_t)i << 12 | VM_PT_FLAGS;
		cpu->cr4 |= CR4_PAE;
		must(mmu_load_pdptes(cpu, VM_PAGES) == 0);
	} else {
		uint32_t *pd = (uint32_t *)(vm->ram + VM_PAGES);
		uint32_t *pt = (uint32_t *)(vm->ram + VM_PAGES + 0x10000);

		for (uint32_t i = 0; i < n_pages / 1024; i++)
			pd[i] = (VM_PAGES + 0x10000 + i * 0x1000) | VM_PT_FLAGS;
		for (uint32_t i = 0; i < n_pages; i++)
			pt[i] = i << 12 | VM_PT_FLAGS;
	}
	cpu->cr3 = VM_PAGES;
	cpu->cr0 |= CR0_PG | CR0_WP;
	mmu_mode_changed(cpu);
	mmu_flush(cpu, false);
}

uint32_t *vm_pte(struct vm *vm, uint32_t lin)
{
	unsigned size = vm->cpu->cr4 & CR4_PAE ? 8 : 4;

	return (uint32_t *)(vm->ram + VM_PAGES + 0x10000 + (lin >> 12) * size);
}
