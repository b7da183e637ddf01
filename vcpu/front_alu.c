/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rules for arithmetic, logic, shifts and bits (SDM vol. 2). A read-modify-write asks for write
 * access first: a fault is one of a write then, as in the interpreter.
 */
#include "front_int.h"

static bool keeps_result(const struct front_rule *r)
{
	return r->op != IR_CMP && r->op != IR_TEST && r->op != IR_BT;
}

bool front_alu_rm_r(struct front *f, const struct insn *in, const struct front_rule *r)
{
	unsigned size = in->opsize, rm;
	bool keep = keeps_result(r);

	rm = front_rm(f, in, size, keep);
	front_op(f, r->op, size, keep ? rm : IR_NONE, rm, front_reg(size, in->reg));
	return true;
}

bool front_alu_r_rm(struct front *f, const struct insn *in, const struct front_rule *r)
{
	unsigned size = in->opsize, rm, reg = front_reg(size, in->reg);

	rm = front_rm(f, in, size, false);
	front_op(f, r->op, size, keeps_result(r) ? reg : IR_NONE, reg, rm);
	return true;
}

bool front_alu_rm_i(struct front *f, const struct insn *in, const struct front_rule *r)
{
	unsigned size = in->opsize, rm;
	bool keep = keeps_result(r);

	rm = front_rm(f, in, size, keep);
	front_op_imm(f, r->op, size, keep ? rm : IR_NONE, rm, in->imm);
	return true;
}

bool front_unary(struct front *f, const struct insn *in, const struct front_rule *r)
{
	unsigned rm;

	rm = front_rm(f, in, in->opsize, true);
	front_op(f, r->op, in->opsize, rm, rm, IR_NONE);
	return true;
}

/* A count that is surely 0 changes nothing, but memory must be writable nevertheless. */
bool front_shift(struct front *f, const struct insn *in, const struct front_rule *r)
{
	unsigned size = in->opsize, rm, n = r->arg == COUNT_ONE ? 1 : in->imm & 31;

	rm = front_rm(f, in, size, true);
	if (r->arg == COUNT_CL && rm == IR_CH) /* a back end may have to exchange it with CL */
		return false;
	if (r->arg == COUNT_CL)
		front_op(f, r->op, size, rm, rm, IR_ECX);
	else if (n)
		front_op_imm(f, r->op, size, rm, rm, n);
	return true;
}

bool front_double_shift(struct front *f, const struct insn *in, const struct front_rule *r)
{
	unsigned rm, n = in->imm & 31;

	if (in->opsize != 4)
		return false;
	rm = front_rm(f, in, 4, true);
	if (r->arg == COUNT_CL)
		front_op(f, r->op, 4, rm, in->reg, IR_ECX);
	else if (n)
		front_op_imm(f, r->op, 4, rm, in->reg, n);
	return true;
}

/* BT and friends with their offset in a register, which may reach beyond the memory operand. */
static bool bit_string(struct front *f, const struct insn *in, const struct front_rule *r)
{
	unsigned base = in->base == REG_NONE ? IR_NONE : in->base;
	struct front_at at = { .seg = in->seg, .base = IR_T0, .index = IR_NONE, .disp = in->disp };
	bool keep = keeps_result(r);
	struct ir_op *op;

	if (in->opsize != 4 || in->addrsize != 4)
		return false;
	if (in->index != REG_NONE) {
		op = front_op(f, IR_LEA, 4, IR_T1, base, in->index);
		op->scale = in->scale;
		base = IR_T1;
	}
	front_op(f, IR_BTADDR, 4, IR_T0, base, in->reg);
	front_host_at(f, at, 4, keep);
	front_op(f, IR_MOV, 4, IR_T1, IR_MEM, IR_NONE);
	if (!keep) {
		front_op(f, IR_BT, 4, IR_NONE, IR_T1, in->reg);
		return true;
	}
	/* The flag comes after the store, which may leave. */
	front_op(f, IR_MOV, 4, IR_T0, IR_T1, IR_NONE);
	front_op(f, r->op, 4, IR_T1, IR_T1, in->reg);
	front_op(f, IR_MOV, 4, IR_MEM, IR_T1, IR_NONE);
	front_op(f, IR_BT, 4, IR_NONE, IR_T0, in->reg);
	return true;
}

bool front_bit(struct front *f, const struct insn *in, const struct front_rule *r)
{
	unsigned size = in->opsize, rm;
	bool keep = keeps_result(r);

	if (in->mem && r->arg == BIT_REG)
		return bit_string(f, in, r);
	rm = front_rm(f, in, size, keep);
	if (r->arg == BIT_REG)
		front_op(f, r->op, size, keep ? rm : IR_NONE, rm, in->reg);
	else
		front_op_imm(f, r->op, size, keep ? rm : IR_NONE, rm, in->imm & (size * 8 - 1));
	return true;
}

bool front_scan(struct front *f, const struct insn *in, const struct front_rule *r)
{
	unsigned rm;

	if (in->opsize != 4)
		return false;
	rm = front_rm(f, in, 4, false);
	front_op(f, r->op, 4, in->reg, rm, IR_NONE);
	return true;
}

bool front_imul(struct front *f, const struct insn *in, const struct front_rule *r)
{
	unsigned rm;

	rm = front_rm(f, in, in->opsize, false);
	front_op(f, IR_IMUL, in->opsize, in->reg, in->reg, rm);
	return true;
}

bool front_imul_i(struct front *f, const struct insn *in, const struct front_rule *r)
{
	unsigned rm;

	rm = front_rm(f, in, in->opsize, false);
	front_op_imm(f, IR_IMUL, in->opsize, in->reg, rm, in->imm);
	return true;
}

bool front_accu(struct front *f, const struct insn *in, const struct front_rule *r)
{
	unsigned rm = front_rm(f, in, in->opsize, false);

	front_op(f, r->op, in->opsize, IR_NONE, rm, IR_NONE);
	return true;
}

/* The same register twice: the sum stays. */
bool front_xadd(struct front *f, const struct insn *in, const struct front_rule *r)
{
	unsigned size = in->opsize, reg = front_reg(size, in->reg), rm;

	rm = front_rm(f, in, size, true);
	front_op(f, IR_MOV, size, IR_T0, rm, IR_NONE);
	front_op(f, IR_ADD, size, rm, rm, reg);
	if (rm != reg)
		front_op(f, IR_MOV, size, reg, IR_T0, IR_NONE);
	return true;
}

/*
 * Words and doublewords. In memory there is a store either way, of the old value if it was not
 * equal.
 */
bool front_cmpxchg(struct front *f, const struct insn *in, const struct front_rule *r)
{
	enum { Z = 4, NZ = 5 };
	unsigned size = in->opsize, rm;

	rm = front_rm(f, in, size, true);
	front_op(f, IR_MOV, size, IR_T0, rm, IR_NONE);
	if (in->mem)
		front_op(f, IR_MOV, size, IR_T1, in->reg, IR_NONE);
	front_op(f, IR_CMP, size, IR_NONE, IR_EAX, IR_T0);
	if (in->mem) {
		front_op(f, IR_CMOV, size, IR_T1, IR_T0, IR_NONE)->cond = NZ;
		front_op(f, IR_MOV, size, IR_MEM, IR_T1, IR_NONE);
	} else {
		front_op(f, IR_CMOV, size, rm, in->reg, IR_NONE)->cond = Z;
	}
	front_op(f, IR_CMOV, size, IR_EAX, IR_T0, IR_NONE)->cond = NZ;
	return true;
}
