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
 * The software TLB: tables by linear page, for reads and for writes, for supervisor and for user
 * accesses. An entry that is not 0 says that all such accesses to the page may go to host memory at
 * lin - entry (mod 2^64): RAM or, for reads, ROM; no watched data; for writes also dirty bit set,
 * RAM page marked dirty, and no decoded code in it. Host memory lies above 4 GiB, so the
 * subtraction borrows if and only if the entry is not 0.
 *
 * tlb.c knows which entries are set, and clears them.
 */
#define TLB_PAGES (1u << 20)

/*
 * Entries from one table to the next. There is room behind each for indices whose bits 20-22 are
 * the low bits of an address: always 0, so that translated code finds with one look that an access
 * of up to 8 bytes is both mapped and aligned.
 */
#define TLB_STRIDE_SHIFT 23
#define TLB_STRIDE	 (1u << TLB_STRIDE_SHIFT)

/* The part of struct mmu that the inline functions know; the rest is in mmu.c. */
struct mmu {
	uint64_t fast[4u * TLB_STRIDE]; /* supervisor: read, write; user: read, write */
};

/* ---- slow paths (mmu.c) ---- */
/* size 1, 2, 4 or 8; any alignment, any kind of memory. */
uint64_t mmu_read(struct cpu *cpu, uint32_t lin, unsigned size, bool user);
void mmu_write(struct cpu *cpu, uint32_t lin, unsigned size, uint64_t val, bool user);
/* Raises if an access would; sets accessed (and dirty) bits as the access would. size <= 4096. */
void lin_probe(struct cpu *cpu, uint32_t lin, unsigned size, bool write, bool user);
/*
 * Host address of size bytes at lin (1 to 4096) for an access at the present CPL, if it is one that
 * would go fast from now on: it does not fault, lies in one page of RAM (or, for a read, ROM) that
 * holds no decoded code if it is a write, is not watched, and alignment is not checked. Then
 * translations, accessed and dirty bits are as mmu_read() or mmu_write() would leave them. NULL:
 * nothing has changed. Never raises.
 */
uint8_t *mmu_try_host(struct cpu *cpu, uint32_t lin, unsigned size, bool write);
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

static inline const uint64_t *mem_tlb(const struct cpu *cpu, bool user, bool write)
{
	return cpu->mmu->fast + ((size_t)user << (TLB_STRIDE_SHIFT + 1)) +
	       ((size_t)write << TLB_STRIDE_SHIFT);
}

/* Host address of size bytes at lin by one of the tables, or NULL: slow path. */
static inline uint8_t *tlb_host(const uint64_t *tlb, uint32_t lin, unsigned size)
{
	uint64_t host;

	if (unlikely(!__builtin_sub_overflow((uint64_t)lin, tlb[lin >> 12], &host)))
		return NULL;
	if (unlikely((lin & 0xfff) > PAGE_SIZE - size))
		return NULL;
	if (!host) /* cannot be: spares the caller's test */
		__builtin_unreachable();
	return (uint8_t *)(uintptr_t)host;
}

/* ---- linear ---- */
#define MEM_LIN_(bits, type)                                                                  \
	static inline type lin_read##bits(struct cpu *cpu, uint32_t lin, bool user)           \
	{                                                                                     \
		const uint8_t *host = tlb_host(mem_tlb(cpu, user, false), lin, sizeof(type)); \
		type v;                                                                       \
		if (unlikely(!host))                                                          \
			return (type)mmu_read(cpu, lin, sizeof(v), user);                     \
		memcpy(&v, host, sizeof(v));                                                  \
		return v;                                                                     \
	}                                                                                     \
	static inline void lin_write##bits(struct cpu *cpu, uint32_t lin, type v, bool user)  \
	{                                                                                     \
		uint8_t *host = tlb_host(mem_tlb(cpu, user, true), lin, sizeof(type));        \
		if (unlikely(!host)) {                                                        \
			mmu_write(cpu, lin, sizeof(v), v, user);                              \
			return;                                                               \
		}                                                                             \
		memcpy(host, &v, sizeof(v));                                                  \
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
	if (unlikely((uint64_t)off + size > s->rd_end))
		seg_check(cpu, seg, off, size, false);
	return s->base + off;
}

static inline uint32_t seg_linear_write(struct cpu *cpu, enum seg seg, uint32_t off, unsigned size)
{
	const struct segment *s = &cpu->seg[seg];

	if (likely(s->wr_ok && s->flat))
		return off;
	if (unlikely((uint64_t)off + size > s->wr_end))
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
 * Host address of an operand that lies in one page of plain memory, or NULL: then the general form
 * has to do it. Raises what the segment's check raises.
 */
static inline uint8_t *seg_host(
	struct cpu *cpu, enum seg seg, uint32_t off, unsigned size, bool write)
{
	uint32_t lin = write ? seg_linear_write(cpu, seg, off, size)
			     : seg_linear_read(cpu, seg, off, size);

	return tlb_host(mem_tlb(cpu, mem_user(cpu), write), lin, size);
}

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

#define MEM_RMW_(bits, type)                                                                    \
	static inline type rmw_read##bits(                                                      \
		struct cpu *cpu, enum seg seg, uint32_t off, struct mem_rmw *m)                 \
	{                                                                                       \
		uint32_t lin = seg_linear_write(cpu, seg, off, sizeof(type));                   \
		uint8_t *host = tlb_host(mem_tlb(cpu, mem_user(cpu), true), lin, sizeof(type)); \
		type v;                                                                         \
		m->lin = lin;                                                                   \
		if (likely(host != NULL)) {                                                     \
			m->host = host;                                                         \
		} else {                                                                        \
			mem_rmw_slow(cpu, m, sizeof(type));                                     \
			if (!m->host)                                                           \
				return (type)mmu_read(cpu, lin, sizeof(type), mem_user(cpu));   \
		}                                                                               \
		memcpy(&v, m->host, sizeof(v));                                                 \
		return v;                                                                       \
	}                                                                                       \
	static inline void rmw_write##bits(struct cpu *cpu, struct mem_rmw *m, type v)          \
	{                                                                                       \
		if (likely(m->host != NULL))                                                    \
			memcpy(m->host, &v, sizeof(v));                                         \
		else                                                                            \
			mmu_write(cpu, m->lin, sizeof(v), v, mem_user(cpu));                    \
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
	return tlb_host(cpu->run_tlb + (write ? TLB_STRIDE : 0), lin, size);
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
