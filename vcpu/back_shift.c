/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The x86-64 back end's shifts and rotates, which may shift by 0 and then leave the flags alone. */
#include "back_int.h"

#include "log.h"

static bool is_double(unsigned op)
{
	return op == IR_SHLD || op == IR_SHRD;
}

static void shift_op(struct back *k, const struct args *s, struct xrm rm)
{
	static const uint8_t code[] = { X_SHL, X_SHR, X_SAR, X_ROL, X_ROR };
	const struct ir_op *op = k->op;
	struct xasm *a = &k->a;

	if (is_double(op->op)) {
		unsigned opcode = op->op == IR_SHLD ? 0xa4 : 0xac;

		x_rm(a, 4, X_0F | (opcode + (op->b != IR_IMM)), back_reg(s->a), rm);
		if (op->b == IR_IMM)
			x_u8(a, op->imm);
	} else if (op->b == IR_IMM) {
		x_shift_i(a, s->size, code[op->op - IR_SHL], rm, op->imm);
	} else {
		x_shift_cl(a, s->size, code[op->op - IR_SHL], rm);
	}
}

/* Which of the host's flags are ours after a shift: docs/undefined.md. */
static unsigned shift_valid(const struct ir_op *op)
{
	unsigned valid = IRF_C | IRF_P | IRF_Z | IRF_S;

	if (op->op == IR_ROL || op->op == IR_ROR)
		valid = IRF_C;
	if (op->b != IR_IMM)
		return op->size == 4 ? valid : valid & ~IRF_C;
	if (op->imm == 1)
		return is_double(op->op) ? valid : valid | IRF_O;
	return op->imm >= op->size * 8u ? valid & ~IRF_C : valid;
}

static enum recipe_op shift_recipe(unsigned op)
{
	switch (op) {
	case IR_SHL: return RCP_SHL;
	case IR_SHR: return RCP_SHR;
	case IR_SAR: return RCP_SAR;
	case IR_ROL: return RCP_ROL;
	case IR_ROR: return RCP_ROR;
	case IR_SHLD: return RCP_SHLD;
	default: return RCP_SHRD;
	}
}

/* Nobody asks for its flags, nor (if the count may be 0) for those before it. */
static void shift_quiet(struct back *k)
{
	const struct ir_op *op = k->op;
	struct args s = args_begin(k, false);

	if (op->size == 4 && op->b == IR_ECX && is_guest(op->dst) && k->bmi2 && op->op <= IR_SAR) {
		static const uint8_t code[] = { X_SHLX, X_SHRX, X_SARX };

		x_shiftx(&k->a, code[op->op - IR_SHL], back_reg(op->dst), back_reg(op->dst), X_RCX);
		return;
	}
	shift_op(k, &s, operand(k, s.dst));
	args_end(k, &s);
	k->host_valid = 0;
}

/*
 * By CL: a count of 0 changes no flag. Then, out of line, the flags as they were go to cpu->cc,
 * where the recipe of this shift finds them.
 */
static void shift_by_cl(struct back *k)
{
	const struct ir_op *op = k->op;
	unsigned slot_a = slot_alloc(k, 0), slot_b = slot_alloc(k, 1u << slot_a), loc_c = RCP_NO;
	unsigned valid = shift_valid(op), loc_a = RCP_SLOT(slot_a);
	struct xasm *a = &k->a;
	struct cold *c;
	struct args s;

	x_test_rm_i(a, 1, x_r(X_RCX), 31);
	c = cold_add(k, COLD_SHIFT, x_jcc(a, X_E));
	if (!c)
		return;
	if (k->rcp.op == RCP_ENTRY)
		k->entry_used = true;
	c->id = k->rcp.op == RCP_CC ? 0 : rcp_store(k);
	c->is_cc = k->rcp.op == RCP_CC;
	c->back = a->p;
	/* From here on both ways do the same. */
	x_mov_rm_r(a, 4, slot_mem(slot_b), X_RCX);
	s = args_begin(k, false); /* not with CL in the place of CH */
	if (op->op == IR_ROL || op->op == IR_ROR)
		slot_a = 0; /* by the result */
	else
		keep_operand(k, &s, s.dst, slot_a);
	if (is_double(op->op)) {
		unsigned slot_c = slot_alloc(k, 1u << slot_a | 1u << slot_b);

		keep_operand(k, &s, s.a, slot_c);
		loc_c = RCP_SLOT(slot_c);
	}
	if (!is_guest(s.dst)) {
		load_tmp(k, s.size, s.dst);
		shift_op(k, &s, x_r(H_TMP));
		x_mov_rm_r(a, s.size, operand(k, s.dst), H_TMP);
	} else {
		shift_op(k, &s, operand(k, s.dst));
	}
	if (op->op == IR_ROL || op->op == IR_ROR) {
		unsigned slot = slot_alloc(k, 1u << slot_b);

		keep_operand(k, &s, s.dst, slot);
		loc_a = RCP_SLOT(slot);
	}
	args_end(k, &s);
	rcp_set(k, shift_recipe(op->op), s.size, loc_a, RCP_SLOT(slot_b), loc_c, 0, valid);
}

/* Can an op that leaves some flags go on top of the recipe? */
static bool takes_over(const struct back *k)
{
	switch (k->rcp.op) {
	case RCP_CC:
	case RCP_ENTRY:
	case RCP_INC:
	case RCP_DEC:
	case RCP_BT:
	case RCP_ROL:
	case RCP_ROR:
	case RCP_SAHF: return false;
	default: return true;
	}
}

static void set_over(struct back *k, enum recipe_op op, unsigned size, unsigned a)
{
	k->rcp.over = (uint8_t)op;
	k->rcp.over_a = (uint8_t)a;
	k->rcp.over_size = (uint8_t)size;
	k->rcp_id = 0;
	k->exit = NULL;
	k->cell_valid = false;
}

/*
 * A rotate leaves all flags but two as they were: the recipe of those stays, with the rotate on
 * top. False: it cannot.
 */
static bool rotate_on_top(struct back *k)
{
	const struct ir_op *op = k->op;
	struct args s = { op->size, op->dst, op->a, op->b, true, IR_NONE };

	if (!takes_over(k) || k->rcp.over == RCP_SAHF || op->dst > IR_EDI)
		return false;
	k->rcp.over = 0;
	rcp_clobber(k, op->dst);
	shift_op(k, &s, operand(k, op->dst));
	set_over(k, shift_recipe(op->op), op->size, op->dst);
	k->host_valid = (uint8_t)((k->host_valid & ~IRF_CO) | shift_valid(op));
	return true;
}

void emit_shift(struct back *k)
{
	const struct ir_op *op = k->op;
	bool rotate = op->op == IR_ROL || op->op == IR_ROR;
	unsigned after = op->after_use | op->after_exit, slot_a, loc_a, loc_c = RCP_NO;
	struct xasm *a = &k->a;
	struct args s;

	if (!(op->live_use | op->live_exit)) {
		rcp_clobber(k, op->dst);
		shift_quiet(k);
		return;
	}
	if (op->b == IR_ECX) {
		/* shifting ECX itself by CL: the recipe takes what it needs before */
		if (rotate && k->rcp.op != RCP_CC && (after & ~(unsigned)IRF_CO))
			flags_to_cc(k);
		shift_by_cl(k);
		return;
	}
	if (rotate && (after & ~(unsigned)IRF_CO)) {
		if (rotate_on_top(k))
			return;
		flags_to_cc(k);
	}
	s = args_begin(k, true);
	slot_a = slot_alloc(k, 0);
	loc_a = RCP_SLOT(slot_a);
	if (!rotate)
		keep_operand(k, &s, s.dst, slot_a);
	if (is_double(op->op)) {
		unsigned slot_c = slot_alloc(k, 1u << slot_a);

		keep_operand(k, &s, s.a, slot_c);
		loc_c = RCP_SLOT(slot_c);
	}
	if (!is_guest(s.dst)) {
		load_tmp(k, s.size, s.dst);
		shift_op(k, &s, x_r(H_TMP));
		x_mov_rm_r(a, s.size, operand(k, s.dst), H_TMP);
		if (rotate)
			x_mov_rm_r(a, 4, slot_mem(slot_a), H_TMP);
	} else {
		shift_op(k, &s, operand(k, s.dst));
		if (rotate)
			loc_a = op->dst;
	}
	args_end(k, &s);
	rcp_set(k, shift_recipe(op->op), s.size, loc_a, RCP_IMM, loc_c, op->imm, shift_valid(op));
}

void emit_sahf(struct back *k)
{
	const struct ir_op *op = k->op;
	bool overflow = (op->after_use | op->after_exit) & IRF_O;
	unsigned valid = (k->host_valid & IRF_O) | (IRF_ALL & ~IRF_O);

	if (overflow && takes_over(k) && (!k->rcp.over || k->rcp.over == RCP_SAHF)) {
		set_over(k, RCP_SAHF, 1, op->a);
		k->host_valid = (uint8_t)valid;
	} else {
		if (overflow && k->rcp.op != RCP_CC) {
			flags_to_cc(k);
			valid &= ~IRF_O;
		}
		rcp_set(k, RCP_SAHF, 1, op->a, RCP_NO, RCP_NO, 0, valid);
	}
	x_u8(&k->a, 0x9e);
}
