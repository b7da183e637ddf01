/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Registers and hidden state of the CPU as fields (see cpu_state.h). Not here: what follows from
 * other fields (derived parts of segments, CPL, armed breakpoints), what an engine sets before it
 * runs, and counters.
 */
#include "cpu_state.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "flags.h"
#include "fpu.h"
#include "icache.h"
#include "log.h"
#include "mmu_int.h"
#include "sse.h"

#define SEGMENT_FIELDS(m)                                                               \
	FIELD(struct cpu, m.sel), FIELD(struct cpu, m.attr), FIELD(struct cpu, m.base), \
		FIELD(struct cpu, m.limit)

#define MXCSR_ALL 0xffff

static const struct field cpu_fields[] = {
	FIELD_ARRAY(struct cpu, gpr),
	FIELD(struct cpu, eip),
	FIELD(struct cpu, eflags),
	SEGMENT_FIELDS(seg[SEG_ES]),
	SEGMENT_FIELDS(seg[SEG_CS]),
	SEGMENT_FIELDS(seg[SEG_SS]),
	SEGMENT_FIELDS(seg[SEG_DS]),
	SEGMENT_FIELDS(seg[SEG_FS]),
	SEGMENT_FIELDS(seg[SEG_GS]),
	SEGMENT_FIELDS(ldtr),
	SEGMENT_FIELDS(tr),
	FIELD(struct cpu, gdtr.base),
	FIELD(struct cpu, gdtr.limit),
	FIELD(struct cpu, idtr.base),
	FIELD(struct cpu, idtr.limit),
	FIELD(struct cpu, cr0),
	FIELD(struct cpu, cr2),
	FIELD(struct cpu, cr3),
	FIELD(struct cpu, cr4),
	FIELD_ARRAY(struct cpu, dr),
	FIELD(struct cpu, db_pending),
	FIELD_ARRAY(struct cpu, pdpte),
	FIELD_MAX(struct cpu, efer, EFER_NXE),
	FIELD(struct cpu, a20_mask),
	/* where the boundary stands */
	FIELD_BOOL(struct cpu, halted),
	FIELD_MAX(struct cpu, inhibit, CPU_INHIBIT_ALL),
	FIELD_BOOL(struct cpu, rep_again),
	FIELD_BOOL(struct cpu, step_armed),
	FIELD(struct cpu, inhibit_icount),
	FIELD(struct cpu, rf_icount),
	FIELD(struct cpu, step_icount),
	FIELD(struct cpu, rep_icount),
	FIELD(struct cpu, icount),
	FIELD(struct cpu, warp_ns),
	FIELD(struct cpu, event_icount),
	FIELD(struct cpu, event_n),
	FIELD_BOOL(struct cpu, intr),
	FIELD_BOOL(struct cpu, nmi_pending),
	FIELD_BOOL(struct cpu, nmi_blocked),
	FIELD_BOOL(struct cpu, reset_request),
	/* SSE */
	FIELD_ARRAY(struct cpu, xmm[0].q),
	FIELD_ARRAY(struct cpu, xmm[1].q),
	FIELD_ARRAY(struct cpu, xmm[2].q),
	FIELD_ARRAY(struct cpu, xmm[3].q),
	FIELD_ARRAY(struct cpu, xmm[4].q),
	FIELD_ARRAY(struct cpu, xmm[5].q),
	FIELD_ARRAY(struct cpu, xmm[6].q),
	FIELD_ARRAY(struct cpu, xmm[7].q),
	FIELD_MAX(struct cpu, mxcsr, MXCSR_ALL),
	/* MSRs */
	FIELD(struct cpu, tsc_offset),
	FIELD(struct cpu, sysenter_cs),
	FIELD(struct cpu, sysenter_esp),
	FIELD(struct cpu, sysenter_eip),
	FIELD(struct cpu, apic_base),
	FIELD(struct cpu, pat),
	FIELD(struct cpu, mtrr_def_type),
	FIELD_ARRAY(struct cpu, mtrr_fixed),
	FIELD_ARRAY(struct cpu, mtrr_base),
	FIELD_ARRAY(struct cpu, mtrr_mask),
	FIELD(struct cpu, misc_enable),
	FIELD(struct cpu, mcg_status),
	FIELD_END,
};

#define F80_FIELDS(n) FIELD(struct fpu, reg[n].m), FIELD(struct fpu, reg[n].se)

static const struct field fpu_fields[] = {
	F80_FIELDS(0),
	F80_FIELDS(1),
	F80_FIELDS(2),
	F80_FIELDS(3),
	F80_FIELDS(4),
	F80_FIELDS(5),
	F80_FIELDS(6),
	F80_FIELDS(7),
	FIELD(struct fpu, cw),
	FIELD(struct fpu, sw),
	FIELD_MAX(struct fpu, top, 7),
	FIELD(struct fpu, empty),
	FIELD_BOOL(struct fpu, ignne),
	FIELD_MAX(struct fpu, fop, 0x7ff),
	FIELD(struct fpu, fcs),
	FIELD(struct fpu, fds),
	FIELD(struct fpu, fip),
	FIELD(struct fpu, fdp),
	FIELD_END,
};

enum { GROUP_CPU, GROUP_FPU, GROUP_LAPIC, GROUP_COUNT };

static const struct {
	const char *kind;
	const struct field *fields;
} groups[GROUP_COUNT] = {
	[GROUP_CPU] = { "cpu", cpu_fields },
	[GROUP_FPU] = { "fpu", fpu_fields },
	[GROUP_LAPIC] = { "lapic", lapic_fields },
};

static void *group_base(struct cpu *cpu, int i)
{
	return i == GROUP_CPU ? (void *)cpu : i == GROUP_FPU ? (void *)cpu->fpu : cpu->lapic;
}

/* ---- saving ---- */

int cpu_state_save(struct cpu *cpu, Dejavm__VcpuState *ret)
{
	flags_get(cpu);
	fpu_park(cpu->fpu);
	sse_park(cpu);
	ret->version = VCPU_STATE_VERSION;
	ret->icount = cpu->icount;
	ret->shift = cpu->shift;
	ret->cpu_model = strdup(cpu->model);
	ret->groups = calloc(GROUP_COUNT, sizeof(*ret->groups));
	if (!ret->cpu_model || !ret->groups)
		return -ENOMEM;
	for (int i = 0; i < GROUP_COUNT; i++) {
		ret->groups[i] =
			fields_save(groups[i].fields, group_base(cpu, i), groups[i].kind, "0");
		if (!ret->groups[i])
			return -ENOMEM;
		ret->n_groups++;
	}
	return mmu_state_save(cpu, ret);
}

/* ---- loading ---- */

/* What fields alone cannot say. */
static int cpu_possible(const struct cpu *c, const Dejavm__VcpuState *s, struct error *err)
{
	if ((c->cr0 & CR0_PG && !(c->cr0 & CR0_PE)) || (c->eflags & FL_VM && !(c->cr0 & CR0_PE)))
		return error_set(err, EINVAL,
			"vcpu: cr0 0x%08x with eflags 0x%08x: no mode of the processor", c->cr0,
			c->eflags);
	if (c->a20_mask != ~0u && c->a20_mask != ~(1u << 20))
		return error_set(err, EINVAL, "vcpu: A20 mask 0x%08x", c->a20_mask);
	if (c->icount != s->icount || c->icount >> 62 || c->warp_ns >> 62)
		return error_set(err, EINVAL,
			"vcpu: icount %" PRIu64 " and %" PRIu64 ", warp %" PRIu64 " ns", s->icount,
			c->icount, c->warp_ns);
	return 0;
}

static int identity_check(const struct cpu *cpu, const Dejavm__VcpuState *s, struct error *err)
{
	if (s->version != VCPU_STATE_VERSION)
		return error_set(err, EINVAL, "vcpu: state version %u: expected %d", s->version,
			VCPU_STATE_VERSION);
	if (strcmp(s->cpu_model, cpu->model))
		return error_set(err, EINVAL, "vcpu: CPU model '%.64s': this machine has '%s'",
			s->cpu_model, cpu->model);
	if (s->shift != cpu->shift)
		return error_set(err, EINVAL, "vcpu: icount shift %u: this machine has %u",
			s->shift, cpu->shift);
	if (s->n_groups != GROUP_COUNT)
		return error_set(err, EINVAL, "vcpu: %zu groups of fields: expected %d",
			s->n_groups, GROUP_COUNT);
	return 0;
}

/* Everything is tried on copies first. */
int cpu_state_check(struct cpu *cpu, const Dejavm__VcpuState *s, struct error *err)
{
	static struct cpu trial; /* its pointers are never followed */
	int r = identity_check(cpu, s, err);

	for (int i = 0; r == 0 && i < GROUP_COUNT; i++) {
		if (strcmp(s->groups[i]->kind, groups[i].kind))
			return error_set(err, EINVAL, "vcpu: group '%.64s': expected '%s'",
				s->groups[i]->kind, groups[i].kind);
		r = fields_check(groups[i].fields, s->groups[i], err);
		if (r < 0)
			return error_prefix(err, "vcpu, %s", groups[i].kind);
	}
	if (r < 0)
		return r;
	must(fields_load(cpu_fields, &trial, s->groups[GROUP_CPU], NULL) == 0);
	r = cpu_possible(&trial, s, err);
	if (r == 0)
		r = lapic_state_check(s->groups[GROUP_LAPIC], err);
	return r < 0 ? r : mmu_state_check(s, err);
}

static void derive(struct cpu *cpu)
{
	for (unsigned i = 0; i < 6; i++)
		seg_update(&cpu->seg[i]);
	seg_update(&cpu->ldtr);
	seg_update(&cpu->tr);
	flags_set_arith(cpu, cpu->eflags);
	cpu->eflags |= FL_ONE;
	cpu->fl_desc = 0;
	cpu->dr[6] |= 0xffff0ff0u;
	cpu->dr_armed = (cpu->dr[7] & 0xff) != 0;
	cpu->mxcsr_live = 0;
	cpu->excp_vector = -1;
	cpu->delivering = false;
	cpu->fpu->live = FPU_HOME;
	fpu_set_cw(cpu->fpu, cpu->fpu->cw);
	seg_mode_changed(cpu);
}

int cpu_state_load(struct cpu *cpu, const Dejavm__VcpuState *s, struct error *err)
{
	int r = cpu_state_check(cpu, s, err);

	if (r < 0)
		return r;
	fpu_park(cpu->fpu);
	sse_park(cpu);
	for (int i = 0; i < GROUP_COUNT; i++)
		must(fields_load(groups[i].fields, group_base(cpu, i), s->groups[i], NULL) == 0);
	derive(cpu);
	/* Devices say where to stop next, when they are asked: at once. */
	cpu->stop_icount = cpu->icount;
	mmu_state_load(cpu, s);
	icache_flush(cpu);
	mmu_mark_dirty_all(cpu);
	cpu->look = true;
	return 0;
}
