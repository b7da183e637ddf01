/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Transfers between code segments: far JMP, CALL and RET, call gates, IRET, SYSENTER and SYSEXIT.
 * SDM vol. 3, 5.8 (privilege checks), 5.8.5 (stack switch), 6.12.1 (returns); vol. 2, CALL, IRET,
 * JMP, RET, SYSENTER, SYSEXIT.
 *
 * All checks and memory accesses come first, the commit after them; see seg.c and excp.c.
 */
#include "op_system.h"
#include "sys.h"

#include "flags.h"
#include "mem.h"

#define FL_IRET16 (FL_ARITH | FL_TF | FL_DF | FL_NT)
#define FL_IRET32 (FL_IRET16 | FL_RF | FL_AC | FL_ID)

/* ---- JMP and CALL ---- */

struct far {
	const struct insn *in;
	uint16_t sel;
	uint32_t off;
	bool call;
};

static void transfer_8086(struct cpu *cpu, const struct far *f)
{
	struct stack st;

	if (f->off > cpu->seg[SEG_CS].limit)
		cpu_raise_err(cpu, EXCP_GP, 0);
	if (f->call) {
		stack_current(cpu, &st);
		stack_push(cpu, &st, f->in->opsize, cpu->seg[SEG_CS].sel);
		stack_push(cpu, &st, f->in->opsize, eip_next(cpu, f->in));
		cpu->gpr[R_ESP] = st.esp;
	}
	seg_load_real(cpu, SEG_CS, f->sel);
	cpu->eip = f->off;
}

/* To a code segment of the present privilege, pushing w-byte words for a call. */
static void transfer_same(struct cpu *cpu, const struct far *f, uint16_t sel, struct desc *d,
	uint32_t eip, unsigned w)
{
	struct stack st;

	if (f->call) {
		stack_current(cpu, &st);
		stack_push(cpu, &st, w, cpu->seg[SEG_CS].sel);
		stack_push(cpu, &st, w, eip_next(cpu, f->in));
	}
	if (eip > desc_limit(d))
		cpu_raise_err(cpu, EXCP_GP, 0);
	desc_set_accessed(cpu, d);
	if (f->call)
		cpu->gpr[R_ESP] = st.esp;
	cs_commit(cpu, (uint16_t)((sel & ~3u) | cpu->cpl), d, eip, cpu->cpl);
}

static void transfer_code(struct cpu *cpu, const struct far *f, struct desc *d)
{
	unsigned dpl = desc_dpl(d), rpl = f->sel & 3;

	if (desc_is_conforming(d) ? dpl > cpu->cpl : rpl > cpu->cpl || dpl != cpu->cpl)
		cpu_raise_err(cpu, EXCP_GP, f->sel & ~3u);
	if (!desc_present(d))
		cpu_raise_err(cpu, EXCP_NP, f->sel & ~3u);
	transfer_same(cpu, f, f->sel, d, f->off, f->in->opsize);
}

/* Parameters of a call gate, from the old stack to the new one; at most 31. */
static void copy_parameters(struct cpu *cpu, struct stack *to, unsigned n, unsigned w)
{
	struct stack from;
	uint32_t param[31];

	stack_current(cpu, &from);
	for (unsigned i = 0; i < n; i++)
		param[i] = stack_pop(cpu, &from, w);
	while (n-- > 0)
		stack_push(cpu, to, w, param[n]);
}

static void call_gate_inner(struct cpu *cpu, const struct far *f, const struct desc *gate,
	uint16_t sel, struct desc *d, uint32_t eip, unsigned w)
{
	unsigned cpl = desc_dpl(d);
	struct stack st;

	stack_from_tss(cpu, cpl, 0, &st);
	stack_push(cpu, &st, w, cpu->seg[SEG_SS].sel);
	stack_push(cpu, &st, w, cpu->gpr[R_ESP]);
	copy_parameters(cpu, &st, gate->hi & 31, w);
	stack_push(cpu, &st, w, cpu->seg[SEG_CS].sel);
	stack_push(cpu, &st, w, eip_next(cpu, f->in));
	if (eip > desc_limit(d))
		cpu_raise_err(cpu, EXCP_GP, 0);
	desc_set_accessed(cpu, d);
	cs_commit(cpu, (uint16_t)((sel & ~3u) | cpl), d, eip, cpl);
	cpu->gpr[R_ESP] = st.esp;
	cpu->seg[SEG_SS] = st.seg;
	seg_mode_changed(cpu);
}

static void check_gate(struct cpu *cpu, const struct far *f, const struct desc *gate)
{
	if (desc_dpl(gate) < cpu->cpl || desc_dpl(gate) < (f->sel & 3u))
		cpu_raise_err(cpu, EXCP_GP, f->sel & ~3u);
	if (!desc_present(gate))
		cpu_raise_err(cpu, EXCP_NP, f->sel & ~3u);
}

static void transfer_call_gate(struct cpu *cpu, const struct far *f, const struct desc *gate)
{
	unsigned w = desc_type(gate) == SYS_CALL32 ? 4 : 2;
	uint32_t eip = (gate->lo & 0xffff) | (w == 4 ? gate->hi & 0xffff0000 : 0);
	uint16_t sel = gate->lo >> 16;
	struct desc d;
	bool conforming;

	check_gate(cpu, f, gate);
	if (sel_is_null(sel))
		cpu_raise_err(cpu, EXCP_GP, 0);
	desc_fetch_or_raise(cpu, sel, &d, EXCP_GP, 0);
	conforming = desc_is_conforming(&d);
	if (!desc_is_code(&d) || desc_dpl(&d) > cpu->cpl ||
		(!f->call && !conforming && desc_dpl(&d) != cpu->cpl))
		cpu_raise_err(cpu, EXCP_GP, sel & ~3u);
	if (!desc_present(&d))
		cpu_raise_err(cpu, EXCP_NP, sel & ~3u);
	if (f->call && !conforming && desc_dpl(&d) < cpu->cpl)
		call_gate_inner(cpu, f, gate, sel, &d, eip, w);
	else
		transfer_same(cpu, f, sel, &d, eip, w);
}

static void transfer_task(struct cpu *cpu, const struct far *f, const struct desc *d)
{
	struct task_switch ts = {
		.cause = f->call ? TASK_CALL : TASK_JMP,
		.sel = f->sel,
		.desc = *d,
		.eip = eip_next(cpu, f->in),
		.eflags = flags_get(cpu),
	};

	check_gate(cpu, f, d);
	if (desc_type(d) == SYS_TASK_GATE)
		task_switch_gate(cpu, d, &ts);
	else if (f->sel & 4)
		cpu_raise_err(cpu, EXCP_GP, f->sel & ~3u);
	else
		task_switch(cpu, &ts);
}

static void transfer(struct cpu *cpu, const struct far *f)
{
	struct desc d;

	if (!cpu_protected(cpu)) {
		transfer_8086(cpu, f);
		return;
	}
	if (sel_is_null(f->sel))
		cpu_raise_err(cpu, EXCP_GP, 0);
	desc_fetch_or_raise(cpu, f->sel, &d, EXCP_GP, 0);
	if (desc_is_code(&d)) {
		transfer_code(cpu, f, &d);
		return;
	}
	if (!desc_is_system(&d))
		cpu_raise_err(cpu, EXCP_GP, f->sel & ~3u);
	switch (desc_type(&d)) {
	case SYS_CALL16:
	case SYS_CALL32: transfer_call_gate(cpu, f, &d); break;
	case SYS_TASK_GATE:
	case SYS_TSS16:
	case SYS_TSS32: transfer_task(cpu, f, &d); break;
	default: cpu_raise_err(cpu, EXCP_GP, f->sel & ~3u);
	}
}

static void transfer_imm(struct cpu *cpu, const struct insn *in, bool call)
{
	struct far f = { in, in->imm2, in->opsize == 2 ? in->imm & 0xffff : in->imm, call };

	transfer(cpu, &f);
}

static void transfer_mem(struct cpu *cpu, const struct insn *in, bool call)
{
	struct far f = { .in = in, .call = call };
	uint32_t ea;

	if (!in->mem)
		cpu_raise(cpu, EXCP_UD);
	ea = insn_ea(cpu, in);
	f.off = in->opsize == 2 ? seg_read16(cpu, in->seg, ea) : seg_read32(cpu, in->seg, ea);
	f.sel = seg_read16(cpu, in->seg, ea + in->opsize);
	transfer(cpu, &f);
}

void op_jmp_far_imm(struct cpu *cpu, const struct insn *in)
{
	transfer_imm(cpu, in, false);
}

void op_jmp_far_mem(struct cpu *cpu, const struct insn *in)
{
	transfer_mem(cpu, in, false);
}

void op_call_far_imm(struct cpu *cpu, const struct insn *in)
{
	transfer_imm(cpu, in, true);
}

void op_call_far_mem(struct cpu *cpu, const struct insn *in)
{
	transfer_mem(cpu, in, true);
}

/* ---- returns ---- */

/* The code segment that a RET or IRET goes to (SDM vol. 2, RET). */
static void fetch_return_code(struct cpu *cpu, uint16_t sel, struct desc *d)
{
	unsigned rpl = sel & 3, dpl;

	if (sel_is_null(sel))
		cpu_raise_err(cpu, EXCP_GP, 0);
	desc_fetch_or_raise(cpu, sel, d, EXCP_GP, 0);
	dpl = desc_dpl(d);
	if (rpl < cpu->cpl || !desc_is_code(d) || (desc_is_conforming(d) ? dpl > rpl : dpl != rpl))
		cpu_raise_err(cpu, EXCP_GP, sel & ~3u);
	if (!desc_present(d))
		cpu_raise_err(cpu, EXCP_NP, sel & ~3u);
}

/*
 * Commits a return in protected mode. st stands behind what was popped; for an outer level old
 * SS:ESP come next. imm: bytes of parameters to be dropped from both stacks.
 */
static void return_protected(
	struct cpu *cpu, struct stack *st, unsigned w, uint16_t sel, uint32_t eip, uint32_t imm)
{
	unsigned rpl = sel & 3;
	struct stack outer;
	uint16_t ss_sel;
	struct desc d;

	fetch_return_code(cpu, sel, &d);
	stack_skip(st, (int32_t)imm);
	if (rpl == cpu->cpl) {
		if (eip > desc_limit(&d))
			cpu_raise_err(cpu, EXCP_GP, 0);
		desc_set_accessed(cpu, &d);
		cpu->gpr[R_ESP] = st->esp;
		cs_commit(cpu, sel, &d, eip, rpl);
		return;
	}
	outer.esp = stack_pop(cpu, st, w);
	ss_sel = (uint16_t)stack_pop(cpu, st, w);
	seg_fetch_stack(cpu, ss_sel, rpl, EXCP_GP, 0, &outer.seg);
	if (eip > desc_limit(&d))
		cpu_raise_err(cpu, EXCP_GP, 0);
	desc_set_accessed(cpu, &d);
	/* Into a 16-bit stack only SP is loaded. */
	if (!(outer.seg.attr & SEG_DB))
		outer.esp = (cpu->gpr[R_ESP] & 0xffff0000) | (outer.esp & 0xffff);
	stack_skip(&outer, (int32_t)imm);
	cs_commit(cpu, sel, &d, eip, rpl);
	cpu->gpr[R_ESP] = outer.esp;
	cpu->seg[SEG_SS] = outer.seg;
	seg_mode_changed(cpu);
	seg_drop_privileged(cpu);
}

static void ret_far(struct cpu *cpu, unsigned w, uint32_t imm)
{
	struct stack st;
	uint32_t eip;
	uint16_t sel;

	stack_current(cpu, &st);
	eip = stack_pop(cpu, &st, w);
	sel = (uint16_t)stack_pop(cpu, &st, w);
	if (cpu_protected(cpu)) {
		return_protected(cpu, &st, w, sel, eip, imm);
		return;
	}
	if (eip > cpu->seg[SEG_CS].limit)
		cpu_raise_err(cpu, EXCP_GP, 0);
	stack_skip(&st, (int32_t)imm);
	cpu->gpr[R_ESP] = st.esp;
	seg_load_real(cpu, SEG_CS, sel);
	cpu->eip = eip;
}

void op_ret_far(struct cpu *cpu, const struct insn *in)
{
	ret_far(cpu, in->opsize, 0);
}

void op_ret_far_imm(struct cpu *cpu, const struct insn *in)
{
	ret_far(cpu, in->opsize, in->imm & 0xffff);
}

/* ---- IRET ---- */

/* Loads the flags that mask allows; RF lasts for the next instruction. */
static void iret_flags(struct cpu *cpu, uint32_t image, uint32_t mask)
{
	if (image & mask & FL_RF)
		cpu->rf_icount = cpu->icount + 1;
	flags_set(cpu, (flags_get(cpu) & ~mask) | (image & mask) | FL_ONE);
}

static void iret_8086(struct cpu *cpu, unsigned w)
{
	uint32_t mask = (w == 4 ? FL_IRET32 : FL_IRET16) | FL_IF, eip, image;
	bool v86 = cpu_v86(cpu), vme = false;
	struct stack st;
	uint16_t sel;

	if (v86 && cpu_iopl(cpu) < 3) {
		if (!(cpu->cr4 & CR4_VME) || w == 4)
			cpu_raise_err(cpu, EXCP_GP, 0);
		vme = true;
	}
	stack_current(cpu, &st);
	eip = stack_pop(cpu, &st, w);
	sel = (uint16_t)stack_pop(cpu, &st, w);
	image = stack_pop(cpu, &st, w);
	if (eip > cpu->seg[SEG_CS].limit)
		cpu_raise_err(cpu, EXCP_GP, 0);
	if (vme) {
		/* SDM vol. 3, 20.3.2: IF stands for VIF. */
		if (image & FL_TF || (image & FL_IF && cpu->eflags & FL_VIP))
			cpu_raise_err(cpu, EXCP_GP, 0);
		mask = (mask & ~FL_IF) | FL_VIF;
		image = (image & ~FL_VIF) | (image & FL_IF ? FL_VIF : 0);
	} else if (!v86) {
		mask |= FL_IOPL;
	}
	cpu->gpr[R_ESP] = st.esp;
	seg_load_real(cpu, SEG_CS, sel);
	cpu->eip = eip;
	iret_flags(cpu, image, mask);
}

/* From ring 0 to virtual-8086 mode: st stands behind EFLAGS. */
static void iret_to_v86(
	struct cpu *cpu, struct stack *st, uint16_t cs, uint32_t eip, uint32_t image)
{
	static const uint8_t order[] = { SEG_SS, SEG_ES, SEG_DS, SEG_FS, SEG_GS };
	uint16_t sel[5];
	uint32_t esp = stack_pop(cpu, st, 4);

	for (unsigned i = 0; i < 5; i++)
		sel[i] = (uint16_t)stack_pop(cpu, st, 4);
	if (eip > 0xffff)
		cpu_raise_err(cpu, EXCP_GP, 0);
	iret_flags(cpu, image, FL_IRET32 | FL_IF | FL_IOPL | FL_VM | FL_VIF | FL_VIP);
	for (unsigned i = 0; i < 5; i++)
		seg_set_v86(&cpu->seg[order[i]], sel[i]);
	seg_set_v86(&cpu->seg[SEG_CS], cs);
	cpu->gpr[R_ESP] = esp;
	cpu->eip = eip;
	seg_mode_changed(cpu);
}

/* NT set: back to the task that the present TSS links to. */
static void iret_task(struct cpu *cpu, const struct insn *in)
{
	struct task_switch ts = { .cause = TASK_IRET };
	uint16_t link = lin_read16(cpu, cpu->tr.base, false);

	/* A null link is outside of what a TSS may be, like a local one. */
	if (link & 4 || sel_is_null(link) || !desc_fetch(cpu, link, &ts.desc))
		cpu_raise_err(cpu, EXCP_TS, link & ~3u);
	if (!desc_is_system(&ts.desc) || (desc_type(&ts.desc) & ~8u) != SYS_TSS16_BUSY)
		cpu_raise_err(cpu, EXCP_TS, link & ~3u);
	if (!desc_present(&ts.desc))
		cpu_raise_err(cpu, EXCP_NP, link & ~3u);
	ts.sel = link;
	ts.eip = eip_next(cpu, in);
	ts.eflags = flags_get(cpu);
	task_switch(cpu, &ts);
}

static void iret_protected(struct cpu *cpu, unsigned w)
{
	uint32_t mask = w == 4 ? FL_IRET32 : FL_IRET16, eip, image;
	unsigned cpl = cpu->cpl;
	struct stack st;
	uint16_t sel;

	stack_current(cpu, &st);
	eip = stack_pop(cpu, &st, w);
	sel = (uint16_t)stack_pop(cpu, &st, w);
	image = stack_pop(cpu, &st, w);
	if (w == 4 && image & FL_VM && cpl == 0) {
		iret_to_v86(cpu, &st, sel, eip, image);
		return;
	}
	if (cpl <= cpu_iopl(cpu))
		mask |= FL_IF;
	if (cpl == 0)
		mask |= FL_IOPL | (w == 4 ? FL_VIF | FL_VIP : 0);
	return_protected(cpu, &st, w, sel, eip, 0);
	iret_flags(cpu, image, mask);
}

void op_iret(struct cpu *cpu, const struct insn *in)
{
	/* Even an IRET that faults lets NMIs through again (SDM vol. 3, 6.7.1). */
	if (cpu->nmi_blocked) {
		cpu->nmi_blocked = false;
		cpu->look = true;
	}
	if (!cpu_protected(cpu))
		iret_8086(cpu, in->opsize);
	else if (cpu->eflags & FL_NT)
		iret_task(cpu, in);
	else
		iret_protected(cpu, in->opsize);
}

/* ---- SYSENTER, SYSEXIT ---- */

static void load_flat(struct cpu *cpu, enum seg seg, uint16_t sel, bool code, unsigned dpl)
{
	struct segment *s = &cpu->seg[seg];

	s->sel = sel;
	s->base = 0;
	s->limit = UINT32_MAX;
	s->attr = (uint16_t)(SEG_G | SEG_DB | SEG_P | SEG_S | SEG_A | SEG_W |
			     (code ? SEG_CODE : 0) | dpl << SEG_DPL_SHIFT);
	seg_update(s);
}

void op_sysenter(struct cpu *cpu, const struct insn *in)
{
	uint16_t cs = cpu->sysenter_cs & 0xfffc;

	if (!(cpu->cr0 & CR0_PE) || cs == 0)
		cpu_raise_err(cpu, EXCP_GP, 0);
	flags_set(cpu, flags_get(cpu) & ~(FL_VM | FL_IF | FL_RF));
	load_flat(cpu, SEG_CS, cs, true, 0);
	load_flat(cpu, SEG_SS, (uint16_t)(cs + 8), false, 0);
	cpu->gpr[R_ESP] = cpu->sysenter_esp;
	cpu->eip = cpu->sysenter_eip;
	seg_mode_changed(cpu);
}

void op_sysexit(struct cpu *cpu, const struct insn *in)
{
	uint16_t cs = cpu->sysenter_cs & 0xfffc;

	if (cs == 0 || !cpu_protected(cpu) || cpu->cpl != 0)
		cpu_raise_err(cpu, EXCP_GP, 0);
	load_flat(cpu, SEG_CS, (uint16_t)((cs + 16) | 3), true, 3);
	load_flat(cpu, SEG_SS, (uint16_t)((cs + 24) | 3), false, 3);
	cpu->gpr[R_ESP] = cpu->gpr[R_ECX];
	cpu->eip = cpu->gpr[R_EDX];
	seg_mode_changed(cpu);
}
