/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The x86-64 back end's SSE: the guest's instruction is the host's, on the same registers. They are
 * the guest's from the first SSE instruction of a run of translated code on; a block's first one
 * asks whether it has been (back_tramp.c saves and restores them where C is called).
 */
#include "back_int.h"
#include "fpu.h"
#include "sse.h"

/* Of XMM or MMX registers the host's have the guest's numbers. */
static unsigned reg_of(unsigned o, unsigned reg)
{
	return (o & S_KIND) == S_G ? back_reg(reg) : reg;
}

/* What the block's first one asks: are the host's registers the guest's? */
static void ask_live(struct back *k, struct cold *c)
{
	x_alu_rm_i(&k->a, 1, X_CMP, CPU_MEM(xmm_live), 1);
	c->jump = x_jcc(&k->a, X_NE);
	c->back = k->a.p;
}

/* The same for MMX: the guest's registers are the host's while the x87 state is there. */
static void ask_mmx(struct back *k, struct cold *c)
{
	c->is_mmx = true;
	x_alu_rm_i(&k->a, 1, X_CMP, FPU_MEM(live), FPU_LIVE);
	c->jump = x_jcc(&k->a, X_NE);
	c->back = k->a.p;
	k->fpu_gated = true;
}

static void cold_mmx(struct back *k, struct cold *c)
{
	struct cold *gate = c + 1;
	struct xasm *a = &k->a;
	uint8_t *at;

	x_here(a, c->jump);
	at = x_call(a);
	x_to(a, at, k->mem->rw + back_tramp(k->cpu)->mmx);
	x_test_rm_r(a, 4, x_r(H_TMP), H_TMP);
	gate->jump = x_jcc(a, X_E);
	at = x_jmp(a);
	x_to(a, at, c->back);
}

/*
 * XMM registers become so if CR0 and CR4 let them be used; else the handler raises what is due.
 * Neither changes within translated code.
 */
void cold_xmm(struct back *k, struct cold *c)
{
	struct cold *gate = c + 1;
	struct xasm *a = &k->a;
	uint8_t *at;

	if (c->is_mmx) {
		cold_mmx(k, c);
		return;
	}
	x_here(a, c->jump);
	x_test_rm_i(a, 4, CPU_MEM(cr0), CR0_EM | CR0_TS);
	gate->jump = x_jcc(a, X_NE);
	x_test_rm_i(a, 4, CPU_MEM(cr4), CR4_OSFXSR);
	gate->jump2 = x_jcc(a, X_E);
	at = x_call(a);
	x_to(a, at, k->mem->rw + back_tramp(k->cpu)->xmm);
	at = x_jmp(a);
	x_to(a, at, c->back);
}

static bool is_mmx(const struct sse_desc *d, const struct insn *in)
{
	return (d->reg & S_KIND) == S_M || ((d->rm & S_KIND) == S_M && !in->mem);
}

/* Floating point: the host's MXCSR has to be the guest's. If it is not afterwards, either, the
 * handler's call does not come back (tcg_insn()). */
void emit_sse_gate(struct back *k)
{
	const struct insn *in = &k->ir->insn[k->op->insn];
	const struct sse_desc *d = sse_desc(in);
	bool has = k->cpu->isa & d->isa, mmx = is_mmx(d, in);
	struct cold *live = NULL, *c;
	struct xasm *a = &k->a;
	uint32_t id;

	gate_clobber(k);
	id = exit_id(k);
	if (has && (mmx || !k->sse_gated)) {
		live = cold_add(k, COLD_XMM, NULL);
		if (!live)
			return;
	}
	c = cold_add(k, COLD_FPU, NULL);
	k->gate = c;
	if (!c)
		return;
	c->id = id;
	c->makes_flags = d->flags & S_FL;
	k->host_valid = 0;
	if (!has) {
		c->jump = x_jmp(a);
		return;
	}
	if (mmx) {
		ask_mmx(k, live);
		return;
	}
	if (live)
		ask_live(k, live);
	if ((d->flags & S_FP) && !k->fp_gated && k->exit) {
		x_alu_rm_i(a, 1, X_CMP, CPU_MEM(mxcsr_live), 1);
		c->jump3 = x_jcc(a, X_NE);
		k->exit->fp = true;
		k->fp_gated = true;
	}
	k->sse_gated = true;
}

static unsigned opcode_of(const struct sse_desc *d)
{
	static const unsigned map[] = { X_0F, X_0F38, X_0F3A };
	static const unsigned prefix[] = { 0, X_P66, X_PF3, X_PF2 };

	unsigned op = d->op;

	/* MOVNTPS, MOVNTPD; MOVNTDQ, MOVNTQ: devices must not see later stores before them. */
	if (d->map == SSE_MAP_0F && op == 0x2b)
		op = 0x29;
	else if (d->map == SSE_MAP_0F && op == 0xe7)
		op = 0x7f;
	return prefix[d->prefix] | map[d->map] | op;
}

void emit_sse(struct back *k)
{
	const struct insn *in = &k->ir->insn[k->op->insn];
	const struct sse_desc *d = sse_desc(in);
	struct xasm *a = &k->a;
	unsigned reg;
	struct xrm rm;

	reg = d->ext >= 0 ? (unsigned)d->ext : reg_of(d->reg, in->reg);
	if (in->mem)
		rm = operand(k, IR_MEM);
	else
		rm = x_r(reg_of(d->rm, in->rm));
	x_rm(a, 4, opcode_of(d), reg, rm);
	if (d->imask)
		x_u8(a, in->imm & d->imask);
	if (k->gate)
		k->gate->back = a->p;
	if (d->flags & S_FL)
		rcp_set_comparison(k, d->flags & S_FP ? RCP_COMI : RCP_PTEST, IRF_ALL);
}
