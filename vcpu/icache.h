/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Decoded code: basic blocks, found by the identity of the memory that they were decoded from (not
 * by linear address: a block survives TLB flushes and is shared by its aliases) and by mode key.
 *
 * Blocks live in an arena that is emptied as a whole when it is full. A block that was written to
 * is dead: it is no longer found, its key matches nothing, but its memory stays until then, so that
 * the engine can finish the instruction it is in.
 */
#ifndef DEJAVM_ICACHE_H
#define DEJAVM_ICACHE_H

#include "cpu.h"
#include "mmu.h"

#define BLOCK_MAX_INSNS 48

/* Mode keys: what decoding and fetch permission depend on. */
#define KEY_CODE32 1u /* == DECODE_CODE32 */
#define KEY_FLAT   2u /* == DECODE_FLAT: DS, ES, SS flat, readable, writable; SS.B */
#define KEY_USER   4u
#define KEY_DEAD   0xffu

enum block_end {
	BLOCK_END_NEXT, /* goes on at the next instruction */
	BLOCK_END_JUMP, /* the last instruction sets eip */
	BLOCK_END_REP,	/* the last instruction may repeat */
};

struct block;

/*
 * Where a block went on to last time. Valid while lin matches, gen is one of the present
 * generations (their values are never used again), and the target's key matches.
 */
struct block_link {
	uint32_t lin;
	uint32_t gen;
	struct block *to;
};

struct block {
	struct block_link link[2];
	uint8_t key;
	uint8_t end;	   /* enum block_end */
	bool sync;	   /* mode may have changed: the engine must look at everything */
	uint8_t link_next; /* link[] to be replaced next */
	uint8_t n;	   /* instructions */
	uint16_t len;	   /* bytes */
	uint32_t page;	   /* CODE_PAGE_* identity of the first byte */
	uint32_t off;	   /* of the first byte in the page */
	int32_t heat;	   /* executions until it is worth a translation (tcg.c) */
	uint32_t page2; /* if its only instruction goes on in another page: identity of that; else
			   CODE_PAGE_NONE */
	struct block *hash_next;
	struct block *page_next[2]; /* other blocks of page and page2 */
	struct insn insn[];
};

/* The translator's jump cache has a generation in its tags modulo this: 0 is of no entry. */
#define ICACHE_GEN_TAG 4096u

/* The part that the engine's loop needs; the rest is in icache.c. */
struct icache {
	uint32_t gen[2];    /* generations of links; [1]: to global pages; not multiples of
			       ICACHE_GEN_TAG */
	uint32_t found_gen; /* of the block that icache_lookup() gave last; 0: it must not be linked
			       to */
	int32_t heat;	    /* of new blocks */
	struct block *hot;  /* where engine_run_cold() stopped */
	uint32_t epoch; /* the arena was emptied so many times: older block pointers are invalid */
	struct icache_stats {
		uint64_t blocks, insns, lookups, invalidated, writes_to_code, arena_flushes,
			unlinks;
	} stats;
	/* Observers (engine.h); NULL: none. */
	const struct engine_trace *trace;
};

#define ICACHE_ARENA_LEN (48u << 20)

/* arena_len in bytes, at least 64 KiB. */
struct icache *icache_new(size_t arena_len);
void icache_free(struct icache *ic);
/* As new, and the translator's code cache with it; observers and heat stay. For cpu_renew(). */
void icache_renew(struct cpu *cpu);

static inline bool segment_is_open(const struct segment *s)
{
	return s->flat && s->rd_ok && s->wr_ok;
}

/* Mode key of the CPU as it is. */
static inline uint8_t icache_key(const struct cpu *cpu)
{
	bool flat = cpu->stack32 && segment_is_open(&cpu->seg[SEG_DS]) &&
		    segment_is_open(&cpu->seg[SEG_ES]) && segment_is_open(&cpu->seg[SEG_SS]);

	return (uint8_t)((cpu->code32 ? KEY_CODE32 : 0) | (flat ? KEY_FLAT : 0) |
			 (cpu->cpl == 3 ? KEY_USER : 0));
}

/* The functions below that decode want cpu->run_key to be set. */

/* The block at cs:eip == lin, decoded now if need be; NULL: it cannot be cached (MMIO, CS limit,
 * too long): step. May raise #PF. */
struct block *icache_lookup(struct cpu *cpu, uint32_t lin);
/* Decodes the instruction at cs:eip, exact to the byte in its faults (#PF; #GP at the CS limit or
 * beyond 15 bytes). */
void icache_fetch_one(struct cpu *cpu, struct insn *ret);
enum block_end icache_insn_end(const struct insn *in);

/* All links between blocks through non-global pages (or all) are void: the TLB was flushed. */
void icache_unlink(struct cpu *cpu, bool global_too);
/* len bytes at off of this RAM page are about to be, or have been, written. */
void icache_write(struct cpu *cpu, uint32_t ram_page, uint32_t off, uint32_t len);
/*
 * The books of which parts of RAM pages hold code, decoded or translated: a bit for each 64 bytes.
 * Blocks of the translator (tcache.c) tell when they come, and ask for a count when they go.
 */
#define ICACHE_CHUNK_SIZE 64u
/* Bits for bytes off .. off + len - 1 of a page; len > 0. */
static inline uint64_t icache_chunk_mask(uint32_t off, uint32_t len)
{
	uint32_t first = off / ICACHE_CHUNK_SIZE, last = (off + len - 1) / ICACHE_CHUNK_SIZE;

	return (~0ull >> (63 - last)) & (~0ull << first);
}
void icache_code_added(struct cpu *cpu, uint32_t ram_page, uint32_t off, uint32_t len);
void icache_page_recount(struct cpu *cpu, uint32_t ram_page);
bool icache_page_has_code(const struct cpu *cpu, uint32_t ram_page);
/* The whole page was written, by DMA. */
void icache_invalidate_page(struct cpu *cpu, uint32_t ram_page);
/* Everything is dead; memory is given back at the next lookup. */
void icache_flush(struct cpu *cpu);

#endif
