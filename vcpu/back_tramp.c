/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The x86-64 back end's ways between C and translated code, and the links between blocks.
 *
 * Translated code has a stack of its own (back_ret.c). What calls C goes to C's, and says where it
 * was; C may drop all that is on the other meanwhile. While C is called for an instruction, the
 * address of the block's call is below cpu->ret_sp, where nobody else writes.
 */
#include "back_int.h"

#include <errno.h>
#include <stdlib.h>

#include "log.h"

static const uint8_t saved[] = { X_RBX, X_RBP, X_R12, X_R13, X_R14, X_R15 };

static struct xrm gpr_mem(unsigned i)
{
	return x_m(H_CPU, CPU_OFF(gpr) + 4 * (int32_t)i);
}

static void spill(struct xasm *a)
{
	for (unsigned i = 0; i < 8; i++)
		x_mov_rm_r(a, 4, gpr_mem(i), back_reg(i));
	x_mov_rm_r(a, 8, CPU_MEM(tcg_left), H_BUDGET);
}

static void reload(struct xasm *a)
{
	for (unsigned i = 0; i < 8; i++)
		x_mov_r_rm(a, 4, back_reg(i), gpr_mem(i));
}

/* One that a C function may change. */
static bool is_volatile(unsigned i)
{
	return i != IR_EBX && i != IR_ESP && i != IR_EBP;
}

static void reload_volatile(struct xasm *a)
{
	for (unsigned i = 0; i < 8; i++)
		if (is_volatile(i))
			x_mov_r_rm(a, 4, back_reg(i), gpr_mem(i));
}

/*
 * The XMM registers, if they are in the host's. C may use those, and looks for the guest's in
 * struct cpu. xmm_live stays as it is meanwhile, as it speaks of translated code, unless C changes
 * it.
 */
static void xmm_each(struct xasm *a, unsigned opcode)
{
	for (unsigned i = 0; i < 8; i++)
		x_rm(a, 4, X_0F | opcode, i, x_m(H_CPU, CPU_OFF(xmm) + 16 * (int32_t)i));
}

static void xmm_if_live(struct xasm *a, unsigned opcode)
{
	uint8_t *none;

	x_alu_rm_i(a, 1, X_CMP, CPU_MEM(xmm_live), 0);
	none = x_jcc(a, X_E);
	xmm_each(a, opcode);
	x_here(a, none);
}

static void xmm_put(struct xasm *a)
{
	xmm_if_live(a, 0x29);
}

static void xmm_get(struct xasm *a)
{
	xmm_if_live(a, 0x28);
}

/* For good: where translated code goes on, CR0 and CR4 may be others. */
static void xmm_home(struct xasm *a)
{
	xmm_put(a);
	x_mov_rm_i(a, 1, CPU_MEM(xmm_live), 0);
}

static void call_c(struct xasm *a, void *fn)
{
	x_mov_r_i64(a, X_RAX, (uint64_t)(uintptr_t)fn);
	x_rm(a, 4, 0xff, 2, x_r(X_RAX));
}

static void stack_add(struct xasm *a, int n)
{
	x_alu_rm_i(a, 8, X_ADD, x_r(X_RSP), (uint32_t)n);
}

static void stack_of_c(struct xasm *a)
{
	x_mov_rm_r(a, 8, CPU_MEM(ret_sp), X_RSP);
	x_mov_r_rm(a, 8, X_RSP, CPU_MEM(c_sp));
}

static void stack_of_code(struct xasm *a)
{
	x_mov_r_rm(a, 8, X_RSP, CPU_MEM(ret_sp));
}

/* Of what was called: its own return address is left below the stack, and found again. */
static void called_to_c(struct xasm *a)
{
	stack_add(a, 8);
	stack_of_c(a);
}

static void called_back(struct xasm *a)
{
	stack_of_code(a);
	stack_add(a, -8);
	x_u8(a, 0xc3);
}

/* void enter(cpu, code) */
static void make_enter(struct xasm *a)
{
	for (unsigned i = 0; i < sizeof(saved); i++)
		x_push(a, saved[i]);
	stack_add(a, -8);
	x_mov_r_rm(a, 8, H_CPU, x_r(X_RDI));
	x_mov_rm_r(a, 8, CPU_MEM(c_sp), X_RSP);
	stack_of_code(a);
	x_mov_r_rm(a, 8, H_TMP, x_r(X_RSI));
	x_mov_r_rm(a, 8, H_MEM, CPU_MEM(tcg_base));
	x_mov_r_rm(a, 8, H_BUDGET, CPU_MEM(tcg_left));
	x_mov_rm_i(a, 1, CPU_MEM(xmm_live), 0);
	reload(a);
	x_rm(a, 4, 0xff, 4, x_r(H_TMP));
}

static void make_exit(struct xasm *a, uint8_t **spilled)
{
	spill(a);
	xmm_put(a);
	stack_of_c(a);
	*spilled = a->p;
	stack_add(a, 8);
	for (unsigned i = sizeof(saved); i-- > 0;)
		x_pop(a, saved[i]);
	x_u8(a, 0xc3);
}

static void make_host(struct xasm *a, const uint8_t *spilled)
{
	uint8_t *fail, *at;

	spill(a);
	xmm_put(a);
	x_mov_rm_r(a, 8, CPU_MEM(tcg_tmp[0]), H_T0);
	x_mov_rm_r(a, 8, CPU_MEM(tcg_tmp[1]), H_T1);
	x_mov_r_rm(a, 8, X_RDI, x_r(H_CPU));
	x_mov_r_rm(a, 4, X_RSI, x_r(H_PTR));
	x_mov_r_rm(a, 4, X_RDX, x_r(H_TMP));
	called_to_c(a);
	call_c(a, (void *)(uintptr_t)tcg_host);
	x_test_rm_r(a, 8, x_r(X_RAX), X_RAX);
	fail = x_jcc(a, X_E);
	x_mov_r_rm(a, 8, H_PTR, x_r(X_RAX));
	xmm_get(a);
	reload_volatile(a);
	x_mov_r_rm(a, 8, H_T0, CPU_MEM(tcg_tmp[0]));
	x_mov_r_rm(a, 8, H_T1, CPU_MEM(tcg_tmp[1]));
	called_back(a);
	x_here(a, fail);
	at = x_jmp(a);
	x_to(a, at, spilled);
}

static void load_exit(struct xasm *a, const struct tcache_mem *mem)
{
	x_mov_r_rm(a, 8, X_RDI, x_r(H_CPU));
	x_mov_r_rm(a, 4, X_RAX, CPU_MEM(tcg_exit));
	x_mov_r_i64(a, X_RSI, (uint64_t)(uintptr_t)mem->meta);
	x_alu_rm_r(a, 8, X_ADD, x_r(X_RSI), X_RAX);
}

/* Goes on at the host address in RAX, with all that C code has made anew. */
static void go_to(struct xasm *a)
{
	x_mov_r_rm(a, 8, H_TMP, x_r(X_RAX));
	x_mov_r_rm(a, 8, H_MEM, CPU_MEM(tcg_base));
	x_mov_r_rm(a, 8, H_BUDGET, CPU_MEM(tcg_left));
	reload(a);
	stack_of_code(a);
	x_rm(a, 4, 0xff, 4, x_r(H_TMP));
}

static void make_insn(struct xasm *a, const struct tcache_mem *mem, const uint8_t *spilled)
{
	uint8_t *done, *elsewhere, *at;

	spill(a);
	xmm_put(a);
	load_exit(a, mem);
	called_to_c(a);
	call_c(a, (void *)(uintptr_t)tcg_insn);
	x_alu_rm_i(a, 8, X_CMP, x_r(X_RAX), TCG_INSN_LEAVE);
	elsewhere = x_jcc(a, X_A);
	done = x_jcc(a, X_E);
	x_mov_r_rm(a, 8, H_BUDGET, CPU_MEM(tcg_left));
	xmm_get(a);
	reload(a);
	called_back(a);
	x_here(a, elsewhere);
	go_to(a);
	x_here(a, done);
	x_mov_rm_i(a, 4, CPU_MEM(tcg_exit), TCG_EXIT_DONE);
	at = x_jmp(a);
	x_to(a, at, spilled);
}

/* C code finds where to go on; 0: leaves, with tcg_exit as it is. */
static void go_on(struct xasm *a, void *fn, const uint8_t *fail)
{
	uint8_t *at;

	stack_of_c(a);
	call_c(a, fn);
	x_test_rm_r(a, 8, x_r(X_RAX), X_RAX);
	at = x_jcc(a, X_E);
	x_to(a, at, fail);
	go_to(a);
}

/* Returns where it begins. */
static uint8_t *make_insn_jump(struct xasm *a, const struct tcache_mem *mem, const uint8_t *spilled)
{
	uint8_t *none = a->p, *at, *start;

	x_mov_rm_i(a, 4, CPU_MEM(tcg_exit), TCG_EXIT_DONE);
	at = x_jmp(a);
	x_to(a, at, spilled);
	start = a->p;
	spill(a);
	xmm_home(a);
	load_exit(a, mem);
	go_on(a, (void *)(uintptr_t)tcg_insn_jump, none);
	return start;
}

static void make_indirect(struct xasm *a, const uint8_t *spilled)
{
	x_mov_rm_r(a, 4, CPU_MEM(tcg_target), H_PTR);
	spill(a);
	xmm_home(a);
	x_mov_r_rm(a, 8, X_RDI, x_r(H_CPU));
	go_on(a, (void *)(uintptr_t)tcg_indirect, spilled);
}

/* A RET has not come to where it was guessed to go. Where it has come to says nothing of the
 * indirect jump before it, so there is one for all. */
static void make_ret(struct xasm *a, struct back_tramp *t, const struct tcache_mem *mem)
{
	uint8_t *none, *at;

	t->ret_empty = (uint32_t)(a->p - mem->rw);
	stack_add(a, -8);
	t->ret_missed = (uint32_t)(a->p - mem->rw);
	x_alu_rm_i(a, 8, X_ADD, CPU_MEM(ret_missed), 1);
	back_find_jump(a);
	none = x_jcc(a, X_NE);
	x_rm(a, 4, 0xff, 4, x_m(H_TMP, 8));
	x_here(a, none);
	x_mov_rm_i(a, 4, CPU_MEM(tcg_exit), TCG_EXIT_INDIRECT);
	at = x_jmp(a);
	x_to(a, at, mem->rw + t->indirect);
}

static void make_flags(struct xasm *a)
{
	spill(a);
	xmm_put(a);
	x_mov_rm_r(a, 8, CPU_MEM(tcg_tmp[0]), H_T0);
	x_mov_rm_r(a, 8, CPU_MEM(tcg_tmp[1]), H_T1);
	x_mov_rm_r(a, 8, CPU_MEM(tcg_tmp[2]), H_PTR);
	x_mov_r_rm(a, 8, X_RDI, x_r(H_CPU));
	x_mov_r_rm(a, 4, X_RSI, x_r(H_TMP));
	called_to_c(a);
	call_c(a, (void *)(uintptr_t)tcg_flags);
	xmm_get(a);
	reload_volatile(a);
	x_mov_r_rm(a, 8, H_T0, CPU_MEM(tcg_tmp[0]));
	x_mov_r_rm(a, 8, H_T1, CPU_MEM(tcg_tmp[1]));
	x_mov_r_rm(a, 8, H_PTR, CPU_MEM(tcg_tmp[2]));
	called_back(a);
}

/* Registers that C keeps need not be spilled: nobody looks at the guest's there. */
static void make_call(struct xasm *a, uint32_t (*fn)(struct cpu *cpu, uint32_t arg))
{
	for (unsigned i = 0; i < 8; i++)
		if (is_volatile(i))
			x_mov_rm_r(a, 4, gpr_mem(i), back_reg(i));
	xmm_put(a);
	x_mov_r_rm(a, 8, X_RDI, x_r(H_CPU));
	x_mov_r_rm(a, 4, X_RSI, x_r(H_TMP));
	called_to_c(a);
	call_c(a, (void *)(uintptr_t)fn);
	x_mov_r_rm(a, 4, H_TMP, x_r(X_RAX));
	xmm_get(a);
	reload_volatile(a);
	called_back(a);
}

size_t back_init(struct cpu *cpu, const struct tcache_mem *mem, uint32_t at, size_t len)
{
	struct xasm a = { mem->rw + at, mem->rw + at, mem->rw + at + len, false, 0 };
	struct back_tramp *t = calloc(1, sizeof(*t));
	uint8_t *spilled;

	must(t != NULL);
	cpu->tcg_tramp = t;
	must(back_ret_init(cpu) == 0);
	t->enter = (uint32_t)(a.p - mem->rw);
	make_enter(&a);
	t->exit = (uint32_t)(a.p - mem->rw);
	make_exit(&a, &spilled);
	t->host = (uint32_t)(a.p - mem->rw);
	make_host(&a, spilled);
	t->insn = (uint32_t)(a.p - mem->rw);
	make_insn(&a, mem, spilled);
	t->insn_jump = (uint32_t)(make_insn_jump(&a, mem, spilled) - mem->rw);
	t->indirect = (uint32_t)(a.p - mem->rw);
	make_indirect(&a, spilled);
	make_ret(&a, t, mem);
	back_ret_bottom(cpu, mem->rx + t->ret_empty);
	t->flags = (uint32_t)(a.p - mem->rw);
	make_flags(&a);
	t->trans = (uint32_t)(a.p - mem->rw);
	make_call(&a, tcg_trans);
	t->mmx = (uint32_t)(a.p - mem->rw);
	make_call(&a, tcg_mmx);
	t->xmm = (uint32_t)(a.p - mem->rw);
	xmm_each(&a, 0x28);
	x_mov_rm_i(&a, 1, CPU_MEM(xmm_live), 1);
	x_u8(&a, 0xc3);
	must(!x_overflowed(&a));
	t->end = (uint32_t)(a.p - mem->rw);
	return (size_t)(a.p - a.start);
}

void back_free(struct cpu *cpu)
{
	back_ret_free(cpu);
	free(cpu->tcg_tramp);
	cpu->tcg_tramp = NULL;
}

void back_enter(struct cpu *cpu, const struct tcache_mem *mem, const struct tb *tb)
{
	union {
		const uint8_t *code;
		void (*fn)(struct cpu *cpu, const void *code);
	} enter = { .code = mem->rx + back_tramp(cpu)->enter };

	enter.fn(cpu, mem->rx + tb->entry);
}

uint32_t back_exit(const struct cpu *cpu)
{
	return back_tramp(cpu)->exit;
}

/* ---- links ---- */

static bool loc_in(unsigned loc, unsigned regs)
{
	return is_guest(loc) && (regs >> whole_reg(loc) & 1);
}

static unsigned recipe_slots(const struct recipe *r)
{
	const uint8_t loc[4] = { r->a, r->b, r->c, r->over ? r->over_a : RCP_NO };
	unsigned used = 0;

	for (unsigned i = 0; i < 4; i++)
		if (loc[i] >= RCP_SLOT(0) && loc[i] < RCP_SLOT_HI(RCP_N_SLOTS))
			used |= 1u << ((loc[i] - RCP_SLOT(0)) % RCP_N_SLOTS);
	return used;
}

/* Moves what r takes from guest registers of the set `regs` into cells. True: r has changed. */
static bool recipe_save(struct xasm *a, struct recipe *r, unsigned regs)
{
	uint8_t *loc[4] = { &r->a, &r->b, &r->c, &r->over_a };
	unsigned n = r->over ? 4 : 3;
	bool any = false;

	for (unsigned i = 0; i < n; i++) {
		unsigned reg = whole_reg(*loc[i]), slot;

		if (!loc_in(*loc[i], regs))
			continue;
		slot = (unsigned)__builtin_ctz(~recipe_slots(r));
		x_mov_rm_r(a, 4, slot_mem(slot), back_reg(reg));
		for (unsigned j = i; j < n; j++)
			if (loc_in(*loc[j], 1u << reg))
				*loc[j] = (uint8_t)(is_hi_byte(*loc[j]) ? RCP_SLOT_HI(slot)
									: RCP_SLOT(slot));
		any = true;
	}
	return any;
}

struct link {
	const struct tcache_mem *mem;
	struct tb_edge *e;
	const struct tb *to;
	uint32_t gen;
	/* The flags go into cpu->cc, or CF goes into its cell, if there is code for it. */
	bool global, cc, carry;
	void *(*alloc)(void *opaque, size_t len);
	void *opaque;
};

/* The target asks cpu->fl_desc for flags. */
static bool link_flags(struct xasm *a, const struct link *l)
{
	uint32_t desc = l->e->recipe;
	struct recipe r;

	if (!desc)
		return true;
	memcpy(&r, l->mem->meta + (desc & ~7u), sizeof(r));
	x_bytes(a, l->mem->rw + l->e->keep, l->e->keep_len);
	if (l->cc && rcp_to_cc(a, &r)) {
		x_mov_rm_i(a, 4, CPU_MEM(fl_desc), 0);
		return true;
	}
	if (l->carry && !(desc & 1) && rcp_carry_to_cell(a, &r))
		desc |= 1;
	if (recipe_save(a, &r, l->to->entry_regs)) {
		struct recipe *copy = l->alloc(l->opaque, sizeof(r));

		if (!copy)
			return false;
		*copy = r;
		desc = (uint32_t)((uint8_t *)copy - l->mem->meta) | (desc & 1);
	}
	x_mov_rm_i(a, 4, CPU_MEM(fl_desc), r.op == RCP_CC ? 0 : desc);
	return true;
}

/* -ENOSPC: it does not fit; -ENOMEM. */
static int link_emit(const struct link *l)
{
	struct tb_edge *e = l->e;
	uint8_t *code = l->mem->rw + e->code, *at;
	struct xasm a = { code, code, code + e->code_len, false, 0 };
	const uint8_t *stub = l->mem->rw + e->stub;

	if (l->to->entry_flags && !link_flags(&a, l))
		return -ENOMEM;
	e->gen_at = 0;
	e->global = l->global;
	if (l->gen) {
		x_rm(&a, 4, 0x81, X_CMP, x_m(H_CPU, CPU_OFF(tcg_link_gen) + (l->global ? 4 : 0)));
		e->gen_at = (uint32_t)(a.p - l->mem->rw);
		x_u32(&a, l->gen);
		at = x_jcc(&a, X_NE);
		x_to(&a, at, stub + BACK_STUB_LEN);
	}
	x_alu_rm_i(&a, 8, X_SUB, x_r(H_BUDGET), (uint32_t)(l->to->n_insns - e->refund));
	at = x_jcc(&a, X_NS);
	x_to(&a, at, l->mem->rw + l->to->entry);
	at = x_jmp(&a);
	x_to(&a, at, stub);
	return x_overflowed(&a) ? -ENOSPC : 0;
}

void back_link(struct cpu *cpu, const struct tcache_mem *mem, struct tb_edge *e,
	const struct tb *to, uint32_t gen, bool global, void *(*alloc)(void *opaque, size_t len),
	void *opaque)
{
	/* A target that is sure to ask for flags likes them best in cpu->cc. */
	struct link l = { mem, e, to, gen, global, to->entry_use, to->entry_carry, alloc, opaque };
	int r = link_emit(&l);

	if (r == -ENOSPC && (l.cc || l.carry)) {
		l.cc = l.carry = false;
		r = link_emit(&l);
	}
	must(r != -ENOSPC);
	if (r < 0)
		back_unlink(cpu, mem, e);
}

bool back_relink(const struct tcache_mem *mem, struct tb_edge *e, uint32_t gen, bool global)
{
	if (!e->gen_at || e->global != global)
		return false;
	memcpy(mem->rw + e->gen_at, &gen, sizeof(gen));
	return true;
}

void back_set_page2(const struct tcache_mem *mem, struct tb *tb, uint32_t gen)
{
	tb->page2_gen = gen;
	memcpy(mem->rw + tb->page2_at, &gen, sizeof(gen));
}

void back_unlink(struct cpu *cpu, const struct tcache_mem *mem, struct tb_edge *e)
{
	uint8_t *code = mem->rw + e->code, *at;
	struct xasm a = { code, code, code + e->code_len, false, 0 };

	e->gen_at = 0;
	x_mov_rm_i(&a, 4, CPU_MEM(tcg_exit), (uint32_t)((uint8_t *)e - mem->meta) | TCG_EXIT_EDGE);
	at = x_jmp(&a);
	x_to(&a, at, mem->rw + edge_way_out(cpu, e));
}
