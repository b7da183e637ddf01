/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What people can see of the translator: each block's stages (trace points vcpu_tb_in, vcpu_tb_ir,
 * vcpu_tb_host), counters, and the file in which perf looks up symbols of generated code.
 */
#include <inttypes.h>
#include <unistd.h>

#include "disas.h"
#include "tcg_int.h"
#include "window.h"
#include "trace.h"

static struct trace_point tp_in = TRACE_POINT("vcpu_tb_in");
static struct trace_point tp_ir = TRACE_POINT("vcpu_tb_ir");
static struct trace_point tp_host = TRACE_POINT("vcpu_tb_host");

typedef void line_fn(void *opaque, const char *text);

static void print_guest(struct cpu *cpu, const struct tb *tb, line_fn *line, void *opaque)
{
	char insn[128], text[160];

	for (unsigned i = 0; i < tb->n_insns; i++) {
		uint8_t bytes[16];
		size_t n = mmu_peek_bytes(
			cpu, tb->insn_eip[i] + (tb->lin - tb->eip), bytes, tb->insn[i].len);

		disas_insn(bytes, n, tb->key & KEY_CODE32, tb->insn_eip[i], insn, sizeof(insn));
		snprintf(text, sizeof(text), "%08x  %s", tb->insn_eip[i], insn);
		line(opaque, text);
	}
}

static void print_ir(const struct ir_block *ir, line_fn *line, void *opaque)
{
	char text[160];

	for (unsigned i = 0; i < ir->n_ops; i++) {
		ir_op_text(&ir->op[i], text, sizeof(text));
		line(opaque, text);
	}
}

static void print_host(struct cpu *cpu, const struct tb *tb, line_fn *line, void *opaque)
{
	const uint8_t *p = cpu->tcache->mem.rx + tb->code;
	char insn[128], text[160];

	for (uint32_t at = 0; at < tb->code_len;) {
		unsigned n = disas_x64(
			p + at, tb->code_len - at, (uintptr_t)(p + at), insn, sizeof(insn));

		snprintf(text, sizeof(text), "%06x  %s", tb->code + at, insn);
		line(opaque, text);
		at += n ? n : 1;
	}
}

void tcg_print_block(struct cpu *cpu, const struct ir_block *ir, const struct tb *tb, unsigned what,
	line_fn *line, void *opaque)
{
	if (what & TCG_PRINT_GUEST)
		print_guest(cpu, tb, line, opaque);
	if (what & TCG_PRINT_IR)
		print_ir(ir, line, opaque);
	if (what & TCG_PRINT_HOST)
		print_host(cpu, tb, line, opaque);
}

static void line_trace(void *opaque, const char *text)
{
	trace((struct trace_point *)opaque, "%s", text);
}

static bool wanted(struct trace_point *tp)
{
	return tp->known ? tp->on : trace_match(tp);
}

void tcg_dump_block(struct cpu *cpu, const struct ir_block *ir, const struct tb *tb)
{
	static const struct {
		struct trace_point *tp;
		unsigned what;
	} stages[] = {
		{ &tp_in, TCG_PRINT_GUEST },
		{ &tp_ir, TCG_PRINT_IR },
		{ &tp_host, TCG_PRINT_HOST },
	};

	for (unsigned i = 0; i < sizeof(stages) / sizeof(stages[0]); i++) {
		if (!wanted(stages[i].tp))
			continue;
		trace(stages[i].tp,
			"block %08x key %02x: %u instructions, %u bytes to %u at code cache %06x",
			tb->eip, tb->key, tb->n_insns, tb->len, tb->code_len, tb->code);
		tcg_print_block(cpu, ir, tb, stages[i].what, line_trace, stages[i].tp);
	}
}

/* ---- counters ---- */

void tcg_stats_print(const struct cpu *cpu, line_fn *line, void *opaque)
{
	const struct tcg_stats *s = tcg_stats(cpu);
	const struct tcache_stats *c = &cpu->tcache->stats;
	const struct icache_stats *i = &cpu->icache->stats;
	const struct window_stats *w = window_stats(cpu);
	const struct {
		const char *name;
		uint64_t value;
	} rows[] = {
		{ "instructions", cpu->icount },
		{ "instructions of translated code", s->insns },
		{ "of these, 16-bit code", s->insns_16 },
		{ "of these, where a segment is not flat", s->insns_seg },
		{ "entries into translated code", s->entered },
		{ "exits: after a handler", s->exits[TCG_EXIT_DONE] },
		{ "exits: to step one instruction", s->exits[TCG_EXIT_STEP] },
		{ "exits: edge without link", s->exits[TCG_EXIT_EDGE] },
		{ "exits: budget", s->exits[TCG_EXIT_BUDGET] + s->exits[TCG_EXIT_HEAD] },
		{ "exits: stale link", s->exits[TCG_EXIT_STALE] },
		{ "exits: indirect jump", s->exits[TCG_EXIT_INDIRECT] },
		{ "indirect jumps that were looked up", s->indirect },
		{ "returns guessed wrong", cpu->ret_missed },
		{ "blocks translated", c->blocks },
		{ "their instructions", c->insns },
		{ "their bytes of code", c->host_bytes },
		{ "their bytes of metadata", c->meta_bytes },
		{ "their look-ups of accesses", c->looked_up },
		{ "their accesses that share one", c->shared },
		{ "blocks that cannot be translated", s->rejected },
		{ "blocks killed by writes", c->killed },
		{ "links made", c->links },
		{ "links taken back", c->unlinks },
		{ "stale links renewed", s->relinked },
		{ "regions of the cache emptied", c->regions_emptied },
		{ "flushes of the cache", c->flushes },
		{ "TLB misses", s->host_calls },
		{ "TLB misses left to the interpreter", s->host_failed },
		{ "instructions by handlers", s->insn_calls },
		{ "instructions with a window", w->insns },
		{ "windows found to pay", w->entered },
		{ "windows left", w->left },
		{ "windows cleared", w->clears },
		{ "faults by windows", w->faults },
		{ "of these left to the interpreter", w->stepped },
		{ "pieces mapped", w->maps },
		{ "their pages", w->pages },
		{ "interpreter's blocks decoded", i->blocks },
		{ "writes to pages with code", i->writes_to_code },
		{ "TLB flushes that void links", i->unlinks },
	};
	char text[96];

	for (unsigned n = 0; n < sizeof(rows) / sizeof(rows[0]); n++) {
		snprintf(text, sizeof(text), "%14" PRIu64 "  %s", rows[n].value, rows[n].name);
		line(opaque, text);
	}
}

/* ---- perf ---- */

FILE *tcg_perf_open(void)
{
	char name[64];
	FILE *f;

	snprintf(name, sizeof(name), "/tmp/perf-%d.map", (int)getpid());
	f = fopen(name, "we");
	if (f)
		setvbuf(f, NULL, _IOLBF, 4096);
	return f;
}

void tcg_perf_block(FILE *f, const struct tcache_mem *mem, const struct tb *tb)
{
	fprintf(f, "%" PRIxPTR " %x guest_%08x\n", (uintptr_t)(mem->rx + tb->code), tb->code_len,
		tb->eip);
}
