/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rules for near transfers of control (SDM vol. 2). Those with a 16-bit operand cut EIP. Targets
 * beyond the limit of the code segment are the interpreter's, which raises.
 */
#include "front_int.h"

static struct ir_op *edge(struct front *f, unsigned opcode, unsigned size, uint32_t target)
{
	struct ir_op *op = front_op(f, opcode, size, IR_NONE, IR_NONE, IR_NONE);

	op->imm = target;
	return op;
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

/* Where a relative jump goes. False: beyond the limit. */
static bool target_of(const struct front *f, const struct insn *in, uint32_t *ret)
{
	*ret = f->next + in->imm;
	if (in->opsize == 2)
		*ret &= 0xffff;
	return *ret <= f->mode->cs_limit;
}

/* Leaves if the target in reg, which has size bytes, is beyond the limit. */
static void check_target(struct front *f, unsigned reg, unsigned size)
{
	if (f->mode->cs_limit < (size == 2 ? 0xffff : UINT32_MAX))
		front_op(f, IR_LIMIT, 4, IR_NONE, reg, IR_NONE)->imm = f->mode->cs_limit;
}

bool front_jcc(struct front *f, const struct insn *in, const struct front_rule *r)
{
	uint32_t target;

	if (!target_of(f, in, &target))
		return false;
	edge(f, IR_JCC, 0, target)->cond = r->arg;
	return true;
}

/* The counter is ECX or CX by address size. */
static void count_down(struct front *f, const struct insn *in)
{
	front_op(f, IR_LEA, in->addrsize, IR_ECX, IR_ECX, IR_NONE)->imm = (uint32_t)-1;
}

bool front_loop(struct front *f, const struct insn *in, const struct front_rule *r)
{
	uint32_t target;

	if (!target_of(f, in, &target))
		return false;
	count_down(f, in);
	edge(f, IR_JNZR, in->addrsize, target);
	return true;
}

/* LOOPE, LOOPNE: out if the counter is 0 now, else by the condition. */
bool front_loop_cc(struct front *f, const struct insn *in, const struct front_rule *r)
{
	uint32_t target;

	if (!target_of(f, in, &target))
		return false;
	count_down(f, in);
	edge(f, IR_JZR, in->addrsize, f->next);
	edge(f, IR_JCC, 0, target)->cond = r->arg;
	return true;
}

bool front_jcxz(struct front *f, const struct insn *in, const struct front_rule *r)
{
	uint32_t target;

	if (!target_of(f, in, &target))
		return false;
	edge(f, IR_JZR, in->addrsize, target);
	return true;
}

bool front_jmp(struct front *f, const struct insn *in, const struct front_rule *r)
{
	uint32_t target;

	if (!target_of(f, in, &target))
		return false;
	jump(f, target, IR_JUMP);
	return true;
}

/* The operand as a register of 32 bits. */
static unsigned target_operand(struct front *f, const struct insn *in, bool keep)
{
	unsigned rm = front_rm(f, in, in->opsize, false);

	if (in->mem || in->opsize == 2 || (keep && rm == IR_ESP)) {
		front_op(f, IR_MOV, in->opsize, IR_T0, rm, IR_NONE);
		rm = IR_T0;
	}
	check_target(f, rm, in->opsize);
	return rm;
}

bool front_jmp_rm(struct front *f, const struct insn *in, const struct front_rule *r)
{
	jump_reg(f, target_operand(f, in, false), IR_JUMP);
	return true;
}

static void push_next(struct front *f, unsigned size)
{
	front_stack(f, IR_ESP, -size, size, true);
	front_op(f, IR_MOV, size, IR_MEM, IR_IMM, IR_NONE)->imm = front_imm(size, f->next);
	front_set_sp(f, IR_ESP, -size);
}

bool front_call(struct front *f, const struct insn *in, const struct front_rule *r)
{
	uint32_t target;

	if (!target_of(f, in, &target))
		return false;
	push_next(f, in->opsize);
	jump(f, target, IR_CALL);
	return true;
}

/* CALL ESP goes to where ESP was. */
bool front_call_rm(struct front *f, const struct insn *in, const struct front_rule *r)
{
	unsigned rm = target_operand(f, in, true);

	push_next(f, in->opsize);
	jump_reg(f, rm, IR_CALL);
	return true;
}

bool front_ret(struct front *f, const struct insn *in, const struct front_rule *r)
{
	unsigned size = in->opsize;

	front_stack(f, IR_ESP, 0, size, false);
	front_op(f, IR_MOV, size, IR_T0, IR_MEM, IR_NONE);
	check_target(f, IR_T0, size);
	front_set_sp(f, IR_ESP, size + in->imm);
	jump_reg(f, IR_T0, IR_RET);
	return true;
}
