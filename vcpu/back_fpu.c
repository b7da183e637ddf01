/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The x86-64 back end's x87. While the guest's state is in the host's x87 (fpu_live.c), an
 * instruction of the guest is the same instruction here; one compare finds that it is not, and then
 * the handler does it, out of line.
 *
 * Where the last x87 instruction was and what it accessed (FIP, FDP, ...) is written down no more
 * often than somebody may look: before the block is left, or on the way out.
 */
#include "back_int.h"
#include "fpu.h"
#include "decode.h"

struct xrm fpu_cell(unsigned cell)
{
	return x_m(H_CPU, CPU_OFF(fpu_ea) + 4 * (int32_t)cell);
}

static void copy_selector(struct xasm *a, unsigned seg, struct xrm to)
{
	x_rm(a, 4, X_0F | 0xb7, H_TMP,
		x_m(H_CPU, CPU_OFF(seg) + (int32_t)(seg * sizeof(struct segment) +
						    offsetof(struct segment, sel))));
	x_mov_rm_r(a, 2, to, H_TMP);
}

void fpu_note_emit(struct back *k, const struct fpu_note *n)
{
	struct xasm *a = &k->a;

	if (!n->any)
		return;
	x_mov_rm_i(a, 2, FPU_MEM(fop), n->fop);
	x_mov_rm_i(a, 4, FPU_MEM(fip), n->fip);
	copy_selector(a, SEG_CS, FPU_MEM(fcs));
	if (!n->mem)
		return;
	x_mov_r_rm(a, 4, H_TMP, fpu_cell(n->cell));
	x_mov_rm_r(a, 4, FPU_MEM(fdp), H_TMP);
	copy_selector(a, n->seg, FPU_MEM(fds));
}

void fpu_note_flush(struct back *k)
{
	fpu_note_emit(k, &k->note);
	k->note = (struct fpu_note){ .cell = k->note.cell };
}

void gate_clobber(struct back *k)
{
	const struct ir_op *end = k->ir->op + k->ir->n_ops;

	for (const struct ir_op *op = k->op + 1; op < end && op->op != IR_INSN; op++)
		if (op->op == IR_SSE || op->op == IR_FPU)
			rcp_clobber(k, op->dst);
}

/* Whatever C1 was. Not so: FWAIT, FNOP, and those that only store or load control and status. */
static bool determines_c1(const struct insn *in)
{
	unsigned size;

	if (in->id == INSN_1_9B || (in->imm2 == 0xd9 && in->modrm == 0xd0))
		return false;
	return fpu_form_is_noted(fpu_form((uint8_t)in->imm2, in->modrm, &size));
}

/* The handler does the instruction, operand and all, if the state is not in the host's x87. */
void emit_fpu_gate(struct back *k)
{
	const struct ir_op *op = k->op;
	const struct insn *in = &k->ir->insn[op->insn];
	struct xasm *a = &k->a;
	struct cold *c;
	unsigned size;
	uint32_t id;

	gate_clobber(k);
	id = exit_id(k);
	k->host_valid = 0;
	/* C1 that a transcendental has left behind will not be missed, once this is done. */
	k->drops_c1 = !k->fpu_gated && determines_c1(in);
	x_alu_rm_i(a, 1, X_CMP, FPU_MEM(live), k->drops_c1 ? FPU_HOME : FPU_LIVE);
	c = cold_add(k, COLD_FPU, x_jcc(a, k->drops_c1 ? X_E : X_NE));
	k->fpu_gated = true;
	k->gate = c;
	if (!c)
		return;
	c->id = id;
	c->fpu_mem = in->mem && in->id != INSN_1_9B &&
		     fpu_form_is_noted(fpu_form((uint8_t)in->imm2, in->modrm, &size));
	c->makes_flags = op[1].op == IR_FPUFL;
	c->cell = !k->note.cell;
}

/* The handler has written FDP: where the block goes on, it is expected in its cell, too. */
void cold_fpu(struct back *k, const struct cold *c)
{
	struct xasm *a = &k->a;
	uint8_t *at;

	if (!c->jump && !c->jump2 && !c->jump3)
		return; /* a gate that is open already */
	if (c->jump)
		x_here(a, c->jump);
	if (c->jump2)
		x_here(a, c->jump2);
	if (c->jump3)
		x_here(a, c->jump3);
	fpu_note_emit(k, &c->note);
	call_insn(k, c->id);
	if (c->fpu_mem) {
		x_mov_r_rm(a, 4, H_TMP, FPU_MEM(fdp));
		x_mov_rm_r(a, 4, fpu_cell(c->cell), H_TMP);
	}
	if (c->makes_flags)
		load_cc(a);
	at = x_jmp(a);
	x_to(a, at, c->back);
}

static void emit_host_insn(struct back *k, const struct insn *in)
{
	struct xasm *a = &k->a;

	if (in->mem) {
		x_rm(a, 4, in->imm2 & 0xff, in->reg, operand(k, IR_MEM));
	} else {
		x_u8(a, in->imm2);
		x_u8(a, in->modrm);
	}
}

/* Clears C1, and changes nothing else: FDECSTP, FINCSTP. */
static void clear_c1(struct xasm *a)
{
	x_u32(a, 0xf7d9f6d9);
}

/*
 * What fpu_set_cw() does if no more than RC and PC change: the host has the guest's word then, no
 * exception becomes unmasked. The reserved PC 01, and all else, is its handler's. env.prec is not
 * needed before the state is at home.
 */
static void emit_fldcw(struct back *k)
{
	struct xasm *a = &k->a;

	x_rm(a, 4, X_0F | 0xb7, H_TMP, operand(k, IR_MEM));
	x_rm(a, 4, X_0F | 0xb7, H_T0, FPU_MEM(cw));
	x_alu_rm_r(a, 4, X_XOR, x_r(H_T0), H_TMP);
	x_test_rm_i(a, 4, x_r(H_T0), 0xffffu & ~0x0f00u);
	if (k->gate)
		k->gate->jump2 = x_jcc(a, X_NE);
	x_mov_r_rm(a, 4, H_T0, x_r(H_TMP));
	x_alu_rm_i(a, 4, X_AND, x_r(H_T0), 0x300);
	x_alu_rm_i(a, 4, X_CMP, x_r(H_T0), 0x100);
	if (k->gate)
		k->gate->jump3 = x_jcc(a, X_E);
	x_mov_rm_r(a, 2, FPU_MEM(cw), H_TMP);
	x_rm(a, 4, 0xd9, 5, FPU_MEM(cw));
	x_shift_i(a, 4, X_SHR, x_r(H_TMP), 10);
	x_alu_rm_i(a, 4, X_AND, x_r(H_TMP), 3);
	x_mov_rm_r(a, 1, FPU_MEM(env.rc), H_TMP);
	k->host_valid = 0;
}

static void emit_fnstcw(struct back *k)
{
	struct xasm *a = &k->a;

	x_rm(a, 4, X_0F | 0xb7, H_TMP, FPU_MEM(cw));
	x_mov_rm_r(a, 2, operand(k, IR_MEM), H_TMP);
}

static void emit_trans(struct back *k, const struct insn *in)
{
	struct xasm *a = &k->a;
	uint8_t *at;

	x_mov_r_i(a, H_TMP, in->modrm);
	at = x_call(a);
	x_to(a, at, k->mem->rw + back_tramp(k->cpu)->trans);
	k->fpu_gated = false; /* it may leave C1 behind */
	x_test_rm_r(a, 4, x_r(H_TMP), H_TMP);
	if (k->gate)
		k->gate->jump2 = x_jcc(a, X_E);
}

static void note(struct back *k, const struct insn *in)
{
	k->note.any = true;
	k->note.fop = (uint16_t)((in->imm2 & 7u) << 8 | in->modrm);
	k->note.fip = k->ir->insn_eip[k->op->insn];
	if (in->mem) {
		k->note.mem = true;
		k->note.seg = in->seg;
		k->note.cell = !k->note.cell;
	}
}

static void emit_form(struct back *k, const struct insn *in, enum fpu_form form)
{
	switch (form) {
	case FPU_FORM_COMI: clear_c1(&k->a); break;
	case FPU_FORM_CMOV: flags_to_host(k, ir_cond_flags(k->op->cond)); break;
	default: break;
	}
	switch (form) {
	case FPU_FORM_LDCW: emit_fldcw(k); break;
	case FPU_FORM_STCW: emit_fnstcw(k); break;
	case FPU_FORM_CALL: emit_trans(k, in); break;
	default: emit_host_insn(k, in); break;
	}
	if (form == FPU_FORM_CMOV || form == FPU_FORM_FREE)
		clear_c1(&k->a);
	if (k->drops_c1 && form != FPU_FORM_CALL)
		x_mov_rm_i(&k->a, 1, FPU_MEM(live), FPU_LIVE);
}

void emit_fpu(struct back *k)
{
	const struct insn *in = &k->ir->insn[k->op->insn];
	unsigned size;

	if (in->id != INSN_1_9B) { /* FWAIT */
		enum fpu_form form = fpu_form((uint8_t)in->imm2, in->modrm, &size);

		emit_form(k, in, form);
		if (fpu_form_is_noted(form))
			note(k, in);
	}
	if (k->gate)
		k->gate->back = k->a.p;
	if (k->op->op == IR_FPUFL)
		rcp_set_comparison(k, RCP_COMI, IRF_C | IRF_P | IRF_Z);
	else if (k->op->op == IR_FPUCC)
		k->host_valid = 0; /* out of line they are not there */
}
