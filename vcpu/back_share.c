/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The x86-64 back end's groups of accesses off the same base, which share one look-up in the inline
 * tables (docs/translator.md, "Registers and memory").
 *
 * An access that was looked up leads a group: H_PTR keeps its host address. One that follows, delta
 * bytes away, is at [H_PTR + delta] if it lies in the same page, which its page offset tells. Guest
 * and host pages begin at the same low bits, so the leader's page offset is in H_PTR, and from the
 * first follower on, in H_T1.
 *
 * Why that is right. H_PTR is always one of these:
 *
 * (1) The host address of A, the leader's guest address. Since it was looked up no C code has run,
 *     and only C code changes tables, translations, or what pages hold code or are watched (a store
 *     by a write entry cannot touch code: there is none in its page). So the entry that was found
 *     is still there for all accesses to A's page of its kind: reads, or reads and writes, since a
 *     write entry never is without the same read entry (set_fast(), mmu.c). Accessed and dirty bits
 *     have been set.
 * (2) A follower was in another page than A, and was looked up by itself, out of line: H_PTR is
 *     what makes [H_PTR + delta] its host address, and H_T1 is SHARE_LOST, by which every test of a
 *     later follower fails, so that it is looked up, too.
 *
 * The access that was tested last is in its place both ways (`sure`), and so is the leader before
 * any test: what lies within is not tested again, but for a write where a read was tested, which
 * may have been looked up for reading only.
 *
 * A group ends where H_PTR is lost, at joins, and when no register tells any more where A is. That
 * emitted code names H_PTR or H_T1 is seen by the assembler (xasm.named); paths out of line that
 * come back end the group (cold_add()), all but the group's own. Not in a group: segments that are
 * checked, blocks with a window, operands of the x87, what has to be aligned.
 */
#include "back_int.h"

/* Above every page offset as an unsigned number, below as a signed one. */
#define SHARE_LOST 0x80000000u

/* share.known, share.disp: beside the registers, none */
#define AT_NONE 8

static unsigned place_of(unsigned reg)
{
	return reg == IR_NONE ? AT_NONE : reg;
}

static bool is_place(unsigned reg)
{
	return reg <= IR_EDI || reg == IR_NONE;
}

void share_end(struct back *k)
{
	k->share.on = false;
}

void share_lead(struct back *k)
{
	const struct ir_op *op = k->op;
	struct share *s = &k->share;

	s->on = k->cpu->tcg_share && !k->window && !(op->cond & IR_AT_CHECKED) && is_place(op->a) &&
		is_place(op->b);
	if (!s->on)
		return;
	/* While writes are observed none may pass unseen. */
	s->write = s->sure_write = op->dst && k->cpu->tcg_share != SHARE_READS;
	s->counted = false;
	s->seg = op->seg;
	s->index = op->b;
	s->scale = op->scale;
	s->size = s->sure_len = op->size;
	s->sure = 0;
	s->known = (uint16_t)(1u << place_of(op->a));
	s->disp[place_of(op->a)] = op->imm;
}

/* ---- what follows ---- */

/* H_T1 is where the IR's second temporary lives: does this instruction have one already? */
static bool t1_is_set(const struct back *k)
{
	for (const struct ir_op *op = k->op - 1; op->op != IR_INSN; op--)
		if (op->dst == IR_T1)
			return true;
	return false;
}

/* Is the access in work one of A + *delta? */
static bool is_near(const struct back *k, int32_t *delta)
{
	const struct share *s = &k->share;
	const struct ir_op *op = k->op;

	if (!s->on || op->cond & IR_AT_CHECKED || op[1].op == IR_FPU || !is_place(op->a))
		return false;
	if (op->seg != s->seg || op->b != s->index || op->scale != s->scale)
		return false;
	if ((op->dst && !s->write) || !(s->known >> place_of(op->a) & 1))
		return false;
	*delta = (int32_t)(op->imm - s->disp[place_of(op->a)]);
	if (*delta >= 0)
		return *delta <= (int32_t)PAGE_SIZE - op->size;
	/* The leader's end is in its page. */
	return *delta > -(int32_t)PAGE_SIZE && *delta + op->size <= s->size;
}

static bool is_sure(const struct share *s, const struct ir_op *op, int32_t delta)
{
	unsigned size = op->size;

	if (op->dst && !s->sure_write)
		return false;
	return delta >= s->sure && delta + (int32_t)size <= s->sure + s->sure_len;
}

/* To another page: out of line, if the leader's page offset says so. */
static struct cold *test_page(struct back *k, int32_t delta, unsigned size)
{
	struct xasm *a = &k->a;

	if (!k->share.counted) {
		x_mov_r_rm(a, 4, H_T1, x_r(H_PTR));
		x_alu_rm_i(a, 4, X_AND, x_r(H_T1), PAGE_SIZE - 1);
		k->share.counted = true;
	}
	if (delta >= 0) {
		x_alu_rm_i(a, 4, X_CMP, x_r(H_T1), PAGE_SIZE - size - (uint32_t)delta);
		return cold_add(k, COLD_SHARE, x_jcc(a, X_A));
	}
	x_alu_rm_i(a, 4, X_CMP, x_r(H_T1), -(uint32_t)delta);
	return cold_add(k, COLD_SHARE, x_jcc(a, X_L));
}

bool share_follow(struct back *k)
{
	struct share *s = &k->share;
	unsigned size = k->op->size;
	struct cold *c;
	int32_t delta;
	uint32_t id;

	if (!is_near(k, &delta))
		return false;
	if (!is_sure(s, k->op, delta)) {
		if (!s->counted && t1_is_set(k))
			return false;
		id = exit_id(k);
		c = test_page(k, delta, size);
		if (!c)
			return true;
		c->id = id;
		c->delta = delta;
		c->back = k->a.p;
		k->host_valid = 0;
		s->sure = delta;
		s->sure_len = (uint8_t)size;
		s->sure_write = k->op->dst;
	}
	k->h = x_m(H_PTR, delta);
	k->n_shared++;
	return true;
}

void share_cold(struct back *k, const struct cold *c)
{
	x_lea(&k->a, 8, H_PTR, x_m(H_PTR, -c->delta));
	x_mov_r_i(&k->a, H_T1, SHARE_LOST);
}

/* ---- where A is ---- */

/* dst = src + imm, as op does it; false: it does something else. */
static bool is_sum(const struct ir_op *op, uint32_t *ret_imm)
{
	*ret_imm = op->imm;
	if (op->size != 4 || op->dst > IR_EDI || op->a > IR_EDI)
		return false;
	switch (op->op) {
	case IR_MOV: *ret_imm = 0; return true;
	case IR_LEA: return op->b == IR_NONE;
	case IR_ADD: return op->b == IR_IMM;
	case IR_SUB: *ret_imm = -op->imm; return op->b == IR_IMM;
	case IR_INC: *ret_imm = 1; return true;
	case IR_DEC: *ret_imm = ~0u; return true;
	default: return false;
	}
}

static void note_written(struct share *s, const struct ir_op *op)
{
	unsigned written = ir_regs_written(op) & ((1u << (IR_EDI + 1)) - 1);
	uint32_t imm;

	if (s->index != IR_NONE && written >> s->index & 1)
		s->on = false;
	if (is_sum(op, &imm) && s->known >> op->a & 1) {
		s->disp[op->dst] = s->disp[op->a] - imm;
		s->known |= (uint16_t)(1u << op->dst);
	} else {
		s->known &= (uint16_t)~written;
	}
	if (!s->known)
		s->on = false;
}

/* Does a handler do the instruction of the x87 or SSE that ends here, if need be? Then what follows
 * its gate may not have been. */
static bool ends_gate(const struct back *k)
{
	const struct cold *c = k->gate;

	switch (k->op->op) {
	case IR_FPU:
	case IR_FPUFL:
	case IR_FPUCC: return true;
	case IR_SSE:
	case IR_SSEFL:
		return c &&
		       (c->jump || c->jump2 || c->jump3 || (c > k->cold && c[-1].kind == COLD_XMM));
	default: return false;
	}
}

void share_named(struct back *k)
{
	struct share *s = &k->share;

	if (k->a.named >> H_PTR & 1 || (s->counted && k->a.named >> H_T1 & 1))
		s->on = false;
}

void share_op(struct back *k)
{
	struct share *s = &k->share;
	const struct ir_op *op = k->op;

	if (!s->on || op->op == IR_HOST)
		return;
	share_named(k);
	if (op->op == IR_SETSEG || k->skip || ends_gate(k))
		s->on = false;
	note_written(s, op);
}
