/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rules for near transfers of control (SDM vol. 2). Those with a 16-bit operand cut EIP; they are
 * the interpreter's.
 */
#include "front_int.h"

static void edge(struct front *f, unsigned opcode, unsigned cond, uint32_t target)
{
	struct ir_op *op = front_op(f, opcode, 0, IR_NONE, IR_NONE, IR_NONE);

	op->cond = (uint8_t)cond;
	op->imm = target;
}

static void jump(struct front *f, uint32_t target, enum ir_jump why)
{
	front_op(f, IR_JMP, 0, why, IR_NONE, IR_NONE)->imm = target;
}

/* The target is a register or a temporary. */
static void jump_reg(struct front *f, unsigned reg, enum ir_jump why)
{
	front_op(f, IR_JMPR, 0, why, reg, IR_NONE);
}

bool front_jcc(struct front *f, const struct insn *in, const struct front_rule *r)
{
	if (in->opsize != 4)
		return false;
	edge(f, IR_JCC, r->arg, f->next + in->imm);
	return true;
}

bool front_loop(struct front *f, const struct insn *in, const struct front_rule *r)
{
	if (in->opsize != 4 || in->addrsize != 4)
		return false;
	front_add(f, IR_ECX, IR_ECX, (uint32_t)-1);
	edge(f, IR_JNZR, 0, f->next + in->imm);
	return true;
}

/* LOOPE, LOOPNE: out if ECX is 0 now, else by the condition. */
bool front_loop_cc(struct front *f, const struct insn *in, const struct front_rule *r)
{
	if (in->opsize != 4 || in->addrsize != 4)
		return false;
	front_add(f, IR_ECX, IR_ECX, (uint32_t)-1);
	edge(f, IR_JZR, 0, f->next);
	edge(f, IR_JCC, r->arg, f->next + in->imm);
	return true;
}

bool front_jcxz(struct front *f, const struct insn *in, const struct front_rule *r)
{
	if (in->opsize != 4 || in->addrsize != 4)
		return false;
	edge(f, IR_JZR, 0, f->next + in->imm);
	return true;
}

bool front_jmp(struct front *f, const struct insn *in, const struct front_rule *r)
{
	if (in->opsize != 4)
		return false;
	jump(f, f->next + in->imm, IR_JUMP);
	return true;
}

bool front_jmp_rm(struct front *f, const struct insn *in, const struct front_rule *r)
{
	unsigned rm;

	if (in->opsize != 4 || !front_rm(f, in, 4, false, &rm))
		return false;
	if (in->mem)
		front_op(f, IR_MOV, 4, IR_T0, IR_MEM, IR_NONE);
	jump_reg(f, in->mem ? IR_T0 : rm, IR_JUMP);
	return true;
}

static void push_next(struct front *f)
{
	front_host_at(f, IR_ESP, (uint32_t)-4, 4, true);
	front_op(f, IR_MOV, 4, IR_MEM, IR_IMM, IR_NONE)->imm = f->next;
	front_add(f, IR_ESP, IR_ESP, (uint32_t)-4);
}

bool front_call(struct front *f, const struct insn *in, const struct front_rule *r)
{
	if (in->opsize != 4)
		return false;
	push_next(f);
	jump(f, f->next + in->imm, IR_CALL);
	return true;
}

/* CALL ESP goes to where ESP was. */
bool front_call_rm(struct front *f, const struct insn *in, const struct front_rule *r)
{
	unsigned rm;

	if (in->opsize != 4 || !front_rm(f, in, 4, false, &rm))
		return false;
	if (in->mem || rm == IR_ESP) {
		front_op(f, IR_MOV, 4, IR_T0, rm, IR_NONE);
		rm = IR_T0;
	}
	push_next(f);
	jump_reg(f, rm, IR_CALL);
	return true;
}

bool front_ret(struct front *f, const struct insn *in, const struct front_rule *r)
{
	if (in->opsize != 4)
		return false;
	front_host_at(f, IR_ESP, 0, 4, false);
	front_op(f, IR_MOV, 4, IR_T0, IR_MEM, IR_NONE);
	front_add(f, IR_ESP, IR_ESP, 4 + in->imm);
	jump_reg(f, IR_T0, IR_RET);
	return true;
}
