/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The x86-64 back end's ops with flags. Each does its work on the host's flags, and leaves the
 * recipe that makes them again. Operands that the op destroys are kept in cells first, but only if
 * somebody may ask for the flags.
 */
#include "back_int.h"

#include "log.h"

static unsigned swap_name(unsigned r, unsigned pair)
{
	if (r == pair)
		return pair + IR_AH;
	return r == pair + IR_AH ? pair : r;
}

static void swap_pair(struct xasm *a, unsigned pair)
{
	x_rm(a, 1, 0x86, pair, x_r(X_AH + pair));
}

static bool needs_rex(unsigned r)
{
	return r == IR_MEM || r == IR_T0 || r == IR_T1;
}

struct args args_begin(struct back *k, bool saves)
{
	const struct ir_op *op = k->op;
	struct args s = { op->size, op->dst, op->a, op->b, (op->live_use | op->live_exit) != 0,
		IR_NONE };
	unsigned hi = is_hi_byte(s.dst) ? s.dst : is_hi_byte(s.a) ? s.a : s.b;

	if (s.size != 1 || !is_hi_byte(hi))
		return s;
	if (!saves && !needs_rex(s.dst) && !needs_rex(s.a) && !needs_rex(s.b))
		return s;
	if (s.dst == IR_MEM || s.a == IR_MEM || s.b == IR_MEM)
		mem_touch(k);
	s.swapped = whole_reg(hi);
	s.dst = swap_name(s.dst, s.swapped);
	s.a = swap_name(s.a, s.swapped);
	s.b = swap_name(s.b, s.swapped);
	swap_pair(&k->a, s.swapped);
	return s;
}

void args_end(struct back *k, const struct args *s)
{
	if (s->swapped != IR_NONE)
		swap_pair(&k->a, s->swapped);
}

void load_tmp(struct back *k, unsigned size, unsigned r)
{
	if (r == IR_MEM && size < 4)
		x_rm(&k->a, 4, X_0F | (size == 1 ? 0xb6 : 0xb7), H_TMP, k->h);
	else
		x_mov_r_rm(&k->a, r == IR_MEM ? 4 : size == 1 ? 1 : 4, H_TMP, operand(k, r));
}

/* Keeps H_TMP in a new cell, which is none of `also`. No flags. */
static unsigned keep_tmp(struct back *k, unsigned also)
{
	unsigned slot = slot_alloc(k, also);

	x_mov_rm_r(&k->a, 4, slot_mem(slot), H_TMP);
	return slot;
}

void keep_operand(struct back *k, const struct args *s, unsigned r, unsigned slot)
{
	struct xasm *a = &k->a;

	if (r == IR_MEM) {
		load_tmp(k, s->size, r);
		x_mov_rm_r(a, 4, slot_mem(slot), H_TMP);
	} else if (is_hi_byte(r)) {
		swap_pair(a, whole_reg(r));
		x_mov_rm_r(a, 1, slot_mem(slot), back_reg(whole_reg(r)));
		swap_pair(a, whole_reg(r));
	} else {
		x_mov_rm_r(a, s->size == 1 ? 1 : 4, slot_mem(slot), back_reg(r));
	}
}

enum x_alu alu_code(unsigned op)
{
	switch (op) {
	case IR_ADD: return X_ADD;
	case IR_OR: return X_OR;
	case IR_ADC: return X_ADC;
	case IR_SBB: return X_SBB;
	case IR_AND: return X_AND;
	case IR_SUB: return X_SUB;
	case IR_XOR: return X_XOR;
	default: return X_CMP;
	}
}

static void alu_plain(struct back *k, const struct args *s)
{
	enum x_alu code = alu_code(k->op->op);

	if (s->b == IR_IMM)
		x_alu_rm_i(&k->a, s->size, code, operand(k, s->dst), k->op->imm);
	else if (s->b == IR_MEM)
		x_alu_r_rm(&k->a, s->size, code, back_reg(s->dst), operand(k, IR_MEM));
	else
		x_alu_rm_r(&k->a, s->size, code, operand(k, s->dst), back_reg(s->b));
}

static unsigned recipe_loc(unsigned r)
{
	return r == IR_IMM ? RCP_IMM : r;
}

/* A recipe cannot name temporaries: they do not outlive their instruction. */
static bool is_lasting(unsigned r)
{
	return r == IR_IMM || is_guest(r);
}

static void alu_logic(struct back *k, const struct args *s)
{
	struct xasm *a = &k->a;
	unsigned slot;

	if (!s->keep || is_guest(s->dst)) {
		alu_plain(k, s);
		rcp_set(k, RCP_LOGIC, s->size, k->op->dst, RCP_NO, RCP_NO, 0, IRF_ALL & ~IRF_A);
		return;
	}
	slot = slot_alloc(k, 0);
	load_tmp(k, s->size, s->dst);
	if (s->b == IR_IMM)
		x_alu_rm_i(a, s->size, alu_code(k->op->op), x_r(H_TMP), k->op->imm);
	else
		x_alu_rm_r(a, s->size, alu_code(k->op->op), x_r(H_TMP), back_reg(s->b));
	x_mov_rm_r(a, s->size, operand(k, s->dst), H_TMP);
	x_mov_rm_r(a, 4, slot_mem(slot), H_TMP);
	rcp_set(k, RCP_LOGIC, s->size, RCP_SLOT(slot), RCP_NO, RCP_NO, 0, IRF_ALL & ~IRF_A);
}

/* ADD, SUB: the result and the second operand tell the first one. */
static void alu_sum(struct back *k, const struct args *s)
{
	enum recipe_op r = k->op->op == IR_ADD ? RCP_ADD : RCP_SUB;
	enum x_alu code = alu_code(k->op->op);
	unsigned loc_a = k->op->dst, loc_b = recipe_loc(k->op->b), slots = 0;
	struct xasm *a = &k->a;

	if (!s->keep) {
		alu_plain(k, s);
		rcp_set(k, r, s->size, IR_EAX, IR_EAX, RCP_NO, 0, IRF_ALL);
		return;
	}
	if (s->b == IR_MEM) {
		load_tmp(k, s->size, IR_MEM);
		x_alu_rm_r(a, s->size, code, operand(k, s->dst), H_TMP);
		loc_b = RCP_SLOT(keep_tmp(k, 0));
	} else {
		if (s->b != IR_IMM &&
			(!is_lasting(s->b) || whole_reg(k->op->b) == whole_reg(k->op->dst))) {
			unsigned slot = slot_alloc(k, 0);

			keep_operand(k, s, s->b, slot);
			slots = 1u << slot;
			loc_b = RCP_SLOT(slot);
		}
		if (is_guest(s->dst)) {
			alu_plain(k, s);
		} else {
			load_tmp(k, s->size, s->dst);
			if (s->b == IR_IMM)
				x_alu_rm_i(a, s->size, code, x_r(H_TMP), k->op->imm);
			else
				x_alu_rm_r(a, s->size, code, x_r(H_TMP), back_reg(s->b));
			x_mov_rm_r(a, s->size, operand(k, s->dst), H_TMP);
			loc_a = RCP_SLOT(keep_tmp(k, slots));
		}
	}
	rcp_set(k, r, s->size, loc_a, loc_b, RCP_NO, k->op->imm, IRF_ALL);
}

/* ADC, SBB: both operands are kept, and the result. CF is in the host's flags already. */
static void alu_carry(struct back *k, const struct args *s)
{
	enum recipe_op r = k->op->op == IR_ADC ? RCP_ADC : RCP_SBB;
	unsigned slot_a, slot_b, loc_c = k->op->dst;

	if (!s->keep) {
		alu_plain(k, s);
		rcp_set(k, RCP_ADD, s->size, IR_EAX, IR_EAX, RCP_NO, 0, IRF_ALL);
		return;
	}
	slot_a = slot_alloc(k, 0);
	slot_b = slot_alloc(k, 1u << slot_a);
	keep_operand(k, s, s->a, slot_a);
	if (s->b != IR_IMM)
		keep_operand(k, s, s->b, slot_b);
	alu_plain(k, s);
	if (!is_guest(s->dst)) {
		unsigned slot_c = slot_alloc(k, 1u << slot_a | 1u << slot_b);

		keep_operand(k, s, s->dst, slot_c);
		loc_c = RCP_SLOT(slot_c);
	}
	rcp_set(k, r, s->size, RCP_SLOT(slot_a), s->b == IR_IMM ? RCP_IMM : RCP_SLOT(slot_b), loc_c,
		k->op->imm, IRF_ALL);
}

void emit_alu(struct back *k)
{
	unsigned op = k->op->op;
	bool carry = op == IR_ADC || op == IR_SBB;
	struct args s;

	if (carry)
		flags_to_host(k, IRF_C);
	s = args_begin(k, (k->op->live_use | k->op->live_exit) &&
				  (carry || whole_reg(k->op->dst) == whole_reg(k->op->b)));
	if (carry)
		alu_carry(k, &s);
	else if (op == IR_ADD || op == IR_SUB)
		alu_sum(k, &s);
	else
		alu_logic(k, &s);
	args_end(k, &s);
}

/*
 * A comparison with memory, then a jump: most often nobody asks where it leads for these flags. So
 * the operand goes to its cell where the block is left, or behind the jump, and memory is read once
 * more for it: nothing has changed since.
 */
static bool is_kept_late(const struct back *k, const struct args *s)
{
	const struct ir_op *op = k->op, *end = k->ir->op + k->ir->n_ops;

	return op + 2 < end && op[1].op == IR_INSN && op[2].op == IR_JCC && !op[2].join &&
	       s->swapped == IR_NONE && !is_joined(k, op[1].insn);
}

void emit_keep(struct back *k, const struct keep *keep)
{
	struct xrm h = k->h;

	k->h = keep->h;
	load_tmp(k, keep->size, IR_MEM);
	k->h = h;
	x_mov_rm_r(&k->a, 4, slot_mem(keep->slot), H_TMP);
}

void emit_cmp(struct back *k)
{
	const struct ir_op *op = k->op;
	bool test = op->op == IR_TEST;
	struct args s = args_begin(k, false);
	unsigned loc[2] = { op->a, recipe_loc(op->b) }, r[2] = { s.a, s.b }, slots = 0;
	struct xrm m = k->h;
	struct xasm *a = &k->a;

	for (unsigned i = 0; i < 2; i++) {
		unsigned slot;

		if (!s.keep || is_lasting(r[i]))
			continue;
		slot = slot_alloc(k, slots);
		slots |= 1u << slot;
		loc[i] = RCP_SLOT(slot);
		if (r[i] == IR_MEM && is_kept_late(k, &s)) {
			k->keep = (struct keep){ true, (uint8_t)s.size, (uint8_t)slot, k->h };
			continue;
		}
		keep_operand(k, &s, r[i], slot);
		if (r[i] == IR_MEM)
			m = x_r(H_TMP); /* it has been loaded */
	}
	if (s.b == IR_IMM && test)
		x_test_rm_i(a, s.size, s.a == IR_MEM ? m : operand(k, s.a), op->imm);
	else if (s.b == IR_IMM)
		x_alu_rm_i(a, s.size, X_CMP, s.a == IR_MEM ? m : operand(k, s.a), op->imm);
	else if (test)
		x_test_rm_r(a, s.size, s.a == IR_MEM || s.b == IR_MEM ? m : operand(k, s.b),
			back_reg(s.a == IR_MEM ? s.b : s.a));
	else if (s.a == IR_MEM)
		x_alu_rm_r(a, s.size, X_CMP, m, back_reg(s.b));
	else
		x_alu_r_rm(a, s.size, X_CMP, back_reg(s.a), s.b == IR_MEM ? m : operand(k, s.b));
	rcp_set(k, test ? RCP_TEST : RCP_CMP, s.size, loc[0], loc[1], RCP_NO, op->imm,
		test ? IRF_ALL & ~IRF_A : IRF_ALL);
	args_end(k, &s);
}

static void unary_op(struct back *k, unsigned size, struct xrm rm)
{
	static const struct {
		uint8_t opcode, digit;
	} code[] = {
		[IR_INC - IR_INC] = { 0xfe, 0 },
		[IR_DEC - IR_INC] = { 0xfe, 1 },
		[IR_NEG - IR_INC] = { 0xf6, 3 },
		[IR_NOT - IR_INC] = { 0xf6, 2 },
	};
	unsigned i = k->op->op - IR_INC;

	x_rm(&k->a, size, code[i].opcode + (size != 1), code[i].digit, rm);
}

void emit_unary(struct back *k)
{
	const struct ir_op *op = k->op;
	bool step = op->op == IR_INC || op->op == IR_DEC, not = op->op == IR_NOT;
	unsigned loc = op->dst, valid = IRF_ALL;
	struct xasm *a = &k->a;
	struct args s;

	if (not )
		rcp_clobber(k, op->dst);
	/* CF stays: whoever wants the new flags may want it. */
	if (step && ((op->after_exit | op->after_use) & IRF_C))
		carry_to_cell(k);
	s = args_begin(k, false);
	if (!not &&s.keep && !is_guest(s.dst)) {
		load_tmp(k, s.size, s.dst);
		unary_op(k, s.size, x_r(H_TMP));
		x_mov_rm_r(a, s.size, operand(k, s.dst), H_TMP);
		loc = RCP_SLOT(keep_tmp(k, 0));
	} else {
		unary_op(k, s.size, operand(k, s.dst));
	}
	args_end(k, &s);
	if (not )
		return;
	if (step)
		valid = (IRF_ALL & ~IRF_C) | (k->host_valid & IRF_C);
	if (step && !(op->live_use | op->live_exit)) {
		/* Of the flags, CF at most is wanted. */
		rcp_set(k, RCP_INC, s.size, is_guest(loc) ? loc : IR_EAX, RCP_NO, RCP_NO, 0,
			valid & IRF_C);
		return;
	}
	rcp_set(k,
		op->op == IR_INC   ? RCP_INC
		: op->op == IR_DEC ? RCP_DEC
				   : RCP_NEG,
		s.size, loc, RCP_NO, RCP_NO, 0, valid);
}

/* ---- multiplication ---- */

void emit_mul(struct back *k)
{
	const struct ir_op *op = k->op;
	bool keep = (op->live_use | op->live_exit) != 0;
	unsigned slot_a, slot_b, loc_a = op->a, loc_b = recipe_loc(op->b);
	struct args s = { op->size, op->dst, op->a, op->b, keep, IR_NONE };
	struct xasm *a = &k->a;

	if (op->op != IR_IMUL) {
		x_rm(a, op->size, op->size == 1 ? 0xf6 : 0xf7, op->op == IR_MULX ? 4 : 5,
			operand(k, op->a));
		rcp_set(k, op->op == IR_MULX ? RCP_MULX : RCP_IMULX, op->size, IR_EAX,
			op->size == 1 ? IR_AH : IR_EDX, RCP_NO, 0, IRF_CO);
		return;
	}
	slot_a = slot_alloc(k, 0);
	slot_b = slot_alloc(k, 1u << slot_a);
	if (keep && (!is_lasting(op->a) || op->a == op->dst)) {
		keep_operand(k, &s, op->a, slot_a);
		loc_a = RCP_SLOT(slot_a);
	}
	if (keep && op->b != IR_IMM && (!is_lasting(op->b) || op->b == op->dst)) {
		keep_operand(k, &s, op->b, slot_b);
		loc_b = RCP_SLOT(slot_b);
	}
	if (op->b == IR_IMM) {
		bool small = (uint32_t)(int8_t)op->imm == op->imm;

		x_rm(a, op->size, small ? 0x6b : 0x69, back_reg(op->dst), operand(k, op->a));
		x_imm(a, small ? 1 : op->size, op->imm);
	} else {
		x_rm(a, op->size, X_0F | 0xaf, back_reg(op->dst), operand(k, op->b));
	}
	rcp_set(k, RCP_IMUL, op->size, loc_a, loc_b, RCP_NO, op->imm, IRF_CO);
}

/* ---- bits ---- */

static void bit_op(struct back *k)
{
	const struct ir_op *op = k->op;
	unsigned digit = 4 + (op->op - IR_BT);
	struct xasm *a = &k->a;

	if (op->b == IR_IMM) {
		x_rm(a, op->size, X_0F | 0xba, digit, operand(k, op->a));
		x_u8(a, op->imm & (op->size * 8u - 1));
	} else {
		x_rm(a, op->size, X_0F | 0x83 | digit << 3, back_reg(op->b), operand(k, op->a));
	}
}

static void scan_op(struct back *k)
{
	const struct ir_op *op = k->op;
	bool keep = (op->live_use | op->live_exit) != 0;
	struct args s = { 4, op->dst, op->a, op->b, keep, IR_NONE };
	unsigned loc = op->a;
	struct xasm *a = &k->a;

	if (keep && (!is_guest(op->a) || op->a == op->dst)) {
		unsigned slot = slot_alloc(k, 0);

		keep_operand(k, &s, op->a, slot);
		loc = RCP_SLOT(slot);
	}
	x_rm(a, 4, X_0F | (op->op == IR_BSF ? 0xbc : 0xbd), H_TMP, operand(k, op->a));
	x_rm(a, 4, X_0F | 0x40 | X_NE, back_reg(op->dst), x_r(H_TMP));
	rcp_set(k, RCP_LOGIC, 4, loc, RCP_NO, RCP_NO, 0, IRF_Z);
}

void emit_bit(struct back *k)
{
	const struct ir_op *op = k->op;
	unsigned after = op->after_use | op->after_exit;

	if (op->op == IR_BSF || op->op == IR_BSR) {
		scan_op(k);
		return;
	}
	if (after & ~IRF_C)
		flags_to_cc(k);
	bit_op(k);
	if (after & IRF_C) {
		x_rm(&k->a, 1, X_0F | 0x90 | X_B, 0, CPU_MEM(fl_c));
		rcp_set(k, RCP_BT, 4, RCP_NO, RCP_NO, RCP_NO, 0, IRF_C);
	} else {
		k->host_valid = 0;
	}
}

void emit_carry(struct back *k)
{
	const struct ir_op *op = k->op;
	unsigned after = op->after_use | op->after_exit;
	struct xasm *a = &k->a;

	if (op->op == IR_CMC)
		carry_to_cell(k);
	if (after & ~IRF_C) {
		uint8_t cell = k->cell_valid;

		flags_to_cc(k);
		k->cell_valid = cell;
	}
	if (op->op == IR_CMC)
		x_alu_rm_i(a, 1, X_XOR, CPU_MEM(fl_c), 1);
	else
		x_mov_rm_i(a, 1, CPU_MEM(fl_c), op->op == IR_STC);
	rcp_set(k, RCP_BT, 4, RCP_NO, RCP_NO, RCP_NO, 0, 0);
}

void emit_setcc(struct back *k)
{
	const struct ir_op *op = k->op;
	struct args s;

	flags_to_host(k, ir_cond_flags(op->cond));
	rcp_clobber(k, op->dst);
	s = args_begin(k, false);
	x_rm(&k->a, 1, X_0F | 0x90 | op->cond, 0, operand(k, s.dst));
	args_end(k, &s);
}

void emit_cmov(struct back *k)
{
	const struct ir_op *op = k->op;

	flags_to_host(k, ir_cond_flags(op->cond));
	rcp_clobber(k, op->dst);
	x_rm(&k->a, op->size, X_0F | 0x40 | op->cond, back_reg(op->dst), operand(k, op->a));
}
