/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rules for the x87 (SDM vol. 1, ch. 8): what the host may do in its own x87 (docs/x87.md). All
 * else is the interpreter's.
 */
#include "fpu.h"
#include "front_int.h"

bool front_fpu(struct front *f, const struct insn *in, const struct front_rule *r)
{
	unsigned size = 4; /* of a register form: no matter */
	enum fpu_form form = fpu_form((uint8_t)in->imm2, in->modrm, &size);

	(void)r;
	if (form == FPU_FORM_NONE)
		return false;
	front_op(f, IR_FPUGATE, 0, IR_NONE, IR_NONE, IR_NONE);
	if (form != FPU_FORM_REG && !front_host(f, in, size, form == FPU_FORM_WRITE))
		return false;
	front_op(f, IR_FPU, size, IR_NONE, form == FPU_FORM_REG ? IR_NONE : IR_MEM, IR_NONE);
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
