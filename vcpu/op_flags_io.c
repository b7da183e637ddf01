/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Software interrupts, EFLAGS, HLT, port I/O, and the instructions that tell about the processor:
 * CPUID, MSRs, counters. SDM vol. 2; vol. 1, 19.5 (I/O privilege); vol. 3, 20.3 (VME and PVI).
 */
#include "op_system.h"

#include "cpuid.h"
#include "flags.h"
#include "mem.h"
#include "sys.h"

static void require_cpl0(struct cpu *cpu)
{
	if (cpu->cpl != 0)
		cpu_raise_err(cpu, EXCP_GP, 0);
}

/* ---- software interrupts ---- */

void op_int3(struct cpu *cpu, const struct insn *in)
{
	excp_software_int(cpu, in, EXCP_BP, INT_SOFT_BP);
}

void op_int_n(struct cpu *cpu, const struct insn *in)
{
	excp_software_int(cpu, in, (uint8_t)in->imm, INT_SOFT);
}

void op_into(struct cpu *cpu, const struct insn *in)
{
	if (flags_get_arith(cpu) & FL_OF)
		excp_software_int(cpu, in, EXCP_OF, INT_SOFT_BP);
	else
		cpu->eip = eip_next(cpu, in);
}

void op_icebp(struct cpu *cpu, const struct insn *in)
{
	excp_software_int(cpu, in, EXCP_DB, INT_ICEBP);
}

void op_ud(struct cpu *cpu, const struct insn *in)
{
	cpu_raise(cpu, EXCP_UD);
}

/* ---- EFLAGS ---- */

/* v86 mode with IOPL < 3 and VME: PUSHF, POPF, CLI and STI work on VIF. 32-bit forms fault. */
static bool v86_virtual_if(struct cpu *cpu, const struct insn *in)
{
	if (!cpu_v86(cpu) || cpu_iopl(cpu) == 3)
		return false;
	if (!(cpu->cr4 & CR4_VME) || in->opsize == 4)
		cpu_raise_err(cpu, EXCP_GP, 0);
	return true;
}

void op_pushf(struct cpu *cpu, const struct insn *in)
{
	bool virt = v86_virtual_if(cpu, in);
	uint32_t fl = flags_get(cpu) & ~(FL_VM | FL_RF);

	if (virt)
		fl = (fl & ~FL_IF) | FL_IOPL | (fl & FL_VIF ? FL_IF : 0);
	if (in->opsize == 4)
		push32(cpu, fl);
	else
		push16(cpu, (uint16_t)fl);
}

void op_popf(struct cpu *cpu, const struct insn *in)
{
	bool virt = v86_virtual_if(cpu, in);
	uint32_t mask = FL_ARITH | FL_TF | FL_DF | FL_NT, image;
	struct stack st;

	stack_current(cpu, &st);
	image = stack_pop(cpu, &st, in->opsize);
	if (in->opsize == 4)
		mask |= FL_AC | FL_ID;
	if (virt) {
		if (image & FL_TF || (image & FL_IF && cpu->eflags & FL_VIP))
			cpu_raise_err(cpu, EXCP_GP, 0);
		mask |= FL_VIF;
		image = (image & ~FL_VIF) | (image & FL_IF ? FL_VIF : 0);
	} else if (cpu->cpl <= cpu_iopl(cpu)) {
		mask |= FL_IF;
	}
	/* Real mode and ring 0; virtual-8086 mode has CPL 3. */
	if (cpu->cpl == 0)
		mask |= FL_IOPL;
	cpu->gpr[R_ESP] = st.esp;
	/* RF is cleared (SDM vol. 2, POPF). */
	flags_set(cpu, (flags_get(cpu) & ~(mask | FL_RF)) | (image & mask) | FL_ONE);
}

/* CLI and STI on VIF instead of IF: VME in v86 mode, PVI in ring 3 (SDM vol. 2, table 3-7 and STI's
 * decision table). */
static bool uses_vif(struct cpu *cpu)
{
	if (!(cpu->cr0 & CR0_PE) || cpu->cpl <= cpu_iopl(cpu))
		return false;
	if (cpu_v86(cpu) ? cpu->cr4 & CR4_VME : cpu->cpl == 3 && cpu->cr4 & CR4_PVI)
		return true;
	cpu_raise_err(cpu, EXCP_GP, 0);
}

void op_cli(struct cpu *cpu, const struct insn *in)
{
	cpu->eflags &= uses_vif(cpu) ? ~FL_VIF : ~FL_IF;
}

void op_sti(struct cpu *cpu, const struct insn *in)
{
	if (uses_vif(cpu)) {
		if (cpu->eflags & FL_VIP)
			cpu_raise_err(cpu, EXCP_GP, 0);
		cpu->eflags |= FL_VIF;
		return;
	}
	if (!(cpu->eflags & FL_IF)) {
		cpu->eflags |= FL_IF;
		cpu->inhibit = CPU_INHIBIT_INTR;
		cpu->inhibit_icount = cpu->icount + 1;
		/* What comes up within the shadow makes somebody look by itself. */
		cpu->look |= excp_intr_waits(cpu);
	}
}

void op_hlt(struct cpu *cpu, const struct insn *in)
{
	require_cpl0(cpu);
	cpu->halted = true;
	cpu->look = true;
}

/* ---- port I/O ---- */

static void port_in(struct cpu *cpu, uint16_t port, unsigned size)
{
	uint32_t val;

	cpu_check_io(cpu, port, size);
	val = cpu->bus->in(cpu, port, size);
	if (size == 4)
		cpu->gpr[R_EAX] = val;
	else if (size == 2)
		cpu->gpr[R_EAX] = (cpu->gpr[R_EAX] & 0xffff0000) | (val & 0xffff);
	else
		cpu->gpr[R_EAX] = (cpu->gpr[R_EAX] & 0xffffff00) | (val & 0xff);
	debug_check_io(cpu, port, size);
}

static void port_out(struct cpu *cpu, uint16_t port, unsigned size)
{
	uint32_t val = cpu->gpr[R_EAX];

	cpu_check_io(cpu, port, size);
	if (size < 4)
		val &= (1u << (size * 8)) - 1;
	cpu->bus->out(cpu, port, size, val);
	debug_check_io(cpu, port, size);
}

void op_in_imm(struct cpu *cpu, const struct insn *in)
{
	port_in(cpu, in->imm & 0xff, in->opsize);
}

void op_in_dx(struct cpu *cpu, const struct insn *in)
{
	port_in(cpu, (uint16_t)cpu->gpr[R_EDX], in->opsize);
}

void op_out_imm(struct cpu *cpu, const struct insn *in)
{
	port_out(cpu, in->imm & 0xff, in->opsize);
}

void op_out_dx(struct cpu *cpu, const struct insn *in)
{
	port_out(cpu, (uint16_t)cpu->gpr[R_EDX], in->opsize);
}

/* ---- the processor about itself ---- */

void op_cpuid(struct cpu *cpu, const struct insn *in)
{
	uint32_t r[4];

	cpuid_query(cpu, cpu->gpr[R_EAX], cpu->gpr[R_ECX], r);
	cpu->gpr[R_EAX] = r[0];
	cpu->gpr[R_EBX] = r[1];
	cpu->gpr[R_ECX] = r[2];
	cpu->gpr[R_EDX] = r[3];
}

static void require_feature(struct cpu *cpu, unsigned feature)
{
	if (!cpuid_has(cpu, feature))
		cpu_raise(cpu, EXCP_UD);
}

void op_rdmsr(struct cpu *cpu, const struct insn *in)
{
	uint64_t val;

	require_feature(cpu, CPUID_F_MSR);
	require_cpl0(cpu);
	msr_read(cpu, cpu->gpr[R_ECX], &val);
	cpu->gpr[R_EAX] = (uint32_t)val;
	cpu->gpr[R_EDX] = (uint32_t)(val >> 32);
}

void op_wrmsr(struct cpu *cpu, const struct insn *in)
{
	require_feature(cpu, CPUID_F_MSR);
	require_cpl0(cpu);
	msr_write(cpu, cpu->gpr[R_ECX], (uint64_t)cpu->gpr[R_EDX] << 32 | cpu->gpr[R_EAX]);
}

void op_rdtsc(struct cpu *cpu, const struct insn *in)
{
	uint64_t tsc;

	require_feature(cpu, CPUID_F_TSC);
	if (cpu->cr4 & CR4_TSD && cpu->cpl != 0)
		cpu_raise_err(cpu, EXCP_GP, 0);
	tsc = cpu_tsc(cpu);
	cpu->gpr[R_EAX] = (uint32_t)tsc;
	cpu->gpr[R_EDX] = (uint32_t)(tsc >> 32);
}

/* The two counters of the P6 family; no events are counted. */
void op_rdpmc(struct cpu *cpu, const struct insn *in)
{
	require_feature(cpu, CPUID_F_CMOV);
	if ((!(cpu->cr4 & CR4_PCE) && cpu->cpl != 0) || cpu->gpr[R_ECX] > 1)
		cpu_raise_err(cpu, EXCP_GP, 0);
	cpu->gpr[R_EAX] = 0;
	cpu->gpr[R_EDX] = 0;
}

/* There is no system management mode to return from. */
void op_rsm(struct cpu *cpu, const struct insn *in)
{
	cpu_raise(cpu, EXCP_UD);
}
