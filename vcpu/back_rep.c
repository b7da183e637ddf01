/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The x86-64 back end's REP MOVS and REP STOS: by a window they are the host's own, which are as
 * precise as the guest's. When an iteration faults, the host's registers say how far it has come;
 * that many instructions have retired. Whatever is rare is the interpreter's handler's, out of
 * line: DF set, a count of 0, more iterations than the budget has, or so many that copying by pages
 * is as good.
 */
#include "back_int.h"

#include "decode.h"
#include "window.h"

#define REP_MAX 4096u /* iterations */

/* Is MOVS rather than STOS. */
static bool is_movs(const struct insn *in)
{
	return in->id == INSN_1_A4 || in->id == INSN_1_A5;
}

/* Segments are flat but FS and GS. */
static bool rep_is_direct(const struct back *k, const struct insn *in)
{
	bool stos = in->id == INSN_1_AA || in->id == INSN_1_AB;

	if (!k->window || in->rep == REP_NONE || in->addrsize != 4 || (!is_movs(in) && !stos))
		return false;
	if (is_movs(in) && (in->seg == SEG_FS || in->seg == SEG_GS))
		return false;
	return k->n_faults < MAX_FAULT &&
	       !window_site_is_slow(k->cpu, k->ir->insn_eip[k->op->insn]);
}

static void rep_insn(struct xasm *a, const struct insn *in)
{
	if (in->opsize == 2)
		x_u8(a, 0x66);
	x_u8(a, 0xf3);
	x_u8(a, (is_movs(in) ? 0xa4 : 0xaa) + (in->opsize != 1));
}

/* From the host's addresses back to the guest's. No memory, no flags that matter. */
static void rep_home(struct xasm *a, const struct insn *in)
{
	if (is_movs(in))
		x_alu_rm_r(a, 4, X_SUB, x_r(X_RSI), H_MEM);
	x_alu_rm_r(a, 4, X_SUB, x_r(X_RDI), H_MEM);
}

bool emit_rep(struct back *k)
{
	const struct insn *in = &k->ir->insn[k->op->insn];
	struct xasm *a = &k->a;
	struct cold *c, *fault;

	if (!rep_is_direct(k, in))
		return false;
	x_test_rm_i(a, 4, CPU_MEM(eflags), FL_DF);
	c = cold_add(k, COLD_REP, x_jcc(a, X_NE));
	fault = cold_add(k, COLD_REP_FAULT, NULL);
	if (!c || !fault)
		return true;
	c->id = fault->id = exit_id(k);
	x_lea(a, 4, H_TMP, x_m(X_RCX, -1));
	x_alu_rm_i(a, 4, X_CMP, x_r(H_TMP), REP_MAX - 1);
	c->jump2 = x_jcc(a, X_A);
	x_alu_rm_r(a, 8, X_SUB, x_r(H_BUDGET), H_TMP);
	c->jump3 = x_jcc(a, X_S);
	if (is_movs(in))
		x_alu_rm_r(a, 8, X_ADD, x_r(X_RSI), H_MEM);
	x_alu_rm_r(a, 8, X_ADD, x_r(X_RDI), H_MEM);
	fault->fault = k->n_faults;
	k->fault[k->n_faults++] = (struct tb_fault){ .from = (uint32_t)(a->p - k->mem->rw),
		.id = fault->id,
		.size = in->opsize,
		.rep = true };
	rep_insn(a, in);
	rep_home(a, in);
	c->back = a->p;
	return true;
}

/* c->id: the exit, as for a call of the handler. */
void cold_rep(struct back *k, const struct cold *c)
{
	struct xasm *a = &k->a;
	uint8_t *at;

	x_here(a, c->jump3);
	x_alu_rm_r(a, 8, X_ADD, x_r(H_BUDGET), H_TMP);
	x_here(a, c->jump);
	x_here(a, c->jump2);
	x_mov_rm_i(a, 4, CPU_MEM(tcg_exit), c->id);
	at = x_call(a);
	x_to(a, at, k->mem->rw + back_tramp(k->cpu)->insn);
	at = x_jmp(a);
	x_to(a, at, c->back);
}

/* ECX iterations are left of those that were taken off the budget; one of them was always ours. */
void cold_rep_fault(struct back *k, const struct cold *c)
{
	struct xasm *a = &k->a;

	k->fault[c->fault].stub = (uint32_t)(a->p - k->mem->rw);
	rep_home(a, &k->ir->insn[c->op->insn]);
	x_lea(a, 8, H_BUDGET, x_mi(H_BUDGET, X_RCX, 0, -1));
	leave(k, c->id | TCG_EXIT_STEP);
}
