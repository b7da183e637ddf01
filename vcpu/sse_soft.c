/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is not the host's business: approximations whose bits the manual leaves open (docs/sse.md),
 * MXCSR, cache control, stores under a mask, and the integer instructions that came with SSE. SDM
 * vol. 2.
 */
#include <string.h>

#include "flags.h"
#include "fpu.h"
#include "mem.h"
#include "op_system.h"
#include "ops.h"
#include "sse.h"

void sse_go_live(struct cpu *cpu)
{
#if SSE_HOST
	if (!cpu->tcg || (cpu->mxcsr & MXCSR_MASKS) != MXCSR_MASKS)
		return;
	__asm__ volatile("ldmxcsr %0" : : "m"(cpu->mxcsr));
	cpu->mxcsr_live = 1;
#else
	(void)cpu;
#endif
}

void sse_park_now(struct cpu *cpu)
{
#if SSE_HOST
	static const uint32_t ours = MXCSR_RESET;

	__asm__ volatile("stmxcsr %0" : "=m"(cpu->mxcsr));
	__asm__ volatile("ldmxcsr %0" : : "m"(ours));
#endif
	cpu->mxcsr_live = 0;
}

void sse_reset(struct cpu *cpu)
{
	sse_park(cpu);
	memset(cpu->xmm, 0, sizeof(cpu->xmm));
	cpu->mxcsr = MXCSR_RESET;
}

/* ---- RCP, RSQRT ---- */

#define F32_SIGN    0x80000000u
#define F32_INF	    0x7f800000u
#define F32_QUIET   0x00400000u
#define F32_DEFAULT 0xffc00000u /* the NaN of invalid operations */
#define F32_BIAS    127
#define APPROX_BITS 12 /* of fraction in a result */

/* A result from its exponent (unbiased) and a significand of 1 + APPROX_BITS bits, which may be 2.0
 * by rounding. */
static uint32_t approx_pack(uint32_t sign, int exp, uint32_t sig)
{
	if (sig >> (APPROX_BITS + 1)) {
		sig >>= 1;
		exp++;
	}
	if (exp < 1 - F32_BIAS)
		return sign; /* tiny results are flushed to zero */
	return sign | (uint32_t)(exp + F32_BIAS) << 23 |
	       (sig & ((1u << APPROX_BITS) - 1)) << (23 - APPROX_BITS);
}

/* 1 / x, rounded to APPROX_BITS bits of fraction, halves up. */
static uint32_t approx_rcp(uint32_t x)
{
	uint32_t sign = x & F32_SIGN, mag = x & ~F32_SIGN, m, q;

	if (mag > F32_INF)
		return x | F32_QUIET;
	if (mag == F32_INF)
		return sign;
	if (mag < 1u << 23)
		return sign | F32_INF; /* a denormal is a zero */
	m = (mag & 0x7fffff) | 1u << 23;
	/* 2^24 / m is in (1, 2]: two bits more than wanted come out exactly truncated. */
	q = (uint32_t)((UINT64_C(1) << (24 + APPROX_BITS + 1)) / m);
	return approx_pack(sign, F32_BIAS - 1 - (int)(mag >> 23), (q + 1) >> 1);
}

static uint32_t isqrt64(uint64_t v)
{
	uint64_t r = 0;

	for (uint64_t bit = UINT64_C(1) << 31; bit; bit >>= 1)
		if ((r | bit) * (r | bit) <= v)
			r |= bit;
	return (uint32_t)r;
}

/* 1 / sqrt(x), likewise. */
static uint32_t approx_rsqrt(uint32_t x)
{
	uint32_t sign = x & F32_SIGN, mag = x & ~F32_SIGN, m, q;
	int exp;

	if (mag > F32_INF)
		return x | F32_QUIET;
	if (mag < 1u << 23)
		return sign | F32_INF;
	if (sign)
		return F32_DEFAULT;
	if (mag == F32_INF)
		return 0;
	exp = (int)(mag >> 23) - F32_BIAS;
	m = (mag & 0x7fffff) | 1u << 23; /* value m * 2^(exp - 23) */
	if (exp & 1) {
		m <<= 1;
		exp--;
	}
	/* sqrt(2^25 / m) is in (1/sqrt 2, sqrt 2]... of 2^(25 - 23): 1 < 2 / sqrt(m / 2^23) <= 2 */
	q = isqrt64((UINT64_C(1) << (25 + 2 * (APPROX_BITS + 1))) / m);
	return approx_pack(0, -exp / 2 - 1, (q + 1) >> 1);
}

static void approximate(struct cpu *cpu, const struct insn *in, uint32_t (*fn)(uint32_t x))
{
	const struct sse_desc *d = sse_desc(in);
	union xmm_reg v;

	if (!sse_enter(cpu, in, d))
		return;
	if (in->mem)
		sse_read_operand(cpu, in, d, &v);
	else
		v = cpu->xmm[in->rm];
	for (unsigned i = 0; i < d->mem / 4u; i++)
		cpu->xmm[in->reg].d[i] = fn(v.d[i]);
}

void sse_rcp(struct cpu *cpu, const struct insn *in)
{
	approximate(cpu, in, approx_rcp);
}

void sse_rsqrt(struct cpu *cpu, const struct insn *in)
{
	approximate(cpu, in, approx_rsqrt);
}

/* ---- stores ---- */

void mmx_movntq(struct cpu *cpu, const struct insn *in)
{
	const struct sse_desc *d = sse_desc(in);

	if (!sse_enter(cpu, in, d))
		return;
	lin_write64(
		cpu, sse_operand_lin(cpu, in, d, true), cpu->fpu->reg[in->reg].m, mem_user(cpu));
	mmx_touch(cpu);
}

void sse_movnti(struct cpu *cpu, const struct insn *in)
{
	const struct sse_desc *d = sse_desc(in);

	if (!sse_enter(cpu, in, d))
		return;
	lin_write32(cpu, sse_operand_lin(cpu, in, d, true), cpu->gpr[in->reg], mem_user(cpu));
}

/* The whole operand is checked as for a write, whatever the mask says; bytes are written one by
 * one. */
void sse_maskmov(struct cpu *cpu, const struct insn *in)
{
	const struct sse_desc *d = sse_desc(in);
	bool mmx = d->reg == S_MR, user = mem_user(cpu);
	unsigned size = mmx ? 8 : 16;
	union xmm_reg v, mask;
	uint32_t off = cpu->gpr[R_EDI], lin;

	if (!sse_enter(cpu, in, d))
		return;
	if (in->addrsize == 2)
		off &= 0xffff;
	if (mmx) {
		v.q[0] = cpu->fpu->reg[in->reg].m;
		mask.q[0] = cpu->fpu->reg[in->rm].m;
	} else {
		v = cpu->xmm[in->reg];
		mask = cpu->xmm[in->rm];
	}
	lin = seg_linear_write(cpu, in->seg, off, size);
	lin_probe(cpu, lin, size, true, user);
	for (unsigned i = 0; i < size; i++)
		if (mask.b[i] & 0x80)
			lin_write8(cpu, lin + i, v.b[i], user);
	if (mmx)
		mmx_touch(cpu);
}

/* ---- state ---- */

void mmx_emms(struct cpu *cpu, const struct insn *in)
{
	if (!sse_enter(cpu, in, sse_desc(in)))
		return;
	cpu->fpu->top = 0;
	cpu->fpu->empty = 0xff;
}

static void control_enter(struct cpu *cpu)
{
	if (!(cpu->isa & ISA_SSE) || cpu->cr0 & CR0_EM || !(cpu->cr4 & CR4_OSFXSR))
		cpu_raise(cpu, EXCP_UD);
	if (cpu->cr0 & CR0_TS)
		cpu_raise(cpu, EXCP_NM);
}

void sse_ldmxcsr(struct cpu *cpu, const struct insn *in)
{
	uint32_t v;

	control_enter(cpu);
	v = seg_read32(cpu, in->seg, insn_ea(cpu, in));
	sse_check_mxcsr(cpu, v);
	sse_park(cpu);
	cpu->mxcsr = v;
}

void sse_stmxcsr(struct cpu *cpu, const struct insn *in)
{
	control_enter(cpu);
	sse_park(cpu);
	seg_write32(cpu, in->seg, insn_ea(cpu, in), cpu->mxcsr);
}

/* ---- order and caches: there is one processor, and no cache ---- */

static void require(struct cpu *cpu, uint32_t isa)
{
	if (!(cpu->isa & isa))
		cpu_raise(cpu, EXCP_UD);
}

void sse_fence2(struct cpu *cpu, const struct insn *in)
{
	require(cpu, ISA_SSE2);
	(void)in;
}

/* 0F AE /7: SFENCE, CLFLUSH with a memory operand, which is checked as for a read of a byte */
void sse_sfence(struct cpu *cpu, const struct insn *in)
{
	if (!in->mem) {
		require(cpu, ISA_SSE);
		return;
	}
	require(cpu, ISA_CLFSH);
	lin_probe(cpu, seg_linear_read(cpu, in->seg, insn_ea(cpu, in), 1), 1, false, mem_user(cpu));
}

/* ---- integers ---- */

/* CRC-32C, bits reflected: polynomial 1EDC6F41 */
static uint32_t crc32c(uint32_t crc, uint32_t v, unsigned bits)
{
	crc ^= v;
	for (unsigned i = 0; i < bits; i++)
		crc = crc >> 1 ^ (0x82f63b78u & (0u - (crc & 1)));
	return crc;
}

void sse_crc32_8(struct cpu *cpu, const struct insn *in)
{
	unsigned rm = in->rm;
	uint32_t v;

	require(cpu, ISA_SSE42);
	v = in->mem ? seg_read8(cpu, in->seg, insn_ea(cpu, in))
		    : cpu->gpr[rm & 3] >> ((rm & 4) << 1) & 0xff;
	cpu->gpr[in->reg] = crc32c(cpu->gpr[in->reg], v, 8);
}

void sse_crc32(struct cpu *cpu, const struct insn *in)
{
	uint32_t v;

	require(cpu, ISA_SSE42);
	if (in->opsize == 2)
		v = in->mem ? seg_read16(cpu, in->seg, insn_ea(cpu, in))
			    : cpu->gpr[in->rm] & 0xffff;
	else
		v = in->mem ? seg_read32(cpu, in->seg, insn_ea(cpu, in)) : cpu->gpr[in->rm];
	cpu->gpr[in->reg] = crc32c(cpu->gpr[in->reg], v, in->opsize * 8u);
}

void sse_popcnt(struct cpu *cpu, const struct insn *in)
{
	uint32_t v;

	require(cpu, ISA_POPCNT);
	if (in->opsize == 2) {
		v = in->mem ? seg_read16(cpu, in->seg, insn_ea(cpu, in))
			    : cpu->gpr[in->rm] & 0xffff;
		cpu->gpr[in->reg] =
			(cpu->gpr[in->reg] & 0xffff0000u) | (unsigned)__builtin_popcount(v);
	} else {
		v = in->mem ? seg_read32(cpu, in->seg, insn_ea(cpu, in)) : cpu->gpr[in->rm];
		cpu->gpr[in->reg] = (unsigned)__builtin_popcount(v);
	}
	flags_set_arith(cpu, v ? 0 : FL_ZF);
}
