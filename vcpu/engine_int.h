/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the interpreter's loop (engine.c) and the translator's (tcg.c) share. */
#ifndef DEJAVM_ENGINE_INT_H
#define DEJAVM_ENGINE_INT_H

#include "engine.h"
#include "icache.h"

enum engine_stop {
	ENGINE_END,  /* icount is at (or, by a REP, beyond) the end */
	ENGINE_LOOK, /* something is to be looked at, or the mode may have changed */
	ENGINE_HOT,  /* at a block that is worth a translation: icache->hot */
};

/* The boundary at which run() wants to have a look whatever happens. */
static inline uint64_t engine_end(const struct cpu *cpu)
{
	return cpu->run_limit < cpu->stop_icount ? cpu->run_limit : cpu->stop_icount;
}

/* Makes anew what code may rely on as long as nothing marked E_SYNC runs. */
static inline void engine_mode(struct cpu *cpu)
{
	cpu->run_key = icache_key(cpu);
	cpu->run_tlb = cpu->mmu->fast + (cpu->cpl == 3 ? 2 * TLB_STRIDE : 0);
}

/*
 * At a boundary: whatever has come up is taken; what code may rely on (run_key and so on) is made
 * anew. True: now code may run, up to engine_end(). Else run() goes on, which does the same again.
 */
bool engine_look(struct cpu *cpu);

/* Interprets from cs:eip; end > cpu->icount. The second form counts how often blocks are executed.
 * May raise. */
enum engine_stop engine_run_blocks(struct cpu *cpu, uint64_t end);
enum engine_stop engine_run_cold(struct cpu *cpu, uint64_t end);

/* Finishes an instruction whose handler has returned; in is the last of its block, or alone. */
static inline void engine_retire(struct cpu *cpu, const struct insn *in, enum block_end end)
{
	if (end != BLOCK_END_JUMP && !cpu->rep_again)
		cpu->eip += in->len;
	cpu->icount++;
	if (cpu->rep_again)
		cpu->rep_icount = cpu->icount;
	cpu->rep_again = false;
}

#endif
