/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The state of the x87 FPU (SDM vol. 1, 8.1) and what its own files share. The rest of the CPU uses
 * the functions in cpu.h and the few here. What is defined once where the manual leaves it open:
 * docs/x87.md.
 */
#ifndef DEJAVM_FPU_H
#define DEJAVM_FPU_H

#include "cpu.h"
#include "fpu_arith.h"

struct fpu {
	struct f80 reg[8]; /* physical registers: the MMX registers are their significands */
	uint16_t cw;
	uint16_t sw;   /* without TOP */
	uint8_t top;   /* 0..7 */
	uint8_t empty; /* bit for each physical register */
	bool ignne;    /* IGNNE# is asserted (write to port F0 while FERR# is) */
	uint16_t fop;  /* 11 bits */
	uint16_t fcs, fds;
	uint32_t fip, fdp;
	struct f80_env env; /* masks, rc, prec: follow cw by fpu_set_cw() */
};

/* Level of FERR#: an unmasked exception is pending and CR0.NE is clear. The board makes IRQ 13 of
 * it. */
bool fpu_ferr(const struct cpu *cpu);
/* IGNNE#: while asserted, pending exceptions do not stop waiting instructions (with CR0.NE clear).
 */
void fpu_set_ignne(struct cpu *cpu, bool level);
/* Status word with TOP; full tag word (SDM vol. 1, 8.1.7). */
uint16_t fpu_status(const struct fpu *f);
uint16_t fpu_tags(const struct fpu *f);
/* Loads: derived state follows. */
void fpu_set_cw(struct fpu *f, uint16_t cw);
void fpu_set_status(struct fpu *f, uint16_t sw);

#endif
