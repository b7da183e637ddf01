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

#define FPU_MEM(member) x_m(H_CPU, (int32_t)(CPU_FPU_OFFSET + offsetof(struct fpu, member)))

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

/* The handler does the instruction, operand and all, if the state is not in the host's x87. */
void emit_fpu_gate(struct back *k)
{
	const struct insn *in = &k->ir->insn[k->op->insn];
	uint32_t id = exit_id(k);
	struct xasm *a = &k->a;
	struct cold *c;

	x_alu_rm_i(a, 1, X_CMP, FPU_MEM(live), FPU_LIVE);
	k->host_valid = 0;
	c = cold_add(k, COLD_FPU, x_jcc(a, X_NE));
	k->gate = c;
	if (!c)
		return;
	c->id = id;
	c->fpu_mem = in->mem && in->id != INSN_1_9B;
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
	x_mov_rm_i(a, 4, CPU_MEM(tcg_exit), c->id);
	at = x_call(a);
	x_to(a, at, k->mem->rw + back_tramp(k->cpu)->insn);
	if (c->fpu_mem) {
		x_mov_r_rm(a, 4, H_TMP, FPU_MEM(fdp));
		x_mov_rm_r(a, 4, fpu_cell(c->cell), H_TMP);
	}
	at = x_jmp(a);
	x_to(a, at, c->back);
}

void emit_fpu(struct back *k)
{
	const struct insn *in = &k->ir->insn[k->op->insn];
	struct xasm *a = &k->a;

	if (in->id != INSN_1_9B) { /* FWAIT */
		if (in->mem) {
			x_rm(a, 4, in->imm2 & 0xff, in->reg, operand(k, IR_MEM));
		} else {
			x_u8(a, in->imm2);
			x_u8(a, in->modrm);
		}
		k->note.any = true;
		k->note.fop = (uint16_t)((in->imm2 & 7u) << 8 | in->modrm);
		k->note.fip = k->ir->insn_eip[k->op->insn];
		if (in->mem) {
			k->note.mem = true;
			k->note.seg = in->seg;
			k->note.cell = !k->note.cell;
		}
	}
	if (k->gate)
		k->gate->back = a->p;
}
