/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The x86-64 back end's divisions (SDM vol. 2, DIV, IDIV). Whatever may be #DE is left to the
 * interpreter, before anything has changed: the host must not raise it.
 */
#include "back_int.h"

static void clobber_both(struct back *k)
{
	rcp_clobber(k, IR_EAX);
	rcp_clobber(k, IR_EDX);
}

/* The quotient fits if the upper half of the dividend is below the divisor. */
static void div_unsigned(struct back *k, uint32_t id)
{
	unsigned size = k->op->size;
	struct xasm *a = &k->a;

	if (size == 1) {
		x_rm(a, 4, X_0F | 0xb7, H_PTR, x_r(X_RAX));
		x_shift_i(a, 4, X_SHR, x_r(H_PTR), 8);
		x_alu_rm_r(a, 4, X_CMP, x_r(H_PTR), H_TMP);
	} else {
		x_alu_rm_r(a, size, X_CMP, x_r(X_RDX), H_TMP);
	}
	if (!leave_if(k, id, X_AE))
		return;
	clobber_both(k);
	x_rm(a, size, size == 1 ? 0xf6 : 0xf7, 6, x_r(H_TMP));
}

/* Here only if the dividend has 32 bits, and the divisor is neither 0 nor -1: that is all that
 * compilers emit. */
static void div_signed_32(struct back *k, uint32_t id)
{
	struct xasm *a = &k->a;
	struct cold *c;

	x_mov_r_rm(a, 4, H_PTR, x_r(X_RAX));
	x_shift_i(a, 4, X_SAR, x_r(H_PTR), 31);
	x_alu_rm_r(a, 4, X_CMP, x_r(H_PTR), X_RDX);
	c = leave_if(k, id, X_NE);
	x_lea(a, 4, H_PTR, x_m(H_TMP, 1));
	x_alu_rm_i(a, 4, X_CMP, x_r(H_PTR), 1);
	if (!c)
		return;
	c->jump2 = x_jcc(a, X_BE);
	clobber_both(k);
	x_rm(a, 4, 0xf7, 7, x_r(H_TMP));
}

/*
 * The narrow ones by a division of 32 bits, which cannot overflow but for a divisor of -1 (and that
 * only of 2^31); then it is seen whether the quotient fits. EAX and EDX wait in the temporaries.
 */
static void div_signed_narrow(struct back *k, uint32_t id)
{
	bool byte = k->op->size == 1;
	unsigned extend = X_0F | (byte ? 0xbe : 0xbf);
	struct xasm *a = &k->a;
	struct cold *c;

	x_rm(a, 4, extend, H_TMP, x_r(H_TMP));
	x_lea(a, 4, H_PTR, x_m(H_TMP, 1));
	x_alu_rm_i(a, 4, X_CMP, x_r(H_PTR), 1);
	c = leave_if(k, id, X_BE);
	if (!c)
		return;
	clobber_both(k);
	x_mov_r_rm(a, 4, H_T0, x_r(X_RAX));
	x_mov_r_rm(a, 4, H_T1, x_r(X_RDX));
	if (byte) {
		x_rm(a, 4, X_0F | 0xbf, X_RAX, x_r(X_RAX));
	} else {
		x_shift_i(a, 4, X_SHL, x_r(X_RDX), 16);
		x_rm(a, 4, X_0F | 0xb7, X_RAX, x_r(X_RAX));
		x_alu_rm_r(a, 4, X_OR, x_r(X_RAX), X_RDX);
	}
	x_u8(a, 0x99); /* CDQ */
	x_rm(a, 4, 0xf7, 7, x_r(H_TMP));
	x_rm(a, 4, extend, H_PTR, x_r(X_RAX));
	x_alu_rm_r(a, 4, X_CMP, x_r(H_PTR), X_RAX);
	x_mov_r_rm(a, 4, H_TMP, x_r(X_RAX));
	x_mov_r_rm(a, 4, H_PTR, x_r(X_RDX));
	x_mov_r_rm(a, 4, X_RAX, x_r(H_T0));
	x_mov_r_rm(a, 4, X_RDX, x_r(H_T1));
	c->jump2 = x_jcc(a, X_NE);
	if (byte) {
		x_rm(a, 4, X_0F | 0xb6, H_TMP, x_r(H_TMP));
		x_shift_i(a, 4, X_SHL, x_r(H_PTR), 8);
		x_alu_rm_r(a, 4, X_OR, x_r(H_TMP), H_PTR);
	} else {
		x_mov_r_rm(a, 2, X_RDX, x_r(H_PTR));
	}
	x_mov_r_rm(a, 2, X_RAX, x_r(H_TMP));
}

/* H_TMP = the divisor; a byte's upper part is 0. */
static void load_divisor(struct back *k)
{
	const struct ir_op *op = k->op;
	struct xasm *a = &k->a;

	if (op->size == 4) {
		x_mov_r_rm(a, 4, H_TMP, operand(k, op->a));
	} else if (op->size == 1 && is_hi_byte(op->a)) { /* not beside R8-R15 */
		x_mov_r_rm(a, 4, H_TMP, x_r(back_reg(whole_reg(op->a))));
		x_shift_i(a, 4, X_SHR, x_r(H_TMP), 8);
		x_rm(a, 4, X_0F | 0xb6, H_TMP, x_r(H_TMP));
	} else {
		x_rm(a, 4, X_0F | (op->size == 1 ? 0xb6 : 0xb7), H_TMP, operand(k, op->a));
	}
}

void emit_div(struct back *k)
{
	uint32_t id = exit_id(k);

	load_divisor(k);
	if (k->op->op == IR_DIV)
		div_unsigned(k, id);
	else if (k->op->size == 4)
		div_signed_32(k, id);
	else
		div_signed_narrow(k, id);
	k->host_valid = 0;
}
