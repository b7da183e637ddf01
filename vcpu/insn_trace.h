/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Trace points of the engine: vcpu_in_asm (each block when it is decoded), vcpu_exec (each
 * instruction; slow). */
#ifndef DEJAVM_INSN_TRACE_H
#define DEJAVM_INSN_TRACE_H

struct cpu;

/* Observes the engine if -trace names one of the points. To be called once, before the CPU runs. */
void insn_trace_start(struct cpu *cpu);

#endif
