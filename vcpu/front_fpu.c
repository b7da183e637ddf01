/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rules for the x87 (SDM vol. 1, ch. 8): what the host may do in its own x87 (docs/x87.md). All
 * else is the interpreter's.
 */
#include "fpu.h"
#include "front_int.h"

/* FCMOVcc as Jcc's condition: B, E, BE, U; DB: not so (SDM vol. 2, FCMOVcc). */
static unsigned cmov_cond(const struct insn *in)
{
	static const uint8_t cond[4] = { 2, 4, 6, 10 };

	return cond[in->modrm >> 3 & 3] | (in->imm2 & 1);
}

bool front_fpu(struct front *f, const struct insn *in, const struct front_rule *r)
{
	unsigned size = 4; /* of a register form: no matter */
	enum fpu_form form = fpu_form((uint8_t)in->imm2, in->modrm, &size);
	unsigned op = form == FPU_FORM_COMI ? IR_FPUFL : form == FPU_FORM_CMOV ? IR_FPUCC : IR_FPU;
	unsigned dst = form == FPU_FORM_STSW && !in->mem ? IR_EAX : IR_NONE;

	(void)r;
	if (form == FPU_FORM_NONE)
		return false;
	front_op(f, IR_FPUGATE, 0, IR_NONE, IR_NONE, IR_NONE);
	/* 10 bytes: as if they were 16. */
	if (in->mem)
		front_host(f, in, size == 10 ? 16 : size, fpu_form_writes(form));
	front_op(f, op, size == 10 ? 16 : size, dst, in->mem ? IR_MEM : IR_NONE, IR_NONE)->cond =
		(uint8_t)(form == FPU_FORM_CMOV ? cmov_cond(in) : 0);
	return true;
}

/* Nothing can be pending while the host's x87 is in use. */
bool front_fwait(struct front *f, const struct insn *in, const struct front_rule *r)
{
	(void)in;
	(void)r;
	front_op(f, IR_FPUGATE, 0, IR_NONE, IR_NONE, IR_NONE);
	front_op(f, IR_FPU, 4, IR_NONE, IR_NONE, IR_NONE);
	return true;
}

/* Conditions of the x87 go its way. */
bool front_sahf(struct front *f, const struct insn *in, const struct front_rule *r)
{
	(void)in;
	(void)r;
	front_op(f, IR_SAHF, 1, IR_NONE, IR_AH, IR_NONE);
	return true;
}
