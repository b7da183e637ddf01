/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The optimiser: simplifies ops, finds out which flags anybody wants, drops what only makes flags
 * that nobody does. An op's effect on what the guest can see at any exit stays.
 *
 * Wanted flags are of two kinds. "use": an op of this block reads them. "exit": the block may be
 * left, and whoever goes on may read them; a recipe for them will do.
 */
#include "ir.h"

#include "log.h"

_Static_assert(IR_MAX_INSNS <= 64, "a bit for each instruction");

/* a + (b << scale) + imm in its simplest form. */
static void simplify_address(struct ir_op *op)
{
	if (op->b != IR_NONE && op->a == IR_NONE && op->scale == 0) {
		op->a = op->b;
		op->b = IR_NONE;
	} else if (op->b != IR_NONE && op->a == IR_NONE && op->scale == 1) {
		op->a = op->b; /* twice: a sum is the shorter form */
		op->scale = 0;
	}
}

static void simplify(struct ir_op *op)
{
	if (op->op != IR_HOST && op->op != IR_LEA)
		return;
	simplify_address(op);
	if (op->op != IR_LEA || op->size != 4 || op->b != IR_NONE || (op->a != IR_NONE && op->imm))
		return;
	op->op = IR_MOV;
	if (op->a == IR_NONE)
		op->a = IR_IMM;
}

/* It changes nothing but flags of which none is wanted. */
static bool is_dead(const struct ir_op *op, unsigned wanted)
{
	switch (op->op) {
	case IR_MOV: return op->dst == op->a;
	case IR_CMP:
	case IR_TEST:
	case IR_BT:
	case IR_CLC:
	case IR_STC:
	case IR_CMC:
	case IR_SAHF: return !(ir_defs(op) & wanted);
	default: return false;
	}
}

/* The instruction that a conditional jump goes to, if it is one of this block, behind it, where no
 * flags are wanted (`quiet`, a bit for each instruction); else 0. */
static unsigned find_join(const struct ir_block *b, const struct ir_op *op, uint64_t quiet)
{
	if (op->op != IR_JCC)
		return 0;
	for (unsigned i = op->insn + 1u; i < b->n_insns; i++)
		if (b->insn_eip[i] == op->imm)
			return quiet >> i & 1 ? i : 0;
	return 0;
}

void ir_optimise(struct ir_block *b)
{
	unsigned use = 0, exit = 0, to = b->n_ops;
	uint64_t quiet = 0;

	/* Backwards, moving what stays to the end of the array. */
	for (unsigned i = b->n_ops; i-- > 0;) {
		struct ir_op *op = &b->op[i];
		unsigned defs, kills, props;

		simplify(op);
		if (is_dead(op, use | exit))
			continue;
		defs = ir_defs(op);
		kills = ir_kills(op);
		props = ir_props(op);
		if (op->op == IR_CALLI || op->op == IR_RDTSC) /* may leave behind it, too */
			exit = IRF_ALL;
		op->live_use = (uint8_t)(use & defs);
		op->live_exit = (uint8_t)(exit & defs);
		op->after_use = (uint8_t)use;
		op->after_exit = (uint8_t)exit;
		use = (use & ~kills) | ir_uses(op);
		exit &= ~kills;
		if (op->op == IR_INSN && !(use | exit))
			quiet |= 1ull << op->insn;
		op->join = (uint8_t)find_join(b, op, quiet);
		if (props & (IRO_EXIT | IRO_EDGE) && !op->join)
			exit = IRF_ALL;
		b->op[--to] = *op;
	}
	b->entry_flags = (use | exit) != 0;
	b->entry_use = use != 0;
	b->n_ops -= to;
	for (unsigned i = 0; i < b->n_ops; i++)
		b->op[i] = b->op[to + i];
}
