/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * x87 data transfer (SDM vol. 1, 8.3.3): loads, stores, constants, exchange, conditional moves.
 */
#include "fpu_int.h"
#include "mem.h"
#include "flags.h"

static struct f80 fetch_m80(struct fpu_op *op)
{
	uint8_t b[10];
	struct f80 r;

	seg_read_bytes(op->cpu, op->in->seg, op->ea, b, 10);
	r.m = 0;
	for (int i = 7; i >= 0; i--)
		r.m = r.m << 8 | b[i];
	r.se = (uint16_t)(b[8] | b[9] << 8);
	return r;
}

struct f80 fpu_fetch(struct fpu_op *op, enum fpu_fmt fmt)
{
	struct f80_env *e = &op->f->env;
	enum seg seg = op->in->seg;
	struct cpu *cpu = op->cpu;

	switch (fmt) {
	case FMT_M32: return f80_from_m32(e, seg_read32(cpu, seg, op->ea));
	case FMT_M64: return f80_from_m64(e, seg_read64(cpu, seg, op->ea));
	case FMT_I16: return f80_from_i64((int16_t)seg_read16(cpu, seg, op->ea));
	case FMT_I32: return f80_from_i64((int32_t)seg_read32(cpu, seg, op->ea));
	case FMT_I64: return f80_from_i64((int64_t)seg_read64(cpu, seg, op->ea));
	case FMT_BCD: {
		uint8_t b[10];

		seg_read_bytes(cpu, seg, op->ea, b, 10);
		return f80_from_bcd(b);
	}
	case FMT_M80: break;
	}
	return fetch_m80(op);
}

void fpu_op_load(struct fpu_op *op)
{
	struct fpu *f = op->f;
	struct f80_env *e = fpu_env(f);
	struct f80 v = fpu_fetch(op, op->arg);

	fpu_note(op);
	if (!fpu_is_empty(f, 7)) {
		if (fpu_commit(f, FPU_OVERFLOW))
			fpu_push(f, f80_indefinite());
		return;
	}
	/* m80 is a copy: no exceptions at all */
	if (op->arg <= FMT_M64 && f80_is_snan(v)) {
		e->flags = SW_IE;
		v = f80_quiet(v);
	}
	/* A denormal is loaded even when DE is not masked: nothing of the operand is lost
	 * (docs/x87.md). */
	fpu_commit(f, e->flags);
	if (!fpu_unmasked(f, e->flags, SW_IE))
		fpu_push(f, v);
}

/* Writes ST0 in the given format unless an unmasked exception forbids it. Returns whether it has,
 * which is whether to pop. chop: towards zero, whatever the control word says */
static bool store(struct fpu_op *op, bool chop)
{
	struct fpu *f = op->f;
	struct f80_env env = *fpu_env(f), *e = &env;
	struct f80 x = fpu_st(f, 0);
	uint8_t b[10];
	uint64_t v = 0;
	bool ok;

	if (chop)
		e->rc = RC_ZERO;
	if (fpu_is_empty(f, 0)) {
		/* The indefinite of any format is what the real indefinite converts to. */
		x = f80_indefinite();
		e->flags = FPU_UNDERFLOW;
	}
	switch ((enum fpu_fmt)op->arg) {
	case FMT_M32: v = f80_to_m32(e, x); break;
	case FMT_M64: v = f80_to_m64(e, x); break;
	case FMT_I16: v = (uint64_t)f80_to_int(e, x, 16); break;
	case FMT_I32: v = (uint64_t)f80_to_int(e, x, 32); break;
	case FMT_I64: v = (uint64_t)f80_to_int(e, x, 64); break;
	case FMT_BCD: f80_to_bcd(e, x, b); break;
	case FMT_M80:
		for (int i = 0; i < 8; i++)
			b[i] = (uint8_t)(x.m >> 8 * i);
		b[8] = (uint8_t)x.se;
		b[9] = (uint8_t)(x.se >> 8);
		break;
	}
	if (fpu_is_empty(f, 0))
		e->flags = FPU_UNDERFLOW;
	ok = !fpu_unmasked(f, e->flags, FPU_PRE_MEM);
	if (ok) {
		enum seg seg = op->in->seg;

		switch ((enum fpu_fmt)op->arg) {
		case FMT_I16: seg_write16(op->cpu, seg, op->ea, (uint16_t)v); break;
		case FMT_M32:
		case FMT_I32: seg_write32(op->cpu, seg, op->ea, (uint32_t)v); break;
		case FMT_M64:
		case FMT_I64: seg_write64(op->cpu, seg, op->ea, v); break;
		case FMT_BCD:
		case FMT_M80: seg_write_bytes(op->cpu, seg, op->ea, b, 10); break;
		}
	}
	fpu_note(op);
	fpu_commit(f, e->flags);
	return ok;
}

void fpu_op_store(struct fpu_op *op)
{
	store(op, false);
}

void fpu_op_store_pop(struct fpu_op *op)
{
	if (store(op, false))
		fpu_pop(op->f);
}

void fpu_op_fisttp(struct fpu_op *op)
{
	if (store(op, true))
		fpu_pop(op->f);
}

void fpu_op_fld_st(struct fpu_op *op)
{
	struct fpu *f = op->f;

	fpu_note(op);
	if (fpu_is_empty(f, op->rm)) {
		if (fpu_commit(f, FPU_UNDERFLOW))
			fpu_push(f, f80_indefinite());
	} else if (!fpu_is_empty(f, 7)) {
		if (fpu_commit(f, FPU_OVERFLOW))
			fpu_push(f, f80_indefinite());
	} else {
		struct f80 v = fpu_st(f, op->rm);

		fpu_commit(f, 0);
		fpu_push(f, v);
	}
}

void fpu_op_fst_st(struct fpu_op *op)
{
	struct fpu *f = op->f;

	fpu_note(op);
	if (fpu_is_empty(f, 0) && op->arg == 2) {
		/* FSTP1 never underflows: an empty ST0 is just popped. */
		fpu_commit(f, 0);
	} else if (fpu_is_empty(f, 0)) {
		if (!fpu_commit(f, FPU_UNDERFLOW))
			return;
		fpu_set_st(f, op->rm, f80_indefinite());
	} else {
		fpu_commit(f, 0);
		fpu_set_st(f, op->rm, fpu_st(f, 0));
	}
	if (op->arg)
		fpu_pop(f);
}

void fpu_op_const(struct fpu_op *op)
{
	/* The constant is internally exact: its nearest and its truncated significand, and whether
	 * it lies above the former. */
	static const struct {
		uint16_t se;
		uint64_t near, down, up;
	} consts[7] = {
		{ 0x3fff, F80_J, F80_J, F80_J },
		/* log2 10, log2 e, pi, log10 2, ln 2 */
		{ 0x4000, 0xd49a784bcd1b8afe, 0xd49a784bcd1b8afe, 0xd49a784bcd1b8aff },
		{ 0x3fff, 0xb8aa3b295c17f0bc, 0xb8aa3b295c17f0bb, 0xb8aa3b295c17f0bc },
		{ 0x4000, 0xc90fdaa22168c235, 0xc90fdaa22168c234, 0xc90fdaa22168c235 },
		{ 0x3ffd, 0x9a209a84fbcff799, 0x9a209a84fbcff798, 0x9a209a84fbcff799 },
		{ 0x3ffe, 0xb17217f7d1cf79ac, 0xb17217f7d1cf79ab, 0xb17217f7d1cf79ac },
		{ 0x0000, 0, 0, 0 },
	};
	struct fpu *f = op->f;
	uint64_t m;

	fpu_note(op);
	if (!fpu_is_empty(f, 7)) {
		if (fpu_commit(f, FPU_OVERFLOW))
			fpu_push(f, f80_indefinite());
		return;
	}
	switch (f->env.rc) {
	case RC_NEAREST: m = consts[op->rm].near; break;
	case RC_UP: m = consts[op->rm].up; break;
	default: m = consts[op->rm].down; break;
	}
	fpu_commit(f, 0);
	fpu_push(f, (struct f80){ .m = m, .se = consts[op->rm].se });
}

void fpu_op_fxch(struct fpu_op *op)
{
	struct fpu *f = op->f;
	struct f80 a = fpu_st(f, 0), b = fpu_st(f, op->rm);
	unsigned flags = 0;

	fpu_note(op);
	if (fpu_is_empty(f, 0)) {
		a = f80_indefinite();
		flags = FPU_UNDERFLOW;
	}
	if (fpu_is_empty(f, op->rm)) {
		b = f80_indefinite();
		flags = FPU_UNDERFLOW;
	}
	if (!fpu_commit(f, flags))
		return;
	fpu_set_st(f, op->rm, a);
	fpu_set_st(f, 0, b);
}

void fpu_op_fcmov(struct fpu_op *op)
{
	static const uint32_t bits[4] = { FL_CF, FL_ZF, FL_CF | FL_ZF, FL_PF };
	struct fpu *f = op->f;
	bool set = (flags_get_arith(op->cpu) & bits[op->arg & 3]) != 0;

	fpu_note(op);
	if (fpu_is_empty(f, 0) || fpu_is_empty(f, op->rm)) {
		if (fpu_commit(f, FPU_UNDERFLOW))
			fpu_set_st(f, 0, f80_indefinite());
		return;
	}
	fpu_commit(f, 0);
	if (set != (op->arg >= 4))
		fpu_set_st(f, 0, fpu_st(f, op->rm));
}
