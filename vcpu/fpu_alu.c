/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * x87 arithmetic, comparison and the one-operand instructions of D9 (SDM vol. 1, 8.3.4 to 8.3.8):
 * the stack's side of them; the numbers are fpu_arith.h's.
 */
#include "fpu_int.h"
#include "sse.h"
#include "flags.h"

static struct f80 arith(struct f80_env *e, unsigned what, struct f80 a, struct f80 b)
{
	switch (what) {
	case 0: return f80_add(e, a, b);
	case 1: return f80_mul(e, a, b);
	case 4: return f80_sub(e, a, b);
	case 5: return f80_sub(e, b, a);
	case 6: return f80_div(e, a, b);
	default: return f80_div(e, b, a);
	}
}

void fpu_op_arith_st0(struct fpu_op *op)
{
	struct fpu *f = op->f;
	struct f80_env *e = fpu_env(f);
	struct f80 r;

	fpu_note(op);
	if (fpu_is_empty(f, 0) || fpu_is_empty(f, op->rm)) {
		e->flags = FPU_UNDERFLOW;
		r = f80_indefinite();
	} else {
		r = arith(e, op->reg, fpu_st(f, 0), fpu_st(f, op->rm));
	}
	if (fpu_commit(f, e->flags))
		fpu_set_st(f, 0, r);
}

void fpu_op_arith_sti(struct fpu_op *op)
{
	struct fpu *f = op->f;
	struct f80_env *e = fpu_env(f);
	struct f80 r;

	fpu_note(op);
	if (fpu_is_empty(f, 0) || fpu_is_empty(f, op->rm)) {
		e->flags = FPU_UNDERFLOW;
		r = f80_indefinite();
	} else {
		/* reg 4 and 6 are FSUBR and FDIVR here: ST0 - ST(i) is what they mean. */
		r = arith(e, op->reg, fpu_st(f, 0), fpu_st(f, op->rm));
	}
	if (!fpu_commit(f, e->flags))
		return;
	fpu_set_st(f, op->rm, r);
	if (op->arg)
		fpu_pop(f);
}

void fpu_op_arith_mem(struct fpu_op *op)
{
	struct fpu *f = op->f;
	struct f80_env *e = fpu_env(f);
	struct f80 b = fpu_fetch(op, op->arg), r;

	fpu_note(op);
	if (fpu_is_empty(f, 0)) {
		e->flags = FPU_UNDERFLOW;
		r = f80_indefinite();
	} else {
		r = arith(e, op->reg, fpu_st(f, 0), b);
	}
	if (fpu_commit(f, e->flags))
		fpu_set_st(f, 0, r);
}

static const uint16_t order_cc[4] = {
	[F80_LT] = SW_C0,
	[F80_EQ] = SW_C3,
	[F80_GT] = 0,
	[F80_UNORDERED] = SW_C0 | SW_C2 | SW_C3,
};

/* An unmasked exception keeps the stack as it was; the condition codes are set all the same
 * (docs/x87.md). */
static void compare_done(struct fpu *f, unsigned flags, enum f80_order o, unsigned how)
{
	bool ok = fpu_commit(f, flags);

	f->sw = (uint16_t)((f->sw & ~(SW_C0 | SW_C2 | SW_C3)) | order_cc[o]);
	if (!ok)
		return;
	if (how & FPU_COM_POP)
		fpu_pop(f);
	if (how & FPU_COM_POP2)
		fpu_pop(f);
}

void fpu_op_com_mem(struct fpu_op *op)
{
	struct fpu *f = op->f;
	struct f80_env *e = fpu_env(f);
	struct f80 b = fpu_fetch(op, op->arg & 15);
	enum f80_order o = F80_UNORDERED;

	fpu_note(op);
	if (fpu_is_empty(f, 0))
		e->flags = FPU_UNDERFLOW;
	else
		o = f80_compare(e, fpu_st(f, 0), b, false);
	compare_done(f, e->flags, o, op->arg);
}

/* ST0 with ST(i) */
static enum f80_order compare_st(struct fpu_op *op)
{
	struct fpu *f = op->f;
	struct f80_env *e = fpu_env(f);

	if (fpu_is_empty(f, 0) || fpu_is_empty(f, op->rm)) {
		e->flags = FPU_UNDERFLOW;
		return F80_UNORDERED;
	}
	return f80_compare(e, fpu_st(f, 0), fpu_st(f, op->rm), op->arg & FPU_COM_QUIET);
}

void fpu_op_com(struct fpu_op *op)
{
	enum f80_order o = compare_st(op);

	fpu_note(op);
	compare_done(op->f, op->f->env.flags, o, op->arg);
}

void fpu_op_comi(struct fpu_op *op)
{
	static const uint32_t fl[4] = {
		[F80_LT] = FL_CF,
		[F80_EQ] = FL_ZF,
		[F80_GT] = 0,
		[F80_UNORDERED] = FL_ZF | FL_PF | FL_CF,
	};
	enum f80_order o = compare_st(op);
	struct fpu *f = op->f;

	fpu_note(op);
	/* As with the others, the flags are set even if the exception is not masked. */
	flags_set_arith(op->cpu, fl[o]);
	if (fpu_commit(f, f->env.flags) && (op->arg & FPU_COM_POP))
		fpu_pop(f);
}

static void fxam(struct fpu *f)
{
	struct f80 x = fpu_st(f, 0);
	unsigned cc;

	if (fpu_is_empty(f, 0))
		cc = SW_C3 | SW_C0;
	else if (f80_is_unsupported(x))
		cc = 0;
	else if (f80_is_nan(x))
		cc = SW_C0;
	else if (f80_is_inf(x))
		cc = SW_C2 | SW_C0;
	else if (f80_is_zero(x))
		cc = SW_C3;
	else if (f80_is_denormal(x))
		cc = SW_C3 | SW_C2;
	else
		cc = SW_C2;
	f->sw = (uint16_t)((f->sw & ~SW_CC) | cc | (f80_neg(x) ? SW_C1 : 0));
}

void fpu_op_d9_sign(struct fpu_op *op)
{
	struct fpu *f = op->f;
	struct f80_env *e = fpu_env(f);
	struct f80 x = fpu_st(f, 0);

	fpu_note(op);
	if (op->rm == 5) {
		fxam(f);
		return;
	}
	if (op->rm == 4) {
		enum f80_order o = F80_UNORDERED;

		if (fpu_is_empty(f, 0))
			e->flags = FPU_UNDERFLOW;
		else
			o = f80_compare(e, x, f80_zero(false), false);
		compare_done(f, e->flags, o, 0);
		return;
	}
	/* FCHS, FABS: of any bits, no NaN matters */
	if (fpu_is_empty(f, 0)) {
		if (fpu_commit(f, FPU_UNDERFLOW))
			fpu_set_st(f, 0, f80_indefinite());
		return;
	}
	fpu_commit(f, 0);
	x.se = op->rm == 0 ? x.se ^ 0x8000 : x.se & 0x7fff;
	fpu_set_st(f, 0, x);
}

/* Two results, the second pushed */
static void finish_push(struct fpu *f, unsigned flags, struct f80 r0, struct f80 r1)
{
	if (!fpu_commit(f, flags))
		return;
	fpu_set_st(f, 0, r0);
	fpu_push(f, r1);
}

static void fxtract(struct fpu *f)
{
	struct f80_env *e = &f->env;
	struct f80 r0 = f80_indefinite(), r1 = r0;

	if (fpu_is_empty(f, 0))
		e->flags = FPU_UNDERFLOW;
	else if (!fpu_is_empty(f, 7))
		e->flags = FPU_OVERFLOW;
	else
		f80_extract(e, fpu_st(f, 0), &r0, &r1);
	finish_push(f, e->flags, r0, r1);
}

/* FPTAN, FSINCOS, FSIN, FCOS: C2 says that the argument is out of range. */
static void trig(struct fpu *f, unsigned which)
{
	struct f80_env *e = &f->env;
	struct f80 x = fpu_st(f, 0), r0 = f80_indefinite(), r1 = r0;
	bool two = which == 2 || which == 11, in_range = true;

	if (fpu_is_empty(f, 0)) {
		e->flags = FPU_UNDERFLOW;
	} else if (two && !fpu_is_empty(f, 7)) {
		e->flags = FPU_OVERFLOW;
	} else {
		switch (which) {
		case 2:
			in_range = f80_tan(e, x, &r0);
			r1 = f80_is_nan(r0) ? r0 : f80_make(false, F80_BIAS, F80_J);
			break;
		case 11: in_range = f80_sincos(e, x, &r0, &r1); break;
		case 14: in_range = f80_sincos(e, x, &r0, NULL); break;
		default: in_range = f80_sincos(e, x, NULL, &r0); break;
		}
	}
	f->sw &= (uint16_t)~SW_C2;
	if (!in_range) {
		fpu_commit(f, 0);
		f->sw |= SW_C2;
	} else if (two) {
		finish_push(f, e->flags, r0, r1);
	} else if (fpu_commit(f, e->flags)) {
		fpu_set_st(f, 0, r0);
	}
}

static void fprem(struct fpu *f, bool nearest)
{
	struct f80_env *e = &f->env;
	struct f80 r = f80_indefinite();
	/* No quotient (an operand is special): C0 and C3 stay, C2 says that nothing is left to do.
	 */
	unsigned cc = f->sw & (SW_C0 | SW_C3);

	if (fpu_is_empty(f, 0) || fpu_is_empty(f, 1))
		e->flags = FPU_UNDERFLOW;
	else
		r = f80_rem(e, fpu_st(f, 0), fpu_st(f, 1), nearest, &cc);
	if (fpu_commit(f, e->flags))
		fpu_set_st(f, 0, r);
	f->sw = (uint16_t)((f->sw & ~(SW_C0 | SW_C2 | SW_C3)) | cc);
}

/* FYL2X, FPATAN, FYL2XP1: ST0 and ST1 to ST1, pop. FSCALE: to ST0. */
static void two_operands(struct fpu *f, unsigned which)
{
	struct f80_env *e = &f->env;
	struct f80 x = fpu_st(f, 0), y = fpu_st(f, 1), r = f80_indefinite();

	if (fpu_is_empty(f, 0) || fpu_is_empty(f, 1)) {
		e->flags = FPU_UNDERFLOW;
	} else {
		switch (which) {
		case 1: r = f80_yl2x(e, x, y); break;
		case 3: r = f80_atan2(e, y, x); break;
		case 9: r = f80_yl2xp1(e, x, y); break;
		default: r = f80_scale(e, x, y); break;
		}
	}
	if (!fpu_commit(f, e->flags))
		return;
	if (which != 13)
		fpu_pop(f);
	fpu_set_st(f, 0, r);
}

static void one_operand(struct fpu *f, unsigned which)
{
	struct f80_env *e = &f->env;
	struct f80 x = fpu_st(f, 0), r = f80_indefinite();

	if (fpu_is_empty(f, 0)) {
		e->flags = FPU_UNDERFLOW;
	} else {
		switch (which) {
		case 0: r = f80_2xm1(e, x); break;
		case 10: r = f80_sqrt(e, x); break;
		default: r = f80_rndint(e, x); break;
		}
	}
	if (fpu_commit(f, e->flags))
		fpu_set_st(f, 0, r);
}

void fpu_op_d9_f0(struct fpu_op *op)
{
	unsigned which = op->in->modrm & 15;
	struct fpu *f = op->f;

	fpu_note(op);
	fpu_env(f);
	switch (which) {
	case 0xa:		   /* FSQRT */
		sse_park(op->cpu); /* f80_sqrt() computes in doubles */
		one_operand(f, which);
		break;
	case 0x0: /* F2XM1 */
	case 0xc: /* FRNDINT */ one_operand(f, which); break;
	case 0x1: /* FYL2X */
	case 0x3: /* FPATAN */
	case 0x9: /* FYL2XP1 */
	case 0xd: /* FSCALE */ two_operands(f, which); break;
	case 0x2: /* FPTAN */
	case 0xb: /* FSINCOS */
	case 0xe: /* FSIN */
	case 0xf: /* FCOS */ trig(f, which); break;
	case 0x4: fxtract(f); break;
	case 0x5: fprem(f, true); break;
	case 0x8: fprem(f, false); break;
	}
}
