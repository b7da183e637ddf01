/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is known of each op of the intermediate representation: flags and registers that it touches,
 * its text, and the rules of a block's form (ir.h).
 */
#include "ir.h"

#include <stdarg.h>
#include <stdio.h>

struct op_info {
	uint8_t may, sure, uses, props;
};

static const struct op_info infos[IR_N_OPS] = {
#define X(name, may, sure, uses, props) [IR_##name] = { may, sure, uses, props },
	IR_OPS(X)
#undef X
};

const char *const ir_op_names[IR_N_OPS] = {
#define X(name, may, sure, uses, props) [IR_##name] = #name,
	IR_OPS(X)
#undef X
};

/* ---- flags ---- */

/* A shift by CL may be one by 0, which leaves all flags alone. */
static bool count_is_cl(const struct ir_op *op)
{
	switch (op->op) {
	case IR_SHL:
	case IR_SHR:
	case IR_SAR:
	case IR_ROL:
	case IR_ROR:
	case IR_SHLD:
	case IR_SHRD: return op->b != IR_IMM;
	default: return false;
	}
}

static bool is_quiet(const struct ir_op *op)
{
	return op->op == IR_CALLI && op->cond == IR_CALL_QUIET;
}

unsigned ir_defs(const struct ir_op *op)
{
	return is_quiet(op) ? 0 : infos[op->op].may;
}

unsigned ir_kills(const struct ir_op *op)
{
	return count_is_cl(op) || is_quiet(op) ? 0 : infos[op->op].sure;
}

unsigned ir_cond_flags(unsigned cond)
{
	static const uint8_t flags[8] = { IRF_O, IRF_C, IRF_Z, IRF_C | IRF_Z, IRF_S, IRF_P,
		IRF_S | IRF_O, IRF_Z | IRF_S | IRF_O };

	return flags[cond >> 1 & 7];
}

static bool has_cond(const struct ir_op *op)
{
	return op->op == IR_JCC || op->op == IR_SETCC || op->op == IR_CMOV || op->op == IR_FPUCC;
}

unsigned ir_uses(const struct ir_op *op)
{
	if (op->op == IR_CALLI && op->cond != IR_CALL_FLAGS)
		return 0;
	return infos[op->op].uses | (has_cond(op) ? ir_cond_flags(op->cond) : 0);
}

unsigned ir_props(const struct ir_op *op)
{
	return infos[op->op].props;
}

/* ---- registers ---- */

#define REGS_GUEST ((1u << (IR_EDI + 1)) - 1)
#define REGS_ALL   (REGS_GUEST | 1u << IR_MEM)

static unsigned reg_bit(unsigned r)
{
	if (r >= IR_IMM)
		return 0;
	return 1u << (r >= IR_AH && r <= IR_BH ? r - IR_AH : r);
}

static bool is_temp(unsigned r)
{
	return r == IR_T0 || r == IR_T1;
}

unsigned ir_regs_read(const struct ir_op *op)
{
	unsigned regs = reg_bit(op->a) | reg_bit(op->b);

	switch (op->op) {
	case IR_CALLI:
	case IR_CALLJ: return REGS_ALL;
	case IR_INSN:
	case IR_FPUGATE:
	case IR_SSEGATE:
	case IR_CLC:
	case IR_STC:
	case IR_CMC:
	case IR_EFL:
	case IR_JCC:
	case IR_JMP: return 0;
	case IR_HOST:
	case IR_JMPR: return regs; /* dst is no register */
	case IR_JZR:
	case IR_JNZR: return 1u << IR_ECX;
	case IR_MULX:
	case IR_IMULX:
	case IR_CDQ: return regs | 1u << IR_EAX | (op->size < 4 ? 1u << IR_EDX : 0);
	case IR_DIV:
	case IR_IDIV: return regs | 1u << IR_EAX | 1u << IR_EDX;
	case IR_SHLD:
	case IR_SHRD:
	case IR_BSF:
	case IR_BSR:
	case IR_CMOV:
	case IR_XCHG: return regs | reg_bit(op->dst);
	default: break;
	}
	if (op->size < 4 && op->dst <= IR_BH) /* the rest of it stays */
		regs |= reg_bit(op->dst);
	return regs;
}

unsigned ir_regs_written(const struct ir_op *op)
{
	switch (op->op) {
	case IR_CALLI: return is_quiet(op) ? (op->imm & REGS_GUEST) | 1u << IR_MEM : REGS_ALL;
	case IR_CALLJ: return REGS_ALL;
	case IR_INSN:
	case IR_FPUGATE:
	case IR_SSEGATE:
	case IR_HOST:
	case IR_LIMIT:
	case IR_SETSEG:
	case IR_JMP:
	case IR_JMPR:
	case IR_CMP:
	case IR_TEST:
	case IR_BT:
	case IR_CLC:
	case IR_STC:
	case IR_CMC:
	case IR_EFL:
	case IR_SAHF:
	case IR_JCC:
	case IR_JZR:
	case IR_JNZR: return 0;
	case IR_MULX:
	case IR_IMULX:
	case IR_RDTSC:
	case IR_DIV:
	case IR_IDIV: return 1u << IR_EAX | 1u << IR_EDX;
	case IR_CDQ: return 1u << IR_EDX;
	case IR_XCHG: return reg_bit(op->dst) | reg_bit(op->a);
	default: return reg_bit(op->dst);
	}
}

/* ---- text ---- */

struct text {
	char *buf;
	size_t len;
	int at;
};

__attribute__((format(printf, 2, 3))) static void put(struct text *t, const char *fmt, ...)
{
	size_t done = t->at < 0 || (size_t)t->at > t->len ? t->len : (size_t)t->at;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(t->buf + done, t->len - done, fmt, ap);
	va_end(ap);
	t->at += n > 0 ? n : 0;
}

static const char *reg_name(unsigned r, unsigned size)
{
	static const char *const names[3][IR_MEM + 1] = {
		{ "al", "cl", "dl", "bl", "spl", "bpl", "sil", "dil", "ah", "ch", "dh", "bh", "t0b",
			"t1b", "[h]" },
		{ "ax", "cx", "dx", "bx", "sp", "bp", "si", "di", "?", "?", "?", "?", "t0w", "t1w",
			"[h]" },
		{ "eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi", "?", "?", "?", "?", "t0",
			"t1", "[h]" },
	};

	if (r > IR_MEM)
		return "-";
	return names[size == 1 ? 0 : size == 2 ? 1 : 2][r];
}

static void put_operand(struct text *t, const struct ir_op *op, unsigned r, unsigned size)
{
	if (r == IR_IMM)
		put(t, "%#x", op->imm);
	else
		put(t, "%s", reg_name(r, size));
}

static void put_address(struct text *t, const struct ir_op *op)
{
	static const char *const segs[] = { "es:", "cs:", "ss:", "ds:", "fs:", "gs:" };
	bool has_seg = op->op == IR_HOST && (op->cond & IR_AT_CHECKED || op->seg != 3);
	const char *plus = "";

	put(t, "%s[", has_seg && op->seg < 6 ? segs[op->seg] : "");
	if (op->a != IR_NONE) {
		put(t, "%s", reg_name(op->a, 4));
		plus = "+";
	}
	if (op->b != IR_NONE) {
		put(t, "%s%s", plus, reg_name(op->b, 4));
		plus = "+";
		if (op->scale)
			put(t, "*%u", 1u << (op->scale & 3));
	}
	if (*plus && op->imm >= 0xffff0000u)
		put(t, "-%#x", -op->imm);
	else if (!*plus || op->imm)
		put(t, "%s%#x", plus, op->imm);
	put(t, "]");
	if (op->op == IR_HOST)
		put(t, "%s%s", op->cond & IR_AT_16 ? " 16" : "",
			op->cond & IR_AT_CHECKED ? " checked" : "");
}

static void put_flags(struct text *t, const char *what, unsigned flags)
{
	static const char letters[] = "CPAZSO";

	if (!flags)
		return;
	put(t, " %s ", what);
	for (unsigned i = 0; i < 6; i++)
		if (flags >> i & 1)
			put(t, "%c", letters[i]);
}

static void put_name(struct text *t, const struct ir_op *op)
{
	static const char *const conds[16] = { "o", "no", "b", "nb", "z", "nz", "be", "nbe", "s",
		"ns", "p", "np", "l", "nl", "le", "nle" };

	for (const char *p = ir_op_names[op->op]; *p; p++)
		put(t, "%c", *p >= 'A' && *p <= 'Z' ? *p + 32 : *p);
	if (has_cond(op))
		put(t, ".%s", conds[op->cond & 15]);
	if (op->size)
		put(t, ".%u", op->size * 8u);
}

static void put_operands(struct text *t, const struct ir_op *op)
{
	static const char *const jumps[] = { "jump", "call", "ret" };
	unsigned from = op->size;

	switch (op->op) {
	case IR_INSN:
	case IR_JCC:
	case IR_JZR:
	case IR_JNZR: put(t, " %#x", op->imm); return;
	case IR_LIMIT: put(t, " %s, %#x", reg_name(op->a, 4), op->imm); return;
	case IR_SETSEG: put(t, " seg %u, %s", op->imm, reg_name(op->a, 2)); return;
	case IR_HOST:
		put(t, " %s ", op->dst ? "write" : "read");
		put_address(t, op);
		return;
	case IR_LEA:
		put(t, " %s, ", reg_name(op->dst, op->size));
		put_address(t, op);
		return;
	case IR_JMP: put(t, " %#x (%s)", op->imm, op->dst < 3 ? jumps[op->dst] : "?"); return;
	case IR_JMPR:
		put(t, " %s (%s)", reg_name(op->a, 4), op->dst < 3 ? jumps[op->dst] : "?");
		return;
	case IR_EFL: put(t, " %s %#x", op->dst ? "set" : "clear", op->imm); return;
	case IR_DIR: put(t, " %s, %u", reg_name(op->dst, 4), op->imm); return;
	case IR_GETSEG: put(t, " %s, seg %u", reg_name(op->dst, op->size), op->imm); return;
	case IR_CALLI:
		if (is_quiet(op))
			put(t, " quiet, registers %#x", op->imm);
		else if (op->cond == IR_CALL_SETS)
			put(t, " sets flags");
		return;
	case IR_MOVZX:
	case IR_MOVSX: from = op->cond; break;
	default: break;
	}
	if (op->dst != IR_NONE)
		put(t, " %s%s", reg_name(op->dst, op->size), op->a != IR_NONE ? "," : "");
	if (op->a != IR_NONE) {
		put(t, " ");
		put_operand(t, op, op->a, from);
	}
	if (op->b != IR_NONE) {
		put(t, ", ");
		put_operand(t, op, op->b, count_is_cl(op) ? 1 : op->size);
	}
}

int ir_op_text(const struct ir_op *op, char *buf, size_t len)
{
	struct text t = { buf, len, 0 };

	if (op->op >= IR_N_OPS) {
		put(&t, "op %u?", op->op);
		return t.at;
	}
	put_name(&t, op);
	put_operands(&t, op);
	if (op->live_use | op->live_exit) {
		put(&t, " ;");
		put_flags(&t, "use", op->live_use);
		put_flags(&t, "exit", op->live_exit);
	}
	return t.at;
}

/* ---- form ---- */

/* What may stand where. */
#define REG   1u /* guest register, of the op's size */
#define TEMP  2u
#define MEM   4u
#define IMM   8u
#define NONE  16u
#define CL    32u
#define VALUE (REG | TEMP)
#define SAME  64u /* dst and a are the same */

struct shape {
	uint8_t sizes; /* or'ed: 1, 2, 4; 0: none */
	uint8_t dst, a, b;
};

static const struct shape shapes[IR_N_OPS] = {
	[IR_INSN] = { 0, NONE, NONE, NONE },
	[IR_HOST] = { 31, 0, VALUE | NONE, VALUE | NONE },
	[IR_MOV] = { 7, VALUE | MEM, VALUE | MEM | IMM, NONE },
	[IR_MOVZX] = { 6, VALUE, 0, NONE },
	[IR_MOVSX] = { 6, VALUE, 0, NONE },
	[IR_LEA] = { 6, VALUE, VALUE | NONE, VALUE | NONE },
#define ALU                                                           \
	{                                                             \
		7, VALUE | MEM | SAME, VALUE | MEM, VALUE | MEM | IMM \
	}
	[IR_ADD] = ALU,
	[IR_OR] = ALU,
	[IR_ADC] = ALU,
	[IR_SBB] = ALU,
	[IR_AND] = ALU,
	[IR_SUB] = ALU,
	[IR_XOR] = ALU,
#undef ALU
	[IR_CMP] = { 7, NONE, VALUE | MEM, VALUE | MEM | IMM },
	[IR_TEST] = { 7, NONE, VALUE | MEM, VALUE | MEM | IMM },
	[IR_INC] = { 7, VALUE | MEM | SAME, VALUE | MEM, NONE },
	[IR_DEC] = { 7, VALUE | MEM | SAME, VALUE | MEM, NONE },
	[IR_NEG] = { 7, VALUE | MEM | SAME, VALUE | MEM, NONE },
	[IR_NOT] = { 7, VALUE | MEM | SAME, VALUE | MEM, NONE },
	[IR_SHL] = { 7, VALUE | MEM | SAME, VALUE | MEM, IMM | CL },
	[IR_SHR] = { 7, VALUE | MEM | SAME, VALUE | MEM, IMM | CL },
	[IR_SAR] = { 7, VALUE | MEM | SAME, VALUE | MEM, IMM | CL },
	[IR_ROL] = { 7, VALUE | MEM | SAME, VALUE | MEM, IMM | CL },
	[IR_ROR] = { 7, VALUE | MEM | SAME, VALUE | MEM, IMM | CL },
	[IR_SHLD] = { 4, VALUE | MEM, VALUE, IMM | CL },
	[IR_SHRD] = { 4, VALUE | MEM, VALUE, IMM | CL },
	[IR_IMUL] = { 6, VALUE, VALUE | MEM, VALUE | MEM | IMM },
	[IR_MULX] = { 7, NONE, VALUE | MEM, NONE },
	[IR_IMULX] = { 7, NONE, VALUE | MEM, NONE },
	[IR_DIV] = { 7, NONE, VALUE | MEM, NONE },
	[IR_IDIV] = { 7, NONE, VALUE | MEM, NONE },
	[IR_CDQ] = { 6, NONE, NONE, NONE },
	[IR_BT] = { 6, NONE, VALUE | MEM, VALUE | IMM },
	[IR_BTS] = { 6, VALUE | MEM | SAME, VALUE | MEM, VALUE | IMM },
	[IR_BTR] = { 6, VALUE | MEM | SAME, VALUE | MEM, VALUE | IMM },
	[IR_BTC] = { 6, VALUE | MEM | SAME, VALUE | MEM, VALUE | IMM },
	[IR_BTADDR] = { 4, TEMP, VALUE | NONE, VALUE },
	[IR_BSF] = { 4, VALUE, VALUE | MEM, NONE },
	[IR_BSR] = { 4, VALUE, VALUE | MEM, NONE },
	[IR_BSWAP] = { 4, VALUE | SAME, VALUE, NONE },
	[IR_SETCC] = { 1, VALUE | MEM, NONE, NONE },
	[IR_CMOV] = { 6, VALUE, VALUE | MEM, NONE },
	[IR_XCHG] = { 7, REG, REG, NONE },
	[IR_CLC] = { 0, NONE, NONE, NONE },
	[IR_STC] = { 0, NONE, NONE, NONE },
	[IR_SAHF] = { 1, NONE, VALUE, NONE },
	[IR_CMC] = { 0, NONE, NONE, NONE },
	[IR_GETFL] = { 4, TEMP, NONE, NONE },
	[IR_EFL] = { 0, 0, NONE, NONE },
	[IR_GETSEG] = { 6, VALUE, NONE, NONE },
	[IR_DIR] = { 4, TEMP, NONE, NONE },
	[IR_RDTSC] = { 0, NONE, NONE, NONE },
	[IR_CALLI] = { 0, NONE, NONE, NONE },
	[IR_FPUGATE] = { 0, NONE, NONE, NONE },
	[IR_FPU] = { 30, REG | NONE, MEM | NONE, NONE },
	[IR_FPUFL] = { 4, NONE, NONE, NONE },
	[IR_FPUCC] = { 4, NONE, NONE, NONE },
	[IR_SSEGATE] = { 0, NONE, NONE, NONE },
	[IR_SSE] = { 31, REG | NONE, MEM | NONE, NONE },
	[IR_SSEFL] = { 31, NONE, MEM | NONE, NONE },
	[IR_JCC] = { 0, NONE, NONE, NONE },
	[IR_JZR] = { 6, NONE, NONE, NONE },
	[IR_JNZR] = { 6, NONE, NONE, NONE },
	[IR_LIMIT] = { 4, NONE, VALUE, NONE },
	[IR_SETSEG] = { 2, NONE, VALUE, NONE },
	[IR_JMP] = { 0, 0, NONE, NONE },
	[IR_JMPR] = { 0, 0, VALUE, NONE },
	[IR_CALLJ] = { 0, NONE, NONE, NONE },
};

static bool operand_fits(unsigned r, unsigned kinds, unsigned size)
{
	if (r <= IR_EDI)
		return (kinds & REG && (size != 1 || r <= IR_EBX)) || (kinds & CL && r == IR_ECX);
	if (r <= IR_BH)
		return kinds & REG && size == 1;
	if (is_temp(r))
		return kinds & TEMP;
	if (r == IR_MEM)
		return kinds & MEM;
	if (r == IR_IMM)
		return kinds & IMM;
	return r == IR_NONE && kinds & NONE;
}

static unsigned max_cond(const struct ir_op *op)
{
	switch (op->op) {
	case IR_HOST: return IR_AT_CHECKED | IR_AT_16;
	case IR_MOVZX:
	case IR_MOVSX:
	case IR_CALLI: return 2;
	default: return has_cond(op) ? 15 : 0;
	}
}

static const char *check_shape(const struct ir_op *op)
{
	const struct shape *s = &shapes[op->op];
	bool addr = op->op == IR_HOST || op->op == IR_LEA;
	bool ext = op->op == IR_MOVZX || op->op == IR_MOVSX;
	unsigned n_mem = (op->a == IR_MEM) + (op->b == IR_MEM);

	if (s->sizes ? !(op->size & s->sizes) || (op->size & (op->size - 1)) : op->size)
		return "size";
	if (s->dst ? !operand_fits(op->dst, s->dst, op->size)
		   : op->dst > (op->op == IR_HOST || op->op == IR_EFL ? 1 : 2))
		return "dst";
	if (ext && (op->cond < 1 || op->cond > 2 || op->cond > op->size ||
			   !operand_fits(op->a, VALUE | MEM, op->cond)))
		return "source of an extension";
	if (!ext && !operand_fits(op->a, s->a, addr || op->op == IR_JMPR ? 4 : op->size))
		return "a";
	if (!operand_fits(op->b, s->b, addr ? 4 : op->size))
		return "b";
	if (s->dst & SAME && op->dst != op->a)
		return "dst is not a";
	if (op->op == IR_IMUL && op->b != IR_IMM && op->dst != op->a)
		return "dst is not a";
	if (n_mem > 1 || (op->dst == IR_MEM && op->a != IR_MEM && op->b == IR_MEM) ||
		(op->op == IR_MOV && op->dst == IR_MEM && op->a == IR_MEM))
		return "memory twice";
	if ((s->b & CL) && op->b == IR_IMM && (op->imm < 1 || op->imm > 31))
		return "count";
	if (op->op == IR_XCHG && op->dst == op->a)
		return "exchanged with itself";
	if (op->op == IR_HOST && (op->seg > 5 || (op->seg < 3 && !(op->cond & IR_AT_CHECKED))))
		return "segment";
	if (op->op == IR_HOST && op->cond & IR_AT_16 && !(op->cond & IR_AT_CHECKED))
		return "offset of 16 bits";
	if (op->op == IR_SETSEG && (op->imm == 1 || op->imm == 2 || op->imm > 5))
		return "segment that is loaded";
	if (op->scale > 3 || (op->scale && (!addr || op->b == IR_NONE)))
		return "scale";
	if (op->cond > max_cond(op))
		return "cond";
	if (op->a == IR_MEM && op->op >= IR_BT && op->op <= IR_BTC && op->b != IR_IMM)
		return "bit in memory by a register";
	return NULL;
}

/* What holds of an instruction so far. */
struct state {
	unsigned temps;	       /* defined */
	const struct ir_op *h; /* the HOST whose pointer is valid */
	bool changed;	       /* something that the guest sees has changed */
	bool stored;	       /* the same, flags apart */
};

static unsigned mem_size(const struct ir_op *op)
{
	return op->op == IR_MOVZX || op->op == IR_MOVSX ? op->cond : op->size;
}

static const char *check_order(struct state *s, const struct ir_op *op)
{
	unsigned props = ir_props(op), wr = ir_regs_written(op);
	unsigned rd = ir_regs_read(op) & ~REGS_GUEST & ~(1u << IR_MEM);
	bool mem = op->a == IR_MEM || op->b == IR_MEM || op->dst == IR_MEM;

	if (op->op == IR_INSN)
		*s = (struct state){ 0 };
	if (props & IRO_EXIT && s->changed)
		return "may leave after a change";
	if (rd & ~s->temps)
		return "temporary without a value";
	if (mem && (!s->h || s->h->size != mem_size(op)))
		return "no pointer of that size";
	if (op->dst == IR_MEM && !s->h->dst)
		return "write through a pointer for reads";
	if (mem && s->stored)
		return "memory after a change";
	s->temps |= wr & ~REGS_GUEST;
	if (props & IRO_EXIT)
		s->h = op->op == IR_HOST ? op : NULL;
	if (wr & REGS_GUEST || op->dst == IR_MEM || ir_defs(op) || op->op == IR_EFL ||
		op->op == IR_SETSEG)
		s->changed = true;
	if (wr & REGS_GUEST || op->dst == IR_MEM)
		s->stored = true;
	return NULL;
}

const char *ir_check(const struct ir_block *b)
{
	struct state s = { 0 };
	unsigned n_insns = 0, n_edges = 0;

	if (!b->n_ops || b->n_ops > IR_MAX_OPS || !b->n_insns || b->n_insns > IR_MAX_INSNS)
		return "counts";
	for (unsigned i = 0; i < b->n_ops; i++) {
		const struct ir_op *op = &b->op[i];
		const char *bad;

		if (op->op >= IR_N_OPS)
			return "opcode";
		n_insns += op->op == IR_INSN;
		n_edges += (ir_props(op) & IRO_EDGE) != 0;
		if (op->insn + 1u != n_insns || n_insns > b->n_insns)
			return "index of the instruction";
		if (op->op == IR_INSN && op->imm != b->insn_eip[op->insn])
			return "eip";
		if (!(ir_props(op) & IRO_END) != (i + 1 < b->n_ops))
			return "end";
		bad = check_shape(op);
		if (!bad)
			bad = check_order(&s, op);
		if (bad)
			return bad;
	}
	if (n_insns != b->n_insns)
		return "number of instructions";
	if (n_edges > IR_MAX_EDGES)
		return "too many edges";
	if (b->insn_eip[0] != b->eip || b->insn_eip[b->n_insns] != b->eip + b->len)
		return "length";
	return NULL;
}
