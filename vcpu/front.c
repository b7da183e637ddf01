/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The front end: a block of guest code (SDM vol. 2) to the intermediate representation. A table
 * gives each row of insn.def its rule; what has none, or whose rule declines, is left to the
 * interpreter's handler, called from within the block.
 */
#include "front_int.h"

#include <string.h>

#include "log.h"
#include "sse.h"

#define R(name) .emit = front_##name
#define ALU(n, OP, a, b, c, d, e, g)                   \
	[INSN_1_##a] = { R(alu_rm_r), .op = IR_##OP }, \
	[INSN_1_##b] = { R(alu_rm_r), .op = IR_##OP }, \
	[INSN_1_##c] = { R(alu_r_rm), .op = IR_##OP }, \
	[INSN_1_##d] = { R(alu_r_rm), .op = IR_##OP }, \
	[INSN_1_##e] = { R(alu_rm_i), .op = IR_##OP }, \
	[INSN_1_##g] = { R(alu_rm_i), .op = IR_##OP }, \
	[INSN_G1_##n] = { R(alu_rm_i), .op = IR_##OP }
#define SHIFT(n, OP)                                                      \
	[INSN_G2I_##n] = { R(shift), .op = IR_##OP, .arg = COUNT_IMM },   \
	[INSN_G2ONE_##n] = { R(shift), .op = IR_##OP, .arg = COUNT_ONE }, \
	[INSN_G2CL_##n] = { R(shift), .op = IR_##OP, .arg = COUNT_CL }
#define COND(h, c)                                                                  \
	[INSN_1_7##h] = { R(jcc), .arg = c }, [INSN_2_8##h] = { R(jcc), .arg = c }, \
	[INSN_2_4##h] = { R(cmov), .arg = c }, [INSN_2_9##h] = { R(setcc), .arg = c }

static const struct front_rule rules[INSN_COUNT] = {
	ALU(0, ADD, 00, 01, 02, 03, 04, 05),
	ALU(1, OR, 08, 09, 0A, 0B, 0C, 0D),
	ALU(2, ADC, 10, 11, 12, 13, 14, 15),
	ALU(3, SBB, 18, 19, 1A, 1B, 1C, 1D),
	ALU(4, AND, 20, 21, 22, 23, 24, 25),
	ALU(5, SUB, 28, 29, 2A, 2B, 2C, 2D),
	ALU(6, XOR, 30, 31, 32, 33, 34, 35),
	ALU(7, CMP, 38, 39, 3A, 3B, 3C, 3D),
	[INSN_1_84] = { R(alu_rm_r), .op = IR_TEST },
	[INSN_1_85] = { R(alu_rm_r), .op = IR_TEST },
	[INSN_1_A8] = { R(alu_rm_i), .op = IR_TEST },
	[INSN_1_A9] = { R(alu_rm_i), .op = IR_TEST },
	[INSN_G3_0] = { R(alu_rm_i), .op = IR_TEST },
	[INSN_G3_1] = { R(alu_rm_i), .op = IR_TEST },
	[INSN_1_40] = { R(unary), .op = IR_INC },
	[INSN_1_48] = { R(unary), .op = IR_DEC },
	[INSN_G4_0] = { R(unary), .op = IR_INC },
	[INSN_G4_1] = { R(unary), .op = IR_DEC },
	[INSN_G5_0] = { R(unary), .op = IR_INC },
	[INSN_G5_1] = { R(unary), .op = IR_DEC },
	[INSN_G3_2] = { R(unary), .op = IR_NOT },
	[INSN_G3_3] = { R(unary), .op = IR_NEG },
	[INSN_G3_4] = { R(accu), .op = IR_MULX },
	[INSN_G3_5] = { R(accu), .op = IR_IMULX },
	[INSN_G3_6] = { R(accu), .op = IR_DIV },
	[INSN_G3_7] = { R(accu), .op = IR_IDIV },
	[INSN_1_69] = { R(imul_i) },
	[INSN_1_6B] = { R(imul_i) },
	[INSN_2_AF] = { R(imul) },
	[INSN_2_C0] = { R(xadd) },
	[INSN_2_C1] = { R(xadd) },
	[INSN_2_B1] = { R(cmpxchg) },

	SHIFT(0, ROL),
	SHIFT(1, ROR),
	SHIFT(4, SHL),
	SHIFT(5, SHR),
	SHIFT(6, SHL),
	SHIFT(7, SAR),
	[INSN_2_A4] = { R(double_shift), .op = IR_SHLD, .arg = COUNT_IMM },
	[INSN_2_A5] = { R(double_shift), .op = IR_SHLD, .arg = COUNT_CL },
	[INSN_2_AC] = { R(double_shift), .op = IR_SHRD, .arg = COUNT_IMM },
	[INSN_2_AD] = { R(double_shift), .op = IR_SHRD, .arg = COUNT_CL },
	[INSN_2_A3] = { R(bit), .op = IR_BT, .arg = BIT_REG },
	[INSN_2_AB] = { R(bit), .op = IR_BTS, .arg = BIT_REG },
	[INSN_2_B3] = { R(bit), .op = IR_BTR, .arg = BIT_REG },
	[INSN_2_BB] = { R(bit), .op = IR_BTC, .arg = BIT_REG },
	[INSN_G8_4] = { R(bit), .op = IR_BT, .arg = BIT_IMM },
	[INSN_G8_5] = { R(bit), .op = IR_BTS, .arg = BIT_IMM },
	[INSN_G8_6] = { R(bit), .op = IR_BTR, .arg = BIT_IMM },
	[INSN_G8_7] = { R(bit), .op = IR_BTC, .arg = BIT_IMM },
	[INSN_2_BC] = { R(scan), .op = IR_BSF },
	[INSN_2_BD] = { R(scan), .op = IR_BSR },
	[INSN_2_C8] = { R(bswap) },

	[INSN_1_88] = { R(mov_rm_r) },
	[INSN_1_89] = { R(mov_rm_r) },
	[INSN_1_8A] = { R(mov_r_rm) },
	[INSN_1_8B] = { R(mov_r_rm) },
	[INSN_1_A0] = { R(mov_a_moffs) },
	[INSN_1_A1] = { R(mov_a_moffs) },
	[INSN_1_A2] = { R(mov_moffs_a) },
	[INSN_1_A3] = { R(mov_moffs_a) },
	[INSN_1_B0] = { R(mov_rm_i) },
	[INSN_1_B8] = { R(mov_rm_i) },
	[INSN_G11_0] = { R(mov_rm_i) },
	[INSN_1_86] = { R(xchg) },
	[INSN_1_87] = { R(xchg) },
	[INSN_1_91] = { R(xchg) },
	[INSN_1_90] = { R(nop) },
	[INSN_2_0D] = { R(nop) },
	[INSN_2_18] = { R(nop) },
	[INSN_1_8D] = { R(lea) },
	[INSN_1_D7] = { R(xlat) },
	[INSN_1_98] = { R(cbw) },
	[INSN_1_99] = { R(cwd) },
	[INSN_2_B6] = { R(extend), .op = IR_MOVZX, .arg = 1 },
	[INSN_2_B7] = { R(extend), .op = IR_MOVZX, .arg = 2 },
	[INSN_2_BE] = { R(extend), .op = IR_MOVSX, .arg = 1 },
	[INSN_2_BF] = { R(extend), .op = IR_MOVSX, .arg = 2 },
	[INSN_1_F5] = { R(plain), .op = IR_CMC },
	[INSN_1_F8] = { R(plain), .op = IR_CLC },
	[INSN_1_F9] = { R(plain), .op = IR_STC },
	[INSN_1_9E] = { R(sahf) },
	[INSN_1_D8] = { R(fpu) },
	[INSN_1_9B] = { R(fwait) },

	[INSN_1_9C] = { R(pushf) },
	[INSN_1_FA] = { R(cli) },
	[INSN_1_FC] = { R(direction), .arg = 0 },
	[INSN_1_FD] = { R(direction), .arg = 1 },
	[INSN_1_06] = { R(push_seg) },
	[INSN_1_0E] = { R(push_seg) },
	[INSN_1_16] = { R(push_seg) },
	[INSN_1_1E] = { R(push_seg) },
	[INSN_2_A0] = { R(push_seg) },
	[INSN_2_A8] = { R(push_seg) },
	[INSN_1_8C] = { R(mov_from_seg) },
	[INSN_1_8E] = { R(mov_to_seg) },
	[INSN_1_07] = { R(pop_seg) },
	[INSN_1_1F] = { R(pop_seg) },
	[INSN_2_A1] = { R(pop_seg) },
	[INSN_2_A9] = { R(pop_seg) },
	[INSN_1_C4] = { R(load_far) },
	[INSN_1_C5] = { R(load_far) },
	[INSN_2_B4] = { R(load_far) },
	[INSN_2_B5] = { R(load_far) },
	[INSN_2_31] = { R(rdtsc) },
	[INSN_1_A4] = { R(movs) },
	[INSN_1_A5] = { R(movs) },
	[INSN_1_A6] = { R(cmps) },
	[INSN_1_A7] = { R(cmps) },
	[INSN_1_AA] = { R(stos) },
	[INSN_1_AB] = { R(stos) },
	[INSN_1_AC] = { R(lods) },
	[INSN_1_AD] = { R(lods) },
	[INSN_1_AE] = { R(scas) },
	[INSN_1_AF] = { R(scas) },

	[INSN_1_50] = { R(push_r) },
	[INSN_1_58] = { R(pop_r) },
	[INSN_1_68] = { R(push_i) },
	[INSN_1_6A] = { R(push_i) },
	[INSN_G5_6] = { R(push_rm) },
	[INSN_G1A_0] = { R(pop_rm) },
	[INSN_1_C9] = { R(leave) },

	COND(0, 0),
	COND(1, 1),
	COND(2, 2),
	COND(3, 3),
	COND(4, 4),
	COND(5, 5),
	COND(6, 6),
	COND(7, 7),
	COND(8, 8),
	COND(9, 9),
	COND(A, 10),
	COND(B, 11),
	COND(C, 12),
	COND(D, 13),
	COND(E, 14),
	COND(F, 15),
	[INSN_1_E0] = { R(loop_cc), .arg = 5 },
	[INSN_1_E1] = { R(loop_cc), .arg = 4 },
	[INSN_1_E2] = { R(loop) },
	[INSN_1_E3] = { R(jcxz) },
	[INSN_1_E8] = { R(call) },
	[INSN_1_E9] = { R(jmp) },
	[INSN_1_EB] = { R(jmp) },
	[INSN_G5_2] = { R(call_rm) },
	[INSN_G5_4] = { R(jmp_rm) },
	[INSN_1_C2] = { R(ret) },
	[INSN_1_C3] = { R(ret) },
};

/* The most that one instruction takes. */
#define MAX_OPS_PER_INSN   12 /* with its IR_INSN */
#define MAX_EDGES_PER_INSN 2

struct ir_op *front_op(
	struct front *f, unsigned opcode, unsigned size, unsigned dst, unsigned a, unsigned b)
{
	struct ir_block *blk = f->b;
	struct ir_op *op;

	must(blk->n_ops < IR_MAX_OPS);
	op = &blk->op[blk->n_ops++];
	*op = (struct ir_op){ .op = (uint8_t)opcode,
		.size = (uint8_t)size,
		.dst = (uint8_t)dst,
		.a = (uint8_t)a,
		.b = (uint8_t)b,
		.insn = (uint8_t)blk->n_insns };
	return op;
}

struct ir_op *front_op_imm(
	struct front *f, unsigned opcode, unsigned size, unsigned dst, unsigned a, uint32_t imm)
{
	struct ir_op *op = front_op(f, opcode, size, dst, a, IR_IMM);

	op->imm = front_imm(size, imm);
	return op;
}

/* ---- the block ---- */

enum verdict { GO_ON, ENDED };

static enum verdict translate_one(struct front *f, const struct insn *in)
{
	const struct front_rule *rule = &rules[in->id];
	struct ir_block *b = f->b;
	unsigned mark;

	front_op(f, IR_INSN, 0, IR_NONE, IR_NONE, IR_NONE)->imm = b->insn_eip[b->n_insns];
	if (b->straddles)
		front_op(f, IR_PAGE2, 0, IR_NONE, IR_NONE, IR_NONE);
	mark = b->n_ops;
	if (rule->emit ? rule->emit(f, in, rule) : sse_desc(in) && front_sse(f, in)) {
		must(b->n_ops - mark < MAX_OPS_PER_INSN);
		for (unsigned i = mark; i < b->n_ops; i++)
			f->n_edges += (ir_props(&b->op[i]) & IRO_EDGE) != 0;
		return ir_props(&b->op[b->n_ops - 1]) & IRO_END ? ENDED : GO_ON;
	}
	b->n_ops = mark;
	return front_handler(f, in) ? GO_ON : ENDED;
}

static bool has_room(const struct front *f)
{
	/* At the end there may come a jump, and before the last one a look at its page. */
	return f->b->n_ops + MAX_OPS_PER_INSN + 2 <= IR_MAX_OPS &&
	       f->n_edges + MAX_EDGES_PER_INSN + 1 <= IR_MAX_EDGES;
}

/* The instruction at the end of the page, with what is left of it in the next. */
static bool decode_straddling(
	struct ir_block *b, const uint8_t *code, unsigned here, unsigned mode, struct insn *in)
{
	uint8_t buf[INSN_LEN_MAX];

	if (!b->next_page)
		return false;
	memcpy(buf, code, here);
	memcpy(buf + here, b->next_page, sizeof(buf) - here);
	b->straddles = decode_insn(buf, sizeof(buf), mode, in) == DECODE_OK;
	return b->straddles;
}

/* All of the next instruction lies within the code segment. */
static bool is_within(struct front *f, const struct insn *in)
{
	struct ir_block *b = f->b;

	if ((uint64_t)b->eip + b->len + in->len <= (uint64_t)f->mode->cs_limit + 1)
		return true;
	b->straddles = false;
	return false;
}

bool front_translate(struct ir_block *b, const uint8_t *code, unsigned len, uint32_t eip,
	const struct ir_mode *mode, unsigned max_insns)
{
	struct front f = { .b = b, .mode = mode };
	enum verdict v = GO_ON;
	struct ir_op *end;

	must(max_insns <= IR_MAX_INSNS);
	b->eip = b->insn_eip[0] = eip;
	b->len = 0;
	b->n_insns = b->n_ops = 0;
	b->straddles = false;
	b->entry_flags = b->entry_use = true;
	while (v == GO_ON && b->n_insns < max_insns && has_room(&f) && b->len < len) {
		struct insn *in = &b->insn[b->n_insns];
		unsigned avail = len - b->len < INSN_LEN_MAX ? len - b->len : INSN_LEN_MAX;

		enum decode_result r = decode_insn(code + b->len, avail, mode->decode, in);

		if (r == DECODE_MORE &&
			decode_straddling(b, code + b->len, avail, mode->decode, in))
			r = DECODE_OK;
		if (r != DECODE_OK || !is_within(&f, in))
			break;
		f.next = eip + b->len + in->len;
		v = translate_one(&f, in);
		b->len += in->len;
		b->insn_eip[++b->n_insns] = f.next;
	}
	if (!b->n_insns)
		return false;
	if (v == GO_ON) {
		end = front_op(&f, IR_JMP, 0, IR_JUMP, IR_NONE, IR_NONE);
		end->imm = b->insn_eip[b->n_insns];
		end->insn--; /* belongs to the last */
	}
	return true;
}
