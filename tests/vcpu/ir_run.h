/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Executes a translated block's intermediate representation in plain C: what a back end has to do,
 * said a second time, for tests. It is as unkind as the contract allows: flags that the annotations
 * call unwanted become garbage at once, and it leaves at any op that may leave when it feels like
 * it.
 */
#ifndef DEJAVM_IR_RUN_H
#define DEJAVM_IR_RUN_H

#include "cpu.h"
#include "ir.h"

struct ir_runner {
	uint32_t (*random)(void);
	unsigned leave_odds;	     /* leaves at one of so many; 0: never without a reason */
	const uint8_t *code;	     /* the block's bytes, in RAM: left as soon as they change */
	uint64_t executed[IR_N_OPS]; /* counters */
};

enum ir_outcome {
	IR_LEFT,    /* the interpreter goes on at cpu->eip */
	IR_JUMPED,  /* cpu->eip is the target of an edge */
	IR_FAULTED, /* the instruction at cpu->eip raised, in its handler */
};

/*
 * Runs b once, from its first op. cpu: gpr, cc, eip, icount (raised by what has retired) as after
 * an exit; run_key, run_tlb, run_limit must be set.
 */
enum ir_outcome ir_run(struct ir_runner *r, struct cpu *cpu, const struct ir_block *b);

#endif
