/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the translator's engine share: tcg.c (the loop), tcg_dump.c (texts for people),
 * check.c (lock step). */
#ifndef DEJAVM_TCG_INT_H
#define DEJAVM_TCG_INT_H

#include <stdio.h>

#include "check.h"
#include "engine_int.h"
#include "tcache.h"
#include "tcg.h"

struct tcg {
	struct tcg_config config;
	struct tcg_stats stats;
	unsigned key;  /* of the run */
	bool counting; /* a run has begun, at run_icount; it may have ended by a fault */
	uint64_t run_icount;
	bool leave; /* the instruction just stepped may have changed the mode */
	/* By privilege, what the jump cache's tags cannot hold: high bits of their generation, and
	 * which of the two it is. */
	uint32_t gen_epoch[2];
	uint64_t random;
	/* Beside cpu->jump_cache: the blocks, and their pages' identities. */
	struct tb *jump_tb[1u << JUMP_CACHE_BITS];
	uint32_t jump_page[1u << JUMP_CACHE_BITS];
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
/* segs of front_translate() in a mode. */
unsigned tcg_segs(unsigned key);
unsigned tcg_exit_kind(const struct cpu *cpu);
void *tcg_exit_record(const struct cpu *cpu);

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
