/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rules for moves and the stack (SDM vol. 2). ESP changes when all memory has been reached: a push
 * or pop that faults can start anew.
 */
#include "front_int.h"

bool front_nop(struct front *f, const struct insn *in, const struct front_rule *r)
{
	return true;
}

bool front_plain(struct front *f, const struct insn *in, const struct front_rule *r)
{
	front_op(f, r->op, 0, IR_NONE, IR_NONE, IR_NONE);
	return true;
}

bool front_mov_rm_r(struct front *f, const struct insn *in, const struct front_rule *r)
{
	unsigned size = in->opsize, rm;

	rm = front_rm(f, in, size, true);
	front_op(f, IR_MOV, size, rm, front_reg(size, in->reg), IR_NONE);
	return true;
}

bool front_mov_r_rm(struct front *f, const struct insn *in, const struct front_rule *r)
{
	unsigned size = in->opsize, rm;

	rm = front_rm(f, in, size, false);
	front_op(f, IR_MOV, size, front_reg(size, in->reg), rm, IR_NONE);
	return true;
}

static void mov_imm(struct front *f, unsigned size, unsigned dst, uint32_t imm)
{
	front_op(f, IR_MOV, size, dst, IR_IMM, IR_NONE)->imm = front_imm(size, imm);
}

bool front_mov_rm_i(struct front *f, const struct insn *in, const struct front_rule *r)
{
	unsigned rm;

	rm = front_rm(f, in, in->opsize, true);
	mov_imm(f, in->opsize, rm, in->imm);
	return true;
}

bool front_mov_a_moffs(struct front *f, const struct insn *in, const struct front_rule *r)
{
	front_host(f, in, in->opsize, false);
	front_op(f, IR_MOV, in->opsize, IR_EAX, IR_MEM, IR_NONE);
	return true;
}

bool front_mov_moffs_a(struct front *f, const struct insn *in, const struct front_rule *r)
{
	front_host(f, in, in->opsize, true);
	front_op(f, IR_MOV, in->opsize, IR_MEM, IR_EAX, IR_NONE);
	return true;
}

/* arg: bytes of the source */
bool front_extend(struct front *f, const struct insn *in, const struct front_rule *r)
{
	unsigned rm;

	rm = front_rm(f, in, r->arg, false);
	if (r->arg == in->opsize)
		front_op(f, IR_MOV, in->opsize, in->reg, rm, IR_NONE);
	else
		front_op(f, r->op, in->opsize, in->reg, rm, IR_NONE)->cond = r->arg;
	return true;
}

bool front_lea(struct front *f, const struct insn *in, const struct front_rule *r)
{
	unsigned base = in->base == REG_NONE ? IR_NONE : in->base;
	unsigned index = in->index == REG_NONE ? IR_NONE : in->index;
	bool wide = in->opsize == 4 && in->addrsize == 2;
	struct ir_op *op;

	op = front_op(f, IR_LEA, in->opsize, wide ? IR_T0 : in->reg, base, index);
	op->imm = in->disp;
	op->scale = index == IR_NONE ? 0 : in->scale;
	if (wide)
		front_op(f, IR_MOVZX, 4, in->reg, IR_T0, IR_NONE)->cond = 2;
	return true;
}

bool front_xchg(struct front *f, const struct insn *in, const struct front_rule *r)
{
	unsigned size = in->opsize, reg = front_reg(size, in->reg), rm;

	rm = front_rm(f, in, size, true);
	if (in->mem) {
		front_op(f, IR_MOV, size, IR_T0, IR_MEM, IR_NONE);
		front_op(f, IR_MOV, size, IR_MEM, reg, IR_NONE);
		front_op(f, IR_MOV, size, reg, IR_T0, IR_NONE);
	} else if (rm != reg) {
		front_op(f, IR_XCHG, size, rm, reg, IR_NONE);
	}
	return true;
}

/* Of 16 bits: docs/undefined.md. */
bool front_bswap(struct front *f, const struct insn *in, const struct front_rule *r)
{
	if (in->opsize == 4)
		front_op(f, IR_BSWAP, 4, in->reg, in->reg, IR_NONE);
	else
		mov_imm(f, 2, in->reg, 0);
	return true;
}

bool front_cbw(struct front *f, const struct insn *in, const struct front_rule *r)
{
	front_op(f, IR_MOVSX, in->opsize, IR_EAX, IR_EAX, IR_NONE)->cond = in->opsize / 2;
	return true;
}

bool front_cwd(struct front *f, const struct insn *in, const struct front_rule *r)
{
	front_op(f, IR_CDQ, in->opsize, IR_NONE, IR_NONE, IR_NONE);
	return true;
}

bool front_xlat(struct front *f, const struct insn *in, const struct front_rule *r)
{
	struct front_at at = {
		.seg = in->seg, .base = IR_EBX, .index = IR_T0, .cut = in->addrsize == 2
	};

	front_op(f, IR_MOVZX, 4, IR_T0, IR_EAX, IR_NONE)->cond = 1;
	front_host_at(f, at, 1, false);
	front_op(f, IR_MOV, 1, IR_EAX, IR_MEM, IR_NONE);
	return true;
}

bool front_setcc(struct front *f, const struct insn *in, const struct front_rule *r)
{
	unsigned rm;

	rm = front_rm(f, in, 1, true);
	front_op(f, IR_SETCC, 1, rm, IR_NONE, IR_NONE)->cond = r->arg;
	return true;
}

/* Memory is read whether or not the condition holds. */
bool front_cmov(struct front *f, const struct insn *in, const struct front_rule *r)
{
	unsigned rm;

	rm = front_rm(f, in, in->opsize, false);
	front_op(f, IR_CMOV, in->opsize, in->reg, rm, IR_NONE)->cond = r->arg;
	return true;
}

/* ---- stack ---- */

bool front_push_r(struct front *f, const struct insn *in, const struct front_rule *r)
{
	unsigned size = in->opsize;

	front_stack(f, IR_ESP, -size, size, true);
	front_op(f, IR_MOV, size, IR_MEM, in->reg, IR_NONE);
	front_set_sp(f, IR_ESP, -size);
	return true;
}

bool front_push_i(struct front *f, const struct insn *in, const struct front_rule *r)
{
	unsigned size = in->opsize;

	front_stack(f, IR_ESP, -size, size, true);
	mov_imm(f, size, IR_MEM, in->imm);
	front_set_sp(f, IR_ESP, -size);
	return true;
}

bool front_push_rm(struct front *f, const struct insn *in, const struct front_rule *r)
{
	unsigned size = in->opsize, rm;

	rm = front_rm(f, in, size, false);
	if (in->mem)
		front_op(f, IR_MOV, size, IR_T0, IR_MEM, IR_NONE);
	front_stack(f, IR_ESP, -size, size, true);
	front_op(f, IR_MOV, size, IR_MEM, in->mem ? IR_T0 : rm, IR_NONE);
	front_set_sp(f, IR_ESP, -size);
	return true;
}

/* What is popped into ESP stays. */
static void pop_to(struct front *f, unsigned size, unsigned reg)
{
	bool whole = reg == IR_ESP && size == 4, part = reg == IR_ESP && size == 2;

	front_stack(f, IR_ESP, 0, size, false);
	front_op(f, IR_MOV, size, part ? IR_T0 : reg, IR_MEM, IR_NONE);
	if (!whole)
		front_set_sp(f, IR_ESP, size);
	if (part)
		front_op(f, IR_MOV, size, IR_ESP, IR_T0, IR_NONE);
}

bool front_pop_r(struct front *f, const struct insn *in, const struct front_rule *r)
{
	pop_to(f, in->opsize, in->reg);
	return true;
}

/* In memory: the address is computed with ESP already raised (SDM vol. 2, POP). */
bool front_pop_rm(struct front *f, const struct insn *in, const struct front_rule *r)
{
	unsigned size = in->opsize;
	struct insn at = *in;

	if (!in->mem) {
		pop_to(f, size, in->rm);
		return true;
	}
	if (at.base == R_ESP && !f->mode->stack32)
		return false;
	if (at.base == R_ESP)
		at.disp += size;
	front_stack(f, IR_ESP, 0, size, false);
	front_op(f, IR_MOV, size, IR_T0, IR_MEM, IR_NONE);
	front_host(f, &at, size, true);
	front_op(f, IR_MOV, size, IR_MEM, IR_T0, IR_NONE);
	front_set_sp(f, IR_ESP, size);
	return true;
}

bool front_leave(struct front *f, const struct insn *in, const struct front_rule *r)
{
	unsigned size = in->opsize;

	front_stack(f, IR_EBP, 0, size, false);
	front_op(f, IR_MOV, size, IR_T0, IR_MEM, IR_NONE);
	front_set_sp(f, IR_EBP, size);
	front_op(f, IR_MOV, size, IR_EBP, IR_T0, IR_NONE);
	return true;
}
