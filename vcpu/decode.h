/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The decoder (SDM vol. 2, ch. 2 and app. A): bytes to struct insn. It knows nothing of memory or
 * of the CPU's state but the code segment's default size; who calls it brings the bytes. Its table
 * is insn.def.
 */
#ifndef DEJAVM_DECODE_H
#define DEJAVM_DECODE_H

#include "insn.h"

#define INSN_LEN_MAX 15

/* How a row of insn.def is encoded, and what it does. */
enum insn_enc {
	/* operands */
	E_M = 1 << 0,	/* ModRM follows */
	E_B = 1 << 1,	/* byte operands */
	E_R = 1 << 2,	/* register in the opcode's low bits: reg and rm */
	E_A = 1 << 3,	/* the accumulator is rm */
	E_MEM = 1 << 4, /* ModRM must be memory, else #UD */
	E_REG = 1 << 5, /* mod is ignored: always registers */
	E_NP = 1 << 6,	/* no 66, F2, F3 prefix: they make other instructions of it */
	E_RO = 1 << 7,	/* ModRM must be a register, else #UD */
	/* immediates: at most one of these */
	E_IZ = 1 << 8,	 /* of operand size (1, 2, 4 bytes) */
	E_I8 = 1 << 9,	 /* byte, zero-extended */
	E_I8S = 1 << 10, /* byte, sign-extended */
	E_I16 = 1 << 11, /* word */
	E_ENT = 1 << 12, /* ENTER: word, byte */
	E_FAR = 1 << 13, /* offset of operand size, selector */
	E_OFF = 1 << 14, /* offset of address size: in disp */
	E_J8 = 1 << 15,	 /* relative target, byte */
	E_JZ = 1 << 16,	 /* relative target of operand size */
	/* behaviour */
	E_LK = 1 << 18,	  /* LOCK is allowed, if the destination is memory */
	E_JMP = 1 << 19,  /* sets eip itself; ends a block */
	E_SYNC = 1 << 20, /* may change what the engine assumes (CS, CPL, paging, EFLAGS.TF/AC,
			     ...); ends a block */
	E_STR = 1 << 21,  /* string instruction: may repeat */
	E_ESC = 1 << 22,  /* x87: imm2 is the opcode byte */
	E_FR = 1 << 23,	  /* reads arithmetic flags */
	E_FW = 1 << 24,	  /* writes arithmetic flags */
	E_GRP = 1 << 25,  /* ModRM.reg selects a row of a group: param is the group */
	E_SSE = 1 << 27,  /* a row of sse.def: sse_desc() */
	E_STK = 1 << 26,  /* the handler's form depends on the stack, not on a ModRM operand */
};

enum insn_group {
	G1,
	G1A,
	G2I,
	G2ONE,
	G2CL,
	G3,
	G4,
	G5,
	G6,
	G7,
	G8,
	G9,
	G11,
	G15,
	G12M,
	G12X,
	G13M,
	G13X,
	G14M,
	G14X,
	G_COUNT
};

/* Ids: INSN_1_xx one-byte opcode, INSN_2_xx after 0F, INSN_Gn_r member of a group; of sse.def
 * INSN_prefix_map_xx. */
enum insn_id {
	INSN_UD,
#define OP1(op, n, name, enc, handler, param)  INSN_1_##op,
#define OP2(op, n, name, enc, handler, param)  INSN_2_##op,
#define GRP(g, reg, name, enc, handler, param) INSN_##g##_##reg,
#include "insn.def"
	INSN_INT_COUNT,
	INSN_SSE_FIRST = INSN_INT_COUNT,
	INSN_SSE_BEFORE_ = INSN_SSE_FIRST - 1,
#define SSE(pfx, map, op, name, reg, rm, mem, flags, isa)	     INSN_##pfx##_##map##_##op,
#define SSE_I(pfx, map, op, name, reg, rm, mem, flags, isa, mask)    INSN_##pfx##_##map##_##op,
#define SSE_C(pfx, map, op, name, reg, rm, mem, flags, isa, handler) INSN_##pfx##_##map##_##op,
#define SSE_HEAD(pfx, op, group)				     INSN_##pfx##_0F_##op,
#define SSE_G(group, ext, pfx, op, name, rm, isa)		     INSN_##group##_##ext,
#include "sse.def"
	INSN_COUNT
};

enum decode_result {
	DECODE_OK,
	DECODE_MORE, /* the instruction goes on beyond `avail` bytes */
	DECODE_LONG, /* more than 15 bytes: #GP(0) */
};

/* Modes */
#define DECODE_CODE32 1u /* CS.D */
#define DECODE_FLAT   2u /* handlers may rely on flat DS, ES, SS: KEY_FLAT */

/*
 * Decodes what lies at p. avail: bytes there are, at most 15; mode: DECODE_*, other bits are
 * ignored. Opcodes that do not exist here become op_ud with id INSN_UD and the length of what had
 * to be read to know. *ret is whole only after DECODE_OK.
 */
enum decode_result decode_insn(const uint8_t *p, unsigned avail, unsigned mode, struct insn *ret);

/* enum insn_enc bits of a decoded instruction's row. */
uint32_t insn_enc(const struct insn *in);
/* Mnemonic of its row, lower case, without operand size suffix. */
const char *insn_name(const struct insn *in);

#endif
