/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Data transfer: moves, exchanges, extensions, the stack, address loads (SDM vol. 1, 7.3.1). */
#include "operand.h"

#define MOVES_(bits, type, stype)                                                   \
	static void mov_rm_r_r##bits(struct cpu *cpu, const struct insn *in)        \
	{                                                                           \
		reg_set##bits(cpu, in->rm, reg_get##bits(cpu, in->reg));            \
	}                                                                           \
	static void mov_r_rm_r##bits(struct cpu *cpu, const struct insn *in)        \
	{                                                                           \
		reg_set##bits(cpu, in->reg, reg_get##bits(cpu, in->rm));            \
	}                                                                           \
	static void mov_rm_i_r##bits(struct cpu *cpu, const struct insn *in)        \
	{                                                                           \
		reg_set##bits(cpu, in->rm, (type)in->imm);                          \
	}                                                                           \
	OP_WRITE(mov_rm_r, bits, type, reg_get##bits(cpu, in->reg))                 \
	OP_READ(mov_r_rm, bits, type, reg_set##bits(cpu, in->reg, v))               \
	OP_WRITE(mov_rm_i, bits, type, (type)in->imm)                               \
	static void xchg_r##bits(struct cpu *cpu, const struct insn *in)            \
	{                                                                           \
		type v = reg_get##bits(cpu, in->rm);                                \
		reg_set##bits(cpu, in->rm, reg_get##bits(cpu, in->reg));            \
		reg_set##bits(cpu, in->reg, v);                                     \
	}                                                                           \
	static void xchg_m##bits(struct cpu *cpu, const struct insn *in)            \
	{                                                                           \
		struct mem_rmw m;                                                   \
		type v = mem_rmw##bits(cpu, in, &m);                                \
		rmw_write##bits(cpu, &m, reg_get##bits(cpu, in->reg));              \
		reg_set##bits(cpu, in->reg, v);                                     \
	}                                                                           \
	/* moffs: the operand is at disp alone */                                   \
	static void mov_a_moffs_##bits(struct cpu *cpu, const struct insn *in)      \
	{                                                                           \
		reg_set##bits(cpu, R_EAX, seg_read##bits(cpu, in->seg, in->disp));  \
	}                                                                           \
	static void mov_moffs_a_##bits(struct cpu *cpu, const struct insn *in)      \
	{                                                                           \
		seg_write##bits(cpu, in->seg, in->disp, reg_get##bits(cpu, R_EAX)); \
	}
SIZES(MOVES_)
OP_FAMILY(mov_rm_r);
OP_FAMILY(mov_r_rm);
OP_FAMILY(mov_rm_i);
OP_PLAIN(xchg);
OP_SIZED(mov_a_moffs);
OP_SIZED(mov_moffs_a);

#define EXTEND_(name, bits, type, from, cast)                                        \
	static void name##_r##bits(struct cpu *cpu, const struct insn *in)           \
	{                                                                            \
		reg_set##bits(cpu, in->reg, (type)(cast)reg_get##from(cpu, in->rm)); \
	}                                                                            \
	OP_READ_AS_(name, bits, from, uint##from##_t, reg_set##bits(cpu, in->reg, (type)(cast)v))
#define EXTENDS_(bits, type)                       \
	EXTEND_(movzx8, bits, type, 8, uint8_t)    \
	EXTEND_(movzx16, bits, type, 16, uint16_t) \
	EXTEND_(movsx8, bits, type, 8, int8_t)     \
	EXTEND_(movsx16, bits, type, 16, int16_t)
EXTENDS_(16, uint16_t)
EXTENDS_(32, uint32_t)
OP_FAMILY_V(movzx8);
OP_FAMILY_V(movzx16);
OP_FAMILY_V(movsx8);
OP_FAMILY_V(movsx16);

/* LEA: the offset, cut or zero-extended to the operand size. */
static void lea_m16(struct cpu *cpu, const struct insn *in)
{
	reg_set16(cpu, in->reg, (uint16_t)insn_ea(cpu, in));
}

static void lea_m32(struct cpu *cpu, const struct insn *in)
{
	reg_set32(cpu, in->reg, insn_ea(cpu, in));
}

static void lea_f32(struct cpu *cpu, const struct insn *in)
{
	reg_set32(cpu, in->reg, flat_ea(cpu, in));
}
OP_FORMS_(lea, _m32, _m16, _m32, _m32, _m16, _f32, _m32, _m16, _m32);

static void bswap_32(struct cpu *cpu, const struct insn *in)
{
	cpu->gpr[in->reg] = __builtin_bswap32(cpu->gpr[in->reg]);
}

/* With a 16-bit operand: undefined; the low half becomes 0, as processors of both makers do. */
static void bswap_16(struct cpu *cpu, const struct insn *in)
{
	reg_set16(cpu, in->reg, 0);
}
OP_SIZED_V(bswap);

static void cbw_16(struct cpu *cpu, const struct insn *in)
{
	reg_set16(cpu, R_EAX, (uint16_t)(int8_t)reg_get8(cpu, R_EAX));
}

static void cbw_32(struct cpu *cpu, const struct insn *in)
{
	cpu->gpr[R_EAX] = (uint32_t)(int16_t)reg_get16(cpu, R_EAX);
}
OP_SIZED_V(cbw);

static void cwd_16(struct cpu *cpu, const struct insn *in)
{
	reg_set16(cpu, R_EDX, (uint16_t)((int16_t)reg_get16(cpu, R_EAX) >> 15));
}

static void cwd_32(struct cpu *cpu, const struct insn *in)
{
	cpu->gpr[R_EDX] = (uint32_t)((int32_t)cpu->gpr[R_EAX] >> 31);
}
OP_SIZED_V(cwd);

void op_xlat(struct cpu *cpu, const struct insn *in)
{
	uint32_t off = cpu->gpr[R_EBX] + reg_get8(cpu, R_EAX);

	reg_set8(cpu, R_EAX, seg_read8(cpu, in->seg, in->addrsize == 2 ? off & 0xffff : off));
}

void op_nop(struct cpu *cpu, const struct insn *in)
{
}

/* ---- stack ---- */

/* In flat mode: the store or load at ESP, or the general form. */
#define PUSH_FLAT_(name, value)                                        \
	static void name##_f32(struct cpu *cpu, const struct insn *in) \
	{                                                              \
		uint32_t sp = cpu->gpr[R_ESP] - 4, v = value;          \
		uint8_t *host = flat_host(cpu, sp, 4, true);           \
		if (unlikely(!host)) {                                 \
			name##_32(cpu, in);                            \
			return;                                        \
		}                                                      \
		memcpy(host, &v, 4);                                   \
		cpu->gpr[R_ESP] = sp;                                  \
	}

#define STACK_(bits, type, stype)                                                                 \
	static void push_r_##bits(struct cpu *cpu, const struct insn *in)                         \
	{                                                                                         \
		push##bits(cpu, reg_get##bits(cpu, in->reg));                                     \
	}                                                                                         \
	static void push_rm_r##bits(struct cpu *cpu, const struct insn *in)                       \
	{                                                                                         \
		push##bits(cpu, reg_get##bits(cpu, in->rm));                                      \
	}                                                                                         \
	static void push_rm_m##bits(struct cpu *cpu, const struct insn *in)                       \
	{                                                                                         \
		push##bits(cpu, mem_get##bits(cpu, in));                                          \
	}                                                                                         \
	static void push_i_##bits(struct cpu *cpu, const struct insn *in)                         \
	{                                                                                         \
		push##bits(cpu, (type)in->imm);                                                   \
	}                                                                                         \
	static void pop_r_##bits(struct cpu *cpu, const struct insn *in)                          \
	{                                                                                         \
		type v = pop##bits(cpu);                                                          \
		reg_set##bits(cpu, in->reg, v);                                                   \
	}                                                                                         \
	static void pop_rm_r##bits(struct cpu *cpu, const struct insn *in)                        \
	{                                                                                         \
		type v = pop##bits(cpu);                                                          \
		reg_set##bits(cpu, in->rm, v);                                                    \
	}                                                                                         \
	/* The address is computed with ESP already raised (SDM vol. 2, POP). */                  \
	static void pop_rm_m##bits(struct cpu *cpu, const struct insn *in)                        \
	{                                                                                         \
		uint32_t old = cpu->gpr[R_ESP], ea;                                               \
		type v = pop##bits(cpu);                                                          \
		uint32_t new = cpu->gpr[R_ESP];                                                   \
		ea = insn_ea(cpu, in);                                                            \
		cpu->gpr[R_ESP] = old;                                                            \
		seg_write##bits(cpu, in->seg, ea, v);                                             \
		cpu->gpr[R_ESP] = new;                                                            \
	}                                                                                         \
	static void pusha_##bits(struct cpu *cpu, const struct insn *in)                          \
	{                                                                                         \
		uint32_t sp = cpu->gpr[R_ESP];                                                    \
		for (unsigned i = 0; i < 8; i++) {                                                \
			sp -= bits / 8;                                                           \
			seg_write##bits(cpu, SEG_SS, sp &stack_mask(cpu), reg_get##bits(cpu, i)); \
		}                                                                                 \
		stack_set(cpu, sp);                                                               \
	}                                                                                         \
	static void popa_##bits(struct cpu *cpu, const struct insn *in)                           \
	{                                                                                         \
		uint32_t sp = cpu->gpr[R_ESP];                                                    \
		type v[8];                                                                        \
		for (unsigned i = 0; i < 8; i++, sp += bits / 8)                                  \
			v[i] = seg_read##bits(cpu, SEG_SS, sp & stack_mask(cpu));                 \
		stack_set(cpu, sp);                                                               \
		for (unsigned i = 0; i < 8; i++)                                                  \
			if (7 - i != R_ESP)                                                       \
				reg_set##bits(cpu, 7 - i, v[i]);                                  \
	}                                                                                         \
	static void leave_##bits(struct cpu *cpu, const struct insn *in)                          \
	{                                                                                         \
		uint32_t sp = cpu->gpr[R_EBP];                                                    \
		type v = seg_read##bits(cpu, SEG_SS, sp & stack_mask(cpu));                       \
		stack_set(cpu, sp + bits / 8);                                                    \
		reg_set##bits(cpu, R_EBP, v);                                                     \
	}                                                                                         \
	/* Registers change only when all is written. */                                          \
	static void enter_##bits(struct cpu *cpu, const struct insn *in)                          \
	{                                                                                         \
		uint32_t sp = cpu->gpr[R_ESP] - bits / 8, bp = cpu->gpr[R_EBP];                   \
		uint32_t mask = stack_mask(cpu), frame = sp;                                      \
		unsigned level = in->imm2 & 31;                                                   \
		seg_write##bits(cpu, SEG_SS, sp &mask, (type)bp);                                 \
		for (unsigned i = 1; i < level; i++) {                                            \
			type v;                                                                   \
			bp -= bits / 8;                                                           \
			v = seg_read##bits(cpu, SEG_SS, bp & mask);                               \
			sp -= bits / 8;                                                           \
			seg_write##bits(cpu, SEG_SS, sp &mask, v);                                \
		}                                                                                 \
		if (level) {                                                                      \
			sp -= bits / 8;                                                           \
			seg_write##bits(cpu, SEG_SS, sp &mask, (type)frame);                      \
		}                                                                                 \
		sp -= in->imm;                                                                    \
		seg_probe_write(cpu, SEG_SS, sp &mask, 1);                                        \
		if (bits == 16 || mask == 0xffff)                                                 \
			reg_set16(cpu, R_EBP, (uint16_t)frame);                                   \
		else                                                                              \
			cpu->gpr[R_EBP] = frame;                                                  \
		stack_set(cpu, sp);                                                               \
	}
STACK_(16, uint16_t, int16_t)
STACK_(32, uint32_t, int32_t)
PUSH_FLAT_(push_r, cpu->gpr[in->reg])
PUSH_FLAT_(push_i, in->imm)

static void pop_r_f32(struct cpu *cpu, const struct insn *in)
{
	uint32_t sp = cpu->gpr[R_ESP];
	const uint8_t *host = flat_host(cpu, sp, 4, false);

	if (unlikely(!host)) {
		pop_r_32(cpu, in);
		return;
	}
	cpu->gpr[R_ESP] = sp + 4; /* before the register: POP ESP */
	memcpy(&cpu->gpr[in->reg], host, 4);
}
OP_STACK(push_r);
OP_PLAIN_V(push_rm);
OP_STACK(push_i);
OP_STACK(pop_r);
OP_PLAIN_V(pop_rm);
OP_SIZED_V(pusha);
OP_SIZED_V(popa);
OP_SIZED_V(leave);
OP_SIZED_V(enter);

/* BOUND (SDM vol. 2): signed index against the pair of bounds in memory. */
#define BOUND_(bits, type, stype)                                                      \
	static void bound_##bits(struct cpu *cpu, const struct insn *in)               \
	{                                                                              \
		uint32_t ea = insn_ea(cpu, in);                                        \
		stype low = (stype)seg_read##bits(cpu, in->seg, ea);                   \
		stype high = (stype)seg_read##bits(cpu, in->seg,                       \
			in->addrsize == 2 ? (ea + bits / 8) & 0xffff : ea + bits / 8); \
		stype v = (stype)reg_get##bits(cpu, in->reg);                          \
		if (v < low || v > high)                                               \
			cpu_raise(cpu, EXCP_BR);                                       \
	}
BOUND_(16, uint16_t, int16_t)
BOUND_(32, uint32_t, int32_t)
OP_SIZED_V(bound);
