/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * MMX and SSE: the instructions as data (sse.def) and their handlers. SDM vol. 1, ch. 9 to 12. What
 * is defined once where processors differ: docs/sse.md.
 *
 * State: cpu->xmm[], cpu->mxcsr (cpu.h); an MMX register is the significand of fpu->reg[] of the
 * same number.
 *
 * A back end that issues the host's own instruction for a row needs: sse_desc() for the bytes and
 * the operands; sse_gate_open() to be true (or the interpreter to do it); for S_FP rows the guest's
 * control bits in the host's MXCSR, exceptions masked, and its flags afterwards: sse_fp_finish().
 * Rows with S_SOFT have no portable host instruction.
 */
#ifndef DEJAVM_SSE_H
#define DEJAVM_SSE_H

#include "cpu.h"
#include "decode.h"

#ifdef __x86_64__
#define SSE_HOST 1 /* sse_host.S is there */
#else
#define SSE_HOST 0
#endif

/* cpu->isa: what the model has. */
enum cpu_isa {
	ISA_MMX = 1 << 0,
	ISA_SSE = 1 << 1,
	ISA_SSE2 = 1 << 2,
	ISA_SSE3 = 1 << 3,
	ISA_SSSE3 = 1 << 4,
	ISA_SSE41 = 1 << 5,
	ISA_SSE42 = 1 << 6,
	ISA_POPCNT = 1 << 7,
	ISA_FXSR = 1 << 8,
	ISA_CLFSH = 1 << 9,
};

/* MXCSR (SDM vol. 1, figure 10-3) */
#define MXCSR_IE	 0x0001u
#define MXCSR_DE	 0x0002u
#define MXCSR_ZE	 0x0004u
#define MXCSR_OE	 0x0008u
#define MXCSR_UE	 0x0010u
#define MXCSR_PE	 0x0020u
#define MXCSR_FLAGS	 0x003fu
#define MXCSR_DAZ	 0x0040u
#define MXCSR_MASKS	 0x1f80u
#define MXCSR_UM	 0x0800u
#define MXCSR_RC	 0x6000u
#define MXCSR_FZ	 0x8000u
#define MXCSR_RESET	 0x1f80u
#define MXCSR_MASK_SHIFT 7 /* of a flag to its mask */

/* An operand: its kind, and whether it is read, written, or both. */
enum sse_operand {
	S_N = 0,
	S_R = 1,
	S_W = 2,
	S_KIND = 12,
	S_X = 4,  /* XMM register (rm: or memory) */
	S_M = 8,  /* MMX register */
	S_G = 12, /* general register, 32 bits */
	S_XR = S_X | S_R,
	S_XW = S_X | S_W,
	S_XRW = S_X | S_R | S_W,
	S_MR = S_M | S_R,
	S_MW = S_M | S_W,
	S_MRW = S_M | S_R | S_W,
	S_GR = S_G | S_R,
	S_GW = S_G | S_W,
	S_GRW = S_G | S_R | S_W,
};

enum sse_flag {
	S_A = 1 << 0,	/* a memory operand must be aligned to 16 bytes, else #GP(0) */
	S_FP = 1 << 1,	/* uses MXCSR and may raise #XM */
	S_FL = 1 << 2,	/* writes all arithmetic flags of EFLAGS */
	S_MO = 1 << 3,	/* rm must be memory */
	S_RO = 1 << 4,	/* rm must be a register */
	S_X0 = 1 << 5,	/* reads XMM0 besides */
	S_STR = 1 << 6, /* PCMPxSTRx: reads EAX and EDX, writes ECX or XMM0 */
	S_LD = 1 << 7,	/* the memory form does not read reg */
	S_INS = 1 << 8, /* INSERTPS: imm8[7:6] are ignored with memory */
	S_NOMODRM = 1 << 9,
	S_SOFT = 1 << 10, /* must not be the host's instruction */
};

enum sse_prefix { SSE_NP, SSE_P66, SSE_PF3, SSE_PF2, SSE_PREFIXES };
enum sse_map { SSE_MAP_0F, SSE_MAP_0F38, SSE_MAP_0F3A, SSE_MAPS };

struct sse_desc {
	uint8_t prefix; /* enum sse_prefix */
	uint8_t map;	/* enum sse_map */
	uint8_t op;	/* opcode */
	int8_t ext;	/* ModRM.reg where it is part of the opcode, else -1 */
	uint8_t reg;	/* enum sse_operand */
	uint8_t rm;
	uint8_t mem;	/* bytes of a memory operand, 0: there is none */
	uint8_t imask;	/* bits of imm8 that count; 0: no imm8 */
	uint16_t flags; /* enum sse_flag */
	uint16_t isa;	/* ISA_* bit that it needs */
};

/* The row of an instruction whose insn_enc() has E_SSE; any other: NULL. */
const struct sse_desc *sse_desc(const struct insn *in);

/*
 * May the instruction execute as far as CR0, CR4, the model and pending x87 exceptions go? The x87
 * state is at home then; the guest's is as it was. False: the interpreter's handler raises what is
 * due, or waits.
 */
bool sse_gate_open(struct cpu *cpu, const struct insn *in);
/* Does it change the x87 to MMX state: TOP 0, all registers valid? */
bool sse_enters_mmx(const struct sse_desc *d, const struct insn *in);

/* MXCSR that a host x86 is to have for the guest's: no flags, all masked. */
static inline uint32_t sse_host_mxcsr(uint32_t mxcsr)
{
	uint32_t host = (mxcsr & (MXCSR_DAZ | MXCSR_RC | MXCSR_FZ)) | MXCSR_MASKS;

	/* Flush-to-zero is a response to masked underflow (SDM vol. 1, 10.2.3.3). */
	return mxcsr & MXCSR_UM ? host : host & ~MXCSR_FZ;
}

/* Bits of MXCSR that may be set. */
static inline uint32_t sse_mxcsr_mask(const struct cpu *cpu)
{
	return cpu->isa & ISA_SSE2 ? 0xffff : 0xffbf;
}

/* An image of FXRSTOR or LDMXCSR: raises #GP(0) on reserved bits. */
static inline void sse_check_mxcsr(struct cpu *cpu, uint32_t mxcsr)
{
	if (mxcsr & ~sse_mxcsr_mask(cpu))
		cpu_raise_err(cpu, EXCP_GP, 0);
}

void sse_reset(struct cpu *cpu);
/*
 * For translated code MXCSR is the guest's, while all exceptions are masked: then flags gather in
 * the host's. sse_go_live() has it so, if that may be; sse_park() brings it home: before cpu->mxcsr
 * is read or written, and before C code computes in floating point.
 */
void sse_go_live(struct cpu *cpu);
void sse_park_now(struct cpu *cpu);
static inline void sse_park(struct cpu *cpu)
{
	if (__builtin_expect(cpu->mxcsr_live, 0))
		sse_park_now(cpu);
}
/* Does the host have the instructions for these ISA_* bits? */
bool sse_host_has(uint32_t isa);

/* For the handlers' files: raises or waits (false) when the gate is shut. */
bool sse_enter(struct cpu *cpu, const struct insn *in, const struct sse_desc *d);
/* An MMX instruction has happened: TOP 0, all valid. */
void mmx_touch(struct cpu *cpu);
void mmx_set(struct cpu *cpu, unsigned reg, uint64_t v);
/* 16 bytes, all or nothing. */
void sse_write16(struct cpu *cpu, uint32_t lin, const union xmm_reg *v);
/* Memory operand of a row: checked by segment and alignment; its linear address. */
uint32_t sse_operand_lin(
	struct cpu *cpu, const struct insn *in, const struct sse_desc *d, bool write);
void sse_read_operand(
	struct cpu *cpu, const struct insn *in, const struct sse_desc *d, union xmm_reg *ret);

#define SSE(pfx, map, op, name, reg, rm, mem, flags, isa)
#define SSE_I(pfx, map, op, name, reg, rm, mem, flags, isa, mask)
#define SSE_C(pfx, map, op, name, reg, rm, mem, flags, isa, handler) \
	void handler(struct cpu *cpu, const struct insn *in);
#define SSE_HEAD(pfx, op, group)
#define SSE_G(group, ext, pfx, op, name, rm, isa)
#include "sse.def"

/* All rows that the host's instruction does. */
void sse_exec(struct cpu *cpu, const struct insn *in);
/* Sooner, those that are S_PLAIN: the result is an XMM register, the other operand one or memory.
 */
void sse_exec_xx(struct cpu *cpu, const struct insn *in);
void sse_exec_xx_fp(struct cpu *cpu, const struct insn *in);
#define S_PLAIN(reg, rm, flags) \
	(((reg) == S_XRW || (reg) == S_XW) && (rm) == S_XR && !((flags) & ~(S_A | S_FP)))

#endif
