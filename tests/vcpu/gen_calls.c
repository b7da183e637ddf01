/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Random programs of functions that call each other and return, mostly to where they were called
 * from. */
#include <string.h>

#include "gen.h"

#define DEPTH_MAX 3u
#define BODY_MAX  6u /* instructions, or whole functions */

static unsigned below(struct gen *g, unsigned n)
{
	return gen_random(g) % n;
}

static bool has_room(const struct gen *g)
{
	return g->at < GEN_CODE_LEN - 160 && g->n < GEN_INSNS_MAX - BODY_MAX;
}

static void put_return(struct gen *g)
{
	switch (below(g, 16)) {
	case 0:
		gen_put(g, 0x2404ff, 3); /* inc dword [esp] */
		break;
	case 1:
		gen_put(g, 0xe1ff59, 3); /* pop ecx; jmp ecx */
		break;
	case 2:
		gen_put(g, 0x0004c2, 3); /* ret 4 */
		break;
	default: break;
	}
	gen_put(g, 0xc3, 1);
}

/* jmp over; its code; ret; over: */
static void put_function(struct gen *g)
{
	uint32_t over, start, rel;

	gen_put(g, 0xe9, 1);
	over = g->at;
	gen_put(g, 0, 4);
	start = g->at;
	g->depth++;
	for (unsigned n = 1 + below(g, BODY_MAX); n > 0 && has_room(g); n--)
		gen_put_insn(g);
	g->depth--;
	put_return(g);
	rel = g->at - (over + 4);
	memcpy(g->code + over, &rel, 4);
	g->function[g->n_functions++ % GEN_FUNCTIONS] = start;
}

void gen_put_call(struct gen *g)
{
	unsigned known = g->n_functions < GEN_FUNCTIONS ? g->n_functions : GEN_FUNCTIONS;
	uint32_t to;

	if (!known || (below(g, 3) == 0 && g->depth < DEPTH_MAX && has_room(g))) {
		put_function(g);
		return;
	}
	to = g->function[below(g, known)];
	if (below(g, 4)) {
		gen_put(g, 0xe8, 1);
		gen_put(g, to - (g->at + 4), 4);
	} else {
		gen_put(g, 0xbd, 1); /* mov ebp, to; call ebp */
		gen_put(g, g->base + to, 4);
		gen_put(g, 0xd5ff, 2);
	}
}
