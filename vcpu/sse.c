/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * MMX and SSE on the host's own instructions (SDM vol. 1, ch. 9 to 12). An instruction's operands
 * are copied into a frame, the function that sse_host.S has for its row runs on the frame, and the
 * results are copied back. Exceptions of floating point are found with all of them masked, from the
 * flags that come out (SDM vol. 1, 11.5).
 */
#include "sse.h"

#include <string.h>
#if SSE_HOST
#include <emmintrin.h>
#endif

#include "flags.h"
#include "fpu.h"
#include "mem.h"

#define KIND(o)		     ((o)&S_KIND)
#define TOUCHES_XMM(reg, rm) (KIND(reg) == S_X || KIND(rm) == S_X)
#define TOUCHES_MMX(reg, rm) (KIND(reg) == S_M || KIND(rm) == S_M)

#define N_DESCS (INSN_COUNT - INSN_SSE_FIRST)

static const struct sse_desc descs[N_DESCS] = {
#define DESC(id, ...) [id - INSN_SSE_FIRST] = { __VA_ARGS__ },
#define SSE(pfx, map, op, name, reg, rm, mem, flags, isa)                                      \
	DESC(INSN_##pfx##_##map##_##op, SSE_##pfx, SSE_MAP_##map, 0x##op, -1, reg, rm, mem, 0, \
		flags, ISA_##isa)
#define SSE_I(pfx, map, op, name, reg, rm, mem, flags, isa, mask)                                 \
	DESC(INSN_##pfx##_##map##_##op, SSE_##pfx, SSE_MAP_##map, 0x##op, -1, reg, rm, mem, mask, \
		flags, ISA_##isa)
#define SSE_C(pfx, map, op, name, reg, rm, mem, flags, isa, handler) \
	SSE(pfx, map, op, name, reg, rm, mem, flags, isa)
#define SSE_HEAD(pfx, op, group)
#define SSE_G(group, ext, pfx, op, name, rm, isa)                                              \
	DESC(INSN_##group##_##ext, SSE_##pfx, SSE_MAP_0F, 0x##op, ext, S_N, rm, 0, 0xff, S_RO, \
		ISA_##isa)
#include "sse.def"
};

const struct sse_desc *sse_desc(const struct insn *in)
{
	if (in->id < INSN_SSE_FIRST)
		return NULL;
	return &descs[in->id - INSN_SSE_FIRST];
}

/* A value of 4 or 8 bytes as the low part of a register, stored at once: it is about to be loaded.
 */
static inline void put_low(union xmm_reg *r, uint64_t v)
{
#if SSE_HOST
	_mm_store_si128((__m128i *)r, _mm_cvtsi64_si128((long long)v));
#else
	*r = (union xmm_reg){ .q = { v } };
#endif
}

/* ---- gates ---- */

bool sse_enters_mmx(const struct sse_desc *d, const struct insn *in)
{
	return KIND(d->reg) == S_M || (KIND(d->rm) == S_M && !in->mem);
}

/* Not all is well: has it to do with this instruction? Those without such registers ask for the
 * model only. */
static bool shut_by_control(const struct cpu *cpu, const struct sse_desc *d)
{
	if (!TOUCHES_XMM(d->reg, d->rm) && !TOUCHES_MMX(d->reg, d->rm) && d->reg != S_N)
		return false;
	if (cpu->cr0 & (CR0_EM | CR0_TS))
		return true;
	return TOUCHES_XMM(d->reg, d->rm) && !(cpu->cr4 & CR4_OSFXSR);
}

/* An exception is pending for those that touch the x87 state. */
static bool shut_by_x87(const struct cpu *cpu, const struct insn *in, const struct sse_desc *d)
{
	bool emms = d->flags & S_NOMODRM;

	return (emms || sse_enters_mmx(d, in)) && (cpu->fpu->sw & SW_ES);
}

bool sse_gate_open(struct cpu *cpu, const struct insn *in)
{
	const struct sse_desc *d = sse_desc(in);

	fpu_park(cpu->fpu);
	return (cpu->isa & d->isa) && !shut_by_control(cpu, d) && !shut_by_x87(cpu, in, d);
}

/* SDM vol. 3, tables 22-4 to 22-9 */
bool sse_enter(struct cpu *cpu, const struct insn *in, const struct sse_desc *d)
{
	if (unlikely(!(cpu->isa & d->isa)))
		cpu_raise(cpu, EXCP_UD);
	if (unlikely(shut_by_control(cpu, d)))
		cpu_raise(cpu,
			cpu->cr0 & CR0_EM || !(cpu->cr0 & CR0_TS) ||
					(TOUCHES_XMM(d->reg, d->rm) && !(cpu->cr4 & CR4_OSFXSR))
				? EXCP_UD
				: EXCP_NM);
	if (!TOUCHES_MMX(d->reg, d->rm) && !(d->flags & S_NOMODRM))
		return true;
	fpu_park(cpu->fpu);
	return !(shut_by_x87(cpu, in, d) && fpu_wait_pending(cpu));
}

void mmx_touch(struct cpu *cpu)
{
	cpu->fpu->top = 0;
	cpu->fpu->empty = 0;
}

void mmx_set(struct cpu *cpu, unsigned reg, uint64_t v)
{
	cpu->fpu->reg[reg] = (struct f80){ .m = v, .se = 0xffff };
}

/* ---- memory ---- */

uint32_t sse_operand_lin(
	struct cpu *cpu, const struct insn *in, const struct sse_desc *d, bool write)
{
	uint32_t ea = insn_ea(cpu, in), lin;

	lin = write ? seg_linear_write(cpu, in->seg, ea, d->mem)
		    : seg_linear_read(cpu, in->seg, ea, d->mem);
	if ((d->flags & S_A) && unlikely(lin & 15))
		cpu_raise_err(cpu, EXCP_GP, 0);
	return lin;
}

void sse_read_operand(
	struct cpu *cpu, const struct insn *in, const struct sse_desc *d, union xmm_reg *ret)
{
	uint32_t lin = sse_operand_lin(cpu, in, d, false);
	bool user = mem_user(cpu);
	const uint8_t *p;

	switch (d->mem) {
	case 1: put_low(ret, lin_read8(cpu, lin, user)); break;
	case 2: put_low(ret, lin_read16(cpu, lin, user)); break;
	case 4: put_low(ret, lin_read32(cpu, lin, user)); break;
	case 8: put_low(ret, lin_read64(cpu, lin, user)); break;
	default:
		p = tlb_host(mem_tlb(cpu, user, false), lin, 16);
		if (likely(p)) {
			memcpy(ret, p, 16);
		} else {
			ret->q[0] = lin_read64(cpu, lin, user);
			ret->q[1] = lin_read64(cpu, lin + 8, user);
		}
		break;
	}
}

void sse_write16(struct cpu *cpu, uint32_t lin, const union xmm_reg *v)
{
	bool user = mem_user(cpu);
	uint8_t *p = tlb_host(mem_tlb(cpu, user, true), lin, 16);

	if (likely(p)) {
		memcpy(p, v, 16);
		return;
	}
	if (unlikely((lin & (PAGE_SIZE - 1)) > PAGE_SIZE - 16))
		lin_probe(cpu, lin, 16, true, user);
	lin_write64(cpu, lin, v->q[0], user);
	lin_write64(cpu, lin + 8, v->q[1], user);
}

static void write_operand(
	struct cpu *cpu, const struct insn *in, const struct sse_desc *d, const union xmm_reg *v)
{
	uint32_t lin = sse_operand_lin(cpu, in, d, true);
	bool user = mem_user(cpu);

	switch (d->mem) {
	case 1: lin_write8(cpu, lin, v->b[0], user); break;
	case 2: lin_write16(cpu, lin, v->w[0], user); break;
	case 4: lin_write32(cpu, lin, v->d[0], user); break;
	case 8: lin_write64(cpu, lin, v->q[0], user); break;
	default: sse_write16(cpu, lin, v); break;
	}
}

/* ---- whole registers from and to memory ---- */

void sse_load(struct cpu *cpu, const struct insn *in)
{
	const struct sse_desc *d = sse_desc(in);

	if (!sse_enter(cpu, in, d))
		return;
	if (in->mem) {
		union xmm_reg v;

		sse_read_operand(cpu, in, d, &v);
		cpu->xmm[in->reg] = v;
	} else {
		cpu->xmm[in->reg] = cpu->xmm[in->rm];
	}
}

void sse_store(struct cpu *cpu, const struct insn *in)
{
	const struct sse_desc *d = sse_desc(in);

	if (!sse_enter(cpu, in, d))
		return;
	if (in->mem)
		sse_write16(cpu, sse_operand_lin(cpu, in, d, true), &cpu->xmm[in->reg]);
	else
		cpu->xmm[in->rm] = cpu->xmm[in->reg];
}

/* ---- all others ---- */

/*
 * SDM vol. 1, 11.5.2 and 11.5.3. An unmasked exception of the first kind (invalid, denormal, zero
 * divide; of any element) keeps those of the second kind from being looked for.
 */
#define MXCSR_PRE (MXCSR_IE | MXCSR_DE | MXCSR_ZE)

static void fp_raise(struct cpu *cpu, uint32_t flags)
{
	uint32_t unmasked = flags & ~(cpu->mxcsr >> MXCSR_MASK_SHIFT) & MXCSR_FLAGS;

	if (unmasked & MXCSR_PRE)
		flags &= MXCSR_PRE;
	cpu->mxcsr |= flags;
	if (unmasked)
		cpu_raise(cpu, cpu->cr4 & CR4_OSXMMEXCPT ? EXCP_XM : EXCP_UD);
}

#if SSE_HOST

/* sse_host.S knows its layout. */
struct frame {
	union xmm_reg reg, rm, x0, rm_out;
	uint64_t mm_reg, mm_rm;
	uint64_t rcx;
	uint32_t eax, edx;
	uint64_t flags;
	uint32_t mxcsr, host_mxcsr;
};

_Static_assert(offsetof(struct frame, mm_reg) == 64, "FRAME_MM_REG");
_Static_assert(offsetof(struct frame, rcx) == 80, "FRAME_RCX");
_Static_assert(offsetof(struct frame, flags) == 96, "FRAME_FLAGS");
_Static_assert(offsetof(struct frame, mxcsr) == 104, "FRAME_MXCSR");

/* vcpu/sse_host.S */
void sse_host_run(const uint8_t *insn, struct frame *f);
void sse_host_run_fp(const uint8_t *insn, struct frame *f);
void sse_host_run_mmx(const uint8_t *insn, struct frame *f);

#define SSE(pfx, map, op, name, reg, rm, mem, flags, isa) \
	extern const uint8_t sse_reg_##pfx##_##map##_##op[], sse_mem_##pfx##_##map##_##op[];
#define SSE_I(pfx, map, op, name, reg, rm, mem, flags, isa, mask) \
	extern const uint8_t sse_reg_##pfx##_##map##_##op[];
#define SSE_C(pfx, map, op, name, reg, rm, mem, flags, isa, handler)
#define SSE_HEAD(pfx, op, group)
#define SSE_G(group, ext, pfx, op, name, rm, isa) extern const uint8_t sse_reg_##group##_##ext[];
#include "sse.def"

#define HOST_IMM_STRIDE 8

/* mem NULL: the register form, on the operand in rm */
static const struct host_insn {
	const uint8_t *reg, *mem;
} host_insns[N_DESCS] = {
#define SSE(pfx, map, op, name, reg, rm, mem, flags, isa) \
	[INSN_##pfx##_##map##_##op -                      \
		INSN_SSE_FIRST] = { sse_reg_##pfx##_##map##_##op, sse_mem_##pfx##_##map##_##op },
#define SSE_I(pfx, map, op, name, reg, rm, mem, flags, isa, mask) \
	[INSN_##pfx##_##map##_##op - INSN_SSE_FIRST] = { sse_reg_##pfx##_##map##_##op, NULL },
#define SSE_C(pfx, map, op, name, reg, rm, mem, flags, isa, handler)
#define SSE_HEAD(pfx, op, group)
#define SSE_G(group, ext, pfx, op, name, rm, isa) \
	[INSN_##group##_##ext - INSN_SSE_FIRST] = { sse_reg_##group##_##ext, NULL },
#include "sse.def"
};

static const uint8_t *host_insn(const struct insn *in, const struct sse_desc *d)
{
	const struct host_insn *h = &host_insns[in->id - INSN_SSE_FIRST];
	unsigned imm = in->imm;

	if (!d->imask)
		return in->mem ? h->mem : h->reg;
	if ((d->flags & S_INS) && in->mem)
		imm &= 0x3f;
	return h->reg + (imm & d->imask) * HOST_IMM_STRIDE;
}

static void load_operands(
	struct cpu *cpu, const struct insn *in, const struct sse_desc *d, struct frame *f)
{
	switch (KIND(d->reg)) {
	case S_X: f->reg = cpu->xmm[in->reg]; break;
	case S_M: f->mm_reg = cpu->fpu->reg[in->reg].m; break;
	case S_G: f->edx = cpu->gpr[in->reg]; break;
	}
	if (in->mem) {
		if (!(d->rm & S_W))
			sse_read_operand(cpu, in, d, &f->rm);
		f->rcx = d->imask ? f->rm.d[0] : (uintptr_t)&f->rm;
		f->mm_rm = f->rm.q[0];
	} else {
		switch (KIND(d->rm)) {
		case S_X: f->rm = cpu->xmm[in->rm]; break;
		case S_M: f->mm_rm = cpu->fpu->reg[in->rm].m; break;
		case S_G: f->rcx = cpu->gpr[in->rm]; break;
		}
	}
	if (d->flags & S_X0)
		f->x0 = cpu->xmm[0];
	if (d->flags & S_STR) {
		f->eax = cpu->gpr[R_EAX];
		f->edx = cpu->gpr[R_EDX];
	}
}

/* With an imm8 the register form has run: a result for memory is in ECX. */
static void store_to_memory(
	struct cpu *cpu, const struct insn *in, const struct sse_desc *d, struct frame *f)
{
	if (d->imask)
		f->rm.q[0] = f->rcx;
	write_operand(cpu, in, d, &f->rm);
}

static void store_results(
	struct cpu *cpu, const struct insn *in, const struct sse_desc *d, const struct frame *f)
{
	if (d->reg & S_W) {
		switch (KIND(d->reg)) {
		case S_X: cpu->xmm[in->reg] = f->reg; break;
		case S_M: mmx_set(cpu, in->reg, f->mm_reg); break;
		case S_G: cpu->gpr[in->reg] = f->edx; break;
		}
	}
	if ((d->rm & S_W) && !in->mem) {
		switch (KIND(d->rm)) {
		case S_X: cpu->xmm[in->rm] = f->rm_out; break;
		case S_M: mmx_set(cpu, in->rm, f->mm_rm); break;
		case S_G: cpu->gpr[in->rm] = (uint32_t)f->rcx; break;
		}
	}
	if (d->flags & S_STR) {
		if (d->op & 1)
			cpu->gpr[R_ECX] = (uint32_t)f->rcx;
		else
			cpu->xmm[0] = f->x0;
	}
	if (d->flags & S_FL)
		flags_set_arith(cpu, (uint32_t)f->flags);
}

static void run(const uint8_t *insn, const struct sse_desc *d, struct frame *f)
{
	if (TOUCHES_MMX(d->reg, d->rm)) {
		fpu_vacate();
		sse_host_run_mmx(insn, f);
	} else if (d->flags & S_FP)
		sse_host_run_fp(insn, f);
	else
		sse_host_run(insn, f);
}

/*
 * Masked underflow is told only if the result is inexact too; unmasked, any tiny result counts (SDM
 * vol. 1, 4.9.1.5). Flushing to zero tells of all of them.
 */
static uint32_t tiny(const uint8_t *insn, const struct sse_desc *d, struct frame f, uint32_t mxcsr)
{
	f.mxcsr = mxcsr | MXCSR_FZ;
	run(insn, d, &f);
	return f.mxcsr & MXCSR_UE;
}

static void run_fp(struct cpu *cpu, const uint8_t *insn, const struct sse_desc *d, struct frame *f)
{
	uint32_t mxcsr, flags = 0;

	sse_park(cpu);
	mxcsr = sse_host_mxcsr(cpu->mxcsr);
	f->mxcsr = mxcsr;
	if (unlikely(!(cpu->mxcsr & MXCSR_UM)))
		flags = tiny(insn, d, *f, mxcsr);
	run(insn, d, f);
	flags |= f->mxcsr & MXCSR_FLAGS;
	if (flags)
		fp_raise(cpu, flags);
	sse_go_live(cpu);
}

void sse_exec(struct cpu *cpu, const struct insn *in)
{
	const struct sse_desc *d = sse_desc(in);
	const uint8_t *insn = host_insn(in, d);
	struct frame f;

	if (!sse_enter(cpu, in, d))
		return;
	f.mxcsr = MXCSR_RESET;
	load_operands(cpu, in, d, &f);
	if (d->flags & S_FP)
		run_fp(cpu, insn, d, &f);
	else
		run(insn, d, &f);
	if (in->mem && (d->rm & S_W))
		store_to_memory(cpu, in, d, &f);
	if (sse_enters_mmx(d, in))
		mmx_touch(cpu);
	store_results(cpu, in, d, &f);
}

/* The other operand of an S_PLAIN row: where it is, or its copy in buf. */
static inline const void *plain_operand(
	struct cpu *cpu, const struct insn *in, const struct sse_desc *d, union xmm_reg *buf)
{
	if (!in->mem)
		return &cpu->xmm[in->rm];
	if (d->mem == 16) {
		uint32_t lin = sse_operand_lin(cpu, in, d, false);
		const uint8_t *p = tlb_host(mem_tlb(cpu, mem_user(cpu), false), lin, 16);

		if (likely(p))
			return p;
	}
	sse_read_operand(cpu, in, d, buf);
	return buf;
}

/* sse_host.S */
void sse_host_xx(const uint8_t *insn, union xmm_reg *reg, const void *rm);
void sse_host_xx_fp(const uint8_t *insn, union xmm_reg *reg, const void *rm, uint32_t mxcsr[2]);

static inline const uint8_t *plain_insn(const struct insn *in, const struct sse_desc *d)
{
	return host_insns[in->id - INSN_SSE_FIRST].reg + (in->imm & d->imask) * HOST_IMM_STRIDE;
}

void sse_exec_xx(struct cpu *cpu, const struct insn *in)
{
	const struct sse_desc *d = sse_desc(in);
	union xmm_reg buf;

	/* Memory forms that do with reg otherwise than register forms. */
	if (unlikely(in->mem && d->mem < 16 && !d->imask && d->reg == S_XRW)) {
		sse_exec(cpu, in);
		return;
	}
	if (sse_enter(cpu, in, d))
		sse_host_xx(plain_insn(in, d), &cpu->xmm[in->reg], plain_operand(cpu, in, d, &buf));
}

void sse_exec_xx_fp(struct cpu *cpu, const struct insn *in)
{
	const struct sse_desc *d = sse_desc(in);
	union xmm_reg buf, reg;
	uint32_t mxcsr[2], flags;
	const void *rm;

	sse_park(cpu);
	if (unlikely(!(cpu->mxcsr & MXCSR_UM))) {
		sse_exec(cpu, in);
		return;
	}
	if (!sse_enter(cpu, in, d))
		return;
	rm = plain_operand(cpu, in, d, &buf);
	mxcsr[0] = sse_host_mxcsr(cpu->mxcsr);
	reg = cpu->xmm[in->reg];
	sse_host_xx_fp(plain_insn(in, d), &reg, rm, mxcsr);
	flags = mxcsr[0] & MXCSR_FLAGS;
	/* Most often there is none that is not set already, and masked. */
	if (unlikely(flags & ~(cpu->mxcsr & cpu->mxcsr >> MXCSR_MASK_SHIFT)))
		fp_raise(cpu, flags);
	cpu->xmm[in->reg] = reg;
	sse_go_live(cpu);
}

bool sse_host_has(uint32_t isa)
{
	uint32_t has = ISA_MMX | ISA_SSE | ISA_SSE2 | ISA_FXSR | ISA_CLFSH | ISA_POPCNT;

	__builtin_cpu_init();
	if (__builtin_cpu_supports("sse3"))
		has |= ISA_SSE3;
	if (__builtin_cpu_supports("ssse3"))
		has |= ISA_SSSE3;
	if (__builtin_cpu_supports("sse4.1"))
		has |= ISA_SSE41;
	if (__builtin_cpu_supports("sse4.2"))
		has |= ISA_SSE42;
	return !(isa & ~has);
}

#else

/* No model of such a host has these instructions. */
void sse_exec_xx(struct cpu *cpu, const struct insn *in)
{
	sse_exec(cpu, in);
}

void sse_exec_xx_fp(struct cpu *cpu, const struct insn *in)
{
	sse_exec(cpu, in);
}

void sse_exec(struct cpu *cpu, const struct insn *in)
{
	(void)fp_raise;
	(void)write_operand;
	cpu_raise(cpu, EXCP_UD);
}

bool sse_host_has(uint32_t isa)
{
	return !(isa & ~(ISA_FXSR | ISA_CLFSH | ISA_POPCNT));
}

#endif
