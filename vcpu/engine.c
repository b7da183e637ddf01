/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The interpreter's loop. Between two instructions is a *boundary*; what may be noticed there sets
 * cpu->look.
 *
 * eip and icount live in registers of run_blocks() and are stored before each instruction, so that
 * a handler, a bus request or a fault sees both exactly, without the loop having to wait for its
 * own stores.
 */
#include "engine_int.h"

#include "fpu.h"
#include "mem.h"
#include "sse.h"
#include "mmu.h"
#include "tcg.h"

uint64_t cpu_budget(const struct cpu *cpu)
{
	uint64_t end = engine_end(cpu);

	return end > cpu->icount ? end - cpu->icount : 1;
}

void engine_set_trace(struct cpu *cpu, const struct engine_trace *trace)
{
	cpu->icache->trace = trace;
	cpu->look = true;
}

static bool traces_exec(const struct cpu *cpu)
{
	return cpu->icache->trace && cpu->icache->trace->exec;
}

/* One instruction (or one iteration) from cs:eip. The next boundary is looked at. */
static void step_one(struct cpu *cpu)
{
	const struct segment *cs = &cpu->seg[SEG_CS];
	const struct block *b = icache_lookup(cpu, cs->base + cpu->eip);
	struct insn alone;
	const struct insn *in = &alone;

	cpu->look = true;
	if (b && (uint64_t)cpu->eip + b->insn[0].len <= (uint64_t)cs->limit + 1)
		in = &b->insn[0];
	else
		icache_fetch_one(cpu, &alone);
	/* Of a REP one iteration; but RF lasts until it ends, and after an interrupt it is set. */
	if (!excp_only_rf(cpu) || traces_exec(cpu))
		cpu->run_limit = cpu->icount + 1;
	if (unlikely(traces_exec(cpu)))
		cpu->icache->trace->exec(cpu->icache->trace->opaque, cpu, in);
	in->fn(cpu, in);
	engine_retire(cpu, in, icache_insn_end(in));
}

static inline struct block *follow_link(const struct icache *ic, struct block *b, uint32_t lin)
{
	for (unsigned i = 0; i < 2; i++) {
		const struct block_link *l = &b->link[i];

		if (l->lin == lin && (l->gen == ic->gen[0] || l->gen == ic->gen[1]) &&
			l->to->key == b->key)
			return l->to;
	}
	return NULL;
}

/* The block at lin, reached from b; links them. */
static struct block *find_next(struct cpu *cpu, struct block *b, uint32_t lin)
{
	struct icache *ic = cpu->icache;
	uint32_t epoch = ic->epoch;
	struct block *to = icache_lookup(cpu, lin);

	if (to && ic->found_gen && ic->epoch == epoch) {
		b->link[b->link_next] =
			(struct block_link){ .lin = lin, .gen = ic->found_gen, .to = to };
		b->link_next ^= 1;
	}
	return to;
}

/*
 * Runs blocks until something wants to be looked at, or icount reaches its end. Assumes that CS,
 * CPL and CS.D change only at the end of a block that is marked `sync`. cold: stops at blocks that
 * are worth a translation.
 */
static inline __attribute__((always_inline)) enum engine_stop run_blocks(
	struct cpu *cpu, const uint64_t end, const bool cold)
{
	const uint32_t cs_base = cpu->seg[SEG_CS].base;
	const uint64_t cs_end = (uint64_t)cpu->seg[SEG_CS].limit + 1;
	struct icache *ic = cpu->icache;
	uint64_t icount = cpu->icount;
	uint32_t eip = cpu->eip;
	struct block *b = icache_lookup(cpu, cs_base + eip), *next;
	enum engine_stop stop = ENGINE_END;

	while (b && eip + (uint64_t)b->len <= cs_end) {
		const struct insn *in = b->insn, *last = in + b->n - 1;

		if (cold && unlikely(b->heat-- <= 0)) {
			b->heat = 0;
			ic->hot = b;
			stop = ENGINE_HOT;
			goto out;
		}
		if (unlikely(b->n > end - icount))
			last = in + (end - icount);
		for (; in != last; in++) {
			cpu->eip = eip;
			cpu->icount = icount;
			in->fn(cpu, in);
			if (unlikely(cpu->look)) {
				/* It may stand still: an FPU instruction that waits. */
				engine_retire(cpu, in, BLOCK_END_NEXT);
				return ENGINE_LOOK;
			}
			eip += in->len;
			icount++;
		}
		if (icount == end)
			goto out;
		cpu->eip = eip;
		cpu->icount = icount;
		in->fn(cpu, in);
		if (likely(b->end == BLOCK_END_JUMP)) {
			eip = cpu->eip;
			icount++;
		} else if (b->end == BLOCK_END_NEXT && likely(!cpu->look)) {
			eip += in->len;
			icount++;
		} else {
			engine_retire(cpu, in, b->end);
			eip = cpu->eip;
			icount = cpu->icount;
		}
		if (unlikely(cpu->look || b->sync)) {
			stop = ENGINE_LOOK;
			goto out;
		}
		if (unlikely(icount >= end))
			goto out;
		next = follow_link(ic, b, cs_base + eip);
		if (unlikely(!next)) {
			cpu->eip = eip; /* a fetch may fault */
			cpu->icount = icount;
			next = find_next(cpu, b, cs_base + eip);
		}
		b = next;
	}
	cpu->eip = eip;
	cpu->icount = icount;
	step_one(cpu);
	return ENGINE_LOOK;
out:
	cpu->eip = eip;
	cpu->icount = icount;
	return stop;
}

enum engine_stop engine_run_blocks(struct cpu *cpu, uint64_t end)
{
	return run_blocks(cpu, end, false);
}

enum engine_stop engine_run_cold(struct cpu *cpu, uint64_t end)
{
	return run_blocks(cpu, end, true);
}

/* The local APIC's timer is an end of its own beside the caller's limit. */
static void set_run_limit(struct cpu *cpu, uint64_t limit)
{
	if (lapic_deadline_icount(cpu) <= cpu->icount)
		lapic_run_timer(cpu);
	cpu->run_limit = lapic_deadline_icount(cpu);
	if (cpu->run_limit > limit || cpu->run_limit <= cpu->icount)
		cpu->run_limit = limit;
}

static bool is_over(const struct cpu *cpu)
{
	return cpu->reset_request || cpu->icount >= cpu->run_end || cpu->icount >= cpu->stop_icount;
}

bool engine_look(struct cpu *cpu)
{
	for (;;) {
		if (is_over(cpu))
			return false;
		if (!cpu->look && !cpu->halted && cpu->icount < cpu->run_limit)
			break;
		set_run_limit(cpu, cpu->run_end);
		cpu->look = true;
		if (excp_take_pending(cpu))
			continue;
		if (cpu->halted)
			return false;
		break;
	}
	mmu_sync(cpu);
	engine_mode(cpu);
	return !cpu->look && likely(!traces_exec(cpu));
}

static enum cpu_exit run(struct cpu *cpu)
{
	for (;;) {
		bool free = engine_look(cpu);

		if (is_over(cpu))
			return cpu->reset_request ? CPU_EXIT_RESET : CPU_EXIT_STOP;
		if (cpu->halted)
			return CPU_EXIT_HALT;
		if (!free)
			step_one(cpu);
		else if (!cpu->tcg || !tcg_run(cpu))
			engine_run_blocks(cpu, engine_end(cpu));
	}
}

enum cpu_exit cpu_run(struct cpu *cpu, uint64_t limit)
{
	sigjmp_buf here, *outer = cpu->catch_;
	enum cpu_exit e;

	cpu->catch_ = &here;
	cpu->look = true;
	cpu->run_end = limit;
	if (sigsetjmp(here, 0)) {
		cpu->rep_again = false;
		cpu->look = true;
		if (cpu->fl_desc)
			tcg_flags(cpu, 0);
		excp_deliver_raised(cpu);
	}
	e = run(cpu);
	fpu_park(cpu->fpu);
	sse_park(cpu);
	cpu->catch_ = outer;
	return e;
}
