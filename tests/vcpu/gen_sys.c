/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Instructions of the system in random programs: EFLAGS, segment registers, ways between the
 * privilege levels, control registers and the TLB, ports; and the interrupts that they let in or
 * keep out, from a line that ports toggle and from the local APIC's timer.
 */
#include <stdio.h>

#include "gen.h"

#define OTHER_SEL 0 /* a null selector */

static unsigned below(struct gen *g, unsigned n)
{
	return gen_random(g) % n;
}

static uint32_t flags_image(struct gen *g)
{
	uint32_t fl = gen_random(g) & (FL_ARITH | FL_IF | FL_ID);

	if (!below(g, 6))
		fl |= FL_DF;
	if (!below(g, 12))
		fl |= gen_random(g) & (FL_AC | FL_IOPL | FL_RF);
	if (!below(g, 40))
		fl |= gen_random(g) & (FL_TF | FL_NT);
	return fl;
}

static void put_flags(struct gen *g)
{
	switch (below(g, 8)) {
	case 0: gen_put(g, 0x9c, 1); break; /* PUSHF, POP EAX */
	case 1: gen_put(g, 0x589c, 2); break;
	case 2: gen_put(g, 0x9d9c, 2); break;
	case 3:
	case 4: /* PUSH, POPF */
		gen_put(g, 0x68, 1);
		gen_put(g, flags_image(g), 4);
		gen_put(g, 0x9d, 1);
		break;
	case 5: gen_put(g, 0xfa, 1); break;
	case 6: gen_put(g, 0xfb, 1); break;
	default: gen_put(g, 0xfc + below(g, 2), 1); break;
	}
}

static uint32_t selector(struct gen *g)
{
	static const uint16_t sel[] = { VM_SEL_DATA32, VM_SEL_UDATA32, VM_SEL_DATA32,
		VM_SEL_UDATA32, VM_SEL_DATA16, VM_SEL_CODE32, VM_SEL_TSS, OTHER_SEL, 0x1234 };

	return sel[below(g, sizeof(sel) / sizeof(sel[0]))];
}

static void put_segment(struct gen *g)
{
	static const uint16_t same[] = { 0x0706, 0x1f1e, 0x1716 };
	static const uint8_t data[] = { SEG_FS, SEG_GS, SEG_FS, SEG_GS, SEG_DS, SEG_ES };
	unsigned seg = data[below(g, sizeof(data))];

	switch (below(g, 6)) {
	case 0: gen_put(g, same[below(g, 3)], 2); break; /* PUSH, POP */
	case 1: gen_put(g, below(g, 2) ? 0xa10fa00f : 0xa90fa80f, 4); break;
	case 2: /* MOV EAX, SS; MOV SS, EAX */ gen_put(g, 0xd08ed08c, 4); break;
	case 3:
		gen_put(g, 0x8c, 1);
		if (below(g, 2))
			gen_put(g, 0xc0 | below(g, 6) << 3, 1);
		else
			gen_put_mem(g, below(g, 6));
		break;
	case 4: /* MOV EAX, DS; MOV ES, EAX */ gen_put(g, 0xc08ed88c, 4); break;
	default: /* MOV EAX, selector; MOV seg, EAX */
		gen_put(g, 0xb8, 1);
		gen_put(g, selector(g), 4);
		gen_put(g, 0xc08e | seg << 11, 2);
		break;
	}
}

/* Ways to another instruction, at this privilege level or another. */
static void put_transfer(struct gen *g)
{
	switch (below(g, 6)) {
	case 0:
	case 1: /* PUSHF; PUSH CS; PUSH target; IRET */
		gen_put(g, 0x680e9c, 3);
		gen_put_target(g);
		gen_put(g, 0xcf, 1);
		break;
	case 2: /* PUSH CS; PUSH target; RETF */
		gen_put(g, 0x680e, 2);
		gen_put_target(g);
		gen_put(g, 0xcb, 1);
		break;
	case 3: gen_put(g, 0x340f, 2); break; /* SYSENTER */
	case 4:				      /* MOV ECX, stack; MOV EDX, target; SYSEXIT */
		gen_put(g, 0xb9, 1);
		gen_put(g, VM_STACK - 0x400, 4);
		gen_put(g, 0xba, 1);
		gen_put_target(g);
		gen_put(g, 0x350f, 2);
		break;
	default:
		if (below(g, 3))
			gen_put(g, 0xcd | (0x20 + below(g, 16)) << 8, 2);
		else
			gen_put(g, below(g, 2) ? 0xcc : 0xce, 1);
		break;
	}
}

static void put_control(struct gen *g)
{
	switch (below(g, 8)) {
	case 0:
	case 1: /* MOV EAX, CR3; MOV CR3, EAX */
		gen_put(g, 0x0fd8200f, 4);
		gen_put(g, 0xd822, 2);
		break;
	case 2:
	case 3: /* INVLPG */
		gen_put(g, 0x010f, 2);
		gen_put_mem(g, 7);
		break;
	case 4: gen_put(g, 0x060f, 2); break; /* CLTS */
	case 5:				      /* MOV EAX, CR0; MOV CR0, EAX */
		gen_put(g, 0x0fc0200f, 4);
		gen_put(g, 0xc022, 2);
		break;
	case 6: /* SMSW, SGDT */
		gen_put(g, 0x010f, 2);
		gen_put_mem(g, below(g, 2) ? 4 : 0);
		break;
	default: gen_put(g, 0x200f | below(g, 5) << 19 | 0xc00000, 3); break; /* MOV EAX, CRn */
	}
}

static void put_other(struct gen *g)
{
	static const uint16_t two[] = { 0x310f, 0xa20f, 0x310f };
	static const uint8_t one[] = { 0x60, 0x61, 0xd7, 0xec, 0xed, 0xee, 0xef };
	unsigned opcode;

	switch (below(g, 5)) {
	case 0: gen_put(g, two[below(g, 3)], 2); break;
	case 1: gen_put(g, one[below(g, sizeof(one))], 1); break;
	case 2: gen_put(g, 0xe8ae0f + (below(g, 3) << 19), 3); break; /* fences */
	default:
		opcode = 0xe4 + below(g, 4);
		gen_put(g, opcode | below(g, 256) << 8, 2);
		break;
	}
}

void gen_put_sys(struct gen *g)
{
	switch (below(g, 12)) {
	case 0:
	case 1:
	case 2: put_flags(g); break;
	case 3:
	case 4:
	case 5: put_segment(g); break;
	case 6:
	case 7: put_transfer(g); break;
	case 8: put_control(g); break;
	default: put_other(g); break;
	}
}

/* Ports raise and lower the line, and end the APIC's interrupt. */
static void on_access(struct vm *vm, const struct vm_access *a)
{
	bool intr = (a->addr ^ a->val) & 4;

	if (a->mmio)
		return;
	if (a->val & 1)
		lapic_write(vm->cpu, 0xb0, 0);
	if (intr != vm->cpu->intr)
		vm->cpu->look = true;
	vm->cpu->intr = intr;
}

void gen_build_sys(struct gen *g, struct vm *vm)
{
	struct cpu *cpu = vm->cpu;
	uint32_t flags;

	vm->on_access = on_access;
	cpu->sysenter_cs = VM_SEL_CODE32;
	cpu->sysenter_esp = VM_STACK - 0x400;
	cpu->sysenter_eip = g->base + g->start[below(g, g->n)];
	if (below(g, 2))
		cpu->cr4 |= CR4_TSD;
	if (below(g, 2)) {
		cpu->cr4 |= CR4_PGE;
		mmu_mode_changed(cpu);
	}
	if (cpu->cr0 & CR0_PG && !(cpu->cr4 & CR4_PAE) && below(g, 2))
		for (uint32_t i = 0; i < 16; i++) /* the code is global */
			*vm_pte(vm, VM_CODE + i * 4096) |= 0x100;
	mmu_flush(cpu, false);
	flags = flags_get(cpu) | (below(g, 2) ? FL_IF : 0);
	flags_set(cpu, flags | (below(g, 2) ? FL_IOPL : 0));
	lapic_write(cpu, 0xf0, 0x1ff);
	lapic_write(cpu, 0x3e0, 0xb);
	lapic_write(cpu, 0x320, 0x20021);
	lapic_write(cpu, 0x380, 20 + below(g, 400));
}

static int differ(const char *what, const char *name, uint64_t a, uint64_t b)
{
	printf("%s: %s: %llx, but %llx\n", what, name, (unsigned long long)a,
		(unsigned long long)b);
	return 1;
}

static bool is_same(const struct vm_access *a, const struct vm_access *b)
{
	return a->write == b->write && a->mmio == b->mmio && a->size == b->size &&
	       a->addr == b->addr && a->val == b->val && a->icount == b->icount;
}

int gen_compare_sys(const char *what, const struct vm *a, const struct vm *b)
{
	const struct cpu *x = a->cpu, *y = b->cpu;

	for (unsigned i = 0; i < 6; i++) {
		const struct segment *s = &x->seg[i], *t = &y->seg[i];

		if (s->sel != t->sel || s->base != t->base || s->limit != t->limit ||
			s->attr != t->attr)
			return differ(what, "selector of a segment", s->sel, t->sel);
	}
	if (x->cpl != y->cpl)
		return differ(what, "cpl", x->cpl, y->cpl);
	if (x->cr3 != y->cr3 || x->cr4 != y->cr4)
		return differ(what, "cr3", x->cr3, y->cr3);
	if (lapic_digest(x) != lapic_digest(y))
		return differ(what, "local APIC", lapic_digest(x), lapic_digest(y));
	if (x->n_intr != y->n_intr || x->intr != y->intr)
		return differ(what, "interrupts", x->n_intr, y->n_intr);
	for (unsigned i = 0; i < 32; i++)
		if (x->n_excp[i] != y->n_excp[i])
			return differ(what, "exceptions", x->n_excp[i], y->n_excp[i]);
	if (a->n_log != b->n_log)
		return differ(what, "accesses of the bus", a->n_log, b->n_log);
	for (unsigned i = 0; i < a->n_log; i++)
		if (!is_same(&a->log[i], &b->log[i]))
			return differ(
				what, "time of a bus access", a->log[i].icount, b->log[i].icount);
	return 0;
}
