/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Flags from a recipe (tb.h): done again with the operands of the operation that defined them, by
 * the very functions that the interpreter's handlers use.
 */
#include "log.h"
#include "shift.h"
#include "tb.h"

/* The operand at loc, as 32 bits; who uses it takes as many of them as its size says. */
static uint32_t recipe_operand(const struct cpu *cpu, const struct recipe *r, unsigned loc)
{
	if (loc <= IR_EDI)
		return cpu->gpr[loc];
	if (loc <= IR_BH)
		return cpu->gpr[loc - IR_AH] >> 8;
	if (loc >= RCP_SLOT(0) && loc < RCP_SLOT(RCP_N_SLOTS))
		return cpu->fl_slot[loc - RCP_SLOT(0)];
	if (loc >= RCP_SLOT_HI(0) && loc < RCP_SLOT_HI(RCP_N_SLOTS))
		return cpu->fl_slot[loc - RCP_SLOT_HI(0)] >> 8;
	return loc == RCP_IMM ? r->imm : 0;
}

/* What has one form for each size. n: a shift's count, 1..31. */
#define RECIPE_(bits, type, stype)                                                          \
	static void recipe_eval##bits(struct cpu *cpu, unsigned op, type a, type b, type c) \
	{                                                                                   \
		switch (op) {                                                               \
		case RCP_ADD: alu_add##bits(cpu, (type)(a - b), b); break;                  \
		case RCP_SUB: alu_sub##bits(cpu, (type)(a + b), b); break;                  \
		case RCP_CMP: alu_sub##bits(cpu, a, b); break;                              \
		case RCP_LOGIC: flags_logic##bits(cpu, a); break;                           \
		case RCP_TEST: flags_logic##bits(cpu, a &b); break;                         \
		case RCP_INC:                                                               \
			set_cf(cpu, cpu->fl_c);                                             \
			alu_inc##bits(cpu, (type)(a - 1));                                  \
			break;                                                              \
		case RCP_DEC:                                                               \
			set_cf(cpu, cpu->fl_c);                                             \
			alu_dec##bits(cpu, (type)(a + 1));                                  \
			break;                                                              \
		case RCP_NEG: alu_neg##bits(cpu, (type)(0 - a)); break;                     \
		case RCP_ADC: /* the carry is what the result has more than the sum */      \
			set_cf(cpu, (unsigned)(type)(c - a - b));                           \
			alu_adc##bits(cpu, a, b);                                           \
			break;                                                              \
		case RCP_SBB:                                                               \
			set_cf(cpu, (unsigned)(type)(a - b - c));                           \
			alu_sbb##bits(cpu, a, b);                                           \
			break;                                                              \
		case RCP_ROL: flags_rol##bits(cpu, a); break;                               \
		case RCP_ROR: flags_ror##bits(cpu, a); break;                               \
		default: must(false);                                                       \
		}                                                                           \
	}                                                                                   \
	static void recipe_shift##bits(struct cpu *cpu, unsigned op, type a, unsigned n)    \
	{                                                                                   \
		switch (op) {                                                               \
		case RCP_SHL: do_shl##bits(cpu, a, n); break;                               \
		case RCP_SHR: do_shr##bits(cpu, a, n); break;                               \
		default: do_sar##bits(cpu, a, n); break;                                    \
		}                                                                           \
	}
SIZES(RECIPE_)

static void eval_sized(
	struct cpu *cpu, unsigned op, unsigned size, uint32_t a, uint32_t b, uint32_t c)
{
	switch (size) {
	case 1: recipe_eval8(cpu, op, (uint8_t)a, (uint8_t)b, (uint8_t)c); break;
	case 2: recipe_eval16(cpu, op, (uint16_t)a, (uint16_t)b, (uint16_t)c); break;
	default: recipe_eval32(cpu, op, a, b, c); break;
	}
}

static void eval_shift(struct cpu *cpu, unsigned op, unsigned size, uint32_t a, unsigned n)
{
	switch (size) {
	case 1: recipe_shift8(cpu, op, (uint8_t)a, n); break;
	case 2: recipe_shift16(cpu, op, (uint16_t)a, n); break;
	default: recipe_shift32(cpu, op, a, n); break;
	}
}

static void eval_double(
	struct cpu *cpu, unsigned op, unsigned size, uint32_t a, uint32_t c, unsigned n)
{
	if (size == 2 && op == RCP_SHLD)
		do_shld16(cpu, (uint16_t)a, (uint16_t)c, n);
	else if (size == 2)
		do_shrd16(cpu, (uint16_t)a, (uint16_t)c, n);
	else if (op == RCP_SHLD)
		do_shld32(cpu, a, c, n);
	else
		do_shrd32(cpu, a, c, n);
}

/* Of a product's halves. */
static void eval_halves(struct cpu *cpu, bool is_signed, unsigned size, uint32_t low, uint32_t high)
{
	switch (size) {
	case 1:
		flags_product8(
			cpu, (uint8_t)low, (int8_t)high != (is_signed ? (int8_t)low >> 7 : 0));
		break;
	case 2:
		flags_product16(
			cpu, (uint16_t)low, (int16_t)high != (is_signed ? (int16_t)low >> 15 : 0));
		break;
	default: flags_product32(cpu, low, (int32_t)high != (is_signed ? (int32_t)low >> 31 : 0));
	}
}

static void eval_product(struct cpu *cpu, unsigned op, unsigned size, uint32_t a, uint32_t b)
{
	int64_t r;

	if (op == RCP_MULX || op == RCP_IMULX) {
		eval_halves(cpu, op == RCP_IMULX, size, a, b);
	} else if (size == 2) {
		r = (int32_t)(int16_t)a * (int16_t)b;
		flags_product16(cpu, (uint16_t)r, r != (int16_t)r);
	} else {
		r = (int64_t)(int32_t)a * (int32_t)b;
		flags_product32(cpu, (uint32_t)r, r != (int32_t)r);
	}
}

static void eval_comparison(struct cpu *cpu, unsigned op, uint32_t a)
{
	bool c = a & 1, z = a >> 8 & 1;

	flags_set_arith(
		cpu, (c ? FL_CF : 0) | (z ? FL_ZF : 0) | (c && z && op == RCP_COMI ? FL_PF : 0));
}

static void eval_sahf(struct cpu *cpu, uint32_t a)
{
	cpu->cc = (uint16_t)((cpu->cc & CC_OF) | (a << 8 & CC_ARITH));
}

void recipe_eval(struct cpu *cpu, const struct recipe *r)
{
	uint32_t a = recipe_operand(cpu, r, r->a), b = recipe_operand(cpu, r, r->b);
	uint32_t c = recipe_operand(cpu, r, r->c);

	must(r->op != RCP_ENTRY && r->op < RCP_N);
	switch (r->op) {
	case RCP_CC: break;
	case RCP_BT: set_cf(cpu, cpu->fl_c); break;
	case RCP_COMI:
	case RCP_PTEST: eval_comparison(cpu, r->op, a); break;
	case RCP_SAHF: eval_sahf(cpu, a); break;
	case RCP_IMUL:
	case RCP_MULX:
	case RCP_IMULX: eval_product(cpu, r->op, r->size, a, b); break;
	case RCP_SHL:
	case RCP_SHR:
	case RCP_SAR:
		if (b & 31)
			eval_shift(cpu, r->op, r->size, a, b & 31);
		break;
	case RCP_SHLD:
	case RCP_SHRD:
		if (b & 31)
			eval_double(cpu, r->op, r->size, a, c, b & 31);
		break;
	case RCP_ROL:
	case RCP_ROR:
		if (b & 31)
			eval_sized(cpu, r->op, r->size, a, b, c);
		break;
	default: eval_sized(cpu, r->op, r->size, a, b, c); break;
	}
	a = recipe_operand(cpu, r, r->over_a);
	if (r->over == RCP_SAHF)
		eval_sahf(cpu, a);
	else if (r->over)
		eval_sized(cpu, r->over, r->over_size, a, 0, 0);
}
