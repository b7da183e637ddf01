/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which block is the one at an address: the jump cache, the code cache behind it, and the
 * generations under which what they know is true.
 */
#include "mmu.h"
#include "tcg_int.h"

/* ---- generations ---- */

#define GEN_BITS (32 - KEY_BITS) /* that fit into a tag beside the key */
_Static_assert(1u << GEN_BITS == ICACHE_GEN_TAG, "a tag of 0 is of no entry");

/*
 * Where there are global pages, of the supervisor's code only that in them is in the jump cache:
 * then it stays found when CR3 is loaded. A kernel has no other, and user code hardly is global.
 */
static bool only_global(const struct cpu *cpu)
{
	return !(cpu->tcg->key & KEY_USER) && cpu->cr4 & CR4_PGE;
}

void tcg_sync_generations(struct cpu *cpu)
{
	const struct icache *ic = cpu->icache;
	struct tcg *t = cpu->tcg;
	bool global = only_global(cpu), user = t->key & KEY_USER;
	uint32_t gen = ic->gen[global], epoch = gen >> GEN_BITS << 1 | global;

	if (cpu->tcg_link_gen[0] != ic->gen[0] || cpu->tcg_link_gen[1] != ic->gen[1] ||
		t->returns_key != t->key)
		back_drop_returns(cpu);
	t->returns_key = t->key;
	cpu->tcg_link_gen[0] = ic->gen[0];
	cpu->tcg_link_gen[1] = ic->gen[1];
	if (unlikely(t->gen_epoch[user] != epoch)) {
		t->gen_epoch[user] = epoch;
		memset(cpu->jump_cache, 0, sizeof(*cpu->jump_cache) << JUMP_CACHE_BITS);
	}
	cpu->tcg_gen = (uint64_t)(uint32_t)(gen << KEY_BITS | t->key) << 32;
}

/* ---- finding ---- */

bool tcg_may_cache(const struct cpu *cpu, const struct code_page *c)
{
	return c->global || !only_global(cpu);
}

void tcg_cache(struct cpu *cpu, struct tb *tb, const struct code_page *c)
{
	unsigned i = jump_cache_index(tb->eip);

	if (!tcg_may_cache(cpu, c))
		return;
	cpu->jump_cache[i] = (struct jump_entry){ .tag = cpu->tcg_gen + tb->eip,
		.code = cpu->tcache->mem.rx + tb->indirect };
	cpu->tcg->jump_tb[i] = tb;
	cpu->tcg->jump_page[i] = tb->page;
}

static unsigned tag_key(uint64_t tag)
{
	return (uint32_t)(tag >> 32) & ((1u << KEY_BITS) - 1);
}

bool tcg_find_in(struct cpu *cpu, uint32_t eip, const struct code_page *c)
{
	struct tcg *t = cpu->tcg;
	unsigned i = jump_cache_index(eip);
	struct jump_entry *j = &cpu->jump_cache[i];
	struct tb *tb;

	if (j->code && (uint32_t)j->tag == eip && tag_key(j->tag) == t->key &&
		t->jump_page[i] == c->id && tcg_may_cache(cpu, c)) {
		j->tag = cpu->tcg_gen + eip;
		return true;
	}
	tb = tcache_find(cpu->tcache, c->id, eip, t->key);
	if (!tb)
		return false;
	tcg_cache(cpu, tb, c);
	return true;
}

struct tb *tcg_find(struct cpu *cpu)
{
	struct tcg *t = cpu->tcg;
	unsigned i = jump_cache_index(cpu->eip);
	const struct code_page *c;

	tcg_sync_generations(cpu);
	if (likely(cpu->jump_cache[i].tag == cpu->tcg_gen + cpu->eip))
		return t->jump_tb[i];
	c = mmu_code(cpu, tcg_code_lin(cpu, cpu->eip));
	if (!c->host)
		return NULL;
	if (tcg_may_cache(cpu, c))
		return tcg_find_in(cpu, cpu->eip, c) ? t->jump_tb[i] : NULL;
	return tcache_find(cpu->tcache, c->id, cpu->eip, t->key);
}
