/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The x86-64 back end's SSE. The guest's XMM registers are in struct cpu; an instruction loads what
 * it reads into xmm0 and xmm1, is the guest's own but for its operands, and stores what it writes.
 */
#include "back_int.h"
#include "sse.h"

enum { X_XMM0, X_XMM1 };

static struct xrm xmm_mem(unsigned n)
{
	return x_m(H_CPU, CPU_OFF(xmm) + 16 * (int32_t)n);
}

static bool is_xmm(unsigned o)
{
	return (o & S_KIND) == S_X;
}

static void movaps_load(struct xasm *a, unsigned x, unsigned guest)
{
	x_rm(a, 4, X_0F | 0x28, x, xmm_mem(guest));
}

static void movaps_store(struct xasm *a, unsigned x, unsigned guest)
{
	x_rm(a, 4, X_0F | 0x29, x, xmm_mem(guest));
}

/*
 * CR0.TS and EM, and CR4.OSFXSR, do not change within a block; what the model has, never. Floating
 * point: the host's MXCSR has to be the guest's.
 */
void emit_sse_gate(struct back *k)
{
	const struct sse_desc *d = sse_desc(&k->ir->insn[k->op->insn]);
	struct xasm *a = &k->a;
	struct cold *c;
	uint32_t id;

	gate_clobber(k);
	id = exit_id(k);
	c = cold_add(k, COLD_FPU, NULL);
	k->gate = c;
	if (!c)
		return;
	c->id = id;
	c->makes_flags = d->flags & S_FL;
	k->host_valid = 0;
	if (!(k->cpu->isa & d->isa)) {
		c->jump = x_jmp(a);
		return;
	}
	if (!k->sse_gated) {
		x_test_rm_i(a, 4, CPU_MEM(cr0), CR0_EM | CR0_TS);
		c->jump = x_jcc(a, X_NE);
		x_test_rm_i(a, 4, CPU_MEM(cr4), CR4_OSFXSR);
		c->jump2 = x_jcc(a, X_E);
	}
	if (d->flags & S_FP) {
		x_alu_rm_i(a, 1, X_CMP, CPU_MEM(mxcsr_live), 1);
		c->jump3 = x_jcc(a, X_NE);
	}
	k->sse_gated = true;
}

static unsigned opcode_of(const struct sse_desc *d)
{
	static const unsigned map[] = { X_0F, X_0F38, X_0F3A };
	static const unsigned prefix[] = { 0, X_P66, X_PF3, X_PF2 };

	return prefix[d->prefix] | map[d->map] | d->op;
}

void emit_sse(struct back *k)
{
	const struct insn *in = &k->ir->insn[k->op->insn];
	const struct sse_desc *d = sse_desc(in);
	struct xasm *a = &k->a;
	unsigned reg = X_XMM0;
	struct xrm rm;

	if (d->ext >= 0)
		reg = (unsigned)d->ext;
	else if (!is_xmm(d->reg))
		reg = back_reg(in->reg);
	else if (d->reg & S_R)
		movaps_load(a, X_XMM0, in->reg);
	if (in->mem) {
		rm = operand(k, IR_MEM);
	} else if (!is_xmm(d->rm)) {
		rm = x_r(back_reg(in->rm));
	} else {
		/* What is written in part only keeps the rest: all of it is read. */
		movaps_load(a, X_XMM1, in->rm);
		rm = x_r(X_XMM1);
	}
	if (is_xmm(d->reg) && d->ext < 0 && (d->reg & S_W) && !(d->reg & S_R))
		movaps_load(a, X_XMM0, in->reg);
	x_rm(a, 4, opcode_of(d), reg, rm);
	if (d->imask)
		x_u8(a, in->imm & d->imask);
	if (is_xmm(d->reg) && d->ext < 0 && (d->reg & S_W))
		movaps_store(a, X_XMM0, in->reg);
	if (!in->mem && is_xmm(d->rm) && (d->rm & S_W))
		movaps_store(a, X_XMM1, in->rm);
	if (k->gate)
		k->gate->back = a->p;
	if (d->flags & S_FL)
		rcp_set_comparison(k, d->flags & S_FP ? RCP_COMI : RCP_PTEST, IRF_ALL);
}
