/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -accel check: each block is run twice from the same state, as translated code and by the
 * interpreter, and what they made of registers and memory is compared.
 *
 * Blocks are not linked, and find none by the jump cache, so that each comes back to us. No write
 * goes by the inline tables (mmu_observe()), so that all are seen, byte by byte, and can be
 * taken back; reads go the usual ways. What translated code would leave to a handler it leaves to
 * us here: devices must not be asked twice.
 * What translated code makes the TLB learn is taken back, too, with the accessed and dirty bits
 * that go with it.
 */
#include <stdlib.h>

#include "check.h"
#include "decode.h"
#include "flags.h"
#include "fpu.h"
#include "log.h"
#include "mem.h"
#include "sse.h"
#include "mmu.h"
#include "tcg_int.h"

#define PTE_AD	   0x60u
#define MAX_WRITES 1024 /* of a block: 64 instructions, none of them a REP */

/* The jump cache has none of such a key (KEY_STACK32 is not set with KEY_FLAT), so that indirect
 * jumps end a block, too. */
#define NO_GEN (0xffffffffull << 32)

struct write {
	uint8_t *host;
	uint64_t old, made; /* before; after translated code */
	uint32_t exit;	    /* of the instruction, as in tcg_exit */
	uint8_t size;
};

struct learnt {
	uint32_t lin;
	bool user;
	uint64_t old;
};

struct check {
	struct write write[MAX_WRITES];
	unsigned n;
	struct learnt learnt[MAX_WRITES]; /* by translated code */
	unsigned n_learnt;
	bool second; /* the interpreter is running: what it writes must be known already */
	uint8_t *stray;
	uint64_t compared;
};

static const struct {
	const char *name;
	size_t off, len;
} members[] = {
#define M(name, member)                                                               \
	{                                                                             \
		name, offsetof(struct cpu, member), sizeof(((struct cpu *)0)->member) \
	}
	M("eax", gpr[R_EAX]),
	M("ecx", gpr[R_ECX]),
	M("edx", gpr[R_EDX]),
	M("ebx", gpr[R_EBX]),
	M("esp", gpr[R_ESP]),
	M("ebp", gpr[R_EBP]),
	M("esi", gpr[R_ESI]),
	M("edi", gpr[R_EDI]),
	M("eip", eip),
	M("eflags", eflags),
	M("cc", cc),
	M("icount", icount),
	M("cpl", cpl),
	M("halted", halted),
	M("inhibit", inhibit),
	M("look", look),
	M("cr0", cr0),
	M("cr2", cr2),
	M("cr3", cr3),
	M("cr4", cr4),
#undef M
};

static void note_one(struct cpu *cpu, uint8_t *host, unsigned size)
{
	struct check *c = cpu->tcg->check;

	if (!cpu->tcg->checking)
		return;
	if (c->second) {
		for (unsigned i = 0; i < c->n; i++)
			if (c->write[i].host <= host &&
				host + size <= c->write[i].host + c->write[i].size)
				return;
		c->stray = host;
		return;
	}
	must(c->n < MAX_WRITES && size <= 8);
	c->write[c->n] =
		(struct write){ .host = host, .exit = cpu->tcg_exit, .size = (uint8_t)size };
	memcpy(&c->write[c->n].old, host, size);
	c->n++;
}

static void note(struct cpu *cpu, uint8_t *host, unsigned size)
{
	for (; size > 8; host += 8, size -= 8)
		note_one(cpu, host, 8);
	note_one(cpu, host, size);
}

static void note_learnt(struct cpu *cpu, uint32_t lin, bool user, uint64_t old)
{
	struct check *c = cpu->tcg->check;

	if (!cpu->tcg->checking || c->second)
		return;
	must(c->n_learnt < MAX_WRITES);
	c->learnt[c->n_learnt++] = (struct learnt){ lin, user, old };
}

static void take_back(struct cpu *cpu, struct check *c)
{
	for (unsigned i = 0; i < c->n; i++)
		memcpy(&c->write[i].made, c->write[i].host, c->write[i].size);
	for (unsigned i = c->n; i-- > 0;)
		memcpy(c->write[i].host, &c->write[i].old, c->write[i].size);
	for (unsigned i = c->n_learnt; i-- > 0;)
		mmu_unlearn(cpu, c->learnt[i].lin, c->learnt[i].user, c->learnt[i].old);
}

/* ---- the report ---- */

static void line_stderr(void *opaque, const char *text)
{
	(void)opaque;
	log_error("check: %s", text);
}

static uint64_t member_get(const struct cpu *cpu, unsigned i)
{
	uint64_t v = 0;

	memcpy(&v, (const uint8_t *)cpu + members[i].off, members[i].len);
	/* Of the arithmetic flags what is in eflags says nothing: cc has them, and other bits. */
	if (members[i].off == offsetof(struct cpu, eflags))
		return v & ~(uint64_t)FL_ARITH;
	return members[i].off == offsetof(struct cpu, cc) ? flags_from_cc((uint32_t)v) : v;
}

static void report(struct cpu *cpu, const struct tb *tb, const struct cpu *before,
	const struct cpu *made, const char *what)
{
	struct tcg *t = cpu->tcg;
	struct ir_mode mode = tcg_mode(cpu, tb->key);
	uint8_t code[4096];
	size_t n = mmu_peek_bytes(cpu, tb->lin, code, tb->len);

	log_error("check: %s: block %08x at icount %llu, left by exit %u", what, tb->eip,
		(unsigned long long)before->icount, made->tcg_exit & 7);
	log_error("check: %-8s %12s %12s %12s", "", "before", "translated", "interpreted");
	for (unsigned i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
		uint64_t b = member_get(before, i), m = member_get(made, i), c = member_get(cpu, i);

		log_error("check: %-8s %12llx %12llx %12llx%s", members[i].name,
			(unsigned long long)b, (unsigned long long)m, (unsigned long long)c,
			m != c ? " <--" : "");
	}
	t->ir.next_page = NULL;
	if (n == tb->len && front_translate(&t->ir, code, tb->len, tb->eip, &mode, tb->n_insns)) {
		ir_optimise(&t->ir);
		tcg_print_block(cpu, &t->ir, tb, TCG_PRINT_GUEST | TCG_PRINT_IR | TCG_PRINT_HOST,
			line_stderr, NULL);
	}
	log_fatal("check: the translator and the interpreter differ (%s)", what);
}

/*
 * Has the interpreter written the same? An instruction that was left to it by exit has not been
 * executed: it may have set accessed and dirty bits.
 */
static bool is_same(const struct write *w, uint32_t exit)
{
	uint64_t mask = w->exit == exit ? PTE_AD : 0, now = 0;

	memcpy(&now, w->host, w->size);
	return !((w->made ^ now) & ~mask);
}

static void compare(struct cpu *cpu, const struct tb *tb, const struct cpu *before,
	const struct cpu *made, uint64_t fpu_made)
{
	struct check *c = cpu->tcg->check;

	for (unsigned i = 0; i < sizeof(members) / sizeof(members[0]); i++)
		if (member_get(cpu, i) != member_get(made, i))
			report(cpu, tb, before, made, members[i].name);
	for (unsigned i = 0; i < c->n; i++)
		if (!is_same(&c->write[i], made->tcg_exit))
			report(cpu, tb, before, made, "memory");
	if (c->stray)
		report(cpu, tb, before, made, "a write that translated code did not do");
	if (fpu_digest(cpu) != fpu_made)
		report(cpu, tb, before, made, "x87, MMX or SSE state");
	c->compared++;
}

/* ---- the second run ---- */

/* Near the limit of the code segment the interpreter looks after each instruction. */
static bool limit_is_near(const struct cpu *cpu)
{
	return cpu->seg[SEG_CS].limit - cpu->eip < PAGE_SIZE;
}

static void interpret(
	struct cpu *cpu, const struct tb *tb, const struct cpu *before, const struct cpu *made)
{
	sigjmp_buf here, *outer = cpu->catch_;
	bool near = limit_is_near(before);

	cpu->catch_ = &here;
	if (sigsetjmp(here, 0))
		report(cpu, tb, before, made, "only the interpreter meets a fault");
	/* A load of a segment register ends a block of the interpreter's. */
	while (engine_run_blocks(cpu, made->icount) == ENGINE_LOOK && cpu->icount < made->icount &&
		(near || !cpu->look)) {
		cpu->look = false;
		engine_mode(cpu);
	}
	if (near)
		cpu->look = made->look;
	cpu->catch_ = outer;
}

void check_enter(struct cpu *cpu, struct tb *tb)
{
	struct tcg *t = cpu->tcg;
	struct check *c = t->check;
	static struct cpu before, made;
	static struct fpu fpu_before;
	uint64_t fpu_made;

	fpu_park(cpu->fpu);
	sse_park(cpu);
	before = *cpu;
	fpu_before = *cpu->fpu;
	cpu->tcg_gen = NO_GEN;
	c->n = c->n_learnt = 0;
	c->stray = NULL;
	c->second = false;
	t->checking = true;
	tcg_enter(cpu, tb);
	tcg_settle(cpu);
	made = *cpu;
	fpu_made = fpu_digest(cpu);
	take_back(cpu, c);
	*cpu = before;
	*cpu->fpu = fpu_before;
	c->second = true;
	if (made.icount > cpu->icount)
		interpret(cpu, tb, &before, &made);
	t->checking = false;
	compare(cpu, tb, &before, &made, fpu_made);
	cpu->tcg_exit = made.tcg_exit;
	cpu->ret_sp = made.ret_sp;
	cpu->tcg_left = made.tcg_left;
	cpu->tcg_target = made.tcg_target;
}

struct check *check_new(struct cpu *cpu)
{
	struct check *c = calloc(1, sizeof(*c));

	if (c)
		mmu_observe(cpu, note, note_learnt);
	return c;
}

void check_free(struct check *c)
{
	free(c);
}

uint64_t check_compared(const struct cpu *cpu)
{
	return cpu->tcg->check->compared;
}
