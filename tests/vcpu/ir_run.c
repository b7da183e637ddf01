/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ir_run.h"

#include <string.h>

#include "decode.h"
#include "flags.h"
#include "log.h"
#include "mem.h"

struct run {
	struct ir_runner *r;
	struct cpu *cpu;
	const struct ir_block *b;
	uint8_t code[IR_MAX_INSNS * 15]; /* as it was translated */
	uint32_t temp[2];
	uint8_t *h;
	/* The flags, as ops of the block may read them, and as exits may. */
	uint16_t cc_use, cc_exit;
	enum ir_outcome outcome;
	bool handler;  /* an instruction's handler runs */
	bool fpu_done; /* the x87 instruction in work has been executed, at its gate */
};

static uint16_t cc_of(unsigned irf)
{
	return (uint16_t)((irf & IRF_C ? CC_CF : 0) | (irf & IRF_P ? CC_PF : 0) |
			  (irf & IRF_A ? CC_AF : 0) | (irf & IRF_Z ? CC_ZF : 0) |
			  (irf & IRF_S ? CC_SF : 0) | (irf & IRF_O ? CC_OF : 0));
}

/* ---- operands ---- */

static uint32_t cut(uint32_t v, unsigned size)
{
	return size == 1 ? (uint8_t)v : size == 2 ? (uint16_t)v : v;
}

static uint32_t get(const struct run *s, unsigned r, unsigned size, uint32_t imm)
{
	uint32_t v = 0;

	if (r <= IR_EDI)
		v = s->cpu->gpr[r];
	else if (r <= IR_BH)
		v = s->cpu->gpr[r - IR_AH] >> 8;
	else if (r <= IR_T1)
		v = s->temp[r - IR_T0];
	else if (r == IR_MEM)
		memcpy(&v, s->h, size);
	else if (r == IR_IMM)
		v = imm;
	return cut(v, size);
}

static void set(struct run *s, unsigned r, unsigned size, uint32_t v)
{
	uint32_t mask = cut(~0u, size);

	v &= mask;
	if (r <= IR_EDI)
		s->cpu->gpr[r] = (s->cpu->gpr[r] & ~mask) | v;
	else if (r <= IR_BH)
		s->cpu->gpr[r - IR_AH] = (s->cpu->gpr[r - IR_AH] & ~0xff00u) | v << 8;
	else if (r <= IR_T1)
		s->temp[r - IR_T0] = v;
	else if (r == IR_MEM)
		memcpy(s->h, &v, size);
	else
		must(r == IR_NONE);
}

static uint32_t address(const struct run *s, const struct ir_op *op)
{
	return get(s, op->a, 4, 0) + (get(s, op->b, 4, 0) << op->scale) + op->imm;
}

/* ---- leaving ---- */

static bool leave(struct run *s, enum ir_outcome o, uint32_t eip)
{
	s->cpu->eip = eip;
	s->cpu->cc = s->cc_exit;
	s->outcome = o;
	return false;
}

static bool leave_before(struct run *s, const struct ir_op *op)
{
	return leave(s, IR_LEFT, s->b->insn_eip[op->insn]);
}

/* The instruction has retired. */
static bool go(struct run *s, uint32_t target)
{
	s->cpu->icount++;
	return leave(s, IR_JUMPED, target);
}

/* ---- memory ---- */

static bool do_host(struct run *s, const struct ir_op *op)
{
	struct cpu *cpu = s->cpu;
	uint32_t off = address(s, op), lin = off;
	const struct segment *seg = &cpu->seg[op->seg];
	bool checked = op->cond & IR_AT_CHECKED;

	if (op->cond & IR_AT_16)
		lin = off = (uint16_t)off;
	if (op->seg != SEG_DS || checked) {
		lin += seg->base;
		if (off > UINT32_MAX - (op->size - 1u)) /* beyond the limit */
			return leave_before(s, op);
	}
	if (checked && (uint64_t)off + op->size > (op->dst ? seg->wr_end : seg->rd_end))
		return leave_before(s, op);
	/* Memory that holds decoded code has no entry for writes. */
	if (op->dst && lin + op->size > s->b->eip && lin < s->b->eip + s->b->len)
		return leave_before(s, op);
	s->h = mmu_try_host(cpu, lin, op->size, op->dst);
	return s->h || leave_before(s, op);
}

/* ---- flags: defines mask (CC_*) as in cc ---- */

static void define(struct run *s, uint16_t mask, uint16_t cc)
{
	s->cc_use = (uint16_t)((s->cc_use & ~mask) | (cc & mask));
	s->cc_exit = (uint16_t)((s->cc_exit & ~mask) | (cc & mask));
}

static void poison(struct run *s, const struct ir_op *op)
{
	uint16_t use = cc_of(op->after_use), exit = cc_of(op->after_exit);

	must((op->live_use & ~op->after_use) == 0 && (op->live_exit & ~op->after_exit) == 0);
	s->cc_use = (uint16_t)((s->cc_use & use) | (s->r->random() & CC_ARITH & ~use));
	s->cc_exit = (uint16_t)((s->cc_exit & exit) | (s->r->random() & CC_ARITH & ~exit));
}

static uint16_t logic_cc(uint32_t v, unsigned size)
{
	return (uint16_t)flags_pzs(v, size * 8);
}

/* ---- arithmetic ---- */

#define BY_SIZE(r, fn, ...)                                                 \
	do {                                                                \
		(r) = size == 1	  ? fn##8(cpu, (uint8_t)a, ##__VA_ARGS__)   \
		      : size == 2 ? fn##16(cpu, (uint16_t)a, ##__VA_ARGS__) \
				  : fn##32(cpu, a, ##__VA_ARGS__);          \
	} while (0)
#define BY_SIZE_2(r, fn)                                                  \
	do {                                                              \
		(r) = size == 1	  ? fn##8(cpu, (uint8_t)a, (uint8_t)b)    \
		      : size == 2 ? fn##16(cpu, (uint16_t)a, (uint16_t)b) \
				  : fn##32(cpu, a, b);                    \
	} while (0)

static void do_alu(struct run *s, const struct ir_op *op)
{
	struct cpu *cpu = s->cpu;
	unsigned size = op->size;
	uint32_t a = get(s, op->a, size, op->imm), b = get(s, op->b, size, op->imm), r = 0;

	cpu->cc = s->cc_use;
	switch (op->op) {
	case IR_ADD: BY_SIZE_2(r, alu_add); break;
	case IR_OR: BY_SIZE_2(r, alu_or); break;
	case IR_ADC: BY_SIZE_2(r, alu_adc); break;
	case IR_SBB: BY_SIZE_2(r, alu_sbb); break;
	case IR_TEST:
	case IR_AND: BY_SIZE_2(r, alu_and); break;
	case IR_CMP:
	case IR_SUB: BY_SIZE_2(r, alu_sub); break;
	case IR_XOR: BY_SIZE_2(r, alu_xor); break;
	case IR_INC: BY_SIZE(r, alu_inc); break;
	case IR_DEC: BY_SIZE(r, alu_dec); break;
	default: BY_SIZE(r, alu_neg); break;
	}
	define(s, cc_of(ir_defs(op)), cpu->cc);
	set(s, op->dst, size, r);
}

/* Bit by bit, as docs/undefined.md words it. */
static void do_shift(struct run *s, const struct ir_op *op)
{
	unsigned size = op->size, bits = size * 8, cf = 0, of;
	unsigned n = get(s, op->b, 1, op->imm) & 31;
	uint32_t v = get(s, op->dst, size, 0), old = v;
	bool dbl = op->op == IR_SHLD || op->op == IR_SHRD;
	uint32_t from = dbl ? get(s, op->a, size, 0) : 0;
	bool rotate = op->op == IR_ROL || op->op == IR_ROR;
	bool left = op->op == IR_SHL || op->op == IR_ROL || op->op == IR_SHLD;

	if (!n)
		return;
	for (unsigned i = 0; i < n; i++) {
		unsigned out = left ? v >> (bits - 1) & 1 : v & 1, in = 0;

		if (rotate)
			in = out;
		else if (op->op == IR_SAR)
			in = v >> (bits - 1) & 1;
		else if (dbl)
			in = left ? from >> (31 - i) & 1 : from >> i & 1;
		v = left ? v << 1 | in : v >> 1 | in << (bits - 1);
		v = cut(v, size);
		cf = out;
	}
	of = left ? (v >> (bits - 1) & 1) ^ cf : (v >> (bits - 1) ^ v >> (bits - 2)) & 1;
	if (op->op == IR_SAR)
		of = 0;
	if (dbl)
		of = (v ^ old) >> 31;
	define(s, cc_of(ir_defs(op)),
		(uint16_t)(logic_cc(v, size) | (cf ? CC_CF : 0) | (of ? CC_OF : 0)));
	set(s, op->dst, size, v);
}

static void do_imul(struct run *s, const struct ir_op *op)
{
	unsigned size = op->size;
	uint32_t a = get(s, op->a, size, op->imm), b = get(s, op->b, size, op->imm);
	int64_t r = size == 2 ? (int16_t)a * (int16_t)b : (int64_t)(int32_t)a * (int32_t)b;
	bool over = size == 2 ? r != (int16_t)r : r != (int32_t)r;

	define(s, CC_ARITH,
		(uint16_t)(logic_cc(cut((uint32_t)r, size), size) | (over ? CC_CF | CC_OF : 0)));
	set(s, op->dst, size, (uint32_t)r);
}

/* With its sign. */
static int64_t extended(uint32_t v, unsigned size)
{
	return size == 1 ? (int8_t)v : size == 2 ? (int16_t)v : (int32_t)v;
}

static void do_mulx(struct run *s, const struct ir_op *op)
{
	unsigned size = op->size, high = size == 1 ? IR_AH : IR_EDX;
	bool is_signed = op->op == IR_IMULX, over;
	uint32_t a = get(s, IR_EAX, size, 0), b = get(s, op->a, size, 0);
	int64_t r = is_signed ? extended(a, size) * extended(b, size) : (int64_t)((uint64_t)a * b);
	uint32_t low = cut((uint32_t)r, size);

	set(s, IR_EAX, size, low);
	set(s, high, size, (uint32_t)((uint64_t)r >> (size * 8)));
	over = r != (is_signed ? extended(low, size) : (int64_t)low);
	define(s, CC_ARITH, (uint16_t)(logic_cc(low, size) | (over ? CC_CF | CC_OF : 0)));
}

static bool do_div(struct run *s, const struct ir_op *op)
{
	unsigned size = op->size, high = size == 1 ? IR_AH : IR_EDX, bits = size * 8;
	uint64_t n = (uint64_t)get(s, high, size, 0) << bits | get(s, IR_EAX, size, 0), q, r;
	uint32_t d = get(s, op->a, size, 0);
	bool bad = !d;

	if (op->op == IR_DIV) {
		q = bad ? 0 : n / d;
		r = bad ? 0 : n % d;
		bad |= q >> bits != 0;
	} else {
		int64_t sn = (int64_t)(n << (64 - 2 * bits)) >> (64 - 2 * bits);
		int64_t sd = extended(d, size);

		bad |= sn == INT64_MIN && sd == -1;
		q = bad ? 0 : (uint64_t)(sn / sd);
		r = bad ? 0 : (uint64_t)(sn % sd);
		bad |= (int64_t)q != extended((uint32_t)q, size);
	}
	if (bad)
		return leave_before(s, op);
	set(s, IR_EAX, size, (uint32_t)q);
	set(s, high, size, (uint32_t)r);
	return true;
}

static void do_bit(struct run *s, const struct ir_op *op)
{
	unsigned n = get(s, op->b, op->size, op->imm) & (op->size * 8 - 1u);
	uint32_t v = get(s, op->a, op->size, 0), bit = 1u << n;

	define(s, CC_CF, v & bit ? CC_CF : 0);
	v = op->op == IR_BTS ? v | bit : op->op == IR_BTR ? v & ~bit : v ^ bit;
	if (op->op != IR_BT)
		set(s, op->dst, op->size, v);
}

static void do_scan(struct run *s, const struct ir_op *op)
{
	uint32_t v = get(s, op->a, 4, 0);

	define(s, CC_ARITH, logic_cc(v, 4));
	if (v)
		set(s, op->dst, 4,
			(uint32_t)(op->op == IR_BSF ? __builtin_ctz(v) : 31 - __builtin_clz(v)));
}

static bool cond_holds(struct run *s, const struct ir_op *op)
{
	s->cpu->cc = s->cc_use;
	return flags_cond(s->cpu, op->cond);
}

/* ---- instructions by their handlers ---- */

static bool code_is_same(const struct run *s)
{
	return !memcmp(s->r->code, s->code, s->b->len);
}

/* All iterations of a REP, up to the run limit; leaves if something wants to be looked at. */
static bool do_handler(struct run *s, const struct ir_op *op)
{
	const struct insn *in = &s->b->insn[op->insn];
	struct cpu *cpu = s->cpu;
	bool again;

	cpu->eip = s->b->insn_eip[op->insn];
	cpu->cc = s->cc_use;
	cpu->look = false;
	do {
		s->handler = true;
		in->fn(cpu, in);
		s->handler = false;
		again = cpu->rep_again;
		cpu->rep_again = false;
		cpu->icount += again;
	} while (again && !cpu->look && code_is_same(s) && cpu->icount < cpu->run_limit);
	s->cc_use = s->cc_exit = cpu->cc;
	if (again)
		return leave_before(s, op);
	if (cpu->look) {
		cpu->icount++;
		return leave(s, IR_LEFT, s->b->insn_eip[op->insn + 1]);
	}
	return true;
}

/* The handler touches no flags; those at a fault are an exit's. */
static bool do_quiet(struct run *s, const struct ir_op *op)
{
	uint16_t use = s->cc_use, exit = s->cc_exit;
	uint32_t gpr[8];
	bool on;

	memcpy(gpr, s->cpu->gpr, sizeof(gpr));
	s->cc_use = exit;
	on = do_handler(s, op);
	for (unsigned r = 0; op->op == IR_CALLI && r < 8; r++)
		must(op->imm >> r & 1 || gpr[r] == s->cpu->gpr[r]);
	must(s->cc_exit == exit);
	if (on) {
		s->cc_use = use;
		s->cc_exit = exit;
	}
	return on;
}

/*
 * An x87 or SSE instruction, by its handler: what follows its gate is skipped, up to the op that
 * says that flags were defined, if they were.
 */
static bool do_fpu(struct run *s, const struct ir_op *op)
{
	uint16_t use = s->cc_use, exit = s->cc_exit;
	bool on;

	s->cc_use = exit;
	on = do_handler(s, op);
	s->fpu_done = true;
	if (on) {
		s->cc_use = use;
		s->cc_exit = exit;
	}
	return on;
}

/* ---- the block ---- */

static bool do_insn(struct run *s, const struct ir_op *op)
{
	if (op->insn)
		s->cpu->icount++; /* the one before */
	s->temp[0] = s->r->random();
	s->temp[1] = s->r->random();
	s->h = NULL;
	return code_is_same(s) || leave_before(s, op);
}

static bool do_setseg(struct run *s, const struct ir_op *op)
{
	struct segment *seg = &s->cpu->seg[op->imm];

	if (!(seg->attr & SEG_P) || seg->limit == UINT32_MAX)
		return leave_before(s, op);
	seg_load_real(s->cpu, (enum seg)op->imm, (uint16_t)get(s, op->a, 2, 0));
	return true;
}

/* False: the block was left. */
static bool do_op(struct run *s, const struct ir_op *op)
{
	struct cpu *cpu = s->cpu;
	uint32_t v;

	switch (op->op) {
	case IR_INSN: return do_insn(s, op);
	case IR_HOST: return s->fpu_done || do_host(s, op);
	case IR_MOV: set(s, op->dst, op->size, get(s, op->a, op->size, op->imm)); break;
	case IR_MOVZX: set(s, op->dst, op->size, get(s, op->a, op->cond, 0)); break;
	case IR_MOVSX:
		v = get(s, op->a, op->cond, 0);
		v = op->cond == 1 ? (uint32_t)(int8_t)v : (uint32_t)(int16_t)v;
		set(s, op->dst, op->size, v);
		break;
	case IR_LEA: set(s, op->dst, op->size, address(s, op)); break;
	case IR_NOT: set(s, op->dst, op->size, ~get(s, op->a, op->size, 0)); break;
	case IR_ADD ... IR_NEG: do_alu(s, op); break;
	case IR_SHL ... IR_SHRD: do_shift(s, op); break;
	case IR_IMUL: do_imul(s, op); break;
	case IR_MULX:
	case IR_IMULX: do_mulx(s, op); break;
	case IR_DIV:
	case IR_IDIV: return do_div(s, op);
	case IR_CDQ:
		set(s, IR_EDX, op->size,
			get(s, IR_EAX, op->size, 0) >> (op->size * 8 - 1) ? ~0u : 0);
		break;
	case IR_BT ... IR_BTC: do_bit(s, op); break;
	case IR_BTADDR:
		v = (uint32_t)((int32_t)get(s, op->b, 4, 0) >> 5) << 2;
		set(s, op->dst, 4, get(s, op->a, 4, 0) + v);
		break;
	case IR_BSF:
	case IR_BSR: do_scan(s, op); break;
	case IR_BSWAP: set(s, op->dst, 4, __builtin_bswap32(get(s, op->a, 4, 0))); break;
	case IR_SETCC: set(s, op->dst, 1, cond_holds(s, op)); break;
	case IR_CMOV:
		v = get(s, op->a, op->size, 0);
		if (cond_holds(s, op))
			set(s, op->dst, op->size, v);
		break;
	case IR_XCHG:
		v = get(s, op->dst, op->size, 0);
		set(s, op->dst, op->size, get(s, op->a, op->size, 0));
		set(s, op->a, op->size, v);
		break;
	case IR_CLC: define(s, CC_CF, 0); break;
	case IR_STC: define(s, CC_CF, CC_CF); break;
	case IR_CMC: define(s, CC_CF, (uint16_t)~s->cc_use); break;
	case IR_SAHF: define(s, CC_ARITH & ~CC_OF, (uint16_t)(get(s, op->a, 1, 0) << 8)); break;
	case IR_FPUGATE:
	case IR_SSEGATE: return do_fpu(s, op);
	case IR_FPU:
	case IR_FPUCC:
	case IR_SSE: s->fpu_done = false; break;
	case IR_FPUFL:
	case IR_SSEFL:
		s->fpu_done = false;
		define(s, CC_ARITH, s->cpu->cc);
		break;
	case IR_GETFL:
		cpu->cc = s->cc_use;
		set(s, op->dst, 4, flags_get(cpu) & ~(FL_VM | FL_RF));
		break;
	case IR_EFL: cpu->eflags = op->dst ? cpu->eflags | op->imm : cpu->eflags & ~op->imm; break;
	case IR_GETSEG: set(s, op->dst, op->size, cpu->seg[op->imm].sel); break;
	case IR_DIR: set(s, op->dst, 4, cpu->eflags & FL_DF ? -2 * op->imm : 0); break;
	case IR_RDTSC: return do_quiet(s, op);
	case IR_CALLI:
		if (insn_enc(&s->b->insn[op->insn]) & E_SYNC) /* the mode is the engine's */
			return leave_before(s, op);
		return op->cond == IR_CALL_QUIET ? do_quiet(s, op) : do_handler(s, op);
	case IR_JCC: return !cond_holds(s, op) || go(s, op->imm);
	case IR_JZR: return get(s, IR_ECX, op->size, 0) || go(s, op->imm);
	case IR_JNZR: return !get(s, IR_ECX, op->size, 0) || go(s, op->imm);
	case IR_LIMIT: return get(s, op->a, 4, 0) <= op->imm || leave_before(s, op);
	case IR_SETSEG: return do_setseg(s, op);
	case IR_JMP: return go(s, op->imm);
	case IR_JMPR: return go(s, get(s, op->a, 4, 0));
	case IR_CALLJ: return leave_before(s, op);
	default: must(false);
	}
	return true;
}

enum ir_outcome ir_run(struct ir_runner *r, struct cpu *cpu, const struct ir_block *b)
{
	struct run *volatile keep;
	struct run s = { .r = r, .cpu = cpu, .b = b, .cc_use = cpu->cc, .cc_exit = cpu->cc };
	sigjmp_buf here;

	keep = &s;
	memcpy(s.code, r->code, b->len);
	cpu->catch_ = &here;
	if (!b->entry_flags)
		s.cc_use = s.cc_exit = (uint16_t)(r->random() & CC_ARITH);
	if (sigsetjmp(here, 0)) {
		cpu->rep_again = false;
		must(keep->handler); /* nothing else may raise */
		return IR_FAULTED;
	}
	for (const struct ir_op *op = b->op;; op++) {
		r->executed[op->op]++;
		if (ir_props(op) & IRO_EXIT && !s.fpu_done && r->leave_odds &&
			r->random() % r->leave_odds == 0) {
			leave_before(&s, op);
			break;
		}
		if (op->join && cond_holds(&s, op)) {
			unsigned join = op->join;

			while (op[1].op != IR_INSN || op[1].insn != join)
				op++;
			continue;
		}
		if (!do_op(&s, op))
			break;
		poison(&s, op);
	}
	return s.outcome;
}
