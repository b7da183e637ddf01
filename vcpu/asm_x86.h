/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An assembler for the host's x86-64 code: one function call, one instruction. Encodings: SDM vol.
 * 2, ch. 2. It writes to a buffer of bounded size; what does not fit is counted but not written, so
 * that the caller asks once, at the end, with x_overflowed().
 */
#ifndef DEJAVM_ASM_X86_H
#define DEJAVM_ASM_X86_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum x_reg {
	X_RAX,
	X_RCX,
	X_RDX,
	X_RBX,
	X_RSP,
	X_RBP,
	X_RSI,
	X_RDI,
	X_R8,
	X_R9,
	X_R10,
	X_R11,
	X_R12,
	X_R13,
	X_R14,
	X_R15,
	X_AH = 0x24, /* byte registers that exist only without a REX prefix */
	X_CH,
	X_DH,
	X_BH,
	X_NO = 0xff
};

/* Condition codes, as in Jcc */
enum x_cond {
	X_O,
	X_NO_,
	X_B,
	X_AE,
	X_E,
	X_NE,
	X_BE,
	X_A,
	X_S,
	X_NS,
	X_P,
	X_NP,
	X_L,
	X_GE,
	X_LE,
	X_G
};

struct xasm {
	uint8_t *start, *p, *end;
	bool overflow;
	/* Host registers up to 15 that instructions have named as an operand, a bit for each; not
	 * those in addresses. A call names all. Whoever asks clears it. */
	uint32_t named;
};

static inline void x_name(struct xasm *a, unsigned r)
{
	if (r < 16)
		a->named |= 1u << r;
}

/* A register, or [base + (index << scale) + disp]; gs: of 32 bits, and GS's base is added. */
struct xrm {
	uint8_t base, index, scale;
	bool is_mem, gs;
	int32_t disp;
};

static inline struct xrm x_r(unsigned reg)
{
	return (struct xrm){ .base = (uint8_t)reg, .index = X_NO };
}
static inline struct xrm x_m(unsigned base, int32_t disp)
{
	return (struct xrm){ .base = (uint8_t)base, .index = X_NO, .is_mem = true, .disp = disp };
}
static inline struct xrm x_mi(unsigned base, unsigned index, unsigned scale, int32_t disp)
{
	return (struct xrm){ (uint8_t)base, (uint8_t)index, (uint8_t)scale, true, false, disp };
}

static inline bool x_overflowed(const struct xasm *a)
{
	return a->overflow;
}

static inline void x_bytes(struct xasm *a, const void *src, unsigned n)
{
	if (__builtin_expect((size_t)(a->end - a->p) < n, 0)) {
		a->overflow = true;
		return;
	}
	memcpy(a->p, src, n);
	a->p += n;
}
static inline void x_u8(struct xasm *a, unsigned v)
{
	uint8_t b = (uint8_t)v;

	x_bytes(a, &b, 1);
}
static inline void x_u32(struct xasm *a, uint32_t v)
{
	x_bytes(a, &v, 4);
}

/* ---- instructions ---- */

/* Opcodes of two and three bytes, with a mandatory prefix: X_0F | 0xb6, X_0F38 | ..., X_F3 | ... */
#define X_0F   0x0100u
#define X_0F38 0x0200u
#define X_0F3A 0x0300u
#define X_P66  0x1000u
#define X_PF3  0x2000u
#define X_PF2  0x3000u

/*
 * opcode with a ModRM byte: reg (or /digit) and rm. size: 1, 2, 4, 8: operand size of the prefixes;
 * byte registers are not checked against their size. imm_len: bytes of immediate that follow (for
 * nothing but documentation; there is no RIP-relative form here).
 */
void x_rm(struct xasm *a, unsigned size, unsigned opcode, unsigned reg, struct xrm rm);

/* ALU operations: enum of ADD.. as in opcodes, /digit of group 1 */
enum x_alu { X_ADD, X_OR, X_ADC, X_SBB, X_AND, X_SUB, X_XOR, X_CMP };
static inline void x_alu_r_rm(
	struct xasm *a, unsigned size, enum x_alu op, unsigned r, struct xrm rm)
{
	x_rm(a, size, op * 8u + (size == 1 ? 2 : 3), r, rm);
}
static inline void x_alu_rm_r(
	struct xasm *a, unsigned size, enum x_alu op, struct xrm rm, unsigned r)
{
	x_rm(a, size, op * 8u + (size == 1 ? 0 : 1), r, rm);
}
/* An immediate of the operand's size (4 for 8), shorter where it is possible. */
void x_alu_rm_i(struct xasm *a, unsigned size, enum x_alu op, struct xrm rm, uint32_t imm);
void x_imm(struct xasm *a, unsigned size, uint32_t imm);
void x_test_rm_i(struct xasm *a, unsigned size, struct xrm rm, uint32_t imm);
static inline void x_test_rm_r(struct xasm *a, unsigned size, struct xrm rm, unsigned r)
{
	x_rm(a, size, size == 1 ? 0x84 : 0x85, r, rm);
}
static inline void x_mov_r_rm(struct xasm *a, unsigned size, unsigned r, struct xrm rm)
{
	x_rm(a, size, size == 1 ? 0x8a : 0x8b, r, rm);
}
static inline void x_mov_rm_r(struct xasm *a, unsigned size, struct xrm rm, unsigned r)
{
	x_rm(a, size, size == 1 ? 0x88 : 0x89, r, rm);
}
void x_mov_rm_i(struct xasm *a, unsigned size, struct xrm rm, uint32_t imm);
/* 32-bit immediate, upper half becomes 0 */
void x_mov_r_i(struct xasm *a, unsigned r, uint32_t imm);
void x_mov_r_i64(struct xasm *a, unsigned r, uint64_t imm);
static inline void x_lea(struct xasm *a, unsigned size, unsigned r, struct xrm m)
{
	x_rm(a, size, 0x8d, r, m);
}
/* op: /digit of group 2: 0 ROL 1 ROR 4 SHL 5 SHR 7 SAR */
enum x_shift { X_ROL, X_ROR, X_RCL, X_RCR, X_SHL, X_SHR, X_SAR = 7 };
void x_shift_i(struct xasm *a, unsigned size, enum x_shift op, struct xrm rm, unsigned count);
static inline void x_shift_cl(struct xasm *a, unsigned size, enum x_shift op, struct xrm rm)
{
	x_rm(a, size, size == 1 ? 0xd2 : 0xd3, op, rm);
}
/* BMI2: prefix 66 SHLX, F2 SHRX, F3 SARX: r = rm shifted by the register count; 32 bits */
enum x_shiftx { X_SHLX = 1, X_SARX = 2, X_SHRX = 3 };
void x_shiftx(struct xasm *a, enum x_shiftx op, unsigned r, unsigned rm, unsigned count);

/* BMI2: r = rm, 32 bits, rotated right by imm; no flags */
void x_rorx(struct xasm *a, unsigned r, unsigned rm, unsigned imm);

/* ---- jumps: return where the 32-bit displacement lies, for x_here() and x_to() ---- */
uint8_t *x_jcc(struct xasm *a, enum x_cond c);
uint8_t *x_jmp(struct xasm *a);
uint8_t *x_call(struct xasm *a);
void x_push(struct xasm *a, unsigned r); /* 64 bits */
void x_pop(struct xasm *a, unsigned r);
/* The jump whose displacement lies at `at` goes to `to` (both in the writable mapping). */
static inline void x_to(const struct xasm *a, uint8_t *at, const uint8_t *to)
{
	int32_t d = (int32_t)(to - (at + 4));

	if (!a->overflow)
		memcpy(at, &d, 4);
}
static inline void x_here(const struct xasm *a, uint8_t *at)
{
	x_to(a, at, a->p);
}

#endif
