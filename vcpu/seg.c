/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Segmentation: descriptor tables, loading of data segment registers, limit and rights checks. SDM
 * vol. 3, ch. 3 (segments, descriptors), ch. 5 (limit, type and privilege checks), 20.1 (real
 * mode), 20.2 (virtual-8086 mode).
 *
 * In real mode a load changes the selector and the base only: limit and attributes stay as they
 * were ("unreal mode"). The exception is a segment that protected mode left null: it gets a
 * real-mode limit, so that it can be used.
 */
#include "sys.h"

#include <string.h>

#include "mem.h"

#define ATTR_REAL 0x0093 /* present, data, writable, accessed */
#define ATTR_V86  0x00f3 /* the same, DPL 3 */

/* The largest single access is a page-walk-free 16 bytes; shorter segments always take the slow
 * path. */
#define FAST_LIMIT_MIN 15

/* ---- descriptors ---- */

uint32_t desc_limit(const struct desc *d)
{
	uint32_t limit = (d->lo & 0xffff) | (d->hi & 0xf0000);

	return d->hi & 0x800000 ? limit << 12 | 0xfff : limit;
}

bool desc_fetch(struct cpu *cpu, uint16_t sel, struct desc *ret)
{
	uint32_t base = cpu->gdtr.base, limit = cpu->gdtr.limit;

	if (sel & 4) {
		if (!(cpu->ldtr.attr & SEG_P))
			return false;
		base = cpu->ldtr.base;
		limit = cpu->ldtr.limit;
	}
	if ((uint32_t)(sel | 7) > limit)
		return false;
	ret->linear = base + (sel & ~7u);
	ret->lo = lin_read32(cpu, ret->linear, false);
	ret->hi = lin_read32(cpu, ret->linear + 4, false);
	return true;
}

void desc_fetch_or_raise(struct cpu *cpu, uint16_t sel, struct desc *ret, int vector, unsigned ext)
{
	if (!desc_fetch(cpu, sel, ret))
		cpu_raise_err(cpu, vector, (sel & ~3u) | ext);
}

void desc_set_accessed(struct cpu *cpu, struct desc *d)
{
	if (d->hi & 0x100)
		return;
	d->hi |= 0x100;
	lin_write8(cpu, d->linear + 5, (uint8_t)(d->hi >> 8), false);
}

void desc_set_busy(struct cpu *cpu, uint32_t linear, bool busy)
{
	uint8_t type = lin_read8(cpu, linear + 5, false);

	lin_write8(cpu, linear + 5, busy ? type | SYS_BUSY : type & ~SYS_BUSY, false);
}

/* ---- the hidden part ---- */

void seg_update(struct segment *s)
{
	bool usable = s->attr & SEG_P && s->attr & SEG_S;
	bool code = s->attr & SEG_CODE;
	bool down = !code && s->attr & SEG_E;

	s->flat = usable && !down && s->base == 0 && s->limit == UINT32_MAX;
	if (!usable || down || s->limit < FAST_LIMIT_MIN) {
		s->rd_ok = s->wr_ok = false;
		s->rd_end = s->wr_end = 0;
		return;
	}
	s->rd_ok = !code || s->attr & SEG_W;
	s->wr_ok = !code && s->attr & SEG_W;
	s->rd_end = s->rd_ok ? (uint64_t)s->limit + 1 : 0;
	s->wr_end = s->wr_ok ? (uint64_t)s->limit + 1 : 0;
}

void seg_from_desc(struct segment *s, uint16_t sel, const struct desc *d)
{
	s->sel = sel;
	s->base = desc_base(d);
	s->limit = desc_limit(d);
	s->attr = desc_attr(d);
	seg_update(s);
}

void seg_set_null(struct segment *s, uint16_t sel)
{
	memset(s, 0, sizeof(*s));
	s->sel = sel;
}

void seg_set_v86(struct segment *s, uint16_t sel)
{
	s->sel = sel;
	s->base = (uint32_t)sel << 4;
	s->limit = 0xffff;
	s->attr = ATTR_V86;
	seg_update(s);
}

void seg_set_ss(struct cpu *cpu, const struct segment *s)
{
	cpu->seg[SEG_SS] = *s;
	if (cpu->stack32 != ((s->attr & SEG_DB) != 0))
		seg_mode_changed(cpu);
}

static void seg_set_real(struct segment *s, enum seg seg, uint16_t sel)
{
	s->sel = sel;
	s->base = (uint32_t)sel << 4;
	if (!(s->attr & SEG_P)) {
		s->limit = 0xffff;
		s->attr = ATTR_REAL;
	}
	/* Real mode may write through CS, and knows no privilege. */
	if (seg == SEG_CS)
		s->attr = (s->attr & (SEG_G | SEG_DB)) | ATTR_REAL;
	seg_update(s);
}

void seg_load_real(struct cpu *cpu, enum seg seg, uint16_t sel)
{
	if (cpu_v86(cpu))
		seg_set_v86(&cpu->seg[seg], sel);
	else
		seg_set_real(&cpu->seg[seg], seg, sel);
	if (seg == SEG_CS || seg == SEG_SS)
		seg_mode_changed(cpu);
}

/* CPL 3 lets virtual interrupts in (excp.c). What the engine assumes it looks up by itself, after
 * all that is marked E_SYNC and after events. */
static void look_for_virtual(struct cpu *cpu)
{
	if ((cpu->eflags & (FL_VIF | FL_VIP)) == (FL_VIF | FL_VIP))
		cpu->look = true;
}

void seg_mode_changed(struct cpu *cpu)
{
	/* SS.DPL is the CPL by every rule that loads SS (SDM vol. 3, 5.5); real mode has none. */
	if (!(cpu->cr0 & CR0_PE))
		cpu->cpl = 0;
	else if (cpu_v86(cpu))
		cpu->cpl = 3;
	else
		cpu->cpl = seg_dpl(&cpu->seg[SEG_SS]);
	cpu->code32 = (cpu->seg[SEG_CS].attr & SEG_DB) != 0;
	cpu->stack32 = (cpu->seg[SEG_SS].attr & SEG_DB) != 0;
	look_for_virtual(cpu);
}

/* ---- loading data segment registers in protected mode (SDM vol. 2, MOV, POP, LDS) ---- */

void seg_fetch_stack(
	struct cpu *cpu, uint16_t sel, unsigned cpl, int vector, unsigned ext, struct segment *ret)
{
	uint32_t err = (sel & ~3u) | ext;
	struct desc d;

	if (sel_is_null(sel))
		cpu_raise_err(cpu, vector, ext);
	desc_fetch_or_raise(cpu, sel, &d, vector, ext);
	if ((sel & 3) != cpl || !desc_is_writable_data(&d) || desc_dpl(&d) != cpl)
		cpu_raise_err(cpu, vector, err);
	if (!desc_present(&d))
		cpu_raise_err(cpu, EXCP_SS, err);
	desc_set_accessed(cpu, &d);
	seg_from_desc(ret, sel, &d);
}

static void seg_load_data(struct cpu *cpu, enum seg seg, uint16_t sel)
{
	struct segment *s = &cpu->seg[seg];
	unsigned rpl = sel & 3, dpl;
	struct desc d;

	if (sel_is_null(sel)) {
		seg_set_null(s, sel);
		return;
	}
	desc_fetch_or_raise(cpu, sel, &d, EXCP_GP, 0);
	dpl = desc_dpl(&d);
	if (!desc_is_readable(&d))
		cpu_raise_err(cpu, EXCP_GP, sel & ~3u);
	if (!(desc_is_code(&d) && desc_is_conforming(&d)) && (rpl > dpl || cpu->cpl > dpl))
		cpu_raise_err(cpu, EXCP_GP, sel & ~3u);
	if (!desc_present(&d))
		cpu_raise_err(cpu, EXCP_NP, sel & ~3u);
	desc_set_accessed(cpu, &d);
	seg_from_desc(s, sel, &d);
}

void seg_load(struct cpu *cpu, enum seg seg, uint16_t sel)
{
	struct segment ss;

	if (!cpu_protected(cpu)) {
		seg_load_real(cpu, seg, sel);
	} else if (seg == SEG_SS) {
		seg_fetch_stack(cpu, sel, cpu->cpl, EXCP_GP, 0, &ss);
		seg_set_ss(cpu, &ss);
	} else {
		seg_load_data(cpu, seg, sel);
	}
}

void seg_drop_privileged(struct cpu *cpu)
{
	static const uint8_t data_segs[] = { SEG_ES, SEG_DS, SEG_FS, SEG_GS };

	for (unsigned i = 0; i < sizeof(data_segs); i++) {
		struct segment *s = &cpu->seg[data_segs[i]];
		bool conforming = (s->attr & (SEG_CODE | SEG_E)) == (SEG_CODE | SEG_E);

		if (s->attr & SEG_P && !conforming && seg_dpl(s) < cpu->cpl)
			seg_set_null(s, 0);
	}
}

/* ---- checks ---- */

static bool limit_allows(const struct segment *s, uint32_t off, unsigned size)
{
	uint32_t last = off + size - 1;

	if ((s->attr & (SEG_CODE | SEG_E)) == SEG_E) {
		uint32_t top = s->attr & SEG_DB ? UINT32_MAX : 0xffff;

		return off > s->limit && last >= off && last <= top;
	}
	/* In a segment of 4 GiB an access may wrap (SDM vol. 3, 5.3 leaves it to the
	 * implementation). */
	if (s->limit == UINT32_MAX)
		return true;
	return last >= off && last <= s->limit;
}

bool seg_allows(
	const struct cpu *cpu, const struct segment *s, uint32_t off, unsigned size, bool write)
{
	if (!(s->attr & SEG_P) || !(s->attr & SEG_S))
		return false;
	if (cpu->cr0 & CR0_PE) {
		if (s->attr & SEG_CODE ? write || !(s->attr & SEG_W) : write && !(s->attr & SEG_W))
			return false;
	}
	return limit_allows(s, off, size);
}

void seg_check(struct cpu *cpu, enum seg seg, uint32_t off, unsigned size, bool write)
{
	if (seg >= SEG_NONE || seg_allows(cpu, &cpu->seg[seg], off, size, write))
		return;
	cpu_raise_err(cpu, seg == SEG_SS ? EXCP_SS : EXCP_GP, 0);
}

/* ---- stacks ---- */

void stack_current(struct cpu *cpu, struct stack *ret)
{
	ret->seg = cpu->seg[SEG_SS];
	ret->esp = cpu->gpr[R_ESP];
	ret->user = cpu->cpl == 3;
	ret->err = 0;
}

static uint32_t stack_wrap(const struct stack *s)
{
	return s->seg.attr & SEG_DB ? UINT32_MAX : 0xffff;
}

void stack_skip(struct stack *s, int32_t n)
{
	uint32_t mask = stack_wrap(s);

	s->esp = (s->esp & ~mask) | ((s->esp + (uint32_t)n) & mask);
}

void stack_push(struct cpu *cpu, struct stack *s, unsigned width, uint32_t val)
{
	struct stack t = *s;
	uint32_t off;

	stack_skip(&t, -(int32_t)width);
	off = t.esp & stack_wrap(&t);
	if (!seg_allows(cpu, &s->seg, off, width, true))
		cpu_raise_err(cpu, EXCP_SS, s->err);
	if (width == 4)
		lin_write32(cpu, s->seg.base + off, val, s->user);
	else
		lin_write16(cpu, s->seg.base + off, (uint16_t)val, s->user);
	s->esp = t.esp;
}

uint32_t stack_pop(struct cpu *cpu, struct stack *s, unsigned width)
{
	uint32_t off = s->esp & stack_wrap(s), val;

	if (!seg_allows(cpu, &s->seg, off, width, false))
		cpu_raise_err(cpu, EXCP_SS, s->err);
	val = width == 4 ? lin_read32(cpu, s->seg.base + off, s->user)
			 : lin_read16(cpu, s->seg.base + off, s->user);
	stack_skip(s, (int32_t)width);
	return val;
}

/* SDM vol. 3, 5.8.5: SS and ESP of the new level; 16-bit TSS: 7.6. */
void stack_from_tss(struct cpu *cpu, unsigned dpl, unsigned ext, struct stack *ret)
{
	bool big = tr_is_32(cpu);
	uint32_t off = big ? dpl * 8 + 4 : dpl * 4 + 2;
	uint16_t sel;

	if (off + (big ? 5 : 3) > cpu->tr.limit)
		cpu_raise_err(cpu, EXCP_TS, (cpu->tr.sel & ~3u) | ext);
	if (big) {
		ret->esp = lin_read32(cpu, cpu->tr.base + off, false);
		sel = lin_read16(cpu, cpu->tr.base + off + 4, false);
	} else {
		ret->esp = lin_read16(cpu, cpu->tr.base + off, false);
		sel = lin_read16(cpu, cpu->tr.base + off + 2, false);
	}
	seg_fetch_stack(cpu, sel, dpl, EXCP_TS, ext, &ret->seg);
	ret->user = dpl == 3;
	ret->err = (uint16_t)((sel & ~3u) | ext);
}

/* ---- CS ---- */

void cs_commit(struct cpu *cpu, uint16_t sel, const struct desc *d, uint32_t eip, unsigned cpl)
{
	seg_from_desc(&cpu->seg[SEG_CS], sel, d);
	cpu->cpl = (uint8_t)cpl;
	cpu->code32 = (cpu->seg[SEG_CS].attr & SEG_DB) != 0;
	cpu->eip = eip;
	look_for_virtual(cpu);
}
