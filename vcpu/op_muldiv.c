/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Multiplication and division (SDM vol. 2, MUL, IMUL, DIV, IDIV). Undefined flags:
 * docs/undefined.md: after a multiplication SF, ZF and PF are those of the low half and AF is 0; a
 * division changes none.
 */
#include "shift.h"

/* ---- the one-operand forms: AX, DX:AX, EDX:EAX ---- */

static void do_mul8(struct cpu *cpu, uint8_t v)
{
	uint16_t r = (uint16_t)(reg_get8(cpu, R_EAX) * v);

	reg_set16(cpu, R_EAX, r);
	flags_product8(cpu, (uint8_t)r, r >> 8 != 0);
}

static void do_imul8(struct cpu *cpu, uint8_t v)
{
	int16_t r = (int16_t)((int8_t)reg_get8(cpu, R_EAX) * (int8_t)v);

	reg_set16(cpu, R_EAX, (uint16_t)r);
	flags_product8(cpu, (uint8_t)r, r != (int8_t)r);
}

static void do_mul16(struct cpu *cpu, uint16_t v)
{
	uint32_t r = (uint32_t)reg_get16(cpu, R_EAX) * v;

	reg_set16(cpu, R_EAX, (uint16_t)r);
	reg_set16(cpu, R_EDX, (uint16_t)(r >> 16));
	flags_product16(cpu, (uint16_t)r, r >> 16 != 0);
}

static void do_imul16(struct cpu *cpu, uint16_t v)
{
	int32_t r = (int16_t)reg_get16(cpu, R_EAX) * (int16_t)v;

	reg_set16(cpu, R_EAX, (uint16_t)r);
	reg_set16(cpu, R_EDX, (uint16_t)((uint32_t)r >> 16));
	flags_product16(cpu, (uint16_t)r, r != (int16_t)r);
}

static void do_mul32(struct cpu *cpu, uint32_t v)
{
	uint64_t r = (uint64_t)cpu->gpr[R_EAX] * v;

	cpu->gpr[R_EAX] = (uint32_t)r;
	cpu->gpr[R_EDX] = (uint32_t)(r >> 32);
	flags_product32(cpu, (uint32_t)r, r >> 32 != 0);
}

static void do_imul32(struct cpu *cpu, uint32_t v)
{
	int64_t r = (int64_t)(int32_t)cpu->gpr[R_EAX] * (int32_t)v;

	cpu->gpr[R_EAX] = (uint32_t)r;
	cpu->gpr[R_EDX] = (uint32_t)((uint64_t)r >> 32);
	flags_product32(cpu, (uint32_t)r, r != (int32_t)r);
}

/* ---- division: #DE for a divisor of 0 and for a quotient that does not fit ---- */

static void do_div8(struct cpu *cpu, uint8_t v)
{
	uint16_t a = reg_get16(cpu, R_EAX);

	if (!v || a / v > 0xff)
		cpu_raise(cpu, EXCP_DE);
	reg_set16(cpu, R_EAX, (uint16_t)((a % v) << 8 | a / v));
}

static void do_idiv8(struct cpu *cpu, uint8_t v)
{
	int32_t a = (int16_t)reg_get16(cpu, R_EAX), d = (int8_t)v;

	if (!d || a / d != (int8_t)(a / d))
		cpu_raise(cpu, EXCP_DE);
	reg_set16(cpu, R_EAX, (uint16_t)((uint8_t)(a % d) << 8 | (uint8_t)(a / d)));
}

static void do_div16(struct cpu *cpu, uint16_t v)
{
	uint32_t a = (uint32_t)reg_get16(cpu, R_EDX) << 16 | reg_get16(cpu, R_EAX);

	if (!v || a / v > 0xffff)
		cpu_raise(cpu, EXCP_DE);
	reg_set16(cpu, R_EAX, (uint16_t)(a / v));
	reg_set16(cpu, R_EDX, (uint16_t)(a % v));
}

static void do_idiv16(struct cpu *cpu, uint16_t v)
{
	int64_t a = (int32_t)((uint32_t)reg_get16(cpu, R_EDX) << 16 | reg_get16(cpu, R_EAX));
	int64_t d = (int16_t)v;

	if (!d || a / d != (int16_t)(a / d))
		cpu_raise(cpu, EXCP_DE);
	reg_set16(cpu, R_EAX, (uint16_t)(a / d));
	reg_set16(cpu, R_EDX, (uint16_t)(a % d));
}

static void do_div32(struct cpu *cpu, uint32_t v)
{
	uint64_t a = (uint64_t)cpu->gpr[R_EDX] << 32 | cpu->gpr[R_EAX];

	if (v <= cpu->gpr[R_EDX]) /* quotient of more than 32 bits, or v == 0 */
		cpu_raise(cpu, EXCP_DE);
	cpu->gpr[R_EAX] = (uint32_t)(a / v);
	cpu->gpr[R_EDX] = (uint32_t)(a % v);
}

static void do_idiv32(struct cpu *cpu, uint32_t v)
{
	int64_t a = (int64_t)((uint64_t)cpu->gpr[R_EDX] << 32 | cpu->gpr[R_EAX]);
	int64_t d = (int32_t)v;

	/* INT64_MIN / -1 does not even fit into 64 bits. */
	if (!d || (a == INT64_MIN && d == -1) || a / d != (int32_t)(a / d))
		cpu_raise(cpu, EXCP_DE);
	cpu->gpr[R_EAX] = (uint32_t)(a / d);
	cpu->gpr[R_EDX] = (uint32_t)(a % d);
}

#define ONE_OPERAND_(op, bits)                                              \
	static void op##_rm_r##bits(struct cpu *cpu, const struct insn *in) \
	{                                                                   \
		do_##op##bits(cpu, reg_get##bits(cpu, in->rm));             \
	}                                                                   \
	static void op##_rm_m##bits(struct cpu *cpu, const struct insn *in) \
	{                                                                   \
		do_##op##bits(cpu, mem_get##bits(cpu, in));                 \
	}
#define ONE_OPERAND_SIZES_(op) \
	ONE_OPERAND_(op, 8)    \
	ONE_OPERAND_(op, 16)   \
	ONE_OPERAND_(op, 32)   \
	OP_PLAIN(op##_rm);
ONE_OPERAND_SIZES_(mul)
ONE_OPERAND_SIZES_(imul)
ONE_OPERAND_SIZES_(div)
ONE_OPERAND_SIZES_(idiv)

/* ---- IMUL with two and three operands ---- */

static void imul_store16(struct cpu *cpu, const struct insn *in, uint16_t a, uint16_t b)
{
	int32_t r = (int16_t)a * (int16_t)b;

	reg_set16(cpu, in->reg, (uint16_t)r);
	flags_product16(cpu, (uint16_t)r, r != (int16_t)r);
}

static inline void imul_store32(struct cpu *cpu, const struct insn *in, uint32_t a, uint32_t b)
{
	int64_t r = (int64_t)(int32_t)a * (int32_t)b;

	cpu->gpr[in->reg] = (uint32_t)r;
	flags_product32(cpu, (uint32_t)r, r != (int32_t)r);
}

#define IMUL_(bits)                                                                             \
	static void imul_r_rm_r##bits(struct cpu *cpu, const struct insn *in)                   \
	{                                                                                       \
		imul_store##bits(                                                               \
			cpu, in, reg_get##bits(cpu, in->reg), reg_get##bits(cpu, in->rm));      \
	}                                                                                       \
	static void imul_r_rm_m##bits(struct cpu *cpu, const struct insn *in)                   \
	{                                                                                       \
		imul_store##bits(cpu, in, reg_get##bits(cpu, in->reg), mem_get##bits(cpu, in)); \
	}                                                                                       \
	static void imul_r_rm_i_r##bits(struct cpu *cpu, const struct insn *in)                 \
	{                                                                                       \
		imul_store##bits(cpu, in, reg_get##bits(cpu, in->rm), (uint##bits##_t)in->imm); \
	}                                                                                       \
	static void imul_r_rm_i_m##bits(struct cpu *cpu, const struct insn *in)                 \
	{                                                                                       \
		imul_store##bits(cpu, in, mem_get##bits(cpu, in), (uint##bits##_t)in->imm);     \
	}
IMUL_(16)
IMUL_(32)
OP_PLAIN_V(imul_r_rm);
OP_PLAIN_V(imul_r_rm_i);
