/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What mmu.c, walk.c and phys.c share. */
#ifndef DEJAVM_MMU_INT_H
#define DEJAVM_MMU_INT_H

#include "mmu.h"

#define XLATE_WRITE  0x01u /* writes are allowed, and the dirty bit is set */
#define XLATE_GLOBAL 0x02u
#define XLATE_LARGE  0x04u

struct xlate {
	uint32_t lin; /* page, or an invalid tag */
	uint32_t flags;
	uint64_t gpa;
};

#define CODE_TLB_SIZE 256u
#define BLOOM_BITS    4096u

/* A range of guest-physical pages, with host addresses instead of offsets. */
struct region {
	uint32_t first, last; /* pages */
	uint8_t read_kind, write_kind;
	uint8_t *read, *write; /* host address of the first page */
	uint32_t read_page, write_page;
};

struct mmu_priv {
	struct mmu pub; /* first: mem.h finds it by cpu->mmu */
	struct xlate xlate[2][TLB_SIZE];
	struct code_page code[2][CODE_TLB_SIZE];
	uint64_t code_seen[2][BLOOM_BITS / 64]; /* pages given out by mmu_code() since the last
						   unlink; [1] global ones */
	uint64_t large_seen[1024 / 64];		/* 4 MiB regions with XLATE_LARGE entries */
	struct region region[MEMMAP_MAX_ENTRIES];
	unsigned n_regions, last_region;
	uint8_t *ram;
	const uint8_t *rom;
	size_t ram_len, rom_len;
	uint64_t *dirty; /* a bit for each RAM page */
	size_t dirty_words;
	uint8_t *codemap;
	size_t codemap_len;
	/* What the present contents of the arrays were made for. */
	uint32_t cr0, cr4, efer, a20_mask;
	uint32_t dr7, dr[4];
	uint64_t apic_base;
	bool align_check;
};

static inline struct mmu_priv *mmu_priv(const struct cpu *cpu)
{
	return (struct mmu_priv *)cpu->mmu;
}

/* A tag that no address with this index can match. */
static inline uint32_t invalid_tag(unsigned index)
{
	return (index ^ 1) << 12;
}

/* The A20 gate masks bit 20 of whatever goes to memory. */
static inline uint64_t a20(const struct cpu *cpu, uint64_t gpa)
{
	return gpa & (cpu->a20_mask | ~0xffffffffull);
}

static inline void dirty_set(struct mmu_priv *m, uint32_t ram_page)
{
	m->dirty[ram_page / 64] |= 1ull << (ram_page % 64);
}

/* ---- phys.c ---- */

/* Where an access to a physical page goes. */
struct target {
	enum mem_kind read_kind, write_kind;
	uint8_t *read, *write; /* host page; ROM is never written through it */
	uint32_t read_page, write_page;
	bool apic;
};

/* gpa: A20 applied. */
struct target target_find(const struct cpu *cpu, uint64_t gpa);
/* An access within one page, of any kind of memory; A20 applied. size 1, 2, 4 or 8. */
uint64_t phys_access_read(struct cpu *cpu, uint64_t gpa, unsigned size);
void phys_access_write(struct cpu *cpu, uint64_t gpa, unsigned size, uint64_t val);

/* ---- walk.c ---- */

/*
 * Translates lin for an access (PF_W, PF_U, PF_I); raises #PF. Sets accessed bits, and the dirty
 * bit for a write, only if the access succeeds.
 */
struct xlate walk_access(struct cpu *cpu, uint32_t lin, uint32_t access);

/* ---- mmu.c ---- */

/* Where the physical map leads has changed: fast tags and code pages are void, translations stay.
 */
void tlb_map_changed(struct cpu *cpu);

#endif
