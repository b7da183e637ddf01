/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The x86-64 back end's ways from a block to others, and to its own instructions: edges,
 * conditional jumps, jumps to what a register says. back_tramp.c links the edges.
 */
#include "back_int.h"

#include "log.h"

#define EDGE_LEN 72
#define KEEP_LEN 20 /* of emit_keep(), at most */

static const struct keep *keep_of(const struct back *k, const struct tb_edge *e)
{
	return &k->edge_keep[e - k->tb->edge];
}

void place_edge(struct back *k, struct tb_edge *e, uint32_t len)
{
	struct xasm *a = &k->a;

	e->code = (uint32_t)(a->p - k->mem->rw);
	e->code_len = len + (keep_of(k, e)->on ? KEEP_LEN : 0);
	leave(k, meta_off(k, e) | TCG_EXIT_EDGE);
	while (!a->overflow && (uint32_t)(a->p - k->mem->rw) < e->code + e->code_len)
		x_u8(a, 0xcc);
}

/* All ways from the edge to C lead by here. */
static void place_keep(struct back *k, struct tb_edge *e)
{
	struct xasm *a = &k->a;
	uint8_t *at;

	e->keep = (uint32_t)(a->p - k->mem->rw);
	emit_keep(k, keep_of(k, e));
	e->keep_len = (uint32_t)(a->p - k->mem->rw) - e->keep;
	must(e->keep_len <= KEEP_LEN);
	at = x_jmp(a);
	x_to(a, at, k->mem->rw + back_tramp(k->cpu)->exit);
	if (!a->overflow)
		back_unlink(k->cpu, k->mem, e);
}

static void place_stubs(struct back *k, struct tb_edge *e)
{
	if (keep_of(k, e)->on)
		place_keep(k, e);
	e->stub = (uint32_t)(k->a.p - k->mem->rw);
	leave_by(k, meta_off(k, e) | TCG_EXIT_BUDGET, edge_way_out(k->cpu, e));
	must(k->a.overflow || k->a.p == k->mem->rw + e->stub + BACK_STUB_LEN);
	leave_by(k, meta_off(k, e) | TCG_EXIT_STALE, edge_way_out(k->cpu, e));
}

struct tb_edge *edge_plain(struct back *k, uint32_t target)
{
	struct tb *tb = k->tb;
	struct tb_edge *e = &tb->edge[tb->n_edges];

	if (tb->n_edges == TB_MAX_EDGES) {
		k->too_big = true;
		return NULL;
	}
	tb->n_edges++;
	*e = (struct tb_edge){ .from = tb,
		.target = target,
		.other_page = ((tb->lin + (target - tb->eip)) ^ tb->lin) >> 12 != 0 };
	k->edge_keep[e - tb->edge].on = false;
	return e;
}

static struct tb_edge *edge_new(struct back *k, uint32_t target)
{
	struct tb *tb = k->tb;
	struct tb_edge *e = edge_plain(k, target);

	if (!e)
		return NULL;
	e->recipe = rcp_store(k);
	e->refund = (uint16_t)(tb->n_insns - (k->op->insn + 1u));
	k->edge_keep[e - tb->edge] = k->keep;
	if (k->rcp.op == RCP_ENTRY) {
		k->entry_used = true;
		tb->entry_regs = 0xff;
	}
	return e;
}

/* A register changes by its own value and others', and nothing else does. */
static bool is_simple(const struct ir_op *op)
{
	if (op->size != 4 || op->dst > IR_EDI)
		return false;
	switch (op->op) {
	case IR_MOV:
	case IR_ADD:
	case IR_OR:
	case IR_AND:
	case IR_SUB:
	case IR_XOR:
	case IR_INC:
	case IR_DEC:
	case IR_NEG:
	case IR_NOT:
	case IR_LEA: return op->a != IR_MEM && op->b != IR_MEM;
	case IR_SHL:
	case IR_SHR:
	case IR_SAR: return op->b == IR_IMM;
	default: return false;
	}
}

/* H_T0 = what op makes of its operands. Flags change. */
static void simple_to_t0(struct back *k, const struct ir_op *op)
{
	static const uint8_t digit[] = { 0, 1, 3, 2 }; /* INC DEC NEG NOT */
	static const uint8_t shift[] = { X_SHL, X_SHR, X_SAR };
	struct xrm t0 = x_r(H_T0);
	struct xasm *a = &k->a;

	if (op->op == IR_LEA) {
		load_address(a, op, H_T0);
		return;
	}
	if (op->op == IR_MOV && op->a == IR_IMM)
		x_mov_r_i(a, H_T0, op->imm);
	else
		x_mov_r_rm(a, 4, H_T0, x_r(back_reg(op->a)));
	if (op->op >= IR_INC && op->op <= IR_NOT)
		x_rm(a, 4, op->op <= IR_DEC ? 0xff : 0xf7, digit[op->op - IR_INC], t0);
	else if (op->op >= IR_SHL && op->op <= IR_SAR)
		x_shift_i(a, 4, shift[op->op - IR_SHL], t0, op->imm);
	else if (op->op != IR_MOV && op->b == IR_IMM)
		x_alu_rm_i(a, 4, alu_code(op->op), t0, op->imm);
	else if (op->op != IR_MOV)
		x_alu_rm_r(a, 4, alu_code(op->op), t0, back_reg(op->b));
}

bool is_joined(const struct back *k, unsigned insn)
{
	for (unsigned i = 0; i < k->n_joins; i++)
		if (k->join[i].insn == insn)
			return true;
	return false;
}

/* A jump over one simple instruction is no jump, but a choice: it cannot be guessed wrong. */
static bool emit_choice(struct back *k)
{
	const struct ir_op *op = k->op, *x = op + 2;
	struct xasm *a = &k->a;

	if (x[-1].op != IR_INSN || x[1].op != IR_INSN || x[1].insn != op->join || !is_simple(x))
		return false;
	if (is_joined(k, x->insn))
		return false;
	x_mov_r_i(a, H_TMP, 0);
	x_rm(a, 1, X_0F | 0x90 | op->cond, 0, x_r(H_TMP));
	x_lea(a, 8, H_BUDGET, x_mi(H_BUDGET, H_TMP, 0, 0));
	simple_to_t0(k, x);
	x_test_rm_r(a, 4, x_r(H_TMP), H_TMP);
	x_rm(a, 4, X_0F | 0x40 | X_E, back_reg(x->dst), x_r(H_T0));
	rcp_set(k, RCP_CC, 0, RCP_NO, RCP_NO, RCP_NO, 0, 0);
	k->skip = 2;
	return true;
}

/* Goes on within the block: what is skipped does not count. */
static void emit_jcc_join(struct back *k)
{
	const struct ir_op *op = k->op;
	int32_t skipped = op->join - (op->insn + 1);
	struct xasm *a = &k->a;

	if (!skipped)
		return;
	flags_to_host(k, ir_cond_flags(op->cond));
	if (emit_choice(k))
		return;
	x_lea(a, 8, H_BUDGET, x_m(H_BUDGET, skipped));
	k->join[k->n_joins].jump = x_jcc(a, op->cond);
	k->join[k->n_joins].insn = op->join;
	k->join[k->n_joins].fp_gated = k->fp_gated;
	k->join[k->n_joins++].sse_gated = k->sse_gated;
	x_lea(a, 8, H_BUDGET, x_m(H_BUDGET, -skipped));
}

/* Whatever is known here has to be true on all ways. Of the flags, nothing is asked. */
void emit_insn(struct back *k)
{
	k->insn_slots = 0;
	if (!is_joined(k, k->op->insn))
		return;
	fpu_note_flush(k);
	share_end(k);
	for (unsigned i = 0; i < k->n_joins; i++) {
		if (k->join[i].insn != k->op->insn)
			continue;
		x_here(&k->a, k->join[i].jump);
		k->sse_gated = k->sse_gated && k->join[i].sse_gated;
		k->fp_gated = k->fp_gated && k->join[i].fp_gated;
	}
	rcp_set(k, RCP_CC, 0, RCP_NO, RCP_NO, RCP_NO, 0, 0);
}

void emit_jcc(struct back *k)
{
	const struct ir_op *op = k->op;
	bool back = op->imm <= k->ir->insn_eip[op->insn];
	struct xasm *a = &k->a;
	struct tb_edge *e;
	unsigned cond;
	uint8_t *at;

	if (op->join) {
		emit_jcc_join(k);
		return;
	}
	if (op->op == IR_JCC) {
		flags_to_host(k, ir_cond_flags(op->cond));
		cond = op->cond;
	} else {
		x_test_rm_r(a, op->size, x_r(X_RCX), X_RCX);
		k->host_valid = 0;
		cond = op->op == IR_JZR ? X_E : X_NE;
	}
	at = x_jcc(a, back ? cond ^ 1 : cond);
	e = edge_new(k, op->imm);
	if (!e)
		return;
	if (back) { /* a loop, mostly */
		place_edge(k, e, EDGE_LEN);
		x_here(a, at);
	} else { /* its displacement is filled in when the edge has its place */
		e->code = (uint32_t)(at - k->mem->rw);
	}
	if (k->keep.on && (op->after_use | op->after_exit))
		emit_keep(k, &k->keep);
	k->keep.on = false;
}

/* What follows knows nothing of this block: its flags must be found by cpu->fl_desc. */
static void store_desc(struct back *k)
{
	struct xasm *a = &k->a;

	if (k->rcp.op == RCP_ENTRY) {
		k->entry_used = true;
		k->tb->entry_regs = 0xff;
		return;
	}
	for (unsigned r = IR_EAX; r <= IR_EDI; r++) {
		struct ir_op all = { .after_exit = IRF_ALL };
		const struct ir_op *op = k->op;

		k->op = &all;
		rcp_clobber(k, r);
		k->op = op;
	}
	if (k->rcp.op == RCP_CC)
		x_mov_rm_i(a, 4, CPU_MEM(fl_desc), 0);
	else
		x_mov_rm_i(a, 4, CPU_MEM(fl_desc), rcp_store(k));
}

void back_find_jump(struct xasm *a)
{
	_Static_assert(JUMP_CACHE_BITS == 16, "MOVZX makes the index");
	x_rm(a, 4, X_0F | 0xb7, H_TMP, x_r(H_PTR));
	x_shift_i(a, 4, X_SHL, x_r(H_TMP), 4);
	x_alu_r_rm(a, 8, X_ADD, H_TMP, CPU_MEM(jump_cache));
	x_mov_r_rm(a, 8, X_R11, CPU_MEM(tcg_gen));
	x_alu_rm_r(a, 8, X_ADD, x_r(X_R11), H_PTR);
	x_alu_r_rm(a, 8, X_CMP, X_R11, x_m(H_TMP, 0));
}

void emit_jump_reg(struct back *k)
{
	const struct ir_op *op = k->op;
	struct xasm *a = &k->a;
	bool call = is_call(k, op);
	struct cold *c;

	store_desc(k);
	k->exit = NULL;
	x_mov_r_rm(a, 4, H_PTR, operand(k, op->a));
	if (k->returns && op->dst == IR_RET) {
		x_u8(a, 0xc3);
		return;
	}
	back_find_jump(a);
	c = cold_add(k, COLD_INDIRECT, x_jcc(a, X_NE));
	if (c)
		c->id = exit_id(k);
	x_rm(a, 4, 0xff, call ? 2 : 4, x_m(H_TMP, 8));
	if (!call)
		return;
	if (c)
		c->back = a->p;
	emit_pad(k);
}

void emit_jump(struct back *k)
{
	uint8_t *at;

	if (is_call(k, k->op)) {
		at = x_call(&k->a);
		emit_pad(k);
		x_here(&k->a, at);
	}
	edge_new(k, k->op->imm);
}

void push_rx(struct back *k, const uint8_t *at)
{
	x_mov_r_i64(&k->a, H_TMP, (uintptr_t)(k->mem->rx + (at - k->mem->rw)));
	x_push(&k->a, H_TMP);
}

void place_edges(struct back *k)
{
	const struct ir_block *ir = k->ir;
	struct tb *tb = k->tb;
	unsigned last = tb->n_edges;

	if (ir->op[ir->n_ops - 1].op == IR_JMP)
		place_edge(k, &tb->edge[--last], EDGE_LEN);
	for (unsigned i = 0; i < last; i++) {
		uint8_t *at = k->mem->rw + tb->edge[i].code;

		if (tb->edge[i].code_len)
			continue;
		x_here(&k->a, at);
		place_edge(k, &tb->edge[i], EDGE_LEN);
	}
}

void place_edge_stubs(struct back *k)
{
	for (unsigned i = 0; i < k->tb->n_edges; i++)
		place_stubs(k, &k->tb->edge[i]);
}
