/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guest memory as instructions see it: segment check, software TLB with an inline hit path, and the
 * slow path in mmu.c (page walk with accessed and dirty bits, page straddles, MMIO, ROM, pages with
 * decoded code).
 *
 * The functions below raise #GP, #SS, #PF, #AC as due. seg_* take a segment and an offset; lin_* a
 * linear address and are for system structures (descriptor tables, TSS, stacks during delivery):
 * `user` false means a supervisor access whatever the CPL (implicit supervisor access, SDM vol.
 * 3, 4.6). An access that straddles a page is checked on both pages before anything is written.
 */
#ifndef DEJAVM_MEM_H
#define DEJAVM_MEM_H

#include <string.h>
#include "cpu.h"

#ifndef likely
#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#endif

#define PAGE_SIZE 4096u
#define PAGE_MASK 0xfffff000u

/*
 * The software TLB: direct mapped, one set for supervisor and one for user accesses. A tag is the
 * linear page, or a page that cannot lie at this index: then (lin ^ tag) is at least a page, so
 * that one comparison checks the page and that the access does not leave it. rd (wr) matches only
 * if every read (write) of the page may go to host memory at addend + lin: RAM or, for reads, ROM;
 * no watched data; for writes also dirty bit set, RAM page marked dirty, and no decoded code in it.
 */
#define TLB_BITS 10
#define TLB_SIZE (1u << TLB_BITS)

struct tlb_entry {
	uint32_t rd, wr;
	uintptr_t addend;
};

/* The part of struct mmu that the inline functions know; the rest is in mmu.c. */
struct mmu {
	struct tlb_entry tlb[2][TLB_SIZE]; /* [1]: CPL 3 */
};

/* ---- slow paths (mmu.c) ---- */
/* size 1, 2, 4 or 8; any alignment, any kind of memory. */
uint64_t mmu_read(struct cpu *cpu, uint32_t lin, unsigned size, bool user);
void mmu_write(struct cpu *cpu, uint32_t lin, unsigned size, uint64_t val, bool user);
/* Raises if an access would; sets accessed (and dirty) bits as the access would. size <= 4096. */
void lin_probe(struct cpu *cpu, uint32_t lin, unsigned size, bool write, bool user);
/*
 * Host address of lin for reads or writes that stay in its page, or NULL if they must take the slow
 * path (MMIO, code, watched data). Raises #PF as the access would. For bulk and read-modify-write;
 * valid until the next access that is not through it.
 */
uint8_t *mmu_host(struct cpu *cpu, uint32_t lin, bool write, bool user);

static inline bool mem_user(const struct cpu *cpu)
{
	return cpu->cpl == 3;
}

static inline struct tlb_entry *mem_tlb(const struct cpu *cpu, uint32_t lin, bool user)
{
	return &cpu->mmu->tlb[user][lin >> 12 & (TLB_SIZE - 1)];
}

/* ---- linear ---- */
#define MEM_LIN_(bits, type)                                                                 \
	static inline type lin_read##bits(struct cpu *cpu, uint32_t lin, bool user)          \
	{                                                                                    \
		const struct tlb_entry *e = mem_tlb(cpu, lin, user);                         \
		type v;                                                                      \
		if (unlikely((lin ^ e->rd) > PAGE_SIZE - sizeof(v)))                         \
			return (type)mmu_read(cpu, lin, sizeof(v), user);                    \
		memcpy(&v, (const void *)(e->addend + lin), sizeof(v));                      \
		return v;                                                                    \
	}                                                                                    \
	static inline void lin_write##bits(struct cpu *cpu, uint32_t lin, type v, bool user) \
	{                                                                                    \
		const struct tlb_entry *e = mem_tlb(cpu, lin, user);                         \
		if (unlikely((lin ^ e->wr) > PAGE_SIZE - sizeof(v))) {                       \
			mmu_write(cpu, lin, sizeof(v), v, user);                             \
			return;                                                              \
		}                                                                            \
		memcpy((void *)(e->addend + lin), &v, sizeof(v));                            \
	}
MEM_LIN_(8, uint8_t)
MEM_LIN_(16, uint16_t)
MEM_LIN_(32, uint32_t)
MEM_LIN_(64, uint64_t)

/* ---- segment and offset to linear ---- */
static inline uint32_t seg_linear_read(struct cpu *cpu, enum seg seg, uint32_t off, unsigned size)
{
	const struct segment *s = &cpu->seg[seg];

	if (likely(s->rd_ok && s->flat))
		return off;
	if (unlikely(!s->rd_ok || (uint64_t)off + (size - 1) > s->rd_top))
		seg_check(cpu, seg, off, size, false);
	return s->base + off;
}

static inline uint32_t seg_linear_write(struct cpu *cpu, enum seg seg, uint32_t off, unsigned size)
{
	const struct segment *s = &cpu->seg[seg];

	if (likely(s->wr_ok && s->flat))
		return off;
	if (unlikely(!s->wr_ok || (uint64_t)off + (size - 1) > s->wr_top))
		seg_check(cpu, seg, off, size, true);
	return s->base + off;
}

#define MEM_SEG_(bits, type)                                                                    \
	static inline type seg_read##bits(struct cpu *cpu, enum seg seg, uint32_t off)          \
	{                                                                                       \
		uint32_t lin = seg_linear_read(cpu, seg, off, sizeof(type));                    \
		return lin_read##bits(cpu, lin, mem_user(cpu));                                 \
	}                                                                                       \
	static inline void seg_write##bits(struct cpu *cpu, enum seg seg, uint32_t off, type v) \
	{                                                                                       \
		uint32_t lin = seg_linear_write(cpu, seg, off, sizeof(type));                   \
		lin_write##bits(cpu, lin, v, mem_user(cpu));                                    \
	}
MEM_SEG_(8, uint8_t)
MEM_SEG_(16, uint16_t)
MEM_SEG_(32, uint32_t)
MEM_SEG_(64, uint64_t)

/*
 * Read-modify-write: the read is made with the intent to write, so that a fault reports a write
 *(SDM vol. 3, 4.7).
 *
 *	struct mem_rmw m;
 *	v = rmw_read32(cpu, seg, off, &m);
 *	rmw_write32(cpu, &m, v + 1);		(may be left out)
 */
struct mem_rmw {
	uint8_t *host; /* NULL: slow path */
	uint32_t lin;
};

/* Checks and translates; raises as a write would. */
void mem_rmw_slow(struct cpu *cpu, struct mem_rmw *m, unsigned size);

#define MEM_RMW_(bits, type)                                                                  \
	static inline type rmw_read##bits(                                                    \
		struct cpu *cpu, enum seg seg, uint32_t off, struct mem_rmw *m)               \
	{                                                                                     \
		uint32_t lin = seg_linear_write(cpu, seg, off, sizeof(type));                 \
		const struct tlb_entry *e = mem_tlb(cpu, lin, mem_user(cpu));                 \
		type v;                                                                       \
		m->lin = lin;                                                                 \
		if (likely((lin ^ e->wr) <= PAGE_SIZE - sizeof(type))) {                      \
			m->host = (uint8_t *)(e->addend + lin);                               \
		} else {                                                                      \
			mem_rmw_slow(cpu, m, sizeof(type));                                   \
			if (!m->host)                                                         \
				return (type)mmu_read(cpu, lin, sizeof(type), mem_user(cpu)); \
		}                                                                             \
		memcpy(&v, m->host, sizeof(v));                                               \
		return v;                                                                     \
	}                                                                                     \
	static inline void rmw_write##bits(struct cpu *cpu, struct mem_rmw *m, type v)        \
	{                                                                                     \
		if (likely(m->host != NULL))                                                  \
			memcpy(m->host, &v, sizeof(v));                                       \
		else                                                                          \
			mmu_write(cpu, m->lin, sizeof(v), v, mem_user(cpu));                  \
	}
MEM_RMW_(8, uint8_t)
MEM_RMW_(16, uint16_t)
MEM_RMW_(32, uint32_t)
MEM_RMW_(64, uint64_t)

/* Raises if a write would. */
static inline void seg_probe_write(struct cpu *cpu, enum seg seg, uint32_t off, unsigned size)
{
	uint32_t lin = seg_linear_write(cpu, seg, off, size);

	lin_probe(cpu, lin, size, true, mem_user(cpu));
}

/* n <= 512 bytes, for FPU images; writes are all or nothing on faults. The offset does not wrap at
 * 64 KiB. */
void seg_read_bytes(struct cpu *cpu, enum seg seg, uint32_t off, void *buf, unsigned n);
void seg_write_bytes(struct cpu *cpu, enum seg seg, uint32_t off, const void *buf, unsigned n);

/* Effective offset of the ModRM memory operand, address size applied. */
static inline uint32_t insn_ea(const struct cpu *cpu, const struct insn *in)
{
	const uint32_t *r = cpu->gpr_z;
	uint32_t ea = r[in->base] + (r[in->index] << in->scale) + in->disp;

	return likely(in->addrsize == 4) ? ea : ea & 0xffff;
}

/*
 * For handlers that the decoder picks in flat mode only (KEY_FLAT): DS, ES and SS are flat,
 * readable and writable, ESP is 32 bits wide, the CPL is that of run_tlb. The host address of size
 * bytes at lin, or NULL if the general form has to do it; nothing is called, so that such a handler
 * needs no stack frame.
 */
static inline uint8_t *flat_host(const struct cpu *cpu, uint32_t lin, unsigned size, bool write)
{
	/* The index, scaled in one go: compilers do not find that. */
	const struct tlb_entry *e =
		(const void *)((const char *)cpu->run_tlb + (lin >> 8 & (TLB_SIZE - 1) << 4));
	uintptr_t host = e->addend + lin;

	_Static_assert(sizeof(*e) == 1 << 4, "the scale above");
	if (unlikely((lin ^ (write ? e->wr : e->rd)) > PAGE_SIZE - size))
		return NULL;
	if (!host) /* cannot be: spares the caller's test */
		__builtin_unreachable();
	return (uint8_t *)host;
}

/* Effective address with 32-bit addressing. */
static inline uint32_t flat_ea(const struct cpu *cpu, const struct insn *in)
{
	const uint32_t *r = cpu->gpr_z;

	return r[in->base] + (r[in->index] << in->scale) + in->disp;
}

/* ---- stack, at the current CPL, by SS.B ---- */
static inline uint32_t stack_mask(const struct cpu *cpu)
{
	return cpu->stack32 ? 0xffffffffu : 0xffffu;
}

static inline void stack_set(struct cpu *cpu, uint32_t sp)
{
	if (likely(cpu->stack32))
		cpu->gpr[R_ESP] = sp;
	else
		cpu->gpr[R_ESP] = (cpu->gpr[R_ESP] & 0xffff0000u) | (sp & 0xffff);
}

static inline void push16(struct cpu *cpu, uint16_t v)
{
	uint32_t sp = cpu->gpr[R_ESP] - 2;

	seg_write16(cpu, SEG_SS, sp & stack_mask(cpu), v);
	stack_set(cpu, sp);
}

static inline void push32(struct cpu *cpu, uint32_t v)
{
	uint32_t sp = cpu->gpr[R_ESP] - 4;

	seg_write32(cpu, SEG_SS, sp & stack_mask(cpu), v);
	stack_set(cpu, sp);
}

static inline uint16_t pop16(struct cpu *cpu)
{
	uint32_t sp = cpu->gpr[R_ESP];
	uint16_t v = seg_read16(cpu, SEG_SS, sp & stack_mask(cpu));

	stack_set(cpu, sp + 2);
	return v;
}

static inline uint32_t pop32(struct cpu *cpu)
{
	uint32_t sp = cpu->gpr[R_ESP];
	uint32_t v = seg_read32(cpu, SEG_SS, sp & stack_mask(cpu));

	stack_set(cpu, sp + 4);
	return v;
}

#endif
