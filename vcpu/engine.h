/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Observers of execution, for -d in_asm and the like. cpu.h has cpu_run(). */
#ifndef DEJAVM_ENGINE_H
#define DEJAVM_ENGINE_H

#include "cpu.h"

struct block;

/* Observers change nothing in the machine. A member may be NULL. */
struct engine_trace {
	/* Before each instruction; for a REP, before each iteration. Slow: makes the engine go step
	 * by step. */
	void (*exec)(void *opaque, struct cpu *cpu, const struct insn *in);
	/* A block of len bytes at linear address lin was decoded. */
	void (*block)(void *opaque, struct cpu *cpu, uint32_t lin, uint32_t len, unsigned n_insns);
	void *opaque;
};

/* trace must live as long as it is set; NULL: none. */
void engine_set_trace(struct cpu *cpu, const struct engine_trace *trace);

#endif
