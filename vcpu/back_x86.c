/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The x86-64 back end: IR to host code, one op at a time, nearly one instruction for one. The
 * guest's registers are the host's (tb.h), so what is left to do is memory, flags (back_flags.c)
 * and the ways out. docs/translator.md has the picture.
 */
#include "back_int.h"

#include "icache.h"
#include "log.h"
#include "window.h"

static const uint8_t host_reg[] = {
	[IR_EAX] = X_RAX,
	[IR_ECX] = X_RCX,
	[IR_EDX] = X_RDX,
	[IR_EBX] = X_RBX,
	[IR_ESP] = H_ESP,
	[IR_EBP] = X_RBP,
	[IR_ESI] = X_RSI,
	[IR_EDI] = X_RDI,
	[IR_AH] = X_AH,
	[IR_CH] = X_CH,
	[IR_DH] = X_DH,
	[IR_BH] = X_BH,
	[IR_T0] = H_T0,
	[IR_T1] = H_T1,
};

unsigned back_reg(unsigned r)
{
	must(r < sizeof(host_reg));
	return host_reg[r];
}

struct xrm operand(const struct back *k, unsigned r)
{
	return r == IR_MEM ? k->h : x_r(back_reg(r));
}

struct cold *cold_add(struct back *k, unsigned kind, uint8_t *jump)
{
	struct cold *c = &k->cold[k->n_cold];

	if (k->n_cold == MAX_COLD) {
		k->too_big = true;
		return NULL;
	}
	if (kind != COLD_STEP && kind != COLD_HOST && kind != COLD_SHARE && kind != COLD_FPU &&
		kind != COLD_XMM)
		share_end(k); /* it comes back with other registers; the gates': share_op() */
	k->n_cold++;
	*c = (struct cold){ .kind = kind, .jump = jump, .op = k->op, .note = k->note };
	return c;
}

/* One record serves all ops of an instruction. */
uint32_t exit_id(struct back *k)
{
	struct tb *tb = k->tb;

	if (k->exit && k->exit->insn == k->op->insn)
		return meta_off(k, k->exit);
	if (tb->n_exits == TB_MAX_EXITS) {
		k->too_big = true;
		return 0;
	}
	k->exit = &tb->exit[tb->n_exits++];
	*k->exit = (struct tb_exit){ .tb = tb, .recipe = rcp_store(k), .insn = k->op->insn };
	if (k->rcp.op == RCP_ENTRY)
		k->entry_used = true;
	return meta_off(k, k->exit);
}

struct cold *leave_if(struct back *k, uint32_t id, enum x_cond cond)
{
	struct cold *c = cold_add(k, COLD_STEP, x_jcc(&k->a, cond));

	if (c)
		c->id = id;
	return c;
}

/* out: offset of what leads to C */
static void leave_by(struct back *k, uint32_t id, uint32_t out)
{
	struct xasm *a = &k->a;
	uint8_t *at;

	x_mov_rm_i(a, 4, CPU_MEM(tcg_exit), id);
	at = x_jmp(a);
	x_to(a, at, k->mem->rw + out);
}

void leave(struct back *k, uint32_t id)
{
	leave_by(k, id, back_tramp(k->cpu)->exit);
}

/* ---- moves ---- */

static bool swap_needed(const struct ir_op *op)
{
	bool hi = is_hi_byte(op->dst) || is_hi_byte(op->a);

	return op->size == 1 && hi && (!is_guest(op->dst) || (!is_guest(op->a) && op->a != IR_IMM));
}

static void emit_mov(struct back *k)
{
	struct ir_op o = *k->op;
	struct xasm *a = &k->a;
	unsigned pair = IR_NONE;

	rcp_clobber(k, o.dst);
	if (swap_needed(&o)) {
		pair = whole_reg(is_hi_byte(o.dst) ? o.dst : o.a);
		if (o.dst == IR_MEM || o.a == IR_MEM)
			mem_touch(k);
		x_rm(a, 1, 0x86, pair, x_r(X_AH + pair));
		if (is_hi_byte(o.dst))
			o.dst = (uint8_t)pair;
		else
			o.a = (uint8_t)pair;
	}
	if (o.a == IR_IMM) {
		if (o.dst != IR_MEM && o.size == 4)
			x_mov_r_i(a, back_reg(o.dst), o.imm);
		else
			x_mov_rm_i(a, o.size, operand(k, o.dst), o.imm);
	} else if ((o.dst == IR_T0 || o.dst == IR_T1) && o.size < 4) {
		x_rm(a, 4, X_0F | (o.size == 1 ? 0xb6 : 0xb7), back_reg(o.dst), operand(k, o.a));
	} else if (o.dst == IR_MEM) {
		x_mov_rm_r(a, o.size, operand(k, IR_MEM), back_reg(o.a));
	} else {
		x_mov_r_rm(a, o.size, back_reg(o.dst), operand(k, o.a));
	}
	if (pair != IR_NONE)
		x_rm(a, 1, 0x86, pair, x_r(X_AH + pair));
}

static void emit_movx(struct back *k)
{
	const struct ir_op *op = k->op;
	unsigned opcode = (op->op == IR_MOVZX ? 0xb6 : 0xbe) + (op->cond == 2), src = op->a;
	struct xasm *a = &k->a;
	bool swap = is_hi_byte(src) && (back_reg(op->dst) & 8);

	rcp_clobber(k, op->dst);
	/* ESP = extension of AH: they do not go into one encoding */
	if (swap) {
		x_rm(a, 1, 0x86, whole_reg(src), x_r(X_AH + whole_reg(src)));
		src = whole_reg(src);
	}
	x_rm(a, op->size, X_0F | opcode, back_reg(op->dst), operand(k, src));
	if (swap)
		x_rm(a, 1, 0x86, src, x_r(X_AH + src));
}

static void emit_lea(struct back *k)
{
	const struct ir_op *op = k->op;

	rcp_clobber(k, op->dst);
	if (op->size == 4) {
		load_address(&k->a, op, back_reg(op->dst));
	} else {
		load_address(&k->a, op, H_TMP);
		x_mov_r_rm(&k->a, 2, back_reg(op->dst), x_r(H_TMP));
	}
}

/* dst = a + ((b >> 5) << 2) */
static void emit_btaddr(struct back *k)
{
	const struct ir_op *op = k->op;
	unsigned dst = back_reg(op->dst);
	struct xasm *a = &k->a;

	x_mov_r_rm(a, 4, H_TMP, x_r(back_reg(op->b)));
	x_shift_i(a, 4, X_SAR, x_r(H_TMP), 5);
	x_lea(a, 4, dst, x_mi(op->a == IR_NONE ? (unsigned)X_NO : back_reg(op->a), H_TMP, 2, 0));
	k->host_valid = 0;
}

static void emit_bswap(struct back *k)
{
	unsigned r = back_reg(k->op->dst);

	rcp_clobber(k, k->op->dst);
	if (k->op->size == 2) {
		x_mov_rm_i(&k->a, 2, x_r(r), 0);
		return;
	}
	x_name(&k->a, r);
	if (r & 8)
		x_u8(&k->a, 0x41);
	x_u8(&k->a, 0x0f);
	x_u8(&k->a, 0xc8 | (r & 7));
}

static void emit_xchg(struct back *k)
{
	const struct ir_op *op = k->op;

	rcp_clobber(k, op->dst);
	rcp_clobber(k, op->a);
	x_rm(&k->a, op->size, op->size == 1 ? 0x86 : 0x87, back_reg(op->a), operand(k, op->dst));
}

static void emit_cdq(struct back *k)
{
	rcp_clobber(k, IR_EDX);
	if (k->op->size == 2)
		x_u8(&k->a, 0x66);
	x_u8(&k->a, 0x99);
}

static void emit_page2(struct back *k)
{
	struct xasm *a = &k->a;
	struct tb *tb = k->tb;
	uint32_t id = exit_id(k);

	x_rm(a, 4, 0x81, X_CMP, x_m(H_CPU, CPU_OFF(tcg_link_gen) + (tb->page2_global ? 4 : 0)));
	tb->page2_at = (uint32_t)(a->p - k->mem->rw);
	x_u32(a, tb->page2_gen);
	k->host_valid = 0;
	leave_if(k, id, X_NE);
}

/* ---- ways to other blocks ---- */

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

static void place_edge_stubs(struct back *k, struct tb_edge *e)
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
static void emit_insn(struct back *k)
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

static void emit_jcc(struct back *k)
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

/* Ends the block: at what a register says. */
static void emit_jump_reg(struct back *k)
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

/* Ends the block: at a fixed address. Its edge comes next, or behind the pad. */
static void emit_jump(struct back *k)
{
	uint8_t *at;

	if (is_call(k, k->op)) {
		at = x_call(&k->a);
		emit_pad(k);
		x_here(&k->a, at);
	}
	edge_new(k, k->op->imm);
}

/* Where code at `at` is executed. H_TMP is lost. */
static void push_rx(struct back *k, const uint8_t *at)
{
	x_mov_r_i64(&k->a, H_TMP, (uintptr_t)(k->mem->rx + (at - k->mem->rw)));
	x_push(&k->a, H_TMP);
}

static void cold_emit(struct back *k, struct cold *c)
{
	struct xasm *a = &k->a;
	uint8_t *at;

	switch (c->kind) {
	case COLD_HOST:
	case COLD_SHARE: cold_host(k, c); break;
	case COLD_STEP:
		x_here(a, c->jump);
		if (c->jump2)
			x_here(a, c->jump2);
		fpu_note_emit(k, &c->note);
		leave(k, c->id | TCG_EXIT_STEP);
		break;
	case COLD_SHIFT:
		x_here(a, c->jump);
		if (!c->is_cc)
			call_flags(k, c->id);
		load_cc(a); /* both ways must agree on what the host's flags are */
		at = x_jmp(a);
		x_to(a, at, c->back);
		break;
	case COLD_FLAGS:
		x_here(a, c->jump);
		call_flags(k, 0);
		at = x_jmp(a);
		x_to(a, at, c->back);
		break;
	case COLD_CARRY:
		x_here(a, c->jump);
		x_alu_rm_i(a, 4, X_CMP, CPU_MEM(fl_desc), 0);
		at = x_jcc(a, X_E);
		call_flags(k, 0);
		x_here(a, at);
		x_rm(a, 4, X_0F | 0xb6, H_TMP, x_m(H_CPU, CPU_OFF(cc) + 1));
		x_alu_rm_i(a, 4, X_AND, x_r(H_TMP), 1);
		x_mov_rm_r(a, 1, CPU_MEM(fl_c), H_TMP);
		at = x_jmp(a);
		x_to(a, at, c->back);
		break;
	case COLD_FPU: cold_fpu(k, c); break;
	case COLD_XMM: cold_xmm(k, c); break;
	case COLD_FAULT:
		k->fault[c->fault].stub = (uint32_t)(a->p - k->mem->rw);
		fpu_note_emit(k, &c->note);
		leave(k, c->id | TCG_EXIT_STEP);
		break;
	case COLD_REP: cold_rep(k, c); break;
	case COLD_REP_FAULT: cold_rep_fault(k, c); break;
	case COLD_INDIRECT:
		x_here(a, c->jump);
		if (c->back)
			push_rx(k, c->back);
		x_mov_rm_i(a, 4, CPU_MEM(tcg_exit), c->id | TCG_EXIT_INDIRECT);
		at = x_jmp(a);
		x_to(a, at, k->mem->rw + back_tramp(k->cpu)->indirect);
		break;
	}
}

/* ---- the block ---- */

static void emit_op(struct back *k)
{
	switch ((enum ir_opcode)k->op->op) {
	case IR_INSN: emit_insn(k); break;
	case IR_PAGE2: emit_page2(k); break;
	case IR_HOST: emit_host(k); break;
	case IR_MOV: emit_mov(k); break;
	case IR_MOVZX:
	case IR_MOVSX: emit_movx(k); break;
	case IR_LEA: emit_lea(k); break;
	case IR_ADD:
	case IR_OR:
	case IR_ADC:
	case IR_SBB:
	case IR_AND:
	case IR_SUB:
	case IR_XOR: emit_alu(k); break;
	case IR_CMP:
	case IR_TEST: emit_cmp(k); break;
	case IR_INC:
	case IR_DEC:
	case IR_NEG:
	case IR_NOT: emit_unary(k); break;
	case IR_SHL:
	case IR_SHR:
	case IR_SAR:
	case IR_ROL:
	case IR_ROR:
	case IR_SHLD:
	case IR_SHRD: emit_shift(k); break;
	case IR_IMUL:
	case IR_MULX:
	case IR_IMULX: emit_mul(k); break;
	case IR_DIV:
	case IR_IDIV: emit_div(k); break;
	case IR_CDQ: emit_cdq(k); break;
	case IR_BT:
	case IR_BTS:
	case IR_BTR:
	case IR_BTC:
	case IR_BSF:
	case IR_BSR: emit_bit(k); break;
	case IR_BTADDR: emit_btaddr(k); break;
	case IR_BSWAP: emit_bswap(k); break;
	case IR_SETCC: emit_setcc(k); break;
	case IR_CMOV: emit_cmov(k); break;
	case IR_XCHG: emit_xchg(k); break;
	case IR_CLC:
	case IR_STC:
	case IR_CMC: emit_carry(k); break;
	case IR_GETFL: emit_getfl(k); break;
	case IR_EFL: emit_efl(k); break;
	case IR_GETSEG: emit_getseg(k); break;
	case IR_DIR: emit_dir(k); break;
	case IR_RDTSC: emit_rdtsc(k); break;
	case IR_SAHF: emit_sahf(k); break;
	case IR_CALLI: emit_calli(k); break;
	case IR_SSEGATE: emit_sse_gate(k); break;
	case IR_SSE:
	case IR_SSEFL: emit_sse(k); break;
	case IR_FPUGATE: emit_fpu_gate(k); break;
	case IR_FPU:
	case IR_FPUFL:
	case IR_FPUCC: emit_fpu(k); break;
	case IR_JCC:
	case IR_JZR:
	case IR_JNZR: emit_jcc(k); break;
	case IR_LIMIT: emit_limit(k); break;
	case IR_SETSEG: emit_setseg(k); break;
	case IR_JMP: emit_jump(k); break;
	case IR_JMPR: emit_jump_reg(k); break;
	case IR_CALLJ: emit_callj(k); break;
	default: must(false);
	}
}

/* Whoever goes on after these may ask where the last x87 instruction was, or its operand's segment
 * has another selector then. Others that may leave do it on their way out. */
static bool notes_end(unsigned op)
{
	switch (op) {
	case IR_RDTSC:
	case IR_SETSEG:
	case IR_CALLI:
	case IR_CALLJ:
	case IR_JCC:
	case IR_JZR:
	case IR_JNZR:
	case IR_JMP:
	case IR_JMPR: return true;
	default: return false;
	}
}

static bool host_has_bmi2(void)
{
	return __builtin_cpu_supports("bmi2");
}

/*
 * [indirect entry: take the count off] entry: ops; the last edge; out of line: other edges, slow
 * paths, stubs.
 */
static void emit_block(struct back *k)
{
	const struct ir_block *ir = k->ir;
	struct xasm *a = &k->a;
	struct tb *tb = k->tb;
	uint8_t *head;
	unsigned last;

	tb->indirect = (uint32_t)(a->p - k->mem->rw);
	x_alu_rm_i(a, 8, X_SUB, x_r(H_BUDGET), tb->n_insns);
	head = x_jcc(a, X_S);
	tb->entry = (uint32_t)(a->p - k->mem->rw);
	for (unsigned i = 0; i < ir->n_ops && !k->too_big; i++) {
		k->op = &ir->op[i];
		if (notes_end(k->op->op))
			fpu_note_flush(k);
		a->named = 0;
		emit_op(k);
		share_op(k);
		i += k->skip;
		k->skip = 0;
	}
	if (k->too_big || a->overflow)
		return;
	last = tb->n_edges;
	if (ir->op[ir->n_ops - 1].op == IR_JMP)
		place_edge(k, &tb->edge[--last], EDGE_LEN);
	for (unsigned i = 0; i < last; i++) {
		uint8_t *at = k->mem->rw + tb->edge[i].code;

		if (tb->edge[i].code_len)
			continue;
		x_here(a, at);
		place_edge(k, &tb->edge[i], EDGE_LEN);
	}
	for (unsigned i = 0; i < k->n_cold; i++) {
		k->op = k->cold[i].op;
		cold_emit(k, &k->cold[i]);
	}
	for (unsigned i = 0; i < tb->n_edges; i++)
		place_edge_stubs(k, &tb->edge[i]);
	x_here(a, head);
	leave(k, meta_off(k, tb) | TCG_EXIT_HEAD);
}

static bool take_faults(struct back *k)
{
	size_t len = k->n_faults * sizeof(k->fault[0]);

	k->tb->fault = k->alloc(k->opaque, len);
	if (!k->tb->fault)
		return false;
	memcpy(k->tb->fault, k->fault, len);
	k->tb->n_faults = (uint16_t)k->n_faults;
	return true;
}

size_t back_emit(struct cpu *cpu, const struct tcache_mem *mem, const struct ir_block *ir,
	struct tb *tb, uint32_t at, size_t len, void *(*alloc)(void *opaque, size_t len),
	void *opaque)
{
	static struct back k; /* large */
	size_t used;

	memset(&k, 0, offsetof(struct back, fault));
	k.n_cold = 0;
	k.too_big = false;
	k.a = (struct xasm){ mem->rw + at, mem->rw + at, mem->rw + at + len, false, 0 };
	k.cpu = cpu;
	k.mem = mem;
	k.ir = ir;
	k.tb = tb;
	k.alloc = alloc;
	k.opaque = opaque;
	k.bmi2 = host_has_bmi2();
	k.window = tb->key & KEY_WINDOW;
	k.gs = k.window && tb->key & KEY_USER && window_has_gs(cpu);
	k.returns = cpu->tcg_returns;
	k.rcp = (struct recipe){ .op = RCP_ENTRY, .a = RCP_NO, .b = RCP_NO, .c = RCP_NO };
	tb->n_edges = tb->n_exits = 0;
	tb->entry_regs = 0;
	tb->n_insns = (uint16_t)ir->n_insns;
	emit_block(&k);
	tb->n_looked_up = (uint16_t)k.n_looked_up;
	tb->n_shared = (uint16_t)k.n_shared;
	if (k.too_big)
		return 1;
	if (k.a.overflow)
		return 0;
	if (k.n_faults && !take_faults(&k))
		return 1;
	tb->entry_flags = k.entry_used;
	tb->entry_use = k.entry_used && ir->entry_use;
	tb->entry_carry = k.entry_carry;
	tb->code = at;
	used = (size_t)(k.a.p - k.a.start);
	tb->code_len = (uint32_t)used;
	return used;
}
