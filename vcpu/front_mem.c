/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Operands in memory and the stack, in segments of any kind (SDM vol. 1, 3.7.5; vol. 3, ch. 5).
 * What is flat costs nothing; elsewhere the access itself checks limit and rights, and leaves to
 * the interpreter for whatever is not surely allowed.
 */
#include "front_int.h"

void front_add(struct front *f, unsigned dst, unsigned a, uint32_t imm)
{
	front_op(f, IR_LEA, 4, dst, a, IR_NONE)->imm = imm;
}

static bool seg_is_flat(const struct front *f, unsigned seg)
{
	return f->mode->decode & DECODE_FLAT && (seg == SEG_DS || seg == SEG_ES || seg == SEG_SS);
}

/* T1 = the offset, cut to 16 bits. */
static void cut_offset(struct front *f, struct front_at *at)
{
	struct ir_op *op = front_op(f, IR_LEA, 4, IR_T1, at->base, at->index);

	op->imm = at->disp;
	op->scale = at->scale;
	front_op(f, IR_MOVZX, 4, IR_T1, IR_T1, IR_NONE)->cond = 2;
	*at = (struct front_at){ .seg = at->seg, .base = IR_T1, .index = IR_NONE };
}

void front_host_at(struct front *f, struct front_at at, unsigned size, bool write)
{
	bool flat = seg_is_flat(f, at.seg), checked = !flat && !(f->mode->big >> at.seg & 1);
	struct ir_op *op;

	if (at.cut && at.base == IR_NONE && at.index == IR_NONE) {
		at.disp &= 0xffff;
		at.cut = false;
	}
	if (at.cut && !checked)
		cut_offset(f, &at);
	op = front_op(f, IR_HOST, size, write, at.base, at.index);
	op->scale = at.index == IR_NONE ? 0 : at.scale;
	op->imm = at.disp;
	op->seg = flat ? SEG_DS : at.seg;
	op->cond = (checked ? IR_AT_CHECKED : 0) | (at.cut ? IR_AT_16 : 0);
}

static uint8_t address_reg(unsigned r)
{
	return (uint8_t)(r == REG_NONE ? IR_NONE : r);
}

struct front_at front_ea(const struct insn *in)
{
	return (struct front_at){ .seg = in->seg,
		.base = address_reg(in->base),
		.index = address_reg(in->index),
		.scale = in->scale,
		.disp = in->disp,
		.cut = in->addrsize == 2 };
}

void front_host(struct front *f, const struct insn *in, unsigned size, bool write)
{
	front_host_at(f, front_ea(in), size, write);
}

unsigned front_rm(struct front *f, const struct insn *in, unsigned size, bool write)
{
	if (!in->mem)
		return front_reg(size, in->rm);
	front_host(f, in, size, write);
	return IR_MEM;
}

void front_host_pair(
	struct front *f, const struct insn *in, unsigned size, unsigned dst, unsigned dst2)
{
	struct front_at at = front_ea(in);

	if (at.cut && (at.base != IR_NONE || at.index != IR_NONE))
		cut_offset(f, &at);
	at.cut = false;
	front_host_at(f, at, size, false);
	front_op(f, IR_MOV, size, dst, IR_MEM, IR_NONE);
	at.disp += size;
	front_host_at(f, at, 2, false);
	front_op(f, IR_MOV, 2, dst2, IR_MEM, IR_NONE);
}

/* ---- strings ---- */

void front_host_string(
	struct front *f, const struct insn *in, unsigned seg, unsigned reg, bool write)
{
	struct front_at at = { .seg = (uint8_t)seg,
		.base = (uint8_t)reg,
		.index = IR_NONE,
		.cut = in->addrsize == 2 };

	front_host_at(f, at, in->opsize, write);
}

/* ---- the stack ---- */

void front_stack(struct front *f, unsigned reg, uint32_t imm, unsigned size, bool write)
{
	struct front_at at = { .seg = SEG_SS,
		.base = (uint8_t)reg,
		.index = IR_NONE,
		.disp = imm,
		.cut = !f->mode->stack32 };

	front_host_at(f, at, size, write);
}

void front_set_sp(struct front *f, unsigned reg, uint32_t imm)
{
	front_op(f, IR_LEA, f->mode->stack32 ? 4 : 2, IR_ESP, reg, IR_NONE)->imm = imm;
}
