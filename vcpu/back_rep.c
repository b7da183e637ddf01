/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The x86-64 back end's REP MOVS and REP STOS are the host's own.
 *
 * By a window they are as precise as the guest's: when an iteration faults, the host's registers
 * say how far it has come; that many instructions have retired. By the tables they are done here
 * if all lies in one page. Whatever is rare is the interpreter's handler's, out of line: DF set, a
 * count of 0, more iterations than the budget has, or so many that copying by pages is as good.
 */
#include "back_int.h"

#include "decode.h"
#include "icache.h"
#include "log.h"
#include "window.h"

#define REP_MAX 4096u /* iterations */

/* Is MOVS rather than STOS. */
static bool is_movs(const struct insn *in)
{
	return in->id == INSN_1_A4 || in->id == INSN_1_A5;
}

/* In flat segments only. */
static bool rep_is_direct(const struct back *k, const struct insn *in)
{
	bool stos = in->id == INSN_1_AA || in->id == INSN_1_AB;

	if (in->rep == REP_NONE || in->addrsize != 4 || (!is_movs(in) && !stos))
		return false;
	if (!(k->tb->key & KEY_FLAT))
		return false;
	return !is_movs(in) || in->seg == SEG_DS || in->seg == SEG_ES || in->seg == SEG_SS;
}

static void rep_insn(struct xasm *a, const struct insn *in)
{
	if (in->opsize == 2)
		x_u8(a, 0x66);
	x_u8(a, 0xf3);
	x_u8(a, (is_movs(in) ? 0xa4 : 0xaa) + (in->opsize != 1));
}

/* One more way to the handler, if cond. */
static void rep_slow(struct back *k, struct cold *c, enum x_cond cond)
{
	must(c->n_more < sizeof(c->more) / sizeof(c->more[0]));
	c->more[c->n_more++] = x_jcc(&k->a, cond);
}

/* ---- by a window ---- */

/* From the host's addresses back to the guest's. */
static void rep_home(struct xasm *a, const struct insn *in)
{
	if (is_movs(in))
		x_alu_rm_r(a, 4, X_SUB, x_r(X_RSI), H_MEM);
	x_alu_rm_r(a, 4, X_SUB, x_r(X_RDI), H_MEM);
}

static void rep_by_window(struct back *k, const struct insn *in, uint32_t id)
{
	struct cold *c = cold_add(k, COLD_REP_FAULT, NULL);
	struct xasm *a = &k->a;

	if (!c)
		return;
	if (is_movs(in))
		x_alu_rm_r(a, 8, X_ADD, x_r(X_RSI), H_MEM);
	x_alu_rm_r(a, 8, X_ADD, x_r(X_RDI), H_MEM);
	c->fault = k->n_faults;
	c->id = id;
	k->fault[k->n_faults++] = (struct tb_fault){
		.from = (uint32_t)(a->p - k->mem->rw), .id = id, .size = in->opsize, .rep = true
	};
	rep_insn(a, in);
	rep_home(a, in);
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

/* ---- by the tables ---- */

static unsigned scale_of(const struct insn *in)
{
	return (unsigned)__builtin_ctz(in->opsize);
}

/* dst = the host's address of guest address reg, if ECX elements from there lie in its page. */
static void rep_host(struct back *k, struct cold *c, unsigned dst, unsigned reg, bool write)
{
	const struct insn *in = &k->ir->insn[k->op->insn];
	struct xasm *a = &k->a;

	x_mov_r_rm(a, 4, H_T1, x_r(reg));
	x_alu_rm_i(a, 4, X_AND, x_r(H_T1), 0xfff);
	x_lea(a, 4, H_T1, x_mi(H_T1, X_RCX, scale_of(in), 0));
	x_alu_rm_i(a, 4, X_CMP, x_r(H_T1), 0x1000);
	rep_slow(k, c, X_A);
	x_mov_r_rm(a, 4, dst, x_r(reg));
	x_mov_r_rm(a, 4, H_T1, x_r(reg));
	x_shift_i(a, 4, X_SHR, x_r(H_T1), 12);
	x_alu_r_rm(a, 8, X_SUB, dst, x_mi(H_MEM, H_T1, 3, write ? TLB_WRITE_OFF : 0));
	rep_slow(k, c, X_AE);
}

static void rep_by_table(struct back *k, const struct insn *in)
{
	struct xasm *a = &k->a;

	if (is_movs(in)) {
		x_lea(a, 4, H_TMP, x_mi(X_RSI, X_RCX, scale_of(in), 0));
		x_mov_r_rm(a, 8, X_RSI, x_r(H_PTR));
	}
	x_lea(a, 4, H_T1, x_mi(X_RDI, X_RCX, scale_of(in), 0));
	x_mov_r_rm(a, 8, X_RDI, x_r(H_T0));
	rep_insn(a, in);
	if (is_movs(in))
		x_mov_r_rm(a, 4, X_RSI, x_r(H_TMP));
	x_mov_r_rm(a, 4, X_RDI, x_r(H_T1));
}

/* ---- both ---- */

bool emit_rep(struct back *k)
{
	const struct insn *in = &k->ir->insn[k->op->insn];
	struct xasm *a = &k->a;
	struct cold *c;

	if (!rep_is_direct(k, in))
		return false;
	if (k->window && (k->n_faults == MAX_FAULT ||
				 window_site_is_slow(k->cpu, k->ir->insn_eip[k->op->insn])))
		return false;
	c = cold_add(k, COLD_REP, NULL);
	if (!c)
		return true;
	c->id = exit_id(k);
	x_test_rm_i(a, 4, CPU_MEM(eflags), FL_DF);
	rep_slow(k, c, X_NE);
	x_lea(a, 4, H_TMP, x_m(X_RCX, -1));
	x_alu_rm_i(a, 4, X_CMP, x_r(H_TMP), REP_MAX - 1);
	rep_slow(k, c, X_A);
	if (!k->window) {
		if (is_movs(in))
			rep_host(k, c, H_PTR, X_RSI, false);
		rep_host(k, c, H_T0, X_RDI, true);
	}
	x_alu_rm_r(a, 8, X_SUB, x_r(H_BUDGET), H_TMP);
	c->jump = x_jcc(a, X_S);
	if (k->window)
		rep_by_window(k, in, c->id);
	else
		rep_by_table(k, in);
	c->back = a->p;
	return true;
}

/* c->id: the exit, as for a call of the handler. */
void cold_rep(struct back *k, const struct cold *c)
{
	struct xasm *a = &k->a;
	uint8_t *at;

	x_here(a, c->jump);
	x_alu_rm_r(a, 8, X_ADD, x_r(H_BUDGET), H_TMP);
	for (unsigned i = 0; i < c->n_more; i++)
		x_here(a, c->more[i]);
	call_insn(k, c->id);
	at = x_jmp(a);
	x_to(a, at, c->back);
}
