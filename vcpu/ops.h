/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Declares every handler that a row of insn.def names. */
#ifndef DEJAVM_OPS_H
#define DEJAVM_OPS_H

#include "cpu.h"

#define V(family)			       extern const insn_fn ops_##family[6]
#define S(fn)				       void fn(struct cpu *cpu, const struct insn *in)
#define OP1(op, n, name, enc, handler, param)  handler;
#define OP2(op, n, name, enc, handler, param)  handler;
#define GRP(g, reg, name, enc, handler, param) handler;
#include "insn.def"
#undef V
#undef S

#endif
