/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * System instructions: segment registers, descriptor tables, control and debug registers. SDM vol.
 * 2; vol. 3, 2.5 (control registers), 2.8 (system instructions), 4.4.1 (PDPTEs), 17.2 (debug
 * registers).
 */
#include "op_system.h"

#include "cpuid.h"
#include "flags.h"
#include "fpu.h"
#include "mem.h"
#include "sys.h"

#define CR0_KNOWN                                                                                  \
	(CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | \
		CR0_PG)

/* ---- helpers ---- */

static void require_cpl0(struct cpu *cpu)
{
	if (cpu->cpl != 0)
		cpu_raise_err(cpu, EXCP_GP, 0);
}

static void require_memory(struct cpu *cpu, const struct insn *in)
{
	if (!in->mem)
		cpu_raise(cpu, EXCP_UD);
}

/* Instructions that real and virtual-8086 mode do not know. */
static void require_protected(struct cpu *cpu)
{
	if (!cpu_protected(cpu))
		cpu_raise(cpu, EXCP_UD);
}

static void reg_write(struct cpu *cpu, unsigned reg, unsigned width, uint32_t val)
{
	if (width == 4)
		cpu->gpr[reg] = val;
	else
		cpu->gpr[reg] = (cpu->gpr[reg] & 0xffff0000) | (val & 0xffff);
}

static uint16_t rm_read16(struct cpu *cpu, const struct insn *in)
{
	if (in->mem)
		return seg_read16(cpu, in->seg, insn_ea(cpu, in));
	return (uint16_t)cpu->gpr[in->rm];
}

/* A 16-bit result: memory gets 16 bits, a register the operand size, zero-extended. */
static void rm_write_selector(struct cpu *cpu, const struct insn *in, uint32_t val)
{
	if (in->mem)
		seg_write16(cpu, in->seg, insn_ea(cpu, in), (uint16_t)val);
	else
		reg_write(cpu, in->rm, in->opsize, val);
}

static void set_zf(struct cpu *cpu, bool zf)
{
	uint32_t fl = flags_get_arith(cpu);

	flags_set_arith(cpu, zf ? fl | FL_ZF : fl & ~FL_ZF);
}

/* After a load of SS: nothing may come between it and the next instruction, unless this one was
 * covered already. */
static void inhibit_after_ss(struct cpu *cpu)
{
	if (cpu->inhibit & CPU_INHIBIT_ALL && cpu->inhibit_icount == cpu->icount)
		return;
	cpu->inhibit = CPU_INHIBIT_ALL;
	cpu->inhibit_icount = cpu->icount + 1;
	cpu->look = true;
}

/* ---- segment registers ---- */

void op_push_seg(struct cpu *cpu, const struct insn *in)
{
	uint16_t sel = cpu->seg[in->imm2].sel;

	if (in->opsize == 4)
		push32(cpu, sel);
	else
		push16(cpu, sel);
}

void op_pop_seg(struct cpu *cpu, const struct insn *in)
{
	enum seg seg = in->imm2;
	struct stack st;
	uint16_t sel;

	stack_current(cpu, &st);
	sel = (uint16_t)stack_pop(cpu, &st, in->opsize);
	seg_load(cpu, seg, sel);
	cpu->gpr[R_ESP] = st.esp;
	if (seg == SEG_SS)
		inhibit_after_ss(cpu);
}

void op_mov_from_seg(struct cpu *cpu, const struct insn *in)
{
	if (in->reg >= SEG_NONE)
		cpu_raise(cpu, EXCP_UD);
	rm_write_selector(cpu, in, cpu->seg[in->reg].sel);
}

void op_mov_to_seg(struct cpu *cpu, const struct insn *in)
{
	if (in->reg >= SEG_NONE || in->reg == SEG_CS)
		cpu_raise(cpu, EXCP_UD);
	seg_load(cpu, in->reg, rm_read16(cpu, in));
	if (in->reg == SEG_SS)
		inhibit_after_ss(cpu);
}

void op_lds(struct cpu *cpu, const struct insn *in)
{
	uint32_t ea, off;
	uint16_t sel;

	require_memory(cpu, in);
	ea = insn_ea(cpu, in);
	off = in->opsize == 4 ? seg_read32(cpu, in->seg, ea) : seg_read16(cpu, in->seg, ea);
	sel = seg_read16(cpu, in->seg, ea + in->opsize);
	seg_load(cpu, in->imm2, sel);
	reg_write(cpu, in->reg, in->opsize, off);
}

/* ---- descriptor table registers ---- */

static void load_table(struct cpu *cpu, const struct insn *in, struct desc_table *t)
{
	uint32_t ea, base;
	uint16_t limit;

	require_memory(cpu, in);
	require_cpl0(cpu);
	ea = insn_ea(cpu, in);
	limit = seg_read16(cpu, in->seg, ea);
	base = seg_read32(cpu, in->seg, ea + 2);
	t->limit = limit;
	t->base = in->opsize == 4 ? base : base & 0xffffff;
}

/* The whole base is stored whatever the operand size. */
static void store_table(struct cpu *cpu, const struct insn *in, const struct desc_table *t)
{
	uint32_t ea;

	require_memory(cpu, in);
	ea = insn_ea(cpu, in);
	seg_probe_write(cpu, in->seg, ea, 6);
	seg_write16(cpu, in->seg, ea, t->limit);
	seg_write32(cpu, in->seg, ea + 2, t->base);
}

void op_lgdt(struct cpu *cpu, const struct insn *in)
{
	load_table(cpu, in, &cpu->gdtr);
}

void op_lidt(struct cpu *cpu, const struct insn *in)
{
	load_table(cpu, in, &cpu->idtr);
}

void op_sgdt(struct cpu *cpu, const struct insn *in)
{
	store_table(cpu, in, &cpu->gdtr);
}

void op_sidt(struct cpu *cpu, const struct insn *in)
{
	store_table(cpu, in, &cpu->idtr);
}

void op_sldt(struct cpu *cpu, const struct insn *in)
{
	require_protected(cpu);
	rm_write_selector(cpu, in, cpu->ldtr.sel);
}

void op_str(struct cpu *cpu, const struct insn *in)
{
	require_protected(cpu);
	rm_write_selector(cpu, in, cpu->tr.sel);
}

void op_lldt(struct cpu *cpu, const struct insn *in)
{
	uint16_t sel;
	struct desc d;

	require_protected(cpu);
	require_cpl0(cpu);
	sel = rm_read16(cpu, in);
	if (sel_is_null(sel)) {
		seg_set_null(&cpu->ldtr, sel);
		return;
	}
	if (sel & 4)
		cpu_raise_err(cpu, EXCP_GP, sel & ~3u);
	desc_fetch_or_raise(cpu, sel, &d, EXCP_GP, 0);
	if (!desc_is_system(&d) || desc_type(&d) != SYS_LDT)
		cpu_raise_err(cpu, EXCP_GP, sel & ~3u);
	if (!desc_present(&d))
		cpu_raise_err(cpu, EXCP_NP, sel & ~3u);
	seg_from_desc(&cpu->ldtr, sel, &d);
}

void op_ltr(struct cpu *cpu, const struct insn *in)
{
	uint16_t sel;
	struct desc d;

	require_protected(cpu);
	require_cpl0(cpu);
	sel = rm_read16(cpu, in);
	if (sel_is_null(sel))
		cpu_raise_err(cpu, EXCP_GP, 0);
	if (sel & 4)
		cpu_raise_err(cpu, EXCP_GP, sel & ~3u);
	desc_fetch_or_raise(cpu, sel, &d, EXCP_GP, 0);
	if (!desc_is_system(&d) || (desc_type(&d) & ~8u) != SYS_TSS16)
		cpu_raise_err(cpu, EXCP_GP, sel & ~3u);
	if (!desc_present(&d))
		cpu_raise_err(cpu, EXCP_NP, sel & ~3u);
	desc_set_busy(cpu, d.linear, true);
	seg_from_desc(&cpu->tr, sel, &d);
	cpu->tr.attr |= SYS_BUSY;
}

/* ---- inspection: VERR, VERW, LAR, LSL, ARPL ---- */

/* Would a load at CPL and RPL see this descriptor? (SDM vol. 3, 5.10) */
static bool desc_visible(struct cpu *cpu, uint16_t sel, const struct desc *d)
{
	unsigned dpl = desc_dpl(d);

	if (desc_is_code(d) && desc_is_conforming(d))
		return true;
	return cpu->cpl <= dpl && (sel & 3u) <= dpl;
}

static bool fetch_visible(struct cpu *cpu, uint16_t sel, struct desc *d)
{
	return !sel_is_null(sel) && desc_fetch(cpu, sel, d) && desc_visible(cpu, sel, d);
}

void op_verr(struct cpu *cpu, const struct insn *in)
{
	struct desc d;
	uint16_t sel;

	require_protected(cpu);
	sel = rm_read16(cpu, in);
	set_zf(cpu, fetch_visible(cpu, sel, &d) && desc_is_readable(&d));
}

void op_verw(struct cpu *cpu, const struct insn *in)
{
	struct desc d;
	uint16_t sel;

	require_protected(cpu);
	sel = rm_read16(cpu, in);
	set_zf(cpu, fetch_visible(cpu, sel, &d) && desc_is_writable_data(&d));
}

/* System types that LAR and LSL accept (SDM vol. 2, tables 3-51 and 3-54), as bit sets. */
#define LAR_TYPES                                                                    \
	(1u << SYS_TSS16 | 1u << SYS_LDT | 1u << SYS_TSS16_BUSY | 1u << SYS_CALL16 | \
		1u << SYS_TASK_GATE | 1u << SYS_TSS32 | 1u << SYS_TSS32_BUSY | 1u << SYS_CALL32)
#define LSL_TYPES                                                                   \
	(1u << SYS_TSS16 | 1u << SYS_LDT | 1u << SYS_TSS16_BUSY | 1u << SYS_TSS32 | \
		1u << SYS_TSS32_BUSY)

static bool fetch_inspected(struct cpu *cpu, const struct insn *in, uint32_t types, struct desc *d)
{
	uint16_t sel;

	require_protected(cpu);
	sel = rm_read16(cpu, in);
	return fetch_visible(cpu, sel, d) && (!desc_is_system(d) || (types >> desc_type(d) & 1));
}

void op_lar(struct cpu *cpu, const struct insn *in)
{
	struct desc d;
	bool ok = fetch_inspected(cpu, in, LAR_TYPES, &d);

	if (ok)
		reg_write(cpu, in->reg, in->opsize, d.hi & (in->opsize == 4 ? 0x00f0ff00 : 0xff00));
	set_zf(cpu, ok);
}

void op_lsl(struct cpu *cpu, const struct insn *in)
{
	struct desc d;
	bool ok = fetch_inspected(cpu, in, LSL_TYPES, &d);

	if (ok)
		reg_write(cpu, in->reg, in->opsize, desc_limit(&d));
	set_zf(cpu, ok);
}

void op_arpl(struct cpu *cpu, const struct insn *in)
{
	unsigned rpl = cpu->gpr[in->reg] & 3;
	struct mem_rmw m;
	uint16_t sel;

	require_protected(cpu);
	sel = in->mem ? rmw_read16(cpu, in->seg, insn_ea(cpu, in), &m) : (uint16_t)cpu->gpr[in->rm];
	if ((sel & 3u) >= rpl) {
		set_zf(cpu, false);
		return;
	}
	sel = (uint16_t)((sel & ~3u) | rpl);
	if (in->mem)
		rmw_write16(cpu, &m, sel);
	else
		reg_write(cpu, in->rm, 2, sel);
	set_zf(cpu, true);
}

/* ---- control registers ---- */

/* CR0 is replaced; the caller has checked privilege. SDM vol. 3, 2.5. */
static void write_cr0(struct cpu *cpu, uint32_t val)
{
	uint32_t old = cpu->cr0, changed;

	val = (val & CR0_KNOWN) | CR0_ET;
	changed = old ^ val;
	if ((val & CR0_PG && !(val & CR0_PE)) || (val & CR0_NW && !(val & CR0_CD)))
		cpu_raise_err(cpu, EXCP_GP, 0);
	if (val & CR0_PG && cpu->cr4 & CR4_PAE && changed & (CR0_PG | CR0_CD | CR0_NW) &&
		mmu_load_pdptes(cpu, cpu->cr3) < 0)
		cpu_raise_err(cpu, EXCP_GP, 0);
	cpu->cr0 = val;
	fpu_gate(cpu);
	if (changed & (CR0_PG | CR0_WP | CR0_PE | CR0_AM))
		mmu_mode_changed(cpu);
	if (changed & CR0_PE)
		seg_mode_changed(cpu);
	cpu->look = true;
}

static void write_cr3(struct cpu *cpu, uint32_t val)
{
	if (cpu->cr0 & CR0_PG && cpu->cr4 & CR4_PAE && mmu_load_pdptes(cpu, val) < 0)
		cpu_raise_err(cpu, EXCP_GP, 0);
	cpu->cr3 = val;
	mmu_flush(cpu, true);
	cpu->look = true;
}

/* Bits of CR4 that this model has. */
static uint32_t cr4_known(const struct cpu *cpu)
{
	static const struct {
		uint32_t bit;
		unsigned feature;
	} rows[] = {
		{ CR4_VME | CR4_PVI, CPUID_F_VME },
		{ CR4_TSD, CPUID_F_TSC },
		{ CR4_DE, CPUID_F_DE },
		{ CR4_PSE, CPUID_F_PSE },
		{ CR4_PAE, CPUID_F_PAE },
		{ CR4_MCE, CPUID_F_MCE },
		{ CR4_PGE, CPUID_F_PGE },
		{ CR4_PCE, CPUID_F_CMOV }, /* RDPMC came with the P6 */
		{ CR4_OSFXSR, CPUID_F_FXSR },
		{ CR4_OSXMMEXCPT, CPUID_F_SSE },
	};
	uint32_t known = 0;

	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (cpuid_has(cpu, rows[i].feature))
			known |= rows[i].bit;
	return known;
}

static void write_cr4(struct cpu *cpu, uint32_t val)
{
	uint32_t changed = cpu->cr4 ^ val;

	if (val & ~cr4_known(cpu))
		cpu_raise_err(cpu, EXCP_GP, 0);
	if (val & CR4_PAE && cpu->cr0 & CR0_PG && changed & (CR4_PAE | CR4_PGE | CR4_PSE) &&
		mmu_load_pdptes(cpu, cpu->cr3) < 0)
		cpu_raise_err(cpu, EXCP_GP, 0);
	cpu->cr4 = val;
	if (changed & (CR4_PSE | CR4_PAE | CR4_PGE)) {
		mmu_mode_changed(cpu);
		mmu_flush(cpu, false);
	}
	cpu->look = true;
}

void op_mov_from_cr(struct cpu *cpu, const struct insn *in)
{
	uint32_t val = 0;

	switch (in->reg) {
	case 0: val = cpu->cr0; break;
	case 2: val = cpu->cr2; break;
	case 3: val = cpu->cr3; break;
	case 4: val = cpu->cr4; break;
	default: cpu_raise(cpu, EXCP_UD);
	}
	require_cpl0(cpu);
	cpu->gpr[in->rm] = val;
}

void op_mov_to_cr(struct cpu *cpu, const struct insn *in)
{
	uint32_t val = cpu->gpr[in->rm];

	if (in->reg == 1 || in->reg > 4)
		cpu_raise(cpu, EXCP_UD);
	require_cpl0(cpu);
	switch (in->reg) {
	case 0: write_cr0(cpu, val); break;
	case 2: cpu->cr2 = val; break;
	case 3: write_cr3(cpu, val); break;
	case 4: write_cr4(cpu, val); break;
	}
}

void op_smsw(struct cpu *cpu, const struct insn *in)
{
	rm_write_selector(cpu, in, cpu->cr0);
}

void op_lmsw(struct cpu *cpu, const struct insn *in)
{
	uint32_t low = CR0_PE | CR0_MP | CR0_EM | CR0_TS, val;

	require_cpl0(cpu);
	val = rm_read16(cpu, in) & low;
	/* PE can be set but not cleared. */
	val |= cpu->cr0 & CR0_PE;
	write_cr0(cpu, (cpu->cr0 & ~low) | val);
}

void op_clts(struct cpu *cpu, const struct insn *in)
{
	require_cpl0(cpu);
	cpu->cr0 &= ~CR0_TS;
}

void op_invlpg(struct cpu *cpu, const struct insn *in)
{
	require_memory(cpu, in);
	require_cpl0(cpu);
	mmu_invlpg(cpu, (in->seg < SEG_NONE ? cpu->seg[in->seg].base : 0) + insn_ea(cpu, in));
}

/* Caches do not exist here; what was written is in RAM. */
void op_invd(struct cpu *cpu, const struct insn *in)
{
	require_cpl0(cpu);
}

void op_wbinvd(struct cpu *cpu, const struct insn *in)
{
	require_cpl0(cpu);
}

/* ---- debug registers ---- */

/* The register that MOV DR names, after the checks (SDM vol. 2, MOV DR). */
static unsigned dr_number(struct cpu *cpu, const struct insn *in)
{
	unsigned n = in->reg;

	if (n == 4 || n == 5) {
		if (cpu->cr4 & CR4_DE)
			cpu_raise(cpu, EXCP_UD);
		n += 2;
	}
	require_cpl0(cpu);
	if (cpu->dr[7] & DR7_GD)
		cpu_raise(cpu, EXCP_DB);
	return n;
}

void op_mov_from_dr(struct cpu *cpu, const struct insn *in)
{
	unsigned n = dr_number(cpu, in);

	cpu->gpr[in->rm] = cpu->dr[n];
}

void op_mov_to_dr(struct cpu *cpu, const struct insn *in)
{
	unsigned n = dr_number(cpu, in);

	debug_write_dr(cpu, n, cpu->gpr[in->rm]);
}
