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

/* Where the guest's registers and status word are. */
enum fpu_place {
	FPU_HOME,    /* here */
	FPU_LIVE,    /* in the host's x87 (fpu_live.c); cw and the pointers are here */
	FPU_LIVE_C1, /* so, but for C1, which is set */
};

struct fpu {
	struct f80 reg[8]; /* physical registers: the MMX registers are their significands */
	uint8_t live;	   /* enum fpu_place */
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

/*
 * The FPU lies behind the CPU, at a fixed distance, so that translated code needs one pointer for
 * both.
 */
#define CPU_ALIGN      64u
#define CPU_FPU_OFFSET ((sizeof(struct cpu) + CPU_ALIGN - 1) / CPU_ALIGN * CPU_ALIGN)
#define CPU_ALLOC_LEN \
	((CPU_FPU_OFFSET + sizeof(struct fpu) + CPU_ALIGN - 1) / CPU_ALIGN * CPU_ALIGN)

static inline struct fpu *cpu_fpu(struct cpu *cpu)
{
	return (struct fpu *)((char *)cpu + CPU_FPU_OFFSET);
}

/* Level of FERR#: an unmasked exception is pending and CR0.NE is clear. The board makes IRQ 13 of
 * it. */
bool fpu_ferr(const struct cpu *cpu);
/* IGNNE#: while asserted, pending exceptions do not stop waiting instructions (with CR0.NE clear).
 */
void fpu_set_ignne(struct cpu *cpu, bool level);
/* A pending unmasked exception is met by an instruction that waits for it: raises #MF or, with
 * CR0.NE clear, true: the processor stands still, do nothing. */
bool fpu_wait_pending(struct cpu *cpu);
/* Status word with TOP; full tag word (SDM vol. 1, 8.1.7). */
uint16_t fpu_status(const struct fpu *f);
uint16_t fpu_tags(const struct fpu *f);
/* Loads: derived state follows. */
void fpu_set_cw(struct fpu *f, uint16_t cw);
void fpu_set_status(struct fpu *f, uint16_t sw);

/* Brings the state home from the host's x87: before any of it is read or written. */
void fpu_leave(struct fpu *f);
static inline void fpu_park(struct fpu *f)
{
	if (__builtin_expect(f->live != FPU_HOME, 0))
		fpu_leave(f);
}
/* Sends home whoever is in this thread's x87, before its registers are used as MMX's. */
void fpu_vacate(void);
/* After CR0 was written: a live FPU is one that may be used, so that translated code looks at
 * `live` alone. */
static inline void fpu_gate(struct cpu *cpu)
{
	if (cpu->cr0 & (CR0_EM | CR0_TS))
		fpu_park(cpu->fpu);
}
/*
 * Brings the state to the host's x87, if that may execute the next instruction: false if CR0 or an
 * exception that is not masked forbids it. sets_c1: the instruction determines C1, whatever it was.
 */
bool fpu_enter(struct cpu *cpu, bool sets_c1);
/* What a translator may emit as the same instruction of the host while `live` is FPU_LIVE. Memory
 * operands have *ret_size bytes (2, 4, 8, 10). */
enum fpu_form {
	FPU_FORM_NONE, /* the handler has to do it */
	FPU_FORM_REG,
	FPU_FORM_READ,
	FPU_FORM_WRITE,
	FPU_FORM_COMI, /* C1 is to be cleared before */
	FPU_FORM_CMOV, /* C1 is to be cleared afterwards */
	FPU_FORM_FREE, /* as well */
	FPU_FORM_CALL, /* fpu_trans() */
	/* These do not count for FIP and its kin. */
	FPU_FORM_LDCW,
	FPU_FORM_STCW,
	FPU_FORM_STSW, /* to memory or AX */
};
enum fpu_form fpu_form(uint8_t op, uint8_t modrm, unsigned *ret_size);
static inline bool fpu_form_writes(enum fpu_form form)
{
	return form == FPU_FORM_WRITE || form == FPU_FORM_STCW || form == FPU_FORM_STSW;
}
static inline bool fpu_form_is_noted(enum fpu_form form)
{
	return form < FPU_FORM_LDCW;
}
/*
 * A transcendental (D9 F0 to FF) on the state in the host's x87. False: nothing has happened, its
 * handler has to do it. FIP and FOP are the caller's.
 */
bool fpu_trans(struct cpu *cpu, unsigned modrm);
/* Before the memory goes. */
void fpu_done(struct fpu *f);

#endif
