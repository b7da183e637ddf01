/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Modes: what a block depends on beside its bytes, as a key (tb.h), and what the front end wants to
 * know of it.
 *
 * Blocks count in EIP, so each belongs to one code segment. Those that are not flat have numbers,
 * which are a part of the key: base and limit are constants of the block. There are more numbers
 * than a program has segments, mostly; when they are used up, everything begins anew.
 */
#include "decode.h"
#include "tcg_int.h"

/* FS, GS: nothing is to be checked, only the base is added. */
static bool segment_is_big(const struct segment *s)
{
	return s->rd_end > UINT32_MAX && s->wr_end > UINT32_MAX;
}

bool tcg_mode_is_translatable(const struct cpu *cpu)
{
	/* Where no access of the stack is surely allowed, each would come back to us. */
	return (cpu->cpl == 0 || cpu->cpl == 3) && cpu->seg[SEG_SS].rd_end;
}

/* ---- code segments ---- */

static unsigned hash_segment(const struct segment *s)
{
	uint32_t h = s->base * 0x9e3779b1u ^ s->limit * 0x85ebca6bu;

	return (h ^ h >> 16) % CODE_SEG_HASH;
}

static bool is_segment(const struct code_segs *c, unsigned n, const struct segment *s)
{
	return c->base[n] == s->base && c->limit[n] == s->limit;
}

/* The number of one that was not the last: known, or the next one. */
static unsigned find_number(struct cpu *cpu, const struct segment *s)
{
	struct code_segs *c = &cpu->tcg->code_segs;
	unsigned i = hash_segment(s);

	while (c->hash[i] && !is_segment(c, c->hash[i], s))
		i = (i + 1) % CODE_SEG_HASH;
	if (c->hash[i])
		return c->hash[i];
	if (c->n == KEY_CS_MAX) {
		/* Nothing may be found by an old number. */
		tcache_flush(cpu->tcache);
		memset(c, 0, sizeof(*c));
		i = hash_segment(s);
	}
	c->n++;
	c->base[c->n] = s->base;
	c->limit[c->n] = s->limit;
	c->hash[i] = (uint16_t)c->n;
	return c->n;
}

static unsigned code_number(struct cpu *cpu)
{
	const struct segment *s = &cpu->seg[SEG_CS];
	struct code_segs *c = &cpu->tcg->code_segs;

	if (likely(!s->base && s->limit == UINT32_MAX))
		return 0;
	if (!c->last || !is_segment(c, c->last, s))
		c->last = (uint16_t)find_number(cpu, s);
	return c->last;
}

/* ---- keys ---- */

/*
 * Kernels do not use GS, but it is now one process's and now another's: at CPL 0 it makes no
 * difference, so that there is one translation of a kernel.
 */
unsigned tcg_key_now(struct cpu *cpu)
{
	unsigned key = cpu->run_key | code_number(cpu) << KEY_CS_SHIFT;

	if (!cpu_protected(cpu))
		key |= KEY_PARAS;
	if (!(key & KEY_FLAT))
		return key | (cpu->stack32 ? KEY_STACK32 : 0);
	if (segment_is_big(&cpu->seg[SEG_FS]))
		key |= KEY_FS_BIG;
	if (key & KEY_USER && segment_is_big(&cpu->seg[SEG_GS]))
		key |= KEY_GS_BIG;
	return key;
}

struct ir_mode tcg_mode(const struct cpu *cpu, unsigned key)
{
	return (struct ir_mode){ .decode = key & (DECODE_CODE32 | DECODE_FLAT),
		.big = (key & KEY_FS_BIG ? 1u << SEG_FS : 0) |
		       (key & KEY_GS_BIG ? 1u << SEG_GS : 0),
		.cpl0 = !(key & KEY_USER),
		.stack32 = key & (KEY_FLAT | KEY_STACK32),
		.paras = key & KEY_PARAS,
		.cs_limit = cpu->seg[SEG_CS].limit };
}
