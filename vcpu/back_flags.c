/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The x86-64 back end's bookkeeping of flags. Nothing is computed for flags that only an exit could
 * ask for: the recipe says how to. Flags that an op of the block reads are in the host's flags, or
 * are made anew from the recipe.
 */
#include "back_int.h"

#include "log.h"

uint32_t rcp_store(struct back *k)
{
	struct recipe *r;

	if (k->rcp.op == RCP_ENTRY)
		return 0;
	if (k->rcp.op == RCP_CC && k->cc_id)
		return k->cc_id;
	if (k->rcp_id)
		return k->rcp_id | (k->cell_valid ? 1u : 0);
	r = k->alloc(k->opaque, sizeof(*r));
	if (!r) {
		k->too_big = true;
		return 0;
	}
	*r = k->rcp;
	k->rcp_id = meta_off(k, r);
	if (k->rcp.op == RCP_CC) {
		k->cc_id = k->rcp_id;
		return k->cc_id;
	}
	return k->rcp_id | (k->cell_valid ? 1u : 0);
}

void rcp_set(struct back *k, enum recipe_op op, unsigned size, unsigned a, unsigned b, unsigned c,
	uint32_t imm, unsigned host_valid)
{
	k->rcp = (struct recipe){ .op = (uint8_t)op,
		.size = (uint8_t)size,
		.a = (uint8_t)a,
		.b = (uint8_t)b,
		.c = (uint8_t)c,
		.imm = imm };
	k->rcp_id = 0;
	k->exit = NULL;
	k->host_valid = (uint8_t)host_valid;
	k->cell_valid = op == RCP_INC || op == RCP_DEC || op == RCP_BT;
}

static unsigned slot_bit(unsigned loc)
{
	if (loc >= RCP_SLOT(0) && loc < RCP_SLOT_HI(RCP_N_SLOTS))
		return 1u << ((loc - RCP_SLOT(0)) % RCP_N_SLOTS);
	return 0;
}

unsigned rcp_slots(const struct back *k)
{
	unsigned used = slot_bit(k->rcp.a) | slot_bit(k->rcp.b) | slot_bit(k->rcp.c);

	return k->rcp.over ? used | slot_bit(k->rcp.over_a) : used;
}

unsigned slot_alloc(const struct back *k, unsigned also)
{
	unsigned slot = (unsigned)__builtin_ctz(~(rcp_slots(k) | k->insn_slots | also));

	must(slot < RCP_N_SLOTS);
	return slot;
}

static bool loc_is_in(unsigned loc, unsigned reg)
{
	return is_guest(loc) && whole_reg(loc) == reg;
}

/* The parts of a register are kept by its whole: AH is then bits 8-15 of the cell. */
static void loc_move(uint8_t *loc, unsigned reg, unsigned slot)
{
	if (loc_is_in(*loc, reg))
		*loc = (uint8_t)(is_hi_byte(*loc) ? RCP_SLOT_HI(slot) : RCP_SLOT(slot));
}

void rcp_clobber(struct back *k, unsigned r)
{
	unsigned reg, slot;

	if (!is_guest(r) || !(k->op->after_use | k->op->after_exit))
		return;
	reg = whole_reg(r);
	if (k->rcp.op == RCP_ENTRY) {
		k->tb->entry_regs |= (uint8_t)(1u << reg);
		return;
	}
	if (!loc_is_in(k->rcp.a, reg) && !loc_is_in(k->rcp.b, reg) && !loc_is_in(k->rcp.c, reg) &&
		!(k->rcp.over && loc_is_in(k->rcp.over_a, reg)))
		return;
	slot = slot_alloc(k, 0);
	x_mov_rm_r(&k->a, 4, slot_mem(slot), back_reg(reg));
	loc_move(&k->rcp.a, reg, slot);
	loc_move(&k->rcp.b, reg, slot);
	loc_move(&k->rcp.c, reg, slot);
	loc_move(&k->rcp.over_a, reg, slot);
	k->rcp_id = 0;
	k->exit = NULL;
}

/* ---- making flags anew ---- */

void load_cc(struct xasm *a)
{
	x_mov_r_rm(a, 4, H_TMP, x_r(X_RAX));
	x_rm(a, 4, X_0F | 0xb7, X_RAX, CPU_MEM(cc));
	x_alu_rm_i(a, 1, X_ADD, x_r(X_RAX), 0x7f); /* OF */
	x_u8(a, 0x9e);				   /* SAHF */
	x_mov_r_rm(a, 4, X_RAX, x_r(H_TMP));
}

void rcp_set_comparison(struct back *k, enum recipe_op op, unsigned host_valid)
{
	struct xrm cell, zf;
	unsigned slot;

	if (!(k->op->live_use | k->op->live_exit)) {
		rcp_set(k, RCP_CC, 0, RCP_NO, RCP_NO, RCP_NO, 0, host_valid);
		return;
	}
	slot = slot_alloc(k, 0);
	cell = zf = slot_mem(slot);
	zf.disp++;
	x_rm(&k->a, 1, X_0F | 0x90 | X_B, 0, cell);
	x_rm(&k->a, 1, X_0F | 0x90 | X_E, 0, zf);
	rcp_set(k, op, 4, RCP_SLOT(slot), RCP_NO, RCP_NO, 0, host_valid);
}

void call_flags(struct back *k, uint32_t id)
{
	uint8_t *at;

	x_mov_r_i(&k->a, H_TMP, id);
	at = x_call(&k->a);
	x_to(&k->a, at, k->mem->rw + back_tramp(k->cpu)->flags);
}

/* Puts the operand at loc, of the recipe's size, into H_TMP. Flags may be lost. */
static void loc_load(struct xasm *a, const struct recipe *r, unsigned loc)
{
	if (loc == RCP_IMM) {
		x_mov_r_i(a, H_TMP, r->imm);
	} else if (slot_bit(loc)) {
		bool hi = loc >= RCP_SLOT_HI(0);

		x_mov_r_rm(a, 4, H_TMP, slot_mem((loc - RCP_SLOT(0)) % RCP_N_SLOTS));
		if (hi)
			x_shift_i(a, 4, X_SHR, x_r(H_TMP), 8);
	} else {
		x_mov_r_rm(a, 4, H_TMP, x_r(back_reg(whole_reg(loc))));
		if (is_hi_byte(loc))
			x_shift_i(a, 4, X_SHR, x_r(H_TMP), 8);
	}
}

/* Can loc be an operand beside H_TMP? */
static bool loc_is_simple(unsigned loc)
{
	return loc == RCP_IMM || (loc <= IR_EDI) || (slot_bit(loc) && loc < RCP_SLOT_HI(0));
}

static void alu_tmp_loc(struct xasm *a, const struct recipe *r, enum x_alu op, unsigned loc)
{
	if (loc == RCP_IMM)
		x_alu_rm_i(a, r->size, op, x_r(H_TMP), r->imm);
	else if (slot_bit(loc))
		x_alu_r_rm(a, r->size, op, H_TMP, slot_mem(loc - RCP_SLOT(0)));
	else
		x_alu_rm_r(a, r->size, op, x_r(H_TMP), back_reg(loc));
}

/* CF from its cell. All other flags are lost. */
static void carry_from_cell(struct xasm *a)
{
	x_alu_rm_i(a, 1, X_CMP, CPU_MEM(fl_c), 1);
	x_u8(a, 0xf5); /* CMC */
}

/* Of a comparison of reals, whose cell has CF and, above it, ZF. */
static unsigned remake_comparison(struct xasm *a, const struct recipe *r, unsigned mask)
{
	struct xrm cf = slot_mem(r->a - RCP_SLOT(0)), zf = cf;

	zf.disp++;
	if (mask == IRF_P && r->op == RCP_COMI) {
		/* 0 has even parity, 1 has not. */
		x_rm(a, 4, X_0F | 0xb6, H_TMP, cf);
		x_alu_r_rm(a, 1, X_AND, H_TMP, zf);
		x_alu_rm_i(a, 1, X_XOR, x_r(H_TMP), 1);
		return IRF_P;
	}
	if (mask & ~(unsigned)(IRF_C | IRF_Z))
		return 0;
	/* What is shifted out is CF, and the rest is 0 or not. */
	x_rm(a, 4, X_0F | 0xb6, H_TMP, zf);
	x_alu_rm_i(a, 4, X_XOR, x_r(H_TMP), 1);
	x_alu_rm_r(a, 4, X_ADD, x_r(H_TMP), H_TMP);
	x_alu_r_rm(a, 1, X_OR, H_TMP, cf);
	x_shift_i(a, 4, X_SHR, x_r(H_TMP), 1);
	return IRF_C | IRF_Z;
}

/* Makes flags from the recipe, those of mask if it is one or two; returns which are right now, 0 if
 * it cannot. */
static unsigned remake(struct xasm *a, const struct recipe *r, unsigned mask)
{
	if (r->over || (r->b != RCP_NO && !loc_is_simple(r->b)))
		return 0;
	switch (r->op) {
	case RCP_COMI:
	case RCP_PTEST: return remake_comparison(a, r, mask);
	case RCP_CMP:
		loc_load(a, r, r->a);
		alu_tmp_loc(a, r, X_CMP, r->b);
		return IRF_ALL;
	case RCP_ADD:
		loc_load(a, r, r->a);
		alu_tmp_loc(a, r, X_SUB, r->b);
		alu_tmp_loc(a, r, X_ADD, r->b);
		return IRF_ALL;
	case RCP_SUB:
		loc_load(a, r, r->a);
		alu_tmp_loc(a, r, X_ADD, r->b);
		alu_tmp_loc(a, r, X_SUB, r->b);
		return IRF_ALL;
	case RCP_LOGIC:
		loc_load(a, r, r->a);
		x_test_rm_r(a, r->size, x_r(H_TMP), H_TMP);
		return IRF_ALL & ~IRF_A;
	case RCP_TEST:
		loc_load(a, r, r->a);
		alu_tmp_loc(a, r, X_AND, r->b);
		return IRF_ALL & ~IRF_A;
	case RCP_NEG:
		loc_load(a, r, r->a);
		x_rm(a, r->size, r->size == 1 ? 0xf6 : 0xf7, 3, x_r(H_TMP));
		x_rm(a, r->size, r->size == 1 ? 0xf6 : 0xf7, 3, x_r(H_TMP));
		return IRF_ALL;
	case RCP_INC:
	case RCP_DEC:
		loc_load(a, r, r->a);
		carry_from_cell(a);
		x_rm(a, r->size, r->size == 1 ? 0xfe : 0xff, r->op == RCP_INC, x_r(H_TMP));
		x_rm(a, r->size, r->size == 1 ? 0xfe : 0xff, r->op == RCP_DEC, x_r(H_TMP));
		return IRF_ALL;
	default: return 0;
	}
}

/* cpu->cc = the host's flags, which are all ours but for AF, which is 0, if they are of r. */
static void store_cc(struct xasm *a, const struct recipe *r)
{
	x_mov_r_rm(a, 4, H_TMP, x_r(X_RAX));
	x_u8(a, 0x9f);				      /* LAHF */
	x_rm(a, 1, X_0F | 0x90 | X_O, 0, x_r(X_RAX)); /* OF */
	if (r->op == RCP_LOGIC || r->op == RCP_TEST)
		x_alu_rm_i(a, 4, X_AND, x_r(X_RAX), ~(uint32_t)CC_AF);
	x_mov_rm_r(a, 2, CPU_MEM(cc), X_RAX);
	x_mov_r_rm(a, 4, X_RAX, x_r(H_TMP));
}

/* Flags that store_cc() wants. */
static unsigned cc_mask(const struct recipe *r)
{
	return r->op == RCP_LOGIC || r->op == RCP_TEST ? IRF_ALL & ~IRF_A : IRF_ALL;
}

bool rcp_to_cc(struct xasm *a, const struct recipe *r)
{
	if (cc_mask(r) & ~remake(a, r, IRF_ALL))
		return false;
	store_cc(a, r);
	return true;
}

bool rcp_carry_to_cell(struct xasm *a, const struct recipe *r)
{
	if (!(remake(a, r, IRF_C) & IRF_C))
		return false;
	x_rm(a, 1, X_0F | 0x90 | X_B, 0, CPU_MEM(fl_c));
	return true;
}

/* Who led here has put them into cpu->cc, mostly. */
static void entry_to_cc(struct back *k)
{
	struct xasm *a = &k->a;
	struct cold *c;

	k->entry_used = true;
	x_alu_rm_i(a, 4, X_CMP, CPU_MEM(fl_desc), 0);
	c = cold_add(k, COLD_FLAGS, x_jcc(a, X_NE));
	if (c)
		c->back = a->p;
}

void flags_to_cc(struct back *k)
{
	/* What is computed now has to be right even if only parts are wanted. */
	if (k->rcp.op == RCP_ENTRY) {
		entry_to_cc(k);
	} else if (k->rcp.op != RCP_CC) {
		if (!k->rcp.over && !(cc_mask(&k->rcp) & ~k->host_valid))
			store_cc(&k->a, &k->rcp);
		else if (!rcp_to_cc(&k->a, &k->rcp))
			call_flags(k, rcp_store(k));
	}
	rcp_set(k, RCP_CC, 0, RCP_NO, RCP_NO, RCP_NO, 0, 0);
}

void flags_to_host(struct back *k, unsigned mask)
{
	unsigned made;

	if (!(mask & ~k->host_valid))
		return;
	if (mask == IRF_C && k->cell_valid) {
		carry_from_cell(&k->a);
		k->host_valid = IRF_C;
		return;
	}
	made = remake(&k->a, &k->rcp, mask);
	if (mask & ~made) {
		flags_to_cc(k);
		load_cc(&k->a);
		made = IRF_ALL;
	}
	k->host_valid = (uint8_t)made;
}

void carry_to_cell(struct back *k)
{
	struct xasm *a = &k->a;
	struct cold *c;

	if (k->cell_valid)
		return;
	if (k->rcp.op == RCP_ENTRY && !(k->host_valid & IRF_C)) {
		/* Whoever led here may have it there already. */
		k->entry_used = k->entry_carry = true;
		x_rm(a, 1, 0xf6, 0, CPU_MEM(fl_desc));
		x_u8(a, 1);
		c = cold_add(k, COLD_CARRY, x_jcc(a, X_E));
		if (c)
			c->back = a->p;
		k->host_valid = 0;
	} else if (!k->rcp.over && (k->rcp.op == RCP_LOGIC || k->rcp.op == RCP_TEST)) {
		x_mov_rm_i(a, 1, CPU_MEM(fl_c), 0);
	} else {
		flags_to_host(k, IRF_C);
		x_rm(a, 1, X_0F | 0x90 | X_B, 0, CPU_MEM(fl_c));
	}
	k->cell_valid = true;
	k->exit = NULL;
}
