/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The x87 FPU: opcode tables, dispatch, and the gates that every instruction passes: #NM, #UD, #MF
 * (SDM vol. 1, chapter 8; vol. 2, appendix A.5, with the aliases that the AMD64 manual, vol. 3,
 * appendix A, maps).
 *
 * Order of events in an instruction: #NM, #UD, a pending #MF, faults of the memory operand, then
 * the result, the flags and the pointers all at once.
 */
#include "fpu_int.h"
#include "flags.h"
#include "mem.h"
#include "sse.h"

struct fpu_row {
	fpu_fn fn;
	uint8_t arg;
	uint8_t flags;
};

#define ROW_NOWAIT 1 /* does not look for pending exceptions */
#define ROW_SSE3   2 /* came with SSE3 */

/* Memory forms: [opcode & 7][ModRM.reg] */
#define ARITH_MEM(fmt)                                                                        \
	{                                                                                     \
		{ fpu_op_arith_mem, fmt, 0 }, { fpu_op_arith_mem, fmt, 0 },                   \
			{ fpu_op_com_mem, fmt, 0 }, { fpu_op_com_mem, fmt | FPU_COM_POP, 0 }, \
			{ fpu_op_arith_mem, fmt, 0 }, { fpu_op_arith_mem, fmt, 0 },           \
			{ fpu_op_arith_mem, fmt, 0 }, { fpu_op_arith_mem, fmt, 0 },           \
	}

static const struct fpu_row mem_rows[8][8] = {
	ARITH_MEM(FMT_M32),
	{
		{ fpu_op_load, FMT_M32, 0 },
		{ NULL, 0, 0 },
		{ fpu_op_store, FMT_M32, 0 },
		{ fpu_op_store_pop, FMT_M32, 0 },
		{ fpu_op_fldenv, 0, 0 },
		{ fpu_op_fldcw, 0, 0 },
		{ fpu_op_fnstenv, 0, ROW_NOWAIT },
		{ fpu_op_fnstcw, 0, ROW_NOWAIT },
	},
	ARITH_MEM(FMT_I32),
	{
		{ fpu_op_load, FMT_I32, 0 },
		{ fpu_op_fisttp, FMT_I32, ROW_SSE3 },
		{ fpu_op_store, FMT_I32, 0 },
		{ fpu_op_store_pop, FMT_I32, 0 },
		{ NULL, 0, 0 },
		{ fpu_op_load, FMT_M80, 0 },
		{ NULL, 0, 0 },
		{ fpu_op_store_pop, FMT_M80, 0 },
	},
	ARITH_MEM(FMT_M64),
	{
		{ fpu_op_load, FMT_M64, 0 },
		{ fpu_op_fisttp, FMT_I64, ROW_SSE3 },
		{ fpu_op_store, FMT_M64, 0 },
		{ fpu_op_store_pop, FMT_M64, 0 },
		{ fpu_op_frstor, 0, 0 },
		{ NULL, 0, 0 },
		{ fpu_op_fnsave, 0, ROW_NOWAIT },
		{ fpu_op_fnstsw, 0, ROW_NOWAIT },
	},
	ARITH_MEM(FMT_I16),
	{
		{ fpu_op_load, FMT_I16, 0 },
		{ fpu_op_fisttp, FMT_I16, ROW_SSE3 },
		{ fpu_op_store, FMT_I16, 0 },
		{ fpu_op_store_pop, FMT_I16, 0 },
		{ fpu_op_load, FMT_BCD, 0 },
		{ fpu_op_load, FMT_I64, 0 },
		{ fpu_op_store_pop, FMT_BCD, 0 },
		{ fpu_op_store_pop, FMT_I64, 0 },
	},
};

/* Register forms: [opcode & 7][ModRM.reg]. Where rm selects too: one_rows below. */
static const struct fpu_row reg_rows[8][8] = {
	/* D8 */
	{
		{ fpu_op_arith_st0, 0, 0 },
		{ fpu_op_arith_st0, 0, 0 },
		{ fpu_op_com, 0, 0 },
		{ fpu_op_com, FPU_COM_POP, 0 },
		{ fpu_op_arith_st0, 0, 0 },
		{ fpu_op_arith_st0, 0, 0 },
		{ fpu_op_arith_st0, 0, 0 },
		{ fpu_op_arith_st0, 0, 0 },
	},
	/* D9: FSTP1 is an alias; E0 and up take rm */
	{
		{ fpu_op_fld_st, 0, 0 },
		{ fpu_op_fxch, 0, 0 },
		{ NULL, 0, 0 }, /* D9 D0: one_rows */
		{ fpu_op_fst_st, 2, 0 },
		{ fpu_op_d9_sign, 0, 0 },
		{ fpu_op_const, 0, 0 },
		{ fpu_op_d9_f0, 0, 0 },
		{ fpu_op_d9_f0, 0, 0 },
	},
	/* DA */
	{
		{ fpu_op_fcmov, 0, 0 },
		{ fpu_op_fcmov, 1, 0 },
		{ fpu_op_fcmov, 2, 0 },
		{ fpu_op_fcmov, 3, 0 },
	},
	/* DB */
	{
		{ fpu_op_fcmov, 4, 0 },
		{ fpu_op_fcmov, 5, 0 },
		{ fpu_op_fcmov, 6, 0 },
		{ fpu_op_fcmov, 7, 0 },
		{ NULL, 0, 0 },
		{ fpu_op_comi, FPU_COM_QUIET, 0 },
		{ fpu_op_comi, 0, 0 },
	},
	/* DC: FCOM2, FCOMP3 are aliases */
	{
		{ fpu_op_arith_sti, 0, 0 },
		{ fpu_op_arith_sti, 0, 0 },
		{ fpu_op_com, 0, 0 },
		{ fpu_op_com, FPU_COM_POP, 0 },
		{ fpu_op_arith_sti, 0, 0 },
		{ fpu_op_arith_sti, 0, 0 },
		{ fpu_op_arith_sti, 0, 0 },
		{ fpu_op_arith_sti, 0, 0 },
	},
	/* DD: FXCH4 is an alias */
	{
		{ fpu_op_ffree, 0, 0 },
		{ fpu_op_fxch, 0, 0 },
		{ fpu_op_fst_st, 0, 0 },
		{ fpu_op_fst_st, 1, 0 },
		{ fpu_op_com, FPU_COM_QUIET, 0 },
		{ fpu_op_com, FPU_COM_QUIET | FPU_COM_POP, 0 },
	},
	/* DE: FCOMP5 is an alias */
	{
		{ fpu_op_arith_sti, 1, 0 },
		{ fpu_op_arith_sti, 1, 0 },
		{ fpu_op_com, FPU_COM_POP, 0 },
		{ NULL, 0, 0 }, /* DE D9: one_rows */
		{ fpu_op_arith_sti, 1, 0 },
		{ fpu_op_arith_sti, 1, 0 },
		{ fpu_op_arith_sti, 1, 0 },
		{ fpu_op_arith_sti, 1, 0 },
	},
	/* DF: FFREEP, FXCH7, FSTP8, FSTP9 are aliases */
	{
		{ fpu_op_ffree, 1, 0 },
		{ fpu_op_fxch, 0, 0 },
		{ fpu_op_fst_st, 1, 0 },
		{ fpu_op_fst_st, 1, 0 },
		{ NULL, 0, 0 }, /* DF E0: one_rows */
		{ fpu_op_comi, FPU_COM_QUIET | FPU_COM_POP, 0 },
		{ fpu_op_comi, FPU_COM_POP, 0 },
	},
};

/* Instructions that are one encoding in a group that is otherwise undefined. */
static const struct one_row {
	uint8_t op, modrm;
	struct fpu_row row;
} one_rows[] = {
	{ 0xd9, 0xd0, { fpu_op_fnop, 0, 0 } },
	{ 0xda, 0xe9, { fpu_op_com, FPU_COM_QUIET | FPU_COM_POP | FPU_COM_POP2, 0 } }, /* FUCOMPP */
	{ 0xdb, 0xe0, { fpu_op_fnop, 1, ROW_NOWAIT } },				       /* FENI */
	{ 0xdb, 0xe1, { fpu_op_fnop, 1, ROW_NOWAIT } },				       /* FDISI */
	{ 0xdb, 0xe2, { fpu_op_fnclex, 0, ROW_NOWAIT } },
	{ 0xdb, 0xe3, { fpu_op_fninit, 0, ROW_NOWAIT } },
	{ 0xdb, 0xe4, { fpu_op_fnop, 1, ROW_NOWAIT } },		       /* FSETPM */
	{ 0xde, 0xd9, { fpu_op_com, FPU_COM_POP | FPU_COM_POP2, 0 } }, /* FCOMPP */
	{ 0xdf, 0xe0, { fpu_op_fnstsw_ax, 0, ROW_NOWAIT } },
};

/* Bit n: D9 E0+n is undefined. E2 E3 E6 E7 EF */
#define D9_HOLES 0x80ccu

static const struct fpu_row *find_row(unsigned opcode, unsigned modrm)
{
	const struct fpu_row *row;

	if (modrm < 0xc0)
		return &mem_rows[opcode & 7][modrm >> 3 & 7];
	row = &reg_rows[opcode & 7][modrm >> 3 & 7];
	if (row->fn) {
		if (opcode == 0xd9 && modrm >= 0xe0 && modrm < 0xf0 &&
			(D9_HOLES >> (modrm & 15) & 1))
			return NULL;
		if (opcode == 0xd9 && (modrm | 1) == 0xf7) {
			static const struct fpu_row stp = { fpu_op_fstp, 0, 0 };

			return &stp;
		}
		return row;
	}
	for (unsigned i = 0; i < sizeof(one_rows) / sizeof(one_rows[0]); i++)
		if (one_rows[i].op == opcode && one_rows[i].modrm == modrm)
			return &one_rows[i].row;
	return NULL;
}

bool fpu_ferr(const struct cpu *cpu)
{
	return (cpu->fpu->sw & SW_ES) && !(cpu->cr0 & CR0_NE);
}

void fpu_set_ignne(struct cpu *cpu, bool level)
{
	cpu->fpu->ignne = level;
}

/*
 * A waiting instruction has met a pending exception. True: it must not execute now. With CR0.NE
 * clear the processor stands still until an interrupt comes (SDM vol. 3, 9.2.2; vol. 1, D.2.1):
 * halted, on the same instruction.
 */
bool fpu_wait_pending(struct cpu *cpu)
{
	if (cpu->cr0 & CR0_NE)
		cpu_raise(cpu, EXCP_MF);
	if (cpu->fpu->ignne)
		return false;
	cpu->rep_again = true;
	cpu->halted = true;
	cpu->look = true;
	return true;
}

void fpu_esc(struct cpu *cpu, const struct insn *in)
{
	struct fpu *f = cpu->fpu;
	const struct fpu_row *row;
	struct fpu_op op;

	fpu_park(f);
	if (__builtin_expect(cpu->cr0 & (CR0_EM | CR0_TS), 0))
		cpu_raise(cpu, EXCP_NM);
	row = find_row(in->imm2, in->modrm);
	if (__builtin_expect(!row || !row->fn, 0))
		cpu_raise(cpu, EXCP_UD);
	if ((row->flags & ROW_SSE3) && !(cpu->isa & ISA_SSE3))
		cpu_raise(cpu, EXCP_UD);
	if (__builtin_expect(f->sw & SW_ES, 0) && !(row->flags & ROW_NOWAIT) &&
		fpu_wait_pending(cpu))
		return;
	op.cpu = cpu;
	op.f = f;
	op.in = in;
	op.ea = in->mem ? insn_ea(cpu, in) : 0;
	op.reg = in->modrm >> 3 & 7;
	op.rm = in->modrm & 7;
	op.arg = row->arg;
	row->fn(&op);
}

void fpu_wait(struct cpu *cpu, const struct insn *in)
{
	if ((cpu->cr0 & (CR0_MP | CR0_TS)) == (CR0_MP | CR0_TS))
		cpu_raise(cpu, EXCP_NM);
	if (cpu->fpu->sw & SW_ES)
		fpu_wait_pending(cpu);
}

void fpu_reset(struct cpu *cpu)
{
	struct fpu *f = cpu->fpu;

	fpu_park(f);
	/* SDM vol. 3, table 9-1: after RESET# the registers hold +0 and the tags say so. */
	*f = (struct fpu){ 0 };
	fpu_set_cw(f, 0x0040);
}
