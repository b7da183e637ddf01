/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The x86-64 back end: IR to host code, one op at a time, nearly one instruction for one. The
 * guest's registers are the host's (tb.h), so what is left to do is memory (back_mem.c), flags
 * (back_flags.c) and the ways out (back_jump.c). docs/translator.md has the picture.
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

void leave_by(struct back *k, uint32_t id, uint32_t out)
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
	place_edges(k);
	for (unsigned i = 0; i < k->n_cold; i++) {
		k->op = k->cold[i].op;
		cold_emit(k, &k->cold[i]);
	}
	place_edge_stubs(k);
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
