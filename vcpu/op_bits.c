/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Shifts, rotates, bit tests and scans (SDM vol. 1, 7.3.6; vol. 2): the forms of their operands.
 * What they compute is in shift.h.
 */
#include "shift.h"

/* Forms: by 1, by imm8, by CL. A count of 0 in memory still needs write access. */
#define SHIFT_FORM_(op, form, bits, type, count)                                                 \
	static void op##_##form##_r##bits(struct cpu *cpu, const struct insn *in)                \
	{                                                                                        \
		unsigned n = (count)&31;                                                         \
		if (n)                                                                           \
			reg_set##bits(                                                           \
				cpu, in->rm, do_##op##bits(cpu, reg_get##bits(cpu, in->rm), n)); \
	}                                                                                        \
	static void op##_##form##_m##bits(struct cpu *cpu, const struct insn *in)                \
	{                                                                                        \
		unsigned n = (count)&31;                                                         \
		struct mem_rmw m;                                                                \
		type v = mem_rmw##bits(cpu, in, &m);                                             \
		rmw_write##bits(cpu, &m, n ? do_##op##bits(cpu, v, n) : v);                      \
	}
#define SHIFT_SIZE_(op, bits, type)             \
	SHIFT_FORM_(op, 1, bits, type, 1)       \
	SHIFT_FORM_(op, i, bits, type, in->imm) \
	SHIFT_FORM_(op, cl, bits, type, cpu->gpr[R_ECX])
#define SHIFT_FAMILY_(op)             \
	SHIFT_SIZE_(op, 8, uint8_t)   \
	SHIFT_SIZE_(op, 16, uint16_t) \
	SHIFT_SIZE_(op, 32, uint32_t) \
	OP_PLAIN(op##_1);             \
	OP_PLAIN(op##_i);             \
	OP_PLAIN(op##_cl);
SHIFT_FAMILY_(rol)
SHIFT_FAMILY_(ror)
SHIFT_FAMILY_(rcl)
SHIFT_FAMILY_(rcr)
SHIFT_FAMILY_(shl)
SHIFT_FAMILY_(shr)
SHIFT_FAMILY_(sar)

/* ---- SHLD, SHRD ---- */

#define DOUBLE_(op, form, bits, type, count)                                                     \
	static void op##_##form##_r##bits(struct cpu *cpu, const struct insn *in)                \
	{                                                                                        \
		unsigned n = (count)&31;                                                         \
		if (n)                                                                           \
			reg_set##bits(cpu, in->rm,                                               \
				do_##op##bits(cpu, reg_get##bits(cpu, in->rm),                   \
					reg_get##bits(cpu, in->reg), n));                        \
	}                                                                                        \
	static void op##_##form##_m##bits(struct cpu *cpu, const struct insn *in)                \
	{                                                                                        \
		unsigned n = (count)&31;                                                         \
		struct mem_rmw m;                                                                \
		type v = mem_rmw##bits(cpu, in, &m);                                             \
		rmw_write##bits(                                                                 \
			cpu, &m, n ? do_##op##bits(cpu, v, reg_get##bits(cpu, in->reg), n) : v); \
	}
#define DOUBLE_FAMILY_(op, form, count)        \
	DOUBLE_(op, form, 16, uint16_t, count) \
	DOUBLE_(op, form, 32, uint32_t, count) \
	OP_PLAIN_V(op##_##form);
DOUBLE_FAMILY_(shld, i, in->imm)
DOUBLE_FAMILY_(shld, cl, cpu->gpr[R_ECX])
DOUBLE_FAMILY_(shrd, i, in->imm)
DOUBLE_FAMILY_(shrd, cl, cpu->gpr[R_ECX])

/*
 * BT and friends: CF is the bit; the other flags are undefined and stay. With a register as bit
 * offset and a memory operand, the offset is signed and reaches beyond the operand: the address is
 * in units of the operand size.
 */
static inline uint32_t bit_ea(
	const struct cpu *cpu, const struct insn *in, int32_t bit, unsigned log2_bytes)
{
	uint32_t ea = insn_ea(cpu, in) + ((uint32_t)(bit >> (log2_bytes + 3)) << log2_bytes);

	return in->addrsize == 2 ? ea & 0xffff : ea;
}

#define BT_(op, bits, type, stype, log2_bytes, expr)                                         \
	static void op##_r_r##bits(struct cpu *cpu, const struct insn *in)                   \
	{                                                                                    \
		unsigned n = reg_get##bits(cpu, in->reg) & (bits - 1);                       \
		type v = reg_get##bits(cpu, in->rm), bit = (type)((type)1 << n);             \
		set_cf(cpu, (unsigned)(v >> n));                                             \
		reg_set##bits(cpu, in->rm, (type)(expr));                                    \
	}                                                                                    \
	static void op##_r_m##bits(struct cpu *cpu, const struct insn *in)                   \
	{                                                                                    \
		stype off = (stype)reg_get##bits(cpu, in->reg);                              \
		unsigned n = (unsigned)off & (bits - 1);                                     \
		type bit = (type)((type)1 << n);                                             \
		struct mem_rmw m;                                                            \
		type v = rmw_read##bits(cpu, in->seg, bit_ea(cpu, in, off, log2_bytes), &m); \
		set_cf(cpu, (unsigned)(v >> n));                                             \
		rmw_write##bits(cpu, &m, (type)(expr));                                      \
	}                                                                                    \
	static void op##_i_r##bits(struct cpu *cpu, const struct insn *in)                   \
	{                                                                                    \
		unsigned n = in->imm & (bits - 1);                                           \
		type v = reg_get##bits(cpu, in->rm), bit = (type)((type)1 << n);             \
		set_cf(cpu, (unsigned)(v >> n));                                             \
		reg_set##bits(cpu, in->rm, (type)(expr));                                    \
	}                                                                                    \
	static void op##_i_m##bits(struct cpu *cpu, const struct insn *in)                   \
	{                                                                                    \
		unsigned n = in->imm & (bits - 1);                                           \
		type bit = (type)((type)1 << n);                                             \
		struct mem_rmw m;                                                            \
		type v = mem_rmw##bits(cpu, in, &m);                                         \
		set_cf(cpu, (unsigned)(v >> n));                                             \
		rmw_write##bits(cpu, &m, (type)(expr));                                      \
	}
#define BT_FAMILY_(op, expr)                    \
	BT_(op, 16, uint16_t, int16_t, 1, expr) \
	BT_(op, 32, uint32_t, int32_t, 2, expr) \
	OP_PLAIN_V(op##_r);                     \
	OP_PLAIN_V(op##_i);
BT_FAMILY_(bts, v | bit)
BT_FAMILY_(btr, v & ~bit)
BT_FAMILY_(btc, v ^ bit)

#define BT_READ_(bits, type, stype, log2_bytes)                                                \
	static void bt_r_r##bits(struct cpu *cpu, const struct insn *in)                       \
	{                                                                                      \
		set_cf(cpu, (unsigned)(reg_get##bits(cpu, in->rm) >>                           \
				       (reg_get##bits(cpu, in->reg) & (bits - 1))));           \
	}                                                                                      \
	static void bt_r_m##bits(struct cpu *cpu, const struct insn *in)                       \
	{                                                                                      \
		stype off = (stype)reg_get##bits(cpu, in->reg);                                \
		type v = seg_read##bits(cpu, in->seg, bit_ea(cpu, in, off, log2_bytes));       \
		set_cf(cpu, (unsigned)(v >> ((unsigned)off & (bits - 1))));                    \
	}                                                                                      \
	static void bt_i_r##bits(struct cpu *cpu, const struct insn *in)                       \
	{                                                                                      \
		set_cf(cpu, (unsigned)(reg_get##bits(cpu, in->rm) >> (in->imm & (bits - 1)))); \
	}                                                                                      \
	static void bt_i_m##bits(struct cpu *cpu, const struct insn *in)                       \
	{                                                                                      \
		set_cf(cpu, (unsigned)(mem_get##bits(cpu, in) >> (in->imm & (bits - 1))));     \
	}
BT_READ_(16, uint16_t, int16_t, 1)
BT_READ_(32, uint32_t, int32_t, 2)
OP_PLAIN_V(bt_r);
OP_PLAIN_V(bt_i);

/* ---- BSF, BSR: of 0: ZF, and the destination stays (AMD's definition; Intel's processors do the
 * same) ---- */

#define SCAN_(bits, type)                                                               \
	static inline void do_bsf##bits(struct cpu *cpu, const struct insn *in, type v) \
	{                                                                               \
		flags_logic##bits(cpu, v);                                              \
		if (v)                                                                  \
			reg_set##bits(cpu, in->reg, (type)__builtin_ctz(v));            \
	}                                                                               \
	static inline void do_bsr##bits(struct cpu *cpu, const struct insn *in, type v) \
	{                                                                               \
		flags_logic##bits(cpu, v);                                              \
		if (v)                                                                  \
			reg_set##bits(cpu, in->reg, (type)(31 - __builtin_clz(v)));     \
	}                                                                               \
	static void bsf_r##bits(struct cpu *cpu, const struct insn *in)                 \
	{                                                                               \
		do_bsf##bits(cpu, in, reg_get##bits(cpu, in->rm));                      \
	}                                                                               \
	static void bsf_m##bits(struct cpu *cpu, const struct insn *in)                 \
	{                                                                               \
		do_bsf##bits(cpu, in, mem_get##bits(cpu, in));                          \
	}                                                                               \
	static void bsr_r##bits(struct cpu *cpu, const struct insn *in)                 \
	{                                                                               \
		do_bsr##bits(cpu, in, reg_get##bits(cpu, in->rm));                      \
	}                                                                               \
	static void bsr_m##bits(struct cpu *cpu, const struct insn *in)                 \
	{                                                                               \
		do_bsr##bits(cpu, in, mem_get##bits(cpu, in));                          \
	}
SCAN_(16, uint16_t)
SCAN_(32, uint32_t)
OP_PLAIN_V(bsf);
OP_PLAIN_V(bsr);
