/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The x86-64 back end's instructions of the system: calls of the interpreter's handlers, and what
 * is short enough to be done in place.
 */
#include "back_int.h"

#include "cpuid.h"
#include "decode.h"
#include "icache.h"
#include "sse.h"

/* ---- by handlers ---- */

/* The record of a handler's instruction; NULL: there are too many. */
static struct tb_exit *handler_exit(struct back *k, uint32_t *ret_id)
{
	const struct insn *in = &k->ir->insn[k->op->insn];

	*ret_id = exit_id(k);
	if (k->too_big)
		return NULL;
	k->exit->sync = insn_enc(in) & E_SYNC;
	k->exit->end = icache_insn_end(in);
	return k->exit;
}

void call_insn(struct back *k, uint32_t id)
{
	struct xasm *a = &k->a;
	uint8_t *at;

	x_mov_rm_i(a, 4, CPU_MEM(tcg_exit), id);
	at = x_call(a);
	x_to(a, at, k->mem->rw + back_tramp(k->cpu)->insn);
}

/* flags: enum ir_call; regs: guest registers that it may change while the recipe stays in force. */
static void call_handler(struct back *k, unsigned flags, unsigned regs)
{
	struct tb_exit *x;
	uint32_t id;

	for (unsigned r = IR_EAX; flags == IR_CALL_QUIET && r <= IR_EDI; r++)
		if (regs >> r & 1)
			rcp_clobber(k, r);
	x = handler_exit(k, &id);
	if (!x)
		return;
	x->quiet = flags != IR_CALL_FLAGS;
	x->sets = flags == IR_CALL_SETS;
	k->host_valid = 0;
	k->fp_gated = false;
	if (x->sync) /* CR0 and CR4 may be others */
		k->sse_gated = false;
	if (flags == IR_CALL_QUIET && emit_rep(k))
		return;
	call_insn(k, id);
	if (flags != IR_CALL_QUIET)
		rcp_set(k, RCP_CC, 0, RCP_NO, RCP_NO, RCP_NO, 0, 0);
}

/* Memory is in order anyway. */
static bool is_plain_fence(const struct back *k)
{
	switch (k->ir->insn[k->op->insn].id) {
	case INSN_G15_5:
	case INSN_G15_6: return k->cpu->isa & ISA_SSE2;
	default: return false;
	}
}

void emit_calli(struct back *k)
{
	if (!is_plain_fence(k))
		call_handler(k, k->op->cond, k->op->imm);
}

void emit_callj(struct back *k)
{
	struct xasm *a = &k->a;
	uint8_t *at;
	uint32_t id;

	if (!handler_exit(k, &id))
		return;
	x_mov_rm_i(a, 4, CPU_MEM(tcg_exit), id);
	at = x_jmp(a);
	x_to(a, at, k->mem->rw + back_tramp(k->cpu)->insn_jump);
}

/* ---- in place ---- */

void emit_getfl(struct back *k)
{
	unsigned dst = back_reg(k->op->dst);
	struct xasm *a = &k->a;

	flags_to_cc(k);
	x_rm(a, 4, X_0F | 0xb6, dst, CPU_MEM(cc));
	x_alu_rm_i(a, 4, X_AND, x_r(dst), CC_OF);
	x_shift_i(a, 4, X_SHL, x_r(dst), 11);
	x_rm(a, 4, X_0F | 0xb6, H_TMP, x_m(H_CPU, CPU_OFF(cc) + 1));
	x_alu_rm_i(a, 4, X_AND, x_r(H_TMP), CC_ARITH >> 8);
	x_alu_rm_r(a, 4, X_OR, x_r(dst), H_TMP);
	x_mov_r_rm(a, 4, H_TMP, CPU_MEM(eflags));
	x_alu_rm_i(a, 4, X_AND, x_r(H_TMP), ~(FL_ARITH | FL_VM | FL_RF));
	x_alu_rm_r(a, 4, X_OR, x_r(dst), H_TMP);
	x_alu_rm_i(a, 4, X_OR, x_r(dst), FL_ONE);
	k->host_valid = 0;
}

void emit_efl(struct back *k)
{
	const struct ir_op *op = k->op;

	x_alu_rm_i(&k->a, 4, op->dst ? X_OR : X_AND, CPU_MEM(eflags), op->dst ? op->imm : ~op->imm);
	k->host_valid = 0;
}

void emit_getseg(struct back *k)
{
	const struct ir_op *op = k->op;
	struct xrm sel =
		x_m(H_CPU, CPU_OFF(seg[0].sel) + (int32_t)(op->imm * sizeof(struct segment)));

	rcp_clobber(k, op->dst);
	if (op->size == 4)
		x_rm(&k->a, 4, X_0F | 0xb7, back_reg(op->dst), sel);
	else
		x_mov_r_rm(&k->a, 2, back_reg(op->dst), sel);
}

void emit_limit(struct back *k)
{
	const struct ir_op *op = k->op;
	struct xasm *a = &k->a;
	uint32_t id = exit_id(k);

	x_alu_rm_i(a, 4, X_CMP, x_r(back_reg(op->a)), op->imm);
	k->host_valid = 0;
	leave_if(k, id, X_A);
}

/* As seg_load_real() does where it changes nothing but selector and base: the segment is there, and
 * not of 4 GiB, so that it cannot become flat. */
void emit_setseg(struct back *k)
{
	const struct ir_op *op = k->op;
	int32_t seg = CPU_OFF(seg) + (int32_t)(op->imm * sizeof(struct segment));
	struct xasm *a = &k->a;
	uint32_t id = exit_id(k);
	struct cold *c;

	x_test_rm_i(a, 1, x_m(H_CPU, seg + (int32_t)offsetof(struct segment, attr)), SEG_P);
	k->host_valid = 0;
	c = leave_if(k, id, X_E);
	if (!c)
		return;
	x_alu_rm_i(a, 4, X_CMP, x_m(H_CPU, seg + (int32_t)offsetof(struct segment, limit)),
		UINT32_MAX);
	c->jump2 = x_jcc(a, X_E);
	x_rm(a, 4, X_0F | 0xb7, H_TMP, x_r(back_reg(op->a)));
	x_mov_rm_r(a, 2, x_m(H_CPU, seg + (int32_t)offsetof(struct segment, sel)), H_TMP);
	x_shift_i(a, 4, X_SHL, x_r(H_TMP), 4);
	x_mov_rm_r(a, 4, x_m(H_CPU, seg + (int32_t)offsetof(struct segment, base)), H_TMP);
}

void emit_dir(struct back *k)
{
	const struct ir_op *op = k->op;
	unsigned dst = back_reg(op->dst);
	struct xasm *a = &k->a;

	x_mov_r_rm(a, 4, dst, CPU_MEM(eflags));
	x_alu_rm_i(a, 4, X_AND, x_r(dst), FL_DF);
	_Static_assert(FL_DF == 1u << 10, "the bit is moved to 2, 4 or 8");
	x_shift_i(a, 4, X_SHR, x_r(dst), 9 - (unsigned)__builtin_ctz(op->imm));
	x_rm(a, 4, 0xf7, 3, x_r(dst)); /* NEG */
	k->host_valid = 0;
}

/* cpu_tsc(), with icount by the budget (tb.h). */
void emit_rdtsc(struct back *k)
{
	const struct ir_op *op = k->op;
	int32_t rest = (int32_t)(k->ir->n_insns - op->insn);
	struct xasm *a = &k->a;

	if (!cpuid_has(k->cpu, CPUID_F_TSC)) {
		call_handler(k, IR_CALL_QUIET, 1u << IR_EAX | 1u << IR_EDX);
		return;
	}
	rcp_clobber(k, IR_EAX);
	rcp_clobber(k, IR_EDX);
	x_mov_r_rm(a, 8, X_RDX, CPU_MEM(tcg_end));
	x_alu_rm_r(a, 8, X_SUB, x_r(X_RDX), H_BUDGET);
	x_alu_rm_i(a, 8, X_SUB, x_r(X_RDX), (uint32_t)rest);
	x_shift_i(a, 8, X_SHL, x_r(X_RDX), k->cpu->shift);
	x_alu_r_rm(a, 8, X_ADD, X_RDX, CPU_MEM(warp_ns));
	x_alu_r_rm(a, 8, X_ADD, X_RDX, CPU_MEM(tsc_offset));
	x_mov_r_rm(a, 4, X_RAX, x_r(X_RDX));
	x_shift_i(a, 8, X_SHR, x_r(X_RDX), 32);
	k->host_valid = 0;
}
