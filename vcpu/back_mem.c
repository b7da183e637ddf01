/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The x86-64 back end's way to memory: IR_HOST, by the inline tables of the software TLB or by a
 * window, with the segment's base and limit where it has any.
 */
#include "back_int.h"

#include "sse.h"
#include "window.h"

/* ---- addresses ---- */

static struct xrm address(const struct ir_op *op)
{
	return x_mi(op->a == IR_NONE ? (unsigned)X_NO : back_reg(op->a),
		op->b == IR_NONE ? (unsigned)X_NO : back_reg(op->b), op->scale, (int32_t)op->imm);
}

void load_address(struct xasm *a, const struct ir_op *op, unsigned dst)
{
	struct xrm m = address(op);

	if (op->b == IR_NONE && op->a == IR_NONE)
		x_mov_r_i(a, dst, op->imm);
	else if (op->b == IR_NONE && !op->imm)
		x_mov_r_rm(a, 4, dst, x_r(back_reg(op->a)));
	else if (op->a == IR_NONE && !op->scale)
		x_lea(a, 4, dst, x_m(back_reg(op->b), (int32_t)op->imm));
	else
		x_lea(a, 4, dst, m);
}

static bool is_checked(const struct ir_op *op)
{
	return op->cond & IR_AT_CHECKED;
}

/* What is checked has a base, and so have FS and GS; the others are flat. */
static bool has_base(const struct ir_op *op)
{
	return is_checked(op) || op->seg == SEG_FS || op->seg == SEG_GS;
}

/* A member of the segment's register. */
static struct xrm seg_mem(const struct ir_op *op, size_t member)
{
	return x_m(H_CPU, CPU_OFF(seg) + (int32_t)(op->seg * sizeof(struct segment) + member));
}

static struct xrm base_of(const struct ir_op *op)
{
	return seg_mem(op, offsetof(struct segment, base));
}

/* H_PTR = the address in its segment. */
static void load_offset(struct back *k, const struct ir_op *op)
{
	struct xasm *a = &k->a;

	if (!(op->cond & IR_AT_16)) {
		load_address(a, op, H_PTR);
	} else if (op->b == IR_NONE && op->a != IR_NONE && !op->imm) {
		x_rm(a, 4, X_0F | 0xb7, H_PTR, x_r(back_reg(op->a)));
	} else {
		load_address(a, op, H_PTR);
		x_rm(a, 4, X_0F | 0xb7, H_PTR, x_r(H_PTR));
	}
}

/* Leaves if the access does not end within what the segment surely allows. Flags are lost, and
 * H_TMP. False: there is no room. */
static bool check_segment(struct back *k, const struct ir_op *op, uint32_t id)
{
	struct xrm end = seg_mem(
		op, op->dst ? offsetof(struct segment, wr_end) : offsetof(struct segment, rd_end));
	struct xasm *a = &k->a;
	struct cold *c;

	if (op->size == 1) {
		x_alu_r_rm(a, 8, X_CMP, H_PTR, end);
		c = leave_if(k, id, X_AE);
	} else {
		x_lea(a, 8, H_TMP, x_m(H_PTR, op->size));
		x_alu_r_rm(a, 8, X_CMP, H_TMP, end);
		c = leave_if(k, id, X_A);
	}
	k->host_valid = 0;
	return c != NULL;
}

/* The host's flags are about to be lost. CF goes to its cell if it would be hard to make anew. */
static void keep_carry(struct back *k)
{
	const struct ir_op *op = k->op;

	if ((op->after_use & k->host_valid & IRF_C) && !k->cell_valid &&
		(k->rcp.over || k->rcp.op == RCP_ADC || k->rcp.op == RCP_SBB ||
			k->rcp.op >= RCP_SHL))
		carry_to_cell(k);
}

/* Low address bits that are 0 if an access is aligned, as far as the fast tables leave room. */
static unsigned align_bits(unsigned size)
{
	return size >= 8 ? 3 : size == 4 ? 2 : size - 1;
}

static bool wants_aligned(const struct back *k)
{
	const struct ir_op *op = k->op;

	return (op[1].op == IR_SSE || op[1].op == IR_SSEFL) &&
	       (sse_desc(&k->ir->insn[op->insn])->flags & S_A);
}

/* H_PTR -= the entry at index H_TMP of the table; H_TMP is lost. */
static void sub_entry(struct back *k, const struct ir_op *op)
{
	int32_t table = op->dst ? TLB_WRITE_OFF : 0;
	struct xasm *a = &k->a;

	if (!k->window) {
		x_alu_r_rm(a, 8, X_SUB, H_PTR, x_mi(H_MEM, H_TMP, 3, table));
		return;
	}
	x_shift_i(a, 8, X_SHL, x_r(H_TMP), 3);
	x_alu_r_rm(a, 8, X_ADD, H_TMP, CPU_MEM(run_tlb));
	x_alu_r_rm(a, 8, X_SUB, H_PTR, x_m(H_TMP, table));
}

/*
 * The entry of the fast table is what to take off the linear address to get the host's: that
 * borrows exactly if the entry is valid (mem.h). The index has the page below and the low bits of
 * the address above: there are no valid entries for addresses that are not aligned.
 */
static void host_by_table(struct back *k)
{
	const struct ir_op *op = k->op;
	struct xasm *a = &k->a;
	bool aligned = wants_aligned(k);
	unsigned low = op->size > 8 && !aligned ? 0 : align_bits(op->size);
	struct cold *c;
	uint32_t id;

	keep_carry(k);
	share_named(k);
	if (!aligned && share_follow(k))
		return;
	id = exit_id(k);
	load_offset(k, op);
	if (op[1].op == IR_FPU)
		x_mov_rm_r(a, 4, fpu_cell(!k->note.cell), H_PTR);
	if (is_checked(op) && !check_segment(k, op, id))
		return;
	if (has_base(op))
		x_alu_r_rm(a, 4, X_ADD, H_PTR, base_of(op));
	if (aligned) {
		/* #GP(0), before all else */
		x_test_rm_i(a, 1, x_r(H_PTR), 15);
		if (!leave_if(k, id, X_NE))
			return;
	}
	if (low && k->bmi2) {
		x_rorx(a, H_TMP, H_PTR, low);
	} else {
		x_mov_r_rm(a, 4, H_TMP, x_r(H_PTR));
		if (low)
			x_shift_i(a, 4, X_ROR, x_r(H_TMP), low);
	}
	x_shift_i(a, 4, X_SHR, x_r(H_TMP), 12 - low);
	sub_entry(k, op);
	c = cold_add(k, COLD_HOST, x_jcc(a, X_AE));
	if (!c)
		return;
	if (op->size > 8 && !aligned) {
		/* Does it end in another page? */
		x_lea(a, 4, H_TMP, x_m(H_PTR, (int32_t)op->size - 1));
		x_alu_rm_r(a, 4, X_XOR, x_r(H_TMP), H_PTR);
		x_test_rm_i(a, 4, x_r(H_TMP), 0x1000);
		c->jump2 = x_jcc(a, X_NE);
	}
	c->id = id;
	c->back = a->p;
	k->h = x_m(H_PTR, 0);
	k->host_valid = 0;
	k->n_looked_up++;
	share_lead(k);
}

/* By the table, if the access lies in one page. Without an entry, nothing is taken off the address.
 * Returns the jump of those that are found. */
static uint8_t *cold_lookup(struct back *k, const struct ir_op *op)
{
	struct xasm *a = &k->a;
	uint8_t *cross, *found;

	x_mov_r_rm(a, 4, H_TMP, x_r(H_PTR));
	x_alu_rm_i(a, 4, X_AND, x_r(H_TMP), 0xfff);
	x_alu_rm_i(a, 4, X_CMP, x_r(H_TMP), 4096u - op->size);
	cross = x_jcc(a, X_A);
	x_mov_r_rm(a, 4, H_TMP, x_r(H_PTR));
	x_shift_i(a, 4, X_SHR, x_r(H_TMP), 12);
	sub_entry(k, op);
	found = x_jcc(a, X_B);
	x_here(a, cross);
	return found;
}

void cold_host(struct back *k, const struct cold *c)
{
	const struct ir_op *op = c->op;
	bool shares = c->kind == COLD_SHARE;
	struct xasm *a = &k->a;
	uint8_t *found = NULL, *at;

	x_here(a, c->jump);
	if (shares) {
		load_offset(k, op);
		if (has_base(op))
			x_alu_r_rm(a, 4, X_ADD, H_PTR, base_of(op));
	}
	if (op->size > 1 || shares)
		found = cold_lookup(k, op);
	fpu_note_emit(k, &c->note);
	x_mov_rm_i(a, 4, CPU_MEM(tcg_exit), c->id | TCG_EXIT_STEP);
	x_mov_r_i(a, H_TMP, op->size | (op->dst ? TCG_HOST_WRITE : 0));
	at = x_call(a);
	x_to(a, at, k->mem->rw + back_tramp(k->cpu)->host);
	if (found)
		x_here(a, found);
	if (shares)
		share_cold(k, c);
	at = x_jmp(a);
	x_to(a, at, c->back);
	if (!c->jump2)
		return;
	x_here(a, c->jump2);
	fpu_note_emit(k, &c->note);
	leave(k, c->id | TCG_EXIT_STEP);
}

/* ---- memory by a window ---- */

/* Does the instruction use AH..BH? They may change places with AL..BL while it accesses memory. */
static bool insn_uses_hi(const struct back *k)
{
	const struct ir_op *end = k->ir->op + k->ir->n_ops;

	for (const struct ir_op *op = k->op + 1; op < end && op->op != IR_INSN; op++)
		if (is_hi_byte(op->dst) || is_hi_byte(op->a) || is_hi_byte(op->b))
			return true;
	return false;
}

/* The host's sum of 64 bits is the guest's of 32, but for what the guards catch: registers have 32
 * bits, and displacements are not much below 0. */
#define WINDOW_DISP_MIN (-(1 << 24))

static bool is_direct(const struct back *k)
{
	const struct ir_op *op = k->op;

	if (op->b != IR_NONE || has_base(op) || op[1].op == IR_FPU)
		return false;
	if (op->a == IR_NONE)
		return (int32_t)op->imm >= 0;
	return op->a <= IR_EDI && (int32_t)op->imm >= WINDOW_DISP_MIN && !insn_uses_hi(k);
}

/* Two registers and a displacement: with the window's base, the host can only add them by GS. */
static bool is_indexed(const struct back *k)
{
	const struct ir_op *op = k->op;

	if (op->b == IR_NONE || has_base(op) || op[1].op == IR_FPU || insn_uses_hi(k))
		return false;
	return (op->a == IR_NONE || op->a <= IR_EDI) && op->b <= IR_EDI;
}

/* No flags change, and nothing is checked but the segment, if need be: the host does it, at the
 * access itself. */
static void host_by_window(struct back *k)
{
	const struct ir_op *op = k->op;
	struct xasm *a = &k->a;
	struct tb_fault *f = &k->fault[k->n_faults];
	struct cold *c;
	uint32_t id;

	if (is_checked(op))
		keep_carry(k);
	id = exit_id(k);
	if (k->n_faults == MAX_FAULT) {
		k->too_big = true;
		return;
	}
	k->insn_slots |= rcp_slots(k);
	*f = (struct tb_fault){ .from = (uint32_t)(a->p - k->mem->rw),
		.id = id,
		.size = op->size,
		.write = op->dst,
		.aligned = wants_aligned(k) };
	if (k->note.any) {
		c = cold_add(k, COLD_FAULT, NULL);
		if (!c)
			return;
		c->id = id;
		c->fault = k->n_faults;
	}
	k->n_faults++;
	if (k->gs && is_indexed(k)) {
		k->h = address(op);
		k->h.gs = true;
		return;
	}
	if (is_direct(k)) {
		k->h = x_m(H_MEM, (int32_t)op->imm);
		if (op->a != IR_NONE)
			k->h = x_mi(H_MEM, back_reg(op->a), 0, (int32_t)op->imm);
		return;
	}
	load_offset(k, op);
	if (op[1].op == IR_FPU)
		x_mov_rm_r(a, 4, fpu_cell(!k->note.cell), H_PTR);
	if (is_checked(op) && !check_segment(k, op, id))
		return;
	if (has_base(op)) {
		x_mov_r_rm(a, 4, H_TMP, base_of(op));
		x_lea(a, 4, H_PTR, x_mi(H_PTR, H_TMP, 0, 0));
	}
	k->h = x_mi(H_MEM, H_PTR, 0, 0);
}

void mem_touch(struct back *k)
{
	const struct tb_fault *f;
	struct xasm *a = &k->a;

	if ((k->h.base != H_MEM && !k->h.gs) || k->too_big)
		return;
	f = &k->fault[k->n_faults - 1];
	if (f->size == 1)
		x_rm(a, 4, X_0F | 0xb6, H_TMP, k->h);
	else
		x_mov_r_rm(a, f->size, H_TMP, k->h);
	if (f->write)
		x_mov_rm_r(a, f->size, k->h, H_TMP);
}

/* A shift by 0, a comparison whose flags nobody wants: no op is left, but the access is. */
static bool is_used(const struct back *k)
{
	const struct ir_op *end = k->ir->op + k->ir->n_ops;

	for (const struct ir_op *op = k->op + 1; op < end; op++) {
		if (op->op == IR_INSN || op->op == IR_HOST)
			return false;
		if (op->dst == IR_MEM || op->a == IR_MEM || op->b == IR_MEM)
			return true;
	}
	return false;
}

/* FSTP m80: the host may have written a part of it when it finds that the other page is not there.
 */
static bool is_in_parts(const struct back *k)
{
	return k->op[1].op == IR_FPU && k->op->size == 16 && k->op->dst;
}

static bool is_temporary(unsigned r)
{
	return r == IR_T0 || r == IR_T1;
}

/*
 * Does the instruction write cells before its last access? If it faults there, and its flags are
 * those of the block's entry, nobody here knows which cells those need.
 */
static bool keeps_early(const struct back *k)
{
	const struct ir_op *end = k->ir->op + k->ir->n_ops;
	bool kept = false;

	for (const struct ir_op *op = k->op + 1; op < end && op->op != IR_INSN; op++) {
		bool mem = op->dst == IR_MEM || op->a == IR_MEM || op->b == IR_MEM;

		if (mem && kept)
			return true;
		if (!(op->live_use | op->live_exit))
			continue;
		if (mem && (op->op == IR_ADC || op->op == IR_SBB ||
				   (op->op >= IR_SHL && op->op <= IR_IMUL)))
			return true;
		/* CMPS: it does not outlive the instruction, and is kept first. */
		if (mem && (is_temporary(op->a) || is_temporary(op->b)))
			return true;
		kept = true;
	}
	return false;
}

void emit_host(struct back *k)
{
	if (!k->window || is_in_parts(k) ||
		window_site_is_slow(k->cpu, k->ir->insn_eip[k->op->insn])) {
		host_by_table(k);
		return;
	}
	host_by_window(k);
	if (!k->too_big && (!is_used(k) || (k->rcp.op == RCP_ENTRY && keeps_early(k))))
		mem_touch(k);
}
