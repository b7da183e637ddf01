/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Model-specific registers, as kernels for this family probe them. SDM vol. 4 (list), vol. 3, 11.11
 * (MTRRs), 11.12 (PAT), 15.3 (machine check), 17.17 (TSC). An index without a row is #GP(0), and so
 * is a reserved bit.
 *
 * The TSC ticks once per ns of virtual time (1 GHz), whatever the icount shift: it stands still
 * within an instruction and jumps when the guest sleeps, as an invariant TSC does.
 *
 * MTRRs and PAT are kept for the guest and have no effect: there are no caches.
 */
#include <string.h>

#include "cpuid.h"
#include "hash.h"
#include "sys.h"

#define PHYS_MASK UINT64_C(0xfffffffff) /* 36 bits */

#define APIC_BASE_BSP	 0x100u
#define APIC_BASE_ENABLE 0x800u

#define MTRRCAP	       (CPU_MTRR_VAR | 1u << 8 /* fixed */ | 1u << 10 /* write combining */)
#define MISC_WRITABLE  (UINT64_C(1) /* fast strings */ | 1u << 22 /* limit CPUID */)
#define UCODE_REVISION UINT64_C(0x0000000100000000)

/*
 * RDCL_NO, SKIP_L1DFL_VMENTRY, SSB_NO, MDS_NO, IF_PSCHANGE_MC_NO, TAA_NO, SBDR_SSDP_NO, FBSDP_NO,
 * PSDP_NO, BHI_NO, PBRSB_NO, GDS_NO, RFDS_NO, ITS_NO: nothing is speculated here.
 */
#define ARCH_CAPABILITIES                                                                \
	(UINT64_C(1) << 0 | 1u << 3 | 1u << 4 | 1u << 5 | 1u << 6 | 1u << 8 | 1u << 13 | \
		1u << 14 | 1u << 15 | 1u << 20 | 1u << 24 | 1u << 26 | 1u << 27 |        \
		UINT64_C(1) << 62)

#define MSR_MTRR_VAR	0x200
#define MSR_MTRR_FIX64K 0x250
#define MSR_MTRR_FIX16K 0x258
#define MSR_MTRR_FIX4K	0x268

/* index, name, feature that brings it */
#define MSRS(X)                                 \
	X(0x000, P5_MC_ADDR, MSR)               \
	X(0x001, P5_MC_TYPE, MSR)               \
	X(0x010, TSC, TSC)                      \
	X(0x017, PLATFORM_ID, SEP)              \
	X(0x01b, APIC_BASE, SEP)                \
	X(0x02a, EBL_CR_POWERON, SEP)           \
	X(0x079, BIOS_UPDT_TRIG, SEP)           \
	X(0x08b, BIOS_SIGN_ID, SEP)             \
	X(0x0fe, MTRRCAP, MTRR)                 \
	X(0x10a, ARCH_CAPABILITIES, HYPERVISOR) \
	X(0x11e, BBL_CR_CTL3, SEP)              \
	X(0x174, SYSENTER_CS, SEP)              \
	X(0x175, SYSENTER_ESP, SEP)             \
	X(0x176, SYSENTER_EIP, SEP)             \
	X(0x179, MCG_CAP, MCA)                  \
	X(0x17a, MCG_STATUS, MCA)               \
	X(0x1a0, MISC_ENABLE, HYPERVISOR)       \
	X(0x1d9, DEBUGCTL, SEP)                 \
	X(0x277, PAT, PAT)                      \
	X(0x2ff, MTRR_DEF_TYPE, MTRR)           \
	X(0xc0000080, EFER, NX)

enum msr {
#define X(index, name, feature) MSR_##name = (int)(index),
	MSRS(X)
#undef X
};

/* ---- time ---- */

uint64_t cpu_tsc(const struct cpu *cpu)
{
	return cpu_vtime_ns(cpu) + cpu->tsc_offset;
}

/* ---- MTRRs ---- */

static bool memory_type_ok(uint8_t type)
{
	return type == 0 || type == 1 || (type >= 4 && type <= 6);
}

/* Eight types in eight bytes; PAT has UC- (7) in addition. */
static bool memory_types_ok(uint64_t val, bool pat)
{
	for (int i = 0; i < 64; i += 8) {
		uint8_t type = (uint8_t)(val >> i);

		if (!memory_type_ok(type) && !(pat && type == 7))
			return false;
	}
	return true;
}

/* The storage of an MTRR, or NULL. */
static uint64_t *mtrr_slot(struct cpu *cpu, uint32_t index)
{
	if (!cpuid_has(cpu, CPUID_F_MTRR))
		return NULL;
	if (index >= MSR_MTRR_VAR && index < MSR_MTRR_VAR + 2 * CPU_MTRR_VAR) {
		unsigned n = (index - MSR_MTRR_VAR) / 2;

		return index & 1 ? &cpu->mtrr_mask[n] : &cpu->mtrr_base[n];
	}
	if (index == MSR_MTRR_FIX64K)
		return &cpu->mtrr_fixed[0];
	if (index == MSR_MTRR_FIX16K || index == MSR_MTRR_FIX16K + 1)
		return &cpu->mtrr_fixed[1 + index - MSR_MTRR_FIX16K];
	if (index >= MSR_MTRR_FIX4K && index < MSR_MTRR_FIX4K + 8)
		return &cpu->mtrr_fixed[3 + index - MSR_MTRR_FIX4K];
	return NULL;
}

static bool mtrr_valid(uint32_t index, uint64_t val)
{
	if (index >= MSR_MTRR_FIX64K)
		return memory_types_ok(val, false);
	if (index & 1)
		return !(val & ~(PHYS_MASK & ~UINT64_C(0x7ff)));
	return memory_type_ok((uint8_t)val) && !(val & ~(PHYS_MASK & ~UINT64_C(0xf00)));
}

/* ---- reading and writing ---- */

/* The feature that a register comes with; -1: there is no such register. */
static int msr_feature(uint32_t index)
{
	switch (index) {
#define X(i, name, feature) \
	case i: return CPUID_F_##feature;
		MSRS(X)
#undef X
	default: return -1;
	}
}

static void require(struct cpu *cpu, bool ok)
{
	if (!ok)
		cpu_raise_err(cpu, EXCP_GP, 0);
}

void msr_read(struct cpu *cpu, uint32_t index, uint64_t *ret)
{
	uint64_t *mtrr = mtrr_slot(cpu, index);
	int feature = msr_feature(index);

	if (mtrr) {
		*ret = *mtrr;
		return;
	}
	require(cpu, feature >= 0 && cpuid_has(cpu, (unsigned)feature));
	switch ((int)index) {
	case MSR_TSC: *ret = cpu_tsc(cpu); break;
	case MSR_APIC_BASE: *ret = cpu->apic_base; break;
	case MSR_BIOS_SIGN_ID: *ret = UCODE_REVISION; break;
	case MSR_MTRRCAP: *ret = MTRRCAP; break;
	case MSR_ARCH_CAPABILITIES: *ret = ARCH_CAPABILITIES; break;
	case MSR_SYSENTER_CS: *ret = cpu->sysenter_cs; break;
	case MSR_SYSENTER_ESP: *ret = cpu->sysenter_esp; break;
	case MSR_SYSENTER_EIP: *ret = cpu->sysenter_eip; break;
	case MSR_MCG_STATUS: *ret = cpu->mcg_status; break;
	case MSR_MISC_ENABLE: *ret = cpu->misc_enable; break;
	case MSR_PAT: *ret = cpu->pat; break;
	case MSR_MTRR_DEF_TYPE: *ret = cpu->mtrr_def_type; break;
	case MSR_EFER: *ret = cpu->efer; break;
	/* Machine check registers without banks, platform and cache configuration, last-branch
	 * control: nothing set. */
	default: *ret = 0; break;
	}
}

static void write_apic_base(struct cpu *cpu, uint64_t val)
{
	uint64_t fixed = APIC_BASE_BSP,
		 known = fixed | APIC_BASE_ENABLE | (PHYS_MASK & ~UINT64_C(0xfff));

	require(cpu, !(val & ~known));
	if ((val ^ cpu->apic_base) & APIC_BASE_ENABLE && !(val & APIC_BASE_ENABLE))
		lapic_reset(cpu);
	cpu->apic_base = (val & ~fixed) | (cpu->apic_base & fixed);
	mmu_flush(cpu, false);
	cpu->look = true;
}

static void write_efer(struct cpu *cpu, uint64_t val)
{
	require(cpu, !(val & ~(uint64_t)EFER_NXE));
	if (val == cpu->efer)
		return;
	cpu->efer = val;
	mmu_mode_changed(cpu);
	mmu_flush(cpu, false);
}

void msr_write(struct cpu *cpu, uint32_t index, uint64_t val)
{
	uint64_t *mtrr = mtrr_slot(cpu, index);
	int feature = msr_feature(index);

	if (mtrr) {
		require(cpu, mtrr_valid(index, val));
		*mtrr = val;
		return;
	}
	require(cpu, feature >= 0 && cpuid_has(cpu, (unsigned)feature));
	switch ((int)index) {
	case MSR_TSC: cpu->tsc_offset = val - cpu_vtime_ns(cpu); break;
	case MSR_APIC_BASE: write_apic_base(cpu, val); break;
	case MSR_SYSENTER_CS: cpu->sysenter_cs = (uint32_t)val; break;
	case MSR_SYSENTER_ESP: cpu->sysenter_esp = (uint32_t)val; break;
	case MSR_SYSENTER_EIP: cpu->sysenter_eip = (uint32_t)val; break;
	case MSR_MCG_STATUS:
		require(cpu, val == 0); /* software may only clear it */
		cpu->mcg_status = 0;
		break;
	case MSR_MISC_ENABLE:
		cpu->misc_enable = (cpu->misc_enable & ~MISC_WRITABLE) | (val & MISC_WRITABLE);
		break;
	case MSR_PAT:
		require(cpu, memory_types_ok(val, true));
		cpu->pat = val;
		break;
	case MSR_MTRR_DEF_TYPE:
		require(cpu, memory_type_ok((uint8_t)val) && !(val & ~UINT64_C(0xcff)));
		cpu->mtrr_def_type = val;
		break;
	case MSR_EFER: write_efer(cpu, val); break;
	case MSR_PLATFORM_ID:
	case MSR_MTRRCAP:
	case MSR_ARCH_CAPABILITIES:
	case MSR_MCG_CAP: require(cpu, false); break;
	/* Microcode updates, cache configuration: accepted and without effect. */
	default: break;
	}
}

uint64_t msr_digest(const struct cpu *cpu)
{
	const uint64_t v[] = { cpu->tsc_offset, cpu->sysenter_cs, cpu->sysenter_esp,
		cpu->sysenter_eip, cpu->apic_base, cpu->pat, cpu->mtrr_def_type, cpu->misc_enable,
		cpu->mcg_status, cpu->efer };
	uint64_t h = 0;

	for (unsigned i = 0; i < sizeof(v) / sizeof(v[0]); i++)
		h = hash_mix_(h ^ v[i]) + HASH_K0;
	for (int i = 0; i < CPU_MTRR_FIXED; i++)
		h = hash_mix_(h ^ cpu->mtrr_fixed[i]) + HASH_K0;
	for (int i = 0; i < CPU_MTRR_VAR; i++) {
		h = hash_mix_(h ^ cpu->mtrr_base[i]) + HASH_K0;
		h = hash_mix_(h ^ cpu->mtrr_mask[i]) + HASH_K0;
	}
	return h;
}
