/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Life of a CPU: memory for its parts, and RESET# (SDM vol. 3, table 9-1). */
#include <stdlib.h>

#include "cpuid.h"
#include "flags.h"
#include "fpu.h"
#include "icache.h"
#include "log.h"
#include "mmu.h"
#include "tcg.h"
#include "sse.h"

static void segment_reset(struct segment *s, uint16_t sel, uint32_t base, uint16_t attr)
{
	*s = (struct segment){ .sel = sel, .base = base, .limit = 0xffff, .attr = attr };
	seg_update(s);
}

#define APIC_BASE_RESET 0xfee00900u /* enabled, bootstrap processor */
#define PAT_RESET	UINT64_C(0x0007040600070406)

static void msr_reset(struct cpu *cpu)
{
	cpu->tsc_offset = 0 - cpu_vtime_ns(cpu); /* the TSC starts at 0: 1 tick is 1 ns, msr.c */
	cpu->sysenter_cs = cpu->sysenter_esp = cpu->sysenter_eip = 0;
	cpu->apic_base = APIC_BASE_RESET;
	cpu->pat = PAT_RESET;
	cpu->mtrr_def_type = 0;
	memset(cpu->mtrr_fixed, 0, sizeof(cpu->mtrr_fixed));
	memset(cpu->mtrr_base, 0, sizeof(cpu->mtrr_base));
	memset(cpu->mtrr_mask, 0, sizeof(cpu->mtrr_mask));
	cpu->misc_enable = 1; /* fast strings */
	cpu->mcg_status = 0;
}

void cpu_reset(struct cpu *cpu)
{
	uint32_t id[4];

	memset(cpu->gpr_z, 0, sizeof(cpu->gpr_z));
	cpuid_query(cpu, 1, 0, id);
	cpu->gpr[R_EDX] = id[0];
	cpu->eip = 0xfff0;
	cpu->eflags = FL_ONE;
	cpu->cc = 0;
	for (unsigned i = 0; i < 6; i++)
		segment_reset(&cpu->seg[i], 0, 0, SEG_P | SEG_S | SEG_W | SEG_A);
	segment_reset(&cpu->seg[SEG_CS], 0xf000, 0xffff0000u, SEG_P | SEG_S | SEG_W | SEG_A);
	segment_reset(&cpu->ldtr, 0, 0, SEG_P | 2);
	segment_reset(&cpu->tr, 0, 0, SEG_P | 11);
	cpu->gdtr = cpu->idtr = (struct desc_table){ .limit = 0xffff };
	cpu->cr0 = CR0_ET | CR0_CD | CR0_NW;
	cpu->cr2 = cpu->cr3 = cpu->cr4 = 0;
	cpu->efer = 0;
	memset(cpu->pdpte, 0, sizeof(cpu->pdpte));
	memset(cpu->dr, 0, sizeof(cpu->dr));
	cpu->dr[6] = 0xffff0ff0u;
	cpu->dr[7] = 0x400;
	cpu->dr_armed = false;
	cpu->db_pending = 0;
	cpu->inhibit = 0;
	cpu->step_armed = false;
	cpu->rep_again = false;
	cpu->halted = false;
	cpu->nmi_pending = cpu->nmi_blocked = false;
	cpu->excp_vector = -1;
	cpu->delivering = false;
	msr_reset(cpu);
	fpu_reset(cpu);
	sse_reset(cpu);
	lapic_reset(cpu);
	seg_mode_changed(cpu);
	mmu_mode_changed(cpu);
	mmu_flush(cpu, false);
	icache_flush(cpu); /* devices may have written the ROM anew */
	cpu->look = true;
}

/* What is not zero before RESET#. -EINVAL: there is no such model. */
static int power_on(
	struct cpu *cpu, const struct cpu_bus *bus, void *opaque, const char *model, unsigned shift)
{
	memset(cpu, 0, CPU_ALLOC_LEN);
	cpu->bus = bus;
	cpu->bus_opaque = opaque;
	cpu->shift = shift;
	cpu->a20_mask = ~0u;
	cpu->stop_icount = BUS_NEVER;
	cpu->fpu = cpu_fpu(cpu);
	return cpu_model_set(cpu, model, NULL);
}

struct cpu *cpu_new(const struct cpu_bus *bus, void *opaque, const char *model, unsigned shift)
{
	struct cpu *cpu = aligned_alloc(CPU_ALIGN, CPU_ALLOC_LEN);

	if (!cpu)
		return NULL;
	if (power_on(cpu, bus, opaque, model, shift) < 0) {
		free(cpu);
		return NULL;
	}
	cpu->mmu = mmu_new();
	cpu->icache = icache_new(ICACHE_ARENA_LEN);
	cpu->lapic = lapic_new(cpu);
	if (!cpu->mmu || !cpu->icache || !cpu->lapic) {
		cpu_free(cpu);
		return NULL;
	}
	cpu_reset(cpu);
	return cpu;
}

void cpu_renew(struct cpu *cpu, const char *model)
{
	struct cpu old;

	fpu_done(cpu->fpu);
	sse_park(cpu);
	old = *cpu;
	must(power_on(cpu, old.bus, old.bus_opaque, model, old.shift) == 0);
	cpu->mmu = old.mmu;
	cpu->icache = old.icache;
	cpu->lapic = old.lapic;
	cpu->tcg = old.tcg;
	cpu->tcache = old.tcache;
	cpu->tcg_tramp = old.tcg_tramp;
	cpu->jump_cache = old.jump_cache;
	cpu->tcg_returns = old.tcg_returns;
	cpu->tcg_share = old.tcg_share;
	cpu->ret_sp = cpu->ret_top = old.ret_top;
	icache_renew(cpu);
	mmu_renew(cpu);
	tcg_renew(cpu);
	cpu_reset(cpu);
}

void cpu_free(struct cpu *cpu)
{
	if (!cpu)
		return;
	tcg_free(cpu);
	mmu_free(cpu->mmu);
	icache_free(cpu->icache);
	fpu_done(cpu->fpu);
	free(cpu->lapic);
	free(cpu);
}
