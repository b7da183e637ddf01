/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Debug registers: breakpoints on execution, data and I/O. SDM vol. 3, 17.2 (registers), 17.3
 * (exceptions). Code breakpoints are faults and are looked for before each instruction
 * (excp_take_pending()); data and I/O breakpoints are traps, collected in db_pending. Lengths as
 * since the Pentium 4: 1, 2, 4 and (encoding 2) 8 bytes.
 */
#include "sys.h"

#define DR6_FIXED   0xffff0ff0u /* bits that read as 1 */
#define DR6_WRITE   0x0000e00fu
#define DR7_FIXED   0x00000400u
#define DR7_WRITE   0xffff23ffu
#define DR7_LOCAL   0x00000155u
#define DR7_ENABLED 0x000000ffu

enum bp_kind { BP_CODE, BP_WRITE, BP_IO, BP_RW };

static bool bp_enabled(const struct cpu *cpu, unsigned n)
{
	return (cpu->dr[7] >> (n * 2)) & 3;
}

static enum bp_kind bp_kind(const struct cpu *cpu, unsigned n)
{
	return (cpu->dr[7] >> (16 + n * 4)) & 3;
}

static uint32_t bp_len(const struct cpu *cpu, unsigned n)
{
	static const uint8_t len[4] = { 1, 2, 8, 4 };

	return len[(cpu->dr[7] >> (18 + n * 4)) & 3];
}

static bool bp_is_data(const struct cpu *cpu, unsigned n)
{
	return bp_enabled(cpu, n) && (bp_kind(cpu, n) == BP_WRITE || bp_kind(cpu, n) == BP_RW);
}

/* Do size bytes at addr touch breakpoint n? Its address is aligned to its length. */
static bool bp_overlaps(const struct cpu *cpu, unsigned n, uint32_t addr, unsigned size)
{
	uint32_t len = bp_len(cpu, n), start = cpu->dr[n] & ~(len - 1);

	return addr - start < len || start - addr < size;
}

bool debug_watches_page(const struct cpu *cpu, uint32_t linear)
{
	if (!cpu->dr_armed)
		return false;
	for (unsigned n = 0; n < 4; n++)
		if (bp_is_data(cpu, n) && ((cpu->dr[n] ^ linear) >> 12) == 0)
			return true;
	return false;
}

bool debug_has_code_breakpoint(const struct cpu *cpu)
{
	for (unsigned n = 0; n < 4; n++)
		if (bp_enabled(cpu, n) && bp_kind(cpu, n) == BP_CODE)
			return true;
	return false;
}

static bool has_data_breakpoint(const struct cpu *cpu)
{
	for (unsigned n = 0; n < 4; n++)
		if (bp_is_data(cpu, n))
			return true;
	return false;
}

void debug_write_dr(struct cpu *cpu, unsigned n, uint32_t val)
{
	bool watched = has_data_breakpoint(cpu);

	if (n == 6)
		cpu->dr[6] = (val & DR6_WRITE) | DR6_FIXED;
	else if (n == 7)
		cpu->dr[7] = (val & DR7_WRITE) | DR7_FIXED;
	else
		cpu->dr[n] = val;
	cpu->dr_armed = (cpu->dr[7] & DR7_ENABLED) != 0;
	/* Watched pages have no fast path; which pages those are has changed. */
	if (n != 6 && (watched || has_data_breakpoint(cpu)))
		mmu_flush(cpu, false);
	cpu->look = true;
}

static void pend(struct cpu *cpu, uint32_t bits)
{
	if (bits) {
		cpu->db_pending |= bits;
		cpu->look = true;
	}
}

void debug_check_data(struct cpu *cpu, uint32_t linear, unsigned size, bool write)
{
	uint32_t hit = 0;

	for (unsigned n = 0; n < 4; n++)
		if (bp_is_data(cpu, n) && (write || bp_kind(cpu, n) == BP_RW) &&
			bp_overlaps(cpu, n, linear, size))
			hit |= 1u << n;
	pend(cpu, hit);
}

void debug_check_io(struct cpu *cpu, uint16_t port, unsigned size)
{
	uint32_t hit = 0;

	if (!cpu->dr_armed || !(cpu->cr4 & CR4_DE))
		return;
	for (unsigned n = 0; n < 4; n++)
		if (bp_enabled(cpu, n) && bp_kind(cpu, n) == BP_IO &&
			bp_overlaps(cpu, n, port, size))
			hit |= 1u << n;
	pend(cpu, hit);
}

uint32_t debug_check_code(const struct cpu *cpu)
{
	uint32_t linear = cpu->seg[SEG_CS].base + cpu->eip, hit = 0;

	for (unsigned n = 0; n < 4; n++)
		if (bp_enabled(cpu, n) && bp_kind(cpu, n) == BP_CODE && cpu->dr[n] == linear)
			hit |= 1u << n;
	return hit;
}

void debug_enter_handler(struct cpu *cpu, uint32_t dr6_bits)
{
	/* B0-B3 tell about this exception; BD, BS and BT stay until software clears them. */
	cpu->dr[6] = (cpu->dr[6] & ~15u) | dr6_bits;
	cpu->dr[7] &= ~DR7_GD;
}

void debug_task_switched(struct cpu *cpu)
{
	if (cpu->dr[7] & DR7_LOCAL)
		debug_write_dr(cpu, 7, cpu->dr[7] & ~DR7_LOCAL);
}
