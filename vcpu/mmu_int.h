/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What mmu.c, walk.c and phys.c share. */
#ifndef DEJAVM_MMU_INT_H
#define DEJAVM_MMU_INT_H

#include "mmu.h"
#include "window.h"

/*
 * A translation of a page, as the guest can notice it. It is valid while gen is the present
 * generation of its kind, mmu_priv.gen[global]: a flush raises that. 0 is never valid.
 */
struct xlate {
	uint32_t gen;
	uint32_t gpa_page : 24; /* A20 applied */
	uint32_t flags : 8;	/* XLATE_* */
};

#define XLATE_GLOBAL 0x01u
#define XLATE_WRITE  0x02u /* writes are allowed, and the dirty bit is set */
#define XLATE_LARGE  0x04u

#define CODE_TLB_SIZE 256u

/*
 * Slots of the inline tables that may hold something: whatever is not listed is zero. Slot: index
 * of the read entry in mmu.fast. A slot may be listed twice.
 */
#define JOURNAL_LEN (1u << 20)
struct journal {
	uint32_t n;
	uint32_t slot[JOURNAL_LEN];
};

/* A range of guest-physical pages, with host addresses instead of offsets. */
struct region {
	uint32_t first, last; /* pages */
	uint8_t read_kind, write_kind;
	uint8_t *read, *write; /* host address of the first page */
	uint32_t read_page, write_page;
};

/* Mapped, and sparse: only what is touched of the large arrays costs memory. */
struct mmu_priv {
	struct mmu pub; /* first: mem.h finds it by cpu->mmu */
	/* By user and linear page: translations of data accesses, and of instruction fetches. */
	struct xlate data[2][TLB_PAGES], fetch[2][TLB_PAGES];
	struct journal journal[2]; /* [1]: slots of global translations */
	struct code_page code[2][CODE_TLB_SIZE];
	uint32_t gen[2], gen_last;	/* [1]: of global translations; all different */
	uint64_t large_seen[1024 / 64]; /* 4 MiB regions with XLATE_LARGE entries */
	struct region region[MEMMAP_MAX_ENTRIES];
	unsigned n_regions, last_region;
	uint8_t *ram;
	const uint8_t *rom;
	size_t ram_len, rom_len;
	uint64_t *dirty; /* a bit for each RAM page */
	uint64_t *kept;	 /* the same: within mmu_take_dirty(), pages that writes still go fast to */
	size_t dirty_words;
	/* For each RAM page: slot + 1 of the only write entry that may lead to it; 0: there is
	 * none; RMAP_MANY. */
	uint32_t *rmap;
	uint8_t *codemap;
	size_t codemap_len;
	struct mmu_stats stats;
	/* What the present contents of the arrays were made for. */
	uint32_t cr0, cr4, efer, a20_mask;
	uint32_t dr7, dr[4];
	uint64_t apic_base;
	bool align_check;
	mmu_write_fn *observer; /* NULL: nobody observes */
	mmu_learn_fn *learn_observer;
	/* window.h; NULL: there are none */
	struct windows *windows;
	struct window *window[2]; /* [user] */
};

#define RMAP_MANY 0xffffffffu

static inline struct mmu_priv *mmu_priv(const struct cpu *cpu)
{
	return (struct mmu_priv *)cpu->mmu;
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

/* What an address means to an access; entries seen on the way. */
struct walk {
	uint64_t gpa; /* of the page; A20 applied */
	uint64_t dir_gpa,
		leaf_gpa; /* where the entries lie; dir_gpa 0 if the directory entry is the leaf */
	uint32_t dir, leaf; /* low halves */
	bool user, writable, nx, large;
	bool may_write; /* at the access's privilege */
	uint32_t err;	/* of the page fault, if there is one */
};

/* Looks lin up for an access (PF_W, PF_U, PF_I). False: it faults, with ret->err. Changes nothing.
 */
bool walk_try(struct cpu *cpu, uint32_t lin, uint32_t access, struct walk *ret);
/* Would that change code that is known, in a page that holds the tables? */
bool walk_changes_code(const struct cpu *cpu, uint32_t access, const struct walk *w);
/* The access that walk_try() allowed is made: sets accessed and dirty bits. gen is left out. */
struct xlate walk_commit(struct cpu *cpu, uint32_t access, const struct walk *w);
/* Both; raises #PF. */
struct xlate walk_access(struct cpu *cpu, uint32_t lin, uint32_t access);

/* ---- tlb.c ---- */

static inline bool xlate_valid(const struct mmu_priv *m, const struct xlate *x)
{
	return x->gen == m->gen[x->flags & XLATE_GLOBAL];
}

static inline uint64_t xlate_gpa(const struct xlate *x)
{
	return (uint64_t)x->gpa_page << 12;
}

static inline uint32_t tlb_slot(uint32_t lin, bool user)
{
	return (uint32_t)user << (TLB_STRIDE_SHIFT + 1) | lin >> 12;
}

/* x, fresh from a walk, becomes the translation of lin's page. */
/* What xlate_set_data() has replaced. */
void xlate_put_back(struct mmu_priv *m, uint32_t lin, bool user, struct xlate old);
void xlate_set_data(struct mmu_priv *m, uint32_t lin, bool user, struct xlate x);
void xlate_set_fetch(struct mmu_priv *m, uint32_t lin, bool user, struct xlate x);
/* No translation of any kind is valid any more (keep_global: of those that are not global). */
void xlate_flush(struct mmu_priv *m, bool keep_global);
/*
 * Drops lin's translations and, if they are of a large page, what is known of that. Returns whether
 * code may have been found by one of them: FETCHED_*.
 */
enum fetched { FETCHED_NOT, FETCHED_LOCAL, FETCHED_GLOBAL };
enum fetched xlate_drop(struct mmu_priv *m, uint32_t lin);

/*
 * Sets the inline entries of a valid data translation: host addresses of its page for reads and for
 * writes, NULL: slow path. ram_page: where writes go.
 */
void tlb_set(struct mmu_priv *m, uint32_t slot, bool global, const uint8_t *read,
	const uint8_t *write, uint32_t ram_page);
/* Makes all accesses (all writes, all writes to this page) slow. The guest does not notice.
 * tlb_drop_writes() leaves those that a window shows, and notes their pages in `kept`. */
void tlb_drop_all(struct mmu_priv *m);
void tlb_drop_writes(struct mmu_priv *m);
/* Those to pages in `kept` too; then there are none. */
void tlb_drop_kept(struct mmu_priv *m);
void tlb_drop_writes_to(struct mmu_priv *m, uint32_t ram_page);

/* ---- mmu.c ---- */

/* Where the physical map leads has changed: inline entries and code pages are void, translations
 * stay. */
void tlb_map_changed(struct cpu *cpu);
bool mmu_adopt_mode(struct cpu *cpu);

#endif
