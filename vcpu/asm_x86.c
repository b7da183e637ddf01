/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See asm_x86.h. */
#include "asm_x86.h"

#include "log.h"

static bool is_hi(unsigned r)
{
	return r >= X_AH && r <= X_BH;
}

static unsigned high_bit(unsigned r)
{
	return r != X_NO && !is_hi(r) && (r & 8) ? 1 : 0;
}

/* ModRM, SIB and displacement (SDM vol. 2, 2.1.5, tables 2-2 and 2-3). */
static void modrm(struct xasm *a, unsigned reg, struct xrm rm)
{
	unsigned r = (reg & 7) << 3, base = rm.base & 7, mod;
	uint8_t disp8 = (uint8_t)rm.disp;

	if (!rm.is_mem) {
		x_u8(a, 0xc0 | r | base);
		return;
	}
	if (rm.base == X_NO) {
		x_u8(a, r | 4);
		x_u8(a, (unsigned)rm.scale << 6 | (rm.index == X_NO ? 4u : rm.index & 7u) << 3 | 5);
		x_u32(a, (uint32_t)rm.disp);
		return;
	}
	mod = rm.disp == 0 && base != 5 ? 0 : rm.disp == (int8_t)rm.disp ? 0x40 : 0x80;
	if (rm.index != X_NO || base == 4) {
		x_u8(a, mod | r | 4);
		x_u8(a, (unsigned)rm.scale << 6 | (rm.index == X_NO ? 4u : rm.index & 7u) << 3 |
				base);
	} else {
		x_u8(a, mod | r | base);
	}
	if (mod == 0x40)
		x_u8(a, disp8);
	else if (mod == 0x80)
		x_u32(a, (uint32_t)rm.disp);
}

void x_rm(struct xasm *a, unsigned size, unsigned opcode, unsigned reg, struct xrm rm)
{
	unsigned rex = high_bit(reg) << 2 | high_bit(rm.base) | high_bit(rm.index) << 1;

	x_name(a, reg);
	if (!rm.is_mem)
		x_name(a, rm.base);
	if (size == 8)
		rex |= 8;
	/* SPL..DIL are never meant, but as ModRM.reg of an opcode that is not a byte form. */
	must(!(rex && (is_hi(reg) || (!rm.is_mem && is_hi(rm.base)))));
	if (rm.gs) {
		x_u8(a, 0x65);
		x_u8(a, 0x67);
	}
	if (size == 2 || (opcode & 0xf000) == X_P66)
		x_u8(a, 0x66);
	if ((opcode & 0xf000) == X_PF3)
		x_u8(a, 0xf3);
	if ((opcode & 0xf000) == X_PF2)
		x_u8(a, 0xf2);
	if (rex)
		x_u8(a, 0x40 | rex);
	if (opcode & 0x0f00)
		x_u8(a, 0x0f);
	if ((opcode & 0x0f00) == X_0F38)
		x_u8(a, 0x38);
	if ((opcode & 0x0f00) == X_0F3A)
		x_u8(a, 0x3a);
	x_u8(a, opcode);
	modrm(a, reg, rm);
}

void x_imm(struct xasm *a, unsigned size, uint32_t imm)
{
	x_bytes(a, &imm, size == 8 ? 4 : size);
}

void x_alu_rm_i(struct xasm *a, unsigned size, enum x_alu op, struct xrm rm, uint32_t imm)
{
	if (size == 2)
		imm = (uint32_t)(int16_t)imm;
	if (size == 1) {
		x_rm(a, 1, 0x80, op, rm);
		x_u8(a, imm);
	} else if ((uint32_t)(int8_t)imm == imm) {
		x_rm(a, size, 0x83, op, rm);
		x_u8(a, imm);
	} else {
		x_rm(a, size, 0x81, op, rm);
		x_imm(a, size, imm);
	}
}

void x_test_rm_i(struct xasm *a, unsigned size, struct xrm rm, uint32_t imm)
{
	x_rm(a, size, size == 1 ? 0xf6 : 0xf7, 0, rm);
	x_imm(a, size, imm);
}

void x_mov_rm_i(struct xasm *a, unsigned size, struct xrm rm, uint32_t imm)
{
	x_rm(a, size, size == 1 ? 0xc6 : 0xc7, 0, rm);
	x_imm(a, size, imm);
}

void x_mov_r_i(struct xasm *a, unsigned r, uint32_t imm)
{
	x_name(a, r);
	if (r & 8)
		x_u8(a, 0x41);
	x_u8(a, 0xb8 | (r & 7));
	x_u32(a, imm);
}

void x_mov_r_i64(struct xasm *a, unsigned r, uint64_t imm)
{
	x_name(a, r);
	x_u8(a, 0x48 | (r >> 3));
	x_u8(a, 0xb8 | (r & 7));
	x_bytes(a, &imm, 8);
}

void x_shift_i(struct xasm *a, unsigned size, enum x_shift op, struct xrm rm, unsigned count)
{
	if (count == 1) {
		x_rm(a, size, size == 1 ? 0xd0 : 0xd1, op, rm);
		return;
	}
	x_rm(a, size, size == 1 ? 0xc0 : 0xc1, op, rm);
	x_u8(a, count);
}

/* VEX.LZ.pp.0F38.W0 F7 /r (SDM vol. 2, 2.3.5) */
void x_shiftx(struct xasm *a, enum x_shiftx op, unsigned r, unsigned rm, unsigned count)
{
	x_name(a, r);
	x_u8(a, 0xc4);
	x_u8(a, (r & 8 ? 0 : 0x80u) | 0x40 | (rm & 8 ? 0 : 0x20u) | 2);
	x_u8(a, (~count & 15) << 3 | op);
	x_u8(a, 0xf7);
	x_u8(a, 0xc0 | (r & 7) << 3 | (rm & 7));
}

/* VEX.LZ.F2.0F3A.W0 F0 /r ib */
void x_rorx(struct xasm *a, unsigned r, unsigned rm, unsigned imm)
{
	x_name(a, r);
	x_u8(a, 0xc4);
	x_u8(a, (r & 8 ? 0 : 0x80u) | 0x40 | (rm & 8 ? 0 : 0x20u) | 3);
	x_u8(a, 0x7b);
	x_u8(a, 0xf0);
	x_u8(a, 0xc0 | (r & 7) << 3 | (rm & 7));
	x_u8(a, imm);
}

uint8_t *x_jcc(struct xasm *a, enum x_cond c)
{
	x_u8(a, 0x0f);
	x_u8(a, 0x80 | c);
	x_u32(a, 0);
	return a->p - 4;
}

uint8_t *x_jmp(struct xasm *a)
{
	x_u8(a, 0xe9);
	x_u32(a, 0);
	return a->p - 4;
}

uint8_t *x_call(struct xasm *a)
{
	a->named = ~0u;
	x_u8(a, 0xe8);
	x_u32(a, 0);
	return a->p - 4;
}

void x_push(struct xasm *a, unsigned r)
{
	if (r & 8)
		x_u8(a, 0x41);
	x_u8(a, 0x50 | (r & 7));
}

void x_pop(struct xasm *a, unsigned r)
{
	x_name(a, r);
	if (r & 8)
		x_u8(a, 0x41);
	x_u8(a, 0x58 | (r & 7));
}
