/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Near control transfers, and what depends on a condition: Jcc, LOOP, CALL, RET, SETcc, CMOVcc (SDM
 * vol. 1, 7.3.8). Targets are checked against the CS limit before anything changes; with a 16-bit
 * operand size they are cut to 16 bits.
 */
#include "operand.h"

static inline void jump_to(struct cpu *cpu, uint32_t target)
{
	if (unlikely(target > cpu->seg[SEG_CS].limit))
		cpu_raise_err(cpu, EXCP_GP, 0);
	cpu->eip = target;
}

static inline uint32_t target_rel(const struct cpu *cpu, const struct insn *in)
{
	uint32_t target = cpu->eip + in->len + in->imm;

	return likely(in->opsize == 4) ? target : target & 0xffff;
}

#define CC_LESS(cc) (((cc) >> 15 ^ (cc)) & 1)

#define CONDITIONS(X)                        \
	X(o, (cc & CC_OF))                   \
	X(no, !(cc & CC_OF))                 \
	X(b, (cc & CC_CF))                   \
	X(nb, !(cc & CC_CF))                 \
	X(z, (cc & CC_ZF))                   \
	X(nz, !(cc & CC_ZF))                 \
	X(be, (cc & (CC_CF | CC_ZF)))        \
	X(nbe, !(cc & (CC_CF | CC_ZF)))      \
	X(s, (cc & CC_SF))                   \
	X(ns, !(cc & CC_SF))                 \
	X(p, (cc & CC_PF))                   \
	X(np, !(cc & CC_PF))                 \
	X(l, CC_LESS(cc))                    \
	X(nl, !CC_LESS(cc))                  \
	X(le, (CC_LESS(cc) || (cc & CC_ZF))) \
	X(nle, !(CC_LESS(cc) || (cc & CC_ZF)))

/* CMOVcc reads its source whether or not the condition holds (SDM vol. 2). */
#define CONDITIONAL_(name, test)                                             \
	static void j##name##_16(struct cpu *cpu, const struct insn *in)     \
	{                                                                    \
		uint32_t cc = cpu->cc;                                       \
		if (test)                                                    \
			jump_to(cpu, target_rel(cpu, in));                   \
		else                                                         \
			cpu->eip += in->len;                                 \
	}                                                                    \
	static void j##name##_32(struct cpu *cpu, const struct insn *in)     \
	{                                                                    \
		uint32_t cc = cpu->cc, next = cpu->eip + in->len;            \
		if (test)                                                    \
			jump_to(cpu, next + in->imm);                        \
		else                                                         \
			cpu->eip = next;                                     \
	}                                                                    \
	OP_SIZED_V(j##name);                                                 \
	static void set##name##_r8(struct cpu *cpu, const struct insn *in)   \
	{                                                                    \
		uint32_t cc = cpu->cc;                                       \
		reg_set8(cpu, in->rm, (test) != 0);                          \
	}                                                                    \
	static void set##name##_m8(struct cpu *cpu, const struct insn *in)   \
	{                                                                    \
		uint32_t cc = cpu->cc;                                       \
		mem_set8(cpu, in, (test) != 0);                              \
	}                                                                    \
	OP_FORMS_(set##name, _r8, _r8, _r8, _m8, _m8, _m8, _m8, _m8, _m8);   \
	static void cmov##name##_r16(struct cpu *cpu, const struct insn *in) \
	{                                                                    \
		uint32_t cc = cpu->cc;                                       \
		if (test)                                                    \
			reg_set16(cpu, in->reg, reg_get16(cpu, in->rm));     \
	}                                                                    \
	static void cmov##name##_r32(struct cpu *cpu, const struct insn *in) \
	{                                                                    \
		uint32_t cc = cpu->cc;                                       \
		if (test)                                                    \
			reg_set32(cpu, in->reg, reg_get32(cpu, in->rm));     \
	}                                                                    \
	static void cmov##name##_m16(struct cpu *cpu, const struct insn *in) \
	{                                                                    \
		uint32_t cc = cpu->cc;                                       \
		uint16_t v = mem_get16(cpu, in);                             \
		if (test)                                                    \
			reg_set16(cpu, in->reg, v);                          \
	}                                                                    \
	static void cmov##name##_m32(struct cpu *cpu, const struct insn *in) \
	{                                                                    \
		uint32_t cc = cpu->cc;                                       \
		uint32_t v = mem_get32(cpu, in);                             \
		if (test)                                                    \
			reg_set32(cpu, in->reg, v);                          \
	}                                                                    \
	OP_PLAIN_V(cmov##name);
CONDITIONS(CONDITIONAL_)

/* ---- unconditional ---- */

static void jmp_rel_16(struct cpu *cpu, const struct insn *in)
{
	jump_to(cpu, target_rel(cpu, in));
}

static void jmp_rel_32(struct cpu *cpu, const struct insn *in)
{
	jump_to(cpu, cpu->eip + in->len + in->imm);
}
OP_SIZED_V(jmp_rel);

#define NEAR_(bits, type, stype)                                                                \
	static void jmp_rm_r##bits(struct cpu *cpu, const struct insn *in)                      \
	{                                                                                       \
		jump_to(cpu, reg_get##bits(cpu, in->rm));                                       \
	}                                                                                       \
	static void jmp_rm_m##bits(struct cpu *cpu, const struct insn *in)                      \
	{                                                                                       \
		jump_to(cpu, mem_get##bits(cpu, in));                                           \
	}                                                                                       \
	static inline void call_##bits(struct cpu *cpu, const struct insn *in, uint32_t target) \
	{                                                                                       \
		if (unlikely(target > cpu->seg[SEG_CS].limit))                                  \
			cpu_raise_err(cpu, EXCP_GP, 0);                                         \
		push##bits(cpu, (type)(cpu->eip + in->len));                                    \
		cpu->eip = target;                                                              \
	}                                                                                       \
	static void call_rel_##bits(struct cpu *cpu, const struct insn *in)                     \
	{                                                                                       \
		call_##bits(cpu, in, (type)(cpu->eip + in->len + in->imm));                     \
	}                                                                                       \
	static void call_rm_r##bits(struct cpu *cpu, const struct insn *in)                     \
	{                                                                                       \
		call_##bits(cpu, in, reg_get##bits(cpu, in->rm));                               \
	}                                                                                       \
	static void call_rm_m##bits(struct cpu *cpu, const struct insn *in)                     \
	{                                                                                       \
		call_##bits(cpu, in, mem_get##bits(cpu, in));                                   \
	}                                                                                       \
	/* imm: bytes to release, 0 for C3 */                                                   \
	static void ret_near_##bits(struct cpu *cpu, const struct insn *in)                     \
	{                                                                                       \
		uint32_t sp = cpu->gpr[R_ESP];                                                  \
		jump_to(cpu, seg_read##bits(cpu, SEG_SS, sp &stack_mask(cpu)));                 \
		stack_set(cpu, sp + bits / 8 + in->imm);                                        \
	}
NEAR_(16, uint16_t, int16_t)
NEAR_(32, uint32_t, int32_t)

static void call_rel_f32(struct cpu *cpu, const struct insn *in)
{
	uint32_t next = cpu->eip + in->len, target = next + in->imm, sp = cpu->gpr[R_ESP] - 4;
	uint8_t *host = flat_host(cpu, sp, 4, true);

	if (unlikely(!host || target > cpu->seg[SEG_CS].limit)) {
		call_rel_32(cpu, in);
		return;
	}
	memcpy(host, &next, 4);
	cpu->gpr[R_ESP] = sp;
	cpu->eip = target;
}

static void ret_near_f32(struct cpu *cpu, const struct insn *in)
{
	uint32_t sp = cpu->gpr[R_ESP], target;
	const uint8_t *host = flat_host(cpu, sp, 4, false);

	if (unlikely(!host)) {
		ret_near_32(cpu, in);
		return;
	}
	memcpy(&target, host, 4);
	jump_to(cpu, target);
	cpu->gpr[R_ESP] = sp + 4 + in->imm;
}
OP_PLAIN_V(jmp_rm);
OP_STACK(call_rel);
OP_PLAIN_V(call_rm);
OP_STACK(ret_near);

/* ---- LOOP, JCXZ: the counter is CX or ECX by address size ---- */

static inline uint32_t count_get(const struct cpu *cpu, const struct insn *in)
{
	return in->addrsize == 4 ? cpu->gpr[R_ECX] : cpu->gpr[R_ECX] & 0xffff;
}

static void loop_if(struct cpu *cpu, const struct insn *in, bool cond)
{
	uint32_t n = cpu->gpr[R_ECX] - 1;

	if (in->addrsize == 2)
		n = (cpu->gpr[R_ECX] & 0xffff0000u) | (n & 0xffff);
	if (cond && (in->addrsize == 4 ? n : n & 0xffff))
		jump_to(cpu, target_rel(cpu, in)); /* may raise: before ECX changes */
	else
		cpu->eip += in->len;
	cpu->gpr[R_ECX] = n;
}

void op_loop(struct cpu *cpu, const struct insn *in)
{
	loop_if(cpu, in, true);
}

void op_loope(struct cpu *cpu, const struct insn *in)
{
	loop_if(cpu, in, cpu->cc & CC_ZF);
}

void op_loopne(struct cpu *cpu, const struct insn *in)
{
	loop_if(cpu, in, !(cpu->cc & CC_ZF));
}

void op_jcxz(struct cpu *cpu, const struct insn *in)
{
	if (!count_get(cpu, in))
		jump_to(cpu, target_rel(cpu, in));
	else
		cpu->eip += in->len;
}
