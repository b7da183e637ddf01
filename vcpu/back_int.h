/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the x86-64 back end share: back_x86.c (blocks), back_mem.c (memory), back_alu.c
 * (operations with flags), back_flags.c (recipes), back_jump.c (ways out), back_tramp.c (entry,
 * exits, links), and the rest of back_*.c. */
#ifndef DEJAVM_BACK_INT_H
#define DEJAVM_BACK_INT_H

#include "asm_x86.h"
#include "mem.h"
#include "tb.h"

/* Host registers of the guest's and of ours: tb.h */
#define H_ESP	 X_R12
#define H_MEM	 X_R13 /* cpu->tcg_base */
#define H_CPU	 X_R14
#define H_BUDGET X_R15
#define H_PTR	 X_R8 /* h */
#define H_TMP	 X_R9 /* within one op */
#define H_T0	 X_R10
#define H_T1	 X_R11

#define CPU_OFF(member) ((int32_t)offsetof(struct cpu, member))
#define CPU_MEM(member) x_m(H_CPU, CPU_OFF(member))
/* For those that include fpu.h */
#define FPU_MEM(member) x_m(H_CPU, (int32_t)(CPU_FPU_OFFSET + offsetof(struct fpu, member)))

/* Offset of the write entries in a pair of fast tables (mem.h). */
#define TLB_WRITE_OFF ((int32_t)(TLB_STRIDE * 8))

/* What translated code calls and jumps to, as offsets in the code cache. */
struct back_tramp {
	uint32_t enter;
	uint32_t exit;	     /* tcg_exit is set: spill, leave */
	uint32_t host;	     /* call: lin in r8d, kind in r9d; gives h in r8 or leaves */
	uint32_t insn;	     /* call: tcg_exit is an offset of a struct tb_exit */
	uint32_t insn_jump;  /* jump: the same */
	uint32_t indirect;   /* jump: the same; target in r8d */
	uint32_t ret_missed; /* jump: goes on at r8d by the jump cache */
	uint32_t ret_empty;  /* the same, for a RET that has found nothing on the stack */
	uint32_t flags;	     /* call: recipe's offset in r9d; then cpu->cc is valid */
	uint32_t xmm;	     /* call: the host's XMM registers become the guest's */
	uint32_t trans;	     /* call: fpu_trans(r9d); its value in r9d */
	uint32_t mmx;	     /* call: the x87 state goes to the host; r9d: has it? */
	uint32_t end;
};

/* FIP and its kin that have not been written down. */
struct fpu_note {
	bool any, mem, cell; /* cell: which of cpu->fpu_ea[] has the address */
	uint8_t seg;
	uint16_t fop;
	uint32_t fip;
};

/* A jump from the main line to code that is emitted after it. */
struct cold {
	uint8_t *jump;	  /* displacement */
	uint8_t *jump2;	  /* another one, or NULL */
	uint8_t *jump3;	  /* COLD_FPU: and another */
	uint8_t *more[6]; /* COLD_REP: others, after which the budget is as it was */
	unsigned n_more;
	uint8_t *back; /* where it returns to */
	const struct ir_op *op;
	uint32_t id; /* exit or recipe */
	enum {
		COLD_HOST,
		COLD_SHARE,
		COLD_STEP,
		COLD_SHIFT,
		COLD_CARRY,
		COLD_FLAGS,
		COLD_INDIRECT,
		COLD_FPU,
		COLD_XMM,
		COLD_FAULT,
		COLD_REP,
		COLD_REP_FAULT
	} kind;
	struct fpu_note note; /* as it was there */
	bool fpu_mem, cell;   /* COLD_FPU */
	bool makes_flags;     /* COLD_FPU: of the host, too */
	bool is_mmx;	      /* COLD_XMM */
	int32_t delta;	      /* COLD_SHARE: from the group's leader */
	unsigned fault;	      /* COLD_FAULT, COLD_REP_FAULT: index */
	bool is_cc;	      /* COLD_SHIFT: cpu->cc has them already */
};
#define MAX_COLD  256
#define MAX_FAULT 256

/* Of each of an edge's two stubs. */
#define BACK_STUB_LEN 13

/* A memory operand that the flags' recipe finds in a cell, once it is stored there. */
struct keep {
	bool on;
	uint8_t size, slot;
	struct xrm h;
};

/* Accesses that share a look-up (back_share.c); A is the guest address of the first one. */
struct share {
	bool on;      /* there is such a group, and H_PTR is its */
	bool write;   /* it was looked up for writing */
	bool counted; /* H_T1 has A's page offset, or SHARE_LOST */
	uint8_t seg, index, scale;
	uint8_t size;	/* of the leader's operand, which is in its page */
	uint16_t known; /* registers r by which A = r + (index << scale) + disp[r]; bit 8: none */
	uint32_t disp[9];
	/* [A + sure, A + sure + sure_len) is in its place at H_PTR. */
	int32_t sure;
	uint8_t sure_len;
	bool sure_write; /* for writes, too */
};

struct back {
	struct xasm a;
	struct cpu *cpu;
	const struct tcache_mem *mem;
	const struct ir_block *ir;
	struct tb *tb;
	void *(*alloc)(void *opaque, size_t len);
	void *opaque;
	const struct ir_op *op; /* in work */
	struct xrm h;		/* where IR_MEM is */

	/* The flags at this point (tb.h): how to compute them; which of the host's flags are the
	 * guest's; whether cpu->fl_c is CF. */
	struct recipe rcp;
	uint32_t rcp_id; /* 0: not stored yet (or RCP_ENTRY) */
	uint8_t host_valid;
	bool cell_valid;
	uint32_t cc_id;	  /* a stored RCP_CC */
	bool entry_used;  /* RCP_ENTRY was asked for */
	bool entry_carry; /* its CF was, in the cell */
	/* Of the comparison before the jump in work; of each edge. */
	struct keep keep, edge_keep[TB_MAX_EDGES];

	struct fpu_note note;
	struct cold *gate;	  /* of the x87 or SSE instruction in work */
	bool sse_gated, fp_gated; /* XMM registers, MXCSR are the guest's */
	bool fpu_gated;		  /* C1 is most likely where it belongs */
	bool drops_c1;		  /* what is in work says so */

	/* Jumps to instructions behind. */
	struct {
		uint8_t *jump;
		uint8_t insn;
		bool sse_gated, fp_gated; /* as they were there */
	} join[IR_MAX_INSNS];
	unsigned n_joins;
	unsigned skip; /* ops that are done already */

	struct share share;
	unsigned n_looked_up, n_shared; /* accesses by the tables; of these, followers */

	struct tb_exit *exit; /* of the present instruction and recipe, or NULL */
	/* Memory by a window; the accesses so far; cells that the recipe of the instruction's start
	 * needs. */
	bool window, gs; /* gs: GS's base is the window's */
	unsigned n_faults;
	unsigned insn_slots;
	struct tb_fault fault[MAX_FAULT];

	struct cold cold[MAX_COLD];
	unsigned n_cold;
	bool too_big;
	bool bmi2;    /* the host has SHLX and friends */
	bool returns; /* CALL and RET are the host's: back_ret.c */
};

static inline struct back_tramp *back_tramp(const struct cpu *cpu)
{
	return (struct back_tramp *)cpu->tcg_tramp;
}

/* Where an edge's ways to C lead: offset in the code cache. */
static inline uint32_t edge_way_out(const struct cpu *cpu, const struct tb_edge *e)
{
	return e->keep_len ? e->keep : back_tramp(cpu)->exit;
}

static inline uint32_t meta_off(const struct back *k, const void *p)
{
	return (uint32_t)((const uint8_t *)p - k->mem->meta);
}

/* Host register of a guest register, temporary, or AH..BH. */
unsigned back_reg(unsigned ir_reg);
static inline bool is_hi_byte(unsigned r)
{
	return r >= IR_AH && r <= IR_BH;
}
static inline bool is_guest(unsigned r)
{
	return r <= IR_BH;
}
/* The guest register that r is (a part of). */
static inline unsigned whole_reg(unsigned r)
{
	return is_hi_byte(r) ? r - IR_AH : r;
}
static inline struct xrm slot_mem(unsigned slot)
{
	return x_m(H_CPU, CPU_OFF(fl_slot) + 4 * (int32_t)slot);
}

/* ---- back_flags.c ---- */
/* Offset of the present recipe, stored now if need be; 0: RCP_ENTRY. */
uint32_t rcp_store(struct back *k);
void rcp_set(struct back *k, enum recipe_op op, unsigned size, unsigned a, unsigned b, unsigned c,
	uint32_t imm, unsigned host_valid);
/* The guest register r is about to change, and the recipe stays in force: saves what it needs. */
void rcp_clobber(struct back *k, unsigned r);
/* A cell that the present recipe does not use, nor is one of `also` (a set of bits). */
unsigned slot_alloc(const struct back *k, unsigned also);
/* The cells that it uses. */
unsigned rcp_slots(const struct back *k);
/* Code for cpu->cc = r's flags, in terms of the guest's registers; false: there is none, it has to
 * be a call. */
bool rcp_to_cc(struct xasm *a, const struct recipe *r);
/* The same for cpu->fl_c = r's CF. */
bool rcp_carry_to_cell(struct xasm *a, const struct recipe *r);
/* The flags of `mask` are in the host's flags afterwards. */
void flags_to_host(struct back *k, unsigned mask);
/* cpu->cc has all flags afterwards, and the recipe is RCP_CC. The host's flags are lost. */
void flags_to_cc(struct back *k);
/* cpu->fl_c has CF afterwards. The host's flags may be lost. */
void carry_to_cell(struct back *k);
/* Loads the host's flags from cpu->cc. */
void load_cc(struct xasm *a);
/* The host's flags are those of a comparison: op is RCP_COMI or RCP_PTEST. */
void rcp_set_comparison(struct back *k, enum recipe_op op, unsigned host_valid);
void call_flags(struct back *k, uint32_t id);

/* ---- back_alu.c ---- */
/* The operand goes to its cell. No flags; H_TMP is lost. */
void emit_keep(struct back *k, const struct keep *keep);
/* IR_ADD..IR_XOR, IR_CMP as the assembler's. */
enum x_alu alu_code(unsigned op);
void emit_alu(struct back *k);	 /* ADD..XOR, ADC, SBB */
void emit_cmp(struct back *k);	 /* CMP, TEST */
void emit_unary(struct back *k); /* INC, DEC, NEG, NOT */
void emit_mul(struct back *k);	 /* IMUL MULX IMULX */
void emit_bit(struct back *k);	 /* BT.. BSF BSR */
void emit_carry(struct back *k); /* CLC STC CMC */
void emit_setcc(struct back *k);
void emit_cmov(struct back *k);

/* One op's operands. AH..BH cannot be encoded together with R8-R15: then they change places with
 * AL..BL for the time of the op. */
struct args {
	unsigned size, dst, a, b;
	bool keep;	  /* a recipe is wanted */
	unsigned swapped; /* IR_EAX..IR_EBX, or IR_NONE */
};
/* saves: the op uses H_TMP or cells. */
struct args args_begin(struct back *k, bool saves);
void args_end(struct back *k, const struct args *s);
/* H_TMP = operand r; a narrow one is zero-extended. No flags. */
void load_tmp(struct back *k, unsigned size, unsigned r);
/* Keeps operand r in a cell. No flags. */
void keep_operand(struct back *k, const struct args *s, unsigned r, unsigned slot);

/* ---- back_shift.c ---- */
void emit_shift(struct back *k); /* SHL SHR SAR ROL ROR SHLD SHRD */
void emit_sahf(struct back *k);

/* ---- back_div.c ---- */
void emit_div(struct back *k);

/* ---- back_sys.c ---- */
/* The interpreter's handler does the instruction of exit id, then goes on here, or leaves. */
void call_insn(struct back *k, uint32_t id);
void emit_getfl(struct back *k);
void emit_efl(struct back *k);
void emit_getseg(struct back *k);
void emit_limit(struct back *k);
void emit_setseg(struct back *k);
void emit_dir(struct back *k);
void emit_rdtsc(struct back *k);
void emit_calli(struct back *k);
void emit_callj(struct back *k);

/* ---- back_fpu.c ---- */
/*
 * At a gate: the guest register that the instruction is going to write is about to change, here or
 * out of line. What the recipe needs of it is saved on both ways.
 */
void gate_clobber(struct back *k);
void emit_fpu_gate(struct back *k);
/* back_sse.c */
void emit_sse_gate(struct back *k);
void emit_sse(struct back *k);
void cold_xmm(struct back *k, struct cold *c);
void emit_fpu(struct back *k);
void cold_fpu(struct back *k, const struct cold *c);
struct xrm fpu_cell(unsigned cell);
void fpu_note_emit(struct back *k, const struct fpu_note *n);
/* Nothing is left to be written down after this. No flags change. */
void fpu_note_flush(struct back *k);

/* ---- back_ret.c ---- */
/* cpu's stack, empty; -1: no memory. What is at its end: an address of code. */
int back_ret_init(struct cpu *cpu);
void back_ret_free(struct cpu *cpu);
void back_ret_bottom(struct cpu *cpu, const uint8_t *empty);
/* op, which ends the block, is to be a call of the host's; emit_pad() comes behind it. */
bool is_call(const struct back *k, const struct ir_op *op);
void emit_pad(struct back *k);

/* ---- back_rep.c ---- */
/* A string instruction with REP, but for its flags and the recipe, which the caller has seen to.
 * False: it has to be a call. The handler is called with the exit of COLD_REP's id. */
bool emit_rep(struct back *k);
void cold_rep(struct back *k, const struct cold *c);
void cold_rep_fault(struct back *k, const struct cold *c);

/* ---- back_x86.c ---- */
/* Says why (id: a record with TCG_EXIT_*), and leaves. */
void leave(struct back *k, uint32_t id);
/* The same by what is at offset `out` and leads to C. */
void leave_by(struct back *k, uint32_t id, uint32_t out);
struct cold *cold_add(struct back *k, unsigned kind, uint8_t *jump);
/* If cond, leaves to the interpreter by exit id. The record, which may take another jump; NULL:
 * there is no room. */
struct cold *leave_if(struct back *k, uint32_t id, enum x_cond cond);
/* The exit to the interpreter at the present instruction. */
uint32_t exit_id(struct back *k);
/* As x_rm's operand: a register, or IR_MEM. */
struct xrm operand(const struct back *k, unsigned r);

/* ---- back_jump.c ---- */
void emit_insn(struct back *k); /* IR_INSN: jumps of the block may lead there */
/* Does a jump of the block lead to the instruction of that index? */
bool is_joined(const struct back *k, unsigned insn);
void emit_jcc(struct back *k); /* JCC, JZR, JNZR */
/* These end the block: at a fixed address, whose edge comes next, or behind the pad; at what a
 * register says. */
void emit_jump(struct back *k);
void emit_jump_reg(struct back *k);
/* The guest address in H_PTR as a key of the jump cache: H_TMP is the entry, host flag Z: it is
 * its. R11 is lost. */
void back_find_jump(struct xasm *a);
/* An edge where all is known: no flags, nothing to give back. */
struct tb_edge *edge_plain(struct back *k, uint32_t target);
/* Room of len bytes for the link, and in it what leaves if there is none: a->p is where the edge's
 * code goes. */
void place_edge(struct back *k, struct tb_edge *e, uint32_t len);
/* After the block's last op: its last edge, which comes next, and those that jumps lead to. */
void place_edges(struct back *k);
/* Their ways to C. */
void place_edge_stubs(struct back *k);
/* Pushes the address where code at `at` is executed. H_TMP is lost. */
void push_rx(struct back *k, const uint8_t *at);

/* ---- back_share.c ---- */
/* The access in work has been looked up: others may follow it. */
void share_lead(struct back *k);
/* The access in work by the group, if that can be; k->h is set. */
bool share_follow(struct back *k);
/* Out of line, H_PTR being the follower's host address: what the main line expects. */
void share_cold(struct back *k, const struct cold *c);
void share_end(struct back *k);
/* The op in work has been emitted; a.named was 0 before. share_named(): a part of it. */
void share_op(struct back *k);
void share_named(struct back *k);

/* ---- back_mem.c ---- */
/* dst = a + (b << scale) + imm, 32 bits */
void load_address(struct xasm *a, const struct ir_op *op, unsigned dst);
void emit_host(struct back *k);
void cold_host(struct back *k, const struct cold *c);
/* Registers that are about to be used otherwise, for an access by IR_MEM: if it faults by a window,
 * it does so now. No flags. */
void mem_touch(struct back *k);

#endif
