/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Arithmetic flags (SDM vol. 1, 3.4.3.1) and the ALU operations that set them. What the manual
 * leaves undefined is defined in docs/undefined.md.
 *
 * cpu->cc holds the six flags in the layout of AX after LAHF and SETO AL, because a 64-bit x86 host
 * yields exactly this with two instructions after the operation itself: computing flags at once is
 * then as cheap as remembering operands to compute them later, and every reader is a mask instead
 * of a switch. Other hosts, and tests with DEJAVM_PORTABLE, compute the same in C.
 */
#ifndef DEJAVM_FLAGS_H
#define DEJAVM_FLAGS_H

#include "cpu.h"

#if defined(__x86_64__) && !defined(DEJAVM_PORTABLE)
#define FLAGS_HOST_X86 1
#else
#define FLAGS_HOST_X86 0
#endif

/* The FL_ARITH bits of EFLAGS for a cc value, and back. */
static inline uint32_t flags_from_cc(uint32_t cc)
{
	return (cc >> 8 & (FL_CF | FL_PF | FL_AF | FL_ZF | FL_SF)) | (cc & CC_OF) << 11;
}

static inline uint16_t flags_to_cc(uint32_t eflags)
{
	return (uint16_t)((eflags & (FL_CF | FL_PF | FL_AF | FL_ZF | FL_SF)) << 8 |
			  (eflags & FL_OF) >> 11);
}

/* Only the arithmetic flags; others (TF, IF, ...) need flags_set(). */
static inline uint32_t flags_get_arith(const struct cpu *cpu)
{
	return flags_from_cc(cpu->cc);
}

static inline void flags_set_arith(struct cpu *cpu, uint32_t eflags)
{
	cpu->cc = flags_to_cc(eflags);
}

static inline unsigned flags_cf(const struct cpu *cpu)
{
	return cpu->cc >> 8 & 1;
}

/* Condition codes of Jcc, SETcc, CMOVcc (SDM vol. 1, app. B): cond 0..15 as in the opcode's low
 * bits. */
static inline bool flags_cond(const struct cpu *cpu, unsigned cond)
{
	uint32_t cc = cpu->cc;
	bool r;

	switch (cond >> 1) {
	case 0: r = cc & CC_OF; break;
	case 1: r = cc & CC_CF; break;
	case 2: r = cc & CC_ZF; break;
	case 3: r = cc & (CC_CF | CC_ZF); break;
	case 4: r = cc & CC_SF; break;
	case 5: r = cc & CC_PF; break;
	case 6: r = (cc >> 15 ^ cc) & 1; break;
	default: r = (cc & CC_ZF) || ((cc >> 15 ^ cc) & 1); break;
	}
	return r != (cond & 1);
}

/* PF, ZF and SF of a result of `bits` bits, in C. */
static inline uint32_t flags_pzs(uint32_t res, unsigned bits)
{
	uint32_t low = res & 0xff, cc = 0;

	low ^= low >> 4;
	if (0x9669u >> (low & 15) & 1)
		cc |= CC_PF;
	if (!(res << (32 - bits)))
		cc |= CC_ZF;
	if (res >> (bits - 1) & 1)
		cc |= CC_SF;
	return cc;
}

#if FLAGS_HOST_X86

#define FLAGS_ALU_(name, insn, type, sfx, c)                     \
	static inline type name(struct cpu *cpu, type a, type b) \
	{                                                        \
		uint32_t f;                                      \
		__asm__(insn sfx " %2,%0\n\tlahf\n\tseto %%al"   \
			: "+" c(a), "=&a"(f)                     \
			: c "i"(b)                               \
			: "cc");                                 \
		cpu->cc = (uint16_t)f;                           \
		return a;                                        \
	}
#define FLAGS_ALUC_(name, insn, type, sfx, c)                                  \
	static inline type name(struct cpu *cpu, type a, type b)               \
	{                                                                      \
		uint32_t f = cpu->cc;                                          \
		__asm__("btl $8,%1\n\t" insn sfx " %2,%0\n\tlahf\n\tseto %%al" \
			: "+&" c(a), "+&a"(f)                                  \
			: c "i"(b)                                             \
			: "cc");                                               \
		cpu->cc = (uint16_t)f;                                         \
		return a;                                                      \
	}
#define FLAGS_INCDEC_(name, insn, type, sfx, c)                                             \
	static inline type name(struct cpu *cpu, type a)                                    \
	{                                                                                   \
		uint32_t f, old = cpu->cc;                                                  \
		__asm__(insn sfx " %0\n\tlahf\n\tseto %%al" : "+" c(a), "=&a"(f) : : "cc"); \
		cpu->cc = (uint16_t)((f & ~CC_CF) | (old & CC_CF));                         \
		return a;                                                                   \
	}
/* Of a logic result: CF, OF and (by our definition) AF are 0. */
#define FLAGS_LOGIC_(name, type, sfx, c)                                                      \
	static inline void name(struct cpu *cpu, type res)                                    \
	{                                                                                     \
		uint32_t f;                                                                   \
		__asm__("test" sfx " %1,%1\n\tlahf\n\tseto %%al" : "=&a"(f) : c(res) : "cc"); \
		cpu->cc = (uint16_t)(f & ~CC_AF);                                             \
	}
#define FLAGS_SIZE_(bits, type, sfx, c)                   \
	FLAGS_ALU_(alu_add##bits, "add", type, sfx, c)    \
	FLAGS_ALU_(alu_sub##bits, "sub", type, sfx, c)    \
	FLAGS_ALUC_(alu_adc##bits, "adc", type, sfx, c)   \
	FLAGS_ALUC_(alu_sbb##bits, "sbb", type, sfx, c)   \
	FLAGS_INCDEC_(alu_inc##bits, "inc", type, sfx, c) \
	FLAGS_INCDEC_(alu_dec##bits, "dec", type, sfx, c) \
	FLAGS_LOGIC_(flags_logic##bits, type, sfx, c)
FLAGS_SIZE_(8, uint8_t, "b", "q")
FLAGS_SIZE_(16, uint16_t, "w", "r")
FLAGS_SIZE_(32, uint32_t, "l", "r")

#else

/* Carry vectors: bit i is the carry (borrow) out of bit i. */
static inline uint32_t flags_add_cc(uint32_t a, uint32_t b, uint32_t res, unsigned bits)
{
	uint32_t v = (a & b) | ((a | b) & ~res);

	return flags_pzs(res, bits) | (v >> (bits - 1) & 1) << 8 | (v >> 3 & 1) << 12 |
	       ((v >> (bits - 1) ^ v >> (bits - 2)) & 1);
}

static inline uint32_t flags_sub_cc(uint32_t a, uint32_t b, uint32_t res, unsigned bits)
{
	uint32_t v = (~a & b) | (~(a ^ b) & res);

	return flags_pzs(res, bits) | (v >> (bits - 1) & 1) << 8 | (v >> 3 & 1) << 12 |
	       ((v >> (bits - 1) ^ v >> (bits - 2)) & 1);
}

#define FLAGS_SIZE_(bits, type)                                                                   \
	static inline type alu_add##bits(struct cpu *cpu, type a, type b)                         \
	{                                                                                         \
		type r = (type)(a + b);                                                           \
		cpu->cc = (uint16_t)flags_add_cc(a, b, r, bits);                                  \
		return r;                                                                         \
	}                                                                                         \
	static inline type alu_adc##bits(struct cpu *cpu, type a, type b)                         \
	{                                                                                         \
		type r = (type)(a + b + flags_cf(cpu));                                           \
		cpu->cc = (uint16_t)flags_add_cc(a, b, r, bits);                                  \
		return r;                                                                         \
	}                                                                                         \
	static inline type alu_sub##bits(struct cpu *cpu, type a, type b)                         \
	{                                                                                         \
		type r = (type)(a - b);                                                           \
		cpu->cc = (uint16_t)flags_sub_cc(a, b, r, bits);                                  \
		return r;                                                                         \
	}                                                                                         \
	static inline type alu_sbb##bits(struct cpu *cpu, type a, type b)                         \
	{                                                                                         \
		type r = (type)(a - b - flags_cf(cpu));                                           \
		cpu->cc = (uint16_t)flags_sub_cc(a, b, r, bits);                                  \
		return r;                                                                         \
	}                                                                                         \
	static inline type alu_inc##bits(struct cpu *cpu, type a)                                 \
	{                                                                                         \
		type r = (type)(a + 1);                                                           \
		cpu->cc = (uint16_t)((flags_add_cc(a, 1, r, bits) & ~CC_CF) | (cpu->cc & CC_CF)); \
		return r;                                                                         \
	}                                                                                         \
	static inline type alu_dec##bits(struct cpu *cpu, type a)                                 \
	{                                                                                         \
		type r = (type)(a - 1);                                                           \
		cpu->cc = (uint16_t)((flags_sub_cc(a, 1, r, bits) & ~CC_CF) | (cpu->cc & CC_CF)); \
		return r;                                                                         \
	}                                                                                         \
	static inline void flags_logic##bits(struct cpu *cpu, type res)                           \
	{                                                                                         \
		cpu->cc = (uint16_t)flags_pzs(res, bits);                                         \
	}
FLAGS_SIZE_(8, uint8_t)
FLAGS_SIZE_(16, uint16_t)
FLAGS_SIZE_(32, uint32_t)

#endif

#define FLAGS_LOGIC_OPS_(bits, type)                                      \
	static inline type alu_and##bits(struct cpu *cpu, type a, type b) \
	{                                                                 \
		a &= b;                                                   \
		flags_logic##bits(cpu, a);                                \
		return a;                                                 \
	}                                                                 \
	static inline type alu_or##bits(struct cpu *cpu, type a, type b)  \
	{                                                                 \
		a |= b;                                                   \
		flags_logic##bits(cpu, a);                                \
		return a;                                                 \
	}                                                                 \
	static inline type alu_xor##bits(struct cpu *cpu, type a, type b) \
	{                                                                 \
		a ^= b;                                                   \
		flags_logic##bits(cpu, a);                                \
		return a;                                                 \
	}                                                                 \
	static inline type alu_neg##bits(struct cpu *cpu, type a)         \
	{                                                                 \
		return alu_sub##bits(cpu, 0, a);                          \
	}
FLAGS_LOGIC_OPS_(8, uint8_t)
FLAGS_LOGIC_OPS_(16, uint16_t)
FLAGS_LOGIC_OPS_(32, uint32_t)

#endif
