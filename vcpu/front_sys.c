/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rules for EFLAGS, segment registers and the time-stamp counter, for string instructions without
 * REP (SDM vol. 2), and for whatever is left to the interpreter's handlers.
 */
#include "front_int.h"

/* ---- by handlers ---- */

#define REG(r)	 (1u << R_##r)
#define REGS_ANY 0xffu

/* Guest registers that an instruction may change, of those that touch no arithmetic flags. What is
 * not listed may change any. */
static const struct {
	uint16_t id;
	uint8_t regs;
} call_regs[] = {
	{ INSN_1_6C, REG(ECX) | REG(EDI) },
	{ INSN_1_6D, REG(ECX) | REG(EDI) },
	{ INSN_1_6E, REG(ECX) | REG(ESI) },
	{ INSN_1_6F, REG(ECX) | REG(ESI) },
	{ INSN_1_A4, REG(ECX) | REG(ESI) | REG(EDI) },
	{ INSN_1_A5, REG(ECX) | REG(ESI) | REG(EDI) },
	{ INSN_1_AA, REG(ECX) | REG(EDI) },
	{ INSN_1_AB, REG(ECX) | REG(EDI) },
	{ INSN_1_AC, REG(ECX) | REG(ESI) | REG(EAX) },
	{ INSN_1_AD, REG(ECX) | REG(ESI) | REG(EAX) },
	{ INSN_1_07, REG(ESP) },
	{ INSN_1_17, REG(ESP) },
	{ INSN_1_1F, REG(ESP) },
	{ INSN_2_A1, REG(ESP) },
	{ INSN_2_A9, REG(ESP) },
	{ INSN_1_8E, 0 },
	{ INSN_1_FA, 0 },
	{ INSN_1_FB, 0 },
	{ INSN_1_E4, REG(EAX) },
	{ INSN_1_E5, REG(EAX) },
	{ INSN_1_E6, 0 },
	{ INSN_1_E7, 0 },
	{ INSN_1_EC, REG(EAX) },
	{ INSN_1_ED, REG(EAX) },
	{ INSN_1_EE, 0 },
	{ INSN_1_EF, 0 },
	{ INSN_2_06, 0 },
	{ INSN_2_22, 0 },
	{ INSN_2_30, 0 },
	{ INSN_2_31, REG(EAX) | REG(EDX) },
	{ INSN_2_32, REG(EAX) | REG(EDX) },
	{ INSN_G3_6, REG(EAX) | REG(EDX) },
	{ INSN_G3_7, REG(EAX) | REG(EDX) },
	{ INSN_G7_7, 0 },
	{ INSN_G15_0, 0 },
	{ INSN_G15_1, 0 },
	{ INSN_G15_5, 0 },
	{ INSN_G15_6, 0 },
	{ INSN_G15_7, 0 },
};

static unsigned regs_of(const struct insn *in)
{
	for (size_t i = 0; i < sizeof(call_regs) / sizeof(call_regs[0]); i++)
		if (call_regs[i].id == in->id)
			return call_regs[i].regs;
	return REGS_ANY;
}

bool front_handler(struct front *f, const struct insn *in)
{
	uint32_t enc = insn_enc(in);
	struct ir_op *op;

	if (enc & E_JMP) {
		front_op(f, IR_CALLJ, 0, IR_NONE, IR_NONE, IR_NONE);
		return false;
	}
	op = front_op(f, IR_CALLI, 0, IR_NONE, IR_NONE, IR_NONE);
	if (in->id == INSN_1_9D) {
		op->cond = IR_CALL_SETS;
	} else if (!(enc & (E_FR | E_FW))) {
		op->cond = IR_CALL_QUIET;
		op->imm = regs_of(in);
	}
	return true;
}

/* ---- EFLAGS ---- */

/* In virtual-8086 mode it depends on IOPL. */
bool front_pushf(struct front *f, const struct insn *in, const struct front_rule *r)
{
	unsigned size = in->opsize;

	if (f->mode->paras && !f->mode->cpl0)
		return false;
	front_stack(f, IR_ESP, -size, size, true);
	front_op(f, IR_GETFL, 4, IR_T0, IR_NONE, IR_NONE);
	front_op(f, IR_MOV, size, IR_MEM, IR_T0, IR_NONE);
	front_set_sp(f, IR_ESP, -size);
	return true;
}

static void efl(struct front *f, bool set, uint32_t bits)
{
	front_op(f, IR_EFL, 0, set, IR_NONE, IR_NONE)->imm = bits;
}

/* Elsewhere it depends on IOPL, PVI. */
bool front_cli(struct front *f, const struct insn *in, const struct front_rule *r)
{
	if (!f->mode->cpl0)
		return false;
	efl(f, false, FL_IF);
	return true;
}

/* CLD, STD */
bool front_direction(struct front *f, const struct insn *in, const struct front_rule *r)
{
	efl(f, r->arg, FL_DF);
	return true;
}

/* At CPL 0; elsewhere CR4.TSD may forbid it. */
bool front_rdtsc(struct front *f, const struct insn *in, const struct front_rule *r)
{
	if (!f->mode->cpl0)
		return false;
	front_op(f, IR_RDTSC, 0, IR_NONE, IR_NONE, IR_NONE);
	return true;
}

/* ---- segment registers ---- */

static void getseg(struct front *f, unsigned size, unsigned dst, unsigned seg)
{
	front_op(f, IR_GETSEG, size, dst, IR_NONE, IR_NONE)->imm = seg;
}

bool front_push_seg(struct front *f, const struct insn *in, const struct front_rule *r)
{
	unsigned size = in->opsize;

	front_stack(f, IR_ESP, -size, size, true);
	getseg(f, 4, IR_T0, in->imm2);
	front_op(f, IR_MOV, size, IR_MEM, IR_T0, IR_NONE);
	front_set_sp(f, IR_ESP, -size);
	return true;
}

/* A register gets the operand size, zero-extended, memory 16 bits. */
bool front_mov_from_seg(struct front *f, const struct insn *in, const struct front_rule *r)
{
	if (in->reg >= SEG_NONE)
		return false;
	if (!in->mem) {
		getseg(f, in->opsize, in->rm, in->reg);
		return true;
	}
	front_host(f, in, 2, true);
	getseg(f, 4, IR_T0, in->reg);
	front_op(f, IR_MOV, 2, IR_MEM, IR_T0, IR_NONE);
	return true;
}

/* SS keeps interrupts away for an instruction; it is the handler's. */
static bool is_loadable(const struct front *f, unsigned seg)
{
	return f->mode->paras && seg < SEG_NONE && seg != SEG_CS && seg != SEG_SS;
}

static void setseg(struct front *f, unsigned seg, unsigned a)
{
	front_op(f, IR_SETSEG, 2, IR_NONE, a, IR_NONE)->imm = seg;
}

bool front_mov_to_seg(struct front *f, const struct insn *in, const struct front_rule *r)
{
	unsigned rm;

	if (!is_loadable(f, in->reg))
		return false;
	rm = front_rm(f, in, 2, false);
	if (in->mem)
		front_op(f, IR_MOV, 2, IR_T0, rm, IR_NONE);
	setseg(f, in->reg, in->mem ? IR_T0 : rm);
	return true;
}

bool front_pop_seg(struct front *f, const struct insn *in, const struct front_rule *r)
{
	unsigned size = in->opsize;

	if (!is_loadable(f, in->imm2))
		return false;
	front_stack(f, IR_ESP, 0, size, false);
	front_op(f, IR_MOV, size, IR_T0, IR_MEM, IR_NONE);
	setseg(f, in->imm2, IR_T0);
	front_set_sp(f, IR_ESP, size);
	return true;
}

bool front_load_far(struct front *f, const struct insn *in, const struct front_rule *r)
{
	if (!is_loadable(f, in->imm2) || !in->mem)
		return false;
	front_host_pair(f, in, in->opsize, IR_T0, IR_T1);
	setseg(f, in->imm2, IR_T1);
	front_op(f, IR_MOV, in->opsize, in->reg, IR_T0, IR_NONE);
	return true;
}

/* ---- strings: one iteration ---- */

/* T1 = what is to be added to the registers that advance, beside the size. */
static void direction(struct front *f, const struct insn *in)
{
	front_op(f, IR_DIR, 4, IR_T1, IR_NONE, IR_NONE)->imm = in->opsize;
}

static void advance(struct front *f, const struct insn *in, unsigned reg)
{
	front_op(f, IR_LEA, in->addrsize, reg, reg, IR_T1)->imm = in->opsize;
}

bool front_movs(struct front *f, const struct insn *in, const struct front_rule *r)
{
	unsigned size = in->opsize;

	if (in->rep != REP_NONE)
		return false;
	front_host_string(f, in, in->seg, IR_ESI, false);
	front_op(f, IR_MOV, size, IR_T0, IR_MEM, IR_NONE);
	front_host_string(f, in, SEG_ES, IR_EDI, true);
	front_op(f, IR_MOV, size, IR_MEM, IR_T0, IR_NONE);
	direction(f, in);
	advance(f, in, IR_ESI);
	advance(f, in, IR_EDI);
	return true;
}

bool front_cmps(struct front *f, const struct insn *in, const struct front_rule *r)
{
	unsigned size = in->opsize;

	if (in->rep != REP_NONE)
		return false;
	front_host_string(f, in, in->seg, IR_ESI, false);
	front_op(f, IR_MOV, size, IR_T0, IR_MEM, IR_NONE);
	front_host_string(f, in, SEG_ES, IR_EDI, false);
	direction(f, in);
	front_op(f, IR_CMP, size, IR_NONE, IR_T0, IR_MEM);
	advance(f, in, IR_ESI);
	advance(f, in, IR_EDI);
	return true;
}

bool front_stos(struct front *f, const struct insn *in, const struct front_rule *r)
{
	unsigned size = in->opsize;

	if (in->rep != REP_NONE)
		return false;
	front_host_string(f, in, SEG_ES, IR_EDI, true);
	front_op(f, IR_MOV, size, IR_MEM, IR_EAX, IR_NONE);
	direction(f, in);
	advance(f, in, IR_EDI);
	return true;
}

bool front_lods(struct front *f, const struct insn *in, const struct front_rule *r)
{
	unsigned size = in->opsize;

	if (in->rep != REP_NONE)
		return false;
	front_host_string(f, in, in->seg, IR_ESI, false);
	front_op(f, IR_MOV, size, IR_EAX, IR_MEM, IR_NONE);
	direction(f, in);
	advance(f, in, IR_ESI);
	return true;
}

bool front_scas(struct front *f, const struct insn *in, const struct front_rule *r)
{
	unsigned size = in->opsize;

	if (in->rep != REP_NONE)
		return false;
	front_host_string(f, in, SEG_ES, IR_EDI, false);
	direction(f, in);
	front_op(f, IR_CMP, size, IR_NONE, IR_EAX, IR_MEM);
	advance(f, in, IR_EDI);
	return true;
}
