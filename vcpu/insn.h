/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A decoded instruction: what the decoder makes of the guest's bytes, for the interpreter and for
 * the translator. 32 bytes, so that two share a cache line.
 */
#ifndef DEJAVM_INSN_H
#define DEJAVM_INSN_H

#include <stdbool.h>
#include <stdint.h>

struct cpu;
struct insn;

/*
 * Executes one instruction (one iteration, for REP strings: see cpu.h). cpu->eip is still the
 * address of the instruction; the engine adds len when the function returns, unless it is a control
 * transfer, which sets cpu->eip itself (the table marks those).
 */
typedef void (*insn_fn)(struct cpu *cpu, const struct insn *in);

/* Segment registers, in their encoding's order. */
enum seg { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS, SEG_NONE };

#define REG_NONE 8 /* index of cpu->gpr_z[] that is always 0 */

enum insn_rep { REP_NONE, REP_REPE /* F3 */, REP_REPNE /* F2 */ };

struct insn {
	insn_fn fn;
	uint32_t imm;	 /* immediate, sign-extended to the operand size; relative target offset of
			    branches; far pointer's offset */
	uint32_t disp;	 /* displacement of the memory operand, sign-extended */
	uint16_t imm2;	 /* second immediate: far pointer's selector, ENTER's level */
	uint16_t id;	 /* row of insn.def */
	uint8_t len;	 /* 1..15 */
	uint8_t modrm;	 /* whole ModRM byte (mod 3: register operand) */
	uint8_t reg;	 /* ModRM.reg, or the register in the opcode's low bits */
	uint8_t rm;	 /* ModRM.rm when mod == 3 */
	uint8_t base;	 /* memory operand: base register or REG_NONE */
	uint8_t index;	 /* memory operand: index register or REG_NONE */
	uint8_t scale;	 /* 0..3: log2 of the factor */
	uint8_t seg;	 /* segment of the memory operand, override applied (enum seg) */
	uint8_t rep : 2; /* enum insn_rep */
	uint8_t lock : 1;
	uint8_t opsize : 3;   /* operand size in bytes: 2 or 4 (1 for byte forms) */
	uint8_t mem : 1;      /* the ModRM operand is in memory */
	uint8_t addrsize : 3; /* address size in bytes: 2 or 4 */
};

_Static_assert(sizeof(struct insn) <= 32, "two in a cache line");

#endif
