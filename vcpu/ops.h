/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Declares every handler that a row of insn.def names. */
#ifndef DEJAVM_OPS_H
#define DEJAVM_OPS_H

#include "cpu.h"

/*
 * A family of handlers of one operation, by where the operand is and how wide: FORM_REG, FORM_FLAT
 * (memory, in flat mode: see flat_host()) or FORM_MEM (memory, any mode) + 0, 1, 2 for 8, 16, 32
 * bits.
 */
enum { FORM_REG, FORM_FLAT = 3, FORM_MEM = 6, FORM_COUNT = 9 };

#define V(family)			       extern const insn_fn ops_##family[FORM_COUNT]
#define S(fn)				       void fn(struct cpu *cpu, const struct insn *in)
#define OP1(op, n, name, enc, handler, param)  handler;
#define OP2(op, n, name, enc, handler, param)  handler;
#define GRP(g, reg, name, enc, handler, param) handler;
#include "insn.def"
#undef V
#undef S

#endif
