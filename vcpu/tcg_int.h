/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the translator's engine share: tcg.c (the loop), tcg_find.c (blocks),
 * tcg_mode.c (modes), tcg_dump.c (texts for people), check.c (lock step). */
#ifndef DEJAVM_TCG_INT_H
#define DEJAVM_TCG_INT_H

#include <stdio.h>

#include "check.h"
#include "engine_int.h"
#include "tcache.h"
#include "tcg.h"

/* Numbers of code segments that are not flat: 1..n. */
#define CODE_SEG_HASH (2 * (KEY_CS_MAX + 1))
struct code_segs {
	uint32_t base[KEY_CS_MAX + 1], limit[KEY_CS_MAX + 1];
	uint16_t hash[CODE_SEG_HASH]; /* 0: free */
	unsigned n;
	uint16_t last; /* that was asked for; 0: none */
};

struct tcg {
	struct tcg_config config;
	struct tcg_stats stats;
	unsigned key;	      /* of the run */
	unsigned returns_key; /* of what is on the back end's stack of returns */
	bool counting;	      /* a run has begun, at run_icount; it may have ended by a fault */
	uint64_t run_icount;
	bool leave; /* the instruction just stepped may have changed the mode */
	/* By privilege, what the jump cache's tags cannot hold: high bits of their generation, and
	 * which of the two it is. */
	uint32_t gen_epoch[2];
	uint64_t random;
	/* Beside cpu->jump_cache: the blocks, and their pages' identities. */
	struct tb *jump_tb[1u << JUMP_CACHE_BITS];
	uint32_t jump_page[1u << JUMP_CACHE_BITS];
	struct code_segs code_segs;
	struct ir_block ir;
	FILE *perf;
	struct check *check; /* NULL: no checks */
	bool checking;
};

/* ---- tcg.c ---- */
/* Runs tb once, cpu->tcg_end being set; then cpu is at a boundary as the interpreter would have it,
 * but for what tcg_exit still asks for: see tcg_settle(). */
void tcg_enter(struct cpu *cpu, struct tb *tb);
/* After tcg_enter(): computes eip, icount and flags from the exit. */
void tcg_settle(struct cpu *cpu);
unsigned tcg_exit_kind(const struct cpu *cpu);
void *tcg_exit_record(const struct cpu *cpu);

/* ---- tcg_find.c ---- */
/* Of code at eip. */
static inline uint32_t tcg_code_lin(const struct cpu *cpu, uint32_t eip)
{
	return cpu->seg[SEG_CS].base + eip;
}
/* Whatever was found under another TLB or in another mode is not found from now on. */
void tcg_sync_generations(struct cpu *cpu);
/* May blocks of the page be in the jump cache? */
bool tcg_may_cache(const struct cpu *cpu, const struct code_page *c);
/* tb, which lies in page c, goes into the jump cache, if it may. */
void tcg_cache(struct cpu *cpu, struct tb *tb, const struct code_page *c);
/* The block at eip, in page c, is in the jump cache now; false: there is none. What a flush of the
 * TLB has made void there is likely to be it. */
bool tcg_find_in(struct cpu *cpu, uint32_t eip, const struct code_page *c);
/* The block at cpu->eip, NULL if there is none. May raise, as any fetch. */
struct tb *tcg_find(struct cpu *cpu);

/* ---- tcg_mode.c ---- */
/* False: all is the interpreter's. */
bool tcg_mode_is_translatable(const struct cpu *cpu);
/* Of the CPU's mode alone: without KEY_WINDOW. May flush the code cache. */
unsigned tcg_key_now(struct cpu *cpu);
/* What the front end is to know of key, which is of the CPU as it is. */
struct ir_mode tcg_mode(const struct cpu *cpu, unsigned key);

/* ---- tcg_dump.c ---- */
void tcg_dump_block(struct cpu *cpu, const struct ir_block *ir, const struct tb *tb);
/* Whatever -d asks for: to be called with the means of check.c as well. */
void tcg_print_block(struct cpu *cpu, const struct ir_block *ir, const struct tb *tb, unsigned what,
	void (*line)(void *opaque, const char *text), void *opaque);
#define TCG_PRINT_GUEST 1u
#define TCG_PRINT_IR	2u
#define TCG_PRINT_HOST	4u
FILE *tcg_perf_open(void);
void tcg_perf_block(FILE *f, const struct tcache_mem *mem, const struct tb *tb);

#endif
