/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "gen.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpuid.h"
#include "decode.h"
#include "log.h"
#include "sse.h"

/* What follows the opcode, and how it has to be used. */
enum {
	G_M = 1,      /* ModRM */
	G_MEM = 2,    /* memory only */
	G_I8 = 4,     /* imm8 */
	G_IZ = 8,     /* immediate of operand size */
	G_B = 16,     /* byte operation: no prefix 66 */
	G_0F = 32,    /* second page */
	G_REGS = 64,  /* ModRM.reg is a register that may change */
	G_DST = 128,  /* ModRM.rm is written */
	G_OFF = 256,  /* moffs */
	G_STR = 512,  /* string: may take REP */
	G_ANY = 1024, /* may take a prefix 66 */
};

struct form {
	uint8_t opcode, count; /* count: opcodes from here on */
	int8_t digit;	       /* ModRM.reg: -1 any; -2 any up to 7 at random for groups */
	uint16_t flags;
	uint8_t weight;
};

static const struct form forms[] = {
	/* arithmetic: each of 8 operations, by steps of 8: handled in pick() */
	{ 0x00, 1, -1, G_M | G_B | G_DST, 20 },
	{ 0x01, 1, -1, G_M | G_ANY | G_DST, 40 },
	{ 0x02, 1, -1, G_M | G_B | G_REGS, 20 },
	{ 0x03, 1, -1, G_M | G_ANY | G_REGS, 40 },
	{ 0x04, 1, -1, G_B | G_I8, 5 },
	{ 0x05, 1, -1, G_ANY | G_IZ, 5 },
	{ 0x40, 16, -1, G_ANY, 30 }, /* inc, dec */
	{ 0x50, 16, -1, G_ANY, 30 }, /* push, pop */
	{ 0x68, 1, -1, G_IZ, 5 },
	{ 0x6a, 1, -1, G_I8, 5 },
	{ 0x69, 1, -1, G_M | G_ANY | G_IZ | G_REGS, 5 },
	{ 0x6b, 1, -1, G_M | G_ANY | G_I8 | G_REGS, 5 },
	{ 0x80, 1, -2, G_M | G_B | G_I8 | G_DST, 15 },
	{ 0x81, 1, -2, G_M | G_ANY | G_IZ | G_DST, 15 },
	{ 0x83, 1, -2, G_M | G_ANY | G_I8 | G_DST, 25 },
	{ 0x84, 1, -1, G_M | G_B, 8 },
	{ 0x85, 1, -1, G_M | G_ANY, 12 },
	{ 0x86, 1, -1, G_M | G_B | G_DST | G_REGS, 4 },
	{ 0x87, 1, -1, G_M | G_ANY | G_DST | G_REGS, 4 },
	{ 0x88, 1, -1, G_M | G_B | G_DST, 12 },
	{ 0x89, 1, -1, G_M | G_ANY | G_DST, 30 },
	{ 0x8a, 1, -1, G_M | G_B | G_REGS, 12 },
	{ 0x8b, 1, -1, G_M | G_ANY | G_REGS, 40 },
	{ 0x8d, 1, -1, G_M | G_MEM | G_ANY | G_REGS, 15 },
	{ 0x8f, 1, 0, G_M | G_DST, 3 },
	{ 0x90, 1, -1, 0, 2 },
	{ 0x91, 3, -1, G_ANY, 4 },
	{ 0x98, 2, -1, G_ANY, 8 },
	{ 0x9c, 1, -1, G_ANY, 2 },
	{ 0x9e, 2, -1, 0, 4 },
	{ 0xa0, 4, -1, G_OFF, 4 },
	{ 0xa4, 4, -1, G_STR, 6 },
	{ 0xaa, 6, -1, G_STR, 6 },
	{ 0xa8, 1, -1, G_B | G_I8, 4 },
	{ 0xa9, 1, -1, G_ANY | G_IZ, 4 },
	{ 0xb0, 4, -1, G_I8, 8 },
	{ 0xb4, 4, -1, G_I8, 6 },
	{ 0xc0, 1, -2, G_M | G_B | G_I8 | G_DST, 6 },
	{ 0xc1, 1, -2, G_M | G_ANY | G_I8 | G_DST, 12 },
	{ 0xd0, 1, -2, G_M | G_B | G_DST, 5 },
	{ 0xd1, 1, -2, G_M | G_ANY | G_DST, 8 },
	{ 0xd2, 1, -2, G_M | G_B | G_DST, 6 },
	{ 0xd3, 1, -2, G_M | G_ANY | G_DST, 10 },
	{ 0xc6, 1, 0, G_M | G_B | G_I8 | G_DST, 4 },
	{ 0xc7, 1, 0, G_M | G_ANY | G_IZ | G_DST, 6 },
	{ 0xd6, 1, -1, 0, 1 },
	{ 0x27, 1, -1, 0, 1 },
	{ 0x2f, 1, -1, 0, 1 },
	{ 0xf5, 1, -1, 0, 4 },
	{ 0xf8, 2, -1, 0, 5 },
	{ 0xfc, 2, -1, 0, 2 },
	{ 0xf6, 1, 0, G_M | G_B | G_I8, 3 },
	{ 0xf7, 1, 0, G_M | G_ANY | G_IZ, 3 },
	{ 0xf6, 1, 2, G_M | G_B | G_DST, 3 },
	{ 0xf7, 1, 2, G_M | G_ANY | G_DST, 3 },
	{ 0xf6, 1, 3, G_M | G_B | G_DST, 3 },
	{ 0xf7, 1, 3, G_M | G_ANY | G_DST, 5 },
	{ 0xf6, 1, -3, G_M | G_B, 3 }, /* mul imul div idiv */
	{ 0xf7, 1, -3, G_M | G_ANY, 8 },
	{ 0xfe, 1, 0, G_M | G_B | G_DST, 4 },
	{ 0xfe, 1, 1, G_M | G_B | G_DST, 4 },
	{ 0xff, 1, 0, G_M | G_ANY | G_DST, 5 },
	{ 0xff, 1, 1, G_M | G_ANY | G_DST, 5 },
	{ 0xff, 1, 6, G_M | G_ANY, 4 },
	{ 0x40, 16, -1, G_0F | G_M | G_ANY | G_REGS, 14 },
	{ 0x90, 16, -1, G_0F | G_M | G_B | G_DST, 12 },
	{ 0xa3, 1, -1, G_0F | G_M | G_ANY, 5 },
	{ 0xab, 1, -1, G_0F | G_M | G_ANY | G_DST, 4 },
	{ 0xb3, 1, -1, G_0F | G_M | G_ANY | G_DST, 4 },
	{ 0xbb, 1, -1, G_0F | G_M | G_ANY | G_DST, 4 },
	{ 0xba, 1, -4, G_0F | G_M | G_ANY | G_I8 | G_DST, 8 },
	{ 0xa4, 1, -1, G_0F | G_M | G_ANY | G_I8 | G_DST, 4 },
	{ 0xa5, 1, -1, G_0F | G_M | G_ANY | G_DST, 4 },
	{ 0xac, 1, -1, G_0F | G_M | G_ANY | G_I8 | G_DST, 4 },
	{ 0xad, 1, -1, G_0F | G_M | G_ANY | G_DST, 4 },
	{ 0xaf, 1, -1, G_0F | G_M | G_ANY | G_REGS, 8 },
	{ 0xb0, 1, -1, G_0F | G_M | G_B | G_DST, 2 },
	{ 0xb1, 1, -1, G_0F | G_M | G_ANY | G_DST, 5 },
	{ 0xb6, 2, -1, G_0F | G_M | G_ANY | G_REGS, 14 },
	{ 0xbe, 2, -1, G_0F | G_M | G_ANY | G_REGS, 10 },
	{ 0xbc, 2, -1, G_0F | G_M | G_ANY | G_REGS, 6 },
	{ 0xc0, 1, -1, G_0F | G_M | G_B | G_DST | G_REGS, 2 },
	{ 0xc1, 1, -1, G_0F | G_M | G_ANY | G_DST | G_REGS, 3 },
	{ 0xc8, 4, -1, G_0F, 3 },
};

static inline uint64_t next_seed(uint64_t s)
{
	s ^= s << 13;
	s ^= s >> 7;
	return s ^ s << 17;
}

uint32_t gen_random(struct gen *g)
{
	g->seed = next_seed(g->seed);
	return (uint32_t)(g->seed >> 16);
}

/* ---- much at once ---- */

void gen_bulk(struct gen *g, uint8_t *to, uint32_t len, gen_draw_fn *draw)
{
	static struct {
		struct gen after; /* it */
		uint32_t len;	  /* 0: nothing yet */
		uint8_t bytes[GEN_BULK_MAX];
	} memo[8], *m;
	uint8_t *code = g->code;

	must(g->n_bulks < sizeof(memo) / sizeof(memo[0]) && len <= GEN_BULK_MAX);
	m = &memo[g->n_bulks++];
	if (m->len == len && m->after.program == g->program) {
		memcpy(to, m->bytes, len);
		*g = m->after;
		g->code = code;
		return;
	}
	draw(g, to, len);
	memcpy(m->bytes, to, len);
	m->after = *g;
	m->len = len;
}

/* The seed 1 << n numbers later: each is a linear function, over bits, of the one before. */
static uint64_t leap(uint64_t seed, unsigned n)
{
	static uint64_t by_bit[20][64]; /* what each bit becomes */
	uint64_t to = 0;

	if (!by_bit[n][0])
		for (unsigned i = 0; i < 64; i++)
			by_bit[n][i] =
				n ? leap(leap(1ull << i, n - 1), n - 1) : next_seed(1ull << i);
	for (; seed; seed &= seed - 1)
		to ^= by_bit[n][__builtin_ctzll(seed)];
	return to;
}

#define STREAMS 8u

/* In pieces side by side: a number has to wait for the one before it. */
void gen_draw_words(struct gen *g, uint8_t *to, uint32_t len)
{
	uint32_t n = len / 4 / STREAMS;
	uint64_t seed[STREAMS] = { g->seed };

	must(n >= STREAMS && !(n & (n - 1)));
	for (unsigned k = 1; k < STREAMS; k++)
		seed[k] = leap(seed[k - 1], (unsigned)__builtin_ctz(n));
	for (uint32_t i = 0; i < n; i++) {
		for (unsigned k = 0; k < STREAMS; k++) {
			uint32_t v;

			seed[k] = next_seed(seed[k]);
			v = (uint32_t)(seed[k] >> 16);
			memcpy(to + (k * n + i) * 4, &v, 4);
		}
	}
	g->seed = seed[STREAMS - 1];
}

/* ---- instructions ---- */

static bool chance(struct gen *g, unsigned one_in)
{
	return gen_random(g) % one_in == 0;
}

static void put(struct gen *g, uint32_t v, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		g->code[g->at++] = (uint8_t)(v >> i * 8);
}

void gen_put(struct gen *g, uint32_t v, unsigned n)
{
	put(g, v, n);
}

/* (Here and elsewhere: one number drawn in an expression, or the program depends on the compiler.)
 */
static uint32_t address(struct gen *g)
{
	uint32_t at;

	if (g->segs && chance(g, 10)) {
		at = chance(g, 3) ? 0xffff : g->edge;
		return at + 2 - gen_random(g) % 8;
	}
	switch (gen_random(g) % 40) {
	case 0: return gen_random(g);
	case 1: return VM_MMIO + gen_random(g) % 64;
	case 2: return g->base + gen_random(g) % GEN_CODE_LEN;
	case 3: return 0xfee00000 + gen_random(g) % 0x400;
	case 4: return VM_PAGES + gen_random(g) % 0x20000;
	case 5:
	case 6: at = VM_DATA + (gen_random(g) % 32 << 12); return at - gen_random(g) % 8;
	default: return VM_DATA + (gen_random(g) % 0x20000 & ~3u);
	}
}

/* Registers that data go to; the others are mostly pointers. */
static unsigned data_reg(struct gen *g)
{
	static const uint8_t r[] = { R_EAX, R_ECX, R_EDX, R_EAX, R_EDX, R_EBP };

	return chance(g, 12) ? gen_random(g) % 8 : r[gen_random(g) % sizeof(r)];
}

static uint32_t immediate(struct gen *g)
{
	static const uint32_t v[] = { 0, 1, 2, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fffffff,
		0x80000000, 0xffffffff, 31, 32, 33 };

	return chance(g, 2) ? gen_random(g) : v[gen_random(g) % 15];
}

static void put_modrm_mem(struct gen *g, unsigned reg)
{
	static const uint8_t base[] = { R_EBX, R_ESI, R_EDI, R_EBX, R_ESI, R_EDI, R_ESP };
	unsigned b = base[gen_random(g) % sizeof(base)], mod = gen_random(g) % 3, disp;

	if (g->segs && g->addr16 && chance(g, 5)) { /* an absolute address */
		put(g, reg << 3 | 6, 1);
		put(g, address(g), 2);
		return;
	}
	if (g->segs ? g->addr16 : g->code16) {
		unsigned rm = gen_random(g) % 8;

		if (mod == 0 && rm == 6)
			mod = 1;
		put(g, mod << 6 | reg << 3 | rm, 1);
		put(g, gen_random(g), mod);
		return;
	}
	if (chance(g, 10)) { /* an absolute address */
		put(g, reg << 3 | 5, 1);
		put(g, address(g), 4);
		return;
	}
	if (chance(g, 6) || b == R_ESP) {
		unsigned index = chance(g, 2) ? 4 : R_ECX;

		if (b == R_ESP)
			index = 4;
		put(g, mod << 6 | reg << 3 | 4, 1);
		put(g, gen_random(g) % 2 << 6 | index << 3 | b, 1);
	} else {
		put(g, mod << 6 | reg << 3 | b, 1);
	}
	if (mod == 1) {
		disp = gen_random(g);
		put(g, chance(g, 4) ? disp : disp & 0x3c, 1);
	} else if (mod == 2) {
		put(g, gen_random(g) % 0x2000, 4);
	}
}

static void put_form(struct gen *g, const struct form *f)
{
	unsigned opcode = f->opcode + gen_random(g) % f->count, reg, size = g->code16 ? 2 : 4;
	bool group = f->digit != -1;
	uint32_t v;

	if (f->opcode <= 5 && !(f->flags & G_0F))
		opcode += gen_random(g) % 8 * 8;
	/* Not the pointers nor the stack, mostly. */
	if (!(f->flags & G_0F) && opcode >= 0x40 && opcode <= 0x5f)
		opcode = (opcode & ~7u) | data_reg(g);
	if (!(f->flags & G_0F) && opcode == 0x5c && !chance(g, 8))
		opcode = 0x58;
	if (!(f->flags & G_0F) && (opcode == 0x44 || opcode == 0x4c) && !chance(g, 8))
		opcode -= 4;
	if (!(f->flags & G_0F) && (opcode == 0xb0 || opcode == 0x04))
		opcode += 0;
	if ((f->flags & G_DST) && chance(g, 30) && (f->flags & G_M))
		put(g, 0xf0, 1); /* LOCK: often #UD */
	if ((f->flags & (G_ANY | G_STR)) && chance(g, 6)) {
		put(g, 0x66, 1);
		size = 6 - size;
	}
	if (g->segs)
		gen_put_prefixes(g);
	else if ((f->flags & G_M) && chance(g, 40))
		put(g, chance(g, 2) ? 0x64 : 0x26, 1);
	if ((f->flags & G_STR) && chance(g, 2))
		put(g, chance(g, 3) ? 0xf2 : 0xf3, 1);
	if (f->flags & G_0F)
		put(g, 0x0f, 1);
	put(g, opcode, 1);
	reg = (f->flags & G_REGS) ? data_reg(g) : gen_random(g) % 8;
	if (f->digit == -2) {
		reg = gen_random(g) % 8;
	} else if (f->digit == -3) {
		v = gen_random(g);
		reg = 4 + v % (chance(g, 3) ? 4 : 2);
	} else if (f->digit == -4) {
		reg = 4 + gen_random(g) % 4;
	} else if (group) {
		reg = (unsigned)f->digit;
	}
	if (f->flags & G_M) {
		if ((f->flags & G_MEM) || chance(g, 2))
			put_modrm_mem(g, reg);
		else
			put(g,
				0xc0 | reg << 3 |
					((f->flags & G_DST) && !(f->flags & G_B)
							? data_reg(g)
							: gen_random(g) % 8),
				1);
	}
	if (f->flags & G_OFF)
		put(g, address(g), (g->segs ? g->addr16 : g->code16) ? 2 : 4);
	if (f->flags & G_I8)
		put(g, chance(g, 2) ? gen_random(g) % 33 : gen_random(g), 1);
	if (f->flags & G_IZ)
		put(g, immediate(g), size);
}

void gen_put_mem(struct gen *g, unsigned reg)
{
	put_modrm_mem(g, reg);
}

void gen_put_target(struct gen *g)
{
	if (g->n_jumps < sizeof(g->jump) / sizeof(g->jump[0])) {
		g->jump[g->n_jumps].at = g->at;
		g->jump[g->n_jumps++].size = 5; /* absolute */
	}
	put(g, g->base, 4);
}

static void put_jump(struct gen *g)
{
	unsigned kind = gen_random(g) % 12;

	if (g->n_jumps == sizeof(g->jump) / sizeof(g->jump[0]))
		return;
	if (kind < 6) {
		put(g, 0x70 + gen_random(g) % 16, 1);
	} else if (kind == 6) {
		put(g, 0xe0 + gen_random(g) % 4, 1);
	} else if (kind == 7) {
		put(g, 0xeb, 1);
	} else if (!g->code16) {
		if (kind == 8) {
			put(g, 0x0f, 1);
			put(g, 0x80 + gen_random(g) % 16, 1);
		} else if (kind == 9) {
			put(g, 0xe9, 1);
		} else if (kind == 10) {
			put(g, 0xe8, 1);
		} else { /* mov ebp, target; jmp ebp | push target; ret */
			bool ret = chance(g, 2);

			put(g, ret ? 0x68 : 0xbd, 1);
			gen_put_target(g);
			put(g, ret ? 0xc3 : chance(g, 2) ? 0xe5ff : 0xd5ff, ret ? 1 : 2);
			return;
		}
		g->jump[g->n_jumps].at = g->at;
		g->jump[g->n_jumps++].size = 4;
		put(g, 0, 4);
		return;
	} else {
		put(g, 0x75, 1);
	}
	g->jump[g->n_jumps].at = g->at;
	g->jump[g->n_jumps++].size = 1;
	put(g, 0, 1);
}

static void put_pointer(struct gen *g)
{
	static const uint8_t r[] = { R_EBX, R_ESI, R_EDI, R_ECX };
	unsigned reg = r[gen_random(g) % 4];

	put(g, 0xb8 + reg, 1);
	put(g, reg == R_ECX ? gen_random(g) % 40 : address(g), g->code16 ? 2 : 4);
}

static void put_fpu(struct gen *g)
{
	unsigned modrm = gen_random(g) & 0xff;

	put(g, 0xd8 + gen_random(g) % 8, 1);
	if (modrm >= 0xc0)
		put(g, modrm, 1);
	else
		put_modrm_mem(g, modrm >> 3 & 7);
}

/* CR0.TS, most often clear. */
static void put_ts(struct gen *g)
{
	static const uint8_t toggle[] = { 0x0f, 0x20, 0xc0, 0x34, 0x08, 0x0f, 0x22, 0xc0 };

	if (!chance(g, 4)) {
		gen_put(g, 0x060f, 2);
		return;
	}
	for (unsigned i = 0; i < sizeof(toggle); i++)
		gen_put(g, toggle[i], 1);
}

/* Any row of sse.def, or LDMXCSR, STMXCSR. */
static void put_sse(struct gen *g)
{
	static const uint8_t prefixes[] = { 0, 0x66, 0xf3, 0xf2 };
	unsigned prefix, map, op, modrm;
	uint8_t p[15] = { 0 };
	struct insn in;

	if (g->ts && chance(g, 10)) {
		put_ts(g);
		return;
	}
	if (chance(g, 24)) {
		put(g, 0xae0f, 2);
		put_modrm_mem(g, 2 + gen_random(g) % 2);
		return;
	}
	do {
		unsigned n = 0;

		prefix = gen_random(g) % 4;
		map = chance(g, 4) ? 1 + gen_random(g) % 2 : 0;
		op = gen_random(g) & 0xff;
		modrm = chance(g, 3) ? gen_random(g) & 0x38 : 0xc0 | (gen_random(g) & 0x3f);
		if (prefix)
			p[n++] = prefixes[prefix];
		p[n++] = 0x0f;
		if (map)
			p[n++] = map == 1 ? 0x38 : 0x3a;
		p[n++] = (uint8_t)op;
		p[n++] = (uint8_t)modrm;
	} while ((!map && (op == 0x38 || op == 0x3a)) ||
		 decode_insn(p, 15, DECODE_CODE32, &in) != DECODE_OK || in.id == INSN_UD ||
		 !(insn_enc(&in) & E_SSE));
	if (prefix)
		put(g, prefixes[prefix], 1);
	put(g, 0x0f, 1);
	if (map)
		put(g, map == 1 ? 0x38 : 0x3a, 1);
	put(g, op, 1);
	if (!(insn_enc(&in) & E_M))
		return;
	if (modrm >= 0xc0)
		put(g, modrm, 1);
	else
		put_modrm_mem(g, modrm >> 3 & 7);
	if (insn_enc(&in) & E_I8)
		put(g, gen_random(g), 1);
}

void gen_put_insn(struct gen *g)
{
	static unsigned total;
	unsigned w;

	if (!total)
		for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++)
			total += forms[i].weight;
	g->start[g->n++] = g->at;
	g->addr16 = g->code16;
	if (g->segs && chance(g, 12)) {
		gen_put_seg(g);
		return;
	}
	if (g->calls && chance(g, 5)) {
		gen_put_call(g);
		return;
	}
	if (chance(g, 7)) {
		if (g->segs)
			gen_put_jump_segs(g);
		else
			put_jump(g);
		return;
	}
	if (chance(g, 9)) {
		put_pointer(g);
		return;
	}
	if (g->fpu && chance(g, 4)) {
		put_fpu(g);
		return;
	}
	if (g->sse && chance(g, 3)) {
		put_sse(g);
		return;
	}
	if (g->sys && chance(g, 4)) {
		gen_put_sys(g);
		return;
	}
	w = gen_random(g) % total;
	for (size_t i = 0;; i++) {
		if (w < forms[i].weight) {
			put_form(g, &forms[i]);
			return;
		}
		w -= forms[i].weight;
	}
}

/* Jumps lead to instructions nearby, mostly forwards. */
static void patch_jumps(struct gen *g)
{
	for (unsigned i = 0; i < g->n_jumps; i++) {
		uint32_t at = g->jump[i].at, next = at + (g->jump[i].size == 1 ? 1 : 4), to, rel;

		to = g->start[gen_random(g) % g->n];
		for (unsigned k = 0; k < 200; k++) {
			int32_t d = (int32_t)(to - next);

			if (g->jump[i].size != 1 || (d >= -40 && d <= 127))
				break;
			to = g->start[gen_random(g) % g->n];
		}
		rel = to - next;
		if (gen_patch_segs(g, i, to))
			continue;
		if (g->jump[i].size == 5)
			rel = g->base + to;
		memcpy(g->code + at, &rel, g->jump[i].size == 1 ? 1 : 4);
		if (g->jump[i].size == 1 && (int32_t)(to - next) != (int8_t)(to - next))
			g->code[at] = (uint8_t)(gen_random(g) % 16);
	}
}

/* Every exception goes back into the code, with a fresh stack. */
static void put_handlers(struct gen *g, struct vm *vm, bool real)
{
	for (unsigned v = 0; v < 48; v++) {
		uint32_t at = VM_STUBS + v * 16, to = g->base + g->start[gen_random(g) % g->n];
		uint8_t *p = vm->ram + at;

		if (real) {
			uint16_t off = (uint16_t)(to - g->base), seg = (uint16_t)(g->base >> 4);

			memcpy(p, "\xbc\x00\xf0\xea", 4); /* mov sp, F000h; jmp far */
			memcpy(p + 4, &off, 2);
			memcpy(p + 6, &seg, 2);
		} else {
			uint32_t esp = VM_STACK - 0x400, rel = to - (at + 10);

			p[0] = 0xbc; /* mov esp, imm32; jmp rel32 */
			memcpy(p + 1, &esp, 4);
			p[5] = 0xe9;
			memcpy(p + 6, &rel, 4);
		}
	}
}

static void draw_code(struct gen *g, uint8_t *to, uint32_t len)
{
	must(to == g->code);
	while (g->at < len - 64 && g->n < GEN_INSNS_MAX)
		gen_put_insn(g);
	patch_jumps(g);
}

static void draw_returns(struct gen *g, uint8_t *to, uint32_t len)
{
	for (uint32_t i = 0; i < len; i += 4) {
		uint32_t v = g->base + g->start[gen_random(g) % g->n];

		memcpy(to + i, &v, 4);
	}
}

void gen_build(struct gen *g, struct vm *vm, uint64_t seed)
{
	struct cpu *cpu = vm->cpu;
	unsigned kind;

	memset(g, 0, sizeof(*g));
	g->program = seed;
	g->seed = seed * 0x9e3779b97f4a7c15ull + 1;
	g->code = vm->ram + VM_CODE;
	g->base = VM_CODE;
	kind = gen_random(g) % 16;
	g->calls = seed & GEN_CALLS;
	if (g->calls && kind < 2)
		kind += 2; /* 32-bit code */
	g->code16 = kind < 2;
	g->fpu = chance(g, 4);
	g->sse = seed % 4 == 1;
	g->ts = seed % 16 == 5;
	g->sys = seed % 4 == 2 && !g->code16;
	if (g->sse) {
		if (cpu_model_set(cpu, "max", NULL) < 0) /* a lesser host */
			must(cpu_model_set(cpu, NULL, NULL) == 0);
		cpu->cr4 |= CR4_OSFXSR | CR4_OSXMMEXCPT;
		cpu->mxcsr = MXCSR_RESET ^ (seed % 16 == 1 ? (uint32_t)seed & 0x1f80 : 0);
	}
	g->segs = seed & GEN_SEGS;
	if (g->segs) {
		g->sys = false;
		gen_choose_segs(g, vm);
	} else {
		vm_mode_set(vm, kind == 0 ? VM_REAL16 : kind == 1 ? VM_PROT16 : VM_PROT32);
	}
	gen_bulk(g, g->code, GEN_CODE_LEN, draw_code);
	if (g->segs)
		kind = g->code16 ? 0 : 2;
	else
		put_handlers(g, vm, kind == 0);
	gen_bulk(g, vm->ram + VM_DATA, 0x40000, gen_draw_words);
	/* Returns find their way. */
	gen_bulk(g, vm->ram + VM_STACK - 0x800, 0x1000, draw_returns);
	vm_touch(vm, VM_CODE, GEN_CODE_LEN);
	vm_touch(vm, VM_DATA, 0x40000);
	vm_touch(vm, VM_STACK - 0x800, 0x1000);
	if (kind >= 6)
		vm_paging(vm, kind & 1);
	if (kind >= 6 && chance(g, 3)) /* some holes and read-only pages */
		for (int i = 0; i < 8; i++) {
			uint32_t bit = 1u << gen_random(g) % 3;

			*vm_pte(vm, VM_DATA + (gen_random(g) % 64 << 12)) &= ~bit;
		}
	if (kind >= 10)
		vm_user(vm);
	for (unsigned i = 0; i < 8; i++)
		if (i != R_ESP)
			cpu->gpr[i] = kind < 2 ? gen_random(g) & 0xffff : address(g);
	cpu->gpr[R_EAX] = gen_random(g);
	cpu->gpr[R_EDX] = immediate(g);
	cpu->gpr[R_ECX] = gen_random(g) % 100;
	if (kind >= 2)
		cpu->gpr[R_ESP] = VM_STACK - 0x400;
	flags_set(cpu, gen_random(g) & FL_ARITH);
	if (chance(g, 64))
		flags_set(cpu, FL_TF);
	cpu->eip = kind == 0 ? 0 : VM_CODE;
	if (g->sys)
		gen_build_sys(g, vm);
	if (g->segs)
		gen_build_segs(g, vm);
}

void gen_run(struct vm *vm, uint64_t n, unsigned max)
{
	struct cpu *cpu = vm->cpu;
	uint64_t end = cpu->icount + n;
	uint32_t r = 12345;

	while (cpu->icount < end) {
		uint64_t limit = cpu->icount;
		enum cpu_exit e;

		r = r * 1664525u + 1013904223u;
		limit += max > 8 ? max : 1 + (r >> 16) % max;
		e = cpu_run(cpu, limit < end ? limit : end);
		if (e == CPU_EXIT_RESET || (e == CPU_EXIT_HALT && cpu->halted))
			return;
	}
}

static int differ(const char *what, const char *name, uint64_t a, uint64_t b)
{
	if (what)
		printf("%s: %s: %llx, but %llx\n", what, name, (unsigned long long)a,
			(unsigned long long)b);
	return 1;
}

static uint8_t written[VM_RAM_LEN >> 12];

static bool note_page(void *opaque, uint32_t page)
{
	vm_touch(opaque, page << 12, 1);
	written[page]++;
	return true;
}

int gen_compare(const char *what, struct vm *a, struct vm *b)
{
	static const char *const names[] = { "eax", "ecx", "edx", "ebx", "esp", "ebp", "esi",
		"edi" };
	struct cpu *x = a->cpu, *y = b->cpu;

	if (x->icount != y->icount)
		return differ(what, "icount", x->icount, y->icount);
	if (x->eip != y->eip)
		return differ(what, "eip", x->eip, y->eip);
	for (unsigned i = 0; i < 8; i++)
		if (x->gpr[i] != y->gpr[i])
			return differ(what, names[i], x->gpr[i], y->gpr[i]);
	if (flags_get(x) != flags_get(y))
		return differ(what, "eflags", x->eflags, y->eflags);
	if (x->cr2 != y->cr2 || x->cr0 != y->cr0)
		return differ(what, "cr2", x->cr2, y->cr2);
	if (x->mxcsr != y->mxcsr)
		return differ(what, "mxcsr", x->mxcsr, y->mxcsr);
	for (unsigned i = 0; i < 8; i++)
		for (unsigned k = 0; k < 2; k++)
			if (x->xmm[i].q[k] != y->xmm[i].q[k])
				return differ(what, "xmm", x->xmm[i].q[k], y->xmm[i].q[k]);
	if (fpu_digest(x) != fpu_digest(y))
		return differ(what, "fpu", fpu_digest(x), fpu_digest(y));
	if (gen_compare_sys(what, a, b))
		return 1;
	/* Both say which pages they have written; the others are as they were built. */
	memset(written, 0, sizeof(written));
	mmu_take_dirty(x, note_page, a);
	mmu_take_dirty(y, note_page, b);
	for (uint32_t page = 0; page < VM_RAM_LEN >> 12; page++) {
		if (written[page] == 1)
			return differ(
				what, "only one has written the page at", page << 12, page << 12);
		if (written[page] && memcmp(a->ram + (page << 12), b->ram + (page << 12), 4096))
			return differ(what, "RAM page at", page << 12, page << 12);
	}
	return 0;
}
