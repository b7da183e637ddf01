/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The translator's intermediate representation: what front.c makes of decoded instructions, opt.c
 * annotates, and a back end turns into host code. docs/translator.md has the picture.
 *
 * A block is one entry and straight-line code with exits. Its values are 32-bit registers: the
 * guest's eight, and two temporaries that live within one guest instruction. Narrow operations
 * (size 1, 2) work on the low part of a register, or on AH..BH, and leave the rest alone, as the
 * guest's do.
 *
 * Memory is reached in two steps: IR_HOST makes the host pointer h of a guest address (or leaves
 * the block), and operands IR_MEM use it. There is one h; it is valid until the next op that may
 * leave.
 *
 * Ops that may leave the block (IRO_EXIT) go on in the interpreter *at the start of their guest
 * instruction*. So may each access by IR_MEM (where the host's memory management checks it, it is
 * the access that finds out; docs/translator.md, "Windows"). So, within an instruction, no guest
 * register and no guest memory changes before the last such op (IR_JCC and IR_JZR apart, which
 * leave after it), and after a change there is no access: who writes to memory does it after all
 * IR_HOSTs and all reads. Flags may be redefined between a read and a write, but what is in
 * cpu->fl_c, and what the recipe of the instruction's start needs, is left alone until then.
 */
#ifndef DEJAVM_IR_H
#define DEJAVM_IR_H

#include <stddef.h>
#include "insn.h"

/* Operands */
enum ir_reg {
	IR_EAX,
	IR_ECX,
	IR_EDX,
	IR_EBX,
	IR_ESP,
	IR_EBP,
	IR_ESI,
	IR_EDI,
	IR_AH, /* only with size 1 */
	IR_CH,
	IR_DH,
	IR_BH,
	IR_T0,
	IR_T1,
	IR_MEM, /* size bytes at h */
	IR_IMM, /* op->imm, sign-extended to the size */
	IR_NONE = 255
};

/* The arithmetic flags, in sets of their own. */
#define IRF_C	0x01u
#define IRF_P	0x02u
#define IRF_A	0x04u
#define IRF_Z	0x08u
#define IRF_S	0x10u
#define IRF_O	0x20u
#define IRF_ALL 0x3fu
#define IRF_CO	(IRF_C | IRF_O)

#define IRO_EXIT 0x01u /* may leave the block for the interpreter, before its instruction */
#define IRO_END	 0x02u /* the last op of a block */
#define IRO_EDGE 0x04u /* may go on in another block */

/*
 * X(name, may define, surely defines, uses, properties). Conditional ones (JCC, SETCC, CMOV) use
 * what their condition needs: ir_uses(). What each flag becomes is as docs/undefined.md says.
 */
#define IR_OPS(X)                                                                                  \
	/* A guest instruction begins: imm is its eip. */                                          \
	X(INSN, 0, 0, 0, 0)                                                                        \
	/* Its bytes go on in the next page: leaves if that may not be mapped as it was. */        \
	X(PAGE2, 0, 0, 0, IRO_EXIT)                                                                \
	/* h = host pointer to size bytes at the guest address a + (b << scale) + imm, in segment  \
	 * seg; dst is 1 for a write (or read and write), else 0. cond: IR_AT_*. */                \
	X(HOST, 0, 0, 0, IRO_EXIT)                                                                 \
	/* dst = a. At most one of them is IR_MEM. To a temporary: zero-extended. */               \
	X(MOV, 0, 0, 0, 0)                                                                         \
	/* dst (size 2 or 4) = a, which has cond bytes (1 or 2). */                                \
	X(MOVZX, 0, 0, 0, 0)                                                                       \
	X(MOVSX, 0, 0, 0, 0)                                                                       \
	/* dst (size 4; 2: the low half) = a + (b << scale) + imm; no segment, no flags. */        \
	X(LEA, 0, 0, 0, 0)                                                                         \
	/* dst = a op b; dst == a; either may be IR_MEM, not both; b may be IR_IMM. */             \
	X(ADD, IRF_ALL, IRF_ALL, 0, 0)                                                             \
	X(OR, IRF_ALL, IRF_ALL, 0, 0)                                                              \
	X(ADC, IRF_ALL, IRF_ALL, IRF_C, 0)                                                         \
	X(SBB, IRF_ALL, IRF_ALL, IRF_C, 0)                                                         \
	X(AND, IRF_ALL, IRF_ALL, 0, 0)                                                             \
	X(SUB, IRF_ALL, IRF_ALL, 0, 0)                                                             \
	X(XOR, IRF_ALL, IRF_ALL, 0, 0)                                                             \
	/* flags of a op b; dst is IR_NONE */                                                      \
	X(CMP, IRF_ALL, IRF_ALL, 0, 0)                                                             \
	X(TEST, IRF_ALL, IRF_ALL, 0, 0)                                                            \
	/* dst = op a; dst == a */                                                                 \
	X(INC, IRF_ALL & ~IRF_C, IRF_ALL & ~IRF_C, 0, 0)                                           \
	X(DEC, IRF_ALL & ~IRF_C, IRF_ALL & ~IRF_C, 0, 0)                                           \
	X(NEG, IRF_ALL, IRF_ALL, 0, 0)                                                             \
	X(NOT, 0, 0, 0, 0)                                                                         \
	/* dst = a op b; dst == a; b: IR_IMM with 1 <= imm <= 31, or IR_ECX, masked by 31: then    \
	 * nothing is sure. */                                                                     \
	X(SHL, IRF_ALL, IRF_ALL, 0, 0)                                                             \
	X(SHR, IRF_ALL, IRF_ALL, 0, 0)                                                             \
	X(SAR, IRF_ALL, IRF_ALL, 0, 0)                                                             \
	X(ROL, IRF_CO, IRF_CO, 0, 0)                                                               \
	X(ROR, IRF_CO, IRF_CO, 0, 0)                                                               \
	/* dst = dst shifted, bits coming from a; b: count as above. size 4 only. */               \
	X(SHLD, IRF_ALL, IRF_ALL, 0, 0)                                                            \
	X(SHRD, IRF_ALL, IRF_ALL, 0, 0)                                                            \
	/* dst = a * b, signed, size 2 or 4; dst register, a register or IR_MEM, b as a, or IR_IMM \
	 * (then dst may differ from a; else dst == a) */                                          \
	X(IMUL, IRF_ALL, IRF_ALL, 0, 0)                                                            \
	/* EDX:EAX = EAX * a; size 2: DX:AX = AX * a; 1: AX = AL * a; a register or IR_MEM */      \
	X(MULX, IRF_ALL, IRF_ALL, 0, 0)                                                            \
	X(IMULX, IRF_ALL, IRF_ALL, 0, 0)                                                           \
	/* The other way round: quotient into EAX (AX, AL), rest into EDX (DX, AH); leaves for     \
	 * #DE. Flags stay. */                                                                     \
	X(DIV, 0, 0, 0, IRO_EXIT)                                                                  \
	X(IDIV, 0, 0, 0, IRO_EXIT)                                                                 \
	/* EDX = sign of EAX; size 2: DX, AX */                                                    \
	X(CDQ, 0, 0, 0, 0)                                                                         \
	/* CF = bit b of a (IR_IMM or register, modulo the size); dst == a or IR_NONE for BT. a is \
	 * IR_MEM only with b IR_IMM. size 2 or 4. */                                              \
	X(BT, IRF_C, IRF_C, 0, 0)                                                                  \
	X(BTS, IRF_C, IRF_C, 0, 0)                                                                 \
	X(BTR, IRF_C, IRF_C, 0, 0)                                                                 \
	X(BTC, IRF_C, IRF_C, 0, 0)                                                                 \
	/* dst (a temporary) = a + ((b >> 5, signed) << 2): where BT with a register as its offset \
	 * finds its bit; a may be IR_NONE. size 4 only; no flags. */                              \
	X(BTADDR, 0, 0, 0, 0)                                                                      \
	/* dst = index of a's lowest (highest) bit; unchanged if a is 0. size 4 only. */           \
	X(BSF, IRF_ALL, IRF_ALL, 0, 0)                                                             \
	X(BSR, IRF_ALL, IRF_ALL, 0, 0)                                                             \
	X(BSWAP, 0, 0, 0, 0)                                                                       \
	/* dst (size 1, register or IR_MEM) = cond ? 1 : 0 */                                      \
	X(SETCC, 0, 0, 0, 0)                                                                       \
	/* if cond: dst = a (register or IR_MEM; size 2 or 4) */                                   \
	X(CMOV, 0, 0, 0, 0)                                                                        \
	/* Exchanges two registers of the same size. */                                            \
	X(XCHG, 0, 0, 0, 0)                                                                        \
	/* CF */                                                                                   \
	X(CLC, IRF_C, IRF_C, 0, 0)                                                                 \
	X(STC, IRF_C, IRF_C, 0, 0)                                                                 \
	X(CMC, IRF_C, IRF_C, IRF_C, 0)                                                             \
	/* dst (a temporary) = EFLAGS without VM and RF. */                                        \
	X(GETFL, 0, 0, IRF_ALL, 0)                                                                 \
	/* Sets (dst 1) or clears (dst 0) bits imm of EFLAGS that make nobody look: DF; IF can be  \
	 * cleared. */                                                                             \
	X(EFL, 0, 0, 0, 0)                                                                         \
	/* dst (a register or temporary, size 2 or 4) = selector in segment register imm */        \
	X(GETSEG, 0, 0, 0, 0)                                                                      \
	/* dst (a temporary) = 0, or, if EFLAGS.DF is set, minus twice imm, which is 1, 2 or 4. */ \
	X(DIR, 0, 0, 0, 0)                                                                         \
	/* EDX:EAX = the time-stamp counter, for an instruction without its privilege check; if    \
	 * the model has none, as a quiet CALLI. */                                                \
	X(RDTSC, 0, 0, 0, IRO_EXIT)                                                                \
	/* All but OF, from AH */                                                                  \
	X(SAHF, IRF_ALL & ~IRF_O, IRF_ALL & ~IRF_O, 0, 0)                                          \
	/* The interpreter's handler does the whole instruction, then the block goes on, or is     \
	 * left if anything wants to be looked at. With REP: all its iterations. cond: enum        \
	 * ir_call. */                                                                             \
	X(CALLI, IRF_ALL, IRF_ALL, IRF_ALL, IRO_EXIT)                                              \
	/* An x87 instruction begins that the back end does if it can, else the interpreter's      \
	 * handler, in which case all up to its IR_FPU is skipped. */                              \
	X(FPUGATE, 0, 0, 0, IRO_EXIT)                                                              \
	/* An x87 instruction that touches no flags; a: IR_MEM or IR_NONE; dst: IR_EAX or IR_NONE. \
	 * The interpreter's handler does it where the back end cannot. */                         \
	X(FPU, 0, 0, 0, 0)                                                                         \
	/* The same if it defines all flags (FCOMI), or reads those of cond (FCMOV). */            \
	X(FPUFL, IRF_ALL, IRF_ALL, 0, 0)                                                           \
	X(FPUCC, 0, 0, 0, 0)                                                                       \
	/* The same for one of SSE: SSEGATE, IR_HOST, SSE. dst: the guest register that it writes, \
	 * or IR_NONE. */                                                                          \
	X(SSEGATE, 0, 0, 0, IRO_EXIT)                                                              \
	X(SSE, 0, 0, 0, 0)                                                                         \
	/* If it defines all flags (COMISD, PTEST). */                                             \
	X(SSEFL, IRF_ALL, IRF_ALL, 0, 0)                                                           \
	/* If cond, goes on at guest address imm, else with the next op. */                        \
	X(JCC, 0, 0, 0, IRO_EDGE)                                                                  \
	/* If ECX (size 4) or CX (size 2) is 0 (JZR; JNZR: is not), goes on at imm. */             \
	X(JZR, 0, 0, 0, IRO_EDGE)                                                                  \
	X(JNZR, 0, 0, 0, IRO_EDGE)                                                                 \
	/* Leaves if a (a register or temporary, size 4) is above imm: a target beyond the limit   \
	 * of the code segment. */                                                                 \
	X(LIMIT, 0, 0, 0, IRO_EXIT)                                                                \
	/* Loads segment register imm (not CS, not SS) with selector a (a register or temporary,   \
	 * size 2), where a selector is a base. Leaves if more of the segment would change. */     \
	X(SETSEG, 0, 0, 0, IRO_EXIT)                                                               \
	/* Ends: at imm; at what register or temporary a says; dst: enum ir_jump */                \
	X(JMP, 0, 0, 0, IRO_EDGE | IRO_END)                                                        \
	X(JMPR, 0, 0, 0, IRO_EDGE | IRO_END)                                                       \
	/* Ends: the interpreter's handler does the instruction, which says where to go on. */     \
	X(CALLJ, 0, 0, 0, IRO_EXIT | IRO_END)

enum ir_opcode {
#define X(name, may, sure, uses, props) IR_##name,
	IR_OPS(X)
#undef X
		IR_N_OPS
};

/* What the handler does about flags. */
enum ir_call {
	IR_CALL_FLAGS, /* asks for them and changes them */
	IR_CALL_QUIET, /* neither; and it changes at most the guest registers of imm, a bit for
			  each */
	IR_CALL_SETS,  /* defines all of them, if it does not fault, and does not ask */
};

/* How IR_HOST finds its address. */
#define IR_AT_CHECKED 1u /* leaves if it is not surely within the limit and the rights of seg */
#define IR_AT_16      2u /* (only with that) the offset is cut to 16 bits */

/* Why an IR_JMP or IR_JMPR goes: what a return predictor wants to know. */
enum ir_jump { IR_JUMP, IR_CALL, IR_RET };

struct ir_op {
	uint8_t op;   /* enum ir_opcode */
	uint8_t size; /* 1, 2, 4 */
	uint8_t dst, a, b;
	uint8_t cond;  /* condition code 0..15 as in Jcc's opcode; source size of MOVZX, MOVSX;
			  IR_AT_*; enum ir_call */
	uint8_t scale; /* 0..3 */
	uint8_t seg;   /* IR_HOST: SEG_DS (flat) or SEG_FS, SEG_GS: their base is added; with
			  IR_AT_CHECKED any */
	uint8_t insn;  /* index of the guest instruction */
	/* By opt.c, JCC: index of a later instruction of this block at imm, which may be gone to
	 * within the block: nobody wants the flags there. 0: there is none. */
	uint8_t join;
	/* By opt.c: flags that this op defines and that are wanted afterwards: by ops of this
	 * block; by whoever goes on when the block is left. */
	uint8_t live_use, live_exit;
	/* Of all flags, defined by whatever op before: wanted after this op. */
	uint8_t after_use, after_exit;
	uint32_t imm;
};

#define IR_MAX_INSNS 64
#define IR_MAX_OPS   512
#define IR_MAX_EDGES 24 /* ops with IRO_EDGE in a block */

struct ir_block {
	uint32_t eip; /* of the first instruction */
	uint32_t len; /* bytes of guest code */
	unsigned n_insns, n_ops;
	struct insn insn[IR_MAX_INSNS];
	uint32_t insn_eip[IR_MAX_INSNS + 1]; /* the last: of what follows */
	struct ir_op op[IR_MAX_OPS];
	/* The caller's, for front_translate(): the bytes of the page behind code, or NULL. */
	const uint8_t *next_page;
	bool straddles; /* the last instruction goes on there */
	/* By opt.c */
	bool entry_flags; /* something wants the flags as they were at the entry: an exit before
			     they are all redefined, or a reader */
	bool entry_use;	  /* a reader does */
};

/* ---- ir.c ---- */
extern const char *const ir_op_names[IR_N_OPS];
/* Flags that op may define; that it surely defines; that it reads. */
unsigned ir_defs(const struct ir_op *op);
unsigned ir_kills(const struct ir_op *op);
unsigned ir_uses(const struct ir_op *op);
unsigned ir_props(const struct ir_op *op); /* IRO_* */
unsigned ir_cond_flags(unsigned cond);
/*
 * Registers that op reads or may change: bit r of enum ir_reg up to IR_EDI (AH..BH count as EAX..
 * EBX), IR_T0, IR_T1; bit IR_MEM: it reads or writes at h. What CALLI, FPU, SSE and CALLJ do is
 * taken as everything, but for a CALLI that says what it writes. A narrow write reads its register
 * too.
 */
unsigned ir_regs_read(const struct ir_op *op);
unsigned ir_regs_written(const struct ir_op *op);
/* One op as text, without a newline; returns as snprintf(). */
int ir_op_text(const struct ir_op *op, char *buf, size_t len);
/* Checks a block's form (the rules above); NULL if well, else what is wrong. For tests and
 * debugging. */
const char *ir_check(const struct ir_block *b);

/* ---- front.c ---- */
/* What it has to know of the processor's mode. */
struct ir_mode {
	unsigned decode; /* DECODE_* */
	unsigned big;	 /* bit SEG_FS, bit SEG_GS set if nothing of the segment is to be checked */
	bool cpl0;
	bool stack32;	   /* ESP, not SP */
	bool paras;	   /* real or virtual-8086 mode: a selector is a base */
	uint32_t cs_limit; /* of the code segment, in bytes as in struct segment */
};
/*
 * Fills in b from code, len bytes (at most to the end of its page) whose first one is at eip. Goes
 * on through conditional jumps as long as the code is in one piece and within the code segment, up
 * to max_insns (<= IR_MAX_INSNS). False: the first instruction does not lie within len bytes, or
 * not within the code segment.
 */
bool front_translate(struct ir_block *b, const uint8_t *code, unsigned len, uint32_t eip,
	const struct ir_mode *mode, unsigned max_insns);

/* ---- opt.c ---- */
/* Simplifies the block and fills in the annotations. */
void ir_optimise(struct ir_block *b);

#endif
