/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Arithmetic and logic (SDM vol. 1, 7.3.2, 7.3.4; vol. 2). BCD adjustments as vol. 2 gives them;
 * their undefined flags are defined in docs/undefined.md.
 */
#include "operand.h"

/* The two-operand operations in their three directions. CMP and TEST keep no result. */
#define ALU_KEEP_(alu, bits, type)                                                                 \
	static void alu##_rm_r_r##bits(struct cpu *cpu, const struct insn *in)                     \
	{                                                                                          \
		type v = alu_##alu##bits(                                                          \
			cpu, reg_get##bits(cpu, in->rm), reg_get##bits(cpu, in->reg));             \
		reg_set##bits(cpu, in->rm, v);                                                     \
	}                                                                                          \
	static void alu##_r_rm_r##bits(struct cpu *cpu, const struct insn *in)                     \
	{                                                                                          \
		type v = alu_##alu##bits(                                                          \
			cpu, reg_get##bits(cpu, in->reg), reg_get##bits(cpu, in->rm));             \
		reg_set##bits(cpu, in->reg, v);                                                    \
	}                                                                                          \
	static void alu##_rm_i_r##bits(struct cpu *cpu, const struct insn *in)                     \
	{                                                                                          \
		type v = alu_##alu##bits(cpu, reg_get##bits(cpu, in->rm), (type)in->imm);          \
		reg_set##bits(cpu, in->rm, v);                                                     \
	}                                                                                          \
	OP_RMW(alu##_rm_r, bits, type, v = alu_##alu##bits(cpu, v, reg_get##bits(cpu, in->reg)))   \
	OP_READ(alu##_r_rm, bits, type,                                                            \
		reg_set##bits(cpu, in->reg, alu_##alu##bits(cpu, reg_get##bits(cpu, in->reg), v))) \
	OP_RMW(alu##_rm_i, bits, type, v = alu_##alu##bits(cpu, v, (type)in->imm))

#define ALU_DROP_(name, alu, bits, type)                                                       \
	static void name##_rm_r_r##bits(struct cpu *cpu, const struct insn *in)                \
	{                                                                                      \
		alu_##alu##bits(cpu, reg_get##bits(cpu, in->rm), reg_get##bits(cpu, in->reg)); \
	}                                                                                      \
	static void name##_rm_i_r##bits(struct cpu *cpu, const struct insn *in)                \
	{                                                                                      \
		alu_##alu##bits(cpu, reg_get##bits(cpu, in->rm), (type)in->imm);               \
	}                                                                                      \
	OP_READ(name##_rm_r, bits, type, alu_##alu##bits(cpu, v, reg_get##bits(cpu, in->reg))) \
	OP_READ(name##_rm_i, bits, type, alu_##alu##bits(cpu, v, (type)in->imm))

#define ALU_FAMILY_(alu)             \
	ALU_KEEP_(alu, 8, uint8_t)   \
	ALU_KEEP_(alu, 16, uint16_t) \
	ALU_KEEP_(alu, 32, uint32_t) \
	OP_FAMILY(alu##_rm_r);       \
	OP_FAMILY(alu##_r_rm);       \
	OP_FAMILY(alu##_rm_i);
ALU_FAMILY_(add)
ALU_FAMILY_(or)
ALU_FAMILY_(adc)
ALU_FAMILY_(sbb)
ALU_FAMILY_(and)
ALU_FAMILY_(sub)
ALU_FAMILY_(xor)

#define CMP_R_RM_(bits, type, stype)                                                         \
	static void cmp_r_rm_r##bits(struct cpu *cpu, const struct insn *in)                 \
	{                                                                                    \
		alu_sub##bits(cpu, reg_get##bits(cpu, in->reg), reg_get##bits(cpu, in->rm)); \
	}                                                                                    \
	OP_READ(cmp_r_rm, bits, type, alu_sub##bits(cpu, reg_get##bits(cpu, in->reg), v))    \
	ALU_DROP_(cmp, sub, bits, type)                                                      \
	ALU_DROP_(test, and, bits, type)
SIZES(CMP_R_RM_)
OP_FAMILY(cmp_r_rm);
OP_FAMILY(cmp_rm_r);
OP_FAMILY(cmp_rm_i);
OP_FAMILY(test_rm_r);
OP_FAMILY(test_rm_i);

#define ALU_UNARY_(name, bits, type, expr)                                    \
	static void name##_rm_r##bits(struct cpu *cpu, const struct insn *in) \
	{                                                                     \
		type v = reg_get##bits(cpu, in->rm);                          \
		reg_set##bits(cpu, in->rm, (type)(expr));                     \
	}                                                                     \
	OP_RMW(name##_rm, bits, type, v = (type)(expr))
#define ALU_UNARIES_(bits, type, stype)                    \
	ALU_UNARY_(inc, bits, type, alu_inc##bits(cpu, v)) \
	ALU_UNARY_(dec, bits, type, alu_dec##bits(cpu, v)) \
	ALU_UNARY_(neg, bits, type, alu_neg##bits(cpu, v)) \
	ALU_UNARY_(not, bits, type, ~v)
SIZES(ALU_UNARIES_)
OP_FAMILY(inc_rm);
OP_FAMILY(dec_rm);
OP_FAMILY(neg_rm);
OP_FAMILY(not_rm);

/* ---- XADD, CMPXCHG ---- */

#define XADD_(bits, type, stype)                                                              \
	static void xadd_r##bits(struct cpu *cpu, const struct insn *in)                      \
	{                                                                                     \
		type d = reg_get##bits(cpu, in->rm), s = reg_get##bits(cpu, in->reg);         \
		type v = alu_add##bits(cpu, d, s);                                            \
		/* the same register twice: the sum stays */                                  \
		reg_set##bits(cpu, in->reg, d);                                               \
		reg_set##bits(cpu, in->rm, v);                                                \
	}                                                                                     \
	static void xadd_m##bits(struct cpu *cpu, const struct insn *in)                      \
	{                                                                                     \
		struct mem_rmw m;                                                             \
		type d = mem_rmw##bits(cpu, in, &m);                                          \
		rmw_write##bits(cpu, &m, alu_add##bits(cpu, d, reg_get##bits(cpu, in->reg))); \
		reg_set##bits(cpu, in->reg, d);                                               \
	}                                                                                     \
	static void cmpxchg_r##bits(struct cpu *cpu, const struct insn *in)                   \
	{                                                                                     \
		type d = reg_get##bits(cpu, in->rm);                                          \
		alu_sub##bits(cpu, reg_get##bits(cpu, R_EAX), d);                             \
		if (cpu->cc & CC_ZF)                                                          \
			reg_set##bits(cpu, in->rm, reg_get##bits(cpu, in->reg));              \
		else                                                                          \
			reg_set##bits(cpu, R_EAX, d);                                         \
	}                                                                                     \
	static void cmpxchg_m##bits(struct cpu *cpu, const struct insn *in)                   \
	{                                                                                     \
		struct mem_rmw m;                                                             \
		type d = mem_rmw##bits(cpu, in, &m);                                          \
		alu_sub##bits(cpu, reg_get##bits(cpu, R_EAX), d);                             \
		if (cpu->cc & CC_ZF) {                                                        \
			rmw_write##bits(cpu, &m, reg_get##bits(cpu, in->reg));                \
		} else {                                                                      \
			rmw_write##bits(cpu, &m, d); /* the bus cycle is there anyway */      \
			reg_set##bits(cpu, R_EAX, d);                                         \
		}                                                                             \
	}
SIZES(XADD_)
OP_PLAIN(xadd);
OP_PLAIN(cmpxchg);

void op_cmpxchg8b(struct cpu *cpu, const struct insn *in)
{
	struct mem_rmw m;
	uint64_t d = rmw_read64(cpu, in->seg, insn_ea(cpu, in), &m);
	uint64_t cmp = (uint64_t)cpu->gpr[R_EDX] << 32 | cpu->gpr[R_EAX];

	if (d == cmp) {
		rmw_write64(cpu, &m, (uint64_t)cpu->gpr[R_ECX] << 32 | cpu->gpr[R_EBX]);
		cpu->cc |= CC_ZF;
	} else {
		rmw_write64(cpu, &m, d);
		cpu->gpr[R_EAX] = (uint32_t)d;
		cpu->gpr[R_EDX] = (uint32_t)(d >> 32);
		cpu->cc &= (uint16_t)~CC_ZF;
	}
}

/* ---- flag instructions ---- */

void op_cmc(struct cpu *cpu, const struct insn *in)
{
	cpu->cc ^= CC_CF;
}

void op_clc(struct cpu *cpu, const struct insn *in)
{
	cpu->cc &= (uint16_t)~CC_CF;
}

void op_stc(struct cpu *cpu, const struct insn *in)
{
	cpu->cc |= CC_CF;
}

void op_cld(struct cpu *cpu, const struct insn *in)
{
	cpu->eflags &= ~FL_DF;
}

void op_std(struct cpu *cpu, const struct insn *in)
{
	cpu->eflags |= FL_DF;
}

void op_lahf(struct cpu *cpu, const struct insn *in)
{
	reg_set8(cpu, 4, (uint8_t)(flags_get_arith(cpu) | FL_ONE));
}

void op_sahf(struct cpu *cpu, const struct insn *in)
{
	flags_set_arith(cpu, (flags_get_arith(cpu) & FL_OF) | reg_get8(cpu, 4));
}

/* ---- decimal adjust (SDM vol. 2, DAA, DAS, AAA, AAS, AAM, AAD) ---- */

static void set_cf_af(struct cpu *cpu, bool cf, bool af)
{
	cpu->cc = (uint16_t)((cpu->cc & ~(CC_CF | CC_AF)) | (cf ? CC_CF : 0) | (af ? CC_AF : 0));
}

static void decimal_adjust(struct cpu *cpu, int sign)
{
	uint8_t al = reg_get8(cpu, R_EAX), old = al;
	bool old_cf = cpu->cc & CC_CF, cf = false, af = false;

	if ((al & 15) > 9 || (cpu->cc & CC_AF)) {
		cf = old_cf || (sign > 0 ? al > 0xff - 6 : al < 6);
		al = (uint8_t)(al + 6 * sign);
		af = true;
	}
	if (old > 0x99 || old_cf) {
		al = (uint8_t)(al + 0x60 * sign);
		cf = true;
	} else if (sign > 0) {
		cf = false;
	}
	reg_set8(cpu, R_EAX, al);
	flags_logic8(cpu, al); /* OF: 0 */
	set_cf_af(cpu, cf, af);
}

void op_daa(struct cpu *cpu, const struct insn *in)
{
	decimal_adjust(cpu, 1);
}

void op_das(struct cpu *cpu, const struct insn *in)
{
	decimal_adjust(cpu, -1);
}

static void ascii_adjust(struct cpu *cpu, int sign)
{
	uint16_t ax = reg_get16(cpu, R_EAX);
	bool adjust = (ax & 15) > 9 || (cpu->cc & CC_AF);

	if (adjust)
		ax = (uint16_t)(ax + 0x106 * sign);
	ax &= 0xff0f;
	reg_set16(cpu, R_EAX, ax);
	flags_logic8(cpu, (uint8_t)ax);
	set_cf_af(cpu, adjust, adjust);
}

void op_aaa(struct cpu *cpu, const struct insn *in)
{
	ascii_adjust(cpu, 1);
}

void op_aas(struct cpu *cpu, const struct insn *in)
{
	ascii_adjust(cpu, -1);
}

void op_aam(struct cpu *cpu, const struct insn *in)
{
	uint8_t base = (uint8_t)in->imm, al = reg_get8(cpu, R_EAX);

	if (!base)
		cpu_raise(cpu, EXCP_DE);
	reg_set16(cpu, R_EAX, (uint16_t)(al / base << 8 | al % base));
	flags_logic8(cpu, al % base);
}

void op_aad(struct cpu *cpu, const struct insn *in)
{
	uint16_t ax = reg_get16(cpu, R_EAX);
	uint8_t al = (uint8_t)(ax + (ax >> 8) * (uint8_t)in->imm);

	reg_set16(cpu, R_EAX, al);
	flags_logic8(cpu, al);
}

void op_salc(struct cpu *cpu, const struct insn *in)
{
	reg_set8(cpu, R_EAX, cpu->cc & CC_CF ? 0xff : 0);
}
