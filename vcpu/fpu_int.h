/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside the FPU: the register stack, the exception flags, and the handlers that the tables of
 * fpu.c name.
 */
#ifndef DEJAVM_FPU_INT_H
#define DEJAVM_FPU_INT_H

#include "fpu.h"

/* What a handler gets: the operand in memory has been addressed, not read. */
struct fpu_op {
	struct cpu *cpu;
	struct fpu *f;
	const struct insn *in;
	uint32_t ea; /* offset of the memory operand */
	uint8_t reg; /* ModRM.reg */
	uint8_t rm;  /* ModRM.rm: stack register */
	uint8_t arg; /* the table's */
};

typedef void (*fpu_fn)(struct fpu_op *op);

static inline unsigned fpu_phys(const struct fpu *f, unsigned i)
{
	return (f->top + i) & 7;
}
static inline struct f80 fpu_st(const struct fpu *f, unsigned i)
{
	return f->reg[fpu_phys(f, i)];
}
static inline bool fpu_is_empty(const struct fpu *f, unsigned i)
{
	return f->empty >> fpu_phys(f, i) & 1;
}
static inline void fpu_set_st(struct fpu *f, unsigned i, struct f80 v)
{
	unsigned p = fpu_phys(f, i);

	f->reg[p] = v;
	f->empty &= (uint8_t) ~(1u << p);
}
static inline void fpu_pop(struct fpu *f)
{
	f->empty |= (uint8_t)(1u << f->top);
	f->top = (f->top + 1) & 7;
}
/* Pushes v, whatever was there. */
static inline void fpu_push(struct fpu *f, struct f80 v)
{
	f->top = (f->top - 1) & 7;
	fpu_set_st(f, 0, v);
}
static inline struct f80_env *fpu_env(struct fpu *f)
{
	f->env.flags = 0;
	return &f->env;
}

#define FPU_UNDERFLOW (SW_IE | SW_SF)
#define FPU_OVERFLOW  (SW_IE | SW_SF | SW_C1)
/* Unmasked, these leave the destination alone (SDM vol. 1, 4.9.2) ... */
#define FPU_PRE (SW_IE | SW_DE | SW_ZE)
/* ... and these too, when it is in memory. */
#define FPU_PRE_MEM (FPU_PRE | SW_OE | SW_UE)

/* Is one of `flags` that is in `kinds` not masked? */
static inline bool fpu_unmasked(const struct fpu *f, unsigned flags, unsigned kinds)
{
	return (flags & ~f->cw & kinds & SW_EXCPS) != 0;
}
/* The instruction's flags go to the status word, C1 among them. True if the (register) result may
 * be stored. */
static inline bool fpu_commit(struct fpu *f, unsigned flags)
{
	f->sw = (uint16_t)((f->sw & ~SW_C1) | flags);
	if (__builtin_expect(!fpu_unmasked(f, flags, SW_EXCPS), 1))
		return true;
	f->sw |= SW_ES | SW_B;
	return !fpu_unmasked(f, flags, FPU_PRE);
}
/* FIP, FDP and FOP: by every non-control instruction, once nothing can fault any more. */
static inline void fpu_note(struct fpu_op *op)
{
	struct fpu *f = op->f;
	const struct insn *in = op->in;

	f->fop = (uint16_t)((in->imm2 & 7u) << 8 | in->modrm);
	f->fip = op->cpu->eip;
	f->fcs = op->cpu->seg[SEG_CS].sel;
	if (in->mem) {
		f->fdp = op->ea;
		f->fds = op->cpu->seg[in->seg].sel;
	}
}

/* Formats of memory operands: arg of the handlers below. */
enum fpu_fmt { FMT_M32, FMT_M64, FMT_M80, FMT_I16, FMT_I32, FMT_I64, FMT_BCD };

/* fpu_load.c */
struct f80 fpu_fetch(struct fpu_op *op, enum fpu_fmt fmt); /* flags in env: DE */
void fpu_op_load(struct fpu_op *op);			   /* FLD, FILD, FBLD; arg: format */
void fpu_op_store(struct fpu_op *op);			   /* FST, FIST; arg: format */
void fpu_op_store_pop(struct fpu_op *op);		   /* FSTP, FISTP, FBSTP */
void fpu_op_fisttp(struct fpu_op *op);			   /* arg: format */
void fpu_op_fld_st(struct fpu_op *op);
void fpu_op_fst_st(struct fpu_op *op); /* arg: pop; 2: FSTP1 */
void fpu_op_const(struct fpu_op *op);  /* rm: which */
void fpu_op_fxch(struct fpu_op *op);
void fpu_op_fcmov(struct fpu_op *op); /* arg: condition */

/* fpu_control.c */
void fpu_op_fldcw(struct fpu_op *op);
void fpu_op_fnstcw(struct fpu_op *op);
void fpu_op_fnstsw(struct fpu_op *op);
void fpu_op_fnstsw_ax(struct fpu_op *op);
void fpu_op_fldenv(struct fpu_op *op);
void fpu_op_fnstenv(struct fpu_op *op);
void fpu_op_frstor(struct fpu_op *op);
void fpu_op_fnsave(struct fpu_op *op);
void fpu_op_fnclex(struct fpu_op *op);
void fpu_op_fninit(struct fpu_op *op);
void fpu_op_fnop(struct fpu_op *op);
void fpu_op_ffree(struct fpu_op *op); /* arg: pop */
void fpu_op_fstp(struct fpu_op *op);  /* F6 FDECSTP, F7 FINCSTP */

/* fpu_alu.c */
void fpu_op_arith_st0(struct fpu_op *op); /* ST0 op ST(i) -> ST0; reg: operation */
void fpu_op_arith_sti(struct fpu_op *op); /* ST0 op ST(i) -> ST(i); arg: pop */
void fpu_op_arith_mem(struct fpu_op *op); /* ST0 op memory -> ST0; arg: format */
void fpu_op_com_mem(struct fpu_op *op);	  /* arg: format | FPU_COM_POP */
void fpu_op_com(struct fpu_op *op);	  /* arg: FPU_COM_* */
void fpu_op_comi(struct fpu_op *op);	  /* arg: FPU_COM_* */
void fpu_op_d9_sign(struct fpu_op *op);	  /* D9 E0..E7 */
void fpu_op_d9_f0(struct fpu_op *op);	  /* D9 F0..FF but FDECSTP, FINCSTP */

#define FPU_COM_POP   0x10
#define FPU_COM_POP2  0x20
#define FPU_COM_QUIET 0x40

#endif
