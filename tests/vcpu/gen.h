/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random programs that mostly go on: valid instructions with operands that mostly lie in memory,
 * jumps to instructions, some accesses that cross pages, hit code or fault.
 */
#ifndef DEJAVM_TEST_GEN_H
#define DEJAVM_TEST_GEN_H

#include "harness.h"

#define GEN_CODE_LEN 8192u

struct gen {
	uint64_t program;  /* its seed */
	uint64_t seed;	   /* of the next number */
	uint8_t *code;	   /* GEN_CODE_LEN bytes */
	uint32_t at, base; /* next byte; linear address of the first one */
#define GEN_INSNS_MAX 2000u
	uint32_t start[GEN_INSNS_MAX + 48]; /* offsets of instructions */
	unsigned n;
	struct {
		uint32_t at;
		unsigned size;	     /* of a displacement; 5: an address of 4 bytes */
		bool is_abs, is_far; /* GEN_SEGS: an offset; a selector behind it */
	} jump[1024];
	unsigned n_jumps;
	bool code16, fpu, sse, sys;
	bool addr16; /* of the instruction in work */
	/* Of GEN_SEGS */
	bool segs, user;
	enum { GEN_REAL, GEN_V86, GEN_SEG16, GEN_SEG32 } mode;
	uint32_t cs_base[2], cs_limit[2]; /* two ways to the same code */
	uint32_t edge;			  /* offset of the last byte of some data segment */
	uint16_t cs_sel[2], ss_sel;
	uint32_t esp, eflags; /* what handlers go back with */
	bool ts;	      /* with sse: CR0.TS comes and goes */
	/* Of GEN_CALLS */
	bool calls;
#define GEN_FUNCTIONS 64u
	uint32_t function[GEN_FUNCTIONS]; /* offsets of the last ones */
	unsigned n_functions, depth;	  /* depth: of the one in work */
	unsigned n_bulks;		  /* calls of gen_bulk() */
};

/* In a seed: a program in segments that are not flat (gen_seg.c). */
#define GEN_SEGS (1ull << 40)
/* A program of functions (gen_calls.c). */
#define GEN_CALLS (1ull << 41)

uint32_t gen_random(struct gen *g);
/* Fills vm's code, sets up handlers, paging, registers and flags, by seed. */
void gen_build(struct gen *g, struct vm *vm, uint64_t seed);
/* Runs n instructions in slices of at most max (1: one each, > 8: always max). Ends early at a
 * shutdown or an endless halt. */
void gen_run(struct vm *vm, uint64_t n, unsigned max);
/* Compares all state; prints what differs with `what` (unless that is NULL), returns 0 if nothing
 * does. */
int gen_compare(const char *what, struct vm *a, struct vm *b);

/* ---- what gen.c and gen_sys.c share ---- */
/*
 * Has draw() fill len bytes at `to`, by g alone. A program is built in two machines: in the second,
 * what the first one got is copied.
 */
#define GEN_BULK_MAX 0x40000u
typedef void gen_draw_fn(struct gen *g, uint8_t *to, uint32_t len);
void gen_bulk(struct gen *g, uint8_t *to, uint32_t len, gen_draw_fn *draw);
/* Random words; len: a power of 2, at least 256. */
gen_draw_fn gen_draw_words;
void gen_put(struct gen *g, uint32_t v, unsigned n);
/* Four bytes that become the address of an instruction. */
void gen_put_target(struct gen *g);
void gen_put_mem(struct gen *g, unsigned reg);
void gen_put_insn(struct gen *g);
/* gen_calls.c: a function or a call of one. */
void gen_put_call(struct gen *g);
/* The same as an offset of size bytes; with a selector behind it. */
void gen_put_near(struct gen *g, unsigned size);
void gen_put_far(struct gen *g, unsigned size);
/* gen_seg.c: which mode; prefixes of segment and address size; jumps, and what jump i says when it
 * leads to `to` (false: it is a short one); an instruction about segments; the machine. */
void gen_choose_segs(struct gen *g, struct vm *vm);
void gen_put_prefixes(struct gen *g);
void gen_put_jump_segs(struct gen *g);
bool gen_patch_segs(struct gen *g, unsigned i, uint32_t to);
void gen_put_seg(struct gen *g);
uint32_t gen_target(struct gen *g, unsigned cs);
void gen_build_segs(struct gen *g, struct vm *vm);
/* gen_sys.c: an instruction of the system, with what it needs; interrupts that they let in. */
void gen_put_sys(struct gen *g);
void gen_build_sys(struct gen *g, struct vm *vm);
/* Compares what only these change. */
int gen_compare_sys(const char *what, const struct vm *a, const struct vm *b);

#endif
