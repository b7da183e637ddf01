/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "insn_trace.h"

#include <stdio.h>

#include "disas.h"
#include "engine.h"
#include "flags.h"
#include "mmu.h"
#include "trace.h"

static struct trace_point tp_in_asm = TRACE_POINT("vcpu_in_asm");
static struct trace_point tp_exec = TRACE_POINT("vcpu_exec");

#define INSN_LEN_MAX 15

/* The instruction at linear address lin as text; its length, 0 if it cannot be read. */
static unsigned words(struct cpu *cpu, uint32_t lin, uint32_t eip, char *buf, size_t cap)
{
	uint8_t bytes[INSN_LEN_MAX];
	size_t n = mmu_peek_bytes(cpu, lin, bytes, sizeof(bytes));

	return disas_insn(bytes, n, cpu->code32, eip, buf, cap);
}

static void trace_block(void *opaque, struct cpu *cpu, uint32_t lin, uint32_t len, unsigned n_insns)
{
	uint32_t base = cpu->seg[SEG_CS].base, at = 0;
	char text[128];

	for (unsigned i = 0; i < n_insns && at < len; i++) {
		unsigned n = words(cpu, lin + at, lin + at - base, text, sizeof(text));

		trace(&tp_in_asm, "%04x:%08x  %s", cpu->seg[SEG_CS].sel, lin + at - base, text);
		if (!n)
			break;
		at += n;
	}
}

static void trace_exec(void *opaque, struct cpu *cpu, const struct insn *in)
{
	const uint32_t *r = cpu->gpr;
	char text[128];

	words(cpu, cpu->seg[SEG_CS].base + cpu->eip, cpu->eip, text, sizeof(text));
	trace(&tp_exec,
		"%llu %04x:%08x  %-40s eax %08x ecx %08x edx %08x ebx %08x esp %08x ebp %08x esi "
		"%08x edi %08x "
		"eflags %08x",
		(unsigned long long)cpu_icount(cpu), cpu->seg[SEG_CS].sel, cpu->eip, text, r[R_EAX],
		r[R_ECX], r[R_EDX], r[R_EBX], r[R_ESP], r[R_EBP], r[R_ESI], r[R_EDI],
		(cpu->eflags & ~FL_ARITH) | flags_get_arith(cpu));
}

void insn_trace_start(struct cpu *cpu)
{
	static struct engine_trace t;

	if (trace_match(&tp_in_asm))
		t.block = trace_block;
	if (trace_match(&tp_exec))
		t.exec = trace_exec;
	if (t.block || t.exec)
		engine_set_trace(cpu, &t);
}
