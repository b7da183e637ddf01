/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Paging and guest-physical memory (SDM vol. 3, ch. 4): what other parts than instruction handlers
 * need. Handlers use mem.h; cpu.h has mmu_flush() and friends.
 */
#ifndef DEJAVM_MMU_H
#define DEJAVM_MMU_H

#include "mem.h"
#include "segments.h"

#define PF_P	0x01u
#define PF_W	0x02u
#define PF_U	0x04u
#define PF_RSVD 0x08u
#define PF_I	0x10u

/* cpu_new() and cpu_free() only. */
struct mmu *mmu_new(void);
void mmu_free(struct mmu *mmu);
/* As new, but for the physical map and the code map; there is no code. For cpu_renew(). */
void mmu_renew(struct cpu *cpu);

/*
 * The physical map: copied, after validation. -EINVAL: not sorted, overlapping, or an offset that
 * lies outside ram or rom; the old map stays. ram_len and rom_len in bytes, whole pages. ram and
 * rom must live as long as the cpu. To be called at a boundary or while a bus request is answered.
 */
int mmu_set_map(struct cpu *cpu, const struct memmap_page *map, uint8_t *ram, size_t ram_len,
	const uint8_t *rom, size_t rom_len);

/*
 * A bit for each RAM page that holds decoded code, bit 0 of byte 0 first. Without this call a
 * private one is used. len in bytes; pages beyond it are not told.
 */
void mmu_set_codemap(struct cpu *cpu, uint8_t *codemap, size_t len);

/*
 * RAM pages that may have been written since the last call, in order; then forgets them. fn says
 * whether a page is another than the last time: which of them the guest is busy with (pages that a
 * window shows for writing are told each time, until they have not changed).
 */
typedef bool mmu_dirty_fn(void *opaque, uint32_t ram_page);
void mmu_take_dirty(struct cpu *cpu, mmu_dirty_fn *fn, void *opaque);
void mmu_mark_dirty(struct cpu *cpu, uint32_t ram_page); /* by DMA */
void mmu_mark_dirty_all(struct cpu *cpu);

/* Guest-physical access by the processor itself (page tables). MMIO reads as ones, devices are not
 * asked. */
uint32_t phys_read32(struct cpu *cpu, uint64_t gpa);
uint64_t phys_read64(struct cpu *cpu, uint64_t gpa);
void phys_write32(struct cpu *cpu, uint64_t gpa, uint32_t val);

/*
 * Translation for people (debuggers, traces): no fault, no accessed bits, no TLB. False: not
 * mapped.
 */
bool mmu_peek(struct cpu *cpu, uint32_t lin, uint64_t *ret_gpa);
/* Copies what lies at lin, as far as it is mapped RAM or ROM; returns how much. */
size_t mmu_peek_bytes(struct cpu *cpu, uint32_t lin, void *buf, size_t len);

struct mmu_stats {
	uint64_t walks;	     /* of the page tables, by data accesses and by fetches */
	uint64_t fills;	     /* inline entries set */
	uint64_t flushes;    /* of all that is not global, or of all */
	uint64_t drops;	     /* inline entries cleared by them */
	uint64_t rmap_scans; /* a page with code was writable at more than one address */
};
const struct mmu_stats *mmu_stats(const struct cpu *cpu);

/*
 * From now on no write goes by the inline tables, and `write` is told of each one to RAM by an
 * instruction, before it is done: host address, bytes; of accessed and dirty bits, too. `learn` is
 * told before mmu_try_host() makes a translation of a page, which mmu_unlearn(), with the same
 * arguments, takes back: the TLB is as it was. Both NULL: no more. For checks; slow.
 */
typedef void mmu_write_fn(struct cpu *cpu, uint8_t *host, unsigned size);
typedef void mmu_learn_fn(struct cpu *cpu, uint32_t lin, bool user, uint64_t old);
void mmu_observe(struct cpu *cpu, mmu_write_fn *write, mmu_learn_fn *learn);
void mmu_unlearn(struct cpu *cpu, uint32_t lin, bool user, uint64_t old);

/* ---- for the engine ---- */

/* A page from which code is fetched. */
struct code_page {
	uint32_t lin;	     /* page */
	uint32_t gen;	     /* of its translation; 0: void */
	uint32_t id;	     /* identity of the memory: CODE_PAGE_* */
	const uint8_t *host; /* NULL: MMIO; fetch byte by byte with mmu_fetch_byte() */
	bool global;	     /* survives a CR3 load */
};
#define CODE_PAGE_ROM  0x40000000u /* or'ed to a page number of the ROM segment */
#define CODE_PAGE_MMIO 0x80000000u
#define CODE_PAGE_NONE 0xffffffffu

/* Translates for an instruction fetch at lin; raises #PF. Valid until the next flush. */
const struct code_page *mmu_code(struct cpu *cpu, uint32_t lin);
/* The same if it is known already, so that nothing happens; else NULL. */
const struct code_page *mmu_code_known(struct cpu *cpu, uint32_t lin);
uint8_t mmu_fetch_byte(struct cpu *cpu, uint32_t lin);
/* Data accesses to this RAM page must go through mmu_write() from now on (or: may go fast again).
 */
void mmu_code_page_added(struct cpu *cpu, uint32_t ram_page);
void mmu_code_page_removed(struct cpu *cpu, uint32_t ram_page);
/* Follows EFLAGS.AC, CR0.AM, debug registers and the local APIC's base, after whatever may have
 * changed them. Cheap when nothing has. */
void mmu_sync(struct cpu *cpu);

#endif
