/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the front end share: front.c has the table of rules and the block's loop;
 * front_mem.c finds operands in memory; the other front_*.c have the rules' functions.
 */
#ifndef DEJAVM_FRONT_INT_H
#define DEJAVM_FRONT_INT_H

#include "cpu.h"
#include "decode.h"
#include "ir.h"

struct front {
	struct ir_block *b;
	const struct ir_mode *mode;
	unsigned n_edges; /* so far */
	uint32_t next;	  /* guest address of the next instruction */
};

/*
 * Emits one instruction. False: not in this form; what was emitted is dropped, and the interpreter
 * does it.
 */
struct front_rule {
	bool (*emit)(struct front *f, const struct insn *in, const struct front_rule *r);
	uint8_t op;  /* enum ir_opcode */
	uint8_t arg; /* the function says */
};

/* arg of shifts: where the count is. */
enum { COUNT_IMM, COUNT_ONE, COUNT_CL };
/* arg of bit tests: where the offset is. */
enum { BIT_REG, BIT_IMM };

/* ---- building (front.c) ---- */

/* Appends an op; its other members are 0. */
struct ir_op *front_op(
	struct front *f, unsigned opcode, unsigned size, unsigned dst, unsigned a, unsigned b);
/* The same, with b an immediate. */
struct ir_op *front_op_imm(
	struct front *f, unsigned opcode, unsigned size, unsigned dst, unsigned a, uint32_t imm);

/* ---- memory (front_mem.c) ---- */

/* An address: base + (index << scale) + disp in a segment; registers or IR_NONE. */
struct front_at {
	uint8_t seg, base, index, scale;
	uint32_t disp;
	bool cut; /* the offset, to 16 bits */
};
/* dst = a + imm, 32 bits. */
void front_add(struct front *f, unsigned dst, unsigned a, uint32_t imm);
/* IR_HOST of an address. It may use T1. */
void front_host_at(struct front *f, struct front_at at, unsigned size, bool write);
/* The memory operand's address; its IR_HOST. */
struct front_at front_ea(const struct insn *in);
void front_host(struct front *f, const struct insn *in, unsigned size, bool write);
/* The ModRM operand as a register or IR_MEM, after its IR_HOST. */
unsigned front_rm(struct front *f, const struct insn *in, unsigned size, bool write);
/* dst, dst2 = the memory operand, of `size` bytes, and the word behind it. */
void front_host_pair(
	struct front *f, const struct insn *in, unsigned size, unsigned dst, unsigned dst2);
/* IR_HOST of a string's element at seg:reg. */
void front_host_string(
	struct front *f, const struct insn *in, unsigned seg, unsigned reg, bool write);
/* IR_HOST of the stack at reg + imm; (E)SP = reg + imm. */
void front_stack(struct front *f, unsigned reg, uint32_t imm, unsigned size, bool write);
void front_set_sp(struct front *f, unsigned reg, uint32_t imm);

/* Left to the interpreter's handler. True: the block may go on behind it. (front_sys.c) */
bool front_handler(struct front *f, const struct insn *in);

/* Guest register r as an operand of that size. */
static inline unsigned front_reg(unsigned size, unsigned r)
{
	return size == 1 && r >= 4 ? IR_AH + r - 4 : r;
}

/* Immediates are sign-extended. */
static inline uint32_t front_imm(unsigned size, uint32_t imm)
{
	return size == 1 ? (uint32_t)(int8_t)imm : size == 2 ? (uint32_t)(int16_t)imm : imm;
}

/* ---- rules ---- */
#define RULE(name) \
	bool front_##name(struct front *f, const struct insn *in, const struct front_rule *r)
/* front_alu.c */
RULE(alu_rm_r);
RULE(alu_r_rm);
RULE(alu_rm_i);
RULE(unary);
RULE(shift);
RULE(double_shift);
RULE(bit);
RULE(scan);
RULE(imul);
RULE(imul_i);
RULE(accu); /* MUL, IMUL, DIV, IDIV of one operand */
RULE(xadd);
RULE(cmpxchg);
/* front_mov.c */
RULE(mov_rm_r);
RULE(mov_r_rm);
RULE(mov_rm_i);
RULE(mov_a_moffs);
RULE(mov_moffs_a);
RULE(extend);
RULE(lea);
RULE(xchg);
RULE(bswap);
RULE(cbw);
RULE(xlat);
RULE(cwd);
RULE(setcc);
RULE(cmov);
RULE(plain); /* an op without operands */
RULE(nop);
RULE(push_r);
RULE(push_i);
RULE(push_rm);
RULE(pop_r);
RULE(pop_rm);
RULE(leave);
/* front_sys.c */
RULE(pushf);
RULE(cli);
RULE(direction);
RULE(push_seg);
RULE(mov_from_seg);
RULE(mov_to_seg);
RULE(pop_seg);
RULE(load_far); /* LDS and its kin */
RULE(rdtsc);
RULE(movs);
RULE(cmps);
RULE(stos);
RULE(lods);
RULE(scas);
/* front_fpu.c */
RULE(fpu);
RULE(fwait);
RULE(sahf);
/* front_sse.c */
bool front_sse(struct front *f, const struct insn *in);
/* front_flow.c */
RULE(jcc);
RULE(loop);
RULE(loop_cc);
RULE(jcxz);
RULE(jmp);
RULE(jmp_rm);
RULE(call);
RULE(call_rm);
RULE(ret);
#undef RULE

#endif
