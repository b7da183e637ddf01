/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The translator beside the interpreter, block by block: see check.c. */
#ifndef DEJAVM_CHECK_H
#define DEJAVM_CHECK_H

#include "tb.h"

struct check;

struct check *check_new(struct cpu *cpu);
void check_free(struct check *c);
/* Runs tb and then the interpreter from the same state, and compares; ends the process with a
 * report if there is a difference. Afterwards as after tcg_settle(). */
void check_enter(struct cpu *cpu, struct tb *tb);
/* Blocks compared so far. */
uint64_t check_compared(const struct cpu *cpu);

#endif
