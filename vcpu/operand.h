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

/*
 * Memory forms, both flat and general, from one statement. In it v is the operand. The flat form
 * does the fast case without calling anything and leaves all else to the general form, which starts
 * anew.
 */
#define OP_READ_AS_(name, suffix, bits, type, stmt)                                          \
	static __attribute__((noinline)) void name##_m##suffix(                              \
		struct cpu *cpu, const struct insn *in)                                      \
	{                                                                                    \
		type v = mem_get##bits(cpu, in);                                             \
		stmt;                                                                        \
	}                                                                                    \
	static void name##_f##suffix(struct cpu *cpu, const struct insn *in)                 \
	{                                                                                    \
		const uint8_t *host = flat_host(cpu, flat_ea(cpu, in), sizeof(type), false); \
		type v;                                                                      \
		if (unlikely(!host)) {                                                       \
			name##_m##suffix(cpu, in);                                           \
			return;                                                              \
		}                                                                            \
		memcpy(&v, host, sizeof(v));                                                 \
		stmt;                                                                        \
	}
#define OP_READ(name, bits, type, stmt) OP_READ_AS_(name, bits, bits, type, stmt)

#define OP_WRITE(name, bits, type, value)                                             \
	static __attribute__((noinline)) void name##_m##bits(                         \
		struct cpu *cpu, const struct insn *in)                               \
	{                                                                             \
		mem_set##bits(cpu, in, value);                                        \
	}                                                                             \
	static void name##_f##bits(struct cpu *cpu, const struct insn *in)            \
	{                                                                             \
		uint8_t *host = flat_host(cpu, flat_ea(cpu, in), sizeof(type), true); \
		type v = value;                                                       \
		if (unlikely(!host)) {                                                \
			name##_m##bits(cpu, in);                                      \
			return;                                                       \
		}                                                                     \
		memcpy(host, &v, sizeof(v));                                          \
	}

/* The statement changes v. It may set flags: after the read nothing faults. */
#define OP_RMW(name, bits, type, stmt)                                                \
	static __attribute__((noinline)) void name##_m##bits(                         \
		struct cpu *cpu, const struct insn *in)                               \
	{                                                                             \
		struct mem_rmw m;                                                     \
		type v = mem_rmw##bits(cpu, in, &m);                                  \
		stmt;                                                                 \
		rmw_write##bits(cpu, &m, v);                                          \
	}                                                                             \
	static void name##_f##bits(struct cpu *cpu, const struct insn *in)            \
	{                                                                             \
		uint8_t *host = flat_host(cpu, flat_ea(cpu, in), sizeof(type), true); \
		type v;                                                               \
		if (unlikely(!host)) {                                                \
			name##_m##bits(cpu, in);                                      \
			return;                                                       \
		}                                                                     \
		memcpy(&v, host, sizeof(v));                                          \
		stmt;                                                                 \
		memcpy(host, &v, sizeof(v));                                          \
	}

#define OP_FORMS_(name, r8, r16, r32, f8, f16, f32, m8, m16, m32)                          \
	const insn_fn ops_##name[FORM_COUNT] = { name##r8, name##r16, name##r32, name##f8, \
		name##f16, name##f32, name##m8, name##m16, name##m32 }

/* All forms. */
#define OP_FAMILY(name) OP_FORMS_(name, _r8, _r16, _r32, _f8, _f16, _f32, _m8, _m16, _m32)
/* No byte form. */
#define OP_FAMILY_V(name) OP_FORMS_(name, _r32, _r16, _r32, _f32, _f16, _f32, _m32, _m16, _m32)
/* Without a flat form. */
#define OP_PLAIN(name)	 OP_FORMS_(name, _r8, _r16, _r32, _m8, _m16, _m32, _m8, _m16, _m32)
#define OP_PLAIN_V(name) OP_FORMS_(name, _r32, _r16, _r32, _m32, _m16, _m32, _m32, _m16, _m32)
/* Without ModRM operand: by size only. */
#define OP_SIZED(name)	 OP_FORMS_(name, _8, _16, _32, _8, _16, _32, _8, _16, _32)
#define OP_SIZED_V(name) OP_FORMS_(name, _32, _16, _32, _32, _16, _32, _32, _16, _32)
/* E_STK: 32-bit operands have a form for flat mode, name_f32. */
#define OP_STACK(name) OP_FORMS_(name, _32, _16, _32, _f32, _16, _f32, _32, _16, _32)

#endif
