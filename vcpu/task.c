/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Task switches and the TSS's I/O permission map. SDM vol. 3, ch. 7 (task management; 7.3 has the
 * order of steps), vol. 1, 19.5.2 (I/O permission bit map).
 *
 * All memory that a switch touches is probed before it begins. From the moment at which the
 * new task's registers are loaded, faults belong to the new task (SDM vol. 3, table 7-1).
 */
#include "sys.h"

#include "flags.h"
#include "fpu.h"
#include "mem.h"

/* Fields of a TSS: offset in the 32-bit and the 16-bit format. */
#define TSS_LINK    0
#define TSS_CR3	    28
#define TSS32_TRAP  100
#define TSS32_IOMAP 102
#define TSS32_LIMIT 103
#define TSS16_LIMIT 43

struct tss_layout {
	uint8_t eip, eflags, gpr, seg,
		ldt;   /* offsets; gpr and seg: first of an array in encoding order */
	uint8_t width; /* of eip, eflags and gpr */
	uint8_t seg_step;
	uint8_t n_seg;
	uint8_t limit;
};

static const struct tss_layout layout32 = { 32, 36, 40, 72, 96, 4, 4, 6, TSS32_LIMIT };
static const struct tss_layout layout16 = { 14, 16, 18, 34, 42, 2, 2, 4, TSS16_LIMIT };

/* What a new task starts with. */
struct task_state {
	uint32_t cr3, eip, eflags, gpr[8];
	uint16_t seg[6], ldt;
	bool trap;
};

static const struct tss_layout *layout_of(unsigned type)
{
	return type & 8 ? &layout32 : &layout16;
}

static void tss_write(struct cpu *cpu, uint32_t lin, unsigned width, uint32_t val)
{
	if (width == 4)
		lin_write32(cpu, lin, val, false);
	else
		lin_write16(cpu, lin, (uint16_t)val, false);
}

static uint32_t tss_read(struct cpu *cpu, uint32_t lin, unsigned width)
{
	return width == 4 ? lin_read32(cpu, lin, false) : lin_read16(cpu, lin, false);
}

static void save_task(struct cpu *cpu, const struct tss_layout *l, uint32_t eip, uint32_t eflags)
{
	uint32_t base = cpu->tr.base;

	tss_write(cpu, base + l->eip, l->width, eip);
	tss_write(cpu, base + l->eflags, l->width, eflags);
	for (unsigned i = 0; i < 8; i++)
		tss_write(cpu, base + l->gpr + i * l->width, l->width, cpu->gpr[i]);
	for (unsigned i = 0; i < l->n_seg; i++)
		lin_write16(cpu, base + l->seg + i * l->seg_step, cpu->seg[i].sel, false);
}

static void read_task(
	struct cpu *cpu, const struct tss_layout *l, uint32_t base, struct task_state *t)
{
	bool big = l == &layout32;

	*t = (struct task_state){ .cr3 = big ? lin_read32(cpu, base + TSS_CR3, false) : cpu->cr3 };
	t->eip = tss_read(cpu, base + l->eip, l->width);
	t->eflags = tss_read(cpu, base + l->eflags, l->width);
	for (unsigned i = 0; i < 8; i++) {
		t->gpr[i] = tss_read(cpu, base + l->gpr + i * l->width, l->width);
		/* A 16-bit TSS leaves the upper halves undefined: all ones, as since the 386. */
		if (!big)
			t->gpr[i] |= 0xffff0000;
	}
	for (unsigned i = 0; i < l->n_seg; i++)
		t->seg[i] = lin_read16(cpu, base + l->seg + i * l->seg_step, false);
	t->ldt = lin_read16(cpu, base + l->ldt, false);
	t->trap = big && lin_read16(cpu, base + TSS32_TRAP, false) & 1;
}

/* ---- the new task's segments; faults are its own ---- */

static void load_task_ldt(struct cpu *cpu, uint16_t sel, unsigned ext)
{
	struct desc d;

	seg_set_null(&cpu->ldtr, sel);
	if (sel_is_null(sel))
		return;
	if (sel & 4 || !desc_fetch(cpu, sel, &d) || !desc_is_system(&d) ||
		desc_type(&d) != SYS_LDT || !desc_present(&d))
		cpu_raise_err(cpu, EXCP_TS, (sel & ~3u) | ext);
	seg_from_desc(&cpu->ldtr, sel, &d);
}

static void load_task_cs(struct cpu *cpu, uint16_t sel, unsigned ext)
{
	unsigned rpl = sel & 3;
	uint32_t err = (sel & ~3u) | ext;
	struct desc d;

	if (sel_is_null(sel))
		cpu_raise_err(cpu, EXCP_TS, ext);
	desc_fetch_or_raise(cpu, sel, &d, EXCP_TS, ext);
	if (!desc_is_code(&d) ||
		(desc_is_conforming(&d) ? desc_dpl(&d) > rpl : desc_dpl(&d) != rpl))
		cpu_raise_err(cpu, EXCP_TS, err);
	if (!desc_present(&d))
		cpu_raise_err(cpu, EXCP_NP, err);
	desc_set_accessed(cpu, &d);
	cs_commit(cpu, sel, &d, cpu->eip, rpl);
}

static void load_task_data(struct cpu *cpu, enum seg seg, uint16_t sel, unsigned ext)
{
	uint32_t err = (sel & ~3u) | ext;
	unsigned dpl;
	struct desc d;

	if (sel_is_null(sel))
		return;
	desc_fetch_or_raise(cpu, sel, &d, EXCP_TS, ext);
	dpl = desc_dpl(&d);
	if (!desc_is_readable(&d))
		cpu_raise_err(cpu, EXCP_TS, err);
	if (!(desc_is_code(&d) && desc_is_conforming(&d)) && (dpl < (sel & 3u) || dpl < cpu->cpl))
		cpu_raise_err(cpu, EXCP_TS, err);
	if (!desc_present(&d))
		cpu_raise_err(cpu, EXCP_NP, err);
	desc_set_accessed(cpu, &d);
	seg_from_desc(&cpu->seg[seg], sel, &d);
}

static void load_task_segments(struct cpu *cpu, const struct task_state *t, unsigned ext)
{
	struct segment ss;

	load_task_ldt(cpu, t->ldt, ext);
	if (cpu_v86(cpu)) {
		for (unsigned i = 0; i < 6; i++)
			seg_set_v86(&cpu->seg[i], t->seg[i]);
		seg_mode_changed(cpu);
		return;
	}
	load_task_cs(cpu, t->seg[SEG_CS], ext);
	seg_fetch_stack(cpu, t->seg[SEG_SS], cpu->cpl, EXCP_TS, ext, &ss);
	cpu->seg[SEG_SS] = ss;
	seg_mode_changed(cpu);
	load_task_data(cpu, SEG_DS, t->seg[SEG_DS], ext);
	load_task_data(cpu, SEG_ES, t->seg[SEG_ES], ext);
	load_task_data(cpu, SEG_FS, t->seg[SEG_FS], ext);
	load_task_data(cpu, SEG_GS, t->seg[SEG_GS], ext);
}

/* ---- the switch ---- */

static void probe_switch(struct cpu *cpu, const struct task_switch *ts,
	const struct tss_layout *old, const struct tss_layout *new, uint32_t new_base)
{
	lin_probe(cpu, cpu->tr.base, old->limit + 1u, true, false);
	lin_probe(cpu, new_base, new->limit + 1u, false, false);
	if (ts->cause == TASK_CALL || ts->cause == TASK_INT)
		lin_probe(cpu, new_base, 2, true, false);
	if (ts->cause == TASK_JMP || ts->cause == TASK_IRET)
		lin_probe(cpu, cpu->gdtr.base + (cpu->tr.sel & ~7u) + 5, 1, true, false);
	if (ts->cause != TASK_IRET)
		lin_probe(cpu, ts->desc.linear + 5, 1, true, false);
}

/* From here on, faults are those of the new task. */
static void enter_task(
	struct cpu *cpu, const struct task_switch *ts, const struct task_state *t, bool big)
{
	cpu->cr0 |= CR0_TS;
	fpu_gate(cpu);
	cpu->eip = t->eip;
	for (unsigned i = 0; i < 8; i++)
		cpu->gpr[i] = t->gpr[i];
	flags_set(cpu, t->eflags);
	if (t->eflags & FL_RF)
		cpu->rf_icount = ts->cause == TASK_INT ? cpu->icount : cpu->icount + 1;
	for (unsigned i = 0; i < 6; i++)
		seg_set_null(&cpu->seg[i], t->seg[i]);
	cpu->cpl = t->eflags & FL_VM ? 3 : t->seg[SEG_CS] & 3;
	debug_task_switched(cpu);
	event_done(cpu);
	if (t->trap)
		cpu->db_pending |= DR6_BT;
	if (big && cpu->cr0 & CR0_PG && t->cr3 != cpu->cr3) {
		bool bad = cpu->cr4 & CR4_PAE && mmu_load_pdptes(cpu, t->cr3) < 0;

		if (bad)
			cpu_raise_err(cpu, EXCP_TS, (ts->sel & ~3u) | ts->ext);
		cpu->cr3 = t->cr3;
		mmu_mode_changed(cpu);
		mmu_flush(cpu, true);
	}
	load_task_segments(cpu, t, ts->ext);
	if (cpu->eip > cpu->seg[SEG_CS].limit)
		cpu_raise_err(cpu, EXCP_GP, ts->ext);
	if (ts->has_err) {
		struct stack st;

		stack_current(cpu, &st);
		st.err = (uint16_t)ts->ext;
		stack_push(cpu, &st, big ? 4 : 2, ts->err);
		cpu->gpr[R_ESP] = st.esp;
	}
}

void task_switch(struct cpu *cpu, const struct task_switch *ts)
{
	const struct tss_layout *old = layout_of(cpu->tr.attr & SEG_TYPE_MASK);
	const struct tss_layout *new = layout_of(desc_type(&ts->desc));
	uint32_t base = desc_base(&ts->desc), old_desc = cpu->gdtr.base + (cpu->tr.sel & ~7u);
	uint32_t fl = ts->eflags;
	struct task_state t;

	if (desc_limit(&ts->desc) < new->limit)
		cpu_raise_err(cpu, EXCP_TS, (ts->sel & ~3u) | ts->ext);
	if (!(cpu->tr.attr & SEG_P) || cpu->tr.limit < old->limit)
		cpu_raise_err(cpu, EXCP_TS, (cpu->tr.sel & ~3u) | ts->ext);
	probe_switch(cpu, ts, old, new, base);

	if (ts->cause == TASK_JMP || ts->cause == TASK_IRET)
		desc_set_busy(cpu, old_desc, false);
	if (ts->cause == TASK_IRET)
		fl &= ~FL_NT;
	save_task(cpu, old, ts->eip, fl);
	read_task(cpu, new, base, &t);
	if (ts->cause == TASK_CALL || ts->cause == TASK_INT) {
		lin_write16(cpu, base + TSS_LINK, cpu->tr.sel, false);
		t.eflags |= FL_NT;
	}
	if (ts->cause != TASK_IRET)
		desc_set_busy(cpu, ts->desc.linear, true);
	/* A 16-bit TSS has the low half of EFLAGS only; the upper one starts clear. */
	t.eflags = (t.eflags & (FL_ARITH | FL_TF | FL_IF | FL_DF | FL_IOPL | FL_NT | FL_RF | FL_VM |
				       FL_AC | FL_VIF | FL_VIP | FL_ID)) |
		   FL_ONE;
	seg_from_desc(&cpu->tr, ts->sel, &ts->desc);
	cpu->tr.attr |= SYS_BUSY;
	enter_task(cpu, ts, &t, new == &layout32);
}

void task_switch_gate(struct cpu *cpu, const struct desc *gate, struct task_switch *ts)
{
	uint16_t sel = gate->lo >> 16;
	uint32_t err = (sel & ~3u) | ts->ext;

	if (sel & 4)
		cpu_raise_err(cpu, EXCP_GP, err);
	desc_fetch_or_raise(cpu, sel, &ts->desc, EXCP_GP, ts->ext);
	if (!desc_is_system(&ts->desc) || (desc_type(&ts->desc) & ~8u) != SYS_TSS16)
		cpu_raise_err(cpu, EXCP_GP, err);
	if (!desc_present(&ts->desc))
		cpu_raise_err(cpu, EXCP_NP, err);
	ts->sel = sel;
	task_switch(cpu, ts);
}

/* ---- I/O permission ---- */

void cpu_check_io(struct cpu *cpu, uint16_t port, unsigned size)
{
	uint32_t map, bits;

	if (!(cpu->cr0 & CR0_PE) || (!cpu_v86(cpu) && cpu->cpl <= cpu_iopl(cpu)))
		return;
	if (!(cpu->tr.attr & SEG_P) || !tr_is_32(cpu) || cpu->tr.limit < TSS32_LIMIT)
		cpu_raise_err(cpu, EXCP_GP, 0);
	map = lin_read16(cpu, cpu->tr.base + TSS32_IOMAP, false) + port / 8u;
	/* Two bytes are always read; the map's last byte is therefore all ones. */
	if (map + 1 > cpu->tr.limit)
		cpu_raise_err(cpu, EXCP_GP, 0);
	bits = lin_read16(cpu, cpu->tr.base + map, false) >> (port & 7);
	if (bits & ((1u << size) - 1))
		cpu_raise_err(cpu, EXCP_GP, 0);
}
