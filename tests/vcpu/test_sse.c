/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * MMX and SSE where the host is no judge: who may execute them (SDM vol. 3, 13.1 and tables 22-4 to
 * 22-9), alignment, pages, MXCSR, FXSAVE, and the results that docs/sse.md defines.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cpuid.h"
#include "decode.h"
#include "fpu.h"
#include "harness.h"
#include "hash.h"
#include "sse.h"

static struct vm *vm;
static struct cpu *cpu;

static int setup(void **state)
{
	vm = vm_new(VM_PROT32);
	cpu = vm->cpu;
	if (cpu_model_set(cpu, "max", NULL) < 0)
		return -1;
	cpu->cr4 |= CR4_OSFXSR | CR4_OSXMMEXCPT;
	(void)state;
	return 0;
}

static int teardown(void **state)
{
	vm_free(vm);
	(void)state;
	return 0;
}

/* Executes one instruction: -1, or the vector that it raised. */
static int run(const void *code, size_t len)
{
	uint8_t b[17];
	int r;

	memcpy(b, code, len);
	b[len] = 0xf4;
	vm_mode_set(vm, VM_PROT32);
	vm_code(vm, b, len + 1);
	cpu->gpr[R_ESI] = cpu->gpr[R_EDI] = VM_DATA;
	r = vm_run(vm, 10);
	return r == VM_HLT ? -1 : r;
}

#define RUN(bytes) run(bytes, sizeof(bytes) - 1)

/* ---- who may execute ---- */

enum class { C_XMM, C_MMX, C_MIXED, C_NONE, C_FX };

static const struct {
	const char *code;
	uint8_t len;
	uint32_t isa;
	enum class class;
	const char *name;
} samples[] = {
#define SAMPLE(bytes, isa, class, name)                    \
	{                                                  \
		bytes, sizeof(bytes) - 1, isa, class, name \
	}
	SAMPLE("\x0f\x58\xc1", ISA_SSE, C_XMM, "addps"),
	SAMPLE("\x0f\x28\x06", ISA_SSE, C_XMM, "movaps"),
	SAMPLE("\x0f\xae\x1e", ISA_SSE, C_XMM, "stmxcsr"),
	SAMPLE("\x66\x0f\x58\xc1", ISA_SSE2, C_XMM, "addpd"),
	SAMPLE("\x66\x0f\xef\xc0", ISA_SSE2, C_XMM, "pxor"),
	SAMPLE("\x66\x0f\xf7\xc1", ISA_SSE2, C_XMM, "maskmovdqu"),
	SAMPLE("\xf2\x0f\xf0\x06", ISA_SSE3, C_XMM, "lddqu"),
	SAMPLE("\x66\x0f\x38\x00\xc1", ISA_SSSE3, C_XMM, "pshufb"),
	SAMPLE("\x66\x0f\x3a\x08\xc1\x00", ISA_SSE41, C_XMM, "roundps"),
	SAMPLE("\x66\x0f\x38\x37\xc1", ISA_SSE42, C_XMM, "pcmpgtq"),
	SAMPLE("\x66\x0f\x6e\xc1", ISA_SSE2, C_XMM, "movd"),
	SAMPLE("\x0f\x53\xc1", ISA_SSE, C_XMM, "rcpps"),
	SAMPLE("\x66\x0f\x2a\x06", ISA_SSE2, C_XMM, "cvtpi2pd m64"),
	SAMPLE("\x0f\xfc\xc1", ISA_MMX, C_MMX, "paddb"),
	SAMPLE("\x0f\x6e\xc1", ISA_MMX, C_MMX, "movd"),
	SAMPLE("\x0f\x71\xd1\x03", ISA_MMX, C_MMX, "psrlw"),
	SAMPLE("\x0f\x77", ISA_MMX, C_MMX, "emms"),
	SAMPLE("\x0f\xe0\xc1", ISA_SSE, C_MMX, "pavgb"),
	SAMPLE("\x0f\xe7\x06", ISA_SSE, C_MMX, "movntq"),
	SAMPLE("\x0f\xf7\xc1", ISA_SSE, C_MMX, "maskmovq"),
	SAMPLE("\x0f\xd4\xc1", ISA_SSE2, C_MMX, "paddq"),
	SAMPLE("\x0f\x38\x1c\xc1", ISA_SSSE3, C_MMX, "pabsb"),
	SAMPLE("\x0f\x2a\xc1", ISA_SSE, C_MIXED, "cvtpi2ps"),
	SAMPLE("\xf3\x0f\xd6\xc1", ISA_SSE2, C_MIXED, "movq2dq"),
	SAMPLE("\x0f\xc3\x06", ISA_SSE2, C_NONE, "movnti"),
	SAMPLE("\x0f\xae\xe8", ISA_SSE2, C_NONE, "lfence"),
	SAMPLE("\x0f\xae\xf0", ISA_SSE2, C_NONE, "mfence"),
	SAMPLE("\x0f\xae\xf8", ISA_SSE, C_NONE, "sfence"),
	SAMPLE("\x0f\xae\x3e", ISA_CLFSH, C_NONE, "clflush"),
	SAMPLE("\xf2\x0f\x38\xf1\xc1", ISA_SSE42, C_NONE, "crc32"),
	SAMPLE("\xf2\x0f\x38\xf0\xc1", ISA_SSE42, C_NONE, "crc32 byte"),
	SAMPLE("\xf3\x0f\xb8\xc1", ISA_POPCNT, C_NONE, "popcnt"),
	SAMPLE("\x0f\x18\x06", 0, C_NONE, "prefetchnta"),
	SAMPLE("\xf3\x90", 0, C_NONE, "pause"),
	SAMPLE("\x0f\xae\x06", ISA_FXSR, C_FX, "fxsave"),
};

#define N_SAMPLES (sizeof(samples) / sizeof(samples[0]))

static int expected(unsigned i, bool has, uint32_t cr0, uint32_t cr4, bool pending)
{
	enum class c = samples[i].class;
	bool xmm = c == C_XMM || c == C_MIXED, mmx = c == C_MMX || c == C_MIXED;

	if (!has && samples[i].isa)
		return EXCP_UD;
	if (c == C_FX)
		return cr0 & (CR0_EM | CR0_TS) ? EXCP_NM : -1;
	if (c == C_NONE)
		return -1;
	if (cr0 & CR0_EM || (xmm && !(cr4 & CR4_OSFXSR)))
		return EXCP_UD;
	if (cr0 & CR0_TS)
		return EXCP_NM;
	return mmx && pending ? EXCP_MF : -1;
}

static void test_gates(void **state)
{
	const uint32_t all = cpu->isa, cr0 = cpu->cr0, cr4 = cpu->cr4;

	for (unsigned i = 0; i < N_SAMPLES; i++)
		for (unsigned k = 0; k < 32; k++) {
			bool has = k & 1, pending = k & 16;
			uint32_t set0 = (k & 2 ? CR0_EM : 0) | (k & 4 ? CR0_TS : 0);
			uint32_t set4 = k & 8 ? CR4_OSFXSR : 0;
			int r;

			cpu->isa = has ? all : all & ~samples[i].isa;
			cpu->cr0 = cr0 | set0;
			cpu->cr4 = (cr4 & ~CR4_OSFXSR) | set4;
			fpu_reset(cpu);
			fpu_set_cw(cpu->fpu, pending ? 0x37b : 0x37f);
			fpu_set_status(cpu->fpu, SW_ZE);
			r = run(samples[i].code, samples[i].len);
			if (r != expected(i, has, set0, set4, pending))
				fail_msg("%s: %d, not %d (has %d EM %d TS %d OSFXSR %d pending %d)",
					samples[i].name, r, expected(i, has, set0, set4, pending),
					has, !!(k & 2), !!(k & 4), !!(k & 8), pending);
		}
	cpu->isa = all;
	cpu->cr0 = cr0;
	cpu->cr4 = cr4;
	(void)state;
}

/* sse_gate_open() says the same. */
static void test_gate_open(void **state)
{
	const uint32_t all = cpu->isa, cr0 = cpu->cr0, cr4 = cpu->cr4;
	unsigned asked = 0;

	for (unsigned i = 0; i < N_SAMPLES; i++)
		for (unsigned k = 0; k < 32; k++) {
			bool has = k & 1, pending = k & 16;
			uint32_t set0 = (k & 2 ? CR0_EM : 0) | (k & 4 ? CR0_TS : 0);
			uint32_t set4 = k & 8 ? CR4_OSFXSR : 0;
			uint8_t code[16] = { 0 };
			struct insn in;

			memcpy(code, samples[i].code, samples[i].len);
			assert_int_equal(decode_insn(code, 15, DECODE_CODE32, &in), DECODE_OK);
			if (!(insn_enc(&in) & E_SSE))
				continue;
			cpu->isa = has ? all : all & ~samples[i].isa;
			cpu->cr0 = cr0 | set0;
			cpu->cr4 = (cr4 & ~CR4_OSFXSR) | set4;
			fpu_reset(cpu);
			fpu_set_cw(cpu->fpu, pending ? 0x37b : 0x37f);
			fpu_set_status(cpu->fpu, SW_ZE);
			if (sse_gate_open(cpu, &in) != (expected(i, has, set0, set4, pending) < 0))
				fail_msg("%s, %u", samples[i].name, k);
			asked++;
		}
	assert_true(asked > 500);
	cpu->isa = all;
	cpu->cr0 = cr0;
	cpu->cr4 = cr4;
	(void)state;
}

/* CR0.NE clear: an MMX instruction stands still on a pending exception, FERR# does the rest. */
static void test_ferr(void **state)
{
	cpu->cr0 &= ~CR0_NE;
	fpu_reset(cpu);
	fpu_set_cw(cpu->fpu, 0x37b);
	fpu_set_status(cpu->fpu, SW_ZE | 3 << 11);
	vm_mode_set(vm, VM_PROT32);
	vm_asm(vm, "\x0f\xfc\xc1\xf4");
	vm_run(vm, 10);
	assert_true(cpu->halted);
	assert_int_equal(cpu->eip, VM_CODE);
	assert_int_equal(fpu_status(cpu->fpu) >> 11 & 7, 3);
	fpu_set_ignne(cpu, true);
	cpu->halted = false;
	vm_asm(vm, "\x0f\xfc\xc1\xf4");
	vm_run(vm, 10);
	assert_int_equal(cpu->eip, VM_CODE + 4);
	assert_int_equal(fpu_status(cpu->fpu) >> 11 & 7, 0);
	fpu_reset(cpu);
	cpu->cr0 |= CR0_NE;
	(void)state;
}

/* ---- memory operands of all rows ---- */

struct row {
	uint8_t code[10];
	unsigned len;
	struct insn in;
	const struct sse_desc *d;
};

/* The memory forms at [ESI]; false: no more. *at is the search's place. */
static bool next_row(unsigned *at, struct row *r)
{
	static const char *const prefixes[] = { "", "\x66", "\xf3", "\xf2" };
	static const char *const maps[] = { "\x0f", "\x0f\x38", "\x0f\x3a" };

	for (; *at < 4 * 3 * 256; ++*at) {
		unsigned op = *at & 255, n;

		if ((op == 0x38 || op == 0x3a) && *at >> 8 < 4)
			continue;
		memset(r, 0, sizeof(*r));
		n = (unsigned)sprintf(
			(char *)r->code, "%s%s", prefixes[*at >> 8 & 3], maps[*at >> 10]);
		r->code[n++] = (uint8_t)op;
		r->code[n] = 0x16; /* xmm2, [esi] */
		if (decode_insn(r->code, 10, DECODE_CODE32, &r->in) != DECODE_OK ||
			!(insn_enc(&r->in) & E_SSE) || !r->in.mem)
			continue;
		r->d = sse_desc(&r->in);
		if (!r->d->mem)
			continue;
		r->len = r->in.len;
		++*at;
		return true;
	}
	return false;
}

#define PAGE_A (VM_DATA + 0x4000)
#define PAGE_B (PAGE_A + 0x1000)

struct outcome {
	int vector;
	uint32_t cr2, mxcsr, eflags, edx, ecx;
	union xmm_reg xmm[8];
	uint64_t mm2;
	uint16_t sw;
	uint8_t mem[16];
};

/* With the operand at lin */
static void run_row(const struct row *r, uint32_t lin, struct outcome *ret)
{
	uint8_t b[12];
	int v;

	memcpy(b, r->code, r->len);
	b[r->len] = 0xf4;
	vm_mode_set(vm, VM_PROT32);
	fpu_reset(cpu);
	fpu_set_cw(cpu->fpu, 0x37f);
	fpu_set_status(cpu->fpu, 5 << 11);
	cpu->fpu->reg[2].m = 0x3f8000004048f5c3;
	sse_reset(cpu);
	for (unsigned i = 0; i < 8; i++)
		for (unsigned k = 0; k < 4; k++)
			cpu->xmm[i].d[k] = 0x3f800000 + i * 0x123456 + k * 0x7654321;
	for (unsigned i = 0; i < 16; i++)
		vm->ram[lin + i] = (uint8_t)(0x40 + i * 5);
	flags_set_arith(cpu, 0);
	vm_code(vm, b, r->len + 1);
	cpu->gpr[R_ESI] = lin;
	cpu->gpr[R_EAX] = cpu->gpr[R_ECX] = cpu->gpr[R_EDX] = 5;
	cpu->cr2 = 0;
	v = vm_run(vm, 10);
	memset(ret, 0, sizeof(*ret));
	ret->vector = v == VM_HLT ? -1 : v;
	ret->cr2 = cpu->cr2;
	ret->mxcsr = cpu->mxcsr;
	ret->eflags = flags_get_arith(cpu);
	ret->edx = cpu->gpr[R_EDX];
	ret->ecx = cpu->gpr[R_ECX];
	ret->mm2 = cpu->fpu->reg[2].m;
	ret->sw = fpu_status(cpu->fpu);
	memcpy(ret->xmm, cpu->xmm, sizeof(ret->xmm));
	memcpy(ret->mem, vm->ram + lin, 16);
}

/* Wherever the operand lies, the outcome is the same; but alignment where the manual wants it. */
static void test_alignment(void **state)
{
	unsigned at = 0, aligned = 0, free_ = 0;
	struct outcome want, got;
	struct row r;

	while (next_row(&at, &r)) {
		run_row(&r, PAGE_A, &want);
		if (want.vector != -1)
			fail_msg("%s: vector %d", insn_name(&r.in), want.vector);
		for (unsigned off = 1; off < 16; off++) {
			run_row(&r, PAGE_A + off, &got);
			if (r.d->flags & S_A) {
				assert_int_equal(got.vector, EXCP_GP);
				assert_int_equal(vm->frame[0], 0);
				assert_int_equal(r.d->mem, 16);
			} else if (memcmp(&want, &got, sizeof(want))) {
				fail_msg("%s at +%u differs", insn_name(&r.in), off);
			}
		}
		*(r.d->flags & S_A ? &aligned : &free_) += 1;
	}
	assert_true(aligned > 150 && free_ > 150);
	(void)state;
}

static void page_present(uint32_t lin, bool present, bool writable)
{
	uint32_t *pte = vm_pte(vm, lin);

	*pte = (*pte & ~3u) | (present ? 1 : 0) | (writable ? 2 : 0);
	mmu_invlpg(cpu, lin);
}

static void test_straddle(void **state)
{
	const uint32_t lin = PAGE_B - 3;
	unsigned at = 0, n = 0;
	struct outcome want, got;
	struct row r;

	vm_paging(vm, false);
	while (next_row(&at, &r)) {
		bool store = r.d->rm & S_W;
		unsigned need = r.d->mem;

		if (r.d->flags & S_A) {
			/* alignment goes before pages */
			page_present(PAGE_A, false, true);
			run_row(&r, PAGE_A + 8, &got);
			assert_int_equal(got.vector, EXCP_GP);
			run_row(&r, PAGE_A, &got);
			assert_int_equal(got.vector, EXCP_PF);
			assert_int_equal(got.cr2, PAGE_A);
			page_present(PAGE_A, true, true);
			continue;
		}
		run_row(&r, PAGE_A, &want);
		run_row(&r, lin, &got);
		if (memcmp(&want, &got, sizeof(want)))
			fail_msg("%s across pages differs", insn_name(&r.in));
		for (unsigned k = 0; k < 2; k++) { /* the second page is missing, or read-only */
			page_present(PAGE_B, k == 1, false);
			run_row(&r, lin, &got);
			if (need <= 3 || (k == 1 && !store)) {
				assert_memory_equal(&want, &got, sizeof(want));
			} else {
				uint8_t mem[16];

				for (unsigned i = 0; i < 16; i++)
					mem[i] = (uint8_t)(0x40 + i * 5);
				assert_int_equal(got.vector, EXCP_PF);
				assert_int_equal(got.cr2, PAGE_B);
				assert_int_equal(vm->frame[0], (k == 1) | store << 1);
				assert_memory_equal(got.mem, mem, 16);
				assert_int_equal(got.sw >> 11 & 7, 5); /* no MMX state yet */
				assert_int_equal(got.xmm[2].d[0], 0x3f800000 + 2 * 0x123456);
				assert_int_equal(got.edx, 5);
				assert_int_equal(got.mxcsr, MXCSR_RESET);
			}
			page_present(PAGE_B, true, true);
		}
		n++;
	}
	assert_true(n > 150);
	(void)state;
}

/* A limit that ends in the middle of the operand. */
static void test_limit(void **state)
{
	unsigned at = 0, n = 0;
	struct outcome got;
	struct row r;

	while (next_row(&at, &r)) {
		uint8_t b[16] = { 0x64 }; /* fs: */
		int v;

		for (unsigned k = 0; k < 2; k++) {
			run_row(&r, PAGE_A, &got);
			memcpy(b + 1, r.code, r.len);
			b[r.len + 1] = 0xf4;
			vm_mode_set(vm, VM_PROT32);
			vm_code(vm, b, r.len + 2);
			cpu->gpr[R_ESI] = PAGE_A;
			cpu->seg[SEG_FS].limit = PAGE_A + r.d->mem - 1 - k;
			seg_update(&cpu->seg[SEG_FS]);
			v = vm_run(vm, 10);
			if ((v == VM_HLT ? -1 : v) != (k ? EXCP_GP : -1))
				fail_msg("%s: %d", insn_name(&r.in), v);
		}
		n++;
	}
	assert_true(n > 300);
	(void)state;
}

static void test_maskmov(void **state)
{
	union xmm_reg mask = { .q = { 0x8000000000000080, 0x00ff000000000000 } };
	uint8_t want[16];

	vm_paging(vm, false);
	memset(vm->ram + VM_DATA, 0x11, 16);
	memset(want, 0x11, 16);
	for (unsigned i = 0; i < 16; i++)
		cpu->xmm[0].b[i] = (uint8_t)(0xa0 + i);
	want[0] = 0xa0;
	want[7] = 0xa7;
	want[14] = 0xae;
	cpu->xmm[1] = mask;
	assert_int_equal(RUN("\x66\x0f\xf7\xc1"), -1);
	assert_memory_equal(vm->ram + VM_DATA, want, 16);
	/* the whole operand is checked, even where nothing is written */
	cpu->xmm[1] = (union xmm_reg){ 0 };
	page_present(VM_DATA, true, false);
	assert_int_equal(RUN("\x66\x0f\xf7\xc1"), EXCP_PF);
	page_present(VM_DATA, true, true);
	/* 16-bit addresses: DI */
	cpu->xmm[1] = mask;
	memcpy(vm->ram, want, 16);
	vm->ram[0] = 0;
	vm_asm(vm, "\x67\x66\x0f\xf7\xc1\xf4");
	cpu->gpr[R_EDI] = 0x12340000;
	assert_int_equal(vm_run(vm, 10), VM_HLT);
	assert_memory_equal(vm->ram, want, 16);
	(void)state;
}

/* ---- MXCSR and floating-point exceptions ---- */

static int ldmxcsr(uint32_t v)
{
	memcpy(vm->ram + VM_DATA, &v, 4);
	return RUN("\x0f\xae\x16");
}

static void test_mxcsr(void **state)
{
	uint32_t v;

	assert_int_equal(cpu->mxcsr, MXCSR_RESET);
	for (unsigned bit = 0; bit < 32; bit++) {
		cpu->mxcsr = MXCSR_RESET;
		assert_int_equal(ldmxcsr(1u << bit), bit < 16 ? -1 : EXCP_GP);
		assert_int_equal(cpu->mxcsr, bit < 16 ? 1u << bit : MXCSR_RESET);
	}
	cpu->mxcsr = 0x9fc0;
	assert_int_equal(RUN("\x0f\xae\x1e"), -1);
	memcpy(&v, vm->ram + VM_DATA, 4);
	assert_int_equal(v, 0x9fc0);
	/* a Pentium III has no DAZ */
	cpu_model_set(cpu, "pentium3", NULL);
	assert_int_equal(ldmxcsr(MXCSR_DAZ), EXCP_GP);
	assert_int_equal(ldmxcsr(0xffbf), -1);
	(void)state;
}

static void test_xm(void **state)
{
	union xmm_reg one = { .f = { 1, 1, 1, 1 } }, zero = { 0 };

	cpu->xmm[0] = one;
	cpu->xmm[1] = zero;
	/* divps: masked, then not */
	cpu->mxcsr = MXCSR_RESET;
	assert_int_equal(RUN("\x0f\x5e\xc1"), -1);
	assert_int_equal(cpu->mxcsr, MXCSR_RESET | MXCSR_ZE);
	assert_int_equal(cpu->xmm[0].d[3], 0x7f800000);
	cpu->xmm[0] = one;
	cpu->mxcsr = MXCSR_RESET & ~(MXCSR_ZE << MXCSR_MASK_SHIFT);
	assert_int_equal(RUN("\x0f\x5e\xc1"), EXCP_XM);
	assert_int_equal(vm->frame[0], VM_CODE); /* no error code, a fault */
	assert_int_equal(cpu->mxcsr, (MXCSR_RESET & ~(MXCSR_ZE << MXCSR_MASK_SHIFT)) | MXCSR_ZE);
	assert_memory_equal(&cpu->xmm[0], &one, 16);
	/* a flag that is already there does not raise anything (unlike the x87's) */
	assert_int_equal(RUN("\x0f\x58\xc0"), -1);
	cpu->xmm[0] = one;
	cpu->cr4 &= ~CR4_OSXMMEXCPT;
	assert_int_equal(RUN("\x0f\x5e\xc1"), EXCP_UD);
	assert_true(cpu->mxcsr & MXCSR_ZE);
	cpu->cr4 |= CR4_OSXMMEXCPT;
	/* COMISS leaves EFLAGS alone when it faults */
	cpu->xmm[0].d[0] = 0x7fc00000;
	cpu->mxcsr = 0x1f00;
	flags_set_arith(cpu, FL_OF | FL_SF | FL_AF);
	assert_int_equal(RUN("\x0f\x2f\xc1"), EXCP_XM);
	assert_int_equal(flags_get_arith(cpu), FL_OF | FL_SF | FL_AF);
	/* UCOMISS: a quiet NaN is no exception */
	assert_int_equal(RUN("\x0f\x2e\xc1"), -1);
	assert_int_equal(flags_get_arith(cpu), FL_ZF | FL_PF | FL_CF);
	(void)state;
}

/* ---- FXSAVE, FXRSTOR ---- */

static void test_fxsave(void **state)
{
	uint8_t *p = vm->ram + VM_DATA;
	union xmm_reg x[8];
	uint32_t v;

	for (unsigned i = 0; i < 8; i++)
		for (unsigned k = 0; k < 16; k++)
			cpu->xmm[i].b[k] = (uint8_t)(i * 16 + k);
	memcpy(x, cpu->xmm, sizeof(x));
	cpu->mxcsr = 0x1fbf;
	memset(p, 0xee, 512);
	assert_int_equal(RUN("\x0f\xae\x06"), -1);
	memcpy(&v, p + 24, 4);
	assert_int_equal(v, 0x1fbf);
	memcpy(&v, p + 28, 4);
	assert_int_equal(v, 0xffff);
	assert_memory_equal(p + 160, x, 128);
	assert_int_equal(p[288], 0xee);
	/* and back */
	memset(cpu->xmm, 0, sizeof(cpu->xmm));
	cpu->mxcsr = MXCSR_RESET;
	assert_int_equal(RUN("\x0f\xae\x0e"), -1);
	assert_memory_equal(cpu->xmm, x, 128);
	assert_int_equal(cpu->mxcsr, 0x1fbf);
	/* reserved bits: nothing is loaded */
	memset(p + 24, 0xff, 4);
	memset(p + 160, 0, 128);
	p[0] = 0;
	fpu_set_cw(cpu->fpu, 0x37f);
	assert_int_equal(RUN("\x0f\xae\x0e"), EXCP_GP);
	assert_memory_equal(cpu->xmm, x, 128);
	assert_int_equal(cpu->fpu->cw, 0x37f);
	assert_int_equal(cpu->mxcsr, 0x1fbf);
	/* without OSFXSR neither is touched, nor is the image looked at */
	cpu->cr4 &= ~CR4_OSFXSR;
	assert_int_equal(RUN("\x0f\xae\x0e"), -1);
	assert_memory_equal(cpu->xmm, x, 128);
	assert_int_equal(cpu->mxcsr, 0x1fbf);
	memset(p, 0xee, 512);
	assert_int_equal(RUN("\x0f\xae\x06"), -1);
	assert_int_equal(p[160], 0xee);
	memcpy(&v, p + 24, 4);
	assert_int_equal(v, 0);
	(void)state;
}

static void test_reset(void **state)
{
	cpu->mxcsr = 0;
	memset(cpu->xmm, 0xff, sizeof(cpu->xmm));
	cpu_reset(cpu);
	assert_int_equal(cpu->mxcsr, MXCSR_RESET);
	for (unsigned i = 0; i < 8; i++)
		assert_true(!cpu->xmm[i].q[0] && !cpu->xmm[i].q[1]);
	(void)state;
}

/* ---- RCPPS, RSQRTPS ---- */

static void approximate(bool rsqrt, const uint32_t x[4], uint32_t ret[4])
{
	memcpy(&cpu->xmm[1], x, 16);
	cpu->mxcsr = 0x7f80; /* rounding has no say, and nothing is flagged */
	assert_int_equal(rsqrt ? RUN("\x0f\x52\xc1") : RUN("\x0f\x53\xc1"), -1);
	assert_int_equal(cpu->mxcsr, 0x7f80);
	memcpy(ret, &cpu->xmm[0], 16);
}

static float as_float(uint32_t v)
{
	float f;

	memcpy(&f, &v, 4);
	return f;
}

/* SDM vol. 2: |relative error| <= 1.5 * 2^-12; ours is within 2^-13. */
static void test_approximation_error(void **state)
{
	const double limit = 1.0 / 8192;

	for (uint32_t mag = 1u << 23; mag < 0x7e800000; mag += 4 * 0x10307) {
		uint32_t x[4], r[4];

		for (unsigned i = 0; i < 4; i++)
			x[i] = mag + i * 0x10307;
		approximate(false, x, r);
		for (unsigned i = 0; i < 4; i++) {
			/* beyond, the result is tiny */
			double want = 1.0 / as_float(x[i]);

			if (want < 0x1p-126)
				assert_true(r[i] == 0 || as_float(r[i]) == 0x1p-126f);
			else
				assert_true(fabs(as_float(r[i]) / want - 1) <= limit);
			assert_int_equal(r[i] & 0x7ff, 0);
		}
		approximate(true, x, r);
		for (unsigned i = 0; i < 4; i++) {
			assert_true(fabs(as_float(r[i]) * sqrt(as_float(x[i])) - 1) <= limit);
			assert_int_equal(r[i] & 0x7ff, 0);
		}
	}
	(void)state;
}

static void test_approximation_special(void **state)
{
	/* x, rcp, rsqrt */
	static const uint32_t cases[][3] = {
		{ 0, 0x7f800000, 0x7f800000 },
		{ 0x80000000, 0xff800000, 0xff800000 },
		{ 0x00000001, 0x7f800000, 0x7f800000 }, /* denormals are zeros */
		{ 0x807fffff, 0xff800000, 0xff800000 },
		{ 0x7f800000, 0, 0 },
		{ 0xff800000, 0x80000000, 0xffc00000 },
		{ 0x7fc12345, 0x7fc12345, 0x7fc12345 },
		{ 0x7f812345, 0x7fc12345, 0x7fc12345 },
		{ 0xff800001, 0xffc00001, 0xffc00001 },
		{ 0x3f800000, 0x3f800000, 0x3f800000 }, /* powers of two are exact */
		{ 0xbf800000, 0xbf800000, 0xffc00000 },
		{ 0x40800000, 0x3e800000, 0x3f000000 },
		{ 0x40000000, 0x3f000000, 0x3f350800 },
		{ 0x40400000, 0x3eaaa800, 0x3f13d000 }, /* 3 */
		{ 0x3f7fffff, 0x3f800000, 0x3f800000 },
		{ 0x7f7fffff, 0, 0x1f800000 },
		{ 0x7e800000, 0x00800000, 0x20000000 },
		{ 0x7f000000, 0, 0x1fb50800 },
		{ 0xff000000, 0x80000000, 0xffc00000 },
	};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint32_t x[4] = { 0x3f800000, cases[i][0], 0x3f800000, 0x3f800000 }, r[4];

		approximate(false, x, r);
		if (r[1] != cases[i][1])
			fail_msg("rcp %08x: %08x, not %08x", x[1], r[1], cases[i][1]);
		approximate(true, x, r);
		if (r[1] != cases[i][2])
			fail_msg("rsqrt %08x: %08x, not %08x", x[1], r[1], cases[i][2]);
	}
	/* the scalar forms leave the rest of the register alone */
	cpu->xmm[0] = (union xmm_reg){ .d = { 1, 2, 3, 4 } };
	cpu->xmm[1] = (union xmm_reg){ .d = { 0x40000000, 5, 6, 7 } };
	assert_int_equal(RUN("\xf3\x0f\x53\xc1"), -1);
	assert_int_equal(cpu->xmm[0].d[0], 0x3f000000);
	assert_int_equal(cpu->xmm[0].d[1], 2);
	assert_int_equal(cpu->xmm[0].d[3], 4);
	(void)state;
}

/* When this changes, old logs no longer replay. */
static void test_approximation_golden(void **state)
{
	uint64_t h = 0;

	for (uint32_t i = 0; i < 20000; i++) {
		uint32_t x[4], r[4];

		for (unsigned k = 0; k < 4; k++)
			x[k] = (i * 4 + k) * 0xcccd;
		approximate(false, x, r);
		h = hash64(h, r, 16);
		approximate(true, x, r);
		h = hash64(h, r, 16);
	}
	assert_int_equal(h, UINT64_C(0xc89771082412091a));
	(void)state;
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = { TEST(test_gates), TEST(test_gate_open), TEST(test_ferr),
		TEST(test_alignment), TEST(test_straddle), TEST(test_limit), TEST(test_maskmov),
		TEST(test_mxcsr), TEST(test_xm), TEST(test_fxsave), TEST(test_reset),
		TEST(test_approximation_error), TEST(test_approximation_special),
		TEST(test_approximation_golden) };

	return cmocka_run_group_tests_name("sse", tests, NULL, NULL);
}
