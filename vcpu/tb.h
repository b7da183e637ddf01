/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Translated blocks: what the back end (back_x86.c), the cache (tcache.c) and the engine (tcg.c)
 * share. docs/translator.md has the picture.
 *
 * Registers while translated code runs: guest EAX ECX EDX EBX EBP ESI EDI in their 64-bit
 * namesakes (upper halves 0), ESP in r12; r13 = cpu->tcg_base (run_tlb, or a window's base), r14 =
 * cpu, r15 = budget; r8-r11 are free, rsp is a stack of return addresses (back_ret.c).
 *
 * Budget: when a block is entered, its whole number of instructions has been taken off r15, and
 * r15 >= 0. So, before instruction k of a block of n, icount = tcg_end - r15 - (n - k).
 */
#ifndef DEJAVM_TB_H
#define DEJAVM_TB_H

#include <signal.h>
#include <ucontext.h>

#include "cpu.h"
#include "ir.h"

/*
 * How to compute the arithmetic flags when somebody asks for them: the operation that defined them
 * and where its operands are now. At every exit the translator knows one such recipe; where blocks
 * meet, cpu->fl_desc has it.
 */
enum recipe_op {
	RCP_CC,	   /* cpu->cc has them */
	RCP_ENTRY, /* (within a block) cpu->fl_desc says */
	RCP_ADD,   /* a: result, b: addend */
	RCP_SUB,   /* a: result, b: subtrahend */
	RCP_CMP,   /* a - b */
	RCP_LOGIC, /* a: result */
	RCP_TEST,  /* a & b */
	RCP_INC,   /* a: result; CF is in cpu->fl_c */
	RCP_DEC,
	RCP_NEG, /* a: result */
	RCP_ADC, /* a, b, c: both operands and the result */
	RCP_SBB,
	RCP_SHL, /* a: operand, b: count 0..31; 0: cpu->cc has them */
	RCP_SHR,
	RCP_SAR,
	RCP_ROL, /* a: result; the flags other than CF and OF are in cpu->cc; b: count as above */
	RCP_ROR,
	RCP_SHLD, /* a: operand, b: count, c: the other operand */
	RCP_SHRD,
	RCP_IMUL, /* a, b: the factors */
	RCP_MULX, /* a, b: low and high half of the product, of size bytes each */
	RCP_IMULX,
	RCP_BT,	   /* CF is in cpu->fl_c, the others in cpu->cc */
	RCP_COMI,  /* of comparisons of reals; a: bit 0 is CF, bit 8 ZF; PF if both, no other */
	RCP_PTEST, /* the same, but PF is 0 */
	RCP_SAHF,  /* a (size 1): all but OF, which is in cpu->cc */
	RCP_N
};

/* Where an operand is: a guest register (enum ir_reg up to IR_BH, as size says), a cell of
 * cpu->fl_slot[] (its bits 8-15), or the recipe's imm. */
#define RCP_SLOT(n)    (16 + (n))
#define RCP_SLOT_HI(n) (24 + (n))
#define RCP_N_SLOTS    8
#define RCP_IMM	       40
#define RCP_NO	       255

struct recipe {
	uint8_t op; /* enum recipe_op */
	uint8_t size;
	uint8_t a, b, c;
	/* On top of op, what leaves some of its flags: RCP_ROL or RCP_ROR by a count of at least 1,
	 * its result and size; RCP_SAHF and its operand; 0: none. Not with RCP_CC and RCP_ENTRY,
	 * nor with those that have CF in cpu->fl_c. */
	uint8_t over, over_a, over_size;
	uint32_t imm;
};

/* Computes cpu->cc from r, with registers and cells of cpu; r->op is not RCP_ENTRY. */
void recipe_eval(struct cpu *cpu, const struct recipe *r);

/*
 * What translated code says when it is left: cpu->tcg_exit, an offset of a struct in the metadata
 * arena (tcache.h) with one of these in the low 3 bits.
 */
enum tcg_exit {
	TCG_EXIT_DONE,	   /* (whole value 0) an instruction was executed; cpu has everything */
	TCG_EXIT_STEP,	   /* struct tb_exit: the interpreter goes on at its instruction */
	TCG_EXIT_EDGE,	   /* struct tb_edge: not linked */
	TCG_EXIT_BUDGET,   /* struct tb_edge: r15 < 0 after the target's count was taken off */
	TCG_EXIT_STALE,	   /* struct tb_edge: linked under a generation that is over */
	TCG_EXIT_INDIRECT, /* struct tb_exit (offset 0: one that says nothing): goes on at
			      cpu->tcg_target, which is not in the jump cache; r15 as at an edge
			      that gives back nothing */
	TCG_EXIT_HEAD,	   /* struct tb: entered by the jump cache, and r15 < 0 after its count */
};

struct tb_exit {
	struct tb *tb;
	uint32_t recipe; /* offset of a struct recipe in the arena, bit 0 set if cpu->fl_c
			    has its CF; 0: cpu->fl_desc says */
	uint16_t insn;	 /* index of the instruction */
	/* For tcg_insn(): it does not ask for flags; it defines them all, if it does not fault; it
	 * may change what code relies on (E_SYNC); what follows relies on MXCSR in the host's;
	 * enum block_end. */
	bool quiet, sets, sync, fp;
	uint8_t end;
};

/* A way from one block to a fixed address. */
struct tb_edge {
	struct tb *from, *to;	 /* to: NULL if not linked */
	struct tb_edge *next_in; /* of to->in */
	uint32_t target;	 /* guest address */
	uint32_t recipe;	 /* as above */
	uint32_t code, code_len; /* offset in the code cache: room for what back_link() writes */
	uint32_t copy;		 /* tcache.c's: offset of the recipe that back_link() made, or 0 */
	uint32_t gen_at;	 /* offset of the generation there that it compares, or 0 */
	uint32_t stub;		 /* out of line: TCG_EXIT_BUDGET, then TCG_EXIT_STALE */
	/* Code that puts a memory operand into the recipe's cell: keep_len bytes at offset keep,
	 * then a jump to the exit. 0: the recipe needs none. */
	uint32_t keep, keep_len;
	uint16_t refund; /* instructions of from that were not executed when it leaves here */
	bool global;	 /* which generation: tcg_link_gen[] */
	bool other_page; /* target lies in another page than from */
};

/* May accesses of a block share a look-up in the tables? cpu->tcg_share. READS: while writes are
 * observed (mmu_observe()). */
enum share_use { SHARE_OFF, SHARE_READS, SHARE_ALL };

#define TB_MAX_EDGES (IR_MAX_EDGES + 1) /* one to where a CALL returns */
#define TB_MAX_EXITS (2 * IR_MAX_INSNS)

/*
 * Where a host's fault in translated code comes from: an access of a guest instruction by a window
 * (window.h).
 */
struct tb_fault {
	uint32_t from; /* offset in the code cache; up to the next one's */
	uint32_t id;   /* struct tb_exit of the instruction, as in tcg_exit */
	uint32_t stub; /* offset of the code that leaves to the interpreter; 0: back_exit() */
	uint8_t size;  /* bytes */
	bool write;    /* of the whole instruction: read-modify-write counts as a write */
	bool aligned;  /* #GP(0) comes first if it is not to 16 bytes */
	bool rep;      /* REP MOVS, REP STOS: host's RSI, RDI are addresses of the next iteration */
};

/* key: KEY_* of icache.h, and: */
#define KEY_STACK32 0x08u /* SS.B; only without KEY_FLAT, which says it too */
#define KEY_FS_BIG  0x10u /* FS: limit 4 GiB - 1, readable and writable: only its base is added */
#define KEY_GS_BIG  0x20u
#define KEY_WINDOW  0x40u /* memory is accessed by a window: r13 is its base */
#define KEY_PARAS   0x80u /* real or virtual-8086 mode: a selector is a base */
/* The number of the code segment; 0: base 0, limit 4 GiB - 1. */
#define KEY_CS_SHIFT 8
#define KEY_CS_MAX   0xfffu
#define KEY_BITS     20

struct tb {
	struct tb *hash_next; /* tcache.c's; beside what it looks for */
	uint32_t eip, len;    /* guest code: one piece of one page */
	uint32_t lin;	      /* eip's linear address */
	uint32_t page;	      /* identity of the page: CODE_PAGE_* of mmu.h */
	uint32_t key;
	/* If the last instruction goes on in the next page: that one's identity, and the generation
	 * of links (global or not) under which it was found; else CODE_PAGE_NONE. The code asks
	 * whether the generation is over; page2_at: offset of the number there. */
	uint32_t page2, page2_gen, page2_at;
	bool page2_global;
	uint16_t n_insns;
	bool dead;	    /* written to, or flushed: not found, not linked to */
	bool entry_flags;   /* wants the flags of the entry: back_link() */
	bool entry_use;	    /* an instruction of it surely reads them */
	bool entry_carry;   /* wants their CF in cpu->fl_c */
	uint8_t entry_regs; /* guest registers that it changes while it may want them; 0xff: it may
			       leave without having redefined them */
	uint32_t code, code_len;  /* offset of the block's code in the cache, bytes */
	uint32_t entry, indirect; /* entry points: from edges; from the jump cache (takes the
				     count off itself) */
	uint16_t n_edges, n_exits, n_faults;
	uint16_t n_looked_up, n_shared;	   /* accesses by the tables; by another one's look-up */
	struct tb_edge *edge;		   /* [n_edges] */
	struct tb_exit *exit;		   /* [n_exits] */
	struct tb_fault *fault;		   /* [n_faults], by offset */
	struct insn *insn;		   /* [n_insns] */
	uint32_t *insn_eip;		   /* [n_insns + 1] */
	struct tb_edge *in;		   /* edges that lead here */
	struct tb *page_next, *page2_next; /* tcache.c's */
	uint64_t entered;		   /* by the engine, for -d stats */
};

/*
 * The jump cache: translated code looks up targets of indirect jumps here. tag: guest address in
 * the low half (EIP), cpu->tcg_gen in the upper: the key, and above it a generation.
 */
#define JUMP_CACHE_BITS 16
struct jump_entry {
	uint64_t tag;
	const void *code; /* tb's indirect entry */
};
static inline unsigned jump_cache_index(uint32_t eip)
{
	return eip & ((1u << JUMP_CACHE_BITS) - 1);
}

/* ---- tcache.c: memory ---- */
/*
 * Code is written through one mapping and executed through another (W^X). Offsets count from the
 * start of either. Metadata lie in an arena below 4 GiB of size, so that offsets are 32 bits;
 * offset 0 has TCACHE_META_ZERO bytes of 0; allocations are multiples of 8 bytes, zeroed, and freed
 * all at once with the region of the code they belong to.
 */
#define TCACHE_META_ZERO 32u
struct tcache_mem {
	uint8_t *rw;
	const uint8_t *rx;
	uint8_t *meta;
};

/* ---- back_x86.c ---- */
/* Emits the entry and exit code into [at, at + len) of the code cache. Returns bytes used. */
size_t back_init(struct cpu *cpu, const struct tcache_mem *mem, uint32_t at, size_t len);
void back_free(struct cpu *cpu);
/*
 * Emits ir's code at offset `at`, at most len bytes, filling in tb (code, entries, edges, exits;
 * allocated by the caller: edge[TB_MAX_EDGES], exit[TB_MAX_EXITS]; n_* are set). alloc: metadata
 * for recipes. Returns bytes used, or 0 if len was not enough, or 1 if the block has too much in
 * it: try again with half as many instructions.
 */
size_t back_emit(struct cpu *cpu, const struct tcache_mem *mem, const struct ir_block *ir,
	struct tb *tb, uint32_t at, size_t len, void *(*alloc)(void *opaque, size_t len),
	void *opaque);
/*
 * Makes e go on in `to` directly, under generation gen (0: for good, same page); e->to and to->in
 * are the caller's to set. back_unlink(): makes it leave to the engine again.
 */
void back_link(struct cpu *cpu, const struct tcache_mem *mem, struct tb_edge *e,
	const struct tb *to, uint32_t gen, bool global, void *(*alloc)(void *opaque, size_t len),
	void *opaque);
void back_unlink(struct cpu *cpu, const struct tcache_mem *mem, struct tb_edge *e);
/* e leads where it led, under generation gen. False: it has to be linked anew. */
bool back_relink(const struct tcache_mem *mem, struct tb_edge *e, uint32_t gen, bool global);
/* tb's second page was found again, under generation gen. */
void back_set_page2(const struct tcache_mem *mem, struct tb *tb, uint32_t gen);
/*
 * Runs translated code from tb's entry until it leaves. Before: cpu->gpr, cpu->fl_desc, cpu->cc
 * valid, cpu->tcg_end set, and cpu->tcg_left = tcg_end - icount - tb->n_insns >= 0. After:
 * cpu->gpr, cpu->tcg_left (r15), cpu->tcg_exit; eip, icount and flags are the engine's to compute
 * from the exit, unless it is TCG_EXIT_DONE.
 */
void back_enter(struct cpu *cpu, const struct tcache_mem *mem, const struct tb *tb);

/*
 * Where translated code has guessed that calls return to is not to be relied on: the key has
 * changed, or a generation of links, or memory of code is about to be used again. Not while
 * translated code runs, but in what it calls for an instruction.
 */
void back_drop_returns(struct cpu *cpu);
/* SIGSEGV, if the back end has meant it: uc is right then. False: it has not. */
bool back_fault(struct cpu *cpu, const siginfo_t *si, ucontext_t *uc);

/* Offset of the code that leaves, when cpu->tcg_exit is set and the guest's registers are in the
 * host's. */
uint32_t back_exit(const struct cpu *cpu);

/* ---- called by translated code (tcg.c) ---- */
/*
 * The inline path to memory did not do: lin is the address; kind: size, and TCG_HOST_WRITE. Returns
 * the host address, or 0: leave to the interpreter (TCG_EXIT_STEP). Must not raise.
 */
#define TCG_HOST_WRITE 0x80u
uint64_t tcg_host(struct cpu *cpu, uint32_t lin, uint32_t kind);
/*
 * Executes instruction x->insn of x->tb by its handler, with exact state: eip and icount are
 * computed before, and flags, unless it is `quiet`: then fl_desc says; cpu->tcg_left is r15, and
 * is updated (REP). Returns 0 if the block may go on with the next instruction; else the
 * instruction is finished and counted, eip set, and the result is TCG_INSN_LEAVE (TCG_EXIT_DONE)
 * or the host address of code to go on at, as tcg_insn_jump()'s. May raise (longjmp to the engine's
 * catch).
 */
#define TCG_INSN_LEAVE 1u
uint64_t tcg_insn(struct cpu *cpu, const struct tb_exit *x);
/* A transcendental instruction of the x87, whose state is in the host's. 0: its handler has to do
 * it. */
uint32_t tcg_trans(struct cpu *cpu, uint32_t modrm);
/* Brings the x87 state to the host's for an MMX instruction. 0: it may not go there. */
uint32_t tcg_mmx(struct cpu *cpu, uint32_t unused);
/*
 * The same for an instruction that says where to go on. Returns the host address of code to go on
 * at, with cpu->tcg_left and tcg_base anew, or 0 (TCG_EXIT_DONE).
 */
uint64_t tcg_insn_jump(struct cpu *cpu, const struct tb_exit *x);
/*
 * cpu->tcg_target is not in the jump cache: host address of code to go on at, as from there, or 0:
 * leave (TCG_EXIT_INDIRECT). Must not raise.
 */
uint64_t tcg_indirect(struct cpu *cpu);
/* Computes cpu->cc from recipe (offset; 0: fl_desc) and sets fl_desc to RCP_CC. */
void tcg_flags(struct cpu *cpu, uint32_t recipe);

#endif
