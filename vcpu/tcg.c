/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The translator's loop: finds blocks, has the interpreter run what is cold or cannot be
 * translated, translates what is hot, and makes the processor's state exact whenever translated
 * code is left. See tcg.h and docs/translator.md.
 *
 * Translated code is only entered and linked to by mmu_code()'s leave, under the TLB's present
 * generation, as the interpreter's blocks are: so accessed bits and page faults of fetches come at
 * the same instructions with either.
 */
#include <errno.h>
#include <stdlib.h>

#include "decode.h"
#include "fpu.h"
#include "host_fault.h"
#include "log.h"
#include "mem.h"
#include "mmu.h"
#include "tcg_int.h"
#include "window.h"

/* ---- called by translated code ---- */

static void *meta_at(const struct cpu *cpu, uint32_t off)
{
	return cpu->tcache->mem.meta + (off & ~7u);
}

void tcg_flags(struct cpu *cpu, uint32_t recipe)
{
	if (!recipe)
		recipe = cpu->fl_desc;
	if (recipe & ~7u)
		recipe_eval(cpu, meta_at(cpu, recipe));
	cpu->fl_desc = 0;
}

uint32_t tcg_trans(struct cpu *cpu, uint32_t modrm)
{
	return fpu_trans(cpu, modrm);
}

uint32_t tcg_mmx(struct cpu *cpu, uint32_t unused)
{
	(void)unused;
	return fpu_enter(cpu, false);
}

uint64_t tcg_host(struct cpu *cpu, uint32_t lin, uint32_t kind)
{
	struct tcg *t = cpu->tcg;
	uint8_t *host = mmu_try_host(cpu, lin, kind & 0x7f, kind & TCG_HOST_WRITE);

	t->stats.host_calls++;
	t->stats.host_failed += !host;
	return (uint64_t)(uintptr_t)host;
}

/* Executes in, cpu being exact; all iterations of a REP as far as nobody has to look. True: it has
 * not finished. */
static inline bool execute(
	struct cpu *cpu, const struct insn *in, enum block_end kind, uint64_t end)
{
	bool again;

	do {
		in->fn(cpu, in);
		again = cpu->rep_again;
		engine_retire(cpu, in, kind);
	} while (again && !cpu->look && cpu->icount < end);
	return again;
}

/* ---- translating ---- */

/* The page behind lin's, if the processor has its translation: without asking for it. */
static const struct code_page *next_page(struct cpu *cpu, uint32_t lin)
{
	uint32_t next = (lin & PAGE_MASK) + PAGE_SIZE;
	const struct code_page *c = next ? mmu_code_known(cpu, next) : NULL;

	return c && c->host ? c : NULL;
}

static void straddle(struct cpu *cpu, struct tb *tb)
{
	const struct code_page *c = next_page(cpu, tb->lin);

	must(c != NULL); /* translate() has found it */
	tb->page2 = c->id;
	tb->page2_global = c->global;
	tb->page2_gen = cpu->icache->gen[c->global];
}

/* As many instructions of ir as the back end can do at once. 0: none. */
static struct tb *emit(struct cpu *cpu, uint32_t page)
{
	struct tcg *t = cpu->tcg;
	struct tcache *tc = cpu->tcache;

	for (unsigned tries = 0; tries < 2; tries++) {
		uint32_t at;
		size_t len, used;
		struct tb *tb = tcache_begin(tc, &t->ir, &at, &len);

		tb->page = page;
		tb->lin = tcg_code_lin(cpu, tb->eip);
		tb->page2 = CODE_PAGE_NONE;
		if (t->ir.straddles)
			straddle(cpu, tb);
		tb->key = t->key;
		used = back_emit(cpu, &tc->mem, &t->ir, tb, at, len, tcache_alloc, tb);
		if (used == 1)
			return NULL;
		if (used) {
			tcache_end(tc, tb);
			return tb;
		}
		tcache_next_region(tc);
	}
	return NULL;
}

static struct tb *translate(struct cpu *cpu)
{
	struct tcg *t = cpu->tcg;
	struct ir_mode mode = tcg_mode(cpu, t->key);
	uint32_t lin = tcg_code_lin(cpu, cpu->eip);
	const struct code_page *c = mmu_code(cpu, lin);
	uint32_t off = lin & 0xfff, page = c->id;
	const struct code_page *c2;
	struct tb *tb = NULL;

	if (!c->host)
		return NULL;
	c2 = next_page(cpu, lin);
	t->ir.next_page = c2 ? c2->host : NULL;
	for (unsigned max = t->config.one_insn ? 1 : IR_MAX_INSNS; max && !tb; max /= 2) {
		if (!front_translate(&t->ir, c->host + off, PAGE_SIZE - off, cpu->eip, &mode, max))
			return NULL;
		ir_optimise(&t->ir);
		tb = emit(cpu, page);
	}
	if (!tb)
		return NULL;
	tcg_dump_block(cpu, &t->ir, tb);
	if (t->perf)
		tcg_perf_block(t->perf, &cpu->tcache->mem, tb);
	return tb;
}

/* ---- running ---- */

unsigned tcg_exit_kind(const struct cpu *cpu)
{
	return cpu->tcg_exit & 7;
}

void *tcg_exit_record(const struct cpu *cpu)
{
	return meta_at(cpu, cpu->tcg_exit);
}

void tcg_enter(struct cpu *cpu, struct tb *tb)
{
	cpu->tcg_left = (int64_t)(cpu->tcg_end - cpu->icount) - tb->n_insns;
	must(cpu->tcg_left >= 0 && !tb->dead);
	tb->entered++;
	back_enter(cpu, &cpu->tcache->mem, tb);
}

void tcg_settle(struct cpu *cpu)
{
	void *record = tcg_exit_record(cpu);
	const struct tb_exit *x = record;
	const struct tb_edge *e = record;
	const struct tb *tb = record;
	int64_t left = cpu->tcg_left;

	switch (tcg_exit_kind(cpu)) {
	case TCG_EXIT_DONE: return;
	case TCG_EXIT_STEP:
		left += x->tb->n_insns - x->insn;
		cpu->eip = x->tb->insn_eip[x->insn];
		tcg_flags(cpu, x->recipe);
		break;
	case TCG_EXIT_INDIRECT:
		cpu->eip = cpu->tcg_target;
		tcg_flags(cpu, x->recipe);
		break;
	case TCG_EXIT_EDGE:
	case TCG_EXIT_STALE:
		left += e->refund;
		cpu->eip = e->target;
		tcg_flags(cpu, e->recipe);
		break;
	case TCG_EXIT_BUDGET:
		left += e->to->n_insns;
		cpu->eip = e->target;
		tcg_flags(cpu, e->recipe);
		break;
	case TCG_EXIT_HEAD:
		left += tb->n_insns;
		cpu->eip = tb->eip;
		tcg_flags(cpu, 0);
		break;
	default: must(false);
	}
	cpu->icount = cpu->tcg_end - (uint64_t)left;
}

/*
 * An instruction that goes on in the next page is fetched anew, as the interpreter does it each
 * time. Then the block may go on if that page is what it was.
 */
static void step_straddling(struct cpu *cpu, struct tb *tb)
{
	const struct code_page *c;

	cpu->tcg->leave = engine_run_blocks(cpu, cpu->icount + 1) == ENGINE_LOOK;
	if (tb->dead)
		return;
	c = next_page(cpu, tb->lin);
	if (c && c->id == tb->page2 && c->global == tb->page2_global)
		back_set_page2(&cpu->tcache->mem, tb, cpu->icache->gen[c->global]);
	else if (c)
		tcache_kill(cpu->tcache, tb);
}

/* One instruction that translated code left to us; tb may be dead. */
static void step(struct cpu *cpu, const struct tb_exit *x)
{
	const struct insn *in = &x->tb->insn[x->insn];

	if (unlikely(x->tb->page2 != CODE_PAGE_NONE && x->insn == x->tb->n_insns - 1)) {
		step_straddling(cpu, x->tb);
		return;
	}
	cpu->tcg->leave = insn_enc(in) & E_SYNC;
	execute(cpu, in, icache_insn_end(in), cpu->icount + 1);
}

/* e leads to where cpu is now: the next time without us, if there is a block. */
static void link_edge(struct cpu *cpu, struct tb_edge *e)
{
	struct tb *to = tcg_find(cpu);
	const struct code_page *c;

	if (!to || e->from->dead || cpu->tcg->check)
		return;
	if (!e->other_page) {
		tcache_link(cpu->tcache, e, to, 0, false);
		return;
	}
	if (e->to == to)
		cpu->tcg->stats.relinked++;
	c = mmu_code(cpu, tcg_code_lin(cpu, cpu->eip));
	tcache_link(cpu->tcache, e, to, cpu->icache->gen[c->global], c->global);
}

static bool must_look(const struct cpu *cpu)
{
	return cpu->look || cpu->tcg->leave || cpu->icount >= engine_end(cpu);
}

/* key: where they began. */
static void count_insns(struct tcg *t, unsigned key, uint64_t n)
{
	t->stats.insns += n;
	if (!(key & KEY_CODE32))
		t->stats.insns_16 += n;
	else if (!(key & KEY_FLAT))
		t->stats.insns_seg += n;
}

static void run_block(struct cpu *cpu, struct tb *tb)
{
	struct tcg *t = cpu->tcg;
	uint64_t before = cpu->icount;
	unsigned kind, key = tb->key;

	t->stats.entered++;
	if (unlikely(t->check != NULL)) {
		check_enter(cpu, tb);
	} else {
		tcg_enter(cpu, tb);
		tcg_settle(cpu);
	}
	count_insns(t, key, cpu->icount - before);
	kind = tcg_exit_kind(cpu);
	t->stats.exits[kind]++;
	if (unlikely(t->check != NULL) && cpu->icount == before && kind == TCG_EXIT_DONE)
		t->leave = engine_run_blocks(cpu, before + 1) == ENGINE_LOOK;
	else if (kind == TCG_EXIT_STEP)
		step(cpu, tcg_exit_record(cpu));
	else if ((kind == TCG_EXIT_EDGE || kind == TCG_EXIT_STALE) && !must_look(cpu))
		link_edge(cpu, tcg_exit_record(cpu));
}

#define RANDOM_START 1
#define MAX_BUDGET   (1ull << 40) /* fits into a signed register */

/* Where this entry's budget ends. */
static uint64_t next_end(struct cpu *cpu)
{
	struct tcg *t = cpu->tcg;
	uint64_t end = engine_end(cpu), n;

	if (end - cpu->icount > MAX_BUDGET)
		end = cpu->icount + MAX_BUDGET;
	if (likely(!t->config.budget))
		return end;
	t->random = t->random * 6364136223846793005ull + 1442695040888963407ull;
	n = 1 + (t->random >> 33) % t->config.budget;
	return end - cpu->icount > n ? cpu->icount + n : end;
}

/* Says how much the run that has ended was worth to its window. */
static void end_run(struct cpu *cpu)
{
	struct tcg *t = cpu->tcg;

	if (t->counting)
		window_ran(
			cpu, t->key & KEY_USER, t->key & KEY_WINDOW, cpu->icount - t->run_icount);
	t->counting = false;
}

static void begin_run(struct cpu *cpu)
{
	struct tcg *t = cpu->tcg;
	bool user = cpu->run_key & KEY_USER;

	end_run(cpu);
	t->counting = true;
	t->run_icount = cpu->icount;
	t->key = tcg_key_now(cpu);
	t->leave = false;
	cpu->tcg_base = cpu->run_tlb;
	host_fault_cpu(cpu);
	if (window_wanted(cpu, user)) {
		t->key |= KEY_WINDOW;
		cpu->tcg_base = window_base(cpu, user);
		window_activate(cpu);
	}
}

/* ---- called by translated code: instructions by their handlers, and what is behind ---- */

/*
 * After an instruction that may have changed what code relies on, or that makes somebody look.
 * False: the run is over; else it goes on under t->key, which may be another.
 */
static bool sync_run(struct cpu *cpu)
{
	struct tcg *t = cpu->tcg;

	/* What engine_look() has mmu_sync() for makes it look. */
	if (likely(!cpu->look && cpu->icount < engine_end(cpu)))
		engine_mode(cpu);
	else if (!engine_look(cpu))
		t->leave = true;
	if (t->leave || !tcg_mode_is_translatable(cpu)) {
		t->leave = true;
		return false;
	}
	if (tcg_key_now(cpu) != (t->key & ~KEY_WINDOW))
		begin_run(cpu);
	return true;
}

/* Executes x's instruction. False: translated code must be left. */
static bool do_insn(struct cpu *cpu, const struct tb_exit *x)
{
	const struct tb *tb = x->tb;
	const struct insn *in = &tb->insn[x->insn];
	int64_t rest = tb->n_insns - x->insn;

	if (x->quiet)
		cpu->fl_desc = x->recipe ? x->recipe : cpu->fl_desc;
	else
		tcg_flags(cpu, x->recipe);
	cpu->eip = tb->insn_eip[x->insn];
	cpu->icount = cpu->tcg_end - (uint64_t)(cpu->tcg_left + rest);
	cpu->tcg->stats.insn_calls++;
	if (x->sync)
		cpu->xmm_live = 0; /* CR0 and CR4 may be others */
	if (unlikely(cpu->tcg->check != NULL))
		return false; /* run_block() has it interpreted */
	if (execute(cpu, in, x->end, cpu->tcg_end))
		return false;
	if (x->sets)
		cpu->fl_desc = 0;
	if (likely(!cpu->look && !x->sync))
		return true;
	tcg_flags(cpu, 0); /* an interrupt may be delivered */
	return sync_run(cpu);
}

/* May the block go on behind x's instruction? */
static bool block_goes_on(struct cpu *cpu, const struct tb_exit *x)
{
	const struct icache *ic = cpu->icache;
	const struct tb *tb = x->tb;

	if (tb->dead || cpu->tcg_left < 0 || engine_end(cpu) < cpu->tcg_end)
		return false;
	if (x->fp && !cpu->mxcsr_live) /* what follows relies on it */
		return false;
	return cpu->tcg->key == tb->key && cpu->eip == tb->insn_eip[x->insn + 1] &&
	       cpu->tcg_link_gen[0] == ic->gen[0] && cpu->tcg_link_gen[1] == ic->gen[1];
}

/* A block to go on with, where cpu is: as an address, with the budget for it. 0: there is none. */
static uint64_t enter_next(struct cpu *cpu)
{
	struct tcg *t = cpu->tcg;
	unsigned i = jump_cache_index(cpu->eip);
	uint64_t end = next_end(cpu);
	const struct tb *tb;

	tcg_sync_generations(cpu);
	if (cpu->jump_cache[i].tag != cpu->tcg_gen + cpu->eip || cpu->icount >= end)
		return 0;
	tb = t->jump_tb[i];
	if (end - cpu->icount < tb->n_insns)
		return 0;
	cpu->tcg_end = end;
	cpu->tcg_left = (int64_t)(end - cpu->icount) - tb->n_insns;
	return (uint64_t)(uintptr_t)(cpu->tcache->mem.rx + tb->entry);
}

uint64_t tcg_insn(struct cpu *cpu, const struct tb_exit *x)
{
	uint64_t to = 0;
	bool on = do_insn(cpu, x);

	if (on) {
		cpu->tcg_left =
			(int64_t)(cpu->tcg_end - cpu->icount) - (x->tb->n_insns - x->insn - 1);
		if (block_goes_on(cpu, x))
			return 0;
	}
	tcg_flags(cpu, 0);
	if (on && x->sync)
		to = enter_next(cpu);
	return to ? to : TCG_INSN_LEAVE;
}

uint64_t tcg_insn_jump(struct cpu *cpu, const struct tb_exit *x)
{
	bool on = do_insn(cpu, x);

	tcg_flags(cpu, 0);
	return on ? enter_next(cpu) : 0;
}

uint64_t tcg_indirect(struct cpu *cpu)
{
	uint32_t eip = cpu->tcg_target;
	const struct code_page *c = mmu_code_known(cpu, tcg_code_lin(cpu, eip));

	if (!c || !c->host || !tcg_may_cache(cpu, c) || cpu->tcg->check ||
		!tcg_find_in(cpu, eip, c))
		return 0;
	cpu->tcg->stats.indirect++;
	return (uint64_t)(uintptr_t)cpu->jump_cache[jump_cache_index(eip)].code;
}

bool tcg_run(struct cpu *cpu)
{
	struct tcg *t = cpu->tcg;

	if (!tcg_mode_is_translatable(cpu))
		return false;
	begin_run(cpu);
	while (!must_look(cpu)) {
		uint64_t end = next_end(cpu);
		struct tb *tb = tcg_find(cpu);
		enum engine_stop stop;

		if (!tb) {
			stop = engine_run_cold(cpu, end);
			if (stop == ENGINE_LOOK)
				break;
			if (stop == ENGINE_END)
				continue;
			/* It may have been reached from code that cannot be translated. */
			tb = tcg_find(cpu);
			if (!tb)
				tb = translate(cpu);
			if (!tb) {
				cpu->icache->hot->heat = INT32_MAX;
				t->stats.rejected++;
				continue;
			}
			tcg_sync_generations(cpu);
			tcg_cache(cpu, tb, mmu_code(cpu, tb->lin));
			end = next_end(cpu);
		}
		if (end - cpu->icount < tb->n_insns) {
			if (engine_run_blocks(cpu, end) == ENGINE_LOOK)
				break;
			continue;
		}
		cpu->tcg_end = end;
		run_block(cpu, tb);
	}
	end_run(cpu);
	return true;
}

/* ---- life ---- */

int tcg_init(struct cpu *cpu, const struct tcg_config *config)
{
	struct tcg *t = calloc(1, sizeof(*t));
	int r;

	if (!t)
		return -ENOMEM;
	t->config = *config;
	t->random = RANDOM_START;
	cpu->tcg = t;
	cpu->tcg_share = config->no_share ? SHARE_OFF : config->check ? SHARE_READS : SHARE_ALL;
	cpu->tcache = tcache_new(cpu, config->tb_size ? config->tb_size : TCACHE_MIB_DEFAULT);
	if (!cpu->tcache) {
		r = errno == ENOTSUP ? -ENOTSUP : -ENOMEM;
		tcg_free(cpu);
		return r;
	}
	cpu->tcg_returns = !config->no_returns;
	r = host_fault_catch();
	if (r < 0) {
		tcg_free(cpu);
		return r;
	}
	if (config->check) {
		t->check = check_new(cpu);
		if (!t->check) {
			tcg_free(cpu);
			return -ENOMEM;
		}
	}
	if (config->perf)
		t->perf = tcg_perf_open();
	cpu->icache->heat = config->thresh > INT32_MAX ? INT32_MAX : (int32_t)config->thresh;
	icache_flush(cpu); /* blocks with another heat */
	return 0;
}

void tcg_renew(struct cpu *cpu)
{
	struct tcg *t = cpu->tcg;

	if (!t)
		return;
	window_renew(cpu);
	t->stats = (struct tcg_stats){ 0 };
	t->key = t->returns_key = 0;
	t->counting = t->leave = t->checking = false;
	t->run_icount = 0;
	memset(t->gen_epoch, 0, sizeof(t->gen_epoch)); /* the jump cache is empty */
	t->random = RANDOM_START;
	memset(&t->code_segs, 0, sizeof(t->code_segs));
	if (t->check) {
		check_free(t->check);
		t->check = check_new(cpu);
		must(t->check != NULL);
	}
}

void tcg_free(struct cpu *cpu)
{
	struct tcg *t = cpu->tcg;

	if (!t)
		return;
	window_free(cpu);
	host_fault_forget(cpu);
	tcache_free(cpu->tcache);
	if (t->check)
		mmu_observe(cpu, NULL, NULL);
	check_free(t->check);
	if (t->perf)
		fclose(t->perf);
	free(t);
	cpu->tcg = NULL;
	cpu->tcache = NULL;
}

const struct tcg_stats *tcg_stats(const struct cpu *cpu)
{
	return &cpu->tcg->stats;
}
