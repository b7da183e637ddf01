/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Operands of instructions, by size, for the op_*.c files. A family of handlers is an array indexed
 * by form: FORM_MEM (the ModRM operand is in memory) + 0, 1, 2 for 8, 16, 32 bits.
 */
#ifndef DEJAVM_OPERAND_H
#define DEJAVM_OPERAND_H

#include "flags.h"
#include "mem.h"
#include "ops.h"

#define SIZES(X)                 \
	X(8, uint8_t, int8_t)    \
	X(16, uint16_t, int16_t) \
	X(32, uint32_t, int32_t)

/*
 * Registers are always read and written as 32 bits: a narrow store would stall the next full read.
 * 8-bit registers 4..7 are AH..BH.
 */
static inline uint8_t reg_get8(const struct cpu *cpu, unsigned r)
{
	return (uint8_t)(cpu->gpr[r & 3] >> ((r & 4) << 1));
}

static inline void reg_set8(struct cpu *cpu, unsigned r, uint8_t v)
{
	unsigned shift = (r & 4) << 1;

	cpu->gpr[r & 3] = (cpu->gpr[r & 3] & ~(0xffu << shift)) | (uint32_t)v << shift;
}

static inline uint16_t reg_get16(const struct cpu *cpu, unsigned r)
{
	return (uint16_t)cpu->gpr[r];
}

static inline void reg_set16(struct cpu *cpu, unsigned r, uint16_t v)
{
	cpu->gpr[r] = (cpu->gpr[r] & 0xffff0000u) | v;
}

static inline uint32_t reg_get32(const struct cpu *cpu, unsigned r)
{
	return cpu->gpr[r];
}

static inline void reg_set32(struct cpu *cpu, unsigned r, uint32_t v)
{
	cpu->gpr[r] = v;
}

/* The ModRM memory operand. */
#define OPERAND_MEM_(bits, type, stype)                                                  \
	static inline type mem_get##bits(struct cpu *cpu, const struct insn *in)         \
	{                                                                                \
		return seg_read##bits(cpu, in->seg, insn_ea(cpu, in));                   \
	}                                                                                \
	static inline void mem_set##bits(struct cpu *cpu, const struct insn *in, type v) \
	{                                                                                \
		seg_write##bits(cpu, in->seg, insn_ea(cpu, in), v);                      \
	}                                                                                \
	static inline type mem_rmw##bits(                                                \
		struct cpu *cpu, const struct insn *in, struct mem_rmw *m)               \
	{                                                                                \
		return rmw_read##bits(cpu, in->seg, insn_ea(cpu, in), m);                \
	}
SIZES(OPERAND_MEM_)

/* name[6] from functions name_r8, ..., name_m32 */
#define OP_FAMILY(name)                                                                           \
	const insn_fn ops_##name[6] = { name##_r8, name##_r16, name##_r32, name##_m8, name##_m16, \
		name##_m32 }
/* for instructions without a byte form */
#define OP_FAMILY_V(name)                                                               \
	const insn_fn ops_##name[6] = { name##_r32, name##_r16, name##_r32, name##_m32, \
		name##_m16, name##_m32 }
/* without ModRM operand: by size only */
#define OP_SIZED(name)                                                                       \
	const insn_fn ops_##name[6] = { name##_8, name##_16, name##_32, name##_8, name##_16, \
		name##_32 }
#define OP_SIZED_V(name)                                                                       \
	const insn_fn ops_##name[6] = { name##_32, name##_16, name##_32, name##_32, name##_16, \
		name##_32 }

#endif
